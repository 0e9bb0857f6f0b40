"""Being found and dialled on Linux: BlueZ by dbus-fast, which bleak brings.

One GATT application and one advertisement. Each central that subscribes gets a socket
(``AcquireNotify``): it has backpressure, and its end says that the central has gone. BlueZ
before 5.69 has one socket for all, and before 5.76 tells all subscribers what is meant for one;
the tag in each fragment tells them apart.
"""

import asyncio
import logging
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from dbus_fast import BusType, DBusError, Message, MessageType
from dbus_fast.aio import MessageBus

from meshchat.net.ble.bluez_objects import ROOT, Advertisement, Info, Rx, Service, Tx
from meshchat.net.ble.gatt import ATT_HEAD_BYTES, VALUE_MAX_BYTES
from meshchat.net.ble.limits import LINKS_HARD_MAX
from meshchat.net.ble.radio import REMEDIES, Adapter, Ear, PipeLost, RadioTrouble

CALL_S = 15.0  # BlueZ answers within moments, or it hangs
HAND_OVER_S = 5.0  # until the message that carries a socket has surely left
_BLUEZ = "org.bluez"
_PROPERTIES = "org.freedesktop.DBus.Properties"
_OBJECTS = "org.freedesktop.DBus.ObjectManager"
_CONFIG = Path("/etc/bluetooth/main.conf")
_RFKILL = Path("/sys/class/rfkill")
_DENIED = ("AccessDenied", "AuthFailed", "NotPermitted", "NotAuthorized")
_ABSENT = ("ServiceUnknown", "NameHasNoOwner", "Spawn.", "NoServer", "FileNotFound")

log = logging.getLogger(__name__)

Objects = dict[str, dict[str, dict[str, Any]]]
"""Path, interface, property: value."""


