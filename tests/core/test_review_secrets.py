"""What a hostile reader of sessions, content and people found: each of these once failed."""

import copy
from collections.abc import Callable

import pytest
from msgspec.structs import replace
from test_sessions import Party, friends, pair, restored, send, texts
from world import Host, World

from meshchat.core import crypto
from meshchat.core.body import NUMBER_BYTES, Body, BodyType, decode_body, encode_body
from meshchat.core.envelope import open_sealed
from meshchat.core.events import (
    Accept,
    AddContact,
    Block,
    Delete,
    Edit,
    Introduce,
    JoinRoom,
    MarkInRoom,
    Notice,
    Retract,
    Send,
    SendFile,
    Wake,
)
from meshchat.core.identity import public_room_key, room_secret
from meshchat.core.limits import (
    EARLY_MAX,
    EARLY_PER_AUTHOR_MAX,
    REQUEST_MESSAGES_MAX,
    SEAL_AGAIN_GAP_S,
    SESSIONS_PER_CONTACT_MAX,
    SESSIONS_PER_STRANGER_MAX,
    SKIPPED_KEPT_MAX,
    SKIPPED_KEPT_S,
    Limits,
)
from meshchat.core.model import Act, Kind, Mark, Message, State
from meshchat.core.ports import Store
from meshchat.core.ratchet import SKIP_MAX, Header, Ratchet
from meshchat.core.sealed import room_post
from meshchat.errors import AuthError, UsageError
from meshchat.sim.memory import MemoryStore
from meshchat.store import SqlStore

STORES = pytest.mark.parametrize("make_store", [SqlStore.memory, MemoryStore])


