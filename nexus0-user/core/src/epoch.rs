//! Which epoch keys are held, when each is valid, and which one is sent under (R7).

use std::collections::{BTreeMap, VecDeque};

use core::time::Duration;

use nexus0_common::maps::{WINDOW_WORDS, Window};
use nexus0_common::replay;
use nexus0_common::wire::{Class, Header};

use crate::filter::MapOp;
use crate::id::{ChainId, KeyId, NodeId};
use crate::sabotage::{Sabotage, planted};
use crate::secret::Material;
use crate::time::{Time, part};

/// Most keys held; the one that ends first makes room.
pub(crate) const MAX_KEYS: usize = 4;
/// Most keys remembered that made room.
const MAX_WORN: usize = 16;
/// Most senders with windows under one key.
const MAX_SENDERS: usize = 2 * nexus0_common::maps::MAX_PEERS;

/// Pulse and epoch as the mesh uses them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rhythm {
    /// Time between pulses.
    pub(crate) pulse: Duration,
    /// Life of an epoch.
    pub(crate) epoch: Duration,
}

impl Rhythm {
    /// How much longer, and earlier, a key is honoured around its turns. Not below what a busy machine may
    /// keep a process waiting, however short the pulse.
    pub(crate) fn grace(&self) -> Duration {
        part(self.pulse, 2, 5).clamp(Duration::from_millis(250), Duration::from_secs(2))
    }

    /// `numerator / denominator` of a pulse.
    pub(crate) fn pulses(&self, numerator: u32, denominator: u32) -> Duration {
        part(self.pulse, numerator, denominator)
    }

    /// From the wire; `None` outside of what a node may be configured to.
    pub(crate) fn from_wire(pulse: u32, epoch: u32) -> Option<Self> {
        let (pulse, epoch) = (
            Duration::from_millis(pulse.into()),
            Duration::from_millis(epoch.into()),
        );
        let fits = crate::node::PULSE.contains(&pulse)
            && epoch >= pulse.saturating_mul(crate::node::LEAST_PULSES);
        fits.then_some(Self { pulse, epoch })
    }
}

/// Replay windows of one sender under one key: multicast, unicast, signed (R9).
#[derive(Clone, Debug)]
struct Windows {
    highest: u64,
    multicast: Window,
    unicast: Window,
    signed: Window,
}

/// When a key is what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyTimes {
    /// See [`EpochKey`].
    pub(crate) activation: Time,
    /// See [`EpochKey`].
    pub(crate) not_before: Time,
    /// See [`EpochKey`].
    pub(crate) not_after: Time,
    /// When it is over for good.
    pub(crate) over: Time,
}

/// One held key.
#[derive(Clone, Debug)]
pub(crate) struct EpochKey {
    /// What is derived from its secret.
    pub(crate) material: Material,
    /// Its chain.
    pub(crate) chain: ChainId,
    /// Its epoch.
    pub(crate) number: u64,
    /// From when it is sent under.
    pub(crate) activation: Time,
    /// First instant of validity.
    pub(crate) not_before: Time,
    /// First instant after validity.
    pub(crate) not_after: Time,
    /// Until then the key may come back, by an answer or a MERGE: its windows must be known.
    over: Time,
    windows: BTreeMap<NodeId, Windows>,
}

impl EpochKey {
    /// A key that nothing follows yet.
    pub(crate) fn new(
        material: Material,
        chain: ChainId,
        number: u64,
        activation: Time,
        rhythm: Rhythm,
    ) -> Self {
        Self::until(material, chain, number, activation + rhythm.epoch, rhythm)
    }

    /// A key whose epoch ends at `end`. It may have begun before this machine's clock did.
    pub(crate) fn until(
        material: Material,
        chain: ChainId,
        number: u64,
        end: Time,
        rhythm: Rhythm,
    ) -> Self {
        let activation = end - rhythm.epoch;
        let over = end + rhythm.epoch / 2;
        Self {
            material,
            chain,
            number,
            activation,
            not_before: if planted(Sabotage::LateKey) {
                activation + Duration::from_secs(1)
            } else {
                activation - rhythm.grace()
            },
            not_after: if planted(Sabotage::ImmortalKey) {
                Time::NEVER
            } else {
                over
            },
            over,
            windows: BTreeMap::new(),
        }
    }

    /// When its epoch ends, whether or not it is honoured for longer.
    pub(crate) fn end(&self, rhythm: Rhythm) -> Time {
        self.over - rhythm.epoch / 2
    }

