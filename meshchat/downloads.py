"""Files of others on the disk: under a name of ours, for the owner's eyes, over nothing.

What a sender calls a file is for people to read. On the disk it is called by a
hash of its bytes and an ending from a list of ours, so that no word of a
stranger ever reaches a file system, and nothing that a double click would run.
"""

import hashlib
import os
from pathlib import Path

from meshchat.errors import UsageError

NAME_HASH_BYTES = 4  # 8 digits that people can compare by eye; equal ones get a number
SAME_NAME_MAX = 100  # files of one hash in a folder: nobody saves one so often
OTHER_ENDING = "bin"

# Endings of what is looked at or listened to. Nothing that programs run, or that holds programs:
# no scripts, pages (html, svg), links, installers or documents with macros.
_PICTURES = ("avif", "bmp", "gif", "jpeg", "jpg", "png", "webp")
_SOUNDS = ("flac", "m4a", "mp3", "oga", "ogg", "opus", "wav")
_FILMS = ("mkv", "mov", "mp4", "webm")
_DOCUMENTS = ("docx", "epub", "md", "odp", "ods", "odt", "pdf", "pptx", "txt", "xlsx")
_DATA = ("csv", "geojson", "gpx", "json", "kml", "log", "tar", "zip")
ENDINGS = frozenset((*_PICTURES, *_SOUNDS, *_FILMS, *_DOCUMENTS, *_DATA))


def saved_name(name: str, data: bytes) -> str:
    """What a file is called on the disk: ``1a2b3c4d.pdf``.

    Args:
        name: What its sender calls it; says nothing but which ending of our list it has.
        data: The whole of it.
    """
    digits = hashlib.blake2b(data, digest_size=NAME_HASH_BYTES).hexdigest()
    _, dot, ending = name.rpartition(".")
    ending = ending.lower()
    return f"{digits}.{ending if dot and ending in ENDINGS else OTHER_ENDING}"


def save(name: str, data: bytes, folder: Path) -> Path:
    """Write a new file that only its owner can read; it is not opened.

    Args:
        name: What its sender calls it.
        data: The whole of it.
        folder: Where; has to be there.

    Returns:
        Its path: ``1a2b3c4d.pdf``, or ``1a2b3c4d-2.pdf`` if there is one of that name.

    Raises:
        UsageError: It cannot be written there.
    """
    stem, _, ending = saved_name(name, data).partition(".")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    for number in range(1, SAME_NAME_MAX + 1):
        path = folder / (f"{stem}.{ending}" if number == 1 else f"{stem}-{number}.{ending}")
        try:
            descriptor = os.open(path, flags, 0o600)  # also not through a link that is there
        except FileExistsError:
            continue
        except OSError as error:
            raise _unwritable(folder, error) from error
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)  # its message may be deleted next
        except OSError as error:
            path.unlink(missing_ok=True)
            raise _unwritable(folder, error) from error
        return path
    raise UsageError(
        "saved_often", f"This file is in {folder} {SAME_NAME_MAX} times; choose another folder."
    )


def _unwritable(folder: Path, error: OSError) -> UsageError:
    return UsageError("unwritable", f"Nothing can be written in {folder}: {error.strerror}.")
