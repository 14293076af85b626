//! The order of writes is what readers on other processors rely on.

use core::convert::Infallible;

use nexus0_common::maps::{MAX_PEERS, WINDOW_WORDS};
use nexus0_common::memory::MemoryMaps;
use nexus0_common::wire::PORT;

use super::*;

/// What was written, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Write {
    Slot(usize),
    Id(usize, u32),
    ClearGeneration(usize),
    Peer([u8; 8], u32),
    RemovePeer([u8; 8]),
    ClearPeer(u32),
}

/// Maps in memory that remember the order of writes.
struct Recorder {
    maps: MemoryMaps,
    writes: Vec<Write>,
}

impl Maps for Recorder {
    type Error = Infallible;

    fn keys(&self) -> Result<Keys, Infallible> {
        Maps::keys(&self.maps)
    }
    fn write_key_slot(&mut self, slot: usize, key: &KeySlot) -> Result<(), Infallible> {
        self.writes.push(Write::Slot(slot));
        self.maps.write_key_slot(slot, key)
    }
    fn write_key_id(&mut self, slot: usize, id: u32) -> Result<(), Infallible> {
        self.writes.push(Write::Id(slot, id));
        self.maps.write_key_id(slot, id)
    }
    fn clear_generation(&mut self, generation: usize) -> Result<(), Infallible> {
        self.writes.push(Write::ClearGeneration(generation));
        Maps::clear_generation(&mut self.maps, generation)
    }
    fn peers(&self) -> Result<Vec<([u8; 8], u32)>, Infallible> {
        Maps::peers(&self.maps)
    }
    fn departed(&self) -> Result<Vec<([u8; 8], u32)>, Infallible> {
        self.maps.departed()
    }
    fn clear_peers(&mut self) -> Result<(), Infallible> {
        self.maps.clear_peers()
    }
    fn write_peer(&mut self, id: [u8; 8], slot: u32) -> Result<(), Infallible> {
        self.writes.push(Write::Peer(id, slot));
        self.maps.write_peer(id, slot)
    }
    fn remove_peer(&mut self, id: [u8; 8]) -> Result<(), Infallible> {
        self.writes.push(Write::RemovePeer(id));
        self.maps.remove_peer(id)
    }
    fn clear_peer(&mut self, slot: u32) -> Result<(), Infallible> {
        self.writes.push(Write::ClearPeer(slot));
        Maps::clear_peer(&mut self.maps, slot)
    }
    fn signed_word(&self, slot: u32, generation: usize, word: usize) -> Result<u64, Infallible> {
        self.maps.signed_word(slot, generation, word)
    }
    fn write_signed_word(
        &mut self,
        slot: u32,
        generation: usize,
        word: usize,
        value: u64,
    ) -> Result<(), Infallible> {
        self.maps.write_signed_word(slot, generation, word, value)
    }
    fn signed_arrival(&self, slot: u32) -> Result<u64, Infallible> {
        Maps::signed_arrival(&self.maps, slot)
    }
    fn write_signed_arrival(&mut self, slot: u32, arrival: u64) -> Result<(), Infallible> {
        self.maps.write_signed_arrival(slot, arrival)
    }
    fn config(&self) -> Result<Config, Infallible> {
        Maps::config(&self.maps)
    }
    fn write_config(&mut self, config: &Config) -> Result<(), Infallible> {
        self.maps.write_config(config)
    }
}

const MESH: MeshId = MeshId([1; 16]);
const NOW: Time = Time(1000);

fn fresh() -> Recorder {
    Recorder {
        maps: MemoryMaps::new(Config::new(PORT, [1, 2])),
        writes: Vec::new(),
    }
}

fn adopt(maps: Recorder, mesh: MeshId) -> Filter<Recorder> {
    let Ok(mut filter) = Filter::adopt(maps, mesh, Config::new(PORT, [1, 2]), NOW);
    filter.maps.writes.clear();
    filter
}

fn key(byte: u8, end: u64) -> MapOp {
    MapOp::InstallKey {
        key_id: KeyId([byte; 4]),
        pre_tag: [u64::from(byte); 2],
        inner: [1; 8],
        outer: [2; 8],
        not_before: Time(0),
        not_after: Time(end),
    }
}

fn apply(filter: &mut Filter<Recorder>, op: &MapOp) -> Vec<Write> {
    let Ok(()) = filter.apply(op, NOW);
    core::mem::take(&mut filter.maps.writes)
}

#[test]
fn a_keys_windows_are_cleared_first_and_its_id_is_written_last() {
    let mut filter = adopt(fresh(), MESH);
    let writes = apply(&mut filter, &key(5, 100));
    let id = KeyId([5; 4]).slot_id();
    assert_eq!(
        writes,
        [Write::ClearGeneration(0), Write::Slot(1), Write::Id(1, id)]
    );
}

