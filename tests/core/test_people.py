"""Keys that change, are revoked, or fall silent; and who is hidden in a room."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace
from world import Host, SeededEntropy, World

from meshchat.core.body import Body, BodyType, encode_body
from meshchat.core.events import (
    Accept,
    AddContact,
    GiveRevocation,
    Introduce,
    JoinRoom,
    MarkInRoom,
    Notice,
    ReleaseRevocation,
    RoomMarksChanged,
    Send,
    Verify,
    WatchSilence,
)
from meshchat.core.identity import Card, Identity, announce_secret, public_room_key, words_to_seed
from meshchat.core.limits import MARKS_PER_MODERATOR_MAX, REVOKE_EVERY_S, REVOKE_FOR_S
from meshchat.core.model import Contact, Mark, Message, Room, State, Trust, contact_chat, room_chat
from meshchat.core.moderation import Moderation, read_hide
from meshchat.core.node import Node
from meshchat.core.ports import Store
from meshchat.core.revocations import NOTICE_BYTES, check_notice, make_notice
from meshchat.core.sealed import InnerKind
from meshchat.errors import AuthError, ProtocolError, QuotaError, TrustError, UsageError, WireError
from meshchat.sim.memory import MemoryStore
from meshchat.store import SqlStore

DAY = 86_400.0


def befriend(*hosts: Host) -> None:
    for one in hosts:
        for other in hosts:
            if one is not other:
                one.do(AddContact(other.node.card_text()))


def contact(host: Host, other: Host) -> Contact:
    found = host.store.contact(other.node.fp)
    assert found is not None
    return found


def send(host: Host, to: Host, text: str) -> Message:
    message = host.do(Send(contact_chat(to.node.fp), text))
    assert isinstance(message, Message)
    return message


def texts(host: Host, author: Host) -> list[str]:
    found = host.store.messages(contact_chat(author.node.fp))
    return [message.text for message in found if not message.outgoing]


def notices(host: Host) -> list[Notice]:
    return [told for told in host.told if isinstance(told, Notice)]


@pytest.fixture(params=[SqlStore.memory, MemoryStore], ids=["sql", "plain"])
def world(request: pytest.FixtureRequest) -> World:
    make: Callable[[], Store] = request.param
    return World(make_store=make)


# --- a key that changes (attack 4; terminal-ui 37) -----------------------------------------------


def test_a_new_key_for_an_old_friend(world: World) -> None:
    """It is another person, loudly, until our user says otherwise; nothing goes to it before."""
    a, b = world.host("Aida"), world.host("Bolat")
    befriend(a, b)
    a.do(Verify(b.node.fp))
    waiting = send(a, b, "only for the key I know")
    fresh = world.host("Bolat")  # after a reinstallation, or a thief
    fresh.do(AddContact(a.node.card_text()))
    world.link(a, fresh)
    send(fresh, a, "hi, it is me")
    world.run(2)
    stranger = contact(a, fresh)
    assert stranger.request and stranger.petname != "Bolat" and stranger.claimed == "Bolat"
    assert Notice("same_name", "Bolat") in notices(a)
    assert contact(a, b).trust is Trust.VERIFIED
    with pytest.raises(TrustError):
        send(a, fresh, "who is this?")
    assert texts(fresh, a) == [] and a.state(waiting) == State.CARRIED
    a.do(AddContact(fresh.node.card_text(), replaces=b.node.fp))
    assert contact(a, fresh).trust is Trust.UNVERIFIED  # verifying is done anew
    assert contact(a, b).trust is Trust.CHANGED
    assert a.state(waiting) == State.FAILED
    send(a, fresh, "now to you")
    world.run(2)
    assert texts(fresh, a) == ["now to you"]


def test_a_replacement_can_be_taken_back(world: World) -> None:
    """Who was tricked into a new key gets the old thread to work again; no deadlock."""
    a, b, thief = world.host("Aida"), world.host("Bolat"), world.host("Bolat")
    befriend(a, b)
    a.do(AddContact(thief.node.card_text(), replaces=b.node.fp))
    with pytest.raises(TrustError) as caught:
        a.do(AddContact(b.node.card_text(), petname="Bolat B"))
    assert caught.value.reason == "key_changed" and "--replaces" in str(caught.value)
    a.do(AddContact(b.node.card_text(), replaces=thief.node.fp))
    assert contact(a, b).trust is Trust.UNVERIFIED and contact(a, b).petname == "Bolat"
    assert contact(a, thief).trust is Trust.CHANGED
    world.link(a, b)
    world.run(1)
    send(a, b, "sorry")
    send(b, a, "fine")
    world.run(2)
    assert (texts(b, a), texts(a, b)) == (["sorry"], ["fine"])


def test_restored_from_words(world: World) -> None:
    """The same words on a new device are the same person: marks stay, mail flows, and what was
    sealed to keys of the lost device is sealed again."""
    a, b = world.host("Aida"), world.host("Bolat")
    befriend(a, b)
    a.do(Verify(b.node.fp))
    lost = send(a, b, "sealed to keys of the lost device")
    seed = words_to_seed(" ".join(b.node.seed_words()))
    world.run(3_700)
    again = world.host("unused")
    again.store = world.make_store()
    with again.store.transaction():
        Node.create(again.store, SeededEntropy("new device"), world.now, "Bolat", seed)
    again.entropy = SeededEntropy("new device 2")
    again.node = again._start()
    assert again.node.fp == b.node.fp
    again.do(AddContact(a.node.card_text()))
    world.link(a, again)
    world.run(2)
    send(again, a, "I lost my phone")
    world.run(2)
    assert texts(a, b) == ["I lost my phone"]
    assert contact(a, b).trust is Trust.VERIFIED and len(a.store.contacts()) == 1
    answer = send(a, b, "good to hear")
    world.run(2)
    assert sorted(texts(again, a)) == ["good to hear", "sealed to keys of the lost device"]
    assert a.state(answer) == a.state(lost) == State.DELIVERED
    assert notices(a).count(Notice("restored", "Bolat")) == 1


def test_an_introduction_never_verifies(world: World) -> None:
    """Attack 14: an introducer that swaps a key makes nobody verified, and cannot touch a mark."""
    a, b, c, thief = (world.host(name) for name in ("Aida", "Bolat", "Dana", "Thief"))
    befriend(a, c)
    befriend(b, c)
    befriend(c, thief)
    a.do(AddContact(b.node.card_text()))
    a.do(Verify(b.node.fp))
    world.link(a, c)
    world.link(b, c)
    world.run(1)
    c.do(Introduce(a.node.fp, thief.node.fp))
    c.do(Introduce(a.node.fp, b.node.fp))
    world.run(3)
    swapped = contact(a, thief)
    assert (swapped.trust, swapped.introduced_by) == (Trust.INTRODUCED, c.node.fp)
    assert contact(a, b).trust is Trust.VERIFIED
    assert contact(b, a).trust is Trust.INTRODUCED


# --- revocation ----------------------------------------------------------------------------------


@pytest.fixture
def five(world: World) -> tuple[Host, Host, Host, Host]:
    """Aida gave Bolat her revocation; Dana knows both and Erlan only Aida. All are linked."""
    a, b, d, e = (world.host(name) for name in ("Aida", "Bolat", "Dana", "Erlan"))
    befriend(a, b, d)
    befriend(a, e)
    for one, other in ((a, b), (b, d), (d, e), (a, e)):
        world.link(one, other)
    world.run(1)
    given = a.do(GiveRevocation(b.node.fp))
    world.run(2)
    assert isinstance(given, Message) and a.state(given) == State.DELIVERED
    assert b.node.revocations_kept() == [a.node.fp]
    return a, b, d, e


def test_a_seized_friend_is_frozen_everywhere(world: World, five: tuple[Host, ...]) -> None:
    """Row 25: one keeper releases; all contacts freeze, also those who do not know the keeper."""
    a, b, d, e = five
    d.do(Verify(a.node.fp))
    world.hosts.remove(a)  # seized: it answers no more
    for link in list(a.links):
        world.cut_link(a, link)
    waiting = send(d, a, "where are you?")
    b.crash()
    world.link(b, d)
    frozen = b.do(ReleaseRevocation(a.node.fp))
    assert isinstance(frozen, Contact) and frozen.trust is Trust.REVOKED
    world.run(3)
    for host in (b, d, e):
        assert contact(host, a).trust is Trust.REVOKED
        assert notices(host).count(Notice("revoked", "Aida")) == 1
        host.crash()
        for wish in (
            Send(contact_chat(a.node.fp), "x"),
            Verify(a.node.fp),
            AddContact(a.node.card_text()),
        ):
            with pytest.raises(TrustError) as caught:
                host.do(wish)
            assert caught.value.reason == "revoked"
    failed = d.store.message(waiting.id)
    assert failed is not None and (failed.state, failed.reason) == (State.FAILED, "revoked")
    assert b.node.revocations_kept() == []


def test_who_took_the_device_is_not_heard(world: World, five: tuple[Host, ...]) -> None:
    """The thief has every key and writes and greets: no text, no receipt, no recognition."""
    a, b, d, _ = five
    b.do(ReleaseRevocation(a.node.fp))
    world.run(3)
    assert all(peer.contact != a.node.fp for peer in d.node.status(world.now).neighbours)
    world.link(a, d)
    for text in ("come to the square", "alone"):
        send(a, d, text)
    world.run(70)
    assert texts(d, a) == []
    assert contact(d, a).trust is Trust.REVOKED
    assert not any(peer.contact == a.node.fp for peer in d.node.status(world.now).neighbours)


def test_those_who_were_away(world: World) -> None:
    """Mail lives a week; who comes back after three hears of it all the same."""
    a, b, late = (world.host(name) for name in ("Aida", "Bolat", "Late"))
    befriend(a, b)
    befriend(a, late)
    a.do(GiveRevocation(b.node.fp))
    world.meet(a, b)
    world.hosts.remove(late)
    b.do(ReleaseRevocation(a.node.fp))
    for _ in range(4):
        world.run(REVOKE_EVERY_S)
    world.hosts.append(late)
    world.meet(b, late)
    assert contact(late, a).trust is Trust.REVOKED
    world.run(REVOKE_FOR_S)
    assert all(kept.again_at == 0 for kept in b.store.revocations())


def test_our_own_key(world: World) -> None:
    """Whose words were seen can revoke at once, by themselves."""
    a, b = world.host("Aida"), world.host("Bolat")
    befriend(a, b)
    world.link(a, b)
    world.run(1)
    assert a.do(ReleaseRevocation(a.node.fp)) is None
    world.run(2)
    assert contact(b, a).trust is Trust.REVOKED


def test_only_what_was_given_can_be_released(world: World) -> None:
    a, b = world.host("Aida"), world.host("Bolat")
    befriend(a, b)
    for wish in (ReleaseRevocation(b.node.fp), ReleaseRevocation(bytes(32))):
        with pytest.raises(UsageError):
            a.do(wish)
    assert contact(a, b).trust is Trust.UNVERIFIED


def test_a_revocation_is_signed_by_its_owner(world: World) -> None:
    """Attacks 10 and 58: no byte can be changed, nobody signs for another, not even to his face."""
    a, b = Identity.from_seed(b"a" * 32), Identity.from_seed(b"b" * 32)
    host = world.host("Bolat")
    notice = make_notice(a, 1_800_000_000)
    assert len(notice) == NOTICE_BYTES == 101
    card = Card(a.sign_public, a.dh_public, bytes(32), bytes(32), 0, b"")
    check_notice(notice, card)
    for at in range(NOTICE_BYTES):
        for bit in (0, 7):
            forged = bytearray(notice)
            forged[at] ^= 1 << bit
            with pytest.raises(ProtocolError):
                check_notice(bytes(forged), card)
    with pytest.raises(AuthError):
        check_notice(make_notice(b, 1_800_000_000), card)
    renamed = make_notice(b, 1)[:1] + a.fp + make_notice(b, 1)[33:]
    with pytest.raises(AuthError):
        check_notice(renamed, card)
    with pytest.raises(WireError):
        check_notice(notice + b"\0", card)
    assert host.node.revocations_kept() == []


def forge_release(world: World, by: Host, of: Host, notice: bytes) -> None:
    """Seal what we like under a contact's announce key, as every contact of theirs can."""
    chats = by.node._chats
    secret = announce_secret(by.node._people.card_of(of.node.fp).announce_key)
    with by.store.transaction():
        chats.revocations._seal(secret, bytes([InnerKind.REVOKE]) + notice, world.now)
        by.node._settle(world.now)
        by.node._neighbours.flush(world.now)


