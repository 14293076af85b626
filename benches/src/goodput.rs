//! What is left for members while a flood rises: their share of delivered frames and how late they come, at
//! the application's socket, with the filter and with verification in user space alone.
//!
//! The first processor belongs to the defended machine, its receive path (one queue, polled by a kernel
//! thread) and its application; the last one to the link, attacker and members.

use std::net::UdpSocket;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, Result, anyhow, ensure};
use aya::programs::XdpMode;
use nexus0::flood::{Bounds, Generator, Interspersed, Pace, Report, Templates};
use nexus0::lab::account::Interface;
use nexus0::lab::interface;
use nexus0::lab::load::last_processor;
use nexus0::lab::pair::{Pair, Receive};
use nexus0::lab::process::pin_to;
use nexus0::lab::topology::INTERFACE;
use nexus0_common::auth::FrameKey;
use nexus0_common::wire::{Class, FrameType};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde::Serialize;

use crate::frames::{self, BODY, Genuine, PAYLOAD};
use crate::precedence;
use crate::verifier::{self, Judged};
use crate::world::World;

const MEMBERS: u32 = 16;
/// Frames of all members a second, half of them pulses, half data.
const RATE: u64 = 2_000;
/// SHA-256 blocks of a DATA frame: 151 bytes of body.
const DATA_BLOCKS: usize = 3;
/// Ranks of what runs on the defended machine: polling must not starve the application.
const POLLING: i32 = 1;
const APPLICATION: i32 = 2;
/// Until a flood is at its height, and until what is queued is delivered.
const SETTLE: Duration = Duration::from_millis(200);
/// A ring that loses a smaller share is large enough but for hiccups of the machine.
const RING_NOISE: f64 = 0.005;
/// Where the members' frames carry their number.
const NUMBER: usize = BODY - PAYLOAD;
const TICK: Duration = Duration::from_millis(5);

/// One speed of the flood.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Point {
    /// Forged frames a second.
    pub(crate) offered_per_second: f64,
    /// Share of them that found the receive ring full.
    pub(crate) ring_lost: f64,
    /// Members' frames.
    pub(crate) sent: u64,
    pub(crate) delivered: u64,
    /// Of the delivered ones, from the sender's clock to the application's.
    pub(crate) p50_microseconds: f64,
    pub(crate) p99_microseconds: f64,
}

impl Point {
    pub(crate) fn share(&self) -> f64 {
        self.delivered as f64 / self.sent.max(1) as f64
    }

    /// Whether the receive ring is too small for what comes.
    pub(crate) fn overflows(&self) -> bool {
        self.ring_lost > RING_NOISE
    }
}

/// Both sweeps.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Goodput {
    pub(crate) members_per_second: u64,
    pub(crate) seconds_per_point: f64,
    pub(crate) with_filter: Vec<Point>,
    pub(crate) without_filter: Vec<Point>,
}

impl Goodput {
    /// With the filter, where the ring does not overflow: the least share delivered, the least share of what
    /// the ring took, and the fastest such flood.
    pub(crate) fn below_the_knee(&self) -> Option<(f64, f64, f64)> {
        let calm = self.with_filter.iter().filter(|point| !point.overflows());
        calm.map(|point| {
            let taken = point.share() / (1.0 - point.ring_lost);
            (point.share(), taken.min(1.0), point.offered_per_second)
        })
        .reduce(|one, other| (one.0.min(other.0), one.1.min(other.1), one.2.max(other.2)))
    }

    /// How many times as many are delivered as without it, how many times that would be if all were, and the
    /// speed; the least of all at which the ring overflows with the filter as well.
    pub(crate) fn beyond_the_knee(&self) -> Option<(f64, f64, f64)> {
        let both = self.with_filter.iter().zip(&self.without_filter);
        both.filter(|(with, _)| with.overflows())
            .map(|(with, without)| {
                let least = without.share().max(f64::MIN_POSITIVE);
                (with.share() / least, 1.0 / least, with.offered_per_second)
            })
            .min_by(|one, other| one.0.total_cmp(&other.0))
    }
}

