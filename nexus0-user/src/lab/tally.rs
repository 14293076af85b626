//! What enters the bridge, counted at its ports: multicast and unicast apart, since the interfaces'
//! own counters do not tell them apart.

use std::io;

use crate::flood::kernel::{Cells, Instruction, Link, Program};
use crate::lab::account::Sent;

const UNICAST: u32 = 0;
const MULTICAST: u32 = 1;
const PASS: i32 = 2;
const DROP: i32 = 1;

/// A program on a bridge port that counts what comes in and passes it on.
#[derive(Debug)]
pub struct Tally {
    cells: Cells,
    program: Program,
    link: Link,
}

impl Tally {
    /// Attaches to a port of the calling thread's network namespace.
    pub fn attach(interface: u32) -> io::Result<Self> {
        let cells = Cells::new(2)?;
        let program = Program::load(&counting(&cells))?;
        let link = program.attach(interface)?;
        Ok(Self {
            cells,
            program,
            link,
        })
    }

    /// Frames counted so far.
    pub fn read(&self) -> io::Result<Sent> {
        Ok(Sent {
            unicast: self.cells.get(UNICAST)?,
            multicast: self.cells.get(MULTICAST)?,
        })
    }

    /// Loses, without counting it anywhere, everything that comes in until [`Tally::restore`].
    pub fn lose_everything(&self) -> io::Result<()> {
        self.link.replace(&Program::constant(DROP)?)
    }

    /// Counts and passes again.
    pub fn restore(&self) -> io::Result<()> {
        self.link.replace(&self.program)
    }
}

/// Adds one to cell 0 or 1 by the group bit of the destination MAC address, then passes the frame.
fn counting(cells: &Cells) -> [Instruction; 18] {
    let i = Instruction::new;
    [
        i(0x61, 2, 1, 0, 0),   // r2 = data
        i(0x61, 3, 1, 4, 0),   // r3 = data_end
        i(0xbf, 4, 2, 0, 0),   // r4 = r2
        i(0x07, 4, 0, 0, 14),  // r4 += 14
        i(0x2d, 4, 3, 11, 0),  // if r4 > r3 goto pass
        i(0x71, 5, 2, 0, 0),   // r5 = first byte
        i(0x57, 5, 0, 0, 1),   // r5 &= 1
        i(0x63, 10, 5, -4, 0), // key = r5
        i(0xbf, 2, 10, 0, 0),  // r2 = &key
        i(0x07, 2, 0, 0, -4),
        i(0x18, 1, 1, 0, cells.immediate()), // r1 = map, two slots
        i(0, 0, 0, 0, 0),
        i(0x85, 0, 0, 0, 1), // map_lookup_elem
        i(0x15, 0, 0, 2, 0), // if null goto pass
        i(0xb7, 1, 0, 0, 1), // r1 = 1
        i(0xdb, 0, 1, 0, 0), // lock *r0 += r1
        i(0xb7, 0, 0, 0, PASS),
        i(0x95, 0, 0, 0, 0),
    ]
}
