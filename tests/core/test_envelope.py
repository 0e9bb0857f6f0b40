"""The envelope: shape, opening for the right key only, padding, commitment, hostile input."""

import struct
from hashlib import blake2b

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from hypothesis import example, given
from hypothesis import strategies as st
from sealing import (
    ANNA,
    BORIS,
    ENVELOPES,
    EVE,
    EXP_H,
    FILE_KEY,
    GROUP_SECRET,
    LOW_ORDER,
    ROOM_KEY,
    ROOM_S,
    TOKEN,
    dm,
    fixed,
    news,
    open_first_dm,
    opened,
    post,
    put,
)

from meshchat.core import crypto
from meshchat.core.envelope import (
    CLASS_SIZES,
    done_of,
    envelope_id,
    open_sealed,
    parse_header,
    seal,
    smallest_class,
    stamp_bits,
)
from meshchat.core.identity import (
    room_secret,
)
from meshchat.core.sealed import kind_of
from meshchat.errors import AuthError, UsageError, WireError

# --- the outer layer ---------------------------------------------------------------------------


@pytest.mark.parametrize("size_class", range(4))
def test_class_sizes(size_class: int) -> None:
    """The fullest inner of each class fits, one byte more goes into the next or is refused."""
    room = (399, 1_935, 8_079, 32_655)[size_class]
    assert smallest_class(room) == size_class
    data = put(lambda e: b"x" * room, secret=ROOM_S)
    assert len(data) == CLASS_SIZES[size_class] == (512, 2_048, 8_192, 32_768)[size_class]
    assert parse_header(data).size_class == size_class
    assert opened(data, secrets=(ROOM_S,)).inner == b"x" * room
    if size_class == 3:
        with pytest.raises(UsageError):
            smallest_class(room + 1)
    else:
        assert smallest_class(room + 1) == size_class + 1
    with pytest.raises(UsageError):
        put(lambda e: b"x" * (room + 1), secret=ROOM_S, size_class=size_class)


def test_body_room_of_each_kind() -> None:
    """Class 0 holds the bodies that the wire reference promises."""
    for room, build in (
        (109, lambda n: dm(ANNA, BORIS, b"b" * n)),
        (294, lambda n: post(b"b" * n)),
        (133, lambda n: news(ANNA, b"b" * n)),
    ):
        assert len(build(room)) == 512
        assert len(build(room + 1)) == 2_048


def test_header_is_strict() -> None:
    """Version, class, flags and length: one change and the parser says which."""
    data = post()
    for bad, reason in (
        (b"", "envelope_length"),
        (data[:79], "envelope_length"),
        (data[:-1], "envelope_length"),
        (data + b"\0", "envelope_length"),
        (b"\x02" + data[1:], "envelope_version"),
        (b"\x01\x04" + data[2:], "envelope_class"),
        (b"\x01\x01" + data[2:], "envelope_length"),
        (b"\x01\x00\x01" + data[3:], "envelope_flags"),
        (b"\x01\x00\x00\x80" + data[4:], "envelope_flags"),
    ):
        with pytest.raises(WireError) as caught:
            parse_header(bad)
        assert caught.value.reason == reason


@given(st.binary(max_size=600) | st.binary(min_size=510, max_size=510).map(b"\x01\x00".__add__))
@example(b"\x01\x00\x00\x00" + bytes(508))
def test_arbitrary_bytes_as_envelope(data: bytes) -> None:
    """Only WireError comes out; what has the right shape simply is not for us."""
    try:
        assert open_sealed(data, secrets=[ROOM_S], prekeys=[BORIS.prekey]) is None
    except WireError:
        with pytest.raises(WireError):
            parse_header(data)


