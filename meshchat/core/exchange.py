"""What neighbours bring and what becomes of it: envelopes taken, refused and opened; proofs.

Custody decides what is held and the inbox what is for us; here is when each of them is asked, and
who hears of it.
"""

from collections import Counter
from collections.abc import Sequence

from meshchat.core.chats import Chats
from meshchat.core.crypto import H
from meshchat.core.custody import Custody
from meshchat.core.envelope import Header, envelope_id, parse_header
from meshchat.core.limits import (
    RECEIPT_DELAY_S,
    TRY_AT_ONCE_MAX,
    TRY_GAP_S,
    TRY_OURS_AT_ONCE_MAX,
    TRY_PER_WAKE_MAX,
    TRY_QUIET_GAP_S,
    TRY_QUIET_S,
)
from meshchat.core.model import Fate, Held, Now, Outline
from meshchat.core.neighbours import Neighbours, Peer
from meshchat.core.ports import Entropy, Store
from meshchat.core.receipts import Receipt
from meshchat.core.releases import Releases
from meshchat.core.transfers import Arrived, Holding, Outcome, Stored, Token
from meshchat.core.wire import PROOF_HINT, Refusal
from meshchat.errors import ProtocolError, WireError

JUDGE_MAX = 1_024  # envelopes looked up at once; what the store takes


