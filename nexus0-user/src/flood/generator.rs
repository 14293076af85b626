//! Sends frames by running a program that answers each with `XDP_TX`: no socket, no copy per frame,
//! no stack in the way.
//!
//! Every call ends with a wait for the kernel's readers, tens of milliseconds long (measured: one thread
//! makes 32 calls a second, whatever they send). Several threads on one processor fill each other's waits.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::libc;
use serde::Serialize;

use crate::flood::kernel::{Link, Program};
use crate::lab::account::Interface;
use crate::lab::interface;

const TRANSMIT: i32 = 3;
const PASS: i32 = 2;
/// Copies of one frame per call when nothing limits the rate.
const REPEAT: u64 = 256;
/// Threads that keep one processor busy; more send no faster.
pub const WORKERS: usize = 32;
/// Frames the kernel takes through the program at once.
const BATCH: u64 = 64;
/// The veth rings hold 256 frames; a bit of time between calls lets their readers run.
const TICK: Duration = Duration::from_millis(5);

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
    transmit: Program,
    // Live frames are taken only from an interface that has a program itself.
    _guard: Option<Link>,
}

impl Generator {
    /// On an interface of the calling thread's network namespace.
    pub fn new(name: &str) -> Result<Self> {
        let interface = interface::index(name)?;
        let transmit = Program::constant(TRANSMIT).context(
            "cannot load the sending program: the flood needs CAP_BPF and CAP_NET_ADMIN",
        )?;
        let guard = match Program::constant(PASS)?.attach(interface) {
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
            transmit,
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
        let empty = lanes
            .iter()
            .flat_map(|lane| &lane.sets)
            .any(|frames| frames.is_empty());
        ensure!(!empty, "there is nothing to send");
        let before = interface::counters_of(&self.name)?;
        let start = Instant::now();
        let works: Vec<Work<'_>> = lanes
            .iter()
            .map(|lane| Work::new(lane, most, stop, start))
            .collect();
        thread::scope(|scope| {
            let workers: Vec<_> = works
                .iter()
                .flat_map(|work| (0..work.lane.workers).map(move |_| work))
                .map(|work| scope.spawn(|| self.work(work)))
                .collect();
            workers
                .into_iter()
                .try_for_each(|worker| match worker.join() {
                    Ok(done) => done,
                    Err(panic) => std::panic::resume_unwind(panic),
                })
        })?;
        let seconds = start.elapsed().as_secs_f64();
        let offered = works
            .iter()
            .map(|work| work.offered.load(Ordering::Relaxed))
            .sum();
        let after = self.settle(&before, offered)?;
        Ok(Report {
            offered,
            sent: after.sent - before.sent,
            dropped: after.send_dropped - before.send_dropped,
            seconds,
        })
    }

    fn work(&self, work: &Work<'_>) -> Result<()> {
        yield_to_receivers();
        while let Some((frame, repeat)) = work.take() {
            match u32::try_from(repeat) {
                Ok(0) | Err(_) => thread::sleep(TICK),
                Ok(repeat) => self.send(frame, repeat)?,
            }
        }
        Ok(())
    }

    /// Sends one frame some times; fewer if a signal comes.
    pub fn send(&self, frame: &[u8], repeat: u32) -> Result<()> {
        let batch = repeat.min(BATCH as u32);
        match self.transmit.run_live(self.interface, frame, repeat, batch) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(()),
            other => other.with_context(|| format!("{} does not take live frames", self.name)),
        }
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

/// What the threads of one lane share.
struct Work<'a> {
    lane: &'a Lane<'a>,
    most: u64,
    stop: &'a AtomicBool,
    start: Instant,
    next: AtomicUsize,
    offered: AtomicU64,
}

impl<'a> Work<'a> {
    fn new(lane: &'a Lane<'a>, most: u64, stop: &'a AtomicBool, start: Instant) -> Self {
        let (next, offered) = (AtomicUsize::new(0), AtomicU64::new(0));
        Self {
            lane,
            most,
            stop,
            start,
            next,
            offered,
        }
    }

    /// The next frame and how often to send it now; `None` at the end.
    fn take(&self) -> Option<(&[u8], u64)> {
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let elapsed = self.start.elapsed();
        let frames = self.lane.sets.get(slots_in(elapsed, self.lane.slot))?;
        let frame = &frames[self.next.fetch_add(1, Ordering::Relaxed) % frames.len()];
        let mut repeat = 0;
        let reserved = self
            .offered
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |offered| {
                let left = self.most.checked_sub(offered).filter(|left| *left > 0)?;
                repeat = allowed(self.lane.rate, elapsed, offered)
                    .min(left)
                    .min(copies(frame));
                Some(offered + repeat)
            });
        reserved.ok().map(|_| (frame.as_slice(), repeat))
    }
}

/// Whole slots that fit into a time.
pub fn slots_in(elapsed: Duration, slot: Duration) -> usize {
    (elapsed.as_nanos() / slot.as_nanos().max(1)) as usize
}

/// Copies per call. The kernel takes a VLAN tag out in place and does not put it back when it uses the
/// page again, so a tagged frame is sent no oftener than there are pages.
fn copies(frame: &[u8]) -> u64 {
    match frame.get(12..14) {
        Some([0x81, 0x00] | [0x88, 0xa8]) => BATCH,
        _ => REPEAT,
    }
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
