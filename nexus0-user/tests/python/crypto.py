"""What proves and what hides: PROTOCOL section 2, and the seals of section 3."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

P25519 = 2**255 - 19
# y of the points whose order divides eight, canonical or not: no signature counts under these.
SMALL_ORDER = {
    0,
    1,
    P25519 - 1,
    P25519,
    P25519 + 1,
    0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD83D3D706A17C7,
    0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826,
}


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def hkdf(salt: bytes, ikm: bytes, info: bytes, length: int = 32) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(ikm)


def siphash13(key: bytes, message: bytes) -> bytes:
    """SipHash-1-3 (Aumasson, Bernstein, 2012), its 8 bytes little-endian."""
    mask = 2**64 - 1
    k0, k1 = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
    v0, v1 = k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D
    v2, v3 = k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573

    def rotate(x: int, bits: int) -> int:
        return ((x << bits) | (x >> (64 - bits))) & mask

    def rounds(count: int) -> None:
        nonlocal v0, v1, v2, v3
        for _ in range(count):
            v0 = (v0 + v1) & mask
            v2 = (v2 + v3) & mask
            v1, v3 = rotate(v1, 13) ^ v0, rotate(v3, 16) ^ v2
            v0 = rotate(v0, 32)
            v2 = (v2 + v1) & mask
            v0 = (v0 + v3) & mask
            v1, v3 = rotate(v1, 17) ^ v2, rotate(v3, 21) ^ v0
            v2 = rotate(v2, 32)

    padded = message + bytes(-(len(message) + 1) % 8) + bytes([len(message) % 256])
    for at in range(0, len(padded), 8):
        word = int.from_bytes(padded[at : at + 8], "little")
        v3 ^= word
        rounds(1)
        v0 ^= word
    v2 ^= 0xFF
    rounds(3)
    return (v0 ^ v1 ^ v2 ^ v3).to_bytes(8, "little")


@dataclass(frozen=True)
class Material:
    """What follows from a secret."""

    secret: bytes
    mac: bytes
    pre_tag: bytes
    seal: bytes
    id: bytes

    @staticmethod
    def of(mesh: bytes, secret: bytes) -> Material:
        def derive(label: str, length: int) -> bytes:
            return hkdf(mesh, secret, b"nexus0 v1 " + label.encode(), length)

        return Material(secret, derive("mac", 32), derive("pre-tag", 16), derive("seal", 32), derive("key id", 4))

    @staticmethod
    def door(mesh: bytes) -> Material:
        return Material.of(mesh, sha256(b"nexus0 v1 door", mesh))

    def tag(self, authenticated: bytes) -> bytes:
        return hmac.digest(self.mac, authenticated, "sha256")

    def tag_right(self, authenticated: bytes, tag: bytes) -> bool:
        return hmac.compare_digest(tag, self.tag(authenticated))


def mesh_id(root: bytes) -> bytes:
    return sha256(b"nexus0 v1 mesh", root)[:16]


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Strict: no point of small order, and OpenSSL refuses a scalar that is not canonical."""
    points = (public_key, signature[:32])
    if any(int.from_bytes(point, "little") % 2**255 in SMALL_ORDER for point in points):
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def agreement_public(public_key: bytes) -> bytes:
    """Ed25519 to X25519, RFC 7748 section 4.1: u = (1 + y) / (1 - y)."""
    y = int.from_bytes(public_key, "little") % 2**255
    return ((1 + y) * pow(1 - y, -1, P25519) % P25519).to_bytes(32, "little")


def agree(secret: bytes, public: bytes) -> bytes | None:
    """X25519; None where nothing was agreed upon."""
    try:
        return X25519PrivateKey.from_private_bytes(secret).exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        return None


