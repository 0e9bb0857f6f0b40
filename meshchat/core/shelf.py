"""What we offer to neighbours, and what each of them is known to have already.

Everything on offer has a number, in order of arrival; what a neighbour has is one bit each. A
neighbour met again is offered only what is new to it: the cost of a meeting grows with what
changed, not with what we hold. Kept in memory, by node key, so for a day at most.
"""

from array import array
from collections import deque
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from itertools import compress

from meshchat.core.limits import NEIGHBOURS_REMEMBERED_MAX
from meshchat.core.model import BULK_CLASS, HINT_CLASS_SHIFT, PIECES_BITS_MAX, TAG_BITS, class_of
from meshchat.core.riblt import Sketch
from meshchat.core.wire import HINTS_KEPT_MAX, PROOF_HINT

# Proofs, the two small classes, then bulk by how large its file is: more arrives before a link is
# cut, and of a large file only the whole is of use.
RANKS = range(1 + BULK_CLASS + PIECES_BITS_MAX + 1)
PROOF_RANK = 0  # before every envelope: it is small, and it frees space
BULK_RANK = 1 + BULK_CLASS
SMALL_RANKS = range(PROOF_RANK + 1, BULK_RANK)
_PART_MASK = (1 << HINT_CLASS_SHIFT) - 1
_SALT = b"mc1 shelf"  # public: the comparison is safe by its digest, not by this
_SKETCH_STEP_IDS = 64  # put into a sketch in one step, 2 ms: a large store is not for one event
_SKETCH_BEHIND_IDS = 512  # put into it when it is needed, 15 ms: all the rest is a list otherwise
_SPARE_NUMBERS = 4_096  # kept for what has gone: renumbering is not for every envelope
_CHOSEN = bytes.maketrans(b"01", b"\0\1")


@lru_cache(HINTS_KEPT_MAX)
def rank_of(hint: int) -> int:
    """What goes first, lowest first."""
    if hint == PROOF_HINT:
        return PROOF_RANK
    size_class = class_of(hint)
    if size_class < BULK_CLASS:
        return 1 + size_class
    return BULK_RANK + ((hint & _PART_MASK) >> TAG_BITS)


class Ids:
    """Different ids, each with a number in order of arrival, from 0."""

    def __init__(self) -> None:
        self._numbers: dict[bytes, int] = {}
        self._ids: list[bytes] = []
        self.number: Callable[[bytes], int | None] = self._numbers.get
        """Of an id; None: it is not here."""

    def __len__(self) -> int:
        return len(self._ids)

    def at(self, number: int) -> bytes:
        """The id with this number."""
        return self._ids[number]

    def places(self, eids: Iterable[bytes]) -> list[int]:
        """1 + the number of each of these; 0: it is not here."""
        get = self._numbers.get
        return [get(eid, -1) + 1 for eid in eids]

    def several(self, numbers: Iterable[int]) -> list[bytes]:
        """The ids with these numbers."""
        return list(map(self._ids.__getitem__, numbers))

    def add(self, eid: bytes) -> int:
        """The number of an id; the next one if it is new."""
        number = self._numbers.setdefault(eid, len(self._ids))
        if number == len(self._ids):
            self._ids.append(eid)
        return number

    def keep(self, chosen: bytes) -> None:
        """Forget those whose byte is 0, a byte for each; the others close up."""
        self._ids[:] = compress(self._ids, chosen)
        self._numbers.clear()
        self._numbers.update((eid, number) for number, eid in enumerate(self._ids))


