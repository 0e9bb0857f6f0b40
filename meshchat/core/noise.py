"""A small engine for the Noise Protocol Framework (revision 34), over ``crypto``.

Covers what our links use and what public test vectors let us check: the
patterns below with any psk modifiers, DH 25519, cipher ChaChaPoly, hash
BLAKE2b, BLAKE2s or SHA256. Class and method names are the spec's, so each can
be read beside its section. Differences: ephemeral keys are passed in, because
the core has no randomness of its own, and an all-zero DH result is an error.

An error leaves a state that must not be used again: drop it with the link.
"""

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from struct import Struct

from meshchat.core.crypto import KEY_BYTES, TAG_BYTES, NewHash, aead_open, aead_seal, dh, hkdf
from meshchat.errors import HandshakeError

MESSAGE_BYTES = 65_535  # Noise spec, section 3
MAX_NONCE = 2**64 - 1  # reserved for rekey, section 4.2

Pair = tuple[bytes, bytes]
"""``(secret, public)`` as ``crypto.x25519_keypair`` gives it."""

_NONCE = Struct("<4xQ")
_REKEY_NONCE = _NONCE.pack(MAX_NONCE)
_NAME = re.compile(r"Noise_([A-Z]+)((?:psk[0-9](?:\+psk[0-9])*)?)_25519_ChaChaPoly_(\w+)")
_HASHES: dict[str, NewHash] = {
    "BLAKE2b": hashlib.blake2b,
    "BLAKE2s": hashlib.blake2s,
    "SHA256": hashlib.sha256,
}
# Keys known before, of initiator and responder, then the messages in turn.
_PATTERNS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "N": ("", "s", ("e es",)),
    "X": ("", "s", ("e es s ss",)),
    "NN": ("", "", ("e", "e ee")),
    "KK": ("s", "s", ("e es ss", "e ee se")),
    "XX": ("", "", ("e", "e ee s es", "s se")),
    "XK": ("", "s", ("e es", "e ee", "s se")),
    "IK": ("", "s", ("e es s ss", "e ee se")),
}


class CipherState:
    """One direction's key and message counter."""

    __slots__ = ("k", "n")

    def __init__(self, k: bytes = b"") -> None:
        self.k = k
        """32 bytes, or empty: data passes as it is."""
        self.n = 0

    def encrypt_with_ad(self, ad: bytes, plaintext: bytes) -> bytes:
        if not self.k:
            return plaintext
        return aead_seal(self.k, plaintext, ad, self._next())

    def decrypt_with_ad(self, ad: bytes, ciphertext: bytes) -> bytes:
        """Raises ``AuthError`` if a byte is wrong or a message was lost, repeated or moved."""
        if not self.k:
            return ciphertext
        return aead_open(self.k, ciphertext, ad, self._next())

    def rekey(self) -> None:
        """Replace the key by a one-way function of it; the counter goes on."""
        self.k = aead_seal(self.k, bytes(KEY_BYTES), b"", _REKEY_NONCE)[:KEY_BYTES]

    def _next(self) -> bytes:
        n = self.n
        if n == MAX_NONCE:
            raise HandshakeError("nonces_used_up")
        self.n = n + 1
        return _NONCE.pack(n)


class SymmetricState:
    """The running hash of the conversation and the key it gave so far."""

    def __init__(self, protocol_name: bytes, new_hash: NewHash) -> None:
        self._hash = new_hash
        self.h = self.ck = _start(protocol_name, new_hash)
        self.cipher = CipherState()

    def mix_hash(self, data: bytes) -> None:
        self.h = self._hash(self.h + data).digest()

    def mix_key(self, material: bytes) -> None:
        self.ck, k = hkdf(self._hash, self.ck, material, 2)
        self.cipher = CipherState(k[:KEY_BYTES])

    def mix_key_and_hash(self, material: bytes) -> None:
        self.ck, h, k = hkdf(self._hash, self.ck, material, 3)
        self.mix_hash(h)
        self.cipher = CipherState(k[:KEY_BYTES])

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        ciphertext = self.cipher.encrypt_with_ad(self.h, plaintext)
        self.mix_hash(ciphertext)
        return ciphertext

    def decrypt_and_hash(self, ciphertext: bytes) -> bytes:
        plaintext = self.cipher.decrypt_with_ad(self.h, ciphertext)
        self.mix_hash(ciphertext)
        return plaintext

    def split(self) -> tuple[CipherState, CipherState]:
        """Cipher states for initiator to responder and back."""
        one, two = hkdf(self._hash, self.ck, b"", 2)
        return CipherState(one[:KEY_BYTES]), CipherState(two[:KEY_BYTES])


@lru_cache(maxsize=16)
def _start(protocol_name: bytes, new_hash: NewHash) -> bytes:
    """``h`` before anything was said."""
    size = new_hash(b"").digest_size
    if len(protocol_name) <= size:
        return protocol_name.ljust(size, b"\0")
    return bytes(new_hash(protocol_name).digest())


