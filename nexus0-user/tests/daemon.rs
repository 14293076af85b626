//! Real nodes: processes in network namespaces on one bridge, the filter in their drivers. Needs root.

mod af_xdp;
mod conviction;
mod expulsion;
mod interfaces;
mod link;
mod python;
mod secrets;

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv6Addr, SocketAddrV6, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use link::{Link, is_root, run_line};
use nix::sys::signal::Signal;
use serde_json::Value;

/// How long a mesh may take to settle here, duplicate address detection included.
const SETTLED: Duration = Duration::from_secs(20);

fn frames(status: &Value, verdict: &str) -> u64 {
    let counters = status["counters"].as_array().unwrap();
    let found = counters
        .iter()
        .find(|counter| counter["verdict"] == verdict)
        .unwrap();
    found["frames"].as_u64().unwrap()
}

#[track_caller]
fn wait_for_mesh(link: &Link, nodes: &[usize], anchor: &str) {
    link.wait(SETTLED, &format!("{nodes:?} follow {anchor}"), || {
        nodes.iter().all(|node| {
            let status = link.status(*node);
            status["anchor"]["name"] == anchor
                && status["roster"] == nodes.len()
                && status["roster_complete"] == true
        })
    });
}

#[test]
fn nodes_form_a_mesh_under_the_best_ranked_one_and_survive_its_leaving() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(3);
    (1..=3).for_each(|node| link.start(node));
    wait_for_mesh(&link, &[1, 2, 3], "n3");

    for node in 1..=3 {
        assert_eq!(link.run(node, "").code, 0, "healthy");
        let peers = link.json(node, "peers --json");
        let names: Vec<_> = peers["peers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| &p["name"])
            .collect();
        assert_eq!(names.len(), 3, "{names:?}");
        let anchor = link.json(node, "anchor --json");
        assert_eq!(
            (&anchor["anchor"]["name"], &anchor["me"]),
            (&"n3".into(), &(node == 3).into())
        );
        assert_eq!(anchor["ranking"][0]["name"], "n3");
        assert!(
            !link.json(node, "epochs --json")["epochs"]
                .as_array()
                .unwrap()
                .is_empty()
        );
        assert_eq!(link.status(node)["filter"]["mode"], "native");
        link.assert_narrow(node, &["", "peers", "anchor --why", "epochs", "drops"]);
    }

    assert_eq!(link.end(3, Signal::SIGTERM), Some(0));
    // Usually n2; n1 if n2's process got no time, for succession does not preempt.
    link.wait(SETTLED, "n1 and n2 agree on one of them", || {
        let [one, two] = [link.status(1), link.status(2)];
        let heir = one["anchor"]["name"] == "n1" || one["anchor"]["name"] == "n2";
        heir && one["anchor"] == two["anchor"] && one["chain"] == two["chain"]
    });
    let failovers = link.status(1)["failovers"].clone();
    assert_eq!(failovers[1]["reason"], "bye", "{failovers}");
}

#[test]
fn a_node_that_ends_leaves_its_filter_until_detach_removes_everything() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(1);
    assert!(!link.has_filter(1), "nothing is attached before");
    link.start(1);
    wait_for_mesh(&link, &[1], "n1");
    assert!(link.has_filter(1));
    assert_eq!(
        link.run(1, "detach --iface eth0").code,
        1,
        "not under a running node"
    );

    assert_eq!(link.end(1, Signal::SIGTERM), Some(0));
    assert!(
        link.log(1).contains("nexus0 detach --iface eth0"),
        "{}",
        link.log(1)
    );
    let status = link.run(1, "status");
    assert_eq!(status.code, 3);
    assert!(status.err.contains("still attached"), "{}", status.err);
    assert!(link.has_filter(1), "fails closed");

    assert_eq!(link.run(1, "detach --iface eth0").code, 0);
    assert!(!link.has_filter(1));
    assert_eq!(link.left_in_run_dir(1), Vec::<String>::new());
    let again = link.run(1, "detach --iface eth0");
    assert_eq!(
        (again.code, again.out.contains("nothing to do")),
        (0, true),
        "{}",
        again.out
    );
}

#[test]
fn a_killed_node_is_replaced_without_an_unfiltered_moment() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(2);
    (1..=2).for_each(|node| link.start(node));
    wait_for_mesh(&link, &[1, 2], "n2");
    assert_eq!(link.status(1)["filter"]["adopted"], false);
    let accepted = frames(&link.status(1), "accepted");

    link.end(1, Signal::SIGKILL);
    assert!(link.has_filter(1));
    let status = link.run(1, "");
    assert!(
        status.code == 3 && status.err.contains("nexus0 run --iface eth0"),
        "{}",
        status.err
    );

    link.start(1);
    wait_for_mesh(&link, &[1, 2], "n2");
    let status = link.status(1);
    assert_eq!(status["filter"]["adopted"], true);
    assert!(frames(&status, "accepted") >= accepted, "counters go on");
    assert!(
        status["join_ms"].is_number() && status["cold_start_ms"].is_null(),
        "joined, not cold-started: {status}\n{}",
        link.log(1)
    );
}

