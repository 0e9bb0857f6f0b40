"""What a store keeps of files."""

from collections.abc import Iterable
from typing import Protocol

from meshchat.core.model import OpenFile, Piece


class FileStore(Protocol):
    """Files, whole and under way."""

    def save_file(self, mid: bytes, data: bytes) -> None:
        """Keep the file that belongs to a message; replaces."""
        ...

    def file(self, mid: bytes) -> bytes | None:
        """What was saved, or all pieces of a file of ours, or of one of others that is whole."""
        ...

    def drop_file(self, mid: bytes) -> None: ...

    def save_open_file(self, file: OpenFile) -> None:
        """Insert, or replace the one of the same message, which keeps its place."""
        ...

    def open_files(self) -> list[OpenFile]:
        """In order of being inserted."""
        ...

    def drop_open_file(self, mid: bytes) -> None:
        """With its pieces."""
        ...

    def save_pieces(self, mid: bytes, pieces: Iterable[Piece]) -> None:
        """Keep pieces of an open file; each replaces the one of its place.

        Their envelopes stay in the store until the pieces go, held any more or not.
        """
        ...

    def close_file(self, mid: bytes) -> None:
        """An open file is whole: it is open no more, and its pieces are the file."""
        ...

    def pieces(self, mid: bytes) -> list[bytes]:
        """Those that are here, in order of ``place``."""
        ...
