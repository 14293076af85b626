//! Numbers of a chain only grow at a node, and each number has one key there.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::ChainId;
use crate::node::Node;
use crate::time::Time;

/// The highest number of each chain that each controller was seen to follow.
#[derive(Debug, Default)]
pub(super) struct Fences(BTreeMap<(usize, ChainId), u64>);

impl Fences {
    /// A controller starts and knows nothing.
    pub(super) fn restart(&mut self, host: usize) {
        self.0.retain(|(other, _), _| *other != host);
    }

    /// Where a node stands now.
    pub(super) fn chain(&mut self, host: usize, node: &Node) -> Result<(), String> {
        let Some(lineage) = &node.lineage else {
            return Ok(());
        };
        let (chain, number) = (lineage.chain, lineage.number);
        let highest = self.0.entry((host, chain)).or_default();
        if number < *highest {
            return Err(format!("{number} of {chain} after {highest}"));
        }
        *highest = number;
        Ok(())
    }
}

/// Judges the keys that a node holds. `lied`: an answer may bring the right key of a number beside a lying
/// anchor's.
pub(super) fn keys(node: &Node, local: Time, lied: bool) -> Result<(), String> {
    let mut met = BTreeSet::new();
    for key in node.keys.iter() {
        let (chain, number) = (key.chain, key.number);
        if !met.insert((chain, number)) && !lied {
            return Err(format!("two keys for {number} of {chain}"));
        }
        let own = node
            .lineage
            .as_ref()
            .filter(|lineage| lineage.chain == chain);
        if key.activation > local && own.is_some_and(|lineage| number <= lineage.number) {
            return Err(format!("{number} of {chain} is to come again"));
        }
    }
    Ok(())
}
