//! Nodes whose accepted frames skip the network stack, among others whose do not. Needs root.

use std::sync::mpsc::channel;

use nexus0::dataplane::{Delivery, Queue};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::link::{Link, is_root, run_line};
use crate::{SETTLED, wait_for_mesh};

fn run_by_af_xdp(node: usize) -> String {
    format!("{} --rx af-xdp", run_line(node))
}

/// Datagrams that the node read, and how many of them came by AF_XDP.
fn datagrams(status: &Value) -> (u64, u64) {
    let all = status["node_counters"]["datagrams"].as_u64();
    let redirected = status["receive"]["frames"].as_u64();
    (all.unwrap_or(0), redirected.unwrap())
}

#[test]
fn nodes_on_either_receive_path_are_one_mesh_that_turns_and_lets_others_in() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(4);
    link.start_as(1, &format!("{} --xdp-mode generic", run_by_af_xdp(1)));
    link.start(2);
    link.start_as(3, &run_by_af_xdp(3));
    wait_for_mesh(&link, &[1, 2, 3], "n3");
    let number = link.status(3)["number"].as_u64().unwrap();
    link.wait(SETTLED, "two epochs turn everywhere", || {
        (1..=3).all(|node| link.status(node)["number"].as_u64() >= Some(number + 2))
    });
    link.start_as(4, &run_by_af_xdp(4));
    wait_for_mesh(&link, &[1, 2, 3, 4], "n3");

    for (node, mode) in [(1, "generic"), (3, "native"), (4, "native")] {
        let status = link.status(node);
        assert_eq!(status["filter"]["mode"], mode);
        let receive = &status["receive"];
        assert_eq!(receive["path"], "af-xdp", "{receive}\n{}", link.log(node));
        assert_eq!(
            (&receive["delivery"], &receive["lost"]),
            (&"copy".into(), &0.into())
        );
        assert!(link.log(node).contains("by AF_XDP, copy"));
        link.assert_narrow(node, &[""]);
    }
    // Nothing but what came before the queues were open went through the stack.
    let (all, redirected) = datagrams(&link.status(3));
    assert!(
        redirected > 20 && all - redirected < 5,
        "{redirected} of {all}"
    );
    let status = link.status(2);
    assert_eq!(status["receive"]["path"], "socket");
    let (all, redirected) = datagrams(&status);
    assert!(all > 20 && redirected == 0, "{redirected} of {all}");
}

#[test]
fn a_killed_node_takes_its_queue_again_and_leaves_nothing_when_detached() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(2);
    link.start(2);
    link.start_as(1, &run_by_af_xdp(1));
    wait_for_mesh(&link, &[1, 2], "n2");
    for line in [run_by_af_xdp(1), run_line(1), run_by_af_xdp(1)] {
        link.end(1, Signal::SIGKILL);
        assert!(link.has_filter(1), "fails closed");
        link.start_as(1, &line);
        wait_for_mesh(&link, &[1, 2], "n2");
        let status = link.status(1);
        assert_eq!(status["filter"]["adopted"], true);
        let asked = if line.contains("af-xdp") {
            "af-xdp"
        } else {
            "socket"
        };
        assert_eq!(status["receive"]["path"], asked, "{}", link.log(1));
        assert_eq!(status["receive"]["why"], Value::Null);
    }
    assert_eq!(link.end(1, Signal::SIGTERM), Some(0));
    assert_eq!(link.run(1, "detach --iface eth0").code, 0);
    assert!(!link.has_filter(1));
    assert_eq!(link.left_in_run_dir(1), Vec::<String>::new());
}

#[test]
fn a_node_whose_queue_is_taken_goes_on_by_the_socket_and_says_why() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(2);
    link.start(2);
    let (taken, wait) = channel();
    let (release, released) = channel::<()>();
    let namespace = link.namespace_file(1);
    let taker = std::thread::spawn(move || {
        let namespace = std::fs::File::open(namespace).unwrap();
        nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
        let index = nix::net::if_::if_nametoindex("eth0").unwrap();
        let queue = Queue::open(index, 0, true).unwrap();
        taken.send(queue.delivery()).unwrap();
        let _ = released.recv();
    });
    assert_eq!(wait.recv(), Ok(Delivery::Copy), "a veth has no zero-copy");
    link.start_as(1, &run_by_af_xdp(1));
    wait_for_mesh(&link, &[1, 2], "n2");
    let receive = link.status(1)["receive"].clone();
    assert_eq!(
        (&receive["path"], &receive["asked"]),
        (&"socket".into(), &"af-xdp".into())
    );
    let why = receive["why"].as_str().unwrap();
    assert_eq!(why, "receive queue 0 belongs to another AF_XDP socket");
    assert!(link.log(1).contains(why), "{}", link.log(1));
    let said = link.run(1, "");
    assert!(
        said.code == 0 && said.out.contains("not by AF_XDP"),
        "{}",
        said.out
    );
    link.assert_narrow(1, &[""]);

    drop(release);
    taker.join().unwrap();
    assert_eq!(link.end(1, Signal::SIGTERM), Some(0));
    link.start_as(1, &run_by_af_xdp(1));
    wait_for_mesh(&link, &[1, 2], "n2");
    assert_eq!(
        link.status(1)["receive"]["path"],
        "af-xdp",
        "{}",
        link.log(1)
    );
}
