"""Writes link.json beside this file. Run once by hand for a new wire version, never by tests."""

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "core"), str(HERE.parent.parent)]

from pair import SeededEntropy, replay_hello, replay_link  # noqa: E402

from meshchat.core import link  # noqa: E402
from meshchat.core.crypto import x25519_public  # noqa: E402


def _link(mtu: int, draw: SeededEntropy) -> dict[str, Any]:
    """A handshake, some records each way, and a rekey by time on one side."""

    def step(sender: str, at: float, *records: tuple[int, bytes]) -> dict[str, Any]:
        return {"from": sender, "at": at, "records": [(kind, body.hex()) for kind, body in records]}

    hints = (b"\0\0", b"\5\xb3", b"\xff\xff")  # a small one, a chunk of 33 to 64, a proof
    offers = b"".join(draw.bytes(16) + hint for hint in hints)
    part = draw.bytes(16) + b"\0\0" + b"\0\2" + draw.bytes(200)
    vector: dict[str, Any] = {
        "mtu": mtu,
        "prologue": (b"meshchat/1\3" + draw.bytes(32)).hex(),
        "psk": draw.bytes(32).hex(),
        "dialler": {
            "node_secret": draw.bytes(32).hex(),
            "ephemeral_secret": draw.bytes(32).hex(),
        },
        "responder": {
            "node_secret": draw.bytes(32).hex(),
            "ephemeral_secret": draw.bytes(32).hex(),
        },
        "steps": [
            step("dialler", 0.0),
            step("responder", 0.0),
            step("dialler", 0.0, (link.HELLO, draw.bytes(132))),
            step("responder", 0.5, (link.HELLO, draw.bytes(132)), (link.DIGEST, draw.bytes(16))),
            step("dialler", 1.0, (link.HAVE, offers), (link.NEXT, b"")),
            step("responder", 1.0, (link.WANT, draw.bytes(36)), (link.PART, part)),
            step("dialler", 2.0, (link.STORED, draw.bytes(16)), (link.CREDIT, b"\xdc\0\0\0")),
            step("responder", 601.0, (link.NEXT, b"")),
            step("responder", 601.0, (link.NEXT, b"")),
            step("dialler", 601.0, (link.REFUSED, draw.bytes(17)), (link.PROOF, draw.bytes(20))),
        ],
    }
    for step_, frames in zip(vector["steps"], replay_link(vector), strict=True):
        step_["frames"] = frames
    return vector


def _hello(outbound: bool, draw: SeededEntropy) -> dict[str, Any]:
    secret = draw.bytes(32)
    vector: dict[str, Any] = {
        "h": draw.bytes(64).hex(),
        "outbound": outbound,
        "own": {"fp": draw.bytes(32).hex(), "dh_secret": draw.bytes(32).hex()},
        "contact": {
            "fp": draw.bytes(32).hex(),
            "dh_secret": secret.hex(),
            "dh_public": x25519_public(secret).hex(),
        },
        "entropy": draw.bytes(15 * 8 + 16 * 8).hex(),
    }
    return vector | replay_hello(vector)


def main() -> None:
    """Record what the code of today puts on the wire."""
    draw = SeededEntropy("golden link vectors")
    data = {
        "about": "Links and HELLOs of wire version 1; fields as in docs/reference/wire.md.",
        "links": [_link(mtu, draw) for mtu in (256, 300, 16_384)],
        "hellos": [_hello(outbound, draw) for outbound in (True, False)],
    }
    (HERE / "link.json").write_text(json.dumps(data, indent=1) + "\n")


if __name__ == "__main__":
    main()
