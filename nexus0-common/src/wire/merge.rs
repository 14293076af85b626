//! MERGE: an outranked anchor hands its followers the winner's secrets.
//!
//! ```text
//! 0     8       16        20 24 28  29   30   31 32            40     42  46             62    196    228
//! +-----+-------+---------+--+--+---+----+----+--+-------------+------+---+--------------+-----+------+--------+
//! |chain| number|remaining|E |P |flg|wire|next|0 |roster digest|member|rev|winner address|grant| salt | sealed |
//! +-----+-------+---------+--+--+---+----+----+--+-------------+------+---+--------------+-----+------+--------+
//! ```

use super::cursor::{Reader, Writer};
use super::{Body, FrameType};

/// The fields in wire order: what an ANSWER says of the winner's chain, and who the winner is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merge {
    /// The winner's chain.
    pub chain: [u8; 8],
    /// Its current epoch's number.
    pub number: u64,
    /// Milliseconds until that epoch ends.
    pub remaining: u32,
    /// Milliseconds an epoch lasts.
    pub epoch: u32,
    /// Milliseconds between pulses.
    pub pulse: u32,
    /// Bit 0: a next secret is inside.
    pub flags: u8,
    /// Wire version of the current epoch.
    pub wire: u8,
    /// Wire version of the next epoch, zero if none is inside.
    pub next_wire: u8,
    /// Digest of the winner's roster.
    pub roster: [u8; 8],
    /// Members in it.
    pub members: u16,
    /// Highest revocation number the winner knows.
    pub revocation: u32,
    /// Address of the winner.
    pub source: [u8; 16],
    /// The winner's grant.
    pub grant: [u8; 134],
    /// Fresh random bytes of this seal.
    pub salt: [u8; 32],
    /// Current secret and next secret (or zeros), sealed.
    pub sealed: [u8; 80],
}

impl Merge {
    /// Reads a body; `None` if it is too short.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self {
            chain: reader.array()?,
            number: reader.u64()?,
            remaining: reader.u32()?,
            epoch: reader.u32()?,
            pulse: reader.u32()?,
            flags: reader.u8()?,
            wire: reader.u8()?,
            next_wire: reader.u8()?,
            roster: reader.u8().and_then(|_spare| reader.array())?,
            members: reader.u16()?,
            revocation: reader.u32()?,
            source: reader.array()?,
            grant: reader.array()?,
            salt: reader.array()?,
            sealed: reader.array()?,
        })
    }
}

impl Body for Merge {
    const TYPE: FrameType = FrameType::Merge;

    fn emit(&self, writer: &mut Writer<'_>) {
        writer
            .put(&self.chain)
            .put(&self.number.to_be_bytes())
            .put(&self.remaining.to_be_bytes())
            .put(&self.epoch.to_be_bytes())
            .put(&self.pulse.to_be_bytes())
            .put(&[self.flags])
            .put(&[self.wire])
            .put(&[self.next_wire])
            .put(&[0])
            .put(&self.roster)
            .put(&self.members.to_be_bytes())
            .put(&self.revocation.to_be_bytes())
            .put(&self.source)
            .put(&self.grant)
            .put(&self.salt)
            .put(&self.sealed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip() {
        let body = Merge {
            chain: [1; 8],
            number: 2,
            remaining: 3,
            epoch: 4,
            pulse: 5,
            flags: 6,
            wire: 7,
            next_wire: 8,
            roster: [9; 8],
            members: 10,
            revocation: 11,
            source: [12; 16],
            grant: [13; 134],
            salt: [14; 32],
            sealed: [15; 80],
        };
        let mut bytes = [0; 1119];
        let mut writer = Writer::new(&mut bytes);
        body.emit(&mut writer);
        assert_eq!(writer.position(), Some(308));
        assert_eq!(Merge::parse(&bytes), Some(body));
        for short in [0, 1, 307] {
            assert_eq!(Merge::parse(&bytes[..short]), None, "{short}");
        }
    }
}
