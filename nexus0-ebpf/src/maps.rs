//! The map statics, and the judgement's view of them.

use core::sync::atomic::AtomicU64;

use aya_ebpf::btf_maps::{Array, HashMap, PerCpuArray, RingBuf};
use aya_ebpf::helpers::bpf_ktime_get_boot_ns;
use aya_ebpf::macros::btf_map;
use nexus0_common::classify::State;
use nexus0_common::maps::{
    Config, Counter, DOOR_CELLS, Door, DropEvent, EVENT_RING, GENERATIONS, Keys, MAX_PEERS, Peer,
    SignedPeer, WINDOW_WORDS,
};
use nexus0_common::reason::COUNTERS;
use nexus0_common::wire::Class;

/// `BPF_F_MMAPABLE`: the controller writes these without a system call.
const MMAPABLE: usize = 1 << 10;

#[btf_map]
static CONFIG: Array<Config, 1, MMAPABLE> = Array::new();
#[btf_map]
static KEYS: Array<Keys, 1, MMAPABLE> = Array::new();
#[btf_map]
static PEERS: HashMap<[u8; 8], u32, MAX_PEERS> = HashMap::new();
#[btf_map]
static WINDOWS: Array<Peer, MAX_PEERS, MMAPABLE> = Array::new();
#[btf_map]
static SIGNED: Array<SignedPeer, MAX_PEERS, MMAPABLE> = Array::new();
#[btf_map]
static DOOR: Array<Door, 1> = Array::new();
#[btf_map]
pub static COUNTS: PerCpuArray<Counter, COUNTERS> = PerCpuArray::new();
#[btf_map]
pub static EVENTS: RingBuf<DropEvent, EVENT_RING> = RingBuf::new();

/// The maps of this program.
pub struct Maps;

/// A map's word as the judgement wants it.
#[inline(always)]
fn atomic<'a>(word: *mut u64) -> &'a AtomicU64 {
    // SAFETY: an aligned word of a map value; values of array maps live as long as the program, and
    // every access to these words is atomic.
    unsafe { AtomicU64::from_ptr(word) }
}

impl State for Maps {
    #[inline(always)]
    fn config(&self) -> Option<&Config> {
        CONFIG.get(0)
    }

    #[inline(always)]
    fn keys(&self) -> Option<&Keys> {
        KEYS.get(0)
    }

    #[inline(always)]
    fn now(&self) -> u64 {
        // SAFETY: a helper without arguments.
        unsafe { bpf_ktime_get_boot_ns() }
    }

    #[inline(always)]
    fn peer(&self, sender: &[u8; 8]) -> Option<u32> {
        // SAFETY: the value is copied before anything could recycle its slot.
        unsafe { PEERS.get(sender) }.copied()
    }

    #[inline(always)]
    fn window(&self, peer: u32, generation: u32, class: Class, word: usize) -> Option<&AtomicU64> {
        let row = WINDOWS.get_ptr_mut(peer)?;
        let generation = generation as usize & (GENERATIONS - 1);
        // SAFETY: all three indices are masked to their array's length.
        let word = unsafe {
            &raw mut (*row).windows[generation][class as usize & 1][word & (WINDOW_WORDS - 1)]
        };
        Some(atomic(word))
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
        let generation = generation as usize & (GENERATIONS - 1);
        // SAFETY: both indices are masked to their array's length.
        let word = unsafe { &raw mut (*row).windows[generation][word & (WINDOW_WORDS - 1)] };
        Some(atomic(word))
    }

    #[inline(always)]
    fn signed_arrival(&self, peer: u32) -> Option<&AtomicU64> {
        let row = SIGNED.get_ptr_mut(peer)?;
        // SAFETY: a field of a map value.
        Some(atomic(unsafe { &raw mut (*row).arrival }))
    }

    #[inline(always)]
    fn door_arrival(&self) -> Option<&AtomicU64> {
        let door = DOOR.get_ptr_mut(0)?;
        // SAFETY: a field of a map value.
        Some(atomic(unsafe { &raw mut (*door).arrival }))
    }

    #[inline(always)]
    fn door_cell(&self, cell: usize) -> Option<&AtomicU64> {
        let door = DOOR.get_ptr_mut(0)?;
        // SAFETY: the index is masked to the array's length.
        Some(atomic(unsafe { &raw mut (*door).cells[cell & (DOOR_CELLS - 1)] }))
    }

    #[inline(always)]
    fn door_seen(&self, cell: usize) -> Option<&AtomicU64> {
        let door = DOOR.get_ptr_mut(0)?;
        // SAFETY: the index is masked to the array's length.
        Some(atomic(unsafe { &raw mut (*door).seen[cell & (DOOR_CELLS - 1)] }))
    }

    #[inline(always)]
    fn load(&self, word: &AtomicU64) -> u64 {
        // SAFETY: an aligned, live word.
        unsafe { word.as_ptr().read_volatile() }
    }

    #[inline(always)]
    fn compare_exchange(&self, word: &AtomicU64, current: u64, new: u64) -> bool {
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
