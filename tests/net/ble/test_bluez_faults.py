"""The shipped Linux radio when BlueZ, the adapter or the right to use them is missing.

On a bus of its own with a stand-in for BlueZ; real BlueZ is in ``tests/lab/ble``.
"""

import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from air import Air
from fake_bluez import FakeBluez, system_bus
from msgspec.structs import replace
from nodes import VirtualNode, running

from meshchat.net.ble.central import BleakCentral
from meshchat.net.ble.peripheral_bluez import BluezPeripheral
from meshchat.net.ble.radio import REMEDIES, Central, Ear, Peripheral

pytestmark = [
    pytest.mark.real_time,  # the bus is a process of its own
    pytest.mark.skipif(
        not shutil.which("dbus-daemon"),
        reason="dbus-daemon is not installed (apt-get install dbus)",
    ),
]


class LinuxRadio:
    """``SystemRadio`` on Linux, with switches and settings of the test's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def peripheral(self) -> Peripheral:
        return BluezPeripheral(config=self.folder / "main.conf", rfkill=self.folder / "rfkill")

    def central(self, ear: Ear, adapter: str) -> Central:
        return BleakCentral(ear, adapter)

    def block(self, blocked: bool) -> None:
        """As flight mode does."""
        switch = self.folder / "rfkill" / "rfkill0"
        switch.mkdir(parents=True, exist_ok=True)
        for name, text in (("type", "bluetooth"), ("soft", str(int(blocked))), ("hard", "0")):
            (switch / name).write_text(text + "\n")


class Place:
    """One node on a system whose BlueZ the test owns."""

    def __init__(self, folder: Path) -> None:
        self.bluez = FakeBluez()
        self.radio = LinuxRadio(folder)
        self.node = VirtualNode(Air(), 1)
        self.node.ble._radio = self.radio

    async def until(self, reason: str, true: Callable[[], object] = lambda: True) -> None:
        """Wait for a status: off for this reason with its remedy, or on ("")."""

        def fits() -> bool:
            status = self.node.ble.status()
            return status.on == (not reason) and status.reason == reason and bool(true())

        await self.node.until(fits)
        assert self.node.ble.status().remedy == REMEDIES.get(reason, "")


@asynccontextmanager
async def running_at(
    folder: Path, patch: pytest.MonkeyPatch, *, denied: bool = False
) -> AsyncIterator[Place]:
    """The node runs; BlueZ does not yet."""
    (folder / "main.conf").write_text("[General]\nPrivacy = device\n")
    async with system_bus(folder, denied=denied) as address:
        patch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        made = Place(folder)
        async with running(made.node, power=False):
            yield made
        await made.bluez.stop()


async def test_bluez_comes_later_and_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that is started, crashes and is started again."""
    async with running_at(tmp_path, monkeypatch) as place:
        await place.until("no_bluetooth")
        for _ in range(2):
            await place.bluez.start()
            place.bluez.plug_in()
            await place.until("")
            await place.bluez.stop()
            await place.until("no_bluetooth")


async def test_an_adapter_comes_goes_and_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each time under another token, and it is heard again."""
    async with running_at(tmp_path, monkeypatch) as place:
        await place.bluez.start()
        await place.until("no_adapter")
        tokens = set()
        for _ in range(2):
            place.bluez.plug_in()
            await place.until("")
            tokens.add(place.node.ble.policy.token)
            place.bluez.pull_out()
            await place.until("no_adapter")
        assert len(tokens) == 2


async def test_switched_off_and_blocked_are_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the person, or by flight mode: the remedy is another one."""
    async with running_at(tmp_path, monkeypatch) as place:
        await place.bluez.start()
        place.bluez.plug_in(powered=False)
        await place.until("off")
        place.bluez.power(True)
        await place.until("")
        place.radio.block(True)
        place.bluez.power(False)
        await place.until("blocked")
        place.radio.block(False)
        place.bluez.power(True)
        await place.until("")
        place.bluez.power(False)
        await place.until("off")


async def test_what_no_signal_told_shows_at_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine slept, and the adapter was pulled out meanwhile. That it slept is known by
    the two clocks; then the radio is told everything anew, and says what is wrong."""
    async with running_at(tmp_path, monkeypatch) as place:
        await place.bluez.start()
        place.bluez.plug_in()
        ble = place.node.ble
        await place.until("", lambda: ble._advert_now.token)
        place.bluez.pull_out_unseen()
        now = ble._now
        monkeypatch.setattr(ble, "_now", lambda: replace(now(), wall=now().wall + 3_600))
        ble._act(ble.policy.wake)
        await place.until("no_adapter")
        place.bluez.plug_in()
        await place.until("")


async def test_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bus itself refuses: nothing is registered, and the status says what to do."""
    async with running_at(tmp_path, monkeypatch, denied=True) as place:
        await place.bluez.start()
        place.bluez.plug_in()
        await place.until("no_permission")
        assert not place.bluez.adverts.on_air
