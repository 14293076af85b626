//! A host's filter over its maps in memory: the one judgement, with tags remembered between hosts.

use core::sync::atomic::AtomicU64;

use nexus0_common::auth::{Midstates, words};
use nexus0_common::classify::{State, classify};
use nexus0_common::maps::{Config, Keys};
use nexus0_common::memory::MemoryMaps;
use nexus0_common::packet::Packet as Bytes;
use nexus0_common::reason::Verdict;
use nexus0_common::wire::{Class, authenticated_len};

use super::packet::Packet;
use crate::memo;
use crate::sabotage::{Sabotage, planted};

/// Judges a frame as the kernel would.
pub(crate) fn judge(maps: &MemoryMaps, packet: &Packet) -> Verdict {
    let payload = packet.payload();
    let scratch = AtomicU64::new(0);
    classify(
        packet.ethernet(),
        &Judge {
            maps,
            payload,
            scratch,
        },
    )
}

struct Judge<'a> {
    maps: &'a MemoryMaps,
    payload: &'a [u8],
    /// Stands for a window that nobody looks at.
    scratch: AtomicU64,
}

impl Judge<'_> {
    fn tag_matches(&self, slot: usize, blocks: usize, tag: &[u64; 4]) -> Option<bool> {
        let key = self.maps.keys.slots.get(slot)?;
        let (inner, outer) = (key.inner, key.outer);
        let frame = self.payload.get(..authenticated_len(blocks))?;
        let computed = memo::tag(&Midstates { inner, outer }, frame)?;
        Some(words(&computed) == *tag || planted(Sabotage::SkipTag))
    }

    fn unseen<'a>(&'a self, window: Option<&'a AtomicU64>) -> Option<&'a AtomicU64> {
        if planted(Sabotage::IgnoreWindow) {
            return Some(&self.scratch);
        }
        window
    }
}

impl State for Judge<'_> {
    fn config(&self) -> Option<&Config> {
        self.maps.config()
    }

    fn keys(&self) -> Option<&Keys> {
        self.maps.keys()
    }

    fn now(&self) -> u64 {
        self.maps.now()
    }

    fn peer(&self, sender: &[u8; 8]) -> Option<u32> {
        self.maps.peer(sender)
    }

    fn window(&self, peer: u32, generation: u32, class: Class, word: usize) -> Option<&AtomicU64> {
        self.unseen(self.maps.window(peer, generation, class, word))
    }

    fn arrival(&self, peer: u32) -> Option<&AtomicU64> {
        self.maps.arrival(peer)
    }

    fn signed_window(&self, peer: u32, generation: u32, word: usize) -> Option<&AtomicU64> {
        self.unseen(self.maps.signed_window(peer, generation, word))
    }

    fn signed_arrival(&self, peer: u32) -> Option<&AtomicU64> {
        self.maps.signed_arrival(peer)
    }

    fn door_arrival(&self, half: u32) -> Option<&AtomicU64> {
        self.maps.door_arrival(half)
    }

    fn door_cell(&self, half: u32, cell: usize) -> Option<&AtomicU64> {
        self.maps.door_cell(half, cell)
    }

    fn door_seen(&self, half: u32, cell: usize) -> Option<&AtomicU64> {
        self.maps.door_seen(half, cell)
    }

    fn load(&self, word: &AtomicU64) -> u64 {
        self.maps.load(word)
    }

    fn compare_exchange(&self, word: &AtomicU64, current: u64, new: u64) -> bool {
        self.maps.compare_exchange(word, current, new)
    }

    fn check_tag<P: Bytes + ?Sized>(
        &self,
        _: &P,
        slot: usize,
        blocks: usize,
        tag: &[u64; 4],
    ) -> Result<(), Verdict> {
        match self.tag_matches(slot, blocks, tag) {
            Some(true) => Ok(()),
            Some(false) => Err(Verdict::Tag),
            None => Err(Verdict::Internal),
        }
    }
}

#[cfg(test)]
mod tests {
    use nexus0_common::classify::classify;
    use nexus0_common::wire::Slot;

    use super::*;
    use crate::sim::packet::Origin;
    use crate::sim::{Sim, seconds};

    #[test]
    fn remembered_tags_change_no_verdict() {
        let mut sim = Sim::settled(1, &[50, 40, 30]);
        sim.blocked.extend([(0, 2), (1, 2)]);
        sim.run(seconds(4));
        let _memo = memo::Remembering::new();
        let from = sim.now - seconds(4);
        let frames: Vec<_> = sim
            .sent
            .iter()
            .filter(|sent| sent.at > from)
            .cloned()
            .collect();
        let mut met = std::collections::BTreeSet::new();
        // Without the door's: it would remember them.
        let member = |sent: &&crate::sim::checks::Sent| sent.frame_type().slot() == Slot::Epoch;
        for sent in frames.iter().filter(member) {
            let mut payload = sent.payload.clone();
            payload[30] ^= 1;
            let source = sim.nodes[sent.from].address;
            let packet = Packet::new(
                Origin::Stranger,
                source,
                sent.destination,
                &payload,
                sim.now,
            );
            for to in 0..3 {
                let plain = classify(packet.ethernet(), sim.maps(to));
                assert_eq!(judge(sim.maps(to), &packet), plain);
                met.insert(plain);
            }
        }
        assert!(met.contains(&Verdict::Tag), "{met:?}");
        assert!(memo::Remembering::counts().1 > 0, "no tag was looked at");
    }
}
