"""Tables of files: whole ones, and those under way with their pieces.

A part of ``SqlStore``; the contract is ``meshchat.core.ports.FileStore``.
"""

from collections.abc import Iterable

from meshchat.core.envelope import inner_of
from meshchat.core.model import Manifest, OpenFile, Piece
from meshchat.custody_tables import CustodyTables
from meshchat.database import Row
from meshchat.text import Clean

_EID_BYTES = 16  # of an envelope id
_MARKS_BYTES = 8  # one bit for each of at most 64 chunks
_SKIP_BYTES = 2  # how much of an inner is before the piece


class FileTables(CustodyTables):
    """Files of one profile."""

    def save_file(self, mid: bytes, data: bytes) -> None:
        self._db.write("INSERT OR REPLACE INTO files (mid, data) VALUES (?, ?)", mid, data)

    def file(self, mid: bytes) -> bytes | None:
        row = self._db.row("SELECT data FROM files WHERE mid = ?", mid)
        if row:
            data: bytes = row[0]
            return data
        if self._db.row("SELECT 1 FROM open_files WHERE mid = ? AND NOT outgoing", mid):
            return None
        return b"".join(self.pieces(mid)) or None

    def drop_file(self, mid: bytes) -> None:
        self._db.write("DELETE FROM files WHERE mid = ?", mid)
        if not self._db.row("SELECT 1 FROM open_files WHERE mid = ?", mid):
            self.drop_pieces(mid)

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
        self.drop_pieces(mid)

    def save_pieces(self, mid: bytes, pieces: Iterable[Piece]) -> None:
        """An envelope that is held is not written again: a piece is where to find it, and a key."""
        for piece in self._not_saved(mid, list(pieces)):
            self._drop_pieces("mid = ? AND place = ?", mid, piece.place)
            body = self.body_of(piece.eid, piece.data)
            row = (mid, piece.place, _opens(piece), body)
            self._db.write("INSERT INTO pieces (mid, place, data, body) VALUES (?, ?, ?, ?)", *row)

    def _not_saved(self, mid: bytes, pieces: list[Piece]) -> list[Piece]:
        """Save what can be at one go, as nearly all can; the rest of them."""
        saved = self._db.write_many(
            """INSERT INTO pieces (mid, place, data, body)
            SELECT ?, ?, ?, id FROM envelopes WHERE eid = ? AND lot IS NOT NULL
            ON CONFLICT DO NOTHING""",
            [(mid, piece.place, _opens(piece), piece.eid) for piece in pieces],
        )
        return [] if saved == len(pieces) else pieces

    def close_file(self, mid: bytes) -> None:
        self._db.write("DELETE FROM open_files WHERE mid = ?", mid)

    def pieces(self, mid: bytes) -> list[bytes]:
        rows = self._db.rows(
            """SELECT p.data, b.data FROM pieces p LEFT JOIN bodies b ON b.id = p.body
            WHERE p.mid = ? ORDER BY p.place""",
            mid,
        )
        return [_piece(*row) for row in rows]

    def drop_pieces(self, mid: bytes) -> None:
        """Destroy what is kept of a file, but not what is held for others as well."""
        self._drop_pieces("mid = ?", mid)

    def _drop_pieces(self, where: str, *which: object) -> None:
        bodies = self._db.rows(f"SELECT body FROM pieces WHERE {where}", *which)
        if bodies:
            self._db.write(f"DELETE FROM pieces WHERE {where}", *which)
            self.doom_bodies([body for (body,) in bodies if body is not None])


def _opens(piece: Piece) -> bytes:
    return piece.key + piece.skip.to_bytes(_SKIP_BYTES, "little")


def _piece(data: bytes, envelope: bytes | None) -> bytes:
    if envelope is None:  # from before pieces stayed in their envelopes
        return data
    key, skip = data[:-_SKIP_BYTES], int.from_bytes(data[-_SKIP_BYTES:], "little")
    return inner_of(envelope, key)[skip:]


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
