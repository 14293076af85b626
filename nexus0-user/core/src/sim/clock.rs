//! What time a host thinks it is: its own boot clock, started anywhere, fast or slow.

use crate::time::Time;

/// Parts per million.
const MILLION: i128 = 1_000_000;

/// A boot clock against the network's time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// The network's time at which it showed `shown`.
    since: Time,
    shown: Time,
    ppm: i32,
}

impl Clock {
    /// Shows `shown` at `now` and gains `ppm` microseconds a second from there.
    pub(crate) fn new(now: Time, shown: Time, ppm: i32) -> Self {
        Self {
            since: now,
            shown,
            ppm,
        }
    }

    /// What it shows.
    pub(crate) fn shows(&self, now: Time) -> Time {
        if self.ppm == 0 {
            let passed = i128::from(now.0) - i128::from(self.since.0);
            return Time(clamp(i128::from(self.shown.0) + passed));
        }
        let passed = i128::from(now.0) - i128::from(self.since.0);
        let passed = (passed * (MILLION + i128::from(self.ppm))).div_euclid(MILLION);
        Time(clamp(i128::from(self.shown.0) + passed))
    }

    /// The first instant at which it shows `local` or more.
    pub(crate) fn instant(&self, local: Time) -> Time {
        let wanted = i128::from(local.0) - i128::from(self.shown.0);
        if self.ppm == 0 {
            return Time(clamp(i128::from(self.since.0) + wanted));
        }
        let rate = MILLION + i128::from(self.ppm);
        let passed = (wanted * MILLION).div_euclid(rate);
        let mut at = Time(clamp(i128::from(self.since.0) + passed));
        while self.shows(at) < local && at < Time::NEVER {
            at = Time(at.0.saturating_add(1));
        }
        at
    }
}

fn clamp(nanos: i128) -> u64 {
    u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_is_the_first_at_which_the_clock_shows_it() {
        for ppm in [-500, -1, 0, 1, 200, 500] {
            let clock = Clock::new(Time(1_000_000), Time(77), ppm);
            for local in [77, 78, 1000, 123_456_789, 3_600_000_000_000] {
                let at = clock.instant(Time(local));
                assert!(clock.shows(at) >= Time(local), "{ppm} {local}");
                assert!(clock.shows(Time(at.0 - 1)) < Time(local), "{ppm} {local}");
            }
        }
    }

    #[test]
    fn a_fast_clock_gains_and_a_slow_one_loses() {
        let hour = Time(3_600_000_000_000);
        let shown = |ppm| Clock::new(Time(0), Time(0), ppm).shows(hour).0;
        assert_eq!(shown(200) - hour.0, 720_000_000);
        assert_eq!(hour.0 - shown(-200), 720_000_000);
    }
}