def test_stamp_is_outside_everything() -> None:
    """Another stamp changes neither the id nor what is inside, only the stamp's value."""
    data = dm(ANNA, BORIS)
    stamped = [data[:8] + struct.pack("<Q", nonce) + data[16:] for nonce in range(64)]
    assert {envelope_id(one) for one in stamped} == {envelope_id(data)}
    assert opened(stamped[9], me=BORIS) == opened(data, me=BORIS)
    best = max(stamped, key=lambda one: stamp_bits(one, envelope_id(one)))
    assert stamp_bits(best, envelope_id(best)) >= 3  # 64 tries; fixed by the fixed envelope
    eid = blake2b(data[:8] + data[16:], digest_size=16, person=b"mc1 eid").digest()
    assert envelope_id(data) == eid
    value = blake2b(eid + best[8:16], digest_size=8, person=b"mc1 stamp").digest()
    assert "".join(f"{byte:08b}" for byte in value).index("1") == stamp_bits(best, eid)


@given(
    st.sampled_from(sorted(ENVELOPES)),
    st.integers(0, 511).filter(lambda at: not 8 <= at < 16),
    st.integers(1, 255),
)
@example("dm", 4, 1)
@example("dm", 47, 0x80)
@example("post", 64, 1)
@example("announce", 511, 1)
def test_changed_envelope_does_not_open(which: str, at: int, flip: int) -> None:
    """Any change outside the stamp, expiry included, and nobody can open it."""
    data = bytearray(ENVELOPES[which])
    data[at] ^= flip
    secrets = [ROOM_S, ANNA.announce_secret, FILE_KEY, GROUP_SECRET]
    keys = {"secrets": secrets, "prekeys": [BORIS.prekey]}
    assert open_sealed(ENVELOPES[which], **keys) is not None
    try:
        assert open_sealed(bytes(data), **keys) is None
    except WireError:
        assert at < 4


def test_every_byte_of_one_envelope() -> None:
    """The same for each byte of one direct message, without sampling."""
    data = ENVELOPES["dm"]
    for at in [*range(4, 8), *range(16, len(data))]:
        changed = data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :]
        assert open_sealed(changed, secrets=[], prekeys=[BORIS.prekey]) is None


def test_opens_for_the_right_key_only() -> None:
    """Each ciphertext against each key: a match on the diagonal and nowhere else."""
    secrets = {"post": ROOM_S, "announce": ANNA.announce_secret}
    tomorrow = room_secret(ROOM_KEY, 20_001)
    for name, data in ENVELOPES.items():
        for other, secret in [*secrets.items(), ("none", tomorrow), ("none", bytes(32))]:
            result = open_sealed(data, secrets=[secret], prekeys=[])
            assert (result is not None) == (name == other)
        for who in (ANNA, BORIS, EVE):
            result = open_sealed(data, secrets=[], prekeys=[who.prekey])
            assert (result is not None) == (name == "dm" and who is BORIS)


def test_says_which_key_matched() -> None:
    """The caller learns the secret's index or the prekey, never both."""
    many = [fixed(f"s{i}") for i in range(20)]
    by_secret = open_sealed(post(), secrets=[*many, ROOM_S, *many], prekeys=[BORIS.prekey])
    assert by_secret is not None
    assert (by_secret.via_secret, by_secret.prekey) == (20, None)
    keys = [EVE.prekey, ANNA.prekey, BORIS.prekey]
    by_prekey = open_sealed(dm(ANNA, BORIS), secrets=many, prekeys=keys)
    assert by_prekey is not None
    assert (by_prekey.via_secret, by_prekey.prekey) == (None, BORIS.prekey)
    assert by_prekey.header == parse_header(dm(ANNA, BORIS))


def test_proof_asked_for_or_not_looks_the_same() -> None:
    """Only the recipient can tell; to others ``done`` is 16 bytes that fit no known token."""
    asks, asks_not = dm(ANNA, BORIS), dm(ANNA, BORIS, want_proof=False)
    assert len(asks) == len(asks_not)
    assert asks[:64] == asks_not[:64]  # same randomness: header, e and kc do not depend on it
    assert opened(asks, me=BORIS).wants_proof
    assert not opened(asks_not, me=BORIS).wants_proof
    assert opened(asks, me=BORIS).token == opened(asks_not, me=BORIS).token == TOKEN
    assert parse_header(asks).done == done_of(TOKEN) != parse_header(asks_not).done


