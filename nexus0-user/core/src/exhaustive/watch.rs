//! What must hold, in words of its own: nothing here calls the rules it watches.

use super::act::Action;
use super::world::{Breach, Frame, Grants, Member, Who, World, chain_id};

/// At most one node reigns in each chain.
pub(super) fn one_anchor_per_chain(world: &World) -> bool {
    let anchors: Vec<u8> = world
        .everyone()
        .filter(|who| world.node(*who).reigns(*who))
        .map(|who| world.node(who).chain())
        .collect();
    (1..anchors.len()).all(|at| !anchors[..at].contains(&anchors[at]))
}

/// Two connected anchors took over the same chain.
pub(super) fn siblings(world: &World) -> bool {
    let parent = |who: Who| world.node(who).line.map_or(0, |line| line.parent);
    let reigns = |who: Who| world.node(who).reigns(who);
    world.everyone().any(|one| {
        let mut others = 0..one;
        others.any(|other| {
            world.connected(one, other)
                && reigns(one)
                && reigns(other)
                && parent(one) != 0
                && parent(one) == parent(other)
        })
    })
}

/// What went wrong between two worlds.
pub(super) fn breach(
    grants: &Grants,
    before: &World,
    after: &World,
    action: &Action,
) -> Option<Breach> {
    before.everyone().find_map(|who| {
        let (old, new) = (before.node(who), after.node(who));
        older(old, new).or_else(|| deposed(grants, old, new, who, action))
    })
}

/// A number below one that this node had accepted of that chain, in this life.
fn older(old: &Member, new: &Member) -> Option<Breach> {
    let line = new.line.filter(|_| old.up && old.line != new.line)?;
    let below = old.fence.number(chain_id(line.chain)) > u64::from(line.number);
    let parent = old
        .line
        .filter(|old| old.chain == line.parent && old.chain != line.chain);
    let not_above = parent.is_some_and(|parent| line.number <= parent.number);
    (below || not_above).then_some(Breach::OlderNumber)
}

/// A promotion followed although the anchor was heard within two pulses and a quarter, said nothing, and does
/// not rank below the promoter as another heir of the same chain.
fn deposed(
    grants: &Grants,
    old: &Member,
    new: &Member,
    who: Who,
    action: &Action,
) -> Option<Breach> {
    let (Action::Deliver(flight) | Action::DeliverLater(flight) | Action::Copy(flight)) = action
    else {
        return None;
    };
    let Frame::Promotion { chain, parent, .. } = flight.frame else {
        return None;
    };
    let line = old
        .line
        .filter(|_| flight.to == who && new.chain() == chain)?;
    if line.chain == chain {
        return None;
    }
    let later = matches!(action, Action::DeliverLater(_));
    let lost = line.silence >= 3 || line.gone || (later && line.silence == 2);
    let heir = line.chain == parent && lost && line.anchor != who;
    let place = |id: Who| {
        let ego = u32::from(grants.egos[usize::from(id)]);
        (u32::MAX - ego, old.order.position(id).unwrap_or(u32::MAX))
    };
    let sibling = line.parent == parent && place(flight.from) < place(line.anchor);
    (!heir && !sibling).then_some(Breach::Deposed)
}
