"""Scenarios come to life: who is there, which ways are open when, and what befalls people."""

import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshchat.errors import UsageError
from meshchat.sim import scenario
from meshchat.sim.crowd import Crowd, sizes
from meshchat.sim.paths import Paths
from meshchat.sim.periods import daily_spans, periods
from meshchat.sim.plan import Daily, Scenario
from meshchat.sim.timeline import Block, Timeline, unblocked
from meshchat.sim.times import DAY_S, Clock
from meshchat.sim.town import Town, build
from meshchat.sim.ways import Change
from meshchat.sim.world import World

HEAD = """
[scenario]
title = "A test"
duration = "2h"
area = [300, 300]

[[places]]
name = "square"
x = 150
y = 150
radius = 40

[radios.ble]
range_m = 30
discovery_s = [1, 3]

[radios.net]
rate = 100_000
"""
WALKERS = """
[[people]]
name = "walkers"
count = 12
move = { model = "random_waypoint", pause = 0 }
"""
NOTES = """
[[workload]]
name = "notes"
count = 15
size = [20, 200]
ttl = "2h"
"""


def made(text: str, **sets: str) -> Scenario:
    """A scenario of the usual head and some more."""
    return scenario.parse(HEAD + text, "test", settings=sets)


def timeline(loaded: Scenario, seed: int = 1, peers: int | None = None) -> Timeline:
    return Timeline(loaded, Crowd(loaded, seed, peers), seed)


def open_ways(
    changes: Iterable[Change],
) -> Iterator[tuple[float, float, set[tuple[int, int, str]]]]:
    """From when to when which ways are open; checks that the stream is a proper one."""
    ways: set[tuple[int, int, str]] = set()
    last, closing = 0.0, True
    for at, up, a, b, way in changes:
        assert at >= last and a < b
        if at > last:
            yield last, at, ways
            closing = True
        assert closing or up, "closings come first"
        closing = not up
        key = (a, b, way)
        assert (key not in ways) == up
        (ways.add if up else ways.discard)(key)
        last = at


# --- people -------------------------------------------------------------------------------------


def test_only_people_with_meshchat_are_nodes() -> None:
    """Count, share and adoption make the number of nodes."""
    loaded = made(
        """
        [[people]]
        name = "a"
        count = 200
        adoption = 0.1
        [[people]]
        name = "b"
        share = 0.25
        adoption = 0.5
        """.replace("        ", ""),
        **{"scenario.people": "80"},
    )
    assert sizes(loaded) == [20, 10]
    assert sizes(loaded, 300) == [200, 100]
    assert sizes(loaded, 3) == [2, 1]
    assert [member.name for member in Crowd(loaded, 1).members][19:21] == ["a-20", "b-1"]


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 40), st.integers(3, 500))
def test_peers_are_exactly_as_many_as_asked_for(a: int, b: int, c: int, peers: int) -> None:
    """Groups keep their parts, fixed ones their number, and nobody is left out."""
    groups = [("a", a, "false"), ("b", b, "false"), ("c", c, "true")]
    tables = [f'[[people]]\nname = "{n}"\ncount = {k}\nfixed = {f}\n' for n, k, f in groups]
    loaded = made("".join(tables))
    if peers < c + 2:
        with pytest.raises(UsageError, match="at least"):
            sizes(loaded, peers)
        return
    counts = sizes(loaded, peers)
    assert sum(counts) == peers and counts[2] == c and min(counts) >= 1
    assert abs(counts[0] - (peers - c) * a / (a + b)) <= 1


def test_too_many_peers_are_refused() -> None:
    """A number no machine can run is a sentence, not a full memory."""
    with pytest.raises(UsageError, match="too many"):
        build(made(WALKERS), peers=10_000_000)


@pytest.mark.parametrize("name", scenario.names())
def test_shipped_scenario_scales(name: str) -> None:
    """``--peers`` works for every scenario that ships, and its stream of ways is proper."""
    loaded = scenario.load(name)
    assert len(Crowd(loaded, 1, 1_000).members) == 1_000
    for _, at, ways in open_ways(timeline(loaded, peers=40).changes()):
        assert 0 <= at <= loaded.horizon + 1e-6 and len(ways) < 40 * 40


