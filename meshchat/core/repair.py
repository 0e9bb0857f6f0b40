"""Repairing sessions that came apart: one side was restored from a backup and cannot read on.

Whoever notices says so by a silent message with the id of the session, and both seal anew what
the other cannot have read.
"""

from meshchat.core.announces import Announces
from meshchat.core.inbox import News
from meshchat.core.limits import SEAL_AGAIN_GAP_S
from meshchat.core.model import Contact, Now
from meshchat.core.outbox import Outbox
from meshchat.core.ports.people import PeopleStore


class Repair:
    """Acts on what the inbox noticed, for one node."""

    def __init__(self, store: PeopleStore, announces: Announces, outbox: Outbox) -> None:
        self._store = store
        self._announces = announces
        self._outbox = outbox
        self._broken: dict[bytes, tuple[bytes, float]] = {}  # contact -> session, since when
        self._seal_again_at: dict[bytes, float] = {}  # contact -> monotonic time

    def heard(self, news: News, contact: Contact, sid: bytes, now: Now) -> None:
        """Act on what an envelope told besides its text; ``sid`` is that of a broken session."""
        fp = contact.fp
        if news is News.BROKEN:
            self._broken[fp] = sid, now.wall
        elif news is News.RESTORED:
            self._broken.pop(fp, None)
        else:  # with a new card: what we told them may have been for a key they lost too
            sid = self._still_broken(fp)
        if sid:
            self._announces.tell(fp, now, sid)
        soon = now.mono < self._seal_again_at.get(fp, now.mono)
        if sid or news is News.RESTORED:  # we may be who was put back: then ours is lost as well
            self._outbox.unseal(fp)
            if not soon:
                self._seal_again_at[fp] = now.mono + SEAL_AGAIN_GAP_S
        if not soon:  # else housekeeping does it
            self._outbox.seal_waiting(now, fp)

    def _still_broken(self, fp: bytes) -> bytes:
        """The session we cannot read, if nothing came by another since that was found."""
        sid, since = self._broken.get(fp, (b"", 0.0))
        known = self._store.sessions(fp) if sid else ()
        if any(each.heard_at > since for each in known):
            del self._broken[fp]
            return b""
        return sid
