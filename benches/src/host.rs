//! What the host does for comparison, and what it is.

use std::fs;
use std::hint::black_box;
use std::thread;
use std::time::Instant;

use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;
use sha2_soft::Digest as _;

/// An HMAC-SHA256 over the 55 authenticated bytes of a pulse, key schedule reused: least mean nanoseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct HostHmac {
    /// With the `hmac` and `sha2` crates as everyone builds them: by the processor's instructions if it can.
    pub(crate) native: u64,
    /// With all rounds in software, as in eBPF.
    pub(crate) software: u64,
}

impl HostHmac {
    pub(crate) fn measure() -> Self {
        let keyed = Hmac::<Sha256>::new(&[1; 64].into());
        let native = least(|message| {
            let mut mac = keyed.clone();
            mac.update(message);
            black_box(mac.finalize());
        });
        let (inner, outer) = (padded(0x36), padded(0x5c));
        let software = least(|message| {
            let (mut inner, mut outer) = (inner.clone(), outer.clone());
            inner.update(message);
            outer.update(inner.finalize());
            black_box(outer.finalize());
        });
        Self { native, software }
    }
}

/// The state after the first block of either half of HMAC, RFC 2104.
fn padded(pad: u8) -> sha2_soft::Sha256 {
    let mut state = sha2_soft::Sha256::default();
    state.update([1 ^ pad; 64]);
    state
}

fn least(hash: impl Fn(&[u8])) -> u64 {
    const REPEAT: u32 = 50_000;
    let batch = || {
        let begin = Instant::now();
        for _ in 0..REPEAT {
            hash(black_box(&[7; 55]));
        }
        begin.elapsed().as_nanos() as u64 / u64::from(REPEAT)
    };
    (0..12).map(|_| batch()).min().unwrap_or(0)
}

/// Where it was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) kernel: String,
    pub(crate) processor: String,
    pub(crate) processors: usize,
    /// Of the interfaces of the end-to-end figures.
    pub(crate) driver: &'static str,
    /// Whether the processor has SHA instructions, which `sha2` uses and eBPF cannot.
    pub(crate) sha_instructions: bool,
}

impl Machine {
    pub(crate) fn read() -> Self {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = about.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(": "))
                .map_or("", |(_, value)| value)
        };
        Self {
            kernel: kernel.trim().into(),
            processor: field("model name").into(),
            processors: thread::available_parallelism().map_or(1, usize::from),
            driver: "veth",
            sha_instructions: field("flags").split(' ').any(|flag| flag == "sha_ni"),
        }
    }

    /// In one sentence.
    pub(crate) fn sentence(&self) -> String {
        format!(
            "Linux {}, {}, {} processors{}.",
            self.kernel,
            self.processor,
            self.processors,
            if self.sha_instructions {
                " with SHA instructions"
            } else {
                ""
            }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_of_hashing_agree() {
        let mut mac = Hmac::<Sha256>::new(&[1; 64].into());
        mac.update(b"pulse");
        let (mut inner, mut outer) = (padded(0x36), padded(0x5c));
        inner.update(b"pulse");
        outer.update(inner.finalize());
        assert_eq!(mac.finalize().into_bytes()[..], outer.finalize()[..]);
    }
}
