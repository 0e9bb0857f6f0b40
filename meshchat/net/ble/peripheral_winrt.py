"""Being found and dialled on Windows: GattServiceProvider by winrt, which bleak brings.

Written from Microsoft's documentation and tested against a stand-in only: experimental.
Windows advertises the service without our token and has no way to hang up on a central.
Notifications go to one client, and each is awaited. Events come on threads of the system and
are handed to the loop.
"""

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from winrt.windows.devices.bluetooth import BluetoothAdapter, BluetoothError
from winrt.windows.devices.bluetooth.genericattributeprofile import (
    GattCharacteristicProperties,
    GattCommunicationStatus,
    GattLocalCharacteristicParameters,
    GattProtectionLevel,
    GattServiceProvider,
    GattServiceProviderAdvertisementStatus,
    GattServiceProviderAdvertisingParameters,
    GattSessionStatus,
    GattWriteOption,
)
from winrt.windows.devices.radios import RadioState
from winrt.windows.storage.streams import Buffer

from meshchat.net.ble.gatt import (
    ATT_HEAD_BYTES,
    INFO,
    INFO_VALUE,
    RX,
    SERVICE,
    TX,
    VALUE_MAX_BYTES,
)
from meshchat.net.ble.limits import LINKS_HARD_MAX
from meshchat.net.ble.radio import REMEDIES, Adapter, Ear, PipeLost, RadioTrouble

_REASONS = {
    BluetoothError.RADIO_NOT_AVAILABLE: "off",
    BluetoothError.DISABLED_BY_USER: "off",
    BluetoothError.DISABLED_BY_POLICY: "no_permission",
    BluetoothError.CONSENT_REQUIRED: "no_permission",
    BluetoothError.NOT_SUPPORTED: "no_peripheral",
}


