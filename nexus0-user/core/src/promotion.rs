//! A member becomes the anchor, others agree or object, and of two the better-ranked wins.

use core::time::Duration;

use nexus0_common::wire::{
    Announcement, Bye, FrameType, GROUP, HEADER_LEN, Header, SIGNATURE_LEN, StillHere,
};

use crate::admission::Admitted;
use crate::election::Rank;
use crate::epoch::{EpochKey, Rhythm};
use crate::event::Reason;
use crate::id::{ChainId, NodeId, RosterDigest};
use crate::identity::verify_strict;
use crate::leave::bye;
use crate::lineage::Lineage;
use crate::node::{Event, Node};
use crate::rule::{Claim, Judgement, Standing, disproved, gives_way, judge, promoted_number};
use crate::send::{Under, signed_message};
use crate::time::Time;
use crate::timer::Timer;
use crate::turn::PROMOTION;

/// Between the first copies of a promotion, doubled each time.
const REPEAT: Duration = Duration::from_millis(100);
/// Copies in quick succession after the first: after 100, 300, 700 and 1,500 ms.
const QUICK: u8 = 4;
/// Pulses with which a promotion is repeated after those.
const WITH_PULSES: u8 = 3;

/// What a promoter keeps of the chain it took over.
#[derive(Debug)]
pub(crate) struct Promotion {
    /// The parent's key that its members hold.
    under: Under,
    /// The parent as it was.
    old: Lineage,
    succession: Vec<NodeId>,
    repeats: u8,
}

/// A promotion taken back: who followed it must hear of it.
#[derive(Debug)]
pub(crate) struct Retraction {
    under: Under,
    chain: ChainId,
    copies: u8,
}

impl Node {
    /// Takes the anchor's place.
    pub(crate) fn promote(&mut self, now: Time) {
        let Some(old) = self.lineage.clone() else {
            return;
        };
        let reason = old.gone.map_or(Reason::Silence, |(_, reason)| reason);
        if reason == Reason::Revoked || self.rekey.exposed {
            self.promote_past_expelled(now, reason);
            return;
        }
        let Some(under) = self.under_current(now) else {
            return;
        };
        let succession = self.roster.succession().to_vec();
        let announced = self.keys.next(old.chain, now).map(|key| key.number);
        let number = promoted_number(old.number, announced);
        let (chain, material) = (ChainId(self.random()), self.fresh_material(now));
        self.counters.promotions += 1;
        self.event(Event::Promoted { chain, number });
        let lineage = descendant(&old, chain, self.id, number, now);
        self.succeed(now, &old, lineage, material, reason);
        self.roster.append(self.id);
        self.promotion = Some(Promotion {
            under,
            old,
            succession,
            repeats: 0,
        });
        self.send_promotion(now);
        self.reign(now);
        self.timers.set(Timer::Repeat, now + REPEAT);
        if self.join.is_some() {
            self.end_join();
        }
    }

    /// Enters a descendant of the chain so far.
    fn succeed(
        &mut self,
        now: Time,
        old: &Lineage,
        lineage: Lineage,
        material: crate::secret::Material,
        reason: Reason,
    ) {
        let end = now + self.rhythm.pulse;
        let mut ops = Vec::new();
        self.keys.end_before(old.chain, u64::MAX, end, &mut ops);
        self.ops(ops);
        let (chain, number) = (lineage.chain, lineage.number);
        self.install_key(EpochKey::new(material, chain, number, now, self.rhythm));
        self.roster.strike(old.anchor);
        self.follow(now, lineage, reason);
    }

    fn send_promotion(&mut self, now: Time) -> Option<()> {
        let promotion = self.promotion.as_ref()?;
        let (under, parent) = (promotion.under.clone(), promotion.old.chain);
        let key = self
            .keys
            .current(self.lineage.as_ref()?.chain, now)?
            .clone();
        let body = self.epoch_body(now, &under, &key, Some(parent), PROMOTION)?;
        self.send(&under, GROUP, &body).map(drop)
    }

    /// Once more, for those who missed it.
    pub(crate) fn repeat_promotion(&mut self, now: Time) {
        let Some(promotion) = self.promotion.as_mut() else {
            return;
        };
        promotion.repeats = promotion.repeats.saturating_add(1);
        let repeats = promotion.repeats;
        if repeats > QUICK + WITH_PULSES {
            return;
        }
        let pause = if repeats < QUICK {
            REPEAT * (1 << repeats)
        } else {
            self.rhythm.pulse
        };
        self.timers.set(Timer::Repeat, now + pause);
        if let Some(under) = self.promotion_to_prove() {
            self.show_proof(&under);
        }
        self.send_promotion(now);
        self.send_anchor(now);
    }

