//! What the verifier and the compiler made of the program: counts that only a change of the code moves.

use std::process::Command;

use nexus0::dataplane::Program;

/// Bytes of machine code the kernel made, on the processor the tests run on.
const MAX_JITED: u32 = 20 * 1024;

fn jited(program: &mut Program) -> u32 {
    program.info().expect("program info").size_jitted()
}

#[test]
fn the_program_stays_within_the_instruction_cache() {
    let mut program = Program::load(None).expect("the filter loads");
    let bytes = jited(&mut program);
    println!(
        "{bytes} bytes JITed, {:?} instructions verified",
        program.info().unwrap().verified_instruction_count()
    );
    assert!(
        (1000..MAX_JITED).contains(&bytes),
        "{bytes} bytes JITed, allowed below {MAX_JITED}"
    );
}

/// The object as text, where an llvm-objdump is installed.
fn disassembly() -> Option<String> {
    let object = env!("NEXUS0_BPF_OBJECT");
    (16..=23)
        .rev()
        .map(|version| format!("llvm-objdump-{version}"))
        .chain(["llvm-objdump".to_owned()])
        .find_map(|tool| {
            let output = Command::new(tool)
                .args(["-d", "--no-show-raw-insn", object])
                .output()
                .ok()?;
            output
                .status
                .success()
                .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        })
}

#[test]
fn the_object_uses_32_bit_arithmetic_and_compare_exchange() {
    let Some(text) = disassembly() else {
        println!("skipped: no llvm-objdump here");
        return;
    };
    let adds = text
        .lines()
        .filter(|line| line.contains(" w") && line.contains("+="))
        .count();
    assert!(
        adds > 150,
        "{adds} 32-bit additions: was it built for BPF v1?"
    );
    assert!(text.contains("cmpxchg_64"), "no 64-bit compare-exchange");
}