class Shelf:
    """Shared by all links of a node."""

    def __init__(self, ids: Ids | None = None) -> None:
        self._ids = Ids() if ids is None else ids  # an empty one is false
        self._hints = array("H")
        self._live = dict.fromkeys(RANKS, 0)
        self._given = 0  # what some neighbour took from us: what nobody has yet goes before it
        self._dear = 0  # our own mail to people, and what contacts brought
        self._known: dict[bytes, int] = {}  # node key -> mask; last met last
        self._tidy_at = _SPARE_NUMBERS
        self._sketch: Sketch | None = None
        self._unsketched: deque[bytes] = deque()

    def add(self, eid: bytes, hint: int) -> None:
        """This is to be had here from now on."""
        self.add_all(((eid, hint),))

    def add_all(self, offers: Iterable[tuple[bytes, int]]) -> None:
        """The same of several: the masks are as long as the store is large."""
        places: dict[int, list[int]] = {}
        for eid, hint in offers:
            places.setdefault(rank_of(hint), []).append(self._number(eid, hint))
            if self._sketch is not None:
                self._unsketched.append(eid)
        for rank, numbers in places.items():
            self._live[rank] |= _mask(numbers)
        self._tidy()

    def _number(self, eid: bytes, hint: int) -> int:
        number = self._ids.add(eid)
        if number == len(self._hints):
            self._hints.append(hint)
        return number

    def remove(self, eids: Iterable[bytes]) -> None:
        """These are not to be had any more."""
        places: dict[int, list[int]] = {}
        for eid in eids:
            number = self._ids.number(eid)
            if number is not None:
                places.setdefault(rank_of(self._hints[number]), []).append(number)
                if self._sketch is not None:
                    self._sketch.remove(eid)
        for rank, numbers in places.items():
            self._live[rank] &= ~_mask(numbers)
        self._tidy()

    def renew(self, offered: Iterable[tuple[bytes, int]]) -> None:
        """Make this all there is, in order of arrival within each class, and forget the rest."""
        masks: dict[int, list[int]] = {rank: [] for rank in RANKS}
        for eid, hint in offered:
            masks[rank_of(hint)].append(self._number(eid, hint))
        self._live = {rank: _mask(places) for rank, places in masks.items()}
        self._tidy()
        if self._sketch is not None:
            here = self.everything()
            for eid in [eid for eid in self._sketch if eid not in here]:
                self._sketch.remove(eid)
            self._unsketched = deque(sorted(eid for eid in here if eid not in self._sketch))

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
        chosen = f"{live:0{len(self._ids)}b}"[::-1].encode().translate(_CHOSEN)
        self._ids.keep(chosen)
        self._hints = array("H", compress(self._hints, chosen))
        self._live = {key: _squeeze(mask, chosen) for key, mask in self._live.items()}
        self._known = {key: _squeeze(mask, chosen) for key, mask in self._known.items()}
        self._given = _squeeze(self._given, chosen)
        self._dear = _squeeze(self._dear, chosen)

    def everything(self) -> set[bytes]:
        """Ids of all that is to be had here now."""
        at = self._ids.at
        return {at(place) for mask in self._live.values() for place in _places(mask)}

    def missing(self, key: bytes, contact: bool = False) -> dict[bytes, int]:
        """Ids, and their hints, of all a neighbour is not known to have, best first.

        A contact gets our own mail and that of our contacts before that of strangers: the link
        may end soon. To others that order would tell what we wrote.
        """
        known = self._known.pop(key, 0)
        self._known[key] = known  # it was met last
        while len(self._known) > NEIGHBOURS_REMEMBERED_MAX:
            del self._known[next(iter(self._known))]  # costs offers made twice, nothing else
        hints, given = self._hints, self._given
        dear = self._dear & ~given & ~known if contact else 0
        unknown = ~known
        chosen: list[int] = []
        for rank in RANKS:
            live = self._live[rank] & unknown
            if not live and not (dear and rank == PROOF_RANK):
                continue
            if rank == PROOF_RANK:
                parts = [live] + [self._live[small] & dear for small in SMALL_RANKS]
            elif rank < BULK_RANK:
                parts = [live & ~dear & ~given, live & ~dear & given]
            else:
                # What we gave to nobody yet; then the chunks of one file together, and all files
                # in the same order everywhere, so that they meet again whole.
                # The ids have no say: they differ where cryptography is left out (sim/fast.py).
                order = [(given >> place & 1, hints[place], place) for place in _places(live)]
                chosen += [place for _, _, place in sorted(order)]
                continue
            for part in parts:
                chosen += _places(part)
        return dict(zip(self._ids.several(chosen), map(hints.__getitem__, chosen), strict=True))

    def prefer(self, eids: Iterable[bytes]) -> None:
        """These are dear to us: contacts get them first."""
        self._dear |= _mask([place - 1 for place in self._ids.places(eids) if place])

    def dear(self, eids: Collection[bytes]) -> list[bytes]:
        """Which of these contacts get first."""
        dear = self._dear << 1
        places = self._ids.places(eids) if dear else ()
        return [eid for eid, place in zip(eids, places, strict=False) if dear >> place & 1]

    def sketch(self) -> Sketch | None:
        """All that is to be had here as a set to compare; None while it is being made."""
        if self._sketch is None:
            self._sketch = Sketch(_SALT)
            self._unsketched.extend(sorted(self.everything()))
        if len(self._unsketched) <= _SKETCH_BEHIND_IDS:
            self.prepare(_SKETCH_BEHIND_IDS)
        return None if self._unsketched else self._sketch

    @property
    def unsketched(self) -> int:
        """How many ids have to be put into the sketch before it can be used."""
        return len(self._unsketched)

    def prepare(self, most: int = _SKETCH_STEP_IDS) -> None:
        """Go on making the sketch, a little."""
        if self._sketch is not None:
            for _ in range(min(most, len(self._unsketched))):
                eid = self._unsketched.popleft()
                if self.hints_of((eid,))[0] is not None:
                    self._sketch.add(eid)

    def hints_of(self, eids: Collection[bytes]) -> list[int | None]:
        """The hint of each of these; None: it cannot be had here now."""
        hints, live = self._hints, self._live
        found: list[int | None] = []
        for place in self._ids.places(eids):
            hint = hints[place - 1] if place else None
            here = hint is not None and live[rank_of(hint)] >> place - 1 & 1
            found.append(hint if here else None)
        return found

    def count_small(self) -> int:
        """How many envelopes of the small classes are to be had here."""
        return sum(self._live[rank].bit_count() for rank in SMALL_RANKS)

    def gave(self, eids: Iterable[bytes]) -> None:
        """A neighbour has taken these into its custody."""
        for eid in eids:
            number = self._ids.number(eid)
            if number is not None:
                self._given |= 1 << number

    def learn(self, key: bytes, eids: Collection[bytes]) -> list[bytes]:
        """A neighbour said that it has these, or does not want them; returns those not here."""
        places = self._ids.places(eids)
        bits = [place - 1 for place in places if place]
        if bits:
            self._known[key] = self._known.get(key, 0) | _mask(bits)
        if len(bits) == len(places):
            return []
        return [eid for eid, place in zip(eids, places, strict=True) if not place]

    def known(self, key: bytes, eids: Collection[bytes]) -> set[bytes]:
        """Which of these a neighbour said so of, if they are or were to be had here."""
        mask = self._known.get(key, 0) << 1  # so that the place of what is not here has no bit
        if not mask:
            return set()
        places = self._ids.places(eids)
        return {eid for eid, place in zip(eids, places, strict=True) if mask >> place & 1}

    def knows(self, key: bytes, eid: bytes) -> bool:
        """Whether a neighbour said so of something that is or was to be had here."""
        return bool(self.known(key, (eid,)))


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


def _places(mask: int) -> list[int]:
    """Which bits are set, lowest first."""
    found: list[int] = []
    if mask:
        digits = f"{mask:b}"[::-1]
        place = digits.find("1")
        while place >= 0:
            found.append(place)
            place = digits.find("1", place + 1)
    return found