    /// A member says that it is the anchor now.
    pub(crate) fn on_promotion(
        &mut self,
        now: Time,
        frame: &Admitted<'_>,
        head: &Announcement,
    ) -> Option<()> {
        match self.judge_promotion(now, frame, head)? {
            Judgement::Follow => self.accept_promotion(now, frame, head),
            Judgement::Prefer => self.accept_better(now, frame, head),
            Judgement::Object => self.object(frame, ChainId(head.chain)),
            Judgement::Fenced => {
                self.counters.fenced += 1;
                None
            }
            Judgement::Ignore => None,
        }
    }

    pub(crate) fn judge_promotion(
        &self,
        now: Time,
        frame: &Admitted<'_>,
        head: &Announcement,
    ) -> Option<Judgement> {
        let claim = Claim {
            chain: ChainId(head.chain),
            parent: ChainId(head.parent),
            number: head.number,
            promoter: frame.sender,
        };
        let outranks = self.outranks_anchor(frame.sender);
        let judgement = judge(&self.standing(now)?, &claim, outranks);
        let ours = frame.chain == Some(claim.parent) && !self.witness.cheated(frame.sender);
        ours.then_some(judgement)
    }

    fn standing(&self, now: Time) -> Option<Standing> {
        let lineage = self.lineage.as_ref()?;
        Some(Standing {
            chain: lineage.chain,
            parent: lineage.parent.filter(|_| lineage.promoted),
            number: lineage.number,
            parent_number: lineage.parent_number,
            anchor: lineage.anchor,
            reigns: self.is_anchor(),
            lost: self.anchor_lost(now),
        })
    }

    /// Compared as between strangers: of two chains with one parent, promotions and beacons must name one winner.
    fn outranks_anchor(&self, id: NodeId) -> bool {
        let anchor = self.lineage.as_ref().map(|lineage| lineage.anchor);
        let rank = |id| Some(Rank::between(&self.roster.get(id)?.grant));
        let (other, own) = (rank(id), anchor.and_then(rank));
        other
            .zip(own)
            .is_some_and(|(other, own)| gives_way(&own, &other))
    }

    fn accept_promotion(
        &mut self,
        now: Time,
        frame: &Admitted<'_>,
        head: &Announcement,
    ) -> Option<()> {
        let old = self.lineage.clone()?;
        let reason = old.gone.map_or(Reason::Silence, |(_, reason)| reason);
        self.take_promotion(now, frame, head, &old, reason)
    }

    /// Of two promotions with one parent the better-ranked promoter's wins, also over one's own.
    fn accept_better(
        &mut self,
        now: Time,
        frame: &Admitted<'_>,
        head: &Announcement,
    ) -> Option<()> {
        let held = self.lineage.clone()?;
        if self.is_anchor() {
            self.retract(now);
        }
        let mut old = held.clone();
        old.number = held.parent_number;
        let succession = self.roster.succession().to_vec();
        self.take_promotion(now, frame, head, &old, Reason::Outranked)?;
        let lineage = self.lineage.as_mut()?;
        lineage.parent = held.parent;
        lineage.previous_pulse = held.previous_pulse;
        self.promotion = None;
        // The loser of the two stays a member.
        self.roster.set_succession(succession);
        self.redraft();
        self.check_roster(now);
        Some(())
    }

    fn take_promotion(
        &mut self,
        now: Time,
        frame: &Admitted<'_>,
        head: &Announcement,
        old: &Lineage,
        reason: Reason,
    ) -> Option<()> {
        let material = self.open_epoch(frame, head)?;
        self.exhibit(frame);
        self.rhythm = Rhythm::from_wire(head.pulse, head.epoch)?;
        let mut lineage = descendant(old, ChainId(head.chain), frame.sender, head.number, now);
        lineage.roster = RosterDigest(head.roster);
        self.succeed(now, old, lineage, material, reason);
        self.timers.set(Timer::Turn, now + self.rhythm.epoch);
        if self.join.is_some() {
            self.end_join();
        }
        let pause = self.between(Duration::ZERO, self.rhythm.pulses(1, 10));
        self.timers.set(Timer::Pulse, now + pause);
        self.check_roster(now);
        Some(())
    }

