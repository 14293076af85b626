//! Cold starts and joins.

use core::time::Duration;

use nexus0_common::wire::FrameType;

use super::{Link, Sim, seconds};
use crate::event::Event;
use crate::node::Role;

fn egos(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index * 37 % 101) as u8).collect()
}

fn best(egos: &[u8]) -> usize {
    (0..egos.len())
        .max_by_key(|index| (egos[*index], core::cmp::Reverse(*index)))
        .unwrap()
}

#[test]
fn a_lone_node_starts_a_chain_within_three_seconds() {
    let mut sim = Sim::mesh(1, &[50]);
    let took = sim.run_until(seconds(3), |sim| sim.node(0).role() == Role::Anchor);
    assert!(took.is_some());
}

#[test]
fn three_ten_and_fifty_nodes_elect_the_best_and_know_each_other() {
    for count in [3, 10, 50] {
        let egos = egos(count);
        let mut sim = Sim::mesh(count as u64, &egos);
        let took = sim.run_until(seconds(10), Sim::agrees).expect("agreement");
        assert_eq!(sim.assert_one_anchor(), best(&egos), "{count} nodes");
        let started = sim.events(|event| matches!(event, Event::ColdStart { .. }));
        assert_eq!(started.len(), 1);
        println!("{count} nodes agree after {took:?}");
        assert!(took < seconds(3), "{took:?}");
    }
}

#[test]
fn equal_egos_elect_the_lowest_serial_whoever_is_heard_first() {
    for seed in 0..5 {
        let mut sim = Sim::mesh(seed, &[50; 10]);
        sim.run_until(seconds(10), Sim::agrees).expect("agreement");
        assert_eq!(sim.anchors(), [0]);
    }
}

#[test]
fn a_joiner_is_deaf_for_less_than_half_a_second() {
    let mut sim = Sim::settled(2, &[50, 40, 30]);
    let joiner = sim.add(90);
    let before = sim.sent.len();
    sim.start(joiner);
    let took = sim
        .run_until(seconds(2), |sim| sim.node(joiner).role() == Role::Member)
        .unwrap();
    assert!(took < Duration::from_millis(10), "{took:?}");
    let messages = sim.sent.len() - before;
    assert!(
        messages <= 3,
        "request, answer and first pulse, not {messages}"
    );
    let complete = sim.run_until(seconds(2), Sim::agrees).unwrap();
    assert!(complete < Duration::from_millis(500), "{complete:?}");
    assert_eq!(
        sim.anchors(),
        [0],
        "a higher ego does not depose a living anchor"
    );
}

#[test]
fn answering_a_request_does_not_rotate_the_key() {
    let mut sim = Sim::settled(3, &[50, 40]);
    let key = |sim: &Sim| sim.node(0).view(sim.now).keys;
    let before = key(&sim);
    let joiner = sim.add(10);
    sim.start(joiner);
    sim.run(seconds(1));
    assert_eq!(key(&sim), before);
    assert_eq!(sim.node(joiner).view(sim.now).keys[0].id, before[0].id);
}

#[test]
fn a_lossy_duplicating_reordering_link_still_agrees() {
    for seed in 0..8 {
        let mut sim = Sim::new(seed);
        sim.link = Link {
            loss: 100,
            duplication: 200,
            delay: (1, 40),
        };
        for ego in egos(10) {
            let index = sim.add(ego);
            sim.start(index);
        }
        let took = sim.run_until(seconds(60), Sim::agrees).expect("agreement");
        println!("seed {seed}: {took:?}");
        sim.run(seconds(120));
        assert!(sim.agrees(), "{:?}", sim.anchors());
    }
}

#[test]
fn fifty_simultaneous_joins_are_batched() {
    let mut sim = Sim::settled(4, &[100]);
    let joiners: Vec<usize> = (0..49).map(|_| sim.add(10)).collect();
    for index in &joiners {
        sim.start(*index);
    }
    sim.run_until(seconds(3), Sim::agrees).expect("agreement");
    let computed = sim.node(0).view(sim.now).counters.answers_computed;
    assert_eq!(computed, 49, "one per joiner");
    println!("answers {}", sim.count(FrameType::Answer));
}

#[test]
fn a_seed_replays_to_the_same_bytes() {
    let run = |seed| {
        let mut sim = Sim::new(seed);
        sim.link = Link {
            loss: 100,
            duplication: 100,
            delay: (1, 20),
        };
        (0..6).for_each(|ego| {
            let index = sim.add(ego);
            sim.start(index);
        });
        sim.run(seconds(90));
        sim.digest()
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

/// (R10)
#[test]
fn an_ordinary_node_comes_back_without_its_state() {
    let mut sim = Sim::settled(5, &[50, 40, 30]);
    sim.kill(2);
    sim.run(seconds(2));
    sim.start(2);
    let took = sim.run_until(seconds(2), Sim::agrees).unwrap();
    assert!(took < seconds(1), "{took:?}");
    sim.run(seconds(130));
    assert_eq!(sim.assert_one_anchor(), 0);
}

#[test]
fn a_node_that_starts_again_at_once_waits_for_its_answer_and_starts_no_chain() {
    let mut sim = Sim::settled(6, &[50, 40]);
    for _ in 0..2 {
        sim.kill(1);
        sim.start(1);
        let took = sim.run_until(seconds(4), Sim::agrees);
        assert!(took.is_some(), "{:?}", sim.anchors());
        sim.run(Duration::from_millis(300));
    }
    let started = sim.events(|event| matches!(event, Event::ColdStart { .. }));
    assert_eq!(started.len(), 1, "one chain was ever started: {started:?}");
}
