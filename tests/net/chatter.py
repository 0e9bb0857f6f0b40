"""A chatting process for ``test_kills``: the shipped runtime on a store file, over a Unix socket.

``python -m tests.net.chatter FOLDER`` reads ``start NAME`` and ``kill NAME`` lines and forks a
process for each start, so that a life costs no imports. Each life appends to ``FOLDER/NAME.log``
what its user was told: ``sent ID`` once a message is accepted, ``got ID`` when one is shown,
``delivered ID``.
"""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from meshchat.core.events import (
    AddContact,
    LinkDown,
    LinkUp,
    MessageAdded,
    MessageChanged,
    Received,
    Send,
)
from meshchat.core.model import Message, State
from meshchat.core.node import Node
from meshchat.net.frames import FrameProtocol
from meshchat.net.runtime import News, Runtime
from meshchat.net.transport import Host, TransportStatus
from meshchat.store import SqlStore
from meshchat.system import SystemEntropy, system_now

KEY = bytes(range(32))
NAMES = ("a", "b")
DIAL_AGAIN_S = 0.01
WRITE_EVERY_S = 0.004
IDLE_EVERY_S = 0.05


class Line(FrameProtocol):
    """One connection to the other process."""

    def __init__(self, pipe: "Pipe", outbound: bool) -> None:
        super().__init__()
        self.pipe, self.outbound, self.link = pipe, outbound, 0
        self.over = asyncio.Event()

    def opened(self) -> None:
        self.link = self.pipe.host.new_link()
        self.pipe.lines[self.link] = self
        origin = os.urandom(8)  # every life is another neighbour: no rate is meant here
        prologue = b"meshchat/1\x03" + bytes(32)
        self.pipe.host.post(LinkUp(self.link, "pipe", self.outbound, 16_384, prologue, origin))

    def received(self, frames: tuple[bytes, ...]) -> None:
        self.pipe.host.post(Received(self.link, frames))

    def ended(self, reason: str) -> None:
        self.over.set()
        if self.pipe.lines.pop(self.link, None) is not None:
            self.pipe.host.post(LinkDown(self.link, reason))


class Pipe:
    """The transport: ``a`` listens, ``b`` dials until it gets through."""

    name = "pipe"

    def __init__(self, path: Path, listens: bool) -> None:
        self.path, self.listens = path, listens
        self.lines: dict[int, Line] = {}

    async def run(self, host: Host) -> None:
        self.host = host
        host.changed(self.status())
        loop = asyncio.get_running_loop()
        if self.listens:
            self.path.unlink(missing_ok=True)
            server = await loop.create_unix_server(lambda: Line(self, False), str(self.path))
            await server.serve_forever()
        while True:
            with suppress(OSError):
                _, line = await loop.create_unix_connection(
                    lambda: Line(self, True), str(self.path)
                )
                await line.over.wait()
            await asyncio.sleep(DIAL_AGAIN_S)

    def send(self, link: int, frames: tuple[bytes, ...]) -> None:
        if link in self.lines:
            self.lines[link].send(frames)

    def close(self, link: int, reason: str, kept: int = 0) -> None:
        line = self.lines.pop(link, None)
        if line is not None:
            line.close()

    def status(self) -> TransportStatus:
        return TransportStatus(self.name, True)


def make(folder: Path) -> None:
    """Two stores whose people know each other."""
    cards = {}
    for turn in (1, 2):
        for name, other in (NAMES, NAMES[::-1]):
            store = SqlStore.open(folder / f"{name}.db", KEY)
            with store.transaction():
                if turn == 1:
                    Node.create(store, SystemEntropy(), system_now(), name)
                node = Node(store, SystemEntropy(), system_now())
                if turn == 2:
                    node.handle(AddContact(cards[other]), system_now())
                cards[name] = node.card_text()
            store.close()


async def live(folder: Path, name: str) -> None:
    """Chat until killed; with a file ``quiet`` say ``idle`` while nothing waits here instead."""
    store = SqlStore.open(folder / f"{name}.db", KEY)
    (other,) = store.contacts()
    runtime = Runtime(
        store,
        lambda now: Node(store, SystemEntropy(), now),
        (Pipe(folder / "pipe", name == "a"),),
    )
    log = os.open(folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def tell(what: str, message: Message) -> None:
        os.write(log, f"{what} {message.id.hex()}\n".encode())

    def hear(news: News) -> None:
        if isinstance(news, MessageAdded) and not news.message.outgoing:
            tell("got", news.message)
        elif isinstance(news, MessageChanged) and news.message.state is State.DELIVERED:
            tell("delivered", news.message)

    async def write() -> None:
        n = len(store.message_sizes(b"c" + other.fp))
        while not (folder / "quiet").exists():
            n += 1
            message = await runtime.command(Send(b"c" + other.fp, f"{name} {n}"))
            assert isinstance(message, Message)
            tell("sent", message)
            await asyncio.sleep(WRITE_EVERY_S)
        while True:
            node = runtime.status().node
            if not node.queued and not node.custody.untried:
                os.write(log, b"idle\n")
            await asyncio.sleep(IDLE_EVERY_S)

    runtime.subscribe(hear)
    os.write(log, b"up\n")
    await runtime.run(write)


def serve(folder: Path) -> None:
    """Fork and kill as the lines on standard input say."""
    pids: dict[str, int] = {}
    for line in sys.stdin:
        what, name = line.split()
        if what == "start":
            pids[name] = os.fork()
            if not pids[name]:
                os.dup2(os.open(folder / f"{name}.err", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)
                asyncio.run(live(folder, name))
                os._exit(0)
        else:
            os.kill(pids[name], signal.SIGKILL)
            os.waitpid(pids[name], 0)
        print("done", flush=True)
    for pid in pids.values():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
    print("made", flush=True)
    serve(Path(sys.argv[1]))
