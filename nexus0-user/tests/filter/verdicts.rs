//! The verdict table, judged by host and kernel alike.

use nexus0_common::maps::{Rate, flags};
use nexus0_common::packet::PAYLOAD;
use nexus0_common::reason::Verdict;
use nexus0_common::wire::{Class, FrameType};
use nexus0_core::filter::Maps;

use crate::table::{Row, keyed, row, shape, spoilt, ways_around};
use crate::world::{Draft, Keys, MEMBERS, NONCE, World, both, key};

/// Buckets that never fill.
pub(crate) const FREE: Rate = Rate {
    interval: 0,
    burst: 1 << 60,
};

/// Buckets that let one frame through.
pub(crate) const ONE: Rate = Rate {
    interval: 1 << 60,
    burst: 0,
};

pub(crate) fn judge(world: &mut World, rows: Vec<Row>) -> Vec<Verdict> {
    let mut wrong = Vec::new();
    let mut met = Vec::new();
    for Row {
        what,
        frame,
        expected,
    } in rows
    {
        let (host, kernel) = (world.host(&frame), world.kernel(&frame));
        if (host, kernel) != (expected, expected) {
            wrong.push(format!(
                "{what}: expected {expected:?}, host {host:?}, kernel {kernel:?}"
            ));
        }
        met.push(expected);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    met
}

#[test]
fn every_reason_is_given_by_host_and_kernel_alike() {
    let mut world = World::new(FREE);
    let mut rows = shape();
    rows.extend(ways_around());
    rows.extend(keyed(&Keys::new()));
    let mut met = judge(&mut world, rows);
    met.extend(rates());
    // Contention takes two processors, and no test can make a map unreadable.
    let out_of_reach = [Verdict::Contention, Verdict::Internal];
    for verdict in Verdict::ALL {
        assert!(
            met.contains(verdict) || out_of_reach.contains(verdict),
            "no frame for {verdict:?}"
        );
    }
}

/// Rates, with buckets that let one frame through.
fn rates() -> Vec<Verdict> {
    let mut world = World::new(ONE);
    let pulse = |sequence| Draft::pulse(key(1), MEMBERS[0], sequence).frame();
    let request = |sequence| Draft::of(FrameType::ReqEpoch, key(9), [7; 8], sequence);
    let bound = |sequence| Draft {
        fill: NONCE,
        ..request(sequence)
    };
    judge(
        &mut world,
        vec![
            row("a pulse", pulse(1), Verdict::Accepted),
            row("a pulse too many", pulse(2), Verdict::Rate),
            row("a stranger", request(1).frame(), Verdict::Accepted),
            row("the same stranger", request(2).frame(), Verdict::DoorSource),
            row("another", request(3).frame_from(3), Verdict::DoorRate),
            row("a bound one", bound(4).frame_from(4), Verdict::Accepted),
            row("another", bound(5).frame_from(5), Verdict::DoorBound),
        ],
    )
}

#[test]
fn an_answer_passes_while_joining() {
    let mut world = World::new(FREE);
    let mut config = world.memory.config;
    config.flags |= flags::JOINING;
    both!(world, maps => Maps::write_config(maps, &config));
    let answer = Draft::of(FrameType::Answer, key(9), [7; 8], 1).frame();
    judge(
        &mut world,
        vec![row("an answer", answer, Verdict::Accepted)],
    );
}

#[test]
fn a_signed_frame_is_a_replay_once_the_controller_committed_it() {
    let mut world = World::new(FREE);
    let frame = || Draft::of(FrameType::Anchor, key(1), MEMBERS[0], 5).frame();
    judge(&mut world, vec![row("before", frame(), Verdict::Accepted)]);
    both!(world, maps => Maps::write_signed_word(maps, 0, 1, 0, 1 << 5));
    judge(&mut world, vec![row("after", frame(), Verdict::Replay)]);
}

#[test]
fn observing_counts_and_passes() {
    let mut world = World::new(FREE);
    let mut config = world.memory.config;
    config.flags |= flags::OBSERVE;
    both!(world, maps => Maps::write_config(maps, &config));
    let frame = spoilt(1, |f| f[PAYLOAD + 2] = 3);
    let (action, _) = world.program.test_run("nexus0", &frame, 1).unwrap();
    assert_eq!(action, 2, "passed");
    assert_eq!(
        world
            .kernel
            .counter(Verdict::Version as u32)
            .unwrap()
            .frames,
        1,
        "and counted"
    );
}

#[test]
fn a_steady_pulse_costs_exactly_two_compressions() {
    let mut world = World::new(FREE);
    let spent = |world: &mut World, frame: Vec<u8>| {
        let before = world.memory.compressions();
        assert_eq!(world.host(&frame), Verdict::Accepted);
        world.memory.compressions() - before
    };
    assert_eq!(
        spent(&mut world, Draft::pulse(key(1), MEMBERS[0], 1).frame()),
        2
    );
    let signed = Draft::of(FrameType::Anchor, key(1), MEMBERS[0], 2).frame();
    assert_eq!(
        spent(&mut world, signed),
        3,
        "an anchor's has two blocks: the count does count"
    );
}

#[test]
fn a_frame_is_counted_once_with_its_bytes() {
    let mut world = World::new(FREE);
    let frame = Draft::of(FrameType::Data, key(1), MEMBERS[0], 1).frame();
    assert_eq!(world.kernel(&frame), Verdict::Accepted);
    assert_eq!(world.kernel(&frame), Verdict::Replay);
    assert_eq!(world.kernel(&frame), Verdict::Replay);
    for (verdict, counter) in world.kernel.counters().unwrap() {
        let expected = match verdict {
            Verdict::Accepted => 1,
            Verdict::Replay => 2,
            _ => 0,
        };
        assert_eq!(counter.frames, expected, "{verdict:?}");
        assert_eq!(counter.bytes, expected * frame.len() as u64, "{verdict:?}");
    }
}

#[test]
fn unicast_to_another_of_our_addresses_is_judged_as_unicast() {
    let mut world = World::new(FREE);
    let draft = Draft::of(FrameType::Probe, key(1), MEMBERS[0], 1);
    assert_eq!(draft.class, Class::Unicast);
    let mut envelope = draft.envelope();
    envelope.destination[15] = 0x55;
    let elsewhere = envelope.wrap(&draft.payload());
    judge(
        &mut world,
        vec![
            row(
                "an address that is not ours",
                elsewhere,
                Verdict::Destination,
            ),
            row("ours", draft.frame(), Verdict::Accepted),
        ],
    );
}
