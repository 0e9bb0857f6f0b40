"""Making envelopes of ours: keys, counters, and when each of them ends."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from meshchat.core.body import Body, BodyType, encode_body
from meshchat.core.contacts import People
from meshchat.core.crypto import KEY_BYTES
from meshchat.core.custody import HOUR_S, Custody, hours
from meshchat.core.envelope import TOKEN_BYTES, envelope_id, seal, smallest_class
from meshchat.core.identity import room_author_seed, room_secret
from meshchat.core.limits import DAY_S, DM_LIFE_BASE_H, DM_LIFE_MAX_H, MESSAGE_LIFE_S
from meshchat.core.model import Held, Message, Now, Room
from meshchat.core.ports import Entropy, Store
from meshchat.core.sealed import DM_HEAD_BYTES, read_card, room_post
from meshchat.core.sessions import Sessions
from meshchat.errors import UsageError

COVER_KIND = b"\x07"  # of an inner that nobody can open
COUNTERS_AT_ONCE = 64  # taken from the store by one write; a restart leaves the rest unused
COVER_BYTES = 64  # padded to 512 like any short message


def end_of(life_s: float, now: Now) -> float:
    """Wall time at which a message with this lifetime ends; 0 seconds: the usual week.

    A chosen end is a whole hour, because that is what envelopes carry.

    Raises:
        UsageError: It is no number of seconds above 0.
    """
    if life_s == 0:
        return now.wall + MESSAGE_LIFE_S
    if not 0 < life_s < float("inf"):
        raise UsageError(
            "bad_life", "A lifetime is a number of seconds above 0; leave it out for a week."
        )
    first = hours(now.wall)
    last = int(-(-(now.wall + life_s) // HOUR_S))
    return float(HOUR_S * min(max(last, first + 1), first + DM_LIFE_MAX_H))


def _fits_beside(newer: Body, raw: bytes) -> bool:
    """Whether a body with a card in it makes no larger envelope than ``raw`` does."""
    return smallest_class(DM_HEAD_BYTES + len(encode_body(newer))) == smallest_class(
        DM_HEAD_BYTES + len(raw)
    )


class Sealer:
    """Seals for one identity, and hands what it sealed to custody."""

    def __init__(
        self,
        store: Store,
        entropy: Entropy,
        people: People,
        custody: Custody,
        sessions: Sessions,
    ) -> None:
        self._store = store
        self._sessions = sessions
        self._entropy = entropy
        self._people = people
        self._custody = custody
        self._counted: int | None = None
        self._counted_to = 0  # what the store has: no number up to this is used again
        self.sealed: list[tuple[Held, Sequence[bytes]]] = []
        """Envelopes of ours made in this step, for the node to offer, each with the fingerprints
        of its readers, or none if it is for whoever is there."""

    def keep(
        self, data: bytes, now: Now, readers: Sequence[bytes] = (), *, bounded: bool = True
    ) -> bytes:
        """Take an envelope of ours into custody; returns its id.

        Raises:
            UsageError: ``outbox_full``.
        """
        eid = envelope_id(data)
        self.sealed.append((self._custody.add_own(data, eid, now, bounded=bounded), readers))
        return eid

    def keep_all(
        self, made: Sequence[tuple[bytes, bytes]], now: Now, readers: Sequence[bytes]
    ) -> None:
        """The same for many at once, each with its id, for all of which there is room."""
        self.sealed += [(held, readers) for held in self._custody.add_all_own(made, now)]

    # --- when it ends -------------------------------------------------------------------------

    def spread_h(self, most: int) -> int:
        """A random number of hours from 0 to ``most``."""
        return int.from_bytes(self._entropy.bytes(2), "little") % (most + 1)

    def end_h(self, message: Message | None, now: Now) -> int:
        """Expiry of an envelope made now: what was chosen, or a random one."""
        if message is not None and message.life_s:
            return hours(message.expires_at)
        return hours(now.wall) + DM_LIFE_BASE_H + self.spread_h(DM_LIFE_MAX_H - DM_LIFE_BASE_H)

    def dm_end_h(self, fp: bytes, message: Message | None, now: Now) -> int | None:
        """The same for one sealed to a contact's prekey; None if we have no live one."""
        last = self._people.card_of(fp).exp_h
        return min(last, self.end_h(message, now)) if last > hours(now.wall) + 1 else None

    # --- sealing ------------------------------------------------------------------------------

    def dm(self, fp: bytes, body: Body, exp_h: int, now: Now) -> bytes:
        """An envelope to a contact's prekey, by the session we have with them or a new one."""
        people, card = self._people, self._people.card_of(fp)
        session = self._sessions.current(fp, now)
        told_h = read_card(people.card).exp_h
        if self._sessions.is_first(session):  # it brings the card itself
            raw = encode_body(replace(body, boot=people.boot))
        else:
            raw, newer = encode_body(body), replace(body, card=people.card)
            fits = session.told_h < told_h and not body.card and _fits_beside(newer, raw)
            if fits or body.type is BodyType.PROFILE:
                raw = encode_body(newer)
            else:
                told_h = 0
        return seal(
            lambda e: self._sessions.seal(session, e, raw, told_h),
            raw,
            exp_h,
            self._entropy.bytes(TOKEN_BYTES),
            want_proof=body.type is not BodyType.PROFILE,
            entropy=self._entropy,
            long_term_secret=people.identity.seed,
            counter=self._counter(),
            prekey=card.prekey,
        )

    def post(self, room: Room, body: Body, exp_h: int, now: Now) -> bytes:
        """An envelope to everybody in a room."""
        key = f"room_seq:{room.rid.hex()}"
        seq = int.from_bytes(self._store.get(key) or b"", "little") + 1
        self._store.put(key, seq.to_bytes(4, "little"))
        author, raw = self.author_seed(room.rid), encode_body(body)
        return self.shared(
            room_secret(room.key, int(now.wall // DAY_S)),
            lambda e: room_post(author, room.rid, e, seq, int(now.wall), raw),
            raw,
            exp_h,
        )

    def author_seed(self, rid: bytes) -> bytes:
        """The seed of our pseudonym in a room."""
        return room_author_seed(self._people.identity.seed, rid)

    def shared(
        self,
        secret: bytes,
        build: Callable[[bytes], bytes],
        raw: bytes,
        exp_h: int,
        *,
        want_proof: bool = False,
        part: int = 0,
    ) -> bytes:
        """An envelope to a shared secret; arguments as those of ``seal``."""
        return seal(
            build,
            raw,
            exp_h,
            self._entropy.bytes(TOKEN_BYTES),
            part=part,
            want_proof=want_proof,
            entropy=self._entropy,
            long_term_secret=self._people.identity.seed,
            counter=self._counter(),
            secret=secret,
        )

    def cover(self, now: Now) -> None:
        """Make one that opens for nobody, like a short message in all that can be seen."""
        inner = COVER_KIND + self._entropy.bytes(COVER_BYTES)
        secret = self._entropy.bytes(KEY_BYTES)
        self.keep(self.shared(secret, lambda _: inner, inner, self.end_h(None, now)), now)

    def _counter(self) -> int:
        if self._counted is None:
            self._counted = int.from_bytes(self._store.get("counter") or b"", "little")
        self._counted += 1
        if self._counted > self._counted_to:
            self._counted_to = self._counted + COUNTERS_AT_ONCE
            self._store.put("counter", self._counted_to.to_bytes(8, "little"))
        return self._counted

    def undo(self, mark: int) -> None:
        """The store went back to where so many were sealed in this step; counters only rise."""
        del self.sealed[mark:]
        self._counted_to = 0
