//! Many seeds on several threads, in the order of their seeds.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use nexus0_core::sim::{Plan, Report, run};

/// Between two lines of progress where nobody watches.
const LINES: Duration = Duration::from_secs(10);
/// Between two looks where somebody does.
const LOOKS: Duration = Duration::from_millis(200);

/// Runs a plan for each seed. `twice`: each once more, which must give the same hash.
pub(crate) fn run_all(
    seeds: std::ops::Range<u64>,
    jobs: usize,
    twice: bool,
    plan: impl Fn(u64) -> Plan + Sync,
) -> Vec<Report> {
    let (next, done) = (AtomicU64::new(seeds.start), Mutex::new(BTreeMap::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let plan = plan(seed);
            let mut report = run(&plan);
            if twice && run(&plan).hash != report.hash {
                report.hash = [0; 32];
                report.violated += 1;
            }
            if let Ok(mut done) = done.lock() {
                done.insert(seed, report);
            }
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let mut progress = Progress::new(seeds.end - seeds.start);
        while workers.iter().any(|worker| !worker.is_finished()) {
            std::thread::sleep(Duration::from_millis(20));
            progress.show(|| done.lock().map_or((0, 0), |done| counts(&done)));
        }
        progress.end();
    });
    done.into_inner()
        .map(BTreeMap::into_values)
        .into_iter()
        .flatten()
        .collect()
}

fn counts(done: &BTreeMap<u64, Report>) -> (u64, u64) {
    let violated = done.values().filter(|report| report.violated > 0).count();
    (done.len() as u64, violated as u64)
}

/// What a person who waits is told, on standard error.
struct Progress {
    all: u64,
    started: Instant,
    shown: Instant,
    terminal: bool,
    dirty: bool,
}

impl Progress {
    fn new(all: u64) -> Self {
        Self {
            all,
            started: Instant::now(),
            shown: Instant::now(),
            terminal: std::io::stderr().is_terminal(),
            dirty: false,
        }
    }

    fn show(&mut self, counts: impl FnOnce() -> (u64, u64)) {
        let pause = if self.terminal { LOOKS } else { LINES };
        if self.shown.elapsed() < pause {
            return;
        }
        self.shown = Instant::now();
        let ((done, violated), passed) = (counts(), self.started.elapsed().as_secs());
        let line = format!(
            "{done} of {} seeds, {violated} violated, {passed} s",
            self.all
        );
        if self.terminal {
            eprint!("\r{line} ");
            let _ = std::io::stderr().flush();
            self.dirty = true;
        } else {
            eprintln!("{line}");
        }
    }

    fn end(&mut self) {
        if self.dirty {
            eprint!("\r{:60}\r", "");
        }
    }
}
