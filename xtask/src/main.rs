//! The chores of NEXUS-0: set up, run, test, measure.

mod apt;
mod bench;
mod claims;
mod cmd;
mod linker;
mod lint;
mod paths;
mod probe;
mod run;
mod setup;
mod test;
mod toolchain;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The chores of NEXUS-0.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Find or install the eBPF compiler and linker; does nothing the second time
    Setup(setup::Args),
    /// Set up, build, and start a mesh on this machine (or a node on `--iface IF`)
    Run(run::Args),
    /// Set up, check the style, and run every test
    Test(test::Args),
    /// Formatting, clippy and, where cargo-deny is installed, licences and sources
    Lint,
    /// Set up, build, and run the measurements
    Bench(bench::Args),
}

fn main() -> ExitCode {
    let done = match Cli::parse().verb {
        Verb::Setup(args) => setup::run(&args),
        Verb::Run(args) => run::run(&args),
        Verb::Test(args) => test::run(&args),
        Verb::Lint => lint::run(),
        Verb::Bench(args) => bench::run(&args),
    };
    let Err(error) = done else {
        return ExitCode::SUCCESS;
    };
    eprintln!("xtask: {error:#}");
    ExitCode::FAILURE
}
