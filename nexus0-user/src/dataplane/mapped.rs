//! An array map as memory: written without system calls, one aligned word at a time.

use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{Ordering, fence};

use aya::maps::MapData;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

use super::maps::MapError;

/// The values of an mmap-able array map (BPF_F_MMAPABLE, Linux 5.5).
#[derive(Debug)]
pub(super) struct Mapped<T> {
    start: NonNull<T>,
    entries: usize,
    bytes: usize,
    values: PhantomData<T>,
}

// SAFETY: the mapping belongs to this value alone in this process; the kernel side uses atomics.
unsafe impl<T: Send> Send for Mapped<T> {}

impl<T: Copy> Mapped<T> {
    /// Maps all `entries` values. `T` must be `repr(C)`, without padding, its size a multiple of 8.
    pub(super) fn new(map: &MapData, entries: usize) -> Result<Self, MapError> {
        const { assert!(size_of::<T>().is_multiple_of(8) && align_of::<T>() <= 8) }
        let bytes = (entries * size_of::<T>()).next_multiple_of(4096);
        let length = NonZeroUsize::new(bytes).ok_or(MapError::Empty)?;
        let protection = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        // SAFETY: a fresh shared mapping of a descriptor that is open.
        let start = unsafe {
            mmap(
                None,
                length,
                protection,
                MapFlags::MAP_SHARED,
                map.fd().as_fd(),
                0,
            )
        };
        let start = start.map_err(MapError::Mmap)?.cast();
        Ok(Self {
            start,
            entries,
            bytes,
            values: PhantomData,
        })
    }

    /// A copy of a value.
    pub(super) fn read(&self, index: usize) -> T {
        // SAFETY: see `at`.
        unsafe { self.at(index).read_volatile() }
    }

    /// A copy of one field, `offset` bytes into a value.
    pub(super) fn read_at<F: Copy>(&self, index: usize, offset: usize) -> F {
        assert!(
            offset + size_of::<F>() <= size_of::<T>(),
            "a field lies within its value"
        );
        // SAFETY: inside the value, as asserted; fields of a repr(C) value are aligned.
        unsafe { self.at(index).byte_add(offset).cast::<F>().read_volatile() }
    }

    /// Writes a value word by word; everything written before is visible first.
    pub(super) fn write(&mut self, index: usize, value: &T) {
        self.write_at(index, 0, value);
    }

    /// Writes one field, `offset` bytes into a value.
    pub(super) fn write_at<F: Copy>(&mut self, index: usize, offset: usize, field: &F) {
        assert!(
            offset + size_of::<F>() <= size_of::<T>(),
            "a field lies within its value"
        );
        fence(Ordering::Release);
        // SAFETY: inside the value, as asserted; fields of a repr(C) value are aligned.
        unsafe {
            self.at(index)
                .byte_add(offset)
                .cast::<F>()
                .write_volatile(*field);
        };
        fence(Ordering::Release);
    }

    fn at(&self, index: usize) -> *mut T {
        assert!(index < self.entries, "an index below the map's length");
        // SAFETY: within the mapping, as asserted.
        unsafe { self.start.as_ptr().add(index) }
    }
}

impl<T> Drop for Mapped<T> {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, used by nobody else.
        let result = unsafe { munmap(self.start.cast(), self.bytes) };
        debug_assert!(result.is_ok());
    }
}
