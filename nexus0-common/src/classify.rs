//! The judgement: what happens to a frame. The program in the kernel, the simulator, `explain` and the
//! tests compile this one function; they differ in where bytes and maps come from.
//!
//! The order of the checks is the order of what they cost and of what a stranger can choose: shape,
//! key id, pre-tag; only then the clock, the sender, the window, the tag. Nothing is charged to
//! anybody before the pre-tag, and nothing is written before the tag.

use core::sync::atomic::AtomicU64;

use crate::auth::sha256::{self, Block};
use crate::auth::{self, hmac, siphash};
use crate::maps::{Config, DOOR_CELLS, DOOR_SLOT, KEY_SLOTS, KeySlot, Keys, flags};
use crate::memory_order::{u16_at, u32_at, u64_at};
use crate::packet::{self, ETHERNET, HEAD, PAYLOAD, Packet};
use crate::rate;
use crate::reason::Verdict;
use crate::replay::{self, Position};
use crate::wire::{
    Class, FrameType, GROUP, MAGIC, MAX_BLOCKS, Slot, TAG_LEN, TRAILER_LEN, UNICAST_BIT, VERSION,
    authenticated_len,
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
    /// The arrival time of all strangers.
    fn door_arrival(&self) -> Option<&AtomicU64>;
    /// The arrival time of the sources that share a cell.
    fn door_cell(&self, cell: usize) -> Option<&AtomicU64>;
    /// The tag last seen in a cell.
    fn door_seen(&self, cell: usize) -> Option<&AtomicU64>;
    /// Reads a word. (LLVM selects no atomic load below BPF v4; a plain one of 8 aligned bytes is one.)
    fn load(&self, word: &AtomicU64) -> u64;
    /// Stores `new` if the word still is `current`.
    fn compare_exchange(&self, word: &AtomicU64, current: u64, new: u64) -> bool;
    /// One SHA-256 compression; the host counts them here.
    #[inline(always)]
    fn compress(&self, state: &mut sha256::State, block: &mut Block) {
        sha256::compress(state, block);
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
    let Some(config) = state.config() else { return Err(Verdict::Internal) };
    let head = packet::head(packet, config)?;
    let frame = shape(head, config)?;
    let trailer = packet.bytes::<TRAILER_LEN>(PAYLOAD + authenticated_len(frame.blocks))?;
    let Some(keys) = state.keys() else { return Err(Verdict::Internal) };
    let (key, door) = find_key(keys, frame.key_id, frame.frame_type)?;
    let tag = check_pre_tag(&frame, key, trailer)?;
    let now = state.now();
    if now < key.not_before {
        return Err(Verdict::EarlyKey);
    }
    if now >= key.not_after {
        return Err(Verdict::StaleEpoch);
    }
    let admission = if door {
        knock(state, config, &frame, tag)?
    } else {
        look(state, config, &frame, key, now)?
    };
    check_tag(packet, state, key, frame.blocks, tag)?;
    admission.commit(state, config, now)
}

/// What the checks behind the shape need of a frame.
struct Frame<'a> {
    source: &'a [u8; 16],
    destination: &'a [u8; 16],
    sender: &'a [u8; 8],
    frame_type: FrameType,
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
    if header[2] != VERSION {
        return Err(Verdict::Version);
    }
    let Some(frame_type) = FrameType::from_number(kind & !UNICAST_BIT) else {
        return Err(Verdict::Type);
    };
    if let Some(only) = frame_type.class()
        && only != class
    {
        return Err(Verdict::Type);
    }
    Ok(Frame {
        source,
        destination,
        sender: array::<8>(head, PAYLOAD + 8),
        frame_type,
        class,
        key_id: u32_at(header, 4),
        sequence: u64::from_be(u64_at(header, 16)),
        blocks: blocks(u16::from_be(udp_length), frame_type)?,
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
fn blocks(udp_length: u16, frame_type: FrameType) -> Result<usize, Verdict> {
    let payload = usize::from(udp_length).wrapping_sub(8);
    let blocks = payload >> 6;
    if payload & 63 != 31 || blocks == 0 || blocks > MAX_BLOCKS {
        return Err(Verdict::Length);
    }
    match frame_type.blocks() {
        Some(only) if only != blocks => Err(Verdict::Length),
        _ => Ok(blocks),
    }
}

/// The slot that holds the key id, and whether it is the door's.
#[inline(always)]
fn find_key(keys: &Keys, id: u32, frame_type: FrameType) -> Result<(&KeySlot, bool), Verdict> {
    if id == 0 {
        return Err(Verdict::UnknownKey);
    }
    if frame_type.slot() == Slot::Door {
        if keys.ids[DOOR_SLOT] == id {
            return Ok((&keys.slots[DOOR_SLOT], true));
        }
        return Err(Verdict::UnknownKey);
    }
    let mut slot = DOOR_SLOT + 1;
    while slot < KEY_SLOTS {
        if keys.ids[slot] == id {
            return Ok((&keys.slots[slot], false));
        }
        slot += 1;
    }
    Err(Verdict::UnknownKey)
}

/// Compares the pre-tag and hands out the tag.
#[inline(always)]
fn check_pre_tag<'a>(
    frame: &Frame<'_>,
    key: &KeySlot,
    trailer: &'a [u8; TRAILER_LEN],
) -> Result<&'a [u8; TAG_LEN], Verdict> {
    let tag = array::<TAG_LEN>(trailer, 8);
    let expected = auth::pre_tag(
        &key.pre_tag,
        frame.source,
        frame.destination,
        frame.class,
        frame.sender,
        frame.sequence,
        tag,
    );
    if u64::from_le(u64_at(trailer, 0)) == expected { Ok(tag) } else { Err(Verdict::PreTag) }
}

/// What is written once the tag is right.
enum Admission<'a> {
    /// A member's frame that nobody signed: its window and its rate.
    Member { position: Position, window: &'a AtomicU64, arrival: &'a AtomicU64 },
    /// A member's signed frame: nothing here, the controller commits after the signature.
    Signed,
    /// A frame at the door: the memory of its tag, the rates of its source and of all strangers.
    Door { mark: u64, seen: &'a AtomicU64, source: &'a AtomicU64, all: &'a AtomicU64 },
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
    let Some(peer) = state.peer(frame.sender) else { return Err(Verdict::UnknownSender) };
    let Some(position) = replay::position(frame.sequence) else { return Err(Verdict::Sequence) };
    let signed = frame.frame_type.signed();
    let (window, arrival, rate) = if signed {
        let window = state.signed_window(peer, key.generation, position.word);
        (window, state.signed_arrival(peer), &config.signed)
    } else {
        let window = state.window(peer, key.generation, frame.class, position.word);
        (window, state.arrival(peer), &config.member)
    };
    let (Some(window), Some(arrival)) = (window, arrival) else { return Err(Verdict::Internal) };
    if position.mark(state.load(window)).is_none() {
        return Err(Verdict::Replay);
    }
    if rate::charge(state.load(arrival), now, rate).is_none() {
        return Err(Verdict::Rate);
    }
    if signed {
        return Ok(Admission::Signed);
    }
    Ok(Admission::Member { position, window, arrival })
}

/// Looks at a frame of one who holds no epoch key. Its source and tag are hashed into cells, so no row is
/// ever made for a stranger.
#[inline(always)]
fn knock<'a, S: State>(
    state: &'a S,
    config: &Config,
    frame: &Frame<'_>,
    tag: &[u8; TAG_LEN],
) -> Result<Admission<'a>, Verdict> {
    let answers = matches!(frame.frame_type, FrameType::Answer | FrameType::Hold);
    if answers && config.flags & flags::JOINING == 0 {
        return Err(Verdict::DoorClosed);
    }
    let mark = u64_at(tag, 0);
    let seen = state.door_seen(cell(&config.cell_key, mark));
    let source = state.door_cell(cell(&config.cell_key, u64_at(frame.source, 8)));
    let (Some(seen), Some(source), Some(all)) = (seen, source, state.door_arrival()) else {
        return Err(Verdict::Internal);
    };
    if state.load(seen) == mark {
        return Err(Verdict::DoorRepeat);
    }
    Ok(Admission::Door { mark, seen, source, all })
}

