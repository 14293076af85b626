//! What a node must not lose with its process, as bytes: keys, chain, roster, fence and sequence. The bytes
//! hold secrets; whoever keeps them keeps them in memory. A snapshot is good for one boot, since its times
//! are the boot clock's, for one node and for one mesh.

use core::time::Duration;

use nexus0_common::maps::MAX_PEERS;
use zeroize::Zeroizing;

use crate::epoch::{EpochKey, Heard, KeyTimes, Rhythm};
use crate::grant::{GRANT_LEN, peek_node_id};
use crate::id::{ChainId, KeyId, NodeId, RosterDigest};
use crate::lineage::{LastPulse, Lineage, PULSE_LEN};
use crate::node::{Event, Node};
use crate::preemption::Preemption;
use crate::proof::Frozen;
use crate::revocation::Revocations;
use crate::roster::Member;
use crate::secret::Material;
use crate::time::{Time, wire_millis};
use crate::timer::Timer;

const MAGIC: [u8; 5] = *b"N0SS\x03";
/// How far above what was used the sequence of a restored node starts, and how far above what it saw the
/// floors it gives out do (R9, R10).
const STEP: u64 = 1 << 20;
/// Half a step used up calls for a new snapshot.
const MARK_SHIFT: u32 = 19;

/// Changes whenever a new snapshot is worth taking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    keys: Vec<(KeyId, Time)>,
    chain: Option<(ChainId, u64, Option<u64>, RosterDigest)>,
    members: (usize, usize),
    sequence: u64,
    fresh: Fresh,
    left: bool,
}

impl Mark {
    /// Whether both hold the same keys: one that is not in a snapshot must not be announced.
    pub fn same_keys(&self, other: &Self) -> bool {
        self.keys == other.keys
    }
}

/// What a restored node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restored {
    /// It goes on in its chain.
    Resumed,
    /// It was away too long: it joins again, above its old sequence and fence.
    Joins,
}

/// Why a snapshot is not taken up. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Not a snapshot of this layout.
    #[error("the snapshot is not one of this version")]
    Malformed,
    /// Taken before the machine was started, or in what is now the future.
    #[error("the snapshot is of another boot")]
    OtherBoot,
    /// Of another identity or mesh.
    #[error("the snapshot is of another node or mesh")]
    OtherNode,
}

/// When a snapshot was taken, as it says itself.
pub fn taken_at(bytes: &[u8]) -> Option<Time> {
    Saved::parse(bytes).map(|saved| saved.at)
}

struct SavedKey {
    secret: Zeroizing<[u8; 32]>,
    wire: u8,
    chain: ChainId,
    number: u64,
    times: KeyTimes,
    heard: Vec<Heard>,
}

struct SavedMember {
    grant: [u8; GRANT_LEN],
    highest: u8,
    known_since: Time,
    last_heard: Option<Time>,
    address: Option<[u8; 16]>,
    pending_until: Option<Time>,
    introduced: bool,
}

/// When the secret was last fresh, whether somebody expelled may know it, the next key if it comes fresh.
type Fresh = (Option<Time>, bool, Option<KeyId>);

struct Saved {
    boot: [u8; 16],
    mesh: [u8; 16],
    node: [u8; 8],
    at: Time,
    sequence: u64,
    rhythm: Rhythm,
    fence: Vec<(ChainId, u64)>,
    worn: Vec<(KeyId, Time)>,
    keys: Vec<SavedKey>,
    members: Vec<SavedMember>,
    succession: Vec<NodeId>,
    lineage: Option<Lineage>,
    fresh: Fresh,
    frozen: Vec<Frozen>,
    list: Vec<u8>,
    preemption: Option<Preemption>,
    hold: (Option<NodeId>, Time, u32),
}

