"""Links of the simulated world: how two nodes find each other, connect, and share the air.

A ``Way`` says that two nodes can hear each other. While it is open they notice each other after a
delay, try to connect, and have a link: a queue of whole frames that leave one after the other, in
either direction, as Bluetooth and a wireless LAN do. What is on the air when a way closes is lost
in the middle of its frame.
"""

from collections import deque
from typing import TYPE_CHECKING

from msgspec import Struct

from meshchat.core.events import LinkDown, LinkUp, Received
from meshchat.core.link import FRAME_MIN_BYTES
from meshchat.net.ble.duty import Profile

if TYPE_CHECKING:
    from meshchat.sim.measure import FrameLoad
    from meshchat.sim.person import Person
    from meshchat.sim.world import World

RETRY_MAX_S = 120.0  # between two tries to connect that failed
DOUBLINGS_MAX = 16  # of that wait; more make no difference, and would overflow in the end
TRIES_MAX = 100  # of one radio packet: at 90 % loss one in 40,000 needs more
TOGETHER_MAX_BYTES = 1_024  # frames sent in one go arrive in one, as a socket gives them
PROLOGUE = b"meshchat/1\x03" + bytes(32)  # what the transport binds a link to


class Radio(Struct, frozen=True):
    """One kind of way, and what it costs to use it."""

    rate: float = 12_000.0
    """Bytes a second on one link, both directions together; 0: no limit."""
    latency_s: float = 0.0
    """From the last byte sent to the frame being there."""
    mtu: int = 16_640
    """Largest frame, bytes."""
    discovery_s: tuple[float, float] = (0.0, 0.0)
    """Two nodes in reach notice each other after so long, evenly between the two."""
    setup_s: float = 0.0
    """To connect."""
    failure: float = 0.0
    """Chance that an attempt to connect fails."""
    retry_s: float = 10.0
    """Until the next attempt; doubles with each failure, up to two minutes."""
    loss: float = 0.0
    """Chance that a radio packet is lost and has to be sent again."""
    packet: int = 244
    """Bytes of a radio packet."""
    links_max: int = 0
    """Links a node can have at once; 0: no limit."""
    shared: bool = False
    """A node has one radio of this kind, and its links share the air time."""
    supervised: bool = True
    """The link layer notices a lost neighbour itself; False: only silence tells, as with TCP."""
    idle_w: float = 0.0
    """Power while the device is on, watts above the device's own."""
    scan_w: float = 0.06
    """Power while listening for neighbours."""
    scan_duty: float = 0.1
    """Share of the time it listens for them."""
    send_w: float = 0.06
    receive_w: float = 0.06
    profile: Profile | None = None
    """The Bluetooth policy finds, dials and listens; then ``discovery_s``, ``retry_s``,
    ``links_max`` and ``scan_duty`` say nothing."""


class Burst(Struct, frozen=True):
    """Frames that leave together; none: the sender ends the link."""

    frames: tuple[bytes, ...]
    loads: "list[FrameLoad]"
    size: int
    forth: bool
    """From a to b."""


