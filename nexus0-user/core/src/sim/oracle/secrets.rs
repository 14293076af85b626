//! No secret stands in a frame, an event or a view: as bytes, in hexadecimal or as a list of numbers.

use std::collections::BTreeSet;

use nexus0_common::wire::FrameType;

/// Bytes of a secret that are looked for.
const NEEDLE: usize = 8;

/// All secrets that anyone held.
#[derive(Debug, Default)]
pub(super) struct Secrets {
    needles: BTreeSet<[u8; NEEDLE]>,
    /// Which first two bytes any needle has.
    starts: Vec<u64>,
    texts: Vec<[String; 2]>,
}

impl Secrets {
    /// One more.
    pub(super) fn add(&mut self, secret: &[u8; 32]) {
        let Some(needle) = secret.first_chunk::<NEEDLE>() else {
            return;
        };
        if !self.needles.insert(*needle) {
            return;
        }
        if self.starts.is_empty() {
            self.starts = vec![0; 1024];
        }
        let start = usize::from(u16::from_be_bytes([needle[0], needle[1]]));
        self.starts[start / 64] |= 1 << (start % 64);
        let hex = format!("{:016x}", u64::from_be_bytes(*needle));
        let list = needle.map(|byte| byte.to_string()).join(", ");
        self.texts.push([hex, list]);
    }

    /// A frame's bytes hold none.
    pub(super) fn frame(&self, frame_type: FrameType, payload: &[u8]) -> Result<(), String> {
        if self.starts.is_empty() {
            return Ok(());
        }
        for window in payload.windows(NEEDLE) {
            let start = usize::from(u16::from_be_bytes([window[0], window[1]]));
            let met = self.starts[start / 64] & (1 << (start % 64)) != 0;
            if met
                && window
                    .first_chunk()
                    .is_some_and(|bytes| self.needles.contains(bytes))
            {
                return Err(format!("a secret stands in {}", frame_type.name()));
            }
        }
        Ok(())
    }

    /// Words hold none.
    pub(super) fn text(&self, text: &str) -> Result<(), String> {
        let recent = self.texts.iter().rev().take(64);
        for [hex, list] in recent {
            if text.contains(hex.as_str()) || text.contains(list.as_str()) {
                let shown: String = text.chars().take(40).collect();
                return Err(format!("a secret stands in {shown}.."));
            }
        }
        Ok(())
    }
}
