//! The members this node knows, and their order: the succession.

use core::cell::OnceCell;
use std::collections::BTreeMap;

use nexus0_common::maps::MAX_PEERS;
use nexus0_common::wire::RosterEntry;

use crate::election::Rank;
use crate::grant::Grant;
use crate::id::{NodeId, RosterDigest, first, sha256};
use crate::time::Time;

/// A known node.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    /// What the root says of it.
    pub(crate) grant: Grant,
    /// The highest wire version it speaks.
    pub(crate) highest: u8,
    /// When this node learned of it.
    pub(crate) known_since: Time,
    /// When its last frame was accepted.
    pub(crate) last_heard: Option<Time>,
    /// Where that frame came from.
    pub(crate) address: Option<[u8; 16]>,
    /// An answered joiner is forgotten then, unless it is heard.
    pub(crate) pending_until: Option<Time>,
    /// An outranked anchor named it; it was not heard yet.
    pub(crate) introduced: bool,
}

impl Member {
    /// A node nothing was heard of.
    pub(crate) fn new(grant: Grant, highest: u8, now: Time) -> Self {
        Self {
            grant,
            highest,
            known_since: now,
            last_heard: None,
            address: None,
            pending_until: None,
            introduced: false,
        }
    }
}

/// All known nodes, this one among them.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    members: BTreeMap<NodeId, Member>,
    succession: Vec<NodeId>,
    /// Computed once until a member or the order changes.
    digest: OnceCell<Option<RosterDigest>>,
}

impl Roster {
    /// The member with this id.
    pub(crate) fn get(&self, id: NodeId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// The member with this id.
    pub(crate) fn get_mut(&mut self, id: NodeId) -> Option<&mut Member> {
        self.digest.take();
        self.members.get_mut(&id)
    }

    /// All known nodes by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, &Member)> + Clone {
        self.members.iter().map(|(id, member)| (*id, member))
    }

    /// Adds or replaces a node; whether there was room.
    pub(crate) fn insert(&mut self, member: Member) -> bool {
        self.digest.take();
        let id = member.grant.node_id();
        let room = self.members.len() <= MAX_PEERS || self.members.contains_key(&id);
        if room {
            self.members.insert(id, member);
        }
        room
    }

    /// Forgets a node.
    pub(crate) fn remove(&mut self, id: NodeId) -> Option<Member> {
        self.digest.take();
        self.succession.retain(|other| *other != id);
        self.members.remove(&id)
    }

    /// The members in order.
    pub(crate) fn succession(&self) -> &[NodeId] {
        &self.succession
    }

    /// Replaces the order.
    pub(crate) fn set_succession(&mut self, succession: Vec<NodeId>) {
        self.digest.take();
        self.succession = succession;
    }

    /// Appends a known node to the order; whether it was new there.
    pub(crate) fn append(&mut self, id: NodeId) -> bool {
        self.digest.take();
        let new = self.members.contains_key(&id) && !self.succession.contains(&id);
        if new {
            self.succession.push(id);
        }
        new
    }

    /// Takes a node out of the order but keeps it known; whether it was there.
    pub(crate) fn strike(&mut self, id: NodeId) -> bool {
        self.digest.take();
        let before = self.succession.len();
        self.succession.retain(|other| *other != id);
        self.succession.len() < before
    }

    /// Index in the order, or the last place for those who are not in it.
    pub(crate) fn seniority(&self, id: NodeId) -> u32 {
        let position = self.succession.iter().position(|other| *other == id);
        position
            .and_then(|position| u32::try_from(position).ok())
            .unwrap_or(u32::MAX)
    }

    /// Place in the one order.
    pub(crate) fn rank(&self, id: NodeId) -> Option<Rank> {
        Some(Rank::within(
            &self.members.get(&id)?.grant,
            self.seniority(id),
        ))
    }

    /// A member's frame was accepted, and shows where it is: `proved` by a signature, or the first to do so.
    pub(crate) fn heard(&mut self, id: NodeId, now: Time, source: [u8; 16], proved: bool) {
        if let Some(member) = self.members.get_mut(&id) {
            member.last_heard = Some(now);
            if proved || member.address.is_none() {
                member.address = Some(source);
            }
        }
    }

    /// Digest of all members in order, once all are known.
    pub(crate) fn digest(&self) -> Option<RosterDigest> {
        *self.digest.get_or_init(|| self.compute_digest())
    }

    fn compute_digest(&self) -> Option<RosterDigest> {
        let mut bytes = b"nexus0 v1 roster".to_vec();
        for id in &self.succession {
            let member = self.members.get(id)?;
            bytes.extend(sha256(&[&[member.highest], member.grant.bytes()]));
        }
        Some(RosterDigest(first(&sha256(&[&bytes]))))
    }

    /// A member as ROSTER frames carry it.
    pub(crate) fn entry(&self, id: NodeId) -> Option<RosterEntry> {
        let member = self.members.get(&id)?;
        Some(RosterEntry {
            position: u16::try_from(self.seniority(id)).ok()?,
            highest: member.highest,
            grant: *member.grant.bytes(),
        })
    }
}
