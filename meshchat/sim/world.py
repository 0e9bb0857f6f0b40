"""The simulated world: a heap clock that drives real nodes, their links and their faults.

Does what the runtime does, in the same order: one event, one transaction of the node's store, then
the effects. There is no waiting and no wall time: the next thing on the heap is what happens next.
"""

import gc
import hashlib
import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from struct import Struct
from typing import Any

from meshchat.core.body import TEXT_MAX_BYTES
from meshchat.core.events import JoinRoom, Send, SendFile
from meshchat.core.identity import public_room_key
from meshchat.core.limits import Limits
from meshchat.errors import MeshchatError, UsageError
from meshchat.sim import fast
from meshchat.sim.chance import Chance
from meshchat.sim.links import Radio, Way
from meshchat.sim.measure import Measure
from meshchat.sim.memory import Pool
from meshchat.sim.person import Conduct, Person
from meshchat.sim.shared_ids import IdPool
from meshchat.sim.ways import Change, Wanted

START_WALL = 1_790_000_000.0 - 1_790_000_000.0 % 86_400  # a midnight (UTC) in September 2026
MONO_ZERO = 1_000.0  # monotonic seconds at the start; not zero, as on a real machine
LOOK_EVERY = 512  # events between two looks at whether to stop
HASH_BYTES = 65_536  # of trace gathered before they are hashed

GC_THRESHOLD = (100_000, 20, 50)  # a world of millions of live objects is not searched all the time

_EVENT = Struct("<dIHI")


@contextmanager
def seldom_collecting() -> Iterator[None]:
    """Inside: Python looks for circles of dead objects seldom. Running nodes makes next to none."""
    before = gc.get_threshold()
    gc.set_threshold(*GC_THRESHOLD)
    try:
        yield
    finally:
        gc.set_threshold(*before)


