"""Groups: what a rekey of a full group costs, and a message against its bare primitives.

``python -m tests.bench groups``. The bare side seals and opens an envelope of the same size,
steps the chain, and signs and verifies, with PyNaCl and hashlib called directly, in turn with the
shipped code in one run. The shipped side is a whole node's ``Talk`` on a store in memory.
"""

import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT.parent), str(ROOT / "core")]

import hashlib  # noqa: E402

from grouptool import GroupWorld, befriend  # noqa: E402
from nacl import bindings as nacl  # noqa: E402
from world import World  # noqa: E402

from meshchat.core.body import Body, BodyType, encode_body  # noqa: E402
from meshchat.core.envelope import envelope_id, open_sealed, parse_header  # noqa: E402
from meshchat.core.events import CreateGroup, RemoveMember  # noqa: E402
from meshchat.core.model import Group  # noqa: E402
from tests.bench.table import Figure, show  # noqa: E402

COUNT = 400
BAR = 4.0  # what a direct message may cost as well


def blake(label: bytes, data: bytes, n: int, key: bytes = b"") -> bytes:
    return hashlib.blake2b(data, digest_size=n, key=key, person=label).digest()


def bare(count: int) -> float:
    """Seconds for sealing and opening ``count`` messages with nothing but the primitives."""
    seed, head, chain = bytes(32), b"h" * 32, b"c" * 32
    public, secret = nacl.crypto_sign_seed_keypair(seed)
    reader, body = chain, b"b" * 120
    started = time.perf_counter()
    for number in range(count):
        e_secret = blake(b"mc1 e-secret", number.to_bytes(80, "little") + body, 32)
        e = nacl.crypto_scalarmult_base(e_secret)
        keys = blake(b"mc1 outer-sym", e, 48, head)
        both = blake(b"mc1 dr-chain", b"", 64, chain)
        chain, key = both[:32], blake(b"mc1 mk", e, 32, both[32:])
        inner = nacl.crypto_aead_chacha20poly1305_ietf_encrypt(body, e, bytes(12), key)
        signed = nacl.crypto_sign(e + blake(b"mc1 g-ct", inner, 32), secret)
        outer = (signed[:64] + inner).ljust(416, b"\0")
        ct = nacl.crypto_aead_chacha20poly1305_ietf_encrypt(outer, e, bytes(12), keys[16:])
        # the reader
        keys = blake(b"mc1 outer-sym", e, 48, head)
        outer = nacl.crypto_aead_chacha20poly1305_ietf_decrypt(ct, e, bytes(12), keys[16:])
        nacl.crypto_sign_open(outer[:64] + e + blake(b"mc1 g-ct", inner, 32), public)
        both = blake(b"mc1 dr-chain", b"", 64, reader)
        reader, key = both[:32], blake(b"mc1 mk", e, 32, both[32:])
        nacl.crypto_aead_chacha20poly1305_ietf_decrypt(inner, e, bytes(12), key)
    return time.perf_counter() - started


def shipped(group: GroupWorld, count: int) -> float:
    """The same by a member's node and another's, chains and all, without link and custody."""
    writer, reader = group.hosts[:2]
    talk, other = (host.node._chats.groups._talk for host in (writer, reader))
    (epoch,) = talk.sendable(group.gid)
    opener = next(found for secret, found in other.secrets(0) if secret == epoch.head_key)
    now, exp_h, spent = group.world.now, int(group.world.wall // 3_600) + 100, 0.0
    with writer.store.transaction(), reader.store.transaction():
        for number in range(count):
            body = Body(BodyType.TEXT, number.to_bytes(8, "little"), 1, "x" * 100)
            started = time.perf_counter()
            data = talk.seal(epoch, body, exp_h)
            opened = open_sealed(data, secrets=[epoch.head_key], prekeys=())
            spent += time.perf_counter() - started
            assert opened is not None
            held = reader.node._custody.held(data, parse_header(data), envelope_id(data), b"o" * 8)
            started = time.perf_counter()
            opener(opened, held, now)
            spent += time.perf_counter() - started
    assert len(reader.store.message_sizes(group.chat)) >= count
    return spent


def rekey() -> tuple[float, int, float]:
    """Seconds and bytes of removing one of 32, and seconds at a member who is told."""
    world = World()
    hosts = [world.host(f"P{number:02d}") for number in range(32)]
    for host in hosts[1:]:
        befriend(hosts[0], host)
    first = hosts[0]
    group = first.do(CreateGroup("Full", tuple(host.node.fp for host in hosts[1:])))
    assert isinstance(group, Group)
    before = {eid for eid, _ in first.store.offered(int(world.wall // 3_600))}
    started = time.perf_counter()
    first.do(RemoveMember(group.gid, hosts[-1].node.fp))
    made = time.perf_counter() - started
    fresh = [eid for eid, _ in first.store.offered(int(world.wall // 3_600)) if eid not in before]
    size = sum(len(held.data) for held in map(first.store.envelope, fresh) if held)
    told = first.store.envelope(fresh[0])
    assert told is not None
    taken = 0.0
    for host in hosts[1:3]:
        for eid in [*before, *fresh]:
            held = first.store.envelope(eid)
            assert held is not None
            started = time.perf_counter()
            with host.store.transaction():
                host.node._exchange._open(held, world.now)
            taken = max(taken, time.perf_counter() - started)
    return made, size, taken


def figures(rounds: int = 5) -> list[Figure]:
    """Rates, their ratio beside its bar, and a rekey of a full group."""
    plain: list[float] = []
    ours: list[float] = []
    for _ in range(rounds):
        group = GroupWorld(("Aida", "Bolat"), 2)
        plain.append(bare(COUNT))
        ours.append(shipped(group, COUNT))
    assert encode_body(Body(BodyType.TEXT, bytes(8), 1, "x" * 100))
    made, size, taken = rekey()
    return [
        ("group message by bare primitives, seal and open/s", COUNT / statistics.median(plain), ""),
        ("group message by a node, seal, open and store/s", COUNT / statistics.median(ours), ""),
        (
            "group message to bare primitives, times",
            statistics.median(ours) / statistics.median(plain),
            f"<= {BAR}",
        ),
        ("removing one of 32: ms", 1_000 * made, ""),
        ("removing one of 32: kB of envelopes", size / 1_000, "<= 66"),
        ("a rekey at a member, slowest envelope: ms", 1_000 * taken, ""),
    ]


if __name__ == "__main__":
    sys.exit(bool(show(figures(*(int(argument) for argument in sys.argv[1:2])))))
