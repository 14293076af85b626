//! Labs of real processes on a real link, and what each number does when something is really wrong.
//! Needs root.

mod fresh_secrets;
mod one_way;
mod open_lab;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use nexus0::flood::{Cast, Kind, Rate};
use nexus0::lab::flooder::Flooder;
use nexus0::lab::netns;
use nexus0::lab::options::{Options, Profile};
use nexus0::lab::record::{self, clear_stale};
use nexus0::lab::running::Lab;
use nexus0::lab::story::Found;
use nexus0::lab::summary::Summary;
use nexus0_common::reason::Verdict;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_nexus0");

fn fast() -> Options {
    let (pulse, epoch) = Profile::Fast.timers();
    Options {
        nodes: 3,
        profile: Profile::Fast,
        pulse,
        epoch,
        flood: None,
        program: Some(PROGRAM.into()),
        ..Options::default()
    }
}

fn start(options: Options) -> Lab {
    Lab::start(options, &mut |text| eprintln!("{text}")).unwrap()
}

/// A node that does not lead.
fn follower(lab: &Lab) -> usize {
    let anchor = lab.agreed().unwrap();
    (0..lab.nodes.len()).find(|index| *index != anchor).unwrap()
}

fn flood(lab: &Lab, kinds: &[Kind]) -> Flooder {
    let (topology, books) = (Arc::clone(&lab.topology), Arc::clone(&lab.books));
    let mesh = lab.mesh.id;
    Flooder::start(topology, books, mesh, kinds.to_vec(), Rate::Max).unwrap()
}

fn finish(flooder: Flooder) {
    let progress = flooder.finish();
    assert_eq!(progress.failure, None);
    assert!(progress.offered > 0);
}

/// Polls for some pulses.
fn pulses(lab: &mut Lab, count: u32) {
    let time = lab.options.pulse * count;
    pass(lab, time);
}

/// Polls for a while.
fn pass(lab: &mut Lab, time: Duration) {
    let start = Instant::now();
    lab.wait_until(time + Duration::from_secs(5), "time to pass", |_| {
        start.elapsed() >= time
    })
    .unwrap();
}

fn wait_for_turns(lab: &mut Lab, turns: usize) {
    let goal = lab.seen.turns.len() + turns;
    let patience = lab.options.epoch * (turns as u32 + 2);
    lab.wait_until(patience, "epochs to turn", |lab| {
        lab.seen.turns.len() >= goal
    })
    .unwrap();
}

fn judged(lab: &Lab, index: usize, verdict: Verdict) -> u64 {
    lab.nodes[index].counts().unwrap().frames().unwrap()[verdict as usize]
}

fn lab_namespaces() -> BTreeSet<String> {
    let Ok(entries) = fs::read_dir(netns::FOLDER) else {
        return BTreeSet::new();
    };
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("nx0-"))
        .collect()
}

/// Namespaces, mounts, folders and processes of a lab that is gone.
fn left_behind(id: &str) -> Vec<String> {
    let mut found: Vec<String> = lab_namespaces()
        .into_iter()
        .filter(|name| name.contains(id))
        .collect();
    let folder = Path::new(record::FOLDER).join(id);
    found.extend(folder.exists().then(|| folder.display().to_string()));
    let text = fs::read_to_string("/proc/self/mounts").unwrap();
    let marks = [format!("nexus0-lab/{id}"), format!("nx0-{id}")];
    let is_ours = |line: &&str| marks.iter().any(|mark| line.contains(mark.as_str()));
    found.extend(text.lines().filter(is_ours).map(str::to_owned));
    for process in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        found.extend(line.contains(&marks[0]).then_some(line));
    }
    found
}

/// Runs `nexus0 lab` to its end and reads its summary.
fn run(arguments: &[&str]) -> Value {
    lab_says(arguments).1
}

/// The same, with what it said.
fn lab_says(arguments: &[&str]) -> (String, Value) {
    let file = PathBuf::from(format!("/tmp/nexus0-lab-test-{}.json", std::process::id()));
    let output = Command::new(PROGRAM)
        .arg("lab")
        .args(arguments)
        .arg("--summary")
        .arg(&file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let talk = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}\n{talk}", output.status);
    assert!(
        said.lines().all(|line| line.chars().count() <= 80),
        "too wide:\n{said}"
    );
    let text = fs::read_to_string(&file).unwrap();
    fs::remove_file(&file).unwrap();
    eprintln!("{text}");
    (said.into_owned(), serde_json::from_str(&text).unwrap())
}

