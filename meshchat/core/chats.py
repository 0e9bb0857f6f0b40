"""Conversations: writing, sealing, opening and the true state of every message.

Its parts know one thing each: ``inbox`` what comes in, ``sessions`` and ``sealer`` how direct
messages are sealed, ``groups``, ``files``, ``content``, ``moderation``, ``revocations``.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial

from meshchat.core.body import (
    ACTS,
    NUMBER_BYTES,
    Body,
    BodyType,
    decode_body,
    encode_body,
    message_id,
)
from meshchat.core.contacts import People
from meshchat.core.content import Content, quoted, text_to_send
from meshchat.core.crypto import sign_public
from meshchat.core.custody import HOUR_S, Custody, hours
from meshchat.core.envelope import Opened
from meshchat.core.events import (
    MarkInRoom,
    MessageAdded,
    MessageChanged,
    RoomChanged,
    SetPrivacy,
    Tell,
)
from meshchat.core.files import OPEN, Files, check_file, file_text
from meshchat.core.group_talk import NOT_MEMBER, Heard
from meshchat.core.groups import Groups
from meshchat.core.identity import NAME_MAX_BYTES, Card, room_id, room_name, room_secret
from meshchat.core.inbox import Inbox, Letter, News, Opener
from meshchat.core.keeping import Keeping, timer_text
from meshchat.core.limits import (
    ANNOUNCE_EVERY_S,
    ANNOUNCE_LIFE_H,
    CLOCK_FLOOR_S,
    REQUEST_MESSAGES_MAX,
    ROOM_KEPT_MAX,
    SEAL_AGAIN_GAP_S,
    TRIM_EVERY,
)
from meshchat.core.model import (
    NO_TEXT,
    NOTE_FILE,
    NOTE_INTRODUCTION,
    NOTE_REVOCATION,
    NOTE_TIMER,
    ChatId,
    ChatOptions,
    Contact,
    Fate,
    Held,
    Kind,
    Message,
    Now,
    Privacy,
    Room,
    State,
    Step,
)
from meshchat.core.moderation import Moderation, write_hide
from meshchat.core.ports import Entropy, Store
from meshchat.core.readings import Readings
from meshchat.core.receipts import Receipt, Receipts
from meshchat.core.revocations import Revocations, make_notice
from meshchat.core.sealed import (
    announce,
    open_room_post,
    read_card,
)
from meshchat.core.sealer import Sealer, end_of
from meshchat.core.sessions import Sessions
from meshchat.core.words import mentions
from meshchat.errors import QuotaError, UsageError
from meshchat.text import Clean

ROOM_DAYS_BACK = 8  # an envelope lives a week and a little


def contact_chat(fp: bytes) -> ChatId:
    return b"c" + fp


def _fitting(name: str) -> str:
    """As much of a name of ours as a body takes."""
    return name.encode()[:NAME_MAX_BYTES].decode("utf-8", "ignore")


def _is_over(message: Message, now: Now) -> bool:
    """Whether the end its author chose has come."""
    return bool(message.life_s) and message.expires_at <= now.wall


def room_chat(rid: bytes) -> ChatId:
    return b"r" + rid


_NOTES = {
    BodyType.FILE: NOTE_FILE,
    BodyType.INTRODUCTION: NOTE_INTRODUCTION,
    BodyType.TIMER: NOTE_TIMER,
    BodyType.REVOCATION: NOTE_REVOCATION,
}


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
        self._entropy = entropy
        self._people = people
        self._custody = custody
        self._tell = tell
        self._rooms = {room.rid: room for room in store.rooms()}
        self._receipts = Receipts(store, entropy, people, custody, receipts)
        self._sessions = Sessions(store, entropy, people)
        self._sealer = Sealer(store, entropy, people, custody, self._sessions)
        self._files = Files(
            store, entropy, people, custody, self._sealer, self._receipts, tell, counters
        )
        self.content = Content(
            store,
            entropy,
            custody,
            self._files,
            self._author_for,
            self._seal_body,
            tell,
            counters,
        )
        self.keeping = Keeping(store, self._files, self.content, tell)
        self._readings = Readings(
            store,
            entropy,
            people,
            self._files,
            self._seal_body,
            tell,
            lambda: self.content.privacy.read_receipts,
        )
        self._inbox = Inbox(store, people, custody, self._sessions)
        self._inbox.add_secrets(self._room_secrets)
        self._inbox.on(BodyType.TEXT, self._text, strangers=True)
        self._inbox.on(BodyType.FILE, self._file, strangers=True)
        self._inbox.on(BodyType.INTRODUCTION, self._introduction)
        for kind in ACTS:
            self._inbox.on(kind, self._done_to_message)
        self._inbox.on(BodyType.READ, self._read)
        self._inbox.on(BodyType.TIMER, self._timer)
        self.moderation = Moderation(store, tell)
        self.revocations = Revocations(store, people, self._sealer, revoked)
        self._inbox.on(BodyType.REVOCATION, self._revocation)
        self._inbox.on_revocation = self.revocations.heard
        self.groups = Groups(
            store,
            entropy,
            people,
            custody,
            self._sealer,
            self._receipts,
            tell,
            counters,
            self._inbox,
            self._heard_in_group,
            self._seal_anew,
        )
        # Envelopes of messages that nobody is known to carry yet or that may be confirmed still,
        # and perhaps others: most of what a neighbour takes from us is not ours.
        self._under_way = {message.eid for message in store.pending()}
        self._broken: dict[bytes, tuple[bytes, float]] = {}  # contact -> session, since when
        self._seal_again_at: dict[bytes, float] = {}  # contact -> monotonic time
        self.sealed = self._sealer.sealed
        """Envelopes of ours made in this step, for the node to offer."""

    # --- writing ------------------------------------------------------------------------------

    def send(
        self, chat: ChatId, text: str, life_s: float, now: Now, reply_to: bytes = b""
    ) -> Message:
        """Accept a message: stored when the transaction commits, sealed now or when a key comes."""
        message = self._draft(chat, text_to_send(text), now, life_s=life_s)
        message = replace(message, reply_to=reply_to)
        if reply_to and quoted(self._store, message) is None:
            raise UsageError(
                "unknown_reply", "The message you reply to is not in this chat (any more)."
            )
        return self._write(message, now)

    def send_file(self, chat: ChatId, name: str, data: bytes, life_s: float, now: Now) -> Message:
        """Accept a file for a contact, like any message."""
        if chat[:1] != b"c":
            raise UsageError(
                "no_files_in_rooms",
                "A file goes to one person: choose a contact, not a room or group.",
            )
        name = check_file(name, data)
        message = self._draft(chat, file_text(name, len(data)), now, life_s=life_s, note=NOTE_FILE)
        self._files.begin(message.id, chat[1:], name, data)
        return self._write(message, now)

    def introduce(self, one: bytes, other: bytes, now: Now) -> tuple[Message, Message]:
        """Give two contacts each other's card."""
        first, second = self._people.writable(one), self._people.writable(other)
        if one == other:
            raise UsageError("same_contact", "Name two different contacts.")
        texts = [Clean(f"[introduced {each.petname}]") for each in (second, first)]
        return (
            self._write(self._draft(contact_chat(one), texts[0], now, about=other), now),
            self._write(self._draft(contact_chat(other), texts[1], now, about=one), now),
        )

    def give_revocation(self, to: bytes, now: Now) -> Message:
        """Give a contact our signed revocation to keep."""
        self._people.writable(to)
        own = self._people.identity.fp
        text = Clean("[my revocation, for you to keep]")
        draft = self._draft(contact_chat(to), text, now, about=own, note=NOTE_REVOCATION)
        return self._write(draft, now)

    def mark_in_room(self, command: MarkInRoom, now: Now) -> None:
        """Hide or show in a room, and tell it if that is wanted."""
        room = self._rooms.get(command.rid)
        if room is None:
            raise UsageError("unknown_room", "You are not in this room.")
        author = sign_public(self._sealer.author_seed(room.rid))
        self.moderation.check(command, author)
        if command.publish:  # first, because it may find no room
            raw = write_hide(command.target, command.mark)
            number = self._entropy.bytes(NUMBER_BYTES)
            body = Body(BodyType.HIDE, number, int(now.wall), name=self._people.name, raw=raw)
            self._sealer.keep(
                self._sealer.post(room, body, self._sealer.end_h(None, now), now), now
            )
        self.moderation.mark(command, author)

    def set_timer(self, chat: ChatId, seconds: int, now: Now) -> ChatOptions:
        """Let new messages of both sides disappear; the other side is told by a message."""
        self.keeping.check_timer(chat, seconds)
        last = self._store.chat_options(chat)
        if seconds != last.timer_s:
            message = self._draft(chat, timer_text(seconds), now, note=NOTE_TIMER)
            sent = max(int(now.wall), last.timer_sent + 1)
            message = self._write(replace(message, sent_at=float(sent), vanish_s=seconds), now)
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

    def delete(self, mid: bytes, now: Now) -> None:
        """Destroy a message here."""
        self._under_way.discard(self.content.need(mid).eid)
        self.keeping.delete(mid, now)

    def _draft(
        self,
        chat: ChatId,
        text: Clean,
        now: Now,
        *,
        about: bytes = b"",
        life_s: float = 0.0,
        note: str = "",
    ) -> Message:
        author = self._author_for(chat)
        number = self._entropy.bytes(NUMBER_BYTES)
        signer = self.groups.own_key(chat[1:]) if chat[:1] == b"g" else author
        return Message(
            id=message_id(signer, number),
            chat=chat,
            author=author,
            author_name=NO_TEXT,
            outgoing=True,
            text=text,
            sent_at=now.wall,
            received_at=now.wall,
            state=State.QUEUED,
            expires_at=end_of(life_s, now),
            number=number,
            about=about,
            life_s=life_s,
            vanish_s=self._store.chat_options(chat).timer_s,
            note=note or (NOTE_INTRODUCTION if about else ""),
        )

    def _write(self, message: Message, now: Now) -> Message:
        """Seal a new message, if we have a key for it, and store it: one row, written once."""
        eid = self._seal(message, now)
        reason = "" if eid else "no_key"
        vanish_at = self.keeping.begins_sealed(message, now) if eid else 0.0
        stored = self._store.add_message(
            replace(message, eid=eid, reason=reason, vanish_at=vanish_at)
        )
        assert stored is not None, "a fresh random number cannot be known"
        self._store.add_step(message.id, Step(now.wall, "written"))
        if eid:
            self._store.add_step(message.id, Step(now.wall, "sealed"))
        if vanish_at:
            self.keeping.plan(now)
        self._tell(MessageAdded(stored))
        return stored

    def _author_for(self, chat: ChatId) -> bytes:
        if chat[:1] == b"c":
            self._people.writable(chat[1:])
            return self._people.identity.fp
        if chat[:1] == b"g":
            self.groups.need(chat[1:])
            return self._people.identity.fp
        room = self._rooms.get(chat[1:])
        if room is None:
            raise UsageError("unknown_room", "You are not in this room: join it first.")
        return sign_public(self._sealer.author_seed(room.rid))

    def _seal(self, message: Message, now: Now) -> bytes:
        """Seal a message into an envelope; its id, or empty if we have no key for it."""
        about = message.about
        [message.chat[1:]] if message.chat[:1] == b"c" else []
        body = Body(
            BodyType.TEXT,
            message.number,
            int(message.sent_at),
            message.text,
            self._people.name,
            message.reply_to,
            timer_s=message.vanish_s or None,
        )
        if message.note == NOTE_TIMER:
            body = replace(body, type=BodyType.TIMER, text="", timer_s=message.vanish_s)
        if about == self._people.identity.fp:
            notice = make_notice(self._people.identity, int(message.sent_at))
            body = replace(body, type=BodyType.REVOCATION, text="", raw=notice)
        elif about:
            body = replace(
                body,
                type=BodyType.INTRODUCTION,
                text="",
                name=_fitting(self._people.need(about).petname),
                card=self._people.need(about).card,
            )
        return self._seal_body(message.chat, body, now, message)

    def _seal_body(
        self, chat: ChatId, body: Body, now: Now, message: Message | None = None
    ) -> bytes:
        """Seal a body for a chat, of a message or by itself; as ``_seal``."""
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
            lines = self.groups.seal(chat[1:], body, self._sealer.end_h(message, now))
            if not lines:
                return b""
            data, *others = lines
            readers = self.groups.readers(chat[1:])
            for other in others:  # the same message, shown once; the state is that of the first
                self._sealer.keep(other, now, readers)
        else:
            room = self._rooms[chat[1:]]
            data = self._sealer.post(room, body, self._sealer.end_h(message, now), now)
        eid = self._sealer.keep(data, now, readers)
        self._under_way.add(eid)
        return eid

    def announce(self, now: Now) -> None:
        """Tell every contact our newest card, once a day and after each new prekey."""
        body = Body(BodyType.PROFILE, bytes(NUMBER_BYTES), int(now.wall), "", self._people.name)
        raw, people = encode_body(body), self._people
        card = read_card(people.card)
        data = self._sealer.shared(
            self._people.announce_key,
            lambda e: announce(people.identity, card, e, people.boot, raw),
            raw,
            hours(now.wall) + ANNOUNCE_LIFE_H,
        )
        self._sealer.keep(data, now, bounded=False)
        self._store.put("announced", int(now.wall).to_bytes(8, "little"))

    def cover(self, now: Now) -> None:
        """Make an envelope for nobody."""
        self._sealer.keep(self._sealer.cover(now), now)

    def announce_due(self, now: Now) -> bool:
        last = int.from_bytes(self._store.get("announced") or b"", "little")
        return not last <= now.wall < last + ANNOUNCE_EVERY_S

    def share_card(self, now: Now, contacts: Iterable[Contact]) -> None:
        """Send our newest card by a silent DM: these cannot read our announces without it."""
        for contact in contacts:
            self._tell_quietly(contact.fp, now)

    def _tell_quietly(self, fp: bytes, now: Now, reset: bytes = b"") -> None:
        """A message without text: our card, and a session we cannot read if there is one."""
        number, name = self._entropy.bytes(NUMBER_BYTES), self._people.name
        body = Body(BodyType.PROFILE, number, int(now.wall), "", name, reset=reset)
        exp_h = self._sealer.dm_end_h(fp, None, now)
        if exp_h is not None:
            self._sealer.keep(self._sealer.dm(fp, body, exp_h, now), now, [fp], bounded=False)

    def seal_waiting(self, now: Now, fp: bytes | None = None) -> None:
        """Seal what waits for a key, of one contact or of all."""
        self.content.seal_waiting(now, lambda chat: fp in (None, chat[1:]) and self._can_send(chat))
        self.groups.seal_waiting(now, fp)
        for message in self._store.pending():
            if not message.eid and message.reason != "ended" and fp in (None, message.chat[1:]):
                if not self._can_send(message.chat) or _is_over(message, now):
                    continue
                try:
                    eid = self._seal(message, now)
                except UsageError as error:
                    if error.reason == "outbox_full" and not self._files.is_ours(message.id):
                        return  # the rest waits
                    continue
                if eid:
                    self._store.add_step(message.id, Step(now.wall, "sealed"))
                    changed = self._store.change_message(message.id, eid=eid, reason="")
                    vanish_at = self.keeping.begins_sealed(changed, now)
                    if vanish_at and not changed.vanish_at:
                        changed = self._store.change_message(message.id, vanish_at=vanish_at)
                        self.keeping.plan(now)
                    self._tell(MessageChanged(changed))
                elif message.reason != "no_key":
                    self._store.change_message(message.id, reason="no_key")

    def _can_send(self, chat: ChatId) -> bool:
        if chat[:1] == b"c":
            return self._people.is_friend(chat[1:])
        if chat[:1] == b"g":
            return self.groups.is_member(chat[1:])
        return chat[1:] in self._rooms

    def _seal_anew(self, chat: ChatId, now: Now) -> None:
        """The members of a group are others: what nobody has yet is sealed for them."""
        for message in self._store.pending():
            if message.chat != chat or message.reason == "ended":
                continue
            if not self._can_send(chat):
                self._fail(message, NOT_MEMBER, now)
            elif message.eid and message.state is State.QUEUED and not message.carriers:
                self._custody.drop(message.eid, Fate.EVICTED)
                self._store.change_message(message.id, eid=b"")
        self.seal_waiting(now, chat[1:])

    # --- rooms --------------------------------------------------------------------------------

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
            self.keys_changed()
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

    # --- opening ------------------------------------------------------------------------------

    def keys_changed(self) -> None:
        """A contact, card or room is new: what we carry may open now."""
        self._inbox.refresh()
        self._custody.retry_all()
        self._files.refresh()

    def _room_secrets(self, day: int) -> Iterator[tuple[bytes, Opener]]:
        for room in self._rooms.values():
            for back in range(-1, ROOM_DAYS_BACK + 1):
                yield room_secret(room.key, day - back), partial(self._open_room, room)

    @property
    def sought(self) -> dict[bytes, None]:
        """Envelopes that files for us lack; another object whenever there may be more."""
        return self._files.sought

    def expects(self, eid: bytes) -> bool:
        """Whether this envelope is known to be for us before it is opened: a chunk of a file."""
        return self._files.wants(eid)

    def open(self, held: Held, now: Now) -> list[Receipt]:
        """Try an envelope with all our keys and act on what is inside, held by us or not.

        Returns the receipts to release when something for us was stored. Content that opens but
        is malformed raises ``ProtocolError`` after the envelope was marked as checked.
        """
        if self._files.wants(held.eid):
            receipts = self._files.take(held, now)
            if receipts is not None:
                # Not pinned: what it held is kept aside, and it leaves with its proof.
                self._custody.tried(held, Kind.CARRIED)
                return receipts
        try:
            return self._inbox.open(held, now)
        finally:
            while self._inbox.news:
                self._act(*self._inbox.news.pop(0), now)

    def _act(self, news: News, contact: Contact, sid: bytes, now: Now) -> None:
        """On what an envelope told besides its text."""
        fp = contact.fp
        if news is News.BROKEN:
            self._broken[fp] = sid, now.wall
        elif news is News.RESTORED:
            self._broken.pop(fp, None)
        else:  # with a new card: what we told them may have been for a key they lost too
            sid = self._still_broken(fp)
        if sid:
            self._tell_quietly(fp, now, sid)
        soon = now.mono < self._seal_again_at.get(fp, now.mono)
        if sid or news is News.RESTORED:  # we may be who was put back: then ours is lost as well
            self._unseal(fp)
            if not soon:
                self._seal_again_at[fp] = now.mono + SEAL_AGAIN_GAP_S
        if not soon:  # else housekeeping does it
            self.seal_waiting(now, fp)

    def _still_broken(self, fp: bytes) -> bytes:
        """The session we cannot read, if nothing came by another since that was found."""
        sid, since = self._broken.get(fp, (b"", 0.0))
        known = self._store.sessions(fp) if sid else ()
        if any(each.heard_at > since for each in known):
            del self._broken[fp]
            return b""
        return sid

    def _unseal(self, fp: bytes) -> None:
        """What is on its way to somebody cannot be read there: it has to be sealed again."""
        self.content.unseal(contact_chat(fp))
        self.groups.unseal(fp)
        for message in self._store.pending():
            if message.chat == contact_chat(fp) and message.eid:
                self._custody.drop(message.eid, Fate.EVICTED)
                changed = self._store.change_message(
                    message.id, eid=b"", state=State.QUEUED, carriers=0
                )
                self._tell(MessageChanged(changed))

    def accepted(self, fp: bytes, now: Now) -> list[Receipt]:
        """A stranger became a contact: the receipts for what made them a request."""
        return self._receipts.settle(fp, now)

    def _introduction(self, letter: Letter, now: Now) -> list[Receipt]:
        """A friend gives us a third person's card."""
        third, name = Card.decode(letter.body.card), Clean.line(letter.body.name)
        receipts: list[Receipt] = []
        if self._people.introduced(third, name, letter.contact, now) is not None:
            self.keys_changed()
            receipts = self.accepted(third.fp, now)  # they may have written as a stranger
        return receipts + self._text(letter, now, Clean(f'[introduces "{name}"]'))

    def _revocation(self, letter: Letter, now: Now) -> list[Receipt]:
        """A friend asks us to keep their revocation."""
        self.revocations.keep(letter.contact.fp, letter.body.raw)
        return self._text(letter, now, Clean("[my revocation, for you to keep]"))

    def _text(self, letter: Letter, now: Now, text: Clean | None = None) -> list[Receipt]:
        author, body = letter.contact.fp, letter.body
        self._check_request(letter.contact)
        shown = Clean(body.text) if text is None else text
        self._store_incoming(contact_chat(author), author, NO_TEXT, shown, body, letter.exp_h, now)
        return self._receipts.give(author, letter.token, letter.exp_h, now)

    def _file(self, letter: Letter, now: Now) -> list[Receipt]:
        author, body = letter.contact.fp, letter.body
        assert body.file is not None, "a file message has a manifest"
        self._check_request(letter.contact)
        mid, text = message_id(author, body.number), file_text(body.file.name, body.file.size)
        self._files.check_room(mid, author)
        self._store_incoming(contact_chat(author), author, NO_TEXT, text, body, letter.exp_h, now)
        return self._files.offered(mid, author, body.file, letter.token, letter.exp_h, now)

    def _done_to_message(self, letter: Letter, now: Now) -> list[Receipt]:
        author = letter.contact.fp
        self.content.take(contact_chat(author), author, letter.body, now)
        return self._receipts.give(author, letter.token, letter.exp_h, now)

    def _read(self, letter: Letter, now: Now) -> list[Receipt]:
        author = letter.contact.fp
        for message in self._readings.take(contact_chat(author), letter.body, now):
            self._under_way.discard(message.eid)
            self.keeping.way_ended(message, now)
        return self._receipts.give(author, letter.token, letter.exp_h, now)

    def _timer(self, letter: Letter, now: Now) -> list[Receipt]:
        author, body, chat = letter.contact.fp, letter.body, contact_chat(letter.contact.fp)
        assert body.timer_s is not None, "a timer says how long"
        text = timer_text(body.timer_s)
        self._store_incoming(chat, author, NO_TEXT, text, body, letter.exp_h, now)
        self.keeping.set_timer(chat, body.timer_s, body.sent, body.number, now)
        return self._receipts.give(author, letter.token, letter.exp_h, now)

    def _check_request(self, contact: Contact) -> None:
        """Raises ``QuotaError`` if a stranger has written enough."""
        sizes = self._store.message_sizes(contact_chat(contact.fp)) if contact.request else ()
        if len(sizes) >= REQUEST_MESSAGES_MAX:
            raise QuotaError("request_messages")

    def _open_room(self, room: Room, opened: Opened, held: Held, now: Now) -> Kind:
        kind = Kind.MINE if room.private else Kind.CARRIED
        author, seq, sent, raw = open_room_post(opened.inner, room.rid, opened.header.e)
        body = decode_body(raw)
        if body.type is BodyType.HIDE:
            order = (sent << 32 | seq) - (1 << 63)  # as large as a store takes: 8 bytes and a sign
            self.moderation.heard(room.rid, author, body.raw, order)
        if self.moderation.is_blocked(room.rid, author):
            return kind
        if author == sign_public(self._sealer.author_seed(room.rid)):
            return kind
        if body.type in ACTS:
            self.content.take(room_chat(room.rid), author, body, now)
        if body.type is not BodyType.TEXT:
            return kind
        self._store_incoming(
            room_chat(room.rid),
            author,
            Clean.line(body.name),
            Clean(body.text),
            replace(body, sent=sent),
            held.exp_h,
            now,
        )
        return kind

    def _heard_in_group(self, heard: Heard, now: Now) -> None:
        if heard.body.type in ACTS:
            self.content.take(heard.chat, heard.author, heard.body, now)
        if heard.body.type is BodyType.TEXT:
            self._store_incoming(
                heard.chat,
                heard.author,
                heard.name,
                Clean(heard.body.text),
                heard.body,
                heard.exp_h,
                now,
                mid=heard.id,
                reason=heard.reason,
            )

    def _store_incoming(
        self,
        chat: ChatId,
        author: bytes,
        author_name: Clean,
        text: Clean,
        body: Body,
        exp_h: int,
        now: Now,
        *,
        mid: bytes = b"",
        reason: str = "",
    ) -> None:
        message = Message(
            id=mid or message_id(author, body.number),
            chat=chat,
            author=author,
            author_name=author_name,
            outgoing=False,
            text=text,
            sent_at=float(body.sent),
            received_at=now.wall,
            state=State.RECEIVED,
            expires_at=float(exp_h * HOUR_S),
            reason=OPEN if body.file else reason,
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
                self.keeping.gone(chat, self._store.trim(chat, ROOM_KEPT_MAX))
            self._tell(MessageAdded(self.content.arrived(stored, now)))

    # --- what becomes of ours -----------------------------------------------------------------

    def handed(self, eids: Iterable[bytes], where: str, now: Now) -> None:
        """A neighbour has committed these to its own store."""
        for eid in eids:
            if self._files.is_chunk(eid):
                self._chunk_handed(eid, where, now)
                continue
            message = self._store.message_by_envelope(eid) if eid in self._under_way else None
            if message is not None:
                self._move(message, message.carriers + 1, where, now)

    def _chunk_handed(self, eid: bytes, where: str, now: Now) -> None:
        mid = self._files.handed(eid)
        message = self._store.message(mid) if mid else None
        if message is not None and message.carriers:
            self._move(message, message.carriers, where, now)

    def _move(self, message: Message, carriers: int, where: str, now: Now) -> None:
        """It is carried once somebody else has it, or all of its parts somebody."""
        if message.state in (State.QUEUED, State.CARRIED):
            state = State.CARRIED if self._files.all_out(message.id) else message.state
            changed = self._store.change_message(message.id, state=state, carriers=carriers)
            self._store.add_step(message.id, Step(now.wall, "handed", where))
            self._tell(MessageChanged(changed))

    def seen_elsewhere(self, eids: set[bytes], where: str, now: Now) -> None:
        """A neighbour offers these: what we thought nobody had yet is carried after all.

        Its confirmation was lost, or it has the copy from somebody whose was. Whatever was
        confirmed before is not counted twice.
        """
        for message in self._store.pending():
            if message.state is State.QUEUED and not message.carriers and message.eid in eids:
                self.handed([message.eid], where, now)
        self.handed(self._files.alone(eids), where, now)

    def delivered(self, eid: bytes, now: Now) -> bool:
        """The proof for an envelope reached us. True if it was one of ours."""
        if self._files.is_chunk(eid):
            self._chunk_handed(eid, "", now)
            return True
        if self.groups.delivered(eid):
            return True
        message = self._store.message_by_envelope(eid)
        if message is None or not message.outgoing:
            known = eid in self._under_way  # of what is gone from here since
            self._under_way.discard(eid)
            return self.content.delivered(eid, now) or known
        self._under_way.discard(eid)
        if message.state not in (State.DELIVERED, State.READ):
            state = State.READ if message.read_at else State.DELIVERED
            changed = self._store.change_message(
                message.id, state=state, delivered_at=now.wall, reason=""
            )
            self._store.add_step(message.id, Step(now.wall, "delivered"))
            self._files.close(message.id, Fate.PROVEN)
            self.keeping.way_ended(changed, now)
            self._tell(MessageChanged(changed))
        return True

    def ended(self, eids: Iterable[bytes], now: Now) -> None:
        """Envelopes of ours expired, and with them every copy: nobody carries these any more.

        A DM is queued again, to be sealed anew while it has life; a post that went out has had
        its time.
        """
        eids = list(eids)
        for fp, since in self.groups.ended(eids):
            self._sessions.doubt(fp, since)
        for eid in eids:
            if self.content.ended(eid):
                continue
            message = self._store.message_by_envelope(eid)
            if message is None or message.state not in (State.QUEUED, State.CARRIED):
                continue
            if message.chat[:1] == b"c":
                self._sessions.doubt(message.chat[1:], message.received_at)
            if message.chat[:1] != b"c" and message.state is State.CARRIED:
                changed = self._store.change_message(message.id, eid=b"", reason="ended")
            else:
                changed = self._store.change_message(
                    message.id, eid=b"", state=State.QUEUED, carriers=0
                )
                self._store.add_step(message.id, Step(now.wall, "expired"))
            self._tell(MessageChanged(changed))

    def give_up(self, now: Now) -> None:
        """Messages whose time is over have failed; nothing stays *queued* for ever."""
        self._sessions.house(now)
        self._files.give_up(now)
        self.content.give_up(now)
        self.groups.house(now)
        for message in self._store.pending():
            if message.expires_at < CLOCK_FLOOR_S:  # written before the clock was set
                self._store.change_message(message.id, expires_at=end_of(message.life_s, now))
            elif message.expires_at <= now.wall and message.reason != "ended":
                self._fail(message, "expired", now)

    def key_replaced(self, fp: bytes, now: Now, reason: str = "key_changed") -> None:
        """What waits for a frozen key is not sent again, and not carried on by us.

        What it writes is still read, unless it was revoked.
        """
        self.content.drop_chat(contact_chat(fp))
        if reason == "revoked":
            self._sessions.forget(fp)
        else:
            self._sessions.close_all(fp)
        for message in self._store.pending():
            if message.chat == contact_chat(fp):
                if message.eid:
                    self._custody.drop(message.eid, Fate.EVICTED)
                self._fail(message, reason, now)

    def _fail(self, message: Message, reason: str, now: Now) -> None:
        changed = self._store.change_message(message.id, state=State.FAILED, reason=reason)
        self._store.add_step(message.id, Step(now.wall, "failed", reason))
        self._files.close(message.id, Fate.EVICTED)
        self.keeping.way_ended(changed, now)
        self._tell(MessageChanged(changed))

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
        due = (self._readings.next_wakeup(), self.keeping.next_wakeup())
        return min((at for at in due if at is not None), default=None)
