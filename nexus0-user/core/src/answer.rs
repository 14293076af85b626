//! The anchor's desk: verify a request, answer it once, repeat the answer when asked again (R6, R13).

use core::time::Duration;
use std::collections::BTreeMap;

use nexus0_common::wire::{
    ANSWER_ENTRIES, ANSWER_ENTRY_LEN, Answer, AnswerEntry, GROUP, Hold, Request,
};
use x25519_dalek::{PublicKey, StaticSecret};

use crate::admission::Admitted;
use crate::election::Rank;
use crate::epoch::Rhythm;
use crate::grant::Grant;
use crate::id::{NodeId, RequestId};
use crate::join::{answer_context, request_id};
use crate::node::{Node, Role};
use crate::roster::Member;
use crate::rule::gives_way;
use crate::sabotage::{Sabotage, planted};
use crate::seal::{JoinBox, Welcome};
use crate::time::{Time, wire_millis};
use crate::timer::Timer;
use crate::version::Older;

/// Requests of this span share answers.
const GATHER: Duration = Duration::from_millis(20);
/// One answer is computed per node in this span.
const PER_NODE: Duration = Duration::from_secs(2);
/// How far above what was seen a joiner's sequence starts.
const FLOOR_STEP: u64 = 1 << 20;
/// Whatever was forged in a node's name, it can go on from here.
const MAX_FLOOR: u64 = 1 << 36;
/// Most requests waiting, answers remembered, joiners not yet heard and requesters remembered.
pub(crate) const MAX_ROWS: usize = 512;
/// Members that reply HOLD: the first in the one order.
const HOLDERS: usize = 3;
/// A request repeated so often is not being answered.
const REPEATED: u8 = 3;

/// A verified request.
#[derive(Clone, Debug)]
struct Applicant {
    node: NodeId,
    request: RequestId,
    ephemeral: [u8; 32],
}

/// An answer given.
#[derive(Clone, Debug)]
struct Answered {
    at: Time,
    request: RequestId,
    ephemeral: [u8; 32],
    number: u64,
    has_next: bool,
    floor: u64,
    /// Another request of this node was put off.
    held: bool,
    entry: [u8; ANSWER_ENTRY_LEN],
}

/// A request a member overheard.
#[derive(Clone, Debug)]
struct Overheard {
    at: Time,
    request: RequestId,
    times: u8,
    held: bool,
}

/// What the anchor, and a member for it, remembers of joiners.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    queue: Vec<Applicant>,
    answered: BTreeMap<NodeId, Answered>,
    overheard: BTreeMap<NodeId, Overheard>,
    last_batch: Option<Time>,
    /// Members whose roster entries are to be multicast.
    pub(crate) newcomers: Vec<NodeId>,
    /// A joiner waits for an older wire version.
    pub(crate) older: Option<Older>,
    /// When the whole roster was last multicast.
    pub(crate) last_pages: Option<Time>,
    /// When the next epoch was last multicast.
    pub(crate) last_announcement: Option<Time>,
}

impl Desk {
    /// Nobody waits for nodes that are out.
    pub(crate) fn expel(&mut self, void: &[NodeId]) {
        self.queue
            .retain(|applicant| !void.contains(&applicant.node));
        self.newcomers.retain(|id| !void.contains(id));
        self.answered.retain(|id, _| !void.contains(id));
        self.overheard.retain(|id, _| !void.contains(id));
    }

    /// Answers given so far speak of a chain that is over.
    pub(crate) fn start_over(&mut self) {
        self.answered.clear();
    }

    /// Table, rows, cap.
    pub(crate) fn tables(&self) -> Vec<(&'static str, usize, usize)> {
        vec![
            ("applicants", self.queue.len(), MAX_ROWS),
            ("answers", self.answered.len(), MAX_ROWS),
            ("requests overheard", self.overheard.len(), MAX_ROWS),
            ("newcomers", self.newcomers.len(), MAX_ROWS),
        ]
    }

    pub(crate) fn sweep(&mut self, now: Time, rhythm: Rhythm) {
        self.answered.retain(|_, row| now.since(row.at) < PER_NODE);
        self.overheard
            .retain(|_, row| now.since(row.at) < rhythm.pulse.max(PER_NODE));
    }
}

impl Node {
    /// Someone wants to come in.
    pub(crate) fn on_request(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        match self.role() {
            Role::Waiting | Role::Left | Role::Revoked => None,
            Role::Joining => self.note_candidate(now, frame),
            Role::Member => self.overhear(now, frame),
            Role::Anchor => self.receive_applicant(now, frame),
        }
    }

