//! An anchor that tells two halves of its mesh different things.

use nexus0_common::reason::Verdict;
use nexus0_common::wire::{Body, EXHIBIT_LEN, Epoch, Exhibit, FrameType, GROUP, Proof};

use super::{Sim, seconds};
use crate::conviction::{Conviction, ConvictionError};
use crate::epoch::EpochKey;
use crate::event::{Event, Reason};
use crate::id::{MeshId, NodeId, sha256};
use crate::identity::Identity;
use crate::node::Role;
use crate::send::{Envelope, Under};

/// A frame that a node signs and tags although it would not send it.
pub(super) fn signed_frame<B: Body>(
    sim: &mut Sim,
    index: usize,
    under: &Under,
    body: &B,
) -> Vec<u8> {
    let (mesh, source) = (sim.root.mesh_id(), sim.nodes[index].address);
    let identity = Identity::from_seed(&sha256(&[&[1], &(index as u64).to_be_bytes()]));
    let node = sim.nodes[index].node.as_mut().unwrap();
    node.sequence += 1;
    let sequence = node.sequence;
    let envelope = Envelope {
        mesh,
        identity: &identity,
        under,
        source,
        destination: GROUP,
        sequence,
    };
    envelope.frame(body).unwrap()
}

/// The current key of a node.
fn under(sim: &Sim, index: usize) -> Under {
    sim.node(index).under_current(sim.now).unwrap()
}

/// An EPOCH for the next number with a secret of its own, as `index` would send it.
fn other_epoch(sim: &mut Sim, index: usize) -> Vec<u8> {
    let (now, under) = (sim.now, under(sim, index));
    let node = sim.nodes[index].node.as_mut().unwrap();
    let chain = under.chain.unwrap();
    let current = node.keys.current(chain, now).unwrap();
    let (number, end) = (current.number + 1, current.activation + node.rhythm.epoch);
    let material = node.fresh_material(now);
    let key = EpochKey::new(material, chain, number, end, node.rhythm);
    let body = node.epoch_body(now, &under, &key, None, 0).unwrap();
    signed_frame(sim, index, &under, &body)
}

/// The EPOCH that a node put on the link last, its chain and source beside it.
fn last_epoch(sim: &Sim, index: usize) -> Exhibit {
    let sent = sim
        .sent
        .iter()
        .rev()
        .find(|sent| sent.from == index && sent.frame_type() == FrameType::Epoch)
        .unwrap();
    exhibit(sim, index, &sent.payload)
}

fn exhibit(sim: &Sim, index: usize, payload: &[u8]) -> Exhibit {
    Exhibit {
        chain: under(sim, index).chain.unwrap().0,
        source: sim.nodes[index].address,
        frame: *payload.first_chunk().unwrap(),
    }
}

/// The last of the others gets an EPOCH of its own instead of the one that all others get.
fn cheated(seed: u64, egos: &[u8]) -> Sim {
    let mut sim = Sim::settled(seed, egos);
    let victim = egos.len() - 1;
    sim.run(seconds(18));
    let frame = other_epoch(&mut sim, 0);
    let source = sim.nodes[0].address;
    assert_eq!(sim.inject(victim, source, GROUP, &frame), Verdict::Accepted);
    sim.blocked.insert((0, victim));
    sim.run_until(seconds(20), |sim| sim.count(FrameType::Epoch) > 0)
        .unwrap();
    sim.blocked.clear();
    sim
}

fn changes(sim: &Sim) -> usize {
    sim.events(|event| {
        matches!(
            event,
            Event::AnchorChanged {
                reason: Reason::Cheated,
                ..
            }
        )
    })
    .len()
}

