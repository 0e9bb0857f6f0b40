"""Tables of files: whole ones, and those under way with their pieces.

A part of ``SqlStore``; the contract is ``meshchat.core.ports.FileStore``.
"""

from meshchat.core.model import Manifest, OpenFile
from meshchat.database import Database, Row
from meshchat.text import Clean

_EID_BYTES = 16  # of an envelope id
_MARKS_BYTES = 8  # one bit for each of at most 64 chunks


class FileTables:
    """Files of one profile."""

    _db: Database

    def save_file(self, mid: bytes, data: bytes) -> None:
        self._db.write("INSERT OR REPLACE INTO files (mid, data) VALUES (?, ?)", mid, data)

    def file(self, mid: bytes) -> bytes | None:
        row = self._db.row("SELECT data FROM files WHERE mid = ?", mid)
        if row:
            data: bytes = row[0]
            return data
        if self._db.row("SELECT 1 FROM open_files WHERE mid = ?", mid):
            return None
        return b"".join(self.pieces(mid)) or None

    def drop_file(self, mid: bytes) -> None:
        self._db.write("DELETE FROM files WHERE mid = ?", mid)
        self._db.write(
            """DELETE FROM pieces WHERE mid = ?
            AND NOT EXISTS (SELECT 1 FROM open_files o WHERE o.mid = pieces.mid)""",
            mid,
        )

    def save_open_file(self, file: OpenFile) -> None:
        known = file.manifest
        self._db.write(
            """INSERT INTO open_files (mid, contact, outgoing, key, size, hash, name,
                chunks, marks, token, exp_h)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (mid) DO UPDATE SET
                contact = excluded.contact, outgoing = excluded.outgoing, key = excluded.key,
                size = excluded.size, hash = excluded.hash,
                name = excluded.name, chunks = excluded.chunks, marks = excluded.marks,
                token = excluded.token, exp_h = excluded.exp_h""",
            *(file.mid, file.contact, file.outgoing),
            *(known.key, known.size, known.hash, known.name),
            *(b"".join(known.chunks), file.marks.to_bytes(_MARKS_BYTES, "little")),
            *(file.token, file.exp_h),
        )

    def open_files(self) -> list[OpenFile]:
        rows = self._db.rows(
            """SELECT mid, contact, outgoing, key, size, hash, name, chunks, marks, token,
                exp_h FROM open_files ORDER BY no"""
        )
        return [_open_file(row) for row in rows]

    def drop_open_file(self, mid: bytes) -> None:
        self._db.write("DELETE FROM open_files WHERE mid = ?", mid)
        self._db.write("DELETE FROM pieces WHERE mid = ?", mid)

    def save_piece(self, mid: bytes, index: int, data: bytes) -> None:
        row = (mid, index, data)
        self._db.write("INSERT OR REPLACE INTO pieces (mid, place, data) VALUES (?, ?, ?)", *row)

    def close_file(self, mid: bytes) -> None:
        self._db.write("DELETE FROM open_files WHERE mid = ?", mid)

    def pieces(self, mid: bytes) -> list[bytes]:
        rows = self._db.rows("SELECT data FROM pieces WHERE mid = ? ORDER BY place", mid)
        return [row[0] for row in rows]


def _open_file(row: Row) -> OpenFile:
    mid, contact, outgoing, key, size, checksum, name, ids, marks, token, exp_h = row
    chunks = tuple(ids[at : at + _EID_BYTES] for at in range(0, len(ids), _EID_BYTES))
    return OpenFile(
        mid=mid,
        contact=contact,
        outgoing=bool(outgoing),
        manifest=Manifest(key, size, Clean.line(name, len(name)), checksum, chunks),
        marks=int.from_bytes(marks, "little"),
        token=token,
        exp_h=exp_h,
    )
