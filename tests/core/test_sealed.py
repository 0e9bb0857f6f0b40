"""Inner kinds and bodies: who may read them, what they prove, hostile input."""

import struct
from collections.abc import Callable
from hashlib import blake2b

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec.structs import replace
from sealing import (
    ANNA,
    AUTHOR,
    BORIS,
    ENVELOPES,
    EVE,
    EXP_H,
    FILE_KEY,
    GROUP_SECRET,
    RID,
    ROOM_S,
    TEXT,
    Seeded,
    dm,
    first_dm,
    fixed,
    from_group,
    open_first_dm,
    opened,
    put,
)

from meshchat.core import crypto
from meshchat.core.body import (
    READ_IDS_MAX,
    TIMER_MAX_S,
    Body,
    BodyType,
    decode_body,
    encode_body,
)
from meshchat.core.envelope import (
    open_sealed,
    parse_header,
)
from meshchat.core.identity import (
    Card,
    public_room_key,
    room_id,
)
from meshchat.core.limits import FILE_CHUNKS_MAX
from meshchat.core.model import Manifest, Prekey
from meshchat.core.sealed import (
    CHUNK_BYTES,
    FILE_MAX_BYTES,
    InnerKind,
    announce,
    chunk,
    chunk_inner_bytes,
    cut,
    kind_of,
    open_announce,
    open_chunk,
    open_room_post,
    piece_sizes,
    read_table,
    with_table,
)
from meshchat.errors import AuthError, ProtocolError, UsageError, WireError

# --- inner kinds -------------------------------------------------------------------------------

ANY_E = crypto.x25519_public(fixed("any e"))
READERS: dict[str, Callable[[bytes], object]] = {
    "dm": lambda inner: open_first_dm(inner, BORIS.identity, BORIS.prekey, E["dm"]),
    "group": lambda inner: from_group(inner, E["group"]),
    "post": lambda inner: open_room_post(inner, RID, E["post"]),
    "announce": lambda inner: open_announce(inner, ANNA.identity.fp, E["announce"]),
    "chunk": open_chunk,
    "body": decode_body,
    "card": Card.decode,
}
INNERS = {
    "dm": opened(ENVELOPES["dm"], me=BORIS).inner,
    "group": opened(ENVELOPES["group"], secrets=(GROUP_SECRET,)).inner,
    "post": opened(ENVELOPES["post"], secrets=(ROOM_S,)).inner,
    "announce": opened(ENVELOPES["announce"], secrets=(ANNA.announce_secret,)).inner,
    "chunk": opened(ENVELOPES["chunk"], secrets=(FILE_KEY,)).inner,
    "body": TEXT,
    "card": ANNA.card.encode(),
}
E = {name: parse_header(data).e for name, data in ENVELOPES.items()}


def test_inner_kinds_round_trip() -> None:
    """Each kind gives back who wrote it, and the body."""
    assert open_first_dm(INNERS["dm"], BORIS.identity, BORIS.prekey, E["dm"]) == (ANNA.card, TEXT)
    assert from_group(INNERS["group"], E["group"]) == TEXT
    assert open_room_post(INNERS["post"], RID, E["post"]) == (AUTHOR, 7, 1_800_000_000, TEXT)
    announced = open_announce(INNERS["announce"], ANNA.identity.fp, E["announce"])
    assert announced == (ANNA.card, 3, TEXT)
    assert open_chunk(INNERS["chunk"]) == (3, b"some bytes of a file")
    assert [kind_of(INNERS[k]) for k in ("dm", "group", "post", "announce", "chunk")] == [
        kind for kind in InnerKind if kind not in (InnerKind.DM, InnerKind.REVOKE)
    ]


@pytest.mark.parametrize("kind", sorted(INNERS))
@pytest.mark.parametrize("reader", sorted(INNERS))
def test_no_kind_is_taken_for_another(kind: str, reader: str) -> None:
    """Every layout against every reader: only its own takes it."""
    if kind == reader:
        READERS[reader](INNERS[kind])
        return
    with pytest.raises(ProtocolError):
        READERS[reader](INNERS[kind])
    if reader == "chunk":
        return  # which bytes are a chunk the manifest says, by the id of the whole envelope
    with pytest.raises(ProtocolError):  # also with the right first byte
        READERS[reader](INNERS[reader][:1] + INNERS[kind][1:])


