"""HELLO: contacts recognise each other inside a link. docs/reference/wire.md, section 1.3."""

from collections.abc import Sequence
from struct import Struct

from meshchat.core.crypto import H, dh
from meshchat.core.link import VERSION
from meshchat.core.ports import Entropy
from meshchat.errors import HandshakeError, WireError

HELLO_TAGS = 16
HELLO_TAG_BYTES = 8
HELLO_BYTES = 4 + HELLO_TAGS * HELLO_TAG_BYTES

_HELLO = Struct("<BBH")


def pair_key(own_dh_secret: bytes, their_dh_public: bytes, own_fp: bytes, their_fp: bytes) -> bytes:
    """The key two contacts recognise each other by, 32 bytes, the same from both sides.

    Raises:
        AuthError: ``their_dh_public`` is of low order.
    """
    low, high = sorted((own_fp, their_fp))
    return H(b"mc1 pair", dh(own_dh_secret, their_dh_public) + low + high, 32)


def make_hello(
    pairs: Sequence[tuple[bytes, bytes]],
    h: bytes,
    outbound: bool,
    own_fp: bytes,
    entropy: Entropy,
    caps: int = 0,
) -> bytes:
    """Body of a HELLO: a tag for each contact among random ones, in random order.

    Args:
        pairs: At most 16 of ``(fingerprint of the contact, pair key)``.
        h: The link's ``handshake_hash``.
        outbound: True if we dialled.
        own_fp: Our fingerprint; only those contacts can find it in here.
        entropy: Gives the other tags and the order.
        caps: Capability bits, none defined yet.
    """
    if len(pairs) > HELLO_TAGS:
        raise ValueError(f"{len(pairs)} contacts in one HELLO")
    tags = [_tag(key, h, outbound, own_fp) for _, key in pairs]
    tags += _cut(entropy.bytes(HELLO_TAG_BYTES * (HELLO_TAGS - len(tags))))
    order = _cut(entropy.bytes(HELLO_TAG_BYTES * HELLO_TAGS))  # 64 bits: ties do not happen
    shuffled = [tag for _, tag in sorted(zip(order, tags, strict=True))]
    return _HELLO.pack(VERSION, VERSION, caps) + b"".join(shuffled)


def read_hello(
    body: bytes, pairs: Sequence[tuple[bytes, bytes]], h: bytes, outbound: bool
) -> bytes:
    """Fingerprint of the contact the peer proved to be, or empty.

    Args:
        body: As received.
        pairs: All our contacts, ``(fingerprint, pair key)``.
        h: The link's ``handshake_hash``.
        outbound: True if *we* dialled.

    Raises:
        WireError: ``hello_length``, ``hello_versions``.
        HandshakeError: ``version``, the peer speaks none of ours.
    """
    if len(body) != HELLO_BYTES:
        raise WireError("hello_length")
    lowest, highest, _caps = _HELLO.unpack_from(body)
    if lowest > highest:
        raise WireError("hello_versions")
    if not lowest <= VERSION <= highest:
        raise HandshakeError("version")
    if not pairs:
        return b""
    seen = set(_cut(body[_HELLO.size :]))
    for fp, key in pairs:
        if _tag(key, h, not outbound, fp) in seen:
            return fp
    return b""


def _cut(tags: bytes) -> list[bytes]:
    return [tags[i : i + HELLO_TAG_BYTES] for i in range(0, len(tags), HELLO_TAG_BYTES)]


def _tag(key: bytes, h: bytes, by_dialler: bool, sender_fp: bytes) -> bytes:
    role = b"\0" if by_dialler else b"\1"
    return H(b"mc1 hello", h + role + sender_fp, HELLO_TAG_BYTES, key=key)
