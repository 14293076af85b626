//! The one clock: nanoseconds since boot, suspended time included, never set back.

use std::io;

use super::watched::Watched;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::{ClockId as Clock, clock_gettime};

const SECOND: u64 = 1_000_000_000;

/// Nanoseconds of `CLOCK_BOOTTIME`, the clock the filter reads too.
pub fn now() -> u64 {
    let time = clock_gettime(Clock::CLOCK_BOOTTIME)
        .expect("CLOCK_BOOTTIME exists on every kernel that can load the filter");
    (time.tv_sec() as u64)
        .saturating_mul(SECOND)
        .saturating_add(time.tv_nsec() as u64)
}

/// A timer on the same clock. Tokio's own stops while the machine is suspended and counts whole
/// milliseconds; keys must not live longer because a lid was closed.
pub(super) struct Alarm(Watched<TimerFd>);

impl Alarm {
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
        Ok(Self(Watched::new(TimerFd::new(
            ClockId::CLOCK_BOOTTIME,
            flags,
        )?)?))
    }

    /// Rings at `at` (at once if that is past), or never.
    pub(super) fn set(&self, at: Option<u64>) -> io::Result<()> {
        let Some(at) = at else {
            return Ok(self.0.get().unset()?);
        };
        // Zero would disarm the timer.
        let at = at.max(1);
        let time = TimeSpec::new((at / SECOND) as i64, (at % SECOND) as i64);
        let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME;
        Ok(self.0.get().set(Expiration::OneShot(time), flags)?)
    }

    /// Returns when it has rung.
    pub(super) async fn rung(&self) -> io::Result<()> {
        self.0.readable().await?;
        // A timer set anew since has nothing to read; the caller looks at the clock anyway.
        match self.0.get().wait() {
            Ok(()) | Err(nix::errno::Errno::EAGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_alarm_rings_at_its_time_and_not_before() {
        let alarm = Alarm::new().unwrap();
        let at = now() + 30_000_000;
        alarm.set(Some(at)).unwrap();
        alarm.rung().await.unwrap();
        assert!(now() >= at);
    }

    #[tokio::test]
    async fn an_alarm_in_the_past_rings_at_once_and_an_unset_one_never() {
        let alarm = Alarm::new().unwrap();
        alarm.set(Some(0)).unwrap();
        alarm.rung().await.unwrap();
        alarm.set(Some(now() + 20_000_000)).unwrap();
        alarm.set(None).unwrap();
        let wait = std::time::Duration::from_millis(60);
        assert!(tokio::time::timeout(wait, alarm.rung()).await.is_err());
    }
}
