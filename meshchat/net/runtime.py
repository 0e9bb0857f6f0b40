"""The live driver: owns one Node, its store's transactions, its one timer and its transports.

Every step is the same: take all waiting events, open one transaction, let the
Node handle them, commit, carry out the effects in order, arm one timer. If a commit fails,
memory and disk disagree, so the Node is dropped and rebuilt from the store,
the path a crash takes too. Everything here belongs to the loop's thread.
"""

import asyncio
import logging
import signal
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from meshchat.core.events import (
    CloseLink,
    Command,
    Done,
    Effect,
    Event,
    LinkDown,
    LinkUp,
    NeighbourDown,
    NeighbourUp,
    NewFace,
    Notice,
    Received,
    Refused,
    SendFrames,
    Tell,
    Wake,
)
from meshchat.core.model import NodeStatus, Now
from meshchat.core.node import Node
from meshchat.errors import MeshchatError, StoreError
from meshchat.logfile import where
from meshchat.net.transport import Transport, TransportStatus
from meshchat.store import SqlStore
from meshchat.system import system_now

BATCH_MAX_EVENTS = 256  # one commit each: large enough to hide fsync, small enough to stay lively
BATCH_FIRST_COMMANDS = 32  # of our user: neighbours begin on these while the next are written;
# twice as many in the next batch while more wait, because each batch costs a flush of the disk
BATCH_MAX_COMMANDS = 128  # half of a batch: neighbours are heard too
GATHER_MAX_ROUNDS = 8  # of reading before a commit: half of what may be in flight on one link
RETRY_FIRST_S = 2.0  # after a failed commit; doubles, so a full disk costs no CPU
RETRY_MAX_S = 60.0
OVERWRITE_GAP_S = 0.05  # between two parts of destroyed files
TRUNCATE_AFTER_S = 30.0  # deleted keys stay readable in the WAL until it is truncated

log = logging.getLogger(__name__)

News = Tell | TransportStatus
"""What subscribers are told: the node's events, and a transport's status when it changes."""


class RuntimeStatus(Struct, frozen=True):
    """The node and what surrounds it."""

    node: NodeStatus
    transports: tuple[TransportStatus, ...]
    trouble: StoreError | None
    """Why nothing can be written at the moment, or None."""


