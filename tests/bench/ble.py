"""How much of a Bluetooth link is left for mail: ``python -m tests.bench.ble``.

Virtual radios in this process. Raw notifications and sealed mail take turns on one connection;
the ratio counts, not the rates, which are those of Python. With a limiter, as a radio has one, the
rates mean something too: 96 KiB/s is what a 1M radio can carry at best.
"""

import asyncio
import logging
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT.parent), str(ROOT / "core"), str(ROOT / "net/ble")]

from air import Air  # noqa: E402
from nodes import VirtualNode, VirtualRadio, befriend, running  # noqa: E402
from virtual import VirtualDevice  # noqa: E402

from meshchat.core.events import JoinRoom, LinkUp, Received, Send  # noqa: E402
from meshchat.core.identity import public_room_key  # noqa: E402
from meshchat.core.link import DIGEST, PART, Link, new_node_key  # noqa: E402
from meshchat.core.node import OPEN_MESH_PSK, Node  # noqa: E402
from meshchat.net.ble.transport import BleTransport  # noqa: E402
from meshchat.system import SystemEntropy, system_now  # noqa: E402
from tests.bench.table import Figure, show  # noqa: E402

RAW_BAR, LARGE_BAR, SMALL_BAR = 0.6, 0.85, 0.6
FIRST_BAR_S, SAME_BAR_BYTES = 3.0, 200
RADIO_BYTES_S = 96 * 1024
AHEAD_BYTES = 48 * 1024  # in the framer, as the core's credit would allow
ROUNDS = 3
SAME = 1_000


class End:
    """Stands where the runtime is: one ``Link``, without a node."""

    def __init__(self, air: Air, index: int, mtu: int, rate: float) -> None:
        self.device = VirtualDevice(air, index, mtu)
        self.device.rate = rate
        self.ble = BleTransport("always", radio=VirtualRadio(self.device))
        self.link: Link | None = None
        self.number = 0
        self.got = 0
        self.raw = 0
        self.more = asyncio.Event()

    def new_link(self) -> int:
        self.number += 1
        return self.number

    def subscribe(self, callback: Any) -> Any:
        return lambda: None

    def changed(self, status: Any) -> None:
        pass

    def post(self, event: Any) -> None:
        now = system_now()
        if isinstance(event, LinkUp):
            entropy = SystemEntropy()
            self.link = Link(event, new_node_key(entropy), OPEN_MESH_PSK, entropy, now)
            self.up = event.link
        elif isinstance(event, Received) and self.link is not None:
            self.got += sum(len(body) for _, body in self.link.receive(event.frames, now))
        if self.link is not None:
            self.flush()
        self.more.set()

    def flush(self) -> None:
        assert self.link is not None
        if frames := self.link.flush(system_now()):
            self.ble.send(self.up, frames)

    async def until(self, true: Any) -> None:
        while not true():
            self.more.clear()
            await self.more.wait()


@asynccontextmanager
async def pair(mtu: int, rate: float = 0.0) -> AsyncIterator[tuple[End, End]]:
    """Two linked ends: the dialled one first, which notifies the other."""
    air = Air()
    ends = End(air, 1, mtu, rate), End(air, 2, mtu, rate)
    tasks = []
    for end in ends:
        await end.device.power_on()
        tasks.append(asyncio.ensure_future(end.ble.run(end)))
    try:
        for end in ends:
            await end.until(lambda end=end: end.link is not None and end.link.is_open)
        one, other = ends
        assert one.link is not None
        yield (other, one) if one.link.outbound else (one, other)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            await end.device.close()


async def raw(sender: End, reader: End, total: int) -> float:
    """Bytes a second of bare notifications on the connection of the link."""
    [link] = sender.ble._links.values()
    pipe = link.pipe
    heard = reader.ble.received
    seen = 0
    done = asyncio.Event()
    size = min(pipe.payload, 489)

    def received(_: Any, packet: bytes) -> None:
        nonlocal seen
        seen += len(packet)
        if seen >= total:
            done.set()

    reader.ble.received = received  # type: ignore[method-assign]
    try:
        begun = time.perf_counter()
        for _ in range(0, total, 32 * size):
            await pipe.send([bytes(size)] * 32)
        await done.wait()
        return seen / (time.perf_counter() - begun)
    finally:
        reader.ble.received = heard  # type: ignore[method-assign]


