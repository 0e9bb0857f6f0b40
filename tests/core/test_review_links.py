"""What a hostile review of links, shelf and answers found: each of these failed once."""

from collections import deque

import pytest
from filetool import befriend, chunks, content, friends_and_carrier, give, now_of, whole
from hypothesis import given, settings
from hypothesis import strategies as st
from mallory import Mallory, have, junk, silence
from test_node import inbox, send
from world import Host, World

from meshchat.core import link as wire_link
from meshchat.core.envelope import envelope_id
from meshchat.core.events import Introduce, Received
from meshchat.core.limits import (
    HAVE_IDS_MAX,
    HOLD_S,
    NEIGHBOURS_REMEMBERED_MAX,
    WANTS_OPEN_MAX,
    Limits,
)
from meshchat.core.model import Fate, Held, Kind, State
from meshchat.core.shelf import BULK_RANK, Shelf, rank_of
from meshchat.core.wire import PROOF_HINT, Refusal, write_offers, write_part, write_refusals
from meshchat.errors import UsageError


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def three(world: World) -> tuple[Host, Host, Host]:
    """Aida and Bolat are friends; a stranger carries."""
    return friends_and_carrier(world)


def eid(number: int) -> bytes:
    return number.to_bytes(16, "big")


# --- the shelf -----------------------------------------------------------------------------------


def test_numbers_are_used_again() -> None:
    """One old envelope and a flood that comes and goes: no more numbers than things on offer."""
    shelf = Shelf()
    shelf.add(eid(0), 0)
    for n in range(1, 40_000):
        shelf.add(eid(n), 0)
        shelf.learn(b"neighbour", [eid(n)])
        shelf.remove([eid(n)])
    assert len(shelf._ids) == len(shelf._hints) < 10_000
    assert shelf._known[b"neighbour"].bit_length() < 10_000
    assert list(shelf.missing(b"neighbour").items()) == [(eid(0), 0)]


