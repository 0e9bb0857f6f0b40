"""TCP addresses: what a static peer is called, where it is, and the sockets we listen on."""

import asyncio
import errno
import os
import socket
from contextlib import suppress

from meshchat.errors import TransportError, UsageError
from meshchat.net.candidates import Address

BACKLOG = 64  # connections the system holds until we take them
PORT_TRIES = 8  # to find one port free for IPv4 and IPv6


def parse_peer(text: str) -> tuple[str, int]:
    """Return host and port of ``HOST:PORT``, ``[IPv6]:PORT`` or ``[fe80::1%eth0]:PORT``.

    Raises:
        UsageError: It is none of these.
    """
    host, colon, digits = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    port = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 6 else 0
    plain = host and not any(c in "[]/@ " or not c.isprintable() for c in host)
    if not colon or not plain or (":" in host) != bracketed or not 0 < port < 65_536:
        raise UsageError(
            "bad_peer",
            f"{text!r} is not HOST:PORT; write 192.168.1.20:4000 or [fe80::1%eth0]:4000.",
        )
    return host, port


async def resolve(host: str, port: int) -> list[Address]:
    """All addresses of a static peer, possibly none at the moment."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):  # UnicodeError: a label no name can have
        return []
    addresses = []
    for family, _, _, _, target in found:
        ip = str(target[0]).partition("%")[0]
        scope = int(target[3]) if family == socket.AF_INET6 and len(target) == 4 else 0
        addresses.append(Address(ip, port, scope))
    return list(dict.fromkeys(addresses))


def listeners(host: str, port: int) -> list[socket.socket]:
    """Bound TCP sockets: one for a given host, else one for each family, on the same port.

    Raises:
        UsageError: The address is not one of this machine.
        TransportError: The port is in use, or there is no network at all.
    """
    for last in (*[False] * (PORT_TRIES - 1), True):
        bound: list[socket.socket] = []
        try:
            if host:
                return [_bind(host, port)]
            bound.append(_bind("0.0.0.0", port))  # all interfaces: neighbours come by any
            with suppress(_NoFamily):
                bound.append(_bind("::", bound[0].getsockname()[1]))
        except OSError as error:
            for sock in bound:
                sock.close()
            if error.errno == errno.EADDRINUSE and not port and not last:
                continue  # free for IPv4 only; take another
            raise _explain(error, host, port) from None
        return bound
    raise AssertionError("unreachable")


class _NoFamily(Exception):
    """This machine has no IPv6."""


def _bind(host: str, port: int) -> socket.socket:
    info = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    try:
        sock = socket.socket(info[0], socket.SOCK_STREAM)
    except OSError as error:
        if host == "::":
            raise _NoFamily from error
        raise
    try:
        if os.name == "posix":  # elsewhere it would let another program share the port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if info[0] == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(info[4])
        sock.listen(BACKLOG)  # here, because a race for the port shows only now
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        if host == "::" and error.errno == errno.EADDRNOTAVAIL:  # switched off by the system
            raise _NoFamily from error
        raise
    return sock


def _explain(error: OSError, host: str, port: int) -> UsageError | TransportError:
    if error.errno == errno.EADDRINUSE:
        return TransportError(
            "port_in_use", f"Port {port} is in use; choose another, or 0 for any free one."
        )
    if isinstance(error, socket.gaierror) or error.errno in (errno.EADDRNOTAVAIL, errno.EINVAL):
        return UsageError(
            "bad_listen", f"{host!r} is not an address of this machine; leave it out to use all."
        )
    if error.errno == errno.EACCES:
        return TransportError(
            "port_forbidden", f"The system does not let us use port {port}; choose one above 1023."
        )
    return TransportError("no_listener", f"Listening failed: {error.strerror or error}.")
