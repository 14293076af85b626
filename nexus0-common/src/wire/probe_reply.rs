//! PROBE-REPLY: the signed answer to a PROBE.
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
pub struct ProbeReply {
    /// Of the probe.
    pub nonce: [u8; 16],
    /// 2 member, 3 anchor of the key's chain.
    pub state: u8,
}

impl ProbeReply {
    /// Reads a body; `None` if it is too short.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self {
            nonce: reader.array()?,
            state: reader.u8()?,
        })
    }
}

impl Body for ProbeReply {
    const TYPE: FrameType = FrameType::ProbeReply;

    fn emit(&self, writer: &mut Writer<'_>) {
        writer.put(&self.nonce).put(&[self.state]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip() {
        let body = ProbeReply {
            nonce: [1; 16],
            state: 2,
        };
        let mut bytes = [0; 1119];
        let mut writer = Writer::new(&mut bytes);
        body.emit(&mut writer);
        assert_eq!(writer.position(), Some(17));
        assert_eq!(ProbeReply::parse(&bytes), Some(body));
        for short in [0, 1, 16] {
            assert_eq!(ProbeReply::parse(&bytes[..short]), None, "{short}");
        }
    }
}
