//! REKEY: a fresh secret, sealed to each member on its own.
//!
//! ```text
//! 0              56          88  89     90      91  92
//! +--------------+-----------+---+------+-------+---+------------+
//! | announcement | ephemeral | n | page | pages | 0 | n x 56 ... |
//! +--------------+-----------+---+------+-------+---+------------+
//! ```

use super::cursor::{Reader, Writer};
use super::{Announcement, Body, FrameType};

/// Most entries in one frame.
pub const REKEY_ENTRIES: usize = 17;
/// Bytes of an entry.
pub const REKEY_ENTRY_LEN: usize = 56;

/// The fields in wire order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rekey<'a> {
    /// Of the epoch.
    pub head: Announcement,
    /// The anchor's X25519 public key for these boxes.
    pub ephemeral: [u8; 32],
    /// This page, from zero.
    pub page: u8,
    /// Pages in all.
    pub pages: u8,
    /// Up to seventeen members.
    pub entries: &'a [[u8; REKEY_ENTRY_LEN]],
}

impl<'a> Rekey<'a> {
    /// Reads a body; `None` if it is too short or has too many entries.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let head = Announcement::read(&mut reader)?;
        let ephemeral = reader.array()?;
        let count = usize::from(reader.u8()?);
        let page = reader.u8()?;
        let pages = reader.u8()?;
        reader.u8()?;
        let entries = reader.list(count).filter(|_| count <= REKEY_ENTRIES)?;
        Some(Self {
            head,
            ephemeral,
            page,
            pages,
            entries,
        })
    }
}

impl Body for Rekey<'_> {
    const TYPE: FrameType = FrameType::Rekey;

    fn emit(&self, writer: &mut Writer<'_>) {
        writer
            .put(&self.head.bytes())
            .put(&self.ephemeral)
            .put(&[self.entries.len() as u8])
            .put(&[self.page])
            .put(&[self.pages])
            .put(&[0])
            .put(self.entries.as_flattened());
    }
}

/// The box for one member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RekeyEntry {
    /// Node id of the member.
    pub member: [u8; 8],
    /// The secret, sealed.
    pub sealed: [u8; 48],
}

impl RekeyEntry {
    /// Reads an entry; `None` never happens for whole entries.
    pub fn parse(bytes: &[u8; REKEY_ENTRY_LEN]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self {
            member: reader.array()?,
            sealed: reader.array()?,
        })
    }

    /// The entry's bytes.
    pub fn bytes(&self) -> [u8; REKEY_ENTRY_LEN] {
        let mut bytes = [0; REKEY_ENTRY_LEN];
        Writer::new(&mut bytes).put(&self.member).put(&self.sealed);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::super::announcement::SAMPLE;
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip() {
        let body = Rekey {
            head: SAMPLE,
            ephemeral: [13; 32],
            page: 14,
            pages: 15,
            entries: &[[16; REKEY_ENTRY_LEN], [17; REKEY_ENTRY_LEN]],
        };
        let mut bytes = [0; 1119];
        let mut writer = Writer::new(&mut bytes);
        body.emit(&mut writer);
        assert_eq!(writer.position(), Some(204));
        assert_eq!(Rekey::parse(&bytes), Some(body));
        for short in [0, 1, 203] {
            assert_eq!(Rekey::parse(&bytes[..short]), None, "{short}");
        }
    }
}
