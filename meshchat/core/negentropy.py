"""Negentropy protocol v1: two sides find out where their sets differ, in few round trips. Pure.

Range-based set reconciliation as specified by Doug Hoyte; answers are byte for byte those of
the reference implementation, but for one case (see ``_answer``). An item is a timestamp (u64)
and an id of 32 bytes. One side, the initiator, learns both differences; the other only answers
and keeps nothing between messages. Whatever is malformed raises ``WireError``; work is linear
in the message and in our own set, and both are bounded.

``Vector`` and ``Negentropy`` are the protocol as it is; ``Reconciliation`` speaks it about
envelopes.
"""

import hashlib
from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate

from meshchat.core.wire import ID_BYTES as ENVELOPE_ID_BYTES
from meshchat.errors import QuotaError, WireError

VERSION = 0x61  # protocol version 1
VERSIONS = range(0x60, 0x70)  # bytes that are a version at all, of any protocol to come
ID_BYTES = 32
TIMESTAMP_MAX = 2**64 - 2  # one more stands for infinity
FINGERPRINT_BYTES = 16
BUCKETS = 16  # a range that differs is cut into so many; the reference's choice
LIST_MAX = 2 * BUCKETS - 1  # ids in a range that is told whole instead; the reference's choice
FRAME_MIN_BYTES = 4_096  # below it one cut range might not fit
FRAME_SPARE_BYTES = 200  # of a frame, for what has to stand after the last id
MESSAGE_MAX_BYTES = 8 * 1024 * 1024  # read at once: a list of 262,000 ids
RANGES_MAX = 65_536  # of one message: half a second of work; two sets of 100,000 need fewer
ROUNDS_MAX = 4_096  # answers to one neighbour: 500,000 ids in the smallest frames
NEEDS_MAX = 524_288  # ids one neighbour can name to us: more than its default store holds

_SKIP, _FINGERPRINT, _LIST = range(3)  # modes of a range
_TIME_BYTES = 8
_KEY_BYTES = _TIME_BYTES + ID_BYTES
_INFINITY = b"\xff" * _TIME_BYTES
_SUM_MASK = (1 << 8 * ID_BYTES) - 1
_VARINT_MAX_BYTES = 10  # of a u64
_PADDING = bytes(ID_BYTES - ENVELOPE_ID_BYTES)


class Vector:
    """Items in order. Filled with ``insert``, then sealed, then only read.

    An item is kept as one key of 40 bytes, big-endian timestamp before id, so that keys sort as
    items do. A bound is such a key, too, cut where only zeros follow or anywhere in the id.
    """

    def __init__(self, items: Iterable[tuple[int, bytes]] = ()) -> None:
        self._keys: list[bytes] = []
        self._sums: list[int] = []  # of the ids before each place, as little-endian numbers
        for timestamp, item_id in items:
            self.insert(timestamp, item_id)

    def insert(self, timestamp: int, item_id: bytes) -> None:
        """Raises ValueError if sealed, or on anything that is no item."""
        if self._sums:
            raise ValueError("sealed")
        if len(item_id) != ID_BYTES or not 0 <= timestamp <= TIMESTAMP_MAX:
            raise ValueError("an item is a timestamp below 2^64 - 1 and an id of 32 bytes")
        self._keys.append(timestamp.to_bytes(_TIME_BYTES, "big") + item_id)

    def seal(self) -> None:
        """Sort. Raises ValueError if an item is there twice, or if it was sealed before."""
        if self._sums:
            raise ValueError("sealed")
        keys = sorted(self._keys)
        if any(map(bytes.__eq__, keys, keys[1:])):
            raise ValueError("an item is there twice")
        self._keys = keys
        numbers = (int.from_bytes(key[_TIME_BYTES:], "little") for key in keys)
        self._sums = list(accumulate(numbers, initial=0))

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def sealed(self) -> bool:
        return bool(self._sums)  # even an empty vector has one sum then

    def place(self, bound: bytes, first: int = 0) -> int:
        """Of the first item at or above a bound, from ``first`` on."""
        return bisect_left(self._keys, bound, first)

    def key(self, place: int) -> bytes:
        return self._keys[place]

    def ids(self, first: int, end: int) -> list[bytes]:
        return [key[_TIME_BYTES:] for key in self._keys[first:end]]

    def fingerprint(self, first: int, end: int) -> bytes:
        """16 bytes of the items at ``first`` to ``end``; costs the same for one and for all."""
        total = (self._sums[end] - self._sums[first]) & _SUM_MASK
        data = total.to_bytes(ID_BYTES, "little") + _varint(end - first)
        return hashlib.sha256(data).digest()[:FINGERPRINT_BYTES]

    def between(self, place: int) -> bytes:
        """The shortest bound that parts an item from the one before it."""
        before, after = self._keys[place - 1], self._keys[place]
        if before[:_TIME_BYTES] != after[:_TIME_BYTES]:
            return after[:_TIME_BYTES]
        same = _TIME_BYTES
        while before[same] == after[same]:  # ends: no two keys are equal
            same += 1
        return after[: same + 1]


