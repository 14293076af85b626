//! A higher ego takes over from a living anchor: announced two turns ahead, so that nobody's frame is lost.
//!
//! ```text
//!                own preemption sent, or another's taken
//!   quiet ------------------------------------------------> pending
//!    ^  ^                                                     |  |
//!    |  +--- the anchor announced that number itself, --------+  |
//!    |       another chain was entered, or the epoch             | the epoch before it ended,
//!    |       ended without a pulse that names it                 | the anchor's pulse named it
//!    |                                                           v
//!    +---------------------------------------------- the preemptor's chain
//! ```
//!
//! The incumbent has the last word: its pulses in the epoch before name the key that follows. It drops a
//! preemptor that fell silent by announcing the number itself. So all members decide by one node's signed word.

use core::time::Duration;

use nexus0_common::wire::{Announcement, GROUP, Pulse};

use crate::admission::Admitted;
use crate::epoch::{EpochKey, Rhythm};
use crate::event::Reason;
use crate::id::{ChainId, KeyId, NodeId};
use crate::lineage::Lineage;
use crate::node::{Event, Node};
use crate::time::{Time, part};
use crate::timer::Timer;
use crate::turn::PREEMPTION;

/// Most doublings of the hold-down.
const MAX_LEVEL: u32 = 5;
/// A change of anchor within so many hold-downs of the one before doubles the next.
const CALM: u32 = 10;

/// An announced change of anchor.
#[derive(Clone, Debug)]
pub(crate) struct Preemption {
    /// Who takes over.
    pub(crate) by: NodeId,
    /// Its chain.
    pub(crate) chain: ChainId,
    /// Its chain's first number.
    pub(crate) number: u64,
    /// Names its first key.
    pub(crate) key_id: KeyId,
    /// When.
    pub(crate) activation: Time,
    /// How often the preemptor has repeated it.
    pub(crate) repeats: u8,
}

/// How long anchors last: since when this one reigns, and how often it was restless before.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HoldDown {
    base: Duration,
    pub(crate) anchor: Option<NodeId>,
    pub(crate) since: Time,
    pub(crate) level: u32,
}

impl HoldDown {
    /// Nothing was seen yet.
    pub(crate) fn new(base: Duration) -> Self {
        Self {
            base,
            anchor: None,
            since: Time(0),
            level: 0,
        }
    }

    /// How long a living anchor is safe from a higher ego.
    pub(crate) fn span(&self) -> Duration {
        self.base.saturating_mul(1 << self.level.min(MAX_LEVEL))
    }

    /// An anchor is followed. Changes in quick succession double the span.
    pub(crate) fn note(&mut self, now: Time, anchor: NodeId) {
        if self.anchor == Some(anchor) {
            return;
        }
        let restless =
            self.anchor.is_some() && now.since(self.since) < self.span().saturating_mul(CALM);
        self.level = if restless {
            self.level.saturating_add(1).min(MAX_LEVEL)
        } else {
            0
        };
        self.anchor = Some(anchor);
        self.since = now;
    }

    /// When it is over for a node that came in at `entry`.
    pub(crate) fn over(&self, entry: Time) -> Time {
        self.since.max(entry) + self.span()
    }
}

/// What a node holds when it hears of a preemption.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reign {
    /// The chain it is in.
    pub(crate) chain: ChainId,
    /// The current number.
    pub(crate) number: u64,
    /// What is left of the current epoch.
    pub(crate) remaining: Duration,
    /// Pulse and epoch.
    pub(crate) rhythm: Rhythm,
    /// The anchor's ego.
    pub(crate) ego: u8,
    /// The key that the anchor's newest pulse of this epoch names as the next.
    pub(crate) named: KeyId,
    /// Whether a preemption for the coming turn is held already.
    pub(crate) decided: bool,
}

/// A member says that it takes over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bid {
    /// Its chain.
    pub(crate) chain: ChainId,
    /// The chain it succeeds.
    pub(crate) parent: ChainId,
    /// The number it starts with.
    pub(crate) number: u64,
    /// Names the key it starts with.
    pub(crate) key_id: KeyId,
    /// When it starts.
    pub(crate) activates_in: Duration,
    /// Its ego, by its grant.
    pub(crate) ego: u8,
    /// Whether it stands in the succession.
    pub(crate) listed: bool,
}

