"""Where nodes are: paths of straight legs, shared by many readers, and paths read from a file.

Distances are metres, times seconds since the start of the world.
"""

import gzip
import math
import zlib
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path as FilePath
from typing import NamedTuple, TextIO, overload

from meshchat.errors import UsageError

NODES_MAX = 100_000  # a slip in the node column must not fill the memory
COORDINATE_MAX_M = 1e8  # twice round the Earth; squares stay exact enough
TIME_MAX_S = 1e9  # thirty years


class Leg(NamedTuple):
    """Straight from (x0, y0) at t0 to (x1, y1) at t1 at constant speed; t1 may be infinite."""

    t0: float
    x0: float
    y0: float
    t1: float
    x1: float
    y1: float


Path = Iterator[Leg]
"""Legs that follow each other in time and place from t = 0; after the last the node stays."""


class Paths(Sequence[Path]):
    """The paths of all nodes, read from their sources once and only as far as asked for.

    ``paths[node]`` is a fresh reader from t = 0 each time, so meetings, hotspots and maps can
    all use the same movement. A leg costs 24 bytes.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        self._sources: list[Path | None] = list(paths)
        count = len(self._sources)
        # Legs are contiguous: the end of one is the start of the next, so only ends are kept.
        self._t = [array("d") for _ in range(count)]
        self._x = [array("d") for _ in range(count)]
        self._y = [array("d") for _ in range(count)]

    def __len__(self) -> int:
        return len(self._sources)

    @overload
    def __getitem__(self, node: int) -> Path: ...
    @overload
    def __getitem__(self, node: slice) -> list[Path]: ...
    def __getitem__(self, node: int | slice) -> Path | list[Path]:
        if isinstance(node, slice):
            return [self[one] for one in range(*node.indices(len(self)))]
        return self._read(range(len(self))[node])

    def position(self, node: int, t: float) -> tuple[float, float]:
        """Where ``node`` is at time ``t``; O(log legs) once the path is known that far."""
        times = self._t[node]
        while not times or times[-1] <= t:
            if not self._more(node):
                break
        at = bisect_right(times, t) - 1
        xs, ys = self._x[node], self._y[node]
        if at < 0:
            raise ValueError(f"node {node} has no position at {t}")
        if at + 1 == len(times):
            return xs[at], ys[at]
        part = (t - times[at]) / (times[at + 1] - times[at])
        return xs[at] + part * (xs[at + 1] - xs[at]), ys[at] + part * (ys[at + 1] - ys[at])

    def _read(self, node: int) -> Path:
        times, xs, ys = self._t[node], self._x[node], self._y[node]
        at = 0
        while at + 1 < len(times) or self._more(node):
            yield Leg(times[at], xs[at], ys[at], times[at + 1], xs[at + 1], ys[at + 1])
            at += 1

    def _more(self, node: int) -> bool:
        """Take one leg from the source; False when it has ended."""
        source = self._sources[node]
        if source is None:
            return False
        times, xs, ys = self._t[node], self._x[node], self._y[node]
        for leg in source:
            here = (times[-1], xs[-1], ys[-1]) if times else (0.0, *leg[1:3])
            stands = leg[1:3] == leg[4:]
            if leg[:3] != here or not (leg.t1 > leg.t0 or (leg.t1 == leg.t0 and stands)):
                raise ValueError(f"path of node {node}: {leg} does not follow {here}")
            if not times:
                times.append(leg.t0)
                xs.append(leg.x0)
                ys.append(leg.y0)
            if leg.t1 == leg.t0:
                continue
            times.append(leg.t1)
            xs.append(leg.x1)
            ys.append(leg.y1)
            return True
        self._sources[node] = None
        return False


def positions_file(path: str | FilePath) -> Paths:
    """Paths from a table of positions, plain or gzip: rows ``t_s,node,x,y`` in order of time.

    Nodes are numbered from 0 and move straight and evenly between their samples; before the first
    and after the last they stand. A first line with names of columns, empty lines and lines
    that start with ``#`` are skipped.

    Raises:
        UsageError: one sentence that names the file, and the line if there is one.
    """
    samples: dict[int, list[tuple[float, float, float]]] = {}
    last = 0.0
    line = 0
    try:
        with _opened(path) as text:
            for line, row in enumerate(text, 1):
                if not row.strip() or row.startswith("#") or (line == 1 and "node" in row):
                    continue
                t, node, x, y = _sample(row, path, line)
                if t < last:
                    raise _bad(path, line, f"time {t:g} is before {last:g}: sort the rows by time")
                last = t
                track = samples.setdefault(node, [])
                if track and track[-1][0] == t:
                    raise _bad(path, line, f"node {node} has two positions at time {t:g}")
                track.append((t, x, y))
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _bad(path, line + 1, "the gzip data is cut off or damaged: copy it again") from error
    except UnicodeDecodeError as error:
        raise _bad(path, line + 1, "this is not text: give a CSV file, plain or .gz") from error
    except OSError as error:
        raise UsageError("positions", f"{path}: cannot be read: {error.strerror}.") from error
    if not samples:
        raise UsageError("positions", f"{path}: has no positions: give rows t_s,node,x,y.")
    for node in range(max(samples) + 1):
        if len(samples.get(node, ())) < 2:
            raise UsageError(
                "positions",
                f"{path}: node {node} has fewer than two samples: number the nodes from 0 and "
                "give each a first and a last position.",
            )
    return Paths(_through(samples[node]) for node in range(len(samples)))


def _opened(path: str | FilePath) -> TextIO:
    with FilePath(path).open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    if packed:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return FilePath(path).open(encoding="utf-8-sig", newline="")


def _sample(row: str, path: str | FilePath, line: int) -> tuple[float, int, float, float]:
    fields = row.split(",")
    if len(fields) != 4:
        raise _bad(path, line, f"has {len(fields)} fields, not the four t_s,node,x,y")
    try:
        t, node, x, y = float(fields[0]), int(fields[1]), float(fields[2]), float(fields[3])
    except ValueError as error:
        raise _bad(path, line, "t_s, x, y must be numbers and node a whole number") from error
    if not 0 <= t <= TIME_MAX_S:
        raise _bad(path, line, f"time must be 0 to {TIME_MAX_S:g} seconds")
    if not 0 <= node < NODES_MAX:
        raise _bad(path, line, f"node must be 0 to {NODES_MAX - 1}")
    if not (abs(x) <= COORDINATE_MAX_M and abs(y) <= COORDINATE_MAX_M):
        raise _bad(path, line, f"x and y must be numbers within {COORDINATE_MAX_M:g} metres of 0")
    return t, node, x, y


def _bad(path: str | FilePath, line: int, what: str) -> UsageError:
    return UsageError("positions", f"{path}, line {line}: {what}.")


def _through(samples: list[tuple[float, float, float]]) -> Path:
    """Legs through samples; a long stand is one leg, so it costs one event."""
    t, (_, x, y) = 0.0, samples[0]
    until = t
    for at, to_x, to_y in samples:
        if (to_x, to_y) == (x, y):
            until = at
            continue
        if until > t:
            yield Leg(t, x, y, until, x, y)
        yield Leg(until, x, y, at, to_x, to_y)
        t, x, y = at, to_x, to_y
        until = t
    yield Leg(t, x, y, math.inf, x, y)
