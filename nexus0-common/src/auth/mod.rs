//! What proves a frame: the compression function, HMAC from midstates, the pre-tag. Our own because it
//! must compile for the kernel; tests hold it against the `sha2`, `hmac` and `siphasher` crates.

pub mod hmac;
mod key;
pub mod sha256;
pub mod siphash;

pub use hmac::Midstates;
pub use key::FrameKey;

use crate::memory_order::u64_at;
use crate::wire::{Class, TAG_LEN};

/// A tag as four words in memory order.
#[inline(always)]
pub fn words(tag: &[u8; TAG_LEN]) -> [u64; 4] {
    [
        u64_at(tag, 0),
        u64_at(tag, 8),
        u64_at(tag, 16),
        u64_at(tag, 24),
    ]
}

/// The pre-tag of a frame, PROTOCOL section 3.
pub fn pre_tag(
    key: &[u64; 2],
    source: &[u8; 16],
    destination: &[u8; 16],
    class: Class,
    sender: &[u8; 8],
    sequence: u64,
    tag: &[u8; TAG_LEN],
) -> u64 {
    pre_tag_of_words(
        key,
        source,
        destination,
        class,
        sender,
        sequence,
        &words(tag),
    )
}

/// The same with the tag as [`words`].
#[inline(always)]
pub fn pre_tag_of_words(
    key: &[u64; 2],
    source: &[u8; 16],
    destination: &[u8; 16],
    class: Class,
    sender: &[u8; 8],
    sequence: u64,
    tag: &[u64; 4],
) -> u64 {
    let destination = match class {
        Class::Multicast => 0,
        Class::Unicast => u64_at(destination, 8),
    };
    let message = [
        u64::from_le(u64_at(source, 8)),
        u64::from_le(destination),
        u64::from_le(u64_at(sender, 0)),
        sequence.swap_bytes(),
        u64::from_le(tag[0]),
        u64::from_le(tag[1]),
        u64::from_le(tag[2]),
        u64::from_le(tag[3]),
    ];
    siphash::siphash24(key, message)
}
