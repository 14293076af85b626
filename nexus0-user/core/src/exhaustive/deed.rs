//! What nodes do by themselves: pulse, promote themselves, join, turn, leave.

use super::world::{
    AGE_CAP, Bye, Chain, Frame, HOLD_TICKS, Join, Line, Member, NEVER, Order, Promotion,
    SILENCE_CAP, TAIL_TICKS, Tail, Who, World, chain_id,
};
use crate::rule::promoted_number;

/// Pulses with which a promotion is repeated.
const WITH_PULSES: u8 = 3;

pub(super) fn older(age: u8) -> u8 {
    if age == NEVER {
        NEVER
    } else {
        (age + 1).min(AGE_CAP)
    }
}

/// A pulse passes at one node.
pub(super) fn age(node: &mut Member, me: Who) {
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
pub(super) fn hear_members(world: &mut World, anchor: Who) {
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

pub(super) fn pulse(world: &mut World, who: Who) {
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

pub(super) fn send_promotion(world: &mut World, who: Who) {
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

pub(super) fn promote(world: &mut World, who: Who) {
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

pub(super) fn descendant(old: &Line, chain: Chain, number: u8, anchor: Who) -> Line {
    Line {
        parent: old.chain,
        parent_number: old.number,
        // The promotion comes with a pulse.
        pulse_age: 0,
        ..Line::new(chain, number, anchor)
    }
}

/// Enters a descendant of the chain so far.
pub(super) fn follow(node: &mut Member, old: &Line, new: Line) {
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
pub(super) fn leave_line(node: &mut Member) {
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
pub(super) fn enter(
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

pub(super) fn meet(world: &mut World, loser: Who, winner: Who) {
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
pub(super) fn hand_over(world: &mut World, who: Who, winner: Who, frame: &Frame) {
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

pub(super) fn object(world: &mut World, who: Who, promoter: Who, chain: Chain, parent: Chain) {
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

pub(super) fn bye(world: &mut World, who: Who, reason: Bye) {
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

pub(super) fn start_join(world: &mut World, who: Who) {
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

pub(super) fn answer(world: &mut World, joiner: Who, anchor: Who) {
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

pub(super) fn cold_start(world: &mut World, who: Who) {
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
pub(super) fn turn(world: &mut World, chain: Chain) {
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
pub(super) fn turn_late(world: &mut World, who: Who) {
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

pub(super) fn stop(world: &mut World, who: Who) {
    *world.node_mut(who) = Member::down();
    world.flights.retain(|flight| flight.to != who);
}
