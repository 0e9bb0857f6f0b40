"""The mesh and the radios as they change, own keys, help by place, the first run."""

import re
from pathlib import Path

import pytest
from screens import Person, until, wires

from meshchat.config import RuntimeOptions
from meshchat.core.events import Send
from meshchat.core.model import Contact
from meshchat.i18n import choose
from meshchat.net.transport import TransportStatus
from meshchat.profile import Profile
from meshchat.ui.app import MeshApp
from meshchat.ui.commands import COMMANDS
from meshchat.ui.composer import Composer
from meshchat.ui.dialogs import TextScreen
from meshchat.ui.mesh import FirstRadios, MeshScreen, RadiosScreen
from meshchat.ui.people import CardScreen
from meshchat.ui.reports import graph_lines, size_words, span
from meshchat.ui.setup import SetupScreen


async def test_the_mesh_page_follows_what_happens() -> None:
    """F3 shows a neighbour that comes, by name, and what is held; F4 is one key away."""
    one, two = wires()
    me, bob = Person("Me", (one,)), Person("Bob", (two,))
    async with me.at() as (mine, pilot):
        await pilot.press("f3")
        await until(lambda: isinstance(mine.screen, MeshScreen), pilot)
        assert "nobody is near; what you write waits here. /radios says why" in mine.shown()
        async with bob.at() as (_theirs, _):
            chat = await me.knows(bob)
            await bob.knows(me)
            await me.do(Send(chat, "hello"))
            await until(lambda: "└─ sim ─ Bob" in mine.shown(), pilot, 400)
            await pilot.press("f4")
            await until(lambda: isinstance(mine.screen, RadiosScreen), pilot)
            assert "sim: on, 1 neighbour" in mine.shown() and "(lan): off" in mine.shown()
            await pilot.press("f3", "f3")
            await until(lambda: mine.screen is mine.chat, pilot)


class Off:
    """A transport that cannot work."""

    name = "lan"

    async def run(self, host: object) -> None:
        """Nothing."""

    def send(self, link: int, frames: tuple[bytes, ...]) -> None:
        """Nothing."""

    def close(self, link: int, reason: str, kept: int = 0) -> None:
        """Nothing."""

    def status(self) -> TransportStatus:
        return TransportStatus("lan", False, "no_interface", "Connect to a network.")


async def test_what_is_off_says_why_and_where_to_look() -> None:
    """The bar at the bottom has the reason and F4; F4 has the remedy."""
    me = Person("Me", (Off(),))
    async with me.at() as (app, pilot):
        await until(lambda: "lan ○ no network: F4" in app.shown(), pilot)
        await pilot.press("f4")
        await until(lambda: "Connect to a network." in app.shown(), pilot)


async def test_own_keys_take_the_place_of_ours(bob: Person) -> None:
    """[keys] binds another key, the old one is free, help and palette show the new one."""
    options = RuntimeOptions(lan=False, ble=False, keys=(("mesh", "f8"), ("find", "ctrl+g")))
    me = Person("Me", options=options)
    async with me.at() as (app, pilot):
        app.chat.open(await me.knows(bob))
        await pilot.press("f3")
        await pilot.pause()
        assert app.screen is app.chat
        await pilot.press("f8")
        await until(lambda: isinstance(app.screen, MeshScreen), pilot)
        await pilot.press("escape", *"/keys", "enter")
        await until(lambda: isinstance(app.screen, TextScreen), pilot)
        assert "F8" in app.shown()
        await pilot.press("escape", "ctrl+п")  # the same key in another layout
        await until(lambda: app.chat.place == "find", pilot)


