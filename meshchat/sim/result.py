"""Writing, reading and summing up the JSON document of a run."""

import contextlib
import errno
import json
import math
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import wrap

import msgspec

from meshchat.errors import MeshchatError, StoreError, UsageError
from meshchat.sim.document import KINDS, Bound, Document, Mark, Result, checked
from meshchat.sim.units import NOTHING, amount, duration, durations, energy, figure, share, volume
from meshchat.text import Clean

DOCUMENT_MAX_BYTES = 64_000_000  # 60 frames of 10,000 people and everything else are 12 MB
WIDTH_CHARS = 80  # of a terminal
TITLE_MAX_CHARS = 200
NAME_MAX_CHARS = 23  # of a part of the workload, in a table
BAR_MAX_CHARS = 24
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def write(document: Document, path: str | Path) -> None:
    """Write a document as one line of ASCII JSON; ``-`` is standard output.

    The file is there in full or not at all. Numbers that JSON does not have (NaN) become null.

    Raises:
        UsageError: The path cannot be written.
        StoreError: The disk is full.
    """
    save(json.dumps(_plain(document), ensure_ascii=True, separators=(",", ":")) + "\n", path)


def save(text: str | bytes, path: str | Path) -> None:
    """Write a file in full or not at all; ``-`` is standard output. Raises as ``write``."""
    raw = text.encode() if isinstance(text, str) else text
    try:
        if str(path) == "-":
            if sys.stdout is None:
                raise OSError(errno.EBADF, "it is closed")
            sys.stdout.write(raw.decode())
            sys.stdout.flush()
            return
        target = _target(path)
        if target.exists() and not target.is_file():
            with target.open("wb") as file:  # /dev/null or a pipe: nothing to rename over
                file.write(raw)
        else:
            _replace(target, raw)
    except BrokenPipeError:
        raise  # the reader of standard output went away: no fault of anybody
    except OSError as error:
        raise _explained(error, path) from None


def check_place(path: str | Path) -> None:
    """Find out before a long run that ``save`` would fail. Raises as ``write``."""
    if not str(path):
        raise UsageError("unwritable", "The name of the result is empty; name a file, or - .")
    if str(path) == "-":
        return
    try:
        target = _target(path)
        if target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not target.parent.is_dir():
            raise UsageError("unwritable", f"There is no folder {target.parent}: make it first.")
        if target.is_file() or not target.exists():
            with tempfile.TemporaryFile(dir=target.parent) as file:
                file.write(b"\0")
    except OSError as error:
        raise _explained(error, path) from None


def make_folder(folder: Path) -> None:
    """Make a folder that can be written to. Raises ``UsageError`` or ``StoreError``."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
    except OSError as error:
        raise _explained(error, folder) from None


def _target(path: str | Path) -> Path:
    """Where to write: a link stays a link."""
    ring = OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    try:
        target = Path(path).resolve()
    except RuntimeError:  # what Python before 3.13 says of links in a ring
        raise ring from None
    if target.is_symlink():  # since then it says nothing
        raise ring
    return target


def _replace(target: Path, raw: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:40]}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)  # as any other new file; mkstemp makes it private
        os.replace(name, target)  # noqa: PTH105  (Path.replace says the same, with less)
    except BaseException:  # Ctrl+C too leaves no half file
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _explained(error: OSError, path: str | Path) -> MeshchatError:
    where = "Standard output" if str(path) == "-" else str(path)
    why = (error.strerror or str(error)).lower()
    if error.errno in _FULL:
        return StoreError(
            "disk_full", f"{where} was not written ({why}); free some space or name another place."
        )
    return UsageError("unwritable", f"{where} cannot be written ({why}); name another place.")


def _plain(value: object) -> object:
    """Only what JSON has: NaN and infinities as null, broken surrogates as question marks."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {str(_plain(key)): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    raise TypeError(f"no JSON for {type(value).__name__}")


