"""Conversations across restores, rollovers and weeks: nothing is lost, nothing is twice."""

import pytest
from test_review_secrets import back, copy_of, put
from test_sessions import DAY_S, friends, restored, send, texts
from test_shape import shaped
from world import Host, World

from meshchat.core.body import Body, BodyType
from meshchat.core.events import AddContact, Block, SendFile
from meshchat.core.files import FILE_MAX_BYTES
from meshchat.core.limits import SEAL_AGAIN_GAP_S
from meshchat.core.model import Kind, Message, Now, State
from meshchat.core.ratchet import CHAIN_MAX
from meshchat.core.shape import Shape
from meshchat.sim.memory import MemoryStore


def talk(world: World, a: Host, b: Host, turns: int = 2) -> None:
    """A running session in the state of both having answered."""
    for turn in range(turns):
        send(a, b, f"turn {turn}")
        world.meet(a, b, 70)
        send(b, a, f"re turn {turn}")
        world.meet(a, b, 70)


def days(world: World, number: float) -> None:
    world.mono += number * DAY_S
    world.wall += number * DAY_S
    world.run(1)


def settle(world: World, a: Host, b: Host, times: int = 4) -> None:
    for _ in range(times):
        world.meet(a, b, 100)
        world.run(SEAL_AGAIN_GAP_S)


def check(one: Host, other: Host, written: list[Message], word: str) -> None:
    """All of it is there, once and in order, and the author knows."""
    got = [text for text in texts(other, one) if text.startswith(word)]
    assert got == [str(message.text) for message in written]
    assert {one.state(message) for message in written} == {State.DELIVERED}


def test_both_put_back_to_yesterday() -> None:
    """Two devices restored from old disks at once, both with mail queued since."""
    world = World(make_store=MemoryStore)
    a, b = friends(world)
    talk(world, a, b)
    yesterday = copy_of(a), copy_of(b)
    talk(world, a, b)
    back(a, yesterday[0])
    back(b, yesterday[1])
    from_a = [send(a, b, f"from a {n}") for n in range(20)]
    from_b = [send(b, a, f"from b {n}") for n in range(20)]
    settle(world, a, b)
    check(a, b, from_a, "from a")
    check(b, a, from_b, "from b")


def test_put_back_to_different_days() -> None:
    """One lost a day, the other two; what both then write arrives."""
    world = World(make_store=MemoryStore)
    a, b = friends(world)
    talk(world, a, b)
    old_a = copy_of(a)
    days(world, 1)
    talk(world, a, b)
    old_b = copy_of(b)
    days(world, 1)
    talk(world, a, b)
    back(a, old_a)
    back(b, old_b)
    from_a = [send(a, b, f"from a {n}") for n in range(20)]
    from_b = [send(b, a, f"from b {n}") for n in range(20)]
    settle(world, a, b)
    check(a, b, from_a, "from a")
    check(b, a, from_b, "from b")


def test_both_restored_from_words() -> None:
    """Both lose everything but their words, exchange cards again, and talk."""
    world = World(make_store=MemoryStore)
    a, b = friends(world)
    talk(world, a, b)
    days(world, 1)
    a, b = restored(world, a), restored(world, b)
    a.do(AddContact(b.node.card_text()))
    b.do(AddContact(a.node.card_text()))
    from_a = [send(a, b, f"from a {n}") for n in range(20)]
    from_b = [send(b, a, f"from b {n}") for n in range(20)]
    settle(world, a, b, 2)
    check(a, b, from_a, "from a")
    check(b, a, from_b, "from b")


@pytest.mark.parametrize("met", [False, True])
def test_restored_while_a_start_was_unanswered(met: bool) -> None:
    """What Aida wrote first to the lost device is sealed again for the new one."""
    world = World(make_store=MemoryStore)
    a, b = friends(world)
    from_a = [send(a, b, f"from a {n}") for n in range(20)]
    relay = world.host("Relay")
    world.meet(a, relay, 20)
    if met:
        world.meet(relay, b, 3)  # the old device reads them, and is lost before its proofs go out
    days(world, 1)
    again = restored(world, b)
    again.do(AddContact(a.node.card_text()))
    from_b = [send(again, a, "it is me again")]
    settle(world, a, again)
    check(a, again, from_a, "from a")
    check(again, a, from_b, "it is")


def test_a_chain_rolls_over_while_the_answers_are_late() -> None:
    """1,200 messages without an answer; then the answers to the first ones come, and more go."""
    world = World(make_store=MemoryStore)
    a, b = friends(world)
    talk(world, a, b)
    relay = world.host("Relay")
    from_a = [send(a, b, f"from a {n}") for n in range(CHAIN_MAX + 50)]
    world.meet(a, relay, 60)
    world.meet(relay, b, 60)
    from_b = [send(b, a, f"from b {n}") for n in range(5)]
    from_a += [send(a, b, f"from a {n}") for n in range(CHAIN_MAX + 50, 2 * CHAIN_MAX + 100)]
    world.meet(b, relay, 100)
    settle(world, a, b, 3)
    arrived = [str(m.text) for m in b.store.messages(b"c" + a.node.fp, limit=5_000)]
    assert {text for text in arrived if text.startswith("from a")} == {str(m.text) for m in from_a}
    assert len(set(arrived)) == len(arrived)
    assert {a.state(message) for message in from_a} == {State.DELIVERED}
    check(b, a, from_b, "from b")
    assert len({s.sid for s in b.store.sessions(a.node.fp)}) <= 4


