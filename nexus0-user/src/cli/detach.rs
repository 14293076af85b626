//! `nexus0 detach`: the documented way out.

use std::io;
use std::path::PathBuf;

use anyhow::{Context, anyhow};

use super::options::{RUN_DIR, interface_name};
use super::{Failure, print};
use crate::api::{Client, ClientError, socket_path};
use crate::dataplane;

/// Options of `detach`.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Interface to take the filter off
    #[arg(long, value_name = "IF", env = "NX0_IFACE", value_parser = interface_name)]
    iface: String,
    /// Sockets and pins
    #[arg(long, value_name = "DIR", env = "NX0_RUN_DIR", default_value = RUN_DIR)]
    run_dir: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let socket = socket_path(&args.run_dir, &args.iface);
    match Client::connect(&socket) {
        Err(ClientError::NotRunning(_)) => {}
        Err(ClientError::Permission(path)) => return Err(ClientError::Permission(path).into()),
        Ok(_) | Err(_) => {
            let running = anyhow!("a node is running on {}: stop it first", args.iface);
            return Err(Failure::Other(running));
        }
    }
    let found = dataplane::detach(&args.run_dir, &args.iface)
        .with_context(|| format!("cannot take the filter off {}", args.iface))?;
    match std::fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let text = format!("cannot remove {}", socket.display());
            return Err(anyhow::Error::from(error).context(text).into());
        }
        _ => {}
    }
    print::data(&match (found.link, found.maps) {
        (false, 0) => format!("{}: no filter of ours was there, nothing to do", args.iface),
        (true, maps) => format!(
            "{}: filter removed, {maps} pinned maps removed; mesh frames are no longer judged",
            args.iface
        ),
        (false, maps) => format!("{}: {maps} pinned maps removed, no filter", args.iface),
    });
    Ok(())
}
