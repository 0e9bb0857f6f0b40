"""The primitives: published test vectors, an independent library, and hostile lengths."""

import hashlib
import os

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from hypothesis import given
from hypothesis import strategies as st

from meshchat.core import crypto
from meshchat.errors import AuthError, UsageError

LOW_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


def test_h_is_personalised_keyed_blake2b() -> None:
    """``H`` is plain BLAKE2b with the label as person; label, key and length all separate."""
    assert (
        crypto.H(b"mc1 id", b"x", 32)
        == hashlib.blake2b(b"x", digest_size=32, person=b"mc1 id").digest()
    )
    seen = [
        crypto.H(b"a", b"x", 32),
        crypto.H(b"b", b"x", 32),
        crypto.H(b"a", b"x", 32, key=b"k"),
        crypto.H(b"a", b"x", 33)[:32],
        crypto.H(b"a", b"y", 32),
    ]
    assert len(set(seen)) == len(seen)


def test_x25519_rfc7748() -> None:
    """RFC 7748, section 5.2: one iteration on the base point."""
    nine = (9).to_bytes(32, "little")
    result = "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"
    assert crypto.dh(nine, nine).hex() == result
    assert crypto.x25519_keypair(nine) == (nine, bytes.fromhex(result))


def test_dh_agrees_with_openssl() -> None:
    """The same secret as an independent library finds, from either side."""
    secret = os.urandom(32)
    theirs = X25519PrivateKey.generate()
    public = theirs.public_key().public_bytes_raw()
    ours = X25519PublicKey.from_public_bytes(crypto.x25519_public(secret))
    assert crypto.dh(secret, public) == theirs.exchange(ours)


@pytest.mark.parametrize("point", LOW_ORDER)
def test_low_order_points(point: str) -> None:
    """Every known point of low order is refused instead of giving a known secret."""
    with pytest.raises(AuthError):
        crypto.dh(bytes(range(32)), bytes.fromhex(point))


@pytest.mark.parametrize("size", [0, 1, 31, 33, 64])
def test_lengths_never_reach_the_c_code(size: int) -> None:
    """A short key from a peer is refused before anything reads 32 bytes from it."""
    data, seed = bytes(range(size)), bytes(32)
    with pytest.raises(AuthError):
        crypto.dh(seed, data)
    with pytest.raises(ValueError):
        crypto.dh(data, seed)
    with pytest.raises(ValueError):
        crypto.x25519_public(data)
    with pytest.raises(ValueError):
        crypto.sign(data, b"")
    with pytest.raises(ValueError):
        crypto.sign_public(data)
    with pytest.raises(AuthError):
        crypto.verify(data, b"", crypto.sign(seed, b""))
    with pytest.raises((TypeError, ValueError)):
        crypto.aead_seal(data, b"", b"")
    with pytest.raises((TypeError, ValueError)):
        crypto.aead_open(data, bytes(16), b"")


def test_ed25519_rfc8032() -> None:
    """RFC 8032, section 7.1, test 1."""
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    public = crypto.sign_public(seed)
    assert public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    signature = crypto.sign(seed, b"")
    assert signature.hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555"
        "fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    crypto.verify(public, b"", signature)


def test_signature_agrees_with_openssl() -> None:
    """What we sign, an independent library accepts; what it rejects, we reject."""
    seed, data = os.urandom(32), os.urandom(100)
    public, signature = crypto.sign_public(seed), crypto.sign(seed, data)
    key = Ed25519PublicKey.from_public_bytes(public)
    key.verify(signature, data)
    for bad in (data + b"x", b""):
        with pytest.raises(InvalidSignature):
            key.verify(signature, bad)
        with pytest.raises(AuthError):
            crypto.verify(public, bad, signature)


@given(st.binary(max_size=80), st.binary(max_size=40), st.binary(max_size=80))
def test_verify_any_bytes(public: bytes, data: bytes, signature: bytes) -> None:
    """Arbitrary bytes as key and signature give AuthError and nothing else."""
    with pytest.raises(AuthError):
        crypto.verify(public, data, signature)


@given(st.binary(max_size=300), st.binary(max_size=40))
def test_aead_agrees_with_openssl(plaintext: bytes, ad: bytes) -> None:
    """Byte for byte the IETF construction, with the zero nonce by default; it opens again."""
    key = bytes(range(32))
    sealed = crypto.aead_seal(key, plaintext, ad)
    assert sealed == ChaCha20Poly1305(key).encrypt(bytes(12), plaintext, ad)
    assert crypto.aead_open(key, sealed, ad) == plaintext


def test_aead_rejects_each_flipped_bit_and_short_input() -> None:
    """No single changed bit, other nonce, other key, other data or cut text opens."""
    key = bytes(range(32))
    sealed = crypto.aead_seal(key, b"hello", b"ad")
    for i in range(len(sealed) * 8):
        bad = bytearray(sealed)
        bad[i // 8] ^= 1 << i % 8
        with pytest.raises(AuthError):
            crypto.aead_open(key, bytes(bad), b"ad")
    for size in range(len(sealed)):
        with pytest.raises(AuthError):
            crypto.aead_open(key, sealed[:size], b"ad")
    for args in (
        (bytes(32), sealed, b"ad"),
        (key, sealed, b""),
        (key, sealed, b"ad", b"\1" * 12),
    ):
        with pytest.raises(AuthError):
            crypto.aead_open(*args)


def test_argon2id_agrees_with_openssl() -> None:
    """The same 32 bytes as an independent library computes."""
    ours = crypto.argon2id(b"passphrase", b"s" * 16, 32, time=3, memory_bytes=64 * 1024)
    theirs = Argon2id(salt=b"s" * 16, length=32, iterations=3, lanes=1, memory_cost=64)
    assert ours == theirs.derive(b"passphrase")


def test_argon2id_out_of_memory_is_explained() -> None:
    """More memory than the machine has becomes one sentence for the person."""
    with pytest.raises(UsageError, match="free memory"):
        crypto.argon2id(b"p", b"s" * 16, 32, time=1, memory_bytes=(1 << 42) - 1024)


def test_equal() -> None:
    """Same bytes only; different lengths are just different."""
    assert crypto.equal(b"abc", b"abc")
    assert not crypto.equal(b"abc", b"abd")
    assert not crypto.equal(b"abc", b"abcd")
