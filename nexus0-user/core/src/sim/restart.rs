//! A controller that dies and goes on from its snapshot, and one that must not.

use core::time::Duration;

use nexus0_common::wire::FrameType;

use super::{Sim, seconds};
use crate::event::Event;
use crate::node::{Node, Role};
use crate::snapshot::{Restored, SnapshotError, taken_at};

const BOOT: [u8; 16] = [7; 16];

/// Kills a node now and starts it again after a while with its snapshot.
fn restart(sim: &mut Sim, index: usize, away: Duration) -> Result<Restored, SnapshotError> {
    let snapshot = sim.node(index).snapshot(sim.now, BOOT).unwrap();
    sim.kill(index);
    sim.run(away);
    sim.start_with(index, BOOT, &snapshot)
}

fn chain(sim: &Sim, index: usize) -> Option<crate::id::ChainId> {
    sim.node(index).view(sim.now).chain
}

fn promotions(sim: &Sim) -> usize {
    sim.events(|event| matches!(event, Event::Promoted { .. }))
        .len()
}

#[test]
fn an_anchor_back_within_two_seconds_goes_on_unnoticed() {
    for seed in 0..20 {
        let mut sim = Sim::settled(seed, &[90, 50, 40]);
        sim.run(seconds(20 + 3 * seed));
        let before = chain(&sim, 0);
        let sequence = sim.node(0).sequence;
        assert_eq!(restart(&mut sim, 0, seconds(2)), Ok(Restored::Resumed));
        assert!(sim.node(0).sequence >= sequence + (1 << 20));
        sim.run(seconds(200));
        assert_eq!(sim.assert_one_anchor(), 0, "seed {seed}");
        assert_eq!((chain(&sim, 0), promotions(&sim)), (before, 0));
        assert_eq!(sim.node(1).counters.disagreements, 0);
    }
}

#[test]
fn an_anchor_that_comes_back_announces_what_it_had_announced() {
    for seed in 0..20 {
        let mut sim = Sim::settled(seed, &[90, 50, 40]);
        let announced = sim.count(FrameType::Epoch);
        sim.run_until(seconds(60), |sim| sim.count(FrameType::Epoch) > announced)
            .unwrap();
        // The succession would begin otherwise now.
        let joiner = sim.add(45);
        sim.start(joiner);
        sim.run(seconds(2));
        assert_eq!(restart(&mut sim, 0, seconds(2)), Ok(Restored::Resumed));
        sim.run(seconds(100));
        assert_eq!(sim.assert_one_anchor(), 0, "seed {seed}");
        let cheats = sim.events(|event| matches!(event, Event::Cheated { .. }));
        assert!(cheats.is_empty(), "seed {seed}: {cheats:?}");
    }
}

#[test]
fn an_anchor_that_finds_a_newer_list_breaks_its_chain_and_one_that_finds_the_same_does_not() {
    let mut sim = Sim::settled(1, &[90, 50, 40, 30]);
    sim.expel(0, 1, &[2]);
    sim.run(seconds(20));
    let before = chain(&sim, 0);
    assert_eq!(restart(&mut sim, 0, seconds(1)), Ok(Restored::Resumed));
    sim.run(seconds(20));
    assert_eq!((chain(&sim, 0), chain(&sim, 1)), (before, before));

    let snapshot = sim.node(0).snapshot(sim.now, BOOT).unwrap();
    sim.kill(0);
    sim.nodes[0].revocations = sim.list(2, 0, &[2, 3]);
    sim.run(seconds(1));
    assert_eq!(sim.start_with(0, BOOT, &snapshot), Ok(Restored::Resumed));
    sim.run(seconds(10));
    assert_ne!(chain(&sim, 0), before);
    assert_eq!(chain(&sim, 1), chain(&sim, 0));
    assert_eq!(promotions(&sim), 0);
    assert_eq!(sim.node(3).role(), Role::Revoked);
}

#[test]
fn without_its_snapshot_the_same_restart_changes_the_chain() {
    let mut sim = Sim::settled(1, &[90, 50, 40]);
    let before = chain(&sim, 1);
    sim.kill(0);
    sim.run(seconds(2));
    sim.start(0);
    sim.run(seconds(20));
    assert_ne!(chain(&sim, 1), before);
    assert_eq!(promotions(&sim), 1);
}

