"""The screens over a simulated world: time passes in slices, and the town talks."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import count
from pathlib import Path

import pytest
from screens import until
from textual.pilot import Pilot

from meshchat.core.events import AddContact, Send
from meshchat.core.model import Contact, State
from meshchat.errors import UsageError
from meshchat.sim.person import Person
from meshchat.sim.world import World
from meshchat.ui.composer import Composer
from meshchat.ui.dialogs import Ask, TextScreen
from meshchat.ui.people import ContactScreen
from meshchat.ui.simulated import NO_LOCK, SimulatedApp, SimulatedChat, demo_app, find
from meshchat.ui.simulation import DEMO_SPEED, SLICE_S, SimulatedRuntime

STILL = 1e-6  # time passes only as a test lets it


class Seat:
    """Somebody in front of a simulated screen."""

    def __init__(self, app: SimulatedApp, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot
        self.runtime = app.backend
        self.world, self.me = app.backend.world, app.backend.person

    @property
    def chat(self) -> SimulatedChat:
        screen = self.app.screen_stack[0]
        assert isinstance(screen, SimulatedChat)
        return screen

    def shown(self) -> str:
        """What is on the screen, line by line."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join(strip.text.rstrip() for strip in strips)

    async def sees(self, text: str) -> None:
        await until(lambda: text in self.shown(), self.pilot)

    def person(self, name: str) -> Person:
        return find(self.world, name)

    async def write(self, name: str, text: str) -> None:
        self.chat.open(b"c" + self.person(name).fp)
        self.chat.query_one(Composer).post_message(Composer.Submitted(text))
        await self.sees(text)


@asynccontextmanager
async def seat(app: SimulatedApp, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Seat]:
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield Seat(app, pilot)


def two(speed: float = STILL, horizon: float | None = None) -> tuple[SimulatedApp, Person]:
    """A world of two friends in reach of each other; we are Ann."""
    world = World(seed=1)
    ann, ben = world.person("Ann"), world.person("Ben")
    world.acquaint(ann, ben)
    world.meet(ann, ben)
    world.run(5.0)
    return SimulatedApp(SimulatedRuntime(world, ann, speed, horizon=horizon), "Welcome."), ben


async def test_demo_starts_and_a_message_arrives() -> None:
    """The first screen says what this is, and somebody writes by himself."""
    async with seat(demo_app(speed=200.0)) as here:
        assert "demo · simulated · x" in here.shown() and "x200 · " in here.shown()
        assert "nothing is saved" in here.shown()
        await here.sees("I am downstairs.")


async def test_what_our_user_writes_is_answered() -> None:
    """Timur, who is near, says where he is; the sign behind our words is a proof."""
    async with seat(demo_app(STILL)) as here:
        await here.write("Timur", "where are you?")
        here.world.run(100.0)
        await here.sees("where are you? ✓")
        await here.sees("at your house")


async def test_queued_carried_delivered() -> None:
    """Alone, then a cyclist takes it, then its reader has it: every state is on the screen."""
    async with seat(demo_app(STILL)) as here:
        while here.me.links or here.me.ways:
            here.world.run(1.0)
        await here.write("Aigerim", "all is well")
        await here.sees("all is well ·")
        await here.sees("queue 1")
        message = here.me.store.messages(b"c" + here.person("Aigerim").fp)[-1]
        passed_until(here, State.CARRIED, message.id)
        await here.sees("all is well ↑")
        passed_until(here, State.DELIVERED, message.id)
        await here.sees("all is well ✓")


def passed_until(here: Seat, state: State, mid: bytes) -> None:
    for _ in range(5_000):
        found = here.me.store.message(mid)
        if found is not None and found.state is state:
            return
        here.world.run(1.0)
    raise AssertionError(f"never {state}")


async def test_request_and_verification() -> None:
    """The stranger's request is answered after /accept; the safety words are on both screens."""
    async with seat(demo_app(STILL)) as here:
        here.world.run(300.0)
        await here.sees("requests")
        marat = here.person("Marat")
        here.chat.open(b"c" + marat.fp)
        await here.pilot.press(*"/accept", "enter")
        await here.sees("Accepted")
        await here.write("Marat", "Привет!")
        here.chat.open(b"c" + here.person("Timur").fp)
        await here.pilot.press("f2")
        await until(lambda: isinstance(here.app.screen, ContactScreen), here.pilot)
        words = here.person("Timur").node.safety_words(here.me.fp)
        assert all(word in here.shown() for word in words)
        await here.pilot.press("v")
        await until(lambda: isinstance(here.app.screen, Ask), here.pilot)
        await here.pilot.press("y")
        await here.sees("✓ verified")
        here.world.run(1_500.0)
        assert len(here.me.texts(marat)) > 3


async def test_a_card_of_the_town_can_be_added() -> None:
    """Whoever's card is added can be written to, and answers."""
    async with seat(demo_app(STILL)) as here:
        card = here.person("Saule").node.card_text()
        added = await here.runtime.command(AddContact(card))
        assert isinstance(added, Contact) and added.petname == "Saule"
        with pytest.raises(UsageError):
            await here.runtime.command(Send(b"c" + bytes(32), "nobody"))


