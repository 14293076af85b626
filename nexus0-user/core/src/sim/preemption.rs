//! A higher ego takes over from a living anchor.

use core::time::Duration;

use nexus0_common::reason::Verdict;
use nexus0_common::wire::{Epoch, FrameType, GROUP};

use super::proof::signed_frame;
use super::turns::compared_without_loss;
use super::{Link, Sim, seconds};
use crate::event::{Event, Reason};
use crate::id::ChainId;
use crate::node::{NodeConfig, Role};
use crate::time::Time;
use crate::turn::PREEMPTION;

/// Three nodes with ego 50, 40 and 30, and a joiner with 90 that came later.
fn with_joiner(seed: u64) -> Sim {
    let mut sim = Sim::settled(seed, &[50, 40, 30]);
    let joiner = sim.add(90);
    sim.start(joiner);
    sim.run(seconds(2));
    assert_eq!(sim.assert_one_anchor(), 0, "not at once");
    sim
}

fn preempted(sim: &Sim) -> Vec<(usize, Time)> {
    sim.events(|event| {
        matches!(
            event,
            Event::AnchorChanged {
                reason: Reason::Preemption,
                ..
            }
        )
    })
}

/// Runs until a member has announced that it takes over.
fn announced(sim: &mut Sim) {
    sim.run_until(seconds(300), |sim| {
        sim.running()
            .all(|(_, node)| node.preemption.is_some() || node.role() == Role::Joining)
    })
    .expect("a preemption");
}

fn number(sim: &Sim, index: usize) -> u64 {
    sim.node(index).view(sim.now).number
}

#[test]
fn a_higher_ego_that_joins_becomes_the_anchor_and_no_pulse_is_lost() {
    for seed in 0..4 {
        let mut sim = with_joiner(seed);
        sim.link.delay = (1, 30);
        let took = sim
            .run_until(seconds(300), |sim| sim.anchors() == [3])
            .expect("a takeover");
        println!("seed {seed}: the higher ego leads after {took:?}");
        assert!(took >= seconds(30) && took <= seconds(181), "{took:?}");
        sim.run(seconds(400));
        assert_eq!(sim.assert_one_anchor(), 3);
        assert_eq!(preempted(&sim).len(), 4, "everyone, once");
        assert!(
            sim.events(|event| matches!(
                event,
                Event::Promoted { .. } | Event::Rejoining | Event::AnchorSilent { .. }
            ))
            .is_empty()
        );
        assert!(compared_without_loss(&sim, 2) >= 60);
        for (index, node) in sim.running() {
            assert_eq!(node.view(sim.now).counters.refused, 0, "node {index}");
        }
    }
}

#[test]
fn it_is_announced_two_turns_ahead_and_the_announced_epoch_stands() {
    let mut sim = with_joiner(1);
    announced(&mut sim);
    let (at, before) = (sim.now, number(&sim, 0));
    let next = sim.node(1).view(sim.now).keys;
    let next = next.iter().find(|key| key.number == before + 1).unwrap();
    sim.run_until(seconds(60), |sim| number(sim, 0) == before + 1)
        .unwrap();
    assert_eq!(sim.anchors(), [0], "the old anchor reigns on");
    let held = sim.node(2).view(sim.now).keys;
    assert!(
        held.iter().any(|key| key.id == next.id),
        "under its own key"
    );
    sim.run_until(seconds(61), |sim| number(sim, 0) == before + 2)
        .unwrap();
    sim.run(Duration::from_millis(20));
    assert_eq!(sim.anchors(), [3]);
    assert!(sim.now.since(at) > seconds(60), "two turns ahead");
}

#[test]
fn a_takeover_makes_nobody_join_again_also_not_the_old_anchor() {
    let mut sim = with_joiner(12);
    let asked = |sim: &Sim| (sim.count(FrameType::ReqEpoch), sim.count(FrameType::Ask));
    sim.run(seconds(5));
    let before = asked(&sim);
    sim.run_until(seconds(300), |sim| sim.anchors() == [3])
        .unwrap();
    sim.run(seconds(100));
    assert_eq!(asked(&sim), before, "requests and questions");
    assert_eq!(sim.assert_one_anchor(), 3);
}