@given(st.binary(max_size=420), st.sampled_from([b"", b"\x01", b"\x03", b"\x04", b"\x05"]))
def test_arbitrary_bytes_inside(rest: bytes, first: bytes) -> None:
    """Only ProtocolError comes out of the openers."""
    for reader in ("dm", "group", "post", "announce"):
        with pytest.raises(ProtocolError):
            READERS[reader](first + rest)


@pytest.mark.parametrize("byte", [0, 7, 9, 255])
def test_unknown_kind(byte: int) -> None:
    """Kinds of later versions are told apart from damage."""
    with pytest.raises(WireError) as caught:
        kind_of(bytes([byte]) + bytes(100))
    assert caught.value.reason == "inner_kind"


@given(st.binary(max_size=60) | st.binary(max_size=60).map(lambda rest: b"\x06" + rest))
@example(b"\x06\0")
@example(bytes([6, FILE_CHUNKS_MAX]) + b"x")
def test_arbitrary_bytes_as_a_chunk(inner: bytes) -> None:
    """A chunk decodes exactly, or a WireError comes out."""
    try:
        index, data = open_chunk(inner)
    except WireError:
        return
    assert chunk(index, data) == inner
    assert index < FILE_CHUNKS_MAX and data


def test_a_chunk_fills_its_envelope() -> None:
    """The largest piece makes class 3 with no byte to spare; one more is no chunk."""
    whole = chunk(0, bytes(CHUNK_BYTES))
    assert len(put(lambda _: whole, secret=FILE_KEY)) == 32_768
    with pytest.raises(WireError):
        open_chunk(whole + b"x")
    with pytest.raises(UsageError):
        put(lambda _: whole + b"x", secret=FILE_KEY)


@given(st.integers(1, FILE_MAX_BYTES))
@example(CHUNK_BYTES - 32)
@example(CHUNK_BYTES - 31)
@example(2 * CHUNK_BYTES - 48)
@example(2 * CHUNK_BYTES - 47)
@example(FILE_MAX_BYTES)
def test_pieces_of_any_size(size: int) -> None:
    """All but the last chunk are full, the table of the first counted; none is empty."""
    sizes = piece_sizes(size)
    *full, last = chunk_inner_bytes(size)
    assert full == [CHUNK_BYTES + 2] * (len(sizes) - 1) and 2 < last <= CHUNK_BYTES + 2
    assert sum(sizes) == size and min(sizes) > 0 and len(sizes) <= FILE_CHUNKS_MAX
    assert tuple(len(piece) for piece in cut(bytes(size))) == sizes
    others = [bytes([number]) * 16 for number in range(1, len(sizes))]
    table = with_table(b"h" * 32, others, bytes(sizes[0]))
    assert len(table) == chunk_inner_bytes(size)[0] - 2
    assert read_table(table, len(sizes)) == (b"h" * 32, tuple(others), bytes(sizes[0]))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(32 + 2 * 16),  # no byte of the file
        b"h" * 32 + b"i" * 32 + b"a piece",  # one chunk twice
    ],
)
def test_tables_that_cannot_be(data: bytes) -> None:
    """A first chunk of three says which the other two are, and has a piece."""
    with pytest.raises(WireError) as caught:
        read_table(data, 3)
    assert caught.value.reason == "chunk_table"


