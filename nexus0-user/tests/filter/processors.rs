//! Copies of frames on two processors at the same instant: each sequence is accepted once, each rate admits what it
//! allows to the frame, every frame is in one counter. (A test run disables preemption: two threads on one processor
//! would take turns.)

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use aya::programs::{TestRun, TestRunOptions, Xdp};
use nexus0_common::maps::{Config, Rate};
use nexus0_common::reason::Verdict;
use nexus0_common::wire::FrameType;
use nexus0_core::filter::Maps;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use crate::world::{Draft, MEMBERS, World, boot_time, key};

const XDP_PASS: u32 = 2;
const HOUR: u64 = 3_600_000_000_000;
/// Never refuses.
const FREE: Rate = Rate {
    interval: 0,
    burst: HOUR,
};

/// So many frames and then none for an hour.
fn bucket(frames: u64) -> Rate {
    Rate {
        interval: HOUR,
        burst: (frames - 1) * HOUR,
    }
}

/// A fresh filter without events, and its twins that commit as nobody may.
fn world(set: impl Fn(&mut Config)) -> World {
    let mut world = World::with(FREE, &["nexus0_torn", "nexus0_lost"]);
    let mut config = world.memory.config;
    config.sample_shift = [255; 64];
    set(&mut config);
    Maps::write_config(&mut world.kernel, &config).expect("configured");
    world
}

/// Two processors of this process. Without two of them there is nothing to test.
fn processors() -> Option<[usize; 2]> {
    let all = sched_getaffinity(Pid::from_raw(0)).expect("the processors of this process");
    let mut mine = (0..CpuSet::count()).filter(|cpu| all.is_set(*cpu) == Ok(true));
    let pair = Some([mine.next()?, mine.next()?]);
    pair.filter(|[first, second]| first != second)
}

fn pin(processor: usize) {
    let mut only = CpuSet::new();
    only.set(processor).expect("a processor's number");
    sched_setaffinity(Pid::from_raw(0), &only).expect("pinned");
}

/// Waits for the other thread, politely where the machine is busy.
fn meet(arrived: &AtomicUsize, all: usize) {
    arrived.fetch_add(1, Ordering::AcqRel);
    let mut spins = 0_u32;
    while arrived.load(Ordering::Acquire) < all {
        spins += 1;
        if spins.is_multiple_of(10_000) {
            thread::yield_now();
        }
        std::hint::spin_loop();
    }
}

fn passes(program: &Xdp, frame: &[u8]) -> bool {
    let options = TestRunOptions {
        data_in: Some(frame),
        ..TestRunOptions::default()
    };
    program.test_run(options).expect("a test run").return_value == XDP_PASS
}

/// Offers pairs of frames, one on each processor at the same instant. What passed of each pair.
fn offer(
    world: &mut World,
    program: &str,
    processors: [usize; 2],
    pairs: &[[&[u8]; 2]],
) -> Vec<[bool; 2]> {
    let program: &Xdp = world.program.xdp(program).expect("a program of the object");
    let arrived = AtomicUsize::new(0);
    let side = |side: usize| {
        pin(processors[side]);
        let offered = pairs.iter().enumerate().map(|(number, pair)| {
            meet(&arrived, 2 * (number + 1));
            passes(program, pair[side])
        });
        offered.collect::<Vec<_>>()
    };
    let [first, second] = thread::scope(|scope| {
        [0, 1]
            .map(|number| scope.spawn(move || side(number)))
            .map(|thread| thread.join().expect("a side"))
    });
    first
        .into_iter()
        .zip(second)
        .map(<[bool; 2]>::from)
        .collect()
}

/// What the counters hold, which must be all that was offered and nothing else.
struct Books(Vec<(Verdict, u64)>);

impl Books {
    fn of(world: &World, offered: usize) -> Self {
        let counters = world.kernel.counters().expect("counters");
        let frames: Vec<_> = counters.iter().map(|(v, c)| (*v, c.frames)).collect();
        let sum: u64 = frames.iter().map(|(_, frames)| frames).sum();
        assert_eq!(sum, offered as u64, "offered is the sum of all counters");
        Self(frames)
    }

    fn frames(&self, verdict: Verdict) -> u64 {
        let found = self.0.iter().find(|(one, _)| *one == verdict);
        found.map_or(0, |(_, frames)| *frames)
    }

    fn only(&self, verdicts: &[Verdict]) {
        let others = self
            .0
            .iter()
            .filter(|(v, n)| *n > 0 && !verdicts.contains(v));
        assert_eq!(others.collect::<Vec<_>>(), Vec::<&(Verdict, u64)>::new());
    }
}

fn pulses(range: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    range
        .map(|sequence| Draft::pulse(key(1), MEMBERS[0], sequence).frame())
        .collect()
}

/// Requests of strangers, each with a tag of its own.
fn requests(number: u64) -> Vec<Vec<u8>> {
    (0..number)
        .map(|sequence| Draft::of(FrameType::ReqEpoch, key(9), [7; 8], sequence).frame())
        .collect()
}

fn copies(frames: &[Vec<u8>]) -> Vec<[&[u8]; 2]> {
    frames.iter().map(|frame| [&**frame, &**frame]).collect()
}

