"""The composer: finishing, recalling, drafts, pastes; all of it survives a restart."""

from screens import Person, TestApp, until
from textual import events

from meshchat.core.events import JoinRoom, Send
from meshchat.core.identity import public_room_key
from meshchat.ui.composer import PASTE_MAX_CHARS, Composer
from meshchat.ui.parts import Line


def writing(person: Person) -> Composer:
    return person.app.chat.query_one(Composer)


def offers(person: Person) -> str:
    line = person.app.chat.query_one("#offers", Line)
    return str(line.content) if line.display else ""


async def test_a_slash_shows_commands_and_tab_goes_through_them(me: Person) -> None:
    """Typing narrows; Tab inserts what is common, then each in turn; Esc ends it."""
    async with me.at() as (app, pilot):
        await pilot.press("/")
        await pilot.pause()
        assert "/help" in offers(me) and "more: type on" in offers(me)
        await pilot.press(*"re")
        await pilot.pause()
        assert "/read" in offers(me) and "/mesh" not in offers(me)
        await pilot.press("tab")
        first = writing(me).text
        await pilot.press("tab")
        assert writing(me).text != first and writing(me).text.startswith("/re")
        await pilot.press("shift+tab")
        assert writing(me).text == first
        await pilot.press("escape")
        await pilot.pause()
        assert offers(me) == "" and app.focused is writing(me)


async def test_tab_finishes_a_speaker_of_the_room_and_an_emoji(me: Person) -> None:
    """The last to speak comes first; the focus stays where words are."""
    async with me.at() as (app, pilot):
        room = await me.do(JoinRoom("yard", public_room_key("yard"), False))
        chat = b"r" + room.rid
        me.hear(chat, "hello", author_name="Aigerim")
        me.hear(chat, "hi", author_name="Aisulu")
        await pilot.pause()
        app.chat.open(chat)
        await pilot.press(*"@Ai", "tab")
        assert writing(me).text == "@Aisulu "
        await pilot.press("tab")
        assert writing(me).text == "@Aigerim "
        writing(me).put("fine :thumbs_u")
        await pilot.press("tab")
        assert writing(me).text.startswith("fine 👍") and app.focused is writing(me)


async def test_tab_with_nothing_typed_leaves_the_composer(me: Person, bob: Person) -> None:
    """An empty line keeps nobody from the list; a word nobody knows keeps the focus."""
    async with me.at() as (app, pilot):
        app.chat.open(await me.knows(bob))
        await pilot.press(*"zzzz", "tab")
        assert app.focused is writing(me) and writing(me).text == "zzzz"
        writing(me).put("")
        await pilot.press("tab")
        assert app.focused is not writing(me)


async def test_ctrl_up_walks_what_was_sent_also_after_a_restart(me: Person, bob: Person) -> None:
    """Sent lines come from the store, newest first; what was being written waits below them."""
    async with me.at() as (_app, _pilot):
        chat = await me.knows(bob)
        for text in ("one", "two", "two", "three"):
            await me.do(Send(chat, text))
    me.restart()
    async with me.at() as (app, pilot):
        app.chat.open(chat)
        await pilot.press(*"half")
        seen = []
        for _ in range(5):
            await pilot.press("ctrl+up")
            seen.append(writing(me).text)
        assert seen == ["three", "two", "one", "one", "one"]
        for _ in range(3):
            await pilot.press("ctrl+down")
        assert writing(me).text == "half"
        await pilot.press("ctrl+up", *"!")
        assert writing(me).text == "three!"


async def test_a_draft_survives_a_restart(me: Person, bob: Person) -> None:
    """What was typed a second ago is in the composer of the next run, in its chat."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        app.chat.open(chat)
        await pilot.press(*"unsent", "ctrl+q")
        await until(lambda: app._leaving, pilot)
    me.restart()
    async with me.at() as (app, pilot):
        app.chat.open(chat)
        await pilot.pause()
        assert writing(me).text == "unsent"


async def test_a_megabyte_is_refused_with_a_sentence(me: Person, bob: Person) -> None:
    """Nothing of it is inserted, and the way to send a file is named."""
    async with me.at() as (app, pilot):
        app.chat.open(await me.knows(bob))
        for size in (1_000_000, PASTE_MAX_CHARS + 1):
            writing(me).post_message(events.Paste("x" * size))
            await pilot.pause()
            assert f"{size:,} characters are too much" in app.shown()
            assert "/file" in app.shown() and writing(me).text == ""


async def test_a_message_of_the_greatest_length_in_one_word(me: Person, bob: Person) -> None:
    """7,000 bytes without a blank are sent, wrapped and scrolled."""
    async with me.at((40, 24)) as (app, pilot):
        chat = await me.knows(bob)
        app.chat.open(chat)
        writing(me).put("x" * 7_000)
        await pilot.press("enter")
        await until(lambda: len(me.store.messages(chat)) == 1, pilot)
        await pilot.pause()
        assert "x" * 30 in app.shown()
        assert max(map(len, app.shown().splitlines())) <= 40


async def test_a_command_that_does_not_apply_stays_typed(me: Person) -> None:
    """It says where it works, and nothing typed is lost."""
    async with me.at() as (app, pilot):
        await pilot.press(*"/leave", "enter")
        await pilot.pause()
        assert "This works in a room" in app.shown() and writing(me).text == "/leave"
        writing(me).put("/join")
        await pilot.press("enter")
        await pilot.pause()
        assert "Say more: /join #ROOM" in app.shown()
        assert isinstance(app, TestApp)
