"""The UDP beacon: its 24 bytes, what is believed, and what stays bounded."""

import asyncio
import socket
from ipaddress import IPv4Interface
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshchat.errors import WireError
from meshchat.net.beacon import ANSWERS_WAITING_MAX, Beacon, encode, parse
from meshchat.net.candidates import Address
from meshchat.net.interfaces import Network, Nic

SID = bytes(range(16))
OTHER = bytes(range(16, 32))
LAN = Network((Nic("eth9", 9, (IPv4Interface("10.0.0.1/16"),), (), True),))
LOOPBACK = Nic("lo", 1, (IPv4Interface("127.0.0.1/8"),), (), True)


class Ear:
    """Remembers what a beacon object told."""

    def __init__(self, network: Network, port: int = 0) -> None:
        self.heard: list[tuple[bytes, Address]] = []
        self.rounds = asyncio.Queue[int]()
        self.beacon = Beacon(self._heard, lambda: 0.01, self._sent, Random(2), port)
        self.beacon.restart(SID, 4000, network)
        self.beacon._network = network

    def _heard(self, sid: bytes, address: Address) -> bool:
        self.heard.append((sid, address))
        return True

    def _sent(self) -> None:
        self.rounds.put_nowait(self.beacon.facts.sent)


def free_port() -> int:
    """A UDP port nobody has at the moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def test_layout_is_that_of_the_reference() -> None:
    """24 bytes: magic, version, flags, session id, port (wire.md 2)."""
    assert encode(SID, 0x1234) == b"MCB1\x01\x00" + SID + b"\x34\x12"
    assert encode(SID, 0x1234, answer=True) == b"MCB1\x01\x01" + SID + b"\x34\x12"


@given(st.binary(min_size=16, max_size=16), st.integers(1, 65_535), st.booleans())
def test_encode_parse_is_identity(sid: bytes, port: int, answer: bool) -> None:
    """Every beacon we make is read back as it was."""
    assert parse(encode(sid, port, answer=answer)) == (sid, port, answer)


@given(st.one_of(st.binary(max_size=64), st.binary(min_size=24, max_size=24)))
def test_anything_else_is_refused(data: bytes) -> None:
    """Arbitrary bytes are either a canonical beacon or a ``WireError``."""
    try:
        sid, port, answer = parse(data)
    except WireError:
        return
    assert encode(sid, port, answer=answer) == data


@pytest.mark.parametrize(
    "data",
    [
        encode(SID, 1) + b"\0",
        encode(SID, 1)[:-1],
        encode(SID, 0),
        b"MCB2" + encode(SID, 1)[4:],
        b"MCB1\x02" + encode(SID, 1)[5:],
        b"MCB1\x01\x02" + encode(SID, 1)[6:],
    ],
)
def test_near_misses_are_refused(data: bytes) -> None:
    """Length, port 0, magic, version and reserved flags are all checked."""
    with pytest.raises(WireError):
        parse(data)


async def test_source_of_the_datagram_is_the_address() -> None:
    """A beacon holds no address; the neighbour is where it came from, scope included."""
    ear = Ear(LAN)
    ear.beacon._take(encode(OTHER, 5000), ("10.0.3.4", 47_474))
    assert ear.heard == [(OTHER, Address("10.0.3.4", 5000))]


async def test_beyond_the_subnet_nobody_is_heard_or_answered() -> None:
    """A datagram from outside our subnets is counted and dropped: no reflection, no dialling."""
    ear = Ear(LAN)
    ear.beacon._take(encode(OTHER, 5000), ("198.51.100.7", 47_474))
    ear.beacon._take(encode(OTHER, 5000), ("fe80::1%7", 47_474, 0, 7))
    assert ear.heard == []
    assert not ear.beacon._answers
    assert ear.beacon.errors["off_link"] == 2


async def test_own_beacon_is_a_fact_and_no_neighbour() -> None:
    """Hearing ourselves proves that beacons come in; it is not somebody."""
    ear = Ear(LAN)
    ear.beacon._take(encode(SID, 4000), ("10.0.0.1", 47_474))
    assert ear.beacon.facts.self_heard
    assert ear.heard == []
    assert ear.beacon.facts.heard == 0


async def test_answers_are_bounded_and_never_answered() -> None:
    """A flood of newcomers makes at most 64 answers wait; an answer causes none."""
    ear = Ear(LAN)
    ear.beacon._take(encode(OTHER, 5000, answer=True), ("10.0.0.9", 47_474))
    assert not ear.beacon._answers
    for n in range(1000):
        sid = n.to_bytes(16, "big")
        ear.beacon._take(encode(sid, 5000), (f"10.0.{n // 250}.{n % 250 + 1}", 47_474))
    assert len(ear.beacon._answers) == ANSWERS_WAITING_MAX
    ear.beacon._close()


async def test_one_failing_way_never_stops_the_others() -> None:
    """An interface that is gone is counted; the working one still sends and hears."""
    ear = Ear(Network((*LAN.nics, LOOPBACK)), free_port())
    async with asyncio.TaskGroup() as group, asyncio.timeout(10):
        task = group.create_task(ear.beacon.run())
        while not (ear.beacon.facts.self_heard and ear.beacon.facts.sent >= 2):
            await ear.rounds.get()
        task.cancel()
    assert any(key.startswith("eth9") for key in ear.beacon.errors)
    assert not ear.beacon.listening


async def test_garbage_from_the_network_is_counted_and_listening_goes_on() -> None:
    """Datagrams of any content and size leave the receiver alive."""
    port = free_port()
    ear = Ear(Network((LOOPBACK,)), port)
    async with asyncio.TaskGroup() as group, asyncio.timeout(10):
        task = group.create_task(ear.beacon.run())
        await ear.rounds.get()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for data in (b"", b"x", bytes(24), bytes(9000), encode(OTHER, 1)):
                stranger.sendto(data, ("127.0.0.1", port))
        while ear.beacon.errors["off_link"] < 1:  # the last one: well-formed, wrong source
            await ear.rounds.get()
        task.cancel()
    assert ear.beacon.errors["beacon_length"] == 3
    assert ear.beacon.errors["beacon_malformed"] == 1


async def test_busy_udp_port_is_not_fatal() -> None:
    """If another program holds the port alone we cannot listen, and go on without a crash."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("", 0))
        ear = Ear(Network((LOOPBACK,)), holder.getsockname()[1])
        async with asyncio.TaskGroup() as group, asyncio.timeout(10):
            task = group.create_task(ear.beacon.run())
            await ear.rounds.get()
            assert ear.beacon._v4 is None
            assert any("AF_INET" in key for key in ear.beacon.errors)
            task.cancel()
