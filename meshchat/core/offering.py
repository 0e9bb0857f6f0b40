"""What one neighbour is offered, and what it is given of that (docs/reference/wire.md, 1.4).

Owns what this neighbour is known to have, what it was offered, in which order what it asked for
leaves, and how many bytes may be in flight. Long lists for somebody new go through ``reconcile``
first.
"""

from collections import deque
from collections.abc import Collection, Sequence

from meshchat.core import link as records
from meshchat.core.crypto import H
from meshchat.core.limits import (
    CLASS_SIZES_BYTES,
    HAVE_IDS_MAX,
    HAVES_OPEN_IDS_MAX,
    HAVES_OPEN_MAX,
    NEWS_HAVES_MAX,
    NEWS_IDS_MAX,
    WANTS_OPEN_MAX,
)
from meshchat.core.link import Link
from meshchat.core.model import Now, class_of
from meshchat.core.pace import Window
from meshchat.core.ports import Store
from meshchat.core.reconcile import Reconcile
from meshchat.core.relay import Meeting
from meshchat.core.shelf import BULK_RANK, rank_of
from meshchat.core.transfers import Holding, Serving, Stored, Transfers
from meshchat.core.wire import (
    OFFER_BYTES,
    PART_HEAD_BYTES,
    PROOF_HINT,
    Refusal,
    read_credit,
    read_digest,
    read_ids,
    read_next,
    read_wants,
    write_digest,
    write_offers,
    write_part,
    write_proof,
    write_refusals,
)
from meshchat.errors import QuotaError, WireError

IDS_REMEMBERED_MAX = 131_072  # of what the neighbour has; about 12 MiB for a hostile one
SPARE_IDS = 4_096  # kept on a link beyond twice what is here: a sweep is not for every envelope


