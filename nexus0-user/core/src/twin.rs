//! This node's own identity, heard from somewhere else: a second interface on the same link, or a copied key.
//!
//! Two nodes with one identity use the same sequences: whoever hears both takes the frames of one for replays.

use nexus0_common::wire::Slot;

use crate::admission::{Admitted, Shape};
use crate::node::{Event, Node};
use crate::time::Time;

/// The other node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Twin {
    pub(crate) address: [u8; 16],
    pub(crate) heard: Time,
}

impl Node {
    /// A frame with this node's own id: never for it to act on. One at the door that is signed with this node's
    /// key, from an address that it does not have, is from another node with the same identity. Under an
    /// epoch's key nothing of the kind arrives: no filter knows its own node as a sender.
    pub(crate) fn meet_oneself(
        &mut self,
        now: Time,
        shape: &Shape<'_>,
        frame: Admitted<'_>,
    ) -> Option<()> {
        let own = self.address == Some(frame.source);
        let (slot, signed) = (
            frame.header.frame_type.slot(),
            frame.header.frame_type.signed(),
        );
        if own || slot != Slot::Door || !signed || self.met_lately(now, frame.source) {
            return None;
        }
        let frame = self.admit_stranger(now, shape, frame)?;
        let public_key = self.identity.public_key();
        self.check_signature(&frame, &public_key)?;
        let (address, heard) = (frame.source, now);
        let before = self.twin.replace(Twin { address, heard });
        if before.is_none_or(|twin| twin.address != address) {
            self.event(Event::SameIdentity { address });
        }
        Some(())
    }

    /// Once a pulse is enough: a signature costs what a stranger can make it cost.
    fn met_lately(&self, now: Time, address: [u8; 16]) -> bool {
        let lately =
            |twin: Twin| twin.address == address && now.since(twin.heard) < self.rhythm.pulse;
        self.twin.is_some_and(lately)
    }
}
