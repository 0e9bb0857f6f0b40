"""Frozen bytes of revocations, live checks and hiding, and the formulas of the page, told anew."""

import json
import struct
from hashlib import blake2b
from typing import Any

from nacl.signing import SigningKey
from world import VECTORS

from meshchat.core.body import Body, BodyType, decode_body, encode_body
from meshchat.core.identity import Identity
from meshchat.core.livecheck import commitment, signs_of
from meshchat.core.model import Mark
from meshchat.core.moderation import read_hide
from meshchat.core.revocations import make_notice
from meshchat.core.signs import SIGNS

FROZEN: dict[str, Any] = json.loads((VECTORS / "people.json").read_text("utf-8"))


def raw(vector: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(vector[name]) for name in names]


def H(label: str, data: bytes, n: int, key: bytes = b"") -> bytes:
    return blake2b(data, digest_size=n, person=label.encode(), key=key).digest()


def test_revocation() -> None:
    """`01 | fp | time | sig`, signed by the identity key over a label and the rest."""
    vector = FROZEN["revocation"]
    seed, notice, inner, number, body = raw(vector, "seed", "notice", "inner", "number", "body")
    owner = Identity.from_seed(seed)
    signed = b"\1" + owner.fp + struct.pack("<I", vector["at"])
    signature = SigningKey(H("mc1 id-sign", b"", 32, seed)).sign(b"mc1 revoke" + signed).signature
    assert notice == signed + signature == make_notice(owner, vector["at"])
    assert inner == b"\x08" + notice
    made = Body(BodyType.REVOCATION, number, vector["at"], name=vector["name"], raw=notice)
    assert encode_body(made) == body and decode_body(body) == made
    assert body[:15] == b"\x10" + number + struct.pack("<IH", vector["at"], 101)


def test_check() -> None:
    """Commitment and signs follow from the link, both people and both numbers, in this order."""
    vector = FROZEN["check"]
    h, starter, answerer, number, answer, commit = raw(
        vector, "h", "starter", "answerer", "number", "answer", "commitment"
    )
    both = h + starter + answerer
    assert H("mc1 check-commit", both + number, 32) == commit
    assert commitment(h, starter, answerer, number) == commit
    bits = int.from_bytes(H("mc1 check-signs", both + number + answer, 6), "big") >> 6
    signs = [bits >> 6 * n & 63 for n in reversed(range(7))]
    assert signs == vector["signs"] == list(signs_of(h, starter, answerer, number, answer))


def test_hide() -> None:
    target, number, body = raw(FROZEN["hide"], "target", "number", "body")
    assert body == b"\x11" + number + struct.pack("<IH", 1_800_000_000, 33) + b"\1" + target
    assert read_hide(decode_body(body).raw) == (target, Mark.HIDDEN)


def test_the_order_of_signs_is_frozen() -> None:
    """Another order would show two people different signs on an honest link."""
    listed = "\n".join(f"{sign} {word}" for sign, word in SIGNS).encode()
    assert blake2b(listed, digest_size=8).hexdigest() == "ad58add728c009f5"
