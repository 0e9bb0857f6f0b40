"""Locking by itself, destroying, and what a terminal, a title or a bell may say."""

import io
from pathlib import Path

import pytest
from msgspec.structs import replace
from screens import Person, until
from textual import events

from meshchat.config import RuntimeOptions
from meshchat.core.events import AddContact, ContactChanged, Rename
from meshchat.core.model import Trust
from meshchat.errors import StoreError
from meshchat.profile import Profile
from meshchat.ui.app import MeshApp
from meshchat.ui.composer import Composer
from meshchat.ui.dialogs import Choose, Prompt
from meshchat.ui.lock import LockScreen

SECRET = "the bridge at nine"


async def test_it_locks_by_itself(me: Person, bob: Person) -> None:
    """After so many minutes without a key the passphrase is asked for; keys put it off."""
    async with me.at() as (app, pilot):
        await me.knows(bob)
        await pilot.pause()
        app._touched -= 60.0 * app.options.hide_minutes - 5
        app._hide_if_idle()
        await pilot.pause()
        assert app.screen is app.chat
        app._touched -= 10
        await pilot.press("a")
        app._hide_if_idle()
        await pilot.pause()
        assert app.screen is app.chat
        app._touched -= 60.0 * app.options.hide_minutes
        app._hide_if_idle()
        await until(lambda: isinstance(app.screen, LockScreen), pilot)
        assert "Bob" not in app.shown()


async def test_three_times_ctrl_x_destroys_at_once(me: Person, bob: Person) -> None:
    """The first press says what the third does; slow presses do nothing; it works while locked."""
    wiped: list[int] = []

    async def wipe() -> None:
        wiped.append(1)

    async with me.at() as (app, pilot):
        app.wipe = wipe  # type: ignore[method-assign]
        app.chat.open(await me.knows(bob))
        await pilot.press(*"text", "ctrl+x")
        await pilot.pause()
        assert "three times within two seconds" in app.shown()
        assert app.chat.query_one(Composer).text == "text"
        app._panics = [at - 3 for at in app._panics]
        await pilot.press("ctrl+x", "ctrl+ч")
        await pilot.pause()
        assert not wiped
        app._panics.clear()
        app.lock()
        await pilot.pause()
        await pilot.press("ctrl+x", "ctrl+x", "ctrl+x")
        await until(lambda: wiped == [1], pilot)


async def test_wiping_asks_for_the_word(me: Person) -> None:
    """Anything but the word destroys nothing."""
    wiped: list[int] = []

    async def wipe() -> None:
        wiped.append(1)

    async with me.at() as (app, pilot):
        app.wipe = wipe  # type: ignore[method-assign]
        for answer, done in (("no", []), ("wipe", [1])):
            await pilot.press(*"/wipe", "enter")
            await until(lambda: isinstance(app.screen, Prompt), pilot)
            await pilot.press(*answer, "enter")
            await until(lambda: app.screen is app.chat, pilot)
            await pilot.pause()
            assert wiped == done


async def test_the_key_is_gone_before_the_program_ends(tmp_path: Path) -> None:
    """The files go when the node has let go of them; from the chord on nothing can be opened."""
    profile = Profile(tmp_path / "home")
    profile.init("Me", "pw", small=True)
    app = MeshApp(profile, RuntimeOptions(lan=False, ble=False), None)
    async with app.run_test() as pilot:
        await pilot.pause()
        await pilot.press("ctrl+x", "ctrl+x", "ctrl+x")
        await until(lambda: not profile.key_path.exists(), pilot)
    assert app.wiped
    profile.wipe()
    assert not profile.has_home()
    with pytest.raises(StoreError):
        profile.wipe()


async def test_title_and_bell_tell_nothing_private(me: Person, bob: Person) -> None:
    """Neither names nor text leave for the terminal's title or notifications; focus keeps quiet."""
    async with me.at() as (app, pilot):
        told: list[str] = []
        app._tell_terminal = told.append  # type: ignore[method-assign]
        chat = await me.knows(bob)
        await pilot.pause()
        for wish in ("osc9", "osc777", "osc99"):
            app.options = replace(app.options, notify=wish)
            app.post_message(events.AppBlur())
            await pilot.pause()
            me.hear(chat, SECRET)
            await until(lambda: any("new message" in text for text in told), pilot)
            app.post_message(events.AppFocus())
            await pilot.pause()
            told.append("focused")
            me.hear(chat, SECRET)
            await pilot.pause()
            assert not any("new message" in t for t in told[told.index("focused") :])
            assert not any(word in t for t in told for word in ("Bob", SECRET))
            told.clear()


