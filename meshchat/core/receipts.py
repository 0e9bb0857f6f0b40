"""Receipts of ours: who gets one, and after which delay the rest of the mesh may know."""

from dataclasses import dataclass

from meshchat.core.contacts import People
from meshchat.core.custody import Custody
from meshchat.core.limits import RECEIPT_DELAY_S
from meshchat.core.model import Now, Proof
from meshchat.core.ports import Entropy


@dataclass(frozen=True, slots=True)
class Receipt:
    """A proof we may release, and whom it tells first."""

    proof: Proof
    author: bytes


class Receipts:
    """The rule: only friends, only if our user wants it, never at once to everybody."""

    def __init__(self, entropy: Entropy, people: People, custody: Custody, enabled: bool) -> None:
        self._entropy = entropy
        self._people = people
        self._custody = custody
        self._enabled = enabled

    def give(self, author: bytes, token: bytes, exp_h: int, now: Now) -> list[Receipt]:
        """The receipt for an envelope of ``author`` that ends at ``exp_h``, if one is due.

        None is for an empty token, for a stranger, or if it was given before.
        """
        if not token or not self._enabled or not self._people.is_friend(author):
            return []
        proven = self._custody.holder_of(token)
        kept = self._custody.prove(token, proven, exp_h, now, now.wall + self._delay_s())
        return [Receipt(kept, author)] if kept else []

    def _delay_s(self) -> float:
        low, high = RECEIPT_DELAY_S
        return low + (high - low) * int.from_bytes(self._entropy.bytes(2), "little") / 65_535
