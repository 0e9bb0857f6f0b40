"""Movement that no rule was tuned on, made here from fixed seeds with the simulator's own models.

Workloads are made as those of the shared traces (their README): sender and reader uniform and
different, created so that every lifetime ends within the trace, text of 200 to 1,000 bytes, files
of 10 to 500 kB log-uniform. There are 400 messages instead of 1,000, for smaller crowds.
"""

import gzip
import math
import random
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from meshchat.sim import mobility
from meshchat.sim.chance import Chance
from meshchat.sim.meetings import encounters
from meshchat.sim.paths import Paths
from meshchat.sim.ways import Change, Contact

MESSAGES = 400
HOUR_S = 3_600.0
RANGE_M = 10.0
SEED = 2_027
HOLD_M = 2.0

Movement = Callable[[], Iterable[mobility.Path]]


class Made(NamedTuple):
    """A trace to be made."""

    hours: float
    ttl_h: float
    people: Movement


def _walkers(count: int, side_m: float) -> Movement:
    """People who wander over a field of this side."""
    return lambda: [
        mobility.random_waypoint(Chance(SEED, "walk", n), side_m, side_m) for n in range(count)
    ]


def _town() -> Iterator[mobility.Path]:
    """Homes, work and two squares of a town of 1 by 1 km; some meet nobody all day."""
    squares = [(300.0, 300.0), (700.0, 600.0)]
    work = [mobility.address(Chance(SEED, "work", n), 1_000, 1_000) for n in range(12)]
    for n in range(80):
        chance = Chance(SEED, "town", n)
        yield mobility.commuter(
            chance, 1_000, 1_000, work=chance.pick(work), squares=squares, evening=0.6
        )


def _gathering() -> Iterator[mobility.Path]:
    """People of four quarters of a town, three hours of them in one crowd."""
    for n in range(80):
        chance = Chance(SEED, "crowd", n)
        west, south = 400.0 * (n % 2), 400.0 * (n // 2 % 2)
        home = _moved(mobility.random_waypoint(chance, 120.0, 120.0), west, south)
        yield mobility.gathering(chance, home, 300.0, 300.0, 3 * HOUR_S, 6 * HOUR_S, radius_m=25.0)


def _villages() -> Iterator[mobility.Path]:
    """Four villages kilometres apart; six couriers go round them."""
    at = [(0.0, 0.0), (4_000.0, 0.0), (4_000.0, 4_000.0), (0.0, 4_000.0)]
    for n in range(60):
        chance = Chance(SEED, "village", n)
        yield _moved(mobility.random_waypoint(chance, 90.0, 90.0, pause=(60, 900)), *at[n % 4])
    for n in range(6):
        chance = Chance(SEED, "courier", n)
        stops = [(x + 45.0, y + 45.0) for x, y in at[n % 4 :] + at[: n % 4]]
        yield mobility.courier(
            chance, stops, departs_s=(1 + n) * HOUR_S, pause=(300, 900), every_s=6 * HOUR_S
        )


def _moved(legs: mobility.Path, west: float, south: float) -> mobility.Path:
    for leg in legs:
        yield leg._replace(x0=leg.x0 + west, y0=leg.y0 + south, x1=leg.x1 + west, y1=leg.y1 + south)


UNSEEN = {
    "walk-thin": Made(12, 4, _walkers(60, 1_200.0)),
    "walk-middle": Made(8, 4, _walkers(60, 600.0)),
    "walk-dense": Made(6, 2, _walkers(60, 250.0)),
    "town": Made(48, 24, _town),
    "gathering": Made(9, 4, _gathering),
    "villages": Made(24, 12, _villages),
}


def contacts(stream: Iterable[Change]) -> list[Contact]:
    """A stream of openings and closings as contacts, in order of start."""
    since: dict[tuple[int, int], float] = {}
    found: list[Contact] = []
    for change in stream:
        pair = change.a, change.b
        if change.up:
            since[pair] = change.at
        else:
            found.append(Contact(since.pop(pair), change.at, *pair))
    return sorted(found)


def make(name: str, into: Path) -> str:
    """Write one trace and its two workloads; says in a line what it is."""
    hours, ttl_h, people = UNSEEN[name]
    paths = Paths(people())
    nodes, end, ttl = len(paths), hours * HOUR_S, ttl_h * HOUR_S
    met = contacts(encounters(paths, RANGE_M, end, "sim", HOLD_M))
    with gzip.open(into / f"{name}.csv.gz", "wt") as file:
        file.write("start_s,end_s,node_a,node_b\n")
        file.writelines(f"{c.start:.1f},{c.end:.1f},{c.a},{c.b}\n" for c in met)
    dice = random.Random(f"{SEED} {name}")
    times = sorted(round(dice.uniform(0, end - ttl), 1) for _ in range(MESSAGES))
    text, media = (["created_s,src,dst,size_bytes,ttl_s"] for _ in range(2))
    for at in times:
        src, dst = dice.sample(range(nodes), 2)
        size = round(math.exp(dice.uniform(math.log(10_000), math.log(500_000))))
        text.append(f"{at},{src},{dst},{dice.randint(200, 1_000)},{ttl:g}")
        media.append(f"{at},{src},{dst},{size},{ttl:g}")
    for kind, lines in (("text", text), ("media", media)):
        (into / f"{name}.{kind}.csv").write_text("\n".join(lines) + "\n", "utf-8")
    seconds = sum(c.end - c.start for c in met)
    return (
        f"{name}: {nodes} nodes, {hours:g} h, {len(met):,} contacts of "
        f"{seconds / max(1, len(met)):.0f} s, {2 * seconds / nodes / hours:,.0f} contact seconds "
        f"per node and hour, lifetime {ttl_h:g} h"
    )


def folder_of(name: str) -> str:
    """Where a trace of this name is, made anew if it is one of ours; empty: with the shared."""
    if name not in UNSEEN:
        return ""
    folder = Path(tempfile.gettempdir()) / f"meshchat-unseen-{SEED}"
    folder.mkdir(exist_ok=True)
    print(make(name, folder), flush=True)
    return str(folder)
