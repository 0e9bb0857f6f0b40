"""Line charts as inline SVG: drawn by matplotlib, coloured by the page's style sheet.

Nothing but numbers and our own words reaches matplotlib, so a hostile name cannot.
"""

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

from msgspec import Struct

from meshchat.sim.extras import extra
from meshchat.sim.units import duration, durations, volume

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TICKS_MAX = 6  # on the time axis of a narrow chart
_STEPS_S = (
    *(0.001, 0.01, 0.1, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800),
    *(3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 2_419_200, 31_536_000),
)
_LOG_TICKS_S = (1, 10, 60, 600, 3600, 14_400, 43_200, 172_800, 604_800, 2_419_200)
_SVG = "http://www.w3.org/2000/svg"
_DROPPED = (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style")
_LINK = "{http://www.w3.org/1999/xlink}href"
# matplotlib draws in these; the page's style sheet decides what they look like
_COLOURS = {"#0000f1": "var(--ink)", "#0000f2": "var(--soft)", "#0000f3": "var(--grid)"}
_INK, _SOFT, _GRID = _COLOURS
_RC: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: found, read aloud, in the page's font
    "svg.hashsalt": "meshchat",  # the same page every time
    "font.size": 11,
    "path.simplify": True,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _SOFT,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "text.parse_math": False,
}
_DASHES = {"solid": "solid", "dash": (0, (6, 3)), "dot": (0, (1.5, 2.5)), "thin": "solid"}


class Line(Struct, frozen=True):
    """One line or layer: ``ys`` as long as the chart's ``xs``."""

    name: str
    ys: Sequence[float]
    colour: int
    """A number of the page's palette, from 1."""
    style: str = "solid"
    """``solid``, ``dash``, ``dot`` or ``thin``: told apart without colours too."""
    show: Callable[[float], str] = volume


class Chart(Struct, frozen=True):
    """What a chart shows; drawn by ``svg``."""

    key: str
    """Part of the ids in the page; letters only."""
    title: str
    says: str
    """What is to be seen, for those who do not see it."""
    xs: Sequence[float]
    lines: Sequence[Line]
    x_name: str = "time"
    show_x: Callable[[float], str] = duration
    stacked: bool = False
    log: bool = False
    peaks: bool = False
    """The legend tells the highest values instead of the last ones."""
    top: float | None = None
    """Upper end of the y axis; by itself if None."""

    @property
    def empty(self) -> bool:
        """Nothing to draw."""
        return not self.xs or not self.lines


class Drawing(Struct, frozen=True):
    """A chart as SVG, and where its plot is in it."""

    svg: str
    box: tuple[float, float, float, float]
    """Left, top, width and height of the plot in units of the SVG's view box."""
    fractions: tuple[float, ...]
    """Where each point of ``xs`` is, from 0 (left) to 1."""


def colour(number: int) -> str:
    """What matplotlib is told for a colour of the palette."""
    return f"#00f0{number:02}"


def draw(chart: Chart, width: int, height: int, number: int = 0) -> Drawing:
    """Draw a chart; ``number`` tells several drawings of one chart apart.

    Raises:
        UsageError: ``extra_missing``: matplotlib is not installed.
    """
    with extra("The page"):
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    with rc_context(_RC):
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        left, right, top, bottom = 52, 20, 10, 26
        axes.set_position(
            (left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height)
        )
        _axes(axes, chart, width)
        _lines(axes, chart)
        low, high = axes.get_xlim()
        place = axes.transAxes.inverted().transform
        points = axes.transData.transform([(x, 0 if not chart.log else 1) for x in chart.xs])
        fractions = tuple(round(float(at), 4) for at in place(points)[:, 0]) if low < high else ()
        raw = io.StringIO()
        figure.savefig(raw, format="svg", transparent=True, metadata={"Date": None})
    box = (left, top, width - left - right, height - top - bottom)
    return Drawing(_tidy(raw.getvalue(), chart, f"{chart.key}{number}"), box, fractions)


