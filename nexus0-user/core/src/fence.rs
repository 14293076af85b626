//! The highest number accepted of each chain: an older one is never accepted again (R4).

use std::collections::VecDeque;

use crate::id::ChainId;

/// Chains remembered.
const MAX_CHAINS: usize = 16;

/// The fence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Fence(VecDeque<(ChainId, u64)>);

impl Fence {
    /// The highest number accepted of a chain.
    pub(crate) fn number(&self, chain: ChainId) -> u64 {
        self.0
            .iter()
            .find(|(other, _)| *other == chain)
            .map_or(0, |(_, number)| *number)
    }

    /// Whether a number of a chain is older than one accepted before.
    pub(crate) fn refuses(&self, chain: ChainId, number: u64) -> bool {
        number < self.number(chain)
    }

    /// Table, rows, cap.
    pub(crate) fn tables(&self) -> Vec<(&'static str, usize, usize)> {
        vec![("chains", self.0.len(), MAX_CHAINS)]
    }

    /// All chains and their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ChainId, u64)> {
        self.0.iter().copied()
    }

    /// Raises a chain's number.
    pub(crate) fn raise(&mut self, chain: ChainId, number: u64) {
        if let Some((_, held)) = self.0.iter_mut().find(|(other, _)| *other == chain) {
            *held = number.max(*held);
            return;
        }
        if self.0.len() >= MAX_CHAINS {
            self.0.pop_front();
        }
        self.0.push_back((chain, number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_only_rises_and_stays_small() {
        let mut fence = Fence::default();
        fence.raise(ChainId([1; 8]), 7);
        fence.raise(ChainId([1; 8]), 5);
        assert_eq!(fence.number(ChainId([1; 8])), 7);
        for byte in 2..200 {
            fence.raise(ChainId([byte; 8]), 1);
        }
        assert_eq!(fence.0.len(), MAX_CHAINS);
    }
}
