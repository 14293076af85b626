//! Bytes that mean nothing, with and without a right tag: nothing panics, nothing is answered to strangers.

use nexus0_common::auth::{self, hmac};
use nexus0_common::wire::{Class, FrameType, GROUP, Header, MAX_BLOCKS, Slot, authenticated_len};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::{Sim, seconds};
use crate::node::Input;
use crate::secret::Material;

/// (R15)
#[test]
fn random_payloads_of_every_length_are_refused() {
    let mut sim = Sim::settled(1, &[50, 40]);
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let (sent, before) = (sim.sent.len(), sim.node(0).view(sim.now).counters.refused);
    let source = sim.nodes[1].address;
    for length in 0..1300 {
        let mut payload = vec![0; length];
        rng.fill_bytes(&mut payload);
        if length >= 4 && length % 2 == 0 {
            payload[..4].copy_from_slice(&[0x4e, 0x30, 1, (rng.next_u32() % 22) as u8]);
        }
        sim.input(
            0,
            Input::Frame {
                source,
                destination: GROUP,
                payload: &payload,
            },
        );
    }
    assert_eq!(sim.node(0).view(sim.now).counters.refused, before + 1300);
    assert_eq!(sim.sent.len(), sent);
}

/// A member's or stranger's frame with a right pre-tag and tag over random bytes.
fn tagged(
    rng: &mut ChaCha20Rng,
    kind: FrameType,
    key: &Material,
    sender: [u8; 8],
    sequence: u64,
    addresses: [[u8; 16]; 2],
) -> Vec<u8> {
    let [source, destination] = addresses;
    let class = if destination == GROUP {
        Class::Multicast
    } else {
        Class::Unicast
    };
    let any = 1 + rng.next_u32() as usize % MAX_BLOCKS;
    let mut frame = vec![0; kind.authenticated_len().unwrap_or(authenticated_len(any))];
    rng.fill_bytes(&mut frame);
    let header = Header {
        version: nexus0_common::wire::LOWEST_VERSION,
        frame_type: kind,
        class,
        key_id: key.id.0,
        sender,
        sequence,
    };
    frame[..24].copy_from_slice(&header.emit());
    let tag = hmac::tag(&key.midstates, &frame).unwrap();
    let pre_tag = auth::pre_tag(
        &key.pre_tag,
        &source,
        &destination,
        class,
        &sender,
        sequence,
        &auth::words(&tag),
    );
    frame.extend(pre_tag.to_le_bytes());
    frame.extend(tag);
    frame
}

#[test]
fn random_bodies_under_a_right_tag_harm_nobody() {
    let mut sim = Sim::settled(2, &[50, 40, 30]);
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let door = Material::door(sim.root.mesh_id());
    // A joiner hears them too.
    let joiner = sim.add(10);
    sim.blocked.extend([(0, joiner), (1, joiner), (2, joiner)]);
    sim.start(joiner);
    for round in 0..4000_u64 {
        let under = sim.node(0).under_current(sim.now).unwrap().material;
        let kind = FrameType::ALL[round as usize % FrameType::ALL.len()];
        let key = if kind.slot() == Slot::Door {
            &door
        } else {
            &under
        };
        for victim in [0, 1, joiner] {
            let (sender, source) = (sim.id(2).0, sim.nodes[2].address);
            let unicast = kind.class() == Some(Class::Unicast);
            let destination = if unicast {
                sim.nodes[victim].address
            } else {
                GROUP
            };
            let sequence = (1 << 30) + round;
            let frame = tagged(&mut rng, kind, key, sender, sequence, [source, destination]);
            sim.input(
                victim,
                Input::Frame {
                    source,
                    destination,
                    payload: &frame,
                },
            );
        }
        sim.run(core::time::Duration::from_millis(5));
    }
    sim.blocked.clear();
    sim.run(seconds(60));
    assert_eq!(sim.assert_one_anchor(), 0);
}
