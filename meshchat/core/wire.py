"""Bodies of the synchronisation records (docs/reference/wire.md, 1.3): strict, fixed layouts.

``link`` knows records as ``(type, body)``; this module knows what stands in those that
``sync`` speaks. Every reader raises ``WireError`` on anything but the exact form.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache

from meshchat.core.envelope import is_part
from meshchat.core.limits import CLASS_SIZES_BYTES, HAVE_IDS_MAX, WANTS_MAX
from meshchat.core.model import BULK_CLASS, HINT_CLASS_SHIFT, class_of
from meshchat.errors import WireError

ID_BYTES = 16
_DIGEST = struct.Struct("<12sI")
_WANT = struct.Struct("<16sH")
_PART = struct.Struct("<16sHH")
_REFUSAL = struct.Struct("<16sB")
_PROOF = struct.Struct("<16sI")
_OFFER = struct.Struct("<16sH")
_CREDIT = struct.Struct("<I")
_COUNT = struct.Struct("<H")
PART_HEAD_BYTES = _PART.size
OFFER_BYTES = _OFFER.size
_FIRST = 0x8000  # beside an offset: begun or sought, do not let it wait behind all small mail
_PART_MASK = (1 << HINT_CLASS_SHIFT) - 1


HINTS_KEPT_MAX = 256  # looked at lately; all text has one of three
PROOF_HINT = 0xFFFF  # in the place of an envelope's hint: this id is that of a delivery proof


class Refusal(IntEnum):
    """Why an envelope was not taken."""

    FULL = 1
    EXPIRED = 2
    MALFORMED = 3
    UNWANTED = 4
    DECLINED = 5
    """Said of an offer: not carried for strangers now, but asked for if it is sought later."""


def write_digest(digest: bytes, count: int) -> bytes:
    return _DIGEST.pack(digest, count)


def read_digest(body: bytes) -> tuple[bytes, int]:
    if len(body) != _DIGEST.size:
        raise WireError("digest_length")
    digest, count = _DIGEST.unpack(body)
    return digest, count


def write_ids(ids: Sequence[bytes]) -> bytes:
    return b"".join(ids)


def read_ids(body: bytes) -> list[bytes]:
    """1 to 512 ids (STORED)."""
    if not body or len(body) % ID_BYTES or len(body) > HAVE_IDS_MAX * ID_BYTES:
        raise WireError("ids_length")
    return [body[at : at + ID_BYTES] for at in range(0, len(body), ID_BYTES)]


def write_offers(offers: Sequence[tuple[bytes, int]]) -> bytes:
    return b"".join([_OFFER.pack(eid, hint) for eid, hint in offers])


def read_offers(body: bytes) -> list[tuple[bytes, int]]:
    """1 to 512 of ``(id, hint)`` (HAVE)."""
    if not body or len(body) % _OFFER.size or len(body) > HAVE_IDS_MAX * _OFFER.size:
        raise WireError("offers_length")
    offers = list(_OFFER.iter_unpack(body))
    for _, hint in offers:
        if not _is_hint(hint):
            raise WireError("offer_hint")
    return offers


@lru_cache(HINTS_KEPT_MAX)
def _is_hint(hint: int) -> bool:
    part = hint & _PART_MASK
    return not part or hint == PROOF_HINT or (class_of(hint) >= BULK_CLASS and is_part(part))


def write_next(answers: Sequence[int], sizes: Sequence[int]) -> bytes:
    """``answers``: for each HAVE a mask of its ids that are known already, lowest bit first."""
    masks = [
        answer.to_bytes(-(-size // 8), "little")
        for answer, size in zip(answers, sizes, strict=True)
    ]
    return bytes((len(masks),)) + b"".join(masks)


def read_next(body: bytes, sizes: Sequence[int]) -> list[int]:
    """One mask for each HAVE that was read.

    Args:
        body: As received.
        sizes: How many ids stood in each HAVE that waits for its answer, in order.
    """
    if not body or not 1 <= body[0] <= len(sizes):
        raise WireError("next_unasked")
    answers: list[int] = []
    at = 1
    for size in sizes[: body[0]]:
        end = at + -(-size // 8)
        if end > len(body):
            raise WireError("next_length")
        answer = int.from_bytes(body[at:end], "little")
        if answer >> size:
            raise WireError("next_length")
        answers.append(answer)
        at = end
    if at != len(body):
        raise WireError("next_length")
    return answers


def write_wants(wants: Sequence[tuple[bytes, int, bool]]) -> bytes:
    return b"".join(_WANT.pack(eid, offset | _FIRST * first) for eid, offset, first in wants)


def read_wants(body: bytes) -> list[tuple[bytes, int, bool]]:
    """1 to 512 of ``(id, offset, first)``."""
    if not body or len(body) % _WANT.size or len(body) > WANTS_MAX * _WANT.size:
        raise WireError("wants_length")
    return [(eid, word & ~_FIRST, bool(word & _FIRST)) for eid, word in _WANT.iter_unpack(body)]


def write_part(eid: bytes, offset: int, size: int, data: bytes) -> bytes:
    return _PART.pack(eid, offset, size) + data


def read_part(body: bytes) -> tuple[bytes, int, int, bytes]:
    """``(id, offset, size of the whole, data)``; the size is one of the four classes."""
    if len(body) <= _PART.size:
        raise WireError("part_length")
    eid, offset, size = _PART.unpack_from(body)
    if size not in CLASS_SIZES_BYTES:
        raise WireError("part_size")
    return eid, offset, size, body[_PART.size :]


def write_refusals(refusals: Sequence[tuple[bytes, int]]) -> bytes:
    return b"".join(_REFUSAL.pack(eid, reason) for eid, reason in refusals)


def read_refusals(body: bytes) -> list[tuple[bytes, int]]:
    if not body or len(body) % _REFUSAL.size or len(body) > HAVE_IDS_MAX * _REFUSAL.size:
        raise WireError("refusals_length")
    refusals = list(_REFUSAL.iter_unpack(body))
    if any(not Refusal.FULL <= reason <= Refusal.DECLINED for _, reason in refusals):
        raise WireError("refusal_reason")
    return refusals


def write_proof(token: bytes, exp_h: int) -> bytes:
    return _PROOF.pack(token, exp_h)


def read_proof(body: bytes) -> tuple[bytes, int]:
    if len(body) != _PROOF.size:
        raise WireError("proof_length")
    token, exp_h = _PROOF.unpack(body)
    return token, exp_h


def write_credit(count: int) -> bytes:
    return _CREDIT.pack(count)


def read_credit(body: bytes) -> int:
    if len(body) != _CREDIT.size:
        raise WireError("credit_length")
    count: int = _CREDIT.unpack(body)[0]
    return count


def write_count(count: int) -> bytes:
    return _COUNT.pack(count)


def read_count(body: bytes) -> int:
    """How many symbols are asked for (MORE); 0: no more, go on with lists."""
    if len(body) != _COUNT.size:
        raise WireError("count_length")
    count: int = _COUNT.unpack(body)[0]
    return count


def write_typing(on: bool) -> bytes:
    return bytes((on,))


def read_typing(body: bytes) -> bool:
    """Whether a neighbour says that it writes to us (TYPING)."""
    if body not in (b"\x00", b"\x01"):
        raise WireError("typing")
    return body == b"\x01"
