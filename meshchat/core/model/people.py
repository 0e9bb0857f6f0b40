"""People we know, and how far we trust their keys."""

from enum import StrEnum

from msgspec import Struct

from meshchat.core.model.messages import NO_TEXT
from meshchat.text import Clean


class Trust(StrEnum):
    """How far a contact's key has been checked. It never rises by itself."""

    UNVERIFIED = "unverified"
    INTRODUCED = "introduced"
    VERIFIED = "verified"
    CHANGED = "changed"
    """Superseded by another key under the same name: frozen, nothing is sent to it."""
    REVOKED = "revoked"
    """Its owner's signed revocation was released: frozen for good, nothing is taken from it."""


class Contact(Struct, frozen=True):
    """A person we know by key, under the name *we* gave."""

    fp: bytes
    """Identity fingerprint, 32 bytes."""
    card: bytes
    """The newest card seen, wire form (197 bytes)."""
    petname: Clean
    """Our name for them; unique among contacts, compared by skeleton."""
    claimed: Clean = NO_TEXT
    """The name they give themselves: shown quoted, never trusted."""
    trust: Trust = Trust.UNVERIFIED
    blocked: bool = False
    request: bool = False
    """A stranger who wrote to us and was not accepted yet: no receipts, no notifications."""
    introduced_by: bytes = b""
    """Fingerprint of the introducer, or empty."""
    added_at: float = 0.0
    heard_at: float = 0.0
    """Wall time of the last thing proven to come from them; 0 = never."""
    silent_days: int = 0
    """Our user wants to know when nothing was heard for so many days; 0: no."""
    boot: int = 0
    """Rises each time they were restored from a backup; what came before is lost to them."""

    @property
    def frozen(self) -> bool:
        """Whether this key is not to be dealt with any more."""
        return self.trust in (Trust.CHANGED, Trust.REVOKED)

    def is_silent(self, wall: float) -> bool:
        """Whether nothing was heard for longer than our user finds normal."""
        since = max(self.heard_at, self.added_at)
        return bool(self.silent_days) and wall - since > self.silent_days * 86_400


class Revocation(Struct, frozen=True):
    """A contact's signed word that its key is not to be trusted any more."""

    fp: bytes
    """Whose."""
    notice: bytes
    """As signed (wire.md, 5.7); checked before it is kept."""
    released: bool = False
    """False: kept for its owner, who trusts us to release it when the time comes."""
    again_at: float = 0.0
    """When we seal it again for those who were away; 0: we do not."""
    until: float = 0.0
    """When that ends."""
