"""Real transports on loopback: preamble, frames, ends and limits. Only the node is absent."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TypeVar

import pytest

from meshchat.core.events import LinkDown, LinkUp, Received
from meshchat.errors import TransportError, UsageError
from meshchat.net import lan as lan_module
from meshchat.net.candidates import Retry
from meshchat.net.interfaces import Network
from meshchat.net.lan import LanTransport, parse_peer
from meshchat.net.transport import TransportStatus

T = TypeVar("T")
LIMIT_S = 20  # for a hang, not for speed


class Recorder:
    """Stands where the runtime is and writes down what it is told."""

    def __init__(self) -> None:
        self.events: list[LinkUp | LinkDown | Received] = []
        self.statuses: list[TransportStatus] = []
        self._links = 0
        self._more = asyncio.Event()

    def new_link(self) -> int:
        self._links += 1
        return self._links

    def post(self, event: LinkUp | LinkDown | Received) -> None:
        self.events.append(event)
        self._more.set()

    def changed(self, status: TransportStatus) -> None:
        self.statuses.append(status)
        self._more.set()

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for events that make this true."""
        async with asyncio.timeout(LIMIT_S):
            while not true():
                self._more.clear()
                await self._more.wait()

    async def up(self, n: int = 1) -> LinkUp:
        """The n-th link."""
        await self.until(lambda: len(self._of(LinkUp)) >= n)
        return self._of(LinkUp)[n - 1]

    async def down(self, n: int = 1) -> LinkDown:
        """The n-th end of a link."""
        await self.until(lambda: len(self._of(LinkDown)) >= n)
        return self._of(LinkDown)[n - 1]

    async def frames(self, n: int) -> list[bytes]:
        """The first n frames of all links."""
        await self.until(lambda: len(self.all_frames()) >= n)
        return self.all_frames()

    def all_frames(self) -> list[bytes]:
        return [frame for event in self._of(Received) for frame in event.frames]

    def _of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def running(**options: object) -> AsyncIterator[tuple[LanTransport, Recorder]]:
    """A transport that listens, without discovery."""
    host = Recorder()
    lan = LanTransport(**{"discover": False, **options})  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(lan.run(host))
        await host.until(lambda: bool(host.statuses) or task.done())
        try:
            yield lan, host
        finally:
            task.cancel()


def port_of(lan: LanTransport) -> int:
    """Where it listens."""
    return int(lan.status().detail["port"])


@asynccontextmanager
async def pair(
    address: str = "127.0.0.1",
) -> AsyncIterator[tuple[LanTransport, Recorder, LanTransport, Recorder]]:
    """Two linked transports; the second one dialled."""
    async with AsyncExitStack() as stack:
        a, at_a = await stack.enter_async_context(running())
        b, at_b = await stack.enter_async_context(running(peers=[f"{address}:{port_of(a)}"]))
        await at_a.up()
        await at_b.up()
        yield a, at_a, b, at_b


def connect(lan: LanTransport, data: bytes = b"") -> socket.socket:
    """A stranger's connection."""
    sock = socket.create_connection(("127.0.0.1", port_of(lan)))
    sock.sendall(data)
    sock.setblocking(False)
    return sock


async def read_all(sock: socket.socket) -> bytes:
    """What the stranger is told until the end."""
    data = b""
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                part = await asyncio.get_running_loop().sock_recv(sock, 1000)
            except ConnectionResetError:
                part = b""
            if not part:
                return data
            data += part


def preamble(
    magic: bytes = b"MC", version: int = 1, ours: bytes = b"s" * 16, theirs: bytes = bytes(16)
) -> bytes:
    """The dialler's 35 bytes."""
    return magic + bytes([version]) + ours + theirs


@pytest.mark.parametrize(
    ("address", "origin"), [("127.0.0.1", b"lan:127.0.0.1"), ("[::1]", b"lan:::1")]
)
async def test_both_sides_agree_on_the_link(address: str, origin: bytes) -> None:
    """One dialler, the same prologue, the neighbour's address as origin, over both families."""
    async with pair(address) as (_, at_a, _, at_b):
        one, other = await at_a.up(), await at_b.up()
        assert (one.outbound, other.outbound) == (False, True)
        assert one.prologue == other.prologue
        assert one.prologue[:11] == b"meshchat/1\x01"
        assert one.prologue[27:] == bytes(16)  # a static peer's session id is not known
        assert len(one.prologue) == 43
        assert (one.origin, other.origin) == (origin, origin)
        assert one.mtu == other.mtu == 16_640


