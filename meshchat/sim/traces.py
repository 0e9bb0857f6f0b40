"""Reads contact traces and workloads from files.

Three formats of contacts, told apart by what is in the file, plain or gzipped; lines that begin
with ``#`` or ``%`` and empty lines are left out everywhere:

- ours: the line ``start_s,end_s,node_a,node_b``, then contacts sorted by start;
- The ONE's connectivity events: ``time CONN a b up`` or ``down``, sorted by time;
- tables as CRAWDAD has them: ``a b start end``, by blanks or commas, further columns ignored.

Ours is taken at its word: whatever is odd in it is an error. The two others are what devices
wrote down, each for itself: A saw B, and B saw A, for a time of its own. So what both sides of a
pair saw is joined, a table may be in any order, and a sighting that ends when it begins is left
out, as nothing could be sent in it.

A workload is ``created_s,src,dst,size_bytes,ttl_s``, sorted by creation.
"""

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

from msgspec import Struct

from meshchat.core.sealed import FILE_MAX_BYTES
from meshchat.errors import UsageError
from meshchat.sim.ways import Contact, Wanted
from meshchat.text import NAME_MAX_CHARS, Clean

LINE_MAX_BYTES = 1_000  # the longest sensible line has a dozen numbers
LINES_MAX = 5_000_000  # 20 times the largest trace at hand; their contacts take a gigabyte
NODES_MAX = 100_000  # 50 times the largest world planned; one wrong number shall not fill memory
TIME_MAX_S = 1e10  # 300 years: seconds since 1970 fit, and a float is still exact to 2 microseconds

CONTACTS_HEAD = ["start_s", "end_s", "node_a", "node_b"]
WORKLOAD_HEAD = ["created_s", "src", "dst", "size_bytes", "ttl_s"]

Row = tuple[int, list[str]]
"""A line's number and its words."""

_ADDRESS = re.compile(r"[^0-9]*([0-9]{1,9})", re.ASCII)  # The ONE's p12: host 12 of all groups


class Trace(Struct, frozen=True):
    """Who can talk to whom, and when."""

    contacts: list[Contact]
    """In order of start; contacts of one pair do not overlap."""
    nodes: int
    """How many there are as far as the contacts tell."""
    names: tuple[str, ...]
    """By node; its number where it has no other name."""
    duration: float
    """When the last contact ends, seconds."""
    open_ended: bool
    """Nodes are named by numbers only, so that a workload may name further ones: a node that
    meets nobody is in no contact."""


