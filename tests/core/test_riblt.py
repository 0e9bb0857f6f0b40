"""Set reconciliation: exact differences, no silent misses, bounded work for whoever lies."""

import json
import random
from collections.abc import Callable
from hashlib import blake2b, shake_256
from math import sqrt
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshchat.core import riblt
from meshchat.core.riblt import Decoder, Sketch, Symbol, Verdict, View, read_symbols
from meshchat.errors import WireError

GOLDEN = json.loads((Path(__file__).parent.parent / "vectors" / "riblt.json").read_text())
SALT, KEY = b"day 20000", bytes(range(32))
sizes = st.integers(0, 80)
seeds = st.integers(0, 2**32)


def some(seed: int, count: int) -> list[bytes]:
    draw = random.Random(seed)
    return [draw.randbytes(16) for _ in range(count)]


def reference(salt: bytes, ids: list[bytes], count: int) -> list[list[int]]:
    """Coded symbols made the plain way, each id by itself, without any of our code."""

    def mac(label: bytes, data: bytes, n: int) -> bytes:
        return blake2b(data, digest_size=n, key=salt, person=label).digest()

    symbols = [[0, 0, 0] for _ in range(count)]
    for eid in ids:
        short = mac(b"mc1 riblt short", eid, 8)
        made = mac(b"mc1 riblt place", short, 11)
        state, place = int.from_bytes(made[3:], "little") | 1, 0
        while place < count:
            symbol = symbols[place]
            symbol[0] ^= int.from_bytes(short, "little")
            symbol[1] ^= int.from_bytes(made[:3], "little")
            symbol[2] = (symbol[2] + 1) % 256
            state = state * 0xDA942042E4DD58B5 % 2**64
            place += int((place + 1.5) * (2.0**32 / sqrt(state) - 1.0)) + 1
    return symbols


def stream(theirs: View, decoder: Decoder, most: int = riblt.SYMBOLS_MAX) -> Verdict:
    """Feed as the decoder asks for it."""
    while decoder.verdict is Verdict.MORE and decoder.received < most:
        want = min(decoder.more(), most - decoder.received, riblt.SYMBOLS_BODY_MAX)
        decoder.feed(read_symbols(theirs.symbols(decoder.received, decoder.received + want)))
    return decoder.verdict


def settle(ours: Sketch, theirs: Sketch) -> tuple[list[bytes], list[bytes]] | None:
    """Both sides of one search: what only we have, what only they have. None is a miss."""
    view = theirs.view()
    decoder = Decoder(ours.view())
    if stream(view, decoder, 2_000) is not Verdict.DECODED:
        return None
    common, marks = decoder.answer(KEY)
    found = view.read(KEY, common, marks)
    if found is None:
        return None
    assert sorted(decoder.theirs) == decoder.theirs
    assert all(theirs.find(short) in found for short in decoder.theirs)
    return decoder.ours, sorted(found)


@given(sizes, sizes, sizes, seeds)
@settings(max_examples=60, deadline=None)
def test_any_two_sets_decode_exactly(both: int, left: int, right: int, seed: int) -> None:
    """Whatever the sets, both sides learn the exact difference, and only equal sets are equal."""
    ids = some(seed, both + left + right)
    only_a, only_b = ids[both : both + left], ids[both + left :]
    a, b = Sketch(SALT, ids[:both] + only_a), Sketch(SALT, only_b + ids[:both])
    assert settle(a, b) == (sorted(only_a), sorted(only_b))
    assert (a.digest(KEY) == b.digest(KEY)) == (not left + right)


@pytest.mark.parametrize("left, right", [(0, 1_000), (600, 30), (257, 0), (256, 0), (0, 514)])
def test_counts_modulo_256_do_not_confuse(left: int, right: int) -> None:
    """Sets far apart in size: one byte of count, and the difference is exact all the same."""
    ids = some(left, left + right + 40)
    a, b = Sketch(SALT, ids[: left + 40]), Sketch(SALT, ids[left:])
    assert settle(a, b) == (sorted(ids[:left]), sorted(ids[left + 40 :]))


