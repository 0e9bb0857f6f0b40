"""Which charts a run is shown by, and what they say in words."""

import math
from bisect import bisect_right
from itertools import pairwise

from meshchat.sim.charts import Chart, Line
from meshchat.sim.document import KINDS, Result
from meshchat.sim.result import headline
from meshchat.sim.units import amount, duration, share, volume

POINTS_MAX = 200  # of a distribution: one for every pixel or two
RANGE_MAX = 10_000  # from the shortest time shown to the longest
BINS_MAX = 100  # of traffic: more looks like noise
BUSIEST = 0.1  # share of people whose share of the work is told
_THIS, _LIMIT, _CLAIRVOYANT, _CREATED = 1, 2, 3, 7  # colours of the page


def _count(value: float) -> str:
    return f"{value:,.0f}"


def _rate(value: float) -> str:
    return f"{volume(value)}/s"


def _rank(value: float) -> str:
    return f"no. {value:,.0f}"


def delivery(result: Result) -> Chart:
    """Delivered so far, with what could have been beside it."""
    series = result.series
    lines = [
        Line("this run", series.delivered, _THIS, "solid", _count),
        Line("limit", series.limit, _LIMIT, "dash", _count),
        Line("created", series.created, _CREATED, "thin", _count),
    ]
    if series.clairvoyant:
        lines.insert(2, Line("clairvoyant", series.clairvoyant, _CLAIRVOYANT, "dot", _count))
    says = f"{headline(result)}. No messenger can be above the limit on these contacts."
    return Chart("delivery", "Delivered over time", says, series.at_s, lines)


def charts(result: Result) -> list[Chart]:
    """The smaller charts, in order."""
    return [
        _delays(result),
        _traffic(result),
        _carried(result),
        _storage(result),
        _neighbours(result),
        _on(result),
    ]


def _delays(result: Result) -> Chart:
    longest = max([*result.delays_s[-1:], *result.limit_delays_s[-1:]], default=0.0)
    firsts = [
        times[len(times) // 50] for times in (result.delays_s, result.limit_delays_s) if times
    ]
    shortest = max(min(firsts, default=0.0), longest / RANGE_MAX, 1.0)
    lines = [
        ("this run", result.delays_s, result.delivery_ratio, _THIS, "solid"),
        ("limit", result.limit_delays_s, result.limit.delivery_ratio, _LIMIT, "dash"),
    ]
    xs: list[float] = []
    if longest:
        low, high = math.log(min(shortest, longest / 2)), math.log(longest)
        xs = [math.exp(low + (high - low) * k / (POINTS_MAX - 1)) for k in range(POINTS_MAX)]
        xs[-1] = longest
    median, best = result.delay_s.p50, result.limit.delay_s.p50
    says = "Share of all messages that arrived within a time."
    if median is not None:
        says += f" Half of those that arrived took under {duration(median)}"
        says += f"; at the limit {duration(best)}." if best is not None else "."
    made = [
        Line(
            name,
            [(ratio or 0.0) * bisect_right(delays, x) / max(len(delays), 1) for x in xs],
            colour,
            style,
            share,
        )
        for name, delays, ratio, colour, style in lines
    ]
    return Chart("delays", "How long they took", says, xs, made, "within", log=True)


def _traffic(result: Result) -> Chart:
    series = result.series
    at, bin_s = series.at_s, (series.at_s[-1] / BINS_MAX if series.at_s else 0.0)
    ends = [0] if at else []
    for i, seconds in enumerate(at):
        if seconds > at[ends[-1]] and seconds - at[ends[-1]] >= bin_s * 0.99:
            ends.append(i)
    spells = list(pairwise(ends))
    lines = []
    for number, kind in enumerate(KINDS, 1):
        sent = series.bytes.get(kind)
        if sent:
            rates = [max(0.0, sent[j] - sent[i]) / (at[j] - at[i]) for i, j in spells]
            lines.append(Line(kind, rates, number, show=_rate))
    says = "Bytes a second of all nodes together, in layers: the last of the legend on top."
    lines.reverse()  # so that payload is the top layer, and the legend reads as the layers lie
    ends_s = [at[j] for _, j in spells]
    return Chart("traffic", "Traffic over time", says, ends_s, lines, stacked=True, peaks=True)


def _carried(result: Result) -> Chart:
    carried = sorted((person.carried for person in result.people), reverse=True)
    step = -(-len(carried) // POINTS_MAX) or 1
    xs = [float(rank) for rank in range(1, len(carried) + 1, step)]
    line = Line("messages taken", carried[::step], _THIS, show=_count)
    few = max(1, round(BUSIEST * len(carried)))
    total = sum(carried)
    says = "Nobody carried anything."
    if total:
        part = share(sum(carried[:few]) / total)
        says = f"From the busiest to the idlest. The busiest {few:,} carried {part} of all."
    return Chart(
        "carried", "Who carried what", says, xs, [line], "person", show_x=_rank, peaks=True
    )


def _storage(result: Result) -> Chart:
    held = result.storage_bytes
    says = f"Bytes held, mean of all nodes. The most any node held was {volume(held.max)}."
    line = Line("held", result.series.held_bytes, 4, show=volume)
    return Chart("storage", "Storage held", says, result.series.at_s, [line], peaks=True)


def _neighbours(result: Result) -> Chart:
    says = (
        "Open links of a node, mean of those that are on. "
        f"{result.contacts.linked:,} links were made in "
        f"{result.contacts.count:,} contacts; {result.contacts.failed:,} attempts failed."
    )
    line = Line("neighbours", result.series.neighbours, 3, show=amount)
    return Chart("neighbours", "Neighbours", says, result.series.at_s, [line], peaks=True)


def _on(result: Result) -> Chart:
    line = Line("nodes on", result.series.on, 6, show=_count)
    says = f"Of {result.nodes:,} nodes, those that are switched on and not seized."
    return Chart("awake", "Nodes on", says, result.series.at_s, [line], peaks=True)
