//! DOOR-REPLY: the signed answer to a DOOR-PROBE.
//!
//! ```text
//! 0       16
//! +-------+-----+
//! | nonce |state|
//! +-------+-----+
//! ```

use super::cursor::{Reader, Writer};
use super::{Body, FrameType};

/// The fields in wire order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorReply {
    /// Of the probe.
    pub nonce: [u8; 16],
    /// 1 stateless: joining, 2 member, 3 anchor.
    pub state: u8,
}

impl DoorReply {
    /// Reads a body; `None` if it is too short.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self {
            nonce: reader.array()?,
            state: reader.u8()?,
        })
    }
}

impl Body for DoorReply {
    const TYPE: FrameType = FrameType::DoorReply;

    fn emit(&self, writer: &mut Writer<'_>) {
        writer.put(&self.nonce).put(&[self.state]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip() {
        let body = DoorReply {
            nonce: [1; 16],
            state: 2,
        };
        let mut bytes = [0; 1119];
        let mut writer = Writer::new(&mut bytes);
        body.emit(&mut writer);
        assert_eq!(writer.position(), Some(17));
        assert_eq!(DoorReply::parse(&bytes), Some(body));
        for short in [0, 1, 16] {
            assert_eq!(DoorReply::parse(&bytes[..short]), None, "{short}");
        }
    }
}
