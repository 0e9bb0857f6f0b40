"""Conversations: the parts that make them, and what our user does in any chat.

Each part knows one thing: ``inbox`` what comes in, ``incoming`` what that does here, ``outbox``
what becomes of ours, ``addressing`` where a chat leads, ``sessions`` and ``sealer`` how messages
are sealed, ``repair`` what to do when that fails; ``rooms``, ``groups``, ``files``, ``content``,
``keeping``, ``readings``, ``announces``, ``revocations`` what they say.
"""

from collections import Counter
from collections.abc import Callable

from msgspec.structs import replace

from meshchat.core.addressing import Addressing
from meshchat.core.announces import Announces
from meshchat.core.contacts import People
from meshchat.core.content import Content, quoted, text_to_send
from meshchat.core.custody import Custody
from meshchat.core.events import SetPrivacy, Tell
from meshchat.core.files import Files, check_file, file_text
from meshchat.core.groups import Groups
from meshchat.core.inbox import Inbox
from meshchat.core.incoming import Incoming
from meshchat.core.keeping import Keeping, timer_text
from meshchat.core.model import (
    NOTE_FILE,
    NOTE_REVOCATION,
    NOTE_TIMER,
    ChatId,
    ChatOptions,
    Contact,
    Message,
    Now,
    Privacy,
    contact_chat,
)
from meshchat.core.outbox import Outbox
from meshchat.core.ports import Entropy, Store
from meshchat.core.readings import Readings
from meshchat.core.receipts import Receipts
from meshchat.core.repair import Repair
from meshchat.core.revocations import Revocations
from meshchat.core.rooms import Rooms
from meshchat.core.sealer import Sealer
from meshchat.core.sessions import Sessions
from meshchat.errors import UsageError
from meshchat.text import Clean


