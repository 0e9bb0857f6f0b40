"""What we offer to neighbours, and what each of them is known to have already.

Everything on offer has a number, in order of arrival; what a neighbour has is one bit each. A
neighbour met again is offered only what is new to it: the cost of a meeting grows with what
changed, not with what we hold. Kept in memory, by node key, so for a day at most.
"""

from collections.abc import Iterable, Iterator

from meshchat.core.limits import NEIGHBOURS_REMEMBERED_MAX

PROOF_CLASS = -1  # goes before every envelope: it is small, and it frees space
_CLASSES = (PROOF_CLASS, 0, 1, 2, 3)  # small first: more of it arrives before a link is cut


class Shelf:
    """Shared by all links of a node."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._ids: list[bytes] = []
        self._base = 0  # number of the first of ``_ids``, and of bit 0 of every mask
        self._live = dict.fromkeys(_CLASSES, 0)
        self._known: dict[bytes, int] = {}  # node key -> mask; last met last

    def add(self, eid: bytes, size_class: int) -> None:
        """This is to be had here from now on."""
        number = self._numbers.get(eid)
        if number is None:
            number = self._numbers[eid] = self._base + len(self._ids)
            self._ids.append(eid)
        self._live[size_class] |= 1 << (number - self._base)

    def remove(self, eids: Iterable[bytes]) -> None:
        """These are not to be had any more."""
        for eid in eids:
            number = self._numbers.get(eid)
            if number is not None:
                mask = ~(1 << (number - self._base))
                for size_class in _CLASSES:
                    self._live[size_class] &= mask

    def renew(self, offered: Iterable[tuple[bytes, int]]) -> None:
        """Make this all there is, in order of arrival within each class, and forget the rest."""
        self._live = dict.fromkeys(_CLASSES, 0)
        masks: dict[int, list[int]] = {size_class: [] for size_class in _CLASSES}
        for eid, size_class in offered:
            number = self._numbers.get(eid)
            if number is None:
                number = self._numbers[eid] = self._base + len(self._ids)
                self._ids.append(eid)
            masks[size_class].append(number - self._base)
        for size_class, bits in masks.items():
            self._live[size_class] = _mask(bits)
        self._forget_dead()

    def _forget_dead(self) -> None:
        """Numbers below the first that is still in use go, from here and from every mask."""
        live = 0
        for mask in self._live.values():
            live |= mask
        dead = (live & -live).bit_length() - 1 if live else len(self._ids)
        if dead > len(self._ids) // 2:
            for eid in self._ids[:dead]:
                del self._numbers[eid]
            del self._ids[:dead]
            self._base += dead
            self._live = {size_class: mask >> dead for size_class, mask in self._live.items()}
            self._known = {key: mask >> dead for key, mask in self._known.items()}

    def missing(self, key: bytes) -> Iterator[tuple[bytes, int]]:
        """``(id, size class)`` of all a neighbour is not known to have, best first."""
        known = self._known.pop(key, 0)
        self._known[key] = known  # it was met last
        if len(self._known) > NEIGHBOURS_REMEMBERED_MAX:
            del self._known[next(iter(self._known))]  # costs offers made twice, nothing else
        for size_class in _CLASSES:
            for place in _places(self._live[size_class] & ~known):
                yield self._ids[place], size_class

    def learn(self, key: bytes, eids: Iterable[bytes]) -> None:
        """A neighbour has these, or does not want them."""
        numbers = self._numbers
        base = self._base
        bits = [numbers[eid] - base for eid in eids if eid in numbers]
        if bits:
            self._known[key] = self._known.get(key, 0) | _mask(bits)


def _mask(places: list[int]) -> int:
    """An integer with these bits set, in one pass however many they are."""
    if len(places) < 8:
        mask = 0
        for place in places:
            mask |= 1 << place
        return mask
    bits = bytearray(max(places) // 8 + 1)
    for place in places:
        bits[place >> 3] |= 1 << (place & 7)
    return int.from_bytes(bits, "little")


def _places(mask: int) -> Iterator[int]:
    """Which bits are set, lowest first."""
    if mask:
        digits = f"{mask:b}"[::-1]
        place = digits.find("1")
        while place >= 0:
            yield place
            place = digits.find("1", place + 1)
