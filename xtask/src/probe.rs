//! Does this linker understand what this compiler writes? The smallest program tells.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::cmd;
use crate::toolchain::Compiler;

/// The profile is the workspace's `bpf`, so that the `core` built here is the one the filter uses.
const MANIFEST: &str = r#"[package]
name = "probe"
version = "0.0.0"
edition = "2024"

[workspace]

[profile.bpf]
inherits = "release"
codegen-units = 1
debug = 2
lto = true
opt-level = 3
overflow-checks = false
panic = "abort"
"#;

const PROGRAM: &str = r#"#![no_std]
#![no_main]

#[unsafe(no_mangle)]
#[unsafe(link_section = "xdp")]
extern "C" fn probe(_: *mut u8) -> u32 {
    2
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
"#;

/// Whether `linker` links a program that `compiler` compiles.
pub(crate) fn links(compiler: &Compiler, linker: &Path, target: &Path) -> bool {
    eprintln!(
        "trying {} with {}",
        linker.display(),
        compiler.rustc.display()
    );
    match try_link(compiler, linker, target) {
        Ok(()) => true,
        Err(error) => {
            eprintln!("it does not work: {error:#}");
            false
        }
    }
}

/// The command that shows what is wrong.
pub(crate) fn by_hand(compiler: &Compiler, linker: &Path, target: &Path) -> String {
    format!(
        "cd {} && RUSTC={} RUSTC_BOOTSTRAP=1 RUSTFLAGS='{}' {} {}",
        target.join("ebpf-probe").display(),
        compiler.rustc.display(),
        flags(linker).join(" "),
        compiler.cargo.display(),
        ARGUMENTS.join(" "),
    )
}

const ARGUMENTS: [&str; 7] = [
    "build",
    "--quiet",
    "--target",
    "bpfel-unknown-none",
    "-Zbuild-std=core",
    "--profile",
    "bpf",
];

fn try_link(compiler: &Compiler, linker: &Path, target: &Path) -> Result<()> {
    let project = target.join("ebpf-probe");
    fs::create_dir_all(project.join("src"))?;
    fs::write(project.join("Cargo.toml"), MANIFEST)?;
    fs::write(project.join("src/main.rs"), PROGRAM)?;
    let mut command: Command = cmd::foreign(&compiler.cargo);
    command
        .current_dir(&project)
        .args(ARGUMENTS)
        .arg("--target-dir")
        .arg(target.join("bpf"))
        .env("RUSTC", &compiler.rustc)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags(linker).join("\x1f"));
    cmd::read(&mut command).map(drop)
}

fn flags(linker: &Path) -> Vec<String> {
    let linker = format!("-Clinker={}", linker.display());
    [
        linker.as_str(),
        "-Ctarget-cpu=v3",
        "-Clink-arg=--btf",
        "-Cdebuginfo=2",
    ]
    .map(String::from)
    .to_vec()
}
