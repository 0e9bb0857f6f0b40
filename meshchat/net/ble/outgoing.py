"""Frames on their way out: a window of chunks in flight, and what of it has to go again. Pure.

Late is not lost: a system may hold seconds of chunks in its queue, and a radio may pause. So a
chunk that is missing is sent again only if a later one or a later frame came first, or if it
left before a POLL and is missing in the ACK that answers that one.
"""

from collections import Counter, deque

from msgspec import Struct, field

from meshchat.net.ble.fragments import DATA, INDEX_MAX, LAST, NOW, NUMBERS, RANGE
from meshchat.net.ble.limits import (
    GAP_S,
    HEADER_BYTES,
    POLL_MAX_S,
    POLL_S,
    POLLS_MAX,
    STALL_S,
    WINDOW_BYTES,
    WINDOW_FRAMES,
)


class _Out(Struct):
    """A frame that has begun to leave."""

    number: int
    frame: bytes
    chunk: int
    """Bytes of each of its chunks but the last."""
    count: int
    left: list[tuple[float, int]] = field(default_factory=list)
    """Of each chunk that has left: when, and the last POLL before it."""
    again: set[int] = field(default_factory=set)
    """Chunks that have left more than once."""

    @property
    def sent(self) -> int:
        """Chunks that have left."""
        return len(self.left)


