"""Durable accept: a whole node receives envelopes over a link and commits them.

``python tests/bench/node.py [rounds]``. The receiving node runs on a real SQLCipher store with
``synchronous=FULL``; its time covers decryption of frames, records, checks, shares, the commit
and the answers. Beside it, in turn, a bare insert of the same rows with the same settings.
"""

import statistics
import sys
import tempfile
import time
from collections import deque
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT.parent), str(ROOT / "core")]

from world import START, SeededEntropy  # noqa: E402

from meshchat.core.envelope import envelope_id  # noqa: E402
from meshchat.core.events import LinkUp, Received, SendFrames  # noqa: E402
from meshchat.core.limits import Limits  # noqa: E402
from meshchat.core.model import Held, Now  # noqa: E402
from meshchat.core.node import Node  # noqa: E402
from meshchat.store import SqlStore  # noqa: E402
from tests.bench.store import KEY, bare_insert  # noqa: E402
from tests.bench.table import Figure, show  # noqa: E402

COUNT = 10_000
BATCH_EVENTS = 256  # the runtime's
BAR = 0.5
LIMITS = Limits(envelopes_burst=4 * COUNT, origin_share=1.0)  # a contact's link, a calm day


def envelopes(count: int, wall: float = START) -> list[Held]:
    """Well-formed envelopes of class 0 that open for nobody and live for 100 hours."""
    entropy = SeededEntropy("envelopes")
    exp_h = int(wall // 3600) + 100
    made = []
    for _ in range(count):
        head = b"\x01\x00\x00\x00" + exp_h.to_bytes(4, "little") + bytes(8)
        data = head + entropy.bytes(512 - len(head))
        made.append(Held(envelope_id(data), 0, exp_h, data[64:80], data, b"origin01"))
    return made


def receive(path: Path, held: list[Held]) -> tuple[float, float]:
    """Seconds the receiving node spends until all is committed, and until all is also opened."""
    now = Now(1_000.0, START)
    nodes: list[tuple[Node, SqlStore]] = []
    for name, store in (("a", SqlStore.memory()), ("b", SqlStore.open(path, KEY))):
        entropy = SeededEntropy(name)
        with store.transaction():
            Node.create(store, entropy, now, name)
            if name == "a":  # before: a node takes what it offers from its store when it is made
                store.add_envelopes(held, START)
            node = Node(store, entropy, now, limits=LIMITS)
        nodes.append((node, store))
    prologue = b"meshchat/1\x03" + bytes(32)
    inboxes: list[deque[object]] = [deque(), deque()]
    inboxes[0].append(LinkUp(1, "sim", True, 16_384, prologue, b"b"))
    inboxes[1].append(LinkUp(1, "sim", False, 16_384, prologue, b"a"))
    spent = 0.0
    while inboxes[0] or inboxes[1]:
        for side in (0, 1):
            node, store = nodes[side]
            batch = [inboxes[side].popleft() for _ in range(min(BATCH_EVENTS, len(inboxes[side])))]
            if not batch:
                continue
            started = time.perf_counter()
            with store.transaction():
                effects = [e for event in batch for e in node.handle(event, now)]  # type: ignore[arg-type]
            if side == 1:
                spent += time.perf_counter() - started
            inboxes[1 - side] += [
                Received(1, e.frames) for e in effects if isinstance(e, SendFrames)
            ]
    stored = nodes[1][0].status(now).custody.carried
    assert stored >= len(held), f"{stored} of {len(held)} arrived"
    nodes[1][1].close()
    return spent, 0.0


def figures(rounds: int = 5) -> list[Figure]:
    """Both median rates, and the ratio beside its bar."""
    held = envelopes(COUNT)
    bare: list[float] = []
    node: list[float] = []
    with tempfile.TemporaryDirectory() as place:
        for turn in range(rounds):
            path = Path(place)
            bare.append(bare_insert(path / f"bare{turn}.db", KEY, held))
            node.append(receive(path / f"node{turn}.db", held)[0])
    rates = [COUNT / statistics.median(times) for times in (bare, node)]
    return [
        ("bare insert, envelopes/s", rates[0], ""),
        ("whole node, envelopes/s", rates[1], ""),
        ("whole node to bare insert", rates[1] / rates[0], f">= {BAR}"),
    ]


if __name__ == "__main__":
    sys.exit(bool(show(figures(*(int(argument) for argument in sys.argv[1:2])))))
