//! Sampled refusals as lines for people; the last ones are kept.

use std::collections::VecDeque;
use std::net::Ipv6Addr;

use nexus0_common::packet::{ETHERNET, IPV6};

use crate::api::types::{DropLine, SCHEMA};
use crate::dataplane::Refusal;
use crate::hex;

/// Samples kept.
const KEPT: usize = 16;

/// The memory of samples.
#[derive(Debug, Default)]
pub(super) struct Samples(VecDeque<DropLine>);

impl Samples {
    /// Keeps a sample and hands out its line.
    pub(super) fn record(&mut self, now: u64, refusal: &Refusal) -> DropLine {
        let line = line(now, refusal);
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(line.clone());
        line
    }

    /// The last samples, the newest last.
    pub(super) fn last(&self) -> Vec<DropLine> {
        self.0.iter().cloned().collect()
    }
}

fn line(now: u64, refusal: &Refusal) -> DropLine {
    let bytes = &refusal.bytes;
    let plain = bytes.get(12..ETHERNET) == Some(&[0x86, 0xdd]);
    let address = |at: usize| {
        let found: Option<&[u8; 16]> = bytes.get(at..)?.first_chunk();
        found
            .filter(|_| plain && bytes.len() >= ETHERNET + IPV6)
            .copied()
            .map(Ipv6Addr::from)
    };
    DropLine {
        schema: SCHEMA,
        at_ns: now,
        reason: refusal.verdict.name().into(),
        length: refusal.length,
        source: address(ETHERNET + 8).map(|address| address.to_string()),
        destination: address(ETHERNET + 24).map(|address| address.to_string()),
        missed: 0,
        bytes: hex::encode(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus0_common::reason::Verdict;

    #[test]
    fn addresses_are_shown_where_there_are_some() {
        let mut bytes = vec![0; 62];
        let refusal = |bytes: &[u8]| Refusal {
            verdict: Verdict::Vlan,
            length: 62,
            bytes: bytes.to_vec(),
        };
        assert_eq!(line(1, &refusal(&bytes)).source, None);
        bytes[12..14].copy_from_slice(&[0x86, 0xdd]);
        bytes[37] = 1;
        assert_eq!(line(1, &refusal(&bytes)).source.as_deref(), Some("::1"));
        assert_eq!(line(1, &refusal(&bytes[..40])).source, None);
        assert_eq!(line(1, &refusal(&[])).reason, "vlan");
    }
}