#[test]
fn an_anchor_away_for_longer_was_succeeded_and_comes_back_as_a_member() {
    let mut sim = Sim::settled(2, &[90, 50, 40]);
    sim.config.hold_down = seconds(3600);
    assert_eq!(restart(&mut sim, 0, seconds(20)), Ok(Restored::Joins));
    sim.run(seconds(10));
    assert_eq!(sim.node(0).role(), Role::Member);
    assert_eq!((sim.anchors().len(), promotions(&sim)), (1, 1));
}

#[test]
fn a_member_back_from_a_restart_asks_nobody() {
    let mut sim = Sim::settled(3, &[90, 50, 40]);
    let requests = sim.count(FrameType::ReqEpoch);
    assert_eq!(restart(&mut sim, 2, seconds(30)), Ok(Restored::Resumed));
    sim.run(seconds(200));
    sim.assert_one_anchor();
    assert_eq!(sim.count(FrameType::ReqEpoch), requests);
}

#[test]
fn a_member_whose_keys_are_over_joins_again_above_its_old_sequence() {
    let mut sim = Sim::settled(4, &[90, 50, 40]);
    let sequence = sim.node(2).sequence;
    assert_eq!(restart(&mut sim, 2, seconds(200)), Ok(Restored::Joins));
    sim.run(seconds(60));
    sim.assert_one_anchor();
    assert!(sim.node(2).sequence > sequence + (1 << 20));
}

#[test]
fn what_was_heard_before_the_restart_is_refused_after_it_by_the_node_alone() {
    let mut sim = Sim::settled(5, &[90, 50, 40]);
    let old = sim.sent.iter().rev();
    let old = old.filter(|sent| sent.from == 0 && sent.frame_type() == FrameType::Anchor);
    let old = old.take(1).next().unwrap().clone();
    assert_eq!(restart(&mut sim, 2, seconds(1)), Ok(Restored::Resumed));
    let source = sim.nodes[0].address;
    let refused = sim.node(2).counters.refused;
    let input = crate::node::Input::Frame {
        source,
        destination: old.destination,
        payload: &old.payload,
    };
    sim.input(2, input);
    assert_eq!(sim.node(2).counters.refused, refused + 1);
}

#[test]
fn a_snapshot_of_another_boot_or_node_or_of_the_future_is_refused() {
    let mut sim = Sim::settled(6, &[90, 50, 40]);
    let snapshot = sim.node(0).snapshot(sim.now, BOOT).unwrap();
    assert_eq!(taken_at(&snapshot), Some(sim.now));
    sim.kill(0);
    let other = [8; 16];
    let refused = sim.start_with(0, other, &snapshot);
    assert_eq!(refused, Err(SnapshotError::OtherBoot));
    sim.kill(1);
    let refused = sim.start_with(1, BOOT, &snapshot);
    assert_eq!(refused, Err(SnapshotError::OtherNode));
    let ahead = sim.node(2).snapshot(sim.now + seconds(1), BOOT).unwrap();
    sim.kill(2);
    let refused = sim.start_with(2, BOOT, &ahead);
    assert_eq!(refused, Err(SnapshotError::OtherBoot));
}

#[test]
fn no_cut_or_changed_snapshot_is_more_than_refused() {
    let mut sim = Sim::settled(7, &[90, 50]);
    let snapshot = sim.node(0).snapshot(sim.now, BOOT).unwrap();
    for length in 0..snapshot.len() {
        assert_eq!(taken_at(&snapshot[..length]), None, "{length}");
    }
    for at in 0..snapshot.len() {
        let mut changed = snapshot.to_vec();
        changed[at] ^= 0x81;
        sim.kill(0);
        let _ = sim.start_with(0, BOOT, &changed);
    }
}

#[test]
fn a_node_that_left_keeps_nothing_and_every_change_calls_for_a_new_snapshot() {
    let mut sim = Sim::settled(8, &[90, 50]);
    let mark = |node: &Node| node.snapshot_mark();
    let before = mark(sim.node(0));
    assert_eq!(before, mark(sim.node(0)));
    sim.run(seconds(6));
    assert_ne!(before, mark(sim.node(0)), "a pulse went out");
    sim.input(0, crate::node::Input::Leave);
    assert!(sim.node(0).snapshot(sim.now, BOOT).is_none());
}
