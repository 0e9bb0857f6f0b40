"""What the policy wants of a radio. Pure."""

from collections.abc import Hashable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Advertise:
    """Be heard, with this token, so often; replaces what was advertised. None: be silent."""

    token: bytes | None
    every_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Scan:
    """Listen, or stop."""

    on: bool


@dataclass(frozen=True, slots=True)
class Dial:
    """Connect; answer with ``dialled`` or ``dial_failed``. Never two at once."""

    address: Hashable
    """As the sighting had it."""
    token: bytes
    """Of its advert; empty if it had none."""


@dataclass(frozen=True, slots=True)
class CancelDial:
    """Stop connecting; no answer is wanted. If it stands already, end it."""


@dataclass(frozen=True, slots=True)
class Close:
    """End a link. ``turned_away`` is told to the peer (``Framer.bye``); no ``link_down`` is
    wanted for it."""

    link: int
    reason: str


@dataclass(frozen=True, slots=True)
class Rotate:
    """From now on this token and another node key, in this instant; and another address where
    a system lets programs choose, which none does yet.

    Our links were closed and nothing is advertised.
    """

    token: bytes


Action = Advertise | Scan | Dial | CancelDial | Close | Rotate
