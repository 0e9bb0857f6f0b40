"""Somebody in the simulated world: a real node on a store of its own, and what befalls it."""

import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

from meshchat.core.crypto import TAG_BYTES
from meshchat.core.events import (
    AddContact,
    CloseLink,
    Command,
    Done,
    Effect,
    Event,
    LinkDown,
    LinkUp,
    NeighbourDown,
    Received,
    Refused,
    Send,
    SendFrames,
    Wake,
)
from meshchat.core.limits import DAY_S, Limits
from meshchat.core.model import Held, Message, Now
from meshchat.core.node import Node
from meshchat.errors import StoreError, UsageError
from meshchat.sim import fast
from meshchat.sim.adapters import Adapter
from meshchat.sim.links import Way
from meshchat.sim.memory import MemoryStore
from meshchat.sim.shared_ids import SharedIds

if TYPE_CHECKING:
    from meshchat.sim.measure import FrameLoad
    from meshchat.sim.world import World

Conduct = Literal["honest", "selfish", "black_hole"]
"""``selfish``: has no room for anybody's mail. ``black_hole``: takes all of it and gives none."""

HOLE_RENEW_S = 3_600.0  # what a black hole took, it offers no longer
REBUILD_S = 5.0  # after a failed commit the runtime tries again no sooner
NEVER = float("inf")
_CODES = {LinkUp: 1, LinkDown: 2, Wake: 4}
_RECEIVED, _COMMAND = 3, 5
_ON_LINK = (LinkUp, Received)


