"""What a reconciliation costs: ``python tests/bench/negentropy.py``.

Sets of n ids of which d differ, half on each side, spread over all times, without a frame
limit: bytes both ways, pairs of messages, and seconds of CPU of both ends together, after the
sets are sorted; sorting is a line of its own. Beside the bytes stand those of the JavaScript
reference for sets of this kind (the mean of five; the last digits depend on the ids).
"""

import sys
import time
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from meshchat.core.negentropy import Negentropy, Vector
from tests.bench.table import Figure, show

SECONDS_PER_ITEM = 60  # of the timestamps: somebody writes each minute
SEED = 1
# (n, d): bytes both ways of the reference, measured for the design study
REFERENCE_BYTES = {
    (1_000, 0): 336,
    (1_000, 10): 5_325,
    (1_000, 100): 27_871,
    (10_000, 0): 336,
    (10_000, 10): 6_800,
    (10_000, 100): 40_673,
    (100_000, 0): 337,
    (100_000, 10): 13_706,
    (100_000, 100): 110_795,
}
BYTES_BAR = 1.25  # of the reference's: one draw of ids instead of the mean of five


def _sets(n: int, d: int) -> tuple[Vector, Vector]:
    """Two vectors of n items, not sealed yet, whose difference is d."""
    chance = Random(SEED)
    items = [
        (1_700_000_000 + chance.randrange(n * SECONDS_PER_ITEM), chance.randbytes(32))
        for _ in range(n + d // 2)
    ]
    return Vector(items[: n - d // 2] + items[n:]), Vector(items[:n])


def figures() -> list[Figure]:
    """Bytes, pairs and CPU of each case."""
    found: list[Figure] = []
    for (n, d), reference in REFERENCE_BYTES.items():
        ours, theirs = _sets(n, d)
        started = time.process_time()
        ours.seal()
        theirs.seal()
        sealed = time.process_time()
        client, server = Negentropy(ours), Negentropy(theirs)
        message: bytes | None = client.initiate()
        size = pairs = different = 0
        while message is not None:
            reply = server.reconcile(message)[0] or b""
            size += len(message) + len(reply)
            pairs += 1
            message, have, need = client.reconcile(reply)
            different += len(have) + len(need)
        talked = time.process_time()
        assert different == d // 2 * 2
        name = f"reconcile n={n:,} d={d}"
        found += [
            (f"{name}: bytes", size, ""),
            (
                f"{name}: bytes to the reference's {reference:,}",
                size / reference,
                f"<= {BYTES_BAR}",
            ),
            (f"{name}: pairs of messages", pairs, ""),
            (f"{name}: CPU of both ends, s", talked - sealed, ""),
        ]
        if not d:
            found.append((f"sort n={n:,}: CPU of one end, s", (sealed - started) / 2, ""))
    return found


if __name__ == "__main__":
    sys.exit(bool(show(figures())))
