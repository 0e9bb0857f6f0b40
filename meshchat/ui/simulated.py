"""The screens as one person of a simulated world: ``meshchat demo`` and ``sim run --attach``.

Virtual time passes in small slices inside Textual's own loop. Commands are given between them.
If the machine cannot keep up, time goes slower; the screens do not freeze.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import datetime

from textual import events
from textual.app import ComposeResult

from meshchat.core.events import Command, Done, Effect, Refused
from meshchat.core.model import ChatId
from meshchat.core.node import Node
from meshchat.errors import StoreError, UsageError
from meshchat.net.runtime import News, RuntimeStatus
from meshchat.net.transport import TransportStatus
from meshchat.profile import harden
from meshchat.sim.memory import MemoryStore
from meshchat.sim.person import Person
from meshchat.sim.units import duration
from meshchat.sim.world import World
from meshchat.text import Clean
from meshchat.ui.base import BaseApp, quiet_stderr
from meshchat.ui.chat import ChatScreen
from meshchat.ui.dialogs import Line

DEMO_SPEED = 20.0  # an answer takes seconds, a walk to the bakery ten; slower bores, faster rushes
SPEED_MAX = 10_000.0  # beyond this nobody could read anything
TICK_S = 0.03  # between two slices: smooth, and cheap while nothing happens
SLICE_S = 0.02  # the longest a slice may keep the screen waiting (but one event always runs)
BREATH_S = 0.008  # at least this is left to the screen after each slice
LAG_MAX_S = 0.25  # what was missed for longer (a suspended laptop) is not made up for
MEASURED_S = 2.0  # over so long the real speed is taken
SLOW = 0.8  # of the wanted speed: below it the screen says so
MARK_EVERY_S = 1.0
NAMES_SHOWN = 6  # of a scenario, for somebody who mistyped one
WIDE_CELLS = 60

DEMO_GREETING = (
    "You are Sasha in a made-up town. Its people answer what you write. "
    "F1 help · Alt+1…9 chats · Ctrl+Q quit"
)
ATTACH_GREETING = "You see this scenario as {name}, and can write as {name}. Ctrl+Q quit"
NO_LOCK = "Nothing to lock: there is no passphrase here, and nothing is saved. Ctrl+Q quits."
ENDED = "The scenario has ended: nothing moves any more. You can still read. Ctrl+Q quits."


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

    def _transport(self, name: str) -> TransportStatus:
        person = self.person
        if person.gone:
            off = "seized"
        elif not person.awake:
            off = "device off"
        elif not person.reachable(name):
            off = "jammed"
        else:
            return TransportStatus(name, True, remedy="(simulated, no radio of yours is used)")
        return TransportStatus(name, False, off, "(simulated)")

    def _hear(self, effect: Effect) -> None:
        if self._heard_before is not None:
            self._heard_before(effect)
        if not isinstance(effect, Done | Refused):
            for callback in tuple(self._subscribers):
                callback(effect)  # type: ignore[arg-type]  # frames never get here

    def mark(self, width: int) -> str:
        """One line that says what this is: simulated, how fast, when and where."""
        now = f"{datetime.fromtimestamp(self.person.clock.wall):%H:%M}"
        speed = f"x{self.speed:g}"
        if self.real_speed < SLOW * self.speed and not self.ended.is_set():
            speed = f"x{self.real_speed:.2g} of {speed}"
        place = self._place() if self._place is not None else ""
        wide = width >= WIDE_CELLS
        left = ""
        if self.horizon is not None:
            rest = max(0.0, self.horizon - self.world.now)
            left = "ended" if self.ended.is_set() else f"{duration(rest)} left"
        if wide:
            parts = ["simulated", speed, now, place, left, "nothing is saved"]
            if self.horizon is None:
                parts.insert(0, "demo")
            return " · ".join(filter(None, parts))
        kind = "demo" if self.horizon is None else "simulated"
        short = place.rpartition(" ")[2] or left
        return " · ".join(filter(None, [f"{kind} {speed}", "not saved", now, short]))

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
        until = self.world.now + passed * self.speed
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


class SimulatedChat(ChatScreen):
    """The main screen, with a line on top that says what this is."""

    def __init__(self, runtime: SimulatedRuntime, greeting: str, first: ChatId) -> None:
        super().__init__(runtime)
        self._simulation = runtime
        self._greeting = greeting
        self._first = first

    def compose(self) -> ComposeResult:
        yield Line(id="mark")
        yield from super().compose()

    def on_mount(self) -> None:
        self._show_mark()
        self.set_interval(MARK_EVERY_S, self._show_mark)
        self.call_after_refresh(self._greet)

    def _greet(self) -> None:
        if self._first:
            self.open(self._first)
        self.say(self._greeting)
        self.run_worker(self._say_end())

    def on_resize(self, _event: events.Resize) -> None:
        self.call_later(self._show_mark)

    def _show_mark(self) -> None:
        self.query_one("#mark", Line).show(Clean(f" {self._simulation.mark(self.size.width)}"))

    async def _say_end(self) -> None:
        await self._simulation.ended.wait()
        self._show_mark()
        self.say(ENDED)


class SimulatedApp(BaseApp):
    """meshchat as one person of a simulated world."""

    TITLE = "meshchat (simulated)"

    def __init__(self, runtime: SimulatedRuntime, greeting: str, first: ChatId = b"") -> None:
        """Show what ``runtime`` drives.

        Args:
            runtime: Not running yet.
            greeting: Said at the start.
            first: The chat to show then; empty: the newest.
        """
        super().__init__()
        self._runtime = runtime
        self._greeting = greeting
        self._first = first

    @property
    def backend(self) -> SimulatedRuntime:
        return self._runtime

    def get_default_screen(self) -> SimulatedChat:
        """The chats at once: there is no passphrase."""
        return SimulatedChat(self._runtime, self._greeting, self._first)

    def on_mount(self) -> None:
        self.run_worker(self._runtime.run(), exit_on_error=True)

    def lock(self) -> None:
        """There is nothing to hide, and no passphrase to hide it behind."""
        self._leave_screens()
        if isinstance(self.screen, SimulatedChat):
            self.screen.say(NO_LOCK)


def run_demo(speed: float = DEMO_SPEED, seed: int = 1) -> int:
    """Show the screens of Sasha in a small simulated town until our user leaves.

    Args:
        speed: Simulated seconds in one of ours.
        seed: Of everything that happens but what our user does.

    Raises:
        UsageError: The speed is impossible.
    """
    return _run(demo_app(speed, seed))


def demo_app(speed: float = DEMO_SPEED, seed: int = 1) -> SimulatedApp:
    """The application of ``run_demo``, with a town that has lived for 15 minutes."""
    from meshchat.sim.demo import START, Demo

    demo = Demo(seed, START - _utc_offset(START))
    places = {"home": "at home", "yard": "in the yard", "bakery": "at the bakery"}
    runtime = SimulatedRuntime(
        demo.world,
        demo.me,
        speed,
        place=lambda: places.get(demo.where(demo.me), "walking"),
    )
    return SimulatedApp(runtime, DEMO_GREETING, b"c" + demo.people["Timur"].fp)


def run_attached(world: World, horizon: float, name: str, speed: float) -> int:
    """Show the screens of one person of a scenario until our user leaves.

    Args:
        world: Built, not yet run.
        horizon: When it ends, seconds since its start.
        name: Of the person.
        speed: Simulated seconds in one of ours.

    Raises:
        UsageError: There is nobody of that name, or the speed is impossible.
    """
    person = find(world, name)
    runtime = SimulatedRuntime(world, person, speed, horizon=horizon)
    return _run(SimulatedApp(runtime, ATTACH_GREETING.format(name=Clean.line(person.name, 40))))


def find(world: World, name: str) -> Person:
    """Somebody by name, whatever the case.

    Raises:
        UsageError: There is nobody of that name; says who there is.
    """
    for person in world.people:
        if person.name.casefold() == name.casefold():
            return person
    names = [Clean.line(person.name, 40) for person in world.people[:NAMES_SHOWN]]
    more = ", …" if len(world.people) > NAMES_SHOWN else ""
    raise UsageError(
        "unknown_person",
        f"Nobody here is called {Clean.line(name, 40)}. There are: {', '.join(names)}{more}",
    )


def _utc_offset(wall: float) -> float:
    """Seconds by which local clocks are ahead, so that it is nine in the morning everywhere."""
    offset = datetime.fromtimestamp(wall).astimezone().utcoffset()
    return offset.total_seconds() if offset is not None else 0.0


def _run(app: SimulatedApp) -> int:
    harden()
    quiet_stderr()
    app.run()
    if app.trouble is not None:
        raise app.trouble
    return app.return_code or 0
