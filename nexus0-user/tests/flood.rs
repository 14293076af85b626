//! The flood against real filters on a real link, without a mesh behind them: every kind is refused for
//! its reason, and every frame is accounted for. Needs root.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use aya::programs::XdpMode as Mode;
use nexus0::dataplane::{self, Dataplane, KernelMaps, Program, XdpMode};
use nexus0::flood::envelope::Envelope;
use nexus0::flood::forge::door_key;
use nexus0::flood::{
    Bounds, Capture, Captured, Cast, Forge, Generator, Interspersed, Kind, Pace, Rate, Report,
    Templates, kernel,
};
use nexus0::lab::account::Frames;
use nexus0::lab::counts::Counts;
use nexus0::lab::gauges::{Books, Gauges};
use nexus0::lab::interface;
use nexus0::lab::pair::{PEER_MAC, Pair, Receive};
use nexus0::lab::record::{Record, clear_stale};
use nexus0::lab::topology::{INTERFACE, Topology};
use nexus0_common::auth::FrameKey;
use nexus0_common::maps::Config;
use nexus0_common::reason::Verdict;
use nexus0_common::wire::{Class, FrameType, GROUP, Header, PORT, TRAILER_LEN, authenticated_len};
use nexus0_core::filter::{MapOp, Maps};
use nexus0_core::id::{KeyId, MeshId, NodeId};
use nexus0_core::time::Time;

const MESH: MeshId = MeshId([7; 16]);
const NODES: usize = 3;

/// A link whose filters know one member and three keys, the oldest of them over.
struct World {
    topology: Arc<Topology>,
    books: Books,
    addresses: Vec<[u8; 16]>,
    sequence: u64,
    // Dropped last.
    _record: Record,
}

fn key(number: u8) -> FrameKey {
    FrameKey::new([number; 4], &[number; 32], &[number; 16])
}

fn member(index: usize) -> NodeId {
    NodeId([0x40 + index as u8; 8])
}

fn now() -> Time {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).unwrap();
    Time(time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64)
}

fn pinned(topology: &Topology, index: usize, run_dir: PathBuf, address: [u8; 16]) -> Counts {
    let counts = run_dir.clone();
    topology.nodes[index]
        .netns
        .within(move || {
            let options = dataplane::Options {
                interface: INTERFACE.into(),
                run_dir,
                mode: XdpMode::Native,
                observe: false,
                port: PORT,
                mesh: MESH,
                cell_key: [1, 2],
            };
            let mut filter = Dataplane::open(&options, now()).unwrap();
            let mut ops = vec![MapOp::Addresses(vec![address])];
            let others = (0..NODES).filter(|node| *node != index);
            ops.extend(others.map(|node| MapOp::InstallPeer(member(node))));
            ops.extend((1..=3).map(|number| {
                let FrameKey {
                    id,
                    pre_tag,
                    midstates,
                } = key(number);
                MapOp::InstallKey {
                    key_id: KeyId(id),
                    pre_tag,
                    inner: midstates.inner,
                    outer: midstates.outer,
                    not_before: Time(0),
                    not_after: Time(if number == 1 {
                        now().0 + 400_000_000
                    } else {
                        u64::MAX
                    }),
                }
            }));
            for op in &ops {
                filter.apply(op, now()).unwrap();
            }
        })
        .unwrap();
    Counts::open(&counts, INTERFACE).unwrap()
}

impl World {
    fn new() -> Self {
        clear_stale().unwrap();
        let mut record = Record::open().unwrap();
        let topology = Arc::new(Topology::build(&mut record, NODES, 0).unwrap());
        let addresses = topology
            .wait_for_addresses(Duration::from_secs(10))
            .unwrap();
        let addresses: Vec<[u8; 16]> = addresses.iter().map(Ipv6Addr::octets).collect();
        let counts = (0..NODES)
            .map(|index| {
                let run_dir = record.folder().join(format!("n{index}"));
                record.mount_bpffs(&run_dir.join("bpf")).unwrap();
                pinned(&topology, index, run_dir, addresses[index])
            })
            .collect();
        let gauges = Gauges::new(Arc::clone(&topology), counts);
        let books = Books::open(Arc::new(gauges)).unwrap();
        Self {
            topology,
            books,
            addresses,
            sequence: 1,
            _record: record,
        }
    }

