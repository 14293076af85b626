//! Open meshes: everybody who knows the name, capped, and apart from all others.

use super::{Sim, seconds};
use crate::event::Event;
use crate::identity::Identity;
use crate::node::{ConfigError, Input, Node};
use crate::open::open_root;

fn open(name: &str, egos: &[u8]) -> Sim {
    let mut sim = Sim::new(1);
    sim.config.open = true;
    sim.root = open_root(name);
    for ego in egos {
        let index = sim.add(*ego);
        sim.nodes[index].grant = sim.grant_with_serial(index, 0);
        sim.start(index);
    }
    sim
}

#[test]
fn nodes_that_know_the_name_form_a_mesh_without_any_grant() {
    let mut sim = open("home", &[50, 40, 30]);
    sim.run(seconds(10));
    assert_eq!(sim.assert_one_anchor(), 0);
    assert!(sim.node(1).view(sim.now).open);
}

#[test]
fn a_self_granted_ego_above_the_cap_is_refused_by_everyone() {
    let mut sim = open("home", &[50, 40]);
    sim.run(seconds(10));
    // A node that lifted its own cap.
    let greedy = sim.add(51);
    sim.nodes[greedy].grant = sim.grant_with_serial(greedy, 0);
    sim.config.open = false;
    sim.start(greedy);
    sim.run(seconds(20));
    for index in [0, 1] {
        assert!(sim.node(index).roster.get(sim.id(greedy)).is_none());
        assert_eq!(sim.node(index).view(sim.now).anchor, Some(sim.id(0)));
    }
    let late = sim.add(50);
    sim.start(late);
    sim.run(seconds(20));
    assert!(
        sim.node(0).roster.get(sim.id(late)).is_none(),
        "nor a serial"
    );
}

#[test]
fn a_node_is_not_made_with_more_than_the_cap() {
    let mut sim = open("home", &[]);
    let index = sim.add(51);
    let grant = sim.grant_with_serial(index, 0);
    let node = Node::new(
        sim.config.clone(),
        Identity::from_seed(&sim.seed_of(index)),
        grant,
        sim.root.public_key(),
        [0; 32],
        sim.now,
    );
    assert_eq!(
        node.unwrap_err(),
        ConfigError::Unfair { ego: 51, serial: 0 }
    );
}

#[test]
fn a_closed_mesh_never_takes_a_self_granted_node() {
    let mut sim = Sim::settled(2, &[50, 40]);
    let closed = sim.root.public_key();
    let stranger = sim.add(10);
    let ours = core::mem::replace(&mut sim.root, open_root("home"));
    sim.nodes[stranger].grant = sim.grant_with_serial(stranger, 0);
    // It speaks at the door of the closed mesh, with its own grant.
    let grant = sim.nodes[stranger].grant.clone();
    assert!(crate::grant::Grant::parse(grant.bytes(), &closed).is_err());
    sim.config.open = true;
    sim.start(stranger);
    sim.root = ours;
    sim.run(seconds(20));
    for index in [0, 1] {
        assert!(sim.node(index).roster.get(sim.id(stranger)).is_none());
        assert_eq!(sim.node(index).view(sim.now).peers.len(), 1);
    }
}

#[test]
fn two_open_meshes_with_different_names_do_not_mix() {
    let mut sim = open("one", &[50, 40]);
    sim.root = open_root("other");
    for ego in [30, 20] {
        let index = sim.add(ego);
        sim.nodes[index].grant = sim.grant_with_serial(index, 0);
        sim.start(index);
    }
    sim.run(seconds(60));
    assert_eq!(sim.anchors(), [0, 2]);
    for index in 0..4 {
        assert_eq!(sim.node(index).view(sim.now).peers.len(), 1);
    }
}

#[test]
fn an_open_mesh_expels_nobody() {
    let mut sim = open("home", &[50, 40]);
    sim.run(seconds(10));
    let list = sim.list(1, 0, &[1]);
    sim.input(0, Input::Revocations(&list));
    sim.run(seconds(5));
    let taken = sim.events(|event| matches!(event, Event::RevocationsTaken { .. }));
    assert!(taken.is_empty());
    sim.assert_one_anchor();
}
