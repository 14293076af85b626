//! From a node's wishes to the filter's maps: which slot, which window set, in which order (R8, R18).

use nexus0_common::maps::{
    ADDRESSES, Config, DOOR_SLOT, GENERATIONS, KEY_SLOTS, KeySlot, Keys, Own, SCHEMA, WORN, flags,
};
use nexus0_common::{rate, replay};

use crate::id::{KeyId, MeshId, NodeId};
use crate::peer_slots::PeerSlots;
use crate::secret::Material;
use crate::time::Time;

/// A change of the filter, as a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapOp {
    /// Accept frames under a key. An id that is already there keeps its windows.
    InstallKey {
        /// Names the key.
        key_id: KeyId,
        /// SipHash key of the pre-tag.
        pre_tag: [u64; 2],
        /// SHA-256 state after the HMAC inner pad.
        inner: [u32; 8],
        /// SHA-256 state after the HMAC outer pad.
        outer: [u32; 8],
        /// First instant of validity.
        not_before: Time,
        /// First instant after validity.
        not_after: Time,
    },
    /// Move the end of a key.
    SetKeyEnd {
        /// Names the key.
        key_id: KeyId,
        /// First instant after validity.
        not_after: Time,
    },
    /// Forget a key.
    RemoveKey {
        /// Names the key.
        key_id: KeyId,
    },
    /// Accept frames of a member.
    InstallPeer(NodeId),
    /// Refuse frames of a node.
    RemovePeer(NodeId),
    /// A signed frame was verified: its sequence is used up.
    CommitSigned {
        /// The member.
        sender: NodeId,
        /// The key it was tagged under.
        key_id: KeyId,
        /// The sequence.
        sequence: u64,
        /// When it was verified.
        now: Time,
    },
    /// Whether answers and holds may pass.
    Joining(bool),
    /// What binds frames at the door to this node.
    Own(Own),
    /// The interface's addresses.
    Addresses(Vec<[u8; 16]>),
}

/// The primitive reads and writes of the filter's maps.
pub trait Maps {
    /// Why a map could not be read or written.
    type Error;

    /// All key slots.
    fn keys(&self) -> Result<Keys, Self::Error>;
    /// Writes a slot, not its id.
    fn write_key_slot(&mut self, slot: usize, key: &KeySlot) -> Result<(), Self::Error>;
    /// Writes a slot's id; zero empties the slot.
    fn write_key_id(&mut self, slot: usize, id: u32) -> Result<(), Self::Error>;
    /// Zeroes the windows of one generation, of all peers, in both peer maps.
    fn clear_generation(&mut self, generation: usize) -> Result<(), Self::Error>;
    /// All peers and their slots.
    fn peers(&self) -> Result<Vec<([u8; 8], u32)>, Self::Error>;
    /// Peers made unknown, and the slots that hold their windows as long as no other has got them.
    fn departed(&self) -> Result<Vec<([u8; 8], u32)>, Self::Error>;
    /// Makes all peers unknown, and those that were known before.
    fn clear_peers(&mut self) -> Result<(), Self::Error>;
    /// Makes a peer known.
    fn write_peer(&mut self, id: [u8; 8], slot: u32) -> Result<(), Self::Error>;
    /// Makes a peer unknown.
    fn remove_peer(&mut self, id: [u8; 8]) -> Result<(), Self::Error>;
    /// Zeroes windows and arrival times of a peer slot in both peer maps.
    fn clear_peer(&mut self, slot: u32) -> Result<(), Self::Error>;
    /// One word of a signed window.
    fn signed_word(&self, slot: u32, generation: usize, word: usize) -> Result<u64, Self::Error>;
    /// Writes one word of a signed window.
    fn write_signed_word(
        &mut self,
        slot: u32,
        generation: usize,
        word: usize,
        value: u64,
    ) -> Result<(), Self::Error>;
    /// Theoretical arrival time of a peer's next signed frame.
    fn signed_arrival(&self, slot: u32) -> Result<u64, Self::Error>;
    /// Writes it.
    fn write_signed_arrival(&mut self, slot: u32, arrival: u64) -> Result<(), Self::Error>;
    /// The settings.
    fn config(&self) -> Result<Config, Self::Error>;
    /// Writes the settings.
    fn write_config(&mut self, config: &Config) -> Result<(), Self::Error>;
}

