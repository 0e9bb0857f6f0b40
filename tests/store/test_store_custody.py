"""The store contract, on disk and in memory: custody, and any order of it against a dict."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from store_values import CHAT, AnyStore, add, b16, held, message

from meshchat import custody_tables
from meshchat.core.limits import RELEASE_AHEAD_MAX_S
from meshchat.core.model import (
    Fate,
    Gone,
    Held,
    Kind,
    Partial,
    Proof,
    Usage,
    class_of,
)
from meshchat.sim.memory import MemoryStore
from meshchat.store import SqlStore

# --- custody ---


def holder(store: AnyStore, done: bytes) -> bytes:
    """Id of the envelope that a token with this ``done`` proves."""
    found = store.holder_of(done)
    assert found is not None and found.held is (store.fate(found.eid) is Fate.HELD)
    assert store.holders_of([done, b16(999)]) == {done: found}
    return found.eid


def test_custody_of_an_envelope(store: AnyStore) -> None:
    """Data, fate and id through a life: held, dropped, still known."""
    one = held(1, stamp=14, origin=b"", kind=Kind.OWN)
    add(store, one, held(2))
    assert store.envelope(b16(1)) == one
    assert store.fate(b16(1)) is Fate.HELD
    assert store.fate(b16(3)) is None
    assert holder(store, one.done) == b16(1)
    with store.transaction():
        gone = store.drop_envelopes([b16(1), b16(1), b16(77)], Fate.PROVEN)
    assert gone == [Gone(b16(1), 0, b"", Kind.OWN, 512, False)]
    assert store.envelope(b16(1)) is None
    assert store.fate(b16(1)) is Fate.PROVEN
    assert holder(store, one.done) == b16(1)
    assert store.known([b16(1), b16(2), b16(77)]) == {b16(1), b16(2)}
    assert store.usage() == [Usage(0, b"neighbor", Kind.CARRIED, 1, 512)]
    with store.transaction():
        store.drop_envelopes([b16(1)], Fate.EVICTED)
    assert store.fate(b16(1)) is Fate.EVICTED


def test_a_known_id_is_left_as_it_is(store: AnyStore) -> None:
    """Held, dropped, refused, or twice in one batch: the first word stands."""
    add(store, held(1), held(2), held(1, data=b"x" * 512, origin=b"o"))
    with store.transaction():
        store.drop_envelopes([b16(2)], Fate.PROVEN)
        store.add_refused(b16(3), 100)
        store.add_refused(b16(1), 100)
        store.add_envelopes((held(n, data=b"y" * 512) for n in (1, 2, 3, 4)), 1.0)
        store.add_envelopes([], 1.0)
    assert store.envelope(b16(1)) == held(1)
    assert [store.fate(b16(n)) for n in (1, 2, 3, 4)] == [
        Fate.HELD,
        Fate.PROVEN,
        Fate.REFUSED,
        Fate.HELD,
    ]
    assert store.count_untried() == 2
    assert store.usage() == [Usage(0, b"neighbor", Kind.CARRIED, 2, 1024)]


def test_known_takes_a_whole_offer(store: AnyStore) -> None:
    """1,024 ids at once: envelopes seen, refused, and the ``done`` of proofs."""
    add(store, *(held(n) for n in range(300)))
    with store.transaction():
        store.add_refused(b16(1000), 5)
        store.add_proof(Proof(b16(1001), b16(1), 9))
    assert store.known([b16(n) for n in range(1024)]) == {
        *(b16(n) for n in range(300)),
        b16(1000),
        b16(1001),
    }
    assert store.known([]) == set()


def test_holder_of_prefers_what_is_held(store: AnyStore) -> None:
    """A copied ``done`` cannot hide the copy that we hold; a refused id has none."""
    add(store, held(1, done=b16(9)), held(2, done=b16(9)), held(3, done=b16(9)))
    with store.transaction():
        store.add_refused(b16(4), 100)
        store.drop_envelopes([b16(1)], Fate.PROVEN)
        assert holder(store, b16(9)) == b16(2)
        store.drop_envelopes([b16(2), b16(3)], Fate.PROVEN)
    assert holder(store, b16(9)) == b16(1)
    assert store.holder_of(b16(8)) is None


def test_offered_order(store: AnyStore) -> None:
    """Small classes first, then the oldest; not what expires now or is not held.

    Beside each id its hint: the class, and of bulk what it says it is a part of.
    """
    add(store, held(1, size_class=1), held(2), held(3, origin=b"other"), held(4, exp_h=50))
    add(store, held(5, size_class=1, kind=Kind.OWN), held(6))
    with store.transaction():
        store.drop_envelopes([b16(6)], Fate.EVICTED)
    assert store.offered(50) == [(b16(2), 0), (b16(3), 0), (b16(1), 1 << 14), (b16(5), 1 << 14)]
    assert store.offered(49)[2] == (b16(4), 0)
    assert store.offered(100) == []
    data = bytes(2) + b"\x07\x30" + bytes(8)
    add(store, held(8, size_class=3, data=data), held(7, size_class=2, data=data))
    assert store.offered(50)[-2:] == [(b16(7), 0xB007), (b16(8), 0xF007)]


def test_trying(store: AnyStore) -> None:
    """Only carried ones wait to be tried, oldest first; the outcome moves them; keys bring back."""
    add(store, held(3), held(2, kind=Kind.OWN), held(1), held(4))
    assert [one.eid for one in store.untried(2)] == [b16(3), b16(1)]
    assert store.untried(1) == [held(3)]
    with store.transaction():
        store.tried([b16(3), b16(77)], Kind.MINE)
        store.tried([b16(1)], Kind.CARRIED)
        store.drop_envelopes([b16(4)], Fate.EVICTED)
        assert store.count_untried() == 0
        store.add_envelopes([held(5)], 0.0)
        store.retry_all()
    assert [one.eid for one in store.untried(9)] == [b16(1), b16(5)]
    assert store.envelope(b16(3)) == held(3, kind=Kind.MINE)
    assert store.usage() == [
        Usage(0, b"neighbor", Kind.CARRIED, 2, 1024),
        Usage(0, b"neighbor", Kind.OWN, 1, 512),
        Usage(0, b"neighbor", Kind.MINE, 1, 512),
    ]


def test_evictable_order(store: AnyStore) -> None:
    """Lowest stamp, least life, then the oldest, over all lots; never own or mine; filters work."""
    add(
        store,
        held(1, stamp=13, exp_h=10),
        held(2, exp_h=30),
        held(9, exp_h=20, origin=b"other"),
        held(4, exp_h=20, size_class=1),
        held(3, exp_h=20),
        held(5, kind=Kind.OWN, exp_h=1),
        held(6, exp_h=1),
    )
    with store.transaction():
        store.tried([b16(6)], Kind.MINE)
    every = store.evictable(origin=None, size_classes=(0, 1, 2, 3), limit=10)
    assert every == [
        (b16(9), 0, 20, 0),
        (b16(4), 1, 20, 0),
        (b16(3), 0, 20, 0),
        (b16(2), 0, 30, 0),
        (b16(1), 0, 10, 13),
    ]
    assert store.evictable(origin=None, size_classes=(0, 1), limit=2) == every[:2]
    assert store.evictable(origin=b"other", size_classes=(0, 1), limit=2) == every[:1]
    assert store.evictable(origin=None, size_classes=(1, 3), limit=9) == every[1:2]
    assert store.evictable(origin=None, size_classes=(), limit=9) == []
    assert store.evictable(origin=None, size_classes=(0,), limit=0) == []


def test_expiry(store: AnyStore) -> None:
    """Data goes in its hour, the id an hour later; proofs too."""
    add(store, held(1, exp_h=10), held(2, exp_h=11, kind=Kind.OWN), held(3, exp_h=12))
    with store.transaction():
        store.add_proof(Proof(b16(50), b16(51), 10))
        store.add_proof(Proof(b16(52), b16(53), 11))
        store.add_refused(b16(60), 10)
        assert store.expire(9).envelopes == []
        assert store.expire(10).envelopes == [(b16(1), Kind.CARRIED)]
        assert store.fate(b16(1)) is Fate.EXPIRED
        assert store.known([b16(1), b16(50), b16(60)]) == {b16(1), b16(50), b16(60)}
        assert store.expire(11).envelopes == [(b16(2), Kind.OWN)]
        assert store.known([b16(1), b16(50), b16(52), b16(60)]) == {b16(52)}
        assert store.expire(500).envelopes == [(b16(3), Kind.CARRIED)]
        assert store.fate(b16(3)) is None
        assert store.count_proofs() == 0
    assert store.usage() == []
    assert store.count_untried() == 0


def test_ids_beyond_the_cap_are_forgotten(store: AnyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Soonest expiry first, and never what we hold."""
    monkeypatch.setattr(custody_tables, "SEEN_MAX_COUNT", 4)
    add(store, held(1, exp_h=5), *(held(n, exp_h=20 - n) for n in range(2, 8)))
    with store.transaction():
        store.drop_envelopes([b16(n) for n in range(2, 8)], Fate.EVICTED)
        store.expire(4)
    assert store.known([b16(n) for n in range(8)]) == {b16(1), b16(2), b16(3), b16(4)}


