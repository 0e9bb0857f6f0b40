"""``meshchat sim`` and ``demo`` as clumsy and hostile people use them: bad input, signals, disks.

What only reads arguments and files runs in this process; what is about processes is a real one.
"""

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands import (
    CONTACTS,
    LAN,
    TRACE,
    WAIT_S,
    WORKLOAD,
    Done,
    command,
    process,
    refused,
    terminal,
    write_files,
)
from documents import document

from meshchat.cli import main

MARK = '[[marks]]\nfigure = "{}"\nat_least = {}\n'
SMALL_DISK_BYTES = 64 * 1024

Sim = Callable[..., Done]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a good trace, workload, scenario and result; the current one."""
    write_files(tmp_path)
    (tmp_path / "good.json").write_text(json.dumps(document()))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def sim(here: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Sim:
    """One command in this process."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # the command line sets its own

    def run(*arguments: object) -> Done:
        capfd.readouterr()
        code = main(["sim", *map(str, arguments)])
        return code, *capfd.readouterr()

    return run


# --- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("run lan-prty", 'Did you mean "lan-party"?'),
        ("describe vilage", 'Did you mean "village"?'),
        ("sweep nowhere", "There is no scenario and no file"),
        ("run .", "cannot be read"),
        ("run lan-party --peers 0", "at least 1 peer"),
        ("run lan-party --peers -1", "at least 1 peer"),
        ("run lan-party --peers 100000", "too many"),
        ("run lan-party --peers x", "--peers"),
        ("run lan-party --seed x", "--seed"),
        ("run lan-party --set nope", "not KEY=VALUE"),
        ("run lan-party --set =1", "not KEY=VALUE"),
        ("run lan-party --set .=1", "name one value"),
        ("run lan-party --set people.guests.x=1", "is no key of this table"),
        ("run lan-party --set people.nobody.count=1", 'there is no "nobody" here'),
        ("run lan-party --set people.guests.count=0", "from 1 to"),
        ("run lan-party --set radios.lan.loss=nan", "must be a finite number"),
        ("run lan-party --set radios.lan.loss=1", "from 0 to just below 1"),
        ("run lan-party --set radios.lan.loss=0 --set radios.lan.loss=0.1", "set twice"),
        ("run lan-party --attach guests-1", "need a terminal"),
        ("run lan-party --attach=", "--attach needs the name"),
        ("trace c.csv", "--workload"),
        ("trace c.csv --workload w.csv --rate 0", "above 0"),
        ("trace c.csv --workload w.csv --rate -1", "above 0"),
        ("trace c.csv --workload w.csv --rate nan", "above 0"),
        ("trace c.csv --workload w.csv --rate inf", "above 0"),
        ("trace c.csv --workload w.csv --rate fast", "--rate"),
        ("trace c.csv --workload w.csv --buffer 0", "above 0"),
        ("trace c.csv --workload w.csv --buffer -5", "above 0"),
        ("trace c.csv --workload w.csv --buffer 1.5", "--buffer"),
        ("trace nowhere.csv --workload w.csv", "No such file"),
        ("trace . --workload w.csv", "Is a directory"),
        ("sweep lan-party --seeds 0", "from 1 to"),
        ("sweep lan-party --workers 0", "at least 1"),
        ("sweep lan-party --workers 1 --dask tcp://127.0.0.1:1", "not both"),
        ("sweep lan-party --out=", "--out needs"),
        ("sweep lan-party --out c.csv", "cannot be written"),
        ("sweep lan-party --set people.guests.adoption=1,7", "from 0 to 1"),
        ("sweep lan-party --dask=", "no address of Dask"),
        ("sweep lan-party --dask tcp://", "no address of Dask"),
        ("sweep lan-party --dask tls://127.0.0.1:1", "no certificates"),
        ("compare good.json", "B.json"),
        ("", "WHAT"),
        ("nonsense", "invalid choice"),
    ],
)
def test_bad_arguments(sim: Sim, here: Path, arguments: str, says: str) -> None:
    """One sentence before anything runs, and nothing is written."""
    before = sorted(here.rglob("*"))
    refused(sim(*arguments.split()), says)
    assert [path for path in sorted(here.rglob("*")) if path not in before] in (
        [],
        [here / "sweep"],  # its folder is made to see whether it can be
    )


@pytest.mark.parametrize("verb", ["", "list", "describe", "run", "trace", "sweep", "compare"])
def test_help_fits_a_terminal(verb: str) -> None:
    """80 columns, and a description for what the command does."""
    code, out, _ = process("sim", *([verb] if verb else []), "--help", COLUMNS="80")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert out.startswith("usage: meshchat sim")


