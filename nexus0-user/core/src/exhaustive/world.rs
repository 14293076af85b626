//! What the model's world consists of: nodes, frames on their way, and the budget of faults.

use core::time::Duration;

pub(super) use super::flight::{Bye, Flight, Frame};
use super::flight::{frame_chains, rename_frame};
pub(super) use super::order::Order;
use crate::election::Rank;
use crate::epoch::Rhythm;
use crate::fence::Fence;
use crate::id::{ChainId, IdHash, NodeId};
use crate::rule::{Silence, Standing};

/// A node by index.
pub(super) type Who = u8;
/// A chain by number; zero is none.
pub(super) type Chain = u8;

/// Most nodes.
pub(super) const MOST: usize = 4;
/// Silence is counted to the three pulses after which a member promotes itself.
pub(super) const SILENCE_CAP: u8 = 3;
/// Ages of pulses are compared, up to one tick beyond.
pub(super) const AGE_CAP: u8 = SILENCE_CAP + 1;
/// No pulse known.
pub(super) const NEVER: u8 = u8::MAX;
/// A joiner that is told to hold, or was in a chain, waits four pulses.
pub(super) const HOLD_TICKS: u8 = 4;
/// The key of a chain left is honoured for one pulse.
pub(super) const TAIL_TICKS: u8 = 1;

/// The default rhythm: a tick is its pulse.
pub(super) const RHYTHM: Rhythm = Rhythm {
    pulse: Duration::from_secs(5),
    epoch: Duration::from_secs(60),
};

/// The chain a node is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Line {
    pub(super) chain: Chain,
    pub(super) parent: Chain,
    pub(super) number: u8,
    pub(super) parent_number: u8,
    pub(super) anchor: Who,
    /// The key of the next number is held.
    pub(super) announced: bool,
    /// Ticks since the anchor's last sign of life.
    pub(super) silence: u8,
    /// Ticks since the last known pulse was sent.
    pub(super) pulse_age: u8,
    /// The anchor said that it is none any more.
    pub(super) gone: bool,
}

impl Line {
    pub(super) fn new(chain: Chain, number: u8, anchor: Who) -> Self {
        Self {
            chain,
            parent: 0,
            number,
            parent_number: 0,
            anchor,
            announced: false,
            silence: 0,
            pulse_age: NEVER,
            gone: false,
        }
    }

    /// The highest number whose key is held.
    pub(super) fn held(&self) -> u8 {
        self.number + u8::from(self.announced)
    }

    /// As long as counted, or half a pulse longer.
    pub(super) fn silence(&self, longer: bool) -> Silence {
        Silence {
            span: RHYTHM.pulses(u32::from(self.silence) * 2 + u32::from(longer), 2),
            gone: self.gone,
        }
    }

    pub(super) fn standing(&self, me: Who, longer: bool) -> Standing {
        Standing {
            chain: chain_id(self.chain),
            parent: (self.parent != 0).then(|| chain_id(self.parent)),
            number: self.number.into(),
            parent_number: self.parent_number.into(),
            anchor: node_id(self.anchor),
            reigns: self.anchor == me,
            lost: self.silence(longer).lost(RHYTHM),
        }
    }
}

pub(super) fn chain_id(chain: Chain) -> ChainId {
    ChainId([chain; 8])
}

pub(super) fn node_id(who: Who) -> NodeId {
    NodeId([who + 1; 8])
}

/// An attempt to come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Join {
    /// A whole tick has passed since it began: it has settled.
    pub(super) settled: bool,
    /// Ticks for which no chain is started.
    pub(super) held: u8,
    /// Whether a hold was granted already.
    pub(super) was_held: bool,
    /// Whose answer was taken.
    pub(super) taken: Option<Who>,
}

/// What a promoter keeps of the chain it took over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Promotion {
    pub(super) old: Line,
    pub(super) order: Order,
    /// Pulses with which it is still repeated.
    pub(super) repeats: u8,
}