    fn receive_applicant(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        let body = Request::parse(frame.body())?;
        if planted(Sabotage::AnswerLate) && body.attempt < 5 {
            return None;
        }
        let request = request_id(frame.sender, &body.nonce, &body.ephemeral);
        if let Some(row) = self.desk.answered.get(&frame.sender)
            && now.since(row.at) < PER_NODE
        {
            let row = row.clone();
            return if row.request == request {
                self.repeat_answer(now, &row)
            } else {
                self.put_off(&row, frame, &body, request)
            };
        }
        if self
            .desk
            .queue
            .iter()
            .any(|other| other.node == frame.sender)
            || self.desk.queue.len() >= MAX_ROWS
            || self.desk.answered.len() >= MAX_ROWS
        {
            return None;
        }
        let grant = self.strangers_grant(&body.grant, frame.sender)?;
        if body.reigning > 0 && !gives_way(&Rank::between(&grant), &Rank::between(&self.grant)) {
            return None;
        }
        self.check_signature(frame, grant.public_key())?;
        if !self.understands(now, &body) {
            return self.make_way(now, &body);
        }
        self.counters.requests_verified += 1;
        self.admit_applicant(now, grant, body.highest)?;
        let (node, ephemeral) = (frame.sender, body.ephemeral);
        self.desk.queue.push(Applicant {
            node,
            request,
            ephemeral,
        });
        let rested = self
            .desk
            .last_batch
            .is_none_or(|at| now.since(at) >= GATHER);
        if rested {
            self.answer_batch(now);
        } else {
            self.timers.set_once(Timer::Batch, now + GATHER);
        }
        Some(())
    }

    /// A node that asks anew so soon, having started again, is told once that there is a mesh.
    fn put_off(
        &mut self,
        row: &Answered,
        frame: &Admitted<'_>,
        body: &Request,
        request: RequestId,
    ) -> Option<()> {
        if row.held {
            return None;
        }
        let grant = self.strangers_grant(&body.grant, frame.sender)?;
        self.check_signature(frame, grant.public_key())?;
        self.desk.answered.get_mut(&frame.sender)?.held = true;
        self.hold(frame.source, request)
    }

    fn hold(&mut self, destination: [u8; 16], request: RequestId) -> Option<()> {
        self.counters.holds_sent += 1;
        let grant = *self.grant.bytes();
        self.send_door(
            destination,
            &Hold {
                request: request.0,
                grant,
            },
        )
    }

    /// Makes a joiner known to the filter until it is heard.
    fn admit_applicant(&mut self, now: Time, grant: Grant, highest: u8) -> Option<()> {
        let id = grant.node_id();
        let until = now + self.rhythm.pulses(3, 1);
        let (pending, _) = self.pending();
        if self.roster.get(id).is_none() && pending >= MAX_ROWS && !self.evict_introduced() {
            return None;
        }
        let known = self.roster.succession().contains(&id);
        let same = self
            .roster
            .get(id)
            .is_some_and(|member| member.grant == grant && member.highest == highest);
        self.learn(now, grant, Some(highest));
        if known && !same {
            self.announce_newcomer(now, id);
        }
        let member = self.roster.get_mut(id)?;
        member.pending_until = (!known).then_some(until);
        member.introduced = false;
        Some(())
    }

    /// Computes answers for all who wait.
    pub(crate) fn answer_batch(&mut self, now: Time) {
        self.desk.last_batch = Some(now);
        let queue = core::mem::take(&mut self.desk.queue);
        for applicants in queue.chunks(ANSWER_ENTRIES) {
            self.answer(now, applicants);
        }
    }

    fn answer(&mut self, now: Time, applicants: &[Applicant]) -> Option<()> {
        let lineage = self
            .lineage
            .as_ref()
            .filter(|lineage| lineage.anchor == self.id)?;
        let (chain, number) = (lineage.chain, self.keys.current(lineage.chain, now)?.number);
        let has_next = self.keys.next(chain, now).is_some();
        let secret = StaticSecret::from(self.random::<32>());
        let ephemeral = PublicKey::from(&secret).to_bytes();
        let context = answer_context(chain.0, number);
        let mut entries = Vec::with_capacity(applicants.len());
        for Applicant {
            node,
            request,
            ephemeral: joiner_key,
        } in applicants.iter().cloned()
        {
            let names = JoinBox {
                mesh: self.mesh,
                request,
                anchor: self.id,
                joiner: node,
                anchor_key: ephemeral,
                joiner_key,
            };
            let Some(welcome) = self.welcome(now, node) else {
                continue;
            };
            let Some(sealed) = names.seal(&secret, &welcome, &context) else {
                continue;
            };
            let entry = AnswerEntry {
                request: request.0,
                joiner: node.0,
                sealed,
            }
            .bytes();
            let row = Answered {
                at: now,
                request,
                ephemeral,
                number,
                has_next,
                floor: welcome.floor,
                held: false,
                entry,
            };
            self.desk.answered.insert(node, row);
            self.counters.answers_computed += 1;
            entries.push(entry);
        }
        self.send_answer(now, ephemeral, number, has_next, &entries)
    }

