//! INTRODUCE: an outranked anchor names its followers to the winner.
//!
//! ```text
//! 0   1
//! +---+-------------+
//! | n | n x 135 ... |
//! +---+-------------+
//! ```

use super::cursor::{Reader, Writer};
use super::{Body, FrameType};

/// Most entries in one frame.
pub const INTRODUCED: usize = 8;
/// Bytes of an entry: the highest wire version the node speaks, and its grant.
pub const INTRODUCED_LEN: usize = 135;

/// The fields in wire order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Introduce<'a> {
    /// Up to eight nodes: highest wire version 1, grant 134.
    pub entries: &'a [[u8; INTRODUCED_LEN]],
}

impl<'a> Introduce<'a> {
    /// Reads a body; `None` if it is too short or has too many entries.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let count = usize::from(reader.u8()?);
        let entries = reader.list(count).filter(|_| count <= INTRODUCED)?;
        Some(Self { entries })
    }
}

impl Body for Introduce<'_> {
    const TYPE: FrameType = FrameType::Introduce;

    fn emit(&self, writer: &mut Writer<'_>) {
        writer
            .put(&[self.entries.len() as u8])
            .put(self.entries.as_flattened());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip() {
        let body = Introduce {
            entries: &[[1; INTRODUCED_LEN], [2; INTRODUCED_LEN]],
        };
        let mut bytes = [0; 1119];
        let mut writer = Writer::new(&mut bytes);
        body.emit(&mut writer);
        assert_eq!(writer.position(), Some(271));
        assert_eq!(Introduce::parse(&bytes), Some(body));
        for short in [0, 1, 270] {
            assert_eq!(Introduce::parse(&bytes[..short]), None, "{short}");
        }
    }
}
