"""What people hear of: news for screens, scripts and logs."""

from dataclasses import dataclass

from meshchat.core.model import ChatId, ChatOptions, Contact, Group, Message, Neighbour, Room


@dataclass(frozen=True, slots=True)
class MessageAdded:
    message: Message


@dataclass(frozen=True, slots=True)
class MessageChanged:
    """State, carriers, reason, text, or the reactions to a message changed."""

    message: Message


@dataclass(frozen=True, slots=True)
class MessagesGone:
    """Messages were destroyed here: deleted, disappeared, or too old."""

    chat: ChatId
    mids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ChatChanged:
    chat: ChatId
    options: ChatOptions


@dataclass(frozen=True, slots=True)
class ContactTyping:
    """A contact on a direct link writes to us. Never stored."""

    fp: bytes
    until: float
    """Wall time from which this says nothing any more; 0: they stopped."""


@dataclass(frozen=True, slots=True)
class FileComplete:
    """A file sent to us is whole, checked, and in the store under the message's id."""

    message: Message
    size: int
    """Bytes."""


@dataclass(frozen=True, slots=True)
class ContactChanged:
    contact: Contact


@dataclass(frozen=True, slots=True)
class RoomChanged:
    room: Room
    joined: bool


@dataclass(frozen=True, slots=True)
class RoomMarksChanged:
    """Other posts of a room are hidden than before."""

    rid: bytes


@dataclass(frozen=True, slots=True)
class CheckShown:
    """Seven signs to compare with the contact, who sees the same seven if nobody stands between."""

    fp: bytes
    signs: tuple[int, ...]
    """Places in ``signs.SIGNS``."""


@dataclass(frozen=True, slots=True)
class CheckEnded:
    """A live check is over."""

    fp: bytes
    reason: str
    """``same``, ``cancelled``, ``timeout``, ``link_lost``, ``busy``, ``ended`` (by the other side);
    and loudly ``different`` (our user), ``denied`` (the other's), ``cheated``."""


@dataclass(frozen=True, slots=True)
class GroupChanged:
    """A group is new, or its members, its name or our membership changed."""

    group: Group


@dataclass(frozen=True, slots=True)
class NeighbourUp:
    neighbour: Neighbour


@dataclass(frozen=True, slots=True)
class NeighbourDown:
    link: int
    transport: str
    reason: str


@dataclass(frozen=True, slots=True)
class CustodyChanged:
    """What we hold changed (at most one per handled event)."""

    stored: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Notice:
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