class Exchange:
    """The traffic of one node with all its neighbours."""

    def __init__(
        self,
        store: Store,
        entropy: Entropy,
        custody: Custody,
        chats: Chats,
        neighbours: Neighbours,
        releases: Releases,
        counters: Counter[str],
        origin_key: bytes,
        now: Now,
    ) -> None:
        """``origin_key``: 32 bytes, under which neighbours are told apart for their shares."""
        self._store = store
        self._entropy = entropy
        self._custody = custody
        self._chats = chats
        self._neighbours = neighbours
        self._releases = releases
        self._counters = counters
        self._origin_key = origin_key
        self._told: list[tuple[Peer, Token | Stored | Holding]] = []  # in order
        self._arrivals: list[tuple[Peer, bytes, bytes, Header]] = []
        self._fresh: list[tuple[Held, bool]] = []  # and whether a contact brought it
        self._unheld: list[Held] = []  # found no room, and still to be tried
        self._try_at: float | None = now.mono if custody.untried else None
        self._arrived_at = float("-inf")

    def settle(self, now: Now) -> None:
        """End a step: hear what was told, judge what arrived in it, hold it, open it."""
        if self._told:
            self._hear(now)
        if self._arrivals:
            self._judge(now)
        if self._fresh:
            self._open_fresh(now)
        for held in self._unheld[:TRY_AT_ONCE_MAX]:  # the rest comes again
            self._open(held, now)
        self._unheld.clear()
        self._custody.flush()
        if self._custody.untried and self._try_at is None:
            self._try_at = now.mono

    def _open_fresh(self, now: Now) -> None:
        """Open what arrived before it is written, if it is little or most of it is for us."""
        few = len(self._fresh) <= TRY_AT_ONCE_MAX
        spare, left = TRY_AT_ONCE_MAX, TRY_OURS_AT_ONCE_MAX
        for held, from_contact in self._fresh:
            ours = from_contact and spare > 0 and left > 0
            if few or ours or self._chats.files.wants(held.eid):
                mine = self._custody.mine
                self._open(held, now)
                left -= 1
                spare -= self._custody.mine == mine
        self._fresh.clear()

    # --- what neighbours tell -----------------------------------------------------------------

    def take(self, peer: Peer, outcome: Outcome) -> None:
        """Something came of synchronising with a neighbour. Raises ``ProtocolError``."""
        if isinstance(outcome, Arrived):
            self._arrived(peer, outcome)
        else:
            self._told.append((peer, outcome))

    def _hear(self, now: Now) -> None:
        """Act on what neighbours said in this step of what they have."""
        told, self._told = self._told, []
        tokens: list[tuple[Peer, Token]] = []
        for peer, outcome in told:
            if isinstance(outcome, Token):
                tokens.append((peer, outcome))
                continue
            self._tokens(tokens, now)
            tokens.clear()
            if isinstance(outcome, Stored):
                where = peer.link.transport + (" contact" if peer.contact else "")
                self._chats.outbox.handed(outcome.eids, where, now)
            else:
                self._chats.outbox.seen_elsewhere(set(outcome.eids), peer.link.transport, now)
        self._tokens(tokens, now)

    def _arrived(self, peer: Peer, arrived: Arrived) -> None:
        """Check that it is what its id says; it is judged with all others of this step."""
        eid = arrived.eid
        self._neighbours.drop_partial(eid)
        if envelope_id(arrived.data) != eid:
            if not arrived.resumed:
                raise WireError("id_mismatch")
            assert peer.sync is not None, "envelopes arrive through a sync"
            self._counters["resume_mismatch"] += 1  # its first bytes came from somebody else
            peer.sync.fetch_again(eid)
            return
        self._arrivals.append((peer, eid, arrived.data, parse_header(arrived.data)))

    def _judge(self, now: Now) -> None:
        """Take or refuse what arrived in this step."""
        self._arrived_at = now.mono
        while self._arrivals:
            batch, self._arrivals = self._arrivals[:JUDGE_MAX], self._arrivals[JUDGE_MAX:]
            # Refusing what only the recipient can refuse yet would tell who that is.
            proven = self._custody.proven([header.done for _, _, _, header in batch])
            proven -= self._releases.hidden
            taken: list[tuple[bytes, int]] = []
            dear: list[bytes] = []
            for peer, eid, data, header in batch:
                assert peer.sync is not None, "envelopes arrive through a sync"
                if header.done in proven:
                    verdict: Held | Refusal = Refusal.UNWANTED
                    proof = self._store.proof(header.done)
                    if proof is not None:
                        peer.sync.push_proof(proof.done, proof.token, proof.exp_h)
                else:
                    origin = peer.origin or self._origin(peer)
                    verdict = self._custody.admit(
                        data, header, eid, origin, bool(peer.contact), now
                    )
                    if verdict is Refusal.FULL:
                        # No room to carry it, but it may be for us. Whoever brought it hears
                        # the same in both cases.
                        self._unheld.append(self._custody.held(data, header, eid, origin))
                if isinstance(verdict, Refusal):
                    self._counters[f"refused_{verdict.name.lower()}"] += 1
                    peer.sync.settle(eid, verdict)
                else:
                    peer.sync.settle(eid, None)
                    self._fresh.append((verdict, bool(peer.contact)))
                    taken.append((eid, verdict.hint))
                    if peer.contact:
                        dear.append(eid)
            self._neighbours.offer_all(taken)
            self._neighbours.prefer(dear)

    def _origin(self, peer: Peer) -> bytes:
        if not peer.origin:
            peer.origin = H(b"mc1 origin", peer.link.origin, 8, key=self._origin_key)
        return peer.origin

    def _open(self, held: Held, now: Now) -> None:
        try:
            receipts = self._chats.inbox.open(held, now)
        except ProtocolError as error:
            self._counters[error.reason] += 1
            return
        for receipt in receipts:
            self.release(receipt, now)

    def release(self, receipt: Receipt, now: Now) -> None:
        """Our own receipt: to the author at once if it is our neighbour, to all others later.

        Until then we offer, take and serve like any carrier: no neighbour can tell.
        """
        self._releases.plan(receipt.proof, now)
        self._neighbours.confirm(receipt.author, receipt.proof)

    def _drop_proven(self, done: bytes, now: Now, told: Outline | None = None) -> None:
        """Every copy: an attacker may have put a ``done`` it saw into envelopes of its own.

        ``told`` is the first of them, if it was looked up and its message told already.
        """
        copy = told or self._store.holder_of(done)
        while copy and copy.held and self._custody.drop(copy.eid, Fate.PROVEN):
            if copy.alone:
                return
            copy = self._store.holder_of(done)
            if copy and not (told and copy.eid == told.eid):
                self._chats.outbox.delivered(copy.eid, now)

    def _tokens(self, told: Sequence[tuple[Peer, Token]], now: Now) -> None:
        if not told:
            return
        copies = self._store.holders_of([token.done for _, token in told])
        dropped: list[bytes] = []
        shown: list[tuple[bytes, int]] = []
        for peer, token in told:
            done = token.done
            copy = copies.get(done)
            ours = copy is not None and self._chats.outbox.delivered(copy.eid, now)
            wait = 0.0
            if ours and peer.contact:  # perhaps the recipient itself: nobody else may know yet
                wait = RECEIPT_DELAY_S[0] + self._entropy.bytes(1)[0] / 5
            at, origin = now.wall + wait, self._origin(peer)
            kept = self._custody.prove(token.token, done, copy, token.exp_h, now, at, origin)
            if kept is None:
                continue
            if copy is not None and copy.held and copy.alone:
                dropped.append(copy.eid)
            else:
                self._drop_proven(done, now, copy)
            if wait:
                self._releases.plan(kept, now)
            else:
                shown.append((done, PROOF_HINT))
        self._custody.drop_all(dropped, Fate.PROVEN)
        if shown:
            self._neighbours.offer_all(shown)

    # --- time ---------------------------------------------------------------------------------

    def try_soon(self, now: Now) -> None:
        """We have new keys: what we hold may open now."""
        self._try_at = now.mono

    def wake(self, now: Now) -> None:
        """Release proofs that are due, and try some of what was not tried yet."""
        due = self._releases.next_wakeup()
        if due is not None and now.mono >= due:
            self.release_due(now)
        if self._try_at is not None and now.mono >= self._try_at:
            mine = self._custody.mine
            for _ in range(TRY_OURS_AT_ONCE_MAX // TRY_PER_WAKE_MAX):
                before = self._custody.mine
                untried = self._store.untried(TRY_PER_WAKE_MAX)
                for held in untried:
                    self._open(held, now)
                if 2 * (self._custody.mine - before) < TRY_PER_WAKE_MAX:
                    break  # what is for others can wait
            self._custody.recount_untried()
            quiet = now.mono - self._arrived_at > TRY_QUIET_S
            gap = TRY_QUIET_GAP_S if quiet or self._custody.mine > mine else TRY_GAP_S
            self._try_at = now.mono + gap if self._custody.untried else None

    def next_wakeup(self) -> float | None:
        """Monotonic time at which ``wake`` is due."""
        at, due = self._try_at, self._releases.next_wakeup()
        return due if at is None or (due is not None and due < at) else at

    def release_due(self, now: Now) -> None:
        """Let everybody know of the proofs whose time has come."""
        for done in self._releases.due(now):
            self._drop_proven(done, now)
            self._neighbours.offer(done, PROOF_HINT)