async def test_frames_arrive_whole_and_in_order_both_ways() -> None:
    """Small and largest frames, thousands of them, come as they were sent."""
    async with pair() as (a, at_a, b, at_b):
        sent = [n.to_bytes(2, "big") * (1 + n % 8192) for n in range(1, 1500)]
        for start in range(0, len(sent), 100):
            a.send(1, tuple(sent[start : start + 100]))
            b.send(1, tuple(sent[start : start + 100]))
            await at_a.frames(min(start + 100, len(sent)))
        assert await at_a.frames(len(sent)) == sent
        assert await at_b.frames(len(sent)) == sent


async def test_tcp_sends_small_frames_at_once() -> None:
    """Nagle's algorithm is off on both sides."""
    async with pair() as (a, _, b, _):
        for lan in (a, b):
            transport = lan._links[1].transport
            assert transport is not None
            sock = transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_close_sends_what_was_queued_and_posts_nothing_here() -> None:
    """The last frames before a close arrive; the closing side gets no ``LinkDown``."""
    async with pair() as (a, at_a, _, at_b):
        a.send(1, tuple(bytes([n]) * 16_000 for n in range(1, 60)))
        a.close(1, "done")
        a.send(1, (b"late",))
        assert (await at_b.down()).reason == "lost"
        assert len(at_b.all_frames()) == 59
        assert not any(isinstance(event, LinkDown) for event in at_a.events)
        a.close(1, "again")
        a.close(999, "never was")


async def test_stopping_ends_links_on_the_other_side() -> None:
    """Cancelling ``run`` flushes and closes; the neighbour knows at once."""
    async with running() as (a, at_a):
        async with running(peers=[f"127.0.0.1:{port_of(a)}"]) as (b, _):
            await at_a.up()
            b.send(1, (b"bye",))
        assert (await at_a.down()).reason == "lost"
        assert at_a.all_frames() == [b"bye"]


@pytest.mark.parametrize(
    "data",
    [
        preamble(magic=b"XX"),
        preamble(version=2),
        preamble(theirs=b"?" * 16),
        preamble(ours=bytes(16)),
        b"GET / HTTP/1.1\r\nHost: printer.local\r\n\r\n",
    ],
)
async def test_wrong_preamble_ends_in_silence(data: bytes) -> None:
    """A stranger learns nothing, and the node hears nothing of it."""
    async with running() as (lan, host):
        with connect(lan, data) as sock:
            assert await read_all(sock) == b""
        assert host.events == []


async def test_right_preamble_in_pieces_makes_a_link() -> None:
    """Session id right or left open, byte by byte: a link."""
    async with running() as (lan, host):
        for n, theirs in enumerate((lan._sid, bytes(16)), 1):
            sock = connect(lan)
            for byte in preamble(theirs=theirs):
                await asyncio.get_running_loop().sock_sendall(sock, bytes([byte]))
            up = await host.up(n)
            assert up.prologue == b"meshchat/1\x01" + b"s" * 16 + theirs
            sock.close()
            await host.down(n)


async def test_zero_length_frame_ends_the_link() -> None:
    """A stream that breaks the layout is cut off."""
    async with running() as (lan, host):
        with connect(lan, preamble() + b"\x01\x00A\x00\x00") as sock:
            assert (await host.down()).reason == "protocol_error"
            assert host.all_frames() == [b"A"]
            assert await read_all(sock) == b""


