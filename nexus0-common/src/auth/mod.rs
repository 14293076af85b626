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

/// The pre-tag of a frame, PROTOCOL section 3.
#[inline(always)]
pub fn pre_tag(
    key: &[u64; 2],
    source: &[u8; 16],
    destination: &[u8; 16],
    class: Class,
    sender: &[u8; 8],
    sequence: u64,
    tag: &[u8; TAG_LEN],
) -> u64 {
    let destination = match class {
        Class::Multicast => 0,
        Class::Unicast => u64_at(destination, 8),
    };
    let words = [
        u64_at(source, 8),
        destination,
        u64_at(sender, 0),
        sequence.to_be(),
        u64_at(tag, 0),
        u64_at(tag, 8),
        u64_at(tag, 16),
        u64_at(tag, 24),
    ];
    siphash::siphash24(key, words.map(u64::from_le))
}
