//! One identity on a link twice, by a second interface or a copied key.

use nexus0_common::wire::GROUP;

use super::{Sim, seconds};
use crate::event::Event;
use crate::identity::Identity;
use crate::node::{Input, Node, Output};

const ELSEWHERE: [u8; 16] = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 7];

/// What another node with the identity of node 0 multicasts when it comes up at an address.
fn said_by_twin(sim: &Sim, address: [u8; 16]) -> Vec<Vec<u8>> {
    let mut twin = Node::new(
        sim.config.clone(),
        Identity::from_seed(&sim.seed_of(0)),
        sim.nodes[0].grant.clone(),
        sim.root.public_key(),
        [9; 32],
        sim.now,
    )
    .unwrap();
    twin.handle_input(sim.now, Input::AddressReady(address));
    while let Some(due) = twin
        .poll_timeout()
        .filter(|due| *due <= sim.now + seconds(2))
    {
        twin.handle_timeout(due);
    }
    let outputs = std::iter::from_fn(|| twin.poll_output());
    let said = outputs.filter_map(|output| match output {
        Output::Transmit {
            destination: GROUP,
            payload,
        } => Some(payload),
        _ => None,
    });
    said.collect()
}

fn meetings(sim: &Sim) -> Vec<[u8; 16]> {
    let events = sim.nodes[0].events.iter();
    let address = |event: &Event| match event {
        Event::SameIdentity { address } => Some(*address),
        _ => None,
    };
    events.filter_map(|(_, event)| address(event)).collect()
}

#[test]
fn a_node_that_hears_its_own_identity_from_elsewhere_says_so_once() {
    let mut sim = Sim::settled(1, &[50, 40, 30]);
    let frames = said_by_twin(&sim, ELSEWHERE);
    assert!(frames.len() >= 2, "requests to join, then beacons");
    for frame in &frames {
        sim.inject(0, ELSEWHERE, GROUP, frame);
        sim.run(seconds(6));
    }
    assert_eq!(meetings(&sim), [ELSEWHERE]);
    assert_eq!(
        sim.node(0).view(sim.now).twin.map(|twin| twin.address),
        Some(ELSEWHERE)
    );
    sim.assert_one_anchor();
}

#[test]
fn neither_a_nodes_own_frames_nor_forged_ones_are_another_node() {
    let mut sim = Sim::settled(1, &[50, 40, 30]);
    let own = sim.nodes[0].address;
    for frame in said_by_twin(&sim, own) {
        sim.inject(0, own, GROUP, &frame);
        // Recorded there and played back from here: the pre-tag binds the address.
        sim.inject(0, ELSEWHERE, GROUP, &frame);
    }
    for mut frame in said_by_twin(&sim, ELSEWHERE) {
        let last = frame.len() - 41;
        frame[last] ^= 1;
        sim.inject(0, ELSEWHERE, GROUP, &frame);
    }
    assert_eq!(meetings(&sim), Vec::<[u8; 16]>::new());
    assert!(sim.node(0).view(sim.now).twin.is_none());
}
