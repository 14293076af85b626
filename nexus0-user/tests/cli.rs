//! The command line as users and scripts meet it: the real binary, real files, exit codes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

struct World {
    folder: PathBuf,
}

impl World {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nexus0-cli-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).unwrap();
        Self { folder }
    }

    /// Runs a command line; `{}` stands for the world's folder.
    fn run(&self, line: &str) -> Run {
        let line = line.replace("{}", &self.folder.display().to_string());
        let mut command = Command::new(env!("CARGO_BIN_EXE_nexus0"));
        for (key, _) in std::env::vars().filter(|(key, _)| key.starts_with("NX0_")) {
            command.env_remove(key);
        }
        Run(command.args(line.split_whitespace()).output().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o7777
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

struct Run(Output);

impl Run {
    #[track_caller]
    fn ends(self, code: i32) -> Self {
        assert_eq!(
            self.0.status.code(),
            Some(code),
            "{}\n{}",
            self.out(),
            self.err()
        );
        self
    }

    fn out(&self) -> String {
        String::from_utf8_lossy(&self.0.stdout).into_owned()
    }

    fn err(&self) -> String {
        String::from_utf8_lossy(&self.0.stderr).into_owned()
    }

    #[track_caller]
    fn json(&self) -> Value {
        let value: Value = serde_json::from_str(&self.out()).expect("one JSON object");
        assert_eq!(value["schema"], 1);
        value
    }
}

fn grant(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn a_mesh_is_made_and_a_node_granted() {
    let world = World::new();
    let mesh = world.run("mesh init --dir {}/root --json").ends(0).json();
    let node = world.run("identity --dir {}/node --json").ends(0).json();
    let line = "mesh grant --dir {}/root --name rig-1 --type Rig-Hub --zone north --ego 70";
    let by_file = format!("{line} --identity {{}}/node/identity.key --out {{}}/node/grant.json");
    world.run(&by_file).ends(0);
    let written = grant(&world.path("node/grant.json"));
    assert_eq!(written["mesh_id"], mesh["mesh_id"]);
    assert_eq!(written["node_id"], node["node_id"]);
    assert_eq!(
        (&written["type"], &written["serial"]),
        (&"rig-hub".into(), &1.into())
    );

    let key = node["public_key"].as_str().unwrap();
    let by_key = world.run(&format!("{line} --key {key}")).ends(0).json();
    assert_eq!(by_key["serial"], 2, "serials go up");
    assert_eq!(by_key["node_id"], node["node_id"]);
}

#[test]
fn secrets_are_for_their_owner_and_stay() {
    let world = World::new();
    world.run("mesh init --dir {}/s").ends(0);
    world.run("identity --dir {}/s").ends(0);
    for secret in ["s/mesh-root.key", "s/identity.key", "s/mesh-root.serial"] {
        assert_eq!(world.mode(secret), 0o600, "{secret}");
    }
    assert_eq!(world.mode("s/mesh-root.pub"), 0o644);
    assert_eq!(world.mode("s"), 0o700);

    let first = fs::read(world.path("s/mesh-root.key")).unwrap();
    let again = world.run("mesh init --dir {}/s").ends(1);
    assert!(again.err().contains("exists already"), "{}", again.err());
    assert_eq!(fs::read(world.path("s/mesh-root.key")).unwrap(), first);
    let [one, two] = [0, 1].map(|_| world.run("identity --dir {}/s").ends(0).out());
    assert_eq!(one, two);
}

#[test]
fn no_secret_is_ever_printed() {
    let world = World::new();
    let mut said = String::new();
    let grant = "mesh grant --dir {}/s --identity {}/s/identity.key --name n";
    for line in [
        "mesh init --dir {}/s",
        "identity --dir {}/s",
        "identity --dir {}/s --json",
        grant,
    ] {
        let run = world.run(line).ends(0);
        said.push_str(&run.out());
        said.push_str(&run.err());
    }
    let mut secrets = Vec::new();
    for file in ["s/mesh-root.key", "s/identity.key"] {
        let text = fs::read_to_string(world.path(file)).unwrap();
        let digits = text.lines().nth(1).unwrap().to_owned();
        secrets.extend([
            digits[..64].to_owned(),
            digits[digits.len() - 64..].to_owned(),
        ]);
    }
    for secret in &secrets {
        assert!(!said.contains(&secret[..16]), "a secret was printed");
    }
    // The search would find one.
    assert!(format!("{said}{}", secrets[0]).contains(&secrets[0][..16]));
}

#[test]
fn an_exposed_or_damaged_secret_is_refused_and_left_alone() {
    let world = World::new();
    world.run("identity --dir {}/s").ends(0);
    let path = world.path("s/identity.key");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let exposed = world.run("identity --dir {}/s").ends(1);
    assert!(
        exposed.err().contains("0644") && exposed.err().contains("chmod"),
        "{}",
        exposed.err()
    );

    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&path, "nonsense").unwrap();
    let damaged = world.run("identity --dir {}/s").ends(1);
    assert!(damaged.err().contains("damaged"), "{}", damaged.err());
    assert_eq!(fs::read(&path).unwrap(), b"nonsense");
}

#[test]
fn bad_values_name_the_key_the_value_and_what_is_allowed() {
    let world = World::new();
    world.run("mesh init --dir {}/s").ends(0);
    let key = format!("01{}", "00".repeat(31));
    let cases = [
        (
            "mesh grant --dir {}/s --identity x --name n --ego 101",
            ["--ego", "101", "0 to 100"],
        ),
        (
            "mesh grant --dir {}/s --identity x --name n --type King",
            ["--type", "King", "Rig-Hub"],
        ),
        (
            "mesh grant --dir {}/s --identity x --name seventeen-letters",
            ["--name", "seventeen", "16"],
        ),
        (
            "mesh grant --dir {}/s --key 12 --name n",
            ["--key", "12", "32"],
        ),
        ("run --iface lo --pulse 5", ["--pulse", "'5'", "500ms"]),
        ("run --iface lo --port 0", ["--port", "'0'", "1"]),
        ("run --iface ../x", ["--iface", "../x", "interface"]),
        (
            "run --iface lo --xdp-mode fast",
            ["--xdp-mode", "fast", "native"],
        ),
        (
            "drops --reason because",
            ["--reason", "because", "stale-epoch"],
        ),
        ("drops --from 10.0.0.1", ["--from", "10.0.0.1", "fe80::1"]),
        ("explain 0g", ["0g", "hexadecimal", "'g'"]),
        ("frobnicate", ["frobnicate", "unrecognized", "Usage"]),
    ];
    for (line, words) in cases {
        let run = world.run(line).ends(2);
        let text = run.err() + line;
        assert!(
            words.iter().all(|word| text.contains(word)),
            "{line}: {}",
            run.err()
        );
        assert!(run.out().is_empty(), "talk belongs on standard error");
    }
    let weak = world
        .run(&format!("mesh grant --dir {{}}/s --key {key} --name n"))
        .ends(2);
    assert!(
        weak.err().contains("Ed25519"),
        "a key of small order proves nothing"
    );
}

#[test]
fn the_environment_sets_what_no_flag_sets() {
    let world = World::new();
    world.run("mesh init --dir {}/s").ends(0);
    world.run("identity --dir {}/s").ends(0);
    let grant = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nexus0"));
        let identity = world.path("s/identity.key");
        command
            .args(["mesh", "grant", "--identity"])
            .arg(identity)
            .args(arguments);
        command.env("NX0_STATE_DIR", world.path("s"));
        command
            .env("NX0_NAME", "mule")
            .env("NX0_TYPE", "Data-Mule")
            .env("NX0_EGO", "7");
        Run(command.output().unwrap())
    };
    let from_environment = grant(&[]).ends(0).json();
    assert_eq!(from_environment["name"], "mule");
    assert_eq!(
        (&from_environment["type"], &from_environment["ego"]),
        (&"data-mule".into(), &7.into())
    );
    assert_eq!(grant(&["--ego", "8"]).ends(0).json()["ego"], 8, "flags win");
}

#[test]
fn without_a_node_the_exit_code_is_three_and_says_what_to_do() {
    let world = World::new();
    for verb in [
        "",
        "status",
        "peers",
        "anchor",
        "epochs",
        "drops",
        "drops --follow",
    ] {
        let run = world.run(&format!("{verb} --run-dir {{}}")).ends(3);
        assert!(run.err().contains("nexus0 run"), "{verb}: {}", run.err());
    }
    let status = world
        .run("status --json --run-dir {} --iface nowhere")
        .ends(3)
        .json();
    assert_eq!(status["running"], false);
}

#[test]
fn running_without_a_grant_prints_the_three_commands() {
    let world = World::new();
    let run = world
        .run("run --iface lo --state-dir {}/s --run-dir {}/r")
        .ends(2);
    for words in [
        "nexus0 mesh init",
        "nexus0 mesh grant",
        "nexus0 run --iface lo",
    ] {
        assert!(run.err().contains(words), "{words} in {}", run.err());
    }
    // And they work as printed, up to the interface.
    let printed = run.err();
    let lines = printed
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("nexus0 mesh"));
    for line in lines.take(2) {
        world.run(line.strip_prefix("nexus0 ").unwrap()).ends(0);
    }
    let run = world
        .run("run --iface no-such-if --state-dir {}/s --run-dir {}/r")
        .ends(2);
    assert!(
        run.err().contains("no interface no-such-if"),
        "{}",
        run.err()
    );
    let short = "run --iface no-such-if --state-dir {}/s --run-dir {}/r --pulse 5s --epoch 10s";
    assert!(world.run(short).ends(2).err().contains("45"), "nine pulses");
}