class _Reader:
    """A file as rows of words, and errors that say where in it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.line = 0

    def wrong(self, problem: str) -> UsageError:
        """An error about the current line, or about the file before its first line."""
        where = f", line {self.line}" if self.line else ""
        return UsageError("bad_trace", f"{self._shown()}{where}: {problem}.")

    def _shown(self) -> str:
        return Clean.line(str(self._path), 300)

    def rows(self) -> Iterator[Row]:
        """Lines with something in them, split as the first one is: at commas or blanks."""
        try:
            with self._path.open("rb") as file:
                packed = file.peek(2)[:2] == b"\x1f\x8b"
                plain = io.BufferedReader(gzip.GzipFile(fileobj=file)) if packed else None
                yield from self._split(plain or file)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            raise self.wrong(
                "what follows is cut off or damaged (gzip); get the file again"
            ) from None
        except OSError as error:
            raise UsageError(
                "unreadable", f"{self._shown()} cannot be read: {error.strerror or error}."
            ) from None

    def _split(self, file: io.BufferedIOBase) -> Iterator[Row]:
        between: str | None = None
        first = True
        while raw := file.readline(LINE_MAX_BYTES + 1):
            self.line += 1
            if len(raw) > LINE_MAX_BYTES:
                raise self.wrong(f"the line is over {LINE_MAX_BYTES} bytes; this is no trace")
            if self.line > LINES_MAX:
                raise self.wrong(f"the file has over {LINES_MAX} lines; split it")
            try:
                text = raw.decode("utf-8-sig" if self.line == 1 else "utf-8").strip()
            except UnicodeDecodeError:
                raise self.wrong("the line is not UTF-8 text") from None
            if text and text[0] not in "#%":
                if first:
                    between, first = "," if "," in text else None, False
                yield self.line, [word.strip() for word in text.split(between)]

    def number(self, word: str, what: str) -> float:
        """A time or length of time in seconds."""
        try:
            # Python also takes 1_000 and digits of other scripts.
            value = float(word) if word.isascii() and "_" not in word else None
        except ValueError:
            value = None
        if value is None:
            raise self.wrong(f'{what} is "{_quoted(word)}", which is not a number')
        if not 0 <= value <= TIME_MAX_S:
            raise self.wrong(f"{what} is {_quoted(word)}; it has to be from 0 to {TIME_MAX_S:.0f}")
        return value + 0.0  # no negative zero

    def columns(self, words: list[str], head: list[str]) -> list[str]:
        """The words, if there are as many as in the head."""
        if len(words) != len(head):
            raise self.wrong(f"the line has {len(words)} columns instead of {','.join(head)}")
        return words


class _Names:
    """Numbers of nodes: a number keeps its own; words come after them in order of appearance."""

    def __init__(self, reader: _Reader, *, addresses: bool = False) -> None:
        """With ``addresses``, ``p12`` is node 12."""
        self._reader = reader
        self._addresses = addresses
        self._known: dict[str, int] = {}
        self._labels: dict[int, str] = {}
        self._words: list[str] = []
        self.top = -1
        """The highest number."""

    def pair(self, one: str, other: str) -> tuple[int, int]:
        """Both nodes of a contact; words have negative numbers until the end."""
        known = self._known
        a = known[one] if one in known else self._add(one)
        b = known[other] if other in known else self._add(other)
        if a == b:
            raise self._reader.wrong(f'node "{_quoted(one)}" meets itself')
        return (a, b) if a < b else (b, a)

    def _add(self, name: str) -> int:
        number = _number_of(name)
        address = _ADDRESS.fullmatch(name) if self._addresses else None
        if address and number is None:
            number = int(address[1])
        if number is None:
            if not name or len(name) > NAME_MAX_CHARS or Clean.line(name) != name:
                raise self._reader.wrong(
                    f'"{_quoted(name)}" is no name for a node: 1 to {NAME_MAX_CHARS} visible '
                    "characters"
                )
            self._words.append(name)
            number = -len(self._words)
        elif number >= NODES_MAX:
            raise self._reader.wrong(f"node {_quoted(name)} is over {NODES_MAX - 1}, the most")
        elif self._labels.setdefault(number, name) != name:
            raise self._reader.wrong(
                f'"{_quoted(self._labels[number])}" and "{_quoted(name)}" are both node {number}'
            )
        if len(self._known) >= NODES_MAX:
            raise self._reader.wrong(f"there are over {NODES_MAX} nodes")
        self.top = max(self.top, number)
        self._known[name] = number
        return number

    def finish(self, contacts: list[Contact]) -> Trace:
        """The trace of sorted contacts whose nodes came from ``pair``."""
        if not contacts:
            self._reader.line = 0
            raise self._reader.wrong("there is no contact in it that could be used")
        above = self.top + 1

        def settled(start: float, end: float, a: int, b: int) -> Contact:
            a = a if a >= 0 else above - a - 1
            b = b if b >= 0 else above - b - 1
            return Contact(start, end, min(a, b), max(a, b))

        if self._words:
            contacts = [settled(*contact) for contact in contacts]
        numbered = [self._labels.get(number, str(number)) for number in range(above)]
        return Trace(
            contacts=contacts,
            nodes=above + len(self._words),
            names=(*numbered, *self._words),
            duration=max(contact.end for contact in contacts),
            open_ended=not self._words,
        )


def _number_of(name: str) -> int | None:
    """The number a name is: ``7``, but not ``007``."""
    if name.isascii() and name.isdigit() and (name[0] != "0" or name == "0"):
        return int(name)
    return None


def _quoted(word: str) -> str:
    """Somebody else's word in a message of ours."""
    return Clean.line(word, 40)


def read_contacts(path: str | Path) -> Trace:
    """Read a trace in any of the three formats.

    Raises:
        UsageError: The file cannot be read or is no good trace; names the file and the line.
    """
    reader = _Reader(Path(path))
    rows = reader.rows()
    first = next(rows, None)
    if first is None:
        reader.line = 0
        raise reader.wrong("there is nothing in it")
    words = first[1]
    if words == CONTACTS_HEAD:
        return _ours(reader, rows)
    if len(words) > 1 and words[1] == "CONN":
        return _events(reader, chain([first], rows))
    if len(words) >= 4 and all(_is_number(reader, word) for word in words[2:4]):
        return _table(reader, chain([first], rows))
    raise reader.wrong(
        f"this is no format of contacts; the first line is {','.join(CONTACTS_HEAD)}, "
        "or TIME CONN A B up, or A B START END"
    )


def _is_number(reader: _Reader, word: str) -> bool:
    try:
        reader.number(word, "")
    except UsageError:
        return False
    return True


def _ours(reader: _Reader, rows: Iterator[Row]) -> Trace:
    names = _Names(reader)
    number, pair_of = reader.number, names.pair
    contacts: list[Contact] = []
    until: dict[tuple[int, int], float] = {}
    last = 0.0
    for _, words in rows:
        one, two, a, b = reader.columns(words, CONTACTS_HEAD)
        start, end = number(one, "start_s"), number(two, "end_s")
        pair = pair_of(a, b)
        if start < last:
            raise reader.wrong(
                f"the contact starts at {start:g}, before the one above it at {last:g}; "
                "sort the file by start_s"
            )
        if end <= start:
            raise reader.wrong(
                f"the contact ends at {end:g} and starts at {start:g}; it has to end later"
            )
        if until.get(pair, 0.0) > start:
            raise reader.wrong(
                f"{_quoted(a)} and {_quoted(b)} meet at {start:g}, but are still together until "
                f"{until[pair]:g}; join the two contacts"
            )
        until[pair] = end
        last = start
        contacts.append(Contact(start, end, *pair))
    return names.finish(contacts)


