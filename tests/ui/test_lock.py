"""The lock hides every screen, and the first run takes each answer once."""

import threading
from pathlib import Path

import pytest
from screens import Person, TestApp, until
from textual.pilot import Pilot
from textual.screen import Screen

from meshchat.config import RuntimeOptions
from meshchat.errors import StoreError
from meshchat.net.settings import NodeSettings
from meshchat.profile import Profile
from meshchat.text import Clean
from meshchat.ui.app import MeshApp
from meshchat.ui.chat import ChatScreen
from meshchat.ui.commands import BY_NAME
from meshchat.ui.composer import Composer
from meshchat.ui.dialogs import Ask, Prompt, TextScreen
from meshchat.ui.lock import LockScreen
from meshchat.ui.parts import Field, Line
from meshchat.ui.people import AddScreen
from meshchat.ui.setup import SUGGESTED_WORDS, SetupScreen

WORDS = "blue horse river stone lamp"


@pytest.fixture
def opens(me: Person, monkeypatch: pytest.MonkeyPatch) -> Person:
    """Our user, whose passphrase was checked elsewhere: any opens the lock."""

    async def unlock(_passphrase: str) -> None:
        """The key file is not under test here."""

    monkeypatch.setattr(me.app, "_unlock", unlock)
    return me


async def open_lock(app: TestApp, pilot: Pilot[None]) -> None:
    await pilot.press(*"any", "enter")
    await until(lambda: app.screen is app.chat, pilot)


@pytest.mark.parametrize(
    "keys",
    [
        ("f2",),
        ("f2", "v"),
        ("f2", "r"),
        ("f2", "c"),
        ("f2", "c", "s"),
        ("f1",),
        ("ctrl+k",),
        ("ctrl+p",),
        (*"/card", "enter"),
        (*"/add", "enter"),
        (*"/block", "enter"),
        (*"/private #yard", "enter"),
    ],
    ids=" ".join,
)
async def test_every_screen_can_be_locked(opens: Person, bob: Person, keys: tuple[str]) -> None:
    """Ctrl+L hides it at once; the passphrase leads to the chats, and nothing was answered."""
    async with opens.at() as (app, pilot):
        chat = await opens.knows(bob)
        await pilot.pause()
        app.chat.open(chat)
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
        await until(lambda: app.screen is not app.chat, pilot)
        await pilot.press("ctrl+l")
        await until(lambda: "Passphrase" in app.shown(), pilot)
        assert [type(screen) for screen in app.screen_stack] == [ChatScreen, LockScreen]
        assert "Bob" not in app.shown()
        await pilot.press("escape", "f1", "ctrl+p", "ctrl+l")
        await pilot.pause()
        assert len(app.screen_stack) == 2 and isinstance(app.screen, LockScreen)
        await open_lock(app, pilot)
        assert app.screen_stack == [app.chat] and "Bob" in app.shown()
        contact = opens.store.contact(chat[1:])
        assert contact is not None and not contact.blocked and not opens.store.rooms()


async def test_what_ends_under_the_lock_opens_nothing(opens: Person) -> None:
    """Late screens do not show over the lock, and late answers do not take it away."""
    async with opens.at() as (app, pilot):
        add = AddScreen(opens.runtime)
        await app.push_screen(add)
        await pilot.press("ctrl+l")
        add.dismiss(None)
        Screen.dismiss(add, None)  # as a screen that is not ours would
        app.chat.carry_out(BY_NAME["help"], "")
        app.chat.carry_out(BY_NAME["private"], "#yard")
        await pilot.pause()
        assert [type(screen) for screen in app.screen_stack] == [ChatScreen, LockScreen]
        await open_lock(app, pilot)
        assert app.screen_stack == [app.chat]


async def test_an_answer_given_twice_closes_one_screen(me: Person) -> None:
    """The second of two quick keys does not close the screen underneath."""
    async with me.at() as (app, pilot):
        ask = Ask(Clean("Sure?"))
        await app.push_screen(TextScreen("Help", "text"))
        await app.push_screen(ask)
        ask.action_answer(True)
        ask.action_answer(True)
        await pilot.pause()
        assert isinstance(app.screen, TextScreen)


async def test_losing_the_network_leaves_the_lock(opens: Person, bob: Person) -> None:
    """A transport that fails under the lock opens nothing; the chats go on without it."""
    async with opens.at() as (app, pilot):
        chat = await opens.knows(bob)
        await pilot.pause()
        app.chat.open(chat)
        await pilot.press(*"half", "ctrl+l")
        old = opens.runtime
        app._store, app._settings = (
            opens.store,
            NodeSettings.of(RuntimeOptions(lan=False, ble=False)),
        )
        old.stop()
        app._without_network("the port is in use.")
        await pilot.pause()
        assert [type(screen) for screen in app.screen_stack] == [ChatScreen, LockScreen]
        await open_lock(app, pilot)
        await until(lambda: "No network: the port is in use." in app.shown(), pilot)
        assert app.chat.runtime is app.runtime is not old
        assert app.chat.query_one(Composer).text == "half"
        await pilot.press("enter")
        await until(lambda: bool(opens.store.messages(chat)), pilot)


