//! MERGE: an anchor gives its followers the winner's epoch, and they take it from their own anchor only.

use core::time::Duration;

use nexus0_common::wire::cursor::Writer;
use nexus0_common::wire::{Ask, Body, GROUP, Merge as MergeBody};

use crate::admission::Admitted;
use crate::election::Rank;
use crate::epoch::Rhythm;
use crate::event::Reason;
use crate::grant::{Grant, peek_node_id};
use crate::id::{ChainId, NodeId, RosterDigest};
use crate::membership::{ASK_AFTER, what};
use crate::merge::Merge;
use crate::node::Node;
use crate::passage::Passage;
use crate::rule::gives_way;
use crate::seal::EpochSeal;
use crate::send::Under;
use crate::time::{Time, wire_millis};
use crate::timer::Timer;

/// Bytes of a MERGE body before the box.
const CONTEXT_LEN: usize = 228;
/// Bit of [`MergeBody::flags`]: a next secret is inside.
const HAS_NEXT: u8 = 1;

/// What an outranked anchor has to pass on.
#[derive(Debug)]
pub(crate) struct Handover {
    /// The winner's chain.
    passage: Passage,
    /// Whom the winner does not know.
    followers: Vec<NodeId>,
    /// The chain given up.
    from: ChainId,
    repeats: u8,
}

impl Handover {
    /// Of a chain and nobody yet.
    pub(crate) fn new(from: ChainId, passage: Passage) -> Self {
        Self {
            passage,
            followers: Vec::new(),
            from,
            repeats: 0,
        }
    }

    /// The winner's chain.
    pub(crate) fn chain(&self) -> ChainId {
        self.passage.chain
    }

    /// Who leads it.
    pub(crate) fn winner(&self) -> NodeId {
        self.passage.grant.node_id()
    }

    /// The number of the winner's list.
    pub(crate) fn revocation(&self) -> u32 {
        self.passage.revocation
    }
}

impl Node {
    /// Gives the chain up: followers are introduced and told, and this node is the winner's follower.
    pub(crate) fn hand_over(&mut self, now: Time) -> Option<()> {
        let Some(Merge::Listing(mut handover)) = self.merge.take() else {
            return None;
        };
        self.timers.stop(Timer::Merge);
        let (passage, winner) = (handover.passage.clone(), handover.passage.grant.node_id());
        if !self.is_anchor() {
            return None;
        }
        self.strangers_grant(passage.grant.bytes(), winner)?;
        handover.from = self.lineage.as_ref()?.chain;
        handover.followers = self.followers(now, winner);
        self.counters.handovers += 1;
        self.send_handover(now, &handover);
        self.enter(now, passage, Reason::Merged);
        self.merge = Some(Merge::Repeating(handover));
        self.timers
            .set(Timer::Merge, now + Duration::from_millis(100));
        self.settle_in(now);
        Some(())
    }

    /// Once more, for those who missed it: after 100 and 300 ms.
    pub(crate) fn repeat_merge(&mut self, now: Time) -> Option<()> {
        let Some(Merge::Repeating(mut handover)) = self.merge.take() else {
            return None;
        };
        handover.repeats = handover.repeats.saturating_add(1);
        self.send_handover(now, &handover);
        if handover.repeats < 2 {
            self.merge = Some(Merge::Repeating(handover));
            self.timers
                .set(Timer::Merge, now + Duration::from_millis(200));
        }
        Some(())
    }

    fn send_handover(&mut self, now: Time, handover: &Handover) -> Option<()> {
        let passage = &handover.passage;
        let ours = self.under_chain(handover.from, now)?;
        let theirs = self.under_chain(passage.chain, now)?;
        self.introduce(&theirs, passage.source, &handover.followers);
        let body = self.merge_body(now, &ours, passage)?;
        self.send(&ours, GROUP, &body).map(drop)
    }

    fn under_chain(&self, chain: ChainId, now: Time) -> Option<Under> {
        let key = self.keys.current(chain, now)?;
        Some(Under {
            material: key.material.clone(),
            chain: Some(chain),
        })
    }

    /// Members and joiners heard lately.
    fn followers(&self, now: Time, winner: NodeId) -> Vec<NodeId> {
        let recent = self.rhythm.pulses(5, 2);
        let others = self.roster.iter();
        others
            .filter(|(id, _)| *id != self.id && *id != winner)
            .filter(|(_, member)| {
                let heard = member.last_heard.is_some_and(|at| now.since(at) <= recent);
                heard || member.pending_until.is_some()
            })
            .map(|(id, _)| id)
            .collect()
    }

