"""The LAN transport: neighbours by beacon and mDNS, frames over TCP (wire.md 1.1 and 2).

Owns listeners, connections and their life; whom to dial and when is decided in
``candidates``. A connection becomes a link when its 35-byte preamble was sent
or found right; who is at the other end is the core's business.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from random import SystemRandom

from meshchat.core.events import LinkDown, LinkUp, Received
from meshchat.errors import UsageError
from meshchat.i18n import N_
from meshchat.net.beacon import Beacon
from meshchat.net.candidates import LASTED_S, Address, Candidates, Plan, Retry
from meshchat.net.discovery import Names
from meshchat.net.frames import FRAME_MAX_BYTES, FrameProtocol
from meshchat.net.interfaces import Network, scan, watch
from meshchat.net.tcp import BACKLOG, listeners, parse_peer, resolve
from meshchat.net.transport import Host, TransportStatus

__all__ = ["FrameProtocol", "LanTransport", "parse_peer"]

LINKS_MAX = 24  # what the core keeps
LINKS_DIALLED_MAX = 16  # then only others dial: a newcomer must find room somewhere
PER_HOST_MAX = 8  # links with one address, so that one machine cannot take all
GREETINGS_WAITING_MAX = 16  # connections that have not said who they are
GREETING_S = 10.0
STAGGER_S = 0.25  # between the addresses of one candidate
CONNECT_S = 4.0  # on the same LAN; covers two lost SYNs
CONNECT_FAR_S = 15.0  # static peers
FLUSH_S = 1.0  # for the last frames of a link that ends
HINT_AFTER_S = 14.0  # four beacons unanswered; the hint must stand within 20 s

_MAGIC = b"MC\x01"
_NOBODY = bytes(16)
_TURNED_AWAY = ("greeting", "refused", "protocol_error", "not_reading")
_REMEDY = {
    "no_interface": N_("Connect to a Wi-Fi or cable network; no internet is needed."),
    "firewall": N_("A firewall blocks our own beacons: allow UDP port 47474 and TCP for meshchat."),
    "cannot_send": N_(
        "The system refuses to send beacons: on a Mac allow Local Network for this"
        " terminal in the privacy settings; elsewhere look for a VPN or firewall."
    ),
    "isolated": N_(
        "Others are here but their beacons do not arrive: the network keeps devices apart"
        " or a firewall blocks UDP port 47474. Use another network, Bluetooth, or add a peer by"
        " HOST:PORT."
    ),
    "alone": N_(
        "Nobody answers here. If others run meshchat on this network, it keeps devices apart"
        " or a firewall blocks UDP port 47474: use another network, Bluetooth, or add a peer by"
        " HOST:PORT."
    ),
    "beacon_port": N_("UDP port 47474 is held by another program; end it to find neighbours."),
}

log = logging.getLogger(__name__)


class _Connection(FrameProtocol):
    """One TCP connection, from socket to link."""

    def __init__(self, lan: "LanTransport", sid: bytes | None, address: Address | None) -> None:
        """``address`` is what we dialled, and ``sid`` whom we expect there; None: they dialled."""
        self.greeting_bytes = 35 if address is None else 0
        super().__init__()
        self.lan = lan
        self.sid = sid or _NOBODY
        self.address = address
        self.local = self.remote = ""
        self.number = 0  # as a link; 0 = not one (yet, or no more)
        self.since = 0.0
        self.reason = ""
        self.over = asyncio.Event()
        self.timer: asyncio.TimerHandle | None = None

    def opened(self) -> None:
        assert self.transport is not None
        self.local = self.transport.get_extra_info("sockname")[0].partition("%")[0]
        peer = self.transport.get_extra_info("peername")  # None: already gone
        self.remote = peer[0].partition("%")[0] if peer else ""
        self.lan._opened(self)

    def greeted(self, greeting: bytes) -> bool:
        return self.lan._greeted(self, greeting)

    def received(self, frames: tuple[bytes, ...]) -> None:
        self.lan._host.post(Received(self.number, frames))

    def ended(self, reason: str) -> None:
        if self.timer is not None:
            self.timer.cancel()
        self.lan._ended(self, reason)
        self.over.set()


class LanTransport:
    """Links over TCP with neighbours on the same network and with static peers.

    Args:
        port: TCP port on all addresses; 0 = any, which is harder to recognise.
        listen: Address and port to listen on instead.
        peers: Static peers as ``HOST:PORT``, dialled for ever.
        discover: Send beacons and mDNS and answer them. Without, we are found by nobody.
        interfaces: Names of the interfaces to use for that; empty: all but tunnels.

    Raises:
        UsageError: An address that makes no sense.
    """

    name = "lan"

    def __init__(
        self,
        port: int = 0,
        listen: tuple[str, int] | None = None,
        peers: Sequence[str] = (),
        discover: bool = True,
        interfaces: Sequence[str] = (),
    ) -> None:
        self._want = listen or ("", port)
        if not 0 <= self._want[1] <= 65_535:
            raise UsageError("bad_port", f"Port {self._want[1]} does not exist; use 0 to 65535.")
        self._peers = [parse_peer(text) for text in dict.fromkeys(peers)]
        self._discover = discover
        self._only = tuple(interfaces)
        self._random = SystemRandom()
        self.candidates = Candidates(self._random)
        self._beacon = Beacon(self._heard, self.candidates.period_s, self._tick, self._random)
        self._names = Names(
            self._named, self.candidates.unnamed, self.candidates.knows, self._beacons_arrive
        )
        self._network = Network()
        self._sid = _NOBODY
        self._port = 0
        self._running = False
        self._host: Host
        self._links: dict[int, _Connection] = {}
        self._greetings: dict[_Connection, None] = {}  # inbound, not greeted yet, oldest first
        self._closing: dict[_Connection, None] = {}
        self._news = asyncio.Event()  # for the dialler
        self._moves = asyncio.Event()  # replaced at each network change
        self._others_seen = False
        self._turned_away = 0  # connections that said nothing, nonsense, or came when all was full
        self._told: TransportStatus | None = None

    # --- Transport ---------------------------------------------------------------------------

    async def run(self, host: Host) -> None:
        """Find peers and carry frames until cancelled.

        Raises:
            UsageError: The address to listen on is not ours.
            TransportError: The port is in use.
        """
        self._host = host
        loop = asyncio.get_running_loop()
        sockets = listeners(*self._want)
        self._port = sockets[0].getsockname()[1]
        servers = [
            await loop.create_server(
                lambda: _Connection(self, None, None), sock=sock, backlog=BACKLOG
            )
            for sock in sockets
        ]
        try:
            self._running = True
            self._moved(scan(self._only))
            async with asyncio.TaskGroup() as group:
                if self._discover:
                    group.create_task(self._beacon.run())
                    group.create_task(self._names.run())
                group.create_task(watch(self._network, self._moved, self._only))
                group.create_task(self._dial_candidates(group))
                for peer in self._peers:
                    group.create_task(self._keep(*peer))
        finally:
            self._running = False
            for server in servers:
                server.close()
            await self._finish()

    def send(self, link: int, frames: tuple[bytes, ...]) -> None:
        """Queue frames; unknown or closed links are ignored."""
        if (connection := self._links.get(link)) is not None:
            connection.send(frames)

    def close(
        self,
        link: int,
        reason: str,
        kept: int = 0,  # noqa: ARG002  # an address is enough to know who it was
    ) -> None:
        """End a link after flushing; no ``LinkDown`` is posted for it."""
        if (connection := self._links.get(link)) is None:
            return
        self._unlink(connection, reason)
        self._closing[connection] = None
        connection.close()
        loop = asyncio.get_running_loop()
        connection.timer = loop.call_later(FLUSH_S, connection.abort, reason)

    def status(self) -> TransportStatus:
        """Facts and, if few neighbours are to be expected, why."""
        reason = self._trouble()
        facts = self._beacon.facts
        detail: dict[str, str | int] = {
            "port": self._port,
            "interfaces": " ".join(nic.name for nic in self._network.used),
            "links": len(self._links),
            "candidates": len(self.candidates),
            "beacons_sent": facts.sent,
            "beacons_heard": facts.heard,
            "beacon_errors": self._beacon.errors.total(),
            "turned_away": self._turned_away,
            "own_beacon_heard": "yes" if facts.self_heard else "no",
            "mdns": self._names.trouble or ("on" if self._discover else "off"),
        }
        return TransportStatus("lan", self._running, reason, _REMEDY.get(reason, ""), detail)

    # --- the network -------------------------------------------------------------------------

    def _moved(self, network: Network) -> None:
        """Our addresses are these now: a new session id, and everything afresh."""
        self._network = network
        self._sid = os.urandom(16)
        self._others_seen = False
        self.candidates.restart(self._sid)
        for link in list(self._links.values()):
            if not network.owns(link.local):
                link.abort("address_gone")
        if self._discover:
            self._beacon.restart(self._sid, self._port, network)
            self._names.restart(self._sid, self._port, network)
        self._moves.set()
        self._moves = asyncio.Event()
        self._news.set()
        self._report()

    def _heard(self, sid: bytes, address: Address) -> bool:
        if self._network.owns(address.host) and address.port == self._port:
            return False  # our own beacon under the session id we had before
        self._others_seen = True
        is_new = self.candidates.heard(sid, address, asyncio.get_running_loop().time())
        if is_new:
            self._news.set()
        return is_new

    def _named(self, sid: bytes, addresses: Iterable[Address]) -> None:
        others = [a for a in addresses if not self._network.owns(a.host) or a.port != self._port]
        self.candidates.named(sid, others, asyncio.get_running_loop().time())
        self._news.set()

    def _beacons_arrive(self) -> bool:
        return bool(self.candidates.present(asyncio.get_running_loop().time()))

    def _tick(self) -> None:
        """After each beacon: the one regular wake-up of an idle transport."""
        self.candidates.forget(asyncio.get_running_loop().time())
        self._report()

    def _trouble(self) -> str:
        """What limits us, as a stable code, or empty."""
        if not self._running or not self._discover:
            return ""
        if not self._network.used:
            return "no_interface"
        facts, now = self._beacon.facts, asyncio.get_running_loop().time()
        if facts.failed and not facts.sent:
            return "cannot_send"
        if facts.rounds and not self._beacon.listening:
            return "beacon_port"
        quiet = now - max(facts.heard_at, facts.since) >= HINT_AFTER_S
        if self._links or facts.rounds < 3 or not quiet:
            return ""
        if not facts.self_heard:
            return "firewall"
        return "isolated" if self._others_seen or self.candidates.named_only() else "alone"

    def _report(self) -> None:
        """Tell the host if the status changed in more than a counter."""
        status = self.status()
        for counter in ("beacons_sent", "beacons_heard", "beacon_errors", "turned_away"):
            status.detail.pop(counter)
        if status != self._told:
            self._told = status
            self._host.changed(self.status())

    # --- dialling ----------------------------------------------------------------------------

    async def _dial_candidates(self, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._news.clear()
            for plan in self.candidates.due(loop.time(), LINKS_DIALLED_MAX - len(self._links)):
                group.create_task(self._dial(plan))
            due = self.candidates.next_at() if len(self._links) < LINKS_DIALLED_MAX else None
            wait = None if due is None else max(0.05, due - loop.time())
            with suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._news.wait()

    async def _dial(self, plan: Plan) -> None:
        connection = None
        try:
            connection = await self._first(plan.addresses, plan.sid, CONNECT_S)
        finally:
            now = asyncio.get_running_loop().time()
            self.candidates.dialled(plan.sid, now, linked=connection is not None)
            self._news.set()

    async def _first(
        self, addresses: Sequence[Address], sid: bytes | None, timeout: float
    ) -> _Connection | None:
        """Dial all, a quarter second apart; the first that answers is kept."""
        won: list[_Connection] = []
        attempts: list[asyncio.Task[None]] = []

        async def attempt(address: Address, delay: float) -> None:
            await asyncio.sleep(delay)
            connection = await self._connect(address, sid, timeout)
            if connection is not None:
                won.append(connection)
                for other in attempts:
                    if other is not asyncio.current_task():
                        other.cancel()

        async with asyncio.TaskGroup() as group:
            for n, address in enumerate(addresses):
                attempts.append(group.create_task(attempt(address, n * STAGGER_S)))
        for loser in won[1:]:  # two answered in the same instant
            loser.abort("duplicate")
        return won[0] if won else None

    async def _connect(
        self, address: Address, sid: bytes | None, timeout: float
    ) -> _Connection | None:
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
        target = (address.host, address.port)
        sock = None
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
            sock.setblocking(False)
            async with asyncio.timeout(timeout):
                scoped = (*target, 0, address.scope) if family == socket.AF_INET6 else target
                await loop.sock_connect(sock, scoped)
            connection: _Connection | None
            _, connection = await loop.create_connection(
                lambda: _Connection(self, sid, address), sock=sock
            )
        except (OSError, TimeoutError):
            connection = None
            if sock is not None:
                sock.close()
        except asyncio.CancelledError:
            if sock is not None:
                sock.close()
            raise
        if connection is None or not connection.number:  # nobody there, or no room for more
            self.candidates.failed(address, loop.time())
            return None
        return connection

    async def _keep(self, host: str, port: int) -> None:
        """Stay linked with a static peer, whatever happens."""
        loop = asyncio.get_running_loop()
        retry = Retry(self._random)
        while True:
            moves = self._moves
            addresses = await resolve(host, port)
            addresses.sort(key=lambda address: self._network.rank(address.host))
            linked = any(map(self.candidates.is_linked, addresses))
            own = port == self._port and any(
                self._network.owns(address.host) for address in addresses
            )
            if addresses and not linked and not own and len(self._links) < LINKS_MAX:
                connection = await self._first(addresses, None, CONNECT_FAR_S)
                if connection is not None:
                    begun = loop.time()
                    await connection.over.wait()
                    if loop.time() - begun >= LASTED_S:
                        retry.reset()
                    if connection.reason in ("duplicate", "closed_by_peer"):
                        await self._while_linked(connection.remote)
            if await _within(retry.next_s(), moves.wait):
                retry.reset()

    async def _while_linked(self, host: str) -> None:
        """Wait for the end of all links with this address: they dialled us, all is well."""
        while link := next((c for c in self._links.values() if c.remote == host), None):
            await link.over.wait()

    # --- connections (called by _Connection) -------------------------------------------------

    def _opened(self, connection: _Connection) -> None:
        if connection.address is not None:
            if not self._room(connection):
                connection.abort("full")
                return
            assert connection.transport is not None
            connection.transport.write(_MAGIC + self._sid + connection.sid)
            self._link(connection, self._sid, connection.sid, connection.sid)
            return
        if not self._running:
            connection.abort("done")
            return
        if len(self._greetings) >= GREETINGS_WAITING_MAX:
            oldest = next(iter(self._greetings))
            del self._greetings[oldest]
            oldest.abort("greeting")
        self._greetings[connection] = None
        loop = asyncio.get_running_loop()
        connection.timer = loop.call_later(GREETING_S, connection.abort, "greeting")

    def _greeted(self, connection: _Connection, greeting: bytes) -> bool:
        self._greetings.pop(connection, None)
        if connection.timer is not None:
            connection.timer.cancel()
        dialler, dialled = greeting[3:19], greeting[19:35]
        sound = greeting.startswith(_MAGIC) and dialled in (self._sid, _NOBODY)
        if not sound or dialler in (self._sid, _NOBODY) or not self._room(connection):
            return False
        self._link(connection, dialler, dialled, dialler)
        return True

    def _room(self, connection: _Connection) -> bool:
        if not self._running or not connection.remote or len(self._links) >= LINKS_MAX:
            return False
        if connection.remote in ("127.0.0.1", "::1"):
            return True
        same = sum(link.remote == connection.remote for link in self._links.values())
        return same < PER_HOST_MAX

    def _link(self, connection: _Connection, dialler: bytes, dialled: bytes, sid: bytes) -> None:
        loop = asyncio.get_running_loop()
        connection.number = self._host.new_link()
        connection.since = loop.time()
        self._links[connection.number] = connection
        address = connection.address or Address(connection.remote, 0)
        outbound = connection.address is not None
        self.candidates.link_up(connection.number, sid, address, loop.time(), ours=outbound)
        self._host.post(
            LinkUp(
                connection.number,
                transport="lan",
                outbound=outbound,
                mtu=FRAME_MAX_BYTES,
                prologue=b"meshchat/1\x01" + dialler + dialled,
                origin=b"lan:" + connection.remote.encode(),
            )
        )
        self._report()

    def _unlink(self, connection: _Connection, reason: str) -> None:
        connection.reason = reason
        del self._links[connection.number]
        now = asyncio.get_running_loop().time()
        duplicate = "duplicate" in reason
        self.candidates.link_down(connection.number, now, duplicate=duplicate)
        self._news.set()
        self._report()

    def _ended(self, connection: _Connection, reason: str) -> None:
        self._greetings.pop(connection, None)
        self._closing.pop(connection, None)
        self._turned_away += reason in _TURNED_AWAY
        if connection.number in self._links:
            self._unlink(connection, reason)
            self._host.post(LinkDown(connection.number, reason))

    async def _finish(self) -> None:
        """Let last frames leave, then end every connection."""
        for connection in (*self._greetings, *self._links.values()):
            connection.close()
        waiting = [*self._greetings, *self._links.values(), *self._closing]
        try:
            async with asyncio.timeout(FLUSH_S):
                for connection in waiting:
                    await connection.over.wait()
        except TimeoutError:
            for connection in waiting:
                connection.abort("done")


async def _within(seconds: float, wait: Callable[[], Awaitable[object]]) -> bool:
    """Whether ``wait`` ended in time."""
    try:
        async with asyncio.timeout(seconds):
            await wait()
    except TimeoutError:
        return False
    return True