/// Sweeps the flood; `None` on a single processor, which cannot be both sides.
pub(crate) fn measure(quick: bool) -> Result<Option<Goodput>> {
    if last_processor() == 0 {
        return Ok(None);
    }
    let (seconds, rates): (_, &[u64]) = if quick {
        (0.5, &[0, 500_000, 2_000_000])
    } else {
        (
            4.0,
            &[
                0, 100_000, 250_000, 500_000, 750_000, 1_000_000, 1_500_000, 2_000_000, 2_500_000,
                3_000_000, 3_500_000, 4_000_000,
            ],
        )
    };
    let paces: Vec<Option<Pace>> = rates
        .iter()
        .map(|rate| (*rate > 0).then_some(Pace::Even(*rate)))
        .chain([Some(Pace::Flat)])
        .collect();
    let sweep = |filtered: bool| -> Result<Vec<Point>> {
        let mut side = Side::new(filtered)?;
        let mut points = Vec::new();
        for pace in &paces {
            eprintln!("goodput, filter {filtered}: {pace:?}");
            points.push(side.point(*pace, Duration::from_secs_f64(seconds))?);
        }
        points.sort_by(|one: &Point, other| {
            one.offered_per_second.total_cmp(&other.offered_per_second)
        });
        Ok(points)
    };
    Ok(Some(Goodput {
        members_per_second: RATE,
        seconds_per_point: seconds,
        with_filter: sweep(true)?,
        without_filter: sweep(false)?,
    }))
}

/// A link with its defended end set up.
struct Side {
    generator: Generator,
    flood: Vec<Vec<u8>>,
    sequence: u64,
    // Dropped before the namespaces go.
    _filter: Option<World>,
    pair: Pair,
}

impl Side {
    fn new(filtered: bool) -> Result<Self> {
        let receive = if filtered {
            Receive::Driver
        } else {
            Receive::Stack
        };
        let pair = Pair::build(1, receive)?;
        let mut filter = None;
        if filtered {
            let mut world = World::with_members(MEMBERS)?;
            let index = pair.index()?;
            pair.own.within(|| world.attach(index, XdpMode::Driver))??;
            filter = Some(world);
        }
        poll_in_a_thread(&pair, 0)?;
        Ok(Self {
            generator: pair.generator()?,
            flood: frames::forgeries(&frames::key(), MEMBERS),
            sequence: 0,
            _filter: filter,
            pair,
        })
    }

    fn point(&mut self, pace: Option<Pace>, duration: Duration) -> Result<Point> {
        let others = Interspersed {
            frames: self.members((RATE as f64 * duration.as_secs_f64()) as u64),
            per_second: RATE,
        };
        let (pace, limit) = pace.map_or((Pace::Flat, 0), |pace| (pace, u64::MAX));
        let templates = [Templates::load_mixed(&self.flood, pace, limit, &others)?];
        let socket = self.pair.own.within(|| verifier::socket(None))??;
        let (judged, stop) = (Judged::default(), AtomicBool::new(false));
        let mut arrived = Vec::new();
        let (generator, attacker) = (&self.generator, &self.pair.attacker);
        let (report, counters) = thread::scope(|scope| {
            scope.spawn(|| application(&socket, &judged, &stop, &mut arrived));
            let done = attacker.within(|| {
                thread::sleep(SETTLE);
                let before = interface::counters_of(INTERFACE)?;
                let report = send(generator, &templates, others.frames.len() as u64, duration)?;
                anyhow::Ok((report, (before, interface::counters_of(INTERFACE)?)))
            });
            thread::sleep(SETTLE);
            stop.store(true, Ordering::Relaxed);
            done?
        })?;
        let (before, after): (Interface, Interface) = counters;
        let lost = after.send_dropped - before.send_dropped;
        let through = after.sent - before.sent;
        let mut delays = arrived
            .iter()
            .map(|(number, at)| Ok(at.saturating_sub(templates[0].sent_at(*number)?)))
            .collect::<Result<Vec<u64>>>()?;
        delays.sort_unstable();
        Ok(Point {
            offered_per_second: report.offered as f64 / report.seconds,
            ring_lost: lost as f64 / (lost + through).max(1) as f64,
            sent: templates[0].interspersed()?,
            delivered: delays.len() as u64,
            p50_microseconds: quantile(&delays, 0.50),
            p99_microseconds: quantile(&delays, 0.99),
        })
    }

