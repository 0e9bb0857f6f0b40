"""One encrypted SQLite connection: settings, transactions, errors. Knows no tables.

Every way the file can fail comes out as a ``StoreError`` with one of the reasons
``locked``, ``wrong_key``, ``corrupt``, ``full``, ``io``, ``read_only``,
``cannot_open``, ``rolled_back``, ``no_transaction``, ``nested_transaction`` or
``failed``.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol, Self

from sqlcipher3 import dbapi2 as sqlcipher

from meshchat.errors import StoreError
from meshchat.i18n import N_

KEY_BYTES = 32  # raw SQLCipher key: no passphrase stretching here, keyfile.py does that
BUSY_SECONDS = 1.0  # another process holds a profile for good, so waiting longer is useless
CHECKPOINT_PAGES = 4_000  # backstop of 16 MB; normally the driver checkpoints when idle
CACHE_KIB = 16_384  # the random id indexes of a week's envelopes fit; small boards can spare it
STATEMENTS_MAX_COUNT = 256  # more than the store has, so nothing is compiled twice

Row = tuple[Any, ...]

_SETTINGS = (
    "journal_mode = WAL",
    "synchronous = FULL",  # NORMAL lost acknowledged commits in a power cut (security.md 5)
    "fullfsync = ON",  # macOS: fsync alone does not reach the platter; ignored elsewhere
    "checkpoint_fullfsync = ON",
    "secure_delete = ON",  # a destroyed key must not stay in a free page
    "temp_store = MEMORY",
    "foreign_keys = ON",
    f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
    f"cache_size = -{CACHE_KIB}",
)

FULL = ("full", N_("The disk is full. Free some space; nothing saved is lost."))
NO_TRANSACTION = ("no_transaction", N_("A write outside a transaction was refused."))

_REASONS = {  # primary result code: reason and what to tell the user
    sqlcipher.SQLITE_BUSY: (
        "locked",
        N_("This profile is in use. Close the other meshchat first."),
    ),
    sqlcipher.SQLITE_LOCKED: (
        "locked",
        N_("This profile is in use. Close the other meshchat first."),
    ),
    sqlcipher.SQLITE_CORRUPT: ("corrupt", N_("The store of this profile is damaged.")),
    sqlcipher.SQLITE_NOTADB: ("wrong_key", N_("The key does not fit the store of this profile.")),
    sqlcipher.SQLITE_FULL: FULL,
    sqlcipher.SQLITE_IOERR: ("io", N_("The disk does not read or write. Check it and try again.")),
    sqlcipher.SQLITE_READONLY: (
        "read_only",
        N_("The profile cannot be written. Check its folder."),
    ),
    sqlcipher.SQLITE_PERM: ("cannot_open", N_("The profile cannot be opened. Check its folder.")),
    sqlcipher.SQLITE_CANTOPEN: (
        "cannot_open",
        N_("The profile cannot be opened. Check its folder."),
    ),
}


class Waiting(Protocol):
    """Changes that are written at the end of a transaction: many cost little more than one.

    Whoever reads the tables concerned calls ``write`` first.
    """

    def write(self) -> None:
        """Write what waits; inside a transaction."""

    def mark(self) -> Any:
        """What waits now, for ``back``."""

    def back(self, mark: Any | None) -> None:
        """The tables went back to where they were at ``mark``; None: the transaction is over."""


def _explained(error: Exception) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the low byte is the primary code
    return StoreError(*_REASONS.get(code, ("failed", N_(f"The store failed: {error}."))))


class Database:
    """A connection in autocommit mode; writing needs an explicit transaction."""

    def __init__(self, target: str, key: bytes | None) -> None:
        """``target`` is a path or ``:memory:``; without a ``key`` nothing is encrypted."""
        try:
            self._db = sqlcipher.connect(
                target,
                isolation_level=None,
                cached_statements=STATEMENTS_MAX_COUNT,
                timeout=BUSY_SECONDS,
            )
        except sqlcipher.Error as error:
            raise _explained(error) from error
        self.undone: list[Callable[[], None]] = []
        """Called whenever changes were undone: whoever remembers what is in the tables forgets."""
        self.waiting: list[Waiting] = []
        """What is written at the end of a transaction, in this order."""
        try:
            if key is not None:
                self._run(f"PRAGMA key = \"x'{key.hex()}'\"")  # has to be the first statement
                self._run("PRAGMA cipher_log_level = NONE")  # it would print over the screen
            # One process per profile. Before the first read, which would otherwise make a
            # shared-memory file: impossible on a full disk.
            self._run("PRAGMA locking_mode = EXCLUSIVE")
            self._run("SELECT count(*) FROM sqlite_master")  # a wrong key fails here
            for setting in _SETTINGS:
                self._run(f"PRAGMA {setting}")
        except StoreError:
            self._db.close()
            raise

    @classmethod
    def open(cls, path: Path, key: bytes) -> Self:
        """Open or create an encrypted file that only its owner can read.

        Raises:
            StoreError: ``wrong_key``, ``locked``, ``cannot_open`` and the like.
        """
        if len(key) != KEY_BYTES:
            raise StoreError("wrong_key", "The key of this profile is not complete.")
        try:
            path.touch(mode=0o600)  # SQLite gives the -wal file the same mode
        except OSError as error:
            text = N_(f"The profile cannot be opened ({error.strerror}). Check its folder.")
            raise StoreError("cannot_open", text) from error
        return cls(str(path), key)

    def _execute(self, sql: str, params: Row) -> Any:
        """A cursor; errors as they come."""
        return self._db.execute(sql, params)

    def _run(self, sql: str, params: Row = ()) -> list[Row]:
        try:
            rows: list[Row] = self._execute(sql, params).fetchall()
        except sqlcipher.Error as error:
            raise _explained(error) from error
        return rows

    def rows(self, sql: str, *params: object) -> list[Row]:
        """All rows of a query."""
        return self._run(sql, params)

    def row(self, sql: str, *params: object) -> Row | None:
        """The first row of a query, or None."""
        rows = self._run(sql, params)
        return rows[0] if rows else None

    def value(self, sql: str, *params: object) -> Any:
        """The only value of a query that always has one row."""
        return self._run(sql, params)[0][0]

    def stream(self, sql: str, *params: object) -> Iterator[Row]:
        """Rows one by one; to be used up or dropped before the next write."""
        try:
            yield from self._db.execute(sql, params)
        except sqlcipher.Error as error:
            raise _explained(error) from error

    def write(self, sql: str, *params: object) -> list[Row]:
        """Change something inside a transaction; returns what ``RETURNING`` gives."""
        self.need_transaction()
        return self._run(sql, params)

    def insert(self, sql: str, *params: object) -> int:
        """Insert one row inside a transaction; its number, or 0 if it was there already.

        Quicker than ``RETURNING``, for which SQLite makes a table of its own.
        """
        self.need_transaction()
        try:
            done = self._execute(sql, params)
        except sqlcipher.Error as error:
            raise _explained(error) from error
        return (done.lastrowid or 0) if done.rowcount else 0

    def change(self, sql: str, *params: object) -> int:
        """Change something inside a transaction; returns how many rows were."""
        self.need_transaction()
        try:
            count: int = self._execute(sql, params).rowcount
        except sqlcipher.Error as error:
            raise _explained(error) from error
        return count

    def write_many(self, sql: str, rows: Iterable[Row]) -> int:
        """The same change for each row, inside a transaction; returns how many rows were."""
        self.need_transaction()
        try:
            count: int = self._db.executemany(sql, rows).rowcount
        except sqlcipher.Error as error:
            raise _explained(error) from error
        return count

    @property
    def in_transaction(self) -> bool:
        """Whether changes are being made."""
        return bool(self._db.in_transaction)

    def need_transaction(self) -> None:
        """Raises ``StoreError`` outside of one; for writers that may find nothing to write."""
        if not self._db.in_transaction:  # never begun, or SQLite undid it on a full disk
            raise StoreError(*NO_TRANSACTION)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, on disk when left. Not nestable."""
        if self._db.in_transaction:
            raise StoreError("nested_transaction")
        self._run("BEGIN IMMEDIATE")
        kept = False
        try:
            yield
            if not self._db.in_transaction:  # the body swallowed a failed write
                raise StoreError("rolled_back", "A failed write undid the transaction.")
            for each in self.waiting:
                each.write()
            self._run("COMMIT")
            kept = True
        finally:
            if self._db.in_transaction:
                self._run("ROLLBACK")
            for each in self.waiting:
                each.back(None)
            if not kept:
                self._forget()

    @contextlib.contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo only this part of the transaction if the body raises."""
        self.need_transaction()
        marks = [each.mark() for each in self.waiting]
        self._run("SAVEPOINT part")
        kept = False
        try:
            yield
            kept = True
        finally:
            if self._db.in_transaction:  # not after SQLite undid everything by itself
                if not kept:
                    self._run("ROLLBACK TO part")
                self._run("RELEASE part")
            if not kept:
                for each, mark in zip(self.waiting, marks, strict=True):
                    each.back(mark)
                self._forget()

    def _forget(self) -> None:
        for forget in self.undone:
            forget()

    def checkpoint(self, mode: str) -> None:
        """Copy the write-ahead log back into the file; ``PASSIVE`` or ``TRUNCATE``."""
        self._run(f"PRAGMA wal_checkpoint({mode})")

    def problems(self) -> list[str]:
        """What SQLite and SQLCipher find wrong with the file; reads all of it."""
        found: list[str] = []
        for check in ("integrity_check", "cipher_integrity_check", "foreign_key_check"):
            try:
                found += [" ".join(map(str, row)) for row in self._run(f"PRAGMA {check}")]
            except StoreError as error:
                found.append(f"{check}: {error}")
        return [text for text in found if text != "ok"]

    def close(self) -> None:
        """Empty the log and close; closing twice is fine."""
        try:
            self._db.close()
        except sqlcipher.Error as error:
            raise _explained(error) from error


class Rows:
    """Rows that one statement writes at the end of a transaction."""

    def __init__(self, db: Database, sql: str) -> None:
        self._db = db
        self._sql = sql
        self._rows: list[Row] = []
        db.waiting.append(self)

    def add(self, row: Row) -> None:
        """Write this later."""
        self._db.need_transaction()
        self._rows.append(row)

    def write(self) -> None:
        if self._rows:
            rows, self._rows = self._rows, []
            self._db.write_many(self._sql, rows)

    def mark(self) -> list[Row]:
        return self._rows.copy()

    def back(self, mark: list[Row] | None) -> None:
        self._rows = mark or []
