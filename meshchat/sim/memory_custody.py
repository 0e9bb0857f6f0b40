"""The part of ``MemoryStore`` that holds what is carried.

The same contract as ``meshchat.custody_tables``, for thousands of nodes in one process: every
call costs its result, and what is the same at many nodes (an envelope, a token) exists once.

Each change notes in the log of the transaction the function that turns it round. Where an order
of arrival is the order of a dict, putting something back marks it as jumbled, and the next
reader sorts it.
"""

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence
from itertools import islice
from operator import attrgetter, itemgetter

from meshchat import custody_tables
from meshchat.core.limits import RELEASE_AHEAD_MAX_S
from meshchat.core.model import Fate, Held, Kind, Partial, Proof, Usage
from meshchat.sim.journal import Journal, V
from meshchat.sim.pool import Body, Pool, Token

_NO_BITS = 40  # of a worth: the number of arrival
_EXP_H_BITS = 64
_NO_MASK = (1 << _NO_BITS) - 1


class _Lot:
    """Held envelopes of one class, origin and kind; or what became of one that is not held."""

    __slots__ = ("count", "fate", "key", "kind", "no", "size_bytes", "worst")

    def __init__(self, key: tuple[int, bytes, Kind], no: int, fate: Fate = Fate.HELD) -> None:
        self.key, self.no, self.fate, self.kind = key, no, fate, key[2]
        self.count = self.size_bytes = 0
        self.worst: list[_Seen] = []
        """In order of worth, if of kind CARRIED."""


_GONE = {fate: _Lot((0, b"", Kind.CARRIED), 0, fate) for fate in Fate}


class _Seen:
    """One id ever seen."""

    __slots__ = ("body", "lot", "name", "worth")

    def __init__(self, name: tuple[bytes, bytes | None], worth: int) -> None:
        self.name, self.worth = name, worth
        self.lot = _GONE[Fate.REFUSED]
        self.body: Body | None = None
        """None: not held."""


class _Class:
    """What is held of one size class."""

    __slots__ = ("jumbled", "pairs", "worst")

    def __init__(self) -> None:
        self.pairs: dict[bytes, tuple[bytes, int]] = {}
        """In order of arrival, unless ``jumbled`` by an undo."""
        self.jumbled = False
        self.worst: list[_Seen] = []


class _Hour:
    """All that expires in one hour."""

    __slots__ = ("held", "proofs", "seen")

    def __init__(self) -> None:
        self.seen: list[_Seen] = []
        """In order of arrival."""
        self.held = 0
        self.proofs: list[bytes] | None = None


_WORTH = attrgetter("worth")
BY_NUMBER = itemgetter(0)


def _arrival(seen: _Seen) -> int:
    return seen.worth & _NO_MASK


def _insert(worst: list[_Seen], seen: _Seen) -> None:
    if not worst or worst[-1].worth < seen.worth:
        worst.append(seen)
    else:
        insort(worst, seen, key=_WORTH)


def _remove(worst: list[_Seen], seen: _Seen) -> None:
    del worst[bisect_left(worst, seen.worth, key=_WORTH)]


def _as_held(seen: _Seen, body: Body) -> Held:
    eid, size_class, exp_h, stamp = body.rank
    _, origin, kind = seen.lot.key
    return Held(eid, size_class, exp_h, body.name[1], body.data, origin, kind, stamp)


