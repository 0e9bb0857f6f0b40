"""mDNS: what is announced, what is believed, and that its failure is only its own."""

import asyncio
import gc
import socket
from collections.abc import Iterable
from ipaddress import IPv4Interface, IPv6Interface

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshchat.net.candidates import Address
from meshchat.net.discovery import NAMES_WAITING_MAX, SERVICE, Names, _address, _sid_of
from meshchat.net.interfaces import Network, Nic

SID = bytes(range(16))
LAN = Network(
    (Nic("eth9", 9, (IPv4Interface("10.0.0.1/16"),), (IPv6Interface("fe80::1/64"),), True),)
)


class Change:
    """The part of zeroconf's enum that is looked at."""

    def __init__(self, name: str) -> None:
        self.name = name


def names(gone: list[bytes], known: Iterable[bytes] = ()) -> Names:
    """A ``Names`` that never touches the network."""
    made = Names(lambda *_: None, gone.append, set(known).__contains__, lambda: False)
    made.restart(SID, 4000, LAN)
    made._network = LAN
    return made


def test_announcement_holds_nothing_but_random_names_and_addresses() -> None:
    """Instance = session id, server = 20 random hex characters, TXT = ``v=1`` (wire.md 2)."""
    infos = [names([])._info() for _ in range(2)]
    for info in infos:
        assert info.name == f"{SID.hex()}.{SERVICE}"
        assert info.text == b"\x03v=1"
        assert info.port == 4000
        assert info.server is not None
        bytes.fromhex(info.server.removesuffix(".local."))
        assert len(info.server) == len("12345678901234567890.local.")
        assert info.parsed_addresses() == ["10.0.0.1", "fe80::1"]
    assert infos[0].server != infos[1].server


def test_flood_of_names_keeps_the_newest_and_stays_bounded() -> None:
    """5000 names wait as 256; a removed one waits no more, a known one never did."""
    gone: list[bytes] = []
    made = names(gone, known=[SID])
    for n in range(5000):
        made._event(None, SERVICE, f"{n:032x}.{SERVICE}", Change("Added"))  # type: ignore[arg-type]
    assert len(made._waiting) == NAMES_WAITING_MAX
    assert f"{4999:032x}.{SERVICE}" in made._waiting
    made._event(None, SERVICE, f"{4999:032x}.{SERVICE}", Change("Removed"))  # type: ignore[arg-type]
    assert gone == [(4999).to_bytes(16, "big")]
    made._event(None, SERVICE, f"{SID.hex()}.{SERVICE}", Change("Added"))  # type: ignore[arg-type]
    assert len(made._waiting) == NAMES_WAITING_MAX - 1


@given(st.text(max_size=80))
def test_names_that_are_no_session_id_are_ignored(label: str) -> None:
    """Whatever a label holds, it is 16 bytes or nothing."""
    sid = _sid_of(f"{label}.{SERVICE}")
    assert sid is None or len(sid) == 16


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("10.0.0.9", Address("10.0.0.9", 5, 0)),
        ("fe80::9%9", Address("fe80::9", 5, 9)),
        ("2001:db8::9", Address("2001:db8::9", 5, 0)),
        ("fe80::9%eth0", Address("fe80::9", 5, 0)),
    ],
)
def test_scope_is_kept_for_link_local_addresses_only(text: str, address: Address) -> None:
    """Dialling a link-local address needs its interface number."""
    assert _address(text, 5) == address


# zeroconf leaves the socket it could not bind to the garbage collector
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_broken_mdns_is_a_fact_and_not_a_crash() -> None:
    """Without port 5353 it says why and waits; ending it then is clean."""
    waits = asyncio.Event()

    class Watched(Names):
        async def _wait(self, seconds: float) -> None:
            waits.set()
            await super()._wait(seconds)

    network = Network((Nic("lo", 1, (IPv4Interface("127.0.0.1/8"),), (), True),))
    made = Watched(lambda *_: None, lambda _: None, lambda _: False, lambda: False)
    made.restart(SID, 4000, network)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        try:
            holder.bind(("", 5353))  # without sharing, as a foreign program would
        except OSError:
            pytest.skip("something here listens for mDNS already")
        async with asyncio.TaskGroup() as group, asyncio.timeout(20):
            task = group.create_task(made.run())
            await waits.wait()
            assert made.trouble
            task.cancel()
    gc.collect()
