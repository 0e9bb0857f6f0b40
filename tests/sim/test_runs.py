"""Whole runs: what their documents hold, that they can be repeated, and what stops them."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from commands import LAN, WAIT_S, command, process, terminal, write_files

from meshchat.sim.command import heard
from meshchat.sim.page import page
from meshchat.sim.result import summary, write
from meshchat.sim.runs import run_scenario, run_trace

PEOPLE = LAN[: LAN.index("[[networks]]")]
CHAT = LAN[LAN.index("[[workload]]") :]
TWO_RADIOS = (
    LAN
    + """
[radios.ble]
range_m = 40
rate = 20_000
loss = 0.05
[[places]]
name = "yard"
x = 50
y = 50
radius = 15
[[people]]
name = "outside"
count = 4
move = { model = "standing", at = "yard" }
[[workload]]
name = "near"
from = ["outside"]
to = "outside"
count = 10
size = [5, 300]
ttl = "30min"
"""
)
OF_THE_MACHINE = ("cpu_s", "cpu_s_per_node", "peak_rss_bytes")
TOP = {
    *("created", "delivered", "delivery_ratio", "mean_wait_s", "transmissions", "overhead_ratio"),
    *("delay_s", "bytes", "limit", "clairvoyant", "cpu_s", "peak_rss_bytes", "trace_hash"),
}
STOPS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]

Json = dict[str, Any]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals of POSIX")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with input files; the current one."""
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@cache
def validator() -> jsonschema.Draft202012Validator:
    shipped = resources.files("meshchat.sim").joinpath("result.schema.json").read_text()
    return jsonschema.Draft202012Validator(json.loads(shipped))


def read(path: Path) -> Json:
    """A document from a file, checked by another program, with all that is promised."""
    made: Json = json.loads(path.read_text())
    validator().validate(made)
    assert set(made) >= TOP
    assert set(made["delay_s"]) == {"p10", "p50", "p90", "p99"}
    for bound in ("limit", "clairvoyant"):
        assert set(made[bound]) >= {"delivery_ratio", "mean_wait_s"}
    assert made["bytes"]["total"] == sum(made["bytes"].values()) - made["bytes"]["total"]
    assert made["delivered"] <= made["limit"]["delivered"] <= made["created"]
    if made["created"]:
        assert made["delivery_ratio"] == made["delivered"] / made["created"]
    return made


def scenario(text: str, **rest: Any) -> Json:
    """The document of a scenario, through everything that is made of one."""
    Path("some.toml").write_text(text)
    made = run_scenario("some.toml", **rest)
    assert made["name"] in summary(made)
    assert made["trace_hash"] in page(made)
    write(made, "some.json")
    return read(Path("some.json"))


# --- documents ----------------------------------------------------------------------------------


def test_several_radios() -> None:
    """A network and a radio with a range: both carry, and both are in the figures."""
    made = scenario(TWO_RADIOS)
    assert made["complete"]
    assert (made["created"], made["delivered"], made["refused"]) == (15, 15, 0)
    assert set(made["by_workload"]) == {"chat", "near"}
    assert made["contacts"]["count"] == 15 + 6  # everybody on the network; four in the yard
    assert made["map"] is not None


def test_nobody_writes() -> None:
    """Ratios of nothing are null, not 0, 1 or an error."""
    made = scenario(PEOPLE + LAN[LAN.index("[[networks]]") : LAN.index("[[workload]]")])
    assert (made["created"], made["delivery_ratio"], made["mean_wait_s"]) == (0, None, None)
    assert made["delay_s"] == dict.fromkeys(("p10", "p50", "p90", "p99"))
    assert made["ratio"] == {"limit": None, "clairvoyant": None}
    assert made["bytes_per_delivery"]["total"] is None
    assert made["contacts"]["linked"] == 1


def test_nobody_meets() -> None:
    """Everything waits its whole time to live; there is no ratio to a limit of nothing."""
    made = scenario(PEOPLE + CHAT)
    assert (made["created"], made["delivered"], made["delivery_ratio"]) == (5, 0, 0)
    assert made["mean_wait_s"] == 30 * 60
    assert made["limit"]["delivery_ratio"] == 0
    assert made["ratio"]["limit"] is None
    assert made["overhead_ratio"] is None
    assert (made["contacts"]["count"], made["bytes"]["total"]) == (0, 0)


def test_one_person_alone() -> None:
    """Has nobody to write to."""
    assert scenario(LAN, peers=1)["created"] == 0