class World:
    """Nodes in virtual time.

    The same seed and the same calls give the same ``trace_hash`` on every machine.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        radios: Mapping[str, Radio] | None = None,
        limits: Limits | None = None,
        fast: bool = False,
        start: float = START_WALL,
    ) -> None:
        """An empty world.

        Args:
            seed: Of all chance: keys, nonces, delays, losses.
            radios: The kinds of ways there are, by name; by default one, ``sim``.
            limits: What nodes lend to others, if a person is given no limits of its own.
            fast: Without cryptography, with the same sizes (see ``meshchat.sim.fast``).
            start: Wall time at the start, seconds since 1970.
        """
        self.seed = seed
        self.radios = dict(radios or {"sim": Radio()})
        self.limits = limits or Limits()
        self.fast = fast
        self.start = start
        self.now = 0.0
        """Seconds since the start."""
        self.people: list[Person] = []
        self.measure = Measure(self)
        self.pool = Pool()
        self.id_pool = IdPool()
        self.air_chance = Chance(seed, "air")
        self.events = 0
        """Handled by all nodes so far."""
        self._heap: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._turn = 0
        self._ways: dict[tuple[int, int, str], Way] = {}
        self._rooms: dict[str, list[Person]] = {}
        self._trace = bytearray()
        self._hash = hashlib.blake2b(digest_size=16)

    # --- people ---------------------------------------------------------------------------------

    def person(
        self,
        name: str = "",
        *,
        limits: Limits | None = None,
        receipts: bool = True,
        conduct: Conduct = "honest",
    ) -> Person:
        """Somebody with a device of their own; gets the next number."""
        with fast.mode(self.fast):
            person = Person(self, name, limits or self.limits, receipts, conduct)
        self.people.append(person)
        self.measure.person_added()
        return person

    def acquaint(self, one: Person, other: Person) -> None:
        """Each has the other's card. Raises ``UsageError`` if one of the devices is off."""
        for reader, owner in ((one, other), (other, one)):
            reader.add(owner)

    def join(self, person: Person, room: str) -> None:
        """Join a public room."""
        person.do(JoinRoom(room, public_room_key(room), False))
        self._rooms.setdefault(room, []).append(person)

    def members(self, room: str) -> list[Person]:
        """Who has joined a room, in order of joining."""
        return self._rooms.get(room, [])

    # --- time -----------------------------------------------------------------------------------

    @property
    def mono(self) -> float:
        return MONO_ZERO + self.now

    def later(self, delay: float, deed: Callable[[Any], None], what: Any = None) -> None:
        """Call ``deed(what)`` after ``delay`` seconds; what was planned first comes first."""
        self._turn += 1
        heapq.heappush(self._heap, (self.now + delay, self._turn, deed, what))

    def at(self, when: float, deed: Callable[[], None]) -> None:
        """Do something at a time, in seconds since the start; not before now."""
        self.later(max(0.0, when - self.now), lambda _: deed())

    def run(
        self,
        seconds: float | None = None,
        *,
        until: float | None = None,
        look: Callable[[], bool] | None = None,
        every: int = LOOK_EVERY,
    ) -> bool:
        """Let virtual time pass: so many seconds, or until a time.

        Args:
            seconds: From now on.
            until: Since the start; one of the two.
            look: Called now and then; True ends the run at once.
            every: So many events lie between two such calls.

        Returns:
            False if ``look`` ended it.
        """
        if (seconds is None) == (until is None):
            raise UsageError("bad_run", "Say how long the world runs: seconds=… or until=….")
        end = self.now + seconds if seconds is not None else until
        assert end is not None
        heap, pop = self._heap, heapq.heappop
        countdown = every
        with fast.mode(self.fast), self.pool.sharing(), seldom_collecting():
            while heap and heap[0][0] <= end:
                self.now, _, deed, what = pop(heap)
                deed(what)
                countdown -= 1
                if not countdown:
                    countdown = every
                    if look is not None and look():
                        return False
        self.now = max(self.now, end)
        return True

    @property
    def next_at(self) -> float | None:
        """When the next thing happens; None: nothing ever will."""
        return self._heap[0][0] if self._heap else None

    # --- ways -----------------------------------------------------------------------------------

    def follow(self, changes: Iterable[Change]) -> None:
        """Open and close ways as the stream says; it is read as time goes on."""
        self._follow(iter(changes))

    def _follow(self, changes: Iterator[Change]) -> None:
        change = next(changes, None)
        if change is not None:
            self.later(max(0.0, change.at - self.now), self._change, (change, changes))

    def _change(self, what: tuple[Change, Iterator[Change]]) -> None:
        first, changes = what
        change: Change | None = first
        while change is not None and change.at <= first.at:
            self._set_way(change.a, change.b, change.way, change.up)
            change = next(changes, None)
        if change is not None:
            self.later(change.at - self.now, self._change, (change, changes))

    def _set_way(self, a: int, b: int, name: str, up: bool) -> None:
        key = (a, b, name)
        way = self._ways.get(key)
        if up == (way is not None):
            return
        one, other = self.people[a], self.people[b]
        if way is None:
            way = self._ways[key] = Way(self, one, other, name)
            one.ways[way] = other.ways[way] = None
            way.open()
        else:
            del self._ways[key], one.ways[way], other.ways[way]
            way.close()

    def meet(
        self, one: Person, other: Person, seconds: float | None = None, way: str = "sim"
    ) -> None:
        """Bring two people into reach; with ``seconds``, let that time pass and part them."""
        a, b = sorted((one.number, other.number))
        self._set_way(a, b, way, True)
        if seconds is not None:
            self.run(seconds)
            self.part(one, other, way)

    def part(self, one: Person, other: Person, way: str = "sim") -> None:
        """Take two people out of reach of each other."""
        a, b = sorted((one.number, other.number))
        self._set_way(a, b, way, False)

    def beside(self, way: Way) -> list[Way]:
        """Other ways between the same two people."""
        pair = way.a.number, way.b.number
        ways = [self._ways.get((*pair, name)) for name in self.radios if name != way.name]
        return [other for other in ways if other is not None]

    # --- what people write ----------------------------------------------------------------------

    def send(self, wanted: Wanted, of: str = "") -> None:
        """Plan a measured message: text of exactly ``size`` bytes, or a file if that is too long.

        Whoever does not know the other yet is given the card, now.
        """
        if wanted.dst not in self.people[wanted.src].knows:
            self.acquaint(self.people[wanted.src], self.people[wanted.dst])
        index = self.measure.wish(wanted, of)
        self.later(max(0.0, wanted.created - self.now), self._write, (index, wanted))

    def _write(self, what: tuple[int, Wanted]) -> None:
        index, wanted = what
        sender, reader = self.people[wanted.src], self.people[wanted.dst]
        self.measure.due()
        if not sender.awake:
            self.measure.refused_by("off")
            return
        chat = b"c" + reader.fp
        if wanted.size <= TEXT_MAX_BYTES:
            command: Send | SendFile = Send(chat, _filler(wanted.size), wanted.ttl)
        else:
            data = index.to_bytes(8, "little").ljust(wanted.size, b"\xa5")
            command = SendFile(chat, f"{index}.bin", data, wanted.ttl)
        self._measured(sender, command, {wanted.dst: index})

    def post(self, at: float, src: int, room: str, size: int, ttl: float, of: str = "") -> None:
        """Plan a measured room message, wanted by everybody who is in the room now."""
        readers = [person.number for person in self.members(room) if person.number != src]
        wishes = {dst: self.measure.wish(Wanted(at, src, dst, size, ttl), of) for dst in readers}
        what = (src, room, size, ttl, wishes)
        self.later(max(0.0, at - self.now), self._post, what)

    def _post(self, what: tuple[int, str, int, float, dict[int, int]]) -> None:
        src, room, size, ttl, wishes = what
        sender = self.people[src]
        self.measure.due(len(wishes))
        if not sender.awake:
            self.measure.refused_by("off")
            return
        chat = b"r" + sender.room(room)
        self._measured(sender, Send(chat, _filler(size), ttl), wishes)

    def _measured(self, sender: Person, command: Send | SendFile, wishes: dict[int, int]) -> None:
        try:
            with self.measure.writing(wishes):
                sender.do(command)
        except MeshchatError as error:
            self.measure.refused_by(error.reason)

    # --- trace ----------------------------------------------------------------------------------

    def note(self, number: int, code: int, link: int, tail: bytes) -> None:
        """Add one handled event to the trace."""
        self.events += 1
        trace = self._trace
        trace += _EVENT.pack(self.now, number, code, link)
        trace += tail
        if len(trace) >= HASH_BYTES:
            self._hash.update(trace)
            trace.clear()

    @property
    def trace_hash(self) -> str:
        """Of every event handled so far: time, node, kind, link, and the tag of each frame."""
        so_far = self._hash.copy()
        so_far.update(self._trace)
        return so_far.hexdigest()


def _filler(size: int) -> str:
    return "x" * size
