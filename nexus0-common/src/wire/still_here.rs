//! STILL-HERE: the last signed pulse of an anchor, for one who thinks it is gone.
//!
//! ```text
//! 0                16                 135
//! +----------------+------------------+
//! | anchor address | its ANCHOR[..119]|
//! +----------------+------------------+
//! ```

use super::cursor::{Reader, Writer};
use super::{Body, FrameType};

/// The fields in wire order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StillHere {
    /// The address the pulse came from.
    pub source: [u8; 16],
    /// Header, body and signature of the pulse.
    pub pulse: [u8; 119],
}

impl StillHere {
    /// Reads a body; `None` if it is too short.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        Some(Self {
            source: reader.array()?,
            pulse: reader.array()?,
        })
    }
}

impl Body for StillHere {
    const TYPE: FrameType = FrameType::StillHere;

    fn emit(&self, writer: &mut Writer<'_>) {
        writer.put(&self.source).put(&self.pulse);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_survives_the_round_trip() {
        let body = StillHere {
            source: [1; 16],
            pulse: [2; 119],
        };
        let mut bytes = [0; 1119];
        let mut writer = Writer::new(&mut bytes);
        body.emit(&mut writer);
        assert_eq!(writer.position(), Some(135));
        assert_eq!(StillHere::parse(&bytes), Some(body));
        for short in [0, 1, 134] {
            assert_eq!(StillHere::parse(&bytes[..short]), None, "{short}");
        }
    }
}
