"""The part of ``MemoryStore`` that holds files; answers as ``FileTables`` does."""

from collections.abc import Iterable

from msgspec import structs

from meshchat.core.envelope import inner_of
from meshchat.core.model import OpenFile, Piece
from meshchat.sim.memory_people import MemoryPeople
from meshchat.sim.memory_proofs import by_number
from meshchat.sim.pool import Pool
from meshchat.text import Clean


class MemoryFiles(MemoryPeople):
    """Whole files, and those under way with their pieces."""

    __slots__ = (
        "_files",
        "_open_files",
        "_pieces",
    )

    def __init__(self, pool: Pool | None = None) -> None:
        super().__init__(pool)
        self._files: dict[bytes, bytes] = {}
        self._open_files: dict[bytes, tuple[int, OpenFile]] = {}  # with its place
        self._pieces: dict[bytes, dict[int, bytes]] = {}

    def save_file(self, mid: bytes, data: bytes) -> None:
        self._put(self._files, mid, data)

    def file(self, mid: bytes) -> bytes | None:
        data = self._files.get(mid)
        open_file = self._open_files.get(mid)
        if data is None and (open_file is None or open_file[1].outgoing):
            data = b"".join(self.pieces(mid)) or None
        return data

    def drop_file(self, mid: bytes) -> None:
        self._drop(self._files, mid)
        if mid not in self._open_files:
            self._drop(self._pieces, mid)

    def save_open_file(self, file: OpenFile) -> None:
        name = file.manifest.name
        clean = Clean.line(str(name), len(name))
        if type(name) is not Clean or clean != name:
            manifest = structs.replace(file.manifest, name=clean)
            file = structs.replace(file, manifest=manifest)
        old = self._open_files.get(file.mid)
        self._put(self._open_files, file.mid, (old[0] if old else self._number(), file))

    def open_files(self) -> list[OpenFile]:
        return [file for _, file in sorted(self._open_files.values(), key=by_number)]

    def drop_open_file(self, mid: bytes) -> None:
        self._drop(self._open_files, mid)
        self._drop(self._pieces, mid)

    def save_pieces(self, mid: bytes, pieces: Iterable[Piece]) -> None:
        self._changes()
        known = self._pieces.get(mid)
        for piece in pieces:
            if known is None:
                known = {}
                self._put(self._pieces, mid, known)
            self._put(known, piece.place, inner_of(piece.data, piece.key)[piece.skip :])

    def close_file(self, mid: bytes) -> None:
        self._drop(self._open_files, mid)

    def pieces(self, mid: bytes) -> list[bytes]:
        pieces = self._pieces.get(mid, {})
        return [pieces[index] for index in sorted(pieces)]
