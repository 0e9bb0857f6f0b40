"""The simulator's store against the database: the same answers in the same order, also undone."""

import contextlib
import gc
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from meshchat import custody_tables
from meshchat.core import asking, exchange, offering
from meshchat.core.envelope import envelope_id, parse_header, seal
from meshchat.core.limits import RELEASE_AHEAD_MAX_S
from meshchat.core.model import (
    Act,
    ChatOptions,
    Contact,
    Fate,
    Held,
    Kind,
    Manifest,
    Message,
    Notify,
    OpenFile,
    Partial,
    Piece,
    Prekey,
    Proof,
    Reaction,
    Room,
    Session,
    State,
    Step,
    Trust,
    Version,
)
from meshchat.core.wire import write_ids, write_part
from meshchat.errors import StoreError
from meshchat.sim.memory import MemoryStore, Pool
from meshchat.store import SqlStore
from meshchat.system import SystemEntropy
from meshchat.text import Clean

Op = tuple[str, tuple[object, ...], dict[str, object]]

HOURS = st.integers(1, 9)
SMALL = st.integers(0, 9)
IDS = st.integers(0, 9).map(lambda n: bytes([255 - n]) * 16)  # arrival is not the order of ids
DONES = st.integers(0, 4).map(lambda n: bytes([99 - n]) * 16)
MIDS = st.integers(0, 7).map(lambda n: bytes([77 - n]) * 8)
FPS = st.integers(0, 3).map(lambda n: bytes([55 - n]) * 32)
CHATS = FPS.map(lambda fp: b"c" + fp) | FPS.map(lambda fp: b"r" + fp[:16])
TIMES = st.sampled_from((0.0, 1.0, 2.5, 7.0, 500.0))
# What claims to be clean and is not must come out clean of both.
WORDS = st.sampled_from(("", "Anna", "anna", "Ян", "a\x1b[31m\u202eb\nc", "x" * 60)).map(
    lambda text: str.__new__(Clean, text)
)


def held(
    eid: bytes, size_class: int, exp_h: int, done: bytes, rest: tuple[bytes, Kind, int]
) -> Held:
    part = eid[:2] if size_class > 1 else bytes(2)
    return Held(eid, size_class, exp_h, done, bytes(2) + part + eid * (size_class + 1), *rest)


def op(
    name: str, *args: st.SearchStrategy[object], **kwargs: st.SearchStrategy[object]
) -> st.SearchStrategy[Op]:
    return st.tuples(st.just(name), st.tuples(*args), st.fixed_dictionaries(kwargs))