def test_beyond_the_symbols_kept() -> None:
    """More differences than the kept symbols show: the rest is made when asked for."""
    ids = some(3, 6_000)
    a, b = Sketch(SALT, ids[:4_500]), Sketch(SALT, ids[900:])
    decoder = Decoder(a.view())
    assert stream(b.view(), decoder) is Verdict.DECODED
    assert decoder.received > riblt.PREFIX_MAX_SYMBOLS
    assert decoder.ours == sorted(ids[:900])
    assert len(decoder.theirs) == 1_500


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 90)), max_size=300), seeds)
@settings(max_examples=40, deadline=None)
def test_kept_up_is_the_same_as_made_anew(changes: list[tuple[bool, int]], seed: int) -> None:
    """Adding and removing in any order, also twice, gives what the set itself gives."""
    ids = some(seed, 91)
    kept, held = Sketch(SALT), set[bytes]()
    for adds, index in changes:
        (kept.add if adds else kept.remove)(ids[index])
        (held.add if adds else held.discard)(ids[index])
    fresh = Sketch(SALT, sorted(held))
    assert len(kept) == len(held) == len(kept.view())
    assert set(kept) == held
    assert all((eid in kept) == (eid in held) for eid in ids)
    assert kept.view().symbols(0, 200) == fresh.view().symbols(0, 200)
    assert kept.digest(KEY) == fresh.digest(KEY) == fresh.salted(b"other").digest(KEY)
    assert fresh.salted(b"x").view().symbols(0, 9) == Sketch(b"x", held).view().symbols(0, 9)


@given(st.integers(0, 150), st.integers(1, 300), st.integers(0, 300), seeds)
@settings(max_examples=40, deadline=None)
def test_one_stream_however_it_is_cut(size: int, stop: int, cut: int, seed: int) -> None:
    """Pieces join to the stream, and the stream is that of the plain reference."""
    ids = some(seed, size)
    view, cut = Sketch(SALT, ids).view(), min(cut, stop)
    whole = view.symbols(0, stop)
    assert view.symbols(0, cut) + view.symbols(cut, stop) == whole
    assert [list(symbol) for symbol in read_symbols(whole)] == reference(SALT, ids, stop)


@pytest.mark.parametrize("size", [20, 100, 3_000])
def test_a_view_stays_as_it_was(size: int) -> None:
    """What comes and goes while a neighbour is compared does not disturb it."""
    ids = some(size, size + 50)
    held, late = ids[:size], ids[size:]
    sketch, still = Sketch(SALT, held), Sketch(SALT, held)
    view, calm = sketch.view(), still.view()
    for eid in late:
        sketch.add(eid)
    for eid in held[::2] + late[:20]:
        sketch.remove(eid)
    sketch.add(held[0])
    assert view.symbols(0, 4_000) == calm.symbols(0, 4_000)
    assert view.common(KEY, held[:3]) == Sketch(SALT, held[3:]).digest(KEY)
    decoder = Decoder(view)
    assert stream(Sketch(SALT, held[5:]).view(), decoder) is Verdict.DECODED
    assert decoder.ours == sorted(held[:5])
    other = Decoder(Sketch(SALT, held[7:] + late[:1]).view())
    assert stream(calm, other) is Verdict.DECODED
    found = view.read(KEY, *other.answer(KEY))
    assert found is not None
    assert sorted(found) == sorted(held[:7])


def test_the_first_symbols_by_count() -> None:
    """Who knows that the counts differ sends what that alone needs, within the stream."""
    assert [riblt.first_symbols(count) for count in (0, 10, 1_000, 10**9)] == [
        17,
        17,
        1_420,
        riblt.SYMBOLS_MAX,
    ]


