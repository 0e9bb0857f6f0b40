"""Frames on a TCP stream: ``length u16 | frame``, length 1 to 16,640 (wire.md 1.1).

Knows neither peers nor links, so the benchmark and the transport share it.
"""

import asyncio
import socket
from contextlib import suppress

FRAME_MAX_BYTES = 16_640  # holds a 1 Mbit/s link for 0.13 s; 64 KiB would gain 29 % but hold 0.5 s
BUFFER_BYTES = 65_536  # four frames a system call; 24 links hold 1.5 MiB
UNSENT_MAX_BYTES = 4 * 1024 * 1024  # the core's credits stay far below: this peer does not read


class FrameProtocol(asyncio.BufferedProtocol):
    """Cuts what arrives into whole frames. Subclass it and fill in the four hooks."""

    greeting_bytes = 0
    """Bytes before the first frame, handed over as they are."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self._buffer = bytearray(BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._end = 0  # bytes in the buffer
        self._due = self.greeting_bytes  # greeting bytes not handed over yet
        self._why = "lost"
        self._over = False

    # --- hooks -------------------------------------------------------------------------------

    def opened(self) -> None:
        """The connection stands; ``transport`` is set."""

    def greeted(self, greeting: bytes) -> bool:
        """The greeting has come, whole. False ends the connection without a word."""
        raise NotImplementedError

    def received(self, frames: tuple[bytes, ...]) -> None:
        """All frames of one read, in order; at least one."""
        raise NotImplementedError

    def ended(self, reason: str) -> None:
        """The connection is gone, also after ``close``; called once."""

    # --- for the owner -----------------------------------------------------------------------

    def send(self, frames: tuple[bytes, ...]) -> None:
        """Queue frames of 1 to 16,640 bytes. A peer that never reads is cut off."""
        if self.transport is None or self._over:
            return
        parts: list[bytes] = []
        for frame in frames:
            if not 0 < len(frame) <= FRAME_MAX_BYTES:
                raise ValueError(f"a frame of {len(frame)} bytes")
            parts += (len(frame).to_bytes(2, "little"), frame)
        self.transport.write(b"".join(parts))
        if self.transport.get_write_buffer_size() > UNSENT_MAX_BYTES:
            self.abort("not_reading")

    def close(self) -> None:
        """End after what was sent has left. Nothing more is received."""
        self._over = True
        if self.transport is not None:
            self.transport.close()

    def abort(self, reason: str) -> None:
        """End now. ``reason`` goes to ``ended``."""
        if not self._over:
            self._over, self._why = True, reason
        if self.transport is not None:
            self.transport.abort()

    # --- asyncio -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        sock = transport.get_extra_info("socket")
        if sock is not None:
            with suppress(OSError):  # already gone again
                # asyncio does it for what it dialled, not for what a plain listener accepted
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.opened()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._over = True
        self.ended(self._why)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        # Never empty: what is left after a parse is shorter than one frame with its length.
        return self._view[self._end :]

    def buffer_updated(self, nbytes: int) -> None:
        if self._over:
            return
        view, at, end = self._view, 0, self._end + nbytes
        if self._due:
            if end < self._due:
                self._end = end
                return
            at, self._due = self._due, 0
            if not self.greeted(bytes(view[:at])):
                self.abort("refused")
            if self._over:
                return
        frames = []
        sound = True
        while end - at >= 2:
            size = view[at] | view[at + 1] << 8
            if not 0 < size <= FRAME_MAX_BYTES:
                sound = False
                break
            stop = at + 2 + size
            if stop > end:
                break
            frames.append(bytes(view[at + 2 : stop]))
            at = stop
        self._end = end - at
        if at and self._end:
            view[: self._end] = view[at:end]
        if frames:
            self.received(tuple(frames))
        if not sound:
            self.abort("protocol_error")
