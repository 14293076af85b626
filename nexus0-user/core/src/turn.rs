//! From one epoch to the next: announced ahead, taken up by everyone at the same instant (R6, R7).

use core::time::Duration;

use nexus0_common::wire::{Announcement, Epoch, FrameType, GROUP};

use crate::admission::Admitted;
use crate::epoch::{EpochKey, Rhythm};
use crate::event::Reason;
use crate::id::{ChainId, KeyId, NodeId, RosterDigest};
use crate::join::Join;
use crate::lineage::Lineage;
use crate::node::{Event, Node};
use crate::sabotage::{Sabotage, planted};
use crate::seal::EpochSeal;
use crate::secret::Material;
use crate::send::Under;
use crate::time::{Time, wire_millis};
use crate::timer::Timer;

/// Bit of [`Announcement::flags`]: the sender promoted itself.
pub(crate) const PROMOTION: u8 = 1;
/// Bit of [`Announcement::flags`]: the sender takes over from a living anchor.
pub(crate) const PREEMPTION: u8 = 4;

impl Node {
    /// Enters a chain.
    pub(crate) fn follow(&mut self, now: Time, lineage: Lineage, reason: Reason) {
        let (new, chain, number) = (lineage.anchor, lineage.chain, lineage.number);
        let old = self.lineage.as_ref();
        let changed = old.is_none_or(|old| old.chain != chain);
        let old = old.map(|old| old.anchor).filter(|old| *old != new);
        self.fence.raise(chain, number);
        self.rekey.enter(now, reason);
        self.lineage = Some(lineage);
        self.redraft();
        self.suspicion.calm();
        self.timers
            .set(Timer::Suspect, now + self.rhythm.pulses(5, 4));
        self.timers.stop(Timer::Announce);
        if changed {
            self.end_break();
            self.forget_preemption();
            self.hold_down.note(now, new);
            self.counters.anchor_changes += 1;
            self.event(Event::AnchorChanged {
                old,
                new,
                chain,
                number,
                reason,
            });
        }
    }

    /// Before another chain is entered: the old one's keys end a pulse later, its order is void.
    pub(crate) fn leave_lineage(&mut self, now: Time, new: Option<ChainId>) {
        let Some(old) = self.lineage.as_ref().filter(|old| Some(old.chain) != new) else {
            return;
        };
        let (chain, mut ops) = (old.chain, Vec::new());
        self.keys
            .end_before(chain, u64::MAX, now + self.rhythm.pulse, &mut ops);
        self.ops(ops);
        self.roster.set_succession(Vec::new());
        self.forget_preemption();
        self.promotion = None;
    }

    /// Begins to be the anchor of the current epoch.
    pub(crate) fn reign(&mut self, now: Time) {
        self.pulse(now);
        self.schedule_epoch(now);
    }

    /// Sets the times of the current epoch: announcements at 1/2 and 3/4, and its end.
    pub(crate) fn schedule_epoch(&mut self, now: Time) -> Option<()> {
        let chain = self.lineage.as_ref()?.chain;
        let end = self.keys.current(chain, now)?.end(self.rhythm);
        self.timers.set(Timer::Turn, end);
        let parts = [2, 4].map(|of| end - self.rhythm.epoch / of);
        match parts.into_iter().find(|at| *at > now) {
            Some(at) if self.is_anchor() => self.timers.set(Timer::Announce, at),
            _ => self.timers.stop(Timer::Announce),
        }
        Some(())
    }

    /// Draws the next epoch at its first announcement, and multicasts it at each.
    pub(crate) fn announce(&mut self, now: Time) {
        if !self.is_anchor() {
            return;
        }
        if self.yields() {
            self.schedule_epoch(now);
            return;
        }
        self.draw_next(now);
        self.send_announcement(now);
        self.schedule_epoch(now);
    }

    fn draw_next(&mut self, now: Time) -> Option<()> {
        let chain = self.lineage.as_ref()?.chain;
        if self.keys.next(chain, now).is_some() {
            return None;
        }
        self.drop_silent(now);
        let current = self.keys.current(chain, now)?;
        let (number, end) = (current.number.checked_add(1)?, current.end(self.rhythm));
        let material = if planted(Sabotage::SameSecret) {
            current.material.clone()
        } else {
            self.fresh_material(now)
        };
        if self.rekey.due(now, self.config.rekey) {
            self.rekey.next = Some(material.id);
        }
        self.take_next(material, number, end, chain);
        Some(())
    }

