//! What proves a frame: the compression function, HMAC from midstates, the pre-tag. Our own because it
//! must compile for the kernel; tests hold it against the `sha2`, `hmac` and `siphasher` crates.

pub mod hmac;
mod key;
pub mod sha256;
pub mod siphash;

pub use hmac::Midstates;
pub use key::FrameKey;
use siphash::Sip;

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

/// The pre-tag of a frame, PROTOCOL section 3. `tag` is in [`words`]. They go in folded into one: each word more is
/// a round of SipHash in the path that a flood takes, and binds no more, as a body can be changed under any pre-tag.
#[inline(always)]
pub fn pre_tag(
    key: &[u64; 2],
    source: &[u8; 16],
    destination: &[u8; 16],
    class: Class,
    sender: &[u8; 8],
    sequence: u64,
    tag: &[u64; 4],
) -> u64 {
    let mut sip = Sip::new(key);
    sip.absorb(u64::from_le(u64_at(source, 8)));
    sip.absorb(u64::from_le(u64_at(sender, 0)));
    sip.absorb(u64::from_le(tag[0] ^ tag[1] ^ tag[2] ^ tag[3]));
    // The first of its bytes on the wire is zero, or no window takes it.
    let last = sequence.swap_bytes() >> 8;
    match class {
        Class::Multicast => sip.finish(31, last),
        Class::Unicast => {
            sip.absorb(u64::from_le(u64_at(destination, 8)));
            sip.finish(39, last)
        }
    }
}
