//! ASK: for what was missed.
//!
//! ```text
//! 0    1
//! +----+------+
//! |what| held |
//! +----+------+
//! ```

use super::cursor::{Reader, Writer};
use super::{Body, FrameType};

/// The fields in wire order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// 1 roster, 2 next epoch, 3 revocations.
    pub what: u8,
    /// What is held already: the roster's digest, or the revocation number in the last four bytes.
    pub held: [u8; 8],
}

impl Ask {
    /// Reads a body; `None` if it is too short.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self {
            what: reader.u8()?,
            held: reader.array()?,
        })
    }
}

impl Body for Ask {
    const TYPE: FrameType = FrameType::Ask;

    fn emit(&self, writer: &mut Writer<'_>) {
        writer.put(&[self.what]).put(&self.held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip() {
        let body = Ask {
            what: 1,
            held: [2; 8],
        };
        let mut bytes = [0; 1119];
        let mut writer = Writer::new(&mut bytes);
        body.emit(&mut writer);
        assert_eq!(writer.position(), Some(9));
        assert_eq!(Ask::parse(&bytes), Some(body));
        for short in [0, 1, 8] {
            assert_eq!(Ask::parse(&bytes[..short]), None, "{short}");
        }
    }
}
