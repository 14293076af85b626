//! The members this node knows, and their order: the succession.

use core::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use nexus0_common::maps::MAX_PEERS;
use nexus0_common::wire::RosterEntry;
use sha2::{Digest, Sha256};

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
    digest: Running,
}

/// The digest of the order's beginning, so that a member that is appended costs one step and not all of them.
#[derive(Debug, Default)]
struct Running {
    hash: RefCell<Sha256>,
    /// Members in it.
    length: Cell<usize>,
    /// The last result, and for how many members.
    done: Cell<Option<(usize, RosterDigest)>>,
}

impl Running {
    /// Members from here on are not what they were.
    fn cut(&mut self, length: usize) {
        if length < self.length.get() {
            *self = Self::default();
        }
    }
}

impl Roster {
    /// The member with this id.
    pub(crate) fn get(&self, id: NodeId) -> Option<&Member> {
        self.members.get(&id)
    }

    /// The member with this id, to note what is seen of it; [`Roster::renew`] is for what it is.
    pub(crate) fn get_mut(&mut self, id: NodeId) -> Option<&mut Member> {
        self.members.get_mut(&id)
    }

    /// Takes a known member's newer grant and highest version; whether it is known.
    pub(crate) fn renew(&mut self, grant: Grant, highest: Option<u8>) -> bool {
        let Some(member) = self.members.get_mut(&grant.node_id()) else {
            return false;
        };
        let highest = highest.unwrap_or(member.highest);
        let newer = grant.serial() >= member.grant.serial() && grant != member.grant;
        if newer || highest != member.highest {
            self.digest.cut(0);
        }
        if newer {
            member.grant = grant;
        }
        member.highest = highest;
        true
    }

    /// All known nodes by id.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (NodeId, &Member)> + Clone {
        self.members.iter().map(|(id, member)| (*id, member))
    }

    /// Adds or replaces a node; whether there was room.
    pub(crate) fn insert(&mut self, member: Member) -> bool {
        let id = member.grant.node_id();
        let room = self.members.len() <= MAX_PEERS || self.members.contains_key(&id);
        if room && self.members.insert(id, member).is_some() {
            self.digest.cut(0);
        }
        room
    }

    /// Forgets a node.
    pub(crate) fn remove(&mut self, id: NodeId) -> Option<Member> {
        self.strike(id);
        self.members.remove(&id)
    }

    /// The members in order.
    pub(crate) fn succession(&self) -> &[NodeId] {
        &self.succession
    }

    /// Known nodes that are not in the order, all of whose members are known.
    pub(crate) fn unlisted(&self) -> Vec<NodeId> {
        if self.members.len() == self.succession.len() {
            return Vec::new();
        }
        let listed: BTreeSet<NodeId> = self.succession.iter().copied().collect();
        let known = self.members.keys().copied();
        known.filter(|id| !listed.contains(id)).collect()
    }

    /// Replaces the order.
    pub(crate) fn set_succession(&mut self, succession: Vec<NodeId>) {
        let pairs = self.succession.iter().zip(&succession);
        let same = pairs.take_while(|(old, new)| old == new).count();
        self.digest.cut(same);
        self.succession = succession;
    }

    /// Appends a known node to the order; whether it was new there.
    pub(crate) fn append(&mut self, id: NodeId) -> bool {
        let new = self.members.contains_key(&id) && !self.succession.contains(&id);
        if new {
            self.succession.push(id);
        }
        new
    }

    /// Takes a node out of the order but keeps it known; whether it was there.
    pub(crate) fn strike(&mut self, id: NodeId) -> bool {
        let Some(position) = self.succession.iter().position(|other| *other == id) else {
            return false;
        };
        self.digest.cut(position);
        self.succession.remove(position);
        true
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
        let (running, members) = (&self.digest, self.succession.len());
        if let Some((_, done)) = running.done.get().filter(|(of, _)| *of == members) {
            return Some(done);
        }
        let mut hash = running.hash.borrow_mut();
        if running.length.get() == 0 {
            *hash = Sha256::new_with_prefix(b"nexus0 v1 roster");
        }
        for id in self.succession.get(running.length.get()..)? {
            let member = self.members.get(id)?;
            hash.update(sha256(&[&[member.highest], member.grant.bytes()]));
            running.length.set(running.length.get().saturating_add(1));
        }
        let done = RosterDigest(first(&hash.clone().finalize().into()));
        running.done.set(Some((members, done)));
        Some(done)
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

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::{Rng, SeedableRng};

    use super::*;
    use crate::grant::{GrantRequest, Kind, MeshRoot};
    use crate::identity::Identity;

    /// The digest as PROTOCOL defines it, from all members.
    fn plain(roster: &Roster) -> Option<RosterDigest> {
        let mut bytes = b"nexus0 v1 roster".to_vec();
        for id in roster.succession() {
            let member = roster.get(*id)?;
            bytes.extend(sha256(&[&[member.highest], member.grant.bytes()]));
        }
        Some(RosterDigest(first(&sha256(&[&bytes]))))
    }

    fn grants() -> Vec<Grant> {
        let root = MeshRoot::from_seed(&[9; 32]);
        let issue = |index: u32| {
            let request = GrantRequest {
                public_key: Identity::from_seed(&[(index % 8) as u8; 32]).public_key(),
                name: "rake",
                zone: "shed",
                kind: Kind::Agent,
                ego: 50,
                serial: index,
            };
            root.issue(&request).unwrap()
        };
        (1..=16).map(issue).collect()
    }

    fn change(roster: &mut Roster, grant: &Grant, draw: u32) {
        let (id, highest) = (grant.node_id(), 1 + (draw % 2) as u8);
        match draw % 7 {
            0 | 1 => drop(roster.append(id)),
            2 => drop(roster.insert(Member::new(grant.clone(), highest, Time(0)))),
            3 => drop(roster.renew(grant.clone(), Some(highest))),
            4 => drop(roster.remove(id)),
            5 => drop(roster.strike(id)),
            _ => {
                let mut order = roster.succession().to_vec();
                let length = order.len();
                if length > 1 {
                    order.swap(length - 1, draw as usize % length);
                }
                order.truncate(8);
                roster.set_succession(order);
            }
        }
    }

    #[test]
    fn the_running_digest_is_the_plain_one_after_any_change() {
        let (grants, mut random) = (grants(), ChaCha8Rng::seed_from_u64(1));
        let (mut roster, mut known) = (Roster::default(), 0);
        for step in 0..20_000 {
            let grant = &grants[random.next_u32() as usize % grants.len()];
            change(&mut roster, grant, random.next_u32());
            if random.next_u32() % 3 > 0 {
                assert_eq!(roster.digest(), plain(&roster), "step {step}");
                known += usize::from(roster.digest().is_some());
            }
        }
        assert!(known > 1_000, "{known}");
    }
}