def test_sets_too_far_apart_are_given_up() -> None:
    """At the end of the stream there is a verdict, and nothing more to ask for."""
    ids = some(8, 9_000)
    decoder = Decoder(Sketch(SALT, ids[:100]).view())
    assert stream(Sketch(SALT, ids).view(), decoder) is Verdict.GAVE_UP
    assert decoder.received == riblt.SYMBOLS_MAX


def test_a_stream_costs_what_the_paper_says() -> None:
    """About 1.4 symbols for each difference, none for what is common."""
    spent = 0
    for seed in range(10):
        ids = some(seed, 400)
        theirs, decoder = Sketch(SALT, ids[50:]).view(), Decoder(Sketch(SALT, ids[:350]).view())
        while decoder.verdict is Verdict.MORE:
            decoder.feed(read_symbols(theirs.symbols(decoder.received, decoder.received + 1)))
        spent += decoder.received
    assert 1.25 < spent / 1_000 < 1.6


# --- collisions --------------------------------------------------------------------------------


class Weak(Sketch):
    """Short ids under the public salt are what their first byte says: anybody can collide."""

    def _short(self, eid: bytes) -> int:
        return super()._short(eid[:1] if self.salt == SALT else eid)


@given(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)))
@settings(max_examples=60, deadline=None)
def test_colliding_ids_are_never_missed(left: set[int], right: set[int]) -> None:
    """A miss under the public salt shows, and the session's key finds what is hidden."""
    ids = [bytes((number % 7,)) + eid for number, eid in enumerate(some(1, 41))]
    a, b = Weak(SALT), Weak(SALT)
    for number in left:
        a.add(ids[number])
    for number in right:
        b.add(ids[number])
    want = sorted(ids[n] for n in left - right), sorted(ids[n] for n in right - left)
    assert settle(a, b) in (None, want)
    assert settle(a.salted(KEY), b.salted(KEY)) == want
    assert (a.digest(KEY) == b.digest(KEY)) == (left == right)
    for number in left:
        a.remove(ids[number])
    assert not len(a)
    assert a.view().symbols(0, 99) == Sketch(SALT).view().symbols(0, 99)


def test_one_hidden_behind_another() -> None:
    """The pair that cancels out: decoding sees no difference, the digest does."""
    first, second = b"A" * 16, b"A" + bytes(15)
    a, b = Weak(SALT, [first]), Weak(SALT, [second])
    decoder = Decoder(a.view())
    assert stream(b.view(), decoder) is Verdict.DECODED
    assert not decoder.ours and not decoder.theirs
    assert b.view().read(KEY, *decoder.answer(KEY)) is None


