"""Spans of time: hours of every day, and what a network does from when to when."""

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import NamedTuple

from meshchat.sim.chance import Chance
from meshchat.sim.plan import Daily, Network, Scenario, State
from meshchat.sim.times import DAY_S, midnight

Spans = list[tuple[float, float]]


class Period(NamedTuple):
    """A network is on from ``start`` to ``end``; its ways are called ``way``."""

    start: float
    end: float
    way: str
    rate: float | None
    """Bytes a second; None: as the radio has it."""
    loss: float | None


class _Coat(NamedTuple):
    """What one state paints over a span."""

    start: float
    end: float
    on: bool
    rate: float | None
    loss: float | None


def periods(network: Network, scenario: Scenario, seed: int) -> list[Period]:
    """When a network is on, in order of time and apart; on unless a state says otherwise."""
    horizon = scenario.horizon
    coats = [_Coat(0.0, horizon, True, None, None)]
    for at, state in enumerate(network.timeline):
        chance = (seed, "windows", network.name, at)
        coats += _coats(state, scenario.about.start, horizon, chance)
    edges = sorted({edge for coat in coats for edge in coat[:2]})
    found: list[Period] = []
    for start, end in pairwise(edges):
        top = next(coat for coat in reversed(coats) if coat.start <= start and end <= coat.end)
        if not top.on:
            continue
        way = network.name
        if top.rate is not None:
            way += f"@{round(8 * top.rate)}"  # bits a second, as people say it
        if top.loss is not None:
            way += f"~{top.loss:g}"
        if found and found[-1].end == start and found[-1].way == way:
            found[-1] = found[-1]._replace(end=end)
        else:
            found.append(Period(start, end, way, top.rate, top.loss))
    return found


def daily_spans(daily: Daily | None, begins: datetime, since: float, until: float) -> Spans:
    """The parts of ``since`` to ``until`` that lie in some hours of the day, in order."""
    if daily is None or daily.since % DAY_S == daily.until % DAY_S:
        return [(since, until)] if since < until else []
    length = (daily.until - daily.since) % DAY_S
    found: Spans = []
    for day in _days(begins, since, until):
        start, end = max(since, day + daily.since), min(until, day + daily.since + length)
        if start < end:
            found.append((start, end))
    return found


def day_length(daily: Daily | None) -> float:
    """Seconds of a day that lie in these hours."""
    return DAY_S if daily is None else (daily.until - daily.since) % DAY_S or DAY_S


def _coats(
    state: State, begins: datetime, horizon: float, chance: tuple[object, ...]
) -> Iterator[_Coat]:
    until = horizon if state.until is None else min(horizon, state.until)
    if state.since >= until:
        return
    if state.state != "windows":
        for start, end in daily_spans(state.daily, begins, state.since, until):
            yield _Coat(start, end, state.state != "off", state.rate, state.loss)
        return
    yield _Coat(state.since, until, False, None, None)
    for start, end in _windows(state, begins, state.since, until, chance):
        yield _Coat(start, end, True, state.rate, state.loss)


def _windows(
    state: State, begins: datetime, since: float, until: float, name: tuple[object, ...]
) -> Iterator[tuple[float, float]]:
    """Random windows: so many in all, or so many on each day of the calendar."""
    assert state.length is not None
    low, high = state.length
    seed, *path = name
    assert isinstance(seed, int)
    if state.per_day is None:
        yield from _placed(Chance(seed, *path), state.count or 0, low, high, since, until)
        return
    fewest, most = (int(number) for number in state.per_day)
    for day in _days(begins, since, until):
        # A day's windows are the same wherever the state begins or ends.
        chance = Chance(seed, *path, round(day))
        many = fewest + chance.below(most - fewest + 1)
        for start, end in _placed(chance, many, low, high, day, day + DAY_S):
            if since <= start and end <= until:
                yield start, end


def _placed(
    chance: Chance, many: int, low: float, high: float, since: float, until: float
) -> Iterator[tuple[float, float]]:
    """Windows evenly spread at random that do not overlap; fewer if they do not fit."""
    lengths = [chance.uniform(low, high) for _ in range(many)]
    while lengths and sum(lengths) > until - since:
        lengths.pop()
    free = until - since - sum(lengths)
    gaps = sorted(chance.uniform(0, free) for _ in lengths)
    taken = 0.0
    for gap, length in zip(gaps, lengths, strict=True):
        yield since + gap + taken, since + gap + taken + length
        taken += length


def _days(begins: datetime, since: float, until: float) -> Iterator[float]:
    """Local midnights from the day before ``since`` to ``until``, as seconds from the start."""
    first = midnight(begins)
    day = first + DAY_S * ((since - first) // DAY_S - 1)
    while day < until:
        yield day
        day += DAY_S
