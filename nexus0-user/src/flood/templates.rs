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
/// Cells: frames taken so far, and when the next one is due; the same of the interspersed ones.
const TAKEN: u32 = 0;
const DUE: u32 = 1;
const INTERSPERSED: u32 = 2;
const INTERSPERSED_DUE: u32 = 3;
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

/// Other frames that leave among those of a flood, as on one wire: each once, in order, evenly spaced as far as
/// the flood's processor gets to it.
#[derive(Clone, Debug)]
pub struct Interspersed {
    /// In their order.
    pub frames: Vec<Vec<u8>>,
    /// How many a second.
    pub per_second: u64,
}

/// Frames in the kernel, with the program that sends them in turn.
#[derive(Debug)]
pub struct Templates {
    program: Program,
    cells: Cells,
    longest: Vec<u8>,
    limit: u64,
    interspersed: u64,
    moments: Cells,
    // The program reads it.
    _frames: Table,
}

impl Templates {
    /// Loads frames of 14 to 3,000 bytes, of which `limit` are sent in all, from the first one on.
    pub fn load(frames: &[Vec<u8>], pace: Pace, limit: u64) -> io::Result<Self> {
        let none = Interspersed {
            frames: Vec::new(),
            per_second: 1,
        };
        Self::load_mixed(frames, pace, limit, &none)
    }

    /// The same, with others among them.
    pub fn load_mixed(
        frames: &[Vec<u8>],
        pace: Pace,
        limit: u64,
        others: &Interspersed,
    ) -> io::Result<Self> {
        let all = || frames.iter().chain(&others.frames);
        let longest = all().max_by_key(|frame| frame.len());
        let longest = longest.cloned().ok_or(io::ErrorKind::InvalidInput)?;
        let room = longest.len().next_multiple_of(8);
        let table = Table::new(LENGTH + room, all().count() as u32)?;
        let mut value = vec![0; LENGTH + room];
        for (index, frame) in all().enumerate() {
            value[..LENGTH].copy_from_slice(&(frame.len() as u64).to_ne_bytes());
            value[LENGTH..][..frame.len()].copy_from_slice(frame);
            table.set(index as u32, &value)?;
        }
        let cells = Cells::new(4)?;
        let moments = Cells::new(others.frames.len().max(1) as u32)?;
        let program = Program::load(&sending(&Plan {
            cells: cells.immediate(),
            frames: table.immediate(),
            moments: moments.immediate(),
            count: frames.len() as i32,
            others: others.frames.len() as i32,
            others_spacing: (1_000_000_000 / others.per_second.max(1)) as i32,
            longest: longest.len() as i32,
            limit,
            pace,
        }))?;
        Ok(Self {
            program,
            cells,
            longest,
            limit,
            interspersed: others.frames.len() as u64,
            moments,
            _frames: table,
        })
    }

    /// Interspersed frames sent so far.
    pub fn interspersed(&self) -> io::Result<u64> {
        Ok(self.cells.get(INTERSPERSED)?.min(self.interspersed))
    }

    /// Runs until everything is sent, as far as one call can have them.
    pub fn runs_left(&self) -> io::Result<u32> {
        if self.interspersed()? < self.interspersed {
            return Ok(u32::MAX);
        }
        let left = self.limit.saturating_sub(self.offered()?);
        Ok(u32::try_from(left).unwrap_or(u32::MAX))
    }

