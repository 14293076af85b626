//! The mesh's brain for one node on one link.
//!
//! **After every input, drain `poll_output`, then ask `poll_timeout`.**

use core::ops::RangeInclusive;
use core::time::Duration;

use serde::Serialize;

pub use crate::event::Event;
use crate::filter::MapOp;
use crate::grant::{Grant, GrantError};
use crate::identity::Identity;
use crate::time::Time;
use crate::view::View;

/// Shortest and longest pulse.
pub const PULSE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
/// Fewest pulses in an epoch.
pub const LEAST_PULSES: u32 = 9;

/// What a node is told at its start; an anchor's answer overrides pulse and epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// Time between pulses.
    pub pulse: Duration,
    /// Life of an epoch.
    pub epoch: Duration,
    /// Wire versions this node speaks.
    pub wire: RangeInclusive<u8>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        let version = nexus0_common::wire::VERSION;
        Self { pulse: Duration::from_secs(5), epoch: Duration::from_secs(60), wire: version..=version }
    }
}

/// Why a node cannot be made. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Pulse out of range.
    #[error("the pulse is {0:?}, allowed are 100ms to 60s")]
    Pulse(Duration),
    /// Epoch too short for its pulse.
    #[error("the epoch is {epoch:?}, allowed are {least:?} (9 pulses) or more")]
    Epoch {
        /// What was given.
        epoch: Duration,
        /// The least for the given pulse.
        least: Duration,
    },
    /// A wire version this code does not speak.
    #[error("wire versions {lowest} to {highest} do not include {}", nexus0_common::wire::VERSION)]
    Wire {
        /// What was given.
        lowest: u8,
        /// What was given.
        highest: u8,
    },
    /// The grant is for another node.
    #[error("the grant is for node {granted}, this is node {node}")]
    Foreign {
        /// Whom the grant names.
        granted: crate::id::NodeId,
        /// Who this is.
        node: crate::id::NodeId,
    },
    /// The grant is not of this mesh.
    #[error(transparent)]
    Grant(#[from] GrantError),
}

/// What a node learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// A link-local address has passed duplicate address detection.
    AddressReady([u8; 16]),
    /// The address or the link is gone.
    AddressLost,
    /// A UDP payload arrived at the mesh port.
    Frame {
        /// IPv6 source.
        source: [u8; 16],
        /// IPv6 destination.
        destination: [u8; 16],
        /// UDP payload.
        payload: &'a [u8],
    },
    /// Say goodbye.
    Leave,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send a UDP payload from the mesh port to the mesh port, hop limit 255.
    Transmit {
        /// IPv6 destination.
        destination: [u8; 16],
        /// UDP payload.
        payload: Vec<u8>,
    },
    /// Change the filter.
    Dataplane(MapOp),
    /// Tell someone.
    Event(Event),
}

/// The part a node plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// No usable address yet.
    Waiting,
    /// Asking for the epoch.
    Joining,
    /// Following an anchor.
    Member,
    /// Being the anchor.
    Anchor,
    /// Left on request.
    Left,
}

/// One node.
#[derive(Debug)]
pub struct Node {
    identity: Identity,
}

impl Node {
    /// A node that knows nothing but who it is. `seed` must be fresh random bytes.
    pub fn new(
        _config: NodeConfig,
        identity: Identity,
        _grant: Grant,
        _root: [u8; 32],
        _seed: [u8; 32],
        _now: Time,
    ) -> Result<Self, ConfigError> {
        Ok(Self { identity })
    }

    /// Takes what happened.
    pub fn handle_input(&mut self, _now: Time, _input: Input<'_>) {}

    /// Does what is due.
    pub fn handle_timeout(&mut self, _now: Time) {}

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        None
    }

    /// What to show.
    pub fn view(&self, _now: Time) -> View {
        unimplemented!("{}", self.identity.node_id())
    }
}
