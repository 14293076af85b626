//! BEACON: an anchor shows itself to other chains.
//!
//! ```text
//! 0       8        16         20           24      158
//! +-------+--------+----------+------------+-------+
//! | chain | number |revocation| door nonce | grant |
//! +-------+--------+----------+------------+-------+
//! ```

use super::cursor::{Reader, Writer};
use super::{Body, FrameType};

/// The fields in wire order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beacon {
    /// The chain.
    pub chain: [u8; 8],
    /// The current epoch's number.
    pub number: u64,
    /// Highest revocation number known.
    pub revocation: u32,
    /// What requests to join are bound to just now.
    pub door_nonce: [u8; 4],
    /// The anchor's grant.
    pub grant: [u8; 134],
}

impl Beacon {
    /// Reads a body; `None` if it is too short.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self {
            chain: reader.array()?,
            number: reader.u64()?,
            revocation: reader.u32()?,
            door_nonce: reader.array()?,
            grant: reader.array()?,
        })
    }
}

impl Body for Beacon {
    const TYPE: FrameType = FrameType::Beacon;

    fn emit(&self, writer: &mut Writer<'_>) {
        writer
            .put(&self.chain)
            .put(&self.number.to_be_bytes())
            .put(&self.revocation.to_be_bytes())
            .put(&self.door_nonce)
            .put(&self.grant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip() {
        let body = Beacon {
            chain: [1; 8],
            number: 2,
            revocation: 3,
            door_nonce: [4; 4],
            grant: [5; 134],
        };
        let mut bytes = [0; 1119];
        let mut writer = Writer::new(&mut bytes);
        body.emit(&mut writer);
        assert_eq!(writer.position(), Some(158));
        assert_eq!(Beacon::parse(&bytes), Some(body));
        for short in [0, 1, 157] {
            assert_eq!(Beacon::parse(&bytes[..short]), None, "{short}");
        }
    }
}
