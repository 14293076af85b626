//! BYE: the sender leaves, or gives up being the anchor.
//!
//! ```text
//! 0       8
//! +-------+------+
//! | chain |reason|
//! +-------+------+
//! ```

use super::cursor::{Reader, Writer};
use super::{Body, FrameType};

/// The fields in wire order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bye {
    /// The chain the sender is in.
    pub chain: [u8; 8],
    /// 0 leaving, 1 stepped back, 2 outranked.
    pub reason: u8,
}

impl Bye {
    /// Reads a body; `None` if it is too short.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self {
            chain: reader.array()?,
            reason: reader.u8()?,
        })
    }
}

impl Body for Bye {
    const TYPE: FrameType = FrameType::Bye;

    fn emit(&self, writer: &mut Writer<'_>) {
        writer.put(&self.chain).put(&[self.reason]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip() {
        let body = Bye {
            chain: [1; 8],
            reason: 2,
        };
        let mut bytes = [0; 1119];
        let mut writer = Writer::new(&mut bytes);
        body.emit(&mut writer);
        assert_eq!(writer.position(), Some(9));
        assert_eq!(Bye::parse(&bytes), Some(body));
        for short in [0, 1, 8] {
            assert_eq!(Bye::parse(&bytes[..short]), None, "{short}");
        }
    }
}