def test_proofs(store: AnyStore) -> None:
    """Known once; released by wall time."""
    with store.transaction():
        assert store.add_proof(Proof(b16(1), b16(2), 9, release_at=30.0))
        assert not store.add_proof(Proof(b16(1), b16(3), 9))
        assert store.released(30.0 - RELEASE_AHEAD_MAX_S) == []
        assert store.released(29.0 - RELEASE_AHEAD_MAX_S) == [b16(1)]  # the clock was set back
        assert store.add_proof(Proof(b16(4), b16(5), 9))
    assert store.proof(b16(1)) == Proof(b16(1), b16(2), 9, 30.0)
    assert store.proof(b16(3)) is None
    assert store.count_proofs() == 2
    assert store.released(29.0) == [b16(4)]
    assert store.released(30.0) == [b16(4), b16(1)]


def test_partials_are_bounded(store: AnyStore) -> None:
    """64 stay, the oldest go first; saving again makes one the newest."""
    with store.transaction():
        for n in range(64):
            store.save_partial(Partial(b16(n), 512, b"x"))
        store.save_partial(Partial(b16(0), 512, b"xyz"))
        store.save_partial(Partial(b16(64), 512, b"x"))
        store.drop_partial(b16(5))
        store.drop_partial(b16(99))
    assert store.partial(b16(0)) == Partial(b16(0), 512, b"xyz")
    assert store.partial(b16(1)) is None
    assert store.partial(b16(5)) is None
    assert all(store.partial(b16(n)) for n in (2, 63, 64))
    assert set(store.partials()) == {b16(n) for n in (0, *range(2, 65)) if n != 5}


