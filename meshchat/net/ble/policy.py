"""Whom to dial, whom to let go, when to listen and when to be heard. Pure.

A ``Policy`` is told what the radio notices and answers with what the radio should
do. It owns no radio and no clock, and draws chance from what it is given, so the
simulator's radios run the same one. Every method returns actions to be carried
out in order; ``wake`` is called at ``next_wakeup``.

Nobody is known by address. An advert carries a random *token*; a link learns the
other's token in its greeting, so an inbound link is recognised before its peer
would be dialled. Of two who hear each other the one with the lower token dials:
on BlueZ crossing dials end both. The other waits and then may dial too. While we
dial we are neither heard nor do we listen, so nobody begins to dial us.

All a stranger can fill is bounded: adverts, back-offs, links. Links beyond our
share are for newcomers; the least useful stranger goes within half a minute.
"""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from random import Random
from typing import NamedTuple

from meshchat.core.model import Now
from meshchat.net.ble.limits import (
    BACKOFF_FIRST_S,
    BACKOFF_MAX_S,
    BACKOFFS_MAX,
    DIAL_S,
    DUTY_SPREAD,
    FLOOR_ALONE_DBM,
    FLOOR_DBM,
    FRESH_S,
    FULL_BATTERY,
    IDLE_S,
    LASTED_S,
    LINKS_HARD_MAX,
    LINKS_MAX,
    LINKS_WANTED,
    LOOK_S,
    LOW_BATTERY,
    NO_TOKEN_S,
    RANDOM_LINKS,
    ROTATION_SPREAD,
    SAVER_EVERY_S,
    SAVER_ON_S,
    SIGHTING_LIFE_S,
    SIGHTINGS_MAX,
    STORM_TOKENS,
    STRANGERS_MAX,
    TOKEN_BYTES,
    TOKEN_LIFE_S,
    TOKEN_LINKED_LIFE_S,
    WORTH_HALF_S,
    YIELD_JITTER_S,
    YIELD_S,
)


class Profile(Enum):
    """What the person chose to spend."""

    ALWAYS = "always"
    """Found at once, whatever it costs."""
    NORMAL = "normal"
    """Found within half a minute; ``ALWAYS`` on mains, ``SAVER`` with a low battery."""
    SAVER = "saver"
    """Two minutes of every quarter of an hour by the clock."""


class Duty(NamedTuple):
    """How a radio shares its time."""

    scan_s: float
    """Listens so long ..."""
    every_s: float
    """... in each period."""
    advert_s: float
    """Between two adverts."""


_DUTY = {  # by the number of links: none, one or two, enough
    Profile.ALWAYS: (Duty(10, 10, 0.1), Duty(5, 15, 0.25), Duty(3, 18, 0.5)),
    Profile.NORMAL: (Duty(2, 20, 0.25), Duty(2, 30, 0.5), Duty(2, 60, 1.0)),
    Profile.SAVER: (Duty(5, 15, 0.25), Duty(5, 30, 0.5), Duty(2, 60, 1.0)),
}


# --- actions -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Advertise:
    """Be heard, with this token, so often; replaces what was advertised. None: be silent."""

    token: bytes | None
    every_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Scan:
    """Listen, or stop."""

    on: bool


@dataclass(frozen=True, slots=True)
class Dial:
    """Connect; answer with ``dialled`` or ``dial_failed``. Never two at once."""

    address: Hashable
    """As the sighting had it."""
    token: bytes
    """Of its advert; empty if it had none."""


@dataclass(frozen=True, slots=True)
class CancelDial:
    """Stop connecting; no answer is wanted. If it stands already, end it."""


@dataclass(frozen=True, slots=True)
class Close:
    """End a link. ``turned_away`` is told to the peer (``Framer.bye``); no ``link_down`` is
    wanted for it."""

    link: int
    reason: str


@dataclass(frozen=True, slots=True)
class Rotate:
    """From now on this token, another address and another node key, all in this instant.

    Our links were closed and nothing is advertised.
    """

    token: bytes


Action = Advertise | Scan | Dial | CancelDial | Close | Rotate


# --- what is known -------------------------------------------------------------------------------


