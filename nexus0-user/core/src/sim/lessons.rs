//! What others learned in the field: the four of keepalived 2.4's authenticated VRRP, the two of MACsec's key
//! agreement (MKA), each as a test of ours.

use core::time::Duration;

use nexus0_common::classify::classify;
use nexus0_common::maps::MAX_PEERS;
use nexus0_common::reason::Verdict;
use nexus0_common::wire::{Ann, FrameType, GROUP, LOWEST_VERSION, Pulse};

use super::packet::ethernet;
use super::{Sim, seconds};
use crate::event::Event;
use crate::grant::{Grant, GrantRequest, Kind, MeshRoot};
use crate::id::sha256;
use crate::identity::Identity;
use crate::node::{Input, Role};
use crate::send::Envelope;

/// Where the UDP checksum lies in an Ethernet frame.
const CHECKSUM: usize = 14 + 40 + 6;

/// Everyone who runs follows one of them, and that one reigns.
fn united(sim: &Sim) -> bool {
    let [anchor] = sim.anchors()[..] else {
        return false;
    };
    let chain = sim.node(anchor).view(sim.now).chain;
    sim.running()
        .all(|(_, node)| node.join.is_none() && node.view(sim.now).chain == chain)
}

// keepalived 2.4: the checksum lay under the MAC.

#[test]
fn a_checksum_rewritten_on_the_way_does_not_break_authentication() {
    let mut sim = Sim::settled(1, &[50, 40]);
    sim.deafen(0);
    let before = sim.count(FrameType::Ann);
    sim.run_until(seconds(7), |sim| sim.count(FrameType::Ann) > before)
        .unwrap();
    let sent = sim.sent.last().unwrap().clone();
    let (source, maps) = (sim.nodes[sent.from].address, sim.maps(0));
    let packet = ethernet(source, GROUP, &sent.payload);
    let mut bent = packet.clone();
    *bent.last_mut().unwrap() ^= 1;
    assert_eq!(classify(bent.as_slice(), maps), Verdict::PreTag);
    let mut rewritten = packet;
    rewritten[CHECKSUM..CHECKSUM + 2].copy_from_slice(&[0xbe, 0xef]);
    assert_eq!(classify(rewritten.as_slice(), maps), Verdict::Accepted);
}

// keepalived 2.4: two masters while authentication was rolled out.

/// Two old and two new nodes, one with a grant of another root, and no mode that lets it pass.
fn roll_out(foreign: bool) -> Sim {
    let mut sim = Sim::new(2);
    for (ego, old) in [(50, true), (40, false), (30, true), (20, false)] {
        let highest = if old {
            LOWEST_VERSION
        } else {
            LOWEST_VERSION + 1
        };
        sim.config.wire = LOWEST_VERSION..=highest;
        let index = sim.add(ego);
        sim.start(index);
    }
    let other = MeshRoot::from_seed(&[66; 32]);
    let own = foreign.then(|| core::mem::replace(&mut sim.root, other));
    let stranger = sim.add(100);
    sim.start(stranger);
    if let Some(own) = own {
        sim.root = own;
    }
    sim
}

#[test]
fn old_and_new_granted_and_foreign_nodes_never_make_two_anchors_that_hear_each_other() {
    let mut sim = roll_out(true);
    sim.run(seconds(3));
    for _ in 0..300 {
        sim.run(seconds(1));
        let reigning = sim.anchors();
        let members = reigning.iter().filter(|index| **index < 4).count();
        assert_eq!(members, 1, "{reigning:?}");
    }
    let known = sim.node(0).roster.iter().count();
    assert_eq!(known, 4, "the foreign node is nobody's peer");
    // Negative control: with a grant of this mesh the same node is let in, and leads in the end.
    let mut sim = roll_out(false);
    sim.run(seconds(300));
    assert_eq!(sim.assert_one_anchor(), 4);
}

// keepalived 2.4: a forward step of the clock.

#[test]
fn a_suspended_node_finds_its_clock_far_ahead_and_nothing_security_relevant_changes() {
    for asleep in [0, 2] {
        for pause in [1, 6, 20, 59, 61, 95, 3600] {
            let mut sim = Sim::settled(3, &[50, 40, 30]);
            sim.run(seconds(17));
            let settled = sim.now - seconds(15);
            let recent = sim.sent.iter().filter(|sent| sent.at > settled);
            let replayed: Vec<_> = recent.cloned().collect();
            let suspended = sim.nodes[asleep].node.take();
            sim.run(seconds(pause));
            sim.nodes[asleep].node = suspended;
            for sent in &replayed {
                let source = sim.nodes[sent.from].address;
                let verdict = sim.inject(asleep, source, sent.destination, &sent.payload);
                let member = sent.frame_type().slot() == nexus0_common::wire::Slot::Epoch;
                assert!(
                    !member || verdict != Verdict::Accepted,
                    "{:?} of {} at {}",
                    sent.frame_type(),
                    sent.from,
                    sent.at
                );
            }
            let mut double = Duration::ZERO;
            for _ in 0..600 {
                sim.run(Duration::from_millis(100));
                if sim.anchors().len() > 1 {
                    double += Duration::from_millis(100);
                }
            }
            assert!(
                double <= Duration::from_millis(200),
                "node {asleep} after {pause} s: two anchors for {double:?}"
            );
            assert!(united(&sim), "node {asleep} after {pause} s");
        }
    }
}

