//! ANN and ANCHOR: a pulse. The anchor's is signed.
//!
//! ```text
//! 0   1   2               10      14       18               26          30
//! +---+---+---------------+-------+--------+----------------+-----------+---+
//! |sta|flg| anchor        | uptime| profile| roster digest  |next key id|rev|
//! +---+---+---------------+-------+--------+----------------+-----------+---+
//! ```

use super::cursor::{Reader, Writer};
use super::{Body, FrameType};

/// The fields in wire order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// 0 follower, 1 anchor.
    pub status: u8,
    /// None defined yet.
    pub flags: u8,
    /// Node id of the followed anchor.
    pub anchor: [u8; 8],
    /// Seconds since the start; shown, never compared.
    pub uptime: u32,
    /// Digest of the sender's grant.
    pub profile: [u8; 4],
    /// Digest of the roster the sender holds.
    pub roster: [u8; 8],
    /// Key id of the announced next epoch, zero for none.
    pub next_key: [u8; 4],
    /// Low byte of the revocation number held; zero in wire version 1.
    pub revocation: u8,
}

impl Pulse {
    /// Reads a body; `None` if it is too short.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self {
            status: reader.u8()?,
            flags: reader.u8()?,
            anchor: reader.array()?,
            uptime: reader.u32()?,
            profile: reader.array()?,
            roster: reader.array()?,
            next_key: reader.array()?,
            revocation: reader.u8()?,
        })
    }
}

impl Pulse {
    pub(super) fn emit(&self, writer: &mut Writer<'_>) {
        writer
            .put(&[self.status])
            .put(&[self.flags])
            .put(&self.anchor)
            .put(&self.uptime.to_be_bytes())
            .put(&self.profile)
            .put(&self.roster)
            .put(&self.next_key)
            .put(&[self.revocation]);
    }
}

/// A follower's pulse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ann(pub Pulse);

impl Body for Ann {
    const TYPE: FrameType = FrameType::Ann;

    fn emit(&self, writer: &mut Writer<'_>) {
        self.0.emit(writer);
    }
}

/// The anchor's pulse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor(pub Pulse);

impl Body for Anchor {
    const TYPE: FrameType = FrameType::Anchor;

    fn emit(&self, writer: &mut Writer<'_>) {
        self.0.emit(writer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip() {
        let body = Pulse {
            status: 1,
            flags: 2,
            anchor: [3; 8],
            uptime: 4,
            profile: [5; 4],
            roster: [6; 8],
            next_key: [7; 4],
            revocation: 8,
        };
        let mut bytes = [0; 1119];
        let mut writer = Writer::new(&mut bytes);
        body.emit(&mut writer);
        assert_eq!(writer.position(), Some(31));
        assert_eq!(Pulse::parse(&bytes), Some(body));
        for short in [0, 1, 30] {
            assert_eq!(Pulse::parse(&bytes[..short]), None, "{short}");
        }
    }
}
