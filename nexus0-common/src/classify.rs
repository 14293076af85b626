//! The judgement: what happens to a frame. The program in the kernel, the simulator, `explain` and the
//! tests compile this one function; they differ in where bytes and maps come from.
//!
//! The order of the checks is the order of what they cost and of what a stranger can choose: shape,
//! key id, pre-tag; only then the clock, the sender, the window, the tag. Nothing is charged to
//! anybody before the pre-tag, and nothing is written before the tag.

use core::hint::black_box;

use core::borrow::BorrowMut;
use core::sync::atomic::AtomicU64;

use crate::auth::sha256::{self, Block};
use crate::auth::{self, hmac, siphash};
use crate::door;
use crate::maps::{Config, DOOR_CELLS, DOOR_SLOT, KEY_SLOTS, KeySlot, Keys, flags};
use crate::memory_order::{u16_at, u32_at, u64_at};
use crate::packet::{self, ETHERNET, HEAD, PAYLOAD, Packet};
use crate::rate;
use crate::reason::Verdict;
use crate::replay::{self, Position};
use crate::wire::{
    Class, FrameType, GROUP, HIGHEST_VERSION, LOWEST_VERSION, MAGIC, MAX_BLOCKS, PRE_TAG_LEN,
    TRAILER_LEN, Traits, UNICAST_BIT,
};

/// Attempts to commit against other processors.
const ATTEMPTS: usize = 4;

/// The maps as the judgement sees them. `None` means that a map could not be read.
pub trait State {
    /// What the controller configured.
    fn config(&self) -> Option<&Config>;
    /// The key slots.
    fn keys(&self) -> Option<&Keys>;
    /// Boot-clock nanoseconds.
    fn now(&self) -> u64;
    /// The peer slot of a node id, `None` if it is not in the roster.
    fn peer(&self, sender: &[u8; 8]) -> Option<u32>;
    /// A word of a member's window for unsigned frames.
    fn window(&self, peer: u32, generation: u32, class: Class, word: usize) -> Option<&AtomicU64>;
    /// The arrival time of a member's unsigned frames.
    fn arrival(&self, peer: u32) -> Option<&AtomicU64>;
    /// A word of a member's window for signed frames.
    fn signed_window(&self, peer: u32, generation: u32, word: usize) -> Option<&AtomicU64>;
    /// The arrival time of a member's signed frames.
    fn signed_arrival(&self, peer: u32) -> Option<&AtomicU64>;
    /// The arrival time of a half of the door: 0 for what is not bound, 1 for what is.
    fn door_arrival(&self, half: u32) -> Option<&AtomicU64>;
    /// The arrival time of the sources that share a cell of a half.
    fn door_cell(&self, half: u32, cell: usize) -> Option<&AtomicU64>;
    /// A word of the tags seen in a half.
    fn door_seen(&self, half: u32, word: usize) -> Option<&AtomicU64>;
    /// Reads a word. (LLVM selects no atomic load below BPF v4; a plain one of 8 aligned bytes is one.)
    fn load(&self, word: &AtomicU64) -> u64;
    /// Stores `new` if the word still is `current`.
    fn compare_exchange(&self, word: &AtomicU64, current: u64, new: u64) -> bool;
    /// Room for a block: the kernel's 512 bytes of stack are short.
    #[inline(always)]
    fn block(&self) -> Option<impl BorrowMut<Block>> {
        Some([0; 16])
    }
    /// One SHA-256 compression; the host counts them here.
    #[inline(always)]
    fn compress(&self, state: &mut sha256::State, block: &Block) {
        sha256::compress(state, block);
    }

    /// The key in a slot; `unknown` as in [`Self::forget`].
    #[inline(always)]
    fn key<'a>(&self, keys: &'a Keys, slot: usize, unknown: u64) -> Option<&'a KeySlot> {
        let _ = unknown;
        keys.slots.get(slot)
    }
    /// The same number, but the verifier in the kernel no longer knows which path gave it which value: after this
    /// all paths are one to it. `unknown` is anything that was read from the packet.
    #[inline(always)]
    fn forget(&self, number: usize, unknown: u64) -> usize {
        let _ = unknown;
        number
    }

    // The two seams: the kernel's program makes a function of its own of each, so that the verifier
    // looks at it once and not on every path that leads there.

    /// [`door::bound`].
    #[inline(always)]
    fn bound<P: Packet + ?Sized>(&self, packet: &P, kind: u8, blocks: usize) -> bool {
        self.config()
            .is_some_and(|config| door::bound(packet, PAYLOAD, kind, blocks, &config.own))
    }

    /// [`check_tag`].
    #[inline(always)]
    fn check_tag<P: Packet + ?Sized>(
        &self,
        packet: &P,
        slot: usize,
        blocks: usize,
        tag: &[u64; 4],
    ) -> Result<(), Verdict>
    where
        Self: Sized,
    {
        check_tag(packet, self, slot, blocks, tag)
    }
}