class Chats:
    """Messages of one node."""

    def __init__(
        self,
        store: Store,
        entropy: Entropy,
        people: People,
        custody: Custody,
        tell: Callable[[Tell], None],
        counters: Counter[str],
        receipts: bool,
        revoked: Callable[[Contact, Now], None],
    ) -> None:
        """``revoked`` hears of each contact that was frozen for good."""
        self._store = store
        self._people = people
        self.receipts = Receipts(store, entropy, people, custody, receipts)
        self._sessions = Sessions(store, entropy, people)
        self.sealer = Sealer(store, entropy, people, custody, self._sessions)
        self.files = Files(
            store, entropy, people, custody, self.sealer, self.receipts, tell, counters
        )
        self.inbox = Inbox(store, people, custody, self._sessions, self.files)
        self.rooms = Rooms(store, entropy, people, self.sealer, self.inbox, tell)
        self.groups = Groups(
            store,
            entropy,
            people,
            custody,
            self.sealer,
            self.receipts,
            tell,
            counters,
            self.inbox,
            lambda chat, now: self.outbox.seal_anew(chat, now),
        )
        addressing = Addressing(store, people, self.sealer, self.files, self.rooms, self.groups)
        self.content = Content(store, entropy, custody, self.files, addressing, tell, counters)
        self.keeping = Keeping(store, self.files, self.content, tell)
        self._readings = Readings(
            store, entropy, people, self.files, addressing, self.content, tell
        )
        self.outbox = Outbox(
            store,
            entropy,
            people,
            custody,
            self._sessions,
            self.files,
            self.groups,
            addressing,
            self.content,
            self.keeping,
            tell,
        )
        self.revocations = Revocations(store, people, self.sealer, revoked)
        self.incoming = Incoming(
            store,
            people,
            self.inbox,
            self.outbox,
            self.receipts,
            self.files,
            self.content,
            self.keeping,
            self._readings,
            self.revocations,
            tell,
        )
        self.announces = Announces(store, entropy, people, self.sealer)
        repair = Repair(store, self.announces, self.outbox)
        self.inbox.on_heard = self.incoming.heard
        self.inbox.on_news = repair.heard
        self.inbox.on_revocation = self.revocations.heard

    # --- what our user does -------------------------------------------------------------------

    def send(
        self, chat: ChatId, text: str, life_s: float, now: Now, reply_to: bytes = b""
    ) -> Message:
        """Accept a message: stored when the transaction commits, sealed now or when a key comes."""
        message = self.outbox.draft(chat, text_to_send(text), now, life_s=life_s)
        message = replace(message, reply_to=reply_to)
        if reply_to and quoted(self._store, message) is None:
            raise UsageError(
                "unknown_reply", "The message you reply to is not in this chat (any more)."
            )
        return self.outbox.write(message, now)

    def send_file(self, chat: ChatId, name: str, data: bytes, life_s: float, now: Now) -> Message:
        """Accept a file for a contact, like any message."""
        if chat[:1] != b"c":
            raise UsageError(
                "no_files_in_rooms",
                "A file goes to one person: choose a contact, not a room or group.",
            )
        name = check_file(name, data)
        text = file_text(name, len(data))
        message = self.outbox.draft(chat, text, now, life_s=life_s, note=NOTE_FILE)
        self.files.begin(message.id, chat[1:], name, data)
        message = self.outbox.write(message, now)
        self.files.begun(sealed=bool(message.eid))
        return message

    def introduce(self, one: bytes, other: bytes, now: Now) -> tuple[Message, Message]:
        """Give two contacts each other's card."""
        first, second = self._people.writable(one), self._people.writable(other)
        if one == other:
            raise UsageError("same_contact", "Name two different contacts.")
        return self._introduce(one, second, now), self._introduce(other, first, now)

    def _introduce(self, to: bytes, third: Contact, now: Now) -> Message:
        text = Clean(f"[introduced {third.petname}]")
        draft = self.outbox.draft(contact_chat(to), text, now, about=third.fp)
        return self.outbox.write(draft, now)

    def give_revocation(self, to: bytes, now: Now) -> Message:
        """Give a contact our signed revocation to keep."""
        self._people.writable(to)
        own = self._people.identity.fp
        text = Clean("[my revocation, for you to keep]")
        draft = self.outbox.draft(contact_chat(to), text, now, about=own, note=NOTE_REVOCATION)
        return self.outbox.write(draft, now)

    def set_timer(self, chat: ChatId, seconds: int, now: Now) -> ChatOptions:
        """Let new messages of both sides disappear; the other side is told by a message."""
        self.keeping.check_timer(chat, seconds)
        last = self._store.chat_options(chat)
        if seconds != last.timer_s:
            message = self.outbox.draft(chat, timer_text(seconds), now, note=NOTE_TIMER)
            sent = max(int(now.wall), last.timer_sent + 1)
            message = replace(message, sent_at=float(sent), vanish_s=seconds)
            message = self.outbox.write(message, now)
            self.keeping.set_timer(chat, seconds, sent, message.number, now)
        return self._store.chat_options(chat)

    def set_privacy(self, command: SetPrivacy) -> Privacy:
        old = self.content.privacy
        given = (command.read_receipts, command.typing, command.retractions)
        known = (old.read_receipts, old.typing, old.retractions)
        new = Privacy(*(was if now is None else now for now, was in zip(given, known, strict=True)))
        self.content.set_privacy(new)
        if new.read_receipts is not old.read_receipts:
            self._readings.wanted_changed()
        return new

    def mark_read(self, chat: ChatId, seq: int, now: Now) -> None:
        """Our user has seen everything up to ``seq``."""
        self._store.mark_read(chat, seq)
        self._readings.read(chat, now)
        self.keeping.read(chat, seq, now)

    # --- time ---------------------------------------------------------------------------------

    def start(self, now: Now) -> None:
        """Take up after a restart what has to happen at its time."""
        self._readings.start(now)
        self.keeping.plan(now)

    def wake(self, now: Now) -> None:
        """What is due: receipts to send, messages to destroy."""
        self._readings.wake(now)
        self.keeping.wake(now)

    def next_wakeup(self) -> float | None:
        """Monotonic time at which ``wake`` is due."""
        reading, keeping = self._readings.next_wakeup(), self.keeping.next_wakeup()
        if reading is None or keeping is None:
            return keeping if reading is None else reading
        return min(reading, keeping)

    def house(self, now: Now) -> None:
        """Now and then: what is too old goes, and what waits for a key is tried again."""
        self._sessions.house(now)
        self.files.give_up(now)
        self.content.give_up(now)
        self.groups.house(now)
        self.outbox.give_up(now)
        self.outbox.seal_waiting(now)
        self.keeping.house(now)
