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
from random import Random

from msgspec import Struct

from meshchat.core.model import Now
from meshchat.net.ble.actions import Action, Advertise, CancelDial, Close, Dial, Rotate, Scan
from meshchat.net.ble.duty import Duty, Profile, Spending
from meshchat.net.ble.limits import (
    BACKOFF_MAX_S,
    DIAL_S,
    DUTY_SPREAD,
    ELSEWHERE_MAX,
    ELSEWHERE_S,
    FLOOR_ALONE_DBM,
    FLOOR_DBM,
    FRESH_S,
    IDLE_S,
    LASTED_S,
    LINKS_HARD_MAX,
    LINKS_MAX,
    LINKS_WANTED,
    LOOK_S,
    MISSES_FREE,
    MISSES_MAX,
    NO_TOKEN_S,
    PAUSE_MAX_S,
    RANDOM_LINKS,
    ROTATION_SPREAD,
    SIGHTING_LIFE_S,
    STORM_TOKENS,
    STRANGERS_MAX,
    SUSPENDED_S,
    TOKEN_BYTES,
    TOKEN_LIFE_S,
    TOKEN_LINKED_LIFE_S,
    WORTH_HALF_S,
    YIELD_JITTER_S,
    YIELD_S,
)
from meshchat.net.ble.sightings import Sighting, Sightings

# --- what is known -------------------------------------------------------------------------------


