//! What the host does for comparison, and what it is.

use std::fs;
use std::hint::black_box;
use std::thread;
use std::time::Instant;

use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;

/// Least mean nanoseconds of an HMAC-SHA256 over 55 bytes.
pub(crate) fn hmac_nanoseconds() -> u64 {
    const REPEAT: u32 = 100_000;
    let keyed = Hmac::<Sha256>::new(&[1; 64].into());
    let batch = || {
        let begin = Instant::now();
        for _ in 0..REPEAT {
            let mut mac = keyed.clone();
            mac.update(black_box(&[7; 55]));
            black_box(mac.finalize());
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
