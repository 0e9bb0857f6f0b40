"""Lets the tests of the simulator use the core's small ``world``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "core"))