/// Judges one Ethernet frame.
#[inline(always)]
pub fn classify<P: Packet + ?Sized, S: State>(packet: &P, state: &S) -> Verdict {
    match judge(packet, state) {
        Ok(()) => Verdict::Accepted,
        Err(verdict) => verdict,
    }
}

#[inline(always)]
fn judge<P: Packet + ?Sized, S: State>(packet: &P, state: &S) -> Result<(), Verdict> {
    let Some(config) = state.config() else {
        return Err(Verdict::Internal);
    };
    let head = packet::head(packet, config)?;
    let frame = shape(head, config)?;
    let trailer = Trailer::read(packet, frame.blocks)?;
    let Some(keys) = state.keys() else {
        return Err(Verdict::Internal);
    };
    let slot = state.forget(find_key(keys, frame.key_id), frame.sequence);
    if slot >= KEY_SLOTS {
        return Err(Verdict::UnknownKey);
    }
    let Some(key) = state.key(keys, slot, frame.sequence) else {
        return Err(Verdict::Internal);
    };
    let at_door = frame.traits.at_door();
    if at_door != (slot == DOOR_SLOT) {
        return Err(Verdict::UnknownKey);
    }
    check_pre_tag(&frame, key, &trailer)?;
    let now = state.now();
    if now < key.not_before {
        return Err(Verdict::EarlyKey);
    }
    if now >= key.not_after {
        return Err(Verdict::StaleEpoch);
    }
    let admission = if at_door {
        let half = u32::from(state.bound(packet, frame.kind, frame.blocks));
        knock(state, config, &frame, half, trailer.tag[0], now)?
    } else {
        look(state, config, &frame, key, now)?
    };
    state.check_tag(packet, slot, frame.blocks, &trailer.tag)?;
    admission.commit(state, config, now)
}

/// What the checks behind the shape need of a frame.
struct Frame<'a> {
    source: &'a [u8; 16],
    destination: &'a [u8; 16],
    sender: &'a [u8; 8],
    kind: u8,
    traits: Traits,
    class: Class,
    key_id: u32,
    sequence: u64,
    blocks: usize,
}

/// Addresses, lengths and the fixed fields of the header.
#[inline(always)]
fn shape<'a>(head: &'a [u8; HEAD], config: &Config) -> Result<Frame<'a>, Verdict> {
    let source = array::<16>(head, ETHERNET + 8);
    let destination = array::<16>(head, ETHERNET + 24);
    let header = array::<24>(head, PAYLOAD);
    if head[ETHERNET + 7] != 255 {
        return Err(Verdict::HopLimit);
    }
    if u64_at(source, 0) != u64::from_ne_bytes([0xfe, 0x80, 0, 0, 0, 0, 0, 0]) {
        return Err(Verdict::Source);
    }
    let class = class_of(destination, config)?;
    let kind = header[3];
    if (kind & UNICAST_BIT != 0) != (class == Class::Unicast) {
        return Err(Verdict::Class);
    }
    let udp_length = u16_at(head, ETHERNET + 44);
    if udp_length != u16_at(head, ETHERNET + 4) {
        return Err(Verdict::UdpLength);
    }
    if header[0] != MAGIC[0] || header[1] != MAGIC[1] {
        return Err(Verdict::Magic);
    }
    if !(LOWEST_VERSION..=HIGHEST_VERSION).contains(&header[2]) {
        return Err(Verdict::Version);
    }
    let Some(traits) = Traits::from_number(kind & !UNICAST_BIT) else {
        return Err(Verdict::Type);
    };
    if !traits.allows(class) {
        return Err(Verdict::Type);
    }
    Ok(Frame {
        source,
        destination,
        sender: array::<8>(head, PAYLOAD + 8),
        kind: kind & !UNICAST_BIT,
        traits,
        class,
        key_id: u32_at(header, 4),
        sequence: u64::from_be(u64_at(header, 16)),
        blocks: blocks(u16::from_be(udp_length), traits)?,
    })
}

#[inline(always)]
fn class_of(destination: &[u8; 16], config: &Config) -> Result<Class, Verdict> {
    let (high, low) = (u64_at(destination, 0), u64_at(destination, 8));
    if high == u64_at(&GROUP, 0) && low == u64_at(&GROUP, 8) {
        return Ok(Class::Multicast);
    }
    for (index, address) in config.addresses.iter().enumerate() {
        if index < usize::from(config.address_count)
            && high == u64_at(address, 0)
            && low == u64_at(address, 8)
        {
            return Ok(Class::Unicast);
        }
    }
    Err(Verdict::Destination)
}