fn count(value: &Value, path: &str) -> i64 {
    let found = value.pointer(path);
    found
        .and_then(Value::as_i64)
        .unwrap_or_else(|| panic!("no count at {path} in {value}"))
}

fn number(value: &Value, path: &str) -> f64 {
    let found = value.pointer(path);
    found
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("no number at {path} in {value}"))
}

#[test]
fn a_flooded_lab_stays_whole_and_accounts_for_every_frame() {
    let summary = run(&["--profile", "fast", "--duration", "40", "--joins", "3"]);
    assert_eq!(count(&summary, "/anchors"), 1);
    assert_eq!(summary["xdp_mode"], "native");
    for zero in [
        "/frames/unaccounted",
        "/forged_accepted",
        "/valid_lost",
        "/restless",
    ] {
        assert_eq!(count(&summary, zero), 0, "{zero}: {}", summary["gaps"]);
    }
    assert!(number(&summary, "/epochs_turned") >= 1.0);
    assert!(number(&summary, "/valid_compared") > 0.0);
    assert!(number(&summary, "/failover_ms") < 1000.0);
    assert!(number(&summary, "/cold_start_ms") < 3000.0);
    assert!(number(&summary, "/frames/offered") > 1e6);
    let kinds = summary["flood"]["kinds"].as_array().unwrap();
    assert_eq!(kinds.len(), Kind::ALL.len(), "kinds never sent: {kinds:?}");
    let frames = &summary["frames"];
    let dropped: i64 = frames["dropped"]
        .as_object()
        .unwrap()
        .values()
        .map(|n| n.as_i64().unwrap())
        .sum();
    let sum = count(frames, "/passed") + dropped + count(frames, "/queue_lost");
    assert_eq!(
        sum,
        count(frames, "/offered") + count(frames, "/legitimate")
    );
    let lab = summary["lab"].as_str().unwrap();
    assert_eq!(left_behind(lab), Vec::<String>::new());
}

#[test]
fn a_lost_pulse_is_a_valid_frame_lost() {
    let mut lab = start(fast());
    wait_for_turns(&mut lab, 1);
    let silenced = follower(&lab);
    let tally = &lab.topology.nodes[silenced].tally;
    tally.lose_everything().unwrap();
    thread::sleep(lab.options.pulse * 3 / 2);
    tally.restore().unwrap();
    wait_for_turns(&mut lab, 3);
    pulses(&mut lab, 8);
    let balance = lab.seen.ledger.balance();
    assert!(
        balance.lost >= 2,
        "each of two receivers missed one: {balance:?}"
    );
    assert_eq!(balance.forged, 0);
}

#[test]
fn a_quiet_lab_loses_nothing_between_members() {
    let mut lab = start(fast());
    wait_for_turns(&mut lab, 3);
    pulses(&mut lab, 8);
    let balance = lab.seen.ledger.balance();
    assert!(balance.compared > 0 && balance.sent > 0, "{balance:?}");
    assert_eq!((balance.lost, balance.forged), (0, 0));
    lab.books().close(Cast::Multicast).unwrap();
    assert_eq!(lab.books().account().frames().unaccounted, 0);
}

#[test]
fn a_member_that_the_lab_did_not_admit_counts_as_forged() {
    let mut lab = start(fast());
    assert_eq!(
        Summary::of(&lab, None, &Found::default())
            .unwrap()
            .forged_accepted,
        0
    );
    let intruder = follower(&lab);
    lab.mesh.nodes.remove(intruder);
    pulses(&mut lab, 4);
    assert!(
        Summary::of(&lab, None, &Found::default())
            .unwrap()
            .forged_accepted
            > 0
    );
}

#[test]
fn generic_mode_shows_in_the_summary() {
    let lab = start(Options {
        generic: true,
        nodes: 2,
        ..fast()
    });
    assert_eq!(
        Summary::of(&lab, None, &Found::default()).unwrap().xdp_mode,
        "generic"
    );
}

#[test]
fn the_highest_ego_leads_and_among_equals_the_oldest_grant() {
    let lab = start(fast());
    assert_eq!(lab.agreed(), Some(1), "the middle node has the highest ego");
    drop(lab);
    let lab = start(Options {
        equal_egos: true,
        ..fast()
    });
    assert_eq!(lab.agreed(), Some(0), "node 1 has the lowest serial");
}

