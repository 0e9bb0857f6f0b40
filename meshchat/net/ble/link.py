"""One Bluetooth link of the transport: a pipe, its framer, and the task between them."""

import asyncio

from meshchat.net.ble.framing import Framer
from meshchat.net.ble.radio import Pipe, PipeLost

DRAIN_S = 2.0  # for the last frames of a link that ends: its acknowledgement takes half a second
MAIL_OVER_BYTES = 256  # frames of the smallest size say who and what, they bring nothing
BATCH_FRAGMENTS = 32  # taken from the framer at once: acknowledgements go before the next ones


class BleLink:
    """Moves fragments while it lives. All calls on the loop; ``run`` is its one task."""

    def __init__(self, number: int, pipe: Pipe, framer: Framer) -> None:
        self.number = number
        self.pipe = pipe
        self.framer = framer
        self.told = False
        """The core knows of it."""
        self.mail = 0
        """Bytes of mail since they were last asked for."""
        self._loop = asyncio.get_running_loop()
        self._work = asyncio.Event()
        self._due: float | None = None
        self._leaving = False
        self._lost = ""
        self._limit: asyncio.Timeout | None = None
        self._timer: asyncio.TimerHandle | None = None

    def received(self, packet: bytes) -> list[bytes]:
        """Take what came; returns whole frames, in order."""
        framer = self.framer
        frames = framer.received(packet, self._loop.time())
        self.mail += sum(len(frame) for frame in frames if len(frame) > MAIL_OVER_BYTES)
        due = framer.next_wakeup()
        if framer.over or (due is not None and (self._due is None or due < self._due)):
            self._work.set()
        elif framer.backlog:
            self._work.set()  # an acknowledgement may have opened the window
        return frames

    def send(self, frames: tuple[bytes, ...]) -> None:
        """Queue frames."""
        now = self._loop.time()
        for frame in frames:
            self.framer.send(frame, now)
        self._work.set()

    def leave(self, *, turned_away: bool = False) -> None:
        """Let ``run`` end once what was sent has arrived, at most two seconds from now."""
        self._leaving = True
        if turned_away or not self.pipe.hangs_up:
            self.framer.bye(turned_away=turned_away)
        self._work.set()

    def lost(self, reason: str) -> None:
        """The pipe is gone."""
        self._lost = reason
        self._work.set()
        if self._limit is not None:  # a system may keep us waiting for a queue that is no more
            self._limit.reschedule(self._loop.time())

    async def run(self) -> str:
        """Carry fragments until the link is over; returns why."""
        try:
            async with asyncio.timeout(None) as self._limit:
                return await self._carry(self._limit)
        except PipeLost as error:
            return self.framer.over or error.reason
        except TimeoutError:
            return self._lost or "done"
        finally:
            self._limit = None
            if self._timer is not None:
                self._timer.cancel()

    async def _carry(self, limit: asyncio.Timeout) -> str:
        framer, pipe, loop = self.framer, self.pipe, self._loop
        while True:
            self._work.clear()
            if self._leaving and limit.when() is None:
                limit.reschedule(loop.time() + DRAIN_S)
            if self._lost:
                return self._lost
            framer.room = pipe.payload
            values = framer.to_send(loop.time(), BATCH_FRAGMENTS)
            if values:
                await pipe.send(values)
                continue
            if framer.over:
                return framer.over
            if self._leaving and not framer.backlog:
                return "done"
            self._due = framer.next_wakeup()
            if self._timer is not None:
                self._timer.cancel()
            if self._due is not None:
                self._timer = loop.call_at(self._due, self._work.set)
            await self._work.wait()
