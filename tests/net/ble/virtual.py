"""A device on virtual radios: bleak's classes and our ``Peripheral``, both on one Bumble device.

The product's own central and transport run on it; only what talks to a system is replaced.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from air import Air, Radio, make_radio
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakError, BleakGATTProtocolError, BleakGATTProtocolErrorCode
from bleak.uuids import normalize_uuid_str
from bumble import data_types
from bumble.att import ATT_Error
from bumble.core import UUID, AdvertisingData, BaseBumbleError
from bumble.device import Connection, Device, DeviceConfiguration, Peer
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.hci import Address

from meshchat.net.ble import gatt
from meshchat.net.ble.limits import LINKS_HARD_MAX
from meshchat.net.ble.radio import REMEDIES, Adapter, Ear, PipeLost, RadioTrouble, Sighting

PROPERTIES = ("broadcast", "read", "write-without-response", "write", "notify", "indicate")


def text(uuid: UUID) -> str:
    """A UUID as bleak writes it."""
    return normalize_uuid_str(uuid.to_hex_str("-").lower())


class VirtualDevice:
    """One adapter. Use its ``backend`` for the central and its ``peripheral``."""

    def __init__(self, air: Air, index: int, mtu: int = 517) -> None:
        self.air = air
        self.mtu = mtu
        self.loss: Callable[[bytes], bool] = lambda value: False
        """Whether a write-command or notification is lost in the system's queues."""
        self.index = index
        self.rate = 0.0
        self.address = f"F0:F1:F2:00:{index >> 8:02X}:{index & 255:02X}"
        self.radio: Radio
        self.device: Device
        self.peripheral = VirtualPeripheral(self)
        self.backend = backend_for(self)
        self.powered = False

    async def power_on(self) -> None:
        """Fresh, as an adapter is that was without power."""
        self.radio = radio = make_radio(self.index, self.air)
        radio.rate = self.rate
        self.device = Device.from_config_with_hci(
            DeviceConfiguration(
                name="",
                address=Address(self.address),
                gap_service_enabled=False,
                gatt_service_enabled=False,
            ),
            radio,  # type: ignore[arg-type]
            radio,  # type: ignore[arg-type]
        )
        self.device.gatt_server.max_mtu = self.mtu
        self.peripheral.serve(self.device)
        await self.device.power_on()
        self.powered = True
        self.peripheral.came.set()

    def power_off(self, reason: str = "off") -> None:
        """Switched off or pulled out, with every connection."""
        self.powered = False
        self.air.remove(self.radio)
        for connection in list(self.radio.le_connections.values()):
            self.radio.on_le_disconnected(connection, 0x08)
        self.peripheral.fail(reason)

    async def close(self) -> None:
        await self.peripheral.close()
        if self.powered:
            await self.device.power_off()
            self.air.remove(self.radio)


