//! What the compiler really wrote into the filter's object, whatever the flags were.

use std::error::Error;

use object::{File, Object, ObjectSection};

/// The class bits of an instruction, and the class of 32-bit arithmetic (RFC 9669, section 3).
const CLASS: u8 = 0x07;
const ALU: u8 = 0x04;
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
