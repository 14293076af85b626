//! The SHA-256 compression function (FIPS 180-4, section 6.2.2), shaped for a machine of ten 64-bit
//! registers without a rotate: a word stands twice in a register, so a rotation is one shift.

use core::ops::Index;

use crate::memory_order::u32_at;

/// Chaining value.
pub type State = [u32; 8];
/// One message block as sixteen big-endian words.
pub type Block = [u32; 16];

/// The initial hash value.
pub const INITIAL: State = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// The round constants, sixteen for each turn of the loop.
#[rustfmt::skip]
static K: [[u32; 16]; 4] = [[
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
], [
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
], [
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
], [
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
]];

/// Folds one block into the state. The block is used up as schedule space. Sixteen rounds are a turn of a
/// loop, and the filter holds one copy of it: more would leave the instruction cache.
#[inline(always)]
pub fn compress(state: &mut State, w: &mut Block) {
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    let mut k = Constants::new();
    macro_rules! round {
        ($a:ident $b:ident $c:ident $d:ident $e:ident $f:ident $g:ident $h:ident, $t:expr) => {
            let t1 = $h
                .wrapping_add(read(w, $t))
                .wrapping_add(k[$t])
                .wrapping_add(big_sigma1($e))
                .wrapping_add($g ^ ($e & ($f ^ $g)));
            $d = $d.wrapping_add(t1);
            $h = t1
                .wrapping_add(big_sigma0($a))
                .wrapping_add($b ^ (($a ^ $b) & ($b ^ $c)));
        };
    }
    macro_rules! eight {
        ($t:literal) => {
            round!(a b c d e f g h, $t);
            round!(h a b c d e f g, $t + 1);
            round!(g h a b c d e f, $t + 2);
            round!(f g h a b c d e, $t + 3);
            round!(e f g h a b c d, $t + 4);
            round!(d e f g h a b c, $t + 5);
            round!(c d e f g h a b, $t + 6);
            round!(b c d e f g h a, $t + 7);
        };
    }
    let mut turn = 1;
    loop {
        eight!(0);
        eight!(8);
        if turn == K.len() {
            break;
        }
        schedule(w);
        k.advance();
        turn += 1;
    }
    let rounds = [a, b, c, d, e, f, g, h];
    let mut index = 0;
    while index < 8 {
        state[index] = state[index].wrapping_add(rounds[index]);
        index += 1;
    }
}

/// Where the loop stands in [`K`]. The pointer lives in memory and moves by constants: what LLVM would
/// make of an index, and a spill slot that holds a pointer and then half a word, are both refused by the
/// verifier without CAP_PERFMON.
struct Constants(*const [u32; 16]);

impl Constants {
    #[inline(always)]
    fn new() -> Self {
        Self(K.as_ptr())
    }

    #[inline(always)]
    fn advance(&mut self) {
        let place = &raw mut self.0;
        // SAFETY: the loop stops before it leaves the array.
        unsafe { place.write_volatile(place.read_volatile().add(1)) };
    }
}

impl Index<usize> for Constants {
    type Output = u32;

    #[inline(always)]
    fn index(&self, index: usize) -> &u32 {
        // SAFETY: within the static as long as the loop makes no more turns than it has elements.
        unsafe { &(&*(&raw const self.0).read_volatile())[index] }
    }
}

/// Replaces sixteen words of the schedule by the next sixteen.
#[inline(always)]
fn schedule(w: &mut Block) {
    macro_rules! each {
        ($($t:literal)*) => { $(next_word(w, $t);)* };
    }
    each!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
}

#[inline(always)]
fn next_word(w: &mut Block, t: usize) {
    let word = read(w, t)
        .wrapping_add(small_sigma0(read(w, t + 1)))
        .wrapping_add(read(w, t + 9))
        .wrapping_add(small_sigma1(read(w, t + 14)));
    // SAFETY: a reference is valid for writes.
    unsafe { (&raw mut w[t % 16]).write_volatile(word) };
}

/// Volatile, so that the schedule stays in memory: left to itself LLVM computes it ahead of the rounds,
/// and 48 words do not fit the 512-byte stack of a BPF program.
#[inline(always)]
fn read(w: &Block, t: usize) -> u32 {
    // SAFETY: a reference is valid for reads.
    unsafe { (&raw const w[t % 16]).read_volatile() }
}

/// The word in both halves of a register: `>> n` then leaves its rotation by n in the low half.
#[inline(always)]
fn twice(x: u32) -> u64 {
    (u64::from(x) << 32) | u64::from(x)
}

#[inline(always)]
fn big_sigma0(x: u32) -> u32 {
    let d = twice(x);
    ((((((d >> 9) ^ d) >> 11) ^ d) >> 2) & 0xffff_ffff) as u32
}

#[inline(always)]
fn big_sigma1(x: u32) -> u32 {
    let d = twice(x);
    ((((((d >> 14) ^ d) >> 5) ^ d) >> 6) & 0xffff_ffff) as u32
}

#[inline(always)]
fn small_sigma0(x: u32) -> u32 {
    let d = twice(x);
    ((((d >> 11) ^ d) >> 7) as u32) ^ (x >> 3)
}

#[inline(always)]
fn small_sigma1(x: u32) -> u32 {
    let d = twice(x);
    ((((d >> 2) ^ d) >> 17) as u32) ^ (x >> 10)
}

/// Sixteen words from 64 bytes.
#[inline(always)]
pub fn load(block: &mut Block, bytes: &[u8; 64]) {
    let mut index = 0;
    while index < 16 {
        block[index] = u32::from_be(u32_at(bytes, 4 * index));
        index += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::Digest;

    proptest! {
        #[test]
        fn agrees_with_the_sha2_crate(bytes: [[u8; 32]; 2]) {
            let mut message = [0; 64];
            message[..32].copy_from_slice(&bytes[0]);
            message[32..].copy_from_slice(&bytes[1]);
            let (mut state, mut block) = (INITIAL, [0; 16]);
            load(&mut block, &message);
            compress(&mut state, &mut block);
            let mut padding = [0; 16];
            padding[0] = 0x8000_0000;
            padding[15] = 512;
            compress(&mut state, &mut padding);
            let mut digest = [0; 32];
            for (bytes, word) in digest.chunks_mut(4).zip(state) {
                bytes.copy_from_slice(&word.to_be_bytes());
            }
            let oracle = sha2::Sha256::digest(message);
            prop_assert_eq!(digest.as_slice(), oracle.as_slice());
        }
    }
}
