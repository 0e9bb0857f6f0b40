"""Running simulated nodes without cryptography, with every size as it is.

The primitives of ``meshchat.core.crypto``, and the handshake of a link that is made of them, are
exchanged for cheap stand-ins that keep lengths, agreement (both sides of a key exchange get the
same secret) and order: a wrong key or a lost frame is still found out. Nothing is secret then,
which is why this lives in the simulator and is reached only from a ``World``. Keys, ids and tags
differ from a real run; sizes, decisions and times do not (tests/sim/test_fast.py).
"""

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from meshchat.core import crypto, noise
from meshchat.core.link import HANDSHAKE_FRAME_BYTES
from meshchat.errors import AuthError

_TAG_KEY_BYTES = crypto.TAG_BYTES - crypto.NONCE_BYTES


def _x25519_public(secret: bytes) -> bytes:
    return hashlib.blake2b(secret, digest_size=32).digest()


def _x25519_keypair(secret: bytes) -> tuple[bytes, bytes]:
    return secret, _x25519_public(secret)


def _dh(secret: bytes, public: bytes) -> bytes:
    if len(public) != crypto.KEY_BYTES:
        raise AuthError("bad_public_key")
    own = _x25519_public(secret)
    both = own + public if own < public else public + own
    return hashlib.blake2b(both, digest_size=32).digest()


def _aead_seal(key: bytes, plaintext: bytes, ad: bytes, nonce: bytes = crypto.ZERO) -> bytes:
    del ad
    return plaintext + nonce + key[:_TAG_KEY_BYTES]


def _aead_open(key: bytes, ciphertext: bytes, ad: bytes, nonce: bytes = crypto.ZERO) -> bytes:
    del ad
    if ciphertext[-crypto.TAG_BYTES :] != nonce + key[:_TAG_KEY_BYTES]:
        raise AuthError("bad_tag")
    return ciphertext[: -crypto.TAG_BYTES]


def _sign_public(seed: bytes) -> bytes:
    return hashlib.blake2b(seed, digest_size=32, person=b"sign").digest()


def _sign(seed: bytes, data: bytes) -> bytes:
    return hashlib.blake2b(_sign_public(seed) + data).digest()


def _verify(public: bytes, data: bytes, signature: bytes) -> None:
    if signature != hashlib.blake2b(public + data).digest():
        raise AuthError("bad_signature")


def _hkdf(new_hash: crypto.NewHash, key: bytes, material: bytes, n: int) -> list[bytes]:
    first = new_hash(key + material).digest()
    return [first[i:] + first[:i] for i in range(n)]


class _Handshake:
    """``noise.HandshakeState`` of a link (XXpsk0, no payloads): keys in turn, each with a hash of
    all that was said before and of what both sides must have in common."""

    def __init__(
        self,
        _protocol_name: str,
        *,
        initiator: bool,
        prologue: bytes,
        s: noise.Pair,
        e: noise.Pair,
        psks: Sequence[bytes],
    ) -> None:
        self.rs = b""
        self.handshake_hash = hashlib.blake2b(b"".join((prologue, *psks))).digest()
        self._initiator = initiator
        self._keys = (e[1], e[1] + s[1], s[1])
        self._step = 0

    @property
    def is_done(self) -> bool:
        return self._step == len(HANDSHAKE_FRAME_BYTES)

    def write_message(self) -> bytes:
        keys = self._keys[self._step]
        tag = self._tag(keys, HANDSHAKE_FRAME_BYTES[self._step] - len(keys))
        return keys + tag

    def read_message(self, message: bytes) -> None:
        size = len(self._keys[self._step])
        keys, tag = message[:size], message[size:]
        if self._step:
            self.rs = keys[-crypto.KEY_BYTES :]
        if tag != self._tag(keys, len(tag)):
            raise AuthError("bad_tag")

    def _tag(self, keys: bytes, size: int) -> bytes:
        self._step += 1
        self.handshake_hash = hashlib.blake2b(self.handshake_hash + keys).digest()
        return self.handshake_hash[:size]

    def split(self) -> tuple[noise.CipherState, noise.CipherState]:
        h = self.handshake_hash
        forth, back = (noise.CipherState(k) for k in (h[: crypto.KEY_BYTES], h[crypto.KEY_BYTES :]))
        return (forth, back) if self._initiator else (back, forth)


_STAND_INS: dict[str, Callable[..., object]] = {
    "x25519_public": _x25519_public,
    "x25519_keypair": _x25519_keypair,
    "dh": _dh,
    "hkdf": _hkdf,
    "aead_seal": _aead_seal,
    "aead_open": _aead_open,
    "sign_public": _sign_public,
    "sign": _sign,
    "verify": _verify,
    "HandshakeState": _Handshake,
}
_REAL = {name: getattr(crypto, name, None) or getattr(noise, name) for name in _STAND_INS}

_active = False
_places: list[tuple[dict[str, Any], str]] = []
"""Every name in the core that stands for one of them: where it is, and which."""


def active() -> bool:
    """Whether the stand-ins are in place now."""
    return _active


@contextmanager
def mode(wanted: bool) -> Iterator[None]:
    """Inside: without cryptography (or with it). Afterwards everything is as it was before."""
    global _active
    before = _active
    _exchange(wanted)
    _active = wanted
    try:
        yield
    finally:
        _exchange(before)
        _active = before


def _exchange(wanted: bool) -> None:
    if not _places:
        for name, module in list(sys.modules.items()):
            if name.startswith("meshchat.core."):
                for each, real in _REAL.items():
                    if getattr(module, each, None) is real:
                        _places.append((vars(module), each))
    functions = _STAND_INS if wanted else _REAL
    for names, each in _places:
        names[each] = functions[each]
