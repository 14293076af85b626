//! How long a mesh was without an anchor: from the old one's last pulse to the last follower's first
//! accepted pulse of the new one. Pure.
//!
//! A follower that lost the last pulse counts from an earlier one; on one machine there is one clock, so
//! the last pulse is the latest that any follower accepted.

use std::collections::BTreeMap;

use crate::api::types::Failover;

/// Milliseconds of each failover, in the order of their chains' names.
pub fn durations(changes: &[Failover]) -> Vec<f64> {
    let mut chains: BTreeMap<&str, Vec<&Failover>> = BTreeMap::new();
    for change in changes.iter().filter(|change| change.from.is_some()) {
        chains.entry(&change.chain).or_default().push(change);
    }
    chains
        .values()
        .filter_map(|chain| duration(chain))
        .collect()
}

fn duration(changes: &[&Failover]) -> Option<f64> {
    let nanoseconds = |milliseconds: u64| milliseconds.saturating_mul(1_000_000);
    let starts = changes
        .iter()
        .filter_map(|c| Some(c.pulse_ns?.saturating_sub(nanoseconds(c.took_ms?))));
    let last_pulse = starts.max()?;
    let firsts = changes.iter().filter(|c| c.took_ms.is_some());
    let end = firsts.filter_map(|c| c.pulse_ns).max()?;
    Some((end.saturating_sub(last_pulse) / 1_000_000) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(chain: &str, pulse_ms: u64, took_ms: Option<u64>) -> Failover {
        Failover {
            at_ns: 0,
            from: Some("a".into()),
            to: "b".into(),
            chain: chain.into(),
            number: 2,
            reason: "silence".into(),
            pulse_ns: Some(pulse_ms * 1_000_000),
            took_ms,
        }
    }

    #[test]
    fn a_failover_lasts_from_the_last_pulse_anyone_heard_to_the_last_followers_first() {
        let changes = [
            change("c", 21_000, Some(15_000)),
            change("c", 21_300, Some(20_300)),
            change("d", 50_000, Some(700)),
        ];
        assert_eq!(durations(&changes), [15_300.0, 700.0]);
    }

    #[test]
    fn who_joins_the_chain_later_does_not_count() {
        let changes = [change("c", 21_000, Some(15_000)), change("c", 60_000, None)];
        assert_eq!(durations(&changes), [15_000.0]);
        assert!(durations(&changes[1..]).is_empty());
    }
}
