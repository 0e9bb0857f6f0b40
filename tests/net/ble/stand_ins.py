"""Stand-ins for what pyobjc and winrt offer, as far as our peripherals use it.

They answer as the vendors' documentation says. No machine of either kind has confirmed it.
"""

import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def modules(**made: dict[str, Any]) -> Iterator[None]:
    """Put modules in place; names have ``__`` for dots."""
    names = {name.replace("__", "."): members for name, members in made.items()}
    ours = ["meshchat.net.ble.peripheral_corebluetooth", "meshchat.net.ble.peripheral_winrt"]
    before = {name: sys.modules.get(name) for name in [*names, *ours]}
    try:
        for name, members in names.items():
            module = types.ModuleType(name)
            module.__path__ = []
            module.__dict__.update(members)
            sys.modules[name] = module
        for name in ours:
            sys.modules.pop(name, None)
        yield
    finally:
        for name, module in before.items():
            sys.modules.pop(name, None)
            if module is not None:
                sys.modules[name] = module


# --- macOS ---------------------------------------------------------------------------------------


class Allocated:
    """``alloc().init…``."""

    @classmethod
    def alloc(cls) -> Any:
        return cls()

    def init(self) -> Any:
        return self


class NSObject(Allocated):
    def __init_subclass__(cls, protocols: Any = (), **rest: Any) -> None:
        super().__init_subclass__(**rest)


class NSData:
    @staticmethod
    def dataWithBytes_length_(data: bytes, size: int) -> bytes:
        assert len(data) == size
        return data


class UUIDs:
    @staticmethod
    def UUIDWithString_(text: str) -> str:
        return text


class Characteristic(Allocated):
    def initWithType_properties_value_permissions_(
        self, kind: str, properties: int, value: Any, permissions: int
    ) -> Any:
        self.kind, self.properties, self.value = kind, properties, value
        return self


class Service(Allocated):
    def initWithType_primary_(self, kind: str, primary: bool) -> Any:
        self.kind, self.primary = kind, primary
        return self

    def setCharacteristics_(self, characteristics: list[Characteristic]) -> None:
        self.characteristics = characteristics


class Manager(Allocated):
    """The one that the test holds is the last one made."""

    last: "Manager"
    first_state = 5

    def initWithDelegate_queue_(self, delegate: Any, queue: Any) -> Any:
        type(self).last = self
        self.delegate = delegate
        self.services: list[Service] = []
        self.advertised: Any = None
        self.answers: list[int] = []
        self.sent: list[tuple[bytes, list[Any]]] = []
        self.room = 10**9
        self.become(self.first_state)
        return self

    def become(self, state: int) -> None:
        self._state = state
        self.delegate.peripheralManagerDidUpdateState_(self)

    def state(self) -> int:
        return self._state

    def addService_(self, service: Service) -> None:
        self.services.append(service)

    def removeAllServices(self) -> None:
        self.services.clear()

    def startAdvertising_(self, data: Any) -> None:
        self.advertised = data

    def stopAdvertising(self) -> None:
        self.advertised = None

    def respondToRequest_withResult_(self, request: Any, result: int) -> None:
        self.answers.append(result)

    def updateValue_forCharacteristic_onSubscribedCentrals_(
        self, value: bytes, characteristic: Any, centrals: list[Any]
    ) -> bool:
        if len(self.sent) >= self.room:
            return False
        self.sent.append((value, centrals))
        return True


class MacCentral:
    """Somebody who dialled the Mac."""

    def __init__(self, name: str, room: int = 512) -> None:
        self.name, self.room = name, room

    def identifier(self) -> Any:
        return self

    def UUIDString(self) -> str:
        return self.name

    def maximumUpdateValueLength(self) -> int:
        return self.room


class WriteRequest:
    def __init__(self, central: MacCentral, value: bytes, offset: int = 0) -> None:
        self._central, self._value, self._offset = central, value, offset

    def central(self) -> MacCentral:
        return self._central

    def value(self) -> bytes:
        return self._value

    def offset(self) -> int:
        return self._offset


def mac() -> Any:
    """A Mac's modules."""
    numbers = {
        "CBATTErrorSuccess": 0,
        "CBATTErrorInvalidOffset": 7,
        "CBATTErrorInsufficientResources": 17,
        "CBAttributePermissionsReadable": 1,
        "CBAttributePermissionsWriteable": 2,
        "CBCharacteristicPropertyRead": 2,
        "CBCharacteristicPropertyWriteWithoutResponse": 4,
        "CBCharacteristicPropertyWrite": 8,
        "CBCharacteristicPropertyNotify": 16,
        "CBManagerStateUnsupported": 2,
        "CBManagerStateUnauthorized": 3,
        "CBManagerStatePoweredOff": 4,
        "CBManagerStatePoweredOn": 5,
    }
    return modules(
        objc={"protocolNamed": lambda name: name},
        Foundation={"NSObject": NSObject, "NSData": NSData},
        libdispatch={"DISPATCH_QUEUE_SERIAL": None, "dispatch_queue_create": lambda *_: object()},
        CoreBluetooth={
            **numbers,
            "CBAdvertisementDataServiceUUIDsKey": "uuids",
            "CBUUID": UUIDs,
            "CBMutableCharacteristic": Characteristic,
            "CBMutableService": Service,
            "CBPeripheralManager": Manager,
        },
    )


# --- Windows -------------------------------------------------------------------------------------


