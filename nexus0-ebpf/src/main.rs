//! The NEXUS-0 filter: an XDP program that asks `nexus0_common::classify` about every frame, counts the
//! answer and drops what is refused.
#![no_std]
#![no_main]
#![feature(asm_experimental_arch, core_intrinsics)]
#![allow(
    internal_features,
    reason = "compare-exchange exists for BPF only as an intrinsic"
)]

mod bench;
mod compress;
mod flood;
mod maps;
mod once;
mod report;
mod window;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use nexus0_common::classify::{State, classify};
use nexus0_common::maps::flags;
use nexus0_common::reason::Verdict;

use maps::{Atomic, Commit, Maps, SOCKETS};
use window::Window;

/// The filter.
#[xdp]
pub fn nexus0(ctx: XdpContext) -> u32 {
    filter::<Atomic>(&ctx)
}

#[inline(always)]
fn filter<C: Commit>(ctx: &XdpContext) -> u32 {
    let packet = &Window::new(ctx);
    let maps = Maps::<C>::new(ctx.ctx);
    let verdict = classify(packet, &maps);
    report::count(packet, &maps, verdict);
    #[cfg(feature = "aya-log")]
    report::log(ctx, verdict);
    if verdict == Verdict::Foreign {
        return XDP_PASS;
    }
    let flags = maps.config().map_or(0, |config| config.flags);
    if verdict == Verdict::Accepted && flags & flags::REDIRECT != 0 {
        redirect(ctx)
    } else if verdict.passes() || flags & flags::OBSERVE != 0 {
        XDP_PASS
    } else {
        XDP_DROP
    }
}

/// Hands the frame to the controller's socket on this queue, or to the stack where there is none.
#[inline(always)]
fn redirect(ctx: &XdpContext) -> u32 {
    // SAFETY: a field of the context.
    let queue = unsafe { (*ctx.ctx).rx_queue_index };
    match SOCKETS.redirect(queue, u64::from(XDP_PASS)) {
        Ok(action) | Err(action) => action,
    }
}

/// Never reached; if it were, the verifier would refuse the endless loop.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 7] = *b"GPL v2\0";
