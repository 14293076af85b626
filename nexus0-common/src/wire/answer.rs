//! ANSWER: the current secret, sealed to up to seven joiners.
//!
//! ```text
//! 0           32      40       48  49  50  54  58          62              70      72   76      210   211    212
//! +-----------+-------+--------+---+---+---+---+-----------+---------------+-------+----+-------+-----+------+-------------+
//! | ephemeral | chain | number |flg| n | E | P | remaining | roster digest |members|rev | grant | wire| next | n x 112 ... |
//! +-----------+-------+--------+---+---+---+---+-----------+---------------+-------+----+-------+-----+------+-------------+
//! ```

use super::cursor::{Reader, Writer};
use super::{Body, FrameType};

/// Most entries in one frame.
pub const ANSWER_ENTRIES: usize = 7;
/// Bytes of an entry.
pub const ANSWER_ENTRY_LEN: usize = 112;
/// Bytes of the body before the entries.
pub const ANSWER_HEAD_LEN: usize = 212;

/// The fields in wire order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The anchor's X25519 public key for these boxes.
    pub ephemeral: [u8; 32],
    /// The chain.
    pub chain: [u8; 8],
    /// The current epoch's number.
    pub number: u64,
    /// Bit 0: a next secret is inside.
    pub flags: u8,
    /// Up to seven joiners.
    pub entries: &'a [[u8; 112]],
    /// Milliseconds an epoch lasts.
    pub epoch: u32,
    /// Milliseconds between pulses.
    pub pulse: u32,
    /// Milliseconds until the current epoch ends.
    pub remaining: u32,
    /// Digest of the roster.
    pub roster: [u8; 8],
    /// Members in the roster.
    pub members: u16,
    /// Highest revocation number known.
    pub revocation: u32,
    /// The anchor's grant.
    pub grant: [u8; 134],
    /// Wire version of the current epoch.
    pub wire: u8,
    /// Wire version of the next epoch, zero if none is inside.
    pub next_wire: u8,
}

impl<'a> Answer<'a> {
    /// Reads a body; `None` if it is too short or has too many entries.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let ephemeral = reader.array()?;
        let chain = reader.array()?;
        let number = reader.u64()?;
        let flags = reader.u8()?;
        let count = usize::from(reader.u8()?);
        let epoch = reader.u32()?;
        let pulse = reader.u32()?;
        let remaining = reader.u32()?;
        let roster = reader.array()?;
        let members = reader.u16()?;
        let revocation = reader.u32()?;
        let grant = reader.array()?;
        let wire = reader.u8()?;
        let next_wire = reader.u8()?;
        let entries = reader.list(count).filter(|_| count <= ANSWER_ENTRIES)?;
        Some(Self {
            ephemeral,
            chain,
            number,
            flags,
            entries,
            epoch,
            pulse,
            remaining,
            roster,
            members,
            revocation,
            grant,
            wire,
            next_wire,
        })
    }
}

impl Body for Answer<'_> {
    const TYPE: FrameType = FrameType::Answer;

    fn emit(&self, writer: &mut Writer<'_>) {
        writer
            .put(&self.ephemeral)
            .put(&self.chain)
            .put(&self.number.to_be_bytes())
            .put(&[self.flags])
            .put(&[self.entries.len() as u8])
            .put(&self.epoch.to_be_bytes())
            .put(&self.pulse.to_be_bytes())
            .put(&self.remaining.to_be_bytes())
            .put(&self.roster)
            .put(&self.members.to_be_bytes())
            .put(&self.revocation.to_be_bytes())
            .put(&self.grant)
            .put(&[self.wire])
            .put(&[self.next_wire])
            .put(self.entries.as_flattened());
    }
}

/// The box for one joiner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerEntry {
    /// The request this answers.
    pub request: [u8; 16],
    /// Node id of the joiner.
    pub joiner: [u8; 8],
    /// Current secret, next secret, sequence floor, sealed.
    pub sealed: [u8; 88],
}

impl AnswerEntry {
    /// Reads an entry; `None` never happens for whole entries.
    pub fn parse(bytes: &[u8; ANSWER_ENTRY_LEN]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self {
            request: reader.array()?,
            joiner: reader.array()?,
            sealed: reader.array()?,
        })
    }

    /// The entry's bytes.
    pub fn bytes(&self) -> [u8; ANSWER_ENTRY_LEN] {
        let mut bytes = [0; ANSWER_ENTRY_LEN];
        Writer::new(&mut bytes)
            .put(&self.request)
            .put(&self.joiner)
            .put(&self.sealed);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip() {
        let body = Answer {
            ephemeral: [1; 32],
            chain: [2; 8],
            number: 3,
            flags: 4,
            entries: &[[5; ANSWER_ENTRY_LEN], [6; ANSWER_ENTRY_LEN]],
            epoch: 7,
            pulse: 8,
            remaining: 9,
            roster: [10; 8],
            members: 11,
            revocation: 12,
            grant: [13; 134],
            wire: 14,
            next_wire: 15,
        };
        let mut bytes = [0; 1119];
        let mut writer = Writer::new(&mut bytes);
        body.emit(&mut writer);
        assert_eq!(writer.position(), Some(436));
        assert_eq!(Answer::parse(&bytes), Some(body));
        for short in [0, 1, 435] {
            assert_eq!(Answer::parse(&bytes[..short]), None, "{short}");
        }
    }
}
