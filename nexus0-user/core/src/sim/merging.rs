//! A merge with something going wrong: each frame lost, each side killed at each step, and members that lie.

use core::time::Duration;

use nexus0_common::reason::Verdict;
use nexus0_common::wire::{Beacon, FrameType, GROUP};

use super::checks::Sent;
use super::partition::{changes, egos, heal, one_anchor, split};
use super::{Sim, seconds};
use crate::epoch::Rhythm;
use crate::event::Event;
use crate::id::{ChainId, RosterDigest, sha256};
use crate::identity::Identity;
use crate::node::Input;
use crate::passage::Passage;
use crate::secret::Material;
use crate::send::{Envelope, Under};
use crate::time::Time;

/// The frames that a merge consists of: when, from whom, what.
fn steps(count: usize) -> Vec<(Time, usize, FrameType)> {
    let mut sim = split(11, count);
    let healed = sim.now;
    heal(&mut sim, seconds(6));
    sim.run_until(seconds(10), Sim::agrees).expect("one roster");
    let merged = sim
        .sent
        .iter()
        .find(|sent| sent.frame_type() == FrameType::Merge);
    let from = merged.expect("a merge").at - Duration::from_millis(100);
    let all = sim.sent.iter().filter(|sent| sent.at >= from.max(healed));
    let mut steps: Vec<_> = all
        .map(|sent| (sent.at, sent.from, sent.frame_type()))
        .collect();
    steps.dedup();
    steps
}

/// The same run, stopped before or right after a frame is sent.
fn until(count: usize, at: Time) -> Sim {
    let mut sim = split(11, count);
    sim.blocked.clear();
    sim.run(at.since(sim.now));
    sim
}

#[test]
fn every_frame_of_a_merge_may_be_lost_once() {
    let mut worst = (Duration::ZERO, None);
    let steps = steps(6);
    let kinds = [
        FrameType::Beacon,
        FrameType::DoorProbe,
        FrameType::DoorReply,
        FrameType::ReqEpoch,
        FrameType::Answer,
        FrameType::Introduce,
        FrameType::Merge,
        FrameType::Roster,
        FrameType::Ann,
    ];
    for kind in kinds {
        assert!(steps.iter().any(|step| step.2 == kind), "{}", kind.name());
    }
    for (at, from, kind) in steps {
        let mut sim = until(6, at - Duration::from_nanos(1));
        let before = sim.sent.len();
        sim.blocked.extend((0..6).map(|to| (from, to)));
        sim.run(Duration::from_nanos(1));
        let lost = &sim.sent[before..];
        let lost = lost
            .iter()
            .any(|sent| sent.from == from && sent.frame_type() == kind);
        assert!(lost, "the run repeats");
        sim.blocked.clear();
        let took = sim.run_until(seconds(12), Sim::agrees);
        let took = took.unwrap_or_else(|| {
            sim.explain();
            panic!("{} of {from} lost", kind.name())
        });
        assert_eq!(sim.anchors(), [0]);
        worst = worst.max((took, Some(kind)));
    }
    println!("one frame lost: one roster after at most {worst:?}");
}

#[test]
fn winner_and_loser_may_die_at_every_step() {
    let mut worst = Duration::ZERO;
    for (at, _, kind) in steps(6) {
        for victim in [0, 3] {
            let mut sim = until(6, at);
            sim.kill(victim);
            let took = sim.run_until(seconds(30), one_anchor);
            let took = took.unwrap_or_else(|| {
                sim.explain();
                panic!("{victim} dead after {}", kind.name())
            });
            worst = worst.max(took);
            sim.run_until(seconds(150), Sim::agrees)
                .expect("one roster");
            sim.start(victim);
            sim.run(seconds(140));
            sim.assert_one_anchor();
        }
    }
    println!("one dead: one anchor after at most {worst:?}");
}

