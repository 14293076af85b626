//! Secrets stay where they belong (R21): in the memory of the process, in files for root alone, and in what a
//! node hands to its supervisor. Real processes at their most talkative. Needs root.

mod held;
mod needles;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::net::Ipv6Addr;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use nexus0::flood::envelope::Envelope;
use nexus0::hex;
use nexus0::lab::options::{Options, Profile};
use nexus0::lab::report;
use nexus0::lab::running::Lab;
use nexus0::lab::story::Found;
use nexus0::lab::summary::Summary;
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::signal::Signal;

use self::held::{Store, content, derived, secrets_in};
use self::needles::{Needles, forms};
use crate::link::{Link, is_root, run_line};
use crate::{SETTLED, wait_for_mesh};

const VERBS: [&str; 6] = [
    "status",
    "peers",
    "anchor --why",
    "epochs",
    "drops",
    "revocations",
];

/// The seed in a file of secrets.
fn seed(text: &str) -> Vec<u8> {
    hex::decode(text.lines().nth(1).unwrap()).unwrap()
}

/// Everything a process shows to others on the machine.
fn shown(pid: u32) -> Vec<u8> {
    let mut all = Vec::new();
    for name in ["cmdline", "environ", "comm", "maps", "status"] {
        all.extend(fs::read(format!("/proc/{pid}/{name}")).unwrap());
    }
    all.extend(descriptors(pid).join("\n").into_bytes());
    all
}

/// What its descriptors are called.
fn descriptors(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    links.map(|link| link.display().to_string()).collect()
}

/// A frame that a member could have sent under the present key: its explanation goes through all checks.
fn frame_of(link: &Link, sender: usize) -> String {
    let epochs = link.json(1, "epochs --json");
    let all = epochs["epochs"].as_array().unwrap();
    let current = all.iter().find(|key| key["state"] == "current").unwrap();
    let bytes = |text: &serde_json::Value| hex::decode(text.as_str().unwrap()).unwrap();
    let id = link.status(sender)["node"]["id"].clone();
    let mut payload = vec![0; 95];
    payload[..4].copy_from_slice(b"N0\x01\x01");
    payload[4..8].copy_from_slice(&bytes(&current["key_id"]));
    payload[8..16].copy_from_slice(&bytes(&id));
    payload[16] = 0xff;
    let source: Ipv6Addr = link.address(sender).parse().unwrap();
    hex::encode(&Envelope::to_group([2; 6], source.octets()).wrap(&payload))
}

/// What was handed over until a second turn, with all secrets found in it.
struct Watched {
    words: String,
    snapshots: Vec<Vec<u8>>,
    secrets: BTreeSet<[u8; 32]>,
    mesh: Vec<u8>,
}

fn watch(link: &Link, store: &Store) -> Watched {
    let mesh = link.status(1)["mesh_id"].as_str().map(hex::decode);
    let mut watched = Watched {
        words: String::new(),
        snapshots: Vec::new(),
        secrets: BTreeSet::new(),
        mesh: mesh.unwrap().unwrap(),
    };
    let mut ids = BTreeSet::new();
    link.wait(SETTLED, "keys turn and are handed over", || {
        let epochs = link.json(1, "epochs --json");
        let keys = epochs["epochs"].as_array().unwrap().iter();
        ids.extend(keys.map(|key| hex::decode_array(key["key_id"].as_str().unwrap()).unwrap()));
        for (words, file) in store.take() {
            watched.words += &words;
            watched.snapshots.extend(file.as_ref().map(content));
        }
        ids.len() >= 4
    });
    for snapshot in &watched.snapshots {
        let found = secrets_in(snapshot, &watched.mesh, &ids);
        watched.secrets.extend(found);
    }
    watched
}

impl Watched {
    /// Each secret and every key that follows from it.
    fn add_to(&self, needles: &mut Needles) {
        for secret in &self.secrets {
            needles.add("epoch secret", secret);
            for info in ["mac", "pre-tag", "seal"] {
                let info = format!("nexus0 v1 {info}");
                needles.add(&info, &derived(&self.mesh, secret, info.as_bytes()));
            }
        }
    }
}

#[test]
fn no_secret_is_in_anything_that_nodes_say_or_show() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(2);
    let path = link.path("notify");
    let store = Store::open(&path);
    let variables = [
        ("NX0_LOG", "trace"),
        ("NOTIFY_SOCKET", path.to_str().unwrap()),
    ];
    // A fresh secret with every epoch: REKEY is said too.
    link.start_told(1, &format!("{} --rekey 0s", run_line(1)), &variables);
    let line = format!("{} --rekey 0s --log-format json", run_line(2));
    link.start_told(2, &line, &variables[..1]);
    wait_for_mesh(&link, &[1, 2], "n2");
    let watched = watch(&link, &store);
    assert!(watched.secrets.len() >= 3, "{}", watched.secrets.len());

    let mut needles = Needles::default();
    watched.add_to(&mut needles);
    let seeds = ["s1/identity.key", "s2/identity.key", "root/mesh-root.key"];
    for file in seeds {
        needles.add(file, &seed(&link.read(file)));
    }
    let explain = format!("explain {}", frame_of(&link, 2));
    let judged = link.json(1, &format!("{explain} --json"));
    assert_eq!(judged["verdict"], "pre-tag", "it got as far as the keys");
    let mut said = watched.words.clone().into_bytes();
    for node in 1..=2 {
        for verb in VERBS.into_iter().chain([explain.as_str()]) {
            for line in [verb.to_owned(), format!("{verb} --json")] {
                let words = link.run(node, &line);
                said.extend((words.out + &words.err).into_bytes());
            }
        }
        said.extend(link.log(node).into_bytes());
        said.extend(shown(link.pid(node)));
    }
    assert!(link.log(1).contains("TRACE") || link.log(1).contains("DEBUG"));
    assert!(link.log(1).contains("from a fresh secret"));
    assert_eq!(needles.found_in(&said), BTreeSet::new());
    the_search_finds(&needles, &watched, &link, &said);
}

