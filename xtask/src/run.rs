//! `cargo xtask run`: a mesh on this machine, or a node on a real interface.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{cmd, paths, setup};

/// Options of `run`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Passed on as they are: to `nexus0 run` if `--iface` is among them, else to `nexus0 lab`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<OsString>,
}

/// Builds, then becomes `nexus0`, so that signals reach it.
pub(crate) fn run(args: &Args) -> Result<()> {
    setup::ensure()?;
    let binary = build()?;
    let error = as_root(&binary)
        .arg(verb(&args.arguments))
        .args(&args.arguments)
        .exec();
    Err(error).with_context(|| format!("cannot start {}", binary.display()))
}

fn build() -> Result<std::path::PathBuf> {
    let mut cargo = cmd::cargo();
    cargo
        .current_dir(paths::root())
        .args(["build", "--release", "--locked", "-p", "nexus0"]);
    cmd::run(&mut cargo)?;
    Ok(paths::target()?.join("release/nexus0"))
}

fn verb(arguments: &[OsString]) -> &'static str {
    let names_interface = |word: &OsString| {
        let word = word.to_string_lossy();
        word == "--iface" || word.starts_with("--iface=")
    };
    if arguments.iter().any(names_interface) {
        "run"
    } else {
        "lab"
    }
}

/// `binary`, through sudo where this process is not root.
pub(crate) fn as_root(binary: &Path) -> Command {
    if cmd::is_root() {
        return Command::new(binary);
    }
    eprintln!("loading a filter into the kernel needs root: sudo may ask for your password");
    let mut command = Command::new("sudo");
    command.arg("-E").arg(binary);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn an_interface_means_a_node_and_nothing_means_a_lab() {
        assert_eq!(verb(&words("")), "lab");
        assert_eq!(verb(&words("--duration 5")), "lab");
        assert_eq!(verb(&words("--observe --iface eth0")), "run");
        assert_eq!(verb(&words("--iface=eth0")), "run");
    }
}