#[test]
fn equal_egos_never_preempt() {
    let mut sim = Sim::settled(2, &[50, 50]);
    let joiner = sim.add(50);
    sim.start(joiner);
    sim.run(seconds(900));
    assert_eq!(sim.assert_one_anchor(), 0);
    assert!(preempted(&sim).is_empty());
}

#[test]
fn the_old_anchor_that_returns_takes_over_again_after_the_hold_down() {
    let mut sim = Sim::settled(3, &[90, 50, 40]);
    sim.run(seconds(20));
    sim.kill(0);
    sim.run(seconds(25));
    assert_eq!(sim.assert_one_anchor(), 1);
    sim.start(0);
    let back = sim.now;
    sim.run_until(seconds(400), |sim| sim.anchors() == [0])
        .expect("a takeover");
    println!("led again after {:?}", sim.now.since(back));
    sim.run(seconds(200));
    assert_eq!(sim.assert_one_anchor(), 0);
}

#[test]
fn the_hold_down_doubles_under_flapping_and_recovers() {
    let mut sim = Sim::settled(4, &[90, 50, 40]);
    let mut last = Duration::ZERO;
    for round in 0..3 {
        sim.kill(0);
        sim.run(seconds(25));
        assert_eq!(sim.assert_one_anchor(), 1);
        let span = sim.node(1).hold_down.span();
        assert!(round == 0 || span >= last * 2, "{span:?} after {last:?}");
        last = span;
        let back = sim.now;
        sim.start(0);
        sim.run_until(seconds(2000), |sim| sim.anchors() == [0])
            .expect("a takeover");
        let took = sim.now.since(back);
        println!("round {round}: hold-down {span:?}, took over after {took:?}");
        assert!(took + seconds(25) >= span, "{took:?} of {span:?}");
    }
    assert_eq!(last, seconds(30) * 32, "and no further");
    sim.run(last * 24);
    sim.kill(0);
    sim.run(seconds(25));
    assert_eq!(sim.node(1).hold_down.span(), seconds(30));
}

#[test]
fn it_takes_over_under_loss_too() {
    for (loss, limit) in [(100, 600), (300, 1500)] {
        for seed in 0..6 {
            let mut sim = with_joiner(seed);
            sim.link = Link {
                loss,
                duplication: 50,
                delay: (1, 30),
            };
            let took = sim.run_until(seconds(limit), |sim| sim.anchors() == [3]);
            println!("{loss} per mille lost, seed {seed}: {took:?}");
            if took.is_none() {
                sim.explain();
            }
            assert!(took.is_some(), "seed {seed}");
            sim.link = Link::GOOD;
            sim.run_until(seconds(300), |sim| sim.agrees() && sim.anchors() == [3])
                .expect("agreement");
        }
    }
}

#[test]
fn a_preemptor_that_dies_is_dropped_and_the_anchor_goes_on() {
    for (seed, later) in [(0, 1), (1, 10), (2, 31), (3, 45)] {
        let mut sim = with_joiner(seed);
        announced(&mut sim);
        sim.run(seconds(later));
        sim.kill(3);
        sim.run(seconds(200));
        assert_eq!(sim.assert_one_anchor(), 0, "dead {later} s later");
        assert!(preempted(&sim).is_empty());
        let rejoined = sim.events(|event| matches!(event, Event::Rejoining));
        assert!(rejoined.is_empty(), "dead {later} s later: {rejoined:?}");
    }
}

