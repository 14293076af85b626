//! The map statics, and the judgement's view of them.

use core::arch::asm;
use core::borrow::BorrowMut;
use core::marker::PhantomData;
use core::sync::atomic::AtomicU64;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::btf_maps::{Array, PerCpuArray, RingBuf, XskMap};
use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::btf_map;
use nexus0_common::auth::sha256::{self, Block};
use nexus0_common::classify::State;
use nexus0_common::door::HALVES;
use nexus0_common::maps::{
    Config, Counter, DOOR_CELLS, Door, DropEvent, EVENT_RING, GENERATIONS, KEY_SLOTS, KeySlot,
    Keys, MAX_PEERS, Peer, QUEUES, SignedPeer, WINDOW_WORDS,
};
use nexus0_common::memory_order::u64_at;
use nexus0_common::packet::Packet;
use nexus0_common::peers::{self, BUCKETS, Roster};
use nexus0_common::reason::{COUNTERS, Verdict};
use nexus0_common::wire::Class;

use crate::once::{nexus0_bound, nexus0_check_tag, nexus0_compress};
use crate::window::SCRATCH_WORDS;

/// `BPF_F_MMAPABLE`: the controller writes these without a system call.
const MMAPABLE: usize = 1 << 10;

#[btf_map]
static CONFIG: Array<Config, 1, MMAPABLE> = Array::new();
#[btf_map]
static KEYS: Array<Keys, 1, MMAPABLE> = Array::new();
#[btf_map]
static ROSTER: Array<Roster, 1, MMAPABLE> = Array::new();
#[btf_map]
static WINDOWS: Array<Peer, MAX_PEERS, MMAPABLE> = Array::new();
#[btf_map]
static SIGNED: Array<SignedPeer, MAX_PEERS, MMAPABLE> = Array::new();
#[btf_map]
static DOOR: Array<Door, HALVES> = Array::new();
#[btf_map]
pub static COUNTS: PerCpuArray<Counter, COUNTERS> = PerCpuArray::new();
#[btf_map]
pub static SCRATCH: PerCpuArray<[u32; SCRATCH_WORDS], 1> = PerCpuArray::new();
#[btf_map]
pub static EVENTS: RingBuf<DropEvent, EVENT_RING> = RingBuf::new();
#[btf_map]
pub static SOCKETS: XskMap<QUEUES> = XskMap::new();

/// The number with only the bits of a constant left. In assembly because LLVM knows bounds that the
/// verifier lost sight of, and would leave the mask out.
#[inline(always)]
pub fn masked<const MASK: i32>(number: usize) -> usize {
    let mut masked = number;
    // SAFETY: plain arithmetic on a register.
    unsafe { asm!("{0} &= {1}", inlateout(reg) masked, const MASK, options(pure, nomem, nostack)) };
    masked
}

/// See [`State::forget`]. In assembly because LLVM would see through it.
#[inline(always)]
pub fn forget(number: usize, unknown: u64) -> usize {
    let mut same = number;
    // SAFETY: plain arithmetic on a register.
    unsafe {
        asm!("{0} ^= {1}", "{0} ^= {1}", inout(reg) same, in(reg) unknown,
             options(pure, nomem, nostack));
    }
    same
}

/// How a word is replaced if it still is what it was: `true` if so.
pub trait Commit {
    fn exchange(word: &AtomicU64, current: u64, new: u64) -> bool;
}

/// In one step, the only way outside of tests.
pub struct Atomic;

impl Commit for Atomic {
    #[inline(always)]
    fn exchange(word: &AtomicU64, current: u64, new: u64) -> bool {
        use core::intrinsics::{AtomicOrdering, atomic_cxchg};
        // SAFETY: an aligned, live word.
        let (_, stored) = unsafe {
            atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(
                word.as_ptr(),
                current,
                new,
            )
        };
        stored
    }
}

/// The maps of this program, and the frame it was called for.
pub struct Maps<'a, C = Atomic> {
    pub ctx: *mut xdp_md,
    pub config: Option<&'a Config>,
    pub commit: PhantomData<C>,
}

impl<C> Maps<'_, C> {
    /// Looks the configuration up, once for a frame.
    #[inline(always)]
    pub fn new(ctx: *mut xdp_md) -> Self {
        Self {
            config: CONFIG.get(0),
            ..Self::bare(ctx)
        }
    }

    /// Without the configuration, for what does not need it.
    #[inline(always)]
    pub fn bare(ctx: *mut xdp_md) -> Self {
        Self {
            ctx,
            config: None,
            commit: PhantomData,
        }
    }
}

/// Words of a member's windows, in one row of each map.
const UNSIGNED_WORDS: i32 = (GENERATIONS * 2 * WINDOW_WORDS) as i32;
const SIGNED_WORDS: i32 = (GENERATIONS * WINDOW_WORDS) as i32;

/// One of the words at `words`. One index for all dimensions: the verifier without CAP_PERFMON takes one
/// addition that it cannot foresee, but none that differs from path to path.
#[inline(always)]
fn word_of<'a>(words: *mut u64, index: usize) -> &'a AtomicU64 {
    // SAFETY: callers mask the index to the number of words.
    atomic(unsafe { words.add(index) })
}

/// A map's word as the judgement wants it.
#[inline(always)]
fn atomic<'a>(word: *mut u64) -> &'a AtomicU64 {
    // SAFETY: an aligned word of a map value; values of array maps live as long as the program, and
    // every access to these words is atomic.
    unsafe { AtomicU64::from_ptr(word) }
}

