//! The filter's maps at one instant, as far as one frame is concerned. Commits go nowhere.

use std::sync::atomic::{AtomicU64, Ordering};

use nexus0_common::classify::State;
use nexus0_common::maps::{Config, Keys, Peer, SignedPeer, WINDOW_WORDS};
use nexus0_common::packet::PAYLOAD;
use nexus0_common::wire::Class;

const CLASSES: usize = 2;

/// Copies of what a frame is judged against. The door's rates and last tags are taken to be free.
pub struct Snapshot {
    config: Config,
    keys: Keys,
    now: u64,
    peer: Option<([u8; 8], u32)>,
    windows: Vec<AtomicU64>,
    signed: Vec<AtomicU64>,
    arrival: AtomicU64,
    signed_arrival: AtomicU64,
    free: AtomicU64,
}

impl Snapshot {
    /// Maps in which nobody is known.
    pub fn new(config: &Config, keys: &Keys, now: u64) -> Self {
        Self {
            config: *config,
            keys: *keys,
            now,
            peer: None,
            windows: Vec::new(),
            signed: Vec::new(),
            arrival: AtomicU64::new(0),
            signed_arrival: AtomicU64::new(0),
            free: AtomicU64::new(0),
        }
    }

    /// Makes the frame's sender known.
    #[must_use]
    pub fn with_peer(mut self, id: [u8; 8], slot: u32, peer: &Peer, signed: &SignedPeer) -> Self {
        let words = peer.windows.iter().flatten().flatten();
        self.windows = words.copied().map(AtomicU64::new).collect();
        self.signed = signed
            .windows
            .iter()
            .flatten()
            .copied()
            .map(AtomicU64::new)
            .collect();
        self.arrival = AtomicU64::new(peer.arrival);
        self.signed_arrival = AtomicU64::new(signed.arrival);
        self.peer = Some((id, slot));
        self
    }

    /// The node id a frame claims, if it is long enough to claim one.
    pub fn sender(frame: &[u8]) -> Option<[u8; 8]> {
        frame.get(PAYLOAD + 8..)?.first_chunk().copied()
    }
}

impl State for Snapshot {
    fn config(&self) -> Option<&Config> {
        Some(&self.config)
    }

    fn keys(&self) -> Option<&Keys> {
        Some(&self.keys)
    }

    fn now(&self) -> u64 {
        self.now
    }

    fn peer(&self, sender: &[u8; 8]) -> Option<u32> {
        self.peer
            .filter(|(id, _)| id == sender)
            .map(|(_, slot)| slot)
    }

    fn window(&self, _: u32, generation: u32, class: Class, word: usize) -> Option<&AtomicU64> {
        let set = generation as usize * CLASSES + class as usize;
        self.windows.get(set * WINDOW_WORDS + word)
    }

    fn arrival(&self, _: u32) -> Option<&AtomicU64> {
        Some(&self.arrival)
    }

    fn signed_window(&self, _: u32, generation: u32, word: usize) -> Option<&AtomicU64> {
        self.signed.get(generation as usize * WINDOW_WORDS + word)
    }

    fn signed_arrival(&self, _: u32) -> Option<&AtomicU64> {
        Some(&self.signed_arrival)
    }

    fn door_arrival(&self, _: u32) -> Option<&AtomicU64> {
        Some(&self.free)
    }

    fn door_cell(&self, _: u32, _: usize) -> Option<&AtomicU64> {
        Some(&self.free)
    }

    fn door_seen(&self, _: u32, _: usize) -> Option<&AtomicU64> {
        Some(&self.free)
    }

    fn load(&self, word: &AtomicU64) -> u64 {
        word.load(Ordering::Relaxed)
    }

    fn compare_exchange(&self, _: &AtomicU64, _: u64, _: u64) -> bool {
        true
    }
}
