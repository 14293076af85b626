//! What does a node do about a revocation list? Learn it, act on it at once, pass it on, ask for it.

use core::time::Duration;

use nexus0_common::wire::{
    Ask, Beacon, DoorProbe, DoorReply, DoorRevoke, FrameType, GROUP, Revoke,
};

use crate::admission::Admitted;
use crate::cold_start::state;
use crate::event::Reason;
use crate::filter::MapOp;
use crate::grant::Grant;
use crate::id::{ChainId, NodeId};
use crate::membership::{ASK_AFTER, REPEAT, what};
use crate::merge::Rivals;
use crate::node::{Event, Node, Output};
use crate::rekey::Rekeying;
use crate::revocation::Revocations;
use crate::sabotage::{Sabotage, planted};
use crate::send::Under;
use crate::time::Time;
use crate::timer::Timer;

/// Copies heard of a list after which it need not be passed on.
const ENOUGH: u8 = 2;

/// First wire version whose pulses show the number.
const SHOWN_SINCE: u8 = 2;

/// The list held, and what is going on about it.
#[derive(Debug, Default)]
pub(crate) struct Expulsion {
    pub(crate) list: Revocations,
    /// How often the list was heard.
    copies: u8,
    /// Who shows another number: its low byte.
    differs: Option<(NodeId, u8)>,
    last_sent: Option<Time>,
    last_door: Option<Time>,
    /// An anchor with an older list that was asked whether it lives.
    outdated: Option<(Grant, [u8; 16])>,
}

impl Expulsion {
    /// As pulses show it.
    pub(crate) fn low_byte(&self) -> u8 {
        let [.., low] = self.list.number().to_be_bytes();
        low
    }
}

impl Node {
    /// Whether this node itself is out.
    pub(crate) fn revoked(&self) -> bool {
        self.expulsion.list.voids(&self.grant)
    }

    /// A list from this machine goes out at once.
    pub(crate) fn hand_in(&mut self, now: Time, bytes: &[u8]) {
        if let Some(more) = self.take_list(now, bytes) {
            match self.under_current(now) {
                Some(under) => self.spread_list(now, &under),
                None => drop(self.tell_strangers(now)),
            }
            self.act(now, more);
        }
    }

    /// Someone shows a list: a newer one is taken, an older one is answered.
    pub(crate) fn on_revoke(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        let number = Revoke::parse(frame.body())?.number;
        let held = self.expulsion.list.number();
        if number < held && frame.header.frame_type == FrameType::Revoke {
            self.pass_on_soon(now);
        }
        if number == held && frame.header.frame_type == FrameType::Revoke {
            self.expulsion.copies = self.expulsion.copies.saturating_add(1);
            if self.expulsion.copies >= ENOUGH {
                self.timers.stop(Timer::PassOn);
            }
        }
        if number <= held || planted(Sabotage::DeafToLists) {
            return None;
        }
        let more = self.take_list(now, frame.body())?;
        self.expulsion.copies = 1;
        self.pass_on_soon(now);
        self.act(now, more);
        Some(())
    }

    /// Keeps a newer list of the root's, and says whether it takes out more than the last one; `None` for any
    /// other. In an open mesh everybody is the root.
    fn take_list(&mut self, now: Time, bytes: &[u8]) -> Option<bool> {
        if self.config.open || Revoke::parse(bytes)?.number <= self.expulsion.list.number() {
            return None;
        }
        let Ok(list) = Revocations::parse(bytes, &self.root) else {
            self.counters.signature_failures += 1;
            return None;
        };
        let was_out = self.revoked();
        self.counters.revocations_taken += 1;
        self.event(Event::RevocationsTaken {
            number: list.number(),
            floor: list.floor(),
            revoked: list.revoked().iter().copied().collect(),
        });
        self.outputs
            .push_back(Output::Revocations(list.bytes().to_vec()));
        let held = &self.expulsion.list;
        let more = list.floor() > held.floor() || !list.revoked().is_subset(held.revoked());
        self.expulsion.list = list;
        self.expulsion.copies = 0;
        if was_out && !self.revoked() {
            self.return_home(now);
        }
        Some(more)
    }

    /// Those who are out go at once: from roster, succession, filter and everything that waits for them.
    fn act(&mut self, now: Time, more: bool) {
        if self.revoked() {
            return self.fall_silent();
        }
        let list = &self.expulsion.list;
        let void = self
            .roster
            .iter()
            .filter(|(id, member)| *id != self.id && list.voids(&member.grant));
        let void: Vec<NodeId> = void.map(|(id, _)| id).collect();
        self.desk.expel(&void);
        if let Some(join) = &mut self.join {
            join.candidates.retain(|id, _| !void.contains(id));
        }
        if !planted(Sabotage::KeepExpelled) {
            self.shut_out(&void);
        }
        // Also who fell silent long ago, and stands on no roster, may have kept the secret.
        let exposed = more || !void.is_empty();
        self.rekey.exposed |= exposed;
        let anchor = self.lineage.as_ref().map(|lineage| lineage.anchor);
        if anchor.is_some_and(|anchor| void.contains(&anchor)) {
            self.anchor_gone(now, Reason::Revoked);
        } else if self.is_anchor() && exposed && !planted(Sabotage::NeverBreak) {
            self.break_chain(now);
        }
        self.hasten_merge(now);
    }

