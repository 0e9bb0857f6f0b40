"""Durable accept, raw: ``SqlStore.add_envelopes`` against a bare bulk insert of the same rows.

Same file system, same SQLCipher settings, same rows, same transactions; the two
take turns and medians are compared, so a busy machine changes the rates but hardly
the ratio. Run: ``python -m tests.bench.store [rows] [rounds] [folder]``.
"""

import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

from meshchat.core.model import Held
from meshchat.database import Database
from meshchat.store import SqlStore
from tests.bench.table import Figure, show

ROWS = 10_000
BATCH = 500  # envelopes of one transaction, the driver's most
CLASS_0_BYTES = 512
KEY = bytes(range(32))


def rows_of(count: int, seed: int = 1) -> list[Held]:
    """Envelopes as a busy node hears them: four neighbours, lives of 6 h to a week, few stamps."""
    chance = random.Random(seed)
    origins = [chance.randbytes(8) for _ in range(4)]
    return [
        Held(
            eid=chance.randbytes(16),
            size_class=0,
            exp_h=490_000 + int(chance.choice((6, 24, 72, 168)) * chance.uniform(1, 1.25)),
            done=chance.randbytes(16),
            data=chance.randbytes(CLASS_0_BYTES),
            origin=chance.choice(origins),
            stamp=chance.choice((0, 0, 0, 12, 13)),
        )
        for _ in range(count)
    ]


def bare_insert(path: Path, key: bytes, rows: list[Held], batch: int = BATCH) -> float:
    """Seconds to insert the same columns into one table with a unique id and nothing else."""
    db = Database.open(path, key)
    with db.transaction():
        db.write(
            """CREATE TABLE bare (eid BLOB PRIMARY KEY, size_class INTEGER, exp_h INTEGER,
            done BLOB, data BLOB, origin BLOB, kind INTEGER, stamp INTEGER, at REAL)"""
        )
    started = time.perf_counter()
    for first in range(0, len(rows), batch):
        with db.transaction():
            db.write_many(
                "INSERT INTO bare VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (
                        one.eid,
                        one.size_class,
                        one.exp_h,
                        one.done,
                        one.data,
                        one.origin,
                        one.kind,
                        one.stamp,
                        1.5,
                    )
                    for one in rows[first : first + batch]
                ),
            )
    took = time.perf_counter() - started
    db.close()
    return took


def store_insert(path: Path, key: bytes, rows: list[Held], batch: int = BATCH) -> float:
    """Seconds for the same through the store."""
    store = SqlStore.open(path, key)
    started = time.perf_counter()
    for first in range(0, len(rows), batch):
        with store.transaction():
            store.add_envelopes(rows[first : first + batch], 1.5)
    took = time.perf_counter() - started
    store.close()
    return took


def figures(count: int = ROWS, rounds: int = 7, folder: str | None = None) -> list[Figure]:
    """Median rates of both and their ratio."""
    rows = rows_of(count)
    ways = {"bare insert": bare_insert, "add_envelopes": store_insert}
    times: dict[str, list[float]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory(dir=folder) as place:
        for n in range(rounds):
            for name, way in ways.items():
                path = Path(place) / f"{name.split()[0]}-{n}"
                times[name].append(way(path, KEY, rows))
                path.unlink()
    rates = {name: count / statistics.median(took) for name, took in times.items()}
    found: list[Figure] = []
    for name, rate in rates.items():
        found.append((f"{name}, {BATCH} a transaction, envelopes/s", rate, ""))
    return [
        *found,
        ("add_envelopes to bare insert", rates["add_envelopes"] / rates["bare insert"], ""),
    ]


if __name__ == "__main__":
    given = sys.argv[1:]
    sys.exit(bool(show(figures(*map(int, given[:2]), *given[2:3]))))
