"""Being found and dialled on macOS: CBPeripheralManager by pyobjc, which bleak brings.

Written from Apple's documentation and tested against a stand-in only: experimental.
macOS advertises no token, has no way to hang up on a central, and shows no addresses. Its
notifications go to one central and have a signal for room in the queue. Callbacks come on a
queue of their own and are handed to the loop.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Any

import objc
from CoreBluetooth import (
    CBUUID,
    CBAdvertisementDataServiceUUIDsKey,
    CBATTErrorInsufficientResources,
    CBATTErrorInvalidOffset,
    CBATTErrorSuccess,
    CBAttributePermissionsReadable,
    CBAttributePermissionsWriteable,
    CBCharacteristicPropertyNotify,
    CBCharacteristicPropertyRead,
    CBCharacteristicPropertyWrite,
    CBCharacteristicPropertyWriteWithoutResponse,
    CBManagerStatePoweredOff,
    CBManagerStatePoweredOn,
    CBManagerStateUnauthorized,
    CBManagerStateUnsupported,
    CBMutableCharacteristic,
    CBMutableService,
    CBPeripheralManager,
)
from Foundation import NSData, NSObject
from libdispatch import DISPATCH_QUEUE_SERIAL, dispatch_queue_create

from meshchat.net.ble.gatt import INFO, INFO_VALUE, RX, SERVICE, TX, VALUE_MAX_BYTES
from meshchat.net.ble.limits import LINKS_HARD_MAX
from meshchat.net.ble.radio import REMEDIES, Adapter, Ear, PipeLost, RadioTrouble

STATE_S = 10.0  # the person may be asked for permission meanwhile; then the next try finds it
_TROUBLES = {
    CBManagerStatePoweredOff: "off",
    CBManagerStateUnauthorized: "no_permission",
    CBManagerStateUnsupported: "no_adapter",
}


class CoreBluetoothPeripheral:
    """The Mac's own side."""

    def __init__(self) -> None:
        self._ear: Ear | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._manager: Any = None
        self._delegate: Any = None
        self._tx: Any = None
        self._state = -1
        self._serving = False
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._pipes: dict[str, _Inbound] = {}

    # --- Peripheral --------------------------------------------------------------------------

    async def look(self) -> Adapter:
        """See ``radio.Peripheral``."""
        self._loop = asyncio.get_running_loop()
        if self._manager is None:
            self._delegate = _Delegate.alloc().init()
            self._delegate.owner = self
            queue = dispatch_queue_create(b"meshchat.peripheral", DISPATCH_QUEUE_SERIAL)
            self._manager = CBPeripheralManager.alloc().initWithDelegate_queue_(
                self._delegate, queue
            )
        try:
            async with asyncio.timeout(STATE_S):
                while self._state != CBManagerStatePoweredOn and self._state not in _TROUBLES:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise _trouble("stuck") from None
        if self._state in _TROUBLES:
            raise _trouble(_TROUBLES[self._state])
        return Adapter("Mac", fixed_address=False, findable=True)

    async def open(self, ear: Ear) -> Adapter:
        """See ``radio.Peripheral``."""
        await self.close()
        adapter = await self.look()
        self._ear = ear
        rx = _characteristic(
            RX,
            CBCharacteristicPropertyWrite | CBCharacteristicPropertyWriteWithoutResponse,
            CBAttributePermissionsWriteable,
        )
        self._tx = _characteristic(
            TX, CBCharacteristicPropertyNotify, CBAttributePermissionsReadable
        )
        info = _characteristic(
            INFO, CBCharacteristicPropertyRead, CBAttributePermissionsReadable, INFO_VALUE
        )
        service = CBMutableService.alloc().initWithType_primary_(
            CBUUID.UUIDWithString_(SERVICE), True
        )
        service.setCharacteristics_([rx, self._tx, info])
        self._manager.addService_(service)
        self._serving = True
        return adapter

    async def advertise(self, token: bytes | None, interval_s: float) -> None:  # noqa: ARG002
        """See ``radio.Peripheral``; macOS takes neither token nor interval."""
        self._manager.stopAdvertising()
        if token is not None:
            uuids = [CBUUID.UUIDWithString_(SERVICE)]
            self._manager.startAdvertising_({CBAdvertisementDataServiceUUIDsKey: uuids})

    async def close(self) -> None:
        """See ``radio.Peripheral``."""
        if self._serving:
            self._serving = False
            self._manager.stopAdvertising()
            self._manager.removeAllServices()
        self._pipes.clear()
        self._ear = None

    async def changed(self) -> None:
        """The state of the adapter is another."""
        self._news.clear()
        await self._news.wait()

    # --- told by the delegate, on the loop ---------------------------------------------------

    def state_is(self, state: int) -> None:
        """The manager's state changed."""
        self._state = state
        self._news.set()
        ear = self._ear
        if state != CBManagerStatePoweredOn and ear is not None and self._serving:
            self._serving = False
            self._pipes.clear()
            self._room.set()
            ear.trouble(_trouble(_TROUBLES.get(state, "stuck")))

    def written(self, central: Any, value: bytes) -> None:
        """A central wrote to RX."""
        if (pipe := self._pipe(central)) is not None and self._ear is not None:
            self._ear.received(pipe, value)

    def subscribed(self, central: Any) -> None:
        """A central wants notifications."""
        self._pipe(central)

    def unsubscribed(self, central: Any) -> None:
        """A central does not want them any more, or is gone."""
        pipe = self._pipes.pop(str(central.identifier().UUIDString()), None)
        self._room.set()
        if pipe is not None and self._ear is not None:
            self._ear.lost(pipe, "lost")

    def has_room(self) -> None:
        """The queue of notifications takes more."""
        self._room.set()

    def is_full(self, central: Any) -> bool:
        """Whether a newcomer has to be refused. Called on the manager's queue: reads only."""
        known = str(central.identifier().UUIDString()) in self._pipes
        return not known and len(self._pipes) >= LINKS_HARD_MAX

    def on_loop(self, call: Any, *given: Any) -> None:
        """Hand something to the loop from the manager's queue."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *given)

    def _pipe(self, central: Any) -> "_Inbound | None":
        device = str(central.identifier().UUIDString())
        pipe = self._pipes.get(device)
        if pipe is None and self._serving and self._ear is not None:
            if len(self._pipes) >= LINKS_HARD_MAX:
                return None
            pipe = self._pipes[device] = _Inbound(self, device, central)
            self._ear.opened(pipe)
        return pipe

    async def notify(self, pipe: "_Inbound", packet: bytes) -> None:
        """Raises ``PipeLost``."""
        value = NSData.dataWithBytes_length_(packet, len(packet))
        while self._pipes.get(pipe.device) is pipe:
            self._room.clear()
            if self._manager.updateValue_forCharacteristic_onSubscribedCentrals_(
                value, self._tx, [pipe.central]
            ):
                return
            await self._room.wait()
        raise PipeLost("lost")

    def forget(self, pipe: "_Inbound") -> None:
        """It is of no interest any more."""
        if self._pipes.get(pipe.device) is pipe:
            del self._pipes[pipe.device]


class _Inbound:
    """A central that dialled us."""

    outbound = False
    hangs_up = False

    def __init__(self, owner: CoreBluetoothPeripheral, device: str, central: Any) -> None:
        self.device = device
        self.central = central
        self._owner = owner

    @property
    def payload(self) -> int:
        return int(self.central.maximumUpdateValueLength())

    async def send(self, packets: Sequence[bytes]) -> None:
        for packet in packets:
            await self._owner.notify(self, packet)

    async def close(self) -> None:
        self._owner.forget(self)


class _Delegate(NSObject, protocols=[objc.protocolNamed("CBPeripheralManagerDelegate")]):  # type: ignore[call-arg,misc]
    """Called by CoreBluetooth on its queue; ``owner`` is set before that begins."""

    owner: Any = None

    def peripheralManagerDidUpdateState_(self, manager: Any) -> None:
        self.owner.on_loop(self.owner.state_is, manager.state())

    def peripheralManager_didReceiveWriteRequests_(self, manager: Any, requests: Any) -> None:
        result = CBATTErrorSuccess
        values: deque[tuple[Any, bytes]] = deque()
        for request in requests:
            value = bytes(request.value() or b"")
            if request.offset() or len(value) > VALUE_MAX_BYTES:
                result = CBATTErrorInvalidOffset
            elif self.owner.is_full(request.central()):
                result = CBATTErrorInsufficientResources
            else:
                values.append((request.central(), value))
        manager.respondToRequest_withResult_(requests[0], result)
        if result == CBATTErrorSuccess:
            for central, value in values:
                self.owner.on_loop(self.owner.written, central, value)

    def peripheralManager_central_didSubscribeToCharacteristic_(
        self, _manager: Any, central: Any, _characteristic: Any
    ) -> None:
        self.owner.on_loop(self.owner.subscribed, central)

    def peripheralManager_central_didUnsubscribeFromCharacteristic_(
        self, _manager: Any, central: Any, _characteristic: Any
    ) -> None:
        self.owner.on_loop(self.owner.unsubscribed, central)

    def peripheralManagerIsReadyToUpdateSubscribers_(self, _: Any) -> None:
        self.owner.on_loop(self.owner.has_room)


def _characteristic(name: str, properties: int, access: int, value: bytes | None = None) -> Any:
    return CBMutableCharacteristic.alloc().initWithType_properties_value_permissions_(
        CBUUID.UUIDWithString_(name),
        properties,
        None if value is None else NSData.dataWithBytes_length_(value, len(value)),
        access,
    )


def _trouble(reason: str) -> RadioTrouble:
    return RadioTrouble(reason, REMEDIES[reason])