def put(host: Host, other: Host, body: Body) -> None:
    """Send any body: what a contact with other software can do."""
    node, now = host.node, host.world.now
    with host.store.transaction():
        exp_h = int(now.wall // 3_600) + 140
        data = node._chats.sealer.dm(other.node.fp, body, exp_h, now)
        node._chats.sealer.keep(data, now, [other.node.fp], bounded=False)
    host.handle(Wake())


def number(host: Host) -> bytes:
    return host.entropy.bytes(NUMBER_BYTES)


def latest(host: Host, other: Host) -> Message:
    return host.store.messages(b"c" + other.node.fp)[-1]


# --- crashes -------------------------------------------------------------------------------------


def resend(host: Host, message: Message) -> None:
    """Seal a message of ours again, as after its envelope has ended."""
    with host.store.transaction():
        host.store.change_message(message.id, eid=b"", state=State.QUEUED, carriers=0)
        host.node._chats.outbox.seal_waiting(host.world.now)
    host.handle(Wake())


@STORES
def test_a_deleted_file_that_comes_once_more(make_store: Callable[[], Store]) -> None:
    """Boris deletes a file before it is whole; sealed again it changes nothing at his, above all
    it does not end his node."""
    world = World(make_store=make_store)
    a, b = friends(world)
    file = a.do(SendFile(b"c" + b.node.fp, "a.txt", b"x" * 100_000))
    assert isinstance(file, Message)
    # the manifest alone, first
    held = a.store.envelope(file.eid)
    assert held is not None
    with b.store.transaction():
        b.store.add_envelopes([held._replace(kind=Kind.CARRIED)], world.wall)
    b.crash()
    world.run(1)
    assert texts(b, a) == ['[file "a.txt", 100 kB]']
    b.do(Delete(latest(b, a).id))
    resend(a, file)
    world.meet(a, b, 60)
    assert texts(b, a) == []
    assert b.store.open_files() == []
    assert a.state(file) != State.DELIVERED, "it is not there"


@STORES
def test_a_retracted_file_is_not_collected_again(make_store: Callable[[], Store]) -> None:
    """An old manifest that comes after the retraction brings nothing back."""
    world = World(make_store=make_store)
    a, b = friends(world)
    file = a.do(SendFile(b"c" + b.node.fp, "a.txt", b"x" * 100_000))
    assert isinstance(file, Message)
    held = a.store.envelope(file.eid)
    assert held is not None
    with b.store.transaction():
        b.store.add_envelopes([held._replace(kind=Kind.CARRIED)], world.wall)
    b.crash()
    world.run(1)
    put(a, b, Body(BodyType.RETRACT, number(a), int(world.wall), reply_to=file.id))
    world.meet(a, b, 0.01)
    assert latest(b, a).retracted
    resend(a, file)
    world.meet(a, b, 60)
    assert b.store.open_files() == []
    assert b.store.file(file.id) is None


@STORES
def test_a_moderator_of_the_far_future(make_store: Callable[[], Store]) -> None:
    """A moderator whose clock says 2106 hides a post: that is a mark like any other."""
    world = World(make_store=make_store)
    a, b = friends(world)
    key = public_room_key("#test")
    for host in (a, b):
        host.do(JoinRoom("#test", key, False))
    (room,) = a.store.rooms()
    author = crypto.sign_public(a.node._chats.sealer.author_seed(room.rid))
    b.do(MarkInRoom(room.rid, author, Mark.MODERATOR))
    target = bytes(8)
    raw = bytes([Mark.HIDDEN]) + target
    body = Body(BodyType.HIDE, number(a), int(world.wall), raw=raw)
    seed, plain = a.node._chats.sealer.author_seed(room.rid), encode_body(body)
    with a.store.transaction():
        data = a.node._chats.sealer.shared(
            room_secret(key, int(world.wall // 86_400)),
            lambda e: room_post(seed, room.rid, e, 2**32 - 1, 2**32 - 1, plain),
            plain,
            int(world.wall // 3_600) + 100,
        )
        a.node._chats.sealer.keep(data, world.now)
    a.handle(Wake())
    world.meet(a, b, 10)
    assert b.node._chats.rooms.moderation.of(room.rid, target, author) is Mark.HIDDEN
    b.crash()
    assert b.node._chats.rooms.moderation.of(room.rid, target, author) is Mark.HIDDEN


# --- sessions ------------------------------------------------------------------------------------


def test_an_unanswered_session_has_no_receiving_chain() -> None:
    """Until the other side has shown a ratchet key of its own nothing opens: a chain from an empty
    key would be everybody's."""
    anna, boris = pair()
    anna.seal(boris, b"1")
    (session,) = anna.store.sessions(boris.people.identity.fp)
    ratchet = Ratchet.decode(session.ratchet)
    header = Header(session.sid, ratchet.theirs, 0, 0)
    with pytest.raises(AuthError):
        ratchet.open(header, bytes(32))


@STORES
def test_what_was_done_to_messages_survives_a_restore(make_store: Callable[[], Store]) -> None:
    """An edit, a reaction and a retraction sealed for who Bolat was are sealed again for who he
    is."""
    world = World(make_store=make_store)
    a, b = friends(world)
    one, two = send(a, b, "one"), send(a, b, "two")
    world.meet(a, b, 70)
    send(b, a, "salem")
    world.meet(a, b, 70)
    yesterday = copy_of(b)
    for text in ("three", "five"):
        send(a, b, text)
        world.meet(a, b, 70)
        send(b, a, f"re {text}")
        world.meet(a, b, 70)
    a.do(Edit(one.id, "one, better"))
    a.do(Retract(two.id))
    back(b, yesterday)
    send(a, b, "he cannot read this at first")
    world.meet(a, b, 200)
    world.meet(a, b, 200)
    shown = b.store.message(one.id)
    assert shown is not None and shown.text == "one, better"
    gone = b.store.message(two.id)
    assert gone is not None and gone.retracted
    assert a.store.acts() == []


def copy_of(host: Host) -> Store:
    if isinstance(host.store, MemoryStore):
        return copy.deepcopy(host.store)
    copied = SqlStore.memory()
    host.store._db._db.backup(copied._db._db)  # type: ignore[attr-defined]
    return copied


def back(host: Host, store: Store) -> None:
    for link in list(host.links):
        host.world.cut_link(host, link, tell_self=False)
    host.store = store
    host.node = host._start()


@STORES
def test_a_writer_put_back_is_read_once_he_notices(make_store: Callable[[], Store]) -> None:
    """Aida's store is yesterday's. What she wrote since by the old session is lost on Bolat; when
    his next message tells her so, all of it is sealed again."""
    world = World(make_store=make_store)
    a, b = friends(world)
    send(a, b, "one")
    world.meet(a, b, 70)
    send(b, a, "two")
    world.meet(a, b, 70)
    yesterday = copy_of(a)
    for text in ("three", "five"):
        send(a, b, text)
        world.meet(a, b, 70)
        send(b, a, f"re {text}")
        world.meet(a, b, 70)
    back(a, yesterday)
    lost = [send(a, b, f"after the restore {n}") for n in range(3)]
    world.meet(a, b, 70)
    send(b, a, "are you there?")
    world.meet(a, b, 200)
    world.meet(a, b, 200)
    got = [text for text in texts(b, a) if text.startswith("after")]
    assert got == [f"after the restore {n}" for n in range(3)]
    assert {a.state(message) for message in lost} == {State.DELIVERED}


def test_a_contact_who_resets_for_ever_costs_little() -> None:
    """Each RESET, each greater ``boot`` may make us seal what waits again, but not without end."""
    world = World(make_store=MemoryStore)
    a, b = friends(world)
    send(a, b, "hello")
    world.meet(a, b, 70)
    send(b, a, "hello")
    world.meet(a, b, 70)
    written = [send(a, b, f"waiting {n}") for n in range(10)]
    link, _ = world.link(b, a)
    world.meddle = lambda host, effect: effect.frames if host is b else ()  # a is never proven
    world.run(1)
    world.meddle = None
    world.cut_link(b, link)

    def sealed() -> int:
        steps = [step.what for message in written for step in a.store.journey(message.id)]
        return steps.count("sealed")

    start = sealed()
    for _ in range(30):
        contact, inbox = a.node._people.need(b.node.fp), a.node._chats.inbox
        with a.store.transaction():
            session = a.node._chats._sessions.current(b.node.fp, world.now)
            inbox._reset(contact, session.sid)
            while inbox._news:
                inbox.on_news(*inbox._news.pop(0), world.now)
        a.handle(Wake())
    assert sealed() - start <= 2 * len(written)
    world.run(2 * SEAL_AGAIN_GAP_S)
    assert all(m.eid for m in a.store.pending()), "what waits is sealed at last"
    world.meet(a, b, 200)
    assert {a.state(message) for message in written} == {State.DELIVERED}


def test_a_stranger_makes_us_keep_few_keys() -> None:
    """Two hundred strangers with eight sessions of a thousand skipped keys each would fill a disk
    with 400 MB for 2 MB of theirs."""
    store = MemoryStore()
    world = World(make_store=lambda: store if not world.hosts else MemoryStore())
    a = world.host("Aida")
    stranger = world.host("Stranger")
    stranger.do(AddContact(a.node.card_text()))
    for _ in range(9):
        with stranger.store.transaction():
            stranger.node._chats._sessions.forget(a.node.fp)
        send(stranger, a, "x")
        with stranger.store.transaction():
            (session,) = stranger.store.sessions(a.node.fp)
            ratchet = Ratchet.decode(session.ratchet)
            for _ in range(400):
                ratchet, _ = ratchet.seal(session.sid, bytes(32), bytes(64), b"")
            stranger.store.save_session(replace(session, ratchet=ratchet.encode()))
        send(stranger, a, "y")
    world.meet(stranger, a, 10)
    assert len(texts(a, stranger)) == 18, "all of it is read"
    assert len(store.sessions(stranger.node.fp)) <= SESSIONS_PER_STRANGER_MAX
    kept = sum(len(each) for each in store._skipped.values())
    assert 0 < kept <= SKIP_MAX * SESSIONS_PER_STRANGER_MAX


def test_requests_beyond_the_quota_open_when_accepted() -> None:
    """A stranger writes 60 in any order: 20 are read, and the rest once the request is accepted."""
    world = World()
    a, s = world.host("Aida"), world.host("Stranger")
    s.do(AddContact(a.node.card_text()))
    written = [send(s, a, f"{n}") for n in range(60)]
    world.meet(s, a, 30)
    assert len(texts(a, s)) == REQUEST_MESSAGES_MAX
    assert {s.state(m) for m in written} == {State.CARRIED}
    a.do(Accept(s.node.fp, ""))
    world.meet(s, a, 120)
    assert sorted(texts(a, s), key=int) == [f"{n}" for n in range(60)]
    world.meet(s, a, 120)
    assert {s.state(m) for m in written} == {State.DELIVERED}


def test_mail_of_a_replaced_key_is_still_read() -> None:
    """Our user replaces a key by mistake and takes it back: what the old key wrote by a running
    session is read all the while, and both go on."""
    world = World()
    a, b = friends(world)
    send(a, b, "one")
    world.meet(a, b, 70)
    send(b, a, "two")
    world.meet(a, b, 70)
    c = world.host("Bolat again")
    under_way = send(b, a, "under way")
    assert isinstance(under_way, Message)
    a.do(AddContact(c.node.card_text(), "Bolat again", b.node.fp))
    world.meet(b, a, 70)
    assert "under way" in texts(a, b)
    a.do(AddContact(b.node.card_text(), "Bolat", c.node.fp))
    send(a, b, "back again")
    world.meet(a, b, 120)
    assert "back again" in texts(b, a)
    send(b, a, "fine")
    world.meet(a, b, 120)
    assert "fine" in texts(a, b)


# --- caches and refused commands -----------------------------------------------------------------


@STORES
def test_a_refused_edit_does_not_forget_the_one_before(make_store: Callable[[], Store]) -> None:
    """The outbox is full: the new edit is refused, and the old one still goes."""
    world = World(make_store=make_store)
    a = world.host("Aida", Limits(store_bytes=64_000))
    b = world.host("Bolat")
    a.do(AddContact(b.node.card_text()))
    b.do(AddContact(a.node.card_text()))
    message = send(a, b, "one")
    world.meet(a, b, 70)
    a.do(Edit(message.id, "two"))
    (first,) = a.store.acts()
    with pytest.raises(UsageError) as refused:
        for n in range(100):
            send(a, b, f"filling {n}")
    assert refused.value.reason == "outbox_full"
    with pytest.raises(UsageError):
        a.do(Edit(message.id, "t" * 3_000))
    assert a.store.acts() == [first]
    shown = a.store.message(message.id)
    assert shown is not None and shown.text == "two"
    assert a.node._custody.status().size_bytes == sum(usage.size_bytes for usage in a.store.usage())
    world.meet(a, b, 70)
    there = b.store.message(message.id)
    assert there is not None and there.text == "two"
    assert a.store.acts() == []


def test_a_mark_that_was_refused_is_not_made() -> None:
    """Publishing a mark finds no room: nothing is hidden, now or after the next start."""
    world = World()
    a = world.host("Aida", Limits(store_bytes=64_000))
    a.do(JoinRoom("#test", public_room_key("#test"), False))
    (room,) = a.store.rooms()
    with pytest.raises(UsageError):
        for n in range(100):
            a.do(Send(b"r" + room.rid, f"filling {n}"))
    with pytest.raises(UsageError) as refused:
        a.do(MarkInRoom(room.rid, bytes(8), Mark.HIDDEN, publish=True))
    assert refused.value.reason == "outbox_full"
    assert a.node.room_mark(room.rid, bytes(8)) is None
    assert a.store.room_marks() == []


@STORES
def test_a_room_cannot_push_out_what_friends_did(make_store: Callable[[], Store]) -> None:
    """An edit that overtook its message was confirmed: a crowd of pseudonyms with acts on posts
    that do not exist leaves it alone."""
    store = make_store()
    with store.transaction():
        mine = Act(b"1" * 8, 6, b"c" + bytes(32), bytes(32), b"t" * 8, "text", 5, bytes(8), 1.0)
        store.save_early(mine, EARLY_MAX, EARLY_PER_AUTHOR_MAX)
        for n in range(EARLY_MAX + 5):
            author = n.to_bytes(32, "big")
            act = Act(
                n.to_bytes(8, "big"), 6, b"r" + bytes(16), author, b"u" * 8, "x", 5, bytes(8), 1.0
            )
            store.save_early(act, EARLY_MAX, EARLY_PER_AUTHOR_MAX)
        assert store.take_early(b"t" * 8) == [mine]
        assert len(store.take_early(b"u" * 8)) == EARLY_MAX


def test_an_introduced_stranger_is_confirmed_and_keeps_his_past() -> None:
    """A friend introduces somebody who has written already: what he wrote is confirmed now."""
    world = World()
    a, b = friends(world)
    s = world.host("Stranger")
    s.do(AddContact(a.node.card_text()))
    b.do(AddContact(s.node.card_text()))
    s.do(AddContact(b.node.card_text()))
    wrote = send(s, a, "hello, I am new")
    world.meet(s, a, 10)
    assert s.state(wrote) == State.CARRIED
    b.do(Introduce(a.node.fp, s.node.fp))
    world.meet(a, b, 70)
    contact = a.store.contact(s.node.fp)
    assert contact is not None and not contact.request and contact.heard_at
    world.meet(s, a, 120)
    assert s.state(wrote) == State.DELIVERED


def test_a_blocked_contact_is_told_later_what_cannot_be_read() -> None:
    """A session that came apart while its owner was blocked is not given up silently."""
    world = World(make_store=MemoryStore)
    a, b = friends(world)
    send(a, b, "one")
    world.meet(a, b, 70)
    send(b, a, "two")
    world.meet(a, b, 70)
    yesterday = copy_of(a)
    for text in ("three", "five"):
        send(a, b, text)
        world.meet(a, b, 70)
        send(b, a, f"re {text}")
        world.meet(a, b, 70)
    back(a, yesterday)
    a.do(Block(b.node.fp, True))
    send(b, a, "written while blocked")
    world.meet(a, b, 70)
    a.do(Block(b.node.fp, False))
    send(b, a, "and after it")
    world.meet(a, b, 200)
    world.meet(a, b, 200)
    assert "and after it" in texts(a, b)


def test_mail_read_without_room_for_it_may_come_again() -> None:
    """A full store reads what it cannot keep and is offered it again: the session is not broken."""
    world = World()
    a, b = friends(world)
    send(a, b, "one")
    world.meet(a, b, 70)
    send(b, a, "two")
    world.meet(a, b, 70)
    message = send(a, b, "three")
    held = a.store.envelope(message.eid)
    assert held is not None
    for _ in range(2):
        with b.store.transaction():
            b.node._exchange._open(held._replace(kind=Kind.CARRIED), world.now)
    assert texts(b, a) == ["one", "two", "three"]
    assert b.node.status(world.now).counters["replay"] == 1
    assert not any(session.closed for session in b.store.sessions(a.node.fp))


def test_a_restored_friend_is_not_written_to_by_lost_sessions() -> None:
    """Bolat is restored and says nothing but his announce: that alone closes what he has lost."""
    world = World(make_store=MemoryStore)
    a, b = friends(world)
    send(a, b, "one")
    world.meet(a, b, 70)
    send(b, a, "two")
    world.meet(a, b, 70)
    world.wall += 86_400
    again = restored(world, b)
    again.do(AddContact(a.node.card_text()))
    a.do(AddContact(again.node.card_text()))
    message = send(a, again, "by which session?")
    world.meet(a, again, 100)
    world.meet(a, again, 100)
    assert texts(again, a) == ["by which session?"]
    assert a.state(message) == State.DELIVERED
    assert [session.closed for session in a.store.sessions(again.node.fp)].count(True) == 1


def test_a_friend_who_is_restored_for_ever_does_not_flood_the_screen() -> None:
    """Each envelope says a greater ``boot``: our user hears of the first."""
    world = World(make_store=MemoryStore)
    a, b = friends(world)
    send(b, a, "hello")
    for boot in range(1, 20):
        b.node._people.boot = boot
        with b.store.transaction():
            b.node._chats._sessions.forget(a.node.fp)
        send(b, a, f"boot {boot}")
        world.meet(a, b, 5)
    assert [told.code for told in a.told if isinstance(told, Notice)].count("restored") == 1
    contact = a.store.contact(b.node.fp)
    assert contact is not None and contact.boot == 19


def test_a_new_card_travels_once_in_a_running_session() -> None:
    """The next message after a new prekey brings the card, the one after it does not."""
    world = World(make_store=MemoryStore)
    a, b = friends(world)
    send(a, b, "one")
    world.meet(a, b, 70)
    send(b, a, "two")
    world.meet(a, b, 70)
    with a.store.transaction():
        a.node._people._new_prekey(world.now)  # and no announce of it
    known, newest = b.store.contact(a.node.fp), a.node.card_bytes()
    assert known is not None and known.card != newest
    told = []
    for text in ("with it", "without it"):
        message = send(a, b, text)
        held = a.store.envelope(message.eid)
        assert held is not None
        opened = open_sealed(held.data, secrets=[], prekeys=b.store.prekeys())
        assert opened is not None and opened.prekey is not None
        with b.store.transaction():
            opening = b.node._chats._sessions.open(
                opened.inner, opened.prekey, opened.header.e, world.now
            )
            told.append(decode_body(opening.body).card)
            b.node._chats._sessions.keep(opening, world.now)
    assert told == [newest, b""]


def test_the_session_in_use_is_not_the_one_that_goes() -> None:
    """Room is made by closed sessions first, then by the one that was idle for longest."""
    anna, boris = pair()
    fp = anna.people.identity.fp
    boris.open(anna.seal(boris, b"0"))
    anna.open(boris.seal(anna, b"re"))
    (used,) = boris.store.sessions(fp)
    for hour in range(SESSIONS_PER_CONTACT_MAX - 1):
        at = boris.now.wall + 60 * hour
        other = replace(used, sid=b"other%03d" % hour, made_at=at, heard_at=at, closed=hour == 3)
        with boris.store.transaction():
            boris.store.save_session(other)
    with boris.store.transaction():
        boris.store.save_session(replace(used, heard_at=boris.now.wall + 99_999))
        boris.sessions._make_room(fp)
        assert boris.store.session(b"other003") is None, "the closed one, though not the oldest"
        boris.store.save_session(replace(used, sid=b"one more", heard_at=boris.now.wall + 9_999))
        boris.sessions._make_room(fp)
        assert boris.store.session(b"other000") is None
        assert boris.store.session(used.sid) is not None


def test_a_session_is_of_one_person() -> None:
    """Eve's card before a message of Anna's session is no message of Eve's."""
    anna, boris = pair()
    eve = Party("eve")
    sealed = anna.seal(boris, b"1")
    boris.open(sealed)
    second = anna.seal(boris, b"2")
    bent = second.inner[:1] + eve.people.card + second.inner[1 + len(eve.people.card) :]
    with pytest.raises(AuthError, match="session owner"):
        boris.open(second._replace(inner=bent))
    assert boris.open(second) == b"2"


def test_kept_keys_are_bounded_and_destroyed_by_the_node() -> None:
    """No more than a thousand of one session, none after nine days, and the node sees to it."""
    anna, boris = pair()
    keys = [(b"k" * 32, n, b"m" * 32) for n in range(SKIPPED_KEPT_MAX)]
    boris.open(anna.seal(boris, b"0"))
    (session,) = boris.store.sessions(anna.people.identity.fp)
    with boris.store.transaction():
        boris.store.add_skipped(session.sid, keys, boris.now.wall + SKIPPED_KEPT_S)
    anna.seal(boris, b"lost")
    boris.open(anna.seal(boris, b"2"))
    assert len(boris.store._skipped[session.sid]) == SKIPPED_KEPT_MAX
    store = MemoryStore()
    world = World(make_store=lambda: store if not world.hosts else MemoryStore())
    host = world.host("Aida")
    with store.transaction():
        store.add_skipped(b"session!", keys[:1], world.wall + 5_000)
    world.run(3_000)
    assert store.skipped(b"session!", *keys[0][:2])
    world.run(9_000)
    assert store.skipped(b"session!", *keys[0][:2]) is None, "housekeeping of the node"
    assert host.node.next_wakeup()


def test_doubt_closes_what_was_silent_and_nothing_else() -> None:
    """A message ended unproven: sessions not heard since it was written are not written with."""
    anna, boris = pair()
    fp = anna.people.identity.fp
    boris.open(anna.seal(boris, b"0"))
    (session,) = boris.store.sessions(fp)
    with boris.store.transaction():
        boris.sessions.doubt(fp, session.heard_at - 1)
        assert not boris.store.sessions(fp)[0].closed
        boris.sessions.doubt(fp, session.heard_at + 1)
        assert boris.store.sessions(fp)[0].closed
        assert boris.sessions.current(fp, boris.now).sid != session.sid
    assert boris.sessions.own(fp, session.sid) is not None
    assert boris.sessions.own(bytes(32), session.sid) is None, "nobody resets a session of others"


def test_a_first_message_from_before_a_restore_starts_nothing() -> None:
    """It is read, but its writer has lost the session."""
    world = World(make_store=MemoryStore)
    a, b = friends(world)
    send(b, a, "from before")
    with a.store.transaction():
        a.node._people.restored(a.node._people.need(b.node.fp), 5, world.now)
    world.meet(a, b, 5)
    assert texts(a, b) == ["from before"]
    assert [session.closed for session in a.store.sessions(b.node.fp)] == [True]


@STORES
def test_a_contact_cannot_give_us_the_card_of_another(make_store: Callable[[], Store]) -> None:
    """The newest card of the author travels in the body; somebody else's there is dropped."""
    world = World(make_store=make_store)
    anna, boris, thief = (world.host(name) for name in ("Anna", "Boris", "Thief"))
    for one in (anna, thief):
        for other in (boris, thief, anna):
            if one is not other:
                one.do(AddContact(other.node.card_text()))
    before = anna.store.contact(thief.node.fp), anna.store.contact(boris.node.fp)
    body = Body(
        BodyType.PROFILE, number(thief), int(world.wall), "", "Thief", card=boris.node.card_bytes()
    )
    put(thief, anna, body)
    world.link(anna, thief)
    world.run(3)
    assert anna.node.status(world.now).counters["card_owner"] == 1
    after = anna.store.contact(thief.node.fp), anna.store.contact(boris.node.fp)
    assert [one and one.card for one in after] == [one and one.card for one in before]
