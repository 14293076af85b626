//! Which node ids are in the roster, and the slot of each: a table that only the controller writes and that the
//! filter reads without a call. An id lies in one of two buckets (Azar, Broder, Karlin, Upfal, 1994), in the one
//! that had more room when it came; a key drawn at random keeps anybody from choosing ids that meet in one.

/// Entries of a bucket.
pub const BUCKET: usize = 4;
/// Buckets. A power of two; as many as members, so that hardly a bucket ever holds a fourth.
pub const BUCKETS: usize = 1024;

/// One member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Entry {
    /// The node id as a word in memory order.
    pub id: u64,
    /// Its slot and one more; 0 where nobody is. Written after the id, cleared before it changes.
    pub holder: u32,
    /// The slot, and one more, of the node that was here last, while no other has that slot: its windows are
    /// still there. 0 while somebody is here.
    pub left: u32,
}

/// The value of the filter's map.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Roster {
    /// Spreads ids over buckets; the second word is odd. Zero until a controller has drawn it.
    pub key: [u64; 2],
    /// The members.
    pub buckets: [[Entry; BUCKET]; BUCKETS],
}

const _: () = {
    assert!(size_of::<Entry>() == 16);
    assert!(size_of::<Roster>() == 16 + 64 * BUCKETS);
    assert!(BUCKETS.is_power_of_two());
};

/// The two buckets of an id.
#[inline(always)]
pub fn buckets_of(key: &[u64; 2], id: u64) -> [usize; 2] {
    const BITS: u32 = BUCKETS.trailing_zeros();
    let hash = (id ^ key[0]).wrapping_mul(key[1]);
    [
        (hash >> (64 - BITS)) as usize,
        (hash >> (64 - 2 * BITS)) as usize & (BUCKETS - 1),
    ]
}

/// The slot of an id. `bucket` hands out the bucket with a number below [`BUCKETS`].
#[inline(always)]
pub fn find<'a>(
    key: &[u64; 2],
    id: u64,
    bucket: impl Fn(usize) -> &'a [Entry; BUCKET],
) -> Option<u32> {
    for number in buckets_of(key, id) {
        let entries = bucket(number);
        let mut index = 0;
        while index < BUCKET {
            let entry = &raw const entries[index];
            // SAFETY: a reference is valid for reads. Volatile, since the controller may write meanwhile: who
            // finds the id before and after the slot has the slot of this id.
            let (before, holder, after) = unsafe {
                (
                    (&raw const (*entry).id).read_volatile(),
                    (&raw const (*entry).holder).read_volatile(),
                    (&raw const (*entry).id).read_volatile(),
                )
            };
            if before == id && holder != 0 && after == id {
                return Some(holder - 1);
            }
            index += 1;
        }
    }
    None
}

