//! Frames on their way.

use super::world::{Chain, Order, Who};

/// What travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Frame {
    /// ANCHOR, and the EPOCH and ROSTER that a member asks for if it lacks what ANCHOR names.
    Pulse {
        chain: Chain,
        number: u8,
        announced: bool,
        order: Order,
        age: u8,
    },
    /// EPOCH with the promotion flag, and the ANCHOR that follows it.
    Promotion {
        chain: Chain,
        parent: Chain,
        number: u8,
        under: u8,
        order: Order,
    },
    StillHere {
        chain: Chain,
        number: u8,
        age: u8,
    },
    Bye {
        chain: Chain,
        number: u8,
        reason: Bye,
    },
    Answer {
        chain: Chain,
        number: u8,
        announced: bool,
        order: Order,
    },
    /// ANSWER to an anchor that a better one asked to merge; it is waited for two seconds.
    Passage {
        chain: Chain,
        number: u8,
        announced: bool,
        order: Order,
    },
    /// MERGE of an anchor to its followers, into the winner's chain.
    Merge {
        chain: Chain,
        number: u8,
        into: Chain,
        into_number: u8,
        announced: bool,
        winner: Who,
        order: Order,
    },
}

/// Why someone says goodbye.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Bye {
    Leaving,
    SteppedBack,
}

/// A frame on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Flight {
    pub(super) from: Who,
    pub(super) to: Who,
    pub(super) frame: Frame,
    /// It outlives the end of this tick.
    pub(super) late: bool,
}

pub(super) fn frame_chains(frame: &Frame) -> [Chain; 2] {
    match frame {
        Frame::Pulse { chain, .. }
        | Frame::StillHere { chain, .. }
        | Frame::Bye { chain, .. }
        | Frame::Answer { chain, .. }
        | Frame::Passage { chain, .. } => [*chain, 0],
        Frame::Promotion { chain, parent, .. } => [*chain, *parent],
        Frame::Merge { chain, into, .. } => [*chain, *into],
    }
}

pub(super) fn rename_frame(frame: &mut Frame, rename: impl Fn(Chain) -> Chain) {
    match frame {
        Frame::Pulse { chain, .. }
        | Frame::StillHere { chain, .. }
        | Frame::Bye { chain, .. }
        | Frame::Answer { chain, .. }
        | Frame::Passage { chain, .. } => *chain = rename(*chain),
        Frame::Promotion { chain, parent, .. } => {
            *chain = rename(*chain);
            *parent = rename(*parent);
        }
        Frame::Merge { chain, into, .. } => {
            *chain = rename(*chain);
            *into = rename(*into);
        }
    }
}
