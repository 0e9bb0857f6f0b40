"""One neighbour link, both sides, on a clock moved by hand."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair import WALL, Pair, SeededEntropy, make_link, replay_hello, replay_link

from meshchat.core import hello
from meshchat.core import link as links
from meshchat.core.crypto import x25519_keypair
from meshchat.core.hello import make_hello, pair_key, read_hello
from meshchat.core.link import (
    CREDIT,
    HAVE,
    HELLO,
    NEXT,
    PART,
    PROOF,
    REKEY,
    STORED,
    WANT,
    Link,
    Record,
)
from meshchat.core.model import Now
from meshchat.errors import AuthError, HandshakeError, ProtocolError, QuotaError, WireError

GOLDEN = json.loads((Path(__file__).parent.parent / "vectors" / "link.json").read_text())
TYPES = [HELLO, *range(16, 31), links.TYPING, links.CHECK]


def header(kind: int, body: bytes = b"", size: int | None = None) -> bytes:
    """A record as bytes, its length field wrong if ``size`` says so."""
    return bytes((kind,)) + (len(body) if size is None else size).to_bytes(2, "little") + body


def padded(plain: bytes) -> bytes:
    """Zeros up to the smallest allowed frame."""
    return plain + bytes(-(len(plain) + 16) % 256)


# --- handshake -------------------------------------------------------------------------------


def test_handshake_opens_both_sides() -> None:
    """Three frames of 48, 96 and 64 bytes; then both agree on the hash and know the other's key."""
    pair = Pair()
    assert not pair.a.is_open and pair.a.remote_key == b"" and pair.a.handshake_hash == b""
    assert pair.take(pair.b) == ()
    sizes = []
    for sender, reader in ((pair.a, pair.b), (pair.b, pair.a), (pair.a, pair.b)):
        (frame,) = pair.take(sender)
        sizes.append(len(frame))
        assert pair.give(reader, frame) == []
    assert sizes == [48, 96, 64]
    assert pair.a.is_open and pair.b.is_open
    assert pair.a.handshake_hash == pair.b.handshake_hash and len(pair.a.handshake_hash) == 64
    assert pair.a.remote_key == make_link("b", outbound=False)._own_public
    assert pair.b.remote_key == make_link("a", outbound=True)._own_public
    assert pair.a.sent_bytes == pair.b.received_bytes == 112
    assert pair.b.sent_bytes == pair.a.received_bytes == 96
    assert pair.a.opened_wall == WALL


def test_records_may_follow_the_last_handshake_message() -> None:
    """The dialler's HELLO leaves and arrives in one batch with message 3."""
    pair = Pair()
    pair.move(pair.a)
    pair.move(pair.b)
    assert pair.send(pair.a, [(HELLO, bytes(132))]) == [(HELLO, bytes(132))]


@pytest.mark.parametrize("other", [{"psk": b"x" * 32}, {"prologue": b"meshchat/2"}])
def test_prober_without_the_right_key_or_prologue_gets_no_byte(other: dict[str, bytes]) -> None:
    """After a bad message 1 the responder is mute for ever, whatever is asked of it."""
    pair = Pair(make_link("a", outbound=True, **other), make_link("b", outbound=False))  # type: ignore[arg-type]
    with pytest.raises(AuthError):
        pair.move(pair.a)
    pair.b.close(links.CLOSE_PROTOCOL)
    assert pair.take(pair.b) == ()
    assert pair.give(pair.b, *pair.take(make_link("a", outbound=True))) == []
    assert pair.take(pair.b) == () and pair.b.sent_bytes == 0
    assert pair.b.next_wakeup() is None


@pytest.mark.parametrize("bit", [0x01, 0x80])  # X25519 masks the top bit of a key, Noise does not
@pytest.mark.parametrize(("step", "size"), [(0, 48), (1, 96), (2, 64)])
def test_each_flipped_handshake_byte_is_refused(step: int, size: int, bit: int) -> None:
    """Whatever byte of whatever handshake message changes, the link ends and stays mute."""
    for at in range(size):
        pair = Pair()
        order = [pair.a, pair.b, pair.a, pair.b]
        for sender in order[:step]:
            pair.move(sender)
        bad = bytearray(*pair.take(order[step]))
        bad[at] ^= bit
        reader = order[step + 1]
        said = reader.sent_bytes
        with pytest.raises(ProtocolError):
            pair.give(reader, bytes(bad))
        assert pair.take(reader) == () and reader.sent_bytes == said and not reader.is_open


