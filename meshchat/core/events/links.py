"""Between a transport and the node: paths to neighbours, and frames on them."""

from msgspec import Struct


class LinkUp(Struct, frozen=True):
    """A transport has a path to a neighbour; nothing has been said on it yet."""

    link: int
    """Chosen by the driver, never reused while the node lives."""
    transport: str
    """``lan``, ``ble`` or ``sim``."""
    outbound: bool
    """True if our side dialled; the dialler speaks first."""
    mtu: int
    """Largest frame in bytes the path carries, 256 to 16,640."""
    prologue: bytes
    """What both sides must agree on before the handshake (docs/reference/wire.md, "Links")."""
    origin: bytes
    """Stands for the physical neighbour (an address), for budgets. Opaque, at most 64 bytes."""
    supervised: bool = False
    """The transport itself notices within seconds that the neighbour is gone, as Bluetooth's
    link layer does: keep-alives would only cost air."""


class LinkDown(Struct, frozen=True):
    """The path is gone. Nothing more may be sent on it."""

    link: int
    reason: str = "lost"


class Received(Struct, frozen=True):
    """Whole frames from a neighbour, in order."""

    link: int
    frames: tuple[bytes, ...]


class NewFace(Struct, frozen=True):
    """A radio shows another name and address from now on, and its links have ended.

    If nothing is linked any more, the node key changes with them: it would tie the old to the
    new.
    """


class SendFrames(Struct, frozen=True):
    link: int
    frames: tuple[bytes, ...]


class CloseLink(Struct, frozen=True):
    """End a link, after what was sent before. No ``LinkDown`` is expected back."""

    link: int
    reason: str
    kept: int = 0
    """Another link to the same node, which stays for it; 0: none."""
