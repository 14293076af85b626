//! Coming in: ask for the epoch, take the first good answer, move up to a better one.

use core::time::Duration;
use std::collections::BTreeMap;

use nexus0_common::wire::{Answer, AnswerEntry, GROUP, Hold, Request};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::admission::Admitted;
use crate::cold_start::Candidate;
use crate::election::Rank;
use crate::epoch::{EpochKey, Rhythm};
use crate::event::Reason;
use crate::filter::MapOp;
use crate::grant::Grant;
use crate::id::{ChainId, NodeId, RequestId, RosterDigest, first, sha256};
use crate::lineage::Lineage;
use crate::node::{Event, Node};
use crate::seal::{JoinBox, Welcome};
use crate::secret::Material;
use crate::time::Time;
use crate::timer::Timer;

/// How long a better anchor's answer may still come.
const MOVE_UP: Duration = Duration::from_millis(50);
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

/// An answer whose grant, signature and box verified.
struct Accepted<'a> {
    answer: Answer<'a>,
    grant: Grant,
    welcome: Welcome,
    rhythm: Rhythm,
    source: [u8; 16],
}

impl Node {
    /// Begins to ask. A node that was in a chain gives its anchor four pulses before it starts its own.
    pub(crate) fn start_join(&mut self, now: Time) {
        let (nonce, ephemeral) = (self.random(), StaticSecret::from(self.random::<32>()));
        let public = PublicKey::from(&ephemeral).to_bytes();
        let held = self
            .lineage
            .is_some()
            .then(|| now + self.rhythm.pulses(4, 1));
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
        self.op(MapOp::Joining(true));
        self.tell_own();
        if self.address.is_none() {
            return;
        }
        self.timers.set(Timer::Judge, now + SETTLING);
        self.request(now);
    }

    /// Asks, and sets the time to ask again.
    pub(crate) fn request(&mut self, now: Time) {
        let (lowest, highest) = (*self.config.wire.start(), *self.config.wire.end());
        let grant = *self.grant.bytes();
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
        let rank = Rank::between(&grant);
        if self.join.as_ref()?.taken.is_some_and(|taken| taken <= rank) {
            return None;
        }
        self.check_signature(frame, grant.public_key())?;
        let welcome = self.open_box(frame, &answer, &entry)?;
        let rhythm = Rhythm::from_wire(answer.pulse, answer.epoch)?;
        let next_wire = welcome
            .next
            .as_ref()
            .map_or(answer.wire, |_| answer.next_wire);
        if !self.speaks(answer.wire) || !self.speaks(next_wire) {
            return None;
        }
        if self.fence.refuses(ChainId(answer.chain), answer.number) {
            self.counters.fenced += 1;
            return None;
        }
        self.join.as_mut()?.taken = Some(rank);
        self.timers.stop(Timer::Request);
        self.timers.stop(Timer::Judge);
        self.timers.set(Timer::Welcome, now + MOVE_UP);
        self.enter(
            now,
            Accepted {
                answer,
                grant,
                welcome,
                rhythm,
                source: frame.source,
            },
        );
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

    /// Takes up the chain of an answer.
    fn enter(&mut self, now: Time, accepted: Accepted<'_>) {
        let Accepted {
            answer,
            grant,
            welcome,
            rhythm,
            source,
        } = accepted;
        let (chain, anchor, number) = (ChainId(answer.chain), grant.node_id(), answer.number);
        self.rhythm = rhythm;
        let remaining = Duration::from_millis(answer.remaining.into()).min(rhythm.epoch);
        let end = now + remaining;
        self.leave_lineage(now, Some(chain));
        let current = Material::derive(self.mesh, welcome.current).speaking(answer.wire);
        self.install_key(EpochKey::new(
            current,
            chain,
            number,
            end - rhythm.epoch,
            rhythm,
        ));
        if let Some(next) = welcome.next {
            self.take_next(
                Material::derive(self.mesh, next).speaking(answer.next_wire),
                number.saturating_add(1),
                end,
                chain,
            );
        }
        self.sequence = self.sequence.max(welcome.floor);
        self.learn(now, grant, None);
        if let Some(member) = self.roster.get_mut(anchor) {
            member.address = Some(source);
        }
        let mut lineage = Lineage::new(chain, anchor, number, now);
        lineage.roster = RosterDigest(answer.roster);
        let elapsed = self
            .join
            .as_ref()
            .map_or(Duration::ZERO, |join| now.since(join.started));
        self.event(Event::Joined { elapsed, anchor });
        self.follow(now, lineage, Reason::Answer);
        self.timers.set(Timer::Turn, end);
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
        let until = now + self.rhythm.pulses(4, 1);
        self.join.as_mut()?.held = Some(until);
        Some(())
    }

    /// A grant from a frame, if it is of this mesh and names the sender.
    pub(crate) fn strangers_grant(&self, bytes: &[u8], sender: NodeId) -> Option<Grant> {
        if let Some(member) = self.roster.get(sender)
            && member.grant.bytes() == bytes
        {
            return Some(member.grant.clone());
        }
        Grant::parse(bytes, &self.root)
            .ok()
            .filter(|grant| grant.node_id() == sender)
    }
}

/// What an answer's boxes are bound to besides their key.
pub(crate) fn answer_context(chain: [u8; 8], number: u64) -> Vec<u8> {
    [chain, number.to_be_bytes()].concat()
}