/// The bookkeeping of one interface's filter.
#[derive(Debug)]
pub struct Filter<M> {
    maps: M,
    config: Config,
    keys: Keys,
    /// When each slot was last emptied: the one that rests longest is used next.
    rested: [u64; KEY_SLOTS],
    peers: PeerSlots,
    uses: u64,
}

impl<M: Maps> Filter<M> {
    /// Takes over maps, fresh or pinned by an earlier controller of the same mesh: keys and peers found
    /// there keep their slots and windows, so that nothing replays. `config` is written as given.
    pub fn adopt(maps: M, mesh: MeshId, config: Config, now: Time) -> Result<Self, M::Error> {
        let (keys, held) = (maps.keys()?, maps.config()?);
        let mut filter = Self {
            maps,
            config,
            keys,
            rested: [0; KEY_SLOTS],
            peers: PeerSlots::new(),
            uses: 0,
        };
        let door = Material::door(mesh);
        let door_id = filter.keys.ids.get(DOOR_SLOT).copied();
        if door_id != Some(door.id.slot_id()) || held.schema != SCHEMA {
            filter.wipe()?;
        } else {
            filter.config.worn = held.worn;
            let (known, left) = (filter.maps.peers()?, filter.maps.departed()?);
            filter.peers = PeerSlots::adopted(known, left);
        }
        filter.install_door(&door)?;
        filter.config.heartbeat = now.0;
        filter.write_config()?;
        Ok(filter)
    }

    /// Maps of another mesh, or fresh ones.
    fn wipe(&mut self) -> Result<(), M::Error> {
        for slot in 0..KEY_SLOTS {
            self.write_id(slot, 0)?;
        }
        self.maps.clear_peers()
    }

    fn install_door(&mut self, door: &Material) -> Result<(), M::Error> {
        let key = KeySlot {
            not_before: 0,
            not_after: u64::MAX,
            pre_tag: door.pre_tag,
            inner: door.midstates.inner,
            outer: door.midstates.outer,
            generation: 0,
            spare: 0,
        };
        self.write_slot(DOOR_SLOT, key)?;
        self.write_id(DOOR_SLOT, door.id.slot_id())
    }

    /// Whether accepted frames go to the sockets of their receive queues or through the stack.
    pub fn redirect(&mut self, on: bool) -> Result<(), M::Error> {
        let others = self.config.flags & !flags::REDIRECT;
        self.config.flags = others | if on { flags::REDIRECT } else { 0 };
        self.write_config()
    }

    /// Carries out one change.
    pub fn apply(&mut self, op: &MapOp, _now: Time) -> Result<(), M::Error> {
        match op {
            MapOp::InstallKey {
                key_id,
                pre_tag,
                inner,
                outer,
                not_before,
                not_after,
            } => {
                let key = KeySlot {
                    not_before: not_before.0,
                    not_after: not_after.0,
                    pre_tag: *pre_tag,
                    inner: *inner,
                    outer: *outer,
                    generation: 0,
                    spare: 0,
                };
                self.install_key(*key_id, key)
            }
            MapOp::SetKeyEnd { key_id, not_after } => {
                self.change_key(*key_id, |key| key.not_after = not_after.0)
            }
            MapOp::RemoveKey { key_id } => {
                self.unwear(*key_id)?;
                match self.slot_of(*key_id) {
                    Some(slot) => self.empty(slot),
                    None => Ok(()),
                }
            }
            MapOp::InstallPeer(id) => self.install_peer(*id),
            MapOp::RemovePeer(id) => self.remove_peer(*id),
            MapOp::CommitSigned {
                sender,
                key_id,
                sequence,
                now,
            } => self.commit_signed(*sender, *key_id, *sequence, *now),
            MapOp::Joining(joining) => {
                let others = self.config.flags & !flags::JOINING;
                self.config.flags = others | if *joining { flags::JOINING } else { 0 };
                self.write_config()
            }
            MapOp::Own(own) => {
                self.config.own = *own;
                self.write_config()
            }
            MapOp::Addresses(addresses) => {
                self.config.addresses = [[0; 16]; ADDRESSES];
                let rooms = self.config.addresses.iter_mut().zip(addresses);
                rooms.for_each(|(room, address)| *room = *address);
                self.config.address_count = addresses.len().min(ADDRESSES) as u8;
                self.write_config()
            }
        }
    }

