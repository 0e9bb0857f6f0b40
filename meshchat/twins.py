"""The two store files of a profile, alike from outside (docs/adr/0020-decoy.md).

Every profile has both. The first slot of the key file opens the first of them, the second slot the
second. Without a decoy the second is noise, and nobody has its key; with one the first holds the
decoy and the second the real store. Encrypted pages and noise look the same, and both files
always carry the same times. What this cannot hide stands in the record.
"""

import contextlib
import os
import shutil
import time
from pathlib import Path

from meshchat.errors import StoreError
from meshchat.store import SqlStore

PAGE_BYTES = 4_096  # of the database: a file of another length is no store
NOISE_PAGES = (64, 4_096)  # 256 KiB to 16 MiB, as stores have in their first weeks
ROOM_PARTS = 8  # of what is free noise takes no more than one: a store needs room to work
_CHUNK_BYTES = 1 << 20

Pair = tuple[Path, Path]


def fill(path: Path) -> None:
    """Write noise of a random size that a store might have; replaces what was there.

    Raises:
        OSError: The disk will not; nothing is left then.
    """
    low, high = NOISE_PAGES
    doublings = (high // low).bit_length() - 1
    chance = int.from_bytes(os.urandom(8), "little") / 2**64
    pages = int(low * 2 ** (doublings * chance))  # each size class as likely
    room = shutil.disk_usage(path.parent).free // PAGE_BYTES
    left = min(pages, max(1, room // ROOM_PARTS)) * PAGE_BYTES
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            while left:
                left -= file.write(os.urandom(min(left, _CHUNK_BYTES)))
    except OSError:
        path.unlink(missing_ok=True)
        raise


def level(pair: Pair) -> None:
    """Give both files the same times; make the second where an older profile has none."""
    with contextlib.suppress(OSError):  # it hides less then, and loses nothing
        if pair[0].exists() and not pair[1].exists():
            fill(pair[1])
        now = time.time_ns()
        for path in pair:
            os.utime(path, ns=(now, now))


def open_store(pair: Pair, slot: int, key: bytes) -> SqlStore:
    """The store that a slot's key opens.

    Raises:
        StoreError: As ``SqlStore.open``.
    """
    path, other = pair[slot], pair[1 - slot]
    try:
        if path.exists() or not other.exists():
            return SqlStore.open(path, key)
    except StoreError as error:
        if error.reason != "wrong_key" or not other.exists():
            raise
        try:
            SqlStore.open(other, key).close()
        except StoreError:
            raise error from None
    # The making of a decoy was cut before the key file knew of it: undo it.
    other.replace(path)
    store = SqlStore.open(path, key)
    with contextlib.suppress(OSError):
        fill(other)
    return store
