"""Negentropy: any two sets, hostile messages, and what the reference said, byte for byte."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshchat.core import negentropy
from meshchat.core.negentropy import (
    BUCKETS,
    FRAME_MIN_BYTES,
    ID_BYTES,
    LIST_MAX,
    MESSAGE_MAX_BYTES,
    RANGES_MAX,
    TIMESTAMP_MAX,
    VERSION,
    Negentropy,
    Reconciliation,
    Vector,
)
from meshchat.errors import QuotaError, WireError

VECTORS = json.loads(
    (Path(__file__).parent.parent / "vectors" / "negentropy.json").read_text(encoding="utf-8")
)
HARNESS = os.environ.get("MESHCHAT_NEGENTROPY_HARNESS", "")
LIMITS = st.sampled_from((0, FRAME_MIN_BYTES, FRAME_MIN_BYTES + 1, 5_000, 20_000, 2**40))
EMPTY = sha256(bytes(ID_BYTES + 1)).digest()[:16]  # fingerprint of no items
INFINITY = b"\0\0"

Item = tuple[int, bytes]


def numbered(number: int) -> bytes:
    """The id of a number, here and in the vectors."""
    return sha256(str(number).encode()).digest()


def vector(items: list[Item]) -> Vector:
    made = Vector(items)
    made.seal()
    return made


@st.composite
def large(draw: st.DrawFn) -> tuple[list[Item], list[Item]]:
    """Two sets of hundreds, so that ranges are cut and frames get full."""
    shared, first, second = (draw(st.integers(0, most)) for most in (900, 300, 300))
    step = draw(st.sampled_from((0, 1, 3, 2**40)))
    start = draw(st.integers(0, 10**6))
    mixed = draw(st.booleans())  # else what differs is newer than the rest, one after the other
    items = [
        (k * step if not mixed else int.from_bytes(numbered(-k)[:2]) * step, numbered(start + k))
        for k in range(shared + first + second)
    ]
    return items[: shared + first], items[:shared] + items[shared + first :]


@st.composite
def close(draw: st.DrawFn) -> tuple[list[Item], list[Item]]:
    """Two sets of items that differ in few bytes, many of them zeros."""
    byte = st.sampled_from((0, 1, 255))
    ids = st.builds(
        lambda head, zeros, tail: (bytes(head) + bytes(zeros) + bytes(tail)).ljust(32, b"\0")[:32],
        st.lists(byte, max_size=3),
        st.integers(0, 31),
        st.lists(byte, max_size=3),
    )
    times = st.sampled_from((0, 1, 2, 2**32, TIMESTAMP_MAX - 1, TIMESTAMP_MAX))
    # An id has one timestamp: what each side names by its id alone is then one item.
    items = list(draw(st.dictionaries(ids, times, max_size=150)).items())
    where = draw(st.lists(st.integers(0, 2), min_size=len(items), max_size=len(items)))
    found = [(at, item_id, side) for (item_id, at), side in zip(items, where, strict=True)]
    return [(a, i) for a, i, side in found if side != 1], [
        (a, i) for a, i, side in found if side != 0
    ]


def converse(
    ours: list[Item], theirs: list[Item], limits: tuple[int, int]
) -> tuple[list[bytes], list[bytes], list[int], list[int]]:
    """A whole conversation: have and need as told, and the sizes of both sides' messages."""
    client, server = (
        Negentropy(vector(items), limit)
        for items, limit in zip((ours, theirs), limits, strict=True)
    )
    have: list[bytes] = []
    need: list[bytes] = []
    up: list[int] = []
    down: list[int] = []
    message: bytes | None = client.initiate()
    while message is not None:
        up.append(len(message))
        assert len(up) < 1_000, "it goes round in circles"
        reply, nothing, nor = server.reconcile(message)
        assert reply is not None and not nothing and not nor
        down.append(len(reply))
        message, more, wanted = client.reconcile(reply)
        have += more
        need += wanted
    return have, need, up, down


