//! A filter's counters, read where they are pinned: they outlive the controller, and so does the lab's
//! view of them.

use std::path::Path;

use anyhow::{Context, Result};
use aya::maps::{Map, MapData, PerCpuArray};
use nexus0_common::reason::Verdict;

use crate::dataplane::pin_folder;

/// The counters of one filter.
pub struct Counts(PerCpuArray<MapData, [u64; 2]>);

impl Counts {
    /// Opens the counters pinned for an interface.
    pub fn open(run_dir: &Path, interface: &str) -> Result<Self> {
        let path = pin_folder(run_dir, interface).join("COUNTS");
        let data = MapData::from_pin(&path)
            .with_context(|| format!("no counters are pinned at {}", path.display()))?;
        Ok(Self(PerCpuArray::try_from(Map::PerCpuArray(data))?))
    }

    /// Frames refused, whatever the reason.
    pub fn refused(&self) -> Result<u64> {
        let frames = self.frames()?;
        let refused = Verdict::ALL
            .iter()
            .zip(frames)
            .filter(|(verdict, _)| !verdict.passes());
        Ok(refused.map(|(_, frames)| frames).sum())
    }

    /// Frames by number of the verdict.
    pub fn frames(&self) -> Result<Vec<u64>> {
        Verdict::ALL
            .iter()
            .map(|verdict| {
                let processors = self.0.get(&(*verdict as u32), 0)?;
                Ok(processors.iter().map(|[frames, _]| frames).sum())
            })
            .collect()
    }
}
