//! The filter's maps in memory, for judging without a kernel.

use core::convert::Infallible;

use nexus0_common::classify::State;
use nexus0_common::maps::{Config, KeySlot, Keys};
use nexus0_common::memory::MemoryMaps;

use crate::filter::Maps;

impl Maps for MemoryMaps {
    type Error = Infallible;

    fn keys(&self) -> Result<Keys, Infallible> {
        Ok(self.keys)
    }

    fn write_key_slot(&mut self, slot: usize, key: &KeySlot) -> Result<(), Infallible> {
        if let Some(held) = self.keys.slots.get_mut(slot) {
            *held = *key;
        }
        Ok(())
    }

    fn write_key_id(&mut self, slot: usize, id: u32) -> Result<(), Infallible> {
        if let Some(held) = self.keys.ids.get_mut(slot) {
            *held = id;
        }
        Ok(())
    }

    fn clear_generation(&mut self, generation: usize) -> Result<(), Infallible> {
        Self::clear_generation(self, generation as u32);
        Ok(())
    }

    fn peers(&self) -> Result<Vec<([u8; 8], u32)>, Infallible> {
        Ok(self.peers.iter().map(|(id, slot)| (*id, *slot)).collect())
    }

    fn write_peer(&mut self, id: [u8; 8], slot: u32) -> Result<(), Infallible> {
        self.departed.retain(|_, left| *left != slot);
        self.departed.remove(&id);
        self.peers.insert(id, slot);
        Ok(())
    }

    fn departed(&self) -> Result<Vec<([u8; 8], u32)>, Infallible> {
        Ok(self
            .departed
            .iter()
            .map(|(id, slot)| (*id, *slot))
            .collect())
    }

    fn clear_peers(&mut self) -> Result<(), Infallible> {
        self.peers.clear();
        self.departed.clear();
        Ok(())
    }

    fn remove_peer(&mut self, id: [u8; 8]) -> Result<(), Infallible> {
        let slot = self.peers.remove(&id);
        self.departed.extend(slot.map(|slot| (id, slot)));
        Ok(())
    }

    fn clear_peer(&mut self, slot: u32) -> Result<(), Infallible> {
        Self::clear_peer(self, slot);
        Ok(())
    }

    fn signed_word(&self, slot: u32, generation: usize, word: usize) -> Result<u64, Infallible> {
        let cell = self.signed_window(slot, generation as u32, word);
        Ok(cell.map_or(0, |cell| self.load(cell)))
    }

    fn write_signed_word(
        &mut self,
        slot: u32,
        generation: usize,
        word: usize,
        value: u64,
    ) -> Result<(), Infallible> {
        self.store_signed(slot, generation as u32, word, value);
        Ok(())
    }

    fn signed_arrival(&self, slot: u32) -> Result<u64, Infallible> {
        Ok(self.signed_row(slot).arrival)
    }

    fn write_signed_arrival(&mut self, slot: u32, arrival: u64) -> Result<(), Infallible> {
        self.store_signed_arrival(slot, arrival);
        Ok(())
    }

    fn config(&self) -> Result<Config, Infallible> {
        Ok(self.config)
    }

    fn write_config(&mut self, config: &Config) -> Result<(), Infallible> {
        self.config = *config;
        Ok(())
    }
}