def test_contacts_cannot_revoke_each_other(world: World) -> None:
    """They hold the announce key, but not the signature. Bad ones are counted, no link ends."""
    a, b, d = (world.host(name) for name in ("Aida", "Bolat", "Dana"))
    befriend(a, b, d)
    thief = Identity.from_seed(b.node._people.seed)
    for notice in (make_notice(thief, 5), bytes(101), b"", b"\1" + a.node.fp + bytes(68)):
        forge_release(world, b, a, notice)
    world.link(b, d)
    world.run(3)
    assert contact(d, a).trust is Trust.UNVERIFIED
    counters = d.node.status(world.now).counters
    assert counters["revocation_of_another"] == 1 and counters["revocation_form"] == 2
    assert counters["bad_signature"] == 1
    assert b.links


def test_a_stranger_gives_none(world: World) -> None:
    """What a stranger sends for keeping is not kept; a friend's must be the friend's own."""
    a, b = world.host("Aida"), world.host("Bolat")
    a.do(AddContact(b.node.card_text()))
    world.link(a, b)
    a.do(GiveRevocation(b.node.fp))
    world.run(3)
    assert b.node.revocations_kept() == []
    send(a, b, "hello")
    world.run(1)
    b.do(Accept(a.node.fp))
    with b.store.transaction(), pytest.raises(AuthError):
        other = Identity.from_seed(b"x" * 32)
        b.node._chats.revocations.keep(a.node.fp, make_notice(other, 1))
    a.do(GiveRevocation(b.node.fp))
    world.run(3)
    assert b.node.revocations_kept() == [a.node.fp]


