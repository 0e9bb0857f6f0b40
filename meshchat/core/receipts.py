"""Receipts of ours: who gets one, and after which delay the rest of the mesh may know."""

import struct

from msgspec import Struct

from meshchat.core.contacts import People
from meshchat.core.custody import Custody, hours
from meshchat.core.envelope import done_of
from meshchat.core.limits import RECEIPT_DELAY_S, REQUEST_MESSAGES_MAX
from meshchat.core.model import Now, Proof
from meshchat.core.ports import Entropy, Store

_OWED = struct.Struct("<16sI")


def _owed(author: bytes) -> str:
    return f"owed:{author.hex()}"


def delay_s(entropy: Entropy) -> float:
    """How long a receipt waits: one that comes at once tells a watcher who is where."""
    low, high = RECEIPT_DELAY_S
    return low + (high - low) * int.from_bytes(entropy.bytes(2), "little") / 65_535


class Receipt(Struct, frozen=True):
    """A proof we may release, and whom it tells first."""

    proof: Proof
    author: bytes


class Receipts:
    """The rule: only friends, only if our user wants it, never at once to everybody."""

    def __init__(
        self, store: Store, entropy: Entropy, people: People, custody: Custody, enabled: bool
    ) -> None:
        self._store = store
        self._entropy = entropy
        self._people = people
        self._custody = custody
        self._enabled = enabled

    def give(self, author: bytes, token: bytes, exp_h: int, now: Now) -> list[Receipt]:
        """The receipt for an envelope of ``author`` that ends at ``exp_h``, if one is due.

        None is for an empty token, for a stranger, or if it was given before.
        """
        if not token or not self._enabled:
            return []
        if not self._people.is_friend(author):
            self._owe(author, token, exp_h)
            return []
        done = done_of(token)
        at = now.wall + delay_s(self._entropy)
        kept = self._custody.prove(token, done, self._custody.holder_of(done), exp_h, now, at)
        return [Receipt(kept, author)] if kept else []

    def _owe(self, author: bytes, token: bytes, exp_h: int) -> None:
        """Keep what a stranger's message is confirmed with: it cannot be opened again."""
        key = _owed(author)
        owed = self._store.get(key) or b""
        if any(token == known for known, _ in _OWED.iter_unpack(owed)):
            return
        owed += _OWED.pack(token, exp_h)
        self._store.put(key, owed[-REQUEST_MESSAGES_MAX * _OWED.size :])

    def settle(self, author: bytes, now: Now) -> list[Receipt]:
        """The receipts for what somebody wrote before they were a friend."""
        owed = self._store.get(_owed(author)) or b""
        if not owed:
            return []
        self._store.put(_owed(author), b"")
        live = [
            (token, exp_h) for token, exp_h in _OWED.iter_unpack(owed) if exp_h > hours(now.wall)
        ]
        return [receipt for pair in live for receipt in self.give(author, *pair, now)]
