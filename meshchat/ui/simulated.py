"""The screens as one person of a simulated world: ``meshchat demo`` and ``sim run --attach``.

Virtual time passes in small slices inside Textual's own loop. Commands are given between them.
If the machine cannot keep up, time goes slower; the screens do not freeze.
"""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult

from meshchat import i18n
from meshchat.config import RuntimeOptions
from meshchat.core.model import ChatId
from meshchat.errors import UsageError
from meshchat.i18n import N_, _
from meshchat.sim.person import Person
from meshchat.sim.world import World
from meshchat.system import harden
from meshchat.text import Clean
from meshchat.ui.base import BaseApp, quiet_stderr
from meshchat.ui.chat import ChatScreen
from meshchat.ui.parts import Line
from meshchat.ui.simulation import (
    DEMO_GREETING,
    DEMO_SPEED,
    SimulatedRuntime,
    demo_runtime,
)

MARK_EVERY_S = 1.0
NAMES_SHOWN = 6  # of a scenario, for somebody who mistyped one

ATTACH_GREETING = N_("You see this scenario as {name}, and can write as {name}. Ctrl+Q quit")
NO_LOCK = N_("Nothing to lock: there is no passphrase here, and nothing is saved. Ctrl+Q quits.")
ENDED = N_("The scenario has ended: nothing moves any more. You can still read. Ctrl+Q quits.")


class SimulatedChat(ChatScreen):
    """The main screen, with a line on top that says what this is."""

    def __init__(
        self, runtime: SimulatedRuntime, app: BaseApp, greeting: str, first: ChatId
    ) -> None:
        super().__init__(runtime, app)
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
        self.say(_(ENDED))


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
        super().__init__(RuntimeOptions(hide_minutes=0))
        self._runtime = runtime
        self._greeting = greeting
        self._first = first

    @property
    def backend(self) -> SimulatedRuntime:
        return self._runtime

    def get_default_screen(self) -> SimulatedChat:
        """The chats at once: there is no passphrase."""
        return SimulatedChat(self._runtime, self, self._greeting, self._first)

    def on_mount(self) -> None:
        super().on_mount()
        self.run_worker(self._runtime.run(), exit_on_error=True)

    def lock(self) -> None:
        """There is nothing to hide, and no passphrase to hide it behind."""
        self._leave_screens()
        if isinstance(self.screen, SimulatedChat):
            self.screen.say(_(NO_LOCK))

    async def wipe(self) -> None:
        """All of it is gone in any case: end."""
        await self.action_quit()


def run_demo(speed: float = DEMO_SPEED, seed: int = 1) -> int:
    """Show the screens of Sasha in a small simulated town until our user leaves.

    Args:
        speed: Simulated seconds in one of ours.
        seed: Of everything that happens but what our user does.

    Raises:
        UsageError: The speed is impossible.
    """
    i18n.choose()
    return _run(demo_app(speed, seed))


def demo_app(speed: float = DEMO_SPEED, seed: int = 1) -> SimulatedApp:
    """The application of ``run_demo``, with a town that has lived for 15 minutes."""
    runtime, first = demo_runtime(speed, seed)
    keys = _("F1 help · Alt+1…9 chats · Ctrl+Q quit")
    return SimulatedApp(runtime, f"{_(DEMO_GREETING)} {keys}", first)


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
    i18n.choose()
    person = find(world, name)
    runtime = SimulatedRuntime(world, person, speed, horizon=horizon)
    return _run(SimulatedApp(runtime, _(ATTACH_GREETING).format(name=Clean.line(person.name, 40))))


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


def _run(app: SimulatedApp) -> int:
    harden()
    quiet_stderr()
    app.run()
    if app.trouble is not None:
        raise app.trouble
    return app.return_code or 0
