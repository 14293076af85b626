//! The sending program with the frames it sends: for each run it takes the next template, writes it over
//! whatever the kernel's page held, and answers `XDP_TX`. One call so sends thousands of different frames.

use std::io;

use crate::flood::kernel::{Cells, Instruction, Program, Table};

const DROP: i32 = 1;
const TRANSMIT: i32 = 3;
const LOOKUP: i32 = 1;
const CLOCK: i32 = 5;
const ADJUST_TAIL: i32 = 65;
const STORE_BYTES: i32 = 190;
/// Cells: frames taken so far, and when the next one is due.
const TAKEN: u32 = 0;
const DUE: u32 = 1;
/// Fractions of a nanosecond in which frames are spaced.
const FRACTION: u64 = 256;
/// What a late sender may catch up with: less than fills a ring.
const LATENESS: u64 = 20_000 * FRACTION;
/// In front of each template: its length.
const LENGTH: usize = 8;

/// When frames leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// Every run of the program sends one.
    Flat,
    /// Frames a second, evenly spaced by the program itself; runs that come too early send nothing. One
    /// processor at a time keeps the pace.
    Even(u64),
}

/// Frames in the kernel, with the program that sends them in turn.
#[derive(Debug)]
pub struct Templates {
    program: Program,
    cells: Cells,
    longest: Vec<u8>,
    limit: u64,
    // The program reads it.
    _frames: Table,
}

impl Templates {
    /// Loads frames of 14 to 3,000 bytes, of which `limit` are sent in all, from the first one on.
    pub fn load(frames: &[Vec<u8>], pace: Pace, limit: u64) -> io::Result<Self> {
        let longest = frames.iter().max_by_key(|frame| frame.len());
        let longest = longest.cloned().ok_or(io::ErrorKind::InvalidInput)?;
        let room = longest.len().next_multiple_of(8);
        let table = Table::new(LENGTH + room, frames.len() as u32)?;
        let mut value = vec![0; LENGTH + room];
        for (index, frame) in frames.iter().enumerate() {
            value[..LENGTH].copy_from_slice(&(frame.len() as u64).to_ne_bytes());
            value[LENGTH..][..frame.len()].copy_from_slice(frame);
            table.set(index as u32, &value)?;
        }
        let cells = Cells::new(2)?;
        let program = Program::load(&sending(&Plan {
            cells: cells.immediate(),
            frames: table.immediate(),
            count: frames.len() as i32,
            longest: longest.len() as i32,
            limit,
            pace,
        }))?;
        Ok(Self {
            program,
            cells,
            longest,
            limit,
            _frames: table,
        })
    }

    /// Runs the program `repeat` times, `batch` frames at once, as if they had arrived on `interface`;
    /// nanoseconds per run, what the receivers on this processor did in between included.
    pub fn run(&self, interface: u32, repeat: u32, batch: u32) -> io::Result<u64> {
        self.program
            .run_live(interface, &self.longest, repeat, batch)
    }

    /// Frames given to the interface so far.
    pub fn offered(&self) -> io::Result<u64> {
        Ok(self.cells.get(TAKEN)?.min(self.limit))
    }
}

struct Plan {
    cells: i32,
    frames: i32,
    count: i32,
    longest: i32,
    limit: u64,
    pace: Pace,
}

fn sending(plan: &Plan) -> Vec<Instruction> {
    let i = Instruction::new;
    let mut code = vec![i(0xbf, 6, 1, 0, 0)]; // r6 = context
    if let Pace::Even(rate) = plan.pace {
        code.extend(waiting(plan.cells, rate));
    }
    code.extend(lookup(plan.cells, TAKEN as i32));
    code.extend([
        i(0xb7, 7, 0, 0, 1), // r7 = 1
        i(0xdb, 0, 7, 0, 1), // r7 = fetch_add(*r0, r7)
        i(0x18, 1, 0, 0, plan.limit as i32),
        i(0, 0, 0, 0, (plan.limit >> 32) as i32),
        i(0x2d, 1, 7, 2, 0), // if limit > r7 goto send
        i(0xb7, 0, 0, 0, DROP),
        i(0x95, 0, 0, 0, 0),
        i(0x94, 7, 0, 0, plan.count), // w7 %= count
        i(0x63, 10, 7, -4, 0),        // key = w7
    ]);
    code.extend(keyed(plan.frames));
    code.extend([
        i(0xbf, 8, 0, 0, 0),            // r8 = template
        i(0x79, 9, 8, 0, 0),            // r9 = its length
        i(0xb5, 9, 0, 2, plan.longest), // if r9 <= longest goto trim
        i(0xb7, 0, 0, 0, 0),
        i(0x95, 0, 0, 0, 0),
        i(0xbf, 2, 9, 0, 0), // trim: r2 = r9 - longest
        i(0x17, 2, 0, 0, plan.longest),
        i(0x15, 2, 0, 2, 0), // if already so long goto fill
        i(0xbf, 1, 6, 0, 0),
        i(0x85, 0, 0, 0, ADJUST_TAIL),
        i(0x15, 9, 0, 6, 0), // fill: nothing to write of an empty template
        i(0xbf, 1, 6, 0, 0),
        i(0xb7, 2, 0, 0, 0),
        i(0xbf, 3, 8, 0, 0),
        i(0x07, 3, 0, 0, LENGTH as i32),
        i(0xbf, 4, 9, 0, 0),
        i(0x85, 0, 0, 0, STORE_BYTES),
        i(0xb7, 0, 0, 0, TRANSMIT),
        i(0x95, 0, 0, 0, 0),
    ]);
    code
}

/// Ends the run while the next frame is not due.
fn waiting(cells: i32, rate: u64) -> Vec<Instruction> {
    let i = Instruction::new;
    let spacing = (1_000_000_000 * FRACTION / rate.max(1)).min(i32::MAX as u64) as i32;
    let mut code = lookup(cells, DUE as i32);
    code.extend([
        i(0xbf, 8, 0, 0, 0), // r8 = the cell
        i(0x85, 0, 0, 0, CLOCK),
        i(0x27, 0, 0, 0, FRACTION as i32), // r0 = now
        i(0x79, 1, 8, 0, 0),               // r1 = due
        i(0xbd, 1, 0, 2, 0),               // if r1 <= r0 goto due
        i(0xb7, 0, 0, 0, DROP),
        i(0x95, 0, 0, 0, 0),
        i(0x17, 0, 0, 0, LATENESS as i32), // due: r0 -= lateness
        i(0x3d, 1, 0, 1, 0),               // if r1 >= r0 goto next
        i(0xbf, 1, 0, 0, 0),               // r1 = r0
        i(0x07, 1, 0, 0, spacing),         // next: r1 += spacing
        i(0x7b, 8, 1, 0, 0),               // cell = r1
    ]);
    code
}

/// r0 = a value of an array at a constant index.
fn lookup(map: i32, index: i32) -> Vec<Instruction> {
    let mut code = vec![Instruction::new(0x62, 10, 0, -4, index)]; // key = index
    code.extend(keyed(map));
    code
}

/// r0 = a value of an array at the index on the stack; ends the run where there is none.
fn keyed(map: i32) -> [Instruction; 8] {
    let i = Instruction::new;
    [
        i(0xbf, 2, 10, 0, 0),
        i(0x07, 2, 0, 0, -4),
        i(0x18, 1, 1, 0, map),
        i(0, 0, 0, 0, 0),
        i(0x85, 0, 0, 0, LOOKUP),
        i(0x55, 0, 0, 2, 0), // if found go on
        i(0xb7, 0, 0, 0, 0),
        i(0x95, 0, 0, 0, 0),
    ]
}
