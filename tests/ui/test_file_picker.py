"""Sending a file from a list, saving one that came, and emoji by name."""

import os
import stat
from pathlib import Path

import pytest
from screens import Person, until

from meshchat.core.events import Send
from meshchat.core.files import file_text
from meshchat.core.model import NOTE_FILE
from meshchat.profile import Profile
from meshchat.ui.composer import Composer
from meshchat.ui.filepicker import FileScreen, entries


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where our user started meshchat: two folders, three files, and what must not be offered."""
    place = tmp_path / "home"
    (place / "photos").mkdir(parents=True)
    (place / "Empty").mkdir()
    (place / "map of wells.pdf").write_bytes(b"x" * 3_000)
    (place / "evil\x1b]2;x\x07name.txt").write_bytes(b"y")
    (place / ".hidden").write_bytes(b"z")
    (place / "photos" / "bridge.jpg").write_bytes(b"jpeg")
    os.mkfifo(place / "pipe")
    monkeypatch.chdir(place)
    return place


def test_only_files_and_folders_are_listed(folder: Path) -> None:
    """Folders first; no pipes, which would hang, and nothing hidden."""
    names = [entry.name for entry in entries(folder)]
    assert names == ["Empty", "photos", "evil\x1b]2;x\x07name.txt", "map of wells.pdf"]


async def test_a_file_is_chosen_from_a_list(me: Person, bob: Person, folder: Path) -> None:
    """Ctrl+O, into a folder, back by Left, letters narrow, Enter sends; names are harmless."""
    async with me.at() as (app, pilot):
        app.chat.open(await me.knows(bob))
        await pilot.press("ctrl+o")
        await until(lambda: "map of wells.pdf" in app.shown(), pilot)
        shown = app.shown()
        assert "photos/" in shown and "\x1b" not in shown and ".hidden" not in shown
        await pilot.press("down", "enter")
        await until(lambda: "bridge.jpg" in app.shown(), pilot)
        await pilot.press("left")
        await until(lambda: "map of wells.pdf" in app.shown(), pilot)
        await pilot.press(*"wells")
        await until(lambda: "photos/" not in app.shown(), pilot)
        await pilot.press("enter")
        await until(lambda: '[file "map of wells.pdf", 3 kB]' in app.shown(), pilot)


async def test_a_folder_that_cannot_be_read_is_said(me: Person, bob: Person, folder: Path) -> None:
    """The list stays, with the reason under it; a whole path may be typed; Esc sends nothing."""
    async with me.at((40, 24)) as (app, pilot):
        app.chat.open(await me.knows(bob))
        await pilot.press("ctrl+o")
        await until(lambda: "photos/" in app.shown(), pilot)
        (folder / "Empty").rmdir()
        await pilot.press("enter")
        await until(lambda: "Cannot read Empty" in app.shown(), pilot)
        assert "photos/" in app.shown()
        await pilot.press(*str(folder / "photos"), "enter")
        await until(lambda: "bridge.jpg" in app.shown(), pilot)
        await pilot.press("escape")
        assert not isinstance(app.screen, FileScreen) and not app.history._loaded.seqs


async def test_a_file_is_saved_under_a_name_of_ours(me: Person, bob: Person, folder: Path) -> None:
    """Into the profile, for the owner's eyes; into a folder by word; never under the sender's."""
    me.app._profile = Profile(folder / "profile")
    (folder / "profile").mkdir()
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        app.chat.open(chat)
        await me.do(Send(chat, "have you the plan?"))
        await until(lambda: "plan" in app.shown(), pilot)
        await pilot.press(*"/save", "enter")
        await until(lambda: "No file has come here lately" in app.shown(), pilot)
        name = "../../invoice.pdf.exe"
        message = me.hear(chat, file_text(name, 5), 1, note=NOTE_FILE)
        with me.store.transaction():
            me.store.save_file(message.id, b"bytes")
        await me.do(Send(chat, "thanks"))  # ours is the last, theirs has the file
        await pilot.press(*"/save", "enter")
        await until(lambda: "Saved as" in app.shown(), pilot)
        (saved,) = (folder / "profile" / "downloads").iterdir()
        assert saved.read_bytes() == b"bytes" and saved.suffix == ".bin"
        assert stat.S_IMODE(saved.stat().st_mode) == 0o600
        await pilot.press(*"/save photos", "enter")
        await until(lambda: (folder / "photos" / saved.name).exists(), pilot)
        await pilot.press(*"/save nowhere", "enter")
        await until(lambda: "Nothing can be written in nowhere" in app.shown(), pilot)


async def test_an_emoji_by_name(me: Person, bob: Person) -> None:
    """/emoji puts it where the cursor was, into what is being written."""
    async with me.at() as (app, pilot):
        app.chat.open(await me.knows(bob))
        composer = app.chat.query_one(Composer)
        await pilot.press(*"/emoji camel", "enter")
        await until(lambda: composer.text == "🐫", pilot)
        app.chat.action_command("emoji")
        await until(lambda: "Which emoji?" in app.shown(), pilot)
        await pilot.press(*"kazakh", "enter")
        await until(lambda: composer.text == "🐫🇰🇿", pilot)


async def test_the_cursor_takes_joined_signs_whole(me: Person, bob: Person) -> None:
    """A family, a flag, a thumb with its tone: one step each, and one Backspace each."""
    async with me.at() as (app, pilot):
        app.chat.open(await me.knows(bob))
        composer = app.chat.query_one(Composer)
        composer.put("a👨‍👩‍👧🇰🇿👍🏽")
        for left in ("a👨‍👩‍👧🇰🇿", "a👨‍👩‍👧", "a", ""):
            await pilot.press("backspace")
            assert composer.text == left
        composer.put("👨‍👩‍👧🇰🇿b")
        await pilot.press("left", "left", "left")
        assert composer.cursor_location == (0, 0)
        await pilot.press("right", "delete")
        assert composer.text == "👨‍👩‍👧b"


async def test_home_and_end_go_through_the_history(me: Person, bob: Person) -> None:
    """As the line "n new below" says, unless the key has somewhere to go in what is written."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        me.read(chat, me.fill(chat, 100)[-1])
        app.chat.reload()
        app.chat.open(chat)
        await pilot.press("home")
        await until(lambda: "message 0" in app.shown(), pilot)
        await pilot.press("end")
        await until(lambda: "message 99" in app.shown(), pilot)
        await pilot.press(*"hm", "home", "end")
        assert "message 99" in app.shown()


async def test_a_chosen_message_tells_its_time_to_the_second(me: Person, bob: Person) -> None:
    """Rows say hours and minutes; the bottom says all of it."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        me.hear(chat, "hello")
        app.chat.open(chat)
        await pilot.press("up")
        await until(lambda: "2026-11-22 12:00:00" in app.shown().splitlines()[-1], pilot)
        await pilot.press("escape")
        await until(lambda: "queue 0" in app.shown().splitlines()[-1], pilot)
