"""Sessions: which Double Ratchet a direct message is sealed with, and what is kept of each.

Two people may have several sessions, because both may start at once and because one of them may
have lost the other: all of them open mail, one of them seals. Nothing is cached, so a command
that is undone and a crash leave ratchet and envelope as they belong together.
"""

from typing import NamedTuple

from msgspec.structs import replace

from meshchat.core import crypto
from meshchat.core.contacts import People
from meshchat.core.identity import Card
from meshchat.core.limits import (
    SESSION_KEPT_S,
    SESSIONS_PER_CONTACT_MAX,
    SESSIONS_PER_STRANGER_MAX,
    SKIPPED_KEPT_MAX,
    SKIPPED_KEPT_S,
)
from meshchat.core.model import Now, Prekey, Session
from meshchat.core.ports import Entropy
from meshchat.core.ports.people import PeopleStore
from meshchat.core.ratchet import CHAIN_MAX, HEADER_BYTES, SKIP_MAX, Header, Ratchet, Skipped, mixed
from meshchat.core.sealed import (
    InnerKind,
    agree_to_read,
    agree_to_write,
    first_dm,
    kind_of,
    next_dm,
    read_first_dm,
    read_next_dm,
)
from meshchat.errors import AuthError

PAST_KEY_BYTES = 8  # of a ratchet key: enough to know it again
PAST_KEYS_MAX = 32  # an envelope that is tried again is no sign of trouble


class Opening(NamedTuple):
    """A message that opened. Nothing is kept of it before ``Sessions.keep``."""

    fp: bytes
    """Its author."""
    card: Card | None
    """The card it brought, if it is one that starts a session."""
    body: bytes
    session: Session
    """The session as it is after this message."""
    skipped: list[Skipped]
    used: Skipped | None
    """The key it opened with, if that was kept aside."""
    is_new: bool
    """The session is not stored yet."""


class Unreadable(AuthError):
    """A message of a session we have, which does not open: the two sides have come apart."""

    def __init__(self, session: Session, reason: str = "session_broken") -> None:
        super().__init__(reason)
        self.session = session


