"""``SqlStore``: the durable state of one profile, encrypted on disk or in memory.

Implements ``meshchat.core.ports.Store``, whose docstrings are the contract. Every
change needs ``transaction()``: a message and the envelope it travels in must
go to disk together or not at all.
"""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from msgspec import structs

from meshchat.content_tables import SEARCH_BATCH, ContentTables, options_of
from meshchat.core.model import (
    NOTE_TIMER,
    ChatId,
    ChatSummary,
    Contact,
    Group,
    Membership,
    Message,
    Room,
    State,
    Step,
)
from meshchat.core.words import Query
from meshchat.custody_tables import CustodyTables
from meshchat.database import Database, Row, Rows
from meshchat.errors import StoreError
from meshchat.file_tables import FileTables
from meshchat.group_tables import GroupTables
from meshchat.people_tables import PeopleTables, SessionsInUse
from meshchat.schema import migrate
from meshchat.text import Clean

_SEQ_MAX = 2**63 - 1  # the greatest number SQLite can give a row

_COLUMNS = """m.id, c.chat, m.author, m.author_name, m.outgoing, m.text, m.sent_at,
    m.received_at, m.state, m.carriers, m.delivered_at, m.expires_at, m.reason, m.eid, m.number,
    m.about, m.seq, m.life_s, m.reply_to, m.edited, m.retracted, m.read_at, m.mention, m.vanish_s,
    m.vanish_at, m.note"""
_MESSAGE = f"SELECT {_COLUMNS} FROM messages m JOIN chats c ON c.no = m.chat"

RECENT_MAX = 1_024  # more texts than are on their way to neighbours at once
_MENTION_AT = 13  # of the columns after ``state``


