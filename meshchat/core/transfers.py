"""What the links of a node share while they reconcile and transfer, and what comes of it.

``sync`` has one exchange for each neighbour; this is what stands between them: the outcomes they
hand up, the order in which things are asked for and served, and the state that all of them share.
"""

import heapq
from collections.abc import Callable, Iterable, Iterator, Set

from msgspec import Struct, field

from meshchat.core.limits import AT_HAND_MAX_BYTES, DECLINED_KEYS_MAX, DECLINED_REMEMBERED_MAX
from meshchat.core.relay import Relay
from meshchat.core.shelf import BULK_RANK, PROOF_RANK, RANKS, Shelf, rank_of


class Arrived(Struct, frozen=True):
    """A whole envelope we had asked for; its content is not checked yet."""

    eid: bytes
    data: bytes
    resumed: bool
    """Its first bytes came over an earlier link."""


class Token(Struct, frozen=True):
    """A delivery proof token."""

    token: bytes
    done: bytes
    """What it proves."""
    exp_h: int


class Stored(Struct, frozen=True):
    """The neighbour has taken custody of these."""

    eids: list[bytes]


class Holding(Struct, frozen=True):
    """We offer these, and the neighbour has them, perhaps from an earlier link."""

    eids: list[bytes]


Outcome = Arrived | Token | Stored | Holding


class Incoming(Struct):
    size: int
    data: bytes
    resumed: bool


NOTHING = Incoming(0, b"", False)
"""Of what nothing came yet: one object for all, replaced with the first piece."""


class Wants:
    """What we shall ask a neighbour for, what is sought first, then by rank, then as offered."""

    def __init__(self) -> None:
        self._by_rank: list[dict[bytes, int]] = [{} for _ in range(1 + len(RANKS))]

    def add(self, eid: bytes, hint: int, sought: bool) -> None:
        self._by_rank[0 if sought else 1 + rank_of(hint)].setdefault(eid, hint)

    def seek(self, eid: bytes) -> bool:
        """If it waits here, it is sought from now on; whether it does."""
        found = False
        for waiting in self._by_rank[1:]:
            if eid in waiting:
                self._by_rank[0][eid] = waiting.pop(eid)
                found = True
        return found

    def is_sought(self, eid: bytes) -> bool:
        """Whether it goes before all by rank."""
        return eid in self._by_rank[0]

    def remove(self, eid: bytes, hint: int) -> None:
        for waiting in (self._by_rank[0], self._by_rank[1 + rank_of(hint)]):
            waiting.pop(eid, None)

    def clear(self) -> None:
        for waiting in self._by_rank:
            waiting.clear()

    def __len__(self) -> int:
        return sum(map(len, self._by_rank))

    def __bool__(self) -> bool:
        return any(self._by_rank)

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        for waiting in self._by_rank:
            yield from waiting.items()


class Serving:
    """What a neighbour asked for, in the order in which it leaves.

    Small mail goes before bulk, and of it what is urgent first. Bulk that the reader wants first
    (begun, or sought) shares the air with small mail by bytes: neither starves, whatever the
    backlog of the other.
    """

    def __init__(self) -> None:
        self._small: list[tuple[int, int, bytes]] = []
        self._bulk: list[tuple[int, int, bytes]] = []
        self._turn = 0
        self._lead_bytes = 0  # small mail is ahead of wanted bulk by so many

    def add(self, eid: bytes, hint: int, first: bool, urgent: bool = False) -> None:
        self._turn += 1
        rank = rank_of(hint)
        if rank < BULK_RANK:
            place = rank if rank == PROOF_RANK or urgent else rank + BULK_RANK
            heapq.heappush(self._small, (place, self._turn, eid))
        else:  # as it was asked for: only the reader knows what it seeks
            heapq.heappush(self._bulk, (not first, self._turn, eid))

    def __bool__(self) -> bool:
        return bool(self._small or self._bulk)

    def _heap(self) -> list[tuple[int, int, bytes]]:
        if not self._small or not self._bulk:
            return self._small or self._bulk
        waits = self._bulk[0][0] or self._lead_bytes <= 0 or self._small[0][0] == PROOF_RANK
        return self._small if waits else self._bulk

    def head(self) -> bytes:
        """What goes next."""
        return self._heap()[0][2]

    def drop(self) -> None:
        """It is gone."""
        heapq.heappop(self._heap())

    def sent(self, size: int) -> None:
        """So many bytes of what goes next leave."""
        if self._small and self._bulk:
            self._lead_bytes += size if self._heap() is self._small else -size
        else:
            self._lead_bytes = 0

    def finish(self, size: int) -> None:
        """Its last bytes leave."""
        heap = self._heap()
        self.sent(size)
        heapq.heappop(heap)


class AtHand:
    """Envelopes stored a moment ago, in memory too: the newest, up to ``AT_HAND_MAX_BYTES``."""

    def __init__(self) -> None:
        self._data: dict[bytes, bytes] = {}
        self._size = 0

    def add(self, eid: bytes, data: bytes) -> None:
        self._data[eid] = data
        self._size += len(data)
        while self._size > AT_HAND_MAX_BYTES:
            self.drop([next(iter(self._data))])

    def get(self, eid: bytes) -> bytes | None:
        return self._data.get(eid)

    def drop(self, eids: Iterable[bytes]) -> None:
        for eid in eids:
            self._size -= len(self._data.pop(eid, b""))


class Transfers(Struct):
    """Shared by all links of a node: nothing is fetched from two neighbours at once."""

    relay: Relay
    """What we carry for strangers."""
    has_room: Callable[[int, bool], bool]
    """Whether bulk with this hint would be kept; whether a contact brings it."""
    hidden: Set[bytes]
    """``done`` of receipts of ours not released yet: to any question we do not know them."""
    shelf: Shelf
    """What we offer, and who has it."""
    from_link: dict[bytes, tuple[int, float]] = field(default_factory=dict)
    """Which link was asked, and when; after ``HOLD_S`` another may be asked too."""
    brought: int = 0
    """Envelopes and tokens that any neighbour has brought so far."""
    partials: set[bytes] = field(default_factory=set)
    """Ids whose first bytes the store keeps from a link that was cut."""
    full: dict[bytes, float] = field(default_factory=dict)
    """What found no room here, until when it is not asked for again."""
    sought: dict[bytes, None] = field(default_factory=dict)
    """Chunks of files for us: asked for before all else."""
    declined: dict[bytes, dict[bytes, int]] = field(default_factory=dict)
    """What we did not want to carry: id -> hint by the node keys that offered it."""
    at_hand: AtHand = field(default_factory=AtHand)
    """What need not be read from the store to be served."""
    freed: bool = False
    """Something that was asked of one link will not come from it: others may be asked."""

    def decline(self, eid: bytes, hint: int, key: bytes) -> None:
        """We shall not carry this; if it turns out to be for us, this neighbour has it."""
        keys = self.declined.setdefault(eid, {})
        keys.pop(key, None)
        keys[key] = hint
        if len(keys) > DECLINED_KEYS_MAX:  # keys cost a liar nothing
            del keys[next(iter(keys))]
        if len(self.declined) > DECLINED_REMEMBERED_MAX:
            del self.declined[next(iter(self.declined))]
