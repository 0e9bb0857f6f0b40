"""Which network interfaces this machine has, which we use, and when that changes.

``scan`` takes a picture (``Network``); ``watch`` tells when a new picture
differs. On Linux the kernel reports changes, so an idle node does no polling.
Nothing here sends anything.
"""

import asyncio
import logging
import socket
import struct
import sys
from collections.abc import Callable, Collection
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface, ip_address

import ifaddr
from msgspec import Struct

DAMPING_S = 0.3  # a Wi-Fi handover makes several changes in a row
POLL_S = 2.0  # where the kernel does not tell us: everywhere but Linux
TUNNELS = ("tun", "tap", "ppp", "wg", "utun", "ipsec", "awdl", "llw")  # a VPN must not hear us

log = logging.getLogger(__name__)


class Nic(Struct, frozen=True):
    """One interface with its addresses."""

    name: str
    index: int
    """The kernel's number: the scope id of link-local IPv6 addresses."""
    v4: tuple[IPv4Interface, ...]
    v6: tuple[IPv6Interface, ...]
    """Without scope."""
    used: bool
    """Fit for discovery: plugged in, neither loopback nor tunnel."""

    @property
    def broadcasts(self) -> tuple[str, ...]:
        """Each IPv4 subnet's broadcast address; point-to-point subnets have none."""
        return tuple(str(a.network.broadcast_address) for a in self.v4 if a.network.prefixlen < 31)


class Network(Struct, frozen=True):
    """All interfaces at one moment."""

    nics: tuple[Nic, ...] = ()

    @property
    def used(self) -> tuple[Nic, ...]:
        """Interfaces for discovery."""
        return tuple(nic for nic in self.nics if nic.used)

    def owns(self, host: str) -> bool:
        """Whether this is an address of this machine. ``host`` is numeric, without scope."""
        ip = _parse(host)
        return ip is not None and any(
            ip == own.ip for nic in self.nics for own in (nic.v4 if ip.version == 4 else nic.v6)
        )

    def on_link(self, host: str, scope: int = 0) -> bool:
        """Whether a used interface reaches this address without a router."""
        ip = _parse(host)
        if ip is None or ip.is_multicast or ip.is_unspecified or ip.is_loopback:
            return False
        if isinstance(ip, IPv4Address):
            return any(ip in own.network for nic in self.used for own in nic.v4)
        if ip.is_link_local:
            return any(nic.index == scope and nic.v6 for nic in self.used)
        return any(ip in own.network for nic in self.used for own in nic.v6)

    def rank(self, host: str) -> int:
        """Order for dialling: same subnet, other private, global IPv6, global IPv4."""
        ip = _parse(host)
        if ip is None:
            return 4
        if ip.is_link_local or self.on_link(host):
            return 0
        if ip.is_private:
            return 1
        return 2 if ip.version == 6 else 3


def scan(only: Collection[str] = ()) -> Network:
    """Take a picture of this machine's interfaces.

    Args:
        only: Names of the interfaces to use; empty: all but loopback and tunnels.

    Returns:
        The picture, empty if the system refuses to tell.
    """
    try:
        adapters = list(ifaddr.get_adapters())
    except OSError as error:
        log.warning("interfaces cannot be listed: %s", error)
        return Network()
    nics = []
    for adapter in adapters:
        v4, v6 = [], []
        for ip in adapter.ips:
            if isinstance(ip.ip, str):
                v4.append(IPv4Interface(f"{ip.ip}/{ip.network_prefix}"))
            else:
                v6.append(IPv6Interface(f"{ip.ip[0].partition('%')[0]}/{ip.network_prefix}"))
        loopback = any(a.is_loopback for a in v4) or any(a.is_loopback for a in v6)
        up, tunnel = _flags(adapter.name)
        wanted = adapter.name in only if only else not tunnel
        nics.append(
            Nic(
                adapter.name,
                adapter.index or 0,
                tuple(sorted(v4)),
                tuple(sorted(v6)),
                used=up and wanted and not loopback,
            )
        )
    return Network(tuple(sorted(nics, key=lambda nic: nic.name)))


async def watch(
    known: Network, tell: Callable[[Network], None], only: Collection[str] = ()
) -> None:
    """Call ``tell`` with each new picture that differs from the last, until cancelled."""
    loop = asyncio.get_running_loop()
    source = _netlink()
    changed = asyncio.Event()
    if source is not None:
        loop.add_reader(source, _drain, source, changed)
    try:
        while True:
            if source is not None:
                await changed.wait()
                await asyncio.sleep(DAMPING_S)
                changed.clear()
            else:
                await asyncio.sleep(POLL_S)
            now = scan(only)
            if now != known:
                known = now
                tell(now)
    finally:
        if source is not None:
            loop.remove_reader(source)
            source.close()


def _parse(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _netlink() -> socket.socket | None:
    """A socket that becomes readable when links or addresses change; None: poll instead."""
    if sys.platform != "linux":
        return None
    groups = 0x1 | 0x10 | 0x100  # RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV6_IFADDR
    source = None
    try:
        source = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        source.bind((0, groups))
    except OSError as error:  # Android forbids it
        log.info("no change notification, polling: %s", error)
        if source is not None:
            source.close()
        return None
    return source


def _drain(source: socket.socket, changed: asyncio.Event) -> None:
    changed.set()
    try:
        while source.recv(65_536):
            pass
    except BlockingIOError:
        pass
    except OSError:  # ENOBUFS: reports were lost, and the picture is taken anew anyway
        log.debug("change notifications overflowed")


def _flags(name: str) -> tuple[bool, bool]:
    """``(plugged in, tunnel)``. Where the system does not say, names decide."""
    tunnel = name.startswith(TUNNELS)
    if sys.platform != "linux":
        return True, tunnel
    import fcntl  # not on Windows

    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            request = struct.pack("16sH14x", name.encode()[:15], 0)
            answer = fcntl.ioctl(probe, 0x8913, request)  # SIOCGIFFLAGS
    except OSError:
        return True, tunnel
    (flags,) = struct.unpack_from("H", answer, 16)
    up_and_running, point_to_point = 0x1 | 0x40, 0x10
    return flags & up_and_running == up_and_running, tunnel or bool(flags & point_to_point)
