"""The people of a scenario who have meshchat: how many, where they go, whom they know.

Only they are nodes. Everything of one person comes from streams of chance named after the group
and the place in it, so another group, or more people, do not change anybody's path.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path as FilePath
from typing import NamedTuple

from meshchat.errors import UsageError
from meshchat.sim import mobility, plan, times
from meshchat.sim.chance import Chance
from meshchat.sim.paths import Leg, Path, Paths
from meshchat.sim.person import Conduct
from meshchat.sim.plan import Group, Scenario

NODES_MAX = 50_000  # real nodes in one process
NEAR_DRAWS = 16  # a near friend is the nearest of so many people
COLUMN_M = 0.35  # of a march, for each person in it: 350 m for a thousand
COLUMN_MIN_M = 10.0


class Member(NamedTuple):
    """One node."""

    number: int
    group: Group
    rank: int
    """In the group, from 0."""
    conduct: Conduct

    @property
    def name(self) -> str:
        """As others see it."""
        return f"{self.group.name}-{self.rank + 1}"


class Crowd:
    """Everybody who has meshchat."""

    def __init__(self, scenario: Scenario, seed: int, peers: int | None = None) -> None:
        """People, paths and friendships.

        Raises:
            UsageError: ``peers`` is impossible, or a file of positions cannot be used.
        """
        self._scenario, self._seed = scenario, seed
        self.sizes = sizes(scenario, peers)
        self.members: list[Member] = []
        for group, size in zip(scenario.people, self.sizes, strict=True):
            conducts = _conducts(group, size, seed)
            for index in range(size):
                self.members.append(Member(len(self.members), group, index, conducts[index]))
        self.paths = Paths(self._paths())
        self.friends = self._friends()

    def of(self, groups: Sequence[str]) -> list[int]:
        """Numbers of the people of these groups, of everybody if none is named."""
        return [m.number for m in self.members if not groups or m.group.name in groups]

    def part(self, groups: Sequence[str], share: float, *name: object) -> list[int]:
        """This share of the people of some groups, chosen by chance; in order of number."""
        whole = self.of(groups)
        if share >= 1:
            return whole
        chosen = Chance(self._seed, *name).sample(whole, rounded(share * len(whole)))
        return sorted(chosen)

    def known_to(self) -> list[list[int]]:
        """By number: the numbers of the friends."""
        known: list[list[int]] = [[] for _ in self.members]
        for a, b in self.friends:
            known[a].append(b)
            known[b].append(a)
        return known

    # --- where they go --------------------------------------------------------------------------

    def _paths(self) -> Iterator[Path]:
        for group, size in zip(self._scenario.people, self.sizes, strict=True):
            move = group.move
            if isinstance(move, plan.Positions):
                yield from self._recorded(group, move, size)
                continue
            for index in range(size):
                yield self._path(group, move, index, size)

    def _recorded(self, group: Group, move: plan.Positions, size: int) -> Iterator[Path]:
        paths = mobility.positions_file(FilePath(self._scenario.folder) / move.file)
        if len(paths) < size:
            what = (
                f"{move.file} has the positions of {len(paths)} people, and the group "
                f"{group.name} has {size}: ask for fewer peers."
            )
            raise UsageError("positions", what)
        for index in range(size):
            yield paths[index]

    def _path(self, group: Group, move: plan.Table, index: int, size: int) -> Path:
        """The path of one person; ``size`` nodes are in the group."""
        chance = Chance(self._seed, "path", group.name, index)
        match move:
            case plan.March():
                return self._march(group, move, index, size, chance)
            case plan.Gathering():
                return self._gathering(group, move, index, size)
            case plan.Dispersal():
                place = self._scenario.place(move.at)
                return mobility.dispersal(
                    chance,
                    place.x,
                    place.y,
                    move.when,
                    radius_m=place.radius,
                    far_m=move.far,
                    speed=(move.speed.low, move.speed.high),
                    spread_s=move.spread,
                )
            case plan.Courier():
                return self._courier(move, chance)
            case plan.Commuter():
                return self._commuter(move, chance)
            case plan.RandomWaypoint():
                return self._waypoint(move, chance)
            case _:
                return mobility.standing(*self._spot(getattr(move, "at", None), chance))

    def _march(self, group: Group, move: plan.March, index: int, size: int, chance: Chance) -> Path:
        if move.base is None:
            # Before the start they stand as close as later in the column.
            radius = math.sqrt(column(group, move, size) * move.width / math.pi)
            dx, dy = Chance(self._seed, "waits", group.name, index).in_disc(radius)
            base = mobility.standing(move.route[0][0] + dx, move.route[0][1] + dy)
        else:
            base = self._path(group, move.base, index, size)
        return mobility.march(
            Chance(self._seed, "march", group.name, index) if move.base else chance,
            base,
            move.route,
            move.starts,
            speed=move.speed,
            width_m=move.width,
            length_m=column(group, move, size),
        )

    def _gathering(self, group: Group, move: plan.Gathering, index: int, size: int) -> Path:
        place = self._scenario.place(move.at)
        path = self._path(group, move.base, index, size)
        day, horizon = 0, self._scenario.horizon
        while day == 0 or (move.daily and move.since + day * times.DAY_S < horizon):
            path = mobility.gathering(
                Chance(self._seed, "gathering", group.name, index, day),
                path,
                place.x,
                place.y,
                move.since + day * times.DAY_S,
                move.until + day * times.DAY_S,
                radius_m=place.radius,
                spread_s=move.spread,
                speed=(move.speed.low, move.speed.high),
            )
            day += 1
        return path

    def _courier(self, move: plan.Courier, chance: Chance) -> Path:
        departs = times.midnight(self._scenario.about.start) + move.departs
        while departs < 0:
            departs += move.every
        return mobility.courier(
            chance,
            [self._spot(stop, chance) for stop in move.stops],
            departs_s=departs,
            pause=(move.pause.low, move.pause.high),
            speed=(move.speed.low, move.speed.high),
            jitter_s=move.jitter,
            every_s=move.every,
            block_m=move.block,
        )

    def _commuter(self, move: plan.Commuter, chance: Chance) -> Path:
        width, height = self._scenario.about.area
        squares = [self._scenario.place(name) for name in move.squares]
        return mobility.commuter(
            chance,
            width,
            height,
            block_m=move.block,
            clock_s=-times.midnight(self._scenario.about.start),
            home=self._spot(move.homes, chance) if move.homes else None,
            work=self._spot(move.work, chance) if move.work else None,
            squares=[(place.x, place.y) for place in squares],
            employed=move.employed,
            evening=move.evening,
            speed=(move.speed.low, move.speed.high),
        )

    def _waypoint(self, move: plan.RandomWaypoint, chance: Chance) -> Path:
        (width, height), west, south = self._scenario.about.area, 0.0, 0.0
        if move.at is not None:
            place = self._scenario.place(move.at)
            width = height = max(1.0, 2 * place.radius)
            west, south = place.x - place.radius, place.y - place.radius
        legs = mobility.random_waypoint(
            chance,
            width,
            height,
            (move.speed.low, move.speed.high),
            (move.pause.low, move.pause.high),
        )
        return _moved(legs, west, south)

    def _spot(self, name: str | None, chance: Chance) -> tuple[float, float]:
        """Somewhere in a place, or anywhere in the area."""
        if name is None:
            width, height = self._scenario.about.area
            return chance.uniform(0, width), chance.uniform(0, height)
        place = self._scenario.place(name)
        dx, dy = chance.in_disc(place.radius)
        return place.x + dx, place.y + dy

    # --- whom they know -------------------------------------------------------------------------

    def _friends(self) -> list[tuple[int, int]]:
        """Pairs, the lower number first, in order."""
        count, each = len(self.members), self._scenario.friends.each
        if count - 1 <= each:
            return [(a, b) for a in range(count) for b in range(a + 1, count)]
        homes = [self.paths.position(number, 0.0) for number in range(count)]
        pairs: dict[tuple[int, int], None] = {}
        for number in range(count):
            chance = Chance(self._seed, "friends", self.members[number].name)
            # Each asks half of its friends, and on average is asked by as many.
            for _ in range(each // 2 + (each % 2 and chance.happens(0.5))):
                near = chance.happens(self._scenario.friends.near)
                for _ in range(NEAR_DRAWS):  # again if they are friends already
                    other = _friend(number, homes, near, chance)
                    pair = min(number, other), max(number, other)
                    if other != number and pair not in pairs:
                        pairs[pair] = None
                        break
        return sorted(pairs)


def sizes(scenario: Scenario, peers: int | None = None) -> list[int]:
    """How many nodes each group has; all together ``peers`` if that is given.

    Raises:
        UsageError: so many or so few are impossible.
    """
    weights = [
        (group.count or (group.share or 0.0) * (scenario.about.people or 0)) * group.adoption
        for group in scenario.people
    ]
    counts = [max(1, rounded(weight)) for weight in weights]
    if peers is not None:
        fixed = [group.fixed for group in scenario.people]
        rest = peers - sum(n for n, stays in zip(counts, fixed, strict=True) if stays)
        flexible = [at for at, stays in enumerate(fixed) if not stays]
        if not flexible or rest < len(flexible):
            least = peers - rest + len(flexible)
            limit = "exactly" if not flexible else "at least"
            what = f"The scenario {scenario.name} needs {limit} {least} peers."
            raise UsageError("bad_peers", what)
        total = sum(weights[at] for at in flexible)
        exact = {at: weights[at] * rest / total for at in flexible}
        for at in flexible:
            counts[at] = max(1, int(exact[at]))
        # What rounding left goes to the groups that lost most by it; one too many is taken back.
        order = sorted(flexible, key=lambda at: (counts[at] - exact[at], at))
        missing = rest - sum(counts[at] for at in flexible)
        for turn in range(max(0, missing)):
            counts[order[turn % len(order)]] += 1
        for _ in range(max(0, -missing)):
            counts[max(flexible, key=lambda at: counts[at])] -= 1
    if not 1 <= sum(counts) <= NODES_MAX:
        what = f"{sum(counts):,} peers are too many: {NODES_MAX:,} is the most."
        raise UsageError("bad_peers", what)
    return counts


def column(group: Group, move: plan.March, size: int) -> float:
    """Metres of a march that has ``size`` nodes in it, and those without meshchat between them."""
    if move.length is not None:
        return move.length
    return max(COLUMN_MIN_M, COLUMN_M * size / group.adoption)


def rounded(number: float) -> int:
    """To the nearest whole number, a half upwards."""
    return int(number + 0.5)


def _conducts(group: Group, size: int, seed: int) -> list[Conduct]:
    conducts: list[Conduct] = ["honest"] * size
    if group.hostile:
        chance = Chance(seed, "hostile", group.name)
        for index in chance.sample(range(size), rounded(group.hostile.share * size)):
            conducts[index] = group.hostile.conduct
    return conducts


def _friend(me: int, homes: list[tuple[float, float]], near: bool, chance: Chance) -> int:
    """Anybody, or the nearest of some; may be oneself when nobody better was drawn."""
    if not near:
        return chance.below(len(homes))
    x, y = homes[me]
    best, least = me, float("inf")
    for _ in range(NEAR_DRAWS):
        other = chance.below(len(homes))
        dx, dy = homes[other][0] - x, homes[other][1] - y
        if other != me and dx * dx + dy * dy < least:
            best, least = other, dx * dx + dy * dy
    return best


def _moved(legs: Path, west: float, south: float) -> Path:
    for t0, x0, y0, t1, x1, y1 in legs:
        yield Leg(t0, x0 + west, y0 + south, t1, x1 + west, y1 + south)
