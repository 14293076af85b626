//! Who is revoked is out: at once, everywhere, with everything it knows.

use core::time::Duration;

use nexus0_common::reason::Verdict;
use nexus0_common::wire::{FrameType, GROUP};

use super::thief::Thief;
use super::{Link, Sim, seconds};
use crate::event::{Event, Reason};
use crate::filter::Maps;
use crate::node::{Input, Role};

/// Whether a node knows another, in its roster or in its filter.
fn knows(sim: &Sim, index: usize, other: usize) -> bool {
    let id = sim.id(other);
    let filtered = sim.maps(index).peers().unwrap();
    sim.node(index).roster.get(id).is_some() || filtered.iter().any(|(peer, _)| *peer == id.0)
}

/// Everyone agrees, nobody knows those who are out.
fn without(sim: &Sim, out: &[usize]) -> bool {
    let mut staying = sim.staying().map(|(index, _)| index);
    sim.agrees() && staying.all(|index| out.iter().all(|other| !knows(sim, index, *other)))
}

fn promotions(sim: &Sim) -> usize {
    sim.events(|event| matches!(event, Event::Promoted { .. }))
        .len()
}

#[test]
fn an_expelled_member_is_out_within_a_second_and_the_anchor_stays() {
    for by in 0..5 {
        let mut sim = Sim::settled(by as u64, &[50, 40, 30, 20, 10]);
        sim.run(seconds(20));
        let before = sim.node(0).view(sim.now);
        sim.expel(by, 1, &[3]);
        let took = sim.run_until(seconds(2), |sim| without(sim, &[3]));
        let took = took.unwrap_or_else(|| panic!("by {by}"));
        assert!(took < seconds(1), "by {by}: {took:?}");
        sim.run(seconds(1));
        assert_eq!(sim.node(3).role(), Role::Revoked);
        let after = sim.node(0).view(sim.now);
        assert_eq!((after.anchor, after.parent), (before.anchor, before.chain));
        assert!(after.number > before.number);
        sim.run(seconds(200));
        assert!(without(&sim, &[3]), "by {by}");
        assert_eq!(promotions(&sim), 0);
        let joined = sim.events(|event| matches!(event, Event::Rejoining));
        assert!(joined.is_empty(), "nobody had to come back: {joined:?}");
    }
}

#[test]
fn an_expelled_anchor_is_succeeded_within_two_seconds_by_the_next_in_rank() {
    for by in 0..5 {
        let mut sim = Sim::settled(by as u64, &[50, 40, 30, 20, 10]);
        sim.run(seconds(20));
        sim.expel(by, 1, &[0]);
        let took = sim.run_until(seconds(3), |sim| without(sim, &[0]));
        let took = took.unwrap_or_else(|| panic!("by {by}"));
        assert!(took < seconds(2), "by {by}: {took:?}");
        assert_eq!(sim.anchors(), [1]);
        sim.run(seconds(200));
        assert!(without(&sim, &[0]), "by {by}");
        assert_eq!(promotions(&sim), 1, "by {by}");
        let reasons = sim.events(|event| {
            let reason = Reason::Revoked;
            matches!(event, Event::AnchorChanged { reason: of, .. } if *of == reason)
        });
        assert_eq!(reasons.len(), 4);
    }
}

#[test]
fn an_expelled_node_says_so_and_sends_nothing_more() {
    let mut sim = Sim::settled(1, &[50, 40, 30]);
    sim.expel(0, 1, &[2]);
    sim.run(seconds(1));
    let said = sim.events(|event| matches!(event, Event::Expelled { number: 1 }));
    assert_eq!(
        said.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
        [2]
    );
    let before = sim.sent.len();
    sim.run(seconds(100));
    assert!(sim.sent[before..].iter().all(|sent| sent.from != 2));
    assert!(sim.node(2).view(sim.now).keys.is_empty());
}

/// Takes a node's state to a thief and tries everything on those who stay. Returns what was accepted.
fn attack(sim: &mut Sim, thief: &Thief, out: usize) -> usize {
    let mut accepted = 0;
    let source = sim.nodes[out].address;
    let staying: Vec<usize> = sim.staying().map(|(index, _)| index).collect();
    for victim in &staying {
        for name in 0..sim.nodes.len() {
            for payload in thief.forgeries(sim.id(name), source) {
                let verdict = sim.inject(*victim, source, GROUP, &payload);
                accepted += usize::from(verdict == Verdict::Accepted);
            }
        }
    }
    accepted
}

