"""The two clocks."""

from typing import NamedTuple


class Now(NamedTuple):
    """Both clocks at one instant."""

    mono: float
    """Monotonic seconds: timers only."""
    wall: float
    """Seconds since 1970: only what is stored, shown, or compared across restarts."""
