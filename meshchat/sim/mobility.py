"""How people move: models that give paths, each from its own stream of chance.

A model takes a ``Chance`` that nobody else draws from (one per person) and plain parameters in
metres, seconds and metres per second. What somebody does on a day is built by nesting: ``march``,
``gathering`` and ``outing`` take the path that the person would follow otherwise, leave it in
time and come back to it. Only + - * / and square roots decide where somebody is, so that paths
are the same on every machine.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise

from meshchat.sim.chance import Chance
from meshchat.sim.paths import Leg, Path, Paths, positions_file

__all__ = [
    "Leg",
    "Path",
    "Paths",
    "address",
    "along",
    "commuter",
    "courier",
    "dispersal",
    "gathering",
    "march",
    "outing",
    "positions_file",
    "random_waypoint",
    "standing",
]

Point = tuple[float, float]

DAY_S = 86_400.0
EARLIEST_S = 6 * 3600.0  # before anybody leaves home for work
WALK_M_S = (1.1, 1.6)  # people on foot in a town
CATCH_UP = 1.5  # who fell behind in a march walks at most so much faster than it
STRIDE_M = 30.0  # a marcher changes pace and place in the row this often
MILL_M = 4.0  # a step in a crowd: to talk to the next people
MILL_M_S = (0.3, 0.8)
MILL_PAUSE_S = (20.0, 150.0)


class _Walk:
    """Where somebody is while legs are made; every method continues from there."""

    __slots__ = ("t", "x", "y")

    def __init__(self, t: float, x: float, y: float) -> None:
        self.t, self.x, self.y = t, x, y

    def stay(self, until: float) -> Iterator[Leg]:
        """Stand; nothing if it is that late already."""
        if until > self.t:
            yield Leg(self.t, self.x, self.y, until, self.x, self.y)
            self.t = until

    def to(self, x: float, y: float, speed: float, due: float = 0.0) -> Iterator[Leg]:
        """Straight to (x, y) at ``speed``, or slower to be there at ``due``."""
        if (x, y) != (self.x, self.y):
            done = max(due, self.arrival(x, y, speed))
            yield Leg(self.t, self.x, self.y, done, x, y)
            self.t, self.x, self.y = done, x, y

    def arrival(self, x: float, y: float, speed: float) -> float:
        """When ``to`` is done; the smallest step still takes some time."""
        if (x, y) == (self.x, self.y):
            return self.t
        done = self.t + _distance(self.x, self.y, x, y) / speed
        return max(done, math.nextafter(self.t, math.inf))

    def street(self, x: float, y: float, speed: float, block_m: float, chance: Chance) -> Path:
        """To (x, y) on a grid: along this street, a cross street, and the other street."""
        if y != self.y:
            low, high = min(self.x, x), max(self.x, x)
            first, last = math.ceil(low / block_m), math.floor(high / block_m)
            # Any cross street on the way is as short; in one block walk back to the corner.
            cross = block_m * (first + chance.below(last - first + 1) if last >= first else last)
            yield from self.to(cross, self.y, speed)
            yield from self.to(cross, y, speed)
        yield from self.to(x, y, speed)


def standing(x: float, y: float) -> Path:
    """Always at (x, y)."""
    yield Leg(0.0, x, y, math.inf, x, y)


def random_waypoint(
    chance: Chance,
    w: float,
    h: float,
    speed: tuple[float, float] = (0.5, 1.5),
    pause: tuple[float, float] = (0.0, 120.0),
) -> Path:
    """To places evenly chosen in a field of ``w`` by ``h`` m, with a pause at each, for ever."""
    walk = _Walk(0.0, chance.uniform(0, w), chance.uniform(0, h))
    while True:
        yield from walk.stay(walk.t + chance.uniform(*pause))
        yield from walk.to(chance.uniform(0, w), chance.uniform(0, h), chance.uniform(*speed))


def address(chance: Chance, w: float, h: float, block_m: float = 100.0) -> Point:
    """A door on a street of the grid of ``w`` by ``h`` m (doors face the streets along x)."""
    return chance.uniform(0, w), block_m * chance.below(int(h / block_m) + 1)


def commuter(
    chance: Chance,
    w: float,
    h: float,
    *,
    block_m: float = 100.0,
    clock_s: float = 0.0,
    home: Point | None = None,
    work: Point | None = None,
    squares: Sequence[Point] = (),
    employed: float = 0.7,
    evening: float = 0.4,
    speed: tuple[float, float] = WALK_M_S,
) -> Path:
    """Somebody who lives in a town with streets ``block_m`` apart, day after day for ever.

    Leaves home at an own time in the morning (7:00 to 9:30, some minutes of jitter every day),
    stays 7 to 9 hours at ``work``, in the evening goes with probability ``evening`` to the own
    shop or one of ``squares`` for up to an hour and a quarter, and sleeps at home. Who is not
    ``employed`` (a probability) goes out in the same way around noon instead.

    Args:
        clock_s: the time of day at t = 0, in seconds after midnight.
        home: where he or she lives; by chance if not given, as is ``work``.
    """
    home = home or address(chance, w, h, block_m)
    work = work or address(chance, w, h, block_m)
    shop = (min(w, max(0.0, home[0] + chance.uniform(-3, 3) * block_m)), home[1])
    haunts = [shop, *squares]
    pace = chance.uniform(*speed)
    leaves = chance.uniform(7.0, 9.5) * 3600
    works_s = chance.uniform(7.0, 9.0) * 3600
    has_work = chance.happens(employed)
    noon = chance.uniform(10.0, 17.0) * 3600

    def days() -> Path:
        walk = _Walk(0.0, *home)
        day = 0.0
        while True:
            if has_work:
                yield from walk.stay(day + leaves + chance.uniform(-600, 600))
                yield from walk.street(*work, pace, block_m, chance)
                yield from walk.stay(walk.t + works_s + chance.uniform(-900, 900))
            else:
                yield from walk.stay(day + noon + chance.uniform(-1800, 1800))
            if not has_work or chance.happens(evening):
                yield from walk.street(*chance.pick(haunts), pace, block_m, chance)
                yield from walk.stay(walk.t + chance.uniform(900, 4500))
            yield from walk.street(*home, pace, block_m, chance)
            day += DAY_S
            while day + EARLIEST_S < walk.t:  # too far to walk every day
                day += DAY_S

    return _since(days(), clock_s % DAY_S)


def courier(
    chance: Chance,
    stops: Sequence[Point],
    *,
    departs_s: float = 9 * 3600.0,
    pause: tuple[float, float] = (60.0, 180.0),
    speed: tuple[float, float] = (3.0, 5.0),
    jitter_s: float = 600.0,
    every_s: float = DAY_S,
    block_m: float = 0.0,
) -> Path:
    """Once a day from the first of ``stops`` to all others and back, with a pause at each.

    Departs at ``departs_s`` and then every ``every_s``, give or take ``jitter_s``; a round that
    would start before the last one has ended is left out. Along streets if ``block_m`` is given.
    """
    walk = _Walk(0.0, *stops[0])
    pace = chance.uniform(*speed)
    due = departs_s
    while True:
        yield from walk.stay(due + chance.uniform(-jitter_s, jitter_s))
        for x, y in (*stops[1:], stops[0]):
            if block_m:
                yield from walk.street(x, y, pace, block_m, chance)
            else:
                yield from walk.to(x, y, pace)
            yield from walk.stay(walk.t + chance.uniform(*pause))
        while due <= walk.t:
            due += every_s


def dispersal(
    chance: Chance,
    x: float,
    y: float,
    at: float,
    *,
    radius_m: float = 30.0,
    far_m: tuple[float, float] = (500.0, 2000.0),
    speed: tuple[float, float] = (1.4, 3.0),
    spread_s: float = 120.0,
) -> Path:
    """In a crowd around (x, y) until ``at``, then away to an own point ``far_m`` from there.

    Everybody starts within ``spread_s`` after ``at`` and stays where he or she ends up.
    """
    dx, dy = chance.in_disc(radius_m)
    walk = _Walk(0.0, x + dx, y + dy)
    yield from _milling(walk, chance, x, y, radius_m, at + chance.uniform(0, spread_s))
    while True:
        dx, dy = chance.in_disc(far_m[1])
        if dx * dx + dy * dy >= far_m[0] * far_m[0]:
            break
    yield from walk.to(x + dx, y + dy, chance.uniform(*speed))


def gathering(
    chance: Chance,
    base: Path,
    x: float,
    y: float,
    at: float,
    leave: float,
    *,
    radius_m: float = 30.0,
    spread_s: float = 900.0,
    speed: tuple[float, float] = WALK_M_S,
) -> Path:
    """Follows ``base``, but is in the crowd within ``radius_m`` of (x, y) from ``at`` to ``leave``.

    Both times are give or take ``spread_s``, mostly near the middle. A thousand people in the
    default radius have some 97 others within 10 m.
    """
    dx, dy = chance.in_disc(radius_m)
    comes, goes = (
        time + spread_s * (chance.uniform(-0.5, 0.5) + chance.uniform(-0.5, 0.5))
        for time in (at, leave)
    )

    def crowd(t: float) -> Path:
        return _milling(_Walk(t, x + dx, y + dy), chance, x, y, radius_m, goes)

    return outing(base, x + dx, y + dy, max(0.0, comes), crowd, chance.uniform(*speed))


def march(
    chance: Chance,
    base: Path,
    route: Sequence[Point],
    start: float,
    *,
    speed: float = 1.2,
    width_m: float = 16.0,
    length_m: float = 290.0,
    drift_m: float = 1.5,
    early_s: float = 900.0,
    linger_s: float = 900.0,
    walk: tuple[float, float] = WALK_M_S,
) -> Path:
    """Follows ``base``, but walks in a column along ``route``, whose head sets off at ``start``.

    Everybody has an own place in a column ``width_m`` wide and ``length_m`` long, which drifts by
    up to ``drift_m`` every 30 m; comes up to ``early_s`` before the start, stops when the head
    has arrived and stays up to ``linger_s``. A thousand people in the default column have some 48
    others within 10 m; for fewer make it shorter.
    """
    line = _Line(route)
    behind = chance.uniform(0, length_m)
    aside = chance.uniform(-0.5, 0.5) * width_m
    comes = max(0.0, start - chance.uniform(0, early_s))
    lingers = chance.uniform(0, linger_s)

    def column(t: float) -> Path:
        nonlocal behind, aside
        own = -behind
        me = _Walk(t, *line.place(own, aside))
        yield from me.stay(start)
        while own < line.length - behind:
            behind = min(length_m, max(0.0, behind + chance.uniform(-drift_m, drift_m)))
            aside = min(width_m, max(-width_m, 2 * aside + chance.uniform(-drift_m, drift_m))) / 2
            own = min(own + STRIDE_M, line.corner_after(own), max(own, line.length - behind))
            due = start + (own + behind) / speed
            yield from me.to(*line.place(own, aside), CATCH_UP * speed, due)
        yield from me.stay(me.t + lingers)

    return outing(base, *line.place(-behind, aside), comes, column, chance.uniform(*walk))


def along(route: Sequence[Point], start: float, speed: float) -> Path:
    """Stands at the start of ``route`` until ``start``, then goes along it, then stands."""
    walk = _Walk(0.0, *route[0])
    yield from walk.stay(start)
    for x, y in route[1:]:
        yield from walk.to(x, y, speed)


def outing(
    base: Path, x: float, y: float, at: float, legs: Callable[[float], Path], speed: float
) -> Path:
    """Follows ``base``, leaves it in time to be at (x, y) at ``at``, and returns to it after.

    ``legs`` is called with the time of arrival (``at`` or, from too far away, later) and gives
    what is done from then on, from (x, y). Afterwards the person walks at ``speed`` to the
    nearest future place of ``base`` that can be reached in time. A leg that cannot be finished is
    left at its start if it is a walk, and as late as possible if it is a stay.
    """
    leg = Leg(0.0, x, y, 0.0, x, y)
    for leg in base:
        away_s = _distance(leg.x1, leg.y1, x, y) / speed
        if leg.t1 + away_s > at:
            break
        yield leg
    else:
        leg = Leg(leg.t1, leg.x1, leg.y1, math.inf, leg.x1, leg.y1)
        away_s = _distance(leg.x1, leg.y1, x, y) / speed
    walk = _Walk(leg.t0, leg.x0, leg.y0)
    if leg[1:3] == leg[4:]:
        yield from walk.stay(at - away_s)
    yield from walk.to(x, y, speed)
    yield from walk.stay(at)
    for done in legs(walk.t):
        yield done
        walk.t, walk.x, walk.y = done[3:]
    while walk.arrival(leg.x1, leg.y1, speed) > leg.t1:
        leg = next(base, Leg(leg.t1, leg.x1, leg.y1, math.inf, leg.x1, leg.y1))
    yield from walk.to(leg.x1, leg.y1, speed)
    yield from walk.stay(leg.t1)
    yield from base


class _Line:
    """A line through ``points``, measured by metres from its start."""

    def __init__(self, points: Sequence[Point]) -> None:
        self._corners: list[float] = []
        self._points: list[Point] = []
        self._ahead: list[Point] = []  # unit vectors
        self.length = 0.0
        for (x, y), (to_x, to_y) in pairwise(points):
            metres = _distance(x, y, to_x, to_y)
            if metres:
                self._corners.append(self.length)
                self._points.append((x, y))
                self._ahead.append(((to_x - x) / metres, (to_y - y) / metres))
                self.length += metres
        if not self._points:
            raise ValueError("a route needs two different points")

    def corner_after(self, metres: float) -> float:
        at = bisect_right(self._corners, metres)
        return self._corners[at] if at < len(self._corners) else math.inf

    def place(self, metres: float, aside: float) -> Point:
        """The point ``aside`` m to the left of the line; it goes on straight at both ends."""
        at = max(0, bisect_right(self._corners, metres) - 1)
        x, y = self._points[at]
        ux, uy = self._ahead[at]
        rest = metres - self._corners[at]
        left_x, left_y = -uy, ux
        if rest == 0 and at:  # in a corner: half-way between the two directions
            vx, vy = self._ahead[at - 1]
            sum_x, sum_y = left_x - vy, left_y + vx
            norm = math.sqrt(sum_x * sum_x + sum_y * sum_y)
            if norm > 0:
                left_x, left_y = sum_x / norm, sum_y / norm
        return x + ux * rest + left_x * aside, y + uy * rest + left_y * aside


def _milling(
    walk: _Walk, chance: Chance, x: float, y: float, radius_m: float, until: float
) -> Path:
    """Short slow steps with long pauses inside a disc, until ``until`` or a step later."""
    step = min(MILL_M, radius_m)
    while walk.t < until:
        yield from walk.stay(min(until, walk.t + chance.uniform(*MILL_PAUSE_S)))
        if walk.t >= until:
            return
        while True:
            dx, dy = chance.in_disc(step)
            to_x, to_y = walk.x + dx, walk.y + dy
            if (to_x - x) * (to_x - x) + (to_y - y) * (to_y - y) <= radius_m * radius_m:
                break
        yield from walk.to(to_x, to_y, chance.uniform(*MILL_M_S))


def _since(legs: Iterable[Leg], start: float) -> Path:
    """``legs`` as they are from ``start`` on, with ``start`` as the new zero of time."""
    for t0, x0, y0, t1, x1, y1 in legs:
        if t1 <= start:
            continue
        if t0 < start:
            part = (start - t0) / (t1 - t0)
            x0, y0 = x0 + part * (x1 - x0), y0 + part * (y1 - y0)
        yield Leg(max(0.0, t0 - start), x0, y0, t1 - start, x1, y1)


def _distance(x0: float, y0: float, x1: float, y1: float) -> float:
    dx, dy = x1 - x0, y1 - y0
    return math.sqrt(dx * dx + dy * dy)
