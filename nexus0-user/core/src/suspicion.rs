//! Is the anchor gone? Silence, own unanswered probes, and then the members' order (PROTOCOL section 6).

use core::time::Duration;
use std::collections::VecDeque;

use nexus0_common::wire::{DoorProbe, DoorReply, Probe, ProbeReply, Request};

use crate::admission::Admitted;
use crate::cold_start::state;
use crate::event::Reason;
use crate::node::{Event, Node};
use crate::rule::Silence;
use crate::sabotage::{Sabotage, planted};
use crate::time::Time;
use crate::timer::Timer;

/// Only the first so many still heard probe and promote themselves.
const CANDIDATES: usize = 16;
/// Ranks beyond this wait no longer.
const MAX_STAGGERS: usize = 8;
/// Least wait per rank once an anchor is expelled: those who follow a promotion then hear no better one.
const APART: Duration = Duration::from_millis(50);
/// Nonces of probes that may still be answered.
const MAX_NONCES: usize = 16;

/// What is being done about a silent anchor.
#[derive(Debug, Default)]
pub(crate) struct Suspicion {
    nonces: VecDeque<[u8; 16]>,
    unanswered: u32,
    next_probe: Option<Time>,
    jitter: Option<Duration>,
    /// Nonce of the question to an anchor that asked to join.
    door_nonce: Option<[u8; 16]>,
}

impl Suspicion {
    /// The anchor lives.
    pub(crate) fn calm(&mut self) {
        *self = Self::default();
    }
}

impl Node {
    /// Whether the anchor has missed a pulse or said that it is none.
    pub(crate) fn anchor_silent(&self, now: Time) -> bool {
        let life = self.lineage.as_ref().map(|lineage| lineage.last_life);
        life.and_then(|life| self.silence(now, life))
            .is_some_and(|silence| silence.suspect(self.rhythm))
    }

    /// Whether the anchor has missed two pulses here, jitter allowed for, or said that it is none. What others
    /// have shown of it does not count: when they lose it too, this node must follow with them.
    pub(crate) fn anchor_lost(&self, now: Time) -> bool {
        let heard = self.lineage.as_ref().map(|lineage| lineage.last_heard);
        heard
            .and_then(|heard| self.silence(now, heard))
            .is_some_and(|silence| silence.lost(self.rhythm))
    }

    fn silence(&self, now: Time, since: Time) -> Option<Silence> {
        let lineage = self.lineage.as_ref()?;
        Some(Silence {
            span: now.since(since),
            gone: lineage.gone.is_some(),
        })
    }

    /// How many members still heard, without the anchor, rank above this node.
    pub(crate) fn own_rank(&self, now: Time) -> usize {
        if planted(Sabotage::FirstHeard) {
            return 0;
        }
        let Some(own) = self.roster.rank(self.id) else {
            return usize::MAX;
        };
        let recent = self.rhythm.pulses(5, 2);
        let anchor = self.lineage.as_ref().map(|lineage| lineage.anchor);
        self.roster
            .iter()
            .filter(|(id, _)| Some(*id) != anchor && *id != self.id)
            .filter(|(id, _)| !self.witness.cheated(*id))
            .filter(|(_, member)| member.last_heard.is_some_and(|at| now.since(at) <= recent))
            .filter(|(id, _)| self.roster.rank(*id).is_some_and(|rank| rank < own))
            .count()
    }

    /// Looks at the silence: probes, waits, promotes.
    pub(crate) fn suspect(&mut self, now: Time) {
        if self.is_anchor() || self.address.is_none() {
            return;
        }
        let Some(lineage) = &self.lineage else { return };
        let (last_life, gone) = (lineage.last_life, lineage.gone);
        let missed = last_life + self.rhythm.pulses(5, 4);
        if gone.is_none() && now < missed {
            self.timers.set(Timer::Suspect, missed);
            return;
        }
        let tick = now + self.rhythm.pulses(1, 5);
        let rank = self.own_rank(now);
        if rank >= CANDIDATES {
            self.timers.set(Timer::Suspect, tick);
            return;
        }
        if gone.is_none() {
            self.probe_when_due(now, last_life);
        }
        let from = if planted(Sabotage::PromoteUnprobed) {
            last_life
        } else {
            self.promotion_base(now, last_life, gone.map(|(at, _)| at))
        };
        let promote_at = from + self.stagger(rank);
        let ready = self.silence(now, last_life).is_some_and(|silence| {
            silence.over(self.rhythm) && silence.proved(self.suspicion.unanswered)
        });
        if now >= promote_at && ready {
            self.promote(now);
            return;
        }
        let next = self.suspicion.next_probe.unwrap_or(tick);
        let wake = if promote_at > now {
            next.min(promote_at)
        } else {
            next
        };
        self.timers
            .set(Timer::Suspect, wake.max(now + Duration::from_millis(1)));
    }

