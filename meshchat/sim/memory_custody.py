"""The part of ``MemoryStore`` that holds what is carried.

The same contract as ``meshchat.custody_tables``, for thousands of nodes in one process: every
call costs its result, and what is the same at many nodes (an envelope, a token) exists once.
Here an envelope is its number in the ``Pool``.

Each change notes in the log of the transaction the function that turns it round. Numbers of
arrival are never used twice, so an order of arrival can always be found again.
"""

from array import array
from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Sequence
from itertools import islice

from meshchat import custody_tables
from meshchat.core.model import Expired, Fate, Gone, Held, Kind, Outline, Usage
from meshchat.sim.memory_proofs import (
    FATES,
    HELD,
    PROOF,
    UNKNOWN,
    WORD,
    Hour,
    MemoryProofs,
    proofs_of,
)
from meshchat.sim.pool import Body, Name, Pool

_ARRIVAL_BITS = 32  # of a worth: 4 bytes, as in the columns
_EXP_H_BITS = 64
_NO_MASK = (1 << 32) - 1


class _Lot:
    """Held envelopes of one class, origin and kind."""

    __slots__ = ("count", "key", "no", "size_bytes", "worst")

    def __init__(self, key: tuple[int, bytes, Kind], no: int) -> None:
        self.key, self.no = key, no
        self.count = self.size_bytes = 0
        self.worst: list[int] | None = None

    @property
    def carried(self) -> bool:
        return self.key[2] is Kind.CARRIED


class _Class:
    """What is held of one size class."""

    __slots__ = ("order", "worst")

    def __init__(self) -> None:
        self.order = array(WORD)
        """In order of arrival."""
        self.worst: list[int] | None = None
        """Those of kind CARRIED in order of worth. None, here and of a lot: never asked for, as
        only a full store does."""


