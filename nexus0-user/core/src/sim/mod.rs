//! A seeded network of nodes: every frame passes its receiver's filter first, time is virtual, and the
//! same seed replays the same run.

mod door;
mod expulsion;
mod failover;
mod garbage;
mod holes;
mod hostile;
mod joining;
mod lessons;
mod network;
mod open;
mod partition;
mod preemption;
mod proof;
mod rekey;
mod thief;
mod turns;
mod versions;

pub(crate) use network::{Link, Sim, seconds};
