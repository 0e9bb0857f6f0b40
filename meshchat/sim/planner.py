"""Plans real transfers for many deliveries, knowing every contact to come."""

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import NamedTuple

from msgspec import Struct

from meshchat.sim.ways import Contact, Wanted

NEVER = float("inf")

Chance = tuple[float, float, int, int, float]
"""A contact with its rate: ``(start, end, a, b, rate)``."""


class Transfer(NamedTuple):
    """One hop of a planned delivery. Both nodes do nothing else from ``start`` to ``end``."""

    start: float
    end: float
    src: int
    dst: int


def schedule(
    contacts: Iterable[Contact],
    wanted: Sequence[Wanted],
    nodes: int,
    rate: float | Sequence[float],
    buffer: int | None,
) -> list[list[Transfer]]:
    """Transfers for each delivery: those created first choose first, each the earliest arrival.

    One copy each. A node is in one transfer at a time. A transfer fits into one contact and is
    not resumed. A copy takes room on a node from the start of its transfer there to the end of
    the transfer onward, at the destination to the end of its transfer there; what a node has
    written itself takes no room on it.

    Args:
        contacts: In any order.
        wanted: In any order.
        nodes: Every node is below this number.
        rate: Bytes per second in a contact, or one rate for each contact; 0 for no bound.
        buffer: Bytes that a node holds for others; None for no bound.

    Returns:
        By delivery its hops in order; none if it cannot be delivered in time.
    """
    contacts = list(contacts)
    rates = [rate] * len(contacts) if isinstance(rate, int | float) else rate
    chances = sorted((*contact, each) for contact, each in zip(contacts, rates, strict=True))
    planner = _Planner(chances, nodes, NEVER if buffer is None else buffer)
    plans: list[list[Transfer]] = [[] for _ in wanted]
    for which in sorted(range(len(wanted)), key=lambda which: wanted[which].created):
        if wanted[which].src != wanted[which].dst:
            plans[which] = planner.plan(wanted[which])
    return plans


class _Stay(Struct, eq=False):
    """A copy of the delivery being planned is on a node, ready to go on."""

    node: int
    since: float
    """When all of it is there."""
    until: float
    """When it must have gone on: from then on the node has no room for it."""
    hops: int
    came: Transfer | None
    before: "_Stay | None"


class _Room:
    """What is booked on one node: its transfers, and the bytes that it holds."""

    __slots__ = ("ends", "marks", "peak", "starts")

    def __init__(self) -> None:
        self.starts: list[float] = []
        self.ends: list[float] = []
        self.marks: list[tuple[float, int]] = []  # (at, bytes more or less)
        self.peak = 0

    def free(self, at: float, took: float) -> float:
        """The first time from ``at`` on when there is no transfer for ``took`` seconds."""
        ends = self.ends
        if not ends or at >= ends[-1]:
            return at
        for index in range(bisect_right(ends, at), len(ends)):
            if self.starts[index] >= at + took:
                break
            at = ends[index]
        return at

    def busy(self, transfer: Transfer) -> None:
        """Book a transfer."""
        insort(self.starts, transfer.start)
        insort(self.ends, transfer.end)

    def hold(self, size: int, since: float, until: float) -> None:
        """Book storage."""
        insort(self.marks, (since, size))
        insort(self.marks, (until, -size))
        self.peak = max(accumulate(change for _, change in self.marks))

    def gaps(self, most: float) -> list[tuple[float, float]]:
        """The times, as long as can be, when at most ``most`` bytes are held."""
        if self.peak <= most:
            return [(-NEVER, NEVER)]
        found: list[tuple[float, float]] = []
        held, since = 0, -NEVER
        for at, change in self.marks:
            was, held = held, held + change
            if was <= most < held and at > since:
                found.append((since, at))
            elif held <= most < was:
                since = at
        return [*found, (since, NEVER)] if most >= 0 else []