#[test]
fn an_anchor_that_tells_two_halves_different_keys_is_followed_by_neither() {
    for (seed, egos) in [(0, &[50, 40, 30][..]), (1, &[90, 50, 40, 30, 20, 10])] {
        let mut sim = cheated(seed, egos);
        let begun = sim.now;
        let all_know = |sim: &Sim| {
            let mut others = 1..egos.len();
            others.all(|index| sim.node(index).witness.cheated(sim.id(0)))
        };
        sim.run_until(seconds(30), all_know).expect("a proof");
        println!(
            "{} nodes: proved after {:?}",
            egos.len(),
            sim.now.since(begun)
        );
        assert!(sim.now.since(begun) <= seconds(7));
        sim.run(seconds(3));
        let follows = |sim: &Sim, index: usize| sim.node(index).view(sim.now).anchor;
        for index in 1..egos.len() {
            assert_eq!(follows(&sim, index), Some(sim.id(1)), "node {index}");
        }
        assert_eq!(changes(&sim), egos.len() - 1);
        let proofs = sim.count(FrameType::Proof);
        println!("{} nodes: {proofs} PROOFs", egos.len());
        // It reigns on, for itself.
        sim.run(seconds(200));
        for index in 1..egos.len() {
            assert_eq!(follows(&sim, index), Some(sim.id(1)), "node {index}");
            assert_eq!(sim.node(index).view(sim.now).counters.cheats, 1);
        }
        // Back as a member, with the higher ego, it takes nothing over.
        sim.kill(0);
        sim.start(0);
        sim.run(seconds(600));
        assert_eq!(sim.assert_one_anchor(), 1);
        assert_eq!(sim.node(0).role(), Role::Member);
    }
}

/// A mesh of four that has convicted its first anchor, which leads on for itself.
fn convicted() -> Sim {
    let mut sim = cheated(3, &[50, 40, 30, 20]);
    sim.run(seconds(20));
    assert!((1..4).all(|index| sim.node(index).witness.cheated(sim.id(0))));
    sim
}

fn followed(sim: &Sim, index: usize) -> Option<NodeId> {
    sim.node(index).view(sim.now).anchor
}

#[test]
fn a_conviction_outlives_controller_and_host_but_not_the_disk() {
    let mut sim = convicted();
    sim.kill(3);
    sim.start(3);
    sim.kill(2);
    sim.reboot(2, 0);
    sim.run(seconds(10));
    for index in [2, 3] {
        assert!(sim.node(index).witness.cheated(sim.id(0)), "{index}");
        assert_eq!(followed(&sim, index), Some(sim.id(1)), "{index}");
    }
    // Negative control: nobody has told who lost its disk, and it joins the better-ranked anchor.
    sim.kill(3);
    sim.wipe(3, 0);
    sim.run(seconds(10));
    assert_eq!(followed(&sim, 3), Some(sim.id(0)));
}

#[test]
fn who_joins_those_who_know_is_shown_the_proof() {
    let mut sim = convicted();
    // It comes back as a member.
    sim.kill(0);
    sim.start(0);
    sim.run(seconds(30));
    assert_eq!(sim.assert_one_anchor(), 1);
    let joiner = sim.add(10);
    sim.start(joiner);
    let shown = |sim: &Sim| sim.node(joiner).witness.cheated(sim.id(0));
    sim.run_until(seconds(10), shown).expect("the proof");
}

