"""People, a room, and envelopes between them: what the sealing tests share."""

import json
from collections.abc import Callable
from hashlib import shake_256
from pathlib import Path

from meshchat.core import crypto, sealed
from meshchat.core.body import Body, BodyType, encode_body
from meshchat.core.contacts import People
from meshchat.core.envelope import (
    Opened,
    open_sealed,
    seal,
)
from meshchat.core.identity import (
    Card,
    Identity,
    announce_secret,
    make_card,
    public_room_key,
    room_author_seed,
    room_id,
    room_secret,
)
from meshchat.core.model import Now, Prekey
from meshchat.core.ratchet import Ratchet
from meshchat.core.sealed import (
    announce,
    check_group_message,
    chunk,
    group_message,
    open_group_message,
    read_group_message,
    room_post,
)
from meshchat.core.sessions import Sessions
from meshchat.sim.memory import MemoryStore

VECTORS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "sealing.json").read_text(encoding="utf-8")
)
EXP_H = 500_000
LOW_ORDER_U = (
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    2**255 - 20,
    2**255 - 19,
    2**255 - 18,
)
LOW_ORDER = [(u | high).to_bytes(32, "little") for u in LOW_ORDER_U for high in (0, 1 << 255)]


def fixed(label: str, n: int = 32) -> bytes:
    return shake_256(label.encode()).digest(n)


class Seeded:
    """Entropy that repeats from run to run."""

    def __init__(self, label: str = "entropy") -> None:
        self._label = label
        self._count = 0

    def bytes(self, n: int) -> bytes:
        self._count += 1
        return fixed(f"{self._label} {self._count}", n)


class Person:
    """An identity with one prekey and a card."""

    def __init__(self, seed: bytes, ak: bytes, prekey_secret: bytes) -> None:
        self.identity = Identity.from_seed(seed)
        public = crypto.x25519_public(prekey_secret)
        self.prekey = Prekey(public, prekey_secret, EXP_H, 0.0)
        self.card = make_card(self.identity, ak, public, EXP_H)
        self.announce_secret = announce_secret(ak)


def person(name: str) -> Person:
    return Person(fixed(f"{name} seed"), fixed(f"{name} ak"), fixed(f"{name} prekey"))


ANNA, BORIS, EVE = person("anna"), person("boris"), person("eve")
ROOM_KEY = public_room_key("#test")
RID = room_id(ROOM_KEY)
ROOM_S = room_secret(ROOM_KEY, 20_000)
AUTHOR_SEED = room_author_seed(ANNA.identity.seed, RID)
AUTHOR = crypto.sign_public(AUTHOR_SEED)
FILE_KEY = fixed("file key")
TOKEN = fixed("token", 16)
TEXT = encode_body(Body(BodyType.TEXT, bytes(8), 1_800_000_000, "hello"))


NOW = Now(0.0, EXP_H * 3_600.0 - 86_400.0)


def first_dm(
    identity: Identity, own: Card, reader: Card, e: bytes, body: bytes, entropy: Seeded
) -> bytes:
    """The first message of a session that its writer forgets at once."""
    ek_secret, ek = crypto.x25519_keypair(entropy.bytes(32))
    root, sid = sealed.agree_to_write(identity, ek_secret, ek, reader)
    ratchet = Ratchet.start(root, reader.prekey, entropy.bytes(32))
    _, message = ratchet.seal(sid, e, identity.fp + reader.fp, body)
    return sealed.first_dm(own.encode(), ek, message)


def open_first_dm(inner: bytes, identity: Identity, prekey: Prekey, e: bytes) -> tuple[Card, bytes]:
    """What a reader without any session makes of it: the sender's card and the body."""
    store = MemoryStore()
    with store.transaction():
        People.create(store, Seeded("people"), NOW, "me", identity.seed)
        people = People(store, Seeded("people"), lambda _: None, NOW)
        opening = Sessions(store, Seeded("sessions"), people).open(inner, prekey, e, NOW)
    assert opening.card is not None
    return opening.card, opening.body


def put(
    build: Callable[[bytes], bytes],
    *,
    prekey: bytes | None = None,
    secret: bytes | None = None,
    want_proof: bool = True,
    size_class: int | None = None,
    body: bytes = TEXT,
) -> bytes:
    return seal(
        build,
        body,
        EXP_H,
        TOKEN,
        size_class=size_class,
        want_proof=want_proof,
        entropy=Seeded("seal"),
        long_term_secret=ANNA.identity.seed,
        counter=1,
        prekey=prekey,
        secret=secret,
    )


def dm(sender: Person, to: Person, body: bytes = TEXT, **options: bool) -> bytes:
    def build(e: bytes) -> bytes:
        return first_dm(sender.identity, sender.card, to.card, e, body, Seeded("dm"))

    return put(build, prekey=to.card.prekey, body=body, **options)


def post(body: bytes = TEXT) -> bytes:
    return put(lambda e: room_post(AUTHOR_SEED, RID, e, 7, 1_800_000_000, body), secret=ROOM_S)


def news(sender: Person = ANNA, body: bytes = TEXT) -> bytes:
    return put(
        lambda e: announce(sender.identity, sender.card, e, 3, body), secret=sender.announce_secret
    )


def opened(data: bytes, *, secrets: tuple[bytes, ...] = (), me: Person | None = None) -> Opened:
    result = open_sealed(data, secrets=secrets, prekeys=[me.prekey] if me else [])
    assert result is not None
    return result


def piece() -> bytes:
    inner = chunk(3, b"some bytes of a file")
    return put(lambda _: inner, secret=FILE_KEY)


GROUP_SEED, GROUP_SECRET, GROUP_MK = fixed("group seed"), fixed("group head"), fixed("group mk")
GROUP_PLACE = fixed("group id", 16) + fixed("epoch id", 8)


def to_group() -> bytes:
    return put(
        lambda e: group_message(GROUP_SEED, GROUP_PLACE, 1, 4, GROUP_MK, e, TEXT),
        secret=GROUP_SECRET,
        want_proof=False,
    )


def from_group(inner: bytes, e: bytes) -> bytes:
    message = read_group_message(inner)
    check_group_message(message, crypto.sign_public(GROUP_SEED), GROUP_PLACE, e)
    return open_group_message(message, GROUP_MK, GROUP_PLACE, e)


ENVELOPES = {
    "dm": dm(ANNA, BORIS),
    "group": to_group(),
    "post": post(),
    "announce": news(),
    "chunk": piece(),
}
