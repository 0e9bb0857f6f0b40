"""Replies, reactions, edits, retractions, receipts, timers, deletion: what both sides end with."""

import contextlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from world import START, Host, World

from meshchat.core.body import Body, BodyType, message_id
from meshchat.core.content import count_reactions, quoted
from meshchat.core.events import (
    Accept,
    AddContact,
    Block,
    ChatChanged,
    ContactTyping,
    Delete,
    Edit,
    JoinRoom,
    MarkRead,
    MessageAdded,
    MessageChanged,
    MessagesGone,
    React,
    Retract,
    SaveDraft,
    Send,
    SendFile,
    SetChat,
    SetPrivacy,
    SetTimer,
    Typing,
)
from meshchat.core.identity import public_room_key
from meshchat.core.inbox import Heard
from meshchat.core.limits import (
    DESTROY_AT_ONCE_MAX,
    EARLY_PER_AUTHOR_MAX,
    REACTIONS_PER_MESSAGE_MAX,
    TYPING_EVERY_S,
    VERSIONS_MAX,
)
from meshchat.core.model import Message, Notify, State, contact_chat, room_chat
from meshchat.errors import ProtocolError, QuotaError, UsageError
from meshchat.text import Clean

DAY = 86_400.0
START_S = int(START)
AUTHOR = b"b" * 32
CHAT = contact_chat(AUTHOR)
THUMB, HEART = "\U0001f44d", "\u2764\ufe0f"


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def pair(world: World) -> tuple[Host, Host]:
    """Aida and Bolat are friends; nothing joins them yet."""
    a, b = world.host("Aida"), world.host("Bolat")
    a.do(AddContact(b.node.card_text()))
    b.do(AddContact(a.node.card_text()))
    world.run(1)
    return a, b


@pytest.fixture
def linked(world: World, pair: tuple[Host, Host]) -> tuple[Host, Host]:
    world.link(*pair)
    world.run(1)
    return pair


def chat_with(other: Host) -> bytes:
    return contact_chat(other.node.fp)


def send(host: Host, to: Host, text: str, **more: object) -> Message:
    message = host.do(Send(chat_with(to), text, **more))  # type: ignore[arg-type]
    assert isinstance(message, Message)
    return message


def at(host: Host, mid: bytes) -> Message:
    found = host.store.message(mid)
    assert found is not None
    return found


def shown(host: Host, mid: bytes) -> list[tuple[str, int, bool]]:
    return count_reactions(host.store.reactions([mid]))


def last(host: Host, chat: bytes) -> int:
    return host.store.messages(chat, limit=1)[0].seq


def told(host: Host, kind: type) -> list[object]:
    return [effect for effect in host.told if isinstance(effect, kind)]


# --- replies ------------------------------------------------------------------------------------


def test_a_reply_names_its_message(world: World, linked: tuple[Host, Host]) -> None:
    """Stored on both sides, and a mention of whoever is answered."""
    a, b = linked
    first = send(a, b, "when?")
    world.run(1)
    answer = send(b, a, "at six", reply_to=first.id)
    world.run(1)
    got = at(a, answer.id)
    assert got.reply_to == first.id and got.mention
    assert quoted(a.store, got) == at(a, first.id)
    assert quoted(b.store, at(b, answer.id)) == at(b, first.id)


def test_a_reply_stays_in_its_chat(world: World, linked: tuple[Host, Host]) -> None:
    """We cannot answer into another chat, and a peer who claims to is not believed."""
    a, b = linked
    c = world.host("Dana")
    a.do(AddContact(c.node.card_text()))
    secret = send(a, c, "only for Dana")
    with pytest.raises(UsageError, match="not in this chat"):
        a.do(Send(chat_with(b), "look", reply_to=secret.id))
    lie = replace(at(a, send(a, b, "x").id), reply_to=secret.id)
    assert quoted(a.store, lie) is None


# --- reactions ----------------------------------------------------------------------------------