#[test]
fn with_everything_the_expelled_one_had_nothing_opens_and_nothing_is_accepted() {
    for expelled in [0, 2] {
        let mut sim = Sim::settled(1, &[50, 40, 30, 20]);
        sim.run(seconds(100));
        // It goes on by itself, with a state that no list reaches.
        let state = sim.nodes[expelled].node.take().unwrap();
        let mut thief = Thief::of_everything(&state);
        assert!(
            attack(&mut sim, &thief, expelled) > 0,
            "an insider can forge"
        );
        assert!(thief.follows(&sim, 1));
        sim.expel(1, 1, &[expelled]);
        sim.run_until(seconds(2), |sim| without(sim, &[expelled]))
            .expect("a new chain");
        for _ in 0..20 {
            thief.listen(&sim);
            assert_eq!(attack(&mut sim, &thief, expelled), 0);
            assert!(!thief.follows(&sim, 1));
            sim.run(seconds(11));
        }
        assert!(sim.count(FrameType::Epoch) > 4, "it had something to read");
        sim.assert_one_anchor();
    }
}

#[test]
fn an_expelled_anchor_that_goes_on_is_followed_by_nobody() {
    for seed in 0..4 {
        let mut sim = Sim::settled(seed, &[50, 40, 30, 20]);
        sim.run(seconds(20));
        // Deaf for the list, so it reigns on and is heard.
        sim.deafen(0);
        sim.expel(2, 1, &[0]);
        sim.run(seconds(100));
        let view = sim.node(1).view(sim.now);
        assert_eq!(view.anchor, Some(sim.id(1)), "seed {seed}");
        for other in [2, 3] {
            assert_eq!(sim.node(other).view(sim.now).chain, view.chain);
            assert!(!knows(&sim, other, 0));
        }
        sim.blocked.clear();
        let told = sim.run_until(seconds(12), |sim| sim.node(0).role() == Role::Revoked);
        assert!(told.is_some(), "its own beacon brings it the list");
        assert!(without(&sim, &[0]));
    }
}

#[test]
fn a_list_lost_on_the_way_is_repaired() {
    for seed in 0..6 {
        let mut sim = Sim::settled(seed, &[50, 40, 30, 20, 10, 5]);
        sim.link = Link {
            loss: 300,
            duplication: 100,
            delay: (1, 30),
        };
        sim.run(seconds(15));
        // Of somebody who is not there: no chain breaks, only the number spreads.
        let absent = sim.add(1);
        sim.expel(4, 1, &[absent]);
        sim.run(seconds(40));
        sim.link = Link::GOOD;
        sim.run(seconds(15));
        for (index, node) in sim.running() {
            let number = node.view(sim.now).revocations.number;
            assert_eq!(number, 1, "seed {seed}: node {index}");
        }
    }
}

#[test]
fn one_who_heard_nothing_of_a_list_asks_for_it_in_either_wire_version() {
    for versions in [1..=1, 1..=2] {
        // The anchor's beacon and, in version 2, everybody's pulse show the number; either is enough.
        for mute in [0, 1] {
            let mut sim = Sim::new(3);
            sim.config.wire = versions.clone();
            for ego in [50, 40, 30] {
                let index = sim.add(ego);
                sim.start(index);
            }
            sim.run(seconds(70));
            sim.deafen(2);
            sim.expel(1, 1, &[]);
            sim.run(seconds(2));
            assert_eq!(sim.node(2).view(sim.now).revocations.number, 0);
            sim.blocked = [(mute, 2)].into();
            let asked = sim.count(FrameType::Ask);
            let took = sim.run_until(seconds(7), |sim| {
                sim.node(2).view(sim.now).revocations.number == 1
            });
            let hopeless = versions == (1..=1) && mute == 0;
            assert_eq!(took.is_some(), !hopeless, "{versions:?}, {mute}");
            assert_eq!(sim.count(FrameType::Ask) > asked, !hopeless);
        }
    }
}

#[test]
fn an_expulsion_under_loss_leaves_all_others_together() {
    for seed in 0..8 {
        let mut sim = Sim::settled(seed, &[50, 40, 30, 20, 10, 5]);
        sim.run(seconds(15));
        sim.link = Link {
            loss: 250,
            duplication: 100,
            delay: (1, 30),
        };
        let out = if seed % 2 == 0 { 4 } else { 0 };
        sim.nodes[out].node.take();
        sim.expel(3, 1, &[out]);
        sim.run(seconds(40));
        sim.link = Link::GOOD;
        let took = sim.run_until(seconds(60), |sim| without(sim, &[out]));
        if took.is_none() {
            sim.explain();
        }
        assert!(took.is_some(), "seed {seed}");
        sim.run(seconds(130));
        assert!(without(&sim, &[out]), "seed {seed}");
    }
}

