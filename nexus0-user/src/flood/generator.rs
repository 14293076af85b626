//! Sends frames by running a program that answers each with `XDP_TX`: no socket and no stack in the way.
//!
//! Every call ends with a wait for the kernel's readers, tens of milliseconds long (measured: one thread
//! makes 32 calls a second, whatever they send). Several threads on one processor fill each other's waits.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::libc;
use serde::Serialize;

use crate::flood::kernel::{Link, Program};
use crate::flood::pump;
use crate::flood::templates::{Pace, Templates};
use crate::lab::account::Interface;
use crate::lab::interface;

const PASS: i32 = 2;
/// Frames per call when nothing limits the rate.
const REPEAT: u64 = 256;
/// Threads that keep one processor busy; more send no faster.
pub const WORKERS: usize = 32;
/// Frames the kernel takes through the program at once.
const BATCH: u64 = 64;
/// The veth rings hold 256 frames; a bit of time between calls lets their readers run.
const TICK: Duration = Duration::from_millis(5);
const REFUSED: &str = "cannot load the sending program: the flood needs CAP_BPF and CAP_NET_ADMIN";

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rate {
    /// As fast as one processor can.
    Max,
    /// Frames per second.
    PerSecond(u64),
}

/// When to end, whichever comes first.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Frames.
    pub frames: u64,
    /// Time.
    pub duration: Duration,
}

/// What one run did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Frames given to the interface.
    pub offered: u64,
    /// Frames the interface counts as sent.
    pub sent: u64,
    /// Frames the interface counts as lost before they left it.
    pub dropped: u64,
    /// Seconds it took.
    pub seconds: f64,
}

/// A generator on one interface. Stays in the network namespace of the thread that made it.
pub struct Generator {
    interface: u32,
    name: String,
    // Live frames are taken only from an interface that has a program itself.
    _guard: Option<Link>,
}

impl Generator {
    /// On an interface of the calling thread's network namespace.
    pub fn new(name: &str) -> Result<Self> {
        let interface = interface::index(name)?;
        let pass = Program::constant(PASS).context(REFUSED)?;
        let guard = match pass.attach(interface) {
            Ok(link) => Some(link),
            // Another program is there already, which serves as well.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST)) => None,
            Err(error) => {
                return Err(error).with_context(|| format!("{name} has no native XDP"));
            }
        };
        Ok(Self {
            interface,
            name: name.to_owned(),
            _guard: guard,
        })
    }

    /// Sends the frames round and round until a bound is reached or `stop` is set.
    pub fn run(
        &self,
        frames: &[Vec<u8>],
        rate: Rate,
        bounds: Bounds,
        stop: &AtomicBool,
    ) -> Result<Report> {
        let sets = vec![frames];
        let lane = Lane {
            sets,
            slot: bounds.duration,
            rate,
            workers: WORKERS,
        };
        self.run_lanes(&[lane], bounds.frames, stop)
    }

