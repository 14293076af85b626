"""A member that never leads: PROTOCOL section 6 without what only anchors do. Frames and times come in, frames and
events go out; it opens no socket and reads no clock."""

from __future__ import annotations

import os
import random
from typing import Any

import crypto
import wire
from crypto import Grant, Identity, Material
from state import ZERO8, EpochKey, Join, Member, Rhythm, Roster
from wire import Fields, Frame

FOLLOWER, STATELESS, MEMBER, ANCHOR = 0, 1, 2, 3
PROMOTION = 1
ASK_ROSTER, ASK_NEXT = 1, 2


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
        self.number = 0
        self.sign_of_life = now
        self.gone = False
        self.last_anchor_frame: bytes | None = None
        self.join: Join | None = None
        self.asks: dict[int, float] = {}
        self.pulse_due = self.probe_due = self.nonce_due = now
        self.door_nonces = [self._draw4(), self._draw4()]
        self.door_probes: dict[bytes, bytes] = {}
        self.repeats: dict[bytes, int] = {}
        self.held: set[bytes] = set()
        self.answered: set[bytes] = set()
        self.sequence = self.door_sequence = 0
        self.started = self.came_in = now
        self.out: list[tuple[bytes, bytes]] = []
        self.events: list[dict[str, Any]] = []
        self.begin_join(now, "start")

    # What goes out.

    def send(self, name: str, fields: Fields, to: bytes, key: EpochKey | None = None) -> None:
        """Under an epoch key, or under the door's."""
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
        }
        self.send("ANN", fields, wire.GROUP, key)

    def to_anchor(self, now: float, name: str, fields: Fields) -> None:
        key, anchor = self.key_to_send(now), self.roster.members.get(self.anchor or b"")
        if key is not None and anchor is not None and anchor.address is not None:
            self.send(name, fields, anchor.address, key)

    def leave(self, now: float) -> None:
        key = self.key_to_send(now)
        if key is not None:
            self.send("BYE", {"chain": self.chain, "reason": 0}, wire.GROUP, key)

    # Time.

    def tick(self, now: float) -> None:
        self.keys = [key for key in self.keys if now < key.end]
        if self.join is not None and self.join.taken is not None and now - self.join.taken > 0.05:
            self.join = None
        if self.join is not None and self.join.taken is None and now >= self.join.due:
            self.request(now, self.join)
        if now >= self.nonce_due:
            self.door_nonces = [self._draw4(), self.door_nonces[0]]
            self.nonce_due = now + self.rhythm.pulse
        if now >= self.pulse_due:
            self.pulse_due = now + self.rhythm.pulse * random.uniform(0.9, 1.1)
            self.pulse(now)
        for what, due in list(self.asks.items()):
            if now >= due:
                del self.asks[what]
                self.ask_now(now, what)
        if self.anchor is not None and self.join is None:
            self.suspect(now)
            self.look_after(now)

    def suspect(self, now: float) -> None:
        pulse = self.rhythm.pulse
        if now - self.sign_of_life < 1.25 * pulse or now < self.probe_due:
            return
        self.probe_due = now + pulse / 5
        if self.standing(now) < 16:
            self.to_anchor(now, "PROBE", {"nonce": os.urandom(16)})

    def standing(self, now: float) -> int:
        """How many rank above this node among the members still heard."""
        heard = self.roster.heard(now, 2.5 * self.rhythm.pulse) - {self.anchor, self.id}
        return sum(1 for node in heard if self.roster.rank(node) > self.roster.rank(self.id))

    def look_after(self, now: float) -> None:
        """Reasons to join again."""
        key = self.key_to_send(now)
        if key is None or (now >= key.activation + self.rhythm.epoch and self.next_key(now) is None):
            self.begin_join(now, "the epoch ended without a next")
        lacking = self.roster.lacking_since
        if lacking is not None and now - lacking > 3 * self.rhythm.pulse:
            self.begin_join(now, "the announced roster was not held")
        elif now - self.came_in > 3 * self.rhythm.pulse and self.roster.complete and self.id not in self.roster.order:
            self.begin_join(now, "left out of the roster")

    def ask(self, now: float, what: int) -> None:
        self.asks.setdefault(what, now + random.uniform(0.1, 0.3))

    def ask_now(self, now: float, what: int) -> None:
        """Unless what was missing has come meanwhile."""
        if (what == ASK_ROSTER and self.roster.complete) or (what == ASK_NEXT and self.next_key(now) is not None):
            return
        self.say("ask", about=what)
        self.to_anchor(now, "ASK", {"what": what, "held": self.roster.digest if what == ASK_ROSTER else ZERO8})

    # Joining.

    def begin_join(self, now: float, why: str) -> None:
        if self.join is None:
            self.join = Join(os.urandom(16), os.urandom(32), now, now)
            self.say("joining", why=why)

    def request(self, now: float, join: Join) -> None:
        fields: Fields = {
            "door_nonce": self.binding(join),
            "nonce": join.nonce,
            "ephemeral": crypto.x25519_public(join.ephemeral),
            "grant": self.grant.raw,
            "attempt": min(join.attempt, 255),
            "lowest": wire.VERSIONS.start,
            "highest": wire.VERSIONS.stop - 1,
        }
        self.send("REQ_EPOCH", fields, wire.GROUP)
        pause = (0.08, 0.12, 0.16)[min(join.attempt, 2)]
        join.attempt += 1
        join.due = now + pause * random.uniform(0.8, 1.2)

    def binding(self, join: Join) -> bytes:
        """The first, third, .. try to the highest number's anchor, the others to one of those heard."""
        if not join.beacons:
            return bytes(4)
        heard = list(join.beacons.values())
        return max(heard)[2] if join.attempt % 2 == 0 else random.choice(heard)[2]

    def on_beacon(self, now: float, frame: Frame, f: Fields) -> None:
        if self.join is None or self.stranger(frame, f["grant"]) is None:
            return
        beacons, place = self.join.beacons, (frame.sender, f["chain"])
        if place not in beacons and len(beacons) >= 8:
            del beacons[random.choice(list(beacons))]
        beacons[place] = max(beacons.get(place, (0, 0, b"")), (f["number"], frame.sequence, f["door_nonce"]))

    def on_answer(self, now: float, frame: Frame, f: Fields) -> None:
        join, grant = self.join, self.stranger(frame, f["grant"])
        if join is None or grant is None:
            return
        if join.taken_rank is not None and grant.rank() <= join.taken_rank:
            return
        ephemeral = crypto.x25519_public(join.ephemeral)
        request = crypto.request_id(self.id, join.nonce, ephemeral)
        entry = next((e for e in f["entries"] if (e["request"], e["node"]) == (request, self.id)), None)
        shared = crypto.agree(join.ephemeral, f["ephemeral"])
        if entry is None or shared is None:
            return
        key = crypto.answer_box_key(shared, self.mesh, request, grant.node, self.id, f["ephemeral"], ephemeral)
        plain = crypto.unseal(key, entry["box"], frame.authenticated[24 + 32 : 24 + 48])
        rhythm = Rhythm.of(f["pulse"], f["epoch"])
        if plain is None or rhythm is None or f["wire"] not in wire.VERSIONS:
            return
        if f["chain"] == self.chain and f["number"] < self.number:
            return
        self.take_answer(now, frame, f, grant, plain, rhythm, join)

    def take_answer(
        self, now: float, frame: Frame, f: Fields, grant: Grant, plain: bytes, rhythm: Rhythm, join: Join
    ) -> None:
        end = now + f["remaining"] / 1000
        current = Material.of(self.mesh, plain[:32])
        if not self.usable(current):
            return
        self.rhythm = rhythm
        self.follow(now, grant.node, f["chain"], f["number"], ZERO8)
        self.install(EpochKey.new(current, f["chain"], f["number"], f["wire"], end - rhythm.epoch, rhythm))
        if f["flags"] & 1 and f["next_wire"] in wire.VERSIONS:
            following = Material.of(self.mesh, plain[32:64])
            if self.usable(following):
                self.install(EpochKey.new(following, f["chain"], f["number"] + 1, f["next_wire"], end, rhythm))
        self.sequence = max(self.sequence, int.from_bytes(plain[64:], "big"))
        self.roster.admit(self.grant, wire.VERSIONS.stop - 1)
        anchor = self.roster.admit(grant, wire.VERSIONS.start)
        anchor.address, anchor.heard = frame.source, now
        join.taken, join.taken_rank, self.came_in = now, grant.rank(), now
        self.say("joined", anchor=grant.name, chain=f["chain"].hex(), number=f["number"])
        self.announced(now, f["roster"])
        self.pulse(now)

    # Keys and chains.

    def usable(self, material: Material) -> bool:
        return material.id not in (bytes(4), self.door.id)

    def install(self, key: EpochKey) -> None:
        """The one before in its chain ends with its grace; of more than four the first to end goes."""
        if any(held.material.id == key.material.id for held in self.keys):
            return
        for held in self.keys:
            if held.chain == key.chain and held.number < key.number:
                held.end = min(held.end, key.activation + self.rhythm.grace)
        self.keys = sorted([*self.keys, key], key=lambda key: key.end)[-4:]
        self.number = max(self.number, key.number)

    def follow(self, now: float, anchor: bytes, chain: bytes, number: int, parent: bytes) -> None:
        if chain != self.chain:
            for key in self.keys:
                key.end = min(key.end, now + self.rhythm.pulse)
            self.number = number
        self.anchor, self.chain, self.parent = anchor, chain, parent
        self.sign_of_life, self.gone, self.last_anchor_frame = now, False, None

    def announced(self, now: float, digest: bytes) -> None:
        self.roster.announce(digest, now)
        if not self.roster.complete:
            self.ask(now, ASK_ROSTER)

    def open_epoch(self, frame: Frame, f: Fields, key: EpochKey) -> Material | None:
        body = frame.authenticated[24:]
        chain, number = f["chain"], f["number"].to_bytes(8, "big")
        box_key = crypto.epoch_box_key(key.material.seal, f["salt"], self.mesh, frame.sender, chain, number)
        secret = crypto.unseal(box_key, f["sealed"], body[:216])
        material = Material.of(self.mesh, secret) if secret is not None else None
        return material if material and material.id == f["key_id"] and self.usable(material) else None

    def on_epoch(self, now: float, frame: Frame, f: Fields, key: EpochKey) -> None:
        rhythm, material = Rhythm.of(f["pulse"], f["epoch"]), self.open_epoch(frame, f, key)
        if rhythm is None or material is None or f["wire"] not in wire.VERSIONS:
            return
        activation = now + f["activates_in"] / 1000
        announced = EpochKey.new(material, f["chain"], f["number"], f["wire"], activation, rhythm)
        if f["flags"] & PROMOTION:
            self.on_promotion(now, frame, f, key, announced)
        elif frame.sender == self.anchor and key.chain == f["chain"] == self.chain:
            self.alive(now)
            if f["number"] > self.number and self.next_key(now) is None:
                self.install(announced)
                self.say("announced", number=f["number"], key=material.id.hex())
            self.announced(now, f["roster"])

    def on_promotion(self, now: float, frame: Frame, f: Fields, key: EpochKey, announced: EpochKey) -> None:
        if key.chain != f["parent"] or f["chain"] == self.chain:
            return
        rival = f["parent"] == self.parent and self.anchor is not None
        if rival and self.roster.rank(frame.sender) <= self.roster.rank(self.anchor or b""):
            return
        if not rival:
            if f["parent"] != self.chain or f["number"] <= self.number or frame.sender == self.anchor:
                return
            silent = now - self.sign_of_life >= 2.25 * self.rhythm.pulse
            if not silent and not self.gone:
                self.still_here(frame, f, key)
                return
            self.roster.strike(self.anchor or b"")
        self.follow(now, frame.sender, f["chain"], f["number"], f["parent"])
        self.install(announced)
        self.roster.announce(f["roster"], now)
        self.pulse_due = now + random.uniform(0, self.rhythm.pulse / 10)
        name = self.roster.members[frame.sender].grant.name
        self.say("promotion", anchor=name, chain=f["chain"].hex(), number=f["number"])

    def still_here(self, frame: Frame, f: Fields, key: EpochKey) -> None:
        anchor = self.roster.members.get(self.anchor or b"")
        if f["chain"] in self.answered or self.last_anchor_frame is None or anchor is None or anchor.address is None:
            return
        self.answered.add(f["chain"])
        self.say("still-here")
        self.send("STILL-HERE", {"address": anchor.address, "anchor": self.last_anchor_frame}, frame.source, key)

    # What members say.

    def alive(self, now: float) -> None:
        self.sign_of_life, self.gone = now, False

    def on_anchor(self, now: float, frame: Frame, f: Fields, key: EpochKey) -> None:
        if frame.sender != self.anchor or key.chain != self.chain:
            return
        self.alive(now)
        self.last_anchor_frame = frame.authenticated
        self.announced(now, f["roster"])
        if f["next_key"] != bytes(4) and all(held.material.id != f["next_key"] for held in self.keys):
            self.ask(now, ASK_NEXT)

    def on_roster(self, now: float, frame: Frame, f: Fields, key: EpochKey) -> None:
        if frame.sender != self.anchor or key.chain != self.chain or f["chain"] != self.chain:
            return
        self.alive(now)
        if f["number"] < self.number and self.next_key(now) is None:
            return
        for entry in f["entries"]:
            self.roster.row(entry["position"], entry["wire"], entry["grant"])
        self.roster.announce(f["roster"], now)
        if self.roster.take_up(f["members"], now):
            self.say("roster", members=len(self.roster.order), complete=self.roster.complete)
        self.announced(now, f["roster"])

    def on_bye(self, now: float, frame: Frame, f: Fields, key: EpochKey) -> None:
        member = self.roster.members[frame.sender]
        if f["reason"] == 0 and frame.sender != self.anchor:
            member.heard = None
        elif frame.sender == self.anchor and f["chain"] == self.chain == key.chain:
            self.gone = True
            if f["reason"] in (1, 2):
                self.begin_join(now, "the anchor stepped back")

    def on_probe(self, now: float, frame: Frame, f: Fields, key: EpochKey) -> None:
        self.say("probed")
        self.send("PROBE-REPLY", {"nonce": f["nonce"], "state": MEMBER}, frame.source, key)

    def on_probe_reply(self, now: float, frame: Frame, f: Fields, key: EpochKey) -> None:
        if frame.sender == self.anchor and key.chain == self.chain:
            if f["state"] == ANCHOR:
                self.alive(now)
            else:
                self.gone = True

    # What strangers say. Their grant stands in the frame, and their signature is under it.

    def stranger(self, frame: Frame, raw: bytes) -> Grant | None:
        grant = Grant.verified(raw, self.root)
        if grant is None or grant.node != frame.sender:
            return None
        return grant if frame.signature_right(grant.public, self.mesh, ZERO8) else None

    def on_door_probe(self, now: float, frame: Frame, f: Fields) -> None:
        if self.stranger(frame, f["grant"]) is not None:
            self.say("probed at the door")
            state = MEMBER if self.anchor is not None else STATELESS
            self.send("DOOR-REPLY", {"nonce": f["nonce"], "state": state}, frame.source)

    def on_door_reply(self, now: float, frame: Frame, f: Fields) -> None:
        anchor = self.roster.members.get(self.anchor or b"")
        if self.door_probes.get(f["nonce"]) != frame.sender or frame.sender != self.anchor or anchor is None:
            return
        if frame.signature_right(anchor.grant.public, self.mesh, ZERO8) and f["state"] != ANCHOR:
            self.gone = True

    def on_request(self, now: float, frame: Frame, f: Fields) -> None:
        if self.anchor is None or self.stranger(frame, f["grant"]) is None:
            return
        if frame.sender == self.anchor:
            nonce = self.door_nonces[0] + os.urandom(12)
            self.door_probes = {nonce: frame.sender}
            self.send("DOOR-PROBE", {"nonce": nonce, "grant": self.grant.raw}, frame.source)
            return
        request = crypto.request_id(frame.sender, f["nonce"], f["ephemeral"])
        self.repeats = dict(list(self.repeats.items())[-63:])
        self.repeats[request] = self.repeats.get(request, 0) + 1
        silent = now - self.sign_of_life > 1.25 * self.rhythm.pulse
        asked_in_vain = silent or self.gone or self.repeats[request] == 3
        if asked_in_vain and request not in self.held and self.standing(now) < 3:
            self.held.add(request)
            self.send("HOLD", {"request": request, "grant": self.grant.raw}, frame.source)

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
        handlers = {
            "ANSWER": self.on_answer,
            "BEACON": self.on_beacon,
            "REQ_EPOCH": self.on_request,
            "DOOR-PROBE": self.on_door_probe,
            "DOOR-REPLY": self.on_door_reply,
        }
        if frame.name in handlers:
            handlers[frame.name](now, frame, frame.fields)

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
        handlers = {
            "ANCHOR": self.on_anchor,
            "EPOCH": self.on_epoch,
            "ROSTER": self.on_roster,
            "BYE": self.on_bye,
            "PROBE": self.on_probe,
            "PROBE-REPLY": self.on_probe_reply,
        }
        if frame.name in handlers:
            handlers[frame.name](now, frame, frame.fields, key)

    def note(self, now: float, frame: Frame, member: Member) -> None:
        member.heard = now
        if frame.kind.signed or member.address is None:
            member.address = frame.source
