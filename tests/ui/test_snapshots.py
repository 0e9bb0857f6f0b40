"""Pictures of the main screens. Few: what can be asserted is asserted in the other files.

After a wanted change: pytest tests/ui/test_snapshots.py --snapshot-update, and look at them.
"""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from screens import Person
from textual.pilot import Pilot

from meshchat.config import RuntimeOptions
from meshchat.core.events import CreateGroup, JoinRoom, React, Send, Verify
from meshchat.core.identity import public_room_key
from meshchat.profile import Profile
from meshchat.ui.app import MeshApp
from meshchat.ui.mesh import FirstRadios

CORPUS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "hostile_text.json").read_text("ascii")
)
Compare = Callable[..., bool]


async def talk(me: Person, bob: Person) -> bytes:
    """A verified friend who wrote, a room with news, and an answer on its way."""
    chat = await me.knows(bob)
    await me.do(Verify(chat[1:]))
    await me.do(JoinRoom("courtyard", public_room_key("courtyard"), False))
    room = b"r" + me.store.rooms()[0].rid
    me.hear(chat, "сәлем, бәріне!", 1)
    me.hear(chat, "is anybody near the old bridge? we could meet there, it is dry", 2)
    me.hear(room, "water at the school until 18:00", 3)
    await me.do(Send(chat, "yes: in ten minutes"))
    return chat


@pytest.mark.parametrize("size", [(80, 24), (40, 24), (200, 60)], ids=["80x24", "40x24", "200x60"])
def test_chat(snap_compare: Compare, me: Person, bob: Person, size: tuple[int, int]) -> None:
    """A chat with a verified friend, wide and narrow."""

    async def prepare(pilot: Pilot[None]) -> None:
        chat = await talk(me, bob)
        await pilot.pause()
        me.app.chat.open(chat)
        await pilot.pause(0.1)

    assert snap_compare(me.app, terminal_size=size, run_before=prepare)


def test_list_narrow(snap_compare: Compare, me: Person, bob: Person) -> None:
    """The list of chats in forty columns."""

    async def prepare(pilot: Pilot[None]) -> None:
        chat = await talk(me, bob)
        await pilot.pause()
        me.app.chat.open(chat)
        await pilot.pause()
        await pilot.press("escape")
        await pilot.pause(0.1)

    assert snap_compare(me.app, terminal_size=(40, 24), run_before=prepare)


def test_contact(snap_compare: Compare, me: Person, bob: Person) -> None:
    """A person's screen with key, words, card and code."""

    async def prepare(pilot: Pilot[None]) -> None:
        chat = await talk(me, bob)
        await pilot.pause()
        me.app.chat.open(chat)
        await pilot.press("f2")
        await pilot.pause(0.1)

    assert snap_compare(me.app, terminal_size=(80, 60), run_before=prepare)


def test_setup(snap_compare: Compare, tmp_path: Path) -> None:
    """The first thing a person sees."""
    app = MeshApp(Profile(tmp_path / "new"), RuntimeOptions(lan=False, ble=False), None)
    assert snap_compare(app, terminal_size=(80, 24))


def test_hostile(snap_compare: Compare, me: Person, bob: Person) -> None:
    """Hostile text is dull to look at."""

    async def prepare(pilot: Pilot[None]) -> None:
        chat = await me.knows(bob)
        groups = {entry["group"]: entry["text"] for entry in CORPUS if entry["group"] != "long"}
        for number, text in enumerate(groups.values()):
            me.hear(chat, text, number)
        await pilot.pause()
        me.app.chat.open(chat)
        await pilot.pause(0.1)

    assert snap_compare(me.app, terminal_size=(80, 40), run_before=prepare)


@pytest.mark.parametrize("theme", ["light", "ansi-dark", "ansi-light", "contrast"])
def test_theme(snap_compare: Compare, bob: Person, theme: str) -> None:
    """The same chat in other colours."""
    me = Person("Me", options=RuntimeOptions(lan=False, ble=False, theme=theme))
    assert snap_compare(me.app, terminal_size=(80, 24), run_before=opened(me, bob))


