"""The peripherals of macOS and Windows against stand-ins (``stand_ins.py``)."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from stand_ins import (
    MacCentral,
    Manager,
    WinAdapter,
    WinProvider,
    WinSession,
    WinWrite,
    WriteRequest,
    mac,
    windows,
)
from virtual import Listener

from meshchat.net.ble import gatt
from meshchat.net.ble.limits import LINKS_HARD_MAX
from meshchat.net.ble.radio import PipeLost, RadioTrouble

TOKEN = b"token!"


@pytest.fixture
def on_mac() -> Iterator[Any]:
    """Its peripheral class; the radio is on."""
    Manager.first_state = 5
    with mac():
        from meshchat.net.ble.peripheral_corebluetooth import CoreBluetoothPeripheral

        yield CoreBluetoothPeripheral


@pytest.fixture
def on_windows() -> Iterator[Any]:
    """Its peripheral class; the radio is on."""
    with windows():
        from meshchat.net.ble.peripheral_winrt import WinrtPeripheral

        yield WinrtPeripheral


async def test_a_mac_offers_the_service_and_nothing_that_names_it(on_mac: Any) -> None:
    """One service with three characteristics; the advert is the UUID alone."""
    mac = on_mac()
    adapter = await mac.open(Listener())
    assert (adapter.findable, adapter.fixed_address) == (True, False)
    [service] = Manager.last.services
    kinds = [c.kind for c in service.characteristics]
    assert (service.kind, kinds) == (gatt.SERVICE, [gatt.RX, gatt.TX, gatt.INFO])
    assert service.characteristics[2].value == gatt.INFO_VALUE
    await mac.advertise(TOKEN, 0.1)
    assert Manager.last.advertised == {"uuids": [gatt.SERVICE]}
    await mac.advertise(None, 0)
    assert Manager.last.advertised is None
    await mac.close()
    assert not Manager.last.services


async def test_a_mac_carries_packets_both_ways_with_backpressure(on_mac: Any) -> None:
    """Writes name their central; notifications go to that one, and wait for room."""
    ear, mac = Listener(), on_mac()
    await mac.open(ear)
    manager, central = Manager.last, MacCentral("one", 182)
    manager.delegate.peripheralManager_central_didSubscribeToCharacteristic_(manager, central, None)
    manager.delegate.peripheralManager_didReceiveWriteRequests_(
        manager, [WriteRequest(central, b"a"), WriteRequest(central, b"b")]
    )
    await ear.until(lambda: len(ear.got) == 2)
    [pipe] = ear.pipes
    assert (pipe.device, pipe.payload, pipe.hangs_up) == ("one", 182, False)
    assert [value for _, value in ear.got] == [b"a", b"b"]
    manager.room = 1
    sending = asyncio.ensure_future(pipe.send([b"x", b"y"]))
    await asyncio.sleep(0)
    assert not sending.done()
    manager.room = 2
    manager.delegate.peripheralManagerIsReadyToUpdateSubscribers_(manager)
    await sending
    assert manager.sent == [(b"x", [central]), (b"y", [central])]
    manager.delegate.peripheralManager_central_didUnsubscribeFromCharacteristic_(
        manager, central, None
    )
    await ear.until(lambda: ear.gone)
    with pytest.raises(PipeLost):
        await pipe.send([b"z"])


async def test_a_mac_refuses_what_is_too_long_or_too_many(on_mac: Any) -> None:
    """Parts of long values and a ninth device get an error, and reach nobody."""
    ear, mac = Listener(), on_mac()
    await mac.open(ear)
    manager = Manager.last
    write = manager.delegate.peripheralManager_didReceiveWriteRequests_
    write(manager, [WriteRequest(MacCentral("one"), b"a", offset=5)])
    write(manager, [WriteRequest(MacCentral("one"), bytes(513))])
    for n in range(LINKS_HARD_MAX + 1):
        write(manager, [WriteRequest(MacCentral(f"c{n}"), b"a")])
        await asyncio.sleep(0)
    assert manager.answers == [7, 7, *[0] * LINKS_HARD_MAX, 17]
    assert len(ear.pipes) == len(ear.got) == LINKS_HARD_MAX


@pytest.mark.parametrize(("state", "reason"), [(2, "no_adapter"), (3, "no_permission"), (4, "off")])
async def test_a_mac_without_bluetooth_says_why_and_comes_back(
    on_mac: Any, state: int, reason: str
) -> None:
    """At the start and in between."""
    Manager.first_state = state
    ear, mac = Listener(), on_mac()
    with pytest.raises(RadioTrouble) as caught:
        await mac.open(ear)
    assert caught.value.reason == reason
    waiting = asyncio.ensure_future(mac.changed())
    await asyncio.sleep(0)
    Manager.last.become(5)
    await waiting
    await mac.open(ear)
    Manager.last.become(state)
    await ear.until(lambda: ear.troubles)
    assert ear.troubles == [reason]


async def test_windows_offers_the_service(on_windows: Any) -> None:
    """One service with three characteristics, connectable; all handlers come off again."""
    machine = on_windows()
    adapter = await machine.open(Listener())
    assert adapter.findable
    provider = WinProvider.last
    made = provider.service.characteristics
    assert [c.name for c in made] == [gatt.RX, gatt.TX, gatt.INFO]
    assert bytes(made[2].parameters.static_value) == gatt.INFO_VALUE
    await machine.advertise(TOKEN, 0.1)
    assert provider.advertised.is_connectable
    await machine.advertise(None, 0)
    assert provider.advertised is None
    await machine.close()
    assert not sum(one.listeners() for one in (provider, *made, WinAdapter.radio))


async def test_windows_carries_packets_both_ways(on_windows: Any) -> None:
    """Writes are answered and name their session; notifications go to that client."""
    ear, machine = Listener(), on_windows()
    await machine.open(ear)
    rx, tx, _ = WinProvider.last.service.characteristics
    session = WinSession("one", 247)
    write = WinWrite(session, b"hello")
    rx.fire("write_requested", write)
    await ear.until(lambda: ear.got)
    [pipe] = ear.pipes
    assert (pipe.device, pipe.payload, write.answer, write.done) == ("one", 244, 0, True)
    sending = asyncio.ensure_future(pipe.send([b"back"]))
    await asyncio.sleep(0)
    assert not sending.done()  # it has not subscribed yet

    class Client:
        pass

    client = Client()
    client.session = session  # type: ignore[attr-defined]
    tx.subscribed_clients = [client]
    tx.fire("subscribed_clients_changed")
    await sending
    assert tx.sent == [(b"back", client)]
    session.fire("session_status_changed", type("Args", (), {"status": 2}))
    await ear.until(lambda: ear.gone)
    with pytest.raises(PipeLost):
        await pipe.send([b"z"])


async def test_windows_refuses_what_is_too_long_or_too_many(on_windows: Any) -> None:
    """Parts of long values and a ninth device get an error, and reach nobody."""
    ear, machine = Listener(), on_windows()
    await machine.open(ear)
    rx = WinProvider.last.service.characteristics[0]
    asked = [WinWrite(WinSession("c0"), b"a", offset=1), WinWrite(WinSession("c0"), bytes(513))]
    asked += [WinWrite(WinSession(f"c{n}"), b"a") for n in range(LINKS_HARD_MAX + 1)]
    for write in asked:
        rx.fire("write_requested", write)
    await ear.until(lambda: all(write.done for write in asked) or ear._more.clear())
    assert [write.answer for write in asked] == [7, 7, *[0] * LINKS_HARD_MAX, 0x11]
    assert len(ear.got) == LINKS_HARD_MAX


async def test_windows_without_bluetooth_says_why(on_windows: Any) -> None:
    """No adapter, off, blocked, switched off in between, and without the peripheral role."""
    ear, machine = Listener(), on_windows()
    WinAdapter.there = False
    for reason, state in (("no_adapter", 1), ("off", 2), ("blocked", 4)):
        WinAdapter.radio.state = state
        with pytest.raises(RadioTrouble) as caught:
            await machine.open(ear)
        assert caught.value.reason == reason
        WinAdapter.there = True
    WinAdapter.radio.state, WinAdapter.can_serve = 1, False
    adapter = await machine.open(ear)
    assert adapter.limit == "no_peripheral"
    await machine.advertise(TOKEN, 0.1)  # in vain, but no error
    waiting = asyncio.ensure_future(machine.changed())
    WinAdapter.radio.state = 2
    WinAdapter.radio.fire("state_changed")
    await ear.until(lambda: ear.troubles)
    await waiting
    assert ear.troubles == ["off"]
