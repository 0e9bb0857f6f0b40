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

Its halves are ``outgoing`` and ``incoming``; here are the greeting, the tag, and silence.

Frames of one link never overtake each other, because their Noise nonces are
counted. What is urgent goes first already when the core fills them: control
records before mail, mail before relayed mail, that before files, with a small
window of bytes in flight. Here only acknowledgements go before data.

Nothing is kept when a link ends: its frames are sealed with keys that end too.
The core resumes an envelope at the last whole frame of it that arrived.
"""

from collections import Counter, deque

from meshchat.net.ble.fragments import ACCEPT, ACK, BYE, DATA, KIND, OPEN, POLL, head, index_of
from meshchat.net.ble.incoming import Incoming
from meshchat.net.ble.limits import (
    FRAGMENT_MAX_BYTES,
    FRAGMENT_MIN_BYTES,
    FRAME_MAX_BYTES,
    HEADER_BYTES,
    OPEN_AGAIN_S,
    OPEN_S,
    PROBE_S,
    SILENT_S,
    TOKEN_BYTES,
    UNSENT_MAX_BYTES,
    VERSION,
    WINDOW_FRAMES,
)
from meshchat.net.ble.outgoing import Outgoing


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
        self.room = room
        self._out = Outgoing(self.dropped, now)
        self._in = Incoming(self.dropped, now)
        self._opened_at = now
        self._probed_at = now
        self._hello_at: float | None = now if outbound else None
        self._control: deque[bytes] = deque()

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
        return self._out.backlog

    @property
    def repeated(self) -> int:
        """Fragments that we sent again."""
        return self._out.repeated

    @property
    def writable(self) -> bool:
        """A frame given now begins to leave at once: the window is not shut."""
        return self.is_open and self._out.writable and self._out.fits(FRAME_MAX_BYTES)

    # --- out ---------------------------------------------------------------------------------

    def send(self, frame: bytes, now: float) -> None:
        """Queue one frame of 1 to 5,501 bytes; ignored once the link is over.

        A peer that does not take them ends the link: ``over`` is ``not_reading``.
        """
        if not 0 < len(frame) <= FRAME_MAX_BYTES:
            raise ValueError(f"a frame of {len(frame)} bytes")
        if self.over:
            return
        self._out.push(frame, now)
        if self._out.waiting_bytes > UNSENT_MAX_BYTES:
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
        while len(out) < count and self._has_next():
            out.append(self._take(now))
        return out

    def _has_next(self) -> bool:
        if self._control:
            return True
        return self.is_open and not self.over and (self._out.asks or self._out.has_next())

    def _take(self, now: float) -> bytes:
        """The next fragment; there is one."""
        if self._control:
            return self._control.popleft()
        if self._out.asks:
            return self._head(POLL, *self._out.poll())
        flags, number, index, chunk = self._out.take(self._room, now)
        return self._head(flags, number, index) + chunk

    def _head(self, flags: int, number: int, index: int) -> bytes:
        return head(self.tag, flags, number, index)

    # --- time --------------------------------------------------------------------------------

    def next_wakeup(self) -> float | None:
        """When ``to_send`` is due without anything else happening; None once over."""
        if self.over:
            return None
        if self._has_next():
            return self.heard_at  # at once
        if not self.is_open:
            end = self._opened_at + OPEN_S
            return end if self._hello_at is None else min(end, self._hello_at)
        due = [self.heard_at + SILENT_S, *self._out.due(), *self._in.due()]
        if self.outbound:
            due.append(max(self.heard_at, self._probed_at) + PROBE_S)
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
        if why := self._out.wake(now) or ("silent" if now >= self.heard_at + SILENT_S else ""):
            self._end(why)
            return
        if self.outbound and now >= max(self.heard_at, self._probed_at) + PROBE_S:
            self._probed_at = now
            self._out.asks = True
        if (ack := self._in.wake(now, self._room - HEADER_BYTES)) is not None:
            number, index, body = ack
            self._control.append(self._head(ACK, number, index) + body)

    def _end(self, why: str) -> None:
        """The link is over: forget everything."""
        self.over = why
        self._control.clear()
        self._out.clear()
        self._in.clear()

    # --- in ----------------------------------------------------------------------------------

    def received(self, fragment: bytes, now: float) -> list[bytes]:
        """Take one write or notification; returns the frames that are whole now, in order.

        Never raises: what makes no sense is dropped and counted.
        """
        if self.over:
            return []
        if not HEADER_BYTES <= len(fragment) <= FRAGMENT_MAX_BYTES:
            return self._drop("size")
        tag, flags, number, low = fragment[:HEADER_BYTES]
        kind, index = flags & KIND, index_of(flags, low)
        body = fragment[HEADER_BYTES:]
        if kind in (OPEN, ACCEPT):
            return self._greeting(kind, tag, body, now)
        if tag != self.tag or not tag:
            return self._drop("tag")
        if not self.is_open:
            return self._drop("not_open")
        frames: list[bytes] | None = []
        sound = True
        if kind == DATA:
            frames = self._in.chunk(number, index, flags, body, now)
            sound = frames is not None
        elif kind == ACK:
            sound = self._out.acked(number, index, body, now)
        elif kind == POLL and not body:
            sound = self._in.polled(number, index, now)
        elif kind == BYE and not body:
            self._end("turned_away" if index else "closed_by_peer")
        else:
            return self._drop("kind")
        if sound:
            self.heard_at = now
        return frames or []

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
        return []
