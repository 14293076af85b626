//! All that was measured, as it is written to JSON.

use std::collections::BTreeMap;
use std::env;

use serde::Serialize;

use crate::controller;
use crate::delivery;
use crate::end_to_end;
use crate::engine::Figures;
use crate::goodput::Goodput;
use crate::host::{HostHmac, Machine};

/// Version of this layout.
const SCHEMA: u32 = 1;

/// Nanoseconds per frame by kind, one frame over and over; `None` where nothing was measured.
type Nanoseconds = BTreeMap<&'static str, Option<u64>>;

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Results {
    pub(crate) schema: u32,
    /// How it was called.
    pub(crate) command: String,
    pub(crate) machine: Machine,
    /// With CAP_PERFMON.
    pub(crate) program_ns: Nanoseconds,
    /// With CAP_BPF and CAP_NET_ADMIN alone.
    pub(crate) program_ns_without_perfmon: Nanoseconds,
    /// The same and more, by capability set.
    pub(crate) programs: Vec<Figures>,
    pub(crate) host_hmac_ns: HostHmac,
    pub(crate) end_to_end: Vec<end_to_end::Row>,
    /// Not measured on a single processor.
    pub(crate) goodput: Option<Goodput>,
    pub(crate) delivery: Vec<delivery::Row>,
    pub(crate) controller: Vec<controller::Row>,
    /// Peers that are not installed, and their packages.
    pub(crate) missing: Vec<String>,
}

/// Keys of [`Results::program_ns`].
const KEYS: [&str; 8] = [
    "floor",
    "pass",
    "foreign",
    "malformed",
    "forged",
    "replayed",
    "valid_pulse",
    "xdp_filter",
];

impl Results {
    pub(crate) fn new(missing: Vec<String>) -> Self {
        Self {
            schema: SCHEMA,
            command: command(env::args().skip(1)),
            machine: Machine::read(),
            program_ns: Nanoseconds::new(),
            program_ns_without_perfmon: Nanoseconds::new(),
            programs: Vec::new(),
            host_hmac_ns: HostHmac::measure(),
            end_to_end: Vec::new(),
            goodput: None,
            delivery: Vec::new(),
            controller: Vec::new(),
            missing,
        }
    }

    pub(crate) fn set_programs(&mut self, full: Figures, reduced: Figures) {
        self.program_ns = nanoseconds(&full);
        self.program_ns_without_perfmon = nanoseconds(&reduced);
        self.programs = vec![full, reduced];
    }
}

/// How to measure the same again, wherever the JSON went.
fn command(mut arguments: impl Iterator<Item = String>) -> String {
    let mut words = vec!["cargo xtask bench".to_owned()];
    while let Some(word) = arguments.next() {
        match word.as_str() {
            "--json" => drop(arguments.next()),
            _ if word.starts_with("--json=") => {}
            _ => words.push(word),
        }
    }
    words.join(" ")
}

fn nanoseconds(figures: &Figures) -> Nanoseconds {
    KEYS.into_iter()
        .map(|key| (key, figures.row(key).map(|row| row.one)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_told_without_where_the_figures_went() {
        let words = ["--quick", "--json", "/home/me/a.json", "--only", "program"];
        let told = command(words.into_iter().map(str::to_owned));
        assert_eq!(told, "cargo xtask bench --quick --only program");
        assert_eq!(
            command(["--json=x".to_owned()].into_iter()),
            "cargo xtask bench"
        );
    }
}
