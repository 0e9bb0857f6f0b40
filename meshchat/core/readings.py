"""Read receipts: off unless our user wants them, to contacts alone, batched and late.

An instant receipt tells a watcher who is where, so each batch waits like a proof of delivery.
"""

from collections.abc import Callable

from meshchat.core.addressing import Addressing
from meshchat.core.body import NUMBER_BYTES, READ_IDS_MAX, Body, BodyType
from meshchat.core.contacts import People
from meshchat.core.content import Content
from meshchat.core.events import MessageChanged, Tell
from meshchat.core.files import Files
from meshchat.core.limits import HOUSEKEEPING_S
from meshchat.core.model import ChatId, Message, Now, State, Step
from meshchat.core.ports import Entropy, Store
from meshchat.core.receipts import delay_s
from meshchat.errors import UsageError


class Readings:
    """What was read: by us, and of ours."""

    def __init__(
        self,
        store: Store,
        entropy: Entropy,
        people: People,
        files: Files,
        addressing: Addressing,
        content: Content,
        tell: Callable[[Tell], None],
    ) -> None:
        self._store = store
        self._entropy = entropy
        self._people = people
        self._files = files
        self._addressing = addressing
        self._content = content
        self._tell = tell
        self._due: dict[ChatId, float] = {}

    def start(self, now: Now) -> None:
        """After a restart: what was not told yet."""
        for chat in self._store.untold():
            self._plan(chat, now)

    def next_wakeup(self) -> float | None:
        """Monotonic time at which ``wake`` is due."""
        return min(self._due.values()) if self._due else None

    def read(self, chat: ChatId, now: Now) -> None:
        """Our user saw more of a chat."""
        if self._may_tell(chat):
            if chat not in self._due and chat in self._store.untold():
                self._plan(chat, now)
        else:  # whoever becomes a contact later is not told of what was read before
            self._store.mark_told(chat, None)

    def wanted_changed(self) -> None:
        """Our user switched receipts on or off: nothing read before is told."""
        for chat in self._store.untold():
            self._store.mark_told(chat, None)
        self._due.clear()

    def _may_tell(self, chat: ChatId) -> bool:
        wanted = self._content.privacy.read_receipts
        return wanted and chat[:1] == b"c" and self._people.is_friend(chat[1:])

    def _plan(self, chat: ChatId, now: Now) -> None:
        self._due[chat] = now.mono + delay_s(self._entropy)

    def wake(self, now: Now) -> None:
        """Send what is due."""
        for chat in [chat for chat, due in self._due.items() if due <= now.mono]:
            del self._due[chat]
            if not self._may_tell(chat):
                self._store.mark_told(chat, None)
                continue
            untold = self._store.untold_messages(chat, READ_IDS_MAX)
            if untold:
                ids = tuple(mid for _, mid in untold)
                number = self._entropy.bytes(NUMBER_BYTES)
                body = Body(BodyType.READ, number, int(now.wall), read=ids)
                try:
                    sealed = self._addressing.seal(chat, body, now)
                except UsageError:  # no room now
                    sealed = b""
                if not sealed:
                    self._due[chat] = now.mono + HOUSEKEEPING_S
                    continue
            if len(untold) == READ_IDS_MAX:
                self._store.mark_told(chat, untold[-1][0])
                self._plan(chat, now)
            else:
                self._store.mark_told(chat, None)

    def take(self, chat: ChatId, body: Body, now: Now) -> list[Message]:
        """The contact of a chat has read these; returns those whose way ends with it."""
        ended: list[Message] = []
        for mid in body.read:
            message = self._store.message(mid)
            if message is None or not message.outgoing or message.chat != chat or message.read_at:
                continue
            # The row of a file is seen long before the file is here.
            whole = not self._files.is_ours(mid) and not message.retracted
            if whole:
                message = self._store.change_message(
                    mid,
                    state=State.READ,
                    read_at=now.wall,
                    delivered_at=message.delivered_at or now.wall,
                    reason="",
                )
                ended.append(message)
            else:
                message = self._store.change_message(mid, read_at=now.wall)
            self._store.add_step(mid, Step(now.wall, "read"))
            self._tell(MessageChanged(message))
        return ended
