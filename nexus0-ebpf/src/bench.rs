//! The filter as no interface has it, for the bench and the tests.

use core::sync::atomic::AtomicU64;

use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use nexus0_common::classify::State;
use nexus0_common::wire::Class;

use crate::filter;
use crate::maps::{Atomic, Commit, Maps};

/// The filter, forgetting what peer 0 sent in generation 0 with a sequence below 32: a repeated test run offers
/// the same bytes again and again, so the state that an acceptance left is taken back before each judgement.
#[xdp]
pub fn nexus0_forget(ctx: XdpContext) -> u32 {
    let maps: Maps<'_> = Maps::bare(ctx.ctx);
    if let Some(word) = maps.window(0, 0, Class::Multicast, 0) {
        // SAFETY: an aligned, live word; no other program runs beside a test run.
        unsafe { word.as_ptr().write_volatile(0) };
    }
    if let Some(arrival) = maps.arrival(0) {
        // SAFETY: as above.
        unsafe { arrival.as_ptr().write_volatile(0) };
    }
    filter::<Atomic>(&ctx)
}

/// A load, a comparison, a store.
struct Torn;

impl Commit for Torn {
    #[inline(always)]
    fn exchange(word: &AtomicU64, current: u64, new: u64) -> bool {
        // SAFETY: an aligned, live word.
        unsafe {
            let same = word.as_ptr().read_volatile() == current;
            if same {
                word.as_ptr().write_volatile(new);
            }
            same
        }
    }
}

/// The filter with commits that are not atomic: a test on several processors must notice.
#[xdp]
pub fn nexus0_torn(ctx: XdpContext) -> u32 {
    filter::<Torn>(&ctx)
}

/// Somebody else was always first.
struct Lost;

impl Commit for Lost {
    #[inline(always)]
    fn exchange(_: &AtomicU64, _: u64, _: u64) -> bool {
        false
    }
}

/// The filter that loses every commit.
#[xdp]
pub fn nexus0_lost(ctx: XdpContext) -> u32 {
    filter::<Lost>(&ctx)
}