class MemoryCustody(MemoryProofs):
    """Custody of one node."""

    __slots__ = (
        "_classes",
        "_count",
        "_empty",
        "_jumbled",
        "_lots",
        "_lots_by_no",
        "_size",
        "_untried",
    )

    def __init__(self, pool: Pool | None = None) -> None:
        super().__init__(pool)
        self._count = 0  # of envelopes known
        self._size = 0  # bytes of those held
        self._classes: dict[int, _Class] = {}
        self._lots: dict[tuple[int, bytes, Kind], _Lot] = {}
        self._lots_by_no: dict[int, _Lot] = {}
        self._empty: dict[tuple[int, bytes, Kind], _Lot] = {}  # at least all that are empty
        self._untried: dict[int, None] = {}
        self._jumbled = False  # the order of the untried is lost

    def close(self) -> None:
        """Give back to the pool what nobody else holds."""
        for no, code in enumerate(self._state):
            if code == HELD:
                self._name(no).held_by_one_less()
            if code != UNKNOWN:
                self._pool.forget(no)
        self._state.clear()

    # --- names ---

    def _name(self, no: int) -> Name:
        name = self._pool.at[no]
        assert isinstance(name, Name), "a number of an envelope"
        return name

    def _find(self, eid: bytes) -> int:
        """The number under which this is known here, or 0."""
        pool, state = self._pool, self._state
        no = pool.numbers.get(eid, 0)
        if no < len(state) and UNKNOWN < state[no] < PROOF:
            return no
        for no in pool.others.get(eid, ()):
            if no < len(state) and UNKNOWN < state[no] < PROOF:
                return no
        return 0

    def _find_held(self, eid: bytes) -> int:
        no = self._find(eid)
        return no if no and self._state[no] == HELD else 0

    def _lot_of(self, no: int) -> _Lot:
        return self._lots_by_no[self._lot[no]]

    def _as_held(self, no: int) -> Held:
        name = self._name(no)
        assert name.body is not None, "held here"
        eid, size_class, exp_h, stamp = name.body.rank
        _, origin, kind = self._lot_of(no).key
        return Held(eid, size_class, exp_h, name.done or b"", name.body.data, origin, kind, stamp)

    # --- taking ---

    def add_envelopes(self, held: Iterable[Held], at: float, tried: Collection[bytes] = ()) -> None:
        del at  # nobody asks for it
        for one in list(held):
            log = self._changes()
            lot = self._lot_for((one.size_class, one.origin, one.kind))
            if self._find(one.eid):
                continue
            name = self._pool.name(one.eid, one.done, one.exp_h, one)
            self._remember(name, HELD)
            self._hold(name, name.body or Body(one, name.eid), lot)
            if lot.carried and one.eid not in tried:
                self._untried[name.no] = None
            log.append((self._untake, name))

    def add_refused(self, eid: bytes, exp_h: int) -> None:
        log = self._changes()
        if not self._find(eid):
            name = self._pool.name(eid, None, exp_h, None)
            self._remember(name, 1 + Fate.REFUSED)
            log.append((self._untake, name))

    def _remember(self, name: Name, code: int) -> None:
        no = name.no
        self._reach(no)
        name.rows += 1
        self._state[no] = code
        self._arrival[no] = self._number()
        self._count += 1
        self._hour(name.exp_h).seen.append(no)

    def _untake(self, name: Name) -> None:
        """The latest arrival was not."""
        no = name.no
        self._untried.pop(no, None)
        if name.body is not None and self._state[no] == HELD:
            self._let_go(name, name.body, UNKNOWN)
        self._hours[name.exp_h].seen.pop()
        self._state[no] = UNKNOWN
        self._count -= 1
        self._pool.forget(no)

    def _hold(self, name: Name, body: Body, lot: _Lot) -> None:
        no, size_class = name.no, body.rank[1]
        name.held_by_one(body)
        self._pool.pairs[no] = body.pair
        self._state[no] = HELD
        self._lot[no] = lot.no
        self._hours[name.exp_h].held += 1
        self._size += len(body.data)
        kept = self._classes.get(size_class)
        if kept is None:
            kept = self._classes[size_class] = _Class()
        self._into(kept.order, no)
        lot.count += 1
        lot.size_bytes += len(body.data)
        if lot.carried:
            for group in (kept, lot):
                if group.worst is not None:
                    insort(group.worst, self._worth(name, body))

    def _into(self, order: "array[int]", no: int) -> None:
        """Put a number where its arrival belongs; nearly always that is the end."""
        arrival = self._arrival
        if not order or arrival[order[-1]] < arrival[no]:
            order.append(no)
        else:
            insort(order, no, key=arrival.__getitem__)

    def _let_go(self, name: Name, body: Body, code: int) -> None:
        no, lot = name.no, self._lot_of(name.no)
        kept = self._classes[body.rank[1]]
        del kept.order[bisect_left(kept.order, self._arrival[no], key=self._arrival.__getitem__)]
        self._less(lot, body)
        if lot.carried:
            for group in (kept, lot):
                if group.worst is not None:
                    _remove(group.worst, self._worth(name, body))
        self._hours[name.exp_h].held -= 1
        self._size -= len(body.data)
        self._state[no] = code
        name.held_by_one_less()

    def _less(self, lot: _Lot, body: Body) -> None:
        lot.count -= 1
        lot.size_bytes -= len(body.data)
        if not lot.count:
            self._empty[lot.key] = lot

    def _worth(self, name: Name, body: Body) -> int:
        """What goes first if there is no room: by stamp, expiry and arrival."""
        rank = body.stamp << _EXP_H_BITS | name.exp_h
        return (rank << _ARRIVAL_BITS | self._arrival[name.no]) << 32 | name.no

    def _lot_for(self, key: tuple[int, bytes, Kind]) -> _Lot:
        """The lot for these, made if there is none."""
        lot = self._lots.get(key)
        if lot is None:
            lot = _Lot(key, self._number())
            self._lots[key] = self._lots_by_no[lot.no] = self._empty[key] = lot
            self._changes().append((self._unlot, lot))
        return lot

    def _unlot(self, lot: _Lot) -> None:
        del self._lots[lot.key], self._lots_by_no[lot.no]
        self._empty.pop(lot.key, None)

    # --- looking up ---

    def envelope(self, eid: bytes) -> Held | None:
        no = self._find_held(eid)
        return self._as_held(no) if no else None

    def envelope_data(self, eid: bytes) -> bytes | None:
        held = self.envelope(eid)
        return held.data if held else None

    def fate(self, eid: bytes) -> Fate | None:
        no = self._find(eid)
        return FATES[self._state[no]] if no else None

    def holder_of(self, done: bytes) -> Outline | None:
        """A copied ``done`` gives several: then one that is held, else the oldest."""
        state = self._state
        found = [no for no in self._pool.by_done.get(done, ()) if no < len(state) and state[no]]
        if not found:
            return None
        arrival = self._arrival
        best = min(found, key=lambda no: (state[no] != HELD, arrival[no]))
        name = self._name(best)
        return Outline(name.eid, name.exp_h, state[best] == HELD, len(found) == 1)

    def holders_of(self, dones: Sequence[bytes]) -> dict[bytes, Outline]:
        found = ((done, self.holder_of(done)) for done in dones)
        return {done: holder for done, holder in found if holder is not None}

    def offered(self, now_h: int) -> list[tuple[bytes, int]]:
        pair_of = self._pool.pairs.__getitem__
        found: list[tuple[bytes, int]] = []
        for size_class in sorted(self._classes):
            found += map(pair_of, self._classes[size_class].order)
        late = {pair_of(no)[0] for no in self._late(now_h)}
        return [pair for pair in found if pair[0] not in late] if late else found

    def _late(self, now_h: int) -> list[int]:
        """Those held whose hour has come."""
        late: list[int] = []
        for exp_h in self._due:
            if exp_h > now_h:
                break
            hour = self._hours[exp_h]
            if hour.held:
                late += [no for no in hour.seen if self._state[no] == HELD]
        return late

    # --- opening ---

    def untried(self, limit: int) -> list[Held]:
        if self._jumbled:
            self._untried = dict.fromkeys(sorted(self._untried, key=self._arrival.__getitem__))
            self._jumbled = False
        return [self._as_held(no) for no in islice(self._untried, limit)]

    def count_untried(self) -> int:
        return len(self._untried)

    def tried(self, eids: Iterable[bytes], kind: Kind) -> list[bool]:
        waited: list[bool] = []
        for eid in eids:
            no = self._find_held(eid)
            if not no:
                continue
            log = self._changes()
            waited.append(no in self._untried)
            if waited[-1]:
                del self._untried[no]
                log.append((self._untry, no))
                if not self._untried:
                    self._untried.clear()  # a dict shrinks no other way
            old = self._lot_of(no)
            if old.key[2] is not kind:
                self._move(no, self._lot_for((*old.key[:2], kind)))
                log.append((self._move, no, old))
        return waited

    def _untry(self, no: int) -> None:
        self._untried[no] = None
        self._jumbled = True

    def _move(self, no: int, new: _Lot) -> None:
        name, old = self._name(no), self._lot_of(no)
        body = name.body
        assert body is not None, "held here"
        kept = self._classes[body.rank[1]]
        self._less(old, body)
        new.count += 1
        new.size_bytes += len(body.data)
        for lot, change in ((old, _remove), (new, insort)):
            if lot.carried:
                for group in (kept, lot):
                    if group.worst is not None:
                        change(group.worst, self._worth(name, body))
        self._lot[no] = new.no

    def retry_all(self) -> None:
        self._changes().append((self._set_untried, self._untried))
        every = [
            no for kept in self._classes.values() for no in kept.order if self._lot_of(no).carried
        ]
        every.sort(key=self._arrival.__getitem__)
        self._untried, self._jumbled = dict.fromkeys(every), False

    def _set_untried(self, untried: dict[int, None]) -> None:
        self._untried, self._jumbled = untried, True

    def seek(self, eids: Sequence[bytes]) -> None:
        for eid in eids:
            log = self._changes()
            no = self._find(eid)
            code = self._state[no] if no else UNKNOWN
            if code in (1 + Fate.EVICTED, 1 + Fate.REFUSED):
                hour = self._hours[self._name(no).exp_h]
                hour.seen.remove(no)
                log.append((self._recall_one, hour, no, code, self._arrival[no]))
                self._forget([no])
            elif code == HELD and no not in self._untried and self._lot_of(no).carried:
                self._untry(no)
                log.append((self._untried_no_more, no))

    def _recall_one(self, hour: Hour, no: int, code: int, arrival: int) -> None:
        self._recall([no], bytes((code,)), array(WORD, (arrival,)))
        insort(hour.seen, no, key=self._arrival.__getitem__)

    def _untried_no_more(self, no: int) -> None:
        del self._untried[no]

    # --- dropping ---

    def drop_envelopes(self, eids: Iterable[bytes], fate: Fate) -> list[Gone]:
        """Of ids that are not held any more only the fate is changed."""
        log, code = self._changes(), 1 + fate
        gone: list[Gone] = []
        for eid in eids:
            no = self._find(eid)
            if not no:
                continue
            old = self._state[no]
            if old == HELD:
                gone.append(self._destroy(no, code))
            elif old != code:
                log.append((self._state.__setitem__, no, old))
                self._state[no] = code
        return gone

    def _destroy(self, no: int, code: int) -> Gone:
        name = self._name(no)
        body = name.body
        assert body is not None, "held here"
        waited = no in self._untried
        if waited:
            del self._untried[no]
        lot = self._lot_of(no)
        self._changes().append((self._revive, name, body, lot, waited))
        gone = Gone(name.eid, *lot.key, len(body.data), waited)
        self._let_go(name, body, code)
        return gone

    def _revive(self, name: Name, body: Body, lot: _Lot, waited: bool) -> None:
        self._hold(name, body, lot)
        if waited:
            self._untry(name.no)

    @property
    def held_bytes(self) -> int:
        """Bytes of all envelopes held."""
        return self._size

    def usage(self) -> list[Usage]:
        lots = sorted((lot for lot in self._lots.values() if lot.count), key=lambda lot: lot.no)
        return [Usage(*lot.key, lot.count, lot.size_bytes) for lot in lots]

    def evictable(
        self, *, origin: bytes | None, size_classes: Sequence[int], limit: int
    ) -> list[tuple[bytes, int, int, int]]:
        groups: list[list[int]] = []
        for size_class in dict.fromkeys(size_classes):
            kept = self._classes.get(size_class)
            if kept is None:
                continue
            group: _Class | _Lot | None = kept
            if origin is not None:
                group = self._lots.get((size_class, origin, Kind.CARRIED))
            if group is not None:
                groups.append(self._worst(kept, group)[:limit])
        if len(groups) == 1:
            worst = groups[0]
        else:
            worst = sorted(one for group in groups for one in group)[:limit]
        found: list[tuple[bytes, int, int, int]] = []
        at = self._pool.at
        for one in worst:
            name = at[one & _NO_MASK]
            assert isinstance(name, Name) and name.body is not None, "held here"
            found.append(name.body.rank)
        return found

    def _worst(self, kept: _Class, group: _Class | _Lot) -> list[int]:
        """Sorted when it is asked for first, and kept sorted from then on."""
        if group.worst is None:
            worst: list[int] = []
            for no in kept.order:
                lot = self._lot_of(no)
                name = self._name(no)
                if lot.carried and group in (kept, lot) and name.body is not None:
                    worst.append(self._worth(name, name.body))
            worst.sort()
            group.worst = worst
        return group.worst

    # --- the end ---

    def expire(self, now_h: int) -> Expired:
        log = self._changes()
        gone: list[tuple[bytes, Kind]] = []
        proofs: list[bytes] = []
        if self._due and self._due[0] <= now_h:
            late = sorted(self._late(now_h), key=self._arrival.__getitem__)
            gone = [(self._name(no).eid, self._lot_of(no).key[2]) for no in late]
            for no in late:
                self._destroy(no, 1 + Fate.EXPIRED)
            if self._due[0] < now_h:
                proofs = self._forget_hours(bisect_left(self._due, now_h))
        if self._empty:
            empty = [lot for lot in self._empty.values() if not lot.count]
            log.append((self._relot, empty))
            for lot in empty:
                del self._lots[lot.key], self._lots_by_no[lot.no]
            self._empty.clear()
        if self._count > custody_tables.SEEN_MAX_COUNT:
            self._forget_beyond(custody_tables.SEEN_MAX_COUNT)
        return Expired(gone, proofs)

    def _relot(self, empty: list[_Lot]) -> None:
        for lot in empty:
            self._lots[lot.key] = self._lots_by_no[lot.no] = self._empty[lot.key] = lot

    def _forget_hours(self, count: int) -> list[bytes]:
        """Forget ids, none of them held, and proofs of the first hours; returns these."""
        over = [(exp_h, self._hours.pop(exp_h)) for exp_h in self._due[:count]]
        del self._due[:count]
        state, arrival = self._state, self._arrival
        gone = [no for _, hour in over for no in hour.seen]
        codes = bytes(state[no] for no in gone)
        arrivals = array(WORD, [arrival[no] for no in gone])
        self._changes().append((self._recall_hours, over, gone, codes, arrivals))
        self._forget(gone)
        return self._drop_proofs(proofs_of([hour for _, hour in over]))

    def _recall_hours(
        self, over: list[tuple[int, Hour]], gone: list[int], codes: bytes, arrivals: "array[int]"
    ) -> None:
        for exp_h, hour in over:
            if exp_h not in self._hours:  # an undone arrival leaves its hour behind
                insort(self._due, exp_h)
            self._hours[exp_h] = hour
        self._recall(gone, codes, arrivals)

    def _forget(self, gone: list[int]) -> None:
        state = self._state
        for no in gone:
            state[no] = UNKNOWN
        self._count -= len(gone)
        self._gone += gone

    def _recall(self, gone: Sequence[int], codes: bytes, arrivals: "array[int]") -> None:
        for no, code, arrival in zip(gone, codes, arrivals, strict=True):
            self._state[no], self._arrival[no] = code, arrival
        self._count += len(gone)
        del self._gone[len(self._gone) - len(gone) :]

    def _forget_beyond(self, most: int) -> None:
        """Forget ids not held, soonest expiry first, until ``most`` are left."""
        state, arrival = self._state, self._arrival
        for exp_h in self._due:
            surplus = self._count - most
            if surplus <= 0:
                return
            hour = self._hours[exp_h]
            chosen = list(islice((no for no in hour.seen if state[no] != HELD), surplus))
            codes = bytes(state[no] for no in chosen)
            arrivals = array(WORD, [arrival[no] for no in chosen])
            self._changes().append((self._recall_some, hour, hour.seen, chosen, codes, arrivals))
            self._forget(chosen)
            hour.seen = array(WORD, [no for no in hour.seen if state[no] != UNKNOWN])

    def _recall_some(
        self,
        hour: Hour,
        seen: "array[int]",
        chosen: list[int],
        codes: bytes,
        arrivals: "array[int]",
    ) -> None:
        hour.seen = seen
        self._recall(chosen, codes, arrivals)


def _remove(worst: list[int], worth: int) -> None:
    del worst[bisect_left(worst, worth)]
