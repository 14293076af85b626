//! `cargo xtask bench`: the measurements.

use std::ffi::OsString;

use anyhow::Result;

use crate::{cmd, paths, setup};

/// Options of `bench`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Passed on as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Builds and runs the benches package.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure()?;
    let mut cargo = cmd::cargo();
    cargo
        .current_dir(paths::root())
        .args(["run", "--release", "--locked", "-p", "nexus0-benches", "--"])
        .args(&args.arguments);
    cmd::run(&mut cargo)
}
