"""Frozen envelopes and bodies, and an independent oracle that re-computes them."""

import struct
from hashlib import blake2b

import pytest
from nacl import bindings as nacl
from sealing import (
    VECTORS,
    Person,
    first_dm,
    open_first_dm,
)

from meshchat.core.body import (
    Body,
    BodyType,
    decode_body,
    encode_body,
    message_id,
)
from meshchat.core.envelope import (
    CLASS_SIZES,
    envelope_id,
    open_sealed,
    seal,
    stamp_bits,
)
from meshchat.core.sealed import announce, open_announce, open_room_post, room_post


class Replay:
    """Entropy that gives recorded draws, and nothing but them."""

    def __init__(self, draws: list[str]) -> None:
        self._draws = [bytes.fromhex(draw) for draw in draws]

    def bytes(self, n: int) -> bytes:
        value = self._draws.pop(0)
        assert len(value) == n
        return value

    def used_up(self) -> bool:
        return not self._draws


# --- frozen vectors and the oracle ---------------------------------------------------------------


def blake(label: str, data: bytes, n: int, key: bytes = b"") -> bytes:
    return blake2b(data, digest_size=n, key=key, person=label.encode()).digest()


def aead(key: bytes, plaintext: bytes, ad: bytes) -> bytes:
    return nacl.crypto_aead_chacha20poly1305_ietf_encrypt(plaintext, ad, bytes(12), key)


