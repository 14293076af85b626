//! A fresh secret, sealed to each member on its own: hourly, and whenever someone is expelled.
//!
//! Who stole an epoch's secret, or was expelled with it, follows no further: the boxes are made for the keys
//! of the members that remain.

use core::time::Duration;

use nexus0_common::wire::{Announcement, GROUP, REKEY_ENTRIES, REKEY_ENTRY_LEN, Rekey, RekeyEntry};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::admission::Admitted;
use crate::epoch::{EpochKey, Rhythm};
use crate::event::Reason;
use crate::id::{ChainId, KeyId, NodeId, RosterDigest};
use crate::identity::agreement_key;
use crate::lineage::Lineage;
use crate::node::{Event, Node};
use crate::promotion::descendant;
use crate::rule::{Judgement, promoted_number};
use crate::seal::RekeyBox;
use crate::secret::{Material, Secret};
use crate::send::Under;
use crate::time::Time;
use crate::timer::Timer;
use crate::turn::PROMOTION;

/// Bit of [`Announcement::flags`]: the keys before this one end at once.
pub(crate) const BREAK: u8 = 2;
/// Pulses with which a break is repeated after 100 and 300 ms.
const WITH_PULSES: u8 = 3;

/// When the secret was last fresh, whether somebody expelled may know it, the next key if it comes fresh.
pub(crate) type Fresh = (Option<Time>, bool, Option<KeyId>);

/// When the secrets were last fresh, and a break that is still being repeated.
#[derive(Debug, Default)]
pub(crate) struct Rekeying {
    /// Since when nobody can follow with a secret from before; `None`: unknown, so it is due.
    pub(crate) since: Option<Time>,
    /// A list names somebody who may know the chain's secret, and the anchor has not broken with it yet.
    pub(crate) exposed: bool,
    /// The announced next key, if it came fresh.
    pub(crate) next: Option<KeyId>,
    broken: Option<Break>,
}

impl Rekeying {
    /// Another chain is entered: by some ways its secret is fresh, by some that is not known.
    pub(crate) fn enter(&mut self, now: Time, reason: Reason) {
        if matches!(reason, Reason::Answer | Reason::Merged | Reason::ColdStart) {
            self.exposed = false;
        }
        match reason {
            Reason::ColdStart | Reason::Revoked | Reason::Break => self.since = Some(now),
            Reason::Silence
            | Reason::Bye
            | Reason::Stateless
            | Reason::Outranked
            | Reason::SteppedBack
            | Reason::Preemption
            | Reason::Cheated => {}
            Reason::Answer | Reason::Merged => self.since = None,
        }
    }

    /// What a restarted process must know.
    pub(crate) fn kept(&self) -> Fresh {
        (self.since, self.exposed, self.next)
    }

    pub(crate) fn restore(&mut self, kept: Fresh) {
        (self.since, self.exposed, self.next) = kept;
    }

    /// Whether the next secret must be fresh.
    pub(crate) fn due(&self, now: Time, span: Duration) -> bool {
        self.since.is_none_or(|since| now.since(since) >= span)
    }
}

/// A break, for those who missed it.
#[derive(Debug)]
struct Break {
    /// The parent's key, which nobody who heard of the break accepts any more.
    under: Under,
    parent: ChainId,
    flags: u8,
    repeats: u8,
}

impl Node {
    /// The anchor goes on in a chain of its own: without the expelled, or in an older wire version.
    pub(crate) fn break_chain(&mut self, now: Time) {
        self.renew_chain(now, BREAK, Reason::Break);
    }

    /// Takes the place of an anchor that was expelled, or that was gone before it could leave somebody behind.
    pub(crate) fn promote_past_expelled(&mut self, now: Time, reason: Reason) {
        self.counters.promotions += 1;
        let done = self.renew_chain(now, PROMOTION | BREAK, reason);
        if done.is_some() && self.join.is_some() {
            self.end_join();
        }
    }

