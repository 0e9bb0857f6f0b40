"""The node: events in, effects out, one timer. The same code live and simulated.

Owns the links and the order of things inside one step; people, conversations, custody and
synchronisation are its parts. Nothing here waits, and nothing a peer sends escapes as an
exception: it is counted, and the link that brought it may be ended.
"""

import contextlib
import heapq
from collections import Counter
from collections.abc import Callable
from typing import Any, ClassVar

from meshchat.core.chats import Chats
from meshchat.core.contacts import People
from meshchat.core.crypto import H
from meshchat.core.custody import Custody
from meshchat.core.envelope import Header, done_of, envelope_id, parse_header
from meshchat.core.events import (
    Accept,
    AddContact,
    AddMember,
    AnswerCheck,
    Block,
    CancelCheck,
    Command,
    CreateGroup,
    CustodyChanged,
    Delete,
    Done,
    Edit,
    Effect,
    Event,
    GiveRevocation,
    Introduce,
    JoinRoom,
    LeaveGroup,
    LeaveRoom,
    LinkDown,
    LinkUp,
    MakeAdmin,
    MarkInRoom,
    MarkRead,
    NewFace,
    Notice,
    React,
    Received,
    Refused,
    ReleaseRevocation,
    RemoveMember,
    Rename,
    RenameGroup,
    ReportSeized,
    Retract,
    SaveDraft,
    Send,
    SendFile,
    SetChat,
    SetName,
    SetPrivacy,
    SetTimer,
    StartCheck,
    Tell,
    Typing,
    Verify,
    Wake,
    WatchSilence,
)
from meshchat.core.identity import safety_words, seed_to_words
from meshchat.core.limits import (
    CLOCK_FLOOR_S,
    HOUSEKEEPING_S,
    QUIET_HOUSEKEEPING_S,
    RECEIPT_DELAY_S,
    RELEASE_AHEAD_MAX_S,
    TRY_AT_ONCE_MAX,
    TRY_GAP_S,
    TRY_PER_WAKE_MAX,
    TRY_QUIET_GAP_S,
    TRY_QUIET_S,
    Limits,
)
from meshchat.core.link import FrameLog
from meshchat.core.model import (
    ChatOptions,
    Contact,
    Fate,
    Group,
    GroupMember,
    Held,
    Kind,
    Mark,
    Message,
    NodeStatus,
    Now,
    Outline,
    Privacy,
    Proof,
    Room,
    State,
)
from meshchat.core.neighbours import Neighbours, Peer
from meshchat.core.ports import Entropy, Store
from meshchat.core.receipts import Receipt
from meshchat.core.shape import Handover, Shape
from meshchat.core.transfers import Arrived, Outcome, Stored, Token
from meshchat.core.wire import PROOF_HINT, Refusal
from meshchat.errors import ProtocolError, UsageError, WireError

JUDGE_MAX = 1_024  # envelopes looked up at once; what the store takes
DRAFT_MAX_CHARS = 20_000  # a paste somebody is still cutting down
OPEN_MESH_PSK = H(b"mc1 mesh-psk", b"open mesh", 32)