    /// When one of them was sent, in nanoseconds of the monotonic clock.
    pub fn sent_at(&self, index: u32) -> io::Result<u64> {
        self.moments.get(index)
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
    moments: i32,
    count: i32,
    others: i32,
    others_spacing: i32,
    longest: i32,
    limit: u64,
    pace: Pace,
}

fn sending(plan: &Plan) -> Vec<Instruction> {
    let i = Instruction::new;
    let taking = taking(plan);
    let mut code = vec![i(0xbf, 6, 1, 0, 0)]; // r6 = context
    if plan.others > 0 {
        code.extend(interspersing(plan));
        code.push(i(0x05, 0, 0, taking.len() as i16, 0)); // goto the template
    }
    code.extend(taking);
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

/// Leaves the number of the flood's next frame on the stack; ends the run while none is due or all are through.
fn taking(plan: &Plan) -> Vec<Instruction> {
    let i = Instruction::new;
    let mut code = Vec::new();
    if let Pace::Even(rate) = plan.pace {
        code.extend(waiting(plan.cells, rate));
    }
    code.extend(lookup(plan.cells, TAKEN));
    code.extend([
        i(0xb7, 7, 0, 0, 1), // r7 = 1
        i(0xdb, 0, 7, 0, 1), // r7 = fetch_add(*r0, r7)
        i(0x18, 1, 0, 0, plan.limit as i32),
        i(0, 0, 0, 0, (plan.limit >> 32) as i32),
        i(0x2d, 1, 7, 2, 0), // if limit > r7 goto send
        i(0xb7, 0, 0, 0, DROP),
        i(0x95, 0, 0, 0, 0),
        i(0x94, 7, 0, 0, plan.count), // send: w7 %= count
        i(0x63, 10, 7, -4, 0),        // key = w7
    ]);
    code
}

/// Leaves the number of the next interspersed frame on the stack and notes the moment, if one is due; else
/// jumps over one instruction behind.
fn interspersing(plan: &Plan) -> Vec<Instruction> {
    /// Nanoseconds that a late one may be made up for.
    const SLACK: i32 = 1_000_000;
    let i = Instruction::new;
    let mut due = lookup(plan.cells, INTERSPERSED_DUE);
    due.extend([
        i(0xbf, 8, 0, 0, 0), // r8 = the cell
        i(0x85, 0, 0, 0, CLOCK),
        i(0xbf, 9, 0, 0, 0), // r9 = now
        i(0x79, 1, 8, 0, 0), // r1 = due
    ]);
    let mut take = vec![
        i(0xbf, 2, 9, 0, 0),
        i(0x17, 2, 0, 0, SLACK), // r2 = now - slack
        i(0x3d, 1, 2, 1, 0),     // if r1 >= r2 goto next
        i(0xbf, 1, 2, 0, 0),     // r1 = r2
        i(0x07, 1, 0, 0, plan.others_spacing),
        i(0x7b, 8, 1, 0, 0), // cell = r1
    ];
    take.extend(lookup(plan.cells, INTERSPERSED));
    take.extend([
        i(0xb7, 7, 0, 0, 1), // r7 = 1
        i(0xdb, 0, 7, 0, 1), // r7 = fetch_add(*r0, r7)
    ]);
    let mut found = vec![i(0x63, 10, 7, -4, 0)]; // key = w7
    found.extend(keyed(plan.moments));
    found.extend([
        i(0x7b, 0, 9, 0, 0), // moment = now
        i(0x07, 7, 0, 0, plan.count),
        i(0x63, 10, 7, -4, 0), // key = w7 + count
    ]);
    let behind = found.len() as i16 + 1;
    take.push(i(0x35, 7, 0, behind, plan.others)); // if r7 >= others leave
    take.extend(found);
    let behind = take.len() as i16 + 1;
    due.push(i(0x2d, 1, 9, behind, 0)); // if due > now leave
    due.extend(take);
    due
}

/// Ends the run while the next frame is not due.
fn waiting(cells: i32, rate: u64) -> Vec<Instruction> {
    let i = Instruction::new;
    let spacing = (1_000_000_000 * FRACTION / rate.max(1)).min(i32::MAX as u64) as i32;
    let mut code = lookup(cells, DUE);
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
fn lookup(map: i32, index: u32) -> Vec<Instruction> {
    let mut code = vec![Instruction::new(0x62, 10, 0, -4, index as i32)]; // key = index
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