def sealed_plaintext(plaintext: bytes) -> bytes:
    """A class 0 room envelope whose AEAD plaintext an insider chose freely."""
    e = crypto.x25519_public(fixed("e"))
    keys = blake2b(e, digest_size=48, key=ROOM_S, person=b"mc1 outer-sym").digest()
    front = struct.pack("<BBHI", 1, 0, 0, EXP_H)
    back = e + keys[:16] + bytes(16)
    return front + bytes(8) + back + crypto.aead_seal(keys[16:], plaintext, front + back)


@pytest.mark.parametrize(
    "padding", [b"\0", b"\x80\x01", b"\x81\0", b"\x80\0\x40"], ids=lambda p: p.hex()
)
def test_padding_has_one_form(padding: bytes) -> None:
    """An insider who pads in another way is not understood, rather than repaired."""
    good = (TOKEN + b"\x04inner" + b"\x80").ljust(416, b"\0")
    assert opened(sealed_plaintext(good), secrets=(ROOM_S,)).inner == b"\x04inner"
    odd = TOKEN + (b"\0" * (400 - len(padding)) + padding)
    assert open_sealed(sealed_plaintext(odd), secrets=[ROOM_S], prekeys=[]) is None


def test_all_padding_opens_as_an_empty_inner() -> None:
    """An empty inner is no kind: the next layer refuses it."""
    data = sealed_plaintext((TOKEN + b"\x80").ljust(416, b"\0"))
    inner = opened(data, secrets=(ROOM_S,)).inner
    assert inner == b""
    with pytest.raises(WireError):
        kind_of(inner)


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda p: p.hex()[:8] + p.hex()[-2:])
def test_low_order_points(point: bytes) -> None:
    """As e they open for nobody; as a prekey, EK, ratchet or identity key they are refused."""
    data = dm(ANNA, BORIS)
    keys = blake2b(bytes(32) + point + BORIS.prekey.public, digest_size=48, person=b"mc1 outer-dm")
    forged = data[:16] + point + keys.digest()[:16] + data[64:]
    assert open_sealed(forged, secrets=[], prekeys=[BORIS.prekey]) is None
    with pytest.raises(AuthError):
        put(lambda e: b"\x01", prekey=point)
    inner, e = opened(data, me=BORIS).inner, parse_header(data).e
    for at in (198, 238):  # EK, ratchet key
        with pytest.raises(AuthError):
            open_first_dm(inner[:at] + point + inner[at + 32 :], BORIS.identity, BORIS.prekey, e)


def test_hedged_randomness() -> None:
    """A stuck random source does not repeat e while counter, body or owner differ."""

    class Stuck:
        def bytes(self, n: int) -> bytes:
            return bytes(n)

    def e_of(counter: int, body: bytes, owner: bytes) -> bytes:
        data = seal(
            lambda e: b"\x04",
            body,
            EXP_H,
            TOKEN,
            want_proof=True,
            entropy=Stuck(),
            long_term_secret=owner,
            counter=counter,
            secret=ROOM_S,
        )
        return parse_header(data).e

    first = e_of(1, b"a", bytes(32))
    assert e_of(1, b"a", bytes(32)) == first
    assert (
        len({first, e_of(2, b"a", bytes(32)), e_of(1, b"b", bytes(32)), e_of(1, b"a", TOKEN)}) == 4
    )


def test_misuse_is_a_bug_not_a_leak() -> None:
    """Both or no target, an empty secret, a short token: ValueError before anything is sealed."""
    for target in ({}, {"prekey": BORIS.card.prekey, "secret": ROOM_S}, {"secret": b""}):
        with pytest.raises(ValueError):
            put(lambda e: b"\x04", **target)
    with pytest.raises(ValueError):
        open_sealed(post(), secrets=[b""], prekeys=[])


