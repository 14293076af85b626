//! The values in the filter's maps. Kernel and user space share these layouts byte for byte; a change
//! raises [`SCHEMA`].

use crate::reason::COUNTERS;

/// Version of the layouts below; a controller adopts pinned maps of this version only.
pub const SCHEMA: u32 = 4;
/// Key slots: the door and up to seven live epochs.
pub const KEY_SLOTS: usize = 8;
/// The slot of the door.
pub const DOOR_SLOT: usize = 0;
/// Window sets a peer has, one for each key that may be valid at the same time.
pub const GENERATIONS: usize = 4;
/// Words in a window.
pub const WINDOW_WORDS: usize = 32;
/// Members a filter can know.
pub const MAX_PEERS: usize = 1024;
/// Link-local addresses an interface can have.
pub const ADDRESSES: usize = 4;
/// Cells in each half of the door that hold the rates of sources, and words that remember tags. A power of two.
pub const DOOR_CELLS: usize = 4096;
/// Bytes of a refused frame that an event carries.
pub const EVENT_BYTES: usize = 128;
/// Bytes of the event ring buffer.
pub const EVENT_RING: usize = 256 * 1024;

/// Receive queues whose accepted frames can go to sockets of the controller's own; those of further ones go
/// through the stack.
pub const QUEUES: usize = 64;

/// Index of the counter of events that found the ring full.
pub const EVENTS_LOST: usize = COUNTERS - 1;

/// One sliding window: each word is `block << 32 | bits`, see [`crate::replay`].
pub type Window = [u64; WINDOW_WORDS];

/// What a frame of one epoch is checked against. Times are boot-clock nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct KeySlot {
    /// First instant of validity.
    pub not_before: u64,
    /// First instant after validity.
    pub not_after: u64,
    /// SipHash key of the pre-tag.
    pub pre_tag: [u64; 2],
    /// SHA-256 state after the HMAC inner pad.
    pub inner: [u32; 8],
    /// SHA-256 state after the HMAC outer pad.
    pub outer: [u32; 8],
    /// Which window set of a peer belongs to this key.
    pub generation: u32,
    /// Keeps the size a multiple of eight.
    pub spare: u32,
}

/// All key slots. An id (the four wire bytes in memory order, zero for an empty slot) is written after
/// its slot is complete and cleared before the slot changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Keys {
    /// Key ids by slot.
    pub ids: [u32; KEY_SLOTS],
    /// Keys by slot.
    pub slots: [KeySlot; KEY_SLOTS],
}

/// A rate as the generic cell rate algorithm wants it (ITU-T I.371).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Rate {
    /// Nanoseconds one frame is worth.
    pub interval: u64,
    /// Nanoseconds a burst may run ahead.
    pub burst: u64,
}

/// What this node drew itself, as words in memory order: a frame at the door that carries one of these is
/// bound. Zero binds nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Own {
    /// The current and the previous door nonce.
    pub nonces: [u32; 2],
    /// First eight bytes of the id of this node's request to join.
    pub request: u64,
}

/// Keys remembered in [`Config::worn`].
pub const WORN: usize = 8;

/// What the controller tells the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Config {
    /// [`SCHEMA`] of the writer.
    pub schema: u32,
    /// UDP port of the mesh.
    pub port: u16,
    /// Entries of `addresses` in use.
    pub address_count: u8,
    /// Bits of [`flags`].
    pub flags: u8,
    /// Addresses of this interface.
    pub addresses: [[u8; 16]; ADDRESSES],
    /// Boot-clock nanoseconds of the controller's last sign of life.
    pub heartbeat: u64,
    /// Boot-random SipHash key that spreads sources over the door's cells.
    pub cell_key: [u64; 2],
    /// Rate of one member's unsigned frames, and that of its signed ones.
    pub member: Rate,
    /// Rate of one source at the door.
    pub source: Rate,
    /// Rate of each half of the door.
    pub door: Rate,
    /// What binds frames at the door.
    pub own: Own,
    /// For each verdict, an event is written for one frame in `2^shift`; 255 for none.
    pub sample_shift: [u8; COUNTERS],
    /// Ids of keys whose windows were given to others before their time was over; 0 for none. The filter does not
    /// read it: it is here so that a next controller knows.
    pub worn: [u32; WORN],
}

