//! Nanoseconds the filter spends on a frame, by BPF_PROG_TEST_RUN.

use anyhow::{Context, Result, ensure};
use nexus0::dataplane::Verifier;
use nexus0::flood::kernel;
use nexus0::lab::pair::Pair;
use serde::{Deserialize, Serialize};

use crate::frames::{self, PAYLOAD};
use crate::peers;
use crate::world::World;

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

impl Figures {
    /// The row of a kind by its key.
    pub(crate) fn row(&self, key: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.key == key)
    }
}

/// One kind of frame.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    /// What is offered, for programs.
    pub(crate) key: String,
    /// What is offered.
    pub(crate) kind: String,
    /// One frame over and over.
    pub(crate) one: u64,
    /// A thousand different frames in turn, each in a run of its own: the clock's two readings are in it.
    pub(crate) many: u64,
}

struct Case {
    key: &'static str,
    kind: &'static str,
    program: &'static str,
    action: u32,
    make: fn(&World, u64) -> Vec<u8>,
}

const CASES: [Case; 8] = [
    Case {
        key: "floor",
        kind: "floor: XDP_DROP",
        program: "nexus0_drop",
        action: XDP_DROP,
        make: World::pulse,
    },
    Case {
        key: "pass",
        kind: "floor: XDP_PASS",
        program: "nexus0_pass",
        action: XDP_PASS,
        make: foreign,
    },
    Case {
        key: "foreign",
        kind: "foreign",
        program: "nexus0",
        action: XDP_PASS,
        make: foreign,
    },
    Case {
        key: "malformed",
        kind: "malformed",
        program: "nexus0",
        action: XDP_DROP,
        make: malformed,
    },
    Case {
        key: "unknown_key",
        kind: "unknown key",
        program: "nexus0",
        action: XDP_DROP,
        make: unknown_key,
    },
    Case {
        key: "forged",
        kind: "forged",
        program: "nexus0",
        action: XDP_DROP,
        make: forged,
    },
    Case {
        key: "replayed",
        kind: "replayed",
        program: "nexus0",
        action: XDP_DROP,
        make: World::pulse,
    },
    Case {
        key: "valid_pulse",
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

/// What an attacker picks, in the shape of a pulse.
fn forged(world: &World, number: u64) -> Vec<u8> {
    let mut frame = world.pulse(1 << 20 | number);
    let last = frame.len() - 1;
    frame[last] ^= 0x55;
    frame
}

/// Batches of which the least counts.
pub(crate) fn batches(quick: bool) -> u32 {
    if quick { 6 } else { 12 }
}

/// Measures every case under the capabilities this process has.
pub(crate) fn measure(capabilities: &str, batches: u32) -> Result<Figures> {
    let mut world = World::new().context("loading the filter")?;
    let mut rows = Vec::new();
    for case in &CASES {
        let frames: Vec<Vec<u8>> = (1..=1000)
            .map(|n| (case.make)(&world, sequence(case, n)))
            .collect();
        if case.key == "replayed" {
            accept_all(&mut world, &frames)?;
        }
        let mut run = |frame: &[u8], repeat| {
            let (action, time) = world.program.test_run(case.program, frame, repeat)?;
            ensure!(action == case.action, "{}: action {action}", case.kind);
            Ok(time)
        };
        rows.push(Row::measure(
            case.key, case.kind, &frames, batches, &mut run,
        )?);
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

/// Other filters over the same frames, as far as they are installed: xdp-filter told to refuse the mesh's
/// port, with all it can match by, as it is by default, and with UDP ports alone.
pub(crate) fn xdp_filters(batches: u32) -> Result<Vec<Row>> {
    let frames: Vec<Vec<u8>> = frames::forgeries(&frames::key(), 1)
        .into_iter()
        .take(1000)
        .collect();
    let mut rows = Vec::new();
    for (peer, key) in peers::xdp_filters().zip(["xdp_filter", "xdp_filter_udp"]) {
        if peer.missing().is_some() {
            continue;
        }
        let mut pair = Pair::build(1, peer.receive)?;
        let _placed = peer.put(&mut pair)?;
        let program = kernel::Program::by_id(peers::program_id(&pair)?)?;
        let mut run = |frame: &[u8], repeat| {
            let (action, time) = program.run(frame, repeat)?;
            ensure!(action == XDP_DROP, "{}: action {action}", peer.name);
            Ok(time)
        };
        rows.push(Row::measure(key, peer.name, &frames, batches, &mut run)?);
    }
    Ok(rows)
}

impl Row {
    /// A repeated run makes the kernel patch its dispatcher, which takes tens of milliseconds: so one frame many
    /// times, or many frames once.
    fn measure(
        key: &str,
        kind: &str,
        frames: &[Vec<u8>],
        batches: u32,
        run: &mut impl FnMut(&[u8], u32) -> Result<u64>,
    ) -> Result<Self> {
        let (mut one, mut many) = (u64::MAX, u64::MAX);
        for _ in 0..batches {
            one = one.min(run(&frames[0], 100_000)?);
            let mut sum = 0;
            for frame in frames {
                sum += run(frame, 1)?;
            }
            many = many.min(sum / frames.len() as u64);
        }
        Ok(Self {
            key: key.to_owned(),
            kind: kind.to_owned(),
            one,
            many,
        })
    }
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
