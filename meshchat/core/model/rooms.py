"""Rooms, and what is hidden in them."""

from enum import IntEnum

from msgspec import Struct

from meshchat.text import Clean


class Mark(IntEnum):
    """What is held of an author or a post of a room, by our user or by a moderator."""

    SHOWN = 0
    HIDDEN = 1
    BLOCKED = 2
    """Of our user only: nothing of this author is stored any more."""
    MODERATOR = 3
    """Of our user only: what this author hides is hidden here."""


class RoomMark(Struct, frozen=True):
    """One opinion on an author or a post of a room."""

    rid: bytes
    target: bytes
    """An author's key (32 bytes) or a message id (8 bytes)."""
    mark: Mark
    by: bytes = b""
    """The author key of the moderator who says so; empty: our user."""
    order: int = 0
    """Of a moderator's: grows with each word on the same target, so that a replay says nothing."""


class Room(Struct, frozen=True):
    """A named place anybody with the name (and passphrase, if private) can read and write."""

    rid: bytes
    """Room id, 16 bytes."""
    name: Clean
    key: bytes
    """Room key RK, 32 bytes."""
    private: bool
    joined_at: float = 0.0
