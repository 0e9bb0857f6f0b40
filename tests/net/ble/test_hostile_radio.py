"""Bad input and bad neighbours on virtual radios: bounded, counted, and the honest link stays."""

import asyncio
import os

import pytest
from air import Air
from nodes import VirtualNode, befriend, running
from virtual import Listener, VirtualDevice

from meshchat.net.ble.central import BleakCentral
from meshchat.net.ble.limits import LINKS_HARD_MAX, SIGHTINGS_MAX
from meshchat.net.ble.radio import Sighting


async def test_a_storm_of_adverts_costs_nothing_that_grows() -> None:
    """10,000 tokens: a bounded table, and the neighbour in the middle of it is found."""
    air = Air()
    one, two = VirtualNode(air, 1), VirtualNode(air, 2)
    async with running(one, two):
        await one.until(lambda: one.ble.status().on)
        for n in range(10_000):
            device = f"AA:00:00:00:{n >> 8:02X}:{n & 255:02X}"
            one.ble.sighted(Sighting(os.urandom(6), -40, device))
            if not n % 500:
                await asyncio.sleep(0)
        assert one.ble.policy.in_reach <= SIGHTINGS_MAX
        assert one.ble.policy.forgotten > 9_000
        await befriend(one, two)
        await two.say(one, "still here")
        await one.until(lambda: one.texts)


async def test_who_accepts_and_says_nothing_is_let_go() -> None:
    """A service like ours that never answers: hung up within seconds, not dialled at once again,
    and the honest neighbour is linked all the same."""
    air = Air()
    one, two, mute = VirtualNode(air, 1), VirtualNode(air, 2), VirtualDevice(air, 3)
    ear = Listener()
    await mute.power_on()
    await mute.peripheral.open(ear)
    await mute.peripheral.advertise(b"\xff" * 6, 0.02)  # greater than ours: we dial
    async with running(one, two):
        await ear.until(lambda: ear.gone)
        await befriend(one, two)
        await one.say(two, "hello")
        await two.until(lambda: two.texts)
        assert all(n.tag for n in one.runtime.status().node.neighbours)
    await mute.close()


async def test_another_version_is_left_alone() -> None:
    """INFO of another version: no link, and no end of trouble."""
    air = Air()
    one, two, later = VirtualNode(air, 1), VirtualNode(air, 2), VirtualDevice(air, 3)
    ear = Listener()
    await later.power_on()
    later.peripheral.info = b"MC\x02"
    await later.peripheral.open(ear)
    await later.peripheral.advertise(b"\xff" * 6, 0.02)
    async with running(one, two):
        await befriend(one, two)
        await one.say(two, "hello")
        await two.until(lambda: two.texts)
        assert not ear.pipes  # nothing was written to it
    await later.close()


@pytest.mark.parametrize("what", ["silence", "noise"])
async def test_who_holds_every_slot_loses_them(what: str) -> None:
    """Devices that dial us, as many as there are slots, and say nothing or nonsense: our one
    honest link stays, and soon there is room again."""
    air = Air()
    one, two = VirtualNode(air, 1), VirtualNode(air, 2)
    crowd = [VirtualDevice(air, 10 + n) for n in range(LINKS_HARD_MAX)]
    ears = [Listener() for _ in crowd]
    centrals = [BleakCentral(e, backend=d.backend) for e, d in zip(ears, crowd, strict=True)]
    async with running(one, two):
        await befriend(one, two)
        await one.until(lambda: one.neighbours)
        for device, central, ear in zip(crowd, centrals, ears, strict=True):
            await device.power_on()
            await central.scan(True)
            await ear.until(lambda ear=ear: _sees(ear, one))  # type: ignore[misc]

        async def annoy(central: BleakCentral) -> None:
            try:
                pipe = await central.dial(one.device.address, 5)
                for _ in range(50):
                    await pipe.send([os.urandom(64) if what == "noise" else b""])
                    await asyncio.sleep(0.02)
            except Exception:
                pass  # refused, or turned away: that is the point

        await asyncio.gather(*map(annoy, centrals))
        assert len(one.ble._links) <= LINKS_HARD_MAX
        await two.say(one, "still linked")
        await one.until(lambda: one.texts)
        await two.until(lambda: len(one.ble._links) <= 2)
    for device, central in zip(crowd, centrals, strict=True):
        await central.close()
        await device.close()


def _sees(ear: Listener, node: VirtualNode) -> bool:
    return any(s.device == node.device.address for s in ear.sightings.values())
