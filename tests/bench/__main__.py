"""All benchmarks, one after another: ``python -m tests.bench [NAME ...]``, of those in ``ALL``.

Exit code 1 if a bar is missed. The names choose; without any, all run (most of an hour
on two cores: lxmf is slow with stamps and paths).
"""

import importlib
import sys

from tests.bench.table import Figure, show

ALL = (
    "link",
    "store",
    "node",
    "sealing",
    "groups",
    "ui",
    "idle",
    "sim",
    "delivery",
    "reconcile",
    "negentropy",
    "ble",
    "ble_air",
    "ble_energy",
    "lxmf",
)


def main(chosen: list[str]) -> int:
    """Run what was chosen and print one table."""
    unknown = sorted(set(chosen) - set(ALL))
    if unknown:
        print(f"no such benchmark: {', '.join(unknown)}; there are: {', '.join(ALL)}")
        return 2
    found: list[Figure] = []
    for name in chosen or ALL:
        print(f"running {name}", file=sys.stderr, flush=True)
        found += importlib.import_module(f"tests.bench.{name}").figures()
    return bool(show(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
