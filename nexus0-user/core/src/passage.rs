//! How a node comes from one chain into another: what an ANSWER or a MERGE says of it, and taking it up.

use crate::epoch::{EpochKey, Rhythm};
use crate::event::Reason;
use crate::grant::Grant;
use crate::id::{ChainId, KeyId, RosterDigest};
use crate::lineage::Lineage;
use crate::node::Node;
use crate::secret::{Material, Secret};
use crate::time::Time;
use crate::timer::Timer;

/// Enough to enter a chain.
#[derive(Clone, Debug)]
pub(crate) struct Passage {
    /// The chain.
    pub(crate) chain: ChainId,
    /// Its current epoch.
    pub(crate) number: u64,
    /// When that ends.
    pub(crate) end: Time,
    /// Its pulse and epoch.
    pub(crate) rhythm: Rhythm,
    /// The current epoch's key.
    pub(crate) current: Material,
    /// The announced one.
    pub(crate) next: Option<Material>,
    /// Digest of its roster.
    pub(crate) roster: RosterDigest,
    /// Members in it.
    pub(crate) members: u16,
    /// The highest number of a revocation list its anchor knows.
    pub(crate) revocation: u32,
    /// Whose chain it is.
    pub(crate) grant: Grant,
    /// The anchor's address.
    pub(crate) source: [u8; 16],
}

impl Node {
    /// Everything derived from a secret that another node drew, unless its key id is never used, its windows are
    /// lost or its wire version is not spoken here.
    pub(crate) fn usable(&self, secret: Secret, wire: u8) -> Option<Material> {
        let material = Material::derive(self.mesh, secret).speaking(wire);
        let usable = material.id != self.door.id
            && material.id != KeyId::default()
            && !self.keys.worn(material.id)
            && self.speaks(wire);
        usable.then_some(material)
    }

    /// Takes up another chain; the keys of the one before end a pulse later.
    pub(crate) fn enter(&mut self, now: Time, passage: Passage, reason: Reason) {
        self.leave_lineage(now, Some(passage.chain));
        self.rhythm = passage.rhythm;
        self.hold_keys(&passage);
        self.know_anchor(now, &passage);
        let (chain, anchor) = (passage.chain, passage.grant.node_id());
        let mut lineage = Lineage::new(chain, anchor, passage.number, now);
        lineage.roster = passage.roster;
        self.follow(now, lineage, reason);
        self.timers.set(Timer::Turn, passage.end);
        // An older list's anchor has left nobody of this node's list behind.
        self.rekey.exposed |= passage.revocation < self.expulsion.list.number();
        self.compare_number(now, anchor, passage.revocation);
    }

    /// Accepts frames under a chain's keys.
    pub(crate) fn hold_keys(&mut self, passage: &Passage) {
        let (chain, number, rhythm) = (passage.chain, passage.number, passage.rhythm);
        let current = passage.current.clone();
        let mut ops = Vec::new();
        self.keys.displace(chain, number, current.id, &mut ops);
        self.install_key(EpochKey::until(current, chain, number, passage.end, rhythm));
        if let Some(next) = passage.next.clone() {
            let after = number.saturating_add(1);
            self.keys.displace(chain, after, next.id, &mut ops);
            self.install_key(EpochKey::new(next, chain, after, passage.end, rhythm));
        }
        // Who missed a turn holds the key before it for longer, and who knows the next one already held this one
        // for less.
        self.keys.revive(chain, rhythm, &mut ops);
        self.ops(ops);
    }

    /// Knows the anchor of a chain, and where it is.
    pub(crate) fn know_anchor(&mut self, now: Time, passage: &Passage) {
        self.learn(now, passage.grant.clone(), None);
        if let Some(member) = self.roster.get_mut(passage.grant.node_id()) {
            member.address = Some(passage.source);
        }
    }
}