impl Node {
    /// What a snapshot would hold, in short.
    pub fn snapshot_mark(&self) -> Mark {
        let keys = self.keys.iter();
        Mark {
            keys: keys.map(|key| (key.material.id, key.not_after)).collect(),
            chain: self.lineage.as_ref().map(|own| {
                let pulse = own.last_pulse.map(|pulse| pulse.sequence);
                (own.chain, own.number, pulse, own.roster)
            }),
            members: (self.roster.iter().len(), self.roster.succession().len()),
            sequence: self.sequence >> MARK_SHIFT,
            fresh: self.rekey.kept(),
            left: self.left,
        }
    }

    /// Everything to be kept, for the boot with this id; `None` of a node that has left.
    pub fn snapshot(&self, now: Time, boot: [u8; 16]) -> Option<Zeroizing<Vec<u8>>> {
        if self.left {
            return None;
        }
        let mut out = Out::new(self.room());
        out.put(&MAGIC);
        out.put(&boot);
        out.put(&self.mesh.0);
        out.put(&self.id.0);
        out.u64(now.0);
        out.u64(self.sequence.saturating_add(STEP));
        out.put(&wire_millis(self.rhythm.pulse).to_be_bytes());
        out.put(&wire_millis(self.rhythm.epoch).to_be_bytes());
        out.list(self.fence.iter(), |out, (chain, number)| {
            out.put(&chain.0);
            out.u64(number);
        });
        out.list(self.keys.worn_keys(), |out, (id, over)| {
            out.put(&id.0);
            out.u64(over.0);
        });
        out.list(self.keys.iter(), Out::key);
        let others = self.roster.iter().filter(|(id, _)| *id != self.id);
        out.list(others, |out, (_, member)| out.member(member));
        out.list(self.roster.succession().iter(), |out, id| out.put(&id.0));
        out.option(self.lineage.as_ref(), Out::lineage);
        out.fresh(self.rekey.kept());
        out.list(self.witness.frozen(), |out, (chain, number, succession)| {
            out.put(&chain.0);
            out.u64(number);
            out.put(&succession);
        });
        let list = self.expulsion.list.bytes();
        out.list(list.iter(), |out, byte| out.u8(*byte));
        out.option(self.preemption.as_ref(), Out::preemption);
        out.option(self.hold_down.anchor, |out, anchor| out.put(&anchor.0));
        out.time(self.hold_down.since);
        out.put(&self.hold_down.level.to_be_bytes());
        Some(out.0)
    }

    /// An upper bound of a snapshot's length: growing would leave copies of secrets behind.
    fn room(&self) -> usize {
        let members = self.roster.iter().len();
        let seen: usize = self.keys.iter().map(EpochKey::senders).sum();
        let keys = self.keys.iter().count();
        2048 + self.expulsion.list.bytes().len()
            + 256 * members
            + 128 * keys
            + 48 * seen
            + 8 * self.roster.succession().len()
    }

    /// Takes a snapshot up, right after [`Node::new`] and before any [`Input`](crate::node::Input). Keys that are still honoured are, a member goes on
    /// as one, and an anchor goes on as one if nobody can have taken its place: 3 P after its last pulse.
    pub fn restore(
        &mut self,
        now: Time,
        boot: [u8; 16],
        bytes: &[u8],
    ) -> Result<Restored, SnapshotError> {
        let saved = Saved::parse(bytes).ok_or(SnapshotError::Malformed)?;
        if saved.boot != boot || saved.at > now {
            return Err(SnapshotError::OtherBoot);
        }
        if saved.mesh != self.mesh.0 || saved.node != self.id.0 {
            return Err(SnapshotError::OtherNode);
        }
        self.sequence = self.sequence.max(saved.sequence);
        self.rekey.restore(saved.fresh);
        self.witness.restore(saved.frozen);
        if let Ok(list) = Revocations::parse(&saved.list, &self.root) {
            self.expulsion.list = list;
        }
        self.rhythm = saved.rhythm;
        for (chain, number) in &saved.fence {
            self.fence.raise(*chain, *number);
        }
        self.keys.wear(saved.worn);
        // A key of the chain that was announced may be followed by others, and cannot be announced again.
        let chain = saved.lineage.as_ref().map(|lineage| lineage.chain);
        let ours = |key: &&SavedKey| Some(key.chain) == chain && key.times.over > now;
        let mut ours = saved.keys.iter().filter(ours);
        let speaks = ours.all(|key| self.speaks(key.wire));
        for key in saved.keys {
            self.restore_key(now, key);
        }
        for member in saved.members {
            self.restore_member(now, member);
        }
        let hold = &mut self.hold_down;
        (hold.anchor, hold.since, hold.level) = saved.hold;
        let away = now.since(saved.at);
        Ok(match saved.lineage {
            Some(lineage) if speaks => {
                self.resume(now, away, lineage, saved.succession, saved.preemption)
            }
            Some(lineage) => self.let_go(now, lineage.chain),
            None => Restored::Joins,
        })
    }