@given(st.one_of(large(), close()), LIMITS, LIMITS)
@settings(max_examples=60, deadline=None)
@example(([], []), 0, 0)
def test_the_difference_is_found(
    sets: tuple[list[Item], list[Item]], limit: int, other: int
) -> None:
    """Any two sets, whoever asks, with any limits: exactly both differences, in frames that fit."""
    for first, second in (sets, sets[::-1]):
        have, need, up, down = converse(first, second, (limit, other))
        ours, theirs = ({item_id for _, item_id in items} for items in (first, second))
        assert set(have) == ours - theirs
        assert set(need) == theirs - ours
        if not limit and not other:
            assert len(set(have)) == len(have) and len(set(need)) == len(need)
        assert not limit or max(up) <= limit
        assert not other or max(down) <= other


def test_the_cost_grows_with_the_difference() -> None:
    """Equal sets cost one fingerprint for each bucket; a difference costs two round trips."""
    items = [(k, numbered(k)) for k in range(5_000)]
    *_, up, down = converse(items, items, (0, 0))
    assert up[0] < 24 * BUCKETS and down == [1]
    *_, up, down = converse(items[1:], items, (0, 0))
    assert len(up) <= 3 and sum(up) + sum(down) < 2_500


def test_a_full_frame_loses_nothing_where_the_other_side_is_empty() -> None:
    """Who cuts a frame before a range the other has nothing in still gets to tell it.

    The reference's client loses its items there: its fingerprint of the rest leaves them out,
    which is then that of no items, and the other side finds it right.
    """
    items = [(k, numbered(k)) for k in range(4 * 25 + LIST_MAX)]
    client = Negentropy(vector(items), FRAME_MIN_BYTES)
    client.initiate()
    # Four ranges of 25 items where the server has something else, then one where it has nothing.
    differ = b"".join(bytes((26, 0, 1)) + bytes(16) for _ in range(4))
    reply, *_ = client.reconcile(bytes((VERSION,)) + differ + INFINITY + b"\1" + EMPTY)
    assert reply is not None
    told = 4 * 25  # the range that did not fit and all that follows is one range again
    assert reply[-19:] == INFINITY + b"\1" + vector(items).fingerprint(told, len(items))
    reply, *_ = Negentropy(vector([])).reconcile(reply)
    assert reply is not None
    _, have, need = client.reconcile(reply)
    assert have == [item_id for _, item_id in items] and not need


# Hostile messages


def message(*parts: str) -> bytes:
    return bytes((VERSION,)) + bytes.fromhex("".join(parts))


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"", "negentropy_length"),
        (b"\x5f", "negentropy_version"),
        (b"\x70", "negentropy_version"),
        (message("00"), "negentropy_varint"),
        (message("0000"), "negentropy_varint"),
        (message("000001", "aa" * 15), "negentropy_length"),
        (message("000002"), "negentropy_varint"),
        (message("00000201", "aa" * 31), "negentropy_length"),
        (message("000002", "81ffffffffffffffff7f"), "negentropy_length"),
        (message("000002", "82808080808080808000"), "negentropy_varint"),
        (message("000002", "8180808080808080808000"), "negentropy_varint"),
        (message("000002", "ff" * 1_000), "negentropy_varint"),
        (message("0000028000"), "negentropy_varint"),
        (message("0000", "03"), "negentropy_mode"),
        (message("0000", "8100"), "negentropy_mode"),
        (message("0100", "00", "0121", "aa" * 33, "00"), "negentropy_bound"),
        (message("0001", "aa", "00"), "negentropy_bound"),
        (message("0220", "aa" * 31), "negentropy_length"),
        (message("0201aa00", "0101a900"), "negentropy_order"),
        (message("0201aa00", "010000"), "negentropy_order"),
        (message("000000", "010000"), "negentropy_timestamp"),
        (message("0200", "00", "81ffffffffffffffff7f", "0000"), "negentropy_timestamp"),
    ],
)
@pytest.mark.parametrize("initiator", [True, False])
def test_malformed_messages(bad: bytes, reason: str, initiator: bool) -> None:
    """Each thing that can be wrong has its reason, at both sides."""
    talk = Negentropy(vector([(1, numbered(1))]))
    if initiator:
        talk.initiate()
    with pytest.raises(WireError) as caught:
        talk.reconcile(bad)
    assert caught.value.reason == reason