#[test]
fn a_heal_within_the_epoch_refuses_no_valid_frame_and_passes_no_recorded_one() {
    for seed in 0..6 {
        let mut sim = Sim::settled(seed, &egos(6));
        let key = sim.node(0).view(sim.now).keys[0].id;
        let start = sim.sent.len();
        sim.run(seconds(6));
        let recorded = sim.sent[start..].to_vec();
        sim.run(seconds(1));
        sim.cut(&[0, 1, 2], &[3, 4, 5]);
        sim.run(seconds(28));
        assert_eq!(sim.anchors(), [0, 3], "seed {seed}");
        heal(&mut sim, seconds(6));
        assert_eq!(sim.node(5).under_current(sim.now).unwrap().material.id, key);
        let counted = |sim: &Sim| -> (u64, u64) {
            let replays = sim.nodes.iter();
            let replays = replays.map(|node| node.verdicts.get(&Verdict::Replay).copied());
            let nodes = sim
                .running()
                .map(|(_, node)| node.view(sim.now).counters.disagreements);
            (replays.map(|count| count.unwrap_or(0)).sum(), nodes.sum())
        };
        let before = counted(&sim);
        sim.run(seconds(6));
        assert_eq!(
            counted(&sim),
            before,
            "seed {seed}: a valid frame was refused"
        );
        let mut played = 0;
        for sent in recorded.iter().filter(|sent| sent.payload[4..8] == key.0) {
            for to in (0..6).filter(|to| *to != sent.from) {
                let source = sim.nodes[sent.from].address;
                if sent.destination != GROUP && sent.destination != sim.nodes[to].address {
                    continue;
                }
                // A filter forgets a sender's windows with the sender; the node judges again.
                let refused = sim.node(to).view(sim.now).counters.refused;
                let verdict = sim.inject(to, source, sent.destination, &sent.payload);
                let after = sim.node(to).view(sim.now).counters.refused;
                let passed = verdict == Verdict::Accepted && after == refused;
                assert!(!passed, "seed {seed}: {:?} {verdict:?}", sent.frame_type());
                played += 1;
            }
        }
        assert!(played >= 25, "{played}");
    }
}

/// A MERGE of a node's making into the chain of another one.
fn merge_into(sim: &mut Sim, forger: usize, winner: usize) -> Vec<u8> {
    let now = sim.now;
    let mesh = sim.root.mesh_id();
    let secret = |byte| Material::derive(mesh, zeroize::Zeroizing::new([byte; 32]));
    let lineage = sim.node(winner).lineage.clone().unwrap();
    let passage = Passage {
        chain: lineage.chain,
        number: lineage.number,
        end: now + seconds(30),
        rhythm: Rhythm {
            pulse: seconds(5),
            epoch: seconds(60),
        },
        current: secret(0x71).speaking(1),
        next: None,
        roster: RosterDigest([1; 8]),
        members: 3,
        revocation: 0,
        grant: sim.nodes[winner].grant.clone(),
        source: sim.nodes[winner].address,
    };
    let node = sim.nodes[forger].node.as_mut().unwrap();
    let under = node.under_current(now).unwrap();
    let body = node.merge_body(now, &under, &passage).unwrap();
    forged(sim, forger, &under, &body)
}

fn forged<B: nexus0_common::wire::Body>(sim: &Sim, by: usize, under: &Under, body: &B) -> Vec<u8> {
    let identity = Identity::from_seed(&sha256(&[&[1], &(by as u64).to_be_bytes()]));
    Envelope {
        mesh: sim.root.mesh_id(),
        identity: &identity,
        under,
        source: sim.nodes[by].address,
        destination: GROUP,
        sequence: sim.node(by).sequence + 100,
    }
    .frame(body)
    .unwrap()
}

fn followed(sim: &Sim) -> Vec<(Option<ChainId>, usize)> {
    let view = |index: usize| sim.node(index).view(sim.now);
    let all = sim.running().map(|(index, _)| view(index));
    all.map(|view| (view.chain, view.keys.len())).collect()
}

#[test]
fn only_the_own_anchors_merge_into_a_better_chain_is_followed() {
    // A member forges one; the better half's anchor gives one into the worse chain; and, so that the test
    // shows something, the worse half's anchor into the better one.
    for (forger, winner, receiver, taken) in [(5, 0, 6, false), (0, 4, 1, false), (4, 0, 6, true)] {
        let mut sim = split(12, 8);
        let frame = merge_into(&mut sim, forger, winner);
        let (before, chain) = (followed(&sim), sim.node(winner).view(sim.now).chain);
        let source = sim.nodes[forger].address;
        let verdict = sim.inject(receiver, source, GROUP, &frame);
        assert_eq!(verdict, Verdict::Accepted, "the tag is right");
        if taken {
            assert_eq!(sim.node(receiver).view(sim.now).chain, chain);
        } else {
            assert_eq!(followed(&sim), before, "{forger} into {winner}");
        }
    }
}

