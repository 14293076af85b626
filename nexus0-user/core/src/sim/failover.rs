//! Anchors that fall silent, leave, come back empty, or are suspected wrongly.

use core::time::Duration;

use nexus0_common::wire::FrameType;

use super::{Link, Sim, seconds};
use crate::event::{Event, Reason};
use crate::node::Input;
use crate::time::Time;

fn egos(count: usize) -> Vec<u8> {
    (0..count).map(|index| 100 - (index % 90) as u8).collect()
}

/// From the anchor's last pulse to the last follower's first accepted pulse of the new one.
fn failover(sim: &mut Sim, dead: usize) -> Duration {
    let last = sim
        .sent
        .iter()
        .rev()
        .find(|sent| sent.from == dead && sent.frame_type() == FrameType::Anchor);
    let last = last.expect("the anchor pulsed").at;
    sim.run_until(seconds(60), Sim::agrees)
        .expect("a new anchor");
    let chain = sim.node(sim.anchors()[0]).view(sim.now).chain.unwrap();
    let firsts = |sim: &Sim| {
        sim.events(|event| matches!(event, Event::FirstPulseOf { chain: of, .. } if *of == chain))
    };
    sim.run_until(seconds(60), |sim| {
        firsts(sim).len() == sim.running().count()
    })
    .expect("all heard the new anchor");
    firsts(sim)
        .into_iter()
        .map(|(_, at)| at)
        .max()
        .unwrap()
        .since(last)
}

fn successions(sim: &Sim, since: Time) -> usize {
    sim.events(|event| matches!(event, Event::Promoted { .. }))
        .iter()
        .filter(|(_, at)| *at >= since)
        .count()
}

#[test]
fn a_crashed_anchor_is_replaced_once_within_seventeen_seconds() {
    for count in [3, 10, 50] {
        for seed in 0..4 {
            let mut sim = Sim::settled(seed, &egos(count));
            sim.run(seconds(100) + Duration::from_millis(1700 * seed));
            sim.kill(0);
            let crashed = sim.now;
            let took = failover(&mut sim, 0);
            println!("{count} nodes, seed {seed}: {took:?}");
            assert!(took <= seconds(17), "{count} nodes, seed {seed}: {took:?}");
            assert_eq!(successions(&sim, crashed), 1);
            assert_eq!(sim.anchors(), [1]);
            sim.run(seconds(180));
            sim.assert_one_anchor();
        }
    }
}

#[test]
fn who_lost_the_anchor_first_and_stepped_back_follows_the_others() {
    for seed in 0..8 {
        let mut sim = Sim::settled(seed, &egos(6));
        sim.run(seconds(70));
        let first_to_lose = 1 + seed as usize % 5;
        sim.blocked.insert((0, first_to_lose));
        sim.run(seconds(8));
        sim.kill(0);
        let took = failover(&mut sim, 0);
        let back = sim.events(|event| matches!(event, Event::SteppedBack { .. }));
        println!("seed {seed}: {took:?}, {} stepped back", back.len());
        assert_eq!(back.len(), 1, "seed {seed}");
        assert!(took <= seconds(17), "seed {seed}: {took:?}");
    }
}

/// Of 200 failovers one may take longer (of 2,000 six did, 22 s at most): somebody lost two pulses in a row before the others did, promoted itself, and
/// those who had lost them too and followed must come back first.
#[test]
fn a_failover_at_ten_percent_loss_takes_at_most_seventeen_seconds() {
    let mut late = Vec::new();
    for seed in 0..200 {
        let mut sim = Sim::settled(seed, &egos(6));
        sim.link = Link {
            loss: 100,
            duplication: 0,
            delay: (1, 5),
        };
        sim.run(seconds(30) + Duration::from_millis(211 * seed));
        let anchor = sim.anchors()[0];
        sim.kill(anchor);
        let took = failover(&mut sim, anchor);
        if took > seconds(17) {
            late.push((seed, took));
        }
    }
    assert!(late.len() <= 1, "{late:?}");
}

