"""What is inside an envelope: first direct messages, room posts, announces, chunks; their body.

Layouts in docs/reference/wire.md, section 5. Every inner is bound to the one-use
key ``e`` of its envelope. An opener raises ``ProtocolError`` and nothing else on
whatever bytes it is given.

Known limit of the X3DH start: who has stolen a recipient's keys can write to
that recipient in anybody's name (key compromise impersonation).
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache

from meshchat.core import crypto
from meshchat.core.crypto import H
from meshchat.core.envelope import EID_BYTES
from meshchat.core.identity import CARD_BYTES, NAME_MAX_BYTES, Card, Identity, utf8
from meshchat.core.limits import FILE_CHUNKS_MAX
from meshchat.core.model import Manifest, Prekey
from meshchat.core.ports import Entropy
from meshchat.errors import AuthError, UsageError, WireError

TEXT_MAX_BYTES = 7_000  # with name, reply and first-message overhead it fits class 2
NUMBER_BYTES = 8
MESSAGE_ID_BYTES = 8
CARDS_READ_MAX = 256  # kept as they were checked; every message of a conversation brings one


class InnerKind(IntEnum):
    """First byte of an inner."""

    FIRST_DM = 1
    ROOM = 4
    ANNOUNCE = 5
    CHUNK = 6


def kind_of(inner: bytes) -> InnerKind:
    """Raises ``WireError`` for an empty inner or a kind this version does not know."""
    try:
        return InnerKind(inner[0])
    except (IndexError, ValueError):
        raise WireError("inner_kind") from None


@lru_cache(CARDS_READ_MAX)
def read_card(data: bytes) -> Card:
    """``Card.decode``, whose checks cost more than the rest of a message, once for each card."""
    return Card.decode(data)


# --- kind 1: first direct message (X3DH, first step of a Double Ratchet) ---------------------

_FIRST = struct.Struct("<B197s32s8s32sHH")
_DR_AT = 1 + CARD_BYTES + 32


def first_dm(
    identity: Identity,
    own_card: Card,
    recipient: Card,
    e: bytes,
    body: bytes,
    entropy: Entropy,
) -> bytes:
    """Write ``body`` to the owner of a card. The envelope must be sealed to the card's prekey.

    Draws 32 bytes for EK, then 32 for the ratchet key.

    Raises:
        UsageError: The card is our own.
    """
    if recipient.fp == identity.fp:
        raise UsageError("own_card", "This is your own card: choose another person.")
    spk = recipient.prekey
    ek_secret, ek = crypto.x25519_keypair(entropy.bytes(32))
    r_secret, r = crypto.x25519_keypair(entropy.bytes(32))
    shared = (
        crypto.dh(identity.dh_secret, spk)
        + crypto.dh(ek_secret, recipient.dh_public)
        + crypto.dh(ek_secret, spk)
    )
    fps = identity.fp + recipient.fp
    root, sid = _agree(shared, fps, spk, ek)
    head = _FIRST.pack(InnerKind.FIRST_DM, own_card.encode(), ek, sid, r, 0, 0)
    key = _first_key(root, crypto.dh(r_secret, spk), e)
    return head + crypto.aead_seal(key, body, fps + head[_DR_AT:] + e)


def open_first_dm(inner: bytes, identity: Identity, prekey: Prekey, e: bytes) -> tuple[Card, bytes]:
    """Read a first message.

    Args:
        inner: As it came out of the envelope.
        identity: Ours.
        prekey: The one of ours the envelope was sealed to.
        e: The envelope's.

    Returns:
        The sender's card, proven to be the sender's, and the body.

    Raises:
        WireError: It is no first message of this version.
        AuthError: It is not from the owner of the card, not for us, or not of this envelope.
    """
    if len(inner) < _FIRST.size + crypto.TAG_BYTES:
        raise WireError("first_dm_length")
    kind, card, ek, sid, r, pn, n = _FIRST.unpack_from(inner)
    if kind != InnerKind.FIRST_DM:
        raise WireError("inner_kind")
    if pn or n:
        raise WireError("first_dm_counter")
    sender = read_card(card)
    if sender.fp == identity.fp:
        raise AuthError("own_card")
    shared = (
        crypto.dh(prekey.secret, sender.dh_public)
        + crypto.dh(identity.dh_secret, ek)
        + crypto.dh(prekey.secret, ek)
    )
    fps = sender.fp + identity.fp
    root, expected_sid = _agree(shared, fps, prekey.public, ek)
    if not crypto.equal(expected_sid, sid):
        raise AuthError("session_id")
    key = _first_key(root, crypto.dh(prekey.secret, r), e)
    head, ct = inner[_DR_AT : _FIRST.size], inner[_FIRST.size :]
    return sender, crypto.aead_open(key, ct, fps + head + e)


def _agree(shared: bytes, fps: bytes, spk: bytes, ek: bytes) -> tuple[bytes, bytes]:
    """``(root, sid)`` from the three DH results and everything both sides know."""
    k = H(b"mc1 x3dh", shared + fps + spk + ek, 64)
    return k[:32], H(b"mc1 sid", k[32:], 8)


def _first_key(root: bytes, shared: bytes, e: bytes) -> bytes:
    """The key of the first message of the first chain; mixing ``e`` keeps it from repeating."""
    chain = H(b"mc1 dr-root", shared, 64, root)[32:]
    message_key = H(b"mc1 dr-chain", b"", 64, chain)[32:]
    return H(b"mc1 mk", e, 32, message_key)


# --- kind 4: room post -----------------------------------------------------------------------

_ROOM = struct.Struct("<B32sII")


def room_post(author_seed: bytes, rid: bytes, e: bytes, seq: int, ts: int, body: bytes) -> bytes:
    """A post under our pseudonym in a room. ``seq`` and ``ts`` (seconds since 1970) are u32."""
    author = crypto.sign_public(author_seed)
    post = _ROOM.pack(InnerKind.ROOM, author, seq, ts) + body
    return post + crypto.sign(author_seed, b"mc1 room" + rid + e + post)


def open_room_post(inner: bytes, rid: bytes, e: bytes) -> tuple[bytes, int, int, bytes]:
    """``(author, seq, ts, body)`` of a post.

    Raises:
        WireError: It is no room post.
        AuthError: The signature is not the author's, for this room and this envelope.
    """
    if len(inner) < _ROOM.size + crypto.SIGNATURE_BYTES:
        raise WireError("room_length")
    kind, author, seq, ts = _ROOM.unpack_from(inner)
    if kind != InnerKind.ROOM:
        raise WireError("inner_kind")
    post, signature = inner[: -crypto.SIGNATURE_BYTES], inner[-crypto.SIGNATURE_BYTES :]
    crypto.verify(author, b"mc1 room" + rid + e + post, signature)
    return author, seq, ts, post[_ROOM.size :]


# --- kind 5: announce ------------------------------------------------------------------------

_ANNOUNCE = struct.Struct("<B197sI")


def announce(identity: Identity, card: Card, e: bytes, boot: int, body: bytes) -> bytes:
    """Our newest card and profile, for contacts; signed, because all of them know its key."""
    inner = _ANNOUNCE.pack(InnerKind.ANNOUNCE, card.encode(), boot) + body
    return inner + crypto.sign(identity.sign_seed, b"mc1 announce" + e + inner)


def open_announce(inner: bytes, fp: bytes, e: bytes) -> tuple[Card, int, bytes]:
    """``(card, boot, body)`` of an announce found under the announce key of contact ``fp``.

    Raises:
        WireError: It is no announce.
        AuthError: Card or signature is not valid, or somebody else's.
    """
    if len(inner) < _ANNOUNCE.size + crypto.SIGNATURE_BYTES:
        raise WireError("announce_length")
    kind, data, boot = _ANNOUNCE.unpack_from(inner)
    if kind != InnerKind.ANNOUNCE:
        raise WireError("inner_kind")
    card = read_card(data)
    if card.fp != fp:
        raise AuthError("announce_card")
    signed, signature = inner[: -crypto.SIGNATURE_BYTES], inner[-crypto.SIGNATURE_BYTES :]
    crypto.verify(card.sign_public, b"mc1 announce" + e + signed, signature)
    return card, boot, signed[_ANNOUNCE.size :]


# --- kind 6: chunk of a file -----------------------------------------------------------------

_CHUNK = struct.Struct("<BB")
CHUNK_BYTES = 32_653  # in one chunk: what fits class 3 beside the two bytes above
FILE_HASH_BYTES = 32
FILE_MAX_BYTES = FILE_CHUNKS_MAX * (CHUNK_BYTES - EID_BYTES) + EID_BYTES - FILE_HASH_BYTES
FILE_NAME_MAX_BYTES = 96  # shown in one line; longer ones are cut by most systems as well


def chunk(index: int, data: bytes) -> bytes:
    """A part of a file, 1 to ``CHUNK_BYTES`` long; the envelope is sealed to the file key."""
    return _CHUNK.pack(InnerKind.CHUNK, index) + data


def open_chunk(inner: bytes) -> tuple[int, bytes]:
    """``(index, data)``. Manifest and first chunk name the envelope, so nothing is signed.

    Raises:
        WireError: It is no chunk.
    """
    if not _CHUNK.size < len(inner) <= _CHUNK.size + CHUNK_BYTES:
        raise WireError("chunk_length")
    kind, index = _CHUNK.unpack_from(inner)
    if kind != InnerKind.CHUNK:
        raise WireError("inner_kind")
    if index >= FILE_CHUNKS_MAX:
        raise WireError("chunk_index")
    return index, inner[_CHUNK.size :]


def piece_sizes(size: int) -> list[int]:
    """Bytes of a file of ``size`` in each of its chunks; the first has its table beside them."""
    count = -(-(size + FILE_HASH_BYTES - EID_BYTES) // (CHUNK_BYTES - EID_BYTES))
    first = min(size, CHUNK_BYTES - _table_bytes(count))
    rest = size - first
    return [first, *(min(CHUNK_BYTES, rest - at) for at in range(0, rest, CHUNK_BYTES))]


def cut(data: bytes) -> list[bytes]:
    """The pieces of a file, in order."""
    pieces = []
    at = 0
    for size in piece_sizes(len(data)):
        pieces.append(data[at : at + size])
        at += size
    return pieces


def with_table(checksum: bytes, others: Sequence[bytes], piece: bytes) -> bytes:
    """What the first chunk holds: hash of the file, ids of the other chunks, its own piece."""
    return b"".join((checksum, *others, piece))


def read_table(data: bytes, count: int) -> tuple[bytes, tuple[bytes, ...], bytes]:
    """``(hash, ids of the other chunks, piece)`` of the first of ``count`` chunks.

    Raises:
        WireError: It is too short, or names a chunk twice.
    """
    end = _table_bytes(count)
    if len(data) <= end:
        raise WireError("chunk_table")
    ids = range(FILE_HASH_BYTES, end, EID_BYTES)
    others = tuple(data[at : at + EID_BYTES] for at in ids)
    if len(set(others)) < len(others):
        raise WireError("chunk_table")
    return data[:FILE_HASH_BYTES], others, data[end:]


def chunk_inner_bytes(size: int) -> list[int]:
    """Length of the inner of each chunk of a file of ``size``."""
    lengths = [_CHUNK.size + piece for piece in piece_sizes(size)]
    lengths[0] += _table_bytes(len(lengths))
    return lengths


def _table_bytes(count: int) -> int:
    return FILE_HASH_BYTES + (count - 1) * EID_BYTES


def file_hash(data: bytes) -> bytes:
    """32 bytes, of a whole file."""
    return H(b"mc1 file", data, FILE_HASH_BYTES)


# --- body ------------------------------------------------------------------------------------

_BODY = struct.Struct("<B8sIH")
_TAG_NAME, _TAG_REPLY, _TAG_CARD = 1, 2, 3
_MANIFEST = struct.Struct("<32sI16s")


class BodyType(IntEnum):
    """What a body says."""

    TEXT = 1
    INTRODUCTION = 2
    PROFILE = 3
    FILE = 4


@dataclass(frozen=True, slots=True)
class Body:
    """The innermost layer. ``text`` and ``name`` are a peer's raw words: ``Clean`` them to show."""

    type: BodyType
    number: bytes
    """8 random bytes, chosen once per message."""
    sent: int
    """The author's clock, seconds since 1970."""
    text: str = ""
    name: str = ""
    """The name the author claims, or empty."""
    reply_to: bytes = b""
    """Id of the message replied to (8 bytes), or empty."""
    card: bytes = b""
    """A card (197 bytes, not checked here), or empty."""
    file: Manifest | None = None
    """Of a file message, and only of one; it stands where others have text."""


