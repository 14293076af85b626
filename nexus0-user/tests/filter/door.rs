//! The two halves of the door, judged by host and kernel alike: which frames are bound, that neither half
//! takes from the other, how long a tag is remembered.

use std::thread;
use std::time::Duration;

use nexus0_common::maps::flags;
use nexus0_common::reason::Verdict;
use nexus0_common::wire::FrameType;
use nexus0_core::filter::Maps;

use crate::table::row;
use crate::verdicts::{FREE, ONE, judge};
use crate::world::{Draft, NONCE, PREVIOUS, REQUEST, World, boot_time, both, key};

fn knock(frame_type: FrameType, fill: u8, sequence: u64) -> Draft {
    Draft {
        fill,
        ..Draft::of(frame_type, key(9), [7; 8], sequence)
    }
}

/// A joining node whose halves let one frame through each.
fn joining() -> World {
    let mut world = World::new(ONE);
    let mut config = world.memory.config;
    config.flags |= flags::JOINING;
    both!(world, maps => Maps::write_config(maps, &config));
    world
}

/// Whether a frame passes although the half of unbound ones is used up.
fn passes_by_its_own_half(draft: &Draft) -> bool {
    let mut world = joining();
    let other = knock(FrameType::ReqEpoch, 0, 1).frame_from(100);
    judge(
        &mut world,
        vec![row("the other half", other, Verdict::Accepted)],
    );
    let frame = draft.frame();
    let (host, kernel) = (world.host(&frame), world.kernel(&frame));
    assert_eq!(host, kernel);
    assert!(
        matches!(host, Verdict::Accepted | Verdict::DoorRate),
        "{host:?}"
    );
    host == Verdict::Accepted
}

fn answer(blocks: usize) -> Draft {
    Draft {
        blocks,
        ..knock(FrameType::Answer, REQUEST, 2)
    }
}

#[test]
fn what_carries_a_nonce_or_the_request_of_its_receiver_is_bound_and_nothing_else() {
    use FrameType::{Answer, Beacon, DoorProbe, DoorReply, Hold, ReqEpoch};
    for (draft, expected) in [
        (knock(ReqEpoch, NONCE, 2), true),
        (knock(ReqEpoch, PREVIOUS, 2), true),
        (knock(ReqEpoch, 0xd3, 2), false),
        (knock(ReqEpoch, 0, 2), false),
        (knock(ReqEpoch, REQUEST, 2), false),
        (knock(DoorReply, NONCE, 2), true),
        (knock(DoorReply, PREVIOUS, 2), true),
        (knock(DoorReply, 0, 2), false),
        (knock(Hold, REQUEST, 2), true),
        (knock(Hold, NONCE, 2), false),
        (answer(7), true),
        (answer(18), true),
        (answer(6), false),
        (knock(Answer, NONCE, 2), false),
        (knock(Beacon, NONCE, 2), false),
        (knock(DoorProbe, NONCE, 2), false),
    ] {
        let said = passes_by_its_own_half(&draft);
        assert_eq!(said, expected, "{:?} {:#x}", draft.frame_type, draft.fill);
    }
}

#[test]
fn a_nonce_that_is_over_binds_no_longer() {
    let mut world = World::new(ONE);
    let turned = |world: &mut World| {
        let mut config = world.memory.config;
        config.own.nonces = [u32::from_ne_bytes([0xd4; 4]), config.own.nonces[0]];
        both!(world, maps => Maps::write_config(maps, &config));
    };
    let request = |fill, sequence| knock(FrameType::ReqEpoch, fill, sequence);
    let full = request(0, 1).frame_from(1);
    judge(
        &mut world,
        vec![row("the other half", full, Verdict::Accepted)],
    );
    turned(&mut world);
    let over = request(PREVIOUS, 2).frame_from(2);
    judge(
        &mut world,
        vec![row("two turns old", over, Verdict::DoorRate)],
    );
    let previous = request(NONCE, 3).frame_from(3);
    judge(
        &mut world,
        vec![row("one turn old", previous, Verdict::Accepted)],
    );
}

#[test]
fn a_half_that_is_used_up_leaves_the_other() {
    for fills in [[0, NONCE], [NONCE, 0]] {
        let mut world = World::new(ONE);
        let refusal = [Verdict::DoorRate, Verdict::DoorBound][usize::from(fills[0] == NONCE)];
        let request = |fill, n: u8| knock(FrameType::ReqEpoch, fill, n.into()).frame_from(n);
        judge(
            &mut world,
            vec![
                row("the first", request(fills[0], 1), Verdict::Accepted),
                row("one too many", request(fills[0], 2), refusal),
                row("the other half", request(fills[1], 3), Verdict::Accepted),
            ],
        );
    }
}

#[test]
fn a_source_that_used_up_its_rate_still_has_that_of_the_other_half() {
    let mut world = World::new(FREE);
    let mut config = world.memory.config;
    config.source = ONE;
    both!(world, maps => Maps::write_config(maps, &config));
    let request = |fill, sequence| knock(FrameType::ReqEpoch, fill, sequence).frame();
    let beacon = |sequence| knock(FrameType::Beacon, 0, sequence).frame();
    judge(
        &mut world,
        vec![
            row("the first", request(0, 1), Verdict::Accepted),
            row("one too many", request(0, 2), Verdict::DoorSource),
            row("a bound one", request(NONCE, 3), Verdict::Accepted),
            row("one too many", request(NONCE, 4), Verdict::DoorSource),
            row("a beacon is not counted", beacon(5), Verdict::Accepted),
            row("nor is the next", beacon(6), Verdict::Accepted),
        ],
    );
}

#[test]
fn of_two_hundred_recorded_frames_each_passes_once() {
    // Not while tags are forgotten.
    while boot_time() >> 33 != (boot_time() + 2_000_000_000) >> 33 {
        thread::sleep(Duration::from_millis(100));
    }
    let mut world = World::new(FREE);
    let frames: Vec<_> = (0..200)
        .map(|n| knock(FrameType::Beacon, 0, n).frame())
        .collect();
    let passed = |world: &mut World| {
        let mut count = 0;
        for frame in &frames {
            let host = world.host(frame);
            assert_eq!(host, world.kernel(frame));
            count += usize::from(host == Verdict::Accepted);
        }
        count
    };
    // Two tags may meet in one bit of 131,072.
    assert!(passed(&mut world) >= 199);
    assert_eq!((0..20).map(|_| passed(&mut world)).sum::<usize>(), 0);
}