class BluezPeripheral:
    """The adapter's own side.

    Args:
        adapter: Its name, such as ``hci1``; empty: the first that is switched on.
        config: BlueZ's settings file, which alone tells whether addresses change.
        rfkill: Where the kernel tells of switches.
    """

    def __init__(self, adapter: str = "", config: Path = _CONFIG, rfkill: Path = _RFKILL) -> None:
        self._want = adapter
        self._config = config
        self._rfkill = rfkill
        self._ear: Ear
        self._bus: MessageBus | None = None
        self._path = ""
        self._pipes: dict[str, _Inbound] = {}  # by device path
        self._sockets: dict[str, _Socket] = {}  # by the device path they were opened for
        self._advert: Advertisement | None = None
        self._changed = asyncio.Event()
        self._end: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()  # of devices that came when all was full
        self.refused = 0
        """Devices that came when all was full."""

    # --- Peripheral --------------------------------------------------------------------------

    async def look(self) -> Adapter:
        """See ``radio.Peripheral``."""
        try:
            await self._connect()
            return (await self._found())[1]
        finally:
            await self.close()

    async def open(self, ear: Ear) -> Adapter:
        """See ``radio.Peripheral``. After trouble the bus stays, for ``changed``."""
        await self.close()
        self._ear = ear
        self._changed.clear()
        await self._connect()
        path, adapter = await self._found()
        bus = self._bus
        if bus is None:
            raise _trouble("stuck")
        self._path = path
        if adapter.findable:
            bus.export(f"{ROOT}/s", Service())
            bus.export(f"{ROOT}/s/rx", Rx(self._written))
            bus.export(f"{ROOT}/s/tx", Tx(self._subscribed))
            bus.export(f"{ROOT}/s/info", Info())
            await self._call("org.bluez.GattManager1", "RegisterApplication", ROOT)
        return adapter

    async def advertise(self, token: bytes | None, interval_s: float) -> None:
        """See ``radio.Peripheral``."""
        await self._withdraw()
        if token is None:
            return
        if self._bus is None or not self._path:
            raise _trouble("stuck")
        advert = Advertisement(token, interval_s, self._released)
        self._bus.export(advert.path, advert)
        self._advert = advert
        await self._call("org.bluez.LEAdvertisingManager1", "RegisterAdvertisement", advert.path)

    async def close(self) -> None:
        """See ``radio.Peripheral``."""
        bus = self._bus
        if bus is None:
            return
        pipes, self._pipes = list(self._pipes.values()), {}
        if self._path:
            await asyncio.gather(*(self._hang_up(pipe.path) for pipe in pipes))
        self._bus, self._advert, self._path = None, None, ""
        for held in list(self._sockets.values()):
            held.close()
        self._sockets.clear()
        if self._end is not None:
            self._end.cancel()
        # BlueZ withdraws the application and the advert of who is gone.
        bus.remove_message_handler(self._signal)
        bus.disconnect()

    async def changed(self) -> None:
        """BlueZ or an adapter came, went, or was switched."""
        await self._changed.wait()

    # --- start and end -----------------------------------------------------------------------

    async def _connect(self) -> None:
        bus = MessageBus(bus_type=BusType.SYSTEM, negotiate_unix_fd=True)
        try:
            await asyncio.wait_for(bus.connect(), CALL_S)
        except PermissionError as error:
            raise _trouble("no_permission") from error
        except Exception as error:  # dbus-fast raises what it likes: no socket, refused, nonsense
            raise _trouble(_reason_of(type(error).__name__, "no_bluetooth")) from error
        self._bus = bus
        self._end = asyncio.get_running_loop().create_task(_over(bus))
        self._end.add_done_callback(self._disconnected)
        bus.add_message_handler(self._signal)
        for rule in (
            f"type='signal',sender='{_BLUEZ}',interface='{_PROPERTIES}'",
            f"type='signal',sender='{_BLUEZ}',interface='{_OBJECTS}'",
            "type='signal',sender='org.freedesktop.DBus',member='NameOwnerChanged',"
            f"arg0='{_BLUEZ}'",
        ):
            await self._ask(
                Message(
                    destination="org.freedesktop.DBus",
                    path="/org/freedesktop/DBus",
                    interface="org.freedesktop.DBus",
                    member="AddMatch",
                    signature="s",
                    body=[rule],
                )
            )

    def _disconnected(self, end: "asyncio.Task[None]") -> None:
        if not end.cancelled():
            self._fail("no_bluetooth")

    async def _found(self) -> tuple[str, Adapter]:
        """The adapter to use and its path."""
        objects = await self._objects()
        path = self._choose(objects)
        interfaces = objects[path]
        adapter = interfaces["org.bluez.Adapter1"]
        if not adapter.get("Powered"):
            raise _trouble("blocked" if self._is_blocked() else "off")
        roles = adapter.get("Roles", ["central", "peripheral"])
        findable = (
            "org.bluez.GattManager1" in interfaces
            and "org.bluez.LEAdvertisingManager1" in interfaces
            and any("peripheral" in role for role in roles)
        )
        # What advertises by sets gives each advertisement an address, if any of them change.
        adverts = interfaces.get("org.bluez.LEAdvertisingManager1", {})
        sets = bool(adverts.get("SupportedSecondaryChannels"))
        name = path.rpartition("/")[2]
        own, said = socket.gethostname().split(".")[0], str(adapter.get("Alias", ""))
        names = bool(own) and own.casefold() in said.casefold()  # BlueZ may add a number to it
        fixed = self._is_fixed()
        return path, Adapter(name, fixed, findable, own_clock=not sets, names_machine=names)

    def _choose(self, objects: Objects) -> str:
        adapters = {
            path: interfaces["org.bluez.Adapter1"]
            for path, interfaces in sorted(objects.items())
            if "org.bluez.Adapter1" in interfaces
        }
        if self._want:
            path = f"/org/bluez/{self._want}"
            if path not in adapters:
                raise _trouble("no_adapter")
            return path
        if not adapters:
            raise _trouble("no_adapter")
        return min(adapters, key=lambda path: (not adapters[path].get("Powered"), path))

    def _is_blocked(self) -> bool:
        """Whether some switch holds the radio back."""
        for switch in self._rfkill.glob("rfkill*") if self._rfkill.is_dir() else ():
            with suppress(OSError):
                if (switch / "type").read_text().strip() != "bluetooth":
                    continue
                if any((switch / kind).read_text().strip() == "1" for kind in ("soft", "hard")):
                    return True
        return False

    def _is_fixed(self) -> bool | None:
        """Whether the address stays: BlueZ says so nowhere but in its settings."""
        try:
            lines = self._config.read_text("utf-8", "replace").splitlines()
        except FileNotFoundError:
            return True  # the default
        except OSError:
            return None
        for line in lines:
            key, equals, value = line.partition("=")
            if equals and key.strip() == "Privacy":
                return value.strip() in ("off", "false", "")
        return True

    async def _withdraw(self) -> None:
        advert, self._advert = self._advert, None
        if advert is None or self._bus is None:
            return
        with suppress(RadioTrouble):  # BlueZ dropped it already
            await self._call(
                "org.bluez.LEAdvertisingManager1", "UnregisterAdvertisement", advert.path
            )
        self._bus.unexport(advert.path)

    def _released(self, advert: "Advertisement") -> None:
        if advert is self._advert:
            self._advert = None
            self._fail("stuck")

    def _fail(self, reason: str) -> None:
        """The radio is gone: tell once, and let go of everything."""
        self._changed.set()
        if not self._path:
            return
        self._path = ""
        self._pipes.clear()
        self._ear.trouble(_trouble(reason))

    # --- calls and signals -------------------------------------------------------------------

    async def _ask(self, message: Message) -> list[Any]:
        bus = self._bus
        if bus is None:
            raise _trouble("stuck")
        try:
            reply = await asyncio.wait_for(bus.call(message), CALL_S)
        except (TimeoutError, OSError, EOFError) as error:
            raise _trouble("stuck") from error
        assert reply is not None
        if reply.message_type is MessageType.ERROR:
            log.warning("%s of BlueZ: %s", message.member, reply.error_name)
            raise _trouble(_reason_of(reply.error_name or ""))
        return list(reply.body)

    async def _call(self, interface: str, member: str, path: str) -> None:
        options: list[object] = [{}] if member.startswith("Register") else []
        await self._ask(
            Message(
                destination=_BLUEZ,
                path=self._path,
                interface=interface,
                member=member,
                signature="oa{sv}" if options else "o",
                body=[path, *options],
            )
        )

    async def _objects(self) -> Objects:
        body = await self._ask(
            Message(destination=_BLUEZ, path="/", interface=_OBJECTS, member="GetManagedObjects")
        )
        return {
            path: {
                interface: {name: value.value for name, value in properties.items()}
                for interface, properties in interfaces.items()
            }
            for path, interfaces in body[0].items()
        }

    def _signal(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        if message.member == "PropertiesChanged" and message.body:
            interface, changes = message.body[0], message.body[1]
            if interface == "org.bluez.Adapter1" and "Powered" in changes:
                self._changed.set()
                if message.path == self._path and not changes["Powered"].value:
                    self._fail("blocked" if self._is_blocked() else "off")
            elif (
                interface == "org.bluez.Device1"
                and (connected := changes.get("Connected")) is not None
                and not connected.value
            ):
                self._gone(str(message.path), "lost")
        elif message.member == "InterfacesAdded":
            if "org.bluez.Adapter1" in message.body[1]:
                self._changed.set()
        elif message.member == "InterfacesRemoved":
            if "org.bluez.Adapter1" in message.body[1]:
                self._changed.set()
                if message.body[0] == self._path:
                    self._fail("no_adapter")
        elif message.member == "NameOwnerChanged":
            self._changed.set()
            if message.body[1]:
                self._fail("no_bluetooth")

    # --- pipes -------------------------------------------------------------------------------

    def _written(self, device: str, mtu: int, value: bytes) -> None:
        pipe = self._pipe(device, mtu)
        self._ear.received(pipe, value)

    def _subscribed(self, device: str, mtu: int) -> int:
        self._pipe(device, mtu)
        if (old := self._sockets.pop(device, None)) is not None:
            old.close()
        held = _Socket(self, device)
        self._sockets[device] = held
        return held.hand_over()

    def _pipe(self, device: str, mtu: int) -> "_Inbound":
        pipe = self._pipes.get(device)
        if pipe is None:
            if not self._path or len(self._pipes) >= LINKS_HARD_MAX:
                self.refused += 1
                self._turn_away(device)
                raise DBusError("org.bluez.Error.NotPermitted", "full")
            pipe = self._pipes[device] = _Inbound(self, device)
            pipe.mtu = mtu
            self._ear.opened(pipe)
        pipe.mtu = mtu or pipe.mtu
        return pipe

    def _turn_away(self, device: str) -> None:
        task = asyncio.get_running_loop().create_task(self._hang_up(device))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def _unsubscribed(self, held: "_Socket") -> None:
        """BlueZ closed a socket: nobody hears what would be written there."""
        if self._sockets.get(held.device) is held:
            del self._sockets[held.device]
            self._gone(held.device, "unsubscribed")

    def _gone(self, device: str, reason: str) -> None:
        if (pipe := self._pipes.pop(device, None)) is not None:
            self._ear.lost(pipe, reason)

    async def _hang_up(self, device: str) -> None:
        """End the connection of a device."""
        with suppress(RadioTrouble):
            await self._ask(
                Message(
                    destination=_BLUEZ,
                    path=device,
                    interface="org.bluez.Device1",
                    member="Disconnect",
                )
            )


class _Socket:
    """Our end of what BlueZ notifies from."""

    def __init__(self, owner: BluezPeripheral, device: str) -> None:
        self.device = device
        self._owner = owner
        self._ours, self._theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._ours.setblocking(False)
        self._free: asyncio.Event | None = None
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._ours, self._ended)
        self._timer: asyncio.TimerHandle | None = None

    def hand_over(self) -> int:
        """Descriptor of BlueZ's end; ours of it is closed once that has left."""
        self._timer = self._loop.call_later(HAND_OVER_S, self._theirs.close)
        return self._theirs.fileno()

    async def send(self, packet: bytes) -> None:
        """Raises ``PipeLost``."""
        while True:
            try:
                self._ours.send(packet)
                return
            except BlockingIOError:
                await self._room()
            except OSError as error:
                raise PipeLost("unsubscribed") from error

    async def _room(self) -> None:
        if self._free is None:
            self._free = asyncio.Event()
            self._loop.add_writer(self._ours, self._writable)
        await self._free.wait()

    def _writable(self) -> None:
        self._loop.remove_writer(self._ours)
        if self._free is not None:
            self._free.set()
            self._free = None

    def _ended(self) -> None:
        try:
            if self._ours.recv(VALUE_MAX_BYTES):
                return  # BlueZ writes here only what centrals confirm: nothing for us
        except BlockingIOError:
            return
        except OSError:
            pass
        self.close()
        self._owner._unsubscribed(self)

    def close(self) -> None:
        if self._ours.fileno() < 0:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._ours)
        self._writable()
        self._ours.close()
        self._theirs.close()


