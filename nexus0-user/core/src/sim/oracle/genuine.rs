//! No frame is accepted that its sender did not send.

use nexus0_common::wire::Header;

use super::super::packet::{Origin, Packet};
use crate::id::NodeId;

/// Judges an accepted frame under an epoch key. Members can tag unsigned frames in each other's names
/// (SECURITY); what is signed they cannot.
pub(super) fn check(packet: &Packet, header: &Header, ids: &[NodeId]) -> Result<(), String> {
    let sender = NodeId(header.sender);
    let name = header.frame_type.name();
    match packet.origin {
        Origin::Node(_) => Ok(()),
        Origin::Stranger => Err(format!(
            "{name} in the name of {sender}, made by a stranger"
        )),
        Origin::Traitor(index) => {
            let own = ids.get(index) == Some(&sender);
            if own || !header.frame_type.signed() {
                return Ok(());
            }
            Err(format!(
                "{name} in the name of {sender}, made by member {index}"
            ))
        }
    }
}