def test_a_trace_in_seconds_since_1970(here: Path) -> None:
    """Nobody waits forty idle years: it is moved by whole days, and the figures stay."""
    found = []
    for days in (0, 12_700):
        rows = [(at + 86_400 * days, at + 100 + 86_400 * days) for at in (5, 900, 7_000)]
        text = "".join(
            f"{one},{two},{place},{place + 1}\n" for place, (one, two) in enumerate(rows)
        )
        (here / "c.csv").write_text("start_s,end_s,node_a,node_b\n" + text)
        text = f"created_s,src,dst,size_bytes,ttl_s\n{1 + 86_400 * days},0,3,500,21600\n"
        (here / "w.csv").write_text(text)
        made = run_trace(here / "c.csv", here / "w.csv")
        assert made["settings"].pop("moved_s", 0) == 86_400 * days
        found.append({key: value for key, value in made.items() if key not in OF_THE_MACHINE})
    assert found[0] == found[1]
    assert found[0]["delivered"] == 1


@pytest.mark.parametrize("stops", [1, 2, 3, 5])
def test_an_interrupted_run(here: Path, stops: int) -> None:
    """Its figures are of what was due so far, also where it stopped among messages of one instant.

    The ratio, the limit and the series are all about the same messages.
    """
    rows = [f"{30 + number // 20 * 40},{number % 2},2,500,600" for number in range(200)]
    (here / "w.csv").write_text("\n".join(["created_s,src,dst,size_bytes,ttl_s", *rows, ""]))
    (here / "c.csv").write_text("start_s,end_s,node_a,node_b\n0,1000,0,1\n0,1000,1,2\n")
    looks = iter(range(1, stops + 1))
    made = run_trace(
        here / "c.csv", here / "w.csv", fast=True, look=lambda *_: next(looks) == stops
    )
    write(made, here / "a.json")
    made = read(here / "a.json")
    assert not made["complete"]
    assert 0 < made["stopped_at_s"] < made["duration_s"]
    assert 0 < made["created"] == made["series"]["created"][-1] < 200
    assert "INCOMPLETE: stopped after" in summary(made)


def test_an_interrupted_scenario() -> None:
    """The same with marks: they are judged, on what there is."""
    marks = '[[marks]]\nfigure = "delivery_ratio"\nat_least = 0.5\n'
    made = scenario(TWO_RADIOS + marks, look=lambda now, *_: now > 600)
    assert not made["complete"]
    assert [mark["figure"] for mark in made["marks"]] == ["delivery_ratio"]


# --- the same again -----------------------------------------------------------------------------


def test_killed_and_run_again(here: Path) -> None:
    """``kill -9`` in mid-run leaves nothing that a run, hash seed or ``-O`` would tell by."""
    rows = [f"{10 * at},{10 * at + 60},{at % 12},{(at + 1) % 12}" for at in range(400)]
    (here / "c.csv").write_text("\n".join(["start_s,end_s,node_a,node_b", *rows, ""]))
    rows = [f"{at},{at % 12},{(at + 5) % 12},{400 + at % 9_000},3000" for at in range(0, 4_000, 40)]
    (here / "w.csv").write_text("\n".join(["created_s,src,dst,size_bytes,ttl_s", *rows, ""]))
    arguments = ("sim", "trace", "c.csv", "--workload", "w.csv", "--json")
    with terminal(*arguments, "killed.json") as one:
        one.until("delivered")
        one.stop(signal.SIGKILL)
        assert one.end() == -signal.SIGKILL
    assert not (here / "killed.json").exists()
    found = []
    for flags, seed in (((), "1"), ((), "2"), (("-O",), "3")):
        python, *words = command(*arguments, "again.json")
        subprocess.run(
            [python, *flags, *words],
            env={**os.environ, "PYTHONHASHSEED": seed},
            stdout=subprocess.DEVNULL, check=True, timeout=WAIT_S,
        )  # fmt: skip
        made = read(here / "again.json")
        found.append({key: value for key, value in made.items() if key not in OF_THE_MACHINE})
    assert found[0] == found[1] == found[2]
    assert found[0]["delivered"] > 0


# --- stopping -----------------------------------------------------------------------------------


@pytest.fixture
def long(here: Path) -> tuple[str, ...]:
    """A run of minutes: 30 people in a ring of contacts, a message a second."""
    rows = [f"{at},{at + 9},{at % 30},{(at + 1) % 30}" for at in range(20_000)]
    (here / "long.csv").write_text("\n".join(["start_s,end_s,node_a,node_b", *rows, ""]))
    rows = [f"{at},{at % 30},{(at + 7) % 30},300,600" for at in range(20_000)]
    text = "\n".join(["created_s,src,dst,size_bytes,ttl_s", *rows, ""])
    (here / "longw.csv").write_text(text)
    return "sim", "trace", "long.csv", "--workload", "longw.csv"


@pytest.mark.parametrize("how", STOPS)
def test_a_run_is_stopped(here: Path, long: tuple[str, ...], how: signal.Signals) -> None:
    """What is done is written, marked incomplete; nothing else lies about."""
    before = {*here.iterdir()}
    with terminal(*long, "--json", "a.json", "--report", "page") as one:
        one.until("delivered")
        one.stop(how)
        assert one.end() == 130
    assert "Stopping; what is done is written." in one.shown
    assert "INCOMPLETE: stopped after" in one.shown
    assert "Traceback" not in one.shown
    assert {path.name for path in {*here.iterdir()} - before} == {"a.json", "page"}
    made = read(here / "a.json")
    assert not made["complete"]
    assert made["created"] < 20_000
    assert read(here / "page" / "result.json") == made
    assert "stopped after" in (here / "page" / "index.html").read_text().casefold()


