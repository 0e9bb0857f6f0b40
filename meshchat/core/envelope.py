"""The envelope: what is stored and carried, sealed to a prekey or to a shared secret.

Layout in docs/reference/wire.md, section 3. An envelope has no address: a
receiver tries what it holds, and only a match of the commitment ``kc`` leads
to decryption. What is inside is the business of ``sealed``.
"""

import struct
from collections.abc import Callable, Iterator, Sequence

from msgspec import Struct

from meshchat.core import crypto
from meshchat.core.crypto import H, H_each
from meshchat.core.limits import CLASS_SIZES_BYTES
from meshchat.core.model import BULK_CLASS, PIECES_BITS_MAX, TAG_BITS, Prekey
from meshchat.core.ports import Entropy
from meshchat.errors import AuthError, UsageError, WireError

CLASS_SIZES = CLASS_SIZES_BYTES
HEADER_BYTES = 80
TOKEN_BYTES = 16
EID_BYTES = 16

_HEADER = struct.Struct("<BBHI8s32s16s16s")
_VERSION = 1
_KC_BYTES = 16
_DONE_BYTES = 16
_SECRET_BYTES = frozenset((crypto.KEY_BYTES,))
STAMP = slice(8, 16)
DONE = slice(64, 80)
NO_STAMP = bytes(8)  # what stands there when nobody spent work
_END = b"\x80"
_OVERHEAD_BYTES = HEADER_BYTES + crypto.TAG_BYTES + TOKEN_BYTES + len(_END)


class Header(Struct, frozen=True):
    """What a carrier can read of an envelope."""

    size_class: int
    exp_h: int
    """Expiry, hours since 1970."""
    e: bytes
    kc: bytes
    done: bytes
    part: int = 0
    """What it is a part of (``part_of``); 0: of nothing."""


def parse_header(data: bytes) -> Header:
    """Check the shape of a whole envelope.

    Raises:
        WireError: Version, class, flags, or a length that is not that of the class.
    """
    if len(data) < HEADER_BYTES:
        raise WireError("envelope_length")
    version, size_class, flags, exp_h, _, e, kc, done = _HEADER.unpack_from(data)
    if version != _VERSION:
        raise WireError("envelope_version")
    if size_class >= len(CLASS_SIZES):
        raise WireError("envelope_class")
    if len(data) != CLASS_SIZES[size_class]:
        raise WireError("envelope_length")
    if flags and (size_class < BULK_CLASS or not is_part(flags)):
        raise WireError("envelope_flags")
    return Header(size_class, exp_h, e, kc, done, flags)


def part_of(pieces: int, tag: int) -> int:
    """What chunks of one file have in common on the outside (wire.md, 3.1).

    Args:
        pieces: How many chunks the file has; carriers learn it to the next power of two.
        tag: Random, the same for all of them; carriers then take a file whole or not at all.
    """
    return (pieces - 1).bit_length() << TAG_BITS | tag % (1 << TAG_BITS)


def is_part(flags: int) -> bool:
    """Whether these flags may stand in an envelope."""
    return flags >> TAG_BITS <= PIECES_BITS_MAX


def envelope_id(data: bytes) -> bytes:
    """16 bytes; the stamp nonce does not count."""
    return H(b"mc1 eid", data[: STAMP.start] + data[STAMP.stop :], EID_BYTES)


def stamp_bits(data: bytes, eid: bytes) -> int:
    """Leading zero bits (0 to 64) of the stamp: work somebody spent on this envelope."""
    value = H(b"mc1 stamp", eid + data[STAMP], 8)
    return 64 - int.from_bytes(value, "big").bit_length()


def done_of(token: bytes) -> bytes:
    """The ``done`` value that a released token proves."""
    return H(b"mc1 done", token, _DONE_BYTES)


def smallest_class(inner_len: int) -> int:
    """The smallest class with room for ``inner_len`` bytes. ``UsageError`` if there is none."""
    for size_class, size in enumerate(CLASS_SIZES):
        if inner_len + _OVERHEAD_BYTES <= size:
            return size_class
    raise UsageError("too_long", "This is too long for one message: send it in parts.")


