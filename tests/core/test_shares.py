"""A full store: what gives way to what."""

from world import START

from meshchat.core.custody import Custody
from meshchat.core.envelope import envelope_id, parse_header
from meshchat.core.limits import Limits
from meshchat.core.model import Fate, Held, Now
from meshchat.core.wire import Refusal
from meshchat.store import SqlStore

NOW = Now(1_000.0, START)
STORE_BYTES = 100 * 512


def envelope(number: int, life_h: int) -> bytes:
    exp_h = int(START // 3600) + life_h
    head = b"\x01\x00\x00\x00" + exp_h.to_bytes(4, "little") + bytes(8)
    return (head + number.to_bytes(4, "little") * 124)[:512]


def bring(custody: Custody, number: int, origin: bytes, life_h: int, trusted: bool) -> bytes | None:
    """The id of an envelope that was taken."""
    data = envelope(number, life_h)
    eid = envelope_id(data)
    verdict = custody.admit(data, parse_header(data), eid, origin, trusted, NOW)
    custody.flush()
    assert isinstance(verdict, Held | Refusal)
    return eid if isinstance(verdict, Held) else None


def test_strangers_never_push_out_what_contacts_brought() -> None:
    """However many strangers come, and however long their mail would live."""
    store = SqlStore.memory()
    with store.transaction():
        custody = Custody(store, Limits(store_bytes=STORE_BYTES))
        friends = [
            bring(custody, number, b"friend%02d" % (number % 2), 2, True) for number in range(40)
        ]
        assert all(friends)
        for number in range(1_000, 1_500):
            bring(custody, number, b"crowd%03d" % (number % 100), 160, False)
        assert custody.status().size_bytes == STORE_BYTES
        assert all(store.fate(eid) is Fate.HELD for eid in friends if eid)


def test_a_contact_fills_no_more_than_its_share() -> None:
    """Its own mail gives way to its own, not that of strangers."""
    store = SqlStore.memory()
    with store.transaction():
        custody = Custody(store, Limits(store_bytes=STORE_BYTES))
        crowd = [bring(custody, n, b"crowd%03d" % (n % 20), 5, False) for n in range(50)]
        for number in range(1_000, 1_200):
            bring(custody, number, b"friend01", 160, True)
        assert custody.status().size_bytes <= STORE_BYTES * 0.7 + 512
        assert all(store.fate(eid) is Fate.HELD for eid in crowd if eid)


def test_what_contacts_bring_pushes_out_strangers_mail() -> None:
    """The other way round it does: the tier is worth something in a store that is full already."""
    store = SqlStore.memory()
    with store.transaction():
        custody = Custody(store, Limits(store_bytes=STORE_BYTES))
        for number in range(200):
            bring(custody, number, b"crowd%03d" % (number % 50), 160, False)
        friends = [bring(custody, n, b"friend01", 2, True) for n in range(1_000, 1_020)]
        assert all(friends)
        assert all(store.fate(eid) is Fate.HELD for eid in friends if eid)


def test_an_envelope_tried_twice_counts_once() -> None:
    """What waits to be opened is what the store says: else mail would stay unread."""
    store = SqlStore.memory()
    with store.transaction():
        custody = Custody(store, Limits(store_bytes=STORE_BYTES))
        held = []
        for number in range(3):
            data = envelope(number, 5)
            verdict = custody.admit(
                data, parse_header(data), envelope_id(data), b"origin%02d" % number, False, NOW
            )
            assert isinstance(verdict, Held)
            held.append(verdict)
        custody.flush()
        assert custody.untried == store.count_untried() == 3
        for _ in range(2):
            custody.tried(held[0], held[0].kind)
            assert custody.untried == store.count_untried() == 2
        custody.drop(held[0].eid, Fate.EVICTED)
        custody.drop(held[1].eid, Fate.EVICTED)
        assert custody.untried == store.count_untried() == 1
