//! ROSTER: some or all members, each with its grant.
//!
//! ```text
//! 0       8       16              24      26  27  28
//! +-------+-------+---------------+-------+---+---+-------------+
//! | chain | number| roster digest |members| n | 0 | n x 137 ... |
//! +-------+-------+---------------+-------+---+---+-------------+
//! ```

use super::cursor::{Reader, Writer};
use super::{Body, FrameType};

/// Most entries in one frame.
pub const ROSTER_ENTRIES: usize = 7;
/// Bytes of an entry.
pub const ROSTER_ENTRY_LEN: usize = 137;

/// The fields in wire order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roster<'a> {
    /// The chain.
    pub chain: [u8; 8],
    /// The epoch's number.
    pub number: u64,
    /// Digest of the whole roster.
    pub roster: [u8; 8],
    /// Members in the whole roster.
    pub members: u16,
    /// Up to seven members.
    pub entries: &'a [[u8; 137]],
}

impl<'a> Roster<'a> {
    /// Reads a body; `None` if it is too short or has too many entries.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let chain = reader.array()?;
        let number = reader.u64()?;
        let roster = reader.array()?;
        let members = reader.u16()?;
        let count = usize::from(reader.u8()?);
        reader.u8()?;
        let entries = reader.list(count).filter(|_| count <= ROSTER_ENTRIES)?;
        Some(Self {
            chain,
            number,
            roster,
            members,
            entries,
        })
    }
}

impl Body for Roster<'_> {
    const TYPE: FrameType = FrameType::Roster;

    fn emit(&self, writer: &mut Writer<'_>) {
        writer
            .put(&self.chain)
            .put(&self.number.to_be_bytes())
            .put(&self.roster)
            .put(&self.members.to_be_bytes())
            .put(&[self.entries.len() as u8])
            .put(&[0])
            .put(self.entries.as_flattened());
    }
}

/// One member of the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RosterEntry {
    /// Index in the succession.
    pub position: u16,
    /// The highest wire version it speaks.
    pub highest: u8,
    /// Its grant.
    pub grant: [u8; 134],
}

impl RosterEntry {
    /// Reads an entry; `None` never happens for whole entries.
    pub fn parse(bytes: &[u8; ROSTER_ENTRY_LEN]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self {
            position: reader.u16()?,
            highest: reader.u8()?,
            grant: reader.array()?,
        })
    }

    /// The entry's bytes.
    pub fn bytes(&self) -> [u8; ROSTER_ENTRY_LEN] {
        let mut bytes = [0; ROSTER_ENTRY_LEN];
        Writer::new(&mut bytes)
            .put(&self.position.to_be_bytes())
            .put(&[self.highest])
            .put(&self.grant);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip() {
        let body = Roster {
            chain: [1; 8],
            number: 2,
            roster: [3; 8],
            members: 4,
            entries: &[[5; ROSTER_ENTRY_LEN], [6; ROSTER_ENTRY_LEN]],
        };
        let mut bytes = [0; 1119];
        let mut writer = Writer::new(&mut bytes);
        body.emit(&mut writer);
        assert_eq!(writer.position(), Some(302));
        assert_eq!(Roster::parse(&bytes), Some(body));
        for short in [0, 1, 301] {
            assert_eq!(Roster::parse(&bytes[..short]), None, "{short}");
        }
    }
}