    /// Holds the next key, and ends the current one a grace after it takes over.
    pub(crate) fn take_next(
        &mut self,
        material: Material,
        number: u64,
        activation: Time,
        chain: ChainId,
    ) {
        self.install_key(EpochKey::new(
            material,
            chain,
            number,
            activation,
            self.rhythm,
        ));
        if self
            .preemption
            .as_ref()
            .is_some_and(|held| held.number <= number)
        {
            self.forget_preemption();
        }
        let mut ops = Vec::new();
        self.keys
            .end_before(chain, number, activation + self.rhythm.grace(), &mut ops);
        self.ops(ops);
    }

    /// Multicasts the next epoch.
    pub(crate) fn send_announcement(&mut self, now: Time) -> Option<()> {
        self.desk.last_announcement = Some(now);
        let under = self.under_current(now)?;
        let lineage = self.lineage.as_ref()?;
        let parent = lineage.parent;
        let next = self.keys.next(lineage.chain, now)?.clone();
        if self.rekey.next == Some(next.material.id) {
            self.send_rekey(now, &under, &next, parent, 0);
            return Some(());
        }
        let body = self.epoch_body(now, &under, &next, parent, 0)?;
        self.send(&under, GROUP, &body).map(drop)
    }

    /// What is said of an epoch, however its secret is sealed.
    pub(crate) fn announcement(
        &self,
        now: Time,
        key: &EpochKey,
        parent: Option<ChainId>,
        flags: u8,
    ) -> Announcement {
        Announcement {
            chain: key.chain.0,
            parent: parent.unwrap_or_default().0,
            number: key.number,
            key_id: key.material.id.0,
            activates_in: wire_millis(key.activation.since(now)),
            epoch: wire_millis(self.rhythm.epoch),
            pulse: wire_millis(self.rhythm.pulse),
            flags,
            wire: key.material.wire,
            members: self.roster.succession().len() as u16,
            roster: self.roster.digest().unwrap_or_default().0,
            revocation: self.expulsion.list.number(),
        }
    }

    /// An epoch's secret sealed under another.
    pub(crate) fn epoch_body(
        &mut self,
        now: Time,
        under: &Under,
        key: &EpochKey,
        parent: Option<ChainId>,
        flags: u8,
    ) -> Option<Epoch> {
        let succession = first_sixteen(self.roster.succession());
        let succession = self.witness.freeze(key.chain, key.number, succession);
        let mut body = Epoch {
            head: self.announcement(now, key, parent, flags),
            succession,
            salt: self.random(),
            sealed: [0; 48],
        };
        if planted(Sabotage::LeakInFrame) {
            body.salt = *key.material.secret;
        }
        let seal = self.epoch_seal(&body, self.id, &under.material);
        body.sealed = seal.seal(&key.material.secret, &context(&body))?;
        Some(body)
    }

    /// A changed body, sealed as it says.
    #[cfg(test)]
    pub(crate) fn reseal(
        &self,
        mut body: Epoch,
        under: &Material,
        carried: &Material,
    ) -> Option<Epoch> {
        let seal = self.epoch_seal(&body, self.id, under);
        body.sealed = seal.seal(&carried.secret, &context(&body))?;
        Some(body)
    }