/// How long until a preemption takes over; `None` if it is refused.
pub(crate) fn accepts_preemption(own: &Reign, bid: &Bid) -> Option<Duration> {
    let fits = bid.parent == own.chain
        && bid.chain != own.chain
        && bid.chain != ChainId::default()
        && bid.listed
        && bid.ego > own.ego;
    let ahead = bid.number.checked_sub(own.number)?;
    let due = match ahead {
        2 if !own.decided => own.remaining.saturating_add(own.rhythm.epoch),
        // Repeated in the epoch before: only what the anchor has agreed to.
        1 if own.named == bid.key_id => own.remaining,
        _ => return None,
    };
    let punctual = due.abs_diff(bid.activates_in) <= own.rhythm.grace();
    (fits && punctual).then_some(due)
}

impl Node {
    /// The key that follows the current one: the chain's own, or a preemptor's.
    pub(crate) fn following_key(&self, now: Time) -> Option<&EpochKey> {
        let lineage = self.lineage.as_ref()?;
        let pending = self.preemption.as_ref();
        let coming = pending.filter(|pending| pending.number == lineage.number.saturating_add(1));
        self.keys
            .next(lineage.chain, now)
            .or_else(|| self.keys.find(coming?.key_id))
    }

    /// Whether the end of the current epoch is a preemptor's beginning, as far as is known.
    pub(crate) fn yields(&self) -> bool {
        let number = self.lineage.as_ref().map_or(0, |lineage| lineage.number);
        let pending = self.preemption.as_ref();
        pending.is_some_and(|pending| pending.number == number.saturating_add(1))
    }

    /// The best-ranked living member with a higher ego than the anchor.
    pub(crate) fn heir(&self, now: Time) -> Option<NodeId> {
        let anchor = self.lineage.as_ref()?.anchor;
        let ego = self.roster.get(anchor)?.grant.ego();
        let recent = self.rhythm.pulses(5, 2);
        let heard = |at: Option<Time>| at.is_some_and(|at| now.since(at) <= recent);
        self.roster
            .iter()
            .filter(|(id, member)| *id == self.id || heard(member.last_heard))
            .filter(|(id, member)| member.grant.ego() > ego && !self.witness.cheated(*id))
            .filter(|(id, _)| self.roster.succession().contains(id))
            .filter_map(|(id, _)| Some((self.roster.rank(id)?, id)))
            .min()
            .map(|(_, id)| id)
    }

    /// The anchor has announced its next epoch: the moment to announce the one after it.
    pub(crate) fn consider_preemption(&mut self, now: Time) -> Option<()> {
        let lineage = self.lineage.as_ref()?;
        if lineage.gone.is_some() || self.join.is_some() || self.heir(now) != Some(self.id) {
            return None;
        }
        let ready = now >= self.hold_down.over(lineage.since) && self.complete();
        match self.preemption.as_mut() {
            Some(pending) if pending.by == self.id => pending.repeats = 0,
            _ if !ready => return None,
            _ => self.bid(now)?,
        }
        self.send_preemption(now);
        self.timers
            .set(Timer::Preempt, now + Duration::from_millis(100));
        Some(())
    }

    /// Draws the secret of an own chain that begins where the announced epoch ends.
    fn bid(&mut self, now: Time) -> Option<()> {
        let chain = self.lineage.as_ref()?.chain;
        let next = self.keys.next(chain, now)?;
        let (number, at) = (next.number.checked_add(1)?, next.end(self.rhythm));
        let (chain, material) = (ChainId(self.random()), self.fresh_material(now));
        let key = EpochKey::new(material, chain, number, at, self.rhythm);
        self.counters.preemptions += 1;
        self.pend(self.id, key);
        Some(())
    }

    fn pend(&mut self, by: NodeId, key: EpochKey) {
        self.forget_preemption();
        let (chain, number, activation) = (key.chain, key.number, key.activation);
        self.preemption = Some(Preemption {
            by,
            chain,
            number,
            key_id: key.material.id,
            activation,
            repeats: 0,
        });
        self.install_key(key);
        self.event(Event::PreemptionAnnounced { by, number });
    }

