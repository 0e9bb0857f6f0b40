"""What is inside an envelope: first direct and group messages, room posts, announces, chunks.

Layouts in docs/reference/wire.md, section 5. Every inner is bound to the one-use
key ``e`` of its envelope. An opener raises ``ProtocolError`` and nothing else on
whatever bytes it is given.

Known limit of the X3DH start: who has stolen a recipient's keys can write to
that recipient in anybody's name (key compromise impersonation).
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Any, NamedTuple

from meshchat.core import crypto
from meshchat.core.crypto import H, hasher
from meshchat.core.envelope import EID_BYTES
from meshchat.core.identity import Card, Identity
from meshchat.core.limits import FILE_CHUNKS_MAX
from meshchat.core.model import Prekey
from meshchat.core.ratchet import HEADER_BYTES, SID_BYTES
from meshchat.errors import AuthError, WireError

CARDS_READ_MAX = 256  # kept as they were checked; every message of a conversation brings one


class InnerKind(IntEnum):
    """First byte of an inner."""

    FIRST_DM = 1
    DM = 2
    GROUP = 3
    ROOM = 4
    ANNOUNCE = 5
    CHUNK = 6
    REVOKE = 8


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


# --- kinds 1 and 2: direct messages ----------------------------------------------------------

_FIRST = struct.Struct("<B197s32s")
_FIRST_MIN = _FIRST.size + HEADER_BYTES + crypto.TAG_BYTES
DM_HEAD_BYTES = 1 + HEADER_BYTES + crypto.TAG_BYTES  # beside the body of a message


def first_dm(card: bytes, ek: bytes, message: bytes) -> bytes:
    """A message that starts a session: our card, the public EK, and what the ratchet sealed."""
    return _FIRST.pack(InnerKind.FIRST_DM, card, ek) + message


def read_first_dm(inner: bytes) -> tuple[Card, bytes, bytes]:
    """``(sender's card, EK, sealed message)``; nothing is proven yet but the card.

    Raises:
        WireError: It is no first message of this version.
        AuthError: The card is not valid.
    """
    if len(inner) < _FIRST_MIN:
        raise WireError("first_dm_length")
    kind, card, ek = _FIRST.unpack_from(inner)
    if kind != InnerKind.FIRST_DM:
        raise WireError("inner_kind")
    return read_card(card), ek, inner[_FIRST.size :]


def next_dm(message: bytes) -> bytes:
    """A message of a session that both sides have."""
    return bytes([InnerKind.DM]) + message


def read_next_dm(inner: bytes) -> bytes:
    """What the ratchet sealed. Raises ``WireError`` if it is no such message."""
    if len(inner) < DM_HEAD_BYTES:
        raise WireError("dm_length")
    if inner[0] != InnerKind.DM:
        raise WireError("inner_kind")
    return inner[1:]


def agree_to_write(
    identity: Identity, ek_secret: bytes, ek: bytes, reader: Card
) -> tuple[bytes, bytes]:
    """X3DH of the one who writes first, without one-time prekeys: ``(root, session id)``."""
    shared = (
        crypto.dh(identity.dh_secret, reader.prekey)
        + crypto.dh(ek_secret, reader.dh_public)
        + crypto.dh(ek_secret, reader.prekey)
    )
    return _agree(shared, identity.fp + reader.fp, reader.prekey, ek)


def agree_to_read(
    identity: Identity, prekey: Prekey, writer: Card, ek: bytes
) -> tuple[bytes, bytes]:
    """X3DH of the one who is written to; ``prekey`` is the one the envelope was sealed to.

    Raises:
        AuthError: A key is of low order.
    """
    shared = (
        crypto.dh(prekey.secret, writer.dh_public)
        + crypto.dh(identity.dh_secret, ek)
        + crypto.dh(prekey.secret, ek)
    )
    return _agree(shared, writer.fp + identity.fp, prekey.public, ek)


def _agree(shared: bytes, fps: bytes, spk: bytes, ek: bytes) -> tuple[bytes, bytes]:
    k = H(b"mc1 x3dh", shared + fps + spk + ek, 64)
    return k[:32], H(b"mc1 sid", k[32:], SID_BYTES)


# --- kind 3: group message -------------------------------------------------------------------

_GROUP = struct.Struct("<BBI64s")


class GroupPost(NamedTuple):
    """A group message before its author is known to be who it says."""

    by: int
    """Place of the author in the list of the epoch's members."""
    n: int
    """Number of the message in the author's chain."""
    signature: bytes
    ct: bytes


def group_message(
    seed: bytes, place: bytes, by: int, n: int, key: bytes, e: bytes, body: bytes
) -> bytes:
    """A message to a group.

    Args:
        seed: Of our signing key in this group.
        place: Group id and epoch id, 24 bytes.
        by: Our place in the list of members.
        n: Number of the message in our chain (u32).
        key: The message key of that number; mixing ``e`` keeps it from repeating.
        e: The envelope's.
        body: What the members read.
    """
    where = place + struct.pack("<BI", by, n) + e
    ct = crypto.aead_seal(H(b"mc1 mk", e, 32, key), body, where)
    signature = crypto.sign(seed, _group_signed(where, ct))
    return _GROUP.pack(InnerKind.GROUP, by, n, signature) + ct


def read_group_message(inner: bytes) -> GroupPost:
    """Raises ``WireError``: it is no group message."""
    if len(inner) < _GROUP.size + crypto.TAG_BYTES:
        raise WireError("group_length")
    kind, by, n, signature = _GROUP.unpack_from(inner)
    if kind != InnerKind.GROUP:
        raise WireError("inner_kind")
    return GroupPost(by, n, signature, inner[_GROUP.size :])


def check_group_message(post: GroupPost, public: bytes, place: bytes, e: bytes) -> None:
    """Raises ``AuthError``: it was not signed by this key, for this place and envelope."""
    where = place + struct.pack("<BI", post.by, post.n) + e
    crypto.verify(public, _group_signed(where, post.ct), post.signature)


def open_group_message(post: GroupPost, key: bytes, place: bytes, e: bytes) -> bytes:
    """The body. Raises ``AuthError`` if ``key`` is not the message key."""
    where = place + struct.pack("<BI", post.by, post.n) + e
    return crypto.aead_open(H(b"mc1 mk", e, 32, key), post.ct, where)


def _group_signed(where: bytes, ct: bytes) -> bytes:
    return b"mc1 group" + where + H(b"mc1 g-ct", ct, 32)


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
_FILE_LABEL = b"mc1 file"
FILE_MAX_BYTES = FILE_CHUNKS_MAX * (CHUNK_BYTES - EID_BYTES) + EID_BYTES - FILE_HASH_BYTES
FILE_SIZES_KEPT_MAX = 64  # as many as are collected at once
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


@lru_cache(FILE_SIZES_KEPT_MAX)  # asked for each chunk of a file that comes or goes
def piece_sizes(size: int) -> tuple[int, ...]:
    """Bytes of a file of ``size`` in each of its chunks; the first has its table beside them."""
    count = -(-(size + FILE_HASH_BYTES - EID_BYTES) // (CHUNK_BYTES - EID_BYTES))
    first = min(size, CHUNK_BYTES - _table_bytes(count))
    rest = size - first
    return (first, *(min(CHUNK_BYTES, rest - at) for at in range(0, rest, CHUNK_BYTES)))


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
    return H(_FILE_LABEL, data, FILE_HASH_BYTES)


def file_hasher() -> Any:
    """The same of a file that comes piece by piece (``crypto.hasher``)."""
    return hasher(_FILE_LABEL, FILE_HASH_BYTES)
