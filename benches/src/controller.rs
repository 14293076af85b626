//! What one controller costs: a real process at one end of a cable, its peers at the other, for one whole epoch
//! of the default timers.

use std::fmt::Write;
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aya::maps::MapData;
use nexus0::api::types::{Request, Role, Status};
use nexus0::api::{Client, socket_path};
use nexus0::dataplane::pin_folder;
use nexus0::lab::pair::{Pair, Receive};
use nexus0::lab::process::Process;
use nexus0::lab::topology::{INTERFACE, ip};
use nexus0::store::{GRANT_FILE, GrantFile, load_or_create_identity};
use nexus0_core::grant::{GrantRequest, Kind, MeshRoot};
use nexus0_core::node::NodeConfig;
use nexus0_core::time::Time;
use serde::Serialize;

use crate::simulated::{Simulated, address};

/// Joiners a second: what a door lets through.
const JOINS: Duration = Duration::from_millis(10);
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at the processor time.
const SAMPLE: Duration = Duration::from_millis(100);
/// What an announcement or a turn takes is looked for in this span, from just before it.
const AROUND: Duration = Duration::from_secs(2);

/// One controller, measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) peers: usize,
    /// anchor or member.
    pub(crate) role: String,
    /// Processor time over a whole epoch, as a share of one processor.
    pub(crate) processor: f64,
    /// Kibibytes of memory now, and the most ever.
    pub(crate) rss_kib: u64,
    pub(crate) most_kib: u64,
    /// Kibibytes of the pinned maps.
    pub(crate) maps_kib: u64,
    /// Datagrams it read a second.
    pub(crate) datagrams: f64,
    /// Milliseconds from the first to the last peer that took the next key, once it was announced.
    pub(crate) spread_ms: f64,
    /// Milliseconds from the first to the last peer that turned to it.
    pub(crate) turn_ms: f64,
    /// Milliseconds of processor time in the two seconds of the announcement, and of the turn, above what
    /// two other seconds took.
    pub(crate) announcement_cpu_ms: f64,
    pub(crate) turn_cpu_ms: f64,
}

/// Measures both roles at every size.
pub(crate) fn measure(sizes: &[usize]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for peers in sizes {
        for role in [Role::Anchor, Role::Member] {
            eprintln!("controller: {peers} peers, {}", name(role));
            rows.push(one(*peers, role)?);
        }
    }
    Ok(rows)
}

fn name(role: Role) -> &'static str {
    match role {
        Role::Anchor => "anchor",
        _ => "member",
    }
}

fn one(peers: usize, role: Role) -> Result<Row> {
    let mut pair = Pair::build(1, Receive::Driver)?;
    let folder = pair.record().folder().to_owned();
    let run_dir = folder.join("run");
    pair.record().mount_bpffs(&run_dir.join("bpf"))?;
    let root = MeshRoot::from_seed(&[0x77; 32]);
    admit(&root, &folder, if role == Role::Anchor { 95 } else { 50 })?;
    let addresses =
        (0..peers).map(|number| format!("addr add {}/64 dev {INTERFACE} nodad\n", address(number)));
    ip(&pair.attacker, "ip", &addresses.collect::<String>())?;
    pair.attacker.within(|| {
        let mut egos = vec![10; peers];
        if role == Role::Member {
            egos[0] = 90;
        }
        let mut mesh = Simulated::new(INTERFACE, &root, &egos)?;
        if role == Role::Member {
            mesh.start(0)?;
            let leads = until(&mut mesh, PATIENCE, Simulated::leads)?;
            ensure!(leads, "no peer leads");
        }
        let controller = start(&pair, &folder, &run_dir)?;
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(3) {
            mesh.pass()?;
        }
        join(&mut mesh, peers, role)?;
        watch(&mut mesh, &controller, &run_dir, role, peers)
    })?
}

fn admit(root: &MeshRoot, folder: &Path, ego: u8) -> Result<()> {
    let state = folder.join("state");
    let (identity, _, _) = load_or_create_identity(&state)?;
    let grant = root.issue(&GrantRequest {
        public_key: identity.public_key(),
        name: "measured",
        zone: "bench",
        kind: Kind::Agent,
        ego,
        serial: 1,
    })?;
    let root = root.public_key();
    Ok(GrantFile { root, grant }.save(&state.join(GRANT_FILE))?)
}

