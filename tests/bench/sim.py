"""What simulated peers cost: ``python -m tests.bench.sim [traces walkers]``.

Each run is a process of its own, so that its memory is its own, and has the same fixed loop of
plain Python run beside it: CPU seconds of a noisy machine are told as multiples of that loop too.
The ONE's figures are CPU seconds on such a machine from the design study (delivery.md, A): abstract
routers without cryptography, packets or control traffic.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.bench.table import Figure, show  # noqa: E402

TRACES = ROOT.parent / "shared" / "traces"
BUFFER_BYTES = 5_000_000
RATE = 12_000.0
WALK_S = 600.0
WALKERS = (250, 500, 1_000, 2_000)
SPACE_M2 = 2_500.0  # a walker: constant density
RANGE_M = 10.0
# The ONE's Epidemic: contacts per CPU second, text at 1 s steps and media (condition M)
ONE_TEXT = {"hosp10": 14_037 / 39}
ONE_MEDIA = {"hosp10": 949.0, "museum09": 1_080.0}
ONE_WALKERS = {500: 3_047.0, 1_000: 4_673.0, 2_000: 5_763.0}


def reference_loop() -> float:
    """CPU seconds of a fixed piece of plain Python: dicts, bytes, a heap of small objects."""
    began = time.process_time()
    table: dict[bytes, bytes] = {}
    for number in range(300_000):
        key = number.to_bytes(4, "little")
        table[key] = key + b"x"
        if number & 7 == 0:
            table.pop(key)
    return time.process_time() - began


def run_one(what: str) -> dict[str, float]:
    """In a process of its own: ``trace hosp10 text fast`` or ``walkers 500 fast``."""
    command = [sys.executable, "-m", "tests.bench.sim", "--one", *what.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _trace(name: str, workload: str, mode: str) -> dict[str, float]:
    from meshchat.sim.runs import run_trace

    document = run_trace(
        TRACES / f"{name}.csv.gz",
        TRACES / f"{name}.{workload}.csv",
        rate=RATE,
        buffer=BUFFER_BYTES if workload == "media" else None,
        fast=mode == "fast",
    )
    return {
        "cpu_s": document["cpu_s"],
        "events": document["events"],
        "contacts": document["contacts"]["count"],
        "mb": document["peak_rss_bytes"] / 1e6,
        "ratio": document["ratio"]["limit"] or 0.0,
    }


def _walkers(count: int, mode: str) -> dict[str, float]:
    from meshchat.sim import Radio, Wanted, World
    from meshchat.sim.chance import Chance
    from meshchat.sim.meetings import encounters
    from meshchat.sim.mobility import random_waypoint
    from meshchat.sim.paths import Paths
    from meshchat.sim.runs import peak_rss

    began = time.process_time()
    side = (count * SPACE_M2) ** 0.5
    world = World(seed=1, fast=mode == "fast", radios={"ble": Radio(rate=RATE)})
    for _ in range(count):
        world.person()
    chance = Chance(1, "workload")
    for _ in range(count // 5):
        src, dst = chance.sample(range(count), 2)
        world.send(Wanted(chance.uniform(0, WALK_S / 2), src, dst, 300, WALK_S / 2))
    paths = Paths(random_waypoint(Chance(1, "walk", n), side, side) for n in range(count))
    world.follow(encounters(paths, RANGE_M, WALK_S, "ble"))
    world.run(until=WALK_S)
    world.measure.finish()
    return {
        "cpu_s": time.process_time() - began,
        "events": world.events,
        "contacts": len(world.measure.contacts),
        "mb": peak_rss() / 1e6,
    }


def figures(chosen: tuple[str, ...] = ("traces", "walkers")) -> list[Figure]:
    """Contacts per CPU second beside The ONE's, cost per event, memory."""
    found: list[Figure] = []
    if "traces" in chosen and TRACES.is_dir():
        for name, workload, mode in (
            ("hosp10", "text", "fast"),
            ("hosp10", "text", "real"),
            ("hosp10", "media", "fast"),
            ("hosp10", "media", "real"),
            ("museum09", "media", "fast"),
        ):
            run = run_one(f"trace {name} {workload} {mode}")
            theirs = (ONE_TEXT if workload == "text" else ONE_MEDIA)[name]
            title = f"sim {name} {workload} {mode}"
            rate = run["contacts"] / run["cpu_s"] / theirs
            found += [
                (f"{title}: contacts per CPU s / The ONE's", rate, _bar(mode)),
                (f"{title}: CPU s", run["cpu_s"], ""),
                (f"{title}: CPU s / reference loop", run["cpu_s"] / run["loop_s"], ""),
                (f"{title}: us per event", run["cpu_s"] / run["events"] * 1e6, ""),
                (f"{title}: peak MB", run["mb"], ""),
                (f"{title}: deliveries / limit", run["ratio"], ""),
            ]
    if "walkers" in chosen:
        for count in WALKERS:
            run = run_one(f"walkers {count} fast")
            title = f"sim {count:,} walkers, 10 min, fast"
            found += [
                (f"{title}: us per event", run["cpu_s"] / run["events"] * 1e6, ""),
                (f"{title}: events per node", run["events"] / count, ""),
                (f"{title}: CPU s / reference loop", run["cpu_s"] / run["loop_s"], ""),
                (f"{title}: peak MB", run["mb"], "<= 1000" if count <= 1_000 else ""),
            ]
            if count in ONE_WALKERS:
                rate = run["contacts"] / run["cpu_s"] / ONE_WALKERS[count]
                found.append((f"{title}: contacts per CPU s / The ONE's", rate, _bar("fast")))
    return found


def _bar(mode: str) -> str:
    return ">= 1" if mode == "fast" else ">= 0.2"


def _main(arguments: list[str]) -> int:
    if arguments[:1] != ["--one"]:
        return bool(show(figures(tuple(arguments) or ("traces", "walkers"))))
    loops = [reference_loop() for _ in range(3)]
    kind, *rest = arguments[1:]
    run = _trace(*rest) if kind == "trace" else _walkers(int(rest[0]), rest[1])
    loops += [reference_loop() for _ in range(3)]
    print(json.dumps({**run, "loop_s": sorted(loops)[len(loops) // 2]}))
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
