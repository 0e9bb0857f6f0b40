"""Lets the tests of the core share ``world`` and ``playbook``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