    pub(crate) fn send_preemption(&mut self, now: Time) -> Option<()> {
        let pending = self.preemption.as_ref()?;
        let under = self.under_current(now)?;
        let key = self.keys.find(pending.key_id)?.clone();
        self.desk.last_announcement = Some(now);
        let body = self.epoch_body(now, &under, &key, under.chain, PREEMPTION)?;
        self.send(&under, GROUP, &body).map(drop)
    }

    /// Once more: after 100 and 300 ms, and at 1/2 and 3/4 of the epoch before.
    pub(crate) fn repeat_preemption(&mut self, now: Time) {
        let own = self.id;
        let epoch = self.rhythm.epoch;
        let Some(pending) = self.preemption.as_mut().filter(|held| held.by == own) else {
            return;
        };
        pending.repeats = pending.repeats.saturating_add(1);
        let (repeats, end) = (pending.repeats, pending.activation);
        let marks = [(1, 2), (1, 4)].map(|(over, under)| end - part(epoch, over, under));
        let next = match repeats {
            1 => Some(now + Duration::from_millis(200)),
            _ => marks.into_iter().find(|at| *at > now),
        };
        if let Some(at) = next {
            self.timers.set(Timer::Preempt, at);
        }
        self.send_preemption(now);
    }

    /// A newcomer may have missed the announcement.
    pub(crate) fn repeat_for_newcomer(&mut self, now: Time) {
        let own = self
            .preemption
            .as_ref()
            .is_some_and(|held| held.by == self.id);
        if own {
            self.timers
                .bring_forward(Timer::Preempt, now + self.rhythm.pulses(1, 10));
        }
    }

    /// A member that names no key for the coming turn came in after all was said: the anchor's next pulse, then
    /// the preemptor's announcement, come early.
    pub(crate) fn catch_up(&mut self, now: Time, pulse: &Pulse) -> Option<()> {
        if pulse.next_key != [0; 4] || !self.yields() {
            return None;
        }
        if !self.is_anchor() {
            self.repeat_for_newcomer(now);
            return Some(());
        }
        let last = self.lineage.as_ref()?.last_pulse.as_ref()?.at;
        let soon = (now + self.rhythm.pulses(1, 20)).max(last + self.rhythm.pulses(1, 5));
        self.timers.bring_forward(Timer::Pulse, soon);
        Some(())
    }

    /// A member says that it takes over after the next turn.
    pub(crate) fn on_preemption(
        &mut self,
        now: Time,
        frame: &Admitted<'_>,
        head: &Announcement,
    ) -> Option<()> {
        let (chain, key_id) = (ChainId(head.chain), KeyId(head.key_id));
        let reign = self.reign_of(now)?;
        if frame.chain != Some(reign.chain) || self.keys.find(key_id).is_some() {
            return None;
        }
        let bid = Bid {
            chain,
            parent: ChainId(head.parent),
            number: head.number,
            key_id,
            activates_in: Duration::from_millis(head.activates_in.into()),
            ego: self.roster.get(frame.sender)?.grant.ego(),
            listed: self.roster.succession().contains(&frame.sender),
        };
        let due = accepts_preemption(&reign, &bid)?;
        let named = reign.named == key_id;
        if self.witness.cheated(frame.sender)
            || !(named || self.prefers(frame.sender))
            || (self.is_anchor() && !self.tolerates(now))
        {
            return None;
        }
        let material = self.open_epoch(frame, head)?;
        self.exhibit(frame);
        let key = EpochKey::new(material, chain, head.number, now + due, self.rhythm);
        self.pend(frame.sender, key);
        Some(())
    }

    /// What this node holds against a preemption.
    pub(crate) fn reign_of(&self, now: Time) -> Option<Reign> {
        let lineage = self.lineage.as_ref()?;
        let current = self.keys.current(lineage.chain, now)?;
        let named = lineage
            .named
            .filter(|(under, _)| *under == current.material.id);
        Some(Reign {
            chain: lineage.chain,
            number: current.number,
            remaining: current.end(self.rhythm).since(now),
            rhythm: self.rhythm,
            ego: self.roster.get(lineage.anchor)?.grant.ego(),
            named: named.map_or(KeyId::default(), |(_, next)| next),
            decided: self.yields(),
        })
    }