class _Inbound:
    """A device that dialled us."""

    outbound = False
    hangs_up = True

    def __init__(self, owner: BluezPeripheral, path: str) -> None:
        self.path = path
        self.device = path.rpartition("dev_")[2].replace("_", ":")  # its address, as bleak says it
        self.mtu = 0
        self._owner = owner

    @property
    def payload(self) -> int:
        return self.mtu - ATT_HEAD_BYTES

    async def send(self, packets: Sequence[bytes]) -> None:
        owner = self._owner
        for packet in packets:
            sockets = owner._sockets
            # its own, or, where BlueZ has one for all, that one
            held = sockets.get(self.path) or next(iter(sockets.values()), None)
            if held is None or owner._pipes.get(self.path) is not self:
                raise PipeLost("unsubscribed")
            await held.send(packet)

    async def close(self) -> None:
        if self._owner._pipes.get(self.path) is self:
            del self._owner._pipes[self.path]
            await self._owner._hang_up(self.path)


async def _over(bus: MessageBus) -> None:
    """Return when the bus has ended, for whatever reason."""
    with suppress(Exception):
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]


def _reason_of(error: str, otherwise: str = "other") -> str:
    """A D-Bus error's name as one of our reasons."""
    if any(part in error for part in _DENIED):
        return "no_permission"
    if any(part in error for part in _ABSENT):
        return "no_bluetooth"
    if "NotReady" in error:
        return "off"
    if "UnknownObject" in error or "DoesNotExist" in error:
        return "no_adapter"
    return otherwise


def _trouble(reason: str) -> RadioTrouble:
    return RadioTrouble(reason, REMEDIES[reason])
