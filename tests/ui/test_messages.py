"""Choosing a message and what can be done with it; finding; what is new."""

from screens import NOON, Person, until, wires

from meshchat.core.events import Edit, JoinRoom, MessageChanged, React, Retract, Send, SetChat
from meshchat.core.identity import public_room_key
from meshchat.core.model import Notify, State
from meshchat.ui.composer import Composer
from meshchat.ui.dialogs import Ask, Choose, TextScreen
from meshchat.ui.find import FindBar
from meshchat.ui.parts import Line


def writing(person: Person) -> Composer:
    return person.app.chat.query_one(Composer)


async def test_a_reply_quotes_one_line(me: Person, bob: Person) -> None:
    """Up, r, text, Enter: the answer names what it answers; Esc first would drop that."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        heard = me.hear(chat, "where is the water?")
        await pilot.pause()
        app.chat.open(chat)
        await pilot.press("up", "r")
        await pilot.pause()
        assert "answering Bob: where is the water?" in app.shown()
        assert app.focused is writing(me)
        await pilot.press("escape")
        await pilot.pause()
        assert "answering" not in app.shown() and app.focused is writing(me)
        await pilot.press("up", "r", *"here", "enter")
        await until(lambda: len(me.store.messages(chat)) == 2, pilot)
        assert me.store.messages(chat)[-1].reply_to == heard.id
        await until(lambda: "│ Bob: where is the water?" in app.shown(), pilot)
        await pilot.press("up", "g")
        await pilot.pause()
        chosen = app.history.chosen()
        assert chosen is not None and chosen.id == heard.id


async def test_a_reaction_is_counted_and_taken_back(me: Person, bob: Person) -> None:
    """+ offers a few signs; the count stands under the message, ours in brackets."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        message = me.hear(chat, "all is well")
        await pilot.pause()
        app.chat.open(chat)
        await pilot.press("up", "plus")
        await until(lambda: isinstance(app.screen, Choose), pilot)
        await pilot.press("enter")
        await until(lambda: "[👍 1]" in app.shown(), pilot)
        assert [r.emoji for r in me.store.reactions([message.id])] == ["👍"]
        await pilot.press("escape", *"/react -", "enter")
        await until(lambda: not me.store.reactions([message.id]), pilot)


async def test_an_edit_takes_the_place_and_keeps_the_draft(me: Person, bob: Person) -> None:
    """e puts the text into the composer; the history marks it and the journey has what was."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        app.chat.open(chat)
        await me.do(Send(chat, "at six"))
        writing(me).put("draft")
        await pilot.pause()
        app.history.choose_last()
        await pilot.press("e")
        await pilot.pause()
        assert writing(me).text == "at six" and "changing: at six" in app.shown()
        writing(me).put("at seven")
        await pilot.press("enter")
        await until(lambda: "at seven (edited)" in app.shown(), pilot)
        await pilot.press("f5")
        await until(lambda: isinstance(app.screen, TextScreen), pilot)
        assert "What it said before" in app.shown() and "at six" in app.shown()


async def test_only_own_messages_can_be_edited(me: Person, bob: Person) -> None:
    """Of others it says so."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        me.hear(chat, "mine")
        app.chat.open(chat)
        await pilot.press("up", "e")
        await pilot.pause()
        assert "Only your own messages" in app.shown()


async def test_delete_for_me_asks_and_the_place_stays(me: Person, bob: Person) -> None:
    """d destroys the row here; the others stay laid out."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        for number in range(3):
            me.hear(chat, f"text {number}", number)
        await pilot.pause()
        app.chat.open(chat)
        await pilot.press("up", "up", "d")
        await until(lambda: isinstance(app.screen, Ask), pilot)
        assert "text 1" in app.shown()
        await pilot.press("y")
        await until(lambda: len(me.store.messages(chat)) == 2, pilot)
        await until(lambda: "text 1" not in app.shown(), pilot)
        assert "text 0" in app.shown() and "text 2" in app.shown()


async def test_a_retracted_message_says_who_asked(me: Person, bob: Person) -> None:
    """Never promised: it says "asked"."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        app.chat.open(chat)
        sent = await me.do(Send(chat, "a slip"))
        await me.do(Retract(sent.id))
        await until(lambda: "(you asked to delete it)" in app.shown(), pilot)
        assert "a slip" not in app.shown()