    pub(crate) fn merge_body(
        &mut self,
        now: Time,
        under: &Under,
        passage: &Passage,
    ) -> Option<MergeBody> {
        let mut body = MergeBody {
            chain: passage.chain.0,
            number: passage.number,
            remaining: wire_millis(passage.end.since(now)),
            epoch: wire_millis(passage.rhythm.epoch),
            pulse: wire_millis(passage.rhythm.pulse),
            flags: if passage.next.is_some() { HAS_NEXT } else { 0 },
            wire: passage.current.wire,
            next_wire: passage.next.as_ref().map_or(0, |next| next.wire),
            roster: passage.roster.0,
            members: passage.members,
            revocation: passage.revocation,
            source: passage.source,
            grant: *passage.grant.bytes(),
            salt: self.random(),
            sealed: [0; 80],
        };
        let next = passage.next.as_ref().map(|next| &next.secret);
        body.sealed = self.merge_seal(&body, self.id, under).seal_merge(
            &passage.current.secret,
            next,
            &context(&body)?,
        )?;
        Some(body)
    }

    fn merge_seal<'a>(
        &self,
        body: &'a MergeBody,
        sealer: NodeId,
        under: &'a Under,
    ) -> EpochSeal<'a> {
        EpochSeal {
            mesh: self.mesh,
            key: &under.material.seal,
            salt: &body.salt,
            sealer,
            chain: ChainId(body.chain),
            number: body.number,
        }
    }

    /// The followed anchor hands over to a better one.
    pub(crate) fn on_merge(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        let body = MergeBody::parse(frame.body())?;
        let lineage = self.lineage.as_ref()?;
        if frame.sender != lineage.anchor
            || frame.chain != Some(lineage.chain)
            || ChainId(body.chain) == lineage.chain
        {
            return None;
        }
        let grant = self.winner(&body, frame.sender)?;
        if self.fence.refuses(ChainId(body.chain), body.number) {
            self.counters.fenced += 1;
            return None;
        }
        let passage = self.passage_of_merge(now, frame, &body, grant)?;
        if self.join.is_some() {
            self.end_join();
        }
        self.counters.merges_followed += 1;
        self.enter(now, passage, Reason::Merged);
        self.settle_in(now);
        Some(())
    }

    /// Whose chain it is, if that node outranks the anchor that hands over.
    fn winner(&self, body: &MergeBody, loser: NodeId) -> Option<Grant> {
        let id = peek_node_id(&body.grant)?;
        let loser = Rank::between(&self.roster.get(loser)?.grant);
        let grant = self.strangers_grant(&body.grant, id)?;
        let trusted = id != self.id && !self.witness.cheated(id);
        let wins = trusted && gives_way(&loser, &Rank::between(&grant));
        wins.then_some(grant)
    }

    fn passage_of_merge(
        &self,
        now: Time,
        frame: &Admitted<'_>,
        body: &MergeBody,
        grant: Grant,
    ) -> Option<Passage> {
        let rhythm = Rhythm::from_wire(body.pulse, body.epoch)?;
        let under = Under {
            material: self.keys.find(frame.key_id())?.material.clone(),
            chain: frame.chain,
        };
        let seal = self.merge_seal(body, frame.sender, &under);
        let (current, next) = seal.open_merge(&body.sealed, &context(body)?)?;
        let next = next.filter(|_| body.flags & HAS_NEXT != 0);
        Some(Passage {
            chain: ChainId(body.chain),
            number: body.number,
            end: now + Duration::from_millis(body.remaining.into()).min(rhythm.epoch),
            rhythm,
            current: self.usable(current, body.wire)?,
            next: match next {
                Some(next) => Some(self.usable(next, body.next_wire)?),
                None => None,
            },
            roster: RosterDigest(body.roster),
            members: body.members,
            revocation: body.revocation,
            grant,
            source: crate::admission::link_local(&body.source).then_some(body.source)?,
        })
    }

    /// A first pulse under the winner's key, spread over P/10, and time for the winner to show its roster.
    fn settle_in(&mut self, now: Time) {
        let pause = self.between(self.rhythm.pulses(1, 40), self.rhythm.pulses(1, 10));
        self.timers.set(Timer::Pulse, now + pause);
        let pause = self.between(ASK_AFTER.0, ASK_AFTER.1);
        let shown = now + self.rhythm.pulses(1, 5);
        self.timers.set(Timer::AskRoster, shown + pause);
    }

    /// Whether a list of the expelled is newer than the one held here.
    pub(crate) fn lacks_list(&self, number: u32) -> bool {
        number > self.expulsion.list.number()
    }

    /// Asks the winner for its list, under its key.
    pub(crate) fn ask_list(&mut self, now: Time) -> Option<()> {
        let Some(Merge::Listing(handover)) = &self.merge else {
            return None;
        };
        let (chain, source) = (handover.passage.chain, handover.passage.source);
        let under = self.under_chain(chain, now)?;
        let held = u64::from(self.expulsion.list.number()).to_be_bytes();
        let what = what::REVOCATIONS;
        self.counters.asks_sent += 1;
        self.send(&under, source, &Ask { what, held }).map(drop)
    }
}

/// What the secrets are bound to.
fn context(body: &MergeBody) -> Option<[u8; CONTEXT_LEN]> {
    let mut bytes = [0; CONTEXT_LEN + 80];
    body.emit(&mut Writer::new(&mut bytes));
    bytes.first_chunk().copied()
}
