//! Two chains on one link: the worse-ranked anchor hands its followers over to the better one.
//!
//! ```text
//!           better BEACON            own nonce back, state 3             ANSWER
//!  Reigning -------------> DOOR-PROBE ---------------------> Asking -----------------> Listing
//!   ^    ^                     |                               |                          |
//!   |    +---- no reply -------+                               |     the winner's list is |
//!   |                                                          |     held, or 1 s is over |
//!   +-------------- no answer within 2 s ----------------------+                          v
//!                                                     Member of the winner's chain <-- Repeating
//!                                                                     INTRODUCE and MERGE at 0, 100, 300 ms
//! ```
//!
//! Until the first MERGE the anchor reigns as before, so whatever is lost up to there changes nothing; from
//! there on it is a member of the winner's chain, and a follower that missed all three promotes itself.

use core::time::Duration;
use std::collections::VecDeque;

use nexus0_common::wire::{Beacon, DoorProbe, DoorReply, GROUP};

use crate::admission::Admitted;
use crate::cold_start::state;
use crate::door::Heard;
use crate::election::Rank;
use crate::grant::Grant;
use crate::handover::Handover;
use crate::id::{ChainId, NodeId};
use crate::node::{Event, Node};
use crate::passage::Passage;
use crate::rule::gives_way;
use crate::sabotage::{Sabotage, planted};
use crate::time::Time;
use crate::timer::Timer;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// Anchors whose proof is awaited at a time.
const MAX_RIVALS: usize = 8;

/// An anchor of another chain that this one asked whether it lives.
#[derive(Debug)]
struct Rival {
    grant: Grant,
    nonce: [u8; 16],
    asked: Time,
}

/// What an anchor knows of others.
#[derive(Debug, Default)]
pub(crate) struct Rivals {
    asked: VecDeque<Rival>,
    /// When a worse-ranked anchor was last shown this one.
    answered: Option<Time>,
}

impl Rivals {
    fn asked_since(&self, id: NodeId, earliest: Time) -> bool {
        let rival = self.asked.iter().find(|rival| rival.grant.node_id() == id);
        rival.is_some_and(|rival| rival.asked > earliest)
    }

    fn ask(&mut self, rival: Rival) {
        let id = rival.grant.node_id();
        self.asked.retain(|other| other.grant.node_id() != id);
        if self.asked.len() >= MAX_RIVALS {
            self.asked.pop_front();
        }
        self.asked.push_back(rival);
    }

    fn find(&self, id: NodeId, nonce: &[u8; 16]) -> Option<&Rival> {
        let mut all = self.asked.iter();
        all.find(|rival| rival.grant.node_id() == id && rival.nonce == *nonce)
    }
}

/// How far an outranked anchor has come.
#[derive(Debug)]
pub(crate) enum Merge {
    /// It asks the better anchor for its epoch.
    Asking {
        /// Who proved to live.
        winner: NodeId,
    },
    /// It has the epoch and waits for the list of the expelled, who may hold its own secrets: without the list
    /// it hands nothing over.
    Listing(Handover),
    /// It is a member of the winner's chain and repeats its MERGE.
    Repeating(Handover),
}

impl Node {
    /// Shows the chain to others on the link.
    pub(crate) fn send_beacon(&mut self) -> Option<()> {
        let lineage = self.lineage.as_ref()?;
        let (chain, number) = (lineage.chain.0, lineage.number);
        let grant = *self.grant.bytes();
        self.send_door(
            GROUP,
            &Beacon {
                chain,
                number,
                revocation: self.expulsion.list.number(),
                door_nonce: self.door_nonce(),
                grant,
            },
        )
    }

    /// Another chain's anchor shows itself: a nonce decides about a better one, a worse one is shown this one.
    pub(crate) fn on_beacon(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        let beacon = Beacon::parse(frame.body())?;
        self.hear_beacon(frame, &beacon);
        if self.read_revocation(now, frame, &beacon) {
            return Some(());
        }
        let own = self.lineage.as_ref()?.chain;
        let deaf = planted(Sabotage::IgnoreBeacons);
        if !self.is_anchor() || ChainId(beacon.chain) == own || self.merging() || deaf {
            return None;
        }
        // A preemptor's clock may run ahead of this one's: the turn comes by itself.
        let expected = self.preemption.as_ref().map(|coming| coming.chain);
        if self.witness.cheated(frame.sender) || expected == Some(ChainId(beacon.chain)) {
            return None;
        }
        let grant = self.strangers_grant(&beacon.grant, frame.sender)?;
        if gives_way(&Rank::between(&self.grant), &Rank::between(&grant)) {
            self.ask_rival(now, frame, &beacon, grant)
        } else {
            self.answer_beacon(now, frame, &grant)
        }
    }