def test_the_list_and_descriptions_fit_a_terminal(sim: Sim) -> None:
    """Every shipped scenario has a line, and is described in 80 columns."""
    code, out, _ = sim("list")
    names = [line.split()[0] for line in out.splitlines()]
    assert code == 0
    assert {"lan-party", "village", "march", "kz-almaty-2022"} <= set(names)
    for name in names:
        code, text, _ = sim("describe", name)
        assert code == 0
        assert max(map(len, (out + text).splitlines())) <= 80


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "1e9"])
def test_impossible_speeds(here: Path, speed: str) -> None:
    """The demo and a window say so on their terminal, before the screens start."""
    for arguments in (("demo",), ("sim", "run", "lan.toml", "--attach", "pair-1")):
        with terminal(*arguments, "--speed", speed) as one:
            assert one.end() == 2
        assert one.shown.startswith("meshchat: A speed of")
        assert one.shown.count("\n") == 1


def test_the_demo_needs_a_terminal() -> None:
    """A pipe is none."""
    refused(process("demo"), "need a terminal")


def test_windows_that_cannot_be(here: Path) -> None:
    """Nobody of that name; a result that would not be written."""
    for more, says in (("nobody", "There are: pair-1, pair-2"), ("pair-1", "leave out --json")):
        arguments = ("sim", "run", "lan.toml", "--attach", more)
        with terminal(*arguments, *(("--json", "x") if more == "pair-1" else ())) as one:
            assert one.end() == 2
        assert says in one.shown
    assert not (here / "x").exists()


# --- bad files ----------------------------------------------------------------------------------

HEAD, WORKLOAD_HEAD = CONTACTS.splitlines()[0], WORKLOAD.splitlines()[0]


@pytest.mark.parametrize(
    ("contacts", "says"),
    [
        ("9,10,0,1\n1,2,0,1", "line 3: the contact starts at 1, before the one above it at 9"),
        ("1,9,0,1\n5,12,1,0", "line 3: 1 and 0 meet at 5, but are still together until 9"),
        ("9,1,0,1", "line 2: the contact ends at 1 and starts at 9"),
        ("1,1,0,1", "line 2: the contact ends at 1 and starts at 1"),
        ("1,2,0,0", "line 2: node"),
        ("1,nan,0,1", "line 2: end_s"),
        ("-1,2,0,1", "line 2: start_s is -1"),
        ("1,2,0", "line 2: the line has 3 columns"),
        ("1,2,0,999999999", "line 2: node 999999999 is over"),
        ("1,2,\x1b[2J,1", "line 2"),
        ("", "there is no contact in it"),
    ],
)
def test_bad_contacts(sim: Sim, here: Path, contacts: str, says: str) -> None:
    """The sentence names the file, the line and what is wrong with it."""
    (here / "bad.csv").write_text(f"{HEAD}\n{contacts}\n")
    done = sim("trace", "bad.csv", "--workload", "w.csv", "--json", "out.json")
    refused(done, f"bad.csv{',' if says[0] == 'l' else ':'} {says}")
    assert "\x1b" not in done[2]
    assert not (here / "out.json").exists()


@pytest.mark.parametrize(
    ("workload", "says"),
    [
        ("1,0,ann,5,9", 'line 2: there is no node "ann" in the trace'),
        ("1,0,200000,5,9", 'line 2: there is no node "200000" in the trace'),
        ("9,0,1,5,9\n1,0,1,5,9", "line 3: the message is created at 1, before"),
        ("1,0,1,5,0", "line 2: ttl_s has to be above 0"),
        ("1,0,1,0,9", "line 2: size_bytes is 0"),
        ("1,0,1,99999999,9", "line 2: size_bytes is 99999999"),
        ("1,0,0,5,9", "line 2: 0 writes to itself"),
        ("", "there is no message in it"),
    ],
)
def test_bad_workloads(sim: Sim, here: Path, workload: str, says: str) -> None:
    """So do they for who writes to whom."""
    (here / "bad.csv").write_text(f"{WORKLOAD_HEAD}\n{workload}\n")
    refused(sim("trace", "c.csv", "--workload", "bad.csv"), says)


