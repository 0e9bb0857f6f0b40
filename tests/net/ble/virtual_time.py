"""asyncio in virtual time: with nothing left to do, the clock goes on to the next timer.

A minute of waiting costs nothing, and on a busy machine nothing comes too late: work takes no
time, unless a test asks for a machine that is slow.
"""

import asyncio
import selectors
from collections.abc import Callable
from typing import Any

from meshchat.core.model import Now

WALL = 1_790_000_100.0  # a minute and a bit into a quarter of an hour


class _Selector(selectors.DefaultSelector):
    """Waits for nobody but threads."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[Any]:
        if self.loop.threads or timeout is None:
            return super().select(timeout)
        found = super().select(0)
        if not found:
            self.loop.now += max(0.0, timeout)
            self.loop.now = self.loop.on_time()
        self.loop.now += self.loop.toil()
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """Sockets and threads work too, but what another process does takes no time here."""

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        self.now = 1_000.0
        self.threads = 0
        self.toil: Callable[[], float] = lambda: 0.0
        """How long each turn of the loop takes, in seconds."""
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def on_time(self) -> float:
        """The time of the next timer, if it is as good as now.

        asyncio calls it up to its clock's resolution too early: who says "not yet, again at the
        same time" then would be asked for ever, as nothing makes the clock go on.
        """
        due = self._scheduled[0].when() if self._scheduled else self.now
        return max(self.now, due) if due < self.now + self._clock_resolution else self.now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:
        """The clock stands still while a thread works."""
        self.threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._came_back)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for the threads: since Python 3.12 by a timer, which would run out at once here."""
        await super().shutdown_default_executor()

    def _came_back(self, _: object) -> None:
        self.threads -= 1


def loop_now() -> Now:
    """Both clocks of the running loop."""
    mono = asyncio.get_running_loop().time()
    return Now(mono, WALL + mono)