def test_marks_that_mean_several(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which of several ids with a mark is meant, the digest tells; too many are a miss."""
    ids = some(9, 60)
    a, b = Sketch(SALT, ids[6:]), Sketch(SALT, ids)
    for space, sure in ((1 << 8, True), (1, False)):
        monkeypatch.setattr(riblt, "_MARK_SPACE", space)
        found = settle(a, b)
        assert found == ([], sorted(ids[:6])) or (found is None and not sure)


def test_a_wrong_answer_is_a_miss() -> None:
    """Marks of nothing, marks too often, a digest of something else."""
    ids = some(5, 50)
    view, decoder = Sketch(SALT, ids).view(), Decoder(Sketch(SALT, ids[4:]).view())
    assert stream(view, decoder) is Verdict.DECODED
    common, marks = decoder.answer(KEY)
    assert view.read(KEY, common, marks) is not None
    assert view.read(KEY, common, []) is None
    assert view.read(KEY, common, marks + marks) is None
    assert view.read(KEY, common, [*marks, 5]) is None
    assert view.read(KEY, bytes(12), marks) is None
    assert view.read(bytes(32), common, marks) is None


def test_marks_of_what_came_later_are_a_miss() -> None:
    """A view of nothing, asked for what arrived since."""
    sketch, ids = Sketch(SALT), some(6, 3)
    view, decoder = sketch.view(), Decoder(Sketch(SALT).view())
    for eid in ids:
        sketch.add(eid)
    assert stream(sketch.view(), decoder) is Verdict.DECODED
    assert view.read(KEY, bytes(12), decoder.answer(KEY)[1]) is None


# --- hostile streams ---------------------------------------------------------------------------


def forged(kind: str, draw: random.Random) -> Symbol:
    short = draw.choice((7, draw.getrandbits(64)))
    if kind == "noise":
        return draw.getrandbits(64), draw.getrandbits(32), draw.getrandbits(8)
    if kind == "ones":
        return 2**64 - 1, 2**24 - 1, 255
    if kind == "pure":  # each can be peeled, and undoes what was peeled before
        return short, riblt._split(SALT, short)[0], draw.choice((1, 255))
    return 7, riblt._split(SALT, 7)[0], draw.choice((1, 255))


@pytest.mark.parametrize("kind", ["noise", "ones", "pure", "cycle"])
@pytest.mark.parametrize("batch", [1, 64, 1_024])
def test_lies_end_in_bounded_work(kind: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symbols of no set: nothing is found, and the work grows with what was sent only."""
    draw = random.Random(kind)
    decoder = Decoder(Sketch(SALT, some(1, 500)).view())
    tests = 0
    split: Callable[[bytes, int], tuple[int, int]] = riblt._split

    def counted(salt: bytes, short: int) -> tuple[int, int]:
        nonlocal tests
        tests += 1
        return split(salt, short)

    most = 1_024 if batch == 1 else 20_000
    monkeypatch.setattr(riblt, "_split", counted)
    fed = 0
    while decoder.verdict is Verdict.MORE and fed < most:
        symbols = [forged(kind, draw) for _ in range(batch)]
        tests = tests if kind in ("noise", "ones") else tests - batch
        decoder.feed(symbols)
        fed += batch
        assert decoder.received <= riblt.SYMBOLS_MAX
    assert tests <= 40 * (2 * fed + riblt.PEELS_SPARE)
    assert decoder.verdict is not Verdict.DECODED
    assert decoder.verdict is Verdict.GAVE_UP or fed == 1_024
    assert not decoder.ours and not decoder.theirs


@given(
    st.lists(
        st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**24 - 1), st.integers(0, 255)),
        max_size=60,
    )
)
def test_any_symbols_get_a_verdict(symbols: list[Symbol]) -> None:
    """No exception, whatever was read."""
    decoder = Decoder(Sketch(SALT, some(1, 40)).view())
    for symbol in symbols:
        decoder.feed([symbol])
    assert decoder.feed([]) is decoder.verdict
    if decoder.verdict is Verdict.MORE:
        assert 1 <= decoder.more() <= max(riblt.FIRST_SYMBOLS, 2 * decoder.received)


def test_what_we_never_had_is_no_difference() -> None:
    """A stream that decodes to ids only we hold, and we do not."""
    short = 7
    check, seed = riblt._split(SALT, short)
    places = riblt._places(seed, 0, 20)[0]
    decoder = Decoder(Sketch(SALT).view())
    lie = [(short, check, 255) if place in places else (0, 0, 0) for place in range(20)]
    assert decoder.feed(lie) is Verdict.GAVE_UP
    assert not decoder.ours
    assert decoder.feed(lie) is Verdict.GAVE_UP


def test_a_false_peel_heals() -> None:
    """An id that only seems to be alone is taken back when the rest is known."""
    ids = some(2, 30)
    theirs, decoder = Sketch(SALT, ids).view(), Decoder(Sketch(SALT).view())
    check, seed = riblt._split(SALT, 99)
    decoder.feed(read_symbols(theirs.symbols(0, 10)))
    decoder._found[99] = 1  # as if it had been found in symbol 0 by chance
    places, seed, ahead = riblt._places(seed, 0, 10)
    decoder._left.take(places, 99, check, 1)
    decoder._ahead.append((ahead, seed, 99, check, 1))
    assert stream(theirs, decoder) is Verdict.DECODED
    assert len(decoder.theirs) == 30


# --- bytes -------------------------------------------------------------------------------------