#[test]
fn one_that_dies_too_late_to_be_dropped_is_succeeded_like_any_anchor() {
    let mut sim = with_joiner(5);
    announced(&mut sim);
    let activation = sim.node(0).preemption.as_ref().unwrap().activation;
    sim.run((activation - seconds(3)).since(sim.now));
    sim.kill(3);
    sim.run(seconds(30));
    assert_eq!(sim.assert_one_anchor(), 0, "the next in rank");
}

/// Lets the preemptor sleep from shortly before its turn until `late` after it.
fn overslept(seed: u64, late: Duration) -> Sim {
    let mut sim = with_joiner(seed);
    announced(&mut sim);
    let activation = sim.node(0).preemption.as_ref().unwrap().activation;
    sim.run((activation - seconds(3)).since(sim.now));
    sim.suspend(3);
    sim.run(seconds(3) + late);
    sim.resume(3);
    sim
}

#[test]
fn one_that_sleeps_through_its_turn_does_not_reign_when_it_wakes() {
    for seed in 0..3 {
        let mut sim = overslept(seed, seconds(17));
        sim.run(seconds(1));
        let ruled = preempted(&sim).into_iter().filter(|(host, _)| *host == 3);
        assert_eq!(ruled.count(), 0, "seed {seed}: others have gone on");
        sim.run(seconds(20));
        assert_eq!(sim.assert_one_anchor(), 0, "seed {seed}");
    }
}

#[test]
fn one_that_turns_a_little_late_ends_its_epoch_when_the_others_do() {
    for seed in 0..3 {
        let sim = overslept(seed, seconds(4));
        assert_eq!(sim.anchors(), [3], "seed {seed}");
        let turn = |host: usize| sim.node(host).view(sim.now).turn;
        let (own, others) = (turn(3).unwrap(), turn(1).unwrap());
        let apart = own.since(others).max(others.since(own));
        assert!(apart < Duration::from_millis(20), "seed {seed}: {apart:?}");
    }
}

#[test]
fn when_the_old_anchor_dies_first_the_preemptor_leads_all_the_same() {
    for (seed, later) in [(0, 1), (1, 20), (2, 40), (3, 70), (4, 85)] {
        let mut sim = with_joiner(seed);
        announced(&mut sim);
        sim.run(seconds(later));
        sim.kill(0);
        sim.run(seconds(25));
        assert_eq!(sim.anchors(), [3], "dead {later} s later");
        sim.run(seconds(200));
        assert_eq!(sim.assert_one_anchor(), 3);
    }
}

#[test]
fn of_two_preemptors_the_better_wins() {
    for seed in 0..4 {
        let mut sim = Sim::settled(seed, &[50, 40]);
        for ego in [80, 90] {
            let joiner = sim.add(ego);
            sim.start(joiner);
        }
        // The two do not hear each other: both announce.
        sim.run(seconds(2));
        sim.cut(&[2], &[3]);
        announced(&mut sim);
        let announced = sim.events(|event| matches!(event, Event::PreemptionAnnounced { .. }));
        let own = |index| {
            let id = sim.id(index);
            let by =
                |event: &Event| matches!(event, Event::PreemptionAnnounced { by, .. } if *by == id);
            announced.iter().any(|(node, _)| *node == index) && !sim.events(by).is_empty()
        };
        assert!(own(2) && own(3), "both did");
        sim.run_until(seconds(200), |sim| sim.anchors() == [3])
            .expect("the better one");
        sim.blocked.clear();
        sim.run(seconds(200));
        assert_eq!(sim.assert_one_anchor(), 3, "seed {seed}");
    }
}

#[test]
fn who_joins_before_the_takeover_loses_nothing() {
    for later in [1, 20, 55, 70, 85, 88] {
        let mut sim = with_joiner(6);
        announced(&mut sim);
        sim.run(seconds(later));
        let late = sim.add(10);
        sim.start(late);
        sim.run(seconds(1));
        sim.assert_one_anchor();
        sim.run(seconds(120));
        assert_eq!(sim.assert_one_anchor(), 3, "joined {later} s later");
        let rejoined = sim.events(|event| matches!(event, Event::Rejoining));
        assert!(rejoined.is_empty(), "joined {later} s later");
    }
}

