//! The filter as the bench measures a frame it accepts: a repeated test run offers the same bytes again
//! and again, so the state that the acceptance left is taken back before each judgement.

use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use nexus0_common::classify::State;
use nexus0_common::wire::Class;

use crate::maps::Maps;

/// The filter, forgetting what peer 0 sent in generation 0 with a sequence below 32.
#[xdp]
pub fn nexus0_forget(ctx: XdpContext) -> u32 {
    let maps = Maps {
        ctx: ctx.ctx,
        config: None,
    };
    if let Some(word) = maps.window(0, 0, Class::Multicast, 0) {
        // SAFETY: an aligned, live word; no other program runs beside a test run.
        unsafe { word.as_ptr().write_volatile(0) };
    }
    if let Some(arrival) = maps.arrival(0) {
        // SAFETY: as above.
        unsafe { arrival.as_ptr().write_volatile(0) };
    }
    crate::filter(&ctx)
}
