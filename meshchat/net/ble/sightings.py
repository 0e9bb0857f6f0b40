"""Who was heard, who failed, and whom to dial of them: bounded against made-up peers. Pure."""

from collections.abc import Callable, Hashable
from random import Random

from msgspec import Struct

from meshchat.net.ble.limits import (
    BACKOFF_FIRST_S,
    BACKOFF_MAX_S,
    BACKOFFS_MAX,
    DUTY_SPREAD,
    FRESH_S,
    SIGHTING_LIFE_S,
    SIGHTINGS_MAX,
)


class Sighting(Struct):
    """Somebody who was heard."""

    address: Hashable
    token: bytes
    """Of the advert; empty if it had none."""
    rssi: int
    heard_at: float
    not_before: float
    """Do not dial sooner."""
    again: bool = False
    """Heard more than once: not made up for a single advert."""
    stranger: bool = False
    """Was linked under this token, and is nobody we know."""

    @property
    def key(self) -> Hashable:
        """The token, or where there is none the address."""
        return self.token or self.address


class Sightings:
    """Adverts by token, and back-offs by the same."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._seen: dict[Hashable, Sighting] = {}
        self._at: dict[Hashable, Hashable] = {}  # key by address
        self._failing: dict[Hashable, tuple[float, float]] = {}  # (back-off in s, until)
        self.forgotten = 0
        """Sightings dropped for want of room."""

    def __len__(self) -> int:
        return len(self._seen)

    def heard_since(self, when: float) -> int:
        """How many were heard after that."""
        return sum(sighting.heard_at > when for sighting in self._seen.values())

    def clear(self) -> None:
        """The radio went: nobody is in reach for all we know."""
        self._seen.clear()
        self._at.clear()
        self._failing.clear()

    def heard(
        self, token: bytes, address: Hashable, rssi: int, now: float, patience: Callable[[], float]
    ) -> bool:
        """An advert; True if its sender is new.

        Args:
            token: Its token, or empty.
            address: Where it can be dialled.
            rssi: dBm.
            now: Monotonic seconds.
            patience: How long a newcomer is not dialled.
        """
        sighting = self._seen.get(token or address)
        if sighting is None:
            self._remove(self._at.get(address))  # it has another token now
            self._make_room(now)
            self._add(Sighting(address, token, rssi, now, now + patience()))
            return True
        if now - sighting.heard_at > SIGHTING_LIFE_S:
            sighting.not_before = now + patience()
        sighting.again = True
        sighting.rssi, sighting.heard_at = rssi, now
        if sighting.address != address:
            self._remove(sighting.key)
            sighting.address = address
            self._add(sighting)
        return False

    def _add(self, sighting: Sighting) -> None:
        self._seen[sighting.key] = sighting
        self._at[sighting.address] = sighting.key

    def _remove(self, key: Hashable) -> None:
        if (sighting := self._seen.pop(key, None)) is not None:
            self._at.pop(sighting.address, None)

    def parted(self, key: Hashable, now: float, patience: float, *, stranger: bool) -> None:
        """A link with it ended: it has to be heard anew, and not both dial at once."""
        if (sighting := self._seen.get(key)) is not None:
            sighting.heard_at = min(sighting.heard_at, now - FRESH_S - 1)
            sighting.not_before = now + patience
            sighting.stranger = stranger

    def _make_room(self, now: float) -> None:
        """For one more; who was heard once has to go first."""
        if len(self._seen) < SIGHTINGS_MAX:
            return
        limit = now - SIGHTING_LIFE_S
        for key in [key for key, sighting in self._seen.items() if sighting.heard_at <= limit]:
            self._remove(key)
        if len(self._seen) < SIGHTINGS_MAX:
            return
        once = [key for key, sighting in self._seen.items() if not sighting.again]
        # With nobody heard once anybody goes, or 256 made-up peers would hide all others.
        self._remove(self._random.choice(once or list(self._seen)))
        self.forgotten += 1

    def postpone(self, patience: Callable[[bytes], float], now: float) -> None:
        """Our own token changed: who dials whom is another matter now."""
        for sighting in self._seen.values():
            sighting.not_before = now + patience(sighting.token)

    # --- failing -------------------------------------------------------------------------------

    def fail(self, key: Hashable, now: float, least: float = BACKOFF_FIRST_S) -> None:
        """Wait twice as long as the last time, and at least so long."""
        last, _ = self._failing.pop(key, (0.0, 0.0))
        wait = min(BACKOFF_MAX_S, max(least, 2 * last))
        while len(self._failing) >= BACKOFFS_MAX:
            del self._failing[next(iter(self._failing))]
        spread = self._random.uniform(1 - DUTY_SPREAD, 1 + DUTY_SPREAD)
        self._failing[key] = (wait, now + wait * spread)

    def succeed(self, key: Hashable) -> None:
        """All is well with this one."""
        self._failing.pop(key, None)

    # --- dialling ------------------------------------------------------------------------------

    def ready_at(self, sighting: Sighting) -> float:
        """When it may be dialled."""
        _, until = self._failing.get(sighting.key, (0.0, 0.0))
        return max(sighting.not_before, until)

    def candidates(self, floor: int, linked: set[bytes], *, strangers: bool) -> list[Sighting]:
        """Who may be dialled, now or later.

        Args:
            floor: dBm; weaker ones are left out.
            linked: Tokens of those who are linked.
            strangers: Also those of whom we know that they are no contacts.
        """
        return [
            sighting
            for sighting in self._seen.values()
            if sighting.rssi >= floor
            and (not sighting.token or sighting.token not in linked)
            and (strangers or not sighting.stranger)
        ]

    def best(self, ready: list[Sighting], *, by_chance: bool) -> Sighting:
        """The least failed, then who was heard more than once, then strength or chance."""

        def rank(sighting: Sighting) -> tuple[float, bool]:
            wait, _ = self._failing.get(sighting.key, (0.0, 0.0))
            return wait, not sighting.again

        first = min(map(rank, ready))
        ready = [sighting for sighting in ready if rank(sighting) == first]
        if by_chance:
            return self._random.choice(ready)
        return max(ready, key=lambda sighting: sighting.rssi)