def _axes(axes: "Axes", chart: Chart, width: int) -> None:
    from matplotlib.ticker import (
        FixedFormatter,
        FixedLocator,
        FuncFormatter,
        MaxNLocator,
        NullLocator,
    )

    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.grid(axis="y", color=_GRID, linewidth=1)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=5)
    show = chart.lines[0].show
    heights = [sum(column) for column in zip(*(line.ys for line in chart.lines), strict=True)]
    tallest = max(heights) if chart.stacked else max(max(line.ys) for line in chart.lines)
    top = chart.top or tallest * 1.05 or 1.0
    axes.set_ylim(0, top)
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: show(y).replace(".0 ", " ")))
    low, high = chart.xs[0], chart.xs[-1]
    ticks: list[float]
    if chart.log:
        low, high = max(low, 1e-3), max(high, low * 2, 1e-2)
        axes.set_xscale("log")
        ticks = [x for x in _LOG_TICKS_S if low <= x <= high]
    else:
        high = high if high > low else low + 1.0
        ticks = (
            []
            if chart.show_x is duration
            else list(MaxNLocator(5, integer=True).tick_values(low, high))
        )
        if chart.show_x is duration:
            room = TICKS_MAX if width < 600 else 2 * TICKS_MAX
            step = next((s for s in _STEPS_S if (high - low) / s <= room), high - low)
            first = -(-low // step)
            ticks = [(first + k) * step for k in range(int((high - low) / step) + 1)]
        ticks = [x for x in ticks if low <= x <= high]
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    one_unit = chart.show_x is duration and not chart.log
    names = (
        durations(ticks) if one_unit else [chart.show_x(x).replace("60 min", "1 h") for x in ticks]
    )
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FixedFormatter(names))


def _lines(axes: "Axes", chart: Chart) -> None:
    if chart.stacked:
        layers = [list(line.ys) for line in chart.lines]
        colours = [colour(line.colour) for line in chart.lines]
        axes.stackplot(chart.xs, layers, colors=colours, edgecolor="none", linewidth=0)
        return
    for line in chart.lines:
        shade = colour(line.colour)
        thick = {"solid": 2.4, "thin": 1.2}.get(line.style, 1.8)
        axes.plot(
            chart.xs,
            line.ys,
            color=shade,
            linewidth=thick,
            linestyle=_DASHES[line.style],
            solid_capstyle="round",
            marker="o" if len(chart.xs) == 1 else "",
        )
        if line.style == "solid":
            axes.fill_between(chart.xs, line.ys, color=shade, alpha=0.12, linewidth=0)


def _tidy(raw: str, chart: Chart, key: str) -> str:
    """matplotlib's file as part of a page: own ids, own colours, a name, no extras."""
    ElementTree.register_namespace("", _SVG)
    root = ElementTree.fromstring(raw)
    wanted = set(re.findall(r"#([\w.-]+)", raw))
    for parent in root.iter():
        parent.text = parent.text if (parent.text or "").strip() else None
        for element in list(parent):
            element.tail = None
            if element.tag in _DROPPED:
                parent.remove(element)
        if parent.get("id") not in wanted:
            parent.attrib.pop("id", None)
        for name in ("id", "clip-path"):
            if name in parent.attrib:
                was = parent.attrib[name]
                parent.set(name, re.sub(r"^(url\(#|)", rf"\g<1>{key}-", was))
        if _LINK in parent.attrib:
            parent.set("href", f"#{key}-{parent.attrib.pop(_LINK)[1:]}")
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{key}-t {key}-d")
    for tag, words in (("desc", chart.says), ("title", chart.title)):
        element = ElementTree.Element(f"{{{_SVG}}}{tag}", {"id": f"{key}-{tag[0]}"})
        element.text = words
        root.insert(0, element)
    text = ElementTree.tostring(root, encoding="unicode").replace(f' xmlns="{_SVG}"', "")
    text = re.sub(r"font: ([\d.]+)px [^;\"]*;?", r"font-size: \1px;", text)
    text = re.sub(r" font-family: [^;\"]*;", "", text)
    text = re.sub(r" transform=\"rotate\(-0 [^\"]*\"", "", text)
    text = re.sub(r"(\d+\.\d\d)\d+", r"\1", text)
    for told, meant in _COLOURS.items():
        text = text.replace(told, meant)
    return re.sub(r"#00f0(\d\d)", lambda found: f"var(--c{int(found[1])})", text)
