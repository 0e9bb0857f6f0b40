"""Movement: paths are whole, models move as people do, the same seed gives the same legs."""

import gzip
import math
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import islice, pairwise
from pathlib import Path as FilePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshchat.errors import UsageError
from meshchat.sim.chance import Chance
from meshchat.sim.mobility import (
    DAY_S,
    Leg,
    Path,
    Paths,
    address,
    along,
    commuter,
    courier,
    dispersal,
    gathering,
    march,
    outing,
    positions_file,
    random_waypoint,
    standing,
)

ROUTE = [(0.0, 0.0), (400.0, 0.0), (400.0, 300.0), (50.0, 300.0), (60.0, 0.0)]
SQUARE = (512.0, 488.0)

MODELS: dict[str, tuple[Callable[[Chance], Path], float]] = {
    "random_waypoint": (lambda chance: random_waypoint(chance, 500, 300), 1.5),
    "commuter": (lambda chance: commuter(chance, 1500, 1000, squares=[SQUARE]), 1.6),
    "march": (lambda chance: march(chance, standing(-300, 80), ROUTE, 1800), 1.8),
    "gathering": (lambda chance: gathering(chance, standing(9, 9), *SQUARE, 3600, 7200), 1.6),
    "courier": (lambda chance: courier(chance, ROUTE), 5.0),
    "dispersal": (lambda chance: dispersal(chance, *SQUARE, 3600), 3.0),
    "busy day": (
        lambda chance: gathering(
            chance,
            march(chance, commuter(chance, 1500, 1000, clock_s=30_000), ROUTE, 14_000),
            *SQUARE,
            20_000,
            30_000,
        ),
        1.8,
    ),
}
"""With the highest speed, m/s."""

GOLDEN = "3a8e275247c0dcccabf0e420c3926edb"


def speed(leg: Leg) -> float:
    """Metres per second."""
    return math.dist(leg[1:3], leg[4:]) / (leg.t1 - leg.t0)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", range(5))
def test_paths_are_whole_and_speeds_bounded(name: str, seed: int) -> None:
    """Every model starts at 0, leaves no gap in time or place, and nobody flies."""
    model, fastest = MODELS[name]
    legs = list(islice(model(Chance(seed, name)), 400))
    assert legs[0].t0 == 0
    for leg in legs:
        assert leg.t1 > leg.t0
        assert speed(leg) <= fastest * (1 + 1e-9)
    for one, following in pairwise(legs):
        assert one[3:] == following[:3]


@pytest.mark.parametrize("name", MODELS)
def test_same_seed_same_legs(name: str) -> None:
    """A seed and a name decide the whole path; another name gives another path."""
    model, _ = MODELS[name]
    first, again, other = (list(islice(model(Chance(3, who)), 200)) for who in ("a", "a", "b"))
    assert first == again
    assert first != other


def digest() -> str:
    """Of all models and what meets in them, to the last bit."""
    import hashlib
    import struct

    from meshchat.sim.meetings import encounters, visits

    total = hashlib.blake2b(digest_size=16)
    for name, (model, _) in MODELS.items():
        people = Paths(model(Chance(7, name, who)) for who in range(12))
        for path in people:
            for leg in islice(path, 60):
                total.update(struct.pack("<6d", *leg))
        for at, up, a, b, _ in encounters(people, 40.0, 40_000.0, "ble", 5.0):
            total.update(struct.pack("<d?II", at, up, a, b))
        for at, inside, node in visits(people, along(ROUTE, 1800, 1.2), 90, 900, 20_000):
            total.update(struct.pack("<d?I", at, inside, node))
    return total.hexdigest()


