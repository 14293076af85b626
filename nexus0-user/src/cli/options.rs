//! Options that several verbs share, and how their values are read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

pub(super) use crate::api::RUN_DIR;
use crate::api::{Client, ClientError, socket_path};

use super::Failure;

/// Where a node keeps its files unless told otherwise.
pub(super) const STATE_DIR: &str = "/var/lib/nexus0";

/// Which running node is meant.
#[derive(Args, Clone, Debug)]
pub(super) struct Place {
    /// The node; may be left out while one runs
    #[arg(long, value_name = "IF", env = "NX0_IFACE")]
    pub(super) iface: Option<String>,
    /// Control sockets
    #[arg(long, value_name = "DIR", env = "NX0_RUN_DIR", default_value = RUN_DIR)]
    pub(super) run_dir: PathBuf,
}

/// A running node to ask, and how to print what it says.
#[derive(Args, Clone, Debug)]
pub(super) struct Reading {
    #[command(flatten)]
    pub(super) place: Place,
    /// Print JSON with a schema number
    #[arg(long)]
    pub(super) json: bool,
}

impl Place {
    /// The interface that was named, or the only one a node runs on.
    pub(super) fn interface(&self) -> Result<String, Failure> {
        if let Some(interface) = &self.iface {
            return Ok(interface.clone());
        }
        let mut found = interfaces(&self.run_dir);
        if found.is_empty() {
            found = super::leftover::filtered(&self.run_dir);
        }
        match (found.pop(), found.is_empty()) {
            (Some(only), true) => Ok(only),
            (Some(last), false) => Err(Failure::usage(format!(
                "several nodes run here: choose with --iface one of {}, {last}",
                found.join(", ")
            ))),
            (None, _) => Err(Failure::NotRunning(format!(
                "no node is running here (no socket in {}): start one with `nexus0 run --iface IF`",
                self.run_dir.display()
            ))),
        }
    }

    /// A connection to the node.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let interface = self.interface()?;
        Client::connect(&socket_path(&self.run_dir, &interface)).map_err(|error| match error {
            ClientError::NotRunning(_) => super::leftover::not_running(self, &interface),
            other => Failure::from(other),
        })
    }
}

/// Interfaces with a control socket in the folder.
pub(super) fn interfaces(run_dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(run_dir) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".sock").map(str::to_owned))
        .collect();
    names.sort();
    names
}

/// Reads `500ms`, `5s`, `2m` or `1h`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let allowed = "allowed: a number with ms, s, m or h, such as 500ms, 5s or 2m";
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let scale = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(allowed.into()),
    };
    let number: u64 = number.parse().map_err(|_| allowed.to_owned())?;
    let milliseconds = number.checked_mul(scale).ok_or("too long")?;
    Ok(Duration::from_millis(milliseconds))
}

/// Reads the name of a network interface.
pub(super) fn interface_name(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_graphic() && c != '/' && c != ':';
    if text.is_empty() || text.len() > 15 || !text.chars().all(good) || text.starts_with('.') {
        return Err("allowed: the name of a network interface, 1 to 15 characters".into());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        for bad in [
            "",
            "5",
            "s",
            "5 s",
            "-1s",
            "1.5s",
            "99999999999999999999h",
            "18446744073709551615h",
        ] {
            assert!(duration(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn interface_names_stay_file_names() {
        assert!(interface_name("eth0.1").is_ok());
        for bad in ["", "../x", "a/b", "..", "sixteen-letters-", "a b"] {
            assert!(interface_name(bad).is_err(), "{bad:?}");
        }
    }
}
