//! What the verifier looks at once: global functions in the sense of BTF (Linux 5.6, with pointers 5.12).
//! A static function would be verified anew on every path that leads to it, and there are too many.
//!
//! Their callers may be anybody as far as the verifier knows, so every pointer may be null and every
//! number anything.

use core::arch::asm;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::programs::XdpContext;
use nexus0_common::auth::sha256::{self, Block};
use nexus0_common::classify::{self, State, Trailer};
use nexus0_common::door;
use nexus0_common::maps::KEY_SLOTS;
use nexus0_common::packet::PAYLOAD;

use crate::maps::Maps;
use crate::report;
use crate::window::Window;

/// The one SHA-256 compression of the program. Not zero if a pointer was null.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn nexus0_compress(state: *mut sha256::State, block: *mut Block) -> u32 {
    if state.is_null() || block.is_null() {
        return 1;
    }
    // SAFETY: the verifier makes callers pass null or that much memory.
    unsafe { sha256::compress(&mut *state, &mut *block) };
    0
}

/// The slot that holds a key id, `KEY_SLOTS` if none does.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn nexus0_find_key(id: u32) -> u32 {
    let maps = Maps {
        ctx: core::ptr::null_mut(),
    };
    maps.keys()
        .map_or(KEY_SLOTS, |keys| classify::find_key(keys, id)) as u32
}

/// Copies pre-tag and tag of a frame of so many blocks. Not zero if the frame ends before.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn nexus0_trailer(ctx: *mut xdp_md, blocks: u32, trailer: *mut Trailer) -> u32 {
    if trailer.is_null() {
        return 1;
    }
    let window = Window::new(&XdpContext::new(ctx));
    match Trailer::read(&window, blocks as usize) {
        Ok(read) => {
            // SAFETY: the verifier makes callers pass null or that much memory.
            unsafe { trailer.write(read) };
            0
        }
        Err(_) => 1,
    }
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
    u32::from(
        classify::check_tag(&window, &Maps { ctx }, slot as usize, blocks as usize, tag).is_err(),
    )
}

/// Whether a frame at the door carries what this node drew itself: one if so.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn nexus0_bound(ctx: *mut xdp_md, kind: u32, blocks: u32) -> u32 {
    let window = Window::new(&XdpContext::new(ctx));
    let maps = Maps { ctx };
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

/// Counts a verdict and samples refusals. Always zero.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn nexus0_report(ctx: *mut xdp_md, verdict: u32) -> u32 {
    report::count(&Window::new(&XdpContext::new(ctx)), &Maps { ctx }, verdict);
    0
}

/// The number itself, but the verifier no longer knows which path gave it which value: it refuses, without
/// CAP_PERFMON, an index whose bounds differ from path to path.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn nexus0_forget_path(number: u32) -> u32 {
    let mut same = number;
    // SAFETY: an empty template. Without it LLVM would see through the function.
    unsafe { asm!("/* {0} */", inlateout(reg) same, options(nomem, nostack)) };
    same
}
