"""Seeded chance that is the same on every machine and Python version.

Only ``random.Random.random`` is used, whose sequence Python promises to keep, and no function
whose last digit depends on the C library: no logarithm, sine or cosine.
"""

import hashlib
import random
from collections.abc import MutableSequence, Sequence
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """One stream of chance. Streams with different names do not disturb each other."""

    def __init__(self, seed: int, *name: object) -> None:
        """``seed`` and ``name`` choose the stream; names are compared by their text."""
        text = "/".join(map(str, (seed, *name)))
        digest = hashlib.blake2b(text.encode(), digest_size=16).digest()
        self._next = random.Random(int.from_bytes(digest, "big")).random

    def uniform(self, low: float = 0.0, high: float = 1.0) -> float:
        """Evenly from ``low`` up to ``high``."""
        return low + (high - low) * self._next()

    def below(self, n: int) -> int:
        """A whole number from 0 to ``n - 1``."""
        return int(self._next() * n)

    def happens(self, probability: float) -> bool:
        """True with this probability."""
        return self._next() < probability

    def pick(self, choices: Sequence[T]) -> T:
        """One of ``choices``."""
        return choices[self.below(len(choices))]

    def shuffle(self, items: MutableSequence[T]) -> None:
        """Put ``items`` into random order (Fisher and Yates)."""
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]

    def sample(self, choices: Sequence[T], n: int) -> list[T]:
        """``n`` different ones of ``choices``, in random order; all of them if there are fewer."""
        pool = list(choices)
        self.shuffle(pool)
        return pool[:n]

    def exponential(self, mean: float) -> float:
        """An exponential waiting time (von Neumann's method: comparisons only)."""
        whole = 0
        while True:
            first = last = self._next()
            falls = 1
            while (following := self._next()) < last:
                last = following
                falls += 1
            if falls % 2:
                return mean * (whole + first)
            whole += 1

    def in_disc(self, radius: float) -> tuple[float, float]:
        """A point evenly in a disc around the origin."""
        while True:
            x, y = self.uniform(-1, 1), self.uniform(-1, 1)
            if x * x + y * y <= 1:
                return radius * x, radius * y
