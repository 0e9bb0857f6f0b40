"""Frozen chunks and a frozen manifest, and an independent oracle that re-computes them."""

import json
import struct
from hashlib import blake2b, shake_256
from pathlib import Path

import pytest
from msgspec.structs import replace
from nacl import bindings as nacl

from meshchat.core.body import (
    Body,
    BodyType,
    decode_body,
    encode_body,
)
from meshchat.core.envelope import envelope_id, open_sealed, part_of, seal
from meshchat.core.model import Manifest
from meshchat.core.sealed import (
    chunk,
    cut,
    file_hash,
    open_chunk,
    read_table,
    with_table,
)

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "files.json").read_text(encoding="utf-8")
)
KEY = bytes.fromhex(VECTORS["key"])
CONTENT = shake_256(b"a file").digest(VECTORS["size"])
IDS = [bytes.fromhex(vector["id"]) for vector in VECTORS["chunks"]]


class Replay:
    """Entropy that gives recorded draws, and nothing but them."""

    def __init__(self, draws: list[str]) -> None:
        self.draws = [bytes.fromhex(draw) for draw in draws]

    def bytes(self, n: int) -> bytes:
        value = self.draws.pop(0)
        assert len(value) == n
        return value


def blake(label: str, data: bytes, n: int, key: bytes = b"") -> bytes:
    return blake2b(data, digest_size=n, key=key, person=label.encode()).digest()


def oracle(vector: dict[str, object]) -> bytes:
    """A whole chunk envelope, written from docs/reference/wire.md with nothing of meshchat."""
    index, token = vector["index"], bytes.fromhex(str(vector["token"]))
    words = blake("mc1 file", CONTENT, 32) + b"".join(IDS[1:]) + CONTENT
    piece = words[index * 32_653 :][:32_653]  # type: ignore[operator]
    inner = struct.pack("<BB", 6, index) + piece
    (draw,) = map(bytes.fromhex, vector["draws"])  # type: ignore[call-overload]
    counter = struct.pack("<Q", vector["counter"])
    e_secret = blake("mc1 e-secret", draw + bytes.fromhex(VECTORS["seed"]) + counter + inner, 32)
    e = nacl.crypto_scalarmult_base(e_secret)
    keys = blake("mc1 outer-sym", e, 48, KEY)
    plain = token + inner + b"\x80"
    sizes = enumerate((512, 2_048, 8_192, 32_768))
    size_class, size = next((i, s) for i, s in sizes if len(plain) <= s - 96)
    plain += bytes(size - 96 - len(plain))
    pieces_bits = (len(VECTORS["chunks"]) - 1).bit_length()
    flags = pieces_bits << 11 | VECTORS["tag"] if size_class >= 2 else 0
    front = struct.pack("<BBHI", 1, size_class, flags, vector["exp_h"])
    back = e + keys[:16] + blake("mc1 done", token, 16)
    sealed = nacl.crypto_aead_chacha20poly1305_ietf_encrypt(
        plain, front + back, bytes(12), keys[16:]
    )
    return front + bytes(8) + back + sealed


@pytest.mark.parametrize("vector", VECTORS["chunks"], ids=lambda v: f"chunk {v['index']}")
def test_chunks_match_vectors_and_oracle(vector: dict[str, object]) -> None:
    """Ours, the frozen bytes and a straight-line re-computation agree; the key opens it."""
    data = oracle(vector)
    assert len(data) == vector["size"]
    if "data" in vector:
        assert data.hex() == vector["data"]
    else:
        assert blake2b(data, digest_size=32).hexdigest() == vector["blake2b_256"]
    index = vector["index"]
    assert isinstance(index, int)
    words = cut(CONTENT)[index]
    if index == 0:
        words = with_table(file_hash(CONTENT), IDS[1:], words)
    inner = chunk(index, words)
    assert inner.hex().startswith(str(vector["inner_start"]))
    replay = Replay(vector["draws"])  # type: ignore[arg-type]
    made = seal(
        lambda _: inner,
        inner,
        vector["exp_h"],  # type: ignore[arg-type]
        bytes.fromhex(str(vector["token"])),
        want_proof=True,
        entropy=replay,
        long_term_secret=bytes.fromhex(VECTORS["seed"]),
        counter=vector["counter"],  # type: ignore[arg-type]
        secret=KEY,
        part=part_of(len(VECTORS["chunks"]), VECTORS["tag"]),
    )
    assert made == data and not replay.draws
    assert envelope_id(data).hex() == vector["id"]
    opened = open_sealed(data, secrets=[KEY], prekeys=[])
    assert opened is not None and opened.wants_proof
    assert open_chunk(opened.inner) == (index, words)
    if index == 0:
        assert read_table(words, len(IDS)) == (file_hash(CONTENT), (*IDS[1:],), cut(CONTENT)[0])


def test_manifest_matches_vector_and_layout() -> None:
    """The body is what section 5.4 says, byte for byte, and reads back."""
    want = VECTORS["body"]
    checksum = blake("mc1 file", CONTENT, 32)
    assert (checksum.hex(), file_hash(CONTENT)) == (VECTORS["hash"], checksum)
    size = struct.pack("<I", len(CONTENT))
    words = KEY + size + IDS[0] + VECTORS["name"].encode()
    name = want["name"].encode()
    head = b"\x04" + bytes.fromhex(want["number"]) + struct.pack("<I", want["sent"])
    raw = head + struct.pack("<H", len(words)) + words + bytes([1, len(name)]) + name
    assert raw.hex() == want["data"]
    manifest = Manifest(KEY, len(CONTENT), VECTORS["name"], chunks=(IDS[0],))
    number = bytes.fromhex(want["number"])
    body = Body(BodyType.FILE, number, want["sent"], name=want["name"], file=manifest)
    assert encode_body(body) == raw
    assert decode_body(raw) == body
    ours = replace(manifest, hash=checksum, chunks=tuple(IDS))
    assert encode_body(replace(body, file=ours)) == raw, "an author knows more than it tells"
