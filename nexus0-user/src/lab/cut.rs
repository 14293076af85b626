//! The link cut in two and made whole again: who stood on which side, how each side led itself, and how
//! long it took to become one mesh.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::api::types::Role;
use crate::lab::ledger::NodeName;
use crate::lab::options::OneWay;
use crate::lab::running::Lab;
use crate::lab::sieve::Sieve;

/// Which nodes a cut keeps apart.
#[derive(Clone, Debug)]
pub struct Sides {
    left: BTreeSet<usize>,
    count: usize,
    one_way: Option<OneWay>,
}

/// What one cut did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Cut {
    /// The sides that must lead themselves: both halves, or all but the one that a one-way cut left alone.
    pub sides: Vec<Side>,
    /// Different chains just before the heal.
    pub chains: usize,
    /// From the heal to the last node's following the one anchor.
    pub heal_ms: Option<u64>,
}

/// One side during a cut.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Side {
    /// Nodes.
    pub nodes: usize,
    /// Milliseconds after the cut at which they were first seen to follow one anchor of theirs.
    pub settled_ms: Option<u64>,
    /// The most anchors that were followed, or reigned, at one look after the bound for a cut of this kind.
    pub anchors: usize,
    /// Looks after that bound, and how many of them did not show one anchor that all of the side follow.
    pub looks: usize,
    /// See `looks`.
    pub disagreed: usize,
}

impl Sides {
    /// Halves that differ from round to round, or the anchor alone.
    pub fn of(count: usize, round: usize, anchor: usize, one_way: Option<OneWay>) -> Self {
        let left = match one_way {
            Some(_) => BTreeSet::from([anchor]),
            None => (0..count / 2)
                .map(|index| (index + round) % count)
                .collect(),
        };
        Self {
            left,
            count,
            one_way,
        }
    }

    /// Whether a node is on the first side.
    pub fn is_left(&self, index: usize) -> bool {
        self.left.contains(&index)
    }

    /// The sides that must lead themselves, as the answer to [`Self::is_left`].
    fn judged(&self) -> Vec<bool> {
        match self.one_way {
            Some(_) => vec![false],
            None => vec![true, false],
        }
    }

    fn members(&self, left: bool) -> usize {
        let inside = self.left.len();
        if left { inside } else { self.count - inside }
    }
}

impl Cut {
    /// Nothing seen yet.
    pub fn new(sides: &Sides) -> Self {
        let side = |left| Side {
            nodes: sides.members(left),
            ..Side::default()
        };
        Self {
            sides: sides.judged().into_iter().map(side).collect(),
            ..Self::default()
        }
    }

    /// Takes a look at both sides, this long after the cut.
    pub fn look(&mut self, lab: &Lab, sides: &Sides, since: Duration) {
        for (side, left) in self.sides.iter_mut().zip(sides.judged()) {
            let belongs = |index: usize| sides.is_left(index) == left;
            let agreed = lab.agreed_among(belongs).filter(|index| belongs(*index));
            if agreed.is_some() {
                side.settled_ms
                    .get_or_insert(u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
            }
            if since > lab.options.cut_bound() {
                side.looks += 1;
                side.disagreed += usize::from(agreed.is_none());
                side.anchors = side.anchors.max(anchors(lab, belongs));
            }
        }
        self.chains = chains(lab);
    }

    /// Whether every side had one anchor whenever it was looked at after the bound.
    pub fn led(&self) -> bool {
        let one = |side: &Side| side.looks > 0 && side.anchors == 1 && side.disagreed == 0;
        self.sides.iter().all(one)
    }
}

/// Nodes of a side that reign, or are followed by one of it, whichever are more.
fn anchors(lab: &Lab, belongs: impl Fn(usize) -> bool) -> usize {
    let all = lab.sights.iter().enumerate();
    let side = all.filter(|(index, _)| belongs(*index));
    let sights: Vec<_> = side.filter_map(|(_, sight)| sight.as_ref()).collect();
    let reigning = sights
        .iter()
        .filter(|sight| sight.status.role == Some(Role::Anchor))
        .count();
    let followed: BTreeSet<&String> = sights
        .iter()
        .filter_map(|sight| Some(&sight.status.anchor.as_ref()?.id))
        .collect();
    reigning.max(followed.len())
}

/// Different chains that running nodes are in.
fn chains(lab: &Lab) -> usize {
    let chains = lab.sights.iter().flatten();
    let chains: BTreeSet<&String> = chains
        .filter_map(|sight| sight.status.chain.as_ref())
        .collect();
    chains.len()
}

impl Lab {
    /// Cuts the link.
    pub fn cut(&mut self, sides: &Sides) -> Result<()> {
        let port = |index: usize| self.topology.nodes[index].port_index;
        let sieve = self.sieve()?;
        match sides.one_way {
            Some(OneWay::Mute) => sides.left.iter().try_for_each(|i| sieve.mute(port(*i)))?,
            Some(OneWay::Deaf) => sides.left.iter().try_for_each(|i| sieve.deafen(port(*i)))?,
            None => sieve.cut((0..self.nodes.len()).map(|i| (port(i), !sides.is_left(i))))?,
        }
        self.sever(sides);
        Ok(())
    }

