"""What a store keeps of people and rooms."""

from collections.abc import Sequence
from typing import Protocol

from meshchat.core.model import Contact, Prekey, Revocation, Room, RoomMark, Session


class PeopleStore(Protocol):
    """People, rooms, and the keys that messages to and from them need."""

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
