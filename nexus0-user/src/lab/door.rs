//! Joins while a crowd knocks at the door: how long they take, and what the members lose.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nexus0_common::reason::Verdict;
use nexus0_core::id::MeshId;
use serde::Serialize;

use crate::flood::Capture;
use crate::flood::Cast;
use crate::flood::crowd::{Crowd, Who};
use crate::flood::forge::{self, door_key};
use crate::lab::flooder::signer;
use crate::lab::interface;
use crate::lab::load::last_processor;
use crate::lab::options::Options;
use crate::lab::process::pin_to;
use crate::lab::running::Lab;
use crate::lab::summary::Spread;
use crate::lab::topology::{INTERFACE, Topology};

/// Version of [`Report`].
pub const SCHEMA: u32 = 1;
/// A join that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(10);
/// An anchor answers a node once in two seconds.
const REST: Duration = Duration::from_millis(2_200);
/// Demanded of joins while strangers knock, in milliseconds.
const MOST_MS: f64 = 500.0;

/// Whose crowd it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// They hear the link and know nothing.
    Strangers,
    /// They know the mesh id.
    Insider,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Siege {
    /// Who knocks.
    pub side: Side,
    /// Different source addresses.
    pub sources: u64,
    /// Frames a second, one measure for each.
    pub rates: Vec<u64>,
    /// Nodes that join in each measure.
    pub joins: usize,
    /// How many of them at a time.
    pub at_a_time: usize,
}

/// One measure.
#[derive(Clone, Debug, Serialize)]
pub struct Measure {
    /// Frames a second asked for; zero is the measure without a crowd.
    pub rate: u64,
    /// Frames a second sent.
    pub sent_rate: f64,
    /// Those who joined.
    pub join_ms: Spread,
    /// Those who did not within ten seconds, or started a mesh of their own meanwhile.
    pub failed: usize,
    /// What all filters said, by verdict, where it is about the door.
    pub door: BTreeMap<&'static str, u64>,
    /// Beacons that anchors sent because frames were refused.
    pub extra_beacons: u64,
}

/// Everything found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Nodes in the mesh.
    pub nodes: usize,
    /// Who knocked.
    pub side: Side,
    /// Their addresses.
    pub sources: u64,
    /// Joins at a time.
    pub at_a_time: usize,
    /// Without a crowd first, then by rate.
    pub measures: Vec<Measure>,
    /// Frames between two members, both there for the whole epoch, that were never accepted.
    pub valid_lost: u64,
    /// Frames compared for it.
    pub valid_compared: u64,
    /// Copies of frames lost in queues.
    pub queue_lost: i64,
    /// Joins while strangers knocked, all measures together.
    pub under_siege_ms: Spread,
}

impl Report {
    /// Whether everything demanded was met. Of an insider's crowd nothing is demanded but the members' frames.
    pub fn met(&self) -> bool {
        let failed: usize = self.measures.iter().map(|measure| measure.failed).sum();
        let p99 = self.under_siege_ms.p99.is_some_and(|p99| p99 < MOST_MS);
        self.valid_lost == 0 && (self.side == Side::Insider || (failed == 0 && p99))
    }

    /// A table of at most 80 columns.
    pub fn words(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(
            text,
            "{:>9} {:>9} {:>6} {:>7} {:>9} {:>9} {:>9} {:>8}",
            "asked/s", "sent/s", "joins", "failed", "p50 ms", "p99 ms", "longest", "beacons"
        );
        for measure in &self.measures {
            let time = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.1}"));
            let joins = &measure.join_ms;
            let _ = writeln!(
                text,
                "{:>9} {:>9.0} {:>6} {:>7} {:>9} {:>9} {:>9} {:>8}",
                measure.rate,
                measure.sent_rate,
                joins.count,
                measure.failed,
                time(joins.p50),
                time(joins.p99),
                time(joins.max),
                measure.extra_beacons
            );
        }
        let _ = writeln!(
            text,
            "members' frames lost: {} of {} ({} copies lost in queues)",
            self.valid_lost, self.valid_compared, self.queue_lost
        );
        text
    }
}

