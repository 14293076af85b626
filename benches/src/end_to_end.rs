//! Frames from one end of a veth pair to the verdict at the other: this filter and its peers, over the same
//! frames in the same run.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use nexus0::flood::{Bounds, Generator, Pace, Templates};
use nexus0::lab::interface;
use nexus0::lab::load::last_processor;
use nexus0::lab::pair::{Pair, Receive};
use nexus0::lab::process::pin_to;
use nexus0::lab::topology::INTERFACE;
use nexus0_common::reason::Verdict;
use serde::Serialize;

use crate::frames::{self, Genuine};
use crate::peers::{DROP, PEERS, Peer};
use crate::user_space;
use crate::verifier;
use crate::world::World;

const BATCH: u32 = 20_000;
/// Members who send the valid frames, and sequences of each in a batch: as many as a window holds.
const SENDERS: u32 = 32;
const SEQUENCES: u64 = 1024;
const BUFFER: usize = 64 << 20;
/// Until a flood is at its height, and the longest one.
const RUN_UP: Duration = Duration::from_millis(150);
const LONGEST: Duration = Duration::from_secs(60);

/// One way to judge, measured.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Where it decides.
    pub(crate) place: String,
    /// How it was set up.
    pub(crate) command: String,
    /// What was offered: forged or valid.
    pub(crate) frames: String,
    /// Least mean nanoseconds from sending to verdict, one processor doing both. `None` for user space, which
    /// judges on another.
    pub(crate) nanoseconds: Option<u64>,
    /// Judged a second by one processor.
    pub(crate) per_second: f64,
    /// Judged a second by all processors, each of them sending as well.
    pub(crate) per_second_all: Option<f64>,
    /// `per_second` as a share of that of the bare XDP_DROP.
    pub(crate) share_of_drop: f64,
}

/// How long to look.
#[derive(Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: u32,
    /// Batches on one processor.
    pub(crate) batches: u32,
    /// Time for all processors, and for each try of user space.
    pub(crate) flood: Duration,
}

impl Effort {
    pub(crate) fn new(quick: bool) -> Self {
        let (rounds, batches, milliseconds) = if quick { (1, 16, 250) } else { (3, 30, 800) };
        Self {
            rounds,
            batches,
            flood: Duration::from_millis(milliseconds),
        }
    }
}

/// The row of a peer.
pub(crate) fn row<'a>(rows: &'a [Row], name: &str, frames: &str) -> Option<&'a Row> {
    rows.iter()
        .find(|row| row.name == name && row.frames == frames)
}

/// Judged a second by the best of user space.
pub(crate) fn best_in_user_space(rows: &[Row], frames: &str) -> Option<f64> {
    rows.iter()
        .filter(|row| row.place == USER && row.frames == frames)
        .filter_map(|row| row.per_second_all)
        .max_by(f64::total_cmp)
}

pub(crate) const USER: &str = "user space";
pub(crate) const FORGED: &str = "forged";
pub(crate) const VALID: &str = "valid";

/// Measures every peer that is there, round after round; the best of each counts.
pub(crate) fn measure(effort: Effort) -> Result<Vec<Row>> {
    let mut rows: Vec<Row> = Vec::new();
    for round in 1..=effort.rounds {
        for peer in PEERS.iter().filter(|peer| peer.missing().is_none()) {
            eprintln!("end to end, round {round}: {}", peer.name);
            for row in in_kernel(peer, effort)? {
                merge(&mut rows, row);
            }
        }
    }
    for threads in [1, processors().len()] {
        eprintln!("end to end: user space, threads: {threads}");
        for frames in [FORGED, VALID] {
            rows.push(user_space::measure(threads, frames, effort)?);
        }
    }
    let floor = row(&rows, DROP, FORGED).map_or(f64::NAN, |row| row.per_second);
    for row in &mut rows {
        row.share_of_drop = row.per_second / floor;
    }
    Ok(rows)
}

fn merge(rows: &mut Vec<Row>, new: Row) {
    let known = rows
        .iter_mut()
        .find(|row| row.name == new.name && row.frames == new.frames);
    let Some(row) = known else {
        rows.push(new);
        return;
    };
    row.nanoseconds = row.nanoseconds.min(new.nanoseconds);
    row.per_second = row.per_second.max(new.per_second);
    row.per_second_all = row
        .per_second_all
        .map(|best| best.max(new.per_second_all.unwrap_or(0.0)));
}

pub(crate) fn processors() -> Vec<usize> {
    (0..=last_processor()).collect()
}

