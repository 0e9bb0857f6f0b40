"""The frozen fragments of ``tests/vectors/fragments.json``."""

import json
import sys
from pathlib import Path

VECTORS = Path(__file__).parents[2] / "vectors"
sys.path.insert(0, str(VECTORS))

from make_fragments import FRAME, ROOM, transcript  # noqa: E402


def test_fragments_are_those_that_were_frozen() -> None:
    """A changed byte is another version: peers of today would not understand it."""
    frozen = json.loads((VECTORS / "fragments.json").read_text())
    assert frozen == {"room": ROOM, "frame": FRAME.hex(), "transcript": transcript()}
