"""Many runs of one scenario: on all cores of this machine, or on a Dask cluster.

Both give the same rows. A run that fails is a row too; Ctrl+C keeps what is finished.
"""

import itertools
import multiprocessing
import os
import re
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from meshchat import __version__
from meshchat.errors import MeshchatError, TransportError, UsageError
from meshchat.sim.extras import extra
from meshchat.sim.result import make_folder, write
from meshchat.sim.table import Row, check_table, row_of, write_table

if TYPE_CHECKING:
    from distributed import Client
    from distributed import Future as DaskFuture

JOBS_MAX = 10_000  # a sweep of more was not meant: 10,000 runs of a minute are a week of a core
VALUES_MAX = 1_000  # of one key
SEEDS_MAX = 1_000
DASK_WAIT_S = 10.0  # for a scheduler to answer, and for its first worker
ERROR_MAX_CHARS = 300
_KEY = re.compile(r"[A-Za-z_][\w.-]*")
_COMMA = re.compile(r",(?![^\[]*\])")  # commas in [1,2] belong to the value

Job = dict[str, Any]
"""``number``, ``seed``, ``sets`` (key: value as text), and what is the same in all jobs."""
Document = dict[str, Any]
RunJob = Callable[[Job], Document]
Progress = Callable[[int, int, Row], None]
"""Called with runs done, runs in all, and the row of the one just done."""
Finished = tuple[Job, Document | None, str]
"""A job, its document or None, and what went wrong or nothing."""


class Sweep(Struct):
    """What came of a sweep."""

    rows: list[Row] = field(default_factory=list)
    """One for each finished job, in the order of the plan."""
    planned: int = 0

    @property
    def failed(self) -> int:
        """How many runs ended with an error."""
        return sum(row["status"] == "failed" for row in self.rows)

    @property
    def complete(self) -> bool:
        """False: it was stopped before every run had ended."""
        return len(self.rows) == self.planned


def plan(
    sets: Sequence[str],
    seeds: int,
    *,
    first_seed: int = 0,
    check: Callable[[dict[str, str]], object] | None = None,
    **same: object,
) -> list[Job]:
    """Every combination of the values, each with every seed.

    Args:
        sets: As ``key=a,b,c``.
        seeds: How many, from ``first_seed`` on.
        check: Called with each combination; raises ``UsageError`` for one that cannot be run.
        same: Goes into every job, as ``scenario``.

    Raises:
        UsageError: A bad key, no values, too many jobs; or from ``check``.
    """
    if not 1 <= seeds <= SEEDS_MAX:
        raise UsageError("bad_seeds", f"The number of seeds must be from 1 to {SEEDS_MAX:,}.")
    values: dict[str, list[str]] = {}
    for each in sets:
        key, equals, text = each.partition("=")
        key = key.strip()
        if not equals or not _KEY.fullmatch(key):
            raise UsageError("bad_set", f'"{each}" is not of the form KEY=VALUE,VALUE.')
        if key == "seed":
            raise UsageError("bad_set", "Seeds are not set by key; give their number: --seeds N.")
        if key in values:
            raise UsageError("bad_set", f'"{key}" is set twice; give all its values at once.')
        found = [value.strip() for value in _COMMA.split(text)]
        if not all(found):
            raise UsageError("bad_set", f'"{each}" has an empty value; give {key}=VALUE,VALUE.')
        if len(set(found)) < len(found):
            raise UsageError("bad_set", f'"{each}" names a value twice.')
        if len(found) > VALUES_MAX:
            raise UsageError("bad_set", f'"{key}" has over {VALUES_MAX:,} values.')
        values[key] = found
    count = seeds
    for some in values.values():
        count *= len(some)
    if count > JOBS_MAX:
        raise UsageError(
            "too_many_jobs",
            f"These are {count:,} runs, and at most {JOBS_MAX:,} go at once; give fewer values.",
        )
    combined = [
        dict(zip(values, some, strict=True)) for some in itertools.product(*values.values())
    ]
    if check is not None:
        for one in combined:
            check(dict(one))
    pairs = itertools.product(combined, range(first_seed, first_seed + seeds))
    return [
        {**same, "number": number, "seed": seed, "sets": dict(some)}
        for number, (some, seed) in enumerate(pairs, 1)
    ]


