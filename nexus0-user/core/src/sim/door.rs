//! Crowds at the door: those who replay what they recorded, and those who know the mesh id.

use core::time::Duration;
use std::collections::BTreeMap;

use nexus0_common::maps::Own;
use nexus0_common::reason::Verdict;
use nexus0_common::wire::{FrameType, GROUP, Request};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::checks::Sent;
use super::{Sim, seconds};
use crate::filter::MapOp;
use crate::identity::Identity;
use crate::node::{Input, Role};
use crate::send::{Envelope, Under};
use crate::time::Time;

/// Short against the millisecond that one frame is worth, so that a crowd leaves no gaps.
const TICK: Duration = Duration::from_micros(100);
const HALF_A_SECOND: Duration = Duration::from_millis(500);
/// Ethernet, IPv6 and UDP.
const HEADERS: u64 = 14 + 40 + 8;

/// A frame that somebody puts on the link: its source and payload.
type Knock = ([u8; 16], Vec<u8>);

/// Faults planted in all filters.
#[derive(Clone, Copy, Default)]
struct Planted {
    /// Tags are forgotten at once.
    forgetful: bool,
    /// Nothing is bound: one half for all.
    unbound: bool,
}

/// Frames at everybody's door, so many a tick.
struct Crowd<'a> {
    knocks: &'a mut dyn FnMut() -> Knock,
    per_tick: usize,
    /// Only at the anchor's door.
    at_anchor: bool,
    planted: Planted,
    told: Time,
}

impl Crowd<'_> {
    fn tick(&mut self, sim: &mut Sim) {
        let anchors = sim.anchors();
        let doors: Vec<usize> = sim.running().map(|(index, _)| index).collect();
        for _ in 0..self.per_tick {
            let (source, payload) = (self.knocks)();
            for index in &doors {
                let meant = !self.at_anchor || anchors.contains(index);
                if meant && sim.nodes[*index].address != source {
                    sim.inject(*index, source, GROUP, &payload);
                }
            }
        }
        self.plant(sim, &doors);
        if sim.now.since(self.told) >= Duration::from_millis(50) {
            self.told = sim.now;
            for index in anchors {
                let bytes = crowded_out(sim, index);
                sim.input(index, Input::DoorRefused { bytes });
            }
        }
        sim.run(TICK);
    }

    fn plant(&self, sim: &mut Sim, doors: &[usize]) {
        for index in doors {
            let now = sim.now;
            let filter = sim.filter_mut(*index);
            if self.planted.forgetful {
                let Ok(()) = filter.configure(|config| config.cell_key[0] += 1);
            }
            if self.planted.unbound {
                let Ok(()) = filter.apply(&MapOp::Own(Own::default()), now);
            }
        }
    }

    /// How long nodes that nobody has met take to come in; five seconds are the end.
    fn joins(&mut self, sim: &mut Sim, count: usize) -> Vec<Duration> {
        let start = sim.now;
        while sim.now.since(start) < HALF_A_SECOND {
            self.tick(sim);
        }
        (0..count).map(|_| self.join(sim)).collect()
    }

    fn join(&mut self, sim: &mut Sim) -> Duration {
        let joiner = sim.add(10);
        sim.start(joiner);
        let start = sim.now;
        while sim.now.since(start) < seconds(5) && sim.node(joiner).role() != Role::Member {
            self.tick(sim);
        }
        let took = sim.now.since(start);
        sim.kill(joiner);
        took
    }
}

/// A BEACON is the shortest of what knocks here.
fn crowded_out(sim: &Sim, index: usize) -> u64 {
    let verdicts = sim.nodes[index].verdicts.iter();
    let crowded = verdicts.filter(|(verdict, _)| verdict.crowds_the_door());
    crowded.map(|(_, frames)| frames * (HEADERS + 287)).sum()
}

fn crowd<'a>(sim: &Sim, per_tick: usize, knocks: &'a mut dyn FnMut() -> Knock) -> Crowd<'a> {
    Crowd {
        knocks,
        per_tick,
        at_anchor: false,
        planted: Planted::default(),
        told: sim.now,
    }
}

/// A settled mesh of five, and all that was multicast at its door while thirty nodes came and went.
fn recorded(seed: u64) -> (Sim, Vec<Knock>) {
    let mut sim = Sim::settled(seed, &[90, 50, 40, 30, 20]);
    for _ in 0..30 {
        let index = sim.add(10);
        sim.start(index);
        sim.run(Duration::from_millis(900));
        sim.kill(index);
    }
    let at_door = sim.sent.iter().filter(|sent| {
        sent.destination == GROUP && sent.frame_type() as u8 >= FrameType::ReqEpoch as u8
    });
    let knocks = at_door.map(|sent| (sim.nodes[sent.from].address, sent.payload.clone()));
    let knocks: Vec<Knock> = knocks.collect();
    assert!(knocks.len() > 60, "{}", knocks.len());
    (sim, knocks)
}

