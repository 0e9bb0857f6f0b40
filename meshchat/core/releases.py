"""Proofs that no neighbour may know of yet: those of our own receipts, until their time has come.

Until then we offer, take and serve like any carrier: no neighbour can tell.
"""

import heapq

from meshchat.core.limits import RELEASE_AHEAD_MAX_S
from meshchat.core.model import Now, Proof
from meshchat.core.ports import Store


class Releases:
    """When each of them may show, on one node."""

    def __init__(self, store: Store, now: Now) -> None:
        self._store = store
        self.hidden: set[bytes] = set()
        """``done`` of each of them."""
        self._planned: list[tuple[float, int, bytes]] = []  # wall time, turn, ``done``
        self._count = 0
        self._at: float | None = None
        self._caught_up = False  # True once those that fell due before the start have shown
        shown = set(store.released(now.wall))
        for done in store.released(now.wall + RELEASE_AHEAD_MAX_S):
            proof = store.proof(done) if done not in shown else None
            if proof is not None:
                self.plan(proof, now)

    def plan(self, proof: Proof, now: Now) -> None:
        """Hide it until its time."""
        self.hidden.add(proof.done)
        self._count += 1  # of two due at once the first planned goes first: no order by content
        heapq.heappush(self._planned, (proof.release_at, self._count, proof.done))
        self._set_alarm(now)

    def _set_alarm(self, now: Now) -> None:
        """Worked out against both clocks: what is due by one is waited for by the other."""
        self._at = now.mono + (self._planned[0][0] - now.wall) + 0.01 if self._planned else None

    def next_wakeup(self) -> float | None:
        """Monotonic time at which something is due."""
        return self._at

    def due(self, now: Now) -> list[bytes]:
        """``done`` of those that may show now: they are not hidden any more."""
        found: dict[bytes, None] = {}
        if not self._caught_up:
            self._caught_up = True
            found = dict.fromkeys(self._store.released(now.wall))
        planned = self._planned
        while planned and planned[0][0] <= now.wall:
            found[heapq.heappop(planned)[2]] = None
        last = now.wall + RELEASE_AHEAD_MAX_S
        if planned and max(planned)[0] > last:  # the clock was set back after that was planned
            in_order = sorted(planned)
            self._planned = [entry for entry in in_order if entry[0] <= last]
            found.update((done, None) for at, _, done in in_order if at > last)
        self.hidden.difference_update(found)
        self._set_alarm(now)
        return list(found)
