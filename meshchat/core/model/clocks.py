"""The two clocks."""

from msgspec import Struct


class Now(Struct, frozen=True, gc=False):
    """Both clocks at one instant."""

    mono: float
    """Monotonic seconds: timers only."""
    wall: float
    """Seconds since 1970: only what is stored, shown, or compared across restarts."""
    busy: float = 0.0
    """Of the monotonic seconds, those this node was at work: its driver knows."""

    @property
    def idle(self) -> float:
        """A clock that stands while we are at work: what others took is told by this one."""
        return self.mono - self.busy