@dataclass(slots=True)
class _Sighting:
    """Somebody who was heard."""

    address: Hashable
    token: bytes
    rssi: int
    heard_at: float
    not_before: float
    """Do not dial sooner."""
    again: bool = False
    """Heard more than once: not made up for a single advert."""
    stranger: bool = False
    """Was linked under this token, and is nobody we know."""


@dataclass(slots=True)
class _Link:
    """Somebody who is linked."""

    outbound: bool
    since: float
    token: bytes = b""
    """Empty before the greeting."""
    contact: bool = False
    brought: float = 0.0
    """Bytes, each half as much after ten minutes."""
    brought_at: float = 0.0

    def worth(self, now: float) -> float:
        return self.brought * math.exp2((self.brought_at - now) / WORTH_HALF_S)


class Policy:
    """One adapter's decisions."""

    def __init__(
        self,
        random: Random,
        now: Now,
        profile: Profile = Profile.NORMAL,
        battery: float | None = 1.0,
    ) -> None:
        """The adapter counts as off until ``adapter`` says otherwise.

        Args:
            random: Tokens and jitter; of the system's entropy in the product.
            now: Monotonic seconds for timers, wall time for the hours of the saver.
            profile: As chosen.
            battery: 0 to 1; None on mains.
        """
        self._random = random
        self.profile = profile
        self.token = b""
        """What we are called on the air now."""
        self.dropped_tokens = 0
        """Sightings forgotten for want of room."""
        self.turned_away = 0
        """Links we ended for want of room."""
        self._on = False
        self._central = self._peripheral = True
        self._battery = battery
        self._saving = battery is not None and battery < LOW_BATTERY
        self._seen: dict[Hashable, _Sighting] = {}
        self._failing: dict[Hashable, tuple[float, float]] = {}  # (back-off in s, until)
        self._links: dict[int, _Link] = {}
        self._dialling: _Sighting | None = None
        self._dial_until = 0.0
        self._looked_at = -math.inf
        self._rotate_at = self._rotate_by = 0.0
        self._scan_from = self._scan_to = -math.inf
        self._new_tokens = 0
        self._scans = False  # as the radio was told
        self._advert: Advertise = Advertise(None)
        self._renew(now.mono)

    # --- what happens ------------------------------------------------------------------------

    def adapter(
        self, on: bool, now: Now, *, central: bool = True, peripheral: bool = True
    ) -> list[Action]:
        """The adapter came or went; an adapter that went has taken its links with it.

        Args:
            on: It is there, powered, and we may use it.
            now: Both clocks.
            central: It can dial and listen.
            peripheral: It can be heard and dialled.
        """
        self._central, self._peripheral = central, peripheral
        if on != self._on:
            self._on = on
            self._seen.clear()
            self._failing.clear()
            self._links.clear()
            self._dialling = None
            self._scans, self._advert = False, Advertise(None)
            self._scan_from = self._scan_to = -math.inf
            if on:
                return [*self._rotate(now.mono), *self._settle(now)]
        return self._settle(now)

    def power(self, battery: float | None, now: Now) -> list[Action]:
        """The battery has so much left, 0 to 1; None: mains."""
        self._battery = battery
        if battery is None or battery > FULL_BATTERY:
            self._saving = False
        elif battery < LOW_BATTERY:
            self._saving = True
        return self._settle(now)

    def choose(self, profile: Profile, now: Now) -> list[Action]:
        """The person chose another profile."""
        self.profile = profile
        self._scan_from = self._scan_to = -math.inf  # listen at once
        return self._settle(now)

    def seen(self, token: bytes, address: Hashable, rssi: int, now: Now) -> list[Action]:
        """An advert of our service was heard; ``token`` is empty if it had none."""
        if not self._on or token == self.token or len(token) not in (0, TOKEN_BYTES):
            return []
        key = token or address
        sighting = self._seen.get(key)
        if sighting is None:
            self._make_room(now.mono)
            not_before = now.mono + self._patience(token)
            sighting = self._seen[key] = _Sighting(address, token, rssi, now.mono, not_before)
        else:
            if now.mono - sighting.heard_at > SIGHTING_LIFE_S:
                sighting.not_before = now.mono + self._patience(token)
            sighting.again = True
            sighting.address, sighting.rssi, sighting.heard_at = address, rssi, now.mono
        return self._settle(now)

    def inbound(self, link: int, now: Now) -> list[Action]:
        """Somebody connected to us; who, the greeting will tell."""
        if not self._on:
            return [Close(link, "off")]
        if len(self._links) >= LINKS_HARD_MAX:
            self.turned_away += 1
            return [Close(link, "turned_away")]
        self._links[link] = _Link(False, now.mono)
        return self._settle(now)

    def dialled(self, link: int, now: Now) -> list[Action]:
        """What we dialled answered."""
        token = self._dialling.token if self._dialling is not None else b""
        self._dialling = None
        if not self._on:
            return [Close(link, "off")]
        self._links[link] = _Link(True, now.mono, token)
        return self._settle(now)

    def dial_failed(self, now: Now) -> list[Action]:
        """It did not, or something was missing there."""
        if self._dialling is not None:
            self._fail(self._dialling.token or self._dialling.address, now.mono)
            self._dialling = None
        return self._settle(now)

    def greeted(self, link: int, token: bytes, now: Now) -> list[Action]:
        """The greeting of a link told who it is."""
        actions: list[Action] = []
        if (entry := self._links.get(link)) is not None:
            entry.token = token
            if self._dialling is not None and self._dialling.token == token:
                self._dialling = None  # it was quicker
                actions.append(CancelDial())
        return [*actions, *self._settle(now)]

    def recognised(self, link: int, now: Now) -> list[Action]:
        """The peer of a link proved to be a contact."""
        if (entry := self._links.get(link)) is not None:
            entry.contact = True
        return self._settle(now)

    def brought(self, link: int, size: int, now: Now) -> None:
        """A link brought so many bytes of mail."""
        if (entry := self._links.get(link)) is not None:
            entry.brought = entry.worth(now.mono) + size
            entry.brought_at = now.mono

    def link_down(self, link: int, reason: str, now: Now) -> list[Action]:
        """A link ended, not by us. ``turned_away``: the peer has no room."""
        entry = self._links.pop(link, None)
        if entry is not None and entry.token:
            if reason == "turned_away":
                self._fail(entry.token, now.mono, BACKOFF_MAX_S)
            elif now.mono - entry.since < LASTED_S:
                self._fail(entry.token, now.mono)
            else:
                self._failing.pop(entry.token, None)
            self._parted(entry, now.mono)
        return self._settle(now)

    def wake(self, now: Now) -> list[Action]:
        """The time of ``next_wakeup`` has come."""
        return self._settle(now)

    # --- what is decided ---------------------------------------------------------------------

    @property
    def spends(self) -> Profile:
        """The profile in force: that of the person, or what the battery makes of ``NORMAL``."""
        if self.profile is not Profile.NORMAL:
            return self.profile
        if self._battery is None:
            return Profile.ALWAYS
        return Profile.SAVER if self._saving else Profile.NORMAL

    @property
    def duty(self) -> Duty:
        """How we share the time while awake."""
        count = len(self._links)
        return _DUTY[self.spends][0 if not count else 1 if count < LINKS_WANTED else 2]

    @property
    def links(self) -> int:
        """How many there are, with those that have not greeted yet."""
        return len(self._links)

    def awake(self, now: Now) -> bool:
        """The adapter is on, and this is no hour to sleep."""
        return self._on and (
            self.spends is not Profile.SAVER or now.wall % SAVER_EVERY_S < SAVER_ON_S
        )

    def next_wakeup(self, now: Now) -> float | None:
        """Monotonic time at which ``wake`` is due; None: only after news."""
        if not self._on:
            return None
        due = []
        if self.spends is Profile.SAVER:
            since = now.wall % SAVER_EVERY_S
            due.append(now.mono + (SAVER_ON_S if since < SAVER_ON_S else SAVER_EVERY_S) - since)
        if self.awake(now):
            due.append(self._rotation())
            if self._dialling is not None:
                due.append(self._dial_until)
            elif self._central:
                due.append(self._scan_to if self._scans else self._scan_from)
                due += [self._ready_at(sighting) for sighting in self._candidates()]
            if self._crowded():
                due += [link.since + IDLE_S for link in self._links.values()]
        return max(now.mono, min(due))

    def _settle(self, now: Now) -> list[Action]:
        """What has to be done by now, and then what the radio should be at."""
        if not self._on:
            return []
        actions: list[Action] = []
        at = now.mono
        if self._dialling is not None and (at >= self._dial_until or not self.awake(now)):
            if at >= self._dial_until:
                self._fail(self._dialling.token or self._dialling.address, at)
            self._dialling = None
            actions.append(CancelDial())
        dial: list[Action] = []
        if not self.awake(now):
            actions += self._close_all("asleep")
        else:
            if at >= self._rotation():
                actions += self._rotate(at)
            actions += self._evict(at)
            chosen = self._chosen(at) if self._dialling is None else None
            if chosen is not None:
                if len(self._links) >= LINKS_WANTED:
                    self._looked_at = at
                self._dialling = chosen
                self._dial_until = at + DIAL_S
                dial.append(Dial(chosen.address, chosen.token))
        return [*actions, *self._radio(now), *dial]

    def _radio(self, now: Now) -> list[Action]:
        """Listening and being heard, as they should be now."""
        actions: list[Action] = []
        duty, at = self.duty, now.mono
        free = self.awake(now) and self._dialling is None
        scans = False
        if free and self._central:
            if at >= self._scan_to or self._scan_from - at > duty.every_s * (1 + DUTY_SPREAD):
                self._plan(duty, at)
            scans = self._scan_from <= at
        if scans != self._scans:
            self._scans = scans
            actions.append(Scan(scans))
        advert = Advertise(None)
        if free and self._peripheral and len(self._links) < LINKS_HARD_MAX:
            advert = Advertise(self.token, duty.advert_s)
        if advert != self._advert:
            self._advert = advert
            actions.append(advert)
        return actions

    def _plan(self, duty: Duty, at: float) -> None:
        """When to listen next."""
        gap = (duty.every_s - duty.scan_s) * self._spread(DUTY_SPREAD)
        if at - self._scan_to > duty.every_s:  # we slept
            gap = 0.0
        if self._new_tokens > STORM_TOKENS:
            gap = max(gap, duty.every_s)
        self._scan_from = at + gap
        self._scan_to = self._scan_from + duty.scan_s
        self._new_tokens = 0

    def _spread(self, part: float) -> float:
        return self._random.uniform(1 - part, 1 + part)

    # --- tokens ------------------------------------------------------------------------------

    def _renew(self, at: float) -> None:
        self.token = self._random.randbytes(TOKEN_BYTES)
        self._rotate_at = at + TOKEN_LIFE_S * self._spread(ROTATION_SPREAD)
        self._rotate_by = at + TOKEN_LINKED_LIFE_S * self._spread(ROTATION_SPREAD)

    def _rotation(self) -> float:
        """When it is time for another token."""
        return self._rotate_by if self._links or self._dialling is not None else self._rotate_at

    def _rotate(self, at: float) -> list[Action]:
        """Another name on the air, and nothing that ties it to the last one."""
        actions: list[Action] = []
        if self._dialling is not None:
            self._dialling = None
            actions.append(CancelDial())
        actions += self._close_all("rotating")
        if self._advert.token is not None:
            self._advert = Advertise(None)
            actions.append(self._advert)
        self._renew(at)
        for sighting in self._seen.values():
            sighting.not_before = at + self._patience(sighting.token)
        return [*actions, Rotate(self.token)]

    # --- links -------------------------------------------------------------------------------

    def _close_all(self, reason: str) -> list[Action]:
        actions: list[Action] = [Close(link, reason) for link in self._links]
        self._links.clear()
        return actions

    def _crowded(self) -> bool:
        """There are more links than we want to keep."""
        strangers = sum(not link.contact for link in self._links.values())
        return strangers > STRANGERS_MAX or len(self._links) > LINKS_MAX

    def _evict(self, at: float) -> list[Action]:
        """Let the least useful go who had their time: strangers, and contacts only for contacts."""
        actions: list[Action] = []
        while self._crowded():
            old = [n for n, link in self._links.items() if at >= link.since + IDLE_S]
            if not old:
                break
            number = min(
                old,
                key=lambda n: (
                    self._links[n].contact,
                    self._links[n].worth(at),
                    self._links[n].since,
                ),
            )
            link = self._links[number]
            if link.contact and len(self._links) <= LINKS_MAX:
                break  # too many strangers, all of them new
            del self._links[number]
            if link.token:
                self._fail(link.token, at, BACKOFF_MAX_S)
            self._parted(link, at)
            self.turned_away += 1
            actions.append(Close(number, "turned_away"))
        return actions

    def _parted(self, link: _Link, at: float) -> None:
        """A link is over: who was there may be dialled again, not by both at once."""
        sighting = self._seen.get(link.token)
        if sighting is not None:
            sighting.stranger = not link.contact
            sighting.not_before = at + self._patience(link.token)

    # --- dialling ----------------------------------------------------------------------------

    def _patience(self, token: bytes) -> float:
        """How long the other side has the first tries."""
        if not self._peripheral:
            return 0.0  # nobody hears us
        if not token:
            return self._random.uniform(0, NO_TOKEN_S)
        return 0.0 if self.token < token else YIELD_S + self._random.uniform(0, YIELD_JITTER_S)

    def _candidates(self) -> list[_Sighting]:
        """Whom we would dial at some time, if they are heard until then."""
        count = len(self._links)
        if not self._central or count >= LINKS_HARD_MAX - 1:  # one place is for who dials us
            return []
        floor = FLOOR_DBM if count else FLOOR_ALONE_DBM
        linked = {link.token for link in self._links.values()}
        return [
            sighting
            for sighting in self._seen.values()
            if sighting.rssi >= floor
            and (not sighting.token or sighting.token not in linked)
            and (count < LINKS_WANTED or not sighting.stranger)
            and self._ready_at(sighting) <= sighting.heard_at + FRESH_S
        ]

    def _ready_at(self, sighting: _Sighting) -> float:
        _, until = self._failing.get(sighting.token or sighting.address, (0.0, 0.0))
        look = self._looked_at + LOOK_S if len(self._links) >= LINKS_WANTED else 0.0
        return max(sighting.not_before, until, look)

    def _chosen(self, at: float) -> _Sighting | None:
        """Whom to dial now: the least failed, heard more than once, then strength or chance."""
        ready = [
            sighting
            for sighting in self._candidates()
            if self._ready_at(sighting) <= at <= sighting.heard_at + FRESH_S
        ]
        if not ready:
            return None

        def rank(sighting: _Sighting) -> tuple[float, bool]:
            wait, _ = self._failing.get(sighting.token or sighting.address, (0.0, 0.0))
            return wait, not sighting.again

        best = min(map(rank, ready))
        ready = [sighting for sighting in ready if rank(sighting) == best]
        if len(self._links) >= LINKS_WANTED - RANDOM_LINKS:
            return self._random.choice(ready)
        return max(ready, key=lambda sighting: sighting.rssi)

    def _fail(self, key: Hashable, at: float, least: float = BACKOFF_FIRST_S) -> None:
        """Wait twice as long as the last time."""
        last, _ = self._failing.pop(key, (0.0, 0.0))
        wait = min(BACKOFF_MAX_S, max(least, 2 * last))
        while len(self._failing) >= BACKOFFS_MAX:
            del self._failing[next(iter(self._failing))]
        self._failing[key] = (wait, at + wait * self._spread(DUTY_SPREAD))

    def _make_room(self, at: float) -> None:
        """For one more sighting; who was heard once has to go first."""
        self._new_tokens += 1
        if self._new_tokens > STORM_TOKENS:
            self._scan_to = min(self._scan_to, at)  # stop listening for now
        if len(self._seen) < SIGHTINGS_MAX:
            return
        self._seen = {
            key: sighting
            for key, sighting in self._seen.items()
            if sighting.heard_at > at - SIGHTING_LIFE_S
        }
        if len(self._seen) < SIGHTINGS_MAX:
            return
        once = [key for key, sighting in self._seen.items() if not sighting.again]
        # With nobody heard once anybody goes, or 256 made-up peers would hide all others.
        del self._seen[self._random.choice(once or list(self._seen))]
        self.dropped_tokens += 1
