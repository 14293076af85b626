//! One test for each way in which the first prototype could be broken.

use core::time::Duration;

use nexus0_common::reason::Verdict;
use nexus0_common::wire::{
    Anchor, Ann, Body, Class, FrameType, GROUP, HEADER_LEN, Header, Pulse, Request, TRAILER_LEN,
};

use super::{Sim, seconds};
use crate::event::Event;
use crate::grant::{GRANT_LEN, Grant, MeshRoot};
use crate::id::{MeshId, NodeId};
use crate::identity::Identity;
use crate::node::{Input, Role};
use crate::secret::Material;
use crate::send::{Envelope, Under};

/// Frames of a stranger, or of a member that breaks the rules.
struct Forger<'a> {
    mesh: MeshId,
    identity: &'a Identity,
    under: Under,
    source: [u8; 16],
    sequence: u64,
}

impl Forger<'_> {
    fn frame<B: Body>(&mut self, destination: [u8; 16], body: &B) -> Vec<u8> {
        self.sequence += 1;
        let (mesh, identity, under) = (self.mesh, self.identity, &self.under);
        let (source, sequence) = (self.source, self.sequence);
        Envelope {
            mesh,
            identity,
            under,
            source,
            destination,
            sequence,
        }
        .frame(body)
        .unwrap()
    }
}

fn door(sim: &Sim) -> Under {
    Under {
        material: Material::door(sim.root.mesh_id()),
        chain: None,
    }
}

/// The current key of node 0, as a thief or a member would hold it.
fn current(sim: &Sim) -> Under {
    sim.node(0).under_current(sim.now).unwrap()
}

fn request(grant: [u8; GRANT_LEN], nonce: u8) -> Request {
    Request {
        nonce: [nonce; 16],
        ephemeral: [nonce.wrapping_add(9); 32],
        door_nonce: [0; 4],
        grant,
        attempt: 0,
        lowest: 1,
        highest: 1,
        reigning: 0,
    }
}

fn secrets(sim: &Sim) -> Vec<Vec<u8>> {
    let keys = sim.running().flat_map(|(_, node)| node.keys.iter());
    keys.flat_map(|key| [key.material.secret.to_vec(), key.material.seal.to_vec()])
        .collect()
}

fn leaks(sim: &Sim, secrets: &[Vec<u8>]) -> usize {
    let contains =
        |payload: &[u8], secret: &[u8]| payload.windows(secret.len()).any(|at| at == secret);
    let hits = sim
        .sent
        .iter()
        .filter(|sent| secrets.iter().any(|one| contains(&sent.payload, one)));
    hits.count()
}

#[test]
fn the_key_never_crosses_the_link_in_clear() {
    let mut sim = Sim::settled(1, &[50, 40, 30]);
    let mut seen = secrets(&sim);
    for round in 0..20 {
        sim.run(seconds(10));
        if round == 9 {
            sim.kill(0);
        }
        seen.extend(secrets(&sim));
    }
    seen.sort();
    seen.dedup();
    assert!(seen.len() >= 8, "several epochs and a promotion");
    assert_eq!(leaks(&sim, &seen), 0);
    // Negative control: a planted leak is found.
    let mut leak = sim.sent.last().unwrap().clone();
    leak.payload.splice(40..40, seen[3].clone());
    sim.sent.push(leak);
    assert_eq!(leaks(&sim, &seen), 1);
}