class Runtime:
    """Runs one Node until ``stop``. Implements ``transport.Host``.

    Args:
        store: Open, and not used by anybody else for writing.
        build: Makes the Node from the store; called at the start and after a failed commit.
        transports: Ways to reach neighbours; none for a command that runs by itself.
        clock: Both clocks; tests may give their own.
    """

    def __init__(
        self,
        store: SqlStore,
        build: Callable[[Now], Node],
        transports: Sequence[Transport] = (),
        clock: Callable[[], Now] = system_now,
    ) -> None:
        self.store = store
        self.trouble: StoreError | None = None
        self.ready = asyncio.Event()
        """Set once every transport has told how it is: from then on links can come."""
        self._build = build
        self._clock = clock
        self._stale = False  # the node was dropped, and could not be built again yet
        with store.transaction():
            self.node = build(clock())
        self._transports = {transport.name: transport for transport in transports}
        self._silent = set(self._transports)  # transports that have not told yet
        self._links: dict[int, Transport] = {}
        self._last_link = 0
        self._neighbours: dict[int, str] = {}  # link -> transport, as subscribers were told
        self._events: deque[Event] = deque()
        self._commands: deque[Command] = deque()
        self._waiting: dict[int, tuple[Command, asyncio.Future[object]]] = {}  # by id(command)
        self._subscribers: list[Callable[[News], None]] = []
        self._burst = BATCH_FIRST_COMMANDS
        self._heard_first = False  # the last step left commands to the next
        self._busy_s = 0.0  # spent in steps so far
        self._work = asyncio.Event()
        self._stopping = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._truncation: asyncio.TimerHandle | None = None
        self._retry_s = RETRY_FIRST_S
        self._retry_at = 0.0

    # --- for the front ends ------------------------------------------------------------------

    async def command(self, command: Command) -> object:
        """Carry out a wish of our user; returns what the command's docstring promises.

        Raises:
            UsageError: It is impossible; the text says why.
            StoreError: It could not be stored; nothing changed.
        """
        own = replace(command)  # a fresh object, so that identity names this call
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._waiting[id(own)] = (own, future)
        self._queue(own)
        return await future

    def subscribe(self, callback: Callable[[News], None]) -> Callable[[], None]:
        """Call ``callback`` with every event from now on; returns what ends that.

        It is called between two steps and must neither block nor raise.
        """
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def status(self) -> RuntimeStatus:
        """A picture of this moment."""
        transports = tuple(transport.status() for transport in self._transports.values())
        return RuntimeStatus(self.node.status(self._clock()), transports, self.trouble)

    def now(self) -> Now:
        """Both clocks."""
        return self._clock()

    def stop(self) -> None:
        """Let ``run`` return soon. Loop thread only; may be called again."""
        self._stopping.set()

    def stop_on_signals(self) -> None:
        """SIGTERM, SIGINT and SIGHUP end ``run`` cleanly. Main thread, inside a running loop."""
        loop = asyncio.get_running_loop()
        if sys.platform == "win32":
            for name in (signal.SIGTERM, signal.SIGINT):
                signal.signal(name, lambda *_: loop.call_soon_threadsafe(self.stop))
        else:
            for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                loop.add_signal_handler(name, self.stop)

    async def run(self, *services: Callable[[], Awaitable[None]]) -> None:
        """Drive the node, its transports and ``services`` until ``stop``; then end its links.

        Raises:
            TransportError: What the user must mend first, such as a port in use.
            StoreError: The store is beyond use (not merely full).
        """
        asyncio.get_running_loop().set_exception_handler(_note)
        try:
            async with asyncio.TaskGroup() as group:
                if not self._transports:
                    self.ready.set()
                tasks = [group.create_task(t.run(self)) for t in self._transports.values()]
                tasks += [group.create_task(_finish(service)) for service in services]
                tasks.append(group.create_task(self._drive()))
                await self._stopping.wait()
                self._close_links("done")
                for task in tasks:
                    task.cancel()
        except BaseExceptionGroup as trouble:
            known = _first_known(trouble)
            if known is None:
                raise
            raise known from None
        finally:
            self._end()

    # --- transport.Host ----------------------------------------------------------------------

    def new_link(self) -> int:
        """A link number never used before."""
        self._last_link += 1
        return self._last_link

    def post(self, event: LinkUp | LinkDown | Received | NewFace) -> None:
        """Queue what a transport reports."""
        if isinstance(event, LinkUp):
            self._links[event.link] = self._transports[event.transport]
        self._queue(event)

    def changed(self, status: TransportStatus) -> None:
        """Pass a transport's new status on."""
        self._silent.discard(status.name)
        if not self._silent:
            self.ready.set()
        self._tell(status)

    # --- the loop ----------------------------------------------------------------------------

    async def _drive(self) -> None:
        self._arm()
        while True:
            await self._work.wait()
            await self._gather()
            self._work.clear()
            self._step()

    async def _gather(self) -> None:
        """Let every socket that is ready add to the same commit, for as long as more comes.

        A socket gives a few frames each time round; a disk takes as long for one as for many.
        """
        await asyncio.sleep(0)  # behind this the loop reads what came while a step was at work
        for _ in range(GATHER_MAX_ROUNDS):
            before = len(self._events)
            await asyncio.sleep(0)
            if not before < len(self._events) < BATCH_MAX_EVENTS:
                return

    def _queue(self, event: Event) -> None:
        if isinstance(event, Command):
            self._commands.append(event)
        else:
            self._events.append(event)
        self._work.set()

    def _step(self) -> None:
        now = replace(self._clock(), busy=self._busy_s)
        batch = self._take(now)
        effects: list[Effect] = []
        try:
            if self._stale:
                self._rebuild(now)
            with self.store.transaction():
                if self.trouble is not None:
                    self.store.put("write_probe", str(int(now.wall)).encode())
                commands = [event for event in batch if isinstance(event, Command)]
                if commands:  # they are the first of a batch
                    effects += self.node.obey(commands, now)
                for event in batch[len(commands) :]:
                    effects += self.node.handle(event, now)
        except StoreError as error:
            self._recover(batch, error, now)
        else:
            if self.trouble is not None:
                self.trouble, self._retry_s = None, RETRY_FIRST_S
                self._tell(Notice("store_writable"))
            self._perform(effects)
            self._truncate_later()
        self._busy_s += self._clock().mono - now.mono
        self._arm()
        if self._events or self._commands:
            self._work.set()

    def _take(self, now: Now) -> list[Event]:
        """The next batch; what a closed link still had to say is dropped here."""
        # What neighbours ask for costs little, and keeps them at work while much is written here.
        many = len(self._commands) > BATCH_FIRST_COMMANDS
        self._heard_first = many and bool(self._events) and not self._heard_first
        if self._heard_first:
            return self._take_events(BATCH_MAX_EVENTS, [], now)
        most = min(len(self._commands), self._burst)
        more = len(self._commands) > most
        self._burst = min(2 * self._burst, BATCH_MAX_COMMANDS) if more else BATCH_FIRST_COMMANDS
        batch: list[Event] = [self._commands.popleft() for _ in range(most)]
        return self._take_events(BATCH_MAX_EVENTS - most, batch, now)

    def _take_events(self, most: int, batch: list[Event], now: Now) -> list[Event]:
        came: dict[int, int] = {}  # where the frames of a link stand in it
        for _ in range(min(len(self._events), most)):
            event = self._events.popleft()
            if isinstance(event, LinkUp | Received) and event.link not in self._links:
                continue
            if isinstance(event, LinkDown) and self._links.pop(event.link, None) is None:
                continue
            if isinstance(event, Received):  # of one link in one step: judged and answered at once
                place = came.setdefault(event.link, len(batch))
                before = batch[place] if place < len(batch) else None
                if isinstance(before, Received):
                    batch[place] = Received(event.link, before.frames + event.frames)
                    continue
            else:
                came.clear()
            batch.append(event)
        due = self._due(self.node.next_wakeup())
        if due is not None and due <= now.mono:
            batch.append(Wake())
        return batch

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, SendFrames):
                if (transport := self._links.get(effect.link)) is not None:
                    transport.send(effect.link, effect.frames)
            elif isinstance(effect, CloseLink):
                if (transport := self._links.pop(effect.link, None)) is not None:
                    transport.close(effect.link, effect.reason, effect.kept)
            elif isinstance(effect, Done):
                self._answer(effect.command, effect.result)
            elif isinstance(effect, Refused):
                self._answer(effect.command, effect.error)
            else:
                self._tell(effect)

    def _answer(self, command: Command, result: object) -> None:
        _, future = self._waiting.pop(id(command), (None, None))
        if future is None or future.done():
            return
        if isinstance(result, MeshchatError):
            future.set_exception(result)
        else:
            future.set_result(result)

    def _tell(self, news: News) -> None:
        if isinstance(news, NeighbourUp):
            self._neighbours[news.neighbour.link] = news.neighbour.transport
        elif isinstance(news, NeighbourDown):
            self._neighbours.pop(news.link, None)
        for callback in tuple(self._subscribers):
            callback(news)

    def _recover(self, batch: Sequence[Event], error: StoreError, now: Now) -> None:
        """A commit failed: forget everything in memory and start again from the store."""
        log.warning("commit failed (%s); the node starts again from its store", error.reason)
        self._close_links("store")
        self._stale = True
        self._retry_at = now.mono + self._retry_s
        self._retry_s = min(2 * self._retry_s, RETRY_MAX_S)
        known, self.trouble = self.trouble, error
        for event in batch:
            if isinstance(event, Command):
                self._answer(event, error)
        if known is None or known.reason != error.reason:
            self._tell(Notice(error.reason, str(error)))
        with suppress(StoreError):  # then it is tried again with the next step
            self._rebuild(now)

    def _rebuild(self, now: Now) -> None:
        with self.store.transaction():
            self.node = self._build(now)
        self._stale = False

    def _close_links(self, reason: str) -> None:
        links, self._links = self._links, {}
        for link, transport in links.items():
            transport.close(link, reason)
        for link, name in tuple(self._neighbours.items()):
            self._tell(NeighbourDown(link, name, reason))

    # --- timers ------------------------------------------------------------------------------

    def _due(self, wanted: float | None) -> float | None:
        """When to step next; while nothing can be written, only as often as a retry is worth."""
        return wanted if self.trouble is None else self._retry_at

    def _arm(self) -> None:
        due = self._due(self.node.next_wakeup())
        if self._timer is not None:
            if self._timer.when() == due and not self._timer.cancelled():
                return
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._work.set()

    def _truncate_later(self) -> None:
        if self._truncation is None:
            loop = asyncio.get_running_loop()
            self._truncation = loop.call_later(TRUNCATE_AFTER_S, self._truncate)

    def _truncate(self, *, last: bool = False) -> None:
        self._truncation = None
        try:
            if not last and self.store.overwrite():  # our user may be writing
                loop = asyncio.get_running_loop()
                self._truncation = loop.call_later(OVERWRITE_GAP_S, self._truncate)
                return
            self.store.truncate_wal()
        except StoreError as error:  # the next step that writes will say so to the user
            log.warning("the write-ahead log could not be truncated (%s)", error.reason)

    def _end(self) -> None:
        for handle in (self._timer, self._truncation):
            if handle is not None:
                handle.cancel()
        self._timer = self._truncation = None
        self._truncate(last=True)
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(
                    StoreError("stopped", "The node is stopping; the command was not carried out.")
                )
        self._waiting.clear()


def _note(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A callback or forgotten task failed: to the log, without what the exception says."""
    error = context.get("exception")
    place = where(error) if isinstance(error, BaseException) else ""
    log.error("loop: %s %s", context.get("message"), place)


async def _finish(service: Callable[[], Awaitable[None]]) -> None:
    await service()


def _first_known(group: BaseExceptionGroup[BaseException]) -> MeshchatError | None:
    """The error made for people in a group of which every other part is its consequence."""
    for part in group.exceptions:
        found = _first_known(part) if isinstance(part, BaseExceptionGroup) else part
        if isinstance(found, MeshchatError):
            return found
    return None