/// The key of a chain that was left, while it is still honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tail {
    pub(super) chain: Chain,
    pub(super) held: u8,
    pub(super) ticks: u8,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Member {
    pub(super) up: bool,
    pub(super) line: Option<Line>,
    pub(super) order: Order,
    pub(super) join: Option<Join>,
    pub(super) promotion: Option<Promotion>,
    pub(super) tail: Option<Tail>,
    /// The last promotion answered with STILL-HERE.
    pub(super) objected: Chain,
    /// The epoch turned in this tick: the key before is still honoured.
    pub(super) grace: bool,
    pub(super) fence: Fence,
}

impl Member {
    /// A node that does not run.
    pub(super) fn down() -> Self {
        Self {
            up: false,
            line: None,
            order: Order::default(),
            join: None,
            promotion: None,
            tail: None,
            objected: 0,
            grace: false,
            fence: Fence::default(),
        }
    }

    pub(super) fn reigns(&self, me: Who) -> bool {
        self.line.is_some_and(|line| line.anchor == me)
    }

    pub(super) fn chain(&self) -> Chain {
        self.line.map_or(0, |line| line.chain)
    }

    /// Whether a frame under this chain's key of this number can be read.
    pub(super) fn reads(&self, chain: Chain, number: u8) -> bool {
        let own = self.line.filter(|line| line.chain == chain);
        let current = own.is_some_and(|line| {
            let oldest = line.number - u8::from(self.grace);
            (oldest..=line.held()).contains(&number)
        });
        let left = self.tail.filter(|tail| tail.chain == chain);
        current || left.is_some_and(|tail| number <= tail.held)
    }
}

/// What must never happen in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Breach {
    /// A number not above the one held of that chain, or of the parent, was accepted.
    OlderNumber,
    /// A promotion was followed with the anchor neither lost, gone nor outranked.
    Deposed,
}

/// How often each fault may happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Budget {
    pub(super) crashes: u8,
    pub(super) restarts: u8,
    pub(super) leaves: u8,
    pub(super) cuts: u8,
    pub(super) late: u8,
    pub(super) copies: u8,
    pub(super) announcements: u8,
    pub(super) turns: u8,
    /// Chains that may come to be.
    pub(super) chains: u8,
}

/// The whole world.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) nodes: Vec<Member>,
    pub(super) flights: Vec<Flight>,
    /// The nodes on the other side of a partition, as bits; zero is one link.
    pub(super) cut: u8,
    pub(super) left: Budget,
    pub(super) breach: Option<Breach>,
}

impl World {
    pub(super) fn node(&self, who: Who) -> &Member {
        &self.nodes[usize::from(who)]
    }

    pub(super) fn node_mut(&mut self, who: Who) -> &mut Member {
        &mut self.nodes[usize::from(who)]
    }

    pub(super) fn everyone(&self) -> core::ops::Range<Who> {
        0..self.nodes.len() as Who
    }

    pub(super) fn side(&self, who: Who) -> u8 {
        (self.cut >> who) & 1
    }

    /// Both run, and frames pass between them.
    pub(super) fn connected(&self, a: Who, b: Who) -> bool {
        a != b && self.node(a).up && self.node(b).up && self.side(a) == self.side(b)
    }

    pub(super) fn put(&mut self, from: Who, to: Who, frame: Frame) {
        if self.connected(from, to) {
            let flight = Flight {
                from,
                to,
                frame,
                late: false,
            };
            let at = self.flights.partition_point(|other| *other < flight);
            self.flights.insert(at, flight);
        }
    }

    pub(super) fn multicast(&mut self, from: Who, frame: Frame) {
        self.everyone().for_each(|to| self.put(from, to, frame));
    }

    /// A chain number nobody uses.
    pub(super) fn fresh_chain(&self) -> Chain {
        let used = self.names();
        (1..=Chain::MAX)
            .find(|chain| !used.contains(chain))
            .expect("few chains")
    }

