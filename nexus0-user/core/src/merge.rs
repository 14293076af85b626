//! Two chains on one link: the worse-ranked anchor gives up and joins the better one.

use nexus0_common::wire::{Beacon, DoorProbe, DoorReply, GROUP};

use crate::admission::Admitted;
use crate::cold_start::state;
use crate::election::Rank;
use crate::grant::Grant;
use crate::id::ChainId;
use crate::leave::bye;
use crate::node::{Event, Node};
use crate::rule::gives_way;
use crate::time::Time;

/// An anchor of another chain that this one asked whether it lives.
#[derive(Debug)]
pub(crate) struct Rival {
    grant: Grant,
    nonce: [u8; 16],
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
                revocation: 0,
                door_nonce: self.door_nonce(),
                grant,
            },
        )
    }

    /// Another chain's anchor shows itself. If it ranks above this one, a nonce decides.
    pub(crate) fn on_beacon(&mut self, _now: Time, frame: &Admitted<'_>) -> Option<()> {
        let beacon = Beacon::parse(frame.body())?;
        self.hear_beacon(frame, &beacon);
        let own = self.lineage.as_ref()?.chain;
        if !self.is_anchor() || ChainId(beacon.chain) == own {
            return None;
        }
        let grant = self.strangers_grant(&beacon.grant, frame.sender)?;
        if !gives_way(&Rank::between(&self.grant), &Rank::between(&grant)) {
            return None;
        }
        self.check_signature(frame, grant.public_key())?;
        let nonce = self.probe_nonce();
        self.rival = Some(Rival { grant, nonce });
        self.send_door(
            frame.source,
            &DoorProbe {
                nonce,
                grant: *self.grant.bytes(),
            },
        )
    }

    /// The other chain's anchor lives: this chain ends, its members follow by joining.
    pub(crate) fn prove_rival(
        &mut self,
        now: Time,
        frame: &Admitted<'_>,
        reply: &DoorReply,
    ) -> Option<()> {
        let rival = self.rival.as_ref().filter(|_| self.is_anchor())?;
        if rival.grant.node_id() != frame.sender || rival.nonce != reply.nonce {
            return None;
        }
        let public_key = *rival.grant.public_key();
        self.check_signature(frame, &public_key)?;
        self.rival = None;
        if reply.state != state::ANCHOR {
            return Some(());
        }
        self.event(Event::Merging {
            anchor: frame.sender,
        });
        self.send_bye(now, bye::OUTRANKED);
        self.leave_lineage(now, None);
        self.lineage = None;
        self.start_join(now);
        Some(())
    }
}