#[test]
fn who_joins_in_the_last_moment_before_the_takeover_follows_it_at_once() {
    let mut met = 0;
    for before in [5, 15, 25, 30, 35, 40, 45, 60] {
        let mut sim = with_joiner(6);
        announced(&mut sim);
        let turn = sim.node(0).preemption.as_ref().unwrap().activation;
        sim.run((turn - Duration::from_millis(before)).since(sim.now));
        let late = sim.add(10);
        sim.start(late);
        sim.run(seconds(1));
        assert_eq!(sim.assert_one_anchor(), 3, "{before} ms before");
        let rejoined = sim.events(|event| matches!(event, Event::Rejoining));
        met += rejoined.len();
    }
    assert!(met > 0, "some were answered by the old anchor");
}

/// What is bent in an EPOCH.
type Lie = fn(&mut Epoch);

/// What a preemptor puts on the link, bent.
fn forged(sim: &mut Sim, liar: usize, bend: impl Fn(&mut Epoch)) -> (Vec<u8>, [u8; 16]) {
    let (now, source) = (sim.now, sim.nodes[liar].address);
    let node = sim.nodes[liar].node.as_mut().unwrap();
    let under = node.under_current(now).unwrap();
    let chain = under.chain.unwrap();
    let next = node.keys.next(chain, now).unwrap().clone();
    let material = node.fresh_material(now);
    let key = crate::epoch::EpochKey::new(
        material,
        ChainId([7; 8]),
        next.number + 1,
        next.activation + seconds(60),
        node.rhythm,
    );
    let mut body = node
        .epoch_body(now, &under, &key, Some(chain), PREEMPTION)
        .unwrap();
    bend(&mut body);
    // Bent or not, it is sealed as it says.
    let body = node.reseal(body, &under.material, &key.material).unwrap();
    let frame = signed_frame(sim, liar, &under, &body);
    (frame, source)
}

/// Four members, the last one with the given ego, in an epoch whose next is announced; the hold-down is not over
/// for the last one, so nobody preempts by itself.
fn ready(ego: u8) -> Sim {
    let mut sim = Sim::new(8);
    for ego in [50, 40, 30, ego] {
        sim.config = NodeConfig {
            hold_down: if ego == 50 || ego == 40 || ego == 30 {
                Duration::ZERO
            } else {
                seconds(9999)
            },
            ..NodeConfig::default()
        };
        let index = sim.add(ego);
        sim.start(index);
        sim.run(seconds(5));
    }
    sim.assert_one_anchor();
    sim.run_until(seconds(60), |sim| sim.count(FrameType::Epoch) > 0)
        .unwrap();
    sim.run(seconds(1));
    sim
}

/// Whether each of the three others took it.
fn taken(sim: &mut Sim, frame: &[u8], source: [u8; 16]) -> [bool; 3] {
    [0, 1, 2].map(|index| {
        let verdict = sim.inject(index, source, GROUP, frame);
        assert_eq!(verdict, Verdict::Accepted, "the tag is right");
        sim.node(index).preemption.is_some()
    })
}

#[test]
fn a_lying_preemptor_changes_nothing() {
    let mut sim = ready(90);
    let state = |sim: &Sim| [0, 1, 2].map(|index| sim.node(index).view(sim.now).keys);
    let before = state(&sim);
    let lies: [(&str, Lie); 8] = [
        ("one turn ahead", |body| body.head.number -= 1),
        ("three turns ahead", |body| body.head.number += 1),
        ("activation too early", |body| {
            body.head.activates_in -= 60_000;
        }),
        ("activation at once", |body| body.head.activates_in = 0),
        ("activation too late", |body| {
            body.head.activates_in += 10_000;
        }),
        ("another parent", |body| body.head.parent = [9; 8]),
        ("no parent", |body| body.head.parent = [0; 8]),
        ("the same chain", |body| body.head.chain = body.head.parent),
    ];
    for (lie, bend) in lies {
        let (frame, source) = forged(&mut sim, 3, bend);
        assert_eq!(taken(&mut sim, &frame, source), [false; 3], "{lie}");
        assert_eq!(state(&sim), before, "{lie}");
    }
    let (frame, source) = forged(&mut sim, 3, |_| ());
    assert_eq!(
        taken(&mut sim, &frame, source),
        [true; 3],
        "the truth passes"
    );
}