def write_symbols(symbols: list[Symbol]) -> bytes:
    return b"".join(
        total.to_bytes(8, "little") + bytes((count,)) + check.to_bytes(3, "little")
        for total, check, count in symbols
    )


BODIES: list[tuple[Callable[[bytes], object], Callable[..., bytes]]] = [
    (riblt.read_symbols, write_symbols),
    (riblt.read_shorts, riblt.write_shorts),
    (riblt.read_marks, riblt.write_marks),
    (riblt.read_common, bytes),
]


@given(st.sampled_from(BODIES), st.binary(max_size=120) | st.just(bytes(12)))
def test_read_is_exact(
    body: tuple[Callable[[bytes], object], Callable[..., bytes]], data: bytes
) -> None:
    """Any bytes are refused, or written back the same."""
    read, write = body
    try:
        value = read(data)
    except WireError:
        return
    assert write(value) == data


@pytest.mark.parametrize(
    ("read", "body", "reason"),
    [
        (riblt.read_symbols, b"", "symbols_length"),
        (riblt.read_symbols, bytes(13), "symbols_length"),
        (riblt.read_symbols, bytes(12 * 1_025), "symbols_length"),
        (riblt.read_shorts, b"", "shorts_length"),
        (riblt.read_shorts, bytes(9), "shorts_length"),
        (riblt.read_shorts, bytes(8 * 1_025), "shorts_length"),
        (riblt.read_shorts, bytes(16), "shorts_order"),
        (riblt.read_shorts, b"b" * 8 + b"a" * 8, "shorts_order"),
        (riblt.read_marks, b"", "marks_length"),
        (riblt.read_marks, bytes(3), "marks_length"),
        (riblt.read_marks, bytes(4 * 1_025), "marks_length"),
        (riblt.read_marks, b"\2\0\0\0\1\0\0\0", "marks_order"),
        (riblt.read_marks, b"\0\0\0\x40", "marks_order"),
        (riblt.read_common, bytes(11), "common_length"),
        (riblt.read_common, bytes(13), "common_length"),
    ],
)
def test_malformed_bodies(read: Callable[[bytes], object], body: bytes, reason: str) -> None:
    """Each has its reason."""
    with pytest.raises(WireError) as caught:
        read(body)
    assert caught.value.reason == reason


def test_no_symbols_beyond_the_end() -> None:
    """Our own code has to stop before."""
    with pytest.raises(ValueError, match="beyond"):
        Sketch(SALT).view().symbols(0, riblt.SYMBOLS_MAX + 1)


@pytest.mark.parametrize("vector", GOLDEN["sets"], ids=lambda vector: vector["name"])
def test_golden_vectors(vector: dict[str, object]) -> None:
    """Bytes of symbols, digests and answers as frozen, and as the reference makes them."""
    salt, key = bytes.fromhex(str(vector["salt"])), bytes.fromhex(str(vector["session_key"]))
    made = shake_256(str(vector["ids"]).encode()).digest(16 * int(str(vector["count"])))
    ids = [made[at : at + 16] for at in range(0, len(made), 16)]
    first, second = int(str(vector["only_first"])), int(str(vector["only_second"]))
    a, b = Sketch(salt, ids[: len(ids) - second]), Sketch(salt, ids[first:])
    symbols = bytes.fromhex(str(vector["symbols"]))
    assert b.view().symbols(0, len(symbols) // 12) == symbols
    assert reference(salt, ids[first:], len(symbols) // 12) == list(
        map(list, read_symbols(symbols))
    )
    assert [a.digest(key).hex(), b.digest(key).hex()] == vector["digests"]
    decoder = Decoder(a.view())
    assert decoder.feed(read_symbols(symbols)) is Verdict.DECODED
    common, marks = decoder.answer(key)
    assert riblt.write_marks(marks).hex() == vector["marks"]
    assert common.hex() == vector["common"]
    assert riblt.write_shorts(decoder.theirs).hex() == vector["shorts"]
