//! Measurements of NEXUS-0: `cargo xtask bench`.

mod engine;
mod host;
mod report;
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Parser;

use engine::Figures;

const FULL: &str = "CAP_BPF + CAP_NET_ADMIN + CAP_PERFMON";
const REDUCED: &str = "CAP_BPF + CAP_NET_ADMIN";

/// Nanoseconds per frame of the filter, with and without CAP_PERFMON. Needs root.
#[derive(Parser)]
struct Options {
    /// Writes benches/RESULTS.md.
    #[arg(long)]
    write: bool,
    /// Writes the figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Measures under the capabilities this process has, names them so, prints JSON.
    #[arg(long, hide = true, value_name = "NAME")]
    measure: Option<String>,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(name) = options.measure {
        println!("{}", serde_json::to_string(&engine::measure(&name)?)?);
        return Ok(());
    }
    let all = [
        under(FULL, "-all,+bpf,+net_admin,+perfmon")?,
        under(REDUCED, "-all,+bpf,+net_admin")?,
    ];
    for figures in &all {
        println!("{}", report::table(figures));
    }
    let host = host::hmac_nanoseconds();
    println!("host hmac + sha2 crates, 55 bytes: {host} ns");
    if let Some(file) = options.json {
        fs::write(&file, serde_json::to_vec_pretty(&all)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    if options.write {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("RESULTS.md");
        fs::write(&file, report::document(&host::machine(), &all, host))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// Measures in a process of its own that has only these capabilities.
fn under(name: &str, capabilities: &str) -> Result<Figures> {
    let output = Command::new("setpriv")
        .args(["--bounding-set", capabilities, "--inh-caps", capabilities])
        .args(["--ambient-caps", capabilities, "--"])
        .arg(std::env::current_exe()?)
        .args(["--measure", name])
        .output()
        .context("cannot start setpriv (package util-linux)")?;
    ensure!(
        output.status.success(),
        "measuring with {name} failed; it needs root:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}