def x25519_public(secret: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def seal(key: bytes, plaintext: bytes, associated: bytes) -> bytes:
    return ChaCha20Poly1305(key).encrypt(bytes(12), plaintext, associated)


def unseal(key: bytes, box: bytes, associated: bytes) -> bytes | None:
    try:
        return ChaCha20Poly1305(key).decrypt(bytes(12), box, associated)
    except InvalidTag:
        return None


@dataclass(frozen=True)
class Identity:
    """A node's key pair."""

    seed: bytes

    @property
    def key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def agreement_secret(self) -> bytes:
        return hashlib.sha512(self.seed).digest()[:32]

    def sign(self, message: bytes) -> bytes:
        return self.key.sign(message)


@dataclass(frozen=True)
class Grant:
    """The 134 bytes by which a root admits a node, its signature and fields verified."""

    raw: bytes

    @staticmethod
    def verified(raw: bytes, root: bytes) -> Grant | None:
        grant = Grant(raw)
        signed = b"nexus0 v1 grant" + mesh_id(root) + raw[:70]
        fits = len(raw) == 134 and 1 <= raw[64] <= 4 and raw[65] <= 100
        fits = fits and Grant.text(raw[32:48]) not in (None, "") and Grant.text(raw[48:64]) is not None
        return grant if fits and verify(root, signed, raw[70:]) else None

    @staticmethod
    def text(padded: bytes) -> str | None:
        text = padded.rstrip(b"\0")
        try:
            decoded = text.decode()
        except UnicodeDecodeError:
            return None
        control = any(ord(c) < 32 or 127 <= ord(c) < 160 for c in decoded)
        return None if control else decoded

    @property
    def public(self) -> bytes:
        return self.raw[:32]

    @property
    def id_hash(self) -> bytes:
        return sha256(self.public)

    @property
    def node(self) -> bytes:
        return self.id_hash[:8]

    @property
    def name(self) -> str:
        return Grant.text(self.raw[32:48]) or ""

    @property
    def ego(self) -> int:
        return self.raw[65]

    @property
    def serial(self) -> int:
        return int.from_bytes(self.raw[66:70], "big")

    @property
    def profile(self) -> bytes:
        return sha256(self.raw)[:4]

    def rank(self, seniority: int | None = None) -> tuple[int, int, bytes]:
        """Higher is better. Seniority is the position in the succession, or between strangers the serial."""
        return (self.ego, -(self.serial if seniority is None else seniority), self.id_hash)


def epoch_box_key(seal_key: bytes, salt: bytes, mesh: bytes, sealer: bytes, chain: bytes, number: bytes) -> bytes:
    return hkdf(salt, seal_key, b"nexus0 v1 seal epoch" + mesh + sealer + chain + number)


def merge_box_key(seal_key: bytes, salt: bytes, mesh: bytes, sealer: bytes, chain: bytes, number: bytes) -> bytes:
    return hkdf(salt, seal_key, b"nexus0 v1 seal merge" + mesh + sealer + chain + number)


def answer_box_key(
    shared: bytes, mesh: bytes, request: bytes, anchor: bytes, joiner: bytes, anchors: bytes, joiners: bytes
) -> bytes:
    return hkdf(request, shared, b"nexus0 v1 answer" + mesh + anchor + joiner + anchors + joiners)


def rekey_box_key(
    shared: bytes, mesh: bytes, anchor: bytes, member: bytes, chain: bytes, number: bytes, ephemeral: bytes
) -> bytes:
    return hkdf(mesh, shared, b"nexus0 v1 rekey" + mesh + anchor + member + chain + number + ephemeral)


def request_id(node: bytes, nonce: bytes, ephemeral: bytes) -> bytes:
    return sha256(b"nexus0 v1 request", node, nonce, ephemeral)[:16]


def roster_digest(members: list[tuple[int, bytes]]) -> bytes:
    """Of highest wire version and grant of each member in the order of succession."""
    return sha256(b"nexus0 v1 roster", *(sha256(bytes([version]), grant) for version, grant in members))[:8]
