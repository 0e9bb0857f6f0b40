"""The main screen does what its keys and words say."""

from msgspec.structs import replace
from screens import Person, until, wires
from textual.events import Key
from textual.widgets import OptionList

from meshchat.core.events import AddContact, ContactChanged, JoinRoom
from meshchat.core.identity import private_room_key, public_room_key
from meshchat.core.model import State, Trust
from meshchat.ui.commands import BY_NAME, COMMANDS, with_twins
from meshchat.ui.composer import Composer
from meshchat.ui.deeds import Deeds
from meshchat.ui.dialogs import Ask, Prompt, TextScreen
from meshchat.ui.glyphs import UNICODE
from meshchat.ui.mesh import RadiosScreen
from meshchat.ui.people import AddScreen, CardScreen, ContactScreen
from meshchat.ui.side import Side


def writing(person: Person) -> Composer:
    return person.app.chat.query_one(Composer)


async def test_every_command_can_be_carried_out(me: Person) -> None:
    """Each row of the table has its method, and no two share a key."""
    keys = [key for command in COMMANDS for key in with_twins(command.keys).split(",") if key]
    assert len(keys) == len(set(keys))
    async with me.at() as (app, _):
        assert all(callable(getattr(Deeds, command.method)) for command in COMMANDS)
        assert app.chat


async def test_empty_screen_names_the_next_step(me: Person) -> None:
    """With no chats the screen says how to get one."""
    async with me.at() as (app, pilot):
        assert "/add" in app.shown()
        await pilot.press(*"hi", "enter")
        await pilot.pause()
        assert "Choose a chat first" in app.shown()
        assert writing(me).text == "hi"


async def test_two_people_chat() -> None:
    """What one types the other reads, and the sign behind it turns to delivered."""
    one, two = wires()
    me, bob = Person("Me", (one,)), Person("Bob", (two,))
    async with bob.at() as (theirs, pilot), me.at() as (mine, _):
        chat = await me.knows(bob)
        back = await bob.knows(me)
        await pilot.pause()
        mine.chat.open(chat)
        theirs.chat.open(back)
        writing(me).post_message(Composer.Submitted("сәлем, Bob!"))
        await until(lambda: "сәлем, Bob!" in theirs.shown(), pilot)
        await until(lambda: "сәлем, Bob! ✓" in mine.shown(), pilot)
        assert "Me" in theirs.shown()
        assert "sim ● 1" in mine.shown()


async def test_enter_sends_and_ctrl_j_breaks_the_line(me: Person, bob: Person) -> None:
    """One message of two lines is stored, and the composer is empty afterwards."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        app.chat.open(chat)
        await pilot.press("a", "ctrl+j", "b", "enter")
        await until(lambda: bool(me.store.messages(chat)), pilot)
        assert [m.text for m in me.store.messages(chat)] == ["a\nb"]
        await until(lambda: writing(me).text == "", pilot)
        assert "a\n" in app.shown() and "·" in app.shown()


async def test_two_enters_send_once(me: Person, bob: Person) -> None:
    """A second Enter, before the first is stored, sends nothing; what is refused comes back."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        app.chat.open(chat)
        writing(me).put("once")
        for _ in range(2):
            writing(me).post_message(Key("enter", "\r"))
        await until(lambda: bool(me.store.messages(chat)), pilot)
        await pilot.pause()
        assert [m.text for m in me.store.messages(chat)] == ["once"]
        writing(me).put("ш" * 4_000)
        await pilot.press("enter")
        await until(lambda: "Send it in parts" in app.shown(), pilot)
        assert writing(me).text == "ш" * 4_000