    /// When the wait by rank begins. Who was stalled, or hears nobody, listens first.
    fn promotion_base(&self, now: Time, last_life: Time, gone: Option<Time>) -> Time {
        if let Some(at) = gone {
            return at;
        }
        let silent = (last_life + self.rhythm.pulses(3, 1)).max(self.stalled_until);
        let heard = self.heard.unwrap_or(last_life);
        let alone = now.since(heard) > self.rhythm.pulses(2, 1);
        if alone {
            silent.max(heard + self.rhythm.pulses(4, 1))
        } else {
            silent
        }
    }

    fn stagger(&mut self, rank: usize) -> Duration {
        let jitter = match self.suspicion.jitter {
            Some(jitter) => jitter,
            None => self.between(Duration::ZERO, self.rhythm.pulses(1, 40)),
        };
        self.suspicion.jitter = Some(jitter);
        let steps = rank.min(MAX_STAGGERS) as u32;
        let expelled = matches!(
            self.lineage.as_ref().and_then(|lineage| lineage.gone),
            Some((_, Reason::Revoked))
        );
        let apart = if expelled { APART } else { Duration::ZERO };
        self.rhythm
            .pulses(1, 20)
            .max(apart)
            .saturating_mul(steps)
            .saturating_add(jitter)
    }

    fn probe_when_due(&mut self, now: Time, since: Time) {
        match self.suspicion.next_probe {
            Some(due) if now < due => return,
            Some(_) => {}
            None => self.event(Event::AnchorSilent { since }),
        }
        self.suspicion.next_probe = Some(now + self.rhythm.pulses(1, 5));
        self.probe(now);
    }

    fn probe(&mut self, now: Time) -> Option<()> {
        self.suspicion.unanswered = self.suspicion.unanswered.saturating_add(1);
        let nonce = self.random();
        if self.suspicion.nonces.len() >= MAX_NONCES {
            self.suspicion.nonces.pop_front();
        }
        self.suspicion.nonces.push_back(nonce);
        let anchor = self.lineage.as_ref()?.anchor;
        let address = self.roster.get(anchor)?.address?;
        let under = self.under_current(now)?;
        self.counters.probes_sent += 1;
        self.send(&under, address, &Probe { nonce }).map(drop)
    }

    /// Someone asks whether this node lives, and what it is in the chain of the key asked under.
    pub(crate) fn on_probe(&mut self, _now: Time, frame: &Admitted<'_>) -> Option<()> {
        let probe = Probe::parse(frame.body())?;
        let key = self.keys.find(frame.key_id())?;
        let under = crate::send::Under {
            material: key.material.clone(),
            chain: frame.chain,
        };
        let reigns = self.is_anchor() && self.lineage.as_ref().map(|own| own.chain) == frame.chain;
        let state = if reigns { state::ANCHOR } else { state::MEMBER };
        self.send(
            &under,
            frame.source,
            &ProbeReply {
                nonce: probe.nonce,
                state,
            },
        )
        .map(drop)
    }

    /// The anchor answered a probe.
    pub(crate) fn on_probe_reply(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        let reply = ProbeReply::parse(frame.body())?;
        let lineage = self.lineage.as_ref()?;
        let asked = self.suspicion.nonces.contains(&reply.nonce);
        if !asked || frame.sender != lineage.anchor || frame.chain != Some(lineage.chain) {
            return None;
        }
        if reply.state == state::ANCHOR {
            self.life(now, frame)
        } else {
            self.anchor_gone(now, Reason::Stateless)
        }
    }

    /// The anchor asks to join: has it lost its state?
    pub(crate) fn question_anchor(
        &mut self,
        _now: Time,
        frame: &Admitted<'_>,
        request: &Request,
    ) -> Option<()> {
        if self.lineage.as_ref()?.gone.is_some() || request.reigning > 0 {
            return None;
        }
        let grant = self.strangers_grant(&request.grant, frame.sender)?;
        self.check_signature(frame, grant.public_key())?;
        let nonce = self.probe_nonce();
        self.suspicion.door_nonce = Some(nonce);
        self.send_door(
            frame.source,
            &DoorProbe {
                nonce,
                grant: *self.grant.bytes(),
            },
        )
    }

    /// The anchor replied over a nonce of ours that it is none any more.
    pub(crate) fn prove_stateless(
        &mut self,
        now: Time,
        frame: &Admitted<'_>,
        reply: &DoorReply,
    ) -> Option<()> {
        let anchor = self.lineage.as_ref().map(|lineage| lineage.anchor)?;
        if frame.sender != anchor || self.suspicion.door_nonce != Some(reply.nonce) {
            return None;
        }
        let public_key = *self.roster.get(anchor)?.grant.public_key();
        self.check_signature(frame, &public_key)?;
        self.suspicion.door_nonce = None;
        if reply.state != state::ANCHOR {
            self.event(Event::Stateless { anchor });
            self.anchor_gone(now, Reason::Stateless)?;
        }
        Some(())
    }

    /// The anchor said, over its signature, that it is none any more.
    pub(crate) fn anchor_gone(&mut self, now: Time, reason: Reason) -> Option<()> {
        let lineage = self
            .lineage
            .as_mut()
            .filter(|lineage| lineage.gone.is_none())?;
        lineage.gone = Some((now, reason));
        self.timers.set(Timer::Suspect, now);
        self.suspect(now);
        Some(())
    }
}