def test_traces_that_are_cut_off(sim: Sim, here: Path) -> None:
    """A gz that ends early or is damaged is not half a trace."""
    whole = gzip.compress((HEAD + "\n" + "".join(f"{t},{t + 1},0,1\n" for t in range(99))).encode())
    for raw in (whole[:-9], whole[:12], whole[:60] + b"\0\0\0\0" + whole[64:]):
        (here / "bad.csv.gz").write_bytes(raw)
        refused(sim("trace", "bad.csv.gz", "--workload", "w.csv"), "cut off or damaged (gzip)")
    (here / "c.csv.gz").write_bytes(gzip.compress(CONTACTS.encode()))
    assert sim("trace", "c.csv.gz", "--workload", "w.csv", "--fast")[0] == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LAN + "colour = 3\n", "line 21: workload.chat.colour: is no key of this table"),
        (LAN.replace("count = 2", "count = -2"), "line 8: people.pair.count: must be"),
        (LAN.replace("100_000", "nan"), "line 10: radios.lan.rate"),
        (LAN.replace('"1h"', '"1 fortnight"'), "line 5: scenario.duration"),
        (LAN.replace("[[people]]", "[[people]"), "line 6: this is not TOML"),
        (LAN + MARK.format("delivery_ration", 1), 'Did you mean "delivery_ratio"?'),
        (LAN + MARK.format("delivery_ratio", 7), "must be from 0 to 1"),
        (LAN + MARK.format("delivery_ratio", 1) + 'of = "post"\n', "no workload of that name"),
        (LAN[: LAN.index("[[workload]]")] + MARK.format("delay_s.p50", 1), "cannot be computed"),
    ],
)
def test_bad_scenarios(sim: Sim, here: Path, text: str, says: str) -> None:
    """Line, key and what is allowed there."""
    (here / "bad.toml").write_text(text)
    done = sim("run", "bad.toml")
    refused(done, says)
    assert "bad.toml, line " in done[2]


def test_a_pass_mark_that_is_missed(sim: Sim, here: Path) -> None:
    """Exit code 1, and a line that says which; a mark that nothing came for is missed too."""
    good, bad = MARK.format("delivery_ratio", 0.5), MARK.format("delay_s.p50", 900)
    (here / "marks.toml").write_text(LAN + good + bad)
    code, out, err = sim("run", "marks.toml", "--fast", "--json", "out.json")
    assert (code, err) == (1, "")
    assert "Pass marks: 1 of 2 reached" in out
    assert "  FAIL  delay_s.p50 at least 15 min: is" in out
    assert [mark["ok"] for mark in json.loads((here / "out.json").read_text())["marks"]] == [
        True,
        False,
    ]
    code, out, err = sim("run", "marks.toml", "--fast", "--peers", "1")
    assert code == 1
    assert "FAIL  delivery_ratio at least 50.0 %: cannot be computed" in out


@pytest.mark.parametrize("seed", [-1, 10**30])
def test_odd_seeds(sim: Sim, here: Path, seed: int) -> None:
    """Any whole number is a seed; the document keeps it and can be read again."""
    assert sim("run", "lan.toml", "--fast", "--seed", seed, "--json", "a.json")[0] == 0
    assert json.loads((here / "a.json").read_text())["seed"] == seed
    assert f"seed {seed}" in sim("compare", "a.json", "a.json")[1]


@pytest.mark.parametrize("buffer", [1, 100])
def test_buffers_too_small_for_anything(sim: Sim, here: Path, buffer: int) -> None:
    """What a node cannot hold it refuses, which is counted; nothing else happens."""
    code, out, _ = sim(*TRACE, "--buffer", buffer, "--json", "a.json")
    made = json.loads((here / "a.json").read_text())
    assert code == 0
    assert (made["created"], made["refused"], made["delivered"]) == (2, 2, 0)
    assert made["lost_after_accept"] == 0
    assert "refused 2" in out


def test_compare(sim: Sim, here: Path) -> None:
    """Two results, one of them incomplete; then everything that is no result."""
    cut = document(complete=False, stopped_at_s=60.0, seed=3)
    (here / "cut.json").write_text(json.dumps(cut))
    code, out, err = sim("compare", "good.json", "cut.json")
    assert (code, err) == (0, "")
    assert "INCOMPLETE: stopped after" in out
    assert max(map(len, out.splitlines())) <= 80
    (here / "text.json").write_text("no json")
    (here / "half.json").write_text(json.dumps(document())[:-200])
    (here / "empty.json").touch()
    (here / "list.json").write_text("[1]")
    (here / "other.json").write_text('{"format":"other/1"}')
    (here / "short.json").write_text('{"format":"meshchat-sim/1"}')
    (here / "deep.json").write_text("[" * 100_000)
    with (here / "huge.json").open("wb") as file:
        file.truncate(10**9)
    for name, says in (
        ("text", "is no JSON"),
        ("half", "is no JSON, or cut off"),
        ("empty", "is no JSON, or cut off"),
        ("list", "not the result of a meshchat sim run"),
        ("other", 'its format is "other/1"'),
        ("short", "is no valid result"),
        ("deep", "is no JSON"),
        ("huge", "is over 64 MB"),
        ("none", "cannot be read"),
    ):
        refused(sim("compare", "good.json", f"{name}.json"), f"{name}.json")
        refused(sim("compare", f"{name}.json", "good.json"), says)


# --- where results go ---------------------------------------------------------------------------