async def test_unknown_slash_is_never_sent(me: Person, bob: Person) -> None:
    """A mistyped command stays where it is; two slashes send one."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        app.chat.open(chat)
        await pilot.press(*"/qiut now", "enter")
        await pilot.pause()
        assert "There is no command /qiut" in app.shown()
        assert writing(me).text == "/qiut now"
        assert not me.store.messages(chat)
        writing(me).put("//etc")
        await pilot.press("enter")
        await until(lambda: bool(me.store.messages(chat)), pilot)
        assert me.store.messages(chat)[0].text == "/etc"


async def test_tab_completes_a_command(me: Person) -> None:
    """Tab finishes a command and does not move the focus."""
    async with me.at() as (app, pilot):
        await pilot.press(*"/stat", "tab")
        assert writing(me).text == "/radios"
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, RadiosScreen)


async def test_switching_chats_keeps_each_draft(me: Person, bob: Person) -> None:
    """Alt+digit, Alt+arrows and Ctrl+K go to a chat; what was being written waits there."""
    carol = Person("Carol")
    async with me.at() as (app, pilot):
        first, second = await me.knows(bob), await me.knows(carol)
        await pilot.pause()
        app.chat.open(first)
        await pilot.press(*"half")
        app.chat.open(second)
        assert writing(me).text == ""
        await until(lambda: any(s.draft == "half" for s in me.store.chats()), pilot)
        await pilot.press(f"alt+{app.chat.query_one(Side).chats.index(first) + 1}")
        assert writing(me).text == "half"
        await pilot.press("alt+down")
        assert app.chat._chat == second
        await pilot.press("ctrl+k", *"bob", "enter")
        await pilot.pause()
        assert app.chat._chat == first
        assert writing(me).text == "half"


async def test_draft_survives_quitting(me: Person, bob: Person) -> None:
    """What was typed a moment before Ctrl+Q is in the store."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        app.chat.open(chat)
        await pilot.press(*"later", "ctrl+q")
        await until(lambda: not app.is_running or app._leaving, pilot)
    assert next(s.draft for s in me.store.chats()) == "later"


async def test_narrow_shows_one_pane_at_a_time(me: Person, bob: Person) -> None:
    """At 40x24 Esc goes to the list and Enter back to a chat."""
    async with me.at((40, 24)) as (app, pilot):
        chat = await me.knows(bob)
        await pilot.pause()
        app.chat.open(chat)
        await pilot.pause()
        side, main = app.chat.query_one("#side"), app.chat.query_one("#main")
        assert main.display and not side.display
        await pilot.press("escape")
        await pilot.pause()
        assert side.display and not main.display
        await pilot.press("enter")
        await pilot.pause()
        assert main.display and not side.display
        assert max(map(len, app.shown().splitlines())) <= 40


async def test_a_new_message_elsewhere_is_counted(me: Person, bob: Person) -> None:
    """Another chat shows its count; reading it clears the count and the title."""
    carol = Person("Carol")
    async with me.at() as (app, pilot):
        first, second = await me.knows(bob), await me.knows(carol)
        await pilot.pause()
        app.chat.open(first)
        me.hear(second, "hello from Carol")
        await pilot.pause()
        assert "hello from Carol" not in app.shown()
        assert app._unread == 1
        await pilot.press("alt+a")
        await until(lambda: app._unread == 0, pilot)
        assert "hello from Carol" in app.shown()


async def test_sending_to_a_changed_contact_says_why_not(me: Person, bob: Person) -> None:
    """A replaced key is shown in the header, and the text stays in the composer."""
    new_bob = Person("Bob2")
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        me.hear(chat, "old times")
        await me.do(AddContact(new_bob.card, "Bob", bob.runtime.node.fp))
        await pilot.pause()
        app.chat.open(chat)
        await pilot.pause()
        assert "key changed" in app.shown()
        await pilot.press(*"hi", "enter")
        await until(lambda: "was replaced" in app.shown(), pilot)
        assert writing(me).text == "hi"
        assert me.store.contact(bob.runtime.node.fp).trust is Trust.CHANGED