def seal(
    build: Callable[[bytes], bytes],
    body: bytes,
    exp_h: int,
    token: bytes,
    *,
    size_class: int | None = None,
    part: int = 0,
    want_proof: bool,
    entropy: Entropy,
    long_term_secret: bytes,
    counter: int,
    prekey: bytes | None = None,
    secret: bytes | None = None,
) -> bytes:
    """Make one envelope. Its one-use key pair ``e`` never leaves this function.

    Args:
        build: Called once with the public ``e``; returns the inner (it is bound to ``e``).
        body: What the inner will carry; mixed into the secret of ``e``, so that a bad source
            of randomness does not repeat it.
        exp_h: Expiry, hours since 1970.
        token: 16 fresh random bytes; the recipient releases them to prove delivery.
        size_class: At least this class; None: the smallest that fits.
        part: What it is a part of (``part_of``), written where the class is one for bulk.
        want_proof: False puts random bytes in the place of ``done``; nobody can tell.
        entropy: Gives 32 bytes for ``e``, then what ``build`` draws, then ``done`` if random.
        long_term_secret: 32 bytes only we know, also mixed into the secret of ``e``.
        counter: Rises with every envelope we seal (u64).
        prekey: Public prekey to seal to, or
        secret: the shared secret S (32 bytes) to seal to. Exactly one of the two.

    Raises:
        UsageError: The inner fits into no class, or not into ``size_class``.
        AuthError: The prekey is a point of low order.
    """
    e_secret = H(
        b"mc1 e-secret",
        entropy.bytes(32) + long_term_secret + struct.pack("<Q", counter) + body,
        32,
    )
    e = crypto.x25519_public(e_secret)
    if prekey is not None and secret is None:
        keys = _prekey_keys(crypto.dh(e_secret, prekey), e, prekey)
    elif secret is not None and prekey is None:
        (keys,) = _secret_keys((secret,), e)
    else:
        raise ValueError("give a prekey or a secret")
    if len(token) != TOKEN_BYTES:
        raise ValueError("a token has 16 bytes")
    inner = build(e)
    smallest = smallest_class(len(inner))
    if size_class is None:
        size_class = smallest
    elif size_class < smallest:
        raise UsageError("too_long", "This is too long for the size of envelope asked for.")
    done = done_of(token) if want_proof else entropy.bytes(_DONE_BYTES)
    kc, key = keys[:_KC_BYTES], keys[_KC_BYTES:]
    flags = part if size_class >= BULK_CLASS else 0
    header = _HEADER.pack(_VERSION, size_class, flags, exp_h, bytes(8), e, kc, done)
    room = CLASS_SIZES[size_class] - HEADER_BYTES - crypto.TAG_BYTES
    plaintext = (token + inner + _END).ljust(room, b"\0")
    return header + crypto.aead_seal(key, plaintext, _bound(header))


class Opened(Struct, frozen=True):
    """An envelope that was for us."""

    inner: bytes
    token: bytes
    wants_proof: bool
    header: Header
    via_secret: int | None
    """Index of the secret it was sealed to, or None:"""
    prekey: Prekey | None
    """then the prekey of ours it was sealed to."""


def open_sealed(
    data: bytes, *, secrets: Sequence[bytes], prekeys: Sequence[Prekey]
) -> Opened | None:
    """Try what we hold: about 1 us for each secret, then 35 to 60 us for each prekey.

    Returns:
        None if it is not for us, or was for us but is damaged or badly formed.

    Raises:
        WireError: It is no envelope at all (see ``parse_header``).
    """
    header = parse_header(data)
    e, kc = header.e, header.kc
    for index, keys in enumerate(_secret_keys(secrets, e)):
        if crypto.equal(keys[:_KC_BYTES], kc):
            return _decrypt(data, header, keys[_KC_BYTES:], index, None)
    for prekey in prekeys:
        try:
            shared = crypto.dh(prekey.secret, e)
        except AuthError:
            return None  # e is of low order: nobody sealed this to a prekey
        keys = _prekey_keys(shared, e, prekey.public)
        if crypto.equal(keys[:_KC_BYTES], kc):
            return _decrypt(data, header, keys[_KC_BYTES:], None, prekey)
    return None


def inner_of(data: bytes, secret: bytes) -> bytes:
    """What is in an envelope that this shared secret was seen to open before."""
    opened = open_sealed(data, secrets=[secret], prekeys=())
    if opened is None:
        raise ValueError("another secret opens it")
    return opened.inner


def _decrypt(
    data: bytes, header: Header, key: bytes, via_secret: int | None, prekey: Prekey | None
) -> Opened | None:
    try:
        plaintext = crypto.aead_open(key, data[HEADER_BYTES:], _bound(data))
    except AuthError:
        return None
    token, padded = plaintext[:TOKEN_BYTES], plaintext[TOKEN_BYTES:].rstrip(b"\0")
    if not padded.endswith(_END):
        return None
    wants_proof = crypto.equal(done_of(token), header.done)
    return Opened(padded[: -len(_END)], token, wants_proof, header, via_secret, prekey)


def _bound(data: bytes) -> bytes:
    """The header without its stamp nonce: the associated data."""
    return data[: STAMP.start] + data[STAMP.stop : HEADER_BYTES]


def _prekey_keys(shared: bytes, e: bytes, prekey: bytes) -> bytes:
    """``kc || K`` of an envelope sealed to a prekey."""
    return H(b"mc1 outer-dm", shared + e + prekey, _KC_BYTES + crypto.KEY_BYTES)


def _secret_keys(secrets: Sequence[bytes], e: bytes) -> Iterator[bytes]:
    """``kc || K`` of an envelope sealed to a shared secret, for each of these."""
    if not _SECRET_BYTES.issuperset(map(len, secrets)):  # an empty key would be anybody's key
        raise ValueError("a shared secret has 32 bytes")
    return H_each(b"mc1 outer-sym", e, _KC_BYTES + crypto.KEY_BYTES, secrets)
