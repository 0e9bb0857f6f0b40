"""Scenario files: what ships loads, what is wrong is said in one sentence with line and key."""

import re
import tomllib
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshchat.errors import UsageError
from meshchat.sim import plan, scenario, times
from meshchat.sim.checks import figures
from meshchat.sim.crowd import sizes
from meshchat.sim.locate import line_of, lines
from meshchat.sim.periods import periods

GOOD = """\
[scenario]
title = "A test"
start = "2022-01-06 18:00 +06:00"
duration = "2d"
people = 200

[[places]]
name = "square"
x = 100
y = 100
radius = 30

[[people]]
name = "walkers"
share = 0.5
adoption = 0.1
off = { share = 0.2, mean = "2h" }
move = { model = "random_waypoint", at = "square", speed = [0.5, 1.5] }

[[people]]
name = "march"
count = 10
hostile = { share = 0.1, conduct = "selfish" }
move = { model = "march", route = [[0, 0], [100, 0]], starts = "19:40" }

[radios.ble]
range_m = 30
discovery_s = [5, 30]

[radios.net]
rate = "64 kbit/s"

[[networks]]
name = "fixed"
kind = "internet"
radio = "net"
timeline = [
    { state = "off", from = "2022-01-06 19:40" },
    { state = "on", from = "1d 06:30", until = "1d 12:00" },
]

[[jam]]
ways = ["ble"]
radius = 100
follow = "march"
from = "2h"
until = "3h"

[[rooms]]
name = "board"

[[workload]]
name = "notes"
per_day = 3
size = [20, 100]
ttl = "6h"

[[workload]]
name = "posts"
kind = "room"
room = "board"
count = 5
size = 100
ttl = "6h"

[[faults]]
kind = "crash"
per_day = 2

[[marks]]
figure = "delay_s.p50"
of = "notes"
at_most = "6h"
"""

