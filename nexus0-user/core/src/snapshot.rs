//! What a node must not lose with its process, as bytes: keys, chain, roster, fence and sequence. The bytes
//! hold secrets; whoever keeps them keeps them in memory. A snapshot is good for one boot, since its times
//! are the boot clock's, for one node and for one mesh.

mod layout;

use core::time::Duration;

use zeroize::Zeroizing;

use self::layout::{MAGIC, Out, Saved, SavedKey, SavedMember};
use crate::epoch::EpochKey;
use crate::grant::peek_node_id;
use crate::id::{ChainId, KeyId, NodeId, RosterDigest};
use crate::lineage::Lineage;
use crate::node::{Event, Node};
use crate::preemption::Preemption;
use crate::rekey::Fresh;
use crate::revocation::Revocations;
use crate::roster::Member;
use crate::secret::Material;
use crate::time::{Time, wire_millis};
use crate::timer::Timer;

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

    /// Takes a snapshot up, right after [`Node::new`] and before any [`Input`](crate::node::Input). Keys that are
    /// still honoured are, a member goes on
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
        let bid = saved.preemption.as_ref().filter(|held| held.by == self.id);
        let announced = [chain, bid.map(|held| held.chain)];
        let ours = |key: &&SavedKey| announced.contains(&Some(key.chain)) && key.times.over > now;
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