class WinrtPeripheral:
    """This machine's own side."""

    def __init__(self) -> None:
        self._ear: Ear | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._provider: Any = None
        self._radio: Any = None
        self._tx: Any = None
        self._changed = asyncio.Event()
        self._ends: list[Any] = []  # each takes one handler of ours off
        self._pipes: dict[str, _Inbound] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # --- Peripheral --------------------------------------------------------------------------

    async def look(self) -> Adapter:
        """See ``radio.Peripheral``."""
        self._loop = asyncio.get_running_loop()
        adapter = await BluetoothAdapter.get_default_async()
        if adapter is None or not adapter.is_low_energy_supported:
            raise _trouble("no_adapter")
        radio = await adapter.get_radio_async()
        if radio is None:
            raise _trouble("no_adapter")
        self._radio = radio
        if radio.state != RadioState.ON:
            raise _trouble("blocked" if radio.state == RadioState.DISABLED else "off")
        if not adapter.is_central_role_supported:
            raise _trouble("no_central")
        return Adapter(
            "Windows", fixed_address=None, findable=bool(adapter.is_peripheral_role_supported)
        )

    async def open(self, ear: Ear) -> Adapter:
        """See ``radio.Peripheral``."""
        await self.close()
        self._changed.clear()
        adapter = await self.look()
        self._ear = ear
        radio = self._radio
        token = radio.add_state_changed(lambda *_: self._on_loop(self._switched))
        self._ends.append(lambda: radio.remove_state_changed(token))
        if not adapter.findable:
            return adapter
        made = await GattServiceProvider.create_async(uuid.UUID(SERVICE))
        if made.error != BluetoothError.SUCCESS:
            raise _trouble(_REASONS.get(made.error, "other"))
        provider = self._provider = made.service_provider
        rx = await self._characteristic(
            RX,
            GattCharacteristicProperties.WRITE
            | GattCharacteristicProperties.WRITE_WITHOUT_RESPONSE,
        )
        self._tx = await self._characteristic(TX, GattCharacteristicProperties.NOTIFY)
        await self._characteristic(INFO, GattCharacteristicProperties.READ, INFO_VALUE)
        tx = self._tx
        rx_token = rx.add_write_requested(lambda _, args: self._on_loop(self._asked, args))
        tx_token = tx.add_subscribed_clients_changed(
            lambda *_: self._on_loop(self._clients_changed)
        )
        status_token = provider.add_advertisement_status_changed(
            lambda _, args: self._on_loop(self._advertised, args.status)
        )
        self._ends += [
            lambda: rx.remove_write_requested(rx_token),
            lambda: tx.remove_subscribed_clients_changed(tx_token),
            lambda: provider.remove_advertisement_status_changed(status_token),
        ]
        return adapter

    async def _characteristic(self, name: str, properties: Any, value: bytes | None = None) -> Any:
        parameters = GattLocalCharacteristicParameters()
        parameters.characteristic_properties = properties
        parameters.read_protection_level = GattProtectionLevel.PLAIN
        parameters.write_protection_level = GattProtectionLevel.PLAIN
        if value is not None:
            parameters.static_value = _buffer(value)
        made = await self._provider.service.create_characteristic_async(uuid.UUID(name), parameters)
        if made.error != BluetoothError.SUCCESS:
            raise _trouble(_REASONS.get(made.error, "other"))
        return made.characteristic

    async def advertise(self, token: bytes | None, interval_s: float) -> None:  # noqa: ARG002
        """See ``radio.Peripheral``; Windows takes neither token nor interval."""
        if self._provider is None:
            return
        with suppress(OSError):  # it was not advertising
            self._provider.stop_advertising()
        if token is not None:
            parameters = GattServiceProviderAdvertisingParameters()
            parameters.is_connectable = True
            parameters.is_discoverable = True
            try:
                self._provider.start_advertising_with_parameters(parameters)
            except OSError as error:
                raise _trouble("other") from error

    async def close(self) -> None:
        """See ``radio.Peripheral``."""
        for end in self._ends:
            with suppress(OSError):
                end()
        self._ends.clear()
        if self._provider is not None:
            with suppress(OSError):
                self._provider.stop_advertising()
        self._provider = self._tx = self._ear = None
        self._pipes.clear()

    async def changed(self) -> None:
        """The radio was switched."""
        await self._changed.wait()

    # --- events, on the loop -----------------------------------------------------------------

    def _on_loop(self, call: Any, *given: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *given)

    def _switched(self) -> None:
        self._changed.set()
        if self._radio.state != RadioState.ON:
            self._fail("off")

    def _advertised(self, status: Any) -> None:
        if status == GattServiceProviderAdvertisementStatus.ABORTED:
            self._fail("other")

    def _fail(self, reason: str) -> None:
        ear, self._ear = self._ear, None
        self._pipes.clear()
        if ear is not None:
            ear.trouble(_trouble(reason))

    def _asked(self, args: Any) -> None:
        task = asyncio.get_running_loop().create_task(self._written(args))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _written(self, args: Any) -> None:
        deferral = args.get_deferral()
        try:
            request = await args.get_request_async()
            if request is None:  # no permission for this central
                return
            value = bytes(request.value)
            pipe = self._pipe(args.session)
            sound = not request.offset and len(value) <= VALUE_MAX_BYTES
            if request.option == GattWriteOption.WRITE_WITH_RESPONSE:
                if sound and pipe is not None:
                    request.respond()
                else:
                    request.respond_with_protocol_error(0x07 if pipe is not None else 0x11)
            if sound and pipe is not None and self._ear is not None:
                self._ear.received(pipe, value)
        finally:
            deferral.complete()

    def _clients_changed(self) -> None:
        clients = {}
        for client in self._tx.subscribed_clients if self._tx is not None else ():
            clients[str(client.session.device_id.id)] = client
            self._pipe(client.session)
        for device, pipe in list(self._pipes.items()):
            if pipe.client is not None and device not in clients:
                self._gone(device)
            else:
                pipe.client = clients.get(device)
                pipe.subscribed.set()

    def _pipe(self, session: Any) -> "_Inbound | None":
        device = str(session.device_id.id)
        pipe = self._pipes.get(device)
        if pipe is None and self._ear is not None and len(self._pipes) < LINKS_HARD_MAX:
            pipe = self._pipes[device] = _Inbound(self, device, session)
            session.add_session_status_changed(
                lambda _, args: self._on_loop(self._session_is, device, args.status)
            )
            self._ear.opened(pipe)
        return pipe

    def _session_is(self, device: str, status: Any) -> None:
        if status == GattSessionStatus.CLOSED:
            self._gone(device)

    def _gone(self, device: str) -> None:
        pipe = self._pipes.pop(device, None)
        if pipe is not None:
            pipe.subscribed.set()
            if self._ear is not None:
                self._ear.lost(pipe, "lost")

    async def notify(self, pipe: "_Inbound", packet: bytes) -> None:
        """Raises ``PipeLost``."""
        while pipe.client is None and self._pipes.get(pipe.device) is pipe:
            pipe.subscribed.clear()
            await pipe.subscribed.wait()
        if self._pipes.get(pipe.device) is not pipe:
            raise PipeLost("lost")
        result = await self._tx.notify_value_for_subscribed_client_async(
            _buffer(packet), pipe.client
        )
        if result.status != GattCommunicationStatus.SUCCESS:
            raise PipeLost("unsubscribed")

    def forget(self, pipe: "_Inbound") -> None:
        """It is of no interest any more."""
        if self._pipes.get(pipe.device) is pipe:
            del self._pipes[pipe.device]


class _Inbound:
    """A central that dialled us."""

    outbound = False
    hangs_up = False

    def __init__(self, owner: WinrtPeripheral, device: str, session: Any) -> None:
        self.device = device
        self.client: Any = None
        self.subscribed = asyncio.Event()
        self._owner = owner
        self._session = session

    @property
    def payload(self) -> int:
        return int(self._session.max_pdu_size) - ATT_HEAD_BYTES

    async def send(self, packets: Sequence[bytes]) -> None:
        for packet in packets:
            await self._owner.notify(self, packet)

    async def close(self) -> None:
        self._owner.forget(self)


def _buffer(value: bytes) -> Any:
    buffer = Buffer(len(value))
    buffer.length = buffer.capacity
    with memoryview(buffer) as view:
        view[:] = value
    return buffer


def _trouble(reason: str) -> RadioTrouble:
    return RadioTrouble(reason, REMEDIES[reason])
