//! Three judges of the same frames: the program in the kernel, the host's `classify`, the oracle. All three are
//! told the same changes; a verdict is compared by its name.

use std::mem::offset_of;
use std::time::Duration;

use aya::maps::{Array, Map, MapData, MapInfo};
use nexus0::dataplane::{Events, KernelMaps, Program};
use nexus0_common::auth::FrameKey;
use nexus0_common::classify::classify;
use nexus0_common::door::HALVES;
use nexus0_common::maps::{Config, DOOR_CELLS, DOOR_SLOT, Door, Keys, Own, Peer, Rate};
use nexus0_common::memory::MemoryMaps;
use nexus0_common::reason::Verdict;
use nexus0_common::wire::PORT;
use nexus0_core::filter::{Filter, MapOp, Maps};
use nexus0_core::id::{KeyId, MeshId, NodeId};
use nexus0_core::time::Time;

use crate::oracle::{self, Name, Oracle};
use crate::world::{boot_time, kernel_verdict};

/// Nanoseconds within which everybody has been asked, on a machine that is busy with other things too.
const SLACK: u64 = 100_000_000;
const CELL_KEY: [u64; 2] = [11, 12];
const PEER_WORDS: usize = size_of::<Peer>() / 8;
const DOOR_WORDS: usize = size_of::<Door>() / 8;

/// A key of the test: what it is made of, and as frames and filters want it.
#[derive(Clone, Copy)]
pub(crate) struct TestKey {
    pub(crate) frame: FrameKey,
    mac: [u8; 32],
    pre_tag: [u8; 16],
}

impl TestKey {
    pub(crate) fn new(number: u8) -> Self {
        let (mac, pre_tag) = ([number; 32], [number; 16]);
        Self {
            frame: FrameKey::new([number; 4], &mac, &pre_tag),
            mac,
            pre_tag,
        }
    }

    fn install(&self, from: u64, to: u64) -> MapOp {
        MapOp::InstallKey {
            key_id: KeyId(self.frame.id),
            pre_tag: self.frame.pre_tag,
            inner: self.frame.midstates.inner,
            outer: self.frame.midstates.outer,
            not_before: Time(from),
            not_after: Time(to),
        }
    }

    fn for_oracle(&self, from: u64, to: u64) -> oracle::Key {
        oracle::Key {
            mac: self.mac,
            pre_tag: self.pre_tag,
            from,
            to,
        }
    }
}

/// What is done to all three.
#[derive(Clone)]
pub(crate) enum Change {
    InstallKey(TestKey, u64, u64),
    SetKeyEnd([u8; 4], u64),
    RemoveKey([u8; 4]),
    InstallPeer([u8; 8]),
    RemovePeer([u8; 8]),
    CommitSigned([u8; 8], [u8; 4], u64),
    Joining(bool),
    Addresses(Vec<[u8; 16]>),
    /// The two door nonces, and the first bytes of the request.
    Own([[u8; 4]; 2], [u8; 8]),
    Rates([Rate; 3]),
}

/// The verdicts on one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdicts {
    pub(crate) host: Verdict,
    pub(crate) oracle: Name,
    /// `None` where no kernel is asked.
    pub(crate) kernel: Option<Verdict>,
}

impl Verdicts {
    pub(crate) fn agree(&self) -> bool {
        self.host.name() == self.oracle && self.kernel.is_none_or(|kernel| kernel == self.host)
    }
}

/// The three of them and their clock.
pub(crate) struct Judges {
    host: Filter<MemoryMaps>,
    pub(crate) oracle: Oracle,
    kernel: Option<Kernel>,
    now: u64,
}

impl Judges {
    /// With the kernel the clock is that of the machine, advanced by what was stepped; without, it stands still
    /// between steps.
    pub(crate) fn new(with_kernel: bool, rate: Rate) -> Self {
        let door = TestKey::new(9);
        let mut config = Config::new(PORT, CELL_KEY);
        config.sample_shift = [0; 64];
        (config.member, config.source, config.door) = (rate, rate, rate);
        let now = boot_time();
        let rate = oracle::Rate {
            interval: rate.interval,
            burst: rate.burst,
        };
        let door_key = door.for_oracle(0, u64::MAX);
        Self {
            host: filter(MemoryMaps::new(config), config, &door, now),
            oracle: Oracle::new(PORT, CELL_KEY, door.frame.id, door_key, rate),
            kernel: with_kernel.then(|| Kernel::new(config, &door, now)),
            now,
        }
    }

