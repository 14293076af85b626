//! Whether a frame at the door carries what its receiver drew itself, and whether its tag was seen.

use crate::maps::{DOOR_CELLS, Own};
use crate::memory_order::{u32_at, u64_at};
use crate::packet::Packet;
use crate::replay::Position;
use crate::wire::{
    ANSWER_ENTRIES, ANSWER_ENTRY_LEN, ANSWER_HEAD_LEN, FrameType, HEADER_LEN, SIGNATURE_LEN,
    authenticated_len,
};

/// Halves of the door: what is bound does not compete with what is not.
pub const HALVES: usize = 2;
/// A tag is remembered while the boot clock shows the same number of these spans: 2^33 ns.
const SPAN_BITS: u32 = 33;

/// Whether a frame of a type number (class bit removed) and so many blocks, whose header stands `at` in the
/// packet, carries a nonce or the request id of its receiver. Before the tag is checked this is a claim.
#[inline(always)]
pub fn bound<P: Packet + ?Sized>(
    packet: &P,
    at: usize,
    kind: u8,
    blocks: usize,
    own: &Own,
) -> bool {
    const REQUEST: u8 = FrameType::ReqEpoch as u8;
    const REPLY: u8 = FrameType::DoorReply as u8;
    const HOLD: u8 = FrameType::Hold as u8;
    const ANSWER: u8 = FrameType::Answer as u8;
    let at = at + HEADER_LEN;
    match kind {
        REQUEST | REPLY => packet.bytes::<4>(at).is_ok_and(|bytes| {
            let nonce = u32_at(bytes, 0);
            nonce != 0 && (nonce == own.nonces[0] || nonce == own.nonces[1])
        }),
        HOLD => names(packet, at, own),
        ANSWER => answers(packet, at + ANSWER_HEAD_LEN, blocks, own),
        _ => false,
    }
}

#[inline(always)]
fn names<P: Packet + ?Sized>(packet: &P, at: usize, own: &Own) -> bool {
    packet
        .bytes::<8>(at)
        .is_ok_and(|bytes| own.request != 0 && u64_at(bytes, 0) == own.request)
}

/// Whether one of the entries from `at` on is ours. What lies behind the tag is covered by none, so an entry
/// counts only where the frame's own length has room for it.
#[inline(always)]
fn answers<P: Packet + ?Sized>(packet: &P, at: usize, blocks: usize, own: &Own) -> bool {
    // Unrolled: a packet pointer moves by constants only.
    macro_rules! entries {
        ($($index:literal)*) => {
            $((blocks >= LEAST_BLOCKS[$index] && names(packet, at + $index * ANSWER_ENTRY_LEN, own)))||*
        };
    }
    const { assert!(ANSWER_ENTRIES == 7) }
    entries!(0 1 2 3 4 5 6)
}

/// Fewest blocks of an ANSWER that holds the entry with this index.
const LEAST_BLOCKS: [usize; ANSWER_ENTRIES] = {
    let mut least = [1; ANSWER_ENTRIES];
    let mut index = 0;
    while index < ANSWER_ENTRIES {
        let end = HEADER_LEN + ANSWER_HEAD_LEN + (index + 1) * ANSWER_ENTRY_LEN + SIGNATURE_LEN;
        while authenticated_len(least[index]) < end {
            least[index] += 1;
        }
        index += 1;
    }
    least
};

