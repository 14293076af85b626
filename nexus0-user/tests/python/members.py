"""What members say to each other: pulses, the roster, who was expelled, probes."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import door
import node as nodes
import turns
import wire
from state import ZERO8, EpochKey, Revocations
from wire import Fields, Frame

if TYPE_CHECKING:
    from node import Node


def on_anchor(node: Node, now: float, frame: Frame, f: Fields, key: EpochKey) -> None:
    if frame.sender != node.anchor or key.chain != node.chain:
        return
    node.alive(now)
    node.last_anchor_frame = frame.authenticated
    node.roster.announce(f["roster"], now)
    if not node.roster.complete:
        node.ask(now, nodes.ASK_ROSTER)
    if key is node.key_to_send(now):
        node.named_next = f["next_key"]
        if f["next_key"] != bytes(4) and all(held.material.id != f["next_key"] for held in node.keys):
            node.ask(now, nodes.ASK_NEXT)
    if key.wire >= 2 and f["revocation"] != node.roster.revocations.number % 256:
        node.ask(now, nodes.ASK_REVOCATIONS)


def on_roster(node: Node, now: float, frame: Frame, f: Fields, key: EpochKey) -> None:
    if frame.sender != node.anchor or key.chain != node.chain or f["chain"] != node.chain:
        return
    node.alive(now)
    current = node.key_to_send(now)
    if current is not None and f["number"] < current.number:
        return
    for entry in f["entries"]:
        node.roster.row(entry["position"], entry["wire"], entry["grant"])
    node.roster.announce(f["roster"], now)
    if node.roster.take_up(f["members"], now):
        node.say("roster", members=len(node.roster.order), complete=node.roster.complete)
    if not node.roster.complete:
        node.ask(now, nodes.ASK_ROSTER)


def on_probe(node: Node, now: float, frame: Frame, f: Fields, key: EpochKey) -> None:
    node.say("probed")
    node.send("PROBE-REPLY", {"nonce": f["nonce"], "state": nodes.MEMBER}, frame.source, key)


def on_probe_reply(node: Node, now: float, frame: Frame, f: Fields, key: EpochKey) -> None:
    if frame.sender == node.anchor and key.chain == node.chain:
        if f["state"] == nodes.ANCHOR:
            node.alive(now)
        else:
            node.gone = True


def suspect(node: Node, now: float) -> None:
    pulse = node.rhythm.pulse
    if now - node.sign_of_life < 1.25 * pulse or now < node.probe_due:
        return
    node.probe_due = now + pulse / 5
    if node.standing(now) < 16:
        node.to_member(now, node.anchor, "PROBE", {"nonce": os.urandom(16)})


def ask_now(node: Node, now: float, what: int) -> None:
    """Unless what was missing has come meanwhile."""
    if (what == nodes.ASK_ROSTER and node.roster.complete) or (what == nodes.ASK_NEXT and node.next_key(now)):
        return
    held = {nodes.ASK_ROSTER: node.roster.digest, nodes.ASK_REVOCATIONS: node.roster.revocations.held}.get(what, ZERO8)
    node.say("ask", about=what)
    node.to_member(now, node.anchor, "ASK", {"what": what, "held": held})
    if what == nodes.ASK_NEXT and (other := higher_ego(node, now)) is not None:
        node.to_member(now, other, "ASK", {"what": what, "held": held})


def higher_ego(node: Node, now: float) -> bytes | None:
    """The best-ranked living member whose ego is above the anchor's: it may be taking over."""
    members = node.roster.members
    least = members[node.anchor].grant.ego if node.anchor in members else 100
    heard = [other for other in node.roster.heard(now, 2.5 * node.rhythm.pulse) if other != node.id]
    above = [other for other in heard if members[other].grant.ego > least]
    return max(above, key=node.roster.rank, default=None)


def on_ask(node: Node, now: float, frame: Frame, f: Fields, key: EpochKey) -> None:
    """Roster and keys are the anchor's to give; the list of the expelled anybody's."""
    if f["what"] != nodes.ASK_REVOCATIONS:
        return
    theirs, own = int.from_bytes(f["held"][4:], "big"), node.roster.revocations
    if theirs < own.number:
        node.send("REVOKE", own.fields, wire.GROUP, node.key_to_send(now))
    elif theirs > own.number:
        node.to_member(now, frame.sender, "ASK", {"what": nodes.ASK_REVOCATIONS, "held": own.held})


def on_revoke(node: Node, now: float, frame: Frame, f: Fields, key: EpochKey) -> None:
    on_revocations(node, now, f)


def on_revocations(node: Node, now: float, f: Fields) -> None:
    """A newer list applies at once, and goes on to the others unless they were heard passing it on."""
    held = node.roster.revocations
    if f["number"] == held.number and node.pass_on is not None:
        node.pass_on = (node.pass_on[0], node.pass_on[1] + 1)
    fresh = Revocations.verified(f, node.root)
    if fresh is None or fresh.number <= held.number:
        return
    node.roster.revocations = fresh
    node.pass_on = (now + random.uniform(0, node.rhythm.pulse / 5), 1)
    for member in list(node.roster.members.values()):
        if fresh.void(member.grant):
            node.say("expelled", name=member.grant.name)
            node.gone |= member.grant.node == node.anchor
            if member.grant.node not in (node.anchor, node.id):
                node.roster.strike(member.grant.node)
    if fresh.void(node.grant):
        node.silenced = True


def pass_on_due(node: Node, now: float) -> None:
    if node.pass_on is None or now < node.pass_on[0]:
        return
    if node.pass_on[1] < 2 and (key := node.key_to_send(now)) is not None:
        node.send("REVOKE", node.roster.revocations.fields, wire.GROUP, key)
    node.pass_on = None


HANDLERS: dict[str, Callable[[Node, float, Frame, Fields, EpochKey], None]] = {
    "ANCHOR": on_anchor,
    "ROSTER": on_roster,
    "PROBE": on_probe,
    "PROBE-REPLY": on_probe_reply,
    "ASK": on_ask,
    "REVOKE": on_revoke,
}
