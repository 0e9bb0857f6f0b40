"""What differs between two sets of envelope ids: rateless IBLT (Yang, Gilad, Alizadeh 2024).

One side streams coded symbols of its set, the other subtracts its own and peels: about 1.4
symbols for each id in only one of the sets, whatever the sets hold in common. Ids go by 8-byte
short ids under a salt. A public salt lets a ``Sketch`` be kept up with each envelope instead of
being made for each neighbour; who makes colliding ids for it gains nothing, because a digest of
full ids, keyed per session, is compared afterwards, and ``salted`` repeats the search under the
session's key. Pure; the same bytes on every machine: integers, IEEE division and sqrt only.
"""

import struct
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from hashlib import shake_256
from heapq import heappop, heappush
from itertools import chain, combinations, pairwise, product
from math import ceil, prod, sqrt

from meshchat.core.crypto import H
from meshchat.errors import WireError

SHORT_BYTES = 8  # of an id under the salt: two of 100,000 meet by chance once in 4 billion sets
COMMON_BYTES = 12  # digest of what both have, keyed per session: nobody can prepare for it
PREFIX_MAX_SYMBOLS = 2_048  # kept up with each envelope: 27 kB; finds up to 1,450 differences
PREFIX_MIN_IDS = 32  # smaller sets keep no symbols: they are made in the time of one decoding
SYMBOLS_MAX = 8_192  # of one stream: 98 kB, about 6,000 differences; beyond, ids are listed
SYMBOLS_BODY_MAX = 1_024  # of one record: 12 kB, below one frame
NAMES_BODY_MAX = 1_024  # short ids or marks of one record
PEELS_SPARE = 16  # beyond two for each symbol; an honest stream needs one for each difference
GUESSES_MAX = 64  # ways to read the marks of one answer
FIRST_SYMBOLS = 17  # before anything is known: two times of three enough for ten differences
MORE_MIN_SYMBOLS = 5  # asked for at once, or this part of those received: a round trip each
MORE_MIN_PART = 10

_SYMBOL = struct.Struct("<QI")  # the lowest byte of the second is the count
SYMBOL_BYTES = _SYMBOL.size
_MARK = struct.Struct("<I")  # names an id the other side holds; the digest settles any doubt
_MARK_SPACE = 1 << 29  # marks stay below twice this: division by one digit is quick
_MARKED_MAX = 8  # ids of ours with one mark; more do not come by chance
_SYMBOLS_PER_ID = 1.42  # asked for in all; the rest comes in small steps
_SUM_BYTES = 256  # AdHash: generalised birthdays in 2,048 bits cost about 2^90
_SUM_MASK = (1 << 8 * _SUM_BYTES) - 1
_MASK = (1 << 64) - 1
_STEP = 0xDA942042E4DD58B5  # multiplier modulo 2^64, the one of the authors
_ROOT = float(1 << 32)
_PURE = (1, 255)  # counts modulo 256 of a symbol with one id left; the check tells 1 from 257

Symbol = tuple[int, int, int]
"""Sum of short ids, sum of checks (both XOR), how many modulo 256."""


class Verdict(Enum):
    """What a ``Decoder`` made of the symbols so far."""

    MORE = "more"
    DECODED = "decoded"
    GAVE_UP = "gave_up"
    """They fit no two sets, or none that is near: list ids, or search under the session's key."""


# --- bodies ------------------------------------------------------------------------------------


def read_symbols(body: bytes) -> list[Symbol]:
    """1 to 1,024 coded symbols, in order."""
    if not body or len(body) % SYMBOL_BYTES or len(body) > SYMBOLS_BODY_MAX * SYMBOL_BYTES:
        raise WireError("symbols_length")
    return [(total, word >> 8, word & 255) for total, word in _SYMBOL.iter_unpack(body)]


def write_shorts(shorts: Sequence[bytes]) -> bytes:
    return b"".join(shorts)


def read_shorts(body: bytes) -> list[bytes]:
    """1 to 1,024 short ids, in ascending order, so each is said once."""
    if not body or len(body) % SHORT_BYTES or len(body) > NAMES_BODY_MAX * SHORT_BYTES:
        raise WireError("shorts_length")
    shorts = [body[at : at + SHORT_BYTES] for at in range(0, len(body), SHORT_BYTES)]
    if any(first >= second for first, second in pairwise(shorts)):
        raise WireError("shorts_order")
    return shorts


