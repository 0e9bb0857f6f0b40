"""The inbox: which envelopes are for us, who wrote what is inside, and who in here acts on it.

Recognition needs no address: chunks of files are known by their ids, for all else every shared
secret we hold is tried, then our prekeys. Each secret comes with the one who opens what is found
under it, and each type of body with the one who acts on it; whatever is malformed, or not from
whom it says, raises ``ProtocolError``.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from enum import Enum, auto
from functools import partial
from typing import NamedTuple

from meshchat.core.body import Body, BodyType, decode_body
from meshchat.core.contacts import People
from meshchat.core.custody import Custody
from meshchat.core.envelope import Opened, open_sealed
from meshchat.core.files import Files
from meshchat.core.identity import Card
from meshchat.core.limits import DAY_S, FULL_REMEMBERED_MAX
from meshchat.core.model import ChatId, Contact, Held, Kind, Now, Session, Trust
from meshchat.core.ports import Store
from meshchat.core.receipts import Receipt
from meshchat.core.sealed import InnerKind, open_announce, read_card
from meshchat.core.sessions import Sessions, Unreadable
from meshchat.errors import AuthError
from meshchat.text import Clean


class News(Enum):
    """What else an envelope may tell of its author."""

    CARD = auto()
    """Their card is newer: what waited for a key can go."""
    RESTORED = auto()
    """They lost what they could read before: what is on its way has to be sealed again."""
    BROKEN = auto()
    """We cannot read a session of theirs any more: they have to know, with its id."""


class Letter(NamedTuple):
    """A direct message that opened, proven to be from its author."""

    contact: Contact
    friend: bool
    """Whether we deal with the author: not a stranger, not blocked, key not replaced."""
    body: Body
    token: bytes
    """Proves delivery to the author; empty: not wanted."""
    exp_h: int
    """When its envelope ends, hours since 1970."""


class Heard(NamedTuple):
    """A message in a chat of whatever kind that opened, proven to be from its author."""

    chat: ChatId
    id: bytes
    """Message id, 8 bytes."""
    author: bytes
    """As in ``Message``."""
    name: Clean
    """What the author calls themselves, where our name for them does not apply."""
    body: Body
    exp_h: int
    """When its envelope ends, hours since 1970."""
    reason: str = ""
    """Why it counts for less: ``NOT_MEMBER``, or empty."""


Opener = Callable[[Opened, Held, Now], Kind]
"""Acts on what was found under a secret; says whether the envelope is one of ours (``MINE``)."""
Secrets = Callable[[int], Iterable[tuple[bytes, Opener]]]
"""The secrets of one part on a day (days since 1970), each with its opener."""
Reader = Callable[[Letter, Now], list[Receipt]]
"""Acts on a letter; returns the receipts to release."""


class Inbox:
    """Opens for one identity."""

    on_news: Callable[[News, Contact, bytes, Now], None]
    """Hears what an envelope told besides its text; of a broken session also the id."""
    on_revocation: Callable[[bytes, bytes, Now], None]
    """Hears ``(fingerprint, notice)`` of what is found under a contact's announce key."""
    on_heard: Callable[[Heard, Now], None]
    """Acts on a message of a room or group; for those who open them."""

    def __init__(
        self, store: Store, people: People, custody: Custody, sessions: Sessions, files: Files
    ) -> None:
        """The three ``on_...`` are to be set before anything is opened."""
        self._store = store
        self._people = people
        self._custody = custody
        self._sessions = sessions
        self._files = files
        self._news: list[tuple[News, Contact, bytes]] = []
        self._sources: list[Secrets] = [self._announce_secrets]
        self._readers: dict[BodyType, Reader] = {}
        self._from_strangers: set[BodyType] = set()
        self._never_refused: set[BodyType] = set()
        self._secrets: list[bytes] = []
        self._openers: list[Opener] = []
        self._day = -1
        self._passed: dict[bytes, None] = {}  # read, but there was no room: they come once more

    def add_secrets(self, source: Secrets) -> None:
        """Try these as well; asked again each day and after ``refresh``."""
        self._sources.append(source)

    def on(
        self, kind: BodyType, reader: Reader, *, strangers: bool = False, takes_all: bool = False
    ) -> None:
        """Give letters with this type of body to ``reader``.

        Args:
            kind: Of body.
            reader: Acts on them; may raise ``ProtocolError``.
            strangers: Those of strangers too.
            takes_all: It raises nothing for those of friends.
        """
        self._readers[kind] = reader
        if strangers:
            self._from_strangers.add(kind)
        if takes_all:
            self._never_refused.add(kind)

    def refresh(self) -> None:
        """Contacts, rooms or groups changed: ask for all secrets again."""
        self._day = -1

    def keys_changed(self) -> None:
        """A contact, card or room is new: what we carry may open now."""
        self.refresh()
        self._custody.retry_all()
        self._files.refresh()

    def _load(self, day: int) -> None:
        pairs = [pair for source in self._sources for pair in source(day)]
        self._secrets = [secret for secret, _ in pairs]
        self._openers = [opener for _, opener in pairs]
        self._day = day

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
            return self._try(held, now)
        finally:
            while self._news:
                self.on_news(*self._news.pop(0), now)

    def _try(self, held: Held, now: Now) -> list[Receipt]:
        day = int(now.wall // DAY_S)
        if day != self._day:
            self._load(day)
        opened = open_sealed(held.data, secrets=self._secrets, prekeys=self._people.prekeys)
        kind = Kind.CARRIED  # what anybody can send us is not pinned, nor is junk
        try:
            if opened is None:
                return []
            if opened.via_secret is not None:
                kind = self._openers[opened.via_secret](opened, held, now)
                return []
            contact, receipts = self._open_dm(held, opened, now)
            if contact is not None and self._people.is_friend(contact.fp):
                kind = Kind.MINE
            return receipts
        finally:
            if not self._custody.tried(held, kind) and kind is Kind.MINE:
                self._passed.pop(held.eid, None)
                self._passed[held.eid] = None
                if len(self._passed) > FULL_REMEMBERED_MAX:
                    del self._passed[next(iter(self._passed))]

    # --- announces ----------------------------------------------------------------------------

    def _announce_secrets(self, _day: int) -> Iterator[tuple[bytes, Opener]]:
        yield self._people.announce_key, self._open_own
        for secret, fp in self._people.announce_secrets():
            yield secret, partial(self._open_announce, fp)

    def _open_announce(self, fp: bytes, opened: Opened, _held: Held, now: Now) -> Kind:
        if opened.inner[:1] == bytes([InnerKind.REVOKE]):
            self.on_revocation(fp, opened.inner[1:], now)
            return Kind.MINE
        card, boot, raw = open_announce(opened.inner, fp, opened.header.e)
        body = decode_body(raw)
        contact = self._people.get(fp)
        if contact is not None:
            self._restored(self._learn(contact, card, body.name, now), boot, now)
        return Kind.MINE

    def _open_own(self, opened: Opened, _held: Held, now: Now) -> Kind:
        """An announce in our own name: ours come back to nobody, so a copy of us has made it."""
        if opened.inner[:1] == bytes([InnerKind.ANNOUNCE]):
            fp = self._people.identity.fp
            self._people.seen_elsewhere(open_announce(opened.inner, fp, opened.header.e)[0], now)
        return Kind.CARRIED

    def _restored(self, contact: Contact, boot: int, now: Now) -> Contact:
        """Somebody was restored from a backup: what was sealed for who they were is lost."""
        if boot > contact.boot:
            self._sessions.close_all(contact.fp)
            contact = self._people.restored(contact, boot, now)
            self._news.append((News.RESTORED, contact, b""))
        return contact

    def _learn(self, contact: Contact, card: Card | None, name: str, now: Now) -> Contact:
        """A friend's newer card: messages that waited for a key can go."""
        before = contact.card
        claimed = contact.claimed if name == contact.claimed else Clean.line(name)
        after = self._people.heard(contact, card, claimed, now)
        if after.card != before:
            self.refresh()
            self._news.append((News.CARD, after, b""))
        return after

    # --- direct messages ----------------------------------------------------------------------

    def _open_dm(
        self, held: Held, opened: Opened, now: Now
    ) -> tuple[Contact | None, list[Receipt]]:
        """``(author, receipts to release)``."""
        assert opened.prekey is not None, "no secret opened it"
        try:
            opening = self._sessions.open(opened.inner, opened.prekey, opened.header.e, now)
        except Unreadable as error:
            if held.eid not in self._passed:
                self._broken(error.session)
            raise
        body, known = decode_body(opening.body), self._people.get(opening.fp)
        if known is None and (opening.card is None or body.type not in self._from_strangers):
            return None, []
        if known is not None and (known.blocked or known.trust is Trust.REVOKED):
            return known, []
        friend = self._people.is_friend(opening.fp)
        silent = body.type is BodyType.PROFILE
        if not friend and not silent and body.type not in self._from_strangers:
            return known, []  # neither strangers nor replaced keys do more than write
        # An introduction brings name and card of somebody else.
        name, card = body.name, opening.card
        if body.type is BodyType.INTRODUCTION:
            name = ""
        elif body.card:
            card = read_card(body.card)
            if card.fp != opening.fp:
                raise AuthError("card_owner")
        if known is None:
            assert opening.card is not None, "only a first message is from a stranger"
            contact = self._people.meet(opening.card, Clean.line(name), now)
        else:
            contact = self._learn(known, card, name, now)
        if opening.card is not None:
            contact = self._restored(contact, body.boot, now)
        token = opened.token if opened.wants_proof else b""
        letter = Letter(contact, friend, body, token, held.exp_h)
        if body.reset and body.reset != opening.session.sid:
            self._reset(contact, body.reset)
        # What its reader has no room for now may be opened again later: its key has to stay.
        sure = friend and body.type in self._never_refused  # a savepoint is a tenth of a text
        with nullcontext() if sure else self._store.savepoint():
            self._sessions.keep(opening, now, stranger=contact.request)
            if opening.card is not None and body.boot < contact.boot:
                self._sessions.close(opening.session)  # written before they were restored
            reader = self._readers.get(body.type)
            return contact, reader(letter, now) if reader else []

    def _broken(self, session: Session) -> None:
        """The two sides of a session have come apart: one of them was put back. Say so once."""
        contact = self._people.get(session.fp)
        # Whom we do not deal with hears nothing; that they have to know stays to be said.
        if contact is not None and not session.closed and self._people.is_friend(session.fp):
            self._sessions.close(session)
            self._news.append((News.BROKEN, contact, session.sid))

    def _reset(self, contact: Contact, sid: bytes) -> None:
        session = self._sessions.own(contact.fp, sid)
        if session is not None and not session.closed:
            self._sessions.close(session)
            self._news.append((News.RESTORED, contact, b""))