class SqlStore(ContentTables, CustodyTables, FileTables, GroupTables, PeopleTables):
    """A ``Store`` over SQLCipher. One process, one thread."""

    def __init__(self, db: Database) -> None:
        super().__init__(db)
        self._chat_nos: dict[ChatId, int] = {}  # of some; forgotten when something is undone
        self._options = {}
        self._no_early = False
        self._recent = {}
        self._steps = Rows(db, "INSERT INTO steps (mid, at, what, detail) VALUES (?, ?, ?, ?)")
        self._sessions = SessionsInUse(db)
        self._words = Rows(db, "INSERT INTO words (rowid, text) VALUES (?, ?)")
        db.undone += [self._chat_nos.clear, self._options.clear, self._doubt]
        migrate(db)
        self._index_all()

    @classmethod
    def open(cls, path: Path, key: bytes) -> Self:
        """Open or create the store of a profile.

        Args:
            path: The database file; its folder exists.
            key: 32 bytes, from ``keyfile.unlock``.

        Raises:
            StoreError: ``wrong_key``, ``locked``, ``too_new``, ``corrupt``, ``full``,
                ``cannot_open``.
        """
        return cls._over(Database.open(path, key))

    @classmethod
    def memory(cls) -> Self:
        """The same store on a database that ends with the process."""
        return cls._over(Database(":memory:", None))

    @classmethod
    def _over(cls, db: Database) -> Self:
        try:
            return cls(db)
        except StoreError:
            db.close()
            raise

    def _doubt(self) -> None:
        self._no_early = False
        self._recent.clear()

    def transaction(self) -> AbstractContextManager[None]:
        return self._db.transaction()

    def savepoint(self) -> AbstractContextManager[None]:
        return self._db.savepoint()

    def checkpoint(self) -> None:
        """Shorten the log; cheap. For when the driver has nothing to do."""
        self._db.checkpoint("PASSIVE")

    def truncate_wal(self) -> None:
        """Empty the log, so that destroyed keys are in no file any more.

        For every 30 idle seconds and for locking; not inside a transaction.
        """
        self._db.checkpoint("TRUNCATE")

    def problems(self) -> list[str]:
        """Damage found by reading the whole file; empty when all is well."""
        return self._db.problems()

    def close(self) -> None:
        """Empty the log and close."""
        self._db.close()

    # --- single values ---

    def get(self, key: str) -> bytes | None:
        row = self._db.row("SELECT value FROM singles WHERE name = ?", key)
        return row[0] if row else None

    def put(self, key: str, value: bytes) -> None:
        self._db.write("INSERT OR REPLACE INTO singles VALUES (?, ?)", key, value)

    # --- conversations ---

    def add_message(self, message: Message) -> Message | None:
        seq = self._db.insert(
            """INSERT INTO messages (id, chat, author, author_name, outgoing, size, sent_at,
                received_at, state, carriers, delivered_at, expires_at, reason, eid, number, about,
                life_s, reply_to, edited, retracted, read_at, mention, vanish_s, vanish_at, note,
                text)
            SELECT ?1, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
            WHERE NOT EXISTS (SELECT 1 FROM buried WHERE id = ?1)
            ON CONFLICT (id) DO NOTHING""",
            message.id,
            self._chat_no(message.chat),
            message.author,
            message.author_name,
            message.outgoing,
            len(message.text),
            message.sent_at,
            message.received_at,
            message.state,
            message.carriers,
            message.delivered_at,
            message.expires_at,
            message.reason,
            message.eid,
            message.number,
            message.about,
            message.life_s,
            message.reply_to,
            message.edited,
            message.retracted,
            message.read_at,
            message.mention,
            message.vanish_s,
            message.vanish_at,
            message.note,
            message.text,
        )
        if not seq:
            return None
        if message.note != NOTE_TIMER:
            self._index(seq, message.text)
        stored = structs.replace(message, seq=seq)
        if message.outgoing and message.eid and not message.author_name:
            self._remember(structs.replace(stored, text=Clean(str(message.text))))
        return stored

    def _remember(self, message: Message) -> None:
        """Soon it is carried, and then delivered: its row need not be read for that."""
        if len(self._recent) >= RECENT_MAX:
            del self._recent[next(iter(self._recent))]
        self._recent[message.eid] = message

    def _chat_no(self, chat: ChatId) -> int:
        no = self._chat_nos.get(chat)
        if no is None:
            row = self._db.row("SELECT no FROM chats WHERE chat = ?", chat)
            no = row[0] if row else self._db.insert("INSERT INTO chats (chat) VALUES (?)", chat)
            self._chat_nos[chat] = no
        return no

    def message(self, mid: bytes) -> Message | None:
        row = self._db.row(f"{_MESSAGE} WHERE m.id = ?", mid)
        return _message(row) if row else None

    def message_by_envelope(self, eid: bytes) -> Message | None:
        if (recent := self._recent.get(eid)) is not None:
            return recent
        where = "WHERE m.outgoing AND m.eid <> x'' AND m.eid = ?"
        row = self._db.row(f"{_MESSAGE} {where}", eid)
        return _message(row) if row else None

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
        """Raises StoreError ``unknown_message`` if there is none."""
        self._db.need_transaction()
        given = {
            "state": state,
            "carriers": carriers,
            "delivered_at": delivered_at,
            "expires_at": expires_at,
            "reason": reason,
            "eid": eid,
            "text": text,
            "size": None if text is None else len(text),
            "edited": edited,
            "retracted": retracted,
            "read_at": read_at,
            "vanish_at": vanish_at,
        }
        if text is not None:
            self._unindex(mid)
        # Only what changes: each column named here has the indexes it is in written anew.
        changes = {name: value for name, value in given.items() if value is not None}
        if changes:
            columns = ", ".join(f"{name} = ?" for name in changes)
            update = f"UPDATE messages SET {columns} WHERE id = ?"
            if not self._db.change(update, *changes.values(), mid):
                raise StoreError("unknown_message")
        known = self._recent.pop(was.eid, None) if was is not None else None
        if known is None or known.id != mid:
            self._recent.clear()
        if was is not None and text is None:
            changed = structs.replace(was, **changes)
            if known is not None and changed.eid and changed.state in (State.QUEUED, State.CARRIED):
                self._remember(changed)
            return changed
        message = self.message(mid)
        if message is None:
            raise StoreError("unknown_message")
        if text is not None and message.note != NOTE_TIMER:
            self._index(message.seq, text)
        return message

    def pending(self) -> list[Message]:
        where = "WHERE m.outgoing AND m.state IN ('queued', 'carried') ORDER BY m.seq"
        return [_message(row) for row in self._db.rows(f"{_MESSAGE} {where}")]

    def messages(
        self, chat: ChatId, *, before: int | None = None, after: int | None = None, limit: int = 200
    ) -> list[Message]:
        # The plans below are index seeks: no OR, no NULL in the bounds.
        if after is not None:
            where = "WHERE c.chat = ? AND m.seq > ? AND m.seq < ? ORDER BY m.seq LIMIT ?"
            rows = self._db.rows(
                f"{_MESSAGE} {where}", chat, after, _SEQ_MAX if before is None else before, limit
            )
        else:
            where = "WHERE c.chat = ? AND m.seq < ? ORDER BY m.seq DESC LIMIT ?"
            rows = self._db.rows(
                f"{_MESSAGE} {where}", chat, _SEQ_MAX if before is None else before, limit
            )[::-1]
        return [_message(row) for row in rows]

    def message_sizes(self, chat: ChatId) -> list[tuple[int, int, float]]:
        return self._db.rows(
            """SELECT m.seq, m.size, m.received_at FROM chats c JOIN messages m ON m.chat = c.no
            WHERE c.chat = ? ORDER BY m.seq""",
            chat,
        )

    def trim(self, chat: ChatId, keep: int) -> list[bytes]:
        old = self._db.rows(
            """SELECT m.id FROM chats c JOIN messages m ON m.chat = c.no
            WHERE c.chat = ? ORDER BY m.seq DESC LIMIT -1 OFFSET ?""",
            *(chat, keep),
        )
        return self.drop_messages([row[0] for row in old[::-1]], 0.0)

    def search(
        self, text: str, *, chat: ChatId | None = None, limit: int = 50, before: int | None = None
    ) -> list[Message]:
        self._words.write()
        query = Query.parse(text)
        found: list[Message] = []
        if not query.starts:
            return found
        before = _SEQ_MAX if before is None else before
        batch = max(limit, SEARCH_BATCH) if query.exact else limit
        while len(found) < limit:
            seqs = self._found(query, chat, before, batch)
            for seq in seqs:
                row = self._db.row(f"{_MESSAGE} WHERE m.seq = ?", seq)
                if row and len(found) < limit and query.is_exact(row[5]):
                    found.append(_message(row))
            if len(seqs) < batch:
                break
            before = seqs[-1]
        return found

    def chats(self) -> list[ChatSummary]:
        known = {
            row[0]: ChatSummary(
                chat=row[0],
                last=_message(row[12:]) if row[12] is not None else None,
                unread=row[3],
                read_seq=row[1],
                draft=Clean(row[2]),
                mentions=row[4],
                options=options_of(row[5:12]),
            )
            for row in self._db.rows(
                f"""SELECT c.chat, c.read_seq, c.draft, (SELECT count(*) FROM messages u
                    WHERE u.chat = c.no AND u.seq > c.read_seq AND NOT u.outgoing),
                    (SELECT count(*) FROM messages n
                    WHERE n.chat = c.no AND n.seq > c.read_seq AND n.mention),
                    c.notify, c.pinned, c.archived, c.keep_days, c.timer_s, c.timer_sent,
                    c.timer_number, {_COLUMNS}
                FROM chats c LEFT JOIN messages m
                    ON m.seq = (SELECT max(n.seq) FROM messages n WHERE n.chat = c.no)"""
            )
        }
        return chat_list(self.rooms(), self.groups(), self.contacts(), known)

    def mark_read(self, chat: ChatId, seq: int) -> None:
        self._db.write(
            """INSERT INTO chats (chat, read_seq) VALUES (?, ?)
            ON CONFLICT (chat) DO UPDATE SET read_seq = max(read_seq, excluded.read_seq)""",
            *(chat, seq),
        )

    def save_draft(self, chat: ChatId, text: str, at: float = 0.0) -> None:
        self._db.write(
            """INSERT INTO chats (chat, draft, draft_at) VALUES (?, ?, ?)
            ON CONFLICT (chat) DO UPDATE SET draft = excluded.draft,
                draft_at = excluded.draft_at""",
            *(chat, Clean(text), at),
        )

    def add_step(self, mid: bytes, *steps: Step) -> None:
        for step in steps:
            self._steps.add((mid, step.at, step.what, step.detail))

    def journey(self, mid: bytes) -> list[Step]:
        self._steps.write()
        rows = self._db.rows("SELECT at, what, detail FROM steps WHERE mid = ? ORDER BY no", mid)
        return [Step(*row) for row in rows]


