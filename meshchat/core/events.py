"""Everything that can go into a Node and come out of it.

A driver (asyncio or virtual time) feeds events to ``Node.handle`` inside one
store transaction, commits, then carries out the effects in order.
"""

from dataclasses import dataclass, field

from meshchat.core.model import (
    ChatId,
    ChatOptions,
    Contact,
    Group,
    Mark,
    Message,
    Neighbour,
    Notify,
    Room,
)
from meshchat.errors import UsageError

# --- in: links -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LinkUp:
    """A transport has a path to a neighbour; nothing has been said on it yet."""

    link: int
    """Chosen by the driver, never reused while the node lives."""
    transport: str
    """``lan``, ``ble`` or ``sim``."""
    outbound: bool
    """True if our side dialled; the dialler speaks first."""
    mtu: int
    """Largest frame in bytes the path carries, 256 to 16,640."""
    prologue: bytes
    """What both sides must agree on before the handshake (docs/reference/wire.md, "Links")."""
    origin: bytes
    """Stands for the physical neighbour (an address), for budgets. Opaque, at most 64 bytes."""
    supervised: bool = False
    """The transport itself notices within seconds that the neighbour is gone, as Bluetooth's
    link layer does: keep-alives would only cost air."""


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The path is gone. Nothing more may be sent on it."""

    link: int
    reason: str = "lost"


@dataclass(frozen=True, slots=True)
class Received:
    """Whole frames from a neighbour, in order."""

    link: int
    frames: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class NewFace:
    """A radio shows another name and address from now on, and its links have ended.

    If nothing is linked any more, the node key changes with them: it would tie the old to the
    new.
    """


@dataclass(frozen=True, slots=True)
class Wake:
    """The time given by ``Node.next_wakeup`` has come."""


# --- in: commands of our own user ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Command:
    """A wish of our user, answered by exactly one ``Done`` or ``Refused``."""


@dataclass(frozen=True, slots=True)
class Send(Command):
    """Write a message. Result: the stored ``Message``."""

    chat: ChatId
    text: str
    life_s: float = 0.0
    """How long to try, in seconds, rounded up to the hour and at most 170 h; 0: the usual week.
    A chosen end can be read by whoever carries the message."""
    reply_to: bytes = b""
    """Id of a message of the same chat, or empty."""


@dataclass(frozen=True, slots=True)
class SendFile(Command):
    """Send a file to a contact. Result: the stored ``Message``."""

    chat: ChatId
    name: str
    """Shown to the reader, 1 to 96 bytes; no path."""
    data: bytes = field(repr=False)
    """1 byte to ``sealed.FILE_MAX_BYTES``."""
    life_s: float = 0.0
    """As in ``Send``."""


@dataclass(frozen=True, slots=True)
class AddContact(Command):
    """Add a person by card text. Result: the ``Contact``."""

    card: str
    petname: str = ""
    """Empty: the name the card claims."""
    replaces: bytes = b""
    """Fingerprint of a contact this key takes the place of; that one becomes ``changed``."""


@dataclass(frozen=True, slots=True)
class Verify(Command):
    """Record that the safety words were compared (or that the mark is taken back)."""

    fp: bytes
    verified: bool = True


@dataclass(frozen=True, slots=True)
class StartCheck(Command):
    """Begin a live check with a contact that is our neighbour. ``CheckShown`` follows soon."""

    fp: bytes


@dataclass(frozen=True, slots=True)
class AnswerCheck(Command):
    """The signs were compared. The same: the contact is verified; different: it is not."""

    fp: bytes
    same: bool


@dataclass(frozen=True, slots=True)
class CancelCheck(Command):
    """Do not compare now; the mark stays as it is."""

    fp: bytes


@dataclass(frozen=True, slots=True)
class WatchSilence(Command):
    """Tell when nothing was heard of a contact for so many days; 0: do not. Result: the contact."""

    fp: bytes
    days: int


@dataclass(frozen=True, slots=True)
class GiveRevocation(Command):
    """Send a contact our signed revocation, to be released if we are lost. Result: ``Message``."""

    to: bytes


@dataclass(frozen=True, slots=True)
class ReleaseRevocation(Command):
    """Make everybody freeze a contact whose revocation we keep, or ourselves (our own ``of``).

    For good: there is no way back. Result: the ``Contact``, or None of ourselves.
    """

    of: bytes


@dataclass(frozen=True, slots=True)
class MarkInRoom(Command):
    """Hide, block, show or make a moderator of somebody in a room; of a post hide or show it.

    Only here, unless ``publish``: then those who hold us for a moderator hide it (or show it) too.
    """

    rid: bytes
    target: bytes
    """An author's key (32 bytes) or the id of a post (8 bytes)."""
    mark: Mark
    publish: bool = False


@dataclass(frozen=True, slots=True)
class Rename(Command):
    fp: bytes
    petname: str


@dataclass(frozen=True, slots=True)
class Block(Command):
    fp: bytes
    blocked: bool = True


