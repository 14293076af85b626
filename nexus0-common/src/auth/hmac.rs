//! HMAC-SHA256 (RFC 2104, FIPS 198-1) from midstates: the two padded key blocks are compressed when the
//! key is made, so a frame of k blocks costs k + 1 compressions.

use super::sha256::{Block, INITIAL, State, compress, load};
use crate::wire::{MAX_BLOCKS, TAG_LEN, authenticated_len};

/// SHA-256 states after the inner and the outer pad of one key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Midstates {
    /// After `key ^ ipad`.
    pub inner: State,
    /// After `key ^ opad`.
    pub outer: State,
}

impl Midstates {
    /// The midstates of a 32-byte key.
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            inner: padded(key, 0x36),
            outer: padded(key, 0x5c),
        }
    }
}

fn padded(key: &[u8; 32], pad: u8) -> State {
    let mut bytes = [pad; 64];
    for (byte, key) in bytes.iter_mut().zip(key) {
        *byte ^= key;
    }
    let (mut state, mut block) = (INITIAL, [0; 16]);
    load(&mut block, &bytes);
    compress(&mut state, &block);
    state
}

/// Makes the last block of a message of `64k - 9` bytes: the words hold the message's last 55 bytes and
/// nine bytes of what follows, which become 0x80 and the bit length (with the inner pad's block).
#[inline(always)]
pub fn finish(block: &mut Block, blocks: u32) {
    block[13] = block[13] & 0xffff_ff00 | 0x80;
    block[14] = 0;
    block[15] = (64 + 64 * blocks - 9) * 8;
}

/// The block of the outer hash: the inner digest, padded.
#[inline(always)]
pub fn outer_block(block: &mut Block, inner: &State) {
    let mut index = 0;
    while index < 8 {
        block[index] = inner[index];
        block[index + 8] = 0;
        index += 1;
    }
    block[8] = 0x8000_0000;
    block[15] = (64 + 32) * 8;
}

/// The tag of `message`, whose length must be `64k - 9` for k from 1 to [`MAX_BLOCKS`]; `None` otherwise.
/// For those who make frames; the filter walks the same steps over packet memory.
pub fn tag(midstates: &Midstates, message: &[u8]) -> Option<[u8; TAG_LEN]> {
    let blocks = (message.len() + 9) / 64;
    if blocks == 0 || blocks > MAX_BLOCKS || message.len() != authenticated_len(blocks) {
        return None;
    }
    let (mut state, mut block) = (midstates.inner, [0; 16]);
    let mut chunks = message.chunks_exact(64);
    for chunk in &mut chunks {
        load(&mut block, chunk.first_chunk()?);
        compress(&mut state, &block);
    }
    let mut last = [0; 64];
    last.get_mut(..55)?.copy_from_slice(chunks.remainder());
    load(&mut block, &last);
    finish(&mut block, blocks as u32);
    compress(&mut state, &block);
    outer_block(&mut block, &state);
    let mut outer = midstates.outer;
    compress(&mut outer, &block);
    let mut tag = [0; TAG_LEN];
    for (bytes, word) in tag.chunks_exact_mut(4).zip(outer) {
        bytes.copy_from_slice(&word.to_be_bytes());
    }
    Some(tag)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use ::hmac::{Hmac, KeyInit, Mac};
    use proptest::prelude::*;
    use sha2::Sha256;
    use std::vec::Vec;

    fn oracle(key: &[u8], message: &[u8]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
        mac.update(message);
        mac.finalize().into_bytes().to_vec()
    }

    proptest! {
        #[test]
        fn agrees_with_the_hmac_crate_for_every_frame_length(key: [u8; 32], seed: u8) {
            let midstates = Midstates::new(&key);
            for blocks in 1..=MAX_BLOCKS {
                let message: Vec<u8> =
                    (0..authenticated_len(blocks)).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect();
                prop_assert_eq!(tag(&midstates, &message).unwrap().to_vec(), oracle(&key, &message));
            }
        }
    }

    #[test]
    fn other_lengths_have_no_tag() {
        let midstates = Midstates::new(&[7; 32]);
        for length in [
            0,
            1,
            54,
            56,
            64,
            118,
            120,
            authenticated_len(MAX_BLOCKS + 1),
        ] {
            assert_eq!(tag(&midstates, &std::vec![0; length]), None, "{length}");
        }
    }

    /// RFC 4231 keys are not 32 bytes long and its messages not 64k - 9: the same compressions are
    /// driven by hand over them.
    #[test]
    fn gives_the_tags_of_rfc_4231() {
        let cases: [(&[u8], &[u8], &str); 4] = [
            (
                &[0x0b; 20],
                b"Hi There",
                "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
            ),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 20],
                &[0xdd; 50],
                "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe",
            ),
            (
                &[
                    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22,
                    23, 24, 25,
                ],
                &[0xcd; 50],
                "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
            ),
        ];
        for (key, message, expected) in cases {
            let word = |index: usize| {
                u32::from_str_radix(&expected[8 * index..8 * index + 8], 16).unwrap()
            };
            let expected: State = core::array::from_fn(word);
            assert_eq!(hmac_of_any_length(key, message), expected);
        }
    }

    fn hmac_of_any_length(key: &[u8], message: &[u8]) -> State {
        let mut padded_key = [0; 32];
        padded_key[..key.len()].copy_from_slice(key);
        let midstates = Midstates::new(&padded_key);
        let mut bytes = [0; 64];
        bytes[..message.len()].copy_from_slice(message);
        bytes[message.len()] = 0x80;
        let (mut state, mut block) = (midstates.inner, [0; 16]);
        load(&mut block, &bytes);
        block[15] = (64 + message.len() as u32) * 8;
        compress(&mut state, &block);
        outer_block(&mut block, &state);
        let mut outer = midstates.outer;
        compress(&mut outer, &block);
        outer
    }
}