    /// Says that the controller lives; to be called at least once a second.
    pub fn heartbeat(&mut self, now: Time) -> Result<(), M::Error> {
        self.config.heartbeat = now.0;
        self.write_config()
    }

    /// The maps.
    pub fn maps(&self) -> &M {
        &self.maps
    }

    /// The maps, for what is not a node's wish (modes, sampling).
    pub fn maps_mut(&mut self) -> &mut M {
        &mut self.maps
    }

    /// Gives the maps back, as they stay when a controller dies.
    pub fn into_maps(self) -> M {
        self.maps
    }

    /// The settings as last written.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Changes settings that are not a node's wish.
    pub fn configure(&mut self, change: impl FnOnce(&mut Config)) -> Result<(), M::Error> {
        change(&mut self.config);
        self.write_config()
    }

    /// A held id keeps its generation. A new one gets windows that are cleared before it is seen.
    fn install_key(&mut self, key_id: KeyId, key: KeySlot) -> Result<(), M::Error> {
        if self.slot_of(key_id).is_some() {
            return self.change_key(key_id, |held| {
                *held = KeySlot {
                    generation: held.generation,
                    ..key
                };
            });
        }
        let generation = match self.free_generation() {
            Some(generation) => generation,
            None => self.evict_key()?,
        };
        let Some(slot) = self.free_slot() else {
            return Ok(());
        };
        self.maps.clear_generation(generation as usize)?;
        self.write_slot(slot, KeySlot { generation, ..key })?;
        self.write_id(slot, key_id.slot_id())
    }

    fn live(&self) -> impl Iterator<Item = (usize, &KeySlot)> {
        let slots = self.keys.ids.iter().zip(&self.keys.slots).enumerate();
        slots
            .filter(|(slot, (id, _))| *slot != DOOR_SLOT && **id != 0)
            .map(|(slot, (_, key))| (slot, key))
    }

    fn free_generation(&self) -> Option<u32> {
        (0..GENERATIONS as u32).find(|wanted| self.live().all(|(_, key)| key.generation != *wanted))
    }

    /// Makes room by the key that ends first; its generation becomes free.
    fn evict_key(&mut self) -> Result<u32, M::Error> {
        let first = self.live().min_by_key(|(_, key)| key.not_after);
        let Some((slot, generation)) = first.map(|(slot, key)| (slot, key.generation)) else {
            return Ok(0);
        };
        self.wear(slot)?;
        self.empty(slot)?;
        Ok(generation)
    }

    /// Keys that lost their windows before their time was over, under this controller or one before it.
    pub fn worn(&self) -> impl Iterator<Item = KeyId> {
        let ids = self.config.worn.into_iter().filter(|id| *id != 0);
        ids.map(KeyId::from_slot_id)
    }

    /// Remembers a key for the next controller; the oldest ones are forgotten.
    fn wear(&mut self, slot: usize) -> Result<(), M::Error> {
        let id = self.keys.ids.get(slot).copied();
        let held = self.config.worn;
        self.remember(id.into_iter().chain(held))
    }

    /// The key's time is over.
    fn unwear(&mut self, key_id: KeyId) -> Result<(), M::Error> {
        let (id, held) = (key_id.slot_id(), self.config.worn);
        if !held.contains(&id) {
            return Ok(());
        }
        self.remember(held.into_iter().filter(|worn| *worn != id))
    }

