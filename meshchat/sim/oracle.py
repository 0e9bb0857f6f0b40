"""What physics allows, and what a planner reaches who knows the future.

``limit`` floods without any bound on bandwidth or storage: no program can deliver more, or
earlier. ``clairvoyant`` plans real transfers for all deliveries together. ``figures`` gives the
numbers of a run, the simulator's own result included, so that all of them can be compared.

A contact can be used while ``start <= t < end``. A delivery counts when it is complete by
``created + ttl``, that instant included.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from math import fsum
from typing import Any

from msgspec import Struct, field

from meshchat.sim.planner import schedule
from meshchat.sim.ways import Contact, Wanted

FIRST_HOPS_MAX = 7  # enough for nearly all ways; more is only looked for where it is not
_END, _BEGIN, _CREATE, _EXPIRE = range(4)  # the order of events at one instant

Event = tuple[float, int, int, int]
"""``(at, kind, a, b)``: the two nodes of a contact, or a delivery and 0; when one begins, in
``_flood`` its source and its bit."""
Near = list[dict[int, int]]
"""By node: its neighbours, and how many contacts with each are open."""


class Outcome(Struct):
    """What became of each delivery, in the order in which they were given."""

    arrived: list[float | None]
    """When it was complete at its destination; None if not in time."""
    hops: list[int | None]
    """Hops of the way it took."""
    transmissions: int
    """From node to node, for what was delivered."""
    fewest: list[int | None] = field(default_factory=list)
    """The fewest hops of any way within its time to live (``limit`` only)."""


def limit(contacts: Iterable[Contact], wanted: Sequence[Wanted], nodes: int) -> Outcome:
    """The physical limit: earliest arrival, no bound on bandwidth or storage, hops take no time.

    ``hops`` are the fewest among the ways that arrive earliest; ``fewest`` are the fewest among
    the ways that arrive in time.

    Args:
        contacts: In any order; contacts of one pair may overlap.
        wanted: Deliveries, in any order.
        nodes: Every node is below this number.
    """
    contacts = list(contacts)
    arrived = _flood(contacts, wanted, nodes)
    late = [
        None if at is None else want.created + want.ttl
        for at, want in zip(arrived, wanted, strict=True)
    ]
    hops = _fewest(contacts, wanted, nodes, arrived)
    return Outcome(
        arrived=arrived,
        hops=hops,
        transmissions=sum(n for n in hops if n),
        fewest=_fewest(contacts, wanted, nodes, late),
    )


def _openings(contacts: Iterable[Contact]) -> list[Event]:
    """Beginnings and ends of contacts, in order."""
    events: list[Event] = []
    for start, end, a, b in contacts:
        if start < end:
            events.append((start, _BEGIN, a, b))
            events.append((end, _END, a, b))
    events.sort()
    return events


def _begin(near: Near, a: int, b: int) -> None:
    """One more contact of a pair is open."""
    near[a][b] = near[b][a] = near[a].get(b, 0) + 1


def _end(near: Near, a: int, b: int) -> None:
    """One less."""
    if near[a][b] > 1:
        near[a][b] = near[b][a] = near[a][b] - 1
    else:
        del near[a][b], near[b][a]


def _bits(flags: int) -> Iterator[int]:
    """Which bits are set."""
    while flags:
        lowest = flags & -flags
        yield lowest.bit_length() - 1
        flags ^= lowest


def _flood(contacts: Iterable[Contact], wanted: Sequence[Wanted], nodes: int) -> list[float | None]:
    """Earliest arrivals: all deliveries at once, one bit of an integer for each.

    Nodes joined by open contacts hold the same, so a contact that begins costs next to nothing
    unless it joins two groups that differ.
    """
    arrived: list[float | None] = [None] * len(wanted)
    lives: list[Event] = []
    home = [0] * nodes  # the deliveries to a node
    for which, want in enumerate(wanted):
        if want.ttl >= 0:
            lives.append((want.created, _CREATE, want.src, 1 << which))
            lives.append((want.created + want.ttl, _EXPIRE, which, 0))
        home[want.dst] |= 1 << which
    near: Near = [{} for _ in range(nodes)]
    held = [0] * nodes
    alive = 0
    for at, kind, a, b in sorted([*_openings(contacts), *lives]):
        todo: list[tuple[int, int]] = []
        if kind == _BEGIN:
            _begin(near, a, b)
            differ = (held[a] ^ held[b]) & alive
            if differ:
                todo = [(a, differ & held[b]), (b, differ & held[a])]
        elif kind == _END:
            _end(near, a, b)
        elif kind == _CREATE:
            alive |= b
            todo = [(a, b)]
        else:
            alive &= ~(1 << a)
        while todo:
            node, flags = todo.pop()
            flags &= alive & ~held[node]
            if flags:
                held[node] |= flags
                for which in _bits(flags & home[node]):
                    arrived[which] = at
                    alive &= ~(1 << which)
                todo.extend([(other, flags) for other in near[node] if flags & ~held[other]])
    return arrived


def _fewest(
    contacts: Sequence[Contact], wanted: Sequence[Wanted], nodes: int, by: Sequence[float | None]
) -> list[int | None]:
    """The fewest hops of a way that arrives by a given time; None where no time is given.

    Where one is given, it has to be possible.
    """
    fewest: list[int | None] = [None] * len(wanted)
    missing = [which for which, end in enumerate(by) if end is not None]
    most = FIRST_HOPS_MAX
    while missing:
        spans = [(wanted[which].created, by[which] or 0.0) for which in missing]
        contacts = _during(contacts, spans)
        few = [wanted[which] for which in missing]
        found = _fewest_up_to(most, contacts, few, nodes, [end for _, end in spans])
        for which, hops in zip(missing, found, strict=True):
            fewest[which] = hops
        missing = [which for which in missing if fewest[which] is None]
        most *= 4
    return fewest


def _fewest_up_to(
    most: int,
    contacts: Sequence[Contact],
    wanted: Sequence[Wanted],
    nodes: int,
    by: Sequence[float],
) -> list[int | None]:
    """The same where at most so many hops are enough.

    A node has one integer. In its part k there is a bit for each delivery that can be there
    with at most k hops, so what it gives to a neighbour is that integer shifted by one part.
    Only deliveries under way have a place in a part.
    """
    lives = [(want.created, _CREATE, which, 0) for which, want in enumerate(wanted)]
    lives += [(end, _EXPIRE, which, 0) for which, end in enumerate(by)]
    lives.sort()
    width = max(accumulate(1 if kind == _CREATE else -1 for _, kind, *_ in lives), default=0)
    free = list(range(width))
    places = [0] * len(wanted)
    each_part = sum(1 << part * width for part in range(most + 1))

    fewest: list[int | None] = [None] * len(wanted)
    near: Near = [{} for _ in range(nodes)]
    held = [0] * nodes
    home: list[list[int]] = [[] for _ in range(nodes)]  # deliveries under way to a node
    wish = 0  # what is under way, in the parts that would still be an improvement

    todo: deque[tuple[int, int]] = deque()
    for _, kind, a, b in sorted([*_openings(contacts), *lives]):
        if kind == _BEGIN:
            _begin(near, a, b)
            todo.append((a, held[b] << width))
            todo.append((b, held[a] << width))
        elif kind == _END:
            _end(near, a, b)
        elif kind == _CREATE:
            places[a] = free.pop()
            wish |= each_part << places[a]
            home[wanted[a].dst].append(a)
            todo.append((wanted[a].src, each_part << places[a]))
        else:
            mine = ~(each_part << places[a])
            wish &= mine
            held = [flags & mine for flags in held]
            home[wanted[a].dst].remove(a)
            free.append(places[a])
        while todo:
            node, flags = todo.popleft()
            flags &= wish & ~held[node]
            if flags:
                held[node] |= flags
                for which in home[node]:
                    mine = flags >> places[which] & each_part
                    if mine:
                        first = (mine & -mine).bit_length() - 1
                        fewest[which] = first // width
                        wish &= ~(each_part << first + places[which])
                flags <<= width
                todo.extend([(other, flags) for other in near[node] if flags & ~held[other]])
    return fewest


def _during(contacts: Sequence[Contact], spans: Iterable[tuple[float, float]]) -> list[Contact]:
    """The contacts that are open at some time of these."""
    starts: list[float] = []
    ends: list[float] = []
    for start, end in sorted(spans):
        if ends and start <= ends[-1]:
            ends[-1] = max(ends[-1], end)
        else:
            starts.append(start)
            ends.append(end)
    return [
        contact
        for contact in contacts
        if (index := bisect_left(starts, contact.end)) and ends[index - 1] >= contact.start
    ]


def clairvoyant(
    contacts: Iterable[Contact],
    wanted: Sequence[Wanted],
    nodes: int,
    rate: float | Sequence[float],
    buffer: int | None,
) -> Outcome:
    """What a planner reaches who knows the future; see ``schedule`` for what it respects.

    Args:
        contacts: In any order.
        wanted: In any order; those created first are planned first.
        nodes: Every node is below this number.
        rate: Bytes per second in a contact, or one rate for each contact; 0 for no bound.
        buffer: Bytes that a node holds for others; None for no bound.
    """
    contacts = list(contacts)
    arrived: list[float | None] = [None] * len(wanted)
    hops: list[int | None] = [None] * len(wanted)
    # What no flood delivers no plan delivers: a search saved.
    reachable = [n for n, at in enumerate(_flood(contacts, wanted, nodes)) if at is not None]
    plans = schedule(contacts, [wanted[which] for which in reachable], nodes, rate, buffer)
    for which, plan in zip(reachable, plans, strict=True):
        if plan:
            arrived[which], hops[which] = plan[-1].end, len(plan)
        elif wanted[which].src == wanted[which].dst:
            arrived[which], hops[which] = wanted[which].created, 0
    return Outcome(arrived, hops, sum(map(len, plans)))


def figures(
    arrived: Sequence[float | None],
    wanted: Sequence[Wanted],
    hops: Sequence[int | None],
    transmissions: int,
) -> dict[str, Any]:
    """The numbers by which runs are compared; None where a number has no meaning.

    What arrived after its time to live is not delivered. ``mean_wait_s`` counts what was not
    delivered as its whole time to live. Percentiles are of what was delivered, interpolated on a
    straight line between the two values around rank ``(n - 1) * p``.

    Args:
        arrived: By delivery when it arrived, in seconds of the world; None if it did not.
        wanted: The deliveries.
        hops: By delivery; None if not known.
        transmissions: Of what was wanted, from node to node, useful or not.
    """
    delays: list[float] = []
    waits: list[float] = []
    ways: list[int] = []
    for at, want, way in zip(arrived, wanted, hops, strict=True):
        if at is None or at > want.created + want.ttl:
            waits.append(want.ttl)
            continue
        delays.append(at - want.created)
        waits.append(delays[-1])
        if way is not None:
            ways.append(way)
    delays.sort()
    count = len(delays)
    return {
        "delivered": count,
        "delivery_ratio": count / len(wanted) if wanted else None,
        "delay_s": {f"p{part}": percentile(delays, part) for part in (10, 50, 90, 99)},
        "mean_wait_s": fsum(waits) / len(waits) if waits else None,
        "hops_mean": sum(ways) / len(ways) if ways else None,
        "hops_max": max(ways, default=None),
        "transmissions": transmissions,
        "overhead_ratio": (transmissions - count) / count if count else None,
    }


def percentile(ordered: Sequence[float], part: int) -> float | None:
    """The value below which ``part`` percent of the sorted values lie; see ``figures``."""
    if not ordered:
        return None
    below, rest = divmod((len(ordered) - 1) * part, 100)
    value = ordered[below]
    return value + (ordered[below + 1] - value) * (rest / 100) if rest else value
