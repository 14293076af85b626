//! Debian and Ubuntu packages.

use std::process::{Command, Stdio};
use std::sync::Once;

use anyhow::{Result, bail};

use crate::cmd;

/// Whether this machine has apt.
pub(crate) fn present() -> bool {
    cmd::find("apt-get").is_some()
}

/// Whether apt could install every one of `packages`, looking again after an update if not.
pub(crate) fn offers(packages: &[String]) -> bool {
    present() && (known(packages) || (update().is_ok() && known(packages)))
}

/// Installs `packages`, saying why first.
pub(crate) fn install(packages: &[String], why: &str) -> Result<()> {
    eprintln!("installing {} with apt: {why}", packages.join(" "));
    let mut command = as_root("apt-get")?;
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args([
            "-qq",
            "-o",
            "Dpkg::Use-Pty=0",
            "install",
            "--yes",
            "--no-install-recommends",
        ])
        .args(packages)
        .stdout(Stdio::null());
    cmd::run(&mut command)
}

fn known(packages: &[String]) -> bool {
    packages.iter().all(|package| {
        cmd::read(Command::new("apt-cache").args(["show", "--no-all-versions", package])).is_ok()
    })
}

fn update() -> Result<()> {
    static ONCE: Once = Once::new();
    let mut result = Ok(());
    ONCE.call_once(|| {
        eprintln!("asking apt for its current list of packages");
        result = as_root("apt-get").and_then(|mut apt| {
            let apt = apt.arg("update").stdout(Stdio::null());
            cmd::run(apt)
        });
    });
    result
}

/// `program` as root: directly, or through sudo, which asks for the password once.
fn as_root(program: &str) -> Result<Command> {
    if cmd::is_root() {
        return Ok(Command::new(program));
    }
    if cmd::find("sudo").is_none() {
        bail!("installing packages needs root and there is no sudo: run this as root");
    }
    eprintln!("{program} needs root: sudo may ask for your password");
    let mut command = Command::new("sudo");
    command.args(["--preserve-env=DEBIAN_FRONTEND", program]);
    Ok(command)
}
