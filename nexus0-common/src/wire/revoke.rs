//! REVOKE and DOOR-REVOKE: the root's list of those who are out, to members and to strangers.
//!
//! ```text
//! 0        4       8   9              9 + 8n
//! +--------+-------+---+--------------+-----------+
//! | number | floor | n | n x node id  | signature |
//! +--------+-------+---+--------------+-----------+
//! ```

use super::cursor::{Reader, Writer};
use super::{Body, FrameType};

/// Most node ids in a list.
pub const REVOKED: usize = 128;

/// The fields in wire order. The signature is the root's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revoke<'a> {
    /// The list's number: the highest replaces all others.
    pub number: u32,
    /// Grants with a lower serial are void.
    pub floor: u32,
    /// Node ids, up to 128.
    pub revoked: &'a [[u8; 8]],
    /// Ed25519 of the mesh root over what stands before it.
    pub signature: [u8; 64],
}

impl<'a> Revoke<'a> {
    /// Reads a body; `None` if it is too short or has too many ids.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let number = reader.u32()?;
        let floor = reader.u32()?;
        let count = usize::from(reader.u8()?);
        let revoked = reader.list(count).filter(|_| count <= REVOKED)?;
        let signature = reader.array()?;
        Some(Self {
            number,
            floor,
            revoked,
            signature,
        })
    }

    fn put(&self, writer: &mut Writer<'_>) {
        writer
            .put(&self.number.to_be_bytes())
            .put(&self.floor.to_be_bytes())
            .put(&[self.revoked.len() as u8])
            .put(self.revoked.as_flattened())
            .put(&self.signature);
    }
}

impl Body for Revoke<'_> {
    const TYPE: FrameType = FrameType::Revoke;

    fn emit(&self, writer: &mut Writer<'_>) {
        self.put(writer);
    }
}

/// The same list, to those who hold no epoch key of this chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoorRevoke<'a>(pub Revoke<'a>);

impl Body for DoorRevoke<'_> {
    const TYPE: FrameType = FrameType::DoorRevoke;

    fn emit(&self, writer: &mut Writer<'_>) {
        self.0.put(writer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip() {
        let body = Revoke {
            number: 1,
            floor: 2,
            revoked: &[[3; 8], [4; 8]],
            signature: [5; 64],
        };
        let mut bytes = [0; 1119];
        let mut writer = Writer::new(&mut bytes);
        body.emit(&mut writer);
        assert_eq!(writer.position(), Some(89));
        assert_eq!(Revoke::parse(&bytes), Some(body));
        for short in [0, 1, 88] {
            assert_eq!(Revoke::parse(&bytes[..short]), None, "{short}");
        }
    }

    #[test]
    fn more_ids_than_allowed_are_refused() {
        let mut bytes = [0; 1119];
        bytes[8] = 129;
        assert_eq!(Revoke::parse(&bytes), None);
        bytes[8] = 128;
        assert!(Revoke::parse(&bytes).is_some());
    }
}