async def test_narrow_screen_says_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty columns hold the mark and all of the status bar."""
    monkeypatch.setattr("meshchat.ui.simulation.SLOW", 0.0)  # a busy machine says it falls behind
    async with seat(demo_app(STILL), (40, 24)) as here:
        first, *_, last = here.shown().splitlines()
        assert first == " demo x1e-06 · not saved · 09:00 · home"
        assert last.endswith("Esc chats")


async def test_lock_is_a_sentence() -> None:
    """Ctrl+L closes what is open and says why there is no lock."""
    app, _ = two()
    async with seat(app) as here:
        await here.pilot.press("f1")
        await until(lambda: isinstance(app.screen, TextScreen), here.pilot)
        await here.pilot.press("ctrl+l")
        await until(lambda: app.screen is here.chat, here.pilot)
        await here.sees(NO_LOCK[:30])


async def test_status_names_the_radios_and_that_they_are_simulated() -> None:
    """F4: each radio, on, jammed or off; nothing pretends to be a real one."""
    app, _ = two()
    async with seat(app) as here:
        await here.pilot.press("f4")
        await here.sees("simulated, no radio of yours is used")
        here.me.jam(True)
        assert [t.reason for t in here.runtime.status().transports] == ["jammed"]
        here.me.off()
        assert [t.reason for t in here.runtime.status().transports] == ["device off"]
        here.me.disk_full(True)
        assert here.runtime.status().trouble is not None
        with pytest.raises(UsageError, match="off"):
            await here.runtime.command(Send(b"c" + here.person("Ben").fp, "x"))


async def test_a_crash_does_not_disturb_the_screens() -> None:
    """After a crash another node stands behind them, over the same store."""
    app, ben = two()
    async with seat(app) as here:
        before = here.runtime.node
        here.me.crash()
        assert here.runtime.node is not before
        ben.say(here.me, "still there?")
        here.world.run(200.0)
        await here.sees("still there?")


async def test_end_of_a_scenario() -> None:
    """At the horizon time stops, the screen says so, and what was written can still be read."""
    app, ben = two(speed=100.0, horizon=15.0)
    ben.say(app.backend.person, "before the end")
    async with seat(app) as here:
        await here.sees("The scenario has ended")
        assert here.world.now == 15.0
        assert "ended" in here.shown().splitlines()[0]
        assert "before the end" in here.shown()
        await here.pilot.press("ctrl+q")
    assert app.return_code == 0 and app.trouble is None


async def test_quitting_is_clean() -> None:
    """Ctrl+Q stores the draft in memory, ends time and leaves."""
    app, _ = two(speed=20.0)
    async with seat(app) as here:
        await here.pilot.press(*"draft", "ctrl+q")
        await until(lambda: app.return_code is not None, here.pilot)
    assert app.return_code == 0 and app.trouble is None
    assert here.me.store.chats()[0].draft == "draft"


def test_a_slow_machine_slows_time_down() -> None:
    """A slice ends when its time is over, whatever is left to do, and the mark says how fast."""
    app = demo_app(DEMO_SPEED)
    runtime = app.backend
    ticking = clock(0.005)
    runtime._clock = lambda: next(ticking)
    events, now = runtime.world.events, runtime.world.now
    for _ in range(300):
        runtime.slice(10.0)
        assert runtime.world.events - events <= SLICE_S / 0.005 + 8  # one wake may do several
        events = runtime.world.events
    passed = runtime.world.now - now
    assert 0 < passed < 300 * 10.0 * DEMO_SPEED
    runtime._measured = (next(ticking) - 3.0, runtime.world.now - 3.0)
    runtime.slice(0.0)
    assert "x1 of x20" in runtime.mark(80)


def clock(step: float) -> Iterator[float]:
    """Each look takes so long."""
    return (1_000.0 + step * turn for turn in count())


def test_mark() -> None:
    """The line on top: simulated, how fast, when, how long; short on narrow screens."""
    app, _ = two(speed=20.0, horizon=7_205.0)
    runtime = app.backend
    now = f"{datetime.fromtimestamp(runtime.person.clock.wall):%H:%M}"
    assert runtime.mark(80) == f"simulated · x20 · {now} · 2 h left · nothing is saved"
    assert runtime.mark(40) == f"simulated x20 · not saved · {now} · 2 h left"


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf"), 1e9])
def test_impossible_speeds(speed: float) -> None:
    """They are refused with a sentence."""
    with pytest.raises(UsageError, match="speed"):
        two(speed)


def test_nobody_of_that_name() -> None:
    """The error names some who exist; case does not matter."""
    app, ben = two()
    world = app.backend.world
    assert find(world, "BEN") is ben
    with pytest.raises(UsageError, match="Ann, Ben"):
        find(world, "Carol")


def test_nothing_is_written_and_no_radio_is_loaded(tmp_path: Path) -> None:
    """A demo from start to end leaves no file, and imports neither mDNS nor Bluetooth."""
    script = """
import asyncio, sys
from meshchat.ui.simulated import demo_app
async def main():
    app = demo_app(400.0)
    async with app.run_test() as pilot:
        await pilot.pause(0.5)
        await pilot.press(*"hello", "enter", "f4", "escape", "ctrl+q")
asyncio.run(main())
print([name for name in ("zeroconf", "bleak", "ifaddr", "meshchat.net.lan") if name in sys.modules])
"""
    home = tmp_path / "home"
    home.mkdir()
    environ = {**os.environ, "HOME": str(home), "MESHCHAT_HOME": str(home / "m")}
    environ |= {"PYTHONDONTWRITEBYTECODE": "1", "TMPDIR": str(home), "XDG_RUNTIME_DIR": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environ,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
    assert list(home.rglob("*")) == []