#[test]
fn failover_survives_loss_duplication_and_reordering() {
    for seed in 0..6 {
        let mut sim = Sim::settled(seed, &egos(10));
        sim.link = Link {
            loss: 100,
            duplication: 100,
            delay: (1, 30),
        };
        sim.run(seconds(70));
        sim.kill(0);
        sim.run(seconds(120));
        sim.link = Link::GOOD;
        sim.run(seconds(30));
        sim.assert_one_anchor();
        let started = sim.events(|event| matches!(event, Event::ColdStart { .. }));
        assert_eq!(started.len(), 1, "seed {seed}: no second cold start");
    }
}

#[test]
fn a_controller_back_after_two_seconds_is_stateless_and_succeeded_once() {
    for seed in 0..4 {
        let mut sim = Sim::settled(seed, &egos(5));
        sim.run(seconds(40));
        sim.kill(0);
        sim.run(seconds(2));
        let back = sim.now;
        sim.start(0);
        let took = sim.run_until(seconds(5), Sim::agrees).expect("a successor");
        println!("seed {seed}: {took:?}");
        assert!(took < seconds(2), "{took:?}");
        assert_eq!(successions(&sim, back), 1);
        let reasons = sim.events(|event| {
            matches!(
                event,
                Event::AnchorChanged {
                    reason: Reason::Stateless,
                    ..
                }
            )
        });
        assert_eq!(reasons.len(), 4);
        sim.run(seconds(130));
        assert_eq!(sim.assert_one_anchor(), 1);
        let started = sim.events(|event| matches!(event, Event::ColdStart { .. }));
        assert_eq!(started.len(), 1, "never a second cold start");
    }
}

#[test]
fn an_anchor_that_says_bye_is_succeeded_at_once() {
    let mut sim = Sim::settled(1, &egos(5));
    let left = sim.now;
    sim.input(0, Input::Leave);
    sim.kill(0);
    let took = sim.run_until(seconds(5), Sim::agrees).expect("a successor");
    assert!(took < seconds(1), "{took:?}");
    assert_eq!(successions(&sim, left), 1);
    assert_eq!(sim.anchors(), [1]);
}

#[test]
fn a_member_that_says_bye_leaves_the_roster() {
    let mut sim = Sim::settled(2, &egos(4));
    sim.input(3, Input::Leave);
    sim.kill(3);
    sim.run(seconds(1));
    sim.assert_one_anchor();
    assert_eq!(sim.node(0).roster.succession().len(), 3);
}

#[test]
fn a_silent_member_is_left_out_of_the_next_succession() {
    let mut sim = Sim::settled(3, &egos(4));
    sim.kill(3);
    sim.run(seconds(180));
    sim.assert_one_anchor();
    assert_eq!(sim.node(0).roster.succession().len(), 3);
    sim.start(3);
    sim.run(seconds(2));
    assert_eq!(sim.node(0).roster.succession().len(), 4);
    sim.assert_one_anchor();
}

#[test]
fn a_deaf_but_talking_node_neither_deposes_nor_blocks() {
    for seed in 0..4 {
        let mut sim = Sim::settled(seed, &egos(6));
        sim.run(seconds(10));
        // The first in the succession hears nobody, but is heard.
        sim.deafen(1);
        sim.run(seconds(45));
        for other in [0, 2, 3, 4, 5] {
            assert_eq!(
                sim.node(other).view(sim.now).anchor,
                Some(sim.id(0)),
                "seed {seed}"
            );
        }
        sim.kill(0);
        let last = sim
            .sent
            .iter()
            .rev()
            .find(|sent| sent.from == 0 && sent.frame_type() == FrameType::Anchor)
            .unwrap()
            .at;
        sim.run(last.since(sim.now) + seconds(18));
        for other in [2, 3, 4, 5] {
            assert_eq!(
                sim.node(other).view(sim.now).anchor,
                Some(sim.id(2)),
                "seed {seed}"
            );
        }
    }
}

#[test]
fn simultaneous_promotions_converge_to_the_better_ranked() {
    for seed in 0..8 {
        let mut sim = Sim::settled(seed, &egos(6));
        sim.run(seconds(30));
        sim.kill(0);
        sim.run(seconds(8));
        // Both at the same instant, before either hears the other.
        let now = sim.now;
        for index in [3, 1] {
            let node = sim.nodes[index].node.as_mut().unwrap();
            node.lineage.as_mut().unwrap().gone = Some((now, Reason::Silence));
            node.promote(now);
            sim.input(
                index,
                Input::Frame {
                    source: [0; 16],
                    destination: [0; 16],
                    payload: &[],
                },
            );
        }
        sim.run(seconds(12));
        assert_eq!(sim.assert_one_anchor(), 1, "seed {seed}");
        sim.run(seconds(120));
        assert_eq!(sim.assert_one_anchor(), 1, "seed {seed}");
    }
}

