"""The live driver with the real node, store and, where it matters, a real LAN link."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from meshchat.core.events import (
    AddContact,
    CloseLink,
    Command,
    Done,
    Effect,
    Event,
    JoinRoom,
    LinkUp,
    MessageAdded,
    MessageChanged,
    NeighbourDown,
    NeighbourUp,
    Notice,
    Received,
    Rename,
    Send,
    SetName,
    Wake,
)
from meshchat.core.identity import public_room_key
from meshchat.core.model import Message, Now, State
from meshchat.core.node import Node
from meshchat.errors import StoreError, TransportError, UsageError
from meshchat.net.lan import LanTransport
from meshchat.net.runtime import News, Runtime
from meshchat.net.transport import Host, Transport, TransportStatus
from meshchat.store import SqlStore
from meshchat.system import SystemEntropy, system_now

WAIT_S = 20.0  # only reached when something is broken


def new_store(name: str) -> SqlStore:
    store = SqlStore.memory()
    with store.transaction():
        Node.create(store, SystemEntropy(), system_now(), name)
    return store


def build(store: SqlStore) -> Callable[[Now], Node]:
    return lambda now: Node(store, SystemEntropy(), now)


class Wire:
    """A transport whose other end is the test."""

    name = "lan"

    def __init__(self) -> None:
        self.host: Host
        self.sent: list[tuple[int, tuple[bytes, ...]]] = []
        self.closed: list[tuple[int, str]] = []
        self.ended = False
        self.ready = asyncio.Event()

    async def run(self, host: Host) -> None:
        self.host = host
        self.ready.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended = True

    def send(self, link: int, frames: tuple[bytes, ...]) -> None:
        self.sent.append((link, frames))

    def close(self, link: int, reason: str, kept: int = 0) -> None:
        self.closed.append((link, reason))

    def status(self) -> TransportStatus:
        return TransportStatus("lan", on=True)

    def dial(self) -> int:
        link = self.host.new_link()
        self.host.post(LinkUp(link, "lan", True, 4_096, b"test", b"origin"))
        return link


class Log(list[News]):
    """Everything a runtime tells, and a way to wait for something."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__()
        self._more = asyncio.Event()
        runtime.subscribe(self._add)

    def _add(self, news: News) -> None:
        self.append(news)
        self._more.set()

    async def until(self, test: Callable[[News], bool]) -> News:
        async with asyncio.timeout(WAIT_S):
            while True:
                for news in self:
                    if test(news):
                        return news
                self._more.clear()
                await self._more.wait()


@asynccontextmanager
async def running(*runtimes: Runtime) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        for runtime in runtimes:
            group.create_task(runtime.run())
        yield
        for runtime in runtimes:
            runtime.stop()


async def test_commands_are_answered_and_refused() -> None:
    """A command returns the node's result; a refusal is raised to its own caller only."""
    store = new_store("a")
    runtime = Runtime(store, build(store))
    async with running(runtime):
        room = runtime.command(JoinRoom("x", public_room_key("x"), False))
        bad = runtime.command(Rename(bytes(32), "nobody"))
        found, refused = await asyncio.gather(room, bad, return_exceptions=True)
        assert found in store.rooms()
        assert isinstance(refused, UsageError)
        same = SetName("twin")
        await asyncio.gather(runtime.command(same), runtime.command(same))
    assert runtime.node.name == "twin"


async def test_two_nodes_chat_over_a_real_link() -> None:
    """Loopback TCP: a message arrives, and its author hears that it was delivered."""
    stores = [new_store("a"), new_store("b")]
    lan = LanTransport(listen=("127.0.0.1", 0), discover=False)
    a = Runtime(stores[0], build(stores[0]), [lan])
    logs = [Log(a)]
    async with running(a):
        await logs[0].until(lambda n: isinstance(n, TransportStatus) and bool(n.detail.get("port")))
        port = lan.status().detail["port"]
        far = LanTransport(listen=("127.0.0.1", 0), peers=[f"127.0.0.1:{port}"], discover=False)
        b = Runtime(stores[1], build(stores[1]), [far])
        logs.append(Log(b))
        async with running(b):
            await a.command(AddContact(b.node.card_text()))
            await b.command(AddContact(a.node.card_text()))
            sent = await a.command(Send(b"c" + b.node.fp, "сәлем"))
            assert isinstance(sent, Message)
            got = await logs[1].until(lambda n: isinstance(n, MessageAdded))
            assert isinstance(got, MessageAdded)
            assert (got.message.text, got.message.id) == ("сәлем", sent.id)
            await logs[0].until(
                lambda n: isinstance(n, MessageChanged) and n.message.state is State.DELIVERED
            )
            assert len(a.status().node.neighbours) == 1
        await logs[0].until(lambda n: isinstance(n, NeighbourDown))