def read(path: str | Path) -> dict[str, object]:
    """A document from a file (``-``: standard input), checked.

    Raises:
        UsageError: It cannot be read, is too long, or is no result; says what is wrong.
    """
    shown = "Standard input" if str(path) == "-" else str(path)
    try:
        if str(path) == "-":
            raw = sys.stdin.buffer.read(DOCUMENT_MAX_BYTES + 1)
        else:
            with Path(path).open("rb") as file:
                raw = file.read(DOCUMENT_MAX_BYTES + 1)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise UsageError("unreadable", f"{shown} cannot be read ({why}).") from None
    if len(raw) > DOCUMENT_MAX_BYTES:
        raise UsageError("too_long", f"{shown} is over {volume(DOCUMENT_MAX_BYTES)}: no result.")
    try:
        document = msgspec.json.decode(raw)
        checked(document)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        why = Clean.line(str(error))
        raise UsageError("not_json", f"{shown} is no JSON, or cut off ({why}).") from None
    except UsageError as error:
        raise UsageError(error.reason, f"{shown} cannot be used: {error}.") from None
    found: dict[str, object] = document
    return found


def failed_marks(document: Document) -> list[str]:
    """The pass marks that were missed, a line each."""
    return [mark_line(mark) for mark in checked(document).marks if not mark.ok]


def summary(document: Document) -> str:
    """The report for a terminal, at most 80 columns."""
    result = checked(document)
    parts = (_head, _delivery, _workloads, _bytes, _costs, _marks)
    blocks = ["\n".join(part(result)) for part in parts]
    return "\n\n".join(block for block in blocks if block) + f"\n\ntrace {_line(result.trace_hash)}"


def _line(text: str, limit: int = 70) -> str:
    return str(Clean.line(text, limit))


def headline(result: Result) -> str:
    """The one sentence of a run."""
    text = f"{result.delivered:,} of {result.created:,} delivered"
    if result.delivery_ratio is not None:
        text += f" ({share(result.delivery_ratio)})"
    ratios = []
    if result.ratio.limit is not None:
        ratios.append(f"{share(result.ratio.limit)} of the limit")
    if result.ratio.clairvoyant is not None:
        ratios.append(f"{share(result.ratio.clairvoyant)} of clairvoyant")
    return text + (": " + ", ".join(ratios) if ratios else "")


def unfinished(result: Result) -> str:
    """A sentence if the run was interrupted, else empty."""
    if result.complete:
        return ""
    after = f"{duration(result.stopped_at_s)} of {duration(result.duration_s)}"
    return f"INCOMPLETE: stopped after {after}; the figures are of that part only."


def _head(result: Result) -> Iterator[str]:
    name, title = _line(result.name), _line(result.title, TITLE_MAX_CHARS)
    yield from wrap(f"{name}: {title}" if title and title != name else name, WIDTH_CHARS)
    crypto = "no cryptography (--fast)" if result.fast else "real cryptography"
    yield (
        f"{result.nodes:,} nodes, {duration(result.stopped_at_s)} simulated, seed {result.seed}, "
        f"{crypto}"
    )
    if not result.complete:
        yield unfinished(result)
    yield ""
    yield headline(result)


def beside_bounds(result: Result) -> list[tuple[str, ...]]:
    """Figures of the run, the limit and, where there is one, the clairvoyant schedule.

    The first row holds the heads of the columns.
    """
    bounds = [bound for bound in (result.limit, result.clairvoyant) if bound]
    every: list[Result | Bound] = [result, *bounds]
    hops = [(result.hops.mean, result.hops.max), *((one.hops_mean, one.hops_max) for one in bounds)]
    ratios = [NOTHING, share(result.ratio.limit), share(result.ratio.clairvoyant)]
    return [
        ("", *("this run", "limit", "clairvoyant")[: len(every)]),
        ("delivered", *(f"{one.delivered:,}" for one in every)),
        ("delivery ratio", *(share(one.delivery_ratio) for one in every)),
        ("this run / bound", *ratios[: len(every)]),
        *(
            (f"delay {part}", *durations([getattr(one.delay_s, part) for one in every]))
            for part in ("p10", "p50", "p90", "p99")
        ),
        ("mean wait", *durations([one.mean_wait_s for one in every])),
        ("hops, mean (most)", *(_hops(mean, most) for mean, most in hops)),
        ("transmissions", *(f"{one.transmissions:,}" for one in every)),
        ("overhead ratio", *(amount(one.overhead_ratio) for one in every)),
    ]


