"""What the core needs from outside: a store and a source of randomness.

Two implementations of each exist: SQLCipher and in-memory; the system's and a
seeded one. Every call is synchronous. Writes happen inside the transaction the
driver opened; if that fails, the driver drops the Node and builds a new one
from the store, the same path as after a crash.
"""

from contextlib import AbstractContextManager
from typing import Protocol

from meshchat.core.ports.custody import CustodyStore
from meshchat.core.ports.files import FileStore
from meshchat.core.ports.groups import GroupStore
from meshchat.core.ports.messages import MessageStore
from meshchat.core.ports.people import PeopleStore


class Entropy(Protocol):
    """Cryptographic randomness; the simulator's is seeded."""

    def bytes(self, n: int) -> bytes:
        """Return ``n`` random bytes."""
        ...


class Store(PeopleStore, GroupStore, MessageStore, FileStore, CustodyStore, Protocol):
    """Durable state of one profile. Raises ``StoreError`` and nothing else of its own.

    Text of others is given back as ``Clean``.
    """

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing, durable on exit. Not nestable."""
        ...

    def savepoint(self) -> AbstractContextManager[None]:
        """Inside a transaction: undo only this part if the body raises."""
        ...

    def close(self) -> None: ...

    # --- single values: seed, own name, counters ---
    def get(self, key: str) -> bytes | None: ...

    def put(self, key: str, value: bytes) -> None: ...