def test_reactions_are_one_for_each_person(world: World, linked: tuple[Host, Host]) -> None:
    """Changed, counted, taken back; ours and theirs."""
    a, b = linked
    first = send(a, b, "party?")
    world.run(1)
    b.do(React(first.id, HEART))
    b.do(React(first.id, THUMB))
    a.do(React(first.id, THUMB))
    world.run(1)
    assert shown(a, first.id) == shown(b, first.id) == [(THUMB, 2, True)]
    b.do(React(first.id, ""))
    world.run(1)
    assert shown(a, first.id) == [(THUMB, 1, True)]
    assert shown(b, first.id) == [(THUMB, 1, False)]
    assert told(a, MessageChanged)


@pytest.mark.parametrize("emoji", ["a", "ok", THUMB * 2, "\x1b[2J", "x" * 40, " ", "\u202e"])
def test_a_reaction_is_one_emoji(pair: tuple[Host, Host], emoji: str) -> None:
    """Whoever types something else is told; a peer who sends it is not heard."""
    a, b = pair
    first = send(a, b, "hi")
    with pytest.raises(UsageError, match="one emoji"):
        a.do(React(first.id, emoji))
    assert shown(a, first.id) == []


def test_hostile_reactions_are_dropped(world: World, linked: tuple[Host, Host]) -> None:
    """Escape codes in the place of an emoji never reach the store."""
    a, b = linked
    first = send(a, b, "hi")
    world.run(1)
    with b.store.transaction():
        bad = Body(BodyType.REACTION, b"n" * 8, int(world.wall), "\x1b[2J", reply_to=first.id)
        b.node._chats.outbox._addressing.seal(chat_with(a), bad, world.now)
    b.handle(MarkRead(chat_with(a), 0))
    world.run(5)
    assert shown(a, first.id) == []
    assert a.node.status(world.now).counters["reaction"] == 1


def test_a_crowd_cannot_fill_a_message_with_reactions(pair: tuple[Host, Host]) -> None:
    """In a public room anybody can be many people: the row stays bounded, our step is refused."""
    a, b = pair
    first = send(a, b, "hi")
    content = a.node._chats.content
    with a.store.transaction():
        for n in range(REACTIONS_PER_MESSAGE_MAX):
            body = Body(BodyType.REACTION, n.to_bytes(8, "big"), n, THUMB, reply_to=first.id)
            content.take(chat_with(b), n.to_bytes(32, "big"), body, a.world.now)
        with pytest.raises(QuotaError):
            body = Body(BodyType.REACTION, b"z" * 8, 1, THUMB, reply_to=first.id)
            content.take(chat_with(b), b"z" * 32, body, a.world.now)
    assert shown(a, first.id) == [(THUMB, REACTIONS_PER_MESSAGE_MAX, False)]
    with pytest.raises(UsageError, match="all the reactions"):
        a.do(React(first.id, HEART))


# --- edits --------------------------------------------------------------------------------------


def test_an_edit_shows_and_keeps_what_was(world: World, linked: tuple[Host, Host]) -> None:
    """Both sides show the newest text, marked, and find it by its words alone."""
    a, b = linked
    first = send(a, b, "at five o'clock")
    world.run(1)
    a.do(Edit(first.id, "at six o'clock"))
    a.do(Edit(first.id, "at seven o'clock"))  # in the same second
    world.run(1)
    for host in (a, b):
        message = at(host, first.id)
        assert message.text == "at seven o'clock" and message.edited
        texts = [version.text for version in host.store.versions(first.id)]
        assert texts[0] == "at five o'clock" and texts[-1] == "at seven o'clock"
        assert [found.id for found in host.store.search("seven")] == [first.id]
        assert host.store.search("five") == []
        sizes = host.store.message_sizes(message.chat)
        assert sizes == [(message.seq, len("at seven o'clock"), message.received_at)]