def test_a_copy_of_both_sealings_is_shown_once() -> None:
    """The first envelope reaches the reader by a carrier after the second one did."""
    world = World(make_store=MemoryStore)
    a, b = friends(world)
    talk(world, a, b)
    relay = world.host("Relay")
    message = send(a, b, "sealed twice")
    world.meet(a, relay, 20)
    first = a.store.envelope(message.eid)
    assert first is not None
    session = a.node._chats._sessions.current(b.node.fp, world.now)
    with b.store.transaction():
        b.node._chats._sessions.close_all(a.node.fp)
    before = dict(b.store.offered(0))
    put(b, a, Body(BodyType.PROFILE, bytes(8), int(world.wall), reset=session.sid))
    (eid,) = dict(b.store.offered(0)).keys() - before.keys()
    told = b.store.envelope(eid)
    assert told is not None
    with a.store.transaction():
        a.store.add_envelopes([told._replace(kind=Kind.CARRIED)], world.wall)
    a.crash()
    world.run(1)
    again = a.store.message(message.id)
    assert again is not None and again.eid != message.eid, "it was sealed again"
    world.meet(a, b, 100)
    world.meet(relay, b, 100)
    check(a, b, [message], "sealed twice")
    assert b.node.status(world.now).counters.get("session_broken", 0) == 0


def test_prekeys_rotate_under_an_unanswered_session() -> None:
    """Eight days of writing to somebody who only announces; then all of it opens in one go."""
    world = World(make_store=MemoryStore)
    a, b = friends(world)
    from_a = []
    relay = world.host("Relay")
    for day in range(6):
        from_a.append(send(a, b, f"from a {day}"))
        world.meet(b, relay, 5)  # b's announce leaves with the relay; a's mail does not come back
        with relay.store.transaction():
            mine = [eid for eid, _ in a.store.offered(0)]
            relay.store.drop_envelopes(mine, 3)
        world.meet(relay, a, 5)
        with relay.store.transaction():
            relay.store.drop_envelopes([m.eid for m in from_a], 3)
        days(world, 1)
    assert len(a.store.sessions(b.node.fp)) > 2, "several starts, one for each prekey"
    settle(world, a, b, 2)
    check(a, b, from_a, "from a")


def test_a_card_that_ended_lets_mail_wait() -> None:
    """No key is sealed to after its time; a newer card lets the mail go."""
    world = World(make_store=MemoryStore)
    a, b = friends(world)
    talk(world, a, b)
    # nine days apart
    days(world, 9)
    message = send(a, b, "no key for it")
    stored = a.store.message(message.id)
    assert stored is not None and (stored.eid, stored.reason) == (b"", "no_key")
    settle(world, a, b, 2)
    check(a, b, [message], "no key")


def test_blocked_and_unblocked_within_a_session() -> None:
    """What is written on both sides after it arrives."""
    world = World(make_store=MemoryStore)
    a, b = friends(world)
    talk(world, a, b)
    a.do(Block(b.node.fp, True))
    for n in range(5):
        send(b, a, f"unheard {n}")
    world.meet(a, b, 70)
    a.do(Block(b.node.fp, False))
    from_a = [send(a, b, f"from a {n}") for n in range(5)]
    from_b = [send(b, a, f"from b {n}") for n in range(5)]
    settle(world, a, b, 2)
    check(a, b, from_a, "from a")
    check(b, a, from_b, "from b")


# --- handing over --------------------------------------------------------------------------------


def test_the_largest_file_waits_like_any_mail() -> None:
    """64 chunks: the reader on a link has them at once, a stranger none of them yet."""
    world = World(make_store=MemoryStore)
    a, b, stranger = shaped(world, "Aida", Shape(handover_s=600)), world.host("B"), world.host("S")
    a.do(AddContact(b.node.card_text()))
    b.do(AddContact(a.node.card_text()))
    world.link(a, stranger)
    world.link(a, b)
    world.run(2)
    before = len(stranger.store.offered(0))
    file = a.do(SendFile(b"c" + b.node.fp, "a.bin", bytes(FILE_MAX_BYTES)))
    assert isinstance(file, Message)
    a.node._handover._planned[:] = [
        (world.mono + 600, n, eid, False) for n, eid in enumerate(a.node._handover.held)
    ]
    world.run(4)
    assert b.store.file(file.id) == bytes(FILE_MAX_BYTES)
    assert a.state(file) == State.DELIVERED, "the proofs came before anybody else heard of it"
    assert a.node._handover.held == {}
    world.run(1_300)
    held = {eid for eid, _ in stranger.store.offered(0)}
    assert file.eid not in held and len(held) <= before + 2


def test_what_ends_while_it_waits_is_not_offered() -> None:
    """An envelope whose hour comes before its time to be offered is gone, and harms nothing."""
    world = World(make_store=MemoryStore)
    a, b, stranger = (
        shaped(world, "Aida", Shape(handover_s=9_000)),
        world.host("B"),
        world.host("S"),
    )
    a.do(AddContact(b.node.card_text()))
    message = send(a, b, "short")
    a.node._handover._planned[:] = [(world.mono + 9_000, 1, message.eid, False)]
    world.link(a, stranger)
    with a.store.transaction():
        ended = a.node._custody.expire(Now(world.mono, world.wall + 9 * 86_400))
    assert message.eid in [eid for eid, _ in ended]
    world.run(9_100)
    assert stranger.store.envelope(message.eid) is None
    assert a.node._neighbours.all(), "the link lives"
