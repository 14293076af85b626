//! Has this thread checked the same bytes before? Many simulated nodes judge one multicast frame.
//!
//! Off unless a simulation turns it on for its own thread. A hit means that every input is equal byte for
//! byte, so a result is the one that checking again would give; what falls out of the memory is checked again.

use core::cell::RefCell;

use nexus0_common::auth::{Midstates, hmac};
use nexus0_common::wire::TAG_LEN;

/// Signatures remembered; a power of two.
const SIGNATURES: usize = 1 << 14;
/// Tags remembered; a power of two.
const TAGS: usize = 1 << 13;

struct Signature {
    key: [u8; 32],
    message: Vec<u8>,
    signature: [u8; 64],
    valid: bool,
}

struct Tag {
    key: Midstates,
    frame: Vec<u8>,
    tag: [u8; TAG_LEN],
}

#[derive(Default)]
struct Memo {
    signatures: Vec<Option<Signature>>,
    tags: Vec<Option<Tag>>,
    hits: u64,
    misses: u64,
}

thread_local! {
    static MEMO: RefCell<Option<Box<Memo>>> = const { RefCell::new(None) };
}

/// Remembers on this thread until it is dropped.
#[derive(Debug)]
#[must_use]
pub struct Remembering(());

impl Remembering {
    /// With nothing remembered yet.
    #[expect(clippy::new_without_default, reason = "it acts on the thread")]
    pub fn new() -> Self {
        let memo = Memo {
            signatures: (0..SIGNATURES).map(|_| None).collect(),
            tags: (0..TAGS).map(|_| None).collect(),
            ..Memo::default()
        };
        MEMO.with_borrow_mut(|held| *held = Some(Box::new(memo)));
        Self(())
    }

    /// Checks that were remembered, and those that were made.
    #[cfg(test)]
    pub(crate) fn counts() -> (u64, u64) {
        MEMO.with_borrow(|held| {
            held.as_ref()
                .map_or((0, 0), |memo| (memo.hits, memo.misses))
        })
    }
}

impl Drop for Remembering {
    fn drop(&mut self) {
        MEMO.with_borrow_mut(|held| *held = None);
    }
}

/// What `check` says of this key, message and signature.
pub(crate) fn verified(
    key: &[u8; 32],
    message: &[u8],
    signature: &[u8; 64],
    check: impl FnOnce() -> bool,
) -> bool {
    MEMO.with_borrow_mut(|held| {
        let Some(memo) = held.as_mut() else {
            return check();
        };
        let index = word(signature, 0) as usize & (SIGNATURES - 1);
        let Some(slot) = memo.signatures.get_mut(index) else {
            return check();
        };
        if let Some(known) = slot
            && known.key == *key
            && known.signature == *signature
            && known.message == message
        {
            memo.hits += 1;
            return known.valid;
        }
        memo.misses += 1;
        let valid = check();
        *slot = Some(Signature {
            key: *key,
            message: message.to_vec(),
            signature: *signature,
            valid,
        });
        valid
    })
}

/// The key's owner made this signature itself: it is valid (RFC 8032), so nobody needs to check it.
pub(crate) fn signed(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) {
    MEMO.with_borrow_mut(|held| {
        let index = word(signature, 0) as usize & (SIGNATURES - 1);
        let memo = held.as_mut();
        if let Some(slot) = memo.and_then(|memo| memo.signatures.get_mut(index)) {
            *slot = Some(Signature {
                key: *key,
                message: message.to_vec(),
                signature: *signature,
                valid: true,
            });
        }
    });
}

/// HMAC-SHA256 of header and body under a key.
pub(crate) fn tag(key: &Midstates, frame: &[u8]) -> Option<[u8; TAG_LEN]> {
    MEMO.with_borrow_mut(|held| {
        let Some(memo) = held.as_mut() else {
            return hmac::tag(key, frame);
        };
        let index = word(frame, 8) ^ word(frame, 16).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let index = (index ^ (index >> 32)) as usize & (TAGS - 1);
        let Some(slot) = memo.tags.get_mut(index) else {
            return hmac::tag(key, frame);
        };
        if let Some(known) = slot
            && known.frame == frame
            && known.key == *key
        {
            memo.hits += 1;
            return Some(known.tag);
        }
        memo.misses += 1;
        let tag = hmac::tag(key, frame)?;
        *slot = Some(Tag {
            key: *key,
            frame: frame.to_vec(),
            tag,
        });
        Some(tag)
    })
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let word = bytes.get(at..).and_then(<[u8]>::first_chunk);
    word.map_or(0, |word| u64::from_le_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_remembered_for_equal_inputs_only() {
        let memo = Remembering::new();
        let (key, signature) = ([1; 32], [2; 64]);
        assert!(verified(&key, b"pulse", &signature, || true));
        assert!(verified(&key, b"pulse", &signature, || false), "remembered");
        // Same slot, other inputs: each is checked.
        assert!(!verified(&key, b"pulsf", &signature, || false));
        assert!(!verified(&[3; 32], b"pulse", &signature, || false));
        let mut other = signature;
        other[63] ^= 1;
        assert!(!verified(&key, b"pulse", &other, || false));
        assert_eq!(Remembering::counts(), (1, 4));
        drop(memo);
        assert!(!verified(&key, b"pulse", &signature, || false), "forgotten");
    }

    #[test]
    fn a_signature_is_remembered_where_it_was_made_as_checking_finds_it() {
        let identity = crate::identity::Identity::from_seed(&[1; 32]);
        let check = |message: &[u8], signature: &[u8; 64]| {
            crate::identity::verify_strict(&identity.public_key(), message, signature)
        };
        let memo = Remembering::new();
        let signature = identity.sign(b"pulse");
        assert!(check(b"pulse", &signature) && !check(b"pulsf", &signature));
        assert_eq!(Remembering::counts(), (1, 1), "one was remembered");
        drop(memo);
        assert!(check(b"pulse", &signature), "and is valid");
    }

    #[test]
    fn a_remembered_tag_is_the_one_that_is_computed() {
        let frame = [7; 55];
        let (one, other) = (Midstates::new(&[1; 32]), Midstates::new(&[2; 32]));
        let plain = [hmac::tag(&one, &frame), hmac::tag(&other, &frame)];
        let _memo = Remembering::new();
        for _ in 0..2 {
            assert_eq!([tag(&one, &frame), tag(&other, &frame)], plain);
        }
        assert_eq!(tag(&other, &frame), plain[1]);
        assert_eq!(Remembering::counts(), (1, 4), "one slot, two keys");
    }
}
