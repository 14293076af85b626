//! From any world, without further faults: does the mesh converge, how soon, and to whom?

use super::act::Action;
use super::model::{Model, name};
use super::world::{MOST, Who, World};

/// Ticks within which a mesh without faults must have converged.
pub(super) const LIMIT: u8 = 12;
/// Steps between two ticks; more is a livelock.
const STEPS: usize = 200;

/// How a world ends when no fault follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    /// Ticks until then.
    pub(super) ticks: u8,
    /// Whom each node follows in the end.
    pub(super) anchors: [Option<Who>; MOST],
}

impl Model {
    /// Lets everything be delivered and everyone act in the order of the ranks, tick by tick. `None`: no
    /// convergence within [`LIMIT`] ticks.
    pub(super) fn settle(&self, world: &World) -> Option<Settled> {
        let mut path = Vec::new();
        let mut world = world.clone();
        let mut end = None;
        for ticks in 0..=LIMIT {
            self.calm(&mut world)?;
            let name = name(&world);
            let known = self.settled.lock().unwrap().get(&name).copied();
            if let Some(known) = known {
                end = Some((ticks, known));
                break;
            }
            path.push(name);
            if converged(&world) {
                let anchors = followed(&world);
                end = Some((ticks, Settled { ticks: 0, anchors }));
                break;
            }
            world = self.apply(world, Action::Tick).canonical();
        }
        let (ticks, known) = end?;
        let total = ticks + known.ticks;
        if total > LIMIT {
            return None;
        }
        let mut memory = self.settled.lock().unwrap();
        for (name, after) in path.into_iter().zip(0..) {
            memory.insert(
                name,
                Settled {
                    ticks: total - after,
                    ..known
                },
            );
        }
        Some(Settled {
            ticks: total,
            ..known
        })
    }

    /// Everything that happens before time passes.
    fn calm(&self, world: &mut World) -> Option<()> {
        for _ in 0..STEPS {
            let Some(action) = self.urgent(world) else {
                return Some(());
            };
            *world = self.apply(world.clone(), action).canonical();
        }
        None
    }

    /// What a world does without faults, step by step, for people.
    pub(super) fn story(&self, world: &World) {
        let mut world = world.clone();
        for _ in 0..=LIMIT {
            for _ in 0..STEPS {
                let Some(action) = self.urgent(&world) else {
                    break;
                };
                println!("      {action:?}");
                world = self.apply(world.clone(), action).canonical();
            }
            println!("{world}");
            if converged(&world) {
                return;
            }
            world = self.apply(world, Action::Tick).canonical();
        }
    }

    fn urgent(&self, world: &World) -> Option<Action> {
        let mut actions = Vec::new();
        self.steps(world, &mut actions);
        let first = actions.iter().copied().find(|action| {
            !matches!(
                action,
                Action::Tick
                    | Action::DeliverLater(_)
                    | Action::Promote(_)
                    | Action::ColdStart(_)
                    | Action::Answer { .. }
            )
        });
        first
            .or_else(|| self.best(world, &actions))
            .filter(|action| *action != Action::Tick)
    }

    /// Of those who would answer, promote themselves or start a chain, the best-ranked goes first.
    fn best(&self, world: &World, actions: &[Action]) -> Option<Action> {
        let answers = actions.iter().copied().filter_map(|action| match action {
            Action::Answer { anchor, .. } => Some((self.grants.between(anchor), action)),
            _ => None,
        });
        let promotions = actions.iter().copied().filter_map(|action| match action {
            Action::Promote(who) => Some((self.grants.within(&world.node(who).order, who), action)),
            _ => None,
        });
        let starts = actions.iter().copied().filter_map(|action| match action {
            Action::ColdStart(who) if !self.awaits(world, who) => {
                Some((self.grants.between(who), action))
            }
            _ => None,
        });
        let best = |a: Option<(_, Action)>| a.map(|(_, action)| action);
        best(answers.min_by_key(|(rank, _)| *rank))
            .or_else(|| best(promotions.min_by_key(|(rank, _)| *rank)))
            .or_else(|| best(starts.min_by_key(|(rank, _)| *rank)))
    }

    /// A better-ranked candidate that asks as well, and has not settled yet, is waited for.
    fn awaits(&self, world: &World, who: Who) -> bool {
        let better = |other: Who| self.grants.between(other) < self.grants.between(who);
        world.everyone().any(|other| {
            let node = world.node(other);
            let asks = node.line.is_none() && node.join.is_some_and(|join| !join.settled);
            world.connected(who, other) && better(other) && asks
        })
    }

