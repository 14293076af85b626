//! `nexus0 sim` as users and scripts meet it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

fn sim(line: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_nexus0"));
    command
        .arg("sim")
        .args(line.split_whitespace())
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn json(line: &str) -> Value {
    let output = sim(&format!("{line} --json"));
    let text = out(&output);
    assert_eq!(text.lines().count(), 1, "{text}{}", err(&output));
    serde_json::from_str(&text).unwrap()
}

#[track_caller]
fn refused(line: &str, words: &[&str]) {
    let output = sim(line);
    assert_eq!(output.status.code(), Some(2), "{line}: {}", err(&output));
    assert!(out(&output).is_empty(), "{line}");
    for word in words {
        assert!(
            err(&output).contains(word),
            "{line}: no {word} in {}",
            err(&output)
        );
    }
}

fn scenarios() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/scenarios")
}

#[test]
fn without_options_it_tells_a_story_that_fits_the_terminal() {
    let output = sim("");
    assert!(output.status.success(), "{}", err(&output));
    let text = out(&output);
    for words in [
        "node-0 leads 5 of 5",
        "turns the key",
        "node-0 is killed",
        "node-1 leads 4 of 4",
        "partition",
        "heals",
        "violations      0",
    ] {
        assert!(text.contains(words), "no {words} in\n{text}");
    }
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    assert!(text.lines().count() < 60, "{text}");
}

#[test]
fn json_is_one_object_with_everything_a_script_needs() {
    let outcome = json("--swarm --seeds 6 --jobs 2");
    assert_eq!(outcome["schema"], 1);
    assert_eq!(outcome["violations"], 0);
    assert_eq!(outcome["seeds"], 6);
    assert_eq!(outcome["hash"].as_str().unwrap().len(), 64);
    assert!(outcome["mesh_hours"].as_f64().unwrap() > 0.5);
    for count in ["anchor_changes", "turns", "joins"] {
        assert!(outcome[count].as_u64().unwrap() > 0, "{count}: {outcome}");
    }
    assert!(outcome["merges"].is_u64());
    assert!(outcome["sometimes"]["cold-start"].as_u64().unwrap() >= 6);
    assert!(outcome["never"].is_array());
}

#[test]
fn a_seed_gives_one_hash_whatever_runs_it_and_another_seed_another() {
    let hash = |line: &str| json(line)["hash"].clone();
    let one = hash("--seed 7 --hours 0.1 --loss 10 --crash 60");
    assert_eq!(hash("--seed 7 --hours 0.1 --loss 10 --crash 60"), one);
    assert_eq!(
        hash("--seed 7 --hours 0.1 --loss 10 --crash 60 --real"),
        one
    );
    assert_ne!(hash("--seed 8 --hours 0.1 --loss 10 --crash 60"), one);
    let many = hash("--swarm --seeds 4 --jobs 1");
    assert_eq!(hash("--swarm --seeds 4 --jobs 3"), many);
}

#[test]
fn a_killed_anchor_is_succeeded() {
    let outcome = json("--nodes 10 --hours 0.1 --kill-anchor");
    assert_eq!(outcome["violations"], 0);
    assert_eq!(outcome["faults"]["crash"], 1);
    assert!(
        outcome["sometimes"]["failover"].as_u64().unwrap() >= 9,
        "{outcome}"
    );
}

#[test]
fn the_scenarios_in_the_documents_hold() {
    let mut met = 0;
    for entry in std::fs::read_dir(scenarios()).unwrap() {
        let file = entry.unwrap().path();
        let outcome = json(&format!("--scenario {}", file.display()));
        assert_eq!(outcome["violations"], 0, "{}: {outcome}", file.display());
        met += 1;
    }
    assert!(met >= 3);
}

#[test]
fn a_scenario_that_expects_what_is_not_so_fails_and_says_how_to_replay() {
    let text = "length = \"20s\"\n[[step]]\nat = \"10s\"\ndo = \"expect\"\nanchor = 3\n";
    let file = std::env::temp_dir().join(format!("nexus0-sim-{}.toml", std::process::id()));
    std::fs::write(&file, text).unwrap();
    let output = sim(&format!("--scenario {}", file.display()));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        out(&output).contains("VIOLATED expected at 10.000 s"),
        "{}",
        out(&output)
    );
    assert!(
        err(&output).contains("replay: nexus0 sim --scenario"),
        "{}",
        err(&output)
    );
}

#[test]
fn a_picture_names_the_nodes_and_the_faults() {
    let file = std::env::temp_dir().join(format!("nexus0-sim-{}.svg", std::process::id()));
    assert!(sim(&format!("--svg {}", file.display())).status.success());
    let picture = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    for words in [
        "<svg",
        "node-4",
        "follows node-1",
        "is killed",
        "partition",
        "prefers-color-scheme",
    ] {
        assert!(picture.contains(words), "{words}");
    }
}

#[test]
fn bad_options_say_what_is_allowed() {
    refused("--nodes 1", &["allowed are 2 to 1024"]);
    refused("--loss 101", &["--loss", "0 to 100 percent"]);
    refused("--hours 0", &["--hours 0", "more than 0"]);
    refused("--pulse 10ms", &["100ms to 60s"]);
    refused("--epoch 10s", &["9 pulses"]);
    refused("--egos 50,101", &["ego 101", "0 to 100"]);
    refused("--seeds 0", &["--seeds 0"]);
    refused("--seeds 2 --svg x.svg", &["one seed"]);
    refused("--partition 9999", &["--partition 9999", "0 to 3600"]);
    refused(
        "--sabotage skip-tga",
        &["did you mean skip-tag?", "ignore-window"],
    );
}

#[test]
#[cfg(not(feature = "sabotage"))]
fn a_production_build_plants_no_faults() {
    refused("--sabotage skip-tag", &["--features sabotage"]);
}

#[test]
#[cfg(feature = "sabotage")]
fn a_planted_fault_ends_with_violations_by_its_oracle() {
    let outcome = json("--swarm --seeds 12 --sabotage skip-tag");
    assert!(outcome["violations"].as_u64().unwrap() > 0);
    let violated = outcome["violated"].as_array().unwrap();
    assert!(
        violated
            .iter()
            .any(|violation| violation["oracle"] == "genuine"),
        "{outcome}"
    );
    assert_eq!(
        sim("--swarm --seeds 12 --sabotage skip-tag").status.code(),
        Some(1)
    );
}