# --- silence -------------------------------------------------------------------------------------


def test_silent_for_days(world: World) -> None:
    """Told once when a friend was not heard for so long, and again only after they were heard."""
    a, b, c = (world.host(name) for name in ("Aida", "Bolat", "Dana"))
    befriend(a, b)
    befriend(a, c)
    world.meet(a, b)
    a.do(WatchSilence(b.node.fp, 3))
    world.hosts.remove(b)
    world.run(2.9 * DAY)
    assert notices(a) == []
    world.run(5 * DAY)
    assert notices(a) == [Notice("contact_silent", "Bolat")]
    assert contact(a, b).is_silent(world.wall) and not contact(a, c).is_silent(world.wall)
    world.hosts.append(b)
    world.meet(a, b)
    assert not contact(a, b).is_silent(world.wall)
    world.hosts.remove(b)
    world.run(4 * DAY)
    assert len(notices(a)) == 2
    a.do(WatchSilence(b.node.fp, 0))
    assert not contact(a, b).is_silent(world.wall)
    for days in (-1, 366):
        with pytest.raises(UsageError):
            a.do(WatchSilence(b.node.fp, days))


# --- rooms ---------------------------------------------------------------------------------------

Town = tuple[Host, Host, Host, bytes]


@pytest.fixture
def town(world: World) -> Town:
    """Reader, moderator and troll in one room, each with a post in it."""
    hosts = [world.host(name) for name in ("Reader", "Mod", "Troll")]
    rooms = [host.do(JoinRoom("town", public_room_key("town"), False)) for host in hosts]
    assert isinstance(rooms[0], Room)
    world.link(hosts[0], hosts[1])
    world.link(hosts[1], hosts[2])
    world.run(1)
    for host in hosts:
        host.do(Send(room_chat(rooms[0].rid), f"by {host.name}"))
        world.run(1)
    return hosts[0], hosts[1], hosts[2], rooms[0].rid


