//! A second implementation, in Python and from PROTOCOL.md alone: does the document say enough? It reproduces
//! the golden vectors, and lives in a mesh of our nodes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::link::{Link, is_root};
use crate::{SETTLED, wait_for_mesh};

const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python");
const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/vectors.json");
/// The namespace of the Python node: its number on the link.
const GUEST: usize = 1;

/// A Python that has what `requirements.txt` names: the machine's own, or one with an environment in `target`.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let environment = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python");
        let own = environment.join("bin/python");
        for candidate in [Path::new("python3"), &own] {
            if said(Command::new(candidate).args(["-c", "import cryptography"])).is_ok() {
                return candidate.to_owned();
            }
        }
        said(
            Command::new("python3")
                .args(["-m", "venv"])
                .arg(&environment),
        )
        .unwrap_or_else(missing);
        let requirements = format!("{SOURCES}/requirements.txt");
        let mut install = Command::new(&own);
        install.args(["-m", "pip", "install", "--quiet", "-r", &requirements]);
        said(&mut install).unwrap_or_else(missing);
        own
    })
}

fn missing<T>(why: String) -> T {
    panic!(
        "the second implementation needs Python 3.10 or newer with venv and pip, and pip needs its package index \
         or the package cryptography installed (Debian, Ubuntu: apt install python3 python3-venv, or python3 \
         python3-cryptography): {why}"
    )
}

/// Standard output of a command that succeeds, otherwise why not.
fn said(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|error| format!("{command:?}: {error}"))?;
    let Output {
        status,
        stdout,
        stderr,
    } = output;
    let out = String::from_utf8_lossy(&stdout).into_owned();
    if status.success() {
        return Ok(out);
    }
    Err(format!(
        "{command:?}: {status}\n{out}{}",
        String::from_utf8_lossy(&stderr)
    ))
}

