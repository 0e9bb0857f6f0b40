"""When ways are open: what networks do over time, jamming that moves, and partitions.

All of it is made of the scenario and its seed alone, so it can be looked at without a world.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from msgspec.structs import replace

from meshchat.errors import UsageError
from meshchat.sim import meetings, mobility, plan
from meshchat.sim.chance import Chance
from meshchat.sim.crowd import Crowd, column
from meshchat.sim.links import Radio
from meshchat.sim.paths import Path, Paths
from meshchat.sim.periods import periods
from meshchat.sim.plan import Jam, Network, Partition, Scenario
from meshchat.sim.ways import Change, merged

PAIRS_MAX = 500_000  # ways of one network: a mesh of a thousand people


_Key = tuple[int, int, str]


class Block(NamedTuple):
    """From ``at`` on, one reason more (or less) why somebody, or two sides, hear nothing."""

    at: float
    add: int
    """1 or -1."""
    radios: tuple[str, ...]
    """Those that are jammed; a partition has none: it is for all."""
    node: int
    """The one who is jammed; or the number of the partition."""


class Timeline:
    """Every way of a scenario, as one stream of changes."""

    def __init__(self, scenario: Scenario, crowd: Crowd, seed: int) -> None:
        self._scenario, self._crowd, self._seed = scenario, crowd, seed
        self.periods = {
            network.name: periods(network, scenario, seed) for network in scenario.networks
        }
        self.radios = self._radios()
        """By name of a way: what the world needs for it."""
        self.radio_of = {name: name for name in scenario.radios}
        """By name of a way: the radio of the scenario that it uses."""
        for network in scenario.networks:
            for period in self.periods[network.name]:
                self.radio_of[period.way] = network.radio
        self._sides = [
            self._side(at, fault)
            for at, fault in enumerate(scenario.faults)
            if isinstance(fault, Partition)
        ]

    def changes(self) -> Iterator[Change]:
        """Openings and closings in order; a fresh stream every time.

        Raises:
            UsageError: a network would have too many ways.
        """
        streams: list[Iterator[Change]] = [
            meetings.encounters(self._crowd.paths, air.range_m, self._scenario.horizon, name)
            for name, air in self._scenario.radios.items()
            if air.range_m > 0
        ]
        streams += [self._network(network) for network in self._scenario.networks]
        blocks = self.blocks()
        if not blocks:
            return merged(*streams)
        return unblocked(merged(*streams), blocks, self.radio_of, self.parted)

    def parted(self, a: int, b: int, partition: int) -> bool:
        """Whether a partition (by its number among them) is between two nodes."""
        sides = self._sides[partition]
        return sides[a] != sides[b]

    # --- networks -------------------------------------------------------------------------------

    def _radios(self) -> dict[str, Radio]:
        radios = {name: air.radio() for name, air in self._scenario.radios.items()}
        for network in self._scenario.networks:
            air = self._scenario.radios[network.radio]
            for period in self.periods[network.name]:
                if period.way not in radios:
                    # The device has this radio once: what it uses while idle is counted once.
                    quiet = replace(air, idle_w=0.0, scan_w=0.0)
                    radios[period.way] = quiet.radio(period.rate, period.loss)
        return radios

    def _network(self, network: Network) -> Iterator[Change]:
        members = self._crowd.part(network.members, network.share, "network", network.name)
        hubs = self._crowd.of((network.hubs,)) if network.hubs else []
        if network.at is not None:
            return self._hotspot(network, members, hubs)
        return self._fixed(network, self._pairs(network, members, hubs))

    def _fixed(self, network: Network, pairs: list[tuple[int, int]]) -> Iterator[Change]:
        for start, end, way, _, _ in self.periods[network.name]:
            for at, up in ((start, True), (end, False)):
                for a, b in pairs:
                    yield Change(at, up, a, b, way)

    def _hotspot(self, network: Network, members: list[int], hubs: list[int]) -> Iterator[Change]:
        """Who is at the place while the network is on."""
        assert network.at is not None
        place = self._scenario.place(network.at)
        everybody = sorted({*members, *hubs})
        paths = self._crowd.paths
        if len(everybody) < len(paths):
            paths = Paths(paths[number] for number in everybody)
        star = network.form == "star"
        middle = [at for at, number in enumerate(everybody) if number in hubs]
        for start, end, way, _, _ in self.periods[network.name]:
            stream = meetings.place_groups(
                paths,
                place.x,
                place.y,
                place.radius,
                [(start, end)],
                way,
                "star" if star else "mesh",
                middle,
            )
            for at, up, a, b, _ in stream:
                yield Change(at, up, everybody[a], everybody[b], way)

    def _pairs(
        self, network: Network, members: list[int], hubs: list[int]
    ) -> list[tuple[int, int]]:
        """Who is connected while a network without a place is on, in order."""
        if network.form == "contacts":
            online = bytearray(len(self._crowd.members))
            for number in members:
                online[number] = 1
            return [(a, b) for a, b in self._crowd.friends if online[a] and online[b]]
        if network.form == "star":
            inside = sorted({*members, *hubs})
            middle = bytearray(len(self._crowd.members))
            for number in hubs:
                middle[number] = 1
            count = len(hubs) * len(inside)
            pairs = (
                (min(hub, other), max(hub, other))
                for hub in hubs
                for other in inside
                if other != hub and (not middle[other] or other > hub)
            )
            return sorted(self._checked(network, count, pairs))
        size = network.split or max(2, len(members))
        parts = [members[at : at + size] for at in range(0, len(members), size)]
        count = sum(len(part) * (len(part) - 1) // 2 for part in parts)
        return list(
            self._checked(network, count, (p for part in parts for p in combinations(part, 2)))
        )

    def _checked(
        self, network: Network, count: int, pairs: Iterable[tuple[int, int]]
    ) -> Iterable[tuple[int, int]]:
        if count > PAIRS_MAX:
            what = (
                f"The network {network.name} would have {count:,} ways, more than {PAIRS_MAX:,}: "
                'give it "split", or the shape "star" or "contacts".'
            )
            raise UsageError("network_too_large", what)
        return pairs

    # --- jamming and partitions -----------------------------------------------------------------

    def disc(self, jam: Jam) -> Path:
        """The path of the middle of a jamming disc."""
        if jam.at is not None:
            place = self._scenario.place(jam.at)
            return mobility.standing(place.x, place.y)
        if jam.path is not None:
            return mobility.along(jam.path, jam.since, jam.speed)
        at, group = next(
            (at, group)
            for at, group in enumerate(self._scenario.people)
            if group.name == jam.follow
        )
        march = group.move
        assert isinstance(march, plan.March)
        middle = column(group, march, self._crowd.sizes[at]) / 2
        return mobility.along(march.route, march.starts + middle / march.speed, march.speed)

    def blocks(self) -> list[Block]:
        """Everything that keeps people from hearing each other, in order of time."""
        found: list[Block] = []
        horizon = self._scenario.horizon
        for jam in self._scenario.jam:
            end = min(horizon, horizon if jam.until is None else jam.until)
            if jam.since >= end:
                continue
            visits = meetings.visits(self._crowd.paths, self.disc(jam), jam.radius, jam.since, end)
            for at, inside, node in visits:
                found.append(Block(at, 1 if inside else -1, jam.ways, node))
        partitions = [fault for fault in self._scenario.faults if isinstance(fault, Partition)]
        for number, fault in enumerate(partitions):
            found.append(Block(fault.since, 1, (), number))
            if fault.until is not None and fault.until < horizon:
                found.append(Block(fault.until, -1, (), number))
        return sorted(found, key=lambda block: (block.at, block.add))

    def _side(self, at: int, fault: Partition) -> list[bool]:
        numbers = range(len(self._crowd.members))
        if fault.x is not None:
            return [self._crowd.paths.position(number, 0.0)[0] < fault.x for number in numbers]
        order = list(numbers)
        Chance(self._seed, "partition", at).shuffle(order)
        west = bytearray(len(order))
        for number in order[: len(order) // 2]:
            west[number] = 1
        return [bool(side) for side in west]


def unblocked(
    stream: Iterable[Change],
    blocks: Sequence[Block],
    radio_of: Mapping[str, str],
    parted: Callable[[int, int, int], bool],
) -> Iterator[Change]:
    """What is left of a stream of changes when some people, or two sides, hear nothing.

    Args:
        stream: in order.
        blocks: in order of time.
        radio_of: the radio of each way.
        parted: whether a partition, by its number, is between two nodes.
    """
    filtered = _Filter(radio_of, parted)
    changes, waiting = iter(stream), iter(blocks)
    change, block = next(changes, None), next(waiting, None)
    while change is not None:
        at = change.at if block is None else min(change.at, block.at)
        while block is not None and block.at <= at:
            filtered.block(block)
            block = next(waiting, None)
        while change is not None and change.at <= at:
            filtered.change(change)
            change = next(changes, None)
        yield from filtered.differences(at)


class _Filter:
    def __init__(
        self, radio_of: Mapping[str, str], parted: Callable[[int, int, int], bool]
    ) -> None:
        self._radio_of, self._parted = radio_of, parted
        self._open: dict[_Key, None] = {}  # without any block
        self._of_node: dict[int, dict[_Key, None]] = {}
        self._shown: dict[_Key, None] = {}
        self._touched: dict[_Key, None] = {}
        self._jams: dict[tuple[int, str], int] = {}
        self._partitions: dict[int, None] = {}

    def change(self, change: Change) -> None:
        _, up, a, b, way = change
        key = (a, b, way)
        self._touched[key] = None
        for node in (a, b):
            own = self._of_node.setdefault(node, {})
            if up:
                own[key] = None
            else:
                own.pop(key, None)
        if up:
            self._open[key] = None
        else:
            self._open.pop(key, None)

    def block(self, block: Block) -> None:
        if block.radios:
            for radio in block.radios:
                place = (block.node, radio)
                self._jams[place] = self._jams.get(place, 0) + block.add
            self._touched.update(self._of_node.get(block.node, {}))
        else:
            if block.add > 0:
                self._partitions[block.node] = None
            else:
                self._partitions.pop(block.node, None)
            self._touched.update(self._open)

    def differences(self, at: float) -> Iterator[Change]:
        """What has changed for good at this instant; closings first."""
        opened: list[_Key] = []
        for key in self._touched:
            free = key in self._open and self._free(key)
            if free and key not in self._shown:
                opened.append(key)
            elif not free and key in self._shown:
                del self._shown[key]
                yield Change(at, False, *key)
        self._touched.clear()
        for key in opened:
            self._shown[key] = None
            yield Change(at, True, *key)

    def _free(self, key: _Key) -> bool:
        a, b, way = key
        radio = self._radio_of[way]
        if self._jams.get((a, radio)) or self._jams.get((b, radio)):
            return False
        return not any(self._parted(a, b, number) for number in self._partitions)