# what is replaced, by what, and what the message says: key, and words of what is allowed
WRONG = {
    "unknown key": ("adoption = 0.1", "adopton = 0.1", "people.walkers.adopton", "adoption"),
    "unknown table": ("[[rooms]]", "[[romms]]", "romms", '"rooms"'),
    "unknown key in an inline table": ("mean = ", "men = ", "people.walkers.off.men", '"mean"'),
    "unknown key of a radio": ("range_m = 30", "range = 30", "radios.ble.range", '"range_m"'),
    "unknown key of a model": ('at = "square", ', "zz = 1, ", "people.walkers.move.zz", "speed"),
    "wrong type": ("count = 10", 'count = "ten"', "people.march.count", "whole number from 1"),
    "true is no number": ("count = 10", "count = true", "people.march.count", "whole number"),
    "half a person": ("count = 10", "count = 1.5", "people.march.count", "whole number"),
    "too many": ("count = 10", "count = 99999999999", "people.march.count", "100,000"),
    "not finite": ("x = 100", "x = nan", "places.square.x", "finite"),
    "infinite": ("radius = 100", "radius = inf", "jam.1.radius", "finite"),
    "negative": ("radius = 30", "radius = -1", "places.square.radius", "from 0"),
    "share over 1": ("adoption = 0.1", "adoption = 1.1", "people.walkers.adoption", "from 0 to 1"),
    "shares over 1": (
        "count = 10\n",
        "share = 0.6\n",
        "people.march.share",
        "all shares together to 1.1",
    ),
    "both": ("count = 10\n", "count = 10\nshare = 0.1\n", "people.march", 'one of "count"'),
    "share of nobody": ("people = 200\n", "", "people.walkers.share", '"people"'),
    "reversed range": ("[5, 30]", "[30, 5]", "radios.ble.discovery_s", "lower value first"),
    "range of three": ("[5, 30]", "[5, 6, 30]", "radios.ble.discovery_s", "in brackets"),
    "not a time": ('"2d"', '"2 fortnights"', "scenario.duration", '"1d 6h 30min"'),
    "not a rate": ('"64 kbit/s"', '"64 baud"', "radios.net.rate", '"64 kbit/s"'),
    "no offset": (" +06:00", "", "scenario.start", "UTC offset"),
    "no such day": ('"2022-01-06 19:40"', '"2022-02-30 19:40"', "timeline.1.from", "no such date"),
    "before the start": ('"19:40"', '"17:59"', "people.march.move.starts", "before the start"),
    "end before start": ('until = "3h"', 'until = "1h"', "jam.1.until", 'not after "from"'),
    "state ends early": ('"1d 12:00"', '"1d 06:00"', "fixed.timeline.2.until", "not after"),
    "unknown model": ('"random_waypoint"', '"randm"', "people.walkers.move.model", '"commuter"'),
    "no model": ('model = "march", ', "", "people.march.move", "model"),
    "unknown conduct": ('"selfish"', '"rude"', "people.march.hostile.conduct", '"black_hole"'),
    "unknown place": ('at = "square"', 'at = "squre"', "people.walkers.move.at", '"square"'),
    "unknown radio": ('radio = "net"', 'radio = "nett"', "networks.fixed.radio", '"net"'),
    "unknown way": ('ways = ["ble"]', 'ways = ["bel"]', "jam.1.ways.1", '"ble"'),
    "unknown group": ('follow = "march"', 'follow = "parade"', "jam.1.follow", '"walkers"'),
    "no march": ('follow = "march"', 'follow = "walkers"', "jam.1.follow", "marches"),
    "unknown room": ('room = "board"', 'room = "bord"', "workload.posts.room", '"board"'),
    "room without room": ('room = "board"\n', "", "workload.posts", '"room"'),
    "too long a text": ("size = 100", "size = 7001", "workload.posts.size", "7000"),
    "no reader": ("per_day = 3", 'per_day = 3\nto = "walker"', "workload.notes.to", '"walkers"'),
    "missing": ('ttl = "6h"\n\n[[workload]]\nname = "posts"', '[[workload]]\nname = "posts"',
                "workload.notes", '"ttl"'),
    "state without rate": ('state = "on"', 'state = "throttled"', "networks.fixed.timeline.2",
                           '"rate"'),
    "windows without number": ('state = "on"', 'state = "windows", length = "5min"',
                               "networks.fixed.timeline.2", '"per_day"'),
    "unknown figure": ('"delay_s.p50"', '"delay_s.p95"', "marks.1.figure", '"delay_s.p9'),
    "figure of the whole only": ('"delay_s.p50"', '"transmissions"', "marks.1.figure", "workload"),
    "figure of no room": ('of = "notes"', 'of = "rooms"', "marks.1.of", '"posts"'),
    "no bound": ('at_most = "6h"', "", "marks.1", '"at_most"'),
    "two the same": ('name = "posts"', 'name = "notes"', "workload.notes.name", "already"),
    "bad name": ('name = "march"', 'name = "a march"', "people.2.name", "no space"),
    "route of one place": ("[[0, 0], [100, 0]]", "[[1, 1], [1, 1]]", "people.march.move.route",
                           "two different"),
    "point of three": ("[[0, 0], [100, 0]]", "[[0, 0], [1, 2, 3]]",
                       "people.march.move.route.2", "2 numbers"),
    "people as a table": ("[[people]]\nname = \"walkers\"", "[peple]\nname = \"walkers\"",
                          "peple", '"people"'),
}  # fmt: skip


def load_text(text: str, **sets: str) -> scenario.Scenario:
    return scenario.parse(text, "test", settings=sets)


@pytest.mark.parametrize("name", scenario.names())
def test_shipped_file_loads_and_is_described(name: str) -> None:
    """Every scenario that ships is right, says what it is, and fits a terminal."""
    loaded = scenario.load(name)
    assert loaded.name == name and loaded.title and loaded.about.purpose and loaded.marks
    told = scenario.describe(loaded)
    assert max(map(len, told.splitlines())) <= 80
    for title in ("People", "Radios", "Workload", "Pass marks", "Assumptions"):
        assert f"\n{title}\n" in told
    for group in loaded.people:
        assert group.name in told


def test_at_least_the_promised_ones_ship() -> None:
    """The names that the documentation promises."""
    promised = {"lan-party", "village", "march", "block-jam", "night-curfew", "flicker"}
    assert promised | {"kz-almaty-2022", "kz-capital-2022"} <= set(scenario.names())


def clocks(name: str) -> list[tuple[str, str]]:
    """When the network of a scenario is on, on its own clock."""
    loaded = scenario.load(name)
    start = loaded.about.start.replace(tzinfo=None)
    return [
        tuple(f"{start + timedelta(seconds=edge):%d %H:%M}" for edge in (period.start, period.end))
        for period in periods(loaded.networks[0], loaded, loaded.about.seed)
    ]  # type: ignore[misc]