#[test]
fn a_member_that_missed_the_break_comes_back_by_itself() {
    for seed in 0..4 {
        let mut sim = Sim::settled(seed, &[50, 40, 30, 20]);
        sim.run(seconds(15));
        sim.deafen(2);
        sim.expel(1, 1, &[3]);
        // Beyond the last repetition, before its suspicion ends.
        sim.run(seconds(16));
        sim.blocked.clear();
        let took = sim.run_until(seconds(30), |sim| without(sim, &[3]));
        if took.is_none() {
            sim.explain();
        }
        assert!(took.is_some(), "seed {seed}");
        sim.run(seconds(130));
        assert!(without(&sim, &[3]), "seed {seed}");
        assert_eq!(sim.anchors(), [0]);
    }
}

#[test]
fn expelled_on_one_side_of_a_partition_and_out_on_both_after_it() {
    for seed in 0..6 {
        // The expelled one leads the other side, or is an ordinary member there.
        let out = if seed % 2 == 0 { 3 } else { 5 };
        let mut sim = Sim::settled(seed, &[50, 40, 30, 45, 20, 10]);
        sim.cut(&[0, 1, 2], &[3, 4, 5]);
        sim.run(seconds(60));
        assert_eq!(sim.anchors(), [0, 3], "seed {seed}: two sides");
        sim.expel(1, 1, &[out]);
        sim.run(seconds(30));
        assert!(!knows(&sim, 0, out));
        assert!(
            out == 3 || knows(&sim, 4, out),
            "the other side does not know"
        );
        sim.blocked.clear();
        let took = sim.run_until(seconds(60), |sim| without(sim, &[out]));
        if took.is_none() {
            sim.explain();
        }
        let took = took.unwrap_or_else(|| panic!("seed {seed}"));
        println!("seed {seed}: {took:?}");
        assert_eq!(sim.node(out).role(), Role::Revoked);
        sim.run(seconds(130));
        assert!(without(&sim, &[out]), "seed {seed}");
        assert_eq!(sim.anchors(), [0]);
    }
}

#[test]
fn a_better_ranked_anchor_that_is_expelled_is_never_followed() {
    let mut sim = Sim::settled(1, &[50, 40, 30, 90]);
    // The best node leads; the others expel it while they are apart.
    sim.cut(&[0, 1, 2], &[3]);
    sim.run(seconds(40));
    sim.expel(1, 1, &[3]);
    sim.run(seconds(5));
    // It stays ignorant: it hears nobody but is heard.
    sim.blocked.clear();
    sim.deafen(3);
    sim.run(seconds(60));
    let leads = sim.id(3);
    for index in 0..3 {
        assert_ne!(sim.node(index).view(sim.now).anchor, Some(leads));
        assert!(!knows(&sim, index, 3));
    }
}

#[test]
fn a_revoked_grant_opens_no_door() {
    let mut sim = Sim::settled(2, &[50, 40, 30]);
    let (named, old) = (sim.add(60), sim.add(60));
    let fresh = sim.add(20);
    // The floor takes `old` with it: its serial is below.
    sim.nodes[old].grant = sim.grant_with_serial(old, 1);
    let list = sim.list(1, 0, &[named]);
    sim.input(1, Input::Revocations(&list));
    sim.run(seconds(1));
    let floor = sim.nodes[fresh].grant.serial();
    let answers = sim.count(FrameType::Answer);
    sim.start(named);
    sim.run(seconds(3));
    assert_eq!(sim.count(FrameType::Answer), answers, "no answer");
    assert_eq!(sim.count(FrameType::Hold), 0, "and no hold");
    sim.kill(named);
    for index in 0..3 {
        sim.nodes[index].grant = sim.grant_with_serial(index, floor + 10 + index as u32);
        sim.kill(index);
    }
    sim.run(seconds(1));
    (0..3).for_each(|index| sim.start(index));
    sim.run(seconds(7));
    let list = sim.list(2, floor, &[named]);
    sim.input(0, Input::Revocations(&list));
    sim.run(seconds(1));
    let answers = sim.count(FrameType::Answer);
    sim.start(old);
    sim.run(seconds(3));
    assert_eq!(
        sim.count(FrameType::Answer),
        answers,
        "no answer below the floor"
    );
    sim.kill(old);
    sim.start(fresh);
    sim.run(seconds(3));
    assert!(
        sim.count(FrameType::Answer) > answers,
        "at the floor there is one"
    );
    assert!(sim.node(0).roster.get(sim.id(fresh)).is_some());
}