def test_what_is_odd_but_right() -> None:
    """Empty ranges are: equal bounds, one written longer, and a range after infinity."""
    talk = Negentropy(vector([(1, numbered(1))]))
    odd = message("0201aa00", "0102aa0000", "0101aa00", "000000", "000001", EMPTY.hex())
    assert talk.reconcile(odd) == (bytes((VERSION,)), [], [])


HOSTILE_ITEMS = [(k // 3, numbered(k)) for k in range(700)]
HOSTILE_REPLIES = [
    Negentropy(vector(HOSTILE_ITEMS[::2]), limit).reconcile(Negentropy(vector(items)).initiate())[0]
    or b""
    for limit in (0, FRAME_MIN_BYTES)
    for items in (HOSTILE_ITEMS[:20], HOSTILE_ITEMS[1:], HOSTILE_ITEMS)
]


class Counting(Vector):
    """A vector that counts what is asked of it."""

    asked = 0

    def place(self, bound: bytes, first: int = 0) -> int:
        self.asked += 1
        return super().place(bound, first)

    def fingerprint(self, first: int, end: int) -> bytes:
        self.asked += 1
        return super().fingerprint(first, end)


def take(hostile: bytes, initiator: bool, limit: int) -> None:
    """Take any bytes: WireError or an answer, and in work bounded by the message and the set."""
    items = Counting(HOSTILE_ITEMS)
    items.seal()
    talk = Negentropy(items, limit)
    if initiator:
        talk.initiate()
    items.asked = 0
    try:
        reply, have, need = talk.reconcile(hostile)
    except WireError:
        return
    assert items.asked <= 2 * len(hostile) + 2 * len(HOSTILE_ITEMS)
    assert len(have) <= len(items) and len(need) <= len(hostile) // ID_BYTES
    assert reply is None or len(reply) <= 80 * len(hostile) + 2 * ID_BYTES * len(items)
    assert reply is None or not limit or len(reply) <= limit


@given(
    st.binary(max_size=400).map(lambda body: bytes((VERSION,)) + body),
    st.booleans(),
    st.sampled_from((0, FRAME_MIN_BYTES)),
)
@settings(max_examples=150, deadline=None)
def test_random_bytes(hostile: bytes, initiator: bool, limit: int) -> None:
    """Noise behind the version byte."""
    take(hostile, initiator, limit)


@given(st.sampled_from(HOSTILE_REPLIES), st.data(), st.booleans())
@settings(max_examples=150, deadline=None)
def test_damaged_messages(true: bytes, data: st.DataObject, initiator: bool) -> None:
    """True messages with bits turned, pieces cut out, doubled or put elsewhere."""
    damaged = bytearray(true)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(damaged) - 1))
        end = data.draw(st.integers(at, min(len(damaged), at + 60)))
        how = data.draw(st.sampled_from(("bit", "cut", "double", "end")))
        if how == "bit":
            damaged[at] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "cut":
            del damaged[at:end]
        elif how == "double":
            damaged[at:at] = damaged[at:end]
        else:
            del damaged[at:]
        if not damaged:
            break
    take(bytes(damaged), initiator, data.draw(st.sampled_from((0, FRAME_MIN_BYTES))))


def ranges() -> st.SearchStrategy[bytes]:
    """Ranges of the right form that say anything."""
    bound = st.one_of(
        st.just(INFINITY),
        st.builds(
            lambda offset, prefix: bytes((offset + 1, len(prefix))) + prefix,
            st.integers(0, 100),
            st.binary(max_size=4),
        ),
    )
    payload = st.one_of(
        st.just(b"\0"),
        st.binary(min_size=16, max_size=16).map(lambda print_: b"\1" + print_),
        st.just(b"\1" + EMPTY),
        st.lists(st.binary(min_size=32, max_size=32), max_size=3).map(
            lambda ids: bytes((2, len(ids))) + b"".join(ids)
        ),
    )
    return st.builds(lambda head, tail: head + tail, bound, payload)


@given(
    st.lists(ranges(), max_size=60).map(b"".join),
    st.booleans(),
    st.sampled_from((0, FRAME_MIN_BYTES)),
)
@settings(max_examples=150, deadline=None)
def test_liars(body: bytes, initiator: bool, limit: int) -> None:
    """Messages of the right form whose fingerprints and lists are lies."""
    take(bytes((VERSION,)) + body, initiator, limit)


