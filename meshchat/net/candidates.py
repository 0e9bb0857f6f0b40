"""Whom to dial, when and where: the policy of LAN discovery without any input or output.

A *candidate* is a session id somebody claims to have, with addresses somebody
claims for it. Both are hints: only a link handshake makes a peer. Everything a
stranger can fill is bounded. Times are monotonic seconds given by the caller.
"""

import math
from collections.abc import Iterable
from random import Random
from typing import NamedTuple

from msgspec import Struct, field

CANDIDATES_MAX = 256  # 5000 forged names must cost nothing worth mentioning
PER_HOST_MAX = 8  # session ids claimed by one address: two or three users share a machine
ADDRESSES_MAX = 6  # of one candidate; two LANs with both families need four
DIALS_MAX = 8  # candidates dialled at once
BACKOFF_FIRST_S = 1.0
BACKOFF_MAX_S = 300.0
BACKOFFS_MAX = 1_024  # addresses remembered as failing
GATHER_S = 0.1  # wait for a newcomer's other addresses, and spread a herd
YIELD_S = 2.0  # the greater session id leaves the first try to the other side
LASTED_S = 30.0  # a link that lived this long was a good one: back-off starts anew
NAME_TRIES = 3  # a name heard of by mDNS only is dropped after as many failures
PERIOD_S = 5.0  # between our beacons, in a small network
PERIOD_PEERS = 10  # from 50 peers on: one more second for every so many
SILENCE_PERIODS = 3.5  # after this many a beacon's sender is gone (17.5 s)


class Address(NamedTuple):
    """Where a TCP listener is said to be."""

    host: str
    """Numeric, without scope."""
    port: int
    scope: int = 0
    """Interface number of a link-local IPv6 address. Ours alone: never stored or sent."""


class Plan(NamedTuple):
    """Dial this candidate at these addresses, best first, until one answers."""

    sid: bytes
    addresses: tuple[Address, ...]


class _Candidate(Struct):
    host: str
    """Who told us of it first."""
    not_before: float
    heard_at: float = -math.inf
    """Last beacon."""
    named: bool = False
    """mDNS offers it."""
    tries: int = 0
    dialling: bool = False
    addresses: dict[Address, bool] = field(default_factory=dict)
    """True: a beacon came from there; False: mDNS says so."""


class _Open(Struct):
    sid: bytes
    """The other side's session id; zeros for a static peer that we dialled."""
    host: str
    port: int
    """Where its listener is; 0 = not known (it dialled us)."""
    since: float


