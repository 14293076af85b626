//! The SHA-256 compression function (FIPS 180-4, section 6.2.2).

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

/// The round constants.
#[rustfmt::skip]
pub static K: [u32; 64] = [
    0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
    0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
    0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
    0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
    0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
    0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
    0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
    0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
];

/// Folds one block into the state. The filter has the same in assembly: its processor has ten registers and
/// no rotation.
pub fn compress(state: &mut State, block: &Block) {
    let mut w = *block;
    let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
    for (t, k) in K.iter().enumerate() {
        let t1 = h
            .wrapping_add(rotations(e, [6, 11, 25]))
            .wrapping_add(g ^ (e & (f ^ g)))
            .wrapping_add(*k)
            .wrapping_add(w[t % 16]);
        let t2 = rotations(a, [2, 13, 22]).wrapping_add(b ^ ((a ^ b) & (b ^ c)));
        (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
        (d, c, b, a) = (c, b, a, t1.wrapping_add(t2));
        w[t % 16] = w[t % 16]
            .wrapping_add(shifts(w[(t + 1) % 16], [7, 18], 3))
            .wrapping_add(w[(t + 9) % 16])
            .wrapping_add(shifts(w[(t + 14) % 16], [17, 19], 10));
    }
    for (word, round) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
        *word = word.wrapping_add(round);
    }
}

/// The capital sigmas of FIPS 180-4, section 4.1.2.
fn rotations(x: u32, by: [u32; 3]) -> u32 {
    x.rotate_right(by[0]) ^ x.rotate_right(by[1]) ^ x.rotate_right(by[2])
}

/// The small sigmas.
fn shifts(x: u32, by: [u32; 2], shift: u32) -> u32 {
    x.rotate_right(by[0]) ^ x.rotate_right(by[1]) ^ (x >> shift)
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
            compress(&mut state, &block);
            let mut padding = [0; 16];
            padding[0] = 0x8000_0000;
            padding[15] = 512;
            compress(&mut state, &padding);
            let mut digest = [0; 32];
            for (bytes, word) in digest.chunks_mut(4).zip(state) {
                bytes.copy_from_slice(&word.to_be_bytes());
            }
            let oracle = sha2::Sha256::digest(message);
            prop_assert_eq!(digest.as_slice(), oracle.as_slice());
        }
    }
}