class SeededEntropy:
    """Bytes that repeat with the seed. For simulated nodes only."""

    def __init__(self, *name: object) -> None:
        key = hashlib.blake2b("/".join(map(str, name)).encode(), digest_size=32).digest()
        self._keyed = hashlib.blake2b(key=key)
        self._count = 0
        self._ready = b""

    def bytes(self, n: int) -> bytes:
        """``n`` bytes."""
        short = n - len(self._ready)
        if short > 0:
            blocks = [self._ready]
            for _ in range(-(-short // self._keyed.digest_size)):
                self._count += 1
                block = self._keyed.copy()
                block.update(self._count.to_bytes(8, "little"))
                blocks.append(block.digest())
            self._ready = b"".join(blocks)
        out, self._ready = self._ready[:n], self._ready[n:]
        return out


class Hole(MemoryStore):
    """The store of a black hole: it takes custody and has nothing to give."""

    def offered(self, now_h: int) -> list[tuple[bytes, int]]:
        del now_h
        return []

    def envelope(self, eid: bytes) -> Held | None:
        del eid
        return None


class Person:
    """One simulated person; made by ``World.person``."""

    def __init__(
        self, world: "World", name: str, limits: Limits, receipts: bool, conduct: Conduct
    ) -> None:
        self.world = world
        self.number = len(world.people)
        self.name = name or f"p{self.number}"
        self.conduct = conduct
        self.origin = self.number.to_bytes(4, "little")
        self.awake = True
        """The device is on."""
        self.gone = False
        """Seized: it never comes back."""
        self.offset = 0.0
        """How wrong the wall clock of this device is, seconds."""
        self.ways: dict[Way, None] = {}
        """Ways that are open to this person."""
        self.links: dict[int, Way] = {}
        self.links_on: dict[str, int] = {}
        """How many links on each radio."""
        self.queue_for: dict[str, dict[Way, None]] = {}
        """Ways that wait for a place among the links of a radio."""
        self.sending: set[str] = set()
        """Shared radios that are on the air."""
        self.line: dict[str, dict[Way, None]] = {}
        """Ways that wait for the air of a shared radio."""
        self.knows: dict[int, None] = {}
        """Numbers of contacts."""
        self.told: Callable[[Effect], None] | None = None
        """Hears everything the node tells its user."""
        self._jammed: dict[str, int] = {}
        self._loads: dict[int, list[FrameLoad]] = {}
        self._link = 0
        self._alarm = NEVER
        self._busy = False  # in the middle of carrying out a step
        self._stale = False  # its store could not be written; to be built again
        if conduct == "selfish":
            limits = Limits(store_bytes=1, own_share=1e12)
        self._limits, self._receipts = limits, receipts
        self._entropy = SeededEntropy(world.seed, "node", self.number)
        self.store: MemoryStore = (Hole if conduct == "black_hole" else MemoryStore)(world.pool)
        self._ids = SharedIds(world.id_pool)
        with self.store.transaction():
            Node.create(self.store, self._entropy, self.clock, self.name)
        self.node = self._build()
        self.fp = self.node.fp
        self.adapters = {
            name: Adapter(self, name, radio.profile)
            for name, radio in world.radios.items()
            if radio.profile is not None
        }
        """Radios that run the policy of Bluetooth."""
        self._wake_later()
        self._switch_adapters()

    def _build(self) -> Node:
        self._ids.clear()
        with fast.mode(self.world.fast), self.store.transaction():
            return Node(
                self.store,
                self._entropy,
                self.clock,
                limits=self._limits,
                receipts=self._receipts,
                log=self._log,
                ids=self._ids,
                renew_s=HOLE_RENEW_S if isinstance(self.store, Hole) else DAY_S,
            )

    def _log(self, link: int, size: int, pieces: Sequence[bytes]) -> None:
        load = self.world.measure.load(size, pieces)
        self._loads.setdefault(link, []).append(load)

    @property
    def clock(self) -> Now:
        """Both clocks of this device."""
        world = self.world
        return Now(world.mono, world.start + world.now + self.offset)

    # --- one step -------------------------------------------------------------------------------

    def handle(self, event: Event) -> list[Effect]:
        """Give the node an event and carry out what it answers."""
        world = self.world
        if fast.active() is not world.fast:  # given from outside of ``World.run``
            with fast.mode(world.fast):
                return self.handle(event)
        if self._busy:
            raise UsageError(
                "busy", f"{self.name} is in the middle of a step: plan this with world.later."
            )
        if self._stale:
            raise StoreError("full", "The node waits until its store can be written again.")
        if isinstance(event, Received):
            world.note(self.number, _RECEIVED, event.link, event.frames[-1][-TAG_BYTES:])
        else:
            code = _CODES.get(type(event), _COMMAND)
            world.note(self.number, code, getattr(event, "link", 0), b"")
        try:
            with self.store:  # each is its own transaction
                effects = self.node.handle(event, self.clock)
        except StoreError:
            self._commit_failed()
            raise
        if effects:
            self._busy = True
            try:
                for effect in effects:
                    self._perform(effect)
            finally:
                self._busy = False
        self._wake_later()
        return effects

    def _perform(self, effect: Effect) -> None:
        if isinstance(effect, SendFrames):
            loads = self._loads.pop(effect.link, [])
            way = self.links.get(effect.link)
            if way is not None:
                way.send(self, effect.frames, loads)
        elif isinstance(effect, CloseLink):
            way = self.links.get(effect.link)
            if way is not None:
                if effect.kept and way.name in self.adapters:
                    self.adapters[way.name].spare(effect.link, effect.kept)
                way.ended_by(self, effect.reason)
        else:
            if isinstance(effect, NeighbourDown):
                for name, adapter in self.adapters.items():
                    if name != effect.transport:
                        adapter.other_down(effect.link)
            self.world.measure.told(self, effect)
            if self.told is not None:
                self.told(effect)

    def take_event(self, event: Event) -> None:
        """An event that nobody waits for an answer to; a failed commit is survived."""
        if self._busy:  # what it does now comes to its end first
            self.world.later(0.0, self.take_event, event)
        elif self.awake and not self._stale:
            if isinstance(event, _ON_LINK) and event.link not in self.links:
                return  # that link ended while the event waited
            try:
                self.handle(event)
            except StoreError:
                return  # it will be built again

    def _commit_failed(self) -> None:
        """As the runtime does: forget everything in memory and start again from the store."""
        self.world.measure.commits_failed += 1
        self._stop()
        self.world.later(REBUILD_S, self._start)

    def _stop(self) -> None:
        """The process is gone, and its links with it."""
        self._stale = True
        self._loads.clear()
        self._alarm = NEVER
        for way in list(self.ways):
            way.refresh(by=self)
        self._switch_adapters()

    def _switch_adapters(self) -> None:
        for adapter in self.adapters.values():
            adapter.switch(self.awake and not self._stale)

    def _start(self, _: object = None) -> None:
        """Build the node from its store; if that cannot be written, try again later."""
        if not self._stale or not self.awake:
            return
        old = self.node
        try:
            self.node = self._build()
        except StoreError:
            self.world.later(REBUILD_S, self._start)
            return
        # Its parts call each other in circles, and collecting those waits long in a large world:
        # thousands of dead nodes would stay in memory.
        vars(old).clear()
        self._stale = False
        self._wake_later()
        self._switch_adapters()
        for way in list(self.ways):
            way.refresh()

    def _wake_later(self) -> None:
        due = self.node.next_wakeup()
        if due is not None and due < self._alarm:
            self._alarm = due
            world = self.world
            world.later(max(0.0, due - world.mono), self._wake, due)

    def _wake(self, alarm: float) -> None:
        if alarm != self._alarm or not self.awake:
            return
        self._alarm = NEVER
        due = self.node.next_wakeup()
        if due is not None and due <= self.world.mono:
            self.take_event(Wake())
        if not self._stale and self._alarm == NEVER:  # else the step has set it
            self._wake_later()

    def do(self, command: Command) -> object:
        """Give a command; returns its result.

        Raises:
            UsageError: The node refuses it, or the device is off.
            StoreError: It could not be stored.
        """
        if not self.awake:
            raise UsageError("off", f"The device of {self.name} is off.")
        for effect in self.handle(command):
            if isinstance(effect, Refused):
                raise effect.error
            if isinstance(effect, Done):
                return effect.result
        raise AssertionError("a command was not answered")

    # --- what people do -------------------------------------------------------------------------

    def add(self, other: "Person") -> None:
        """Take another person's card."""
        self.do(AddContact(other.node.card_text(), petname=other.name))
        self.knows[other.number] = None

    def say(self, other: "Person", text: str) -> Message:
        """Write to a contact."""
        result = self.do(Send(b"c" + other.fp, text))
        assert isinstance(result, Message)
        return result

    def room(self, name: str) -> bytes:
        """Id of a room this person is in. Raises ``UsageError`` if there is none."""
        for room in self.store.rooms():
            if room.name == name:
                return room.rid
        raise UsageError("unknown_room", f"{self.name} is not in #{name}.")

    def texts(self, other: "Person") -> list[str]:
        """All texts of the chat with somebody, both ways, oldest first."""
        return [str(message.text) for message in self.store.messages(b"c" + other.fp, after=0)]

    def state(self, message: Message) -> str:
        """Where a message of ours is now: queued, carried, delivered, failed."""
        found = self.store.message(message.id)
        if found is None:
            raise UsageError("unknown_message", f"{self.name} has no such message.")
        return str(found.state)

    # --- what befalls them ----------------------------------------------------------------------

    def crash(self) -> None:
        """kill -9: every link breaks, the node is rebuilt from its store."""
        self._stop()
        self._start()

    def off(self) -> None:
        """Switch the device off."""
        if self.awake:
            self.awake = False
            self._stop()
            self.world.measure.switched(self, False)

    def on(self) -> None:
        """Switch it on again, unless it was seized."""
        if not self.awake and not self.gone:
            self.awake = True
            self.world.measure.switched(self, True)
            self._start()

    def seize(self) -> None:
        """Somebody takes the device away for good."""
        self.off()
        self.gone = True

    def disk_full(self, full: bool) -> None:
        """While True, nothing can be written."""
        self.store.full = full

    def clock_off(self, seconds: float) -> None:
        """Set the wall clock wrong by so much."""
        self.offset = seconds

    def jam(self, on: bool, way: str = "") -> None:
        """Somebody drowns out a radio (or all): its links break. Calls nest."""
        self._jammed[way] = self._jammed.get(way, 0) + (1 if on else -1)
        for each in list(self.ways):
            if way in ("", each.name):
                each.refresh()

    def reachable(self, way: str) -> bool:
        """Running, and not jammed on this radio."""
        running = self.awake and not self._stale
        return running and not self._jammed.get(way) and not self._jammed.get("")

    # --- for ways -------------------------------------------------------------------------------

    def take(self, way: Way) -> int:
        """A fresh link number for a new link over ``way``."""
        self._link += 1
        self.links[self._link] = way
        self.links_on[way.name] = self.links_on.get(way.name, 0) + 1
        return self._link

    def give_up(self, link: int, way: Way) -> bool:
        """The link is no more on this side. True if it was until now."""
        if self.links.get(link) is not way:
            return False
        del self.links[link]
        self._loads.pop(link, None)
        self.links_on[way.name] -= 1
        return True