async def test_strangers_ring_no_bell_and_are_found_by_word(me: Person, bob: Person) -> None:
    """A request sounds nothing; /requests lists it; its chat says the next key."""
    async with me.at() as (app, pilot):
        rings: list[bool] = []
        app.announce = lambda *, loud: rings.append(loud)  # type: ignore[method-assign]
        chat = await me.knows(bob)
        contact = me.store.contact(chat[1:])
        assert contact is not None
        with me.store.transaction():
            me.store.save_contact(replace(contact, request=True))
        me.runtime._tell(ContactChanged(contact))
        await pilot.pause()
        me.hear(chat, "@Me let me in", mention=True)
        await until(lambda: len(app.chat.names.requests) == 1, pilot)
        assert not rings
        await pilot.press(*"/requests", "enter")
        await until(lambda: isinstance(app.screen, Choose), pilot)
        await pilot.press("enter")
        await until(lambda: app.chat.chat == chat, pilot)
        assert "/accept" in app.shown()


async def test_the_first_to_write_may_be_a_stranger(me: Person, bob: Person) -> None:
    """With no chats the pane says so, Esc goes to the stranger, Enter opens; Up and Down go on."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        contact = me.store.contact(chat[1:])
        assert contact is not None
        with me.store.transaction():
            me.store.save_contact(replace(contact, request=True))
        app.chat.close_chat()
        me.hear(chat, "let me in")
        await until(lambda: "Somebody you do not know" in app.shown(), pilot)
        await pilot.press("escape", "enter")
        await until(lambda: app.chat.chat == chat, pilot)
        friend = await me.knows(Person("Carol"))
        await until(lambda: "Carol" in app.shown(), pilot)
        await pilot.press("escape")
        await until(lambda: app.focused is app.chat.query_one("#chats"), pilot)
        for row in ("requests", "chats", "requests"):
            await pilot.press("down")
            await until(lambda row=row: app.focused is app.chat.query_one(f"#{row}"), pilot)
        await pilot.press("up", "enter")
        await until(lambda: app.chat.chat == friend, pilot)


async def test_a_changed_key_is_said_wherever_it_matters(me: Person, bob: Person) -> None:
    """In the list, the header, on opening, and when something is to be sent."""
    other = Person("Bob2")
    async with me.at((100, 24)) as (app, pilot):
        chat = await me.knows(bob)
        me.hear(chat, "old times")
        await me.do(AddContact(other.card, "Bob2", replaces=chat[1:]))
        await pilot.pause()
        contact = me.store.contact(chat[1:])
        assert contact is not None and contact.trust is Trust.CHANGED
        app.chat.open(chat)
        await pilot.pause()
        assert "! key changed: nothing is sent" in app.shown()
        assert "was replaced" in app.shown()
        await pilot.press(*"hi", "enter")
        await until(lambda: "write to the new contact" in app.shown(), pilot)
        assert app.chat.query_one(Composer).text == "hi"


async def test_markup_in_a_name_is_text(me: Person, bob: Person) -> None:
    """In list, header, switcher, question and page: no tag closes, colours or acts."""
    name = "[/x][b]B[/]"
    async with me.at((100, 24)) as (app, pilot):
        chat = await me.knows(bob)
        await me.do(Rename(chat[1:], name))
        me.hear(chat, f"{name} [@click=app.exit()]said[/]")
        app.chat.open(chat)
        await until(lambda: app.shown().count(name) > 2, pilot)
        for keys, end in ((["ctrl+k"], "escape"), (["f2"], "escape"), ([*"/block", "enter"], "n")):
            await pilot.press(*keys)
            await until(lambda: app.screen is not app.chat and name in app.shown(), pilot)
            await pilot.click(offset=(50, 3))
            await pilot.press(end)
            await until(lambda: app.screen is app.chat, pilot)
        assert app.is_running and app.return_value is None


def test_nothing_of_the_crash_is_private(capsys: pytest.CaptureFixture[str]) -> None:
    """What a bug prints has places, never texts."""
    from meshchat.logfile import where

    try:
        raise ValueError(SECRET)
    except ValueError as error:
        said = where(error)
    assert SECRET not in said and "test_safety.py" in said
    assert io.StringIO(capsys.readouterr().out).read() == ""
