//! Links that split and heal: each side keeps an anchor, and afterwards the better one's chain holds everyone.

use core::time::Duration;
use std::collections::BTreeMap;

use nexus0_common::wire::FrameType;

use super::{Sim, seconds};
use crate::event::{Event, Reason};
use crate::grant::{GrantRequest, Kind};
use crate::id::{ChainId, KeyId};
use crate::node::Input;
use crate::time::Time;
use crate::view::KeyState;

pub(crate) fn egos(count: usize) -> Vec<u8> {
    (0..count).map(|index| 100 - (index % 90) as u8).collect()
}

pub(crate) fn halves(count: usize) -> (Vec<usize>, Vec<usize>) {
    ((0..count / 2).collect(), (count / 2..count).collect())
}

/// Settled, split in the middle for long enough that both halves have an anchor.
pub(crate) fn split(seed: u64, count: usize) -> Sim {
    let mut sim = Sim::settled(seed, &egos(count));
    sim.run(seconds(20) + Duration::from_millis(733 * seed));
    let (left, right) = halves(count);
    sim.cut(&left, &right);
    sim.run(seconds(60));
    assert_eq!(sim.anchors(), [0, count / 2], "seed {seed}");
    sim
}

/// Until there is one anchor and everyone follows it.
pub(crate) fn heal(sim: &mut Sim, limit: Duration) -> Duration {
    sim.blocked.clear();
    let took = sim.run_until(limit, one_anchor);
    took.unwrap_or_else(|| {
        sim.explain();
        panic!("anchors {:?}", sim.anchors())
    })
}

pub(crate) fn one_anchor(sim: &Sim) -> bool {
    let [anchor] = sim.anchors()[..] else {
        return false;
    };
    let chain = sim.node(anchor).view(sim.now).chain;
    sim.running()
        .all(|(_, node)| node.view(sim.now).chain == chain)
}

/// How often nodes changed their anchor since then.
pub(crate) fn changes(sim: &Sim, since: Time) -> usize {
    let all = sim.events(|event| matches!(event, Event::AnchorChanged { .. }));
    all.iter().filter(|(_, at)| *at >= since).count()
}

#[test]
fn two_halves_have_one_anchor_within_six_seconds_of_the_heal() {
    let mut worst = (Duration::ZERO, Duration::ZERO);
    for seed in 0..50 {
        let mut sim = split(seed, 8);
        let healed = sim.now;
        let took = heal(&mut sim, seconds(6));
        assert_eq!(sim.anchors(), [0], "seed {seed}");
        sim.run_until(seconds(10), Sim::agrees).expect("one roster");
        worst = (worst.0.max(took), worst.1.max(sim.now.since(healed)));
        sim.run(seconds(130));
        assert_eq!(sim.assert_one_anchor(), 0);
        let merged = |event: &Event| {
            matches!(
                event,
                Event::AnchorChanged {
                    reason: Reason::Merged,
                    ..
                }
            )
        };
        assert_eq!(sim.events(merged).len(), 4, "seed {seed}");
        assert_eq!(
            changes(&sim, healed),
            4,
            "seed {seed}: no change but the merge"
        );
    }
    println!(
        "one anchor after at most {:?}, one roster after {:?}",
        worst.0, worst.1
    );
}

/// Frames of a heal by type, pulses of the steady state left out.
fn cost(count: usize) -> BTreeMap<FrameType, usize> {
    let mut sim = split(3, count);
    let healed = sim.now;
    heal(&mut sim, seconds(6));
    sim.run_until(seconds(10), Sim::agrees).expect("one roster");
    let all = sim.sent.iter().filter(|sent| sent.at >= healed);
    let mut counts = BTreeMap::new();
    for sent in all {
        *counts.entry(sent.frame_type()).or_default() += 1;
    }
    counts
}