fn script(name: &str) -> Command {
    let mut command = Command::new(python());
    command.arg(format!("{SOURCES}/{name}"));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

#[test]
fn a_second_implementation_reproduces_every_vector() {
    println!("{}", said(script("vectors.py").arg(VECTORS)).unwrap());
}

#[test]
fn a_vector_with_one_changed_bit_is_noticed_wherever_it_is() {
    let mut command = script("vectors.py");
    println!("{}", said(command.args([VECTORS, "--spoilt"])).unwrap());
}

/// A running Python node.
struct Guest {
    child: Child,
    log: PathBuf,
}

impl Guest {
    /// Has itself granted.
    fn enrol(link: &Link, ego: u8) {
        let key = said(script("main.py").arg("key").arg(link.path("python.seed"))).unwrap();
        let grant = "mesh grant --dir {}/root --name python --out {}/python.json";
        let grant = format!("{grant} --ego {ego} --key {}", key.trim());
        let granted = link.run(usize::MAX, &grant);
        assert_eq!(granted.code, 0, "{}", granted.err);
    }

    fn start(link: &Link) -> Self {
        let log = link.path("python.log");
        let file = File::create(&log).unwrap();
        let mut command = script("main.py");
        command.args(["run", "--iface", "eth0", "--seed"]);
        command.arg(link.path("python.seed"));
        command.arg("--grant").arg(link.path("python.json"));
        command
            .stdin(Stdio::null())
            .stderr(file.try_clone().unwrap());
        command.stdout(file);
        let mut child = None;
        link.inside(GUEST, || child = Some(command.spawn().unwrap()));
        Self {
            child: child.unwrap(),
            log,
        }
    }

    /// What it said of one kind of event, oldest first.
    fn said(&self, event: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.filter(|line| line["event"] == event).collect()
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        println!("{}", std::fs::read_to_string(&self.log).unwrap_or_default());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether three nodes hold a roster of four, the guest alive in it.
fn all_list_guest(link: &Link) -> bool {
    (2..=4).all(|node| link.status(node)["roster"] == 4 && lists_guest(link, node))
}

/// Whether a node lists the guest as alive, heard within the last three pulses.
fn lists_guest(link: &Link, node: usize) -> bool {
    let said = link.run(node, "peers --json").out;
    let peers: Value = serde_json::from_str(&said).unwrap_or_default();
    let peers = peers["peers"].as_array();
    let mut guests = peers
        .into_iter()
        .flatten()
        .filter(|peer| peer["name"] == "python");
    guests.any(|guest| {
        guest["state"] == "alive" && guest["heard_ms"].as_u64().is_some_and(|ms| ms < 900)
    })
}

fn holds_roster(guest: &Guest, members: u64) -> bool {
    let rosters = guest.said("roster");
    rosters
        .last()
        .is_some_and(|last| last["members"] == members && last["complete"] == true)
}

fn number(link: &Link, node: usize) -> u64 {
    link.status(node)["number"].as_u64().unwrap_or(0)
}

#[test]
fn a_node_of_the_second_implementation_lives_through_a_cold_start_turns_and_a_failover() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(4);
    link.wait_for_address(GUEST);
    // It ranks first and never leads: the others must find that out by probing it.
    Guest::enrol(&link, 60);
    let guest = Guest::start(&link);
    link.wait(SETTLED, "it asks to join", || {
        !guest.said("joining").is_empty()
    });
    (2..=4).for_each(|node| link.start(node));
    link.wait(SETTLED, "it joins", || !guest.said("joined").is_empty());
    assert!(
        !guest.said("probed at the door").is_empty(),
        "those who waited for it probed it"
    );
    link.wait(SETTLED, "three nodes list it as alive", || {
        all_list_guest(&link)
    });
    link.wait(SETTLED, "it holds the whole roster", || {
        holds_roster(&guest, 4)
    });

    let before = number(&link, 4);
    link.wait(SETTLED, "two epochs turn", || {
        number(&link, 4) >= before + 2
    });
    link.wait(SETTLED, "it is heard under the new keys", || {
        (2..=4).all(|node| lists_guest(&link, node))
    });
    let announced = guest.said("announced");
    assert!(
        announced
            .iter()
            .any(|key| key["number"].as_u64() > Some(before)),
        "{announced:?}"
    );

    link.end(4, Signal::SIGKILL);
    link.wait(SETTLED, "it follows the one who is promoted", || {
        let chain = &link.status(2)["chain"];
        guest
            .said("promotion")
            .last()
            .is_some_and(|last| last["chain"] == *chain)
    });
    link.wait(SETTLED, "both who are left list it", || {
        (2..=3).all(|node| lists_guest(&link, node))
    });
    let before = number(&link, 2);
    link.wait(SETTLED, "an epoch of the new chain turns", || {
        number(&link, 2) > before
    });
    link.wait(SETTLED, "and it turned too", || {
        (2..=3).all(|node| lists_guest(&link, node))
    });

    guest.signal(Signal::SIGKILL);
    drop(guest);
    let mut guest = Guest::start(&link);
    link.wait(SETTLED, "started again it asks for the roster", || {
        !guest.said("ask").is_empty()
    });
    link.wait(SETTLED, "and gets it", || holds_roster(&guest, 3));
    link.wait(SETTLED, "both list it again", || {
        (2..=3).all(|node| lists_guest(&link, node))
    });

    guest.signal(Signal::SIGTERM);
    assert!(guest.child.wait().unwrap().success());
    let anchor = link.status(2)["anchor"]["name"].clone();
    wait_for_mesh(&link, &[2, 3], anchor.as_str().unwrap());
    assert!(!lists_guest(&link, 2), "it said goodbye");
}

#[test]
fn a_node_of_the_second_implementation_is_handed_over_when_two_chains_merge() {
    if !is_root() {
        return;
    }
    let mut link = Link::new(4);
    link.wait_for_address(GUEST);
    Guest::enrol(&link, 1);
    (2..=4).for_each(|node| link.start(node));
    wait_for_mesh(&link, &[2, 3, 4], "n4");
    let guest = Guest::start(&link);
    link.wait(SETTLED, "three nodes list it as alive", || {
        all_list_guest(&link)
    });

    link.unplug(4);
    link.wait(SETTLED, "the others follow n3", || {
        let heirs = guest.said("promotion");
        link.status(2)["anchor"]["name"] == "n3"
            && heirs.last().is_some_and(|heir| heir["anchor"] == "n3")
    });
    // Chains that are apart for good: neither takes its step back any more.
    let before = number(&link, 2);
    link.wait(SETTLED, "their chain turns", || number(&link, 2) > before);
    link.plug(4);
    link.wait(SETTLED, "it is told where to go", || {
        guest
            .said("merged")
            .last()
            .is_some_and(|merged| merged["anchor"] == "n4")
    });
    link.wait(SETTLED, "and is at home there", || all_list_guest(&link));
    assert_eq!(link.status(2)["chain"], link.status(4)["chain"]);
    assert_eq!(guest.said("joined").len(), 1, "nobody had to join again");
}