def message_id(author: bytes, number: bytes) -> bytes:
    """8 bytes, the same on every device; ``author`` is a fingerprint or a room author key."""
    return H(b"mc1 msg", author + number, MESSAGE_ID_BYTES)


def encode_body(body: Body) -> bytes:
    """Write a body.

    Raises:
        UsageError: The text is empty or too long, the name too long, or not text at all.
    """
    text, name = utf8(body.text), utf8(body.name)
    if (body.type is BodyType.FILE) is (body.file is None):
        raise ValueError("a file message has a manifest, no other has")
    if body.type is BodyType.TEXT:
        if not text:
            raise UsageError("empty_text", "There is nothing to send: write something.")
        if len(text) > TEXT_MAX_BYTES:
            raise UsageError(
                "too_long",
                f"A message has at most {TEXT_MAX_BYTES} bytes, this one has {len(text)}: "
                "send it in parts.",
            )
    elif text:
        raise ValueError("only a text message has text")
    if body.file is not None:
        text = _encode_manifest(body.file)
    if len(name) > NAME_MAX_BYTES:
        raise UsageError("name_too_long", f"A name has at most {NAME_MAX_BYTES} bytes: shorten it.")
    _check_sizes(body)
    data = _BODY.pack(body.type, body.number, body.sent, len(text)) + text
    for tag, value in ((_TAG_NAME, name), (_TAG_REPLY, body.reply_to), (_TAG_CARD, body.card)):
        if value:
            data += bytes([tag, len(value)]) + value
    return data


