"""A few real nodes on in-memory stores, joined by perfect links, in hand-made time.

The smallest driver there can be: it does what the runtime does, in the same order, so that
tests of the core need neither sockets nor waiting.
"""

import hashlib
from collections import deque
from collections.abc import Callable
from pathlib import Path

from meshchat.core.events import (
    CloseLink,
    Command,
    Done,
    Effect,
    Event,
    LinkDown,
    LinkUp,
    Received,
    Refused,
    SendFrames,
    Wake,
)
from meshchat.core.limits import Limits
from meshchat.core.model import Message, Now
from meshchat.core.node import Node
from meshchat.core.ports import Store
from meshchat.store import SqlStore

START = 1_790_000_000.0  # September 2026
SPIN_MAX = 20_000  # steps of one settling; more means two nodes talk in circles


class SeededEntropy:
    """Deterministic bytes."""

    def __init__(self, seed: str) -> None:
        self._state = hashlib.blake2b(seed.encode()).digest()
        self._count = 0

    def bytes(self, n: int) -> bytes:
        out = b""
        while len(out) < n:
            self._count += 1
            out += hashlib.blake2b(self._state + self._count.to_bytes(8, "little")).digest()
        return out[:n]


class Host:
    """One node, its store and what it told."""

    def __init__(
        self,
        world: "World",
        name: str,
        limits: Limits | None = None,
        psk: bytes | None = None,
        receipts: bool = True,
    ) -> None:
        self.world, self.name = world, name
        self.settings = (psk, limits, receipts)
        self.store = world.make_store()
        self.entropy = SeededEntropy(f"{world.seed}/{len(world.hosts)}/{name}")
        with self.store.transaction():
            Node.create(self.store, self.entropy, world.now, name)
        self.told: list[Effect] = []
        self.links: dict[int, tuple[Host, int]] = {}
        self.node = self._start()

    def _start(self) -> Node:
        with self.store.transaction():
            return Node(self.store, self.entropy, self.world.now, *self.settings)

    def crash(self) -> None:
        """kill -9: every link breaks, the node is rebuilt from its store."""
        for link in list(self.links):
            self.world.cut_link(self, link, tell_self=False)
        self.world.inbox = deque(item for item in self.world.inbox if item[0] is not self)
        self.node = self._start()

    def handle(self, event: Event) -> list[Effect]:
        with self.store.transaction():
            effects = self.node.handle(event, self.world.now)
        for effect in effects:
            if isinstance(effect, SendFrames):
                self.world.carry(self, effect)
            elif isinstance(effect, CloseLink):
                self.world.cut_link(self, effect.link, tell_self=False)
            else:
                self.told.append(effect)
        return effects

    def do(self, command: Command) -> object:
        """Give a command; returns its result or raises its refusal."""
        for effect in self.handle(command):
            if isinstance(effect, Refused):
                raise effect.error
            if isinstance(effect, Done):
                return effect.result
        raise AssertionError("a command was not answered")

    def texts(self, chat: bytes) -> list[str]:
        return [message.text for message in self.store.messages(chat)]

    def state(self, message: Message) -> str:
        found = self.store.message(message.id)
        assert found is not None
        return str(found.state)


class World:
    """Time, hosts and links between them."""

    def __init__(
        self, seed: str = "world", make_store: Callable[[], Store] = SqlStore.memory
    ) -> None:
        self.seed = seed
        self.make_store = make_store
        self.mono = 1_000.0
        self.wall = START
        self.inbox: deque[tuple[Host, Event]] = deque()
        self.hosts: list[Host] = []
        self._links = 0
        self.bytes_moved = 0
        self.frame_by_frame = False
        """Each frame arrives as an event of its own, so that a cut can fall between any two."""
        self.meddle: Callable[[Host, SendFrames], tuple[bytes, ...]] | None = None

    @property
    def now(self) -> Now:
        return Now(self.mono, self.wall)

    def host(
        self,
        name: str,
        limits: Limits | None = None,
        psk: bytes | None = None,
        receipts: bool = True,
    ) -> Host:
        """A new node; the settings are the Node's."""
        host = Host(self, name, limits, psk, receipts)
        self.hosts.append(host)
        return host

    def link(
        self,
        one: Host,
        other: Host,
        mtu: int = 16_384,
        transport: str = "sim",
        supervised: bool = False,
    ) -> tuple[int, int]:
        """Join two hosts; ``one`` dials."""
        self._links += 2
        a, b = self._links - 1, self._links
        one.links[a], other.links[b] = (other, b), (one, a)
        prologue = b"meshchat/1\x03" + bytes(32)
        one.handle(LinkUp(a, transport, True, mtu, prologue, other.name.encode(), supervised))
        other.handle(LinkUp(b, transport, False, mtu, prologue, one.name.encode(), supervised))
        return a, b

    def meet(self, one: Host, other: Host, seconds: float = 5.0) -> None:
        """Link, talk, part."""
        a, _ = self.link(one, other)
        self.run(seconds)
        if a in one.links:
            self.cut_link(one, a)

    def cut_link(self, host: Host, link: int, tell_self: bool = True) -> None:
        other = host.links.pop(link, None)
        if other is None:
            return
        far, far_link = other
        far.links.pop(far_link, None)
        if tell_self:
            host.handle(LinkDown(link))
        self.inbox.append((far, LinkDown(far_link)))

    def carry(self, host: Host, effect: SendFrames) -> None:
        if effect.link not in host.links:
            return
        far, far_link = host.links[effect.link]
        frames = self.meddle(host, effect) if self.meddle else effect.frames
        self.bytes_moved += sum(map(len, frames))
        for batch in [(frame,) for frame in frames] if self.frame_by_frame else [frames]:
            if batch:
                self.inbox.append((far, Received(far_link, batch)))

    def settle(self) -> None:
        """Deliver everything that is under way."""
        for _ in range(SPIN_MAX):
            if not self.inbox:
                return
            host, event = self.inbox.popleft()
            host.handle(event)
        raise AssertionError("the nodes never fall silent")

    def run(self, seconds: float) -> None:
        """Let time pass, waking every node when it asked for it."""
        end = self.mono + seconds
        self.settle()
        while True:
            due = [(host.node.next_wakeup(), index) for index, host in enumerate(self.hosts)]
            at, index = min((at, index) for at, index in due if at is not None)
            if at > end:
                break
            step = max(0.0, at - self.mono)
            self.mono += step
            self.wall += step
            self.hosts[index].handle(Wake())
            self.settle()
        self.wall += end - self.mono
        self.mono = end


VECTORS = Path(__file__).parent.parent / "vectors"
