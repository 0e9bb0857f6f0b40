"""When Bluetooth cannot be used: a reason, a remedy, and it comes back by itself."""

import pytest
from air import Air
from nodes import VirtualNode, befriend, running

from meshchat.net.ble.battery import battery
from meshchat.net.ble.radio import REMEDIES, Adapter
from meshchat.net.ble.system import SystemRadio
from meshchat.net.ble.transport import BleTransport


@pytest.mark.parametrize("reason", ["no_bluetooth", "no_adapter", "off", "no_permission"])
async def test_no_radio_at_the_start_is_a_status(reason: str) -> None:
    """The node runs; the status says why and what to do; later the radio is there."""
    air = Air()
    one, two = VirtualNode(air, 1), VirtualNode(air, 2)
    one.device.peripheral.trouble = reason
    async with running(one, two):
        await one.until(lambda: one.ble.status().reason == reason)
        status = one.ble.status()
        assert not status.on
        assert status.remedy == REMEDIES[reason]
        one.device.peripheral.trouble = ""
        one.device.peripheral.came.set()
        await befriend(one, two)
        await one.say(two, "there it is")
        await two.until(lambda: two.texts)
        assert one.ble.status().on


async def test_a_radio_removed_in_mid_chat_comes_back() -> None:
    """Its links end with it on both sides; afterwards all goes on, with a new token."""
    air = Air()
    one, two = VirtualNode(air, 1), VirtualNode(air, 2)
    async with running(one, two):
        await befriend(one, two)
        await one.say(two, "before")
        await two.until(lambda: two.texts)
        token = one.ble.policy.token
        one.device.power_off("no_adapter")
        await one.until(lambda: one.ble.status().reason == "no_adapter")
        assert not one.neighbours or await one.until(lambda: not one.neighbours) is None
        await two.until(lambda: not two.neighbours)
        await one.say(two, "after")
        await one.device.power_on()
        await two.until(lambda: "after" in two.texts)
        assert one.ble.policy.token != token


async def test_a_system_without_bluetooth_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """No system bus, as on most servers and in this test."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
    air = Air()
    one = VirtualNode(air, 1)
    one.ble._radio = SystemRadio()
    async with running(one, power=False):
        await one.until(lambda: one.ble.status().reason == "no_bluetooth")


def test_a_fixed_address_is_said_with_its_remedy() -> None:
    """It does not stop anybody, but they should know."""
    ble = BleTransport("normal")
    ble._adapter = Adapter("hci0", fixed_address=True, findable=True)
    status = ble.status()
    assert (status.on, status.reason) == (True, "fixed_address")
    assert "Privacy = device" in status.remedy
    ble._adapter = Adapter("hci0", fixed_address=True, findable=False)
    assert ble.status().reason == "no_peripheral"


def test_a_name_that_tells_whose_machine_it_is_is_said() -> None:
    """BlueZ gives the adapter's name to whoever connects, and that is the machine's."""
    ble = BleTransport("normal")
    ble._adapter = Adapter("hci0", fixed_address=False, findable=True, names_machine=True)
    status = ble.status()
    assert (status.on, status.reason) == (True, "names_machine")
    assert "system-alias" in status.remedy
    ble._adapter = Adapter("hci0", fixed_address=False, findable=True)
    assert ble.status().reason == ""


@pytest.mark.parametrize(
    ("supplies", "level"),
    [
        ({}, None),
        ({"BAT0": {"type": "Battery", "status": "Discharging", "capacity": "55"}}, 0.55),
        ({"BAT0": {"type": "Battery", "status": "Charging", "capacity": "55"}}, None),
        (
            {
                "AC": {"type": "Mains", "online": "1"},
                "BAT0": {"type": "Battery", "status": "Full", "capacity": "100"},
            },
            None,
        ),
        (
            {"mouse": {"type": "Battery", "scope": "Device", "status": "?", "capacity": "3"}},
            None,
        ),
        ({"BAT0": {"type": "Battery", "status": "Discharging", "capacity": "odd"}}, None),
    ],
)
def test_the_battery(
    tmp_path: object, supplies: dict[str, dict[str, str]], level: float | None
) -> None:
    """As Linux tells of it; mains, charging and the mouse's do not count."""
    from pathlib import Path

    place = Path(str(tmp_path))
    for name, files in supplies.items():
        (place / name).mkdir()
        for file, text in files.items():
            (place / name / file).write_text(text + "\n")
    assert battery(place) == level
    assert battery(place / "nowhere") is None
