//! How a node is to run, and what it refuses to run like.

use core::ops::RangeInclusive;
use core::time::Duration;

use nexus0_common::wire::{HIGHEST_VERSION, LOWEST_VERSION};

use crate::grant::GrantError;
use crate::id::NodeId;

/// Shortest and longest pulse.
pub const PULSE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(60);
/// Fewest pulses in an epoch.
pub const LEAST_PULSES: u32 = 9;
/// Longest hold-down.
pub const MAX_HOLD_DOWN: Duration = Duration::from_secs(86_400);
/// Longest time between fresh secrets: who stole one follows until the next.
pub const MAX_REKEY: Duration = Duration::from_secs(86_400);

/// What a node is told at its start; an anchor's answer overrides pulse and epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// Time between pulses.
    pub pulse: Duration,
    /// Life of an epoch.
    pub epoch: Duration,
    /// For how long a living anchor is safe from a higher ego.
    pub hold_down: Duration,
    /// Time between fresh secrets, while this node leads; zero: with every epoch.
    pub rekey: Duration,
    /// Everybody who knows the mesh's name holds its root key.
    pub open: bool,
    /// Wire versions this node speaks.
    pub wire: RangeInclusive<u8>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            pulse: Duration::from_secs(5),
            epoch: Duration::from_secs(60),
            hold_down: Duration::from_secs(30),
            rekey: Duration::from_secs(3600),
            open: false,
            wire: LOWEST_VERSION..=HIGHEST_VERSION,
        }
    }
}

impl NodeConfig {
    /// Whether a node can run like this.
    pub fn check(&self) -> Result<(), ConfigError> {
        let least = self.pulse.saturating_mul(LEAST_PULSES);
        if !PULSE.contains(&self.pulse) {
            return Err(ConfigError::Pulse(self.pulse));
        }
        if self.epoch < least {
            return Err(ConfigError::Epoch {
                epoch: self.epoch,
                least,
            });
        }
        if self.hold_down > MAX_HOLD_DOWN {
            return Err(ConfigError::HoldDown(self.hold_down));
        }
        if self.rekey > MAX_REKEY {
            return Err(ConfigError::Rekey(self.rekey));
        }
        let (lowest, highest) = (*self.wire.start(), *self.wire.end());
        if self.wire.is_empty() || lowest < LOWEST_VERSION || highest > HIGHEST_VERSION {
            return Err(ConfigError::Wire { lowest, highest });
        }
        Ok(())
    }
}

/// Why a node cannot be made. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Pulse out of range.
    #[error("the pulse is {0:?}, allowed are 100ms to 60s")]
    Pulse(Duration),
    /// Epoch too short for its pulse.
    #[error("the epoch is {epoch:?}, allowed are {least:?} ({LEAST_PULSES} pulses) or more")]
    Epoch {
        /// What was given.
        epoch: Duration,
        /// The least for the given pulse.
        least: Duration,
    },
    /// A hold-down out of range.
    #[error("the hold-down is {0:?}, allowed are 0s to {MAX_HOLD_DOWN:?}")]
    HoldDown(Duration),
    /// Fresh secrets too seldom.
    #[error(
        "the time between fresh secrets is {0:?}, allowed are 0s (with every epoch) to {MAX_REKEY:?}"
    )]
    Rekey(Duration),
    /// A wire version this code does not speak.
    #[error(
        "wire versions {lowest} to {highest} are asked for, allowed are {LOWEST_VERSION} to {HIGHEST_VERSION}"
    )]
    Wire {
        /// What was given.
        lowest: u8,
        /// What was given.
        highest: u8,
    },
    /// A self-made grant that takes too much.
    #[error(
        "in an open mesh a grant has an ego up to {} and serial {}, this has ego {ego} and serial {serial}",
        crate::open::MAX_OPEN_EGO,
        crate::open::OPEN_SERIAL
    )]
    Unfair {
        /// What the grant says.
        ego: u8,
        /// What the grant says.
        serial: u32,
    },
    /// The grant is for another node.
    #[error("the grant is for node {granted}, this is node {node}")]
    Foreign {
        /// Whom the grant names.
        granted: NodeId,
        /// Who this is.
        node: NodeId,
    },
    /// The grant is not of this mesh.
    #[error(transparent)]
    Grant(#[from] GrantError),
}
