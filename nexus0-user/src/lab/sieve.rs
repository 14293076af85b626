//! What the link does not deliver: copies across a cut, and copies lost at random. Judged where a copy
//! leaves the bridge, once for each receiver, and counted, so that the account stays whole.
//!
//! No carrier goes down: the stations notice nothing but silence.

use std::io;

use serde::Serialize;

use crate::flood::kernel::{Cells, Classifier, Instruction, Link};

/// Interface numbers of the bridge's namespace are below this; a frame from beyond passes.
const PORTS: u32 = 1024;
const THRESHOLD: u32 = 0;
const PASSED: i32 = 1;
const LOST: i32 = 2;
const CUT: i32 = 3;
const DROP: i32 = 2;
/// Speaks to, and hears, everyone.
const ALL: u64 = u64::MAX;

/// Which groups a port speaks to, or hears: a frame passes where the two have one in common.
type Groups = u64;

/// A program on every bridge port's way out.
#[derive(Debug)]
pub struct Sieve {
    cells: Cells,
    speaks: Cells,
    hears: Cells,
    program: Classifier,
    links: Vec<Link>,
}

/// Copies so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sifted {
    /// Let through.
    pub passed: u64,
    /// Lost at random.
    pub lost: u64,
    /// Stopped by a cut.
    pub cut: u64,
}

impl Sieve {
    /// One that lets everything through.
    pub fn new() -> io::Result<Self> {
        let (cells, speaks, hears) = (Cells::new(4)?, Cells::new(PORTS)?, Cells::new(PORTS)?);
        for port in 0..PORTS {
            speaks.set(port, ALL)?;
            hears.set(port, ALL)?;
        }
        let program = Classifier::load(&sifting(&cells, &speaks, &hears))?;
        Ok(Self {
            cells,
            speaks,
            hears,
            program,
            links: Vec::new(),
        })
    }

    /// Attaches to a port of the calling thread's network namespace.
    pub fn attach(&mut self, port: u32) -> io::Result<()> {
        self.links.push(self.program.attach(port)?);
        Ok(())
    }

    /// Loses this share of the copies, each by a draw of its own.
    pub fn lose(&self, percent: f64) -> io::Result<()> {
        let share = (percent / 100.0).clamp(0.0, 1.0);
        self.cells
            .set(THRESHOLD, (share * (1_u64 << 32) as f64).round() as u64)
    }

    /// Puts ports into one of two halves that do not hear each other.
    pub fn cut(&self, halves: impl Iterator<Item = (u32, bool)>) -> io::Result<()> {
        for (port, right) in halves {
            self.place(port, 1 << u32::from(right), 1 << u32::from(right))?;
        }
        Ok(())
    }

    /// Nobody hears this port, which hears everyone.
    pub fn mute(&self, port: u32) -> io::Result<()> {
        self.place(port, 0, ALL)
    }

    /// This port hears nobody, and everyone hears it.
    pub fn deafen(&self, port: u32) -> io::Result<()> {
        self.place(port, ALL, 0)
    }

    /// Everyone hears everyone again.
    pub fn heal(&self, ports: impl Iterator<Item = u32>) -> io::Result<()> {
        for port in ports {
            self.place(port, ALL, ALL)?;
        }
        Ok(())
    }

    fn place(&self, port: u32, speaks: Groups, hears: Groups) -> io::Result<()> {
        self.speaks.set(port, speaks)?;
        self.hears.set(port, hears)
    }

    /// What became of the copies.
    pub fn read(&self) -> io::Result<Sifted> {
        Ok(Sifted {
            passed: self.cells.get(PASSED as u32)?,
            lost: self.cells.get(LOST as u32)?,
            cut: self.cells.get(CUT as u32)?,
        })
    }
}

/// Drops where the groups of the port that a frame came in by and of the port that it leaves by have none
/// in common, then where a random number is below the threshold; counts all three outcomes.
fn sifting(cells: &Cells, speaks: &Cells, hears: &Cells) -> Vec<Instruction> {
    const INGRESS: i16 = 36;
    const EGRESS: i16 = 40;
    let i = Instruction::new;
    let look_up = |map: &Cells| {
        [
            i(0xbf, 2, 10, 0, 0), // r2 = &key
            i(0x07, 2, 0, 0, -4),
            i(0x18, 1, 1, 0, map.immediate()), // r1 = map, two slots
            i(0, 0, 0, 0, 0),
            i(0x85, 0, 0, 0, 1), // map_lookup_elem
        ]
    };
    let groups = |port: i16, map: &Cells| {
        let mut code = vec![i(0x61, 1, 6, port, 0), i(0x63, 10, 1, -4, 0)]; // key = port
        code.extend(look_up(map));
        code
    };
    let mut code = vec![i(0xbf, 6, 1, 0, 0)]; // r6 = context
    code.extend(groups(INGRESS, speaks));
    code.push(i(0x15, 0, 0, 24, 0)); // if null goto pass
    code.push(i(0x79, 7, 0, 0, 0)); // r7 = groups spoken to
    code.extend(groups(EGRESS, hears));
    code.push(i(0x15, 0, 0, 15, 0)); // if null goto pass
    code.push(i(0x79, 1, 0, 0, 0)); // r1 = groups heard
    code.push(i(0x5f, 7, 1, 0, 0)); // r7 &= r1
    code.push(i(0xb7, 8, 0, 0, CUT));
    code.push(i(0x15, 7, 0, 14, 0)); // if none goto drop
    code.push(i(0x62, 10, 0, -4, THRESHOLD as i32)); // key
    code.extend(look_up(cells));
    code.push(i(0x15, 0, 0, 4, 0)); // if null goto pass
    code.push(i(0x79, 7, 0, 0, 0)); // r7 = threshold
    code.push(i(0x85, 0, 0, 0, 7)); // get_prandom_u32
    code.push(i(0xb7, 8, 0, 0, LOST));
    code.push(i(0xad, 0, 7, 3, 0)); // if below goto drop
    code.push(i(0xb7, 8, 0, 0, PASSED)); // pass
    code.push(i(0xb7, 9, 0, 0, 0));
    code.push(i(0x05, 0, 0, 1, 0)); // goto count
    code.push(i(0xb7, 9, 0, 0, DROP)); // drop
    code.push(i(0x63, 10, 8, -4, 0)); // count: key = r8
    code.extend(look_up(cells));
    code.push(i(0x15, 0, 0, 2, 0)); // if null goto end
    code.push(i(0xb7, 1, 0, 0, 1));
    code.push(i(0xdb, 0, 1, 0, 0)); // lock *r0 += 1
    code.push(i(0xbf, 0, 9, 0, 0)); // end
    code.push(i(0x95, 0, 0, 0, 0));
    code
}