class _Planner:
    """Finds the earliest arrival in what earlier bookings leave, and books it."""

    def __init__(self, contacts: list[Chance], nodes: int, buffer: float) -> None:
        self._contacts = contacts
        self._starts = [contact[0] for contact in contacts]
        self._buffer = buffer
        self._rooms = [_Room() for _ in range(nodes)]
        # By node its contacts in order of start, and the latest end among these so far: what is
        # open at a time is found by going back from there until all have ended.
        self._own: list[list[Chance]] = [[] for _ in range(nodes)]
        for contact in contacts:
            self._own[contact[2]].append(contact)
            self._own[contact[3]].append(contact)
        self._own_starts = [[contact[0] for contact in own] for own in self._own]
        self._own_ends = [
            list(accumulate((contact[1] for contact in own), max)) for own in self._own
        ]

    def plan(self, want: Wanted) -> list[Transfer]:
        """Find a delivery's transfers and book them; empty if there is no way in time."""
        stay = self._find(want)
        plan: list[Transfer] = []
        gone = -NEVER
        while stay is not None and stay.came is not None:
            room = self._rooms[stay.node]
            room.hold(want.size, stay.came.start, gone if plan else stay.since)
            room.busy(stay.came)
            self._rooms[stay.came.src].busy(stay.came)
            gone = stay.came.end
            plan.append(stay.came)
            stay = stay.before
        return plan[::-1]

    def _find(self, want: Wanted) -> _Stay | None:
        """The earliest stay at the destination, and through ``before`` how it comes there.

        Goes through the contacts in order of start; a heap holds the arrivals still to come.
        """
        contacts, have = self._contacts, bytearray(len(self._rooms))
        search = _Search(want, self._rooms, self._buffer)
        index, last = bisect_left(self._starts, want.created), len(contacts)
        coming = search.coming
        heapq.heappush(coming, (want.created, 0, 0, search.begin()))
        while coming or index < last:
            upto, final = coming[0][0] if coming else NEVER, search.end
            while index < last:
                start, end, a, b, rate = contacts[index]
                if start >= upto or start > final:
                    break
                index += 1
                # Two that can keep what they have gain nothing from each other.
                if have[a] != have[b] or have[a] == 2:
                    search.meet(a, b, start, end, rate)
                    search.meet(b, a, start, end, rate)
                    if coming and coming[0][0] < upto:
                        upto, final = coming[0][0], search.end
            if not coming:
                break
            stay = heapq.heappop(coming)[-1]
            if not search.settle(stay):
                continue
            node, now = stay.node, stay.since
            if node == want.dst:
                return stay
            have[node] = 1 if stay.until == NEVER else 2
            own, ends = self._own[node], self._own_ends[node]
            at = bisect_right(self._own_starts[node], now) - 1
            while at >= 0 and ends[at] > now:
                start, end, a, b, rate = own[at]
                if end > now:
                    search.meet(node, a + b - node, start, end, rate)
                at -= 1
        return None


class _Search:
    """The search for one delivery's way: where copies of it could be."""

    def __init__(self, want: Wanted, rooms: list[_Room], buffer: float) -> None:
        self._want = want
        self._rooms = rooms
        self._most = buffer - want.size
        self._stays: dict[int, _Stay] = {}
        self.coming: list[tuple[float, int, int, _Stay]] = []
        """Heap of ``(when, hops, number, stay)``."""
        self.end = want.created + want.ttl
        """Nothing after this is of use."""
        self._made = 0

    def begin(self) -> _Stay:
        """At the source."""
        return _Stay(self._want.src, self._want.created, NEVER, 0, None, None)

    def settle(self, stay: _Stay) -> bool:
        """Whether a stay that begins now is the first in this stretch of room on its node."""
        known = self._stays.get(stay.node)
        if known and stay.came and known.until > stay.came.start:
            return False
        self._stays[stay.node] = stay
        return True

    def meet(self, giver: int, taker: int, start: float, end: float, rate: float) -> None:
        """Note what the giver can hand to the taker in this contact."""
        stay, known = self._stays.get(giver), self._stays.get(taker)
        if stay is None or (known is not None and known.until >= end):
            return
        took = self._want.size / rate if rate else 0.0
        first = max(stay.since, start)
        last = min(end, stay.until, self.end)
        if first + took > last:
            return
        one, other = self._rooms[giver], self._rooms[taker]
        for since, until in other.gaps(self._most):
            at = max(first, since)
            while at < end and at + took <= min(last, until):
                free = other.free(one.free(at, took), took)
                if free == at:
                    self._note(stay, Transfer(at, at + took, giver, taker), until)
                    break
                at = free

    def _note(self, stay: _Stay, transfer: Transfer, until: float) -> None:
        """A transfer is possible."""
        if transfer.dst == self._want.dst:
            self.end = transfer.end
        self._made += 1
        there = _Stay(transfer.dst, transfer.end, until, stay.hops + 1, transfer, stay)
        heapq.heappush(self.coming, (transfer.end, there.hops, self._made, there))
