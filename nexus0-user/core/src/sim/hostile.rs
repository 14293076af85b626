//! Members that lie, and links at their worst: safety under everything, then heal and converge.

use core::time::Duration;

use nexus0_common::auth::FrameKey;
use nexus0_common::reason::Verdict;
use nexus0_common::wire::{Class, FrameType, GROUP, Header, authenticated_len};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::{Link, Sim, seconds};
use crate::event::Event;
use crate::id::NodeId;
use crate::node::Input;

/// One run of faults drawn from the seed; returns what happened at least once.
fn swarm(seed: u64) -> (usize, usize, usize) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut draw = |below: u64| rng.next_u64() % below;
    let count = 3 + draw(6) as usize;
    let mut sim = Sim::new(seed);
    for _ in 0..count {
        let index = sim.add(draw(4) as u8 * 25);
        sim.start(index);
    }
    let mut two_anchors = 0;
    for _ in 0..12 {
        sim.link = Link {
            loss: draw(250),
            duplication: draw(300),
            delay: (1, 1 + draw(80)),
        };
        let victim = draw(count as u64) as usize;
        let mut stopped = None;
        match draw(8) {
            0 => {
                let split = 1 + draw(count as u64 - 1) as usize;
                let left: Vec<usize> = (0..split).collect();
                sim.cut(&left, &(split..count).collect::<Vec<_>>());
            }
            1 => sim.deafen(victim),
            2 => sim.kill(victim),
            3 => stopped = sim.nodes[victim].node.take(),
            4 => sim.input(victim, Input::AddressLost),
            // Heard by nobody.
            5 => sim.blocked.extend((0..count).map(|other| (victim, other))),
            _ => {}
        }
        sim.run(seconds(5 + draw(30)));
        two_anchors += usize::from(sim.anchors().len() > 1);
        sim.blocked.clear();
        if stopped.is_some() {
            sim.nodes[victim].node = stopped;
        }
        let address = sim.nodes[victim].address;
        sim.input(victim, Input::AddressReady(address));
        for index in 0..count {
            if sim.nodes[index].node.is_none() {
                sim.start(index);
            }
        }
    }
    sim.link = Link::GOOD;
    let took = sim.run_until(seconds(240), Sim::agrees);
    if took.is_none() {
        sim.explain();
    }
    assert!(took.is_some(), "seed {seed}: anchors {:?}", sim.anchors());
    sim.run(seconds(130));
    sim.assert_one_anchor();
    let promotions = sim
        .events(|event| matches!(event, Event::Promoted { .. }))
        .len();
    let turns = sim
        .events(|event| matches!(event, Event::EpochTurned { .. }))
        .len();
    (two_anchors, promotions, turns)
}

#[test]
fn a_swarm_of_faults_heals_to_one_anchor() {
    swarms(1000..1040);
}

#[test]
#[ignore = "minutes"]
fn a_long_swarm_of_faults_heals_to_one_anchor() {
    swarms(2000..4000);
}

fn swarms(seeds: core::ops::Range<u64>) {
    let mut sums = (0, 0, 0);
    for seed in seeds.clone() {
        let (two, promotions, turns) = swarm(seed);
        sums = (sums.0 + two, sums.1 + promotions, sums.2 + turns);
    }
    println!(
        "seeds {seeds:?}: two anchors {}, promotions {}, turns {}",
        sums.0, sums.1, sums.2
    );
    assert!(
        sums.0 > 0 && sums.1 > 0 && sums.2 > 0,
        "a run without faults shows nothing"
    );
}

#[test]
fn a_member_without_faults_sees_no_change_of_leadership() {
    for seed in 0..4 {
        let mut sim = Sim::settled(seed, &[50, 60, 70, 80]);
        sim.link = Link {
            loss: 30,
            duplication: 50,
            delay: (1, 60),
        };
        let before = sim
            .events(|event| matches!(event, Event::AnchorChanged { .. }))
            .len();
        sim.run(seconds(900));
        let after = sim
            .events(|event| matches!(event, Event::AnchorChanged { .. }))
            .len();
        assert_eq!(after, before, "seed {seed}");
    }
}

#[test]
fn more_bytes_are_never_sent_than_strangers_gave() {
    let mut sim = Sim::settled(1, &[50, 40, 30, 20]);
    let joiner = sim.add(10);
    sim.start(joiner);
    sim.run(Duration::from_millis(200));
    sim.kill(joiner);
    let requests: Vec<_> = sim
        .sent
        .iter()
        .filter(|sent| sent.from == joiner)
        .cloned()
        .collect();
    sim.run(seconds(300));
    // Everything the joiner ever sent, played again when its request is long forgotten.
    let source = sim.nodes[joiner].address;
    let mut answered = 0;
    for sent in requests
        .iter()
        .filter(|sent| sent.frame_type() == FrameType::ReqEpoch)
    {
        for index in 0..4 {
            // Past the filter, which would remember the tag.
            let before = sim.sent.len();
            let (destination, payload) = (sent.destination, sent.payload.as_slice());
            sim.input(
                index,
                Input::Frame {
                    source,
                    destination,
                    payload,
                },
            );
            let got: usize = sim.sent[before..]
                .iter()
                .map(|sent| sent.payload.len())
                .sum();
            assert!(got <= payload.len(), "{got} for {}", payload.len());
            answered += usize::from(got > 0);
        }
    }
    assert!(
        answered > 0,
        "the box is of no use without the ephemeral key"
    );
}

