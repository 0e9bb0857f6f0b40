"""What ``air.py`` puts right in Bumble's emulation: another Bumble shows here what changed."""

import asyncio

import pytest
from air import Air
from bumble.core import BaseBumbleError
from bumble.device import Connection
from bumble.hci import Address
from virtual import VirtualDevice, dial


async def devices(count: int) -> list[VirtualDevice]:
    """Powered, on one air; nobody advertises."""
    air = Air()
    made = [VirtualDevice(air, n) for n in range(count)]
    for device in made:
        await device.power_on()
    return made


async def test_one_advert_makes_one_connection() -> None:
    """Two dial at once: one gets through, the other learns that it did not."""
    target, one, two = await devices(3)
    await target.device.start_advertising()
    dials = [asyncio.ensure_future(dial(d.device, Address(target.address))) for d in (one, two)]
    ended = asyncio.Event()
    for device in (one, two):
        device.device.on("connection", lambda c: c.on("disconnection", lambda _: ended.set()))
    await asyncio.wait(dials, return_when=asyncio.FIRST_COMPLETED)
    async with asyncio.timeout(10):
        if sum(task.done() for task in dials) == 2:
            await ended.wait()
    held = [d for d in (one, two) if d.radio.le_connections]
    assert len(held) == len(target.radio.le_connections) == 1
    for task in dials:
        task.cancel()
    await asyncio.gather(*dials, return_exceptions=True)


async def test_a_cancelled_dial_is_over() -> None:
    """Nothing stays pending: the next dial of another device works."""
    silent, loud, one = await devices(3)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await dial(one.device, Address(silent.address))
    await loud.device.start_advertising()
    connection = await dial(one.device, Address(loud.address))
    assert isinstance(connection, Connection)
    await silent.device.start_advertising()
    await asyncio.sleep(0.3)  # three adverts that nobody waits for any more
    assert not silent.radio.le_connections


async def test_a_pair_has_one_connection() -> None:
    """A second dial of a device that is connected is refused by the controller."""
    target, one = await devices(2)
    await target.device.start_advertising(auto_restart=True)
    first = await dial(one.device, Address(target.address))
    with pytest.raises(BaseBumbleError):
        await dial(one.device, Address(target.address))
    assert first.handle in one.device.connections


async def test_a_radio_that_vanished_is_silence() -> None:
    """Its peer hears of a time-out; what is sent to it meanwhile raises nothing."""
    target, one = await devices(2)
    await target.device.start_advertising()
    connection = await dial(one.device, Address(target.address))
    gone = asyncio.Event()
    connection.on("disconnection", lambda reason: gone.set())
    target.power_off()
    one.device.send_l2cap_pdu(connection.handle, 4, b"\x52\x03\x00hello")
    async with asyncio.timeout(10):
        await gone.wait()
    assert not one.radio.le_connections


async def test_a_reset_ends_adverts_and_listening() -> None:
    """Whatever switched the adapter off, or failed to."""
    loud, ear = await devices(2)
    heard: list[bytes] = []
    ear.device.on("advertisement", lambda a: heard.append(a.data_bytes))
    await ear.device.start_scanning(active=False, filter_duplicates=False)
    await loud.device.start_advertising()
    await loud.device.host.reset()
    await asyncio.sleep(0.1)
    heard.clear()
    await asyncio.sleep(1)
    assert not heard
    assert not loud.radio.le_legacy_advertiser.enabled


async def test_who_asks_for_no_duplicates_gets_few() -> None:
    """The same advert once; another one of the same sender at once."""
    loud, plain, few = await devices(3)
    heard: dict[VirtualDevice, list[bytes]] = {plain: [], few: []}
    enough = asyncio.Event()

    def hear(by: VirtualDevice, data: bytes) -> None:
        heard[by].append(data)
        if heard[plain].count(data) == 10:
            enough.set()

    for device, filtered in ((plain, False), (few, True)):
        device.device.on("advertisement", lambda a, d=device: hear(d, a.data_bytes))
        await device.device.start_scanning(active=False, filter_duplicates=filtered)
    for text in (b"\x02\x01\x04", b"\x02\x01\x06"):
        enough.clear()
        loud.device.advertising_data = text
        await loud.device.start_advertising(
            advertising_interval_min=20, advertising_interval_max=20
        )
        async with asyncio.timeout(10):
            await enough.wait()
        await loud.device.stop_advertising()
    assert set(heard[few]) == set(heard[plain])
    assert len(heard[few]) <= 4  # each with an empty scan response
