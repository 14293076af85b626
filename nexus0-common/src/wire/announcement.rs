//! What EPOCH and REKEY say alike of the epoch whose secret they carry.
//!
//! ```text
//! 0     8       16      24     28           32 36 40 41 42     44            52  56
//! +-----+-------+-------+------+------------+--+--+--+--+------+-------------+---+
//! |chain|parent | number|key id|activates_in|E |P |fl|w |member|roster digest|rev|
//! +-----+-------+-------+------+------------+--+--+--+--+------+-------------+---+
//! ```

use super::cursor::{Reader, Writer};

/// Bytes of it.
pub const ANNOUNCEMENT_LEN: usize = 56;

/// The fields in wire order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
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
}

impl Announcement {
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
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
        })
    }

    /// Its bytes, to which seals are bound.
    pub fn bytes(&self) -> [u8; ANNOUNCEMENT_LEN] {
        let mut bytes = [0; ANNOUNCEMENT_LEN];
        Writer::new(&mut bytes)
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
            .put(&self.revocation.to_be_bytes());
        bytes
    }
}

#[cfg(test)]
pub(super) const SAMPLE: Announcement = Announcement {
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
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_bytes_are_read_as_what_they_were() {
        let bytes = SAMPLE.bytes();
        let read = |bytes: &[u8]| Announcement::read(&mut Reader::new(bytes));
        assert_eq!(read(&bytes), Some(SAMPLE));
        assert_eq!(bytes[55], 12);
        for short in [0, 1, 55] {
            assert_eq!(read(&bytes[..short]), None, "{short}");
        }
    }
}
