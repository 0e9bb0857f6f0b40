"""Whole nodes on in-memory stores: what people see, and what peers can and cannot do."""

from collections import deque

import pytest
from mallory import Mallory, have, junk
from msgspec.structs import replace
from world import Host, World

from meshchat.core import link as wire_link
from meshchat.core.envelope import envelope_id
from meshchat.core.events import (
    Accept,
    AddContact,
    Block,
    CloseLink,
    ContactChanged,
    Done,
    Introduce,
    JoinRoom,
    LeaveRoom,
    MessageAdded,
    NeighbourUp,
    Received,
    Refused,
    Rename,
    SaveDraft,
    Send,
    SendFrames,
    SetName,
    Verify,
    Wake,
)
from meshchat.core.identity import closed_mesh_key, private_room_key, public_room_key
from meshchat.core.limits import CLASS_SIZES_BYTES, Limits
from meshchat.core.model import Message, Now, State, Trust, contact_chat, room_chat
from meshchat.core.sync import Sync
from meshchat.errors import TrustError, UsageError

DAY = 86_400.0


def befriend(one: Host, other: Host) -> None:
    one.do(AddContact(other.node.card_text()))
    other.do(AddContact(one.node.card_text()))


def send(host: Host, to: Host, text: str) -> Message:
    message = host.do(Send(contact_chat(to.node.fp), text))
    assert isinstance(message, Message)
    return message


def inbox(host: Host, sender: Host) -> list[str]:
    return [
        message.text
        for message in host.store.messages(contact_chat(sender.node.fp))
        if not message.outgoing
    ]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def three(world: World) -> tuple[Host, Host, Host]:
    """Aida and Bolat are friends; a stranger carries."""
    a, b, c = world.host("Aida"), world.host("Bolat"), world.host("Carrier")
    befriend(a, b)
    world.run(1)
    return a, b, c


def test_stranger_carries_across_a_gap(world: World, three: tuple[Host, Host, Host]) -> None:
    """Queued, carried, delivered: each only when it is true, across a crash of every node."""
    a, b, c = three
    message = send(a, b, "сәлем, Болат")
    assert a.state(message) == State.QUEUED
    a.crash()
    world.meet(a, c)
    assert a.state(message) == State.CARRIED
    c.crash()
    b.crash()
    world.meet(c, b)
    assert inbox(b, a) == ["сәлем, Болат"]
    assert a.state(message) == State.CARRIED
    world.run(70)
    world.meet(c, b)
    c.crash()
    world.meet(c, a)
    assert a.state(message) == State.DELIVERED
    assert [step.what for step in a.store.journey(message.id)] == [
        "written",
        "sealed",
        "handed",
        "delivered",
    ]
    assert inbox(b, a) == ["сәлем, Болат"]


def test_direct_neighbour_confirms_at_once(world: World, three: tuple[Host, Host, Host]) -> None:
    """On a link with the contact itself, delivered does not wait for the receipt's delay."""
    a, b, _ = three
    world.link(a, b)
    world.run(0.5)
    message = send(a, b, "hi")
    world.run(0.5)
    assert a.state(message) == State.DELIVERED
    assert inbox(b, a) == ["hi"]


def test_relay_learns_nothing_at_once(world: World, three: tuple[Host, Host, Host]) -> None:
    """A stranger's link hears of the receipt only after the random delay of at least 5 s."""
    a, b, c = three
    send(a, b, "hi")
    world.meet(a, c)
    world.link(c, b)
    world.run(4.0)
    assert inbox(b, a) == ["hi"]
    assert c.node.status(world.now).custody.proofs == 0
    world.run(70)
    assert c.node.status(world.now).custody.proofs == 1


def test_delivered_copies_are_dropped(world: World, three: tuple[Host, Host, Host]) -> None:
    """A proof frees the space on every node that hears it, and the id is not taken again."""
    a, b, c = three
    message = send(a, b, "hi")
    found = a.store.message(message.id)
    assert found is not None
    world.meet(a, c)
    assert c.store.envelope(found.eid) is not None
    world.meet(c, b)
    world.run(70)
    world.meet(c, b)
    assert c.store.envelope(found.eid) is None
    world.meet(a, c)
    assert a.store.envelope(found.eid) is None
    assert c.store.envelope(found.eid) is None


