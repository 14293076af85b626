//! REQ_EPOCH: let me in.
//!
//! ```text
//! 0            4       20          52      186     187    188     189
//! +------------+-------+-----------+-------+-------+------+-------+--------+
//! | door nonce | nonce | ephemeral | grant |attempt|lowest|highest|reigning|
//! +------------+-------+-----------+-------+-------+------+-------+--------+
//! ```

use super::cursor::{Reader, Writer};
use super::{Body, FrameType};

/// The fields in wire order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The one in an anchor's last BEACON, zero if none was heard.
    pub door_nonce: [u8; 4],
    /// Fresh per join, kept by retries.
    pub nonce: [u8; 16],
    /// X25519 public key, fresh per join, kept by retries.
    pub ephemeral: [u8; 32],
    /// The member's grant.
    pub grant: [u8; 134],
    /// 0 for the first.
    pub attempt: u8,
    /// Lowest wire version spoken.
    pub lowest: u8,
    /// Highest wire version spoken.
    pub highest: u8,
    /// Number of the chain whose anchor asks, for itself and its followers; zero: a joiner asks.
    pub reigning: u64,
}

impl Request {
    /// Reads a body; `None` if it is too short.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self {
            door_nonce: reader.array()?,
            nonce: reader.array()?,
            ephemeral: reader.array()?,
            grant: reader.array()?,
            attempt: reader.u8()?,
            lowest: reader.u8()?,
            highest: reader.u8()?,
            reigning: reader.u64()?,
        })
    }
}

impl Body for Request {
    const TYPE: FrameType = FrameType::ReqEpoch;

    fn emit(&self, writer: &mut Writer<'_>) {
        writer
            .put(&self.door_nonce)
            .put(&self.nonce)
            .put(&self.ephemeral)
            .put(&self.grant)
            .put(&[self.attempt])
            .put(&[self.lowest])
            .put(&[self.highest])
            .put(&self.reigning.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip() {
        let body = Request {
            door_nonce: [3; 4],
            nonce: [1; 16],
            ephemeral: [2; 32],
            grant: [4; 134],
            attempt: 5,
            lowest: 6,
            highest: 7,
            reigning: 8,
        };
        let mut bytes = [0; 1119];
        let mut writer = Writer::new(&mut bytes);
        body.emit(&mut writer);
        assert_eq!(writer.position(), Some(197));
        assert_eq!(Request::parse(&bytes), Some(body));
        for short in [0, 1, 196] {
            assert_eq!(Request::parse(&bytes[..short]), None, "{short}");
        }
    }
}