#[test]
fn a_public_key_is_not_taken_from_the_message_it_signs() {
    let mut sim = Sim::settled(2, &[50, 40]);
    let stranger = Identity::from_seed(&[77; 32]);
    let source = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 99];
    // A grant that names the stranger's own key but nobody of this mesh signed.
    let other = MeshRoot::from_seed(&[66; 32]);
    let grant = other.issue(&crate::grant::GrantRequest {
        public_key: stranger.public_key(),
        name: "king",
        zone: "",
        kind: crate::grant::Kind::Agent,
        ego: 100,
        serial: 0,
    });
    let under = door(&sim);
    let mut forger = Forger {
        mesh: sim.root.mesh_id(),
        identity: &stranger,
        under,
        source,
        sequence: 0,
    };
    let frame = forger.frame(GROUP, &request(*grant.unwrap().bytes(), 1));
    let (sent, peers) = (sim.sent.len(), sim.node(0).roster.iter().count());
    assert_eq!(
        sim.inject(0, source, GROUP, &frame),
        Verdict::Accepted,
        "the door lets it knock"
    );
    assert_eq!(sim.sent.len(), sent, "nothing at all is answered");
    assert_eq!(sim.node(0).roster.iter().count(), peers);
    // Negative control: the same node with a grant of this mesh is answered.
    let index = sim.add(1);
    let (member, grant) = (
        Identity::from_seed(&seed(index)),
        sim.nodes[index].grant.clone(),
    );
    let source = sim.nodes[index].address;
    let under = door(&sim);
    let mut honest = Forger {
        mesh: sim.root.mesh_id(),
        identity: &member,
        under,
        source,
        sequence: 0,
    };
    let frame = honest.frame(GROUP, &request(*grant.bytes(), 2));
    sim.inject(0, source, GROUP, &frame);
    assert_eq!(sim.sent.len(), sent + 1);
}

fn seed(index: usize) -> [u8; 32] {
    crate::id::sha256(&[&[1], &(index as u64).to_be_bytes()])
}

#[test]
fn the_tag_is_not_optional() {
    let mut sim = Sim::settled(3, &[50, 40]);
    let frame = sim
        .sent
        .iter()
        .rev()
        .find(|sent| sent.from == 1)
        .unwrap()
        .payload
        .clone();
    let source = sim.nodes[1].address;
    let bare = &frame[..frame.len() - TRAILER_LEN];
    assert_eq!(sim.inject(0, source, GROUP, bare), Verdict::Length);
    let mut zeroed = bare.to_vec();
    zeroed.extend([0; TRAILER_LEN]);
    assert_eq!(sim.inject(0, source, GROUP, &zeroed), Verdict::PreTag);
    // The node alone refuses them too.
    let before = sim.node(0).view(sim.now).counters.refused;
    for payload in [bare, &zeroed, &[], &[0x4e]] {
        sim.input(
            0,
            Input::Frame {
                source,
                destination: GROUP,
                payload,
            },
        );
    }
    assert_eq!(sim.node(0).view(sim.now).counters.refused, before + 4);
    // Negative control: with its tag, under a fresh sequence, it passes.
    let member = Identity::from_seed(&seed(1));
    let under = current(&sim);
    let mut honest = Forger {
        mesh: sim.root.mesh_id(),
        identity: &member,
        under,
        source,
        sequence: 1 << 30,
    };
    let frame = honest.frame(GROUP, &Ann(pulse(&sim, 1)));
    assert_eq!(sim.inject(0, source, GROUP, &frame), Verdict::Accepted);
    assert_eq!(sim.node(0).view(sim.now).counters.refused, before + 4);
}

fn pulse(sim: &Sim, follower: usize) -> Pulse {
    let anchor = sim.node(follower).lineage.as_ref().unwrap().anchor.0;
    Pulse {
        status: 1,
        flags: 0,
        anchor,
        uptime: 0,
        profile: [0; 4],
        roster: [0; 8],
        next_key: [0; 4],
        revocation: 0,
    }
}

#[test]
fn ego_is_what_the_root_granted_not_what_a_node_says() {
    let sim = Sim::settled(4, &[50, 40]);
    let mut bytes = *sim.nodes[1].grant.bytes();
    bytes[65] = 100;
    assert!(Grant::parse(&bytes, &sim.root.public_key()).is_err());
    // No body has a field for it beside the grant.
    assert_eq!(sim.node(0).roster.get(sim.id(1)).unwrap().grant.ego(), 40);
}

