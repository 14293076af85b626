//! The one order: ego, seniority, id hash (R3). Nothing a node says of itself stands in it.

use core::cmp::Reverse;

use crate::grant::Grant;
use crate::id::IdHash;

/// A place in the one order. The smallest is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    ego: Reverse<u8>,
    seniority: u32,
    id_hash: Reverse<IdHash>,
}

impl Rank {
    /// Within a chain and its descendants: by the position in the succession.
    pub(crate) fn within(grant: &Grant, position: u32) -> Self {
        Self::new(grant.ego(), position, grant.id_hash())
    }

    /// From its three parts.
    pub(crate) fn new(ego: u8, seniority: u32, id_hash: IdHash) -> Self {
        Self {
            ego: Reverse(ego),
            seniority,
            id_hash: Reverse(id_hash),
        }
    }

    /// Between strangers: by the serial that the root gave.
    pub(crate) fn between(grant: &Grant) -> Self {
        Self::within(grant, grant.serial())
    }

    /// Why this rank stands before `other`, in words.
    pub(crate) fn reason(&self, other: &Self) -> &'static str {
        if self.ego != other.ego {
            "higher ego"
        } else if self.seniority != other.seniority {
            "equal ego, longer in the mesh"
        } else {
            "equal ego and seniority, higher id hash"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rank((ego, seniority, id): (u8, u32, u8)) -> Rank {
        Rank::new(ego, seniority, IdHash([id; 32]))
    }

    #[test]
    fn ego_beats_seniority_beats_id_hash() {
        assert!(rank((9, 9, 0)) < rank((8, 0, 9)));
        assert!(rank((9, 0, 0)) < rank((9, 1, 9)));
        assert!(rank((9, 1, 9)) < rank((9, 1, 8)));
    }

    proptest! {
        #[test]
        fn the_best_does_not_depend_on_who_was_heard_first(
            mut nodes in proptest::collection::vec((0..3_u8, 0..3_u32, any::<u8>()), 1..20),
            turn in 0..20_usize,
        ) {
            let best = nodes.iter().copied().map(rank).min();
            let turn = turn % nodes.len();
            nodes.rotate_left(turn);
            prop_assert_eq!(nodes.iter().copied().map(rank).min(), best);
            nodes.reverse();
            prop_assert_eq!(nodes.iter().copied().map(rank).min(), best);
        }
    }
}
