//! What the verifier and the kernel's compiler made of the program: counts that only a change of the code moves.
//! Those of the object itself are in `tests/object`.

use nexus0::dataplane::Program;

use crate::capabilities::with_only;

/// Bytes of machine code, on the processor the tests run on.
const MAX_JITED: u32 = 20_000;
/// Instructions the verifier looked at, with CAP_PERFMON and without.
const MAX_VERIFIED: [u32; 2] = [60_000, 250_000];

/// Child: loads the filter and says what became of it.
#[test]
#[ignore = "started by the other tests with fewer capabilities"]
fn measure_here() {
    let mut program = Program::load(None).expect("the filter loads");
    let info = program.info().expect("program info");
    let verified = info.verified_instruction_count().expect("Linux 5.16");
    println!("figures: {} {verified}", info.size_jitted());
}

/// Bytes of machine code and instructions verified.
fn figures(capabilities: &str) -> [u32; 2] {
    let output = with_only(capabilities, "figures::measure_here");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.split_once("figures: "));
    let (_, numbers) =
        line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    let mut numbers = numbers.split(' ').map(|one| one.parse().expect("a number"));
    [(); 2].map(|()| numbers.next().expect("two numbers"))
}

#[test]
fn the_program_stays_small_and_quick_to_verify_with_perfmon_and_without() {
    let sets = ["+bpf,+net_admin,+perfmon", "+bpf,+net_admin"];
    let [fast, barriers] = sets.map(figures);
    println!("bytes JITed, instructions verified: {fast:?}, with barriers {barriers:?}");
    for ([bytes, verified], most) in [fast, barriers].into_iter().zip(MAX_VERIFIED) {
        assert!(
            (1000..MAX_JITED).contains(&bytes),
            "{bytes} bytes JITed, allowed below {MAX_JITED}"
        );
        assert!(
            (1000..most).contains(&verified),
            "{verified} instructions verified, allowed below {most}"
        );
    }
    assert!(
        barriers[0] > fast[0] && barriers[1] > fast[1],
        "barriers are code, and mispredicted paths are verified: the figures move"
    );
}
