"""Encounters, visits and groups are exactly those that brute force finds, in a proper stream."""

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import combinations, islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshchat.errors import UsageError
from meshchat.sim import meetings
from meshchat.sim.chance import Chance
from meshchat.sim.meetings import encounters, group, place_groups, visits
from meshchat.sim.mobility import (
    Leg,
    Paths,
    along,
    commuter,
    gathering,
    march,
    random_waypoint,
    standing,
)
from meshchat.sim.ways import Change

Span = tuple[float, float]
BRIEF_S = 1e-3  # brute force and stream may differ about a touch this short


def spans(stream: Iterable[Change], until: float) -> dict[tuple[int, int], list[Span]]:
    """When pairs are connected, after a check that the stream keeps its promises."""
    found: dict[tuple[int, int], list[Span]] = {}
    opened: dict[tuple[int, int], float] = {}
    last = (-math.inf, False)
    for at, up, a, b, way in stream:
        assert way == "ble"
        assert a < b
        assert last <= (at, up)
        assert 0 <= at < until or (at == until and not up)
        last = (at, up)
        if up:
            assert (a, b) not in opened
            opened[a, b] = at
        else:
            start = opened.pop((a, b))
            assert start < at
            found.setdefault((a, b), []).append((start, at))
    assert not opened
    return found


def tidy(found: list[Span]) -> list[Span]:
    """Without short gaps and short touches."""
    whole: list[Span] = []
    for start, end in found:
        if whole and start - whole[-1][1] < BRIEF_S:
            start = whole.pop()[0]
        whole.append((start, end))
    return [(start, end) for start, end in whole if end - start >= BRIEF_S]


def follow(legs: Sequence[Leg], t: float) -> tuple[Fraction, Fraction]:
    """The exact place at ``t``."""
    for leg in legs:
        if leg.t0 <= t < leg.t1:
            part = (Fraction(t) - Fraction(leg.t0)) / (Fraction(leg.t1) - Fraction(leg.t0))
            return (
                Fraction(leg.x0) + part * (Fraction(leg.x1) - Fraction(leg.x0)),
                Fraction(leg.y0) + part * (Fraction(leg.y1) - Fraction(leg.y0)),
            )
    return Fraction(legs[-1].x1), Fraction(legs[-1].y1)


def squared(one: Sequence[Leg], other: Sequence[Leg], t: float) -> Fraction:
    """The exact square of the distance of two nodes."""
    (x, y), (to_x, to_y) = follow(one, t), follow(other, t)
    return (x - to_x) * (x - to_x) + (y - to_y) * (y - to_y)


def brute(
    one: Sequence[Leg], other: Sequence[Leg], near: float, far: float, until: float
) -> list[Span]:
    """Two nodes by all moments at which anything can change, and a look into each gap between.

    Between two such moments both move evenly and no range is passed, so that one exact look in
    the middle says whether they are within ``near``, beyond ``far``, or between.
    """
    joints = sorted({0.0, until, *(t for leg in (*one, *other) for t in (leg.t0, leg.t1))})
    moments = [t for t in joints if t <= until]
    for start, end in pairwise(moments):
        # The square of the distance is a parabola: three values give it.
        middle = (start + end) / 2
        f0, f1, f2 = (float(squared(one, other, t)) for t in (start, middle, end))
        a, b = 2 * f0 - 4 * f1 + 2 * f2, 4 * f1 - 3 * f0 - f2
        for reach in (near, far):
            root = b * b - 4 * a * (f0 - reach * reach)
            if abs(a) > 1e-9 and root >= 0:
                for sign in (-1, 1):
                    part = (-b + sign * math.sqrt(root)) / (2 * a)
                    if 0 < part < 1:
                        moments = [*moments, start + part * (end - start)]
    moments.sort()
    found: list[Span] = []
    opened: float | None = None
    for start, end in pairwise(moments):
        distance = squared(one, other, (start + end) / 2)
        if end - start < 1e-9:
            continue
        if distance <= Fraction(near) ** 2:
            opened = start if opened is None else opened
        elif distance > Fraction(far) ** 2 and opened is not None:
            found.append((opened, start))
            opened = None
    if opened is not None:
        found.append((opened, until))
    return found


