//! What the verifier looks at once: global functions in the sense of BTF (Linux 5.6, with pointers 5.12).
//! A static function would be verified anew on every path that leads to it, and there are too many.
//!
//! Their callers may be anybody as far as the verifier knows, so every pointer may be null and every
//! number anything.

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use nexus0_common::auth::sha256::{self, Block};
use nexus0_common::classify::{self, State};
use nexus0_common::door;
use nexus0_common::packet::PAYLOAD;

use crate::compress::compress;
use crate::maps::Maps;
use crate::report;
use crate::window::Window;

/// The one SHA-256 compression of the program. Not zero if a pointer was null.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn nexus0_compress(state: *mut sha256::State, block: *const Block) -> u32 {
    if state.is_null() || block.is_null() {
        return 1;
    }
    // SAFETY: the verifier makes callers pass null or that much memory.
    unsafe { compress(&mut *state, &*block) };
    0
}

/// Whether the tag of a frame is right under the key of a slot: zero if so.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn nexus0_check_tag(
    ctx: *mut xdp_md,
    slot: u32,
    blocks: u32,
    tag: *const [u64; 4],
) -> u32 {
    if tag.is_null() {
        return 1;
    }
    let window = Window::new(&XdpContext::new(ctx));
    // SAFETY: the verifier makes callers pass null or that much memory.
    let tag = unsafe { &*tag };
    let maps: Maps<'_> = Maps::bare(ctx);
    u32::from(classify::check_tag(&window, &maps, slot as usize, blocks as usize, tag).is_err())
}

/// Whether a frame at the door carries what this node drew itself: one if so.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn nexus0_bound(ctx: *mut xdp_md, kind: u32, blocks: u32) -> u32 {
    let window = Window::new(&XdpContext::new(ctx));
    let maps: Maps<'_> = Maps::new(ctx);
    u32::from(maps.config().is_some_and(|config| {
        door::bound(&window, PAYLOAD, kind as u8, blocks as usize, &config.own)
    }))
}

/// Copies what may be extension headers behind an IPv6 header that ends at `at`; the number of bytes.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn nexus0_copy_headers(ctx: *mut xdp_md, at: u32) -> u32 {
    Window::new(&XdpContext::new(ctx)).copy_headers(at as usize) as u32
}

/// Writes a refused frame to the ring buffer. Always zero.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn nexus0_event(ctx: *mut xdp_md, verdict: u32, length: u32) -> u32 {
    report::event(&Window::new(&XdpContext::new(ctx)), verdict as u8, length);
    0
}
