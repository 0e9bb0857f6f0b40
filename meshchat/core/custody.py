"""What we hold for ourselves and others: admission, shares, eviction, expiry, delivery proofs.

Knows envelopes only by their outside. Keeps running totals so that admitting one costs no
query; they are rebuilt from the store when a Node is built.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from heapq import nlargest
from operator import itemgetter

from msgspec import Struct

from meshchat.core.envelope import NO_STAMP, STAMP, Header, parse_header, stamp_bits
from meshchat.core.limits import CLASS_SIZES_BYTES, EXPIRY_AHEAD_MAX_H, Limits
from meshchat.core.model import (
    HINT_CLASS_SHIFT,
    PIECES_BITS_MAX,
    TAG_BITS,
    CustodyStatus,
    Fate,
    Held,
    Kind,
    Now,
    Outline,
    Proof,
    class_of,
)
from meshchat.core.ports import Store
from meshchat.core.wire import Refusal
from meshchat.errors import UsageError

HOUR_S = 3_600
EVICT_LOOK_MAX = 64  # candidates looked at to make room for one envelope
EVICT_LOOK_FIRST = 4  # of these: mostly one goes, or none may
STAMP_MIN_BITS = 12  # fewer zero bits come by chance and mean nothing
TRUSTED_SHIFT = 10  # above all that work can buy
PIECES_SHIFT = 3  # below the bits of the stamp: of large files only whole ones are of use
BULK_CLASSES = (2, 3)
LARGER_CLASSES = (1, 2, 3)
ALL_CLASSES = (0, 1, 2, 3)
LARGEST_LOOK_MAX = 4  # of those who fill most; contacts among them give nothing to strangers
NOTHING_WORSE = 1 << 16  # above every worth

Mark = tuple[int, int, int]
"""Where a step was: how much had gone, how many were stored and dropped."""


def hours(wall: float) -> int:
    """Whole hours since 1970."""
    return int(wall // HOUR_S)


class _Totals(Struct):
    by_class: list[int]
    by_origin: dict[bytes, int]
    count: list[int]
    """By kind."""
    used: int = 0
    own: int = 0

    def add(self, size_class: int, origin: bytes, kind: Kind, count: int, size: int) -> None:
        self.used += size
        self.by_class[size_class] += size
        self.count[kind] += count
        if kind is Kind.OWN:
            self.own += size
        if origin:
            self.by_origin[origin] = filled = self.by_origin.get(origin, 0) + size
            if filled <= 0:
                del self.by_origin[origin]


def worth_of(stamp: int, part: int, trusted: bool) -> int:
    """What a full store keeps longest: what a contact brought, work spent, the smaller file.

    So strangers never push out what came through contacts, up to the contacts' shares.
    """
    return trusted << TRUSTED_SHIFT | stamp << PIECES_SHIFT | PIECES_BITS_MAX - (part >> TAG_BITS)


class Custody:
    """The envelopes and proofs of one node."""

    def __init__(self, store: Store, limits: Limits) -> None:
        self._store = store
        self._limits = limits
        quota = limits.store_bytes
        self._most_of_contact = quota * limits.contact_share
        self._most_of_origin = quota * limits.origin_share
        self._most_bulk = quota * limits.bulk_share
        self._most_larger = quota * (1 - limits.small_reserve)
        # Admitted in this step, written by ``flush``: what opens before that is written once.
        self._waiting: dict[bytes, Held] = {}
        self._waiting_done: dict[bytes, Held] = {}
        self._waiting_tried: set[bytes] = set()
        self._waiting_since = 0.0
        self.recount()
        self._unmatched: Counter[bytes] = Counter()  # tokens kept in this run, by neighbour
        self.stored = 0
        self.dropped = 0
        self.gone: list[bytes] = []
        """Ids of envelopes and proofs dropped since this was last cleared."""
        self.was_full = False
        """Something was refused or evicted for want of space since this was last reset."""
        self.lost = False
        """Something is sought that neighbours know we had, since this was last reset."""

    def mark(self) -> Mark:
        """Where this step is now, for ``undo``; and so is the store: what waits is written."""
        self.flush()
        return len(self.gone), self.stored, self.dropped

    def undo(self, mark: Mark) -> None:
        """The store went back to where this step was."""
        gone, self.stored, self.dropped = mark
        del self.gone[gone:]
        self._forget_waiting()
        self.recount()

    def recount(self) -> None:
        """Take the totals from the store anew."""
        self._worst: int | None = None  # worth of the worst bulk; None: not looked up
        self._totals = _Totals([0] * 4, {}, [0] * len(Kind))
        for usage in self._store.usage():
            self._totals.add(
                usage.size_class, usage.origin, usage.kind, usage.count, usage.size_bytes
            )
        self._untried = self._store.count_untried()

    # --- taking -------------------------------------------------------------------------------

    def proven(self, dones: Sequence[bytes]) -> set[bytes]:
        """Which of these ``done`` values we have the token of."""
        return self._store.known(dones) if self._store.count_proofs() else set()

    def admit(
        self, data: bytes, header: Header, eid: bytes, origin: bytes, trusted: bool, now: Now
    ) -> Held | Refusal:
        """Judge an envelope from a neighbour; a ``Held`` is in our custody after ``flush``."""
        now_h = hours(now.wall)
        if not now_h < header.exp_h <= now_h + EXPIRY_AHEAD_MAX_H:
            return Refusal.EXPIRED
        if eid in self._waiting:
            return Refusal.UNWANTED
        held = self.held(data, header, eid, origin, trusted=trusted)
        if not self._make_room(held, trusted):
            self.was_full = True
            return Refusal.FULL
        self._take(held, now)
        self._untried += 1
        return held

    def check_own(self, size: int) -> None:
        """Raises ``UsageError`` if our own waiting mail has no room for so many bytes more."""
        if self._totals.own + size > self._limits.store_bytes * self._limits.own_share:
            raise UsageError(
                "outbox_full",
                "Too much of your own mail is waiting to be carried. Wait until some of it is "
                "delivered, or make the store larger in the settings.",
            )

    def add_own(self, data: bytes, eid: bytes, now: Now, *, bounded: bool = True) -> Held:
        """Take our own envelope. Strangers' mail gives way; our share is bounded.

        Args:
            bounded: False for what keeps the node itself going: that is never refused.

        Raises:
            UsageError: Our own waiting mail fills its share of the store.
        """
        if bounded:
            self.check_own(len(data))
        return self.add_all_own([(data, eid)], now)[0]

    def add_all_own(self, made: Sequence[tuple[bytes, bytes]], now: Now) -> list[Held]:
        """Take several, each with its id; the caller asked whether there is room."""
        taken = [self.held(data, parse_header(data), eid, b"", Kind.OWN) for data, eid in made]
        for held in taken:
            over = self._used() + len(held.data) - self._limits.store_bytes
            self._evict(None, ALL_CLASSES, over, None)
            self._take(held, now)
        return taken

    def flush(self) -> None:
        """Write what was admitted in this step."""
        if self._waiting:
            waiting, since = self._waiting.values(), self._waiting_since
            self._store.add_envelopes(waiting, since, self._waiting_tried)
            self._forget_waiting()

    def _forget_waiting(self) -> None:
        self._waiting.clear()
        self._waiting_done.clear()
        self._waiting_tried.clear()

    @staticmethod
    def held(
        data: bytes,
        header: Header,
        eid: bytes,
        origin: bytes,
        kind: Kind = Kind.CARRIED,
        *,
        trusted: bool = False,
    ) -> Held:
        """An envelope as the store keeps it."""
        bits = stamp_bits(data, eid) if data[STAMP] != NO_STAMP else 0
        stamp = bits if bits >= STAMP_MIN_BITS else 0
        worth = worth_of(stamp, header.part, trusted)
        return Held(eid, header.size_class, header.exp_h, header.done, data, origin, kind, worth)

    def _take(self, held: Held, now: Now) -> None:
        self._waiting[held.eid] = held
        self._waiting_done[held.done] = held
        self._waiting_since = now.wall
        self._worst = None
        self._totals.add(held.size_class, held.origin, held.kind, 1, len(held.data))
        self.stored += 1

    # --- opening ------------------------------------------------------------------------------

    @property
    def untried(self) -> int:
        """Envelopes not yet checked for being addressed to us."""
        return self._untried

    @property
    def mine(self) -> int:
        """Envelopes that turned out to be for us, and are still here."""
        return self._totals.count[Kind.MINE]

    def tried(self, held: Held, kind: Kind) -> bool:
        """Record that an envelope was checked, and what it turned out to be. False: not held."""
        if held.eid in self._waiting:
            self._untried -= held.eid not in self._waiting_tried
            self._waiting_tried.add(held.eid)
            self._waiting[held.eid] = held._replace(kind=kind)
        else:
            waited = self._store.tried([held.eid], kind)
            if not waited:
                return False  # it had to make room before its turn came
            self._untried -= sum(waited)
        if kind is not held.kind:
            self._totals.add(held.size_class, held.origin, held.kind, -1, -len(held.data))
            self._totals.add(held.size_class, held.origin, kind, 1, len(held.data))
            self._worst = None
        return True

    def recount_untried(self) -> None:
        """Take their number from the store: a count that is off would leave mail unread."""
        self.flush()
        self._untried = self._store.count_untried()

    def retry_all(self) -> None:
        """A new key is known: what we carry may be for us after all."""
        self.flush()
        self._store.retry_all()
        self._untried = self._store.count_untried()

    def seek(self, eids: Sequence[bytes]) -> None:
        """These are wanted: look again at what we carry of them, and take again what had to go."""
        self.flush()
        if not self._store.known(eids):  # of a file that is just beginning to come
            return
        made_room = (Fate.EVICTED, Fate.REFUSED)
        self.lost |= any(self._store.fate(eid) in made_room for eid in eids)
        self._store.seek(eids)
        self._untried = self._store.count_untried()

    # --- dropping -----------------------------------------------------------------------------

    def drop(self, eid: bytes, fate: Fate) -> bool:
        """Destroy a copy; False if we did not hold it."""
        return self.drop_all((eid,), fate)

    def drop_all(self, eids: Sequence[bytes], fate: Fate) -> bool:
        """Destroy copies; False if we held none of them."""
        self.flush()
        gone = self._store.drop_envelopes(eids, fate)
        for each in gone:
            self._totals.add(each.size_class, each.origin, each.kind, -1, -each.size_bytes)
            self._untried -= each.untried
            self.gone.append(each.eid)
        if gone:
            self._worst = None
            self.dropped += len(gone)
        return bool(gone)

    def expire(self, now: Now) -> list[tuple[bytes, Kind]]:
        """Destroy what has expired; returns it."""
        self.flush()
        expired = self._store.expire(hours(now.wall))
        if expired.envelopes:
            self.recount()
            self.dropped += len(expired.envelopes)
        self.gone += [eid for eid, _ in expired.envelopes]
        self.gone += expired.proofs
        return expired.envelopes

    def holder_of(self, done: bytes) -> Outline | None:
        """What a token of this ``done`` proves, as far as we know it."""
        held = self._waiting_done.get(done)
        return Outline(held.eid, held.exp_h, True) if held else self._store.holder_of(done)

    # --- proofs -------------------------------------------------------------------------------

    def prove(
        self,
        token: bytes,
        done: bytes,
        proven: Outline | None,
        exp_h: int,
        now: Now,
        release_at: float,
        origin: bytes = b"",
    ) -> Proof | None:
        """Keep a delivery token, and its ``done``, that proves this envelope, or none that we know.

        None if it is known, expired, or one unmatched token too many, of all or of this
        neighbour. The copy is not dropped here: its holder decides when.
        """
        now_h = hours(now.wall)
        if not now_h < exp_h <= now_h + EXPIRY_AHEAD_MAX_H:
            return None
        if proven is None:
            share = self._limits.proofs_max * self._limits.origin_share
            if (
                self._unmatched[origin] >= share
                or self._store.count_proofs() >= self._limits.proofs_max
            ):
                return None
        elif proven.held:
            exp_h = proven.exp_h  # whatever a relay says, the token lives as long as its envelope
        proof = Proof(done, token, exp_h, release_at)
        if not self._store.add_proof(proof):
            return None
        if proven is None:
            self._unmatched[origin] += 1
        return proof

    def has_room(self, hint: int, trusted: bool) -> bool:
        """Whether bulk that a neighbour offers would be kept, so that no air is spent on it."""
        size_class = class_of(hint)
        size, quota = CLASS_SIZES_BYTES[size_class], self._limits.store_bytes
        by_class = self._totals.by_class
        if (
            self._totals.used + size <= quota
            and by_class[2] + by_class[3] + size <= self._most_bulk
            and self._totals.used - by_class[0] + size <= self._most_larger
        ):
            return True
        if self._worst is None:
            found = self._store.evictable(origin=None, size_classes=BULK_CLASSES, limit=1)
            self._worst = found[0][3] if found else NOTHING_WORSE
        return self._worst < worth_of(0, hint & (1 << HINT_CLASS_SHIFT) - 1, trusted)

    # --- shares -------------------------------------------------------------------------------

    def _used(self) -> int:
        return self._totals.used

    def _make_room(self, held: Held, trusted: bool) -> bool:
        """Evict by rule until the new one fits; False if it is the worst itself."""
        size, by_class = len(held.data), self._totals.by_class
        most = self._most_of_contact if trusted else self._most_of_origin
        over = self._totals.by_origin.get(held.origin, 0) + size - most
        if over > 0 and not self._evict(held.origin, ALL_CLASSES, over, held):
            return False
        if held.size_class:
            over = by_class[2] + by_class[3] + size - self._most_bulk
            if held.size_class > 1 and over > 0 and not self._evict(None, BULK_CLASSES, over, held):
                return False
            over = self._totals.used - by_class[0] + size - self._most_larger
            if over > 0 and not self._evict(None, LARGER_CLASSES, over, held):
                return False
        over = self._totals.used + size - self._limits.store_bytes
        if over <= 0:
            return True
        by_origin = self._totals.by_origin
        for origin, filled in nlargest(LARGEST_LOOK_MAX, by_origin.items(), key=itemgetter(1)):
            # Whoever fills most gives way to whoever fills less, however long its mail would live:
            # a late expiry costs a flood nothing.
            fuller = filled > by_origin.get(held.origin, 0) + size
            rival = None if fuller else held
            if self._evict(origin, ALL_CLASSES, over, rival, spare_contacts=not trusted):
                return True
        return self._evict(None, ALL_CLASSES, over, held, spare_contacts=not trusted)

    def _evict(
        self,
        origin: bytes | None,
        classes: tuple[int, ...],
        over: float,
        newcomer: Held | None,
        *,
        spare_contacts: bool = False,
    ) -> bool:
        """Free ``over`` bytes from the worst; never anything better than the newcomer."""
        if over <= 0:
            return True
        self.flush()  # so that the query sees them
        worst: list[bytes] = []
        bulk = newcomer is not None and newcomer.size_class in BULK_CLASSES
        freed = 0
        for eid, size_class, exp_h, stamp in self._evictable(origin, classes):
            if freed >= over:
                break
            if spare_contacts and stamp >> TRUSTED_SHIFT:
                break  # what contacts brought, and nothing worse is left
            if newcomer is not None and (stamp, exp_h) >= (newcomer.stamp, newcomer.exp_h):
                break
            if newcomer is not None and bulk and stamp == newcomer.stamp:
                break  # pushing out another file of its size would only waste air
            worst.append(eid)
            freed += CLASS_SIZES_BYTES[size_class]
        if freed < over:
            return False
        self.was_full = True
        self.drop_all(worst, Fate.EVICTED)
        return True

    def _evictable(
        self, origin: bytes | None, classes: tuple[int, ...]
    ) -> Iterator[tuple[bytes, int, int, int]]:
        """As the store has it, the worst first; few are looked up before more are asked for."""
        look = partial(self._store.evictable, origin=origin, size_classes=classes)
        first = look(limit=EVICT_LOOK_FIRST)
        yield from first
        if len(first) == EVICT_LOOK_FIRST:
            yield from look(limit=EVICT_LOOK_MAX)[EVICT_LOOK_FIRST:]

    def status(self) -> CustodyStatus:
        count = self._totals.count
        return CustodyStatus(
            own=count[Kind.OWN],
            mine=count[Kind.MINE],
            carried=count[Kind.CARRIED],
            size_bytes=self._used(),
            quota_bytes=self._limits.store_bytes,
            proofs=self._store.count_proofs(),
            untried=self._untried,
        )
