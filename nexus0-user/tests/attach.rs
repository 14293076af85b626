//! The filter on real interfaces: every way in which attaching fails is told apart, and leaves nothing.
//! Needs root.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use nexus0::dataplane::{
    AttachError, Dataplane, Options, Program, XdpMode, attached, detach, pin_folder, pinned,
};
use nexus0_core::filter::{MapOp, Maps};
use nexus0_core::id::{KeyId, MeshId, NodeId};
use nexus0_core::time::Time;
use nix::sched::{CloneFlags, unshare};

/// Runs a test on a thread that has a network of its own: lo and the veth pair nxa, nxb. It ends with the
/// thread.
fn in_a_namespace(test: impl FnOnce(&Path) + Send) {
    let folder = Folder::new();
    thread::scope(|scope| {
        let run = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("root may make a network namespace");
            ip("link add nxa type veth peer name nxb");
            ip("link set nxa up");
            ip("link set nxb up");
            test(&folder.0);
        });
        if let Err(panic) = run.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

/// A run folder that goes with the test, also when it fails.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        let mut name = [0; 8];
        getrandom::fill(&mut name).expect("random bytes");
        let name: String = name
            .iter()
            .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let folder = Path::new("/run").join(format!("nexus0-test-{name}"));
        std::fs::create_dir(&folder).expect("a folder in /run");
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        for interface in ["nxa", "nxb", "lo"] {
            let _ = detach(&self.0, interface);
        }
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status();
    assert!(status.expect("ip runs").success(), "ip {arguments}");
}

fn options(run_dir: &Path, interface: &str) -> Options {
    Options {
        interface: interface.to_owned(),
        run_dir: run_dir.to_owned(),
        mode: XdpMode::Native,
        observe: false,
        port: 19541,
        mesh: MeshId([1; 16]),
        cell_key: [1, 2],
    }
}

fn failure(options: &Options) -> AttachError {
    match Dataplane::open(options, Time(1)) {
        Ok(_) => panic!("attached to {}", options.interface),
        Err(error) => error,
    }
}

#[test]
fn native_mode_is_asked_for_and_shown() {
    in_a_namespace(|run_dir| {
        let dataplane = Dataplane::open(&options(run_dir, "nxa"), Time(1)).expect("attached");
        assert_eq!(dataplane.status().mode, XdpMode::Native);
        let found = attached("nxa").expect("a program is on it");
        assert_eq!(found.mode, XdpMode::Native);
        assert_eq!(found.program.id, dataplane.status().program_id);
        assert!(!dataplane.status().adopted);
    });
}

#[test]
fn generic_mode_is_only_taken_on_request_and_shown() {
    in_a_namespace(|run_dir| {
        let asked = Options {
            mode: XdpMode::Generic,
            ..options(run_dir, "lo")
        };
        let dataplane = Dataplane::open(&asked, Time(1)).expect("attached");
        assert_eq!(dataplane.status().mode, XdpMode::Generic);
        assert_eq!(attached("lo").expect("on it").mode, XdpMode::Generic);
    });
}

#[test]
fn a_filter_stays_without_its_controller_and_is_adopted_by_the_next() {
    in_a_namespace(|run_dir| {
        let first = Dataplane::open(&options(run_dir, "nxa"), Time(1)).expect("attached");
        drop(first);
        assert!(attached("nxa").is_some(), "the filter stays");
        let second = Dataplane::open(&options(run_dir, "nxa"), Time(2)).expect("adopted");
        assert!(second.status().adopted);
        assert_eq!(
            attached("nxa").expect("on it").program.id,
            second.status().program_id
        );
    });
}

#[test]
fn the_next_controller_finds_in_the_kernel_who_left_and_which_keys_lost_their_windows() {
    let [left, stays, comes] = [7, 8, 9].map(|byte| NodeId([byte; 8]));
    let key = |byte: u8| MapOp::InstallKey {
        key_id: KeyId([byte; 4]),
        pre_tag: [1, 2],
        inner: [3; 8],
        outer: [4; 8],
        not_before: Time(0),
        not_after: Time(100 + u64::from(byte)),
    };
    in_a_namespace(|run_dir| {
        let open = || Dataplane::open(&options(run_dir, "nxa"), Time(1)).expect("attached");
        let mut first = open();
        let peers = [left, stays].map(MapOp::InstallPeer);
        let keys = (1..=5).map(key);
        let ops = peers.into_iter().chain([MapOp::RemovePeer(left)]);
        for op in ops.chain(keys) {
            first.apply(&op, Time(1)).expect("written");
        }
        drop(first);
        let mut second = open();
        assert_eq!(second.maps().peers().expect("read"), [(stays.0, 1)]);
        assert_eq!(second.maps().departed().expect("read"), [(left.0, 0)]);
        assert_eq!(second.worn().collect::<Vec<_>>(), [KeyId([1; 4])]);
        for peer in [comes, left] {
            let op = MapOp::InstallPeer(peer);
            second.apply(&op, Time(1)).expect("written");
        }
        drop(second);
        let third = open();
        let mut peers = third.maps().peers().expect("read");
        peers.sort_unstable();
        assert_eq!(peers, [(left.0, 0), (stays.0, 1), (comes.0, 2)]);
        assert_eq!(third.maps().departed().expect("read"), []);
    });
}