def test_friends_are_as_many_as_asked_for_and_near() -> None:
    """On average everybody has ``each`` contacts, and near ones live nearer than others."""
    mean = {}
    for near in ("0", "1"):
        crowd = Crowd(made(WALKERS, **{"friends.near": near, "friends.each": "7"}), 1, 300)
        assert len(crowd.friends) == pytest.approx(300 * 7 / 2, rel=0.05)
        assert all(a < b for a, b in crowd.friends)
        at = [crowd.paths.position(number, 0.0) for number in range(300)]
        metres = [
            ((at[a][0] - at[b][0]) ** 2 + (at[a][1] - at[b][1]) ** 2) ** 0.5
            for a, b in crowd.friends
        ]
        mean[near] = sum(metres) / len(metres)
    assert mean["1"] < mean["0"] / 2


def test_a_column_grows_with_the_march() -> None:
    """With more peers a march is longer, not denser."""
    loaded = scenario.load("march")
    for peers, metres in ((100, 350), (400, 1_400)):
        crowd = Crowd(loaded, 1, peers)
        xs = [crowd.paths.position(number, 900.0)[0] for number in range(peers)]
        assert max(xs) - min(xs) == pytest.approx(metres, rel=0.15)


def test_one_group_does_not_move_another() -> None:
    """More people, or another group, change nobody's path."""
    one = Crowd(made(WALKERS), 1)
    two = Crowd(made('[[people]]\nname = "others"\ncount = 5\n' + WALKERS), 1, 60)
    first = next(member.number for member in two.members if member.group.name == "walkers")
    for rank in range(12):
        for at in (0.0, 1_000.0, 5_000.0):
            assert one.paths.position(rank, at) == two.paths.position(first + rank, at)


# --- networks over time -------------------------------------------------------------------------

NET = """
[[people]]
name = "people"
count = 10
[[networks]]
name = "net"
kind = "internet"
radio = "net"
timeline = [
    { state = "off", from = "30min" },
    { state = "throttled", rate = "64 kbit/s", loss = 0.2, from = "1h", until = "1h 10min" },
    { state = "on", from = "90min" },
]
"""


def test_no_way_is_open_while_a_network_is_off() -> None:
    """On, off, throttled, off, on: exactly then and to friends only."""
    loaded = made(NET, **{"radios.ble.range_m": "0", "friends.each": "4"})
    made_of = timeline(loaded)
    assert made_of.radios["net@64000~0.2"].rate == 8_000
    assert made_of.radios["net@64000~0.2"].loss == 0.2
    assert made_of.radios["net"].rate == 100_000
    friends = set(Crowd(loaded, 1).friends)
    seen = [
        (start, end, {way for _, _, way in ways})
        for start, end, ways in open_ways(made_of.changes())
        if not ways or {key[:2] for key in ways} == friends
    ]
    assert seen == [
        (0, 1_800, {"net"}),
        (1_800, 3_600, set()),
        (3_600, 4_200, {"net@64000~0.2"}),
        (4_200, 5_400, set()),
        (5_400, 7_200, {"net"}),
    ]


def test_a_network_is_counted_as_one_radio_when_idle() -> None:
    """A throttled or second network does not use a second idle radio."""
    loaded = made(NET, **{"radios.net.idle_w": "0.5"})
    radios = timeline(loaded).radios
    assert sum(radio.idle_w for radio in radios.values()) == 0.5


def test_hours_of_every_day() -> None:
    """A night that begins before midnight and ends after it, cut at both ends."""
    night = Daily(since=Clock(18 * 3_600), until=Clock(6 * 3_600))
    begins = datetime(2026, 6, 1, 20, 0, tzinfo=UTC)
    spans = daily_spans(night, begins, 0, 2 * DAY_S)
    assert [(a / 3_600, b / 3_600) for a, b in spans] == [(0, 10), (22, 34), (46, 48)]