    /// The anchor lives: prove it to the promoter.
    pub(crate) fn object(&mut self, frame: &Admitted<'_>, chain: ChainId) -> Option<()> {
        if self.objected == Some(chain) && !self.is_anchor() {
            return None;
        }
        self.objected = Some(chain);
        let last = self.lineage.as_ref()?.last_pulse?;
        let key = self.keys.find(frame.key_id())?;
        let under = Under {
            material: key.material.clone(),
            chain: frame.chain,
        };
        self.counters.still_here_sent += 1;
        self.send(
            &under,
            frame.source,
            &StillHere {
                source: last.source,
                pulse: last.frame,
            },
        )
        .map(drop)
    }

    /// A member shows a pulse of the old anchor. If it is newer than the last one known here, the promotion
    /// was wrong.
    pub(crate) fn on_still_here(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        let body = StillHere::parse(frame.body())?;
        let promotion = self.promotion.as_ref().filter(|_| self.is_anchor())?;
        let header = Header::parse(&body.pulse)?;
        let known = promotion.old.last_pulse.map(|last| last.sequence);
        if header.frame_type != FrameType::Anchor
            || NodeId(header.sender) != promotion.old.anchor
            || !disproved(header.sequence, known)
        {
            return None;
        }
        let (signed, signature) = body.pulse.split_last_chunk::<SIGNATURE_LEN>()?;
        let message = signed_message(self.mesh, promotion.old.chain, &body.source, &GROUP, signed);
        let public_key = self.roster.get(promotion.old.anchor)?.grant.public_key();
        if !verify_strict(public_key, &message, signature) {
            self.counters.signature_failures += 1;
            return None;
        }
        if let Some(under) = self.promotion_to_prove() {
            return self.show_proof(&under);
        }
        self.step_back(now)
    }

    /// The parent's key, if its anchor was convicted: its members may not know yet.
    fn promotion_to_prove(&self) -> Option<Under> {
        let promotion = self.promotion.as_ref()?;
        let cheated = self.witness.cheated(promotion.old.anchor);
        cheated.then(|| promotion.under.clone())
    }

    /// Says that the own chain is over: at once, after 100 and 300 ms.
    fn retract(&mut self, now: Time) -> Option<()> {
        self.retraction = Some(Retraction {
            under: self.under_current(now)?,
            chain: self.lineage.as_ref()?.chain,
            copies: 0,
        });
        self.send_retraction(now)
    }

    pub(crate) fn send_retraction(&mut self, now: Time) -> Option<()> {
        let mut retraction = self.retraction.take()?;
        let (chain, reason) = (retraction.chain.0, bye::STEPPED_BACK);
        self.send(&retraction.under, GROUP, &Bye { chain, reason })?;
        if retraction.copies < 2 {
            self.timers
                .set(Timer::Retract, now + REPEAT * (1 << retraction.copies));
            retraction.copies += 1;
            self.retraction = Some(retraction);
        }
        Some(())
    }

    /// Gives the promotion up and takes the parent chain up again.
    fn step_back(&mut self, now: Time) -> Option<()> {
        self.retract(now);
        let promotion = self.promotion.take()?;
        let given_up = self.lineage.as_ref()?.chain;
        self.counters.steps_back += 1;
        self.event(Event::SteppedBack { chain: given_up });
        let mut ops = Vec::new();
        self.keys.end_before(given_up, u64::MAX, now, &mut ops);
        self.keys.revive(promotion.old.chain, self.rhythm, &mut ops);
        self.ops(ops);
        self.roster.set_succession(promotion.succession);
        self.timers.stop(Timer::Repeat);
        let old = Lineage {
            last_life: now,
            gone: None,
            ..promotion.old
        };
        let next = self.keys.next(old.chain, now).map(|key| key.activation);
        let current = self
            .keys
            .current(old.chain, now)
            .map(|key| key.end(self.rhythm));
        self.follow(now, old, Reason::SteppedBack);
        match next.or(current) {
            Some(at) => self.timers.set(Timer::Turn, at),
            None => self.start_join(now),
        }
        Some(())
    }
}

pub(crate) fn descendant(
    old: &Lineage,
    chain: ChainId,
    anchor: NodeId,
    number: u64,
    now: Time,
) -> Lineage {
    Lineage {
        parent: Some(old.chain),
        promoted: true,
        parent_number: old.number,
        previous_pulse: old.last_pulse.map(|last| last.at),
        ..Lineage::new(chain, anchor, number, now)
    }
}

const _: () = assert!(HEADER_LEN + 31 + SIGNATURE_LEN == crate::lineage::PULSE_LEN);