#[test]
fn a_second_node_on_an_interface_is_refused_and_the_first_goes_on() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(1);
    link.start(1);
    wait_for_mesh(&link, &[1], "n1");
    let program = link.status(1)["filter"]["program_id"].clone();
    let second = link.run(1, &run_line(1));
    assert_eq!(second.code, 1);
    assert!(
        second.err.contains("another node already answers"),
        "{}",
        second.err
    );
    assert_eq!(link.status(1)["filter"]["program_id"], program);
}

#[test]
fn a_node_keeps_no_privilege_and_shows_its_socket_to_root_alone() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(1);
    link.start(1);
    wait_for_mesh(&link, &[1], "n1");
    let field = |text: &str, name: &str| {
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap();
        line.trim_matches([':', '\t', ' ']).to_owned()
    };
    let capabilities = |text: &str| u64::from_str_radix(&field(text, "CapEff"), 16).unwrap();
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    assert_ne!(capabilities(&own), 0, "this test could not tell otherwise");
    let node = std::fs::read_to_string(format!("/proc/{}/status", link.pid(1))).unwrap();
    let bpf = 1 << 39;
    assert_eq!(capabilities(&node) & !bpf, 0, "{node}");
    assert_eq!(field(&node, "NoNewPrivs"), "1");
    let mode = std::fs::metadata(link.socket(1))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    // And it still works: counters are read and keys turn without any.
    let number = link.status(1)["number"].as_u64().unwrap();
    link.wait(SETTLED, "an epoch turns", || {
        link.status(1)["number"].as_u64().unwrap() > number
    });
}

#[test]
fn forged_frames_are_refused_counted_and_shown() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(2);
    link.start(1);
    wait_for_mesh(&link, &[1], "n1");
    assert_eq!(frames(&link.status(1), "unknown-key"), 0);
    let mut follower = UnixStream::connect(link.socket(1)).unwrap();
    follower
        .write_all(b"{\"ask\":\"follow\",\"reason\":\"unknown-key\"}\n")
        .unwrap();
    follower.set_read_timeout(Some(SETTLED)).unwrap();

    link.wait_for_address(2);
    link.inside(2, || {
        let socket = UdpSocket::bind("[::]:0").unwrap();
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::Ipv6MulticastHops, &255)
            .unwrap();
        let index = nix::net::if_::if_nametoindex("eth0").unwrap();
        let group = SocketAddrV6::new("ff02::1".parse::<Ipv6Addr>().unwrap(), 19541, 0, index);
        let mut frame = [7; 95];
        frame[..4].copy_from_slice(&[b'N', b'0', 1, 1]);
        for _ in 0..3000 {
            socket.send_to(&frame, group).unwrap();
        }
    });
    link.wait(SETTLED, "all are counted", || {
        frames(&link.status(1), "unknown-key") == 3000
    });
    let mut line = String::new();
    BufReader::new(follower).read_line(&mut line).unwrap();
    let sample: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(sample["reason"], "unknown-key");
    assert_eq!(sample["source"], link.address(2).as_str());
    let drops = link.json(1, "drops --json");
    assert_eq!(drops["reasons"][0]["verdict"], "unknown-key");
    assert_eq!(link.run(1, "").code, 0, "refusals are not an illness");
}

#[test]
fn rude_clients_cost_the_node_nothing() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(1);
    link.start(1);
    wait_for_mesh(&link, &[1], "n1");
    let ask = |text: &[u8]| {
        let mut client = UnixStream::connect(link.socket(1)).unwrap();
        client.set_read_timeout(Some(SETTLED)).unwrap();
        client.write_all(text).unwrap();
        let mut line = String::new();
        BufReader::new(client).read_line(&mut line).unwrap();
        line
    };
    for rude in [
        b"{}\n".to_vec(),
        b"\xff\n".to_vec(),
        b"\n".to_vec(),
        vec![b'x'; 4096],
    ] {
        assert!(ask(&rude).contains("\"error\""), "{:?}", rude.first());
    }
    assert!(ask(b"{\"ask\":\"explain\",\"frame\":\"00\"}\n").contains("Ethernet"));
    // Clients that ask and never read, and clients that say nothing.
    let silent: Vec<_> = (0..10)
        .map(|_| {
            let mut client = UnixStream::connect(link.socket(1)).unwrap();
            client
                .set_write_timeout(Some(Duration::from_millis(200)))
                .unwrap();
            while client
                .write_all(&b"{\"ask\":\"status\"}\n".repeat(100))
                .is_ok()
            {}
            client
        })
        .collect();
    let before = Instant::now();
    assert_eq!(link.status(1)["anchor"]["name"], "n1");
    assert!(
        before.elapsed() < Duration::from_secs(2),
        "{:?}",
        before.elapsed()
    );
    drop(silent);
}