def write_marks(marks: Sequence[int]) -> bytes:
    return b"".join(map(_MARK.pack, marks))


def read_marks(body: bytes) -> list[int]:
    """1 to 1,024 marks, in ascending order; two ids may have the same."""
    if not body or len(body) % _MARK.size or len(body) > NAMES_BODY_MAX * _MARK.size:
        raise WireError("marks_length")
    marks = [mark for (mark,) in _MARK.iter_unpack(body)]
    if marks[-1] >= 2 * _MARK_SPACE or any(first > second for first, second in pairwise(marks)):
        raise WireError("marks_order")
    return marks


def read_common(body: bytes) -> bytes:
    """The digest that ends an answer."""
    if len(body) != COMMON_BYTES:
        raise WireError("common_length")
    return body


# --- the set -----------------------------------------------------------------------------------


class _Symbols:
    """Coded symbols from ``start`` on, in 13 bytes each."""

    def __init__(self, start: int, stop: int) -> None:
        self.start = start
        self.sums = array("Q", bytes(8 * (stop - start)))
        self.checks = array("I", bytes(4 * (stop - start)))
        self.counts = array("B", bytes(stop - start))

    def __len__(self) -> int:
        return len(self.sums)

    def toggle(self, salt: bytes, short: int, sign: int) -> None:
        """Put an id in, or take it out."""
        check, seed = _split(salt, short)
        start = self.start
        places, _, _ = _places(seed, 0, start + len(self))
        self.take([place - start for place in places if place >= start], short, check, -sign)

    def take(self, places: Iterable[int], short: int, check: int, sign: int) -> None:
        """Take an id out of these symbols."""
        sums, checks, counts = self.sums, self.checks, self.counts
        for place in places:
            sums[place] ^= short
            checks[place] ^= check
            counts[place] = (counts[place] - sign) & 255

    def extend(self, more: "_Symbols") -> None:
        self.sums += more.sums
        self.checks += more.checks
        self.counts += more.counts

    def copy(self) -> "_Symbols":
        copied = _Symbols(self.start, self.start)
        copied.extend(self)
        return copied


class _Change:
    """A link in the chain of what came and went. Held only by views: without any, it is gone."""

    __slots__ = ("eid", "next", "short", "sign")

    def __init__(self) -> None:
        self.short = 0
        self.eid = b""
        self.sign = 0
        self.next: _Change | None = None


