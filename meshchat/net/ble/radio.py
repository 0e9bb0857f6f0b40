"""The seam between the Bluetooth transport and a system's Bluetooth: pipes, sightings, trouble.

A *pipe* carries packets of at most ``payload`` bytes to one device and back. The central makes
pipes by dialling, the peripheral gets them when somebody dials us; both tell an ``Ear``.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from meshchat.errors import TransportError
from meshchat.i18n import N_

REMEDIES = {
    "no_bluetooth": N_(
        "This system offers no Bluetooth to programs: on Linux install and start"
        " BlueZ (systemctl start bluetooth)."
    ),
    "no_adapter": N_(
        "No Bluetooth adapter is there; plug one in. Others are still found on a network."
    ),
    "off": N_("Bluetooth is switched off; switch it on (on Linux: bluetoothctl power on)."),
    "blocked": N_(
        "Bluetooth is blocked by a switch or by flight mode; on Linux: rfkill unblock bluetooth"
    ),
    "no_permission": N_(
        "Programs of this user may not use Bluetooth: allow it for this terminal in"
        " the system's privacy settings, on Linux by the D-Bus policy or the group bluetooth."
    ),
    "no_peripheral": N_(
        "This adapter or its driver cannot be found by others, only look for them:"
        " two such devices never meet. Another adapter helps one of them."
    ),
    "no_central": N_("This adapter cannot look for others, it can only be found."),
    "stuck": N_("Bluetooth does not answer; switch it off and on, or restart its service."),
    "other": N_("Bluetooth refused; the log says more. Switch it off and on."),
}


LIMITS = {
    "no_peripheral": REMEDIES["no_peripheral"],
    "fixed_address": N_(
        "Whoever is near can recognise this device: its Bluetooth address never"
        " changes. Set Privacy = device under [General] in /etc/bluetooth/main.conf and restart"
        " Bluetooth."
    ),
    "names_machine": N_(
        "Bluetooth tells the name of this computer to whoever connects. Give it one that tells"
        " nothing: bluetoothctl system-alias laptop"
    ),
}
"""What is not well although Bluetooth is used."""


class RadioTrouble(TransportError):
    """Bluetooth cannot be used at the moment; ``reason`` is a key of ``REMEDIES``."""


class PipeLost(TransportError):
    """This pipe carries nothing any more."""


class Sighting(Struct, frozen=True):
    """An advert of our service, heard just now."""

    token: bytes
    """6 bytes, or empty where the other system cannot advertise one."""
    rssi: int
    """dBm."""
    device: str
    """What this system calls the device; changes with its address, so never a name of a peer."""


class Adapter(Struct, frozen=True):
    """The adapter in use, as far as it concerns people."""

    name: str
    fixed_address: bool | None
    """Whether the address on the air stays the same for ever; None: the system does not say."""
    findable: bool
    """Whether it can advertise and serve; without, we only dial."""
    own_clock: bool | None = None
    """Whether an address that changes does so by a clock of its own; if not, with each token. None:
    the system does not say."""
    names_machine: bool = False
    """Whether the system gives this machine's name to whoever connects."""

    @property
    def address(self) -> str:
        """What its address on the air does, as a stable code."""
        if self.fixed_address is None:
            return "unknown"
        if self.fixed_address:
            return "fixed"
        return "changes_with_token" if self.own_clock is False else "changes"

    @property
    def limit(self) -> str:
        """What is not well with it, a key of ``LIMITS``; or empty."""
        if not self.findable:
            return "no_peripheral"
        if self.fixed_address:
            return "fixed_address"
        return "names_machine" if self.names_machine else ""


class Pipe(Protocol):
    """One connection. Loop thread only."""

    device: str
    """What this system calls the device at the other end; as in sightings where it can be."""
    outbound: bool
    hangs_up: bool
    """Whether ``close`` ends the connection. Where not, the peer must be asked to."""

    @property
    def payload(self) -> int:
        """Bytes of the largest packet, 20 to 489. May grow in the first moments."""
        ...

    async def send(self, packets: Sequence[bytes]) -> None:
        """Send in order; returns once the system has taken them all.

        Raises:
            PipeLost: It is over; some may have arrived.
        """
        ...

    async def close(self) -> None:
        """End the connection. ``Ear.lost`` is not called for it any more."""
        ...


class Ear(Protocol):
    """What the transport does with what is heard. Called on the loop, must not block."""

    def sighted(self, sighting: Sighting) -> None: ...

    def opened(self, pipe: Pipe) -> None:
        """Somebody dialled us and has written or subscribed."""
        ...

    def received(self, pipe: Pipe, packet: bytes) -> None: ...

    def lost(self, pipe: Pipe, reason: str) -> None: ...

    def trouble(self, trouble: RadioTrouble) -> None:
        """The radio itself is gone, with every pipe."""
        ...


class Central(Protocol):
    """The half that looks for others and dials them."""

    async def scan(self, on: bool) -> None:
        """Start or stop looking.

        Raises:
            RadioTrouble: It is not possible now.
        """
        ...

    async def dial(self, device: str, timeout: float) -> Pipe:
        """Connect to what was sighted, find the characteristics, subscribe. One at a time.

        May be cancelled: then what stands of it already is ended.

        Raises:
            PipeLost: Nobody there, no service of ours, another version (``other_version``).
            RadioTrouble: The adapter itself fails.
        """
        ...

    async def close(self) -> None: ...


class Peripheral(Protocol):
    """The half that is found and dialled; it also knows the state of the adapter."""

    async def look(self) -> Adapter:
        """Which adapter would be used; changes nothing, and needs no ``close``.

        Raises:
            RadioTrouble: None can be used now.
        """
        ...

    async def open(self, ear: Ear) -> Adapter:
        """Offer the service. Not advertised yet.

        Raises:
            RadioTrouble: It is not possible now.
        """
        ...

    async def advertise(self, token: bytes | None, interval_s: float) -> None:
        """Be found under this token, in place of what was advertised before; None: be silent.

        Raises:
            RadioTrouble: It is not possible now.
        """
        ...

    async def close(self) -> None:
        """Withdraw all; may be called at any time and again."""
        ...

    async def changed(self) -> None:
        """Wait until another try to open may succeed; only a hint, for who tries anyway."""
        ...


class Radio(Protocol):
    """Makes both halves, the peripheral first: it knows whether there is an adapter at all."""

    def peripheral(self) -> Peripheral:
        """Raises ``RadioTrouble`` where there is no Bluetooth for programs."""
        ...

    def central(self, ear: Ear, adapter: str) -> Central: ...


async def nothing_changes() -> None:
    """``Peripheral.changed`` where the system gives no signal."""
    await asyncio.get_running_loop().create_future()
