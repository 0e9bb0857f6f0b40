"""Traffic shape: when what we wrote is first offered, and envelopes for nobody.

Whoever offers an envelope first is probably its author. So our own mail to people goes at once
only to those it is for, if they are our neighbours; everybody else hears of it after a random
while, half of the time through one neighbour first, as of mail we carry for others. Rooms are for
everybody who is there, and talk in them is quick: their posts do not wait.
"""

import heapq
import struct
from collections.abc import Collection, Iterable

from msgspec import Struct

from meshchat.core.model import Held, Now
from meshchat.core.ports import Entropy

COVER_SPREAD = (0.5, 1.5)  # of the mean: no clock shows in the gaps


class Shape(Struct, frozen=True):
    """What our user pays for being harder to watch."""

    handover_s: float = 0.0
    """Our own mail to people is offered within so long to all but its readers; 0: at once."""
    cover_s: float = 0.0
    """An envelope for nobody every so often on average; 0: none."""


class Handover:
    """Envelopes of ours that wait to be offered. A restart offers what it finds."""

    def __init__(self, entropy: Entropy, shape: Shape, now: Now) -> None:
        self._entropy = entropy
        self._shape = shape
        self._planned: list[tuple[float, int, bytes, bool]] = []  # True: for one neighbour first
        self._stems: set[bytes] = set()  # those that one has heard of
        self._count = 0
        self.held: dict[bytes, tuple[int, Collection[bytes]]] = {}
        """Those that wait: hint, and the fingerprints of the readers."""
        self.cover_at = self._next_cover(now)

    def hold(self, held: Held, readers: Collection[bytes], now: Now) -> bool:
        """Plan when to offer something new of ours. False: at once."""
        if not self._shape.handover_s or not readers:
            return False
        self.held[held.eid] = held.hint, readers
        self._plan(held.eid, self._share() < 0.5, now)
        return True

    def _plan(self, eid: bytes, by_one: bool, now: Now) -> None:
        """In two steps of half the time through one neighbour first, or in one."""
        self._count += 1
        most = (
            self._shape.handover_s / 2 if by_one or eid in self._stems else self._shape.handover_s
        )
        at = now.mono + most * self._share()
        heapq.heappush(self._planned, (at, self._count, eid, by_one))

    def _share(self) -> float:
        number: int = struct.unpack("<H", self._entropy.bytes(2))[0]
        return number / 65_536

    def drop(self, eids: Iterable[bytes]) -> None:
        """These are gone before they were offered."""
        for eid in eids:
            self.held.pop(eid, None)
            self._stems.discard(eid)

    def due(self, now: Now) -> list[tuple[bytes, int, bool]]:
        """``(id, hint, whether one neighbour alone shall hear)`` of those whose time has come."""
        found: list[tuple[bytes, int, bool]] = []
        while self._planned and self._planned[0][0] <= now.mono:
            _, _, eid, by_one = heapq.heappop(self._planned)
            if eid not in self.held:
                continue
            hint, _ = self.held[eid]
            if by_one:
                self._stems.add(eid)
                self._plan(eid, False, now)
            else:
                self.drop((eid,))
            found.append((eid, hint, by_one))
        return found

    def cover_due(self, now: Now) -> bool:
        """Whether it is time for an envelope for nobody; plans the next."""
        if self.cover_at is None or now.mono < self.cover_at:
            return False
        self.cover_at = self._next_cover(now)
        return True

    def _next_cover(self, now: Now) -> float | None:
        low, high = COVER_SPREAD
        mean = self._shape.cover_s
        return now.mono + mean * (low + (high - low) * self._share()) if mean else None

    def next_wakeup(self) -> float | None:
        """Monotonic time at which something is due."""
        if not self._planned:
            return self.cover_at
        planned = self._planned[0][0]
        return planned if self.cover_at is None else min(planned, self.cover_at)
