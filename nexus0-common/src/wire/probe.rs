//! PROBE: does the anchor live?
//!
//! ```text
//! 0       16
//! +-------+
//! | nonce |
//! +-------+
//! ```

use super::cursor::{Reader, Writer};
use super::{Body, FrameType};

/// The fields in wire order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Comes back in the reply.
    pub nonce: [u8; 16],
}

impl Probe {
    /// Reads a body; `None` if it is too short.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self {
            nonce: reader.array()?,
        })
    }
}

impl Body for Probe {
    const TYPE: FrameType = FrameType::Probe;

    fn emit(&self, writer: &mut Writer<'_>) {
        writer.put(&self.nonce);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip() {
        let body = Probe { nonce: [1; 16] };
        let mut bytes = [0; 1119];
        let mut writer = Writer::new(&mut bytes);
        body.emit(&mut writer);
        assert_eq!(writer.position(), Some(16));
        assert_eq!(Probe::parse(&bytes), Some(body));
        for short in [0, 1, 15] {
            assert_eq!(Probe::parse(&bytes[..short]), None, "{short}");
        }
    }
}
