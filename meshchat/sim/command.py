"""``meshchat sim``: what each of its commands does and prints (docs/reference/cli.md)."""

import argparse
import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from meshchat.errors import UsageError
from meshchat.sim.measure import Measure
from meshchat.sim.units import amount, duration
from meshchat.text import Clean

EXIT_FAILED = 1  # a pass mark was missed, or a run of a sweep failed
EXIT_INTERRUPTED = 130
SHOW_EVERY_S = 0.25  # a bar that moves four times a second is smooth enough
LINE_EVERY_S = 30.0  # and where there is no terminal, a line now and then

Document = dict[str, Any]


def run(verb: str, args: argparse.Namespace) -> int:
    """Carry out ``sim.<verb>``; returns the exit code."""
    return _COMMANDS[verb](args)


def _say(text: str) -> None:
    print(Clean(text), flush=True)


# --- watching a run ---------------------------------------------------------------------------


class Watch:
    """Shows how far a run is, and ends it on Ctrl+C."""

    def __init__(self, title: str) -> None:
        self.stopped = False
        self._title = title
        self._began = time.monotonic()
        self._shown = 0.0
        self._bar = sys.stderr.isatty()

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
        if self._bar:
            width = 20
            full = int(done * width)
            bar = "#" * full + "." * (width - full)
            sys.stderr.write(f"\r\x1b[K{self._title[:20]} [{bar}] {figures}"[:200])
        else:
            sys.stderr.write(f"{self._title}: {done:.0%}, {figures}\n")
        sys.stderr.flush()

    def end(self) -> None:
        """Clear the bar away."""
        if self._bar and self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


@contextlib.contextmanager
def watched(title: str) -> Iterator[Watch]:
    """A watch that Ctrl+C and SIGTERM reach; a second Ctrl+C ends the program at once."""
    watch = Watch(title)

    def stop(number: int, _frame: FrameType | None) -> None:
        watch.stopped = True
        signal.signal(number, signal.default_int_handler)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield watch
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        watch.end()


def _finish(document: Document, args: argparse.Namespace) -> int:
    """Print and write a finished run; returns the exit code."""
    from meshchat.sim import result

    if args.json_out:
        result.write(document, args.json_out)
    if args.report:
        from meshchat.sim.page import write_page

        write_page(document, Path(args.report))
    if args.json_out != "-":
        _say(result.summary(document))
        if args.report:
            _say(f"Report: {Path(args.report) / 'index.html'}")
    if not document["complete"]:
        return EXIT_INTERRUPTED
    return 0 if all(mark["ok"] for mark in document["marks"]) else EXIT_FAILED


def _writable(args: argparse.Namespace) -> None:
    """Find out before a long run, not after it, that its report could not be written."""
    if args.json_out and args.json_out != "-":
        folder = Path(args.json_out).parent
        if not folder.is_dir():
            raise UsageError("unwritable", f"There is no folder {folder}: make it first.")
    if args.report:
        from meshchat.sim.page import check_page

        check_page(Path(args.report))


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
    return _finish(document, args)


def _one_of_each(given: list[str] | None) -> dict[str, str]:
    sets: dict[str, str] = {}
    for each in given or ():
        key, equals, value = each.partition("=")
        if not key or not equals:
            raise UsageError("bad_set", f'"{each}" is not KEY=VALUE.')
        sets[key] = value
    return sets


def _trace(args: argparse.Namespace) -> int:
    from meshchat.sim.runs import run_trace

    _writable(args)
    if args.rate <= 0:
        raise UsageError("bad_rate", "--rate is bytes a second and has to be above 0.")
    if args.buffer is not None and args.buffer <= 0:
        raise UsageError("bad_buffer", "--buffer is bytes and has to be above 0.")
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
    return _finish(document, args)


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
    folder = Path(args.out)

    def show(done: int, of: int, row: dict[str, Any]) -> None:
        sys.stderr.write(f"{done}/{of}  {row.get('status')}  job {row.get('job')}\n")
        sys.stderr.flush()

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
