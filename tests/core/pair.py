"""Two links facing each other, a clock moved by hand, and randomness that repeats."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

from meshchat.core.crypto import x25519_keypair
from meshchat.core.events import LinkUp
from meshchat.core.hello import make_hello, pair_key
from meshchat.core.link import Link, NodeKey, Record, new_node_key
from meshchat.core.model import Now

PSK = b"k" * 32
WALL = 1_800_000_000.0


class SeededEntropy:
    """Bytes that depend on the seed and on how many were asked for before."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._at = 0

    def bytes(self, n: int) -> bytes:
        out = b""
        while len(out) < n:
            self._at += 1
            out += blake2b(self._seed, salt=self._at.to_bytes(8, "little")).digest()
        return out[:n]


class FixedEntropy:
    """Gives exactly the recorded bytes, in order."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def bytes(self, n: int) -> bytes:
        out, self._data = self._data[:n], self._data[n:]
        assert len(out) == n, "more randomness asked for than recorded"
        return out


def make_link(
    name: str,
    *,
    outbound: bool,
    mtu: int = 16_384,
    psk: bytes = PSK,
    prologue: bytes = b"meshchat/1",
    now: Now | None = None,
) -> Link:
    """One side; its keys follow from ``name``."""
    entropy = SeededEntropy(name)
    up = LinkUp(1, "sim", outbound, mtu, prologue, name.encode())
    return Link(up, new_node_key(entropy), psk, entropy, now or Now(0.0, WALL))


@dataclass
class Pair:
    """``a`` dialled ``b``. Frames move when a test says so; nothing is lost by itself."""

    a: Link = field(default_factory=lambda: make_link("a", outbound=True))
    b: Link = field(default_factory=lambda: make_link("b", outbound=False))
    mono: float = 0.0

    @classmethod
    def opened(cls, mtu: int = 16_384) -> "Pair":
        """Both sides open, nothing queued."""
        pair = cls(make_link("a", outbound=True, mtu=mtu), make_link("b", outbound=False, mtu=mtu))
        pair.exchange()
        assert pair.a.is_open and pair.b.is_open
        return pair

    @property
    def now(self) -> Now:
        return Now(self.mono, WALL + self.mono)

    def take(self, link: Link) -> tuple[bytes, ...]:
        """What ``link`` puts on the wire now."""
        return link.flush(self.now)

    def give(self, link: Link, *frames: bytes) -> list[Record]:
        """Hand frames to ``link``."""
        return link.receive(frames, self.now)

    def move(self, sender: Link) -> list[Record]:
        """All frames of ``sender`` to the other side; what that side reads."""
        return self.give(self.b if sender is self.a else self.a, *self.take(sender))

    def exchange(self) -> tuple[list[Record], list[Record]]:
        """Move frames until both are silent; what ``a`` and ``b`` read."""
        at_a: list[Record] = []
        at_b: list[Record] = []
        while True:
            to_b, to_a = self.take(self.a), self.take(self.b)
            if not to_b and not to_a:
                return at_a, at_b
            at_b += self.give(self.b, *to_b)
            at_a += self.give(self.a, *to_a)

    def send(self, sender: Link, records: Sequence[Record]) -> list[Record]:
        """Queue records, move them; what the other side reads."""
        for kind, body in records:
            sender.send(kind, body)
        return self.move(sender)

    def forge(self, sender: Link, plain: bytes) -> bytes:
        """A frame with this plaintext, as only the peer itself could make it: a hostile peer."""
        return sender._send.encrypt_with_ad(b"", plain)


def replay_link(vector: dict[str, Any]) -> list[list[str]]:
    """Frames (hex) that each step of a golden link vector puts on the wire, both ways checked."""
    sides = []
    for name in ("dialler", "responder"):
        side = vector[name]
        up = LinkUp(
            1, "sim", name == "dialler", vector["mtu"], bytes.fromhex(vector["prologue"]), b""
        )
        key = NodeKey(*x25519_keypair(bytes.fromhex(side["node_secret"])))
        entropy = FixedEntropy(bytes.fromhex(side["ephemeral_secret"]))
        sides.append(Link(up, key, bytes.fromhex(vector["psk"]), entropy, Now(0.0, WALL)))
    out = []
    for step in vector["steps"]:
        sender, reader = sides if step["from"] == "dialler" else reversed(sides)
        now = Now(step["at"], WALL + step["at"])
        records = [(kind, bytes.fromhex(body)) for kind, body in step["records"]]
        for kind, body in records:
            sender.send(kind, body)
        frames = sender.flush(now)
        assert reader.receive(frames, now) == records
        out.append([frame.hex() for frame in frames])
    assert sides[0].is_open and sides[1].is_open
    return out


def replay_hello(vector: dict[str, Any]) -> dict[str, str]:
    """Pair key and HELLO body (hex) for the inputs of a golden hello vector."""
    own, contact = (
        {k: bytes.fromhex(v) for k, v in vector[name].items()} for name in ("own", "contact")
    )
    key = pair_key(own["dh_secret"], contact["dh_public"], own["fp"], contact["fp"])
    body = make_hello(
        [(contact["fp"], key)],
        bytes.fromhex(vector["h"]),
        vector["outbound"],
        own["fp"],
        FixedEntropy(bytes.fromhex(vector["entropy"])),
    )
    return {"pair_key": key.hex(), "body": body.hex()}