    pub(crate) fn now(&self) -> u64 {
        match &self.kernel {
            Some(kernel) => boot_time() + kernel.ahead,
            None => self.now,
        }
    }

    pub(crate) fn judge(&mut self, frame: &[u8]) -> Verdicts {
        let now = self.now();
        if self.kernel.is_some() && (now + SLACK) >> 33 != now >> 33 {
            // Tags are forgotten in this very moment: not for one earlier than for the other.
            std::thread::sleep(Duration::from_nanos(SLACK));
        }
        let now = self.now();
        let maps = self.host.maps_mut();
        maps.now = now;
        Verdicts {
            host: classify(frame, &*maps),
            oracle: self.oracle.judge(now, frame),
            kernel: self.kernel.as_mut().map(|kernel| kernel.judge(frame)),
        }
    }

    pub(crate) fn step(&mut self, span: u64) {
        self.now += span;
        if let Some(kernel) = &mut self.kernel {
            kernel.step(span);
        }
    }

    pub(crate) fn change(&mut self, change: &Change) {
        let now = self.now();
        apply(&mut self.host, change, 0, now);
        if let Some(kernel) = &mut self.kernel {
            apply(&mut kernel.filter, change, kernel.ahead, now);
        }
        tell(&mut self.oracle, change, now);
    }
}

/// A filter over fresh maps that holds the door's key of the test instead of a mesh's.
fn filter<M: Maps>(mut maps: M, config: Config, door: &TestKey, now: u64) -> Filter<M>
where
    M::Error: std::fmt::Debug,
{
    maps.write_config(&config).expect("configured");
    let mut filter = Filter::adopt(maps, MeshId([1; 16]), config, Time(now)).expect("adopted");
    let slot = door.frame.slot(0, u64::MAX, 0);
    filter
        .maps_mut()
        .write_key_slot(DOOR_SLOT, &slot)
        .expect("the door's key");
    filter
        .maps_mut()
        .write_key_id(DOOR_SLOT, door.frame.slot_id())
        .expect("its id");
    filter
}

/// Does it to a filter whose clock is `behind`.
fn apply<M: Maps>(filter: &mut Filter<M>, change: &Change, behind: u64, now: u64)
where
    M::Error: std::fmt::Debug,
{
    let at = |time: u64| time.saturating_sub(behind);
    let op = match change {
        Change::InstallKey(key, from, to) => key.install(at(*from), at(*to)),
        Change::SetKeyEnd(id, to) => MapOp::SetKeyEnd {
            key_id: KeyId(*id),
            not_after: Time(at(*to)),
        },
        Change::RemoveKey(id) => MapOp::RemoveKey { key_id: KeyId(*id) },
        Change::InstallPeer(id) => MapOp::InstallPeer(NodeId(*id)),
        Change::RemovePeer(id) => MapOp::RemovePeer(NodeId(*id)),
        Change::CommitSigned(sender, key, sequence) => MapOp::CommitSigned {
            sender: NodeId(*sender),
            key_id: KeyId(*key),
            sequence: *sequence,
            now: Time(at(now)),
        },
        Change::Joining(joining) => MapOp::Joining(*joining),
        Change::Addresses(addresses) => MapOp::Addresses(addresses.clone()),
        Change::Own(nonces, request) => {
            let own = Own {
                nonces: nonces.map(u32::from_ne_bytes),
                request: u64::from_ne_bytes(*request),
            };
            return filter
                .configure(|config| config.own = own)
                .expect("configured");
        }
        Change::Rates([member, source, door]) => {
            let set = |config: &mut Config| {
                (config.member, config.source, config.door) = (*member, *source, *door);
            };
            return filter.configure(set).expect("configured");
        }
    };
    filter.apply(&op, Time(at(now))).expect("applied");
}

fn tell(oracle: &mut Oracle, change: &Change, now: u64) {
    match change {
        Change::InstallKey(key, from, to) => {
            oracle.install_key(key.frame.id, key.for_oracle(*from, *to));
        }
        Change::SetKeyEnd(id, to) => oracle.set_key_end(*id, *to),
        Change::RemoveKey(id) => oracle.remove_key(*id),
        Change::InstallPeer(id) => oracle.install_peer(*id),
        Change::RemovePeer(id) => oracle.remove_peer(*id),
        Change::CommitSigned(sender, key, sequence) => {
            oracle.commit_signed(*sender, *key, *sequence, now);
        }
        Change::Joining(joining) => oracle.joining = *joining,
        Change::Addresses(addresses) => oracle.addresses.clone_from(addresses),
        Change::Own(nonces, request) => (oracle.nonces, oracle.request) = (*nonces, *request),
        Change::Rates(rates) => {
            let [member, source, door] =
                rates.map(|Rate { interval, burst }| oracle::Rate { interval, burst });
            oracle.member_rate = member;
            (oracle.source_rate, oracle.stranger_rate) = (source, door);
        }
    }
}

