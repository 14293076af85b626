//! Sends frames by running a program that answers each with `XDP_TX`: no socket, no copy per frame,
//! no stack in the way.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::flood::kernel::{Link, Program};
use crate::lab::interface;

const TRANSMIT: i32 = 3;
const PASS: i32 = 2;
/// Copies of one frame per call when nothing limits the rate.
const REPEAT: u32 = 256;
/// Frames the kernel takes through the program at once.
const BATCH: u32 = 64;
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
            Err(error)
                if matches!(
                    error.raw_os_error(),
                    Some(nix::libc::EBUSY | nix::libc::EEXIST)
                ) =>
            {
                None
            }
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
        ensure!(!frames.is_empty(), "there is nothing to send");
        let before = interface::counters_of(&self.name)?;
        let start = Instant::now();
        let mut offered = 0;
        for frame in frames.iter().cycle() {
            let elapsed = start.elapsed();
            if offered >= bounds.frames
                || elapsed >= bounds.duration
                || stop.load(Ordering::Relaxed)
            {
                break;
            }
            let repeat = allowed(rate, elapsed, offered)
                .min(bounds.frames - offered)
                .min(REPEAT.into());
            if repeat == 0 {
                thread::sleep(TICK);
                continue;
            }
            self.send(frame, repeat as u32)?;
            offered += repeat;
        }
        let seconds = start.elapsed().as_secs_f64();
        let after = self.settle(&before, offered)?;
        Ok(Report {
            offered,
            sent: after.sent - before.sent,
            dropped: after.send_dropped - before.send_dropped,
            seconds,
        })
    }

    /// Sends one frame some times.
    pub fn send(&self, frame: &[u8], repeat: u32) -> Result<()> {
        self.transmit
            .run_live(self.interface, frame, repeat, BATCH.min(repeat))
            .with_context(|| format!("{} does not take live frames", self.name))
    }

    /// Waits until everything offered was sent or lost, for a while.
    fn settle(
        &self,
        before: &crate::lab::account::Interface,
        offered: u64,
    ) -> Result<crate::lab::account::Interface> {
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

/// Frames that may leave now.
fn allowed(rate: Rate, elapsed: Duration, offered: u64) -> u64 {
    match rate {
        Rate::Max => REPEAT.into(),
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
        assert_eq!(allowed(Rate::Max, Duration::ZERO, 7), u64::from(REPEAT));
    }
}