#[test]
fn an_old_epoch_is_not_accepted_again() {
    let mut sim = Sim::settled(5, &[50, 40]);
    sim.run(seconds(70));
    let old = sim
        .sent
        .iter()
        .find(|sent| sent.frame_type() == FrameType::Epoch)
        .unwrap()
        .clone();
    let number = sim.node(1).view(sim.now).number;
    let source = sim.nodes[0].address;
    let verdict = sim.inject(1, source, GROUP, &old.payload);
    assert!(
        matches!(verdict, Verdict::StaleEpoch | Verdict::UnknownKey),
        "{verdict:?}"
    );
    // Also when the anchor itself signs the old number again under the current key.
    let anchor = Identity::from_seed(&seed(0));
    let under = current(&sim);
    let key = sim.node(0).keys.find(under.material.id).unwrap().clone();
    let body = sim.nodes[0]
        .node
        .as_mut()
        .unwrap()
        .epoch_body(sim.now, &under, &key, None, 0);
    let mut forger = Forger {
        mesh: sim.root.mesh_id(),
        identity: &anchor,
        under,
        source,
        sequence: 1 << 30,
    };
    let frame = forger.frame(GROUP, &body.unwrap());
    let fenced = sim.node(1).view(sim.now).counters.fenced;
    assert_eq!(sim.inject(1, source, GROUP, &frame), Verdict::Accepted);
    assert_eq!(sim.node(1).view(sim.now).counters.fenced, fenced + 1);
    assert_eq!(sim.node(1).view(sim.now).number, number);
}

#[test]
fn an_unsigned_request_gets_nothing() {
    let mut sim = Sim::settled(6, &[50, 40]);
    let index = sim.add(10);
    let thief = Identity::from_seed(&[70; 32]);
    let (grant, source) = (sim.nodes[index].grant.clone(), sim.nodes[index].address);
    // Somebody else's grant, not its signature: sender and grant agree, the signature does not.
    let under = door(&sim);
    let mut forger = Forger {
        mesh: sim.root.mesh_id(),
        identity: &thief,
        under,
        source,
        sequence: 0,
    };
    let mut frame = forger.frame(GROUP, &request(*grant.bytes(), 1));
    retag(&mut frame, &door(&sim), grant.node_id(), source);
    let sent = sim.sent.len();
    let failures = sim.node(0).view(sim.now).counters.signature_failures;
    assert_eq!(sim.inject(0, source, GROUP, &frame), Verdict::Accepted);
    assert_eq!(sim.sent.len(), sent, "zero bytes");
    assert_eq!(
        sim.node(0).view(sim.now).counters.signature_failures,
        failures + 1
    );
    assert!(sim.node(0).roster.get(grant.node_id()).is_none());
}

/// Puts another sender into a frame and tags it again.
fn retag(frame: &mut Vec<u8>, under: &Under, sender: NodeId, source: [u8; 16]) {
    let header = Header {
        version: nexus0_common::wire::LOWEST_VERSION,
        sender: sender.0,
        ..Header::parse(frame).unwrap()
    };
    frame.truncate(frame.len() - TRAILER_LEN);
    frame[..HEADER_LEN].copy_from_slice(&header.emit());
    let key = &under.material;
    let tag = nexus0_common::auth::hmac::tag(&key.midstates, frame).unwrap();
    let pre_tag = nexus0_common::auth::pre_tag(
        &key.pre_tag,
        &source,
        &GROUP,
        Class::Multicast,
        &sender.0,
        header.sequence,
        &nexus0_common::auth::words(&tag),
    );
    frame.extend(pre_tag.to_le_bytes());
    frame.extend(tag);
}

#[test]
fn requests_never_rotate_the_key() {
    let mut sim = Sim::settled(7, &[50, 40]);
    let before = sim.node(0).view(sim.now).keys;
    for index in (0..20).map(|_| sim.add(10)).collect::<Vec<_>>() {
        sim.start(index);
        sim.run(Duration::from_millis(50));
    }
    assert_eq!(sim.node(0).view(sim.now).keys, before);
}

