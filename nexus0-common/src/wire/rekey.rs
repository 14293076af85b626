//! REKEY: a fresh secret, sealed to each member on its own.
//!
//! ```text
//! 0     8       16      24     28           32 36 40 41 42     44            52  56         88 89   90    91 92
//! +-----+-------+-------+------+------------+--+--+--+--+------+-------------+---+----------+--+----+-----+--+------------+
//! |chain|parent | number|key id|activates_in|E |P |fl|w |member|roster digest|rev|ephemeral |n |page|pages|0 | n x 56 ... |
//! +-----+-------+-------+------+------------+--+--+--+--+------+-------------+---+----------+--+----+-----+--+------------+
//! ```

use super::cursor::{Reader, Writer};
use super::{Body, FrameType};

/// Most entries in one frame.
pub const REKEY_ENTRIES: usize = 17;
/// Bytes of an entry.
pub const REKEY_ENTRY_LEN: usize = 56;

/// The fields in wire order; the first as in EPOCH.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rekey<'a> {
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
        let chain = reader.array()?;
        let parent = reader.array()?;
        let number = reader.u64()?;
        let key_id = reader.array()?;
        let activates_in = reader.u32()?;
        let epoch = reader.u32()?;
        let pulse = reader.u32()?;
        let flags = reader.u8()?;
        let wire = reader.u8()?;
        let members = reader.u16()?;
        let roster = reader.array()?;
        let revocation = reader.u32()?;
        let ephemeral = reader.array()?;
        let count = usize::from(reader.u8()?);
        let page = reader.u8()?;
        let pages = reader.u8()?;
        reader.u8()?;
        let entries = reader.list(count).filter(|_| count <= REKEY_ENTRIES)?;
        Some(Self {
            chain,
            parent,
            number,
            key_id,
            activates_in,
            epoch,
            pulse,
            flags,
            wire,
            members,
            roster,
            revocation,
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
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip() {
        let body = Rekey {
            chain: [1; 8],
            parent: [2; 8],
            number: 3,
            key_id: [4; 4],
            activates_in: 5,
            epoch: 6,
            pulse: 7,
            flags: 8,
            wire: 9,
            members: 10,
            roster: [11; 8],
            revocation: 12,
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
