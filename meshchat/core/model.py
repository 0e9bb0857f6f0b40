"""Values the whole product speaks in: people, rooms, messages, what we hold for others.

Plain frozen data. Text that came from a peer is ``Clean`` from the moment it is
read back from a store, so no screen, log or file name can meet raw peer bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from typing import NamedTuple

from meshchat.text import Clean

NO_TEXT = Clean()
NOTE_FILE = "file"
NOTE_INTRODUCTION = "introduction"
NOTE_TIMER = "timer"
NOTE_REVOCATION = "revocation"
"""The author set the timer of the chat to ``vanish_s`` seconds."""

ChatId = bytes
"""``b"c" + fingerprint`` (33 bytes) for a contact, ``b"r" + room id`` (17 bytes) for a room,
``b"g" + group id`` (17 bytes) for a group."""


def contact_chat(fp: bytes) -> ChatId:
    return b"c" + fp


def room_chat(rid: bytes) -> ChatId:
    return b"r" + rid


def group_chat(gid: bytes) -> ChatId:
    return b"g" + gid


class Now(NamedTuple):
    """Both clocks at one instant."""

    mono: float
    """Monotonic seconds: timers only."""
    wall: float
    """Seconds since 1970: only what is stored, shown, or compared across restarts."""


class Trust(StrEnum):
    """How far a contact's key has been checked. It never rises by itself."""

    UNVERIFIED = "unverified"
    INTRODUCED = "introduced"
    VERIFIED = "verified"
    CHANGED = "changed"
    """Superseded by another key under the same name: frozen, nothing is sent to it."""
    REVOKED = "revoked"
    """Its owner's signed revocation was released: frozen for good, nothing is taken from it."""


@dataclass(frozen=True, slots=True)
class Contact:
    """A person we know by key, under the name *we* gave."""

    fp: bytes
    """Identity fingerprint, 32 bytes."""
    card: bytes
    """The newest card seen, wire form (197 bytes)."""
    petname: Clean
    """Our name for them; unique among contacts, compared by skeleton."""
    claimed: Clean = NO_TEXT
    """The name they give themselves: shown quoted, never trusted."""
    trust: Trust = Trust.UNVERIFIED
    blocked: bool = False
    request: bool = False
    """A stranger who wrote to us and was not accepted yet: no receipts, no notifications."""
    introduced_by: bytes = b""
    """Fingerprint of the introducer, or empty."""
    added_at: float = 0.0
    heard_at: float = 0.0
    """Wall time of the last thing proven to come from them; 0 = never."""
    silent_days: int = 0
    """Our user wants to know when nothing was heard for so many days; 0: no."""
    boot: int = 0
    """Rises each time they were restored from a backup; what came before is lost to them."""

    @property
    def frozen(self) -> bool:
        """Whether this key is not to be dealt with any more."""
        return self.trust in (Trust.CHANGED, Trust.REVOKED)

    def is_silent(self, wall: float) -> bool:
        """Whether nothing was heard for longer than our user finds normal."""
        since = max(self.heard_at, self.added_at)
        return bool(self.silent_days) and wall - since > self.silent_days * 86_400


@dataclass(frozen=True, slots=True)
class Revocation:
    """A contact's signed word that its key is not to be trusted any more."""

    fp: bytes
    """Whose."""
    notice: bytes
    """As signed (wire.md, 5.7); checked before it is kept."""
    released: bool = False
    """False: kept for its owner, who trusts us to release it when the time comes."""
    again_at: float = 0.0
    """When we seal it again for those who were away; 0: we do not."""
    until: float = 0.0
    """When that ends."""


class Mark(IntEnum):
    """What is held of an author or a post of a room, by our user or by a moderator."""

    SHOWN = 0
    HIDDEN = 1
    BLOCKED = 2
    """Of our user only: nothing of this author is stored any more."""
    MODERATOR = 3
    """Of our user only: what this author hides is hidden here."""


@dataclass(frozen=True, slots=True)
class RoomMark:
    """One opinion on an author or a post of a room."""

    rid: bytes
    target: bytes
    """An author's key (32 bytes) or a message id (8 bytes)."""
    mark: Mark
    by: bytes = b""
    """The author key of the moderator who says so; empty: our user."""
    order: int = 0
    """Of a moderator's: grows with each word on the same target, so that a replay says nothing."""


@dataclass(frozen=True, slots=True)
class Room:
    """A named place anybody with the name (and passphrase, if private) can read and write."""

    rid: bytes
    """Room id, 16 bytes."""
    name: Clean
    key: bytes
    """Room key RK, 32 bytes."""
    private: bool
    joined_at: float = 0.0


class Membership(StrEnum):
    """How we stand to a group."""

    MEMBER = "member"
    LEFT = "left"
    REMOVED = "removed"
    """An admin told us so: we read and write nothing of it any more."""


@dataclass(frozen=True, slots=True)
class Group:
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


@dataclass(frozen=True, slots=True)
class Epoch:
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


