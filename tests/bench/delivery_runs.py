"""One run of the delivery benchmark, in a process of its own, and what is kept of it."""

import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from meshchat.core.sealed import CHUNK_BYTES
from meshchat.sim import oracle, runs
from meshchat.sim.ways import Contact, Wanted
from meshchat.sim.world import World
from tests.bench import delivery_rules

ROOT = Path(__file__).parents[2]
TRACES = Path(os.environ.get("MESHCHAT_TRACES", ROOT.parent / "shared/traces"))
RATE = 12_000.0
BUFFER_BYTES = 5_000_000
WORKLOADS = {"T": "text", "M": "media"}

Kept = dict[str, Any]


class Run(NamedTuple):
    """What is run."""

    trace: str
    condition: str
    rules: tuple[str, ...] = ()
    """Names of what is switched off."""
    seed: int = 0
    limits: bool = False
    """Whether the limit and the clairvoyant schedule are worked out too."""
    hours: float = 0.0
    """Only so much of the trace, from its start, with the messages that end in it; 0: all."""
    folder: str = ""
    """Where the trace is; empty: with the shared ones."""


def do(run: Run) -> Kept:
    """Run it here. Rules stay switched off in this process."""
    delivery_rules.switch_off(run.rules)
    shares: list[float] = []
    by_size: dict[str, list[int]] = {}
    drive = runs.drive

    def watched(world: World, horizon: float, look: runs.Look | None) -> bool:
        done = drive(world, horizon, look)
        for person in world.people:
            shares.append(person.node._neighbours._transfers.relay.share)
        measure = world.measure
        for wish, at in zip(measure.wishes, measure.delivered_at, strict=True):
            counts = by_size.setdefault(size_of(wish.size), [0, 0])
            counts[0] += at is not None
            counts[1] += 1
        return done

    runs.drive = watched
    if not run.limits:
        oracle.limit = oracle.clairvoyant = _unknown  # type: ignore[assignment]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(run.folder) if run.folder else TRACES
        if run.hours:
            folder = _cut(run, folder, Path(temporary))
        document = runs.run_trace(
            folder / f"{run.trace}.csv.gz",
            folder / f"{run.trace}.{WORKLOADS[run.condition]}.csv",
            rate=RATE,
            buffer=BUFFER_BYTES if run.condition == "M" else None,
            seed=run.seed,
            fast=True,
        )
    return kept(document) | {"share": sum(shares) / len(shares), "by_size": by_size}


def size_of(size: int) -> str:
    """In how many chunks a file of this size travels, roughly."""
    chunks = -(-size // CHUNK_BYTES)
    return str(chunks) if chunks < 3 else "3-4" if chunks < 5 else "5-8" if chunks < 9 else "9-16"


def _cut(run: Run, whole: Path, into: Path) -> Path:
    """Write the first hours of a trace and of its workload."""
    end = run.hours * 3600
    with (
        gzip.open(whole / f"{run.trace}.csv.gz", "rt") as source,
        gzip.open(into / f"{run.trace}.csv.gz", "wt") as kept,
    ):
        kept.write(next(source))
        for line in source:
            start, stop, rest = line.split(",", 2)
            if float(start) < end:
                kept.write(f"{start},{min(float(stop), end):g},{rest}")
    name = f"{run.trace}.{WORKLOADS[run.condition]}.csv"
    lines = (whole / name).read_text("utf-8").splitlines()
    fits = [line for line in lines[1:] if float(line.split(",")[0]) + _ttl(line) <= end]
    (into / name).write_text("\n".join([lines[0], *fits]) + "\n", "utf-8")
    return into


def _ttl(line: str) -> float:
    return float(line.rsplit(",", 1)[1])


def _unknown(contacts: Sequence[Contact], wanted: Sequence[Wanted], *_: object) -> oracle.Outcome:
    """In the place of a limit that nobody asked for."""
    return oracle.Outcome([None] * len(wanted), [None] * len(wanted), 0, [])


def kept(document: runs.Document) -> Kept:
    """Of a document what the tables need."""
    wanted = ("delivered", "created", "delivery_ratio", "transmissions", "overhead_ratio")
    bound = ("delivered", "delivery_ratio", "mean_wait_s", "overhead_ratio")
    return {
        **{name: document[name] for name in wanted},
        "wait_h": document["mean_wait_s"] / 3600,
        "bytes": document["bytes_per_delivery"],
        "limit": {name: document["limit"][name] for name in bound},
        "clairvoyant": {name: document["clairvoyant"][name] for name in bound},
        "cpu_s": document["cpu_s"],
        "contacts": document["contacts"]["count"],
    }


class Results:
    """Runs that were done, on disk if a file is given: what is there is not run again."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._done: dict[str, Kept] = {}
        if path is not None and path.exists():
            for line in path.read_text("utf-8").splitlines():
                entry = json.loads(line)
                self._done[json.dumps(entry["run"])] = entry["kept"]

    def get(self, run: Run) -> Kept:
        """The figures of a run; it is done in a process of its own, if it was not done yet."""
        key = json.dumps(run)
        if key not in self._done:
            print(f"running {' '.join(map(str, run))}", file=sys.stderr, flush=True)
            self._done[key] = found = _apart(run)
            if self._path is not None:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"run": run, "kept": found}) + "\n")
        return self._done[key]

    def has(self, run: Run) -> bool:
        """Whether it was done."""
        return json.dumps(run) in self._done


def _apart(run: Run) -> Kept:
    command = [sys.executable, "-m", "tests.bench.delivery", "--one", json.dumps(run)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found: Kept = json.loads(done.stdout)
    return found


def one(text: str) -> int:
    """The other side of ``Results.get``."""
    trace, condition, rules, *rest = json.loads(text)
    print(json.dumps(do(Run(trace, condition, tuple(rules), *rest))))
    return 0