class Script:
    """Stands where the node stands and answers with what a test wants to see carried out."""

    def __init__(self) -> None:
        self.seen: list[list[Event]] = []
        self.batch: list[Event] = []
        self.answers: dict[type, Callable[[Event], list[Effect]]] = {}
        self.due: float | None = None
        self.woken = asyncio.Event()

    def handle(self, event: Event, now: Now) -> list[Effect]:
        self.batch.append(event)
        if isinstance(event, Wake):
            self.due = None
            self.woken.set()
        return self.answers.get(type(event), lambda _: [])(event)

    def next_wakeup(self) -> float | None:
        return self.due


async def test_waiting_events_share_one_commit() -> None:
    """What arrives together is handled inside one transaction, and of each link at once."""
    store, script, wire = new_store("a"), Script(), Wire()
    runtime = Runtime(store, lambda _: script, [wire])  # type: ignore[arg-type,return-value]
    async with running(runtime):
        await wire.ready.wait()
        one, two = wire.dial(), wire.dial()
        for number in range(5):
            wire.host.post(Received(one, (bytes([number]),)))
            wire.host.post(Received(two, (bytes([number, number]),)))
        three = wire.dial()
        wire.host.post(Received(one, (b"late",)))
        script.answers[Received] = lambda _: store.put("raises", b"outside a transaction") or []
        script.due = system_now().mono + 0.01
        await script.woken.wait()
    came = [
        (event.link, event.frames if isinstance(event, Received) else ())
        for event in script.batch
        if isinstance(event, LinkUp | Received)
    ]
    assert came == [
        (one, ()),
        (two, ()),
        (one, tuple(bytes([number]) for number in range(5))),
        (two, tuple(bytes([number, number]) for number in range(5))),
        (three, ()),
        (one, (b"late",)),
    ]
    assert isinstance(script.batch[-1], Wake)


async def test_neighbours_are_heard_while_many_commands_wait() -> None:
    """What a neighbour says during a step is acted on before more of our user's wishes are."""
    wire, store = Wire(), new_store("a")
    ours, theirs = socket.socketpair()
    order: list[object] = []

    class Busy(Script):
        def obey(self, commands: list[Command], now: Now) -> list[Effect]:
            order.append(len(commands))
            theirs.send(b"x")
            return [Done(command, None) for command in commands]

        def handle(self, event: Event, now: Now) -> list[Effect]:
            order.append(type(event).__name__)
            return []

    runtime = Runtime(store, lambda _: Busy(), [wire])  # type: ignore[arg-type,return-value]
    async with running(runtime):
        await wire.ready.wait()
        link = wire.dial()
        await runtime.command(SetName("first"))
        assert ours.recv(1)
        order.clear()

        def read() -> None:
            wire.host.post(Received(link, (ours.recv(16),)))

        asyncio.get_running_loop().add_reader(ours, read)
        await asyncio.gather(*(runtime.command(SetName("x")) for _ in range(200)))
        asyncio.get_running_loop().remove_reader(ours)
    ours.close()
    theirs.close()
    heard = [order[place + 1] for place, each in enumerate(order[:-1]) if isinstance(each, int)]
    assert order[:3] == [32, "Received", 64]
    assert set(heard) == {"Received"}


async def test_a_closed_link_is_silent_both_ways() -> None:
    """After CloseLink nothing of that link reaches the node, and nothing is sent on it."""
    script, wire = Script(), Wire()
    store = new_store("a")
    runtime = Runtime(store, lambda _: script, [wire])  # type: ignore[arg-type,return-value]
    async with running(runtime):
        await wire.ready.wait()
        script.answers[Received] = lambda event: [CloseLink(event.link, "over")]  # type: ignore[union-attr]
        link = wire.dial()
        wire.host.post(Received(link, (b"x",)))
        script.due = 0.0
        await script.woken.wait()
        script.woken.clear()
        wire.host.post(Received(link, (b"late",)))
        script.due = 0.0
        wire.dial()
        await script.woken.wait()
    assert sum(isinstance(event, Received) for event in script.batch) == 1
    assert wire.closed[0] == (link, "over")
    assert wire.ended


def _fill(store: SqlStore) -> None:
    """Give the database no page more than it has: SQLite then reports a full disk."""
    pages = store._db.value("PRAGMA page_count")
    store._db.value(f"PRAGMA max_page_count = {pages}")


