//! What happens to links: flaps, new addresses, duplicates, interfaces that go and come, several at once.
//! Real processes, real interfaces. Needs root.

use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::link::{Link, is_root};

/// How long anything may take here.
const SETTLED: Duration = Duration::from_secs(20);

#[track_caller]
fn wait_for_mesh(link: &Link, nodes: &[usize], anchor: &str) {
    link.wait(SETTLED, &format!("{nodes:?} follow {anchor}"), || {
        nodes.iter().all(|node| {
            let status = link.status(*node);
            status["anchor"]["name"] == anchor && status["roster"] == nodes.len()
        })
    });
}

fn settled(nodes: usize) -> Link {
    let mut link = Link::new(nodes);
    (1..=nodes).for_each(|node| link.start(node));
    let all: Vec<usize> = (1..=nodes).collect();
    wait_for_mesh(&link, &all, &format!("n{nodes}"));
    link
}

/// Names of the members that a node sees on an interface.
fn members(link: &Link, node: usize, interface: &str) -> Vec<String> {
    let peers = link.json(node, &format!("peers --json --iface {interface}"));
    let names = peers["peers"].as_array().into_iter().flatten();
    let mut names: Vec<String> = names
        .map(|peer| peer["name"].as_str().unwrap_or_default().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn each_interface_of_a_node_is_a_link_of_its_own() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(3);
    link.cable(1, 3);
    let options = "--pulse 300ms --epoch 4s";
    link.start_as(
        1,
        &format!("run --iface eth0 --iface eth1 --state-dir {{}}/s1 {options}"),
    );
    link.start(2);
    link.start_as(
        3,
        &format!("run --iface eth1 --state-dir {{}}/s3 {options}"),
    );
    let sees = |interface: &str| {
        let status = link.run(1, &format!("status --json --iface {interface}"));
        serde_json::from_str::<Value>(&status.out).unwrap_or_default()
    };
    link.wait(SETTLED, "n1 follows n2 on eth0 and n3 on eth1", || {
        sees("eth0")["anchor"]["name"] == "n2" && sees("eth1")["anchor"]["name"] == "n3"
    });
    assert_ne!(sees("eth0")["chain"], sees("eth1")["chain"]);
    assert_eq!(members(&link, 1, "eth0"), ["n1", "n2"]);
    assert_eq!(members(&link, 1, "eth1"), ["n1", "n3"]);
    assert_eq!(members(&link, 2, "eth0"), ["n1", "n2"]);
    let both = link.run(1, "status");
    assert!(
        both.out.contains("eth0") && both.out.contains("eth1"),
        "{}{}",
        both.out,
        both.err
    );
    let unclear = link.run(1, "peers");
    assert_eq!(unclear.code, 2);
    assert!(unclear.err.contains("eth0, eth1"), "{}", unclear.err);

    // One link ends; the node on the other does not notice.
    let chain = sees("eth0")["chain"].clone();
    link.ip(1, "link del eth1");
    link.wait(SETTLED, "the loss is told", || {
        link.log(1).contains("go on") && sees("eth1")["anchor"].is_null()
    });
    assert_eq!(sees("eth0")["chain"], chain);
    assert_eq!(sees("eth0")["failovers"].as_array().map(Vec::len), Some(1));
    assert_eq!(link.end(1, Signal::SIGTERM), Some(5), "and said at the end");
}

#[test]
fn two_interfaces_on_one_link_are_one_identity_twice_and_the_node_says_so_once() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(2);
    link.second_interface(1);
    link.start(2);
    wait_for_mesh(&link, &[2], "n2");
    let options = "--state-dir {}/s1 --pulse 300ms --epoch 4s";
    link.start_as(1, &format!("run --iface eth0 --iface eth1 {options}"));
    let interfaces = ["eth0", "eth1"];
    let warns = |interface: &str| {
        let said = link.run(1, &format!("status --iface {interface}"));
        let words = said.out.split_whitespace().collect::<Vec<_>>().join(" ");
        words.contains("on the same link and speaks under the same identity")
            && words.contains("start again with --iface for one of the two")
    };
    link.wait(SETTLED, "one of them hears the other", || {
        interfaces.iter().any(|interface| warns(interface))
    });
    link.assert_narrow(1, &["status --iface eth0", "status --iface eth1"]);
    assert_eq!(link.run(1, "status").code, 1, "degraded");
    // It goes on and says no more of it.
    std::thread::sleep(Duration::from_secs(3));
    let log = link.log(1);
    let said = log.matches("speaks under the same identity").count();
    assert!((1..=interfaces.len()).contains(&said), "{said}:\n{log}");
    assert_eq!(link.run(2, "status").code, 0, "{}", link.log(2));
}

