"""Messages, where they stand, and what is done to them."""

from enum import StrEnum
from typing import NamedTuple

from msgspec import Struct

from meshchat.text import Clean

NO_TEXT = Clean()
NOTE_FILE = "file"
NOTE_INTRODUCTION = "introduction"
NOTE_TIMER = "timer"
"""The author set the timer of the chat to ``vanish_s`` seconds."""
NOTE_REVOCATION = "revocation"

ChatId = bytes
"""``b"c" + fingerprint`` (33 bytes) for a contact, ``b"r" + room id`` (17 bytes) for a room,
``b"g" + group id`` (17 bytes) for a group."""


def contact_chat(fp: bytes) -> ChatId:
    return b"c" + fp


def room_chat(rid: bytes) -> ChatId:
    return b"r" + rid


def group_chat(gid: bytes) -> ChatId:
    return b"g" + gid


class State(StrEnum):
    """Where a message is. Each is a fact, never a hope."""

    RECEIVED = "received"
    QUEUED = "queued"
    """Ours, stored, in nobody else's hands (of a file: not all of it)."""
    CARRIED = "carried"
    """At least one neighbour has committed a whole copy to its own store and told us so.

    Of a file: its manifest and each of its chunks, though not all to the same neighbour."""
    DELIVERED = "delivered"
    """The recipient's proof token reached us."""
    READ = "read"
    """The recipient's device told us that it was shown: more than delivered, never less."""
    FAILED = "failed"


class Message(Struct, frozen=True):
    """One message as a person reads it."""

    id: bytes
    """8 bytes, the same on every device: H(author, author's message number)."""
    chat: ChatId
    author: bytes
    """Fingerprint, or room author key (32 bytes); of a member of a group who is no contact the
    first 16 bytes of the fingerprint."""
    author_name: Clean
    """Name the author claims (rooms, groups); empty when the contact's petname applies."""
    outgoing: bool
    text: Clean
    sent_at: float
    """Author's claim, wall seconds. Not used for ordering."""
    received_at: float
    state: State
    carriers: int = 0
    """Neighbours that confirmed custody to us directly (a lower bound of the copies)."""
    delivered_at: float = 0.0
    expires_at: float = 0.0
    """When we stop trying (outgoing) or the author's envelope ends (incoming)."""
    reason: str = ""
    """Why it failed or waits, a stable code such as ``expired`` or ``no_key``; of a file that
    was sent to us ``file_open``, ``file_damaged`` or ``file_ended``, empty once it is whole."""
    eid: bytes = b""
    """Envelope it travels in now, 16 bytes, or empty while it waits to be sealed."""
    number: bytes = b""
    """The author's random number (8 bytes), kept of our own to seal the same message again."""
    about: bytes = b""
    """Fingerprint of the person an outgoing introduction is about, or empty."""
    seq: int = 0
    """Local order of arrival, given by the store; 0 before it is stored."""
    life_s: float = 0.0
    """Lifetime our user chose for it; 0: the usual one, whose end says nothing."""
    reply_to: bytes = b""
    """Id of the message it answers, or empty. A peer's claim: see ``content.quoted``."""
    edited: float = 0.0
    """Author's time of the version shown, or 0 for the first one."""
    retracted: float = 0.0
    """When its author asked for it to be deleted, 0: never. Nothing but the row is left then."""
    read_at: float = 0.0
    """When the receipt of its reader came (outgoing)."""
    mention: bool = False
    """It mentions us, or answers a message of ours (incoming)."""
    vanish_s: int = 0
    """Seconds from being read (sent, if ours) until it disappears here; 0: it stays."""
    vanish_at: float = 0.0
    """When it disappears here; 0: not begun."""
    note: str = ""
    """Empty for what people write, else one of ``NOTE_...``: ``text`` has words of ours then."""


class Step(Struct, frozen=True):
    """One step of a message's journey as far as we know it."""

    at: float
    what: str
    """``written``, ``sealed``, ``handed``, ``expired``, ``delivered``, ``received``, ``complete``,
    ``failed``, ``read``, ``edited``, ``edit_delivered``, ``retracted``, ``retract_delivered``."""
    detail: str = ""
    """Such as ``lan`` or the reason; never a peer's text."""


class Version(NamedTuple):
    """A text of a message that was edited."""

    sent: int
    """The author's clock, seconds since 1970; 0 for the first text, which no edit is older than."""
    number: bytes
    """8 bytes, empty for the first text. The greatest ``(sent, number)`` is the one shown."""
    text: Clean
    at: float
    """When it came, wall seconds."""


class Reaction(NamedTuple):
    """What one person answered a message with."""

    mid: bytes
    author: bytes
    """As in ``Message``."""
    emoji: Clean
    """Empty: taken back."""
    sent: int
    number: bytes
    """Of one author's, the greatest ``(sent, number)`` counts."""
    at: float
    """When it came, wall seconds."""
    own: bool


class Act(Struct, frozen=True):
    """Something done to a message: a reaction, an edit, a retraction; or a timer, done to a chat.

    Kept of our own until it is delivered or its time is over, of others while the message it is
    about has not come yet.
    """

    id: bytes
    """8 bytes, made like that of a message."""
    kind: int
    """Of its body, a ``BodyType``."""
    chat: ChatId
    author: bytes
    target: bytes
    """Id of the message (8 bytes); empty for a timer."""
    text: str
    """As it goes into a body."""
    sent: int
    number: bytes
    at: float
    """When it was made or came, wall seconds."""
    timer_s: int | None = None
    eid: bytes = b""
    """Envelope it travels in (ours), or empty while it waits to be sealed."""