    fn welcome(&self, now: Time, joiner: NodeId) -> Option<Welcome> {
        let chain = self.lineage.as_ref()?.chain;
        let floor = self.keys.highest(joiner).saturating_add(FLOOR_STEP);
        Some(Welcome {
            current: self.keys.current(chain, now)?.material.secret.clone(),
            next: self
                .keys
                .next(chain, now)
                .map(|key| key.material.secret.clone()),
            floor: floor.min(MAX_FLOOR),
        })
    }

    /// The same box again, unless the epoch it speaks of has turned.
    fn repeat_answer(&mut self, now: Time, row: &Answered) -> Option<()> {
        let chain = self.lineage.as_ref()?.chain;
        if self.keys.current(chain, now)?.number != row.number {
            return None;
        }
        self.send_answer(now, row.ephemeral, row.number, row.has_next, &[row.entry])
    }

    fn send_answer(
        &mut self,
        now: Time,
        ephemeral: [u8; 32],
        number: u64,
        has_next: bool,
        entries: &[[u8; ANSWER_ENTRY_LEN]],
    ) -> Option<()> {
        let chain = self.lineage.as_ref()?.chain;
        let current = self.keys.current(chain, now)?;
        let (wire, end) = (current.material.wire, current.end(self.rhythm));
        let next = self.keys.next(chain, now).filter(|_| has_next);
        let body = Answer {
            ephemeral,
            chain: chain.0,
            number,
            flags: u8::from(has_next),
            entries,
            epoch: wire_millis(self.rhythm.epoch),
            pulse: wire_millis(self.rhythm.pulse),
            remaining: wire_millis(end.since(now)),
            roster: self.roster.digest().unwrap_or_default().0,
            members: self.roster.succession().len() as u16,
            revocation: self.expulsion.list.number(),
            grant: *self.grant.bytes(),
            wire,
            next_wire: next.map_or(0, |key| key.material.wire),
        };
        self.counters.answers_sent += entries.len() as u64;
        if planted(Sabotage::AnswerTwice) {
            self.send_door(GROUP, &body);
        }
        self.send_door(GROUP, &body)
    }

    /// A member hears a request: is it its own anchor's, or one that nobody answers?
    fn overhear(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        let body = Request::parse(frame.body())?;
        if self.lineage.as_ref()?.anchor == frame.sender {
            return self.question_anchor(now, frame, &body);
        }
        let request = request_id(frame.sender, &body.nonce, &body.ephemeral);
        if !self.desk.overheard.contains_key(&frame.sender) && self.desk.overheard.len() >= MAX_ROWS
        {
            return None;
        }
        let fresh = Overheard {
            at: now,
            request,
            times: 0,
            held: false,
        };
        let row = self
            .desk
            .overheard
            .entry(frame.sender)
            .or_insert_with(|| fresh.clone());
        if row.request != request {
            *row = fresh;
        }
        row.at = now;
        row.times = row.times.saturating_add(1);
        let (times, held) = (row.times, row.held);
        if held || (times < REPEATED && !self.anchor_silent(now)) || self.own_rank(now) >= HOLDERS {
            return None;
        }
        let grant = self.strangers_grant(&body.grant, frame.sender)?;
        self.check_signature(frame, grant.public_key())?;
        self.desk.overheard.get_mut(&frame.sender)?.held = true;
        self.hold(frame.source, request)
    }

    /// A preemptor that has joined again knows nothing of its preemption. Not its request shows that, which anybody could
    /// have recorded, but a sequence above the floor in its answer.
    pub(crate) fn watch_returned(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        let row = self.desk.answered.get(&frame.sender)?;
        if frame.header.sequence > row.floor {
            self.drop_preemptor(now, frame.sender)?;
        }
        Some(())
    }

    /// A joiner under this anchor was heard under the epoch's key: it is a member now.
    pub(crate) fn confirm_newcomer(&mut self, now: Time, id: NodeId) -> Option<()> {
        let known = self.roster.get(id)?;
        let new = known.pending_until.is_some() || known.introduced;
        if !new && self.roster.succession().contains(&id) {
            return None;
        }
        let member: &mut Member = self.roster.get_mut(id)?;
        member.pending_until = None;
        let introduced = core::mem::take(&mut member.introduced);
        let shown = introduced && self.timers.is_set(Timer::Pages);
        if self.roster.append(id) && !shown {
            self.announce_newcomer(now, id);
        }
        Some(())
    }

    fn announce_newcomer(&mut self, now: Time, id: NodeId) {
        if !self.desk.newcomers.contains(&id) && self.desk.newcomers.len() < MAX_ROWS {
            self.desk.newcomers.push(id);
        }
        self.timers.set_once(Timer::Newcomers, now + GATHER);
    }
}
