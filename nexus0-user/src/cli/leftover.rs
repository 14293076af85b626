//! When no node answers: does its filter still stand, and what to do now.

use std::path::Path;

use serde_json::{Value, json};

use super::Failure;
use super::options::Place;
use crate::api::run_dir_flag;
use crate::api::types::SCHEMA;
use crate::dataplane;

/// Says that no node runs on the interface, and whether its filter still does.
pub(super) fn not_running(place: &Place, interface: &str) -> Failure {
    let run_dir = run_dir_flag(&place.run_dir);
    if !dataplane::pinned(&place.run_dir, interface) {
        return Failure::NotRunning(format!(
            "no node is running on {interface}: start one with `nexus0 run --iface {interface}{run_dir}`"
        ));
    }
    Failure::NotRunning(format!(
        "no node is running on {interface}, but its filter is still attached and refuses every \
         mesh frame whose key has ended.\n  \
         to go on:      nexus0 run --iface {interface}{run_dir}\n  \
         to remove it:  nexus0 detach --iface {interface}{run_dir}"
    ))
}

/// The same for programs.
pub(super) fn as_json(place: &Place) -> Value {
    let interfaces: Vec<String> = match &place.iface {
        Some(interface) => vec![interface.clone()],
        None => filtered(&place.run_dir),
    };
    let attached: Vec<_> = interfaces
        .iter()
        .filter(|interface| dataplane::pinned(&place.run_dir, interface))
        .collect();
    json!({ "schema": SCHEMA, "running": false, "filter_attached_on": attached })
}

/// Interfaces with pins in the run folder.
pub(super) fn filtered(run_dir: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(run_dir.join("bpf")) else {
        return Vec::new();
    };
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut names: Vec<_> = names
        .filter(|name| dataplane::pinned(run_dir, name))
        .collect();
    names.sort();
    names
}