#[test]
fn a_grant_for_another_node_is_refused() {
    let world = World::new();
    world.run("mesh init --dir {}/s").ends(0);
    world.run("identity --dir {}/other").ends(0);
    world.run("identity --dir {}/s").ends(0);
    let line =
        "mesh grant --dir {}/s --identity {}/other/identity.key --name n --out {}/s/grant.json";
    world.run(line).ends(0);
    let run = world
        .run("run --iface no-such-if --state-dir {}/s --run-dir {}/r")
        .ends(1);
    assert!(run.err().contains("the grant is for node"), "{}", run.err());
}

fn frame() -> Vec<u8> {
    let mut frame = vec![0; 62 + 95];
    frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
    frame[18..22].copy_from_slice(&[0, 103, 17, 255]);
    frame[22..24].copy_from_slice(&[0xfe, 0x80]);
    frame[37] = 1;
    frame[38..40].copy_from_slice(&[0xff, 2]);
    frame[53] = 1;
    frame[54..58].copy_from_slice(&[0x4c, 0x55, 0x4c, 0x55]);
    frame[59] = 103;
    frame[62..67].copy_from_slice(&[b'N', b'0', 1, 1, 7]);
    frame
}

#[test]
fn frames_are_explained_without_a_node() {
    let world = World::new();
    let explain = |frame: &[u8]| {
        let hex = nexus0::hex::encode(frame);
        world
            .run(&format!("explain {hex} --json --run-dir {{}}"))
            .ends(0)
            .json()
    };
    let verdict = |at: usize, value: u8| {
        let mut broken = frame();
        broken[at] = value;
        explain(&broken)["verdict"].as_str().unwrap().to_owned()
    };
    assert_eq!(explain(&frame())["verdict"], "undecided");
    assert_eq!(verdict(21, 64), "hop-limit");
    assert_eq!(verdict(22, 0x20), "source");
    assert_eq!(verdict(62, 0), "magic");
    assert_eq!(verdict(65, 99), "type");
    assert_eq!(verdict(12, 8), "foreign");
    let mut fragment = frame();
    fragment[20] = 44;
    fragment[54..62].copy_from_slice(&[17, 0, 0, 1, 0, 0, 0, 0]);
    fragment[62..66].copy_from_slice(&[0x4c, 0x55, 0x4c, 0x55]);
    assert_eq!(explain(&fragment)["verdict"], "fragment");
    let last = explain(&frame())["steps"]
        .as_array()
        .unwrap()
        .last()
        .unwrap()
        .clone();
    assert_eq!(
        (&last["check"], &last["result"]),
        (&"key".into(), &"unknown".into())
    );
}

#[test]
fn what_people_read_fits_eighty_columns() {
    let world = World::new();
    let hex = nexus0::hex::encode(&frame());
    let lines = [
        "mesh init --dir {}/s",
        "identity --dir {}/s",
        "--help",
        "run --help",
        "lab --help",
        "drops --help",
    ];
    let explain = format!("explain {hex} --run-dir {{}}");
    for line in lines.into_iter().chain([explain.as_str()]) {
        let out = world.run(line).ends(0).out();
        let widest = out.lines().max_by_key(|line| line.chars().count()).unwrap();
        assert!(widest.chars().count() <= 80, "{line}: {widest}");
    }
}
