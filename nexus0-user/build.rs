//! Builds the filter with the compiler and the linker that `cargo xtask setup` chose.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// What `cargo xtask setup` writes.
#[derive(Deserialize)]
struct Choice {
    cargo: PathBuf,
    rustc: PathBuf,
    linker: PathBuf,
}

fn main() -> Result<()> {
    let root = manifest_dir()?.parent().context("no workspace")?.to_owned();
    let out = PathBuf::from(variable("OUT_DIR")?);
    let record = find_record(&out, &root);
    for input in [
        "nexus0-ebpf",
        "nexus0-common/src",
        "nexus0-common/Cargo.toml",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    println!(
        "cargo::rerun-if-changed={}",
        root.join("Cargo.toml").display()
    );
    println!("cargo::rerun-if-changed={}", record.display());

    let choice = read(&record)?;
    let target = record.parent().context("no target folder")?.join("bpf");
    build(&choice, &root, &target)?;
    let object = out.join("nexus0.bpf.o");
    fs::copy(target.join("bpfel-unknown-none/bpf/nexus0"), &object)
        .context("the filter was built but its object is not where it was expected")?;
    println!("cargo::rustc-env=NEXUS0_BPF_OBJECT={}", object.display());
    Ok(())
}

/// The record lies in the target folder, above `OUT_DIR`, wherever that is.
fn find_record(out: &Path, root: &Path) -> PathBuf {
    let name = "ebpf-toolchain.json";
    let configured = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    out.ancestors()
        .map(Path::to_owned)
        .chain(configured)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| root.join("target").join(name))
}

fn read(record: &Path) -> Result<Choice> {
    let hint = "building NEXUS-0 needs an eBPF compiler: run `cargo xtask setup`";
    let text = fs::read(record)
        .with_context(|| format!("{hint} ({} cannot be read)", record.display()))?;
    let choice: Choice = serde_json::from_slice(&text)
        .with_context(|| format!("{hint} ({} is damaged)", record.display()))?;
    for tool in [&choice.cargo, &choice.rustc, &choice.linker] {
        ensure!(tool.is_file(), "{hint} ({} is gone)", tool.display());
    }
    Ok(choice)
}

fn build(choice: &Choice, root: &Path, target: &Path) -> Result<()> {
    let linker = format!("-Clinker={}", choice.linker.display());
    // v3: 32-bit arithmetic, without which SHA-256 does not fit the 512-byte stack.
    let flags = [
        linker.as_str(),
        "-Ctarget-cpu=v3",
        "-Clink-arg=--btf",
        "-Cdebuginfo=2",
    ];
    let mut cargo = Command::new(&choice.cargo);
    for name in env::vars_os().map(|(name, _)| name).filter(is_ours) {
        cargo.env_remove(name);
    }
    cargo
        .current_dir(root)
        .args([
            "build",
            "--locked",
            "--package",
            "nexus0-ebpf",
            "--profile",
            "bpf",
        ])
        .args([
            "--target",
            "bpfel-unknown-none",
            "-Zbuild-std=core",
            "--target-dir",
        ])
        .arg(target)
        .env("RUSTC", &choice.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f"));
    if env::var_os("CARGO_FEATURE_AYA_LOG").is_some() {
        cargo.args(["--features", "aya-log"]);
    }
    let status = cargo
        .status()
        .with_context(|| format!("cannot start {cargo:?}"))?;
    if !status.success() {
        bail!("the filter did not build ({status}): the compiler's message is above");
    }
    Ok(())
}

/// Whether a variable describes this build, not the filter's.
fn is_ours(name: &OsString) -> bool {
    const PREFIXES: [&str; 7] = [
        "CARGO_BUILD_",
        "CARGO_CFG_",
        "CARGO_FEATURE_",
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
    ];
    const NAMES: [&str; 13] = [
        "CARGO",
        "CARGO_ENCODED_RUSTFLAGS",
        "DEBUG",
        "HOST",
        "LD_LIBRARY_PATH",
        "OPT_LEVEL",
        "OUT_DIR",
        "PROFILE",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTC_WRAPPER",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        "TARGET",
    ];
    let name = name.to_string_lossy();
    NAMES.contains(&&*name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn manifest_dir() -> Result<PathBuf> {
    variable("CARGO_MANIFEST_DIR").map(PathBuf::from)
}

fn variable(name: &str) -> Result<OsString> {
    env::var_os(name).with_context(|| format!("cargo did not set {name}"))
}
