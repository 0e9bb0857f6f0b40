"""The product's central on virtual radios, against a peripheral of the same interface."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from air import Air
from virtual import Listener, VirtualDevice

from meshchat.net.ble.central import BleakCentral
from meshchat.net.ble.radio import PipeLost

ONE, TWO = b"ONEONE", b"TWOTWO"


class Pair:
    """Two devices; the first one scans."""

    def __init__(self, mtu: int) -> None:
        self.air = Air()
        self.one, self.two = VirtualDevice(self.air, 1, mtu), VirtualDevice(self.air, 2, mtu)
        self.at_one, self.at_two = Listener(), Listener()
        self.central = BleakCentral(self.at_one, backend=self.one.backend)

    async def start(self) -> None:
        await self.one.power_on()
        await self.two.power_on()
        await self.two.peripheral.open(self.at_two)
        await self.two.peripheral.advertise(TWO, 0.02)
        await self.central.scan(True)
        await self.at_one.until(lambda: TWO in self.at_one.sightings)


@asynccontextmanager
async def pair(mtu: int = 517) -> AsyncIterator[Pair]:
    """Two devices of which one has seen the other."""
    made = Pair(mtu)
    try:
        await made.start()
        yield made
    finally:
        await made.central.close()
        await made.one.close()
        await made.two.close()


@pytest.mark.parametrize(("mtu", "payload"), [(23, 20), (247, 244), (517, 489)])
async def test_packets_cross_both_ways_at_every_mtu(mtu: int, payload: int) -> None:
    """The pipe says what fits, and that much arrives whole and in order."""
    async with pair(mtu) as p:
        pipe = await p.central.dial(p.two.address, 10)
        assert (pipe.payload, pipe.outbound) == (payload, True)
        there = [bytes([n]) * payload for n in range(100)]
        await pipe.send(there)
        await p.at_two.until(lambda: len(p.at_two.got) == 100)
        assert [value for _, value in p.at_two.got] == there
        [back] = p.at_two.pipes
        assert back.device == p.one.address
        await back.send(there)
        await p.at_one.until(lambda: len(p.at_one.got) == 100)
        assert [value for _, value in p.at_one.got] == there


@pytest.mark.parametrize("who", ["dialler", "dialled", "air"])
async def test_an_end_is_told_to_the_other_side(who: str) -> None:
    """Whoever hangs up is not told of it, the other side is; a cut is told to both."""
    async with pair() as p:
        pipe = await p.central.dial(p.two.address, 10)
        await pipe.send([b"hello"])
        await p.at_two.until(lambda: p.at_two.pipes)
        if who == "dialler":
            await pipe.close()
            await p.at_two.until(lambda: p.at_two.gone)
            assert not p.at_one.gone
        elif who == "dialled":
            await p.at_two.pipes[0].close()
            await p.at_one.until(lambda: p.at_one.gone)
            assert not p.at_two.gone
        else:
            p.air.cut(p.one.radio, p.two.radio)
            await p.at_one.until(lambda: p.at_one.gone)
            await p.at_two.until(lambda: p.at_two.gone)
        with pytest.raises(PipeLost):
            await pipe.send([b"x"])


async def test_another_version_is_not_a_neighbour() -> None:
    """INFO of a later version ends the dial, and the connection."""
    async with pair() as p:
        p.two.peripheral.info = b"MC\x63"
        with pytest.raises(PipeLost) as caught:
            await p.central.dial(p.two.address, 10)
        assert caught.value.reason == "other_version"
        assert not p.one.device.connections


async def test_a_device_that_left_is_no_answer() -> None:
    """A dial into the void ends in time, and the next one works."""
    async with pair() as p:
        p.two.power_off()
        with pytest.raises(PipeLost):
            await p.central.dial(p.two.address, 0.2)
        await p.two.power_on()
        await p.two.peripheral.open(p.at_two)
        await p.two.peripheral.advertise(TWO, 0.02)
        pipe = await p.central.dial(p.two.address, 10)
        await pipe.send([b"hello"])
        await p.at_two.until(lambda: p.at_two.got)


async def test_a_service_without_our_characteristics_is_hung_up() -> None:
    """BlueZ sometimes shows half a service at first: that dial fails and may be repeated."""
    async with pair() as p:
        attributes = p.two.device.gatt_server.attributes
        kept = attributes[:]
        del attributes[3:]
        with pytest.raises(PipeLost):
            await p.central.dial(p.two.address, 10)
        assert not p.one.device.connections
        attributes[:] = kept
        await p.central.dial(p.two.address, 10)


async def test_two_dials_wait_for_each_other() -> None:
    """An adapter makes one connection at a time; a second dial of the same device is refused."""
    async with pair() as p:
        first, second = await asyncio.gather(
            p.central.dial(p.two.address, 10),
            p.central.dial(p.two.address, 10),
            return_exceptions=True,
        )
        assert not isinstance(first, BaseException)
        assert isinstance(second, PipeLost)
        await first.send([b"still there"])
        await p.at_two.until(lambda: p.at_two.got)
