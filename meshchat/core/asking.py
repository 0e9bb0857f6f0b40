"""What one neighbour is asked for, and what comes of it (docs/reference/wire.md, 1.4).

Owns what waits to be asked for, what was asked for, what arrived of it, and the budgets of what
this neighbour may bring. Knows nothing of people or of what an envelope means: it hands whole
objects up as outcomes and is told the verdict.
"""

from collections.abc import Collection

from meshchat.core import link as records
from meshchat.core.envelope import done_of
from meshchat.core.limits import (
    BUFFERED_MAX_BYTES,
    BULK_OPEN_MAX,
    BULK_OPEN_QUICK_MAX,
    BULK_QUICK_S,
    CREDIT_MAX_BYTES,
    FULL_REMEMBERED_MAX,
    FULL_WAIT_S,
    HAVE_IDS_MAX,
    HAVES_OPEN_IDS_MAX,
    HAVES_OPEN_MAX,
    HOLD_S,
    NEWS_IDS_MAX,
    NEXT_AFTER_HAVES,
    NEXT_AFTER_S,
    PARTIALS_PER_LINK_MAX,
    STALL_S,
    WANTS_MAX,
    WANTS_OPEN_MAX,
    WANTS_WAITING_MAX,
    Limits,
)
from meshchat.core.link import BUDGET_RATE_BYTES, FRAME_OVERHEAD_BYTES, Link
from meshchat.core.model import Now, Partial
from meshchat.core.offering import Offering
from meshchat.core.pace import Bucket
from meshchat.core.ports import Store
from meshchat.core.relay import Meeting
from meshchat.core.shelf import BULK_RANK, rank_of
from meshchat.core.transfers import NOTHING, Arrived, Holding, Incoming, Token, Transfers, Wants
from meshchat.core.wire import (
    OFFER_BYTES,
    Refusal,
    read_offers,
    read_part,
    read_proof,
    write_credit,
    write_ids,
    write_next,
    write_refusals,
    write_wants,
)
from meshchat.errors import QuotaError, WireError

CONTACT_FACTOR = 10  # a contact's link may bring ten times a stranger's
RESUMED_MAX_BYTES = BUFFERED_MAX_BYTES // 2
NEVER = float("inf")
CROWDED_LOOK_S = 1.0  # while a neighbour waits until we know what others bring of its offers
WAKE_SLACK_S = 0.001  # a timer a hair too early would find nothing to do, and ask again