class Candidates:
    """The table both kinds of discovery feed and the dialler empties."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._own = bytes(16)
        self._found: dict[bytes, _Candidate] = {}
        self._failing: dict[Address, tuple[float, float]] = {}  # (back-off in s, until)
        self._links: dict[int, _Open] = {}

    def __len__(self) -> int:
        return len(self._found)

    def restart(self, own: bytes) -> None:
        """Our addresses changed: a new own session id, and everything is tried afresh.

        Links stay; those on addresses that are gone are ended by the caller.
        """
        self._own = own
        self._found.clear()
        self._failing.clear()

    # --- what discovery tells ----------------------------------------------------------------

    def heard(self, sid: bytes, address: Address, now: float) -> bool:
        """A beacon came; returns True if this session id was not known as present."""
        if sid == self._own:
            return False
        known = sid in self._found and self._found[sid].heard_at > now - self.silence_s()
        candidate = self._place(sid, address.host, now)
        candidate.heard_at = now
        candidate.tries = 0 if not known else candidate.tries
        self._add(candidate, address, by_beacon=True)
        for link in self._links.values():  # where an inbound link's listener is
            if link.sid == sid and link.host == address.host and not link.port:
                link.port = address.port
        return not known

    def named(self, sid: bytes, addresses: Iterable[Address], now: float) -> None:
        """mDNS resolved a name."""
        for address in addresses:
            if sid == self._own:
                return
            candidate = self._place(sid, address.host, now)
            candidate.named = True
            self._add(candidate, address, by_beacon=False)

    def unnamed(self, sid: bytes) -> None:
        """mDNS says the name is gone. Anybody can forge that: it only ends what mDNS began."""
        candidate = self._found.get(sid)
        if candidate is not None:
            candidate.named = False

    def knows(self, sid: bytes) -> bool:
        """Whether mDNS need not resolve this one: it is us, or a beacon told us."""
        return sid == self._own or (sid in self._found and self._found[sid].heard_at > -math.inf)

    # --- presence ----------------------------------------------------------------------------

    def present(self, now: float) -> list[bytes]:
        """Session ids whose beacons are heard, in order of first hearing."""
        limit = now - self.silence_s()
        return [sid for sid, candidate in self._found.items() if candidate.heard_at > limit]

    def named_only(self) -> int:
        """How many are known by name but were never heard: somebody is there, beacons fail."""
        return sum(c.named and c.heard_at == -math.inf for c in self._found.values())

    def period_s(self) -> float:
        """Seconds between our beacons: rarer in a crowd, so that the air stays free."""
        return max(
            PERIOD_S, sum(c.heard_at > -math.inf for c in self._found.values()) / PERIOD_PEERS
        )

    def silence_s(self) -> float:
        """After this long without a beacon its sender is taken for gone."""
        return SILENCE_PERIODS * self.period_s()

    def forget(self, now: float) -> None:
        """Drop what is neither heard, named nor being dialled."""
        limit = now - self.silence_s()
        self._found = {
            sid: c
            for sid, c in self._found.items()
            if c.heard_at > limit or (c.named and c.tries < NAME_TRIES) or c.dialling
        }

    # --- dialling ----------------------------------------------------------------------------

    def due(self, now: float, room: int) -> list[Plan]:
        """Whom to dial now, at most ``room``. Each must be ended by ``dialled``.

        Beacons before names, fewest failures first, newest first: a flood of
        forged names only waits behind those who are really there.
        """
        room = min(room, DIALS_MAX - sum(c.dialling for c in self._found.values()))
        if room <= 0:
            return []
        waiting = [
            (c.heard_at == -math.inf, c.tries, -max(c.heard_at, c.not_before), sid)
            for sid, c in self._found.items()
            if now >= c.not_before and not c.dialling and not self._linked(sid, c)
        ]
        plans: list[Plan] = []
        for _, _, _, sid in sorted(waiting):
            candidate = self._found[sid]
            # beacon addresses first: those were at least the source of a datagram
            ordered = sorted(candidate.addresses, key=lambda a: not candidate.addresses[a])
            free = [a for a in ordered if now >= self._failing.get(a, (0.0, 0.0))[1]]
            if free and len(plans) < room:
                candidate.dialling = True
                plans.append(Plan(sid, tuple(free)))
        return plans

    def next_at(self) -> float | None:
        """When ``due`` may have something again; None: only after news."""
        if sum(c.dialling for c in self._found.values()) >= DIALS_MAX:
            return None
        return min(
            (
                max(c.not_before, min(self._failing.get(a, (0.0, 0.0))[1] for a in c.addresses))
                for sid, c in self._found.items()
                if c.addresses and not c.dialling and not self._linked(sid, c)
            ),
            default=None,
        )

    def failed(self, address: Address, now: float, *, pause_s: float = 0.0) -> None:
        """Nobody useful answered there: wait twice as long as the last time.

        Args:
            address: Where it was tried.
            now: Monotonic seconds.
            pause_s: At least so long.
        """
        last, _ = self._failing.pop(address, (0.0, 0.0))
        wait = min(BACKOFF_MAX_S, max(BACKOFF_FIRST_S, 2 * last, pause_s))
        while len(self._failing) >= BACKOFFS_MAX:
            del self._failing[next(iter(self._failing))]
        self._failing[address] = (wait, now + wait * self._random.uniform(0.8, 1.2))

    def dialled(self, sid: bytes, now: float, *, linked: bool) -> None:
        """A plan of ``due`` is carried out."""
        candidate = self._found.get(sid)
        if candidate is not None:
            candidate.dialling = False
            candidate.tries += not linked
            candidate.not_before = max(candidate.not_before, now)

    # --- links -------------------------------------------------------------------------------

    def link_up(self, link: int, sid: bytes, address: Address, now: float, *, ours: bool) -> None:
        """A link stands. ``ours``: we dialled, so ``address`` is the other side's listener."""
        port = address.port if ours else 0
        candidate = self._found.get(sid)
        if candidate is not None and not port:
            port = next((a.port for a in candidate.addresses if a.host == address.host), 0)
        self._links[link] = _Open(sid, address.host, port, now)

    def link_down(self, link: int, now: float, *, duplicate: bool = False) -> None:
        """A link ended. ``duplicate``: another link to the same node stays, so do not hurry."""
        ended = self._links.pop(link, None)
        if ended is None:
            return
        for sid, candidate in self._found.items():
            if sid == ended.sid or any(_same(a, ended) for a in candidate.addresses):
                candidate.not_before = now + self._patience(sid)
                for address in candidate.addresses:
                    if address.host != ended.host:
                        continue
                    if duplicate:  # the link that stays may go by a name we do not know
                        if not self._linked(sid, candidate):
                            self.failed(address, now, pause_s=BACKOFF_MAX_S)
                    elif now - ended.since >= LASTED_S:
                        self._failing.pop(address, None)
                    else:
                        self.failed(address, now)

    def is_linked(self, address: Address) -> bool:
        """Whether an open link leads to this listener."""
        return any(_same(address, link) for link in self._links.values())

    # --- inside ------------------------------------------------------------------------------

    def _linked(self, sid: bytes, candidate: _Candidate) -> bool:
        # The address too: after a network change an old link goes on under an old session id.
        return any(
            link.sid == sid or any(_same(a, link) for a in candidate.addresses)
            for link in self._links.values()
        )

    def _patience(self, sid: bytes) -> float:
        spread = self._random.uniform(0, GATHER_S)
        return spread if self._own < sid else YIELD_S + spread

    def _place(self, sid: bytes, host: str, now: float) -> _Candidate:
        """The entry of this session id, made if need be at the cost of a lesser one."""
        if sid in self._found:
            return self._found[sid]
        same_host = [s for s, c in self._found.items() if c.host == host]
        if len(same_host) >= PER_HOST_MAX:
            self._evict(same_host)
        elif len(self._found) >= CANDIDATES_MAX:
            self._evict(list(self._found))
        self._found[sid] = _Candidate(host, now + self._patience(sid))
        return self._found[sid]

    def _evict(self, sids: list[bytes]) -> None:
        """Drop the least credible: not linked, a mere name, often failed, long silent."""

        def worth(sid: bytes) -> tuple[bool, bool, int, float]:
            c = self._found[sid]
            return (self._linked(sid, c), c.heard_at > -math.inf, -c.tries, c.heard_at)

        del self._found[min(sids, key=worth)]

    def _add(self, candidate: _Candidate, address: Address, *, by_beacon: bool) -> None:
        known = candidate.addresses
        if address not in known and len(known) >= ADDRESSES_MAX:
            if not by_beacon:
                return
            del known[next((a for a, beacon in known.items() if not beacon), next(iter(known)))]
        known[address] = by_beacon or known.get(address, False)


class Retry:
    """When to dial a static peer again: jittered, doubling, for ever."""

    FIRST_S = 1.0
    MAX_S = 600.0  # a peer that is away for a week costs a hundred tries a day

    def __init__(self, random: Random) -> None:
        self._random = random
        self._wait_s = self.FIRST_S

    def reset(self) -> None:
        """The network changed, or the last link was a good one."""
        self._wait_s = self.FIRST_S

    def next_s(self) -> float:
        """Seconds to wait before the next try."""
        wait, self._wait_s = self._wait_s, min(self.MAX_S, 2 * self._wait_s)
        return wait * self._random.uniform(0.75, 1.25)


def _same(address: Address, link: _Open) -> bool:
    return address.port == link.port and address.host == link.host
