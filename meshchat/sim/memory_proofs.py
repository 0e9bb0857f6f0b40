"""The part of ``MemoryStore`` that knows ids: what each is here, when it ends, delivery proofs.

A node's knowledge is columns over the numbers of the ``Pool``: for each number what it is here
and when it came. Lists of ids are arrays of numbers.
"""

import heapq
from array import array
from bisect import bisect_right, insort
from collections.abc import Sequence
from itertools import chain

from meshchat import custody_tables
from meshchat.core.limits import RELEASE_AHEAD_MAX_S
from meshchat.core.model import Fate, Partial, Proof
from meshchat.sim.journal import Journal
from meshchat.sim.pool import Pool, Token

UNKNOWN, HELD = 0, 1  # of what a number is here; envelopes have 1 + their fate
FATES = (None, *Fate)
PROOF = len(FATES)
ROOM = 64  # numbers more than needed: columns do not grow for each one
GAPS_MAX = 64  # in the times of proofs, more than there are proofs: closing up takes them all
WORD = "I"  # of columns and of arrays of numbers, 4 bytes


class Hour:
    """All that expires in one hour."""

    __slots__ = ("held", "proofs", "seen")

    def __init__(self) -> None:
        self.seen = array(WORD)
        """Envelopes, in order of arrival."""
        self.held = 0
        """How many of them are held."""
        self.proofs: array[int] | None = None


def by_number(row: tuple[int, object]) -> int:
    """For sorting rows that begin with the number of their arrival."""
    return row[0]


