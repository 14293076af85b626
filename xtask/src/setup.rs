//! `cargo xtask setup`: what building and running needs, found or installed, once.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::toolchain::Compiler;
use crate::{apt, cmd, linker, paths, toolchain};

/// Programs that are called, the packages that have them, and who calls.
const PROGRAMS: [(&str, &str, &str); 4] = [
    ("ip", "iproute2", "nodes and the lab use"),
    ("setpriv", "util-linux", "tests and measurements use"),
    ("nsenter", "util-linux", "tests use"),
    ("python3", "python3-venv", "a test uses"),
];

/// Options of `setup`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Look for the compiler and the linker again
    #[arg(long)]
    again: bool,
}

/// What was chosen; `nexus0-user/build.rs` reads the same file.
#[derive(Serialize, Deserialize)]
struct Choice {
    #[serde(flatten)]
    compiler: Compiler,
    linker: PathBuf,
}

impl Choice {
    fn load(record: &Path) -> Option<Self> {
        let choice: Self = serde_json::from_slice(&fs::read(record).ok()?).ok()?;
        let current = choice.compiler.is_current() && linker::is_current(&choice.linker);
        current.then_some(choice)
    }

    fn make(target: &Path) -> Result<Self> {
        let compiler = toolchain::find_or_install()?;
        eprintln!("eBPF compiler: {}", compiler.describe());
        let linker = linker::find_or_install(&compiler, target)?;
        eprintln!("eBPF linker: {}", linker.display());
        Ok(Self { compiler, linker })
    }

    fn save(&self, record: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        fs::write(record, text).with_context(|| format!("cannot write {}", record.display()))
    }
}

/// Sets up what is missing and says what was chosen.
pub(crate) fn run(args: &Args) -> Result<()> {
    let choice = set_up(args.again)?;
    eprintln!(
        "ready: {}, linked by {}",
        choice.compiler.describe(),
        choice.linker.display()
    );
    Ok(())
}

/// Sets up what is missing; silent when nothing is.
pub(crate) fn ensure() -> Result<()> {
    set_up(false).map(drop)
}

fn set_up(again: bool) -> Result<Choice> {
    programs();
    let target = paths::target()?;
    let record = paths::record(&target);
    if !again && let Some(choice) = Choice::load(&record) {
        return Ok(choice);
    }
    fs::create_dir_all(&target)?;
    let choice = Choice::make(&target)?;
    choice.save(&record)?;
    Ok(choice)
}

/// Installs the programs that are missing. Building needs none, so a failure is only a warning.
fn programs() {
    for (program, package, who) in PROGRAMS {
        if cmd::find(program).is_some() {
            continue;
        }
        let packages = [package.to_owned()];
        let why = format!("{who} `{program}`");
        if !apt::offers(&packages) || apt::install(&packages, &why).is_err() {
            eprintln!("warning: `{program}` is missing: install the package {package}");
        }
    }
}
