"""What a simulated run is measured by, gathered while it goes.

Definitions are those of the design study (delivery.md, C): a delivery counts when all of a
message is at its destination within its lifetime; a transmission is one whole copy of a message
moved to another node (a file in pieces counts one when all pieces have moved); mean wait counts
an undelivered message with its whole lifetime.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from meshchat.core import link as records
from meshchat.core.body import TEXT_MAX_BYTES
from meshchat.core.events import Effect, FileComplete, MessageAdded, MessageChanged
from meshchat.core.model import Message, State
from meshchat.core.wire import PART_HEAD_BYTES
from meshchat.sim.ways import Contact, Wanted

if TYPE_CHECKING:
    from meshchat.sim.links import Radio
    from meshchat.sim.person import Person
    from meshchat.sim.world import World

KINDS = ("payload", "sync", "handshake", "proofs", "presence", "keepalive", "padding")
"""What bytes on the air are spent on: measured messages; ids, requests, answers; greeting and
Noise; delivery proofs; announces and cards; pings; encryption tags and padding to a size."""
PAYLOAD, SYNC, HANDSHAKE, PROOFS, PRESENCE, KEEPALIVE, PADDING = range(7)
HOPS_MAX = 255

_HEAD = records.RECORD_HEADER_BYTES
_KIND = [SYNC] * 256
for _record in (records.HELLO, records.REKEY, records.CLOSE):
    _KIND[_record] = HANDSHAKE
for _record in (records.PING, records.PONG):
    _KIND[_record] = KEEPALIVE
_KIND[records.PROOF] = PROOFS


class FrameLoad(Struct, frozen=True):
    """What is in a frame."""

    sizes: tuple[tuple[int, int], ...]
    """``(kind, bytes)``; kinds of which nothing is in it are left out."""
    done: tuple[bytes, ...]
    """Ids of measured envelopes whose last bytes are in it."""


_HANDSHAKES: dict[int, FrameLoad] = {}
_ARRIVED = (State.DELIVERED, State.READ)


class Carried:
    """One envelope of a measured message."""

    __slots__ = ("hops", "share")

    def __init__(self, nodes: int, author: int, share: float) -> None:
        self.hops = bytearray(nodes)
        """1 + the hops it took to each node; 0: not there."""
        self.hops[author] = 1
        self.share = share
        """Of its message: a file of five pieces moves in fifths."""


class Measure:
    """Counts of one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self.wishes: list[Wanted] = []
        self.of: list[str] = []
        """Name of the workload each wish belongs to."""
        self.delivered_at: list[float | None] = []
        self.hops: list[int | None] = []
        self.accepted: list[bool] = []
        self.created = 0
        """Wishes whose time has come."""
        self.delivered = 0
        self.late = 0
        self.refused: Counter[str] = Counter()
        self.duplicates_shown = 0
        self.transmissions = 0.0
        self.bytes = [0] * len(KINDS)
        self.frames = 0
        self.linked = self.failed = self.commits_failed = self.links_open = 0
        self.contacts: list[Contact] = []
        """When who could talk to whom, in order of ending; complete after ``finish``."""
        self.rates: list[float] = []
        """Bytes a second of each contact; 0: no limit."""
        self.sent: list[int] = []
        self.received: list[int] = []
        self.carried: list[int] = []
        """By node: bytes sent and received, and envelopes of measured messages taken."""
        self.radio_j: list[float] = []
        """Joules that sending and receiving took."""
        self.on_s: list[float] = []
        self.pair_s: dict[tuple[int, int], float] = {}
        """Seconds of contact by pair."""
        self.samples: list[Sample] = []
        self._on_since: list[float | None] = []
        self._reach: dict[tuple[int, int, str], float] = {}
        self._writing: Mapping[int, int] | None = None
        self._by_message: dict[bytes, Mapping[int, int]] = {}
        self._carried: dict[bytes, Carried] = {}
        self._manifest: dict[bytes, bytes] = {}  # message id -> id of the envelope it travels in
        self._shown: set[tuple[int, bytes]] = set()

    # --- people ---------------------------------------------------------------------------------

    def person_added(self) -> None:
        """Somebody is new in the world."""
        for each in (self.sent, self.received, self.carried):
            each.append(0)
        self.radio_j.append(0.0)
        self.on_s.append(0.0)
        self._on_since.append(self._world.now)
        for carried in self._carried.values():
            carried.hops.append(0)

    def switched(self, person: "Person", on: bool) -> None:
        """A device went off or on."""
        since = self._on_since[person.number]
        if not on and since is not None:
            self.on_s[person.number] += self._world.now - since
        self._on_since[person.number] = self._world.now if on else None

    def on_seconds(self, number: int) -> float:
        """How long a device was on until now."""
        since = self._on_since[number]
        return self.on_s[number] + (self._world.now - since if since is not None else 0.0)

    # --- wishes ---------------------------------------------------------------------------------

    def wish(self, wanted: Wanted, of: str) -> int:
        """A delivery that will be wanted; returns its index."""
        self.wishes.append(wanted)
        self.of.append(of)
        self.delivered_at.append(None)
        self.hops.append(None)
        self.accepted.append(False)
        return len(self.wishes) - 1

    def due(self, count: int = 1) -> None:
        """The time of so many wishes has come."""
        self.created += count

    def refused_by(self, reason: str) -> None:
        """A node did not take a message from its user."""
        self.refused[reason] += 1

    @contextmanager
    def writing(self, wishes: Mapping[int, int]) -> Iterator[None]:
        """The message written inside is wanted by these: number of the reader -> index."""
        self._writing = wishes
        try:
            yield
        finally:
            self._writing = None

    # --- what nodes tell ------------------------------------------------------------------------

    def told(self, person: "Person", effect: Effect) -> None:
        """A node told its user something."""
        if isinstance(effect, MessageAdded):
            if effect.message.outgoing:
                self._ours(person, effect.message)
            else:
                self._theirs(person, effect.message)
        elif isinstance(effect, MessageChanged):
            if effect.message.id in self._by_message:
                self._track(person, effect.message)
        elif isinstance(effect, FileComplete):
            self._arrived(person, effect.message.id)

    def _ours(self, person: "Person", message: Message) -> None:
        if self._writing is None:
            return
        self._by_message[message.id] = self._writing
        for index in self._writing.values():
            self.accepted[index] = True
        self._track(person, message)

    def _track(self, person: "Person", message: Message) -> None:
        """Follow the envelopes of a measured message."""
        if not message.eid or message.eid in self._carried or message.state in _ARRIVED:
            return
        eids = [message.eid]
        for file in person.store.open_files():
            if file.mid == message.id:
                eids += file.manifest.chunks
        held = [person.store.envelope(eid) for eid in eids]
        sizes = [len(one.data) if one else 0 for one in held]
        for eid, size in zip(eids, sizes, strict=True):
            if eid not in self._carried:
                nodes = len(self._world.people)
                self._carried[eid] = Carried(nodes, person.number, size / sum(sizes))
        self._manifest[message.id] = message.eid

    def _theirs(self, person: "Person", message: Message) -> None:
        wishes = self._by_message.get(message.id)
        if wishes is None or person.number not in wishes:
            return
        shown = (person.number, message.id)
        if shown in self._shown:
            self.duplicates_shown += 1
            return
        self._shown.add(shown)
        if self.wishes[wishes[person.number]].size <= TEXT_MAX_BYTES:  # else it is a file
            self._arrived(person, message.id)

    def _arrived(self, person: "Person", mid: bytes) -> None:
        wishes = self._by_message.get(mid)
        index = None if wishes is None else wishes.get(person.number)
        if index is None or self.delivered_at[index] is not None:
            return
        wanted, now = self.wishes[index], self._world.now
        if now > wanted.created + wanted.ttl:
            self.late += 1
            return
        self.delivered_at[index] = now
        self.delivered += 1
        hops = self._carried[self._manifest[mid]].hops[person.number]
        self.hops[index] = hops - 1 if hops else None

    # --- frames ---------------------------------------------------------------------------------

    def load(self, size: int, pieces: Sequence[bytes]) -> FrameLoad:
        """Take a frame apart that a node has just made."""
        if not pieces:
            load = _HANDSHAKES.get(size)
            if load is None:
                load = _HANDSHAKES[size] = FrameLoad(((HANDSHAKE, size),), ())
            return load
        sizes = [0] * len(KINDS)
        done: tuple[bytes, ...] = ()
        rest = size
        for piece in pieces:
            length = len(piece)
            rest -= length
            if piece[0] != records.PART:
                sizes[_KIND[piece[0]]] += length
                continue
            eid = piece[_HEAD : _HEAD + 16]
            if eid in self._carried:
                sizes[PAYLOAD] += length
                offset = piece[_HEAD + 16] + (piece[_HEAD + 17] << 8)
                whole = piece[_HEAD + 18] + (piece[_HEAD + 19] << 8)
                if offset + length - _HEAD - PART_HEAD_BYTES == whole:
                    done += (eid,)
            else:
                sizes[PRESENCE] += length
        sizes[PADDING] = rest
        return FrameLoad(tuple([entry for entry in enumerate(sizes) if entry[1]]), done)

    def arrived(
        self, sender: "Person", receiver: "Person", radio: "Radio", size: int, load: FrameLoad
    ) -> None:
        """A frame was received whole."""
        self.frames += 1
        totals = self.bytes
        for kind, amount in load.sizes:
            totals[kind] += amount
        one, other = sender.number, receiver.number
        self.sent[one] += size
        self.received[other] += size
        if radio.rate:
            air = size / radio.rate
            self.radio_j[one] += air * radio.send_w
            self.radio_j[other] += air * radio.receive_w
        for eid in load.done:
            carried = self._carried[eid]
            self.transmissions += carried.share
            if not carried.hops[other]:
                carried.hops[other] = min(HOPS_MAX, carried.hops[one] + 1)
                self.carried[other] += 1

    # --- ways -----------------------------------------------------------------------------------

    def in_reach(self, a: int, b: int, way: str, up: bool) -> None:
        """A way between two nodes became usable or ceased to be."""
        if up:
            self._reach[a, b, way] = self._world.now
        else:
            self._met(a, b, way, self._reach.pop((a, b, way)))

    def _met(self, a: int, b: int, way: str, start: float) -> None:
        if self._world.now > start:
            self.contacts.append(Contact(start, self._world.now, a, b))
            self.rates.append(self._world.radios[way].rate)
            pair = (a, b)
            self.pair_s[pair] = self.pair_s.get(pair, 0.0) + self._world.now - start

    def link_up(self) -> None:
        """Two nodes have connected."""
        self.linked += 1
        self.links_open += 1

    def link_down(self) -> None:
        """A link is gone."""
        self.links_open -= 1

    def finish(self) -> None:
        """End every contact that is still going on."""
        for (a, b, way), start in self._reach.items():
            self._met(a, b, way, start)
        self._reach.clear()

    def untrue(self) -> tuple[int, int]:
        """``(lost, false)``: messages a node accepted that are nowhere any more before their time,
        and messages shown as delivered that are not at their reader. Both have to be 0."""
        lost = false = 0
        for mid, wishes in self._by_message.items():
            index = next(iter(wishes.values()), None)
            if index is None:
                continue
            author = self._world.people[self.wishes[index].src]
            message = author.store.message(mid)
            if message is None:
                lost += 1
            elif message.state in (State.QUEUED, State.CARRIED) and message.eid:
                if message.reason != "ended" and author.store.envelope(message.eid) is None:
                    lost += 1
            elif message.state in _ARRIVED:
                reader = self._world.people[self.wishes[index].dst]
                if reader.store.message(mid) is None:
                    false += 1
        return lost, false

    # --- samples --------------------------------------------------------------------------------

    def sample(self) -> None:
        """Note how things stand now."""
        people = [person for person in self._world.people if not person.gone]
        held = [person.store.held_bytes for person in people]
        on = sum(person.awake for person in people)
        self.samples.append(
            Sample(
                self._world.now,
                self.created,
                self.delivered,
                tuple(self.bytes),
                sum(held) / max(1, len(held)),
                max(held, default=0),
                2 * self.links_open / max(1, on),
                on,
            )
        )


class Sample(NamedTuple):
    """How things stood at one time."""

    at: float
    created: int
    delivered: int
    bytes: tuple[int, ...]
    held_mean: float
    held_max: int
    neighbours: float
    on: int