def test_offline_friend_without_a_fresh_key_waits(world: World) -> None:
    """A message to an outdated card is kept, says why it waits, and goes when a card comes."""
    a, b = world.host("Aida"), world.host("Bolat")
    befriend(a, b)
    world.run(12 * DAY)
    fresh = b.node.card_text()
    late = World("late")
    late.mono, late.wall = world.mono, world.wall
    message = send(a, b, "still there?")
    # a has heard no announce for twelve days: the card it has is out of date
    stored = a.store.message(message.id)
    assert stored is not None
    assert (stored.state, stored.reason, stored.eid) == (State.QUEUED, "no_key", b"")
    a.do(AddContact(fresh))
    stored = a.store.message(message.id)
    assert stored is not None
    assert stored.reason == "" and stored.eid
    world.meet(a, b)
    assert inbox(b, a) == ["still there?"]


def test_announces_renew_keys(world: World, three: tuple[Host, Host, Host]) -> None:
    """Daily announces reach a friend through a stranger, so cards never go stale meanwhile."""
    a, b, c = three
    before = a.store.contact(b.node.fp)
    world.run(2 * DAY)
    world.meet(b, c)
    world.meet(c, a)
    world.run(1)
    after = a.store.contact(b.node.fp)
    assert before is not None and after is not None
    assert after.card == b.node.card_bytes() != before.card


def test_message_fails_when_its_time_is_over(world: World, three: tuple[Host, Host, Host]) -> None:
    """After a week nothing is shown as on its way any more."""
    a, b, c = three
    message = send(a, b, "hi")
    world.meet(a, c)
    world.run(8 * DAY)
    stored = a.store.message(message.id)
    assert stored is not None
    assert (stored.state, stored.reason) == (State.FAILED, "expired")
    assert c.node.status(world.now).custody.carried == 0


def test_expired_copies_are_not_said_to_be_carried(
    world: World, three: tuple[Host, Host, Host]
) -> None:
    """When the envelope ends before the message, it is queued again, sealed anew, not carried."""
    a, b, c = three
    message = send(a, b, "hi")
    world.meet(a, c)
    assert a.state(message) == State.CARRIED
    first = a.store.message(message.id)
    assert first is not None
    held = a.store.envelope(first.eid)
    assert held is not None
    world.run(held.exp_h * 3_600 - world.wall - 3_600)
    a.do(AddContact(b.node.card_text()))  # a newer key, so that it can be sealed again
    world.run(2 * 3_600)
    now = a.store.message(message.id)
    assert now is not None and now.eid != first.eid
    if now.state is not State.FAILED:  # the week may be over already
        assert (now.state, now.carriers) == (State.QUEUED, 0)


def test_resealed_message_is_shown_once(world: World, three: tuple[Host, Host, Host]) -> None:
    """An envelope that ends before its message is sealed again; the reader sees one message."""
    a, b, c = three
    message = send(a, b, "once")
    first = a.store.message(message.id)
    assert first is not None
    world.meet(a, c)
    held = c.store.envelope(first.eid)
    assert held is not None
    world.run(6.5 * DAY)  # the envelope lives at most 170 h, so it may or may not be over
    world.meet(b, c)
    world.meet(c, a)
    world.meet(a, c)
    world.meet(c, b)
    world.run(1)
    assert inbox(b, a) == ["once"]


def test_public_room(world: World) -> None:
    """Three nodes in a row talk in a room; a latecomer gets what is still carried."""
    hosts = [world.host(name) for name in ("Aida", "Bolat", "Dana")]
    key = public_room_key("almaty")
    rooms = [host.do(JoinRoom("#Almaty", key, False)) for host in hosts]
    chat = room_chat(rooms[0].rid)  # type: ignore[attr-defined]
    world.link(hosts[0], hosts[1])
    world.link(hosts[1], hosts[2])
    world.run(1)
    for host in hosts:
        host.do(Send(chat, f"from {host.name}"))
        world.run(1)
    for host in hosts:
        assert sorted(host.texts(chat)) == ["from Aida", "from Bolat", "from Dana"]
    late = world.host("Late")
    world.link(late, hosts[2])
    world.run(1)
    late.do(JoinRoom("almaty", key, False))
    world.run(2)
    assert sorted(late.texts(chat)) == ["from Aida", "from Bolat", "from Dana"]
    names = {message.author_name for message in late.store.messages(chat)}
    assert names == {"Aida", "Bolat", "Dana"}


def test_passphrase_room_is_closed(world: World) -> None:
    """Another passphrase, or none, opens nothing of a private room."""
    a, b = world.host("Aida"), world.host("Bolat")
    right, wrong = private_room_key("home", "correct horse"), private_room_key("home", "wrong")
    room = a.do(JoinRoom("home", right, True))
    other = b.do(JoinRoom("home", wrong, True))
    public = b.do(JoinRoom("home2", public_room_key("home"), False))
    world.link(a, b)
    world.run(1)
    a.do(Send(room_chat(room.rid), "secret"))  # type: ignore[attr-defined]
    world.run(2)
    assert b.texts(room_chat(other.rid)) == []  # type: ignore[attr-defined]
    assert b.texts(room_chat(public.rid)) == []  # type: ignore[attr-defined]
    assert b.node.status(world.now).custody.carried >= 1


