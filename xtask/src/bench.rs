//! `cargo xtask bench`: the measurements.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};

use crate::{apt, cmd, paths, run, setup};

/// What the filter is measured beside: the program, and the Debian package that has it.
const PEERS: [(&str, &str); 3] = [
    ("xdp-filter", "xdp-tools"),
    ("nft", "nftables"),
    ("tc", "iproute2"),
];

/// Options of `bench`.
#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Args {
    /// --quick, --only PART, --json FILE, --write; passed on as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Builds the benches package and becomes it, so that Ctrl-C reaches it alone.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure()?;
    peers();
    let mut build = cmd::cargo();
    build.current_dir(paths::root());
    build.args([
        "build",
        "--release",
        "--locked",
        "-p",
        "nexus0-benches",
        "-p",
        "nexus0",
    ]);
    cmd::run(&mut build)?;
    let program = paths::target()?.join("release/nexus0-benches");
    let error = run::as_root(&program).args(&args.arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", program.display()))
}

/// Installs what is missing where that can be done; the bench says what still is.
fn peers() {
    for (program, package) in PEERS {
        let packages = [package.to_owned()];
        let can = cmd::find(program).is_none() && cmd::is_root() && apt::offers(&packages);
        if can && let Err(error) = apt::install(&packages, "the filter is measured beside it") {
            eprintln!("warning: {error:#}");
        }
    }
}