    fn epoch_seal<'a>(
        &self,
        body: &'a Epoch,
        sealer: NodeId,
        under: &'a Material,
    ) -> EpochSeal<'a> {
        EpochSeal {
            mesh: self.mesh,
            key: &under.seal,
            salt: &body.salt,
            sealer,
            chain: ChainId(body.head.chain),
            number: body.head.number,
        }
    }

    /// The secret in an EPOCH or REKEY, if it is the one that its key id names.
    pub(crate) fn open_epoch(&self, frame: &Admitted<'_>, head: &Announcement) -> Option<Material> {
        let secret = if frame.header.frame_type == FrameType::Rekey {
            self.open_rekey(frame)?
        } else {
            let body = Epoch::parse(frame.body())?;
            let under = self.keys.find(frame.key_id())?;
            let seal = self.epoch_seal(&body, frame.sender, &under.material);
            seal.open(&body.sealed, &context(&body))?
        };
        let material = self.usable(secret, head.wire)?;
        (material.id == KeyId(head.key_id)).then_some(material)
    }

    /// Someone says which epoch comes next.
    pub(crate) fn on_epoch(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        let body = Epoch::parse(frame.body())?;
        self.compare(now, frame, &body);
        let head = &body.head;
        if head.flags & PROMOTION != 0 {
            return self.on_promotion(now, frame, head);
        }
        if head.flags & PREEMPTION != 0 {
            return self.on_preemption(now, frame, head);
        }
        self.on_announced(now, frame, head)
    }

    /// The anchor announces its next epoch, sealed under the chain's secret or to each member.
    pub(crate) fn on_announced(
        &mut self,
        now: Time,
        frame: &Admitted<'_>,
        head: &Announcement,
    ) -> Option<()> {
        let lineage = self.lineage.as_ref()?;
        let (chain, number) = (lineage.chain, lineage.number);
        if frame.sender != lineage.anchor
            || frame.chain != Some(chain)
            || ChainId(head.chain) != chain
        {
            return None;
        }
        if head.number <= number && !planted(Sabotage::AcceptOlderNumber) {
            self.counters.fenced += 1;
            return None;
        }
        self.lineage.as_mut()?.roster = RosterDigest(head.roster);
        if self.keys.next(chain, now).is_none() && self.keys.find(KeyId(head.key_id)).is_none() {
            let material = self.open_epoch(frame, head)?;
            if frame.header.frame_type == FrameType::Rekey {
                self.rekey.next = Some(material.id);
            }
            self.rhythm = Rhythm::from_wire(head.pulse, head.epoch)?;
            let activation =
                now + Duration::from_millis(head.activates_in.into()).min(self.rhythm.epoch);
            self.take_next(material, head.number, activation, chain);
            self.timers.set(Timer::Turn, activation);
        }
        self.exhibit(frame);
        self.compare_number(now, frame.sender, head.revocation);
        self.check_roster(now);
        self.consider_preemption(now);
        Some(())
    }

    /// An epoch's time is over: the next takes over, or there is none and the node joins again.
    pub(crate) fn turn(&mut self, now: Time) {
        if self.turn_to_preemptor(now).is_some() {
            return;
        }
        let Some(lineage) = &self.lineage else { return };
        let (chain, number) = (lineage.chain, lineage.number);
        let current = self
            .keys
            .current(chain, now)
            .map(|key| (key.number, key.material.id));
        let Some((turned, key_id)) = current.filter(|(turned, _)| *turned > number) else {
            self.missed_turn(now);
            return;
        };
        if let Some(lineage) = &mut self.lineage {
            lineage.number = turned;
        }
        self.fence.raise(chain, turned);
        let fresh = self.rekey.next == Some(key_id);
        if fresh {
            self.rekey.next = None;
            self.rekey.since = Some(now);
            self.counters.fresh_turns += 1;
        }
        self.counters.turns += 1;
        self.event(Event::EpochTurned {
            number: turned,
            key_id,
            fresh,
        });
        self.schedule_epoch(now);
    }

    /// The anchor cannot miss its own turn unless it was stalled: then it draws the next one late.
    fn missed_turn(&mut self, now: Time) {
        if self.is_anchor() {
            self.draw_next(now);
            self.timers.set_once(Timer::Turn, now + self.rhythm.grace());
        } else if self.join.as_ref().is_none_or(Join::answered) {
            // Who came in just before a preemptor's turn was answered by the old anchor.
            self.event(Event::Rejoining);
            self.start_join(now);
        }
    }
}

/// What the sealed secret is bound to.
fn context(body: &Epoch) -> Vec<u8> {
    [&body.head.bytes()[..], &body.succession, &body.salt].concat()
}

fn first_sixteen(succession: &[NodeId]) -> [u8; 128] {
    let mut bytes = [0; 128];
    for (room, id) in bytes.chunks_exact_mut(8).zip(succession) {
        room.copy_from_slice(&id.0);
    }
    bytes
}