def _events(reader: _Reader, rows: Iterator[Row]) -> Trace:
    """The ONE's. A pair is together while at least one of the two says so."""
    names = _Names(reader, addresses=True)
    contacts: list[Contact] = []
    since: dict[tuple[int, int], float] = {}
    said: set[tuple[str, str]] = set()
    now = 0.0
    for _, words in rows:
        if len(words) != 5 or words[1] != "CONN" or words[4] not in ("up", "down"):
            raise reader.wrong("the line is not TIME CONN A B up, or down")
        at, (a, b) = reader.number(words[0], "the time"), (words[2], words[3])
        pair = names.pair(a, b)
        if at < now:
            raise reader.wrong(
                f"the event is at {at:g}, before the one above it at {now:g}; sort the file by time"
            )
        now = at
        if words[4] == "up":
            if (a, b) in said:
                raise reader.wrong(
                    f"{_quoted(a)} and {_quoted(b)} connect, but are connected already"
                )
            said.add((a, b))
            since.setdefault(pair, at)
        elif pair not in since:
            raise reader.wrong(f"{_quoted(a)} and {_quoted(b)} part, but are not connected")
        else:
            # Some files have each side's view, others end what A B began with B A.
            said.remove((a, b) if (a, b) in said else (b, a))
            if (a, b) not in said and (b, a) not in said:
                contacts.append(Contact(since.pop(pair), at, *pair))
    contacts += [Contact(start, now, *pair) for pair, start in since.items()]
    return names.finish(sorted(contact for contact in contacts if contact.start < contact.end))


def _table(reader: _Reader, rows: Iterator[Row]) -> Trace:
    names = _Names(reader)
    contacts: list[Contact] = []
    for _, words in rows:
        if len(words) < 4:
            raise reader.wrong(f"the line has {len(words)} columns; a table has A B START END")
        pair = names.pair(words[0], words[1])
        start, end = reader.number(words[2], "the start"), reader.number(words[3], "the end")
        if end < start:
            raise reader.wrong(f"the contact ends at {end:g}, before it starts at {start:g}")
        contacts.append(Contact(start, end, *pair))
    return names.finish(_joined(contacts))


def _joined(contacts: list[Contact]) -> list[Contact]:
    """What overlaps or touches of one pair as one contact; without those of no length."""
    joined: list[Contact] = []
    open_: dict[tuple[int, int], tuple[float, float]] = {}
    for start, end, a, b in sorted(contacts):
        known = open_.get((a, b))
        if known is not None and start <= known[1]:
            open_[a, b] = (known[0], max(known[1], end))
            continue
        if known is not None:
            joined.append(Contact(*known, a, b))
        open_[a, b] = (start, end)
    joined += [Contact(*times, *pair) for pair, times in open_.items()]
    return sorted(contact for contact in joined if contact.start < contact.end)


def read_workload(path: str | Path, trace: Trace) -> list[Wanted]:
    """Read who writes to whom.

    Nodes are named as in the trace. If those are numbers, further numbers name nodes that meet
    nobody: the count of nodes is then one more than the highest number in both files.

    Raises:
        UsageError: The file cannot be read or is no good workload; names the file and the line.
    """
    reader = _Reader(Path(path))
    rows = reader.rows()
    first = next(rows, None)
    if first is None or first[1] != WORKLOAD_HEAD:
        reader.line = 1
        raise reader.wrong(f"this is no workload; its first line is {','.join(WORKLOAD_HEAD)}")
    numbers = {name: number for number, name in enumerate(trace.names)}
    find = _finder(reader, trace, numbers)
    wanted: list[Wanted] = []
    last = 0.0
    for _, words in rows:
        at, src, dst, bytes_, life = reader.columns(words, WORKLOAD_HEAD)
        created, ttl = reader.number(at, "created_s"), reader.number(life, "ttl_s")
        if created < last:
            raise reader.wrong(
                f"the message is created at {created:g}, before the one above it at {last:g}; "
                "sort the file by created_s"
            )
        last = created
        if ttl <= 0:
            raise reader.wrong("ttl_s has to be above 0")
        size = _number_of(bytes_) if len(bytes_) <= 9 else None
        if size is None or not 1 <= size <= FILE_MAX_BYTES:
            raise reader.wrong(
                f"size_bytes is {_quoted(bytes_) or 'empty'}; "
                f"it has to be a whole number from 1 to {FILE_MAX_BYTES}, the largest file"
            )
        one, other = find(src), find(dst)
        if one == other:
            raise reader.wrong(f"{_quoted(src)} writes to itself; src and dst have to differ")
        wanted.append(Wanted(created, one, other, size, ttl))
    if not wanted:
        raise reader.wrong("there is no message in it")
    return wanted


def _finder(reader: _Reader, trace: Trace, numbers: dict[str, int]) -> Callable[[str], int]:
    """Finds the node of a name."""

    def find(name: str) -> int:
        known = numbers.get(name)
        if known is None and trace.open_ended:
            known = _number_of(name)
        if known is None or known >= NODES_MAX:
            raise reader.wrong(f'there is no node "{_quoted(name)}" in the trace')
        return known

    return find