def test_digest_is_the_same_everywhere() -> None:
    """Legs, encounters and visits are the same on every Python, machine and hash seed."""
    found = [
        subprocess.run(
            [sys.executable, "-c", "import test_mobility; print(test_mobility.digest())"],
            cwd=FilePath(__file__).parent,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert found == [GOLDEN, GOLDEN]


def test_commuters_sleep_at_home() -> None:
    """At three in the morning everybody is where he or she was the night before."""
    town = Paths(commuter(Chance(1, who), 2000, 2000) for who in range(100))
    for who in range(100):
        nights = {town.position(who, day * DAY_S + 3 * 3600) for day in range(7)}
        assert len(nights) == 1


def test_commuters_work_by_day_on_streets_only() -> None:
    """In the afternoon most are away; all walking is along streets."""
    town = Paths(commuter(Chance(1, who), 2000, 2000) for who in range(100))
    away = sum(town.position(who, 14 * 3600) != town.position(who, 0) for who in range(100))
    assert 50 < away < 95
    for path in town:
        for leg in islice(path, 100):
            assert leg.x0 == leg.x1 or leg.y0 == leg.y1
            assert leg.x0 == leg.x1 == 100 * round(leg.x0 / 100) or leg.y0 == leg.y1


def test_the_clock_of_a_town_starts_at_any_time() -> None:
    """A town that starts at noon is the one that started at midnight, twelve hours later."""
    midnight, noon = (
        Paths(commuter(Chance(1, who), 900, 900, clock_s=clock) for who in range(30))
        for clock in (0, 12 * 3600)
    )
    for who in range(30):
        for t in (0, 3_000, 20_000, 100_000, 300_000.5):
            there = midnight.position(who, t + 12 * 3600)
            assert noon.position(who, t) == pytest.approx(there, abs=1e-6)


def test_people_from_far_away_do_not_skip_days_for_ever() -> None:
    """Work that is farther than a day's walk leaves out days but keeps the path whole."""
    path = commuter(Chance(1), 90_000, 9_000, home=(0.0, 0.0), work=(90_000.0, 0.0), employed=1)
    legs = list(islice(path, 60))
    assert all(one[3:] == following[:3] for one, following in pairwise(legs))
    assert sum(leg.x1 == 90_000 and leg.x0 == 90_000 for leg in legs) >= 5


def from_line(x: float, y: float, route: list[tuple[float, float]]) -> float:
    """Metres between a point and a line of several parts."""
    nearest = math.inf
    for (x0, y0), (x1, y1) in pairwise(route):
        dx, dy = x1 - x0, y1 - y0
        part = ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy)
        part = min(1.0, max(0.0, part))
        nearest = min(nearest, math.dist((x, y), (x0 + part * dx, y0 + part * dy)))
    return nearest


def test_a_march_keeps_to_its_corridor_and_arrives() -> None:
    """All are in the column from start to end, move with it, stop when its head arrives."""
    start, length, width, v = 1800.0, 120.0, 16.0, 1.2
    metres = sum(math.dist(one, other) for one, other in pairwise(ROUTE))
    arrives = start + metres / v
    people = Paths(
        march(Chance(4, who), standing(-300, 80), ROUTE, start, length_m=length, linger_s=300)
        for who in range(60)
    )
    longer = [(-length, 0.0), *ROUTE]
    for who in range(60):
        for t in range(int(start), int(arrives), 20):
            assert from_line(*people.position(who, t), longer) <= width / 2 + 1e-6
        end = people.position(who, arrives + 30)
        assert math.dist(end, ROUTE[-1]) <= length + width
        assert people.position(who, arrives + 4000) == (-300, 80)
    head = Paths([along(ROUTE, start, v)])
    for t in (start + 400, start + 800):
        column = [people.position(who, t) for who in range(60)]
        assert min(math.dist(one, head.position(0, t)) for one in column) < 20


def test_who_comes_late_catches_up_with_the_march() -> None:
    """From a home an hour away one joins the column late, and still ends in it."""
    late = Paths([march(Chance(1), standing(-2600, 0), ROUTE, 0.0, length_m=50)])
    legs = list(islice(late[0], 200))
    assert max(speed(leg) for leg in legs) > 1.7
    assert any(math.dist(leg[4:], ROUTE[-1]) < 70 for leg in legs)
    assert legs[-1][4:] == (-2600, 0)


def test_a_gathering_is_in_its_disc_in_its_time() -> None:
    """Between coming and going everybody is inside the disc; before and after at home."""
    people = Paths(
        gathering(Chance(2, who), standing(who, -500), 0, 0, 5000, 9000, spread_s=600)
        for who in range(80)
    )
    for who in range(80):
        assert people.position(who, 3000) == (who, -500)
        for t in range(5600, 8400, 100):
            assert math.dist(people.position(who, t), (0, 0)) <= 30 + 1e-9
        assert people.position(who, 11_000) == (who, -500)
    assert len({people.position(who, 7000) for who in range(80)}) == 80


def neighbours(people: Paths, t: float, range_m: float) -> float:
    """Mean number of others within range."""
    places = [people.position(who, t) for who in range(len(people))]
    near = sum(math.dist(one, other) <= range_m for one in places for other in places)
    return near / len(places) - 1


def test_a_thousand_people_are_as_close_as_in_real_protests() -> None:
    """Within 10 m: some 48 in a march and 96 in a gathering, as in Amigo's positions."""
    column = Paths(march(Chance(2, who), standing(0, 9), ROUTE, 3600) for who in range(1000))
    crowd = Paths(
        gathering(Chance(2, who), standing(0, 9), 0, 0, 1800, 5400) for who in range(1000)
    )
    assert neighbours(column, 4000, 10) == pytest.approx(48, rel=0.1)
    assert neighbours(crowd, 3600, 10) == pytest.approx(96, rel=0.1)


def test_a_courier_calls_at_every_stop_every_day() -> None:
    """The stops are visited in order, with a pause, and the night is spent at the first."""
    stops = [(0.0, 0.0), (900.0, 50.0), (700.0, 800.0), (0.0, 900.0)]
    for block in (0.0, 100.0):
        rests = [
            leg
            for leg in islice(courier(Chance(1), stops, block_m=block), 200)
            if leg[1:3] == leg[4:]
        ]
        # At the first stop the pause and the time until morning are two legs.
        places = [leg[4:] for leg in rests]
        assert places[:10] == [*stops, stops[0], *stops, stops[0]]
        days = {leg.t0 // DAY_S for leg in rests if leg[4:] == stops[2]}
        assert days == set(map(float, range(len(days))))


def test_a_crowd_disperses() -> None:
    """Together before, far from the place and from each other after."""
    people = Paths(dispersal(Chance(3, who), 0, 0, 600, far_m=(500, 900)) for who in range(50))
    assert all(math.dist(people.position(who, 599), (0, 0)) <= 30 for who in range(50))
    ends = [people.position(who, 3000) for who in range(50)]
    assert all(500 <= math.dist(end, (0, 0)) <= 900 for end in ends)
    assert len(set(ends)) == 50


def test_an_outing_fits_into_an_ordinary_day() -> None:
    """A commuter goes to a gathering after work, is there on time, and sleeps at home."""
    for who in range(40):
        plain, busy = (
            Paths([commuter(Chance(1, who), 1500, 1500, employed=1, evening=0)]) for _ in "ab"
        )
        busy = Paths([gathering(Chance(2, who), busy[0], 700, 700, 64_000, 72_000, spread_s=300)])
        assert busy.position(0, 50_000) == plain.position(0, 50_000)
        assert math.dist(busy.position(0, 66_000), (700, 700)) <= 30
        assert busy.position(0, 80_000) == plain.position(0, 80_000)
        for t in (DAY_S + 30_000, 2 * DAY_S + 45_000):
            assert busy.position(0, t) == plain.position(0, t)


def test_an_outing_leaves_as_late_as_it_can_and_comes_late_from_afar() -> None:
    """The walk there ends on the minute; who lives too far away arrives when feet allow."""
    came: list[float] = []

    def stay(t: float) -> Path:
        came.append(t)
        yield Leg(t, 100.0, 0.0, t + 50, 100.0, 0.0)

    near = list(outing(standing(0, 0), 100, 0, 500, stay, 2.0))
    assert near == [
        Leg(0, 0, 0, 450, 0, 0),
        Leg(450, 0, 0, 500, 100, 0),
        Leg(500, 100, 0, 550, 100, 0),
        Leg(550, 100, 0, 600, 0, 0),
        Leg(600, 0, 0, math.inf, 0, 0),
    ]
    list(islice(outing(standing(2100, 0), 100, 0, 500, stay, 2.0), 4))
    assert came == [500, 1000]
    ended = list(outing(iter([Leg(0, 0, 0, 10, 7, 0)]), 100, 0, 500, stay, 2.0))
    assert ended[-1] == Leg(pytest.approx(596.5), 7, 0, math.inf, 7, 0)


def test_paths_can_be_read_by_many() -> None:
    """Readers do not disturb each other, and each leg is taken from the model once."""
    model, _ = MODELS["random_waypoint"]
    expected = list(islice(model(Chance(1)), 50))
    paths = Paths([model(Chance(1)), standing(1, 2)])
    one, other = paths[0], paths[0]
    assert list(islice(one, 30)) == expected[:30]
    assert list(islice(other, 50)) == expected
    assert list(islice(one, 20)) == expected[30:]
    assert [next(path) for path in paths[:]] == [expected[0], Leg(0, 1, 2, math.inf, 1, 2)]
    assert len(list(paths)) == 2
    with pytest.raises(IndexError):
        paths[2]


def test_positions_are_found_at_any_time() -> None:
    """In any order of asking, on a leg, at its ends and after the last one."""
    paths = Paths(
        [iter([Leg(0, 0, 0, 10, 20, 0), Leg(10, 20, 0, 10, 20, 0), Leg(10, 20, 0, 12, 20, 4)])]
    )
    assert paths.position(0, 11) == (20, 2)
    assert paths.position(0, 2.5) == (5, 0)
    assert paths.position(0, 10) == (20, 0)
    assert paths.position(0, 1e9) == (20, 4)
    with pytest.raises(ValueError, match="no position"):
        paths.position(0, -1)


@pytest.mark.parametrize(
    "second",
    [
        Leg(6, 1, 1, 9, 2, 2),
        Leg(5, 1, 2, 9, 2, 2),
        Leg(5, 1, 1, 4, 2, 2),
        Leg(5, 1, 1, 5, 2, 2),
        Leg(5, 1, 1, math.nan, 2, 2),
    ],
)
def test_a_model_with_a_gap_is_a_bug(second: Leg) -> None:
    """Legs that do not follow each other are refused, not smoothed over."""
    paths = Paths([iter([Leg(0, 0, 0, 5, 1, 1), second])])
    with pytest.raises(ValueError, match="node 0"):
        list(paths[0])


def test_an_address_is_on_a_street() -> None:
    """Doors are on the grid and inside the town."""
    for seed in range(50):
        x, y = address(Chance(seed), 730, 550)
        assert 0 <= x <= 730 and y in (0, 100, 200, 300, 400, 500)


GOOD = """t_s,node,x,y
0,0,0,0
0,1,5,5

# note
10,0,20,0
10,1,5,5
20,1,5,5
20,0,20,10
30,1,6,5
"""


@pytest.mark.parametrize("packed", [False, True])
def test_positions_from_a_file(tmp_path: FilePath, packed: bool) -> None:
    """Nodes go straight between samples; standing for long is one leg."""
    file = tmp_path / "walk.csv"
    file.write_bytes(gzip.compress(GOOD.encode()) if packed else GOOD.encode("utf-8-sig"))
    paths = positions_file(file)
    assert len(paths) == 2
    assert paths.position(0, 5) == (10, 0)
    assert paths.position(0, 15) == (20, 5)
    assert paths.position(0, 99) == (20, 10)
    assert list(paths[1]) == [
        Leg(0, 5, 5, 20, 5, 5),
        Leg(20, 5, 5, 30, 6, 5),
        Leg(30, 6, 5, math.inf, 6, 5),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0,0,1,1\n5,0,1,1\n4,0,1,1\n", "line 3: time 4 is before 5"),
        ("0,0,nan,1\n", "line 1: x and y must be numbers"),
        ("0,0,1,inf\n", "line 1: x and y must be numbers"),
        ("nan,0,1,1\n", "line 1: time must be"),
        ("-1,0,1,1\n", "line 1: time must be"),
        ("0,0,1\n", "line 1: has 3 fields"),
        ("0,zero,1,1\n", "line 1: t_s, x, y must be numbers"),
        ("0,0.5,1,1\n", "line 1: t_s, x, y must be numbers"),
        ("t_s,node,x,y\n0,99999999999,1,1\n", "line 2: node must be"),
        ("0,-1,1,1\n", "line 1: node must be"),
        ("0,0,1,1\n0,0,2,1\n", "line 2: node 0 has two positions"),
        ("0,0,1,1\n1,0,1,1\n1,1,1,1\n", "node 1 has fewer than two samples"),
        ("0,0,1,1\n1,0,1,1\n1,2,1,1\n2,2,1,1\n", "node 1 has fewer than two samples"),
        ("", "has no positions"),
        ("t_s,node,x,y\n", "has no positions"),
    ],
)
def test_bad_positions_are_explained(tmp_path: FilePath, text: str, says: str) -> None:
    """One sentence with the file and the line."""
    file = tmp_path / "walk.csv"
    file.write_text(text)
    with pytest.raises(UsageError) as error:
        positions_file(file)
    assert str(error.value).startswith(str(file))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_damaged_positions_are_explained(tmp_path: FilePath) -> None:
    """A gzip that is cut off or altered, something that is no text, and no file at all."""
    file = tmp_path / "walk.csv.gz"
    rows = "".join(
        f"{t},{node},{t * 7 % 13},{t * 3 % 17}\n" for t in range(3000) for node in (0, 1)
    )
    whole = gzip.compress(rows.encode())
    file.write_bytes(whole)
    assert len(positions_file(file)) == 2
    middle = len(whole) // 2
    altered = whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :]
    for data in (whole[:middle], whole[:-4], whole[:5], altered, whole[:3] + b"\xff" + whole[4:]):
        file.write_bytes(data)
        with pytest.raises(UsageError, match=r"walk\.csv\.gz, line \d+: "):
            positions_file(file)
    file.write_bytes(b"0,0,1,1\n\xff\xfe\n")
    with pytest.raises(UsageError, match="this is not text"):
        positions_file(file)
    with pytest.raises(UsageError, match="cannot be read"):
        positions_file(tmp_path / "absent.csv")


@given(st.binary(max_size=200) | st.text("0123456789.,-\nxe", max_size=200).map(str.encode))
def test_any_bytes_give_paths_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    """No file makes the reader fail in another way."""
    file = tmp_path_factory.getbasetemp() / "any.csv"
    for content in (data, gzip.compress(data), b"\x1f\x8b" + data):
        file.write_bytes(content)
        try:
            paths = positions_file(file)
        except UsageError as error:
            assert str(file) in str(error)
        else:
            assert all(path for path in map(list, paths))