def agree(paths: list[list[Leg]], near: float, hold: float, until: float) -> None:
    """The stream and brute force find the same."""
    found = spans(encounters(list(map(iter, paths)), near, until, "ble", hold), until)
    for a, b in combinations(range(len(paths)), 2):
        expected = tidy(brute(paths[a], paths[b], near, near + hold, until))
        real = tidy(found.get((a, b), []))
        assert len(real) == len(expected), (a, b, real, expected)
        for one, other in zip(real, expected, strict=True):
            assert one == pytest.approx(other, abs=1e-4)


@st.composite
def walks(draw: st.DrawFn, scale: float = 1.0) -> list[Leg]:
    """A short path on whole numbers, where ties, tangents and borders are common."""
    place = st.tuples(st.integers(-12, 12), st.integers(-12, 12))
    x, y = draw(place)
    legs, t = [], 0
    for took, (to_x, to_y) in draw(st.lists(st.tuples(st.integers(0, 5), place), max_size=5)):
        if took == 0:
            to_x, to_y = x, y
        legs.append(
            Leg(t * scale, x * scale, y * scale, (t + took) * scale, to_x * scale, to_y * scale)
        )
        t, x, y = t + took, to_x, to_y
    return [*legs, Leg(t * scale, x * scale, y * scale, math.inf, x * scale, y * scale)]


@settings(max_examples=150, deadline=None)
@given(
    st.lists(walks(), min_size=2, max_size=6),
    st.sampled_from([1.0, 2.0, 5.0, 10.0]),
    st.sampled_from([0.0, 1.0, 3.5]),
    st.sampled_from([0.5, 7.0, 30.0]),
)
def test_encounters_are_those_of_brute_force(
    paths: list[list[Leg]], near: float, hold: float, until: float
) -> None:
    """All pairs, all times: on borders, at tangents, in the same place and at equal times."""
    agree(
        [[leg._replace(t1=min(leg.t1, 1e4)) for leg in path] for path in paths], near, hold, until
    )


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([0.1, 1 / 3, 0.7, 1e3]).flatmap(
        lambda scale: st.tuples(st.just(scale), st.lists(walks(scale), min_size=2, max_size=5))
    ),
    st.sampled_from([1, 5]),
    st.sampled_from([0, 1]),
)
def test_rounding_does_no_harm(scaled: tuple[float, list[list[Leg]]], near: int, hold: int) -> None:
    """The stream stays proper where numbers cannot be exact, with everybody on the borders."""
    scale, paths = scaled
    until = 20 * scale
    spans(encounters(list(map(iter, paths)), near * scale, until, "ble", hold * scale), until)


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([3.0, 10.0, 40.0]), st.sampled_from([0.0, 4.0]))
def test_walkers_meet_as_brute_force_says(seed: int, near: float, hold: float) -> None:
    """The same for walkers whose numbers are not round."""
    agree(
        [list(islice(random_waypoint(Chance(seed, who), 90, 60), 12)) for who in range(7)],
        near,
        hold,
        300.0,
    )


def test_a_busy_town_agrees_with_samples() -> None:
    """Commuters, a march and a crowd together: looked at now and then, all pairs are right."""
    route = [(0.0, 0.0), (300.0, 0.0), (300.0, 200.0)]
    people = Paths(
        [
            *(commuter(Chance(1, who), 400, 400, clock_s=27_000) for who in range(40)),
            *(
                march(Chance(2, who), standing(who, 300), route, 3600, length_m=40)
                for who in range(40)
            ),
            *(
                gathering(Chance(3, who), standing(300, who), 300, 200, 4000, 6000)
                for who in range(40)
            ),
        ]
    )
    until = 8000.0
    found = spans(encounters(people, 12.0, until, "ble"), until)
    for t in range(5, 8000, 397):
        places = [people.position(who, t) for who in range(len(people))]
        for a, b in combinations(range(len(people)), 2):
            distance = math.dist(places[a], places[b])
            if abs(distance - 12) > 1e-6:
                near = any(start <= t < end for start, end in found.get((a, b), ()))
                assert near == (distance <= 12), (t, a, b, distance)