def test_left_room_is_silent(world: World) -> None:
    """After leaving, posts are carried but not shown, and writing is refused."""
    a, b = world.host("Aida"), world.host("Bolat")
    key = public_room_key("x")
    rooms = [host.do(JoinRoom("x", key, False)) for host in (a, b)]
    chat = room_chat(rooms[0].rid)  # type: ignore[attr-defined]
    b.do(LeaveRoom(rooms[0].rid))  # type: ignore[attr-defined]
    world.link(a, b)
    a.do(Send(chat, "anyone?"))
    world.run(2)
    assert b.texts(chat) == []
    with pytest.raises(UsageError):
        b.do(Send(chat, "me"))


def test_stranger_becomes_a_request(world: World) -> None:
    """First mail from an unknown key is a request: no receipt, no answer before accepting."""
    a, b = world.host("Aida"), world.host("Bolat")
    a.do(AddContact(b.node.card_text()))
    world.link(a, b)
    message = send(a, b, "hello, it is Aida")
    world.run(70)
    contact = b.store.contact(a.node.fp)
    assert contact is not None and contact.request and contact.trust is Trust.UNVERIFIED
    assert contact.claimed == "Aida"
    assert inbox(b, a) == ["hello, it is Aida"]
    assert a.state(message) == State.CARRIED
    with pytest.raises(TrustError):
        send(b, a, "hi")
    b.do(Accept(a.node.fp))
    reply = send(b, a, "hi")
    world.run(2)
    assert inbox(a, b) == ["hi"]
    assert b.state(reply) == State.DELIVERED


def test_accepting_confirms_what_was_read(world: World) -> None:
    """The mail that made somebody a request is confirmed once it is accepted."""
    a, b = world.host("Aida"), world.host("Bolat")
    a.do(AddContact(b.node.card_text()))
    world.link(a, b)
    message = send(a, b, "hello, it is Aida")
    world.run(70)
    assert a.state(message) == State.CARRIED
    assert b.node.status(world.now).custody.mine == 0, "a stranger's mail is not pinned"
    b.do(Accept(a.node.fp))
    world.run(70)
    assert a.state(message) == State.DELIVERED
    assert inbox(b, a) == ["hello, it is Aida"]


def test_a_backlog_arrives_in_order(world: World, three: tuple[Host, Host, Host]) -> None:
    """A hundred messages written while apart are read in the order they were written."""
    a, b, c = three
    texts = [f"number {number}" for number in range(100)]
    for text in texts:
        send(a, b, text)
    world.meet(a, c)
    world.meet(c, b)
    assert inbox(b, a) == texts


def test_lost_confirmation_is_made_up_for(world: World, three: tuple[Host, Host, Host]) -> None:
    """A neighbour that has a copy, though its STORED was lost, is counted when we meet again."""
    a, b, c = three
    message = send(a, b, "hi")
    link, _ = world.link(a, c)
    world.meddle = lambda host, effect: effect.frames if host is a or not held() else ()

    def held() -> bool:
        eid = a.store.message(message.id).eid  # type: ignore[union-attr]
        return c.store.envelope(eid) is not None

    world.run(2)
    assert held() and a.state(message) == State.QUEUED
    world.meddle = None
    world.cut_link(a, link)
    world.meet(c, a)
    assert a.state(message) == State.CARRIED
    assert a.store.message(message.id).carriers == 1  # type: ignore[union-attr]
    world.meet(c, a)
    assert a.store.message(message.id).carriers == 1  # type: ignore[union-attr]


