//! The order of a mesh while its pages come in.

use nexus0_common::maps::MAX_PEERS;

use crate::id::NodeId;

/// Places in the order, and who is known to be there.
#[derive(Debug, Default)]
pub(crate) struct Draft(Vec<Option<NodeId>>);

impl Draft {
    /// Starts from an order.
    pub(crate) fn of(order: &[NodeId]) -> Self {
        Self(order.iter().copied().map(Some).collect())
    }

    /// Somebody's place. One that no mesh has is ignored.
    pub(crate) fn insert(&mut self, position: u16, id: NodeId) {
        let position = usize::from(position);
        if position > MAX_PEERS {
            return;
        }
        if self.0.len() <= position {
            self.0.resize(position + 1, None);
        }
        if let Some(place) = self.0.get_mut(position) {
            *place = Some(id);
        }
    }

    /// Forgets who is beyond so many members; the order, once it has no gap.
    pub(crate) fn order(&mut self, members: u16) -> Option<Vec<NodeId>> {
        self.0.truncate(usize::from(members));
        if self.0.len() < usize::from(members) {
            return None;
        }
        self.0.iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(index: u16) -> NodeId {
        NodeId(u64::from(index).to_be_bytes())
    }

    #[test]
    fn an_order_is_given_once_it_has_no_gap() {
        let mut draft = Draft::of(&[node(0), node(1)]);
        draft.insert(3, node(3));
        assert_eq!(draft.order(4), None, "2 is not known");
        assert_eq!(draft.order(5), None, "nor is 4");
        draft.insert(2, node(2));
        assert_eq!(draft.order(4), Some((0..4).map(node).collect()));
        assert_eq!(draft.order(2), Some(vec![node(0), node(1)]));
        assert_eq!(draft.order(3), None, "2 was forgotten");
    }

    #[test]
    fn a_full_mesh_has_an_order_and_places_beyond_it_take_no_room() {
        let (mut draft, full) = (Draft::default(), MAX_PEERS as u16 + 1);
        draft.insert(u16::MAX, node(1));
        assert_eq!(draft.order(u16::MAX), None);
        assert_eq!(draft.0.len(), 0);
        (0..full).for_each(|index| draft.insert(index, node(index)));
        assert_eq!(draft.order(full).map(|order| order.len()), Some(1025));
    }
}