def test_only_the_author_edits_and_only_texts(world: World, linked: tuple[Host, Host]) -> None:
    """Refused to us, and refused from a peer."""
    a, b = linked
    first = send(a, b, "mine")
    world.run(1)
    with pytest.raises(UsageError, match="author"):
        b.do(Edit(first.id, "yours"))
    with pytest.raises(UsageError, match="author"):
        b.do(Retract(first.id))
    file = a.do(SendFile(chat_with(b), "plan.txt", b"data"))
    with pytest.raises(UsageError, match="wrote yourself"):
        a.do(Edit(file.id, "x"))  # type: ignore[attr-defined]
    for kind in (BodyType.EDIT, BodyType.RETRACT):
        text = "yours" if kind is BodyType.EDIT else ""
        with b.store.transaction():
            body = Body(kind, bytes([kind]) * 8, int(world.wall), text, reply_to=first.id)
            b.node._chats.outbox._addressing.seal(chat_with(a), body, world.now)
    b.handle(MarkRead(chat_with(a), 0))
    world.run(5)
    assert at(a, first.id).text == "mine" and not at(a, first.id).retracted
    assert a.node.status(world.now).counters["act_not_author"] == 2


def test_an_edit_waits_for_a_key(world: World) -> None:
    """As messages do; and what was edited before it left goes as it is now."""
    a, b = world.host("Aida"), world.host("Bolat")
    a.do(AddContact(b.node.card_text()))
    b.do(AddContact(a.node.card_text()))
    world.run(10 * DAY)  # every prekey A knows of B is gone
    first = send(a, b, "old words")
    a.do(Edit(first.id, "new words"))
    assert not at(a, first.id).eid
    a.crash()
    world.link(a, b)
    world.run(DAY)
    assert [m.text for m in b.store.messages(chat_with(a))] == ["new words"]
    assert a.store.acts() == []
    assert "edit_delivered" in [step.what for step in a.store.journey(first.id)]


def test_versions_are_bounded(pair: tuple[Host, Host]) -> None:
    """The newest stay."""
    a, b = pair
    first = send(a, b, "0")
    for n in range(1, VERSIONS_MAX + 10):
        a.do(Edit(first.id, str(n)))
    versions = a.store.versions(first.id)
    assert len(versions) == VERSIONS_MAX
    assert versions[-1].text == at(a, first.id).text == str(VERSIONS_MAX + 9)


@st.composite
def deeds(draw: st.DrawFn) -> list[Body]:
    """Acts on one message, in the order in which they come; its text is among them."""
    text = Body(BodyType.TEXT, b"t" * 8, START_S, "first")
    mid = message_id(AUTHOR, text.number)
    kinds = st.sampled_from((BodyType.REACTION, BodyType.EDIT, BodyType.RETRACT))
    rows = draw(st.lists(st.tuples(kinds, st.integers(0, 2), st.booleans()), max_size=5))
    acts = []
    for n, (kind, later, first) in enumerate(rows):
        texts = {BodyType.REACTION: (THUMB, ""), BodyType.EDIT: (f"edit {n}", f"edit {n}")}
        text_of = texts.get(kind, ("", ""))[first]
        acts.append(Body(kind, bytes([n]) * 8, START_S + later, text_of, reply_to=mid))
    return [text, *acts]