def test_junk_tokens_stay_in_their_share(world: World) -> None:
    """One neighbour's unmatched tokens stop at a tenth; another's are still taken."""
    victim = world.host("Victim", Limits(proofs_max=100))
    flood, honest = world.host("Flood"), world.host("Honest")
    world.link(flood, victim)
    world.link(honest, victim)
    world.run(1)
    exp_h = int(world.wall // 3_600) + 100
    for sender, count in ((flood, 60), (honest, 3)):
        peer = next(iter(sender.node._neighbours._peers.values()))
        for number in range(count):
            token = sender.name.encode().ljust(15, b".") + bytes([number])
            peer.link.send(wire_link.PROOF, token + exp_h.to_bytes(4, "little"))
        sender.node._neighbours._touched[peer.link.id] = peer
        sender.handle(Wake())
        world.run(1)
    assert victim.node.status(world.now).custody.proofs == 10 + 3


def test_unblocked_contact_can_follow_us_again(
    world: World, three: tuple[Host, Host, Host]
) -> None:
    """Unblocking sends the card that blocking had changed."""
    a, b, _ = three
    b.do(Block(a.node.fp))
    b.do(Block(a.node.fp, blocked=False))
    world.link(a, b)
    world.run(3)
    known = a.store.contact(b.node.fp)
    assert known is not None and known.card == b.node.card_bytes()


def test_blocked_contact_is_unheard_and_blind(world: World, three: tuple[Host, Host, Host]) -> None:
    """A blocked person's mail is not shown nor confirmed, and our new announces are closed."""
    a, b, c = three
    friend = world.host("Friend")
    befriend(b, friend)
    old = b.node.card_bytes()
    b.do(Block(a.node.fp))
    assert b.node.card_bytes()[65:97] != old[65:97]
    message = send(a, b, "please")
    world.link(a, c)
    world.link(c, b)
    world.link(c, friend)
    world.run(120)
    assert inbox(b, a) == []
    assert a.state(message) == State.CARRIED
    with pytest.raises(TrustError):
        send(b, a, "no")
    known_to_friend = friend.store.contact(b.node.fp)
    known_to_blocked = a.store.contact(b.node.fp)
    assert known_to_friend is not None and known_to_friend.card == b.node.card_bytes()
    assert known_to_blocked is not None and known_to_blocked.card == old
    b.do(Block(a.node.fp, blocked=False))
    send(a, b, "again")
    world.run(5)
    assert "again" in inbox(b, a)


def test_key_never_changes_silently(world: World, three: tuple[Host, Host, Host]) -> None:
    """A new key under an old name is refused; replacing freezes the old one and its mail."""
    a, b, _ = three
    a.do(Verify(b.node.fp))
    waiting = send(a, b, "for the old key")
    impostor = world.host("Bolat")
    with pytest.raises(TrustError) as refusal:
        a.do(AddContact(impostor.node.card_text()))
    assert refusal.value.reason == "name_taken"
    assert a.store.contact(impostor.node.fp) is None
    a.do(AddContact(impostor.node.card_text(), replaces=b.node.fp))
    old, new = a.store.contact(b.node.fp), a.store.contact(impostor.node.fp)
    assert old is not None and new is not None
    assert (old.trust, new.trust) == (Trust.CHANGED, Trust.UNVERIFIED)
    assert new.petname == "Bolat" != old.petname
    stored = a.store.message(waiting.id)
    assert stored is not None and (stored.state, stored.reason) == (State.FAILED, "key_changed")
    world.link(a, impostor)
    world.link(a, b)
    world.run(3)
    assert inbox(impostor, a) == inbox(b, a) == []
    with pytest.raises(TrustError):
        send(a, b, "still you?")


def test_lookalike_names_are_refused(world: World, three: tuple[Host, Host, Host]) -> None:
    """Latin and Cyrillic twins, case and spaces do not make a second name."""
    a, b, c = three
    a.do(AddContact(c.node.card_text(), petname="Карина"))
    with pytest.raises(UsageError):
        a.do(Rename(b.node.fp, "Kaринa"))
    a.do(Rename(b.node.fp, "Bolat T"))


def test_introduction_is_not_verification(world: World, three: tuple[Host, Host, Host]) -> None:
    """Introduced people can write to each other at once, marked introduced and by whom."""
    a, b, d = three
    befriend(a, d)
    for host in (b, d):
        world.link(a, host)
    world.run(1)
    a.do(Introduce(b.node.fp, d.node.fp))
    world.run(3)
    contact = b.store.contact(d.node.fp)
    assert contact is not None
    assert (contact.trust, contact.introduced_by) == (Trust.INTRODUCED, a.node.fp)
    send(b, d, "Aida introduced us")
    world.run(3)
    assert inbox(d, b) == ["Aida introduced us"]


def test_verify_and_back(world: World, three: tuple[Host, Host, Host]) -> None:
    """Both sides see the same twelve words; the mark can be taken back."""
    a, b, _ = three
    assert a.node.safety_words(b.node.fp) == b.node.safety_words(a.node.fp)
    assert len(a.node.safety_words(b.node.fp)) == 12
    a.do(Verify(b.node.fp))
    assert a.store.contact(b.node.fp).trust is Trust.VERIFIED  # type: ignore[union-attr]
    a.do(Verify(b.node.fp, verified=False))
    assert a.store.contact(b.node.fp).trust is Trust.UNVERIFIED  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "command",
    [
        Send(b"c" + bytes(32), "nobody"),
        Send(b"r" + bytes(16), "nowhere"),
        Verify(bytes(32)),
        Rename(bytes(32), "x"),
        AddContact("meshchat:AAAA"),
        AddContact(""),
        SetName(""),
        SetName("я" * 25),
        LeaveRoom(bytes(16)),
    ],
    ids=lambda command: type(command).__name__,
)
def test_impossible_commands_change_nothing(world: World, command: object) -> None:
    """Each gives one sentence, and the store is byte for byte the same in what people see."""
    a = world.host("Aida")
    before = (a.store.contacts(), a.store.rooms(), a.store.chats(), a.store.get("name"))
    with pytest.raises(UsageError) as refusal:
        a.do(command)  # type: ignore[arg-type]
    assert str(refusal.value)[0].isupper() and str(refusal.value).endswith(".")
    assert before == (a.store.contacts(), a.store.rooms(), a.store.chats(), a.store.get("name"))