async def test_verifying_shows_in_the_header(me: Person, bob: Person) -> None:
    """F2, v, y: the words were compared, and the header says so by sign and word."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        app.chat.open(chat)
        await pilot.pause()
        assert "? not verified" in app.shown()
        await pilot.press("f2")
        await pilot.pause()
        assert isinstance(app.screen, ContactScreen)
        for word in me.runtime.node.safety_words(bob.runtime.node.fp):
            assert word in app.shown()
        await pilot.press("v")
        await pilot.pause()
        assert isinstance(app.screen, Ask)
        await pilot.press("y")
        await until(lambda: "taken back" in app.shown() or "words agreed" in app.shown(), pilot)
        await pilot.press("escape")
        await pilot.pause()
        assert "✓ verified" in app.shown()


async def test_a_stranger_waits_in_the_requests_box(me: Person, bob: Person) -> None:
    """A request is apart from the chats, sounds no count, and one command accepts it."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        contact = me.store.contact(bob.runtime.node.fp)
        assert contact is not None
        with me.store.transaction():
            me.store.save_contact(replace(contact, request=True))
        me.hear(chat, "let me in")
        me.runtime._tell(ContactChanged(contact))
        await until(lambda: [r.chat for r in app.chat.names.requests] == [chat], pilot)
        assert app._unread == 0
        assert app.chat.query_one("#requests", OptionList).display
        assert "let me in" not in app.shown()
        app.chat.open(chat)
        await pilot.pause()
        assert "stranger" in app.shown() and "/accept" in app.shown()


async def test_add_contact_by_pasted_card_or_file(me: Person, bob: Person, tmp_path) -> None:
    """A card with line breaks and a file both work; nonsense is answered with a sentence."""
    carol = Person("Carol")
    path = tmp_path / "carol.meshchat"
    path.write_text(carol.card)
    async with me.at() as (app, pilot):
        await pilot.press(*"/add", "enter")
        await pilot.pause()
        assert isinstance(app.screen, AddScreen)
        await pilot.press(*"nonsense", "enter")
        await until(lambda: "neither a card" in app.shown(), pilot)
        await pilot.press("escape")
        await pilot.pause()
        app.chat.carry_out(BY_NAME["add"], bob.card.lower())
        await pilot.pause()
        await pilot.press("enter")
        await until(lambda: app.chat._chat == b"c" + bob.runtime.node.fp, pilot)
        app.chat.carry_out(BY_NAME["add"], str(path))
        await pilot.pause()
        await pilot.press("enter")
        await until(lambda: app.chat._chat == b"c" + carol.runtime.node.fp, pilot)
    assert [str(c.petname) for c in me.store.contacts()] == ["Bob", "Carol"]


async def test_a_taken_name_offers_the_way_out(me: Person, bob: Person) -> None:
    """A second key under a known name is never taken silently; Ctrl+R replaces the old one."""
    other = Person("Bob")
    other_card = other.card
    thief = Person("B0b")
    async with me.at() as (app, pilot):
        await me.knows(bob)
        await pilot.pause()
        app.chat.carry_out(BY_NAME["add"], thief.card)
        await pilot.pause()
        await pilot.press("enter")
        await until(lambda: "another key" in app.shown(), pilot)
        assert len(me.store.contacts()) == 1
        await pilot.press("ctrl+r")
        await until(lambda: len(me.store.contacts()) == 2, pilot)
    states = {c.fp: c.trust for c in me.store.contacts()}
    assert states[bob.runtime.node.fp] is Trust.CHANGED
    assert other_card


async def test_join_a_public_room_and_leave_it(me: Person) -> None:
    """/join is public at once, so nothing typed next is taken for a passphrase; /leave asks."""
    async with me.at() as (app, pilot):
        await pilot.press(*"/join #Yard", "enter")
        await until(lambda: "#yard" in app.shown() and app.screen is app.chat, pilot)
        assert me.store.rooms()[0].key == public_room_key("yard")
        assert "anyone may read" in app.shown()
        await pilot.press(*"/leave", "enter")
        await until(lambda: isinstance(app.screen, Ask), pilot)
        await pilot.press("y")
        await until(lambda: not me.store.rooms(), pilot)


