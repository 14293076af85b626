//! PROOF: EPOCH frames of one anchor, shown to those who may have got others.
//!
//! ```text
//! 0   1       8
//! +---+-------+-------------+
//! | n |   0   | n x 399 ... |
//! +---+-------+-------------+
//! ```

use super::cursor::{Reader, Writer};
use super::{Body, FrameType};

/// Most exhibits in one frame.
pub const EXHIBITS: usize = 2;
/// Bytes of an exhibit.
pub const EXHIBIT_LEN: usize = 399;

/// The fields in wire order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof<'a> {
    /// One or two exhibits.
    pub exhibits: &'a [[u8; EXHIBIT_LEN]],
}

impl<'a> Proof<'a> {
    /// Reads a body; `None` if it is too short or has too many exhibits.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let count = usize::from(reader.u8()?);
        let _spare: [u8; 7] = reader.array()?;
        let exhibits = reader
            .list(count)
            .filter(|_| (1..=EXHIBITS).contains(&count))?;
        Some(Self { exhibits })
    }
}

impl Body for Proof<'_> {
    const TYPE: FrameType = FrameType::Proof;

    fn emit(&self, writer: &mut Writer<'_>) {
        writer
            .put(&[self.exhibits.len() as u8])
            .put(&[0; 7])
            .put(self.exhibits.as_flattened());
    }
}

/// An EPOCH frame with what its signature covers besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhibit {
    /// The chain of the key the frame was tagged under.
    pub chain: [u8; 8],
    /// The address it came from.
    pub source: [u8; 16],
    /// Header, body and signature.
    pub frame: [u8; 375],
}

impl Exhibit {
    /// Reads an exhibit; `None` never happens for whole ones.
    pub fn parse(bytes: &[u8; EXHIBIT_LEN]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self {
            chain: reader.array()?,
            source: reader.array()?,
            frame: reader.array()?,
        })
    }

    /// The exhibit's bytes.
    pub fn bytes(&self) -> [u8; EXHIBIT_LEN] {
        let mut bytes = [0; EXHIBIT_LEN];
        Writer::new(&mut bytes)
            .put(&self.chain)
            .put(&self.source)
            .put(&self.frame);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip() {
        let body = Proof {
            exhibits: &[[1; EXHIBIT_LEN], [2; EXHIBIT_LEN]],
        };
        let mut bytes = [0; 1119];
        let mut writer = Writer::new(&mut bytes);
        body.emit(&mut writer);
        assert_eq!(writer.position(), Some(806));
        assert_eq!(Proof::parse(&bytes), Some(body));
        for short in [0, 1, 805] {
            assert_eq!(Proof::parse(&bytes[..short]), None, "{short}");
        }
    }

    #[test]
    fn none_or_three_exhibits_are_refused() {
        let mut bytes = [0; 1119];
        assert_eq!(Proof::parse(&bytes), None);
        bytes[0] = 3;
        assert_eq!(Proof::parse(&bytes), None);
    }
}