#[test]
fn a_revocation_list_learnt_on_one_interface_is_passed_on_by_all() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(3);
    link.cable(1, 3);
    let options = "--pulse 300ms --epoch 4s";
    link.start_as(
        1,
        &format!("run --iface eth0 --iface eth1 --state-dir {{}}/s1 {options}"),
    );
    link.start(2);
    link.start_as(
        3,
        &format!("run --iface eth1 --state-dir {{}}/s3 {options}"),
    );
    let both = [2, 3];
    link.wait(SETTLED, "both links have a mesh", || {
        both.iter().all(|node| link.status(*node)["roster"] == 2)
    });
    // Handed in on the link of eth0; n3 is on that of eth1 alone.
    let said = link.run(2, "mesh revoke --dir {}/root 0011223344556677");
    assert_eq!(said.code, 0, "{}", said.err);
    link.wait(SETTLED, "the list is on both links", || {
        both.iter()
            .all(|node| link.status(*node)["revocation"] == 1)
    });
    assert!(link.read("s3/revocations.json").contains("\"number\": 1"));
    for interface in ["eth0", "eth1"] {
        let list = link.json(1, &format!("revocations --json --iface {interface}"));
        assert_eq!((&list["number"], &list["kept"]), (&1.into(), &true.into()));
    }
}

#[test]
fn an_interface_named_twice_is_refused() {
    let said = std::process::Command::new(env!("CARGO_BIN_EXE_nexus0"))
        .args([
            "run",
            "--iface",
            "eth0,eth0",
            "--state-dir",
            "/nonexistent/x",
        ])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(2), "{text}");
    assert!(text.contains("eth0 is given twice"), "{text}");
}

#[test]
fn a_member_whose_link_flaps_goes_on_in_the_same_chain() {
    if !is_root() {
        return;
    }
    let link = settled(3);
    let chain = link.status(3)["chain"].clone();
    for _ in 0..3 {
        link.ip(1, "link set eth0 down");
        link.wait(SETTLED, "the address is gone", || {
            link.address(1).is_empty()
        });
        link.ip(1, "link set eth0 up");
        link.wait_for_address(1);
    }
    wait_for_mesh(&link, &[1, 2, 3], "n3");
    for node in 1..=3 {
        assert_eq!(link.status(node)["chain"], chain, "nobody was promoted");
    }
}

#[test]
fn a_node_with_a_new_address_is_the_same_member() {
    if !is_root() {
        return;
    }
    let link = settled(3);
    let chain = link.status(1)["chain"].clone();
    let old = link.address(3);
    link.ip(3, "address add fe80::3333/64 dev eth0");
    link.wait(SETTLED, "the new address may be used", || {
        let shown = link.ip(3, "-6 address show dev eth0 -tentative");
        shown.contains("fe80::3333")
    });
    link.ip(3, &format!("address del {old}/64 dev eth0"));
    link.wait(SETTLED, "n1 knows the anchor's new address", || {
        let peers = link.json(1, "peers --json");
        let all = peers["peers"].as_array().cloned().unwrap_or_default();
        all.iter()
            .any(|peer| peer["name"] == "n3" && peer["address"] == "fe80::3333")
    });
    wait_for_mesh(&link, &[1, 2, 3], "n3");
    assert_eq!(link.status(1)["chain"], chain, "identity is the key");
}

#[test]
fn a_node_whose_address_is_a_duplicate_stays_silent_and_says_so() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(2);
    link.start(2);
    wait_for_mesh(&link, &[2], "n2");
    let taken = link.address(2);
    let own = link.address(1);
    if !own.is_empty() {
        link.ip(1, &format!("address del {own}/64 dev eth0"));
    }
    link.ip(1, "link set eth0 addrgenmode none");
    link.ip(1, "link set eth0 down");
    link.ip(1, "link set eth0 up");
    link.ip(1, &format!("address add {taken}/64 dev eth0"));
    link.wait(SETTLED, "the kernel finds the duplicate", || {
        link.ip(1, "-6 address show dev eth0").contains("dadfailed")
    });
    link.start(1);
    link.wait(SETTLED, "the node says what is wrong", || {
        link.log(1).contains("is used by another machine")
    });
    let status = link.status(1);
    assert_eq!(status["anchor"], Value::Null, "{status}");
    assert_eq!(link.status(2)["roster"], 1, "nothing was heard of it");

    link.ip(1, &format!("address del {taken}/64 dev eth0"));
    link.ip(1, "address add fe80::1111/64 dev eth0");
    wait_for_mesh(&link, &[1, 2], "n2");
}

#[test]
fn a_node_ends_with_its_interface_and_comes_back_on_the_next_one() {
    if !is_root() {
        return;
    }
    let mut link = settled(3);
    let chain = link.status(3)["chain"].clone();
    link.replace_interface(1);
    assert_eq!(link.ended(1), Some(5), "{}", link.log(1));
    assert!(
        link.log(1).contains("removed or made anew"),
        "{}",
        link.log(1)
    );
    assert!(!link.has_filter(1), "the filter went with the interface");
    link.wait_for_address(1);
    link.start(1);
    wait_for_mesh(&link, &[1, 2, 3], "n3");
    assert!(link.has_filter(1));
    assert_eq!(link.status(1)["chain"], chain);
}
