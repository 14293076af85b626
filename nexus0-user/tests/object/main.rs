//! What the compiler really wrote into the filter's object, whatever the flags were: counts that only a change of the
//! code, or of the compiler, moves.

mod bpf;

use std::collections::BTreeSet;
use std::error::Error;

use bpf::{Function, Instruction, Program};
use object::{File, Object, ObjectSection};

/// Instructions of the filter with all functions it calls.
const MAX_INSTRUCTIONS: usize = 5_000;
/// What the kernel allows, frames rounded up.
const MAX_STACK: u32 = 512;
/// Stores of the compression to the stack: 20 words before the rounds, 32 in the loop, 16 behind it, and five
/// of eight bytes, which alone cost a barrier where there is no CAP_PERFMON.
const COMPRESSION_STORES: usize = 20 + 32 + 16 + COMPRESSION_SPILLS;
const COMPRESSION_SPILLS: usize = 5;
/// 32-bit instructions of 32 rounds and 16 words of the schedule.
const MIN_32_BIT: usize = 32 * 15 + 16 * 3;
/// Window and rate of a member; memory, source and rate at the door.
const COMMITS: usize = 5;

fn filter() -> Result<File<'static>, Box<dyn Error>> {
    let bytes = std::fs::read(env!("NEXUS0_BPF_OBJECT"))?;
    Ok(File::parse(&*bytes.leak())?)
}

fn program() -> Result<Program, Box<dyn Error>> {
    Program::read(&filter()?)
}

#[test]
fn the_filter_carries_its_types() -> Result<(), Box<dyn Error>> {
    let file = filter()?;
    let carries = |section: &str| {
        file.section_by_name(section)
            .is_some_and(|section| section.size() > 0)
    };
    for section in [".BTF", ".BTF.ext"] {
        assert!(
            carries(section),
            "no {section}: was `-Clink-arg=--btf` passed?"
        );
    }
    assert!(!carries(".BTF.none"));
    Ok(())
}

#[test]
fn the_filter_stays_small() -> Result<(), Box<dyn Error>> {
    let program = program()?;
    let reached = program.reached("nexus0");
    let instructions: usize = reached.iter().map(|function| function.code.len()).sum();
    let stack = program.stack("nexus0");
    println!("{instructions} instructions, {stack} bytes of stack");
    assert!(
        (2000..=MAX_INSTRUCTIONS).contains(&instructions),
        "{instructions} instructions, allowed are {MAX_INSTRUCTIONS}"
    );
    assert!(
        (128..=MAX_STACK).contains(&stack),
        "{stack} bytes of stack, allowed are {MAX_STACK}"
    );
    Ok(())
}

#[test]
fn what_nobody_calls_does_not_count() -> Result<(), Box<dyn Error>> {
    let program = program()?;
    assert_eq!(program.reached("nexus0_drop").len(), 1);
    assert_eq!(program.stack("nexus0_drop"), 32);
    assert!(program.stack("nexus0_check_tag") > program.stack("nexus0_compress"));
    Ok(())
}

#[test]
fn the_compression_spills_nothing_and_computes_in_32_bits() -> Result<(), Box<dyn Error>> {
    let program = program()?;
    let compression = program.function("nexus0_compress");
    let spills = |function: &Function| function.count(|one| one.is_spill() && one.is_double());
    assert_eq!(compression.count(Instruction::is_spill), COMPRESSION_STORES);
    assert_eq!(spills(compression), COMPRESSION_SPILLS);
    assert!(compression.count(Instruction::is_32_bit) >= MIN_32_BIT);
    let other = program.function("nexus0");
    assert!(
        spills(other) > COMPRESSION_SPILLS,
        "spills are found where there are some"
    );
    assert!(
        other.count(Instruction::is_32_bit) < MIN_32_BIT,
        "and 64-bit arithmetic is no other"
    );
    Ok(())
}

/// The functions behind `memcpy` and its like that a function reaches: loops over bytes.
fn strays(program: &Program, from: &str) -> BTreeSet<String> {
    const BYTEWISE: [&str; 4] = ["memcpy", "memmove", "memset", "memcmp"];
    let names = program
        .reached(from)
        .into_iter()
        .map(|one| one.name.clone());
    names.filter(|name| BYTEWISE.contains(&&**name)).collect()
}

#[test]
fn nothing_is_copied_byte_by_byte() -> Result<(), Box<dyn Error>> {
    let mut program = program()?;
    assert_eq!(strays(&program, "nexus0"), BTreeSet::new());
    let innermost = program
        .0
        .iter_mut()
        .find(|one| one.name == "nexus0_check_tag");
    innermost
        .ok_or("no check of the tag")?
        .calls
        .insert("memset".to_owned());
    assert_eq!(
        strays(&program, "nexus0").len(),
        1,
        "a call two functions away is found"
    );
    Ok(())
}

#[test]
fn every_commit_is_a_compare_exchange() -> Result<(), Box<dyn Error>> {
    let program = program()?;
    let commits = |name: &str| {
        program
            .function(name)
            .count(Instruction::is_compare_exchange)
    };
    assert_eq!(commits("nexus0"), COMMITS);
    assert_eq!(commits("nexus0_compress"), 0);
    Ok(())
}

/// (R19)
#[test]
fn the_tag_is_compared_without_a_branch_per_word() -> Result<(), Box<dyn Error>> {
    let program = program()?;
    let jumps = |code: &[Instruction]| code.iter().filter(|one| one.is_conditional()).count();
    let all = &program.function("nexus0_check_tag").code;
    let last_call = all.iter().rposition(|one| one.is_call());
    let comparing = &all[last_call.ok_or("nothing is compressed")?..];
    assert!(
        comparing.len() > 20,
        "the comparison is behind the last compression"
    );
    assert!(
        jumps(comparing) <= 1,
        "{} of {} instructions jump on a condition",
        jumps(comparing),
        comparing.len()
    );
    assert!(
        jumps(&program.function("nexus0").code) > 1,
        "jumps are found where there are some"
    );
    Ok(())
}
