"""Every golden vector, both ways: `vectors.py FILE`. With `--spoilt`, each value is changed by one bit, and a change
that is not noticed is the failure."""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Iterator
from typing import Any

import crypto
import wire
from crypto import Grant, Identity, Material
from state import Revocations

Vectors = dict[str, Any]


def person(v: Vectors, mesh_root: bytes) -> Vectors:
    """All that follows from a seed and a grant."""
    identity = Identity(bytes.fromhex(v["ed25519_seed"]))
    grant = Grant.verified(bytes.fromhex(v["grant"]), mesh_root)
    if grant is None or grant.public != identity.public:
        raise ValueError("a grant does not verify")
    if crypto.x25519_public(identity.agreement_secret) != crypto.agreement_public(identity.public):
        raise ValueError("the two ways to the agreement key differ")
    return {
        "ed25519_seed": identity.seed.hex(),
        "ed25519_public": identity.public.hex(),
        "x25519_public": crypto.agreement_public(identity.public).hex(),
        "id_hash": grant.id_hash.hex(),
        "node_id": grant.node.hex(),
        "grant": grant.raw.hex(),
        "profile": grant.profile.hex(),
    }


def material(key: Material) -> Vectors:
    return {
        "secret": key.secret.hex(),
        "mac_key": key.mac.hex(),
        "pre_tag_key": key.pre_tag.hex(),
        "seal_key": key.seal.hex(),
        "key_id": key.id.hex(),
    }


def answer_box(v: Vectors, mesh: bytes, anchor: bytes, joiner: bytes, request: Vectors) -> Vectors:
    """Sealed by the anchor, opened by the joiner."""
    mine, theirs = bytes.fromhex(v["anchor_ephemeral_secret"]), bytes.fromhex(v["joiner_ephemeral_secret"])
    anchors, joiners = crypto.x25519_public(mine), crypto.x25519_public(theirs)
    request_id = crypto.request_id(joiner, request["nonce"], joiners)
    plain = bytes.fromhex(v["current"]) + bytes.fromhex(v["next"]) + v["sequence_floor"].to_bytes(8, "big")
    associated = bytes.fromhex(v["associated_data"])
    shared = [crypto.agree(mine, joiners), crypto.agree(theirs, anchors)]
    keys = [crypto.answer_box_key(s or b"", mesh, request_id, anchor, joiner, anchors, joiners) for s in shared]
    box = crypto.seal(keys[0], plain, associated)
    opened = crypto.unseal(keys[1], bytes.fromhex(v["box"]), associated) or bytes(72)
    return v | {
        "anchor_ephemeral": anchors.hex(),
        "joiner_ephemeral": joiners.hex(),
        "request_id": request_id.hex(),
        "current": opened[:32].hex(),
        "next": opened[32:64].hex(),
        "sequence_floor": int.from_bytes(opened[64:], "big"),
        "box": box.hex(),
    }


def epoch_seal(v: Vectors, mesh: bytes) -> Vectors:
    names = ("seal_key", "salt", "sealer", "chain", "associated_data", "secret", "sealed")
    seal_key, salt, sealer, chain, associated, secret, sealed = (bytes.fromhex(v[name]) for name in names)
    key = crypto.epoch_box_key(seal_key, salt, mesh, sealer, chain, v["number"].to_bytes(8, "big"))
    opened = crypto.unseal(key, sealed, associated) or b""
    return v | {"secret": opened.hex(), "sealed": crypto.seal(key, secret, associated).hex()}


def merge_box(v: Vectors, mesh: bytes) -> Vectors:
    names = ("seal_key", "salt", "sealer", "chain", "associated_data", "current", "next", "box")
    seal_key, salt, sealer, chain, associated, current, following, box = (bytes.fromhex(v[name]) for name in names)
    key = crypto.merge_box_key(seal_key, salt, mesh, sealer, chain, v["number"].to_bytes(8, "big"))
    opened = crypto.unseal(key, box, associated) or b""
    sealed = crypto.seal(key, current + following, associated)
    return v | {"current": opened[:32].hex(), "next": opened[32:].hex(), "box": sealed.hex()}