def test_capital_timeline_is_the_one_reported() -> None:
    """Nur-Sultan's windows are those of the field study."""
    assert clocks("kz-capital-2022") == [
        ("06 18:00", "06 19:40"),
        ("07 08:30", "07 12:00"),
        ("08 09:00", "08 15:40"),
        ("09 09:30", "09 12:00"),
        ("10 06:10", "10 12:00"),
    ]


def test_almaty_timeline_is_the_one_reported() -> None:
    """Almaty: one window of four hours by 7 January, then four hours a day from the 10th."""
    first, window, *rest = clocks("kz-almaty-2022")
    assert first == ("05 15:00", "05 17:00")
    assert ("05 17:00") <= window[0] < window[1] <= "08 00:00"
    loaded = scenario.load("kz-almaty-2022")
    one = periods(loaded.networks[0], loaded, 1)[1]
    assert one.end - one.start == pytest.approx(4 * 3600)
    assert rest == [("10 09:00", "10 13:00"), ("11 09:00", "11 13:00")]


@pytest.mark.parametrize("case", WRONG)
def test_wrong_file_is_explained_with_line_and_key(case: str) -> None:
    """One sentence: the file, the line that was changed, the key, and what is allowed."""
    old, new, key, allowed = WRONG[case]
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    with pytest.raises(UsageError) as caught:
        load_text(text)
    told = str(caught.value)
    found = re.match(r"test\.toml, line (\d+): (\S+): (.*)[.?]$", told, re.DOTALL)
    assert found, told
    assert key in found[2] and allowed in found[3] and "\n" not in told
    place = GOOD[: GOOD.index(old)].count("\n") + 1
    line, rows = int(found[1]), text.splitlines()
    # Where a key is missing, or two do not go together, it is the line of their table.
    if new:
        assert place <= line <= place + new.count("\n") or rows[line - 1].startswith("[")


def test_lines_are_exact() -> None:
    """The line is that of the key itself, also inside an array over several lines."""
    for old, new in (('"1d 06:30"', '"25:00"'), ("radius = 100", "radius = 0")):
        text = GOOD.replace(old, new)
        line = text[: text.index(new)].count("\n") + 1
        with pytest.raises(UsageError, match=rf"line {line}: "):
            load_text(text)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[scenario]\ntitle = \n", 2),
        ('[scenario]\ntitle = "a\n', 2),
        ("[scenario]\na = 1\na = 2\n", 3),
        ("[scenario\n", 1),
        ("a = [1,\n", 2),
    ],
)
def test_toml_error_has_its_line(text: str, line: int) -> None:
    """Text that is no TOML is refused with the line where it stops being."""
    with pytest.raises(UsageError, match=rf"^test\.toml, line {line}: this is not TOML: "):
        load_text(text)


def test_deep_nesting_is_refused() -> None:
    """A bomb of brackets is one sentence, not a stack overflow."""
    with pytest.raises(UsageError):
        load_text("a = " + "[" * 100_000)


def test_unreadable_files(tmp_path: Path) -> None:
    """Missing, too large, a folder, not text: one sentence each."""
    with pytest.raises(UsageError, match=r'no file "marhc"\. Did you mean "march"'):
        scenario.load("marhc")
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (scenario.FILE_MAX_BYTES + 1))
    with pytest.raises(UsageError, match="small file"):
        scenario.load(large)
    with pytest.raises(UsageError, match="cannot be read"):
        scenario.load(tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        scenario.load("a\0b")
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"# \n# \xff\n")
    with pytest.raises(UsageError, match="line 2: this is not UTF-8"):
        scenario.load(binary)


def test_file_by_path(tmp_path: Path) -> None:
    """A file of one's own is named by its path in errors and by its stem in results."""
    mine = tmp_path / "mine.toml"
    mine.write_text(GOOD, "utf-8")
    loaded = scenario.load(mine)
    assert loaded.name == "mine" and loaded.folder == str(tmp_path)
    mine.write_text(GOOD.replace("count = 10", "count = 0"), "utf-8")
    with pytest.raises(UsageError, match=re.escape(f"{mine}, line 22: people.march.count")):
        scenario.load(mine)


