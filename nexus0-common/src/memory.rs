//! The filter's maps in ordinary memory: what the simulator, `explain` and the tests judge against.

use core::cell::{Cell, OnceCell};
use core::sync::atomic::{AtomicU64, Ordering};
use std::boxed::Box;
use std::collections::BTreeMap;
use std::vec::Vec;

use crate::auth::sha256::{self, Block};
use crate::classify::State;
use crate::door::HALVES;
use crate::maps::{
    Config, DOOR_CELLS, Door, GENERATIONS, Keys, Peer, SignedPeer, WINDOW_WORDS, Window,
};
use crate::wire::Class;

/// All maps of one filter. Peer rows appear as the controller names them.
#[derive(Debug)]
pub struct MemoryMaps {
    /// What the controller configured.
    pub config: Config,
    /// The key slots.
    pub keys: Keys,
    /// What [`State::now`] answers, boot-clock nanoseconds.
    pub now: u64,
    /// Peer slots by node id.
    pub peers: BTreeMap<[u8; 8], u32>,
    /// Nodes that went and whose slots nobody has got since.
    pub departed: BTreeMap<[u8; 8], u32>,
    rows: Vec<Row>,
    door: Box<Words<{ HALVES * DOOR_WORDS }>>,
    compressions: Cell<u64>,
}

type Words<const N: usize> = [AtomicU64; N];

/// Words of one half of the door: all, cells, tags.
const DOOR_WORDS: usize = 1 + 2 * DOOR_CELLS;
const CLASSES: usize = 2;

/// A window, in memory once somebody looks at it: most stay zero.
type Lazy = OnceCell<Box<Words<WINDOW_WORDS>>>;

#[derive(Debug, Default)]
struct Row {
    arrival: AtomicU64,
    unsigned: [[Lazy; CLASSES]; GENERATIONS],
    signed_arrival: AtomicU64,
    signed: [Lazy; GENERATIONS],
}

fn word(window: &Lazy, word: usize) -> Option<&AtomicU64> {
    window.get_or_init(|| Box::new(zeros())).get(word)
}

fn copy(window: &Lazy, to: &mut Window) {
    let words = window.get().into_iter().flat_map(|words| words.iter());
    to.iter_mut()
        .zip(words)
        .for_each(|(to, from)| *to = from.load(Ordering::Relaxed));
}

fn zeros<const N: usize>() -> Words<N> {
    core::array::from_fn(|_| AtomicU64::new(0))
}

impl MemoryMaps {
    /// Empty maps under this configuration.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            keys: Keys::default(),
            now: 0,
            peers: BTreeMap::new(),
            departed: BTreeMap::new(),
            rows: Vec::new(),
            door: Box::new(zeros()),
            compressions: Cell::new(0),
        }
    }

    /// SHA-256 compressions spent on judging so far.
    pub fn compressions(&self) -> u64 {
        self.compressions.get()
    }

    /// Forgets everything a peer slot holds.
    pub fn clear_peer(&mut self, peer: u32) {
        *self.row_mut(peer) = Row::default();
    }

    /// Forgets what all peers sent under the keys of a generation.
    pub fn clear_generation(&mut self, generation: u32) {
        let generation = generation as usize;
        for row in &mut self.rows {
            let unsigned = row.unsigned.get_mut(generation).into_iter().flatten();
            let signed = row.signed.get_mut(generation);
            unsigned
                .chain(signed)
                .for_each(|window| drop(window.take()));
        }
    }

    /// Writes a word of a signed window, as the controller does after the signature.
    pub fn store_signed(&mut self, peer: u32, generation: u32, word: usize, value: u64) {
        let window = self.row_mut(peer).signed.get(generation as usize);
        if let Some(cell) = window.and_then(|window| self::word(window, word)) {
            cell.store(value, Ordering::Relaxed);
        }
    }

    /// Writes the arrival time of a member's signed frames.
    pub fn store_signed_arrival(&mut self, peer: u32, value: u64) {
        *self.row_mut(peer).signed_arrival.get_mut() = value;
    }

    /// A member's unsigned windows and rate as the map holds them.
    pub fn peer_row(&self, peer: u32) -> Peer {
        let mut value = Peer::NEW;
        if let Some(row) = self.rows.get(peer as usize) {
            let windows = row.unsigned.iter().flatten();
            windows
                .zip(value.windows.iter_mut().flatten())
                .for_each(|(from, to)| copy(from, to));
            value.arrival = row.arrival.load(Ordering::Relaxed);
        }
        value
    }

    /// A member's signed windows and rate as the map holds them.
    pub fn signed_row(&self, peer: u32) -> SignedPeer {
        let mut value = SignedPeer::NEW;
        if let Some(row) = self.rows.get(peer as usize) {
            let windows = row.signed.iter();
            windows
                .zip(&mut value.windows)
                .for_each(|(from, to)| copy(from, to));
            value.arrival = row.signed_arrival.load(Ordering::Relaxed);
        }
        value
    }

    /// A half of the door as the map holds it.
    pub fn door(&self, half: u32) -> Box<Door> {
        let mut value = Box::new(Door {
            arrival: 0,
            cells: [0; DOOR_CELLS],
            seen: [0; DOOR_CELLS],
        });
        let all = core::iter::once(&mut value.arrival);
        let words = all.chain(&mut value.cells).chain(&mut value.seen);
        words
            .zip(self.door.iter().skip(half as usize * DOOR_WORDS))
            .for_each(|(to, from)| *to = from.load(Ordering::Relaxed));
        value
    }

    fn row_mut(&mut self, peer: u32) -> &mut Row {
        let index = peer as usize;
        while self.rows.len() <= index {
            self.rows.push(Row::default());
        }
        &mut self.rows[index]
    }

    fn row(&self, peer: u32) -> Option<&Row> {
        self.rows.get(peer as usize)
    }
}

impl State for MemoryMaps {
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
        self.peers.get(sender).copied()
    }

    fn window(&self, peer: u32, generation: u32, class: Class, word: usize) -> Option<&AtomicU64> {
        let classes = self.row(peer)?.unsigned.get(generation as usize)?;
        self::word(classes.get(class as usize)?, word)
    }

    fn arrival(&self, peer: u32) -> Option<&AtomicU64> {
        Some(&self.row(peer)?.arrival)
    }

    fn signed_window(&self, peer: u32, generation: u32, word: usize) -> Option<&AtomicU64> {
        self::word(self.row(peer)?.signed.get(generation as usize)?, word)
    }

    fn signed_arrival(&self, peer: u32) -> Option<&AtomicU64> {
        Some(&self.row(peer)?.signed_arrival)
    }

    fn door_arrival(&self, half: u32) -> Option<&AtomicU64> {
        self.door.get(half as usize * DOOR_WORDS)
    }

    fn door_cell(&self, half: u32, cell: usize) -> Option<&AtomicU64> {
        self.door.get(half as usize * DOOR_WORDS + 1 + cell)
    }

    fn door_seen(&self, half: u32, word: usize) -> Option<&AtomicU64> {
        self.door
            .get(half as usize * DOOR_WORDS + 1 + DOOR_CELLS + word)
    }

    fn load(&self, word: &AtomicU64) -> u64 {
        word.load(Ordering::Relaxed)
    }

    fn compare_exchange(&self, word: &AtomicU64, current: u64, new: u64) -> bool {
        word.compare_exchange(current, new, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok()
    }

    fn compress(&self, state: &mut sha256::State, block: &Block) {
        self.compressions.set(self.compressions.get() + 1);
        sha256::compress(state, block);
    }
}
