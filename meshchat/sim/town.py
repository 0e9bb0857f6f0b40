"""A scenario come to life: its people, ways, messages and mishaps in a world of real nodes.

Every stream of chance has the name of what it is for, so that changing one thing (a fault, the
rate of one workload) does not shift the rest. What happens later is made when its time has come.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from meshchat.core.limits import Limits
from meshchat.sim.chance import Chance
from meshchat.sim.crowd import Crowd, Member
from meshchat.sim.paths import Paths
from meshchat.sim.periods import daily_spans, day_length
from meshchat.sim.person import Person
from meshchat.sim.plan import Crash, DiskFull, Load, Off, Partition, Room, Scenario, WrongClock
from meshchat.sim.timeline import Timeline
from meshchat.sim.times import DAY_S
from meshchat.sim.ways import Change, Wanted
from meshchat.sim.world import START_WALL, World

FRAMES = 60  # of the map
WEEK_S = 7 * DAY_S
DRAWS_MAX = 32  # for somebody to write to; then this message is not written

Json = dict[str, Any]
Deed = Callable[[], None]


class Town(Struct, frozen=True):
    """A world that is about to live a scenario."""

    scenario: Scenario
    world: World
    crowd: Crowd
    timeline: Timeline

    @property
    def horizon(self) -> float:
        """When it ends, seconds from the start."""
        return self.scenario.horizon

    @property
    def people(self) -> dict[str, list[Person]]:
        """By group."""
        found: dict[str, list[Person]] = {group.name: [] for group in self.scenario.people}
        for member in self.crowd.members:
            found[member.group.name].append(self.world.people[member.number])
        return found

    def run(self, look: Callable[[], bool] | None = None) -> bool:
        """Live it to the end; False if ``look`` ended it before."""
        return self.world.run(until=self.horizon, look=look)

    def changes(self) -> Iterator[Change]:
        """Every way that opens and closes, from the start; the world follows a stream like it."""
        return self.timeline.changes()

    def marks(self, result: Mapping[str, Any]) -> list[Json]:
        """The pass marks of the scenario against the document of a run."""
        told: list[Json] = []
        for mark in self.scenario.marks:
            part: Any = result
            if mark.of is not None:
                part = result["by_workload"].get(mark.of)
            for key in mark.figure.split("."):
                part = part.get(key) if isinstance(part, Mapping) else None
            got = float(part) if isinstance(part, int | float) else None
            ok = got is not None and (
                got >= mark.value if mark.rule == "at_least" else got <= mark.value
            )
            told.append(
                {
                    "figure": mark.figure,
                    "of": mark.of,
                    "rule": mark.rule,
                    "value": mark.value,
                    "got": got,
                    "ok": ok,
                }
            )
        return told

    def map(self) -> Json | None:
        """Movement in frames (see ``document.Map``); None where nobody's place matters."""
        scenario = self.scenario
        placed = any(network.at for network in scenario.networks)
        if not placed and not any(air.range_m > 0 for air in scenario.radios.values()):
            return None
        times = [self.horizon * frame / (FRAMES - 1) for frame in range(FRAMES)]
        people = range(len(self.crowd.members))
        discs = Paths(self.timeline.disc(jam) for jam in scenario.jam)
        width, height = scenario.about.area
        return {
            "width": width,
            "height": height,
            "places": [
                {"name": place.name, "x": place.x, "y": place.y, "radius": place.radius}
                for place in scenario.places
            ],
            "jam": [
                {
                    "radius": jam.radius,
                    "xy": [
                        list(discs.position(number, at))
                        if jam.since <= at < (self.horizon if jam.until is None else jam.until)
                        else None
                        for at in times
                    ],
                }
                for number, jam in enumerate(scenario.jam)
            ],
            "frames": [
                {"at_s": at, "xy": [list(self.crowd.paths.position(n, at)) for n in people]}
                for at in times
            ],
        }


