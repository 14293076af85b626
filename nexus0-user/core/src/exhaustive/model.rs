//! The model that is handed to the checker, and what must hold in every world it reaches.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

use stateright::Property;

use super::act::Action;
use super::settle::Settled;
use super::watch;
use super::world::{Budget, Grants, Join, Line, MOST, Member, Order, Who, World, chain_id};

/// A defect planted into the election or the epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// Whoever was heard first is followed, whatever its rank.
    FirstHeardWins,
    /// Seniority by each node's own clock: everyone is the first it knew of.
    OwnClock,
    /// An older number is accepted.
    OlderNumber,
    /// A promotion is accepted while the anchor lives.
    DeposesTheLiving,
}

/// Where the nodes begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Everyone follows the first node.
    Settled,
    /// Nobody runs a chain, everyone asks.
    Cold,
}

/// Election and epochs of a few nodes on one link.
pub(super) struct Model {
    pub(super) nodes: Who,
    pub(super) grants: Grants,
    pub(super) start: Start,
    pub(super) budget: Budget,
    pub(super) broken: Option<Broken>,
    pub(super) settled: Mutex<BTreeMap<u64, Settled>>,
}

impl Model {
    pub(super) fn new(nodes: Who, start: Start, budget: Budget) -> Self {
        Self {
            nodes,
            grants: Grants {
                egos: [40, 30, 20, 10],
                serials: [0, 1, 2, 3],
            },
            start,
            budget,
            broken: None,
            settled: Mutex::default(),
        }
    }

    /// Equal egos, and serials against the order in which the nodes came.
    pub(super) fn contrary(self) -> Self {
        let grants = Grants {
            egos: [50; MOST],
            serials: [3, 2, 1, 0],
        };
        Self { grants, ..self }
    }

    pub(super) fn broken(self, broken: Broken) -> Self {
        Self {
            broken: Some(broken),
            ..self
        }
    }

    fn member(&self) -> Member {
        let mut node = Member::down();
        node.up = true;
        match self.start {
            Start::Settled => {
                let all: Vec<Who> = (0..self.nodes).collect();
                let mut line = Line::new(1, 1, 0);
                line.pulse_age = 0;
                node.line = Some(line);
                node.order = Order::of(&all);
                node.fence.raise(chain_id(1), 1);
            }
            Start::Cold => {
                node.join = Some(Join {
                    settled: false,
                    held: 0,
                    was_held: false,
                    taken: None,
                });
            }
        }
        node
    }
}

impl stateright::Model for Model {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let nodes = (0..self.nodes).map(|_| self.member()).collect();
        vec![World {
            nodes,
            flights: Vec::new(),
            cut: 0,
            left: self.budget,
            breach: None,
        }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.breach.is_none() {
            self.steps(world, actions);
            Self::faults(world, actions);
        }
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = self.apply(world.clone(), action);
        next.breach = watch::breach(&self.grants, world, &next, &action);
        let next = next.canonical();
        (next != *world).then_some(next)
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.left.chains <= self.budget.chains
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("a chain has at most one anchor", |_, world: &World| {
                watch::one_anchor_per_chain(world)
            }),
            Property::always("no older number is accepted", |_, world: &World| {
                world.breach != Some(super::world::Breach::OlderNumber)
            }),
            Property::always("a living anchor is not deposed", |_, world: &World| {
                world.breach != Some(super::world::Breach::Deposed)
            }),
            Property::always(
                "without faults the mesh converges",
                |model: &Self, world: &World| model.settle(world).is_some(),
            ),
            Property::always(
                "the maximum is the anchor",
                |model: &Self, world: &World| model.maximum_wins(world),
            ),
            Property::sometimes("two anchors reign on one link", |_, world: &World| {
                world.cut == 0
                    && world
                        .everyone()
                        .filter(|who| world.node(*who).reigns(*who))
                        .count()
                        > 1
            }),
            Property::sometimes("two chains have one parent", |_, world: &World| {
                watch::siblings(world)
            }),
        ]
    }
}

pub(super) fn name(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}