#[test]
fn a_merge_of_before_is_refused_in_the_next_chain() {
    let mut sim = split(13, 8);
    heal(&mut sim, seconds(6));
    sim.run_until(seconds(10), Sim::agrees).expect("one roster");
    let all = sim
        .sent
        .iter()
        .filter(|sent| sent.frame_type() == FrameType::Merge);
    let merges: Vec<_> = all.cloned().collect();
    assert_eq!(merges.len(), 3);
    let replay = |sim: &mut Sim| {
        let before = followed(sim);
        for merge in &merges {
            for to in 5..8 {
                let source = sim.nodes[merge.from].address;
                let verdict = sim.inject(to, source, GROUP, &merge.payload);
                assert_ne!(verdict, Verdict::Accepted);
            }
        }
        assert_eq!(followed(sim), before);
    };
    replay(&mut sim);
    sim.cut(&[0, 1, 2, 3], &[4, 5, 6, 7]);
    sim.run(seconds(40));
    replay(&mut sim);
    heal(&mut sim, seconds(6));
    replay(&mut sim);
}

#[test]
fn beacons_of_the_dead_and_of_those_out_of_reach_change_nothing() {
    let mut sim = split(14, 8);
    let beacons = sim
        .sent
        .iter()
        .rev()
        .filter(|sent| sent.from == 0 && sent.frame_type() == FrameType::Beacon);
    let beacon = beacons.take(1).next().unwrap().clone();
    let (before, since, source) = (followed(&sim), sim.now, sim.nodes[0].address);
    let sent = sim.sent.len();
    for _ in 0..20 {
        sim.inject(4, source, GROUP, &beacon.payload);
        sim.run(Duration::from_millis(500));
    }
    let probes = sim.sent[sent..].iter();
    let probes = probes.filter(|sent| sent.from == 4 && sent.frame_type() == FrameType::DoorProbe);
    let probes = probes.count();
    assert!((1..=10).contains(&probes), "{probes}: once in P/5");
    sim.kill(0);
    sim.run(seconds(60));
    sim.inject(4, source, GROUP, &beacon.payload);
    sim.run(seconds(3));
    assert_eq!(sim.node(4).view(sim.now).chain, before[4].0);
    let moved = sim.events(|event| matches!(event, Event::AnchorChanged { .. }));
    assert!(moved.iter().all(|(index, at)| *index < 4 || *at < since));
}

#[test]
fn a_beacon_is_answered_by_a_beacon_or_a_probe_and_not_at_once_again() {
    let mut sim = split(15, 8);
    let since = sim.now;
    let lineage = sim.node(4).lineage.clone().unwrap();
    let body = Beacon {
        chain: lineage.chain.0,
        number: lineage.number,
        revocation: 0,
        door_nonce: [9; 4],
        grant: *sim.nodes[4].grant.bytes(),
    };
    let door = Under {
        material: Material::door(sim.root.mesh_id()).speaking(1),
        chain: None,
    };
    let frame = forged(&sim, 4, &door, &body);
    let sent = sim.sent.len();
    let source = sim.nodes[4].address;
    sim.inject(0, source, GROUP, &frame);
    sim.inject(0, source, GROUP, &frame);
    let answers: Vec<_> = sim.sent[sent..].iter().map(Sent::frame_type).collect();
    assert_eq!(answers, [FrameType::Beacon]);
    assert!(
        sim.sent[sent].payload.len() <= frame.len(),
        "no amplification"
    );
    assert_eq!(changes(&sim, since), 0);
}

#[test]
fn introduced_nodes_fill_half_the_places_and_make_way_for_joiners() {
    let mut sim = Sim::settled(16, &egos(3));
    let strangers: Vec<usize> = (0..600).map(|_| sim.add(5)).collect();
    let grants: Vec<_> = strangers
        .iter()
        .map(|index| sim.nodes[*index].grant.clone())
        .collect();
    let under = sim.node(1).under_current(sim.now).unwrap();
    let address = sim.nodes[0].address;
    let now = sim.now;
    let ids: Vec<_> = strangers.iter().map(|index| sim.id(*index)).collect();
    let node = sim.nodes[1].node.as_mut().unwrap();
    for grant in grants {
        node.learn(now, grant, Some(1));
    }
    node.introduce(&under, address, &ids);
    let own = sim.nodes[1].address;
    sim.input(1, Input::AddressReady(own));
    sim.run(Duration::from_millis(10));
    let pending = |sim: &Sim| sim.node(0).pending();
    assert_eq!(pending(&sim), (256, 256));
    let joiner = sim.add(7);
    sim.start(joiner);
    sim.run(seconds(1));
    assert!(sim.node(joiner).complete(), "joiners have the other half");
    sim.run(seconds(20));
    assert_eq!(pending(&sim), (0, 0), "who is not heard is forgotten");
    sim.assert_one_anchor();
}
