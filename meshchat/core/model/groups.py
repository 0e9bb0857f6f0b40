"""Private groups: members, epochs, control messages under way."""

from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from meshchat.text import Clean


class Membership(StrEnum):
    """How we stand to a group."""

    MEMBER = "member"
    LEFT = "left"
    REMOVED = "removed"
    """An admin told us so: we read and write nothing of it any more."""


class Group(Struct, frozen=True):
    """A private group we are or were in."""

    gid: bytes
    """Group id, 16 random bytes."""
    name: Clean
    membership: Membership = Membership.MEMBER
    joined_at: float = 0.0


class GroupMember(NamedTuple):
    """One member of a group as an epoch lists it."""

    fp: bytes
    """The first 16 bytes of the fingerprint: members need not be each other's contacts."""
    key: bytes
    """Ed25519 key (32 bytes) their messages are signed with, or empty while it is not known."""
    admin: bool


class Epoch(Struct, frozen=True):
    """One key generation of a group, and who is in it."""

    eid: bytes
    """8 bytes, from the root that only its members were given."""
    gid: bytes
    parents: tuple[bytes, ...]
    """The epochs it follows: none for the first, two where it joins two lines."""
    generation: int
    """0 for the first, else one more than the greatest of its parents."""
    author: bytes
    """The first 16 bytes of the fingerprint of the admin who made it."""
    members: tuple[GroupMember, ...]
    name: Clean
    head_key: bytes
    """The shared secret its envelopes are sealed to (32 bytes); empty once its mail has ended."""
    came_at: float
    ends_at: float = 0.0
    """Wall time at which its keys are destroyed; 0: nothing has taken its place yet."""


class GroupMail(Struct, frozen=True):
    """A control message of a group: ours until it is proven, or theirs until we can judge it."""

    number: bytes
    """8 random bytes, those of its body."""
    gid: bytes
    fp: bytes
    """Fingerprint of whom it is for; of its author, if it came in."""
    control: bytes
    until: float
    """Wall time at which we stop trying."""
    eid: bytes = b""
    """Envelope it travels in, or empty while it waits to be sealed."""
    incoming: bool = False

    def __repr__(self) -> str:
        return f"GroupMail({self.number.hex()})"  # it carries keys of the group
