"""The seam between the runtime and anything that can carry frames to a neighbour."""

from collections.abc import Callable
from typing import Protocol

from msgspec import Struct, field

from meshchat.core.events import LinkDown, LinkUp, NewFace, Received, Tell


class TransportStatus(Struct, frozen=True):
    """What a status bar and ``doctor`` say about one transport."""

    name: str
    """``lan`` or ``ble``."""
    on: bool
    reason: str = ""
    """Why it is off, or what limits it: a stable code (``no_interface``, ``isolated``…)."""
    remedy: str = ""
    """One sentence that says what the person can do."""
    detail: dict[str, str | int] = field(default_factory=dict)
    """Facts worth showing: port, interfaces, beacons sent and heard, candidates."""


class Host(Protocol):
    """What a transport may ask of the runtime. Loop thread only."""

    def new_link(self) -> int:
        """A link number never used before."""
        ...

    def post(self, event: LinkUp | LinkDown | Received | NewFace) -> None:
        """Queue an event for the node; it is handled in order, in the next step."""
        ...

    def subscribe(self, callback: "Callable[[Tell | TransportStatus], None]") -> Callable[[], None]:
        """Hear what the node tells from now on; returns what ends that."""
        ...

    def changed(self, status: TransportStatus) -> None:
        """This transport's status is now this."""
        ...


class Transport(Protocol):
    """One way to reach neighbours. ``run`` owns every task and socket it opens."""

    name: str

    async def run(self, host: Host) -> None:
        """Find peers and carry frames until cancelled; clean up in a ``finally``.

        Trouble with the network is a status, not an exception; raises only on bugs and on what
        the user must mend before a start (``TransportError``: a port in use).
        """
        ...

    def send(self, link: int, frames: tuple[bytes, ...]) -> None:
        """Queue frames; unknown or closed links are ignored."""
        ...

    def close(self, link: int, reason: str, kept: int = 0) -> None:
        """End a link after flushing what was sent; no ``LinkDown`` is posted for it.

        ``kept`` is another link to the same node, maybe of another transport, which stays for it.
        """
        ...

    def status(self) -> TransportStatus: ...
