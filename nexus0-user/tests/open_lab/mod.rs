//! A lab of an open mesh leads itself like any other, and everything it says says that it is open.

use serde_json::Value;

use crate::{count, lab_says, left_behind};

const QUIET: [&str; 10] = [
    "--profile",
    "fast",
    "--nodes",
    "3",
    "--flood",
    "off",
    "--no-kill",
    "--joins",
    "0",
    "--duration",
];

#[test]
fn a_lab_of_an_open_mesh_has_one_anchor_and_says_that_it_is_open() {
    let (said, summary) = lab_says(&[&QUIET[..], &["14", "--open"]].concat());
    assert_eq!(count(&summary, "/anchors"), 1);
    let lab = summary["lab"].as_str().unwrap();
    assert_eq!(summary["open"], format!("lab-{lab}"));
    for zero in ["/forged_accepted", "/valid_lost", "/frames/unaccounted"] {
        assert_eq!(count(&summary, zero), 0, "{zero}: {summary}");
    }
    let lines = |what: &str| said.lines().filter(|line| line.contains(what)).count();
    let name = format!("lab-{lab}");
    assert!(said.contains(&format!("mesh {name} is OPEN")), "{said}");
    assert!(said.contains(&format!("{name}, OPEN: ")), "{said}");
    assert!(said.contains("n2 (cold-start"), "the middle leads: {said}");
    assert!(lines("anchor n2, epoch") >= 2, "{said}");
    assert_eq!(lines("OPEN anchor n2, epoch"), lines("anchor n2, epoch"));
    assert_eq!(left_behind(lab), Vec::<String>::new());
}

#[test]
fn a_lab_of_a_closed_mesh_does_not_say_open() {
    let (said, summary) = lab_says(&[&QUIET[..], &["7"]].concat());
    assert_eq!(summary["open"], Value::Null);
    assert!(!said.contains("OPEN"), "{said}");
}