def post(host: Host, rid: bytes, text: str) -> Message:
    return next(m for m in host.store.messages(room_chat(rid)) if m.text == text)


def seen(host: Host, rid: bytes) -> list[str]:
    found = host.store.messages(room_chat(rid))
    return [message.text for message in found if not host.node.is_hidden(message)]


def test_hiding_is_our_own_view(world: World, town: Town) -> None:
    """Of an author or of one post, undone at any time, kept over a crash, told to nobody."""
    reader, mod, troll, rid = town
    bad = post(reader, rid, "by Troll")
    reader.do(MarkInRoom(rid, bad.author, Mark.HIDDEN))
    assert seen(reader, rid) == ["by Reader", "by Mod"]
    troll.do(Send(room_chat(rid), "more"))
    world.run(1)
    reader.crash()
    assert seen(reader, rid) == ["by Reader", "by Mod"]
    assert "more" in reader.texts(room_chat(rid))  # kept, so that it can be shown again
    reader.do(MarkInRoom(rid, post(reader, rid, "more").id, Mark.SHOWN))
    assert seen(reader, rid) == ["by Reader", "by Mod", "more"]
    reader.do(MarkInRoom(rid, bad.author, Mark.SHOWN))
    assert len(seen(reader, rid)) == 4 == len(seen(mod, rid))
    assert RoomMarksChanged(rid) in reader.told


def test_blocking_stores_nothing_more(world: World, town: Town) -> None:
    reader, _, troll, rid = town
    reader.do(MarkInRoom(rid, post(reader, rid, "by Troll").author, Mark.BLOCKED))
    troll.do(Send(room_chat(rid), "again"))
    world.run(1)
    assert "again" not in reader.texts(room_chat(rid)) and "by Troll" not in seen(reader, rid)
    reader.do(MarkInRoom(rid, post(reader, rid, "by Troll").author, Mark.SHOWN))
    troll.do(Send(room_chat(rid), "hello"))
    world.run(1)
    assert "hello" in seen(reader, rid)


