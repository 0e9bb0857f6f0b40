"""The outbox: messages of ours from being written until their way has ended, and their true state.

What is done to messages has a way of its own (``content``), and so have the control messages of
groups (``group_mail``); what becomes of an envelope of ours is told here, and passed on to them.
"""

from collections.abc import Callable, Iterable

from msgspec.structs import replace

from meshchat.core.addressing import Addressing
from meshchat.core.body import NUMBER_BYTES, Body, BodyType, message_id
from meshchat.core.contacts import People
from meshchat.core.content import Content
from meshchat.core.custody import HOUR_S, Custody
from meshchat.core.events import MessageAdded, MessageChanged, Tell
from meshchat.core.files import Files
from meshchat.core.group_talk import NOT_MEMBER
from meshchat.core.groups import Groups
from meshchat.core.identity import NAME_MAX_BYTES
from meshchat.core.keeping import Keeping
from meshchat.core.limits import CLOCK_FLOOR_S, EXPIRY_AHEAD_MAX_H
from meshchat.core.model import (
    NO_TEXT,
    NOTE_INTRODUCTION,
    NOTE_TIMER,
    ChatId,
    Fate,
    Message,
    Now,
    State,
    Step,
    contact_chat,
)
from meshchat.core.ports import Entropy, Store
from meshchat.core.revocations import make_notice
from meshchat.core.sealer import end_of
from meshchat.core.sessions import Sessions
from meshchat.errors import UsageError
from meshchat.text import Clean


