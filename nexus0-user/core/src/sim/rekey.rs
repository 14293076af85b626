//! Fresh secrets by the hour: a thief of one epoch's secret follows no further.

use nexus0_common::wire::FrameType;

use super::thief::Thief;
use super::{Link, Sim, seconds};
use crate::event::Event;

fn mesh(seed: u64, every: u64) -> Sim {
    let mut sim = Sim::new(seed);
    sim.config.rekey = seconds(every);
    for ego in [50, 40, 30, 20] {
        let index = sim.add(ego);
        sim.start(index);
    }
    sim.run(seconds(20));
    sim.assert_one_anchor();
    sim
}

/// For how many of the next epochs a thief of the present secret holds the current one.
fn followed(sim: &mut Sim, epochs: u32) -> u32 {
    let mut thief = Thief::of_secrets(sim.node(2));
    let mut count = 0;
    for _ in 0..epochs {
        sim.run(seconds(60));
        thief.listen(sim);
        count += u32::from(thief.follows(sim, 1));
    }
    count
}

#[test]
fn a_thief_follows_no_further_than_the_next_fresh_secret() {
    let mut sim = mesh(1, 180);
    assert!(followed(&mut sim, 12) <= 4);
    assert!(sim.count(FrameType::Rekey) >= 6, "two announcements each");
    assert!(sim.count(FrameType::Epoch) >= 6, "and cheap ones between");
    sim.assert_one_anchor();
}

#[test]
fn without_fresh_secrets_a_thief_follows_for_ever() {
    let mut sim = mesh(1, 86_400);
    assert_eq!(followed(&mut sim, 12), 12);
    assert_eq!(sim.count(FrameType::Rekey), 0);
    assert_eq!(sim.node(1).view(sim.now).counters.fresh_turns, 0);
}

#[test]
fn turns_by_fresh_secrets_lose_nobody() {
    for seed in 0..4 {
        let mut sim = mesh(seed, 0);
        sim.link = Link {
            loss: 100,
            duplication: 100,
            delay: (1, 30),
        };
        sim.run(seconds(600));
        sim.link = Link::GOOD;
        sim.run(seconds(20));
        sim.assert_one_anchor();
        let promoted = sim.events(|event| matches!(event, Event::Promoted { .. }));
        assert!(promoted.is_empty());
        assert_eq!(sim.count(FrameType::Epoch), 0);
        let counters = sim.node(1).view(sim.now).counters;
        assert!(counters.turns >= 9);
        assert_eq!(counters.fresh_turns, counters.turns);
    }
}

#[test]
fn a_successor_that_knows_of_no_fresh_secret_makes_one_at_its_first_turn() {
    let mut sim = mesh(2, 86_400);
    sim.run(seconds(130));
    assert_eq!(sim.count(FrameType::Rekey), 0);
    // Whoever came in by an answer does not know how old the secrets are.
    sim.kill(0);
    sim.run(seconds(120));
    assert!(sim.count(FrameType::Rekey) >= 2);
    sim.assert_one_anchor();
}

#[test]
fn fifty_members_get_their_boxes_on_pages() {
    let mut sim = Sim::new(3);
    sim.config.rekey = seconds(0);
    for ego in 0..50 {
        let index = sim.add(ego);
        sim.start(index);
    }
    sim.run(seconds(70));
    sim.assert_one_anchor();
    // 49 boxes on three pages, twice.
    assert_eq!(sim.count(FrameType::Rekey), 6);
    assert!(sim.node(7).view(sim.now).counters.turns >= 1);
}
