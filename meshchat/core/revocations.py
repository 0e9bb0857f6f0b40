"""Revocations: a signed *do not trust my key any more*, given to friends before it is needed.

Its owner signs it while all is well and sends it to chosen contacts, who keep it. If the owner's
device is seized any of them releases it: it goes out under the owner's announce key, which
all the owner's contacts hold, and each of them freezes that person. It names nobody but its owner,
so nobody learns who released it. There is no way back, because a thief of the keys could sign
that as well. Layouts in docs/reference/wire.md, section 5.7.
"""

import struct
from collections.abc import Callable

from msgspec.structs import replace

from meshchat.core import crypto
from meshchat.core.contacts import People
from meshchat.core.identity import Card, Identity, announce_secret
from meshchat.core.limits import REVOKE_EVERY_S, REVOKE_FOR_S
from meshchat.core.model import Contact, Now, Revocation, Trust
from meshchat.core.ports.people import PeopleStore
from meshchat.core.sealed import InnerKind
from meshchat.core.sealer import Sealer
from meshchat.errors import AuthError, UsageError, WireError

_NOTICE = struct.Struct("<B32sI64s")
_VERSION = 1
_SIGNED_BYTES = 37
NOTICE_BYTES = _NOTICE.size


def make_notice(identity: Identity, at: int) -> bytes:
    """Our own revocation, 101 bytes, signed at ``at`` (seconds since 1970)."""
    unsigned = _NOTICE.pack(_VERSION, identity.fp, at, b"")[:_SIGNED_BYTES]
    return unsigned + crypto.sign(identity.sign_seed, b"mc1 revoke" + unsigned)


def check_notice(data: bytes, card: Card) -> None:
    """Whether the owner of a card revokes it.

    Raises:
        WireError: ``revocation_form``.
        AuthError: It is about somebody else, or not signed by the owner.
    """
    if len(data) != NOTICE_BYTES:
        raise WireError("revocation_form")
    version, fp, _at, signature = _NOTICE.unpack(data)
    if version != _VERSION:
        raise WireError("revocation_form")
    if fp != card.fp:
        raise AuthError("revocation_of_another")
    crypto.verify(card.sign_public, b"mc1 revoke" + data[:_SIGNED_BYTES], signature)


class Revocations:
    """What we keep for friends, and what was released."""

    def __init__(
        self,
        store: PeopleStore,
        people: People,
        sealer: Sealer,
        revoked: Callable[[Contact, Now], None],
    ) -> None:
        """``revoked`` hears of each contact that was frozen, once."""
        self._store = store
        self._people = people
        self._sealer = sealer
        self._revoked = revoked
        self._known = {kept.fp: kept for kept in store.revocations()}

    def kept(self) -> list[bytes]:
        """Fingerprints of those whose revocation we could release."""
        return [fp for fp, kept in self._known.items() if not kept.released]

    def keep(self, author: bytes, notice: bytes) -> None:
        """A friend gave us theirs; the newest stays. Raises as ``check_notice``."""
        check_notice(notice, self._people.card_of(author))
        if author not in self._known or not self._known[author].released:
            self._save(Revocation(author, notice))

    def release(self, of: bytes, now: Now) -> Contact | None:
        """Tell everybody; None if it is our own key.

        Raises:
            UsageError: ``no_revocation``, that person gave us none.
        """
        until = now.wall + REVOKE_FOR_S
        if of == self._people.identity.fp:
            notice = make_notice(self._people.identity, int(now.wall))
            self._save(Revocation(of, notice, True, now.wall, until))
            self.again(now)
            return None
        contact, kept = self._people.need(of), self._known.get(of)
        if kept is None:
            raise UsageError(
                "no_revocation", f"{contact.petname} gave you no revocation to release."
            )
        self._save(replace(kept, released=True, again_at=now.wall, until=until))
        self.again(now)
        return self._freeze(of, now)

    def heard(self, fp: bytes, notice: bytes, now: Now) -> None:
        """One was released under a contact's announce key. Raises as ``check_notice``."""
        check_notice(notice, self._people.card_of(fp))
        self._save(Revocation(fp, notice, released=True))
        self._freeze(fp, now)

    def again(self, now: Now) -> None:
        """Seal what we released once more, for those who were away longer than mail lives."""
        for kept in list(self._known.values()):
            if not kept.again_at or now.wall < kept.again_at:
                continue
            if kept.fp == self._people.identity.fp:
                secret = self._people.announce_key
            else:
                secret = announce_secret(self._people.card_of(kept.fp).announce_key)
            self._seal(secret, bytes([InnerKind.REVOKE]) + kept.notice, now)
            due = now.wall + REVOKE_EVERY_S
            self._save(replace(kept, again_at=due if due < kept.until else 0.0))

    def _seal(self, secret: bytes, inner: bytes, now: Now) -> None:
        """Nothing in it is bound to its envelope: the signature says all, whoever carries it."""
        exp_h = self._sealer.end_h(None, now)
        data = self._sealer.shared(secret, lambda _e: inner, inner, exp_h)
        # Read by nobody in particular here, and offered as late as any mail of ours: who released
        # it is not to be seen from whom it was first heard.
        self._sealer.keep(data, now, [self._people.identity.fp], bounded=False)

    def _freeze(self, fp: bytes, now: Now) -> Contact:
        contact = self._people.need(fp)
        if contact.trust is not Trust.REVOKED:
            contact = self._people.revoke(fp)
            self._revoked(contact, now)
        return contact

    def _save(self, kept: Revocation) -> None:
        self._known[kept.fp] = kept
        self._store.save_revocation(kept)
