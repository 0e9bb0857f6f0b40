"""What the policy wants of a radio. Pure."""

from collections.abc import Hashable

from msgspec import Struct


class Advertise(Struct, frozen=True):
    """Be heard, with this token, so often; replaces what was advertised. None: be silent."""

    token: bytes | None
    every_s: float = 0.0


class Scan(Struct, frozen=True):
    """Listen, or stop."""

    on: bool


class Dial(Struct, frozen=True):
    """Connect; answer with ``dialled`` or ``dial_failed``. Never two at once."""

    address: Hashable
    """As the sighting had it."""
    token: bytes
    """Of its advert; empty if it had none."""


class CancelDial(Struct, frozen=True):
    """Stop connecting; no answer is wanted. If it stands already, end it."""


class Close(Struct, frozen=True):
    """End a link. ``turned_away`` is told to the peer (``Framer.bye``); no ``link_down`` is
    wanted for it."""

    link: int
    reason: str


class Rotate(Struct, frozen=True):
    """From now on this token and another node key, in this instant; and another address where
    a system lets programs choose, which none does yet.

    Our links were closed and nothing is advertised.
    """

    token: bytes


Action = Advertise | Scan | Dial | CancelDial | Close | Rotate
