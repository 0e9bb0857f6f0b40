"""The node: events in, effects out, one timer. The same code live and simulated.

Owns the order of things inside one step. Its parts: people, conversations, custody, links, what
neighbours bring (``exchange``), what our user asks for (``deeds``). Nothing here waits, and nothing
a peer sends escapes as an exception: it is counted, and the link that brought it may be ended.
"""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, ClassVar

from meshchat.core.chats import Chats
from meshchat.core.contacts import People
from meshchat.core.crypto import H
from meshchat.core.custody import Custody
from meshchat.core.deeds import Deeds
from meshchat.core.events import (
    Command,
    CustodyChanged,
    Done,
    Effect,
    Event,
    LinkDown,
    LinkUp,
    NewFace,
    Notice,
    Received,
    Refused,
    Send,
    Tell,
    Wake,
)
from meshchat.core.exchange import Exchange
from meshchat.core.identity import safety_words, seed_to_words
from meshchat.core.limits import (
    CLOCK_FLOOR_S,
    CLOCK_JUMP_S,
    DAY_S,
    HOUSEKEEPING_S,
    QUIET_HOUSEKEEPING_S,
    Limits,
)
from meshchat.core.link import FrameLog
from meshchat.core.model import (
    Contact,
    GroupMember,
    Kind,
    Mark,
    Message,
    NodeStatus,
    Now,
    Privacy,
    State,
)
from meshchat.core.neighbours import Neighbours
from meshchat.core.ports import Entropy, Store
from meshchat.core.releases import Releases
from meshchat.core.shape import Handover, Shape
from meshchat.core.shelf import Ids, Shelf
from meshchat.errors import UsageError

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
        ids: Ids | None = None,
        renew_s: float = DAY_S,
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
            ids: Empty; where those of what we offer are kept.
            renew_s: How often what we offer is taken from the store anew, should it differ.
        """
        self._store = store
        limits = limits or Limits()
        self._tells: list[Tell] = []
        origin_key = store.get("origin_key") or entropy.bytes(32)
        store.put("origin_key", origin_key)  # shares outlive a restart
        self._custody = Custody(store, limits)
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
        releases = Releases(store, now)
        self._neighbours = Neighbours(
            store,
            entropy,
            self._people,
            psk or OPEN_MESH_PSK,
            limits,
            self._counters,
            self._tells.append,
            lambda peer, outcome: self._exchange.take(peer, outcome),
            now,
            self._custody.has_room,
            log,
            self._handover.held,
            releases.hidden,
            lambda: self._chats.content.privacy.typing,
            Shelf(ids),
            renew_s,
        )
        self._exchange = Exchange(
            store,
            entropy,
            self._custody,
            self._chats,
            self._neighbours,
            releases,
            self._counters,
            origin_key,
            now,
        )
        self._deeds = Deeds(store, self._people, self._chats, self._neighbours, self._exchange)
        self._chats.start(now)
        waiting = [one.eid for one in store.pending() if one.state is State.QUEUED]
        self._neighbours.prefer(waiting)  # a restart knows no more of what is dear
        self._sought: dict[bytes, None] | None = None
        self._house_at = now.mono
        self._clock = now.wall - now.mono
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
        if isinstance(event, Command):
            return self.obey((event,), now)
        self._look_at_clock(now)
        self._inputs[type(event)](self, event, now)
        return self._end_step((), now)

    def obey(self, commands: Sequence[Command], now: Now) -> list[Effect]:
        """Take several wishes of our user in one step, each with its own answer."""
        self._look_at_clock(now)
        answers: list[Done | Refused] = []
        for texts, run in groupby(commands, lambda command: isinstance(command, Send)):
            several = list(run)
            done = self._all_or_none(several, now) if texts and len(several) > 1 else []
            answers += done or [self._command(command, now) for command in several]
        return self._end_step(answers, now)

    def _end_step(self, answers: Sequence[Done | Refused], now: Now) -> list[Effect]:
        self._settle(now)
        effects: list[Effect] = [*self._neighbours.flush(now), *answers, *self._tells]
        self._tells.clear()
        return effects

    def next_wakeup(self) -> float | None:
        """Monotonic time at which the driver must give ``Wake``."""
        due = self._house_at
        for at in (
            self._exchange.next_wakeup(),
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
        self._exchange.settle(now)
        for held, readers in self._chats.sealer.sealed:
            if self._handover.hold(held, readers, now):
                self._neighbours.offer_to(readers, held.eid, held.hint)
            else:
                self._neighbours.offer(held.eid, held.hint, dear=bool(readers))
            self._neighbours.keep_at_hand(held.eid, held.data)
        self._chats.sealer.sealed.clear()
        if self._custody.gone:
            self._neighbours.withdraw(self._custody.gone)
            self._handover.drop(self._custody.gone)
            self._custody.gone.clear()
        if self._custody.lost:
            self._neighbours.renew_key()
            self._custody.lost = False
        if self._chats.files.sought is not self._sought:
            self._sought = self._chats.files.sought
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
            self._quietly(lambda: self._chats.sealer.cover(now))
        self._chats.wake(now)
        self._exchange.wake(now)
        if now.mono >= self._house_at:
            self._house(now)

    def _look_at_clock(self, now: Now) -> None:
        """A clock that was set: what we refused as expired, or from the future, we may want now.

        Neighbours do not offer twice on one link what was refused, so the links begin anew. What
        we hold ourselves waits for the next housekeeping: the clock may be set back at once.
        """
        clock = now.wall - now.mono
        if abs(clock - self._clock) > CLOCK_JUMP_S:
            self._neighbours.part(now)
        self._clock = clock

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
        self._chats.outbox.ended([eid for eid, kind in gone if kind is Kind.OWN], now)
        made = self._people.rotate(now)
        if made or self._chats.announces.is_due(now):
            self._quietly(lambda: self._chats.announces.announce(now))
        self._chats.revocations.again(now)
        self._people.notice_silence(now)
        self._chats.house(now)
        self._exchange.release_due(now)
        self._neighbours.renew(now)

    def _quietly(self, step: Callable[[], object]) -> None:
        """Something nobody asked for: if it is refused, count it."""
        try:
            step()
        except UsageError as error:
            self._counters[error.reason] += 1

    # --- commands -----------------------------------------------------------------------------

    def _all_or_none(self, texts: Sequence[Command], now: Now) -> list[Done]:
        """Take several texts, which nothing but the store and what is sealed knows of yet.

        Each by itself, they cost a savepoint and a write of everything more. Empty: one of them is
        refused, and none was taken.
        """
        try:
            with self._undone_if_refused(now):
                return [Done(text, self._deeds.do(text, now)) for text in texts]
        except UsageError:
            return []

    def _command(self, command: Command, now: Now) -> Done | Refused:
        try:
            with self._undone_if_refused(now):
                return Done(command, self._deeds.do(command, now))
        except UsageError as error:
            return Refused(command, error)

    @contextlib.contextmanager
    def _undone_if_refused(self, now: Now) -> Iterator[None]:
        """Undo the first half of what is refused in its second half."""
        told, sealed, held = len(self._tells), len(self._chats.sealer.sealed), self._custody.mark()
        self._house_at = min(self._house_at, now.mono + HOUSEKEEPING_S)  # it may have to wait
        try:
            with self._store.savepoint():
                yield
        except UsageError:
            del self._tells[told:]
            self._chats.groups.load()
            self._chats.sealer.undo(sealed)
            self._custody.undo(held)
            raise

    def _on_revoked(self, contact: Contact, now: Now) -> None:
        """A contact was frozen for good: nothing goes to it any more, and our user hears of it."""
        self._chats.outbox.key_replaced(contact.fp, now, "revoked")
        self._chats.inbox.keys_changed()
        with contextlib.suppress(UsageError):  # they share no group with us
            self._chats.groups.report_seized(contact.fp, True, now)
        self._neighbours.drop_contact(contact.fp, "revoked", now)
        self._tells.append(Notice("revoked", contact.petname))

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
        return self._chats.rooms.moderation.is_hidden(message)

    def room_mark(self, rid: bytes, target: bytes) -> Mark | None:
        """What our user said of an author or a post of a room."""
        return self._chats.rooms.moderation.of(rid, target)

    def members(self, gid: bytes) -> tuple[GroupMember, ...]:
        """Who is in a group as far as we know, in order of joining; nobody if we are out of it."""
        return self._chats.groups.book.roster(gid).members

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

    # ``Any``: each takes exactly the event it stands under.
    _inputs: ClassVar[dict[type, Callable[[Any, Any, Now], None]]] = {
        LinkUp: lambda node, event, now: node._neighbours.up(event, now),
        LinkDown: lambda node, event, _now: node._neighbours.down(event),
        Received: lambda node, event, now: node._neighbours.received(event, now),
        NewFace: lambda node, _event, _now: node._neighbours.new_face(),
        Wake: _on_wake,
    }
