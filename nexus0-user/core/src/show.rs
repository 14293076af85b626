//! From a node's state to its [`View`].

use crate::id::NodeId;
use crate::node::Node;
use crate::roster::Member;
use crate::time::{Time, part};
use crate::view::{
    KeyState, KeyView, PeerState, PeerView, PreemptionView, Ranked, RevocationsView, Token,
    TwinView, View, Why,
};

impl Node {
    /// What to show.
    pub fn view(&self, now: Time) -> View {
        let lineage = self.lineage.as_ref();
        let chain = lineage.map(|lineage| lineage.chain);
        let number = lineage.map_or(0, |lineage| lineage.number);
        View {
            now,
            role: self.role(),
            node: self.id,
            name: self.grant.name().to_owned(),
            mesh: self.mesh,
            anchor: lineage.map(|lineage| lineage.anchor),
            why: self.why(now),
            preemption: self.preemption_view(now),
            chain,
            parent: lineage.and_then(|lineage| lineage.parent),
            number,
            token: chain.map(|chain| Token { number, chain }),
            keys: self.key_views(now),
            turn: chain.and_then(|chain| self.next_turn(chain, now)),
            complete: self.complete(),
            twin: self.twin.map(|twin| TwinView {
                address: twin.address,
                heard: twin.heard,
            }),
            peers: self.peer_views(now),
            revocations: self.revocations_view(),
            convicted: self.witness.convicted().collect(),
            open: self.config.open,
            counters: self.counters,
            ledger: self.ledger.view(),
        }
    }

    fn revocations_view(&self) -> RevocationsView {
        let list = &self.expulsion.list;
        RevocationsView {
            number: list.number(),
            floor: list.floor(),
            revoked: list.revoked().iter().copied().collect(),
            list: list.bytes().to_vec(),
        }
    }

    fn next_turn(&self, chain: crate::id::ChainId, now: Time) -> Option<Time> {
        let next = self.keys.next(chain, now).map(|key| key.activation);
        next.or_else(|| Some(self.keys.current(chain, now)?.end(self.rhythm)))
    }

    fn key_views(&self, now: Time) -> Vec<KeyView> {
        let chain = self.lineage.as_ref().map(|lineage| lineage.chain);
        let current = chain.and_then(|chain| self.keys.current(chain, now));
        let current = current.map(|key| key.material.id);
        let pending = self.preemption.as_ref().map(|pending| pending.chain);
        let view = |key: &crate::epoch::EpochKey| KeyView {
            id: key.material.id,
            number: key.number,
            state: if Some(key.material.id) == current {
                KeyState::Current
            } else if key.activation > now
                && (Some(key.chain) == chain || pending == Some(key.chain))
            {
                KeyState::Next
            } else {
                KeyState::Previous
            },
            not_before: key.not_before,
            not_after: key.not_after,
        };
        let held = self.keys.iter().filter(|key| key.not_after > now);
        held.map(view).collect()
    }

    fn peer_views(&self, now: Time) -> Vec<PeerView> {
        let others = self.roster.iter().filter(|(id, _)| *id != self.id);
        others
            .map(|(id, member)| self.peer_view(now, id, member))
            .collect()
    }

    fn peer_view(&self, now: Time, id: NodeId, member: &Member) -> PeerView {
        PeerView {
            id,
            name: member.grant.name().to_owned(),
            zone: member.grant.zone().to_owned(),
            kind: member.grant.kind(),
            ego: member.grant.ego(),
            seniority: self.roster.seniority(id),
            address: member.address,
            last_heard: member.last_heard,
            known_since: member.known_since,
            state: self.peer_state(now, id, member),
        }
    }

    fn peer_state(&self, now: Time, id: NodeId, member: &Member) -> PeerState {
        match member.last_heard {
            _ if id == self.id => PeerState::Myself,
            _ if self.witness.cheated(id) => PeerState::Convicted,
            None => PeerState::Unheard,
            Some(at) if now.since(at) <= self.rhythm.pulses(5, 2) => PeerState::Alive,
            Some(_) => PeerState::Silent,
        }
    }

    fn why(&self, now: Time) -> Why {
        let mut members: Vec<_> = self
            .roster
            .iter()
            .filter(|(id, _)| !self.witness.cheated(*id))
            .filter_map(|(id, member)| Some((self.roster.rank(id)?, id, member)))
            .collect();
        members.sort_by_key(|(rank, ..)| *rank);
        let ranked = |(_, id, member): &(_, NodeId, &Member)| Ranked {
            id: *id,
            name: member.grant.name().to_owned(),
            ego: member.grant.ego(),
            seniority: self.roster.seniority(*id),
            id_hash: member.grant.id_hash(),
            state: self.peer_state(now, *id, member),
        };
        Why {
            sentence: self.sentence(now, &members),
            ranking: members.iter().map(ranked).collect(),
        }
    }

    /// Who takes over from the living anchor, and when at the earliest.
    fn preemption_view(&self, now: Time) -> Option<PreemptionView> {
        if let Some(pending) = &self.preemption {
            let (by, at) = (pending.by, pending.activation);
            return Some(PreemptionView {
                by,
                at,
                announced: true,
            });
        }
        let lineage = self.lineage.as_ref()?;
        let by = self.heir(now)?;
        let entry = match self.roster.get(by)?.known_since {
            _ if by == self.id => lineage.since,
            known => known.max(lineage.since),
        };
        let start = self.keys.current(lineage.chain, now)?.activation;
        let epoch = self.rhythm.epoch;
        // Announced with the anchor's next announcement after the hold-down, the last one at 3/4.
        let ready = self.hold_down.over(entry).max(now).since(start);
        let missed = ready.saturating_sub(part(epoch, 3, 4));
        let epochs = missed.as_nanos().div_ceil(epoch.as_nanos().max(1));
        let at = start + epoch.saturating_mul(u32::try_from(epochs).ok()?.saturating_add(2));
        Some(PreemptionView {
            by,
            at,
            announced: false,
        })
    }

    fn takeover(&self, now: Time) -> Option<String> {
        let view = self.preemption_view(now)?;
        let grant = &self.roster.get(view.by)?.grant;
        let about = if view.announced { "" } else { "about " };
        Some(format!(
            "{} (ego {}) takes over in {about}{} s",
            grant.name(),
            grant.ego(),
            view.at.since(now).as_secs()
        ))
    }

    fn sentence(&self, now: Time, members: &[(crate::election::Rank, NodeId, &Member)]) -> String {
        let Some(anchor) = self.lineage.as_ref().map(|lineage| lineage.anchor) else {
            return "no anchor is followed yet".into();
        };
        let name = |id: NodeId| {
            self.roster
                .get(id)
                .map_or_else(|| id.to_string(), |member| member.grant.name().into())
        };
        let (anchor_name, mut members) = (name(anchor), members.iter());
        match (members.next(), members.next()) {
            (Some((first, id, _)), Some((second, runner_up, _))) if *id == anchor => {
                let reason = first.reason(second);
                format!("{anchor_name} stands before {}: {reason}", name(*runner_up))
            }
            (Some((_, id, _)), _) if *id != anchor => format!(
                "{anchor_name} is followed although {} ranks first: {}",
                name(*id),
                self.takeover(now)
                    .unwrap_or_else(|| "a living anchor keeps its place".into())
            ),
            _ if self.witness.convicted().next().is_some() => {
                format!("{anchor_name} is the only member known that is not convicted")
            }
            _ => format!("{anchor_name} is the only member known"),
        }
    }
}
