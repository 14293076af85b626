//! A seeded network of nodes: every frame passes its receiver's filter first, time is virtual, and the
//! same seed replays the same run.
//!
//! A [`Plan`] says what is done to a mesh, [`run`] does it, and a [`Report`] says which [`ORACLES`] did not
//! hold and what was met ([`SOMETIMES`]). [`swarm`] draws plans. Nothing here reads a clock or a file.
#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the simulator stops at surprises; the nodes in it do not"
)]

mod clock;
mod drive;
mod ending;
mod host;
mod judge;
mod network;
mod oracle;
mod outcasts;
mod packet;
mod plan;
mod queue;
mod report;
mod stranger;
mod swarm;
mod traitor;

pub use crate::memo::Remembering;
pub use drive::run;
pub use oracle::{ORACLES, SOMETIMES, Sometimes, Violation};
pub use plan::{Act, Conditions, Expect, Lie, Plan, Step, Who};
pub use report::{Doing, Report, Tally, Timeline};
pub use swarm::swarm;

#[cfg(test)]
mod checks;
#[cfg(test)]
mod door;
#[cfg(test)]
mod expulsion;
#[cfg(test)]
mod failover;
#[cfg(test)]
mod garbage;
#[cfg(test)]
mod holes;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod joining;
#[cfg(test)]
mod lessons;
#[cfg(test)]
mod merging;
#[cfg(test)]
mod open;
#[cfg(test)]
mod partition;
#[cfg(test)]
mod preemption;
#[cfg(test)]
mod proof;
#[cfg(test)]
mod rekey;
#[cfg(test)]
mod restart;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod thief;
#[cfg(test)]
mod turns;
#[cfg(test)]
mod twin;
#[cfg(test)]
mod versions;

#[cfg(test)]
pub(crate) use network::{Link, Sim, seconds};
