//! What does coordination cost on the link? The mesh, a voting jury, Raft and SWIM on one simulated segment.

mod jury;
mod mesh;
mod minutes;
mod peers;
mod plot;
mod raft;
mod report;
mod segment;
mod swim;
mod table;

use core::time::Duration;

pub(crate) use plot::plot;
pub(crate) use report::Report;
pub(crate) use table::{markdown, table};

/// Sizes measured unless others are asked for.
pub(crate) const SIZES: [usize; 8] = [3, 5, 10, 20, 50, 100, 200, 500];
/// Fewest and most nodes.
pub(crate) const NODES: core::ops::RangeInclusive<usize> = 3..=1000;

const MINUTE: Duration = Duration::from_secs(60);
