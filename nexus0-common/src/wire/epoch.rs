//! EPOCH: the next secret, or a promotion's, sealed under one that the receivers hold.
//!
//! ```text
//! 0     8       16      24     28           32 36 40 41 42     44            52  56          184   216
//! +-----+-------+-------+------+------------+--+--+--+--+------+-------------+---+-----------+-----+--------+
//! |chain|parent | number|key id|activates_in|E |P |fl|w |member|roster digest|rev|16 node ids|salt | sealed |
//! +-----+-------+-------+------+------------+--+--+--+--+------+-------------+---+-----------+-----+--------+
//! ```

use super::cursor::{Reader, Writer};
use super::{Body, FrameType};

/// The fields in wire order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// The chain of the new epoch.
    pub chain: [u8; 8],
    /// The chain it came from, zero for none.
    pub parent: [u8; 8],
    /// The epoch's number.
    pub number: u64,
    /// Names the key of the secret carried.
    pub key_id: [u8; 4],
    /// Milliseconds until it is sent under.
    pub activates_in: u32,
    /// Milliseconds an epoch lasts.
    pub epoch: u32,
    /// Milliseconds between pulses.
    pub pulse: u32,
    /// Bit 0: a promotion; bit 1: the keys before it end at once; bit 2: a preemption.
    pub flags: u8,
    /// Wire version of the epoch.
    pub wire: u8,
    /// Members in the roster.
    pub members: u16,
    /// Digest of the roster.
    pub roster: [u8; 8],
    /// Highest revocation number known.
    pub revocation: u32,
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
            chain: reader.array()?,
            parent: reader.array()?,
            number: reader.u64()?,
            key_id: reader.array()?,
            activates_in: reader.u32()?,
            epoch: reader.u32()?,
            pulse: reader.u32()?,
            flags: reader.u8()?,
            wire: reader.u8()?,
            members: reader.u16()?,
            roster: reader.array()?,
            revocation: reader.u32()?,
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
            .put(&self.chain)
            .put(&self.parent)
            .put(&self.number.to_be_bytes())
            .put(&self.key_id)
            .put(&self.activates_in.to_be_bytes())
            .put(&self.epoch.to_be_bytes())
            .put(&self.pulse.to_be_bytes())
            .put(&[self.flags])
            .put(&[self.wire])
            .put(&self.members.to_be_bytes())
            .put(&self.roster)
            .put(&self.revocation.to_be_bytes())
            .put(&self.succession)
            .put(&self.salt)
            .put(&self.sealed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip() {
        let body = Epoch {
            chain: [1; 8],
            parent: [2; 8],
            number: 3,
            key_id: [4; 4],
            activates_in: 5,
            epoch: 6,
            pulse: 7,
            flags: 8,
            wire: 15,
            members: 9,
            roster: [10; 8],
            revocation: 11,
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
