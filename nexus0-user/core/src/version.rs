//! Which wire version a mesh speaks: the lowest of what its members speak at best.

use nexus0_common::wire::Request;

use crate::node::Node;
use crate::sabotage::{Sabotage, planted};
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
        if planted(Sabotage::StayLow) {
            return *self.config.wire.start();
        }
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

    /// Whether a joiner can take part in the current epoch.
    pub(crate) fn understands(&self, now: Time, request: &Request) -> bool {
        let wire = self.current_version(now);
        wire.is_some_and(|wire| (request.lowest..=request.highest).contains(&wire))
    }

    /// For a joiner that is only too old the anchor breaks the chain and goes on in a version that both speak: once
    /// the request shows the door's nonce, for others anybody may have recorded. Until then it is shown one.
    pub(crate) fn make_way(&mut self, now: Time, request: &Request) -> Option<()> {
        let wire = self.current_version(now)?;
        if request.highest >= wire || !self.speaks(request.highest) {
            return None;
        }
        if !self.is_door_nonce(request.door_nonce) {
            return self.show_nonce(now);
        }
        self.desk.older = Some(Older {
            highest: request.highest,
            until: now + self.rhythm.epoch.saturating_mul(2),
        });
        self.break_chain(now);
        Some(())
    }

    fn current_version(&self, now: Time) -> Option<u8> {
        let chain = self.lineage.as_ref()?.chain;
        Some(self.keys.current(chain, now)?.material.wire)
    }

    /// Whether this node speaks a version.
    pub(crate) fn speaks(&self, wire: u8) -> bool {
        self.config.wire.contains(&wire)
    }
}