#[test]
fn a_list_survives_a_restart_and_an_older_one_never_comes_back() {
    let mut sim = Sim::settled(3, &[50, 40, 30]);
    let (first, second) = (sim.add(1), sim.add(1));
    sim.expel(0, 1, &[first]);
    sim.expel(0, 2, &[first, second]);
    sim.run(seconds(1));
    sim.kill(2);
    sim.start(2);
    assert_eq!(sim.node(2).view(sim.now).revocations.number, 2);
    let before = sim.node(2).view(sim.now).counters.revocations_taken;
    let old = sim.list(1, 0, &[]);
    sim.input(2, Input::Revocations(&old));
    let view = sim.node(2).view(sim.now);
    assert_eq!(view.revocations.number, 2);
    assert_eq!(view.counters.revocations_taken, before);
    assert_eq!(view.revocations.revoked.len(), 2);
}

#[test]
fn a_list_signed_by_another_root_changes_nothing() {
    let mut sim = Sim::settled(4, &[50, 40, 30]);
    let foreign = crate::grant::MeshRoot::from_seed(&[8; 32]);
    let list = foreign.revoke(7, 0, &[sim.id(1)].into()).unwrap();
    sim.input(0, Input::Revocations(list.bytes()));
    sim.run(seconds(1));
    let view = sim.node(0).view(sim.now);
    assert_eq!(view.revocations.number, 0);
    assert_eq!(view.counters.signature_failures, 1);
    assert!(knows(&sim, 0, 1));
}

#[test]
fn a_newer_list_takes_a_silenced_node_back() {
    let mut sim = Sim::settled(5, &[50, 40, 30]);
    sim.expel(0, 1, &[2]);
    sim.run(seconds(1));
    assert_eq!(sim.node(2).role(), Role::Revoked);
    let list = sim.list(2, 0, &[]);
    sim.input(0, Input::Revocations(&list));
    sim.input(2, Input::Revocations(&list));
    let took = sim.run_until(seconds(5), |sim| sim.staying().count() == 3 && sim.agrees());
    assert!(took.is_some());
}

#[test]
fn a_list_is_passed_on_by_few_however_many_heard_it() {
    let mut sim = Sim::settled(6, &[50; 30]);
    let before = sim.count(FrameType::Revoke);
    sim.expel(7, 1, &[]);
    sim.run(seconds(20));
    let copies = sim.count(FrameType::Revoke) - before;
    assert!((2..=4).contains(&copies), "{copies}");
}

#[test]
fn who_is_expelled_while_the_anchor_is_dead_cannot_read_its_successor() {
    for seed in 0..4 {
        let mut sim = Sim::settled(seed, &[50, 40, 30, 20]);
        sim.run(seconds(20));
        sim.kill(0);
        sim.run(seconds(3));
        let state = sim.nodes[3].node.take().unwrap();
        let mut thief = Thief::of_everything(&state);
        sim.expel(2, 1, &[3]);
        let took = sim.run_until(seconds(30), |sim| without(sim, &[3]));
        assert!(took.is_some(), "seed {seed}");
        sim.run(seconds(60));
        thief.listen(&sim);
        assert!(!thief.follows(&sim, 1), "seed {seed}");
    }
}

#[test]
fn an_expulsion_in_the_middle_of_a_promotion_gives_its_secret_to_nobody_out() {
    for seed in 0..4 {
        let mut sim = Sim::settled(seed, &[50, 40, 30, 20]);
        sim.run(seconds(20));
        sim.kill(0);
        sim.run_until(seconds(30), |sim| promotions(sim) == 1)
            .expect("a promotion");
        sim.run(Duration::from_millis(150));
        let state = sim.nodes[3].node.take().unwrap();
        let mut thief = Thief::of_everything(&state);
        sim.expel(1, 1, &[3]);
        sim.run(seconds(60));
        thief.listen(&sim);
        assert!(!thief.follows(&sim, 1), "seed {seed}");
        assert!(!thief.follows(&sim, 2), "seed {seed}");
    }
}