class Sessions:
    """The sessions of one identity."""

    def __init__(self, store: PeopleStore, entropy: Entropy, people: People) -> None:
        self._store = store
        self._entropy = entropy
        self._people = people

    # --- writing ------------------------------------------------------------------------------

    def current(self, fp: bytes, now: Now) -> Session:
        """The session to write to a contact with; a new one is not stored yet.

        Of those both sides have, the one they used last: it is the one they have not lost.
        """
        card = self._people.card_of(fp)
        best: Session | None = None
        for session in self._store.sessions(fp):
            ratchet = Ratchet.decode(session.ratchet)
            if session.closed or not ratchet.sending or ratchet.sent >= CHAIN_MAX:
                continue
            # The reader starts from the prekey the envelope is sealed to: it has to be the same.
            if session.ek and ratchet.theirs != card.prekey:
                continue
            if best is None or _rank(session) < _rank(best):
                best = session
        return best or self._start(card, now)

    def _start(self, card: Card, now: Now) -> Session:
        """Draws 32 bytes for EK, then 32 for the ratchet key."""
        identity = self._people.identity
        ek_secret, ek = crypto.x25519_keypair(self._entropy.bytes(32))
        root, sid = agree_to_write(identity, ek_secret, ek, card)
        ratchet = Ratchet.start(root, card.prekey, self._entropy.bytes(32))
        return Session(sid, card.fp, ratchet.encode(), ek, b"", False, now.wall)

    def is_first(self, session: Session) -> bool:
        """Whether a message of it starts the session for its reader, and brings our card."""
        return bool(session.ek)

    def seal(self, session: Session, e: bytes, body: bytes, told_h: int) -> bytes:
        """The inner of an envelope; the session as it is after it is stored.

        Args:
            session: From ``current``.
            e: The envelope's one-use key.
            body: Encoded.
            told_h: ``exp_h`` of our card, if the message tells it; else 0.
        """
        ends = self._people.identity.fp + session.fp
        before = Ratchet.decode(session.ratchet)
        ratchet, message = before.seal(session.sid, e, ends, body)
        if session.ek and not before.sent:
            self._make_room(session.fp)
        told = max(session.told_h, told_h)
        self._store.save_session(replace(session, ratchet=ratchet.encode(), told_h=told))
        if session.ek:
            return first_dm(self._people.card, session.ek, message)
        return next_dm(message)

    # --- reading ------------------------------------------------------------------------------

    def open(self, inner: bytes, prekey: Prekey, e: bytes, now: Now) -> Opening:
        """Read a message, on a copy of its session.

        Args:
            inner: As it came out of the envelope.
            prekey: The one of ours the envelope was sealed to.
            e: The envelope's one-use key.
            now: Both clocks.

        Raises:
            WireError: It is no direct message.
            AuthError: It is not from whom it says, not for us, not of this envelope, of no
                session we have, or was opened before.
            QuotaError: ``dm_too_far_ahead``.
            Unreadable: We have the session, and it does not fit.
        """
        if kind_of(inner) is InnerKind.FIRST_DM:
            card, ek, message = read_first_dm(inner)
            header = Header.decode(message)
            session = self._store.session(header.sid)
            is_new = session is None
            if session is None:
                session = self._answered(prekey, card, ek, header, now)
            elif session.fp != card.fp:
                raise AuthError("session_owner")
            return self._open(session, card, header, message, e, now, is_new)
        message = read_next_dm(inner)
        header = Header.decode(message)
        session = self._store.session(header.sid)
        if session is None:
            raise AuthError("session_unknown")
        return self._open(session, None, header, message, e, now)

    def _answered(self, prekey: Prekey, card: Card, ek: bytes, header: Header, now: Now) -> Session:
        identity = self._people.identity
        if card.fp == identity.fp:
            raise AuthError("own_card")
        root, sid = agree_to_read(identity, prekey, card, ek)
        if not crypto.equal(sid, header.sid):
            raise AuthError("session_id")
        ratchet = Ratchet.answer(root, prekey.secret, prekey.public)
        return Session(sid, card.fp, ratchet.encode(), b"", b"", False, now.wall)

    def _open(
        self,
        session: Session,
        card: Card | None,
        header: Header,
        message: bytes,
        e: bytes,
        now: Now,
        is_new: bool = False,
    ) -> Opening:
        ratchet = Ratchet.decode(session.ratchet)
        ends = session.fp + self._people.identity.fp
        ad, sealed = ends + message[:HEADER_BYTES] + e, message[HEADER_BYTES:]
        kept = None
        if header.key != ratchet.theirs or header.number < ratchet.received:
            kept = self._store.skipped(session.sid, header.key, header.number)
        if kept is not None:
            body = crypto.aead_open(mixed(kept, e), sealed, ad)
            used = Skipped(header.key, header.number, kept)
            heard = replace(session, heard_at=now.wall)
            return Opening(session.fp, card, body, heard, [], used, is_new)
        past, newest = session.past, header.key[:PAST_KEY_BYTES]
        if header.key != ratchet.theirs:
            seen = range(0, len(past), PAST_KEY_BYTES)
            if any(past[at : at + PAST_KEY_BYTES] == newest for at in seen):
                raise _again(session, card)
            if ratchet.theirs:
                past = ratchet.theirs[:PAST_KEY_BYTES] + past
                past = past[: PAST_KEYS_MAX * PAST_KEY_BYTES]
        elif ratchet.receiving and header.number < ratchet.received:
            raise _again(session, card)
        fresh = b"" if header.key == ratchet.theirs else self._entropy.bytes(32)
        after, skipped, message_key = ratchet.open(header, fresh)
        try:
            body = crypto.aead_open(mixed(message_key, e), sealed, ad)
        except AuthError:
            # Nothing of it ever fitted, or an old envelope came again: a first message is of the
            # first chain, and we have that.
            if not session.heard_at or card is not None:
                raise
            raise Unreadable(session) from None
        # Whoever answered has the session: it needs no more first messages.
        ek = session.ek if header.key == ratchet.theirs else b""
        heard = replace(session, ratchet=after.encode(), ek=ek, past=past, heard_at=now.wall)
        return Opening(session.fp, card, body, heard, skipped, None, is_new)

    def keep(self, opening: Opening, now: Now, *, stranger: bool = False) -> None:
        """Its message counts: keys that are used up are destroyed, the session moves on.

        Strangers were not answered yet, so each message of theirs opens by itself: little is kept.
        """
        session = opening.session
        if opening.is_new:
            most = SESSIONS_PER_STRANGER_MAX if stranger else SESSIONS_PER_CONTACT_MAX
            self._make_room(session.fp, most)
        self._store.save_session(session)
        if opening.used is not None:
            self._store.drop_skipped(session.sid, opening.used.key, opening.used.number)
        if opening.skipped:
            self._store.add_skipped(session.sid, opening.skipped, now.wall + SKIPPED_KEPT_S)
            self._store.trim_skipped(session.sid, SKIP_MAX if stranger else SKIPPED_KEPT_MAX)

    def _make_room(self, fp: bytes, most: int = SESSIONS_PER_CONTACT_MAX) -> None:
        """For one more session with somebody: the one that was idle for longest goes."""
        known = self._store.sessions(fp)
        if len(known) >= most:
            oldest = min(known, key=lambda each: (not each.closed, _used_at(each), each.sid))
            self._store.drop_session(oldest.sid)

    # --- endings ------------------------------------------------------------------------------

    def close(self, session: Session) -> None:
        """Nothing is written with it any more; what is on its way still opens."""
        if not session.closed:
            self._store.save_session(replace(session, closed=True))

    def close_all(self, fp: bytes) -> None:
        """The other side has lost them: it was restored."""
        for session in self._store.sessions(fp):
            self.close(session)

    def doubt(self, fp: bytes, since: float) -> None:
        """A message written at ``since`` ended unproven: write with no session silent since."""
        for session in self._store.sessions(fp):
            if session.heard_at < since:
                self.close(session)

    def own(self, fp: bytes, sid: bytes) -> Session | None:
        """The session with this id, if it is one with this contact."""
        session = self._store.session(sid)
        return session if session is not None and session.fp == fp else None

    def forget(self, fp: bytes) -> None:
        """Destroy every session with somebody, and the keys kept of them."""
        for session in self._store.sessions(fp):
            self._store.drop_session(session.sid)

    def house(self, now: Now) -> None:
        """Destroy keys whose messages will not come, and sessions nobody uses."""
        self._store.expire_sessions(now.wall, now.wall - SESSION_KEPT_S)


def _again(session: Session, card: Card | None) -> AuthError:
    """For a place of a session that is used up.

    An envelope that was held is tried once more only if it was no friend's, and then it is a first
    message. So anything else is from somebody who was put back and does not know: they have to.
    """
    return Unreadable(session, "replay") if card is None else AuthError("replay")


def _used_at(session: Session) -> float:
    return session.heard_at or session.made_at


def _rank(session: Session) -> tuple[bool, float, bytes]:
    """The least of these is written with."""
    return bool(session.ek), -_used_at(session), session.sid