async def test_y_copies(me: Person, bob: Person) -> None:
    """The text is on the clipboard, and the doubt about that is said."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        me.hear(chat, "copy me")
        app.chat.open(chat)
        await pilot.press("up", "y")
        await until(lambda: "if this terminal allows it" in app.shown(), pilot)
        assert app.clipboard == "copy me"


async def test_one_key_shows_the_whole_way() -> None:
    """F5, without choosing anything: stations, since when, how long it lives, each step."""
    one, two = wires()
    me, bob = Person("Me", (one,)), Person("Bob", (two,))
    async with bob.at() as (_theirs, pilot), me.at((100, 30)) as (mine, mine_pilot):
        chat = await me.knows(bob)
        await bob.knows(me)
        mine.chat.open(chat)
        await me.do(Send(chat, "hello"))
        await until(lambda: me.store.messages(chat)[0].state is State.DELIVERED, pilot)
        await mine_pilot.press("f5")
        await until(lambda: isinstance(mine.screen, TextScreen), mine_pilot)
        shown = mine.shown()
        assert "● written ── ● sealed ── ● delivered ── ○ read" in shown
        assert "the proof of delivery reached us" in shown


async def test_the_journey_of_what_waits_names_its_end(me: Person, bob: Person) -> None:
    """Queued: nobody has it, and so many days are left."""
    async with me.at((100, 30)) as (app, pilot):
        chat = await me.knows(bob)
        app.chat.open(chat)
        await me.do(Send(chat, "hello"))
        await pilot.press("f5")
        await until(lambda: isinstance(app.screen, TextScreen), pilot)
        assert "nobody has taken it yet" in app.shown()
        assert "7 days more, to 2026-11-29" in app.shown()


async def test_finding_in_a_chat(me: Person, bob: Person) -> None:
    """Ctrl+F, words, Enter goes back in time, Down forward, Esc stays at the place."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        me.fill(chat, 300, "line {}".format)
        with me.store.transaction():
            me._add(chat, "сәлем from the Bridge", NOON - 59 * 60 * 3, 1001)
            me._add(chat, "the bridge is dry", NOON - 60, 1002)
        app.chat.reload()
        app.chat.open(chat)
        await pilot.press("ctrl+f", *"bridge")
        await until(lambda: "1 of 2" in app.shown(), pilot)
        await until(lambda: "the bridge is dry" in app.shown(), pilot)
        await pilot.press("enter")
        await until(lambda: "2 of 2" in app.shown(), pilot)
        await until(lambda: "сәлем from the Bridge" in app.shown(), pilot)
        app.chat.query_one(FindBar).query_one("Input").value = "салем"
        await until(lambda: "1 of 1" in app.shown(), pilot)  # ә is found as a
        await pilot.press("escape")
        await pilot.pause()
        assert app.focused is writing(me) and not app.chat.query_one(FindBar).display


async def test_searching_all_chats_opens_the_place(me: Person, bob: Person) -> None:
    """/search lists hits of every chat; Enter opens the chat there."""
    carol = Person("Carol")
    async with me.at() as (app, pilot):
        first, second = await me.knows(bob), await me.knows(carol)
        me.fill(second, 100, "noise {}".format)
        me.hear(first, "the bridge is dry")
        with me.store.transaction():
            me._add(second, "bridge closed", NOON - 3_600 * 30, 5000)
        app.chat.reload()
        app.chat.open(first)
        await pilot.press(*"/search bridge", "enter")
        await until(lambda: isinstance(app.screen, Choose), pilot)
        assert "Carol · Carol: bridge closed" in app.shown()
        await pilot.press(*"closed", "enter")
        await until(lambda: app.chat.chat == second, pilot)
        await until(lambda: "bridge closed" in app.shown(), pilot)
        await pilot.press(*"/search zebra", "enter")
        await until(lambda: "Nothing was found" in app.shown(), pilot)


async def test_mentions_are_counted_apart_and_mute_keeps_quiet(me: Person) -> None:
    """@Me marks the chat and rings twice; a muted chat rings for nothing, its name is dim."""
    async with me.at() as (app, pilot):
        rings: list[bool] = []
        app.announce = lambda *, loud: rings.append(loud)  # type: ignore[method-assign]
        room = await me.do(JoinRoom("yard", public_room_key("yard"), False))
        other = await me.do(JoinRoom("school", public_room_key("school"), False))
        chat = b"r" + room.rid
        await pilot.pause()
        app.chat.open(b"r" + other.rid)
        me.hear(chat, "hello all")
        await pilot.pause()
        me.hear(chat, "@Me come", mention=True)
        await pilot.pause()
        assert rings == [False, True]
        assert "@2" in app.shown()
        await me.do(SetChat(chat, notify=Notify.MENTIONS))
        await pilot.pause()
        me.hear(chat, "more")
        me.hear(chat, "@Me now", mention=True)
        await pilot.pause()
        assert rings == [False, True, True]
        await me.do(SetChat(chat, notify=Notify.NONE))
        await pilot.pause()
        me.hear(chat, "@Me again", mention=True)
        await pilot.pause()
        assert rings == [False, True, True]