    /// All chains that somebody or some frame still names, in a canonical order.
    fn names(&self) -> Vec<Chain> {
        let mut names = Vec::with_capacity(8);
        let mut note = |chain: Chain| {
            if chain != 0 && !names.contains(&chain) {
                names.push(chain);
            }
        };
        for node in &self.nodes {
            let lines = [node.line, node.promotion.map(|promotion| promotion.old)];
            for line in lines.into_iter().flatten() {
                note(line.chain);
                note(line.parent);
            }
            node.tail.iter().for_each(|tail| note(tail.chain));
        }
        for flight in &self.flights {
            frame_chains(&flight.frame).into_iter().for_each(&mut note);
        }
        names
    }

    /// Names chains by the order of their appearance, and forgets those nobody can speak of again: worlds
    /// that differ only in names are one.
    pub(super) fn canonical(mut self) -> Self {
        let names = self.names();
        let rename = |chain: Chain| {
            names
                .iter()
                .position(|name| *name == chain)
                .map_or(0, |at| at as Chain + 1)
        };
        for node in &mut self.nodes {
            for line in node
                .line
                .iter_mut()
                .chain(node.promotion.iter_mut().map(|p| &mut p.old))
            {
                line.chain = rename(line.chain);
                line.parent = rename(line.parent);
            }
            if let Some(tail) = &mut node.tail {
                tail.chain = rename(tail.chain);
            }
            node.objected = rename(node.objected);
            let mut fence = Fence::default();
            for (name, new) in names.iter().zip(1..) {
                let number = node.fence.number(chain_id(*name));
                if number > 0 {
                    fence.raise(chain_id(new), number);
                }
            }
            node.fence = fence;
        }
        for flight in &mut self.flights {
            rename_frame(&mut flight.frame, rename);
        }
        self.flights.sort_unstable();
        self
    }
}

/// The grants: what the root signed of each node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grants {
    pub(super) egos: [u8; MOST],
    pub(super) serials: [u32; MOST],
}

impl Grants {
    pub(super) fn within(&self, order: &Order, who: Who) -> Rank {
        let seniority = order.position(who).unwrap_or(u32::MAX);
        Rank::new(self.egos[usize::from(who)], seniority, id_hash(who))
    }

    pub(super) fn between(&self, who: Who) -> Rank {
        let at = usize::from(who);
        Rank::new(self.egos[at], self.serials[at], id_hash(who))
    }
}

fn id_hash(who: Who) -> IdHash {
    IdHash([who + 1; 32])
}

/// One line per node, for people.
impl core::fmt::Display for World {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (who, node) in self.nodes.iter().enumerate() {
            write!(
                f,
                "    {who}{}",
                if self.side(who as Who) == 0 { "" } else { "'" }
            )?;
            if !node.up {
                write!(f, " down")?;
            }
            if let Some(line) = node.line {
                let role = if usize::from(line.anchor) == who {
                    "reigns in"
                } else {
                    "follows"
                };
                write!(f, " {role} {}'s chain {}", line.anchor, line.chain)?;
                write!(f, " of {} number {}", line.parent, line.number)?;
                write!(f, " silence {} pulse {}", line.silence, line.pulse_age)?;
                write!(
                    f,
                    "{}{}",
                    if line.announced { " next" } else { "" },
                    if line.gone { " gone" } else { "" }
                )?;
                write!(f, " order {:?}", node.order)?;
            }
            if let Some(join) = node.join {
                write!(f, " joins (held {}, settled {})", join.held, join.settled)?;
            }
            if let Some(promotion) = node.promotion {
                write!(
                    f,
                    " promoted over {} of {}",
                    promotion.old.chain, promotion.old.anchor
                )?;
            }
            if let Some(tail) = node.tail {
                write!(f, " tail {}", tail.chain)?;
            }
            writeln!(f)?;
        }
        for flight in &self.flights {
            writeln!(
                f,
                "    {} to {}: {:?}",
                flight.from, flight.to, flight.frame
            )?;
        }
        Ok(())
    }
}
