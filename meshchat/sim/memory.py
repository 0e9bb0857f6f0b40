"""``MemoryStore``: a ``Store`` in plain Python, light and quick enough for thousands of nodes.

It answers as ``SqlStore`` does, also in the order of every list, with one exception: proofs that
are due at the same instant come in order of arrival here and by ``done`` there. Texts are cleaned
when they are written, not each time they are read.
"""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import islice
from typing import Any

from msgspec import structs

from meshchat.core.model import (
    NOTE_TIMER,
    ChatId,
    ChatOptions,
    ChatSummary,
    Message,
    State,
    Step,
)
from meshchat.core.words import Query
from meshchat.errors import StoreError
from meshchat.sim.memory_content import MemoryContent
from meshchat.sim.pool import Pool
from meshchat.store import chat_list
from meshchat.text import Clean

__all__ = ["MemoryStore", "Pool"]

_PENDING = (State.QUEUED, State.CARRIED)


class _Chat:
    """One conversation."""

    __slots__ = ("draft", "draft_at", "ids", "no", "options", "read_seq", "rows", "told_seq")

    def __init__(self, no: int) -> None:
        self.no = no
        self.read_seq = 0
        self.told_seq = 0
        self.draft = Clean()
        self.draft_at = 0.0
        self.options = ChatOptions()
        self.rows: list[tuple[int, int, float]] = []  # seq, characters, received_at; by seq
        self.ids: list[bytes] = []  # of the same messages

    def place(self, seq: int) -> int:
        """How many messages have a smaller ``seq``."""
        return bisect_left(self.rows, (seq, -1, 0.0))


