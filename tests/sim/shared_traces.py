"""The recorded contact traces, which are not in the repository: their licences differ."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TRACES = Path(os.environ.get("MESHCHAT_TRACES", ROOT.parent / "shared/traces"))
NAMES = ("conf17", "crowd500", "hosp10", "hs13", "museum09")
NEEDS_TRACES = pytest.mark.skipif(
    not all((TRACES / f"{name}.csv.gz").is_file() for name in NAMES),
    reason="needs the contact traces (MESHCHAT_TRACES)",
)


def contacts_of(name: str) -> Path:
    """The file of a trace."""
    return TRACES / f"{name}.csv.gz"


def workload_of(name: str, kind: str) -> Path:
    """Its ``text`` or ``media`` workload."""
    return TRACES / f"{name}.{kind}.csv"
