"""A member that never leads: PROTOCOL section 6 without what only anchors do. Frames and times come in, frames and
events go out; it opens no socket and reads no clock. What is said at the door is in door.py, keys and chains are in
turns.py, what members say to each other in members.py."""

from __future__ import annotations

import os
import random
from typing import Any

import crypto
import door
import members
import turns
import wire
from crypto import Grant, Identity, Material
from state import ZERO8, EpochKey, Join, Member, Rhythm, Roster
from wire import Fields, Frame

FOLLOWER, STATELESS, MEMBER, ANCHOR = 0, 1, 2, 3
ASK_ROSTER, ASK_NEXT, ASK_REVOCATIONS = 1, 2, 3


class Node:
    def __init__(self, identity: Identity, grant: Grant, root: bytes, address: bytes, now: float) -> None:
        self.identity, self.grant, self.address = identity, grant, address
        self.id, self.mesh = grant.node, crypto.mesh_id(root)
        self.door = Material.door(self.mesh)
        self.root = root
        self.roster = Roster(root)
        self.keys: list[EpochKey] = []
        self.rhythm = Rhythm(5.0, 60.0)
        self.anchor: bytes | None = None
        self.chain, self.parent = ZERO8, ZERO8
        self.numbers: dict[bytes, int] = {}
        self.preempting: tuple[bytes, EpochKey] | None = None
        self.named_next = bytes(4)
        self.sign_of_life = self.started = self.came_in = now
        self.gone = self.silenced = False
        self.last_anchor_frame: bytes | None = None
        self.join: Join | None = None
        self.asks: dict[int, float] = {}
        self.pass_on: tuple[float, int] | None = None
        self.pulse_due = self.probe_due = self.nonce_due = now
        self.door_nonces = [self._draw4(), self._draw4()]
        self.door_probes: dict[bytes, bytes] = {}
        self.repeats: dict[bytes, int] = {}
        self.held: set[bytes] = set()
        self.answered: set[bytes] = set()
        self.sequence = self.door_sequence = 0
        self.out: list[tuple[bytes, bytes]] = []
        self.events: list[dict[str, Any]] = []
        door.begin_join(self, now, "start")

    # What goes out.

    def send(self, name: str, fields: Fields, to: bytes, key: EpochKey | None = None) -> None:
        """Under an epoch key, or under the door's. A node that was expelled is silent."""
        if self.silenced:
            return
        if key is None:
            self.door_sequence += 1
            material, chain, sequence, version = self.door, ZERO8, self.door_sequence, wire.VERSIONS.start
        else:
            self.sequence += 1
            material, chain, sequence, version = key.material, key.chain, self.sequence, key.wire
        body = wire.emit(name, fields)
        payload = wire.build(
            name, body, material, chain, self.mesh, self.identity, sequence, self.address, to, version
        )
        self.out.append((to, payload))

    def say(self, what: str, **more: Any) -> None:
        self.events.append({"event": what} | more)

    @staticmethod
    def _draw4() -> bytes:
        while (drawn := os.urandom(4)) == bytes(4):
            pass
        return drawn

    def key_to_send(self, now: float) -> EpochKey | None:
        own = [key for key in self.keys if key.chain == self.chain and key.activation <= now < key.end]
        return max(own, key=lambda key: key.number, default=None)

    def next_key(self, now: float) -> EpochKey | None:
        if self.preempting is not None and self.preempting[1].material.id == self.named_next:
            return self.preempting[1]
        return next((key for key in self.keys if key.chain == self.chain and key.activation > now), None)

    def pulse(self, now: float) -> None:
        key = self.key_to_send(now)
        if key is None or self.anchor is None:
            return
        following = self.next_key(now)
        fields: Fields = {
            "status": FOLLOWER,
            "followed": self.anchor,
            "uptime": int(now - self.started),
            "profile": self.grant.profile,
            "roster": self.roster.digest,
            "next_key": following.material.id if following else bytes(4),
            "revocation": self.roster.revocations.number % 256 if key.wire >= 2 else 0,
        }
        self.send("ANN", fields, wire.GROUP, key)

    def to_member(self, now: float, node: bytes | None, name: str, fields: Fields) -> None:
        key, member = self.key_to_send(now), self.roster.members.get(node or b"")
        if key is not None and member is not None and member.address is not None:
            self.send(name, fields, member.address, key)

    def leave(self, now: float) -> None:
        key = self.key_to_send(now)
        if key is not None:
            self.send("BYE", {"chain": self.chain, "reason": 0}, wire.GROUP, key)

    # Time.

    def tick(self, now: float) -> None:
        self.keys = [key for key in self.keys if now < key.kept]
        if self.join is not None and self.join.taken is not None and now - self.join.taken > 0.05:
            self.join = None
        if self.join is not None and self.join.taken is None and now >= self.join.due:
            door.request(self, now, self.join)
        if now >= self.nonce_due:
            self.door_nonces = [self._draw4(), self.door_nonces[0]]
            self.nonce_due = now + self.rhythm.pulse
        turns.preemption_due(self, now)
        if now >= self.pulse_due:
            self.pulse_due = now + self.rhythm.pulse * random.uniform(0.9, 1.1)
            self.pulse(now)
        for what, due in list(self.asks.items()):
            if now >= due:
                del self.asks[what]
                members.ask_now(self, now, what)
        members.pass_on_due(self, now)
        if self.anchor is not None and self.join is None:
            members.suspect(self, now)
            self.look_after(now)

    def standing(self, now: float) -> int:
        """How many rank above this node among the members still heard."""
        heard = self.roster.heard(now, 2.5 * self.rhythm.pulse) - {self.anchor, self.id}
        return sum(1 for node in heard if self.roster.rank(node) > self.roster.rank(self.id))

    def look_after(self, now: float) -> None:
        """Reasons to join again."""
        key = self.key_to_send(now)
        if key is None or (now >= key.activation + self.rhythm.epoch and self.next_key(now) is None):
            door.begin_join(self, now, "the epoch ended without a next")
        lacking = self.roster.lacking_since
        if lacking is not None and now - lacking > 3 * self.rhythm.pulse:
            door.begin_join(self, now, "the announced roster was not held")
        elif now - self.came_in > 3 * self.rhythm.pulse and self.roster.complete and self.id not in self.roster.order:
            door.begin_join(self, now, "left out of the roster")

    def ask(self, now: float, what: int) -> None:
        self.asks.setdefault(what, now + random.uniform(0.1, 0.3))

    # What comes in.

    def receive(self, now: float, source: bytes, destination: bytes, payload: bytes) -> None:
        """Section 4; nothing is answered that does not pass."""
        try:
            frame = wire.shape(payload, source, destination)
            if frame.sender == self.id:
                return
            if frame.kind.door:
                self.receive_stranger(now, frame)
            else:
                self.receive_member(now, frame)
        except ValueError:
            return

    def receive_stranger(self, now: float, frame: Frame) -> None:
        if frame.key_id != self.door.id or not frame.pre_tag_right(self.door):
            return
        if (frame.name in ("ANSWER", "HOLD") and self.join is None) or not frame.tag_right(self.door):
            return
        if frame.name in door.HANDLERS:
            door.HANDLERS[frame.name](self, now, frame, frame.fields)
        elif frame.name == "DOOR-REVOKE":
            members.on_revocations(self, now, frame.fields)

    def receive_member(self, now: float, frame: Frame) -> None:
        key = next((key for key in self.keys if key.material.id == frame.key_id), None)
        if key is None or not frame.pre_tag_right(key.material) or not key.valid(now):
            return
        member = self.roster.members.get(frame.sender)
        if member is None or frame.sequence >= 2**37 or not key.window(frame).fresh(frame.sequence):
            return
        due = member.next_due(frame.kind.signed, now)
        if due is None or not frame.tag_right(key.material):
            return
        if frame.kind.signed and not frame.signature_right(member.grant.public, self.mesh, key.chain):
            return
        key.window(frame).mark(frame.sequence)
        member.due[frame.kind.signed] = due
        self.note(now, frame, member)
        if frame.name in turns.HANDLERS:
            turns.HANDLERS[frame.name](self, now, frame, frame.fields, key)
        elif frame.name in members.HANDLERS:
            members.HANDLERS[frame.name](self, now, frame, frame.fields, key)

    def note(self, now: float, frame: Frame, member: Member) -> None:
        member.heard = now
        if frame.kind.signed or member.address is None:
            member.address = frame.source

    def alive(self, now: float) -> None:
        self.sign_of_life, self.gone = now, False