@given(st.integers(0, 1_000), st.integers(0, 3), st.integers(0, 4))
def test_random_windows_are_as_asked_for(seed: int, low: int, more: int) -> None:
    """As many a day as allowed, as long as allowed, apart, and the same again."""
    state = f'{{ state = "windows", per_day = [{low}, {low + more}], length = ["5min", "10min"] }}'
    loaded = made(NET.split("timeline")[0] + f"timeline = [{state}]", **{"scenario.duration": "5d"})
    found = periods(loaded.networks[0], loaded, seed)
    days = [sum(day * DAY_S <= p.start < (day + 1) * DAY_S for p in found) for day in range(5)]
    assert all(low <= count <= low + more for count in days)
    assert all(300 - 1e-6 <= p.end - p.start <= 600 + 1e-6 for p in found)
    assert all(one.end <= other.start for one, other in pairwise(found))
    assert found == periods(loaded.networks[0], loaded, seed)


def test_a_hotspot_is_for_those_who_are_there() -> None:
    """At every moment exactly the people within its radius are connected."""
    text = WALKERS + (
        '[[networks]]\nname = "cafe"\nkind = "hotspot"\nradio = "net"\nat = "square"\n'
        'timeline = [{ state = "off", from = "40min", until = "1h" }]\n'
    )
    made_of = timeline(made(text, **{"radios.ble.range_m": "0"}))
    paths = Crowd(made(text), 1).paths
    crowded = 0
    for start, end, ways in open_ways(made_of.changes()):
        middle = (start + end) / 2
        here = set()
        for number in range(12):
            x, y = paths.position(number, middle)
            if (x - 150) ** 2 + (y - 150) ** 2 <= 1_600:
                here.add(number)
        on = not 2_400 <= middle < 3_600
        assert {key[:2] for key in ways} == {(a, b) for a in here for b in here if a < b and on}
        crowded += len(here) > 2 and on
    assert crowded


def test_shapes_of_a_network() -> None:
    """A star, homes of three, and a mesh that would be too large."""
    text = '[[people]]\nname = "a"\ncount = 6\n[[people]]\nname = "hub"\ncount = 1\n'
    net = '[[networks]]\nname = "n"\nradio = "net"\n'
    off = {"radios.ble.range_m": "0"}

    def pairs(more: str, peers: int | None = None) -> set[tuple[int, int]]:
        changes = timeline(made(text + net + more, **off), peers=peers).changes()
        return {change[2:4] for change in changes}

    assert pairs('hubs = "hub"\n') == {(number, 6) for number in range(6)}
    assert pairs('members = ["a"]\nsplit = 3\n') == {(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5)}
    assert len(pairs("")) == 21
    with pytest.raises(UsageError, match="The network n would have"):
        pairs("", peers=1_200)


# --- jamming and partitions ---------------------------------------------------------------------

JAM = """
[[jam]]
ways = ["ble"]
radius = 60
path = [[0, 150], [300, 150]]
speed = 0.1
from = "20min"
until = "1h"
"""


def test_jammed_people_have_no_open_way() -> None:
    """Whoever is in the disc has no way on the jammed radio; the others lose nothing."""
    text = WALKERS + '[[networks]]\nname = "n"\nradio = "net"\n'
    jammed, free = timeline(made(text + JAM)), timeline(made(text))
    loaded = made(text + JAM)
    paths = Crowd(loaded, 1).paths
    disc = Paths([jammed.disc(loaded.jam[0])])
    moments = [float(60 * minute) + 0.123 for minute in range(119)]

    def at_moments(which: Timeline) -> list[set[tuple[int, int, str]]]:
        found, left = [], list(moments)
        for _, end, ways in open_ways([*which.changes(), Change(9e9, True, 0, 1, "end")]):
            while left and left[0] < end:
                found.append(set(ways))
                left.pop(0)
        return found

    lost = 0
    for at, with_jam, without in zip(moments, at_moments(jammed), at_moments(free), strict=True):
        x, y = disc.position(0, at)
        inside = set()
        for number in range(12):
            px, py = paths.position(number, at)
            if 1_200 <= at < 3_600 and (px - x) ** 2 + (py - y) ** 2 <= 3_600:
                inside.add(number)
        expected = {key for key in without if key[2] == "n" or not inside.intersection(key[:2])}
        assert with_jam == expected
        lost += len(without) - len(with_jam)
    assert lost


