//! Helpers of the flood generator and the bench: programs that do one thing to every frame.

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;

/// Sends live frames out of the interface they are said to come from.
#[xdp]
pub fn nexus0_transmit(_ctx: XdpContext) -> u32 {
    XDP_TX
}

/// Lets the peer of a veth take frames sent by XDP.
#[xdp]
pub fn nexus0_pass(_ctx: XdpContext) -> u32 {
    XDP_PASS
}

/// The floor of every measurement.
#[xdp]
pub fn nexus0_drop(_ctx: XdpContext) -> u32 {
    XDP_DROP
}