async def sealed(sender: End, reader: End, total: int, body: int) -> float:
    """Bytes a second of mail: envelopes of this size, whole."""
    [held] = sender.ble._links.values()
    link = sender.link
    assert link is not None
    begun, before = time.perf_counter(), reader.got
    data = bytes(body)
    for _ in range(total // body):
        for at in range(0, body, link.max_record):
            link.send(PART, data[at : at + link.max_record])
        if link.queued_bytes >= 4_096 or body > 4_096:
            sender.flush()
        while held.framer.backlog > AHEAD_BYTES:  # noqa: ASYNC110  # it has no signal
            await asyncio.sleep(0.001)
    sender.flush()
    await reader.until(lambda: reader.got - before >= total // body * body)
    return (reader.got - before) / (time.perf_counter() - begun)


async def against_raw(mtu: int, rounds: int) -> float:
    """Median of sealed mail over raw notifications."""
    ratios = []
    async with pair(mtu) as (sender, reader):
        for _ in range(rounds):
            bare = await raw(sender, reader, 400_000)
            ratios.append(await sealed(sender, reader, 393_216, 32_768) / bare)
    return statistics.median(ratios)


async def on_a_radio(body: int) -> float:
    """Part of the radio's limit that is mail."""
    async with pair(517, RADIO_BYTES_S) as (sender, reader):
        return await sealed(sender, reader, 393_216, body) / RADIO_BYTES_S


async def first_message() -> float:
    """Seconds from coming into range until a waiting text is there."""
    air = Air()
    one, two = VirtualNode(air, 1), VirtualNode(air, 2)
    async with running(one, two):
        air.hears = lambda a, b: False
        await befriend(one, two)
        await one.say(two, "hello")
        begun = time.perf_counter()
        air.hears = lambda a, b: True
        await two.until(lambda: two.texts)
        return time.perf_counter() - begun


async def same_mail() -> int:
    """Bytes of records with which two find that they hold the same thousand envelopes."""
    air = Air()
    one, two = VirtualNode(air, 1), VirtualNode(air, 2)
    spent: list[int] = []

    def log(_link: int, _size: int, records: Any) -> None:
        spent.extend(len(record) for record in records if record[0] >= DIGEST)

    for node in (one, two):
        with node.store.transaction():
            node.runtime.node = Node(node.store, SystemEntropy(), system_now(), log=log)
    async with running(one, two):
        key = public_room_key("bench")
        for node in (one, two):
            await node.runtime.command(JoinRoom("bench", key, False))
        [room] = one.store.rooms()
        for n in range(SAME):
            await one.runtime.command(Send(b"r" + room.rid, f"line {n}"))
        await two.until(lambda: len(two.texts) >= SAME, 120)
        await asyncio.sleep(3.0)  # the last STORED
        spent.clear()
        air.cut(one.device.radio, two.device.radio)
        await one.until(lambda: not one.neighbours)
        await one.until(lambda: one.neighbours)
        await two.until(lambda: two.neighbours)
        await asyncio.sleep(1.0)
        return sum(spent)


def figures(rounds: int = ROUNDS) -> list[Figure]:
    """All of them."""
    logging.getLogger("bumble").setLevel(logging.CRITICAL)
    found: list[Figure] = []
    for mtu in (247, 517):
        ratio = asyncio.run(against_raw(mtu, rounds))
        found.append((f"MTU {mtu}: sealed mail to raw notifications", ratio, f">= {RAW_BAR}"))
    for body, bar in ((32_768, LARGE_BAR), (512, SMALL_BAR)):
        part = asyncio.run(on_a_radio(body))
        found.append((f"1M radio, envelopes of {body} B: part of 96 KiB/s", part, f">= {bar}"))
    found.append(("first text after coming into range, s", asyncio.run(first_message()), "<= 3"))
    cost = asyncio.run(same_mail())
    found.append((f"two with the same {SAME} envelopes: bytes", cost, f"<= {SAME_BAR_BYTES}"))
    return found


if __name__ == "__main__":
    sys.exit(bool(show(figures(*(int(argument) for argument in sys.argv[1:2])))))
