//! Which wire version a mesh speaks: the lowest of what its members speak at best.

use nexus0_common::wire::Request;

use crate::node::Node;
use crate::time::Time;

/// A joiner that speaks only an older version than the mesh's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Older {
    highest: u8,
    until: Time,
}

impl Node {
    /// The version of the next epoch drawn here. A member nobody has told of yet counts as speaking the lowest.
    pub(crate) fn common_version(&self, now: Time) -> u8 {
        let members = self.roster.succession().iter();
        let members = members.filter_map(|id| self.roster.get(*id));
        let pending = self.roster.iter().map(|(_, member)| member);
        let pending = pending.filter(|member| member.pending_until.is_some());
        let older = self.desk.older.filter(|older| now < older.until);
        members
            .chain(pending)
            .map(|member| member.highest)
            .chain(older.map(|older| older.highest))
            .chain([*self.config.wire.end()])
            .min()
            .unwrap_or(*self.config.wire.start())
            .max(*self.config.wire.start())
    }

    /// Whether a joiner can take part in the current epoch. For one that is only too old the anchor breaks the
    /// chain and goes on in a version that both speak.
    pub(crate) fn understands(&mut self, now: Time, request: &Request) -> bool {
        let spoken = request.lowest..=request.highest;
        let chain = self.lineage.as_ref().map(|lineage| lineage.chain);
        let current = chain.and_then(|chain| self.keys.current(chain, now));
        let Some(wire) = current.map(|key| key.material.wire) else {
            return false;
        };
        if !spoken.is_empty() && request.highest < wire && self.speaks(request.highest) {
            self.desk.older = Some(Older {
                highest: request.highest,
                until: now + self.rhythm.epoch.saturating_mul(2),
            });
            self.lower_version(now);
        }
        spoken.contains(&wire)
    }

    /// Whether this node speaks a version.
    pub(crate) fn speaks(&self, wire: u8) -> bool {
        self.config.wire.contains(&wire)
    }
}
