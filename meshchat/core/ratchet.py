"""The Double Ratchet (Signal's specification, revision 1), with the labels of wire.md, 5.1.

Pure state: every call gives a new ``Ratchet`` and leaves the old one as it was, so a message that
does not open has changed nothing. Two departures, both recorded in ADR 0017: the one-use key ``e``
of the envelope is mixed into each message key, so that a sender restored from an old copy never
repeats a key stream; and headers are not encrypted here, because the envelope hides them.
"""

import struct
from typing import NamedTuple, Self

from msgspec import Struct
from msgspec.structs import replace

from meshchat.core import crypto
from meshchat.core.crypto import KEY_BYTES, H
from meshchat.errors import AuthError, QuotaError, WireError

SKIP_MAX = 512  # message keys passed over by one message: each costs a hash and 98 bytes
CHAIN_MAX = 500  # messages of one chain; less than SKIP_MAX, so none can come too early to open
SID_BYTES = 8

_HEADER = struct.Struct("<8s32sHH")
HEADER_BYTES = _HEADER.size
_STATE = struct.Struct("<32s32s32s32s32s32sHHH")
_NO_CHAIN = bytes(KEY_BYTES)


class Header(NamedTuple):
    """What stands in the clear before the text of a message, inside the envelope."""

    sid: bytes
    """Of the session, 8 bytes; only the two of them know it."""
    key: bytes
    """The sender's newest ratchet key, 32 bytes."""
    previous: int
    """How many messages the sender's chain before this one has."""
    number: int
    """Of this message in its chain, from 0."""

    def encode(self) -> bytes:
        """44 bytes."""
        return _HEADER.pack(*self)

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Read the first 44 bytes. ``WireError`` if there are not so many."""
        if len(data) < HEADER_BYTES:
            raise WireError("dm_length")
        return cls(*_HEADER.unpack_from(data))


class Skipped(NamedTuple):
    """The key of a message that has not come yet, though a later one has."""

    key: bytes
    """The ratchet key of its chain."""
    number: int
    message_key: bytes


class Ratchet(Struct, frozen=True):
    """One side of a session."""

    root: bytes
    secret: bytes
    """Ours, of the ratchet key pair that is in use."""
    public: bytes
    theirs: bytes
    """Their newest ratchet key; of a session we started and that was not answered, their prekey."""
    sending: bytes = b""
    """Chain key, or empty: we have no chain to send on yet."""
    receiving: bytes = b""
    sent: int = 0
    received: int = 0
    previous: int = 0

    @classmethod
    def start(cls, root: bytes, prekey: bytes, secret: bytes) -> Self:
        """Whoever writes first; ``secret`` is fresh, ``prekey`` the other side's."""
        root, sending = _turn(root, crypto.dh(secret, prekey))
        return cls(root, secret, crypto.x25519_public(secret), prekey, sending)

    @classmethod
    def answer(cls, root: bytes, secret: bytes, public: bytes) -> Self:
        """Whoever is written to; the first ratchet key is the prekey."""
        return cls(root, secret, public, b"")

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """What ``encode`` made; our own store is not in doubt."""
        root, secret, public, theirs, sending, receiving, *counts = _STATE.unpack(data)
        theirs = b"" if theirs == _NO_CHAIN else theirs
        sending = b"" if sending == _NO_CHAIN else sending
        receiving = b"" if receiving == _NO_CHAIN else receiving
        return cls(root, secret, public, theirs, sending, receiving, *counts)

    def encode(self) -> bytes:
        """198 bytes."""
        return _STATE.pack(
            self.root,
            self.secret,
            self.public,
            self.theirs or _NO_CHAIN,
            self.sending or _NO_CHAIN,
            self.receiving or _NO_CHAIN,
            self.sent,
            self.received,
            self.previous,
        )

    def seal(self, sid: bytes, e: bytes, ends: bytes, plaintext: bytes) -> tuple[Self, bytes]:
        """``(the state to keep, header and ciphertext)``.

        Args:
            sid: Of the session.
            e: One-use key of the envelope.
            ends: Fingerprints of sender and reader.
            plaintext: The body.
        """
        chain, message_key = step(self.sending)
        header = Header(sid, self.public, self.previous, self.sent).encode()
        sealed = crypto.aead_seal(mixed(message_key, e), plaintext, ends + header + e)
        return replace(self, sending=chain, sent=self.sent + 1), header + sealed

    def open(self, header: Header, fresh: bytes) -> tuple[Self, list[Skipped], bytes]:
        """Advance to a message whose key is not among those skipped.

        Args:
            header: Of the message; not proven yet, so what this gives may be kept only after
                the message has opened with it.
            fresh: 32 random bytes, for our next ratchet key if theirs is new.

        Returns:
            The new state, the keys passed over on the way, and the message's key.

        Raises:
            AuthError: It was opened before, or its ratchet key is of low order.
            QuotaError: It is too far ahead.
        """
        now, skipped = self, list[Skipped]()
        if header.key != self.theirs:
            if self.receiving:
                now, skipped = now._skip(header.previous)
            now = now._turned(header.key, fresh)
        elif not self.receiving:
            raise AuthError("no_chain")  # that key is their prekey: an empty chain is everybody's
        if header.number < now.received:
            raise AuthError("replay")
        now, more = now._skip(header.number)
        chain, message_key = step(now.receiving)
        return replace(now, receiving=chain, received=now.received + 1), skipped + more, message_key

    def _turned(self, theirs: bytes, fresh: bytes) -> Self:
        root, receiving = _turn(self.root, crypto.dh(self.secret, theirs))
        secret, public = crypto.x25519_keypair(fresh)
        root, sending = _turn(root, crypto.dh(secret, theirs))
        return type(self)(root, secret, public, theirs, sending, receiving, 0, 0, self.sent)

    def _skip(self, until: int) -> tuple[Self, list[Skipped]]:
        if until - self.received > SKIP_MAX:
            raise QuotaError("dm_too_far_ahead")
        chain, passed = self.receiving, list[Skipped]()
        for number in range(self.received, until):
            chain, message_key = step(chain)
            passed.append(Skipped(self.theirs, number, message_key))
        if not passed:
            return self, passed
        return replace(self, receiving=chain, received=until), passed


def step(chain: bytes) -> tuple[bytes, bytes]:
    """``(the chain's next key, the message key of this place)``."""
    out = H(b"mc1 dr-chain", b"", 64, chain)
    return out[:32], out[32:]


def mixed(message_key: bytes, e: bytes) -> bytes:
    """The key a message is sealed with: no two envelopes have the same ``e``."""
    return H(b"mc1 mk", e, 32, message_key)


def _turn(root: bytes, shared: bytes) -> tuple[bytes, bytes]:
    out = H(b"mc1 dr-root", shared, 64, root)
    return out[:32], out[32:]