@pytest.mark.parametrize("text", ["", "  \n ", "x" * 7_001, "я" * 3_501])
def test_text_limits(world: World, three: tuple[Host, Host, Host], text: str) -> None:
    """Too much or nothing is refused whole; nothing is stored."""
    a, b, _ = three
    with pytest.raises(UsageError):
        send(a, b, text)
    assert a.texts(contact_chat(b.node.fp)) == []


def test_longest_text_fits(world: World, three: tuple[Host, Host, Host]) -> None:
    """7,000 bytes travel in one envelope of class 2."""
    a, b, _ = three
    world.link(a, b)
    world.run(1)
    send(a, b, "я" * 3_500)
    world.run(1)
    assert inbox(b, a) == ["я" * 3_500]


def test_outbox_limit_is_told(world: World) -> None:
    """When our own share is full the sender is told; what was accepted stays."""
    a = world.host("Aida", Limits(store_bytes=40_960))
    b = world.host("Bolat")
    befriend(a, b)
    world.run(1)
    accepted = 0
    with pytest.raises(UsageError) as refusal:
        for number in range(100):
            send(a, b, f"message {number}")
            accepted += 1
    assert refusal.value.reason == "outbox_full"
    assert len(a.texts(contact_chat(b.node.fp))) == accepted > 5
    a.crash()
    world.link(a, b)
    world.run(3)
    assert len(inbox(b, a)) == accepted


def test_a_refused_command_undoes_itself_alone(
    world: World, three: tuple[Host, Host, Host]
) -> None:
    """Of several in one step: what was sealed before and after it still goes."""
    a, b, _ = three
    world.link(a, b)
    world.run(1)
    chat = contact_chat(b.node.fp)
    texts = ("one", "x" * 5_000 + "y" * 5_000, "two", "", "three")
    with a.store.transaction():
        effects = a.node.obey([Send(chat, text) for text in texts], world.now)
    answers = [type(effect) for effect in effects if isinstance(effect, Done | Refused)]
    assert answers == [Done, Refused, Done, Refused, Done]
    for effect in effects:
        if isinstance(effect, SendFrames):
            world.carry(a, effect)
    world.run(1)
    assert inbox(b, a) == ["one", "two", "three"]
    assert a.node.status(world.now).custody.own == 0, "all delivered"


