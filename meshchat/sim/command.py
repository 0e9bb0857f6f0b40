"""``meshchat sim``: what each of its commands does and prints (docs/reference/cli.md)."""

import argparse
import contextlib
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from meshchat.errors import MeshchatError, UsageError
from meshchat.sim.measure import Measure
from meshchat.sim.result import check_place, save
from meshchat.sim.units import amount, duration
from meshchat.text import Clean

EXIT_FAILED = 1  # a pass mark was missed, or a run of a sweep failed
EXIT_INTERRUPTED = 130
SHOW_EVERY_S = 0.25  # a bar that moves four times a second is smooth enough
TITLE_MAX_CHARS = 20
BAR_MIN_CHARS, BAR_MAX_CHARS = 5, 20
LINE_EVERY_S = 30.0  # and where there is no terminal, a line now and then
ONE_STOP_S = 0.2  # timeout(1), a shell that ends, some terminals: one wish to stop, two signals
ERRORS_SHOWN = 3  # of the runs of a sweep; all are in its table

Document = dict[str, Any]


def run(verb: str, args: argparse.Namespace) -> int:
    """Carry out ``sim.<verb>``; returns the exit code."""
    return _COMMANDS[verb](args)


def _say(text: str) -> None:
    """To standard output. Line by line: ``Clean`` ends a text that is long."""
    save("".join(f"{Clean(line)}\n" for line in text.split("\n")), "-")


def _tell(text: str) -> None:
    """To standard error, which may be closed, full or a terminal that is gone: then it is lost."""
    with contextlib.suppress(OSError):
        if sys.stderr is not None:
            sys.stderr.write(text)
            sys.stderr.flush()


# --- watching a run ---------------------------------------------------------------------------


class Watch:
    """Shows how far a run is, and ends it on Ctrl+C."""

    def __init__(self, title: str) -> None:
        self.stopped = False
        self._title = Clean.line(title, TITLE_MAX_CHARS)
        self._began = time.monotonic()
        self._shown = 0.0
        self._bar = sys.stderr is not None and sys.stderr.isatty()

    def __call__(self, now: float, horizon: float, measure: Measure) -> bool:
        """For ``look``: True once somebody wants to stop."""
        passed = time.monotonic() - self._began
        if passed - self._shown >= (SHOW_EVERY_S if self._bar else LINE_EVERY_S):
            self._shown = passed
            self._show(now, horizon, measure, passed)
        return self.stopped

    def _show(self, now: float, horizon: float, measure: Measure, passed: float) -> None:
        done = now / horizon if horizon else 1.0
        rate = now / passed if passed else 0.0
        left = (passed / done - passed) if done else 0.0
        figures = (
            f"{duration(now)} of {duration(horizon)}, {amount(rate)} s/s, "
            f"{measure.delivered}/{measure.created} delivered, {duration(left)} left"
        )
        if self._bar:  # a line that wraps cannot be cleared away
            columns = shutil.get_terminal_size().columns - 1
            width = min(BAR_MAX_CHARS, columns - len(f"{self._title} [] {figures}"))
            full = int(done * width)
            bar = f"[{'#' * full}{'.' * (width - full)}] " if width >= BAR_MIN_CHARS else ""
            _tell("\r\x1b[K" + f"{self._title} {bar}{figures}"[:columns])
        else:
            _tell(f"{self._title}: {done:.0%}, {figures}\n")

    def end(self) -> None:
        """Clear the bar away."""
        if self._bar and self._shown:
            _tell("\r\x1b[K")
            self._shown = 0.0


