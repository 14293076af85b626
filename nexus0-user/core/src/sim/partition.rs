//! Links that split and heal: each side keeps an anchor, and afterwards the better one's chain holds everyone.

use core::time::Duration;
use std::collections::BTreeMap;

use nexus0_common::wire::FrameType;

use super::{Sim, seconds};
use crate::event::{Event, Reason};
use crate::time::Time;

fn egos(count: usize) -> Vec<u8> {
    (0..count).map(|index| 100 - (index % 90) as u8).collect()
}

fn halves(count: usize) -> (Vec<usize>, Vec<usize>) {
    ((0..count / 2).collect(), (count / 2..count).collect())
}

/// Settled, split in the middle for long enough that both halves have an anchor.
fn split(seed: u64, count: usize) -> Sim {
    let mut sim = Sim::settled(seed, &egos(count));
    sim.run(seconds(20) + Duration::from_millis(733 * seed));
    let (left, right) = halves(count);
    sim.cut(&left, &right);
    sim.run(seconds(60));
    assert_eq!(sim.anchors(), [0, count / 2], "seed {seed}");
    sim
}

/// Until there is one anchor and everyone follows it.
fn heal(sim: &mut Sim, limit: Duration) -> Duration {
    sim.blocked.clear();
    let took = sim.run_until(limit, one_anchor);
    took.unwrap_or_else(|| {
        sim.explain();
        panic!("anchors {:?}", sim.anchors())
    })
}

fn one_anchor(sim: &Sim) -> bool {
    let [anchor] = sim.anchors()[..] else {
        return false;
    };
    let chain = sim.node(anchor).view(sim.now).chain;
    sim.running()
        .all(|(_, node)| node.view(sim.now).chain == chain)
}

/// How often nodes changed their anchor since then.
fn changes(sim: &Sim, since: Time) -> usize {
    let all = sim.events(|event| matches!(event, Event::AnchorChanged { .. }));
    all.iter().filter(|(_, at)| *at >= since).count()
}

#[test]
fn two_halves_have_one_anchor_within_six_seconds_of_the_heal() {
    let mut worst = (Duration::ZERO, Duration::ZERO);
    for seed in 0..50 {
        let mut sim = split(seed, 8);
        let healed = sim.now;
        let took = heal(&mut sim, seconds(6));
        assert_eq!(sim.anchors(), [0], "seed {seed}");
        sim.run_until(seconds(10), Sim::agrees).expect("one roster");
        worst = (worst.0.max(took), worst.1.max(sim.now.since(healed)));
        sim.run(seconds(130));
        assert_eq!(sim.assert_one_anchor(), 0);
        let merged = |event: &Event| {
            matches!(
                event,
                Event::AnchorChanged {
                    reason: Reason::Merged,
                    ..
                }
            )
        };
        assert_eq!(sim.events(merged).len(), 4, "seed {seed}");
        assert_eq!(
            changes(&sim, healed),
            4,
            "seed {seed}: no change but the merge"
        );
    }
    println!(
        "one anchor after at most {:?}, one roster after {:?}",
        worst.0, worst.1
    );
}

/// Frames of a heal by type, pulses of the steady state left out.
fn cost(count: usize) -> BTreeMap<FrameType, usize> {
    let mut sim = split(3, count);
    let healed = sim.now;
    heal(&mut sim, seconds(6));
    sim.run_until(seconds(10), Sim::agrees).expect("one roster");
    let all = sim.sent.iter().filter(|sent| sent.at >= healed);
    let mut counts = BTreeMap::new();
    for sent in all {
        *counts.entry(sent.frame_type()).or_default() += 1;
    }
    counts
}

#[test]
fn a_merge_costs_one_handshake_and_one_multicast_whatever_the_size() {
    let fixed = [
        FrameType::DoorProbe,
        FrameType::DoorReply,
        FrameType::ReqEpoch,
        FrameType::Answer,
        FrameType::Merge,
        FrameType::Hold,
        FrameType::Ask,
        FrameType::Bye,
        FrameType::Probe,
    ];
    let (small, large) = (cost(10), cost(50));
    println!("10 nodes {small:?}\n50 nodes {large:?}");
    for of in fixed {
        assert_eq!(small.get(&of), large.get(&of), "{}", of.name());
    }
    for (count, cost) in [(10_usize, small), (50, large)] {
        assert_eq!(cost[&FrameType::ReqEpoch], 1);
        assert_eq!(cost[&FrameType::Answer], 1);
        assert_eq!(cost[&FrameType::Merge], 3, "three copies");
        let followers: usize = count / 2 - 1;
        assert_eq!(cost[&FrameType::Introduce], 3 * followers.div_ceil(8));
        // A newcomer's entry and the whole roster, once.
        assert!(cost[&FrameType::Roster] <= 1 + usize::div_ceil(count, 7));
    }
}
