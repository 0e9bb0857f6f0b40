"""Transactions over plain Python data, for a store in memory."""

from types import TracebackType
from typing import Any, Self, TypeVar

from meshchat.database import FULL, NO_TRANSACTION
from meshchat.errors import StoreError

K = TypeVar("K")
V = TypeVar("V")

_MISSING: Any = object()


class Journal:
    """All or nothing for plain Python data: each change notes how it is undone.

    The object is its own transaction, so that an empty one costs next to nothing. An undo is
    the change turned round; it puts back values, and whatever has an order is kept so that the
    order can be found again.
    """

    __slots__ = ("__weakref__", "_log", "full")

    def __init__(self) -> None:
        self._log: list[tuple[Any, ...]] | None = None  # (function, *arguments); None: outside
        self.full = False
        """While True, a transaction that changed something fails like one on a full disk."""

    def transaction(self) -> Self:
        return self

    def savepoint(self) -> "_Savepoint":
        return _Savepoint(self)

    def __enter__(self) -> None:
        if self._log is not None:
            raise StoreError("nested_transaction")
        self._log = []

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._log:
            failed = kind is None and self.full
            if failed or kind is not None:
                self._undo(0)
            if failed:
                self._log = None
                raise StoreError(*FULL)
            if kind is None:
                self._kept()
        self._log = None

    def _kept(self) -> None:
        """The transaction changed something, and stands."""

    def _changes(self) -> list[tuple[Any, ...]]:
        """Where to note how to undo what is about to be changed."""
        if self._log is None:
            raise StoreError(*NO_TRANSACTION)
        return self._log

    def _undo(self, mark: int) -> None:
        log = self._changes()
        while len(log) > mark:
            undo, *given = log.pop()
            undo(*given)

    def _put(self, table: dict[K, V], key: K, value: V) -> None:
        """Change a dict whose order means nothing."""
        self._changes().append((_restore, table, key, table.get(key, _MISSING)))
        table[key] = value

    def _drop(self, table: dict[K, V], key: K) -> None:
        """Take out of a dict whose order means nothing; what is not there stays away."""
        log = self._changes()
        old = table.pop(key, _MISSING)
        if old is not _MISSING:
            log.append((_restore, table, key, old))


class _Savepoint:
    __slots__ = ("_journal", "_mark")

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def __enter__(self) -> None:
        self._mark = len(self._journal._changes())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._journal._undo(self._mark)


def _restore(table: dict[Any, Any], key: object, old: object) -> None:
    if old is _MISSING:
        del table[key]
    else:
        table[key] = old