class VirtualPeripheral:
    """``radio.Peripheral`` on a Bumble device."""

    def __init__(self, owner: VirtualDevice) -> None:
        self._owner = owner
        self._ear: Ear | None = None
        self._wanted = False
        self._advertising = asyncio.Lock()
        self.trouble: str = ""
        """Set to have ``open`` fail."""
        self.tokenless = False
        """Advertise as macOS does."""
        self.came = asyncio.Event()
        self.pipes: dict[Connection, VirtualInbound] = {}
        self.info = gatt.INFO_VALUE

    def serve(self, device: Device) -> None:
        """Put the service into a device that just got power."""
        properties = Characteristic.Properties
        self.device = device
        self.tx: Characteristic[bytes] = Characteristic(
            UUID(gatt.TX), properties.NOTIFY, Characteristic.READABLE, b""
        )
        rx: Characteristic[bytes] = Characteristic(
            UUID(gatt.RX),
            properties.WRITE | properties.WRITE_WITHOUT_RESPONSE,
            Characteristic.WRITEABLE,
            CharacteristicValue(write=self._written),
        )
        info: Characteristic[bytes] = Characteristic(
            UUID(gatt.INFO),
            properties.READ,
            Characteristic.READABLE,
            CharacteristicValue(read=lambda _: self.info),
        )
        device.add_service(Service(UUID(gatt.SERVICE), [rx, self.tx, info]))
        device.on("connection", self._connected)

    async def open(self, ear: Ear) -> Adapter:
        self.came.clear()
        if self.trouble or not self._owner.powered:
            reason = self.trouble or "off"
            raise RadioTrouble(reason, REMEDIES[reason])
        self._ear = ear
        return Adapter(self._owner.address, fixed_address=False, findable=True)

    async def advertise(self, token: bytes | None, interval_s: float) -> None:
        async with self._advertising:
            await self._advertise(token, interval_s)

    async def _advertise(self, token: bytes | None, interval_s: float) -> None:
        self._wanted = token is not None
        if self.device.is_advertising:
            await self.device.stop_advertising()
        if token is None:
            return
        maker = [data_types.ManufacturerSpecificData(gatt.COMPANY, token)]
        if self.tokenless:
            maker.clear()
        self.device.advertising_data = bytes(
            AdvertisingData(
                [
                    data_types.Flags(AdvertisingData.Flags.BR_EDR_NOT_SUPPORTED),
                    data_types.CompleteListOf128BitServiceUUIDs([UUID(gatt.SERVICE)]),
                    *maker,
                ]
            )
        )
        self.device.advertising_interval_min = self.device.advertising_interval_max = (
            1000 * interval_s
        )
        await self.device.start_advertising()

    async def close(self) -> None:
        self._wanted = False
        for pipe in list(self.pipes.values()):
            await pipe.close()
        if self._owner.powered and self.device.is_advertising:
            await self.device.stop_advertising()
        self._ear = None

    async def changed(self) -> None:
        await self.came.wait()

    def fail(self, reason: str) -> None:
        """The adapter is gone."""
        self.pipes.clear()
        ear, self._ear = self._ear, None
        if ear is not None:
            ear.trouble(RadioTrouble(reason, REMEDIES[reason]))

    def _connected(self, connection: Connection) -> None:
        connection.on("disconnection", lambda _: self._gone(connection))
        # Bumble ends a legacy advert with the connection that it led to, some moments later.
        self._again = asyncio.ensure_future(self._readvertise())

    async def _readvertise(self) -> None:
        async with self._advertising:
            if self._wanted and self._owner.powered and not self.device.is_advertising:
                await self.device.start_advertising()

    def _gone(self, connection: Connection) -> None:
        pipe = self.pipes.pop(connection, None)
        if pipe is not None and self._ear is not None:
            self._ear.lost(pipe, "lost")

    def _written(self, connection: Connection, value: bytes) -> None:
        if self._ear is None:
            raise ATT_Error(0x0E)
        pipe = self.pipes.get(connection)
        if pipe is None:
            if len(self.pipes) >= LINKS_HARD_MAX:
                raise ATT_Error(0x11)
            pipe = self.pipes[connection] = VirtualInbound(self, connection)
            self._ear.opened(pipe)
        self._ear.received(pipe, bytes(value))


class VirtualInbound:
    """A device that dialled us."""

    outbound = False
    hangs_up = True

    def __init__(self, owner: VirtualPeripheral, connection: Connection) -> None:
        self._owner = owner
        self._connection = connection
        self.device = connection.peer_address.to_string(False)

    @property
    def payload(self) -> int:
        return self._connection.att_mtu - 3

    async def send(self, packets: Sequence[bytes]) -> None:
        for packet in packets:
            if self._owner.pipes.get(self._connection) is not self:
                raise PipeLost("lost")
            if self._owner._owner.loss(packet):
                continue
            try:
                await self._owner.device.notify_subscriber(self._connection, self._owner.tx, packet)
            except BaseBumbleError as error:
                raise PipeLost("lost") from error
        await self._connection.drain()

    async def close(self) -> None:
        if self._owner.pipes.pop(self._connection, None) is self:
            with suppress(BaseBumbleError):
                await self._connection.disconnect()


