"""Frames: PROTOCOL section 3 as a table of layouts, written as the document writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import crypto
from crypto import Identity, Material

GROUP = bytes.fromhex("ff02" + "00" * 13 + "01")
LINK_LOCAL = bytes.fromhex("fe80" + "00" * 6)
PORT = 19541
VERSIONS = range(1, 3)

Fields = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A row of the table of types. `length` is L, None where any is allowed."""

    number: int
    classes: str
    door: bool
    length: int | None
    signed: bool


def _kinds() -> dict[str, Kind]:
    rows = """
        1 ANN multicast epoch 55 no         11 REVOKE multicast epoch any no      16 REQ_EPOCH multicast door 439 yes
        2 ANCHOR multicast epoch 119 yes    12 REKEY multicast epoch any yes      17 ANSWER multicast door any yes
        3 EPOCH multicast epoch 375 yes     13 MERGE multicast epoch 439 yes      18 BEACON multicast door 247 yes
        4 ROSTER multicast epoch any yes    14 PROOF multicast epoch any no       19 HOLD unicast door 247 yes
        5 BYE multicast epoch 119 yes       15 INTRODUCE unicast epoch any no     20 DOOR-PROBE unicast door 247 yes
        6 STILL-HERE unicast epoch 183 no   7 PROBE unicast epoch 55 no           21 DOOR-REPLY unicast door 119 yes
        8 PROBE-REPLY unicast epoch 119 yes 9 ASK unicast epoch 55 no             22 DOOR-REVOKE multicast door any no
        10 DATA either epoch any no"""
    words = rows.split()
    table = {}
    for number, name, classes, key, length, signed in zip(*(words[i::6] for i in range(6)), strict=True):
        fixed = None if length == "any" else int(length)
        table[name] = Kind(int(number), classes, key == "door", fixed, signed == "yes")
    return table


KINDS = _kinds()
NAMES = {kind.number: name for name, kind in KINDS.items()}

_PULSE = "status #1, flags #1, followed 8, uptime #4, profile 4, roster 8, next_key 4, revocation #1"
_TURN = (
    "chain 8, parent 8, number #8, key_id 4, activates_in #4, epoch #4, pulse #4, flags #1, wire #1, members #2, "
    "roster 8, revocation #4, "
)
_LIST = ("number #4, floor #4, n #1", "node 8", "signature 64")

# Fields before the entries, of an entry, behind them; `#` marks an integer.
LAYOUTS: dict[str, tuple[str, str, str]] = {
    "ANN": (_PULSE, "", ""),
    "ANCHOR": (_PULSE, "", ""),
    "EPOCH": (_TURN + "succession 128, salt 32, sealed 48", "", ""),
    "ROSTER": ("chain 8, number #8, roster 8, members #2, n #1, spare 1", "position #2, wire #1, grant 134", ""),
    "BYE": ("chain 8, reason #1", "", ""),
    "STILL-HERE": ("address 16, anchor 119", "", ""),
    "PROBE": ("nonce 16", "", ""),
    "PROBE-REPLY": ("nonce 16, state #1", "", ""),
    "ASK": ("what #1, held 8", "", ""),
    "REVOKE": _LIST,
    "DOOR-REVOKE": _LIST,
    "REKEY": (_TURN + "ephemeral 32, n #1, page #1, pages #1, spare 1", "node 8, box 48", ""),
    "MERGE": (
        "chain 8, number #8, remaining #4, epoch #4, pulse #4, flags #1, wire #1, next_wire #1, spare 1, roster 8, "
        "members #2, revocation #4, address 16, grant 134, salt 32, box 80",
        "",
        "",
    ),
    "PROOF": ("n #1, spare 7", "chain 8, address 16, frame 375", ""),
    "INTRODUCE": ("n #1", "wire #1, grant 134", ""),
    "REQ_EPOCH": (
        "door_nonce 4, nonce 16, ephemeral 32, grant 134, attempt #1, lowest #1, highest #1, reigning #8",
        "",
        "",
    ),
    "ANSWER": (
        "ephemeral 32, chain 8, number #8, flags #1, n #1, epoch #4, pulse #4, remaining #4, roster 8, members #2, "
        "revocation #4, grant 134, wire #1, next_wire #1",
        "request 16, node 8, box 88",
        "",
    ),
    "BEACON": ("chain 8, number #8, revocation #4, door_nonce 4, grant 134", "", ""),
    "HOLD": ("request 16, grant 134", "", ""),
    "DOOR-PROBE": ("nonce 16, grant 134", "", ""),
    "DOOR-REPLY": ("nonce 16, state #1", "", ""),
}


def _read(layout: str, body: bytes, at: int) -> tuple[Fields, int]:
    fields: Fields = {}
    for field in filter(None, layout.split(", ")):
        name, size = field.split()
        end = at + int(size.lstrip("#"))
        if end > len(body):
            raise ValueError(f"ends before its {name}")
        fields[name] = int.from_bytes(body[at:end], "big") if size.startswith("#") else body[at:end]
        at = end
    return fields, at