def oracle(vector: dict[str, str], a: dict[str, str], b: dict[str, str]) -> bytes:
    """A whole envelope, written from docs/reference/wire.md with nothing of meshchat."""
    body, draws = bytes.fromhex(vector["body"]), [bytes.fromhex(d) for d in vector["draws"]]
    token, seed = bytes.fromhex(vector["token"]), bytes.fromhex(a["seed"])
    counter = struct.pack("<Q", vector["counter"])
    e_secret = blake("mc1 e-secret", draws.pop(0) + seed + counter + body, 32)
    e = nacl.crypto_scalarmult_base(e_secret)

    # section 4
    sign_seed = blake("mc1 id-sign", b"", 32, seed)
    ik_s, ik_s_secret = nacl.crypto_sign_seed_keypair(sign_seed)
    ik_d_secret = blake("mc1 id-dh", b"", 32, seed)
    ik_d = nacl.crypto_scalarmult_base(ik_d_secret)
    fp_a = blake("mc1 id", ik_s + ik_d, 32)
    unsigned = b"\x01" + ik_s + ik_d + bytes.fromhex(a["announce_key"])
    unsigned += bytes.fromhex(a["prekey"]) + struct.pack("<I", a["card_exp_h"])
    card = unsigned + nacl.crypto_sign(b"mc1 card" + unsigned, ik_s_secret)[:64]

    # sections 5 to 5.3
    if vector["kind"] == 1:
        spk, ik_d_b = bytes.fromhex(b["prekey"]), bytes.fromhex(b["dh_public"])
        fp_b = bytes.fromhex(b["fp"])
        ek_secret, r_secret = draws.pop(0), draws.pop(0)
        ek, r = nacl.crypto_scalarmult_base(ek_secret), nacl.crypto_scalarmult_base(r_secret)
        dh_1 = nacl.crypto_scalarmult(ik_d_secret, spk)
        dh_2 = nacl.crypto_scalarmult(ek_secret, ik_d_b)
        dh_3 = nacl.crypto_scalarmult(ek_secret, spk)
        k = blake("mc1 x3dh", dh_1 + dh_2 + dh_3 + fp_a + fp_b + spk + ek, 64)
        root, sid = k[0:32], blake("mc1 sid", k[32:64], 8)
        ck = blake("mc1 dr-root", nacl.crypto_scalarmult(r_secret, spk), 64, root)[32:64]
        mk = blake("mc1 dr-chain", b"", 64, ck)[32:64]
        dr = sid + r + b"\0\0" + b"\0\0"
        ct = aead(blake("mc1 mk", e, 32, mk), body, fp_a + fp_b + dr + e)
        inner = b"\x01" + card + ek + dr + ct
        z = nacl.crypto_scalarmult(e_secret, spk)
        keys = blake("mc1 outer-dm", z + e + spk, 48)
    elif vector["kind"] == 4:
        room_key = blake("mc1 room-pub", "алматы".encode(), 32)
        rid = blake("mc1 room-id", room_key, 16)
        pseudonym = blake("mc1 room-author", rid, 32, seed)
        author, author_secret = nacl.crypto_sign_seed_keypair(pseudonym)
        inner = b"\x04" + author + struct.pack("<II", 7, 1_800_000_000) + body
        inner += nacl.crypto_sign(b"mc1 room" + rid + e + inner, author_secret)[:64]
        day = struct.pack("<I", 1_800_000_000 // 86_400)
        keys = blake("mc1 outer-sym", e, 48, blake("mc1 room-day", day, 32, room_key))
    else:
        inner = b"\x05" + card + struct.pack("<I", 3) + body
        inner += nacl.crypto_sign(b"mc1 announce" + e + inner, ik_s_secret)[:64]
        secret = blake("mc1 announce", b"", 32, bytes.fromhex(a["announce_key"]))
        keys = blake("mc1 outer-sym", e, 48, secret)

    # section 3
    done = blake("mc1 done", token, 16) if vector["want_proof"] else draws.pop(0)
    assert not draws
    plain = token + inner + b"\x80"
    size_class, size = next((i, s) for i, s in enumerate(CLASS_SIZES) if len(plain) <= s - 96)
    plain += bytes(size - 96 - len(plain))
    front = struct.pack("<BBHI", 1, size_class, 0, vector["exp_h"])
    back = e + keys[:16] + done
    return front + bytes(8) + back + aead(keys[16:], plain, front + back)


@pytest.mark.parametrize("vector", VECTORS["envelopes"], ids=lambda v: v["label"])
def test_envelopes_match_vectors_and_oracle(vector: dict[str, str]) -> None:
    """Ours, the frozen bytes and a straight-line re-computation agree; the recipient reads it."""
    a, b = VECTORS["people"]
    data = oracle(vector, a, b)
    if "data" in vector:
        assert data.hex() == vector["data"]
    else:
        assert blake2b(data, digest_size=32).hexdigest() == vector["blake2b_256"]

    anna, boris = (
        Person(*(bytes.fromhex(p[key]) for key in ("seed", "announce_key", "prekey_secret")))
        for p in (a, b)
    )
    room = VECTORS["room"]
    author_seed, rid = bytes.fromhex(room["author_seed"]), bytes.fromhex(room["rid"])
    body, replay = bytes.fromhex(vector["body"]), Replay(vector["draws"])

    def build(e: bytes) -> bytes:
        match vector["kind"]:
            case 1:
                return first_dm(anna.identity, anna.card, boris.card, e, body, replay)
            case 4:
                return room_post(author_seed, rid, e, room["seq"], room["ts"], body)
            case _:
                return announce(anna.identity, anna.card, e, VECTORS["boot"], body)

    made = seal(
        build,
        body,
        vector["exp_h"],
        bytes.fromhex(vector["token"]),
        want_proof=vector["want_proof"],
        entropy=replay,
        long_term_secret=anna.identity.seed,
        counter=vector["counter"],
        **{key: bytes.fromhex(vector[key]) for key in ("prekey", "secret") if key in vector},
    )
    assert made == data
    assert replay.used_up()
    assert envelope_id(data).hex() == vector["id"]
    assert stamp_bits(data, envelope_id(data)) == vector["stamp_bits"]

    secrets = [bytes.fromhex(room["secret"]), anna.announce_secret]
    got = open_sealed(data, secrets=secrets, prekeys=[boris.prekey])
    assert got is not None
    assert got.token.hex() == vector["token"]
    assert got.wants_proof == vector["want_proof"]
    e = got.header.e
    match vector["kind"]:
        case 1:
            assert got.prekey == boris.prekey
            read = open_first_dm(got.inner, boris.identity, boris.prekey, e)
            assert read == (anna.card, body)
        case 4:
            assert got.via_secret == 0
            author, seq, ts, text = open_room_post(got.inner, rid, e)
            assert (author.hex(), seq, ts) == (room["author"], room["seq"], room["ts"])
            assert text == body
        case _:
            assert got.via_secret == 1
            read = open_announce(got.inner, anna.identity.fp, e)
            assert read == (anna.card, VECTORS["boot"], body)


@pytest.mark.parametrize("name", sorted(VECTORS["bodies"]))
def test_bodies_match_vectors(name: str) -> None:
    """Frozen bodies read and written, and the message id."""
    want = VECTORS["bodies"][name]
    body = Body(
        BodyType(want["type"]),
        bytes.fromhex(want["number"]),
        want["sent"],
        want["text"],
        want["name"],
        bytes.fromhex(want["reply_to"]),
        bytes.fromhex(want["card"]),
        read=tuple(map(bytes.fromhex, want["read"])),
        timer_s=want["timer_s"],
    )
    assert encode_body(body).hex() == want["data"]
    assert decode_body(bytes.fromhex(want["data"])) == body
    fp = bytes.fromhex(VECTORS["people"][0]["fp"])
    assert message_id(fp, body.number).hex() == want["message_id_by_first_person"]
