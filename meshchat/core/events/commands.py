"""Everything our user can ask of the node, and how it is answered."""

from msgspec import Struct

from meshchat.core.model import ChatId, Mark, Notify
from meshchat.errors import UsageError


class Command(Struct, frozen=True):
    """A wish of our user, answered by exactly one ``Done`` or ``Refused``."""


class Send(Command, frozen=True):
    """Write a message. Result: the stored ``Message``."""

    chat: ChatId
    text: str
    life_s: float = 0.0
    """How long to try, in seconds, rounded up to the hour and at most 170 h; 0: the usual week.
    A chosen end can be read by whoever carries the message."""
    reply_to: bytes = b""
    """Id of a message of the same chat, or empty."""


class SendFile(Command, frozen=True):
    """Send a file to a contact. Result: the stored ``Message``."""

    chat: ChatId
    name: str
    """Shown to the reader, 1 to 96 bytes; no path."""
    data: bytes
    """1 byte to ``sealed.FILE_MAX_BYTES``."""
    life_s: float = 0.0
    """As in ``Send``."""

    def __repr__(self) -> str:
        return f"SendFile({self.name!r}, {len(self.data)} bytes)"


class AddContact(Command, frozen=True):
    """Add a person by card text. Result: the ``Contact``."""

    card: str
    petname: str = ""
    """Empty: the name the card claims."""
    replaces: bytes = b""
    """Fingerprint of a contact this key takes the place of; that one becomes ``changed``."""


class Verify(Command, frozen=True):
    """Record that the safety words were compared (or that the mark is taken back)."""

    fp: bytes
    verified: bool = True


class StartCheck(Command, frozen=True):
    """Begin a live check with a contact that is our neighbour. ``CheckShown`` follows soon."""

    fp: bytes


class AnswerCheck(Command, frozen=True):
    """The signs were compared. The same: the contact is verified; different: it is not."""

    fp: bytes
    same: bool


class CancelCheck(Command, frozen=True):
    """Do not compare now; the mark stays as it is."""

    fp: bytes


class WatchSilence(Command, frozen=True):
    """Tell when nothing was heard of a contact for so many days; 0: do not. Result: the contact."""

    fp: bytes
    days: int


class GiveRevocation(Command, frozen=True):
    """Send a contact our signed revocation, to be released if we are lost. Result: ``Message``."""

    to: bytes


class ReleaseRevocation(Command, frozen=True):
    """Make everybody freeze a contact whose revocation we keep, or ourselves (our own ``of``).

    For good: there is no way back. Result: the ``Contact``, or None of ourselves.
    """

    of: bytes


class MarkInRoom(Command, frozen=True):
    """Hide, block, show or make a moderator of somebody in a room; of a post hide or show it.

    Only here, unless ``publish``: then those who hold us for a moderator hide it (or show it) too.
    """

    rid: bytes
    target: bytes
    """An author's key (32 bytes) or the id of a post (8 bytes)."""
    mark: Mark
    publish: bool = False


class Rename(Command, frozen=True):
    fp: bytes
    petname: str


class Block(Command, frozen=True):
    fp: bytes
    blocked: bool = True


class Accept(Command, frozen=True):
    """Turn a stranger's request into a contact."""

    fp: bytes
    petname: str = ""


class Introduce(Command, frozen=True):
    """Send each of two contacts the other's card. Result: the two ``Message`` objects."""

    one: bytes
    other: bytes


class JoinRoom(Command, frozen=True):
    """Join a room. Result: the ``Room``. Passphrase hashing is slow, so the key comes ready."""

    name: str
    key: bytes
    private: bool


class LeaveRoom(Command, frozen=True):
    rid: bytes


class CreateGroup(Command, frozen=True):
    """A private group of ourselves, its first admin, and contacts. Result: the ``Group``."""

    name: str
    members: tuple[bytes, ...] = ()
    """Fingerprints of contacts, at most 31."""


class AddMember(Command, frozen=True):
    """Add a contact to a group we are an admin of. Result: the ``Group``."""

    gid: bytes
    fp: bytes


class RemoveMember(Command, frozen=True):
    """Remove a member from a group we are an admin of. Result: the ``Group``."""

    gid: bytes
    fp: bytes
    """Or its first 16 bytes: members need not be our contacts."""


class MakeAdmin(Command, frozen=True):
    """Let a member add and remove others. Result: the ``Group``."""

    gid: bytes
    fp: bytes
    """Or its first 16 bytes."""


class RenameGroup(Command, frozen=True):
    """Result: the ``Group``."""

    gid: bytes
    name: str


class LeaveGroup(Command, frozen=True):
    """Leave a group and destroy its keys here. Result: the ``Group``."""

    gid: bytes


class ReportSeized(Command, frozen=True):
    """A person's device is in the wrong hands: out of every group. Result: the ``Group`` list."""

    fp: bytes
    """Or its first 16 bytes."""
    seized: bool = True
    """False: it was a mistake, write what this member reads again. Whom an admin has removed
    meanwhile an admin must add again."""


class MarkRead(Command, frozen=True):
    chat: ChatId
    seq: int


class SaveDraft(Command, frozen=True):
    chat: ChatId
    text: str


class React(Command, frozen=True):
    """Answer a message with one emoji, or take that back. Result: the ``Message``."""

    mid: bytes
    emoji: str
    """Empty: take back."""


class Edit(Command, frozen=True):
    """Change the text of a message of ours. Result: the ``Message``."""

    mid: bytes
    text: str


class Retract(Command, frozen=True):
    """Delete a message of ours and ask all readers to do the same. Result: what is left of it."""

    mid: bytes


class Delete(Command, frozen=True):
    """Destroy a message here; one of ours that still waits is not sent any more."""

    mid: bytes


class SetChat(Command, frozen=True):
    """Set what is ours alone; None leaves it. Result: the ``ChatOptions``."""

    chat: ChatId
    notify: Notify | None = None
    pinned: bool | None = None
    archived: bool | None = None
    keep_days: int | None = None
    """Destroy older messages here, 1 to 3,650 days; 0: none."""


class SetTimer(Command, frozen=True):
    """Let new messages of both sides disappear. Result: the ``ChatOptions``."""

    chat: ChatId
    seconds: int
    """After being read, 5 seconds to a year; 0: they stay."""


class SetPrivacy(Command, frozen=True):
    """Set what others may learn; None leaves it. Result: the ``Privacy``."""

    read_receipts: bool | None = None
    typing: bool | None = None
    retractions: bool | None = None


class Typing(Command, frozen=True):
    """Our user writes, or stopped: told to that contact if it is our neighbour and we want it."""

    chat: ChatId
    on: bool = True


class SetName(Command, frozen=True):
    """The name we give ourselves, sent inside messages and announces."""

    name: str


class Done(Struct, frozen=True):
    """A command was carried out and is durable once the transaction commits."""

    command: Command
    result: object


class Refused(Struct, frozen=True):
    """A command was not carried out; nothing changed."""

    command: Command
    error: UsageError
