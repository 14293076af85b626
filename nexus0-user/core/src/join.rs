//! Coming in: ask for the epoch, take the first good answer, move up to a better one.

use core::time::Duration;
use std::collections::BTreeMap;

use nexus0_common::wire::{Answer, AnswerEntry, GROUP, Hold, Request};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::admission::Admitted;
use crate::cold_start::Candidate;
use crate::election::Rank;
use crate::epoch::Rhythm;
use crate::event::Reason;
use crate::filter::MapOp;
use crate::grant::Grant;
use crate::id::{ChainId, NodeId, RequestId, RosterDigest, first, sha256};
use crate::node::{Event, Node};
use crate::passage::Passage;
use crate::rule::gives_way;
use crate::sabotage::{Sabotage, planted};
use crate::seal::{JoinBox, Welcome};
use crate::time::Time;
use crate::timer::Timer;

/// How long a better anchor's answer may still come.
const MOVE_UP: Duration = Duration::from_millis(50);
/// A HOLD lasts beyond the time in which an anchor computes nothing more for a node, however short the pulse.
const SHORTEST_HOLD: Duration = Duration::from_millis(2_500);
/// Before this a joiner starts no chain.
pub(crate) const SETTLING: Duration = Duration::from_secs(1);

/// One attempt to come in.
pub(crate) struct Join {
    nonce: [u8; 16],
    ephemeral: StaticSecret,
    pub(crate) request: RequestId,
    pub(crate) started: Time,
    attempt: u8,
    /// A member said that there is a mesh: no cold start before this.
    pub(crate) held: Option<Time>,
    /// The answer taken.
    taken: Option<Rank>,
    pub(crate) candidates: BTreeMap<NodeId, Candidate>,
    /// When the last candidate proved that it lives.
    pub(crate) newest: Option<Time>,
}

impl core::fmt::Debug for Join {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Join({}, attempt {})", self.request, self.attempt)
    }
}

impl Join {
    fn ephemeral_key(&self) -> [u8; 32] {
        PublicKey::from(&self.ephemeral).to_bytes()
    }

    /// Whether an answer was taken.
    pub(crate) fn answered(&self) -> bool {
        self.taken.is_some()
    }
}

/// Names a request.
pub(crate) fn request_id(node: NodeId, nonce: &[u8; 16], ephemeral: &[u8; 32]) -> RequestId {
    RequestId(first(&sha256(&[
        b"nexus0 v1 request",
        &node.0,
        nonce,
        ephemeral,
    ])))
}

impl Node {
    /// Begins to ask. A node that was in a chain gives its anchor four pulses before it starts its own.
    pub(crate) fn start_join(&mut self, now: Time) {
        let held = self
            .lineage
            .is_some()
            .then(|| now + self.rhythm.pulses(4, 1));
        self.merge = None;
        self.open_join(now, held);
        if self.address.is_none() {
            return;
        }
        self.timers.set(Timer::Judge, now + SETTLING);
        self.request(now);
    }

    /// Makes ready to ask, under a fresh nonce and key.
    pub(crate) fn open_join(&mut self, now: Time, held: Option<Time>) {
        let (nonce, ephemeral) = (self.random(), StaticSecret::from(self.random::<32>()));
        let public = PublicKey::from(&ephemeral).to_bytes();
        self.join = Some(Join {
            nonce,
            ephemeral,
            request: request_id(self.id, &nonce, &public),
            started: now,
            attempt: 0,
            held,
            taken: None,
            candidates: BTreeMap::new(),
            newest: None,
        });
        self.timers.stop(Timer::Welcome);
        self.op(MapOp::Joining(true));
        self.tell_own();
    }

    /// Asks, and sets the time to ask again.
    pub(crate) fn request(&mut self, now: Time) {
        let (lowest, highest) = (*self.config.wire.start(), *self.config.wire.end());
        let grant = *self.grant.bytes();
        let reigning = self.reigning();
        let Some(join) = self.join.as_mut().filter(|join| join.taken.is_none()) else {
            return;
        };
        let attempt = join.attempt;
        join.attempt = attempt.saturating_add(1);
        let (nonce, ephemeral) = (join.nonce, join.ephemeral_key());
        let door_nonce = self.bind(attempt);
        let body = Request {
            door_nonce,
            nonce,
            ephemeral,
            grant,
            attempt,
            lowest,
            highest,
            reigning,
        };
        self.counters.requests_sent += 1;
        self.send_door(GROUP, &body);
        let pause = match attempt {
            0 => 80,
            1 => 120,
            _ => 160,
        };
        let pause = self.jittered(Duration::from_millis(pause), 20);
        self.timers.set(Timer::Request, now + pause);
    }