class _Link(Struct):
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
        self.token = b""
        """What we are called on the air now."""
        self.turned_away = 0
        """Links we ended for want of room."""
        self._at = now.mono
        self._ahead = now.wall - now.mono
        self._on = False
        self._slept = False  # at the last look: no hour to be heard
        self._central = self._peripheral = True
        self._spending = Spending(profile, battery)
        self._sightings = Sightings(random)
        self._links: dict[int, _Link] = {}
        self._elsewhere: dict[int, tuple[bytes, float]] = {}  # by link: token, until when
        self._dialling: Sighting | None = None
        self._dial_until = 0.0
        self._misses = 0  # dials in a row that nobody answered
        self._paused_until = 0.0
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
            self._sightings.clear()
            self._links.clear()
            self._dialling = None
            self._scans, self._advert = False, Advertise(None)
            self._scan_from = self._scan_to = -math.inf
            if on:
                return [*self._rotate(now.mono), *self._settle(now)]
        return self._settle(now)

    def power(self, battery: float | None, now: Now) -> list[Action]:
        """The battery has so much left, 0 to 1; None: mains."""
        self._spending.power(battery)
        return self._settle(now)

    def choose(self, profile: Profile, now: Now) -> list[Action]:
        """The person chose another profile."""
        self._spending.chosen = profile
        self._scan_from = self._scan_to = -math.inf  # listen at once
        return self._settle(now)

    def seen(self, token: bytes, address: Hashable, rssi: int, now: Now) -> list[Action]:
        """An advert of our service was heard; ``token`` is empty if it had none."""
        if not self._on or token == self.token or len(token) not in (0, TOKEN_BYTES):
            return []
        is_new = self._sightings.heard(
            token, address, rssi, now.mono, lambda: self._patience(token)
        )
        if is_new:
            self._new_tokens += 1
            if self._new_tokens > STORM_TOKENS:
                self._scan_to = min(self._scan_to, now.mono)  # stop listening for now
        return self._settle(now)

    def inbound(self, link: int, now: Now) -> list[Action]:
        """Somebody connected to us; who, the greeting will tell."""
        if not self._on:
            return [Close(link, "off")]
        if len(self._links) + (self._dialling is not None) >= LINKS_HARD_MAX:
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
        self._missed(now.mono)
        return self._settle(now)

    def greeted(self, link: int, token: bytes, now: Now) -> list[Action]:
        """The greeting of a link told who it is."""
        actions: list[Action] = []
        if (entry := self._links.get(link)) is not None:
            if entry.token != token:
                self._parted(entry, now.mono)  # under that token it is no more
            entry.token = token
            self._misses, self._paused_until = 0, 0.0
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

    def link_down(self, link: int, reason: str, now: Now, kept: int = 0) -> list[Action]:
        """A link ended, not by the policy.

        Args:
            link: Its number.
            reason: ``turned_away``: the peer has no room; ``duplicate``: another link to it stays.
            now: Both clocks.
            kept: That other one, if it is over another transport: until ``other_down`` its peer
                is not dialled under the token it has now.
        """
        entry = self._links.pop(link, None)
        if entry is not None and entry.token:
            if kept and kept not in self._links:
                self._spare(kept, entry.token, now.mono)
            elif reason in ("turned_away", "duplicate"):
                self._sightings.fail(entry.token, now.mono, BACKOFF_MAX_S)
            elif now.mono - entry.since < LASTED_S:
                self._sightings.fail(entry.token, now.mono)
            else:
                self._sightings.succeed(entry.token)
            self._parted(entry, now.mono)
        return self._settle(now)

    def other_down(self, link: int, now: Now) -> list[Action]:
        """A link over another transport ended; perhaps it was the better one to somebody here."""
        token, _ = self._elsewhere.pop(link, (b"", 0.0))
        if token:
            self._sightings.parted(token, now.mono, self._patience(token), stranger=False)
        return self._settle(now)

    def wake(self, now: Now) -> list[Action]:
        """The time of ``next_wakeup`` has come."""
        return self._settle(now)

    # --- what is decided ---------------------------------------------------------------------

    @property
    def spends(self) -> Profile:
        """The profile in force: that of the person, or what the battery makes of ``NORMAL``."""
        return self._spending.profile

    @property
    def duty(self) -> Duty:
        """How we share the time while awake; who is linked better elsewhere is a neighbour too."""
        elsewhere = sum(self._at < until for _, until in self._elsewhere.values())
        return self._spending.duty(len(self._links) + elsewhere)

    @property
    def links(self) -> int:
        """How many there are, with those that have not greeted yet."""
        return len(self._links)

    @property
    def forgotten(self) -> int:
        """Sightings dropped for want of room: a storm of made-up adverts."""
        return self._sightings.forgotten

    @property
    def in_reach(self) -> int:
        """Peers heard in the minute before the last event."""
        return self._sightings.heard_since(self._at - SIGHTING_LIFE_S)

    def awake(self, now: Now) -> bool:
        """The adapter is on, and this is no hour to sleep."""
        return self._on and self._spending.awake(now)

    def next_wakeup(self, now: Now) -> float | None:
        """Monotonic time at which ``wake`` is due; None: only after news."""
        if not self._on:
            return None
        if self._slept == self.awake(now):
            return now.mono  # falling asleep or waking up is overdue
        due = self._spending.turns_at(now)
        if self.awake(now):
            due.append(self._rotation())
            if self._dialling is not None:
                due.append(self._dial_until)
            elif self._central:
                due.append(self._scan_to if self._scans else self._scan_from)
                due += [self._ready_at(sighting) for sighting in self._candidates(now.mono)]
            if self._crowded():
                if self._victim(now.mono) is not None:
                    return now.mono
                ends = [link.since + IDLE_S for link in self._links.values()]
                due += [end for end in ends if end > now.mono]
        return max(now.mono, min(due))

    def _settle(self, now: Now) -> list[Action]:
        """What has to be done by now, and then what the radio should be at."""
        if not self._on:
            return []
        actions: list[Action] = []
        at = self._at = now.mono
        ahead, self._ahead = self._ahead, now.wall - now.mono
        suspended = self._ahead - ahead > SUSPENDED_S
        self._slept = not self.awake(now)
        if self._dialling is not None and (at >= self._dial_until or self._slept):
            if at >= self._dial_until:
                self._missed(at)
            self._dialling = None
            actions.append(CancelDial())
        dial: list[Action] = []
        if self._slept:
            actions += self._close_all("asleep")
        else:
            if at >= self._rotation() or suspended:
                actions += self._rotate(at)
            actions += self._evict(at)
            chosen = self._chosen(at) if self._dialling is None else None
            if chosen is not None:
                if len(self._links) >= LINKS_WANTED:
                    self._looked_at = at + LOOK_S * self._random.uniform(0, DUTY_SPREAD)
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
        self._sightings.postpone(self._patience, at)
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

    def _victim(self, at: float) -> int | None:
        """The least useful of those who had their time, if these are too many.

        Newcomers do not count yet: they may turn out to be contacts, or useful.
        """
        old = {n: link for n, link in self._links.items() if at >= link.since + IDLE_S}
        strangers = [n for n, link in old.items() if not link.contact]
        if len(strangers) > STRANGERS_MAX or (len(old) > LINKS_MAX and strangers):
            return min(strangers, key=lambda n: (old[n].worth(at), old[n].since))
        if len(old) > LINKS_MAX:
            return min(old, key=lambda n: (old[n].worth(at), old[n].since))
        return None

    def _evict(self, at: float) -> list[Action]:
        """Let go whom there is no room for."""
        actions: list[Action] = []
        while (number := self._victim(at)) is not None:
            link = self._links.pop(number)
            if link.token:
                self._sightings.fail(link.token, at, BACKOFF_MAX_S)
            self._parted(link, at)
            self.turned_away += 1
            actions.append(Close(number, "turned_away"))
        return actions

    def _parted(self, link: _Link, at: float) -> None:
        """A link is over."""
        patience = self._patience(link.token)
        self._sightings.parted(link.token, at, patience, stranger=not link.contact)

    def _spare(self, kept: int, token: bytes, at: float) -> None:
        """Whoever has this token is linked better than we could."""
        self._sightings.succeed(token)
        self._elsewhere.pop(kept, None)
        while len(self._elsewhere) >= ELSEWHERE_MAX:
            del self._elsewhere[next(iter(self._elsewhere))]
        self._elsewhere[kept] = token, at + ELSEWHERE_S

    # --- dialling ----------------------------------------------------------------------------

    def _patience(self, token: bytes) -> float:
        """How long the other side has the first tries."""
        if not self._peripheral:
            return 0.0  # nobody hears us
        if not token:
            return self._random.uniform(0, NO_TOKEN_S)
        return 0.0 if self.token < token else YIELD_S + self._random.uniform(0, YIELD_JITTER_S)

    def _missed(self, at: float) -> None:
        """Nobody answered."""
        if self._dialling is None:
            return
        self._sightings.fail(self._dialling.key, at)
        self._dialling.heard_at = min(self._dialling.heard_at, at - FRESH_S - 1)  # to be heard anew
        self._dialling = None
        self._misses = min(self._misses + 1, MISSES_MAX)
        if self._misses > MISSES_FREE:
            pause = min(PAUSE_MAX_S, 2.0 ** (self._misses - MISSES_FREE))
            self._paused_until = at + pause * self._spread(DUTY_SPREAD)

    def _candidates(self, at: float) -> list[Sighting]:
        """Whom we would dial now or later, as long as what was heard of them is fresh."""
        count = len(self._links)
        if not self._central or count >= LINKS_HARD_MAX - 1:  # one place is for who dials us
            return []
        linked = {link.token for link in self._links.values()}
        linked |= {token for token, until in self._elsewhere.values() if at < until}
        floor = FLOOR_DBM if count else FLOOR_ALONE_DBM
        found = self._sightings.candidates(floor, linked, strangers=count < LINKS_WANTED)
        if count >= LINKS_WANTED:  # no need: the other side looks at us if its token is lower
            found = [s for s in found if not s.token or self.token < s.token]
        return [s for s in found if max(at, self._ready_at(s)) <= s.heard_at + FRESH_S]

    def _ready_at(self, sighting: Sighting) -> float:
        look = self._looked_at + LOOK_S if len(self._links) >= LINKS_WANTED else 0.0
        return max(self._sightings.ready_at(sighting), look, self._paused_until)

    def _chosen(self, at: float) -> Sighting | None:
        """Whom to dial now."""
        ready = [sighting for sighting in self._candidates(at) if self._ready_at(sighting) <= at]
        by_chance = len(self._links) >= LINKS_WANTED - RANDOM_LINKS
        return self._sightings.best(ready, by_chance=by_chance) if ready else None
