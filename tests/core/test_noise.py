"""The Noise engine: public vectors in both roles, and live against an independent package."""

import json
import os
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshchat.core.crypto import x25519_keypair, x25519_public
from meshchat.core.noise import CipherState, HandshakeState
from meshchat.errors import AuthError, HandshakeError, ProtocolError

HERE = Path(__file__).parent.parent / "vectors" / "noise"
NAME = "Noise_XXpsk0_25519_ChaChaPoly_BLAKE2b"

Vector = dict[str, Any]


def _vectors() -> list[Any]:
    """Every vector of our own folder, and of the one ``MESHCHAT_NOISE_VECTORS`` names."""
    files = sorted(HERE.glob("*.json"))
    if more := os.environ.get("MESHCHAT_NOISE_VECTORS"):
        files += sorted(Path(more).glob("*.json"))
    out = []
    for file in files:
        for i, vector in enumerate(json.loads(file.read_text())["vectors"]):
            out.append(pytest.param(vector, id=f"{file.stem}-{i}-{vector['protocol_name']}"))
    return out


def _side(vector: Vector, side: str) -> HandshakeState:
    def field(name: str) -> bytes:
        return bytes.fromhex(vector.get(f"{side}_{name}") or "")

    def pair(name: str) -> tuple[bytes, bytes] | None:
        secret = field(name)
        return x25519_keypair(secret) if secret else None

    return HandshakeState(
        vector["protocol_name"],
        initiator=side == "init",
        prologue=field("prologue"),
        s=pair("static"),
        e=pair("ephemeral"),
        rs=field("remote_static"),
        psks=[bytes.fromhex(psk) for psk in vector.get(f"{side}_psks", ())],
    )


def test_the_vectors_are_all_there() -> None:
    """The repository holds the 43 vectors its README names, so no run passes on an empty folder."""
    counts = {
        file.stem: len(json.loads(file.read_text())["vectors"]) for file in HERE.glob("*.json")
    }
    assert counts == {"cacophony": 20, "snow": 17, "xxpsk0_generated": 6}


@pytest.mark.parametrize("role", ["init", "resp"])
@pytest.mark.parametrize("vector", _vectors())
def test_vector(vector: Vector, role: str) -> None:
    """One side alone, against the recorded bytes: each message written or read as recorded."""
    us = _side(vector, role)
    one_way = len(vector["protocol_name"].split("_")[1].split("psk")[0]) == 1
    send = receive = None
    for i, message in enumerate(vector["messages"]):
        payload, ciphertext = (bytes.fromhex(message[k]) for k in ("payload", "ciphertext"))
        writing = (one_way or i % 2 == 0) == (role == "init")
        if not us.is_done:
            if writing:
                assert us.write_message(payload) == ciphertext
            else:
                assert us.read_message(ciphertext) == payload
            continue
        if send is None:
            send, receive = us.split()
        assert receive is not None
        if writing:
            assert send.encrypt_with_ad(b"", payload) == ciphertext
        else:
            assert receive.decrypt_with_ad(b"", ciphertext) == payload
    assert send is not None, "the vector has no transport message"
    if vector.get("handshake_hash"):
        assert us.handshake_hash.hex() == vector["handshake_hash"]


def _pair(
    name: str = NAME, *, prologues: tuple[bytes, bytes] = (b"p", b"p"), psk: bytes = b"k" * 32
) -> tuple[HandshakeState, HandshakeState]:
    psks = [b"k" * 32], [psk]
    return tuple(  # type: ignore[return-value]
        HandshakeState(
            name,
            initiator=i == 0,
            prologue=prologues[i],
            s=x25519_keypair(bytes([10 + i]) * 32),
            e=x25519_keypair(bytes([20 + i]) * 32),
            psks=psks[i],
        )
        for i in (0, 1)
    )