def test_texts_written_together_are_taken_together(
    world: World, three: tuple[Host, Host, Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One savepoint for all of them, and each is delivered, in order; also after a crash."""
    a, b, _ = three
    chat = contact_chat(b.node.fp)
    texts = [f"text {n}" for n in range(40)]
    parts: list[object] = []
    real = type(a.store).savepoint
    with monkeypatch.context() as patch, a.store.transaction():
        patch.setattr(type(a.store), "savepoint", lambda s: parts.append(s) or real(s))
        effects = a.node.obey([Send(chat, text) for text in texts], world.now)
    assert len(parts) == 1
    assert [e.result.text for e in effects if isinstance(e, Done)] == texts  # type: ignore[attr-defined]
    a.crash()
    world.link(a, b)
    world.run(2)
    assert inbox(b, a) == texts
    assert {one.state for one in a.store.messages(chat)} == {State.DELIVERED}
    assert a.node.status(world.now).custody.own == 0


def test_strangers_fill_only_their_share(world: World) -> None:
    """One neighbour's junk stays in its share, and a friend's mail is still taken."""
    relay = world.host("Relay", Limits(store_bytes=102_400))
    flood = world.host("Flood")
    a, b = world.host("Aida"), world.host("Bolat")
    befriend(a, b)
    key = public_room_key("junk")
    room = flood.do(JoinRoom("junk", key, False))
    for number in range(60):
        flood.do(Send(room_chat(room.rid), f"junk {number}"))  # type: ignore[attr-defined]
    world.meet(flood, relay, 20)
    status = relay.node.status(world.now)
    assert status.custody.carried * 512 <= 102_400 * 0.10
    assert status.counters["refused_full"] > 0
    message = send(a, b, "through the flood")
    world.meet(a, relay)
    assert a.state(message) == State.CARRIED
    world.meet(relay, b)
    assert inbox(b, a) == ["through the flood"]


def test_refused_is_not_offered_again(world: World) -> None:
    """What a full neighbour refused costs no second transfer on the same link."""
    relay = world.host("Relay", Limits(store_bytes=20_480))
    flood = world.host("Flood")
    room = flood.do(JoinRoom("junk", public_room_key("junk"), False))
    for number in range(30):
        flood.do(Send(room_chat(room.rid), f"junk {number}"))  # type: ignore[attr-defined]
    world.link(flood, relay)
    world.run(20)
    moved = world.bytes_moved
    world.run(4)  # pings go every five seconds; nothing else may move
    assert world.bytes_moved - moved <= 2_048


def test_envelope_cut_at_every_frame_resumes(world: World) -> None:
    """Cut after each frame in turn, a large envelope arrives and none of its bytes comes twice."""
    a, b = world.host("Aida"), world.host("Bolat")
    befriend(a, b)
    world.run(1)
    message = send(a, b, "z" * 7_000)
    eid = a.store.message(message.id).eid  # type: ignore[union-attr]
    world.frame_by_frame = True
    offsets: list[int] = []
    record = Sync.record

    def spy(sync: Sync, kind: int, body: bytes, now: Now) -> object:
        if kind == wire_link.PART and body[:16] == eid:
            offsets.append(int.from_bytes(body[16:18], "little"))
        return record(sync, kind, body, now)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Sync, "record", spy)
        for steps in range(1, 60):
            link, _ = world.link(a, b, mtu=1_024)
            for _ in range(steps):
                if world.inbox:
                    host, event = world.inbox.popleft()
                    host.handle(event)
            world.inbox = deque(item for item in world.inbox if not isinstance(item[1], Received))
            if link in a.links:
                world.cut_link(a, link)
            world.settle()
            if inbox(b, a):
                break
    assert inbox(b, a) == ["z" * 7_000]
    assert len(offsets) == len(set(offsets)) > 5
    assert sorted(offsets) == offsets


def test_one_link_per_pair(world: World, three: tuple[Host, Host, Host]) -> None:
    """Both dial at once: one link stays, and mail still moves."""
    a, b, _ = three
    world.link(a, b)
    world.link(b, a)
    world.run(2)
    assert len(a.links) == len(b.links) == 1
    send(a, b, "hi")
    world.run(1)
    assert inbox(b, a) == ["hi"]


def test_redial_replaces_a_dead_link(world: World, three: tuple[Host, Host, Host]) -> None:
    """A peer that dials again after sleep is heard on the new link."""
    a, b, _ = three
    first, _ = world.link(a, b)
    world.run(1)
    world.meddle = lambda host, effect: () if effect.link == first else effect.frames
    world.link(a, b)
    world.run(1)
    send(a, b, "awake")
    world.run(1)
    assert inbox(b, a) == ["awake"]


def test_silent_peer_is_cut(world: World, three: tuple[Host, Host, Host]) -> None:
    """Nothing heard for 15 s ends the link on both sides."""
    a, b, _ = three
    world.link(a, b)
    world.run(1)
    world.meddle = lambda _host, _effect: ()
    world.run(17)
    assert not a.links and not b.links


def test_recognised_when_added_on_a_live_link(world: World) -> None:
    """Two who add each other while linked see each other as contacts at once."""
    a, b = world.host("Aida"), world.host("Bolat")
    world.link(a, b)
    world.run(1)
    befriend(a, b)
    world.run(1)
    for host, other in ((a, b), (b, a)):
        assert [n.contact for n in host.node.status(world.now).neighbours] == [other.node.fp]
    assert any(isinstance(tell, NeighbourUp) and tell.neighbour.contact for tell in a.told)


def test_one_sided_contact_is_not_recognised(world: World) -> None:
    """Knowing somebody's card does not reveal them on a link: both must know each other. What
    they show to their friends is for those alone."""
    a, b, c = world.host("Aida"), world.host("Bolat"), world.host("Dana")
    a.do(AddContact(b.node.card_text()))
    b.do(AddContact(c.node.card_text()))
    c.do(AddContact(b.node.card_text()))
    world.link(a, b)
    world.run(1)
    assert [n.contact for n in a.node.status(world.now).neighbours] == [b""]


def test_more_than_sixteen_contacts(world: World) -> None:
    """The seventeenth contact is recognised by a later HELLO."""
    a = world.host("Aida")
    others = [world.host(f"P{number}") for number in range(18)]
    for other in others:
        befriend(a, other)
    for other in others:
        world.link(a, other)
    world.run(130)
    linked = {n.contact for n in a.node.status(world.now).neighbours}
    assert linked == {other.node.fp for other in others}


@pytest.mark.parametrize("at", range(0, 40, 7))
def test_flipped_frames_end_the_link_only(
    world: World, three: tuple[Host, Host, Host], at: int
) -> None:
    """A changed bit anywhere ends that link, is counted, and harms nothing else."""
    a, b, c = three
    world.link(a, c)
    sent = 0

    def flip(host: Host, effect: object) -> tuple[bytes, ...]:
        nonlocal sent
        frames = list(effect.frames)  # type: ignore[attr-defined]
        if host is a:
            sent += 1
            if sent == 1 + at % 4:
                body = bytearray(frames[0])
                body[at % len(body)] ^= 1
                frames[0] = bytes(body)
        return tuple(frames)

    world.meddle = flip
    world.run(12)
    assert not c.links
    world.meddle = None
    world.link(a, c)
    message = send(a, b, "still fine")
    world.run(2)
    assert a.state(message) == State.CARRIED


@pytest.mark.parametrize(("offers", "reason"), [(6, "have_without_next"), (40, "link_budget")])
def test_ids_without_end(world: World, offers: int, reason: str) -> None:
    """A neighbour that offers ids unasked, or past its budget, is cut off; others are not."""
    victim, honest = world.host("Victim"), world.host("Honest")
    flood = world.host("Flood")
    befriend(victim, honest)
    world.link(flood, victim)
    world.run(1)
    peer = next(iter(flood.node._neighbours._peers.values()))
    for number in range(offers):
        ids = [bytes([number, low % 256, low // 256]) + bytes(13) for low in range(512)]
        peer.link.send(*have(*ids))
    flood.node._neighbours._touched[peer.link.id] = peer
    flood.handle(Wake())
    world.link(honest, victim)
    world.run(3)
    assert len(victim.links) == 1
    assert victim.node.status(world.now).counters[reason] == 1
    send(honest, victim, "hello")
    world.run(1)
    assert inbox(victim, honest) == ["hello"]


def test_drafts_and_names_survive_a_crash(world: World, three: tuple[Host, Host, Host]) -> None:
    """What a command confirmed is there after kill -9."""
    a, b, _ = three
    chat = contact_chat(b.node.fp)
    a.do(SaveDraft(chat, "unfinished"))
    a.do(SetName("Аида"))
    a.crash()
    assert next(row.draft for row in a.store.chats() if row.chat == chat) == "unfinished"
    assert a.node.name == "Аида"


def test_own_card_is_refused(world: World) -> None:
    """Adding oneself says what to do."""
    a = world.host("Aida")
    with pytest.raises(UsageError) as refusal:
        a.do(AddContact(a.node.card_text()))
    assert refusal.value.reason == "own_card"


def test_adding_twice_updates(world: World, three: tuple[Host, Host, Host]) -> None:
    """The same card again is no second contact, and keeps the verified mark."""
    a, b, _ = three
    a.do(Verify(b.node.fp))
    a.do(AddContact(b.node.card_text(), petname="Боля"))
    contact = a.store.contact(b.node.fp)
    assert contact is not None
    assert (contact.petname, contact.trust, len(a.store.contacts())) == ("Боля", Trust.VERIFIED, 1)


def test_wrong_clock_makes_no_keys(world: World) -> None:
    """A node that believes in 1970 says so, keeps its mail, and works once the clock is set."""
    a, b = world.host("Aida"), world.host("Bolat")
    befriend(a, b)
    world.run(1)
    world.wall -= 50 * 365 * DAY
    a.crash()
    world.run(5)
    assert any(getattr(tell, "code", "") == "clock_wrong" for tell in a.told)
    world.wall += 50 * 365 * DAY
    message = send(a, b, "back in time")
    world.link(a, b)
    world.run(2)
    assert a.state(message) == State.DELIVERED


def test_events_carry_clean_text(world: World, three: tuple[Host, Host, Host]) -> None:
    """What a Node tells of a hostile text is inert already."""
    a, b, _ = three
    world.link(a, b)
    world.run(1)
    hostile = "\x1b]0;owned\x07\x1b[2J‮hello​"
    peer_text = replace(send(a, b, "x"), text=hostile)
    assert "\x1b" in peer_text.text
    send(a, b, hostile)
    world.run(1)
    told = [tell.message.text for tell in b.told if isinstance(tell, MessageAdded)]
    assert told and all("\x1b" not in text and "‮" not in text for text in told)
    assert any(isinstance(tell, ContactChanged) for tell in b.told)


def test_closed_mesh_is_silent_to_others(world: World) -> None:
    """Without the passphrase not one byte comes back; with it all works."""
    key = closed_mesh_key("only us")
    a, b = world.host("Aida", psk=key), world.host("Bolat", psk=key)
    prober = world.host("Prober")
    befriend(a, b)
    said: list[Host] = []
    world.meddle = lambda host, effect: (said.append(host), effect.frames)[1]
    world.link(prober, a)
    world.run(2)
    assert said == [prober]
    world.link(a, b)
    send(a, b, "inside")
    world.run(2)
    assert inbox(b, a) == ["inside"]


def test_receipts_can_be_off(world: World) -> None:
    """A reader who sends no receipts reads all the same; the author sees carried, never more."""
    a, b = world.host("Aida"), world.host("Bolat", receipts=False)
    befriend(a, b)
    world.link(a, b)
    message = send(a, b, "hello")
    world.run(120)
    assert inbox(b, a) == ["hello"]
    assert a.state(message) == State.CARRIED


def test_unknown_link_events_are_ignored(world: World) -> None:
    """Frames for a link that is gone do nothing."""
    a = world.host("Aida")
    assert not [e for e in a.handle(Received(99, (b"x" * 256,))) if isinstance(e, CloseLink)]


def test_class_sizes_on_the_wire_are_four() -> None:
    """Guards the constant that both custody and sealing rely on."""
    assert CLASS_SIZES_BYTES == (512, 2_048, 8_192, 32_768)


def test_a_spare_link_over_another_transport_is_closed_politely(world: World) -> None:
    """The better transport is kept, whichever comes first, and nobody counts an error."""
    for order in (("lan", "ble"), ("ble", "lan")):
        world = World()
        a, b = world.host("A"), world.host("B")
        for transport in order:
            world.link(a, b, transport=transport)
            world.run(1)
        for host in (a, b):
            status = host.node.status(world.now)
            assert [each.transport for each in status.neighbours] == ["lan"]
            assert set(status.counters) <= {"links_opened", "links_duplicate", "envelopes_stored"}


def test_mail_for_us_needs_no_room(world: World) -> None:
    """A store full of later mail from the same neighbour still takes what is for its owner, and
    that neighbour hears the same as for anybody's mail."""
    answers = []
    for recipient in (True, False):
        world = World()
        a, other = world.host("A"), world.host("Other")
        b = world.host("B", Limits(store_bytes=4_096, origin_share=1.0, small_reserve=0.0))
        befriend(a, b)
        befriend(a, other)
        message = send(a, b if recipient else other, "you have to know this")
        eid = a.store.message(message.id).eid  # type: ignore[union-attr]
        mallory = Mallory(world)
        mallory.dial(b)
        mallory.give(*[junk(number, world, life_h=199) for number in range(8)])
        world.run(1)
        mallory.heard.clear()
        mallory.give(a.store.envelope(eid).data)  # type: ignore[union-attr]
        world.run(2)
        assert inbox(b, a) == (["you have to know this"] if recipient else [])
        answers.append([kind for kind, _ in mallory.heard if kind != wire_link.PING])
        assert eid + b"\1" in mallory.bodies(wire_link.REFUSED)[0]  # full
        if recipient:
            world.run(100)
            world.meet(b, a, 10)
            assert a.state(message) == State.DELIVERED
    assert answers[0] == answers[1]


def test_what_found_no_room_is_not_asked_for_at_every_meeting(world: World) -> None:
    """A full node tells nothing about it and tries again after ten minutes, not before."""
    victim = world.host("Victim", Limits(store_bytes=1_024, origin_share=1.0, small_reserve=0.0))
    mallory = Mallory(world)
    late = [junk(number, world, life_h=199) for number in range(2)]
    early = junk(9, world, life_h=10)
    mallory.dial(victim)
    mallory.give(*late)
    world.run(1)
    asked = []
    for wait in (1, 30, 700):
        mallory.hang_up()
        world.run(wait)
        mallory.dial(victim)
        mallory.give(early)
        world.run(1)
        asked.append(envelope_id(early) in mallory.asked())
    assert asked == [True, False, True]