    /// The filter may still know somebody from an earlier controller whom this one never met.
    fn shut_out(&mut self, void: &[NodeId]) {
        for id in void {
            self.forget(*id);
        }
        self.redraft();
        let named: Vec<NodeId> = self.expulsion.list.revoked().iter().copied().collect();
        for id in named {
            self.op(MapOp::RemovePeer(id));
        }
    }

    /// A node that is out says nothing more and holds no key.
    fn fall_silent(&mut self) {
        let number = self.expulsion.list.number();
        self.event(Event::Expelled { number });
        let mut ops = Vec::new();
        self.keys.clear(&mut ops);
        self.ops(ops);
        self.op(MapOp::Joining(false));
        let all: Vec<NodeId> = self.roster.iter().map(|(id, _)| id).collect();
        for id in all {
            self.forget(id);
        }
        self.timers.clear();
        self.join = None;
        self.promotion = None;
        self.rekey = Rekeying::default();
        self.abandon_merge();
        self.rivals = Rivals::default();
        self.lineage = None;
    }

    /// A newer list takes this node back.
    fn return_home(&mut self, now: Time) {
        if let Some(address) = self.address.take() {
            self.address_ready(now, address);
        }
    }

    fn pass_on_soon(&mut self, now: Time) {
        let pause = self.between(Duration::ZERO, self.rhythm.pulses(1, 5));
        self.timers.set_once(Timer::PassOn, now + pause);
    }

    /// Multicasts the list under the chain's key.
    pub(crate) fn send_list(&mut self, now: Time) -> Option<()> {
        let under = self.under_current(now)?;
        self.send_list_under(now, &under)
    }

    /// The list both ways: an insider can use up the sender's sequences under the chain's key, a stranger the
    /// rate at the door.
    pub(crate) fn spread_list(&mut self, now: Time, under: &Under) {
        self.send_list_under(now, under);
        self.tell_strangers(now);
    }

    fn send_list_under(&mut self, now: Time, under: &Under) -> Option<()> {
        let bytes = self.expulsion.list.bytes().to_vec();
        let list = Revoke::parse(&bytes)?;
        self.timers.stop(Timer::PassOn);
        self.expulsion.last_sent = Some(now);
        self.send(under, GROUP, &list).map(drop)
    }

    /// What a pulse shows of the list held: from wire version 2 on its number's low byte.
    pub(crate) fn shown_revocation(&self, now: Time) -> u8 {
        let wire = self.under_current(now).map(|under| under.material.wire);
        if wire.is_some_and(|wire| wire >= SHOWN_SINCE) {
            self.expulsion.low_byte()
        } else {
            0
        }
    }

    /// A pulse shows the low byte of its sender's number. Who seems to be behind asks, and so does the anchor.
    pub(crate) fn compare_low(&mut self, now: Time, frame: &Admitted<'_>, low: u8) {
        let ahead = low.wrapping_sub(self.expulsion.low_byte());
        let shown = frame.header.version >= SHOWN_SINCE;
        if shown && ahead != 0 && (ahead < 128 || self.is_anchor()) {
            self.expulsion.differs = Some((frame.sender, low));
            let pause = self.between(ASK_AFTER.0, ASK_AFTER.1);
            self.timers.set_once(Timer::AskRevocations, now + pause);
        }
    }

    /// The anchor names its whole number.
    pub(crate) fn compare_number(&mut self, now: Time, anchor: NodeId, number: u32) {
        if number < self.expulsion.list.number() {
            self.pass_on_soon(now);
        } else if number > self.expulsion.list.number() {
            let [.., low] = number.to_be_bytes();
            self.expulsion.differs = Some((anchor, low));
            let pause = self.between(ASK_AFTER.0, ASK_AFTER.1);
            self.timers.set_once(Timer::AskRevocations, now + pause);
        }
    }

    /// Asks, unless the difference is gone.
    pub(crate) fn ask_revocations(&mut self, now: Time) -> Option<()> {
        let (whom, low) = self.expulsion.differs.take()?;
        if low == self.expulsion.low_byte() {
            return None;
        }
        let address = self.roster.get(whom)?.address?;
        self.send_question(now, address)
    }

    fn send_question(&mut self, now: Time, address: [u8; 16]) -> Option<()> {
        let under = self.under_current(now)?;
        let number = u64::from(self.expulsion.list.number());
        let question = Ask {
            what: what::REVOCATIONS,
            held: number.to_be_bytes(),
        };
        self.counters.asks_sent += 1;
        self.send(&under, address, &question).map(drop)
    }