#[test]
fn a_flood_of_requests_from_one_node_does_not_starve_an_honest_joiner() {
    let mut sim = Sim::settled(8, &[50, 40]);
    let attacker = sim.add(10);
    let (grant, source) = (
        sim.nodes[attacker].grant.clone(),
        sim.nodes[attacker].address,
    );
    let identity = Identity::from_seed(&seed(attacker));
    let under = door(&sim);
    let mut forger = Forger {
        mesh: sim.root.mesh_id(),
        identity: &identity,
        under,
        source,
        sequence: 0,
    };
    let honest = sim.add(20);
    let flood = |sim: &mut Sim, forger: &mut Forger<'_>| {
        for nonce in 0..200_u8 {
            let frame = forger.frame(GROUP, &request(*grant.bytes(), nonce));
            sim.inject(0, source, GROUP, &frame);
        }
    };
    flood(&mut sim, &mut forger);
    sim.start(honest);
    flood(&mut sim, &mut forger);
    let took = sim
        .run_until(seconds(2), |sim| sim.node(honest).role() == Role::Member)
        .unwrap();
    assert!(took < Duration::from_millis(50), "{took:?}");
    let counters = sim.node(0).view(sim.now).counters;
    assert!(
        counters.answers_computed <= 3,
        "one per node in two seconds: {}",
        counters.answers_computed
    );
    assert!(
        sim.nodes[0].verdicts[&Verdict::DoorSource] > 300,
        "the filter limits the source"
    );
}

#[test]
fn the_address_alone_keeps_no_anchor_alive() {
    let mut sim = Sim::settled(9, &[50, 40, 30]);
    sim.run(seconds(10));
    sim.kill(0);
    let crashed = sim.now;
    let source = sim.nodes[0].address;
    let old: Vec<Vec<u8>> = sim
        .sent
        .iter()
        .filter(|sent| sent.from == 0)
        .map(|sent| sent.payload.clone())
        .collect();
    for _ in 0..200 {
        for payload in old.iter().rev().take(5) {
            let mut bent = payload.clone();
            let last = bent.len() - 1;
            bent[last] ^= 1;
            for victim in [1, 2] {
                sim.inject(victim, source, GROUP, payload);
                sim.inject(victim, source, GROUP, &bent);
            }
        }
        sim.run(Duration::from_millis(100));
    }
    assert!(sim.now.since(crashed) >= seconds(20));
    assert_eq!(
        sim.assert_one_anchor(),
        1,
        "replayed and bent frames count for nothing"
    );
}

#[test]
fn a_member_cannot_keep_a_dead_anchor_alive() {
    let mut sim = Sim::settled(10, &[50, 40, 30]);
    sim.kill(0);
    let (source, anchor) = (sim.nodes[0].address, sim.id(0));
    let member = Identity::from_seed(&seed(2));
    for step in 0..200_u64 {
        let Some(under) = sim.node(1).under_current(sim.now) else {
            break;
        };
        let mut forger = Forger {
            mesh: sim.root.mesh_id(),
            identity: &member,
            under: under.clone(),
            source,
            sequence: (1 << 30) + step,
        };
        let mut frame = forger.frame(GROUP, &Anchor(pulse(&sim, 1)));
        retag(&mut frame, &under, anchor, source);
        sim.inject(1, source, GROUP, &frame);
        sim.run(Duration::from_millis(100));
    }
    assert_eq!(sim.anchors(), [1]);
    assert!(
        sim.node(1).view(sim.now).counters.signature_failures > 0,
        "the group's tag was right"
    );
}

#[test]
fn distinct_egos_fail_over() {
    let mut sim = Sim::settled(11, &[90, 50, 10]);
    sim.kill(0);
    sim.run(seconds(22));
    assert_eq!(sim.assert_one_anchor(), 1);
}