class MemoryStore(MemoryContent):
    """A ``Store`` that ends with the process. Stores of one world share a ``Pool``.

    Each call notes in the log of the transaction how it is undone; see ``Journal``.
    """

    __slots__ = (
        "_by_envelope",
        "_chats",
        "_messages",
        "_pending",
        "_seq",
        "_singles",
        "_steps",
        "_vanishing",
    )

    def __init__(self, pool: Pool | None = None) -> None:
        super().__init__(pool)
        self._singles: dict[str, bytes] = {}
        self._chats: dict[ChatId, _Chat] = {}
        self._messages: dict[bytes, Message] = {}
        self._pending: dict[bytes, None] = {}  # outgoing, queued or carried; in any order
        self._by_envelope: dict[bytes, tuple[bytes, ...]] = {}  # of outgoing ones
        self._steps: dict[bytes, list[Step]] = {}
        self._vanishing: dict[bytes, None] = {}  # messages with ``vanish_at``; in any order
        self._seq = 0

    # --- as a file has them ---

    def checkpoint(self) -> None:
        """There is no log to shorten."""

    def truncate_wal(self) -> None:
        """There is no log to empty."""

    def problems(self) -> list[str]:
        """None: there is no file that could be damaged."""
        return []

    # --- single values ---

    def get(self, key: str) -> bytes | None:
        return self._singles.get(key)

    def put(self, key: str, value: bytes) -> None:
        self._put(self._singles, key, value)

    # --- conversations ---

    def add_message(self, message: Message) -> Message | None:
        if message.id in self._buried:
            return None
        log = self._changes()
        log.append((setattr, self, "_seq", self._seq))
        self._seq += 1  # spent even if the id is known, as SQLite does
        if message.id in self._messages:
            return None
        stored = kept = structs.replace(message, seq=self._seq)
        text, name = Clean(str(message.text)), Clean.line(str(message.author_name))
        if (text, name) != (message.text, message.author_name):
            kept = structs.replace(stored, text=text, author_name=name)
        chat = self._chat(message.chat)
        chat.rows.append((self._seq, len(message.text), message.received_at))
        chat.ids.append(message.id)
        self._index_message(kept)
        log.append((self._unadd, kept))
        return stored

    def _unadd(self, message: Message) -> None:
        chat = self._chats[message.chat]
        chat.rows.pop()
        chat.ids.pop()
        self._unindex_message(message)

    def _chat(self, chat: ChatId) -> _Chat:
        found = self._chats.get(chat)
        if found is None:
            found = _Chat(len(self._chats))
            self._put(self._chats, chat, found)
        return found

    def _index_message(self, message: Message) -> None:
        self._messages[message.id] = message
        if message.vanish_at:
            self._vanishing[message.id] = None
        if message.outgoing:
            if message.state in _PENDING:
                self._pending[message.id] = None
            if message.eid:
                others = self._by_envelope.get(message.eid, ())
                self._by_envelope[message.eid] = (*others, message.id)

    def _unindex_message(self, message: Message) -> None:
        del self._messages[message.id]
        self._vanishing.pop(message.id, None)
        if message.outgoing:
            self._pending.pop(message.id, None)
            if message.eid:
                others = self._by_envelope.pop(message.eid)
                if len(others) > 1:
                    left = tuple(mid for mid in others if mid != message.id)
                    self._by_envelope[message.eid] = left

    def message(self, mid: bytes) -> Message | None:
        return self._messages.get(mid)

    def message_by_envelope(self, eid: bytes) -> Message | None:
        ids = self._by_envelope.get(eid, ())
        return min((self._messages[mid] for mid in ids), key=_by_seq, default=None)

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
        was: Message | None = None,  # noqa: ARG002
    ) -> Message:
        """Raises StoreError ``unknown_message`` if there is none."""
        log = self._changes()
        old = self._messages.get(mid)
        if old is None:
            raise StoreError("unknown_message")
        changed: dict[str, Any] = {
            "state": state,
            "carriers": carriers,
            "delivered_at": delivered_at,
            "expires_at": expires_at,
            "reason": reason,
            "eid": eid,
            "text": None if text is None else Clean(str(text)),
            "edited": edited,
            "retracted": retracted,
            "read_at": read_at,
            "vanish_at": vanish_at,
        }
        given = {name: value for name, value in changed.items() if value is not None}
        new = structs.replace(old, **given)
        self._swap(old, new)
        log.append((self._swap, new, old))
        if text is not None:
            rows = self._chats[old.chat].rows
            place = self._chats[old.chat].place(old.seq)
            log.append((rows.__setitem__, place, rows[place]))
            rows[place] = (old.seq, len(text), old.received_at)
        return new

    def _swap(self, old: Message, new: Message) -> None:
        self._unindex_message(old)
        self._index_message(new)

    def pending(self) -> list[Message]:
        return sorted((self._messages[mid] for mid in self._pending), key=_by_seq)

    def messages(
        self, chat: ChatId, *, before: int | None = None, after: int | None = None, limit: int = 200
    ) -> list[Message]:
        found = self._chats.get(chat)
        if found is None:
            return []
        end = len(found.ids) if before is None else found.place(before)
        if after is None:
            start = max(0, end - limit)
        else:
            start = found.place(after + 1)
            end = min(end, start + limit)
        return [self._messages[mid] for mid in found.ids[start:end]]

    def message_sizes(self, chat: ChatId) -> list[tuple[int, int, float]]:
        found = self._chats.get(chat)
        return list(found.rows) if found else []

    def trim(self, chat: ChatId, keep: int) -> list[bytes]:
        found = self._chats.get(chat)
        surplus = len(found.ids) - keep if found else 0
        return self.drop_messages(found.ids[:surplus], 0.0) if found and surplus > 0 else []

    def drop_messages(self, mids: Iterable[bytes], until: float) -> list[bytes]:
        gone: list[bytes] = []
        for mid in mids:
            message = self._messages.get(mid)
            if message is None:
                continue
            self.drop_content(mid)
            self._drop(self._steps, mid)
            self._unindex_message(message)
            chat = self._chats[message.chat]
            place = chat.place(message.seq)
            self._changes().append((self._restore_message, message, place, chat.rows[place]))
            del chat.rows[place], chat.ids[place]
            if until:
                self._put(self._buried, mid, until)
            gone.append(mid)
        return gone

    def _restore_message(self, message: Message, place: int, row: tuple[int, int, float]) -> None:
        chat = self._chats[message.chat]
        chat.rows.insert(place, row)
        chat.ids.insert(place, message.id)
        self._index_message(message)

    def drop_content(self, mid: bytes) -> None:
        self._drop_texts(mid)
        self._drop(self._files, mid)
        self._drop(self._open_files, mid)
        self._drop(self._pieces, mid)

    def search(
        self, text: str, *, chat: ChatId | None = None, limit: int = 50, before: int | None = None
    ) -> list[Message]:
        query = Query.parse(text)
        fitting = (
            message
            for message in sorted(self._messages.values(), key=_by_seq, reverse=True)
            if chat in (None, message.chat)
            and (before is None or message.seq < before)
            and message.note != NOTE_TIMER
            and query.fits(message.text)
        )
        return list(islice(fitting, limit))

    def chats(self) -> list[ChatSummary]:
        known = {
            name: ChatSummary(
                chat=name,
                last=self._messages[chat.ids[-1]] if chat.ids else None,
                unread=sum(
                    not self._messages[mid].outgoing
                    for mid in chat.ids[chat.place(chat.read_seq + 1) :]
                ),
                read_seq=chat.read_seq,
                draft=chat.draft,
                mentions=sum(
                    self._messages[mid].mention for mid in chat.ids[chat.place(chat.read_seq + 1) :]
                ),
                options=chat.options,
            )
            for name, chat in self._chats.items()
        }
        return chat_list(self.rooms(), self.groups(), self.contacts(), known)

    def mark_read(self, chat: ChatId, seq: int) -> None:
        log, found = self._changes(), self._chat(chat)
        log.append((setattr, found, "read_seq", found.read_seq))
        found.read_seq = max(found.read_seq, seq)

    def save_draft(self, chat: ChatId, text: str, at: float = 0.0) -> None:
        found = self._chat(chat)
        self._set(found, "draft", Clean(str(text)))
        self._set(found, "draft_at", at)

    def _set(self, chat: _Chat, name: str, value: object) -> None:
        self._changes().append((setattr, chat, name, getattr(chat, name)))
        setattr(chat, name, value)

    # --- what is set for a chat ---

    def chat_options(self, chat: ChatId) -> ChatOptions:
        found = self._chats.get(chat)
        return found.options if found else ChatOptions()

    def save_chat_options(self, chat: ChatId, options: ChatOptions) -> None:
        self._set(self._chat(chat), "options", options)

    def _in_order(self) -> list[tuple[ChatId, _Chat]]:
        return sorted(self._chats.items(), key=lambda item: item[1].no)

    def kept_chats(self) -> list[tuple[ChatId, int]]:
        chats = self._in_order()
        return [(name, chat.options.keep_days) for name, chat in chats if chat.options.keep_days]

    # --- read receipts ---

    def untold(self) -> list[ChatId]:
        return [name for name, chat in self._in_order() if chat.told_seq < chat.read_seq]

    def untold_messages(self, chat: ChatId, limit: int) -> list[tuple[int, bytes]]:
        found = self._chats.get(chat)
        if found is None:
            return []
        ids = found.ids[found.place(found.told_seq + 1) : found.place(found.read_seq + 1)]
        messages = (self._messages[mid] for mid in ids)
        theirs = (one for one in messages if not one.outgoing and not one.retracted)
        return [(message.seq, message.id) for message in islice(theirs, limit)]

    def mark_told(self, chat: ChatId, seq: int | None) -> None:
        self._changes()
        found = self._chats.get(chat)
        if found is not None:
            told = found.read_seq if seq is None else max(found.told_seq, seq)
            self._set(found, "told_seq", told)

    # --- destruction ---

    def start_timers(self, chat: ChatId, upto: int, now: float) -> int:
        self._changes()
        found = self._chats.get(chat)
        messages = (
            [self._messages[mid] for mid in found.ids[: found.place(upto + 1)]] if found else []
        )
        begun = [one for one in messages if one.vanish_s and not one.vanish_at and not one.outgoing]
        for message in begun:
            self.change_message(message.id, vanish_at=now + message.vanish_s)
        return len(begun)

    def next_vanish(self) -> float | None:
        return min((self._messages[mid].vanish_at for mid in self._vanishing), default=None)

    def due_to_vanish(self, wall: float, limit: int) -> list[tuple[ChatId, bytes]]:
        there = (self._messages[mid] for mid in self._vanishing)
        due = [message for message in there if message.vanish_at <= wall]
        due.sort(key=lambda message: (message.vanish_at, message.seq))
        return [(message.chat, message.id) for message in due[:limit]]

    def older(self, chat: ChatId, wall: float, limit: int) -> list[bytes]:
        found = self._chats.get(chat)
        old = (
            mid
            for mid in (found.ids if found else ())
            if self._messages[mid].received_at < wall and mid not in self._pending
        )
        return list(islice(old, limit))

    def drop_old_draft(self, chat: ChatId, wall: float) -> bool:
        self._changes()
        found = self._chats.get(chat)
        if found is None or not found.draft or found.draft_at >= wall:
            return False
        self._set(found, "draft", Clean())
        return True

    def add_step(self, mid: bytes, *steps: Step) -> None:
        for step in steps:
            self._add_step(mid, step)

    def _add_step(self, mid: bytes, step: Step) -> None:
        log = self._changes()
        steps = self._steps.get(mid)
        if steps is None:
            steps = []
            self._put(self._steps, mid, steps)
        steps.append(step)
        log.append((steps.pop,))

    def journey(self, mid: bytes) -> list[Step]:
        return list(self._steps.get(mid, ()))


def _by_seq(message: Message) -> int:
    return message.seq