def test_what_a_good_file_means() -> None:
    """Times, rates and names come out as seconds, bytes a second and structs."""
    loaded = load_text(GOOD)
    off, on = loaded.networks[0].timeline
    assert (off.since, on.since, on.until) == (6_000.0, 45_000.0, 64_800.0)
    assert loaded.radios["net"].rate == 8_000.0
    assert loaded.radios["ble"].radio().discovery_s == (5.0, 30.0)
    assert loaded.horizon == 172_800.0
    assert loaded.marks[0].value == 21_600.0


def test_settings_change_single_keys() -> None:
    """``--set`` reaches tables by name or number, and its errors name it."""
    sets = {
        "people.walkers.adoption": "0.3",
        "radios.ble.range_m": "20",
        "scenario.duration": "1d",
        "jam.1.radius": "500",
        "networks.fixed.timeline.2.until": "1d 13:00",
        "workload.notes.size": "[1, 2]",
    }
    loaded = scenario.parse(GOOD, "test", settings=sets)
    assert loaded.people[0].adoption == 0.3 and loaded.radios["ble"].range_m == 20
    assert loaded.horizon == 86_400 and loaded.jam[0].radius == 500
    assert loaded.workload[0].size == (1.0, 2.0)
    for key, value, told in (
        ("people.walkers.adoption", "2", "--set people.walkers.adoption: must be a number from 0"),
        ("people.walker.adoption", "0.2", 'there is no "walker" here'),
        ("radios.bel.range_m", "3", 'there is no "bel" here'),
        ("scenario", "1", "--set scenario:"),
        ("scenario.title.x", "1", "name one value"),
        ("people.walkers.adopt", "1", "--set people.walkers.adopt:"),
        ("", "1", "--set"),
    ):
        with pytest.raises(UsageError, match=re.escape(told)):
            scenario.parse(GOOD, "test", settings={key: value})


def test_figures_are_those_of_the_document() -> None:
    """Marks can ask for numbers of the run, and of one part for those a part has."""
    assert {"delivery_ratio", "delay_s.p90", "ratio.limit", "bytes.sync"} <= set(figures(False))
    assert "name" not in figures(False) and "seed" not in figures(False)
    assert set(figures(True)) == {
        *("created", "delivered", "delivery_ratio", "mean_wait_s", "limit_delivery_ratio"),
        *(f"delay_s.p{n}" for n in (10, 50, 90, 99)),
    }


# --- times --------------------------------------------------------------------------------------

START = datetime(2022, 1, 6, 18, 0, tzinfo=timezone(timedelta(hours=6)))


@given(st.integers(0, int(times.SPAN_MAX_S)))
def test_span_as_written(seconds: int) -> None:
    """What ``written`` writes, ``span`` reads."""
    assert times.span(times.written(seconds)) == seconds == times.span(seconds)


@given(st.integers(0, 399), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_moment_on_the_clock(days: int, hours: int, minutes: int, seconds: int) -> None:
    """A clock time means the same as the date, and as the seconds until then."""
    then = datetime(2022, 1, 6) + timedelta(
        days=days, hours=hours, minutes=minutes, seconds=seconds
    )
    after = (then - START.replace(tzinfo=None)).total_seconds()
    clock = f"{days}d {hours:02d}:{minutes:02d}:{seconds:02d}"
    if after < 0:
        with pytest.raises(ValueError, match="before the start"):
            times.moment(clock, START)
    else:
        assert times.moment(clock, START) == after
        assert times.moment(f"{then:%Y-%m-%d %H:%M:%S}", START) == after
        assert times.moment(then, START) == after


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("2h", 7_200), ("1d 6h 30min", 109_800), ("1.5h", 5_400), ("1d6h", 108_000),
     ("2m", 120), ("1w", 604_800), (90, 90), (0.5, 0.5), ("20 min", 1_200)],
)  # fmt: skip
def test_spans(text: object, seconds: float) -> None:
    """The forms that are documented."""
    assert times.span(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1x", "1h 1d", "1h 1h", "-1h", "1e3", True, [], "1 2"])
def test_no_spans(text: object) -> None:
    """Anything else is no length of time."""
    with pytest.raises(ValueError, match="must be"):
        times.span(text)


@given(st.one_of(st.text(max_size=30), st.integers(), st.floats(), st.none(), st.booleans()))
def test_any_value_is_a_time_or_a_sentence(value: object) -> None:
    """No value breaks the grammar."""
    readers = (times.span, times.clock, times.rate, times.threshold, times.offset, times.began)
    for reader in (*readers, lambda each: times.moment(each, START)):
        try:
            reader(value)
        except ValueError as error:
            assert str(error)


@given(st.from_regex(r"[0-9]{1,4}[-: dhTmins+.0-9]{0,25}", fullmatch=True))
def test_things_like_times_are_times_or_a_sentence(text: str) -> None:
    """Nor does text that is nearly a time."""
    for reader in (times.span, times.clock, times.began, lambda each: times.moment(each, START)):
        try:
            reader(text)
        except ValueError as error:
            assert str(error)


# --- the locator --------------------------------------------------------------------------------

KEYS = st.one_of(
    st.from_regex(r"[A-Za-z0-9_-]{1,6}", fullmatch=True),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=4),
)