def _delivery(result: Result) -> Iterator[str]:
    for name, *cells in beside_bounds(result):
        yield f"  {name:<22}" + "".join(f"{cell:>16}" for cell in cells)
    yield ""
    yield (
        f"  refused {result.refused:,}, shown twice {result.duplicates_shown:,}, "
        f"lost after accepting {result.lost_after_accept:,}"
    )


def _hops(mean: float | None, most: float | None) -> str:
    return NOTHING if mean is None else f"{mean:.2f} ({amount(most)})"


def _workloads(result: Result) -> Iterator[str]:
    if len(result.by_workload) < 2:
        return
    yield f"  {'workload':<{NAME_MAX_CHARS}}" + "".join(
        f"{head:>11}" for head in ("created", "delivered", "limit", "delay p50", "p90")
    )
    for name, part in result.by_workload.items():
        cells = (
            f"{part.created:,}",
            share(part.delivery_ratio),
            share(part.limit_delivery_ratio),
            duration(part.delay_s.p50),
            duration(part.delay_s.p90),
        )
        shown = _line(name, NAME_MAX_CHARS)
        yield f"  {shown:<{NAME_MAX_CHARS}}" + "".join(f"{cell:>11}" for cell in cells)


def _bytes(result: Result) -> Iterator[str]:
    total = result.bytes.total
    each = result.bytes_per_delivery
    yield f"  {'bytes on the air':<18}{'total':>10}{'share':>10}{'per delivery':>14}"
    for kind in KINDS:
        count = getattr(result.bytes, kind)
        part = count / total if total else 0.0
        bar = "#" * round(BAR_MAX_CHARS * part)
        one = volume(getattr(each, kind, None))
        yield f"  {kind:<18}{volume(count):>10}{share(part):>10}{one:>14}  {bar}".rstrip()
    yield f"  {'all':<18}{volume(total):>10}{'':>10}{volume(getattr(each, 'total', None)):>14}"


def _costs(result: Result) -> Iterator[str]:
    held, contacts = result.storage_bytes, result.contacts
    yield (
        f"  contacts   {contacts.count:,}, {duration(contacts.seconds)} in all; "
        f"{contacts.linked:,} links made, {contacts.failed:,} attempts failed"
    )
    yield (
        f"  storage    mean {volume(held.mean)}, most {volume(held.max)}, "
        f"at the end {volume(held.end)} a node"
    )
    if result.energy_j:
        yield (
            f"  energy     mean {energy(result.energy_j.mean)}, "
            f"most {energy(result.energy_j.max)} a node"
        )
    for name, radio in result.discovery.items():
        waits = durations([radio.first_link_p50_s, radio.first_link_p90_s])
        yield (
            f"  {_line(name, 10):<10} profile {radio.profile}: listens {share(radio.scan_duty)}, "
            f"{amount(radio.wakeups_per_h)} wake-ups an hour"
        )
        yield (
            f"             link after {waits[0]} (p90 {waits[1]}), "
            f"{radio.found:,} found, {radio.missed:,} missed"
        )
    yield (
        f"  simulator  {duration(result.cpu_s)} CPU ({duration(result.cpu_s_per_node)} a node), "
        f"{result.events:,} events, {volume(result.peak_rss_bytes)} memory"
    )


def mark_line(mark: Mark) -> str:
    """A pass mark in words, without whether it was reached."""
    of = f" of {_line(mark.of, NAME_MAX_CHARS)}" if mark.of else ""
    rule = _line(mark.rule, NAME_MAX_CHARS).replace("_", " ")
    wanted, got = figure(mark.figure, mark.value), figure(mark.figure, mark.got)
    ends = "cannot be computed" if mark.got is None else f"is {got}"
    return f"{_line(mark.figure, NAME_MAX_CHARS)}{of} {rule} {wanted}: {ends}"


def _marks(result: Result) -> Iterator[str]:
    if not result.marks:
        return
    passed = sum(mark.ok for mark in result.marks)
    yield f"Pass marks: {passed} of {len(result.marks)} reached"
    for mark in result.marks:
        yield f"  {'pass' if mark.ok else 'FAIL'}  {mark_line(mark)}"