// keepalived 2.4: too few slots for senders.

fn grant(sim: &Sim, serial: u32) -> (Identity, Grant) {
    let identity = Identity::from_seed(&sha256(&[b"many", &serial.to_be_bytes()]));
    let request = GrantRequest {
        public_key: identity.public_key(),
        name: &format!("many-{serial}"),
        zone: "",
        kind: Kind::Agent,
        ego: 1,
        serial: 1000 + serial,
    };
    let grant = sim.root.issue(&request).unwrap();
    (identity, grant)
}

/// Makes the anchor know so many members more.
fn crowd(sim: &mut Sim, count: u32) -> Vec<Identity> {
    let now = sim.now;
    let mut identities = Vec::new();
    for serial in 0..count {
        let (identity, grant) = grant(sim, serial);
        let node = sim.nodes[0].node.as_mut().unwrap();
        node.learn(now, grant.clone(), Some(LOWEST_VERSION));
        node.roster.append(grant.node_id());
        identities.push(identity);
    }
    let address = sim.nodes[0].address;
    sim.input(0, Input::AddressReady(address));
    identities
}

#[test]
fn five_hundred_senders_keep_a_window_each() {
    let mut sim = Sim::settled(4, &[50]);
    let (mesh, under) = (
        sim.root.mesh_id(),
        sim.node(0).under_current(sim.now).unwrap(),
    );
    let pulse = Ann(Pulse {
        status: 0,
        flags: 0,
        anchor: sim.id(0).0,
        uptime: 1,
        profile: [0; 4],
        roster: [0; 8],
        next_key: [0; 4],
        revocation: 0,
    });
    let mut frames = Vec::new();
    for (serial, identity) in crowd(&mut sim, 500).iter().enumerate() {
        let mut source = sim.nodes[0].address;
        source[8..].copy_from_slice(&(0x0300_0000_0000_0000 + serial as u64).to_be_bytes());
        let envelope = Envelope {
            mesh,
            identity,
            under: &under,
            source,
            destination: GROUP,
            sequence: 77,
        };
        frames.push((source, envelope.frame(&pulse).unwrap()));
    }
    for expected in [Verdict::Accepted, Verdict::Replay] {
        for (source, frame) in &frames {
            assert_eq!(sim.inject(0, *source, GROUP, frame), expected);
        }
    }
    assert_eq!(
        sim.node(0).counters.disagreements,
        0,
        "the node counts alike"
    );
}

#[test]
fn beyond_the_last_slot_a_joiner_is_refused_and_nobody_evicted() {
    for (room, expected) in [(1, true), (0, false)] {
        let mut sim = Sim::settled(5, &[50]);
        crowd(&mut sim, MAX_PEERS as u32 - room);
        let before: Vec<_> = sim.node(0).roster.iter().map(|(id, _)| id).collect();
        let joiner = sim.add(10);
        sim.start(joiner);
        sim.run(Duration::from_millis(900));
        assert_eq!(sim.node(joiner).role() == Role::Member, expected);
        for id in before {
            assert!(sim.node(0).roster.get(id).is_some());
        }
        let held = sim.maps(0).peers.len();
        assert_eq!(held, MAX_PEERS, "with room for {room}");
    }
}

// MKA: a state with a single exit.

/// Four nodes at a pulse of a second, the last with a higher ego and come late.
fn fast(seed: u64) -> Sim {
    let mut sim = Sim::new(seed);
    sim.config.pulse = seconds(1);
    sim.config.epoch = seconds(9);
    sim.config.hold_down = seconds(4);
    for ego in [50, 40, 30] {
        let index = sim.add(ego);
        sim.start(index);
    }
    sim.run(seconds(4));
    let late = sim.add(90);
    sim.start(late);
    sim
}

/// How long the others need after a death at `at`.
fn death(mut sim: Sim, at: Duration, victim: impl Fn(&Sim) -> usize) -> Duration {
    sim.run(at);
    let victim = victim(&sim);
    sim.kill(victim);
    let took = sim.run_until(seconds(60), united);
    if took.is_none() {
        sim.explain();
    }
    took.unwrap_or_else(|| panic!("dead after {at:?}: no way out"))
}