    /// A valid frame of a node, under a key.
    fn genuine(&mut self, node: usize, key: &FrameKey, frame_type: FrameType) -> Vec<u8> {
        self.sequence += 1;
        let header = Header {
            version: nexus0_common::wire::LOWEST_VERSION,
            frame_type,
            class: Class::Multicast,
            key_id: key.id,
            sender: member(node).0,
            sequence: self.sequence,
        };
        let mut payload = vec![0; authenticated_len(frame_type.blocks().unwrap_or(6))];
        payload[..24].copy_from_slice(&header.emit());
        let trailer = key
            .trailer(&payload, &self.addresses[node], &GROUP)
            .unwrap();
        payload.extend(trailer);
        assert_eq!(trailer.len(), TRAILER_LEN);
        Envelope::to_group(self.topology.nodes[node].mac, self.addresses[node]).wrap(&payload)
    }

    fn send_from_node(&self, node: usize, frame: &[u8]) {
        let send = || Generator::new(INTERFACE).unwrap().send(frame, 1).unwrap();
        self.topology.nodes[node].netns.within(send).unwrap();
    }

    /// What the attacker hears of a bit of genuine traffic, with three keys and a join.
    fn listen(&mut self) -> Captured {
        let netns = &self.topology.attacker.netns;
        let listen = || Capture::start(interface::index(INTERFACE).unwrap()).unwrap();
        let capture = netns.within(listen).unwrap();
        let door = door_key(MESH);
        for number in 1..=3 {
            let pulse = self.genuine(0, &key(number), FrameType::Ann);
            self.send_from_node(0, &pulse);
        }
        for frame_type in [FrameType::ReqEpoch, FrameType::Answer] {
            let frame = self.genuine(1, &door, frame_type);
            self.send_from_node(1, &frame);
        }
        let deadline = Instant::now() + Duration::from_secs(2);
        while capture.captured().door(FrameType::Answer).next().is_none() {
            assert!(Instant::now() < deadline, "the attacker hears nothing");
            thread::sleep(Duration::from_millis(5));
        }
        capture.captured()
    }

    fn flood(&mut self, frames: &[Vec<u8>], count: u64, cast: Cast) -> Frames {
        let send = || {
            let bounds = Bounds {
                frames: count,
                duration: Duration::from_secs(60),
            };
            let generator = Generator::new(INTERFACE).unwrap();
            generator
                .run(frames, Rate::Max, bounds, &AtomicBool::new(false))
                .unwrap()
        };
        let report = self.topology.attacker.netns.within(send).unwrap();
        assert_eq!(report.offered, count);
        assert_eq!(
            report.sent + report.dropped,
            count,
            "every frame is sent or counted as lost"
        );
        self.books.close(cast).unwrap();
        self.books.account().frames()
    }
}

fn count(frames: &Frames, verdict: Verdict) -> i64 {
    if verdict == Verdict::Accepted {
        return frames.accepted;
    }
    frames.dropped.get(verdict.name()).copied().unwrap_or(0)
}

#[test]
fn every_kind_is_refused_for_its_reason_and_every_frame_is_accounted_for() {
    let mut world = World::new();
    let captured = world.listen();
    // The oldest key ends.
    thread::sleep(Duration::from_millis(500));
    world.books.close(Cast::Multicast).unwrap();
    let forge = Forge::new(world.topology.attacker.mac, captured)
        .knowing(door_key(MESH), Box::new(|_, _, _| ()));
    for &kind in Kind::ALL {
        let before = world.books.account().frames();
        let frames = forge.frames(kind, 64).unwrap();
        assert!(!frames.is_empty(), "{} cannot be made", kind.name());
        let after = world.flood(&frames, 2_000, kind.cast());
        let rise = |verdict| count(&after, verdict) - count(&before, verdict);
        let expected: i64 = kind.verdicts().iter().copied().map(rise).sum();
        let others = after.accepted - before.accepted;
        assert_eq!(after.unaccounted, 0, "{}: {after:?}", kind.name());
        let offered = after.offered - before.offered;
        let lost = after.queue_lost - before.queue_lost;
        assert_eq!(
            expected + lost,
            offered,
            "{}: {before:?} {after:?}",
            kind.name()
        );
        if !kind.verdicts().contains(&Verdict::Accepted) {
            assert_eq!(others, 0, "{} was accepted", kind.name());
        }
    }
}

#[test]
fn a_frame_that_vanishes_without_a_counter_is_positive() {
    let mut world = World::new();
    let mut frame = Forge::new(world.topology.attacker.mac, Captured::default())
        .frames(Kind::Magic, 1)
        .unwrap()
        .remove(0);
    let frames = world.flood(std::slice::from_ref(&frame), 1_000, Cast::Multicast);
    // Three receivers; what the sender's own full ring refused was never offered.
    assert!(frames.offered > 0 && frames.offered % 3 == 0, "{frames:?}");
    assert_eq!(frames.unaccounted, 0);
    // A bridge forwards this address to nobody and counts it nowhere.
    frame[..6].copy_from_slice(&[0x01, 0x80, 0xc2, 0, 0, 0x0e]);
    let frames = world.flood(&[frame], 1, Cast::Unicast);
    assert_eq!(frames.unaccounted, 1);
}

