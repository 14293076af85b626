"""The node on a link: `main.py key SEED` prints the public key, `main.py run --iface IF --seed SEED --grant GRANT`
runs. What happens is printed as one JSON object a line."""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path

import wire
from crypto import Grant, Identity
from node import Node




def identity(path: Path) -> Identity:
    if not path.exists():
        path.write_text(os.urandom(32).hex(), encoding="ascii")
        path.chmod(0o600)
    return Identity(bytes.fromhex(path.read_text(encoding="ascii")))


def link_local(interface: str) -> bytes | None:
    """The interface's address once duplicate address detection has finished."""
    for line in Path("/proc/net/if_inet6").read_text(encoding="ascii").splitlines():
        address, _, _, scope, flags, name = line.split()
        if name == interface and scope == "20" and not int(flags, 16) & 0x48:
            return bytes.fromhex(address)
    return None


def listen(interface: str) -> socket.socket:
    udp = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, interface.encode() + b"\0")
    for option, value in (
        (socket.IPV6_V6ONLY, 1),
        (socket.IPV6_RECVPKTINFO, 1),
        (socket.IPV6_RECVHOPLIMIT, 1),
        (socket.IPV6_UNICAST_HOPS, 255),
        (socket.IPV6_MULTICAST_HOPS, 255),
        (socket.IPV6_MULTICAST_LOOP, 0),
        (socket.IPV6_MULTICAST_IF, socket.if_nametoindex(interface)),
    ):
        udp.setsockopt(socket.IPPROTO_IPV6, option, value)
    udp.bind(("::", wire.PORT))
    udp.setblocking(False)
    return udp


def receive(udp: socket.socket, node: Node, now: float) -> None:
    while True:
        try:
            payload, ancillary, _, sender = udp.recvmsg(2048, 256)
        except BlockingIOError:
            return
        facts = {kind: data for level, kind, data in ancillary if level == socket.IPPROTO_IPV6}
        if struct.unpack("i", facts[socket.IPV6_HOPLIMIT])[0] != 255:
            continue
        source = socket.inet_pton(socket.AF_INET6, sender[0].split("%")[0])
        node.receive(now, source, facts[socket.IPV6_PKTINFO][:16], payload)


def flush(udp: socket.socket, node: Node, index: int) -> None:
    for to, payload in node.out:
        try:
            udp.sendto(payload, (socket.inet_ntop(socket.AF_INET6, to), wire.PORT, 0, index))
        except OSError as error:
            node.say("not sent", why=str(error))
    for event in node.events:
        print(json.dumps(event), flush=True)
    node.out.clear()
    node.events.clear()


def run(interface: str, seed: Path, granted: Path) -> int:
    held = json.loads(granted.read_text(encoding="utf-8"))
    root = bytes.fromhex(held["mesh_root"])
    own = identity(seed)
    grant = Grant.verified(bytes.fromhex(held["grant"]), root)
    if grant is None or grant.public != own.public:
        print(f"{granted}: not a grant of its root for the key in {seed}; grant that key", file=sys.stderr)
        return 2
    ended: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
    while (address := link_local(interface)) is None:
        time.sleep(0.02)
    udp, index = listen(interface), socket.if_nametoindex(interface)
    node = Node(own, grant, root, address, time.clock_gettime(time.CLOCK_BOOTTIME))
    while not ended:
        select.select([udp], [], [], 0.005)
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
        receive(udp, node, now)
        node.tick(now)
        flush(udp, node, index)
    node.leave(time.clock_gettime(time.CLOCK_BOOTTIME))
    flush(udp, node, index)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    key = verbs.add_parser("key")
    key.add_argument("seed", type=Path)
    runs = verbs.add_parser("run")
    runs.add_argument("--iface", required=True)
    runs.add_argument("--seed", type=Path, required=True)
    runs.add_argument("--grant", type=Path, required=True)
    args = parser.parse_args()
    if args.verb == "key":
        print(identity(args.seed).public.hex())
        return 0
    return run(args.iface, args.seed, args.grant)


if __name__ == "__main__":
    sys.exit(main())