class Sketch:
    """The set of ids we hold, under a salt of up to 64 bytes: costs per envelope, none per set."""

    def __init__(self, salt: bytes, ids: Iterable[bytes] = ()) -> None:
        self.salt = salt
        self._ids: dict[int, bytes] = {}
        self._twins: dict[int, list[bytes]] = {}  # more ids of a short id: not in the symbols
        self._total = 0
        self._size = 0
        self._symbols = _Symbols(0, 0)
        self._tail = _Change()
        for eid in ids:
            if self._register(self._short(eid), eid):
                self._total += _expand(eid)
        self._total &= _SUM_MASK
        self._grow()

    def salted(self, salt: bytes) -> "Sketch":
        """The same set under another salt: a new day, or a session's key. Reads every id."""
        other = Sketch(salt)
        for eid in self:
            other._register(other._short(eid), eid)
        other._total = self._total
        other._grow()
        return other

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[bytes]:
        yield from self._ids.values()
        for twins in self._twins.values():
            yield from twins

    def __contains__(self, eid: bytes) -> bool:
        short = self._short(eid)
        return self._ids.get(short) == eid or eid in self._twins.get(short, ())

    def add(self, eid: bytes) -> None:
        """We hold this from now on. Nothing happens if we did already."""
        short = self._short(eid)
        if self._register(short, eid):
            self._total = (self._total + _expand(eid)) & _SUM_MASK
            if self._ids[short] == eid:
                self._change(short, eid, 1)
                self._grow()

    def remove(self, eid: bytes) -> None:
        """We do not hold this any more. Nothing happens if we did not."""
        short = self._short(eid)
        twins = self._twins.get(short, [])
        if eid in twins:
            twins.remove(eid)
        elif self._ids.get(short) != eid:
            return
        elif twins:
            self._ids[short] = twins.pop(0)
        else:
            del self._ids[short]
            self._change(short, eid, -1)
        if not twins:
            self._twins.pop(short, None)
        self._size -= 1
        self._total = (self._total - _expand(eid)) & _SUM_MASK

    def find(self, short: bytes) -> bytes | None:
        """The full id of a short id, if we hold it."""
        return self._ids.get(int.from_bytes(short, "little"))

    def digest(self, session_key: bytes) -> bytes:
        """12 bytes that are the same for the same set only."""
        return _digest(self._total, self._size, session_key)

    def view(self) -> "View":
        """The set as it is now, for one neighbour, whatever comes and goes meanwhile."""
        return View(self)

    def _short(self, eid: bytes) -> int:
        return int.from_bytes(H(b"mc1 riblt short", eid, SHORT_BYTES, key=self.salt), "little")

    def _register(self, short: int, eid: bytes) -> bool:
        """Whether it is new."""
        held = self._ids.get(short)
        if held is None:
            self._ids[short] = eid
        elif held == eid or eid in self._twins.get(short, ()):
            return False
        else:
            self._twins.setdefault(short, []).append(eid)
        self._size += 1
        return True

    def _change(self, short: int, eid: bytes, sign: int) -> None:
        self._symbols.toggle(self.salt, short, sign)
        was, self._tail = self._tail, _Change()
        was.short, was.eid, was.sign, was.next = short, eid, sign, self._tail

    def _grow(self) -> None:
        """Keep half as many symbols as ids or more, up to the cap; few ids need none."""
        have = want = len(self._symbols)
        while want < PREFIX_MAX_SYMBOLS and self._size > max(PREFIX_MIN_IDS, 2 * want):
            want = max(2 * PREFIX_MIN_IDS, 2 * want)
        if want > have:
            self._symbols.extend(self._coded(have, want))

    def _coded(self, start: int, stop: int) -> _Symbols:
        """Symbols that are not kept: reads every id."""
        symbols = _Symbols(start, stop)
        for short in self._ids:
            symbols.toggle(self.salt, short, 1)
        return symbols


class View:
    """A ``Sketch`` as it was at one moment: what one neighbour is compared with.

    Short-lived: while it lives, each change of the sketch is remembered.
    """

    def __init__(self, sketch: Sketch) -> None:
        self.salt = sketch.salt
        self._sketch = sketch
        self._symbols = sketch._symbols.copy()
        self._total = sketch._total
        self._size = sketch._size
        self._since = sketch._tail

    def __len__(self) -> int:
        return self._size

    def symbols(self, start: int, stop: int) -> bytes:
        """Coded symbols for the wire, up to ``SYMBOLS_MAX`` in all."""
        coded = self.coded(stop)
        rows = zip(
            coded.sums[start:stop], coded.checks[start:stop], coded.counts[start:stop], strict=True
        )
        return b"".join(_SYMBOL.pack(total, check << 8 | count) for total, check, count in rows)

    def coded(self, stop: int) -> _Symbols:
        """At least ``stop`` symbols. Beyond those kept this reads every id, once per doubling."""
        if stop > SYMBOLS_MAX:
            raise ValueError("symbols beyond the end of the stream")
        have = len(self._symbols)
        if stop > have:
            want = min(SYMBOLS_MAX, max(stop, 2 * have))
            more = self._sketch._coded(have, want)
            for change in self._changes():
                more.toggle(self.salt, change.short, -change.sign)
            self._symbols.extend(more)
        return self._symbols

    def ids(self) -> list[bytes]:
        """Full ids of all we held."""
        held = dict.fromkeys(self._sketch)
        for change in reversed(list(self._changes())):
            if change.sign > 0:
                held.pop(change.eid, None)
            else:
                held[change.eid] = None
        return list(held)

    def find(self, short: int) -> bytes | None:
        """The full id of a short id we held."""
        eid = self._sketch._ids.get(short)
        if eid is None:
            eid = next((gone.eid for gone in self._changes() if gone.short == short), None)
        return eid

    def common(self, session_key: bytes, without: Iterable[bytes] = ()) -> bytes:
        """Keyed digest of what we held, except for these ids of ours."""
        eids = list(without)
        total = self._total - sum(map(_expand, eids))
        return _digest(total & _SUM_MASK, self._size - len(eids), session_key)

    def read(self, session_key: bytes, common: bytes, marks: Sequence[int]) -> list[bytes] | None:
        """Which of our ids an answer means, or None: there was a miss, search with another salt.

        Never wrong: without the ids found, our set is the one the other side made ``common`` of.
        """
        wanted: dict[int, dict[bytes, None]] = {mark: {} for mark in marks}
        if marks:
            modulus = _modulus(session_key)
            for short, eid in self._sketch._ids.items():
                if short % modulus in wanted:
                    wanted[short % modulus][eid] = None
            for gone in self._changes():
                if gone.short % modulus in wanted:
                    wanted[gone.short % modulus][gone.eid] = None
        sure: list[bytes] = []
        ways: list[list[tuple[bytes, ...]]] = []
        for mark, times in Counter(marks).items():
            found = wanted[mark]
            if len(found) == times:
                sure += found
            elif times < len(found) <= _MARKED_MAX:
                ways.append(list(combinations(found, times)))
            else:
                return None
        if prod(map(len, ways)) > GUESSES_MAX:
            return None
        total, size = self._total - sum(map(_expand, sure)), self._size - len(marks)
        for guess in product(*ways):
            eids = list(chain.from_iterable(guess))
            left = (total - sum(map(_expand, eids))) & _SUM_MASK
            if _digest(left, size, session_key) == common:
                return sure + eids
        return None

    def _changes(self) -> Iterator[_Change]:
        change = self._since
        while change.next is not None:
            yield change
            change = change.next


