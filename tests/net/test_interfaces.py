"""Which addresses count as near, ours, or worth a beacon."""

import socket
from ipaddress import IPv4Interface, IPv6Interface

import pytest

from meshchat.net.interfaces import Network, Nic, scan


def nic(name: str, index: int, *addresses: str, used: bool = True) -> Nic:
    """An interface with these addresses."""
    v4 = tuple(IPv4Interface(a) for a in addresses if ":" not in a)
    v6 = tuple(IPv6Interface(a) for a in addresses if ":" in a)
    return Nic(name, index, v4, v6, used)


NETWORK = Network(
    (
        nic("eth0", 2, "192.168.7.5/24", "fe80::5/64", "2001:db8:7::5/64"),
        nic("lo", 1, "127.0.0.1/8", "::1/128", used=False),
        nic("tun0", 3, "10.8.0.2/31", "fe80::77/64", used=False),
    )
)


@pytest.mark.parametrize(
    ("host", "scope", "near"),
    [
        ("192.168.7.9", 0, True),
        ("192.168.8.9", 0, False),
        ("10.8.0.3", 0, False),  # behind a tunnel we do not use
        ("fe80::9", 2, True),
        ("fe80::9", 3, False),
        ("fe80::9", 0, False),
        ("2001:db8:7::9", 0, True),
        ("2001:db8:8::9", 0, False),
        ("127.0.0.1", 0, False),
        ("224.0.0.167", 0, False),
        ("0.0.0.0", 0, False),
        ("example.org", 0, False),
    ],
)
def test_only_what_a_used_interface_reaches_is_near(host: str, scope: int, near: bool) -> None:
    """Hints of strangers can never make us dial beyond our own links."""
    assert NETWORK.on_link(host, scope) is near


def test_dialling_order() -> None:
    """Same subnet, other private, global IPv6, global IPv4."""
    hosts = ["8.8.8.8", "2600::1", "10.1.2.3", "192.168.7.9"]
    assert sorted(hosts, key=NETWORK.rank) == hosts[::-1]


def test_own_addresses_include_those_not_used_for_discovery() -> None:
    """A link through a tunnel or loopback is not dropped as bound to a lost address."""
    assert all(map(NETWORK.owns, ["127.0.0.1", "::1", "10.8.0.2", "fe80::5", "192.168.7.5"]))
    assert not any(map(NETWORK.owns, ["192.168.7.6", "fe80::6", "nonsense"]))


def test_broadcast_addresses_skip_point_to_point_subnets() -> None:
    """A /31 has no broadcast address."""
    assert [n.broadcasts for n in NETWORK.nics] == [("192.168.7.255",), ("127.255.255.255",), ()]


def test_scan_finds_loopback_and_never_uses_it() -> None:
    """The real machine: loopback is known as ours and not used for beacons."""
    found = scan()
    assert found.owns("127.0.0.1")
    index = socket.if_nametoindex("lo") if hasattr(socket, "if_nametoindex") else 1
    assert all(n.index != index for n in found.used)
    assert found == scan()
