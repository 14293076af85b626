//! What can happen: frames arrive, time passes, nodes act, faults strike.

use super::deed::{
    age, answer, bye, cold_start, hear_members, meet, older, promote, pulse, start_join, stop,
    turn, turn_late,
};
use super::model::Model;
use super::world::{Bye, Chain, Flight, Frame, HOLD_TICKS, Line, RHYTHM, Who, World};

/// Own probes that were not answered, once the anchor is silent for three pulses.
const UNANSWERED: u32 = 8;

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Action {
    Deliver(Flight),
    /// The same, half a pulse later: a silence is longer by then.
    DeliverLater(Flight),
    /// A copy arrives, the frame stays on its way.
    Copy(Flight),
    /// The frame will outlive this tick.
    Delay(Flight),
    /// A pulse passes; what was not delivered is lost.
    Tick,
    Promote(Who),
    /// A probe of the anchor was answered.
    Reach(Who),
    /// The anchor answered that it is none any more.
    Expose(Who),
    /// A request reached an anchor, which answers.
    Answer {
        joiner: Who,
        anchor: Who,
    },
    /// A member told a joiner to wait.
    Hold {
        joiner: Who,
        member: Who,
    },
    /// A beacon was heard, its sender probed and asked for its epoch.
    Meet {
        loser: Who,
        winner: Who,
    },
    ColdStart(Who),
    Announce(Who),
    Turn(Chain),
    Crash(Who),
    Restart(Who),
    Leave(Who),
    Cut(u8),
    Heal,
}

impl Model {
    /// Everything that can happen without a fault.
    pub(super) fn steps(&self, world: &World, actions: &mut Vec<Action>) {
        for flight in &world.flights {
            actions.push(Action::Deliver(*flight));
            if turns_on_time(world, flight) {
                actions.push(Action::DeliverLater(*flight));
            }
        }
        for who in world.everyone() {
            self.steps_of(world, who, actions);
        }
        actions.push(Action::Tick);
    }

    fn steps_of(&self, world: &World, who: Who, actions: &mut Vec<Action>) {
        let node = world.node(who);
        if !node.up {
            return;
        }
        if let Some(line) = node.line.filter(|line| line.anchor != who) {
            Self::steps_of_member(world, who, line, actions);
        }
        if node.join.is_some_and(|join| join.taken.is_none()) {
            Self::steps_of_joiner(world, who, actions);
        }
        if !node.reigns(who) {
            return;
        }
        for other in world.everyone() {
            let rival = world.connected(who, other)
                && world.node(other).reigns(other)
                && world.node(other).chain() != node.chain()
                && self.gives_way(who, other)
                && !on_its_way(world, other, who, |frame| {
                    matches!(frame, Frame::Passage { .. })
                });
            if rival {
                actions.push(Action::Meet {
                    loser: who,
                    winner: other,
                });
            }
        }
    }

    fn steps_of_member(world: &World, who: Who, line: Line, actions: &mut Vec<Action>) {
        let silence = line.silence(false);
        let ready = silence.over(RHYTHM) && silence.proved(UNANSWERED);
        if ready {
            actions.push(Action::Promote(who));
        }
        if line.gone || !world.connected(who, line.anchor) {
            return;
        }
        let anchor = world.node(line.anchor);
        let reigns = anchor.reigns(line.anchor) && anchor.chain() == line.chain;
        let suspects = silence.suspect(RHYTHM);
        if reigns && suspects && anchor.reads(line.chain, line.number) {
            actions.push(Action::Reach(who));
        }
        let asks = anchor.join.is_some() || (suspects && anchor.reads(line.chain, line.number));
        if !reigns && asks {
            actions.push(Action::Expose(who));
        }
    }

    fn steps_of_joiner(world: &World, who: Who, actions: &mut Vec<Action>) {
        let Some(join) = world.node(who).join else {
            return;
        };
        for other in world.everyone() {
            if !world.connected(who, other) {
                continue;
            }
            let node = world.node(other);
            let asked = on_its_way(world, other, who, |frame| {
                matches!(frame, Frame::Answer { .. })
            });
            if node.reigns(other) && !asked {
                actions.push(Action::Answer {
                    joiner: who,
                    anchor: other,
                });
            }
            let silent = node
                .line
                .is_some_and(|line| line.silence(false).suspect(RHYTHM));
            if silent && !node.reigns(other) && !join.was_held {
                actions.push(Action::Hold {
                    joiner: who,
                    member: other,
                });
            }
        }
        if join.settled && join.held == 0 {
            actions.push(Action::ColdStart(who));
        }
    }