fn start(pair: &Pair, folder: &Path, run_dir: &Path) -> Result<Process> {
    let program = std::env::current_exe()?.with_file_name("nexus0");
    ensure!(
        program.exists(),
        "{} is not built: cargo build --release -p nexus0",
        program.display()
    );
    let log = fs::File::create(folder.join("log"))?;
    let mut command = Command::new(program);
    command
        .args(["run", "--iface", INTERFACE, "--run-dir"])
        .arg(run_dir)
        .arg("--state-dir")
        .arg(folder.join("state"))
        .env_remove("NOTIFY_SOCKET")
        .stdin(Stdio::null())
        .stderr(log);
    pair.own.adopt(&mut command)?;
    Process::start(&mut command)
}

fn join(mesh: &mut Simulated, peers: usize, role: Role) -> Result<()> {
    for number in usize::from(role == Role::Member)..peers {
        mesh.start(number)?;
        let begin = Instant::now();
        while begin.elapsed() < JOINS {
            mesh.pass()?;
        }
    }
    let all = until(mesh, PATIENCE, |mesh| mesh.settled() == peers)?;
    ensure!(all, "only {} of {peers} peers have joined", mesh.settled());
    Ok(())
}

fn until(
    mesh: &mut Simulated,
    patience: Duration,
    done: impl Fn(&Simulated) -> bool,
) -> Result<bool> {
    let deadline = Instant::now() + patience;
    while !done(mesh) {
        if Instant::now() > deadline {
            return Ok(false);
        }
        mesh.pass()?;
    }
    Ok(true)
}

fn watch(
    mesh: &mut Simulated,
    controller: &Process,
    run_dir: &Path,
    role: Role,
    peers: usize,
) -> Result<Row> {
    let status = || -> Result<Status> {
        let mut client = Client::connect(&socket_path(run_dir, INTERFACE))?;
        Ok(client.ask(&Request::Status)?)
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let now = status()?;
        if now.roster == peers + 1 && now.roster_complete && now.role == Some(role) {
            break;
        }
        ensure!(
            Instant::now() < deadline,
            "the controller knows {} of {peers} peers, as {:?}",
            now.roster - 1,
            now.role
        );
        let pause = Instant::now();
        while pause.elapsed() < Duration::from_millis(500) {
            mesh.pass()?;
        }
    }
    // The end of an epoch, and the whole of the next one.
    let turns = mesh.turns.len();
    let turned = until(mesh, PATIENCE, |mesh| mesh.turns.len() >= turns + peers)?;
    ensure!(turned, "no epoch turned");
    let pid = controller.identity().pid;
    let before = status()?;
    (mesh.keys, mesh.turns) = (Vec::new(), Vec::new());
    let begin = Instant::now();
    let epoch = NodeConfig::default().epoch;
    let mut samples = vec![sample(pid)?];
    // Until two seconds behind the turn.
    while begin.elapsed() < epoch + AROUND {
        mesh.pass()?;
        if samples
            .last()
            .is_some_and(|(at, _)| now().since(*at) >= SAMPLE)
        {
            samples.push(sample(pid)?);
        }
    }
    let after = status()?;
    ensure!(
        after.role == Some(role),
        "the controller is {:?} now",
        after.role
    );
    ensure!(
        mesh.keys.len() >= peers && mesh.turns.len() >= peers,
        "{} peers took a key, {} turned",
        mesh.keys.len(),
        mesh.turns.len()
    );
    let (first, last) = (samples[0], samples[samples.len() - 1]);
    let seconds = last.0.since(first.0).as_secs_f64();
    let usual = median(&samples);
    let above = |at: Time| spent(&samples, at).map_or(f64::NAN, |spent| (spent - usual).max(0.0));
    let read = |status: &Status| status.node_counters.get("datagrams").copied().unwrap_or(0);
    let memory = fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(Row {
        peers,
        role: name(role).into(),
        processor: (last.1 - first.1) as f64 / 1e9 / seconds,
        rss_kib: field(&memory, "VmRSS:")?,
        most_kib: field(&memory, "VmHWM:")?,
        maps_kib: maps(run_dir)? / 1024,
        datagrams: (read(&after) - read(&before)) as f64 / seconds,
        spread_ms: spread(&mesh.keys, peers),
        turn_ms: spread(&mesh.turns, peers),
        announcement_cpu_ms: above(mesh.keys[0]),
        turn_cpu_ms: above(mesh.turns[0]),
    })
}