def test_a_jammer_goes_with_a_march() -> None:
    """The disc that follows a march is in the middle of its column."""
    loaded = scenario.load("block-jam")
    crowd = Crowd(loaded, 1)
    discs = Paths([Timeline(loaded, crowd, 1).disc(loaded.jam[0])])
    marchers = crowd.of(["marchers"])
    for at in (1_800.0, 2_400.0):
        xs = [crowd.paths.position(number, at)[0] for number in marchers]
        assert discs.position(0, at)[0] == pytest.approx(sum(xs) / len(xs), abs=40)


@pytest.mark.parametrize("x", [None, 150.0])
def test_a_partition_parts(x: float | None) -> None:
    """While it lasts nobody hears the other side; before and after they do."""
    fault = '[[faults]]\nkind = "partition"\nfrom = "30min"\nuntil = "1h"\n'
    text = WALKERS + fault + ("" if x is None else f"x = {x}\n")
    made_of = timeline(made(text))
    paths = Crowd(made(text), 1).paths
    if x is not None:
        assert made_of.parted(0, 1, 0) == (
            (paths.position(0, 0.0)[0] < x) != (paths.position(1, 0.0)[0] < x)
        )
    mixed = [0, 0]
    for start, _, ways in open_ways(made_of.changes()):
        across = sum(made_of.parted(a, b, 0) for a, b, _ in ways)
        mixed[1_800 <= start < 3_600] += across
    assert mixed[0] > 0 and mixed[1] == 0
    sides = [made_of.parted(0, other, 0) for other in range(12)]
    assert 0 < sum(sides) < 12 and (x is not None or sum(sides) == 6)


@given(st.data())
def test_unblocked_is_what_a_slow_rule_says(data: st.DataObject) -> None:
    """At every instant: open, both ends free on that radio, and no partition between them."""
    times = st.integers(0, 6).map(float)
    keys = st.tuples(st.sampled_from([(0, 1), (0, 2), (1, 2)]), st.sampled_from(["x", "x@9", "y"]))
    flips = sorted(data.draw(st.lists(st.tuples(times, keys), max_size=20)), key=lambda f: f[0])
    is_open: dict[tuple[int, int, str], bool] = {}
    raw: list[Change] = []
    for at, ((a, b), way) in flips:
        if any(c.at == at and c[2:] == (a, b, way) for c in raw):
            continue
        up = is_open[a, b, way] = not is_open.get((a, b, way), False)
        raw.append(Change(at, up, a, b, way))
    raw.sort(key=lambda change: change[:2])
    nodes, radios = st.integers(0, 2), st.sampled_from([("x",), ("y",), ("x", "y"), ()])
    spans = data.draw(st.lists(st.tuples(times, st.integers(1, 4), nodes, radios), max_size=5))
    blocks = [Block(start, 1, names, node) for start, _, node, names in spans]
    blocks += [Block(start + wide, -1, names, node) for start, wide, node, names in spans if names]
    blocks.sort(key=lambda block: (block.at, block.add))
    radio_of = {"x": "x", "x@9": "x", "y": "y"}

    def parted(a: int, b: int, number: int) -> bool:
        return (a == number) != (b == number)

    shown = list(unblocked(raw, blocks, radio_of, parted))
    for _ in open_ways(shown):
        pass
    last = raw[-1].at if raw else -1.0
    for at in (half / 2 for half in range(int(2 * last) + 1)):
        seen = {}
        for change in shown:
            if change.at <= at:
                seen[change[2:]] = change.up
        for (a, b), way in [(p, w) for p in ((0, 1), (0, 2), (1, 2)) for w in radio_of]:
            state = [c.up for c in raw if c.at <= at and c[2:] == (a, b, way)]
            jams = [
                start <= at < start + wide and radio_of[way] in names and node in (a, b)
                for start, wide, node, names in spans
            ]
            cuts = [start <= at and not names and parted(a, b, n) for start, _, n, names in spans]
            expected = bool(state and state[-1]) and not any(jams) and not any(cuts)
            assert seen.get((a, b, way), False) == expected


