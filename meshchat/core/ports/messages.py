"""What a store keeps of conversations."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from meshchat.core.model import (
    Act,
    ChatId,
    ChatOptions,
    ChatSummary,
    Message,
    Reaction,
    State,
    Step,
    Version,
)
from meshchat.text import Clean


class MessageStore(Protocol):
    """Conversations, what is done to them, and what becomes of them.

    Message text, names and drafts are given back as ``Clean``.
    """

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
        was: Message | None = None,
    ) -> Message:
        """Change the given fields; returns the message as it is now.

        ``was``: the message as it is before, where the caller has it; saves reading it.
        """
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

    def add_step(self, mid: bytes, *steps: Step) -> None: ...

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