def test_the_grid_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Larger squares give the same stream to the last bit: only the movement decides."""

    def stream() -> list[Change]:
        people = [
            *(random_waypoint(Chance(3, who), 300, 300) for who in range(40)),
            *(gathering(Chance(3, who), standing(who, 9), 99, 99, 300, 900) for who in range(40)),
        ]
        return list(encounters(people, 12, 1500, "ble", hold_m=2))

    streams = []
    for margin in (1.0001, 1.37, 3.0, 1000.0):
        monkeypatch.setattr(meetings, "MARGIN", margin)
        streams.append(stream())
    assert len(streams[0]) > 500
    assert all(other == streams[0] for other in streams)


def test_an_encounter_to_the_second() -> None:
    """Somebody passes somebody who stands: open at 10 m, closed at more than 10 m."""
    passing = [Leg(0, -30, 6, 60, 30, 6)]
    paths = [standing(0, 0), iter(passing)]
    assert list(encounters(paths, 10, 100, "ble")) == [
        Change(22, True, 0, 1, "ble"),
        Change(38, False, 0, 1, "ble"),
    ]
    held = list(encounters([standing(0, 0), iter(passing)], 10, 100, "ble", hold_m=10))
    assert [change.at for change in held] == pytest.approx([22, 30 + math.sqrt(400 - 36)])


def test_closings_come_before_openings() -> None:
    """When one leaves in the instant in which another comes, the closing is first."""
    one = iter([Leg(0, 0, 0, 20, 20, 0)])
    changes = list(encounters([one, standing(0, 0), standing(20, 0)], 10, 15, "ble"))
    assert [(change.at, change.up, change.b) for change in changes] == [
        (0, True, 1),
        (10, False, 1),
        (10, True, 2),
        (15, False, 2),
    ]


def test_a_touch_is_no_encounter() -> None:
    """A tangent, and coming to the border and going back, open nothing; standing on it does."""
    tangent = iter([Leg(0, -30, 10, 60, 30, 10)])
    assert not list(encounters([standing(0, 0), tangent], 10, 99, "ble"))
    for touch in (10.0, 11.0):
        legs = [Leg(0, 30, 0, 10, touch, 0), Leg(10, touch, 0, 20, 30, 0)]
        assert not list(encounters([standing(0, 0), iter(legs)], 10, 99, "ble"))
    assert len(list(encounters([standing(0, 0), standing(6, 8)], 10, 99, "ble"))) == 2


def test_a_touch_at_the_end_of_a_leg_is_not_left_to_rounding() -> None:
    """Coming exactly to the range or to the end of the hold, and back, changes nothing for long."""
    legs = [Leg(0, 0, -1, 3, -2, 1), Leg(3, -2, 1, 4, 0, 0)]
    assert not list(encounters([iter(legs), standing(-10, 7)], 10, 7, "ble", 1))
    legs = [Leg(0, 0, 3, 3, 12, -1), Leg(3, 12, -1, 4, 0, 0)]
    for path in (legs, legs[:1]):
        changes = list(encounters([iter(path), standing(6, -1)], 5, 3.9, "ble", 1))
        assert [change.at for change in changes] == pytest.approx([0.55284, 3.9], abs=1e-4)


def test_hold_stops_flicker() -> None:
    """Somebody who paces across the border connects once instead of fifty times."""
    legs = [
        Leg(10 * step, 9 + 2 * (step % 2), 0, 10 * step + 10, 11 - 2 * (step % 2), 0)
        for step in range(100)
    ]
    flicker = list(encounters([standing(0, 0), iter(legs)], 10, 1000, "ble"))
    held = list(encounters([standing(0, 0), iter(legs)], 10, 1000, "ble", hold_m=2))
    assert len(flicker) == 102
    assert len(held) == 2


def test_who_stands_costs_nothing() -> None:
    """A night of a thousand sleepers is over at once, however long; so is a crowd on one point."""
    sleepers = [standing(7 * who, 0) for who in range(1000)]
    assert len(list(encounters(sleepers, 10, 1e12, "ble"))) == 2 * 999
    assert len(list(encounters([standing(0, 0)] * 0, 10, 1e12, "ble"))) == 0
    together = [standing(0, 0) for _ in range(40)]
    assert len(list(encounters(together, 10, 5, "ble"))) == 2 * 40 * 39 / 2


def test_encounters_are_read_lazily() -> None:
    """An endless world can be followed as far as one likes, and no leg is read ahead of time."""
    read: list[float] = []

    def noted(who: int) -> Iterable[Leg]:
        for leg in random_waypoint(Chance(1, who), 50, 50):
            read.append(leg.t0)
            yield leg

    some = list(islice(encounters([iter(noted(who)) for who in range(9)], 10, math.inf, "ble"), 99))
    assert len(some) == 99
    assert max(read) <= some[-1].at


@pytest.mark.parametrize(("near", "hold"), [(0, 0), (-1, 0), (math.nan, 0), (math.inf, 0), (9, -1)])
def test_impossible_ranges_are_refused(near: float, hold: float) -> None:
    """A range is more than nothing and less than everything."""
    with pytest.raises(UsageError, match="impossible"):
        list(encounters([standing(0, 0)], near, 9, "ble", hold))


@settings(max_examples=200, deadline=None)
@given(
    st.lists(walks(), min_size=1, max_size=5),
    walks(),
    st.sampled_from([1.0, 5.0]),
    st.sampled_from([(0.0, 20.0), (3.0, 9.0), (2.5, 2.5), (50.0, 60.0)]),
)
def test_visits_are_encounters_with_the_disc(
    paths: list[list[Leg]], disc: list[Leg], radius: float, span: Span
) -> None:
    """A disc that moves is visited when a node in its middle would be met."""
    start, end = span
    seen: dict[int, list[Span]] = {}
    entered: dict[int, float] = {}
    last = (-math.inf, False, -1)
    for at, inside, node in visits(list(map(iter, paths)), iter(disc), radius, start, end):
        assert last < (at, inside, node)
        last = (at, inside, node)
        assert start <= at <= end
        if inside:
            assert node not in entered
            entered[node] = at
        else:
            seen.setdefault(node, []).append((entered.pop(node), at))
    assert not entered
    if start == end:
        assert not seen
        return
    met = spans(encounters([iter(disc), *map(iter, paths)], radius, end, "ble"), end)
    for node in range(len(paths)):
        whole = met.get((0, node + 1), [])
        cut = [(max(start, one), other) for one, other in whole if other > start]
        real, expected = tidy(seen.get(node, [])), tidy(cut)
        assert len(real) == len(expected), (real, expected)
        for one, other in zip(real, expected, strict=True):
            assert one == pytest.approx(other, abs=1e-6)


def test_a_jammer_follows_a_march() -> None:
    """A disc that moves with the head of a march covers the marchers from start to end."""
    route = [(0.0, 0.0), (600.0, 0.0), (600.0, 300.0)]
    people = Paths(
        march(Chance(1, who), standing(-900, 0), route, 1000, length_m=60) for who in range(30)
    )
    passed = visits(people, along(route, 1000, 1.2), 120, 1000, 1700)
    assert passed == [
        *((1000, True, who) for who in range(30)),
        *((1700, False, who) for who in range(30)),
    ]


def test_a_group_is_a_network_for_a_time() -> None:
    """A mesh links all with all, a star only with its hubs; no time, no ways."""
    mesh = list(group([3, 1, 2, 1], 5, 9, "lan"))
    assert mesh == [
        *(Change(5, True, a, b, "lan") for a, b in ((1, 2), (1, 3), (2, 3))),
        *(Change(9, False, a, b, "lan") for a, b in ((1, 2), (1, 3), (2, 3))),
    ]
    star = list(group([3, 1, 2], 5, 9, "lan", "star", [2, 0]))
    assert [(a, b) for _, up, a, b, _ in star if up] == [(0, 1), (0, 2), (0, 3), (1, 2), (2, 3)]
    assert not list(group([1, 2], 5, 5, "lan"))


@pytest.mark.parametrize("shape", ["mesh", "star"])
def test_a_hotspot_links_who_is_there(shape: str) -> None:
    """At any time exactly those in reach share the network, while it is on."""
    people = Paths(random_waypoint(Chance(6, who), 60, 60) for who in range(12))
    times, hubs = [(0.0, 400.0), (400.0, 500.0), (900.0, 2000.0)], (2, 5)
    stream = list(place_groups(people, 30, 30, 15, times, "ble", shape, hubs))  # type: ignore[arg-type]
    found = spans(stream, 2000.0)
    assert len(stream) > 100
    for t in range(3, 2000, 17):
        here = [who for who in range(12) if math.dist(people.position(who, t), (30.0, 30.0)) <= 15]
        if not any(start <= t < end for start, end in times):
            here = []
        expected = {
            pair
            for pair in combinations(here, 2)
            if shape == "mesh" or pair[0] in hubs or pair[1] in hubs
        }
        linked = {
            pair for pair, whole in found.items() if any(start <= t < end for start, end in whole)
        }
        assert linked == expected