def maybe(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.none() | values


def chunk(n: int) -> tuple[Piece, Held]:
    """A piece of a file, and its envelope as it is carried."""
    inner = bytes((6, n)) + b"piece" * (n + 1)
    data = seal(
        lambda _: inner,
        inner,
        5 + n,
        bytes([n]) * 16,
        want_proof=True,
        entropy=SystemEntropy(),
        long_term_secret=bytes(32),
        counter=n,
        secret=bytes([n]) * 32,
    )
    header = parse_header(data)
    eid = bytes([245 - n]) * 16  # no hash, but known beforehand
    envelope = Held(eid, header.size_class, header.exp_h, header.done, data, b"o1")
    return Piece(n, eid, data, bytes([n]) * 32, 2), envelope


CHUNKS = [chunk(n) for n in range(3)]
CHUNK_NUMBERS = st.integers(0, len(CHUNKS) - 1)
PIECES = st.lists(CHUNK_NUMBERS.map(lambda n: CHUNKS[n][0]), max_size=3)
CHUNKS_HELD = st.lists(CHUNK_NUMBERS.map(lambda n: CHUNKS[n][1]), max_size=3)
CHUNK_IDS = st.lists(CHUNK_NUMBERS.map(lambda n: CHUNKS[n][0].eid), max_size=3)
ORIGINS = st.sampled_from((b"", b"o2", b"o1"))
HELD = st.builds(
    held,
    IDS,
    st.integers(0, 3),
    HOURS,
    DONES,
    st.tuples(ORIGINS, st.sampled_from(Kind), SMALL.map(lambda n: n % 2)),
)
CONTACTS = st.builds(
    Contact,
    fp=FPS,
    card=st.just(b"card"),
    petname=WORDS,
    claimed=WORDS,
    trust=st.sampled_from(Trust),
    blocked=st.booleans(),
    added_at=TIMES,
)
ROOMS = st.builds(
    Room, FPS.map(lambda fp: fp[:16]), WORDS, st.just(b"k" * 32), st.booleans(), TIMES
)


def message(sealed: bool, **fields: object) -> Message:
    """No two have one envelope: its id is a hash of what is in it."""
    eid = bytes([fields["id"][0] + 178]) * 16 if sealed else b""  # type: ignore[index]
    return Message(eid=eid, **fields)  # type: ignore[arg-type]


MESSAGES = st.builds(
    message,
    sealed=st.booleans(),
    id=MIDS,
    chat=CHATS,
    author=FPS,
    author_name=WORDS,
    outgoing=st.booleans(),
    text=WORDS,
    sent_at=TIMES,
    received_at=TIMES,
    state=st.sampled_from(State),
    retracted=st.sampled_from((0.0, 0.0, 3.0)),
    mention=st.booleans(),
    vanish_s=st.sampled_from((0, 5)),
    vanish_at=st.sampled_from((0.0, 0.0, 6.0)),
    note=st.sampled_from(("", "", "timer")),
)
SESSIONS = st.builds(
    # A session is of one person for ever.
    lambda fp, number, *rest: Session(fp[:7] + bytes([number]), fp, *rest),
    *(FPS, st.integers(0, 2), IDS, st.just(b""), st.just(b""), st.booleans(), TIMES, TIMES),
)
SIDS = SESSIONS.map(lambda session: session.sid)
SENT = st.integers(0, 3)
NUMBERS = st.integers(0, 2).map(lambda n: bytes([n]) * 8)
VERSIONS = st.builds(Version, SENT, NUMBERS, WORDS, TIMES)
REACTIONS = st.builds(
    Reaction,
    MIDS,
    FPS,
    st.sampled_from(("", "+", "\U0001f44d")),
    SENT,
    NUMBERS,
    TIMES,
    st.booleans(),
)
ACTS = st.builds(Act, MIDS, st.integers(5, 7), CHATS, FPS, MIDS, st.just("x"), SENT, NUMBERS, TIMES)
OPTIONS = st.builds(
    ChatOptions, st.sampled_from(Notify), st.booleans(), st.booleans(), SMALL, SMALL, SMALL, NUMBERS
)
MANIFESTS = st.builds(
    Manifest,
    st.just(b"k" * 32),
    SMALL,
    WORDS,
    st.just(b"h" * 32),
    st.lists(IDS, max_size=2).map(tuple),
)
OPEN_FILES = st.builds(OpenFile, MIDS, FPS, st.booleans(), MANIFESTS, SMALL)
FATES = st.sampled_from((Fate.PROVEN, Fate.EVICTED, Fate.REFUSED))

CUSTODY = (
    op("add_envelopes", st.lists(HELD, max_size=5), st.just(1.0)),
    op("add_envelopes", st.lists(HELD, min_size=3, max_size=9), st.just(1.0)),
    op("add_envelopes", st.lists(HELD, max_size=5), st.just(1.0), st.frozensets(IDS)),
    op("add_refused", IDS, HOURS),
    op("tried", st.lists(IDS, max_size=4), st.sampled_from(Kind)),
    op("retry_all"),
    op("seek", st.lists(IDS, max_size=3)),
    op("drop_envelopes", st.lists(IDS, max_size=4), FATES),
    op("expire", HOURS),
    op("add_proof", st.builds(Proof, DONES, IDS, HOURS, TIMES)),
    op("save_partial", st.builds(Partial, IDS, SMALL, st.just(b"x"))),
    op("drop_partial", IDS),
    op("add_envelopes", CHUNKS_HELD, st.just(1.0)),
    op("drop_envelopes", CHUNK_IDS, FATES),
    op("save_pieces", MIDS, PIECES),
    op("drop_file", MIDS),
)
TALK = (
    op("put", st.sampled_from("ab"), IDS),
    op("add_prekey", st.builds(Prekey, FPS, FPS, HOURS, TIMES)),
    op("drop_prekeys", TIMES),
    op("save_contact", CONTACTS),
    op("save_room", ROOMS),
    op("drop_room", FPS.map(lambda fp: fp[:16])),
    op("add_message", MESSAGES),
    op("add_message", MESSAGES),
    op(
        "change_message",
        MIDS,
        state=maybe(st.sampled_from(State)),
        carriers=maybe(SMALL),
        delivered_at=maybe(TIMES),
        reason=maybe(st.just("x")),
        eid=maybe(st.just(b"")),
        text=maybe(WORDS),
        edited=maybe(TIMES),
        retracted=maybe(TIMES),
        read_at=maybe(TIMES),
        vanish_at=maybe(TIMES),
    ),
    op("moved", IDS, state=st.sampled_from(State), carriers=SMALL),
    op("message_by_envelope", IDS),
    op("save_session", SESSIONS),
    op("drop_session", SIDS),
    op("session", SIDS),
    op("sessions", FPS),
    op("expire_sessions", TIMES, TIMES),
    op("trim", CHATS, st.integers(0, 3)),
    op("mark_read", CHATS, SMALL),
    op("save_draft", CHATS, WORDS, TIMES),
    op("add_step", MIDS, st.builds(Step, TIMES, st.just("what"))),
    op("journey", MIDS),
    op("save_file", MIDS, IDS),
    op("drop_file", MIDS),
    op("save_open_file", OPEN_FILES),
    op("drop_open_file", MIDS),
    op("close_file", MIDS),
    op("save_pieces", MIDS, PIECES),
)
CONTENT = (
    op("add_message", MESSAGES),
    op("save_reaction", REACTIONS),
    op("add_version", MIDS, VERSIONS, st.just(3)),
    op("save_act", ACTS),
    op("drop_act", MIDS),
    op("save_early", ACTS, st.just(4), st.just(2)),
    op("take_early", MIDS),
    op("save_chat_options", CHATS, OPTIONS),
    op("mark_read", CHATS, SMALL),
    op("mark_told", CHATS, maybe(SMALL)),
    op("start_timers", CHATS, SMALL, TIMES),
    op("drop_old_draft", CHATS, TIMES),
    op("drop_messages", st.lists(MIDS, max_size=3), TIMES),
    op("drop_content", MIDS),
    op("forget_buried", TIMES, TIMES),
)
OPS = st.one_of(
    *(st.lists(st.one_of(*some), min_size=2, max_size=9) for some in (CUSTODY, TALK, CONTENT))
)
PARTS = st.lists(
    st.tuples(st.sampled_from(("plain", "kept", "undone", "deep")), OPS), min_size=1, max_size=4
)


class Undo(Exception):
    """Raised by a test to have something undone."""


Store = SqlStore | MemoryStore


def outcome(store: Store, what: Op) -> object:
    """What a call gives back, or the reason why it was refused."""
    name, args, kwargs = what
    try:
        if name == "moved":  # as a text that is carried or delivered
            was = store.message_by_envelope(*args)  # type: ignore[arg-type]
            return was and store.change_message(was.id, was=was, **kwargs)  # type: ignore[arg-type]
        return getattr(store, name)(*args, **kwargs)
    except StoreError as error:
        return error.reason


def played(store: Store, parts: list[tuple[str, list[Op]]]) -> list[object]:
    """Calls inside a transaction, some in savepoints, and what is seen after each part."""
    found: list[object] = []
    for way, ops in parts:
        with contextlib.suppress(Undo):
            if way == "plain":
                found += [outcome(store, what) for what in ops]
                continue
            with store.savepoint():
                half = len(ops) // 2
                if way == "deep":
                    with contextlib.suppress(Undo), store.savepoint():
                        found += [outcome(store, what) for what in ops[:half]]
                        raise Undo
                else:
                    found += [outcome(store, what) for what in ops[:half]]
                found += [outcome(store, what) for what in ops[half:]]
                if way == "undone":
                    raise Undo
        found.append(custody_of(store))
    return found


def custody_of(store: Store) -> dict[str, object]:
    """Every read about what is carried, in its order."""
    ids = [bytes([n]) * 16 for n in (*range(95, 100), *range(243, 256))]
    classes = ((0, 1, 2, 3), (3, 1, 1), ())
    return {
        "known": store.known(ids),
        "held": [store.envelope(eid) for eid in ids],
        "fates": [store.fate(eid) for eid in ids],
        "data": [store.envelope_data(eid) for eid in ids],
        "holders": ([store.holder_of(eid) for eid in ids], store.holders_of(ids)),
        "offered": [store.offered(now_h) for now_h in (0, 4, 9)],
        "untried": [store.untried(limit) for limit in (0, 2, 99)],
        "counts": (store.count_untried(), store.count_proofs()),
        "usage": store.usage(),
        "evictable": [
            store.evictable(origin=origin, size_classes=some, limit=limit)
            for origin in (None, b"", b"o1")
            for some in classes
            for limit in (2, 99)
        ],
        "proofs": [store.proof(eid) for eid in ids],
        # The one difference: proofs due at the same instant. Ordered here as the database does.
        "released": [
            sorted(store.released(wall), key=lambda done: (release_of(store, done), done))
            for wall in (0.0, 2.5, 500.0 - RELEASE_AHEAD_MAX_S)
        ],
        "in time": all(
            times == sorted(times)
            for wall in (0.0, 9.0)
            for times in [[release_of(store, done) for done in store.released(wall)]]
        ),
        "partials": (store.partials(), [store.partial(eid) for eid in ids]),
    }


def release_of(store: Store, done: bytes) -> float:
    proof = store.proof(done)
    assert proof is not None
    return proof.release_at


def talk_of(store: Store) -> dict[str, object]:
    """Every other read."""
    mids = [bytes([77 - n]) * 8 for n in range(8)]
    fps = [bytes([55 - n]) * 32 for n in range(4)]
    chats = [b"c" + fp for fp in fps] + [b"r" + fp[:16] for fp in fps]
    pages: tuple[dict[str, int], ...] = (
        {},
        {"limit": 1},
        {"before": 5},
        {"after": 3, "limit": 2},
        {"after": 1, "before": 9},
    )
    return {
        "singles": [store.get(key) for key in "abc"],
        "prekeys": store.prekeys(),
        "contacts": (store.contacts(), [store.contact(fp) for fp in fps]),
        "rooms": store.rooms(),
        "sessions": [store.sessions(fp) for fp in fps],
        "messages": [store.message(mid) for mid in mids],
        "types": [type(one.text) for one in map(store.message, mids) if one],
        "by envelope": [store.message_by_envelope(bytes([n]) * 16) for n in range(240, 256)],
        "pending": store.pending(),
        "pages": [store.messages(chat, **page) for chat in chats for page in pages],
        "sizes": [store.message_sizes(chat) for chat in chats],
        "chats": store.chats(),
        "journeys": [store.journey(mid) for mid in mids],
        "files": [store.file(mid) for mid in mids],
        "open files": store.open_files(),
        "pieces": [store.pieces(mid) for mid in mids],
    }


def content_of(store: Store) -> dict[str, object]:
    """What is done to messages and chats, and what is found."""
    mids = [bytes([77 - n]) * 8 for n in range(8)]
    fps = [bytes([55 - n]) * 32 for n in range(4)]
    chats = [b"c" + fp for fp in fps] + [b"r" + fp[:16] for fp in fps]
    return {
        "reactions": (store.reactions(mids), [store.count_reactions(mid) for mid in mids]),
        "newest": [store.reaction(mid, fp) for mid in mids for fp in fps],
        "versions": [store.versions(mid) for mid in mids],
        "acts": store.acts(),
        "options": ([store.chat_options(chat) for chat in chats], store.kept_chats()),
        "untold": (store.untold(), [store.untold_messages(chat, 2) for chat in chats]),
        "vanishing": (store.next_vanish(), store.due_to_vanish(6.5, 3)),
        "older": [store.older(chat, 2.5, 2) for chat in chats],
        "buried": [store.buried(mid) for mid in mids],
        "found": [
            store.search(text, limit=limit, before=before, chat=chat)
            for text in ("a", "\u044f", "xxx", '"anna"', "31m b", "")
            for limit in (1, 9)
            for before in (None, 4)
            for chat in (None, chats[0])
        ],
    }


class TwoStores(RuleBasedStateMachine):
    """Whatever happens to both, nobody can tell them apart."""

    @initialize(most=st.sampled_from((6, 1_000)))
    def begin(self, most: int) -> None:
        self.sql, self.plain = SqlStore.memory(), MemoryStore()
        self.saved = custody_tables.SEEN_MAX_COUNT, custody_tables.PARTIALS_MAX_COUNT
        custody_tables.SEEN_MAX_COUNT, custody_tables.PARTIALS_MAX_COUNT = most, 3

    def teardown(self) -> None:
        self.sql.close()
        custody_tables.SEEN_MAX_COUNT, custody_tables.PARTIALS_MAX_COUNT = self.saved

    @rule(parts=PARTS, fails=st.sampled_from((False, False, True)))
    def transaction(self, parts: list[tuple[str, list[Op]]], fails: bool) -> None:
        found: list[list[object]] = []
        for store in (self.sql, self.plain):
            with contextlib.suppress(Undo), store.transaction():
                found.append(played(store, parts))
                if fails:
                    raise Undo
        assert found[0] == found[1]

    @rule(parts=PARTS)
    def full_disk(self, parts: list[tuple[str, list[Op]]]) -> None:
        """The simulated disk takes nothing: as if the body had raised."""
        with contextlib.suppress(Undo), self.sql.transaction():
            played(self.sql, parts)
            raise Undo
        self.plain.full = True
        try:
            with self.plain.transaction():
                played(self.plain, parts)
        except StoreError as error:
            assert error.reason == "full"
        self.plain.full = False

    @rule(what=st.one_of(*CUSTODY, *TALK, *CONTENT))
    def outside(self, what: Op) -> None:
        """Refused by both, also where there is nothing to write."""
        assert outcome(self.sql, what) == outcome(self.plain, what)

    @rule()
    def quiet(self) -> None:
        self.sql.overwrite(1)

    @invariant()
    def bodies_have_holders(self) -> None:
        """Each body is of an envelope that is held, or of a piece, or waits to be overwritten."""
        if hasattr(self, "sql"):
            wanted = """SELECT id FROM envelopes WHERE lot IS NOT NULL
                UNION SELECT body FROM pieces WHERE body IS NOT NULL"""
            rows = self.sql._db.rows
            bodies, doomed = rows("SELECT id FROM bodies"), rows("SELECT id FROM doomed")
            assert sorted(bodies) == sorted(rows(wanted) + doomed)

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "sql"):
            return
        for view in (custody_of, talk_of, content_of):
            sql, plain = view(self.sql), view(self.plain)
            assert sql == plain