@dataclass(frozen=True, slots=True)
class GroupMail:
    """A control message of a group: ours until it is proven, or theirs until we can judge it."""

    number: bytes
    """8 random bytes, those of its body."""
    gid: bytes
    fp: bytes
    """Fingerprint of whom it is for; of its author, if it came in."""
    control: bytes = field(repr=False)
    until: float
    """Wall time at which we stop trying."""
    eid: bytes = b""
    """Envelope it travels in, or empty while it waits to be sealed."""
    incoming: bool = False


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


@dataclass(frozen=True, slots=True)
class Message:
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


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a message's journey as far as we know it."""

    at: float
    what: str
    """``written``, ``sealed``, ``handed``, ``expired``, ``delivered``, ``received``, ``complete``,
    ``failed``, ``read``, ``edited``, ``edit_delivered``, ``retracted``, ``retract_delivered``."""
    detail: str = ""
    """Such as ``lan`` or the reason; never a peer's text."""


@dataclass(frozen=True, slots=True)
class Manifest:
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


@dataclass(frozen=True, slots=True)
class OpenFile:
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


@dataclass(frozen=True, slots=True)
class Act:
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


class Notify(StrEnum):
    """What a chat may call us for."""

    ALL = "all"
    MENTIONS = "mentions"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """What is set for one chat. All but the timer is ours alone."""

    notify: Notify = Notify.ALL
    pinned: bool = False
    archived: bool = False
    keep_days: int = 0
    """Older messages are destroyed here; 0: none."""
    timer_s: int = 0
    """New messages disappear so many seconds after they were read; 0: they stay."""
    timer_sent: int = 0
    timer_number: bytes = b""
    """Of both sides' timers, the greatest ``(sent, number)`` counts."""


@dataclass(frozen=True, slots=True)
class Privacy:
    """What others may learn of us beside what we write."""

    read_receipts: bool = False
    typing: bool = False
    """Tell contacts on a direct link while we write, and show it of them."""
    retractions: bool = True
    """Delete here what its author asks to be deleted."""


@dataclass(frozen=True, slots=True)
class ChatSummary:
    """A row of the chat list."""

    chat: ChatId
    last: Message | None
    unread: int
    read_seq: int
    """Messages with a greater ``seq`` are new."""
    draft: Clean
    mentions: int = 0
    """How many of the unread ones mention us."""
    options: ChatOptions = ChatOptions()


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


class Gone(NamedTuple):
    """What was destroyed."""

    eid: bytes
    size_class: int
    origin: bytes
    kind: Kind
    size_bytes: int
    untried: bool


@dataclass(frozen=True, slots=True)
class Proof:
    """A released delivery token."""

    done: bytes
    token: bytes
    exp_h: int
    release_at: float = 0.0
    """Not offered to neighbours before this wall time."""


@dataclass(frozen=True, slots=True)
class Prekey:
    """One of our daily X25519 key pairs that others seal first messages to."""

    public: bytes
    secret: bytes
    exp_h: int
    """Last hour a sender may use it."""
    delete_at: float
    """Wall time at which the secret half is destroyed."""


@dataclass(frozen=True, slots=True)
class Session:
    """A Double Ratchet between us and one person."""

    sid: bytes
    """8 bytes; only the two of us know it."""
    fp: bytes
    """Fingerprint of the other side."""
    ratchet: bytes
    """State as ``ratchet.Ratchet.encode`` writes it."""
    ek: bytes
    """The public key our first messages carry, 32 bytes; empty once the other side answered."""
    past: bytes
    """First 8 bytes of each ratchet key of theirs that is out of use, newest first."""
    closed: bool
    """Nothing is written with it any more."""
    made_at: float
    heard_at: float = 0.0
    """Wall time of the last message that opened; 0 = never."""
    told_h: int = 0
    """``exp_h`` of the newest card of ours that was told with it."""


@dataclass(frozen=True, slots=True)
class Partial:
    """The first bytes of an envelope whose transfer was cut."""

    eid: bytes
    size: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of the store one group of envelopes fills."""

    size_class: int
    origin: bytes
    kind: Kind
    count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Neighbour:
    """A live link, for status and screens."""

    link: int
    transport: str
    contact: bytes
    """Fingerprint when the peer proved to be a contact, else empty."""
    since: float
    """Wall time the link opened."""
    outbound: bool
    sent_bytes: int
    received_bytes: int
    tag: str
    """Four characters of the peer's throw-away node key."""


@dataclass(frozen=True, slots=True)
class CustodyStatus:
    """What we hold, in total and for whom."""

    own: int
    mine: int
    carried: int
    size_bytes: int
    quota_bytes: int
    proofs: int
    untried: int
    """Stored, but not yet checked for being addressed to us."""


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """Everything ``status`` says about the node itself."""

    fp: bytes
    name: Clean
    neighbours: Sequence[Neighbour]
    custody: CustodyStatus
    queued: int
    """Outgoing messages nobody has taken custody of yet."""
    carried: int
    """Outgoing messages on their way."""
    counters: dict[str, int]
    """Dropped input by reason code, links opened, envelopes stored and so on, since start."""
