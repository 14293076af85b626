//! Nobody who is out by a host's own list is heard there, by its filter or by its node.

use nexus0_common::wire::{Header, Slot};

use super::super::host::SimNode;
use super::super::packet::Packet;
use crate::id::NodeId;

/// Judges a frame that was accepted. At the door everybody may knock.
pub(crate) fn check(host: &SimNode, packet: &Packet) -> Result<(), String> {
    let header = Header::parse(packet.payload());
    let (Some(node), Some(header)) = (&host.node, header) else {
        return Ok(());
    };
    let sender = NodeId(header.sender);
    let out = node.expulsion.list.revoked().contains(&sender);
    if out && header.frame_type.slot() != Slot::Door {
        let name = header.frame_type.name();
        return Err(format!("{name} of {sender}, who is out"));
    }
    Ok(())
}
