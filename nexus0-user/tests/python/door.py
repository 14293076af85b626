"""What is said under the door's key: joining, and what a member answers to strangers."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import crypto
import node as nodes
import turns
import wire
from crypto import Grant
from state import ZERO8, Join, Rhythm
from wire import Fields, Frame

if TYPE_CHECKING:
    from node import Node


def begin_join(node: Node, now: float, why: str) -> None:
    if node.join is None:
        node.join = Join(os.urandom(16), os.urandom(32), now, now)
        node.say("joining", why=why)


def request(node: Node, now: float, join: Join) -> None:
    fields: Fields = {
        "door_nonce": binding(join),
        "nonce": join.nonce,
        "ephemeral": crypto.x25519_public(join.ephemeral),
        "grant": node.grant.raw,
        "attempt": min(join.attempt, 255),
        "lowest": wire.VERSIONS.start,
        "highest": wire.VERSIONS.stop - 1,
    }
    node.send("REQ_EPOCH", fields, wire.GROUP)
    pause = (0.08, 0.12, 0.16)[min(join.attempt, 2)]
    join.attempt += 1
    join.due = now + pause * random.uniform(0.8, 1.2)


def binding(join: Join) -> bytes:
    """The first, third, .. try to the highest number's anchor, the others to one of those heard."""
    if not join.beacons:
        return bytes(4)
    heard = list(join.beacons.values())
    return max(heard)[2] if join.attempt % 2 == 0 else random.choice(heard)[2]


def stranger(node: Node, frame: Frame, raw: bytes) -> Grant | None:
    """The grant in the frame, if it verifies and the frame's signature is under it."""
    grant = node.roster.verified(raw)
    if grant is None or grant.node != frame.sender:
        return None
    return grant if frame.signature_right(grant.public, node.mesh, ZERO8) else None


def on_beacon(node: Node, now: float, frame: Frame, f: Fields) -> None:
    if node.join is None or stranger(node, frame, f["grant"]) is None:
        return
    beacons, place = node.join.beacons, (frame.sender, f["chain"])
    if place not in beacons and len(beacons) >= 8:
        del beacons[random.choice(list(beacons))]
    beacons[place] = max(beacons.get(place, (0, 0, b"")), (f["number"], frame.sequence, f["door_nonce"]))


def on_answer(node: Node, now: float, frame: Frame, f: Fields) -> None:
    join, grant = node.join, stranger(node, frame, f["grant"])
    if join is None or grant is None:
        return
    if join.taken_rank is not None and grant.rank() <= join.taken_rank:
        return
    ephemeral = crypto.x25519_public(join.ephemeral)
    asked = crypto.request_id(node.id, join.nonce, ephemeral)
    entry = next((e for e in f["entries"] if (e["request"], e["node"]) == (asked, node.id)), None)
    shared = crypto.agree(join.ephemeral, f["ephemeral"])
    rhythm = Rhythm.of(f["pulse"], f["epoch"])
    if entry is None or shared is None or rhythm is None:
        return
    key = crypto.answer_box_key(shared, node.mesh, asked, grant.node, node.id, f["ephemeral"], ephemeral)
    plain = crypto.unseal(key, entry["box"], frame.authenticated[24 + 32 : 24 + 48])
    if plain is None or not turns.take_up(node, now, f, grant, plain[:64], rhythm, frame.source):
        return
    node.sequence = max(node.sequence, int.from_bytes(plain[64:], "big"))
    join.taken, join.taken_rank = now, grant.rank()
    node.say("joined", anchor=grant.name, chain=f["chain"].hex(), number=f["number"])
    turns.announced(node, now, f)
    node.pulse(now)


def on_door_probe(node: Node, now: float, frame: Frame, f: Fields) -> None:
    if stranger(node, frame, f["grant"]) is not None:
        node.say("probed at the door")
        state = nodes.MEMBER if node.anchor is not None else nodes.STATELESS
        node.send("DOOR-REPLY", {"nonce": f["nonce"], "state": state}, frame.source)


def on_door_reply(node: Node, now: float, frame: Frame, f: Fields) -> None:
    anchor = node.roster.members.get(node.anchor or b"")
    if node.door_probes.get(f["nonce"]) != frame.sender or frame.sender != node.anchor or anchor is None:
        return
    if frame.signature_right(anchor.grant.public, node.mesh, ZERO8) and f["state"] != nodes.ANCHOR:
        node.gone = True


def on_request(node: Node, now: float, frame: Frame, f: Fields) -> None:
    if node.anchor is None or stranger(node, frame, f["grant"]) is None:
        return
    if frame.sender == node.anchor:
        if f["reigning"] == 0:
            nonce = node.door_nonces[0] + os.urandom(12)
            node.door_probes = {nonce: frame.sender}
            node.send("DOOR-PROBE", {"nonce": nonce, "grant": node.grant.raw}, frame.source)
        return
    asked = crypto.request_id(frame.sender, f["nonce"], f["ephemeral"])
    node.repeats = dict(list(node.repeats.items())[-63:])
    node.repeats[asked] = node.repeats.get(asked, 0) + 1
    silent = now - node.sign_of_life > 1.25 * node.rhythm.pulse
    in_vain = silent or node.gone or node.repeats[asked] == 3
    if in_vain and asked not in node.held and node.standing(now) < 3:
        node.held.add(asked)
        node.send("HOLD", {"request": asked, "grant": node.grant.raw}, frame.source)


HANDLERS: dict[str, Callable[[Node, float, Frame, Fields], None]] = {
    "ANSWER": on_answer,
    "BEACON": on_beacon,
    "REQ_EPOCH": on_request,
    "DOOR-PROBE": on_door_probe,
    "DOOR-REPLY": on_door_reply,
}