#[test]
fn a_merge_costs_one_handshake_and_one_multicast_whatever_the_size() {
    let fixed = [
        FrameType::DoorProbe,
        FrameType::DoorReply,
        FrameType::ReqEpoch,
        FrameType::Answer,
        FrameType::Merge,
        FrameType::Hold,
        FrameType::Ask,
        FrameType::Bye,
        FrameType::Probe,
    ];
    let (small, large) = (cost(10), cost(50));
    println!("10 nodes {small:?}\n50 nodes {large:?}");
    for of in fixed {
        assert_eq!(small.get(&of), large.get(&of), "{}", of.name());
    }
    for (count, cost) in [(10_usize, small), (50, large)] {
        assert_eq!(cost[&FrameType::ReqEpoch], 1);
        assert_eq!(cost[&FrameType::Answer], 1);
        assert_eq!(cost[&FrameType::Merge], 3, "three copies");
        let followers: usize = count / 2 - 1;
        assert_eq!(cost[&FrameType::Introduce], 3 * followers.div_ceil(8));
        // A newcomer's entry and the whole roster, once.
        assert!(cost[&FrameType::Roster] <= 1 + usize::div_ceil(count, 7));
    }
}

/// Multicast frames under these keys that one of `group` sent and another did not accept.
fn lost_within(sim: &Sim, group: &[usize], keys: &[KeyId]) -> (u64, u64) {
    let (mut sent, mut lost) = (0, 0);
    for sender in group {
        for page in sim.node(*sender).view(sim.now).ledger {
            if !keys.contains(&page.key_id) {
                continue;
            }
            for receiver in group.iter().filter(|other| *other != sender) {
                let theirs = sim.node(*receiver).view(sim.now).ledger;
                let theirs = theirs.iter().find(|other| other.key_id == page.key_id);
                let accepted = theirs.and_then(|page| {
                    let mut all = page.accepted.iter();
                    all.find(|(id, _)| *id == sim.id(*sender))
                });
                sent += page.sent;
                lost += page.sent - accepted.map_or(0, |(_, count)| *count);
            }
        }
    }
    (sent, lost)
}

/// Lets what is on its way arrive.
fn arrive(sim: &mut Sim) {
    let pause = Duration::from_millis(40);
    while sim
        .sent
        .last()
        .is_some_and(|sent| sim.now.since(sent.at) < pause)
    {
        sim.run(pause);
    }
}

/// The keys a node holds of its chain.
fn own_keys(sim: &Sim, index: usize) -> Vec<KeyId> {
    let view = sim.node(index).view(sim.now);
    let current = view
        .keys
        .iter()
        .filter(|key| key.state != KeyState::Previous);
    current.map(|key| key.id).collect()
}

#[test]
fn no_pulse_is_lost_inside_a_half_by_split_and_heal() {
    for seed in 0..10 {
        let mut sim = split(seed, 8);
        sim.link.delay = (1, 30);
        let (left, right) = halves(8);
        let mut keys = own_keys(&sim, 4);
        arrive(&mut sim);
        // The promoter's first pulse may overtake the promotion: not the heal's doing.
        let before = [&left, &right].map(|half| lost_within(&sim, half, &keys).1);
        heal(&mut sim, seconds(7));
        keys.extend(own_keys(&sim, 0));
        sim.run(seconds(12));
        arrive(&mut sim);
        for (half, before) in [&left, &right].into_iter().zip(before) {
            let (sent, lost) = lost_within(&sim, half, &keys);
            assert!(sent > 50, "seed {seed}: {sent}");
            assert_eq!(lost, before, "seed {seed}: of {sent}");
        }
    }
}

#[test]
fn a_pulse_lost_inside_a_half_shows() {
    let mut sim = split(1, 8);
    let keys = own_keys(&sim, 4);
    sim.blocked.insert((5, 6));
    sim.run(seconds(6));
    sim.blocked.remove(&(5, 6));
    assert!(lost_within(&sim, &halves(8).1, &keys).1 > 0);
}

