//! No key is accepted past its end and grace, and no two epochs share a secret.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use nexus0_common::wire::{Announcement, Epoch, FrameType, HEADER_LEN, Header, Rekey};

use super::super::packet::Packet;
use crate::epoch::EpochKey;
use crate::id::{ChainId, KeyId};
use crate::node::Node;
use crate::time::Time;

/// What the network may add to times that are counted from a frame's arrival.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slack {
    /// Time between pulses.
    pub(crate) pulse: Duration,
    /// Life of an epoch.
    pub(crate) epoch: Duration,
    /// The honoured time around a turn.
    pub(crate) grace: Duration,
    /// The longest a frame is on its way.
    pub(crate) delay: Duration,
    /// The most that clocks differ in a second, in millionths.
    pub(crate) ppm: u32,
}

impl Slack {
    fn span(&self) -> Duration {
        self.delay * 3 + self.epoch * 3 * self.ppm / 1_000_000 + Duration::from_millis(10)
    }
}

#[derive(Debug)]
struct Era {
    chain: ChainId,
    number: u64,
    opens: Time,
    /// When the next one of the chain opens.
    closes: Option<Time>,
}

/// Every epoch that anyone held a key of.
#[derive(Debug)]
pub(super) struct Epochs {
    slack: Slack,
    eras: BTreeMap<KeyId, Era>,
    keys: BTreeMap<(ChainId, u64), KeyId>,
    /// How late a host learned of an epoch at worst.
    late: BTreeMap<usize, Duration>,
    /// Chains that a host is not in any more, and since when.
    left: BTreeMap<(usize, ChainId), Time>,
    held: BTreeMap<usize, ChainId>,
    /// Keys that a host holds.
    holds: BTreeMap<usize, BTreeSet<KeyId>>,
    /// Chains whose anchor called one epoch by two keys: nobody knows which turn is the right one.
    disputed: BTreeSet<ChainId>,
}

impl Epochs {
    pub(super) fn new(slack: Slack) -> Self {
        Self {
            slack,
            eras: BTreeMap::new(),
            keys: BTreeMap::new(),
            late: BTreeMap::new(),
            left: BTreeMap::new(),
            held: BTreeMap::new(),
            holds: BTreeMap::new(),
            disputed: BTreeSet::new(),
        }
    }

    /// A node holds a key. `lied`: some member lies, and may call one epoch by two keys.
    pub(super) fn installed(
        &mut self,
        key: KeyId,
        chain: ChainId,
        number: u64,
        opens: Time,
        lied: bool,
    ) -> Result<(), String> {
        if let Some(era) = self.eras.get(&key) {
            if (era.chain, era.number) == (chain, number) {
                return Ok(());
            }
            return Err(format!(
                "key {key} is that of {number} of {chain} and of {} of {}",
                era.number, era.chain
            ));
        }
        let other = self.keys.insert((chain, number), key);
        let closes = None;
        self.eras.insert(
            key,
            Era {
                chain,
                number,
                opens,
                closes,
            },
        );
        if other.is_some() {
            self.disputed.insert(chain);
        }
        let before = number
            .checked_sub(1)
            .and_then(|number| self.keys.get(&(chain, number)));
        if let Some(before) = before.and_then(|key| self.eras.get_mut(key)) {
            before.closes = Some(opens);
        }
        match other {
            Some(other) if !lied => Err(format!("{number} of {chain} has keys {other} and {key}")),
            _ => Ok(()),
        }
    }

    /// The key of an epoch.
    pub(super) fn key(&self, chain: ChainId, number: u64) -> Option<KeyId> {
        self.keys.get(&(chain, number)).copied()
    }

    /// A host follows a chain from now on.
    pub(super) fn entered(&mut self, now: Time, host: usize, chain: ChainId) {
        self.left.remove(&(host, chain));
        if let Some(old) = self.held.insert(host, chain).filter(|old| *old != chain) {
            self.left.insert((host, old), now);
        }
    }

    /// A host holds these keys. One that it did not hold before somebody has just told it: it comes back to
    /// the chain, before it follows it.
    pub(super) fn holds(&mut self, host: usize, node: &Node) {
        let keys = node.keys.iter().map(|key| (key.material.id, key.chain));
        let now: BTreeMap<KeyId, ChainId> = keys.collect();
        let before = self.holds.insert(host, now.keys().copied().collect());
        for (key, chain) in now {
            if !before.as_ref().is_some_and(|before| before.contains(&key)) {
                self.left.remove(&(host, chain));
            }
        }
    }

    /// A host accepted a frame under a key.
    pub(super) fn accepted(
        &mut self,
        now: Time,
        host: usize,
        node: &Node,
        packet: &Packet,
        header: &Header,
    ) -> Result<(), String> {
        if matches!(
            header.frame_type,
            FrameType::Epoch | FrameType::Rekey | FrameType::Merge
        ) {
            self.learned(now, host, packet);
        }
        let key = KeyId(header.key_id);
        let Some(era) = self.eras.get(&key) else {
            return Err(format!("key {key} was never installed"));
        };
        if self.disputed.contains(&era.chain) {
            return Ok(());
        }
        let follows = |key: &&EpochKey| key.chain == era.chain && key.number == era.number + 1;
        let known = node.keys.iter().find(follows).is_some();
        let mut end = match era.closes {
            Some(closes) if known => closes + self.slack.grace,
            _ => era.opens + self.slack.epoch * 3 / 2,
        };
        if let Some(left) = self.left.get(&(host, era.chain)) {
            end = end.min(*left + self.slack.pulse.max(self.slack.grace));
        }
        let late = self.late.get(&host).copied().unwrap_or_default();
        let end = end + self.slack.span() + late;
        if now < end {
            return Ok(());
        }
        Err(format!(
            "key {key} of {} of {} accepted {:?} after its end",
            era.number,
            era.chain,
            now.since(end)
        ))
    }

    /// Times in a frame count from its arrival: one that comes late moves what its receiver knows.
    pub(super) fn learned(&mut self, now: Time, host: usize, packet: &Packet) {
        let late = now.since(packet.sent).max(self.repeated(now, packet));
        let worst = self.late.entry(host).or_default();
        *worst = (*worst).max(late);
    }

    /// How long ago the epoch opened that a frame tells of as one that opens now: it is repeated for who missed
    /// it, with the last copy this long after the first.
    fn repeated(&self, now: Time, packet: &Packet) -> Duration {
        let last = Duration::from_millis(1_500) + self.slack.pulse * 3 + self.slack.delay;
        opened(packet)
            .and_then(|head| self.eras.get(&KeyId(head.key_id)))
            .map_or(Duration::ZERO, |era| now.since(era.opens).min(last))
    }
}

/// What a frame says of an epoch that begins at once.
fn opened(packet: &Packet) -> Option<Announcement> {
    let header = Header::parse(packet.payload())?;
    let body = packet.payload().get(HEADER_LEN..)?;
    let head = match header.frame_type {
        FrameType::Epoch => Epoch::parse(body)?.head,
        FrameType::Rekey => Rekey::parse(body)?.head,
        _ => return None,
    };
    (head.activates_in == 0).then_some(head)
}
