"""Pieces of friends' files from their coming to the end of the step, and the hashes of the files.

A step writes all that came in it at once. A hash goes on as pieces come in order, as nearly all do;
what came in another order, or before a restart, is read again when the file is whole.
"""

from typing import Any

from meshchat.core.custody import Custody
from meshchat.core.model import Piece
from meshchat.core.ports import Store
from meshchat.core.sealed import file_hash, file_hasher


class Pieces:
    """Those of one node."""

    def __init__(self, store: Store, custody: Custody) -> None:
        self._store = store
        self._custody = custody
        self._fresh: dict[bytes, list[Piece]] = {}
        self._sums: dict[bytes, tuple[int, Any]] = {}  # by message: how many, and their hash so far

    def add(self, mid: bytes, piece: Piece, data: bytes) -> None:
        """A piece came, with ``data`` in it; it was not here before."""
        self._fresh.setdefault(mid, []).append(piece)
        count, checksum = self._sums.get(mid) or (0, file_hasher())
        if piece.place == count:
            checksum.update(data)
            self._sums[mid] = (count + 1, checksum)

    def checksum(self, mid: bytes, count: int) -> bytes:
        """The hash of a file whose ``count`` pieces are all here."""
        hashed, checksum = self._sums.pop(mid, (0, None))
        if checksum is not None and hashed == count:
            found: bytes = checksum.digest()
            return found
        self.write()
        return file_hash(b"".join(self._store.pieces(mid)))

    def write(self) -> None:
        """Write what came."""
        if self._fresh:
            self._custody.flush()  # pieces stay in their envelopes
            for mid, pieces in self._fresh.items():
                self._store.save_pieces(mid, pieces)
            self._fresh.clear()

    def forget(self, mid: bytes) -> None:
        """Nothing more of this one is wanted: it is not written."""
        self._fresh.pop(mid, None)
        self._sums.pop(mid, None)
