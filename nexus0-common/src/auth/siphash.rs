//! SipHash-1-3 (Aumasson, Bernstein, 2012; the number of rounds that Linux and Rust chose for their hash tables).

/// SipHash-1-3 of `8 * N` bytes given as little-endian words.
#[inline(always)]
pub fn siphash13<const N: usize>(key: &[u64; 2], message: [u64; N]) -> u64 {
    let mut sip = Sip::new(key);
    for word in message {
        sip.absorb(word);
    }
    sip.finish(8 * N, 0)
}

/// SipHash-1-3 under way.
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
        v[0] ^= word;
    }

    /// The hash of `length` bytes in all, the last `length % 8` of which are given as a little-endian word.
    #[inline(always)]
    pub fn finish(mut self, length: usize, last: u64) -> u64 {
        self.absorb((length as u64) << 56 | last);
        let mut v = self.0;
        v[2] ^= 0xff;
        for _ in 0..3 {
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
    use siphasher::sip::SipHasher13;

    proptest! {
        #[test]
        fn agrees_with_the_siphasher_crate(k0: u64, k1: u64, message: [u64; 5]) {
            let mut oracle = SipHasher13::new_with_keys(k0, k1);
            for word in message {
                oracle.write(&word.to_le_bytes());
            }
            prop_assert_eq!(siphash13(&[k0, k1], message), oracle.finish());
        }

        #[test]
        fn agrees_with_it_where_the_last_word_is_not_whole(
            k0: u64, k1: u64, whole: [u64; 3], part: [u8; 8], used in 0_usize..8,
        ) {
            let mut oracle = SipHasher13::new_with_keys(k0, k1);
            let mut sip = Sip::new(&[k0, k1]);
            for word in whole {
                oracle.write(&word.to_le_bytes());
                sip.absorb(word);
            }
            oracle.write(&part[..used]);
            let mut last = [0; 8];
            last[..used].copy_from_slice(&part[..used]);
            let hash = sip.finish(24 + used, u64::from_le_bytes(last));
            prop_assert_eq!(hash, oracle.finish());
        }
    }

    #[test]
    fn gives_what_cpython_gives() {
        // The key 0 and the message 00..1e, as CPython 3.11 hashes bytes with PYTHONHASHSEED=0.
        let mut sip = Sip::new(&[0, 0]);
        let bytes: [u8; 32] = core::array::from_fn(|at| if at < 31 { at as u8 } else { 0 });
        let (words, _) = bytes.as_chunks::<8>();
        let words = [0, 1, 2, 3].map(|at| u64::from_le_bytes(words[at]));
        words[..3].iter().for_each(|word| sip.absorb(*word));
        let expected = [0x9b, 0xd4, 0x11, 0x31, 0x44, 0x39, 0x97, 0x16];
        assert_eq!(sip.finish(31, words[3]), u64::from_le_bytes(expected));
    }
}