/// (R17)
#[test]
fn a_filter_outlives_its_controller_refuses_everything_in_the_end_and_is_adopted() {
    let mut lab = start(fast());
    let index = follower(&lab);
    let flooder = flood(&lab, &[Kind::Magic]);
    pass(&mut lab, Duration::from_secs(1));
    let before = lab.attached(index).unwrap().unwrap().program.id;
    lab.kill_node(index);
    // The keys it holds are over at the latest 1.5 epochs after the next one began.
    let end = lab.options.epoch * 5 / 2 + lab.options.pulse;
    pass(&mut lab, end);
    assert_eq!(lab.attached(index).unwrap().unwrap().program.id, before);
    let count = |lab: &Lab, verdict| judged(lab, index, verdict);
    let accepted = count(&lab, Verdict::Accepted);
    let (magic, unknown) = (
        count(&lab, Verdict::Magic),
        count(&lab, Verdict::UnknownKey),
    );
    pulses(&mut lab, 10);
    // The anchor's beacons, one a pulse, still prove the mesh's name at the door; no member is heard.
    assert!(
        count(&lab, Verdict::Accepted) - accepted <= 13,
        "keys are over"
    );
    assert!(
        count(&lab, Verdict::UnknownKey) - unknown >= 16,
        "two members' pulses are refused"
    );
    assert!(count(&lab, Verdict::Magic) > magic, "the flood goes on");

    lab.start_node(index).unwrap();
    let restarts = lab.nodes[index].life().restarts;
    lab.wait_until(Duration::from_secs(10), "the node to join again", |lab| {
        lab.seen.joined(index, restarts)
    })
    .unwrap();
    assert!(lab.sights[index].as_ref().unwrap().status.filter.adopted);
    finish(flooder);
    // A moment without a filter would leave frames of the flood unjudged.
    assert_eq!(lab.books().account().frames().unaccounted, 0);
    assert!(judged(&lab, index, Verdict::Accepted) > accepted);
}

#[test]
fn the_anchor_killed_and_back_after_two_seconds_is_succeeded_once() {
    let mut lab = start(fast());
    let anchor = lab.agreed().unwrap();
    lab.kill_node(anchor);
    pass(&mut lab, Duration::from_secs(2));
    lab.start_node(anchor).unwrap();
    let restarts = lab.nodes[anchor].life().restarts;
    lab.wait_until(
        Duration::from_secs(10),
        "one anchor and the old one back",
        |lab| lab.seen.joined(anchor, restarts) && lab.agreed().is_some(),
    )
    .unwrap();
    let epoch = lab.options.epoch;
    pass(&mut lab, epoch);
    assert_ne!(lab.agreed(), Some(anchor));
    assert_eq!(lab.seen.cold_starts.len(), 1, "{}", lab.picture());
    let chains: BTreeSet<&String> = lab.seen.turns.iter().map(|(chain, _)| chain).collect();
    assert_eq!(
        chains.len(),
        2,
        "the cold start's chain and the successor's"
    );
}

#[test]
fn the_anchor_killed_and_back_at_once_is_succeeded_once() {
    let mut lab = start(fast());
    let anchor = lab.agreed().unwrap();
    lab.kill_node(anchor);
    lab.start_node(anchor).unwrap();
    let restarts = lab.nodes[anchor].life().restarts;
    lab.wait_until(
        Duration::from_secs(10),
        "one anchor and the old one back",
        |lab| lab.seen.joined(anchor, restarts) && lab.agreed().is_some_and(|now| now != anchor),
    )
    .unwrap();
    let epoch = lab.options.epoch;
    pass(&mut lab, epoch);
    assert_eq!(lab.seen.cold_starts.len(), 1, "{}", lab.picture());
}

fn slow() -> Options {
    Options {
        pulse: Duration::from_secs(2),
        epoch: Duration::from_secs(18),
        store: true,
        ..fast()
    }
}

#[test]
fn an_anchor_restarted_with_what_it_handed_over_goes_on_unnoticed() {
    let mut lab = start(slow());
    let anchor = lab.agreed().unwrap();
    pulses(&mut lab, 2);
    assert_eq!(lab.nodes[anchor].held(), 1, "one snapshot is held");
    let before = lab.kill_noting(anchor).unwrap();
    pass(&mut lab, Duration::from_secs(2));
    lab.start_node(anchor).unwrap();
    pulses(&mut lab, 3);
    let restart = lab
        .compare_restart(&before, Duration::from_secs(2))
        .unwrap();
    assert!(restart.same_chain && restart.same_anchor, "{restart:?}");
    assert!(restart.sent >= 3, "both processes sent: {restart:?}");
    assert_eq!(restart.lost, 0, "{restart:?}");
    assert_eq!(lab.seen.turns.len(), 1, "{}", lab.picture());
}