def parse(adv: Any) -> AdvertisementData:
    """An advert as bleak has it."""
    uuids, maker = [], {}
    for kind, value in adv.data.ad_structures:
        if kind in (
            AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS,
            AdvertisingData.INCOMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS,
        ):
            uuids += [text(UUID.from_bytes(value[i : i + 16])) for i in range(0, len(value), 16)]
        if kind == AdvertisingData.MANUFACTURER_SPECIFIC_DATA:
            maker[int.from_bytes(value[:2], "little")] = bytes(value[2:])
    return AdvertisementData(None, maker, {}, uuids, None, adv.rssi, (adv,))


async def dial(device: Device, address: Address) -> Connection:
    """Connect; who is cancelled ends what was begun, which Bumble leaves pending."""
    task = asyncio.ensure_future(device.connect(address, timeout=None))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await device.cancel_connection()
        for late in await asyncio.gather(task, return_exceptions=True):
            if isinstance(late, Connection):
                await late.disconnect()
        raise


def backend_for(owner: VirtualDevice) -> tuple[type[BaseBleakScanner], type[BaseBleakClient]]:
    """bleak's two classes, bound to a device."""

    class Scanner(BaseBleakScanner):
        def __init__(
            self, callback: Any, service_uuids: Any, scanning_mode: str, **rest: Any
        ) -> None:
            super().__init__(callback, service_uuids)

        def _seen(self, adv: Any) -> None:
            data = parse(adv)
            if self.is_allowed_uuid(data.service_uuids):
                address = adv.address.to_string(False)
                found = self.create_or_update_device(address, address, None, adv.address, data)
                self.call_detection_callbacks(found, data)

        async def start(self) -> None:
            self.seen_devices.clear()
            if not owner.powered:
                raise BleakError("not powered")
            owner.device.on("advertisement", self._seen)
            await owner.device.start_scanning(active=False, filter_duplicates=False)

        async def stop(self) -> None:
            owner.device.remove_listener("advertisement", self._seen)
            if owner.powered and owner.device.is_scanning:
                await owner.device.stop_scanning()

    class Client(BaseBleakClient):
        _connection: Connection | None = None
        _peer: Peer

        def __init__(self, address_or_ble_device: Any, **kwargs: Any) -> None:
            self._wanted = kwargs.pop("services", None)
            super().__init__(
                address_or_ble_device,
                disconnected_callback=kwargs["disconnected_callback"],
                timeout=kwargs["timeout"],
            )
            self._target = address_or_ble_device.details

        @property
        def name(self) -> str:
            return self.address

        @property
        def mtu_size(self) -> int:
            return self._connection.att_mtu if self._connection else 23

        @property
        def is_connected(self) -> bool:
            return self._connection is not None

        def _lost(self, reason: int) -> None:
            self._connection = None
            if self._disconnected_callback:
                self._disconnected_callback()

        async def connect(self, pair: bool, **kwargs: Any) -> None:
            try:
                await self._connect()
            except (BaseBumbleError, ATT_Error) as error:
                raise BleakError(str(error)) from error

        async def _connect(self) -> None:
            async with asyncio.timeout(self._timeout):
                connection = await dial(owner.device, self._target)
                if connection.handle not in owner.device.connections:
                    raise BleakError("failed to be established")
                self._connection = connection
                connection.once("disconnection", self._lost)
                discovery = asyncio.ensure_future(self._discover(connection))
                connection.once("disconnection", lambda _: discovery.cancel())
                try:
                    await discovery
                except asyncio.CancelledError:
                    if self._connection is None:
                        raise BleakError("disconnected meanwhile") from None
                    discovery.cancel()
                    raise

        async def _discover(self, connection: Connection) -> None:
            peer = self._peer = Peer(connection)
            if owner.mtu > 23:
                await peer.request_mtu(owner.mtu)
            await peer.discover_services()
            services = self.services = BleakGATTServiceCollection()
            for found in peer.services:
                service = BleakGATTService(found, found.handle, text(found.uuid))
                if self._wanted and service.uuid not in self._wanted:
                    continue
                services.add_service(service)
                for c in await found.discover_characteristics():
                    names = [p for i, p in enumerate(PROPERTIES) if c.properties & (1 << i)]
                    services.add_characteristic(
                        BleakGATTCharacteristic(
                            c, c.handle, text(c.uuid), names, self._room, service
                        )
                    )

        def _room(self) -> int:
            return self.mtu_size - 3

        async def disconnect(self) -> None:
            connection = self._connection
            if connection and connection.handle in owner.device.connections:
                await connection.disconnect()

        async def pair(self, *args: Any, **kwargs: Any) -> None:
            raise NotImplementedError

        async def unpair(self) -> None:
            raise NotImplementedError

        async def _att(self, operation: Any) -> Any:
            if not self._connection:
                operation.close()
                raise BleakError("Not connected")
            task = asyncio.ensure_future(operation)
            end = self._connection.once("disconnection", lambda _: task.cancel())
            try:
                return await task
            except asyncio.CancelledError:
                task.cancel()
                if self._connection is None:
                    raise BleakError("disconnected meanwhile") from None
                raise
            except ATT_Error as e:
                raise BleakGATTProtocolError(BleakGATTProtocolErrorCode(e.error_code)) from e
            except BaseBumbleError as error:
                raise BleakError(str(error)) from error
            finally:
                if self._connection is not None:
                    self._connection.remove_listener("disconnection", end)

        async def read_gatt_char(self, characteristic: Any, **kwargs: Any) -> bytearray:
            return bytearray(await self._att(characteristic.obj.read_value()))

        async def read_gatt_descriptor(self, descriptor: Any, **kwargs: Any) -> bytearray:
            raise NotImplementedError

        async def write_gatt_char(self, characteristic: Any, data: Any, response: bool) -> None:
            if not response and owner.loss(bytes(data)):
                return
            await self._att(characteristic.obj.write_value(bytes(data), with_response=response))

        async def write_gatt_descriptor(self, descriptor: Any, data: Any) -> None:
            raise NotImplementedError

        async def start_notify(self, characteristic: Any, callback: Any, **kwargs: Any) -> None:
            await self._att(characteristic.obj.subscribe(lambda v: callback(bytearray(v))))

        async def stop_notify(self, characteristic: Any) -> None:
            await self._att(characteristic.obj.unsubscribe())

    return Scanner, Client


class Listener:
    """An ``Ear`` that writes down what it hears."""

    def __init__(self) -> None:
        self.sightings: dict[bytes, Sighting] = {}
        self.pipes: list[Any] = []
        self.got: list[tuple[Any, bytes]] = []
        self.gone: list[tuple[Any, str]] = []
        self.troubles: list[str] = []
        self._more = asyncio.Event()

    def sighted(self, sighting: Sighting) -> None:
        self.sightings[sighting.token] = sighting
        self._more.set()

    def opened(self, pipe: Any) -> None:
        self.pipes.append(pipe)
        self._more.set()

    def received(self, pipe: Any, packet: bytes) -> None:
        self.got.append((pipe, packet))
        self._more.set()

    def lost(self, pipe: Any, reason: str) -> None:
        self.gone.append((pipe, reason))
        self._more.set()

    def trouble(self, trouble: RadioTrouble) -> None:
        self.troubles.append(trouble.reason)
        self._more.set()

    async def until(self, true: Callable[[], object], timeout: float = 20.0) -> None:
        """Wait for what makes this true; the time is against hangs."""
        async with asyncio.timeout(timeout):
            while not true():
                self._more.clear()
                await self._more.wait()