def test_no_colour(snap_compare: Compare, bob: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """NO_COLOR: signs and weight only."""
    monkeypatch.setenv("NO_COLOR", "1")
    me = Person("Me")
    assert snap_compare(me.app, terminal_size=(80, 24), run_before=opened(me, bob))


def test_plain(snap_compare: Compare, bob: Person) -> None:
    """Letters that every terminal has."""
    me = Person("Me", options=RuntimeOptions(lan=False, ble=False, glyphs="plain"))
    assert snap_compare(me.app, terminal_size=(80, 24), run_before=opened(me, bob))


def opened(me: Person, bob: Person, *keys: str) -> Callable[[Pilot[None]], Awaitable[None]]:
    """The chat with a verified friend, and then some keys."""

    async def prepare(pilot: Pilot[None]) -> None:
        chat = await talk(me, bob)
        await pilot.pause()
        me.app.chat.open(chat)
        await pilot.pause()
        for key in keys:
            await pilot.press(key)
            await pilot.pause(0.1)
        await pilot.pause(0.1)

    return prepare


SHOWN = {
    "help": ("f1",),
    "mesh": ("f3",),
    "radios": ("f4",),
    "journey": ("f5",),
    "switcher": ("ctrl+k", "c", "o"),
    "find": ("ctrl+f", *"bridge"),
    "offers": ("/", "r", "e"),
    "chosen": ("up", "up"),
    "answering": ("up", "up", "r"),
    "reactions": ("up", "plus"),
    "lock": ("ctrl+l",),
}


@pytest.mark.parametrize("name", list(SHOWN))
def test_screen(snap_compare: Compare, me: Person, bob: Person, name: str) -> None:
    """Each of the other screens at 80x24."""
    assert snap_compare(me.app, terminal_size=(80, 24), run_before=opened(me, bob, *SHOWN[name]))


def test_talk(snap_compare: Compare, me: Person, bob: Person) -> None:
    """A quote, reactions, an edit, right-to-left text, letters that are joined."""

    async def prepare(pilot: Pilot[None]) -> None:
        chat = await talk(me, bob)
        first = me.store.messages(chat)[0]
        await me.do(React(first.id, "👍"))
        await me.do(Send(chat, "сәлем!", reply_to=first.id))
        me.hear(chat, "שלום לכולם, נפגשים ליד הגשר", 4)
        me.hear(chat, "the family is fine 👩\u200d👩\u200d👧\u200d👦 🇰🇿", 5)
        await pilot.pause()
        me.app.chat.open(chat)
        await pilot.pause(0.1)

    assert snap_compare(me.app, terminal_size=(80, 24), run_before=prepare)


@pytest.mark.parametrize("size", [(80, 24), (40, 24)], ids=["80x24", "40x24"])
def test_group(snap_compare: Compare, me: Person, bob: Person, size: tuple[int, int]) -> None:
    """A private group: a friend, somebody who is no contact, a message that is carried."""

    async def prepare(pilot: Pilot[None]) -> None:
        friend = (await talk(me, bob))[1:]
        await me.do(CreateGroup("stairs 4", (friend,)))
        chat = b"g" + me.store.groups()[0].gid
        me.hear(chat, "who has a lamp?", 6, author=friend)
        me.hear(chat, "I do, third floor", 7, author=b"\5" * 16, author_name="Olga")
        await me.do(Send(chat, "thank you both"))
        await pilot.pause()
        me.app.chat.open(chat)
        await pilot.pause(0.1)

    assert snap_compare(me.app, terminal_size=size, run_before=prepare)


def test_first_radios(snap_compare: Compare, me: Person) -> None:
    """The third step of the first run."""

    async def prepare(pilot: Pilot[None]) -> None:
        me.app.push_screen(FirstRadios(me.runtime, me.app.glyphs))
        await pilot.pause(0.1)

    assert snap_compare(me.app, terminal_size=(80, 24), run_before=prepare)


def test_empty(snap_compare: Compare, me: Person) -> None:
    """Nobody is known yet: the next keys are named."""
    assert snap_compare(me.app, terminal_size=(80, 24))