def test_progress_fits_the_terminal(long: tuple[str, ...]) -> None:
    """A bar on one line of 80 columns; a longer one would leave its remains behind."""
    with terminal(*long) as one:
        one.until("delivered,")
        one.until("left\r")
        one.stop(signal.SIGINT)
        one.end()
    bars = one.shown.split("\nStopping")[0].rstrip("\r\n").split("\r\x1b[K")[1:]
    assert len(bars) >= 2
    assert max(map(len, bars)) < 80


def test_a_second_ctrl_c(here: Path, long: tuple[str, ...]) -> None:
    """Ends a program that hangs while it writes: nobody reads this pipe."""
    os.mkfifo(here / "pipe")
    with terminal(*long, "--json", "pipe") as one:
        one.until("delivered")
        one.stop(signal.SIGINT, signal.SIGINT)
        assert one.end() == 130
    assert "Traceback" not in one.shown


@pytest.fixture
def handlers() -> Iterator[None]:
    """What is done about signals in this process, as before."""
    before = {number: signal.getsignal(number) for number in STOPS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_signals_that_mean_one_wish() -> None:
    """``timeout`` and shells that end send two at once; ``nohup`` stays what it is."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    wishes = []
    with heard(lambda: wishes.append(1)):
        for how in (signal.SIGHUP, signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(how)
    assert wishes == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# --- sweeps -------------------------------------------------------------------------------------

SWEEP = ("sim", "sweep", "lan.toml", "--fast", "--workers", "2", "--out", "out", "--set")


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_sweep_of_four(here: Path) -> None:
    """Two values and two seeds: both tables agree with each other and with the documents."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
    code, out, err = process(*SWEEP, "radios.lan.loss=0,0.3", "--seeds", "2")
    assert (code, err.count("\n")) == (0, 4)
    assert out.startswith("4 of 4 runs done, 0 failed: ")
    rows = table(here / "out")
    same = parquet.read_table(here / "out" / "results.parquet").to_pylist()
    assert [(row["set.radios.lan.loss"], row["seed"]) for row in rows] == [
        *(("0", "0"), ("0", "1"), ("0.3", "0"), ("0.3", "1"))
    ]
    assert len(same) == len(rows)
    for row, other in zip(rows, same, strict=True):
        assert list(row) == list(other)
        for name, value in other.items():
            text = row[name]
            assert (float(text) if isinstance(value, float) else text) == (
                value if isinstance(value, float) else "" if value is None else str(value)
            )
        made = read(here / "out" / row["file"])
        assert (made["seed"], made["trace_hash"]) == (int(row["seed"]), row["trace_hash"])
        assert made["bytes"]["total"] == float(row["bytes.total"])
    refused = process(*SWEEP, "radios.lan.loss=0")
    assert refused[0] == 2
    assert "holds the results of another sweep" in refused[2]


def test_a_sweep_with_a_run_that_fails(here: Path) -> None:
    """Exit code 1, and the reason is told; the others are done."""
    code, out, err = process(*SWEEP, "people.pair.count=2,60000")
    assert code == 1
    assert out.startswith("2 of 2 runs done, 1 failed: ")
    assert "failed  job 2: 60,000 peers are too many" in err
    assert [row["status"] for row in table(here / "out")] == ["done", "failed"]


@pytest.mark.parametrize("group", [False, True], ids=["process", "terminal"])
@pytest.mark.parametrize("how", STOPS)
def test_a_sweep_is_stopped(here: Path, how: signal.Signals, group: bool) -> None:
    """The run that is done is in the table; the one of years is ended, and quietly.

    A terminal sends its signals to all processes there, ``kill`` to one. That the terminal closes
    shows that no worker is left.
    """
    with terminal(*SWEEP, "scenario.duration=1h,400d") as one:
        one.until("1/2  done")
        if group:
            os.killpg(one.process.pid, how)
        else:
            one.stop(how)
        assert one.end() == 130
    assert "1 of 2 runs done, 0 failed: " in one.shown
    assert "Stopped before every run had ended" in one.shown
    assert "Traceback" not in one.shown
    assert [row["status"] for row in table(here / "out")] == ["done"]
    assert (here / "out" / "results.parquet").exists()


def test_a_sweep_that_is_killed() -> None:
    """Its workers do not live on."""
    with terminal(*SWEEP, "scenario.duration=1h,400d") as one:
        one.until("1/2  done")
        one.stop(signal.SIGKILL)
        assert one.end() == -signal.SIGKILL
