"""Reconciliation and transfer with one neighbour (docs/reference/wire.md, 1.4).

Owns what this neighbour was offered, what we asked it for, and how many bytes may be in
flight. Knows nothing of people or of what an envelope means: it hands whole objects up as
outcomes and is told the verdict. Long lists for somebody new go through ``reconcile`` first; what
all links of a node share, and the orders of asking and serving, are in ``transfers``.
"""

from collections import deque
from collections.abc import Collection

from meshchat.core import link as records
from meshchat.core.crypto import H
from meshchat.core.envelope import done_of
from meshchat.core.limits import (
    BUFFERED_MAX_BYTES,
    BULK_OPEN_MAX,
    CLASS_SIZES_BYTES,
    CREDIT_MAX_BYTES,
    FULL_REMEMBERED_MAX,
    FULL_WAIT_S,
    HAVE_IDS_MAX,
    HAVES_OPEN_IDS_MAX,
    HAVES_OPEN_MAX,
    HOLD_S,
    NEXT_AFTER_HAVES,
    NEXT_AFTER_S,
    PARTIALS_PER_LINK_MAX,
    SOUGHT_OPEN_MAX,
    STALL_S,
    WANTS_MAX,
    WANTS_OPEN_MAX,
    WANTS_WAITING_MAX,
    Limits,
)
from meshchat.core.link import BUDGET_RATE_BYTES, FRAME_OVERHEAD_BYTES, Link
from meshchat.core.model import Now, Partial, class_of
from meshchat.core.pace import Bucket, Window
from meshchat.core.ports import Store
from meshchat.core.reconcile import RECORDS, Reconcile
from meshchat.core.shelf import BULK_RANK, rank_of
from meshchat.core.transfers import (
    NOTHING,
    Arrived,
    Holding,
    Incoming,
    Outcome,
    Serving,
    Stored,
    Token,
    Transfers,
    Wants,
)
from meshchat.core.wire import (
    OFFER_BYTES,
    PART_HEAD_BYTES,
    PROOF_HINT,
    Refusal,
    read_credit,
    read_digest,
    read_ids,
    read_next,
    read_offers,
    read_part,
    read_proof,
    read_refusals,
    read_wants,
    write_credit,
    write_digest,
    write_ids,
    write_next,
    write_offers,
    write_part,
    write_proof,
    write_refusals,
    write_wants,
)
from meshchat.errors import QuotaError, WireError

