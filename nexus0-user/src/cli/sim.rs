//! `nexus0 sim`: the same protocol on a simulated link, with every fault and an oracle for each promise.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use nexus0_core::node::NodeConfig;
use nexus0_core::sabotage::Sabotage;
use nexus0_core::sim::{Conditions, Report};

use super::options::duration;
use super::{Failure, print};
use crate::sim::many::run_all;
use crate::sim::outcome::Outcome;
use crate::sim::scenario::{Scenario, nearest, per_mille};
use crate::sim::settings::{Rates, Settings};
use crate::sim::{story, svg};

/// Most nodes: what a roster holds.
const MOST_NODES: usize = 1024;
/// Violations shown in words.
const SHOWN: usize = 10;

/// Options of `sim`.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Nodes, 2 to 1024
    #[arg(long, default_value_t = 5)]
    nodes: usize,
    /// Egos, one for each node: 90,50,50 [default: 90 and falling]
    #[arg(long, value_name = "EGO,..", value_delimiter = ',')]
    egos: Option<Vec<u8>>,
    /// Everything random follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs, each with the next seed
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Simulated hours of each run [default: the story's, or 0.25]
    #[arg(long)]
    hours: Option<f64>,
    /// Frames lost, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    loss: f64,
    /// Frames that come twice, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    dup: f64,
    /// How much longer than unicast multicast may take, such as 200ms
    #[arg(long, value_name = "TIME", value_parser = duration)]
    reorder: Option<Duration>,
    /// Partitions an hour
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    partition: f64,
    /// Crashes an hour
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    crash: f64,
    /// Supervisors keep snapshots: a crashed controller goes on from its own
    #[arg(long, conflicts_with = "swarm")]
    store: bool,
    /// Hosts expelled by the root, an hour
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    revoke: f64,
    /// Clocks run up to this much wrong, in parts per million
    #[arg(long, value_name = "PPM", default_value_t = 0)]
    drift: u32,
    /// Hosts that sleep, an hour
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    suspend: f64,
    /// Deeds of strangers a minute, and lies of members an hour
    #[arg(long, value_name = "RATE", default_value_t = 0)]
    hostile: u32,
    /// Time between pulses
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5s")]
    pulse: Duration,
    /// Life of an epoch key
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "60s")]
    epoch: Duration,
    /// Kill the anchor once, half-way; it comes back twelve pulses later
    #[arg(long)]
    kill_anchor: bool,
    /// Each seed draws nodes, link and faults, then must heal
    #[arg(long)]
    swarm: bool,
    /// A mesh and timed steps, as in docs/scenarios
    #[arg(long, value_name = "FILE", conflicts_with_all = ["swarm", "egos"])]
    scenario: Option<PathBuf>,
    /// Plant a fault in the nodes, which an oracle must notice
    #[arg(long, value_name = "NAME")]
    sabotage: Option<String>,
    /// Check every signature and tag anew instead of remembering them
    #[arg(long)]
    real: bool,
    /// Run each seed twice and compare the hashes
    #[arg(long)]
    twice: bool,
    /// Print JSON with a schema number
    #[arg(long)]
    json: bool,
    /// Draw who followed whom, and the faults
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Threads [default: one for each processor]
    #[arg(long)]
    jobs: Option<usize>,
}