fn now() -> Time {
    Time(nexus0::daemon::now())
}

/// When, and nanoseconds on a processor so far.
fn sample(pid: i32) -> Result<(Time, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/schedstat"))?;
    let spent = text.split_whitespace().next().unwrap_or_default();
    Ok((now(), spent.parse().context("schedstat")?))
}

/// Milliseconds on a processor in the span around an instant.
fn spent(samples: &[(Time, u64)], at: Time) -> Option<f64> {
    let index = samples.iter().position(|(time, _)| *time >= at)?;
    let begin = samples.get(index.checked_sub(2)?)?;
    let end = samples.iter().find(|(time, _)| *time >= begin.0 + AROUND)?;
    Some((end.1 - begin.1) as f64 / 1e6)
}

/// The same in the usual span.
fn median(samples: &[(Time, u64)]) -> f64 {
    let mut all: Vec<f64> = samples
        .iter()
        .filter_map(|(time, _)| spent(samples, *time))
        .collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Milliseconds from the first to the last of the first `count`.
fn spread(times: &[Time], count: usize) -> f64 {
    times[count - 1].since(times[0]).as_secs_f64() * 1e3
}

fn field(text: &str, name: &str) -> Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|n| n.parse().ok())
        .context("/proc/PID/status")
}

/// Bytes that the kernel charges for the pinned maps.
fn maps(run_dir: &Path) -> Result<u64> {
    let mut sum = 0;
    for entry in fs::read_dir(pin_folder(run_dir, INTERFACE))? {
        let path = entry?.path();
        let Ok(map) = MapData::from_pin(&path) else {
            continue; // The link.
        };
        let fd = map.fd().as_fd().as_raw_fd();
        let text = fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))?;
        let bytes = text.lines().find_map(|line| line.strip_prefix("memlock:"));
        sum += bytes
            .and_then(|b| b.trim().parse::<u64>().ok())
            .unwrap_or(0);
    }
    Ok(sum)
}

/// What stands above the table.
pub(crate) const EXPLANATION: &str = "\n## The controller\n\nBy `cargo xtask bench --only controller`. One `nexus0 run` at one end \
     of a veth pair; the peers are as many nodes of the protocol core in one process at the other, each with an \
     address and a grant of its own, whose frames all go over the cable. Default timers (pulse 5 s, epoch 60 s), over one \
     whole epoch after all have joined: processor time of the process (/proc/PID/schedstat; not the filter's, which \
     runs in the kernel), memory now and at most, what the kernel charges for the pinned maps, datagrams read. The last four \
     are about the epoch's announcement and its turn: milliseconds from the first to the last peer (in one process, \
     so this includes their own work), and the controller's processor time in the two seconds around it above that of \
     two usual seconds.\n\n";

/// The table, as Markdown.
pub(crate) fn table(rows: &[Row]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "| peers | role | processor | memory, MiB | most, MiB | maps, MiB | datagrams/s \
         | announced: all have it after | processor time | turn: all have turned after | processor time |\n\
         |---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for row in rows {
        let mib = |kib: u64| kib as f64 / 1024.0;
        let _ = writeln!(
            text,
            "| {} | {} | {:.3} % | {:.1} | {:.1} | {:.1} | {:.1} | {:.0} ms | {:.1} ms | {:.0} ms | {:.1} ms |",
            row.peers,
            row.role,
            row.processor * 100.0,
            mib(row.rss_kib),
            mib(row.most_kib),
            mib(row.maps_kib),
            row.datagrams,
            row.spread_ms,
            row.announcement_cpu_ms,
            row.turn_ms,
            row.turn_cpu_ms,
        );
    }
    text
}
