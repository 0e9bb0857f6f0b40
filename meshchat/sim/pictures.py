"""The map with movement and the graph of contacts, as coordinates in a box 1,000 wide."""

import math
import random
from itertools import pairwise

from msgspec import Struct

from meshchat.sim.document import Map, Result
from meshchat.sim.extras import extra
from meshchat.sim.units import duration
from meshchat.text import Clean

WIDTH = 1_000
SIDES_MIN, SIDES_MAX = 0.25, 1.4  # height / width of a picture that fits a screen
DOTS_MAX = 1_000  # on the map: more are neither seen apart nor moved smoothly
FRAMES_MAX = 240  # the format says about 60
EDGE_CLASSES = 4  # lines of a graph by their strength, from faint to strong
EDGES_MAX = 3_000
THREAD = 1.0  # strength: that of a contact of a moment
FEW = 200  # nodes of a graph with dots of full size
SEED = 1  # of the graph's layout: the same page every time

Spot = tuple[int, int] | None


class Disc(Struct, frozen=True):
    """A place, or somebody in the graph."""

    name: str
    x: int
    y: int
    r: float


class MovingDisc(Struct, frozen=True):
    """A jammer: its middle in each frame."""

    r: float
    xy: list[Spot]


class MapPicture(Struct, frozen=True):
    """Everything of the map, in the units of the picture."""

    says: str
    height: int
    places: list[Disc]
    jam: list[MovingDisc]
    at: list[str]
    frames: list[list[Spot]]
    scale: int
    """Length of the scale bar."""
    scale_name: str

    @property
    def first(self) -> list[Spot]:
        """Where everybody is at first."""
        return self.frames[0]

    @property
    def data(self) -> dict[str, object]:
        """What the page's script moves the map by."""
        return {"at": self.at, "frames": self.frames, "jam": [disc.xy for disc in self.jam]}


class GraphPicture(Struct, frozen=True):
    """Everything of the graph, in the units of the picture."""

    says: str
    height: int
    edges: list[str]
    """SVG paths, faint to strong."""
    nodes: list[Disc]


def map_picture(found: Map | None) -> MapPicture | None:
    """The map, or None if there is nothing to show."""
    if found is None or not found.frames or not found.frames[0].xy:
        return None
    width, height = max(found.width, 1e-9), max(found.height, 1e-9)
    side = min(max(height / width, SIDES_MIN), SIDES_MAX)
    scale = min(WIDTH / width, side * WIDTH / height)

    def put(spot: tuple[float, float] | None) -> Spot:
        if spot is None:
            return None
        x, y = (_bounded(spot[0] * scale), _bounded((height - spot[1]) * scale))
        return x, y

    frames = found.frames[:FRAMES_MAX]
    count = max(len(frame.xy) for frame in frames)
    dots = range(0, count, -(-count // DOTS_MAX))
    spots = [[put(_at(frame.xy, dot)) for dot in dots] for frame in frames]
    places = []
    for place in found.places:
        x, y = put((place.x, place.y)) or (0, 0)
        places.append(Disc(str(Clean.line(place.name)), x, y, round(place.radius * scale, 1)))
    jam = [
        MovingDisc(
            round(disc.radius * scale, 1), [put(_at(disc.xy, k)) for k in range(len(frames))]
        )
        for disc in found.jam
    ]
    bar = 10 ** math.floor(math.log10(width / 3))
    bar *= max(step for step in (1, 2, 5) if step * bar <= width / 3 or step == 1)
    some = f"{len(dots):,} of {count:,} people" if len(dots) < count else f"{count:,} people"
    extent = f"{_metres(width)} by {_metres(height)}"
    says = f"{some} on {extent}, from {duration(frames[0].at_s)} to {duration(frames[-1].at_s)}."
    if jam:
        says += " A dashed circle is where radios hear nothing."
    return MapPicture(
        says=says,
        height=round(side * WIDTH),
        places=places,
        jam=jam,
        at=[duration(frame.at_s) for frame in frames],
        frames=spots,
        scale=round(bar * scale),
        scale_name=_metres(bar),
    )


def _at(spots: list[tuple[float, float] | None], index: int) -> tuple[float, float] | None:
    return spots[index] if index < len(spots) else None


def _bounded(value: float) -> int:
    return round(min(max(value, -WIDTH), 3 * WIDTH))  # what left the map is out of sight anyway


def _metres(value: float) -> str:
    return f"{value / 1000:g} km" if value >= 1000 else f"{value:.3g} m"


def graph_picture(result: Result) -> GraphPicture | None:
    """The graph, laid out by igraph; None if nobody met.

    Raises:
        UsageError: ``extra_missing``: igraph is not installed.
    """
    edges = [edge for edge in result.contact_graph.edges if edge[0] != edge[1]][:EDGES_MAX]
    if not edges:
        return None
    with extra("The page"):
        import igraph
    edges.sort(key=lambda edge: edge[2])
    met = sorted({node for a, b, _ in edges for node in (a, b)})
    place = {node: index for index, node in enumerate(met)}
    graph = igraph.Graph(len(met), [(place[a], place[b]) for a, b, _ in edges])
    strength = [math.sqrt(1 + seconds) for _, _, seconds in edges]
    # Groups that never met would fly apart and leave no room: invisible threads hold them.
    groups = sorted(graph.components(), key=len, reverse=True)
    threads = [(groups[0][0], group[0]) for group in groups[1:]]
    graph.add_edges(threads)
    strength += [THREAD] * len(threads)
    igraph.set_random_number_generator(random.Random(SEED))
    try:
        laid = graph.layout_fruchterman_reingold(weights=strength, niter=500).coords
    finally:
        igraph.set_random_number_generator(random)
    height = 0.7 * WIDTH
    spots = _fitted(laid, height)
    bounds = [len(edges) * k // EDGE_CLASSES for k in range(EDGE_CLASSES + 1)]
    paths = []
    for low, high in pairwise(bounds):
        ends = (spots[place[a]] + spots[place[b]] for a, b, _ in edges[low:high])
        paths.append("".join(f"M{x} {y}L{u} {v}" for x, y, u, v in ends))
    most = max((person.carried for person in result.people), default=0) or 1
    size = min(1.0, max(0.5, math.sqrt(FEW / len(met))))
    nodes = []
    for node in met:
        person = result.people[node] if node < len(result.people) else None
        carried = person.carried if person else 0
        name = f"{Clean.line(person.name)}: carried {carried:,}" if person else f"number {node}"
        x, y = spots[place[node]]
        nodes.append(Disc(name, x, y, round(size * (4 + 9 * math.sqrt(carried / most)), 1)))
    shown = "pairs who met" if len(edges) < EDGES_MAX else "pairs who met longest"
    says = (
        f"{len(met):,} of {result.nodes:,} people, and {len(edges):,} {shown}: the longer, "
        f"the stronger their line (at most {duration(edges[-1][2])}). Bigger dots carried more."
    )
    return GraphPicture(says, round(height), paths, nodes)


def _fitted(laid: list[list[float]], height: float) -> list[tuple[int, int]]:
    """Coordinates stretched to the picture, but for a margin."""
    xs, ys = [x for x, _ in laid], [y for _, y in laid]
    wide, high = max(xs) - min(xs) or 1.0, max(ys) - min(ys) or 1.0
    margin = 20
    across, down = (WIDTH - 2 * margin) / wide, (height - 2 * margin) / high
    return [
        (round(margin + (x - min(xs)) * across), round(margin + (y - min(ys)) * down))
        for x, y in laid
    ]
