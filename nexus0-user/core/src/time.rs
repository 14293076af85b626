//! When: nanoseconds of the boot clock, handed in by whoever drives a node.

use core::fmt;
use core::ops::{Add, Sub};
use core::time::Duration;

use serde::Serialize;

/// Boot-clock nanoseconds. Arithmetic saturates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Time(pub u64);

impl Time {
    /// Later than every other time.
    pub const NEVER: Self = Self(u64::MAX);

    /// How long ago `earlier` was; zero if it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Time {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }
}

impl Sub<Duration> for Time {
    type Output = Self;

    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", Duration::from_nanos(self.0))
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// `numerator / denominator` of a span, rounded down; zero for a zero denominator.
pub fn part(span: Duration, numerator: u32, denominator: u32) -> Duration {
    span.saturating_mul(numerator)
        .checked_div(denominator)
        .unwrap_or_default()
}

/// Whole milliseconds of a span, as they travel on the wire.
pub fn wire_millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_at_both_ends() {
        assert_eq!(Time(5) - Duration::from_secs(1), Time(0));
        assert_eq!(Time::NEVER + Duration::from_secs(1), Time::NEVER);
        assert_eq!(Time(5).since(Time(9)), Duration::ZERO);
        assert_eq!(Time(9).since(Time(5)), Duration::from_nanos(4));
    }

    #[test]
    fn parts_of_a_pulse() {
        assert_eq!(
            part(Duration::from_secs(5), 5, 4),
            Duration::from_millis(6250)
        );
        assert_eq!(part(Duration::from_secs(5), 1, 0), Duration::ZERO);
    }
}
