"""Looking for others and dialling them: bleak, on every system.

A pipe's packets leave by write-command, and every so often by write-request: its answer says
that the system's queue is empty again and that the program at the other end lives.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from bleak import BleakClient, BleakScanner
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakDBusError,
    BleakError,
)

from meshchat.net.ble.gatt import INFO, INFO_VALUE, RX, SERVICE, TX, token_of
from meshchat.net.ble.limits import FRAGMENT_MAX_BYTES, SIGHTINGS_MAX
from meshchat.net.ble.radio import REMEDIES, Ear, PipeLost, RadioTrouble, Sighting

FENCE_EVERY = 32  # packets: 15 kB, a sixth of a second of a 1M radio, wait in the system's queue
WRITE_S = 35.0  # BlueZ gives up an unanswered request after 30 s
HANG_UP_S = 10.0  # BlueZ takes two
_REASONS = {
    BleakBluetoothNotAvailableReason.NO_BLUETOOTH: "no_adapter",
    BleakBluetoothNotAvailableReason.NO_BLE_CENTRAL_ROLE: "no_central",
    BleakBluetoothNotAvailableReason.POWERED_OFF: "off",
    BleakBluetoothNotAvailableReason.DENIED_BY_USER: "no_permission",
    BleakBluetoothNotAvailableReason.DENIED_BY_SYSTEM: "no_permission",
    BleakBluetoothNotAvailableReason.DENIED_BY_UNKNOWN: "no_permission",
    BleakBluetoothNotAvailableReason.UNKNOWN: "other",
}

log = logging.getLogger(__name__)

Backend = tuple[type[BaseBleakScanner], type[BaseBleakClient]]
"""Other classes under bleak's own: virtual radios of tests."""


class BleakCentral:
    """One adapter's central side.

    Args:
        ear: Who is told.
        adapter: Name of the adapter where the system has several.
        backend: For tests; None: the system's.
    """

    def __init__(self, ear: Ear, adapter: str = "", backend: Backend | None = None) -> None:
        self._ear = ear
        self._adapter = adapter
        self._backend = backend
        self._scanner: BleakScanner | None = None
        self._devices: dict[str, BLEDevice] = {}  # as last seen; dialling needs the system's object
        self._pipes: dict[str, _Outbound] = {}
        self._dialling = asyncio.Lock()

    async def scan(self, on: bool) -> None:
        """See ``radio.Central``."""
        if on == (self._scanner is not None):
            return
        scanner = self._scanner or BleakScanner(
            self._seen,
            service_uuids=[SERVICE],
            bluez={"adapter": self._adapter} if self._adapter else {},
            backend=self._backend[0] if self._backend else None,
        )
        self._scanner = None
        try:
            if on:
                await scanner.start()
                self._scanner = scanner
            else:
                await scanner.stop()
        except (BleakError, OSError, EOFError) as error:
            raise trouble_of(error) from error

    def _seen(self, device: BLEDevice, advert: AdvertisementData) -> None:
        if device.address not in self._devices and len(self._devices) >= SIGHTINGS_MAX:
            del self._devices[next(iter(self._devices))]
        self._devices.pop(device.address, None)
        self._devices[device.address] = device
        token = token_of(advert.manufacturer_data)
        self._ear.sighted(Sighting(token, advert.rssi, device.address))

    async def dial(self, device: str, timeout: float) -> "_Outbound":
        """See ``radio.Central``."""
        async with self._dialling:  # an adapter makes one connection at a time
            found = self._devices.get(device)
            if found is None or device in self._pipes:
                raise PipeLost("not_in_reach")
            pipe = _Outbound(self, found)
            try:
                async with asyncio.timeout(timeout):
                    await pipe.open()
            except PipeLost:
                await pipe.hang_up()
                raise
            except BleakBluetoothNotAvailableError as error:
                raise trouble_of(error) from error
            except (BleakError, OSError, EOFError, TimeoutError) as error:
                # A service that is not all there yet, a collision, somebody who left: the next
                # advert is a new chance.
                log.debug("dial failed: %s", type(error).__name__)
                await pipe.hang_up()
                raise PipeLost("no_answer") from error
            except BaseException:
                await pipe.hang_up()
                raise
            self._pipes[device] = pipe
        return pipe

    async def close(self) -> None:
        """See ``radio.Central``."""
        with suppress(RadioTrouble):
            await self.scan(False)
        await asyncio.gather(*(pipe.close() for pipe in list(self._pipes.values())))


class _Outbound:
    """A device that we dialled."""

    outbound = True
    hangs_up = True

    def __init__(self, owner: BleakCentral, device: BLEDevice) -> None:
        self.device = device.address
        self._owner = owner
        self._client = BleakClient(
            device,
            self._disconnected,
            services=[SERVICE],
            bluez={"adapter": owner._adapter} if owner._adapter else {},
            backend=owner._backend[1] if owner._backend else None,
        )
        self._rx: BleakGATTCharacteristic
        self._unfenced = 0
        self._over = False

    async def open(self) -> None:
        client = self._client
        await client.connect()
        found = [client.services.get_characteristic(uuid) for uuid in (RX, TX, INFO)]
        rx, tx, info = found
        if rx is None or tx is None or info is None:
            raise PipeLost("no_service")
        self._rx = rx
        if bytes(await client.read_gatt_char(info)) != INFO_VALUE:
            raise PipeLost("other_version")
        await client.start_notify(tx, self._notified)

    @property
    def payload(self) -> int:
        return min(self._rx.max_write_without_response_size, FRAGMENT_MAX_BYTES)

    async def send(self, packets: Sequence[bytes]) -> None:
        try:
            async with asyncio.timeout(WRITE_S):
                for packet in packets:
                    self._unfenced += 1
                    fence = self._unfenced >= FENCE_EVERY
                    await self._client.write_gatt_char(self._rx, packet, response=fence)
                    if fence:
                        self._unfenced = 0
        except (BleakError, OSError, EOFError, TimeoutError) as error:
            raise PipeLost("lost") from error

    async def close(self) -> None:
        self._forget()
        await self.hang_up()

    async def hang_up(self) -> None:
        """Also the way out of a dial that failed half-way."""
        self._over = True
        with suppress(BleakError, OSError, EOFError, TimeoutError):
            async with asyncio.timeout(HANG_UP_S):
                await self._client.disconnect()

    def _notified(self, _: BleakGATTCharacteristic, value: bytearray) -> None:
        if not self._over:
            self._owner._ear.received(self, bytes(value))

    def _disconnected(self, _: BleakClient) -> None:
        if not self._over:
            self._over = True
            if self._forget():
                self._owner._ear.lost(self, "lost")

    def _forget(self) -> bool:
        if self._owner._pipes.get(self.device) is not self:
            return False
        del self._owner._pipes[self.device]
        return True


def trouble_of(error: Exception) -> RadioTrouble:
    """What a failure of bleak means for the radio as a whole."""
    reason = "other"
    if isinstance(error, BleakBluetoothNotAvailableError):
        reason = _REASONS.get(error.reason, "other")
    elif isinstance(error, BleakDBusError) and "NotReady" in error.dbus_error:
        reason = "off"
    elif isinstance(error, OSError | EOFError):
        reason = "no_bluetooth"
    log.warning("Bluetooth: %s (%s)", reason, type(error).__name__)
    return RadioTrouble(reason, REMEDIES[reason])
