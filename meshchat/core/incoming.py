"""What others write to us: what each type of message that opened does here."""

from collections.abc import Callable

from msgspec.structs import replace

from meshchat.core.body import ACTS, BodyType, message_id
from meshchat.core.contacts import People
from meshchat.core.content import Content, quoted
from meshchat.core.custody import HOUR_S
from meshchat.core.events import MessageAdded, Tell
from meshchat.core.files import OPEN, Files, file_text
from meshchat.core.identity import Card
from meshchat.core.inbox import Heard, Inbox, Letter
from meshchat.core.keeping import Keeping, timer_text
from meshchat.core.limits import REQUEST_MESSAGES_MAX, ROOM_KEPT_MAX, TRIM_EVERY
from meshchat.core.model import (
    NO_TEXT,
    NOTE_FILE,
    NOTE_INTRODUCTION,
    NOTE_REVOCATION,
    NOTE_TIMER,
    Contact,
    Message,
    Now,
    State,
    Step,
    contact_chat,
)
from meshchat.core.outbox import Outbox
from meshchat.core.ports import Store
from meshchat.core.readings import Readings
from meshchat.core.receipts import Receipt, Receipts
from meshchat.core.revocations import Revocations
from meshchat.core.words import mentions
from meshchat.errors import QuotaError
from meshchat.text import Clean

_NOTES = {
    BodyType.FILE: NOTE_FILE,
    BodyType.INTRODUCTION: NOTE_INTRODUCTION,
    BodyType.TIMER: NOTE_TIMER,
    BodyType.REVOCATION: NOTE_REVOCATION,
}


class Incoming:
    """Acts on what the inbox of one node opened."""

    def __init__(
        self,
        store: Store,
        people: People,
        inbox: Inbox,
        outbox: Outbox,
        receipts: Receipts,
        files: Files,
        content: Content,
        keeping: Keeping,
        readings: Readings,
        revocations: Revocations,
        tell: Callable[[Tell], None],
    ) -> None:
        self._store = store
        self._people = people
        self._inbox = inbox
        self._outbox = outbox
        self._receipts = receipts
        self._files = files
        self._content = content
        self._keeping = keeping
        self._readings = readings
        self._revocations = revocations
        self._tell = tell
        inbox.on(BodyType.TEXT, self._text, strangers=True, takes_all=True)
        inbox.on(BodyType.FILE, self._file, strangers=True)
        inbox.on(BodyType.INTRODUCTION, self._introduction)
        for kind in ACTS:
            inbox.on(kind, self._act)
        inbox.on(BodyType.READ, self._read)
        inbox.on(BodyType.TIMER, self._timer)
        inbox.on(BodyType.REVOCATION, self._revocation)

    # --- to us alone --------------------------------------------------------------------------

    def _text(self, letter: Letter, now: Now) -> list[Receipt]:
        return self._show(letter, now, Clean(letter.body.text))

    def _introduction(self, letter: Letter, now: Now) -> list[Receipt]:
        """A friend gives us a third person's card."""
        third, name = Card.decode(letter.body.card), Clean.line(letter.body.name)
        receipts: list[Receipt] = []
        if self._people.introduced(third, name, letter.contact, now) is not None:
            self._inbox.keys_changed()
            receipts = self._receipts.settle(third.fp, now)  # they may have written as a stranger
        return receipts + self._show(letter, now, Clean(f'[introduces "{name}"]'))

    def _revocation(self, letter: Letter, now: Now) -> list[Receipt]:
        """A friend asks us to keep their revocation."""
        self._revocations.keep(letter.contact.fp, letter.body.raw)
        return self._show(letter, now, Clean("[my revocation, for you to keep]"))

    def _timer(self, letter: Letter, now: Now) -> list[Receipt]:
        body, heard = letter.body, _heard(letter)
        assert body.timer_s is not None, "a timer says how long"
        self._store_message(heard, timer_text(body.timer_s), now)
        self._keeping.set_timer(heard.chat, body.timer_s, body.sent, body.number, now)
        return self._confirm(letter, now)

    def _file(self, letter: Letter, now: Now) -> list[Receipt]:
        file, heard = letter.body.file, _heard(letter)
        assert file is not None, "a file message has a manifest"
        self._check_request(letter.contact)
        self._files.check_room(heard.id, heard.author)
        self._store_message(heard, file_text(file.name, file.size), now)
        return self._files.offered(heard.id, heard.author, file, letter.token, letter.exp_h, now)

    def _act(self, letter: Letter, now: Now) -> list[Receipt]:
        author = letter.contact.fp
        self._content.take(contact_chat(author), author, letter.body, now)
        return self._confirm(letter, now)

    def _read(self, letter: Letter, now: Now) -> list[Receipt]:
        for message in self._readings.take(contact_chat(letter.contact.fp), letter.body, now):
            self._outbox.read(message, now)
        return self._confirm(letter, now)

    def _show(self, letter: Letter, now: Now, text: Clean) -> list[Receipt]:
        """Store what people are to see of a letter, and confirm it."""
        self._check_request(letter.contact)
        self._store_message(_heard(letter), text, now)
        return self._confirm(letter, now)

    def _confirm(self, letter: Letter, now: Now) -> list[Receipt]:
        return self._receipts.give(letter.contact.fp, letter.token, letter.exp_h, now)

    def _check_request(self, contact: Contact) -> None:
        """Raises ``QuotaError`` if a stranger has written enough."""
        sizes = self._store.message_sizes(contact_chat(contact.fp)) if contact.request else ()
        if len(sizes) >= REQUEST_MESSAGES_MAX:
            raise QuotaError("request_messages")

    # --- in any chat --------------------------------------------------------------------------

    def heard(self, heard: Heard, now: Now) -> None:
        """A message of a room or group: texts and what is done to them, nothing else."""
        if heard.body.type in ACTS:
            self._content.take(heard.chat, heard.author, heard.body, now)
        elif heard.body.type is BodyType.TEXT:
            self._store_message(heard, Clean(heard.body.text), now)

    def _store_message(self, heard: Heard, text: Clean, now: Now) -> None:
        body, chat = heard.body, heard.chat
        message = Message(
            id=heard.id,
            chat=chat,
            author=heard.author,
            author_name=heard.name,
            outgoing=False,
            text=text,
            sent_at=float(body.sent),
            received_at=now.wall,
            state=State.RECEIVED,
            expires_at=float(heard.exp_h * HOUR_S),
            reason=OPEN if body.file else heard.reason,
            reply_to=body.reply_to,
            vanish_s=0 if chat[:1] == b"r" else body.timer_s or 0,
            note=_NOTES.get(body.type, ""),
        )
        answered = quoted(self._store, message)
        to_us = answered is not None and answered.outgoing
        message = replace(message, mention=to_us or mentions(text, self._people.name))
        stored = self._store.add_message(message)
        if stored is not None:
            how = {b"c": "direct", b"r": "room", b"g": "group"}[chat[:1]]
            self._store.add_step(stored.id, Step(now.wall, "received", how))
            if chat[:1] != b"c" and stored.seq % TRIM_EVERY == 0:
                self._keeping.gone(chat, self._store.trim(chat, ROOM_KEPT_MAX))
            self._tell(MessageAdded(self._content.arrived(stored, now)))


def _heard(letter: Letter) -> Heard:
    author = letter.contact.fp
    mid = message_id(author, letter.body.number)
    return Heard(contact_chat(author), mid, author, NO_TEXT, letter.body, letter.exp_h)
