//! What the compiler really wrote into the filter's object, whatever the flags were.

use std::error::Error;

use object::{File, Object, ObjectSection, ObjectSymbol};

/// The class bits of an instruction, the classes of 32-bit arithmetic and of jumps, and the opcodes of jumps that
/// have no condition (RFC 9669, sections 3 and 4.3).
const CLASS: u8 = 0x07;
const ALU: u8 = 0x04;
const JMP: u8 = 0x05;
const JMP32: u8 = 0x06;
const JA: [u8; 2] = [0x05, 0x06];
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
const INSTRUCTION_SIZE: usize = 8;

fn filter() -> Result<File<'static>, Box<dyn Error>> {
    let bytes = std::fs::read(env!("NEXUS0_BPF_OBJECT"))?;
    Ok(File::parse(&*bytes.leak())?)
}

#[test]
fn the_filter_has_an_xdp_program_with_32_bit_arithmetic() -> Result<(), Box<dyn Error>> {
    let file = filter()?;
    let section = file.section_by_name("xdp").ok_or("no section `xdp`")?;
    let mut instructions = section.data()?.chunks_exact(INSTRUCTION_SIZE);
    assert!(instructions.any(|instruction| instruction[0] & CLASS == ALU));
    Ok(())
}

#[test]
fn the_filter_carries_its_types() -> Result<(), Box<dyn Error>> {
    let file = filter()?;
    for section in [".BTF", ".BTF.ext"] {
        let found = file
            .section_by_name(section)
            .is_some_and(|section| section.size() > 0);
        assert!(found, "no {section}: was `-Clink-arg=--btf` passed?");
    }
    Ok(())
}

/// Opcodes of a function, in order.
fn opcodes(file: &File<'_>, function: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let found = file.symbols().find(|symbol| symbol.name() == Ok(function));
    let symbol = found.ok_or_else(|| format!("no function {function}"))?;
    let section = symbol.section_index().ok_or("not in a section")?;
    let bytes = file.section_by_index(section)?.data()?;
    let (start, size) = (symbol.address() as usize, symbol.size() as usize);
    let code = bytes.get(start..start + size).ok_or("beyond the section")?;
    Ok(code
        .chunks_exact(INSTRUCTION_SIZE)
        .map(|instruction| instruction[0])
        .collect())
}

fn conditional_jumps(opcodes: &[u8]) -> usize {
    let jump = |opcode: &&u8| {
        let class = **opcode & CLASS;
        (class == JMP || class == JMP32)
            && !JA.contains(opcode)
            && **opcode != CALL
            && **opcode != EXIT
    };
    opcodes.iter().filter(jump).count()
}

/// (R19)
#[test]
fn the_tag_is_compared_without_a_branch_per_word() -> Result<(), Box<dyn Error>> {
    let file = filter()?;
    let all = opcodes(&file, "nexus0_check_tag")?;
    let last_call = all.iter().rposition(|opcode| *opcode == CALL);
    let comparing = &all[last_call.ok_or("nothing is compressed")?..];
    assert!(
        comparing.len() > 20,
        "the comparison is behind the last compression"
    );
    assert!(
        conditional_jumps(comparing) <= 1,
        "{} of {} instructions jump on a condition",
        conditional_jumps(comparing),
        comparing.len()
    );
    assert!(
        conditional_jumps(&opcodes(&file, "nexus0")?) > 1,
        "jumps are found where there are some"
    );
    Ok(())
}
