//! SipHash-2-4 (Aumasson, Bernstein, 2012) over whole 8-byte words.

/// SipHash-2-4 of `8 * N` bytes given as little-endian words.
#[inline(always)]
pub fn siphash24<const N: usize>(key: &[u64; 2], message: [u64; N]) -> u64 {
    let mut sip = Sip::new(key);
    for word in message {
        sip.absorb(word);
    }
    sip.finish(N)
}

/// SipHash-2-4 under way.
pub struct Sip([u64; 4]);

impl Sip {
    /// Nothing hashed yet.
    #[inline(always)]
    pub fn new(&[k0, k1]: &[u64; 2]) -> Self {
        Self([
            k0 ^ 0x736f_6d65_7073_6575,
            k1 ^ 0x646f_7261_6e64_6f6d,
            k0 ^ 0x6c79_6765_6e65_7261,
            k1 ^ 0x7465_6462_7974_6573,
        ])
    }

    /// Eight bytes more, as a little-endian word.
    #[inline(always)]
    pub fn absorb(&mut self, word: u64) {
        let v = &mut self.0;
        v[3] ^= word;
        round(v);
        round(v);
        v[0] ^= word;
    }

    /// The hash of all words, of which there were so many.
    #[inline(always)]
    pub fn finish(mut self, words: usize) -> u64 {
        self.absorb((8 * words as u64) << 56);
        let mut v = self.0;
        v[2] ^= 0xff;
        for _ in 0..4 {
            round(&mut v);
        }
        v[0] ^ v[1] ^ v[2] ^ v[3]
    }
}

#[inline(always)]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::hash::Hasher;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_the_siphasher_crate(k0: u64, k1: u64, message: [u64; 5]) {
            let mut oracle = siphasher::sip::SipHasher24::new_with_keys(k0, k1);
            for word in message {
                oracle.write(&word.to_le_bytes());
            }
            prop_assert_eq!(siphash24(&[k0, k1], message), oracle.finish());
        }
    }

    #[test]
    fn gives_the_reference_vector() {
        // Key 00..0f, message 00..07: vectors_sip64[8] of the reference implementation.
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let expected = u64::from_le_bytes([0x62, 0x24, 0x93, 0x9a, 0x79, 0xf5, 0xf5, 0x93]);
        assert_eq!(siphash24(&key, [0x0706_0504_0302_0100]), expected);
    }
}