/// Where an id is or was last, or where it would go: bucket and index within it. `None` if both buckets are full.
pub fn place_for<'a>(
    key: &[u64; 2],
    id: u64,
    bucket: impl Fn(usize) -> &'a [Entry; BUCKET],
) -> Option<(usize, usize)> {
    let numbers = buckets_of(key, id);
    let position = |number: usize, wanted: &dyn Fn(&Entry) -> bool| {
        let index = bucket(number).iter().position(wanted)?;
        Some((number, index))
    };
    let used = |entry: &Entry| entry.holder != 0 || entry.left != 0;
    let own = |entry: &Entry| used(entry) && entry.id == id;
    let found = numbers.iter().find_map(|number| position(*number, &own));
    let vacant = |entry: &Entry| entry.holder == 0;
    let room = |number: usize| bucket(number).iter().filter(|entry| vacant(entry)).count();
    let [first, second] = numbers;
    let choices = if room(second) > room(first) {
        [second, first]
    } else {
        numbers
    };
    let either = |wanted: &dyn Fn(&Entry) -> bool| {
        choices.iter().find_map(|number| position(*number, wanted))
    };
    found
        .or_else(|| either(&|entry| !used(entry)))
        .or_else(|| either(&vacant))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::maps::MAX_PEERS;
    use proptest::prelude::*;
    use std::boxed::Box;
    use std::collections::BTreeMap;
    use std::vec::Vec;

    struct Table(Box<[[Entry; BUCKET]]>, [u64; 2]);

    impl Table {
        fn new(key: [u64; 2]) -> Self {
            let buckets: Vec<_> = (0..BUCKETS).map(|_| [Entry::default(); BUCKET]).collect();
            Self(buckets.into(), [key[0], key[1] | 1])
        }

        fn find(&self, id: u64) -> Option<u32> {
            find(&self.1, id, |number| &self.0[number])
        }

        fn insert(&mut self, id: u64, slot: u32) -> bool {
            let Some((number, index)) = place_for(&self.1, id, |number| &self.0[number]) else {
                return false;
            };
            self.0[number][index] = Entry {
                id,
                holder: slot + 1,
                left: 0,
            };
            true
        }

        fn remove(&mut self, id: u64) {
            let (number, index) = place_for(&self.1, id, |number| &self.0[number]).unwrap();
            if let Some(slot) = self.find(id) {
                let entry = &mut self.0[number][index];
                (entry.holder, entry.left) = (0, slot + 1);
            }
        }

        fn left(&self, id: u64) -> Option<u32> {
            let all = self.0.iter().flatten();
            let found = all.filter(|entry| entry.holder == 0 && entry.left != 0 && entry.id == id);
            found.map(|entry| entry.left - 1).next()
        }
    }

    /// Ids are beginnings of hashes: what is regular in the counters is not in them (SplitMix64's finalizer).
    fn spread(start: u64, step: u64, member: u64) -> u64 {
        let id = start.wrapping_add(member.wrapping_mul(step | 1));
        let id = (id ^ id >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let id = (id ^ id >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        id ^ id >> 31
    }

    proptest! {
        #[test]
        fn holds_what_a_map_holds(
            key: [u64; 2],
            steps in proptest::collection::vec((0_u64..40, 0_u32..1024, any::<bool>()), 1..400),
        ) {
            let (mut table, mut map) = (Table::new(key), BTreeMap::new());
            for (id, slot, goes) in steps {
                if goes {
                    table.remove(id);
                    map.remove(&id);
                } else {
                    prop_assert!(table.insert(id, slot));
                    map.insert(id, slot);
                }
                for id in 0..40 {
                    prop_assert_eq!(table.find(id), map.get(&id).copied());
                }
            }
        }

        #[test]
        fn all_members_find_room(key: [u64; 2], start: u64, step: u64) {
            let mut table = Table::new(key);
            for member in 0..MAX_PEERS as u64 {
                let id = spread(start, step, member);
                prop_assert!(table.insert(id, member as u32), "member {}", member);
            }
        }

        #[test]
        fn those_who_left_are_remembered_and_take_no_room(key: [u64; 2], start: u64, step: u64) {
            let mut table = Table::new(key);
            let id = |member: u64| spread(start, step, member);
            for member in 0..MAX_PEERS as u64 {
                prop_assert!(table.insert(id(member), member as u32));
            }
            (0..MAX_PEERS as u64).for_each(|member| table.remove(id(member)));
            for member in 0..MAX_PEERS as u64 {
                prop_assert_eq!(table.left(id(member)), Some(member as u32));
                prop_assert_eq!(table.find(id(member)), None);
            }
            for other in MAX_PEERS as u64..2 * MAX_PEERS as u64 {
                prop_assert!(table.insert(id(other), 0), "member {}", other);
            }
        }
    }

    #[test]
    fn nobody_is_not_found_where_nobody_is() {
        assert_eq!(Table::new([0, 0]).find(0), None);
    }

    #[test]
    fn the_fifth_id_has_no_room_where_all_go_to_one_bucket() {
        let mut table = Table::new([0, 0]);
        let fits = (0..10).filter(|id| table.insert(*id, 0)).count();
        assert_eq!(
            fits, BUCKET,
            "small ids have only high zeros under the key 1"
        );
    }
}