class HandshakeState:
    """One side of one handshake.

    Call ``write_message`` and ``read_message`` in turn until ``is_done``, then ``split``.
    """

    def __init__(
        self,
        protocol_name: str,
        *,
        initiator: bool,
        prologue: bytes = b"",
        s: Pair | None = None,
        e: Pair | None = None,
        rs: bytes = b"",
        psks: Sequence[bytes] = (),
    ) -> None:
        """Prepare a handshake.

        Args:
            protocol_name: Such as ``Noise_XXpsk0_25519_ChaChaPoly_BLAKE2b``.
            initiator: True for the side that speaks first.
            prologue: Bytes both sides must agree on.
            s: Our static key pair, if the pattern uses one.
            e: Our ephemeral key pair, fresh for this handshake.
            rs: The peer's static public key, if the pattern knows it before.
            psks: Shared keys of 32 bytes, one for each psk modifier, in order.

        Raises:
            ValueError: The name is unknown, or a key the pattern needs is missing.
        """
        pre_initiator, pre_responder, self._messages, new_hash = _parse(protocol_name, len(psks))
        if any(len(psk) != KEY_BYTES for psk in psks):
            raise ValueError("a psk has 32 bytes")
        self._initiator = initiator
        self._s, self._e, self._psks = s, e, list(psks)
        self.rs, self._re = rs, b""
        self._step = 0
        self._has_psk = bool(psks)
        self._symmetric = SymmetricState(protocol_name.encode("ascii"), new_hash)
        self._symmetric.mix_hash(prologue)
        for known, ours in ((pre_initiator, initiator), (pre_responder, not initiator)):
            if known:
                self._symmetric.mix_hash(_own(s)[1] if ours else _size(rs))

    @property
    def is_done(self) -> bool:
        return self._step == len(self._messages)

    @property
    def handshake_hash(self) -> bytes:
        """``h``: after the last message, the same on both sides and for no other handshake."""
        return self._symmetric.h

    def write_message(self, payload: bytes = b"") -> bytes:
        """The next message, ours to send."""
        tokens = self._turn(writing=True)
        out = []
        for token in tokens:
            if token == "e":
                public = _own(self._e)[1]
                out.append(public)
                self._mix_ephemeral(public)
            elif token == "s":
                out.append(self._symmetric.encrypt_and_hash(_own(self._s)[1]))
            else:
                self._mix_token(token)
        out.append(self._symmetric.encrypt_and_hash(payload))
        return b"".join(out)

    def read_message(self, message: bytes) -> bytes:
        """The payload of the peer's next message.

        Raises:
            HandshakeError: Too short or too long.
            AuthError: A key is not the peer's, or something differs between the two sides.
        """
        if len(message) > MESSAGE_BYTES:
            raise HandshakeError("handshake_length")
        tokens = self._turn(writing=False)
        at = 0
        for token in tokens:
            if token in ("e", "s"):
                size = KEY_BYTES + (TAG_BYTES if token == "s" and self._symmetric.cipher.k else 0)
                field = message[at : at + size]
                if len(field) < size:
                    raise HandshakeError("handshake_length")
                at += size
                if token == "e":
                    self._re = field
                    self._mix_ephemeral(field)
                else:
                    self.rs = self._symmetric.decrypt_and_hash(field)
            else:
                self._mix_token(token)
        return self._symmetric.decrypt_and_hash(message[at:])

    def split(self) -> tuple[CipherState, CipherState]:
        """Our sending and receiving cipher states. A one-way pattern uses only the first way."""
        if not self.is_done:
            raise ValueError("the handshake is not finished")
        forth, back = self._symmetric.split()
        return (forth, back) if self._initiator else (back, forth)

    def _turn(self, *, writing: bool) -> Sequence[str]:
        if self.is_done or (self._step % 2 == 0) != (self._initiator == writing):
            raise HandshakeError("handshake_order")
        self._step += 1
        return self._messages[self._step - 1]

    def _mix_ephemeral(self, public: bytes) -> None:
        self._symmetric.mix_hash(public)
        if self._has_psk:  # section 9.2: without it a psk0 message 1 would repeat its key
            self._symmetric.mix_key(public)

    def _mix_token(self, token: str) -> None:
        if token == "psk":
            self._symmetric.mix_key_and_hash(self._psks.pop(0))
            return
        # "es" and the like: first letter the initiator's key, second the responder's.
        mine, theirs = (token[0], token[1]) if self._initiator else (token[1], token[0])
        secret = _own(self._e if mine == "e" else self._s)[0]
        self._symmetric.mix_key(dh(secret, self._re if theirs == "e" else self.rs))


_Parsed = tuple[str, str, tuple[tuple[str, ...], ...], NewHash]


@lru_cache(maxsize=16)
def _parse(protocol_name: str, psks: int) -> _Parsed:
    match = _NAME.fullmatch(protocol_name)
    if match is None or match[1] not in _PATTERNS or match[3] not in _HASHES:
        raise ValueError(f"unknown Noise protocol {protocol_name}")
    pre_initiator, pre_responder, written = _PATTERNS[match[1]]
    messages = [message.split() for message in written]
    places = [int(place) for place in re.findall(r"psk(\d)", match[2])]
    if (
        len(places) != psks
        or places != sorted(set(places))
        or max(places, default=0) > len(messages)
    ):
        raise ValueError(f"{protocol_name} does not fit {psks} psks")
    for place in places:
        if place:
            messages[place - 1].append("psk")
        else:
            messages[0].insert(0, "psk")
    return pre_initiator, pre_responder, tuple(map(tuple, messages)), _HASHES[match[3]]


def _own(pair: Pair | None) -> Pair:
    if pair is None:
        raise ValueError("the pattern needs a key that was not given")
    return pair


def _size(key: bytes) -> bytes:
    if len(key) != KEY_BYTES:
        raise ValueError("the pattern needs the peer's static key")
    return key