TestTwoStores = TwoStores.TestCase
TestTwoStores.settings = settings(
    max_examples=60,
    stateful_step_count=12,
    deadline=None,
    phases=[Phase.generate, Phase.shrink],  # explaining traces every line of both stores
)


# --- what only this store has ---


def body(n: int, size: int = 512) -> Held:
    eid = n.to_bytes(16, "big")
    return Held(eid, 0, 500_000 + n % 60, b"d" + eid[1:], bytes(size), b"origin%02d" % (n % 20))


def add(store: MemoryStore, *envelopes: Held) -> None:
    with store.transaction():
        store.add_envelopes(envelopes, 0.0)


@pytest.fixture
def counted() -> Iterator[Callable[[], int]]:
    """Bytes that Python holds since the test began."""
    tracemalloc.start()

    def now() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    yield now
    tracemalloc.stop()


def test_due_at_once_comes_in_order_of_arrival() -> None:
    """Whatever the bytes of ``done`` are: the order would otherwise hang on keys."""
    store = MemoryStore()
    with store.transaction():
        for first in (9, 3, 7):
            store.add_proof(Proof(bytes([first]) * 16, b"t" * 16, 50, 5.0))
        store.add_proof(Proof(b"\x05" * 16, b"t" * 16, 50, 4.0))
    assert [done[0] for done in store.released(6.0)] == [5, 9, 3, 7]