def build(
    scenario: Scenario, *, seed: int | None = None, peers: int | None = None, fast: bool = False
) -> Town:
    """Everything a scenario says, ready to run.

    Args:
        scenario: from ``scenario.load``.
        seed: instead of the scenario's.
        peers: how many nodes in all, instead of what the scenario says.
        fast: without cryptography, with the same sizes.

    Raises:
        UsageError: so many or so few peers are impossible, or a network gets too large.
    """
    seed = scenario.about.seed if seed is None else seed
    crowd = Crowd(scenario, seed, peers)
    timeline = Timeline(scenario, crowd, seed)
    # Nodes do not believe a clock from before they were made, so the days are moved by whole
    # weeks: weekday and time of day stay.
    begins = scenario.about.start.timestamp()
    if begins < START_WALL:
        begins += WEEK_S * -((begins - START_WALL) // WEEK_S)
    world = World(seed=seed, radios=timeline.radios, fast=fast, start=begins)
    for member in crowd.members:
        store = member.group.store_bytes
        limits = None if store is None else replace(Limits(), store_bytes=store)
        world.person(member.name, limits=limits, conduct=member.conduct)
    town = Town(scenario, world, crowd, timeline)
    for a, b in crowd.friends:
        world.acquaint(world.people[a], world.people[b])
    for room in scenario.rooms:
        for number in _members(town, room):
            world.join(world.people[number], room.name)
    _devices(town, seed)
    _faults(town, seed)
    _workload(town, seed)
    world.follow(timeline.changes())
    return town


def _members(town: Town, room: Room) -> list[int]:
    """Who is in a room; a black hole, which has no person behind it, is in none."""
    numbers = town.crowd.part(room.members, room.share, "room", room.name)
    return [number for number in numbers if _writes(town.crowd.members[number])]


def _writes(member: Member) -> bool:
    return member.conduct != "black_hole"


def _feed(world: World, stream: Iterator[tuple[float, Deed]]) -> None:
    """Do deeds in their order of time; the next is asked for when one is done."""
    due = next(stream, None)
    if due is not None:
        at, deed = due

        def turn() -> None:
            deed()
            _feed(world, stream)

        world.at(at, turn)


def _times(chance: Chance, rate: float, spans: Sequence[tuple[float, float]]) -> Iterator[float]:
    """Moments at random, ``rate`` a second, inside ``spans``."""
    ahead = chance.exponential(1 / rate)
    for start, end in spans:
        while start + ahead < end:
            start += ahead
            yield start
            ahead = chance.exponential(1 / rate)
        ahead -= end - start


# --- what they write ----------------------------------------------------------------------------


class _Wish(NamedTuple):
    """A message that somebody will write, if the device is on then."""

    at: float
    src: int
    dst: int
    """-1: a room."""
    size: int


def _workload(town: Town, seed: int) -> None:
    world = town.world
    for load in town.scenario.workload:
        writer = _Writer(town, load, seed)
        if load.kind != "room" and load.to != "contacts":
            # Cards change hands while both devices are on: before the start.
            for _, src, dst, _ in writer.wishes():
                if dst not in world.people[src].knows:
                    world.acquaint(world.people[src], world.people[dst])
        _feed(world, _written(world, load, writer))


def _written(world: World, load: Load, writer: "_Writer") -> Iterator[tuple[float, Deed]]:
    for wish in writer.wishes():
        yield wish.at, partial(_write, world, load, wish)


def _write(world: World, load: Load, wish: _Wish) -> None:
    at, src, dst, size = wish
    if not world.people[src].awake:
        return
    if load.room is not None:
        world.post(at, src, load.room, size, load.ttl, load.name)
    else:
        world.send(Wanted(at, src, dst, size, float(load.ttl)), load.name)


class _Writer:
    """One kind of message: when, from whom, to whom. The same every time it is asked."""

    def __init__(self, town: Town, load: Load, seed: int) -> None:
        self._town, self._load, self._seed = town, load, seed
        crowd = town.crowd
        can = [_writes(member) for member in crowd.members]
        self._writers = [number for number in crowd.of(load.writers) if can[number]]
        self._readers: list[int] = []
        self._known: list[list[int]] = []
        if load.kind == "room":
            room = next(room for room in town.scenario.rooms if room.name == load.room)
            inside = bytearray(len(can))
            for number in _members(town, room):
                inside[number] = 1
            self._writers = [number for number in self._writers if inside[number]]
        elif load.to == "contacts":
            self._known = [[n for n in known if can[n]] for known in crowd.known_to()]
        else:
            groups = () if load.to == "anyone" else (load.to,)
            self._readers = [number for number in crowd.of(groups) if can[number]]

    def wishes(self) -> Iterator[_Wish]:
        """Every message, in order of time."""
        if not self._writers:
            return
        chance = Chance(self._seed, "workload", self._load.name)
        low, high = self._load.size
        for at in self._moments():
            src = chance.pick(self._writers)
            size = int(low) + chance.below(int(high - low) + 1)
            dst = self._reader(src, chance)
            if dst is not None:
                yield _Wish(at, src, dst, size)

    def _moments(self) -> Iterator[float]:
        load, town = self._load, self._town
        chance = Chance(self._seed, "moments", load.name)
        until = town.horizon if load.ends is None else min(town.horizon, load.ends)
        spans = daily_spans(load.between, town.scenario.about.start, load.begins, until)
        if load.per_day is not None:
            rate = load.per_day * len(self._writers) / day_length(load.between)
            yield from _times(chance, rate, spans)
            return
        whole = sum(end - start for start, end in spans)
        moments = sorted(chance.uniform(0, whole) for _ in range(load.count or 0))
        at, passed = 0, 0.0
        for start, end in spans:
            while at < len(moments) and moments[at] < passed + end - start:
                yield start + moments[at] - passed
                at += 1
            passed += end - start

    def _reader(self, src: int, chance: Chance) -> int | None:
        if self._load.kind == "room":
            return -1
        if self._known:
            known = self._known[src]
            return chance.pick(known) if known else None
        for _ in range(DRAWS_MAX if self._readers else 0):
            dst = chance.pick(self._readers)
            if dst != src:
                return dst
        return None


# --- what befalls them --------------------------------------------------------------------------


def _devices(town: Town, seed: int) -> None:
    """Devices that are off now and then, or taken away."""
    for member in town.crowd.members:
        person = town.world.people[member.number]
        group = member.group
        if group.off is not None and group.off.share > 0:
            chance = Chance(seed, "off", group.name, member.rank)
            _feed(town.world, _switching(person, group.off, chance))
        if group.seized_per_day:
            chance = Chance(seed, "seized", group.name, member.rank)
            at = chance.exponential(DAY_S / group.seized_per_day)
            if at < town.horizon:
                town.world.at(at, person.seize)


def _switching(person: Person, off: Off, chance: Chance) -> Iterator[tuple[float, Deed]]:
    away, there = float(off.mean), off.mean * (1 - off.share) / off.share
    at, on = 0.0, not chance.happens(off.share)
    if not on:
        yield at, person.off
    while True:
        at += chance.exponential(there if on else away)
        on = not on
        yield at, person.on if on else person.off


def _faults(town: Town, seed: int) -> None:
    for place, fault in enumerate(town.scenario.faults):
        chance = Chance(seed, "fault", place)
        match fault:
            case Crash():
                chosen = town.crowd.part(fault.who, fault.share, "fault", place, "who")
                _feed(town.world, _crashes(town, fault, chosen, chance))
            case DiskFull():
                for number in town.crowd.part(fault.who, fault.share, "fault", place, "who"):
                    person = town.world.people[number]
                    town.world.at(fault.since, partial(person.disk_full, True))
                    if fault.until is not None:
                        town.world.at(fault.until, partial(person.disk_full, False))
            case WrongClock():
                for number in town.crowd.part(fault.who, fault.share, "fault", place, "who"):
                    person, offset = town.world.people[number], chance.uniform(*fault.offset)
                    town.world.at(fault.at, partial(person.clock_off, offset))
            case Partition():
                pass  # the timeline keeps its two sides apart


def _crashes(
    town: Town, fault: Crash, chosen: Sequence[int], chance: Chance
) -> Iterator[tuple[float, Deed]]:
    people = [town.world.people[number] for number in chosen]

    def crash(person: Person) -> None:
        if person.awake:
            person.crash()

    if fault.per_day is None:
        for at in sorted(fault.at):
            for person in people:
                yield at, partial(crash, person)
    elif people:
        rate = fault.per_day * len(people) / DAY_S
        for due in _times(chance, rate, [(0.0, town.horizon)]):
            yield due, lambda: crash(chance.pick(people))
