//! Measurements of NEXUS-0: `cargo xtask bench`.

mod controller;
mod delivery;
mod end_to_end;
mod engine;
mod frames;
mod goodput;
mod host;
mod peers;
mod plot;
mod precedence;
mod report;
mod results;
mod simulated;
mod user_space;
mod verifier;
mod world;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::{env, fs, thread};

use anyhow::{Context, Result, ensure};
use clap::{Parser, ValueEnum};
use nexus0::lab::record;
use nix::sys::signal::{SigSet, Signal};

use engine::Figures;
use precedence::Precedence;
use results::Results;

const FULL: &str = "CAP_BPF + CAP_NET_ADMIN + CAP_PERFMON";
const REDUCED: &str = "CAP_BPF + CAP_NET_ADMIN";

/// The filter and its peers, measured. Needs root.
#[derive(Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Options {
    /// About a minute: shorter, and a peer that is not installed is only named.
    #[arg(long)]
    quick: bool,
    /// Only these parts, separated by commas.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// Peers of the controller that is measured.
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000")]
    sizes: Vec<usize>,
    /// Writes benches/RESULTS.md and the pictures beside it.
    #[arg(long, conflicts_with_all = ["quick", "only"])]
    write: bool,
    /// Writes the figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measures under the capabilities this process has, names them so, prints JSON.
    #[arg(long, hide = true, value_name = "NAME")]
    measure: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The program alone, by BPF_PROG_TEST_RUN.
    Program,
    /// Beside its peers, on a veth pair.
    EndToEnd,
    /// What members get through a flood.
    Goodput,
    /// Datagrams into one thread, by the socket and by AF_XDP.
    Delivery,
    /// One controller with 10, 100 and 1,000 peers, about ten minutes.
    Controller,
}

impl Options {
    fn wants(&self, part: Part) -> bool {
        let all = self.only.is_empty() && !(self.quick && part == Part::Controller);
        all || self.only.contains(&part)
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(name) = &options.measure {
        let figures = engine::measure(name, engine::batches(options.quick))?;
        println!("{}", serde_json::to_string(&figures)?);
        return Ok(());
    }
    ensure!(
        nix::unistd::geteuid().is_root(),
        "loading filters and making namespaces needs root: run it as root"
    );
    record::clear_stale()?;
    let missing = peers::missing();
    ensure!(
        options.quick || missing.is_empty() || !options.wants(Part::EndToEnd),
        "a comparison without its peers is none; missing: {}\n(`--quick` goes without)",
        missing.join("; ")
    );
    let precedence = Arc::new(Precedence::take());
    clear_when_interrupted(Arc::clone(&precedence))?;
    let results = measure(&options, missing);
    precedence.give_back();
    let results = results?;
    print!("{}", report::text(&results));
    if let Some(file) = &options.json {
        fs::write(file, serde_json::to_vec_pretty(&results)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    if options.write {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (name, text) in report::files(&results) {
            let file = folder.join(name);
            fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        }
    }
    Ok(())
}

fn measure(options: &Options, missing: Vec<String>) -> Result<Results> {
    let mut results = Results::new(missing);
    if options.wants(Part::Program) {
        let mut full = under(FULL, "-all,+bpf,+net_admin,+perfmon", options.quick)?;
        let reduced = under(REDUCED, "-all,+bpf,+net_admin", options.quick)?;
        full.rows
            .extend(engine::xdp_filters(engine::batches(options.quick))?);
        results.set_programs(full, reduced);
    }
    if options.wants(Part::EndToEnd) {
        let effort = end_to_end::Effort::new(options.quick);
        results.end_to_end = end_to_end::measure(effort)?;
    }
    if options.wants(Part::Goodput) {
        results.goodput = goodput::measure(options.quick)?;
    }
    if options.wants(Part::Delivery) {
        results.delivery = delivery::measure(options.quick)?;
    }
    if options.wants(Part::Controller) {
        results.controller = controller::measure(&options.sizes)?;
    }
    Ok(results)
}

/// Measures in a process of its own that has only these capabilities.
fn under(name: &str, capabilities: &str, quick: bool) -> Result<Figures> {
    eprintln!("the program alone: {name}");
    let output = Command::new("setpriv")
        .args(["--bounding-set", capabilities, "--inh-caps", capabilities])
        .args(["--ambient-caps", capabilities, "--"])
        .arg(env::current_exe()?)
        .args(["--measure", name])
        .args(quick.then_some("--quick"))
        .output()
        .context("cannot start setpriv (package util-linux)")?;
    ensure!(
        output.status.success(),
        "measuring with {name} failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Takes this process's namespaces away when it is told to end.
fn clear_when_interrupted(precedence: Arc<Precedence>) -> Result<()> {
    let signals = SigSet::from_iter([Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP]);
    signals.thread_block()?;
    thread::Builder::new()
        .name("signals".into())
        .spawn(move || {
            let signal = signals.wait();
            eprintln!("interrupted: clearing up");
            if let Err(error) = record::clear_own() {
                eprintln!("something is left behind: {error:#}");
            }
            precedence.give_back();
            std::process::exit(128 + signal.map_or(0, |signal| signal as i32));
        })?;
    Ok(())
}
