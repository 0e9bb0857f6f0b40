"""Where a chat leads: as whom we write there, whether we may, and the envelopes it takes."""

from msgspec.structs import replace

from meshchat.core.body import Body, BodyType
from meshchat.core.contacts import People
from meshchat.core.files import Files
from meshchat.core.groups import Groups
from meshchat.core.model import ChatId, Message, Now
from meshchat.core.ports import Store
from meshchat.core.rooms import Rooms
from meshchat.core.sealer import Sealer


class Addressing:
    """Seals bodies of ours to contacts, groups and rooms alike."""

    def __init__(
        self,
        store: Store,
        people: People,
        sealer: Sealer,
        files: Files,
        rooms: Rooms,
        groups: Groups,
    ) -> None:
        self._people = people
        self._sealer = sealer
        self._files = files
        self._rooms = rooms
        self._groups = groups
        self.under_way = {message.eid for message in store.pending()}
        """Envelopes of messages that nobody is known to carry yet or that may be confirmed still,
        and perhaps others: most of what a neighbour takes from us is not ours."""

    def author(self, chat: ChatId) -> bytes:
        """Who we are in a chat. Raises ``UsageError`` if we cannot write there."""
        if chat[:1] == b"c":
            self._people.writable(chat[1:])
        elif chat[:1] == b"g":
            self._groups.book.need(chat[1:])
        else:
            return self._rooms.author(chat[1:])
        return self._people.identity.fp

    def can_send(self, chat: ChatId) -> bool:
        if chat[:1] == b"c":
            return self._people.is_friend(chat[1:])
        if chat[:1] == b"g":
            return self._groups.book.is_member(chat[1:])
        return self._rooms.is_joined(chat[1:])

    def seal(self, chat: ChatId, body: Body, now: Now, message: Message | None = None) -> bytes:
        """Seal a body, of a message or by itself, and take it into custody.

        Returns:
            The envelope's id; empty if we have no key for it.

        Raises:
            UsageError: ``outbox_full``.
        """
        readers = [chat[1:]] if chat[:1] == b"c" else []
        if chat[:1] == b"c":
            fp = chat[1:]
            exp_h = self._sealer.dm_end_h(fp, message, now)
            if exp_h is None:
                return b""
            if message is not None and self._files.is_ours(message.id):
                manifest = self._files.seal(message, exp_h, now)
                body = replace(body, type=BodyType.FILE, text="", file=manifest)
            data = self._sealer.dm(fp, body, exp_h, now)
        elif chat[:1] == b"g":
            lines = self._groups.seal(chat[1:], body, self._sealer.end_h(message, now))
            if not lines:
                return b""
            data, *others = lines
            readers = self._groups.book.readers(chat[1:])
            for other in others:  # the same message, shown once; the state is that of the first
                self._sealer.keep(other, now, readers)
        else:
            data = self._rooms.seal(chat[1:], body, self._sealer.end_h(message, now), now)
        eid = self._sealer.keep(data, now, readers)
        self.under_way.add(eid)
        return eid
