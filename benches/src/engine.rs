//! Nanoseconds the filter spends on a frame, by BPF_PROG_TEST_RUN.

use anyhow::{Context, Result, ensure};
use nexus0::dataplane::Verifier;
use serde::{Deserialize, Serialize};

use crate::world::{PAYLOAD, World};

const BATCHES: u32 = 12;
const XDP_DROP: u32 = 1;
const XDP_PASS: u32 = 2;

/// What was measured: the least mean of all batches, in nanoseconds per frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Capabilities in words.
    pub(crate) capabilities: String,
    /// Whether the verifier inserted barriers.
    pub(crate) verifier: String,
    /// Bytes of machine code.
    pub(crate) jited_bytes: u32,
    /// Instructions the verifier looked at.
    pub(crate) verified_instructions: u32,
    /// Kind of frame and time.
    pub(crate) rows: Vec<Row>,
}

/// One kind of frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// What is offered.
    pub(crate) kind: String,
    /// One frame over and over.
    pub(crate) one: u64,
    /// A thousand different frames in turn, each in a run of its own: the clock's two readings are in it.
    pub(crate) many: u64,
}

struct Case {
    kind: &'static str,
    program: &'static str,
    action: u32,
    make: fn(&World, u64) -> Vec<u8>,
}

const CASES: [Case; 8] = [
    Case {
        kind: "floor: XDP_DROP",
        program: "nexus0_drop",
        action: XDP_DROP,
        make: World::pulse,
    },
    Case {
        kind: "floor: XDP_PASS",
        program: "nexus0_pass",
        action: XDP_PASS,
        make: foreign,
    },
    Case {
        kind: "foreign",
        program: "nexus0",
        action: XDP_PASS,
        make: foreign,
    },
    Case {
        kind: "malformed",
        program: "nexus0",
        action: XDP_DROP,
        make: malformed,
    },
    Case {
        kind: "unknown key",
        program: "nexus0",
        action: XDP_DROP,
        make: unknown_key,
    },
    Case {
        kind: "forged",
        program: "nexus0",
        action: XDP_DROP,
        make: forged,
    },
    Case {
        kind: "replayed",
        program: "nexus0",
        action: XDP_DROP,
        make: World::pulse,
    },
    Case {
        kind: "valid pulse",
        program: "nexus0_forget",
        action: XDP_PASS,
        make: World::pulse,
    },
];

/// Another protocol's datagram: mDNS.
fn foreign(world: &World, number: u64) -> Vec<u8> {
    let mut frame = world.pulse(number % 32);
    frame[56..58].copy_from_slice(&5353_u16.to_be_bytes());
    frame
}

fn malformed(world: &World, number: u64) -> Vec<u8> {
    let mut frame = world.pulse(number % 32);
    frame[PAYLOAD + 2] = 9;
    frame
}

fn unknown_key(world: &World, number: u64) -> Vec<u8> {
    let mut frame = world.pulse(number % 32);
    frame[PAYLOAD + 4] = 9;
    frame
}

/// Well-formed, current key id, known sender, fresh sequence, wrong tag: what an attacker picks.
fn forged(world: &World, number: u64) -> Vec<u8> {
    let mut frame = world.pulse(1 << 20 | number);
    let last = frame.len() - 1;
    frame[last] ^= 0x55;
    frame
}

/// Measures every case under the capabilities this process has.
pub(crate) fn measure(capabilities: &str) -> Result<Figures> {
    let mut world = World::new().context("loading the filter")?;
    let mut rows = Vec::new();
    for case in &CASES {
        let frames: Vec<Vec<u8>> = (1..=1000)
            .map(|n| (case.make)(&world, sequence(case, n)))
            .collect();
        if case.kind == "replayed" {
            accept_all(&mut world, &frames)?;
        }
        let one = batches(|| time(&mut world, case, &frames[..1], 100_000))?;
        let many = batches(|| time(&mut world, case, &frames, 1))?;
        rows.push(Row {
            kind: case.kind.to_owned(),
            one,
            many,
        });
    }
    let info = world.program.info()?;
    Ok(Figures {
        capabilities: capabilities.to_owned(),
        verifier: match world.program.verifier() {
            Verifier::Fast => "fast",
            Verifier::Barriers => "barriers",
        }
        .to_owned(),
        jited_bytes: info.size_jitted(),
        verified_instructions: info.verified_instruction_count().unwrap_or(0),
        rows,
    })
}

/// The bench program takes back sequences below 32 only; a replay may have any.
fn sequence(case: &Case, number: u64) -> u64 {
    if case.program == "nexus0_forget" {
        number % 32
    } else {
        number
    }
}

fn accept_all(world: &mut World, frames: &[Vec<u8>]) -> Result<()> {
    for frame in frames {
        // The member's rate is a frame a millisecond.
        std::thread::sleep(std::time::Duration::from_millis(1));
        let (action, _) = world.program.test_run("nexus0", frame, 1)?;
        ensure!(action == XDP_PASS, "a pulse was refused");
    }
    Ok(())
}

fn batches(mut batch: impl FnMut() -> Result<u64>) -> Result<u64> {
    let mut least = u64::MAX;
    for _ in 0..BATCHES {
        least = least.min(batch()?);
    }
    Ok(least)
}

/// Mean nanoseconds over all frames, each offered `repeat` times. (A repeated run makes the kernel patch
/// its dispatcher, which takes tens of milliseconds: few frames many times, or many frames once.)
fn time(world: &mut World, case: &Case, frames: &[Vec<u8>], repeat: u32) -> Result<u64> {
    let mut sum = 0;
    for frame in frames {
        let (action, nanoseconds) = world.program.test_run(case.program, frame, repeat)?;
        ensure!(action == case.action, "{}: action {action}", case.kind);
        sum += nanoseconds;
    }
    Ok(sum / frames.len() as u64)
}
