//! Where things are.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::cmd;

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// The target folder, wherever the environment or cargo's configuration put it.
pub(crate) fn target() -> Result<PathBuf> {
    let metadata = cmd::read(cmd::cargo().current_dir(root()).args([
        "metadata",
        "--no-deps",
        "--format-version=1",
    ]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    metadata["target_directory"]
        .as_str()
        .map(PathBuf::from)
        .context("`cargo metadata` names no target_directory")
}

/// Where tools built for this project alone are installed.
pub(crate) fn tools(target: &Path) -> PathBuf {
    target.join("tools")
}

/// The record of which eBPF compiler and linker to use; `nexus0-user/build.rs` reads it.
pub(crate) fn record(target: &Path) -> PathBuf {
    target.join("ebpf-toolchain.json")
}