    fn restore_key(&mut self, now: Time, saved: SavedKey) {
        let material = Material::derive(self.mesh, saved.secret).speaking(saved.wire);
        if saved.times.over.max(saved.times.not_after) <= now || !self.speaks(saved.wire) {
            return;
        }
        let mut key = EpochKey::restored(material, saved.chain, saved.number, saved.times);
        for heard in &saved.heard {
            key.remember(heard, STEP);
        }
        self.install_key(key);
    }

    fn restore_member(&mut self, now: Time, saved: SavedMember) {
        // As at the door: of this mesh, and not on the list of the expelled.
        let id = peek_node_id(&saved.grant).filter(|id| *id != self.id);
        let grant = id.and_then(|id| self.strangers_grant(&saved.grant, id));
        let Some((id, grant)) = id.zip(grant) else {
            return;
        };
        let member = Member {
            known_since: saved.known_since,
            last_heard: saved.last_heard,
            address: saved.address,
            pending_until: saved.pending_until,
            introduced: saved.introduced,
            ..Member::new(grant, saved.highest, now)
        };
        if self.roster.insert(member) {
            self.op(crate::filter::MapOp::InstallPeer(id));
        }
    }

    fn resume(
        &mut self,
        now: Time,
        away: Duration,
        saved: Lineage,
        succession: Vec<NodeId>,
        preemption: Option<Preemption>,
    ) -> Restored {
        let (chain, anchor) = (saved.chain, saved.anchor);
        let current = self.keys.current(chain, now).filter(|key| key.valid(now));
        let number = current.map(|key| key.number);
        let last = saved.last_pulse.map_or(saved.since, |pulse| pulse.at);
        let succeeded = anchor == self.id && now.since(last) > self.rhythm.pulses(3, 1);
        let known = anchor == self.id || self.roster.get(anchor).is_some();
        let Some(number) = number.filter(|_| known && !succeeded) else {
            return self.let_go(now, chain);
        };
        self.roster.set_succession(succession);
        self.fence.raise(chain, number);
        self.lineage = Some(Lineage {
            number,
            complete_at: now,
            ..saved
        });
        self.redraft();
        if away > self.rhythm.pulse {
            self.stalled_until = now + self.rhythm.pulses(2, 1);
        }
        self.preemption = preemption.filter(|held| self.keys.find(held.key_id).is_some());
        if self
            .preemption
            .as_ref()
            .is_some_and(|held| held.by == self.id)
        {
            self.timers
                .set(Timer::Preempt, now + self.rhythm.pulses(1, 10));
        }
        self.resume_timers(now);
        self.event(Event::Resumed {
            anchor,
            chain,
            number,
            away,
        });
        Restored::Resumed
    }

    /// The keys of a chain end a pulse from now.
    fn let_go(&mut self, now: Time, chain: ChainId) -> Restored {
        let (mut ops, end) = (Vec::new(), now + self.rhythm.pulse);
        self.keys.end_before(chain, u64::MAX, end, &mut ops);
        self.ops(ops);
        Restored::Joins
    }