async def test_mute_pin_and_archive_by_word(me: Person, bob: Person) -> None:
    """Each says what it did; a pinned chat is first, an archived one last."""
    carol = Person("Carol")
    async with me.at() as (app, pilot):
        first, second = await me.knows(bob), await me.knows(carol)
        me.hear(second, "newer")
        await pilot.pause()
        app.chat.open(first)
        assert app.chat.names.chats[0].chat == second
        await pilot.press(*"/pin", "enter")
        await until(lambda: app.chat.names.chats[0].chat == first, pilot)
        await pilot.press(*"/pin", "enter", *"/archive", "enter")
        await until(lambda: app.chat.names.chats[-1].chat == first, pilot)
        await pilot.press(*"/mute mentions", "enter")
        await until(lambda: "only when you are mentioned" in app.shown(), pilot)
        assert me.store.chat_options(first).notify is Notify.MENTIONS
        await pilot.press(*"/mute loudly", "enter")
        await until(lambda: "Say all, mentions or none" in app.shown(), pilot)


async def test_a_timer_is_set_in_words(me: Person, bob: Person) -> None:
    """/disappear takes 30s to 2w or off; nonsense is answered."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        app.chat.open(chat)
        await pilot.press(*"/disappear 8h", "enter")
        await until(lambda: me.store.chat_options(chat).timer_s == 28_800, pilot)
        await until(lambda: "8 hours after being read" in app.shown(), pilot)
        await pilot.press(*"/disappear soon", "enter")
        await until(lambda: "A time is 30s" in app.shown(), pilot)
        await pilot.press(*"/retain 30", "enter")
        await until(lambda: me.store.chat_options(chat).keep_days == 30, pilot)


async def test_privacy_switches_say_what_they_mean(me: Person) -> None:
    """Receipts and typing are off until our user wants them."""
    async with me.at() as (app, pilot):
        await pilot.press(*"/receipts", "enter")
        await until(lambda: "Nobody learns when you read" in app.shown(), pilot)
        await pilot.press(*"/receipts on", "enter", *"/typing on", "enter")
        await until(lambda: me.runtime.node.privacy.typing, pilot)
        assert me.runtime.node.privacy.read_receipts


async def test_new_below_does_not_jump(me: Person, bob: Person) -> None:
    """While an older place is read, arrivals are counted; End goes to them."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        me.read(chat, me.fill(chat, 200)[-1])
        app.chat.reload()
        app.chat.open(chat)
        await pilot.press("pageup", "pageup")
        await pilot.pause()
        top = app.shown().splitlines()[1]
        for number in range(3):
            me.hear(chat, f"fresh {number}", 5_000 + number)
        await pilot.pause()
        assert "↓ 3 new" in app.shown() and app.shown().splitlines()[1] == top
        await pilot.press("up", "end")
        await until(lambda: "fresh 2" in app.shown(), pilot)
        assert not app.chat.query_one("#below", Line).display


async def test_ten_thousand_unread_open_at_the_first(me: Person, bob: Person) -> None:
    """The line "new" is above the first of them, and the count fits its place."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        me.read(chat, me.fill(chat, 10, "old {}".format)[-1])
        with me.store.transaction():
            for number in range(10_000):
                me._add(chat, f"fresh {number}", NOON, 100 + number)
        app.chat.reload()
        assert "999" in app.shown() and app._unread == 10_000
        app.chat.open(chat)
        await until(lambda: "fresh 0" in app.shown(), pilot)
        lines = app.shown().splitlines()
        at = next(n for n, line in enumerate(lines) if "── new ──" in line)
        assert "fresh 0" in lines[at + 1]


async def test_changes_of_others_are_drawn(me: Person, bob: Person) -> None:
    """Read receipts, edits and reactions that come change the line they belong to."""
    async with me.at() as (app, pilot):
        chat = await me.knows(bob)
        app.chat.open(chat)
        sent = await me.do(Send(chat, "seen?"))
        with me.store.transaction():
            changed = me.store.change_message(sent.id, state=State.READ)
        me.runtime._tell(MessageChanged(changed))
        await until(lambda: "seen? ✓✓" in app.shown(), pilot)
        await me.do(Edit(sent.id, "seen now?"))
        await me.do(React(sent.id, "🙏"))
        await until(lambda: "[🙏 1]" in app.shown() and "(edited)" in app.shown(), pilot)
