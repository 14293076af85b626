//! `cargo xtask lint`: formatting, clippy, the table of requirements, licences.

use std::process::{Command, Stdio};

use anyhow::Result;

use crate::{claims, cmd, paths, setup};

/// Fails on the first thing that is not as it should be.
pub(crate) fn run() -> Result<()> {
    setup::ensure()?;
    cmd::run(cargo().args(["fmt", "--all", "--check"]))?;
    cmd::run(
        cargo()
            .args([
                "clippy",
                "--release",
                "--locked",
                "--workspace",
                "--exclude",
                "nexus0-ebpf",
            ])
            .args(["--all-targets", "--", "--deny", "warnings"]),
    )?;
    claims::check()?;
    deny()
}

/// Bans, licences and sources. Advisories change without us, so they are not part of a test.
fn deny() -> Result<()> {
    let probe = cargo()
        .args(["deny", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("licences not checked: `cargo install --locked cargo-deny` would let me");
        return Ok(());
    }
    cmd::run(cargo().args(["deny", "--locked", "check", "bans", "licenses", "sources"]))
}

fn cargo() -> Command {
    let mut cargo = cmd::cargo();
    cargo.current_dir(paths::root());
    cargo
}
