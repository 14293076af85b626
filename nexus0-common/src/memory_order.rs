//! Integers at constant offsets of byte arrays, in memory order and in one load each: without alignment
//! LLVM's BPF target would assemble them from single bytes.

macro_rules! reader {
    ($name:ident, $integer:ty) => {
        /// The integer whose bytes begin at `at`; `at` must be a constant within the array.
        #[inline(always)]
        pub fn $name<const N: usize>(bytes: &[u8; N], at: usize) -> $integer {
            const SIZE: usize = size_of::<$integer>();
            assert!(at + SIZE <= N);
            #[cfg(target_arch = "bpf")]
            // SAFETY: within the array, as asserted. BPF loads need no alignment where packets are read;
            // the verifier refuses the program where they would.
            unsafe {
                bytes.as_ptr().add(at).cast::<$integer>().read()
            }
            #[cfg(not(target_arch = "bpf"))]
            {
                let mut integer = [0; SIZE];
                integer.copy_from_slice(&bytes[at..at + SIZE]);
                <$integer>::from_ne_bytes(integer)
            }
        }
    };
}

reader!(u16_at, u16);
reader!(u32_at, u32);
reader!(u64_at, u64);