/// Bits of [`Config::flags`].
pub mod flags {
    /// This node is joining: answers and holds may pass.
    pub const JOINING: u8 = 1;
    /// Count, but pass everything.
    pub const OBSERVE: u8 = 2;
    /// Accepted frames go to the AF_XDP socket of their queue, where there is one.
    pub const REDIRECT: u8 = 4;
}

/// Windows and rate of one member's unsigned frames; only the filter writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Peer {
    /// By generation and class (multicast, unicast).
    pub windows: [[Window; 2]; GENERATIONS],
    /// Theoretical arrival time of the next frame.
    pub arrival: u64,
}

/// Windows and rate of one member's signed frames; only the controller writes them, after the signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct SignedPeer {
    /// By generation.
    pub windows: [Window; GENERATIONS],
    /// Theoretical arrival time of the next frame.
    pub arrival: u64,
}

/// The state of one half of the door: entry 0 of the map for what is not bound, entry 1 for what is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Door {
    /// Theoretical arrival time of the next frame.
    pub arrival: u64,
    /// The same by hashed source.
    pub cells: [u64; DOOR_CELLS],
    /// Tags seen, see [`crate::door::place`].
    pub seen: [u64; DOOR_CELLS],
}

/// Frames and bytes of one verdict on one processor. Bytes count from the Ethernet header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Counter {
    /// Frames.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A sampled refused frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct DropEvent {
    /// Length of the frame.
    pub length: u32,
    /// Number of the [`crate::reason::Verdict`].
    pub verdict: u8,
    /// Bytes of `bytes` in use.
    pub captured: u8,
    /// Keeps the size a multiple of four.
    pub spare: [u8; 2],
    /// The beginning of the frame.
    pub bytes: [u8; EVENT_BYTES],
}

const _: () = {
    assert!(size_of::<KeySlot>() == 104);
    assert!(size_of::<Keys>() == 32 + KEY_SLOTS * 104);
    assert!(size_of::<Config>() == 8 + 64 + 8 + 16 + 3 * 16 + 16 + 64 + 4 * WORN);
    assert!(size_of::<Peer>() == 2048 + 8);
    assert!(size_of::<SignedPeer>() == 1024 + 8);
    assert!(size_of::<Door>() == 8 + 2 * 8 * DOOR_CELLS);
    assert!(size_of::<Counter>() == 16);
    assert!(size_of::<DropEvent>() == 8 + EVENT_BYTES);
    assert!(DOOR_CELLS.is_power_of_two());
};

impl Peer {
    /// A member nothing was heard of.
    pub const NEW: Self = Self {
        windows: [[[0; WINDOW_WORDS]; 2]; GENERATIONS],
        arrival: 0,
    };
}

impl SignedPeer {
    /// A member nothing was heard of.
    pub const NEW: Self = Self {
        windows: [[0; WINDOW_WORDS]; GENERATIONS],
        arrival: 0,
    };
}

/// Rate of each half of the door: 1,000 frames/s, 256 ahead.
pub const DOOR_RATE: Rate = Rate {
    interval: 1_000_000,
    burst: 256_000_000,
};

impl Config {
    /// The settings PROTOCOL section 4 gives, for a filter that knows no address yet.
    pub const fn new(port: u16, cell_key: [u64; 2]) -> Self {
        const MILLISECOND: u64 = 1_000_000;
        Self {
            schema: SCHEMA,
            port,
            address_count: 0,
            flags: 0,
            addresses: [[0; 16]; ADDRESSES],
            heartbeat: 0,
            cell_key,
            member: Rate {
                interval: MILLISECOND,
                burst: 256 * MILLISECOND,
            },
            source: Rate {
                interval: 100 * MILLISECOND,
                burst: 1600 * MILLISECOND,
            },
            door: DOOR_RATE,
            own: Own {
                nonces: [0; 2],
                request: 0,
            },
            sample_shift: [10; COUNTERS],
            worn: [0; WORN],
        }
    }
}