#[test]
fn seniority_is_the_anchors_word_not_each_nodes_clock() {
    for seed in 0..3 {
        let mut sim = Sim::new(seed);
        for _ in 0..10 {
            let index = sim.add(50);
            sim.start(index);
            sim.run(Duration::from_millis(700));
        }
        sim.run(seconds(20));
        let anchor = sim.assert_one_anchor();
        let order = sim.node(anchor).roster.succession().to_vec();
        for (_, node) in sim.running() {
            assert_eq!(node.roster.succession(), order);
        }
    }
}

#[test]
fn an_identity_outlives_a_restart() {
    let mut sim = Sim::settled(12, &[50, 40]);
    let before = sim.node(1).view(sim.now).node;
    sim.kill(1);
    sim.run(seconds(1));
    sim.start(1);
    sim.run(seconds(1));
    assert_eq!(sim.node(1).view(sim.now).node, before);
    assert_eq!(sim.node(0).roster.succession().len(), 2, "no second entry");
}

/// (R14)
#[test]
fn no_table_grows_with_what_strangers_send() {
    let mut sim = Sim::settled(13, &[50, 40]);
    let sizes = |sim: &Sim| {
        (
            sim.node(0).roster.iter().count(),
            sim.maps(0).peers.len(),
            sim.node(0).ledger.view().len(),
        )
    };
    let before = sizes(&sim);
    let stranger = Identity::from_seed(&[70; 32]);
    for round in 0..3000_u64 {
        let mut source = sim.nodes[1].address;
        source[8..].copy_from_slice(&(0xdead_0000_0000 + round).to_be_bytes());
        let under = if round % 2 == 0 {
            door(&sim)
        } else {
            current(&sim)
        };
        let mut forger = Forger {
            mesh: sim.root.mesh_id(),
            identity: &stranger,
            under,
            source,
            sequence: round,
        };
        let frame = if round % 2 == 0 {
            forger.frame(GROUP, &request([round as u8; GRANT_LEN], round as u8))
        } else {
            forger.frame(GROUP, &Ann(pulse(&sim, 1)))
        };
        sim.inject(0, source, GROUP, &frame);
        sim.run(Duration::from_millis(1));
    }
    assert_eq!(sizes(&sim), before);
}

#[test]
fn nothing_changes_before_tag_and_window_pass() {
    let mut sim = Sim::settled(14, &[50, 40]);
    let frame = sim
        .sent
        .iter()
        .rev()
        .find(|sent| sent.from == 1 && sent.frame_type() == FrameType::Ann)
        .unwrap()
        .clone();
    sim.run(seconds(1));
    let view = |sim: &Sim| sim.node(0).view(sim.now).peers;
    let (before, source) = (view(&sim), sim.nodes[1].address);
    for index in 0..frame.payload.len() {
        let mut payload = frame.payload.clone();
        payload[index] ^= 0x10;
        sim.input(
            0,
            Input::Frame {
                source,
                destination: GROUP,
                payload: &payload,
            },
        );
    }
    // The frame itself is a replay now.
    sim.input(
        0,
        Input::Frame {
            source,
            destination: GROUP,
            payload: &frame.payload,
        },
    );
    assert_eq!(view(&sim), before);
    assert!(
        sim.events(|event| matches!(event, Event::Promoted { .. }))
            .is_empty()
    );
}

#[test]
fn a_node_killed_and_restarted_accepts_no_frame_twice() {
    let mut sim = Sim::settled(15, &[50, 40, 30]);
    let settled = sim.now;
    sim.run(seconds(12));
    let pulses = sim
        .sent
        .iter()
        .filter(|sent| sent.from == 2 && sent.frame_type() == FrameType::Ann);
    let old: Vec<_> = pulses.filter(|sent| sent.at > settled).cloned().collect();
    assert!(old.len() >= 2);
    sim.kill(1);
    sim.start(1);
    sim.run(seconds(1));
    let source = sim.nodes[2].address;
    for sent in old {
        assert_eq!(sim.inject(1, source, GROUP, &sent.payload), Verdict::Replay);
    }
}
