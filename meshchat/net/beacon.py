"""Presence on the LAN: a 24-byte UDP beacon every five seconds (wire.md 2).

Owns the UDP sockets. Tells who was heard and where; knows nothing of links.
Every send is tried by itself: a dead interface, a filtered group or a missing
address family never stops the others.
"""

import asyncio
import logging
import socket
import struct
import sys
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address
from random import Random

from msgspec import Struct

from meshchat.errors import WireError
from meshchat.net.candidates import Address
from meshchat.net.interfaces import Network

BEACON_PORT = 47_474  # fixed, so that one firewall rule can name it
GROUP_V4 = "224.0.0.167"  # local block: never pruned by IGMP snooping, passes picky Androids
GROUP_V6 = "ff02::4d43"  # ff12:: is dropped by some access points
JITTER = 0.2
ANSWER_DELAY_S = 0.1  # random up to this, so that a crowd does not answer a newcomer at once
ANSWERS_WAITING_MAX = 64
FLOOD_DATAGRAMS = 200  # read per socket and window; the kernel drops the rest of a flood ...
FLOOD_WINDOW_S = 0.25  # ... 256 honest neighbours send about 40 in this time
RECEIVE_BUFFER_BYTES = 524_288  # a herd starts at once when power comes back
RETRY_S = 1.0  # after a failed send: a fresh IPv6 address is not ready at once

_LAYOUT = struct.Struct("<4sBB16sH")
_MAGIC, _VERSION, _ANSWER = b"MCB1", 1, 1

log = logging.getLogger(__name__)


def encode(sid: bytes, port: int, *, answer: bool = False) -> bytes:
    """Return a beacon: session id of 16 bytes, TCP port."""
    return _LAYOUT.pack(_MAGIC, _VERSION, _ANSWER if answer else 0, sid, port)


def parse(data: bytes) -> tuple[bytes, int, bool]:
    """Return ``(session id, TCP port, is an answer)``.

    Raises:
        WireError: Anything but a well-formed beacon of this version.
    """
    if len(data) != _LAYOUT.size:
        raise WireError("beacon_length")
    magic, version, flags, sid, port = _LAYOUT.unpack(data)
    if magic != _MAGIC or version != _VERSION or flags & ~_ANSWER or not port:
        raise WireError("beacon_malformed")
    return sid, port, bool(flags & _ANSWER)


class Facts(Struct):
    """What happened since the last change of the network."""

    since: float
    """Loop time of the change."""
    rounds: int = 0
    """Times at least one datagram could be sent."""
    sent: int = 0
    failed: int = 0
    """Datagrams the system refused to send."""
    heard: int = 0
    """Well-formed beacons of others."""
    heard_at: float = 0.0
    self_heard: bool = False
    """Our own beacon came back: the cheapest test of a firewall."""


