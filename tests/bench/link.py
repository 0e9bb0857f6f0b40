"""How fast a link is: ``python tests/bench/link.py [rounds]``.

Two processes on loopback. Ours is ``Link`` over the LAN transport's own
framing; the other is plain asyncio streams with the same AEAD, one call per
message or block, and no padding, rekey or budget. Rounds are interleaved, so a
busy machine hurts both; the ratio of the medians counts, not the rates.
"""

import asyncio
import multiprocessing
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from pathlib import Path
from struct import Struct

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT.parent), str(ROOT / "core")]

from pair import make_link  # noqa: E402

from meshchat.core.crypto import aead_open, aead_seal  # noqa: E402
from meshchat.core.link import PART, Link  # noqa: E402
from meshchat.core.model import Now  # noqa: E402
from meshchat.net.frames import FrameProtocol  # noqa: E402
from tests.bench.table import Figure, show  # noqa: E402

BAR = 0.5
ROUNDS = 7
BLOCK = 64 * 1024
LENGTH = Struct("<I")
NONCE = Struct("<4xQ")
KEY = bytes(range(32))
# name, bytes each, how many, how many are queued when a frame is built
CASES = (
    ("200 B messages, 64 waiting", 200, 150_000, 64),
    ("200 B messages, one by one", 200, 60_000, 1),
    ("64 KiB blocks", BLOCK, 3_000, 1),
)


def _now() -> Now:
    return Now(time.monotonic(), time.time())


class _End(FrameProtocol):
    """One end of our link; the receiving one counts bytes of bodies."""

    def __init__(self, link: Link, total: int = 0) -> None:
        super().__init__()
        self.link = link
        self.open = asyncio.Event()
        self.free = asyncio.Event()
        self.free.set()
        self.over: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.left = total
        self.started = 0.0

    def opened(self) -> None:
        self.send(self.link.flush(_now()))

    def pause_writing(self) -> None:
        self.free.clear()

    def resume_writing(self) -> None:
        self.free.set()

    def received(self, frames: tuple[bytes, ...]) -> None:
        records = self.link.receive(frames, _now())
        self.send(self.link.flush(_now()))
        if self.link.is_open:
            self.open.set()
        if records and not self.over.done():
            self.started = self.started or time.perf_counter()
            self.left -= sum(len(body) for _, body in records)
            if self.left <= 0:
                self.over.set_result(time.perf_counter() - self.started)

    def ended(self, reason: str) -> None:
        if not self.over.done():
            self.over.set_result(0.0)
        self.free.set()


async def _send_ours(port: int, size: int, count: int, waiting: int) -> None:
    loop = asyncio.get_running_loop()
    _, end = await loop.create_connection(
        lambda: _End(make_link("a", outbound=True, now=_now())), "127.0.0.1", port
    )
    await end.open.wait()
    link, room = end.link, end.link.max_record
    body = bytes(size)
    for _ in range(0, count, waiting):
        assert not end.over.done(), "the other side gave up"
        for _ in range(waiting):
            if size <= room:
                link.send(PART, body)
            else:
                for at in range(0, size, room):
                    link.send(PART, body[at : at + room])
        end.send(link.flush(_now()))
        await end.free.wait()
    end.close()
    await end.over


async def _take_ours(size: int, count: int, tell: Callable[[int], None]) -> float:
    loop = asyncio.get_running_loop()
    end = _End(make_link("b", outbound=False, now=_now()), size * count)
    server = await loop.create_server(lambda: end, "127.0.0.1", 0)
    tell(server.sockets[0].getsockname()[1])
    async with server:
        taken = await end.over
    assert end.left <= 0, "the link ended early"
    return taken


async def _send_plain(port: int, size: int, count: int, waiting: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=4 * BLOCK)
    body = bytes(size)
    for i in range(0, count, waiting):
        for n in range(i, i + waiting):
            sealed = aead_seal(KEY, body, b"", NONCE.pack(n))
            writer.write(LENGTH.pack(len(sealed)) + sealed)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def _take_plain(size: int, count: int, tell: Callable[[int], None]) -> float:
    taken: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        started = 0.0
        for n in range(count):
            (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
            body = aead_open(KEY, await reader.readexactly(length), b"", NONCE.pack(n))
            started = started or time.perf_counter()
            assert len(body) == size
        taken.set_result(time.perf_counter() - started)
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0, limit=4 * BLOCK)
    tell(server.sockets[0].getsockname()[1])
    async with server:
        return await taken


def _sender(pipe: Connection) -> None:
    """The other process: sends what it is told to until it is told to stop."""
    while job := pipe.recv():
        ours, port, size, count, waiting = job
        asyncio.run((_send_ours if ours else _send_plain)(port, size, count, waiting))


def _measure(pipe: Connection, ours: bool, size: int, count: int, waiting: int) -> float:
    """Seconds from the first body to the last."""

    def tell(port: int) -> None:
        pipe.send((ours, port, size, count, waiting))

    take: Callable[[int, int, Callable[[int], None]], Awaitable[float]]
    take = _take_ours if ours else _take_plain

    async def run() -> float:
        return await take(size, count, tell)

    return asyncio.run(run())


def raw_rate(size: int, count: int, waiting: int = 64) -> float:
    """Bodies a second over a link of ours between two processes, without a node."""
    spawn = multiprocessing.get_context("spawn")
    pipe, theirs = spawn.Pipe()
    process = spawn.Process(target=_sender, args=(theirs,), daemon=True)
    process.start()
    seconds = _measure(pipe, True, size, count, waiting)
    pipe.send(None)
    process.join()
    return count / seconds


def figures(rounds: int = ROUNDS) -> list[Figure]:
    """Median rates of both ways, and their ratios beside the bar."""
    spawn = multiprocessing.get_context("spawn")
    pipe, theirs = spawn.Pipe()
    process = spawn.Process(target=_sender, args=(theirs,), daemon=True)
    process.start()
    times: dict[tuple[str, bool], list[float]] = {}
    for _ in range(rounds):
        for name, size, count, waiting in CASES:
            for ours in (True, False):
                seconds = _measure(pipe, ours, size, count, waiting)
                times.setdefault((name, ours), []).append(seconds)
    pipe.send(None)
    process.join()
    found: list[Figure] = []
    for name, size, count, _ in CASES:
        rates = []
        for ours, way in ((True, "link"), (False, "streams")):
            seconds = statistics.median(times[name, ours])
            rates.append(count * size / 1e6 / seconds if size == BLOCK else count / seconds)
            unit = "MB/s" if size == BLOCK else "/s"
            found.append((f"{name}: {way}, {unit}", rates[-1], ""))
        found.append((f"{name}: link to streams", rates[0] / rates[1], f">= {BAR}"))
    return found


if __name__ == "__main__":
    sys.exit(bool(show(figures(*(int(argument) for argument in sys.argv[1:2])))))