def test_neighbours_remembered_are_bounded() -> None:
    """A link that outlives what is known of its peer does not add to what is remembered."""
    shelf = Shelf()
    shelf.add(eid(0), 0)
    for n in range(4 * NEIGHBOURS_REMEMBERED_MAX):
        shelf.missing(eid(n))
        shelf.learn(eid(1_000_000 + n // 50), [eid(0)])
    shelf.missing(b"last")
    assert len(shelf._known) <= NEIGHBOURS_REMEMBERED_MAX


_IDS = st.lists(st.integers(0, 40), max_size=12)
_HINTS = (PROOF_HINT, 0, 1 << 14, 3 << 14 | 6 << 11 | 5, 2 << 14 | 3 << 11 | 9, 2 << 14 | 3 << 11)


def hint(number: int) -> int:
    return _HINTS[number % len(_HINTS)]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.integers(0, 40)),
            st.tuples(st.just("remove"), _IDS),
            st.tuples(st.just("renew"), _IDS),
            st.tuples(st.sampled_from(("learn x", "learn y")), _IDS),
            st.tuples(st.just("gave"), _IDS),
        ),
        max_size=60,
    )
)
def test_nobody_is_known_to_have_what_nobody_said(moves: list[tuple[str, object]]) -> None:
    """Whatever comes and goes: all on offer is missing unless it was learnt, small things first.

    Of bulk, what was given to nobody goes before what was, and the chunks of one file together.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("meshchat.core.shelf._SPARE_NUMBERS", 0)
        _come_and_go(moves)


def _come_and_go(moves: list[tuple[str, object]]) -> None:
    shelf = Shelf()
    live: set[int] = set()
    learnt: dict[bytes, set[int]] = {b"x": set(), b"y": set()}
    while_live: dict[bytes, set[int]] = {b"x": set(), b"y": set()}
    given: set[int] = set()
    given_live: set[int] = set()
    for move, what in moves:
        ids = [what] if isinstance(what, int) else list(dict.fromkeys(what))  # type: ignore[call-overload]
        if move == "add":
            shelf.add(eid(ids[0]), hint(ids[0]))
            live |= set(ids)
        elif move == "remove":
            shelf.remove(map(eid, ids))
            live -= set(ids)
        elif move == "renew":
            shelf.renew((eid(n), hint(n)) for n in ids)
            live = set(ids)
        elif move == "gave":
            shelf.gave(map(eid, ids))
            given |= set(ids)
            given_live |= set(ids) & live
        else:
            shelf.learn(move[-1:].encode(), list(map(eid, ids)))
            learnt[move[-1:].encode()] |= set(ids)
            while_live[move[-1:].encode()] |= set(ids) & live
        given_live &= live
        for key in (b"x", b"y"):
            while_live[key] &= live
            missing = list(shelf.missing(key).items())
            numbers = [int.from_bytes(each, "big") for each, _ in missing]
            assert [one for _, one in missing] == [hint(n) for n in numbers]
            ranks = [rank_of(one) for _, one in missing]
            assert ranks == sorted(ranks)
            for sure in (given_live, live - given):
                bulk = [n for n in numbers if n in sure and rank_of(hint(n)) >= BULK_RANK]
                assert bulk == sorted(bulk, key=lambda n: (rank_of(hint(n)), hint(n)))
            order = [
                (rank_of(hint(n)), n in given_live)
                for n in numbers
                if rank_of(hint(n)) >= BULK_RANK and (n in given_live or n not in given)
            ]
            assert order == sorted(order)
            found = set(numbers)
            assert live - learnt[key] <= found <= live - while_live[key]


# --- wrong knowledge -----------------------------------------------------------------------------


def test_a_receipt_lost_with_the_link_is_offered_again() -> None:
    """Cut after any number of events while the receipt moves: the next meeting still delivers."""
    steps = 0
    while True:
        steps += 1
        world = World("lost receipt")
        a, b, c = friends_and_carrier(world)
        message = send(a, b, "hi")
        world.meet(a, c)
        world.meet(c, b)
        world.run(70)
        assert a.state(message) == State.CARRIED
        link, _ = world.link(a, b)
        taken = 0
        while taken < steps and world.inbox:
            host, event = world.inbox.popleft()
            host.handle(event)
            taken += 1
        world.inbox = deque(item for item in world.inbox if not isinstance(item[1], Received))
        world.cut_link(a, link)
        world.settle()
        done = a.state(message) == State.DELIVERED
        world.meet(a, b)
        assert a.state(message) == State.DELIVERED, steps
        if done:
            break
    assert steps > 5


def test_a_receipt_pushed_into_a_dead_link_is_offered_again(
    world: World, three: tuple[Host, Host, Host]
) -> None:
    """The author's link died unnoticed as its receipt left, and was still there at its release."""
    a, b, _ = three
    link, _ = world.link(a, b, supervised=True)
    world.run(1)
    message = send(a, b, "hi")
    held = a.store.envelope(now_of(a, message).eid)
    assert held is not None
    world.meddle = lambda host, effect: () if b.store.known([held.done]) else effect.frames
    world.run(70)  # released after 5 to 60 s
    world.meddle = None
    assert a.state(message) != State.DELIVERED and b.store.proof(held.done) is not None
    if link in a.links:
        world.cut_link(a, link)
    world.meet(a, b)
    assert a.state(message) == State.DELIVERED


def test_what_a_full_neighbour_refused_is_offered_again_later(world: World) -> None:
    """FULL is no knowledge: not even when the envelope went and came back meanwhile."""
    a = world.host("Aida")
    data = junk(1, world)
    giver, full = Mallory(world, "Giver"), Mallory(world, "Full")
    full.dial(a)
    giver.dial(a)
    giver.give(data)
    world.run(1)
    one = envelope_id(data)
    assert one in b"".join(full.bodies(wire_link.HAVE))
    full.say(full.next(), (wire_link.WANT, one + bytes(2)))
    assert full.bodies(wire_link.PART)
    full.say((wire_link.REFUSED, write_refusals([(one, Refusal.FULL)])))
    with a.store.transaction():
        a.node._custody.drop(one, Fate.EVICTED)
        a.node._custody.seek([one])
    giver.hang_up()
    giver.dial(a)
    giver.give(data)
    world.run(1)
    assert a.store.fate(one) is Fate.HELD and len(full.links) == 1
    full.hang_up()
    full.dial(a)
    world.run(1)
    assert one in b"".join(full.bodies(wire_link.HAVE))


