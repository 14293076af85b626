//! The filter's table of members, written in place.

use std::mem::offset_of;

use nexus0_common::peers::{self, BUCKET, BUCKETS, Entry, Roster as Table};

use super::mapped::Mapped;
use super::maps::MapError;

/// The map of members and a copy of it.
pub(super) struct Roster {
    map: Mapped<Table>,
    key: [u64; 2],
    buckets: Vec<[Entry; BUCKET]>,
}

impl Roster {
    /// Takes over a map, fresh or pinned by an earlier controller. A fresh one gets its key.
    pub(super) fn new(mut map: Mapped<Table>) -> Result<Self, MapError> {
        let mut key: [u64; 2] = map.read_at(0, offset_of!(Table, key));
        if key == [0; 2] {
            key = [getrandom::u64()?, getrandom::u64()? | 1];
            map.write_at(0, offset_of!(Table, key), &key);
        }
        let buckets = (0..BUCKETS)
            .map(|number| {
                map.read_at(
                    0,
                    offset_of!(Table, buckets) + number * size_of::<[Entry; BUCKET]>(),
                )
            })
            .collect();
        Ok(Self { map, key, buckets })
    }

    /// Node ids and slots.
    pub(super) fn members(&self) -> Vec<([u8; 8], u32)> {
        let taken = self
            .buckets
            .iter()
            .flatten()
            .filter(|entry| entry.holder != 0);
        taken
            .map(|entry| (entry.id.to_ne_bytes(), entry.holder - 1))
            .collect()
    }

    /// Nodes that went and whose slots nobody has got since.
    pub(super) fn departed(&self) -> Vec<([u8; 8], u32)> {
        let all = self.buckets.iter().flatten();
        all.filter(|entry| entry.holder == 0 && entry.left != 0)
            .map(|entry| (entry.id.to_ne_bytes(), entry.left - 1))
            .collect()
    }

    /// Gives a node a slot, which nobody left behind any more. An error if there is no room for it.
    pub(super) fn insert(&mut self, id: [u8; 8], slot: u32) -> Result<(), MapError> {
        let id = u64::from_ne_bytes(id);
        self.forget(|entry| entry.left == slot + 1);
        let Some((bucket, index)) = self.place(id) else {
            return Err(MapError::Roster(format!("{:016x}", u64::from_be(id))));
        };
        let (holder, left) = (slot + 1, 0);
        self.write(bucket, index, Entry { id, holder, left });
        Ok(())
    }

    /// Lets a node go; nothing if it is not there. Its slot is remembered.
    pub(super) fn remove(&mut self, id: [u8; 8]) {
        let id = u64::from_ne_bytes(id);
        let Some((bucket, index)) = self.place(id) else {
            return;
        };
        let entry = self.buckets[bucket][index];
        if entry.id == id && entry.holder != 0 {
            let (holder, left) = (0, entry.holder);
            self.write(bucket, index, Entry { id, holder, left });
        }
    }

    /// Nobody is here, and nobody was.
    pub(super) fn clear(&mut self) {
        self.forget(|_| true);
    }

    fn forget(&mut self, which: impl Fn(&Entry) -> bool) {
        for (bucket, index) in (0..BUCKETS).flat_map(|bucket| (0..BUCKET).map(move |i| (bucket, i)))
        {
            let entry = self.buckets[bucket][index];
            if entry != Entry::default() && which(&entry) {
                self.write(bucket, index, Entry::default());
            }
        }
    }

    fn place(&self, id: u64) -> Option<(usize, usize)> {
        peers::place_for(&self.key, id, |number| &self.buckets[number])
    }

    /// Nobody, then the id, then who it is: the filter reads at any time.
    fn write(&mut self, bucket: usize, index: usize, entry: Entry) {
        let at = offset_of!(Table, buckets) + (bucket * BUCKET + index) * size_of::<Entry>();
        self.map.write_at(0, at + offset_of!(Entry, holder), &0_u32);
        self.map.write_at(0, at + offset_of!(Entry, id), &entry.id);
        self.map
            .write_at(0, at + offset_of!(Entry, left), &entry.left);
        self.map
            .write_at(0, at + offset_of!(Entry, holder), &entry.holder);
        self.buckets[bucket][index] = entry;
    }
}
