//! When nobody answers: who starts the first chain.

use core::time::Duration;

use nexus0_common::wire::{DoorProbe, DoorReply, Request};

use crate::admission::Admitted;
use crate::election::Rank;
use crate::epoch::EpochKey;
use crate::event::Reason;
use crate::grant::Grant;
use crate::id::{ChainId, NodeId};
use crate::join::SETTLING;
use crate::lineage::Lineage;
use crate::node::{Event, Node, Role};
use crate::secret::Material;
use crate::time::Time;
use crate::timer::Timer;

/// A mesh that stands has answered by then; before, other joiners are no matter.
const ANSWERED: Duration = Duration::from_millis(400);
/// No chain is started so soon after a new candidate proved that it lives.
const QUIET: Duration = Duration::from_millis(400);
/// How long a proof of life counts.
const FRESH: Duration = Duration::from_secs(1);
/// How long the best candidate is waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Most candidates remembered.
const MAX_CANDIDATES: usize = 64;

/// States in a DOOR-REPLY.
pub(crate) mod state {
    pub(crate) const STATELESS: u8 = 1;
    pub(crate) const MEMBER: u8 = 2;
    pub(crate) const ANCHOR: u8 = 3;
}

/// Another joining node that ranks above this one.
#[derive(Debug)]
pub(crate) struct Candidate {
    grant: Grant,
    nonce: Option<[u8; 16]>,
    proved: Option<Time>,
    waited_since: Option<Time>,
}

impl Candidate {
    fn lives(&self, now: Time) -> bool {
        self.proved.is_some_and(|at| now.since(at) < FRESH)
    }

    fn patience(&self, now: Time) -> bool {
        self.waited_since
            .is_none_or(|since| now.since(since) < PATIENCE)
    }
}

impl Node {
    /// A joining node heard another one's request: if that ranks higher, does it live?
    pub(crate) fn note_candidate(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        if now < self.join.as_ref()?.started + ANSWERED {
            return None;
        }
        let request = Request::parse(frame.body())?;
        let sender = frame.sender;
        if !self.join.as_ref()?.candidates.contains_key(&sender) {
            self.add_candidate(&request, sender)?;
        }
        let nonce = self.probe_nonce();
        let candidate = self.join.as_mut()?.candidates.get_mut(&sender)?;
        if candidate.proved.is_some_and(|at| now.since(at) < FRESH / 2) {
            return None;
        }
        candidate.nonce = Some(nonce);
        let grant = *self.grant.bytes();
        self.send_door(frame.source, &DoorProbe { nonce, grant })
    }

    fn add_candidate(&mut self, request: &Request, sender: NodeId) -> Option<()> {
        let grant = self.strangers_grant(&request.grant, sender)?;
        if Rank::between(&grant) > Rank::between(&self.grant) || self.witness.cheated(sender) {
            return None;
        }
        let join = self
            .join
            .as_mut()
            .filter(|join| join.candidates.len() < MAX_CANDIDATES)?;
        let candidate = Candidate {
            grant,
            nonce: None,
            proved: None,
            waited_since: None,
        };
        join.candidates.insert(sender, candidate);
        Some(())
    }

    /// A candidate's nonce came back.
    pub(crate) fn prove_candidate(
        &mut self,
        now: Time,
        frame: &Admitted<'_>,
        reply: &DoorReply,
    ) -> Option<()> {
        let candidate = self.join.as_ref()?.candidates.get(&frame.sender)?;
        if candidate.nonce != Some(reply.nonce) {
            return None;
        }
        let public_key = *candidate.grant.public_key();
        self.check_signature(frame, &public_key)?;
        let join = self.join.as_mut()?;
        let candidate = join.candidates.get_mut(&frame.sender)?;
        candidate.nonce = None;
        if reply.state != state::STATELESS {
            join.candidates.remove(&frame.sender);
            return Some(());
        }
        if candidate.proved.is_none() {
            join.newest = Some(now);
        }
        candidate.proved = Some(now);
        Some(())
    }

    /// Starts a chain if no better-ranked candidate lives.
    pub(crate) fn judge_cold_start(&mut self, now: Time) {
        let Some(join) = self.join.as_mut() else {
            return;
        };
        let settled = join.started + SETTLING;
        let quiet = join.newest.map_or(settled, |newest| newest + QUIET);
        let earliest = settled.max(quiet).max(join.held.unwrap_or(settled));
        if now < earliest {
            self.timers.set(Timer::Judge, earliest);
            return;
        }
        let living = join
            .candidates
            .values_mut()
            .filter(|other| other.lives(now) && other.patience(now));
        if let Some(best) = living.min_by_key(|other| Rank::between(&other.grant)) {
            best.waited_since.get_or_insert(now);
            self.timers.set(Timer::Judge, now + QUIET / 4);
            return;
        }
        self.start_chain(now);
    }

    fn start_chain(&mut self, now: Time) {
        let elapsed = self
            .join
            .as_ref()
            .map_or(Duration::ZERO, |join| now.since(join.started));
        self.end_join();
        self.leave_lineage(now, None);
        // Who will join is not known yet.
        let lowest = *self.config.wire.start();
        let material = self.fresh_material(now).speaking(lowest);
        let chain = ChainId(self.random());
        self.install_key(EpochKey::new(material, chain, 1, now, self.rhythm));
        self.roster.set_succession(vec![self.id]);
        self.counters.cold_starts += 1;
        self.event(Event::ColdStart { elapsed });
        let lineage = Lineage::new(chain, self.id, 1, now);
        self.follow(now, lineage, Reason::ColdStart);
        self.reign(now);
    }

    /// A secret whose key id is usable.
    pub(crate) fn fresh_material(&mut self, now: Time) -> Material {
        let wire = self.common_version(now);
        loop {
            let material = Material::derive(self.mesh, zeroize::Zeroizing::new(self.random()));
            let taken = material.id.0 == [0; 4]
                || material.id == self.door.id
                || self.keys.find(material.id).is_some();
            if !taken {
                return material.speaking(wire);
            }
        }
    }

    /// Someone with a grant asks what this node is.
    pub(crate) fn on_door_probe(&mut self, _now: Time, frame: &Admitted<'_>) -> Option<()> {
        let probe = DoorProbe::parse(frame.body())?;
        let state = match self.role() {
            Role::Waiting | Role::Left | Role::Revoked => return None,
            Role::Joining => state::STATELESS,
            Role::Member => state::MEMBER,
            Role::Anchor => state::ANCHOR,
        };
        let grant = self.strangers_grant(&probe.grant, frame.sender)?;
        self.check_signature(frame, grant.public_key())?;
        self.send_door(
            frame.source,
            &DoorReply {
                nonce: probe.nonce,
                state,
            },
        )
    }

    /// A nonce came back: from a candidate, from the anchor that asked to join, or from another chain's.
    pub(crate) fn on_door_reply(&mut self, now: Time, frame: &Admitted<'_>) -> Option<()> {
        let reply = DoorReply::parse(frame.body())?;
        self.prove_candidate(now, frame, &reply)
            .or_else(|| self.prove_stateless(now, frame, &reply))
            .or_else(|| self.prove_outdated(now, frame, &reply))
            .or_else(|| self.prove_rival(now, frame, &reply))
    }
}