/// SHA-256 blocks of a frame in a UDP datagram of this length: `8 + 64k + 31` bytes.
#[inline(always)]
fn blocks(udp_length: u16, traits: Traits) -> Result<usize, Verdict> {
    let payload = usize::from(udp_length).wrapping_sub(8);
    let blocks = payload >> 6;
    if payload & 63 != 31 || blocks == 0 || blocks > MAX_BLOCKS || !traits.fits(blocks) {
        return Err(Verdict::Length);
    }
    Ok(blocks)
}

/// The slot that holds the key id, [`KEY_SLOTS`] if none does.
#[inline(always)]
pub fn find_key(keys: &Keys, id: u32) -> usize {
    let mut slot = 0;
    while slot < KEY_SLOTS {
        if keys.ids[slot] == id && id != 0 {
            return slot;
        }
        slot += 1;
    }
    KEY_SLOTS
}

/// Pre-tag and tag as words in memory order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Trailer {
    /// The pre-tag.
    pub pre_tag: u64,
    /// The tag.
    pub tag: [u64; 4],
}

impl Trailer {
    /// The trailer of a frame of so many blocks.
    #[inline(always)]
    pub fn read<P: Packet + ?Sized>(packet: &P, blocks: usize) -> Result<Self, Verdict> {
        let bytes = packet.behind::<TRAILER_LEN>(PAYLOAD - 9, blocks)?;
        Ok(Self {
            pre_tag: u64_at(bytes, 0),
            tag: auth::words(array(bytes, PRE_TAG_LEN)),
        })
    }
}

#[inline(always)]
fn check_pre_tag(frame: &Frame<'_>, key: &KeySlot, trailer: &Trailer) -> Result<(), Verdict> {
    let expected = auth::pre_tag(
        &key.pre_tag,
        frame.source,
        frame.destination,
        frame.class,
        frame.sender,
        frame.sequence,
        &trailer.tag,
    );
    if u64::from_le(trailer.pre_tag) == expected {
        Ok(())
    } else {
        Err(Verdict::PreTag)
    }
}

/// What is written once the tag is right.
enum Admission<'a> {
    /// A member's frame that nobody signed: its window and its rate.
    Member {
        position: Position,
        window: &'a AtomicU64,
        arrival: &'a AtomicU64,
    },
    /// A member's signed frame: nothing here, the controller commits after the signature.
    Signed,
    /// A frame at the door: the memory of its tag, the rates of its source (if that counts) and of its half.
    Door {
        place: Position,
        seen: &'a AtomicU64,
        source: Option<&'a AtomicU64>,
        all: &'a AtomicU64,
        refusal: Verdict,
    },
}

/// Looks at the window and the rate of a member.
#[inline(always)]
fn look<'a, S: State>(
    state: &'a S,
    config: &Config,
    frame: &Frame<'_>,
    key: &KeySlot,
    now: u64,
) -> Result<Admission<'a>, Verdict> {
    let Some(peer) = state.peer(frame.sender) else {
        return Err(Verdict::UnknownSender);
    };
    let Some(position) = replay::position(frame.sequence) else {
        return Err(Verdict::Sequence);
    };
    let signed = frame.traits.signed();
    let (window, arrival) = if signed {
        let window = state.signed_window(peer, key.generation, position.word);
        (window, state.signed_arrival(peer))
    } else {
        let window = state.window(peer, key.generation, frame.class, position.word);
        (window, state.arrival(peer))
    };
    let (Some(window), Some(arrival)) = (window, arrival) else {
        return Err(Verdict::Internal);
    };
    if position.mark(state.load(window)).is_none() {
        return Err(Verdict::Replay);
    }
    if rate::charge(state.load(arrival), now, &config.member).is_none() {
        return Err(Verdict::Rate);
    }
    if signed {
        return Ok(Admission::Signed);
    }
    Ok(Admission::Member {
        position,
        window,
        arrival,
    })
}