    /// Sends along several lanes at once until all of them or `most` frames are through.
    pub fn run_lanes(&self, lanes: &[Lane<'_>], most: u64, stop: &AtomicBool) -> Result<Report> {
        let loaded = lanes
            .iter()
            .map(|lane| lane.load(most))
            .collect::<Result<Vec<_>>>()?;
        let before = interface::counters_of(&self.name)?;
        let start = Instant::now();
        let works: Vec<Work<'_>> = lanes
            .iter()
            .zip(&loaded)
            .map(|(lane, sets)| Work::new(lane, sets, most, stop, start))
            .collect();
        let workers = works
            .iter()
            .flat_map(|work| (0..work.lane.workers).map(move |_| work));
        in_threads(workers, |work| self.work(work))?;
        let seconds = start.elapsed().as_secs_f64();
        let loaded: Vec<Templates> = loaded.into_iter().flatten().collect();
        self.report(&before, &loaded, seconds)
    }

    /// Sends the frames round and round from each of these processors, until a bound is reached or `stop` is
    /// set. Each processor sends the frames from the first one on, at the pace given, and its share of
    /// the bound.
    pub fn pump(
        &self,
        frames: &[Vec<u8>],
        processors: &[usize],
        pace: Pace,
        bounds: Bounds,
        stop: &AtomicBool,
    ) -> Result<Report> {
        ensure!(
            !frames.is_empty() && !processors.is_empty(),
            "there is nothing to send"
        );
        let share = bounds.frames / processors.len() as u64;
        let loaded = processors
            .iter()
            .map(|_| Templates::load(frames, pace, share).context(REFUSED))
            .collect::<Result<Vec<_>>>()?;
        self.pump_loaded(&loaded, processors, bounds, stop)
    }

    /// The same with what is loaded already, for one processor each.
    pub fn pump_loaded(
        &self,
        loaded: &[Templates],
        processors: &[usize],
        bounds: Bounds,
        stop: &AtomicBool,
    ) -> Result<Report> {
        let before = interface::counters_of(&self.name)?;
        let start = Instant::now();
        pump::drive(
            processors.iter().zip(loaded),
            |templates| {
                let over = stop.load(Ordering::Relaxed) || start.elapsed() >= bounds.duration;
                Ok(over || templates.runs_left()? == 0)
            },
            |templates| self.send_from(templates, templates.runs_left()?).map(drop),
        )?;
        let seconds = start.elapsed().as_secs_f64();
        self.report(&before, loaded, seconds)
    }

    fn work(&self, work: &Work<'_>) -> Result<()> {
        yield_to_receivers();
        while let Some((set, repeat)) = work.take() {
            match u32::try_from(repeat) {
                Ok(0) | Err(_) => thread::sleep(TICK),
                Ok(repeat) => drop(self.send_from(set, repeat)?),
            }
        }
        Ok(())
    }

    /// Sends one frame some times; fewer if a signal comes.
    pub fn send(&self, frame: &[u8], repeat: u32) -> Result<()> {
        let frames = [frame.to_owned()];
        let templates = Templates::load(&frames, Pace::Flat, u64::MAX).context(REFUSED)?;
        self.send_from(&templates, repeat).map(drop)
    }

    /// Runs the templates' program so many times, fewer if a signal comes; nanoseconds per run, if all of
    /// them ran.
    pub fn send_from(&self, templates: &Templates, repeat: u32) -> Result<Option<u64>> {
        match templates.run(self.interface, repeat, repeat.min(BATCH as u32)) {
            Ok(nanoseconds) => Ok(Some(nanoseconds)),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => {
                Err(error).with_context(|| format!("{} does not take live frames", self.name))
            }
        }
    }

    fn report(&self, before: &Interface, loaded: &[Templates], seconds: f64) -> Result<Report> {
        let mut offered = 0;
        for templates in loaded {
            offered += templates.offered()?;
        }
        let after = self.settle(before, offered)?;
        Ok(Report {
            offered,
            sent: after.sent - before.sent,
            dropped: after.send_dropped - before.send_dropped,
            seconds,
        })
    }

    /// Waits until everything offered was sent or lost, for a while.
    fn settle(&self, before: &Interface, offered: u64) -> Result<Interface> {
        let deadline = Instant::now() + Duration::from_millis(500);
        loop {
            let after = interface::counters_of(&self.name)?;
            let gone = after.sent + after.send_dropped - before.sent - before.send_dropped;
            if gone >= offered || Instant::now() >= deadline {
                return Ok(after);
            }
            thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Does something with each item in a thread of its own; the first error of any.
fn in_threads<T: Send>(
    items: impl Iterator<Item = T>,
    work: impl Fn(T) -> Result<()> + Sync,
) -> Result<()> {
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = items.map(|item| scope.spawn(move || work(item))).collect();
        let mut done = threads.into_iter().map(|thread| match thread.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        done.try_for_each(|done| done)
    })
}

/// Gives the calling thread the lowest priority: where sender and receivers share a processor, frames
/// that cannot be received only fill the ring.
fn yield_to_receivers() {
    // SAFETY: no memory is involved; on failure the priority stays as it was.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 19) };
}

/// Sets of frames that follow each other without a pause.
pub struct Lane<'a> {
    /// The sets.
    pub sets: Vec<&'a [Vec<u8>]>,
    /// How long each is sent.
    pub slot: Duration,
    /// How fast.
    pub rate: Rate,
    /// Threads that send.
    pub workers: usize,
}

impl Lane<'_> {
    fn load(&self, most: u64) -> Result<Vec<Templates>> {
        let empty = self.sets.iter().any(|frames| frames.is_empty());
        ensure!(!empty, "there is nothing to send");
        let sets = self.sets.iter();
        sets.map(|frames| Templates::load(frames, Pace::Flat, most).context(REFUSED))
            .collect()
    }
}

/// What the threads of one lane share.
struct Work<'a> {
    lane: &'a Lane<'a>,
    sets: &'a [Templates],
    most: u64,
    stop: &'a AtomicBool,
    start: Instant,
    reserved: AtomicU64,
}

impl<'a> Work<'a> {
    fn new(
        lane: &'a Lane<'a>,
        sets: &'a [Templates],
        most: u64,
        stop: &'a AtomicBool,
        start: Instant,
    ) -> Self {
        Self {
            lane,
            sets,
            most,
            stop,
            start,
            reserved: AtomicU64::new(0),
        }
    }

    /// What to send from now and how many; `None` at the end.
    fn take(&self) -> Option<(&Templates, u64)> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let elapsed = self.start.elapsed();
        let set = self.sets.get(slots_in(elapsed, self.lane.slot))?;
        let mut repeat = 0;
        let reserved =
            self.reserved
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |reserved| {
                    let left = self.most.checked_sub(reserved).filter(|left| *left > 0)?;
                    repeat = allowed(self.lane.rate, elapsed, reserved)
                        .min(left)
                        .min(REPEAT);
                    Some(reserved + repeat)
                });
        reserved.ok().map(|_| (set, repeat))
    }
}

/// Whole slots that fit into a time.
pub fn slots_in(elapsed: Duration, slot: Duration) -> usize {
    (elapsed.as_nanos() / slot.as_nanos().max(1)) as usize
}

/// Frames that may leave now.
fn allowed(rate: Rate, elapsed: Duration, offered: u64) -> u64 {
    match rate {
        Rate::Max => REPEAT,
        Rate::PerSecond(rate) => {
            let due = elapsed.as_micros().saturating_mul(u128::from(rate)) / 1_000_000;
            u64::try_from(due)
                .unwrap_or(u64::MAX)
                .saturating_sub(offered)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_allows_what_is_due_and_no_more() {
        let second = Duration::from_secs(1);
        assert_eq!(allowed(Rate::PerSecond(100), second / 2, 0), 50);
        assert_eq!(allowed(Rate::PerSecond(100), second / 2, 50), 0);
        assert_eq!(allowed(Rate::PerSecond(u64::MAX), second, 1), u64::MAX - 1);
        assert_eq!(allowed(Rate::Max, Duration::ZERO, 7), REPEAT);
    }
}