# --- decoding ----------------------------------------------------------------------------------


class Decoder:
    """Finds what differs between the neighbour's symbols, fed in order, and our own."""

    def __init__(self, view: View) -> None:
        self.verdict = Verdict.MORE
        self.theirs: list[bytes] = []
        """Once decoded: short ids of what only they hold."""
        self.ours: list[bytes] = []
        """Once decoded: full ids of what only we hold."""
        self._view = view
        self._left = _Symbols(0, 0)  # what is not explained yet
        self._found: dict[int, int] = {}  # short id -> 1: theirs, -1: ours
        self._ahead: list[tuple[int, int, int, int, int]] = []  # heap: where each goes on
        self._peels = 0

    @property
    def received(self) -> int:
        """Symbols so far."""
        return len(self._left)

    def feed(self, symbols: Sequence[Symbol]) -> Verdict:
        """Take the next symbols. Once there is a verdict, more of them change nothing."""
        if self.verdict is not Verdict.MORE or not symbols:
            return self.verdict
        left = self._left
        start = len(left)
        if start + len(symbols) > SYMBOLS_MAX:
            return self._end(Verdict.GAVE_UP)
        own = self._view.coded(start + len(symbols))
        for place, (total, check, count) in enumerate(symbols, start):
            left.sums.append(total ^ own.sums[place])
            left.checks.append(check ^ own.checks[place])
            left.counts.append((count - own.counts[place]) & 255)
        ahead = self._ahead
        while ahead and ahead[0][0] < len(left):
            at, seed, short, check, sign = heappop(ahead)
            places, seed, at = _places(seed, at, len(left))
            left.take(places, short, check, sign)
            heappush(ahead, (at, seed, short, check, sign))
        if not self._peel(range(start, len(left))):
            return self._end(Verdict.GAVE_UP)
        # every id is in symbol 0; the others tell when a false peel made it zero by chance
        if not (left.sums[0] or any(map(any, (left.sums, left.checks, left.counts)))):
            return self._end(Verdict.DECODED)
        return Verdict.MORE if len(left) < SYMBOLS_MAX else self._end(Verdict.GAVE_UP)

    def _peel(self, places: Iterable[int]) -> bool:
        """Take out every id that is alone in a symbol. False if this cannot come of two sets."""
        left, found = self._left, self._found
        most = 2 * len(left) + PEELS_SPARE
        todo = list(places)
        while todo:
            place = todo.pop()
            count = left.counts[place]
            if count not in _PURE:
                continue
            short = left.sums[place]
            check, seed = _split(self._view.salt, short)
            if check != left.checks[place]:
                continue
            sign = 1 if count == 1 else -1
            # a false peel, one time in 16 million by chance, comes up again with the other sign
            now = found.pop(short, 0) + sign
            self._peels += 1
            if abs(now) > 1 or self._peels > most:
                return False
            if now:
                found[short] = now
            covered, seed, ahead = _places(seed, 0, len(left))
            left.take(covered, short, check, sign)
            heappush(self._ahead, (ahead, seed, short, check, sign))
            todo += covered
        return True

    def _end(self, verdict: Verdict) -> Verdict:
        if verdict is Verdict.DECODED:
            for short, sign in self._found.items():
                if sign > 0:
                    self.theirs.append(short.to_bytes(SHORT_BYTES, "little"))
                elif (eid := self._view.find(short)) is not None:
                    self.ours.append(eid)
                else:  # "only ours", and we never had it
                    verdict = Verdict.GAVE_UP
                    break
            self.theirs.sort()
            self.ours.sort()
        if verdict is Verdict.GAVE_UP:
            self.theirs, self.ours = [], []
        self.verdict = verdict
        return verdict

    def more(self) -> int:
        """How many symbols to ask for next, by a guess at what is not explained yet."""
        have = len(self._left)
        if not have:
            return FIRST_SYMBOLS
        least = max(MORE_MIN_SYMBOLS, have // MORE_MIN_PART)
        counts = [(count + 128 & 255) - 128 for count in self._left.counts]
        seen = spread = 0.0
        for place, count in enumerate(counts[1:], 1):
            share = 2 / (2 + place)  # of the ids that are in this symbol
            seen += count * count - (share * counts[0]) ** 2
            spread += share - share * share
        guess = max(abs(counts[0]), seen / spread if spread else 0.0) + len(self._found)
        need = ceil(_SYMBOLS_PER_ID * guess) - have
        return min(max(least, need), 2 * have, SYMBOLS_MAX - have)

    def answer(self, session_key: bytes) -> tuple[bytes, list[int]]:
        """Digest of what both hold, and marks of what only they hold, for ``View.read``."""
        modulus = _modulus(session_key)
        marks = sorted(int.from_bytes(short, "little") % modulus for short in self.theirs)
        return self._view.common(session_key, self.ours), marks


def first_symbols(apart: int) -> int:
    """How many to send unasked, when the two sets are this far apart in count."""
    return min(max(FIRST_SYMBOLS, ceil(_SYMBOLS_PER_ID * apart)), SYMBOLS_MAX)


def _split(salt: bytes, short: int) -> tuple[int, int]:
    """Check of a short id, and the odd seed of where it goes."""
    data = H(b"mc1 riblt place", short.to_bytes(SHORT_BYTES, "little"), 11, key=salt)
    return int.from_bytes(data[:3], "little"), int.from_bytes(data[3:], "little") | 1


def _places(seed: int, place: int, stop: int) -> tuple[list[int], int, int]:
    """Symbols before ``stop`` that an id goes to, from ``place`` on; then how to go on.

    An id is in symbol j with probability 1 / (1 + j / 2): the paper's formula for the gap.
    """
    found = []
    while place < stop:
        found.append(place)
        seed = seed * _STEP & _MASK  # odd, so never 0
        place += int((place + 1.5) * (_ROOT / sqrt(seed) - 1.0)) + 1
    return found, seed, place


def _expand(eid: bytes) -> int:
    return int.from_bytes(shake_256(b"mc1 riblt set" + eid).digest(_SUM_BYTES), "little")


def _digest(total: int, size: int, session_key: bytes) -> bytes:
    data = total.to_bytes(_SUM_BYTES, "little") + (size & _MASK).to_bytes(8, "little")
    return H(b"mc1 riblt digest", data, COMMON_BYTES, key=session_key)


def _modulus(session_key: bytes) -> int:
    """Marks are short ids modulo this: nobody can choose ids of equal marks ahead."""
    data = H(b"mc1 riblt mark", b"", 4, key=session_key)
    return int.from_bytes(data, "little") % _MARK_SPACE + _MARK_SPACE
