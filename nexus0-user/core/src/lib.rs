//! The mesh protocol without I/O: time, randomness and bytes are arguments, effects are values.
//!
//! [`Node`](node::Node) is the brain of one member. [`Filter`](filter::Filter) turns its
//! [`MapOp`](filter::MapOp)s into writes to the filter's maps. PROTOCOL.md says what both must do.
#![forbid(unsafe_code)]
#![warn(clippy::indexing_slicing, clippy::unwrap_used, clippy::arithmetic_side_effects)]

pub mod event;
pub mod filter;
pub mod grant;
pub mod id;
pub mod identity;
pub mod node;
pub mod time;
pub mod view;