def _make_room(store: SqlStore) -> None:
    store._db.value("PRAGMA max_page_count = 1000000")


async def test_a_full_disk_is_said_and_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command fails with StoreError, links end, the node stays; with room it all works."""
    monkeypatch.setattr("meshchat.net.runtime.RETRY_FIRST_S", 0.05)
    store, wire = new_store("a"), Wire()
    runtime = Runtime(store, build(store), [wire])
    log = Log(runtime)
    async with running(runtime):
        await wire.ready.wait()
        link = wire.dial()
        room = await runtime.command(JoinRoom("x", public_room_key("x"), False))
        chat = b"r" + room.rid  # type: ignore[attr-defined]
        first = runtime.node
        _fill(store)
        with pytest.raises(StoreError) as caught:
            for _ in range(50):  # until no page has room left
                await runtime.command(Send(chat, "x" * 7_000))
        assert caught.value.reason == "full"
        count = len(store.messages(chat))
        assert runtime.node is not first
        assert runtime.trouble is not None
        assert (link, "store") in wire.closed
        with pytest.raises(StoreError):
            await runtime.command(Send(chat, "x" * 7_000))
        assert [n.code for n in log if isinstance(n, Notice)] == ["full"]
        _make_room(store)
        await log.until(lambda n: isinstance(n, Notice) and n.code == "store_writable")
        await runtime.command(Send(chat, "after"))
        assert runtime.trouble is None
        assert len(store.messages(chat)) == count + 1


async def test_subscribers_hear_that_neighbours_are_gone_after_a_failed_commit() -> None:
    """The new node knows no links, so the runtime itself says they are down."""
    store, wire, script = new_store("a"), Wire(), Script()
    built: list[Now] = []

    def make(now: Now) -> Script:
        built.append(now)
        return script

    runtime = Runtime(store, make, [wire])  # type: ignore[arg-type]
    log = Log(runtime)

    def up(event: Event) -> list[Effect]:
        from meshchat.core.model import Neighbour

        assert isinstance(event, LinkUp)
        return [NeighbourUp(Neighbour(event.link, "lan", b"", 0.0, True, 0, 0, "abcd"))]

    def fail(_: Event) -> list[Effect]:
        raise StoreError("io", "The disk does not read or write.")

    script.answers = {LinkUp: up, Received: fail}
    async with running(runtime):
        await wire.ready.wait()
        link = wire.dial()
        await log.until(lambda n: isinstance(n, NeighbourUp))
        wire.host.post(Received(link, (b"x",)))
        await log.until(lambda n: isinstance(n, NeighbourDown))
        await log.until(lambda n: isinstance(n, Notice))
    assert len(built) == 2
    assert wire.closed == [(link, "store")]


async def test_what_a_transport_cannot_start_with_ends_the_run() -> None:
    """A port in use comes out as the TransportError itself, and services are ended."""
    taken = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    ended: list[bool] = []

    async def service() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    store = new_store("a")
    lan = LanTransport(listen=("127.0.0.1", port), discover=False)
    with pytest.raises(TransportError):
        await Runtime(store, build(store), [lan]).run(service)
    assert ended == [True]
    taken.close()
    await taken.wait_closed()


async def test_commands_left_at_the_end_are_answered() -> None:
    """Nobody waits for ever on a node that has stopped."""
    store, script = new_store("a"), Script()
    runtime = Runtime(store, lambda _: script)  # type: ignore[arg-type,return-value]

    async def ask(command: Command) -> object:
        return await runtime.command(command)

    waiting: list[Awaitable[object]] = []
    async with asyncio.TaskGroup() as group:
        run = group.create_task(runtime.run())
        waiting.append(asyncio.ensure_future(ask(SetName("x"))))
        await asyncio.sleep(0)
        runtime.stop()
        await run
    with pytest.raises(StoreError, match="stopping"):
        await waiting[0]


async def test_unsubscribe_and_status() -> None:
    """After unsubscribing nothing is told; status joins node and transports."""
    store, wire = new_store("a"), Wire()
    runtime = Runtime(store, build(store), [wire])
    heard: list[News] = []
    end = runtime.subscribe(heard.append)
    async with running(runtime):
        await runtime.command(JoinRoom("x", public_room_key("x"), False))
        assert heard
        end()
        heard.clear()
        await runtime.command(JoinRoom("y", public_room_key("y"), False))
        assert not heard
        status = runtime.status()
    assert [one.name for one in status.transports] == ["lan"]
    assert status.node.name == "a"
    assert status.trouble is None
    transport: Transport = wire
    assert transport.name == "lan"
