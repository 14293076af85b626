//! The control socket: `RUN_DIR/IFACE.sock`, for this machine's root only.

mod client;
pub(crate) mod server;
pub mod types;

use std::path::{Path, PathBuf};

pub use client::{Client, ClientError};

/// Where a node on `interface` listens.
pub fn socket_path(run_dir: &Path, interface: &str) -> PathBuf {
    run_dir.join(format!("{interface}.sock"))
}
