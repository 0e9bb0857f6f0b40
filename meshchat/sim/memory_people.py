"""The part of ``MemoryStore`` that holds people, rooms and keys, as ``PeopleTables`` does."""

from collections.abc import Sequence

from msgspec import structs

from meshchat.core.model import Contact, Prekey, Revocation, Room, RoomMark, Session
from meshchat.people_tables import contact_order, room_order
from meshchat.sim.memory_groups import MemoryGroups
from meshchat.sim.pool import Pool
from meshchat.text import Clean


class MemoryPeople(MemoryGroups):
    """Contacts, rooms, prekeys and sessions of one node."""

    __slots__ = (
        "_contacts",
        "_prekeys",
        "_revocations",
        "_room_marks",
        "_rooms",
        "_sessions",
        "_sessions_of",
        "_skipped",
    )

    def __init__(self, pool: Pool | None = None) -> None:
        super().__init__(pool)
        self._prekeys: dict[bytes, Prekey] = {}
        self._sessions: dict[bytes, Session] = {}
        self._sessions_of: dict[bytes, tuple[bytes, ...]] = {}  # by fingerprint
        # By session; ratchet key and number: message key and when it is destroyed.
        self._skipped: dict[bytes, dict[tuple[bytes, int], tuple[bytes, float]]] = {}
        self._contacts: dict[bytes, Contact] = {}
        self._rooms: dict[bytes, Room] = {}
        self._revocations: dict[bytes, Revocation] = {}
        self._room_marks: dict[tuple[bytes, bytes, bytes], RoomMark] = {}

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
            contact = structs.replace(contact, petname=petname, claimed=claimed)
        self._put(self._contacts, contact.fp, contact)

    def rooms(self) -> list[Room]:
        """In order of name."""
        return sorted(self._rooms.values(), key=room_order)

    def save_room(self, room: Room) -> None:
        name = _line(room.name)
        self._put(
            self._rooms,
            room.rid,
            room if name == room.name else structs.replace(room, name=name),
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


def _line(text: str) -> Clean:
    """A name as it is read back; what only claims to be ``Clean`` is not believed."""
    return Clean.line(str(text))
