"""What the screens say of silence, revocations, hidden posts, files under way, and odd emoji."""

import pytest
from msgspec.structs import replace
from screens import NOON, Person, until

from meshchat.config import RuntimeOptions
from meshchat.core.events import (
    JoinRoom,
    MessageChanged,
    Notice,
    Rename,
    SendFile,
    WatchSilence,
)
from meshchat.core.identity import public_room_key
from meshchat.core.model import NOTE_REVOCATION, ChatId, OpenFile
from meshchat.profile import Profile
from meshchat.ui.app import MeshApp
from meshchat.ui.dialogs import Ask, Prompt, TextScreen
from meshchat.ui.glyphs import PLAIN, UNICODE, choose, simple_emoji
from meshchat.ui.mesh import FirstRadios
from meshchat.ui.parts import Field
from meshchat.ui.people import CardScreen
from meshchat.ui.reports import notice_words


async def room(me: Person) -> ChatId:
    await me.do(JoinRoom("yard", public_room_key("yard"), False))
    return b"r" + me.store.rooms()[0].rid


async def test_silence_is_in_list_and_header(me: Person, bob: Person) -> None:
    """``/silent 3`` says what is set; when it is so, sign and words are there."""
    async with me.at((100, 24)) as (app, pilot):
        chat = await me.knows(bob)
        app.chat.open(chat)
        await pilot.press(*"/silent 3", "enter")
        await until(lambda: "nothing was heard of Bob for 3 days" in app.shown(), pilot)
        assert "silent 3 days" not in app.shown()
        contact = me.store.contact(chat[1:])
        assert contact is not None
        with me.store.transaction():
            old = replace(contact, heard_at=NOON - 4 * 86_400, added_at=NOON - 9 * 86_400)
            me.store.save_contact(old)
        app.chat.reload()
        await until(lambda: "silent 3 days" in app.shown(), pilot)
        assert "◌?" in app.shown()
        await me.do(WatchSilence(chat[1:], 0))
        with me.store.transaction():
            me.store.save_contact(replace(old, silent_days=0))
        app.chat.reload()
        await until(lambda: "silent 3 days" not in app.shown(), pilot)
        await pilot.press(*"/silent soon", "enter")
        await until(lambda: "A number, or off" in app.shown(), pilot)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("restored", "came back from a backup"),
        ("same_name", "a new key, or a trick"),
        ("contact_silent", "Nothing was heard of"),
        ("revoked", "was revoked"),
    ],
)
async def test_notices_are_sentences(me: Person, bob: Person, code: str, words: str) -> None:
    """What the node tells has the name in it, and is never a bare name or a code."""
    async with me.at((60, 24)) as (app, pilot):
        app.chat.open(await me.knows(bob))
        me.runtime._tell(Notice(code, "Bob"))
        await until(lambda: words in " ".join(app.shown().split()), pilot)
    assert notice_words("disk_gone", "") == "disk gone" and "{x}" in notice_words(code, "{x}")


