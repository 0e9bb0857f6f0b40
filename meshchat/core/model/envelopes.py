"""Envelopes as whoever holds them sees them, and proofs that they arrived."""

from enum import IntEnum
from typing import NamedTuple

from msgspec import Struct


class Kind(IntEnum):
    """Why we hold an envelope. Own and mine are pinned: strangers never push them out."""

    CARRIED = 0
    OWN = 1
    MINE = 2
    """Addressed to us or to a room we are in, already opened; carried on like any other."""


class Fate(IntEnum):
    """What became of an envelope id we have seen."""

    HELD = 0
    PROVEN = 1
    """A delivery proof arrived: the copy is gone, the id stays known until it expires."""
    EVICTED = 2
    REFUSED = 3
    EXPIRED = 4


BULK_CLASS = 2  # from this class on an envelope says what it is a part of
TAG_BITS = 11
PIECES_BITS_MAX = 6  # 2^6 = 64 chunks are the largest file
HINT_CLASS_SHIFT = 14


def hint_of(size_class: int, data: bytes) -> int:
    """What an offer says of an envelope beside its id: class, pieces, tag (wire.md, 1.4)."""
    part = data[3] << 8 | data[2] if size_class >= BULK_CLASS else 0
    return size_class << HINT_CLASS_SHIFT | part


def class_of(hint: int) -> int:
    """Size class of an envelope that is offered."""
    return hint >> HINT_CLASS_SHIFT


class Held(NamedTuple):
    """An envelope in our custody."""

    eid: bytes
    size_class: int
    exp_h: int
    """Expiry, hours since 1970."""
    done: bytes
    """16 bytes; a token hashing to it proves delivery."""
    data: bytes
    """The whole envelope; its length is that of its class."""
    origin: bytes
    """Keyed hash (8 bytes) of the physical neighbour it was first heard through; empty: our own."""
    kind: Kind = Kind.CARRIED
    stamp: int = 0
    """What a full store chooses by: bits of its stamp, then how small its file is."""

    @property
    def hint(self) -> int:
        """What an offer says of it."""
        return hint_of(self.size_class, self.data)


class Outline(NamedTuple):
    """What is known of an envelope without reading it."""

    eid: bytes
    exp_h: int
    held: bool
    """False: only the id is left."""
    alone: bool = True
    """No other envelope has the same ``done``."""


class Gone(NamedTuple):
    """What was destroyed."""

    eid: bytes
    size_class: int
    origin: bytes
    kind: Kind
    size_bytes: int
    untried: bool


class Expired(NamedTuple):
    """Whose time is over."""

    envelopes: list[tuple[bytes, Kind]]
    """Those that were held, in order of arrival."""
    proofs: list[bytes]
    """``done`` of each, sorted."""


class Proof(Struct, frozen=True):
    """A released delivery token."""

    done: bytes
    token: bytes
    exp_h: int
    release_at: float = 0.0
    """Not offered to neighbours before this wall time."""


class Partial(Struct, frozen=True):
    """The first bytes of an envelope whose transfer was cut."""

    eid: bytes
    size: int
    data: bytes


class Usage(Struct, frozen=True):
    """How much of the store one group of envelopes fills."""

    size_class: int
    origin: bytes
    kind: Kind
    count: int
    size_bytes: int