class Way:
    """Two nodes in reach of each other over one kind of radio, and their link, if there is one."""

    __slots__ = (
        "_chance",
        "_queue",
        "_radio",
        "_sending",
        "_since",
        "_turn",
        "_waits",
        "_why",
        "a",
        "b",
        "failures",
        "links",
        "name",
        "spare",
        "up",
        "usable",
        "world",
    )

    def __init__(self, world: "World", a: "Person", b: "Person", name: str) -> None:
        self.world, self.a, self.b, self.name = world, a, b, name
        self._radio = world.radios[name]
        self._chance = world.air_chance
        self.up = False
        """They are in reach, whether or not both are on."""
        self.usable = False
        """In reach, both awake, nobody jammed."""
        self.links: tuple[int, int] | None = None
        """Link numbers at a and b while connected."""
        self.failures = 0
        self.spare = False
        """They are linked over another radio; this way waits until that link ends."""
        self._since = 0.0  # when they connected
        self._turn = 0  # tells a connection, and a plan to connect, from earlier ones
        self._queue: deque[Burst] = deque()
        self._sending = False
        self._waits = False  # for the radio of either end
        self._why = ""  # the reason of the end that closes it

    # --- coming and going -----------------------------------------------------------------------

    def open(self) -> None:
        """They are in reach now."""
        self.up = True
        self.refresh()

    def close(self) -> None:
        """They are out of reach now."""
        self.up = False
        self.refresh()

    def other(self, end: "Person") -> "Person":
        """Who is at the other end."""
        return self.b if end is self.a else self.a

    def refresh(self, by: "Person | None" = None) -> None:
        """Something changed that decides whether they can talk; ``by`` is who went off."""
        usable = self.up and self.a.reachable(self.name) and self.b.reachable(self.name)
        if usable == self.usable:
            return
        self.usable = usable
        self.world.measure.in_reach(self.a.number, self.b.number, self.name, usable)
        if self._radio.profile is not None:
            for end in (self.a, self.b):
                end.adapters[self.name].in_reach(self, usable)
        if usable:
            self.failures = 0
            self.spare = False
            self.look()
        else:
            # A process that ends closes its links; a neighbour out of reach only falls silent.
            self.cut(noticed=self._radio.supervised or by is not None, by=by)

    def look(self, after: float = 0.0) -> None:
        """Plan to notice each other and connect, if that is possible at all."""
        if self.links is not None or not self.usable or self.spare or self._radio.profile:
            return
        self._turn += 1
        delay = after + self._chance.uniform(*self._radio.discovery_s) + self._radio.setup_s
        if delay > 0:
            self.world.later(delay, self._connect, self._turn)
        else:
            self._connect(self._turn)

    def _connect(self, turn: int) -> None:
        if turn != self._turn or self.links is not None or not self.usable or self.spare:
            return
        radio = self._radio
        if radio.failure and self._chance.happens(radio.failure):
            self.world.measure.failed += 1
            self._again()
            return
        if radio.links_max:
            for end in (self.a, self.b):
                if end.links_on.get(self.name, 0) >= radio.links_max:
                    end.queue_for.setdefault(self.name, {})[self] = None
                    return
        # So that nobody dials all or answers all.
        self.join(self.a if (self.a.number + self.b.number) % 2 else self.b)

    def join(self, dialler: "Person") -> None:
        """They are connected now."""
        radio = self._radio
        self._turn += 1
        answerer = self.other(dialler)
        numbers = {dialler: dialler.take(self), answerer: answerer.take(self)}
        self.links = numbers[self.a], numbers[self.b]
        self._since = self.world.now
        self.world.measure.link_up()
        turn = self._turn
        if radio.profile is not None:
            self._greet(dialler, answerer, numbers)
        for end, other in ((dialler, answerer), (answerer, dialler)):
            if turn == self._turn:  # else the first one did not want it
                up = LinkUp(
                    numbers[end],
                    self.name,
                    end is dialler,
                    radio.mtu,
                    PROLOGUE,
                    other.origin,
                    radio.supervised,
                )
                end.take_event(up)

    def _greet(self, dialler: "Person", answerer: "Person", numbers: "dict[Person, int]") -> None:
        """Tell the policies of both ends, one of which may end it at once."""
        turn = self._turn
        ends = (dialler, answerer)
        for end in ends:
            if turn == self._turn:
                end.adapters[self.name].linked(numbers[end], outbound=end is dialler)
        for end in ends:
            if turn == self._turn:
                other = self.other(end).adapters[self.name]
                end.adapters[self.name].greeted(numbers[end], other)

    def _again(self) -> None:
        wait = min(RETRY_MAX_S, self._radio.retry_s * 2.0**self.failures)
        self.failures = min(self.failures + 1, DOUBLINGS_MAX)
        self.look(wait)

    def ended_by(self, end: "Person", reason: str) -> None:
        """One end closes the link; what it sent before still arrives, then the other hears it."""
        if self.links is None:
            return
        self.spare |= reason == "duplicate"
        self._why = reason
        if self._queue or self._sending:
            link = self.links[0] if end is self.a else self.links[1]
            end.give_up(link, self)
            self._queue.append(Burst((), [], 0, end is self.a))
            return
        self.cut(noticed=True, by=end)

    def cut(self, noticed: bool, by: "Person | None" = None, why: str = "") -> None:
        """The link breaks; ``noticed`` by whoever did not end it, else found out by silence."""
        self._turn += 1
        if self.links is None:
            return
        ends = tuple(zip((self.a, self.b), self.links, strict=True))
        self.links = None
        self._queue.clear()
        if self._sending and self._radio.shared:
            self._release()
        self._sending = False
        held = [end.give_up(link, self) for end, link in ends]
        self.world.measure.link_down()
        for (end, link), had in zip(ends, held, strict=True):
            if noticed and had and end is not by:
                end.take_event(LinkDown(link))
            if self._radio.profile is not None:
                end.adapters[self.name].ended(link, why or self._why)
        self._why = ""
        if by is not None and self.usable:
            if self.world.now - self._since > RETRY_MAX_S:
                self.failures = 0  # that one was no quick refusal
            self._again()
        for other in self.world.beside(self):
            if other.spare:
                other.spare = False
                other.look()
        if self._radio.links_max:
            for end, _ in ends:
                for waiting in list(end.queue_for.pop(self.name, ())):
                    waiting.look()

    # --- frames ---------------------------------------------------------------------------------

    def send(self, sender: "Person", frames: tuple[bytes, ...], loads: "list[FrameLoad]") -> None:
        """Queue frames; they arrive in order, large ones one after the other."""
        forth = sender is self.a
        size = sum(map(len, frames))
        if size <= TOGETHER_MAX_BYTES:
            self._queue.append(Burst(frames, loads, size, forth))
        else:
            for frame, load in zip(frames, loads, strict=True):
                self._queue.append(Burst((frame,), [load], len(frame), forth))
        if not self._sending:
            self._start()

    def _start(self) -> None:
        radio = self._radio
        if radio.shared and (self.name in self.a.sending or self.name in self.b.sending):
            if not self._waits:
                self._waits = True
                self.a.line.setdefault(self.name, {})[self] = None
                self.b.line.setdefault(self.name, {})[self] = None
            return
        self._sending = True
        if radio.shared:
            self.a.sending.add(self.name)
            self.b.sending.add(self.name)
        air = self._air(self._queue[0].size)
        self.world.later(air, self._sent, self._turn)

    def _air(self, size: int) -> float:
        radio = self._radio
        if not radio.rate or not size:
            return 0.0
        if radio.loss:
            sent = 0
            for _ in range(-(-size // radio.packet)):
                tries = 1
                while tries < TRIES_MAX and self._chance.happens(radio.loss):
                    tries += 1
                sent += tries
            size = sent * radio.packet
        return size / radio.rate

    def _sent(self, turn: int) -> None:
        if turn != self._turn or self.links is None:
            return
        burst = self._queue.popleft()
        self._sending = False
        if self._radio.shared:
            self._release()
        if self._queue and not self._sending:
            self._start()
        if self._radio.latency_s:
            self.world.later(self._radio.latency_s, self._arrive, (turn, burst))
        else:
            self._arrive((turn, burst))

    def _arrive(self, what: "tuple[int, Burst]") -> None:
        turn, burst = what
        if turn != self._turn or self.links is None:
            return
        sender, receiver = (self.a, self.b) if burst.forth else (self.b, self.a)
        if not burst.frames:  # the sender has ended the link
            self.cut(noticed=True, by=sender)
            return
        for frame, load in zip(burst.frames, burst.loads, strict=True):
            self.world.measure.arrived(sender, receiver, self._radio, len(frame), load)
        link = self.links[1 if burst.forth else 0]
        if receiver.links.get(link) is self:
            if self._radio.profile is not None:
                sizes = [len(frame) for frame in burst.frames]
                receiver.adapters[self.name].arrived(link, sizes, FRAME_MIN_BYTES)
            receiver.take_event(Received(link, burst.frames))

    def _release(self) -> None:
        """The radios of both ends are free: whoever waited longest goes on."""
        for end in (self.a, self.b):
            end.sending.discard(self.name)
        for end in (self.a, self.b):
            for way in list(end.line.get(self.name, ())):
                if self.name in end.sending:
                    break
                other = way.b if end is way.a else way.a
                if self.name in other.sending:
                    continue  # it keeps its place
                way.stop_waiting()
                if way.links is not None and way._queue and not way._sending:
                    way._start()

    def stop_waiting(self) -> None:
        """Leave the lines at both ends."""
        self._waits = False
        for end in (self.a, self.b):
            end.line.get(self.name, {}).pop(self, None)
