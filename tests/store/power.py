"""A disk whose power can be cut: every write is logged, and what was not synced survives by chance.

``Log`` is a VFS of apsw's sqlite3mc build, which writes the very format of SQLCipher 4. One run on
it gives a list of writes and syncs; ``image`` makes of any place in that list what a disk could
hold if the power went there. The shipped store, over the shipped SQLCipher, then opens that.
"""

import itertools
import random
from typing import Any, NamedTuple

import apsw

from meshchat.database import _SETTINGS, Database
from meshchat.errors import StoreError

SECTOR_BYTES = 512  # torn no finer than that
_numbers = itertools.count(1)


class Op(NamedTuple):
    """One thing that happened: ``write``, ``truncate``, ``sync``, ``delete`` or ``commit``."""

    what: str
    file: str
    at: int = 0
    data: bytes = b""


class Log(apsw.VFS):
    """Files in memory, and everything that was done to them, in order."""

    def __init__(self) -> None:
        self.vfs = f"log{next(_numbers)}"
        self.ops: list[Op] = []
        self.files: dict[str, bytearray] = {}
        super().__init__(self.vfs, "")

    def note(self, what: str, file: str = "", at: int = 0, data: bytes = b"") -> None:
        self.ops.append(Op(what, file, at, data))

    def xOpen(self, name: Any, flags: Any) -> "_File":
        path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        flags[1] = flags[0]
        return _File(self, path)

    def xDelete(self, name: str, syncdir: bool) -> None:
        self.files.pop(name, None)
        self.note("delete", name)

    def xAccess(self, name: str, flags: int) -> bool:
        return name in self.files

    def xFullPathname(self, name: str) -> str:
        return name


class _File:
    """One open file."""

    def __init__(self, log: Log, name: str) -> None:
        self._log, self._name = log, name
        self._data = log.files.setdefault(name, bytearray())

    def xRead(self, amount: int, at: int) -> bytes:
        return bytes(self._data[at : at + amount])

    def xWrite(self, data: bytes, at: int) -> None:
        if len(self._data) < at:
            self._data.extend(bytes(at - len(self._data)))
        self._data[at : at + len(data)] = data
        self._log.note("write", self._name, at, bytes(data))

    def xTruncate(self, size: int) -> None:
        del self._data[size:]
        self._log.note("truncate", self._name, size)

    def xSync(self, flags: int) -> None:
        self._log.note("sync", self._name)

    def xFileSize(self) -> int:
        return len(self._data)

    def xClose(self) -> None: ...

    def xLock(self, level: int) -> None: ...

    def xUnlock(self, level: int) -> None: ...

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, op: int, pointer: int) -> bool:
        return False

    def xSectorSize(self) -> int:
        return SECTOR_BYTES

    def xDeviceCharacteristics(self) -> int:
        return 0  # promises nothing


def image(ops: list[Op], cut: int, chance: random.Random) -> dict[str, bytes]:
    """What could be on the disk, by file, if the power went before ``ops[cut]``."""
    synced = {op.file: place for place, op in enumerate(ops[:cut]) if op.what == "sync"}
    files: dict[str, bytearray] = {}
    for place, op in enumerate(ops[:cut]):
        sure = place <= synced.get(op.file, -1)
        data = files.setdefault(op.file, bytearray())
        if op.what == "delete":
            del files[op.file]
        elif op.what == "truncate" and (sure or chance.random() < 0.5):
            del data[op.at :]
        elif op.what == "write":
            for start in range(0, len(op.data), SECTOR_BYTES):
                if sure or chance.random() < 0.5:
                    piece, at = op.data[start : start + SECTOR_BYTES], op.at + start
                    if len(data) < at:
                        data.extend(bytes(at - len(data)))
                    data[at : at + len(piece)] = piece
    files.pop("", None)
    return {name: bytes(data) for name, data in files.items()}


class LoggedDatabase(Database):
    """The shipped ``Database``, its connection on a ``Log``."""

    def __init__(self, log: Log, key: bytes, synchronous: str = "") -> None:
        """``synchronous``: another than the shipped setting."""
        self._log = log
        self.undone, self.waiting = [], []
        self._db = apsw.Connection("store", vfs=f"multipleciphers-{log.vfs}")
        for cipher in ("cipher = 'sqlcipher'", "legacy = 4", f"key = \"x'{key.hex()}'\""):
            self._run(f"PRAGMA {cipher}")
        self._run("PRAGMA locking_mode = EXCLUSIVE")
        for setting in _SETTINGS:
            self._run(f"PRAGMA {setting}")
        if synchronous:
            self._run(f"PRAGMA synchronous = {synchronous}")

    def _execute(self, sql: str, params: tuple[Any, ...]) -> "Finished":
        try:
            rows = list(self._db.execute(sql, params))
        except apsw.Error as error:
            raise StoreError("failed", str(error)) from error
        return Finished(rows, self._db.changes(), self._db.last_insert_rowid())

    def write_many(self, sql: str, rows: Any) -> int:
        self.need_transaction()
        before = self._db.total_changes()
        self._db.executemany(sql, rows)
        return int(self._db.total_changes() - before)


class Finished(NamedTuple):
    """What a cursor of the shipped database tells after its statement."""

    rows: list[tuple[Any, ...]]
    rowcount: int
    lastrowid: int

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.rows
