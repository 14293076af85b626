//! An object's functions as instructions, and who calls whom (RFC 9669; the ELF part is LLVM's).

use std::collections::BTreeSet;
use std::error::Error;

use object::{
    File, Object, ObjectSection, ObjectSymbol, RelocationTarget, SectionIndex, SymbolKind,
};

const SIZE: u64 = 8;
/// Frame pointer.
const R10: u8 = 10;
/// `src` of a call to a function of the program, not to a helper.
const LOCAL: u8 = 1;
/// What the verifier rounds a frame up to.
const FRAME: u32 = 32;

/// One of eight bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Instruction {
    pub(crate) opcode: u8,
    pub(crate) dst: u8,
    pub(crate) src: u8,
    pub(crate) offset: i16,
    pub(crate) immediate: i32,
}

impl Instruction {
    fn decode(bytes: &[u8]) -> Self {
        Self {
            opcode: bytes[0],
            dst: bytes[1] & 0xf,
            src: bytes[1] >> 4,
            offset: i16::from_le_bytes([bytes[2], bytes[3]]),
            immediate: i32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        }
    }

    fn class(self) -> u8 {
        self.opcode & 0x07
    }

    /// Arithmetic on 32-bit registers, `w`.
    pub(crate) fn is_32_bit(self) -> bool {
        self.class() == 0x04
    }

    pub(crate) fn is_call(self) -> bool {
        self.opcode == 0x85
    }

    /// A jump that depends on a comparison.
    pub(crate) fn is_conditional(self) -> bool {
        const ALWAYS: [u8; 4] = [0x05, 0x06, 0x85, 0x95];
        matches!(self.class(), 0x05 | 0x06) && !ALWAYS.contains(&self.opcode)
    }

    /// `lock cmpxchg` of 64 bits.
    pub(crate) fn is_compare_exchange(self) -> bool {
        self.opcode == 0xdb && self.immediate == 0xf1
    }

    /// A store of a register to the stack.
    pub(crate) fn is_spill(self) -> bool {
        self.class() == 0x03 && self.dst == R10
    }

    /// A store of eight bytes.
    pub(crate) fn is_double(self) -> bool {
        self.opcode & 0x18 == 0x18
    }

    /// How far below the frame pointer it reaches.
    fn depth(self) -> u32 {
        let through_frame = match self.class() {
            0x01 => self.src == R10,
            0x02 | 0x03 => self.dst == R10,
            _ => false,
        };
        if through_frame {
            u32::from(self.offset.unsigned_abs())
        } else {
            0
        }
    }
}

/// A function of the object.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) code: Vec<Instruction>,
    pub(crate) calls: BTreeSet<String>,
}

impl Function {
    pub(crate) fn count(&self, which: fn(Instruction) -> bool) -> usize {
        self.code.iter().filter(|one| which(**one)).count()
    }

    /// Bytes of its frame: the lowest access, and the lowest address made of the frame pointer.
    fn frame(&self) -> u32 {
        const COPY: u8 = 0xbf;
        const ADD: u8 = 0x07;
        let made = self.code.windows(2).filter_map(|pair| {
            let [copy, add] = pair else { return None };
            let address = copy.opcode == COPY && copy.src == R10;
            (address && add.opcode == ADD && add.dst == copy.dst)
                .then(|| add.immediate.unsigned_abs())
        });
        let direct = self.code.iter().map(|one| one.depth());
        direct.chain(made).max().unwrap_or(0)
    }
}

/// All functions of an object.
pub(crate) struct Program(pub(crate) Vec<Function>);

impl Program {
    pub(crate) fn read(file: &File<'_>) -> Result<Self, Box<dyn Error>> {
        let symbols: Vec<_> = file
            .symbols()
            .filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0)
            .collect();
        let named = |section: SectionIndex, address: u64| {
            let at = |symbol: &&object::Symbol<'_, '_>| {
                symbol.section_index() == Some(section) && symbol.address() == address
            };
            let found = symbols.iter().find(at).and_then(|found| found.name().ok());
            found.map(str::to_owned)
        };
        let mut functions = Vec::new();
        for symbol in &symbols {
            let index = symbol.section_index().ok_or("not in a section")?;
            let section = file.section_by_index(index)?;
            let (start, end) = (symbol.address(), symbol.address() + symbol.size());
            let bytes = section.data()?.get(start as usize..end as usize);
            let code: Vec<_> = bytes
                .ok_or("beyond its section")?
                .chunks_exact(SIZE as usize)
                .map(Instruction::decode)
                .collect();
            let mut calls = BTreeSet::new();
            for (number, one) in code.iter().enumerate() {
                if !one.is_call() || one.src != LOCAL {
                    continue;
                }
                let at = start + number as u64 * SIZE;
                let relocation = section.relocations().find(|(place, _)| *place == at);
                let (section, address) = match relocation.map(|(_, found)| found.target()) {
                    Some(RelocationTarget::Symbol(target)) => {
                        let target = file.symbol_by_index(target)?;
                        let base = target.section_index().ok_or("a call out of the object")?;
                        let inside = if target.kind() == SymbolKind::Section {
                            i64::from(one.immediate) + 1
                        } else {
                            0
                        };
                        (base, target.address().wrapping_add_signed(inside * 8))
                    }
                    _ => (
                        index,
                        at.wrapping_add_signed((i64::from(one.immediate) + 1) * 8),
                    ),
                };
                calls.insert(named(section, address).ok_or("a call into a function")?);
            }
            functions.push(Function {
                name: symbol.name()?.to_owned(),
                code,
                calls,
            });
        }
        Ok(Self(functions))
    }

    pub(crate) fn function(&self, name: &str) -> &Function {
        let found = self.0.iter().find(|function| function.name == name);
        found.unwrap_or_else(|| panic!("no function {name}"))
    }

    /// A function and all that it calls.
    pub(crate) fn reached(&self, from: &str) -> Vec<&Function> {
        let mut reached = vec![self.function(from)];
        let mut next = 0;
        while next < reached.len() {
            for call in &reached[next].calls {
                if reached.iter().all(|known| known.name != *call) {
                    reached.push(self.function(call));
                }
            }
            next += 1;
        }
        reached
    }

    /// Bytes of stack of a function with the deepest of those it calls.
    pub(crate) fn stack(&self, from: &str) -> u32 {
        let function = self.function(from);
        let deepest = function.calls.iter().map(|call| self.stack(call)).max();
        function.frame().max(1).next_multiple_of(FRAME) + deepest.unwrap_or(0)
    }
}