def rekey_box(v: Vectors, mesh: bytes, anchor: bytes, member: Identity) -> Vectors:
    """Sealed by the anchor to a member's agreement key, opened by the member. The associated data begin with
    chain, parent and number."""
    ephemeral, associated = bytes.fromhex(v["anchor_ephemeral_secret"]), bytes.fromhex(v["associated_data"])
    public = crypto.x25519_public(ephemeral)
    theirs = crypto.agreement_public(member.public)
    shared = [crypto.agree(ephemeral, theirs), crypto.agree(member.agreement_secret, public)]
    names = (mesh, anchor, crypto.sha256(member.public)[:8], associated[:8], associated[16:24], public)
    keys = [crypto.rekey_box_key(s or b"", *names) for s in shared]
    opened = crypto.unseal(keys[1], bytes.fromhex(v["box"]), associated) or b""
    return {
        "anchor_ephemeral_secret": ephemeral.hex(),
        "anchor_ephemeral": public.hex(),
        "member_x25519_secret": member.agreement_secret.hex(),
        "member_x25519_public": theirs.hex(),
        "associated_data": associated.hex(),
        "secret": opened.hex(),
        "box": crypto.seal(keys[0], bytes.fromhex(v["secret"]), associated).hex(),
    }


def revocations(v: Vectors, root: Identity) -> Vectors:
    """Signed by the root, and read back."""
    fields = wire.parse("REVOKE", bytes.fromhex(v["bytes"]))
    if Revocations.verified(fields, root.public) is None:
        raise ValueError("the list does not verify")
    nodes = bytes.fromhex(v["node_ids"])
    entries = [{"node": nodes[at : at + 8]} for at in range(0, len(nodes), 8)]
    body = wire.emit("REVOKE", {"number": v["number"], "floor": v["floor"], "entries": entries})[:-64]
    signature = root.sign(b"nexus0 v1 revocations" + crypto.mesh_id(root.public) + body)
    return {
        "number": fields["number"],
        "floor": fields["floor"],
        "node_ids": b"".join(entry["node"] for entry in fields["entries"]).hex(),
        "bytes": (body + signature).hex(),
    }


def frame(
    v: Vectors, mesh: bytes, people: dict[str, Identity], keys: dict[str, Material], chains: dict[str, str]
) -> Vectors:
    """Written from its parts, and read back into them."""
    source, destination = bytes.fromhex(v["source"]), bytes.fromhex(v["destination"])
    body, chain = bytes.fromhex(v["body"]), bytes.fromhex(v["chain"])
    key, sender = keys[v["key"]], people[v["sender"]]
    read = wire.shape(bytes.fromhex(v["payload"]), source, destination)
    body = wire.emit(read.name, wire.parse(read.name, body))
    payload = wire.build(read.name, body, key, chain, mesh, sender, v["sequence"], source, destination, read.version)
    if not (read.pre_tag_right(key) and read.tag_right(key)):
        raise ValueError("pre-tag or tag")
    if read.kind.signed and not read.signature_right(sender.public, mesh, chain):
        raise ValueError("signature")
    return {
        "type": wire.KINDS[read.name].number,
        "source": source.hex(),
        "destination": destination.hex(),
        "class": "unicast" if read.unicast else "multicast",
        "key": next(n for n, k in keys.items() if k.id == read.key_id),
        "chain": v["chain"] if read.kind.signed else chains[v["key"]],
        "sender": read.sender.hex(),
        "sequence": read.sequence,
        "body": read.authenticated[24 : 24 + len(body)].hex(),
        "payload": payload.hex(),
    }


