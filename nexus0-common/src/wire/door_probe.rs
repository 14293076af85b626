//! DOOR-PROBE: what are you, over a fresh nonce?
//!
//! ```text
//! 0       16
//! +-------+-------+
//! | nonce | grant |
//! +-------+-------+
//! ```

use super::cursor::{Reader, Writer};
use super::{Body, FrameType};

/// The fields in wire order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorProbe {
    /// Comes back in the reply.
    pub nonce: [u8; 16],
    /// The grant of the one who asks.
    pub grant: [u8; 134],
}

impl DoorProbe {
    /// Reads a body; `None` if it is too short.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self {
            nonce: reader.array()?,
            grant: reader.array()?,
        })
    }
}

impl Body for DoorProbe {
    const TYPE: FrameType = FrameType::DoorProbe;

    fn emit(&self, writer: &mut Writer<'_>) {
        writer.put(&self.nonce).put(&self.grant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip() {
        let body = DoorProbe {
            nonce: [1; 16],
            grant: [2; 134],
        };
        let mut bytes = [0; 1119];
        let mut writer = Writer::new(&mut bytes);
        body.emit(&mut writer);
        assert_eq!(writer.position(), Some(150));
        assert_eq!(DoorProbe::parse(&bytes), Some(body));
        for short in [0, 1, 149] {
            assert_eq!(DoorProbe::parse(&bytes[..short]), None, "{short}");
        }
    }
}