IDS_REMEMBERED_MAX = 131_072  # of what the neighbour has; about 12 MiB for a hostile one
CONTACT_FACTOR = 10  # a contact's link may bring ten times a stranger's
RESUMED_MAX_BYTES = BUFFERED_MAX_BYTES // 2
NEVER = float("inf")
SPARE_IDS = 4_096  # kept on a link beyond twice what is here: a sweep is not for every envelope
CROWDED_LOOK_S = 1.0  # while a neighbour waits until we know what others bring of its offers
FRESH_LOOK_S = 20.0  # of a fresh meeting: what is written later is new to everybody
WAKE_SLACK_S = 0.001  # a timer a hair too early would find nothing to do, and ask again


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
        factor = CONTACT_FACTOR if trusted else 1
        self._trusted = trusted
        self._link = link
        self._store = store
        self._transfers = transfers
        self._envelopes = Bucket.full(
            limits.envelopes_burst * factor, limits.envelopes_per_s * factor, now.mono
        )
        self._offers = Bucket.full(
            limits.offers_burst * factor, limits.offers_per_s * factor, now.mono
        )
        self._key = link.handshake_hash[:32]
        self._digest = b""
        self._compared = False
        self._compare = Reconcile(link, transfers.shelf)
        self._opening: list[bytes] = []  # waits until that is over
        # what we offer
        self._to_offer: deque[bytes] = deque()
        self._ours: dict[bytes, int] = {}  # offered or queued, no word on it yet: id -> hint
        self._theirs: set[bytes] = set()  # they have it, and we do not: the shelf has the rest
        self._passed: set[bytes] = set()  # given, or refused for now: not offered on this link
        self._again: set[bytes] = set()  # declined once and then asked for: served once
        self._sweep_at = SPARE_IDS
        self._swept = False  # some of what was offered here is forgotten, because it is gone
        self._haves_open: deque[list[bytes]] = deque()  # ids of each that was not answered yet
        self._serving = Serving()
        self._offsets: dict[bytes, int] = {}
        self._loaded: dict[bytes, bytes] = {}
        self._unanswered: set[bytes] = set()  # whole copies sent, STORED or REFUSED not yet heard
        self._sent_twice: set[bytes] = set()  # found malformed once, so asked for again
        self._window = Window()
        # what we ask for
        self._wants = Wants()
        self._bulk: set[bytes] = set()  # bulk that was asked for
        self._asked: dict[bytes, Incoming] = {}
        self._brought = 0
        self._checked = 0  # what others had brought when the waiting ids were looked up
        self._judging: set[bytes] = set()  # arrived whole, verdict not given yet
        self._answers: list[tuple[int, int]] = []  # to HAVEs: mask of known ids, how many ids
        self._answer_by = NEVER  # when the first of them has to leave
        self._invite_at = 0.0
        self._held_until = NEVER  # when a want that another link was asked for may be asked here
        self._uncredited = 0
        self._buffered = 0
        self._progress = now.mono
        self._fresh_until = -NEVER  # until then what is new to one of us is counted
        self._new = self._union = 0
        self._stored: list[bytes] = []
        self._refused: list[tuple[bytes, int]] = []

    def trust(self, now: Now) -> None:
        """The neighbour turned out to be a contact: widen its budgets, once."""
        if self._trusted:
            return
        self._trusted = True
        for bucket in (self._envelopes, self._offers):
            bucket.refill(now.mono)
            bucket.burst *= CONTACT_FACTOR
            bucket.rate *= CONTACT_FACTOR
            bucket.level = bucket.burst

    # --- offering --------------------------------------------------------------------------

    def open(self, now: Now) -> None:
        """Start: offer everything this neighbour is not known to have, best first."""
        key = self._link.remote_key
        self._ours = dict(self._transfers.shelf.missing(key))
        if self._transfers.relay.meets(key, now.mono):
            self._fresh_until = now.mono + FRESH_LOOK_S
            self._union = self._transfers.shelf.count_small()
        for eid in self._transfers.sought:
            hint = self._transfers.declined.get(eid, {}).get(key)
            if hint is not None:
                self._wants.add(eid, hint, True)
        self._sweep_at += 2 * len(self._ours)
        self._digest = H(b"mc1 set", b"".join(sorted(self._ours)), 12, key=self._key)
        if self._compare.begin(len(self._ours)):
            self._opening = list(self._ours)  # most of it they have, perhaps
            return
        self._to_offer.extend(self._ours)
        self._link.send(records.DIGEST, write_digest(self._digest, len(self._ours)))

    def seek(self, eids: Collection[bytes]) -> bool:
        """These are for us, it turned out. Whether this neighbour can be asked for any."""
        key, declined = self._link.remote_key, self._transfers.declined
        found = False
        for eid in eids:
            found |= self._wants.seek(eid)  # it may have waited for room, or for better ones
            hint = declined.get(eid, {}).get(key)
            if hint is not None and eid not in self._asked and eid not in self._judging:
                self._wants.add(eid, hint, True)
                found = True
        return found

    def offer(self, eid: bytes, hint: int) -> bool:
        """Something new is to be had here. False if the neighbour has it or was told."""
        shelf, key = self._transfers.shelf, self._link.remote_key
        if eid in self._theirs:
            self._theirs.discard(eid)
            shelf.learn(key, (eid,))
        if eid in self._ours or eid in self._passed or shelf.knows(key, eid):
            return False
        self._ours[eid] = hint
        self._to_offer.append(eid)
        if len(self._ours) > self._sweep_at:
            self._sweep()
        return True

    def _sweep(self) -> None:
        """Forget what was offered, or waits to be, and is gone: a flood that comes and goes would
        else fill the memory of every link that is slower."""
        here = self._transfers.shelf.everything()
        here.update(self._offsets, self._unanswered)
        self._ours = {eid: hint for eid, hint in self._ours.items() if eid in here}
        self._to_offer = deque(eid for eid in self._to_offer if eid in here)
        self._passed &= here
        self._swept = True
        self._sweep_at = 2 * len(self._ours) + SPARE_IDS

    def push_proof(self, done: bytes, token: bytes, exp_h: int) -> None:
        """Hand over a token without being asked: the peer is the author's own node."""
        if not self._has(done) and done not in self._passed:
            self._give_proof(done, token, exp_h)

    def _give_proof(self, done: bytes, token: bytes, exp_h: int) -> None:
        """Nothing confirms a token. If it is lost with the link, a later one must offer it."""
        self._passed.add(done)
        self._link.send(records.PROOF, write_proof(token, exp_h))

    def settle(self, eid: bytes, refusal: Refusal | None) -> None:
        """The verdict on something that ``Arrived``. STORED leaves only after our commit."""
        self._judging.discard(eid)
        if refusal is None:
            self._brought += 1
            self._transfers.brought += 1
            self._stored.append(eid)
        else:
            self._refused.append((eid, refusal))
            if refusal is Refusal.FULL:
                full = self._transfers.full
                full.pop(eid, None)
                full[eid] = self._progress + FULL_WAIT_S
                if len(full) > FULL_REMEMBERED_MAX:
                    del full[next(iter(full))]

    def fetch_again(self, eid: bytes) -> None:
        """A resumed envelope did not fit its id: somebody lied about its first bytes."""
        self.settle(eid, Refusal.MALFORMED)
        self._wants.add(eid, 0, True)

    # --- records -----------------------------------------------------------------------------

    def record(self, kind: int, body: bytes, now: Now) -> Outcome | None:
        """Take one record. Raises ``ProtocolError`` on anything that was not agreed."""
        if kind == records.PART:
            return self._on_part(body, now)
        if kind == records.PROOF:
            return self._on_proof(body, now)
        if kind == records.STORED:
            return self._on_stored(read_ids(body))
        if kind == records.HAVE:
            return self._on_have(read_offers(body), now)
        if kind == records.NEXT:
            return self._on_next(body)
        if kind == records.WANT:
            self._on_want(read_wants(body), now)
        elif kind == records.CREDIT:
            self._window.credit(read_credit(body), now.mono)
        elif kind == records.REFUSED:
            self._on_refused(read_refusals(body), now)
        elif kind == records.DIGEST:
            return self._on_digest(*read_digest(body))
        elif kind in RECORDS:
            return self._on_comparison(kind, body)
        elif kind == records.NEGENTROPY:
            self._compare.negentropy(body)
        else:
            raise WireError("record_type")
        return None

    def _on_digest(self, digest: bytes, count: int) -> Holding | None:
        if self._compared:  # 19 bytes to say, all that is on offer to look through
            raise WireError("digest_again")
        self._compared = True
        if digest != self._digest or count != len(self._ours):
            return None
        held = list(self._ours)
        self._remember(held)
        self._to_offer.clear()
        return Holding(held)

    def _on_comparison(self, kind: int, body: bytes) -> Holding | None:
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
        self._remember(outcome)
        return Holding(held) if held else None

    def _on_next(self, body: bytes) -> Holding | None:
        held: list[bytes] = []
        for answer in read_next(body, [len(ids) for ids in self._haves_open]):
            ids = self._haves_open.popleft()
            if answer:
                held += [eid for place, eid in enumerate(ids) if answer >> place & 1]
        self._remember(held)
        return Holding(held) if held else None

    def _on_have(self, offers: list[tuple[bytes, int]], now: Now) -> Holding | None:
        if (
            len(self._answers) >= HAVES_OPEN_MAX
            or sum(size for _, size in self._answers) >= HAVES_OPEN_IDS_MAX
        ):
            raise QuotaError("have_without_next")
        self._offers.refill(now.mono)
        self._offers.level -= len(offers)
        ids = [eid for eid, _ in offers]
        transfers = self._transfers
        known = self._store.known(ids) - transfers.hidden
        if not self._wants:  # all that will wait was looked up now
            self._checked = transfers.brought - self._brought
        answer = 0
        held: list[bytes] = []
        for place, (eid, hint) in enumerate(offers):
            if eid in known:
                answer |= 1 << place
                if eid in self._ours:
                    held.append(eid)
            elif eid not in self._asked and eid not in self._judging:
                sought = eid in transfers.sought
                if not sought and transfers.full.get(eid, 0.0) > now.mono:
                    transfers.decline(eid, hint, self._link.remote_key)  # and no word: not yet
                elif sought or transfers.relay.carries(hint):
                    self._wants.add(eid, hint, sought or eid in transfers.partials)
                else:
                    self._decline(eid, hint)
        self._remember(ids)
        if not self._answers:
            self._answer_by = now.mono + NEXT_AFTER_S
        self._answers.append((answer, len(ids)))
        return Holding(held) if held else None

    def _decline(self, eid: bytes, hint: int) -> None:
        self._transfers.decline(eid, hint, self._link.remote_key)
        self._refused.append((eid, Refusal.DECLINED))

    def _remember(self, ids: Collection[bytes]) -> None:
        if len(self._theirs) > IDS_REMEMBERED_MAX:
            self._theirs.clear()  # costs an offer or two made twice, nothing else
        self._theirs.update(self._transfers.shelf.learn(self._link.remote_key, ids))
        for eid in ids:
            self._ours.pop(eid, None)

    def _has(self, eid: bytes) -> bool:
        """By its own word, or it does not want it."""
        return eid in self._theirs or self._transfers.shelf.knows(self._link.remote_key, eid)

    def _on_want(self, wants: list[tuple[bytes, int, bool]], now: Now) -> None:
        for eid, offset, first in wants:
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
            rank = rank_of(hint)
            if now.mono < self._fresh_until and 0 < rank < BULK_RANK:
                self._new += 1
            self._serving.add(eid, hint, first)

    def _told_before(self, eid: bytes, first: bool) -> int | None:
        """The hint of what they declined, perhaps on an earlier link, and seek now: once a link.

        None if it is not here any more.

        Raises:
            WireError: They cannot know of it.
        """
        if not (first or self._swept or self._compare.names_all or self._has(eid)):
            raise WireError("want_unoffered")
        known = self._compare.names_all or self._has(eid)
        if not known or eid in self._again:
            return None
        self._again.add(eid)
        return self._transfers.shelf.hint_of(eid)

    def _on_part(self, body: bytes, now: Now) -> Arrived | None:
        eid, offset, size, data = read_part(body)
        incoming = self._asked.get(eid)
        if incoming is None:
            raise WireError("part_unasked")
        self._uncredited += len(body)
        if self._uncredited > CREDIT_MAX_BYTES:
            raise QuotaError("credit_exceeded")
        if offset != len(incoming.data):
            raise WireError("part_order")
        if incoming.size not in (0, size) and not incoming.resumed:
            raise WireError("part_order")
        if offset + len(data) > size:
            raise WireError("part_overrun")
        self._progress = now.mono
        if len(data) == size and not incoming.data:  # most come in one piece: no need to gather
            whole = data
        else:
            incoming = Incoming(size, incoming.data + data, incoming.resumed)
            self._asked[eid] = incoming
            self._buffered += len(data)
            if self._buffered > BUFFERED_MAX_BYTES:
                raise QuotaError("buffered")
            if len(incoming.data) < size:
                return None
            whole = incoming.data
        late = not self._drop_request(eid)
        if late:
            self._transfers.from_link.pop(eid, None)  # whoever else was asked since is late
            if self._store.known([eid]):
                self._refused.append((eid, Refusal.UNWANTED))
                return None
        self._judging.add(eid)
        return Arrived(eid, whole, incoming.resumed)

    def _on_proof(self, body: bytes, now: Now) -> Token:
        token, exp_h = read_proof(body)
        done = done_of(token)
        self._remember((done,))
        self._transfers.brought += 1
        if done in self._asked:
            self._drop_request(done)
            self._progress = now.mono
        return Token(token, exp_h)

    def _on_stored(self, eids: list[bytes]) -> Stored:
        for eid in eids:
            if eid not in self._unanswered:
                raise WireError("stored_unsent")
            self._unanswered.discard(eid)
        self._remember(eids)
        self._transfers.shelf.gave(eids)
        return Stored(eids)

    def _on_refused(self, refusals: list[tuple[bytes, int]], now: Now) -> None:
        for eid, reason in refusals:
            if eid in self._unanswered:  # they do not want our copy
                self._unanswered.discard(eid)
                if reason == Refusal.MALFORMED and eid not in self._sent_twice:
                    self._sent_twice.add(eid)  # its beginning came from elsewhere: once more
                elif reason == Refusal.UNWANTED:
                    self._remember((eid,))
                else:  # on a later link it may have room, or time
                    self._passed.add(eid)
            elif reason == Refusal.DECLINED and (eid in self._ours or self._swept):
                self._remember((eid,))
            elif eid in self._asked:  # what we asked for is gone
                resumed = self._asked[eid].resumed
                self._drop_request(eid)
                self._transfers.declined.get(eid, {}).pop(self._link.remote_key, None)
                self._transfers.freed = True
                self._progress = now.mono
                if resumed and reason == Refusal.MALFORMED:
                    self._drop_partial(eid)
                    self._wants.add(eid, 0, True)
            elif not self._has(eid):  # else it came unasked while our WANT was on its way
                raise WireError("refused_unknown")

    def _drop_request(self, eid: bytes) -> bool:
        self._buffered -= len(self._asked.pop(eid).data)
        self._bulk.discard(eid)
        return self._free(eid)

    def _free(self, eid: bytes) -> bool:
        """Let others be asked for it. False if that was so already."""
        ours = self._transfers.from_link.get(eid, (0, 0.0))[0] == self._link.id
        if ours:
            del self._transfers.from_link[eid]
        return ours

    def _drop_partial(self, eid: bytes) -> None:
        self._store.drop_partial(eid)
        self._transfers.partials.discard(eid)

    # --- moving on -----------------------------------------------------------------------------

    def _look_back(self) -> None:
        """A fresh meeting is over: how much was new?"""
        if self._union:
            self._transfers.relay.met(self._new, self._union)
            self._union = 0

    def pump(self, now: Now) -> None:
        """Queue on the link whatever may go now. Call after every event that concerns it."""
        if now.mono >= self._fresh_until:
            self._look_back()
        if self._stored or self._refused or self._uncredited:
            self._answer()
        if self._to_offer:
            self._send_offers()
        if self._serving:
            self._serve(now)
        while self._wants and self._ask(now):
            pass
        if self._answers:
            self._invite(now)
        if self._asked and now.mono - self._progress > STALL_S:
            raise QuotaError("stalled")

    def _answer(self) -> None:
        most = min(HAVE_IDS_MAX, self._link.max_record // 17)
        for at in range(0, len(self._stored), most):
            self._link.send(records.STORED, write_ids(self._stored[at : at + most]))
        for at in range(0, len(self._refused), most):
            self._link.send(records.REFUSED, write_refusals(self._refused[at : at + most]))
        self._stored.clear()
        self._refused.clear()
        if self._uncredited:
            self._link.send(records.CREDIT, write_credit(self._uncredited))
            self._uncredited = 0

    def _send_offers(self) -> None:
        most = min(HAVE_IDS_MAX, self._link.max_record // OFFER_BYTES)
        ours = self._ours
        room = HAVES_OPEN_IDS_MAX - sum(map(len, self._haves_open))
        queue, passed = self._to_offer, self._passed
        while queue and len(self._haves_open) < HAVES_OPEN_MAX and room > 0:
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
                held = self._store.envelope(eid)
                if held is None:
                    self._serving.drop()
                    del self._offsets[eid]
                    self._serve_proof(eid)
                    continue
                data = self._loaded[eid] = held.data
            offset = self._offsets[eid]
            left = len(data) - offset
            size = -(-left // -(-left // room))  # even pieces: no frame for a last few bytes
            if size + PART_HEAD_BYTES > self._window.room and self._window.in_flight:
                return
            part = write_part(eid, offset, len(data), data[offset : offset + size])
            self._link.send(records.PART, part)
            self._window.send(len(part), now.mono)
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

    def _invite(self, now: Now) -> None:
        """Let more HAVEs come, if there is room for what they bring."""
        if len(self._wants) > WANTS_WAITING_MAX:
            return
        few = len(self._answers) < NEXT_AFTER_HAVES and now.mono < self._answer_by
        if few and not self._link.queued_bytes:
            return
        if self._offers.refill(now.mono) < 0:
            return
        # Answers are charged to the link's budget: not invited before there is room for all.
        short = self._open_bytes() - self._link.budget(now)
        if short > 0:
            self._invite_at = now.mono + short / BUDGET_RATE_BYTES
            return
        masks, sizes = zip(*self._answers, strict=True)
        self._link.send(records.NEXT, write_next(masks, sizes))
        self._answers.clear()

    def _open_bytes(self) -> int:
        """The most that the HAVEs can weigh which may be open once all are answered."""
        each = min(OFFER_BYTES * HAVE_IDS_MAX, self._link.max_record) + FRAME_OVERHEAD_BYTES
        return each * HAVES_OPEN_MAX

    def _ask(self, now: Now) -> bool:
        """Send one WANT if there is anything to ask for; whether there was."""
        room = min(
            WANTS_MAX,
            WANTS_OPEN_MAX - len(self._asked) - len(self._judging),
            self._link.max_record // 18,
            int(self._envelopes.refill(now.mono)),
        )
        if room <= 0:
            return False
        busy = self._transfers.from_link
        chosen: list[bytes] = []
        hints: list[int] = []
        bulk = len(self._bulk)
        self._held_until = NEVER
        for eid, hint in self._wants:
            asked = busy.get(eid)
            if asked is None or now.mono - asked[1] > HOLD_S:
                if rank_of(hint) >= BULK_RANK:
                    shared = self._transfers
                    sought = eid in shared.sought
                    # What comes may change what is best next.
                    waits = bulk >= (SOUGHT_OPEN_MAX if sought else BULK_OPEN_MAX)
                    if not (waits or sought or shared.has_room(hint, self._trusted)):
                        self._held_until = min(self._held_until, now.mono + HOLD_S)
                        waits = True
                    if waits and self._wants.is_sought(eid):
                        continue  # small mail stands behind it, and waits for no file
                    if waits:
                        break  # what follows is of larger files still
                    bulk += 1
                chosen.append(eid)
                hints.append(hint)
                if len(chosen) == room:
                    break
            else:
                self._held_until = min(self._held_until, asked[1] + HOLD_S)
        if len(self._wants) > WANTS_WAITING_MAX:  # no HAVE is invited until others brought some
            self._held_until = min(self._held_until, now.mono + CROWDED_LOOK_S)
        known: set[bytes] = set()
        if chosen and self._checked != self._transfers.brought - self._brought:
            # Since it was offered, another neighbour may have brought it.
            known = self._store.known(chosen) - self._transfers.hidden
        wants: list[tuple[bytes, int, bool]] = []
        fresh = now.mono < self._fresh_until
        for eid, hint in zip(chosen, hints, strict=True):
            self._wants.remove(eid, hint)
            if eid in known:
                continue
            rank = rank_of(hint)
            if rank >= BULK_RANK:
                self._bulk.add(eid)
            elif fresh and rank:
                self._new += 1
                self._union += 1
            partial: Partial | None = None
            # Liars may have left many: all of them would leave no room for what this one sends.
            if eid in self._transfers.partials and self._buffered < RESUMED_MAX_BYTES:
                partial = self._store.partial(eid)
            incoming = Incoming(partial.size, partial.data, True) if partial else NOTHING
            self._asked[eid] = incoming
            self._buffered += len(incoming.data)
            busy[eid] = (self._link.id, now.mono)
            first = rank >= BULK_RANK and (partial is not None or eid in self._transfers.sought)
            wants.append((eid, len(incoming.data), first))
        if wants:
            if len(self._asked) == len(wants):
                self._progress = now.mono
            self._envelopes.level -= len(wants)
            self._link.send(records.WANT, write_wants(wants))
        return bool(chosen)

    @property
    def wants_more(self) -> bool:
        """Whether anything waits to be asked for."""
        return bool(self._wants)

    def next_wakeup(self) -> float | None:
        """Monotonic time at which ``pump`` has something to do by itself."""
        due: list[float] = []
        if self._asked:
            due.append(self._progress + STALL_S + 0.1)
        if self._wants and len(self._asked) < WANTS_OPEN_MAX:  # else there is no room to ask
            may_ask = self._envelopes.at + self._envelopes.wait(1)
            if self._held_until < NEVER:
                due.append(max(self._held_until, may_ask) + WAKE_SLACK_S)
            elif not self._asked and self._envelopes.level < 1:
                due.append(may_ask + WAKE_SLACK_S)
        if self._answers and len(self._wants) <= WANTS_WAITING_MAX:
            ready = max(self._offers.at + self._offers.wait(0), self._invite_at)
            if len(self._answers) < NEXT_AFTER_HAVES:
                ready = max(ready, self._answer_by)
            due.append(ready + WAKE_SLACK_S)
        return min(due, default=None)

    def close(self) -> None:
        """The link is gone: keep what arrived of unfinished envelopes, free them for others."""
        cut = [(eid, asked) for eid, asked in self._asked.items() if self._free(eid) and asked.data]
        cut.sort(key=lambda entry: -len(entry[1].data))
        for eid, incoming in cut[:PARTIALS_PER_LINK_MAX]:
            self._store.save_partial(Partial(eid, incoming.size, incoming.data))
        if cut:
            self._transfers.partials = set(self._store.partials())
        self._look_back()
        self._transfers.freed |= bool(self._asked)
        self._asked.clear()
        self._wants.clear()
