//! Who should lead: one anchor per connected part, and a new one is the first in the order of those present.

use crate::election::Rank;
use crate::node::Role;
use crate::sim::network::Sim;

impl Sim {
    /// Hosts that run and were not expelled, grouped by who hears whom; `None` while some hear only one way or through others.
    pub(crate) fn parts(&self) -> Option<Vec<Vec<usize>>> {
        let running: Vec<usize> = self.staying().map(|(index, _)| index).collect();
        let mut parts: Vec<Vec<usize>> = Vec::new();
        for index in running {
            let hears = |other: &usize| {
                !self.blocked.contains(&(*other, index)) && !self.blocked.contains(&(index, *other))
            };
            let silent = |other: &usize| {
                self.blocked.contains(&(*other, index)) && self.blocked.contains(&(index, *other))
            };
            let clean = parts
                .iter()
                .all(|part| part.iter().all(hears) || part.iter().all(silent));
            if !clean {
                return None;
            }
            match parts.iter_mut().find(|part| part.iter().all(hears)) {
                Some(part) => part.push(index),
                None => parts.push(vec![index]),
            }
        }
        Some(parts)
    }

    /// The one anchor of a part, if everyone in it follows that one.
    pub(crate) fn leader(&self, part: &[usize]) -> Result<usize, String> {
        let anchors: Vec<usize> = part
            .iter()
            .copied()
            .filter(|index| self.node(*index).role() == Role::Anchor)
            .collect();
        let [anchor] = anchors[..] else {
            return Err(format!("hosts {part:?} have anchors {anchors:?}"));
        };
        let chain = |index: usize| {
            self.node(index)
                .lineage
                .as_ref()
                .map(|lineage| lineage.chain)
        };
        let lost: Vec<usize> = part
            .iter()
            .copied()
            .filter(|index| chain(*index) != chain(anchor) || !self.node(*index).complete())
            .collect();
        if !lost.is_empty() {
            return Err(format!(
                "hosts {lost:?} do not follow anchor {anchor} in full"
            ));
        }
        Ok(anchor)
    }

    /// Who of those present must succeed an anchor: the first in the order that everyone shares.
    pub(crate) fn successor(&self, dead: usize, present: &[usize]) -> Option<usize> {
        let others = present.iter().copied().filter(|host| *host != dead);
        let node = self.node(others.clone().next()?);
        others.min_by_key(|host| node.roster.rank(self.id(*host)))
    }

    /// Which of several anchors' chains must win.
    pub(crate) fn best(&self, anchors: &[usize]) -> Option<usize> {
        let rank = |index: &usize| Rank::between(&self.nodes[*index].grant);
        anchors.iter().copied().min_by_key(rank)
    }
}