def test_no_call_reads_a_whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans, not times: what happens on a link never grows with all ids ever seen."""
    store = SqlStore.memory()
    execute = store._db._execute
    scans: list[str] = []

    def explained(sql: str, params: tuple[object, ...]) -> Any:
        if sql.lstrip().startswith(("SELECT", "WITH", "INSERT", "UPDATE", "DELETE")):
            plan = [str(row[3]) for row in execute(f"EXPLAIN QUERY PLAN {sql}", params)]
            scans.extend(f"{step} in {sql}" for step in plan if step in banned)
        return execute(sql, params)

    banned = {
        f"SCAN {name}{how}"
        for name in ("envelopes", "e", "bodies", "b", "messages", "m", "proofs")
        for how in ("", *(f" USING COVERING INDEX envelopes_by_{key}" for key in ("expiry", "id")))
    }
    monkeypatch.setattr(store._db, "_execute", explained)
    with store.transaction():
        store.add_envelopes([held(1), held(2)], 0.0)
        store.envelope(b16(1))
        store.known([b16(1)])
        store.holder_of(b16(1))
        store.offered(0)
        store.untried(5)
        store.tried([b16(1)], Kind.MINE)
        store.retry_all()
        store.usage()
        store.evictable(origin=None, size_classes=(0,), limit=1)
        store.drop_envelopes([b16(1)], Fate.PROVEN)
        store.expire(5)
        store.add_message(message(1))
        store.messages(CHAT, before=5)
        store.pending()
        store.message_by_envelope(b16(1))
        store.message_sizes(CHAT)
        store.chats()
        store.mark_read(CHAT, 1)
    assert scans == []
    store.close()


def test_eviction_reads_an_index_in_its_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order of arrival is the index's own last column: nothing is sorted to find the worst."""
    store = SqlStore.memory()
    add(store, held(1), held(2, origin=b"other"))
    asked: list[tuple[str, tuple[object, ...]]] = []
    stream = store._db.stream

    def noted(sql: str, *params: object) -> Iterator[tuple[object, ...]]:
        asked.append((sql, params))
        return stream(sql, *params)

    monkeypatch.setattr(store._db, "stream", noted)
    assert len(store.evictable(origin=None, size_classes=(0,), limit=9)) == 2
    plans = {
        row[3]
        for sql, params in asked
        for row in store._db.rows(f"EXPLAIN QUERY PLAN {sql}", *params)
    }
    assert plans == {"SEARCH envelopes USING INDEX envelopes_by_worth (lot=?)"}
    store.close()


