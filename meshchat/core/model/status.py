"""Facts about a running node, for status bars and scripts."""

from collections.abc import Sequence

from msgspec import Struct

from meshchat.text import Clean


class Neighbour(Struct, frozen=True):
    """A live link, for status and screens."""

    link: int
    transport: str
    contact: bytes
    """Fingerprint when the peer proved to be a contact, else empty."""
    since: float
    """Wall time the link opened."""
    outbound: bool
    sent_bytes: int
    received_bytes: int
    tag: str
    """Four characters of the peer's throw-away node key."""


class CustodyStatus(Struct, frozen=True):
    """What we hold, in total and for whom."""

    own: int
    mine: int
    carried: int
    size_bytes: int
    quota_bytes: int
    proofs: int
    untried: int
    """Stored, but not yet checked for being addressed to us."""


class NodeStatus(Struct, frozen=True):
    """Everything ``status`` says about the node itself."""

    fp: bytes
    name: Clean
    neighbours: Sequence[Neighbour]
    custody: CustodyStatus
    queued: int
    """Outgoing messages nobody has taken custody of yet."""
    carried: int
    """Outgoing messages on their way."""
    counters: dict[str, int]
    """Dropped input by reason code, links opened, envelopes stored and so on, since start."""
