//! What a node makes of a frame.

use super::deed::{bye, descendant, enter, follow, hand_over, object, start_join};
use super::model::{Broken, Model};
use super::world::{
    Bye, Chain, Flight, Frame, Line, Member, NEVER, Order, Who, World, chain_id, node_id,
};
use crate::rule::{Claim, Judgement, disproved, gives_way, judge};

impl Model {
    pub(super) fn deliver(&self, world: &mut World, flight: &Flight, longer: bool) {
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

    pub(super) fn gives_way(&self, own: Who, other: Who) -> bool {
        match self.broken {
            Some(Broken::FirstHeardWins | Broken::OwnClock) => false,
            _ => gives_way(&self.grants.between(own), &self.grants.between(other)),
        }
    }
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