/// The same search finds what is really there, and every way of writing it that is planted.
fn the_search_finds(needles: &Needles, watched: &Watched, link: &Link, said: &[u8]) {
    let held = needles.found_in(watched.snapshots.last().unwrap());
    assert_eq!(held, BTreeSet::from(["epoch secret"]), "and no seed");
    let file = needles.found_in(link.read("s1/identity.key").as_bytes());
    assert_eq!(file, BTreeSet::from(["s1/identity.key"]));
    let secret = watched.secrets.first().unwrap();
    for form in forms(&secret[16..24]) {
        let (before, after) = said.split_at(said.len() / 2);
        let planted = [before, &form, after].concat();
        let found = needles.found_in(&planted);
        assert_eq!(found, BTreeSet::from(["epoch secret"]));
    }
}

#[test]
fn what_is_handed_over_cannot_be_changed_or_run_and_no_process_keeps_it() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(1);
    let path = link.path("notify");
    let store = Store::open(&path);
    link.start_told(
        1,
        &run_line(1),
        &[("NOTIFY_SOCKET", path.to_str().unwrap())],
    );
    wait_for_mesh(&link, &[1], "n1");
    let handed: Vec<(String, File)> = store
        .take()
        .into_iter()
        .filter_map(|(words, file)| Some((words, file?)))
        .collect();
    let (words, file) = handed.last().unwrap();
    assert!(words.starts_with("FDSTORE=1\nFDNAME=eth0."), "{words}");
    let seals = SealFlag::from_bits_retain(fcntl(file, FcntlArg::F_GET_SEALS).unwrap());
    let wanted = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_SEAL;
    assert!(seals.contains(wanted), "{seals:?}");
    assert!((&*file).write_all(b"x").is_err());
    assert!(file.set_len(0).is_err());
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let open = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let run = Command::new(&open).spawn().unwrap_err();
    assert_eq!(run.kind(), std::io::ErrorKind::PermissionDenied, "{run}");
    let called = fs::read_link(&open).unwrap();
    assert_eq!(called.to_str(), Some("/memfd:nexus0 (deleted)"));
    let kept = |pid| descriptors(pid).iter().any(|name| name.contains("memfd"));
    assert!(kept(std::process::id()), "this process holds some");
    assert!(!kept(link.pid(1)), "the node does not");
    link.end(1, Signal::SIGTERM);
}

#[test]
fn no_secret_is_in_what_a_lab_says() {
    if !is_root() {
        return;
    }
    let (pulse, epoch) = Profile::Fast.timers();
    let options = Options {
        nodes: 2,
        profile: Profile::Fast,
        pulse,
        epoch,
        flood: None,
        store: true,
        program: Some(env!("CARGO_BIN_EXE_nexus0").into()),
        ..Options::default()
    };
    let mut said = String::new();
    let mut lab = Lab::start(options, &mut |text| said += &text).unwrap();
    let start = Instant::now();
    lab.wait_until(SETTLED, "a turn", |lab| {
        lab.seen.turns.len() >= 2 && start.elapsed() > Duration::from_secs(1)
    })
    .unwrap();
    // A successor started from what was held goes on without a copy of its own.
    let victim = lab.agreed().unwrap();
    lab.kill_node(victim);
    lab.start_node(victim).unwrap();
    lab.wait_until(SETTLED, "it is back", |lab| lab.agreed() == Some(victim))
        .unwrap();
    let summary = Summary::of(&lab, None, &Found::default()).unwrap();
    said += &serde_json::to_string(&summary).unwrap();
    said += &report::words(&summary);
    said += &lab.picture();

    let mut needles = Needles::default();
    let mut ids = BTreeSet::new();
    for (node, sight) in lab.nodes.iter().zip(&lab.sights) {
        let file = node.admitted.state_dir.join("identity.key");
        needles.add("seed", &seed(&fs::read_to_string(file).unwrap()));
        said += &fs::read_to_string(&node.log).unwrap();
        let keys = sight.as_ref().unwrap().epochs.epochs.iter();
        ids.extend(keys.map(|key| hex::decode_array(&key.key_id).unwrap()));
    }
    let mesh = &lab.sights[0].as_ref().unwrap().status.mesh_id;
    let (mesh, held) = (hex::decode(mesh).unwrap(), held_here());
    for secret in held.iter().flat_map(|held| secrets_in(held, &mesh, &ids)) {
        needles.add("epoch secret", &secret);
    }
    let everything = held.concat();
    assert!(needles.found_in(&everything).contains("epoch secret"));
    assert_eq!(needles.found_in(said.as_bytes()), BTreeSet::new());
}

/// The memory files that the supervisors in this process hold.
fn held_here() -> Vec<Vec<u8>> {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let named = paths.filter(|path| {
        let link = fs::read_link(path).unwrap_or_default();
        link.to_string_lossy().starts_with("/memfd:nexus0")
    });
    named.filter_map(|path| fs::read(path).ok()).collect()
}