class CustodyMachine(RuleBasedStateMachine):
    """Any order of custody calls, some of them undone, against a plain dict."""

    def __init__(self) -> None:
        super().__init__()
        self.store = self.make()
        self.seen: dict[bytes, tuple[Fate, int, Held | None]] = {}
        self.waiting: list[bytes] = []
        self.arrivals: list[bytes] = []

    def make(self) -> AnyStore:
        return SqlStore.memory()

    def teardown(self) -> None:
        self.store.close()

    ids = st.integers(0, 12).map(b16)
    envelopes = st.builds(
        lambda n, size_class, exp_h, origin, kind, stamp: Held(
            *(b16(n), size_class, exp_h, b16(n % 5)),
            bytes(2) + bytes((stamp, n) if size_class > 1 else 2) + b"z" * (size_class + 1),
            *(origin, kind, stamp),
        ),
        st.integers(0, 12),
        st.integers(0, 3),
        st.integers(1, 12),
        st.sampled_from((b"", b"o1", b"o2")),
        st.sampled_from(Kind),
        st.integers(0, 2),
    )

    @contextlib.contextmanager
    def change(self, undo: bool) -> Iterator[bool]:
        """A transaction; with ``undo`` a failed savepoint of it. Yields whether to apply."""
        with self.store.transaction():
            if not undo:
                yield True
                return
            with contextlib.suppress(ZeroDivisionError), self.store.savepoint():
                yield False
                raise ZeroDivisionError

    @rule(batch=st.lists(envelopes, max_size=5), undo=st.booleans())
    def add(self, batch: list[Held], undo: bool) -> None:
        with self.change(undo) as apply:
            self.store.add_envelopes(iter(batch), 1.0)
        for one in batch if apply else []:
            if one.eid not in self.seen:
                self.seen[one.eid] = (Fate.HELD, one.exp_h, one)
                self.arrivals.append(one.eid)
                if one.kind is Kind.CARRIED:
                    self.waiting.append(one.eid)

    @rule(eid=ids, exp_h=st.integers(1, 12))
    def refuse(self, eid: bytes, exp_h: int) -> None:
        with self.change(False):
            self.store.add_refused(eid, exp_h)
        self.seen.setdefault(eid, (Fate.REFUSED, exp_h, None))

    @rule(eids=st.lists(ids, max_size=4), undo=st.booleans())
    def drop(self, eids: list[bytes], undo: bool) -> None:
        with self.change(undo) as apply:
            self.store.drop_envelopes(iter(eids), Fate.EVICTED)
        for eid in eids if apply else []:
            if eid in self.seen:
                self.seen[eid] = (Fate.EVICTED, self.seen[eid][1], None)
                self._gone(eid)

    def _gone(self, eid: bytes) -> None:
        for order in (self.waiting, self.arrivals):
            if eid in order:
                order.remove(eid)

    @rule(eids=st.lists(ids, max_size=4), kind=st.sampled_from(Kind), undo=st.booleans())
    def tried(self, eids: list[bytes], kind: Kind, undo: bool) -> None:
        with self.change(undo) as apply:
            self.store.tried(eids, kind)
        for eid in eids if apply else []:
            fate, exp_h, one = self.seen.get(eid, (None, 0, None))
            if fate is not None and one is not None:
                self.seen[eid] = (fate, exp_h, one._replace(kind=kind))
                self.waiting = [other for other in self.waiting if other != eid]

    @rule()
    def retry(self) -> None:
        with self.change(False):
            self.store.retry_all()
        carried = {one.eid for one in self.held() if one.kind is Kind.CARRIED}
        wanted = carried.union(self.waiting)
        self.waiting = [eid for eid in self.arrivals if eid in wanted]

    @rule(now_h=st.integers(0, 12), undo=st.booleans())
    def expire(self, now_h: int, undo: bool) -> None:
        with self.change(undo) as apply:
            gone, _ = self.store.expire(now_h)
        due = [one for one in self.held() if one.exp_h <= now_h]
        assert sorted(gone) == sorted((one.eid, one.kind) for one in due)
        if apply:
            for one in due:
                self.seen[one.eid] = (Fate.EXPIRED, one.exp_h, None)
                self._gone(one.eid)
            self.seen = {eid: was for eid, was in self.seen.items() if was[1] + 1 > now_h}

    def held(self) -> list[Held]:
        return [one for _, _, one in self.seen.values() if one is not None]

    @invariant()
    def same(self) -> None:
        every = [b16(n) for n in range(13)]
        assert self.store.known(every) == set(self.seen)
        for eid in every:
            fate, _, one = self.seen.get(eid, (None, 0, None))
            assert (self.store.fate(eid), self.store.envelope(eid)) == (fate, one)
        totals: dict[tuple[int, bytes, Kind], list[int]] = {}
        for one in self.held():
            sizes = totals.setdefault((one.size_class, one.origin, one.kind), [])
            sizes.append(len(one.data))
        assert sorted(
            self.store.usage(), key=lambda one: (one.size_class, one.origin, one.kind)
        ) == [Usage(*group, len(sizes), sum(sizes)) for group, sizes in sorted(totals.items())]
        order = [self.seen[eid][2] for eid in self.arrivals]
        live = [one for one in order if one is not None and one.exp_h > 6]
        assert self.store.offered(6) == sorted(
            ((one.eid, one.hint) for one in live), key=lambda pair: class_of(pair[1])
        )
        assert [one.eid for one in self.store.untried(99)] == self.waiting
        assert self.store.count_untried() == len(self.waiting)
        worst = sorted(
            (one.stamp, one.exp_h, self.arrivals.index(one.eid), one.eid, one.size_class)
            for one in self.held()
            if one.kind is Kind.CARRIED
        )
        assert self.store.evictable(origin=None, size_classes=range(4), limit=5) == [
            (eid, size_class, exp_h, stamp) for stamp, exp_h, _, eid, size_class in worst[:5]
        ]


class PlainCustodyMachine(CustodyMachine):
    """The same for the simulator's store."""

    def make(self) -> AnyStore:
        return MemoryStore()


ENOUGH = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestCustodyMachine = CustodyMachine.TestCase
TestCustodyMachine.settings = ENOUGH
TestPlainCustodyMachine = PlainCustodyMachine.TestCase
TestPlainCustodyMachine.settings = ENOUGH