# --- whole towns --------------------------------------------------------------------------------


def lived(text: str, seed: int | None = None, fast: bool = True, **sets: str) -> Town:
    """A town after its run."""
    town = build(made(text, **sets), seed=seed, fast=fast)
    assert town.run()
    return town


def test_same_seed_same_run() -> None:
    """The trace repeats with the seed and differs without."""
    text = WALKERS + NOTES

    def run(seed: int) -> World:
        return lived(text, seed, fast=False, **{"scenario.duration": "40min"}).world

    one = run(1)
    assert one.measure.delivered >= 5
    assert one.trace_hash == run(1).trace_hash
    assert one.trace_hash != run(2).trace_hash


def test_the_order_of_hashes_decides_nothing() -> None:
    """Another PYTHONHASHSEED gives the same trace."""
    code = (
        "from meshchat.sim import scenario\n"
        "from meshchat.sim.town import build\n"
        "jam = scenario.load('block-jam', {'scenario.duration': '17min'})\n"
        "town = build(jam, peers=8, fast=True)\n"
        "town.run()\n"
        "print(town.world.trace_hash)\n"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(hashes) == 1


def test_a_fault_does_not_shift_the_rest() -> None:
    """With crashes and another workload, ways and notes are the same as without."""
    more = (
        '[[workload]]\nname = "more"\nper_day = 24\nsize = 50\nttl = "1h"\n'
        '[[faults]]\nkind = "crash"\nper_day = 24\n'
    )
    one, two = lived(WALKERS + NOTES), lived(WALKERS + NOTES + more)
    assert list(one.changes()) == list(two.changes())
    measure = two.world.measure
    notes = [w for w, of in zip(measure.wishes, measure.of, strict=True) if of == "notes"]
    assert notes == one.world.measure.wishes
    assert len(measure.wishes) > len(notes)
    assert one.world.trace_hash != two.world.trace_hash


def test_workload_is_written_when_and_by_whom_it_says() -> None:
    """Numbers, hours, sizes, readers and rooms are those of the file."""
    text = """
[[people]]
name = "a"
count = 4
[[people]]
name = "b"
count = 2
[[networks]]
name = "n"
radio = "net"
[[rooms]]
name = "board"
members = ["a"]
[[workload]]
name = "rate"
from = ["a"]
to = "b"
per_day = 40
size = [10, 20]
ttl = "1h"
between = { from = "08:00", until = "20:00" }
[[workload]]
name = "file"
kind = "file"
to = "anyone"
count = 3
size = 8000
ttl = "1h"
begins = "10:00"
ends = "11:00"
[[workload]]
name = "posts"
kind = "room"
room = "board"
count = 7
size = 100
ttl = "1h"
"""
    town = lived(text, **{"scenario.duration": "1d", "radios.ble.range_m": "0"})
    measure = town.world.measure
    by: dict[str, list[tuple[float, int, int, int]]] = {}
    for wanted, of in zip(measure.wishes, measure.of, strict=True):
        by.setdefault(of, []).append((wanted.created, wanted.src, wanted.dst, wanted.size))
    assert 115 <= len(by["rate"]) <= 205  # 160 expected
    for at, src, dst, size in by["rate"]:
        assert 8 * 3_600 <= at < 20 * 3_600 and src < 4 <= dst and 10 <= size <= 20
    assert len(by["file"]) == 3 and {size for *_, size in by["file"]} == {8_000}
    assert all(36_000 <= at < 39_600 and src != dst for at, src, dst, _ in by["file"])
    assert len(by["posts"]) == 7 * 3  # each wanted by the three others
    assert all(src < 4 and dst < 4 for _, src, dst, _ in by["posts"])
    assert measure.delivered == measure.created == len(measure.wishes)


def test_devices_are_off_seized_and_hostile_as_asked_for() -> None:
    """About the share is off at any time; the seized never come back; black holes get no mail."""
    text = """
[[people]]
name = "people"
count = 80
off = { share = 0.25, mean = "1h" }
seized_per_day = 0.2
hostile = { share = 0.1, conduct = "black_hole" }
[[workload]]
name = "notes"
to = "anyone"
count = 300
size = 20
ttl = "1h"
"""
    sets = {"scenario.duration": "2d", "radios.ble.range_m": "0"}
    town = build(made(text, **sets), fast=True)
    on: list[float] = []
    for hour in range(1, 48):
        town.world.run(until=hour * 3_600.0)
        people = [person for person in town.world.people if not person.gone]
        on.append(sum(person.awake for person in people) / len(people))
    assert sum(on) / len(on) == pytest.approx(0.75, abs=0.05)
    gone = sum(person.gone for person in town.world.people)
    assert 15 <= gone <= 40  # 26 expected
    holes = {p.number for p in town.world.people if p.conduct == "black_hole"}
    assert len(holes) == 8
    measure = town.world.measure
    assert not holes & {number for wish in measure.wishes for number in (wish.src, wish.dst)}
    assert not measure.refused  # nobody writes on a device that is off


def test_faults_befall_people() -> None:
    """Crash, full disk and wrong clock: what can arrive still does."""
    text = WALKERS + NOTES + (
        '[[faults]]\nkind = "crash"\nat = ["30min", "1h"]\nshare = 0.5\n'
        '[[faults]]\nkind = "disk_full"\nfrom = "10min"\nuntil = "20min"\nshare = 0.5\n'
        '[[faults]]\nkind = "clock"\nshare = 0.5\noffset = ["-2h", "-1h"]\nat = "5min"\n'
    )  # fmt: skip
    town = build(made(text), fast=True)
    town.world.run(until=900.0)
    people = town.world.people
    assert sum(person.store.full for person in people) == 6
    assert sum(-7_200 <= person.offset <= -3_600 for person in people) == 6
    town.run()
    assert not any(person.store.full for person in people)
    assert town.world.measure.delivered >= 8


def test_the_clock_shows_the_time_of_the_file() -> None:
    """Weekday and time of day are the file's; the year is one the nodes believe."""
    town = build(made(WALKERS, **{"scenario.start": '"2022-01-06 19:40 +06:00"'}), fast=True)
    then = datetime.fromtimestamp(town.world.start, UTC)
    assert (then.weekday(), then.hour, then.minute) == (3, 13, 40)
    assert then.year >= 2026


def test_marks_are_computed_from_the_document() -> None:
    """Of the run or of a part; what cannot be computed is missed."""
    marks = (
        '[[marks]]\nfigure = "delivery_ratio"\nat_least = 0.5\n'
        '[[marks]]\nfigure = "delay_s.p90"\nof = "notes"\nat_most = "1h"\n'
        '[[marks]]\nfigure = "ratio.limit"\nat_least = 0.9\n'
    )
    town = build(made(WALKERS + NOTES + marks), fast=True)
    document = {
        "delivery_ratio": 0.4,
        "ratio": {"limit": None},
        "by_workload": {"notes": {"delay_s": {"p90": 3_600.0}}},
    }
    assert [(mark["rule"], mark["got"], mark["ok"]) for mark in town.marks(document)] == [
        ("at_least", 0.4, False),
        ("at_most", 3_600.0, True),
        ("at_least", None, False),
    ]


def test_the_map_shows_people_and_jam() -> None:
    """Sixty frames with everybody's place; a disc is there while it jams."""
    drawn = build(made(WALKERS + JAM), fast=True).map()
    assert drawn is not None and len(drawn["frames"]) == 60
    assert all(len(frame["xy"]) == 12 for frame in drawn["frames"])
    disc = drawn["jam"][0]["xy"]
    assert disc[0] is None and disc[20] is not None and disc[59] is None
    assert drawn["places"][0]["name"] == "square"
    alone = '[[people]]\nname = "a"\ncount = 2\n'
    assert build(made(alone, **{"radios.ble.range_m": "0"}), fast=True).map() is None