#[test]
fn a_frame_that_nobody_is_known_to_have_sent_is_negative() {
    let mut world = World::new();
    let frame = Forge::new(world.topology.attacker.mac, Captured::default())
        .frames(Kind::Magic, 1)
        .unwrap()
        .remove(0);
    // Straight into a node's interface, past the bridge's ports that count what comes in.
    let port = world.topology.nodes[0].port.clone();
    let inject = || Generator::new(&port).unwrap().send(&frame, 1).unwrap();
    world.topology.bridge.within(inject).unwrap();
    world.books.close(Cast::Multicast).unwrap();
    assert_eq!(world.books.account().frames().unaccounted, -1);
}

#[test]
fn the_flood_stays_off_links_that_no_lab_made() {
    let refused = nexus0::flood::permission::check("lo", false)
        .unwrap_err()
        .to_string();
    assert!(refused.contains("--i-own-this-link"), "{refused}");
    nexus0::flood::permission::check("lo", true).unwrap();
    let world = World::new();
    let check = || nexus0::flood::permission::check(INTERFACE, false).is_ok();
    assert!(world.topology.attacker.netns.within(check).unwrap());
}

#[test]
fn a_limited_flood_keeps_its_rate_and_its_bounds() {
    let world = World::new();
    let frame = Forge::new(world.topology.attacker.mac, Captured::default())
        .frames(Kind::Magic, 1)
        .unwrap();
    let run = |bounds| {
        let generator = Generator::new(INTERFACE).unwrap();
        generator
            .run(
                &frame,
                Rate::PerSecond(1_000),
                bounds,
                &AtomicBool::new(false),
            )
            .unwrap()
    };
    let second = Bounds {
        frames: u64::MAX,
        duration: Duration::from_secs(1),
    };
    let report = world
        .topology
        .attacker
        .netns
        .within(|| run(second))
        .unwrap();
    assert!((900..=1_000).contains(&report.offered), "{report:?}");
    let few = Bounds {
        frames: 10,
        duration: Duration::from_secs(10),
    };
    let report = world.topology.attacker.netns.within(|| run(few)).unwrap();
    assert_eq!(report.sent, 10);
    assert!(report.seconds < 1.0);
}

/// A filter without keys at the end of a link with a queue for each processor.
struct Defended {
    pair: Pair,
    processors: Vec<usize>,
    program: Program,
    maps: KernelMaps,
}

impl Defended {
    fn new() -> Self {
        let processors: Vec<usize> =
            (0..thread::available_parallelism().unwrap().get().min(4)).collect();
        let pair = Pair::build(processors.len(), Receive::Driver).unwrap();
        let mut program = Program::load(None).unwrap();
        let mut maps = program.maps().unwrap();
        let mut config = Config::new(PORT, [1, 2]);
        config.sample_shift = [255; 64];
        maps.write_config(&config).unwrap();
        Self {
            pair,
            processors,
            program,
            maps,
        }
    }

    fn attach(&mut self) {
        let index = self.pair.index().unwrap();
        let filter = self.program.xdp("nexus0").unwrap();
        let attach = || filter.attach_to_if_index(index, Mode::Driver).unwrap();
        self.pair.own.within(attach).unwrap();
    }

    fn counted(&self) -> Vec<(Verdict, u64)> {
        let counters = self.maps.counters().unwrap();
        counters
            .into_iter()
            .map(|(verdict, counter)| (verdict, counter.frames))
            .collect()
    }

    fn total(&self) -> u64 {
        self.counted().iter().map(|(_, frames)| frames).sum()
    }

    fn pump(&self, frames: &[Vec<u8>], pace: Pace, bounds: Bounds) -> Report {
        let generator = self.pair.generator().unwrap();
        let never = AtomicBool::new(false);
        let processors = &self.processors;
        let pump = || generator.pump(frames, processors, pace, bounds, &never);
        let report = self.pair.attacker.within(pump).unwrap().unwrap();
        assert_eq!(report.sent + report.dropped, report.offered, "{report:?}");
        report
    }

    /// What the filter has counted once it has judged so many, or after a while.
    fn settled(&self, expected: u64) -> u64 {
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.total() < expected && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        self.total()
    }
}

