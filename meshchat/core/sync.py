"""The exchange with one neighbour (docs/reference/wire.md, 1.4): what it says, to whom it goes.

Two halves that know of each other as little as can be: ``offering`` is what we give this
neighbour, ``asking`` what we take from it. What all links of a node share, and the orders of asking
and serving, are in ``transfers``.
"""

from collections.abc import Collection, Sequence

from meshchat.core import link as records
from meshchat.core.asking import Asking
from meshchat.core.limits import Limits
from meshchat.core.link import Link
from meshchat.core.model import Now
from meshchat.core.offering import Offering
from meshchat.core.ports import Store
from meshchat.core.reconcile import RECORDS
from meshchat.core.relay import Meeting
from meshchat.core.transfers import Outcome, Transfers
from meshchat.core.wire import Refusal, read_refusals
from meshchat.errors import WireError


class Sync:
    """State of the exchange with one neighbour, from HELLO until the link ends."""

    def __init__(
        self,
        link: Link,
        store: Store,
        transfers: Transfers,
        limits: Limits,
        trusted: bool,
        now: Now,
    ) -> None:
        refused: list[tuple[bytes, int]] = []
        self._key = link.remote_key
        self._contact = trusted
        self._shelf = transfers.shelf
        self._meeting = Meeting(transfers.relay)
        self._offering = Offering(link, store, transfers, self._meeting, refused)
        self._asking = Asking(
            link, store, transfers, self._meeting, self._offering, refused, limits, trusted, now
        )

    def trust(self, now: Now) -> None:
        """The neighbour turned out to be a contact: widen its budgets, once."""
        self._asking.trust(now)

    def open(self, now: Now) -> None:
        """Start: offer everything this neighbour is not known to have, best first."""
        self._meeting.begin(self._key, self._shelf, now.mono)
        self._asking.open()
        self._offering.open(self._contact)

    def seek(self, eids: Collection[bytes]) -> bool:
        """These are for us, it turned out. Whether this neighbour can be asked for any."""
        return self._asking.seek(eids)

    def offer(self, eid: bytes, hint: int) -> bool:
        """Something new is to be had here. False if the neighbour has it or was told."""
        return self._offering.offer(eid, hint)

    def offer_all(self, offers: Sequence[tuple[bytes, int]]) -> bool:
        """The same of several. False if the neighbour has all of them or was told."""
        return self._offering.offer_all(offers)

    def push_proof(self, done: bytes, token: bytes, exp_h: int) -> None:
        """Hand over a token without being asked: the peer is the author's own node."""
        self._offering.push_proof(done, token, exp_h)

    def settle(self, eid: bytes, refusal: Refusal | None) -> None:
        """The verdict on something that ``Arrived``. STORED leaves only after our commit."""
        self._asking.settle(eid, refusal)

    def fetch_again(self, eid: bytes) -> None:
        """A resumed envelope did not fit its id: somebody lied about its first bytes."""
        self._asking.fetch_again(eid)

    def record(self, kind: int, body: bytes, now: Now) -> Outcome | None:
        """Take one record. Raises ``ProtocolError`` on anything that was not agreed."""
        if kind == records.PART:
            return self._asking.on_part(body, now)
        if kind == records.PROOF:
            return self._asking.on_proof(body, now)
        if kind == records.STORED:
            return self._offering.on_stored(body)
        if kind == records.HAVE:
            return self._asking.on_have(body, now)
        if kind == records.NEXT:
            return self._offering.on_next(body)
        if kind == records.WANT:
            self._offering.on_want(body, now)
        elif kind == records.CREDIT:
            self._offering.on_credit(body, now)
        elif kind == records.REFUSED:
            self._on_refused(body, now)
        elif kind == records.DIGEST:
            return self._offering.on_digest(body)
        elif kind in RECORDS:
            return self._offering.on_comparison(kind, body)
        elif kind == records.NEGENTROPY:
            self._offering.on_negentropy(body)
        else:
            raise WireError("record_type")
        return None

    def _on_refused(self, body: bytes, now: Now) -> None:
        offering, asking = self._offering, self._asking
        for eid, reason in read_refusals(body):
            if offering.on_refused(eid, reason) or asking.on_refused(eid, reason, now):
                continue
            if not offering.has(eid):  # else it came unasked while our WANT was on its way
                raise WireError("refused_unknown")

    def pump(self, now: Now) -> None:
        """Queue on the link whatever may go now. Call after every event that concerns it."""
        self._meeting.look(now.mono)
        self._asking.answer()
        self._offering.pump(now)
        self._asking.pump(now)

    @property
    def wants_more(self) -> bool:
        """Whether anything waits to be asked for."""
        return self._asking.wants_more

    def next_wakeup(self) -> float | None:
        """Monotonic time at which ``pump`` has something to do by itself."""
        return self._asking.next_wakeup()

    def close(self) -> None:
        """The link is gone: keep what arrived of unfinished envelopes, free them for others."""
        self._asking.close()
        self._meeting.end()