@given(deeds(), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_any_order_ends_alike(bodies: list[Body], chance: random.Random) -> None:
    """Whichever comes first, also twice, also before its message: all devices end with the same."""
    ends = set()
    for _ in range(4):
        world = World()
        host = world.host("Aida")
        chance.shuffle(bodies)
        chats, retracted = host.node._chats, False
        with host.store.transaction():
            for body in [*bodies, *bodies[:2]]:
                retracted |= body.type is BodyType.RETRACT
                if body.type is BodyType.TEXT:
                    heard = Heard(
                        CHAT,
                        message_id(AUTHOR, body.number),
                        AUTHOR,
                        Clean(),
                        body,
                        START_S // 3600,
                    )
                    chats.incoming.heard(heard, world.now)
                else:
                    chats.content.take(CHAT, AUTHOR, body, world.now)
                    someone = replace(body, number=b"s" + body.number[1:])
                    with contextlib.suppress(ProtocolError):  # it is not theirs
                        chats.content.take(CHAT, b"?" * 32, someone, world.now)
        mid = message_id(AUTHOR, b"t" * 8)
        message = at(host, mid)
        texts = [version.text for version in host.store.versions(mid)]
        found = [one.id for one in host.store.search(message.text or "first edit")]
        assert found == ([] if retracted else [mid])
        ends.add((message.text, message.edited, bool(message.retracted), tuple(shown(host, mid))))
        if retracted:
            assert texts == [] and not message.text
        host.store.close()
    assert len(ends) == 1


# --- retraction and deletion --------------------------------------------------------------------


def test_a_retraction_is_honoured(world: World, linked: tuple[Host, Host]) -> None:
    """Text, versions, reactions and words go on both sides; the row says so."""
    a, b = linked
    first = send(a, b, "regrettable")
    world.run(1)
    a.do(Edit(first.id, "regrettable indeed"))
    b.do(React(first.id, THUMB))
    world.run(1)
    a.do(Retract(first.id))
    world.run(1)
    for host in (a, b):
        message = at(host, first.id)
        assert message.retracted and message.text == ""
        assert host.store.versions(first.id) == [] and shown(host, first.id) == []
        assert host.store.search("regrettable") == []
        with pytest.raises(UsageError, match="deleted"):
            host.do(React(first.id, THUMB))
    assert at(a, first.id).state is State.DELIVERED


def test_a_retraction_that_overtakes_leaves_no_text(world: World, pair: tuple[Host, Host]) -> None:
    """It comes first; the message that follows is never shown."""
    a, b = pair
    c, d = world.host("First"), world.host("Second")
    first = send(a, b, "regrettable")
    world.meet(a, c)
    a.do(Retract(first.id))
    world.meet(a, d)
    world.meet(d, b)
    assert b.store.messages(chat_with(a)) == []
    world.meet(c, b)
    (message,) = b.store.messages(chat_with(a))
    assert message.retracted and message.text == ""
    assert [one.message.text for one in told(b, MessageAdded)] == [""]  # type: ignore[attr-defined]
    assert b.store.search("regrettable") == []


def test_who_keeps_retracted_messages_keeps_them(world: World, linked: tuple[Host, Host]) -> None:
    """It is asked, never promised."""
    a, b = linked
    b.do(SetPrivacy(retractions=False))
    first = send(a, b, "evidence")
    world.run(1)
    a.do(Retract(first.id))
    world.run(1)
    assert at(b, first.id).text == "evidence"
    assert at(a, first.id).retracted


def test_what_never_left_is_only_deleted(pair: tuple[Host, Host], world: World) -> None:
    """Retracting what waits stops it."""
    a, b = pair
    first = send(a, b, "not yet gone")
    a.do(Retract(first.id))
    assert (at(a, first.id).state, at(a, first.id).reason) == (State.FAILED, "retracted")
    world.meet(a, b)
    assert [m.text for m in b.store.messages(chat_with(a))] == []


def test_delete_for_me(world: World, linked: tuple[Host, Host]) -> None:
    """Here alone, for good: sealed again by its author it does not come back."""
    a, b = linked
    b.world.meddle = None
    first = send(a, b, "for your eyes")
    world.run(1)
    b.do(SaveDraft(chat_with(a), "hm"))
    b.do(React(first.id, THUMB))
    b.do(Delete(first.id))
    (gone,) = told(b, MessagesGone)
    assert gone == MessagesGone(chat_with(a), (first.id,))
    assert b.store.message(first.id) is None and b.store.journey(first.id) == []
    with a.store.transaction():
        a.node._chats.outbox.seal(at(a, first.id), world.now)
    a.do(MarkRead(chat_with(b), 0))
    world.run(5)
    assert b.store.messages(chat_with(a)) == []
    assert at(a, first.id).text == "for your eyes"
    with pytest.raises(UsageError, match="not here"):
        b.do(Delete(first.id))


def test_deleting_what_waits_stops_it(world: World, pair: tuple[Host, Host]) -> None:
    """A file too, with its chunks."""
    a, b = pair
    text = send(a, b, "hello")
    file = a.do(SendFile(chat_with(b), "plan.txt", b"x" * 50_000))
    for message in (text, file):
        a.do(Delete(message.id))  # type: ignore[attr-defined]
    assert a.store.pending() == [] and a.store.open_files() == []
    world.meet(a, b)
    assert b.store.messages(chat_with(a)) == []


# --- read receipts and typing -------------------------------------------------------------------


def test_read_receipts_are_off(world: World, linked: tuple[Host, Host]) -> None:
    """Nobody learns what was read unless asked to, also not later."""
    a, b = linked
    first = send(a, b, "hi")
    world.run(1)
    b.do(MarkRead(chat_with(a), last(b, chat_with(a))))
    world.run(120)
    assert at(a, first.id).state is State.DELIVERED
    b.do(SetPrivacy(read_receipts=True))
    world.run(120)
    assert at(a, first.id).state is State.DELIVERED


def test_read_receipts_come_late_and_together(world: World, linked: tuple[Host, Host]) -> None:
    """One envelope for all that was read, 5 to 60 s later; READ stays READ."""
    a, b = linked
    b.do(SetPrivacy(read_receipts=True))
    sent = [send(a, b, f"{n}") for n in range(5)]
    world.run(1)
    b.do(MarkRead(chat_with(a), last(b, chat_with(a))))
    world.run(4)
    assert {at(a, one.id).state for one in sent} == {State.DELIVERED}
    before = a.node.status(world.now).counters["envelopes_stored"]
    world.run(57)
    assert {at(a, one.id).state for one in sent} == {State.READ}
    assert a.node.status(world.now).counters["envelopes_stored"] == before + 1
    assert [step.what for step in a.store.journey(sent[0].id)][-2:] == ["delivered", "read"]
    with a.store.transaction():
        a.node._chats.outbox.delivered(at(a, sent[0].id).eid, world.now)
    assert at(a, sent[0].id).state is State.READ


def test_read_receipts_survive_a_crash(world: World, linked: tuple[Host, Host]) -> None:
    """What was to be told is told by the node that comes after."""
    a, b = linked
    b.do(SetPrivacy(read_receipts=True))
    first = send(a, b, "hi")
    world.run(1)
    b.do(MarkRead(chat_with(a), last(b, chat_with(a))))
    b.crash()
    world.run(1)
    world.link(a, b)
    world.run(70)
    assert at(a, first.id).state is State.READ


def test_strangers_get_no_receipt(world: World) -> None:
    """Not when they write, and not for it after they became a contact."""
    a, b = world.host("Aida"), world.host("Bolat")
    a.do(AddContact(b.node.card_text()))
    b.do(SetPrivacy(read_receipts=True))
    world.link(a, b)
    world.run(1)
    first = send(a, b, "do you know me?")
    world.run(1)
    b.do(MarkRead(chat_with(a), last(b, chat_with(a))))
    world.run(100)
    b.do(Accept(a.node.fp))
    world.run(100)
    assert at(a, first.id).state is not State.READ
    second = send(a, b, "and now?")
    world.run(1)
    b.do(MarkRead(chat_with(a), last(b, chat_with(a))))
    world.run(100)
    assert at(a, second.id).state is State.READ


def test_a_receipt_speaks_only_of_its_own_chat(world: World, linked: tuple[Host, Host]) -> None:
    """Bolat cannot say that Dana read something, nor that what he wrote was read."""
    a, b = linked
    c = world.host("Dana")
    a.do(AddContact(c.node.card_text()))
    other = send(a, c, "for Dana")
    theirs = send(b, a, "from Bolat")
    world.run(1)
    with b.store.transaction():
        body = Body(BodyType.READ, b"n" * 8, int(world.wall), read=(other.id, theirs.id, b"?" * 8))
        b.node._chats.outbox._addressing.seal(chat_with(a), body, world.now)
    b.handle(MarkRead(chat_with(a), 0))
    world.run(5)
    assert at(a, other.id).state is not State.READ and not at(a, theirs.id).read_at


def test_a_file_is_read_once_it_is_here(world: World, pair: tuple[Host, Host]) -> None:
    """Its row is seen before its pieces came: the state is never more than delivered."""
    a, b = pair
    b.do(SetPrivacy(read_receipts=True))
    file = a.do(SendFile(chat_with(b), "plan.txt", b"x" * 3_000))
    assert isinstance(file, Message)
    body = Body(BodyType.READ, b"n" * 8, int(world.wall), read=(file.id,))
    with a.store.transaction():
        a.node._chats._readings.take(chat_with(b), body, world.now)
    assert at(a, file.id).state is State.QUEUED and at(a, file.id).read_at
    world.link(a, b)
    world.run(70)
    assert at(a, file.id).state is State.READ


def test_typing_is_told_on_a_direct_link_only(world: World, linked: tuple[Host, Host]) -> None:
    """Off by default on both sides; at most so often; nothing is stored."""
    a, b = linked
    a.do(Typing(chat_with(b)))
    world.run(1)
    assert told(b, ContactTyping) == []
    a.do(SetPrivacy(typing=True))
    world.run(TYPING_EVERY_S)
    a.do(Typing(chat_with(b)))
    world.run(1)
    assert told(b, ContactTyping) == []  # B does not want to see it
    b.do(SetPrivacy(typing=True))
    world.run(TYPING_EVERY_S)
    for _ in range(20):
        a.do(Typing(chat_with(b)))
    a.do(Typing(chat_with(b), on=False))
    a.do(Typing(chat_with(b), on=False))
    world.settle()
    seen = told(b, ContactTyping)
    assert [one.fp for one in seen] == [a.node.fp] * 2  # type: ignore[attr-defined]
    assert [one.until > world.wall for one in seen] == [True, False]  # type: ignore[attr-defined]
    assert b.store.messages(chat_with(a)) == []


def test_strangers_and_relays_see_no_typing(world: World) -> None:
    """A link to anybody but the contact stays silent."""
    a, b, c = world.host("Aida"), world.host("Bolat"), world.host("Carrier")
    for host in (a, b, c):
        host.do(SetPrivacy(typing=True))
    a.do(AddContact(b.node.card_text()))
    b.do(AddContact(a.node.card_text()))
    world.link(a, c)
    world.link(c, b)
    world.run(5)
    before = world.bytes_moved
    a.do(Typing(chat_with(b)))
    world.settle()
    assert world.bytes_moved == before
    assert told(b, ContactTyping) == told(c, ContactTyping) == []


# --- timers and retention -----------------------------------------------------------------------


def test_a_timer_is_set_for_both(world: World, linked: tuple[Host, Host]) -> None:
    """Told by a message; the later one counts on both sides, whoever set it."""
    a, b = linked
    a.do(SetTimer(chat_with(b), 3_600))
    world.run(1)
    assert b.store.chat_options(chat_with(a)).timer_s == 3_600
    (note,) = b.store.messages(chat_with(a))
    assert (note.note, note.vanish_s) == ("timer", 3_600) and "1 hour" in note.text
    assert told(b, ChatChanged)
    b.do(SetTimer(chat_with(a), 0))
    world.run(1)
    assert a.store.chat_options(chat_with(b)).timer_s == 0
    assert send(a, b, "stays").vanish_s == 0


def test_both_set_a_timer_at_once(world: World, pair: tuple[Host, Host]) -> None:
    """In two places that cannot hear each other: they end alike."""
    a, b = pair
    a.do(SetTimer(chat_with(b), 60))
    b.do(SetTimer(chat_with(a), 3_600))
    world.meet(a, b)
    timers = {
        a.store.chat_options(chat_with(b)).timer_s,
        b.store.chat_options(chat_with(a)).timer_s,
    }
    assert len(timers) == 1


def test_messages_disappear_after_they_were_read(world: World, linked: tuple[Host, Host]) -> None:
    """At the author from when it was sent, at the reader from when it was read; all of it."""
    a, b = linked
    a.do(SetTimer(chat_with(b), 600))
    world.run(1)
    first = send(a, b, "burn after reading")
    world.run(1)
    b.do(React(first.id, THUMB))
    world.run(601)
    assert a.store.message(first.id) is None
    assert at(b, first.id).text == "burn after reading"  # not read yet
    b.do(MarkRead(chat_with(a), last(b, chat_with(a))))
    world.run(590)
    assert at(b, first.id).vanish_at
    b.crash()
    world.run(15)
    assert b.store.message(first.id) is None
    assert b.store.reactions([first.id]) == [] and b.store.search("burn") == []
    (gone,) = told(b, MessagesGone)
    assert first.id in gone.mids and gone.chat == chat_with(a)  # type: ignore[attr-defined]


def test_what_disappeared_here_still_arrives(world: World, pair: tuple[Host, Host]) -> None:
    """Accepted is accepted: the sealed envelope goes on though its author kept nothing."""
    a, b = pair
    a.do(SetTimer(chat_with(b), 60))
    first = send(a, b, "short")
    world.run(70)
    assert a.store.message(first.id) is None
    world.meet(a, b)
    assert "short" in [m.text for m in b.store.messages(chat_with(a))]


def test_no_timer_for_a_room_and_no_odd_ones(world: World, pair: tuple[Host, Host]) -> None:
    """One sentence that says what to do."""
    a, b = pair
    room = a.do(JoinRoom("almaty", public_room_key("almaty"), False))
    with pytest.raises(UsageError, match="room"):
        a.do(SetTimer(room_chat(room.rid), 60))  # type: ignore[attr-defined]
    for seconds in (1, -5, 10**9):
        with pytest.raises(UsageError, match="5 seconds"):
            a.do(SetTimer(chat_with(b), seconds))
    with pytest.raises(UsageError, match="days"):
        a.do(SetChat(chat_with(b), keep_days=-1))


def test_retention_destroys_what_is_old(world: World, linked: tuple[Host, Host]) -> None:
    """Messages, drafts; not what waits to be sent, and not what is young."""
    a, b = linked
    old = send(a, b, "old news")
    world.run(1)
    b.do(SaveDraft(chat_with(a), "half a thought"))
    world.run(3 * DAY)
    young = send(a, b, "new news")
    world.run(1)
    options = b.do(SetChat(chat_with(a), keep_days=2, notify=Notify.MENTIONS, pinned=True))
    assert (options.keep_days, options.notify, options.pinned) == (2, Notify.MENTIONS, True)  # type: ignore[attr-defined]
    assert [m.id for m in b.store.messages(chat_with(a))] == [young.id]
    (row,) = b.store.chats()
    assert row.draft == "" and row.options == options
    assert at(a, old.id).text == "old news"
    world.run(3 * DAY)
    assert b.store.messages(chat_with(a)) == []


def test_a_long_history_goes_a_little_at_a_time(world: World, pair: tuple[Host, Host]) -> None:
    """No step is long, and in the end all that is old is gone."""
    a, b = pair
    with a.store.transaction():
        for n in range(5 * DESTROY_AT_ONCE_MAX):
            a.store.add_message(
                Message(
                    id=n.to_bytes(8, "big"),
                    chat=chat_with(b),
                    author=b.node.fp,
                    author_name=Clean(),
                    outgoing=False,
                    text=Clean(f"old {n}"),
                    sent_at=1.0,
                    received_at=world.wall - 9 * DAY,
                    state=State.RECEIVED,
                )
            )
    a.do(SetChat(chat_with(b), keep_days=2))
    assert len(a.store.messages(chat_with(b), limit=999)) == 4 * DESTROY_AT_ONCE_MAX
    world.run(1)
    assert a.store.messages(chat_with(b)) == []
    assert max(len(one.mids) for one in told(a, MessagesGone)) == DESTROY_AT_ONCE_MAX  # type: ignore[attr-defined]


# --- rooms --------------------------------------------------------------------------------------


def test_acts_in_a_room(world: World) -> None:
    """Reply, reaction, edit, retraction by the key of the author there; mentions by name."""
    hosts = [world.host(name) for name in ("Aida", "Bolat", "Dana")]
    key = public_room_key("almaty")
    rooms = [host.do(JoinRoom("almaty", key, False)) for host in hosts]
    chat = room_chat(rooms[0].rid)  # type: ignore[attr-defined]
    world.link(hosts[0], hosts[1])
    world.link(hosts[1], hosts[2])
    world.run(1)
    a, b, c = hosts
    first = a.do(Send(chat, "tea, @bolat?"))
    assert isinstance(first, Message)
    world.run(1)
    assert at(b, first.id).mention and not at(c, first.id).mention
    assert [row.mentions for row in b.store.chats()] == [1]
    answer = b.do(Send(chat, "yes", reply_to=first.id))
    b.do(React(first.id, THUMB))
    c.do(React(first.id, THUMB))
    a.do(Edit(first.id, "coffee, @bolat?"))
    world.run(1)
    for host in hosts:
        assert at(host, first.id).text == "coffee, @bolat?"
        assert shown(host, first.id) == [(THUMB, 2, host is not a)]
        assert quoted(host.store, at(host, answer.id)) is not None  # type: ignore[attr-defined]
    with pytest.raises(UsageError):
        c.do(Edit(first.id, "mine"))
    a.do(Retract(first.id))
    world.run(1)
    assert {at(host, first.id).text for host in hosts} == {""}
    assert a.store.acts() == []


# --- bounds and hostile order -------------------------------------------------------------------


def test_acts_on_nothing_are_bounded(pair: tuple[Host, Host]) -> None:
    """A flood of acts on messages that never come keeps a bounded number of rows."""
    a, b = pair
    content = a.node._chats.content
    with a.store.transaction():
        for n in range(EARLY_PER_AUTHOR_MAX + 20):
            body = Body(
                BodyType.EDIT, n.to_bytes(8, "big"), n, "x" * 7_000, reply_to=bytes([n]) * 8
            )
            content.take(chat_with(b), b.node.fp, body, a.world.now)
        kept = sum(
            len(a.store.take_early(bytes([n]) * 8)) for n in range(EARLY_PER_AUTHOR_MAX + 20)
        )
    assert kept == EARLY_PER_AUTHOR_MAX


def test_acts_on_what_was_destroyed_leave_nothing(world: World, linked: tuple[Host, Host]) -> None:
    """An edit of a message that is deleted here does not bring its words back."""
    a, b = linked
    first = send(a, b, "secret")
    world.run(1)
    b.do(Delete(first.id))
    a.do(Edit(first.id, "secret again"))
    world.run(1)
    assert b.store.message(first.id) is None
    with b.store.transaction():
        assert b.store.take_early(first.id) == []


def test_a_blocked_contact_does_nothing(world: World, linked: tuple[Host, Host]) -> None:
    """Neither edits nor reacts."""
    a, b = linked
    first = send(a, b, "before")
    world.run(1)
    b.do(Block(a.node.fp))
    a.do(Edit(first.id, "after"))
    a.do(React(first.id, THUMB))
    world.link(a, b)
    world.run(5)
    assert at(b, first.id).text == "before" and shown(b, first.id) == []


def test_privacy_and_options_survive_a_restart(pair: tuple[Host, Host]) -> None:
    """Settings are of the identity, in its store."""
    a, b = pair
    privacy = a.do(SetPrivacy(read_receipts=True, typing=True, retractions=False))
    options = a.do(SetChat(chat_with(b), notify=Notify.NONE, archived=True))
    a.crash()
    assert a.node.privacy == privacy
    assert a.store.chat_options(chat_with(b)) == options
    assert told(a, MessageAdded) == []
