"""``SqlStore``: the durable state of one profile, encrypted on disk or in memory.

Implements ``meshchat.core.ports.Store``, whose docstrings are the contract. Every
change needs ``transaction()``: a message and the envelope it travels in must
go to disk together or not at all.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from operator import attrgetter
from pathlib import Path
from typing import Self

from meshchat.content_tables import SEARCH_BATCH, ContentTables, options_of
from meshchat.core.model import (
    NOTE_TIMER,
    ChatId,
    ChatSummary,
    Contact,
    Group,
    Manifest,
    Mark,
    Membership,
    Message,
    OpenFile,
    Prekey,
    Revocation,
    Room,
    RoomMark,
    Session,
    State,
    Step,
    Trust,
)
from meshchat.core.words import Query
from meshchat.custody_tables import CustodyTables
from meshchat.database import Database, Row
from meshchat.errors import StoreError
from meshchat.group_tables import GroupTables
from meshchat.schema import migrate
from meshchat.text import Clean

_NEWEST_KEY = "ORDER BY exp_h DESC, delete_at DESC"  # made later, destroyed later
_SEQ_MAX = 2**63 - 1  # the greatest number SQLite can give a row
_EID_BYTES = 16  # of an envelope id
_MARKS_BYTES = 8  # one bit for each of at most 64 chunks

_COLUMNS = """m.id, c.chat, m.author, m.author_name, m.outgoing, m.text, m.sent_at,
    m.received_at, m.state, m.carriers, m.delivered_at, m.expires_at, m.reason, m.eid, m.number,
    m.about, m.seq, m.life_s, m.reply_to, m.edited, m.retracted, m.read_at, m.mention, m.vanish_s,
    m.vanish_at, m.note"""
_MESSAGE = f"SELECT {_COLUMNS} FROM messages m JOIN chats c ON c.no = m.chat"

_SESSION_FIELDS = attrgetter(*(field.name for field in dataclasses.fields(Session)))
_MENTION_AT = 13  # of the columns after ``state``


class SqlStore(ContentTables, CustodyTables, GroupTables):
    """A ``Store`` over SQLCipher. One process, one thread."""

    def __init__(self, db: Database) -> None:
        super().__init__(db)
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

    # --- our prekeys ---

    def add_prekey(self, prekey: Prekey) -> None:
        row = (prekey.public, prekey.secret, prekey.exp_h, prekey.delete_at)
        self._db.write("INSERT OR REPLACE INTO prekeys VALUES (?, ?, ?, ?)", *row)

    def prekeys(self) -> list[Prekey]:
        return [Prekey(*row) for row in self._db.rows(f"SELECT * FROM prekeys {_NEWEST_KEY}")]

    def drop_prekeys(self, due: float) -> int:
        return len(self._db.write("DELETE FROM prekeys WHERE delete_at <= ? RETURNING 1", due))

    # --- sessions of direct messages ---

    def session(self, sid: bytes) -> Session | None:
        row = self._db.row("SELECT * FROM sessions WHERE sid = ?", sid)
        return _session(row) if row else None

    def sessions(self, fp: bytes) -> list[Session]:
        rows = self._db.rows("SELECT * FROM sessions WHERE fp = ? ORDER BY sid", fp)
        return [_session(row) for row in rows]

    def save_session(self, session: Session) -> None:
        self._db.write(
            "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *_SESSION_FIELDS(session),  # astuple would copy each deeply
        )

    def drop_session(self, sid: bytes) -> None:
        self._db.write("DELETE FROM sessions WHERE sid = ?", sid)
        self._db.write("DELETE FROM skipped WHERE sid = ?", sid)

    def skipped(self, sid: bytes, key: bytes, number: int) -> bytes | None:
        row = self._db.row(
            "SELECT message_key FROM skipped WHERE sid = ? AND key = ? AND number = ?",
            *(sid, key, number),
        )
        return row[0] if row else None

    def add_skipped(
        self, sid: bytes, keys: Sequence[tuple[bytes, int, bytes]], delete_at: float
    ) -> None:
        self._db.write_many(
            """INSERT OR REPLACE INTO skipped (sid, key, number, message_key, delete_at)
            VALUES (?, ?, ?, ?, ?)""",
            [(sid, *key, delete_at) for key in keys],
        )

    def drop_skipped(self, sid: bytes, key: bytes, number: int) -> None:
        where = "sid = ? AND key = ? AND number = ?"
        self._db.write(f"DELETE FROM skipped WHERE {where}", sid, key, number)

    def trim_skipped(self, sid: bytes, keep: int) -> None:
        self._db.write(
            """DELETE FROM skipped WHERE sid = ?1 AND no <= (
                SELECT no FROM skipped WHERE sid = ?1 ORDER BY no DESC LIMIT 1 OFFSET ?2)""",
            *(sid, keep),
        )

    def expire_sessions(self, due: float, idle_since: float) -> None:
        self._db.write("DELETE FROM skipped WHERE delete_at <= ?", due)
        idle = "closed AND made_at <= ? AND heard_at <= ?"
        gone = self._db.rows(f"SELECT sid FROM sessions WHERE {idle}", idle_since, idle_since)
        for (sid,) in gone:
            self.drop_session(sid)

    # --- people and rooms ---

    def contacts(self) -> list[Contact]:
        found = [_contact(row) for row in self._db.rows("SELECT * FROM contacts")]
        return sorted(found, key=contact_order)

    def contact(self, fp: bytes) -> Contact | None:
        row = self._db.row("SELECT * FROM contacts WHERE fp = ?", fp)
        return _contact(row) if row else None

    def save_contact(self, contact: Contact) -> None:
        self._db.write(
            """INSERT OR REPLACE INTO contacts (fp, card, petname, claimed, trust, blocked, request,
                introduced_by, added_at, heard_at, boot, silent_days)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            contact.fp,
            contact.card,
            contact.petname,
            contact.claimed,
            contact.trust,
            contact.blocked,
            contact.request,
            contact.introduced_by,
            contact.added_at,
            contact.heard_at,
            contact.boot,
            contact.silent_days,
        )

    def revocations(self) -> list[Revocation]:
        rows = self._db.rows("SELECT * FROM revocations ORDER BY fp")
        return [
            Revocation(fp, notice, bool(released), *times) for fp, notice, released, *times in rows
        ]

    def save_revocation(self, kept: Revocation) -> None:
        row = (kept.fp, kept.notice, kept.released, kept.again_at, kept.until)
        self._db.write("INSERT OR REPLACE INTO revocations VALUES (?, ?, ?, ?, ?)", *row)

    def rooms(self) -> list[Room]:
        """In order of name."""
        found = [
            Room(rid, Clean.line(name), key, bool(private), joined_at)
            for rid, name, key, private, joined_at in self._db.rows("SELECT * FROM rooms")
        ]
        return sorted(found, key=room_order)

    def save_room(self, room: Room) -> None:
        row = (room.rid, room.name, room.key, room.private, room.joined_at)
        self._db.write("INSERT OR REPLACE INTO rooms VALUES (?, ?, ?, ?, ?)", *row)

    def drop_room(self, rid: bytes) -> None:
        self._db.write("DELETE FROM rooms WHERE rid = ?", rid)
        self._db.write("DELETE FROM room_marks WHERE rid = ?", rid)

    def room_marks(self) -> list[RoomMark]:
        rows = self._db.rows(
            "SELECT rid, target, mark, by_key, place FROM room_marks ORDER BY rid, target, by_key"
        )
        return [RoomMark(rid, target, Mark(mark), *rest) for rid, target, mark, *rest in rows]

    def save_room_mark(self, mark: RoomMark) -> None:
        row = (mark.rid, mark.target, mark.by, mark.mark, mark.order)
        self._db.write("INSERT OR REPLACE INTO room_marks VALUES (?, ?, ?, ?, ?)", *row)

    def drop_room_marks(self, rid: bytes, by: bytes) -> None:
        self._db.write("DELETE FROM room_marks WHERE rid = ? AND by_key = ?", rid, by)

    # --- conversations ---

    def add_message(self, message: Message) -> Message | None:
        if self.buried(message.id):
            return None
        stored = self._db.write(
            """INSERT INTO messages (id, chat, author, author_name, outgoing, size, sent_at,
                received_at, state, carriers, delivered_at, expires_at, reason, eid, number, about,
                life_s, reply_to, edited, retracted, read_at, mention, vanish_s, vanish_at, note,
                text)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            ON CONFLICT (id) DO NOTHING RETURNING seq""",
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
        if not stored:
            return None
        if message.note != NOTE_TIMER:
            self._index(stored[0][0], message.text)
        return dataclasses.replace(message, seq=stored[0][0])

    def _chat_no(self, chat: ChatId) -> int:
        row = self._db.row("SELECT no FROM chats WHERE chat = ?", chat)
        if row is None:
            row = self._db.write("INSERT INTO chats (chat) VALUES (?) RETURNING no", chat)[0]
        no: int = row[0]
        return no

    def message(self, mid: bytes) -> Message | None:
        row = self._db.row(f"{_MESSAGE} WHERE m.id = ?", mid)
        return _message(row) if row else None

    def message_by_envelope(self, eid: bytes) -> Message | None:
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
    ) -> Message:
        """Raises StoreError ``unknown_message`` if there is none."""
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
            self._db.write(f"UPDATE messages SET {columns} WHERE id = ?", *changes.values(), mid)
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

    def add_step(self, mid: bytes, step: Step) -> None:
        row = (mid, step.at, step.what, step.detail)
        self._db.write("INSERT INTO steps (mid, at, what, detail) VALUES (?, ?, ?, ?)", *row)

    def journey(self, mid: bytes) -> list[Step]:
        rows = self._db.rows("SELECT at, what, detail FROM steps WHERE mid = ? ORDER BY no", mid)
        return [Step(*row) for row in rows]

    # --- files ---

    def save_file(self, mid: bytes, data: bytes) -> None:
        self._db.write("INSERT OR REPLACE INTO files (mid, data) VALUES (?, ?)", mid, data)

    def file(self, mid: bytes) -> bytes | None:
        row = self._db.row("SELECT data FROM files WHERE mid = ?", mid)
        if row:
            data: bytes = row[0]
            return data
        if self._db.row("SELECT 1 FROM open_files WHERE mid = ?", mid):
            return None
        return b"".join(self.pieces(mid)) or None

    def drop_file(self, mid: bytes) -> None:
        self._db.write("DELETE FROM files WHERE mid = ?", mid)
        self._db.write(
            """DELETE FROM pieces WHERE mid = ?
            AND NOT EXISTS (SELECT 1 FROM open_files o WHERE o.mid = pieces.mid)""",
            mid,
        )

    def save_open_file(self, file: OpenFile) -> None:
        known = file.manifest
        self._db.write(
            """INSERT INTO open_files (mid, contact, outgoing, key, size, hash, name,
                chunks, marks, token, exp_h)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (mid) DO UPDATE SET
                contact = excluded.contact, outgoing = excluded.outgoing, key = excluded.key,
                size = excluded.size, hash = excluded.hash,
                name = excluded.name, chunks = excluded.chunks, marks = excluded.marks,
                token = excluded.token, exp_h = excluded.exp_h""",
            *(file.mid, file.contact, file.outgoing),
            *(known.key, known.size, known.hash, known.name),
            *(b"".join(known.chunks), file.marks.to_bytes(_MARKS_BYTES, "little")),
            *(file.token, file.exp_h),
        )

    def open_files(self) -> list[OpenFile]:
        rows = self._db.rows(
            """SELECT mid, contact, outgoing, key, size, hash, name, chunks, marks, token,
                exp_h FROM open_files ORDER BY no"""
        )
        return [_open_file(row) for row in rows]

    def drop_open_file(self, mid: bytes) -> None:
        self._db.write("DELETE FROM open_files WHERE mid = ?", mid)
        self._db.write("DELETE FROM pieces WHERE mid = ?", mid)

    def save_piece(self, mid: bytes, index: int, data: bytes) -> None:
        row = (mid, index, data)
        self._db.write("INSERT OR REPLACE INTO pieces (mid, place, data) VALUES (?, ?, ?)", *row)

    def close_file(self, mid: bytes) -> None:
        self._db.write("DELETE FROM open_files WHERE mid = ?", mid)

    def pieces(self, mid: bytes) -> list[bytes]:
        rows = self._db.rows("SELECT data FROM pieces WHERE mid = ? ORDER BY place", mid)
        return [row[0] for row in rows]