/// Looks at a frame of one who holds no epoch key. Its source and tag are hashed into cells, so no row is
/// ever made for a stranger.
#[inline(always)]
fn knock<'a, S: State>(
    state: &'a S,
    config: &Config,
    frame: &Frame<'_>,
    half: u32,
    mark: u64,
    now: u64,
) -> Result<Admission<'a>, Verdict> {
    if frame.traits.answers() && config.flags & flags::JOINING == 0 {
        return Err(Verdict::DoorClosed);
    }
    let place = door::place(hash(&config.cell_key, mark), now);
    let cell = hash(&config.cell_key, u64_at(frame.source, 8)) as usize & (DOOR_CELLS - 1);
    let (Some(seen), Some(source), Some(all)) = (
        state.door_seen(half, place.word),
        state.door_cell(half, cell),
        state.door_arrival(half),
    ) else {
        return Err(Verdict::Internal);
    };
    if place.mark(state.load(seen)).is_none() {
        return Err(Verdict::DoorRepeat);
    }
    // Recorded beacons bear their anchor's address: they would use up what its next one needs.
    let counted = frame.kind != FrameType::Beacon as u8;
    Ok(Admission::Door {
        place,
        seen,
        source: counted.then_some(source),
        all,
        refusal: if half == 0 {
            Verdict::DoorRate
        } else {
            Verdict::DoorBound
        },
    })
}

impl Admission<'_> {
    #[inline(always)]
    fn commit<S: State>(self, state: &S, config: &Config, now: u64) -> Result<(), Verdict> {
        match self {
            Self::Signed => Ok(()),
            Self::Member {
                position,
                window,
                arrival,
            } => {
                replace(state, window, Verdict::Replay, |held| position.mark(held))?;
                replace(state, arrival, Verdict::Rate, |held| {
                    rate::charge(held, now, &config.member)
                })
            }
            Self::Door {
                place,
                seen,
                source,
                all,
                refusal,
            } => {
                replace(state, seen, Verdict::DoorRepeat, |held| place.mark(held))?;
                if let Some(source) = source {
                    replace(state, source, Verdict::DoorSource, |held| {
                        rate::charge(held, now, &config.source)
                    })?;
                }
                replace(state, all, refusal, |held| {
                    rate::charge(held, now, &config.door)
                })
            }
        }
    }
}

#[inline(never)]
fn hash(key: &[u64; 2], value: u64) -> u64 {
    siphash::siphash13(key, [value])
}

/// Replaces a word by what `step` makes of it; `refusal` when `step` refuses.
#[inline(always)]
fn replace<S: State>(
    state: &S,
    word: &AtomicU64,
    refusal: Verdict,
    step: impl Fn(u64) -> Option<u64>,
) -> Result<(), Verdict> {
    let mut attempt = 0;
    // Hidden, or LLVM would write every attempt out.
    while black_box(attempt) < ATTEMPTS {
        let held = state.load(word);
        let Some(next) = step(held) else {
            return Err(refusal);
        };
        if state.compare_exchange(word, held, next) {
            return Ok(());
        }
        attempt += 1;
    }
    Err(Verdict::Contention)
}

/// HMAC-SHA256 over header and body, compared without a branch on the way.
#[inline(always)]
pub fn check_tag<P: Packet + ?Sized, S: State>(
    packet: &P,
    state: &S,
    slot: usize,
    blocks: usize,
    tag: &[u64; 4],
) -> Result<(), Verdict> {
    let Some(key) = state.keys().and_then(|keys| state.key(keys, slot, tag[0])) else {
        return Err(Verdict::Internal);
    };
    let (mut inner, mut outer) = (key.inner, key.outer);
    let Some(mut block) = state.block() else {
        return Err(Verdict::Internal);
    };
    let block = block.borrow_mut();
    let mut next = packet.blocks(PAYLOAD);
    let mut index = 0;
    while index < MAX_BLOCKS {
        sha256::load(block, next()?);
        index += 1;
        if index >= blocks {
            hmac::finish(block, index as u32);
        }
        state.compress(&mut inner, block);
        if index >= blocks {
            break;
        }
    }
    hmac::outer_block(block, &inner);
    state.compress(&mut outer, block);
    if difference(&outer, tag) == 0 {
        Ok(())
    } else {
        Err(Verdict::Tag)
    }
}

/// Zero if they are the same. What each word adds is hidden from the compiler, which would otherwise branch on
/// each of them (R19).
#[inline(always)]
fn difference(digest: &sha256::State, tag: &[u64; 4]) -> u64 {
    let [a, b, c, d, e, f, g, h] = digest.map(u64::from);
    let [w0, w1, w2, w3] = tag.map(u64::from_be);
    black_box((a << 32 | b) ^ w0)
        | black_box((c << 32 | d) ^ w1)
        | black_box((e << 32 | f) ^ w2)
        | black_box((g << 32 | h) ^ w3)
}

/// `N` bytes at a constant offset of a fixed-size array.
#[inline(always)]
fn array<const N: usize>(bytes: &[u8], at: usize) -> &[u8; N] {
    match bytes.get(at..).and_then(<[u8]>::first_chunk) {
        Some(array) => array,
        None => &[0; N],
    }
}
