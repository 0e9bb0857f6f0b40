"""A host that connects to a node's port and talks nonsense: ``garbage.py ADDRESS PORT``.

Prints when each kind of connection was ended by the node, and how many still stand at last.
"""

import json
import os
import selectors
import socket
import sys
import time

EACH = 3  # connections with each kind of nonsense, slow enough that all are listened to
HALVES = 8  # then as many links that never finish their handshake as one address may have
IDLE = 200  # then as many at once that say nothing
LAST_S = 30.0  # then what still stands is reported
HELLO = b"MC\x01" + os.urandom(16) + bytes(16)
WORDS = {
    "random": lambda: os.urandom(4_000),
    "other version": lambda: b"MC\x02" + HELLO[3:],
    "empty frame": lambda: HELLO + b"\0\0",
    "oversize frame": lambda: HELLO + b"\xff\xff" + bytes(100),
    "random frame": lambda: HELLO + b"\x00\x02" + os.urandom(512),
    "half a greeting": lambda: HELLO[:20],
    "half a frame": lambda: HELLO + b"\x64\0" + bytes(10),
    "nothing": lambda: b"",
}


def say(kind: str, **facts: object) -> None:
    print(json.dumps({"t": round(time.monotonic(), 3), "kind": kind, **facts}), flush=True)


def main(address: str, port: int) -> None:
    """Open everything, then watch what the node closes."""
    open_ones = selectors.DefaultSelector()
    kinds = [*WORDS] * EACH + ["half a frame"] * HALVES + ["nothing"] * IDLE
    ends: dict[str, float] = {}
    begun = time.monotonic()
    for n, kind in enumerate(kinds):
        if n <= EACH * len(WORDS) + HALVES:
            time.sleep(0.05)
        sock = socket.create_connection((address, port), 10)
        sock.sendall(WORDS[kind]())
        sock.setblocking(False)
        open_ones.register(sock, selectors.EVENT_READ, kind)
    say("opened", count=len(kinds), after=round(time.monotonic() - begun, 2))
    while open_ones.get_map() and (left := begun + LAST_S - time.monotonic()) > 0:
        for key, _ in open_ones.select(left):
            assert isinstance(key.fileobj, socket.socket)
            try:
                over = not key.fileobj.recv(65_536)
            except ConnectionError:
                over = True
            if over:
                open_ones.unregister(key.fileobj)
                key.fileobj.close()
                ends[key.data] = round(time.monotonic() - begun, 2)
    say("ended", last=ends, standing=len(open_ones.get_map()))
    sys.stdin.readline()


main(sys.argv[1], int(sys.argv[2]))
