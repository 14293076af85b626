//! An anchor cut off in one direction: who is not heard is succeeded, who hears nobody is left in the end.

use serde_json::Value;

use crate::{count, lab_says, number};

/// The one cut of a lab of four, in which the middle one leads; with what the lab said.
fn cut_one_way(way: &str, cut: &str, duration: &str) -> (String, Value) {
    let line = format!(
        "--profile fast --nodes 4 --flood off --no-kill --joins 0 --cuts 1 --one-way {way} --cut {cut} \
         --heal 6s --duration {duration}"
    );
    let words: Vec<&str> = line.split_whitespace().collect();
    let (said, summary) = lab_says(&words);
    assert_eq!(count(&summary, "/cuts/0/sides/0/nodes"), 3, "{summary}");
    assert_eq!(count(&summary, "/cuts/0/sides/0/anchors"), 1);
    assert_eq!(count(&summary, "/merges"), 1);
    assert_eq!(count(&summary, "/anchors"), 1);
    assert_eq!(count(&summary, "/frames/unaccounted"), 0);
    assert_eq!(count(&summary, "/valid_lost"), 0, "{}", summary["gaps"]);
    assert!(count(&summary, "/frames/cut") > 0);
    (said, summary)
}

#[test]
fn an_anchor_that_nobody_hears_is_succeeded_as_a_dead_one_and_comes_back_as_one_mesh() {
    let (said, summary) = cut_one_way("mute", "4s", "18");
    assert!(said.contains("cut 1: nobody hears n2"), "{said}");
    assert!(said.contains("silence"), "a member was promoted: {said}");
    assert_eq!(count(&summary, "/failovers_ms/count"), 1);
}

#[test]
fn an_anchor_that_hears_nobody_is_followed_until_it_leaves_everybody_out() {
    let (said, summary) = cut_one_way("deaf", "12s", "25");
    assert!(said.contains("hears nobody, and all hear it"), "{said}");
    assert!(said.contains("nobody answered: started a mesh"), "{said}");
    assert_eq!(
        count(&summary, "/failovers_ms/count"),
        0,
        "nobody missed it"
    );
    // It forgets whom it has not heard for twelve pulses, not before.
    assert!(number(&summary, "/settled_ms/p50") > 2_400.0);
}