#[test]
fn what_was_kept_and_convicts_nobody_here_is_not_recalled() {
    let sim = convicted();
    let kept = sim.nodes[1].convictions.first().unwrap();
    let mesh = sim.root.mesh_id();
    let read = |bytes: &[u8]| Conviction::parse(bytes, mesh).map(|read| read.signer());
    assert_eq!(read(kept), Ok(sim.id(0)));
    let bent = |at: usize| {
        let mut bytes = kept.clone();
        bytes[at] ^= 1;
        read(&bytes).unwrap_err()
    };
    let first = 32;
    let second = first + EXHIBIT_LEN;
    assert_eq!(bent(0), ConvictionError::Harmless, "another signer");
    for at in [first, second, first + 8, second + 24 + 200] {
        assert_eq!(bent(at), ConvictionError::Signature(mesh), "byte {at}");
    }
    let pair = |one: usize, other: usize| {
        let exhibit = |at: usize| &kept[at..at + EXHIBIT_LEN];
        read(&[&kept[..32], exhibit(one), exhibit(other)].concat())
    };
    assert_eq!(pair(second, first), Ok(sim.id(0)), "in either order");
    assert_eq!(pair(first, first), Err(ConvictionError::Harmless));
    for length in [0, 31, 32, kept.len() - 1] {
        assert_eq!(read(&kept[..length]), Err(ConvictionError::Length(length)));
    }
    let elsewhere = MeshId([7; 16]);
    assert_eq!(
        Conviction::parse(kept, elsewhere),
        Err(ConvictionError::Signature(elsewhere))
    );
}

#[test]
fn an_honest_anchor_under_loss_is_never_convicted() {
    for seed in 0..4 {
        let mut sim = Sim::settled(seed, &[50, 40, 30, 20]);
        sim.link.loss = 250;
        sim.link.duplication = 200;
        sim.link.delay = (1, 60);
        for late in [90, 45, 10] {
            let joiner = sim.add(late);
            sim.start(joiner);
            sim.run(seconds(97));
        }
        sim.run(seconds(300));
        let cheats = sim.events(|event| matches!(event, Event::Cheated { .. }));
        assert!(cheats.is_empty(), "seed {seed}: {cheats:?}");
    }
}

/// Four members and the anchor's announced EPOCH.
fn announced() -> (Sim, Exhibit) {
    let mut sim = Sim::settled(5, &[50, 40, 30, 20]);
    sim.run_until(seconds(60), |sim| sim.count(FrameType::Epoch) > 0)
        .unwrap();
    sim.run(seconds(1));
    let exhibit = last_epoch(&sim, 0);
    (sim, exhibit)
}

/// Shows node 1 these exhibits in the name of node 3; whether anyone was convicted.
fn convicts(sim: &mut Sim, exhibits: &[[u8; EXHIBIT_LEN]]) -> bool {
    let under = under(sim, 3);
    let frame = signed_frame(sim, 3, &under, &Proof { exhibits });
    let source = sim.nodes[3].address;
    assert_eq!(sim.inject(1, source, GROUP, &frame), Verdict::Accepted);
    sim.node(1).counters.cheats > 0
}

#[test]
fn what_is_no_proof_convicts_nobody() {
    let (mut sim, honest) = announced();
    let other = other_epoch(&mut sim, 0);
    let other = exhibit(&sim, 0, &other);
    let mut bent = other;
    bent.frame[24 + 200] ^= 1;
    let mut elsewhere = other;
    elsewhere.source[15] ^= 1;
    let mut by_another = other;
    by_another.frame[8..16].copy_from_slice(&sim.id(2).0);
    let mut pulse = other;
    pulse.frame[3] = FrameType::Roster as u8;
    for (what, first, second) in [
        ("the same frame twice", honest, honest),
        ("a wrong signature", honest, bent),
        ("a wrong signature first", bent, honest),
        ("another source", honest, elsewhere),
        ("another signer", honest, by_another),
        ("no EPOCH", honest, pulse),
    ] {
        let pair = [first.bytes(), second.bytes()];
        assert!(!convicts(&mut sim, &pair), "{what}");
    }
    // The same epoch announced again has another salt and seal.
    let until = sim.count(FrameType::Epoch) + 1;
    sim.run_until(seconds(40), |sim| sim.count(FrameType::Epoch) >= until)
        .unwrap();
    sim.run(seconds(1));
    let again = last_epoch(&sim, 0);
    assert_ne!(again, honest);
    assert!(!convicts(&mut sim, &[honest.bytes(), again.bytes()]));
    // Two epochs in a row have two keys.
    sim.run(seconds(60));
    let later = last_epoch(&sim, 0);
    assert!(
        !convicts(&mut sim, &[honest.bytes(), later.bytes()]),
        "numbers differ"
    );
    assert!(!convicts(&mut sim, &[later.bytes()]), "one alone");
    // Negative control: the two that contradict each other do convict, shown by whomever and as late.
    assert!(convicts(&mut sim, &[honest.bytes(), other.bytes()]));
    assert!(sim.node(1).witness.cheated(sim.id(0)));
}

