"""Receipts of ours until they may show, whatever happens meanwhile; and the window of a link."""

import pytest
from test_node import befriend, inbox, send
from world import Host, World

from meshchat.core.events import Wake
from meshchat.core.limits import (
    CREDIT_BYTES,
    CREDIT_FREE_S,
    CREDIT_MAX_BYTES,
    CREDIT_MIN_BYTES,
    RECEIPT_DELAY_S,
    RELEASE_AHEAD_MAX_S,
)
from meshchat.core.model import Fate, Message, Now, State
from meshchat.core.pace import Window

COUNT = 12

Read = tuple[Host, Host, list[Message], list[bytes]]


@pytest.fixture
def read(world: World) -> Read:
    """Bolat has read what a stranger brought; nobody may know yet. With ids of the envelopes."""
    a, b, c = world.host("Aida"), world.host("Bolat"), world.host("Carrier")
    befriend(a, b)
    world.run(1)
    messages = [send(a, b, f"text {n}") for n in range(COUNT)]
    eids = [(a.store.message(each.id) or each).eid for each in messages]
    world.meet(a, c)
    world.meet(c, b, 2)
    assert len(inbox(b, a)) == COUNT and fates(b, eids) == [Fate.HELD] * COUNT
    return a, b, messages, eids


@pytest.fixture
def world() -> World:
    return World()


def fates(host: Host, eids: list[bytes]) -> list[Fate | None]:
    return [host.store.fate(eid) for eid in eids]


def due_of(host: Host, eids: list[bytes]) -> list[float]:
    """When the receipt of each may show."""
    found = []
    for eid in eids:
        held = host.store.envelope(eid)
        proof = held and host.store.proof(held.done)
        assert proof is not None
        found.append(proof.release_at)
    return found


@pytest.mark.parametrize("crashes", [False, True])
def test_each_copy_goes_at_its_own_time(world: World, read: Read, crashes: bool) -> None:
    """Not before and hardly after, also if the node is killed at every wake; all are delivered."""
    a, b, messages, eids = read
    due = dict(zip(eids, due_of(b, eids), strict=True))
    end = world.mono + RECEIPT_DELAY_S[1] + 1
    while world.mono < end:
        world.run(0.25)
        if crashes:
            b.crash()
            b.handle(Wake())
        for eid, at in due.items():
            if world.wall < at:
                assert b.store.fate(eid) is Fate.HELD
            elif world.wall > at + 0.3:
                assert b.store.fate(eid) is Fate.PROVEN
    releases = b.node._exchange._releases
    assert not releases.hidden and not releases._planned
    world.meet(a, b)
    assert {a.state(each) for each in messages} == {State.DELIVERED}


def test_a_wake_looks_at_what_is_due_only(
    world: World,
    read: Read,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many receipts wait: each proof is looked for once, at its own time."""
    _, b, _, eids = read
    asked: list[bytes] = []
    held = type(b.store).holder_of
    monkeypatch.setattr(
        type(b.store), "holder_of", lambda store, done: asked.append(done) or held(store, done)
    )
    world.run(RECEIPT_DELAY_S[1] + 1)
    assert fates(b, eids) == [Fate.PROVEN] * COUNT
    assert max(map(asked.count, asked)) <= 4 * len(world.hosts)


@pytest.mark.parametrize("crash", [False, True])
def test_a_clock_set_back_holds_up_no_receipt(world: World, read: Read, crash: bool) -> None:
    """What was planned by the old clock shows at the next wake, not an hour later."""
    _, b, _, eids = read
    world.wall -= 3_600 + RELEASE_AHEAD_MAX_S
    if crash:
        b.crash()
    world.run(RECEIPT_DELAY_S[1] + 1)
    assert fates(b, eids) == [Fate.PROVEN] * COUNT


def test_a_clock_set_forward_shows_them(world: World, read: Read) -> None:
    """All of them are due then."""
    _, b, _, eids = read
    world.wall += 3_600
    world.run(RECEIPT_DELAY_S[1] + 1)
    assert fates(b, eids) == [Fate.PROVEN] * COUNT


# --- the window ----------------------------------------------------------------------------------


def flight(window: Window, waited: float, now: float) -> float:
    """Fill the window with small parts, whose credits come back one by one, late."""
    sizes = []
    while window.room >= 1_000:
        window.send(1_000, now)
        sizes.append(1_000)
    for size in sizes:
        window.credit(size, now + waited)
    return now + waited


def test_one_late_flight_cuts_the_window_once() -> None:
    """However many credits it comes back in; the slowest link still keeps the least."""
    window, now = Window(), 0.0
    for _ in range(8):
        now = flight(window, 0.05, now)
    before = window.size
    assert before > 4 * CREDIT_BYTES
    now = flight(window, 0.5, now)
    assert before // 2 <= window.size < before
    for _ in range(20):
        now = flight(window, 0.5 + now, now)
    assert window.size == CREDIT_MIN_BYTES


def test_our_own_work_is_no_queue() -> None:
    """A step of ours that takes long stands between sending and hearing of it."""
    window, busy, mono = Window(), 0.0, 0.0
    for _ in range(60):
        left = Now(mono, 0.0, busy)
        busy, mono = busy + 2.0, mono + 2.0 + 0.01
        sizes = []
        while window.room >= 1_000:
            window.send(1_000, left.idle)
            sizes.append(1_000)
        for size in sizes:
            window.credit(size, Now(mono, 0.0, busy).idle)
    assert window.size == CREDIT_MAX_BYTES


def test_a_slow_commit_is_no_queue() -> None:
    """A receiver that takes a while for its disk, but less than chat would notice."""
    window, now = Window(), 0.0
    for turn in range(60):
        now = flight(window, 0.9 * CREDIT_FREE_S if turn % 2 else 0.005, now)
    assert window.size == CREDIT_MAX_BYTES