    /// Someone holds another list: the newer one is shown to all, at most every 100 ms.
    pub(crate) fn on_ask_revocations(
        &mut self,
        now: Time,
        frame: &Admitted<'_>,
        held: [u8; 8],
    ) -> Option<()> {
        let theirs = u64::from_be_bytes(held);
        let own = u64::from(self.expulsion.list.number());
        if theirs > own {
            return self.send_question(now, frame.source);
        }
        let last = self.expulsion.last_sent;
        let rested = last.is_none_or(|at| now.since(at) >= REPEAT);
        (theirs < own && rested).then(|| self.send_list(now))?
    }

    /// A BEACON shows its anchor's number, whatever the wire version. Whether it was answered for that: nobody
    /// gets two frames for one.
    pub(crate) fn read_revocation(
        &mut self,
        now: Time,
        frame: &Admitted<'_>,
        beacon: &Beacon,
    ) -> bool {
        self.compare_anchor(now, frame, beacon);
        self.notice_break(now, frame, beacon);
        self.compare_rival(now, frame, beacon).is_some()
    }

    /// The followed anchor's. One of an earlier epoch may be a replay and is not looked at.
    fn compare_anchor(&mut self, now: Time, frame: &Admitted<'_>, beacon: &Beacon) -> Option<()> {
        let lineage = self.lineage.as_ref()?;
        let current = ChainId(beacon.chain) == lineage.chain && beacon.number == lineage.number;
        let differs = beacon.revocation != self.expulsion.list.number();
        if frame.sender != lineage.anchor || !current || !differs {
            return None;
        }
        let grant = self.strangers_grant(&beacon.grant, frame.sender)?;
        self.check_signature(frame, grant.public_key())?;
        self.compare_number(now, frame.sender, beacon.revocation);
        Some(())
    }

    /// An anchor of another chain shows an older list. If it is out itself it is told at once, for its members'
    /// sake; otherwise when a nonce has come back.
    fn compare_rival(&mut self, now: Time, frame: &Admitted<'_>, beacon: &Beacon) -> Option<()> {
        let own = self.lineage.as_ref().map(|lineage| lineage.chain);
        let behind = beacon.revocation < self.expulsion.list.number();
        if !self.is_anchor() || !behind || own == Some(ChainId(beacon.chain)) || !self.may_tell(now)
        {
            return None;
        }
        self.question_rival(now, frame, beacon)
    }

    fn may_tell(&self, now: Time) -> bool {
        let last = self.expulsion.last_door;
        last.is_none_or(|at| now.since(at) >= self.rhythm.pulse)
    }

    fn question_rival(&mut self, now: Time, frame: &Admitted<'_>, beacon: &Beacon) -> Option<()> {
        let grant = Grant::parse(&beacon.grant, &self.root).ok()?;
        let grant = Some(grant).filter(|grant| grant.node_id() == frame.sender)?;
        self.check_signature(frame, grant.public_key())?;
        if self.expulsion.list.voids(&grant) {
            return self.tell_strangers(now);
        }
        let nonce = self.random();
        self.expulsion.outdated = Some((grant, nonce));
        let grant = *self.grant.bytes();
        self.send_door(frame.source, &DoorProbe { nonce, grant })
    }

    /// The other chain's anchor lives: its link gets the list.
    pub(crate) fn prove_outdated(
        &mut self,
        now: Time,
        frame: &Admitted<'_>,
        reply: &DoorReply,
    ) -> Option<()> {
        let (grant, nonce) = self.expulsion.outdated.as_ref()?;
        if grant.node_id() != frame.sender || *nonce != reply.nonce {
            return None;
        }
        let public_key = *grant.public_key();
        self.check_signature(frame, &public_key)?;
        self.expulsion.outdated = None;
        if reply.state == state::ANCHOR && self.may_tell(now) {
            self.tell_strangers(now)?;
        }
        Some(())
    }

    fn tell_strangers(&mut self, now: Time) -> Option<()> {
        let bytes = self.expulsion.list.bytes().to_vec();
        let list = DoorRevoke(Revoke::parse(&bytes)?);
        self.expulsion.last_door = Some(now);
        self.send_door(GROUP, &list)
    }

    /// The followed anchor fell silent and shows itself in a later chain: this node missed its break.
    fn notice_break(&mut self, now: Time, frame: &Admitted<'_>, beacon: &Beacon) -> Option<()> {
        let lineage = self.lineage.as_ref()?;
        let later = ChainId(beacon.chain) != lineage.chain && beacon.number > lineage.number;
        if frame.sender != lineage.anchor
            || !later
            || self.join.is_some()
            || self.is_anchor()
            || !self.anchor_silent(now)
        {
            return None;
        }
        let grant = self.strangers_grant(&beacon.grant, frame.sender)?;
        self.check_signature(frame, grant.public_key())?;
        let pause = self.between(Duration::ZERO, self.rhythm.pulses(1, 20));
        self.timers.set_once(Timer::Rejoin, now + pause);
        Some(())
    }

    /// Joins again what a beacon has shown, each in its own moment.
    pub(crate) fn rejoin(&mut self, now: Time) {
        if self.join.is_none() && !self.is_anchor() {
            self.event(Event::Rejoining);
            self.start_join(now);
        }
    }
}
