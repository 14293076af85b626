//! A key becomes visible whole (R8): one processor judges without a pause while the other turns keys.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nexus0::dataplane::{KernelMaps, Program};
use nexus0_common::auth::FrameKey;
use nexus0_common::maps::{Config, Rate};
use nexus0_common::reason::Verdict;
use nexus0_common::wire::PORT;
use nexus0_core::filter::{Filter, MapOp, Maps};
use nexus0_core::id::{KeyId, MeshId, NodeId};
use nexus0_core::time::Time;

use crate::world::{Draft, MEMBERS, key};

/// Runs of the reader, of 100,000 frames each.
const RUNS: u64 = 40;

/// Most runs until a planted mistake must have been met, however busy the machine is.
const PATIENCE: u64 = 50 * RUNS;

type Met = Vec<(Verdict, u64)>;

/// Judges one pulse over and over, for so many runs or until `write` says that it is done; what the filter said how
/// often.
fn judge_while(runs: u64, write: impl FnOnce(KernelMaps, &AtomicBool) -> KernelMaps + Send) -> Met {
    let mut program = Program::load(None).expect("the filter loads");
    let mut maps = program.maps().expect("its maps open");
    let mut config = Config::new(PORT, [1, 2]);
    config.sample_shift = [255; 64];
    config.member = Rate {
        interval: 0,
        burst: 1 << 60,
    };
    maps.write_config(&config).expect("configured");
    maps.write_peer(MEMBERS[0], 0).expect("a member");
    let frame = Draft::pulse(key(1), MEMBERS[0], 7).frame();
    let done = AtomicBool::new(false);
    let maps = thread::scope(|scope| {
        let writer = scope.spawn(|| write(maps, &done));
        for _ in 0..runs {
            program.test_run("nexus0", &frame, 100_000).expect("a run");
            if done.load(Ordering::Acquire) {
                break;
            }
        }
        done.store(true, Ordering::Release);
        writer.join().expect("the writer ends")
    });
    met(&maps)
}

fn met(maps: &KernelMaps) -> Met {
    let counters = maps.counters().expect("counters").into_iter();
    let frames = counters.map(|(verdict, counter)| (verdict, counter.frames));
    frames.filter(|(_, frames)| *frames > 0).collect()
}

fn install(key: &FrameKey) -> MapOp {
    MapOp::InstallKey {
        key_id: KeyId(key.id),
        pre_tag: key.pre_tag,
        inner: key.midstates.inner,
        outer: key.midstates.outer,
        not_before: Time(0),
        not_after: Time(u64::MAX),
    }
}

fn remove(key: &FrameKey) -> MapOp {
    MapOp::RemoveKey {
        key_id: KeyId(key.id),
    }
}

#[test]
fn a_reader_never_meets_half_a_key() {
    let met = judge_while(RUNS, |maps, done| {
        let config = maps.config().expect("config");
        let mesh = MeshId([1; 16]);
        let mut filter = Filter::adopt(maps, mesh, config, Time(1)).expect("adopted");
        let member = MapOp::InstallPeer(NodeId(MEMBERS[0]));
        filter.apply(&member, Time(1)).expect("a member");
        let mut now = Time(1);
        while !done.load(Ordering::Acquire) {
            now = Time(now.0 + 1);
            let key = key(1 + (now.0 % 3) as u8);
            filter.apply(&install(&key), now).expect("installed");
            (0..5_000).for_each(|_| std::hint::spin_loop());
            filter.apply(&remove(&key), now).expect("removed");
        }
        filter.into_maps()
    });
    println!("{met:?}");
    let allowed = [Verdict::UnknownKey, Verdict::Accepted, Verdict::Replay];
    assert!(
        met.iter().all(|(verdict, _)| allowed.contains(verdict)),
        "{met:?}"
    );
    assert!(met.len() > 1, "the key was never seen: {met:?}");
}

#[test]
fn an_id_written_before_its_slot_is_met_half() {
    let half = |met: &Met| {
        met.iter()
            .any(|(verdict, _)| matches!(verdict, Verdict::PreTag | Verdict::Tag))
    };
    let met = judge_while(PATIENCE, |mut maps, done| {
        let mut turns = 0;
        let (right, other) = (key(1).slot(0, u64::MAX, 0), key(2).slot(0, u64::MAX, 0));
        while !done.load(Ordering::Acquire) {
            maps.write_key_slot(1, &other).expect("written");
            maps.write_key_id(1, key(1).slot_id()).expect("written");
            maps.write_key_slot(1, &right).expect("written");
            maps.write_key_id(1, 0).expect("written");
            turns += 1;
            if turns % 1_000 == 0 && half(&met(&maps)) {
                done.store(true, Ordering::Release);
            }
        }
        maps
    });
    assert!(half(&met), "the check sees nothing: {met:?}");
}
