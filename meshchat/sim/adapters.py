"""Simulated Bluetooth adapters that run the product's own policy (net/ble/policy.py).

An adapter listens, is heard, dials and lets go when its policy says so; ``Way`` carries the frames
of what comes of it. Adverts of one sender are told once in five seconds, not ten times a second:
that is what the policy acts on, and a system filters them as well.
"""

import hashlib
from random import Random
from typing import TYPE_CHECKING

from meshchat.core.events import NewFace
from meshchat.net.ble.actions import Action, Advertise, CancelDial, Close, Dial, Rotate, Scan
from meshchat.net.ble.duty import Profile
from meshchat.net.ble.policy import Policy

if TYPE_CHECKING:
    from meshchat.sim.links import Way
    from meshchat.sim.person import Person

REPEAT_S = 5.0  # between two adverts of one sender that are told
AGAIN_S = 1.0  # a dial goes on while the other is silent; looked at so often
RSSI_DBM = -70  # whoever is in reach is heard well: the range is all that a scenario says
NEVER = float("inf")


class Adapter:
    """One radio of one person."""

    def __init__(self, person: "Person", name: str, profile: Profile) -> None:
        self.person, self.name = person, name
        self._world = person.world
        text = f"{self._world.seed}/adapter/{person.number}/{name}"
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        self._random = Random(int.from_bytes(digest, "big"))
        self.policy = Policy(self._random, person.clock, profile)
        self.on = False
        self.token: bytes | None = None
        """What it is heard by now; None: it is silent."""
        self.wakes = self.sightings = self.arrivals = self.dials = self.failed = 0
        """What woke the device: timers, adverts, frames. Dials, and those that came to nothing."""
        self.alone_s: list[float] = []
        """How long somebody was in reach before there was a link, each time."""
        self.missed = 0
        """Times that ended without one."""
        self._scans = False
        self._scan_s = 0.0
        self._scans_since: float | None = None
        self._on_s = 0.0
        self._on_since = 0.0
        self._turn = 0  # tells one listening, and one dial, from the next
        self._advert_s = 0.0
        self._heard: dict[Way, None] = {}  # whose adverts are being told in this listening
        self._dial: int | None = None  # its turn
        self._near: dict[Way, None] = {}
        self._spared: dict[int, int] = {}  # link: the one that stays for it
        self._alone_since: float | None = None
        self._alarm = NEVER
        self._waiting: list[Action] = []
        self._doing = False

    # --- what befalls it ------------------------------------------------------------------------

    def switch(self, on: bool) -> None:
        """The device came on or went off."""
        if on == self.on:
            return
        now = self._world.now
        self.on = on
        if on:
            self._on_since = now
        else:
            self._on_s += now - self._on_since
            self._listen(False)
            self.token = self._dial = None
            self._alarm = NEVER
        self._look_around()
        self.tell(self.policy.adapter(on, self.person.clock))

    def in_reach(self, way: "Way", near: bool) -> None:
        """Somebody came into reach, or left it; a link with them is not cut yet."""
        if near:
            self._near[way] = None
            self._listen_to(way)
        else:
            self._near.pop(way, None)
        self._look_around()

    def linked(self, link: int, *, outbound: bool) -> None:
        """A link stands; who is there is told by its greeting."""
        clock = self.person.clock
        self._look_around()
        self.tell(
            self.policy.dialled(link, clock) if outbound else self.policy.inbound(link, clock)
        )

    def greeted(self, link: int, other: "Adapter") -> None:
        """The greeting has come."""
        clock = self.person.clock
        self.tell(self.policy.greeted(link, other.policy.token, clock))
        if other.person.number in self.person.knows:
            self.tell(self.policy.recognised(link, clock))

    def ended(self, link: int, reason: str) -> None:
        """A link is over."""
        kept = self._spared.pop(link, 0)
        self._look_around()
        if self.on:
            self.tell(self.policy.link_down(link, reason, self.person.clock, kept))

    def spare(self, link: int, kept: int) -> None:
        """A link is about to end for another one to the same person, over another radio."""
        self._spared[link] = kept

    def other_down(self, link: int) -> None:
        """A link over another radio is over."""
        if self.on:
            self.tell(self.policy.other_down(link, self.person.clock))

    def arrived(self, link: int, sizes: list[int], smallest: int) -> None:
        """Frames came; those above the smallest size bring mail."""
        self.arrivals += 1
        if mail := sum(size for size in sizes if size > smallest):
            self.policy.brought(link, mail, self.person.clock)

    # --- figures --------------------------------------------------------------------------------

    @property
    def scan_s(self) -> float:
        """Seconds it has listened, for adverts or to connect."""
        since = self._scans_since
        return self._scan_s + (self._world.now - since if since is not None else 0.0)

    @property
    def on_s(self) -> float:
        """Seconds it was on."""
        return self._on_s + (self._world.now - self._on_since if self.on else 0.0)

    def finish(self) -> None:
        """The run is over: whoever is alone now has missed somebody."""
        self.missed += self._alone_since is not None
        self._alone_since = None

    def _look_around(self) -> None:
        alone = self.on and bool(self._near) and not self.person.links_on.get(self.name)
        if alone and self._alone_since is None:
            self._alone_since = self._world.now
        elif not alone and self._alone_since is not None:
            if self.person.links_on.get(self.name):
                self.alone_s.append(self._world.now - self._alone_since)
            else:
                self.missed += 1
            self._alone_since = None

    # --- what the policy wants ------------------------------------------------------------------

    def tell(self, actions: list[Action]) -> None:
        """Carry out actions; what comes up in the middle of it comes after it."""
        self._waiting += actions
        if self._doing:
            return
        self._doing = True
        while self._waiting:
            self._do(self._waiting.pop(0))
        self._doing = False
        due = self.policy.next_wakeup(self.person.clock)
        if due is not None and due < self._alarm:
            self._alarm = due
            self._world.later(max(0.0, due - self._world.mono), self._wake, due)

    def _wake(self, due: float) -> None:
        if due != self._alarm:
            return
        self._alarm = NEVER
        wanted = self.policy.next_wakeup(self.person.clock)
        if wanted is not None and wanted <= self._world.mono:
            self.wakes += 1
            self.tell(self.policy.wake(self.person.clock))
        else:
            self.tell([])

    def _do(self, action: Action) -> None:
        if isinstance(action, Scan):
            self._listen(action.on)
        elif isinstance(action, Advertise):
            is_new = action.token is not None and action.token != self.token
            self.token, self._advert_s = action.token, action.every_s
            if is_new:
                for way in list(self._near):
                    way.other(self.person).adapters[self.name]._listen_to(way)
        elif isinstance(action, Dial):
            self._connect(action)
        elif isinstance(action, CancelDial):
            self._dialled(False)
        elif isinstance(action, Rotate):
            self.person.take_event(NewFace())
        elif isinstance(action, Close) and action.link in self.person.links:
            self.person.links[action.link].cut(noticed=True, why=action.reason)

    def _count_scan(self) -> None:
        """Connecting is listening too."""
        listens = self._scans or self._dial is not None
        if listens and self._scans_since is None:
            self._scans_since = self._world.now
        elif not listens and self._scans_since is not None:
            self._scan_s += self._world.now - self._scans_since
            self._scans_since = None

    def _listen(self, on: bool) -> None:
        self._scans = on
        self._turn += 1
        self._heard.clear()
        self._count_scan()
        if on:
            for way in list(self._near):
                self._listen_to(way)

    def _listen_to(self, way: "Way") -> None:
        """Hear the next advert of the other end."""
        if not self._scans or way in self._heard or way.links is not None:
            return
        other = way.other(self.person).adapters[self.name]
        if other.token is not None:
            self._heard[way] = None
            wait = self._random.uniform(0, other._advert_s)
            self._world.later(wait, self._hear, (way, self._turn))

    def _hear(self, what: "tuple[Way, int]") -> None:
        way, turn = what
        if turn != self._turn or not self._scans:
            return
        self._heard.pop(way, None)
        other = way.other(self.person)
        token = other.adapters[self.name].token
        if not way.usable or way.links is not None or token is None:
            return
        self.sightings += 1
        self.tell(self.policy.seen(token, other.number, RSSI_DBM, self.person.clock))
        if turn == self._turn and self._scans:
            self._heard[way] = None
            self._world.later(REPEAT_S, self._hear, (way, turn))

    def _connect(self, dial: Dial) -> None:
        self.dials += 1
        self._turn += 1
        self._dial = self._turn
        self._count_scan()
        way = next(
            (way for way in self._near if way.other(self.person).number == dial.address), None
        )
        if way is not None:
            setup = self._world.radios[self.name].setup_s
            wait = setup + self._random.uniform(
                0, way.other(self.person).adapters[self.name]._advert_s
            )
            self._world.later(wait, self._answered, (way, self._dial, dial.token))

    def _answered(self, what: "tuple[Way, int, bytes]") -> None:
        """The other end has been reached, if it is still there and under that name."""
        way, turn, token = what
        if turn != self._dial:
            return
        other = way.other(self.person).adapters[self.name]
        if not way.usable or way.links is not None or other.token != token:
            self._world.later(AGAIN_S, self._answered, what)  # until the policy gives up
            return
        radio = self._world.radios[self.name]
        if self._random.random() < radio.failure:
            self._world.measure.failed += 1
            self._dialled(False)
            self.tell(self.policy.dial_failed(self.person.clock))
            return
        self._dialled(True)
        way.join(self.person)

    def _dialled(self, linked: bool) -> None:
        self.failed += self._dial is not None and not linked
        self._dial = None
        self._count_scan()