class Asking:
    """Our side of what comes from one neighbour."""

    def __init__(
        self,
        link: Link,
        store: Store,
        transfers: Transfers,
        meeting: Meeting,
        offering: Offering,
        refused: list[tuple[bytes, int]],
        limits: Limits,
        trusted: bool,
        now: Now,
    ) -> None:
        """``refused``: what we shall refuse with the next answer; shared with ``Offering``."""
        factor = CONTACT_FACTOR if trusted else 1
        self._trusted = trusted
        self._link = link
        self._store = store
        self._transfers = transfers
        self._meeting = meeting
        self._offering = offering
        self._refused = refused
        self._envelopes = Bucket.full(
            limits.envelopes_burst * factor, limits.envelopes_per_s * factor, now.mono
        )
        self._offers = Bucket.full(
            limits.offers_burst * factor, limits.offers_per_s * factor, now.mono
        )
        self._wants = Wants()
        self._bulk: dict[bytes, float] = {}  # bulk that was asked for, and when
        self._bulk_most = BULK_OPEN_MAX
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
        self._stored: list[bytes] = []

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

    def open(self) -> None:
        """Start: ask for what this neighbour had to offer before we knew that it is for us."""
        for eid in self._transfers.sought:
            hint = self._transfers.declined.get(eid, {}).get(self._link.remote_key)
            if hint is not None:
                self._wants.add(eid, hint, True)

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

    # --- records ---------------------------------------------------------------------------

    def on_have(self, body: bytes, now: Now) -> Holding | None:
        offers = read_offers(body)
        if (
            len(self._answers) >= HAVES_OPEN_MAX
            or sum(size for _, size in self._answers) >= HAVES_OPEN_IDS_MAX
        ):
            raise QuotaError("have_without_next")
        self._offers.refill(now.mono)
        self._offers.level -= len(offers)
        ids = [eid for eid, _ in offers]
        transfers = self._transfers
        known = self._store.known(ids)
        if transfers.hidden:
            known -= transfers.hidden
        asked, judging, sought = self._asked, self._judging, transfers.sought
        if not self._wants:  # all that will wait was looked up now
            self._checked = transfers.brought - self._brought
        answer = 0
        news = len(offers) <= NEWS_IDS_MAX  # no part of a long list: it need not wait behind one
        both: list[bytes] = []
        for place, (eid, hint) in enumerate(offers):
            if eid in known:
                answer |= 1 << place
                both.append(eid)
            elif eid not in asked and eid not in judging:
                ours = eid in sought
                if not ours and transfers.full.get(eid, 0.0) > now.mono:
                    transfers.decline(eid, hint, self._link.remote_key)  # and no word: not yet
                elif ours or transfers.relay.carries(hint):
                    first = ours or eid in transfers.partials
                    self._wants.add(eid, hint, first or (news and rank_of(hint) < BULK_RANK))
                else:
                    self._decline(eid, hint)
        held = self._offering.offered(both)
        self._offering.remember(ids)
        if not self._answers:
            self._answer_by = now.mono + NEXT_AFTER_S
        self._answers.append((answer, len(ids)))
        return Holding(held) if held else None

    def _decline(self, eid: bytes, hint: int) -> None:
        self._transfers.decline(eid, hint, self._link.remote_key)
        self._refused.append((eid, Refusal.DECLINED))

    def on_part(self, body: bytes, now: Now) -> Arrived | None:
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
        if self._bulk and eid in self._bulk:
            quick = now.mono - self._bulk[eid] <= BULK_QUICK_S
            most = self._bulk_most + 1 if quick else BULK_OPEN_MAX
            self._bulk_most = min(most, BULK_OPEN_QUICK_MAX)
        late = not self._drop_request(eid)
        if late:
            self._transfers.from_link.pop(eid, None)  # whoever else was asked since is late
            if self._store.known([eid]):
                self._refused.append((eid, Refusal.UNWANTED))
                return None
        self._judging.add(eid)
        return Arrived(eid, whole, incoming.resumed)

    def on_proof(self, body: bytes, now: Now) -> Token:
        token, exp_h = read_proof(body)
        done = done_of(token)
        self._offering.remember((done,))
        self._transfers.brought += 1
        if done in self._asked:
            self._drop_request(done)
            self._progress = now.mono
        return Token(token, done, exp_h)

    def on_refused(self, eid: bytes, reason: int, now: Now) -> bool:
        """Whether it was about a request of ours: what we asked for is gone."""
        if eid not in self._asked:
            return False
        resumed = self._asked[eid].resumed
        self._drop_request(eid)
        self._transfers.declined.get(eid, {}).pop(self._link.remote_key, None)
        self._transfers.freed = True
        self._progress = now.mono
        if resumed and reason == Refusal.MALFORMED:
            self._drop_partial(eid)
            self._wants.add(eid, 0, True)
        return True

    def _drop_request(self, eid: bytes) -> bool:
        self._buffered -= len(self._asked.pop(eid).data)
        self._bulk.pop(eid, None)
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

    # --- moving on -------------------------------------------------------------------------

    def answer(self) -> None:
        """Say what became of what they sent, and what we refuse."""
        if not (self._stored or self._refused or self._uncredited):
            return
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

    def pump(self, now: Now) -> None:
        """Queue on the link what may be asked for now.

        Raises:
            QuotaError: The neighbour owes us bytes and sends none.
        """
        while self._wants and self._ask(now):
            pass
        if self._answers:
            self._invite(now)
        if self._asked and now.mono - self._progress > STALL_S:
            raise QuotaError("stalled")

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
        bulk = self._bulk_most - len(self._bulk)
        self._held_until = NEVER
        for eid, hint in self._wants:
            asked = busy.get(eid)
            if asked is None or now.mono - asked[1] > HOLD_S:
                if rank_of(hint) >= BULK_RANK:
                    waits = bulk <= 0  # what comes may change what is best next
                    shared = self._transfers
                    if not (waits or eid in shared.sought or shared.has_room(hint, self._trusted)):
                        self._held_until = min(self._held_until, now.mono + HOLD_S)
                        waits = True
                    if waits and self._wants.is_sought(eid):
                        continue  # small mail stands behind it, and waits for no file
                    if waits:
                        break  # what follows is of larger files still
                    bulk -= 1
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
        for eid, hint in zip(chosen, hints, strict=True):
            self._wants.remove(eid, hint)
            if eid in known:
                continue
            rank = rank_of(hint)
            if rank >= BULK_RANK:
                self._bulk[eid] = now.mono
            elif rank:
                self._meeting.new_to_us(now.mono)
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
        if not (self._asked or self._answers or self._wants):
            return None
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
        self._transfers.freed |= bool(self._asked)
        self._asked.clear()
        self._wants.clear()