def derive(v: Vectors) -> Vectors:
    """The whole document again, from its seeds, secrets and nonces."""
    root = Identity(bytes.fromhex(v["mesh"]["root_seed"]))
    mesh = crypto.mesh_id(root.public)
    people = {name: person(v[name], root.public) for name in ("anchor", "joiner")}
    secrets = {name: Material.of(mesh, bytes.fromhex(v[name]["secret"])) for name in ("epoch", "next_epoch")}
    keys = {"door": Material.door(mesh)} | secrets
    bodies = {name: bytes.fromhex(f["body"]) for name, f in v["frames"].items()}
    entries = wire.parse("ROSTER", bodies["ROSTER"])["entries"]
    request = wire.parse("REQ_EPOCH", bodies["REQ_EPOCH"])
    identities = {p["node_id"]: Identity(bytes.fromhex(p["ed25519_seed"])) for p in people.values()}
    anchor, joiner = (bytes.fromhex(people[name]["node_id"]) for name in ("anchor", "joiner"))
    # A key belongs to one chain, and only signatures cover it: without one it is the others' word that counts.
    chains = {"epoch": v["frames"]["ANCHOR"]["chain"], "door": bytes(8).hex()}
    return {
        "version": 1,
        "mesh": {"root_seed": root.seed.hex(), "root_public": root.public.hex(), "mesh_id": mesh.hex()},
        **people,
        **{name: material(key) for name, key in keys.items()},
        "roster": {
            "first_entry": wire.emit("ROSTER", {"entries": entries[:1]})[28:].hex(),
            "digest": crypto.roster_digest([(e["wire"], e["grant"]) for e in entries]).hex(),
        },
        "answer_box": answer_box(v["answer_box"], mesh, anchor, joiner, request),
        "epoch_seal": epoch_seal(v["epoch_seal"], mesh),
        "merge_box": merge_box(v["merge_box"], mesh),
        "rekey_box": rekey_box(v["rekey_box"], mesh, anchor, identities[people["joiner"]["node_id"]]),
        "revocations": revocations(v["revocations"], root),
        "frames": {name: frame(f, mesh, identities, keys, chains) for name, f in v["frames"].items()},
    }


def leaves(tree: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(tree, dict):
        for name, value in tree.items():
            yield from leaves(value, (*path, name))
    else:
        yield path, tree


def differences(v: Vectors) -> list[str]:
    """Where the document is not what follows from it."""
    try:
        derived = dict(leaves(derive(v)))
    except (ValueError, KeyError, StopIteration, OverflowError) as error:
        return [f"{type(error).__name__}: {error}"]
    held = dict(leaves(v))
    paths = held.keys() | derived.keys()
    return sorted("/".join(path) for path in paths if held.get(path) != derived.get(path))


def spoil(value: Any, at: int) -> Any:
    """The value with one bit changed."""
    if isinstance(value, int):
        return value ^ 1
    if set(value) <= set("0123456789abcdef") and len(value) % 2 == 0:
        raw = bytearray.fromhex(value)
        raw[at % len(raw)] ^= 1 << at % 8
        return raw.hex()
    return value.swapcase()


def unnoticed(v: Vectors) -> list[str]:
    missed = [f"{path} was wrong before" for path in differences(v)]
    for count, (path, value) in enumerate(leaves(v)):
        changed = copy.deepcopy(v)
        place = changed
        for name in path[:-1]:
            place = place[name]
        place[path[-1]] = spoil(value, 7 * count)
        if not differences(changed):
            missed.append("/".join(path))
    return missed


def main() -> int:
    with open(sys.argv[1], encoding="utf-8") as file:
        vectors = json.load(file)
    wrong = unnoticed(vectors) if "--spoilt" in sys.argv else differences(vectors)
    values = sum(1 for _ in leaves(vectors))
    what = "changed and not noticed" if "--spoilt" in sys.argv else "wrong"
    print(f"{len(vectors['frames'])} frames, {values} values, {len(wrong)} {what}")
    for path in wrong:
        print(path)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
