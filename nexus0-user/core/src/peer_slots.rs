//! Which slot of the filter's peer maps is whose (R8, R9): whoever goes and comes back finds its windows again.

use std::collections::BTreeMap;

use nexus0_common::maps::MAX_PEERS;

use crate::id::NodeId;

/// A slot that a node has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    /// Its index.
    pub(crate) slot: u32,
    /// Somebody else's windows, or nobody's, are in it: they must be cleared before the node is known.
    pub(crate) cleared: bool,
    /// Who was made unknown for it.
    pub(crate) instead: Option<NodeId>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Slot {
    /// Nobody has or had it.
    #[default]
    Fresh,
    /// Its node is known.
    Held,
    /// Its node went.
    Left,
}

/// All slots.
#[derive(Debug)]
pub(crate) struct PeerSlots {
    held: BTreeMap<NodeId, u32>,
    /// Nodes that went and whose slots nobody has got since.
    left: BTreeMap<NodeId, u32>,
    /// Peers of an earlier controller that this one has not asked for yet.
    orphans: Vec<NodeId>,
    slots: [Slot; MAX_PEERS],
    next: u32,
}

impl PeerSlots {
    /// None taken.
    pub(crate) fn new() -> Self {
        Self {
            held: BTreeMap::new(),
            left: BTreeMap::new(),
            orphans: Vec::new(),
            slots: [Slot::Fresh; MAX_PEERS],
            next: 0,
        }
    }

    /// Taken as an earlier controller left them: by nodes known, and by nodes that went.
    pub(crate) fn adopted(held: Vec<([u8; 8], u32)>, left: Vec<([u8; 8], u32)>) -> Self {
        let node = |(id, slot)| (NodeId(id), slot);
        let mut slots = Self::new();
        slots.left = left.into_iter().map(node).collect();
        slots.held = held.into_iter().map(node).collect();
        slots.orphans = slots.held.keys().copied().collect();
        for slot in slots.left.clone().into_values() {
            slots.mark(slot, Slot::Left);
        }
        for slot in slots.held.clone().into_values() {
            slots.mark(slot, Slot::Held);
        }
        slots
    }

    /// The slot of a known node.
    pub(crate) fn get(&self, id: NodeId) -> Option<u32> {
        self.held.get(&id).copied()
    }

    /// Makes a node known; `None` if it is already, or if there is no room.
    pub(crate) fn install(&mut self, id: NodeId) -> Option<Seat> {
        self.orphans.retain(|orphan| *orphan != id);
        if self.held.contains_key(&id) {
            return None;
        }
        let mut instead = None;
        if self.held.len() >= MAX_PEERS {
            instead = Some(self.orphans.pop()?);
            instead.map(|orphan| self.remove(orphan));
        }
        let own = self.left.remove(&id);
        let slot = own.or_else(|| self.free())?;
        if own.is_none() && self.state(slot) == Slot::Left {
            self.left.retain(|_, left| *left != slot);
        }
        self.mark(slot, Slot::Held);
        self.held.insert(id, slot);
        Some(Seat {
            slot,
            cleared: own.is_none(),
            instead,
        })
    }

    /// Makes a node unknown; whether it was known.
    pub(crate) fn remove(&mut self, id: NodeId) -> bool {
        self.orphans.retain(|orphan| *orphan != id);
        let Some(slot) = self.held.remove(&id) else {
            return false;
        };
        self.mark(slot, Slot::Left);
        self.left.insert(id, slot);
        true
    }

    /// The next slot that nobody has or had, or else one that nobody has, going round, so that a slot rests after
    /// use.
    fn free(&mut self) -> Option<u32> {
        let all = MAX_PEERS as u32;
        let round = (self.next..all).chain(0..self.next);
        let mut fresh = round.clone();
        let fresh = fresh.find(|slot| self.state(*slot) == Slot::Fresh);
        let unheld = || round.clone().find(|slot| self.state(*slot) != Slot::Held);
        let slot = fresh.or_else(unheld)?;
        self.next = slot.saturating_add(1).checked_rem(all).unwrap_or(0);
        Some(slot)
    }

    fn state(&self, slot: u32) -> Slot {
        self.slots.get(slot as usize).copied().unwrap_or_default()
    }

    fn mark(&mut self, slot: u32, state: Slot) {
        if let Some(held) = self.slots.get_mut(slot as usize) {
            *held = state;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(index: usize) -> NodeId {
        NodeId((index as u64).to_be_bytes())
    }

    fn full() -> PeerSlots {
        let mut slots = PeerSlots::new();
        for index in 0..MAX_PEERS {
            let seat = slots.install(node(index)).unwrap();
            assert_eq!((seat.slot as usize, seat.cleared), (index, true));
        }
        slots
    }

    #[test]
    fn a_node_that_comes_back_finds_its_slot_and_one_that_is_known_gets_no_other() {
        let mut slots = PeerSlots::new();
        let first = slots.install(node(1)).unwrap();
        assert_eq!(slots.install(node(1)), None);
        assert!(slots.remove(node(1)) && !slots.remove(node(1)));
        assert_ne!(slots.install(node(2)).unwrap().slot, first.slot);
        let again = slots.install(node(1)).unwrap();
        assert_eq!((again.slot, again.cleared), (first.slot, false));
    }

    #[test]
    fn a_slot_that_was_left_is_given_away_last_and_then_belongs_to_its_new_node() {
        let mut slots = full();
        assert_eq!(slots.install(node(MAX_PEERS)), None, "no room");
        slots.remove(node(7));
        let seat = slots.install(node(MAX_PEERS)).unwrap();
        assert_eq!((seat.slot, seat.cleared, seat.instead), (7, true, None));
        slots.remove(node(9));
        let back = slots.install(node(7)).unwrap();
        assert_eq!((back.slot, back.cleared), (9, true), "7 is another's");
    }

    #[test]
    fn a_peer_of_an_earlier_controller_makes_room_unless_it_was_asked_for() {
        let held = (0..MAX_PEERS).map(|index| (node(index).0, index as u32));
        let mut slots = PeerSlots::adopted(held.collect(), Vec::new());
        for index in 1..MAX_PEERS {
            assert_eq!(slots.install(node(index)), None, "it has its slot");
        }
        let seat = slots.install(node(MAX_PEERS)).unwrap();
        assert_eq!((seat.slot, seat.instead), (0, Some(node(0))));
        assert_eq!(
            slots.install(node(MAX_PEERS + 1)),
            None,
            "all are asked for"
        );
    }
}