#[test]
fn whenever_the_anchor_or_its_preemptor_dies_the_others_get_out_by_themselves() {
    let mut unharmed = fast(6);
    unharmed.run(seconds(32));
    assert_eq!(
        unharmed.assert_one_anchor(),
        3,
        "the walk passes a takeover"
    );
    let mut longest = [Duration::ZERO; 2];
    // Two epochs and the turn to the preemptor: joined, announced, named, taken over.
    for tenths in 0..320 {
        let at = Duration::from_millis(tenths * 100);
        // For a moment at the turn the old one reigns no more and the new one not yet.
        let anchor = |sim: &Sim| sim.anchors().first().copied().unwrap_or(3);
        longest[0] = longest[0].max(death(fast(6), at, anchor));
        longest[1] = longest[1].max(death(fast(7), at, |_| 3));
    }
    println!("out after {longest:?} at most");
    // Silence is over after 3 P, and the first in rank goes at once.
    assert!(longest[0] <= Duration::from_millis(4500), "{longest:?}");
    assert!(longest[1] <= Duration::from_millis(4500), "{longest:?}");
}

#[test]
fn whenever_an_anchor_dies_in_a_merge_the_others_get_out_by_themselves() {
    let mut longest = Duration::ZERO;
    for victim in [0, 2] {
        for tenths in 0..60 {
            let mut sim = Sim::new(8);
            sim.config.pulse = seconds(1);
            sim.config.epoch = seconds(9);
            for ego in [50, 40, 30, 20] {
                let index = sim.add(ego);
                sim.start(index);
            }
            sim.run(seconds(4));
            sim.cut(&[0, 1], &[2, 3]);
            sim.run(seconds(20));
            assert_eq!(sim.anchors(), [0, 2]);
            sim.blocked.clear();
            let at = Duration::from_millis(tenths * 50);
            longest = longest.max(death(sim, at, |_| victim));
        }
    }
    println!("out after {longest:?} at most");
    assert!(longest <= seconds(12), "{longest:?}");
}

// MKA: both sides wait for the other's new key.

#[test]
fn the_loss_of_one_kind_of_frame_for_a_whole_epoch_ends_in_agreement() {
    for kind in FrameType::ALL.iter().copied() {
        let mut sim = fast(9);
        sim.muted = Some(kind);
        sim.run(seconds(10));
        let lost = sim.muffled;
        sim.muted = None;
        let took = sim.run_until(seconds(60), Sim::agrees);
        println!("{}: {lost} lost, {took:?}", kind.name());
        if took.is_none() {
            sim.explain();
        }
        assert!(took.is_some(), "{}", kind.name());
        sim.run(seconds(60));
        assert_eq!(sim.assert_one_anchor(), 3, "{}", kind.name());
        let common = [FrameType::Ann, FrameType::Anchor, FrameType::Epoch];
        assert!(lost > 0 || !common.contains(&kind), "nothing was lost");
    }
}

#[test]
fn a_loss_that_does_not_end_is_noticed_by_the_test() {
    let mut sim = fast(10);
    sim.muted = Some(FrameType::Answer);
    assert_eq!(sim.run_until(seconds(30), Sim::agrees), None);
}

// No lesson of others: the token that applications fence with.

#[test]
fn the_token_of_a_node_never_goes_down_within_a_lineage() {
    use crate::event::Reason;
    let mut compared = [0; 2];
    for seed in 0..6 {
        let mut sim = Sim::new(seed);
        sim.config.hold_down = seconds(5);
        sim.link.loss = 50;
        sim.link.delay = (1, 20);
        for ego in [50, 40, 30, 20, 90] {
            let index = sim.add(ego);
            sim.start(index);
            sim.run(seconds(20));
        }
        for round in 0..8 {
            let victim = (round * 7 + seed as usize) % 5;
            match round % 4 {
                0 => sim.kill(victim),
                1 => sim.cut(&[0, 4], &[1, 2, 3]),
                2 => sim.deafen(victim),
                _ => {}
            }
            sim.run(seconds(70));
            sim.blocked.clear();
            if sim.nodes[victim].node.is_none() {
                sim.start(victim);
            }
            sim.run(seconds(90));
        }
        for this in &sim.nodes {
            let mut held = (0, None);
            for (_, event) in &this.events {
                match event {
                    Event::EpochTurned { number, .. } => {
                        assert!(*number > held.0, "seed {seed}: {event:?} after {held:?}");
                        compared[0] += 1;
                        held.0 = *number;
                    }
                    Event::AnchorChanged {
                        chain,
                        number,
                        reason,
                        ..
                    } => {
                        let inherits = matches!(
                            reason,
                            Reason::Silence
                                | Reason::Bye
                                | Reason::Stateless
                                | Reason::Preemption
                                | Reason::Cheated
                        );
                        if inherits {
                            assert!(*number > held.0, "seed {seed}: {event:?} after {held:?}");
                            assert_ne!(held.1, Some(*chain));
                            compared[1] += 1;
                        }
                        held = (*number, Some(*chain));
                    }
                    _ => {}
                }
            }
        }
    }
    println!("turns and successions compared: {compared:?}");
    assert!(compared[0] > 100 && compared[1] > 20, "{compared:?}");
}
