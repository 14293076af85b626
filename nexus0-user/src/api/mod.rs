//! The control socket: `RUN_DIR/IFACE.sock`, for this machine's root only.

mod client;
pub(crate) mod server;
pub mod types;

use std::path::{Path, PathBuf};

pub use client::{Client, ClientError};

/// Where running nodes have their sockets and pins unless told otherwise.
pub const RUN_DIR: &str = "/run/nexus0";

/// The words that name a run folder on a command line; none for the usual one.
pub(crate) fn run_dir_flag(run_dir: &Path) -> String {
    if run_dir == Path::new(RUN_DIR) {
        return String::new();
    }
    format!(" --run-dir {}", run_dir.display())
}

/// Where a node on `interface` listens.
pub fn socket_path(run_dir: &Path, interface: &str) -> PathBuf {
    run_dir.join(format!("{interface}.sock"))
}
