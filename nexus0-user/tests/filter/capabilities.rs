//! What a loader needs: CAP_BPF and CAP_NET_ADMIN to load at all, CAP_PERFMON to be fast.

use std::process::{Command, Output};

use nexus0::dataplane::{Program, Verifier};

const MARK: &str = "NX0_TEST_LOAD_WITH";

/// Runs this very test again under `setpriv` with only the given capabilities.
pub(crate) fn with_only(capabilities: &str, test: &str) -> Output {
    let keep = format!("-all,{capabilities}");
    Command::new("setpriv")
        .args([
            "--bounding-set",
            &keep,
            "--inh-caps",
            &keep,
            "--ambient-caps",
            &keep,
            "--",
        ])
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env(MARK, capabilities)
        .output()
        .expect("setpriv runs (package util-linux)")
}

/// Child: loads the filter and says how that went.
#[test]
#[ignore = "started by the other tests with fewer capabilities"]
fn load_here() {
    if std::env::var_os(MARK).is_none() {
        return;
    }
    // Root keeps every permission in the bounding set across exec, which is all of `setpriv`'s list.
    match Program::load(None) {
        Ok(program) => println!("loaded {}", program.verifier().words()),
        Err(error) => {
            let text = error.to_string();
            let end: Vec<&str> = text.lines().rev().take(8).collect();
            println!(
                "refused: {} .. {end:?}",
                text.lines().next().unwrap_or_default()
            );
        }
    }
}

fn outcome(capabilities: &str) -> String {
    let output = with_only(capabilities, "capabilities::load_here");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text
        .lines()
        .find(|line| line.contains("loaded ") || line.contains("refused: "));
    line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)))
        .to_owned()
}

#[test]
fn bpf_and_net_admin_are_enough_to_load() {
    let said = outcome("+bpf,+net_admin");
    assert!(said.contains(Verifier::Barriers.words()), "{said}");
}

#[test]
fn with_perfmon_it_loads_without_barriers() {
    let said = outcome("+bpf,+net_admin,+perfmon");
    assert!(said.contains("loaded fast"), "{said}");
}

#[test]
fn without_cap_bpf_it_is_refused_with_the_capability_named() {
    let said = outcome("+net_admin");
    assert!(
        said.contains("refused") && said.contains("CAP_BPF"),
        "{said}"
    );
}
