"""How fast things may go on a link: token buckets and the window of bytes in flight. Pure."""

from collections import deque

from msgspec import Struct

from meshchat.core.limits import (
    CREDIT_BYTES,
    CREDIT_FREE_S,
    CREDIT_MAX_BYTES,
    CREDIT_MIN_BYTES,
    CREDIT_SLACK_S,
)
from meshchat.errors import QuotaError


class Bucket(Struct):
    """Token bucket: ``burst`` at once, ``rate`` a second after that."""

    burst: float
    rate: float
    level: float
    at: float

    @classmethod
    def full(cls, burst: float, rate: float, now: float) -> "Bucket":
        return cls(burst, rate, burst, now)

    def refill(self, now: float) -> float:
        self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now
        return self.level

    def wait(self, need: float) -> float:
        """Seconds from the last refill until ``need`` tokens are there."""
        return max(0.0, (need - self.level) / self.rate)


class Window:
    """How many PART bytes may be in flight (design study, lan.md 3.3): pure, per link.

    Grows while credit comes back about as quickly as it ever did, or quickly at all, and shrinks
    when bytes begin to queue somewhere on the way, so that chat never waits long behind a file.
    Its times are ``Now.idle``: what we were at work ourselves is no waiting.
    """

    def __init__(self) -> None:
        self.size = CREDIT_BYTES
        self.in_flight = 0
        self._sent = 0
        self._credited = 0
        self._marks: deque[tuple[int, float]] = deque()  # (bytes sent so far, when)
        self._quickest = float("inf")
        self._cut_at = 0  # what left before that says nothing of the window since

    @property
    def room(self) -> int:
        return self.size - self.in_flight

    def send(self, size: int, now: float) -> None:
        """``size`` bytes leave."""
        self.in_flight += size
        self._sent += size
        self._marks.append((self._sent, now))

    def credit(self, size: int, now: float) -> None:
        """``size`` bytes were processed. Raises QuotaError if they never were in flight."""
        if size > self.in_flight:
            raise QuotaError("credit_overrun")
        self.in_flight -= size
        self._credited += size
        waited = 0.0
        while self._marks and self._marks[0][0] <= self._credited:
            waited = now - self._marks.popleft()[1]
        self._quickest = min(self._quickest, waited)
        if waited <= max(self._quickest + CREDIT_SLACK_S, CREDIT_FREE_S):
            # Threefold each round trip while nothing ever queued: each costs the peer a commit.
            self.size = min(CREDIT_MAX_BYTES, self.size + (size if self._cut_at else 2 * size))
        elif self._credited > self._cut_at:
            self.size = max(CREDIT_MIN_BYTES, self.size // 2)
            self._cut_at = self._sent
