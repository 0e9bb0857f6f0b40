"""A real node on an in-memory store behind the real screens; only the radios are left out."""

import asyncio
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from msgspec.structs import replace
from textual.pilot import Pilot

from meshchat.config import RuntimeOptions
from meshchat.core.events import AddContact, Command, LinkUp, MessageAdded, Received
from meshchat.core.model import ChatId, Message, Now, State
from meshchat.core.node import Node
from meshchat.net.runtime import Runtime
from meshchat.net.transport import Host, Transport, TransportStatus
from meshchat.profile import Profile
from meshchat.store import SqlStore
from meshchat.text import Clean
from meshchat.ui.app import MeshApp
from meshchat.ui.chat import ChatScreen
from meshchat.ui.history import History

NOON = 1_795_348_800.0  # 22 November 2026, 12:00 UTC


class Seeded:
    """The same "random" bytes every time, so that screens can be compared."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._turn = 0

    def bytes(self, n: int) -> bytes:
        self._turn += 1
        return hashlib.shake_256(self._seed + self._turn.to_bytes(4, "little")).digest(n)


def clock() -> Now:
    """It is noon, all the time; timers run."""
    return Now(time.monotonic(), NOON)


@dataclass
class Person:
    """Somebody with a node."""

    name: str
    transports: tuple[Transport, ...] = ()
    store: SqlStore = field(default_factory=SqlStore.memory)
    options: RuntimeOptions = field(default_factory=lambda: RuntimeOptions(lan=False, ble=False))

    def __post_init__(self) -> None:
        with self.store.transaction():
            Node.create(self.store, Seeded(self.name + "1"), clock(), self.name)
        self.restart()

    def restart(self) -> None:
        """Another run of the program over the same store."""
        self.runtime = Runtime(
            self.store,
            lambda now: Node(self.store, Seeded(self.name + "2"), now),
            self.transports,
            clock,
        )
        self.app: TestApp = TestApp(self.runtime, self.options)

    @property
    def card(self) -> str:
        return self.runtime.node.card_text()

    async def do(self, command: Command) -> object:
        return await self.runtime.command(command)

    async def knows(self, other: "Person") -> ChatId:
        """Add another person; returns the chat with them."""
        await self.do(AddContact(other.card))
        return b"c" + other.runtime.node.fp

    def fill(
        self, chat: ChatId, count: int, text: Callable[[int], str] = "message {}".format
    ) -> list[Message]:
        """Messages that are in the store already, from the other side, a minute apart."""
        first = NOON - 60 * count
        with self.store.transaction():
            return [
                self._add(chat, text(number), first + 60 * number, number)
                for number in range(count)
            ]

    def read(self, chat: ChatId, last: Message) -> None:
        """Everything up to this one was seen before."""
        with self.store.transaction():
            self.store.mark_read(chat, last.seq)

    def hear(self, chat: ChatId, text: str, number: int | None = None, **more: object) -> Message:
        """A message that arrives now; ``more`` are fields of it."""
        if number is None:
            number = int.from_bytes(os.urandom(6), "big")
        with self.store.transaction():
            message = self._add(chat, text, NOON, number, **more)
        self.runtime._tell(MessageAdded(message))
        return message

    def _add(self, chat: ChatId, text: str, at: float, number: int, **more: object) -> Message:
        mid = hashlib.blake2b(chat + number.to_bytes(8, "big"), digest_size=8).digest()
        author = chat[1:] if chat[:1] == b"c" else b"\7" * 32
        message = Message(
            id=mid,
            chat=chat,
            author=author,
            author_name=Clean(),
            outgoing=False,
            text=Clean(text),
            sent_at=at,
            received_at=at,
            state=State.RECEIVED,
        )
        if isinstance(name := more.get("author_name"), str):
            more["author_name"] = Clean(name)
        stored = self.store.add_message(replace(message, **more))
        assert stored is not None
        return stored

    @asynccontextmanager
    async def at(
        self, size: tuple[int, int] = (80, 24)
    ) -> AsyncIterator[tuple["TestApp", Pilot[None]]]:
        """Sit down in front of the screen."""
        async with self.app.run_test(size=size) as pilot:
            await pilot.pause()
            yield self.app, pilot


class TestApp(MeshApp):
    """The application, past the passphrase."""

    __test__ = False

    def __init__(self, runtime: Runtime, options: RuntimeOptions) -> None:
        super().__init__(Profile("nowhere"), options, None)
        self._runtime = runtime

    def get_default_screen(self) -> ChatScreen:
        return ChatScreen(self.runtime, self)

    @property
    def runtime(self) -> Runtime:
        assert self._runtime is not None
        return self._runtime

    def on_mount(self) -> None:
        super().on_mount()
        self.run_worker(self.runtime.run())

    @property
    def chat(self) -> ChatScreen:
        screen = self.screen_stack[0]
        assert isinstance(screen, ChatScreen)
        return screen

    @property
    def history(self) -> History:
        return self.chat.query_one(History)

    def shown(self) -> str:
        """What is on the screen, line by line."""
        strips = self.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips)


class Wire:
    """A transport between two nodes of the same test: frames go straight across."""

    def __init__(self, outbound: bool) -> None:
        self.name = "sim"
        self.other: Wire | None = None
        self._host: Host | None = None
        self._outbound = outbound
        self._up = asyncio.Event()
        self._link = 0

    async def run(self, host: Host) -> None:
        assert self.other is not None
        self._host, self._link = host, host.new_link()
        self._up.set()
        await self.other._up.wait()
        side = b"a" if self._outbound else b"b"
        host.post(LinkUp(self._link, "sim", self._outbound, 16_384, b"meshchat/1", side))
        await asyncio.Event().wait()

    def send(self, link: int, frames: tuple[bytes, ...]) -> None:
        assert self.other is not None and self.other._host is not None
        self.other._host.post(Received(self.other._link, frames))

    def close(self, link: int, reason: str, kept: int = 0) -> None:
        """Nothing to close."""

    def status(self) -> TransportStatus:
        return TransportStatus("sim", True)


def wires() -> tuple[Wire, Wire]:
    """The two ends of one path."""
    one, two = Wire(True), Wire(False)
    one.other, two.other = two, one
    return one, two


async def until(true: Callable[[], bool], pilot: Pilot[None], tries: int = 200) -> None:
    """Let both nodes and the screen work until something is so."""
    for _ in range(tries):
        if true():
            return
        await pilot.pause(0.02)
    raise AssertionError("it never came true")