#[test]
fn an_anchor_restarted_without_what_it_handed_over_changes_the_chain() {
    let mut lab = start(slow());
    let anchor = lab.agreed().unwrap();
    pulses(&mut lab, 2);
    let before = lab.kill_noting(anchor).unwrap();
    lab.nodes[anchor].forget_held();
    pass(&mut lab, Duration::from_secs(2));
    lab.start_node(anchor).unwrap();
    pulses(&mut lab, 3);
    let restart = lab
        .compare_restart(&before, Duration::from_secs(2))
        .unwrap();
    assert!(!restart.same_chain && !restart.same_anchor, "{restart:?}");
}

#[test]
fn an_anchor_back_too_late_was_succeeded_and_joins_as_a_member() {
    let mut lab = start(Options {
        store: true,
        ..fast()
    });
    let anchor = lab.agreed().unwrap();
    pulses(&mut lab, 8);
    let before = lab.kill_noting(anchor).unwrap();
    let away = 10 * lab.options.pulse;
    pass(&mut lab, away);
    lab.start_node(anchor).unwrap();
    let restarts = lab.nodes[anchor].life().restarts;
    lab.wait_until(Duration::from_secs(10), "the old anchor to join", |lab| {
        lab.seen.joined(anchor, restarts) && lab.agreed().is_some()
    })
    .unwrap();
    let restart = lab.compare_restart(&before, away).unwrap();
    assert!(!restart.same_chain, "{restart:?}");
    assert_eq!(lab.anchors().len(), 1);
}

#[test]
fn halves_lead_themselves_and_become_one_mesh_again() {
    let summary = run(&[
        "--profile",
        "fast",
        "--nodes",
        "6",
        "--flood",
        "off",
        "--no-kill",
        "--joins",
        "0",
        "--cuts",
        "2",
        "--cut",
        "12s",
        "--heal",
        "10s",
        "--duration",
        "52",
    ]);
    let cuts = summary["cuts"].as_array().unwrap();
    assert_eq!(cuts.len(), 2);
    for side in cuts.iter().flat_map(|cut| cut["sides"].as_array().unwrap()) {
        assert_eq!((count(side, "/anchors"), count(side, "/nodes")), (1, 3));
    }
    assert_eq!(count(&summary, "/merges"), 2);
    assert!(count(&summary, "/frames/cut") > 0);
    assert_eq!(count(&summary, "/frames/unaccounted"), 0);
    assert_eq!(count(&summary, "/valid_lost"), 0, "{}", summary["gaps"]);
    assert!(number(&summary, "/valid_compared") > 0.0);
}

#[test]
fn a_link_that_loses_everything_lets_nobody_join_and_one_that_loses_a_tenth_does() {
    let mut lab = start(Options {
        sieve: true,
        ..fast()
    });
    let joiner = follower(&lab);
    let topology = Arc::clone(&lab.topology);
    let sieve = topology.sieve.as_ref().unwrap();
    lab.kill_node(joiner);
    sieve.lose(100.0).unwrap();
    lab.start_node(joiner).unwrap();
    let restarts = lab.nodes[joiner].life().restarts;
    let before = sieve.read().unwrap();
    pass(&mut lab, Duration::from_millis(800));
    let after = sieve.read().unwrap();
    assert!(!lab.seen.joined(joiner, restarts));
    assert_eq!(after.passed, before.passed);
    assert!(after.lost > before.lost);
    sieve.lose(10.0).unwrap();
    lab.wait_until(Duration::from_secs(15), "one mesh again", |lab| {
        lab.agreed().is_some()
    })
    .unwrap();
}

#[test]
fn nodes_that_join_all_at_once_all_join() {
    let summary = run(&[
        "--profile",
        "fast",
        "--nodes",
        "3",
        "--flood",
        "off",
        "--no-kill",
        "--joins",
        "12",
        "--at-once",
        "--duration",
        "15",
    ]);
    assert_eq!(count(&summary, "/at_once_ms/count"), 12);
    assert_eq!(count(&summary, "/send_errors"), 0);
    assert_eq!(count(&summary, "/anchors"), 1);
}

#[test]
fn joins_are_quick_on_a_quiet_link() {
    let summary = run(&[
        "--flood",
        "off",
        "--no-kill",
        "--joins",
        "50",
        "--duration",
        "50",
    ]);
    assert_eq!(count(&summary, "/join_ms/count"), 50);
    assert!(number(&summary, "/join_ms/p99") < 100.0);
}