class Outgoing:
    """One link's frames for the peer."""

    def __init__(self, dropped: Counter[str], now: float) -> None:
        """``dropped`` counts what is ignored, by reason."""
        self.repeated = 0
        """Chunks that were sent again."""
        self.asks = False
        """A POLL has to leave."""
        self.waiting_bytes = 0
        self._dropped = dropped
        self._waiting: deque[bytes] = deque()
        self._flight: dict[int, _Out] = {}
        self._flight_bytes = 0
        self._next = 0  # number of the next frame that begins to leave
        self._repairs: dict[tuple[int, int], None] = {}
        self._asked = self._answered = 0  # POLLs, counted: the last one, and the last one answered
        self._unanswered = 0  # in a row, by the clock
        self._poll_at: float | None = None
        self._progress_at = now
        self._reached = 0  # chunks that the peer has of the first frame in flight

    @property
    def backlog(self) -> int:
        """Bytes of frames that wait or are not acknowledged."""
        return self.waiting_bytes + self._flight_bytes

    def push(self, frame: bytes, now: float) -> None:
        """One more frame."""
        if not self._flight and not self._waiting:
            self._progress_at = now
        self._waiting.append(frame)
        self.waiting_bytes += len(frame)

    def fits(self, size: int) -> bool:
        """Whether a frame of this size could begin to leave, if none waited."""
        return not self._flight or (
            len(self._flight) < WINDOW_FRAMES and self._flight_bytes + size <= WINDOW_BYTES
        )

    @property
    def writable(self) -> bool:
        """Nothing waits for the window to open."""
        return not self._waiting

    def clear(self) -> None:
        """The link is over."""
        self.asks = False
        self._repairs.clear()
        self._waiting.clear()
        self._flight.clear()
        self.waiting_bytes = self._flight_bytes = 0
        self._poll_at = None

    # --- leaving -----------------------------------------------------------------------------

    def has_next(self) -> bool:
        """Whether a chunk may leave now."""
        if self._repairs or self._leaving() is not None:
            return True
        return bool(self._waiting) and self.fits(len(self._waiting[0]))

    def take(self, room: int, now: float) -> tuple[int, int, int, bytes]:
        """The chunk that leaves now, of at most ``room`` bytes with its head; there is one.

        Returns:
            Flags, number, index, and the chunk itself.
        """
        flags = DATA
        if self._repairs:
            number, index = next(iter(self._repairs))
            del self._repairs[number, index]
            out = self._flight[number]
            out.left[index] = now, self._asked
            out.again.add(index)
            self.repeated += 1
            self.asks |= not self._repairs
        else:
            out = self._leaving() or self._begin(room - HEADER_BYTES)
            index = out.sent
            out.left.append((now, self._asked))
            shut = bool(self._waiting) and not self.fits(len(self._waiting[0]))
            if shut and out.sent == out.count:
                flags |= NOW
        self._poll_at = now + POLL_S
        if index == out.count - 1:
            flags |= LAST
        return flags, out.number, index, out.frame[index * out.chunk : (index + 1) * out.chunk]

    def poll(self) -> tuple[int, int]:
        """Number and index of a POLL that leaves now."""
        self.asks = False
        self._asked += 1
        last = self._leaving()
        return self._next if last is None else last.number, self._asked % (INDEX_MAX + 1)

    def _leaving(self) -> _Out | None:
        """The frame that has left in part."""
        out = self._flight.get((self._next - 1) % NUMBERS)
        return out if out is not None and out.sent < out.count else None

    def _begin(self, chunk: int) -> _Out:
        frame = self._waiting.popleft()
        self.waiting_bytes -= len(frame)
        out = _Out(self._next, frame, chunk, -(-len(frame) // chunk))
        self._flight[out.number] = out
        self._flight_bytes += len(frame)
        self._next = (self._next + 1) % NUMBERS
        return out

    # --- time --------------------------------------------------------------------------------

    def due(self) -> list[float]:
        """When ``wake`` has to be called."""
        return [] if self._poll_at is None else [self._poll_at, self._progress_at + STALL_S]

    def wake(self, now: float) -> str:
        """Ask if it is time; returns why the link has to end, or nothing."""
        if self._flight and now >= self._progress_at + STALL_S:
            return "stalled"
        if self._poll_at is not None and now >= self._poll_at and not self._repairs:
            if self._unanswered >= POLLS_MAX:
                return "unacknowledged"
            self._unanswered += 1
            self._poll_at = now + min(POLL_MAX_S, POLL_S * 2.0**self._unanswered)
            self.asks = True
        return ""

    # --- what comes back ---------------------------------------------------------------------

    def acked(self, number: int, index: int, body: bytes, now: float) -> bool:
        """An ACK; False if it made no sense."""
        first = next(iter(self._flight), self._next)
        done = (number - first) % NUMBERS
        numbers = list(self._flight)[:done]
        whole = all(self._flight[n].sent == self._flight[n].count for n in numbers)
        if len(numbers) != done or not whole or len(body) % RANGE.size:
            self._dropped["ack"] += 1  # an old one that was overtaken, or a lie
            return False
        self._unanswered = 0
        answered = self._asked - (self._asked - index) % (INDEX_MAX + 1)
        self._answered = max(self._answered, answered)
        if numbers:
            for n in numbers:
                self._flight_bytes -= len(self._flight.pop(n).frame)
            gone = set(numbers)
            self._repairs = {key: None for key in self._repairs if key[0] not in gone}
            self._progress_at, self._reached = now, 0
        for n, first_missing, last_missing in RANGE.iter_unpack(body):
            if (out := self._flight.get(n)) is None:
                continue
            reached = min(first_missing, out.sent)
            if n == number and reached > self._reached:
                self._progress_at, self._reached = now, reached
            self._missing(out, first_missing, last_missing, now)
        if not self._flight:
            self._poll_at = None
        elif self._asked == self._answered:  # a POLL that was lost is not put off by other ACKs
            self._poll_at = now + POLL_S
        return True

    def _missing(self, out: _Out, first: int, last: int, now: float) -> None:
        """The peer has not got these chunks."""
        late = False
        for index in range(first, min(last + 1, out.sent)):
            left_at, asked = out.left[index]
            if now < left_at + GAP_S:
                continue
            overtaken = last < INDEX_MAX and index not in out.again
            if overtaken or asked < self._answered:
                self._repairs[out.number, index] = None
            else:
                late = True
        if late and self._asked == self._answered:
            self.asks = True
