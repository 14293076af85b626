//! The generic cell rate algorithm (ITU-T I.371, virtual scheduling) in one word: the theoretical
//! arrival time of the next frame, in boot-clock nanoseconds.

use crate::maps::Rate;

/// The word after one more frame at `now`, or `None` if the frame comes too early.
#[inline(always)]
pub fn charge(arrival: u64, now: u64, rate: &Rate) -> Option<u64> {
    if arrival > now.wrapping_add(rate.burst) {
        return None;
    }
    let start = if arrival > now { arrival } else { now };
    Some(start.wrapping_add(rate.interval))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_passes_and_the_frame_after_it_does_not() {
        let rate = Rate {
            interval: 10,
            burst: 30,
        };
        let mut arrival = 0;
        for _ in 0..4 {
            arrival = charge(arrival, 1000, &rate).unwrap();
        }
        assert_eq!(charge(arrival, 1000, &rate), None);
        assert!(charge(arrival, 1010, &rate).is_some());
    }

    proptest! {
        #[test]
        fn no_more_passes_than_burst_and_rate_allow(gaps in proptest::collection::vec(0_u64..40, 1..400)) {
            let rate = Rate { interval: 10, burst: 50 };
            let (mut now, mut arrival, mut passed) = (1000, 0, 0_u64);
            for gap in gaps {
                now += gap;
                if let Some(next) = charge(arrival, now, &rate) {
                    arrival = next;
                    passed += 1;
                }
            }
            prop_assert!(passed <= (now - 1000) / rate.interval + rate.burst / rate.interval + 1);
        }
    }
}