def decode_body(data: bytes) -> Body:
    """Read a body; extensions with unknown tags are skipped.

    Raises:
        WireError: Anything but the exact form.
    """
    if len(data) < _BODY.size:
        raise WireError("body_length")
    kind, number, sent, text_bytes = _BODY.unpack_from(data)
    end = _BODY.size + text_bytes
    if end > len(data):
        raise WireError("body_length")
    try:
        kind = BodyType(kind)
    except ValueError:
        raise WireError("body_type") from None
    file: Manifest | None = None
    if kind is BodyType.FILE:
        file, text_at = _decode_manifest(data[_BODY.size : end]), end
    elif not (1 <= text_bytes <= TEXT_MAX_BYTES if kind is BodyType.TEXT else text_bytes == 0):
        raise WireError("body_text")
    else:
        text_at = _BODY.size
    extensions = _extensions(data, end)
    name = extensions.get(_TAG_NAME)
    if name is not None and not 1 <= len(name) <= NAME_MAX_BYTES:
        raise WireError("body_name")
    for tag, size in ((_TAG_REPLY, MESSAGE_ID_BYTES), (_TAG_CARD, CARD_BYTES)):
        if tag in extensions and len(extensions[tag]) != size:
            raise WireError("body_extension")
    if kind is BodyType.INTRODUCTION and _TAG_CARD not in extensions:
        raise WireError("body_no_card")
    try:
        text, claimed = data[text_at:end].decode(), (name or b"").decode()
    except UnicodeDecodeError:
        raise WireError("body_utf8") from None
    reply_to, card = extensions.get(_TAG_REPLY, b""), extensions.get(_TAG_CARD, b"")
    return Body(kind, number, sent, text, claimed, reply_to, card, file)