class Node:
    """One identity on one store.

    ``handle`` must run inside ``store.transaction()``; its effects must be carried out after
    the commit, in order. If the commit fails, this object is worthless: build a new one.
    """

    def __init__(
        self,
        store: Store,
        entropy: Entropy,
        now: Now,
        psk: bytes | None = None,
        limits: Limits | None = None,
        receipts: bool = True,
        log: FrameLog | None = None,
        shape: Shape | None = None,
    ) -> None:
        """Continue from what the store holds. Call inside a transaction.

        Args:
            store: Holds an identity (see ``create``).
            entropy: Randomness.
            now: Both clocks.
            psk: Key of a closed mesh, 32 bytes; None: the open mesh.
            limits: What we lend to others.
            receipts: Whether contacts may learn that their messages reached us.
            log: Told of each frame that is made; for measuring.
            shape: How our own mail is hidden among that of others; None: not at all.
        """
        self._store = store
        self._entropy = entropy
        self._limits = limits or Limits()
        self._tells: list[Tell] = []
        self._origin_key = store.get("origin_key") or entropy.bytes(32)
        store.put("origin_key", self._origin_key)  # shares outlive a restart
        self._custody = Custody(store, self._limits)
        self._people = People(store, entropy, self._tells.append, now)
        self._counters: Counter[str] = Counter()
        self._chats = Chats(
            store,
            entropy,
            self._people,
            self._custody,
            self._tells.append,
            self._counters,
            receipts,
            self._on_revoked,
        )
        self._handover = Handover(entropy, shape or Shape(), now)
        self._neighbours = Neighbours(
            store,
            entropy,
            self._people,
            psk or OPEN_MESH_PSK,
            self._limits,
            self._counters,
            self._tells.append,
            self._on_outcome,
            now,
            self._custody.has_room,
            log,
            self._handover.held,
            lambda: self._chats.content.privacy.typing,
        )
        self._chats.start(now)
        waiting = [one.eid for one in store.pending() if one.state is State.QUEUED]
        self._neighbours.prefer(waiting)  # a restart knows no more of what is dear
        self._sought: dict[bytes, None] | None = None
        self._arrivals: list[tuple[Peer, bytes, bytes, Header]] = []
        self._fresh: list[Held] = []
        self._unheld: list[Held] = []  # found no room, and still to be tried
        self._try_at: float | None = now.mono if self._custody.untried else None
        self._arrived_at = float("-inf")
        self._house_at = now.mono
        self._release_at: float | None = None
        # ``done`` of receipts of ours, until they may show, and when each of them may.
        self._unreleased: dict[bytes, None] = {}
        self._releases: list[tuple[float, int, bytes]] = []
        self._planned = 0
        self._caught_up = False  # True once those that fell due before the start have shown
        shown = set(store.released(now.wall))
        for done in store.released(now.wall + RELEASE_AHEAD_MAX_S):
            proof = store.proof(done) if done not in shown else None
            if proof is not None:
                self._plan_release(proof, now)
        self._clock_told = False

    @staticmethod
    def create(
        store: Store, entropy: Entropy, now: Now, name: str, seed: bytes | None = None
    ) -> None:
        """Write a new identity, or one restored from ``seed``, into an empty store."""
        People.create(store, entropy, now, name, seed)

    # --- one step -----------------------------------------------------------------------------

    def handle(self, event: Event, now: Now) -> list[Effect]:
        """Take one event; returns what the driver must do after the commit, in order."""
        answer: Done | Refused | None = None
        if isinstance(event, Command):
            answer = self._command(event, now)
        else:
            self._inputs[type(event)](self, event, now)
        self._settle(now)
        effects: list[Effect] = [*self._neighbours.flush(now)]
        if answer is not None:
            effects.append(answer)
        effects += self._tells
        self._tells.clear()
        return effects

    def next_wakeup(self) -> float | None:
        """Monotonic time at which the driver must give ``Wake``."""
        due = self._house_at
        for at in (
            self._try_at,
            self._release_at,
            self._chats.next_wakeup(),
            self._neighbours.next_wakeup(),
            self._neighbours.checks.next_wakeup(),
            self._handover.next_wakeup(),
        ):
            if at is not None and at < due:
                due = at
        return due

    def _settle(self, now: Now) -> None:
        """Finish a step: write, open, offer, and let every link move on."""
        if self._arrivals:
            self._judge(now)
        self._custody.flush(now)
        few = len(self._fresh) <= TRY_AT_ONCE_MAX
        for held in self._fresh:
            if few or self._chats.expects(held.eid):
                self._open(held, now)
        self._fresh.clear()
        for held in self._unheld[:TRY_AT_ONCE_MAX]:  # the rest comes again
            self._open(held, now)
        self._unheld.clear()
        if self._custody.untried and self._try_at is None:
            self._try_at = now.mono
        for held, readers in self._chats.sealed:
            if self._handover.hold(held, readers, now):
                self._neighbours.offer_to(readers, held.eid, held.hint)
            else:
                self._neighbours.offer(held.eid, held.hint, dear=bool(readers))
        self._chats.sealed.clear()
        if self._custody.gone:
            self._neighbours.withdraw(self._custody.gone)
            self._handover.drop(self._custody.gone)
            self._custody.gone.clear()
        if self._custody.lost:
            self._neighbours.renew_key()
            self._custody.lost = False
        if self._chats.sought is not self._sought:
            self._sought = self._chats.sought
            self._neighbours.seek(self._sought)
        self._neighbours.pump(now)
        if self._custody.stored or self._custody.dropped:
            self._tells.append(CustodyChanged(self._custody.stored, self._custody.dropped))
            self._counters["envelopes_stored"] += self._custody.stored
            self._custody.stored = self._custody.dropped = 0
        if self._custody.was_full:
            self._custody.was_full = False
            self._counters["store_full"] += 1
            if self._counters["store_full"] == 1:
                self._tells.append(Notice("store_full"))

    # --- envelopes and proofs -----------------------------------------------------------------

    def _on_outcome(self, peer: Peer, outcome: Outcome, now: Now) -> None:
        if isinstance(outcome, Arrived):
            self._arrived(peer, outcome)
        elif isinstance(outcome, Token):
            self._token(peer, outcome, now)
        elif isinstance(outcome, Stored):
            where = peer.link.transport + (" contact" if peer.contact else "")
            self._chats.handed(outcome.eids, where, now)
        else:
            self._chats.seen_elsewhere(set(outcome.eids), peer.link.transport, now)

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
            proven -= self._unreleased.keys()
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
                    self._fresh.append(verdict)
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
            receipts = self._chats.open(held, now)
        except ProtocolError as error:
            self._counters[error.reason] += 1
            return
        for receipt in receipts:
            self._release(receipt, now)

    def _release(self, receipt: Receipt, now: Now) -> None:
        """Our own receipt: to the author at once if it is our neighbour, to all others later.

        Until then we offer, take and serve like any carrier: no neighbour can tell.
        """
        self._plan_release(receipt.proof, now)
        self._neighbours.confirm(receipt.author, receipt.proof)

    def _drop_proven(self, done: bytes, now: Now, told: Outline | None = None) -> None:
        """Every copy: an attacker may have put a ``done`` it saw into envelopes of its own.

        ``told`` is the first of them, if it was looked up and its message told already.
        """
        copy = told or self._store.holder_of(done)
        while copy and copy.held and self._custody.drop(copy.eid, Fate.PROVEN):
            copy = self._store.holder_of(done)
            if copy and not (told and copy.eid == told.eid):
                self._chats.delivered(copy.eid, now)

    def _token(self, peer: Peer, token: Token, now: Now) -> None:
        done = done_of(token.token)
        proven = self._store.holder_of(done)
        ours = proven is not None and self._chats.delivered(proven.eid, now)
        wait = 0.0
        if ours and peer.contact:  # perhaps the recipient itself: nobody else may know yet
            wait = RECEIPT_DELAY_S[0] + self._entropy.bytes(1)[0] / 5
        kept = self._custody.prove(
            token.token, proven, token.exp_h, now, now.wall + wait, self._origin(peer)
        )
        if kept is None:
            return
        self._drop_proven(done, now, proven)
        if wait:
            self._plan_release(kept, now)
        else:
            self._neighbours.offer(kept.done, PROOF_HINT)

    def _plan_release(self, proof: Proof, now: Now) -> None:
        self._unreleased[proof.done] = None
        self._neighbours.hide(proof.done, True)
        self._planned += 1  # of two due at once the first planned goes first: no order by content
        heapq.heappush(self._releases, (proof.release_at, self._planned, proof.done))
        self._set_release(now)

    def _set_release(self, now: Now) -> None:
        """Worked out against both clocks: what is due by one is waited for by the other."""
        self._release_at = None
        if self._releases:
            self._release_at = now.mono + (self._releases[0][0] - now.wall) + 0.01

    def _release_due(self, now: Now) -> None:
        due: dict[bytes, None] = {}
        if not self._caught_up:
            self._caught_up = True
            due = dict.fromkeys(self._store.released(now.wall))
        planned = self._releases
        while planned and planned[0][0] <= now.wall:
            due[heapq.heappop(planned)[2]] = None
        last = now.wall + RELEASE_AHEAD_MAX_S
        if planned and max(planned)[0] > last:  # the clock was set back after that was planned
            in_order = sorted(planned)
            self._releases = [entry for entry in in_order if entry[0] <= last]
            due.update((done, None) for at, _, done in in_order if at > last)
        for done in due:
            self._unreleased.pop(done, None)
            self._neighbours.hide(done, False)
            self._drop_proven(done, now)
            self._neighbours.offer(done, PROOF_HINT)
        self._set_release(now)

    # --- time ---------------------------------------------------------------------------------

    def _on_wake(self, _event: Wake, now: Now) -> None:
        self._neighbours.wake(now)
        self._neighbours.checks.wake(now)
        for eid, hint, alone in self._handover.due(now):
            if alone:
                self._neighbours.offer_one(eid, hint)
            else:
                self._neighbours.offer(eid, hint, dear=True)
        if self._handover.cover_due(now) and self._neighbours.all():
            self._quietly(lambda: self._chats.cover(now))
        self._chats.wake(now)
        if self._release_at is not None and now.mono >= self._release_at:
            self._release_due(now)
        if self._try_at is not None and now.mono >= self._try_at:
            mine = self._custody.mine
            for held in self._store.untried(TRY_PER_WAKE_MAX):
                self._open(held, now)
            self._custody.recount_untried()
            quiet = now.mono - self._arrived_at > TRY_QUIET_S
            gap = TRY_QUIET_GAP_S if quiet or self._custody.mine > mine else TRY_GAP_S
            self._try_at = now.mono + gap if self._custody.untried else None
        if now.mono >= self._house_at:
            self._house(now)

    def _house(self, now: Now) -> None:
        """Now and then: expiry, prekeys, announces, and messages whose time is over."""
        waiting = bool(self._store.pending())
        self._house_at = now.mono + (HOUSEKEEPING_S if waiting else QUIET_HOUSEKEEPING_S)
        if now.wall < CLOCK_FLOOR_S:
            if not self._clock_told:
                self._clock_told = True
                self._tells.append(Notice("clock_wrong"))
            return  # a clock before this code existed would only make wrong keys and expiries
        gone = self._custody.expire(now)
        self._chats.ended([eid for eid, kind in gone if kind is Kind.OWN], now)
        made = self._people.rotate(now)
        if made or self._chats.announce_due(now):
            self._quietly(lambda: self._chats.announce(now))
        self._chats.revocations.again(now)
        self._people.notice_silence(now)
        self._chats.give_up(now)
        self._chats.seal_waiting(now)
        self._chats.keeping.house(now)
        self._release_due(now)
        self._neighbours.renew(now)

    def _quietly(self, step: Callable[[], object]) -> None:
        """Something nobody asked for: if it is refused, count it."""
        try:
            step()
        except UsageError as error:
            self._counters[error.reason] += 1

    # --- commands -----------------------------------------------------------------------------

    def _command(self, command: Command, now: Now) -> Done | Refused:
        told = len(self._tells)
        self._house_at = min(self._house_at, now.mono + HOUSEKEEPING_S)  # it may have to wait
        try:
            with self._store.savepoint():
                return Done(command, self._commands[type(command)](self, command, now))
        except UsageError as error:
            del self._tells[told:]
            # The first half of a command whose second half was refused.
            self._chats.groups.load()
            self._chats.sealed.clear()
            self._custody.undo()
            return Refused(command, error)

    def _do_send(self, command: Send, now: Now) -> Message:
        return self._chats.send(command.chat, command.text, command.life_s, now, command.reply_to)

    def _do_send_file(self, command: SendFile, now: Now) -> Message:
        return self._chats.send_file(command.chat, command.name, command.data, command.life_s, now)

    def _do_add(self, command: AddContact, now: Now) -> Contact:
        contact = self._people.add(command, now)
        for receipt in self._chats.accepted(contact.fp, now):
            self._release(receipt, now)
        if command.replaces:
            self._chats.key_replaced(command.replaces, now)
        self._contacts_changed(now, contact.fp)
        return contact

    def _contacts_changed(self, now: Now, fp: bytes) -> None:
        self._chats.keys_changed()
        self._neighbours.regreet(now)
        self._chats.seal_waiting(now, fp)
        self._try_at = now.mono

    def _do_verify(self, command: Verify, _now: Now) -> Contact:
        return self._people.verify(command.fp, command.verified)

    def _do_start_check(self, command: StartCheck, now: Now) -> Contact:
        contact = self._people.writable(command.fp)
        line = self._neighbours.line(command.fp)
        if line is None:
            raise UsageError(
                "not_near",
                f"{contact.petname} is not linked directly: meet on the same network, and see "
                f"that both of you have added the other.",
            )
        self._neighbours.checks.start(line, now)
        return contact

    def _do_answer_check(self, command: AnswerCheck, now: Now) -> Contact:
        self._neighbours.checks.answer(command.fp, command.same, now)
        return self._people.verify(command.fp, command.same)

    def _do_cancel_check(self, command: CancelCheck, _now: Now) -> None:
        self._neighbours.checks.cancel(command.fp)

    def _do_watch(self, command: WatchSilence, now: Now) -> Contact:
        contact = self._people.watch(command.fp, command.days)
        self._people.notice_silence(now)
        return contact

    def _do_give_revocation(self, command: GiveRevocation, now: Now) -> Message:
        return self._chats.give_revocation(command.to, now)

    def _do_release_revocation(self, command: ReleaseRevocation, now: Now) -> Contact | None:
        return self._chats.revocations.release(command.of, now)

    def _on_revoked(self, contact: Contact, now: Now) -> None:
        """A contact was frozen for good: nothing goes to it any more, and our user hears of it."""
        self._chats.key_replaced(contact.fp, now, "revoked")
        self._chats.keys_changed()
        with contextlib.suppress(UsageError):  # they share no group with us
            self._chats.groups.report_seized(contact.fp, True, now)
        self._neighbours.drop_contact(contact.fp, "revoked", now)
        self._tells.append(Notice("revoked", contact.petname))

    def _do_mark_in_room(self, command: MarkInRoom, now: Now) -> None:
        self._chats.mark_in_room(command, now)

    def _do_rename(self, command: Rename, _now: Now) -> Contact:
        return self._people.rename(command.fp, command.petname)

    def _do_accept(self, command: Accept, now: Now) -> Contact:
        contact = self._people.accept(command.fp, command.petname)
        self._contacts_changed(now, contact.fp)
        for receipt in self._chats.accepted(contact.fp, now):
            self._release(receipt, now)
        return contact

    def _do_block(self, command: Block, now: Now) -> Contact:
        contact = self._people.block(command.fp, command.blocked, now)
        self._chats.keys_changed()
        if command.blocked:
            self._chats.announce(now)
            self._chats.share_card(now, self._people.friends())
            self._neighbours.drop_contact(command.fp, "blocked", now)
        else:
            self._chats.share_card(now, [contact])  # it could not follow us meanwhile
            self._neighbours.regreet(now)
        return contact

    def _do_introduce(self, command: Introduce, now: Now) -> tuple[Message, Message]:
        return self._chats.introduce(command.one, command.other, now)

    def _do_join(self, command: JoinRoom, now: Now) -> Room:
        room = self._chats.join(command.name, command.key, command.private, now)
        self._try_at = now.mono
        return room

    def _do_leave(self, command: LeaveRoom, _now: Now) -> Room:
        return self._chats.leave(command.rid)

    def _do_create_group(self, command: CreateGroup, now: Now) -> Group:
        return self._chats.groups.create(command.name, command.members, now)

    def _do_add_member(self, command: AddMember, now: Now) -> Group:
        return self._chats.groups.add(command.gid, command.fp, now)

    def _do_remove_member(self, command: RemoveMember, now: Now) -> Group:
        return self._chats.groups.remove(command.gid, command.fp, now)

    def _do_make_admin(self, command: MakeAdmin, now: Now) -> Group:
        return self._chats.groups.make_admin(command.gid, command.fp, now)

    def _do_rename_group(self, command: RenameGroup, now: Now) -> Group:
        return self._chats.groups.rename(command.gid, command.name, now)

    def _do_leave_group(self, command: LeaveGroup, now: Now) -> Group:
        return self._chats.groups.leave(command.gid, now)

    def _do_report_seized(self, command: ReportSeized, now: Now) -> list[Group]:
        return self._chats.groups.report_seized(command.fp, command.seized, now)

    def _do_read(self, command: MarkRead, now: Now) -> None:
        self._chats.mark_read(command.chat, command.seq, now)

    def _do_draft(self, command: SaveDraft, now: Now) -> None:
        self._store.save_draft(command.chat, command.text[:DRAFT_MAX_CHARS], now.wall)

    def _do_react(self, command: React, now: Now) -> Message:
        return self._chats.content.react(command.mid, command.emoji, now)

    def _do_edit(self, command: Edit, now: Now) -> Message:
        return self._chats.content.edit(command.mid, command.text, now)

    def _do_retract(self, command: Retract, now: Now) -> Message:
        return self._chats.content.retract(command.mid, now)

    def _do_delete(self, command: Delete, now: Now) -> None:
        self._chats.delete(command.mid, now)

    def _do_set_chat(self, command: SetChat, now: Now) -> ChatOptions:
        return self._chats.keeping.set_chat(command, now)

    def _do_timer(self, command: SetTimer, now: Now) -> ChatOptions:
        return self._chats.set_timer(command.chat, command.seconds, now)

    def _do_privacy(self, command: SetPrivacy, _now: Now) -> Privacy:
        return self._chats.set_privacy(command)

    def _do_typing(self, command: Typing, now: Now) -> None:
        fp = command.chat[1:]
        if self.privacy.typing and command.chat[:1] == b"c" and self._people.is_friend(fp):
            self._neighbours.typing(fp, command.on, now)

    def _do_name(self, command: SetName, now: Now) -> None:
        self._people.rename_self(command.name)
        self._chats.announce(now)

    # --- looking in ---------------------------------------------------------------------------

    @property
    def fp(self) -> bytes:
        """Our fingerprint."""
        return self._people.identity.fp

    @property
    def name(self) -> str:
        """The name we give ourselves."""
        return self._people.name

    @property
    def privacy(self) -> Privacy:
        """What others may learn of us."""
        return self._chats.content.privacy

    def card_text(self) -> str:
        """Our newest card as ``meshchat:`` text."""
        return self._people.card_text()

    def card_bytes(self) -> bytes:
        """Our newest card, 197 bytes."""
        return self._people.card

    def safety_words(self, fp: bytes) -> tuple[str, ...]:
        """Twelve words that are the same on the contact's screen if nobody stands between."""
        return safety_words(self.fp, self._people.need(fp).fp)

    def signs_shown(self, fp: bytes) -> tuple[int, ...]:
        """The signs of a live check that wait for our user's answer, or none."""
        return self._neighbours.checks.shown(fp)

    def revocations_kept(self) -> list[bytes]:
        """Fingerprints of those whose revocation we could release."""
        return self._chats.revocations.kept()

    def is_hidden(self, message: Message) -> bool:
        """Whether a message of a room is not to be shown."""
        return self._chats.moderation.is_hidden(message)

    def room_mark(self, rid: bytes, target: bytes) -> Mark | None:
        """What our user said of an author or a post of a room."""
        return self._chats.moderation.of(rid, target)

    def members(self, gid: bytes) -> tuple[GroupMember, ...]:
        """Who is in a group as far as we know, in order of joining; nobody if we are out of it."""
        return self._chats.groups.roster(gid).members

    def seed_words(self) -> tuple[str, ...]:
        """The 24 words that restore this identity."""
        return seed_to_words(self._people.identity.seed)

    def status(self, _now: Now) -> NodeStatus:
        """Facts for status bars and scripts."""
        pending = [message for message in self._store.pending() if message.reason != "ended"]
        queued = sum(message.state is State.QUEUED for message in pending)
        return NodeStatus(
            fp=self.fp,
            name=self._people.name,
            neighbours=self._neighbours.all(),
            custody=self._custody.status(),
            queued=queued,
            carried=len(pending) - queued,
            counters=dict(self._counters),
        )

    # ``Any``: each method takes exactly the event it stands under.
    _inputs: ClassVar[dict[type, Callable[[Any, Any, Now], None]]] = {
        LinkUp: lambda node, event, now: node._neighbours.up(event, now),
        LinkDown: lambda node, event, _now: node._neighbours.down(event),
        Received: lambda node, event, now: node._neighbours.received(event, now),
        NewFace: lambda node, _event, _now: node._neighbours.new_face(),
        Wake: _on_wake,
    }
    _commands: ClassVar[dict[type, Callable[[Any, Any, Now], object]]] = {
        Send: _do_send,
        SendFile: _do_send_file,
        AddContact: _do_add,
        Verify: _do_verify,
        Rename: _do_rename,
        Accept: _do_accept,
        Block: _do_block,
        Introduce: _do_introduce,
        JoinRoom: _do_join,
        LeaveRoom: _do_leave,
        CreateGroup: _do_create_group,
        AddMember: _do_add_member,
        RemoveMember: _do_remove_member,
        MakeAdmin: _do_make_admin,
        RenameGroup: _do_rename_group,
        LeaveGroup: _do_leave_group,
        ReportSeized: _do_report_seized,
        MarkRead: _do_read,
        SaveDraft: _do_draft,
        SetName: _do_name,
        StartCheck: _do_start_check,
        AnswerCheck: _do_answer_check,
        CancelCheck: _do_cancel_check,
        WatchSilence: _do_watch,
        GiveRevocation: _do_give_revocation,
        ReleaseRevocation: _do_release_revocation,
        MarkInRoom: _do_mark_in_room,
        React: _do_react,
        Edit: _do_edit,
        Retract: _do_retract,
        Delete: _do_delete,
        SetChat: _do_set_chat,
        SetTimer: _do_timer,
        SetPrivacy: _do_privacy,
        Typing: _do_typing,
    }