    fn remember(&mut self, ids: impl Iterator<Item = u32>) -> Result<(), M::Error> {
        self.config.worn = [0; WORN];
        let rooms = self.config.worn.iter_mut();
        rooms
            .zip(ids.filter(|id| *id != 0))
            .for_each(|(room, id)| *room = id);
        self.write_config()
    }

    /// The empty slot that has rested longest.
    fn free_slot(&self) -> Option<usize> {
        let slots = self.keys.ids.iter().zip(&self.rested).enumerate();
        let free = slots.filter(|(slot, (id, _))| *slot != DOOR_SLOT && **id == 0);
        free.min_by_key(|(slot, (_, rested))| (**rested, *slot))
            .map(|(slot, _)| slot)
    }

    fn slot_of(&self, key_id: KeyId) -> Option<usize> {
        let id = key_id.slot_id();
        let slot = self
            .keys
            .ids
            .iter()
            .position(|held| *held == id && id != 0)?;
        (slot != DOOR_SLOT).then_some(slot)
    }

    /// Times change in place: each is one aligned word, and the rest of the key stays what it was.
    fn change_key(
        &mut self,
        key_id: KeyId,
        change: impl FnOnce(&mut KeySlot),
    ) -> Result<(), M::Error> {
        let Some(slot) = self.slot_of(key_id) else {
            return Ok(());
        };
        let Some(mut key) = self.keys.slots.get(slot).copied() else {
            return Ok(());
        };
        change(&mut key);
        self.write_slot(slot, key)
    }

    fn empty(&mut self, slot: usize) -> Result<(), M::Error> {
        self.write_id(slot, 0)?;
        self.uses += 1;
        if let Some(rested) = self.rested.get_mut(slot) {
            *rested = self.uses;
        }
        Ok(())
    }

    fn write_slot(&mut self, slot: usize, key: KeySlot) -> Result<(), M::Error> {
        if let Some(held) = self.keys.slots.get_mut(slot) {
            *held = key;
        }
        self.maps.write_key_slot(slot, &key)
    }

    fn write_id(&mut self, slot: usize, id: u32) -> Result<(), M::Error> {
        if let Some(held) = self.keys.ids.get_mut(slot) {
            *held = id;
        }
        self.maps.write_key_id(slot, id)
    }

    fn install_peer(&mut self, id: NodeId) -> Result<(), M::Error> {
        let Some(seat) = self.peers.install(id) else {
            return Ok(());
        };
        if let Some(other) = seat.instead {
            self.maps.remove_peer(other.0)?;
        }
        if seat.cleared {
            self.maps.clear_peer(seat.slot)?;
        }
        self.maps.write_peer(id.0, seat.slot)
    }

    fn remove_peer(&mut self, id: NodeId) -> Result<(), M::Error> {
        if self.peers.remove(id) {
            self.maps.remove_peer(id.0)?;
        }
        Ok(())
    }

    fn commit_signed(
        &mut self,
        sender: NodeId,
        key_id: KeyId,
        sequence: u64,
        now: Time,
    ) -> Result<(), M::Error> {
        let Some(peer) = self.peers.get(sender) else {
            return Ok(());
        };
        let Some(key) = self
            .slot_of(key_id)
            .and_then(|slot| self.keys.slots.get(slot))
        else {
            return Ok(());
        };
        let Some(position) = replay::position(sequence) else {
            return Ok(());
        };
        let generation = key.generation as usize;
        let word = self.maps.signed_word(peer, generation, position.word)?;
        if let Some(marked) = position.mark(word) {
            self.maps
                .write_signed_word(peer, generation, position.word, marked)?;
        }
        let arrival = self.maps.signed_arrival(peer)?;
        match rate::charge(arrival, now.0, &self.config.member) {
            Some(arrival) => self.maps.write_signed_arrival(peer, arrival),
            None => Ok(()),
        }
    }

    fn write_config(&mut self) -> Result<(), M::Error> {
        self.maps.write_config(&self.config)
    }
}

#[cfg(test)]
mod tests;