def _write(layout: str, fields: Fields) -> bytes:
    body = b""
    for field in filter(None, layout.split(", ")):
        name, size = field.split()
        length = int(size.lstrip("#"))
        value = fields.get(name, 0 if size.startswith("#") else bytes(length))
        body += value.to_bytes(length, "big") if isinstance(value, int) else value
    return body


def parse(name: str, body: bytes) -> Fields:
    """The fields of a body; entries stand under `entries`. ValueError where it is too short."""
    first, entry, last = LAYOUTS[name]
    fields, at = _read(first, body, 0)
    if entry:
        fields["entries"] = []
        for _ in range(fields["n"]):
            one, at = _read(entry, body, at)
            fields["entries"].append(one)
    more, _ = _read(last, body, at)
    return fields | more


def emit(name: str, fields: Fields) -> bytes:
    """A body without padding and signature. What is not given is zero."""
    first, entry, last = LAYOUTS[name]
    entries = fields.get("entries", [])
    fields = fields | ({"n": len(entries)} if entry else {})
    return _write(first, fields) + b"".join(_write(entry, one) for one in entries) + _write(last, fields)


@dataclass(frozen=True)
class Frame:
    """A frame whose shape is right and whose key is to be found."""

    name: str
    version: int
    unicast: bool
    key_id: bytes
    sender: bytes
    sequence: int
    source: bytes
    destination: bytes
    authenticated: bytes
    trailer: bytes

    @property
    def kind(self) -> Kind:
        return KINDS[self.name]

    @property
    def fields(self) -> Fields:
        return parse(self.name, self.authenticated[24 : -64 if self.kind.signed else None])

    def pre_tag_right(self, key: Material) -> bool:
        return self.trailer[:8] == pre_tag(key, self.authenticated, self.source, self.destination, self.trailer[8:])

    def tag_right(self, key: Material) -> bool:
        return key.tag_right(self.authenticated, self.trailer[8:])

    def signature_right(self, public_key: bytes, mesh: bytes, chain: bytes) -> bool:
        signed, signature = self.authenticated[:-64], self.authenticated[-64:]
        message = signed_message(mesh, chain, self.source, self.destination, signed)
        return crypto.verify(public_key, message, signature)


def signed_message(mesh: bytes, chain: bytes, source: bytes, destination: bytes, frame: bytes) -> bytes:
    return b"nexus0 v1 frame" + mesh + chain + source + destination + frame


def pre_tag(key: Material, authenticated: bytes, source: bytes, destination: bytes, tag: bytes) -> bytes:
    folded = bytes(a ^ b ^ c ^ d for a, b, c, d in zip(tag[:8], tag[8:16], tag[16:24], tag[24:]))
    to = destination[8:] if authenticated[3] & 0x80 else b""
    sender, sequence = authenticated[8:16], authenticated[17:24]
    return crypto.siphash13(key.pre_tag, source[8:] + sender + folded + to + sequence)


def shape(payload: bytes, source: bytes, destination: bytes) -> Frame:
    """Section 4, shape. ValueError says what is wrong."""
    if source[:8] != LINK_LOCAL:
        raise ValueError("source")
    if destination != GROUP and destination[:8] != LINK_LOCAL:
        raise ValueError("destination")
    if len(payload) < 24 + 40 or payload[:2] != b"N0":
        raise ValueError("magic")
    if payload[2] not in VERSIONS:
        raise ValueError("version")
    name, unicast = NAMES.get(payload[3] & 0x7F), payload[3] & 0x80 != 0
    if unicast == (destination == GROUP):
        raise ValueError("class")
    if name is None or KINDS[name].classes not in ("either", "unicast" if unicast else "multicast"):
        raise ValueError("type")
    length = len(payload) - 40
    if (KINDS[name].length or length) != length or (length + 9) % 64 or not 1 <= (length + 9) // 64 <= 18:
        raise ValueError("length")
    if KINDS[name].signed and length < 24 + 64:
        raise ValueError("length")
    sequence = int.from_bytes(payload[16:24], "big")
    return Frame(
        name,
        payload[2],
        unicast,
        payload[4:8],
        payload[8:16],
        sequence,
        source,
        destination,
        payload[:length],
        payload[length:],
    )


def build(
    name: str,
    body: bytes,
    key: Material,
    chain: bytes,
    mesh: bytes,
    identity: Identity,
    sequence: int,
    source: bytes,
    destination: bytes,
    version: int,
) -> bytes:
    """A whole UDP payload."""
    kind = KINDS[name]
    unicast = 0 if destination == GROUP else 0x80
    sender = crypto.sha256(identity.public)[:8]
    frame = b"N0" + bytes([version, kind.number | unicast]) + key.id + sender + sequence.to_bytes(8, "big") + body
    tail = 64 if kind.signed else 0
    length = kind.length or -(-(len(frame) + tail + 9) // 64) * 64 - 9
    frame += bytes(length - tail - len(frame))
    if kind.signed:
        frame += identity.sign(signed_message(mesh, chain, source, destination, frame))
    tag = key.tag(frame)
    return frame + pre_tag(key, frame, source, destination, tag) + tag