class Negentropy:
    """One end of one conversation over a sealed vector.

    Args:
        items: Sealed; not changed while the conversation lasts.
        frame_limit: No message of ours gets longer, in bytes: 0 for no limit, else at least
            4,096. With a limit, at either side, a difference may be found more than once.
    """

    def __init__(self, items: Vector, frame_limit: int = 0) -> None:
        if not items.sealed:
            raise ValueError("seal the vector first")
        if frame_limit and frame_limit < FRAME_MIN_BYTES:
            raise ValueError(f"a frame limit is 0 or at least {FRAME_MIN_BYTES}")
        self._items = items
        self._room = frame_limit - FRAME_SPARE_BYTES if frame_limit else 0
        self.initiator = False

    def initiate(self) -> bytes:
        """The first message; makes us the initiator."""
        if self.initiator:
            raise ValueError("initiated before")
        self.initiator = True
        out = _Writer()
        self._split(0, len(self._items), _INFINITY, out)
        return bytes(out.data)

    def reconcile(self, message: bytes) -> tuple[bytes | None, list[bytes], list[bytes]]:
        """Take a message of the other side.

        Returns:
            What to answer, the ids we have and it has not, the ids it has and we have not. The
            initiator's answer is None once all is known; the other side's lists are empty. A
            version that is not ours is answered with ours alone.

        Raises:
            WireError: It is no message, or speaks a version that we asked for nothing in.
        """
        if not message or len(message) > MESSAGE_MAX_BYTES:
            raise WireError("negentropy_length")
        if message[0] not in VERSIONS:
            raise WireError("negentropy_version")
        out = _Writer()
        if message[0] != VERSION:
            if self.initiator:
                raise WireError("negentropy_version")
            return bytes(out.data), [], []
        have: list[bytes] = []
        need: list[bytes] = []
        self._answer(_read(message), out, have, need)
        if self.initiator and len(out.data) == 1:
            return None, have, need
        return bytes(out.data), have, need

    def _answer(
        self, ranges: list["_Range"], out: "_Writer", have: list[bytes], need: list[bytes]
    ) -> None:
        items = self._items
        lower, before = 0, bytes(_TIME_BYTES)
        told = 0  # where the last range that is written down ends
        skipping = False  # what lies between there and ``lower`` needs no more words
        for bound, mode, theirs in ranges:
            upper = items.place(bound, lower)
            mark = len(out.data)
            if mode == _SKIP or (
                mode == _FINGERPRINT and theirs == items.fingerprint(lower, upper)
            ):
                skipping = True
            elif mode == _LIST and self.initiator:
                skipping = True
                _compare(items.ids(lower, upper), theirs, have, need)
            else:
                if skipping:
                    out.range(before, _SKIP)
                    skipping = False
                if mode == _LIST:
                    upper = self._list(lower, upper, bound, mark, out)
                    told = upper
                else:
                    self._split(lower, upper, bound, out)
                if self._full(len(out.data)):
                    if mode == _FINGERPRINT:
                        # Taken back: the other side answers what follows as one range from the
                        # last bound written. The reference leaves what was taken back out of
                        # its fingerprint, so that it fits for nobody and the range is cut; but
                        # it does fit for who has nothing there, and our items were lost.
                        del out.data[mark:]
                        if theirs != items.fingerprint(0, 0):
                            told = upper
                    out.range(_INFINITY, _FINGERPRINT, items.fingerprint(told, len(items)))
                    return
                told = upper
            lower, before = upper, bound

    def _full(self, size: int) -> bool:
        return 0 < self._room < size

    def _split(self, lower: int, upper: int, bound: bytes, out: "_Writer") -> None:
        """Tell our items up to ``bound``: few by their ids, many by fingerprints of parts."""
        count = upper - lower
        if count <= LIST_MAX:
            out.list(bound, self._items.ids(lower, upper))
            return
        size, longer = divmod(count, BUCKETS)
        for bucket in range(BUCKETS):
            end = lower + size + (bucket < longer)
            parted = bound if end == upper else self._items.between(end)
            out.range(parted, _FINGERPRINT, self._items.fingerprint(lower, end))
            lower = end

    def _list(self, lower: int, upper: int, bound: bytes, mark: int, out: "_Writer") -> int:
        """Tell the ids up to ``bound``, or as many as fit; returns where they end."""
        if self._room:
            fitting = (self._room - mark) // ID_BYTES + 1  # the last may reach into the spare
            if fitting < upper - lower:
                upper = lower + fitting
                bound = self._items.key(upper)
        out.list(bound, self._items.ids(lower, upper))
        return upper


