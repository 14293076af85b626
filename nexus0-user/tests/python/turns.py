"""Keys and chains: the next epoch, a promotion, a break, a preemption, a merge."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import crypto
import door
import node as nodes
import wire
from crypto import Grant, Material
from state import ZERO8, EpochKey, Rhythm
from wire import Fields, Frame

if TYPE_CHECKING:
    from node import Node

PROMOTION, BREAK, PREEMPTION = 1, 2, 4


def usable(node: Node, material: Material) -> bool:
    return material.id not in (bytes(4), node.door.id)


def install(node: Node, key: EpochKey) -> None:
    """The one before in its chain ends with its grace; of more than four the first to end goes. A key that comes back
    is valid again and keeps its windows."""
    held = next((held for held in node.keys if held.material.id == key.material.id), None)
    if held is not None:
        held.begin, held.end = key.begin, key.end
    else:
        node.keys = sorted([*node.keys, key], key=lambda key: key.end)[-4:]
    for other in node.keys:
        if other.chain == key.chain and other.number < key.number:
            other.end = min(other.end, key.activation + node.rhythm.grace)
    node.numbers = dict(list(node.numbers.items())[-15:])
    node.numbers[key.chain] = max(node.numbers.get(key.chain, 0), key.number)


def follow(node: Node, now: float, anchor: bytes, chain: bytes, parent: bytes, others_end: float) -> None:
    """Keys of other chains end then at the latest."""
    if chain != node.chain:
        for key in node.keys:
            if key.chain != chain:
                key.end = min(key.end, others_end)
    node.anchor, node.chain, node.parent = anchor, chain, parent
    node.preempting, node.named_next, node.last_anchor_frame = None, bytes(4), None
    node.alive(now)


def announced(node: Node, now: float, f: Fields) -> None:
    """What every announcement of an anchor says of the roster and of the expelled."""
    node.roster.announce(f["roster"], now)
    if not node.roster.complete:
        node.ask(now, nodes.ASK_ROSTER)
    if f["revocation"] != node.roster.revocations.number:
        node.ask(now, nodes.ASK_REVOCATIONS)


def take_up(
    node: Node, now: float, f: Fields, grant: Grant, secrets: bytes, rhythm: Rhythm, address: bytes
) -> bool:
    """The keys of an ANSWER or a MERGE. False if they cannot be used."""
    current, following = (Material.of(node.mesh, secret) for secret in (secrets[:32], secrets[32:]))
    with_next = f["flags"] & 1 != 0
    if f["wire"] not in wire.VERSIONS or not usable(node, current) or f["number"] < node.numbers.get(f["chain"], 0):
        return False
    if with_next and (f["next_wire"] not in wire.VERSIONS or not usable(node, following)):
        return False
    end = now + f["remaining"] / 1000
    node.rhythm, node.pulse_due = rhythm, now + rhythm.pulse * random.uniform(0.9, 1.1)
    follow(node, now, grant.node, f["chain"], ZERO8, now + rhythm.pulse)
    install(node, EpochKey.new(current, f["chain"], f["number"], f["wire"], end - rhythm.epoch, rhythm))
    if with_next:
        install(node, EpochKey.new(following, f["chain"], f["number"] + 1, f["next_wire"], end, rhythm))
    node.roster.admit(node.grant, wire.VERSIONS.stop - 1)
    anchor = node.roster.admit(grant, wire.VERSIONS.start)
    anchor.address, anchor.heard, node.came_in = address, now, now
    return True


def on_epoch(node: Node, now: float, frame: Frame, f: Fields, key: EpochKey) -> None:
    chain, number = f["chain"], f["number"].to_bytes(8, "big")
    box_key = crypto.epoch_box_key(key.material.seal, f["salt"], node.mesh, frame.sender, chain, number)
    on_secret(node, now, frame, f, key, crypto.unseal(box_key, f["sealed"], frame.authenticated[24 : 24 + 216]))


def on_rekey(node: Node, now: float, frame: Frame, f: Fields, key: EpochKey) -> None:
    """The same for each member alone: its agreement key opens its entry."""
    entry = next((e for e in f["entries"] if e["node"] == node.id), None)
    shared = crypto.agree(node.identity.agreement_secret, f["ephemeral"])
    if entry is None or shared is None:
        return
    chain, number = f["chain"], f["number"].to_bytes(8, "big")
    box_key = crypto.rekey_box_key(shared, node.mesh, frame.sender, node.id, chain, number, f["ephemeral"])
    on_secret(node, now, frame, f, key, crypto.unseal(box_key, entry["box"], frame.authenticated[24 : 24 + 56]))


def on_secret(node: Node, now: float, frame: Frame, f: Fields, key: EpochKey, secret: bytes | None) -> None:
    rhythm = Rhythm.of(f["pulse"], f["epoch"])
    if secret is None or rhythm is None or f["wire"] not in wire.VERSIONS:
        return
    material = Material.of(node.mesh, secret)
    if material.id != f["key_id"] or not usable(node, material):
        return
    activation = now + f["activates_in"] / 1000
    fresh = EpochKey.new(material, f["chain"], f["number"], f["wire"], activation, rhythm)
    if f["flags"] & PROMOTION:
        on_promotion(node, now, frame, f, key, fresh)
    elif f["flags"] & PREEMPTION:
        on_preemption(node, now, frame, f, key, fresh)
    elif frame.sender == node.anchor and key.chain == node.chain:
        node.alive(now)
        if f["chain"] == node.chain:
            on_next(node, now, f, fresh)
        elif f["flags"] & BREAK and f["parent"] == node.chain:
            on_break(node, now, f, fresh)


def on_next(node: Node, now: float, f: Fields, fresh: EpochKey) -> None:
    if node.preempting is not None and node.preempting[1].number == fresh.number:
        drop_preemption(node)
    held = any(key.chain == node.chain and key.activation > now for key in node.keys)
    if fresh.number > node.numbers.get(node.chain, 0) and not held:
        install(node, fresh)
        node.say("announced", number=fresh.number, key=fresh.material.id.hex())
    announced(node, now, f)


def on_break(node: Node, now: float, f: Fields, fresh: EpochKey) -> None:
    """The anchor expelled somebody: a new chain at once, and no grace for what came before."""
    if fresh.number <= node.numbers.get(node.chain, 0):
        return
    assert node.anchor is not None
    follow(node, now, node.anchor, fresh.chain, f["parent"], now)
    install(node, fresh)
    announced(node, now, f)
    node.pulse_due = now + random.uniform(0, node.rhythm.pulse / 10)
    node.say("break", chain=fresh.chain.hex(), number=fresh.number)


def on_promotion(node: Node, now: float, frame: Frame, f: Fields, key: EpochKey, fresh: EpochKey) -> None:
    if key.chain != f["parent"] or f["chain"] == node.chain:
        return
    rival = f["parent"] == node.parent and node.anchor in node.roster.members
    if rival and node.roster.rank(frame.sender) <= node.roster.rank(node.anchor or b""):
        return
    if not rival:
        if f["parent"] != node.chain or frame.sender == node.anchor:
            return
        if f["number"] <= node.numbers.get(node.chain, 0):
            return
        silent = now - node.sign_of_life >= 2.25 * node.rhythm.pulse
        if not silent and not node.gone:
            still_here(node, frame, f, key)
            return
        node.roster.strike(node.anchor or b"")
    if node.preempting is not None:
        drop_preemption(node)
    others_end = now if f["flags"] & BREAK else now + node.rhythm.pulse
    follow(node, now, frame.sender, fresh.chain, f["parent"], others_end)
    install(node, fresh)
    node.roster.announce(f["roster"], now)
    node.pulse_due = now + random.uniform(0, node.rhythm.pulse / 10)
    name = node.roster.members[frame.sender].grant.name
    node.say("promotion", anchor=name, chain=fresh.chain.hex(), number=fresh.number)


def still_here(node: Node, frame: Frame, f: Fields, key: EpochKey) -> None:
    anchor = node.roster.members.get(node.anchor or b"")
    if f["chain"] in node.answered or node.last_anchor_frame is None or anchor is None or anchor.address is None:
        return
    node.answered.add(f["chain"])
    node.say("still-here")
    node.send("STILL-HERE", {"address": anchor.address, "anchor": node.last_anchor_frame}, frame.source, key)


def on_preemption(node: Node, now: float, frame: Frame, f: Fields, key: EpochKey, fresh: EpochKey) -> None:
    """One with a higher ego takes over two turns ahead, if the anchor lets it."""
    current, anchor = node.key_to_send(now), node.roster.members.get(node.anchor or b"")
    sender = node.roster.members[frame.sender]
    if current is None or anchor is None or not key.chain == f["parent"] == node.chain != f["chain"]:
        return
    if frame.sender not in node.roster.order or sender.grant.ego <= anchor.grant.ego:
        return
    ahead = f["number"] - current.number
    own_end = current.activation + ahead * node.rhythm.epoch
    if abs(fresh.activation - own_end) > node.rhythm.grace:
        return
    held = node.preempting
    if ahead == 2 and (held is None or held[1].number == fresh.number):
        if held is not None and node.roster.rank(frame.sender) <= node.roster.rank(held[0]):
            return
    elif ahead != 1 or node.named_next != fresh.material.id or (held and held[1].chain == fresh.chain):
        return
    drop_preemption(node)
    node.preempting = (frame.sender, fresh)
    install(node, fresh)
    node.say("preemption", anchor=sender.grant.name, number=fresh.number)


def drop_preemption(node: Node) -> None:
    if node.preempting is not None:
        node.keys = [key for key in node.keys if key is not node.preempting[1]]
        node.preempting = None


def preemption_due(node: Node, now: float) -> None:
    """At the end of the epoch before it, those follow whose anchor's newest pulse named its key."""
    if node.preempting is None or now < node.preempting[1].activation:
        return
    sender, fresh = node.preempting
    if node.named_next != fresh.material.id or sender not in node.roster.members:
        drop_preemption(node)
        return
    follow(node, now, sender, fresh.chain, node.chain, fresh.activation + node.rhythm.grace)
    node.pulse_due = now
    node.say("preempted", anchor=node.roster.members[sender].grant.name, number=fresh.number)