@pytest.mark.parametrize("size", [0, 47, 49, 256])
def test_handshake_length(size: int) -> None:
    """A handshake frame of another length is refused before any cryptography."""
    pair = Pair()
    with pytest.raises(HandshakeError, match="handshake length"):
        pair.give(pair.b, bytes(size))


def test_link_to_ourselves() -> None:
    """A node that dials itself notices before it shows its key in message 3."""
    pair = Pair(make_link("a", outbound=True), make_link("a", outbound=False))
    # The same entropy would give the same ephemeral key too; that is a test's problem only.
    pair.move(pair.a)
    with pytest.raises(HandshakeError, match="linked to self"):
        pair.move(pair.b)
    assert pair.take(pair.a) == ()


@pytest.mark.parametrize("mtu", [0, 255, 16_641])
def test_mtu_out_of_range(mtu: int) -> None:
    """A transport that promises an impossible MTU is our own bug."""
    with pytest.raises(ValueError):
        make_link("a", outbound=True, mtu=mtu)


# --- frames --------------------------------------------------------------------------------------


@pytest.mark.parametrize("mtu", [256, 300, 512, 1000, 16_384])
def test_frame_sizes_hide_record_sizes(mtu: int) -> None:
    """Every frame is a multiple of 256 bytes, or exactly the MTU where that is none."""
    pair = Pair.opened(mtu)
    for size in (*range(0, pair.a.max_record, 1 + mtu // 50), pair.a.max_record):
        pair.a.send(HAVE, bytes(size))
        (frame,) = pair.take(pair.a)
        assert len(frame) <= mtu
        assert len(frame) % 256 == 0 or len(frame) == mtu
        assert len(frame) - 256 < size + 19
        pair.mono += 1
        assert pair.give(pair.b, frame) == [(HAVE, bytes(size))]


def test_many_records_share_a_frame() -> None:
    """Small records are packed: 50 of 200 bytes take one frame of 10,240 bytes."""
    pair = Pair.opened()
    for _ in range(50):
        pair.a.send(STORED, bytes(200))
    assert pair.a.queued_bytes == 50 * 203
    (frame,) = pair.take(pair.a)
    assert len(frame) == 10_240 and pair.a.queued_bytes == 0
    assert len(pair.give(pair.b, frame)) == 50


def test_largest_record() -> None:
    """``max_record`` fits exactly; one byte more is our own bug."""
    pair = Pair.opened(300)
    assert pair.a.max_record == 281
    assert pair.send(pair.a, [(PART, bytes(281))]) == [(PART, bytes(281))]
    with pytest.raises(ValueError):
        pair.a.send(PART, bytes(282))


def test_control_records_leave_before_parts() -> None:
    """A long transfer in the queue does not hold up ids and answers; each class keeps its order."""
    pair = Pair.opened(256)
    queued = [(PART, b"1" * 200), (PART, b"2" * 200), (HAVE, b"3"), (PART, b"4"), (CREDIT, b"5")]
    assert [body[:1] for _, body in pair.send(pair.a, queued)] == [b"3", b"5", b"1", b"2", b"4"]


@st.composite
def _traffic(draw: st.DrawFn) -> tuple[int, list[Record]]:
    mtu = draw(st.integers(256, 16_384))
    sizes = st.one_of(st.integers(0, 64), st.integers(0, mtu - 19), st.just(mtu - 19))
    records = st.tuples(st.sampled_from(TYPES), sizes.map(lambda n: b"\xa5" * n))
    return mtu, draw(st.lists(records, max_size=12))


@given(_traffic())
def test_round_trip(traffic: tuple[int, list[Record]]) -> None:
    """Any records at any MTU arrive unchanged, control first, in legal frames."""
    mtu, records = traffic
    pair = Pair.opened(mtu)
    for kind, body in records:
        pair.a.send(kind, body)
    frames = pair.take(pair.a)
    assert all(len(f) <= mtu and (len(f) % 256 == 0 or len(f) == mtu) for f in frames)
    expected = [r for r in records if r[0] != PART] + [r for r in records if r[0] == PART]
    assert pair.give(pair.b, *frames) == expected
    assert pair.a.queued_bytes == 0 and pair.take(pair.a) == ()


def test_each_flipped_frame_byte_is_refused() -> None:
    """Any changed byte of a frame ends the link, and later frames give nothing."""
    for at in range(256):
        pair = Pair.opened()
        pair.a.send(NEXT, b"")
        (frame,) = pair.take(pair.a)
        bad = bytearray(frame)
        bad[at] ^= 1 << at % 8
        with pytest.raises(AuthError):
            pair.give(pair.b, bytes(bad))
        assert not pair.b.is_open
        assert pair.give(pair.b, frame) == []


@pytest.mark.parametrize("order", [(1,), (0, 0), (1, 0), (0, 2, 1)])
def test_lost_repeated_and_reordered_frames(order: tuple[int, ...]) -> None:
    """Frames are accepted once and in order only."""
    pair = Pair.opened()
    frames = []
    for _ in range(3):
        pair.a.send(NEXT, b"")
        frames += pair.take(pair.a)
    with pytest.raises(AuthError):
        pair.give(pair.b, *(frames[i] for i in order))


def test_own_frames_reflected() -> None:
    """Each direction has its own key: a frame sent back to its sender does not open."""
    pair = Pair.opened()
    pair.a.send(NEXT, b"")
    with pytest.raises(AuthError):
        pair.give(pair.a, *pair.take(pair.a))


@pytest.mark.parametrize("size", [0, 1, 15, 16, 255, 257, 16_383, 16_640, 65_536])
def test_frame_size(size: int) -> None:
    """Other sizes are refused before decryption."""
    pair = Pair.opened()
    with pytest.raises(WireError, match="frame size"):
        pair.give(pair.b, bytes(size))


@pytest.mark.parametrize(
    ("plain", "reason"),
    [
        (bytes(239) + b"\1", "padding"),
        (header(NEXT) + bytes(236) + b"\1", "padding"),
        (bytes(238) + header(NEXT)[:2], "padding"),
        (header(HAVE, bytes(236)) + b"\x11", "record_truncated"),
        (header(HAVE, bytes(235)) + b"\x11\0", "record_truncated"),
        (header(HAVE, bytes(237), size=238), "record_truncated"),
        (header(HAVE, bytes(237), size=65_535), "record_truncated"),
        (header(6), "record_unknown"),
        (header(15), "record_unknown"),
        (header(31), "record_unknown"),
        (header(127), "record_unknown"),
        (header(links.PING, bytes(7)), "record_length"),
        (header(links.PONG, bytes(9)), "record_length"),
        (header(links.CLOSE), "record_length"),
        (header(links.CLOSE, b"\1\0"), "record_length"),
        (header(REKEY, b"\0"), "record_length"),
        (header(REKEY) + header(NEXT), "record_after_rekey"),
        (header(REKEY) + header(REKEY), "record_after_rekey"),
        (header(links.PONG, bytes(8)), "pong_unasked"),
    ],
)
def test_hostile_frames(plain: bytes, reason: str) -> None:
    """What the layout forbids ends the link with a stable reason, and only a CLOSE answers it."""
    pair = Pair.opened()
    with pytest.raises(WireError) as error:
        pair.give(pair.b, pair.forge(pair.a, padded(plain)))
    assert error.value.reason == reason
    assert not pair.b.is_open
    pair.b.close(links.CLOSE_PROTOCOL)
    assert pair.move(pair.b) == []
    assert pair.a.closed_by_peer == links.CLOSE_PROTOCOL


def test_types_from_128_are_skipped_and_counted() -> None:
    """A later version may try new records on us."""
    pair = Pair.opened()
    plain = header(links.CHECK + 1, b"new") + header(NEXT) + header(255)
    assert pair.give(pair.b, pair.forge(pair.a, padded(plain))) == [(NEXT, b"")]
    assert pair.b.ignored == 2 and pair.b.is_open


@given(st.lists(st.binary(max_size=600), max_size=4), st.integers(0, 3))
def test_any_frames_raise_only_protocol_errors(frames: list[bytes], step: int) -> None:
    """Arbitrary bytes as frames, in every phase of the handshake and after it."""
    pair = Pair()
    for sender in (pair.a, pair.b, pair.a)[:step]:
        pair.move(sender)
    for reader in (pair.a, pair.b):
        try:
            assert pair.give(reader, *frames) == []
        except ProtocolError:
            assert not reader.is_open


@given(st.binary(max_size=494), st.binary(max_size=494))
def test_any_plaintext_raises_only_protocol_errors(one: bytes, two: bytes) -> None:
    """A peer that encrypts arbitrary bytes properly: records or a ProtocolError, nothing else."""
    pair = Pair.opened()
    frames = [pair.forge(pair.a, padded(plain)) for plain in (one, two)]
    try:
        records = pair.give(pair.b, *frames)
    except ProtocolError:
        assert not pair.b.is_open
    else:
        assert all(kind in TYPES for kind, _ in records)


@given(st.lists(st.tuples(st.integers(1, 255), st.binary(max_size=12)), max_size=30))
def test_any_records_raise_only_protocol_errors(records: list[Record]) -> None:
    """The same with well-formed records of any type: the parser gets further."""
    pair = Pair.opened()
    plain = b"".join(header(kind, body) for kind, body in records)
    try:
        got = pair.give(pair.b, pair.forge(pair.a, padded(plain)))
    except ProtocolError:
        assert not pair.b.is_open
        return
    upto = next((i for i, (kind, _) in enumerate(records) if kind == links.CLOSE), len(records))
    assert got == [record for record in records[:upto] if record[0] in TYPES]


# --- rekey ----------------------------------------------------------------------------------------


def test_rekey_by_count() -> None:
    """The 1,024th frame announces it; both sides change keys and go on, each way by itself."""
    pair = Pair.opened(256)
    first = pair.a._send.k
    for i in range(2500):
        pair.mono += 0.01
        assert pair.send(pair.a, [(NEXT, b"")]) == [(NEXT, b"")]
        assert (pair.a._send.k == first) == (i < 1023)
        assert pair.a._send.k == pair.b._receive.k
    assert pair.b._send.k == pair.a._receive.k
    assert pair.a._send.n == 2500


def test_rekey_when_full_records_leave_no_room() -> None:
    """REKEY takes a frame of its own when the next record fills one."""
    pair = Pair.opened(256)
    body = bytes(pair.a.max_record)
    records = [(PART, body)] * 1100
    assert pair.send(pair.a, records) == records
    assert pair.a._send.n == 1101


def test_rekey_by_time() -> None:
    """Also after ten minutes, with few frames."""
    pair = Pair.opened()
    first = pair.a._send.k
    pair.mono = 599.9
    pair.send(pair.a, [(NEXT, b"")])
    assert pair.a._send.k == first
    pair.mono = 600.0
    pair.send(pair.a, [(NEXT, b"")])
    assert pair.a._send.k != first
    assert pair.send(pair.a, [(NEXT, b"")]) == [(NEXT, b"")]


def test_peer_that_never_rekeys_is_cut_off() -> None:
    """2,047 frames pass, the 2,048th under one key does not."""
    pair = Pair.opened(256)
    for _ in range(2047):
        pair.mono += 0.1
        pair.give(pair.b, pair.forge(pair.a, bytes(240)))
    with pytest.raises(QuotaError, match="rekey overdue"):
        pair.give(pair.b, pair.forge(pair.a, bytes(240)))


# --- time -----------------------------------------------------------------------------------------


def test_handshake_timeout() -> None:
    """Ten seconds, on both sides, and nothing is said."""
    for outbound in (True, False):
        link = make_link("a", outbound=outbound, now=Now(100.0, WALL))
        assert link.next_wakeup() == 110.0
        link.wake(Now(109.9, WALL))
        with pytest.raises(HandshakeError, match="handshake timeout"):
            link.wake(Now(110.0, WALL))
        link.close(links.CLOSE_TIMEOUT)
        assert link.flush(Now(110.0, WALL)) == () and link.next_wakeup() is None


def test_ping_and_pong_keep_a_silent_link_alive() -> None:
    """Two sides with nothing to say ping every 5 s and stay open for an hour."""
    pair = Pair.opened()
    frames = pings = 0
    while pair.mono < 3600:
        wakeups = [link.next_wakeup() for link in (pair.a, pair.b)]
        pair.mono = min(at for at in wakeups if at is not None)
        for link in (pair.a, pair.b):
            at = link.next_wakeup()
            if at is not None and at <= pair.mono:
                link.wake(pair.now)
        pings += pair.a.queued_bytes > 0
        before = pair.a._send.n
        assert pair.exchange() == ([], [])
        frames += pair.a._send.n - before
    assert pair.a.is_open and pair.b.is_open
    assert 300 <= frames <= 1500 and pings > 300


def test_ping_only_when_nothing_was_sent() -> None:
    """Any frame sent puts the next ping off."""
    pair = Pair.opened()
    assert pair.a.next_wakeup() == 5.0
    pair.mono = 4.0
    pair.send(pair.a, [(NEXT, b"")])
    assert pair.a.next_wakeup() == 9.0
    pair.mono = 5.0
    pair.a.wake(pair.now)
    assert pair.take(pair.a) == ()
    pair.mono = 9.0
    pair.a.wake(pair.now)
    pair.a.wake(pair.now)
    assert len(pair.take(pair.a)) == 1
    assert pair.a.next_wakeup() == 14.0


def test_silent_peer_is_dead_after_15_seconds() -> None:
    """Our own pings do not help if nothing comes back."""
    pair = Pair.opened()
    for pair.mono in (5.0, 10.0):
        assert pair.a.next_wakeup() == pair.mono
        pair.a.wake(pair.now)
        assert len(pair.take(pair.a)) == 1
    pair.mono = 15.0
    assert pair.a.next_wakeup() == 15.0
    with pytest.raises(ProtocolError) as error:
        pair.a.wake(pair.now)
    assert error.value.reason == "link_timeout"
    assert not pair.a.is_open and pair.a.next_wakeup() is None


def test_pong_is_accepted_once() -> None:
    """A PONG answers a PING we sent, and a repeated one ends the link."""
    pair = Pair.opened()
    pair.mono = 5.0
    pair.a.wake(pair.now)
    pair.move(pair.a)
    pair.b.send(links.PONG, (1).to_bytes(8, "little"))
    with pytest.raises(WireError, match="pong unasked"):
        pair.move(pair.b)


# --- the end --------------------------------------------------------------------------------------


def test_close() -> None:
    """Control records still arrive, then CLOSE with its reason; transfers in the queue do not."""
    pair = Pair.opened()
    for kind, body in ((PART, bytes(100)), (STORED, b"x")):
        pair.a.send(kind, body)
    pair.a.close(links.CLOSE_DUPLICATE)
    pair.a.close(links.CLOSE_FULL)
    assert not pair.a.is_open
    pair.a.send(NEXT, b"")
    assert pair.a.queued_bytes == 4 + 4
    assert pair.move(pair.a) == [(STORED, b"x")]
    assert pair.b.closed_by_peer == links.CLOSE_DUPLICATE and not pair.b.is_open
    for link in (pair.a, pair.b):
        link.send(NEXT, b"")
        link.close(links.CLOSE_DONE)
        assert pair.take(link) == () and link.next_wakeup() is None
        link.wake(pair.now)


def test_nothing_is_read_after_close() -> None:
    """Records and frames behind a CLOSE are not looked at."""
    pair = Pair.opened()
    plain = header(NEXT) + header(links.CLOSE, b"\6") + header(6) + header(HAVE)
    frames = pair.forge(pair.a, padded(plain)), b"rubbish"
    assert pair.give(pair.b, *frames) == [(NEXT, b"")]
    assert pair.b.closed_by_peer == links.CLOSE_FULL


def test_close_before_open_says_nothing() -> None:
    """A half-open link can be given up without a byte, and takes no more."""
    pair = Pair()
    pair.a.close(links.CLOSE_DONE)
    assert pair.take(pair.a) == () and pair.a.next_wakeup() is None
    pair.give(pair.a, bytes(96))
    assert not pair.a.is_open


# --- budget ---------------------------------------------------------------------------------------


def _flood(pair: Pair, kind: int, size: int, most: int) -> int:
    """Bytes of bodies that pass before the link is cut, at most ``most``."""
    passed = 0
    while passed < most:
        try:
            pair.send(pair.a, [(kind, bytes(size))])
        except QuotaError as error:
            assert error.reason == "link_budget"
            return passed
        passed += size
    return passed


def test_budget_burst_then_cut() -> None:
    """256 KiB of ids at once, no more."""
    pair = Pair.opened()
    assert pair.b.budget(pair.now) == 256 * 1024
    passed = _flood(pair, HAVE, 8192, 1 << 20)
    assert 240 * 1024 <= passed <= 256 * 1024


def test_budget_refills() -> None:
    """16 KiB each second, up to the burst; ``budget`` tells what is left."""
    pair = Pair.opened()
    _flood(pair, HAVE, 8192, 31 * 8192)
    left = pair.b.budget(pair.now)
    assert 0 < left < 8192
    pair.mono += 4.0
    assert pair.b.budget(pair.now) == left + 4 * 16 * 1024
    assert _flood(pair, HAVE, 8192, 8 * 8192) == 8 * 8192
    pair.mono += 1000.0
    assert pair.b.budget(pair.now) == 256 * 1024


def test_answers_we_invited_are_not_counted() -> None:
    """An exchange of 30,000 ids and proofs at full speed, far over the burst, cuts nobody off."""
    pair = Pair.opened()
    for _ in range(30_000 // 512):
        pair.send(pair.a, [(HAVE, bytes(16 * 512))])
        pair.mono += 0.5  # the receiver invites the next HAVE as its budget allows
        wants = [(WANT, bytes(64 * 18))] * 8
        answers = [(STORED, bytes(16))] * 512 + [(CREDIT, bytes(4))] * 64
        pair.send(pair.b, [*wants, *answers])
        pair.send(pair.a, [(PROOF, bytes(20))] * 512)
        for link in (pair.a, pair.b):
            assert link.budget(pair.now) > 200 * 1024


def test_budget_is_not_for_parts() -> None:
    """Blocks that were asked for are bounded by credit, not by this."""
    pair = Pair.opened(256)
    assert _flood(pair, PART, 200, 8 << 20) >= 8 << 20
    assert pair.b.budget(pair.now) > 255 * 1024  # some REKEY records


@pytest.mark.parametrize(
    "plain",
    [
        bytes(16_368),
        bytes(240),
        padded(header(200, bytes(200))),
        header(PART, bytes(21)) + bytes(16_344),
    ],
    ids=["large", "small", "unknown", "behind a part"],
)
def test_budget_counts_padding_and_unknown_records(plain: bytes) -> None:
    """Frames that carry nothing run out too: padding is free only as far as the step forces it."""
    pair = Pair.opened()
    with pytest.raises(QuotaError) as error:
        for i in range(20_000):
            if i % 1000 == 999:
                pair.give(pair.b, pair.forge(pair.a, padded(header(REKEY))))
                pair.a._send.rekey()
            pair.give(pair.b, pair.forge(pair.a, plain))
    assert error.value.reason == "link_budget"


def test_honest_padding_is_free() -> None:
    """Sixty small records a second, each in its own padded frame, never run out."""
    pair = Pair.opened()
    for _ in range(6000):
        pair.mono += 1 / 60
        pair.send(pair.a, [(STORED, bytes(16))])
    assert pair.b.budget(pair.now) > 250 * 1024


# --- HELLO ----------------------------------------------------------------------------------------


class Person:
    """An identity as far as HELLO is concerned."""

    def __init__(self, name: str) -> None:
        entropy = SeededEntropy(name)
        self.fp = entropy.bytes(32)
        self.secret, self.public = x25519_keypair(entropy.bytes(32))
        self.entropy = entropy

    def key(self, other: "Person") -> tuple[bytes, bytes]:
        return other.fp, pair_key(self.secret, other.public, self.fp, other.fp)


ALICE, BOB, EVE = Person("alice"), Person("bob"), Person("eve")


def test_pair_key_is_mutual() -> None:
    """Both contacts compute it, nobody else."""
    assert ALICE.key(BOB)[1] == BOB.key(ALICE)[1]
    assert EVE.key(BOB)[1] != ALICE.key(BOB)[1]
    with pytest.raises(AuthError):
        pair_key(ALICE.secret, bytes(32), ALICE.fp, BOB.fp)


def test_contacts_recognise_each_other() -> None:
    """Through a real link, in both directions, among other contacts."""
    pair = Pair.opened()
    crowd = [Person(f"p{i}") for i in range(15)]
    for me, other, ours, theirs in (
        (ALICE, BOB, pair.a, pair.b),
        (BOB, ALICE, pair.b, pair.a),
    ):
        pairs = [me.key(p) for p in [*crowd[:7], other, *crowd[7:]]]
        body = make_hello(pairs, ours.handshake_hash, ours.outbound, me.fp, me.entropy)
        assert len(body) == 132
        assert pair.send(ours, [(HELLO, body)]) == [(HELLO, body)]
        known = [other.key(p) for p in [*crowd, me]]
        assert read_hello(body, known, theirs.handshake_hash, theirs.outbound) == me.fp
        assert read_hello(body, known[:-1], theirs.handshake_hash, theirs.outbound) == b""


def test_stranger_sees_nothing() -> None:
    """All tags of many HELLOs of one person differ, whoever looks and whatever is inside."""
    seen: list[bytes] = []
    for i in range(50):
        h = SeededEntropy(f"link {i}").bytes(64)
        body = make_hello([ALICE.key(BOB)], h, i % 2 == 0, ALICE.fp, ALICE.entropy)
        assert read_hello(body, [EVE.key(ALICE), EVE.key(BOB)], h, i % 2 == 1) == b""
        assert ALICE.fp not in body and ALICE.public not in body
        seen += [body[at : at + 8] for at in range(4, 132, 8)]
    assert len(set(seen)) == len(seen) == 800


def test_position_of_a_tag_tells_nothing() -> None:
    """The contact's tag lands on each of the 16 places about equally often."""
    places = [0] * 16
    h, entropy = bytes(64), SeededEntropy("order")
    tag = hello._tag(ALICE.key(BOB)[1], h, True, ALICE.fp)
    for _ in range(1600):
        body = make_hello([ALICE.key(BOB)], h, True, ALICE.fp, entropy)
        places[[body[at : at + 8] for at in range(4, 132, 8)].index(tag)] += 1
    assert min(places) > 60 and max(places) < 140  # 100 each, four standard deviations


def test_man_in_the_middle_is_not_recognised() -> None:
    """Mallory links to both and passes the HELLO on: the two handshake hashes differ."""
    left = Pair(make_link("alice", outbound=True), make_link("m1", outbound=False))
    right = Pair(make_link("m2", outbound=True), make_link("bob", outbound=False))
    left.exchange()
    right.exchange()
    body = make_hello([ALICE.key(BOB)], left.a.handshake_hash, True, ALICE.fp, ALICE.entropy)
    relayed = right.send(right.a, left.send(left.a, [(HELLO, body)]))
    assert relayed == [(HELLO, body)]
    assert read_hello(body, [BOB.key(ALICE)], right.b.handshake_hash, False) == b""
    assert read_hello(body, [BOB.key(ALICE)], left.b.handshake_hash, False) == ALICE.fp


def test_reflected_hello() -> None:
    """Our own HELLO sent back does not look like our contact's: role and sender are in it."""
    h = bytes(64)
    body = make_hello([ALICE.key(BOB)], h, True, ALICE.fp, ALICE.entropy)
    assert read_hello(body, [ALICE.key(BOB)], h, True) == b""
    assert read_hello(body, [BOB.key(ALICE)], h, True) == b""


@pytest.mark.parametrize(
    ("body", "error", "reason"),
    [
        (bytes(131), WireError, "hello_length"),
        (bytes(133), WireError, "hello_length"),
        (b"\2\1" + bytes(130), WireError, "hello_versions"),
        (b"\2\3" + bytes(130), HandshakeError, "version"),
        (b"\0\0" + bytes(130), HandshakeError, "version"),
    ],
)
def test_hostile_hello(body: bytes, error: type[ProtocolError], reason: str) -> None:
    """Wrong length, upside-down range, no version in common."""
    with pytest.raises(error) as caught:
        read_hello(body, [], bytes(64), True)
    assert caught.value.reason == reason


def test_hello_of_a_later_version() -> None:
    """A peer that speaks 1 to 9 and has unknown capabilities is read."""
    body = make_hello([ALICE.key(BOB)], bytes(64), True, ALICE.fp, ALICE.entropy)
    later = b"\1\x09\xff\xff" + body[4:]
    assert read_hello(later, [BOB.key(ALICE)], bytes(64), False) == ALICE.fp


def test_hello_is_full_at_16() -> None:
    """More contacts need more HELLOs; a caller that forgets is told."""
    pairs = [(bytes([i]) * 32, bytes([i]) * 32) for i in range(17)]
    with pytest.raises(ValueError):
        make_hello(pairs, bytes(64), True, ALICE.fp, ALICE.entropy)
    make_hello(pairs[:16], bytes(64), True, ALICE.fp, ALICE.entropy)


# --- golden vectors -------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", GOLDEN["links"], ids=lambda v: f"mtu{v['mtu']}")
def test_golden_link(vector: dict[str, Any]) -> None:
    """Handshake, records and rekey give byte for byte the frozen frames."""
    assert replay_link(vector) == [step["frames"] for step in vector["steps"]]


@pytest.mark.parametrize("vector", GOLDEN["hellos"], ids=lambda v: f"outbound{v['outbound']}")
def test_golden_hello(vector: dict[str, Any]) -> None:
    """Pair key, tags and order give byte for byte the frozen HELLO."""
    assert replay_hello(vector) == {"pair_key": vector["pair_key"], "body": vector["body"]}


@pytest.mark.parametrize("vector", GOLDEN["links"], ids=lambda v: f"mtu{v['mtu']}")
def test_golden_link_reads_without_our_code(vector: dict[str, Any]) -> None:
    """An independent Noise package and ten lines of the wire reference read the frozen frames."""
    names = ("dialler", "responder")
    sides = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of fixed ephemeral keys, which we want here
        from noise.connection import Keypair, NoiseConnection

        for name in names:
            side = sides[name] = NoiseConnection.from_name(links.NOISE_NAME.encode())
            (side.set_as_initiator if name == "dialler" else side.set_as_responder)()
            side.set_prologue(bytes.fromhex(vector["prologue"]))
            side.set_psks(bytes.fromhex(vector["psk"]))
            for kind, key in ((Keypair.STATIC, "node"), (Keypair.EPHEMERAL, "ephemeral")):
                secret = bytes.fromhex(vector[name][key + "_secret"])
                side.set_keypair_from_private_bytes(kind, secret)
            side.start_handshake()
    rekeys = 0
    for step in vector["steps"]:
        sender, reader = names if step["from"] == "dialler" else reversed(names)
        records = []
        for frame in map(bytes.fromhex, step["frames"]):
            if not sides[reader].handshake_finished:
                assert bytes(sides[sender].write_message()) == frame
                sides[reader].read_message(frame)
                continue
            assert len(frame) % 256 == 0 or len(frame) == vector["mtu"]
            plain = bytes(sides[reader].decrypt(frame))
            while plain and plain[0]:
                size = int.from_bytes(plain[1:3], "little")
                records.append([plain[0], plain[3 : 3 + size].hex()])
                plain = plain[3 + size :]
            assert not any(plain)
            if records and records[-1][0] == REKEY:
                records.pop()
                rekeys += 1
                sides[reader].rekey_inbound_cipher()
        assert records == step["records"]
    assert rekeys == 2


def test_same_seed_same_frames() -> None:
    """Nothing in a link depends on anything but its input."""

    def run() -> list[bytes]:
        pair = Pair()
        out: list[bytes] = []
        for sender, reader in ((pair.a, pair.b), (pair.b, pair.a), (pair.a, pair.b)):
            frames = pair.take(sender)
            pair.give(reader, *frames)
            out += frames
        return out

    assert run() == run()
    assert isinstance(Pair().a, Link)