/// Where a half remembers a tag: word `hash & 4095`, bit `hash >> 12 & 31`, for as long as `now` (boot-clock
/// nanoseconds) stays in one span. `hash` is SipHash-1-3 of the tag's first eight bytes as a word in memory
/// order, under the cell key.
#[inline(always)]
pub fn place(hash: u64, now: u64) -> Position {
    const WORD_BITS: u32 = DOOR_CELLS.trailing_zeros();
    Position::new(
        hash as usize & (DOOR_CELLS - 1),
        now >> SPAN_BITS,
        hash >> WORD_BITS,
    )
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec;

    const OWN: Own = Own {
        nonces: [u32::from_ne_bytes([1, 2, 3, 4]), u32::from_ne_bytes([5; 4])],
        request: u64::from_ne_bytes([7; 8]),
    };

    /// A payload of a type whose body holds `bytes` at `offset`.
    fn is_bound(kind: FrameType, blocks: usize, offset: usize, bytes: &[u8], own: &Own) -> bool {
        let mut payload = vec![0; authenticated_len(blocks) + 40 + 200];
        payload[HEADER_LEN + offset..][..bytes.len()].copy_from_slice(bytes);
        bound(payload.as_slice(), 0, kind as u8, blocks, own)
    }

    #[test]
    fn requests_and_replies_are_bound_by_either_nonce_and_never_by_zero() {
        for kind in [FrameType::ReqEpoch, FrameType::DoorReply] {
            let blocks = kind.blocks().unwrap();
            assert!(is_bound(kind, blocks, 0, &[1, 2, 3, 4], &OWN));
            assert!(is_bound(kind, blocks, 0, &[5; 4], &OWN));
            assert!(!is_bound(kind, blocks, 0, &[1, 2, 3, 5], &OWN));
            assert!(!is_bound(kind, blocks, 1, &[5; 4], &OWN));
            assert!(!is_bound(kind, blocks, 0, &[0; 4], &Own::default()));
        }
    }

    #[test]
    fn holds_and_answers_are_bound_by_the_request_they_name() {
        assert!(is_bound(FrameType::Hold, 4, 0, &[7; 8], &OWN));
        assert!(!is_bound(FrameType::Hold, 4, 0, &[8; 8], &OWN));
        assert!(!is_bound(FrameType::Hold, 4, 0, &[0; 8], &Own::default()));
        for index in 0..ANSWER_ENTRIES {
            let at = ANSWER_HEAD_LEN + index * ANSWER_ENTRY_LEN;
            assert!(
                is_bound(FrameType::Answer, 18, at, &[7; 8], &OWN),
                "{index}"
            );
            assert!(!is_bound(FrameType::Answer, 18, at + 1, &[7; 8], &OWN));
        }
        let behind = ANSWER_HEAD_LEN + ANSWER_ENTRIES * ANSWER_ENTRY_LEN;
        assert!(!is_bound(FrameType::Answer, 18, behind, &[7; 8], &OWN));
    }

    #[test]
    fn an_entry_behind_the_end_of_an_answer_binds_nothing() {
        let second = ANSWER_HEAD_LEN + ANSWER_ENTRY_LEN;
        assert!(is_bound(FrameType::Answer, 9, second, &[7; 8], &OWN));
        assert!(!is_bound(FrameType::Answer, 8, second, &[7; 8], &OWN));
        assert!(!is_bound(
            FrameType::Answer,
            6,
            ANSWER_HEAD_LEN,
            &[7; 8],
            &OWN
        ));
    }

    #[test]
    fn other_types_are_never_bound() {
        for kind in [
            FrameType::Beacon,
            FrameType::DoorProbe,
            FrameType::DoorRevoke,
        ] {
            assert!(!is_bound(kind, 4, 0, &[5; 4], &OWN), "{kind:?}");
            assert!(!is_bound(kind, 4, 0, &[7; 8], &OWN), "{kind:?}");
        }
    }

    #[test]
    fn a_tag_is_remembered_until_its_span_is_over() {
        let (hash, now) = (0x1234_5678_9abc_def0, 5 << SPAN_BITS);
        let word = place(hash, now).mark(0).unwrap();
        assert_eq!(place(hash, now + 1).mark(word), None);
        assert!(
            place(hash ^ 1 << 12, now).mark(word).is_some(),
            "another bit"
        );
        let next = place(hash, now + (1 << SPAN_BITS));
        assert!(next.mark(word).is_some());
        assert_eq!(next.mark(next.mark(word).unwrap()), None);
    }
}