/// Thousands of different frames, of every kind that needs nothing heard.
fn mixture() -> Vec<Vec<u8>> {
    let forge = Forge::new(PEER_MAC, Captured::default());
    let kinds = Kind::ALL.iter();
    let sets = kinds.map(|kind| forge.frames(*kind, 256).unwrap());
    let mut sets: Vec<_> = sets.map(Vec::into_iter).collect();
    let mut mixed = Vec::new();
    while mixed.len() < 256 * sets.len() {
        let before = mixed.len();
        mixed.extend(sets.iter_mut().filter_map(Iterator::next));
        if mixed.len() == before {
            break;
        }
    }
    mixed
}

const MANY: Bounds = Bounds {
    frames: 200_000,
    duration: Duration::from_secs(30),
};

#[test]
fn what_all_processors_offer_is_what_the_filter_counts_on_all_processors() {
    let mut defended = Defended::new();
    defended.attach();
    let frames = mixture();
    let different: std::collections::BTreeSet<_> = frames.iter().collect();
    assert!(different.len() > 3_000, "{} frames", different.len());
    let report = defended.pump(&frames, Pace::Flat, MANY);
    let shares = defended.processors.len() as u64;
    assert_eq!(report.offered, MANY.frames / shares * shares);
    assert_eq!(defended.settled(report.sent), report.sent, "{report:?}");
    let counted = defended.counted();
    for &kind in Kind::ALL
        .iter()
        .filter(|kind| !Forge::needs_capture(**kind))
    {
        let verdicts = kind.verdicts();
        let met = |(verdict, frames): &(Verdict, u64)| verdicts.contains(verdict) && *frames > 0;
        let made = kind != Kind::SelfGranted;
        assert_eq!(
            counted.iter().any(met),
            made,
            "{}: {counted:?}",
            kind.name()
        );
    }
}

#[test]
fn frames_that_another_program_takes_are_missing_from_the_count() {
    let mut defended = Defended::new();
    let index = defended.pair.index().unwrap();
    let thief = || kernel::Program::constant(1).unwrap().attach(index).unwrap();
    let thief = defended.pair.own.within(thief).unwrap();
    let report = defended.pump(&mixture(), Pace::Flat, MANY);
    assert!(report.sent > 0);
    assert_eq!(defended.total(), 0);
    drop(thief);
    defended.attach();
    let report = defended.pump(&mixture(), Pace::Flat, MANY);
    assert_eq!(defended.settled(report.sent), report.sent);
}

#[test]
fn an_evenly_paced_flood_is_never_faster_than_its_pace() {
    const RATE: u64 = 20_000;
    let mut defended = Defended::new();
    defended.attach();
    defended.processors.truncate(1);
    let second = Bounds {
        frames: u64::MAX,
        duration: Duration::from_secs(1),
    };
    let report = defended.pump(&mixture(), Pace::Even(RATE), second);
    let most = report.seconds * RATE as f64 + 1.0;
    assert!(
        (1.0..=most).contains(&(report.offered as f64)),
        "{report:?}"
    );
    assert_eq!(defended.settled(report.sent), report.sent);
}

#[test]
fn frames_interspersed_in_a_flood_leave_once_each_in_their_order() {
    let mut defended = Defended::new();
    defended.attach();
    let forge = Forge::new(PEER_MAC, Captured::default());
    let others = Interspersed {
        frames: forge.frames(Kind::Magic, 100).unwrap(),
        per_second: 1_000,
    };
    let flood = forge.frames(Kind::ChainTooLong, 64).unwrap();
    let generator = defended.pair.generator().unwrap();
    let templates = Templates::load_mixed(&flood, Pace::Flat, 50_000, &others).unwrap();
    let loaded = [templates];
    let never = AtomicBool::new(false);
    let pump = || generator.pump_loaded(&loaded, &[0], MANY, &never);
    let report = defended.pair.attacker.within(pump).unwrap().unwrap();
    assert_eq!(
        (report.offered, loaded[0].interspersed().unwrap()),
        (50_000, 100)
    );
    assert_eq!(report.sent + report.dropped, 50_100);
    assert_eq!(defended.settled(report.sent), report.sent);
    let count = |verdict| {
        let counted = defended.counted();
        counted
            .iter()
            .find(|(other, _)| *other == verdict)
            .unwrap()
            .1
    };
    assert_eq!(
        count(Verdict::Magic) + count(Verdict::ChainTooLong),
        report.sent
    );
    assert!(count(Verdict::Magic) <= 100 && count(Verdict::Magic) > 90);
    let moments: Vec<u64> = (0..100).map(|n| loaded[0].sent_at(n).unwrap()).collect();
    assert!(moments[0] > 0 && moments.is_sorted(), "{moments:?}");
    let lasted = Duration::from_nanos(moments[99] - moments[0]);
    assert!(lasted >= Duration::from_millis(95), "{lasted:?}");
}
