"""What the core needs from outside: a store and a source of randomness.

Two implementations of each exist: SQLCipher and in-memory; the system's and a
seeded one. Every call is synchronous. Writes happen inside the transaction the
driver opened; if that fails, the driver drops the Node and builds a new one
from the store, the same path as after a crash.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from meshchat.core.model import (
    Act,
    ChatId,
    ChatOptions,
    ChatSummary,
    Contact,
    Epoch,
    Fate,
    Gone,
    Group,
    GroupMail,
    Held,
    Kind,
    Message,
    OpenFile,
    Outline,
    Partial,
    Prekey,
    Proof,
    Reaction,
    Revocation,
    Room,
    RoomMark,
    Session,
    State,
    Step,
    Usage,
    Version,
)
from meshchat.text import Clean


class Entropy(Protocol):
    """Cryptographic randomness; the simulator's is seeded."""

    def bytes(self, n: int) -> bytes:
        """Return ``n`` random bytes."""
        ...


class Store(Protocol):
    """Durable state of one profile. Raises ``StoreError`` and nothing else of its own.

    Message text, names and drafts are given back as ``Clean``.
    """

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing, durable on exit. Not nestable."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """Inside a transaction: undo only this part if the body raises."""
        ...

    def close(self) -> None: ...

    # --- single values: seed, own name, counters ---
    def get(self, key: str) -> bytes | None: ...

    def put(self, key: str, value: bytes) -> None: ...

    # --- our prekeys ---
    def add_prekey(self, prekey: Prekey) -> None: ...

    def prekeys(self) -> list[Prekey]:
        """Newest (greatest ``exp_h``) first."""
        ...

    def drop_prekeys(self, due: float) -> int:
        """Destroy those with ``delete_at <= due``; returns how many."""
        ...

    # --- sessions of direct messages ---
    def session(self, sid: bytes) -> Session | None: ...

    def sessions(self, fp: bytes) -> list[Session]:
        """Those with one person, in order of ``sid``."""
        ...

    def save_session(self, session: Session) -> None:
        """Insert, or replace the one with the same id."""
        ...

    def drop_session(self, sid: bytes) -> None:
        """With the keys kept of it."""
        ...

    def skipped(self, sid: bytes, key: bytes, number: int) -> bytes | None:
        """The message key kept for this place of this chain (named by its ratchet key)."""
        ...

    def add_skipped(
        self, sid: bytes, keys: Sequence[tuple[bytes, int, bytes]], delete_at: float
    ) -> None:
        """Keep ``(ratchet key, number, message key)`` of each, until ``delete_at``."""
        ...

    def drop_skipped(self, sid: bytes, key: bytes, number: int) -> None: ...

    def trim_skipped(self, sid: bytes, keep: int) -> None:
        """Destroy all but the newest ``keep`` of a session, those kept first first."""
        ...

    def expire_sessions(self, due: float, idle_since: float) -> None:
        """Destroy skipped keys with ``delete_at <= due``, and closed sessions neither made nor
        heard after ``idle_since``."""
        ...

    # --- people and rooms ---
    def contacts(self) -> list[Contact]:
        """All, also blocked ones and requests, in order of petname."""
        ...

    def contact(self, fp: bytes) -> Contact | None: ...

    def save_contact(self, contact: Contact) -> None:
        """Insert, or replace the one with the same fingerprint."""
        ...

    def revocations(self) -> list[Revocation]:
        """Kept and released ones, in order of fingerprint."""
        ...

    def save_revocation(self, kept: Revocation) -> None:
        """Insert, or replace the one of the same fingerprint."""
        ...

    def rooms(self) -> list[Room]: ...

    def save_room(self, room: Room) -> None: ...

    def drop_room(self, rid: bytes) -> None:
        """Leave: the room and its marks go, its messages stay until they are deleted."""
        ...

    def room_marks(self) -> list[RoomMark]:
        """Of all rooms, in order of room, target and who says so."""
        ...

    def save_room_mark(self, mark: RoomMark) -> None:
        """Insert, or replace what the same one said of the same target."""
        ...

    def drop_room_marks(self, rid: bytes, by: bytes) -> None:
        """Forget all that one moderator said in a room."""
        ...

    # --- groups ---
    def groups(self) -> list[Group]:
        """All, also those we left or were removed from, in order of name."""
        ...

    def save_group(self, group: Group) -> None:
        """Insert, or replace the one with the same id."""
        ...

    def epochs(self) -> list[Epoch]:
        """Of all groups, in order of being inserted."""
        ...

    def save_epoch(self, epoch: Epoch) -> None:
        """Insert; of one that is known change ``members``, ``head_key`` and ``ends_at``."""
        ...

    def drop_epoch(self, eid: bytes) -> None:
        """With its chains and skipped keys."""
        ...

    def group_chain(self, eid: bytes, by: int) -> tuple[int, bytes] | None:
        """``(number of the next message, chain key)`` of the member at this place."""
        ...

    def save_group_chain(self, eid: bytes, by: int, n: int, key: bytes) -> None:
        """Insert, or replace the one of the same member."""
        ...

    def group_used(self, eid: bytes) -> bool:
        """Whether some chain of this epoch has moved."""
        ...

    def drop_group_chains(self, eid: bytes) -> None:
        """Destroy the chains and skipped keys of an epoch."""
        ...

    def group_skipped(self, eid: bytes, by: int, n: int) -> bytes | None:
        """The key kept for one message that was passed over."""
        ...

    def save_group_skipped(
        self,
        gid: bytes,
        eid: bytes,
        by: int,
        keys: Sequence[tuple[int, bytes]],
        at: float,
        keep: int,
    ) -> None:
        """Keep ``(number, key)`` of messages passed over at wall time ``at``; of the group only
        the newest ``keep`` stay."""
        ...

    def drop_group_skipped(self, eid: bytes, by: int, n: int) -> None: ...

    def drop_group_skipped_before(self, at: float) -> None:
        """Destroy those kept since before this wall time."""
        ...

    def group_mail(self) -> list[GroupMail]:
        """In order of being inserted."""
        ...

    def save_group_mail(self, mail: GroupMail) -> None:
        """Insert; of one with a known number change ``eid`` and ``until``."""
        ...

    def drop_group_mail(self, numbers: Iterable[bytes]) -> None: ...

    # --- conversations ---
    def add_message(self, message: Message) -> Message | None:
        """Store a new message; returns it with its ``seq``, or None if its id is known, or that
        of one that was destroyed."""
        ...

    def message(self, mid: bytes) -> Message | None: ...

    def message_by_envelope(self, eid: bytes) -> Message | None:
        """The outgoing message that travels in this envelope."""
        ...

    def change_message(
        self,
        mid: bytes,
        *,
        state: State | None = None,
        carriers: int | None = None,
        delivered_at: float | None = None,
        expires_at: float | None = None,
        reason: str | None = None,
        eid: bytes | None = None,
        text: Clean | None = None,
        edited: float | None = None,
        retracted: float | None = None,
        read_at: float | None = None,
        vanish_at: float | None = None,
    ) -> Message:
        """Change the given fields; returns the message as it is now."""
        ...

    def pending(self) -> list[Message]:
        """Outgoing messages that are queued or carried, oldest first."""
        ...

    def messages(
        self, chat: ChatId, *, before: int | None = None, after: int | None = None, limit: int = 200
    ) -> list[Message]:
        """A page in order of ``seq``: the last ``limit`` with ``seq < before``, or the first
        ``limit`` with ``seq > after``; with neither, the newest ``limit``."""
        ...

    def message_sizes(self, chat: ChatId) -> list[tuple[int, int, float]]:
        """``(seq, characters of text, received_at)`` of every message, in order of ``seq``:
        enough to lay out a history of any length without loading it."""
        ...

    def trim(self, chat: ChatId, keep: int) -> list[bytes]:
        """Destroy all but the newest ``keep`` messages of a chat; returns the ids of the others."""
        ...

    def search(
        self, text: str, *, chat: ChatId | None = None, limit: int = 50, before: int | None = None
    ) -> list[Message]:
        """Messages that a ``words.Query`` finds, newest first, in all chats or one; only those
        with ``seq < before``."""
        ...

    def chats(self) -> list[ChatSummary]:
        """Every contact (not blocked), request, room, and group we did not leave, newest activity
        first."""
        ...

    def mark_read(self, chat: ChatId, seq: int) -> None:
        """Everything up to ``seq`` has been seen; never goes back."""
        ...

    def save_draft(self, chat: ChatId, text: str, at: float = 0.0) -> None:
        """``at``: when it was written, wall seconds."""
        ...

    def add_step(self, mid: bytes, step: Step) -> None: ...

    def journey(self, mid: bytes) -> list[Step]:
        """In order of being added."""
        ...

    # --- what is done to messages ---
    def reactions(self, mids: Sequence[bytes]) -> list[Reaction]:
        """Of all these messages, in order of arrival; without those that were taken back."""
        ...

    def reaction(self, mid: bytes, author: bytes) -> Reaction | None:
        """The newest of one person, taken back or not."""
        ...

    def count_reactions(self, mid: bytes) -> int:
        """How many people ever reacted."""
        ...

    def save_reaction(self, reaction: Reaction) -> None:
        """In the place of that person's last one."""
        ...

    def versions(self, mid: bytes) -> list[Version]:
        """Oldest first; none of a message that was never edited."""
        ...

    def add_version(self, mid: bytes, version: Version, keep: int) -> bool:
        """Keep a version, and the newest ``keep`` of all. False if it was there."""
        ...

    def save_act(self, act: Act) -> None:
        """Keep one of ours; replaces."""
        ...

    def acts(self) -> list[Act]:
        """Ours, oldest first."""
        ...

    def drop_act(self, mid: bytes) -> None: ...

    def save_early(self, act: Act, keep: int, keep_of_author: int) -> None:
        """Keep an act of another on a message that is not here: one of each kind and author, the
        one with the greatest ``(sent, number)``; the newest ``keep`` of its chat, and the newest
        ``keep_of_author`` of its author."""
        ...

    def take_early(self, target: bytes) -> list[Act]:
        """Those on this message, oldest first; they are not kept any more."""
        ...

    # --- what is set for a chat ---
    def chat_options(self, chat: ChatId) -> ChatOptions: ...

    def save_chat_options(self, chat: ChatId, options: ChatOptions) -> None: ...

    def kept_chats(self) -> list[tuple[ChatId, int]]:
        """Every chat with ``keep_days``, and these."""
        ...

    # --- read receipts ---
    def untold(self) -> list[ChatId]:
        """Chats in which more was read than its authors were told."""
        ...

    def untold_messages(self, chat: ChatId, limit: int) -> list[tuple[int, bytes]]:
        """``(seq, id)`` of messages of others in there, oldest first."""
        ...

    def mark_told(self, chat: ChatId, seq: int | None) -> None:
        """Authors were told of all up to ``seq``; None: they need to be told nothing so far."""
        ...

    # --- destruction ---
    def start_timers(self, chat: ChatId, upto: int, now: float) -> int:
        """Messages of others up to this ``seq`` were read: those with a timer disappear in time;
        returns how many began."""
        ...

    def next_vanish(self) -> float | None:
        """The soonest ``vanish_at``."""
        ...

    def due_to_vanish(self, wall: float, limit: int) -> list[tuple[ChatId, bytes]]:
        """Messages with ``vanish_at <= wall``, soonest first."""
        ...

    def older(self, chat: ChatId, wall: float, limit: int) -> list[bytes]:
        """Messages that came before ``wall`` and do not wait to be sent, oldest first."""
        ...

    def drop_old_draft(self, chat: ChatId, wall: float) -> bool:
        """Destroy a draft that was written before ``wall``."""
        ...

    def drop_messages(self, mids: Iterable[bytes], until: float) -> list[bytes]:
        """Destroy messages with all that belongs to them, in the index too; returns those that
        were there. Until ``until`` (0: not at all) none of them is stored again."""
        ...

    def drop_content(self, mid: bytes) -> None:
        """Destroy versions, reactions and file of a message."""
        ...

    def buried(self, mid: bytes) -> bool:
        """Whether a message was destroyed and is not to be stored again."""
        ...

    def forget_buried(self, wall: float, early_before: float) -> None:
        """Forget destroyed messages whose ``until`` has come, and early acts that came before."""
        ...

    # --- files ---
    def save_file(self, mid: bytes, data: bytes) -> None:
        """Keep the file that belongs to a message; replaces."""
        ...

    def file(self, mid: bytes) -> bytes | None:
        """What was saved, or the pieces of a file that is whole; None of one that is open."""
        ...

    def drop_file(self, mid: bytes) -> None: ...

    def save_open_file(self, file: OpenFile) -> None:
        """Insert, or replace the one of the same message, which keeps its place."""
        ...

    def open_files(self) -> list[OpenFile]:
        """In order of being inserted."""
        ...

    def drop_open_file(self, mid: bytes) -> None:
        """With its pieces."""
        ...

    def save_piece(self, mid: bytes, index: int, data: bytes) -> None:
        """Keep one piece of an open file; replaces."""
        ...

    def close_file(self, mid: bytes) -> None:
        """An open file is whole: it is open no more, and its pieces are the file."""
        ...

    def pieces(self, mid: bytes) -> list[bytes]:
        """Those that are here, in order of ``index``."""
        ...

    # --- custody ---
    def known(self, ids: Sequence[bytes]) -> set[bytes]:
        """Which of these (at most 1,024) are ids of envelopes ever seen or ``done`` of proofs."""
        ...

    def add_envelopes(self, held: Iterable[Held], at: float) -> None:
        """Take custody. An id that is known already is left as it is."""
        ...

    def add_refused(self, eid: bytes, exp_h: int) -> None:
        """Remember an id we do not want again."""
        ...

    def envelope(self, eid: bytes) -> Held | None:
        """With its data, or None if we do not hold it (any more)."""
        ...

    def fate(self, eid: bytes) -> Fate | None:
        """None: never seen."""
        ...

    def holder_of(self, done: bytes) -> Outline | None:
        """The envelope ever seen (held or not) whose ``done`` is this."""
        ...

    def offered(self, now_h: int) -> list[tuple[bytes, int]]:
        """``(id, size class)`` of every envelope held with ``exp_h > now_h``, small classes
        first, then oldest first: what was written first arrives first."""
        ...

    def untried(self, limit: int) -> list[Held]:
        """Held, and not yet checked for being addressed to us; oldest first."""
        ...

    def count_untried(self) -> int: ...

    def tried(self, eids: Iterable[bytes], kind: Kind) -> list[bool]:
        """Record the check's outcome; for each of these that is held, whether it had waited."""
        ...

    def retry_all(self) -> None:
        """Check every held envelope of kind CARRIED again (a new key is known)."""
        ...

    def seek(self, eids: Sequence[bytes]) -> None:
        """These (at most 64) are wanted now: check those held of kind CARRIED again, and forget
        those that had to make room (EVICTED, REFUSED), so that they are asked for again."""
        ...

    def drop_envelopes(self, eids: Iterable[bytes], fate: Fate) -> list[Gone]:
        """Destroy the data, keep the id; returns those that were held."""
        ...

    def usage(self) -> list[Usage]:
        """Of what is held now, by class, origin and kind, in order of first arrival."""
        ...

    def evictable(
        self, *, origin: bytes | None, size_classes: Sequence[int], limit: int
    ) -> list[tuple[bytes, int, int, int]]:
        """``(id, size class, exp_h, stamp)`` of CARRIED envelopes, worst first: lowest stamp, then
        least life left, then the oldest; of one origin or of all."""
        ...

    def expire(self, now_h: int) -> list[tuple[bytes, Kind]]:
        """Destroy the data of held envelopes with ``exp_h <= now_h``; returns them. Also forgets
        ids and proofs with ``exp_h + 1 <= now_h``, and ids beyond the cap, soonest expiry first."""
        ...

    # --- delivery proofs ---
    def add_proof(self, proof: Proof) -> bool:
        """False if it was known."""
        ...

    def proof(self, done: bytes) -> Proof | None: ...

    def released(self, wall: float) -> list[bytes]:
        """``done`` of every proof with ``release_at <= wall``, and of every one due so far ahead
        (over ``RELEASE_AHEAD_MAX_S``) that the clock must have been set back."""
        ...

    def next_release(self, after: float) -> float | None:
        """The soonest ``release_at`` greater than ``after``."""
        ...

    def count_proofs(self) -> int: ...

    # --- transfers cut in their middle ---
    def save_partial(self, partial: Partial) -> None:
        """At most 64 are kept, the oldest goes first."""
        ...

    def partials(self) -> list[bytes]:
        """Ids of all that are kept."""
        ...

    def partial(self, eid: bytes) -> Partial | None: ...

    def drop_partial(self, eid: bytes) -> None: ...
