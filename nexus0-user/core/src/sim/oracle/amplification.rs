//! Bytes sent because of input that nobody proved never exceed the bytes of that input, host by host.

use std::collections::BTreeMap;

use nexus0_common::wire::{FrameType, Header, Slot};

use super::super::packet::{Origin, Packet};
use super::Cause;

/// What came to each host's door, and what it gave.
#[derive(Debug, Default)]
pub(super) struct Door(BTreeMap<usize, (usize, usize)>);

impl Door {
    /// A frame came in.
    pub(super) fn got(&mut self, host: usize, packet: &Packet) {
        let payload = packet.payload();
        let door =
            Header::parse(payload).is_some_and(|header| header.frame_type.slot() == Slot::Door);
        if door || packet.origin == Origin::Stranger {
            self.0.entry(host).or_default().0 += payload.len();
        }
    }

    /// Everything that a node sent at once because of a frame.
    pub(super) fn reaction(
        frame: &Packet,
        kind: Option<FrameType>,
        bytes: usize,
        answered: usize,
    ) -> Result<(), String> {
        let open = kind.is_some_and(open);
        // An answer gathers requests of the last 20 ms.
        let got = frame.payload().len() * answered.max(1);
        if bytes > got && (open || frame.origin == Origin::Stranger) {
            return Err(format!("{bytes} bytes given for {got} at once"));
        }
        Ok(())
    }

    /// A frame goes out.
    pub(super) fn sent(
        &mut self,
        host: usize,
        frame_type: FrameType,
        cause: &Cause,
        bytes: usize,
    ) -> Result<(), String> {
        if !owed(frame_type, cause) {
            return Ok(());
        }
        let (got, gave) = self.0.entry(host).or_default();
        *gave += bytes;
        if *gave > *got {
            return Err(format!(
                "{gave} bytes given for {got}, by {}",
                frame_type.name()
            ));
        }
        Ok(())
    }
}

/// Types that prove nothing of who sent them, nor that it is there.
fn open(frame_type: FrameType) -> bool {
    matches!(
        frame_type,
        FrameType::ReqEpoch | FrameType::Beacon | FrameType::DoorProbe | FrameType::DoorRevoke
    )
}

/// Whether a frame is sent because of what a stranger could have sent.
fn owed(frame_type: FrameType, cause: &Cause) -> bool {
    match cause {
        Cause::Command => false,
        Cause::Timer => matches!(frame_type, FrameType::Answer | FrameType::Hold),
        Cause::Frame(packet) => {
            let header = Header::parse(packet.payload());
            header.is_some_and(|header| open(header.frame_type))
                || packet.origin == Origin::Stranger
        }
    }
}
