//! `nexus0 lab`: a mesh on this machine, and everything thrown at it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::ValueEnum;
use nix::libc;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

use super::Failure;
use super::options::duration;
use super::run::Rx;
use crate::flood::Rate;
use crate::lab::door;
use crate::lab::options::{OneWay, Options, Profile};
use crate::lab::report;
use crate::lab::story;

/// Options of `lab`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Nodes, 2 to 100
    #[arg(long, default_value_t = 5)]
    nodes: usize,
    /// Pulse and epoch: default (500 ms, 10 s), fast (200 ms, 4 s) or
    /// full-timers (5 s, 60 s)
    #[arg(long, value_enum, default_value = "default", hide_default_value = true)]
    #[arg(hide_possible_values = true, verbatim_doc_comment)]
    profile: Timers,
    /// Time between pulses, instead of the profile's
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pulse: Option<Duration>,
    /// Life of an epoch key, instead of the profile's
    #[arg(long, value_name = "TIME", value_parser = duration)]
    epoch: Option<Duration>,
    /// For how long a living anchor is safe from a higher ego
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "30s")]
    hold_down: Duration,
    /// Time between fresh secrets, 0s (with every epoch) to 24h
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "1h")]
    rekey: Duration,
    /// An open mesh: no grants, egos up to 50, and everything says OPEN
    #[arg(long, conflicts_with = "door_flood")]
    open: bool,
    /// When to end: a number of seconds, or with a unit [default: Ctrl-C]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    duration: Option<Duration>,
    /// Where to write what was found, as JSON
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    /// Frames a second, max or off
    #[arg(long, default_value = "max", value_parser = flood)]
    flood: Flood,
    /// Ordinary nodes to restart, to time their joining
    #[arg(long, default_value_t = 5)]
    joins: usize,
    /// Instead: so many more nodes, joining at the same instant
    #[arg(long)]
    at_once: bool,
    /// Leave the anchor alone
    #[arg(long)]
    no_kill: bool,
    /// How often the anchor's controller is killed
    #[arg(long, default_value_t = 1, conflicts_with = "no_kill")]
    kills: usize,
    /// How long the killed anchor stays away
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2s")]
    restart_after: Duration,
    /// Keep a killed node's state, as systemd's descriptor store does
    #[arg(long)]
    store: bool,
    /// How often the link is cut in two [default: once if --cut]
    #[arg(long)]
    cuts: Option<usize>,
    /// How long each cut lasts [default: 20s]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    cut: Option<Duration>,
    /// How long the link is whole after each cut
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "20s")]
    heal: Duration,
    /// Cut off the anchor alone: mute (not heard) or deaf (hears nobody)
    #[arg(long, value_enum, hide_possible_values = true)]
    one_way: Option<Direction>,
    /// Percent of all deliveries to lose
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    loss: f64,
    /// Give all nodes the same ego
    #[arg(long)]
    equal_egos: bool,
    /// Filters behind the driver instead of in it, for comparison
    #[arg(long)]
    generic: bool,
    /// How frames come in: af-xdp is past the stack
    #[arg(long, value_enum, default_value = "socket")]
    #[arg(hide_possible_values = true)]
    rx: Rx,
    #[command(flatten)]
    siege: Siege,
}

/// A siege of the door, instead of everything else.
#[derive(clap::Args)]
struct Siege {
    /// Time joins while a crowd knocks: strangers, who replay what they
    /// recorded, or an insider, who knows the mesh id
    #[arg(long, value_enum, value_name = "WHO")]
    #[arg(hide_possible_values = true, verbatim_doc_comment)]
    door_flood: Option<Crowd>,
    /// Addresses the crowd comes from
    #[arg(long, default_value_t = 100_000, requires = "door_flood")]
    sources: u64,
    /// Frames a second, one measure for each
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "1000,10000,50000",
        requires = "door_flood"
    )]
    rates: Vec<u64>,
    /// Nodes that join at the same time
    #[arg(long, default_value_t = 1, requires = "door_flood")]
    at_a_time: usize,
}

#[derive(Clone, Copy, ValueEnum)]
enum Crowd {
    Strangers,
    Insider,
}

#[derive(Clone, Copy, ValueEnum)]
enum Timers {
    #[value(name = "default")]
    Watchable,
    Fast,
    #[value(name = "full-timers")]
    Real,
}