def _encode_manifest(file: Manifest) -> bytes:
    name = utf8(file.name)
    data = _MANIFEST.pack(file.key, file.size, b"".join(file.chunks[:1])) + name
    told = replace(file, hash=b"", chunks=file.chunks[:1])
    try:
        fits = bool(file.chunks) and _decode_manifest(data) == told
    except WireError:
        fits = False
    if not fits:
        raise ValueError("a field of the manifest has a wrong length")
    return data


def _decode_manifest(data: bytes) -> Manifest:
    if len(data) < _MANIFEST.size:
        raise WireError("body_file")
    key, size, first = _MANIFEST.unpack_from(data)
    name = data[_MANIFEST.size :]
    if not (1 <= size <= FILE_MAX_BYTES and 1 <= len(name) <= FILE_NAME_MAX_BYTES):
        raise WireError("body_file")
    try:
        return Manifest(key, size, name.decode(), chunks=(first,))
    except UnicodeDecodeError:
        raise WireError("body_utf8") from None


def _extensions(data: bytes, at: int) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    last = 0
    while at < len(data):
        if at + 2 > len(data) or at + 2 + data[at + 1] > len(data):
            raise WireError("body_extension")
        tag, size = data[at], data[at + 1]
        if tag <= last:
            raise WireError("body_extension")
        found[tag] = data[at + 2 : at + 2 + size]
        last, at = tag, at + 2 + size
    return found


def _check_sizes(body: Body) -> None:
    if (
        len(body.number) != NUMBER_BYTES
        or len(body.reply_to) not in (0, MESSAGE_ID_BYTES)
        or len(body.card) not in (0, CARD_BYTES)
        or (body.type is BodyType.INTRODUCTION and not body.card)
    ):
        raise ValueError("a field of the body has a wrong length")
