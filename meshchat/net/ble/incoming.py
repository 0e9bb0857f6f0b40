"""Frames on their way in: put together in any order within bounds, and acknowledged. Pure."""

from collections import Counter

from msgspec import Struct, field

from meshchat.net.ble.fragments import INDEX_MAX, LAST, NOW, NUMBERS, OVERTAKEN, RANGE
from meshchat.net.ble.limits import (
    ACK_DELAY_S,
    ACK_EVERY_BYTES,
    ACK_EVERY_FRAMES,
    ACK_GAP_S,
    CHUNK_MIN_BYTES,
    FRAME_MAX_BYTES,
    GAP_S,
    POLL_S,
    QUIET_S,
    WINDOW_BYTES,
    WINDOW_FRAMES,
)


class _In(Struct):
    """A frame that has begun to arrive."""

    chunks: dict[int, bytes] = field(default_factory=dict)
    count: int = 0
    """Chunks of it; 0: the last has not come yet."""
    top: int = -1
    """Highest index so far."""
    size: int = 0

    def gaps(self, end: int) -> list[tuple[int, int]]:
        """What is missing: ranges of indexes, both ends included; ``end`` where none is known."""
        found: list[tuple[int, int]] = []
        at = 0
        for index in sorted(self.chunks):
            if index > at:
                found.append((at, index - 1))
            at = index + 1
        if not self.count:
            found.append((at, end))
        return found


class Incoming:
    """One link's frames from the peer; what it can make us hold is a window."""

    def __init__(self, dropped: Counter[str], now: float) -> None:
        """``dropped`` counts what is ignored, by reason."""
        self._dropped = dropped
        self._expected = 0  # number of the next frame for the core
        self._known = 0  # how many from there on the peer has begun to send
        self._open: dict[int, _In] = {}
        self._whole: dict[int, bytes] = {}
        self._held = 0  # bytes in both
        self._quiet_at = now  # a frame begun and not finished by then may have lost something
        self._unacked_frames = self._unacked_bytes = 0
        self._ack_at: float | None = None
        self._acked_at = now - ACK_GAP_S
        self._poll = 0  # index of the peer's last POLL

    def clear(self) -> None:
        """The link is over."""
        self._open.clear()
        self._whole.clear()

    def _drop(self, why: str) -> list[bytes] | None:
        self._dropped[why] += 1
        return None

    # --- what comes --------------------------------------------------------------------------

    def chunk(
        self, number: int, index: int, flags: int, body: bytes, now: float
    ) -> list[bytes] | None:
        """A chunk came; returns the frames that are whole and in order now, None if it is
        dropped."""
        distance = (number - self._expected) % NUMBERS
        if distance >= WINDOW_FRAMES:
            if distance < NUMBERS // 2:
                return self._drop("window")
            self._ack_by(now if flags & NOW else now + ACK_DELAY_S)  # our ack was lost, perhaps
            return self._drop("repeated")
        entry = self._open.get(number) or _In()
        if number in self._whole or index in entry.chunks:
            if flags & NOW:
                self._ack_by(now)
            return self._drop("repeated")
        last = bool(flags & LAST)
        if not body or (not last and len(body) < CHUNK_MIN_BYTES):
            return self._drop("chunk")
        if (entry.count and (last or index >= entry.count)) or (last and index < entry.top):
            return self._drop("overlap")
        if entry.size + len(body) > FRAME_MAX_BYTES:
            return self._drop("over_cap")
        if self._held + len(body) > WINDOW_BYTES:
            return self._drop("window")
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
        frames = self._in_order()
        if self._whole:  # something before it is missing, or was overtaken
            self._ack_by(now + GAP_S)
        if flags & NOW or (
            self._unacked_frames >= ACK_EVERY_FRAMES or self._unacked_bytes >= ACK_EVERY_BYTES
        ):
            self._ack_by(now)
        return frames

    def _in_order(self) -> list[bytes]:
        frames: list[bytes] = []
        while (frame := self._whole.pop(self._expected, None)) is not None:
            frames.append(frame)
            self._held -= len(frame)
            self._expected = (self._expected + 1) % NUMBERS
            self._known -= 1
        return frames

    def polled(self, number: int, index: int, now: float) -> bool:
        """A POLL; False if it made no sense."""
        distance = (number - self._expected) % NUMBERS
        if WINDOW_FRAMES < distance < NUMBERS // 2:
            self._drop("window")
            return False
        if distance <= WINDOW_FRAMES:
            self._known = max(self._known, distance)
        self._poll = index
        self._ack_by(now)
        return True

    # --- acknowledging -----------------------------------------------------------------------

    def due(self) -> list[float]:
        """When ``wake`` has to be called."""
        due = [self._quiet_at] if self._open else []
        return due if self._ack_at is None else [*due, self._ack_at]

    def wake(self, now: float, room: int) -> tuple[int, int, bytes] | None:
        """The ACK that is due now, if any: number, index, and a body of at most ``room`` bytes."""
        if self._open and now >= self._quiet_at:  # it stopped in the middle of a frame
            self._quiet_at = now + POLL_S
            self._ack_by(now)
        if self._ack_at is None or now < self._ack_at:
            return None
        self._ack_at, self._acked_at = None, now
        self._unacked_frames = self._unacked_bytes = 0
        return self._expected, self._poll, self._missing(room)

    def _ack_by(self, when: float) -> None:
        when = max(when, self._acked_at + ACK_GAP_S)
        if self._ack_at is None or when < self._ack_at:
            self._ack_at = when

    def _missing(self, room: int) -> bytes:
        """What is missing of the frames that have begun, as much as fits."""
        body = bytearray()
        begun = ((number - self._expected) % NUMBERS for number in (*self._open, *self._whole))
        top = max(begun, default=0)
        for distance in range(self._known):
            number = (self._expected + distance) % NUMBERS
            if number in self._whole:
                continue
            entry = self._open.get(number) or _In()
            gaps = entry.gaps(OVERTAKEN if distance < top else INDEX_MAX)
            for first, last in gaps[: (room - len(body)) // RANGE.size]:
                body += RANGE.pack(number, first, last)
        return bytes(body)
