"""A hostile neighbour: a true handshake, and after it any records one likes."""

from sealing import first_dm
from world import Host, SeededEntropy, World

from meshchat.core import link as wire_link
from meshchat.core.body import Body, BodyType, encode_body
from meshchat.core.envelope import envelope_id, seal
from meshchat.core.events import Event, LinkDown, LinkUp, Received, SendFrames, Wake
from meshchat.core.hello import make_hello
from meshchat.core.identity import Card, Identity, make_card
from meshchat.core.limits import CLASS_SIZES_BYTES
from meshchat.core.link import HELLO, Link, Record, new_node_key
from meshchat.core.model import Kind, hint_of
from meshchat.core.node import OPEN_MESH_PSK
from meshchat.core.wire import OFFER_BYTES, read_wants, write_next, write_offers, write_part
from meshchat.errors import ProtocolError


class Mallory:
    """Stands in a ``World`` like a host, but says only what a test tells it to."""

    def __init__(self, world: World, name: str = "Mallory") -> None:
        self.world, self.name = world, name
        self.entropy = SeededEntropy(f"{world.seed}/{name}")
        self.key = new_node_key(self.entropy)
        self.links: dict[int, tuple[Host, int]] = {}
        self.link: Link | None = None
        self.heard: list[Record] = []
        self.answered = 0
        """HAVEs of the victim answered on this link so far."""
        self.stock: dict[bytes, bytes] = {}
        """Envelopes by id, given to whoever asks for them."""

    def dial(
        self, victim: Host, mtu: int = 16_384, hello: bool = True, supervised: bool = False
    ) -> None:
        """A new link to the victim; greets as a stranger unless told not to."""
        self.heard.clear()
        self.answered = 0
        self.world.link(self, victim, mtu, supervised=supervised)  # type: ignore[arg-type]
        self.world.settle()
        if hello and self.link is not None:  # None: the victim refused
            h = self.link.handshake_hash
            self.say((HELLO, make_hello((), h, True, bytes(32), self.entropy)))

    def handle(self, event: Event) -> None:
        if isinstance(event, LinkUp):
            self.link = Link(event, self.key, OPEN_MESH_PSK, self.entropy, self.world.now)
        elif isinstance(event, LinkDown):
            self.link = None
        elif isinstance(event, Received) and self.link is not None:
            try:
                records = self.link.receive(event.frames, self.world.now)
            except ProtocolError:
                return
            self.heard += records
            for kind, body in records:
                if kind == wire_link.WANT:
                    for eid, offset, _ in read_wants(body):
                        if eid in self.stock:
                            self._serve(eid, offset)
        self._flush()

    def _serve(self, eid: bytes, offset: int) -> None:
        assert self.link is not None
        data, room = self.stock[eid], self.link.max_record - 20
        for at in range(offset, len(data), room):
            part = write_part(eid, at, len(data), data[at : at + room])
            self.link.send(wire_link.PART, part)

    def _flush(self) -> None:
        if self.link is not None and self.links:
            frames = self.link.flush(self.world.now)
            if frames:
                self.world.carry(self, SendFrames(self.link.id, frames))  # type: ignore[arg-type]

    def say(self, *records: Record) -> None:
        """Send records now and let the world take them in."""
        if self.link is not None:
            for kind, body in records:
                self.link.send(kind, body)
            self._flush()
        self.world.settle()

    def next(self, known: int = 0) -> Record:
        """Answer every HAVE heard and not answered yet: nothing of it (or all) is known here."""
        sizes = [len(body) // OFFER_BYTES for body in self.bodies(wire_link.HAVE)[self.answered :]]
        self.answered += len(sizes)
        return wire_link.NEXT, write_next([known and (1 << size) - 1 for size in sizes], sizes)

    def give(self, *envelopes: bytes) -> None:
        """Offer envelopes properly; they go as fast as the victim asks."""
        ids = [envelope_id(data) for data in envelopes]
        self.stock.update(zip(ids, envelopes, strict=True))
        hints = [hint_of(data[1], data) for data in envelopes]
        offers = list(zip(ids, hints, strict=True))
        self.say((wire_link.HAVE, write_offers(offers)))

    def hang_up(self) -> None:
        for link in list(self.links):
            self.world.cut_link(self, link)  # type: ignore[arg-type]
        self.world.settle()

    def asked(self) -> dict[bytes, int]:
        """What the victim has asked for, with the last offset it named."""
        return {
            eid: offset
            for kind, body in self.heard
            if kind == wire_link.WANT
            for eid, offset, _ in read_wants(body)
        }

    def asked_first(self) -> set[bytes]:
        """What the victim has asked for as begun or sought."""
        return {
            eid
            for body in self.bodies(wire_link.WANT)
            for eid, _, first in read_wants(body)
            if first
        }

    def bodies(self, kind: int) -> list[bytes]:
        return [body for heard, body in self.heard if heard == kind]


def have(*ids: bytes, hint: int = 0) -> Record:
    """A HAVE of these ids, all said to be of one sort."""
    return wire_link.HAVE, write_offers([(eid, hint) for eid in ids])


def junk(
    number: int,
    world: World,
    size_class: int = 0,
    done: bytes = b"",
    life_h: int = 100,
    part: int = 0,
) -> bytes:
    """A well-formed envelope that opens for nobody."""
    entropy = SeededEntropy(f"junk {number}")
    exp_h = int(world.wall // 3_600) + life_h
    header = (
        bytes((1, size_class)) + part.to_bytes(2, "little") + exp_h.to_bytes(4, "little") + bytes(8)
    )
    header += entropy.bytes(32) + entropy.bytes(16) + (done or entropy.bytes(16))
    return header + entropy.bytes(CLASS_SIZES_BYTES[size_class] - len(header))


class Stranger:
    """An identity without a node, that can write first messages."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.entropy = SeededEntropy(f"stranger {name}")
        self.identity = Identity.from_seed(self.entropy.bytes(32))
        prekey = new_node_key(self.entropy).public
        exp_h = int(world.wall // 3_600) + 190
        self.card = make_card(self.identity, self.entropy.bytes(32), prekey, exp_h)

    def dm(
        self,
        to: Card,
        text: str,
        kind: BodyType = BodyType.TEXT,
        card: bytes = b"",
        raw: bytes | None = None,
    ) -> bytes:
        """An envelope to ``to``; ``raw`` replaces the body by anything."""
        name = "" if kind is BodyType.PROFILE else self.name
        body = Body(kind, self.entropy.bytes(8), int(self.world.wall), text, name, b"", card)
        data = encode_body(body) if raw is None else raw
        return seal(
            lambda e: first_dm(self.identity, self.card, to, e, data, self.entropy),
            data,
            int(self.world.wall // 3_600) + 100,
            self.entropy.bytes(16),
            want_proof=True,
            entropy=self.entropy,
            long_term_secret=bytes(32),
            counter=1,
            prekey=to.prekey,
        )


def totals_match(host: Host) -> bool:
    """Whether the running totals of custody are what the store holds."""
    custody = host.node._custody
    usage = host.store.usage()
    by_class = [sum(u.size_bytes for u in usage if u.size_class == c) for c in range(4)]
    counts = [sum(u.count for u in usage if u.kind == kind) for kind in Kind]
    return (custody._totals.by_class, custody._totals.count, custody.untried) == (
        by_class,
        counts,
        host.store.count_untried(),
    )


def silence(host: Host, world: World, steps: int = 50) -> bool:
    """Whether a node left alone with its timer stops asking for the present moment."""
    for _ in range(steps):
        at = host.node.next_wakeup()
        if at is None or at > world.mono:
            return True
        host.handle(Wake())
    return False