class Outbox:
    """What one node wrote."""

    def __init__(
        self,
        store: Store,
        entropy: Entropy,
        people: People,
        custody: Custody,
        sessions: Sessions,
        files: Files,
        groups: Groups,
        addressing: Addressing,
        content: Content,
        keeping: Keeping,
        tell: Callable[[Tell], None],
    ) -> None:
        self._store = store
        self._entropy = entropy
        self._people = people
        self._custody = custody
        self._sessions = sessions
        self._files = files
        self._groups = groups
        self._addressing = addressing
        self._content = content
        self._keeping = keeping
        self._tell = tell

    # --- writing ------------------------------------------------------------------------------

    def draft(
        self,
        chat: ChatId,
        text: Clean,
        now: Now,
        *,
        about: bytes = b"",
        life_s: float = 0.0,
        note: str = "",
    ) -> Message:
        """A new message, not stored yet. Raises ``UsageError`` if we cannot write there."""
        author = self._addressing.author(chat)
        number = self._entropy.bytes(NUMBER_BYTES)
        signer = self._groups.book.own_key(chat[1:]) if chat[:1] == b"g" else author
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

    def write(self, message: Message, now: Now) -> Message:
        """Seal a new message, if we have a key for it, and store it: one row, written once."""
        eid = self.seal(message, now)
        reason = "" if eid else "no_key"
        vanish_at = self._keeping.begins_sealed(message, now) if eid else 0.0
        stored = self._store.add_message(
            replace(message, eid=eid, reason=reason, vanish_at=vanish_at)
        )
        assert stored is not None, "a fresh random number cannot be known"
        steps = [Step(now.wall, "written"), Step(now.wall, "sealed")]
        self._store.add_step(message.id, *steps[: 1 + bool(eid)])
        if vanish_at:
            self._keeping.plan(now)
        self._tell(MessageAdded(stored))
        return stored

    def seal(self, message: Message, now: Now) -> bytes:
        """Seal a message into an envelope; its id, or empty if we have no key for it."""
        about = message.about
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
        return self._addressing.seal(message.chat, body, now, message)

    # --- sealing what waits --------------------------------------------------------------------

    def seal_waiting(self, now: Now, fp: bytes | None = None) -> None:
        """Seal what waits for a key, of one contact or of all."""
        self._content.seal_waiting(now, fp)
        self._groups.mail.seal_waiting(now, fp)
        for message in self._store.pending():
            if not message.eid and message.reason != "ended" and fp in (None, message.chat[1:]):
                if not self._addressing.can_send(message.chat) or _is_over(message, now):
                    continue
                try:
                    eid = self.seal(message, now)
                except UsageError as error:
                    if error.reason == "outbox_full" and not self._files.is_ours(message.id):
                        return  # the rest waits
                    continue
                if eid:
                    self._store.add_step(message.id, Step(now.wall, "sealed"))
                    changed = self._store.change_message(message.id, eid=eid, reason="")
                    vanish_at = self._keeping.begins_sealed(changed, now)
                    if vanish_at and not changed.vanish_at:
                        changed = self._store.change_message(message.id, vanish_at=vanish_at)
                        self._keeping.plan(now)
                    self._tell(MessageChanged(changed))
                elif message.reason != "no_key":
                    self._store.change_message(message.id, reason="no_key")

    def seal_anew(self, chat: ChatId, now: Now) -> None:
        """The members of a group are others: what nobody has yet is sealed for them."""
        for message in self._store.pending():
            if message.chat != chat or message.reason == "ended":
                continue
            if not self._addressing.can_send(chat):
                self._fail(message, NOT_MEMBER, now)
            elif message.eid and message.state is State.QUEUED and not message.carriers:
                self._custody.drop(message.eid, Fate.EVICTED)
                self._store.change_message(message.id, eid=b"")
        self.seal_waiting(now, chat[1:])

    def unseal(self, fp: bytes) -> None:
        """What is on its way to somebody cannot be read there: it has to be sealed again."""
        self._content.unseal(contact_chat(fp))
        self._groups.unseal(fp)
        for message in self._store.pending():
            if message.chat == contact_chat(fp) and message.eid:
                self._custody.drop(message.eid, Fate.EVICTED)
                changed = self._store.change_message(
                    message.id, eid=b"", state=State.QUEUED, carriers=0
                )
                self._tell(MessageChanged(changed))

    # --- their way ----------------------------------------------------------------------------

    def read(self, message: Message, now: Now) -> None:
        """The receipt of its reader ended the way of this one."""
        self._addressing.under_way.discard(message.eid)
        self._keeping.way_ended(message, now)

    def delete(self, mid: bytes, now: Now) -> None:
        """Destroy a message here, ours or of others."""
        self._addressing.under_way.discard(self._content.need(mid).eid)
        self._keeping.delete(mid, now)

    def handed(self, eids: Iterable[bytes], where: str, now: Now) -> None:
        """A neighbour has committed these to its own store."""
        for eid in eids:
            if self._files.is_chunk(eid):
                self._chunk_handed(eid, where, now)
                continue
            if eid not in self._addressing.under_way:
                continue
            message = self._store.message_by_envelope(eid)
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
            changed = self._store.change_message(
                message.id, state=state, carriers=carriers, was=message
            )
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
        if self._groups.mail.delivered(eid):
            return True
        message = self._store.message_by_envelope(eid)
        if message is None or not message.outgoing:
            known = eid in self._addressing.under_way  # of what is gone from here since
            self._addressing.under_way.discard(eid)
            return self._content.delivered(eid, now) or known
        self._addressing.under_way.discard(eid)
        if message.state not in (State.DELIVERED, State.READ):
            state = State.READ if message.read_at else State.DELIVERED
            changed = self._store.change_message(
                message.id, state=state, delivered_at=now.wall, reason="", was=message
            )
            self._store.add_step(message.id, Step(now.wall, "delivered"))
            self._files.close(message.id, Fate.PROVEN)
            self._keeping.way_ended(changed, now)
            self._tell(MessageChanged(changed))
        return True

    def ended(self, eids: Iterable[bytes], now: Now) -> None:
        """Envelopes of ours expired, and with them every copy: nobody carries these any more.

        A DM is queued again, to be sealed anew while it has life; a post that went out has had
        its time.
        """
        eids = list(eids)
        for fp, since in self._groups.ended(eids):
            self._sessions.doubt(fp, since)
        for eid in eids:
            if self._content.ended(eid):
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
        for message in self._store.pending():
            if message.expires_at < CLOCK_FLOOR_S:  # written before the clock was set
                self._store.change_message(message.id, expires_at=end_of(message.life_s, now))
            elif message.expires_at <= now.wall and message.reason != "ended":
                self._fail(message, "expired", now)
            elif message.eid and _is_too_far(message, now):
                self._custody.drop(message.eid, Fate.EVICTED)
                ends_at = end_of(message.life_s, now)
                self._store.change_message(message.id, eid=b"", expires_at=ends_at)

    def key_replaced(self, fp: bytes, now: Now, reason: str = "key_changed") -> None:
        """What waits for a frozen key is not sent again, and not carried on by us.

        What it writes is still read, unless it was revoked.
        """
        self._content.drop_chat(contact_chat(fp))
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
        self._keeping.way_ended(changed, now)
        self._tell(MessageChanged(changed))


def _fitting(name: str) -> str:
    """As much of a name of ours as a body takes."""
    return name.encode()[:NAME_MAX_BYTES].decode("utf-8", "ignore")


def _is_too_far(message: Message, now: Now) -> bool:
    """Whether it was sealed while our clock was ahead, so that nobody takes the envelope.

    One to a contact ends with their prekey, whatever the clock said.
    """
    alone = message.chat[:1] != b"c" and message.state is State.QUEUED and not message.carriers
    return alone and message.expires_at > now.wall + EXPIRY_AHEAD_MAX_H * HOUR_S


def _is_over(message: Message, now: Now) -> bool:
    """Whether the end its author chose has come."""
    return bool(message.life_s) and message.expires_at <= now.wall