def on_merge(node: Node, now: float, frame: Frame, f: Fields, key: EpochKey) -> None:
    """The anchor was outranked by another chain's and hands its followers over."""
    anchor = node.roster.members.get(frame.sender)
    if frame.sender != node.anchor or key.chain != node.chain or f["chain"] == node.chain or anchor is None:
        return
    grant, rhythm = node.roster.verified(f["grant"]), Rhythm.of(f["pulse"], f["epoch"])
    if grant is None or rhythm is None or grant.node == node.id or grant.rank() <= anchor.grant.rank():
        return
    if f["address"][:8] != wire.LINK_LOCAL:
        return
    chain, number = f["chain"], f["number"].to_bytes(8, "big")
    box_key = crypto.merge_box_key(key.material.seal, f["salt"], node.mesh, frame.sender, chain, number)
    secrets = crypto.unseal(box_key, f["box"], frame.authenticated[24 : 24 + 228])
    if secrets is None or not take_up(node, now, f, grant, secrets, rhythm, f["address"]):
        return
    node.join = None
    node.roster.announce(f["roster"], now)
    if not node.roster.complete:
        node.asks[nodes.ASK_ROSTER] = now + rhythm.pulse / 5 + random.uniform(0.1, 0.3)
    node.pulse_due = now + random.uniform(rhythm.pulse / 40, rhythm.pulse / 10)
    node.say("merged", anchor=grant.name, chain=chain.hex(), number=f["number"])


def on_bye(node: Node, now: float, frame: Frame, f: Fields, key: EpochKey) -> None:
    if node.preempting is not None and frame.sender == node.preempting[0]:
        drop_preemption(node)
    if frame.sender != node.anchor:
        node.roster.members[frame.sender].heard = None
    elif f["chain"] == node.chain == key.chain:
        node.gone = True
        if f["reason"] != 0:
            door.begin_join(node, now, "the anchor stepped back")


HANDLERS: dict[str, Callable[[Node, float, Frame, Fields, EpochKey], None]] = {
    "EPOCH": on_epoch,
    "REKEY": on_rekey,
    "MERGE": on_merge,
    "BYE": on_bye,
}
