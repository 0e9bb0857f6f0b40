"""Frames of a link as numbered fragments, and back (wire.md 1.8). Pure.

A ``Framer`` stands between one Bluetooth link and the frames of the core: it cuts
frames to what one write or notification holds, puts them together again, asks for
what was lost, and never holds more than a window of either direction. It knows
neither radios nor clocks; its owner does this::

    framer = Framer.dialler(room, token, now) or Framer.dialled(room, token, tag, now)
    frames = framer.received(value, now)     # for each write or notification
    framer.send(frame, now)                  # for each frame of the core
    while values := framer.to_send(now):     # after either, and at next_wakeup()
        ... write or notify them, with the backpressure of the system ...

Frames of one link never overtake each other, because their Noise nonces are
counted. What is urgent goes first already when the core fills them: control
records before mail, mail before relayed mail, that before files, with a small
window of bytes in flight. Here only acknowledgements go before data.

Nothing is kept when a link ends: its frames are sealed with keys that end too.
The core resumes an envelope at the last whole frame of it that arrived.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from struct import Struct

from meshchat.net.ble.limits import (
    ACK_DELAY_S,
    ACK_EVERY_BYTES,
    ACK_EVERY_FRAMES,
    ACK_GAP_S,
    CHUNK_MIN_BYTES,
    FRAGMENT_MAX_BYTES,
    FRAGMENT_MIN_BYTES,
    FRAME_MAX_BYTES,
    GAP_S,
    HEADER_BYTES,
    OPEN_AGAIN_S,
    OPEN_S,
    POLL_MAX_S,
    POLL_S,
    POLLS_MAX,
    PROBE_S,
    QUIET_S,
    SILENT_S,
    STALL_S,
    TOKEN_BYTES,
    UNSENT_MAX_BYTES,
    VERSION,
    WINDOW_BYTES,
    WINDOW_FRAMES,
)

DATA, ACK, POLL, OPEN, ACCEPT, BYE = range(6)
LAST = 0x80  # of a frame
NOW = 0x40  # acknowledge at once
_KIND = 0x07
_HIGH = 0x38  # bits 8 to 10 of the index
_HIGH_SHIFT = 5
_INDEX_MAX = 2_047
_NUMBERS = 256
_RANGE = Struct("<BHH")  # number, first and last index that is missing


@dataclass(slots=True)
class _Out:
    """A frame that has begun to leave."""

    number: int
    frame: bytes
    chunk: int
    """Bytes of each of its chunks but the last."""
    count: int
    sent: int = 0
    """Chunks that have left."""
    repaired_at: float = 0.0

    def piece(self, index: int) -> bytes:
        return self.frame[index * self.chunk : (index + 1) * self.chunk]


@dataclass(slots=True)
class _In:
    """A frame that has begun to arrive."""

    chunks: dict[int, bytes] = field(default_factory=dict)
    count: int = 0
    """Chunks of it; 0: the last has not come yet."""
    top: int = -1
    """Highest index so far."""
    size: int = 0

    def gaps(self) -> list[tuple[int, int]]:
        """What is missing: ranges of indexes, both ends included."""
        found: list[tuple[int, int]] = []
        at = 0
        for index in sorted(self.chunks):
            if index > at:
                found.append((at, index - 1))
            at = index + 1
        if not self.count:
            found.append((at, _INDEX_MAX))
        return found


class Framer:
    """One link's fragments, both directions."""

    def __init__(self, room: int, token: bytes, now: float, *, outbound: bool, tag: int) -> None:
        """Use ``dialler`` or ``dialled``."""
        if len(token) != TOKEN_BYTES:
            raise ValueError("a token has 6 bytes")
        self.outbound = outbound
        self.is_open = False
        """Both sides have greeted: tell the core. Only then frames move."""
        self.token = token
        """Ours, as the peer was told."""
        self.peer_token = b""
        """The peer's; empty until open."""
        self.tag = tag
        """Of this link among all of the dialled side; 0 until a dialler knows it."""
        self.over = ""
        """Why this link has to end, as a stable code; empty while it is well."""
        self.heard_at = now
        """When the last sound fragment came."""
        self.dropped: Counter[str] = Counter()
        """Fragments that were ignored, by reason."""
        self.repeated = 0
        """Fragments that we sent again."""
        self.room = room
        self._opened_at = now
        self._control: deque[bytes] = deque()
        # out
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._flight: dict[int, _Out] = {}
        self._flight_bytes = 0
        self._next = 0  # number of the next frame that begins to leave
        self._repairs: dict[tuple[int, int], None] = {}
        self._polls = 0  # unanswered
        self._poll_at: float | None = None
        self._progress_at = now
        self._probed_at = now
        # in
        self._expected = 0  # number of the next frame for the core
        self._known = 0  # how many from there on the peer has begun to send
        self._open: dict[int, _In] = {}
        self._whole: dict[int, bytes] = {}
        self._held = 0  # bytes in both
        self._quiet_at = now  # a frame begun and not finished by then has lost something
        self._unacked_frames = self._unacked_bytes = 0
        self._ack_at: float | None = None
        self._acked_at = now - ACK_GAP_S
        self._hello_at: float | None = now if outbound else None

    @classmethod
    def dialler(cls, room: int, token: bytes, now: float) -> "Framer":
        """The side that connected; it greets first.

        Args:
            room: Bytes of one write, as the system says; cut to 489 here.
            token: Ours, 6 bytes.
            now: Monotonic seconds.
        """
        return cls(room, token, now, outbound=True, tag=0)

    @classmethod
    def dialled(cls, room: int, token: bytes, tag: int, now: float) -> "Framer":
        """The side that was connected to.

        Args:
            room: Bytes of one notification.
            token: Ours, 6 bytes.
            tag: 1 to 255, of no other link of ours: where the system notifies all subscribers,
                others drop what is not for them by it.
            now: Monotonic seconds.
        """
        if not 0 < tag < 256:
            raise ValueError("a tag is 1 to 255")
        return cls(room, token, now, outbound=False, tag=tag)

    @property
    def room(self) -> int:
        """Bytes of one fragment with its header; may change while the link lives."""
        return self._room

    @room.setter
    def room(self, room: int) -> None:
        self._room = max(FRAGMENT_MIN_BYTES, min(room, FRAGMENT_MAX_BYTES))

    @property
    def prologue(self) -> bytes:
        """What both sides bind the Noise handshake to, once open."""
        pair = (self.token, self.peer_token) if self.outbound else (self.peer_token, self.token)
        return b"meshchat/1\x02" + b"".join(pair)

    @property
    def backlog(self) -> int:
        """Bytes of frames that wait or are not acknowledged."""
        return self._waiting_bytes + self._flight_bytes

    @property
    def writable(self) -> bool:
        """A frame given now begins to leave at once: the window is not shut."""
        return self.is_open and not self._waiting and self._fits(FRAME_MAX_BYTES)

    # --- out ---------------------------------------------------------------------------------

    def send(self, frame: bytes, now: float) -> None:
        """Queue one frame of 1 to 4,096 bytes; ignored once the link is over.

        A peer that does not take them ends the link: ``over`` is ``not_reading``.
        """
        if not 0 < len(frame) <= FRAME_MAX_BYTES:
            raise ValueError(f"a frame of {len(frame)} bytes")
        if self.over:
            return
        if not self._flight and not self._waiting:
            self._progress_at = now
        self._waiting.append(frame)
        self._waiting_bytes += len(frame)
        if self._waiting_bytes > UNSENT_MAX_BYTES:
            self._end("not_reading")

    def bye(self, *, turned_away: bool = False) -> None:
        """Ask the peer to hang up: some systems cannot do it for us.

        Args:
            turned_away: There is no room here; it shall not dial again soon.
        """
        if not self.over:
            self._control.append(self._head(BYE, 0, int(turned_away)))

    def to_send(self, now: float, count: int = 8) -> list[bytes]:
        """Up to ``count`` fragments that leave now, in order; none: wait for ``next_wakeup``."""
        self.wake(now)
        out: list[bytes] = []
        while len(out) < count and (self._control or self._repairs or self._may_begin()):
            out.append(self._take(now))
        return out

    # --- time --------------------------------------------------------------------------------

    def next_wakeup(self) -> float | None:
        """When ``to_send`` is due without anything else happening; None once over."""
        if self.over:
            return None
        if self._control or self._repairs or self._may_begin():
            return self.heard_at  # at once
        if not self.is_open:
            end = self._opened_at + OPEN_S
            return end if self._hello_at is None else min(end, self._hello_at)
        due = [self.heard_at + SILENT_S]
        if self.outbound:
            due.append(max(self.heard_at, self._probed_at) + PROBE_S)
        if self._ack_at is not None:
            due.append(self._ack_at)
        if self._open:
            due.append(self._quiet_at)
        if self._poll_at is not None:
            due += [self._poll_at, self._progress_at + STALL_S]
        return min(due)

    def wake(self, now: float) -> None:
        """Queue what is due by now; ``to_send`` does it by itself."""
        if self.over:
            return
        if not self.is_open:
            if now >= self._opened_at + OPEN_S:
                self._end("no_greeting")
            elif self._hello_at is not None and now >= self._hello_at:
                self._hello_at = now + OPEN_AGAIN_S
                self._control.append(self._head(OPEN, 0, 0) + bytes((VERSION,)) + self.token)
            return
        if self._flight and now >= self._progress_at + STALL_S:
            self._end("stalled")
        elif now >= self.heard_at + SILENT_S:
            self._end("silent")
        elif self._poll_at is not None and now >= self._poll_at and not self._repairs:
            if self._polls >= POLLS_MAX:
                self._end("unacknowledged")
                return
            self._polls += 1
            self._poll_at = now + min(POLL_MAX_S, POLL_S * 2.0**self._polls)
            self._control.append(self._head(POLL, self._begun(), 0))
        elif self.outbound and now >= max(self.heard_at, self._probed_at) + PROBE_S:
            self._probed_at = now
            self._control.append(self._head(POLL, self._begun(), 0))
        if self._open and now >= self._quiet_at:  # it stopped in the middle of a frame
            self._quiet_at = now + POLL_S
            self._ack_by(now)
        if self._ack_at is not None and now >= self._ack_at and not self.over:
            self._acked_at = now
            self._control.append(self._ack())

    def _head(self, kind: int, number: int, index: int) -> bytes:
        return bytes((self.tag, kind | (index >> _HIGH_SHIFT) & _HIGH, number, index & 0xFF))

    def _begun(self) -> int:
        """Number of the first frame that has not left whole."""
        last = self._leaving()
        return self._next if last is None else last.number

    def _leaving(self) -> _Out | None:
        """The frame that has left in part."""
        out = self._flight.get((self._next - 1) % _NUMBERS)
        return out if out is not None and out.sent < out.count else None

    def _fits(self, size: int) -> bool:
        return not self._flight or (
            len(self._flight) < WINDOW_FRAMES and self._flight_bytes + size <= WINDOW_BYTES
        )

    def _may_begin(self) -> bool:
        if not self.is_open or self.over:
            return False
        if self._leaving() is not None:
            return True
        return bool(self._waiting) and self._fits(len(self._waiting[0]))

    def _take(self, now: float) -> bytes:
        """The next fragment; there is one."""
        if self._control:
            return self._control.popleft()
        if self._repairs:
            number, index = next(iter(self._repairs))
            del self._repairs[number, index]
            out = self._flight[number]
            self.repeated += 1
            out.repaired_at = now
            flags = 0 if self._repairs else NOW
            self._poll_at = now + POLL_S
            return self._chunk(out, index, flags)
        out = self._leaving() or self._begin()
        index = out.sent
        out.sent += 1
        out.repaired_at = now
        self._poll_at = now + POLL_S
        full = bool(self._waiting) and not self._fits(len(self._waiting[0]))
        return self._chunk(out, index, NOW if full and out.sent == out.count else 0)

    def _chunk(self, out: _Out, index: int, flags: int) -> bytes:
        if index == out.count - 1:
            flags |= LAST
        return self._head(DATA | flags, out.number, index) + out.piece(index)

    def _begin(self) -> _Out:
        frame = self._waiting.popleft()
        self._waiting_bytes -= len(frame)
        chunk = self._room - HEADER_BYTES
        out = _Out(self._next, frame, chunk, -(-len(frame) // chunk))
        self._flight[out.number] = out
        self._flight_bytes += len(frame)
        self._next = (self._next + 1) % _NUMBERS
        return out

    def _ack(self) -> bytes:
        """What came whole, and what of the rest is missing, as much as fits."""
        self._ack_at = None
        self._unacked_frames = self._unacked_bytes = 0
        body = bytearray()
        room = self._room - HEADER_BYTES
        for distance in range(self._known):
            number = (self._expected + distance) % _NUMBERS
            if number in self._whole:
                continue
            gaps = self._open[number].gaps() if number in self._open else [(0, _INDEX_MAX)]
            for first, last in gaps[: (room - len(body)) // _RANGE.size]:
                body += _RANGE.pack(number, first, last)
        return self._head(ACK, self._expected, 0) + body

    def _end(self, why: str) -> None:
        """The link is over: forget everything."""
        self.over = why
        self._control.clear()
        self._repairs.clear()
        self._waiting.clear()
        self._flight.clear()
        self._open.clear()
        self._whole.clear()
        self._waiting_bytes = self._flight_bytes = 0

    # --- in ----------------------------------------------------------------------------------

    def received(self, fragment: bytes, now: float) -> list[bytes]:
        """Take one write or notification; returns the frames that are whole now, in order.

        Never raises: what makes no sense is dropped and counted.
        """
        if self.over:
            return []
        if not HEADER_BYTES <= len(fragment) <= FRAGMENT_MAX_BYTES:
            return self._drop("size")
        tag, flags, number, index = fragment[:HEADER_BYTES]
        kind = flags & _KIND
        index |= (flags & _HIGH) << _HIGH_SHIFT
        body = fragment[HEADER_BYTES:]
        if kind in (OPEN, ACCEPT):
            return self._greeting(kind, tag, body, now)
        if tag != self.tag or not tag:
            return self._drop("tag")
        if not self.is_open:
            return self._drop("not_open")
        if kind == DATA:
            frames = self._data(number, index, flags, body, now)
        else:
            frames = []
            if kind == ACK:
                self._acked(number, body, now)
            elif kind == POLL and not body:
                self._polled(number, now)
            elif kind == BYE and not body:
                self._end("turned_away" if index else "closed_by_peer")
            else:
                return self._drop("kind")
        return frames

    def _drop(self, why: str) -> list[bytes]:
        self.dropped[why] += 1
        return []

    def _greeting(self, kind: int, tag: int, body: bytes, now: float) -> list[bytes]:
        if kind == OPEN and not self.outbound and len(body) == 1 + TOKEN_BYTES and not tag:
            token = body[1:]
            if body[0] != VERSION:
                self._end("version")
                return []
            if self.is_open and token != self.peer_token:
                return self._drop("greeting")
            if len(self._control) < WINDOW_FRAMES:  # a storm of OPEN is answered now and then
                self._control.append(
                    self._head(ACCEPT, 0, 0) + bytes((VERSION,)) + token + self.token
                )
        elif kind == ACCEPT and self.outbound and len(body) == 1 + 2 * TOKEN_BYTES and tag:
            if body[1 : 1 + TOKEN_BYTES] != self.token:
                return self._drop("tag")  # for another dialler, where all hear all
            if body[0] != VERSION:
                self._end("version")
                return []
            token = body[1 + TOKEN_BYTES :]
            if self.is_open:
                return []
            self.tag = tag
            self._hello_at = None
        else:
            return self._drop("greeting")
        self.heard_at = now
        if not self.is_open:
            self.is_open = True
            self.peer_token = token
            self._progress_at = now
        return []

    def _data(self, number: int, index: int, flags: int, body: bytes, now: float) -> list[bytes]:
        distance = (number - self._expected) % _NUMBERS
        if distance >= WINDOW_FRAMES:
            if distance < _NUMBERS // 2:
                return self._drop("window")
            self._ack_by(now if flags & NOW else now + ACK_DELAY_S)  # our ack was lost, perhaps
            return self._drop("repeated")
        if number in self._whole:
            if flags & NOW:
                self._ack_by(now)
            return self._drop("repeated")
        last = bool(flags & LAST)
        if not body or (not last and len(body) < CHUNK_MIN_BYTES):
            return self._drop("chunk")
        entry = self._open.get(number) or _In()
        if index in entry.chunks:
            if flags & NOW:
                self._ack_by(now)
            return self._drop("repeated")
        if (entry.count and (last or index >= entry.count)) or (last and index < entry.top):
            return self._drop("overlap")
        if entry.size + len(body) > FRAME_MAX_BYTES:
            return self._drop("over_cap")
        if self._held + len(body) > WINDOW_BYTES:
            return self._drop("window")
        self.heard_at = now
        self._quiet_at = now + QUIET_S
        self._open[number] = entry
        entry.chunks[index] = body
        entry.top = max(entry.top, index)
        entry.size += len(body)
        self._held += len(body)
        if last:
            entry.count = index + 1
        self._known = max(self._known, distance + 1)
        if len(entry.chunks) == entry.count:
            del self._open[number]
            self._whole[number] = b"".join(entry.chunks[i] for i in range(entry.count))
            self._unacked_frames += 1
            self._unacked_bytes += entry.size
            self._ack_by(now + ACK_DELAY_S)
        frames: list[bytes] = []
        while (frame := self._whole.pop(self._expected, None)) is not None:
            frames.append(frame)
            self._held -= len(frame)
            self._expected = (self._expected + 1) % _NUMBERS
            self._known -= 1
        if self._whole:  # something before it is missing, or was overtaken
            self._ack_by(now + GAP_S)
        if flags & NOW or (
            self._unacked_frames >= ACK_EVERY_FRAMES or self._unacked_bytes >= ACK_EVERY_BYTES
        ):
            self._ack_by(now)
        return frames

    def _ack_by(self, when: float) -> None:
        when = max(when, self._acked_at + ACK_GAP_S)
        if self._ack_at is None or when < self._ack_at:
            self._ack_at = when

    def _polled(self, number: int, now: float) -> None:
        distance = (number - self._expected) % _NUMBERS
        if distance > WINDOW_FRAMES and distance < _NUMBERS // 2:
            self._drop("window")
            return
        self.heard_at = now
        if distance <= WINDOW_FRAMES:
            self._known = max(self._known, distance)
        self._ack_by(now)

    def _acked(self, number: int, body: bytes, now: float) -> None:
        first = next(iter(self._flight), self._next)
        done = (number - first) % _NUMBERS
        numbers = list(self._flight)[:done]
        if len(numbers) != done or any(
            self._flight[n].sent < self._flight[n].count for n in numbers
        ):
            self._drop("ack")  # an old one that was overtaken, or a lie
            return
        if len(body) % _RANGE.size:
            self._drop("ack")
            return
        self.heard_at = now
        self._polls = 0
        for n in numbers:
            self._flight_bytes -= len(self._flight.pop(n).frame)
        if numbers:
            self._progress_at = now
            gone = set(numbers)
            self._repairs = {key: None for key in self._repairs if key[0] not in gone}
        for n, first_missing, last_missing in _RANGE.iter_unpack(body):
            self._lost(n, first_missing, last_missing, now)
        self._poll_at = now + POLL_S if self._flight else None

    def _lost(self, number: int, first: int, last: int, now: float) -> None:
        """The peer misses these chunks; those on their way still are left alone."""
        out = self._flight.get(number)
        if out is None or now < out.repaired_at + GAP_S:
            return
        for index in range(first, min(last + 1, out.sent)):
            self._repairs[number, index] = None
