//! What the filter in the kernel and the node in user space must agree on: frames, reasons, map
//! layouts, the tag, and [`classify::classify`], the one judgement that both compile.
#![no_std]

#[cfg(feature = "std")]
extern crate std;

pub mod auth;
pub mod classify;
pub mod door;
pub mod maps;
#[cfg(feature = "std")]
pub mod memory;
pub mod memory_order;
pub mod packet;
pub mod peers;
pub mod rate;
pub mod reason;
pub mod replay;
pub mod wire;
