"""The low-level primitives, under the names of docs/reference/wire.md ("Conventions").

Everything else in meshchat that needs cryptography goes through here, so this
is the only file that knows PyNaCl. Two things its thin bindings leave to us:
X25519 and Ed25519 read 32 bytes from whatever they are given, so lengths are
checked first, and its errors become ``AuthError``.

A wrong length of a value only our own code chooses (a key, a nonce) is a bug
and raises ``ValueError``; a wrong length of something a peer sent is an
``AuthError`` like any other mismatch.
"""

import hmac
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
    crypto_pwhash_alg,
    crypto_pwhash_ALG_ARGON2ID13,
    crypto_scalarmult,
    crypto_scalarmult_base,
    crypto_sign,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import CryptoError

from meshchat.errors import AuthError, UsageError

KEY_BYTES = 32  # every secret and public key and every AEAD key here
TAG_BYTES = 16  # Poly1305
NONCE_BYTES = 12  # IETF ChaCha20-Poly1305
SIGNATURE_BYTES = 64  # Ed25519
ARGON2_SALT_BYTES = 16  # fixed by libsodium

NewHash = Callable[[bytes], Any]
"""A constructor of ``hashlib``."""

_INNER = bytes(byte ^ 0x36 for byte in range(256))  # of HMAC: what a key is changed by
_OUTER = bytes(byte ^ 0x5C for byte in range(256))

ZERO = bytes(NONCE_BYTES)
"""The nonce of every key that is used exactly once."""


def H(label: bytes, data: bytes, n: int, key: bytes = b"") -> bytes:
    """BLAKE2b: ``n`` bytes (1 to 64) of ``data``, personalised by ``label`` (at most 16 bytes)."""
    return blake2b(data, digest_size=n, key=key, person=label).digest()


def hasher(label: bytes, n: int) -> Any:
    """The same of data that comes bit by bit: ``update`` it, then take its ``digest``."""
    return blake2b(digest_size=n, person=label)


def H_each(label: bytes, data: bytes, n: int, keys: Iterable[bytes]) -> Iterator[bytes]:
    """``H`` of the same under each of these keys, one after the other."""
    return (blake2b(data, digest_size=n, key=key, person=label).digest() for key in keys)


def hkdf(new_hash: NewHash, key: bytes, material: bytes, n: int) -> list[bytes]:
    """``n`` outputs of HKDF as Noise has it (section 4.3), each as long as the hash."""
    mac = _hmac(new_hash, _hmac(new_hash, key)(material))
    out, last = [], b""
    for i in range(1, n + 1):
        last = mac(last + bytes((i,)))
        out.append(last)
    return out


@lru_cache(4)
def _block_bytes(new_hash: NewHash) -> int:
    size: int = new_hash(b"").block_size
    return size


def _hmac(new_hash: NewHash, key: bytes) -> Callable[[bytes], bytes]:
    """HMAC (RFC 2104) of short messages under a key no longer than a block of the hash.

    ``hmac.digest`` looks its hash up by name each time, which takes ten times as long as hashing.
    """
    padded = key.ljust(_block_bytes(new_hash), b"\0")
    inner, outer = padded.translate(_INNER), padded.translate(_OUTER)
    return lambda data: bytes(new_hash(outer + new_hash(inner + data).digest()).digest())


equal = hmac.compare_digest
"""Compare in constant time (lengths may show)."""


def aead_seal(key: bytes, plaintext: bytes, ad: bytes, nonce: bytes = ZERO) -> bytes:
    """ChaCha20-Poly1305 (IETF): ciphertext and 16-byte tag. A key and nonce pair is used once."""
    return crypto_aead_chacha20poly1305_ietf_encrypt(plaintext, ad, nonce, key)


def aead_open(key: bytes, ciphertext: bytes, ad: bytes, nonce: bytes = ZERO) -> bytes:
    """Undo ``aead_seal``.

    Raises:
        AuthError: Key, nonce, ``ad`` or ciphertext is not what was sealed.
    """
    if len(ciphertext) < TAG_BYTES:
        raise AuthError("bad_tag")
    try:
        return crypto_aead_chacha20poly1305_ietf_decrypt(ciphertext, ad, nonce, key)
    except (TypeError, ValueError):
        raise  # a caller's bug: wrong key or nonce size
    except CryptoError:
        raise AuthError("bad_tag") from None


def x25519_public(secret: bytes) -> bytes:
    """Public key of a 32-byte X25519 secret."""
    _need(secret, KEY_BYTES)
    return crypto_scalarmult_base(secret)


def x25519_keypair(secret: bytes) -> tuple[bytes, bytes]:
    """``(secret, public)`` from 32 random or derived bytes."""
    return secret, x25519_public(secret)


def dh(secret: bytes, public: bytes) -> bytes:
    """X25519 shared secret, 32 bytes.

    Raises:
        AuthError: ``public`` is no 32 bytes, or a point of low order (all-zero result).
    """
    _need(secret, KEY_BYTES)
    if len(public) != KEY_BYTES:
        raise AuthError("bad_public_key")
    try:
        return crypto_scalarmult(secret, public)
    except CryptoError:
        raise AuthError("low_order_key") from None


def sign_public(seed: bytes) -> bytes:
    """Ed25519 public key of a 32-byte seed."""
    return crypto_sign_seed_keypair(seed)[0]


def sign(seed: bytes, data: bytes) -> bytes:
    """Ed25519 signature, 64 bytes, by the key of a 32-byte seed."""
    return crypto_sign(data, crypto_sign_seed_keypair(seed)[1])[:SIGNATURE_BYTES]


def verify(public: bytes, data: bytes, signature: bytes) -> None:
    """Check an Ed25519 signature.

    Raises:
        AuthError: It does not fit, or one of the lengths is wrong.
    """
    if len(public) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        raise AuthError("bad_signature")
    try:
        crypto_sign_open(signature + data, public)
    except CryptoError:
        raise AuthError("bad_signature") from None


def argon2id(passphrase: bytes, salt: bytes, n: int, *, time: int, memory_bytes: int) -> bytes:
    """Argon2id (one lane): ``n`` bytes, at least 16. Slow on purpose; keep it off the event loop.

    Args:
        passphrase: UTF-8 in NFC; the caller normalises.
        salt: Exactly 16 bytes.
        n: Length of the result.
        time: Passes over the memory.
        memory_bytes: A multiple of 1,024, at least 8,192.

    Raises:
        UsageError: This machine has not that much memory free.
    """
    try:
        return crypto_pwhash_alg(
            n, passphrase, salt, time, memory_bytes, crypto_pwhash_ALG_ARGON2ID13
        )
    except (RuntimeError, MemoryError):
        raise UsageError(
            "out_of_memory",
            f"Checking a passphrase needs {memory_bytes >> 20} MiB of free memory: "
            "close other programs and try again.",
        ) from None


def _need(value: bytes, size: int) -> None:
    if len(value) != size:
        raise ValueError(f"{size} bytes needed, got {len(value)}")