    /// The first good answer is taken, a better-ranked anchor's is preferred for a moment longer.
    pub(crate) fn on_answer(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        let answer = Answer::parse(frame.body())?;
        let request = self.join.as_ref()?.request;
        let entries = answer.entries.iter().filter_map(AnswerEntry::parse);
        let entry = entries
            .filter(|entry| entry.joiner == self.id.0)
            .find(|entry| entry.request == request.0)?;
        let grant = self.strangers_grant(&answer.grant, frame.sender)?;
        if self.witness.cheated(frame.sender) {
            return None;
        }
        let rank = Rank::between(&grant);
        if self.join.as_ref()?.taken.is_some_and(|taken| taken <= rank)
            || (self.asks_to_merge() && !gives_way(&Rank::between(&self.grant), &rank))
        {
            return None;
        }
        self.check_signature(frame, grant.public_key())?;
        let welcome = self.open_box(frame, &answer, &entry)?;
        let floor = welcome.floor;
        let passage = self.passage_of_answer(now, frame, &answer, grant, welcome)?;
        if self.fence.refuses(passage.chain, passage.number) {
            self.counters.fenced += 1;
            return None;
        }
        if !planted(Sabotage::ForgetFloor) {
            self.sequence = self.sequence.max(floor);
        }
        if self.asks_to_merge() {
            return self.prepare_handover(now, passage);
        }
        self.join.as_mut()?.taken = Some(rank);
        self.timers.stop(Timer::Request);
        self.timers.stop(Timer::Judge);
        self.timers.set(Timer::Welcome, now + MOVE_UP);
        self.come_in(now, passage);
        Some(())
    }

    fn open_box(
        &self,
        frame: &Admitted<'_>,
        answer: &Answer<'_>,
        entry: &AnswerEntry,
    ) -> Option<Welcome> {
        let join = self.join.as_ref()?;
        let names = JoinBox {
            mesh: self.mesh,
            request: join.request,
            anchor: frame.sender,
            joiner: self.id,
            anchor_key: answer.ephemeral,
            joiner_key: join.ephemeral_key(),
        };
        names.open(
            &join.ephemeral,
            &entry.sealed,
            &answer_context(answer.chain, answer.number),
        )
    }

    fn passage_of_answer(
        &self,
        now: Time,
        frame: &Admitted<'_>,
        answer: &Answer<'_>,
        grant: Grant,
        welcome: Welcome,
    ) -> Option<Passage> {
        let rhythm = Rhythm::from_wire(answer.pulse, answer.epoch)?;
        let remaining = Duration::from_millis(answer.remaining.into());
        Some(Passage {
            chain: ChainId(answer.chain),
            number: answer.number,
            end: now + remaining.min(rhythm.epoch),
            rhythm,
            current: self.usable(welcome.current, answer.wire)?,
            next: match welcome.next {
                Some(next) => Some(self.usable(next, answer.next_wire)?),
                None => None,
            },
            roster: RosterDigest(answer.roster),
            members: answer.members,
            revocation: answer.revocation,
            grant,
            source: frame.source,
        })
    }

    /// Takes up the chain of an answer.
    fn come_in(&mut self, now: Time, passage: Passage) {
        let anchor = passage.grant.node_id();
        let elapsed = self
            .join
            .as_ref()
            .map_or(Duration::ZERO, |join| now.since(join.started));
        self.event(Event::Joined { elapsed, anchor });
        self.enter(now, passage, Reason::Answer);
        self.pulse(now);
        self.check_roster(now);
    }

    /// The join is over.
    pub(crate) fn end_join(&mut self) {
        self.join = None;
        for timer in [Timer::Request, Timer::Judge, Timer::Welcome] {
            self.timers.stop(timer);
        }
        self.forget_beacons();
        self.tell_own();
        self.op(MapOp::Joining(false));
    }

    /// A member knows of a mesh whose anchor may be gone: wait for the next one, once.
    pub(crate) fn on_hold(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        let hold = Hold::parse(frame.body())?;
        let join = self.join.as_ref().filter(|join| join.held.is_none())?;
        if hold.request != join.request.0 {
            return None;
        }
        let grant = self.strangers_grant(&hold.grant, frame.sender)?;
        self.check_signature(frame, grant.public_key())?;
        let until = now + self.rhythm.pulses(4, 1).max(SHORTEST_HOLD);
        self.join.as_mut()?.held = Some(until);
        Some(())
    }

    /// Whether a grant counts here: neither void nor, in an open mesh, above what anybody may give itself.
    pub(crate) fn admits(&self, grant: &Grant) -> bool {
        !self.expulsion.list.voids(grant) && (!self.config.open || crate::open::fair(grant))
    }

    /// A grant from a frame, if it is of this mesh, counts here and names the sender.
    pub(crate) fn strangers_grant(&self, bytes: &[u8], sender: NodeId) -> Option<Grant> {
        if let Some(member) = self.roster.get(sender)
            && member.grant.bytes() == bytes
        {
            return Some(member.grant.clone());
        }
        Grant::parse(bytes, &self.root)
            .ok()
            .filter(|grant| grant.node_id() == sender && self.admits(grant))
    }
}

/// What an answer's boxes are bound to besides their key.
pub(crate) fn answer_context(chain: [u8; 8], number: u64) -> Vec<u8> {
    [chain, number.to_be_bytes()].concat()
}
