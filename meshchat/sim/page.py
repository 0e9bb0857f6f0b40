"""A run as one HTML page that needs nothing else: no network, no other file."""

import base64
import hashlib
from functools import cache
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from msgspec import Struct

from meshchat.sim.charts import Chart, Drawing, draw
from meshchat.sim.document import KINDS, Document, Result, checked
from meshchat.sim.extras import extra
from meshchat.sim.pictures import graph_picture, map_picture
from meshchat.sim.plots import charts, delivery
from meshchat.sim.result import (
    beside_bounds,
    headline,
    make_folder,
    mark_line,
    save,
    unfinished,
    write,
)
from meshchat.sim.units import amount, duration, durations, energy, share, volume
from meshchat.text import Clean

PAGE_FILE, DOCUMENT_FILE = "index.html", "result.json"
WIDE, NARROW, SMALL = (1160, 340), (370, 260), (370, 220)
TABLE_ROWS_MAX = 13
CARRIERS_MAX = 10
ROWS_MAX = 500  # of settings and counters
NAME_MAX_CHARS = 60
TITLE_MAX_CHARS = 300


class _Legend(Struct, frozen=True):
    name: str
    colour: int
    style: str
    value: str


class _Plot(Struct, frozen=True):
    """A chart as the template wants it."""

    key: str
    title: str
    says: str
    x_name: str
    stacked: bool
    hero: bool
    legend: list[_Legend]
    rest_at: str
    drawings: list[Drawing]
    data: dict[str, object]
    table: list[list[str]]