#[test]
fn one_members_promotion_does_not_depose_a_living_anchor() {
    for seed in 0..4 {
        let mut sim = Sim::settled(seed, &egos(6));
        sim.run(seconds(20));
        // One member misses the anchor only, until it promotes itself.
        sim.blocked.insert((0, 2));
        let promoted = sim.run_until(seconds(30), |sim| {
            !sim.events(|event| matches!(event, Event::Promoted { .. }))
                .is_empty()
        });
        assert!(promoted.is_some());
        sim.blocked.clear();
        sim.run(seconds(10));
        assert_eq!(sim.assert_one_anchor(), 0, "seed {seed}");
        let back = sim.events(|event| matches!(event, Event::SteppedBack { .. }));
        assert_eq!(back.len(), 1);
        let changed = sim.events(|event| {
            matches!(
                event,
                Event::AnchorChanged {
                    reason: Reason::Silence,
                    ..
                }
            )
        });
        assert_eq!(changed.len(), 1, "only the promoter itself, seed {seed}");
    }
}

#[test]
fn a_stalled_node_listens_before_it_promotes_itself() {
    let mut sim = Sim::settled(4, &egos(4));
    sim.run(seconds(10));
    // Its controller stands still for twenty seconds; the frames meanwhile are lost.
    let stalled = sim.nodes[1].node.take();
    sim.run(seconds(20));
    sim.nodes[1].node = stalled;
    sim.run(seconds(30));
    assert!(
        sim.events(|event| matches!(event, Event::Promoted { .. }))
            .is_empty()
    );
    assert_eq!(sim.assert_one_anchor(), 0);
}

#[test]
fn tokens_only_grow_along_a_lineage() {
    let mut sim = Sim::settled(5, &egos(5));
    let mut last = sim.node(4).view(sim.now).token.unwrap();
    for round in 0..3 {
        sim.run(seconds(70));
        sim.kill(round);
        for _ in 0..60 {
            sim.run(seconds(1));
            let token = sim.node(4).view(sim.now).token.unwrap();
            assert!(token.number >= last.number, "{token:?} after {last:?}");
            last = token;
        }
    }
    assert_eq!(sim.anchors(), [3]);
}

#[test]
fn the_last_two_of_a_mesh_fail_over_too() {
    let mut sim = Sim::settled(6, &egos(2));
    sim.run(seconds(20));
    sim.kill(0);
    sim.run(seconds(26));
    assert_eq!(sim.assert_one_anchor(), 1);
}

#[test]
fn two_halves_keep_an_anchor_each_and_become_one_mesh_again() {
    for seed in 0..4 {
        let mut sim = Sim::settled(seed, &egos(8));
        sim.run(seconds(20));
        let (left, right): (Vec<usize>, Vec<usize>) = ((0..4).collect(), (4..8).collect());
        sim.cut(&left, &right);
        sim.run(seconds(100));
        assert_eq!(sim.anchors(), [0, 4], "seed {seed}");
        sim.blocked.clear();
        let took = sim.run_until(seconds(60), Sim::agrees).expect("one mesh");
        println!("seed {seed}: {took:?}");
        assert_eq!(sim.assert_one_anchor(), 0);
        sim.run(seconds(130));
        assert_eq!(sim.assert_one_anchor(), 0);
    }
}

#[test]
fn a_stopped_anchor_is_succeeded_and_joins_again_when_it_wakes() {
    for pause in [20, 100, 600] {
        let mut sim = Sim::settled(7, &egos(4));
        sim.run(seconds(20));
        let stopped = sim.nodes[0].node.take();
        sim.run(seconds(pause));
        assert_eq!(sim.anchors(), [1]);
        sim.nodes[0].node = stopped;
        let took = sim.run_until(seconds(5), Sim::agrees).expect("one mesh");
        println!("after {pause} s: {took:?}");
        sim.run(seconds(30));
        assert_eq!(sim.assert_one_anchor(), 1, "the successor stays");
        sim.run(seconds(300));
        assert_eq!(sim.assert_one_anchor(), 0, "until its hold-down is over");
    }
}

