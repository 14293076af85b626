"""What a member holds: keys with their windows, the roster, a request to join."""

from __future__ import annotations

from dataclasses import dataclass, field

import crypto
import wire
from crypto import Grant, Material
from wire import Fields, Frame

ZERO8 = bytes(8)


@dataclass
class Window:
    """Thirty-two words of a block's number and its bits."""

    words: dict[int, tuple[int, int]] = field(default_factory=dict)

    def fresh(self, sequence: int) -> bool:
        block, bits = self.words.get(sequence // 32 % 32, (0, 0))
        return block < sequence // 32 or (block == sequence // 32 and not bits >> sequence % 32 & 1)

    def mark(self, sequence: int) -> None:
        block, bits = self.words.get(sequence // 32 % 32, (0, 0))
        bits = bits if block == sequence // 32 else 0
        self.words[sequence // 32 % 32] = (sequence // 32, bits | 1 << sequence % 32)


@dataclass
class Rhythm:
    """Pulse and epoch in seconds."""

    pulse: float
    epoch: float

    @staticmethod
    def of(pulse_ms: int, epoch_ms: int) -> Rhythm | None:
        fits = 100 <= pulse_ms <= 60_000 and epoch_ms >= 9 * pulse_ms
        return Rhythm(pulse_ms / 1000, epoch_ms / 1000) if fits else None

    @property
    def grace(self) -> float:
        return min(2.0, max(0.25, 0.4 * self.pulse))


@dataclass
class EpochKey:
    """One key and when it is valid."""

    material: Material
    chain: bytes
    number: int
    wire: int
    activation: float
    begin: float
    end: float
    # Until then it is remembered, with its windows, though it may have ended before.
    kept: float
    windows: dict[tuple[bytes, str], Window] = field(default_factory=dict)

    @staticmethod
    def new(material: Material, chain: bytes, number: int, wire: int, activation: float, rhythm: Rhythm) -> EpochKey:
        begin, end = activation - rhythm.grace, activation + 1.5 * rhythm.epoch
        return EpochKey(material, chain, number, wire, activation, begin, end, end)

    def valid(self, now: float) -> bool:
        return self.begin <= now < self.end

    def window(self, frame: Frame) -> Window:
        which = "signed" if frame.kind.signed else "unicast" if frame.unicast else "multicast"
        return self.windows.setdefault((frame.sender, which), Window())


@dataclass
class Member:
    """One of the mesh: where it is and when it was heard last."""

    grant: Grant
    wire: int
    address: bytes | None = None
    heard: float | None = None
    due: dict[bool, float] = field(default_factory=lambda: {False: 0.0, True: 0.0})

    def next_due(self, signed: bool, now: float) -> float | None:
        """1,000 frames a second, 256 ahead, the signed ones for themselves. None if this one is too many."""
        due = self.due[signed]
        return None if due > now + 0.256 else max(due, now) + 0.001


@dataclass(frozen=True)
class Revocations:
    """The root's list of the expelled; the highest number holds."""

    fields: Fields
    number: int = 0
    floor: int = 0
    nodes: frozenset[bytes] = frozenset()

    @staticmethod
    def verified(fields: Fields, root: bytes) -> Revocations | None:
        body = wire.emit("REVOKE", fields)
        message = b"nexus0 v1 revocations" + crypto.mesh_id(root) + body[:-64]
        if fields["n"] > 128 or not crypto.verify(root, message, fields["signature"]):
            return None
        expelled = frozenset(entry["node"] for entry in fields["entries"])
        return Revocations(fields, fields["number"], fields["floor"], expelled)

    def void(self, grant: Grant) -> bool:
        return grant.serial < self.floor or grant.node in self.nodes

    @property
    def held(self) -> bytes:
        return self.number.to_bytes(8, "big")


@dataclass
class Roster:
    """The members, their succession, and the digest that the anchor announced last."""

    root: bytes
    members: dict[bytes, Member] = field(default_factory=dict)
    order: list[bytes] = field(default_factory=list)
    announced: bytes = ZERO8
    lacking_since: float | None = None
    revocations: Revocations = field(default_factory=lambda: Revocations({}))
    _rows: dict[int, tuple[int, Grant]] = field(default_factory=dict)

    def verified(self, raw: bytes) -> Grant | None:
        """A grant of the root that was not revoked."""
        grant = Grant.verified(raw, self.root)
        return None if grant is None or self.revocations.void(grant) else grant

    def admit(self, grant: Grant, wire: int) -> Member:
        held = self.members.get(grant.node)
        if held is None or held.grant.serial < grant.serial:
            address, heard = (held.address, held.heard) if held else (None, None)
            self.members[grant.node] = Member(grant, wire, address, heard)
        else:
            held.wire = wire
        return self.members[grant.node]

    @property
    def digest(self) -> bytes:
        """Of what is held; zero while there is no order."""
        if not self.order:
            return ZERO8
        rows = (self.members[node] for node in self.order)
        return crypto.roster_digest([(member.wire, member.grant.raw) for member in rows])

    @property
    def complete(self) -> bool:
        return self.digest == self.announced

    def announce(self, digest: bytes, now: float) -> None:
        self.announced = digest
        self.judge(now)

    def judge(self, now: float) -> None:
        if self.complete:
            self.lacking_since = None
        elif self.lacking_since is None:
            self.lacking_since = now

    def row(self, position: int, wire: int, raw: bytes) -> None:
        grant = self.verified(raw)
        if grant is not None:
            self._rows[position] = (wire, grant)

    def take_up(self, members: int, now: float) -> bool:
        """The order, once different nodes stand in all positions. True if something changed."""
        rows = [self._rows.get(position) for position in range(members)]
        full = [row for row in rows if row is not None]
        if len(full) != members or len({grant.node for _, grant in full}) != members:
            return False
        before = self.digest
        for wire, grant in full:
            self.admit(grant, wire)
        self.order = [grant.node for _, grant in full]
        self.judge(now)
        if self.complete:
            self.members = {node: self.members[node] for node in self.order}
        return self.digest != before

    def strike(self, node: bytes) -> None:
        self.order = [other for other in self.order if other != node]
        self.members.pop(node, None)
        self._rows = dict(enumerate((self.members[n].wire, self.members[n].grant) for n in self.order))

    def seniority(self, node: bytes) -> int:
        return self.order.index(node) if node in self.order else len(self.order)

    def rank(self, node: bytes) -> tuple[int, int, bytes]:
        return self.members[node].grant.rank(self.seniority(node))

    def heard(self, now: float, within: float) -> set[bytes]:
        return {n for n, m in self.members.items() if m.heard is not None and now - m.heard <= within}


@dataclass
class Join:
    """One request and its tries."""

    nonce: bytes
    ephemeral: bytes
    since: float
    due: float
    attempt: int = 0
    taken: float | None = None
    taken_rank: tuple[int, int, bytes] | None = None
    beacons: dict[tuple[bytes, bytes], tuple[int, int, bytes]] = field(default_factory=dict)