class _Writer:
    """Writes a tree as TOML in one of its many ways; leaves are numbers that occur once."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.count = 100
        self.where: dict[tuple[str | int, ...], str] = {}

    def key(self, name: str) -> str:
        if re.fullmatch(r"[A-Za-z0-9_-]+", name) and self.draw(st.booleans()):
            return name
        return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'

    def leaf(self, path: tuple[str | int, ...]) -> str:
        self.count += 1
        self.where[path] = str(self.count)
        forms = ("{}", "'# [ {} = '", '"\\" ] {}"', '"""\n}} {}"""', "'''{} '''", "{}.5")
        return self.draw(st.sampled_from(forms)).format(self.count)

    def value(self, path: tuple[str | int, ...], depth: int) -> str:
        kind = self.draw(st.integers(0, 2)) if depth else 0
        if kind == 0:
            return self.leaf(path)
        size = self.draw(st.integers(0, 3))
        if kind == 1:
            gap = self.draw(st.sampled_from([" ", "\n", " # , ]\n", ""]))
            items = [self.value((*path, at), depth - 1) for at in range(size)]
            return "[" + ",".join(f"{gap}{item}{gap}" for item in items) + "]"
        names = self.draw(st.lists(KEYS, max_size=3, unique=True))
        pairs = [f"{self.key(n)} = {self.value((*path, n), depth - 1)}" for n in names]
        return "{ " + ", ".join(pairs) + " }"

    def body(self, path: tuple[str | int, ...]) -> list[str]:
        out: list[str] = []
        for name in self.draw(st.lists(KEYS, max_size=3, unique=True)):
            if self.draw(st.booleans()):
                out.append(self.draw(st.sampled_from(["", "# x = 1", "  "])))
            if self.draw(st.integers(0, 4)) == 0:
                inner = self.value((*path, name, "in"), 1)
                out.append(f"{self.key(name)} . {self.key('in')} = {inner}")
            else:
                out.append(f"{self.key(name)} = {self.value((*path, name), 2)}")
        return out

    def document(self) -> str:
        out = self.body(("top",))
        for name in self.draw(st.lists(KEYS, max_size=3, unique=True)):
            outer = self.key("t")
            if self.draw(st.booleans()):
                out += [f"[{outer}.{self.key(name)}]", *self.body(("t", name))]
                continue
            for at in range(self.draw(st.integers(1, 2))):
                out += [f"[[ {outer} . {self.key(name)} ]] # y", *self.body(("t", name, at))]
                if self.draw(st.booleans()):
                    sub = f"[{outer}.{self.key(name)}.{self.key('sub §')}]"
                    out += [sub, *self.body(("t", name, at, "sub §"))]
        return "\n".join(out)


@st.composite
def documents(draw: st.DrawFn) -> tuple[str, dict[tuple[str | int, ...], str]]:
    """A TOML text and the one-of-a-kind number that stands at each path."""
    writer = _Writer(draw)
    text = writer.document()
    where = {
        path[1:] if path[0] == "top" else path: number for path, number in writer.where.items()
    }
    return text, where


@given(documents())
@settings(max_examples=200, deadline=None)
def test_every_value_is_on_the_line_found(
    document: tuple[str, dict[tuple[str | int, ...], str]],
) -> None:
    """Each leaf of a random TOML text is where the locator says, or begins there."""
    text, where = document
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # a new line in an inline table, or a key twice
    found = lines(text)
    rows = text.split("\n")
    for path, number in where.items():
        row = rows[found[path] - 1]
        key_there = isinstance(path[-1], str)
        assert number in row or '"""' in row or (key_there and path[-1] in row)


