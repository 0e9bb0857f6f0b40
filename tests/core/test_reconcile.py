"""Large sets compared by symbols at a first meeting, and by negentropy where it is asked for."""

from collections import Counter

import pytest
from mallory import Mallory
from world import START, Host, World

from meshchat.core import link as wire_link
from meshchat.core.envelope import envelope_id
from meshchat.core.limits import Limits
from meshchat.core.model import Held
from meshchat.core.negentropy import Reconciliation
from meshchat.core.wire import read_digest, read_offers, write_count, write_digest

ROOMY = Limits(origin_share=1.0, envelopes_burst=100_000)


def junk(world: World, count: int, name: str) -> list[Held]:
    """Well-formed envelopes that open for nobody."""
    exp_h = int(world.wall // 3600) + 100
    head = b"\x01\x00\x00\x00" + exp_h.to_bytes(4, "little") + bytes(8)
    made = []
    for number in range(count):
        body = (name.encode() + number.to_bytes(4, "little")).ljust(16, b"x") * 31
        data = head + body
        made.append(Held(envelope_id(data), 0, exp_h, data[64:80], data, b"origin01"))
    return made


@pytest.fixture
def spoken(monkeypatch: pytest.MonkeyPatch) -> Counter[int]:
    """How many records of each kind any link sends; sketches begin at 64 ids."""
    monkeypatch.setattr("meshchat.core.reconcile.SKETCH_FROM_IDS", 64)
    counted: Counter[int] = Counter()
    send = wire_link.Link.send

    def count(link: wire_link.Link, kind: int, body: bytes) -> None:
        counted[kind] += 1
        if kind == wire_link.HAVE:
            counted[-kind] += len(read_offers(body))
        send(link, kind, body)

    monkeypatch.setattr(wire_link.Link, "send", count)
    return counted


def two(world: World, common: int, left: int, right: int) -> tuple[Host, Host]:
    """Two nodes that share so many envelopes and differ in so many on each side."""
    a, b = world.host("a", ROOMY), world.host("b", ROOMY)
    shared = junk(world, common, "shared")
    for host, count in ((a, left), (b, right)):
        with host.store.transaction():
            host.store.add_envelopes(shared + junk(world, count, host.name), START)
        host.node = host._start()
        shelf = host.node._neighbours._transfers.shelf
        shelf.sketch()
        while shelf._unsketched:
            shelf.prepare()
    return a, b


def held(host: Host, now_h: int) -> set[bytes]:
    return {eid for eid, _ in host.store.offered(now_h)}


def same(world: World, a: Host, b: Host) -> bool:
    now_h = int(world.wall // 3600)
    return held(a, now_h) == held(b, now_h)


@pytest.mark.parametrize(("left", "right"), [(0, 0), (1, 0), (0, 7), (40, 40), (3, 120)])
def test_everything_moves_and_only_differences_are_listed(
    spoken: Counter[int], left: int, right: int
) -> None:
    """Both end with the union, and no list of what both had was sent."""
    world = World()
    a, b = two(world, 400, left, right)
    world.meet(a, b, 30)
    assert same(world, a, b)
    assert spoken[wire_link.SKETCH] == 2 and spoken[wire_link.AGREED] == 2
    assert spoken[-wire_link.HAVE] <= left + right
    for host in (a, b):
        assert not host.node.status(world.now).counters.get("want_unoffered")


def test_neighbours_who_agreed_tell_each_other_nothing_again(spoken: Counter[int]) -> None:
    """What a comparison found on both sides counts as said by the neighbour's own word."""
    world = World()
    a, b = two(world, 300, 5, 5)
    world.meet(a, b, 30)
    before = spoken[-wire_link.HAVE]
    world.meet(a, b, 30)
    assert spoken[-wire_link.HAVE] == before


def test_ids_that_collide_under_the_public_salt_hide_nothing(
    spoken: Counter[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two different envelopes with one short id: the keyed digest differs, lists follow."""
    from meshchat.core import riblt

    real = riblt.Sketch._short

    world = World()
    twins = {junk(world, 1, "a")[0].eid, junk(world, 1, "b")[0].eid}
    monkeypatch.setattr(riblt.Sketch, "_short", lambda s, e: 77 if e in twins else real(s, e))
    a, b = two(world, 300, 1, 1)
    world.meet(a, b, 30)
    assert same(world, a, b)
    assert spoken[-wire_link.HAVE] > 300  # the price: a list


def test_one_side_with_few_ids_gets_lists(spoken: Counter[int]) -> None:
    """Symbols for a set that the other lacks nearly whole would cost more than the list."""
    world = World()
    a, b = world.host("a", ROOMY), world.host("b", ROOMY)
    with a.store.transaction():
        a.store.add_envelopes(junk(world, 200, "a"), START)
    a.node = a._start()
    shelf = a.node._neighbours._transfers.shelf
    shelf.sketch()
    while shelf._unsketched:
        shelf.prepare()
    world.meet(a, b, 30)
    assert same(world, a, b)
    assert not spoken[wire_link.SYMBOLS]


def test_until_the_sketch_is_made_lists_do(spoken: Counter[int]) -> None:
    """A large store is put into a sketch little by little; nobody waits for it."""
    world = World()
    a, b = two(world, 200, 3, 3)
    shelf = a.node._neighbours._transfers.shelf
    shelf._sketch = None
    a.node = a._start()
    world.meet(a, b, 30)
    assert same(world, a, b)


@pytest.mark.parametrize("poison", ["digest", "symbols", "marks", "agreed", "silence", "give_up"])
def test_poison_costs_the_poisoners_link_only(spoken: Counter[int], poison: str) -> None:
    """Whatever a neighbour says in a comparison, honest ones still get everything."""
    world = World()
    a, b = two(world, 200, 5, 5)
    mallory = Mallory(world)
    mallory.dial(a)
    sketch = [body for kind, body in mallory.heard if kind == wire_link.SKETCH]
    assert sketch and read_digest(sketch[0])[1] == 205 + 0
    if poison == "digest":  # "I have just the same"
        mallory.say((wire_link.SKETCH, sketch[0]), (wire_link.AGREED, bytes(12)))
    elif poison == "symbols":
        mallory.say((wire_link.SKETCH, write_digest(bytes(12), 210)))
        mallory.say((wire_link.SYMBOLS, b"\xff" * 13 * 16))
        mallory.say((wire_link.SYMBOLS, b"\x01" * 13 * 1_000))
    elif poison == "marks":
        mallory.say((wire_link.MARKS, b"\x01\0\0\0" * 1_000), (wire_link.AGREED, bytes(12)))
    elif poison == "agreed":
        mallory.say((wire_link.AGREED, b""), (wire_link.AGREED, bytes(12)))
    elif poison == "give_up":
        mallory.say((wire_link.MORE, write_count(0)))
        world.run(1)
        assert any(kind == wire_link.HAVE for kind, _ in mallory.heard)
    world.run(2)
    world.meet(a, b, 30)
    assert same(world, a, b)


def test_more_than_the_bound_of_symbols_ends_the_link(spoken: Counter[int]) -> None:
    """Work for one neighbour is bounded."""
    world = World()
    a, _ = two(world, 200, 5, 5)
    mallory = Mallory(world)
    mallory.dial(a)
    for _ in range(9):
        mallory.say((wire_link.MORE, write_count(1_024)))
    world.run(1)
    assert mallory.link is None
    assert a.node.status(world.now).counters["symbols"] == 1


def test_negentropy_is_answered(spoken: Counter[int]) -> None:
    """Who speaks that protocol finds what it lacks, and may ask for it."""
    world = World()
    a, _ = two(world, 40, 5, 0)
    mallory = Mallory(world)
    mallory.dial(a)
    talk = Reconciliation([(0, one.eid) for one in junk(world, 40, "shared")], 4_096)
    message: bytes | None = talk.initiate()
    while message is not None:
        mallory.heard.clear()
        mallory.say((wire_link.NEGENTROPY, message))
        (answer,) = [body for kind, body in mallory.heard if kind == wire_link.NEGENTROPY]
        message = talk.answer(answer)
    missing = {one.eid for one in junk(world, 5, "a")}
    assert set(talk.need) == missing and not talk.have


def test_malformed_negentropy_ends_the_link(spoken: Counter[int]) -> None:
    """Its parser is as strict as ours."""
    world = World()
    a, _ = two(world, 10, 0, 0)
    mallory = Mallory(world)
    mallory.dial(a)
    mallory.say((wire_link.NEGENTROPY, b"\x61\xff\xff\xff"))
    assert mallory.link is None


def test_agreement_nobody_asked_for(spoken: Counter[int]) -> None:
    """Records of a comparison that does not run end the link."""
    world = World()
    a = world.host("a", ROOMY)
    for kind, body in (
        (wire_link.AGREED, bytes(12)),
        (wire_link.MORE, write_count(5)),
        (wire_link.SYMBOLS, bytes(13)),
        (wire_link.MARKS, bytes(4)),
    ):
        mallory = Mallory(world, f"m{kind}")
        mallory.dial(a)
        mallory.say((kind, body))
        assert mallory.link is None, kind
    assert a.node.status(world.now).counters["sketch_unasked"] == 4
