"""What sealing, opening and recognition cost, beside the bare primitives they cannot do without.

``python -m tests.bench sealing``. Every ratio is of two loops that take turns in one run.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT.parent), str(ROOT / "core")]

from nacl.bindings import (  # noqa: E402
    crypto_aead_chacha20poly1305_ietf_decrypt as aead_decrypt,
)
from nacl.bindings import crypto_aead_chacha20poly1305_ietf_encrypt as aead_encrypt  # noqa: E402
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base  # noqa: E402
from test_sessions import Party, pair  # noqa: E402
from world import START, Host, World  # noqa: E402

from meshchat import keyfile  # noqa: E402
from meshchat.core.body import Body, BodyType, encode_body  # noqa: E402
from meshchat.core.crypto import H  # noqa: E402
from meshchat.core.envelope import open_sealed, seal  # noqa: E402
from meshchat.core.events import AddContact, Send  # noqa: E402
from meshchat.core.model import Now, Prekey  # noqa: E402
from tests.bench.node import envelopes  # noqa: E402
from tests.bench.table import Figure, show  # noqa: E402

ROUNDS = 9
COUNT = 300
DM_BAR, FOREIGN_BAR, FLOOD_BAR, UNLOCK_BAR_S = 4.0, 2.0, 2.0, 2.0
BODY = encode_body(Body(BodyType.TEXT, bytes(8), int(START), "x" * 140))
KEY, NONCE = bytes(range(32)), bytes(12)


def dm_seal_and_open(anna: Party, boris: Party, alternate: bool) -> Callable[[], None]:
    """``COUNT`` messages: session, inner, envelope, and the same backwards. No store of a disk:
    what that costs is the ratio of ``node``."""
    exp_h = int(START // 3_600) + 100

    def once(one: Party, other: Party) -> None:
        card = one.people.card_of(other.people.identity.fp)
        with one.store.transaction():
            session = one.sessions.current(card.fp, one.now)
            data = seal(
                lambda e: one.sessions.seal(session, e, BODY, 0),
                BODY,
                exp_h,
                bytes(16),
                want_proof=True,
                entropy=one.entropy,
                long_term_secret=KEY,
                counter=1,
                prekey=card.prekey,
            )
        opened = open_sealed(data, secrets=[], prekeys=other.people.prekeys[:1])
        assert opened is not None and opened.prekey is not None
        with other.store.transaction():
            opening = other.sessions.open(opened.inner, opened.prekey, opened.header.e, other.now)
            other.sessions.keep(opening, other.now)
        assert opening.body == BODY

    def run() -> None:
        for number in range(COUNT):
            if alternate and number % 2:
                once(boris, anna)
            else:
                once(anna, boris)
            if not alternate and number % 100 == 99:
                once(boris, anna)  # a chain has an end

    return run


def bare_dm(turns: bool) -> Callable[[], None]:
    """The primitives of the same: one key pair and two DH of the envelope, its two AEAD and those
    inside, the hashes; with a turn of the ratchet two key pairs and four DH more."""
    public = crypto_scalarmult_base(KEY)
    inner, outer = BODY, bytes(512 - 96)

    def run() -> None:
        for _ in range(COUNT):
            crypto_scalarmult_base(KEY)
            crypto_scalarmult(KEY, public)
            crypto_scalarmult(KEY, public)
            for data in (inner, outer):
                aead_decrypt(aead_encrypt(data, b"", NONCE, KEY), b"", NONCE, KEY)
            for _ in range(2):
                H(b"mc1 outer-dm", KEY * 3, 48)
                H(b"mc1 dr-chain", b"", 64, KEY)
                H(b"mc1 mk", KEY, 32, KEY)
            H(b"mc1 e-secret", KEY * 4, 32)
            H(b"mc1 done", NONCE, 16)
            if turns:
                crypto_scalarmult_base(KEY)
                crypto_scalarmult(KEY, public)
                crypto_scalarmult(KEY, public)
                H(b"mc1 dr-root", KEY, 64, KEY)
                H(b"mc1 dr-root", KEY, 64, KEY)

    return run


def foreign() -> tuple[Callable[[], None], Callable[[], None]]:
    """Trial opening of envelopes for somebody else with nine prekeys; and nine bare X25519."""
    prekeys = []
    for number in range(9):
        secret = H(b"bench", bytes([number]), 32)
        prekeys.append(Prekey(crypto_scalarmult_base(secret), secret, 0, 0.0))
    held = [
        each.data[:16] + crypto_scalarmult_base(each.data[16:48]) + each.data[48:]
        for each in envelopes(COUNT)
    ]
    points = [data[16:48] for data in held]

    def ours() -> None:
        for data in held:
            assert open_sealed(data, secrets=[], prekeys=prekeys) is None

    def bare() -> None:
        for point in points:
            for prekey in prekeys:
                crypto_scalarmult(prekey.secret, point)

    return ours, bare


def ratio(ours: Callable[[], None], bare: Callable[[], None]) -> float:
    """Median of ours over bare, taken in turn."""
    found = []
    for _ in range(ROUNDS):
        times = []
        for run in (ours, bare):
            begun = time.process_time()
            run()
            times.append(time.process_time() - begun)
        found.append(times[0] / times[1])
    return statistics.median(found)


def chat_beside_a_flood() -> float:
    """How much longer a neighbour waits for a chat message to be shown while 2,000 envelopes for
    somebody else have just come in, in steps of the node's own time."""
    waits = []
    for flood in (0, 2_000):
        world = World()
        a, b = world.host("a"), world.host("b")
        a.do(AddContact(b.node.card_text()))
        b.do(AddContact(a.node.card_text()))
        world.link(a, b)
        world.run(5)
        if flood:
            with b.store.transaction():
                b.store.add_envelopes(envelopes(flood, world.wall), world.wall)
            b.crash()
            world.link(a, b)
            world.settle()
        waits.append(_wait(world, a, b))
    return waits[1] / waits[0]