@dataclass(frozen=True, slots=True)
class Accept(Command):
    """Turn a stranger's request into a contact."""

    fp: bytes
    petname: str = ""


@dataclass(frozen=True, slots=True)
class Introduce(Command):
    """Send each of two contacts the other's card. Result: the two ``Message`` objects."""

    one: bytes
    other: bytes


@dataclass(frozen=True, slots=True)
class JoinRoom(Command):
    """Join a room. Result: the ``Room``. Passphrase hashing is slow, so the key comes ready."""

    name: str
    key: bytes
    private: bool


@dataclass(frozen=True, slots=True)
class LeaveRoom(Command):
    rid: bytes


@dataclass(frozen=True, slots=True)
class CreateGroup(Command):
    """A private group of ourselves, its first admin, and contacts. Result: the ``Group``."""

    name: str
    members: tuple[bytes, ...] = ()
    """Fingerprints of contacts, at most 31."""


@dataclass(frozen=True, slots=True)
class AddMember(Command):
    """Add a contact to a group we are an admin of. Result: the ``Group``."""

    gid: bytes
    fp: bytes


@dataclass(frozen=True, slots=True)
class RemoveMember(Command):
    """Remove a member from a group we are an admin of. Result: the ``Group``."""

    gid: bytes
    fp: bytes
    """Or its first 16 bytes: members need not be our contacts."""


@dataclass(frozen=True, slots=True)
class MakeAdmin(Command):
    """Let a member add and remove others. Result: the ``Group``."""

    gid: bytes
    fp: bytes
    """Or its first 16 bytes."""


@dataclass(frozen=True, slots=True)
class RenameGroup(Command):
    """Result: the ``Group``."""

    gid: bytes
    name: str


@dataclass(frozen=True, slots=True)
class LeaveGroup(Command):
    """Leave a group and destroy its keys here. Result: the ``Group``."""

    gid: bytes


@dataclass(frozen=True, slots=True)
class ReportSeized(Command):
    """A person's device is in the wrong hands: out of every group. Result: the ``Group`` list."""

    fp: bytes
    """Or its first 16 bytes."""
    seized: bool = True
    """False: it was a mistake, write what this member reads again. Whom an admin has removed
    meanwhile an admin must add again."""


@dataclass(frozen=True, slots=True)
class MarkRead(Command):
    chat: ChatId
    seq: int


@dataclass(frozen=True, slots=True)
class SaveDraft(Command):
    chat: ChatId
    text: str


@dataclass(frozen=True, slots=True)
class React(Command):
    """Answer a message with one emoji, or take that back. Result: the ``Message``."""

    mid: bytes
    emoji: str
    """Empty: take back."""


@dataclass(frozen=True, slots=True)
class Edit(Command):
    """Change the text of a message of ours. Result: the ``Message``."""

    mid: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Retract(Command):
    """Delete a message of ours and ask all readers to do the same. Result: what is left of it."""

    mid: bytes


@dataclass(frozen=True, slots=True)
class Delete(Command):
    """Destroy a message here; one of ours that still waits is not sent any more."""

    mid: bytes


@dataclass(frozen=True, slots=True)
class SetChat(Command):
    """Set what is ours alone; None leaves it. Result: the ``ChatOptions``."""

    chat: ChatId
    notify: Notify | None = None
    pinned: bool | None = None
    archived: bool | None = None
    keep_days: int | None = None
    """Destroy older messages here, 1 to 3,650 days; 0: none."""


@dataclass(frozen=True, slots=True)
class SetTimer(Command):
    """Let new messages of both sides disappear. Result: the ``ChatOptions``."""

    chat: ChatId
    seconds: int
    """After being read, 5 seconds to a year; 0: they stay."""


@dataclass(frozen=True, slots=True)
class SetPrivacy(Command):
    """Set what others may learn; None leaves it. Result: the ``Privacy``."""

    read_receipts: bool | None = None
    typing: bool | None = None
    retractions: bool | None = None


@dataclass(frozen=True, slots=True)
class Typing(Command):
    """Our user writes, or stopped: told to that contact if it is our neighbour and we want it."""

    chat: ChatId
    on: bool = True


@dataclass(frozen=True, slots=True)
class SetName(Command):
    """The name we give ourselves, sent inside messages and announces."""

    name: str


Event = LinkUp | LinkDown | Received | NewFace | Wake | Command


# --- out: for the transports -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SendFrames:
    link: int
    frames: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class CloseLink:
    """End a link, after what was sent before. No ``LinkDown`` is expected back."""

    link: int
    reason: str
    kept: int = 0
    """Another link to the same node, which stays for it; 0: none."""


# --- out: for people ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Done:
    """A command was carried out and is durable once the transaction commits."""

    command: Command
    result: object


@dataclass(frozen=True, slots=True)
class Refused:
    """A command was not carried out; nothing changed."""

    command: Command
    error: UsageError


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
Effect = SendFrames | CloseLink | Done | Refused | Tell
