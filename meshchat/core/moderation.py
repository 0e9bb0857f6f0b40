"""Who and what is hidden in rooms: always our own view, never a deletion.

Our user hides, blocks and shows by hand, and may hold other authors for moderators: what those
hide, by a signed post, is hidden here too. What our user says of a post counts before what is said
of its author, and both before any moderator. Nothing that is hidden is destroyed.
"""

from collections import Counter
from collections.abc import Callable

from meshchat.core.body import MESSAGE_ID_BYTES
from meshchat.core.crypto import KEY_BYTES
from meshchat.core.events import MarkInRoom, RoomMarksChanged, Tell
from meshchat.core.limits import MARKS_PER_MODERATOR_MAX
from meshchat.core.model import Mark, Message, RoomMark
from meshchat.core.ports.people import PeopleStore
from meshchat.errors import QuotaError, UsageError, WireError

HIDE_SIZES = (1 + MESSAGE_ID_BYTES, 1 + KEY_BYTES)  # of the body: shown or hidden, then the target
_OWN = b""


def write_hide(target: bytes, mark: Mark) -> bytes:
    """The body of a HIDE post."""
    return bytes([mark]) + target


def read_hide(raw: bytes) -> tuple[bytes, Mark]:
    """``(target, mark)``. Raises ``WireError``."""
    if len(raw) not in HIDE_SIZES or raw[0] not in (Mark.SHOWN, Mark.HIDDEN):
        raise WireError("hide_form")
    return raw[1:], Mark(raw[0])


class Moderation:
    """The marks of all rooms, cached; every change goes to the store at once."""

    def __init__(self, store: PeopleStore, tell: Callable[[Tell], None]) -> None:
        self._store = store
        self._tell = tell
        self._marks: dict[tuple[bytes, bytes, bytes], RoomMark] = {}
        self._moderators: dict[bytes, dict[bytes, None]] = {}
        self._sizes: Counter[tuple[bytes, bytes]] = Counter()
        for mark in store.room_marks():
            self._take(mark)

    def _take(self, mark: RoomMark) -> None:
        key = (mark.rid, mark.target, mark.by)
        if key not in self._marks:
            self._sizes[mark.rid, mark.by] += 1
        self._marks[key] = mark
        if mark.by == _OWN:
            moderators = self._moderators.setdefault(mark.rid, {})
            if mark.mark is Mark.MODERATOR:
                moderators[mark.target] = None
            else:
                moderators.pop(mark.target, None)

    def _save(self, mark: RoomMark) -> None:
        self._take(mark)
        self._store.save_room_mark(mark)
        self._tell(RoomMarksChanged(mark.rid))

    @staticmethod
    def check(command: MarkInRoom, own_author: bytes) -> None:
        """Raises ``UsageError`` if a mark makes no sense for its target."""
        target, mark = command.target, command.mark
        if len(target) not in (MESSAGE_ID_BYTES, KEY_BYTES):
            raise UsageError("bad_target", "Name a post or its author.")
        simple = mark in (Mark.SHOWN, Mark.HIDDEN)
        if not simple and (len(target) != KEY_BYTES or command.publish):
            raise UsageError(
                "bad_mark", "Only an author can be blocked or a moderator, and only by you."
            )
        if target == own_author:
            raise UsageError("own_author", "This is you.")

    def mark(self, command: MarkInRoom, own_author: bytes) -> None:
        """Our user's word. Raises as ``check``."""
        self.check(command, own_author)
        rid, target, mark = command.rid, command.target, command.mark
        was_moderator = target in self._moderators.get(rid, ())
        self._save(RoomMark(rid, target, mark))
        if was_moderator and mark is not Mark.MODERATOR:
            self.forget(rid, target)

    def forget(self, rid: bytes, by: bytes) -> None:
        """All that one moderator said in a room."""
        for key in [key for key in self._marks if key[::2] == (rid, by)]:
            del self._marks[key]
        del self._sizes[rid, by]
        self._store.drop_room_marks(rid, by)

    def leave(self, rid: bytes) -> None:
        """We left a room; the store forgets its marks by itself."""
        for key in [key for key in self._marks if key[0] == rid]:
            del self._marks[key]
            self._sizes.pop((rid, key[2]), None)
        self._moderators.pop(rid, None)

    def heard(self, rid: bytes, author: bytes, raw: bytes, order: int) -> None:
        """A HIDE post, its author proven.

        Args:
            order: Grows with every post of the author.

        Raises:
            WireError: ``hide_form``.
            QuotaError: ``marks_full``.
        """
        target, mark = read_hide(raw)
        if author not in self._moderators.get(rid, ()):
            return
        known = self._marks.get((rid, target, author))
        if known is not None and known.order >= order:
            return
        if known is None and self._sizes[rid, author] >= MARKS_PER_MODERATOR_MAX:
            raise QuotaError("marks_full")
        self._save(RoomMark(rid, target, mark, author, order))

    # --- looking up ---

    def of(self, rid: bytes, target: bytes, by: bytes = _OWN) -> Mark | None:
        """What our user or a moderator says of an author or a post."""
        found = self._marks.get((rid, target, by))
        return found.mark if found else None

    def is_blocked(self, rid: bytes, author: bytes) -> bool:
        """Whether nothing of this author is to be stored any more."""
        return self.of(rid, author) is Mark.BLOCKED

    def is_hidden(self, message: Message) -> bool:
        """Whether a message of a room is not to be shown."""
        rid = message.chat[1:]
        if message.chat[:1] != b"r" or message.outgoing or rid not in self._moderators:
            return False
        for target in (message.id, message.author):
            own = self.of(rid, target)
            if own is not None:
                return own in (Mark.HIDDEN, Mark.BLOCKED)
        for moderator in self._moderators[rid]:
            said = self.of(rid, message.id, moderator)
            if said is None:
                said = self.of(rid, message.author, moderator)
            if said is Mark.HIDDEN:
                return True
        return False
