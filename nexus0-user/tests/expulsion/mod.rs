//! Expelling nodes of a running mesh, and meshes that are open: real processes on one link.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::link::{Link, is_root, run_line};
use crate::{SETTLED, frames, wait_for_mesh};

/// How often a node's chain had another anchor, or was promoted to.
fn changes(status: &Value) -> usize {
    let failovers = status["failovers"].as_array().unwrap();
    let other = |change: &&Value| change["reason"] != "break";
    failovers.iter().filter(other).count()
}

/// Waits until all have heard each other: ranks are taken among those heard.
#[track_caller]
fn wait_until_heard(link: &Link, nodes: &[usize]) {
    link.wait(SETTLED, "all have heard all", || {
        nodes.iter().all(|node| {
            let peers = link.json(*node, "peers --json");
            let peers = peers["peers"].as_array().unwrap();
            let heard = |peer: &&Value| peer["state"] == "alive" || peer["state"] == "myself";
            peers.iter().filter(heard).count() == nodes.len()
        })
    });
}

/// Waits until these agree on a chain without the expelled; how long it took.
#[track_caller]
fn apart(link: &Link, nodes: &[usize], old: &Value) -> Duration {
    let start = Instant::now();
    link.wait(SETTLED, "the others agree on a new chain", || {
        let all: Vec<Value> = nodes.iter().map(|node| link.status(*node)).collect();
        all.iter().all(|status| {
            status["chain"] != *old
                && status["chain"] == all[0]["chain"]
                && status["roster"] == nodes.len()
                && status["roster_complete"] == true
                && status["revocation"] == 1
        })
    });
    start.elapsed()
}

#[test]
fn a_revoked_member_is_out_of_views_and_filters_at_once_and_the_anchor_stays() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(4);
    (1..=4).for_each(|node| link.start(node));
    wait_for_mesh(&link, &[1, 2, 3, 4], "n4");
    wait_until_heard(&link, &[1, 2, 3, 4]);
    let before = link.status(1);
    // The node next to the root's files hands the list in; by name.
    let said = link.run(1, "mesh revoke --dir {}/root n2");
    assert_eq!(said.code, 0, "{}", said.err);
    let took = apart(&link, &[1, 3, 4], &before["chain"]);
    println!("an expelled member: {took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}, looking included");

    let out = link.status(2);
    assert_eq!(out["role"], "revoked", "{out}");
    let said = link.run(2, "");
    assert_eq!(said.code, 1, "degraded");
    assert!(said.out.contains("revoked this node"), "{}", said.out);
    link.assert_narrow(1, &["", "revocations"]);
    let list = link.json(3, "revocations --json");
    assert_eq!(list["revoked"][0]["name"], "n2", "{list}");
    assert_eq!(list["kept"], true);
    assert!(link.read("s3/revocations.json").contains("\"number\": 1"));

    // What it sends, were it to go on, dies in the filters: nobody there is called that.
    link.wait(Duration::from_secs(15), "epochs turn on", || {
        link.status(1)["number"].as_u64() > before["number"].as_u64().map(|n| n + 3)
    });
    for node in [1, 3, 4] {
        let status = link.status(node);
        assert_eq!(status["anchor"]["name"], "n4");
        assert_eq!(changes(&status), changes(&before).max(1), "{status}");
        assert!(frames(&status, "accepted") > 0);
    }
}

#[test]
fn a_revoked_anchor_is_succeeded_within_two_seconds_and_comes_back_to_no_avail() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(4);
    (1..=4).for_each(|node| link.start(node));
    wait_for_mesh(&link, &[1, 2, 3, 4], "n4");
    wait_until_heard(&link, &[1, 2, 3, 4]);
    let before = link.status(1);
    let said = link.run(1, "mesh revoke --dir {}/root {}/s4/grant.json");
    assert_eq!(said.code, 0, "{}", said.err);
    let took = apart(&link, &[1, 2, 3], &before["chain"]);
    println!("an expelled anchor: {took:?}");
    assert!(took < Duration::from_secs(3), "{took:?}, looking included");
    wait_for_mesh(&link, &[1, 2, 3], "n3");
    let failovers = link.status(1)["failovers"].clone();
    let last = failovers.as_array().unwrap().last().unwrap().clone();
    assert_eq!(last["reason"], "revoked", "{failovers}");

    // It restarts without its list, as an attacker would: still nobody takes it.
    link.end(4, nix::sys::signal::Signal::SIGTERM);
    std::fs::remove_file(link.path("s4/revocations.json")).unwrap();
    link.start(4);
    std::thread::sleep(Duration::from_secs(5));
    for node in 1..=3 {
        let status = link.status(node);
        assert_eq!(status["anchor"]["name"], "n3");
        assert_eq!(status["roster"], 3);
    }
}

#[test]
fn a_damaged_list_is_refused_at_the_start_and_lost_by_nobody() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(1);
    std::fs::write(link.path("s1/revocations.json"), "{}").unwrap();
    link.start(1);
    assert_eq!(link.ended(1), Some(1));
    assert!(link.log(1).contains("is damaged"), "{}", link.log(1));
    assert_eq!(link.read("s1/revocations.json"), "{}");
}

#[test]
fn an_open_mesh_needs_no_grant_says_that_it_is_open_and_expels_nobody() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(3);
    for node in 1..=2 {
        let line = format!(
            "{} --open home --name n{node} --ego 4{node}",
            run_line(node)
        );
        link.start_as(node, &line);
    }
    // The third belongs to a closed mesh on the same link.
    link.start(3);
    wait_for_mesh(&link, &[1, 2], "n2");
    wait_for_mesh(&link, &[3], "n3");
    for verb in ["", "peers", "anchor"] {
        let said = link.run(1, verb);
        assert!(said.out.contains("OPEN"), "{verb}: {}", said.out);
        assert!(!link.run(3, verb).out.contains("OPEN"), "{verb}");
    }
    assert_eq!(link.status(1)["open"], "home");
    link.assert_narrow(1, &["", "peers", "anchor --why"]);
    link.run(3, "mesh revoke --dir {}/root n1 0011223344556677");
    let said = link.run(1, "revocations --take {}/root/revocations.json");
    assert_ne!(said.code, 0, "no list is taken");
}