    /// The members' next frames, each with its number.
    fn members(&mut self, count: u64) -> Vec<Vec<u8>> {
        let (key, first) = (frames::key(), self.sequence);
        self.sequence += count;
        (0..count)
            .map(|number| frame(&key, first + number, number as u32))
            .collect()
    }
}

/// Floods until all of the members' frames are through.
fn send(
    generator: &Generator,
    templates: &[Templates],
    members: u64,
    duration: Duration,
) -> Result<Report> {
    let stop = AtomicBool::new(false);
    let bounds = Bounds {
        frames: u64::MAX,
        duration: 3 * duration,
    };
    let processors = [last_processor()];
    thread::scope(|scope| {
        let pump = || generator.pump_loaded(templates, &processors, bounds, &stop);
        let pump = scope.spawn(pump);
        while !pump.is_finished() && templates[0].interspersed()? < members {
            thread::sleep(TICK);
        }
        stop.store(true, Ordering::Relaxed);
        pump.join().map_err(|_| anyhow!("the flood panicked"))?
    })
}

fn quantile(sorted: &[u64], share: f64) -> f64 {
    let index = (sorted.len() as f64 * share) as usize;
    sorted
        .get(index.min(sorted.len().saturating_sub(1)))
        .map_or(f64::NAN, |nanoseconds| *nanoseconds as f64 / 1e3)
}

/// Verifies whatever comes, as a node does also behind the filter; notes numbers and moments.
fn application(
    socket: &UdpSocket,
    judged: &Judged,
    stop: &AtomicBool,
    arrived: &mut Vec<(u32, u64)>,
) {
    pin_to(0).ok();
    precedence::real_time(0, APPLICATION);
    verifier::by_the_many(socket, judged, stop, |payload| {
        let number = payload.get(NUMBER..).and_then(<[u8]>::first_chunk);
        arrived.extend(number.map(|number| (u32::from_be_bytes(*number), now())));
    });
}

/// A pulse and a DATA frame in turn, of one member after the other.
fn frame(key: &FrameKey, turn: u64, number: u32) -> Vec<u8> {
    let (pair, data) = (turn / 2, turn % 2 == 1);
    let (member, sequence) = (pair as u32 % MEMBERS, pair / u64::from(MEMBERS));
    let number = number.to_be_bytes();
    if !data {
        return Genuine::pulse(member, sequence).frame(key, 1, &number);
    }
    Genuine {
        frame_type: FrameType::Data,
        class: Class::Unicast,
        member,
        sequence,
    }
    .frame(key, DATA_BLOCKS, &number)
}

/// Nanoseconds of a clock that both sides share.
fn now() -> u64 {
    let clock = nix::time::ClockId::CLOCK_MONOTONIC;
    let time = nix::time::clock_gettime(clock).map_or(Duration::ZERO, Duration::from);
    time.as_nanos() as u64
}

/// Lets a kernel thread on one processor poll the defended interface, at this process's own priority.
fn poll_in_a_thread(pair: &Pair, processor: usize) -> Result<()> {
    let before = pollers()?;
    let write = format!("echo 1 > /sys/class/net/{INTERFACE}/threaded");
    let mut command = Command::new("ip");
    command.args(["netns", "exec", pair.own.name(), "sh", "-c", &write]);
    nexus0::lab::process::run(&mut command)?;
    let new: Vec<i32> = pollers()?
        .into_iter()
        .filter(|pid| !before.contains(pid))
        .collect();
    ensure!(!new.is_empty(), "the kernel polls {INTERFACE} in no thread");
    let mut set = CpuSet::new();
    set.set(processor)?;
    for pid in new {
        sched_setaffinity(Pid::from_raw(pid), &set).context("cannot pin the polling thread")?;
        precedence::real_time(pid, POLLING);
    }
    Ok(())
}

/// Kernel threads that poll an interface of this name.
fn pollers() -> Result<Vec<i32>> {
    let prefix = format!("napi/{INTERFACE}-");
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")?.filter_map(Result::ok) {
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let pid = entry.file_name().to_string_lossy().parse();
        if let (true, Ok(pid)) = (name.starts_with(&prefix), pid) {
            found.push(pid);
        }
    }
    Ok(found)
}