def test_moderators_by_key(world: World, town: Town) -> None:
    """What those hide whom *we* hold for moderators is hidden; our own word counts before."""
    reader, mod, troll, rid = town
    author = post(reader, rid, "by Troll").author
    mod.do(MarkInRoom(rid, author, Mark.HIDDEN, publish=True))
    world.run(1)
    assert "by Troll" in seen(reader, rid)  # nobody's word counts by itself
    moderator = post(reader, rid, "by Mod").author
    reader.do(MarkInRoom(rid, moderator, Mark.MODERATOR))
    mod.do(MarkInRoom(rid, author, Mark.HIDDEN, publish=True))
    world.run(1)
    reader.crash()
    assert "by Troll" not in seen(reader, rid) and "by Troll" in seen(troll, rid)
    reader.do(MarkInRoom(rid, author, Mark.SHOWN))
    assert "by Troll" in seen(reader, rid)
    world.run(2)
    mod.do(MarkInRoom(rid, post(mod, rid, "by Reader").id, Mark.HIDDEN, publish=True))
    world.run(1)
    assert "by Reader" in seen(reader, rid)  # nobody hides our own words from us
    third = post(troll, rid, "by Mod").author
    troll.do(MarkInRoom(rid, third, Mark.MODERATOR))
    mod.do(MarkInRoom(rid, post(mod, rid, "by Reader").id, Mark.HIDDEN, publish=True))
    world.run(1)
    assert "by Reader" not in seen(troll, rid)
    mod.do(MarkInRoom(rid, post(mod, rid, "by Reader").id, Mark.SHOWN, publish=True))
    world.run(1)
    assert "by Reader" in seen(troll, rid)
    troll.do(MarkInRoom(rid, third, Mark.SHOWN))  # dismissed: its word counts no more
    assert [mark.by for mark in troll.store.room_marks()] == [b""]


def test_marks_of_a_moderator(world: World, town: Town) -> None:
    """Replays and forgeries change nothing, and a moderator fills no disk."""
    reader, _, _, rid = town
    moderator = post(reader, rid, "by Mod").author
    told: list[object] = []
    with reader.store.transaction():
        marks = Moderation(reader.store, told.append)
        marks.mark(MarkInRoom(rid, moderator, Mark.MODERATOR), bytes(32))
        target = b"t" * 8
        marks.heard(rid, moderator, b"\1" + target, order=5)
        marks.heard(rid, moderator, b"\0" + target, order=5)
        marks.heard(rid, moderator, b"\0" + target, order=4)
        assert marks.of(rid, target, moderator) is Mark.HIDDEN
        marks.heard(rid, moderator, b"\0" + target, order=6)
        assert marks.of(rid, target, moderator) is Mark.SHOWN
        marks.heard(rid, b"x" * 32, b"\1" + target, order=7)
        marks.heard(b"r" * 16, moderator, b"\1" + target, order=7)
        assert marks.of(rid, target, moderator) is Mark.SHOWN
        with pytest.raises(QuotaError):
            for n in range(MARKS_PER_MODERATOR_MAX + 1):
                marks.heard(rid, moderator, b"\1" + n.to_bytes(8, "big"), order=8 + n)
        assert len(reader.store.room_marks()) <= MARKS_PER_MODERATOR_MAX + 1
    for raw in (b"", b"\1", b"\2" + bytes(8), b"\1" + bytes(9), b"\3" + bytes(32)):
        with pytest.raises(WireError):
            read_hide(raw)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"rid": bytes(16)}, "unknown_room"),
        ({"target": b"short"}, "bad_target"),
        ({"target": bytes(8), "mark": Mark.BLOCKED}, "bad_mark"),
        ({"mark": Mark.MODERATOR, "publish": True}, "bad_mark"),
    ],
)
def test_marks_that_make_no_sense(
    world: World, town: Town, change: dict[str, object], reason: str
) -> None:
    reader, _, _, rid = town
    wish = replace(MarkInRoom(rid, b"a" * 32, Mark.HIDDEN), **change)  # type: ignore[arg-type]
    with pytest.raises(UsageError) as caught:
        reader.do(wish)
    assert caught.value.reason == reason and reader.store.room_marks() == []


def test_raw_bodies_have_their_length() -> None:
    """The writer refuses what no reader would take."""
    base = Body(BodyType.HIDE, bytes(8), 1, raw=bytes(9))
    assert encode_body(base)
    for wrong in (replace(base, raw=bytes(10)), replace(base, type=BodyType.REVOCATION)):
        with pytest.raises(ValueError, match="length"):
            encode_body(wrong)