def page(document: Document) -> str:
    """The page of a run.

    Raises:
        UsageError: ``not_a_result``; or ``extra_missing``: a library is not installed.
    """
    result = checked(document)
    with extra("The page"):
        from jinja2 import Environment, StrictUndefined
    script = _part("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    parts = {**_head(result), **_charts(result), **_tables(result)}
    return environment.from_string(_part("page.html")).render(
        **parts, style=_part("page.css"), script=script, script_hash=f"sha256-{digest}"
    )


def write_page(document: Document, folder: Path) -> None:
    """Write ``index.html`` and ``result.json`` into a folder, which is made.

    Raises:
        UsageError: It cannot be written; or as ``page``.
        StoreError: The disk is full.
    """
    text = page(document)
    make_folder(folder)
    save(text, folder / PAGE_FILE)
    write(document, folder / DOCUMENT_FILE)


def check_page(folder: Path) -> None:
    """Find out before a long run that its page could not be made. Raises as ``write_page``."""
    with extra("The page"):
        for library in ("matplotlib", "jinja2", "igraph"):
            if find_spec(library) is None:
                raise ModuleNotFoundError(name=library)
    make_folder(folder)


@cache
def _part(name: str) -> str:
    return resources.files("meshchat.sim").joinpath(name).read_text(encoding="utf-8")


def _line(text: str, limit: int = NAME_MAX_CHARS) -> str:
    return str(Clean.line(text, limit))


def _head(result: Result) -> dict[str, Any]:
    title = _line(result.title, TITLE_MAX_CHARS)
    crypto = "without cryptography (--fast)" if result.fast else "real cryptography"
    facts = [
        f"{result.nodes:,} nodes",
        f"{duration(result.stopped_at_s)} simulated in {duration(result.cpu_s)} of processor time",
        f"seed {result.seed}",
        crypto,
        f"meshchat {_line(result.meshchat)}",
    ]
    return {
        "name": _line(result.name),
        "title": title if title != _line(result.name) else "",
        "kind": result.kind,
        "headline": headline(result),
        "facts": " · ".join(facts),
        "unfinished": unfinished(result).removeprefix("INCOMPLETE: ").capitalize(),
        "marks": [{"ok": mark.ok, "text": mark_line(mark)} for mark in result.marks],
        "passed": sum(mark.ok for mark in result.marks),
        "tiles": _tiles(result),
        "version": _line(result.meshchat),
        "trace": _line(result.trace_hash, 128),
    }


def _tiles(result: Result) -> list[dict[str, object]]:
    def tile(name: str, value: str, beside: str, part: float | None = None) -> dict[str, object]:
        shown = None if part is None else round(100 * min(max(part, 0.0), 1.0), 1)
        return {"name": name, "value": value, "beside": beside, "part": shown}

    def times(name: str, run: float | None, limit: float | None) -> dict[str, object]:
        shown, beside = durations([run, limit])
        return tile(name, shown, f"limit {beside}")

    delay, best = result.delay_s, result.limit.delay_s
    each = getattr(result.bytes_per_delivery, "total", None)
    found = [
        tile(
            "delivered",
            share(result.delivery_ratio),
            f"{result.delivered:,} of {result.created:,}",
            result.delivery_ratio,
        ),
        tile(
            "of the limit",
            share(result.ratio.limit),
            f"which delivers {result.limit.delivered:,}",
            result.ratio.limit,
        ),
    ]
    if result.clairvoyant:
        told = f"which delivers {result.clairvoyant.delivered:,}"
        ratio = result.ratio.clairvoyant
        found.append(tile("of clairvoyant", share(ratio), told, ratio))
    found += [
        times("median delay", delay.p50, best.p50),
        times("delay p90", delay.p90, best.p90),
        times("mean wait", result.mean_wait_s, result.limit.mean_wait_s),
        tile("sent per delivery", volume(each), f"{volume(result.bytes.total)} in all"),
        tile("hops", amount(result.hops.mean), f"at most {amount(result.hops.max)}"),
    ]
    return found


def _charts(result: Result) -> dict[str, Any]:
    total = result.bytes.total
    each = result.bytes_per_delivery
    kinds = [
        {
            "name": kind,
            "colour": place,
            "total": volume(getattr(result.bytes, kind)),
            "share": share(getattr(result.bytes, kind) / total if total else None),
            "part": round(100 * getattr(result.bytes, kind) / total, 1) if total else 0,
            "each": volume(getattr(each, kind, None)),
        }
        for place, kind in enumerate(KINDS, 1)
    ]
    busiest = sorted(result.people, key=lambda person: -person.carried)[:CARRIERS_MAX]
    most = max((person.carried for person in busiest), default=0)
    carriers = [
        {
            "name": _line(person.name),
            "carried": f"{person.carried:,}",
            "part": round(100 * person.carried / most, 1),
            "sent": volume(person.sent_bytes),
            "received": volume(person.received_bytes),
        }
        for person in busiest
        if person.carried
    ]
    payload = share(result.bytes.payload / total if total else None)
    return {
        "hero": _plot(delivery(result), hero=True),
        "charts": [_plot(chart) for chart in charts(result)],
        "kinds": kinds,
        "kinds_say": f"{payload} of what was sent were messages and files, copies included.",
        "kinds_total": volume(total),
        "kinds_each": volume(getattr(each, "total", None)),
        "carriers": carriers,
        "people": f"{len(result.people):,}",
        "map": map_picture(result.map),
        "graph": graph_picture(result),
    }


def _plot(chart: Chart, hero: bool = False) -> _Plot:
    rows: list[list[str]] = []
    drawings: list[Drawing] = []
    if not chart.empty:
        sizes = (WIDE, NARROW) if hero else (SMALL,)
        drawings = [draw(chart, *size, number) for number, size in enumerate(sizes)]
        rows = [
            [chart.show_x(x), *(line.show(line.ys[i]) for line in chart.lines)]
            for i, x in enumerate(chart.xs)
        ]
    final = rows[-1] if rows else [""] * (1 + len(chart.lines))
    step = max(1, -(-len(rows) // TABLE_ROWS_MAX))
    table = rows[::step]
    if rows and table[-1] is not rows[-1]:
        table.append(rows[-1])
    peak = [line.show(max(line.ys, default=0.0)) for line in chart.lines]
    resting = chart.peaks and rows
    return _Plot(
        key=chart.key,
        title=chart.title,
        says=chart.says,
        x_name=chart.x_name,
        stacked=chart.stacked,
        hero=hero,
        legend=[
            _Legend(line.name, line.colour, line.style, value)
            for line, value in zip(chart.lines, peak if resting else final[1:], strict=True)
        ],
        rest_at="highest" if resting else final[0],
        drawings=drawings,
        data={"at": drawings[0].fractions if drawings else (), "rows": rows},
        table=table,
    )


def _tables(result: Result) -> dict[str, Any]:
    heads, *rows = beside_bounds(result)
    held, contacts = result.storage_bytes, result.contacts
    costs = [
        ("refused by the writer's own node", f"{result.refused:,}"),
        ("shown twice", f"{result.duplicates_shown:,}"),
        ("lost after accepting", f"{result.lost_after_accept:,}"),
        ("contacts", f"{contacts.count:,}, {duration(contacts.seconds)} in all"),
        ("links made", f"{contacts.linked:,}; {contacts.failed:,} attempts failed"),
        ("storage a node, mean", volume(held.mean)),
        ("storage a node, most", volume(held.max)),
        ("storage a node, at the end", volume(held.end)),
        ("fewest hops possible, mean", amount(result.limit.fewest_hops_mean)),
        ("processor time", f"{duration(result.cpu_s)}, {duration(result.cpu_s_per_node)} a node"),
        ("events", f"{result.events:,}"),
        ("peak memory", volume(result.peak_rss_bytes)),
    ]
    if result.energy_j:
        told = f"mean {energy(result.energy_j.mean)}, most {energy(result.energy_j.max)}"
        costs.insert(8, ("energy a node", told))
    workloads = [
        (
            _line(name),
            f"{part.created:,}",
            share(part.delivery_ratio),
            share(part.limit_delivery_ratio),
            duration(part.delay_s.p50),
            duration(part.delay_s.p90),
            duration(part.mean_wait_s),
        )
        for name, part in list(result.by_workload.items())[:ROWS_MAX]
    ]
    settings = [(_line(key), _setting(value)) for key, value in result.settings.items()]
    counters = [(_line(key), amount(value)) for key, value in sorted(result.counters.items())]
    blocks = [
        {"title": title, "rows": some[:ROWS_MAX]}
        for title, some in (("Costs", costs), ("Settings", settings), ("Counters", counters))
        if some
    ]
    return {"bounds_heads": heads[1:], "bounds": rows, "workloads": workloads, "blocks": blocks}


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}"
    return "none" if value is None else _line(str(value), TITLE_MAX_CHARS)