/// How many sequences passed twice and how many not at all, of copies offered at the same instant.
fn hammer(program: &str, processors: [usize; 2], frames: &[Vec<u8>]) -> (usize, usize, Books) {
    let mut world = world(|_| ());
    let passed = offer(&mut world, program, processors, &copies(frames));
    let books = Books::of(&world, 2 * frames.len());
    let twice = passed.iter().filter(|pair| **pair == [true; 2]).count();
    let never = passed.iter().filter(|pair| **pair == [false; 2]).count();
    let all = passed.iter().flatten().filter(|passed| **passed).count();
    assert_eq!(all as u64, books.frames(Verdict::Accepted), "{program}");
    (twice, never, books)
}

#[test]
fn of_two_copies_at_the_same_instant_one_is_accepted() {
    let Some(processors) = processors() else {
        return println!("skipped: one processor");
    };
    let frames = pulses(1..100_001);
    let (twice, never, books) = hammer("nexus0", processors, &frames);
    books.only(&[Verdict::Accepted, Verdict::Replay, Verdict::Contention]);
    let contention = books.frames(Verdict::Contention);
    println!("100,000 pairs: {never} lost, contention {contention}");
    assert_eq!(twice, 0, "a sequence passed twice");
    assert!(
        never as u64 <= contention,
        "{never} lost, contention {contention}"
    );
}

#[test]
fn commits_that_are_not_atomic_are_noticed() {
    let Some(processors) = processors() else {
        return println!("skipped: one processor");
    };
    let frames = pulses(1..100_001);
    let (twice, ..) = hammer("nexus0_torn", processors, &frames);
    println!("100,000 pairs: {twice} passed twice");
    assert!(twice > 0, "the hammer does not hit");
}

#[test]
fn a_members_rate_admits_exactly_what_it_allows() {
    let Some(processors) = processors() else {
        return println!("skipped: one processor");
    };
    let mut world = world(|config| config.member = bucket(5_000));
    let frames = pulses(1..20_001);
    let pairs: Vec<[&[u8]; 2]> = frames
        .as_chunks()
        .0
        .iter()
        .map(|[a, b]| [&**a, &**b])
        .collect();
    offer(&mut world, "nexus0", processors, &pairs);
    let books = Books::of(&world, frames.len());
    books.only(&[Verdict::Accepted, Verdict::Rate, Verdict::Contention]);
    assert_eq!(books.frames(Verdict::Accepted), 5_000);
}

#[test]
fn a_source_at_the_door_gets_exactly_what_its_cell_allows() {
    let Some(processors) = processors() else {
        return println!("skipped: one processor");
    };
    door(processors, Verdict::DoorSource, |config| {
        config.source = bucket(2_000);
    });
}

#[test]
fn the_door_admits_exactly_what_its_rate_allows() {
    let Some(processors) = processors() else {
        return println!("skipped: one processor");
    };
    door(processors, Verdict::DoorRate, |config| {
        config.door = bucket(2_000);
    });
}

/// Different requests on both processors, of which 2,000 may pass.
fn door(processors: [usize; 2], refusal: Verdict, set: impl Fn(&mut Config)) {
    let mut world = world(set);
    let frames = requests(8_000);
    let pairs: Vec<[&[u8]; 2]> = frames
        .as_chunks()
        .0
        .iter()
        .map(|[a, b]| [&**a, &**b])
        .collect();
    offer(&mut world, "nexus0", processors, &pairs);
    let books = Books::of(&world, frames.len());
    // Two tags may share the bit they are remembered by.
    books.only(&[
        Verdict::Accepted,
        refusal,
        Verdict::DoorRepeat,
        Verdict::Contention,
    ]);
    assert_eq!(books.frames(Verdict::Accepted), 2_000);
    assert!(
        books.frames(refusal) > 4_000,
        "the bucket was empty long before the end"
    );
}

#[test]
fn a_recorded_request_passes_once_on_all_processors() {
    let Some(processors) = processors() else {
        return println!("skipped: one processor");
    };
    let frames = requests(10_000);
    // What is remembered is forgotten when the clock's bit 33 turns: not while this runs.
    let left = (1 << 33) - boot_time() % (1 << 33);
    if left < 3_000_000_000 {
        thread::sleep(Duration::from_nanos(left));
    }
    let (twice, _, books) = hammer("nexus0", processors, &frames);
    books.only(&[Verdict::Accepted, Verdict::DoorRepeat, Verdict::Contention]);
    assert_eq!(twice, 0, "a request passed twice");
    assert!(books.frames(Verdict::Accepted) > 9_000);
}

#[test]
fn what_is_lost_to_others_is_counted_as_contention_and_can_come_again() {
    let mut world = world(|_| ());
    let frames: Vec<_> = pulses(1..101).into_iter().chain(requests(1)).collect();
    for program in ["nexus0_lost", "nexus0"] {
        let program: &Xdp = world.program.xdp(program).expect("a program of the object");
        for frame in &frames {
            passes(program, frame);
        }
    }
    let books = Books::of(&world, 2 * frames.len());
    books.only(&[Verdict::Contention, Verdict::Accepted]);
    assert_eq!(books.frames(Verdict::Contention), 101);
    assert_eq!(books.frames(Verdict::Accepted), 101);
}