fn in_kernel(peer: &Peer, effort: Effort) -> Result<Vec<Row>> {
    let mut pair = Pair::build(processors().len(), peer.receive)?;
    let members = nexus0_common::maps::MAX_PEERS as u32;
    let flood = frames::forgeries(&frames::key(), members);
    let generator = pair.generator()?;
    let sink = pair.own.within(|| verifier::socket(Some(BUFFER)))??;
    let (one, _) = flood.split_at(flood.len() / 8);
    if peer.receive == Receive::Stack {
        // Frames do arrive where nobody refuses them.
        let arrived = arrivals(&pair, &generator, &sink, one)?;
        ensure!(
            arrived == one.len(),
            "{arrived} of {} frames arrive",
            one.len()
        );
    }
    let mut placed = peer.put(&mut pair)?;
    let arrived = arrivals(&pair, &generator, &sink, one)?;
    let expected = if peer.refuses { 0 } else { one.len() };
    ensure!(
        arrived == expected,
        "{}: {arrived} of {} forged frames arrive, not {expected}",
        peer.name,
        one.len()
    );
    let nanoseconds = pair
        .attacker
        .within(|| rotate(&generator, &flood, effort.batches))??;
    let all = Flood {
        pair: &pair,
        generator: &generator,
        frames: &flood,
        processors: &processors(),
        pace: Pace::Flat,
    };
    let all = all.rate(effort.flood, || Ok(interface::counters_of(INTERFACE)?.sent))?;
    let row = |frames: &str, nanoseconds: u64, all: Option<f64>| Row {
        name: peer.name.into(),
        place: peer.place.into(),
        command: placed.command.clone(),
        frames: frames.into(),
        nanoseconds: Some(nanoseconds),
        per_second: 1e9 / nanoseconds as f64,
        per_second_all: all,
        share_of_drop: 0.0,
    };
    let mut rows = vec![row(FORGED, nanoseconds, Some(all))];
    if let Some(world) = &mut placed.filter {
        let nanoseconds = valid(&pair, &generator, world, effort.batches)?;
        rows.push(row(VALID, nanoseconds, None));
    }
    Ok(rows)
}

/// A flood that goes on while something is read.
pub(crate) struct Flood<'a> {
    pub(crate) pair: &'a Pair,
    pub(crate) generator: &'a Generator,
    pub(crate) frames: &'a [Vec<u8>],
    pub(crate) processors: &'a [usize],
    pub(crate) pace: Pace,
}

impl Flood<'_> {
    /// Does something in the attacker's namespace while the flood goes on.
    pub(crate) fn during<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let stop = AtomicBool::new(false);
        let bounds = Bounds {
            frames: u64::MAX,
            duration: LONGEST,
        };
        self.pair.attacker.within(|| {
            thread::scope(|scope| {
                let pump = scope.spawn(|| {
                    self.generator
                        .pump(self.frames, self.processors, self.pace, bounds, &stop)
                });
                let done = work();
                stop.store(true, Ordering::Relaxed);
                pump.join().map_err(|_| anyhow!("the flood panicked"))??;
                done
            })
        })?
    }

    /// How much a counter rises a second, read in the attacker's namespace once the flood is at its height.
    pub(crate) fn rate(
        &self,
        window: Duration,
        counter: impl Fn() -> Result<u64> + Send,
    ) -> Result<f64> {
        self.during(|| risen(window, counter))
    }
}

fn risen(window: Duration, counter: impl Fn() -> Result<u64>) -> Result<f64> {
    thread::sleep(RUN_UP);
    let (before, start) = (counter()?, Instant::now());
    thread::sleep(window);
    let risen = counter()? - before;
    Ok(risen as f64 / start.elapsed().as_secs_f64())
}

/// How many of the frames, sent once each, a socket gets.
fn arrivals(
    pair: &Pair,
    generator: &Generator,
    sink: &UdpSocket,
    frames: &[Vec<u8>],
) -> Result<usize> {
    pair.attacker.within(|| {
        let templates = Templates::load(frames, Pace::Flat, u64::MAX)?;
        generator.send_from(&templates, frames.len() as u32)
    })??;
    let mut buffer = [0; 2048];
    let mut count = 0;
    while sink.recv(&mut buffer).is_ok() {
        count += 1;
    }
    Ok(count)
}

/// Least nanoseconds per frame, on the last processor.
fn rotate(generator: &Generator, frames: &[Vec<u8>], batches: u32) -> Result<u64> {
    pin_to(last_processor())?;
    let templates = Templates::load(frames, Pace::Flat, u64::MAX)?;
    let mut least = u64::MAX;
    for _ in 0..batches {
        let mean = generator.send_from(&templates, BATCH)?;
        least = least.min(mean.unwrap_or(u64::MAX));
    }
    Ok(least)
}

/// The same with frames that are all accepted: each batch anew, every frame once.
fn valid(pair: &Pair, generator: &Generator, world: &mut World, batches: u32) -> Result<u64> {
    let flood = genuine();
    let mut least = u64::MAX;
    for _ in 0..batches.div_ceil(4) {
        world.forget()?;
        let before = world.count(Verdict::Accepted)?;
        let mean = pair.attacker.within(|| {
            pin_to(last_processor())?;
            let templates = Templates::load(&flood, Pace::Flat, u64::MAX)?;
            generator.send_from(&templates, flood.len() as u32)
        })??;
        let accepted = world.count(Verdict::Accepted)? - before;
        ensure!(
            accepted == flood.len() as u64,
            "{accepted} of {} valid frames are accepted",
            flood.len()
        );
        least = least.min(mean.unwrap_or(u64::MAX));
    }
    Ok(least)
}

pub(crate) fn genuine() -> Vec<Vec<u8>> {
    let key = frames::key();
    let sequences =
        (0..SEQUENCES).flat_map(|sequence| (0..SENDERS).map(move |member| (member, sequence)));
    sequences
        .map(|(member, sequence)| Genuine::probe(member, sequence).frame(&key, 1, &[]))
        .collect()
}
