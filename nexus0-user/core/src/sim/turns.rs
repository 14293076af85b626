//! From epoch to epoch.

use core::time::Duration;

use nexus0_common::reason::Verdict;
use nexus0_common::wire::FrameType;

use super::{Link, Sim, seconds};
use crate::event::Event;
use crate::node::{ConfigError, NodeConfig};

#[test]
fn turns_lose_no_pulse() {
    let mut sim = Sim::settled(1, &[50, 40, 30, 20, 10]);
    sim.link = Link {
        delay: (1, 30),
        ..Link::GOOD
    };
    sim.run(seconds(600));
    sim.assert_one_anchor();
    assert!(sim.node(0).view(sim.now).counters.turns >= 9);
    assert_no_loss(&sim);
}

fn assert_no_loss(sim: &Sim) {
    assert!(compared_without_loss(sim, 2) >= 100);
}

/// Every multicast frame sent under full epochs from `first` on was accepted by everyone; how many counts were
/// compared.
pub(super) fn compared_without_loss(sim: &Sim, first: u64) -> usize {
    let mut compared = 0;
    for (sender, node) in sim.running() {
        let pages = node.view(sim.now).ledger;
        for page in pages
            .iter()
            .filter(|page| page.number >= first)
            .rev()
            .skip(2)
        {
            for (receiver, other) in sim.running().filter(|(index, _)| *index != sender) {
                let view = other.view(sim.now);
                let theirs = view
                    .ledger
                    .iter()
                    .find(|other| other.key_id == page.key_id)
                    .unwrap();
                let accepted = theirs.accepted.iter().find(|(id, _)| *id == sim.id(sender));
                let accepted = accepted.map_or(0, |(_, count)| *count);
                assert_eq!(
                    accepted, page.sent,
                    "epoch {}: {sender} to {receiver}",
                    page.number
                );
                compared += 1;
            }
        }
    }
    compared
}

#[test]
fn the_ledger_shows_one_lost_pulse() {
    let mut sim = Sim::settled(2, &[50, 40, 30, 20, 10]);
    sim.run(seconds(130));
    sim.link.loss = 1000;
    let before = sim.count(FrameType::Ann);
    sim.run_until(seconds(7), |sim| sim.count(FrameType::Ann) > before)
        .unwrap();
    sim.link.loss = 0;
    sim.run(seconds(470));
    let result = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| assert_no_loss(&sim)));
    assert!(result.is_err(), "a planted loss must show");
}

#[test]
fn a_missed_announcement_is_asked_for() {
    let mut sim = Sim::settled(3, &[50, 40]);
    // Deaf through all three announcements.
    sim.run_until(seconds(60), |sim| {
        sim.count(FrameType::Epoch) == 0 && sim.now.0 % 60_000_000_000 > 29_000_000_000
    });
    sim.run(seconds(20));
    let before = sim.now;
    sim.deafen(1);
    sim.run(seconds(6));
    sim.blocked.clear();
    sim.run(seconds(60));
    sim.assert_one_anchor();
    assert!(sim.now > before);
}

#[test]
fn a_key_dies_in_the_filter_by_itself() {
    let mut sim = Sim::settled(4, &[50, 40]);
    let frame = sim
        .sent
        .iter()
        .rev()
        .find(|sent| sent.frame_type() == FrameType::Ann)
        .unwrap()
        .clone();
    sim.kill(0);
    sim.now = sim.now + seconds(100);
    let source = sim.nodes[1].address;
    assert_eq!(
        sim.inject(0, source, frame.destination, &frame.payload),
        Verdict::StaleEpoch
    );
}

#[test]
fn an_epoch_shorter_than_nine_pulses_is_refused() {
    let least = Duration::from_secs(45);
    let mut config = NodeConfig {
        epoch: Duration::from_secs(44),
        ..NodeConfig::default()
    };
    let epoch = config.epoch;
    assert_eq!(config.check(), Err(ConfigError::Epoch { epoch, least }));
    config.epoch = least;
    assert_eq!(config.check(), Ok(()));
    config.pulse = Duration::from_millis(99);
    assert!(
        config
            .check()
            .unwrap_err()
            .to_string()
            .contains("100ms to 60s")
    );
}

#[test]
fn a_fast_mesh_turns_too() {
    let mut sim = Sim::new(5);
    sim.config.pulse = Duration::from_millis(100);
    sim.config.epoch = Duration::from_millis(1000);
    for ego in [50, 40, 30] {
        let index = sim.add(ego);
        sim.start(index);
    }
    sim.run(seconds(30));
    sim.assert_one_anchor();
    assert!(sim.node(1).view(sim.now).counters.turns > 20);
    let rejoined = sim.events(|event| matches!(event, Event::Rejoining));
    assert!(rejoined.is_empty(), "{rejoined:?}");
}

/// (R11)
#[test]
fn the_node_uses_only_the_time_it_is_given() {
    let run = |offset: u64| {
        let mut sim = Sim::new(6);
        sim.now.0 += offset;
        for ego in [50, 40] {
            let index = sim.add(ego);
            sim.start(index);
        }
        let start = sim.now;
        sim.run(seconds(200));
        sim.sent
            .iter()
            .map(|sent| sent.at.since(start))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        run(0),
        run(987_654_321_000_000),
        "only differences of times may matter"
    );
}