/// Runs a lab for one siege.
pub fn run(
    options: Options,
    siege: &Siege,
    interrupted: &AtomicBool,
    say: &mut dyn FnMut(String),
) -> Result<Report> {
    let options = Options {
        flood: None,
        ..options
    };
    let most = joiners(options.nodes);
    ensure!(
        (1..=most).contains(&siege.at_a_time),
        "{} joins at a time are not possible with {} nodes, of which half stay: allowed are 1 to {most}",
        siege.at_a_time,
        options.nodes
    );
    let mut lab = Lab::start(options, say)?;
    let crowd = Besiegers::start(Arc::clone(&lab.topology), lab.mesh.id, siege)?;
    let mut run = Run {
        lab: &mut lab,
        siege,
        next: 0,
        interrupted,
    };
    run.rest(REST)?;
    let mut measures = Vec::new();
    for rate in std::iter::once(0).chain(siege.rates.iter().copied()) {
        if interrupted.load(Ordering::Relaxed) {
            break;
        }
        let measure = run.measure(rate, &crowd)?;
        say(format!(
            "{} frames/s: {} of {} joined",
            rate, measure.0.join_ms.count, siege.joins
        ));
        measures.push(measure);
    }
    crowd.finish()?;
    // An epoch is compared once it is over.
    let whole = Instant::now() + lab.options.epoch + 2 * lab.options.pulse;
    while Instant::now() < whole && !interrupted.load(Ordering::Relaxed) {
        lab.poll()?;
        thread::sleep(Duration::from_millis(250));
    }
    lab.books().close(Cast::Multicast)?;
    let (balance, queue_lost) = (lab.seen.ledger.balance(), lab.books().account().queue_lost);
    let besieged: Vec<f64> = measures
        .iter()
        .skip(1)
        .flat_map(|(_, joins)| joins.iter().copied())
        .collect();
    let report = Report {
        schema: SCHEMA,
        nodes: lab.options.nodes,
        side: siege.side,
        sources: siege.sources,
        at_a_time: siege.at_a_time,
        measures: measures.into_iter().map(|(measure, _)| measure).collect(),
        valid_lost: balance.lost,
        valid_compared: balance.sent,
        queue_lost,
        under_siege_ms: Spread::of(&besieged),
    };
    lab.stop();
    Ok(report)
}

/// Those that join again and again; the others stay, the anchor with the first node's ego among them.
fn joiners(nodes: usize) -> usize {
    nodes / 2
}

struct Run<'a> {
    lab: &'a mut Lab,
    siege: &'a Siege,
    next: usize,
    interrupted: &'a AtomicBool,
}

impl Run<'_> {
    /// Joins at one rate, and how long each took.
    fn measure(&mut self, rate: u64, crowd: &Besiegers) -> Result<(Measure, Vec<f64>)> {
        self.lab
            .wait_until(3 * PATIENCE, "all nodes to agree on one anchor", |lab| {
                lab.agreed().is_some()
            })?;
        let (door, beacons) = (self.door()?, self.extra_beacons());
        crowd.set_rate(rate);
        let (sent, start) = (crowd.sent(), Instant::now());
        let (mut joins, mut failed) = (Vec::new(), 0);
        while joins.len() + failed < self.siege.joins && !self.interrupted.load(Ordering::Relaxed) {
            let left = self.siege.joins - joins.len() - failed;
            let took = self.join(left.min(self.siege.at_a_time))?;
            failed += took.iter().filter(|took| took.is_none()).count();
            joins.extend(took.into_iter().flatten());
            crowd.check()?;
        }
        let seconds = start.elapsed().as_secs_f64();
        let sent_rate = (crowd.sent() - sent) as f64 / seconds.max(1e-3);
        let beacons = self.extra_beacons().saturating_sub(beacons);
        let after = self.door()?;
        crowd.set_rate(0);
        let measure = Measure {
            rate,
            sent_rate,
            join_ms: Spread::of(&joins),
            failed,
            door: after
                .into_iter()
                .map(|(name, count)| (name, count - door.get(name).copied().unwrap_or(0)))
                .collect(),
            extra_beacons: beacons,
        };
        Ok((measure, joins))
    }

    /// Some members lose power and join again, all at once; milliseconds, `None` who did not come in.
    fn join(&mut self, count: usize) -> Result<Vec<Option<f64>>> {
        let nodes = self.lab.nodes.len();
        let chosen: Vec<usize> = (0..count)
            .map(|number| nodes - 1 - (self.next + number) % joiners(nodes))
            .collect();
        self.next += count;
        for index in &chosen {
            self.lab.kill_node(*index);
        }
        let known = self.lab.seen.joins.len();
        for index in &chosen {
            self.lab.start_node(*index)?;
        }
        let lives: Vec<(usize, u32)> = chosen
            .iter()
            .map(|index| (*index, self.lab.nodes[*index].life().restarts))
            .collect();
        let deadline = Instant::now() + PATIENCE;
        while lives
            .iter()
            .any(|(index, restarts)| !self.lab.seen.joined(*index, *restarts))
            && Instant::now() < deadline
        {
            self.lab.poll()?;
            thread::sleep(Duration::from_millis(100));
        }
        let joined = self.lab.seen.joins[known..].to_vec();
        let mut took: Vec<Option<f64>> = joined.into_iter().map(Some).collect();
        took.resize(count, None);
        let rounds = joiners(nodes).div_ceil(self.siege.at_a_time) as u32;
        self.rest(REST / rounds)?;
        Ok(took)
    }

    /// Looks on; whose turn comes next may be answered again then.
    fn rest(&mut self, span: Duration) -> Result<()> {
        let until = Instant::now() + span;
        while Instant::now() < until {
            self.lab.poll()?;
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn extra_beacons(&self) -> u64 {
        self.lab.node_counter("extra_beacons")
    }

    fn door(&self) -> Result<BTreeMap<&'static str, u64>> {
        let counted = [
            Verdict::PreTag,
            Verdict::Tag,
            Verdict::DoorClosed,
            Verdict::DoorRepeat,
            Verdict::DoorSource,
            Verdict::DoorRate,
            Verdict::DoorBound,
            Verdict::Accepted,
        ];
        let mut sums = BTreeMap::new();
        for node in &self.lab.nodes {
            let frames = node.counts()?.frames()?;
            for verdict in counted {
                *sums.entry(verdict.name()).or_default() +=
                    frames.get(verdict as usize).copied().unwrap_or(0);
            }
        }
        Ok(sums)
    }
}

