//! A node that restarts does not send under a key again what it sent before: it starts above the floor.

use std::collections::BTreeMap;

use nexus0_common::wire::{Header, Slot};

/// Keys and senders remembered; the oldest go.
const REMEMBERED: usize = 4096;

/// No answer starts a sequence lower.
const FLOOR: u64 = 1 << 20;

/// The highest sequence that each node sent under each key.
#[derive(Debug, Default)]
pub(super) struct Sequences(BTreeMap<([u8; 8], [u8; 4]), u64>);

impl Sequences {
    /// A frame goes out.
    pub(super) fn sent(&mut self, header: &Header) -> Result<(), String> {
        if header.frame_type.slot() == Slot::Door {
            return Ok(());
        }
        if self.0.len() >= REMEMBERED {
            self.0.clear();
        }
        let highest = self.0.entry((header.sender, header.key_id)).or_default();
        // An anchor that heard nothing of a node's earlier life gives the least floor once more.
        if header.sequence <= *highest && header.sequence <= FLOOR {
            return Err(format!("{} after {highest}", header.sequence));
        }
        *highest = header.sequence;
        Ok(())
    }
}