@pytest.mark.parametrize("ours", ["init", "resp"])
@pytest.mark.parametrize("pattern", ["NN", "XX", "XXpsk0", "XXpsk3", "NNpsk0"])
@pytest.mark.parametrize("hash_name", ["BLAKE2b", "BLAKE2s", "SHA256"])
def test_live_with_noiseprotocol(pattern: str, hash_name: str, ours: str) -> None:
    """Fresh keys, both roles: an independent implementation talks with ours, also after rekey."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from noise.connection import Keypair, NoiseConnection

    name = f"Noise_{pattern}_25519_ChaChaPoly_{hash_name}"
    psks = [os.urandom(32)] if "psk" in pattern else []
    their_static = os.urandom(32)
    us = HandshakeState(
        name,
        initiator=ours == "init",
        prologue=b"both",
        s=x25519_keypair(os.urandom(32)),
        e=x25519_keypair(os.urandom(32)),
        psks=psks,
    )
    them = NoiseConnection.from_name(name.encode())
    if ours == "init":
        them.set_as_responder()
    else:
        them.set_as_initiator()
    them.set_prologue(b"both")
    if pattern.startswith("XX"):
        them.set_keypair_from_private_bytes(Keypair.STATIC, their_static)
    if psks:
        them.set_psks(psks=list(psks))
    them.start_handshake()
    writing = ours == "init"
    while not us.is_done:
        if writing:
            assert them.read_message(us.write_message(b"hi")) == b"hi"
        else:
            assert us.read_message(bytes(them.write_message(b"ho"))) == b"ho"
        writing = not writing
    assert us.handshake_hash == them.get_handshake_hash()
    if pattern.startswith("XX"):
        assert us.rs == x25519_public(their_static)
    send, receive = us.split()
    for i in range(6):
        data = os.urandom(50 * i)
        assert them.decrypt(send.encrypt_with_ad(b"", data)) == data
        assert receive.decrypt_with_ad(b"", bytes(them.encrypt(data))) == data
        if i == 3:
            send.rekey()
            them.rekey_inbound_cipher()
            receive.rekey()
            them.rekey_outbound_cipher()


def test_sizes_of_our_handshake() -> None:
    """XXpsk0 with empty payloads takes 48, 96 and 64 bytes, as the wire reference says."""
    a, b = _pair()
    sizes = []
    for writer, reader in ((a, b), (b, a), (a, b)):
        message = writer.write_message()
        sizes.append(len(message))
        assert reader.read_message(message) == b""
    assert sizes == [48, 96, 64]
    assert a.handshake_hash == b.handshake_hash
    assert b.rs == x25519_public(bytes([10]) * 32)


def test_wrong_psk_fails_at_message_1() -> None:
    """Without the shared key not even the first message opens."""
    a, b = _pair(psk=b"x" * 32)
    with pytest.raises(AuthError):
        b.read_message(a.write_message())


def test_wrong_prologue_fails_at_message_1() -> None:
    """What was agreed on before is part of the first check."""
    a, b = _pair(prologues=(b"p", b"q"))
    with pytest.raises(AuthError):
        b.read_message(a.write_message())


def test_out_of_turn() -> None:
    """A state speaks and listens only in its turn, and splits only at the end."""
    a, b = _pair()
    with pytest.raises(HandshakeError):
        b.write_message()
    with pytest.raises(HandshakeError):
        a.read_message(bytes(48))
    with pytest.raises(ValueError):
        a.split()
    message = a.write_message()
    with pytest.raises(HandshakeError):
        a.write_message()
    b.read_message(message)
    with pytest.raises(HandshakeError):
        b.read_message(message)


@pytest.mark.parametrize("low", [bytes(32), (1).to_bytes(32, "little")])
def test_low_order_ephemeral(low: bytes) -> None:
    """A key that forces a known secret is refused, not mixed in."""
    a, b = _pair("Noise_NNpsk0_25519_ChaChaPoly_BLAKE2b")
    b.read_message(a.write_message())
    with pytest.raises(AuthError):
        a.read_message(low + b.write_message()[32:])


@given(st.binary(max_size=200))
def test_any_bytes_as_message_2(data: bytes) -> None:
    """A reader of arbitrary bytes raises only protocol errors."""
    a, b = _pair()
    a.write_message()
    with pytest.raises(ProtocolError):
        a.read_message(data)
    with pytest.raises(ProtocolError):
        b.read_message(data)


@pytest.mark.parametrize(
    "name",
    [
        "Noise_XX_25519_AESGCM_BLAKE2b",
        "Noise_XX_448_ChaChaPoly_BLAKE2b",
        "Noise_XX_25519_ChaChaPoly_SHA1",
        "Noise_ZZ_25519_ChaChaPoly_SHA256",
        "Noise_XXpsk4_25519_ChaChaPoly_SHA256",
        "Noise_XXpsk0+psk0_25519_ChaChaPoly_SHA256",
        "XX",
    ],
)
def test_unknown_names(name: str) -> None:
    """What the engine does not speak is refused when it is set up."""
    with pytest.raises(ValueError):
        HandshakeState(name, initiator=True, psks=[bytes(32)] * name.count("psk"))


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("Noise_XK_25519_ChaChaPoly_SHA256", {}),
        ("Noise_KK_25519_ChaChaPoly_SHA256", {"rs": bytes(32)}),
        ("Noise_NNpsk0_25519_ChaChaPoly_SHA256", {}),
        ("Noise_NNpsk0_25519_ChaChaPoly_SHA256", {"psks": [bytes(31)]}),
    ],
)
def test_missing_keys(name: str, keys: dict[str, Any]) -> None:
    """A pattern without the keys it needs is a caller's bug, found at once."""
    with pytest.raises(ValueError):
        HandshakeState(name, initiator=True, **keys)


def test_last_nonce_is_never_used() -> None:
    """The counter stops before the value reserved for rekey."""
    cipher = CipherState(bytes(32))
    cipher.n = 2**64 - 1
    with pytest.raises(HandshakeError):
        cipher.encrypt_with_ad(b"", b"")