def _open_file(row: Row) -> OpenFile:
    mid, contact, outgoing, key, size, checksum, name, ids, marks, token, exp_h = row
    chunks = tuple(ids[at : at + _EID_BYTES] for at in range(0, len(ids), _EID_BYTES))
    return OpenFile(
        mid=mid,
        contact=contact,
        outgoing=bool(outgoing),
        manifest=Manifest(key, size, Clean.line(name, len(name)), checksum, chunks),
        marks=int.from_bytes(marks, "little"),
        token=token,
        exp_h=exp_h,
    )


def contact_order(contact: Contact) -> tuple[str, float, bytes]:
    """By name, then the oldest first: an id is nearly never asked."""
    return contact.petname.casefold(), contact.added_at, contact.fp


def room_order(room: Room) -> tuple[str, float, bytes]:
    """As ``contact_order``: rooms with different passphrases can have one name."""
    return room.name.casefold(), room.joined_at, room.rid


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


def _contact(row: Row) -> Contact:
    fp, card, petname, claimed, trust, blocked, request, introduced_by, *rest = row
    added_at, heard_at, boot, silent_days = rest
    return Contact(
        fp=fp,
        card=card,
        petname=Clean.line(petname),
        claimed=Clean.line(claimed),
        trust=Trust(trust),
        blocked=bool(blocked),
        request=bool(request),
        introduced_by=introduced_by,
        added_at=added_at,
        heard_at=heard_at,
        boot=boot,
        silent_days=silent_days,
    )


def _session(row: Row) -> Session:
    sid, fp, ratchet, ek, past, closed, *rest = row
    return Session(sid, fp, ratchet, ek, past, bool(closed), *rest)


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
