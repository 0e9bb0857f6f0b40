"""A room full of policies: radios in virtual time, without frames."""

import heapq
from collections import Counter
from collections.abc import Callable
from random import Random

from meshchat.core.model import Now
from meshchat.net.ble.actions import Action, Advertise, CancelDial, Close, Dial, Rotate, Scan
from meshchat.net.ble.duty import Profile
from meshchat.net.ble.limits import LINKS_HARD_MAX
from meshchat.net.ble.policy import Policy

WALL = 1_790_000_100.0  # a minute and a bit into a quarter of an hour
REPEAT_S = 1.0  # adverts of one sender are handed over so often
FAILURES_MAX = 6  # of dials between two, in a row: chance alone would fail any test at some seed


class Radio:
    """One adapter with its policy, and what became of both."""

    def __init__(self, room: "Room", name: int, profile: Profile, battery: float | None) -> None:
        self.room, self.name = room, name
        self.random = Random(room.random.random())
        self.policy = Policy(self.random, room.now, profile, battery)
        self.on = False
        self.deaf = False
        """Hears no adverts."""
        self.mute = False
        """Accepts links and says nothing."""
        self.advert: Advertise = Advertise(None)
        self.scans = False
        self.scan_turn = 0
        self.dial: Dial | None = None
        self.dial_turn = 0
        self.links: dict[int, Radio] = {}
        self.tokens: list[bytes] = []
        self.wakes = self.switches = self.dials = 0
        self.scan_s = self.dial_s = self.dial_since = 0.0
        self.scan_since = 0.0
        self.most = 0
        self._alarm = float("inf")
        self._waiting: list[Action] = []
        self._doing = False

    def has_links(self) -> bool:
        return bool(self.links)

    def tell(self, actions: list[Action]) -> None:
        self._waiting += actions
        if self._doing:  # what came up in the middle of it comes after it
            return
        self._doing = True
        while self._waiting:
            self._do(self._waiting.pop(0))
        self._doing = False
        self.most = max(self.most, len(self.links))
        due = self.policy.next_wakeup(self.room.now)
        if due is not None and due < self._alarm:
            self._alarm = due
            self.room.later(due - self.room.mono, lambda: self._wake(due))

    def _wake(self, due: float) -> None:
        if due != self._alarm:
            return
        self._alarm = float("inf")
        wanted = self.policy.next_wakeup(self.room.now)
        if wanted is not None and wanted <= self.room.mono:
            self.wakes += 1
            self.tell(self.policy.wake(self.room.now))
        else:
            self.tell([])

    def _do(self, action: Action) -> None:
        room = self.room
        if isinstance(action, Advertise):
            assert action.token in (None, self.policy.token)
            self.advert = action
            if action.token is not None:
                for other in room.radios:
                    if other.scans:
                        other.listen_to(self)
        elif isinstance(action, Scan):
            assert action.on != self.scans
            self.switches += 1
            self.scans = action.on
            self.scan_turn += 1
            if action.on:
                self.scan_since = room.mono
                for other in room.radios:
                    self.listen_to(other)
            else:
                self.scan_s += room.mono - self.scan_since
        elif isinstance(action, Dial):
            assert self.dial is None, "two dials at once"
            assert not self.scans and self.advert.token is None
            self.dial, self.dials = action, self.dials + 1
            self.dial_since = room.mono
            self.dial_turn += 1
            room.dialling(self, action)
        elif isinstance(action, CancelDial):
            assert self.dial is not None
            self.dial = None
            self.dial_s += room.mono - self.dial_since
            self.dial_turn += 1
        elif isinstance(action, Close):
            room.unlink(action.link, action.reason, self)
        elif isinstance(action, Rotate):
            assert not self.links and self.dial is None and self.advert.token is None
            assert action.token not in self.tokens
            self.tokens.append(action.token)

    def listen_to(self, other: "Radio") -> None:
        wait = self.random.uniform(0, other.advert.every_s or 0.0)
        turn = self.scan_turn
        self.room.later(wait, lambda: self._hear(other, turn))

    def _hear(self, other: "Radio", turn: int) -> None:
        token = other.advert.token
        if turn != self.scan_turn or token is None or not self.room.in_reach(self, other):
            return
        if not self.deaf:
            rssi = self.room.rssi(self, other)
            self.tell(self.policy.seen(token, other.name, rssi, self.room.now))
        if turn == self.scan_turn:
            self.room.later(REPEAT_S, lambda: self._hear(other, turn))