const EXAMPLES: &str = "\
Examples:
  nexus0 sim
  nexus0 sim --nodes 50 --kill-anchor
  nexus0 sim --hours 1 --loss 10 --crash 20 --partition 10 --svg hour.svg
  nexus0 sim --swarm --seeds 2000 --json
  nexus0 sim --scenario docs/scenarios/split-and-heal.toml";

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let settings = settings(args)?;
    let seeds = seeds(args)?;
    let alone = args.seeds == 1;
    let jobs = args.jobs.unwrap_or_else(processors).max(1);
    let started = Instant::now();
    let timeline = alone && (args.svg.is_some() || !args.json);
    let reports = run_all(seeds, jobs, args.twice, |seed| {
        settings.plan(seed, timeline)
    });
    let outcome = Outcome::of(&reports, started.elapsed());
    if let (Some(file), [report]) = (&args.svg, reports.as_slice()) {
        fs::write(file, svg::picture(report))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    if args.json {
        print::json(&outcome);
    } else {
        print::data(&words(&settings, &reports, &outcome));
    }
    for seed in &outcome.violated_seeds {
        eprintln!("replay: {}", replay(*seed));
    }
    if outcome.violations > 0 {
        return Err(Failure::Degraded);
    }
    Ok(())
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn seeds(args: &Args) -> Result<std::ops::Range<u64>, Failure> {
    let end = args.seed.checked_add(args.seeds);
    let Some(end) = end.filter(|_| args.seeds > 0) else {
        return Err(Failure::usage(format!(
            "--seeds {} from --seed {}: allowed are 1 and more, below 2^64 in all",
            args.seeds, args.seed
        )));
    };
    if args.svg.is_some() && args.seeds > 1 {
        return Err(Failure::usage("--svg draws one seed: leave --seeds out"));
    }
    Ok(args.seed..end)
}

fn settings(args: &Args) -> Result<Settings, Failure> {
    let mut settings = Settings {
        egos: egos(args)?,
        length: length(args)?,
        config: NodeConfig {
            pulse: args.pulse,
            epoch: args.epoch,
            ..NodeConfig::default()
        },
        link: Conditions {
            loss: per_mille("--loss", Some(args.loss)).map_err(Failure::usage)?,
            duplication: per_mille("--dup", Some(args.dup)).map_err(Failure::usage)?,
            delay: (1, 5),
            reorder: args.reorder.unwrap_or_default().as_millis() as u64,
        },
        drift: args.drift,
        store: args.store,
        rates: Rates {
            partitions: rate("--partition", args.partition)?,
            crashes: rate("--crash", args.crash)?,
            suspends: rate("--suspend", args.suspend)?,
            strangers: args.hostile,
            lies: f64::from(args.hostile),
            revocations: rate("--revoke", args.revoke)?,
        },
        kill_anchor: args.kill_anchor,
        swarm: args.swarm,
        name: None,
        scenario: None,
        sabotage: args.sabotage.as_deref().map(sabotage).transpose()?,
        real: args.real,
    };
    if let Some(file) = &args.scenario {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let read = scenario(&mut settings, &text);
        read.map_err(|what| Failure::usage(format!("{}: {}", file.display(), what.trim_end())))?;
    }
    let checked = settings.config.check();
    checked.map_err(|error| Failure::usage(error.to_string()))?;
    if settings.drift > 10_000 {
        return Err(Failure::usage("the drift is above 10000 parts per million"));
    }
    Ok(settings)
}

fn egos(args: &Args) -> Result<Vec<u8>, Failure> {
    let egos = args.egos.clone().unwrap_or_else(|| falling(args.nodes));
    sound(&egos).map_err(Failure::usage)?;
    Ok(egos)
}

/// 90 and falling, so that the first is the anchor and the second its heir.
fn falling(nodes: usize) -> Vec<u8> {
    (0..nodes)
        .map(|node| 90 - (node * 10 / 9).min(80) as u8)
        .collect()
}

fn sound(egos: &[u8]) -> Result<(), String> {
    if !(2..=MOST_NODES).contains(&egos.len()) {
        return Err(format!(
            "{} nodes: allowed are 2 to {MOST_NODES}",
            egos.len()
        ));
    }
    match egos.iter().find(|ego| **ego > 100) {
        Some(ego) => Err(format!("ego {ego}: allowed are 0 to 100")),
        None => Ok(()),
    }
}

fn length(args: &Args) -> Result<Duration, Failure> {
    let hours = args.hours.unwrap_or(0.0);
    if args.hours.is_some() && !(hours > 0.0 && hours <= 10_000.0) {
        return Err(Failure::usage(format!(
            "--hours {hours}: allowed is more than 0, at most 10000"
        )));
    }
    Ok(Duration::from_secs_f64(hours * 3600.0))
}

fn rate(option: &str, rate: f64) -> Result<f64, Failure> {
    if (0.0..=3600.0).contains(&rate) {
        return Ok(rate);
    }
    Err(Failure::usage(format!(
        "{option} {rate}: allowed are 0 to 3600 an hour"
    )))
}

fn sabotage(name: &str) -> Result<Sabotage, Failure> {
    let names = || Sabotage::ALL.iter().map(|kind| kind.name());
    let Some(kind) = Sabotage::from_name(name) else {
        let near =
            nearest(name, names()).map_or(String::new(), |near| format!("; did you mean {near}?"));
        let all: Vec<&str> = names().collect();
        return Err(Failure::usage(format!(
            "there is no sabotage {name:?}{near}\nallowed: {}",
            all.join(", ")
        )));
    };
    if !Sabotage::available() {
        return Err(Failure::usage(
            "this build cannot plant faults, as no production build can: build with\n\
             `cargo build --release --locked -p nexus0 --features sabotage`",
        ));
    }
    Ok(kind)
}

fn scenario(settings: &mut Settings, text: &str) -> Result<(), String> {
    let scenario = Scenario::parse(text)?;
    let time = |key, text: &Option<String>, otherwise| {
        let text = text.as_deref();
        text.map_or(Ok(otherwise), |text| crate::sim::scenario::time(key, text))
    };
    settings.egos = match (&scenario.egos, scenario.nodes) {
        (Some(egos), None) => egos.clone(),
        (None, nodes) => falling(nodes.unwrap_or(5)),
        (Some(_), Some(_)) => return Err("`egos` and `nodes`: one of them says how many".into()),
    };
    sound(&settings.egos)?;
    settings.config.pulse = time("pulse", &scenario.pulse, settings.config.pulse)?;
    settings.config.epoch = time("epoch", &scenario.epoch, settings.config.epoch)?;
    settings.length = crate::sim::scenario::time("length", &scenario.length)?;
    settings.drift = scenario.drift.unwrap_or(settings.drift);
    settings.store |= scenario.store;
    settings.link = scenario.link.conditions()?;
    settings.name.clone_from(&scenario.name);
    let steps = scenario.steps(settings.egos.len())?;
    settings.scenario = Some((steps, scenario.ending));
    Ok(())
}

/// The command that runs one seed of this again.
fn replay(seed: u64) -> String {
    let mut words = vec!["nexus0".to_owned()];
    let mut skip = false;
    for word in std::env::args().skip(1) {
        let name = word.split('=').next().unwrap_or_default();
        let replaced = ["--seed", "--seeds", "--jobs", "--svg"].contains(&name);
        if !skip && !replaced && word != "--json" {
            words.push(word.clone());
        }
        skip = replaced && !word.contains('=');
    }
    format!("{} --seed {seed}", words.join(" "))
}

fn words(settings: &Settings, reports: &[Report], outcome: &Outcome) -> String {
    let mut text = String::new();
    if let [report] = reports {
        if let Some(name) = &settings.name {
            let _ = write!(text, "{name}: ");
        }
        let _ = writeln!(
            text,
            "{} nodes, seed {}, pulse {:?}, epoch {:?}\n",
            report.hosts, report.seed, settings.config.pulse, settings.config.epoch
        );
        text += &story::words(report);
        text.push('\n');
    }
    for violation in outcome.violated.iter().take(SHOWN) {
        let host = violation
            .node
            .map_or(String::new(), |node| format!(" node-{node}"));
        let at = violation.at as f64 / 1000.0;
        let first = format!(
            "VIOLATED {} at {at:.3} s, seed {}{host}:",
            violation.oracle, violation.seed
        );
        text += &print::wrapped("", &format!("{first} {}", violation.what));
    }
    text += &print::table(&figures(outcome));
    text
}

fn figures(outcome: &Outcome) -> Vec<Vec<String>> {
    let tally = &outcome.tally;
    let faults: u64 = tally.faults.values().sum();
    let (met, all) = (tally.fault_pairs.len(), tally.possible_pairs());
    let faults = if outcome.seeds > 1 {
        format!("{faults}, {met} of {all} pairs of kinds in one run")
    } else {
        faults.to_string()
    };
    let rows = [
        ("seeds", outcome.seeds.to_string()),
        (
            "simulated",
            format!(
                "{:.3} h, {} times real time",
                outcome.mesh_hours, outcome.speed
            ),
        ),
        ("faults", faults),
        ("anchor changes", tally.anchor_changes.to_string()),
        ("turns", tally.turns.to_string()),
        ("merges", tally.merges.to_string()),
        ("joins", tally.joins.to_string()),
        (
            "frames",
            format!("{} sent, {} judged", tally.frames, tally.judged),
        ),
        ("violations", outcome.violations.to_string()),
        ("hash", outcome.hash.clone()),
    ];
    rows.into_iter()
        .map(|(name, value)| vec![name.to_owned(), value])
        .collect()
}