#[test]
fn a_promotions_epoch_and_a_normal_one_of_another_chain_are_no_proof() {
    let (mut sim, honest) = announced();
    sim.kill(0);
    sim.run(seconds(25));
    assert_eq!(sim.assert_one_anchor(), 1);
    let promotion = last_epoch(&sim, 1);
    let promotion = Exhibit {
        chain: honest.chain,
        ..promotion
    };
    sim.run(seconds(60));
    let normal = last_epoch(&sim, 1);
    let under = under(&sim, 3);
    for pair in [[promotion, honest], [promotion, normal], [honest, normal]] {
        let exhibits = pair.map(|exhibit| exhibit.bytes());
        let body = Proof {
            exhibits: &exhibits,
        };
        let frame = signed_frame(&mut sim, 3, &under, &body);
        let source = sim.nodes[3].address;
        assert_eq!(sim.inject(2, source, GROUP, &frame), Verdict::Accepted);
        assert_eq!(sim.node(2).counters.cheats, 0);
    }
}

#[test]
fn a_proof_heard_again_changes_nothing() {
    let mut sim = cheated(2, &[50, 40, 30, 20]);
    sim.run(seconds(20));
    let proof = sim
        .sent
        .iter()
        .rev()
        .find(|sent| sent.frame_type() == FrameType::Proof && sent.payload[24] == 2)
        .unwrap()
        .payload
        .clone();
    let exhibits = [24 + 8, 24 + 8 + EXHIBIT_LEN].map(|at| *proof[at..].first_chunk().unwrap());
    let before = sim.node(1).view(sim.now);
    let events = sim.nodes[1].events.len();
    for _ in 0..3 {
        let under = under(&sim, 3);
        let body = Proof {
            exhibits: &exhibits,
        };
        let frame = signed_frame(&mut sim, 3, &under, &body);
        let source = sim.nodes[3].address;
        sim.inject(1, source, GROUP, &frame);
    }
    let after = sim.node(1).view(sim.now);
    assert_eq!(after.counters.cheats, 1);
    assert_eq!((after.anchor, after.keys), (before.anchor, before.keys));
    assert_eq!(sim.nodes[1].events.len(), events, "nothing to tell");
}

#[test]
fn the_beginning_of_the_succession_is_the_same_in_every_announcement() {
    let (mut sim, _) = announced();
    let joiner = sim.add(10);
    sim.start(joiner);
    sim.run(seconds(25));
    let epochs = sim
        .sent
        .iter()
        .filter(|sent| sent.from == 0 && sent.frame_type() == FrameType::Epoch);
    let bodies: Vec<Epoch> = epochs
        .filter_map(|sent| Epoch::parse(&sent.payload[24..]))
        .collect();
    let first = bodies.first().unwrap();
    let same: Vec<_> = bodies
        .iter()
        .filter(|body| body.head.number == first.head.number)
        .collect();
    assert!(same.len() >= 2);
    assert!(
        same.iter()
            .any(|body| body.head.members > first.head.members)
    );
    assert!(same.iter().all(|body| body.succession == first.succession));
}

#[test]
fn memory_for_proofs_is_bounded() {
    let mut sim = Sim::settled(6, &[50, 40]);
    sim.run(seconds(1200));
    let node = sim.node(1);
    assert!(node.view(sim.now).counters.turns >= 18);
    assert_eq!(node.witness.kept(), 8);
}