    /// Everything that may go wrong, or turn, within the budget.
    pub(super) fn faults(world: &World, actions: &mut Vec<Action>) {
        let left = &world.left;
        for flight in &world.flights {
            let kept = matches!(flight.frame, Frame::Passage { .. });
            if left.late > 0 && !flight.late && !kept {
                actions.push(Action::Delay(*flight));
            }
            if left.copies > 0 {
                actions.push(Action::Copy(*flight));
            }
        }
        for who in world.everyone() {
            let node = world.node(who);
            match node.up {
                true if left.crashes > 0 => actions.push(Action::Crash(who)),
                false if left.restarts > 0 => actions.push(Action::Restart(who)),
                _ => {}
            }
            if node.up && left.leaves > 0 && node.line.is_some() {
                actions.push(Action::Leave(who));
            }
            let announces = node.reigns(who) && node.line.is_some_and(|line| !line.announced);
            if left.announcements > 0 && announces {
                actions.push(Action::Announce(who));
            }
            let first = world
                .everyone()
                .find(|other| world.node(*other).chain() == node.chain());
            if left.turns > 0 && node.line.is_some() && first == Some(who) {
                actions.push(Action::Turn(node.chain()));
            }
        }
        if world.cut != 0 {
            actions.push(Action::Heal);
        } else if left.cuts > 0 {
            // The first node's side is zero: every partition once.
            let halves = 1..1_u8 << (world.nodes.len() - 1);
            actions.extend(halves.map(|half| Action::Cut(half << 1)));
        }
    }

    /// The world after a step.
    pub(super) fn apply(&self, mut world: World, action: Action) -> World {
        match action {
            Action::Deliver(flight) => {
                take(&mut world, &flight);
                self.deliver(&mut world, &flight, false);
            }
            Action::DeliverLater(flight) => {
                take(&mut world, &flight);
                self.deliver(&mut world, &flight, true);
            }
            Action::Copy(flight) => {
                world.left.copies -= 1;
                self.deliver(&mut world, &flight, false);
            }
            Action::Delay(flight) => {
                world.left.late -= 1;
                take(&mut world, &flight);
                world.flights.push(Flight {
                    late: true,
                    ..flight
                });
            }
            Action::Tick => Self::tick(&mut world),
            Action::Promote(who) => promote(&mut world, who),
            Action::Reach(who) => {
                if let Some(line) = &mut world.node_mut(who).line {
                    line.silence = 0;
                }
            }
            Action::Expose(who) => {
                if let Some(line) = &mut world.node_mut(who).line {
                    line.gone = true;
                }
            }
            Action::Answer { joiner, anchor } => answer(&mut world, joiner, anchor),
            Action::Hold { joiner, .. } => {
                if let Some(join) = &mut world.node_mut(joiner).join {
                    (join.held, join.was_held) = (HOLD_TICKS, true);
                }
            }
            Action::Meet { loser, winner } => meet(&mut world, loser, winner),
            Action::ColdStart(who) => cold_start(&mut world, who),
            Action::Announce(who) => {
                world.left.announcements -= 1;
                if let Some(line) = &mut world.node_mut(who).line {
                    line.announced = true;
                }
            }
            Action::Turn(chain) => {
                world.left.turns -= 1;
                turn(&mut world, chain);
            }
            Action::Crash(who) => {
                world.left.crashes -= 1;
                stop(&mut world, who);
            }
            Action::Restart(who) => {
                world.left.restarts -= 1;
                world.node_mut(who).up = true;
                start_join(&mut world, who);
            }
            Action::Leave(who) => {
                world.left.leaves -= 1;
                bye(&mut world, who, Bye::Leaving);
                stop(&mut world, who);
            }
            Action::Cut(cut) => {
                world.left.cuts -= 1;
                world.cut = cut;
                let cut = |a: Who, b: Who| (cut >> a) & 1 != (cut >> b) & 1;
                world.flights.retain(|flight| !cut(flight.from, flight.to));
            }
            Action::Heal => world.cut = 0,
        }
        world
    }

    fn tick(world: &mut World) {
        world.flights.retain(|flight| flight.late);
        for flight in &mut world.flights {
            flight.late = false;
            match &mut flight.frame {
                Frame::Pulse { age, .. } | Frame::StillHere { age, .. } => *age = older(*age),
                _ => {}
            }
        }
        for who in world.everyone() {
            age(world.node_mut(who), who);
            turn_late(world, who);
        }
        for who in world.everyone() {
            if !world.node(who).reigns(who) {
                continue;
            }
            hear_members(world, who);
        }
        for who in world.everyone() {
            if !world.node(who).reigns(who) {
                continue;
            }
            pulse(world, who);
        }
    }
}

/// Whether half a pulse more or less decides what a promotion is worth.
fn turns_on_time(world: &World, flight: &Flight) -> bool {
    let line = world.node(flight.to).line;
    let undecided = line
        .is_some_and(|line| line.silence(false).lost(RHYTHM) != line.silence(true).lost(RHYTHM));
    undecided && matches!(flight.frame, Frame::Promotion { .. })
}

fn on_its_way(world: &World, from: Who, to: Who, is: impl Fn(&Frame) -> bool) -> bool {
    let mut flights = world.flights.iter();
    flights.any(|flight| flight.from == from && flight.to == to && is(&flight.frame))
}

fn take(world: &mut World, flight: &Flight) {
    if let Some(at) = world.flights.iter().position(|other| other == flight) {
        world.flights.remove(at);
    }
}
