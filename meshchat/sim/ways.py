"""Ways between nodes: when two of them can hear each other, and what they want to say.

The one form in which contact traces, movement and timed groups reach the world and the oracle.
"""

import heapq
from collections.abc import Iterable, Iterator
from typing import NamedTuple


class Change(NamedTuple):
    """A way between two nodes opens or closes.

    Streams of changes are in order of ``at``; at one instant closings come before openings, and
    a way that is open does not open again.
    """

    at: float
    """Seconds since the start of the world."""
    up: bool
    a: int
    b: int
    """``a < b``."""
    way: str
    """Names a ``Radio`` of the world."""


class Contact(NamedTuple):
    """Two nodes can hear each other while ``start <= t < end``; ``a < b``."""

    start: float
    end: float
    a: int
    b: int


class Wanted(NamedTuple):
    """One wished delivery."""

    created: float
    """Seconds since the start of the world."""
    src: int
    dst: int
    size: int
    """Bytes of text or file."""
    ttl: float
    """Seconds; it counts as delivered when all of it is there by ``created + ttl``."""


def changes(contacts: Iterable[Contact], way: str = "sim") -> Iterator[Change]:
    """Contacts in order of start as a stream of changes."""
    ends: list[tuple[float, int, int]] = []
    for start, end, a, b in contacts:
        while ends and ends[0][0] <= start:
            at, one, other = heapq.heappop(ends)
            yield Change(at, False, one, other, way)
        yield Change(start, True, a, b, way)
        heapq.heappush(ends, (end, a, b))
    while ends:
        at, one, other = heapq.heappop(ends)
        yield Change(at, False, one, other, way)


def merged(*streams: Iterable[Change]) -> Iterator[Change]:
    """Several ordered streams as one."""
    return heapq.merge(*streams, key=lambda change: change[:2])