fn groups() -> [Vec<usize>; 3] {
    [vec![0, 1, 2], vec![3, 4, 5], vec![6, 7, 8]]
}

fn split_in_three(seed: u64) -> Sim {
    let mut sim = Sim::settled(seed, &egos(9));
    sim.run(seconds(11));
    let [a, b, c] = groups();
    sim.cut(&a, &b);
    sim.cut(&b, &c);
    sim.cut(&a, &c);
    sim.run(seconds(60));
    assert_eq!(sim.anchors(), [0, 3, 6], "seed {seed}");
    sim
}

fn join_groups(sim: &mut Sim, one: usize, other: usize) {
    let all = groups();
    sim.blocked.retain(|(from, to)| {
        let across = |x: &usize, y: &usize| all[one].contains(x) && all[other].contains(y);
        !across(from, to) && !across(to, from)
    });
}

#[test]
fn three_parts_become_one_in_every_order() {
    let pairs = [(0, 1), (1, 2), (0, 2)];
    let mut worst = Duration::ZERO;
    for seed in 0..3 {
        let mut sim = split_in_three(seed);
        worst = worst.max(heal(&mut sim, seconds(12)));
        for first in pairs {
            for second in pairs.into_iter().filter(|pair| *pair != first) {
                for gap in [0, 3, 700, 4000, 20_000] {
                    let mut sim = split_in_three(seed);
                    join_groups(&mut sim, first.0, first.1);
                    sim.run(Duration::from_millis(gap));
                    join_groups(&mut sim, second.0, second.1);
                    sim.run(Duration::from_millis(gap));
                    worst = worst.max(heal(&mut sim, seconds(12)));
                    assert_eq!(sim.anchors(), [0], "seed {seed} {first:?} {second:?} {gap}");
                    sim.run_until(seconds(25), Sim::agrees).expect("one roster");
                }
            }
        }
    }
    println!("three parts: one anchor after at most {worst:?}");
}

#[test]
fn a_link_in_one_direction_merges_nothing_and_moves_nobody() {
    let (left, right) = halves(8);
    for (deaf, heard) in [(&left, &right), (&right, &left)] {
        let mut sim = split(5, 8);
        let since = sim.now;
        sim.blocked.clear();
        for from in heard {
            sim.blocked.extend(deaf.iter().map(|to| (*from, *to)));
        }
        sim.run(seconds(180));
        assert_eq!(sim.anchors(), [0, 4]);
        assert_eq!(changes(&sim, since), 0);
        heal(&mut sim, seconds(6));
    }
}

#[test]
fn followers_that_cannot_hear_the_winner_settle() {
    let mut sim = split(6, 8);
    sim.blocked.clear();
    for follower in 5..8 {
        sim.blocked.extend((0..4).map(|from| (from, follower)));
    }
    let since = sim.now;
    sim.run(seconds(120));
    let first = changes(&sim, since);
    sim.run(seconds(480));
    let all = changes(&sim, since);
    println!("followers deaf for the winner: {first} changes in two minutes, {all} in ten");
    assert!(first <= 24, "{first}: eight for each of the three");
    assert_eq!(all, first, "no flapping");
    heal(&mut sim, seconds(30));
}