impl<C: Commit> State for Maps<'_, C> {
    #[inline(always)]
    fn config(&self) -> Option<&Config> {
        self.config
    }

    #[inline(always)]
    fn keys(&self) -> Option<&Keys> {
        KEYS.get(0)
    }

    #[inline(always)]
    fn key<'a>(&self, keys: &'a Keys, slot: usize, unknown: u64) -> Option<&'a KeySlot> {
        let slot = masked::<{ KEY_SLOTS as i32 - 1 }>(forget(slot, unknown));
        // SAFETY: below the number of slots, by the mask.
        Some(unsafe { keys.slots.get_unchecked(slot) })
    }

    #[inline(always)]
    fn forget(&self, number: usize, unknown: u64) -> usize {
        forget(number, unknown)
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_ktime_get_boot_ns() }
    }

    #[inline(always)]
    fn peer(&self, sender: &[u8; 8]) -> Option<u32> {
        let roster = ROSTER.get(0)?;
        peers::find(&roster.key, u64_at(sender, 0), |number| {
            let number = masked::<{ BUCKETS as i32 - 1 }>(number);
            // SAFETY: below the number of buckets, by the mask.
            unsafe { roster.buckets.get_unchecked(number) }
        })
    }

    #[inline(always)]
    fn window(&self, peer: u32, generation: u32, class: Class, word: usize) -> Option<&AtomicU64> {
        let row = WINDOWS.get_ptr_mut(peer)?;
        let set = forget(class as usize, generation.into()) + generation as usize * 2;
        let index = set * WINDOW_WORDS + word;
        // SAFETY: a field of a map value.
        let words = unsafe { &raw mut (*row).windows };
        Some(word_of(
            words.cast(),
            masked::<{ UNSIGNED_WORDS - 1 }>(index),
        ))
    }

    #[inline(always)]
    fn arrival(&self, peer: u32) -> Option<&AtomicU64> {
        let row = WINDOWS.get_ptr_mut(peer)?;
        // SAFETY: a field of a map value.
        Some(atomic(unsafe { &raw mut (*row).arrival }))
    }

    #[inline(always)]
    fn signed_window(&self, peer: u32, generation: u32, word: usize) -> Option<&AtomicU64> {
        let row = SIGNED.get_ptr_mut(peer)?;
        let index = generation as usize * WINDOW_WORDS + word;
        // SAFETY: a field of a map value.
        let words = unsafe { &raw mut (*row).windows };
        Some(word_of(words.cast(), masked::<{ SIGNED_WORDS - 1 }>(index)))
    }

    #[inline(always)]
    fn signed_arrival(&self, peer: u32) -> Option<&AtomicU64> {
        let row = SIGNED.get_ptr_mut(peer)?;
        // SAFETY: a field of a map value.
        Some(atomic(unsafe { &raw mut (*row).arrival }))
    }

    #[inline(always)]
    fn door_arrival(&self, half: u32) -> Option<&AtomicU64> {
        let door = DOOR.get_ptr_mut(half)?;
        // SAFETY: a field of a map value.
        Some(atomic(unsafe { &raw mut (*door).arrival }))
    }

    #[inline(always)]
    fn door_cell(&self, half: u32, cell: usize) -> Option<&AtomicU64> {
        let door = DOOR.get_ptr_mut(half)?;
        // SAFETY: a field of a map value.
        let words = unsafe { &raw mut (*door).cells };
        Some(word_of(
            words.cast(),
            masked::<{ DOOR_CELLS as i32 - 1 }>(cell),
        ))
    }

    #[inline(always)]
    fn door_seen(&self, half: u32, word: usize) -> Option<&AtomicU64> {
        let door = DOOR.get_ptr_mut(half)?;
        // SAFETY: a field of a map value.
        let words = unsafe { &raw mut (*door).seen };
        Some(word_of(
            words.cast(),
            masked::<{ DOOR_CELLS as i32 - 1 }>(word),
        ))
    }

    #[inline(always)]
    fn load(&self, word: &AtomicU64) -> u64 {
        // SAFETY: an aligned, live word.
        unsafe { word.as_ptr().read_volatile() }
    }

    #[inline(always)]
    fn compare_exchange(&self, word: &AtomicU64, current: u64, new: u64) -> bool {
        C::exchange(word, current, new)
    }

    #[inline(always)]
    fn block(&self) -> Option<impl BorrowMut<Block>> {
        // SAFETY: this processor's own scratch, which nothing else uses while a tag is checked.
        SCRATCH
            .get_ptr_mut(0)
            .map(|scratch| unsafe { &mut *scratch.cast::<Block>() })
    }

    #[inline(always)]
    fn compress(&self, state: &mut sha256::State, block: &Block) {
        nexus0_compress(state, block);
    }

    #[inline(always)]
    fn bound<P: Packet + ?Sized>(&self, _: &P, kind: u8, blocks: usize) -> bool {
        nexus0_bound(self.ctx, kind.into(), blocks as u32) != 0
    }

    #[inline(always)]
    fn check_tag<P: Packet + ?Sized>(
        &self,
        _: &P,
        slot: usize,
        blocks: usize,
        tag: &[u64; 4],
    ) -> Result<(), Verdict> {
        match nexus0_check_tag(self.ctx, slot as u32, blocks as u32, tag) {
            0 => Ok(()),
            _ => Err(Verdict::Tag),
        }
    }
}
