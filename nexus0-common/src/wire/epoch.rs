//! EPOCH: the next secret, or a promotion's, sealed under one that the receivers hold.
//!
//! ```text
//! 0              56            184    216      264
//! +--------------+-------------+------+--------+
//! | announcement | 16 node ids | salt | sealed |
//! +--------------+-------------+------+--------+
//! ```

use super::cursor::{Reader, Writer};
use super::{Announcement, Body, FrameType};

/// The fields in wire order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Of the epoch.
    pub head: Announcement,
    /// The first sixteen node ids of the succession, zero-padded.
    pub succession: [u8; 128],
    /// Fresh random bytes of this seal.
    pub salt: [u8; 32],
    /// The secret, sealed.
    pub sealed: [u8; 48],
}

impl Epoch {
    /// Reads a body; `None` if it is too short.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self {
            head: Announcement::read(&mut reader)?,
            succession: reader.array()?,
            salt: reader.array()?,
            sealed: reader.array()?,
        })
    }
}

impl Body for Epoch {
    const TYPE: FrameType = FrameType::Epoch;

    fn emit(&self, writer: &mut Writer<'_>) {
        writer
            .put(&self.head.bytes())
            .put(&self.succession)
            .put(&self.salt)
            .put(&self.sealed);
    }
}

#[cfg(test)]
mod tests {
    use super::super::announcement::SAMPLE;
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip() {
        let body = Epoch {
            head: SAMPLE,
            succession: [12; 128],
            salt: [13; 32],
            sealed: [14; 48],
        };
        let mut bytes = [0; 1119];
        let mut writer = Writer::new(&mut bytes);
        body.emit(&mut writer);
        assert_eq!(writer.position(), Some(264));
        assert_eq!(Epoch::parse(&bytes), Some(body));
        for short in [0, 1, 263] {
            assert_eq!(Epoch::parse(&bytes[..short]), None, "{short}");
        }
    }
}