    fn resume_timers(&mut self, now: Time) -> Option<()> {
        let chain = self.lineage.as_ref()?.chain;
        let next = self.keys.next(chain, now).map(|key| key.activation);
        let end = self.keys.current(chain, now)?.end(self.rhythm);
        let half = end - self.rhythm.epoch / 2;
        if self.is_anchor() {
            self.schedule_epoch(now);
            if next.is_none() && half <= now {
                self.timers.set(Timer::Announce, now);
            }
        } else {
            self.timers.set(Timer::Turn, next.unwrap_or(end));
        }
        Some(())
    }
}

struct Out(Zeroizing<Vec<u8>>);

impl Out {
    fn new(room: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(room)))
    }

    fn put(&mut self, bytes: &[u8]) {
        debug_assert!(self.0.len() + bytes.len() <= self.0.capacity(), "room");
        self.0.extend_from_slice(bytes);
    }

    fn u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    fn u64(&mut self, value: u64) {
        self.put(&value.to_be_bytes());
    }

    fn option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            put(self, value);
        }
    }

    fn time(&mut self, at: Time) {
        self.u64(at.0);
    }

    /// A count, then the items.
    fn list<T>(&mut self, items: impl Iterator<Item = T>, mut put: impl FnMut(&mut Self, T)) {
        let items: Vec<T> = items.take(usize::from(u16::MAX)).collect();
        self.put(&(items.len() as u16).to_be_bytes());
        for item in items {
            put(self, item);
        }
    }

    fn key(&mut self, key: &EpochKey) {
        self.put(&*key.material.secret);
        self.u8(key.material.wire);
        self.put(&key.chain.0);
        self.u64(key.number);
        let times = key.times();
        for at in [
            times.activation,
            times.not_before,
            times.not_after,
            times.over,
        ] {
            self.time(at);
        }
        self.list(key.heard(), |out, heard| {
            out.put(&heard.sender.0);
            out.u64(heard.highest);
            for newest in heard.newest {
                out.option(newest, Self::u64);
            }
        });
    }

    fn member(&mut self, member: &Member) {
        self.put(member.grant.bytes());
        self.u8(member.highest);
        self.time(member.known_since);
        self.option(member.last_heard, Self::time);
        self.option(member.address, |out, address| out.put(&address));
        self.option(member.pending_until, Self::time);
        self.u8(u8::from(member.introduced));
    }

    fn fresh(&mut self, (since, exposed, next): Fresh) {
        self.option(since, Self::time);
        self.u8(u8::from(exposed));
        self.option(next, |out, key_id| out.put(&key_id.0));
    }

    fn preemption(&mut self, held: &Preemption) {
        self.put(&held.by.0);
        self.put(&held.chain.0);
        self.u64(held.number);
        self.put(&held.key_id.0);
        self.time(held.activation);
    }

    fn lineage(&mut self, own: &Lineage) {
        self.put(&own.chain.0);
        self.option(own.parent, |out, parent| out.put(&parent.0));
        self.u64(own.parent_number);
        self.u64(own.number);
        self.put(&own.anchor.0);
        self.time(own.since);
        self.time(own.last_life);
        self.time(own.last_heard);
        self.option(own.last_pulse, |out, pulse| {
            out.time(pulse.at);
            out.u64(pulse.sequence);
            out.put(&pulse.source);
            out.put(&pulse.frame);
        });
        self.option(own.previous_pulse, Self::time);
        self.u8(u8::from(own.promoted));
        self.option(own.named, |out, (current, next)| {
            out.put(&current.0);
            out.put(&next.0);
        });
        self.put(&own.roster.0);
    }
}

struct In<'a>(&'a [u8]);