#[test]
fn a_sequence_forged_by_a_member_mutes_nobody_beyond_the_key() {
    let mut sim = Sim::settled(2, &[50, 40, 30]);
    let under = sim.node(0).under_current(sim.now).unwrap();
    let id = under.material.id;
    // What a member can do that forges the group's tag: the highest sequence in another one's name.
    let header = Header {
        version: nexus0_common::wire::LOWEST_VERSION,
        frame_type: FrameType::Ann,
        class: Class::Multicast,
        key_id: id.0,
        sender: sim.nodes[2].grant.node_id().0,
        sequence: nexus0_common::wire::SEQUENCE_END - 1,
    };
    let node = sim.nodes[0].node.as_mut().unwrap();
    node.keys.find_mut(id).unwrap().commit(&header);
    sim.kill(2);
    sim.start(2);
    sim.run(seconds(180));
    sim.assert_one_anchor();
    let heard = sim
        .node(0)
        .roster
        .get(sim.id(2))
        .unwrap()
        .last_heard
        .unwrap();
    assert!(sim.now.since(heard) < seconds(6));
}

/// A pulse in `sender`'s name under the current group key, put on the link by `liar`: what a member can forge.
fn forged_pulse(sim: &Sim, liar: usize, sender: NodeId, sequence: u64) -> Vec<u8> {
    let under = sim.node(liar).under_current(sim.now).unwrap();
    let key = FrameKey {
        id: under.material.id.0,
        pre_tag: under.material.pre_tag,
        midstates: under.material.midstates,
    };
    let header = Header {
        version: nexus0_common::wire::LOWEST_VERSION,
        frame_type: FrameType::Ann,
        class: Class::Multicast,
        key_id: key.id,
        sender: sender.0,
        sequence,
    };
    let mut payload = header.emit().to_vec();
    payload.resize(authenticated_len(1), 0);
    let source = sim.nodes[liar].address;
    payload.extend(key.trailer(&payload, &source, &GROUP).unwrap());
    payload
}

#[test]
fn a_pulse_forged_by_a_member_does_not_lead_probes_away_from_the_anchor() {
    let mut sim = Sim::settled(3, &[50, 40, 30]);
    let anchor = sim.assert_one_anchor();
    let (victim, liar) = match anchor {
        0 => (1, 2),
        1 => (0, 2),
        _ => (0, 1),
    };
    let payload = forged_pulse(&sim, liar, sim.id(anchor), 1 << 36);
    let verdict = sim.inject(victim, sim.nodes[liar].address, GROUP, &payload);
    assert_eq!(verdict, Verdict::Accepted, "the forgery is a good one");
    let known = sim.node(victim).roster.get(sim.id(anchor)).unwrap().address;
    assert_eq!(known, Some(sim.nodes[anchor].address));
}

#[test]
fn a_signed_frames_copy_is_no_disagreement_until_the_filter_must_know_it() {
    let mut sim = Sim::settled(4, &[50, 40, 30]);
    sim.sent.clear();
    sim.run(seconds(6));
    let source = sim.nodes[0].address;
    let signed = |payload: &[u8]| payload[3] == FrameType::Anchor as u8;
    let pulse = sim
        .sent
        .iter()
        .rfind(|sent| sent.from == 0 && signed(&sent.payload));
    let payload = pulse.expect("the anchor's last pulse").payload.clone();
    let copy = |sim: &mut Sim| {
        let frame = Input::Frame {
            source,
            destination: GROUP,
            payload: &payload,
        };
        sim.input(1, frame);
        let counters = sim.node(1).counters;
        (counters.copies, counters.disagreements)
    };
    let anchor = sim.id(0);
    sim.nodes[1]
        .node
        .as_mut()
        .unwrap()
        .roster
        .heard(anchor, sim.now, source, true);
    assert_eq!(copy(&mut sim), (1, 0), "just after it");
    sim.run(Duration::from_millis(150));
    assert_eq!(copy(&mut sim), (1, 1), "later");
}

#[test]
fn what_the_filter_should_have_refused_is_counted_as_a_disagreement() {
    let mut sim = Sim::settled(4, &[50, 40, 30]);
    let source = sim.nodes[2].address;
    let mut payload = forged_pulse(&sim, 2, sim.id(2), 1 << 30);
    let mut past_the_filter = |payload: &[u8]| {
        let frame = Input::Frame {
            source,
            destination: GROUP,
            payload,
        };
        sim.input(0, frame);
        sim.node(0).counters.disagreements
    };
    assert_eq!(past_the_filter(&payload), 0, "a right frame is none");
    assert_eq!(past_the_filter(&payload), 1, "a replay is");
    let last = payload.len() - 1;
    payload[last] ^= 1;
    assert_eq!(past_the_filter(&payload), 2, "a wrong tag is");
    payload[4] ^= 1;
    assert_eq!(
        past_the_filter(&payload),
        2,
        "a key that is not held is none"
    );
}