    /// Of two preemptors the better-ranked one wins.
    fn prefers(&self, by: NodeId) -> bool {
        let held = self.preemption.as_ref();
        let held = held.and_then(|pending| self.roster.rank(pending.by));
        let rank = self.roster.rank(by);
        held.is_none_or(|held| rank.is_some_and(|rank| rank < held))
    }

    /// The anchor agrees once its own hold-down is over and its next epoch is announced.
    fn tolerates(&self, now: Time) -> bool {
        let Some(lineage) = &self.lineage else {
            return false;
        };
        let announced = self.keys.next(lineage.chain, now).is_some();
        announced && now >= self.hold_down.over(lineage.since)
    }

    /// The anchor goes on if the preemptor has missed three pulses or is no member any more.
    pub(crate) fn watch_preemptor(&mut self, now: Time) {
        let Some(by) = self.preemption.as_ref().map(|pending| pending.by) else {
            return;
        };
        let limit = self.rhythm.pulses(3, 1);
        let heard = self.roster.get(by).and_then(|member| member.last_heard);
        let lives = heard.is_some_and(|at| now.since(at) <= limit);
        if !lives || !self.roster.succession().contains(&by) {
            self.drop_preemptor(now, by);
        }
    }

    /// The anchor announces by itself what a preemptor had announced.
    pub(crate) fn drop_preemptor(&mut self, now: Time, by: NodeId) -> Option<()> {
        self.preemption.as_ref().filter(|held| held.by == by)?;
        let coming = self.yields();
        self.forget_preemption();
        self.event(Event::PreemptionDropped { by });
        let chain = self.lineage.as_ref()?.chain;
        let half = self.keys.current(chain, now)?.end(self.rhythm) - self.rhythm.epoch / 2;
        if coming && self.is_anchor() && now >= half {
            self.announce(now);
        }
        Some(())
    }

    /// Nobody takes over.
    pub(crate) fn forget_preemption(&mut self) {
        let Some(pending) = self.preemption.take() else {
            return;
        };
        self.timers.stop(Timer::Preempt);
        let mut ops = Vec::new();
        self.keys.remove(pending.key_id, &mut ops);
        self.ops(ops);
    }

    /// The epoch before a preemption is over: everyone follows if the anchor named it.
    pub(crate) fn turn_to_preemptor(&mut self, now: Time) -> Option<()> {
        let number = self.lineage.as_ref()?.number.saturating_add(1);
        let pending = self.preemption.take_if(|held| held.number <= number)?;
        let named = self.is_anchor() || self.reign_of(now)?.named == pending.key_id;
        let key = self.keys.find(pending.key_id).cloned();
        // Who slept through it for so long has been succeeded itself, or what it follows has.
        let late = now.since(pending.activation) > self.rhythm.pulses(3, 1);
        let Some(key) = key.filter(|_| named && !late && pending.number == number) else {
            self.preemption = Some(pending);
            self.forget_preemption();
            return None;
        };
        self.succeed_as_announced(now, &pending, key)
    }

    /// Make before break: both keys are honoured for the grace.
    fn succeed_as_announced(
        &mut self,
        now: Time,
        pending: &Preemption,
        key: EpochKey,
    ) -> Option<()> {
        let old = self.lineage.clone()?;
        let start = key.activation.min(now);
        let (end, mut ops) = (now + self.rhythm.grace(), Vec::new());
        self.keys.end_before(old.chain, u64::MAX, end, &mut ops);
        self.ops(ops);
        self.install_key(EpochKey::new(
            key.material,
            key.chain,
            key.number,
            start,
            self.rhythm,
        ));
        // What the old anchor has announced itself it holds.
        let own = self.roster.digest().filter(|_| old.anchor == self.id);
        let roster = own.unwrap_or(old.roster);
        self.promotion = None;
        self.timers.stop(Timer::Repeat);
        self.timers.stop(Timer::Preempt);
        self.counters.turns += 1;
        let lineage = Lineage {
            parent: Some(old.chain),
            parent_number: old.number,
            previous_pulse: old.last_pulse.map(|last| last.at),
            roster,
            ..Lineage::new(pending.chain, pending.by, pending.number, now)
        };
        self.follow(now, lineage, Reason::Preemption);
        if self.join.is_some() {
            self.end_join();
        }
        if self.is_anchor() {
            self.reign(now);
        } else {
            self.schedule_epoch(now);
            self.check_roster(now);
        }
        Some(())
    }
}