def test_bounds_of_a_message() -> None:
    """Longer messages and more ranges than any honest one are refused unread."""
    talk = Negentropy(vector(HOSTILE_ITEMS))
    with pytest.raises(WireError, match="length"):
        talk.reconcile(bytes((VERSION,)) * (MESSAGE_MAX_BYTES + 1))
    assert talk.reconcile(bytes((VERSION,)) + b"\1\0\0" * RANGES_MAX)[0] == bytes((VERSION,))
    with pytest.raises(WireError, match="ranges"):
        talk.reconcile(bytes((VERSION,)) + b"\1\0\0" * (RANGES_MAX + 1))


def test_versions() -> None:
    """Another version is answered with ours; who asked in ours takes it as wrong."""
    talk = Negentropy(vector([(12_345, b"\xee" * 32)]))
    for other in (0x60, 0x62, 0x6F):
        assert talk.reconcile(bytes((other,)) + b"anything") == (bytes((VERSION,)), [], [])
    assert talk.reconcile(message("00000200"))[0] == message("00000201", "ee" * 32)
    talk.initiate()
    with pytest.raises(WireError, match="version"):
        talk.reconcile(b"\x62")


def test_faults_of_our_own() -> None:
    """What a caller cannot mean is a ValueError."""
    for timestamp, item_id in ((-1, bytes(32)), (2**64 - 1, bytes(32)), (1, bytes(16))):
        with pytest.raises(ValueError, match="item"):
            Vector().insert(timestamp, item_id)
    with pytest.raises(ValueError, match="twice"):
        vector([(1, bytes(32)), (2, bytes(32)), (1, bytes(32))])
    sealed = vector([])
    with pytest.raises(ValueError, match="sealed"):
        sealed.insert(1, bytes(32))
    with pytest.raises(ValueError, match="sealed"):
        sealed.seal()
    with pytest.raises(ValueError, match="seal"):
        Negentropy(Vector())
    with pytest.raises(ValueError, match="limit"):
        Negentropy(sealed, FRAME_MIN_BYTES - 1)
    talk = Negentropy(sealed)
    talk.initiate()
    with pytest.raises(ValueError, match="initiated"):
        talk.initiate()


# Envelopes


def envelopes(*numbers: int) -> list[tuple[int, bytes]]:
    return [(495_000 + k % 7, numbered(k)[:16]) for k in numbers]


@pytest.mark.parametrize("limit", [0, FRAME_MIN_BYTES])
def test_envelopes(limit: int) -> None:
    """Two neighbours learn what each lacks, each thing once, by ids of 16 bytes."""
    ours = Reconciliation(envelopes(*range(900)), limit)
    theirs = Reconciliation(envelopes(*range(400, 1_300)), limit)
    said: bytes | None = ours.initiate()
    while said is not None:
        reply = theirs.answer(said)
        assert reply is not None
        said = ours.answer(reply)
    assert sorted(ours.have) == sorted(eid for _, eid in envelopes(*range(400)))
    assert sorted(ours.need) == sorted(eid for _, eid in envelopes(*range(900, 1_300)))
    assert not theirs.have and not theirs.need