def test_evicted_chunks_come_back_from_whoever_gave_them(
    world: World, three: tuple[Host, Host, Host]
) -> None:
    """The reader evicted chunks before it knew they were its: its neighbours know it had them."""
    a, b, c = three
    data = content(whole(2))
    message = give(a, b, data)
    ids = chunks(a, message)
    world.meet(a, c)
    manifest = now_of(a, message).eid or b""
    with c.store.transaction():  # the carrier has only the chunks
        c.node._custody.drop(manifest, Fate.EVICTED)
    world.meet(c, b)
    assert all(b.store.fate(each) is Fate.HELD for each in ids)
    with b.store.transaction():
        for each in ids:
            b.node._custody.drop(each, Fate.EVICTED)
    world.meet(a, b)  # the manifest, and the author never gave b a chunk
    world.meet(c, b)  # the first chunk, which says which the others are
    world.meet(c, b)
    assert b.store.file(message.id) == data


def test_evicted_chunks_come_back_from_the_author(
    world: World, three: tuple[Host, Host, Host]
) -> None:
    """The same where the author gave the chunks itself and its manifest came another way."""
    a, b, _ = three
    data = content(whole(2))
    message = give(a, b, data)
    ids = chunks(a, message)
    manifest = now_of(a, message).eid
    assert manifest
    held = a.store.envelope(manifest)
    assert held is not None
    a.node._neighbours.withdraw([manifest])
    world.meet(a, b)
    assert all(b.store.fate(each) is Fate.HELD for each in ids)
    with b.store.transaction():
        for each in ids:
            b.node._custody.drop(each, Fate.EVICTED)
    mallory = Mallory(world)
    mallory.dial(b)
    mallory.give(held.data)
    world.run(1)
    assert now_of(b, message).reason == "file_open"
    mallory.hang_up()
    world.meet(a, b)
    world.meet(a, b)
    assert b.store.file(message.id) == data


# --- who is the recipient? -----------------------------------------------------------------------


def test_no_question_finds_the_recipient_after_a_restart() -> None:
    """A receipt that waited through a restart is as hidden as it was before."""
    answers = []
    for recipient in (True, False):
        world = World()
        a, b = world.host("Aida"), world.host("Bolat")
        befriend(a, b)
        world.run(1)
        other = world.host("Other")
        message = send(a, b, "where are you?")
        held = a.store.envelope(now_of(a, message).eid)
        assert held is not None
        victim = b if recipient else other
        giver, watcher = Mallory(world, "Giver"), Mallory(world, "Watcher")
        giver.dial(victim)
        giver.give(held.data)
        world.run(1)
        assert (inbox(b, a) == ["where are you?"]) is recipient
        victim.crash()
        world.run(0.1)
        watcher.dial(victim)
        copied = junk(1, world, done=held.done)
        watcher.stock[envelope_id(copied)] = copied
        watcher.say(
            (wire_link.HAVE, write_offers([(held.done, PROOF_HINT), (envelope_id(copied), 0)]))
        )
        watcher.say(watcher.next())
        world.run(1)
        answers.append(
            (
                set(watcher.asked()),
                watcher.bodies(wire_link.NEXT),
                [kind for kind, _ in watcher.heard if kind in (21, 22, 23)],
            )
        )
    assert answers[0] == answers[1]
    assert answers[0][0], "something was asked for"


# --- wake-ups ------------------------------------------------------------------------------------


def test_a_full_list_of_requests_does_not_spin(world: World) -> None:
    """Two who say they have the same, and one that trickles: our timer never asks for the past."""
    a = world.host("Aida", Limits(envelopes_burst=10_000, offers_burst=20_000))
    one, two = Mallory(world, "One"), Mallory(world, "Two")
    one.dial(a)
    two.dial(a)
    both = [eid(n) for n in range(4)]
    rest = [b"\x01" + eid(n)[1:] for n in range(WANTS_OPEN_MAX)]
    one.say(have(*both))
    two.say(have(*both))
    for at in range(0, len(rest), HAVE_IDS_MAX):
        two.say(have(*rest[at : at + HAVE_IDS_MAX]))
    assert len(two.asked()) == WANTS_OPEN_MAX
    for at in range(7):
        two.say((wire_link.PART, write_part(rest[0], at, 512, b"\x01")))
        one.say((wire_link.PART, write_part(both[0], at, 512, b"\x01")))
        assert silence(a, world)
        world.mono += 10  # not ``run``: that would spin with it
        world.wall += 10
        assert silence(a, world)
    assert len(a.links) == 2


