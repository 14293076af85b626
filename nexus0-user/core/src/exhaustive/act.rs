//! What can happen: frames arrive, time passes, nodes act, faults strike.

use super::model::{Broken, Model};
use super::world::{
    AGE_CAP, Bye, Chain, Flight, Frame, HOLD_TICKS, Join, Line, Member, NEVER, Order, Promotion,
    RHYTHM, SILENCE_CAP, TAIL_TICKS, Tail, Who, World, chain_id, node_id,
};
use crate::rule::{Claim, Judgement, disproved, gives_way, judge, promoted_number};

/// Own probes that were not answered, once the anchor is silent for three pulses.
const UNANSWERED: u32 = 8;
/// Pulses with which a promotion is repeated.
const WITH_PULSES: u8 = 3;

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

    fn deliver(&self, world: &mut World, flight: &Flight, longer: bool) {
        let Flight {
            from, to, frame, ..
        } = *flight;
        if !world.connected(from, to) && !world.node(to).up {
            return;
        }
        match frame {
            Frame::Pulse {
                chain,
                number,
                announced,
                order,
                age,
            } => on_pulse(
                world.node_mut(to),
                from,
                (chain, number, announced),
                order,
                age,
            ),
            Frame::Promotion { under, parent, .. } => {
                if world.node(to).reads(parent, under) {
                    self.on_promotion(world, to, from, &frame, longer);
                }
            }
            Frame::StillHere { chain, number, age } => {
                if world.node(to).reads(chain, number) {
                    on_still_here(world, to, age);
                }
            }
            Frame::Bye {
                chain,
                number,
                reason,
            } => {
                if world.node(to).reads(chain, number) && world.node(to).chain() == chain {
                    on_bye(world, to, from, reason);
                }
            }
            Frame::Answer {
                chain,
                number,
                announced,
                order,
            } => self.on_answer(world, to, from, (chain, number, announced), order),
            Frame::Passage { .. } => hand_over(world, to, from, &frame),
            Frame::Merge { chain, number, .. } => {
                let node = world.node(to);
                let own = node
                    .line
                    .is_some_and(|line| (line.chain, line.anchor) == (chain, from));
                if own && node.reads(chain, number) {
                    self.on_merge(world.node_mut(to), from, &frame);
                }
            }
        }
    }

    fn on_merge(&self, node: &mut Member, from: Who, frame: &Frame) {
        let Frame::Merge {
            into,
            into_number,
            announced,
            winner,
            order,
            ..
        } = *frame
        else {
            return;
        };
        let fenced = node.fence.refuses(chain_id(into), into_number.into())
            && self.broken != Some(Broken::OlderNumber);
        if !fenced && self.gives_way(from, winner) {
            node.join = None;
            enter(node, (into, into_number, announced), winner, order);
        }
    }

    fn on_promotion(&self, world: &mut World, to: Who, from: Who, frame: &Frame, longer: bool) {
        let Frame::Promotion {
            chain,
            parent,
            number,
            ..
        } = *frame
        else {
            return;
        };
        let node = world.node(to);
        let Some(line) = node.line else { return };
        let claim = Claim {
            chain: chain_id(chain),
            parent: chain_id(parent),
            number: number.into(),
            promoter: node_id(from),
        };
        let mut standing = line.standing(to, longer);
        if self.broken == Some(Broken::OlderNumber) {
            (standing.number, standing.parent_number) = (0, 0);
        }
        if self.broken == Some(Broken::DeposesTheLiving) {
            (standing.lost, standing.reigns) = (true, false);
        }
        let outranks = self.outranks(to, &node.order, from, line.anchor);
        match judge(&standing, &claim, outranks) {
            Judgement::Follow => {
                let new = descendant(&line, chain, number, from);
                follow(world.node_mut(to), &line, new);
            }
            Judgement::Prefer => Self::prefer(world, to, from, frame),
            Judgement::Object => object(world, to, from, chain, parent),
            Judgement::Fenced | Judgement::Ignore => {}
        }
    }

    fn prefer(world: &mut World, to: Who, from: Who, frame: &Frame) {
        let Frame::Promotion { chain, number, .. } = *frame else {
            return;
        };
        let Some(held) = world.node(to).line else {
            return;
        };
        if world.node(to).reigns(to) {
            bye(world, to, Bye::SteppedBack);
        }
        let node = world.node_mut(to);
        let (order, tail) = (node.order, node.tail);
        let new = Line {
            parent: held.parent,
            parent_number: held.parent_number,
            ..descendant(&held, chain, number, from)
        };
        follow(node, &held, new);
        (node.order, node.tail) = (order, tail);
    }

    fn on_answer(
        &self,
        world: &mut World,
        to: Who,
        from: Who,
        (chain, number, announced): (Chain, u8, bool),
        order: Order,
    ) {
        let node = world.node_mut(to);
        let Some(join) = &mut node.join else { return };
        let rank = |who| self.grants.between(who);
        if join.taken.is_some_and(|taken| rank(taken) <= rank(from)) {
            return;
        }
        let fenced = node.fence.refuses(chain_id(chain), number.into());
        if fenced && self.broken != Some(Broken::OlderNumber) {
            return;
        }
        join.taken = Some(from);
        enter(node, (chain, number, announced), from, order);
    }

    /// Whether one ranks above another, in the eyes of a third.
    fn outranks(&self, viewer: Who, order: &Order, one: Who, other: Who) -> bool {
        match self.broken {
            Some(Broken::FirstHeardWins) => false,
            Some(Broken::OwnClock) => one == viewer,
            _ => self.grants.within(order, one) < self.grants.within(order, other),
        }
    }

    fn gives_way(&self, own: Who, other: Who) -> bool {
        match self.broken {
            Some(Broken::FirstHeardWins | Broken::OwnClock) => false,
            _ => gives_way(&self.grants.between(own), &self.grants.between(other)),
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

fn older(age: u8) -> u8 {
    if age == NEVER {
        NEVER
    } else {
        (age + 1).min(AGE_CAP)
    }
}

/// A pulse passes at one node.
fn age(node: &mut Member, me: Who) {
    let reigns = node.reigns(me);
    if let Some(line) = &mut node.line {
        line.pulse_age = older(line.pulse_age);
        let silence = (line.silence + 1).min(SILENCE_CAP);
        line.silence = if reigns { 0 } else { silence };
    }
    if let Some(promotion) = &mut node.promotion {
        promotion.old.pulse_age = older(promotion.old.pulse_age);
    }
    if let Some(tail) = &mut node.tail {
        tail.ticks -= 1;
    }
    node.tail = node.tail.filter(|tail| tail.ticks > 0);
    node.grace = false;
    node.join = node.join.filter(|join| join.taken.is_none());
    if let Some(join) = &mut node.join {
        join.settled = true;
        join.held = join.held.saturating_sub(1);
    }
}

/// Members' own pulses: at the first one the anchor appends them to the succession.
fn hear_members(world: &mut World, anchor: Who) {
    let (chain, number) = world
        .node(anchor)
        .line
        .map_or((0, 0), |line| (line.chain, line.number));
    for who in world.everyone() {
        if !world.connected(anchor, who) {
            continue;
        }
        let same = world
            .node(who)
            .line
            .is_some_and(|line| line.chain == chain && line.number == number);
        if same {
            world.node_mut(anchor).order.append(who);
        }
    }
}

fn pulse(world: &mut World, who: Who) {
    let node = world.node_mut(who);
    let order = node.order;
    let Some(line) = &mut node.line else { return };
    line.pulse_age = 0;
    let line = *line;
    let frame = Frame::Pulse {
        chain: line.chain,
        number: line.number,
        announced: line.announced,
        order,
        age: 0,
    };
    // Others could not read it.
    for to in world.everyone() {
        if world.node(to).chain() != line.chain {
            continue;
        }
        world.put(who, to, frame);
    }
    if let Some(promotion) = &mut world.node_mut(who).promotion
        && promotion.repeats > 0
    {
        promotion.repeats -= 1;
        send_promotion(world, who);
    }
}

fn send_promotion(world: &mut World, who: Who) {
    let node = world.node(who);
    let (Some(line), Some(promotion)) = (node.line, node.promotion) else {
        return;
    };
    let frame = Frame::Promotion {
        chain: line.chain,
        parent: promotion.old.chain,
        number: line.number,
        under: promotion.old.number,
        order: node.order,
    };
    // Who is in neither the parent nor one of its other children ignores it.
    for to in world.everyone() {
        let concerned = world.node(to).line.is_some_and(|other| {
            other.chain == promotion.old.chain || other.parent == promotion.old.chain
        });
        if concerned && world.node(to).chain() != line.chain {
            world.put(who, to, frame);
        }
    }
}

fn promote(world: &mut World, who: Who) {
    let chain = world.fresh_chain();
    world.left.chains = world.left.chains.wrapping_sub(1);
    let node = world.node_mut(who);
    let Some(old) = node.line else { return };
    let announced = old.announced.then(|| u64::from(old.number) + 1);
    let number = promoted_number(old.number.into(), announced) as u8;
    let promotion = Promotion {
        old,
        order: node.order,
        repeats: WITH_PULSES,
    };
    let mut new = descendant(&old, chain, number, who);
    new.pulse_age = 0;
    follow(node, &old, new);
    node.order.append(who);
    node.promotion = Some(promotion);
    send_promotion(world, who);
}

fn descendant(old: &Line, chain: Chain, number: u8, anchor: Who) -> Line {
    Line {
        parent: old.chain,
        parent_number: old.number,
        // The promotion comes with a pulse.
        pulse_age: 0,
        ..Line::new(chain, number, anchor)
    }
}

/// Enters a descendant of the chain so far.
fn follow(node: &mut Member, old: &Line, new: Line) {
    node.tail = Some(Tail {
        chain: old.chain,
        held: old.held(),
        ticks: TAIL_TICKS,
    });
    node.order.strike(old.anchor);
    node.line = Some(new);
    node.promotion = None;
    node.join = None;
    node.grace = false;
    node.fence.raise(chain_id(new.chain), new.number.into());
}

/// Before a chain that is no descendant: the keys end a pulse later, the order is void.
fn leave_line(node: &mut Member) {
    if let Some(old) = node.line {
        node.tail = Some(Tail {
            chain: old.chain,
            held: old.held(),
            ticks: TAIL_TICKS,
        });
    }
    node.order = Order::default();
    node.promotion = None;
    node.grace = false;
}

/// Takes up a chain by an answer or by a merge.
fn enter(
    node: &mut Member,
    (chain, number, announced): (Chain, u8, bool),
    anchor: Who,
    order: Order,
) {
    if node.chain() != chain {
        leave_line(node);
    }
    node.line = Some(Line {
        announced,
        ..Line::new(chain, number, anchor)
    });
    node.order = order;
    node.promotion = None;
    node.fence.raise(chain_id(chain), number.into());
}

fn meet(world: &mut World, loser: Who, winner: Who) {
    let node = world.node(winner);
    let Some(line) = node.line else { return };
    let frame = Frame::Passage {
        chain: line.chain,
        number: line.number,
        announced: line.announced,
        order: node.order,
    };
    world.put(winner, loser, frame);
}

/// An outranked anchor tells its followers where to go, and goes there.
fn hand_over(world: &mut World, who: Who, winner: Who, frame: &Frame) {
    let Frame::Passage {
        chain,
        number,
        announced,
        order,
    } = *frame
    else {
        return;
    };
    let Some(own) = world.node(who).line.filter(|line| line.anchor == who) else {
        return;
    };
    let merge = Frame::Merge {
        chain: own.chain,
        number: own.number,
        into: chain,
        into_number: number,
        announced,
        winner,
        order,
    };
    world.multicast(who, merge);
    enter(
        world.node_mut(who),
        (chain, number, announced),
        winner,
        order,
    );
}

fn on_pulse(
    node: &mut Member,
    from: Who,
    (chain, number, announced): (Chain, u8, bool),
    order: Order,
    age: u8,
) {
    let readable = node.reads(chain, number);
    let Some(line) = &mut node.line else { return };
    if !readable || line.chain != chain || line.anchor != from {
        return;
    }
    line.silence = 0;
    if line.pulse_age == NEVER || age < line.pulse_age {
        line.pulse_age = age;
        node.order = order;
        line.announced |= announced && number == line.number;
    }
}

fn object(world: &mut World, who: Who, promoter: Who, chain: Chain, parent: Chain) {
    let node = world.node_mut(who);
    if node.objected == chain && !node.reigns(who) {
        return;
    }
    node.objected = chain;
    let Some(line) = node.line.filter(|line| line.pulse_age != NEVER) else {
        return;
    };
    let frame = Frame::StillHere {
        chain: parent,
        number: line.number,
        age: line.pulse_age,
    };
    world.put(who, promoter, frame);
}

fn on_still_here(world: &mut World, who: Who, age: u8) {
    let node = world.node(who);
    let Some(promotion) = node.promotion.filter(|_| node.reigns(who)) else {
        return;
    };
    let sequence = |age: u8| (age != NEVER).then(|| u64::from(u8::MAX - age));
    if !sequence(age).is_some_and(|shown| disproved(shown, sequence(promotion.old.pulse_age))) {
        return;
    }
    bye(world, who, Bye::SteppedBack);
    let node = world.node_mut(who);
    node.line = Some(Line {
        silence: 0,
        gone: false,
        ..promotion.old
    });
    node.order = promotion.order;
    node.promotion = None;
    node.tail = None;
    node.fence
        .raise(chain_id(promotion.old.chain), promotion.old.number.into());
}

fn bye(world: &mut World, who: Who, reason: Bye) {
    let Some(line) = world.node(who).line else {
        return;
    };
    let frame = Frame::Bye {
        chain: line.chain,
        number: line.number,
        reason,
    };
    world.multicast(who, frame);
}

fn on_bye(world: &mut World, to: Who, from: Who, reason: Bye) {
    let node = world.node_mut(to);
    let Some(line) = &mut node.line else { return };
    if line.anchor == to {
        node.order.strike(from);
    } else if line.anchor == from && reason == Bye::Leaving {
        line.gone = true;
    } else if line.anchor == from && node.join.is_none() {
        start_join(world, to);
    }
}

fn start_join(world: &mut World, who: Who) {
    // An answer names the request it answers: one to an earlier request is none.
    world
        .flights
        .retain(|flight| flight.to != who || !matches!(flight.frame, Frame::Answer { .. }));
    let node = world.node_mut(who);
    let was_held = node.line.is_some();
    node.join = Some(Join {
        settled: false,
        held: if was_held { HOLD_TICKS } else { 0 },
        was_held,
        taken: None,
    });
}

fn answer(world: &mut World, joiner: Who, anchor: Who) {
    let node = world.node(anchor);
    let Some(line) = node.line else { return };
    let frame = Frame::Answer {
        chain: line.chain,
        number: line.number,
        announced: line.announced,
        order: node.order,
    };
    world.put(anchor, joiner, frame);
}

fn cold_start(world: &mut World, who: Who) {
    let chain = world.fresh_chain();
    world.left.chains = world.left.chains.wrapping_sub(1);
    let node = world.node_mut(who);
    leave_line(node);
    node.join = None;
    let mut line = Line::new(chain, 1, who);
    line.pulse_age = 0;
    node.line = Some(line);
    node.order = Order::of(&[who]);
    node.fence.raise(chain_id(chain), 1);
}

/// The epoch of a chain ends at all its members at once: who holds the next key turns, others join again.
fn turn(world: &mut World, chain: Chain) {
    for who in world.everyone() {
        let node = world.node_mut(who);
        if let Some(promotion) = &mut node.promotion
            && promotion.old.chain == chain
            && promotion.old.announced
        {
            (promotion.old.number, promotion.old.announced) = (promotion.old.number + 1, false);
        }
        let reigns = node.reigns(who);
        let Some(line) = node.line.as_mut().filter(|line| line.chain == chain) else {
            continue;
        };
        // An anchor that did not announce draws the next number late.
        if line.announced || reigns {
            (line.number, line.announced) = (line.number + 1, false);
            node.grace = true;
            let number = line.number.into();
            node.fence.raise(chain_id(chain), number);
        } else if node.join.is_none() {
            start_join(world, who);
        }
    }
}

/// Who came in by an answer from before a turn turns by its own clock, or joins again.
fn turn_late(world: &mut World, who: Who) {
    let Some(line) = world.node(who).line else {
        return;
    };
    let lines = world.nodes.iter().filter_map(|node| node.line);
    let turned = lines.filter(|other| other.chain == line.chain);
    if turned.map(|other| other.number).max() <= Some(line.number) {
        return;
    }
    if line.announced {
        let (number, announced) = (line.number + 1, false);
        let node = world.node_mut(who);
        node.line = Some(Line {
            number,
            announced,
            ..line
        });
        node.fence.raise(chain_id(line.chain), number.into());
    } else if world.node(who).join.is_none() {
        start_join(world, who);
    }
}

fn stop(world: &mut World, who: Who) {
    *world.node_mut(who) = Member::down();
    world.flights.retain(|flight| flight.to != who);
}
