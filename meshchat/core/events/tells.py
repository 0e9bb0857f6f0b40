"""What people hear of: news for screens, scripts and logs."""

from msgspec import Struct

from meshchat.core.model import ChatId, ChatOptions, Contact, Group, Message, Neighbour, Room


class MessageAdded(Struct, frozen=True):
    message: Message


class MessageChanged(Struct, frozen=True):
    """State, carriers, reason, text, or the reactions to a message changed."""

    message: Message


class MessagesGone(Struct, frozen=True):
    """Messages were destroyed here: deleted, disappeared, or too old."""

    chat: ChatId
    mids: tuple[bytes, ...]


class ChatChanged(Struct, frozen=True):
    chat: ChatId
    options: ChatOptions


class ContactTyping(Struct, frozen=True):
    """A contact on a direct link writes to us. Never stored."""

    fp: bytes
    until: float
    """Wall time from which this says nothing any more; 0: they stopped."""


class FileComplete(Struct, frozen=True):
    """A file sent to us is whole, checked, and in the store under the message's id."""

    message: Message
    size: int
    """Bytes."""


class ContactChanged(Struct, frozen=True):
    contact: Contact


class RoomChanged(Struct, frozen=True):
    room: Room
    joined: bool


class RoomMarksChanged(Struct, frozen=True):
    """Other posts of a room are hidden than before."""

    rid: bytes


class CheckShown(Struct, frozen=True):
    """Seven signs to compare with the contact, who sees the same seven if nobody stands between."""

    fp: bytes
    signs: tuple[int, ...]
    """Places in ``signs.SIGNS``."""


class CheckEnded(Struct, frozen=True):
    """A live check is over."""

    fp: bytes
    reason: str
    """``same``, ``cancelled``, ``timeout``, ``link_lost``, ``busy``, ``ended`` (by the other side);
    and loudly ``different`` (our user), ``denied`` (the other's), ``cheated``."""


class GroupChanged(Struct, frozen=True):
    """A group is new, or its members, its name or our membership changed."""

    group: Group


class NeighbourUp(Struct, frozen=True):
    neighbour: Neighbour


class NeighbourDown(Struct, frozen=True):
    link: int
    transport: str
    reason: str


class CustodyChanged(Struct, frozen=True):
    """What we hold changed (at most one per handled event)."""

    stored: int
    dropped: int


class Notice(Struct, frozen=True):
    """Something a person should know, as a stable code (``store_full``, ``clock_wrong``…)."""

    code: str
    detail: str = ""


Tell = (
    MessageAdded
    | MessageChanged
    | MessagesGone
    | ChatChanged
    | ContactTyping
    | FileComplete
    | ContactChanged
    | RoomChanged
    | RoomMarksChanged
    | CheckShown
    | CheckEnded
    | GroupChanged
    | NeighbourUp
    | NeighbourDown
    | CustodyChanged
    | Notice
)
