//! Which bpf-linker links the filter: one whose LLVM is not older than the compiler's.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::toolchain::Compiler;
use crate::{apt, cmd, paths, probe};

const VERSION: &str = "0.13.0";
/// The newest LLVM that this bpf-linker knows.
const NEWEST_LLVM: u32 = 23;
const RELEASES: &str = "https://github.com/aya-rs/bpf-linker/releases/download";

/// A bpf-linker that `compiler` can link with; builds or fetches one if there is none.
pub(crate) fn find_or_install(compiler: &Compiler, target: &Path) -> Result<PathBuf> {
    let own = paths::tools(target).join("bin/bpf-linker");
    for linker in [Some(own.clone()), cmd::find("bpf-linker")]
        .into_iter()
        .flatten()
    {
        if is_current(&linker) && probe::links(compiler, &linker, target) {
            return Ok(linker);
        }
    }
    install(compiler, target)?;
    if probe::links(compiler, &own, target) {
        return Ok(own);
    }
    bail!(
        "{} was installed but cannot link what {} compiles.\n\
         Run this by hand to see why:\n    {}",
        own.display(),
        compiler.rustc.display(),
        probe::by_hand(compiler, &own, target)
    )
}

/// Whether the linker is there and starts.
pub(crate) fn is_current(linker: &Path) -> bool {
    linker.is_file() && cmd::read(Command::new(linker).arg("--version")).is_ok()
}

fn install(compiler: &Compiler, target: &Path) -> Result<()> {
    let oldest = compiler.llvm().unwrap_or(NEWEST_LLVM);
    if let Some(llvm) = (oldest..=NEWEST_LLVM).find(|&llvm| llvm_prefix(llvm).is_some()) {
        return build(llvm, target);
    }
    let package = |llvm: u32| format!("llvm-{llvm}-dev");
    if let Some(llvm) = (oldest..=NEWEST_LLVM).find(|&llvm| apt::offers(&[package(llvm)])) {
        apt::install(&[package(llvm)], "bpf-linker is built against it")?;
        return build(llvm, target);
    }
    fetch(target).map_err(|error| {
        error.context(format!(
            "no bpf-linker with LLVM {oldest} or newer was found, built or fetched.\n\
             Run this by hand, then try again:\n    cargo binstall bpf-linker@{VERSION}"
        ))
    })
}

fn build(llvm: u32, target: &Path) -> Result<()> {
    eprintln!("building bpf-linker {VERSION} against LLVM {llvm}: this takes a minute");
    let mut command = cmd::cargo();
    command
        .args([
            "install",
            "bpf-linker",
            "--quiet",
            "--force",
            "--locked",
            "--version",
            VERSION,
        ])
        .args([
            "--no-default-features",
            "--features",
            &format!("llvm-{llvm}"),
        ])
        .arg("--root")
        .arg(paths::tools(target));
    if let Some(prefix) = llvm_prefix(llvm) {
        command.env("LLVM_PREFIX", prefix);
    }
    cmd::run(&mut command)
}

/// Where the headers and libraries of `llvm` are, if they are.
fn llvm_prefix(llvm: u32) -> Option<PathBuf> {
    let prefix = PathBuf::from(format!("/usr/lib/llvm-{llvm}"));
    let developed = prefix.join("bin/llvm-config").is_file() && prefix.join("include").is_dir();
    developed.then_some(prefix)
}

/// Fetches the release the project itself publishes, a static executable.
fn fetch(target: &Path) -> Result<()> {
    let folder = paths::tools(target).join("bin");
    fs::create_dir_all(&folder)?;
    let name = format!(
        "bpf-linker-{}-unknown-linux-musl.tar.zst",
        std::env::consts::ARCH
    );
    let archive = folder.join(&name);
    eprintln!("fetching bpf-linker {VERSION} from its project's releases");
    let url = format!("{RELEASES}/v{VERSION}/{name}");
    let mut curl = Command::new("curl");
    curl.args([
        "--fail",
        "--silent",
        "--show-error",
        "--location",
        "--proto",
        "=https",
    ]);
    cmd::run(
        curl.args(["--connect-timeout", "10", "--output"])
            .arg(&archive)
            .arg(url),
    )?;
    let mut tar = Command::new("tar");
    cmd::run(
        tar.arg("--zstd")
            .arg("-xf")
            .arg(&archive)
            .arg("-C")
            .arg(&folder),
    )?;
    Ok(fs::remove_file(archive)?)
}
