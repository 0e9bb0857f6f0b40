"""How much bulk of strangers we carry: all where people are few, a share where all is known.

Small mail goes to everybody; it costs little. Files are what fills the air, and how many copies
they need depends on the place. In a conference each chunk reaches everybody soon, and a fifth of
the nodes do; between classes of a school that hardly mix, each carrier left out is a way lost. A
node sees that from its own meetings alone: how much of the small mail of two who have not met for
a while was new to one of them. Nobody's claims, no identities, no places. docs/adr/0015.
"""

from meshchat.core.crypto import H
from meshchat.core.model import BULK_CLASS, HINT_CLASS_SHIFT, TAG_BITS, class_of
from meshchat.core.shelf import Shelf
from meshchat.core.wire import PROOF_HINT

NOVELTY_ALL = 0.15  # of the mail of a fresh meeting is new: every carrier is needed
SHARE_FIRST = 0.5  # of files, before meetings tell: an eighth less air, see the decision
SHARE_MIN = 0.125  # of files we carry at least; liars who seem to know all cannot press below
SMOOTHING = 1 / 16  # of one meeting on the average: half a day of a busy person
FRESH_LOOK_S = 20.0  # of a fresh meeting: what is written later is new to everybody
FRESH_S = 3_600.0  # two who met later than this ago: what they have in common says something
UNION_MIN = 16  # envelopes; fewer say nothing
MET_MAX = 1_024  # neighbours whose last meeting we remember

_TAG_MASK = (1 << TAG_BITS) - 1
_PART_MASK = (1 << HINT_CLASS_SHIFT) - 1


class Relay:
    """What one node has seen of how well mail spreads around it, and what it carries."""

    def __init__(self, secret: bytes) -> None:
        self.renew(secret)
        self._novelty = SHARE_FIRST * NOVELTY_ALL
        self.share = SHARE_FIRST
        """Part of all files that we carry for strangers, 0.125 to 1."""
        self._met: dict[bytes, float] = {}

    def renew(self, secret: bytes) -> None:
        """Choose anew what to carry, with each node key: the choice would else be a name.

        ``secret``: 32 bytes only we know, so that nobody can make files we never carry.
        """
        self._secret = secret
        self._places: dict[int, float] = {}

    def meets(self, key: bytes, now: float) -> bool:
        """A link to this node key opens; whether it is a fresh meeting.

        Args:
            key: Of the neighbour.
            now: Monotonic seconds.
        """
        last = self._met.pop(key, None)
        self._met[key] = now
        if len(self._met) > MET_MAX:
            del self._met[next(iter(self._met))]
        return last is None or now - last > FRESH_S

    def met(self, new: int, union: int) -> None:
        """After a fresh meeting: of so many small envelopes of both, so many were new to one."""
        if union >= UNION_MIN:
            self._novelty += (min(1.0, new / union) - self._novelty) * SMOOTHING
            self.share = min(1.0, max(SHARE_MIN, self._novelty / NOVELTY_ALL))

    def carries(self, hint: int) -> bool:
        """Whether we carry this for strangers; the same answer for all of a file."""
        if hint == PROOF_HINT or class_of(hint) < BULK_CLASS or not hint & _PART_MASK:
            return True  # proofs, small mail, and long texts: they are part of nothing
        share = self.share
        if share >= 1.0:
            return True
        tag = hint & _TAG_MASK
        place = self._places.get(tag)
        if place is None:
            drawn = H(b"mc1 relay", tag.to_bytes(2, "little"), 4, key=self._secret)
            place = self._places[tag] = int.from_bytes(drawn, "little") / 2**32
        return place < share


class Meeting:
    """How much of the small mail of two who meet was new to one of them: what a relay learns of."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._until = -float("inf")  # it is counted until then, if the meeting is a fresh one
        self._new = self._union = 0

    def begin(self, key: bytes, shelf: Shelf, now: float) -> None:
        """With this node key, holding what is on the shelf. ``now``: monotonic seconds."""
        if self._relay.meets(key, now):
            self._until = now + FRESH_LOOK_S
            self._union = shelf.count_small()

    def new_to_them(self, now: float) -> None:
        """They ask for a small envelope of ours."""
        self._new += now < self._until

    def new_to_us(self, now: float) -> None:
        """We ask for a small envelope of theirs."""
        self._new += now < self._until
        self._union += now < self._until

    def look(self, now: float) -> None:
        """Let the relay know, once that is over."""
        if now >= self._until:
            self.end()

    def end(self) -> None:
        """The same, at once: the link is gone."""
        if self._union:
            self._relay.met(self._new, self._union)
            self._union = 0
