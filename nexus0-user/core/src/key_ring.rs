//! Which epoch keys are held, and which one is sent under (R7).

use std::collections::VecDeque;

use crate::epoch::{EpochKey, MAX_SENDERS, Rhythm};
use crate::filter::MapOp;
use crate::id::{ChainId, KeyId, NodeId};
use crate::sabotage::{Sabotage, planted};
use crate::time::Time;

/// Most keys held; the one that ends first makes room.
pub(crate) const MAX_KEYS: usize = 4;
/// Most keys remembered that made room.
const MAX_WORN: usize = 16;

/// All held keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyRing {
    keys: Vec<EpochKey>,
    /// Keys that made room, and when their time is over.
    worn: VecDeque<(KeyId, Time)>,
}

impl KeyRing {
    /// All keys in the order they came.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &EpochKey> {
        self.keys.iter()
    }

    /// Table, rows, cap.
    pub(crate) fn tables(&self) -> Vec<(&'static str, usize, usize)> {
        let senders = self.keys.iter().map(EpochKey::senders).max();
        vec![
            ("windows", senders.unwrap_or(0), MAX_SENDERS),
            ("keys gone", self.worn.len(), MAX_WORN),
        ]
    }

    /// The key with this id.
    pub(crate) fn find(&self, id: KeyId) -> Option<&EpochKey> {
        self.keys.iter().find(|key| key.material.id == id)
    }

    /// The key with this id.
    pub(crate) fn find_mut(&mut self, id: KeyId) -> Option<&mut EpochKey> {
        self.keys.iter_mut().find(|key| key.material.id == id)
    }

    /// The highest sequence of a sender under any live key.
    pub(crate) fn highest(&self, sender: NodeId) -> u64 {
        let highest = self.keys.iter().filter_map(|key| key.highest_of(sender));
        highest.max().unwrap_or(0)
    }

    /// The key a chain's members send under.
    pub(crate) fn current(&self, chain: ChainId, now: Time) -> Option<&EpochKey> {
        let of_chain = self
            .keys
            .iter()
            .filter(|key| key.chain == chain && key.activation <= now);
        of_chain.max_by_key(|key| key.number)
    }

    /// A chain's announced key.
    pub(crate) fn next(&self, chain: ChainId, now: Time) -> Option<&EpochKey> {
        self.keys
            .iter()
            .find(|key| key.chain == chain && key.activation > now)
    }

    /// Takes a key in, or its new times if it is held already.
    pub(crate) fn install(&mut self, key: EpochKey, ops: &mut Vec<MapOp>) {
        let op = key.install();
        if let Some(held) = self.find_mut(key.material.id) {
            held.renew(key);
        } else {
            if self.keys.len() >= MAX_KEYS && !planted(Sabotage::HoardKeys) {
                self.evict(ops);
            }
            self.keys.push(key);
        }
        ops.push(op);
    }

    fn evict(&mut self, ops: &mut Vec<MapOp>) {
        let first = self
            .keys
            .iter()
            .min_by_key(|key| key.not_after)
            .map(|key| key.material.id);
        if let Some(key_id) = first {
            self.forget(key_id);
            ops.push(disuse(key_id));
        }
    }

    fn forget(&mut self, id: KeyId) {
        if let Some(key) = self.find(id) {
            let row = (id, key.over);
            if self.worn.len() >= MAX_WORN {
                self.worn.pop_front();
            }
            self.worn.push_back(row);
        }
        self.keys.retain(|key| key.material.id != id);
    }

    /// Brings the ends of all keys of a chain older than `number` forward to `end`.
    pub(crate) fn end_before(
        &mut self,
        chain: ChainId,
        number: u64,
        end: Time,
        ops: &mut Vec<MapOp>,
    ) {
        if planted(Sabotage::ImmortalKey) {
            return;
        }
        let older = self
            .keys
            .iter_mut()
            .filter(|key| key.chain == chain && key.number < number);
        for key in older.filter(|key| key.not_after > end) {
            key.not_after = end;
            ops.push(MapOp::SetKeyEnd {
                key_id: key.material.id,
                not_after: end,
            });
        }
    }

    /// Gives a chain's keys the ends that they have while it stands: a key that another follows ends a grace after
    /// that one took over.
    pub(crate) fn revive(&mut self, chain: ChainId, rhythm: Rhythm, ops: &mut Vec<MapOp>) {
        let of_chain = self.keys.iter().filter(|key| key.chain == chain);
        let turns: Vec<(u64, Time)> = of_chain.map(|key| (key.number, key.activation)).collect();
        for key in self.keys.iter_mut().filter(|key| key.chain == chain) {
            let followed = turns.iter().filter(|(number, _)| *number > key.number);
            let grace = followed.map(|(_, turn)| *turn + rhythm.grace()).min();
            key.not_after = grace.map_or(key.over, |grace| grace.min(key.over));
            ops.push(MapOp::SetKeyEnd {
                key_id: key.material.id,
                not_after: key.not_after,
            });
        }
    }

    /// Wipes keys whose time is over. One that was ended early stays, with its windows and unusable: a heal
    /// within the epoch brings the same key back, and nothing recorded under it may pass twice (R9).
    pub(crate) fn sweep(&mut self, now: Time, ops: &mut Vec<MapOp>) {
        if planted(Sabotage::HoardKeys) {
            return;
        }
        let over = |key: &EpochKey| key.over.max(key.not_after) <= now;
        let gone = self.keys.iter().filter(|key| over(key));
        ops.extend(gone.map(|key| MapOp::RemoveKey {
            key_id: key.material.id,
        }));
        self.keys.retain(|key| !over(key));
        let done = self.worn.iter().filter(|(_, over)| *over <= now);
        ops.extend(done.map(|(key_id, _)| MapOp::RemoveKey { key_id: *key_id }));
        self.worn.retain(|(_, over)| *over > now);
    }

    /// Keys that had to make room, and when their time is over.
    pub(crate) fn worn_keys(&self) -> impl Iterator<Item = (KeyId, Time)> {
        self.worn.iter().copied()
    }

    /// Takes keys as ones that had to make room.
    pub(crate) fn wear(&mut self, keys: Vec<(KeyId, Time)>) {
        self.worn = keys.into_iter().take(MAX_WORN).collect();
    }

    /// Takes a key as one that had to make room.
    pub(crate) fn wear_also(&mut self, id: KeyId, over: Time) {
        if !self.worn(id) && self.worn.len() < MAX_WORN {
            self.worn.push_back((id, over));
        }
    }

    /// Whether a key was held and had to make room before its time was over: its windows are lost.
    pub(crate) fn worn(&self, id: KeyId) -> bool {
        self.worn.iter().any(|(worn, _)| *worn == id)
    }

    /// Wipes one key. If something came under it, it stays unusable with its windows: others may
    /// follow it all the same, and then a merge brings it back.
    pub(crate) fn remove(&mut self, key_id: KeyId, ops: &mut Vec<MapOp>) {
        let held = self.find_mut(key_id);
        if let Some(key) = held.filter(|key| key.senders() > 0) {
            key.not_after = Time(0);
            ops.push(disuse(key_id));
        } else {
            self.keys.retain(|key| key.material.id != key_id);
            ops.push(MapOp::RemoveKey { key_id });
        }
    }

    /// Wipes what else was announced under the number of a key: an anchor that does so lies.
    pub(crate) fn displace(
        &mut self,
        chain: ChainId,
        number: u64,
        by: KeyId,
        ops: &mut Vec<MapOp>,
    ) {
        let others = self
            .keys
            .iter()
            .filter(|key| key.chain == chain && key.number == number && key.material.id != by);
        let others: Vec<KeyId> = others.map(|key| key.material.id).collect();
        self.wipe(&others, ops);
    }

    /// Wipes all keys but one chain's.
    pub(crate) fn clear_but(&mut self, kept: Option<ChainId>, ops: &mut Vec<MapOp>) {
        let over = self.keys.iter().filter(|key| Some(key.chain) != kept);
        let over: Vec<KeyId> = over.map(|key| key.material.id).collect();
        self.wipe(&over, ops);
    }

    fn wipe(&mut self, key_ids: &[KeyId], ops: &mut Vec<MapOp>) {
        for key_id in key_ids {
            self.forget(*key_id);
            ops.push(disuse(*key_id));
        }
    }

    /// Wipes all keys.
    pub(crate) fn clear(&mut self, ops: &mut Vec<MapOp>) {
        ops.extend(self.keys.iter().map(|key| disuse(key.material.id)));
        self.keys.clear();
    }
}