    fn ask_rival(
        &mut self,
        now: Time,
        frame: &Admitted<'_>,
        beacon: &Beacon,
        grant: Grant,
    ) -> Option<()> {
        let earliest = now - self.rhythm.pulses(1, 5);
        if self.rivals.asked_since(frame.sender, earliest) {
            return None;
        }
        self.check_signature(frame, grant.public_key())?;
        self.keep_beacon(Heard::of(frame, beacon));
        let (nonce, asked) = (self.probe_nonce(), now);
        self.rivals.ask(Rival {
            grant,
            nonce,
            asked,
        });
        let grant = *self.grant.bytes();
        self.send_door(frame.source, &DoorProbe { nonce, grant })
    }

    /// So that the merge need not wait for this anchor's next pulse.
    fn answer_beacon(&mut self, now: Time, frame: &Admitted<'_>, grant: &Grant) -> Option<()> {
        let pause = self.rhythm.pulses(1, 5);
        if self.rivals.answered.is_some_and(|at| now.since(at) < pause) {
            return None;
        }
        self.check_signature(frame, grant.public_key())?;
        self.rivals.answered = Some(now);
        self.send_beacon()
    }

    /// The better chain's anchor lives: ask it for its epoch.
    pub(crate) fn prove_rival(
        &mut self,
        now: Time,
        frame: &Admitted<'_>,
        reply: &DoorReply,
    ) -> Option<()> {
        if !self.is_anchor() || self.merging() {
            return None;
        }
        let rival = self.rivals.find(frame.sender, &reply.nonce)?;
        let public_key = *rival.grant.public_key();
        self.check_signature(frame, &public_key)?;
        self.rivals = Rivals::default();
        if reply.state == state::ANCHOR {
            self.ask_to_merge(now, frame.sender);
        }
        Some(())
    }

    fn ask_to_merge(&mut self, now: Time, winner: NodeId) {
        self.event(Event::Merging { anchor: winner });
        self.open_join(now, None);
        self.merge = Some(Merge::Asking { winner });
        self.timers.set(Timer::Merge, now + PATIENCE);
        self.request(now);
    }

    /// Whether this anchor is giving its chain up.
    fn merging(&self) -> bool {
        matches!(self.merge, Some(Merge::Asking { .. } | Merge::Listing(_)))
    }

    /// Whether the join under way is an anchor's.
    pub(crate) fn asks_to_merge(&self) -> bool {
        matches!(self.merge, Some(Merge::Asking { .. })) && self.is_anchor()
    }

    /// The number of the chain for which this anchor asks; zero for a joiner.
    pub(crate) fn reigning(&self) -> u64 {
        let lineage = self.lineage.as_ref().filter(|_| self.asks_to_merge());
        lineage.map_or(0, |lineage| lineage.number)
    }

    /// The winner's list is here, and its consequences are drawn: nothing is waited for any longer.
    pub(crate) fn hasten_merge(&mut self, now: Time) {
        if matches!(self.merge, Some(Merge::Listing(_))) {
            self.timers.set(Timer::Merge, now);
        }
    }

    /// The chain whose keys are held to hand over to it.
    pub(crate) fn winners_chain(&self) -> Option<ChainId> {
        match &self.merge {
            Some(Merge::Listing(handover)) => Some(handover.chain()),
            Some(Merge::Asking { .. } | Merge::Repeating(_)) | None => None,
        }
    }

    /// A better anchor answered: its keys are held from now on, its list comes first.
    pub(crate) fn prepare_handover(&mut self, now: Time, passage: Passage) -> Option<()> {
        let from = self.lineage.as_ref()?.chain;
        self.end_join();
        self.hold_keys(&passage);
        self.know_anchor(now, &passage);
        let behind = self.lacks_list(passage.revocation);
        self.merge = Some(Merge::Listing(Handover::new(from, passage)));
        if behind {
            self.ask_list(now);
            self.timers
                .set(Timer::Merge, now + self.rhythm.pulses(1, 2));
        } else {
            self.hand_over(now);
        }
        Some(())
    }

    /// The next step is due.
    pub(crate) fn continue_merge(&mut self, now: Time) {
        match &self.merge {
            Some(Merge::Asking { winner }) => {
                let anchor = *winner;
                self.abandon_merge();
                self.event(Event::MergeAbandoned { anchor });
            }
            Some(Merge::Listing(handover)) => {
                let (anchor, list) = (handover.winner(), handover.revocation());
                if self.lacks_list(list) {
                    self.abandon_merge();
                    self.event(Event::MergeAbandoned { anchor });
                } else {
                    self.hand_over(now);
                }
            }
            Some(Merge::Repeating(_)) => {
                self.repeat_merge(now);
            }
            None => {}
        }
    }

    /// Goes on reigning.
    pub(crate) fn abandon_merge(&mut self) {
        if self.asks_to_merge() {
            self.end_join();
        }
        self.merge = None;
        self.timers.stop(Timer::Merge);
    }
}
