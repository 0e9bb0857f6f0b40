"""How a radio shares its time: by the person's choice, the battery, and its neighbours. Pure."""

from enum import Enum
from typing import NamedTuple

from meshchat.core.model import Now
from meshchat.net.ble.limits import (
    FULL_BATTERY,
    LINKS_WANTED,
    LOW_BATTERY,
    SAVER_EVERY_S,
    SAVER_ON_S,
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


class Spending:
    """What is spent now."""

    def __init__(self, profile: Profile, battery: float | None) -> None:
        """``battery``: 0 to 1; None on mains."""
        self.chosen = profile
        self._battery = battery
        self._saving = battery is not None and battery < LOW_BATTERY

    def power(self, battery: float | None) -> None:
        """The battery has so much left."""
        self._battery = battery
        if battery is None or battery > FULL_BATTERY:
            self._saving = False
        elif battery < LOW_BATTERY:
            self._saving = True

    @property
    def profile(self) -> Profile:
        """The one in force: the person's, or what the battery makes of ``NORMAL``."""
        if self.chosen is not Profile.NORMAL:
            return self.chosen
        if self._battery is None:
            return Profile.ALWAYS
        return Profile.SAVER if self._saving else Profile.NORMAL

    def duty(self, links: int) -> Duty:
        """While awake, with so many links."""
        return _DUTY[self.profile][0 if not links else 1 if links < LINKS_WANTED else 2]

    def awake(self, now: Now) -> bool:
        """This is no hour to sleep."""
        return self.profile is not Profile.SAVER or now.wall % SAVER_EVERY_S < SAVER_ON_S

    def turns_at(self, now: Now) -> list[float]:
        """Monotonic time at which a saver falls asleep or wakes up."""
        if self.profile is not Profile.SAVER:
            return []
        since = now.wall % SAVER_EVERY_S
        return [now.mono + (SAVER_ON_S if since < SAVER_ON_S else SAVER_EVERY_S) - since]
