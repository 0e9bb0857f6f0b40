"""Traffic shape: our own mail looks like mail we carry, and mail for nobody like mail."""

from filetool import befriend, chunks, content, give
from world import Host as Plain
from world import SeededEntropy, World

from meshchat.core.envelope import open_sealed
from meshchat.core.events import AddContact, Send
from meshchat.core.limits import HANDOVER_S
from meshchat.core.model import Message, State
from meshchat.core.node import Node
from meshchat.core.shape import Handover, Shape


class Host(Plain):
    """A node that hides its own mail among that of others."""

    shape = Shape(handover_s=HANDOVER_S)

    def _start(self) -> Node:
        psk, limits, receipts = self.settings
        with self.store.transaction():
            return Node(
                self.store, self.entropy, self.world.now, psk, limits, receipts, shape=self.shape
            )


def shaped(world: World, name: str, shape: Shape | None = None) -> Host:
    kind = type("Shaped", (Host,), {"shape": shape or Host.shape})
    host: Host = kind(world, name)
    world.hosts.append(host)
    return host


def has(host: Plain, message: Message) -> bool:
    return host.store.envelope(message.eid) is not None


def test_a_neighbouring_reader_has_it_at_once_and_nobody_else() -> None:
    """The reader on a direct link waits for nothing; a stranger hears of it later, within 30 s."""
    world = World()
    a, b, stranger = shaped(world, "Aida"), world.host("Bolat"), world.host("Stranger")
    a.do(AddContact(b.node.card_text()))
    b.do(AddContact(a.node.card_text()))
    world.link(a, b)
    world.link(a, stranger)
    world.run(2)
    message = a.do(Send(b"c" + b.node.fp, "salem"))
    assert isinstance(message, Message)
    world.run(0.1)
    assert b.texts(b"c" + a.node.fp) == ["salem"]
    assert not has(stranger, message)
    assert a.state(message) == State.DELIVERED


def test_a_neighbouring_reader_gets_files_that_it_declined_to_carry() -> None:
    """A chunk may be told of before its file: sought after all, it is served, although nobody
    else has been told of it yet."""
    world = World()
    a, b, stranger = shaped(world, "Aida"), world.host("Bolat"), world.host("Stranger")
    befriend(a, b)
    world.link(a, b)
    world.link(a, stranger)
    world.run(2)
    for number in range(12):
        message = give(a, b, content(20_000, number))
        pieces = chunks(a, message)
        world.run(0.5)
        assert b.store.file(message.id) == content(20_000, number), number
        assert not any(stranger.store.envelope(each) for each in pieces)
        assert a.state(message) == State.DELIVERED


def test_strangers_hear_of_it_within_the_time() -> None:
    """Nobody at once, all within twice 30 s, at times that differ from message to message.

    As of mail we carry for others, one of them alone hears of some of it first, of the rest all.
    """
    world = World()
    a, far = shaped(world, "Aida"), world.host("Far")
    strangers = [world.host(f"S{n}") for n in range(3)]
    a.do(AddContact(far.node.card_text()))
    for stranger in strangers:
        world.link(a, stranger)
    world.run(2)
    waits, together = set(), []
    for number in range(12):
        message = a.do(Send(b"c" + far.node.fp, f"message {number}"))
        assert isinstance(message, Message)
        world.run(0.01)
        assert not any(has(stranger, message) for stranger in strangers)
        assert a.state(message) == State.QUEUED, "what is shown is true"
        first = None
        for second in range(1, 62):
            world.run(1.0)
            if first is None and any(has(stranger, message) for stranger in strangers):
                first = second
                waits.add(first)
                together.append(sum(has(stranger, message) for stranger in strangers))
        assert first is not None and first <= HANDOVER_S + 1
        assert all(has(stranger, message) for stranger in strangers)
    assert len(waits) > 5
    assert 2 < together.count(1) < 10, together
    assert 2 < together.count(len(strangers)) < 10, together


def test_a_reader_who_comes_meanwhile_has_it_at_once() -> None:
    """A link that opens while the mail waits is enough for its reader, not for a stranger."""
    world = World()
    a, b, stranger = shaped(world, "Aida"), world.host("Bolat"), world.host("Stranger")
    a.do(AddContact(b.node.card_text()))
    b.do(AddContact(a.node.card_text()))
    message = a.do(Send(b"c" + b.node.fp, "salem"))
    assert isinstance(message, Message)
    world.link(a, stranger)
    world.run(0.05)
    assert not has(stranger, message)
    world.link(a, b)
    world.run(0.05)
    assert b.texts(b"c" + a.node.fp) == ["salem"]


def test_hourly_housekeeping_does_not_give_it_away() -> None:
    """What is on offer is taken from the store anew each hour, without what waits."""
    world = World()
    a, far, late = shaped(world, "Aida", Shape(handover_s=9_000)), world.host("F"), world.host("L")
    a.do(AddContact(far.node.card_text()))
    message = a.do(Send(b"c" + far.node.fp, "salem"))
    assert isinstance(message, Message)
    a.node._handover.held[message.eid] = (0, [far.node.fp])  # whatever was drawn
    a.node._handover._planned[:] = [(world.mono + 9_000, 1, message.eid, True)]
    world.run(3_700)
    world.link(a, late)
    world.run(5)
    assert not has(late, message)
    world.run(9_000)
    assert has(late, message)


def test_a_crash_loses_nothing() -> None:
    """A node that ends while mail waits offers it after the start."""
    world = World()
    a, far, stranger = shaped(world, "Aida"), world.host("Far"), world.host("Stranger")
    a.do(AddContact(far.node.card_text()))
    message = a.do(Send(b"c" + far.node.fp, "salem"))
    assert isinstance(message, Message)
    a.crash()
    world.link(a, stranger)
    world.run(5)
    assert has(stranger, message)
    assert a.state(message) == State.CARRIED


def test_cover_looks_like_a_message_and_opens_for_nobody() -> None:
    """Now and then, at uneven times: class 0, the life of a message, no key of anybody fits."""
    world = World()
    a, b = shaped(world, "Aida", Shape(cover_s=900)), world.host("Bolat")
    a.do(AddContact(b.node.card_text()))
    world.link(a, b)
    world.run(1)
    message = a.do(Send(b"c" + b.node.fp, "salem"))
    assert isinstance(message, Message)
    before = {eid for eid, _ in b.store.offered(0)} | {message.eid}
    at: list[float] = []
    count = 0
    for _ in range(360):
        world.run(30)
        now = len([eid for eid, _ in a.store.offered(0) if eid not in before])
        if now > count:
            at.append(world.mono)
            count = now
    assert 8 <= count <= 16, "three hours at 15 minutes on average"
    assert len({round(one - two) for one, two in zip(at[1:], at, strict=False)}) > 3
    true = b.store.envelope(message.eid)
    assert true is not None
    for eid, _ in a.store.offered(0):
        held = a.store.envelope(eid)
        assert held is not None
        if eid in before:
            continue
        assert (held.size_class, len(held.data)) == (0, 512)
        assert 136 <= held.exp_h - world.wall // 3_600 + 3 <= 174
        for host in (a, b):
            assert open_sealed(held.data, secrets=[], prekeys=host.store.prekeys()) is None
    assert b.node.status(world.now).counters.get("inner_kind") is None


def test_no_shape_draws_nothing() -> None:
    """Without it a node's randomness goes on as before: simulations stay what they were."""
    world = World()
    entropy = SeededEntropy("x")
    Handover(entropy, Shape(), world.now)
    assert entropy.bytes(8) == SeededEntropy("x").bytes(8)
