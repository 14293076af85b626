//! What does a node decide from what it knows? Pure rules: `Node` and the exhaustive model call the same ones.

use core::time::Duration;

use crate::election::Rank;
use crate::epoch::Rhythm;
use crate::id::{ChainId, NodeId};
use crate::sabotage::{Sabotage, planted};

/// Own unanswered probes before a promotion.
const PROBES: u32 = 7;

/// How long the anchor was not heard, and whether it said that it is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Silence {
    /// Since its last sign of life.
    pub(crate) span: Duration,
    /// It said so over its signature.
    pub(crate) gone: bool,
}

impl Silence {
    /// The anchor has missed a pulse.
    pub(crate) fn suspect(&self, rhythm: Rhythm) -> bool {
        self.gone || self.span >= rhythm.pulses(5, 4)
    }

    /// The anchor has missed two pulses, jitter allowed for.
    pub(crate) fn lost(&self, rhythm: Rhythm) -> bool {
        self.gone || self.span >= rhythm.pulses(9, 4)
    }

    /// The anchor has missed three pulses; from here on ranks decide who goes first.
    pub(crate) fn over(&self, rhythm: Rhythm) -> bool {
        if planted(Sabotage::PromoteUnprobed) {
            return self.suspect(rhythm);
        }
        self.gone || self.span >= rhythm.pulses(3, 1)
    }

    /// Whether own probes went unanswered often enough, if they are needed.
    pub(crate) fn proved(&self, unanswered: u32) -> bool {
        self.gone || unanswered >= PROBES || planted(Sabotage::PromoteUnprobed)
    }
}

/// Where a node stands when it hears of a promotion.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Standing {
    /// The chain it is in.
    pub(crate) chain: ChainId,
    /// The chain that came from by promotion.
    pub(crate) parent: Option<ChainId>,
    /// The highest number taken up.
    pub(crate) number: u64,
    /// The parent's number at the promotion.
    pub(crate) parent_number: u64,
    /// Whom it follows.
    pub(crate) anchor: NodeId,
    /// Whether that is the node itself.
    pub(crate) reigns: bool,
    /// Whether the anchor is lost to it.
    pub(crate) lost: bool,
}

/// A member says that it is the anchor now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claim {
    /// Its new chain.
    pub(crate) chain: ChainId,
    /// The chain it wants to succeed.
    pub(crate) parent: ChainId,
    /// The new chain's first number.
    pub(crate) number: u64,
    /// Who.
    pub(crate) promoter: NodeId,
}

/// What a promotion is worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// The anchor is lost: follow the promoter.
    Follow,
    /// Of two promotions with one parent this one is better-ranked: follow it instead.
    Prefer,
    /// The anchor lives: say so.
    Object,
    /// Its number is not above what it succeeds (R4).
    Fenced,
    /// It concerns others.
    Ignore,
}

/// Judges a promotion. `outranks`: whether the promoter ranks above the anchor followed now.
pub(crate) fn judge(own: &Standing, claim: &Claim, outranks: bool) -> Judgement {
    if claim.parent == ChainId::default() || claim.chain == own.chain {
        return Judgement::Ignore;
    }
    if own.chain == claim.parent && claim.promoter != own.anchor {
        if own.reigns || !(own.lost || planted(Sabotage::ObeyAnyone)) {
            return Judgement::Object;
        }
        return above(claim.number, own.number, Judgement::Follow);
    }
    if own.parent == Some(claim.parent) && outranks {
        return above(claim.number, own.parent_number, Judgement::Prefer);
    }
    Judgement::Ignore
}

fn above(number: u64, held: u64, judgement: Judgement) -> Judgement {
    if number > held {
        judgement
    } else {
        Judgement::Fenced
    }
}

/// Whether a pulse of the old anchor shows that a promotion was wrong: it is newer than the last one the
/// promoter knew.
pub(crate) fn disproved(shown: u64, known: Option<u64>) -> bool {
    shown > known.unwrap_or(0)
}

/// Whether an anchor gives way to another one.
pub(crate) fn gives_way(own: &Rank, other: &Rank) -> bool {
    other < own
}

/// The number of a promotion: above everything the parent announced.
pub(crate) fn promoted_number(held: u64, announced: Option<u64>) -> u64 {
    announced.unwrap_or(held).max(held).saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Standing = Standing {
        chain: ChainId([1; 8]),
        parent: None,
        number: 5,
        parent_number: 0,
        anchor: NodeId([1; 8]),
        reigns: false,
        lost: true,
    };
    const CLAIM: Claim = Claim {
        chain: ChainId([2; 8]),
        parent: ChainId([1; 8]),
        number: 6,
        promoter: NodeId([2; 8]),
    };

    #[test]
    fn a_promotion_is_followed_only_with_the_anchor_lost_and_a_higher_number() {
        let alive = Standing { lost: false, ..OWN };
        let reigns = Standing {
            reigns: true,
            ..OWN
        };
        let old = Claim { number: 5, ..CLAIM };
        assert_eq!(judge(&OWN, &CLAIM, false), Judgement::Follow);
        assert_eq!(judge(&alive, &CLAIM, true), Judgement::Object);
        assert_eq!(judge(&reigns, &CLAIM, true), Judgement::Object);
        assert_eq!(judge(&OWN, &old, false), Judgement::Fenced);
    }

    #[test]
    fn of_two_promotions_the_better_is_preferred_and_the_worse_ignored() {
        let sibling = Standing {
            chain: ChainId([3; 8]),
            parent: Some(CLAIM.parent),
            parent_number: 5,
            lost: false,
            ..OWN
        };
        assert_eq!(judge(&sibling, &CLAIM, true), Judgement::Prefer);
        assert_eq!(judge(&sibling, &CLAIM, false), Judgement::Ignore);
        let old = Claim { number: 5, ..CLAIM };
        assert_eq!(judge(&sibling, &old, true), Judgement::Fenced);
    }

    #[test]
    fn a_promotions_number_is_above_what_was_announced() {
        assert_eq!(promoted_number(4, None), 5);
        assert_eq!(promoted_number(4, Some(5)), 6);
    }
}
