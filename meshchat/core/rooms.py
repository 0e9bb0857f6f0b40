"""Rooms: which we are in, who we are there, and the posts that come."""

from collections.abc import Callable, Iterator
from functools import partial

from msgspec.structs import replace

from meshchat.core.body import NUMBER_BYTES, Body, BodyType, decode_body, message_id
from meshchat.core.contacts import People
from meshchat.core.crypto import sign_public
from meshchat.core.envelope import Opened
from meshchat.core.events import MarkInRoom, RoomChanged, Tell
from meshchat.core.identity import room_id, room_name, room_secret
from meshchat.core.inbox import Heard, Inbox, Opener
from meshchat.core.model import Held, Kind, Now, Room, room_chat
from meshchat.core.moderation import Moderation, write_hide
from meshchat.core.ports import Entropy, Store
from meshchat.core.sealed import open_room_post
from meshchat.core.sealer import Sealer
from meshchat.errors import UsageError
from meshchat.text import Clean

ROOM_DAYS_BACK = 8  # an envelope lives a week and a little


class Rooms:
    """The rooms of one node."""

    def __init__(
        self,
        store: Store,
        entropy: Entropy,
        people: People,
        sealer: Sealer,
        inbox: Inbox,
        tell: Callable[[Tell], None],
    ) -> None:
        self._store = store
        self._entropy = entropy
        self._people = people
        self._sealer = sealer
        self._inbox = inbox
        self._tell = tell
        self._rooms = {room.rid: room for room in store.rooms()}
        self.moderation = Moderation(store, tell)
        inbox.add_secrets(self._secrets)

    def is_joined(self, rid: bytes) -> bool:
        return rid in self._rooms

    def author(self, rid: bytes) -> bytes:
        """Our pseudonym in a room, 32 bytes. Raises ``UsageError`` if we are not in it."""
        if rid not in self._rooms:
            raise UsageError("unknown_room", "You are not in this room: join it first.")
        return self._own_key(rid)

    def _own_key(self, rid: bytes) -> bytes:
        return sign_public(self._sealer.author_seed(rid))

    # --- ours ---------------------------------------------------------------------------------

    def join(self, name: str, key: bytes, private: bool, now: Now) -> Room:
        canonical = room_name(name)
        rid = room_id(key)
        room = self._rooms.get(rid)
        if room is None:
            for other in self._rooms.values():
                if other.name == canonical:
                    raise UsageError(
                        "room_exists",
                        f"You are in #{canonical} with another passphrase: leave it first.",
                    )
            room = Room(rid, Clean.line(canonical), key, private, now.wall)
            self._store.save_room(room)
            self._rooms[rid] = room
            self._inbox.keys_changed()
            self._tell(RoomChanged(room, joined=True))
        return room

    def leave(self, rid: bytes) -> Room:
        room = self._rooms.pop(rid, None)
        if room is None:
            raise UsageError("unknown_room", "You are not in this room.")
        self._store.drop_room(rid)
        self.moderation.leave(rid)
        self._inbox.refresh()
        self._tell(RoomChanged(room, joined=False))
        return room

    def mark(self, command: MarkInRoom, now: Now) -> None:
        """Hide or show in a room, and tell it if that is wanted."""
        if command.rid not in self._rooms:
            raise UsageError("unknown_room", "You are not in this room.")
        author = self._own_key(command.rid)
        self.moderation.check(command, author)
        if command.publish:  # first, because it may find no room
            raw = write_hide(command.target, command.mark)
            number = self._entropy.bytes(NUMBER_BYTES)
            body = Body(BodyType.HIDE, number, int(now.wall), name=self._people.name, raw=raw)
            self._sealer.keep(self.seal(command.rid, body, self._sealer.end_h(None, now), now), now)
        self.moderation.mark(command, author)

    def seal(self, rid: bytes, body: Body, exp_h: int, now: Now) -> bytes:
        """An envelope to everybody in a room we are in."""
        return self._sealer.post(self._rooms[rid], body, exp_h, now)

    # --- of others ----------------------------------------------------------------------------

    def _secrets(self, day: int) -> Iterator[tuple[bytes, Opener]]:
        for room in self._rooms.values():
            for back in range(-1, ROOM_DAYS_BACK + 1):
                yield room_secret(room.key, day - back), partial(self._open, room)

    def _open(self, room: Room, opened: Opened, held: Held, now: Now) -> Kind:
        kind = Kind.MINE if room.private else Kind.CARRIED
        author, seq, sent, raw = open_room_post(opened.inner, room.rid, opened.header.e)
        body = decode_body(raw)
        if body.type is BodyType.HIDE:
            order = (sent << 32 | seq) - (1 << 63)  # as large as a store takes: 8 bytes and a sign
            self.moderation.heard(room.rid, author, body.raw, order)
        if self.moderation.is_blocked(room.rid, author) or author == self._own_key(room.rid):
            return kind
        mid, name = message_id(author, body.number), Clean.line(body.name)
        if body.type is BodyType.TEXT:
            body = replace(body, sent=sent)  # that of an act says which of two counts
        self._inbox.on_heard(Heard(room_chat(room.rid), mid, author, name, body, held.exp_h), now)
        return kind