    /// A new chain under a fresh secret; every key held before ends now.
    fn renew_chain(&mut self, now: Time, flags: u8, reason: Reason) -> Option<()> {
        let old = self.lineage.clone()?;
        let under = self.under_current(now)?;
        let announced = self.keys.next(old.chain, now).map(|key| key.number);
        let number = promoted_number(old.number, announced);
        let (chain, material) = (ChainId(self.random()), self.fresh_material(now));
        if flags & PROMOTION != 0 {
            self.event(Event::Promoted { chain, number });
        }
        let mut lineage = descendant(&old, chain, self.id, number, now);
        lineage.promoted = flags & PROMOTION != 0;
        if lineage.promoted {
            self.roster.strike(old.anchor);
        }
        self.break_with(now, lineage, material, reason);
        self.roster.append(self.id);
        self.redraft();
        self.rekey.broken = Some(Break {
            under,
            parent: old.chain,
            flags,
            repeats: 0,
        });
        self.send_break(now);
        self.reign(now);
        self.timers
            .set(Timer::RepeatBreak, now + Duration::from_millis(100));
        Some(())
    }

    /// Enters a chain that breaks with everything before it.
    fn break_with(&mut self, now: Time, lineage: Lineage, material: Material, reason: Reason) {
        // Whoever is out holds the secret under which a preemptor's was sealed.
        self.forget_preemption();
        let mut ops = Vec::new();
        self.keys.clear_but(self.winners_chain(), &mut ops);
        self.ops(ops);
        self.promotion = None;
        self.timers.stop(Timer::Repeat);
        self.desk.start_over();
        let (chain, number) = (lineage.chain, lineage.number);
        self.install_key(EpochKey::new(material, chain, number, now, self.rhythm));
        self.follow(now, lineage, reason);
        (self.rekey.since, self.rekey.exposed) = (Some(now), false);
    }

    /// Another chain is entered: nobody needs the break any more.
    pub(crate) fn end_break(&mut self) {
        self.rekey.broken = None;
        self.timers.stop(Timer::RepeatBreak);
    }

    fn send_break(&mut self, now: Time) -> Option<()> {
        let broken = self.rekey.broken.as_ref()?;
        let (under, parent, flags) = (broken.under.clone(), broken.parent, broken.flags);
        let chain = self.lineage.as_ref()?.chain;
        let key = self.keys.current(chain, now)?.clone();
        self.spread_list(now, &under);
        self.send_rekey(now, &under, &key, Some(parent), flags);
        Some(())
    }

    /// Once more, for those who missed it: after 100 and 300 ms and with three pulses.
    pub(crate) fn repeat_break(&mut self, now: Time) {
        let Some(broken) = self.rekey.broken.as_mut() else {
            return;
        };
        broken.repeats = broken.repeats.saturating_add(1);
        let repeats = broken.repeats;
        if repeats > 2 + WITH_PULSES {
            self.rekey.broken = None;
            return;
        }
        let pause = if repeats == 1 {
            Duration::from_millis(200)
        } else {
            self.rhythm.pulse
        };
        self.timers.set(Timer::RepeatBreak, now + pause);
        self.send_break(now);
        self.send_anchor(now);
    }

    /// Multicasts a secret in one box per node known, under an ephemeral key used for these pages only.
    pub(crate) fn send_rekey(
        &mut self,
        now: Time,
        under: &Under,
        key: &EpochKey,
        parent: Option<ChainId>,
        flags: u8,
    ) {
        let ephemeral = StaticSecret::from(self.random::<32>());
        let blank = Rekey {
            head: self.announcement(now, key, parent, flags),
            ephemeral: PublicKey::from(&ephemeral).to_bytes(),
            page: 0,
            pages: 0,
            entries: &[],
        };
        let entries = self.boxes(&blank, &ephemeral, &key.material.secret);
        let pages = entries.len().div_ceil(REKEY_ENTRIES) as u8;
        for (page, entries) in (0_u8..).zip(entries.chunks(REKEY_ENTRIES)) {
            let body = Rekey {
                page,
                pages,
                entries,
                ..blank
            };
            self.send(under, GROUP, &body);
        }
    }

    fn boxes(
        &self,
        blank: &Rekey<'_>,
        ephemeral: &StaticSecret,
        secret: &Secret,
    ) -> Vec<[u8; REKEY_ENTRY_LEN]> {
        let context = blank.head.bytes();
        let others = self.roster.iter().filter(|(id, _)| *id != self.id);
        let entry = |(id, member): (NodeId, &crate::roster::Member)| {
            let theirs = agreement_key(member.grant.public_key())?;
            let sealed = self
                .rekey_box(self.id, id, blank)
                .seal(ephemeral, theirs, secret, &context)?;
            let member = id.0;
            Some(RekeyEntry { member, sealed }.bytes())
        };
        others.filter_map(entry).collect()
    }

