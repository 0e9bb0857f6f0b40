"""Bodies of the synchronisation records: frozen bytes, and nothing but the exact form is read."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshchat.core import wire
from meshchat.errors import WireError

A, B = bytes(range(16)), bytes(range(16, 32))

# record, what it says, its bytes as docs/reference/wire.md 1.3 gives them
GOLDEN: list[tuple[str, object, str]] = [
    ("digest", (bytes(range(12)), 258), "000102030405060708090a0b02010000"),
    ("ids", [A, B], A.hex() + B.hex()),
    ("offers", [(A, 0x4000), (B, 0xB7FF)], A.hex() + "0040" + B.hex() + "ffb7"),
    ("offers", [(A, wire.PROOF_HINT)], A.hex() + "ffff"),
    (
        "wants",
        [(A, 0, False), (B, 32_767, False), (B, 7, True)],
        A.hex() + "0000" + B.hex() + "ff7f" + B.hex() + "0780",
    ),
    ("part", (A, 512, 2_048, b"\xaa\xbb"), A.hex() + "0002" + "0008" + "aabb"),
    ("refusals", [(A, 1), (B, 5)], A.hex() + "01" + B.hex() + "05"),
    ("proof", (A, 490_000), A.hex() + "107a0700"),
    ("credit", 65_536, "00000100"),
]
READERS: dict[str, Callable[[bytes], object]] = {
    "digest": wire.read_digest,
    "ids": wire.read_ids,
    "offers": wire.read_offers,
    "wants": wire.read_wants,
    "part": wire.read_part,
    "refusals": wire.read_refusals,
    "proof": wire.read_proof,
    "credit": wire.read_credit,
}


def write(name: str, value: object) -> bytes:
    """Bytes of a value as its reader gives it."""
    writer = getattr(wire, f"write_{name}")
    spread = isinstance(value, tuple)
    return writer(*value) if spread else writer(value)  # type: ignore[no-any-return,misc]


@pytest.mark.parametrize(("name", "value", "golden"), GOLDEN, ids=[row[0] for row in GOLDEN])
def test_golden_bytes(name: str, value: object, golden: str) -> None:
    """Written and read as frozen."""
    assert write(name, value).hex() == golden
    assert READERS[name](bytes.fromhex(golden)) == value


@given(st.sampled_from(sorted(READERS)), st.binary(max_size=200))
def test_read_is_exact(name: str, body: bytes) -> None:
    """Any bytes are refused, or written back the same."""
    try:
        value = READERS[name](body)
    except WireError:
        return
    assert write(name, value) == body


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("ids", b""),
        ("ids", bytes(16 * 513)),
        ("ids", bytes(17)),
        ("offers", b""),
        ("offers", bytes(18 * 513)),
        ("offers", bytes(17)),
        ("offers", A + b"\x01\x00"),  # class 0 is a part of nothing
        ("offers", A + b"\x00\x48"),  # nor is class 1
        ("offers", A + b"\x00\xb8"),  # 128 pieces
        ("offers", A + b"\xfe\xff"),  # nearly a proof
        ("offers", A + bytes(2) + B + b"\xff\x3f"),  # one bad among good ones
        ("wants", bytes(18 * 513)),
        ("part", A + bytes(4)),
        ("part", A + b"\x00\x00\x01\x02x"),
        ("refusals", A + b"\x00"),
        ("refusals", A + b"\x06"),
        ("credit", bytes(5)),
        ("proof", bytes(19)),
    ],
)
def test_wrong_forms(name: str, body: bytes) -> None:
    """Empty, too many, odd lengths, unknown sizes and reasons."""
    with pytest.raises(WireError):
        READERS[name](body)
