"""Everything our user can ask of the node, and how it is answered."""

from dataclasses import dataclass, field

from meshchat.core.model import ChatId, Mark, Notify
from meshchat.errors import UsageError


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