@given(st.sampled_from(["dm", "post"]), st.data())
def test_changed_inner_is_rejected(kind: str, data: st.DataObject) -> None:
    """An insider who can re-seal cannot change a byte of what another person wrote."""
    inner = bytearray(INNERS[kind])
    inner[data.draw(st.integers(0, len(inner) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ProtocolError):
        READERS[kind](bytes(inner))


def test_first_dm_is_bound_to_both_ends_and_e() -> None:
    """Another e, another recipient, another prekey of the same recipient: all refused."""
    inner, e = INNERS["dm"], E["dm"]
    later = Prekey(crypto.x25519_public(fixed("later")), fixed("later"), EXP_H, 0.0)
    for me, prekey, other_e in (
        (BORIS, BORIS.prekey, ANY_E),
        (BORIS, later, e),
        (EVE, EVE.prekey, e),
        (EVE, BORIS.prekey, e),
    ):
        with pytest.raises(AuthError):
            open_first_dm(inner, me.identity, prekey, other_e)


def test_reflection() -> None:
    """Our own message, or one with the card swapped, is not accepted as the other's."""
    inner, e = INNERS["dm"], E["dm"]
    assert (
        open_sealed(ENVELOPES["dm"], secrets=[ANNA.announce_secret], prekeys=[ANNA.prekey]) is None
    )
    for me, prekey in ((ANNA, ANNA.prekey), (ANNA, BORIS.prekey)):
        with pytest.raises(AuthError):
            open_first_dm(inner, me.identity, prekey, e)
    for claimed in (BORIS, EVE):
        swapped = inner[:1] + claimed.card.encode() + inner[198:]
        with pytest.raises(AuthError):
            open_first_dm(swapped, BORIS.identity, BORIS.prekey, e)


def crafted_dm(*, sid: bytes | None = None, pn: int = 0, n: int = 0) -> bytes:
    """A first message by a sender who holds the right keys and bends the layout."""

    def blake(label: bytes, data: bytes, size: int, key: bytes = b"") -> bytes:
        return blake2b(data, digest_size=size, key=key, person=label).digest()

    spk, fps = BORIS.card.prekey, ANNA.identity.fp + BORIS.identity.fp
    ek = crypto.x25519_public(fixed("ek"))
    dhs = crypto.dh(ANNA.identity.dh_secret, spk)
    dhs += crypto.dh(fixed("ek"), BORIS.card.dh_public) + crypto.dh(fixed("ek"), spk)
    k = blake(b"mc1 x3dh", dhs + fps + spk + ek, 64)
    head = (sid or blake(b"mc1 sid", k[32:], 8)) + crypto.x25519_public(fixed("r"))
    head += struct.pack("<HH", pn, n)
    chain = blake(b"mc1 dr-root", crypto.dh(fixed("r"), spk), 64, k[:32])[32:]
    key = blake(b"mc1 mk", ANY_E, 32, blake(b"mc1 dr-chain", b"", 64, chain)[32:])
    ct = crypto.aead_seal(key, TEXT, fps + head + ANY_E)
    return b"\x01" + ANNA.card.encode() + ek + head + ct


def test_sender_cannot_bend_the_session_fields() -> None:
    """A session id of one's own choice, or a place in the chain it is not of, is refused."""
    read = open_first_dm(crafted_dm(), BORIS.identity, BORIS.prekey, ANY_E)
    assert read == (ANNA.card, TEXT)
    for bent, reason in (
        (crafted_dm(sid=b"anything"), "session_id"),
        (crafted_dm(n=1), "bad_tag"),
        (crafted_dm(n=513), "dm_too_far_ahead"),
    ):
        with pytest.raises(ProtocolError) as caught:
            open_first_dm(bent, BORIS.identity, BORIS.prekey, ANY_E)
        assert caught.value.reason == reason


@pytest.mark.parametrize("fp", [EVE.identity.fp, ANNA.identity.fp])
def test_stranger_cannot_write_in_anothers_name(fp: bytes) -> None:
    """Eve's keys with Anna's card, and with Anna's fingerprint wherever one goes in: the first DH
    gives her away."""
    claimed = replace(EVE.identity, fp=fp)

    def build(e: bytes) -> bytes:
        return first_dm(claimed, ANNA.card, BORIS.card, e, TEXT, Seeded())

    data = put(build, prekey=BORIS.card.prekey)
    inner = opened(data, me=BORIS).inner
    with pytest.raises(AuthError):
        open_first_dm(inner, BORIS.identity, BORIS.prekey, parse_header(data).e)


def test_nobody_writes_to_themselves() -> None:
    """A message under our own card is refused: an attack."""
    swapped = INNERS["dm"][:1] + BORIS.card.encode() + INNERS["dm"][198:]
    with pytest.raises(AuthError) as caught:
        open_first_dm(swapped, BORIS.identity, BORIS.prekey, E["dm"])
    assert caught.value.reason == "own_card"


def test_room_post_is_bound_to_room_and_e() -> None:
    """A post copied to another room or another envelope is not accepted."""
    other_room = room_id(public_room_key("#other"))
    for rid, e in ((other_room, E["post"]), (RID, ANY_E)):
        with pytest.raises(AuthError):
            open_room_post(INNERS["post"], rid, e)


def test_announce_must_be_of_its_contact() -> None:
    """Another contact who knows the announce key cannot bring in a card of their own."""
    inner = announce(EVE.identity, EVE.card, ANY_E, 0, TEXT)
    assert open_announce(inner, EVE.identity.fp, ANY_E)[0] == EVE.card
    with pytest.raises(AuthError):
        open_announce(inner, ANNA.identity.fp, ANY_E)


def test_announce_is_signed_whole() -> None:
    """Who knows announce key and card can forge neither boot nor name, nor move a copy."""
    forged = announce(EVE.identity, ANNA.card, ANY_E, 9, TEXT)
    for inner, e in ((forged, ANY_E), (INNERS["announce"], ANY_E)):
        with pytest.raises(AuthError):
            open_announce(inner, ANNA.identity.fp, e)


# --- body --------------------------------------------------------------------------------------

texts = st.text(max_size=40).filter(lambda s: not any("\ud800" <= c <= "\udfff" for c in s))
names = texts.filter(lambda s: len(s.encode()) <= 48)
numbers = st.binary(min_size=8, max_size=8)
replies = st.just(b"") | numbers
hours = st.integers(0, 2**32 - 1)
cards = st.sampled_from([b"", ANNA.card.encode()])


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Any file there can be."""
    size = draw(st.integers(1, FILE_MAX_BYTES))
    name = draw(texts.filter(lambda s: 1 <= len(s.encode()) <= 96))
    key = draw(st.binary(min_size=32, max_size=32))
    return Manifest(key, size, name, chunks=(draw(st.binary(min_size=16, max_size=16)),))


bodies = (
    st.builds(
        Body, st.just(BodyType.TEXT), numbers, hours, texts.filter(bool), names, replies, cards
    )
    | st.builds(Body, st.just(BodyType.PROFILE), numbers, hours, st.just(""), names, replies, cards)
    | st.builds(
        Body,
        st.just(BodyType.INTRODUCTION),
        numbers,
        hours,
        st.just(""),
        names,
        replies,
        st.just(ANNA.card.encode()),
    )
    | st.builds(
        Body,
        st.just(BodyType.FILE),
        numbers,
        hours,
        st.just(""),
        names,
        replies,
        cards,
        manifests(),
    )
    | st.builds(
        Body,
        st.just(BodyType.TEXT),
        numbers,
        hours,
        texts.filter(bool),
        timer_s=st.integers(1, TIMER_MAX_S),
    )
    | st.builds(
        Body,
        st.just(BodyType.REACTION),
        numbers,
        hours,
        texts.filter(lambda s: len(s.encode()) <= 32),
        names,
        numbers,
    )
    | st.builds(
        Body, st.just(BodyType.EDIT), numbers, hours, texts.filter(bool), names, numbers, cards
    )
    | st.builds(Body, st.just(BodyType.RETRACT), numbers, hours, st.just(""), names, numbers, cards)
    | st.builds(
        Body,
        st.just(BodyType.READ),
        numbers,
        hours,
        read=st.lists(numbers, min_size=1, max_size=READ_IDS_MAX, unique=True).map(tuple),
    )
    | st.builds(
        Body,
        st.just(BodyType.TIMER),
        numbers,
        hours,
        name=names,
        timer_s=st.integers(0, TIMER_MAX_S),
    )
)


@given(bodies)
def test_body_round_trip(body: Body) -> None:
    """decode(encode(body)) is the body."""
    assert decode_body(encode_body(body)) == body


@given(bodies, st.lists(st.tuples(st.integers(7, 255), st.binary(max_size=9)), max_size=3))
def test_unknown_extensions_are_skipped(body: Body, extra: list[tuple[int, bytes]]) -> None:
    """Tags of later versions change nothing, as long as they rise."""
    data = encode_body(body)
    data += b"".join(bytes([tag, len(value)]) + value for tag, value in extra)
    tags = [tag for tag, _ in extra]
    if tags == sorted(set(tags)):
        assert decode_body(data) == body
    else:
        with pytest.raises(WireError):
            decode_body(data)


@st.composite
def near_bodies(draw: st.DrawFn) -> bytes:
    """A valid body, cut, extended or changed in a byte."""
    data = bytearray(encode_body(draw(bodies)))
    at = draw(st.integers(0, len(data) - 1))
    match draw(st.integers(0, 2)):
        case 0:
            del data[at:]
        case 1:
            data[at] ^= draw(st.integers(1, 255))
        case _:
            data += draw(st.binary(min_size=1, max_size=6))
    return bytes(data)


@given(st.binary(max_size=80) | near_bodies())
@example(b"\x01" + bytes(8) + bytes(4) + b"\x02\0\xc3\x28")
def test_body_decodes_exactly_or_not_at_all(data: bytes) -> None:
    """encode(decode(x)) is x without unknown tags, or a WireError; nothing else comes out."""
    try:
        body = decode_body(data)
    except WireError:
        return
    again = encode_body(body)
    assert decode_body(again) == body
    assert data.startswith(again)
    assert all(tag > 6 for tag in data[len(again) : len(again) + 1])


KEY = bytes(32)  # of a file
ONE = KEY + struct.pack("<I", 1) + bytes(16)  # a file of one byte, without its name


def raw(kind: int, text: bytes, rest: bytes = b"", size: int | None = None) -> bytes:
    length = len(text) if size is None else size
    return struct.pack("<B8sIH", kind, bytes(8), 0, length) + text + rest


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "body_length"),
        (raw(1, b"a")[:14], "body_length"),
        (raw(1, b"a", size=2), "body_length"),
        (raw(0, b"a"), "body_type"),
        (raw(11, b""), "body_type"),
        (raw(10, b""), "body_text"),
        (raw(5, b"x"), "body_no_target"),
        (raw(5, b"x" * 33, b"\x02\x08" + bytes(8)), "body_text"),
        (raw(6, b"x"), "body_no_target"),
        (raw(6, b"", b"\x02\x08" + bytes(8)), "body_text"),
        (raw(7, b""), "body_no_target"),
        (raw(7, b"x", b"\x02\x08" + bytes(8)), "body_text"),
        (raw(8, b""), "body_read"),
        (raw(8, bytes(9)), "body_read"),
        (raw(8, bytes(16)), "body_read"),
        (raw(8, b"".join(n.to_bytes(8, "little") for n in range(129))), "body_read"),
        (raw(9, b""), "body_timer"),
        (raw(9, b"", b"\x04\x04\xff\xff\xff\xff"), "body_timer"),
        (raw(1, b"a", b"\x04\x04" + bytes(4)), "body_timer"),
        (raw(1, b"a", b"\x04\x03" + bytes(3)), "body_extension"),
        (raw(4, b""), "body_file"),
        (raw(4, ONE), "body_file"),
        (raw(4, ONE[:-1]), "body_file"),
        (raw(4, ONE + b"n" * 97), "body_file"),
        (raw(4, ONE + b"\xff"), "body_utf8"),
        (raw(4, ONE + b"n", b"\x02\x07" + bytes(7)), "body_extension"),
        (raw(4, KEY + bytes(4) + bytes(16) + b"n"), "body_file"),
        (raw(4, KEY + struct.pack("<I", FILE_MAX_BYTES + 1) + bytes(16) + b"n"), "body_file"),
        (raw(1, ONE + b"\xff"), "body_utf8"),
        (raw(1, b""), "body_text"),
        (raw(1, b"a" * 7_001), "body_text"),
        (raw(3, b"a"), "body_text"),
        (raw(2, b"a", b"\x03\xc5" + bytes(197)), "body_text"),
        (raw(2, b""), "body_no_card"),
        (raw(1, b"\xc3\x28"), "body_utf8"),
        (raw(1, b"\xed\xa0\x80"), "body_utf8"),
        (raw(1, b"\xc0\x80"), "body_utf8"),
        (raw(1, b"a", b"\x01\x01\xff"), "body_utf8"),
        (raw(1, b"a", b"\x01\x00"), "body_name"),
        (raw(1, b"a", b"\x01\x31" + b"n" * 49), "body_name"),
        (raw(1, b"a", b"\x02\x07" + bytes(7)), "body_extension"),
        (raw(1, b"a", b"\x03\xc4" + bytes(196)), "body_extension"),
        (raw(1, b"a", b"\x09"), "body_extension"),
        (raw(1, b"a", b"\x09\x02\x00"), "body_extension"),
        (raw(1, b"a", b"\x00\x00"), "body_extension"),
        (raw(1, b"a", b"\x09\x00\x09\x00"), "body_extension"),
        (raw(1, b"a", b"\x09\x00\x01\x01n"), "body_extension"),
    ],
    ids=str,
)
def test_body_reasons(data: bytes, reason: str) -> None:
    """Each rule of the layout has its own code."""
    with pytest.raises(WireError) as caught:
        decode_body(data)
    assert caught.value.reason == reason


def test_longest_text() -> None:
    """7,000 bytes with everything else a message can have fit class 2; 7,001 are our user's."""
    body = Body(BodyType.TEXT, bytes(8), 0, "a" * 7_000, "n" * 48, bytes(8), ANNA.card.encode())
    assert len(dm(ANNA, BORIS, encode_body(body))) == 8_192
    for text, reason in (("", "empty_text"), ("ә" * 3_501, "too_long"), ("\ud800", "broken_text")):
        with pytest.raises(UsageError) as caught:
            encode_body(Body(BodyType.TEXT, bytes(8), 0, text))
        assert caught.value.reason == reason
    with pytest.raises(UsageError):
        encode_body(Body(BodyType.TEXT, bytes(8), 0, "a", "n" * 49))


FILE = Manifest(bytes(32), 1, "n", bytes(32), (bytes(16),))


def test_a_file_is_told_of_in_class_0() -> None:
    """A first message with a file of any size fits the smallest class if its names are usual."""
    names = ("IMG_20261127_145855.jpg", "Айгүл Сей"), ("отчёт за май.pdf", "Айгүл")
    for name, claimed in names:
        told = replace(FILE, size=FILE_MAX_BYTES, name=name)
        body = encode_body(Body(BodyType.FILE, bytes(8), 0, name=claimed, file=told))
        assert len(dm(ANNA, BORIS, body)) == 512, name


@pytest.mark.parametrize(
    "body",
    [
        Body(BodyType.TEXT, bytes(7), 0, "a"),
        Body(BodyType.TEXT, bytes(8), 0, "a", reply_to=b"x"),
        Body(BodyType.TEXT, bytes(8), 0, "a", card=b"x"),
        Body(BodyType.INTRODUCTION, bytes(8), 0),
        Body(BodyType.PROFILE, bytes(8), 0, "a"),
        Body(BodyType.FILE, bytes(8), 0),
        Body(BodyType.TEXT, bytes(8), 0, "a", file=FILE),
        Body(BodyType.FILE, bytes(8), 0, "a", file=FILE),
        Body(BodyType.FILE, bytes(8), 0, file=replace(FILE, chunks=())),
        Body(BodyType.FILE, bytes(8), 0, file=replace(FILE, key=b"short")),
        Body(BodyType.FILE, bytes(8), 0, file=replace(FILE, name="n" * 97)),
    ],
    ids=str,
)
def test_impossible_body_is_a_bug(body: Body) -> None:
    """Nothing is sent that the other side would drop."""
    with pytest.raises(ValueError):
        encode_body(body)