@pytest.mark.parametrize("gaps", [0, 64])
def test_proofs_expire_and_come_back_undone(gaps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those left keep their times and their order, whether or not gaps were closed, also after a
    transaction that failed, and with new ones after it."""
    monkeypatch.setattr("meshchat.sim.memory_proofs.GAPS_MAX", gaps)
    store = MemoryStore()
    proofs = [
        Proof(bytes([n]) * 16, b"t" * 16, 40 + n * 7 % 10, float(n * 13 % 17)) for n in range(40)
    ]
    with store.transaction():
        for proof in proofs:
            assert store.add_proof(proof)
    in_order = store.released(100.0)

    def expire() -> None:
        ended = store.expire(46)
        assert ended.proofs == sorted(one.done for one in proofs if one.exp_h < 46)
        store.add_proof(proofs[0])  # it was forgotten, and is told once more
        store.add_proof(Proof(b"n" * 16, b"t" * 16, 90, 3.0))

    with pytest.raises(ZeroDivisionError), store.transaction():
        expire()
        raise ZeroDivisionError
    assert store.released(100.0) == in_order
    assert [store.proof(one.done) for one in proofs] == proofs
    with store.transaction():
        expire()
    left = [one for one in proofs if one.exp_h >= 46] + [proofs[0]]
    assert [store.proof(one.done) for one in left] == left
    kept = [one.done for one in sorted(left, key=lambda one: one.release_at)]
    assert [done for done in store.released(100.0) if done != b"n" * 16] == kept


def test_full_disk_says_so_and_keeps_nothing() -> None:
    """Reading goes on, an empty transaction passes, and space again is all that is needed."""
    store = MemoryStore()
    add(store, body(1))
    store.full = True
    with pytest.raises(StoreError, match="disk is full") as caught, store.transaction():
        store.put("a", b"1")
        store.drop_envelopes([body(1).eid], Fate.EVICTED)
    assert caught.value.reason == "full"
    assert store.get("a") is None
    assert store.envelope(body(1).eid) == body(1)
    with store.transaction():
        assert store.offered(0) == [(body(1).eid, 0)]
    store.full = False
    with store.transaction():
        store.put("a", b"1")
    assert store.get("a") == b"1"


def test_a_failed_write_leaves_the_transaction_usable() -> None:
    """Nesting and a lonely savepoint are refused without harm to what is open."""
    store = MemoryStore()
    with store.transaction():
        store.put("a", b"1")
        with pytest.raises(StoreError, match="nested"), store.transaction():
            pass
        with store.savepoint():
            store.put("b", b"1")
    assert (store.get("a"), store.get("b")) == (b"1", b"1")
    with pytest.raises(StoreError), store.savepoint():
        pass


def test_an_id_forgotten_early_can_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was forgotten beyond the cap does not come up again when its hour is over."""
    monkeypatch.setattr(custody_tables, "SEEN_MAX_COUNT", 1)
    for store in (SqlStore.memory(), MemoryStore()):
        one, other = body(1), body(1)._replace(eid=b"o" * 16)
        with store.transaction():
            store.add_envelopes([one, other], 0.0)
            store.drop_envelopes([one.eid, other.eid], Fate.EVICTED)
            store.expire(1)
            assert store.known([one.eid, other.eid]) == {other.eid}
            store.add_envelopes([one], 0.0)
            assert store.expire(one.exp_h).envelopes == [(one.eid, Kind.CARRIED)]
            assert store.expire(one.exp_h + 1).envelopes == []
        assert store.known([one.eid, other.eid]) == set()
        store.close()


def test_stores_share_a_body_until_the_last_lets_go() -> None:
    """One copy for all nodes; freed when dropped, also when a store is closed."""
    pool = Pool()
    one, other = MemoryStore(pool), MemoryStore(pool)
    add(one, body(1), body(2))
    add(other, body(1)._replace(origin=b"else", data=bytes(512)), body(2))
    assert pool.held() == (2, 1024)
    mine, theirs = one.envelope(body(1).eid), other.envelope(body(1).eid)
    assert mine is not None
    assert theirs is not None
    assert mine.data is theirs.data
    assert theirs.origin == b"else"
    with one.transaction():
        one.drop_envelopes([body(1).eid], Fate.PROVEN)
    assert pool.held() == (2, 1024)
    with other.transaction():
        other.expire(500_001)
    assert pool.held() == (1, 512)
    one.close()
    other.close()
    assert pool.held() == (0, 0)
    assert set(pool.at) == {None}, "a name is left over"


def test_another_envelope_under_a_shared_id_stays_apart() -> None:
    """A pool never gives a node what it was not given."""
    pool = Pool()
    one, other = MemoryStore(pool), MemoryStore(pool)
    fake = body(1)._replace(data=b"x" * 512)
    add(one, body(1))
    add(other, fake)
    assert one.envelope(fake.eid) == body(1)
    assert other.envelope(fake.eid) == fake
    for store, token in ((one, b"t" * 16), (other, b"u" * 16)):
        with store.transaction():
            store.add_proof(Proof(b"d" * 16, token, 50))
        assert store.proof(b"d" * 16) == Proof(b"d" * 16, token, 50)


def test_ids_from_frames_are_those_held() -> None:
    """While a world runs, what neighbours say they have costs no copies of its own."""
    pool = Pool()
    one = MemoryStore(pool)
    add(one, body(1))
    (kept,) = one.offered(0)
    frame, part = write_ids([body(1).eid, body(2).eid]), write_part(body(1).eid, 0, 512, b"data")
    given, taken = vars(offering), vars(asking)  # as a node's links find them
    with pool.sharing():
        first, other = given["read_ids"](frame)
        assert first is kept[0]
        assert other == body(2).eid
        assert taken["read_part"](part)[0] is kept[0]
        assert taken["read_part"](part)[1:] == (0, 512, b"data")
    assert given["read_ids"](frame) == [body(1).eid, body(2).eid]
    assert given["read_ids"](frame)[0] is not kept[0]


def test_what_somebody_holds_is_not_hashed_again() -> None:
    """Its id is known if every byte is the same; a changed one has an id of its own."""
    data = bytes(range(256)) * 2
    kept = body(1)._replace(eid=envelope_id(data), done=data[64:80], data=data)
    pool = Pool()
    add(MemoryStore(pool), kept)
    with pool.sharing():
        id_of = vars(exchange)["envelope_id"]  # as a node finds it
        assert id_of(bytes(bytearray(data))) is kept.eid
        changed = data[:-1] + b"!"
        assert id_of(changed) == envelope_id(changed) != kept.eid
    assert vars(exchange)["envelope_id"] is envelope_id


def test_a_thousand_envelopes_are_small(counted: Callable[[], int]) -> None:
    """Beside what all share a node costs under 48 bytes for each, an empty one hardly any."""
    pool = Pool()
    bodies = [body(n) for n in range(1_000)]
    first = MemoryStore(pool)
    add(first, *bodies)
    before = counted()
    fresh = MemoryStore(pool)
    assert counted() - before < 15_000
    add(fresh, *bodies)
    with fresh.transaction():
        fresh.tried([one.eid for one in bodies], Kind.CARRIED)
    assert counted() - before < 48_000
    before = counted()
    with fresh.transaction():
        fresh.expire(600_000)
    assert counted() < before - 10_000


def test_read_values_are_not_the_store() -> None:
    """A caller may change a list it was given."""
    store = MemoryStore()
    add(store, body(1))
    message = Message(
        b"m" * 8, b"c" + bytes(32), bytes(32), Clean(), True, Clean("hi"), 0.0, 0.0, State.QUEUED
    )
    with store.transaction():
        store.add_message(message)
        store.add_step(message.id, Step(0.0, "written"))
    for read in (
        lambda: store.offered(0),
        lambda: store.messages(message.chat),
        lambda: store.message_sizes(message.chat),
        lambda: store.journey(message.id),
        store.pending,
    ):
        read().clear()
        assert len(read()) == 1
    assert store.pending() == [replace(message, seq=1)]
