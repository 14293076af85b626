//! `cargo xtask test`: everything that must hold before a change is taken.

use std::env::consts::ARCH;
use std::process::Command;

use anyhow::Result;

use crate::{cmd, lint, paths, setup};

/// Options of `test`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only tests whose name contains this
    filter: Option<String>,
    /// Skip formatting and clippy
    #[arg(long)]
    no_lint: bool,
}

/// Checks the style, then runs unit tests side by side and integration tests, which own
/// namespaces and load filters, one at a time and as root.
///
/// One profile and one choice of packages, so that nothing is compiled twice; but simulated runs must come to
/// the same in a debug build.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure()?;
    if !args.no_lint {
        lint::run()?;
    }
    cmd::run(tests(&["--lib", "--bins"]).arg("--").args(&args.filter))?;
    if args.filter.is_none() {
        cmd::run(&mut replays())?;
    }
    let mut integration = tests(&["--test", "*"]);
    integration
        .args(["--", "--test-threads=1"])
        .args(&args.filter);
    cmd::run(with_root(&mut integration))?;
    cmd::run(tests(&["--doc"]).arg("--").args(&args.filter))
}

/// The release build's part of this ran with the unit tests.
fn replays() -> Command {
    let mut cargo = cmd::cargo();
    cargo.current_dir(paths::root()).args([
        "test",
        "--locked",
        "--package",
        "nexus0-core",
        "--lib",
        "one_hash_in_every_build",
    ]);
    cargo
}

fn tests(which: &[&str]) -> Command {
    let mut cargo = cmd::cargo();
    cargo
        .current_dir(paths::root())
        .args([
            "test",
            "--release",
            "--locked",
            "--no-fail-fast",
            "--workspace",
            "--exclude",
            "nexus0-ebpf",
        ])
        .args(which);
    cargo
}

fn with_root(command: &mut Command) -> &mut Command {
    if cmd::is_root() {
        return command;
    }
    eprintln!("integration tests load filters into the kernel: sudo may ask for your password");
    let triple = format!("{}_UNKNOWN_LINUX_GNU", ARCH.to_uppercase());
    command.env(format!("CARGO_TARGET_{triple}_RUNNER"), "sudo -E")
}
