"""Tables of people and rooms, and of the keys that messages to and from them need.

A part of ``SqlStore``; the contract is ``meshchat.core.ports.PeopleStore``.
"""

from collections.abc import Sequence
from operator import attrgetter

from meshchat.core.model import Contact, Mark, Prekey, Revocation, Room, RoomMark, Session, Trust
from meshchat.database import Database, Row
from meshchat.text import Clean

_NEWEST_KEY = "ORDER BY exp_h DESC, delete_at DESC"  # made later, destroyed later
_Known = dict[bytes, Session]  # by session id
_Of = dict[bytes, tuple[bytes, ...]]  # ids of all sessions of a contact
_Changed = dict[bytes, None]  # ids of those that are to be written
_SESSION_FIELDS = attrgetter(*Session.__struct_fields__)


class SessionsInUse:
    """Sessions read and changed in one transaction: each message moves one on, few are in use.

    Holds nothing between transactions, so that no key is kept here that the tables have no more.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self._known: _Known = {}
        self._of: _Of = {}
        self._changed: _Changed = {}
        db.waiting.append(self)

    def one(self, sid: bytes) -> Session | None:
        known = self._known.get(sid)
        if known is None:
            row = self._db.row("SELECT * FROM sessions WHERE sid = ?", sid)
            known = _session(row) if row else None
            if known is not None and self._db.in_transaction:
                self._known[sid] = known
        return known

    def all_of(self, fp: bytes) -> list[Session]:
        """In order of their ids."""
        sids = self._of.get(fp)
        if sids is not None:
            return [self._known[sid] for sid in sids]
        self.write()
        rows = self._db.rows("SELECT * FROM sessions WHERE fp = ? ORDER BY sid", fp)
        found = [_session(row) for row in rows]
        if self._db.in_transaction:
            self._known.update((session.sid, session) for session in found)
            self._of[fp] = tuple(session.sid for session in found)
        return found

    def save(self, session: Session) -> None:
        self._db.need_transaction()
        if session.sid not in self._known:
            self._of.pop(session.fp, None)
        self._known[session.sid] = session
        self._changed[session.sid] = None

    def drop(self, sid: bytes) -> None:
        known = self._known.pop(sid, None)
        if known is not None:
            self._of.pop(known.fp, None)
        self._changed.pop(sid, None)

    def write(self) -> None:
        if self._changed:
            changed, self._changed = self._changed, {}
            self._db.write_many(
                # Whose it is never changes: the index of that is not written again.
                """INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT (sid) DO UPDATE SET ratchet = excluded.ratchet, ek = excluded.ek,
                    past = excluded.past, closed = excluded.closed, made_at = excluded.made_at,
                    heard_at = excluded.heard_at, told_h = excluded.told_h""",
                [_SESSION_FIELDS(self._known[sid]) for sid in changed],  # astuple copies deeply
            )

    def mark(self) -> tuple[_Known, _Of, _Changed]:
        return self._known.copy(), self._of.copy(), self._changed.copy()

    def back(self, mark: tuple[_Known, _Of, _Changed] | None) -> None:
        self._known, self._of, self._changed = mark or ({}, {}, {})


class PeopleTables:
    """Contacts, rooms, prekeys and sessions of one profile."""

    _db: Database
    _sessions: SessionsInUse

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
        return self._sessions.one(sid)

    def sessions(self, fp: bytes) -> list[Session]:
        return self._sessions.all_of(fp)

    def save_session(self, session: Session) -> None:
        self._sessions.save(session)

    def drop_session(self, sid: bytes) -> None:
        self._sessions.drop(sid)
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
        self._sessions.write()
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


def contact_order(contact: Contact) -> tuple[str, float, bytes]:
    """By name, then the oldest first: an id is nearly never asked."""
    return contact.petname.casefold(), contact.added_at, contact.fp


def room_order(room: Room) -> tuple[str, float, bytes]:
    """As ``contact_order``: rooms with different passphrases can have one name."""
    return room.name.casefold(), room.joined_at, room.rid


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