def test_missing_key_is_the_table_around_it() -> None:
    """A key that is not there is where its table begins."""
    found = lines("[a]\nb = 1\n[[c]]\nd = { e = 1 }\n")
    assert line_of(found, ("c", 0, "d", "x", 3)) == 4
    assert line_of(found, ("c", 0, "x")) == 3
    assert line_of(found, ("a", "x")) == 1
    assert line_of(found, ("z",)) == 1


# --- robustness ---------------------------------------------------------------------------------

PIECES = GOOD.splitlines()


@given(
    st.integers(0, len(PIECES) - 1),
    st.one_of(
        st.sampled_from(PIECES),
        st.sampled_from(["", "x = 1", "[a]", "[[people]]", "name = 3", "count = {}", "size = []"]),
        st.builds(
            lambda piece, value: piece.partition("=")[0] + "= " + value,
            st.sampled_from(PIECES),
            st.sampled_from(["0", "-1", "1e400", "[]", "[1]", "{}", '""', "2022-01-06", "19:40:00",
                             "true", "[[]]", "[{}]", '"1h"', "9" * 30, '"square"', "[3, 1]"]),
        ),
    ),
)  # fmt: skip
@settings(max_examples=400, deadline=None)
def test_a_changed_line_loads_or_is_explained(at: int, line: str) -> None:
    """Whatever one line is replaced by, the answer is a scenario or one sentence."""
    text = "\n".join([*PIECES[:at], line, *PIECES[at + 1 :]])
    try:
        scenario.describe(load_text(text))
    except UsageError as error:
        told = str(error)
        assert told.startswith("test.toml, line ") and "\n" not in told
        assert "`" not in told and "None" not in told and "Expected" not in told


@given(st.text(max_size=200))
def test_any_text_loads_or_is_explained(text: str) -> None:
    """No text breaks the reader."""
    with pytest.raises(UsageError):
        load_text(text)


# --- the page -----------------------------------------------------------------------------------

PAGE = (Path(__file__).parents[2] / "docs/reference/scenario.md").read_text("utf-8")


def section(title: str) -> str:
    """The part of the page under a heading of the second level."""
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


SECTIONS = {
    "[scenario]": [plan.About],
    "[[places]]": [plan.Place],
    "[[people]]": [plan.Group, plan.Off, plan.Hostile, *get_args(plan.Move)],
    "[friends]": [plan.Friends],
    "[radios.NAME]": [plan.Air],
    "[[networks]]": [plan.Network, plan.State, plan.Daily],
    "[[jam]]": [plan.Jam],
    "[[rooms]]": [plan.Room],
    "[[workload]]": [plan.Load],
    "[[faults]]": list(get_args(plan.Fault)),
    "[[marks]]": [plan.Mark],
}


@pytest.mark.parametrize("title", SECTIONS)
def test_every_key_is_on_the_page(title: str) -> None:
    """No key without its line, and no line without its key."""
    rows = re.findall(r"^\|(?: `\w+` | )\| `(\w+)` \||^\| `(\w+)` \|", section(title), re.MULTILINE)
    written = {key or other for key, other in rows}
    models = {str(struct.__struct_config__.tag) for struct in SECTIONS[title]} - {"None"}
    keys = {
        field.encode_name for struct in SECTIONS[title] for field in msgspec.structs.fields(struct)
    }
    inline = {"mean", "share", "conduct"} if title == "[[people]]" else set()
    assert keys - inline <= written
    assert written - models <= keys
    for model in models:
        assert f"| `{model}` |" in section(title)


def test_examples_of_the_page_load() -> None:
    """What is shown can be typed in."""
    blocks = re.findall(r"^```toml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    scenario.parse(blocks[0])
    states = blocks[1].removeprefix("timeline = ")
    scenario.parse(GOOD, settings={"networks.fixed.timeline": states.replace("\n", " ")})


def test_shipped_scenarios_are_on_the_page() -> None:
    """With the number of nodes they have."""
    for name in scenario.names():
        assert f"| `{name}` | {sum(sizes(scenario.load(name)))} |" in PAGE


def test_the_error_on_the_page_is_the_real_one(tmp_path: Path) -> None:
    """Word for word."""
    shown = re.search(r"^```text\n(.*?)\n```", PAGE, re.MULTILINE | re.DOTALL)
    assert shown
    with pytest.raises(UsageError) as caught:
        scenario.parse(GOOD.replace("count = 10", 'count = "ten"'), "my")
    assert str(caught.value) == shown[1]
