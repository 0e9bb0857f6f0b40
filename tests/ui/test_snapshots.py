"""Pictures of the main screens. Few: what can be asserted is asserted in the other files.

After a wanted change: pytest tests/ui/test_snapshots.py --snapshot-update, and look at them.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from screens import Person
from textual.pilot import Pilot

from meshchat.core.events import JoinRoom, Send, Verify
from meshchat.core.identity import public_room_key
from meshchat.profile import Profile, RuntimeOptions
from meshchat.ui.app import MeshApp

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


@pytest.mark.parametrize("size", [(80, 24), (40, 24)], ids=["80x24", "40x24"])
def test_chat(snap_compare: Compare, me: Person, bob: Person, size: tuple[int, int]) -> None:
    """A chat with a verified friend, wide and narrow."""

    async def prepare(pilot: Pilot[None]) -> None:
        chat = await talk(me, bob)
        await pilot.pause()
        me.app.chat.open(chat)
        await pilot.pause(0.5)

    assert snap_compare(me.app, terminal_size=size, run_before=prepare)


def test_list_narrow(snap_compare: Compare, me: Person, bob: Person) -> None:
    """The list of chats in forty columns."""

    async def prepare(pilot: Pilot[None]) -> None:
        chat = await talk(me, bob)
        await pilot.pause()
        me.app.chat.open(chat)
        await pilot.pause()
        await pilot.press("escape")
        await pilot.pause(0.5)

    assert snap_compare(me.app, terminal_size=(40, 24), run_before=prepare)


def test_contact(snap_compare: Compare, me: Person, bob: Person) -> None:
    """A person's screen with key, words, card and code."""

    async def prepare(pilot: Pilot[None]) -> None:
        chat = await talk(me, bob)
        await pilot.pause()
        me.app.chat.open(chat)
        await pilot.press("f2")
        await pilot.pause(0.5)

    assert snap_compare(me.app, terminal_size=(80, 60), run_before=prepare)


def test_setup(snap_compare: Compare, tmp_path: Path) -> None:
    """The first thing a person sees."""
    app = MeshApp(Profile(tmp_path / "new"), RuntimeOptions(lan=False), None)
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
        await pilot.pause(0.5)

    assert snap_compare(me.app, terminal_size=(80, 40), run_before=prepare)
