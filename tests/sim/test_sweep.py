"""Many runs: planned, on all cores, on a real Dask cluster; tables; failures; Ctrl+C."""

import csv
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from documents import document, run_job

from meshchat.errors import TransportError, UsageError
from meshchat.sim.result import read
from meshchat.sim.sweep import Job, Sweep, plan, sweep
from meshchat.sim.table import Row

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")

STARTED_S = 60.0  # a Dask process on a busy machine
FIGURES = ("delivered", "delivery_ratio", "limit.delivery_ratio", "bytes.total", "trace_hash")


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_plan() -> None:
    """Every combination with every seed, numbered; what is the same goes into each job."""
    jobs = plan(["a=1,2", "b.c= x , [1,2]"], 3, first_seed=7, scenario="village")
    assert len(jobs) == 2 * 2 * 3
    assert jobs[0] == {
        "scenario": "village",
        "number": 1,
        "seed": 7,
        "sets": {"a": "1", "b.c": "x"},
    }
    assert jobs[-1]["sets"] == {"a": "2", "b.c": "[1,2]"}
    assert [job["number"] for job in jobs] == list(range(1, 13))
    assert [job["seed"] for job in plan([], 2)] == [0, 1]


@pytest.mark.parametrize(
    ("sets", "seeds", "says"),
    [
        (["a"], 1, "not of the form KEY=VALUE"),
        (["=1"], 1, "not of the form"),
        (["a b=1"], 1, "not of the form"),
        (["a="], 1, "empty value"),
        (["a=1,,2"], 1, "empty value"),
        (["a=1,1"], 1, "twice"),
        (["a=1", "a=2"], 1, "set twice"),
        (["seed=1,2"], 1, "--seeds"),
        ([], 0, "from 1 to"),
        ([], 10**9, "from 1 to"),
        (["a=" + ",".join(map(str, range(2000)))], 1, "over 1,000 values"),
        (["a=" + ",".join(map(str, range(200)))] * 1, 100, "at most 10,000"),
    ],
)
def test_bad_plans(sets: list[str], seeds: int, says: str) -> None:
    """One sentence says what is wrong, before anything runs."""
    with pytest.raises(UsageError, match=says):
        plan(sets, seeds)


def test_a_plan_is_checked_before_it_runs() -> None:
    """A key that the scenario does not know is found with the first job, not after an hour."""

    def check(sets: dict[str, str]) -> None:
        if "rate" not in sets:
            raise UsageError("bad_key", "there is no such key")

    assert len(plan(["rate=1,2"], 1, check=check)) == 2
    with pytest.raises(UsageError, match="no such key"):
        plan(["rte=1,2"], 1, check=check)


def test_a_sweep_on_this_machine(tmp_path: Path) -> None:
    """Rows and files as planned, failures in their place, in CSV and Parquet alike."""
    seen: list[tuple[int, int, Row]] = []
    done = sweep(
        run_job,
        plan(["how=well,badly,nonsense,killed,cut"], 1),
        tmp_path / "out",
        progress=lambda *what: seen.append(what),
    )
    assert (done.complete, done.failed, done.planned) == (True, 3, 5)
    assert sorted(count for count, _, _ in seen) == [1, 2, 3, 4, 5]
    rows = table(tmp_path / "out")
    assert [row["status"] for row in rows] == ["done", "failed", "failed", "failed", "incomplete"]
    assert [row["error"] for row in rows[:2]] == ["", "ValueError: no such thing"]
    assert "no result" in rows[2]["error"]
    assert "killed" in rows[3]["error"]
    assert rows[0]["set.how"] == "well"
    assert (rows[0]["delivered"], rows[1]["delivered"]) == ("6", "")
    assert read(tmp_path / "out" / rows[0]["file"]) == document(seed=0)
    assert len(list((tmp_path / "out").glob("run-*.json"))) == 2
    same = parquet.read_table(tmp_path / "out" / "results.parquet").to_pylist()
    assert [row["status"] for row in same] == [row["status"] for row in rows]
    assert list(same[0]) == list(rows[0])
    assert (same[0]["delivered"], same[1]["delivered"]) == (6.0, None)


def test_one_worker_gives_the_same_as_many(tmp_path: Path) -> None:
    """Rows are in the order of the plan, whatever finished first."""
    jobs = plan(["delivered=1,2"], 2)
    one = sweep(run_job, jobs, tmp_path / "one", workers=1)
    two = sweep(run_job, jobs, tmp_path / "two", workers=2)
    assert one == two
    assert [row["job"] for row in one.rows] == [1, 2, 3, 4]
    assert (tmp_path / "one" / "results.csv").read_bytes() == (
        tmp_path / "two" / "results.csv"
    ).read_bytes()