class Room:
    """Radios that hear each other unless they are parted."""

    def __init__(self, seed: int = 1, failure: float = 0.0, wall: float = WALL) -> None:
        self.random = Random(seed)
        self.mono = 1_000.0
        self.wall = wall - self.mono
        self.failure = failure
        self.radios: list[Radio] = []
        self.parted: set[frozenset[int]] = set()
        self.weak: dict[frozenset[int], int] = {}
        self.crossings = 0
        self.failures: Counter[frozenset[int]] = Counter()  # in a row
        self.ended: Counter[str] = Counter()
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._turn = 0
        self._link = 0

    @property
    def now(self) -> Now:
        return Now(self.mono, self.wall + self.mono)

    def later(self, delay: float, deed: Callable[[], None]) -> None:
        self._turn += 1
        heapq.heappush(self._heap, (self.mono + max(0.0, delay), self._turn, deed))

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> float:
        """Let time pass; returns how much did until ``until``."""
        start = self.mono
        turns = 0
        while not until() and self._heap and self._heap[0][0] <= start + seconds:
            self.mono, _, deed = heapq.heappop(self._heap)
            deed()
            turns += 1
            assert turns < 500 * (seconds + 60) * max(1, len(self.radios)), "it does not rest"
        if not until():
            self.mono = start + seconds
        return self.mono - start

    def add(
        self, profile: Profile = Profile.ALWAYS, battery: float | None = 1.0, on: bool = True
    ) -> Radio:
        radio = Radio(self, len(self.radios), profile, battery)
        self.radios.append(radio)
        if on:
            self.switch(radio, True)
        return radio

    def switch(self, radio: Radio, on: bool) -> None:
        radio.on = on
        if not on:
            for link in list(radio.links):
                self.unlink(link, "gone", radio)
            if radio.scans:
                radio.scan_s += self.mono - radio.scan_since
            radio.scans, radio.advert, radio.dial = False, Advertise(None), None
            radio.scan_turn += 1
            radio.dial_turn += 1
        radio.tell(radio.policy.adapter(on, self.now))

    def part(self, one: Radio, other: Radio) -> None:
        self.parted.add(frozenset((one.name, other.name)))
        for link, peer in list(one.links.items()):
            if peer is other:
                self.unlink(link, "lost", None)

    def in_reach(self, one: Radio, other: Radio) -> bool:
        apart = frozenset((one.name, other.name)) in self.parted
        return one is not other and one.on and other.on and not apart

    def rssi(self, one: Radio, other: Radio) -> int:
        return self.weak.get(frozenset((one.name, other.name)), -60)

    def dialling(self, dialler: Radio, dial: Dial) -> None:
        turn = dialler.dial_turn
        target = self.radios[dial.address] if isinstance(dial.address, int) else None
        if target is not None and target.dial is not None and target.dial.address == dialler.name:
            self.crossings += 1
            return  # neither comes to an end before its time-out
        took = self.random.uniform(0.3, 1.5)
        if target is None:
            return
        pair = frozenset((dialler.name, target.name))
        enough = self.failures[pair] >= FAILURES_MAX and self.failure < 1
        if self.random.random() >= self.failure or enough:
            self.failures[pair] = 0
            self.later(took, lambda: self._connected(dialler, target, turn))
        else:
            self.failures[pair] += 1

    def _connected(self, dialler: Radio, target: Radio, turn: int) -> None:
        if dialler.dial_turn != turn or dialler.dial is None:
            return
        if not self.in_reach(dialler, target) or target.advert.token is None:
            self.later(0.2, lambda: self._connected(dialler, target, turn))
            return
        dialler.dial = None
        dialler.dial_turn += 1
        if target.dial is not None or len(target.links) >= LINKS_HARD_MAX:
            dialler.tell(dialler.policy.dial_failed(self.now))
            return
        self._link += 1
        link = self._link
        dialler.links[link], target.links[link] = target, dialler
        dialler.tell(dialler.policy.dialled(link, self.now))
        if link in target.links:
            target.tell(target.policy.inbound(link, self.now))
        self.later(0.1, lambda: self._greet(link, dialler, target))

    def _greet(self, link: int, one: Radio, other: Radio) -> None:
        for end, peer in ((one, other), (other, one)):
            if link in end.links and not peer.mute:
                end.tell(end.policy.greeted(link, peer.policy.token, self.now))

    def unlink(self, link: int, reason: str, by: Radio | None) -> None:
        self.ended[reason] += 1
        for end in [radio for radio in self.radios if link in radio.links]:
            del end.links[link]
            if end is not by:
                end.tell(end.policy.link_down(link, reason, self.now))

    def spare(self, link: int, kept: int) -> None:
        """A link ends because another one, not by radio, leads to the same peer."""
        self.ended["duplicate"] += 1
        for end in [radio for radio in self.radios if link in radio.links]:
            del end.links[link]
            end.tell(end.policy.link_down(link, "duplicate", self.now, kept))

    def linked(self, one: Radio, other: Radio) -> bool:
        return other in one.links.values()

    def connected(self) -> bool:
        """Everybody reaches everybody over links."""
        alive = [radio for radio in self.radios if radio.on]
        found, waiting = {alive[0].name}, [alive[0]]
        while waiting:
            for peer in waiting.pop().links.values():
                if peer.name not in found:
                    found.add(peer.name)
                    waiting.append(peer)
        return len(found) == len(alive)

    def storm(self, radio: Radio, count: int, *, rssi: int = -40) -> None:
        """Made-up adverts, one after the other."""
        for n in range(count):
            if radio.scans:
                token = self.random.randbytes(6)
                radio.tell(radio.policy.seen(token, f"forged {n}", rssi, self.now))
