"""Keys of direct messages: our prekeys, and one ratchet for each way two people talk."""

from msgspec import Struct


class Prekey(Struct, frozen=True):
    """One of our daily X25519 key pairs that others seal first messages to."""

    public: bytes
    secret: bytes
    exp_h: int
    """Last hour a sender may use it."""
    delete_at: float
    """Wall time at which the secret half is destroyed."""


class Session(Struct, frozen=True):
    """A Double Ratchet between us and one person."""

    sid: bytes
    """8 bytes; only the two of us know it."""
    fp: bytes
    """Fingerprint of the other side."""
    ratchet: bytes
    """State as ``ratchet.Ratchet.encode`` writes it."""
    ek: bytes
    """The public key our first messages carry, 32 bytes; empty once the other side answered."""
    past: bytes
    """First 8 bytes of each ratchet key of theirs that is out of use, newest first."""
    closed: bool
    """Nothing is written with it any more."""
    made_at: float
    heard_at: float = 0.0
    """Wall time of the last message that opened; 0 = never."""
    told_h: int = 0
    """``exp_h`` of the newest card of ours that was told with it."""
