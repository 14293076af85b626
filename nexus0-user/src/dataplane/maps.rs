//! The kernel's maps behind the primitives that the bookkeeping asks for.

use std::mem::offset_of;

use aya::maps::{MapData, PerCpuArray};
use nexus0_common::maps::{
    Config, Counter, GENERATIONS, KeySlot, Keys, MAX_PEERS, Peer, SignedPeer, WINDOW_WORDS, Window,
};
use nexus0_common::reason::Verdict;
use nexus0_core::filter::Maps;
use thiserror::Error;

use super::mapped::Mapped;
use super::roster::Roster;

/// Why a map could not be read or written.
#[derive(Debug, Error)]
pub enum MapError {
    /// The kernel refused.
    #[error("a map of the filter: {0}")]
    Kernel(#[from] aya::maps::MapError),
    /// The map could not be mapped into memory.
    #[error("a map of the filter cannot be mapped: {0}")]
    Mmap(nix::Error),
    /// No random number for the roster's key.
    #[error("no random number: {0}")]
    Random(#[from] getrandom::Error),
    /// Both places that a member may have in the roster are taken.
    #[error(
        "the filter's roster has no room for node {0}: this happens about once in 10 million full rosters; remove the \
         filter with nexus0 detach and start again, which draws new places"
    )]
    Roster(String),
    /// A map without entries.
    #[error("a map of the filter is empty")]
    Empty,
}

/// The maps of a loaded filter.
pub struct KernelMaps {
    pub(super) config: Mapped<Config>,
    pub(super) keys: Mapped<Keys>,
    pub(super) windows: Mapped<Peer>,
    pub(super) signed: Mapped<SignedPeer>,
    pub(super) roster: Roster,
    pub(super) counts: PerCpuArray<MapData, [u64; 2]>,
}

impl KernelMaps {
    /// Frames and bytes by verdict, of all processors.
    pub fn counters(&self) -> Result<Vec<(Verdict, Counter)>, MapError> {
        Verdict::ALL
            .iter()
            .map(|verdict| Ok((*verdict, self.counter(*verdict as u32)?)))
            .collect()
    }

    /// One counter, of all processors.
    pub fn counter(&self, index: u32) -> Result<Counter, MapError> {
        let mut sum = Counter::default();
        for [frames, bytes] in self.counts.get(&index, 0)?.iter() {
            sum.frames += frames;
            sum.bytes += bytes;
        }
        Ok(sum)
    }

    /// What the filter remembers of a peer slot's unsigned frames.
    pub fn peer_row(&self, slot: u32) -> Peer {
        self.windows.read(slot as usize)
    }

    /// What the controller wrote of a peer slot's signed frames.
    pub fn signed_row(&self, slot: u32) -> SignedPeer {
        self.signed.read(slot as usize)
    }
}

/// Where a signed window's word lies in its row.
fn signed_offset(generation: usize, word: usize) -> usize {
    assert!(
        generation < GENERATIONS && word < WINDOW_WORDS,
        "indices of a window"
    );
    offset_of!(SignedPeer, windows) + (generation * WINDOW_WORDS + word) * size_of::<u64>()
}

impl Maps for KernelMaps {
    type Error = MapError;

    fn keys(&self) -> Result<Keys, MapError> {
        Ok(self.keys.read(0))
    }

    fn write_key_slot(&mut self, slot: usize, key: &KeySlot) -> Result<(), MapError> {
        let offset = offset_of!(Keys, slots) + slot * size_of::<KeySlot>();
        self.keys.write_at(0, offset, key);
        Ok(())
    }

    fn write_key_id(&mut self, slot: usize, id: u32) -> Result<(), MapError> {
        let offset = offset_of!(Keys, ids) + slot * size_of::<u32>();
        self.keys.write_at(0, offset, &id);
        Ok(())
    }

    fn clear_generation(&mut self, generation: usize) -> Result<(), MapError> {
        const EMPTY: Window = [0; WINDOW_WORDS];
        let unsigned = offset_of!(Peer, windows) + generation * size_of::<[Window; 2]>();
        for slot in 0..MAX_PEERS {
            self.windows.write_at(slot, unsigned, &[EMPTY; 2]);
            self.signed
                .write_at(slot, signed_offset(generation, 0), &EMPTY);
        }
        Ok(())
    }

    fn peers(&self) -> Result<Vec<([u8; 8], u32)>, MapError> {
        Ok(self.roster.members())
    }

    fn departed(&self) -> Result<Vec<([u8; 8], u32)>, MapError> {
        Ok(self.roster.departed())
    }

    fn clear_peers(&mut self) -> Result<(), MapError> {
        self.roster.clear();
        Ok(())
    }

    fn write_peer(&mut self, id: [u8; 8], slot: u32) -> Result<(), MapError> {
        self.roster.insert(id, slot)
    }

    fn remove_peer(&mut self, id: [u8; 8]) -> Result<(), MapError> {
        self.roster.remove(id);
        Ok(())
    }

    fn clear_peer(&mut self, slot: u32) -> Result<(), MapError> {
        self.windows.write(slot as usize, &Peer::NEW);
        self.signed.write(slot as usize, &SignedPeer::NEW);
        Ok(())
    }

    fn signed_word(&self, slot: u32, generation: usize, word: usize) -> Result<u64, MapError> {
        Ok(self.signed.read(slot as usize).windows[generation][word])
    }

    fn write_signed_word(
        &mut self,
        slot: u32,
        generation: usize,
        word: usize,
        value: u64,
    ) -> Result<(), MapError> {
        self.signed
            .write_at(slot as usize, signed_offset(generation, word), &value);
        Ok(())
    }

    fn signed_arrival(&self, slot: u32) -> Result<u64, MapError> {
        Ok(self.signed.read(slot as usize).arrival)
    }

    fn write_signed_arrival(&mut self, slot: u32, arrival: u64) -> Result<(), MapError> {
        self.signed
            .write_at(slot as usize, offset_of!(SignedPeer, arrival), &arrival);
        Ok(())
    }

    fn config(&self) -> Result<Config, MapError> {
        Ok(self.config.read(0))
    }

    fn write_config(&mut self, config: &Config) -> Result<(), MapError> {
        self.config.write(0, config);
        Ok(())
    }
}