def test_what_others_brought_makes_room_at_once(world: World) -> None:
    """A link full of ids that came from others goes on to its next list within seconds."""
    a = world.host("Aida", Limits(envelopes_burst=10_000, offers_burst=20_000, store_bytes=2**30))
    many = 2 * WANTS_OPEN_MAX + HAVE_IDS_MAX
    stock = {envelope_id(data): data for data in (junk(n, world) for n in range(many))}
    ids = list(stock)
    parts = ids[:WANTS_OPEN_MAX], ids[WANTS_OPEN_MAX : 2 * WANTS_OPEN_MAX]
    first, second, last = (Mallory(world, name) for name in ("First", "Second", "Last"))
    world.run(1)
    for mallory in (first, second, last):
        mallory.dial(a, supervised=True)

    def offer(mallory: Mallory, some: list[bytes]) -> None:
        for at in range(0, len(some), HAVE_IDS_MAX):
            mallory.say(have(*some[at : at + HAVE_IDS_MAX]))

    offer(first, parts[0])
    offer(second, parts[1])
    offer(last, parts[0])
    offer(last, parts[1])
    assert len(first.asked()) == len(second.asked()) == WANTS_OPEN_MAX
    assert not last.asked()
    answered = len(last.bodies(wire_link.NEXT))
    for mallory, some in ((first, parts[0]), (second, parts[1])):
        for at in range(0, len(some), 256):
            batch = some[at : at + 256]
            mallory.say(*((wire_link.PART, write_part(x, 0, 512, stock[x])) for x in batch))
    assert len(a.links) == 3
    world.run(5)
    assert HOLD_S > 5
    assert len(last.bodies(wire_link.NEXT)) > answered


def test_poisoned_beginnings_end_no_honest_link(world: World) -> None:
    """Beginnings a liar left fill no buffer of the neighbour that really has these envelopes."""
    a = world.host("Aida", Limits(store_bytes=2**30, handshakes_per_window=100))
    bulk = [junk(n, world, 3) for n in range(64)]
    liar = Mallory(world, "Liar")
    for turn in range(16):
        liar.dial(a)
        ids = [envelope_id(data) for data in bulk[4 * turn : 4 * turn + 4]]
        liar.say(have(*ids, hint=0xC000))
        for each in ids:
            for at in range(0, 32_767, 16_000):
                piece = bytes(min(16_000, 32_767 - at))
                liar.say((wire_link.PART, write_part(each, at, 32_768, piece)))
        liar.hang_up()
    assert len(a.store.partials()) == 64
    honest = Mallory(world, "Honest")
    honest.dial(a, mtu=256)
    small = junk(1_000, world)
    honest.stock[envelope_id(small)] = small
    for at in range(0, 64, 8):
        honest.say(have(*[envelope_id(each) for each in bulk[at : at + 8]]))
    honest.give(small)
    world.run(1)
    assert a.node.status(world.now).counters.get("buffered", 0) == 0
    assert a.store.fate(envelope_id(small)) is Fate.HELD