    /// Where the order decides alone, the maximum is followed in the end.
    pub(super) fn maximum_wins(&self, world: &World) -> bool {
        let Some(end) = self.settle(world) else {
            return true;
        };
        [0, 1].into_iter().all(|side| {
            let members: Vec<Who> = world
                .everyone()
                .filter(|who| world.node(*who).up && world.side(*who) == side)
                .collect();
            let Some(maximum) = self.maximum(world, &members) else {
                return true;
            };
            members
                .iter()
                .all(|who| end.anchors[usize::from(*who)] == Some(maximum))
        })
    }

    /// Whom the order names among connected nodes, where nothing but the order decides.
    fn maximum(&self, world: &World, members: &[Who]) -> Option<Who> {
        if !world.flights.is_empty() {
            return None;
        }
        self.first_ever(world, members)
            .or_else(|| self.heir(world, members))
            .or_else(|| self.best_anchor(world, members))
    }

    /// Nobody is in a chain and nobody is held: the best by grant.
    fn first_ever(&self, world: &World, members: &[Who]) -> Option<Who> {
        let free = |who: &Who| {
            let node = world.node(*who);
            node.line.is_none() && node.join.is_some_and(|join| join.held == 0)
        };
        let all = members.iter().all(free);
        let best = members
            .iter()
            .copied()
            .min_by_key(|who| self.grants.between(*who));
        best.filter(|_| all)
    }

    /// All lost the same anchor at the same time: the best by the succession.
    fn heir(&self, world: &World, members: &[Who]) -> Option<Who> {
        let first = world.node(*members.first()?);
        let line = first.line?;
        let same = |who: &Who| {
            let node = world.node(*who);
            node.join.is_none()
                && node.order == first.order
                && first.order.position(*who).is_some()
                && node.line.is_some_and(|other| {
                    (other.chain, other.number, other.announced)
                        == (line.chain, line.number, line.announced)
                        && (other.silence, other.gone) == (line.silence, line.gone)
                })
        };
        let absent = !members.contains(&line.anchor);
        let best = members
            .iter()
            .copied()
            .min_by_key(|who| self.grants.within(&first.order, *who));
        best.filter(|_| absent && members.iter().all(same))
    }

    /// Several reign, everyone hears its own: the best by grant.
    fn best_anchor(&self, world: &World, members: &[Who]) -> Option<Who> {
        let content = |who: &Who| {
            let node = world.node(*who);
            node.join.is_none()
                && node.line.is_some_and(|line| {
                    line.silence <= 1 && !line.gone && members.contains(&line.anchor) && {
                        let anchor = world.node(line.anchor);
                        anchor.reigns(line.anchor)
                            && anchor.line.is_some_and(|other| {
                                (other.chain, other.number) == (line.chain, line.number)
                            })
                    }
                })
        };
        let anchors = members
            .iter()
            .copied()
            .filter(|who| world.node(*who).reigns(*who));
        let best = anchors.min_by_key(|who| self.grants.between(*who));
        best.filter(|_| members.iter().all(content))
    }
}

/// On each side one anchor, everyone in its chain at its number with its order, nobody asking.
fn converged(world: &World) -> bool {
    let agreed = |side: u8| {
        let mut members = world
            .everyone()
            .filter(|who| world.node(*who).up && world.side(*who) == side);
        let Some(first) = members.clone().next() else {
            return true;
        };
        let Some(line) = world.node(first).line else {
            return false;
        };
        let anchor = world.node(line.anchor);
        let reigns = anchor.up && world.side(line.anchor) == side && anchor.reigns(line.anchor);
        reigns
            && members.all(|who| {
                let node = world.node(who);
                node.join.is_none()
                    && node.order == anchor.order
                    && anchor.order.position(who).is_some()
                    && node.line.is_some_and(|own| {
                        (own.chain, own.number, own.anchor)
                            == (line.chain, line.number, line.anchor)
                    })
            })
    };
    world.flights.is_empty() && agreed(0) && agreed(1)
}

fn followed(world: &World) -> [Option<Who>; MOST] {
    let mut anchors = [None; MOST];
    for who in world.everyone() {
        anchors[usize::from(who)] = world.node(who).line.map(|line| line.anchor);
    }
    anchors
}