#[test]
fn joins_are_quick_under_a_flood_that_keeps_the_processor_busy() {
    let summary = run(&["--no-kill", "--joins", "50", "--duration", "60"]);
    assert_eq!(count(&summary, "/join_ms/count"), 50);
    assert!(number(&summary, "/join_ms/p99") < 500.0);
    assert!(number(&summary, "/flood/core_busy") >= 0.9);
    assert!(number(&summary, "/flood/rate_judged") > 0.0);
}

#[test]
fn joins_are_quick_while_strangers_replay_what_they_recorded_at_the_door() {
    let summary = run(&[
        "--door-flood",
        "strangers",
        "--nodes",
        "6",
        "--joins",
        "10",
        "--rates",
        "3000",
    ]);
    assert_eq!(count(&summary, "/under_siege_ms/count"), 10);
    assert!(number(&summary, "/under_siege_ms/p99") < 500.0);
    assert_eq!(count(&summary, "/valid_lost"), 0);
    let at_door = |verdict| count(&summary, &format!("/measures/1/door/{verdict}"));
    assert!(at_door("pre-tag") > 1000 && at_door("door-repeat") > 1000);
}

/// A lab's own process, killed when the test ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_killed_lab_is_cleared_by_the_next() {
    clear_stale().unwrap();
    let mut child = Command::new(PROGRAM);
    child
        .args(["lab", "--flood", "off", "--no-kill", "--nodes", "2"])
        .stdout(Stdio::null());
    let mut running = Running(child.spawn().unwrap());
    let pid = running.0.id();
    let deadline = Instant::now() + Duration::from_secs(30);
    let id = loop {
        assert!(Instant::now() < deadline, "the lab does not get going");
        thread::sleep(Duration::from_millis(50));
        let Some(id) = lab_of(pid) else { continue };
        let folder = Path::new(record::FOLDER).join(&id);
        let sockets = ["n1", "n2"].map(|node| folder.join(node).join("run/eth0.sock"));
        if sockets.iter().all(|socket| socket.exists()) {
            break id;
        }
    };
    running.0.kill().unwrap();
    running.0.wait().unwrap();
    assert!(
        !left_behind(&id).is_empty(),
        "a killed lab cannot clean up by itself"
    );
    assert_eq!(clear_stale().unwrap(), std::slice::from_ref(&id));
    thread::sleep(Duration::from_millis(200));
    assert_eq!(left_behind(&id), Vec::<String>::new());
}

#[test]
fn an_interrupted_lab_leaves_nothing_behind() {
    let mut child = Command::new(PROGRAM);
    child
        .args(["lab", "--no-kill", "--nodes", "2", "--joins", "0"])
        .stdout(Stdio::null());
    let mut running = Running(child.spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(30);
    let id = loop {
        assert!(Instant::now() < deadline, "the lab does not get going");
        thread::sleep(Duration::from_millis(50));
        if let Some(id) = lab_of(running.0.id()) {
            break id;
        }
    };
    thread::sleep(Duration::from_secs(8));
    let pid = nix::unistd::Pid::from_raw(running.0.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGINT).unwrap();
    let deadline = Instant::now() + Duration::from_secs(15);
    let status = loop {
        assert!(Instant::now() < deadline, "the lab does not end");
        if let Some(status) = running.0.try_wait().unwrap() {
            break status;
        }
        thread::sleep(Duration::from_millis(50));
    };
    assert!(status.success(), "{status}");
    assert_eq!(left_behind(&id), Vec::<String>::new());
}

/// The id of the lab that a process owns.
fn lab_of(pid: u32) -> Option<String> {
    let owner = format!("owner {pid} ");
    let folders = fs::read_dir(record::FOLDER).ok()?;
    folders.filter_map(Result::ok).find_map(|folder| {
        let text = fs::read_to_string(folder.path().join("record")).ok()?;
        let name = folder.file_name().into_string().ok()?;
        (text.starts_with(&owner) && !name.starts_with('.')).then_some(name)
    })
}

#[test]
fn impossible_labs_are_refused_with_what_is_allowed() {
    let refused = |arguments: &[&str]| {
        let output = Command::new(PROGRAM)
            .arg("lab")
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(refused(&["--nodes", "1"]).contains("2 to 100"));
    assert!(refused(&["--rekey", "25h"]).contains("0s to 86400s"));
    assert!(refused(&["--epoch", "1s"]).contains("9 pulses"));
    assert!(refused(&["--duration", "3"]).contains("too short"));
    assert!(refused(&["--flood", "0"]).contains("off"));
}
