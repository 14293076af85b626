//! What the filter tells: a counter for every verdict, a sampled event for refusals.

use core::mem::MaybeUninit;

use nexus0_common::classify::State;
use nexus0_common::maps::{Config, DropEvent, EVENT_BYTES, EVENTS_LOST};
use nexus0_common::memory_order::u64_at;
use nexus0_common::packet::{Packet, stated_length};
use nexus0_common::reason::{COUNTERS, Verdict};

use crate::maps::{COUNTS, Commit, EVENTS, Maps, forget, masked};
use crate::once::nexus0_event;
use crate::window::Window;

const CHUNK: usize = 16;

/// Adds the frame to its verdict's counter and samples refusals.
#[inline(always)]
pub fn count<C: Commit>(packet: &Window, maps: &Maps<'_, C>, verdict: Verdict) {
    let Some(counter) = COUNTS.get_ptr_mut(verdict as u32) else {
        return;
    };
    // SAFETY: this processor's own slot; a program is not interrupted by itself.
    let frames = unsafe {
        (*counter).frames += 1;
        (*counter).frames
    };
    if verdict == Verdict::Foreign {
        return;
    }
    let bytes = stated_length(packet);
    // SAFETY: as above.
    unsafe { (*counter).bytes += bytes };
    let config = maps.config();
    if !verdict.passes() && config.is_some_and(|config| sampled(config, verdict, frames)) {
        nexus0_event(maps.ctx, verdict as u32, bytes as u32);
    }
}

#[inline(always)]
fn sampled(config: &Config, verdict: Verdict, frames: u64) -> bool {
    let index = masked::<{ COUNTERS as i32 - 1 }>(forget(verdict as usize, frames));
    // SAFETY: below the number of counters, by the mask.
    let shift = unsafe { *config.sample_shift.get_unchecked(index) };
    shift < 64 && frames & ((1 << (shift & 63)) - 1) == 0
}

/// Writes the beginning of a refused frame to the ring buffer.
#[inline(always)]
pub fn event(packet: &Window, verdict: u8, length: u32) {
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
            // A word at a time; BPF's copy would be one of bytes.
            let to = (&raw mut (*event).bytes).cast::<u8>().add(captured);
            to.cast::<u64>().write(u64_at(chunk, 0));
            to.cast::<u64>().add(1).write(u64_at(chunk, 8));
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
