"""Lets the tests of the core share ``world``, ``pair`` and ``sealing``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
