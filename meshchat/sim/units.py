"""Figures for people: seconds, bytes, shares and counts in a few characters."""

import math
from collections.abc import Callable, Sequence

NOTHING = "-"  # shown where there is no figure
SIGNIFICANT = 3  # digits: nobody compares runs by the fourth


def _short(value: float, digits: int = SIGNIFICANT) -> str:
    """About ``digits`` significant digits, never scientific: 0.05, 1.24, 12.4, 1,240."""
    if not math.isfinite(value):
        return NOTHING  # a document from a file has none
    size = abs(value)
    if size >= 10 ** (digits - 1) or value == int(value):
        return f"{value:,.0f}"
    places = digits - 1
    while size < 1 and places < digits + 2 and size:
        size *= 10
        places += 1
    while size >= 10:
        size /= 10
        places -= 1
    return f"{value:.{places}f}"


def amount(value: float | None) -> str:
    """1,234 or 3.42."""
    return NOTHING if value is None else _short(value)


def share(value: float | None) -> str:
    """0.8217 as 82.2 %."""
    return NOTHING if value is None else f"{100 * value:.1f} %"


_SPANS = ((259_200, 86_400, "days"), (5_970, 3_600, "h"), (99.5, 60, "min"), (1, 1, "s"))


def duration(seconds: float | None) -> str:
    """Seconds as ms, s, min, h or days."""
    return durations([seconds])[0]


def durations(row: Sequence[float | None]) -> list[str]:
    """Times to be compared, all in the unit that fits the longest."""
    most = max((abs(seconds) for seconds in row if seconds is not None), default=0.0)
    unit, name = next(
        ((unit, name) for least, unit, name in _SPANS if most >= least), (0.001, "ms")
    )
    if not most:
        unit, name = 1, "s"
    return [NOTHING if one is None else f"{_short(one / unit)} {name}" for one in row]


def volume(count: float | None) -> str:
    """Bytes as B, kB, MB, GB or TB (powers of 1,000)."""
    if count is None:
        return NOTHING
    for name in ("B", "kB", "MB", "GB"):
        if abs(count) < 999.5:
            return f"{_short(count)} {name}"
        count /= 1000
    return f"{_short(count)} TB"


def energy(joules: float | None) -> str:
    """Joules as J, kJ or MJ."""
    if joules is None:
        return NOTHING
    for name in ("J", "kJ"):
        if abs(joules) < 999.5:
            return f"{_short(joules)} {name}"
        joules /= 1000
    return f"{_short(joules)} MJ"


def unit(name: str) -> Callable[[float | None], str]:
    """How a figure is shown, told by its key, as ``delay_s.p90`` or ``bytes.total``."""
    path = name.split(".")
    if any(part.endswith(("_s", "_s_per_node")) or part == "seconds" for part in path):
        return duration
    if any("bytes" in part for part in path):
        return volume
    if any(part.endswith("_j") for part in path):
        return energy
    if path[-1] in ("delivery_ratio", "limit_delivery_ratio") or path[0] == "ratio":
        return share
    return amount


def figure(name: str, value: float | None) -> str:
    """A figure in the unit that its key tells."""
    return unit(name)(value)