    /// A key as it was held before, its windows empty.
    pub(crate) fn restored(
        material: Material,
        chain: ChainId,
        number: u64,
        times: KeyTimes,
    ) -> Self {
        Self {
            material,
            chain,
            number,
            activation: times.activation,
            not_before: times.not_before,
            not_after: times.not_after,
            over: times.over,
            windows: BTreeMap::new(),
        }
    }

    /// Its times.
    pub(crate) fn times(&self) -> KeyTimes {
        KeyTimes {
            activation: self.activation,
            not_before: self.not_before,
            not_after: self.not_after,
            over: self.over,
        }
    }

    /// Every sender heard under it, and the highest sequence.
    pub(crate) fn highest(&self) -> impl Iterator<Item = (NodeId, u64)> {
        let windows = self.windows.iter();
        windows.map(|(id, windows)| (*id, windows.highest))
    }

    /// Takes everything of a sender up to a sequence as seen, and `more` beyond it as possibly used.
    pub(crate) fn remember(&mut self, sender: NodeId, highest: u64, more: u64) {
        if self.windows.len() < MAX_SENDERS {
            let seen = replay::seen_up_to(highest);
            let windows = Windows {
                highest: highest.saturating_add(more),
                multicast: seen,
                unicast: seen,
                signed: seen,
            };
            self.windows.insert(sender, windows);
        }
    }

    /// Whether frames under it are accepted.
    pub(crate) fn valid(&self, now: Time) -> bool {
        self.not_before <= now && now < self.not_after
    }

    /// Whether it ended so recently that a frame which the filter passed before may still wait in the socket.
    pub(crate) fn just_ended(&self, now: Time) -> bool {
        self.not_after <= now && now < self.not_after + Duration::from_secs(1)
    }

    /// Whether a frame with this header was not seen before and is not too old.
    pub(crate) fn fresh(&self, header: &Header) -> bool {
        if planted(Sabotage::IgnoreWindow) {
            return true;
        }
        let Some(position) = replay::position(header.sequence) else {
            return false;
        };
        let Some(windows) = self.windows.get(&NodeId(header.sender)) else {
            return self.windows.len() < MAX_SENDERS;
        };
        let word = windows
            .of(header)
            .get(position.word)
            .copied()
            .unwrap_or(u64::MAX);
        position.mark(word).is_some()
    }

    /// Uses up a frame's sequence.
    pub(crate) fn commit(&mut self, header: &Header) {
        let windows = self
            .windows
            .entry(NodeId(header.sender))
            .or_insert_with(Windows::new);
        windows.highest = windows.highest.max(header.sequence);
        let Some(position) = replay::position(header.sequence) else {
            return;
        };
        if let Some(word) = windows.of_mut(header).get_mut(position.word)
            && let Some(marked) = position.mark(*word)
        {
            *word = marked;
        }
    }

    fn install(&self) -> MapOp {
        MapOp::InstallKey {
            key_id: self.material.id,
            pre_tag: self.material.pre_tag,
            inner: self.material.midstates.inner,
            outer: self.material.midstates.outer,
            not_before: self.not_before,
            not_after: self.not_after,
        }
    }
}

impl Windows {
    fn new() -> Self {
        let empty = [0; WINDOW_WORDS];
        Self {
            highest: 0,
            multicast: empty,
            unicast: empty,
            signed: empty,
        }
    }

    fn of(&self, header: &Header) -> &Window {
        match (header.frame_type.signed(), header.class) {
            (true, _) => &self.signed,
            (false, Class::Multicast) => &self.multicast,
            (false, Class::Unicast) => &self.unicast,
        }
    }

    fn of_mut(&mut self, header: &Header) -> &mut Window {
        match (header.frame_type.signed(), header.class) {
            (true, _) => &mut self.signed,
            (false, Class::Multicast) => &mut self.multicast,
            (false, Class::Unicast) => &mut self.unicast,
        }
    }
}

/// All held keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyRing {
    keys: Vec<EpochKey>,
    /// Keys that made room, and when their time is over.
    worn: VecDeque<(KeyId, Time)>,
}

impl KeyRing {
    /// All keys in the order they came.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &EpochKey> {
        self.keys.iter()
    }

    /// Table, rows, cap.
    pub(crate) fn tables(&self) -> Vec<(&'static str, usize, usize)> {
        let senders = self.keys.iter().map(|key| key.windows.len()).max();
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
        let windows = self.keys.iter().filter_map(|key| key.windows.get(&sender));
        windows.map(|windows| windows.highest).max().unwrap_or(0)
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
            let windows = core::mem::take(&mut held.windows);
            *held = EpochKey { windows, ..key };
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
        if let Some(key) = held.filter(|key| !key.windows.is_empty()) {
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
    use nexus0_common::wire::FrameType;

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
