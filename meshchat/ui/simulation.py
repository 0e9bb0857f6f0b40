"""A person of a simulated world behind a front end: virtual time in slices of a real loop.

If the machine cannot keep up, time goes slower; the front end does not freeze. Knows no Textual.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

from meshchat.core.events import CheckEnded, CheckShown, Command, Done, Effect, Refused
from meshchat.core.model import ChatId, Now
from meshchat.core.node import Node
from meshchat.errors import StoreError, UsageError
from meshchat.i18n import N_, _
from meshchat.net.runtime import News, RuntimeStatus
from meshchat.net.transport import TransportStatus
from meshchat.sim.memory import MemoryStore
from meshchat.sim.person import Person
from meshchat.sim.units import duration
from meshchat.sim.world import World

DEMO_SPEED = 20.0  # an answer takes seconds, a walk to the bakery ten; slower bores, faster rushes
SPEED_MAX = 10_000.0  # beyond this nobody could read anything
TICK_S = 0.03  # between two slices: smooth, and cheap while nothing happens
SLICE_S = 0.02  # the longest a slice may keep the screen waiting (but one event always runs)
BREATH_S = 0.008  # at least this is left to the screen after each slice
LAG_MAX_S = 0.25  # what was missed for longer (a suspended laptop) is not made up for
MEASURED_S = 2.0  # over so long the real speed is taken
SLOW = 0.8  # of the wanted speed: below it the screen says so
WIDE_CELLS = 60

DEMO_GREETING = N_(
    "You are Sasha in a made-up town. Its people answer what you write. Nothing is saved."
)


class SimulatedRuntime:
    """Drives a world so that one of its people has the screens. Implements ``base.Backend``."""

    def __init__(
        self,
        world: World,
        person: Person,
        speed: float,
        *,
        horizon: float | None = None,
        place: Callable[[], str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing moves until ``run``.

        Args:
            world: Of which this is the only driver.
            person: Whose screens these are.
            speed: Simulated seconds in one of ours.
            horizon: When time stops, seconds since the world's start; None: never.
            place: Says in a few words where the person is.
            clock: Seconds of our own time; tests may give their own.

        Raises:
            UsageError: The speed is impossible.
        """
        if not 0 < speed <= SPEED_MAX:
            raise UsageError(
                "bad_speed", f"A speed of {speed:g} is impossible: 0.1 to {SPEED_MAX:g} is."
            )
        self.world, self.person, self.speed = world, person, speed
        self.horizon = horizon
        self.ended = asyncio.Event()
        """The horizon is reached."""
        self.real_speed = speed
        """As measured during the last seconds."""
        self._place = place
        self._comparing = False
        self._clock = clock
        self._stopping = asyncio.Event()
        self._subscribers: list[Callable[[News], None]] = []
        self._measured = (0.0, world.now)
        self._heard_before = person.told
        person.told = self._hear

    # --- for the screens ---------------------------------------------------------------------

    @property
    def store(self) -> MemoryStore:
        return self.person.store

    @property
    def node(self) -> Node:
        return self.person.node  # another one after a crash

    async def command(self, command: Command) -> object:
        """Carry out a wish of our user, between two slices.

        Raises:
            UsageError: It is impossible, or the device is off in this scenario.
            StoreError: It could not be stored.
        """
        return self.person.do(command)

    def subscribe(self, callback: Callable[[News], None]) -> Callable[[], None]:
        """Call ``callback`` with every event from now on; returns what ends that."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def status(self) -> RuntimeStatus:
        """The node, and each radio of the world as a transport."""
        trouble = None
        if self.person.store.full:
            trouble = StoreError("full", "The disk of this simulated device is full.")
        transports = tuple(self._transport(name) for name in self.world.radios)
        return RuntimeStatus(self.node.status(self.person.clock), transports, trouble)

    def now(self) -> Now:
        """Both clocks of the person's device."""
        return self.person.clock

    def _transport(self, name: str) -> TransportStatus:
        person = self.person
        if person.gone:
            off = N_("seized")
        elif not person.awake:
            off = N_("device off")
        elif not person.reachable(name):
            off = "jammed"
        else:
            return TransportStatus(name, True, remedy=N_("(simulated, no radio of yours is used)"))
        return TransportStatus(name, False, off, N_("(simulated)"))

    @property
    def pace(self) -> float:
        """Simulated seconds in one of ours now: real time while two people compare signs."""
        return min(1.0, self.speed) if self._comparing else self.speed

    def _hear(self, effect: Effect) -> None:
        if isinstance(effect, CheckShown | CheckEnded):
            self._comparing = isinstance(effect, CheckShown)
            self._measured = (self._clock(), self.world.now)
            self.real_speed = self.pace
        if self._heard_before is not None:
            self._heard_before(effect)
        if not isinstance(effect, Done | Refused):
            for callback in tuple(self._subscribers):
                callback(effect)  # type: ignore[arg-type]  # frames never get here

    def mark(self, width: int) -> str:
        """One line that says what this is: simulated, how fast, when and where."""
        now = f"{datetime.fromtimestamp(self.person.clock.wall):%H:%M}"
        speed = f"x{self.pace:g}"
        if self.real_speed < SLOW * self.pace and not self.ended.is_set():
            speed = f"x{self.real_speed:.2g} of {speed}"
        place = self._place() if self._place is not None else ""
        wide = width >= WIDE_CELLS
        left = ""
        if self.horizon is not None:
            rest = max(0.0, self.horizon - self.world.now)
            left = _("{span} left").format(span=duration(rest))
            if self.ended.is_set():
                left = _("ended")
        if wide:
            parts = [_("simulated"), speed, now, place, left, _("nothing is saved")]
            if self.horizon is None:
                parts.insert(0, _("demo"))
            return " · ".join(filter(None, parts))
        kind = _("demo") if self.horizon is None else _("simulated")
        short = place.rpartition(" ")[2] or left
        return " · ".join(filter(None, [f"{kind} {speed}", _("not saved"), now, short]))

    # --- time --------------------------------------------------------------------------------

    def stop(self) -> None:
        """Let ``run`` return soon. May be called again."""
        self._stopping.set()

    async def run(self) -> None:
        """Let virtual time pass until ``stop``."""
        last = self._clock()
        self._measured = (last, self.world.now)
        while not self._stopping.is_set() and not self.ended.is_set():
            now = self._clock()
            self.slice(min(LAG_MAX_S, now - last))
            last = now
            used = self._clock() - now
            await asyncio.sleep(max(BREATH_S, TICK_S - used))
        await self._stopping.wait()

    def slice(self, passed: float) -> None:
        """Let ``passed`` seconds of ours pass in the world, or less if that takes too long."""
        until = self.world.now + passed * self.pace
        if self.horizon is not None:
            until = min(until, self.horizon)
        began = self._clock()
        self.world.run(until=until, look=lambda: self._clock() - began >= SLICE_S, every=1)
        since, then = self._measured
        if began - since >= MEASURED_S:
            self.real_speed = (self.world.now - then) / (began - since)
            self._measured = (began, self.world.now)
        if self.horizon is not None and self.world.now >= self.horizon:
            self.ended.set()


def demo_runtime(speed: float, seed: int) -> tuple[SimulatedRuntime, ChatId]:
    """A town that has lived for 15 minutes, and the chat to show first.

    Raises:
        UsageError: The speed is impossible.
    """
    from meshchat.sim.demo import START, Demo

    demo = Demo(seed, START - _utc_offset(START))
    places = {
        "home": _("at home"),
        "yard": _("in the yard"),
        "bakery": _("at the bakery"),
    }
    runtime = SimulatedRuntime(
        demo.world,
        demo.me,
        speed,
        place=lambda: places.get(demo.where(demo.me), _("walking")),
    )
    return runtime, b"c" + demo.people["Timur"].fp


def _utc_offset(wall: float) -> float:
    """Seconds by which local clocks are ahead, so that it is nine in the morning everywhere."""
    offset = datetime.fromtimestamp(wall).astimezone().utcoffset()
    return offset.total_seconds() if offset is not None else 0.0