/// Ends a key in the filter but leaves it its windows: should the key come back to this machine, in another life
/// of the node even, nothing recorded under it passes twice (R9).
fn disuse(key_id: KeyId) -> MapOp {
    MapOp::SetKeyEnd {
        key_id,
        not_after: Time(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::MeshId;
    use crate::secret::Material;
    use core::time::Duration;
    use nexus0_common::wire::{Class, FrameType, Header};

    const RHYTHM: Rhythm = Rhythm {
        pulse: Duration::from_secs(5),
        epoch: Duration::from_secs(60),
    };

    fn key(byte: u8, activation: u64) -> EpochKey {
        let material = Material::derive(MeshId([1; 16]), zeroize::Zeroizing::new([byte; 32]));
        let activation = Time(0) + Duration::from_secs(activation);
        EpochKey::new(material, ChainId([byte; 8]), 1, activation, RHYTHM)
    }

    fn header() -> Header {
        Header {
            frame_type: FrameType::Ann,
            version: 1,
            class: Class::Multicast,
            key_id: [0; 4],
            sender: [2; 8],
            sequence: 7,
        }
    }

    #[test]
    fn a_key_ended_early_keeps_its_windows_until_its_time_is_over() {
        let (mut ring, mut ops) = (KeyRing::default(), Vec::new());
        let id = key(1, 100).material.id;
        ring.install(key(1, 100), &mut ops);
        ring.find_mut(id).unwrap().commit(&header());
        let at = |seconds| Time(0) + Duration::from_secs(seconds);
        ring.end_before(ChainId([1; 8]), u64::MAX, at(110), &mut ops);
        ring.sweep(at(189), &mut ops);
        assert!(!ring.find(id).unwrap().valid(at(120)), "it is over");
        ring.install(key(1, 100), &mut ops);
        let back = ring.find(id).unwrap();
        assert!(back.valid(at(120)) && !back.fresh(&header()), "no replay");
        ring.sweep(at(190), &mut ops);
        assert!(ring.find(id).is_none(), "an epoch and a half");
    }

    #[test]
    fn a_key_called_off_comes_back_with_what_was_seen_under_it() {
        let (mut ring, mut ops) = (KeyRing::default(), Vec::new());
        let id = key(1, 100).material.id;
        ring.install(key(1, 100), &mut ops);
        ring.find_mut(id).unwrap().commit(&header());
        ring.remove(id, &mut ops);
        let at = Time(0) + Duration::from_secs(110);
        assert!(!ring.find(id).unwrap().valid(at) && !ring.worn(id));
        ring.install(key(1, 100), &mut ops);
        let back = ring.find(id).unwrap();
        assert!(back.valid(at) && !back.fresh(&header()), "no replay");
        ring.install(key(2, 100), &mut ops);
        ring.remove(key(2, 100).material.id, &mut ops);
        assert!(ring.find(key(2, 100).material.id).is_none(), "untouched");
    }

    #[test]
    fn a_key_older_than_the_clock_ends_as_it_does_elsewhere() {
        let young = Time(0) + Duration::from_secs(10);
        let material = key(1, 0).material;
        let key = EpochKey::until(material, ChainId([1; 8]), 1, young, RHYTHM);
        assert_eq!(key.end(RHYTHM), young);
        assert_eq!(key.not_after, young + Duration::from_secs(30));
        let mut ring = KeyRing::default();
        ring.install(key, &mut Vec::new());
        ring.revive(ChainId([1; 8]), RHYTHM, &mut Vec::new());
        let revived = ring.iter().next().unwrap();
        assert_eq!(revived.not_after, young + Duration::from_secs(30));
    }

    #[test]
    fn a_key_that_made_room_is_remembered_until_its_time_is_over() {
        let (mut ring, mut ops) = (KeyRing::default(), Vec::new());
        for byte in 1..=5 {
            ring.install(key(byte, 100 + u64::from(byte)), &mut ops);
        }
        let [first, last] = [1, 5].map(|byte| key(byte, 0).material.id);
        assert!(ring.worn(first) && !ring.worn(last));
        ring.sweep(Time(0) + Duration::from_secs(191), &mut ops);
        assert!(!ring.worn(first));
    }
}