async def test_a_revocation_is_given_and_explained(me: Person, bob: Person) -> None:
    """The page says what it is; giving asks; what we do not keep cannot be released."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        app.chat.open(chat)
        await pilot.press(*"/revocation", "enter")
        await until(lambda: isinstance(app.screen, TextScreen), pilot)
        assert "You keep those of: nobody" in app.shown()
        await pilot.press("escape")
        await pilot.press(*"/revocation release", "enter")
        await until(lambda: "given you no revocation" in app.shown(), pilot)
        app.chat.writing.composer.put("")
        await pilot.press(*"/revocation give", "enter")
        await until(lambda: isinstance(app.screen, Ask), pilot)
        await pilot.press("y")
        await until(lambda: me.store.messages(chat)[-1:] != [], pilot)
        await until(lambda: "You gave your revocation to keep" in app.shown(), pilot)
        me.hear(chat, "[x]", note=NOTE_REVOCATION)
        await until(lambda: "Gave you a revocation" in app.shown(), pilot)
        await pilot.press(*"/revocation own", "enter")
        await until(lambda: isinstance(app.screen, Prompt), pilot)
        await pilot.press(*"no", "enter")
        await until(lambda: "Nothing was changed." in app.shown(), pilot)


async def test_a_post_is_hidden_and_shown(me: Person) -> None:
    """One post, then its author; a line stays in its place, no bell rings, and it comes back."""
    async with me.at() as (app, pilot):
        rings: list[bool] = []
        app.announce = lambda *, loud: rings.append(loud)  # type: ignore[method-assign]
        chat = await room(me)
        me.hear(chat, "buy my shoes", author_name="Spam")
        me.hear(chat, "water at six", author=b"\5" * 32, author_name="Olga")
        await pilot.pause()
        app.chat.open(chat)
        await until(lambda: "buy my shoes" in app.shown(), pilot)
        await pilot.press("up", "up", "h")
        await until(lambda: "buy my shoes" not in app.shown(), pilot)
        assert "(hidden: v shows it)" in app.shown() and "water at six" in app.shown()
        await pilot.press("v")
        await until(lambda: "buy my shoes" in app.shown(), pilot)
        await pilot.press("escape")
        await pilot.press("up", "up")
        app.chat.action_command("hide")
        await until(lambda: "buy my shoes" not in app.shown(), pilot)
        await pilot.press("v", "escape", "escape")
        app.chat.open(chat)
        me.hear(chat, "more shoes", author_name="Spam")
        await until(lambda: "more shoes" in app.shown(), pilot)
        await pilot.press(*"/hide author", "enter")
        await until(lambda: isinstance(app.screen, Ask), pilot)
        await pilot.press("y")
        await until(lambda: "more shoes" not in app.shown(), pilot)
        assert "buy my shoes" in app.shown()  # what was said of this post counts before
        before = len(rings)
        me.hear(chat, "even more shoes", author_name="Spam")
        await until(lambda: app.shown().count("(hidden") == 2, pilot)
        assert len(rings) == before
        await pilot.press(*"/search more", "enter")
        await until(lambda: "Nothing was found" in app.shown(), pilot)
        await pilot.press(*"/show", "enter")
        await until(lambda: "even more shoes" in app.shown(), pilot)
        await pilot.press(*"/moderator", "enter")
        await until(lambda: isinstance(app.screen, Ask), pilot)
        await pilot.press("y")
        await until(lambda: "is a moderator for you" in app.shown(), pilot)
        await pilot.press(*"/hide block everyone", "enter")
        await until(lambda: "Say post, author or block" in app.shown(), pilot)


async def test_a_file_says_how_many_pieces(me: Person, bob: Person) -> None:
    """Ours: how many have left; theirs: how many are here; also in the journey."""
    async with me.at((100, 24)) as (app, pilot):
        chat = await me.knows(bob)
        app.chat.open(chat)
        await me.do(SendFile(chat, "map.png", b"x" * 100_000))
        await until(lambda: "map.png" in app.shown(), pilot)
        message = me.store.messages(chat)[-1]
        open_file = me.store.open_files()[0]
        assert isinstance(open_file, OpenFile)
        with me.store.transaction():
            me.store.save_open_file(replace(open_file, marks=0b101))
        me.runtime._tell(MessageChanged(message))
        await until(lambda: "(2 of 4 pieces out)" in app.shown(), pilot)
        await pilot.press("f5")
        await until(lambda: "file     2 of 4 pieces out" in app.shown(), pilot)


async def test_the_first_run_shows_the_radios(tmp_path: object) -> None:
    """Third of four: what is on and why not; Enter goes on to the card."""
    me = Person("Me")
    async with me.at() as (app, pilot):
        app.push_screen(CardScreen(me.card, "Your card", first=True))
        app.push_screen(FirstRadios(me.runtime, app.glyphs))
        await until(lambda: "3 of 4" in app.shown(), pilot)
        assert (
            "(lan): off: by your settings" in app.shown()
            and "Start without --no-lan" in app.shown()
        )
        await pilot.press("f3")
        assert isinstance(app.screen, FirstRadios)
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, CardScreen), pilot)


async def test_the_first_run_is_four_steps(tmp_path: object) -> None:
    """A name, a passphrase, the radios, the card; then the chats."""
    app = MeshApp(Profile(f"{tmp_path}/new"), RuntimeOptions(lan=False, ble=False), None)
    app._profile.init_small = True  # type: ignore[attr-defined]
    original = app._profile.init
    app._profile.init = lambda n, p, s: original(n, p, s, small=True)  # type: ignore[assignment]
    async with app.run_test() as pilot:
        await pilot.press(*"Aida", "enter")
        for field in ("#passphrase", "#again"):
            app.screen.query_one(field, Field).value = "five words that belong nowhere"
        app.screen.query_one("#again", Field).focus()
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, FirstRadios), pilot, 600)
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, CardScreen), pilot)
        await pilot.press("escape")
        await until(lambda: len(app.screen_stack) == 2, pilot)
        await pilot.press("ctrl+q")


def test_simple_emoji() -> None:
    """Joined ones become their first part, flags letters; other scripts keep their joiners."""
    family, persian = "👩\u200d👩\u200d👧 🇰🇿 👍🏽 ❤️ 1️⃣", "می\u200cخواهم क\u094d\u200dष"
    assert simple_emoji(family) == "👩 KZ 👍 ❤ 1"
    assert simple_emoji(persian) == persian
    assert choose("unicode").draw(family) == family
    assert choose("unicode", emoji="simple").draw(family) == "👩 KZ 👍 ❤ 1"
    assert choose("plain") is PLAIN and choose("unicode") is UNICODE
    assert PLAIN.draw(family) == "👩 KZ 👍 ❤ 1"


async def test_simple_emoji_in_the_history(bob: Person) -> None:
    """The setting is used for text, and for names in the list, the header and on other screens."""
    me = Person("Me", options=RuntimeOptions(lan=False, ble=False, emoji="simple"))
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        me.hear(chat, "we are 👩\u200d👩\u200d👧 in 🇰🇿")
        app.chat.open(chat)
        await until(lambda: "we are 👩 in KZ" in app.shown(), pilot)
        await me.do(Rename(chat[1:], "Bob 👩\u200d👧"))
        await until(lambda: app.shown().count("Bob 👩") == 3, pilot)
        await pilot.press("ctrl+k")
        await until(lambda: "Go to chat" in app.shown(), pilot)
        assert "\u200d" not in app.shown() and "Bob 👩" in app.shown()