class Reconciliation:
    """What two neighbours hold, compared by negentropy: for a link whose other side asks for it.

    An envelope becomes an item by what any carrier may know of it: its timestamp is the hour it
    expires in, its id is the envelope's, followed by 16 zero bytes. One side calls ``initiate``;
    both give every message that comes to ``answer`` and send what it returns, until the
    initiator's is None. Then, and only there, ``have`` and ``need`` are the whole difference.

    Args:
        items: ``(exp_h, id)`` of each envelope that may be told of; ids have 16 bytes.
        frame_limit: As in ``Negentropy``.

    Raises:
        ValueError: Ours are no such items, or one is there twice.
    """

    def __init__(self, items: Iterable[tuple[int, bytes]], frame_limit: int = 0) -> None:
        vector = Vector((exp_h, eid + _PADDING) for exp_h, eid in items)
        vector.seal()
        self._ours = vector
        self._ours_known: frozenset[bytes] = frozenset()
        self._talk = Negentropy(vector, frame_limit)
        self._rounds = 0
        self._have: dict[bytes, None] = {}  # without those found again: see Negentropy
        self._need: dict[bytes, None] = {}

    def initiate(self) -> bytes:
        """The message that opens the conversation."""
        message = self._talk.initiate()
        self._ours_known = frozenset(self._ours.ids(0, len(self._ours)))
        return message

    def answer(self, message: bytes) -> bytes | None:
        """The next message, or None: all is known (initiator only).

        Raises:
            WireError: Malformed, or an id that is no envelope's.
            QuotaError: It goes on longer, or names more, than two honest sides ever need.
        """
        self._rounds += 1
        if self._rounds > ROUNDS_MAX:
            raise QuotaError("negentropy_rounds")
        reply, have, need = self._talk.reconcile(message)
        if any(not item_id.endswith(_PADDING) for item_id in need):
            raise WireError("negentropy_padding")
        self._have.update(dict.fromkeys(have))
        self._need.update(dict.fromkeys(need))
        if len(self._need) > NEEDS_MAX:
            raise QuotaError("negentropy_needs")
        return reply

    @property
    def have(self) -> list[bytes]:
        """Ids we hold and the other side does not, as far as known."""
        return [item_id[:ENVELOPE_ID_BYTES] for item_id in self._have]

    @property
    def need(self) -> list[bytes]:
        """Ids the other side holds and we do not, as far as known."""
        known = self._ours_known  # a liar can name ours in a range they are not in
        return [item_id[:ENVELOPE_ID_BYTES] for item_id in self._need if item_id not in known]


