"""What a store keeps of envelopes and proofs."""

from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

from meshchat.core.model import Expired, Fate, Gone, Held, Kind, Outline, Partial, Proof, Usage


class CustodyStore(Protocol):
    """Envelopes we hold, proofs, and transfers that were cut."""

    # --- custody ---
    def known(self, ids: Sequence[bytes]) -> set[bytes]:
        """Which of these (at most 1,024) are ids of envelopes ever seen or ``done`` of proofs."""
        ...

    def add_envelopes(self, held: Iterable[Held], at: float, tried: Collection[bytes] = ()) -> None:
        """Take custody. An id that is known already is left as it is.

        ``tried``: ids of those of kind CARRIED that need not be checked any more.
        """
        ...

    def add_refused(self, eid: bytes, exp_h: int) -> None:
        """Remember an id we do not want again."""
        ...

    def envelope(self, eid: bytes) -> Held | None:
        """With its data, or None if we do not hold it (any more)."""
        ...

    def envelope_data(self, eid: bytes) -> bytes | None:
        """The data alone."""
        ...

    def fate(self, eid: bytes) -> Fate | None:
        """None: never seen."""
        ...

    def holder_of(self, done: bytes) -> Outline | None:
        """The envelope ever seen (held or not) whose ``done`` is this."""
        ...

    def holders_of(self, dones: Sequence[bytes]) -> dict[bytes, Outline]:
        """The same for several; those with an answer."""
        ...

    def offered(self, now_h: int) -> list[tuple[bytes, int]]:
        """``(id, size class)`` of every envelope held with ``exp_h > now_h``, small classes
        first, then oldest first: what was written first arrives first."""
        ...

    def untried(self, limit: int) -> list[Held]:
        """Held, and not yet checked for being addressed to us; oldest first."""
        ...

    def count_untried(self) -> int: ...

    def tried(self, eids: Iterable[bytes], kind: Kind) -> list[bool]:
        """Record the check's outcome; for each of these that is held, whether it had waited."""
        ...

    def retry_all(self) -> None:
        """Check every held envelope of kind CARRIED again (a new key is known)."""
        ...

    def seek(self, eids: Sequence[bytes]) -> None:
        """These (at most 64) are wanted now: check those held of kind CARRIED again, and forget
        those that had to make room (EVICTED, REFUSED), so that they are asked for again."""
        ...

    def drop_envelopes(self, eids: Iterable[bytes], fate: Fate) -> list[Gone]:
        """Destroy the data, keep the id; returns those that were held."""
        ...

    def usage(self) -> list[Usage]:
        """Of what is held now, by class, origin and kind, in order of first arrival."""
        ...

    def evictable(
        self, *, origin: bytes | None, size_classes: Sequence[int], limit: int
    ) -> list[tuple[bytes, int, int, int]]:
        """``(id, size class, exp_h, stamp)`` of CARRIED envelopes, worst first: lowest stamp, then
        least life left, then the oldest; of one origin or of all."""
        ...

    def expire(self, now_h: int) -> Expired:
        """Destroy the data of held envelopes with ``exp_h <= now_h``, forget proofs with
        ``exp_h + 1 <= now_h``; returns both. Also forgets ids with ``exp_h + 1 <= now_h``, and ids
        beyond the cap, soonest expiry first."""
        ...

    # --- delivery proofs ---
    def add_proof(self, proof: Proof) -> bool:
        """False if it was known."""
        ...

    def proof(self, done: bytes) -> Proof | None: ...

    def released(self, wall: float) -> list[bytes]:
        """``done`` of every proof with ``release_at <= wall``, and of every one due so far ahead
        (over ``RELEASE_AHEAD_MAX_S``) that the clock must have been set back."""
        ...

    def count_proofs(self) -> int: ...

    # --- transfers cut in their middle ---
    def save_partial(self, partial: Partial) -> None:
        """At most 64 are kept, the oldest goes first."""
        ...

    def partials(self) -> list[bytes]:
        """Ids of all that are kept."""
        ...

    def partial(self, eid: bytes) -> Partial | None: ...

    def drop_partial(self, eid: bytes) -> None: ...
