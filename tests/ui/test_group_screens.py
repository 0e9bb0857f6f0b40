"""Private groups on the screens and in the linear mode: real nodes of a simulated world."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from screens import until
from textual.pilot import Pilot

from meshchat.core.events import AddMember, RemoveMember, Send
from meshchat.core.model import State
from meshchat.sim.person import Person
from meshchat.sim.world import World
from meshchat.ui.composer import Composer
from meshchat.ui.dialogs import Ask, TextScreen
from meshchat.ui.simulated import SimulatedApp, SimulatedChat
from meshchat.ui.simulation import SimulatedRuntime

STILL = 1e-6  # time passes only as a test lets it


class Table:
    """Ann, who is us, with Ben and Cat, her friends; Ben and Cat do not know each other."""

    def __init__(self) -> None:
        self.world = World(seed=1)
        self.ann, self.ben, self.cat = (self.world.person(name) for name in ("Ann", "Ben", "Cat"))
        for other in (self.ben, self.cat):
            self.world.acquaint(self.ann, other)
            self.world.meet(self.ann, other)
        self.world.run(5.0)

    @asynccontextmanager
    async def at(
        self, who: Person, size: tuple[int, int] = (80, 24)
    ) -> AsyncIterator[tuple[SimulatedApp, Pilot[None]]]:
        """Sit down at somebody's screen."""
        app = SimulatedApp(SimulatedRuntime(self.world, who, STILL), "Welcome.")
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            yield app, pilot


def shown(app: SimulatedApp) -> str:
    strips = app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips)


def chat(app: SimulatedApp) -> SimulatedChat:
    screen = app.screen_stack[0]
    assert isinstance(screen, SimulatedChat)
    return screen


async def say(app: SimulatedApp, pilot: Pilot[None], text: str) -> None:
    chat(app).query_one(Composer).post_message(Composer.Submitted(text))
    await pilot.pause()


async def sees(app: SimulatedApp, pilot: Pilot[None], *texts: str) -> None:
    await until(lambda: all(text in shown(app) for text in texts), pilot)


def told(world: World, true: Callable[[], bool]) -> None:
    """Let the world go on until something is so."""
    for _ in range(600):
        if true():
            return
        world.run(1.0)
    raise AssertionError("it never came true")


def group_of(person: Person) -> bytes:
    return b"g" + person.store.groups()[0].gid


async def test_from_nothing_to_talk() -> None:
    """Made, two invited, one made admin, renamed, one removed: each said in a line and a header."""
    table = Table()
    world, ann, ben, cat = table.world, table.ann, table.ben, table.cat
    async with table.at(ann) as (app, pilot):
        await say(app, pilot, "/group stairs")
        await sees(app, pilot, "&stairs", "only you · /invite", "/invite NAME adds")
        await say(app, pilot, "/invite Ben")
        await sees(app, pilot, "group · 2 members", "Ben is added")
        await say(app, pilot, "/invite cat")
        await sees(app, pilot, "group · 3 members")
        told(world, lambda: len(cat.store.groups()) == len(ben.store.groups()) == 1)
        ben.do(Send(group_of(ben), "sugar, anybody?"))
        told(world, lambda: bool(ann.store.messages(group_of(ann))))
        await sees(app, pilot, "Ben  sugar, anybody?")
        await say(app, pilot, "two spoons")
        told(world, lambda: bool(cat.store.messages(group_of(cat))))
        world.run(60.0)
        await sees(app, pilot, "two spoons ↑2")
        assert ann.store.messages(group_of(ann))[-1].state is State.CARRIED
        await pilot.press("f5")
        await sees(app, pilot, "at most carried")
        assert "delivered" not in shown(app)
        await pilot.press("escape")
        await say(app, pilot, "/members")
        await until(lambda: isinstance(app.screen, TextScreen), pilot)
        assert all(name in shown(app) for name in ("you  admin", "Ben", "Cat"))
        await pilot.press("escape")
        for command, said in (("/admin Ben", "Ben is an admin"), ("/remove Cat", "Cat is removed")):
            await say(app, pilot, command)
            await until(lambda: isinstance(app.screen, Ask), pilot)
            await pilot.press("y")
            await sees(app, pilot, said)
        await sees(app, pilot, "group · 2 members")
        await say(app, pilot, "/rename fourth floor")
        await sees(app, pilot, "&fourth floor")
        for command, said in (
            ("/remove Cat", "Nobody here has that name"),
            ("/invite Zoe", "You know nobody"),
            ("/block", "works in the chat with a contact"),
            ("/check", "works in the chat with a contact"),
        ):
            await say(app, pilot, command)
            await sees(app, pilot, said)
        await say(app, pilot, "/leave")
        await until(lambda: isinstance(app.screen, Ask), pilot)
        await pilot.press("y")
        await until(lambda: "&fourth floor" not in shown(app), pilot)


async def test_a_stranger_in_the_group_has_a_tag() -> None:
    """Ben does not know Cat: her name, as she gives it, never looks like a contact's."""
    table = Table()
    world, ann, ben, cat = table.world, table.ann, table.ben, table.cat
    async with table.at(ann) as (app, pilot):
        await say(app, pilot, "/group stairs")
        gid = group_of(ann)[1:]
        ann.do(AddMember(gid, ben.fp))
        ann.do(AddMember(gid, cat.fp))
        told(world, lambda: len(cat.store.groups()) == len(ben.store.groups()) == 1)
        cat.do(Send(group_of(cat), "hello neighbours"))
        told(world, lambda: bool(ben.store.messages(group_of(ben))))
        world.run(60.0)
        await pilot.press("ctrl+q")
    async with table.at(ben, (40, 24)) as (app, pilot):
        chat(app).open(group_of(ben))
        await sees(app, pilot, "‹ &stairs", "group · 3 members", "hello neighbours", "Cat~")
        composer = chat(app).query_one(Composer)
        await pilot.press(*"/remove C", "tab")
        await until(lambda: composer.text.startswith("/remove Cat~"), pilot)
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, Ask), pilot)
        await pilot.press("y")
        await sees(app, pilot, "Only an admin can do this")
        ann.do(RemoveMember(gid, ben.fp))
        told(world, lambda: ben.store.groups()[0].membership.value == "removed")
        await sees(app, pilot, "group · you were removed")
        composer.put("")
        await say(app, pilot, "still there?")
        await until(lambda: "you can only read it" in " ".join(shown(app).split()), pilot)
        assert composer.text == "still there?"


async def test_a_seized_device_is_out_of_the_groups() -> None:
    """``/seized`` asks once; afterwards nobody of that name is a member."""
    table = Table()
    async with table.at(table.ann) as (app, pilot):
        await say(app, pilot, "/group stairs")
        table.ann.do(AddMember(group_of(table.ann)[1:], table.ben.fp))
        await sees(app, pilot, "group · 2 members")
        await say(app, pilot, "/seized Ben")
        await until(lambda: isinstance(app.screen, Ask), pilot)
        await pilot.press("y")
        await sees(app, pilot, "Done in 1 group.", "only you · /invite")