fn in_turn(recorded: &[Knock]) -> impl FnMut() -> Knock + use<'_> {
    let mut all = recorded.iter().cycle();
    move || all.next().cloned().unwrap_or_default()
}

/// Requests by one who knows the mesh id and granted itself, each from an address that nobody has; unbound.
fn insiders(sim: &Sim) -> impl FnMut() -> Knock + use<> {
    let material = sim.node(0).door.clone();
    let (mesh, identity) = (sim.root.mesh_id(), Identity::from_seed(&[77; 32]));
    let mut sequence = 0_u64;
    move || {
        sequence += 1;
        let mut source = [0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        source[8..].copy_from_slice(&(sequence | 0xff << 56).to_be_bytes());
        let body = Request {
            door_nonce: [0; 4],
            nonce: [1; 16],
            ephemeral: [2; 32],
            grant: [3; 134],
            attempt: 0,
            lowest: 1,
            highest: 2,
            reigning: 0,
        };
        let under = Under {
            material: material.clone(),
            chain: None,
        };
        let envelope = Envelope {
            mesh,
            identity: &identity,
            under: &under,
            source,
            destination: GROUP,
            sequence,
        };
        (source, envelope.frame(&body).expect("a request"))
    }
}

fn longest(took: &[Duration]) -> Duration {
    took.iter().copied().max().unwrap_or_default()
}

#[test]
fn joins_take_less_than_half_a_second_while_strangers_replay_what_they_recorded() {
    let (mut sim, recorded) = recorded(1);
    let mut knocks = in_turn(&recorded);
    let took = crowd(&sim, 2, &mut knocks).joins(&mut sim, 20);
    println!("20,000 replays/s: {took:?}");
    assert!(longest(&took) < HALF_A_SECOND, "{took:?}");
    let repeats = sim.nodes[0].verdicts.get(&Verdict::DoorRepeat).copied();
    assert!(repeats > Some(8_000), "there was no crowd: {repeats:?}");
}

#[test]
fn the_same_replays_keep_joiners_out_where_tags_are_forgotten_and_all_share_one_half() {
    let (mut sim, recorded) = recorded(1);
    let mut knocks = in_turn(&recorded);
    let mut crowd = crowd(&sim, 2, &mut knocks);
    crowd.planted = Planted {
        forgetful: true,
        unbound: true,
    };
    let took = crowd.joins(&mut sim, 2);
    println!("20,000 replays/s, no memory, one half: {took:?}");
    assert!(longest(&took) > HALF_A_SECOND, "{took:?}");
}

#[test]
fn a_joiner_that_an_insider_crowds_out_binds_to_a_beacon_and_comes_in() {
    let mut sim = Sim::settled(2, &[90, 50, 40]);
    let mut knocks = insiders(&sim);
    let mut crowd = crowd(&sim, 3, &mut knocks);
    crowd.at_anchor = true;
    let took = crowd.joins(&mut sim, 10);
    println!("30,000 unbound requests/s at the anchor: {took:?}");
    assert!(longest(&took) < HALF_A_SECOND, "{took:?}");
    let counters = sim.node(0).view(sim.now).counters;
    assert!(counters.extra_beacons > 5, "{}", counters.extra_beacons);
    let refused = |verdict| sim.nodes[0].verdicts.get(&verdict).copied();
    assert!(refused(Verdict::DoorRate) > Some(1_000));
    assert_eq!(refused(Verdict::DoorBound), None);
}

#[test]
fn the_same_insider_keeps_joiners_out_where_all_share_one_half() {
    let mut sim = Sim::settled(2, &[90, 50, 40]);
    let mut knocks = insiders(&sim);
    let mut crowd = crowd(&sim, 3, &mut knocks);
    crowd.at_anchor = true;
    crowd.planted.unbound = true;
    let took = crowd.joins(&mut sim, 2);
    println!("30,000 unbound requests/s at the anchor, one half: {took:?}");
    assert!(longest(&took) > HALF_A_SECOND, "{took:?}");
}

#[test]
fn beacons_for_the_crowded_out_weigh_no_more_than_what_was_refused() {
    let mut sim = Sim::settled(3, &[90, 50]);
    let mut refused = 1_000_000;
    sim.input(0, Input::DoorRefused { bytes: refused });
    let before = sim.count(FrameType::Beacon);
    let extra = |sim: &Sim| (sim.count(FrameType::Beacon) - before) as u64;
    assert_eq!(
        extra(&sim),
        0,
        "the first look only tells how many there were"
    );
    // 20 bytes each 50 ms: 400 a second.
    for _ in 0..200 {
        refused += 20;
        sim.run(Duration::from_millis(50));
        sim.input(0, Input::DoorRefused { bytes: refused });
    }
    let pulses = 3;
    let sent = extra(&sim);
    assert!((4..=4000 / 349 + pulses).contains(&sent), "{sent}");
    // However much is refused, ten a second at most.
    let earlier = extra(&sim);
    for _ in 0..200 {
        refused += 1_000_000;
        sim.run(Duration::from_millis(50));
        sim.input(0, Input::DoorRefused { bytes: refused });
    }
    let sent = extra(&sim) - earlier;
    assert!((90..=100 + pulses).contains(&sent), "{sent}");
}

#[test]
fn a_replayed_beacon_costs_a_joiner_no_signature_and_moves_no_nonce() {
    let mut sim = Sim::settled(4, &[90]);
    sim.run(seconds(20));
    let beacons: Vec<Vec<u8>> = sim
        .sent
        .iter()
        .filter(|sent| sent.frame_type() == FrameType::Beacon)
        .map(|sent| sent.payload.clone())
        .collect();
    let source = sim.nodes[0].address;
    sim.kill(0);
    let joiner = sim.add(10);
    sim.start(joiner);
    let [.., old, newest] = &beacons[..] else {
        panic!("{}", beacons.len())
    };
    let hear = |sim: &mut Sim, payload: &[u8]| {
        sim.inject(joiner, source, GROUP, payload);
        sim.nodes[joiner].node.as_mut().map(|node| node.bind(0))
    };
    let shown = |beacon: &[u8]| beacon[24 + 20..].first_chunk().copied();
    assert_eq!(
        hear(&mut sim, old),
        shown(old),
        "an old one is better than none"
    );
    assert_eq!(hear(&mut sim, newest), shown(newest));
    assert_eq!(
        hear(&mut sim, old),
        shown(newest),
        "and is no news afterwards"
    );
}

#[test]
fn no_node_sends_more_bytes_to_a_random_stranger_than_it_gave() {
    const ANSWERS: [FrameType; 4] = [
        FrameType::Answer,
        FrameType::Hold,
        FrameType::DoorProbe,
        FrameType::DoorReply,
    ];
    let mut met = BTreeMap::new();
    for seed in 0..6 {
        let (mut sim, _) = recorded(10 + seed);
        let all: Vec<Sent> = sim.sent.clone();
        let at_door = |sent: &&Sent| sent.frame_type() as u8 >= FrameType::ReqEpoch as u8;
        let all: Vec<Sent> = all.iter().filter(at_door).cloned().collect();
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut below = |end: usize| rng.next_u32() as usize % end;
        let from = sim.sent.len();
        let mut given = BTreeMap::new();
        for number in 0..6000 {
            if number == 3000 {
                // Members whose anchor is silent hold joiners off.
                sim.kill(0);
            }
            let sent = &all[below(all.len())];
            let index = below(5);
            let (destination, own) = (sent.destination, sim.nodes[index].address);
            let source = sim.nodes[sent.from].address;
            if (destination == GROUP || destination == own) && source != own {
                *given.entry(index).or_default() += sent.payload.len();
                // Past the filter, which would remember the tag.
                let payload = sent.payload.as_slice();
                let frame = Input::Frame {
                    source,
                    destination,
                    payload,
                };
                sim.input(index, frame);
            }
            sim.run(Duration::from_millis(below(12) as u64));
        }
        let mut earned: BTreeMap<usize, usize> = BTreeMap::new();
        for sent in &sim.sent[from..] {
            if ANSWERS.contains(&sent.frame_type()) {
                *earned.entry(sent.from).or_default() += sent.payload.len();
                *met.entry(sent.frame_type()).or_insert(0) += 1;
            }
        }
        for (index, earned) in earned {
            let given: usize = given.get(&index).copied().unwrap_or(0);
            assert!(
                earned <= given,
                "seed {seed}, node {index}: {earned} for {given}"
            );
        }
    }
    println!("{met:?}");
    assert!(
        met.len() == ANSWERS.len(),
        "not everything was met: {met:?}"
    );
}
