"""One real meshchat node in a process of its own: SQLCipher store, runtime, LAN transport.

Everything is as in ``meshchat node`` but for three things: the store's key is not stretched
from a passphrase, nothing is announced to the network, and orders come by a pipe.
"""

import asyncio
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from meshchat.core.events import (
    AddContact,
    CustodyChanged,
    FileComplete,
    MessageAdded,
    MessageChanged,
    NeighbourUp,
    Send,
    SendFile,
    SetName,
)
from meshchat.core.model import Held, Message, State
from meshchat.core.node import Node
from meshchat.net.lan import LanTransport
from meshchat.net.runtime import News, Runtime
from meshchat.store import SqlStore
from meshchat.system import SystemEntropy, system_now

KEY = bytes(range(32))


class MeshPeer:
    """What the node can be told to do. Its messages count once their commit is through."""

    def __init__(self, folder: Path) -> None:
        self.store = SqlStore.open(folder / "store.db", KEY)
        with self.store.transaction():
            Node.create(self.store, SystemEntropy(), system_now(), folder.name)
        self.runtime: Runtime
        self.ending = asyncio.Event()
        self.states: dict[bytes, State] = {}
        self.received: list[float] = []
        self.files: list[float] = []
        self.links: list[float] = []
        self.stored = 0
        self._running: asyncio.Task[None] | None = None
        self._more = asyncio.Event()
        self._done: dict[bytes, asyncio.Future[float]] = {}

    # --- orders --------------------------------------------------------------------------------

    async def carry(self, held: list[Held]) -> None:
        """Before ``run``: have these envelopes in the store, and looked at."""
        with self.store.transaction():
            self.store.add_envelopes(held, time.time())
            self.store.tried([one.eid for one in held], held[0].kind)
        self.runtime._rebuild(system_now())  # as after a restart

    async def build(self, port: int, peers: list[int]) -> tuple[bytes, str]:
        """Make the node, not running yet; its fingerprint and card."""
        lan = LanTransport(
            listen=("127.0.0.1", port), peers=[f"127.0.0.1:{n}" for n in peers], discover=False
        )
        self.runtime = Runtime(
            self.store, lambda now: Node(self.store, SystemEntropy(), now), [lan]
        )
        self.runtime.subscribe(self._heard)
        return self.runtime.node.fp, self.runtime.node.card_text()

    async def know(self, cards: list[str]) -> None:
        """Before ``run``: add contacts."""
        with self.store.transaction():
            for card in cards:
                self.runtime.node.handle(AddContact(card), system_now())

    async def rename_before(self, name: str) -> None:
        """Before ``run``: have an announce to spread."""
        with self.store.transaction():
            self.runtime.node.handle(SetName(name), system_now())

    async def run(self) -> float:
        """Start; returns when it listens."""
        self._running = asyncio.get_running_loop().create_task(self.runtime.run())
        await self.runtime.ready.wait()
        return time.monotonic()

    async def linked(self, count: int) -> float:
        """When so many neighbours had greeted us."""
        return await self._nth(self.links, count)

    async def texts(
        self, fp: bytes, count: int, size: int, flying: int, wanted: str = "delivered"
    ) -> tuple[float, float]:
        """Write so many texts, at most ``flying`` of them not delivered (or carried) yet.

        Returns when the first was written and when the last had come so far.
        """
        free = asyncio.Semaphore(flying)
        text = "x" * size
        state = State(wanted)
        began = time.monotonic()

        async def one() -> None:
            message = await self.runtime.command(Send(b"c" + fp, text))
            assert isinstance(message, Message)
            await self._reached(message, state)
            free.release()

        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                await free.acquire()
                group.create_task(one())
        return began, time.monotonic()

    async def send_files(self, fp: bytes, sizes: list[int]) -> float:
        """Send files, all at once; when that was begun."""
        datas = [os.urandom(size) for size in sizes]
        began = time.monotonic()
        for n, data in enumerate(datas):
            await self.runtime.command(SendFile(b"c" + fp, f"{n}.bin", data))
        return began

    async def cpu(self) -> float:
        """Seconds of a core used so far."""
        return time.process_time()

    async def got(self, count: int) -> float:
        """When so many messages of others were in the store."""
        return await self._nth(self.received, count)

    async def received_now(self) -> int:
        """How many different messages of others are in the store."""
        chats = [chat.chat for chat in self.store.chats()]
        found = [m.id for chat in chats for m in self.store.messages(chat, limit=10**6)]
        return len(set(found))

    async def got_files(self, count: int) -> float:
        """When so many files were in the store, whole."""
        return await self._nth(self.files, count)

    async def rename(self, name: str) -> float:
        """Announce a new name to everybody; when."""
        now = time.monotonic()
        await self.runtime.command(SetName(name))
        return now

    async def stored_until(self, count: int, seconds: float) -> float:
        """When so many envelopes had been stored since the start; infinity: not in time."""
        try:
            async with asyncio.timeout(seconds):
                await self._until(lambda: self.stored >= count)
        except TimeoutError:
            return float("inf")
        return time.monotonic()

    # --- inside --------------------------------------------------------------------------------

    def _heard(self, news: News) -> None:
        if isinstance(news, MessageAdded):
            if not news.message.outgoing:
                self.received.append(time.monotonic())
        elif isinstance(news, MessageChanged):
            self.states[news.message.id] = news.message.state
            future = self._done.get(news.message.id)
            if future is not None and not future.done():
                future.set_result(0.0)
        elif isinstance(news, FileComplete):
            self.files.append(time.monotonic())
        elif isinstance(news, NeighbourUp):
            self.links.append(time.monotonic())
        elif isinstance(news, CustodyChanged):
            self.stored += news.stored
        self._more.set()

    async def _reached(self, message: Message, state: State) -> None:
        enough = (State.DELIVERED, state)
        while self.states.get(message.id, message.state) not in enough:
            future = self._done[message.id] = asyncio.get_running_loop().create_future()
            await future
        self._done.pop(message.id, None)

    async def _nth(self, times: list[float], count: int) -> float:
        await self._until(lambda: len(times) >= count)
        return times[count - 1]

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            self._more.clear()
            await self._more.wait()

    async def finish(self) -> None:
        """Stop the node as a user would."""
        if self._running is not None:
            self.runtime.stop()
            await self._running
        self.store.close()


def serve(pipe: Connection, folder: Path) -> None:
    """The process: orders until None comes or the pipe ends."""

    async def run() -> None:
        peer = MeshPeer(folder)
        loop = asyncio.get_running_loop()
        orders: asyncio.Queue[Any] = asyncio.Queue()

        def read() -> None:
            try:
                orders.put_nowait(pipe.recv())
            except EOFError:
                orders.put_nowait(None)
                loop.remove_reader(pipe.fileno())

        loop.add_reader(pipe.fileno(), read)
        while (order := await orders.get()) is not None:
            name, args = order
            try:
                answer = await getattr(peer, name)(*args)
            except Exception as error:
                answer = RuntimeError(f"{name}: {type(error).__name__} {error}")
            pipe.send(answer)
        await peer.finish()

    asyncio.run(run())