#[test]
fn flapping_partitions_move_each_node_twice_a_cycle_at_most_and_never_back() {
    for (seed, pause) in [(1, 3), (2, 7), (3, 13), (4, 30)] {
        let mut sim = Sim::settled(seed, &egos(8));
        let (left, right) = halves(8);
        let (since, cycles) = (sim.now, 600 / (2 * pause));
        let mut held: BTreeMap<(usize, ChainId), u64> = BTreeMap::new();
        for step in 0..600 {
            if step % (2 * pause) == 0 {
                sim.cut(&left, &right);
            } else if step % (2 * pause) == pause {
                sim.blocked.clear();
            }
            sim.run(seconds(1));
            for (index, node) in sim.running() {
                let view = node.view(sim.now);
                let Some(chain) = view.chain else { continue };
                let before = held.insert((index, chain), view.number).unwrap_or(0);
                assert!(
                    before <= view.number,
                    "{index}: {before} to {}",
                    view.number
                );
            }
        }
        let moved = changes(&sim, since) as u64;
        println!(
            "every {pause} s: {moved} changes of {} nodes in {cycles} cycles",
            8
        );
        assert!(moved <= 2 * 4 * (cycles + 1), "every {pause} s: {moved}");
        heal(&mut sim, seconds(30));
        sim.run_until(seconds(30), Sim::agrees).expect("one roster");
        assert_eq!(sim.anchors(), [0]);
    }
}

#[test]
fn a_heal_at_any_moment_of_turn_and_promotion_ends_in_one_anchor() {
    let mut worst = Duration::ZERO;
    for offset in 0..70 {
        let mut sim = Sim::settled(7, &egos(6));
        sim.run(seconds(9));
        let (left, right) = halves(6);
        sim.cut(&left, &right);
        // From before the promotion, about 16 s, over the turn and past the end of the old key.
        sim.run(seconds(14) + Duration::from_millis(973 * offset));
        worst = worst.max(heal(&mut sim, seconds(26)));
        assert_eq!(sim.anchors(), [0], "offset {offset}");
        sim.run_until(seconds(25), Sim::agrees).expect("one roster");
    }
    println!("a heal at 70 moments: one anchor after at most {worst:?}");
}

#[test]
fn equal_egos_and_serials_are_told_apart_by_the_id() {
    let mut sim = Sim::new(8);
    for ego in [50, 50] {
        let index = sim.add(ego);
        let grant = sim.root.issue(&GrantRequest {
            public_key: *sim.nodes[index].grant.public_key(),
            name: "twin",
            zone: "",
            kind: Kind::Agent,
            ego,
            serial: 7,
        });
        sim.nodes[index].grant = grant.unwrap();
    }
    sim.cut(&[0], &[1]);
    sim.start(0);
    sim.start(1);
    sim.run(seconds(10));
    assert_eq!(sim.anchors(), [0, 1]);
    heal(&mut sim, seconds(6));
    let hash = |index: usize| sim.nodes[index].grant.id_hash();
    let best = usize::from(hash(1) > hash(0));
    assert_eq!(sim.anchors(), [best]);
}

/// Two members of equal ego, the one senior in the chain by position, the other by its serial.
#[test]
fn two_promotions_and_their_beacons_name_one_winner() {
    for seed in 0..8 {
        let mut sim = Sim::new(seed);
        for _ in 0..5 {
            sim.add(50);
        }
        for index in [0, 3, 1, 2, 4] {
            sim.start(index);
            sim.run(seconds(2));
        }
        sim.run(seconds(20));
        let before = sim.node(4).roster.succession().to_vec();
        assert_eq!(before[1], sim.id(3), "three came before one");
        sim.kill(0);
        sim.run(seconds(8));
        let (now, since) = (sim.now, sim.now);
        for index in [3, 1] {
            let node = sim.nodes[index].node.as_mut().unwrap();
            node.lineage.as_mut().unwrap().gone = Some((now, Reason::Silence));
            node.promote(now);
            let address = sim.nodes[index].address;
            sim.input(index, Input::AddressReady(address));
        }
        // The others agree once they have missed two pulses.
        let took = sim.run_until(seconds(12), one_anchor);
        assert!(took.is_some(), "seed {seed}: {:?}", sim.anchors());
        assert_eq!(sim.anchors(), [1], "the lower serial, as beacons have it");
        sim.run(seconds(60));
        assert_eq!(sim.anchors(), [1]);
        assert!(changes(&sim, since) <= 7, "{}", changes(&sim, since));
    }
}
