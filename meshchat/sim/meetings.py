"""Who can hear whom while people move, and groups that share a network for a time.

``encounters`` is kinetic: a pair is looked at only when one of the two starts a new leg or comes
into a new square of a grid, and then the moments at which their distance passes the range are
computed. The cost grows with these events, not with nodes times steps; who stands costs nothing.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import combinations
from typing import Literal

from meshchat.errors import UsageError
from meshchat.sim.paths import Leg, Path, Paths
from meshchat.sim.ways import Change

Shape = Literal["mesh", "star"]

SLACK = 1e-9  # of the range squared: so near the border the direction of movement decides
# Squares of the grid are so much wider than the range: enough against rounding, and a measured
# middle between sparse walkers, who want fewer borders, and crowds, who want fewer others.
MARGIN = 1.25
STRIDE = 1 << 32  # squares in a column of the grid, far more than there are

LEG, LEFT, RIGHT, DOWN, UP, CLOSE, OPEN = range(7)  # at one instant in this order

_Motion = tuple[float, float, float, float, float, float]
"""Start of the leg: t, x, y; velocity: x, y; end of the leg: t."""


def encounters(
    paths: Sequence[Path], range_m: float, until: float, way: str, hold_m: float = 0.0
) -> Iterator[Change]:
    """All openings and closings between nodes that come within range of each other.

    A way opens when the distance is ``range_m`` or less and closes when it is more than ``range_m
    + hold_m``; everything still open closes at ``until``. Touching the range for an instant is no
    encounter. Legs are read one per node, as time goes on. Memory is for nodes and for pairs
    that are near each other.

    Raises:
        UsageError: the range or the hold is impossible.
    """
    if not 0 < range_m < math.inf or not 0 <= hold_m < math.inf:
        raise UsageError("range", f"A range of {range_m:g} m, held {hold_m:g} m, is impossible.")
    field = _Field(paths, range_m, hold_m)
    heap, linked = field.heap, field.linked
    while heap and heap[0][0] < until:
        at, kind, a, b, leave = heappop(heap)
        if kind == CLOSE:
            if b in linked[a]:
                del linked[a][b], linked[b][a]
                yield Change(at, False, a, b, way)
        elif kind == OPEN:
            if b not in linked[a]:
                linked[a][b] = linked[b][a] = None
                if leave < math.inf:
                    heappush(heap, (leave, CLOSE, a, b, 0.0))
                yield Change(at, True, a, b, way)
        elif kind == LEG:
            field.start_leg(at, a)
        else:
            field.cross(at, a, kind)
    for a, others in enumerate(linked):
        for b in sorted(others):
            if a < b:
                yield Change(until, False, a, b, way)


class _Field:
    """Nodes in a grid of squares that are a little wider than the range.

    Two nodes within range are always in the same or in adjacent squares. What a pair will do is
    computed for as long as both stay on their present legs, by the one that started its leg last
    or, if they were not adjacent then, by the one whose crossing made them adjacent. A pair may be
    computed again when it becomes adjacent once more; the result is the same to the last bit and
    is ignored when its turn comes.
    """

    def __init__(self, paths: Sequence[Path], range_m: float, hold_m: float) -> None:
        count = len(paths)
        self.linked: list[dict[int, None]] = [{} for _ in range(count)]
        self.heap: list[tuple[float, int, int, int, float]] = [
            (0.0, LEG, node, 0, 0.0) for node in range(count)
        ]
        self._paths = [_endless(paths[node]) for node in range(count)]
        self._near = range_m * range_m
        self._far = (range_m + hold_m) * (range_m + hold_m)
        self._slack = SLACK * self._near
        self._size = MARGIN * (range_m + hold_m)
        self._squares: dict[int, dict[int, _Motion]] = {}
        self._square: list[tuple[int, int] | None] = [None] * count

    def start_leg(self, now: float, node: int) -> None:
        """A leg of ``node`` begins: compute it with everybody around."""
        t0, x0, y0, t1, x1, y1 = next(self._paths[node])
        took = t1 - t0
        motion = (t0, x0, y0, (x1 - x0) / took, (y1 - y0) / took, t1)
        column, row = math.floor(x0 / self._size), math.floor(y0 / self._size)
        self._put(node, column, row, motion)
        middle = column * STRIDE + row
        for key in (
            middle - STRIDE - 1,
            middle - STRIDE,
            middle - STRIDE + 1,
            middle - 1,
            middle,
            middle + 1,
            middle + STRIDE - 1,
            middle + STRIDE,
            middle + STRIDE + 1,
        ):
            if key in self._squares:
                self._predict(now, node, motion, self._squares[key], True)
        self._next_event(now, node, column, row, motion)

    def cross(self, now: float, node: int, side: int) -> None:
        """``node`` enters the square at ``side``: three squares become adjacent."""
        square = self._square[node]
        assert square is not None
        column, row = square
        motion = self._squares[column * STRIDE + row][node]
        if side in (LEFT, RIGHT):
            step = 1 if side == RIGHT else -1
            column += step
            middle, beside = (column + step) * STRIDE + row, 1
        else:
            step = 1 if side == UP else -1
            row += step
            middle, beside = column * STRIDE + row + step, STRIDE
        self._put(node, column, row, motion)
        for key in (middle - beside, middle, middle + beside):
            if key in self._squares:
                self._predict(now, node, motion, self._squares[key], False)
        self._next_event(now, node, column, row, motion)

    def _put(self, node: int, column: int, row: int, motion: _Motion) -> None:
        last = self._square[node]
        if last is not None and last != (column, row):
            key = last[0] * STRIDE + last[1]
            del self._squares[key][node]
            if not self._squares[key]:
                del self._squares[key]
        self._square[node] = (column, row)
        self._squares.setdefault(column * STRIDE + row, {})[node] = motion

    def _next_event(self, now: float, node: int, column: int, row: int, motion: _Motion) -> None:
        """The end of the leg or, if that is earlier, the border of the square."""
        t0, x0, y0, u, v, when = motion
        kind = LEG
        if u:
            at = t0 + ((column + 1 if u > 0 else column) * self._size - x0) / u
            if at < when:
                when, kind = at, RIGHT if u > 0 else LEFT
        if v:
            at = t0 + ((row + 1 if v > 0 else row) * self._size - y0) / v
            if at < when:
                when, kind = at, UP if v > 0 else DOWN
        if when < math.inf:
            heappush(self.heap, (when if when > now else now, kind, node, 0, 0.0))

    def _predict(
        self, now: float, me: int, motion: _Motion, others: dict[int, _Motion], fresh: bool
    ) -> None:
        """Compute when ``me`` passes the range of ``others``, while both keep their legs.

        ``fresh``: my leg starts now, so that whether we are within range is looked at anew.
        """
        heap, near, slack, mine = self.heap, self._near, self._slack, self.linked[me]
        my_t, my_x, my_y, my_u, my_v, my_end = motion
        for other, (t, x, y, u, v, end) in others.items():
            if my_end < end:
                end = my_end
            if end <= now or other == me:
                continue
            # Counted from the start of the later leg, and the same seen from either side.
            if t > my_t:
                start = t
                dx, dy = x - (my_x + my_u * (t - my_t)), y - (my_y + my_v * (t - my_t))
            else:
                start = my_t
                dx, dy = x + u * (my_t - t) - my_x, y + v * (my_t - t) - my_y
            du, dv = u - my_u, v - my_v
            # Half the speed at which the square of the distance grows, and that square.
            growth = dx * du + dy * dv
            gap = dx * dx + dy * dy - near
            if fresh and other in mine:
                gap += near - self._far
                leave = start + _leaving(growth, gap, du * du + dv * dv, slack, end - start)
                if leave < end:
                    a, b = (me, other) if me < other else (other, me)
                    heappush(heap, (leave, CLOSE, a, b, 0.0))
                continue
            if gap > slack:
                if growth >= 0:
                    continue
                speed = du * du + dv * dv
                enter = start + _entering(growth, gap, speed, slack, end - start)
                if enter < now or enter >= end:
                    continue
            else:
                speed = du * du + dv * dv
                if not fresh or (gap >= -slack and (growth > 0 or (growth == 0 and speed > 0))):
                    continue
                enter = start
            gap += near - self._far
            leave = start + _leaving(growth, gap, speed, slack, end - start)
            if leave > enter:
                a, b = (me, other) if me < other else (other, me)
                heappush(heap, (enter, OPEN, a, b, leave if leave < end else math.inf))


def visits(
    paths: Sequence[Path], disc: Path, radius_m: float, start: float, end: float
) -> list[tuple[float, bool, int]]:
    """When nodes come into a disc that moves, and leave it, from ``start`` to ``end``.

    Args:
        disc: the path of its centre.

    Returns:
        ``(at, inside, node)`` in order of time, at one instant leaving first. Who is inside at
        ``start`` enters then, who is still inside at ``end`` leaves then.
    """
    centre = []
    for leg in _endless(disc):
        if leg.t1 > start:
            centre.append(leg)
        if leg.t1 >= end:
            break
    passed: list[tuple[float, bool, int]] = []
    for node in range(len(paths)):
        inside = False
        for at, inside in _passing(paths[node], centre, radius_m, start, end):
            passed.append((at, inside, node))
        if inside:
            passed.append((end, False, node))
    passed.sort()
    return passed


def group(
    members: Iterable[int],
    start: float,
    end: float,
    way: str,
    shape: Shape = "mesh",
    hubs: Sequence[int] = (),
) -> Iterator[Change]:
    """A network of ``members`` from ``start`` to ``end``: a LAN, a hotspot, an internet window.

    ``mesh``: everybody hears everybody. ``star``: only ways that have one of ``hubs`` at an end;
    hubs are members whether named there or not.
    """
    if start >= end:
        return
    if shape == "star":
        members = (*members, *hubs)
    pairs = [pair for pair in combinations(sorted(set(members)), 2) if _linked(*pair, shape, hubs)]
    for at, up in ((start, True), (end, False)):
        for a, b in pairs:
            yield Change(at, up, a, b, way)


def place_groups(
    paths: Paths,
    x: float,
    y: float,
    radius_m: float,
    spans: Iterable[tuple[float, float]],
    way: str,
    shape: Shape = "mesh",
    hubs: Sequence[int] = (),
) -> Iterator[Change]:
    """A hotspot at (x, y): who is within ``radius_m`` while it is on shares a network.

    Args:
        spans: when it is on, ``(start, end)`` in order of time and apart.
        shape: as for ``group``; a hub counts only while it is there.
    """
    for start, end in spans:
        here = iter((Leg(0.0, x, y, math.inf, x, y),))
        present: dict[int, None] = {}
        for at, inside, node in visits(paths, here, radius_m, start, end):
            if not inside:
                del present[node]
            for other in sorted(present):
                if _linked(node, other, shape, hubs):
                    yield Change(at, inside, min(node, other), max(node, other), way)
            if inside:
                present[node] = None


def _linked(a: int, b: int, shape: Shape, hubs: Sequence[int]) -> bool:
    return shape == "mesh" or a in hubs or b in hubs


def _passing(
    path: Path, centre: Sequence[Leg], radius_m: float, start: float, end: float
) -> Iterator[tuple[float, bool]]:
    """When one node enters and leaves a disc whose centre moves along ``centre``."""
    legs = iter(centre)
    disc_t, disc_x, disc_y, disc_end, to_x, to_y = next(legs)
    disc_u, disc_v = (to_x - disc_x) / (disc_end - disc_t), (to_y - disc_y) / (disc_end - disc_t)
    squared = radius_m * radius_m
    slack = SLACK * squared
    inside = False
    for t0, x0, y0, t1, x1, y1 in _endless(path):
        if t1 <= start:
            continue
        u, v = (x1 - x0) / (t1 - t0), (y1 - y0) / (t1 - t0)
        now = max(t0, start)
        while now < min(t1, end):
            while disc_end <= now:
                disc_t, disc_x, disc_y, disc_end, to_x, to_y = next(legs)
                disc_u = (to_x - disc_x) / (disc_end - disc_t)
                disc_v = (to_y - disc_y) / (disc_end - disc_t)
            until = min(t1, end, disc_end)
            dx = disc_x + disc_u * (now - disc_t) - x0 - u * (now - t0)
            dy = disc_y + disc_v * (now - disc_t) - y0 - v * (now - t0)
            du, dv = disc_u - u, disc_v - v
            enter, leave = _window(
                dx * du + dy * dv,
                dx * dx + dy * dy - squared,
                du * du + dv * dv,
                slack,
                until - now,
            )
            if not inside and leave > enter and now + enter < until:
                inside = True
                yield now + enter, True
            if inside and now + leave < until:
                inside = False
                yield now + leave, False
            now = until
        if now >= end:
            return


def _window(
    growth: float, gap: float, speed: float, slack: float, last: float
) -> tuple[float, float]:
    """In how many seconds the range is entered (infinite: not on these legs) and left."""
    enter = 0.0
    if gap > slack:
        enter = _entering(growth, gap, speed, slack, last) if growth < 0 else math.inf
    elif gap >= -slack and (growth > 0 or (growth == 0 and speed > 0)):
        enter = math.inf
    return enter, _leaving(growth, gap, speed, slack, last)


def _entering(growth: float, gap: float, speed: float, slack: float, last: float) -> float:
    """In how many seconds ``gap + 2 * growth * t + speed * t * t`` passes 0 downwards.

    Infinite if it does not come below 0 by more than ``slack`` in ``last`` seconds: a tangent is
    only a touch, and what is on the border when a leg ends is left to the next leg.
    """
    root = growth * growth - speed * gap
    if root <= speed * slack:
        return math.inf
    if growth + speed * last < 0 and gap + last * (2 * growth + speed * last) >= -slack:
        return math.inf
    return gap / (math.sqrt(root) - growth)


def _leaving(growth: float, gap: float, speed: float, slack: float, last: float) -> float:
    """In how many seconds the same passes 0 upwards; infinite in the same way."""
    if speed == 0 or gap + last * (2 * growth + speed * last) <= slack:
        return math.inf
    if gap > 0 and (gap <= slack or growth >= 0):
        gap = 0.0
    root = growth * growth - speed * gap
    if growth > 0:
        return -gap / (growth + math.sqrt(root))
    return (math.sqrt(root) - growth) / speed if root > 0 else 0.0


def _endless(path: Path) -> Path:
    """The legs of ``path`` that take time, and then standing for ever."""
    leg = None
    for leg in path:
        if leg.t1 > leg.t0:
            yield leg
    if leg is None:
        raise ValueError("a path needs at least one leg")
    yield Leg(leg.t1, leg.x1, leg.y1, math.inf, leg.x1, leg.y1)