async def test_asking_for_words_keeps_the_message(me: Person, bob: Person) -> None:
    """A command that needs words asks apart while a message is being written."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        await pilot.pause()
        app.chat.open(chat)
        composer = app.chat.query_one(Composer)
        await pilot.press(*"half", "ctrl+p", *"join a public", "enter")
        await until(lambda: isinstance(app.screen, Prompt), pilot)
        assert composer.text == "half"
        await pilot.press(*"#yard", "enter")
        await until(lambda: bool(me.store.rooms()), pilot)
        await until(lambda: any(s.draft == "half" for s in me.store.chats()), pilot)
        await until(lambda: composer.text == "", pilot)  # the room's own
        app.chat.action_command("join")
        assert composer.text == "/join "


async def first_run(app: MeshApp, pilot: Pilot[None]) -> SetupScreen:
    """Up to the second passphrase, which is typed but not sent."""
    await pilot.pause()
    setup = app.screen
    assert isinstance(setup, SetupScreen)
    await pilot.press(*"Me", "enter")
    for field in ("passphrase", "again"):
        setup.query_one(f"#{field}", Field).value = WORDS
    setup.query_one("#again").focus()
    await pilot.pause()
    return setup


async def test_a_second_enter_makes_no_second_profile(tmp_path: Path) -> None:
    """While the profile is made the fields are off; a refusal gives them back."""
    profile, begun, go_on = Slow(tmp_path / "new"), [], threading.Event()
    profile.begun, profile.go_on = begun, go_on
    app = MeshApp(profile, RuntimeOptions(lan=False, ble=False), None)
    async with app.run_test() as pilot:
        setup = await first_run(app, pilot)
        again = setup.query_one("#again", Field)
        for _ in range(2):
            again.post_message(Field.Submitted(again, WORDS))
        await until(lambda: bool(begun), pilot)
        await pilot.press("enter", "escape", "ctrl+r")  # nothing of it counts now
        await pilot.pause()
        assert begun == ["Me"] and all(field.disabled for field in setup.query(Field))
        assert setup.query_one("#step-passphrase").display
        go_on.set()
        await until(lambda: not again.disabled, pilot)
        assert "No room" in str(setup.query_one(".answer", Line).content)
        await pilot.pause()
        assert app.focused is setup.query_one("#passphrase")


async def test_a_name_too_long_is_refused_where_it_is_typed(tmp_path: Path) -> None:
    """25 Cyrillic letters are 50 bytes: the name's own step says so."""
    app = MeshApp(Profile(tmp_path / "new"), RuntimeOptions(lan=False, ble=False), None)
    async with app.run_test() as pilot:
        await pilot.pause()
        name = app.screen.query_one("#name", Field)
        name.value = "ш" * 25
        await pilot.press("enter")
        await pilot.pause()
        assert "48 bytes" in str(app.screen.query_one(".answer", Line).content)
        assert app.screen.query_one("#step-name").display
        name.value = "ш" * 24
        await pilot.press("enter")
        await pilot.pause()
        assert app.screen.query_one("#step-passphrase").display


async def test_a_wrong_passphrase_in_a_file_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line while it is checked; then why it was refused, and a field to type in."""
    checked = threading.Event()

    def refuse(_profile: Profile, _passphrase: str) -> tuple[int, bytes]:
        checked.wait()
        raise StoreError("wrong_passphrase", "The passphrase is wrong. Try again.")

    monkeypatch.setattr(Profile, "exists", lambda _profile: True)
    monkeypatch.setattr(Profile, "find_key", refuse)
    monkeypatch.setattr("meshchat.ui.app.wait_after", lambda _times: 0.0)
    app = MeshApp(Profile(tmp_path / "home"), RuntimeOptions(lan=False, ble=False), "mistyped")
    async with app.run_test() as pilot:
        await pilot.pause()
        lock = app.screen
        assert "moment" in str(lock.query_one(Line).content) and not lock.query(Field)
        checked.set()
        await until(lambda: isinstance(app.focused, Field), pilot)
        assert "wrong" in str(lock.query_one(".answer", Line).content) and not lock.query(".busy")
        await pilot.press("x")
        assert lock.query_one(Field).value == "x"


class Slow(Profile):
    """A disk that takes its time, and is full then."""

    begun: list[str]
    go_on: threading.Event

    def init(
        self, name: str, passphrase: str, seed: bytes | None = None, small: bool = False
    ) -> None:
        self.begun.append(name)
        self.go_on.wait()
        raise StoreError("disk_full", "No room on the disk.")


async def test_words_for_a_passphrase_are_suggested(tmp_path: Path) -> None:
    """Ctrl+G on that step: six words of the list, others each time; nothing is filled in."""
    app = MeshApp(Profile(tmp_path / "new"), RuntimeOptions(lan=False, ble=False), None)
    async with app.run_test() as pilot:
        await pilot.pause()
        await pilot.press("ctrl+g")  # not before there is anything to lock
        answer = app.screen.query_one(".answer", Line)
        assert not str(answer.content)
        await pilot.press(*"Me", "enter")
        await until(lambda: bool(app.screen.query("#passphrase")), pilot)
        told = set()
        for _ in range(2):
            await pilot.press("ctrl+g")
            await until(lambda: "by chance" in str(answer.content), pilot)
            told.add(str(answer.content))
        assert len(told) == 2
        words = told.pop().split(": ")[1].split(".")[0].split()
        assert len(words) == SUGGESTED_WORDS and all(word.isalpha() for word in words)
        assert not app.screen.query_one("#passphrase", Field).value