class Names:
    """An enumeration whose members are their own names."""

    def __init__(self, *names: str) -> None:
        for n, name in enumerate(names):
            setattr(self, name, 1 << n)


class Events:
    """Something with ``add_X`` and ``remove_X``; ``fire`` calls what was added."""

    def __init__(self) -> None:
        self._handlers: dict[str, dict[int, Any]] = {}

    def __getattr__(self, name: str) -> Any:
        kind, _, event = name.partition("_")
        if kind == "add":

            def add(handler: Any) -> int:
                held = self._handlers.setdefault(event, {})
                held[len(held) + 1] = handler
                return len(held)

            return add
        if kind == "remove":
            return lambda token: self._handlers[event].pop(token)
        raise AttributeError(name)

    def fire(self, event: str, args: Any = None) -> None:
        for handler in list(self._handlers.get(event, {}).values()):
            handler(self, args)

    def listeners(self) -> int:
        return sum(map(len, self._handlers.values()))


class WinRadio(Events):
    def __init__(self) -> None:
        super().__init__()
        self.state = 1


class WinCharacteristic(Events):
    def __init__(self, name: str, parameters: Any) -> None:
        super().__init__()
        self.name, self.parameters = name, parameters
        self.subscribed_clients: list[Any] = []
        self.sent: list[tuple[bytes, Any]] = []
        self.status = 1

    async def notify_value_for_subscribed_client_async(self, value: Any, client: Any) -> Any:
        self.sent.append((bytes(value), client))
        return types.SimpleNamespace(status=self.status)


class WinService:
    def __init__(self) -> None:
        self.characteristics: list[WinCharacteristic] = []

    async def create_characteristic_async(self, name: Any, parameters: Any) -> Any:
        made = WinCharacteristic(str(name), parameters)
        self.characteristics.append(made)
        return types.SimpleNamespace(error=1, characteristic=made)


class WinProvider(Events):
    last: "WinProvider"

    def __init__(self) -> None:
        super().__init__()
        type(self).last = self
        self.service = WinService()
        self.advertised: Any = None

    @classmethod
    async def create_async(cls, name: Any) -> Any:
        return types.SimpleNamespace(error=1, service_provider=cls())

    def start_advertising_with_parameters(self, parameters: Any) -> None:
        self.advertised = parameters

    def stop_advertising(self) -> None:
        self.advertised = None


class WinSession(Events):
    def __init__(self, name: str, room: int = 517) -> None:
        super().__init__()
        self.device_id = types.SimpleNamespace(id=name)
        self.max_pdu_size = room


class WinWrite:
    """The arguments of a write that was asked for."""

    def __init__(self, session: WinSession, value: bytes, option: int = 1, offset: int = 0) -> None:
        self.session = session
        self.value, self.option, self.offset = value, option, offset
        self.answer: Any = None
        self.done = False

    def get_deferral(self) -> Any:
        return self

    def complete(self) -> None:
        self.done = True

    async def get_request_async(self) -> Any:
        return self

    def respond(self) -> None:
        self.answer = 0

    def respond_with_protocol_error(self, code: int) -> None:
        self.answer = code


class Buffer(bytearray):
    """Its length is settable, as in WinRT; the bytes are there from the start."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.capacity = capacity
        self.length = 0


class WinAdapter:
    """What the test may change: ``there``, ``radio``, ``can_serve``."""

    there = True
    radio: WinRadio
    can_serve = True
    is_low_energy_supported = True
    is_central_role_supported = True

    @classmethod
    async def get_default_async(cls) -> Any:
        return cls() if cls.there else None

    @property
    def is_peripheral_role_supported(self) -> bool:
        return type(self).can_serve

    async def get_radio_async(self) -> WinRadio:
        return type(self).radio


def windows() -> Any:
    """A Windows machine's modules, with a radio that is on."""
    WinAdapter.there, WinAdapter.radio, WinAdapter.can_serve = True, WinRadio(), True
    errors = Names(
        "SUCCESS",
        "RADIO_NOT_AVAILABLE",
        "DISABLED_BY_USER",
        "DISABLED_BY_POLICY",
        "CONSENT_REQUIRED",
        "NOT_SUPPORTED",
    )
    return modules(
        winrt={},
        winrt__windows={},
        winrt__windows__devices={},
        winrt__windows__storage={},
        winrt__windows__storage__streams={"Buffer": Buffer},
        winrt__windows__devices__radios={"RadioState": Names("ON", "OFF", "DISABLED")},
        winrt__windows__devices__bluetooth={
            "BluetoothAdapter": WinAdapter,
            "BluetoothError": errors,
        },
        winrt__windows__devices__bluetooth__genericattributeprofile={
            "GattCharacteristicProperties": Names(
                "READ", "WRITE", "WRITE_WITHOUT_RESPONSE", "NOTIFY"
            ),
            "GattCommunicationStatus": Names("SUCCESS", "UNREACHABLE"),
            "GattLocalCharacteristicParameters": types.SimpleNamespace,
            "GattProtectionLevel": Names("PLAIN"),
            "GattServiceProvider": WinProvider,
            "GattServiceProviderAdvertisementStatus": Names("STARTED", "ABORTED"),
            "GattServiceProviderAdvertisingParameters": types.SimpleNamespace,
            "GattSessionStatus": Names("ACTIVE", "CLOSED"),
            "GattWriteOption": Names("WRITE_WITH_RESPONSE", "WRITE_WITHOUT_RESPONSE"),
        },
    )
