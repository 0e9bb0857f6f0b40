"""Ids on the shelves of all nodes of a process, each held once: ``Ids`` of a node as two arrays.

In a crowd everybody offers the same thousands of ids. A dict and a list of its own at each node
would be most of the memory of a run.
"""

from array import array
from collections.abc import Iterable
from itertools import compress

from meshchat.core.shelf import Ids

ROOM = 64  # numbers more than needed: an array does not grow for each id
WORD = "I"


class IdPool:
    """Ids on any shelf of a world, numbered. A number that no shelf has is given again."""

    __slots__ = ("_free", "ids", "numbers", "shelves")

    def __init__(self) -> None:
        self.numbers: dict[bytes, int] = {}
        self.ids: list[bytes] = [b""]
        """By number; 0 is nobody's, so that it can stand for what is not there."""
        self.shelves: list[int] = [0]
        """By number: how many have it."""
        self._free: list[int] = []

    def take(self, eid: bytes) -> int:
        """The number of an id, for one more shelf."""
        number = self.numbers.get(eid)
        if number is not None:
            self.shelves[number] += 1
            return number
        if self._free:
            number = self._free.pop()
            self.ids[number], self.shelves[number] = eid, 1
        else:
            number = len(self.ids)
            self.ids.append(eid)
            self.shelves.append(1)
        self.numbers[eid] = number
        return number

    def give_back(self, number: int) -> None:
        """One shelf less has it."""
        self.shelves[number] -= 1
        if not self.shelves[number]:
            del self.numbers[self.ids[number]]
            self.ids[number] = b""
            self._free.append(number)


class SharedIds(Ids):
    """The ids on the shelf of one node."""

    def __init__(self, pool: IdPool) -> None:
        super().__init__()
        self._pool = pool
        self._order = array(WORD)  # numbers of the pool, in order of arrival
        self._places = array(WORD)  # by number of the pool: 1 + the number here; 0: not here
        shared_of, places = pool.numbers.get, self._places

        def number(eid: bytes) -> int | None:
            shared = shared_of(eid)
            if shared is None or shared >= len(places) or not places[shared]:
                return None
            return places[shared] - 1

        self.number = number

    def __len__(self) -> int:
        return len(self._order)

    def at(self, number: int) -> bytes:
        return self._pool.ids[self._order[number]]

    def places(self, eids: Iterable[bytes]) -> list[int]:
        places, shared_of = self._places, self._pool.numbers.get
        self._reach(len(self._pool.ids) - 1)
        return [places[shared_of(eid, 0)] for eid in eids]

    def several(self, numbers: Iterable[int]) -> list[bytes]:
        ids, order = self._pool.ids, self._order
        return [ids[order[number]] for number in numbers]

    def _reach(self, shared: int) -> None:
        """Make the places long enough for this number of the pool."""
        places = self._places
        if shared >= len(places):
            places.frombytes(bytes((shared + ROOM - len(places)) * places.itemsize))

    def add(self, eid: bytes) -> int:
        number = self.number(eid)
        if number is not None:
            return number
        shared, places = self._pool.take(eid), self._places
        self._reach(shared)
        self._order.append(shared)
        places[shared] = len(self._order)
        return len(self._order) - 1

    def keep(self, chosen: bytes) -> None:
        for shared, stays in zip(self._order, chosen, strict=True):
            self._places[shared] = 0
            if not stays:
                self._pool.give_back(shared)
        self._order = array(WORD, compress(self._order, chosen))
        for number, shared in enumerate(self._order):
            self._places[shared] = number + 1

    def clear(self) -> None:
        """Forget all: the node is gone."""
        self.keep(bytes(len(self._order)))
