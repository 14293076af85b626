//! HOLD: there is a mesh, wait for its next anchor.
//!
//! ```text
//! 0            16
//! +------------+-------+
//! | request id | grant |
//! +------------+-------+
//! ```

use super::cursor::{Reader, Writer};
use super::{Body, FrameType};

/// The fields in wire order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The request this answers.
    pub request: [u8; 16],
    /// The grant of the member who answers.
    pub grant: [u8; 134],
}

impl Hold {
    /// Reads a body; `None` if it is too short.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self {
            request: reader.array()?,
            grant: reader.array()?,
        })
    }
}

impl Body for Hold {
    const TYPE: FrameType = FrameType::Hold;

    fn emit(&self, writer: &mut Writer<'_>) {
        writer.put(&self.request).put(&self.grant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip() {
        let body = Hold {
            request: [1; 16],
            grant: [2; 134],
        };
        let mut bytes = [0; 1119];
        let mut writer = Writer::new(&mut bytes);
        body.emit(&mut writer);
        assert_eq!(writer.position(), Some(150));
        assert_eq!(Hold::parse(&bytes), Some(body));
        for short in [0, 1, 149] {
            assert_eq!(Hold::parse(&bytes[..short]), None, "{short}");
        }
    }
}