#[test]
fn removing_a_key_clears_its_id_before_anything_else() {
    let mut filter = adopt(fresh(), MESH);
    apply(&mut filter, &key(5, 100));
    assert_eq!(
        apply(
            &mut filter,
            &MapOp::RemoveKey {
                key_id: KeyId([5; 4])
            }
        ),
        [Write::Id(1, 0)]
    );
}

#[test]
fn a_slot_rests_after_use_as_long_as_possible() {
    let mut filter = adopt(fresh(), MESH);
    let mut used = Vec::new();
    for byte in 1..=14 {
        let writes = apply(&mut filter, &key(byte, 100));
        used.extend(writes.iter().filter_map(|write| match write {
            Write::Slot(slot) => Some(*slot),
            _ => None,
        }));
        apply(
            &mut filter,
            &MapOp::RemoveKey {
                key_id: KeyId([byte; 4]),
            },
        );
    }
    assert_eq!(used, [1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn a_fifth_key_takes_the_windows_of_the_one_that_ends_first() {
    let mut filter = adopt(fresh(), MESH);
    for (byte, end) in [(1, 40), (2, 10), (3, 30), (4, 20)] {
        apply(&mut filter, &key(byte, end));
    }
    let writes = apply(&mut filter, &key(5, 50));
    let id = KeyId([5; 4]).slot_id();
    let expected = [
        Write::Id(2, 0),
        Write::ClearGeneration(1),
        Write::Slot(5),
        Write::Id(5, id),
    ];
    assert_eq!(writes, expected);
}

#[test]
fn a_key_installed_again_keeps_slot_and_windows() {
    let mut filter = adopt(fresh(), MESH);
    apply(&mut filter, &key(1, 40));
    apply(&mut filter, &key(2, 40));
    assert_eq!(apply(&mut filter, &key(2, 90)), [Write::Slot(2)]);
    let Ok(keys) = filter.maps().keys();
    assert_eq!((keys.slots[2].not_after, keys.slots[2].generation), (90, 1));
}

#[test]
fn the_end_of_a_key_moves_in_place() {
    let mut filter = adopt(fresh(), MESH);
    apply(&mut filter, &key(1, 40));
    let op = MapOp::SetKeyEnd {
        key_id: KeyId([1; 4]),
        not_after: Time(70),
    };
    assert_eq!(apply(&mut filter, &op), [Write::Slot(1)]);
    let unknown = MapOp::SetKeyEnd {
        key_id: KeyId([9; 4]),
        not_after: Time(70),
    };
    assert_eq!(apply(&mut filter, &unknown), []);
}

#[test]
fn a_restarted_controller_keeps_keys_peers_and_windows() {
    let mut filter = adopt(fresh(), MESH);
    let peer = NodeId([7; 8]);
    apply(&mut filter, &key(1, 40));
    apply(&mut filter, &MapOp::InstallPeer(peer));
    let commit = MapOp::CommitSigned {
        sender: peer,
        key_id: KeyId([1; 4]),
        sequence: 33,
        now: NOW,
    };
    apply(&mut filter, &commit);
    let mut again = adopt(filter.into_maps(), MESH);
    assert_eq!(apply(&mut again, &MapOp::InstallPeer(peer)), []);
    assert_eq!(apply(&mut again, &key(1, 40)), [Write::Slot(1)]);
    let Ok(word) = again.maps().signed_word(0, 0, 1);
    assert_eq!(word, 1 << 32 | 2, "the sequence stays used up");
    assert_eq!(apply(&mut again, &key(2, 40))[0], Write::ClearGeneration(1));
}

#[test]
fn maps_of_another_mesh_are_emptied() {
    let mut filter = adopt(fresh(), MESH);
    apply(&mut filter, &key(1, 40));
    apply(&mut filter, &MapOp::InstallPeer(NodeId([7; 8])));
    let other = adopt(filter.into_maps(), MeshId([2; 16]));
    let Ok(keys) = other.maps().keys();
    assert_eq!(keys.ids[1..], [0; 7]);
    assert_ne!(keys.ids[0], 0, "the door is open");
    assert_eq!(other.maps().peers(), Ok(Vec::new()));
    assert_eq!(other.maps().departed(), Ok(Vec::new()));
}

#[test]
fn a_peer_slot_is_cleared_before_the_peer_is_known() {
    let mut filter = adopt(fresh(), MESH);
    let writes = apply(&mut filter, &MapOp::InstallPeer(NodeId([7; 8])));
    assert_eq!(writes, [Write::ClearPeer(0), Write::Peer([7; 8], 0)]);
    assert_eq!(apply(&mut filter, &MapOp::InstallPeer(NodeId([7; 8]))), []);
    apply(&mut filter, &MapOp::RemovePeer(NodeId([7; 8])));
    let writes = apply(&mut filter, &MapOp::InstallPeer(NodeId([8; 8])));
    assert_eq!(
        writes,
        [Write::ClearPeer(1), Write::Peer([8; 8], 1)],
        "slots rest too"
    );
}

#[test]
fn a_peer_that_returns_finds_its_windows_unless_another_took_its_slot() {
    let id = |index: usize| NodeId((index as u64).to_be_bytes());
    let mut filter = adopt(fresh(), MESH);
    apply(&mut filter, &MapOp::InstallPeer(id(0)));
    apply(&mut filter, &MapOp::RemovePeer(id(0)));
    let writes = apply(&mut filter, &MapOp::InstallPeer(id(0)));
    assert_eq!(writes, [Write::Peer(id(0).0, 0)], "nothing is cleared");
    apply(&mut filter, &MapOp::RemovePeer(id(0)));
    (1..=MAX_PEERS).for_each(|index| drop(apply(&mut filter, &MapOp::InstallPeer(id(index)))));
    apply(&mut filter, &MapOp::RemovePeer(id(5)));
    let writes = apply(&mut filter, &MapOp::InstallPeer(id(0)));
    assert!(matches!(writes[..], [Write::ClearPeer(_), Write::Peer(..)]));
}

#[test]
fn a_restarted_controller_gives_peers_that_had_left_their_windows_back() {
    let [left, stays, comes] = [7, 8, 9].map(|byte| NodeId([byte; 8]));
    let mut filter = adopt(fresh(), MESH);
    apply(&mut filter, &MapOp::InstallPeer(left));
    apply(&mut filter, &MapOp::InstallPeer(stays));
    apply(&mut filter, &MapOp::RemovePeer(left));
    let mut again = adopt(filter.into_maps(), MESH);
    let writes = apply(&mut again, &MapOp::InstallPeer(comes));
    assert_eq!(writes, [Write::ClearPeer(2), Write::Peer(comes.0, 2)]);
    let writes = apply(&mut again, &MapOp::InstallPeer(left));
    assert_eq!(writes, [Write::Peer(left.0, 0)], "nothing is cleared");
    let Ok(departed) = again.maps().departed();
    assert_eq!(departed, [], "it is back");
}

#[test]
fn a_restarted_controller_learns_which_keys_lost_their_windows() {
    let mut filter = adopt(fresh(), MESH);
    (1..=6).for_each(|byte| drop(apply(&mut filter, &key(byte, 40 + u64::from(byte)))));
    let again = adopt(filter.into_maps(), MESH);
    let worn = |filter: &Filter<Recorder>| filter.worn().map(|id| id.0[0]).collect::<Vec<_>>();
    assert_eq!(worn(&again), [2, 1], "four keys have room");
    let mut filter = again;
    let over = MapOp::RemoveKey {
        key_id: KeyId([2; 4]),
    };
    apply(&mut filter, &over);
    assert_eq!(worn(&filter), [1]);
    (7..100).for_each(|byte| drop(apply(&mut filter, &key(byte, 40 + u64::from(byte)))));
    assert_eq!(worn(&filter).len(), WORN, "the last ones");
    let other = adopt(filter.into_maps(), MeshId([2; 16]));
    assert!(worn(&other).is_empty());
}

#[test]
fn no_more_peers_than_slots_and_orphans_make_room() {
    let id = |index: usize| NodeId((index as u64).to_be_bytes());
    let mut filter = adopt(fresh(), MESH);
    (0..MAX_PEERS).for_each(|index| drop(apply(&mut filter, &MapOp::InstallPeer(id(index)))));
    assert_eq!(apply(&mut filter, &MapOp::InstallPeer(id(5000))), []);
    let mut again = adopt(filter.into_maps(), MESH);
    let writes = apply(&mut again, &MapOp::InstallPeer(id(5000)));
    assert!(matches!(
        writes[..],
        [Write::RemovePeer(_), Write::ClearPeer(_), Write::Peer(..)]
    ));
}

#[test]
fn joining_and_addresses_reach_the_settings() {
    let mut filter = adopt(fresh(), MESH);
    apply(&mut filter, &MapOp::Joining(true));
    apply(&mut filter, &MapOp::Addresses(vec![[3; 16]]));
    let Ok(config) = filter.maps().config();
    assert_eq!((config.flags, config.address_count), (flags::JOINING, 1));
    assert_eq!(config.addresses[0], [3; 16]);
    let own = Own {
        nonces: [1, 2],
        request: 3,
    };
    apply(&mut filter, &MapOp::Own(own));
    assert_eq!(filter.maps().maps.config.own, own);
    apply(&mut filter, &MapOp::Joining(false));
    assert_eq!(filter.config().flags, 0);
    let Ok(()) = filter.heartbeat(Time(77));
    assert_eq!(filter.maps().maps.config.heartbeat, 77);
}

const _: () = assert!(WINDOW_WORDS > 1);