def test_json_on_standard_output(here: Path) -> None:
    """Only JSON, though progress and a report may be wanted as well."""
    code, out, err = process("sim", *TRACE, "--json", "-", "--report", "page")
    assert (code, err) == (0, "")
    assert json.loads(out)["delivered"] == 2
    assert out.count("\n") == 1
    assert sorted(path.name for path in (here / "page").iterdir()) == ["index.html", "result.json"]


@pytest.mark.parametrize(
    ("arguments", "says", "code"),
    [
        ("--json nowhere/x.json", "There is no folder", 2),
        ("--json .", "is a directory", 2),
        ("--json=", "empty", 2),
        ("--json c.csv/x", "There is no folder", 2),
        ("--json ring", "symbolic links", 2),
        ("--json /proc/x.json", "cannot be written", 2),
        ("--report c.csv", "cannot be written", 2),
        ("--report c.csv/x", "cannot be written", 2),
        ("--report=", "--report needs", 2),
    ],
)
def test_places_that_will_not_do(
    sim: Sim, here: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, says: str, code: int
) -> None:
    """They are found before the run, which may take hours."""
    (here / "ring").symlink_to("ring")

    def run(*_: object, **__: object) -> None:
        pytest.fail("it ran")

    monkeypatch.setattr("meshchat.sim.runs.run_trace", run)
    refused(sim(*TRACE, *arguments.split()), says, code)


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    folder.mkdir()
    how = ["mount", "-t", "tmpfs", "-o", ",".join((f"size={SMALL_DISK_BYTES}", *options))]
    if (
        not shutil.which("mount")
        or subprocess.run([*how, "tmpfs", folder], capture_output=True, check=False).returncode
    ):
        pytest.skip("only root can mount a small disk")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def test_a_full_disk(here: Path) -> None:
    """What fits is written, the summary is printed, one sentence says what is missing."""
    disk = here / "disk"
    with mounted(disk):
        (disk / "fill").write_bytes(bytes(40 * 1024))
        code, out, err = process("sim", *TRACE, "--json", "disk/x.json", "--report", "disk/page")
        assert code == 4
        assert "2 of 2 delivered" in out
        assert err.startswith("meshchat: disk/page/index.html was not written (no space left")
        assert err.count("\n") == 1
        assert json.loads((disk / "x.json").read_text())["delivered"] == 2
        assert list((disk / "page").iterdir()) == []
        before = (disk / "x.json").read_bytes()
        (disk / "fill").write_bytes(bytes(48 * 1024))
        again = (*TRACE, "--json", "disk/x.json", "--seed", 5)
        assert process("sim", *again)[0] == 4
        assert (disk / "x.json").read_bytes() == before  # not half of the new one
        (disk / "x.json").unlink()
        with (disk / "fill").open("ab") as file, pytest.raises(OSError, match="No space"):
            file.write(bytes(SMALL_DISK_BYTES))
        done = process("sim", *TRACE, "--json", "disk/y.json")
        refused(done, "disk/y.json was not written", 4)  # known before it runs
        refused(process("sim", "sweep", "lan.toml", "--out", "disk/s"), "disk/s was not", 4)
        assert sorted(path.name for path in disk.rglob("*") if path.is_file()) == ["fill"]


def test_a_disk_that_cannot_be_written(here: Path) -> None:
    """Read-only: known before it runs."""
    with mounted(here / "disk", "ro"):
        for arguments in (
            (*TRACE, "--json", "disk/x.json"),
            (*TRACE, "--report", "disk/x"),
            ("sweep", "lan.toml", "--out", "disk/x"),
        ):
            refused(process("sim", *arguments), "read-only file system")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_outputs_that_are_full_or_gone(here: Path) -> None:
    """Standard output and error may be full, closed or a pipe that nobody reads."""
    for arguments in (TRACE, (*TRACE, "--json", "-"), ("compare", "good.json", "good.json")):
        full = subprocess.run(
            f"{' '.join(command('sim', *arguments))} > /dev/full",
            shell=True, capture_output=True, text=True, check=False, timeout=WAIT_S,
        )  # fmt: skip
        refused((full.returncode, full.stdout, full.stderr), "no space left", 4)
    code, out, err = process("sim", *TRACE, "--json", "/dev/full")
    assert (code, err.count("\n")) == (4, 1)
    assert "2 of 2 delivered" in out
    line = " ".join(command("sim", *TRACE))
    for end, code in ((">&-", 2), ("2>&- >/dev/null", 0), ("2>/dev/full >/dev/null", 0)):
        shut = subprocess.run(
            f"{line} {end}",
            shell=True, capture_output=True, text=True, check=False, timeout=WAIT_S,
        )  # fmt: skip
        assert shut.returncode == code, shut
        assert shut.stderr.count("\n") == (code > 0)
        assert "internal error" not in shut.stderr