/// More peer slots than any story fills.
const SLOTS_USED: u32 = 64;

/// The program. Its clock cannot be set, so a step forward moves all that it remembers back.
struct Kernel {
    program: Program,
    events: Events,
    filter: Filter<KernelMaps>,
    peers: Array<MapData, [u64; PEER_WORDS]>,
    door: Array<MapData, [u64; DOOR_WORDS]>,
    ahead: u64,
    accepted: u64,
}

impl Kernel {
    fn new(config: Config, door: &TestKey, now: u64) -> Self {
        let mut program = Program::load(None).expect("the filter loads as root");
        let maps = program.maps().expect("its maps open");
        let events = program.events().expect("its events open");
        Self {
            peers: words(&mut program, "WINDOWS"),
            door: words(&mut program, "DOOR"),
            program,
            events,
            filter: filter(maps, config, door, now),
            ahead: 0,
            accepted: 0,
        }
    }

    fn judge(&mut self, frame: &[u8]) -> Verdict {
        let (program, events) = (&mut self.program, &mut self.events);
        kernel_verdict(
            program,
            events,
            self.filter.maps(),
            &mut self.accepted,
            frame,
        )
    }

    fn step(&mut self, span: u64) {
        self.ahead += span;
        self.move_keys(span);
        // Senders that went keep their rows.
        for slot in 0..SLOTS_USED {
            let mut row = self.peers.get(&slot, 0).expect("a row");
            let arrival = &mut row[offset_of!(Peer, arrival) / 8];
            *arrival = arrival.saturating_sub(span);
            self.peers.set(slot, row, 0).expect("written");
            let signed = self.filter.maps().signed_arrival(slot).expect("a row");
            let signed = signed.saturating_sub(span);
            self.filter
                .maps_mut()
                .write_signed_arrival(slot, signed)
                .expect("written");
        }
        assert_eq!(
            span % (1 << 33),
            0,
            "tags are forgotten at the same instants"
        );
        for half in 0..HALVES as u32 {
            let mut door = self.door.get(&half, 0).expect("the door");
            let tags = offset_of!(Door, seen) / 8;
            for (index, word) in door.iter_mut().enumerate() {
                *word = if (tags..tags + DOOR_CELLS).contains(&index) {
                    0
                } else {
                    word.saturating_sub(span)
                };
            }
            self.door.set(half, door, 0).expect("written");
        }
    }

    /// Keys that ended before the clock began still end one before the other.
    fn move_keys(&mut self, span: u64) {
        let Keys { ids, slots } = self.filter.maps().keys().expect("keys");
        let held = ids.into_iter().zip(slots).enumerate();
        let mut held: Vec<_> = held
            .filter(|(slot, (id, _))| *slot != DOOR_SLOT && *id != 0)
            .map(|(_, key)| key)
            .collect();
        held.sort_by_key(|(_, key)| key.not_after);
        for (order, (id, key)) in held.into_iter().enumerate() {
            let end = key.not_after.saturating_sub(span).max(1 + order as u64);
            let moved = MapOp::InstallKey {
                key_id: KeyId(id.to_ne_bytes()),
                pre_tag: key.pre_tag,
                inner: key.inner,
                outer: key.outer,
                not_before: Time(key.not_before.saturating_sub(span)),
                not_after: Time(end),
            };
            self.filter.apply(&moved, Time(0)).expect("moved");
        }
    }
}

/// A map of the program as plain words.
fn words<const N: usize>(program: &mut Program, name: &str) -> Array<MapData, [u64; N]> {
    let ids = program
        .info()
        .expect("info")
        .map_ids()
        .expect("ids")
        .expect("ids of maps");
    let named = |id: &u32| MapInfo::from_id(*id).is_ok_and(|map| map.name_as_str() == Some(name));
    let id = ids
        .into_iter()
        .find(named)
        .unwrap_or_else(|| panic!("no map {name}"));
    let data = MapData::from_id(id).expect("the map opens");
    Array::try_from(Map::Array(data)).expect("an array of this size")
}
