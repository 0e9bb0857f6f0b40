"""What we offer to neighbours, and what each of them is known to have already.

Everything on offer has a number, in order of arrival; what a neighbour has is one bit each. A
neighbour met again is offered only what is new to it: the cost of a meeting grows with what
changed, not with what we hold. Kept in memory, by node key, so for a day at most.
"""

from collections.abc import Iterable, Iterator
from itertools import compress

from meshchat.core.limits import NEIGHBOURS_REMEMBERED_MAX

PROOF_CLASS = -1  # goes before every envelope: it is small, and it frees space
_CLASSES = (PROOF_CLASS, 0, 1, 2, 3)  # small first: more of it arrives before a link is cut
_SPARE_NUMBERS = 4_096  # kept for what has gone: renumbering is not for every envelope
_CHOSEN = bytes.maketrans(b"01", b"\0\1")


class Shelf:
    """Shared by all links of a node."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._ids: list[bytes] = []
        self._live = dict.fromkeys(_CLASSES, 0)
        self._known: dict[bytes, int] = {}  # node key -> mask; last met last
        self._tidy_at = _SPARE_NUMBERS

    def add(self, eid: bytes, size_class: int) -> None:
        """This is to be had here from now on."""
        self._live[size_class] |= 1 << self._number(eid)
        self._tidy()

    def _number(self, eid: bytes) -> int:
        number = self._numbers.setdefault(eid, len(self._ids))
        if number == len(self._ids):
            self._ids.append(eid)
        return number

    def remove(self, eids: Iterable[bytes]) -> None:
        """These are not to be had any more."""
        for eid in eids:
            number = self._numbers.get(eid)
            if number is not None:
                mask = ~(1 << number)
                for size_class in _CLASSES:
                    self._live[size_class] &= mask

    def renew(self, offered: Iterable[tuple[bytes, int]]) -> None:
        """Make this all there is, in order of arrival within each class, and forget the rest."""
        masks: dict[int, list[int]] = {size_class: [] for size_class in _CLASSES}
        for eid, size_class in offered:
            masks[size_class].append(self._number(eid))
        self._live = {size_class: _mask(places) for size_class, places in masks.items()}
        self._tidy()

    def _tidy(self) -> None:
        """Give the numbers of what has gone to what comes, before they outnumber what is here.

        A flood that comes and goes would else make every mask longer with each envelope.
        """
        if len(self._ids) <= self._tidy_at:
            return
        live = 0
        for mask in self._live.values():
            live |= mask
        self._tidy_at = 2 * live.bit_count() + _SPARE_NUMBERS
        if len(self._ids) <= self._tidy_at:
            return
        chosen = f"{live:b}"[::-1].encode().translate(_CHOSEN)
        self._ids = list(compress(self._ids, chosen))
        self._numbers = {eid: number for number, eid in enumerate(self._ids)}
        self._live = {key: _squeeze(mask, chosen) for key, mask in self._live.items()}
        self._known = {key: _squeeze(mask, chosen) for key, mask in self._known.items()}

    def everything(self) -> set[bytes]:
        """Ids of all that is to be had here now."""
        return {self._ids[place] for mask in self._live.values() for place in _places(mask)}

    def missing(self, key: bytes) -> Iterator[tuple[bytes, int]]:
        """``(id, size class)`` of all a neighbour is not known to have, best first."""
        known = self._known.pop(key, 0)
        self._known[key] = known  # it was met last
        while len(self._known) > NEIGHBOURS_REMEMBERED_MAX:
            del self._known[next(iter(self._known))]  # costs offers made twice, nothing else
        for size_class in _CLASSES:
            for place in _places(self._live[size_class] & ~known):
                yield self._ids[place], size_class

    def learn(self, key: bytes, eids: Iterable[bytes]) -> None:
        """A neighbour said that it has these, or will never want them."""
        numbers = self._numbers
        bits = [numbers[eid] for eid in eids if eid in numbers]
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


def _squeeze(mask: int, chosen: bytes) -> int:
    """Only the bits at these places, close together."""
    return int("".join(compress(f"{mask:b}"[::-1], chosen))[::-1] or "0", 2)


def _places(mask: int) -> Iterator[int]:
    """Which bits are set, lowest first."""
    if mask:
        digits = f"{mask:b}"[::-1]
        place = digits.find("1")
        while place >= 0:
            yield place
            place = digits.find("1", place + 1)