/// The crowd's thread in the attacker's namespace.
struct Besiegers {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Set to end the present rate.
    change: AtomicBool,
    rate: AtomicU64,
    sent: AtomicU64,
    failure: Mutex<Option<String>>,
}

impl Besiegers {
    /// Listens from now on; knocks once a rate is set.
    fn start(topology: Arc<Topology>, mesh: MeshId, siege: &Siege) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let (theirs, siege) = (Arc::clone(&shared), siege.clone());
        let thread = thread::Builder::new().name("crowd".into()).spawn(move || {
            if let Err(error) = knock(&topology, mesh, &siege, &theirs) {
                let mut failure = theirs
                    .failure
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                *failure = Some(format!("{error:#}"));
            }
        })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    fn set_rate(&self, rate: u64) {
        self.shared.rate.store(rate, Ordering::Relaxed);
        self.shared.change.store(true, Ordering::Relaxed);
    }

    fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    fn check(&self) -> Result<()> {
        let failure = self.shared.failure.lock();
        match &*failure.unwrap_or_else(PoisonError::into_inner) {
            Some(failure) => anyhow::bail!("the crowd gave up: {failure}"),
            None => Ok(()),
        }
    }

    fn finish(mut self) -> Result<()> {
        self.halt();
        self.check()
    }

    fn halt(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.change.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Drop for Besiegers {
    fn drop(&mut self) {
        self.halt();
    }
}

fn knock(topology: &Topology, mesh: MeshId, siege: &Siege, shared: &Shared) -> Result<()> {
    let station = &topology.attacker;
    station
        .netns
        .enter()
        .context("cannot enter the attacker's namespace")?;
    let index = interface::index(INTERFACE)?;
    let capture = Capture::start(index)?;
    pin_to(last_processor())?;
    let request = forge::request(station.mac, mesh, signer(mesh))?;
    let who = match siege.side {
        Side::Strangers => Who::Strangers,
        Side::Insider => Who::Insider {
            key: door_key(mesh),
            template: request.clone(),
        },
    };
    let crowd = Crowd::new(index, capture, who, siege.sources, request)?;
    while !shared.stop.load(Ordering::Relaxed) {
        shared.change.store(false, Ordering::Relaxed);
        match shared.rate.load(Ordering::Relaxed) {
            0 => thread::sleep(Duration::from_millis(5)),
            rate => crowd.knock(rate, &shared.change, &shared.sent)?,
        }
    }
    Ok(())
}