async def test_silent_stranger_is_put_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not say what he wants in time is disconnected."""
    monkeypatch.setattr(lan_module, "GREETING_S", 0.05)
    async with running() as (lan, host):
        with connect(lan, b"MC") as sock:
            assert await read_all(sock) == b""
        assert host.events == []


async def test_crowd_of_silent_strangers_does_not_keep_others_out() -> None:
    """Sixteen may wait; the oldest makes room, and a real neighbour gets through."""
    async with running() as (lan, host):
        socks = [connect(lan) for _ in range(lan_module.GREETINGS_WAITING_MAX + 4)]
        good = connect(lan, preamble())
        await host.up()
        assert len(lan._greetings) <= lan_module.GREETINGS_WAITING_MAX
        for sock in socks[:4]:
            assert await read_all(sock) == b""
        for sock in (*socks, good):
            sock.close()


async def test_links_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than the limit; who comes too late is closed without a word."""
    monkeypatch.setattr(lan_module, "LINKS_MAX", 2)
    async with running() as (lan, host):
        socks = [connect(lan, preamble(ours=bytes([n]) * 16)) for n in (1, 2)]
        await host.up(2)
        with connect(lan, preamble(ours=b"3" * 16)) as late:
            assert await read_all(late) == b""
        assert lan.status().detail["links"] == 2
        for sock in socks:
            sock.close()


async def test_static_peer_is_dialled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost link with a static peer comes back by itself."""
    monkeypatch.setattr(Retry, "FIRST_S", 0.01)
    async with pair() as (a, at_a, _, at_b):
        a.close(1, "done")
        await at_b.down()
        assert (await at_b.up(2)).link == 2
        assert (await at_a.up(2)).link == 2


async def test_static_peer_may_start_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that is not there yet is tried until it is."""
    monkeypatch.setattr(Retry, "FIRST_S", 0.01)
    monkeypatch.setattr(Retry, "MAX_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    late = running(peers=[f"127.0.0.1:{port}", "no.such.host.invalid:1"])
    async with late as (_, at_b), running(listen=("127.0.0.1", port)) as (_, at_a):
        await at_a.up()
        await at_b.up()


async def test_own_address_as_static_peer_makes_no_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node told to dial itself does not, and a connection with its own session id is refused."""
    monkeypatch.setattr(Retry, "FIRST_S", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    async with running(listen=("127.0.0.1", port), peers=[f"127.0.0.1:{port}"]) as (lan, host):
        with connect(lan, preamble(ours=lan._sid)) as sock:
            assert await read_all(sock) == b""
        assert host.events == []


async def test_link_bound_to_a_lost_address_ends_at_once() -> None:
    """When the address a link is bound to is gone, the node is told, and the session id is new."""
    async with pair() as (a, at_a, _, _):
        before = a._sid
        a._moved(Network())
        assert (await at_a.down()).reason == "address_gone"
        assert a._sid != before


async def test_port_in_use_is_one_clear_sentence() -> None:
    """A port somebody has makes ``run`` fail with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        for options in ({"listen": ("127.0.0.1", port)}, {"port": port}):
            with pytest.raises(TransportError, match=f"Port {port} is in use"):
                await LanTransport(discover=False, **options).run(Recorder())


@pytest.mark.parametrize("host", ["203.0.113.1", "no.such.host.invalid", "::ffff:0:zz"])
async def test_foreign_address_to_listen_on_is_refused(host: str) -> None:
    """Listening on what is not ours is a mistake of our user, told as such."""
    with pytest.raises(UsageError, match="not an address of this machine"):
        await LanTransport(listen=(host, 0), discover=False).run(Recorder())


def test_port_out_of_range_is_refused() -> None:
    """Port 70000 does not exist."""
    with pytest.raises(UsageError, match="70000"):
        LanTransport(port=70_000)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("192.168.1.20:4000", ("192.168.1.20", 4000)),
        ("box.lan:1", ("box.lan", 1)),
        (" [::1]:65535 ", ("::1", 65_535)),
        ("[fe80::1%eth0]:4000", ("fe80::1%eth0", 4000)),
    ],
)
def test_static_peers_are_understood(text: str, parsed: tuple[str, int]) -> None:
    """Names, IPv4, bracketed IPv6 and link-local addresses with their interface."""
    assert parse_peer(text) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "host",
        "host:",
        ":1",
        "::1:4000",
        "[::1]",
        "h:0",
        "h:65536",
        "h:-1",
        "a b:1",
        "[h:1",
        "h:1²",
    ],
)
def test_nonsense_peers_are_refused_with_an_example(text: str) -> None:
    """Anything else is answered with how to write it."""
    with pytest.raises(UsageError, match=r"HOST:PORT; write .*\[fe80::1%eth0\]:4000"):
        LanTransport(peers=[text])
