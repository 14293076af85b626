//! What came of all seeds together.

use std::time::Duration;

use nexus0_core::id::sha256;
use nexus0_core::sim::{Report, Sometimes, Tally, Violation};
use serde::Serialize;

use crate::hex;

/// Raised when a field changes its meaning or goes.
const SCHEMA: u32 = 1;
/// Violations listed.
const LISTED: usize = 100;

/// One object for scripts.
#[derive(Debug, Serialize)]
pub(crate) struct Outcome {
    schema: u32,
    /// Digest of all seeds' hashes in order; of one seed its own.
    pub(crate) hash: String,
    /// How often oracles did not hold.
    pub(crate) violations: u64,
    /// Seeds in which one did not.
    pub(crate) violated_seeds: Vec<u64>,
    /// The first of them, in words.
    pub(crate) violated: Vec<Violation>,
    pub(crate) seeds: u64,
    /// Simulated hours of all meshes.
    pub(crate) mesh_hours: f64,
    /// Simulated time over real time, all threads together.
    pub(crate) speed: f64,
    #[serde(flatten)]
    pub(crate) tally: Tally,
    pub(crate) sometimes: Sometimes,
    /// What no seed met.
    pub(crate) never: Vec<&'static str>,
}

impl Outcome {
    pub(crate) fn of(reports: &[Report], took: Duration) -> Self {
        let (mut tally, mut sometimes) = (Tally::default(), Sometimes::default());
        let mut lasted = Duration::ZERO;
        for report in reports {
            tally.add(&report.tally);
            sometimes.add(&report.sometimes);
            lasted += report.lasted;
        }
        let bad = reports.iter().filter(|report| report.violated > 0);
        Self {
            schema: SCHEMA,
            hash: hex::encode(&digest(reports)),
            violations: reports.iter().map(|report| report.violated).sum(),
            violated_seeds: bad.clone().map(|report| report.seed).collect(),
            violated: bad
                .flat_map(|report| report.violations.clone())
                .take(LISTED)
                .collect(),
            seeds: reports.len() as u64,
            mesh_hours: rounded(lasted.as_secs_f64() / 3600.0, 1e6),
            speed: rounded(lasted.as_secs_f64() / took.as_secs_f64().max(1e-9), 1.0),
            tally,
            never: sometimes.never(),
            sometimes,
        }
    }
}

fn rounded(value: f64, scale: f64) -> f64 {
    (value * scale).round() / scale
}

fn digest(reports: &[Report]) -> [u8; 32] {
    match reports {
        [only] => only.hash,
        all => {
            let hashes: Vec<&[u8]> = all.iter().map(|report| report.hash.as_slice()).collect();
            sha256(&hashes)
        }
    }
}