class Beacon:
    """Says that we are here and hears who else is.

    Args:
        heard: Called with session id and listener of each beacon of others;
            returns True if it was not known, which makes us answer it.
        period: Seconds between beacons at the moment.
        sent: Called after each round.
        random: Jitter.
        port: UDP port.
    """

    def __init__(
        self,
        heard: Callable[[bytes, Address], bool],
        period: Callable[[], float],
        sent: Callable[[], None],
        random: Random,
        port: int = BEACON_PORT,
    ) -> None:
        self.facts = Facts(0.0)
        self.errors: Counter[str] = Counter()
        """Trouble by place and kind, counted instead of logged each time."""
        self._heard, self._period, self._told, self._random = heard, period, sent, random
        self._port = port
        self._sid, self._tcp_port, self._network = bytes(16), 0, Network()
        self._changed = asyncio.Event()
        self._answers: dict[tuple[str, int], asyncio.TimerHandle] = {}
        self._v4: socket.socket | None = None
        self._v6: socket.socket | None = None

    @property
    def listening(self) -> bool:
        """False: the UDP port could not be had, so nobody can be heard."""
        return self._v4 is not None or self._v6 is not None

    def restart(self, sid: bytes, tcp_port: int, network: Network) -> None:
        """Go on as ``sid`` on these interfaces, at once."""
        self._sid, self._tcp_port, self._network = sid, tcp_port, network
        self._changed.set()

    async def run(self) -> None:
        """Send and receive until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                self._changed.clear()
                self.facts = Facts(loop.time())
                self._open()
                async with asyncio.TaskGroup() as group:
                    readers = [
                        group.create_task(self._receive(sock))
                        for sock in (self._v4, self._v6)
                        if sock is not None
                    ]
                    await self._announce()
                    for reader in readers:
                        reader.cancel()
                self._close()
        finally:
            self._close()

    async def _announce(self) -> None:
        """Send until the network changes."""
        while not self._changed.is_set():
            whole = self._send_all()
            self._told()
            wait = self._period() * self._random.uniform(1 - JITTER, 1 + JITTER)
            if not whole and self.facts.rounds <= 2:
                wait = RETRY_S
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _send_all(self) -> bool:
        """One beacon by every way there is; False if any of them failed."""
        data = encode(self._sid, self._tcp_port)
        before, failed = self.facts.sent, self.facts.failed
        for nic in self._network.used:
            if self._v4 is not None:
                for own in nic.v4:
                    interface = own.ip.packed
                    try:
                        self._v4.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface)
                    except OSError as error:  # the address is gone
                        self.facts.failed += 1
                        self._count(nic.name, "v4", error)
                        continue
                    self._send(self._v4, data, (GROUP_V4, self._port), nic.name)
                for broadcast in nic.broadcasts:
                    self._send(self._v4, data, (broadcast, self._port), nic.name)
            if self._v6 is not None and any(own.ip.is_link_local for own in nic.v6):
                self._send(self._v6, data, (GROUP_V6, self._port, 0, nic.index), nic.name)
        self.facts.rounds += self.facts.sent > before
        return self.facts.failed == failed

    def _send(
        self,
        sock: socket.socket,
        data: bytes,
        to: tuple[str, int] | tuple[str, int, int, int],
        place: str,
    ) -> None:
        try:
            sock.sendto(data, to)
        except OSError as error:  # also when the buffer is full: the next round comes soon
            self.facts.failed += 1
            self._count(place, to[0], error)
        else:
            self.facts.sent += 1

    def _count(self, place: str, what: str, error: OSError) -> None:
        key = f"{place} {what}: {error.strerror or error}"
        if key not in self.errors:
            log.info("beacon: %s", key)
        if key in self.errors or len(self.errors) < 256:
            self.errors[key] += 1

    # --- receiving ---------------------------------------------------------------------------

    async def _receive(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        read, window = 0, 0.0
        while True:
            try:
                data, source = await loop.sock_recvfrom(sock, 64)
            except OSError as error:
                self._count("receive", sock.family.name, error)
                await asyncio.sleep(FLOOD_WINDOW_S)
                continue
            self._take(data, source)
            if (now := loop.time()) > window:
                read, window = 0, now + FLOOD_WINDOW_S
            read += 1
            if read >= FLOOD_DATAGRAMS:
                await asyncio.sleep(window - now)

    def _take(self, data: bytes, source: tuple[str, int] | tuple[str, int, int, int]) -> None:
        try:
            sid, port, answer = parse(data)
        except WireError as error:
            self.errors[error.reason] += 1
            return
        if sid == self._sid:
            self.facts.self_heard = True
            return
        host = source[0].partition("%")[0]
        scope = source[3] if len(source) == 4 and ip_address(host).is_link_local else 0
        if not self._network.on_link(host, scope):  # from beyond a router, or through a tunnel
            self.errors["off_link"] += 1
            return
        self.facts.heard += 1
        self.facts.heard_at = asyncio.get_running_loop().time()
        if self._heard(sid, Address(host, port, scope)) and not answer:
            self._answer_soon(host, scope)

    def _answer_soon(self, host: str, scope: int) -> None:
        key = (host, scope)
        if key in self._answers or len(self._answers) >= ANSWERS_WAITING_MAX:
            return
        loop = asyncio.get_running_loop()
        delay = self._random.uniform(0, ANSWER_DELAY_S)
        self._answers[key] = loop.call_later(delay, self._answer, host, scope)

    def _answer(self, host: str, scope: int) -> None:
        self._answers.pop((host, scope), None)
        data = encode(self._sid, self._tcp_port, answer=True)
        if ":" in host:
            if self._v6 is not None:
                self._send(self._v6, data, (host, self._port, 0, scope), "answer")
        elif self._v4 is not None:
            self._send(self._v4, data, (host, self._port), "answer")

    # --- sockets -----------------------------------------------------------------------------

    def _open(self) -> None:
        self._v4 = self._socket(socket.AF_INET, "")
        self._v6 = self._socket(socket.AF_INET6, "::") if socket.has_ipv6 else None
        for nic in self._network.used:
            if self._v4 is not None:
                for own in nic.v4:
                    group = socket.inet_aton(GROUP_V4) + own.ip.packed
                    self._join(
                        self._v4, socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group, nic.name
                    )
            if self._v6 is not None and nic.v6:
                group = socket.inet_pton(socket.AF_INET6, GROUP_V6) + struct.pack("@I", nic.index)
                self._join(self._v6, socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group, nic.name)

    def _join(self, sock: socket.socket, level: int, option: int, group: bytes, place: str) -> None:
        try:
            sock.setsockopt(level, option, group)
        except OSError as error:  # a second address of one interface joins twice
            self._count(place, "join", error)

    def _socket(self, family: socket.AddressFamily, host: str) -> socket.socket | None:
        sock = None
        try:
            sock = socket.socket(family, socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # two users, one machine
            if sys.platform not in ("linux", "win32"):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            if family == socket.AF_INET:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 1)
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
            else:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 1)
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
            sock.bind((host, self._port))
        except OSError as error:
            self._count("socket", family.name, error)
            if sock is not None:
                sock.close()
            return None
        return sock

    def _close(self) -> None:
        for handle in self._answers.values():
            handle.cancel()
        self._answers.clear()
        for sock in (self._v4, self._v6):
            if sock is not None:
                sock.close()
        self._v4 = self._v6 = None