#[test]
fn detach_leaves_nothing() {
    in_a_namespace(|run_dir| {
        drop(Dataplane::open(&options(run_dir, "nxa"), Time(1)).expect("attached"));
        assert!(pinned(run_dir, "nxa"));
        let found = detach(run_dir, "nxa").expect("detached");
        assert!(found.link && found.maps > 0);
        assert!(attached("nxa").is_none(), "the program is off");
        assert!(!run_dir.join("bpf").exists(), "no pins, no mount");
        let again = detach(run_dir, "nxa").expect("nothing to do is no error");
        assert!(!again.link && again.maps == 0);
    });
}

#[test]
fn an_interface_that_was_made_anew_gets_a_new_link() {
    in_a_namespace(|run_dir| {
        drop(Dataplane::open(&options(run_dir, "nxa"), Time(1)).expect("attached"));
        ip("link del nxa");
        ip("link add nxa type veth peer name nxb");
        assert!(
            attached("nxa").is_none(),
            "the old link went with its interface"
        );
        drop(Dataplane::open(&options(run_dir, "nxa"), Time(2)).expect("attached again"));
        assert!(attached("nxa").is_some());
    });
}

#[test]
fn an_unknown_interface_is_answered_with_the_known_ones() {
    in_a_namespace(|run_dir| {
        let said = failure(&options(run_dir, "eth7")).to_string();
        assert!(
            said.contains("eth7") && said.contains("lo, ") && said.contains("nxa"),
            "{said}"
        );
    });
}

#[test]
fn a_driver_without_native_xdp_is_told_so_and_left_alone() {
    in_a_namespace(|run_dir| {
        let error = failure(&options(run_dir, "lo"));
        assert!(matches!(error, AttachError::NoNativeXdp { .. }), "{error}");
        assert!(error.to_string().contains("--xdp-mode generic"), "{error}");
        assert!(attached("lo").is_none(), "never silently generic");
        assert!(!pin_folder(run_dir, "lo").exists(), "no pins are left");
    });
}

#[test]
fn an_mtu_too_large_for_native_mode_is_named() {
    in_a_namespace(|run_dir| {
        ip("link set nxb mtu 9000");
        ip("link set nxa mtu 9000");
        let error = failure(&options(run_dir, "nxa"));
        assert!(
            matches!(error, AttachError::MtuTooLarge { mtu: 9000, .. }),
            "{error}"
        );
        assert!(!pin_folder(run_dir, "nxa").exists(), "no pins are left");
    });
}

#[test]
fn another_program_is_named_and_not_replaced() {
    in_a_namespace(|run_dir| {
        let mut other = Program::load(None).expect("loads");
        let pass = other.load_helper("nexus0_pass").expect("loads");
        let _link = pass
            .attach("nxa", aya::programs::XdpMode::Driver)
            .expect("attaches");
        let error = failure(&options(run_dir, "nxa"));
        assert!(matches!(error, AttachError::Occupied { .. }), "{error}");
        let occupant = attached("nxa").expect("on it").program;
        assert!(
            error
                .to_string()
                .contains(&format!("nexus0_pass (id {}", occupant.id)),
            "{error}"
        );
    });
}

#[test]
fn a_process_without_capabilities_is_told_which_it_lacks() {
    in_a_namespace(|run_dir| {
        let error = thread::scope(|scope| {
            scope
                .spawn(|| {
                    // Capabilities belong to the thread: the others keep theirs.
                    caps::clear(None, caps::CapSet::Effective).expect("given up");
                    failure(&options(run_dir, "nxa"))
                })
                .join()
                .expect("the thread ends")
        });
        assert!(matches!(error, AttachError::Permission { .. }), "{error}");
        let said = error.to_string();
        assert!(
            said.contains("CAP_BPF") && said.contains("CAP_NET_ADMIN"),
            "{said}"
        );
    });
}
