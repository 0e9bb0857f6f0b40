"""Our neighbours: links from the first byte to the last, greeting, one link per pair.

Turns frames into outcomes for the node and the node's wishes into frames. What a peer does
wrong ends its link and is counted; nothing a peer sends leaves this file as an exception.
"""

import heapq
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set

from msgspec import Struct, field

from meshchat.core import link as wire_link
from meshchat.core.admission import Admission
from meshchat.core.contacts import People
from meshchat.core.crypto import KEY_BYTES, H
from meshchat.core.custody import hours
from meshchat.core.events import (
    CloseLink,
    ContactTyping,
    LinkDown,
    LinkUp,
    NeighbourDown,
    NeighbourUp,
    Received,
    SendFrames,
    Tell,
)
from meshchat.core.hello import HELLO_TAGS, make_hello, read_hello
from meshchat.core.limits import (
    HELLO_WAIT_S,
    NODE_KEY_LIFE_S,
    REHELLO_S,
    TYPING_EVERY_S,
    TYPING_SHOWN_S,
    Limits,
)
from meshchat.core.link import FrameLog, Link, new_node_key
from meshchat.core.livecheck import Line, LiveChecks
from meshchat.core.model import NO_TEXT, Neighbour, Now, Proof
from meshchat.core.ports import Entropy, Store
from meshchat.core.relay import Relay
from meshchat.core.shelf import Shelf
from meshchat.core.sync import Sync
from meshchat.core.transfers import AtHand, Outcome, Transfers
from meshchat.core.wire import PROOF_HINT, read_typing, write_typing
from meshchat.errors import HandshakeError, ProtocolError, QuotaError

TRANSPORTS = {"lan": 0, "net": 1, "ble": 2}  # a LAN moves a thousand times what Bluetooth does
HELLOS_KEPT_MAX = 4  # to find a contact in again when one is added
ALARMS_STALE_MAX = 256  # timers that were moved, kept until there are this many too many
SKETCH_GAP_S = 0.02  # between two steps of making a sketch ...
SKETCH_BUSY_GAP_S = 0.2  # ... and while neighbours are heard: what moves now goes first
NEVER = float("inf")
CLOSE_CODES: dict[type, int] = {QuotaError: wire_link.CLOSE_BUDGET}


def _rank(peer: "Peer") -> tuple[int, str]:
    """Links to one neighbour over several transports: the lowest is kept."""
    name = peer.link.transport
    return TRANSPORTS.get(name, len(TRANSPORTS)), name


def _line(peer: "Peer") -> Line:
    link = peer.link
    return Line(link.id, peer.contact, link.handshake_hash, link.outbound)


class Peer(Struct):
    """A neighbour as the node sees it."""

    link: Link
    own_key: bytes
    sync: Sync | None = None
    """None until the peer's HELLO came."""
    contact: bytes = b""
    origin: bytes = b""
    """Keyed hash of the link's origin, for shares; made when first needed."""
    hellos: deque[bytes] = field(default_factory=lambda: deque(maxlen=HELLOS_KEPT_MAX))
    greeted: int = 0
    """How many contacts our HELLOs on this link have gone through."""
    greet_at: float = 0.0
    hello_by: float = NEVER
    """When the peer must have greeted us."""
    typed: tuple[bool, float] = (False, -NEVER)
    """What we last told this contact of our writing, and when."""
    alarm: float = NEVER
    """When this link has something to do by itself."""

    @property
    def dialler_key(self) -> bytes:
        return self.own_key if self.link.outbound else self.link.remote_key