    /// Makes the link whole; the moment, in nanoseconds of the boot clock.
    pub fn heal(&mut self, sides: &Sides) -> Result<u64> {
        self.poll()?;
        self.sever(sides);
        let ports = self.topology.nodes.iter().map(|node| node.port_index);
        let at = crate::daemon::now();
        self.sieve()?.heal(ports)?;
        Ok(at)
    }

    /// Frames under the keys in use, or announced, need not reach the other side. To be called again and
    /// again while the link is cut.
    pub fn sever(&mut self, sides: &Sides) {
        let names = sides.left.iter();
        let half: BTreeSet<NodeName> = names
            .map(|index| self.nodes[*index].admitted.id.clone())
            .collect();
        for sight in self.sights.iter().flatten() {
            for line in &sight.epochs.epochs {
                self.seen.ledger.sever(&line.key_id, &half);
            }
        }
    }

    /// Milliseconds from `healed` to the last change of anchor that any node made.
    pub fn followed_after(&self, healed: u64) -> u64 {
        let changes = self.sights.iter().flatten();
        let changes = changes.flat_map(|sight| &sight.status.failovers);
        let last = changes.map(|change| change.at_ns).max().unwrap_or(0);
        last.saturating_sub(healed) / 1_000_000
    }

    fn sieve(&self) -> Result<&Sieve> {
        let sieve = self.topology.sieve.as_ref();
        sieve.context("this lab was built without cuts and losses")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_differ_from_round_to_round_and_hold_all_nodes() {
        let sides: Vec<Sides> = (0..3).map(|round| Sides::of(5, round, 2, None)).collect();
        let left = |sides: &Sides| (0..5).filter(|i| sides.is_left(*i)).collect::<Vec<_>>();
        assert_eq!(left(&sides[0]), [0, 1]);
        assert_eq!(left(&sides[2]), [2, 3]);
        assert_eq!((sides[1].members(true), sides[1].members(false)), (2, 3));
    }

    #[test]
    fn a_one_way_cut_leaves_the_anchor_alone_and_judges_the_others() {
        let sides = Sides::of(5, 1, 2, Some(OneWay::Deaf));
        assert!(sides.is_left(2) && !sides.is_left(1));
        assert_eq!(Cut::new(&sides).sides.len(), 1);
        assert_eq!(Cut::new(&sides).sides[0].nodes, 4);
    }

    #[test]
    fn a_side_that_was_never_looked_at_or_had_two_anchors_was_not_led() {
        let mut cut = Cut::new(&Sides::of(4, 0, 0, None));
        assert!(!cut.led());
        for side in &mut cut.sides {
            (side.looks, side.anchors) = (3, 1);
        }
        assert!(cut.led());
        cut.sides[1].anchors = 2;
        assert!(!cut.led());
        (cut.sides[1].anchors, cut.sides[1].disagreed) = (1, 1);
        assert!(!cut.led());
    }
}
