"""Hostile neighbours and strangers: a true link, then anything. What people see stays true."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mallory import Mallory, Stranger, have, junk, silence, totals_match
from world import Host, World

from meshchat.core import link as wire_link
from meshchat.core.body import BodyType
from meshchat.core.envelope import done_of, envelope_id
from meshchat.core.events import (
    AddContact,
    Block,
    ContactChanged,
    Introduce,
    JoinRoom,
    Send,
)
from meshchat.core.hello import make_hello, read_hello
from meshchat.core.identity import Card, card_text, public_room_key
from meshchat.core.limits import (
    CLASS_SIZES_BYTES,
    HOLD_S,
    INTRODUCED_MAX,
    REQUEST_MESSAGES_MAX,
    REQUESTS_MAX,
    Limits,
)
from meshchat.core.model import (
    Fate,
    Held,
    Kind,
    Message,
    State,
    Trust,
    contact_chat,
    hint_of,
    room_chat,
)
from meshchat.core.offering import IDS_REMEMBERED_MAX
from meshchat.core.wire import (
    PROOF_HINT,
    write_credit,
    write_digest,
    write_offers,
    write_part,
    write_proof,
    write_refusals,
    write_wants,
)
from meshchat.errors import QuotaError, UsageError
from meshchat.text import Clean

DAY = 86_400.0


@pytest.fixture
def world() -> World:
    return World()


def befriend(one: Host, other: Host) -> None:
    one.do(AddContact(other.node.card_text()))
    other.do(AddContact(one.node.card_text()))


def pair(world: World) -> tuple[Host, Host]:
    """Two friends."""
    a, b = world.host("Aida"), world.host("Bolat")
    befriend(a, b)
    world.run(1)
    return a, b


def send(host: Host, to: Host, text: str) -> Message:
    message = host.do(Send(contact_chat(to.node.fp), text))
    assert isinstance(message, Message)
    return message


def inbox(host: Host, sender: Host) -> list[str]:
    messages = host.store.messages(contact_chat(sender.node.fp))
    return [message.text for message in messages if not message.outgoing]


def counters(host: Host) -> dict[str, int]:
    return host.node.status(host.world.now).counters


def envelope_of(host: Host, message: Message) -> Held:
    stored = host.store.message(message.id)
    assert stored is not None
    held = host.store.envelope(stored.eid)
    assert held is not None
    return held


# --- any records at all ------------------------------------------------------------------------

number = st.integers(0, 11)
kinds = st.sampled_from([*range(6), *range(14, 27), 127, 128, 255])
some_id = number.map(lambda n: bytes([n]) * 16)
hints = st.one_of(st.none(), st.sampled_from([0, 0x4000, 0x8000, 0xC000, 0xF7FF, PROOF_HINT]))
"""What a HAVE says of all its ids; None: the truth."""
step = st.one_of(
    st.tuples(st.just("garbage"), kinds, st.binary(max_size=64)),
    st.tuples(st.just("have"), st.lists(number, min_size=1, max_size=6), hints),
    st.tuples(st.just("have_theirs")),
    st.tuples(
        st.just("want"),
        st.lists(st.tuples(number, st.integers(0, 600), st.booleans()), min_size=1),
    ),
    st.tuples(st.just("part"), number, st.integers(0, 600), st.sampled_from(CLASS_SIZES_BYTES)),
    st.tuples(st.just("serve"), number),
    st.tuples(st.just("answer"), st.sampled_from(["stored", "refused"]), number),
    st.tuples(st.just("proof"), number, st.integers(0, 2**32 - 1)),
    st.tuples(st.just("credit"), st.sampled_from([0, 1, 512, 70_000, 2**32 - 1])),
    st.tuples(st.just("digest"), st.booleans(), st.integers(0, 50)),
    st.tuples(st.just("hello"), st.integers(0, 3)),
    st.tuples(st.just("next"), st.integers(0, 1), st.booleans()),
    st.tuples(st.just("wait"), st.sampled_from([0.01, 1.0, 16.0, 61.0, 700.0])),
    st.tuples(st.just("redial"), st.sampled_from([256, 1_024, 16_384])),
)


class Scene:
    """A victim with a friend, a message on its way, and Mallory on a link."""

    def __init__(self) -> None:
        self.world = world = World()
        self.a, self.b = pair(world)
        self.message = send(self.a, self.b, "true words")
        self.held = envelope_of(self.a, self.message)
        self.mallory = Mallory(world)
        self.mallory.dial(self.a)
        self.pool = [self.held.data, *(junk(n, world, n % 4 if n % 3 else 0) for n in range(11))]
        self.ids = [envelope_id(data) for data in self.pool]
        self.hints = [hint_of(data[1], data) for data in self.pool]
        self.seen = self.view()

    def view(self) -> object:
        return (self.a.texts(contact_chat(self.b.node.fp)), self.a.store.contacts())

    def play(self, move: tuple[object, ...]) -> None:
        what, *args = move
        mallory, ids = self.mallory, self.ids
        if what == "wait":
            self.world.run(args[0])  # type: ignore[arg-type]
            return
        if what == "redial" or mallory.link is None or not mallory.links:
            mallory.hang_up()
            mallory.dial(self.a, args[0] if what == "redial" else 16_384)  # type: ignore[arg-type]
        if mallory.link is None:  # the victim has had enough of us for a minute
            self.world.run(60)
        elif what == "redial":
            return
        elif what == "serve":
            data = self.pool[args[0]]  # type: ignore[call-overload]
            part = write_part(envelope_id(data), 0, len(data), data[: mallory.link.max_record - 20])
            mallory.say((wire_link.PART, part))
        else:
            mallory.say(self.record(str(what), args, ids))

    def record(self, what: str, args: list, ids: list[bytes]) -> tuple[int, bytes]:  # type: ignore[type-arg]
        link = self.mallory.link
        assert link is not None
        match what:
            case "garbage":
                return args[0], args[1]
            case "have":
                hints = [self.hints[n] if args[1] is None else args[1] for n in args[0]]
                offered = [ids[n] for n in args[0]]
                return wire_link.HAVE, write_offers(list(zip(offered, hints, strict=True)))
            case "have_theirs":
                theirs = [(self.held.eid, 0), (self.held.done, PROOF_HINT)]
                return wire_link.HAVE, write_offers(theirs)
            case "want":
                return wire_link.WANT, write_wants([(ids[n], *how) for n, *how in args[0][:12]])
            case "part":
                return wire_link.PART, write_part(ids[args[0]], args[1], args[2], b"x" * 100)
            case "answer":
                if args[0] == "stored":
                    return wire_link.STORED, ids[args[1]]
                return wire_link.REFUSED, write_refusals([(ids[args[1]], 1 + args[1] % 5)])
            case "proof":
                return wire_link.PROOF, write_proof(bytes([args[0]]) * 16, args[1])
            case "credit":
                return wire_link.CREDIT, write_credit(args[0])
            case "digest":
                digest = self.mallory.bodies(wire_link.DIGEST)
                if args[0] and digest:
                    return wire_link.DIGEST, digest[0]
                return wire_link.DIGEST, write_digest(bytes(12), args[1])
            case "hello":
                body = make_hello((), link.handshake_hash, True, bytes(32), self.mallory.entropy)
                return wire_link.HELLO, body[: len(body) - args[0] // 3]
            case _:
                return self.mallory.next(args[0]) if args[1] else (wire_link.NEXT, b"\x01\x01")


@given(st.lists(step, max_size=25))
@settings(max_examples=150, deadline=None)
def test_any_records(moves: list[tuple[object, ...]]) -> None:
    """Whatever a linked stranger says: no exception, no lie, no endless timer, and mail moves."""
    scene = Scene()
    for move in moves:
        scene.play(move)
        assert silence(scene.a, scene.world)
        assert totals_match(scene.a)
        peers = scene.a.node._neighbours._peers.values()
        assert len(peers) <= 1
        for peer in peers:
            if peer.sync is not None:
                asking = peer.sync._asking
                assert len(asking._wants) <= 2_048 and len(asking._asked) <= 1_024
    found = scene.a.store.message(scene.message.id)
    assert found is not None and found.state in (State.QUEUED, State.CARRIED)
    assert scene.view() == scene.seen or found.state is State.CARRIED
    scene.mallory.hang_up()
    scene.world.meet(scene.a, scene.b, 20)
    assert inbox(scene.b, scene.a) == ["true words"]
    assert scene.a.state(scene.message) == State.DELIVERED


@pytest.mark.parametrize("mtu", [256, 1_024])
def test_many_answers_on_a_narrow_link(world: World, mtu: int) -> None:
    """More verdicts in one step than a narrow link has room for in one record: sent as several."""
    a, _ = pair(world)
    mallory = Mallory(world)
    mallory.dial(a, mtu=mtu)
    envelopes = [junk(n, world) for n in range(120)]
    ids = [envelope_id(data) for data in envelopes]
    for at in range(0, 120, 10):
        mallory.say(have(*ids[at : at + 10]))
    assert set(mallory.asked()) == set(ids)
    for eid, data in zip(ids, envelopes, strict=True):
        mallory.stock[eid] = data
        mallory._serve(eid, 0)
    mallory.say()
    assert sum(len(body) // 16 for body in mallory.bodies(wire_link.STORED)) == 120
    assert len(a.links) == 1


# --- transfers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("claimed", "given"), [(32_768, 400), (32_768, 5_000), (512, 400)])
def test_poisoned_beginning(world: World, claimed: int, given: int) -> None:
    """False first bytes of an envelope cost honest neighbours neither the link nor the envelope."""
    a, b = pair(world)
    carrier = world.host("Carrier")
    eid = envelope_of(b, send(b, a, "poisoned?")).eid
    world.meet(b, carrier)
    mallory = Mallory(world)
    mallory.dial(a)
    mallory.say(have(eid))
    mallory.say((wire_link.PART, write_part(eid, 0, claimed, b"\x01" * given)))
    mallory.hang_up()
    assert a.store.partials() == [eid]
    world.link(carrier, a)
    world.run(3)
    assert inbox(a, b) == ["poisoned?"]
    assert len(a.links) == len(carrier.links) == 1
    assert a.store.partials() == []


def test_poisoned_receipt(world: World) -> None:
    """The same with the id of a receipt: it still comes through, and the link stays."""
    a, b = pair(world)
    carrier = world.host("Carrier")
    message = send(a, b, "hi")
    done = envelope_of(a, message).done
    world.meet(a, carrier)
    world.link(carrier, b)
    world.run(70)
    mallory = Mallory(world)
    mallory.dial(a)
    mallory.say(have(done, hint=PROOF_HINT))
    mallory.say((wire_link.PART, write_part(done, 0, 512, b"\x01" * 400)))
    mallory.hang_up()
    world.link(carrier, a)
    world.run(3)
    assert a.state(message) == State.DELIVERED
    assert len(a.links) == 1


def test_lie_without_a_poisoned_beginning_ends_the_link(world: World) -> None:
    """Whoever sends all of an envelope that is not what its id says is cut off."""
    a, _ = pair(world)
    mallory = Mallory(world)
    mallory.dial(a)
    mallory.stock[b"\x07" * 16] = junk(1, world)
    mallory.say(have(b"\x07" * 16))
    assert counters(a)["id_mismatch"] == 1
    assert not a.links


def test_hostage(world: World) -> None:
    """A neighbour that trickles what it was asked for keeps nothing from coming another way."""
    a, b = pair(world)
    eids = [envelope_of(b, send(b, a, f"hostage {n}")).eid for n in range(5)]
    mallory = Mallory(world)
    mallory.dial(a)
    mallory.say(have(*eids))
    assert set(mallory.asked()) == set(eids)
    world.link(b, a)
    sent = 0
    while sent < 2 * HOLD_S:
        part = write_part(eids[0], int(sent // 10), 512, b"\x01")
        mallory.say((wire_link.PART, part))
        world.run(10)
        sent += 10
    assert sorted(inbox(a, b)) == [f"hostage {n}" for n in range(5)]
    assert totals_match(a)


def test_late_second_copy(world: World) -> None:
    """The copy that comes last of two is refused and counted nowhere."""
    a, b = pair(world)
    held = envelope_of(b, send(b, a, "twice"))
    mallory = Mallory(world)
    mallory.dial(a)
    mallory.say(have(held.eid))
    for at in range(7):
        mallory.say((wire_link.PART, write_part(held.eid, at, 512, held.data[at : at + 1])))
        world.run(10)
    world.link(b, a)
    world.run(2)
    assert inbox(a, b) == ["twice"]
    mallory.say((wire_link.PART, write_part(held.eid, 7, 512, held.data[7:])))
    assert mallory.bodies(wire_link.REFUSED) == [held.eid + b"\x04"]
    assert inbox(a, b) == ["twice"] and totals_match(a)
    assert not a.node._neighbours._transfers.from_link


def test_receipt_that_crosses_a_request(world: World) -> None:
    """Asked for, and given unasked before the question came: the late refusal is no crime."""
    a, b = pair(world)
    message = send(a, b, "hi")
    token = bytes(range(16))
    mallory = Mallory(world)
    mallory.dial(a)
    mallory.say(have(done_of(token), hint=PROOF_HINT))
    assert set(mallory.asked()) == {done_of(token)}
    exp_h = int(world.wall // 3_600) + 50
    refusal = write_refusals([(done_of(token), 4)])
    mallory.say((wire_link.PROOF, write_proof(token, exp_h)), (wire_link.REFUSED, refusal))
    assert len(a.links) == 1 and a.store.proof(done_of(token)) is not None
    mallory.say((wire_link.REFUSED, write_refusals([(bytes(16), 4)])))
    assert not a.links and a.state(message) == State.QUEUED


def test_memory_of_one_link_is_bounded(world: World) -> None:
    """Receipts nobody asked for, for hours: what we remember of the neighbour has a cap."""
    a, _ = pair(world)
    mallory = Mallory(world)
    mallory.dial(a)
    (peer,) = a.node._neighbours._peers.values()
    assert peer.sync is not None
    for n in range(IDS_REMEMBERED_MAX + 2_000):
        peer.sync.record(wire_link.PROOF, write_proof(n.to_bytes(16, "little"), 1), world.now)
    assert len(peer.sync._offering._theirs) <= IDS_REMEMBERED_MAX + 1


def test_cut_transfers_are_bounded(world: World) -> None:
    """Beginning a thousand transfers and hanging up leaves a handful of beginnings."""
    a, _ = pair(world)
    mallory = Mallory(world)
    for turn in range(4):
        mallory.dial(a)
        ids = [bytes([turn]) + n.to_bytes(15, "little") for n in range(400)]
        mallory.say(have(*ids))
        for eid in ids:
            mallory.say((wire_link.PART, write_part(eid, 0, 512, b"x" * 50)))
        mallory.hang_up()
    assert len(a.node._neighbours._transfers.partials) == len(a.store.partials()) <= 16


def test_twenty_thousand_known_ids(world: World) -> None:
    """Two friends who remember far more ids than a link's budget still finish comparing them."""
    a, b = pair(world)
    exp_h = int(world.wall // 3_600) + 100
    ids = [n.to_bytes(16, "little") for n in range(20_000)]
    for host, origin in ((a, b""), (b, b"x" * 8)):
        with host.store.transaction():
            host.store.add_envelopes(
                (Held(eid, 0, exp_h, eid, bytes(512), origin, Kind.MINE) for eid in ids), 0.0
            )
            if host is a:  # knows them all, and offers none
                host.store.drop_envelopes(ids, Fate.EVICTED)
        host.crash()
    world.link(a, b)
    world.run(60)
    assert "link_budget" not in counters(a) and "link_budget" not in counters(b)
    assert len(a.links) == 1


def test_budgets_widen_once(world: World) -> None:
    """Being a contact is worth ten times a stranger, however often it is said."""
    a, b = pair(world)
    world.link(a, b)
    world.run(1)
    (peer,) = a.node._neighbours._peers.values()
    assert peer.sync is not None and peer.contact == b.node.fp
    assert peer.sync._asking._envelopes.burst == Limits().envelopes_burst * 10


# --- links -------------------------------------------------------------------------------------


def test_link_without_hello_is_ended(world: World) -> None:
    """A peer that never greets but pings holds no slot."""
    a, _ = pair(world)
    mallory = Mallory(world)
    mallory.dial(a, hello=False)
    for _ in range(6):
        mallory.say((wire_link.PING, bytes(8)))
        world.run(4)
    assert not a.links and counters(a)["hello_timeout"] == 1


def test_known_on_a_new_link_while_the_old_one_hangs(world: World) -> None:
    """Who comes back after a restart is recognised by both, although the dead link still stands."""
    a, b = pair(world)
    world.link(a, b)
    world.run(1)
    b.node = b._start()  # restarted: a was not told that the link is gone
    b.links.clear()
    world.link(b, a)
    world.run(2)
    assert [n.contact for n in b.node.status(world.now).neighbours] == [a.node.fp]
    message = send(b, a, "back")
    world.run(0.5)
    assert b.state(message) == State.DELIVERED


def test_crowd_on_one_radio(world: World) -> None:
    """Links from one address, then from many, leave us slots to dial a friend from."""
    a, b = pair(world)
    crowd = [Mallory(world, f"Sybil {n}") for n in range(40)]
    for one in crowd[:20]:
        one.name = "same"  # the name of a test host is its address
        world.link(one, a)  # type: ignore[arg-type]
        world.settle()
    assert len(a.links) == Limits().links_per_origin
    for one in crowd[20:]:
        world.link(one, a)  # type: ignore[arg-type]
        world.settle()
    assert len(a.links) == Limits().inbound_max
    message = send(b, a, "through the crowd")
    world.link(a, b)
    world.run(1)
    assert b.state(message) == State.DELIVERED


# --- who is the recipient? ----------------------------------------------------------------------


def test_no_question_finds_the_recipient(world: World) -> None:
    """Before its receipt is released, the recipient answers like any carrier, whatever is asked."""
    answers = []
    for recipient in (True, False):
        world = World()
        a, b = pair(world)
        other = world.host("Other")
        held = envelope_of(a, send(a, b, "where are you?"))
        victim = b if recipient else other
        giver, watcher = Mallory(world, "Giver"), Mallory(world, "Watcher")
        giver.dial(victim)
        watcher.dial(victim)
        giver.give(held.data)
        world.run(1)
        assert (inbox(b, a) == ["where are you?"]) is recipient
        copied = junk(1, world, done=held.done)
        watcher.stock[envelope_id(copied)] = copied
        watcher.say(
            (wire_link.HAVE, write_offers([(held.done, PROOF_HINT), (envelope_id(copied), 0)]))
        )
        world.run(1)
        assert victim.store.envelope(envelope_id(copied)), "taken, whatever its ``done``"
        watcher.say(watcher.next(), (wire_link.WANT, held.eid + bytes(2)))
        watcher.say(have(held.eid))
        world.run(1)
        answers.append(
            (
                set(giver.asked()),
                set(watcher.asked()),
                [len(body) for body in watcher.bodies(wire_link.PART)],
                [kind for kind, _ in watcher.heard if kind in (21, 22, 23)],
            )
        )
        world.run(70)
        if recipient:
            assert b.store.envelope(held.eid) is None
            assert b.store.fate(held.eid) is Fate.PROVEN
    assert answers[0] == answers[1]


def test_receipt_planned_before_a_crash(world: World) -> None:
    """It is released at its time on a link that was there before, and the copy goes then."""
    a, b = pair(world)
    carrier = world.host("Carrier")
    held = envelope_of(a, send(a, b, "hi"))
    world.meet(a, carrier)
    world.meet(carrier, b, 2)
    b.crash()
    assert inbox(b, a) == ["hi"] and b.store.fate(held.eid) is Fate.HELD
    world.link(carrier, b)
    world.run(70)
    assert b.store.fate(held.eid) is Fate.PROVEN
    assert carrier.store.fate(held.eid) is Fate.PROVEN


def test_copied_done_is_dropped_too(world: World) -> None:
    """One receipt frees every envelope with that ``done``, and the message is delivered once."""
    a, b = pair(world)
    carrier = world.host("Carrier")
    message = send(a, b, "hi")
    held = envelope_of(a, message)
    mallory = Mallory(world)
    mallory.dial(carrier)
    copied = junk(1, world, done=held.done)
    mallory.give(copied)
    world.meet(a, carrier)
    for data in (held.data, copied):
        assert carrier.store.fate(envelope_id(data)) is Fate.HELD
    world.link(carrier, b)
    world.run(70)
    for data in (held.data, copied):
        assert carrier.store.fate(envelope_id(data)) is Fate.PROVEN
    world.meet(carrier, a)
    assert a.state(message) == State.DELIVERED
    assert totals_match(a) and totals_match(b) and totals_match(carrier)


# --- strangers ---------------------------------------------------------------------------------


def test_crowd_of_strangers(world: World) -> None:
    """A thousand new identities make at most so many requests; friends are still heard."""
    limits = Limits(envelopes_burst=5_000, origin_share=1.0)
    a, b = world.host("Aida", limits), world.host("Bolat")
    befriend(a, b)
    card = Card.decode(a.node.card_bytes())
    crowd = [Stranger(world, f"Crowd {n}") for n in range(REQUESTS_MAX + 30)]
    mallory = Mallory(world)
    mallory.dial(a)
    mallory.give(*(one.dm(card, "buy") for one in crowd))
    world.run(10)
    requests = [contact for contact in a.store.contacts() if contact.request]
    assert len(requests) == REQUESTS_MAX
    assert counters(a)["requests_full"] == 30
    assert a.node.status(world.now).custody.mine == 0  # what strangers send is never pinned
    world.link(a, b)
    send(b, a, "hello")
    world.run(1)
    assert inbox(a, b) == ["hello"]
    a.do(Block(requests[0].fp))
    world.run(5)
    assert sum(contact.request for contact in a.store.contacts()) == REQUESTS_MAX + 1
    assert totals_match(a)


def test_talkative_stranger(world: World) -> None:
    """A stranger gets so many messages into a request and no more."""
    a, _ = pair(world)
    card = Card.decode(a.node.card_bytes())
    one = Stranger(world, "Talker")
    mallory = Mallory(world)
    mallory.dial(a)
    mallory.give(*(one.dm(card, f"{n}") for n in range(REQUEST_MESSAGES_MAX + 10)))
    world.run(5)
    assert len(a.texts(contact_chat(one.identity.fp))) == REQUEST_MESSAGES_MAX


def test_malformed_mail_is_not_pinned(world: World) -> None:
    """What opens but makes no sense can be pushed out like anything carried."""
    a, _ = pair(world)
    card = Card.decode(a.node.card_bytes())
    one = Stranger(world, "Odd")
    mallory = Mallory(world)
    mallory.dial(a)
    mallory.give(*(one.dm(card, "x", raw=bytes([n])) for n in range(5)))
    world.run(2)
    custody = a.node.status(world.now).custody
    assert (custody.mine, custody.carried, custody.untried) == (0, 5, 0)
    assert a.store.contact(one.identity.fp) is None


@given(raw=st.binary(max_size=300), kind=st.sampled_from([0, 1, 2, 3, 9]), friend=st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_content(raw: bytes, kind: int, friend: bool) -> None:
    """Any bytes sealed to us properly, by a friend or a stranger: no exception, nobody new."""
    world = World()
    a, _ = pair(world)
    author = Stranger(world, "Author")
    if friend:
        a.do(AddContact(_text(author)))
    people = {contact.fp for contact in a.store.contacts()} | {author.identity.fp}
    mallory = Mallory(world)
    mallory.dial(a)
    card = Card.decode(a.node.card_bytes())
    forged = bytes([kind]) + bytes(8) + raw[:4].ljust(4, b"!") + bytes(2) + b"\x03\xc5" + bytes(197)
    mallory.give(author.dm(card, "x", raw=bytes([kind]) + raw), author.dm(card, "x", raw=forged))
    world.run(1)
    assert {contact.fp for contact in a.store.contacts()} <= people
    assert len(a.links) == 1 and totals_match(a) and silence(a, world)
    assert a.node.status(world.now).custody.untried == 0


def test_introductions_of_those_we_do_not_trust(world: World) -> None:
    """Neither a stranger nor a replaced key brings people; a blocked stranger stays blocked."""
    a, b = pair(world)
    third = Stranger(world, "Third")
    card = Card.decode(a.node.card_bytes())
    mallory = Mallory(world)
    mallory.dial(a)
    stranger = Stranger(world, "Stranger")
    mallory.give(stranger.dm(card, "", BodyType.INTRODUCTION, third.card.encode()))
    world.run(1)
    assert {contact.fp for contact in a.store.contacts()} == {b.node.fp}

    mallory.give(third.dm(card, "let me in"))
    world.run(1)
    a.do(Block(third.identity.fp))
    c = world.host("Chingiz")
    befriend(b, c)
    b.do(AddContact(_text(third)))
    world.link(a, b)
    b.do(Introduce(a.node.fp, third.identity.fp))
    world.run(3)
    found = a.store.contact(third.identity.fp)
    assert found is not None and found.blocked and found.request

    new = world.host("Bolat")
    a.do(AddContact(new.node.card_text(), replaces=b.node.fp))
    b.do(Introduce(a.node.fp, c.node.fp))
    world.run(3)
    assert a.store.contact(c.node.fp) is None


def _text(stranger: Stranger) -> str:
    return card_text(stranger.card.encode(), stranger.name)


def test_friend_who_brings_crowds(world: World) -> None:
    """One friend's introductions are bounded."""
    a, b = pair(world)
    people = a.node._people
    by = people.need(b.node.fp)
    with a.store.transaction():
        for n in range(INTRODUCED_MAX):
            people.introduced(Stranger(world, f"P{n}").card, a.node.name, by, world.now)
        with pytest.raises(QuotaError, match="introductions full"):
            people.introduced(Stranger(world, "last").card, a.node.name, by, world.now)


def test_replaced_key_gets_no_receipt(world: World) -> None:
    """Mail under a key we were told is old is shown there, but never confirmed."""
    a, b = pair(world)
    new = world.host("Bolat")
    a.do(AddContact(new.node.card_text(), replaces=b.node.fp))
    world.link(a, b)
    message = send(b, a, "still me")
    world.run(90)
    assert inbox(a, b) == ["still me"]
    assert b.state(message) == State.CARRIED


def test_name_in_a_message_is_learnt(world: World) -> None:
    """The name a friend now claims arrives with the message, beside our own name for them."""
    a, b = pair(world)
    world.link(a, b)
    world.run(1)
    b.node._people.name = Clean("Боля")  # not by SetName, which would announce it
    send(b, a, "hi")
    world.run(1)
    contact = a.store.contact(b.node.fp)
    assert contact is not None
    assert (contact.claimed, contact.petname, contact.trust) == ("Боля", "Bolat", Trust.UNVERIFIED)
    assert any(isinstance(tell, ContactChanged) for tell in a.told)


# --- a full store ------------------------------------------------------------------------------


def test_totals_when_newcomers_push_each_other_out(world: World) -> None:
    """Many arrivals in one step that evict each other leave totals and timers true."""
    limits = Limits(store_bytes=40_960, origin_share=0.5)
    a, b = world.host("Aida", limits), world.host("Bolat")
    befriend(a, b)
    mallory = Mallory(world)
    mallory.dial(a)
    envelopes = [junk(n, world, life_h=20 + n) for n in range(120)]
    ids = [envelope_id(data) for data in envelopes]
    mallory.say(have(*ids))
    for eid, data in zip(ids, envelopes, strict=True):
        mallory.stock[eid] = data
        mallory._serve(eid, 0)
    mallory.say()
    assert totals_match(a)
    world.run(2)
    assert totals_match(a) and silence(a, world)
    assert a.node.status(world.now).custody.untried == 0
    few = [junk(1_000 + n, world, life_h=180 + n) for n in range(6)]
    mallory.give(*few)
    world.run(1)
    assert totals_match(a)
    assert a.node.status(world.now).custody.size_bytes <= 40_960


def test_crowd_fills_the_store(world: World) -> None:
    """Floods with the longest life fill a store together; a quiet neighbour's mail still goes."""
    relay = world.host("Relay", Limits(store_bytes=102_400))
    a, b = pair(world)
    for turn in range(12):
        mallory = Mallory(world, f"Sybil {turn}")
        mallory.dial(relay)
        mallory.give(*(junk(100 * turn + n, world, life_h=199) for n in range(25)))
        world.run(2)
        mallory.hang_up()
    assert relay.node.status(world.now).custody.size_bytes > 102_400 - 512
    message = send(a, b, "through the crowd")
    world.meet(a, relay)
    assert a.state(message) == State.CARRIED
    world.meet(relay, b)
    assert inbox(b, a) == ["through the crowd"]
    assert totals_match(relay)


def test_blocking_works_with_a_full_outbox(world: World) -> None:
    """Whatever waits, a person can be blocked, and it is still so after a crash."""
    a, b = world.host("Aida", Limits(store_bytes=40_960)), world.host("Bolat")
    befriend(a, b)
    with pytest.raises(UsageError):
        for n in range(100):
            send(a, b, f"{n}")
    a.do(Block(b.node.fp))
    a.crash()
    contact = a.store.contact(b.node.fp)
    assert contact is not None and contact.blocked
    assert totals_match(a)


def test_half_an_introduction_is_none(world: World) -> None:
    """If the second message has no room, the first is not offered, shown or counted."""
    a, b = world.host("Aida", Limits(store_bytes=40_960)), world.host("Bolat")
    c = world.host("Chingiz")
    befriend(a, b)
    befriend(a, c)
    world.link(a, c)
    world.run(1)
    room = 40_960 // 4 - a.node._custody._totals.own
    size = envelope_of(a, send(a, b, "x" * 300)).size_class  # an introduction is as large
    each = CLASS_SIZES_BYTES[size]
    for _ in range(room // each - 2):
        send(a, b, "x" * 300)
    before = a.store.chats(), a.node.status(world.now).custody
    with pytest.raises(UsageError, match="waiting to be carried"):
        a.do(Introduce(b.node.fp, c.node.fp))
    assert before == (a.store.chats(), a.node.status(world.now).custody)
    assert totals_match(a) and not a.node._chats.sealer.sealed


def test_one_bad_message_holds_up_no_other(world: World) -> None:
    """A waiting message that cannot be sealed does not keep those behind it from going."""
    a, b = pair(world)
    world.run(12 * DAY)
    fresh = b.node.card_text()
    bad = send(a, b, "bad")
    good = send(a, b, "good")
    with a.store.transaction():
        a.store._db.write("UPDATE messages SET text = '' WHERE id = ?", bad.id)
    a.do(AddContact(fresh))
    world.meet(a, b)
    assert inbox(b, a) == ["good"]
    assert a.state(good) == State.DELIVERED


@pytest.mark.parametrize(
    "text",
    ["\x00", "\u200b\u200b", "\x1b\x07", "\u0958" * 2_333],
    ids=["nul", "blank", "escape", "longer_in_nfc"],
)
def test_text_that_is_nothing_when_clean(world: World, text: str) -> None:
    """Refused at once, never stored to fail later: also where no key is known yet."""
    a, b = pair(world)
    world.run(12 * DAY)
    with pytest.raises(UsageError):
        send(a, b, text)
    assert a.store.pending() == []


# --- clocks and cards --------------------------------------------------------------------------


def test_written_in_1970(world: World) -> None:
    """A message written before the clock was set does not expire when it is set."""
    a, b = pair(world)
    world.wall -= 50 * 365 * DAY
    message = send(a, b, "what year is it?")
    world.wall += 50 * 365 * DAY
    world.run(1_300)
    assert a.state(message) != State.FAILED
    world.meet(a, b, 20)
    assert inbox(b, a) == ["what year is it?"]
    assert a.state(message) == State.DELIVERED


def test_written_next_year(world: World) -> None:
    """A post written while our clock was ahead is sealed again when it is right, and goes."""
    a, b = pair(world)
    room_key = public_room_key("x")
    rooms = [host.do(JoinRoom("x", room_key, False)) for host in (a, b)]
    chat = room_chat(rooms[0].rid)  # type: ignore[attr-defined]
    world.wall += 365 * DAY
    message = a.do(Send(chat, "what year is it?"))
    assert isinstance(message, Message)
    world.wall -= 365 * DAY
    world.run(1_300)
    world.meet(a, b, 20)
    assert b.texts(chat) == ["what year is it?"]
    stored = a.store.message(message.id)
    assert stored is not None and stored.state is State.CARRIED
    assert world.wall < stored.expires_at < world.wall + 8 * DAY


def test_what_a_wrong_clock_refused_is_asked_for_again(world: World) -> None:
    """Mail seems to be of the future until the clock is set; nothing is offered twice on a link."""
    a, b = pair(world)
    send(b, a, "six o'clock")
    world.wall -= 9 * DAY
    link, _ = world.link(a, b)
    world.run(20)
    assert link in a.links and inbox(a, b) == []
    world.wall += 9 * DAY
    world.run(20)
    assert link not in a.links
    world.meet(a, b)
    assert inbox(a, b) == ["six o'clock"]


def test_late_mail_does_not_bring_an_old_card_back(world: World) -> None:
    """Cards of one hour have an order: after a block, mail sent before it undoes nothing."""
    a, b = pair(world)
    other = Stranger(world, "Nuisance")
    early = envelope_of(b, send(b, a, "sent before"))
    b.do(AddContact(_text(other)))
    b.do(Block(other.identity.fp))
    late = envelope_of(b, send(b, a, "sent after"))
    mallory = Mallory(world)
    mallory.dial(a)
    mallory.give(late.data)
    mallory.give(early.data)
    world.run(2)
    assert sorted(inbox(a, b)) == ["sent after", "sent before"]
    contact = a.store.contact(b.node.fp)
    assert contact is not None and contact.card == b.node.card_bytes()


# --- rooms, replays ------------------------------------------------------------------------------


def test_replay_after_restart(world: World) -> None:
    """Everything recorded on a link and played again, before and after a restart, shows once."""
    a, b = pair(world)
    room_key = public_room_key("x")
    rooms = [host.do(JoinRoom("x", room_key, False)) for host in (a, b)]
    chat = room_chat(rooms[0].rid)  # type: ignore[attr-defined]
    a.do(Send(chat, "to all"))
    send(a, b, "to one")
    recorded = [a.store.envelope(eid) for eid, _ in a.store.offered(0)]
    envelopes = [held.data for held in recorded if held is not None]
    for _ in range(3):
        mallory = Mallory(world)
        mallory.dial(b)
        mallory.give(*envelopes)
        world.run(90)
        mallory.hang_up()
        b.crash()
    assert inbox(b, a) == ["to one"] and b.texts(chat) == ["to all"]
    assert totals_match(b)


def test_stranger_hello_is_anonymous(world: World) -> None:
    """Tags of one link mean nothing on another: a repeated HELLO makes nobody a contact."""
    a, b = pair(world)
    b_hello: list[bytes] = []
    world.link(b, a)
    world.run(1)
    (peer,) = a.node._neighbours._peers.values()
    b_hello += peer.hellos
    assert read_hello(b_hello[0], a.node._people.pairs(), peer.link.handshake_hash, False)
    world.cut_link(b, next(iter(b.links)))
    world.settle()
    mallory = Mallory(world)
    mallory.dial(a, hello=False)
    mallory.say((wire_link.HELLO, b_hello[0]))
    assert [n.contact for n in a.node.status(world.now).neighbours] == [b""]


def test_guessed_receipts(world: World) -> None:
    """Tokens that fit nothing confirm nothing."""
    a, b = pair(world)
    message = send(a, b, "hi")
    mallory = Mallory(world)
    mallory.dial(a)
    exp_h = int(world.wall // 3_600) + 50
    for n in range(1_000):
        mallory.say((wire_link.PROOF, write_proof(n.to_bytes(16, "big"), exp_h)))
    assert a.state(message) == State.QUEUED
    held = envelope_of(a, message)
    mallory.say((wire_link.PROOF, write_proof(held.done, exp_h)))
    assert a.state(message) == State.QUEUED
    assert silence(a, world)