def _wait(world: World, a: Host, b: Host) -> float:
    found = []
    for number in range(20):
        begun = time.process_time()
        a.do(Send(b"c" + b.node.fp, f"message {number}"))
        world.settle()
        found.append(time.process_time() - begun)
        assert b.texts(b"c" + a.node.fp)[-1] == f"message {number}"
    return statistics.median(found)


def unlock_s() -> float:
    """CPU seconds from passphrase to key, with the settings a new profile gets here: both slots
    are tried. On an idle machine that is what a person waits."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "key"
        keyfile.create(path, "a passphrase of some words")
        begun = time.process_time()
        keyfile.unlock(path, "a passphrase of some words")
        return time.process_time() - begun


def figures() -> list[Figure]:
    """Of all of these."""
    rows: list[tuple[str, float, float]] = []
    for name, alternate in (("same chain", False), ("a turn of the ratchet each time", True)):
        anna, boris = pair()
        boris.open(anna.seal(boris, BODY))
        anna.open(boris.seal(anna, BODY))
        anna.now = boris.now = Now(0.0, START)
        ours = ratio(dm_seal_and_open(anna, boris, alternate), bare_dm(alternate))
        rows.append((f"seal and open a DM, {name}, to bare primitives", ours, DM_BAR))
    rows.append(("foreign envelope, 9 prekeys, to 9 bare X25519", ratio(*foreign()), FOREIGN_BAR))
    flood = chat_beside_a_flood()
    rows.append(("chat right after 2,000 foreign envelopes, to a calm node", flood, FLOOD_BAR))
    rows.append(("unlock, CPU s", unlock_s(), UNLOCK_BAR_S))
    return [(what, value, f"<= {bar}") for what, value, bar in rows]


if __name__ == "__main__":
    sys.exit(bool(show(figures())))