#[derive(Clone, Copy, ValueEnum)]
enum Direction {
    Mute,
    Deaf,
}

#[derive(Clone, Copy)]
struct Flood(Option<Rate>);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let options = options(args);
    options
        .check()
        .map_err(|error| Failure::usage(error.to_string()))?;
    if !nix::unistd::geteuid().is_root() {
        return Err(Failure::Permission(
            "a lab makes network namespaces and loads filters: run it as root".into(),
        ));
    }
    catch_interrupts()?;
    if let Some(crowd) = args.siege.door_flood {
        return besiege(args, crowd, options);
    }
    let file = options.summary.clone();
    let summary = story::run(options, &INTERRUPTED)?;
    print!("{}", report::words(&summary));
    if let Some(file) = file {
        summary.save(&file)?;
    }
    match summary.unmet() {
        0 => Ok(()),
        count => Err(Failure::Other(anyhow::anyhow!(
            "{count} of {} demands are not met: see above",
            summary.demands.len()
        ))),
    }
}

fn besiege(args: &Args, crowd: Crowd, options: Options) -> Result<(), Failure> {
    let siege = door::Siege {
        side: match crowd {
            Crowd::Strangers => door::Side::Strangers,
            Crowd::Insider => door::Side::Insider,
        },
        sources: args.siege.sources,
        rates: args.siege.rates.clone(),
        joins: args.joins,
        at_a_time: args.siege.at_a_time,
    };
    let report = door::run(options, &siege, &INTERRUPTED, &mut |text| {
        eprintln!("{text}");
    })?;
    print!("{}", report.words());
    if let Some(file) = &args.summary {
        let text = serde_json::to_string_pretty(&report).map_err(anyhow::Error::from)?;
        std::fs::write(file, text).map_err(anyhow::Error::from)?;
    }
    if report.met() {
        return Ok(());
    }
    Err(Failure::Other(anyhow::anyhow!(
        "not what is demanded: no member's frame lost, and while strangers knock everybody joins, p99 below 500 ms"
    )))
}

fn options(args: &Args) -> Options {
    let profile = match args.profile {
        Timers::Watchable => Profile::Default,
        Timers::Fast => Profile::Fast,
        Timers::Real => Profile::FullTimers,
    };
    let (pulse, epoch) = profile.timers();
    Options {
        nodes: args.nodes,
        profile,
        pulse: args.pulse.unwrap_or(pulse),
        epoch: args.epoch.unwrap_or(epoch),
        hold_down: args.hold_down,
        rekey: args.rekey,
        open: args.open,
        duration: args.duration,
        summary: args.summary.clone(),
        flood: args.flood.0,
        joins: args.joins,
        at_once: args.at_once,
        kills: if args.no_kill { 0 } else { args.kills },
        restart_after: args.restart_after,
        store: args.store,
        cuts: args.cuts.unwrap_or(usize::from(args.cut.is_some())),
        cut: args.cut.unwrap_or(Duration::from_secs(20)),
        heal: args.heal,
        one_way: args.one_way.map(|direction| match direction {
            Direction::Mute => OneWay::Mute,
            Direction::Deaf => OneWay::Deaf,
        }),
        loss: args.loss,
        sieve: false,
        equal_egos: args.equal_egos,
        generic: args.generic,
        receive: args.rx.into(),
        program: None,
    }
}

/// The first Ctrl-C ends the lab in order; the second ends it at once.
fn catch_interrupts() -> Result<(), Failure> {
    let action = SigAction::new(
        SigHandler::Handler(interrupted),
        SaFlags::SA_RESETHAND,
        SigSet::empty(),
    );
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        // SAFETY: the handler stores to an atomic and does nothing else.
        unsafe { sigaction(signal, &action) }.map_err(|error| anyhow::anyhow!(error))?;
    }
    Ok(())
}

extern "C" fn interrupted(_: libc::c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) => Ok(Duration::from_secs(seconds)),
        Err(_) => duration(text),
    }
}

fn flood(text: &str) -> Result<Flood, String> {
    Ok(Flood(match text {
        "off" => None,
        "max" => Some(Rate::Max),
        number => {
            Some(Rate::PerSecond(number.parse().map_err(|_| {
                "allowed: off, max or frames a second".to_owned()
            })?))
        }
    }))
}