@pytest.mark.parametrize(
    ("keys", "title"),
    [
        ((), "While writing"),
        (("escape",), "In the list of chats"),
        (("up",), "While a message is chosen"),
        (("ctrl+f",), "While looking for words"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_help_is_about_the_place(
    me: Person, bob: Person, keys: tuple[str, ...], title: str
) -> None:
    """F1 begins with the keys of where our user is."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        me.hear(chat, "hello")
        await pilot.pause()
        app.chat.open(chat)
        await pilot.press(*keys)
        await pilot.pause()
        await pilot.press("f1")
        await until(lambda: isinstance(app.screen, TextScreen), pilot)
        assert app.shown().splitlines()[2].strip("│ ") == title


async def test_a_question_mark_helps_in_lists(me: Person, bob: Person) -> None:
    """Where nothing is typed ``?`` is help too; in the composer it is a letter."""
    async with me.at() as (app, pilot):
        app.chat.open(await me.knows(bob))
        await pilot.press("?")
        assert app.chat.query_one(Composer).text == "?"
        await pilot.press("escape", "?")
        await until(lambda: isinstance(app.screen, TextScreen), pilot)


async def test_every_command_can_be_chosen_from_the_palette(me: Person, bob: Person) -> None:
    """No row of the table fails when it is chosen with a chat open, and with none."""
    ends = {"quit", "lock", "wipe", "palette"}
    async with me.at() as (app, pilot):
        for chat in (b"", await me.knows(bob)):
            if chat:
                app.chat.open(chat)
                await me.do(Send(chat, "hello"))
            for command in COMMANDS:
                if command.name in ends:
                    continue
                app.chat.action_command(command.name)
                await pilot.pause()
                for _ in range(3):
                    if app.screen is not app.chat:
                        await pilot.press("escape")
                assert app.screen is app.chat, command
                app.chat.query_one(Composer).put("")
                if chat and app.chat.chat != chat:
                    app.chat.open(chat)


async def test_a_wide_window_has_a_pane_about_the_contact(me: Person, bob: Person) -> None:
    """From 130 columns on; below that it costs no column."""
    async with me.at((140, 30)) as (app, pilot):
        app.chat.open(await me.knows(bob))
        await until(lambda: "calls itself “Bob”" in app.shown(), pilot)
        await pilot.resize_terminal(100, 30)
        await pilot.pause()
        assert "calls itself" not in app.shown()


async def test_first_run_needs_no_network_and_no_account(tmp_path: Path) -> None:
    """Name, passphrase, card: then the chats, and every pane says the next key."""
    app = MeshApp(Profile(tmp_path / "new"), RuntimeOptions(lan=False, ble=False), None)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        assert isinstance(app.screen, SetupScreen)
        await pilot.press(*"Dana", "enter")
        await pilot.pause()
        words = "blue horse river stone lamp"
        for _ in range(2):
            await pilot.press(*words, "enter")
            await pilot.pause()
        await until(lambda: isinstance(app.screen, FirstRadios), pilot, 1_000)
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, CardScreen), pilot, 1_000)
        await pilot.press("escape")
        await pilot.pause()
        strips = app.screen._compositor.render_strips()
        shown = "\n".join(strip.text for strip in strips)
        assert "/card" in shown and "/add" in shown and "F1 help" in shown


def test_figures_for_people() -> None:
    """Spans and sizes by their largest unit, with plurals."""
    assert [span(n) for n in (0, 1, 59, 60, 119 * 60, 7_200, 172_800)] == [
        *("0 minutes", "1 second", "59 seconds", "1 minute", "119 minutes", "2 hours", "2 days"),
    ]
    assert [size_words(n) for n in (0, 10_239, 10_240, 10 * 1024**2)] == [
        *("0 B", "10239 B", "10 KiB", "10 MiB"),
    ]


async def test_the_graph_has_a_branch_for_each_neighbour(me: Person, bob: Person) -> None:
    """Plain signs too; contacts that are away are named below, the blocked are not."""
    from msgspec.structs import replace

    from meshchat.core.model import Neighbour
    from meshchat.ui.glyphs import PLAIN

    status = me.runtime.status()
    contact = Contact(b"\1" * 32, b"", bob.runtime.node.status(bob.runtime.now()).name)
    away = replace(contact, fp=b"\2" * 32)
    peers = (
        Neighbour(1, "lan", contact.fp, 0.0, True, 10, 20, "aaaa"),
        Neighbour(2, "ble", b"", 0.0, True, 10, 20, "bbbb"),
    )
    seen = replace(status, node=replace(status.node, neighbours=peers))
    contacts = {c.fp: c for c in (contact, away, replace(contact, fp=b"\3" * 32, blocked=True))}
    lines = graph_lines(seen, contacts, PLAIN, 60.0, 80)
    assert re.fullmatch(r" \+- lan - Bob \? +for 1 minute, 20 B in, 10 B out", lines[1])
    assert lines[2].startswith(" `- ble - stranger bbbb") and len(lines) == 6


def test_the_language_is_chosen_and_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A language there is no catalogue for, and a broken locale, are English."""
    monkeypatch.setenv("LC_ALL", "bro ken")
    assert choose() == "en" and choose("xx") == "en" and choose("en_GB.UTF-8") == "en"