#[test]
fn a_preemptor_without_a_higher_ego_changes_nothing() {
    for ego in [50, 49, 0] {
        let mut sim = ready(ego);
        let (frame, source) = forged(&mut sim, 3, |_| ());
        assert_eq!(taken(&mut sim, &frame, source), [false; 3], "ego {ego}");
    }
}

#[test]
fn a_preemptor_outside_the_succession_changes_nothing() {
    let mut sim = ready(90);
    let id = sim.id(3);
    for index in [0, 1, 2] {
        let node = sim.nodes[index].node.as_mut().unwrap();
        assert!(node.roster.strike(id));
    }
    let (frame, source) = forged(&mut sim, 3, |_| ());
    let [_, members @ ..] = taken(&mut sim, &frame, source);
    assert_eq!(members, [false; 2], "the anchor lists whom it hears");
}

#[test]
fn a_preemption_of_an_earlier_chain_is_not_accepted_again() {
    let mut sim = with_joiner(9);
    announced(&mut sim);
    let old = sim
        .sent
        .iter()
        .rev()
        .find(|sent| sent.from == 3 && sent.frame_type() == FrameType::Epoch)
        .unwrap()
        .clone();
    let source = sim.nodes[3].address;
    assert_eq!(sim.inject(1, source, GROUP, &old.payload), Verdict::Replay);
    sim.run_until(seconds(200), |sim| sim.anchors() == [3])
        .unwrap();
    sim.run(seconds(1));
    let keys = sim.node(1).view(sim.now).keys;
    let verdict = sim.inject(1, source, GROUP, &old.payload);
    assert_ne!(verdict, Verdict::Accepted);
    assert_eq!(sim.node(1).view(sim.now).keys, keys);
}

#[test]
fn an_anchor_within_its_hold_down_is_not_preempted_by_one_that_does_not_wait() {
    let mut sim = Sim::settled(10, &[50, 40, 30]);
    sim.run(seconds(25));
    sim.kill(0);
    sim.run(seconds(20));
    assert_eq!(sim.assert_one_anchor(), 1);
    let reigns = sim.now;
    let span = sim.node(1).hold_down.span();
    sim.config.hold_down = Duration::ZERO;
    let impatient = sim.add(90);
    sim.start(impatient);
    sim.run_until(seconds(400), |sim| sim.anchors() == [impatient])
        .expect("it waits for the anchor's hold-down");
    assert!(sim.now.since(reigns) >= span + seconds(60), "{span:?}");
}

#[test]
fn the_reason_says_who_takes_over_and_when() {
    let mut sim = with_joiner(11);
    sim.run(seconds(5));
    let sentence = |sim: &Sim, index: usize| sim.node(index).view(sim.now).why.sentence;
    assert!(
        sentence(&sim, 1).contains("node-3 (ego 90) takes over in about"),
        "{}",
        sentence(&sim, 1)
    );
    announced(&mut sim);
    let view = sim.node(1).view(sim.now).preemption.unwrap();
    let left = view.at.since(sim.now).as_secs();
    for index in 0..4 {
        let said = sentence(&sim, index);
        assert!(
            said.contains(&format!("node-3 (ego 90) takes over in {left} s")),
            "{said}"
        );
    }
    sim.run(seconds(121));
    assert!(sim.node(1).view(sim.now).preemption.is_none());
}
