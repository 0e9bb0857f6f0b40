"""Between a transport and the node: paths to neighbours, and frames on them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinkUp:
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


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The path is gone. Nothing more may be sent on it."""

    link: int
    reason: str = "lost"


@dataclass(frozen=True, slots=True)
class Received:
    """Whole frames from a neighbour, in order."""

    link: int
    frames: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class NewFace:
    """A radio shows another name and address from now on, and its links have ended.

    If nothing is linked any more, the node key changes with them: it would tie the old to the
    new.
    """


@dataclass(frozen=True, slots=True)
class SendFrames:
    link: int
    frames: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class CloseLink:
    """End a link, after what was sent before. No ``LinkDown`` is expected back."""

    link: int
    reason: str
    kept: int = 0
    """Another link to the same node, which stays for it; 0: none."""
