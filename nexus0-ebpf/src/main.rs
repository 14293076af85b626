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

use maps::Maps;
use window::Window;

/// The filter.
#[xdp]
pub fn nexus0(ctx: XdpContext) -> u32 {
    filter(&ctx)
}

#[inline(always)]
fn filter(ctx: &XdpContext) -> u32 {
    let packet = &Window::new(ctx);
    let maps = Maps { ctx: ctx.ctx };
    let verdict = classify(packet, &maps);
    once::nexus0_report(ctx.ctx, verdict as u32);
    #[cfg(feature = "aya-log")]
    report::log(ctx, verdict);
    if verdict.passes() || observing(&maps) {
        XDP_PASS
    } else {
        XDP_DROP
    }
}

#[inline(always)]
fn observing(maps: &Maps) -> bool {
    maps.config()
        .is_some_and(|config| config.flags & flags::OBSERVE != 0)
}

/// Never reached; if it were, the verifier would refuse the endless loop.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 7] = *b"GPL v2\0";