impl In<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    fn time(&mut self) -> Option<Time> {
        self.u64().map(Time)
    }

    fn flag(&mut self) -> Option<bool> {
        match self.u8()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    #[expect(
        clippy::option_option,
        reason = "outside: could be read; inside: was there"
    )]
    fn option<T>(&mut self, take: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        if self.flag()? {
            take(self).map(Some)
        } else {
            Some(None)
        }
    }

    /// A count that no table exceeds, then the items.
    fn list<T>(&mut self, mut take: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = u16::from_be_bytes(self.take()?);
        if usize::from(count) > 2 * MAX_PEERS {
            return None;
        }
        (0..count).map(|_| take(self)).collect()
    }

    fn key(&mut self) -> Option<SavedKey> {
        Some(SavedKey {
            secret: Zeroizing::new(self.take()?),
            wire: self.u8()?,
            chain: ChainId(self.take()?),
            number: self.u64()?,
            times: KeyTimes {
                activation: self.time()?,
                not_before: self.time()?,
                not_after: self.time()?,
                over: self.time()?,
            },
            heard: self.list(Self::heard)?,
        })
    }

    fn heard(&mut self) -> Option<Heard> {
        Some(Heard {
            sender: NodeId(self.take()?),
            highest: self.u64()?,
            newest: [
                self.option(Self::u64)?,
                self.option(Self::u64)?,
                self.option(Self::u64)?,
            ],
        })
    }

    fn member(&mut self) -> Option<SavedMember> {
        Some(SavedMember {
            grant: self.take()?,
            highest: self.u8()?,
            known_since: self.time()?,
            last_heard: self.option(Self::time)?,
            address: self.option(Self::take)?,
            pending_until: self.option(Self::time)?,
            introduced: self.flag()?,
        })
    }

    fn fresh(&mut self) -> Option<Fresh> {
        let (since, exposed) = (self.option(Self::time)?, self.flag()?);
        Some((since, exposed, self.option(Self::take)?.map(KeyId)))
    }

    fn preemption(&mut self) -> Option<Preemption> {
        Some(Preemption {
            by: NodeId(self.take()?),
            chain: ChainId(self.take()?),
            number: self.u64()?,
            key_id: KeyId(self.take()?),
            activation: self.time()?,
            repeats: 1,
        })
    }

    fn lineage(&mut self) -> Option<Lineage> {
        let (chain, parent) = (self.take()?, self.option(Self::take)?);
        let (parent_number, number) = (self.u64()?, self.u64()?);
        let (anchor, since) = (NodeId(self.take()?), self.time()?);
        let own = Lineage::new(ChainId(chain), anchor, number, since);
        Some(Lineage {
            parent: parent.map(ChainId),
            parent_number,
            last_life: self.time()?,
            last_heard: self.time()?,
            last_pulse: self.option(Self::pulse)?,
            previous_pulse: self.option(Self::time)?,
            promoted: self.flag()?,
            named: self.option(|input| Some((KeyId(input.take()?), KeyId(input.take()?))))?,
            roster: RosterDigest(self.take()?),
            ..own
        })
    }

    fn pulse(&mut self) -> Option<LastPulse> {
        Some(LastPulse {
            at: self.time()?,
            sequence: self.u64()?,
            source: self.take()?,
            frame: self.take::<PULSE_LEN>()?,
        })
    }
}

impl Saved {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let mut input = In(bytes);
        if input.take()? != MAGIC {
            return None;
        }
        let saved = Self {
            boot: input.take()?,
            mesh: input.take()?,
            node: input.take()?,
            at: input.time()?,
            sequence: input.u64()?,
            rhythm: Rhythm::from_wire(input.u32()?, input.u32()?)?,
            fence: input.list(|input| Some((ChainId(input.take()?), input.u64()?)))?,
            worn: input.list(|input| Some((KeyId(input.take()?), input.time()?)))?,
            keys: input.list(In::key)?,
            members: input.list(In::member)?,
            succession: input.list(|input| input.take().map(NodeId))?,
            lineage: input.option(In::lineage)?,
            fresh: input.fresh()?,
            frozen: input
                .list(|input| Some((ChainId(input.take()?), input.u64()?, input.take()?)))?,
            list: input.list(In::u8)?,
            preemption: input.option(In::preemption)?,
            hold: (
                input.option(In::take)?.map(NodeId),
                input.time()?,
                input.u32()?,
            ),
        };
        input.0.is_empty().then_some(saved)
    }
}