def sweep(
    run_job: RunJob,
    jobs: Sequence[Job],
    folder: Path,
    *,
    workers: int | None = None,
    dask_address: str | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Run jobs and write ``results.csv``, ``results.parquet`` and each run's JSON.

    Args:
        run_job: A function of a module, so that other processes can import it.
        jobs: From ``plan``.
        folder: New, or without results.
        workers: Processes; None: one for each core.
        dask_address: Of a Dask scheduler, as ``tcp://10.0.0.5:8786``; instead of own processes.
        progress: Called after each run.

    Raises:
        UsageError: The folder holds results or cannot be written; a library is missing.
        StoreError: The disk is full; what was finished before is in the folder.
        TransportError: No Dask scheduler or worker answers.
    """
    if workers is not None and workers < 1:
        raise UsageError("bad_workers", "The number of workers must be at least 1.")
    check_table(folder)
    make_folder(folder)
    done = Sweep(planned=len(jobs))
    if dask_address is not None:
        finished = _dask(run_job, jobs, dask_address)
    else:
        finished = _local(run_job, jobs, workers or _cores())
    try:
        with closing(finished):
            for job, document, error in finished:
                row = _kept(job, document, error, folder)
                done.rows.append(row)
                if progress is not None:
                    progress(len(done.rows), len(jobs), row)
    except KeyboardInterrupt:
        pass  # the caller sees that it is not complete
    finally:
        if done.rows:
            done.rows.sort(key=lambda row: row["job"])
            write_table(done.rows, jobs, folder)
    return done


def _kept(job: Job, document: Document | None, error: str, folder: Path) -> Row:
    if document is None:
        return row_of(job, None, "", error)
    name = f"run-{job['number']:05}.json"
    try:
        row = row_of(job, document, name, "")
    except UsageError as wrong:
        return row_of(job, None, "", f"The run gave no result: {wrong}")
    write(document, folder / name)
    return row


def _cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _told(error: BaseException) -> str:
    """One line about what a run died of."""
    text = str(error) if isinstance(error, MeshchatError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:ERROR_MAX_CHARS]


def _finished(job: Job, future: "Future[Document] | DaskFuture[Any]") -> Finished:
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        return job, None, "Its process was killed; there may be too little memory."
    if error is not None:
        return job, None, _told(error)
    return job, future.result(), ""


# --- this machine ----------------------------------------------------------------------------


def _worker() -> None:
    """In a worker: whoever started it says when it ends; if that one is killed, it ends too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Processes started here do not hear Ctrl+C and a closed terminal, from their first moment.

    Both reach everything on the terminal; a worker that is still being set up would print a
    traceback, and one that dies would look like a run that failed.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _local(run_job: RunJob, jobs: Sequence[Job], workers: int) -> Generator[Finished, None, None]:
    """Each job in a process of its own: its memory and processor time are its own.

    And a process that is killed (for its memory) takes no other run along.
    """
    waiting = deque(jobs)
    running: dict[Future[Document], tuple[Job, ProcessPoolExecutor]] = {}
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                job = waiting.popleft()
                with _undisturbed():  # for multiprocessing's own helper, which unblocks Ctrl+C
                    pool = ProcessPoolExecutor(1, mp_context=context, initializer=_worker)
                with _undisturbed():
                    running[pool.submit(run_job, job)] = job, pool
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                job, pool = running.pop(future)
                pool.shutdown()
                yield _finished(job, future)
    finally:
        # After Ctrl+C, or if nobody wants the rest: do not wait for long runs.
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()
        for _, pool in running.values():
            pool.shutdown(cancel_futures=True)


# --- a cluster -------------------------------------------------------------------------------


def _dask(run_job: RunJob, jobs: Sequence[Job], address: str) -> Generator[Finished, None, None]:
    with _client(address) as client:
        from distributed import as_completed

        futures = {client.submit(run_job, job, pure=False): job for job in jobs}
        try:
            for future in as_completed(futures, loop=client.loop):
                yield _finished(futures.pop(future), future)
                future.release()
        finally:
            client.cancel(list(futures))


def _client(address: str) -> "Client":
    with extra("A sweep on a Dask cluster"):
        from distributed import Client, Security
        from distributed.comm.addressing import get_address_host_port
    try:  # what is wrong is found here: a Client of nonsense hangs when it is freed
        get_address_host_port(address, strict=True)
        secured = Security().get_connection_args("client").get("ssl_context")
        if address.startswith(("tls:", "wss:")) and not secured:
            raise ValueError("Dask has no certificates for it, see distributed.comm.tls there")
        client = Client(address, timeout=DASK_WAIT_S, set_as_default=False)
    except (OSError, TimeoutError):
        raise TransportError(
            "no_dask", f"No Dask scheduler answers at {address}; start one with: dask scheduler"
        ) from None
    except ValueError as error:
        raise UsageError("bad_address", f"{address} is no address of Dask: {error}.") from None
    try:
        _same_version(client, address)
    except BaseException:
        client.close()
        raise
    return client


def _same_version(client: "Client", address: str) -> None:
    """Runs of two versions would not compare, and a worker without meshchat runs none."""
    try:
        client.wait_for_workers(1, timeout=DASK_WAIT_S)
        versions = client.run(_version)
    except TimeoutError:
        raise TransportError(
            "no_dask_worker",
            f"The Dask scheduler at {address} has no workers; start one: dask worker {address}",
        ) from None
    except ModuleNotFoundError as error:
        raise UsageError(
            "other_version",
            f"A worker of {address} has no {error.name}; install meshchat {__version__} there.",
        ) from None
    for version in versions.values():
        if version != __version__:
            raise UsageError(
                "other_version",
                f"A worker of {address} has meshchat {version}, and this is {__version__}.",
            )


def _version() -> str:
    return __version__
