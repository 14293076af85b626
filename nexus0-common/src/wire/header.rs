//! The 24 bytes that every frame begins with.
//!
//! ```text
//!  0      2  3  4        8               16              24
//!  +------+--+--+--------+---------------+---------------+
//!  | "N0" |v |t | key id | sender        | sequence      |
//!  +------+--+--+--------+---------------+---------------+
//! ```

use super::{Class, FrameType, HEADER_LEN, HIGHEST_VERSION, LOWEST_VERSION, MAGIC, UNICAST_BIT};

/// The header of a frame, PROTOCOL section 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The wire version of the key's epoch; at the door the lowest that the sender speaks.
    pub version: u8,
    /// What the body is.
    pub frame_type: FrameType,
    /// Multicast or unicast.
    pub class: Class,
    /// Names the key of pre-tag and tag.
    pub key_id: [u8; 4],
    /// Node id of the sender.
    pub sender: [u8; 8],
    /// The sender's counter.
    pub sequence: u64,
}

impl Header {
    /// Reads a header; `None` where magic, version, type or class are not ours.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let header: &[u8; HEADER_LEN] = bytes.first_chunk()?;
        let [m0, m1, version, kind, k0, k1, k2, k3, rest @ ..] = *header;
        if [m0, m1] != MAGIC || !(LOWEST_VERSION..=HIGHEST_VERSION).contains(&version) {
            return None;
        }
        let class = if kind & UNICAST_BIT == 0 {
            Class::Multicast
        } else {
            Class::Unicast
        };
        let frame_type = FrameType::from_number(kind & !UNICAST_BIT)?;
        if frame_type.class().is_some_and(|only| only != class) {
            return None;
        }
        Some(Self {
            version,
            frame_type,
            class,
            key_id: [k0, k1, k2, k3],
            sender: *rest.first_chunk()?,
            sequence: u64::from_be_bytes(*rest.last_chunk()?),
        })
    }

    /// The header's bytes.
    pub fn emit(&self) -> [u8; HEADER_LEN] {
        let bit = match self.class {
            Class::Multicast => 0,
            Class::Unicast => UNICAST_BIT,
        };
        let [k0, k1, k2, k3] = self.key_id;
        let [a0, a1, a2, a3, a4, a5, a6, a7] = self.sender;
        let [b0, b1, b2, b3, b4, b5, b6, b7] = self.sequence.to_be_bytes();
        let [m0, m1] = MAGIC;
        [
            m0,
            m1,
            self.version,
            self.frame_type as u8 | bit,
            k0,
            k1,
            k2,
            k3, //
            a0,
            a1,
            a2,
            a3,
            a4,
            a5,
            a6,
            a7,
            b0,
            b1,
            b2,
            b3,
            b4,
            b5,
            b6,
            b7,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_round_trip_for_every_type_and_class() {
        for &frame_type in FrameType::ALL {
            for class in [Class::Multicast, Class::Unicast] {
                let header = Header {
                    version: HIGHEST_VERSION,
                    frame_type,
                    class,
                    key_id: [1, 2, 3, 4],
                    sender: [5; 8],
                    sequence: 0x0102_0304_0506,
                };
                let allowed = frame_type.class().is_none_or(|only| only == class);
                assert_eq!(Header::parse(&header.emit()), allowed.then_some(header));
            }
        }
    }

    #[test]
    fn foreign_bytes_are_not_a_header() {
        assert_eq!(Header::parse(b""), None);
        assert_eq!(Header::parse(&[0x4e]), None);
        assert_eq!(Header::parse(&[0; HEADER_LEN]), None);
    }
}