impl Admission<'_> {
    #[inline(always)]
    fn commit<S: State>(self, state: &S, config: &Config, now: u64) -> Result<(), Verdict> {
        match self {
            Self::Signed => Ok(()),
            Self::Member { position, window, arrival } => {
                replace(state, window, Verdict::Replay, |held| position.mark(held))?;
                replace(state, arrival, Verdict::Rate, |held| {
                    rate::charge(held, now, &config.member)
                })
            }
            Self::Door { mark, seen, source, all } => {
                replace(state, seen, Verdict::DoorRepeat, |held| (held != mark).then_some(mark))?;
                replace(state, source, Verdict::DoorSource, |held| {
                    rate::charge(held, now, &config.source)
                })?;
                replace(state, all, Verdict::DoorRate, |held| {
                    rate::charge(held, now, &config.door)
                })
            }
        }
    }
}

#[inline(never)]
fn cell(key: &[u64; 2], value: u64) -> usize {
    siphash::siphash24(key, [value]) as usize & (DOOR_CELLS - 1)
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
    while attempt < ATTEMPTS {
        let held = state.load(word);
        let Some(next) = step(held) else { return Err(refusal) };
        if state.compare_exchange(word, held, next) {
            return Ok(());
        }
        attempt += 1;
    }
    Err(Verdict::Contention)
}

/// HMAC-SHA256 over header and body, compared without a branch on the way.
#[inline(always)]
fn check_tag<P: Packet + ?Sized, S: State>(
    packet: &P,
    state: &S,
    key: &KeySlot,
    blocks: usize,
    tag: &[u8; TAG_LEN],
) -> Result<(), Verdict> {
    let mut inner = key.inner;
    let mut block: Block = [0; 16];
    let mut index = 0;
    while index < MAX_BLOCKS {
        sha256::load(&mut block, packet.bytes::<64>(PAYLOAD + 64 * index)?);
        index += 1;
        if index >= blocks {
            hmac::finish(&mut block, index as u32);
        }
        state.compress(&mut inner, &mut block);
        if index >= blocks {
            break;
        }
    }
    hmac::outer_block(&mut block, &inner);
    let mut outer = key.outer;
    state.compress(&mut outer, &mut block);
    if difference(&outer, tag) == 0 { Ok(()) } else { Err(Verdict::Tag) }
}

#[inline(always)]
fn difference(digest: &sha256::State, tag: &[u8; TAG_LEN]) -> u32 {
    let mut difference = 0;
    let mut index = 0;
    while index < 8 {
        let at = 4 * index;
        difference |= digest[index] ^ u32::from_be(u32_at(tag, at));
        index += 1;
    }
    difference
}

/// `N` bytes at a constant offset of a fixed-size array.
#[inline(always)]
fn array<const N: usize>(bytes: &[u8], at: usize) -> &[u8; N] {
    match bytes.get(at..).and_then(<[u8]>::first_chunk) {
        Some(array) => array,
        None => &[0; N],
    }
}
