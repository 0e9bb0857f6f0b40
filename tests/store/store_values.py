"""Values for the tests of the store. Run as a program, it writes until it is killed."""

import sys
from pathlib import Path

from msgspec.structs import replace

from meshchat.core.envelope import envelope_id, parse_header, seal
from meshchat.core.model import Contact, Fate, Held, Message, Piece, State
from meshchat.sim.memory import MemoryStore
from meshchat.store import SqlStore
from meshchat.system import SystemEntropy
from meshchat.text import Clean

KEY = bytes(range(32))
AnyStore = SqlStore | MemoryStore
ANNA, BORIS = b"A" * 32, b"B" * 32
CHAT = b"c" + ANNA


def b16(n: int) -> bytes:
    return n.to_bytes(16, "big")


def held(n: int, **changes: object) -> Held:
    data = bytes(4) + bytes([n % 256]) * 508
    base = Held(b16(n), 0, 100, b"d" + b16(n)[1:], data, b"neighbor")
    return base._replace(**changes)  # type: ignore[arg-type]


def message(n: int, **changes: object) -> Message:
    base = Message(
        id=n.to_bytes(8, "big"),
        chat=CHAT,
        author=ANNA,
        author_name=Clean(),
        outgoing=False,
        text=Clean(f"text {n}"),
        sent_at=float(n),
        received_at=1000.0 + n,
        state=State.RECEIVED,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def contact(fp: bytes, name: str, **changes: object) -> Contact:
    return replace(Contact(fp, b"card" + fp, Clean(name)), **changes)  # type: ignore[arg-type]


def piece(place: int, data: bytes, key: bytes = b"k" * 32) -> Piece:
    """As the chunk of a file brings it."""
    inner = bytes((6, place)) + data
    envelope = seal(
        lambda _: inner,
        inner,
        500_000,
        b"t" * 16,
        want_proof=True,
        entropy=SystemEntropy(),
        long_term_secret=b"s" * 32,
        counter=place,
        secret=key,
    )
    return Piece(place, envelope_id(envelope), envelope, key, 2)


def chunk_of(one: Piece, **changes: object) -> Held:
    """The same envelope, carried."""
    header = parse_header(one.data)
    base = Held(one.eid, header.size_class, header.exp_h, header.done, one.data, b"neighbor")
    return base._replace(**changes)  # type: ignore[arg-type]


def add(store: AnyStore, *envelopes: Held) -> None:
    with store.transaction():
        store.add_envelopes(envelopes, 5.0)


def write_for_ever(path: Path) -> None:
    """One transaction after the other; the number of each on stdout once it is durable."""
    store = SqlStore.open(path, KEY)
    n = int(store.get("n") or b"0")
    while True:
        n += 1
        with store.transaction():
            store.put("n", str(n).encode())
            store.add_message(message(n))
            store.add_envelopes([held(n * 3), held(n * 3 + 1), held(n * 3 + 2)], 0.0)
            store.save_pieces(b"the file", [piece(n % 30, str(n).encode())])
            if n % 7 == 0:
                store.drop_file(b"the file")
            if n > 20:
                store.drop_envelopes([b16((n - 20) * 3)], Fate.PROVEN)
        sys.stdout.write(f"{n}\n")
        sys.stdout.flush()
        if n % 40 == 0:
            store.truncate_wal()
        elif n % 4 == 0:
            store.overwrite(3)


if __name__ == "__main__":
    write_for_ever(Path(sys.argv[1]))
