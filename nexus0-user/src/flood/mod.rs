//! The generator: forged frames of every kind, out of one interface, as fast as asked.
//!
//! It reports what it offered and what the interface sent; the filters' counters say the rest.

pub mod capture;
pub mod crowd;
pub mod envelope;
pub mod forge;
pub mod generator;
pub mod kernel;
pub mod kind;
pub mod permission;
mod pump;
pub mod templates;

pub use capture::{Capture, Captured};
pub use forge::Forge;
pub use generator::{Bounds, Generator, Rate, Report};
pub use kind::Kind;
pub use templates::{Interspersed, Pace, Templates};

/// How a frame travels on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cast {
    /// To all stations but the sender.
    Multicast,
    /// To one station.
    Unicast,
}
