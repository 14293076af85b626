//! Nodes of two wire versions in one mesh.

use core::ops::RangeInclusive;

use nexus0_common::wire::{HIGHEST_VERSION, LOWEST_VERSION};

use super::{Sim, seconds};

const OLD: RangeInclusive<u8> = LOWEST_VERSION..=LOWEST_VERSION;
const BOTH: RangeInclusive<u8> = LOWEST_VERSION..=HIGHEST_VERSION;

/// Nodes that speak these versions, settled.
fn mesh(seed: u64, wires: &[RangeInclusive<u8>]) -> Sim {
    let mut sim = Sim::new(seed);
    for wire in wires {
        sim.add(50);
        start(&mut sim, wire.clone());
    }
    sim.run(seconds(7));
    sim.assert_one_anchor();
    sim
}

/// Starts the node added last.
fn start(sim: &mut Sim, wire: RangeInclusive<u8>) {
    sim.config.wire = wire;
    sim.start(sim.nodes.len() - 1);
}

/// Versions seen in frames under epoch keys since a moment.
fn spoken(sim: &Sim, since: crate::time::Time) -> Vec<u8> {
    let member = |sent: &&super::checks::Sent| {
        sent.at >= since && sent.frame_type().slot() == nexus0_common::wire::Slot::Epoch
    };
    let mut versions: Vec<u8> = sim
        .sent
        .iter()
        .filter(member)
        .map(|sent| sent.payload[2])
        .collect();
    versions.sort_unstable();
    versions.dedup();
    versions
}

fn nobody_refused_anything(sim: &Sim) {
    for (index, node) in sim.running() {
        assert_eq!(node.view(sim.now).counters.refused, 0, "node {index}");
    }
}

#[test]
fn a_mesh_speaks_the_lowest_of_its_members_highest_versions() {
    let mut sim = mesh(1, &[BOTH, BOTH, OLD]);
    sim.run(seconds(65));
    let since = sim.now;
    sim.run(seconds(130));
    assert_eq!(spoken(&sim, since), [LOWEST_VERSION]);
    nobody_refused_anything(&sim);
    sim.assert_one_anchor();
}

#[test]
fn a_mesh_without_old_members_speaks_the_highest_version_from_its_next_turn_on() {
    let mut sim = mesh(2, &[BOTH, BOTH, BOTH]);
    sim.run(seconds(65));
    let since = sim.now;
    sim.run(seconds(60));
    assert_eq!(spoken(&sim, since), [HIGHEST_VERSION]);
    nobody_refused_anything(&sim);
}

#[test]
fn when_the_last_old_member_has_left_the_mesh_moves_up() {
    let mut sim = mesh(3, &[BOTH, BOTH, OLD]);
    sim.input(2, crate::node::Input::Leave);
    sim.kill(2);
    sim.run(seconds(70));
    let since = sim.now;
    sim.run(seconds(60));
    assert_eq!(spoken(&sim, since), [HIGHEST_VERSION]);
    sim.assert_one_anchor();
}

#[test]
fn a_promoted_anchor_keeps_to_what_all_members_speak() {
    let mut sim = mesh(4, &[BOTH, BOTH, OLD, BOTH]);
    let anchor = sim.anchors()[0];
    sim.kill(anchor);
    sim.run(seconds(30));
    let since = sim.now;
    sim.run(seconds(130));
    assert_eq!(spoken(&sim, since), [LOWEST_VERSION]);
    nobody_refused_anything(&sim);
    sim.assert_one_anchor();
}

#[test]
fn a_joiner_that_is_too_old_is_let_in_at_a_lower_version() {
    let mut sim = mesh(5, &[BOTH, BOTH, BOTH]);
    sim.run(seconds(65));
    assert_eq!(spoken(&sim, sim.now - seconds(10)), [HIGHEST_VERSION]);
    sim.add(10);
    start(&mut sim, OLD);
    let took = sim.run_until(seconds(2), Sim::agrees);
    assert!(took.is_some(), "the old node is in");
    // The break is repeated under the old key for three pulses.
    sim.run(seconds(20));
    let since = sim.now;
    sim.run(seconds(130));
    assert_eq!(spoken(&sim, since), [LOWEST_VERSION]);
    sim.assert_one_anchor();
}

#[test]
fn a_recorded_request_of_an_old_node_moves_nothing() {
    let mut sim = mesh(7, &[BOTH, BOTH, BOTH, OLD]);
    let recorded = sim.sent.iter().find(|sent| {
        sent.from == 3 && sent.frame_type() == nexus0_common::wire::FrameType::ReqEpoch
    });
    let (source, recorded) = (sim.nodes[3].address, recorded.unwrap().payload.clone());
    sim.input(3, crate::node::Input::Leave);
    sim.kill(3);
    sim.run(seconds(200));
    let anchor = sim.assert_one_anchor();
    assert_eq!(spoken(&sim, sim.now - seconds(20)), [HIGHEST_VERSION]);
    let chain = sim.node(anchor).view(sim.now).chain;
    for _ in 0..20 {
        let verdict = sim.inject(anchor, source, nexus0_common::wire::GROUP, &recorded);
        assert_eq!(
            verdict,
            nexus0_common::reason::Verdict::Accepted,
            "it knocks"
        );
        sim.run(seconds(10));
    }
    assert_eq!(sim.node(anchor).view(sim.now).chain, chain);
    assert_eq!(spoken(&sim, sim.now - seconds(60)), [HIGHEST_VERSION]);
}

#[test]
fn a_node_that_shares_no_version_stays_outside_and_harms_nobody() {
    let mut sim = mesh(6, &[OLD, OLD, OLD]);
    sim.add(99);
    start(&mut sim, HIGHEST_VERSION..=HIGHEST_VERSION);
    sim.run(seconds(10));
    let anchors: Vec<_> = (0..3)
        .map(|index| sim.node(index).view(sim.now).anchor)
        .collect();
    assert!(anchors.iter().all(|anchor| *anchor == anchors[0]));
    assert_eq!(sim.node(0).view(sim.now).peers.len(), 2);
}