_Range = tuple[bytes, int, bytes]
"""Upper bound as a key, mode, and the payload: nothing, a fingerprint, or ids end to end."""


def _read(message: bytes) -> list[_Range]:
    """All ranges of a message of our version; WireError unless every byte is in its place."""
    ranges: list[_Range] = []
    at = 1
    timestamp = 0
    lower = bytes(_TIME_BYTES)
    while at < len(message):
        if len(ranges) == RANGES_MAX:
            raise WireError("negentropy_ranges")
        offset, at = _read_varint(message, at)
        size, at = _read_varint(message, at)
        if size > ID_BYTES:
            raise WireError("negentropy_bound")
        if offset:
            timestamp += offset - 1
            if timestamp > TIMESTAMP_MAX:
                raise WireError("negentropy_timestamp")
            prefix, at = _take(message, at, size)
            bound = timestamp.to_bytes(_TIME_BYTES, "big") + prefix
        else:
            if size:
                raise WireError("negentropy_bound")
            timestamp = TIMESTAMP_MAX + 1  # from here on only empty ranges can follow
            bound = _INFINITY
        if bound < lower and bound.ljust(_KEY_BYTES, b"\0") < lower.ljust(_KEY_BYTES, b"\0"):
            raise WireError("negentropy_order")
        lower = bound
        mode, at = _read_varint(message, at)
        if mode == _SKIP:
            size = 0
        elif mode == _FINGERPRINT:
            size = FINGERPRINT_BYTES
        elif mode == _LIST:
            count, at = _read_varint(message, at)
            size = count * ID_BYTES
        else:
            raise WireError("negentropy_mode")
        payload, at = _take(message, at, size)
        ranges.append((bound, mode, payload))
    return ranges


def _take(message: bytes, at: int, size: int) -> tuple[bytes, int]:
    end = at + size
    if end > len(message):
        raise WireError("negentropy_length")
    return message[at:end], end


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """A u64 in base 128, highest digit first, in its only form; and where it ends."""
    value = 0
    for place in range(at, min(at + _VARINT_MAX_BYTES, len(message))):
        byte = message[place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            if value > TIMESTAMP_MAX + 1:
                break
            return value, place + 1
        if value == 0:
            break
    raise WireError("negentropy_varint")


def _varint(value: int) -> bytes:
    digits = [value & 0x7F]
    while value := value >> 7:
        digits.append(value & 0x7F | 0x80)
    return bytes(reversed(digits))


def _compare(ours: list[bytes], theirs: bytes, have: list[bytes], need: list[bytes]) -> None:
    """Add both differences of one range to ``have`` and ``need``, in the order they stand."""
    told = dict.fromkeys(theirs[at : at + ID_BYTES] for at in range(0, len(theirs), ID_BYTES))
    have += [item_id for item_id in ours if item_id not in told]
    for item_id in ours:
        told.pop(item_id, None)
    need += told


class _Writer:
    """A message growing in ``data``."""

    def __init__(self) -> None:
        self.data = bytearray((VERSION,))
        self._timestamp = 0

    def range(self, bound: bytes, mode: int, payload: bytes = b"") -> None:
        """One range up to ``bound``, a key not below the one before."""
        if bound == _INFINITY:
            self.data += b"\0\0"
        else:
            timestamp = int.from_bytes(bound[:_TIME_BYTES], "big")
            self.data += _varint(timestamp - self._timestamp + 1)
            self._timestamp = timestamp
            self.data.append(len(bound) - _TIME_BYTES)
            self.data += bound[_TIME_BYTES:]
        self.data.append(mode)
        self.data += payload

    def list(self, bound: bytes, ids: list[bytes]) -> None:
        self.range(bound, _LIST, _varint(len(ids)) + b"".join(ids))
