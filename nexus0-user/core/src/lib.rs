//! The mesh protocol without I/O: time, randomness and bytes are arguments, effects are values.
//!
//! [`Node`](node::Node) is the brain of one member. [`Filter`](filter::Filter) turns its
//! [`MapOp`](filter::MapOp)s into writes to the filter's maps. PROTOCOL.md says what both must do.
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic)]
#![cfg_attr(
    test,
    allow(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::panic,
        reason = "tests stop at surprises"
    )
)]

pub mod conviction;
pub mod event;
pub mod filter;
pub mod grant;
pub mod id;
pub mod identity;
pub mod inbox;
pub mod node;
pub mod open;
pub mod revocation;
pub mod sabotage;
pub mod secret;
pub mod sim;
pub mod snapshot;
pub mod time;
pub mod view;

mod admission;
mod answer;
mod cold_start;
mod config;
mod door;
mod draft;
mod election;
mod epoch;
mod expulsion;
mod fence;
mod handover;
mod introduction;
mod join;
mod key_ring;
mod leave;
mod ledger;
mod lineage;
mod membership;
mod memo;
mod memory_maps;
mod merge;
mod passage;
mod peer_slots;
mod preemption;
mod promotion;
mod proof;
mod pulse;
mod rekey;
mod roster;
mod rule;
mod seal;
mod send;
mod show;
mod suspicion;
mod tables;
mod timer;
mod turn;
mod twin;
mod version;

#[cfg(test)]
mod exhaustive;
#[cfg(test)]
mod vectors;
