//! Frames: what stands where. One file per body; this one holds what all frames share.

mod announcement;
mod answer;
mod ask;
mod beacon;
mod bye;
pub mod cursor;
mod door_probe;
mod door_reply;
mod epoch;
mod header;
mod hold;
mod introduce;
mod merge;
mod probe;
mod probe_reply;
mod proof;
mod pulse;
mod rekey;
mod request;
mod revoke;
mod roster;
mod still_here;

pub use announcement::{ANNOUNCEMENT_LEN, Announcement};
pub use answer::{ANSWER_ENTRIES, ANSWER_ENTRY_LEN, ANSWER_HEAD_LEN, Answer, AnswerEntry};
pub use ask::Ask;
pub use beacon::Beacon;
pub use bye::Bye;
pub use door_probe::DoorProbe;
pub use door_reply::DoorReply;
pub use epoch::Epoch;
pub use header::Header;
pub use hold::Hold;
pub use introduce::{INTRODUCED, INTRODUCED_LEN, Introduce};
pub use merge::Merge;
pub use probe::Probe;
pub use probe_reply::ProbeReply;
pub use proof::{EXHIBIT_LEN, EXHIBITS, Exhibit, Proof};
pub use pulse::{Anchor, Ann, Pulse};
pub use rekey::{REKEY_ENTRIES, REKEY_ENTRY_LEN, Rekey, RekeyEntry};
pub use request::Request;
pub use revoke::{DoorRevoke, REVOKED, Revoke};
pub use roster::{ROSTER_ENTRIES, ROSTER_ENTRY_LEN, Roster, RosterEntry};
pub use still_here::StillHere;

/// UDP port of the mesh unless configured otherwise.
pub const PORT: u16 = 19541;
/// ff02::1, all nodes on the link.
pub const GROUP: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
/// First two bytes of every frame: "N0".
pub const MAGIC: [u8; 2] = *b"N0";
/// Lowest wire version this code speaks.
pub const LOWEST_VERSION: u8 = 1;
/// Highest wire version this code speaks.
pub const HIGHEST_VERSION: u8 = 2;
/// Bytes before the body.
pub const HEADER_LEN: usize = 24;
/// Bytes of the pre-tag.
pub const PRE_TAG_LEN: usize = 8;
/// Bytes of the tag.
pub const TAG_LEN: usize = 32;
/// Bytes behind the body: pre-tag and tag.
pub const TRAILER_LEN: usize = PRE_TAG_LEN + TAG_LEN;
/// Bytes of a signature, the last of a signed body.
pub const SIGNATURE_LEN: usize = 64;
/// Most SHA-256 blocks a frame fills.
pub const MAX_BLOCKS: usize = 18;
/// Longest header and body.
pub const MAX_LEN: usize = authenticated_len(MAX_BLOCKS);
/// Longest UDP payload.
pub const MAX_PAYLOAD: usize = MAX_LEN + TRAILER_LEN;
/// Bit of the type byte that says unicast.
pub const UNICAST_BIT: u8 = 0x80;
/// Sequences stay below this.
pub const SEQUENCE_END: u64 = 1 << 37;

/// Bytes of header and body in a frame of `blocks` SHA-256 blocks.
pub const fn authenticated_len(blocks: usize) -> usize {
    64 * blocks - 9
}

/// Who the frame is addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// To ff02::1.
    Multicast,
    /// To one address.
    Unicast,
}

/// Which key slot a type is tagged under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// A live epoch.
    Epoch,
    /// The permanent slot of those who hold no epoch key.
    Door,
}

macro_rules! frame_types {
    ($($variant:ident = $number:literal, $name:literal, $class:expr, $slot:ident, $blocks:expr, $signed:literal;)*) => {
        /// The type of a frame, without its class bit.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum FrameType {
            $(#[doc = $name] $variant = $number,)*
        }

        impl FrameType {
            /// All types in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The type with this number (class bit already removed).
            #[inline(always)]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$variant),)* _ => None }
            }

            /// The name used in documents and output.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The one class this type has, or `None` where both are allowed.
            #[inline(always)]
            pub const fn class(self) -> Option<Class> {
                match self { $(Self::$variant => $class,)* }
            }

            /// Which key it is tagged under.
            #[inline(always)]
            pub const fn slot(self) -> Slot {
                match self { $(Self::$variant => Slot::$slot,)* }
            }

            /// Its length in SHA-256 blocks, or `None` where any is allowed.
            #[inline(always)]
            pub const fn blocks(self) -> Option<usize> {
                match self { $(Self::$variant => $blocks,)* }
            }

            /// Whether its body ends in a signature.
            #[inline(always)]
            pub const fn signed(self) -> bool {
                match self { $(Self::$variant => $signed,)* }
            }
        }
    };
}