@contextlib.contextmanager
def heard(stop: Callable[[], None]) -> Iterator[None]:
    """Calls ``stop`` for Ctrl+C, SIGTERM or a closed terminal; a second Ctrl+C ends at once.

    A signal that is ignored (``nohup``, a shell's background) stays ignored.
    """
    first = 0.0

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal first
        now = time.monotonic()
        if not first:
            first = now
            stop()
        elif now - first > ONE_STOP_S and number != hang_up:
            raise KeyboardInterrupt

    hang_up = getattr(signal, "SIGHUP", None)  # not on Windows
    wishes = [number for number in (signal.SIGINT, signal.SIGTERM, hang_up) if number is not None]
    before = {number: signal.getsignal(number) for number in wishes}
    before = {number: how for number, how in before.items() if how is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def watched(title: str) -> Iterator[Watch]:
    """A watch for a run and for writing what came of it."""
    watch = Watch(title)

    def stop() -> None:
        watch.stopped = True
        if sys.stderr is not None:
            with contextlib.suppress(OSError):  # past sys.stderr, which may be in mid-line
                os.write(2, b"\nStopping; what is done is written. Once more ends at once.\n")

    with heard(stop):
        try:
            yield watch
        finally:
            watch.end()


def _interrupt() -> NoReturn:
    raise KeyboardInterrupt


def _finish(document: Document, args: argparse.Namespace, watch: Watch) -> int:
    """Print and write a finished run; returns the exit code.

    What can be written is written, and the summary printed, even if something else fails: a run
    may have taken hours.
    """
    from meshchat.sim import result

    failed: list[MeshchatError] = []

    @contextlib.contextmanager
    def trying() -> Iterator[None]:
        try:
            yield
        except MeshchatError as error:
            failed.append(error)

    if args.json_out is not None:
        with trying():
            result.write(document, args.json_out)
    if args.report is not None:
        from meshchat.sim.page import write_page

        with trying():
            write_page(document, Path(args.report))
    watch.end()
    if args.json_out != "-":
        told = result.summary(document)
        if args.report is not None and not failed:
            told += f"\nReport: {Path(args.report) / 'index.html'}"
        with trying():
            _say(told)
    if failed:
        raise failed[0]
    if not document["complete"]:
        return EXIT_INTERRUPTED
    return 0 if all(mark["ok"] for mark in document["marks"]) else EXIT_FAILED


def _writable(args: argparse.Namespace) -> None:
    """Find out before a long run, not after it, that its report could not be written."""
    if args.report is not None:
        from meshchat.sim.page import check_page

        if not args.report:
            raise UsageError("unwritable", "--report needs the name of a folder.")
        check_page(Path(args.report))
    if args.json_out is not None:
        check_place(args.json_out)


# --- commands -----------------------------------------------------------------------------------


def _list(_: argparse.Namespace) -> int:
    from meshchat.sim import scenario

    for name in scenario.names():
        _say(f"{name:18} {scenario.load(name).title}")
    return 0


def _describe(args: argparse.Namespace) -> int:
    from meshchat.sim import scenario

    _say(scenario.describe(scenario.load(args.scenario)))
    return 0


def _run(args: argparse.Namespace) -> int:
    from meshchat.sim.runs import run_scenario

    if args.attach is not None:  # not empty: then it is a matter of the screens
        raise UsageError("bad_attach", "--attach needs the name of a person.")
    _writable(args)
    with watched(args.scenario) as watch:
        document = run_scenario(
            args.scenario,
            seed=args.seed,
            peers=args.peers,
            fast=args.fast,
            sets=_one_of_each(args.set),
            look=watch,
        )
        return _finish(document, args, watch)


def _one_of_each(given: list[str] | None) -> dict[str, str]:
    sets: dict[str, str] = {}
    for each in given or ():
        key, equals, value = each.partition("=")
        if not key or not equals:
            raise UsageError("bad_set", f'"{each}" is not KEY=VALUE.')
        if key in sets:
            raise UsageError("bad_set", f'"{key}" is set twice; give it one value.')
        sets[key] = value
    return sets


def _trace(args: argparse.Namespace) -> int:
    from meshchat.sim.runs import run_trace

    _writable(args)
    if not 0 < args.rate < math.inf:
        raise UsageError("bad_rate", "--rate is bytes a second: a number above 0.")
    if args.buffer is not None and args.buffer <= 0:
        raise UsageError("bad_buffer", "--buffer is bytes: a whole number above 0.")
    with watched(Path(args.contacts).name) as watch:
        document = run_trace(
            Path(args.contacts),
            Path(args.workload),
            rate=args.rate,
            buffer=args.buffer,
            seed=args.seed,
            fast=args.fast,
            look=watch,
        )
        return _finish(document, args, watch)


def _sweep(args: argparse.Namespace) -> int:
    from meshchat.sim import scenario, sweep
    from meshchat.sim.runs import run_job

    if args.dask is not None and args.workers is not None:
        raise UsageError("bad_workers", "Give --workers or --dask, not both.")
    jobs = sweep.plan(
        args.set or (),
        args.seeds,
        check=lambda sets: scenario.load(args.scenario, sets),
        scenario=_portable(args.scenario),
        peers=args.peers,
        fast=args.fast,
    )
    if not args.out:
        raise UsageError("unwritable", "--out needs the name of a folder.")
    folder = Path(args.out)
    told = 0

    def show(done: int, of: int, row: dict[str, Any]) -> None:
        nonlocal told
        line = f"{done}/{of}  {row['status']}  job {row['job']}"
        if row["error"] and told < ERRORS_SHOWN:
            told += 1
            line += f": {Clean.line(row['error'], 300)}"
        _tell(line + "\n")

    with heard(_interrupt):
        swept = sweep.sweep(
            run_job, jobs, folder, workers=args.workers, dask_address=args.dask, progress=show
        )
    where = f": {folder / 'results.csv'}, {folder / 'results.parquet'}" if swept.rows else "."
    _say(f"{len(swept.rows)} of {swept.planned} runs done, {swept.failed} failed{where}")
    if not swept.complete:
        _say("Stopped before every run had ended; what was done is there.")
        return EXIT_INTERRUPTED
    return EXIT_FAILED if swept.failed else 0


def _portable(name: str) -> str:
    """A name that means the same in another process of this machine."""
    path = Path(name)
    return str(path.resolve()) if path.is_file() else name


def attach(args: argparse.Namespace, show: Callable[..., int]) -> int:
    """``sim run --attach``: a window into a scenario. ``show`` is the screens' part."""
    from meshchat.sim import scenario, town

    if args.json_out is not None or args.report is not None:
        raise UsageError("bad_attach", "--attach writes no result: leave out --json and --report.")
    plan = scenario.load(args.scenario, _one_of_each(args.set))
    built = town.build(plan, seed=args.seed, peers=args.peers, fast=args.fast)
    return show(built.world, built.horizon, args.attach, args.speed)


def _compare(args: argparse.Namespace) -> int:
    from meshchat.sim import compare, result

    one, other = result.read(args.one), result.read(args.other)
    _say(compare.compare(one, other))
    return 0


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "list": _list,
    "describe": _describe,
    "run": _run,
    "trace": _trace,
    "sweep": _sweep,
    "compare": _compare,
}