    fn rekey_box<'a>(&self, anchor: NodeId, member: NodeId, body: &'a Rekey<'_>) -> RekeyBox<'a> {
        RekeyBox {
            mesh: self.mesh,
            anchor,
            member,
            chain: ChainId(body.head.chain),
            number: body.head.number,
            ephemeral: &body.ephemeral,
        }
    }

    /// The secret in this node's box.
    pub(crate) fn open_rekey(&self, frame: &Admitted<'_>) -> Option<Secret> {
        let body = Rekey::parse(frame.body())?;
        let entries = body.entries.iter().filter_map(RekeyEntry::parse);
        let entry = entries
            .into_iter()
            .find(|entry| entry.member == self.id.0)?;
        let own = self.identity.agreement_secret();
        self.rekey_box(frame.sender, self.id, &body)
            .open(&own, &entry.sealed, &body.head.bytes())
    }

    /// A page of fresh secrets. One without a box for this node says nothing.
    pub(crate) fn on_rekey(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        let body = Rekey::parse(frame.body())?;
        let mine = body
            .entries
            .iter()
            .filter_map(RekeyEntry::parse)
            .any(|entry| entry.member == self.id.0);
        if !mine {
            return None;
        }
        let head = &body.head;
        match head.flags & (PROMOTION | BREAK) {
            0 => self.on_announced(now, frame, head),
            BREAK => self.on_break(now, frame, head),
            _ => self.on_breaking_promotion(now, frame, head),
        }
    }

    /// The anchor left someone behind.
    fn on_break(&mut self, now: Time, frame: &Admitted<'_>, head: &Announcement) -> Option<()> {
        let old = self.lineage.as_ref()?;
        let ours = frame.sender == old.anchor
            && frame.chain == Some(old.chain)
            && ChainId(head.parent) == old.chain
            && ChainId(head.chain) != old.chain;
        if !ours {
            return None;
        }
        if head.number <= old.number {
            self.counters.fenced += 1;
            return None;
        }
        self.take_break(now, frame, head, Reason::Break)
    }

    /// A member took the place of an anchor that was expelled. Without the list, which comes with it, nobody follows.
    fn on_breaking_promotion(
        &mut self,
        now: Time,
        frame: &Admitted<'_>,
        head: &Announcement,
    ) -> Option<()> {
        match self.judge_promotion(now, frame, head)? {
            Judgement::Follow => {
                let gone = self.lineage.as_ref()?.gone;
                let reason = gone.map_or(Reason::Silence, |(_, reason)| reason);
                self.take_break(now, frame, head, reason)
            }
            Judgement::Object if head.revocation <= self.expulsion.list.number() => {
                self.object(frame, ChainId(head.chain))
            }
            Judgement::Fenced => {
                self.counters.fenced += 1;
                None
            }
            Judgement::Object | Judgement::Prefer | Judgement::Ignore => None,
        }
    }

    fn take_break(
        &mut self,
        now: Time,
        frame: &Admitted<'_>,
        head: &Announcement,
        reason: Reason,
    ) -> Option<()> {
        let material = self.open_epoch(frame, head)?;
        self.rhythm = Rhythm::from_wire(head.pulse, head.epoch)?;
        let old = self.lineage.clone()?;
        let mut lineage = descendant(&old, ChainId(head.chain), frame.sender, head.number, now);
        lineage.roster = RosterDigest(head.roster);
        lineage.promoted = head.flags & PROMOTION != 0;
        if old.anchor != frame.sender {
            self.roster.strike(old.anchor);
        }
        self.break_with(now, lineage, material, reason);
        self.timers.set(Timer::Turn, now + self.rhythm.epoch);
        if self.join.is_some() {
            self.end_join();
        }
        let pause = self.between(Duration::ZERO, self.rhythm.pulses(1, 10));
        self.timers.set(Timer::Pulse, now + pause);
        self.compare_number(now, frame.sender, head.revocation);
        self.check_roster(now);
        Some(())
    }
}