def chat_list(
    rooms: Iterable[Room],
    groups: Iterable[Group],
    contacts: Iterable[Contact],
    known: Mapping[ChatId, ChatSummary],
) -> list[ChatSummary]:
    """What ``Store.chats`` shows of all people, rooms, groups and conversations."""
    begun = {b"r" + room.rid: room.joined_at for room in rooms}
    for group in groups:
        if group.membership is not Membership.LEFT:
            begun[b"g" + group.gid] = group.joined_at
    frozen = set[ChatId]()
    for contact in contacts:
        if not contact.blocked:
            begun[b"c" + contact.fp] = contact.added_at
            if contact.frozen:
                frozen.add(b"c" + contact.fp)
    listed = [known.get(chat, ChatSummary(chat, None, 0, 0, Clean())) for chat in begun]

    def activity(summary: ChatSummary) -> tuple[float, int]:
        if summary.last is None:
            return begun[summary.chat], 0
        return max(begun[summary.chat], summary.last.received_at), summary.last.seq

    listed = [row for row in listed if row.last is not None or row.chat not in frozen]
    return sorted(listed, key=activity, reverse=True)


def _message(row: Row) -> Message:
    mid, chat, author, author_name, outgoing, text, sent_at, received_at, state, *rest = row
    rest[_MENTION_AT] = bool(rest[_MENTION_AT])
    return Message(
        mid,
        chat,
        author,
        Clean.line(author_name),
        bool(outgoing),
        Clean(text),
        sent_at,
        received_at,
        State(state),
        *rest,
    )
