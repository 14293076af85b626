//! Fresh secrets, sealed to each member on its own, in a real mesh: often enough to be watched.

use std::collections::BTreeSet;
use std::time::Duration;

use nexus0::flood::Cast;
use nexus0::lab::options::Options;
use nexus0::lab::running::Lab;
use nexus0::lab::story::Found;
use nexus0::lab::summary::Summary;

use crate::{fast, pulses, start, wait_for_turns};

/// After some turns, and what the last of them needs to be compared.
fn summary_after(lab: &mut Lab, turns: usize) -> Summary {
    wait_for_turns(lab, turns);
    pulses(lab, 8);
    lab.books().close(Cast::Multicast).unwrap();
    Summary::of(lab, None, &Found::default()).unwrap()
}

#[test]
fn the_chain_goes_on_across_fresh_secrets_and_every_member_takes_them() {
    let mut lab = start(Options {
        nodes: 4,
        // Longer than an epoch: ordinary turns come between.
        rekey: Duration::from_secs(6),
        ..fast()
    });
    let summary = summary_after(&mut lab, 6);
    let chains: BTreeSet<&String> = lab.seen.turns.iter().map(|(chain, _)| chain).collect();
    assert_eq!(chains.len(), 1, "{}", lab.picture());
    assert_eq!(summary.fresh_turns.len(), 4);
    for (name, fresh) in &summary.fresh_turns {
        let ordinary = summary.epochs_turned as u64 - fresh;
        assert!(*fresh >= 2 && ordinary >= 2, "{name}: {summary:?}");
    }
    assert!(summary.valid_compared > 0);
    assert_eq!(summary.valid_lost, 0, "{:?}", summary.gaps);
    let told = |text: &str| text.contains("from a fresh secret");
    let who: BTreeSet<&String> = lab
        .seen
        .events
        .iter()
        .filter(|(_, _, text)| told(text))
        .map(|(_, who, _)| who)
        .collect();
    assert_eq!(who.len(), 4, "each node says so");
}

#[test]
fn within_the_hour_no_secret_comes_fresh() {
    let mut lab = start(fast());
    let summary = summary_after(&mut lab, 2);
    assert!(summary.epochs_turned >= 2);
    assert!(summary.fresh_turns.values().all(|fresh| *fresh == 0));
}
