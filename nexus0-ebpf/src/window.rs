//! The packet's linear bytes between the two pointers that XDP gives.

use core::arch::asm;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use nexus0_common::memory_order::u32_at;
use nexus0_common::packet::{ETHERNET, IPV6, MAX_EXTENSION_BYTES, Packet};
use nexus0_common::reason::Verdict;
use nexus0_common::wire::MAX_BLOCKS;

use crate::maps::{SCRATCH, forget, masked};
use crate::once::nexus0_copy_headers;

/// A frame in the driver's memory.
pub struct Window {
    ctx: *mut xdp_md,
    start: usize,
    end: usize,
}

impl Window {
    #[inline(always)]
    pub fn new(ctx: &XdpContext) -> Self {
        Self {
            ctx: ctx.ctx,
            start: ctx.data(),
            end: ctx.data_end(),
        }
    }
}

/// Moves a packet pointer by a constant. In assembly because LLVM would make one addition of a variable
/// out of many of constants, which the verifier refuses without CAP_PERFMON.
#[inline(always)]
fn forward<const STEP: i32>(from: usize) -> usize {
    let mut to = from;
    // SAFETY: plain arithmetic on a register.
    unsafe { asm!("{0} += {1}", inlateout(reg) to, const STEP, options(pure, nomem, nostack)) };
    to
}

#[inline(always)]
fn read<'a, const N: usize>(from: usize, end: usize) -> Result<&'a [u8; N], Verdict> {
    if from + N > end {
        return Err(Verdict::ShortFrame);
    }
    // SAFETY: the N bytes lie between data and data_end, which the verifier checks once more.
    Ok(unsafe { &*(from as *const [u8; N]) })
}

/// Words that are copied: all that can be asked for.
const COPIED_WORDS: usize = MAX_EXTENSION_BYTES / 4 + 1;

/// Words of the copy that extension headers are followed in: at least those, a power of two.
pub const SCRATCH_WORDS: usize = 128;

impl Packet for Window {
    #[inline(always)]
    fn bytes<const N: usize>(&self, at: usize) -> Result<&[u8; N], Verdict> {
        read(self.start + at, self.end)
    }

    #[inline(always)]
    fn behind<const N: usize>(&self, at: usize, blocks: usize) -> Result<&[u8; N], Verdict> {
        const { assert!(MAX_BLOCKS < 32) }
        // Back from the furthest: so the verifier comes by the nearest first, and what it learns of the packet's
        // length there holds for all.
        let mut from = forward::<{ 64 * 31 }>(self.start + at);
        macro_rules! steps {
            ($($step:literal)*) => { $(if blocks & $step == 0 {
                from = forward::<{ -64 * $step }>(from);
            })* };
        }
        steps!(16 8 4 2 1);
        read(from, self.end)
    }

    #[inline(always)]
    fn blocks<'a>(&'a self, at: usize) -> impl FnMut() -> Result<&'a [u8; 64], Verdict> {
        let mut from = self.start + at;
        move || {
            let block = read(from, self.end);
            from = forward::<64>(from);
            block
        }
    }

    /// Copies the headers, since a packet pointer cannot follow them (above); a map's can.
    #[inline(always)]
    fn headers(&self, at: usize) -> impl Fn(usize) -> Option<[u8; 4]> {
        let copied = nexus0_copy_headers(self.ctx, at as u32) as usize;
        move |offset| {
            if offset >= copied {
                return None;
            }
            let scratch = SCRATCH.get_ptr(0)?;
            let word = forget(offset / 4, copied as u64);
            let word = masked::<{ SCRATCH_WORDS as i32 - 1 }>(word);
            // SAFETY: within the scratch value, by the mask.
            Some(unsafe { *(*scratch).get_unchecked(word) }.to_ne_bytes())
        }
    }
}

impl Window {
    /// Copies what may be extension headers into the scratch map and says how many bytes there were. `at`
    /// is where an IPv6 header ends behind no, one or two VLAN tags.
    #[inline(always)]
    pub fn copy_headers(&self, at: usize) -> usize {
        let Some(scratch) = SCRATCH.get_ptr_mut(0) else {
            return 0;
        };
        let mut to = scratch as usize;
        let mut from = self.start + ETHERNET + IPV6;
        if at > ETHERNET + IPV6 {
            from = forward::<4>(from);
        }
        if at > ETHERNET + IPV6 + 4 {
            from = forward::<4>(from);
        }
        let mut word = 0;
        while word < COPIED_WORDS {
            let Ok(bytes) = read::<4>(from, self.end) else {
                break;
            };
            // SAFETY: within the scratch value, which holds more words than are copied.
            unsafe { (to as *mut u32).write(u32_at(bytes, 0)) };
            from = forward::<4>(from);
            to = forward::<4>(to);
            word += 1;
        }
        4 * word
    }
}