async def test_join_a_private_room(me: Person) -> None:
    """/private asks for the passphrase; leaving the question joins nothing."""
    async with me.at() as (app, pilot):
        await pilot.press(*"/private #yard", "enter")
        await until(lambda: isinstance(app.screen, Prompt), pilot)
        await pilot.press("escape")
        await until(lambda: app.screen is app.chat, pilot)
        assert not me.store.rooms()
        await pilot.press(*"/private #yard", "enter")
        await until(lambda: isinstance(app.screen, Prompt), pilot)
        await pilot.press(*"blue horse", "enter")
        await until(lambda: bool(me.store.rooms()), pilot)
        assert me.store.rooms()[0].key == private_room_key("yard", "blue horse")
        assert "private room" in app.shown()


async def test_nobody_else_is_you(me: Person) -> None:
    """In a room every name carries a key tag, so a member called "you" is not mistaken for us."""
    async with me.at() as (app, pilot):
        room = await me.do(JoinRoom("yard", public_room_key("yard"), False))
        chat = b"r" + room.rid
        message = me.hear(chat, "I agree")
        shown = app.chat.names.of_author(replace(message, author_name=type(message.text)("you")))
        assert shown.startswith("you~") and len(shown) == 8
        assert app.chat.names.of_author(replace(message, outgoing=True)) == "you"
        await pilot.pause()


async def test_message_mode_shows_the_journey(me: Person, bob: Person) -> None:
    """Up in an empty composer chooses the last message; i tells where it is."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        app.chat.open(chat)
        await pilot.press(*"hi", "enter")
        await until(lambda: bool(me.store.messages(chat)), pilot)
        await until(lambda: writing(me).text == "", pilot)
        await pilot.press("up", "i")
        await pilot.pause()
        assert isinstance(app.screen, TextScreen)
        assert "nobody has taken it yet" in app.shown() and "written" in app.shown()
        assert me.store.messages(chat)[0].state is State.QUEUED
        await pilot.press("escape", "escape")
        await pilot.pause()
        assert app.focused is writing(me)


async def test_a_long_paste_asks_and_is_cleaned(me: Person, bob: Person) -> None:
    """Six pasted lines need a yes; control characters and CR never reach the message."""
    from textual import events

    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        app.chat.open(chat)
        writing(me).post_message(events.Paste("one\rtwo\x1b[201~\r\nthree"))
        await pilot.pause()
        assert writing(me).text == "one\ntwo[201~\nthree"
        writing(me).put("")
        writing(me).post_message(events.Paste("line\r" * 6))
        await pilot.pause()
        assert isinstance(app.screen, Ask) and writing(me).text == ""
        await pilot.press("y")
        await pilot.pause()
        assert writing(me).text == "line\n" * 6


async def test_own_card_and_help_open(me: Person) -> None:
    """/card and F1 show what they promise."""
    async with me.at() as (app, pilot):
        await pilot.press(*"/card", "enter")
        await pilot.pause()
        assert isinstance(app.screen, CardScreen)
        assert "meshchat:" in app.shown() and "▀" in app.shown()
        await pilot.press("escape", "f1")
        await pilot.pause()
        assert "While writing" in app.shown() and "complete a name" in app.shown()
        await pilot.press("escape", "ctrl+p", *"status", "enter")
        await until(lambda: isinstance(app.screen, RadiosScreen), pilot)
        assert "(lan): off" in app.shown()


async def test_closed_before_it_was_drawn(me: Person, bob: Person) -> None:
    """F2 and Esc in one breath, many times: nothing is asked of a screen that is gone already."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        app.chat.open(chat)
        for _ in range(20):
            app.push_screen(ContactScreen(me.runtime, bob.runtime.node.fp, UNICODE))
            app.screen.dismiss(None)
            await pilot.pause()
        assert app.screen is app.chat
