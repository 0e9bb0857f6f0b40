"""Two runs side by side."""

from collections.abc import Iterator
from textwrap import wrap
from typing import TypedDict

from meshchat.sim.document import Document, Result, checked
from meshchat.sim.figures import figures
from meshchat.sim.result import WIDTH_CHARS, unfinished
from meshchat.sim.units import NOTHING, duration, durations, figure, share, unit
from meshchat.text import Clean

NAME_MAX_CHARS = 28
CELL_MAX_CHARS = 13
SETTING_MAX_CHARS = 60


class Row(TypedDict):
    """One figure of both runs; ``difference`` is b - a, ``percent`` of a; null where none is."""

    figure: str
    a: float | None
    b: float | None
    difference: float | None
    percent: float | None


class Comparison(TypedDict):
    """Two runs as a script wants them."""

    a: dict[str, object]
    b: dict[str, object]
    settings_differ: dict[str, list[object]]
    same_trace: bool
    figures: list[Row]


def comparison(a: Document, b: Document) -> Comparison:
    """Two documents as JSON. Raises ``UsageError`` if one is no result."""
    one, other = checked(a), checked(b)
    left, right = figures(one), figures(other)
    return {
        "a": _who(one),
        "b": _who(other),
        "settings_differ": _settings(one, other),
        "same_trace": one.trace_hash == other.trace_hash,
        "figures": [
            _row(name, left.get(name), right.get(name)) for name in dict.fromkeys([*left, *right])
        ],
    }


def _who(result: Result) -> dict[str, object]:
    names = ("name", "kind", "seed", "meshchat", "complete", "stopped_at_s", "trace_hash")
    return {name: getattr(result, name) for name in names}


def _settings(one: Result, other: Result) -> dict[str, list[object]]:
    def every(result: Result) -> dict[str, object]:
        own: dict[str, object] = {
            name: getattr(result, name)
            for name in ("kind", "name", "seed", "fast", "nodes", "duration_s", "meshchat")
        }
        return {**own, **{f"settings.{name}": value for name, value in result.settings.items()}}

    left, right = every(one), every(other)
    return {
        name: [left.get(name), right.get(name)]
        for name in dict.fromkeys([*left, *right])
        if left.get(name) != right.get(name) or (name in left) != (name in right)
    }


def _row(name: str, a: float | None, b: float | None) -> Row:
    difference = None if a is None or b is None else b - a
    percent = 100 * difference / abs(a) if difference is not None and a else None
    if difference == 0:
        percent = 0.0
    return {"figure": name, "a": a, "b": b, "difference": difference, "percent": percent}


def compare(a: Document, b: Document) -> str:
    """A table for a terminal, 80 columns. Raises ``UsageError`` if one is no result."""
    return "\n".join(_lines(checked(a), checked(b), comparison(a, b)))


def _lines(one: Result, other: Result, found: Comparison) -> Iterator[str]:
    for letter, result in (("A", one), ("B", other)):
        shown = Clean.line(result.name, SETTING_MAX_CHARS)
        yield f"{letter}  {shown}, {result.nodes:,} nodes, seed {result.seed}"
        if not result.complete:
            yield f"   {unfinished(result)}"
    yield ""
    differ = found["settings_differ"]
    if differ:
        yield "What was set differs (A, B):"
        for key, (left, right) in differ.items():
            yield from wrap(
                f"{Clean.line(key, SETTING_MAX_CHARS)}: {_shown(left)}, {_shown(right)}",
                WIDTH_CHARS,
                initial_indent="  ",
                subsequent_indent="    ",
            )
    else:
        yield "Same scenario, seed and settings" + (
            ", and the same trace: nothing differs but the machine."
            if found["same_trace"]
            else ", but another trace."
        )
    yield ""
    yield _line("", "A", "B", "B - A", "percent")
    for row in found["figures"]:
        if row["a"] is not None or row["b"] is not None:
            yield _line(row["figure"], *_cells(row), _percent(row["percent"])).rstrip()


def _cells(row: Row) -> list[str]:
    """A, B and their difference in one unit."""
    name, values = row["figure"], [row["a"], row["b"], row["difference"]]
    shown = (
        durations(values) if unit(name) is duration else [figure(name, value) for value in values]
    )
    if row["difference"] == 0:
        shown[2] = "="
    elif (row["difference"] or 0) > 0:
        shown[2] = f"+{shown[2]}"
    if unit(name) is share and shown[2].endswith("%"):
        shown[2] = shown[2].replace("%", "pp")  # percentage points
    return shown


def _line(name: str, *cells: str) -> str:
    return f"{name[:NAME_MAX_CHARS]:<{NAME_MAX_CHARS}}" + "".join(
        f"{cell:>{CELL_MAX_CHARS}}" for cell in cells
    )


def _shown(value: object) -> str:
    return NOTHING if value is None else str(Clean.line(str(value), SETTING_MAX_CHARS))


def _percent(value: float | None) -> str:
    if not value:
        return ""
    return f"{value:+,.1f} %" if abs(value) < 10_000 else f"{value:+,.0f} %"
