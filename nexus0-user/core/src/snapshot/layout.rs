//! A snapshot's bytes.

use nexus0_common::maps::MAX_PEERS;
use zeroize::Zeroizing;

use crate::epoch::{EpochKey, Heard, KeyTimes, Rhythm};
use crate::grant::GRANT_LEN;
use crate::id::{ChainId, KeyId, NodeId, RosterDigest};
use crate::lineage::{LastPulse, Lineage, PULSE_LEN};
use crate::preemption::Preemption;
use crate::proof::Frozen;
use crate::rekey::Fresh;
use crate::roster::Member;
use crate::time::Time;

pub(super) const MAGIC: [u8; 5] = *b"N0SS\x03";

pub(super) struct SavedKey {
    pub(super) secret: Zeroizing<[u8; 32]>,
    pub(super) wire: u8,
    pub(super) chain: ChainId,
    pub(super) number: u64,
    pub(super) times: KeyTimes,
    pub(super) heard: Vec<Heard>,
}

pub(super) struct SavedMember {
    pub(super) grant: [u8; GRANT_LEN],
    pub(super) highest: u8,
    pub(super) known_since: Time,
    pub(super) last_heard: Option<Time>,
    pub(super) address: Option<[u8; 16]>,
    pub(super) pending_until: Option<Time>,
    pub(super) introduced: bool,
}

pub(super) struct Saved {
    pub(super) boot: [u8; 16],
    pub(super) mesh: [u8; 16],
    pub(super) node: [u8; 8],
    pub(super) at: Time,
    pub(super) sequence: u64,
    pub(super) rhythm: Rhythm,
    pub(super) fence: Vec<(ChainId, u64)>,
    pub(super) worn: Vec<(KeyId, Time)>,
    pub(super) keys: Vec<SavedKey>,
    pub(super) members: Vec<SavedMember>,
    pub(super) succession: Vec<NodeId>,
    pub(super) lineage: Option<Lineage>,
    pub(super) fresh: Fresh,
    pub(super) frozen: Vec<Frozen>,
    pub(super) list: Vec<u8>,
    pub(super) preemption: Option<Preemption>,
    pub(super) hold: (Option<NodeId>, Time, u32),
}

/// Writes them.
pub(super) struct Out(pub(super) Zeroizing<Vec<u8>>);

impl Out {
    pub(super) fn new(room: usize) -> Self {
        Self(Zeroizing::new(Vec::with_capacity(room)))
    }

    pub(super) fn put(&mut self, bytes: &[u8]) {
        debug_assert!(self.0.len() + bytes.len() <= self.0.capacity(), "room");
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn u8(&mut self, value: u8) {
        self.put(&[value]);
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.put(&value.to_be_bytes());
    }

    pub(super) fn option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.u8(u8::from(value.is_some()));
        if let Some(value) = value {
            put(self, value);
        }
    }

    pub(super) fn time(&mut self, at: Time) {
        self.u64(at.0);
    }

    /// A count, then the items.
    pub(super) fn list<T>(
        &mut self,
        items: impl Iterator<Item = T>,
        mut put: impl FnMut(&mut Self, T),
    ) {
        let items: Vec<T> = items.take(usize::from(u16::MAX)).collect();
        self.put(&(items.len() as u16).to_be_bytes());
        for item in items {
            put(self, item);
        }
    }

    pub(super) fn key(&mut self, key: &EpochKey) {
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

    pub(super) fn member(&mut self, member: &Member) {
        self.put(member.grant.bytes());
        self.u8(member.highest);
        self.time(member.known_since);
        self.option(member.last_heard, Self::time);
        self.option(member.address, |out, address| out.put(&address));
        self.option(member.pending_until, Self::time);
        self.u8(u8::from(member.introduced));
    }

    pub(super) fn fresh(&mut self, (since, exposed, next): Fresh) {
        self.option(since, Self::time);
        self.u8(u8::from(exposed));
        self.option(next, |out, key_id| out.put(&key_id.0));
    }

    pub(super) fn preemption(&mut self, held: &Preemption) {
        self.put(&held.by.0);
        self.put(&held.chain.0);
        self.u64(held.number);
        self.put(&held.key_id.0);
        self.time(held.activation);
    }

    pub(super) fn lineage(&mut self, own: &Lineage) {
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

/// Reads them.
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
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
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
