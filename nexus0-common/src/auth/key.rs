//! A key as those who send frames hold it.

use super::hmac::{self, Midstates};
use super::{pre_tag, words};
use crate::maps::KeySlot;
use crate::wire::{Header, PRE_TAG_LEN, TRAILER_LEN};

/// What pre-tag and tag of one epoch are made with, PROTOCOL section 2.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FrameKey {
    /// Names the key on the wire.
    pub id: [u8; 4],
    /// SipHash key of the pre-tag.
    pub pre_tag: [u64; 2],
    /// Midstates of the MAC key.
    pub midstates: Midstates,
}

impl FrameKey {
    /// A key from its id, its MAC key and its pre-tag key.
    pub fn new(id: [u8; 4], mac: &[u8; 32], pre_tag: &[u8; 16]) -> Self {
        let [
            a0,
            a1,
            a2,
            a3,
            a4,
            a5,
            a6,
            a7,
            b0,
            b1,
            b2,
            b3,
            b4,
            b5,
            b6,
            b7,
        ] = *pre_tag;
        Self {
            id,
            pre_tag: [
                u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
                u64::from_le_bytes([b0, b1, b2, b3, b4, b5, b6, b7]),
            ],
            midstates: Midstates::new(mac),
        }
    }

    /// Pre-tag and tag of a frame's header and body; `None` if they are not a header and a body of
    /// `64k - 9` bytes.
    pub fn trailer(
        &self,
        frame: &[u8],
        source: &[u8; 16],
        destination: &[u8; 16],
    ) -> Option<[u8; TRAILER_LEN]> {
        let header = Header::parse(frame)?;
        let tag = hmac::tag(&self.midstates, frame)?;
        let Header {
            class,
            sender,
            sequence,
            ..
        } = header;
        let pre = pre_tag(
            &self.pre_tag,
            source,
            destination,
            class,
            &sender,
            sequence,
            &words(&tag),
        );
        let mut trailer = [0; TRAILER_LEN];
        let (first, second) = trailer.split_at_mut(PRE_TAG_LEN);
        first.copy_from_slice(&pre.to_le_bytes());
        second.copy_from_slice(&tag);
        Some(trailer)
    }

    /// The id as the filter's slots hold it.
    pub fn slot_id(&self) -> u32 {
        u32::from_ne_bytes(self.id)
    }

    /// The key as a slot of the filter, valid between two boot-clock instants in nanoseconds.
    pub fn slot(&self, not_before: u64, not_after: u64, generation: u32) -> KeySlot {
        KeySlot {
            not_before,
            not_after,
            pre_tag: self.pre_tag,
            inner: self.midstates.inner,
            outer: self.midstates.outer,
            generation,
            spare: 0,
        }
    }
}
