"""What a profile's settings mean for its node, and the ways to reach others they ask for."""

from collections.abc import Callable

from msgspec import Struct

from meshchat.config import RuntimeOptions, split_address
from meshchat.core.identity import closed_mesh_key
from meshchat.core.limits import COVER_EVERY_S, HANDOVER_S, Limits
from meshchat.core.model import Now
from meshchat.core.node import Node
from meshchat.core.shape import Shape
from meshchat.net.ble.battery import battery
from meshchat.net.transport import Transport
from meshchat.store import SqlStore
from meshchat.system import SystemEntropy


class NodeSettings(Struct, frozen=True):
    """What a profile's settings mean for its Node."""

    psk: bytes | None
    limits: Limits
    receipts: bool
    shape: Shape

    @classmethod
    def of(cls, options: RuntimeOptions) -> "NodeSettings":
        """Slow where the mesh has a passphrase (0.3 s): not on a loop somebody waits for.

        Raises:
            UsageError: The passphrase of the closed mesh cannot be used.
        """
        psk = closed_mesh_key(options.mesh_passphrase) if options.mesh_passphrase else None
        limits = Limits(store_bytes=options.store_megabytes * 1_048_576)
        powered = battery() is None  # radio time for nobody is not worth a battery
        cover_s = COVER_EVERY_S * (options.cover and powered)
        shape = Shape(HANDOVER_S * options.handover, cover_s)
        return cls(psk, limits, options.receipts, shape)

    def builder(self, store: SqlStore) -> Callable[[Now], Node]:
        """What makes the Node, at the start and after a failed commit."""
        given = self.psk, self.limits, self.receipts, None, self.shape
        return lambda now: Node(store, SystemEntropy(), now, *given)


def transports(options: RuntimeOptions) -> list[Transport]:
    """The ways to reach neighbours that these settings ask for.

    Raises:
        UsageError: An address in them makes no sense.
    """
    found: list[Transport] = []
    if options.lan:
        from meshchat.net.lan import LanTransport

        found.append(
            LanTransport(
                listen=split_address(options.listen) if options.listen else None,
                peers=options.peers,
                discover=options.discover,
                interfaces=options.interfaces,
            )
        )
    if options.ble:
        from meshchat.net.ble.transport import BleTransport

        found.append(BleTransport(options.ble_profile, options.ble_adapter))
    return found
