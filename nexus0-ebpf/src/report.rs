//! What the filter tells: a counter for every verdict, a sampled event for refusals.

use core::mem::MaybeUninit;

use nexus0_common::classify::State;
use nexus0_common::maps::{DropEvent, EVENT_BYTES, EVENTS_LOST};
use nexus0_common::packet::{Packet, stated_length};
use nexus0_common::reason::{COUNTERS, Verdict};

use crate::maps::{COUNTS, EVENTS, Maps, masked};
use crate::window::Window;

const CHUNK: usize = 16;

/// Adds the frame to its verdict's counter. The verdict comes as its number, masked: the verifier has to
/// believe in it.
#[inline(always)]
pub fn count(packet: &Window, maps: &Maps, verdict: u32) {
    let Some(counter) = COUNTS.get_ptr_mut(verdict) else {
        return;
    };
    let bytes = if verdict == Verdict::Foreign as u32 {
        0
    } else {
        stated_length(packet)
    };
    // SAFETY: this processor's own slot; a program is not interrupted by itself.
    let frames = unsafe {
        (*counter).bytes += bytes;
        (*counter).frames += 1;
        (*counter).frames
    };
    if verdict > Verdict::Foreign as u32 && sampled(maps, verdict, frames) {
        event(packet, verdict as u8, bytes as u32);
    }
}

#[inline(always)]
fn sampled(maps: &Maps, verdict: u32, frames: u64) -> bool {
    let Some(config) = maps.config() else {
        return false;
    };
    let index = masked::<{ COUNTERS as i32 - 1 }>(verdict as usize);
    // SAFETY: below the number of counters, by the mask.
    let shift = unsafe { *config.sample_shift.get_unchecked(index) };
    shift < 64 && frames & ((1 << (shift & 63)) - 1) == 0
}

#[inline(always)]
fn event(packet: &Window, verdict: u8, length: u32) {
    let Some(mut entry) = EVENTS.reserve(0) else {
        lost();
        return;
    };
    let event: *mut DropEvent = MaybeUninit::as_mut_ptr(&mut entry);
    let mut captured = 0;
    // SAFETY: the reserved entry is as large as the event; every byte of it is written.
    unsafe {
        (*event).length = length;
        (*event).verdict = verdict;
        (*event).spare = [0; 2];
        while captured < EVENT_BYTES {
            let Ok(chunk) = packet.bytes::<CHUNK>(captured) else {
                break;
            };
            core::ptr::copy_nonoverlapping(
                chunk.as_ptr(),
                (&raw mut (*event).bytes).cast::<u8>().add(captured),
                CHUNK,
            );
            captured += CHUNK;
        }
        (*event).captured = captured as u8;
    }
    entry.submit(0);
}

#[inline(always)]
fn lost() {
    if let Some(counter) = COUNTS.get_ptr_mut(EVENTS_LOST as u32) {
        // SAFETY: this processor's own slot.
        unsafe { (*counter).frames += 1 };
    }
}

/// One line per accepted frame, for debugging the filter; never on the drop path.
#[cfg(feature = "aya-log")]
#[inline(always)]
pub fn log(ctx: &aya_ebpf::programs::XdpContext, verdict: Verdict) {
    if verdict == Verdict::Accepted {
        aya_log_ebpf::debug!(ctx, "accepted");
    }
}