class Neighbours:
    """All links of one node."""

    def __init__(
        self,
        store: Store,
        entropy: Entropy,
        people: People,
        psk: bytes,
        limits: Limits,
        counters: Counter[str],
        tell: Callable[[Tell], None],
        outcome: Callable[["Peer", Outcome], None],
        now: Now,
        has_room: Callable[[int, bool], bool],
        log: FrameLog | None,
        withheld: Mapping[bytes, tuple[int, Collection[bytes]]],
        hidden: Set[bytes],
        show_typing: Callable[[], bool],
        shelf: Shelf,
        renew_s: float,
    ) -> None:
        """
        Args:
            outcome: Hears what came of synchronising.
            has_room: As in ``Transfers``.
            withheld: Ours that only their readers may be offered yet: id to hint and readers.
            hidden: As in ``Transfers``.
            show_typing: Whether our user lets contacts see that they write.
            shelf: Empty.
            renew_s: As in ``Node``.
        """
        self._log = log
        self._withheld = withheld
        self._show_typing = show_typing
        self._store = store
        self._entropy = entropy
        self._people = people
        self._psk = psk
        self._limits = limits
        self._counters = counters
        self._tell = tell
        self._outcome = outcome
        self.checks = LiveChecks(people.identity.fp, entropy, self._send_check, tell)
        self._peers: dict[int, Peer] = {}
        # A crowd of links must not make each event dearer: only these have anything to do.
        self._touched: dict[int, Peer] = {}
        self._alarms: list[tuple[float, int]] = []
        self._transfers = Transfers(
            Relay(entropy.bytes(KEY_BYTES)), has_room, hidden, shelf, partials=set(store.partials())
        )
        self._renew_s = renew_s
        self._renewed = -1
        self.renew(now)
        self._admission = Admission(limits, now)
        self._heard_at = -NEVER  # when any neighbour said something
        self._sketch_at = NEVER  # when to go on making the sketch of what we offer
        self._closing: list[SendFrames | CloseLink] = []
        self._key = new_node_key(entropy)
        self._key_made = now.mono

    # --- for the node ---

    def offer(self, eid: bytes, hint: int, *, dear: bool = False) -> None:
        """Something new is to be had here: an envelope, or a proof (``PROOF_HINT``).

        ``dear``: our own mail to people, or brought by a contact.
        """
        self.offer_all(((eid, hint),))
        if dear:
            self.prefer((eid,))

    def prefer(self, eids: Iterable[bytes]) -> None:
        """Contacts get these first when we meet them."""
        self._transfers.shelf.prefer(eids)

    def offer_all(self, offers: Sequence[tuple[bytes, int]]) -> None:
        """The same of several, each with its hint."""
        self._transfers.shelf.add_all(offers)
        for peer in self._peers.values():
            if peer.sync is not None and peer.sync.offer_all(offers):
                self._touched[peer.link.id] = peer

    def offer_to(self, fps: Collection[bytes], eid: bytes, hint: int) -> None:
        """The same, to nobody but these contacts, those of them that are our neighbours."""
        for peer in self._peers.values():
            if peer.contact in fps and peer.sync and peer.sync.offer(eid, hint):
                self._touched[peer.link.id] = peer

    def offer_one(self, eid: bytes, hint: int) -> None:
        """The same, to one of them by chance."""
        greeted = [peer for peer in self._peers.values() if peer.sync is not None]
        if greeted:
            draw = int.from_bytes(self._entropy.bytes(2), "little")
            peer = greeted[draw % len(greeted)]
            if peer.sync is not None and peer.sync.offer(eid, hint):
                self._touched[peer.link.id] = peer

    def keep_at_hand(self, eid: bytes, data: bytes) -> None:
        """A neighbour will ask for this soon: it need not be read from the store again."""
        self._transfers.at_hand.add(eid, data)

    def withdraw(self, eids: Iterable[bytes]) -> None:
        """These are not to be had here any more."""
        eids = list(eids)
        self._transfers.at_hand.drop(eids)
        self._transfers.shelf.remove(eids)

    def renew(self, now: Now) -> None:
        """Now and then take what is on offer from the store anew, whatever went astray."""
        turn = int(now.wall // self._renew_s)
        if turn == self._renewed:
            return
        self._renewed = turn
        self._transfers.at_hand = AtHand()
        offers = [(done, PROOF_HINT) for done in self._store.released(now.wall)]
        offers += [
            offer
            for offer in self._store.offered(hours(now.wall))
            if offer[0] not in self._withheld
        ]
        self._transfers.shelf.renew(offers)

    def seek(self, eids: dict[bytes, None]) -> None:
        """Chunks of files for us that are still missing: all of them, now and from now on."""
        new = [eid for eid in eids if eid not in self._transfers.sought]
        self._transfers.sought = eids
        if new:
            for peer in self._peers.values():
                if peer.sync is not None and peer.sync.seek(new):
                    self._touched[peer.link.id] = peer

    def renew_key(self) -> None:
        """Be somebody new on the links to come, and so be offered again what we lost."""
        self._key_made = -NEVER

    def part(self, now: Now) -> None:
        """End all links; their transports make new ones."""
        for peer in list(self._peers.values()):
            self._close(peer, "clock", wire_link.CLOSE_DONE, now)

    def new_face(self) -> None:
        """A radio has other names now; a key that some link shows anyway need not change."""
        if not self._peers:
            self.renew_key()

    def confirm(self, author: bytes, proof: Proof) -> None:
        """Give a receipt to its author at once, if that contact is our neighbour."""
        for peer in self._peers.values():
            if peer.contact == author and peer.sync is not None:
                peer.sync.push_proof(proof.done, proof.token, proof.exp_h)
                self._touched[peer.link.id] = peer

    def typing(self, fp: bytes, on: bool, now: Now) -> None:
        """Tell a contact that we write to it, or stopped, if it is our neighbour; nobody else."""
        for peer in self._peers.values():
            if peer.contact != fp or peer.sync is None:
                continue
            was_on, at = peer.typed
            if (now.mono - at >= TYPING_EVERY_S) if on else was_on:
                peer.typed = (on, now.mono)
                peer.link.send(wire_link.TYPING, write_typing(on))
                self._touched[peer.link.id] = peer

    def _on_typing(self, peer: Peer, body: bytes, now: Now) -> None:
        on = read_typing(body)
        if peer.contact and self._show_typing():
            self._tell(ContactTyping(peer.contact, now.wall + TYPING_SHOWN_S if on else 0.0))

    def pump(self, now: Now) -> None:
        """Let every link move on that something happened to."""
        self._pump(list(self._touched.values()), now)
        if self._transfers.shelf.unsketched and self._sketch_at == NEVER:
            busy = now.mono - self._heard_at < SKETCH_BUSY_GAP_S
            self._sketch_at = now.mono + (SKETCH_BUSY_GAP_S if busy else SKETCH_GAP_S)
        while self._transfers.freed:  # what one neighbour did not bring, another may be asked for
            self._transfers.freed = False
            others = [peer for peer in self._peers.values() if peer.sync and peer.sync.wants_more]
            self._pump(others, now)
            self._touched.update((peer.link.id, peer) for peer in others)

    def _pump(self, peers: list[Peer], now: Now) -> None:
        for peer in peers:
            if peer.sync is not None and self._peers.get(peer.link.id) is peer:
                self._guard(peer, now, peer.sync.pump, now)

    def flush(self, now: Now) -> list[SendFrames | CloseLink]:
        """What is ready to leave, then the links that end."""
        effects: list[SendFrames | CloseLink] = []
        for peer in self._touched.values():
            if self._peers.get(peer.link.id) is not peer:
                continue
            frames = peer.link.flush(now)
            if frames:
                effects.append(SendFrames(peer.link.id, frames))
            self._arm(peer)
        self._touched.clear()
        effects += self._closing
        self._closing = []
        return effects

    def _arm(self, peer: Peer) -> None:
        """Set the timer of one link anew."""
        due = peer.greet_at if peer.sync else peer.hello_by
        for at in (peer.link.next_wakeup(), peer.sync.next_wakeup() if peer.sync else None):
            if at is not None and at < due:
                due = at
        if due == peer.alarm:
            return
        peer.alarm = due
        if due < NEVER:
            if len(self._alarms) > 2 * len(self._peers) + ALARMS_STALE_MAX:
                self._alarms = [
                    (each.alarm, each.link.id)
                    for each in self._peers.values()
                    if each.alarm < NEVER and each is not peer
                ]
                heapq.heapify(self._alarms)
            heapq.heappush(self._alarms, (due, peer.link.id))

    def wake(self, now: Now) -> None:
        """Pings, time-outs and further HELLOs that are due."""
        if now.mono >= self._sketch_at:
            self._sketch_at = NEVER
            self._transfers.shelf.prepare()
        while (due := self._next_alarm()) is not None and due <= now.mono:
            peer = self._peers[heapq.heappop(self._alarms)[1]]
            peer.alarm = NEVER
            self._touched[peer.link.id] = peer
            alive = self._guard(peer, now, peer.link.wake, now)
            if not alive:
                continue
            if peer.sync is not None and now.mono >= peer.greet_at:
                self._greet(peer, now)
            elif peer.sync is None and now.mono >= peer.hello_by:
                self._counters["hello_timeout"] += 1
                self._close(peer, "hello_timeout", wire_link.CLOSE_TIMEOUT, now)

    def next_wakeup(self) -> float | None:
        """Monotonic time at which ``wake`` is due."""
        due = self._next_alarm()
        return self._sketch_at if self._sketch_at < (NEVER if due is None else due) else due

    def _next_alarm(self) -> float | None:
        """When some link is due."""
        alarms = self._alarms
        while alarms:
            due, link = alarms[0]
            peer = self._peers.get(link)
            if peer is not None and peer.alarm == due:
                return due
            heapq.heappop(alarms)  # that link is gone, or its timer was moved
        return None

    def drop_partial(self, eid: bytes) -> None:
        """An envelope is here whole, well or not: first bytes of an earlier try are useless."""
        if eid in self._transfers.partials:
            self._store.drop_partial(eid)
            self._transfers.partials.discard(eid)

    def drop_contact(self, fp: bytes, reason: str, now: Now) -> None:
        """End the links with a contact."""
        for peer in list(self._peers.values()):
            if peer.contact == fp:
                self._close(peer, reason, wire_link.CLOSE_DONE, now)

    def line(self, fp: bytes) -> Line | None:
        """A link with a contact, if there is one."""
        found = (peer for peer in self._peers.values() if peer.contact == fp and peer.link.is_open)
        peer = next(found, None)
        return _line(peer) if peer else None

    def _send_check(self, link: int, body: bytes) -> None:
        peer = self._peers.get(link)
        if peer is not None:
            peer.link.send(wire_link.CHECK, body)
            self._touched[link] = peer

    def all(self) -> list[Neighbour]:
        """Every neighbour that has greeted us."""
        return [self._neighbour(peer) for peer in self._peers.values() if peer.sync]

    # --- links ---

    def up(self, up: LinkUp, now: Now) -> None:
        """A path to a neighbour exists."""
        refusal = self._admission.refusal(up, [peer.link for peer in self._peers.values()], now)
        if refusal:
            self._counters[refusal] += 1
            self._closing.append(CloseLink(up.link, refusal))
            return
        if now.mono - self._key_made > NODE_KEY_LIFE_S:
            self._key, self._key_made = new_node_key(self._entropy), now.mono
            self._transfers.relay.renew(self._entropy.bytes(KEY_BYTES))
        link = Link(up, self._key, self._psk, self._entropy, now, self._log)
        self._peers[up.link] = self._touched[up.link] = Peer(link, self._key.public)

    def down(self, event: LinkDown) -> None:
        """A path is gone."""
        peer = self._peers.get(event.link)
        if peer is not None:
            self._forget(peer, event.reason)

    def _forget(self, peer: Peer, reason: str) -> None:
        del self._peers[peer.link.id]
        self.checks.link_down(peer.link.id)
        if peer.sync is not None:
            peer.sync.close()
            self._tell(NeighbourDown(peer.link.id, peer.link.transport, reason))

    def _close(self, peer: Peer, reason: str, code: int, now: Now, kept: int = 0) -> None:
        """End a link from our side, saying why where the peer may hear it."""
        peer.link.close(code)
        frames = peer.link.flush(now)
        if frames:
            self._closing.append(SendFrames(peer.link.id, frames))
        self._closing.append(CloseLink(peer.link.id, reason, kept))
        self._forget(peer, reason)

    def _guard(self, peer: Peer, now: Now, step: Callable[..., object], *given: object) -> bool:
        """Run a step that takes a peer's input; what the peer did wrong ends its link."""
        try:
            step(*given)
        except ProtocolError as error:
            self._counters[error.reason] += 1
            code = CLOSE_CODES.get(type(error), wire_link.CLOSE_PROTOCOL)
            self._close(peer, error.reason, code, now)
            return False
        return True

    def received(self, event: Received, now: Now) -> None:
        """Frames from a neighbour."""
        peer = self._peers.get(event.link)
        if peer is not None:
            self._heard_at = now.mono
            self._touched[event.link] = peer
            self._guard(peer, now, self._frames, peer, event.frames, now)

    def _frames(self, peer: Peer, frames: tuple[bytes, ...], now: Now) -> None:
        link = peer.link
        records = link.receive(frames, now)
        if link.is_open and not peer.greet_at and not self._opened(peer, now):
            return
        for kind, body in records:
            if kind == wire_link.HELLO:
                self._hello(peer, body, now)
            elif peer.sync is None:
                raise HandshakeError("record_before_hello")
            elif kind == wire_link.CHECK:
                if peer.contact:
                    self.checks.record(_line(peer), body, now)
                else:  # its word that we are a contact of theirs may still be on its way
                    self._counters["check_of_stranger"] += 1
            elif kind == wire_link.TYPING:
                self._on_typing(peer, body, now)
            else:
                outcome = peer.sync.record(kind, body, now)
                if outcome is not None:
                    self._outcome(peer, outcome)
        if link.closed_by_peer is not None:
            key, kept = link.remote_key, 0
            if link.closed_by_peer == wire_link.CLOSE_DUPLICATE:
                same = (other.link for other in self._peers.values() if other is not peer)
                kept = next((other.id for other in same if other.remote_key == key), 0)
            self._closing.append(CloseLink(link.id, "closed_by_peer", kept))
            self._forget(peer, "closed_by_peer")

    def _opened(self, peer: Peer, now: Now) -> bool:
        """The handshake is done: keep one link per pair, greet. False if this one had to go."""
        self._counters["links_opened"] += 1
        older = True  # links stand in the order in which they came up
        for other in list(self._peers.values()):
            if other is peer:
                older = False
            if other is peer or other.link.remote_key != peer.link.remote_key:
                continue
            # Both sides know both transports and both diallers, so both decide alike. Same
            # dialler: it dialled again because the older link is dead to it. Which handshake was
            # through first says nothing: one can overtake the other.
            if other.link.transport != peer.link.transport:
                keep_other = _rank(other) < _rank(peer)
            elif other.dialler_key != peer.dialler_key:
                keep_other = other.dialler_key < peer.dialler_key
            else:
                keep_other = not older
            loser, kept = (peer, other) if keep_other else (other, peer)
            self._counters["links_duplicate"] += 1
            self._close(loser, "duplicate", wire_link.CLOSE_DUPLICATE, now, kept.link.id)
            if loser is peer:
                return False
        self._greet(peer, now)
        peer.hello_by = now.mono + HELLO_WAIT_S
        return True

    def _greet(self, peer: Peer, now: Now) -> None:
        """Send a HELLO with the next sixteen contacts."""
        pairs = self._people.pairs()
        many = len(pairs) > HELLO_TAGS
        if many:  # those on other links can wait, though not for ever: that link may be dead
            linked = {other.contact for other in self._peers.values() if other is not peer}
            pairs = [pair for pair in pairs if pair[0] not in linked]
        start = peer.greeted if peer.greeted < len(pairs) else 0
        chosen = pairs[start : start + HELLO_TAGS]
        peer.greeted = start + HELLO_TAGS
        hello = make_hello(
            chosen,
            peer.link.handshake_hash,
            peer.link.outbound,
            self._people.identity.fp,
            self._entropy,
        )
        peer.link.send(wire_link.HELLO, hello)
        peer.greet_at = now.mono + REHELLO_S if many else NEVER

    def _hello(self, peer: Peer, body: bytes, now: Now) -> None:
        peer.hellos.append(body)
        first = peer.sync is None
        link = peer.link
        pairs = self._people.pairs()
        fp = read_hello(body, pairs, link.handshake_hash, link.outbound)
        if first:
            peer.sync = Sync(
                link, self._store, self._transfers, self._limits, trusted=bool(fp), now=now
            )
            peer.sync.open(now)
        if fp and fp != peer.contact:
            self._recognised(peer, fp, now)
        elif first:
            self._tell(NeighbourUp(self._neighbour(peer)))

    def _recognised(self, peer: Peer, fp: bytes, now: Now) -> None:
        peer.contact = fp
        if peer.sync is not None:
            peer.sync.trust(now)
            for eid, (hint, readers) in self._withheld.items():
                if fp in readers:
                    peer.sync.offer(eid, hint)
        self._tell(NeighbourUp(self._neighbour(peer)))
        self._people.heard(self._people.need(fp), None, NO_TEXT, now)

    def regreet(self, now: Now) -> None:
        """Contacts changed: look again who our neighbours are, and let them see us."""
        pairs = self._people.pairs()
        for peer in self._peers.values():
            if peer.sync is None or peer.contact:
                continue
            for body in peer.hellos:
                fp = read_hello(body, pairs, peer.link.handshake_hash, peer.link.outbound)
                if fp:
                    self._recognised(peer, fp, now)
                    break
            peer.greeted = 0
            self._greet(peer, now)
            self._touched[peer.link.id] = peer

    def _neighbour(self, peer: Peer) -> Neighbour:
        link = peer.link
        return Neighbour(
            link=link.id,
            transport=link.transport,
            contact=peer.contact,
            since=link.opened_wall,
            outbound=link.outbound,
            sent_bytes=link.sent_bytes,
            received_bytes=link.received_bytes,
            tag=H(b"mc1 tag", link.remote_key, 2).hex(),
        )