class Offering:
    """Our side of what goes to one neighbour."""

    def __init__(
        self,
        link: Link,
        store: Store,
        transfers: Transfers,
        meeting: Meeting,
        refused: list[tuple[bytes, int]],
    ) -> None:
        """``refused``: what we shall refuse with the next answer; shared with ``Asking``."""
        self._link = link
        self._store = store
        self._transfers = transfers
        self._meeting = meeting
        self._refused = refused
        self._key = link.handshake_hash[:32]
        self._digest = b""
        self._compared = False
        self._compare = Reconcile(link, transfers.shelf)
        self._opening: list[bytes] = []  # waits until that is over
        self._to_offer: deque[bytes] = deque()  # what was here when the link opened
        self._news: deque[bytes] = deque()  # what came since: goes before that
        self._urgent: set[bytes] = set()  # news, and what is dear: leaves first when asked for
        self._ours: dict[bytes, int] = {}  # offered or queued, no word on it yet: id -> hint
        self._theirs: set[bytes] = set()  # they have it, and we do not: the shelf has the rest
        self._passed: set[bytes] = set()  # given, or refused for now: not offered on this link
        self._again: set[bytes] = set()  # declined once and then asked for: served once
        self._early: dict[bytes, int] = {}  # ours that only its reader was told of yet: hints
        self._sweep_at = SPARE_IDS
        self._swept = False  # some of what was offered here is forgotten, because it is gone
        self._haves_open: deque[list[bytes]] = deque()  # ids of each that was not answered yet
        self._serving = Serving()
        self._offsets: dict[bytes, int] = {}
        self._loaded: dict[bytes, bytes] = {}
        self._unanswered: set[bytes] = set()  # whole copies sent, STORED or REFUSED not yet heard
        self._sent_twice: set[bytes] = set()  # found malformed once, so asked for again
        self._window = Window()

    # --- offering --------------------------------------------------------------------------

    def open(self, contact: bool) -> None:
        """Start: offer everything this neighbour is not known to have, best first."""
        shelf = self._transfers.shelf
        self._ours = shelf.missing(self._link.remote_key, contact)
        if contact:
            self._urgent.update(shelf.dear(self._ours))
        self._sweep_at += 2 * len(self._ours)
        self._digest = H(b"mc1 set", b"".join(sorted(self._ours)), 12, key=self._key)
        if self._compare.begin(len(self._ours)):
            self._opening = list(self._ours)  # most of it they have, perhaps
            return
        self._to_offer.extend(self._ours)
        self._link.send(records.DIGEST, write_digest(self._digest, len(self._ours)))

    def offered(self, eids: Sequence[bytes]) -> list[bytes]:
        """Those of these that are offered here, or wait to be, and no word came on them yet."""
        return [eid for eid in eids if eid in self._ours]

    def offer(self, eid: bytes, hint: int) -> bool:
        """Something new is to be had here. False if the neighbour has it or was told."""
        return self.offer_all(((eid, hint),))

    def offer_all(self, offers: Sequence[tuple[bytes, int]]) -> bool:
        """The same of several. False if the neighbour has all of them or was told."""
        shelf, key, ours = self._transfers.shelf, self._link.remote_key, self._ours
        if self._theirs:
            theirs = [eid for eid, _ in offers if eid in self._theirs]
            self._theirs.difference_update(theirs)
            shelf.learn(key, theirs)
        new = {eid: hint for eid, hint in offers if eid not in ours and eid not in self._passed}
        for eid in shelf.known(key, new):
            del new[eid]
        ours.update(new)
        self._news.extend(new)
        self._urgent.update(new)
        if len(ours) > self._sweep_at:
            self._sweep()
        return bool(new)

    def _sweep(self) -> None:
        """Forget what was offered, or waits to be, and is gone: a flood that comes and goes would
        else fill the memory of every link that is slower."""
        here = self._transfers.shelf.everything()
        here.update(self._offsets, self._unanswered)
        self._ours = {eid: hint for eid, hint in self._ours.items() if eid in here}
        self._to_offer = deque(eid for eid in self._to_offer if eid in here)
        self._news = deque(eid for eid in self._news if eid in here)
        self._urgent &= here
        self._passed &= here
        self._swept = True
        self._sweep_at = 2 * len(self._ours) + SPARE_IDS

    def push_proof(self, done: bytes, token: bytes, exp_h: int) -> None:
        """Hand over a token without being asked: the peer is the author's own node."""
        if not self.has(done) and done not in self._passed:
            self._give_proof(done, token, exp_h)

    def _give_proof(self, done: bytes, token: bytes, exp_h: int) -> None:
        """Nothing confirms a token. If it is lost with the link, a later one must offer it."""
        self._passed.add(done)
        self._link.send(records.PROOF, write_proof(token, exp_h))

    # --- records ---------------------------------------------------------------------------

    def on_digest(self, body: bytes) -> Holding | None:
        digest, count = read_digest(body)
        if self._compared:  # 19 bytes to say, all that is on offer to look through
            raise WireError("digest_again")
        self._compared = True
        if digest != self._digest or count != len(self._ours):
            return None
        held = list(self._ours)
        self.remember(held)
        self._to_offer.clear()
        return Holding(held)

    def on_comparison(self, kind: int, body: bytes) -> Holding | None:
        outcome = self._compare.record(kind, body)
        if outcome is None:
            return None
        opening, self._opening = self._opening, []
        if isinstance(outcome, str):
            self._to_offer.extend(opening)
            return None
        missing = set(self._compare.missing)
        self._to_offer.extend(eid for eid in opening if eid in missing)
        held = [eid for eid in outcome if eid in self._ours]
        self.remember(outcome)
        return Holding(held) if held else None

    def on_negentropy(self, body: bytes) -> None:
        """The neighbour compares in that protocol."""
        self._compare.negentropy(body)

    def on_next(self, body: bytes) -> Holding | None:
        held: list[bytes] = []
        for answer in read_next(body, [len(ids) for ids in self._haves_open]):
            ids = self._haves_open.popleft()
            if answer:
                held += [eid for place, eid in enumerate(ids) if answer >> place & 1]
        self.remember(held)
        return Holding(held) if held else None

    def remember(self, ids: Collection[bytes]) -> None:
        """The neighbour has these."""
        if len(self._theirs) > IDS_REMEMBERED_MAX:
            self._theirs.clear()  # costs an offer or two made twice, nothing else
        if len(self._early) > IDS_REMEMBERED_MAX:
            self._early.clear()
        shelf, ours = self._transfers.shelf, self._ours
        self._theirs.update(shelf.learn(self._link.remote_key, ids))
        self._urgent.difference_update(ids)
        offered = [eid for eid in ids if eid in ours]
        if offered:
            for eid, hint in zip(offered, shelf.hints_of(offered), strict=True):
                was = ours.pop(eid, None)
                if was is not None and hint is None:
                    self._early[eid] = was

    def has(self, eid: bytes) -> bool:
        """By its own word, or it does not want it."""
        return eid in self._theirs or self._transfers.shelf.knows(self._link.remote_key, eid)

    def on_want(self, body: bytes, now: Now) -> None:
        for eid, offset, first in read_wants(body):
            if eid in self._offsets or eid in self._unanswered:
                raise WireError("want_unoffered")
            hint = self._ours.get(eid)
            if hint is None:
                hint = self._told_before(eid, first)
            if hint is None or eid in self._passed:
                self._refused.append((eid, Refusal.UNWANTED))
                continue
            size = 1 if hint == PROOF_HINT else CLASS_SIZES_BYTES[class_of(hint)]
            if offset >= size:  # they were lied to about its first bytes, and can start anew
                self._refused.append((eid, Refusal.MALFORMED))
                continue
            if len(self._offsets) >= WANTS_OPEN_MAX:
                raise QuotaError("wants_open")
            self._offsets[eid] = offset
            if 0 < rank_of(hint) < BULK_RANK:
                self._meeting.new_to_them(now.mono)
            self._serving.add(eid, hint, first, eid in self._urgent)

    def _told_before(self, eid: bytes, first: bool) -> int | None:
        """The hint of what they declined, perhaps on an earlier link, and seek now: once a link.

        None if it is not here any more.

        Raises:
            WireError: They cannot know of it.
        """
        if not (first or self._swept or self._compare.names_all or self.has(eid)):
            raise WireError("want_unoffered")
        known = self._compare.names_all or self.has(eid)
        if not known or eid in self._again:
            return None
        self._again.add(eid)
        early = self._early.pop(eid, None)
        (hint,) = self._transfers.shelf.hints_of((eid,))
        return early if hint is None else hint

    def on_credit(self, body: bytes, now: Now) -> None:
        """Bytes of ours were processed there."""
        self._window.credit(read_credit(body), now.idle)

    def on_stored(self, body: bytes) -> Stored:
        eids = read_ids(body)
        for eid in eids:
            if eid not in self._unanswered:
                raise WireError("stored_unsent")
            self._unanswered.discard(eid)
        self.remember(eids)
        self._transfers.shelf.gave(eids)
        return Stored(eids)

    def on_refused(self, eid: bytes, reason: int) -> bool:
        """Whether it was about a copy or an offer of ours."""
        if eid in self._unanswered:  # they do not want our copy
            self._unanswered.discard(eid)
            if reason == Refusal.MALFORMED and eid not in self._sent_twice:
                self._sent_twice.add(eid)  # its beginning came from elsewhere: once more
            elif reason == Refusal.UNWANTED:
                self.remember((eid,))
            else:  # on a later link it may have room, or time
                self._passed.add(eid)
            return True
        if reason == Refusal.DECLINED and (eid in self._ours or self._swept):
            self.remember((eid,))
            return True
        return False

    # --- moving on -------------------------------------------------------------------------

    def pump(self, now: Now) -> None:
        """Queue on the link what may go now: offers, then what was asked for."""
        if self._news or self._to_offer:
            self._send_offers()
        if self._serving:
            self._serve(now)

    def _send_offers(self) -> None:
        """What is new goes first, and finds room whatever the backlog."""
        most = min(HAVE_IDS_MAX, self._link.max_record // OFFER_BYTES)
        if self._to_offer:
            self._offer_from(self._news, min(most, NEWS_IDS_MAX), 0, 0)
            self._offer_from(self._to_offer, most, NEWS_HAVES_MAX, NEWS_HAVES_MAX * NEWS_IDS_MAX)
        else:
            self._offer_from(self._news, most, 0, 0)

    def _offer_from(self, queue: deque[bytes], most: int, haves_kept: int, ids_kept: int) -> None:
        """Offer what may be open now, ``most`` ids at once, and leave so much room to others."""
        ours, passed = self._ours, self._passed
        room = HAVES_OPEN_IDS_MAX - ids_kept - sum(map(len, self._haves_open))
        while queue and len(self._haves_open) < HAVES_OPEN_MAX - haves_kept and room > 0:
            first = [queue.popleft() for _ in range(min(most, len(queue)))]
            chunk = [eid for eid in first if eid in ours and eid not in passed]
            if chunk:
                room -= len(chunk)
                self._haves_open.append(chunk)
                offers = [(eid, ours[eid]) for eid in chunk]
                self._link.send(records.HAVE, write_offers(offers))

    def _serve(self, now: Now) -> None:
        room = self._link.max_record - PART_HEAD_BYTES
        while self._serving:
            eid = self._serving.head()
            data = self._loaded.get(eid)
            if data is None:
                data = self._transfers.at_hand.get(eid) or self._store.envelope_data(eid)
                if data is None:
                    self._serving.drop()
                    del self._offsets[eid]
                    self._serve_proof(eid)
                    continue
                self._loaded[eid] = data
            offset = self._offsets[eid]
            left = len(data) - offset
            size = -(-left // -(-left // room))  # even pieces: no frame for a last few bytes
            if size + PART_HEAD_BYTES > self._window.room and self._window.in_flight:
                return
            part = write_part(eid, offset, len(data), data[offset : offset + size])
            self._link.send(records.PART, part)
            self._window.send(len(part), now.idle)
            whole = offset + size == len(data)
            if whole:
                self._serving.finish(len(part))
            else:
                self._serving.sent(len(part))
            self._offsets[eid] = offset + size
            if whole:
                del self._offsets[eid], self._loaded[eid]
                self._unanswered.add(eid)

    def _serve_proof(self, done: bytes) -> None:
        proof = self._store.proof(done)
        if proof is None:  # dropped since it was offered
            self._link.send(records.REFUSED, write_refusals([(done, Refusal.UNWANTED)]))
        else:
            self._give_proof(done, proof.token, proof.exp_h)