class MemoryProofs(Journal):
    """Ids, proofs and cut transfers of one node."""

    __slots__ = (
        "_arrival",
        "_due",
        "_gone",
        "_hours",
        "_lot",
        "_made",
        "_order",
        "_partials",
        "_pool",
        "_state",
        "_times",
    )

    def __init__(self, pool: Pool | None = None) -> None:
        super().__init__()
        self._pool = pool if pool is not None else Pool()
        self._made = 0  # numbers given to arrivals, lots and partials: never used again
        self._state = bytearray()
        self._arrival = array(WORD)  # of an envelope; of a proof its place in ``_times``
        self._lot = array(WORD)  # of an envelope that is held: the number of its lot
        self._gone: list[int] = []  # given back to the pool when this transaction is kept
        self._hours: dict[int, Hour] = {}
        self._due: list[int] = []  # those hours, ascending
        self._times = array("d")  # when each proof is released, in order of arrival, with gaps
        self._order = array(WORD)  # proofs in order of release, then of arrival
        self._partials: dict[bytes, tuple[int, Partial]] = {}

    def _number(self) -> int:
        self._made += 1
        return self._made

    def _kept(self) -> None:
        for no in self._gone:
            self._pool.forget(no)
        self._gone.clear()

    # --- columns ---

    def _reach(self, no: int) -> None:
        """Make the columns long enough for this number."""
        if no >= len(self._state):
            more = no + ROOM - len(self._state)
            self._state.extend(bytes(more))
            for column in (self._arrival, self._lot):
                column.frombytes(bytes(more * column.itemsize))

    def known(self, ids: Sequence[bytes]) -> set[bytes]:
        pool, state = self._pool, self._state
        if len(state) < len(pool.at):
            self._reach(len(pool.at))
        number = pool.numbers.get
        found = {some for some in ids if state[number(some, 0)]}
        others = pool.others
        if others:
            several = [some for some in ids if some in others]
            found.update(some for some in several if any(state[no] for no in others[some]))
        return found

    def _hour(self, exp_h: int) -> Hour:
        hour = self._hours.get(exp_h)
        if hour is None:
            hour = self._hours[exp_h] = Hour()
            insort(self._due, exp_h)
        return hour

    # --- delivery proofs ---

    def _proof(self, done: bytes) -> int:
        """Number of a proof that is here, or 0."""
        state = self._state
        for no in self._pool.all_of(done):
            if no < len(state) and state[no] == PROOF:
                return no
        return 0

    def _release_of(self, no: int) -> float:
        return self._times[self._arrival[no]]

    def add_proof(self, proof: Proof) -> bool:
        log = self._changes()
        if self._proof(proof.done):
            return False
        token = self._pool.token(proof)
        no, order, at = token.no, self._order, proof.release_at
        self._reach(no)
        token.rows += 1
        self._state[no] = PROOF
        self._arrival[no] = len(self._times)
        self._times.append(at)
        if not order or self._release_of(order[-1]) <= at:
            order.append(no)
        else:
            order.insert(bisect_right(order, at, key=self._release_of), no)
        hour = self._hour(proof.exp_h)
        if hour.proofs is None:
            hour.proofs = array(WORD)
        hour.proofs.append(no)
        log.append((self._unprove, no, hour.proofs))
        return True

    def _unprove(self, no: int, same_hour: "array[int]") -> None:
        """The latest proof was not."""
        at = self._release_of(no)
        del self._order[bisect_right(self._order, at, key=self._release_of) - 1]
        self._times.pop()
        self._state[no] = UNKNOWN
        same_hour.pop()
        self._pool.forget(no)

    def _drop_proofs(self, gone: Sequence[int]) -> list[bytes]:
        """Forget these; returns their ``done``, sorted."""
        if not gone:
            return []
        state, arrival = self._state, self._arrival
        places = array(WORD, [arrival[no] for no in gone])
        self._changes().append((self._recall_proofs, self._order, gone, places))
        for no in gone:
            state[no] = UNKNOWN
        self._gone += gone
        self._order = array(WORD, [no for no in self._order if state[no]])
        if len(self._times) > 2 * len(self._order) + GAPS_MAX:
            self._close_up()
        return sorted(map(self._done, gone))

    def _recall_proofs(
        self, order: "array[int]", gone: Sequence[int], places: "array[int]"
    ) -> None:
        self._order = order
        for no, place in zip(gone, places, strict=True):
            self._state[no], self._arrival[no] = PROOF, place
        del self._gone[-len(gone) :]

    def _close_up(self) -> None:
        """Times of proofs that are gone leave no gaps."""
        order, times, arrival = self._order, self._times, self._arrival
        places = array(WORD, [arrival[no] for no in order])
        self._changes().append((self._open_up, order, times, places))
        by_arrival = sorted(order, key=arrival.__getitem__)
        self._times = array("d", [times[arrival[no]] for no in by_arrival])
        for place, no in enumerate(by_arrival):
            arrival[no] = place

    def _open_up(self, order: "array[int]", times: "array[float]", places: "array[int]") -> None:
        self._times = times
        for no, place in zip(order, places, strict=True):
            self._arrival[no] = place

    def proof(self, done: bytes) -> Proof | None:
        no = self._proof(done)
        token = self._pool.at[no]
        if not isinstance(token, Token):
            return None
        return Proof(token.done, token.token, token.exp_h, self._release_of(no))

    def released(self, wall: float) -> list[bytes]:
        """In order of release, then of arrival."""
        order, ahead = self._order, wall + RELEASE_AHEAD_MAX_S
        found = order[: bisect_right(order, wall, key=self._release_of)]
        if order and self._release_of(order[-1]) > ahead:
            found += order[bisect_right(order, ahead, key=self._release_of) :]
        return [self._done(no) for no in found]

    def _done(self, no: int) -> bytes:
        token = self._pool.at[no]
        assert isinstance(token, Token), "a number of a proof"
        return token.done

    def count_proofs(self) -> int:
        return len(self._order)

    # --- transfers cut in their middle ---

    def save_partial(self, partial: Partial) -> None:
        self._put(self._partials, partial.eid, (self._number(), partial))
        surplus = len(self._partials) - custody_tables.PARTIALS_MAX_COUNT
        if surplus > 0:
            for _, oldest in heapq.nsmallest(surplus, self._partials.values(), key=by_number):
                self._drop(self._partials, oldest.eid)

    def partials(self) -> list[bytes]:
        return [partial.eid for _, partial in sorted(self._partials.values(), key=by_number)]

    def partial(self, eid: bytes) -> Partial | None:
        kept = self._partials.get(eid)
        return kept[1] if kept else None

    def drop_partial(self, eid: bytes) -> None:
        self._drop(self._partials, eid)


def proofs_of(hours: Sequence[Hour]) -> list[int]:
    """Numbers of all proofs of these hours."""
    return list(chain.from_iterable(hour.proofs or () for hour in hours))
