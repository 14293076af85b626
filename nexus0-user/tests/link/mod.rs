//! One link for a test: a bridge in a namespace of its own, a namespace for each node, all removed at
//! the end, also after a panic.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// Namespaces and filters need root.
pub(crate) fn is_root() -> bool {
    let root = nix::unistd::geteuid().is_root();
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

/// What a command said.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A bridge with nodes `1..=n`, called `n1` and so on, the higher ones with more ego.
pub(crate) struct Link {
    name: String,
    folder: PathBuf,
    nodes: Vec<Option<Child>>,
}

impl Link {
    /// Makes bridge, namespaces, identities and grants; starts nothing.
    pub(crate) fn new(nodes: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nx{}x{number}", std::process::id());
        let folder = std::env::temp_dir().join(&name);
        fs::create_dir(&folder).unwrap();
        let link = Self {
            name,
            folder,
            nodes: (0..=nodes).map(|_| None).collect(),
        };
        link.make_bridge();
        link.nexus0("mesh init --dir {}/root", 0);
        (1..=nodes).for_each(|node| link.make_node(node));
        link
    }

    fn make_bridge(&self) {
        let bridge = self.namespace(0);
        tool(&format!("ip netns add {bridge}"));
        tool(&format!(
            "ip -n {bridge} link add br0 type bridge mcast_snooping 0"
        ));
        tool(&format!("ip -n {bridge} link set br0 up"));
        // Absent where the bridge filter is not loaded.
        let key = "net.bridge.bridge-nf-call-ip6tables=0";
        let _ = Command::new("ip")
            .args(["netns", "exec", &bridge, "sysctl", "-qw", key])
            .output();
    }

    fn make_node(&self, node: usize) {
        let (bridge, own) = (self.namespace(0), self.namespace(node));
        tool(&format!("ip netns add {own}"));
        tool(&format!(
            "ip -n {own} link add eth0 type veth peer name p{node} netns {bridge}"
        ));
        tool(&format!("ip -n {bridge} link set p{node} master br0 up"));
        tool(&format!("ip -n {own} link set eth0 up"));
        self.nexus0(&format!("identity --dir {{}}/s{node}"), 0);
        let ego = 40 + node;
        let files = format!("--identity {{}}/s{node}/identity.key --out {{}}/s{node}/grant.json");
        self.nexus0(
            &format!("mesh grant --dir {{}}/root --name n{node} --ego {ego} {files}"),
            0,
        );
    }

    /// Takes a node's cable out of the bridge: its carrier stays, nothing passes.
    pub(crate) fn unplug(&self, node: usize) {
        let bridge = self.namespace(0);
        tool(&format!("ip -n {bridge} link set p{node} nomaster"));
    }

    /// And puts it back.
    pub(crate) fn plug(&self, node: usize) {
        let bridge = self.namespace(0);
        tool(&format!("ip -n {bridge} link set p{node} master br0"));
    }

    fn namespace(&self, node: usize) -> String {
        format!("{}n{node}", self.name)
    }

    pub(crate) fn namespace_file(&self, node: usize) -> String {
        format!("/run/netns/{}", self.namespace(node))
    }

    fn nexus0(&self, line: &str, code: i32) {
        let said = self.run(usize::MAX, line);
        assert_eq!(said.code, code, "{line}: {}", said.err);
    }

    /// Starts a node; its log goes to a file.
    pub(crate) fn start(&mut self, node: usize) {
        self.start_as(node, &run_line(node));
    }

    /// Starts a node with a command line of its own.
    pub(crate) fn start_as(&mut self, node: usize, line: &str) {
        self.start_told(node, line, &[]);
    }

    /// The same with variables of its own.
    pub(crate) fn start_told(&mut self, node: usize, line: &str, variables: &[(&str, &str)]) {
        let log = File::options()
            .append(true)
            .create(true)
            .open(self.log_file(node))
            .unwrap();
        let mut command = self.command(node, line);
        command.envs(variables.iter().copied());
        let child = command.stdin(Stdio::null()).stderr(log).spawn().unwrap();
        self.nodes[node] = Some(child);
    }

    /// Ends a node and returns its exit code.
    pub(crate) fn end(&mut self, node: usize, signal: Signal) -> Option<i32> {
        kill(Pid::from_raw(self.pid(node) as i32), signal).unwrap();
        self.ended(node)
    }

    /// Waits for a node to end by itself; its exit code.
    pub(crate) fn ended(&mut self, node: usize) -> Option<i32> {
        let mut child = self.nodes[node].take().unwrap();
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.code();
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                panic!("node {node} did not end: {}", self.log(node));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Runs `ip` in a node's namespace.
    #[track_caller]
    pub(crate) fn ip(&self, node: usize, line: &str) -> String {
        tool(&format!("ip -n {} {line}", self.namespace(node)))
    }

    /// Joins two nodes by a second cable: eth1 of both.
    pub(crate) fn cable(&self, one: usize, other: usize) {
        let there = self.namespace(other);
        self.ip(
            one,
            &format!("link add eth1 type veth peer name eth1 netns {there}"),
        );
        self.ip(one, "link set eth1 up");
        self.ip(other, "link set eth1 up");
    }

    /// Gives a node a second interface on the bridge: eth1.
    pub(crate) fn second_interface(&self, node: usize) {
        let bridge = self.namespace(0);
        let line = format!("link add eth1 type veth peer name q{node} netns {bridge}");
        self.ip(node, &line);
        tool(&format!("ip -n {bridge} link set q{node} master br0 up"));
        self.ip(node, "link set eth1 up");
    }

    /// Takes a node's interface away, and plugs a new one of that name in.
    pub(crate) fn replace_interface(&self, node: usize) {
        let bridge = self.namespace(0);
        self.ip(node, "link del eth0");
        self.ip(
            node,
            &format!("link add eth0 type veth peer name p{node} netns {bridge}"),
        );
        tool(&format!("ip -n {bridge} link set p{node} master br0 up"));
        self.ip(node, "link set eth0 up");
    }

    /// Runs a verb in a node's namespace; `{}` stands for the link's folder.
    pub(crate) fn run(&self, node: usize, line: &str) -> Said {
        let output = self.command(node, line).output().unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    fn command(&self, node: usize, line: &str) -> Command {
        let line = line.replace("{}", &self.folder.display().to_string());
        let binary = env!("CARGO_BIN_EXE_nexus0");
        let mut command = if node == usize::MAX {
            Command::new(binary)
        } else {
            // Not `ip netns exec`: its private /sys would take the pins with it.
            let mut command = Command::new("nsenter");
            command
                .arg(format!("--net={}", self.namespace_file(node)))
                .arg(binary);
            command.env("NX0_RUN_DIR", self.run_dir(node));
            command
        };
        command.args(line.split_whitespace());
        command
    }

    /// The object a read command prints.
    #[track_caller]
    pub(crate) fn json(&self, node: usize, line: &str) -> Value {
        let said = self.run(node, line);
        serde_json::from_str(&said.out)
            .unwrap_or_else(|_| panic!("{line}: {}{}\nlog: {}", said.out, said.err, self.log(node)))
    }

    /// The node's status, null while it does not answer.
    pub(crate) fn status(&self, node: usize) -> Value {
        serde_json::from_str(&self.run(node, "status --json").out).unwrap_or_default()
    }

    /// Waits for something that must come true.
    #[track_caller]
    pub(crate) fn wait(&self, patience: Duration, what: &str, mut done: impl FnMut() -> bool) {
        let deadline = Instant::now() + patience;
        while !done() {
            if Instant::now() > deadline {
                let logs: Vec<_> = (1..self.nodes.len()).map(|node| self.log(node)).collect();
                panic!("in vain: {what}\n{}", logs.join("\n--\n"));
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Checks that what people read fits their screen.
    #[track_caller]
    pub(crate) fn assert_narrow(&self, node: usize, verbs: &[&str]) {
        for verb in verbs {
            let said = self.run(node, verb);
            let widest = said
                .out
                .lines()
                .map(|line| line.chars().count())
                .max()
                .unwrap_or(0);
            assert!(
                (1..=80).contains(&widest),
                "{verb}:\n{}{}",
                said.out,
                said.err
            );
        }
    }

    /// Whether an XDP program is on the node's interface.
    pub(crate) fn has_filter(&self, node: usize) -> bool {
        let own = self.namespace(node);
        tool(&format!("ip -json -n {own} link show eth0")).contains("\"xdp\"")
    }

    /// What is left in a node's run folder.
    pub(crate) fn left_in_run_dir(&self, node: usize) -> Vec<String> {
        let entries = fs::read_dir(self.run_dir(node)).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect()
    }

    /// Runs code in a node's namespace.
    pub(crate) fn inside(&self, node: usize, code: impl FnOnce() + Send) {
        let namespace = File::open(self.namespace_file(node)).unwrap();
        thread::scope(|scope| {
            let inner = scope.spawn(move || {
                setns(namespace, CloneFlags::CLONE_NEWNET).unwrap();
                code();
            });
            inner.join().unwrap();
        });
    }

    /// The link-local address of a node's interface, empty until it may be used.
    pub(crate) fn address(&self, node: usize) -> String {
        let own = self.namespace(node);
        let text = tool(&format!(
            "ip -json -n {own} -6 address show dev eth0 scope link -tentative"
        ));
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        let found = value
            .as_array()
            .into_iter()
            .flatten()
            .find_map(|interface| {
                interface["addr_info"].as_array()?.first()?["local"]
                    .as_str()
                    .map(str::to_owned)
            });
        found.unwrap_or_default()
    }

    /// Waits until the address may be used.
    pub(crate) fn wait_for_address(&self, node: usize) {
        let what = "an address passes duplicate address detection";
        self.wait(Duration::from_secs(10), what, || {
            !self.address(node).is_empty()
        });
    }

    pub(crate) fn pid(&self, node: usize) -> u32 {
        self.nodes[node].as_ref().unwrap().id()
    }

    pub(crate) fn socket(&self, node: usize) -> PathBuf {
        self.run_dir(node).join("eth0.sock")
    }

    pub(crate) fn log(&self, node: usize) -> String {
        fs::read_to_string(self.log_file(node)).unwrap_or_default()
    }

    /// A file of the link's folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What is in it.
    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    fn run_dir(&self, node: usize) -> PathBuf {
        self.folder.join(format!("r{node}"))
    }

    fn log_file(&self, node: usize) -> PathBuf {
        self.folder.join(format!("log{node}"))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        for node in 0..self.nodes.len() {
            if let Some(mut child) = self.nodes[node].take() {
                let _ = child.kill();
                let _ = child.wait();
            }
            if node > 0 {
                self.run(node, "detach --iface eth0");
                let bpf = self.run_dir(node).join("bpf");
                let _ = nix::mount::umount2(&bpf, nix::mount::MntFlags::MNT_DETACH);
            }
            let _ = Command::new("ip")
                .args(["netns", "del", &self.namespace(node)])
                .output();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The command line that starts a node.
pub(crate) fn run_line(node: usize) -> String {
    format!("run --iface eth0 --state-dir {{}}/s{node} --pulse 300ms --epoch 4s")
}

/// Runs a tool that must succeed.
#[track_caller]
fn tool(line: &str) -> String {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().unwrap())
        .args(words)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {text}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