def test_what_a_slow_neighbour_was_not_told_is_bounded(world: World) -> None:
    """A flood that comes and goes leaves nothing behind on a link that never answers."""
    limits = Limits(store_bytes=24_576, envelopes_burst=10_000, origin_share=1.0)
    a = world.host("Aida", limits)
    slow, flood = Mallory(world, "Slow"), Mallory(world, "Flood")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("meshchat.core.offering.SPARE_IDS", 64)
        slow.dial(a)
        flood.dial(a)
        for n in range(0, 900, 10):
            flood.give(*(junk(n + k, world, life_h=100 + n // 10) for k in range(10)))
    peer = next(p for p in a.node._neighbours._peers.values() if p.link.origin == b"Slow")
    assert peer.sync is not None
    assert a.node.status(world.now).counters["envelopes_stored"] > 800
    offering = peer.sync._offering
    assert len(offering._ours) < 300 and len(offering._to_offer) < 300
    told = slow.bodies(wire_link.HAVE)[0][:16]
    assert a.store.fate(told) is Fate.EVICTED and told not in offering._ours
    slow.say((wire_link.WANT, told + bytes(2)))
    assert slow.bodies(wire_link.REFUSED) == [told + b"\x04"]
    assert len(slow.links) == 1


# --- cheap to say, dear to hear ------------------------------------------------------------------


def test_one_digest_a_link(world: World) -> None:
    """Our own DIGEST said back a thousand times is looked at once."""
    a = world.host("Aida")
    mallory = Mallory(world)
    mallory.dial(a)
    (digest,) = mallory.bodies(wire_link.DIGEST)
    mallory.say((wire_link.DIGEST, digest))
    assert len(a.links) == 1
    mallory.say((wire_link.DIGEST, digest))
    assert a.node.status(world.now).counters["digest_again"] == 1 and not a.links


def test_what_is_said_twice_is_news_once(
    world: World, three: tuple[Host, Host, Host], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Offering us our own mail again and again does not go through all our messages each time."""
    a, b, _ = three
    message = send(a, b, "hi")
    mallory = Mallory(world)
    mallory.dial(a)
    looks: list[set[bytes]] = []
    look = a.node._chats.outbox.seen_elsewhere
    monkeypatch.setattr(
        a.node._chats.outbox,
        "seen_elsewhere",
        lambda eids, *rest: (looks.append(eids), look(eids, *rest)),
    )
    for _ in range(20):
        mallory.say(have(now_of(a, message).eid))
    assert looks == [{now_of(a, message).eid}]
    assert a.state(message) == State.CARRIED


# --- one link per pair ---------------------------------------------------------------------------


def test_two_dials_that_overtake_each_other(world: World, three: tuple[Host, Host, Host]) -> None:
    """The one dialled last is kept by both, whichever handshake is through first."""
    a, b, _ = three
    world.link(a, b)
    _, second = world.link(a, b)
    for _ in range(4):
        host, event = world.inbox.popleft()
        host.handle(event)
    assert all(host is b for host, _ in world.inbox)
    world.inbox = deque(sorted(world.inbox, key=lambda item: item[1].link != second))  # type: ignore[union-attr]
    world.run(2)
    assert list(b.links) == [second] and len(a.links) == 1
    assert len(b.node.status(world.now).neighbours) == 1


# --- commands that are refused -------------------------------------------------------------------


def test_a_refused_command_hides_no_mail(world: World) -> None:
    """What gave way to the first half of a refused command is held again, and offered again."""
    limits = Limits(store_bytes=512 * 40, own_share=0.5)
    a, b, c = world.host("Aida", limits), world.host("Bolat"), world.host("Chingiz")
    befriend(a, b)
    befriend(a, c)
    now_h = int(world.wall // 3_600)
    for n in range(60):
        used = a.node.status(world.now).custody
        if used.size_bytes + 512 > used.quota_bytes:
            break
        data = junk(n, world)
        origin = n.to_bytes(8, "little")
        held = Held(envelope_id(data), 0, now_h + 100, data[64:80], data, origin, Kind.CARRIED, 0)
        with a.store.transaction():
            a.store.add_envelopes([held], world.wall)
        a.crash()
    refused = False
    while not refused:
        before = set(dict(a.store.offered(now_h)))
        try:
            a.do(Introduce(b.node.fp, c.node.fp))
        except UsageError as error:
            assert error.reason == "outbox_full"
            refused = True
            assert set(dict(a.store.offered(now_h))) == before
    shelf = a.node._neighbours._transfers.shelf
    assert set(shelf.missing(b"nobody")) == before


def test_a_lonely_have_is_answered_within_a_minute(world: World) -> None:
    """On a silent supervised link too: whoever asks what we have does not wait for ever."""
    victim = world.host("Victim")
    mallory = Mallory(world)
    mallory.dial(victim, supervised=True)
    world.run(1)
    known = junk(1, world)
    mallory.give(known)
    world.run(1)
    mallory.heard.clear()
    mallory.say(have(envelope_id(known)))
    world.run(50)
    assert not mallory.bodies(wire_link.NEXT)
    world.run(15)
    assert mallory.bodies(wire_link.NEXT)
