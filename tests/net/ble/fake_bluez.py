"""BlueZ as far as a node sees it when things go wrong, on a system bus of the test's own.

``dbus-daemon`` is the real one; only ``org.bluez`` behind it is not.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from dbus_fast import BusType, PropertyAccess
from dbus_fast.aio import MessageBus
from dbus_fast.annotations import DBusBool, DBusDict, DBusObjectPath, DBusSignature, DBusStr
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property

ADAPTER = "/org/bluez/hci0"
BUS = """<busconfig><type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/>
<allow send_type="*"/><allow receive_type="*"/>{more}</policy></busconfig>"""
DENY = '<deny send_destination="org.bluez"/>'
READ = PropertyAccess.READ


class Adapter(ServiceInterface):
    """Adapter1; discovery does nothing."""

    def __init__(self, powered: bool) -> None:
        super().__init__("org.bluez.Adapter1")
        self.powered = powered

    @dbus_property(access=READ)
    def Powered(self) -> DBusBool:
        return self.powered

    @dbus_property(access=READ)
    def Address(self) -> DBusStr:
        return "C0:00:00:00:00:01"

    @dbus_property(access=READ)
    def Roles(self) -> Annotated[list[str], DBusSignature("as")]:
        return ["central", "peripheral"]

    @dbus_property(access=READ)
    def Discovering(self) -> DBusBool:
        return False

    @dbus_method()
    def SetDiscoveryFilter(self, wanted: DBusDict) -> None:
        pass

    @dbus_method()
    def StartDiscovery(self) -> None:
        pass

    @dbus_method()
    def StopDiscovery(self) -> None:
        pass


class Gatt(ServiceInterface):
    """GattManager1."""

    def __init__(self) -> None:
        super().__init__("org.bluez.GattManager1")

    @dbus_method()
    def RegisterApplication(self, path: DBusObjectPath, options: DBusDict) -> None:
        pass


class Adverts(ServiceInterface):
    """LEAdvertisingManager1."""

    def __init__(self) -> None:
        super().__init__("org.bluez.LEAdvertisingManager1")
        self.on_air: set[str] = set()

    @dbus_method()
    def RegisterAdvertisement(self, path: DBusObjectPath, options: DBusDict) -> None:
        self.on_air.add(path)

    @dbus_method()
    def UnregisterAdvertisement(self, path: DBusObjectPath) -> None:
        self.on_air.discard(path)


class FakeBluez:
    """The service; ``bus`` is None while it does not run."""

    def __init__(self) -> None:
        self.bus: MessageBus | None = None
        self.adapter: Adapter | None = None
        self.adverts = Adverts()

    async def start(self) -> None:
        self.bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        await self.bus.request_name("org.bluez")

    async def stop(self) -> None:
        if self.bus is not None:
            self.bus.disconnect()
            await self.bus.wait_for_disconnect()  # type: ignore[no-untyped-call]
        self.bus = self.adapter = None

    def plug_in(self, *, powered: bool = True) -> None:
        assert self.bus is not None
        self.adverts, self.adapter = Adverts(), Adapter(powered)
        for interface in (Gatt(), self.adverts, self.adapter):
            self.bus.export(ADAPTER, interface)

    def pull_out(self) -> None:
        assert self.bus is not None
        self.bus.unexport(ADAPTER)
        self.adapter = None

    def pull_out_unseen(self) -> None:
        """As while the machine slept: no signal tells of it."""
        assert self.bus is not None
        self.bus._path_exports.pop(ADAPTER)
        self.adapter = None

    def power(self, on: bool) -> None:
        assert self.adapter is not None
        self.adapter.powered = on
        self.adapter.emit_properties_changed({"Powered": on})


@asynccontextmanager
async def system_bus(folder: Path, *, denied: bool = False) -> AsyncIterator[str]:
    """A bus daemon; yields its address. ``denied``: its policy lets nobody talk to BlueZ."""
    path = folder / f"bus{denied:d}"
    config = path.with_suffix(".conf")
    config.write_text(BUS.format(path=path, more=DENY if denied else ""))
    daemon = await asyncio.create_subprocess_exec(
        *("dbus-daemon", f"--config-file={config}", "--nofork", "--nopidfile"),
        "--print-address",
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert daemon.stdout is not None
        assert await daemon.stdout.readline(), "dbus-daemon did not start"
        yield f"unix:path={path}"
    finally:
        daemon.terminate()
        await daemon.wait()