#[test]
fn a_link_flap_changes_nothing_and_a_long_one_is_survived() {
    let mut sim = Sim::settled(8, &egos(4));
    let flap = |sim: &mut Sim, index: usize, pause| {
        sim.input(index, Input::AddressLost);
        sim.deafen(index);
        sim.run(seconds(pause));
        sim.blocked.clear();
        let address = sim.nodes[index].address;
        sim.input(index, Input::AddressReady(address));
        sim.run(seconds(30));
    };
    flap(&mut sim, 2, 4);
    flap(&mut sim, 0, 4);
    assert_eq!(sim.assert_one_anchor(), 0);
    assert!(
        sim.events(|event| matches!(event, Event::Promoted { .. }))
            .is_empty()
    );
    flap(&mut sim, 2, 200);
    assert_eq!(sim.assert_one_anchor(), 0);
    flap(&mut sim, 0, 40);
    assert_eq!(sim.assert_one_anchor(), 1);
}

#[test]
fn a_node_without_a_link_starts_no_chain() {
    let mut sim = Sim::settled(9, &egos(2));
    let alone = sim.add(10);
    sim.start(alone);
    sim.input(alone, Input::AddressLost);
    sim.run(seconds(60));
    assert_eq!(
        sim.events(|event| matches!(event, Event::ColdStart { .. }))
            .len(),
        1
    );
}

#[test]
fn a_new_address_is_the_same_node() {
    let mut sim = Sim::settled(10, &egos(3));
    let mut address = sim.nodes[0].address;
    address[15] = 0x77;
    sim.nodes[0].address = address;
    sim.input(0, Input::AddressReady(address));
    sim.run(seconds(130));
    assert_eq!(sim.assert_one_anchor(), 0);
    assert!(
        sim.events(|event| matches!(event, Event::Promoted { .. }))
            .is_empty()
    );
}

/// A member that holds another order, of the same length, than its anchor announced.
fn stale(sim: &mut Sim, index: usize, bend: impl Fn(&mut crate::node::Node)) {
    let node = sim.nodes[index].node.as_mut().unwrap();
    bend(node);
    node.redraft();
    assert!(!node.complete());
}

#[test]
fn a_stale_roster_is_repaired_within_two_pulses_also_one_of_equal_length() {
    let mut sim = Sim::settled(11, &egos(6));
    let order = sim.node(0).roster.succession().to_vec();
    let swapped = |node: &mut crate::node::Node| {
        let mut order = node.roster.succession().to_vec();
        order.swap(2, 4);
        node.roster.set_succession(order);
    };
    let shorter = |node: &mut crate::node::Node| {
        let mut order = node.roster.succession().to_vec();
        order.pop();
        node.roster.set_succession(order);
    };
    let version = |node: &mut crate::node::Node| {
        let id = node.roster.succession()[3];
        let member = node.roster.get(id).unwrap();
        let (grant, highest) = (member.grant.clone(), member.highest + 1);
        node.roster.renew(grant, Some(highest));
    };
    let bends: [&dyn Fn(&mut crate::node::Node); 3] = [&swapped, &shorter, &version];
    for bend in bends {
        stale(&mut sim, 5, bend);
        let asked = sim.node(5).counters.asks_sent;
        let took = sim
            .run_until(seconds(11), |sim| sim.node(5).complete())
            .expect("repaired");
        assert!(took <= seconds(10), "{took:?}");
        assert_eq!(sim.node(5).roster.succession(), order);
        assert!(sim.node(5).counters.asks_sent > asked, "by asking");
        assert_eq!(sim.assert_one_anchor(), 0);
    }
    // Negative control: without its questions it stays stale until it joins again.
    sim.blocked.insert((5, 0));
    stale(&mut sim, 5, swapped);
    assert_eq!(
        sim.run_until(seconds(11), |sim| sim.node(5).complete()),
        None
    );
}

#[test]
fn the_last_of_two_listens_first_and_leads_after_twenty_seconds() {
    for seed in 0..4 {
        let mut sim = Sim::settled(seed, &egos(2));
        sim.run(seconds(20));
        sim.kill(0);
        let took = failover(&mut sim, 0);
        println!("seed {seed}: {took:?}");
        assert!(took > seconds(17) && took <= seconds(21), "{took:?}");
    }
}
