"""Files under way."""

from typing import NamedTuple

from msgspec import Struct


class Manifest(Struct, frozen=True):
    """What the reader of a file needs to collect and check it."""

    key: bytes
    """The shared secret its chunks are sealed to, 32 bytes."""
    size: int
    """Bytes of the whole file."""
    name: str
    """The author's words for it: to be shown, never a path."""
    hash: bytes = b""
    """32 bytes, of the whole file. Empty at a reader that lacks the first chunk, which has it."""
    chunks: tuple[bytes, ...] = ()
    """Envelope ids in order of the file. Empty while it waits to be sealed; at a reader that lacks
    the first chunk the id of that one alone."""


class OpenFile(Struct, frozen=True):
    """A file under way: one of ours that is not delivered yet, or one of which pieces lack."""

    mid: bytes
    """The message that brings it."""
    contact: bytes
    """Fingerprint of the other side."""
    outgoing: bool
    manifest: Manifest
    marks: int = 0
    """Bit n: chunk n is in somebody else's hands (ours), or its piece is here (theirs)."""
    token: bytes = b""
    """Proves the manifest's delivery once the file is whole (theirs); empty: not wanted."""
    exp_h: int = 0
    """When the newest envelope of the manifest ends (theirs), hours since 1970."""


class Piece(NamedTuple):
    """A piece of a file, inside of the envelope that brings it."""

    place: int
    """Number of the chunk."""
    eid: bytes
    data: bytes
    """The envelope, whole."""
    key: bytes
    """The shared secret it is sealed to: that of the file."""
    skip: int
    """Bytes before the piece in what it holds."""