class MemoryCustody(Journal):
    """Custody of one node."""

    __slots__ = (
        "_by_done",
        "_classes",
        "_dones",
        "_due",
        "_empty",
        "_hours",
        "_jumbled",
        "_lots",
        "_made",
        "_partials",
        "_pool",
        "_proofs",
        "_release",
        "_seen",
        "_untried",
    )

    def __init__(self, pool: Pool | None = None) -> None:
        super().__init__()
        self._pool = pool if pool is not None else Pool()
        self._made = 0  # numbers given to arrivals, lots and partials: never used again
        self._seen: dict[bytes, _Seen] = {}
        self._by_done: dict[bytes, _Seen | list[_Seen]] = {}  # a list where ``done`` was copied
        self._classes: dict[int, _Class] = {}
        self._lots: dict[tuple[int, bytes, Kind], _Lot] = {}
        self._empty: dict[tuple[int, bytes, Kind], _Lot] = {}  # at least all that are empty
        self._untried: dict[bytes, _Seen] = {}
        self._jumbled = False  # the order of the untried is lost
        self._hours: dict[int, _Hour] = {}
        self._due: list[int] = []  # those hours, ascending
        self._proofs: dict[bytes, tuple[Token, float]] = {}
        self._release: list[float] = []  # of all proofs, ascending ...
        self._dones: list[bytes] = []  # ... and whose they are; in order of arrival if equal
        self._partials: dict[bytes, tuple[int, Partial]] = {}

    def _number(self) -> int:
        self._made += 1
        return self._made

    def known(self, ids: Sequence[bytes]) -> set[bytes]:
        found = self._seen.keys() & ids
        if self._proofs:
            found |= self._proofs.keys() & ids
        return found

    def add_envelopes(self, held: Iterable[Held], at: float) -> None:
        del at  # nobody asks for it
        seen = self._seen
        for one in list(held):
            log = self._changes()
            lot = self._lot((one.size_class, one.origin, one.kind))
            if one.eid in seen:
                continue
            body = self._pool.body(one)
            new = self._remember(body.name, one.exp_h, one.stamp)
            self._hold(new, lot, body)
            if lot.kind is Kind.CARRIED:
                self._untried[body.name[0]] = new
            log.append((self._untake, new))

    def _remember(self, name: tuple[bytes, bytes | None], exp_h: int, stamp: int) -> _Seen:
        worth = (stamp << _EXP_H_BITS | exp_h) << _NO_BITS | self._number()
        new = self._seen[name[0]] = _Seen(name, worth)
        self._index(new)
        self._hour(exp_h).seen.append(new)
        return new

    def _untake(self, seen: _Seen) -> None:
        """The latest arrival was not."""
        eid = seen.name[0]
        self._untried.pop(eid, None)
        hour = self._hour_of(seen)
        if seen.body is not None:
            self._let_go(seen, seen.body, _GONE[Fate.REFUSED])
        hour.seen.pop()
        self._unindex(seen)
        del self._seen[eid]

    def _index(self, seen: _Seen) -> None:
        done = seen.name[1]
        if done is None:
            return
        others = self._by_done.get(done)
        if others is None:
            self._by_done[done] = seen
        elif isinstance(others, list):
            insort(others, seen, key=_arrival)
        else:
            self._by_done[done] = sorted((others, seen), key=_arrival)

    def _unindex(self, seen: _Seen) -> None:
        done = seen.name[1]
        if done is None:
            return
        others = self._by_done[done]
        if isinstance(others, list):
            others.remove(seen)
        if others is seen or others == []:
            del self._by_done[done]

    def _hour(self, exp_h: int) -> _Hour:
        hour = self._hours.get(exp_h)
        if hour is None:
            hour = self._hours[exp_h] = _Hour()
            insort(self._due, exp_h)
        return hour

    def _hour_of(self, seen: _Seen) -> _Hour:
        return self._hours[seen.worth >> _NO_BITS & (1 << _EXP_H_BITS) - 1]

    def _hold(self, seen: _Seen, lot: _Lot, body: Body) -> None:
        eid, size_class = body.pair
        seen.lot, seen.body = lot, body
        self._hours[body.rank[2]].held += 1
        kept = self._classes.get(size_class)
        if kept is None:
            kept = self._classes[size_class] = _Class()
        kept.pairs[eid] = body.pair
        lot.count += 1
        lot.size_bytes += len(body.data)
        if lot.kind is Kind.CARRIED:
            _insert(kept.worst, seen)
            _insert(lot.worst, seen)

    def _let_go(self, seen: _Seen, body: Body, gone: _Lot) -> None:
        eid, size_class = body.pair
        self._hours[body.rank[2]].held -= 1
        kept, lot = self._classes[size_class], seen.lot
        del kept.pairs[eid]
        self._less(lot, body)
        if lot.kind is Kind.CARRIED:
            _remove(kept.worst, seen)
            _remove(lot.worst, seen)
        seen.lot, seen.body = gone, None

    def _less(self, lot: _Lot, body: Body) -> None:
        lot.count -= 1
        lot.size_bytes -= len(body.data)
        if not lot.count:
            self._empty[lot.key] = lot

    def _lot(self, key: tuple[int, bytes, Kind]) -> _Lot:
        """The lot for these, made if there is none."""
        lot = self._lots.get(key)
        if lot is None:
            lot = self._lots[key] = self._empty[key] = _Lot(key, self._number())
            self._changes().append((self._unlot, key))
        return lot

    def _unlot(self, key: tuple[int, bytes, Kind]) -> None:
        del self._lots[key]
        self._empty.pop(key, None)

    def add_refused(self, eid: bytes, exp_h: int) -> None:
        log = self._changes()
        if eid not in self._seen:
            log.append((self._untake, self._remember((eid, None), exp_h, 0)))

    def envelope(self, eid: bytes) -> Held | None:
        seen = self._seen.get(eid)
        if seen is None or seen.body is None:
            return None
        return _as_held(seen, seen.body)

    def fate(self, eid: bytes) -> Fate | None:
        seen = self._seen.get(eid)
        return None if seen is None else seen.lot.fate

    def holder_of(self, done: bytes) -> bytes | None:
        """A copied ``done`` gives several: then one that is held, else the oldest."""
        seen = self._by_done.get(done)
        if isinstance(seen, list):
            seen = next((one for one in seen if one.body is not None), seen[0])
        return None if seen is None else seen.name[0]

    def offered(self, now_h: int) -> list[tuple[bytes, int]]:
        found: list[tuple[bytes, int]] = []
        for size_class in sorted(self._classes):
            kept = self._classes[size_class]
            if kept.jumbled:
                order = sorted(kept.pairs, key=lambda eid: _arrival(self._seen[eid]))
                _reorder(kept.pairs, order)
                kept.jumbled = False
            found += kept.pairs.values()
        late = {one.name[0] for one in self._late(now_h)}
        return [pair for pair in found if pair[0] not in late] if late else found

    def _late(self, now_h: int) -> list[_Seen]:
        """Those held whose hour has come."""
        late: list[_Seen] = []
        for exp_h in self._due:
            if exp_h > now_h:
                break
            hour = self._hours[exp_h]
            if hour.held:
                late += [one for one in hour.seen if one.body is not None]
        return late

    def untried(self, limit: int) -> list[Held]:
        if self._jumbled:
            _reorder(
                self._untried, sorted(self._untried, key=lambda eid: _arrival(self._untried[eid]))
            )
            self._jumbled = False
        oldest = islice(self._untried.values(), limit)
        return [_as_held(seen, seen.body) for seen in oldest if seen.body is not None]

    def count_untried(self) -> int:
        return len(self._untried)

    def tried(self, eids: Iterable[bytes], kind: Kind) -> None:
        for eid in eids:
            seen = self._seen.get(eid)
            if seen is None or seen.body is None:
                continue
            log = self._changes()
            if self._untried.pop(eid, None):
                log.append((self._untry, seen))
                if not self._untried:
                    self._untried.clear()  # a dict shrinks no other way
            if seen.lot.kind is not kind:
                old, new = seen.lot, self._lot((*seen.lot.key[:2], kind))
                self._move(seen, seen.body, new)
                log.append((self._move, seen, seen.body, old))

    def _untry(self, seen: _Seen) -> None:
        self._untried[seen.name[0]] = seen
        self._jumbled = True

    def _move(self, seen: _Seen, body: Body, new: _Lot) -> None:
        old, kept = seen.lot, self._classes[body.pair[1]]
        self._less(old, body)
        new.count += 1
        new.size_bytes += len(body.data)
        for lot, change in ((old, _remove), (new, _insert)):
            if lot.kind is Kind.CARRIED:
                change(kept.worst, seen)
                change(lot.worst, seen)
        seen.lot = new

    def retry_all(self) -> None:
        self._changes().append((self._set_untried, self._untried))
        every = sorted((one for kept in self._classes.values() for one in kept.worst), key=_arrival)
        self._untried, self._jumbled = {one.name[0]: one for one in every}, False

    def _set_untried(self, untried: dict[bytes, _Seen]) -> None:
        self._untried, self._jumbled = untried, True

    def seek(self, eids: Sequence[bytes]) -> None:
        for eid in eids:
            log = self._changes()
            seen = self._seen.get(eid)
            if seen is None:
                continue
            if seen.body is None:
                if seen.lot.fate in (Fate.EVICTED, Fate.REFUSED):
                    hour = self._hour_of(seen).seen
                    hour.remove(seen)
                    self._forget(seen)
                    log.append((self._recall_one, hour, seen))
            elif seen.lot.kind is Kind.CARRIED and eid not in self._untried:
                self._untry(seen)
                log.append((self._untried_no_more, eid))

    def _recall_one(self, hour: list[_Seen], seen: _Seen) -> None:
        insort(hour, seen, key=_arrival)
        self._recall(seen)

    def _untried_no_more(self, eid: bytes) -> None:
        del self._untried[eid]

    def drop_envelopes(self, eids: Iterable[bytes], fate: Fate) -> None:
        """Of ids that are not held any more only the fate is changed."""
        log, gone = self._changes(), _GONE[fate]
        for eid in eids:
            seen = self._seen.get(eid)
            if seen is None:
                continue
            if seen.body is not None:
                self._destroy(seen, seen.body, gone)
            elif seen.lot is not gone:
                log.append((setattr, seen, "lot", seen.lot))
                seen.lot = gone

    def _destroy(self, seen: _Seen, body: Body, gone: _Lot) -> None:
        waited = self._untried.pop(body.name[0], None) is not None
        self._changes().append((self._revive, seen, seen.lot, body, waited))
        self._let_go(seen, body, gone)

    def _revive(self, seen: _Seen, lot: _Lot, body: Body, waited: bool) -> None:
        self._hold(seen, lot, body)
        self._classes[body.pair[1]].jumbled = True
        if waited:
            self._untry(seen)

    @property
    def held_bytes(self) -> int:
        """Bytes of all envelopes held."""
        return sum(usage.size_bytes for usage in self.usage())

    def usage(self) -> list[Usage]:
        lots = sorted((lot for lot in self._lots.values() if lot.count), key=lambda lot: lot.no)
        return [Usage(*lot.key, lot.count, lot.size_bytes) for lot in lots]

    def evictable(
        self, *, origin: bytes | None, size_classes: Sequence[int], limit: int
    ) -> list[tuple[bytes, int, int, int]]:
        groups: list[list[_Seen]] = []
        for size_class in dict.fromkeys(size_classes):
            group: _Class | _Lot | None
            if origin is None:
                group = self._classes.get(size_class)
            else:
                group = self._lots.get((size_class, origin, Kind.CARRIED))
            if group is not None and group.worst:
                groups.append(group.worst[:limit])
        if len(groups) == 1:
            worst = groups[0]
        else:
            worst = sorted((one for group in groups for one in group), key=_WORTH)[:limit]
        return [one.body.rank for one in worst if one.body is not None]

    def expire(self, now_h: int) -> list[tuple[bytes, Kind]]:
        log = self._changes()
        gone: list[tuple[bytes, Kind]] = []
        if self._due and self._due[0] <= now_h:
            late = sorted(self._late(now_h), key=_arrival)
            gone = [(one.name[0], one.lot.kind) for one in late]
            for one in late:
                if one.body is not None:
                    self._destroy(one, one.body, _GONE[Fate.EXPIRED])
            if self._due[0] < now_h:
                self._forget_hours(bisect_left(self._due, now_h))
        if self._empty:
            empty = [lot for lot in self._empty.values() if not lot.count]
            log.append((self._relot, empty))
            for lot in empty:
                del self._lots[lot.key]
            self._empty.clear()
        if len(self._seen) > custody_tables.SEEN_MAX_COUNT:
            self._forget_beyond(custody_tables.SEEN_MAX_COUNT)
        return gone

    def _relot(self, empty: list[_Lot]) -> None:
        for lot in empty:
            self._lots[lot.key] = self._empty[lot.key] = lot

    def _forget_hours(self, count: int) -> None:
        """Forget ids, none of them held, and proofs of the first hours."""
        over = [(exp_h, self._hours.pop(exp_h)) for exp_h in self._due[:count]]
        del self._due[:count]
        dones = [done for _, hour in over for done in hour.proofs or ()]
        proofs = {done: self._proofs.pop(done) for done in dones}
        self._changes().append((self._recall_hours, over, proofs, self._release, self._dones))
        for _, hour in over:
            for one in hour.seen:
                self._forget(one)
        if proofs:
            left = [
                (at, done)
                for at, done in zip(self._release, self._dones, strict=True)
                if done not in proofs
            ]
            self._release = [at for at, _ in left]
            self._dones = [done for _, done in left]

    def _recall_hours(
        self,
        over: list[tuple[int, _Hour]],
        proofs: dict[bytes, tuple[Token, float]],
        release: list[float],
        dones: list[bytes],
    ) -> None:
        self._proofs |= proofs
        self._release, self._dones = release, dones
        for exp_h, hour in over:
            if exp_h not in self._hours:  # an undone arrival leaves its hour behind
                insort(self._due, exp_h)
            self._hours[exp_h] = hour
            for one in hour.seen:
                self._recall(one)

    def _forget(self, seen: _Seen) -> None:
        del self._seen[seen.name[0]]
        self._unindex(seen)

    def _recall(self, seen: _Seen) -> None:
        self._seen[seen.name[0]] = seen
        self._index(seen)

    def _forget_beyond(self, most: int) -> None:
        """Forget ids not held, soonest expiry first, until ``most`` are left."""
        for exp_h in self._due:
            surplus = len(self._seen) - most
            if surplus <= 0:
                return
            hour = self._hours[exp_h]
            chosen = list(islice((one for one in hour.seen if one.body is None), surplus))
            self._changes().append((self._recall_some, hour, hour.seen, chosen))
            for one in chosen:
                self._forget(one)
            forgotten = set(map(id, chosen))
            hour.seen = [one for one in hour.seen if id(one) not in forgotten]

    def _recall_some(self, hour: _Hour, seen: list[_Seen], chosen: list[_Seen]) -> None:
        hour.seen = seen
        for one in chosen:
            self._recall(one)

    # --- delivery proofs ---

    def add_proof(self, proof: Proof) -> bool:
        log = self._changes()
        if proof.done in self._proofs:
            return False
        token = self._pool.token(proof)
        self._proofs[token.done] = (token, proof.release_at)
        place = bisect_right(self._release, proof.release_at)
        self._release.insert(place, proof.release_at)
        self._dones.insert(place, token.done)
        hour = self._hour(proof.exp_h)
        if hour.proofs is None:
            hour.proofs = []
        hour.proofs.append(token.done)
        log.append((self._unprove, token.done, hour.proofs))
        return True

    def _unprove(self, done: bytes, same_hour: list[bytes]) -> None:
        _, release_at = self._proofs.pop(done)
        place = bisect_right(self._release, release_at) - 1  # the latest of its time
        del self._release[place], self._dones[place]
        same_hour.pop()

    def proof(self, done: bytes) -> Proof | None:
        kept = self._proofs.get(done)
        if kept is None:
            return None
        token, release_at = kept
        return Proof(token.done, token.token, token.exp_h, release_at)

    def released(self, wall: float) -> list[bytes]:
        """In order of release, then of arrival."""
        release, dones = self._release, self._dones
        found = dones[: bisect_right(release, wall)]
        if release and release[-1] > wall + RELEASE_AHEAD_MAX_S:
            found += dones[bisect_right(release, wall + RELEASE_AHEAD_MAX_S) :]
        return found

    def next_release(self, after: float) -> float | None:
        place = bisect_right(self._release, after)
        return self._release[place] if place < len(self._release) else None

    def count_proofs(self) -> int:
        return len(self._proofs)

    # --- transfers cut in their middle ---

    def save_partial(self, partial: Partial) -> None:
        self._put(self._partials, partial.eid, (self._number(), partial))
        surplus = len(self._partials) - custody_tables.PARTIALS_MAX_COUNT
        if surplus > 0:
            for _, oldest in heapq.nsmallest(surplus, self._partials.values(), key=BY_NUMBER):
                self._drop(self._partials, oldest.eid)

    def partials(self) -> list[bytes]:
        return [partial.eid for _, partial in sorted(self._partials.values(), key=BY_NUMBER)]

    def partial(self, eid: bytes) -> Partial | None:
        kept = self._partials.get(eid)
        return kept[1] if kept else None

    def drop_partial(self, eid: bytes) -> None:
        self._drop(self._partials, eid)


def _reorder(table: dict[bytes, V], order: list[bytes]) -> None:
    """Put a dict into this order of its keys."""
    pairs = [(key, table[key]) for key in order]
    table.clear()
    table.update(pairs)