# --- key commitment ----------------------------------------------------------------------------

_P1305 = 2**130 - 5


def poly_key(key: bytes) -> tuple[int, int]:
    """``(r, s)`` that ChaCha20-Poly1305 uses under this key with the zero nonce."""
    stream = Cipher(algorithms.ChaCha20(key, bytes(16)), None).encryptor().update(bytes(32))
    r = int.from_bytes(stream[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    return r, int.from_bytes(stream[16:], "little")


def two_key_ciphertext(plaintext: bytes, ad: bytes, key_1: bytes, key_2: bytes) -> bytes | None:
    """A ciphertext authentic under both keys, by solving for its first block; None: no solution.

    It decrypts to ``plaintext`` under ``key_1``, but for the first 16 bytes.
    """
    ct = crypto.aead_seal(key_1, plaintext, ad)[:-16]
    data = ad + bytes(-len(ad) % 16) + ct + bytes(-len(ct) % 16)
    data += struct.pack("<QQ", len(ad), len(ct))
    blocks = [data[i : i + 16] for i in range(0, len(data), 16)]
    free = (len(ad) + 15) // 16
    sums, factors, ends = [], [], []
    for key in (key_1, key_2):
        r, s = poly_key(key)
        powers = [pow(r, len(blocks) - i, _P1305) for i in range(len(blocks))]
        values = [int.from_bytes(block + b"\1", "little") for block in blocks]
        terms = (v * p for i, (v, p) in enumerate(zip(values, powers, strict=True)) if i != free)
        sums.append(sum(terms) % _P1305)
        factors.append(powers[free])
        ends.append(s)
    inverse = pow(factors[0] - factors[1], -1, _P1305)
    for wrap in range(-4, 5):
        block = (ends[1] - ends[0] + wrap * 2**128 + sums[1] - sums[0]) * inverse % _P1305
        if not 2**128 <= block < 2**129:
            continue
        tag = ((sums[0] + block * factors[0]) % _P1305 + ends[0]) % 2**128
        made = (block - 2**128).to_bytes(16, "little") + ct[16:] + tag.to_bytes(16, "little")
        try:
            crypto.aead_open(key_1, made, ad)
            crypto.aead_open(key_2, made, ad)
        except AuthError:
            continue
        return made
    return None


def test_one_envelope_opens_under_one_key_only() -> None:
    """A real two-key ciphertext, sound under both keys for the AEAD, is taken under one."""

    def keys_of(secret: bytes) -> bytes:
        return blake2b(e, digest_size=48, key=secret, person=b"mc1 outer-sym").digest()

    def last_of_stream(secret: bytes) -> int:
        return crypto.aead_seal(keys_of(secret)[16:], bytes(416), b"")[415]

    e = crypto.x25519_public(fixed("e"))
    one = fixed("guess")
    # with equal last key stream bytes the padding is right under both keys, too
    twin = next(
        guess
        for guess in (fixed(f"guess {i}") for i in range(9_999))
        if last_of_stream(guess) == last_of_stream(one)
    )
    secrets = [one, twin]
    keys = [keys_of(secret) for secret in secrets]
    front = struct.pack("<BBHI", 1, 0, 0, EXP_H)
    for commit in (0, 1):
        back = e + keys[commit][:16] + bytes(16)
        first, second = keys[commit][16:], keys[1 - commit][16:]
        for attempt in range(200):
            inner = b"\x04" + bytes([attempt]) * 398
            ct = two_key_ciphertext(TOKEN + inner + b"\x80", front + back, first, second)
            if ct is not None:
                break
        else:
            pytest.fail("no two-key ciphertext was found")
        assert crypto.aead_open(second, ct, front + back).endswith(b"\x80")
        data = front + bytes(8) + back + ct
        results = [open_sealed(data, secrets=[s], prekeys=[]) for s in secrets]
        assert results[1 - commit] is None
        good = results[commit]
        assert good is not None
        assert good.inner == inner