def test_folders_that_will_not_do(tmp_path: Path) -> None:
    """Earlier results are not written over; a file is no folder."""
    (tmp_path / "results.csv").touch()
    with pytest.raises(UsageError, match="another sweep"):
        sweep(run_job, plan([], 1), tmp_path)
    with pytest.raises(UsageError, match="cannot be written"):
        sweep(run_job, plan([], 1), tmp_path / "results.csv" / "x")
    with pytest.raises(UsageError, match="at least 1"):
        sweep(run_job, plan([], 1), tmp_path / "new", workers=0)


@pytest.mark.parametrize("library", ["pyarrow", "distributed"])
def test_a_library_that_is_not_there(
    library: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence says what to install."""
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError, match=r"pip install 'meshchat\[sim\]'"):
        sweep(run_job, plan([], 1), tmp_path / "out", dask_address="tcp://127.0.0.1:1")
    assert not (tmp_path / "out" / "results.csv").exists()


def test_ctrl_c_keeps_what_is_finished(tmp_path: Path) -> None:
    """The long runs are not waited for; the table and the JSON of the short one are there."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    done = sweep(run_job, plan(["how=well,slow"], 1), tmp_path / "out", workers=2, progress=stop)
    assert not done.complete
    assert [row["set.how"] for row in table(tmp_path / "out")] == ["well"]
    assert [file.name for file in (tmp_path / "out").glob("*.json")] == ["run-00001.json"]


# --- Dask -----------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def start(*arguments: str, cwd: Path) -> "subprocess.Popen[bytes]":
    """A Dask process as people start it; it can import the jobs of this folder."""
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    with (cwd / f"{arguments[0]}.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments],
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def stop_all(processes: list["subprocess.Popen[bytes]"]) -> None:
    for process in reversed(processes):
        process.terminate()
    for process in reversed(processes):
        try:
            process.wait(5)  # a worker in a long run does not listen
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def answering(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until somebody listens on a port."""
    until = time.monotonic() + STARTED_S
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text()
        with socket.socket() as one:
            one.settimeout(1)
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    pytest.fail(f"Dask did not start: {log.read_text()}")


def scheduler(folder: Path) -> tuple[str, "subprocess.Popen[bytes]"]:
    port = free_port()
    process = start(
        *("scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"),
        *("--dashboard-address", "127.0.0.1:0"),
        cwd=folder,
    )
    answering(port, process, folder / "scheduler.log")
    return f"tcp://127.0.0.1:{port}", process


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """The address of a real ``dask scheduler`` with two ``dask worker`` processes."""
    pytest.importorskip("distributed", reason="distributed is not installed")
    folder = tmp_path / "dask"
    folder.mkdir()
    address, process = scheduler(folder)
    processes = [process]
    try:
        for _ in range(2):
            processes.append(
                start(
                    *("worker", address, "--host", "127.0.0.1", "--nthreads", "1"),
                    *("--no-dashboard", "--dashboard-address", "127.0.0.1:0", "--no-nanny"),
                    *("--local-directory", str(folder)),
                    cwd=folder,
                )
            )
        yield address
    finally:
        stop_all(processes)


def clean(done: Sweep) -> list[dict[str, Any]]:
    return [
        {key: row.get(key) for key in ("job", "status", "error", *FIGURES)} for row in done.rows
    ]


def test_a_sweep_on_a_cluster(cluster: str, tmp_path: Path) -> None:
    """The same rows and files as on this machine, by two workers."""
    jobs: list[Job] = plan(["how=well,badly,cut", "delivered=3,6"], 2)
    there = sweep(run_job, jobs, tmp_path / "there", dask_address=cluster)
    here = sweep(run_job, jobs, tmp_path / "here")
    assert there.complete
    assert there.failed == 4
    assert clean(there) == clean(here)
    for name in ("results.csv", "run-00001.json"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()
    assert json.loads((tmp_path / "there" / "run-00001.json").read_text())["delivered"] == 3


def test_ctrl_c_on_a_cluster(cluster: str, tmp_path: Path) -> None:
    """Waiting runs are taken back and what is finished is kept."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    jobs = plan(["how=well,slow"], 1)
    done = sweep(run_job, jobs, tmp_path / "out", dask_address=cluster, progress=stop)
    assert not done.complete
    assert len(table(tmp_path / "out")) == 1


def test_clusters_that_do_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody there, no workers, no address: one sentence each, and the folder can be used again."""
    pytest.importorskip("distributed", reason="distributed is not installed")
    monkeypatch.setattr("meshchat.sim.sweep.DASK_WAIT_S", 1.0)
    out = tmp_path / "out"
    with pytest.raises(TransportError, match=r"No Dask scheduler answers at tcp://127\.0\.0\.1:"):
        sweep(run_job, plan([], 1), out, dask_address=f"tcp://127.0.0.1:{free_port()}")
    with pytest.raises(UsageError, match="no address of Dask"):
        sweep(run_job, plan([], 1), out, dask_address="nonsense://x")
    address, process = scheduler(tmp_path)
    try:
        with pytest.raises(TransportError, match="has no workers"):
            sweep(run_job, plan([], 1), out, dask_address=address)
    finally:
        stop_all([process])
    assert not (out / "results.csv").exists()
