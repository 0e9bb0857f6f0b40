"""The objects that BlueZ asks by D-Bus: a GATT service with three characteristics, the advert."""

from collections.abc import Callable
from typing import Annotated, Any

from dbus_fast import DBusError, PropertyAccess, Variant
from dbus_fast.annotations import (
    DBusBool,
    DBusBytes,
    DBusDict,
    DBusObjectPath,
    DBusSignature,
    DBusStr,
    DBusUInt32,
)
from dbus_fast.service import ServiceInterface, dbus_method, dbus_property

from meshchat.net.ble.gatt import (
    ATT_HEAD_BYTES,
    COMPANY,
    INFO,
    INFO_VALUE,
    RX,
    SERVICE,
    TX,
    VALUE_MAX_BYTES,
)
from meshchat.net.ble.limits import FRAGMENT_MIN_BYTES

ROOT = "/org/meshchat"
ADVERT_MIN_S = 0.02  # what the standard allows
ADVERT_MAX_S = 10.24
_READ = PropertyAccess.READ


class Service(ServiceInterface):
    def __init__(self) -> None:
        super().__init__("org.bluez.GattService1")

    @dbus_property(access=_READ)
    def UUID(self) -> DBusStr:
        return SERVICE

    @dbus_property(access=_READ)
    def Primary(self) -> DBusBool:
        return True


class Characteristic(ServiceInterface):
    def __init__(self, uuid: str, flags: list[str]) -> None:
        super().__init__("org.bluez.GattCharacteristic1")
        self._uuid, self._flags = uuid, flags

    @dbus_property(access=_READ)
    def UUID(self) -> DBusStr:
        return self._uuid

    @dbus_property(access=_READ)
    def Service(self) -> DBusObjectPath:
        return f"{ROOT}/s"

    @dbus_property(access=_READ)
    def Flags(self) -> Annotated[list[str], DBusSignature("as")]:
        return self._flags


class Info(Characteristic):
    def __init__(self) -> None:
        super().__init__(INFO, ["read"])

    @dbus_method()
    def ReadValue(self, options: DBusDict) -> DBusBytes:
        return INFO_VALUE[_option(options, "offset", 0) :]


class Rx(Characteristic):
    def __init__(self, written: Callable[[str, int, bytes], None]) -> None:
        super().__init__(RX, ["write", "write-without-response"])
        self._written = written

    @dbus_method()
    def WriteValue(self, value: DBusBytes, options: DBusDict) -> None:
        if _option(options, "offset", 0) or len(value) > VALUE_MAX_BYTES:
            raise DBusError("org.bluez.Error.InvalidOffset", "whole values only")
        self._written(_device(options), _option(options, "mtu", 0), bytes(value))


class Tx(Characteristic):
    def __init__(self, subscribed: Callable[[str, int], int]) -> None:
        super().__init__(TX, ["notify"])
        self._subscribed = subscribed

    @dbus_property(access=_READ)
    def NotifyAcquired(self) -> DBusBool:
        return False  # that we have it tells BlueZ to ask for sockets

    @dbus_method()
    def AcquireNotify(self, options: DBusDict) -> Annotated[tuple[int, int], DBusSignature("hq")]:
        mtu = _option(options, "mtu", FRAGMENT_MIN_BYTES + ATT_HEAD_BYTES)
        return self._subscribed(_device(options), mtu), mtu


class Advertisement(ServiceInterface):
    """Never set ``self.name``: dbus-fast keeps the interface's name there, and BlueZ would
    advertise nothing without a word."""

    _count = 0

    def __init__(
        self, token: bytes, interval_s: float, released: Callable[["Advertisement"], None]
    ) -> None:
        super().__init__("org.bluez.LEAdvertisement1")
        type(self)._count += 1
        self.path = f"{ROOT}/a{self._count}"
        self._token, self._released = token, released
        bounded = min(max(interval_s, ADVERT_MIN_S), ADVERT_MAX_S)
        self._interval_ms = int(1000 * bounded)

    @dbus_property(access=_READ)
    def Type(self) -> DBusStr:
        return "peripheral"

    @dbus_property(access=_READ)
    def ServiceUUIDs(self) -> Annotated[list[str], DBusSignature("as")]:
        return [SERVICE]

    @dbus_property(access=_READ)
    def ManufacturerData(self) -> Annotated[dict[int, Variant], DBusSignature("a{qv}")]:
        return {COMPANY: Variant("ay", self._token)}

    @dbus_property(access=_READ)
    def MinInterval(self) -> DBusUInt32:
        return self._interval_ms

    @dbus_property(access=_READ)
    def MaxInterval(self) -> DBusUInt32:
        return self._interval_ms * 3 // 2

    @dbus_method()
    def Release(self) -> None:
        self._released(self)


def _device(options: dict[str, Variant]) -> str:
    device: str = _option(options, "device", "")
    if not device:
        raise DBusError("org.bluez.Error.Failed", "no device")
    return device


def _option(options: dict[str, Variant], name: str, default: Any) -> Any:
    held = options.get(name)
    return held.value if held is not None and isinstance(held.value, type(default)) else default
