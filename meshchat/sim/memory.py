"""``MemoryStore``: a ``Store`` in plain Python, light and quick enough for thousands of nodes.

It answers as ``SqlStore`` does, also in the order of every list, with one exception: proofs that
are due at the same instant come in order of arrival here and by ``done`` there. Texts are cleaned
when they are written, not each time they are read.
"""

import dataclasses
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from meshchat.core.model import (
    NOTE_TIMER,
    ChatId,
    ChatOptions,
    ChatSummary,
    Contact,
    Message,
    OpenFile,
    Prekey,
    Revocation,
    Room,
    RoomMark,
    Session,
    State,
    Step,
)
from meshchat.core.words import Query
from meshchat.errors import StoreError
from meshchat.sim.memory_content import MemoryContent
from meshchat.sim.memory_proofs import by_number
from meshchat.sim.pool import Pool
from meshchat.store import chat_list, contact_order, room_order
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
        "_contacts",
        "_files",
        "_messages",
        "_open_files",
        "_pending",
        "_pieces",
        "_prekeys",
        "_revocations",
        "_room_marks",
        "_rooms",
        "_seq",
        "_sessions",
        "_sessions_of",
        "_singles",
        "_skipped",
        "_steps",
        "_vanishing",
    )

    def __init__(self, pool: Pool | None = None) -> None:
        super().__init__(pool)
        self._singles: dict[str, bytes] = {}
        self._prekeys: dict[bytes, Prekey] = {}
        self._sessions: dict[bytes, Session] = {}
        self._sessions_of: dict[bytes, tuple[bytes, ...]] = {}  # by fingerprint
        # By session; ratchet key and number: message key and when it is destroyed.
        self._skipped: dict[bytes, dict[tuple[bytes, int], tuple[bytes, float]]] = {}
        self._contacts: dict[bytes, Contact] = {}
        self._rooms: dict[bytes, Room] = {}
        self._revocations: dict[bytes, Revocation] = {}
        self._room_marks: dict[tuple[bytes, bytes, bytes], RoomMark] = {}
        self._chats: dict[ChatId, _Chat] = {}
        self._messages: dict[bytes, Message] = {}
        self._pending: dict[bytes, None] = {}  # outgoing, queued or carried; in any order
        self._by_envelope: dict[bytes, tuple[bytes, ...]] = {}  # of outgoing ones
        self._steps: dict[bytes, list[Step]] = {}
        self._vanishing: dict[bytes, None] = {}  # messages with ``vanish_at``; in any order
        self._seq = 0
        self._files: dict[bytes, bytes] = {}
        self._open_files: dict[bytes, tuple[int, OpenFile]] = {}  # with its place
        self._pieces: dict[bytes, dict[int, bytes]] = {}

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

    # --- our prekeys ---

    def add_prekey(self, prekey: Prekey) -> None:
        self._put(self._prekeys, prekey.public, prekey)

    def prekeys(self) -> list[Prekey]:
        return sorted(
            self._prekeys.values(), key=lambda key: (-key.exp_h, -key.delete_at, key.public)
        )

    def drop_prekeys(self, due: float) -> int:
        self._changes()
        gone = [key.public for key in self._prekeys.values() if key.delete_at <= due]
        for public in gone:
            self._drop(self._prekeys, public)
        return len(gone)

    # --- sessions of direct messages ---

    def session(self, sid: bytes) -> Session | None:
        return self._sessions.get(sid)

    def sessions(self, fp: bytes) -> list[Session]:
        return [self._sessions[sid] for sid in sorted(self._sessions_of.get(fp, ()))]

    def save_session(self, session: Session) -> None:
        self._put(self._sessions, session.sid, session)
        ids = self._sessions_of.get(session.fp, ())
        if session.sid not in ids:
            self._put(self._sessions_of, session.fp, (*ids, session.sid))

    def drop_session(self, sid: bytes) -> None:
        session = self._sessions.get(sid)
        if session is not None:
            left = tuple(other for other in self._sessions_of[session.fp] if other != sid)
            self._put(self._sessions_of, session.fp, left)
            self._drop(self._sessions, sid)
        self._drop(self._skipped, sid)

    def skipped(self, sid: bytes, key: bytes, number: int) -> bytes | None:
        kept = self._skipped.get(sid, {}).get((key, number))
        return kept[0] if kept else None

    def add_skipped(
        self, sid: bytes, keys: Sequence[tuple[bytes, int, bytes]], delete_at: float
    ) -> None:
        added = {(key, number): (secret, delete_at) for key, number, secret in keys}
        before = self._skipped.get(sid, {})
        old = {place: kept for place, kept in before.items() if place not in added}
        self._put(self._skipped, sid, old | added)

    def drop_skipped(self, sid: bytes, key: bytes, number: int) -> None:
        before = self._skipped.get(sid)
        if before and (key, number) in before:
            left = {place: kept for place, kept in before.items() if place != (key, number)}
            self._put(self._skipped, sid, left)

    def trim_skipped(self, sid: bytes, keep: int) -> None:
        before = self._skipped.get(sid, {})
        if len(before) > keep:
            self._put(self._skipped, sid, dict(list(before.items())[len(before) - keep :]))

    def expire_sessions(self, due: float, idle_since: float) -> None:
        self._changes()
        for sid, before in list(self._skipped.items()):
            left = {place: kept for place, kept in before.items() if kept[1] > due}
            if len(left) < len(before):
                self._put(self._skipped, sid, left)
        for session in list(self._sessions.values()):
            if session.closed and max(session.made_at, session.heard_at) <= idle_since:
                self.drop_session(session.sid)

    # --- people and rooms ---

    def contacts(self) -> list[Contact]:
        return sorted(self._contacts.values(), key=contact_order)

    def contact(self, fp: bytes) -> Contact | None:
        return self._contacts.get(fp)

    def save_contact(self, contact: Contact) -> None:
        petname, claimed = _line(contact.petname), _line(contact.claimed)
        if (petname, claimed) != (contact.petname, contact.claimed):
            contact = dataclasses.replace(contact, petname=petname, claimed=claimed)
        self._put(self._contacts, contact.fp, contact)

    def rooms(self) -> list[Room]:
        """In order of name."""
        return sorted(self._rooms.values(), key=room_order)

    def save_room(self, room: Room) -> None:
        name = _line(room.name)
        self._put(
            self._rooms,
            room.rid,
            room if name == room.name else dataclasses.replace(room, name=name),
        )

    def revocations(self) -> list[Revocation]:
        return [self._revocations[fp] for fp in sorted(self._revocations)]

    def save_revocation(self, kept: Revocation) -> None:
        self._put(self._revocations, kept.fp, kept)

    def drop_room(self, rid: bytes) -> None:
        self._drop(self._rooms, rid)
        for key in [key for key in self._room_marks if key[0] == rid]:
            self._drop(self._room_marks, key)

    def room_marks(self) -> list[RoomMark]:
        return [self._room_marks[key] for key in sorted(self._room_marks)]

    def save_room_mark(self, mark: RoomMark) -> None:
        self._put(self._room_marks, (mark.rid, mark.target, mark.by), mark)

    def drop_room_marks(self, rid: bytes, by: bytes) -> None:
        for key in [key for key in self._room_marks if key[::2] == (rid, by)]:
            self._drop(self._room_marks, key)

    # --- conversations ---

    def add_message(self, message: Message) -> Message | None:
        if message.id in self._buried:
            return None
        log = self._changes()
        log.append((setattr, self, "_seq", self._seq))
        self._seq += 1  # spent even if the id is known, as SQLite does
        if message.id in self._messages:
            return None
        stored = kept = dataclasses.replace(message, seq=self._seq)
        text, name = Clean(str(message.text)), _line(message.author_name)
        if (text, name) != (message.text, message.author_name):
            kept = dataclasses.replace(stored, text=text, author_name=name)
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
        new = dataclasses.replace(old, **given)
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

    def add_step(self, mid: bytes, step: Step) -> None:
        log = self._changes()
        steps = self._steps.get(mid)
        if steps is None:
            steps = []
            self._put(self._steps, mid, steps)
        steps.append(step)
        log.append((steps.pop,))

    def journey(self, mid: bytes) -> list[Step]:
        return list(self._steps.get(mid, ()))

    # --- files ---

    def save_file(self, mid: bytes, data: bytes) -> None:
        self._put(self._files, mid, data)

    def file(self, mid: bytes) -> bytes | None:
        data = self._files.get(mid)
        if data is None and mid not in self._open_files:
            data = b"".join(self.pieces(mid)) or None
        return data

    def drop_file(self, mid: bytes) -> None:
        self._drop(self._files, mid)
        if mid not in self._open_files:
            self._drop(self._pieces, mid)

    def save_open_file(self, file: OpenFile) -> None:
        name = file.manifest.name
        clean = Clean.line(str(name), len(name))
        if type(name) is not Clean or clean != name:
            manifest = dataclasses.replace(file.manifest, name=clean)
            file = dataclasses.replace(file, manifest=manifest)
        old = self._open_files.get(file.mid)
        self._put(self._open_files, file.mid, (old[0] if old else self._number(), file))

    def open_files(self) -> list[OpenFile]:
        return [file for _, file in sorted(self._open_files.values(), key=by_number)]

    def drop_open_file(self, mid: bytes) -> None:
        self._drop(self._open_files, mid)
        self._drop(self._pieces, mid)

    def save_piece(self, mid: bytes, index: int, data: bytes) -> None:
        pieces = self._pieces.get(mid)
        if pieces is None:
            pieces = {}
            self._put(self._pieces, mid, pieces)
        self._put(pieces, index, data)

    def close_file(self, mid: bytes) -> None:
        self._drop(self._open_files, mid)

    def pieces(self, mid: bytes) -> list[bytes]:
        pieces = self._pieces.get(mid, {})
        return [pieces[index] for index in sorted(pieces)]


def _line(text: str) -> Clean:
    """A name as it is read back; what only claims to be ``Clean`` is not believed."""
    return Clean.line(str(text))


def _by_seq(message: Message) -> int:
    return message.seq
