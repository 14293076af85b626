//! Which Rust compiler builds the filter: one that has the source of `core`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::{apt, cmd};

/// The oldest compiler the workspace accepts.
const MINIMUM: (u32, u32) = (1, 95);
const DEBIAN: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];

/// A compiler that can build `core`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Compiler {
    /// Its cargo.
    pub(crate) cargo: PathBuf,
    /// Its rustc.
    pub(crate) rustc: PathBuf,
    /// What `rustc -vV` says; a change means another compiler.
    pub(crate) version: String,
}

impl Compiler {
    /// The compiler in `sysroot`, if it is recent enough and has the source of `core`.
    fn with_source(sysroot: &Path) -> Option<Self> {
        let source = sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml");
        let compiler = Self::in_sysroot(sysroot)?;
        (source.is_file() && compiler.release()? >= MINIMUM).then_some(compiler)
    }

    fn in_sysroot(sysroot: &Path) -> Option<Self> {
        let (cargo, rustc) = (sysroot.join("bin/cargo"), sysroot.join("bin/rustc"));
        let version = version(&rustc).ok()?;
        cargo.is_file().then_some(Self {
            cargo,
            rustc,
            version,
        })
    }

    /// Whether the compiler is still there and still the same.
    pub(crate) fn is_current(&self) -> bool {
        self.cargo.is_file() && version(&self.rustc).is_ok_and(|now| now == self.version)
    }

    /// The major version of its LLVM, which the linker's must not be below.
    pub(crate) fn llvm(&self) -> Option<u32> {
        let (major, _) = self.field("LLVM version: ")?.split_once('.')?;
        major.parse().ok()
    }

    /// Its LLVM as a shared library, where it comes as one; not a linker script of that name.
    pub(crate) fn llvm_library(&self) -> Option<PathBuf> {
        let folder = self.rustc.parent()?.parent()?.join("lib");
        let mut libraries: Vec<PathBuf> = fs::read_dir(folder)
            .ok()?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                let name = path.file_name().and_then(|name| name.to_str());
                name.is_some_and(|name| name.starts_with("libLLVM.so."))
            })
            .collect();
        libraries.sort();
        libraries.pop()
    }

    /// Its release, such as 1.95.
    fn release(&self) -> Option<(u32, u32)> {
        let mut parts = self.field("release: ")?.split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.version
            .lines()
            .find_map(|line| line.strip_prefix(name))
    }

    /// One line for people.
    pub(crate) fn describe(&self) -> String {
        let first = self.version.lines().next().unwrap_or("unknown");
        let llvm = self.field("LLVM version: ").unwrap_or("unknown");
        format!("{first}, LLVM {llvm}, at {}", self.rustc.display())
    }
}

/// A compiler that has the source of `core`; installs what is missing.
pub(crate) fn find_or_install() -> Result<Compiler> {
    if let Some(found) = installed() {
        return Ok(found);
    }
    if let Some(found) = add_source() {
        return Ok(found);
    }
    let packages = DEBIAN.map(String::from);
    if apt::offers(&packages) {
        apt::install(
            &packages,
            "a Rust compiler with the source of `core`, for the filter",
        )?;
        if let Some(found) = Compiler::with_source(Path::new("/usr")) {
            return Ok(found);
        }
    }
    bail!(
        "no Rust {}.{} or newer with the source of `core` was found or could be installed.\n\
         Run this by hand, then try again:\n    rustup component add rust-src",
        MINIMUM.0,
        MINIMUM.1
    )
}

fn installed() -> Option<Compiler> {
    let system = PathBuf::from("/usr");
    active_sysroot()
        .into_iter()
        .chain(rustup_sysroots())
        .chain([system])
        .find_map(|sysroot| Compiler::with_source(&sysroot))
}

/// Adds the source of `core` to the active rustup toolchain. Quiet when there is no network.
fn add_source() -> Option<Compiler> {
    cmd::find("rustup")?;
    let sysroot = active_sysroot()?;
    let toolchain = sysroot.file_name()?.to_str()?.to_owned();
    eprintln!("adding the component rust-src to the rustup toolchain {toolchain}");
    let mut command = Command::new("timeout");
    command.args([
        "120",
        "rustup",
        "component",
        "add",
        "rust-src",
        "--toolchain",
        &toolchain,
    ]);
    command.envs([("RUSTUP_MAX_RETRIES", "0"), ("RUST_BACKTRACE", "0")]);
    if let Err(error) = cmd::read(&mut command) {
        let said = error.to_string();
        let reason = said
            .lines()
            .find(|line| line.starts_with("error:"))
            .unwrap_or(&said);
        eprintln!("that did not work ({reason})");
    }
    Compiler::with_source(&sysroot)
}

/// The sysroot of the toolchain that runs this program.
fn active_sysroot() -> Option<PathBuf> {
    cmd::read(Command::new("rustc").args(["--print", "sysroot"]))
        .ok()
        .map(PathBuf::from)
}

fn rustup_sysroots() -> Vec<PathBuf> {
    let Ok(list) = cmd::read(Command::new("rustup").args(["toolchain", "list", "--verbose"]))
    else {
        return Vec::new();
    };
    let path = |line: &str| line.find('/').map(|start| PathBuf::from(&line[start..]));
    list.lines().filter_map(path).collect()
}

fn version(rustc: &Path) -> Result<String> {
    cmd::read(cmd::foreign(rustc).arg("-vV"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn release_and_llvm_are_read_from_the_verbose_version() {
        let compiler = Compiler {
            cargo: PathBuf::new(),
            rustc: PathBuf::new(),
            version: "rustc 1.97.0-nightly (e50 2026-05-19)\nrelease: 1.97.0-nightly\nLLVM version: 22.1.4"
                .into(),
        };
        assert_eq!(compiler.release(), Some((1, 97)));
        assert_eq!(compiler.llvm(), Some(22));
    }
}