def test_envelope_liars(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ids that are no envelope's, ids of ours as if we lacked them, talk without end."""
    ours = Reconciliation(envelopes(*range(100)))
    ours.initiate()
    with pytest.raises(WireError, match="padding"):
        ours.answer(message("00000201", "ee" * 32))
    known = envelopes(5)[0][1]
    lie = message("010002", "01", (known + bytes(16)).hex())  # in a range that ends at hour 0
    assert ours.answer(lie) is None
    assert known not in ours.need
    monkeypatch.setattr(negentropy, "NEEDS_MAX", 1)
    with pytest.raises(QuotaError, match="needs"):
        ours.answer(message("010002", "01", (numbered(-1)[:16] + bytes(16)).hex()))
    monkeypatch.setattr(negentropy, "ROUNDS_MAX", 3)
    with pytest.raises(QuotaError, match="rounds"):
        ours.answer(message("0000", "01", "ee" * 16))
    with pytest.raises(ValueError, match="item"):
        Reconciliation([(1, bytes(32))])


# What the reference says


@pytest.mark.parametrize("talk", VECTORS["conversations"], ids=lambda talk: talk["name"])
def test_recorded_conversations(talk: dict[str, Any]) -> None:
    """Both ends, each fed what the reference's other end said, say what the reference said."""
    limits = talk["frame_limits"]
    client, server = (
        Negentropy(vector([(at, numbered(number)) for at, number in items]), limit)
        for items, limit in zip(
            (talk["both"] + talk["client"], talk["both"] + talk["server"]), limits, strict=True
        )
    )
    have: list[bytes] = []
    need: list[bytes] = []
    said: bytes | None = client.initiate()
    for up, down in talk["messages"]:
        assert said is not None and said.hex() == up
        reply, *_ = server.reconcile(bytes.fromhex(up))
        assert reply is not None and reply.hex() == down
        said, more, wanted = client.reconcile(bytes.fromhex(down))
        have += more
        need += wanted
    assert said is None
    for told, numbers in ((have, talk["client"]), (need, talk["server"])):
        assert sorted(set(told)) == sorted(numbered(number) for _, number in numbers)


@contextmanager
def harness(command: str, items: list[Item], limit: int) -> Iterator[Callable[[str], list[str]]]:
    """A harness of the reference's line protocol, as a function: a line in, its lines out."""
    environment = {**os.environ, "FRAMESIZELIMIT": str(limit)}
    with subprocess.Popen(
        shlex.split(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        assert process.stdin and process.stdout
        for at, item_id in items:
            process.stdin.write(f"item,{at},{item_id.hex()}\n")
        process.stdin.write("seal\n")

        def ask(line: str) -> list[str]:
            assert process.stdin and process.stdout
            process.stdin.write(line + "\n")
            process.stdin.flush()
            lines = [process.stdout.readline().strip()]
            while lines[-1].startswith(("have", "need")):
                lines.append(process.stdout.readline().strip())
            return lines

        try:
            yield ask
        finally:
            process.kill()


@pytest.mark.skipif(
    not HARNESS, reason="MESHCHAT_NEGENTROPY_HARNESS names no harness of the reference"
)
@pytest.mark.parametrize("limits", [(0, 0), (FRAME_MIN_BYTES, 0), (5_000, FRAME_MIN_BYTES)])
@pytest.mark.parametrize("turn", [False, True], ids=["we ask", "it asks"])
def test_with_the_reference(limits: tuple[int, int], turn: bool) -> None:
    """A conversation with a program that runs now, in either role."""
    shared = [(1_700_000_000 + k // 5, numbered(k)) for k in range(3_000)]
    ours = shared[:2_000] + shared[2_300:]
    theirs = shared[200:2_150] + shared[2_200:]
    command = HARNESS
    talk = Negentropy(vector(ours), limits[0])
    with harness(command, theirs, limits[1]) as ask:
        told: list[str] = []
        if turn:
            line = ask("initiate")[-1]
            while line != "done":
                reply, *_ = talk.reconcile(bytes.fromhex(line.removeprefix("msg,")))
                assert reply is not None
                *found, line = ask(f"msg,{reply.hex()}")
                told += found
        else:
            message: bytes | None = talk.initiate()
            while message is not None:
                (line,) = ask(f"msg,{message.hex()}")
                message, have, need = talk.reconcile(bytes.fromhex(line.removeprefix("msg,")))
                told += [f"need,{item_id.hex()}" for item_id in have]  # as it would say it
                told += [f"have,{item_id.hex()}" for item_id in need]
    mine, its = ({item_id.hex() for _, item_id in items} for items in (ours, theirs))
    assert set(told) == {f"have,{i}" for i in its - mine} | {f"need,{i}" for i in mine - its}


def test_our_harness() -> None:
    """The program the reference's own tests run speaks the line protocol."""
    program = shlex.join((sys.executable, str(Path(__file__).parent / "negentropy_harness.py")))
    with harness(program, [(12_345, b"\xee" * 32)], 0) as ask:
        assert ask("msg,62aabb") == ["msg,61"]
        assert ask("msg,6100000200") == ["msg,6100000201" + "ee" * 32]
        assert ask("initiate") == ["msg,6100000201" + "ee" * 32]
        assert ask("msg,6100000201" + "aa" * 32) == [
            "have," + "ee" * 32,
            "need," + "aa" * 32,
            "done",
        ]