frame_types! {
    Ann = 1, "ANN", Some(Class::Multicast), Epoch, Some(1), false;
    Anchor = 2, "ANCHOR", Some(Class::Multicast), Epoch, Some(2), true;
    Epoch = 3, "EPOCH", Some(Class::Multicast), Epoch, Some(6), true;
    Roster = 4, "ROSTER", Some(Class::Multicast), Epoch, None, true;
    Bye = 5, "BYE", Some(Class::Multicast), Epoch, Some(2), true;
    StillHere = 6, "STILL-HERE", Some(Class::Unicast), Epoch, Some(3), false;
    Probe = 7, "PROBE", Some(Class::Unicast), Epoch, Some(1), false;
    ProbeReply = 8, "PROBE-REPLY", Some(Class::Unicast), Epoch, Some(2), true;
    Ask = 9, "ASK", Some(Class::Unicast), Epoch, Some(1), false;
    Data = 10, "DATA", None, Epoch, None, false;
    Revoke = 11, "REVOKE", Some(Class::Multicast), Epoch, None, false;
    Rekey = 12, "REKEY", Some(Class::Multicast), Epoch, None, true;
    Merge = 13, "MERGE", Some(Class::Multicast), Epoch, Some(7), true;
    Proof = 14, "PROOF", Some(Class::Multicast), Epoch, None, false;
    Introduce = 15, "INTRODUCE", Some(Class::Unicast), Epoch, None, false;
    ReqEpoch = 16, "REQ_EPOCH", Some(Class::Multicast), Door, Some(7), true;
    Answer = 17, "ANSWER", Some(Class::Multicast), Door, None, true;
    Beacon = 18, "BEACON", Some(Class::Multicast), Door, Some(4), true;
    Hold = 19, "HOLD", Some(Class::Unicast), Door, Some(4), true;
    DoorProbe = 20, "DOOR-PROBE", Some(Class::Unicast), Door, Some(4), true;
    DoorReply = 21, "DOOR-REPLY", Some(Class::Unicast), Door, Some(2), true;
    DoorRevoke = 22, "DOOR-REVOKE", Some(Class::Multicast), Door, None, false;
}

/// What the judgement must know of a type, by its number: [`Traits`] as bits, zero where there is no type.
/// A table, so that the filter looks it up instead of branching over all types.
pub static TRAITS: [u16; 32] = {
    let mut table = [0; 32];
    let mut index = 0;
    while index < FrameType::ALL.len() {
        let frame_type = FrameType::ALL[index];
        table[frame_type as usize] = Traits::of(frame_type).0;
        index += 1;
    }
    table
};

/// Bits of [`TRAITS`]: the length in blocks (0: any) and six flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traits(pub u16);

impl Traits {
    const BLOCKS: u16 = 0x1f;
    const MULTICAST: u16 = 1 << 5;
    const UNICAST: u16 = 1 << 6;
    const DOOR: u16 = 1 << 7;
    const SIGNED: u16 = 1 << 8;
    const ANSWERS: u16 = 1 << 9;
    const KNOWN: u16 = 1 << 10;

    const fn of(frame_type: FrameType) -> Self {
        let mut bits = Self::KNOWN;
        if let Some(blocks) = frame_type.blocks() {
            bits |= blocks as u16;
        }
        bits |= match frame_type.class() {
            Some(Class::Multicast) => Self::MULTICAST,
            Some(Class::Unicast) => Self::UNICAST,
            None => Self::MULTICAST | Self::UNICAST,
        };
        if matches!(frame_type.slot(), Slot::Door) {
            bits |= Self::DOOR;
        }
        if frame_type.signed() {
            bits |= Self::SIGNED;
        }
        if matches!(frame_type, FrameType::Answer | FrameType::Hold) {
            bits |= Self::ANSWERS;
        }
        Self(bits)
    }

    /// The traits of a type number (class bit already removed), or `None` for no type.
    #[inline(always)]
    pub fn from_number(number: u8) -> Option<Self> {
        match TRAITS.get(usize::from(number)) {
            Some(0) | None => None,
            Some(bits) => Some(Self(*bits)),
        }
    }

    /// Whether the type may have this class.
    #[inline(always)]
    pub const fn allows(self, class: Class) -> bool {
        let bit = match class {
            Class::Multicast => Self::MULTICAST,
            Class::Unicast => Self::UNICAST,
        };
        self.0 & bit != 0
    }

    /// Whether the type may have this many blocks.
    #[inline(always)]
    pub const fn fits(self, blocks: usize) -> bool {
        let only = (self.0 & Self::BLOCKS) as usize;
        only == 0 || only == blocks
    }

    /// Whether it is tagged under the door's key.
    #[inline(always)]
    pub const fn at_door(self) -> bool {
        self.0 & Self::DOOR != 0
    }

    /// Whether its body ends in a signature.
    #[inline(always)]
    pub const fn signed(self) -> bool {
        self.0 & Self::SIGNED != 0
    }

    /// Whether it answers a joiner.
    #[inline(always)]
    pub const fn answers(self) -> bool {
        self.0 & Self::ANSWERS != 0
    }
}

impl FrameType {
    /// Bytes of header and body where the type fixes them.
    pub const fn authenticated_len(self) -> Option<usize> {
        match self.blocks() {
            Some(blocks) => Some(authenticated_len(blocks)),
            None => None,
        }
    }
}

/// Low half of an IPv6 address.
pub fn interface_id(address: &[u8; 16]) -> [u8; 8] {
    let [.., a, b, c, d, e, f, g, h] = *address;
    [a, b, c, d, e, f, g, h]
}

/// What can be written as the body of a frame, up to the signature.
pub trait Body {
    /// The frame's type.
    const TYPE: FrameType;

    /// Writes the fields.
    fn emit(&self, writer: &mut cursor::Writer<'_>);
}
