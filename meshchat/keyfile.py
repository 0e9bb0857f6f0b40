"""The key file: the keys of the two stores, each sealed by a passphrase (security.md 5).

Two slots. Each, little-endian: ``magic 4 | t u32 | m u32 | salt 16 | nonce 24 | sealed key 48``.
``sealed`` is XChaCha20-Poly1305 of a 32-byte store key under Argon2id(passphrase,
salt, t passes, m KiB); everything before it in the slot is authenticated too.
A slot that nobody uses is noise behind its work factors, and looks like any other
(docs/adr/0020-decoy.md). Files of the first versions have one slot.

Without this file the store is noise, so overwriting it is how a profile is wiped.
"""

import contextlib
import io
import math
import os
import struct
import time
import unicodedata
from pathlib import Path

import nacl.exceptions
from nacl import bindings
from nacl.bindings import randombytes as random

from meshchat.errors import StoreError
from meshchat.i18n import N_

KEY_BYTES = 32
TIME_FLOOR = 3  # passes of Argon2id; fewer are not accepted from any file
TIME_MAX = 64  # a minute at 256 MiB; more can only be damage
MEMORY_FLOOR_KIB = 64 * 1024  # small boards
MEMORY_KIB = 256 * 1024  # libsodium's "moderate"
MEMORY_MAX_KIB = 1024 * 1024  # more can only be damage, and would freeze the machine
CALIBRATE_SECONDS = 0.5  # what one guess shall cost at least on the machine that made the file

_O_BINARY: int = getattr(os, "O_BINARY", 0)  # Windows would change line ends
_MAGIC = b"mc1k"
_HEAD = struct.Struct("<4sII16s24s")
_WORK_BYTES = 12  # magic and the two work factors
_SLOT_BYTES = _HEAD.size + KEY_BYTES + 16
_SLOTS = 2
_FILE_BYTES = _SLOTS * _SLOT_BYTES


def create(path: Path, passphrase: str, *, small: bool = False) -> bytes:
    """Make a store key and its file; returns the key.

    Args:
        path: Must not exist: overwriting a key file would destroy a profile.
        passphrase: Any text; it is compared in Unicode form NFKC.
        small: Use 64 MiB and no calibration, for boards with little memory.

    Raises:
        StoreError: ``key_file_exists``, ``no_memory``, ``cannot_write``.
    """
    if path.exists():
        raise StoreError("key_file_exists", "There is a profile here already.")
    key = random(KEY_BYTES)
    slot = _sealed(key, passphrase, small)
    _replace(path, slot + _noise(slot))
    return key


def unlock(path: Path, passphrase: str) -> bytes:
    """The store key, whichever slot it is in; raises as ``find``."""
    return find(path, passphrase)[1]


def find(path: Path, passphrase: str) -> tuple[int, bytes]:
    """``(slot, store key)``. Tries every slot always: the time it takes says nothing.

    Raises:
        StoreError: ``wrong_passphrase``; ``corrupt`` when it is no key file or asks for
            less work than we ever do, or absurdly much; ``cannot_open``; ``no_memory``.
    """
    slots = _slots(path)
    found: tuple[int, bytes] | None = None
    for place, slot in enumerate(slots):
        _, passes, memory_kib, salt, nonce = _HEAD.unpack_from(slot)
        stretched = _stretch(passphrase, salt, passes, memory_kib)
        head, sealed = slot[: _HEAD.size], slot[_HEAD.size :]
        with contextlib.suppress(nacl.exceptions.CryptoError):
            key = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
                sealed, head, nonce, stretched
            )
            found = found or (place, key)
    if found is None:
        raise StoreError("wrong_passphrase", "The passphrase is wrong. Try again.")
    return found


def _slots(path: Path) -> list[bytes]:
    """Each slot, its form checked before any memory is spent on it."""
    data = _read(path)
    if len(data) not in (_SLOT_BYTES, _FILE_BYTES):
        raise _corrupt()
    slots = [data[at : at + _SLOT_BYTES] for at in range(0, len(data), _SLOT_BYTES)]
    for slot in slots:
        magic, passes, memory_kib, _, _ = _HEAD.unpack_from(slot)
        if (
            magic != _MAGIC
            or not TIME_FLOOR <= passes <= TIME_MAX
            or not MEMORY_FLOOR_KIB <= memory_kib <= MEMORY_MAX_KIB
        ):
            raise _corrupt()
    return slots


def _noise(like: bytes) -> bytes:
    """A slot that opens with nothing, with the work factors of another."""
    return like[:_WORK_BYTES] + random(_SLOT_BYTES - _WORK_BYTES)


def change_passphrase(path: Path, old: str, new: str, *, small: bool = False) -> None:
    """Seal the same key by another passphrase, and overwrite the old file's bytes.

    Raises:
        StoreError: As ``unlock`` and ``create``; the old passphrase then still works.
    """
    place, key = find(path, old)
    slots = _slots(path)
    slots[place] = _sealed(key, new, small)
    if len(slots) < _SLOTS:
        slots.append(_noise(slots[0]))
    _rewrite(path, b"".join(slots))


def put_decoy(path: Path, real: str, decoy: str) -> bytes:
    """Move the key that ``real`` opens to the second slot; returns that of the decoy in the first.

    What the second slot held before is lost.

    Raises:
        StoreError: As ``unlock`` and ``create``; nothing is changed then.
    """
    _, key = find(path, real)
    head = _HEAD.unpack_from(_slots(path)[0])
    small = head[2] == MEMORY_FLOOR_KIB
    decoy_key = random(KEY_BYTES)
    _rewrite(path, _sealed(decoy_key, decoy, small) + _sealed(key, real, small))
    return decoy_key


def take(path: Path, fresh: Path) -> None:
    """Put another key file in the place of this one. Raises as ``create``."""
    _rewrite(path, _read(fresh))
    with fresh.open("r+b", buffering=0) as file:
        _overwrite(file.fileno())


def same(one: str, other: str) -> bool:
    """Whether two passphrases are one to us."""
    return _normal(one) == _normal(other)


def forget_second(path: Path) -> None:
    """Overwrite the second slot with noise, whatever it held. Raises as ``create``."""
    first = _slots(path)[0]
    _rewrite(path, first + _noise(first))


def _rewrite(path: Path, data: bytes) -> None:
    """Replace the file, and overwrite the bytes of the old one."""
    with contextlib.ExitStack() as stack:
        before = None
        if os.name == "posix":  # elsewhere an open file cannot be replaced
            try:
                before = stack.enter_context(_open(path))
            except OSError as error:
                raise _unwritable(error) from error
        _replace(path, data)
        if before is not None:
            with contextlib.suppress(OSError):  # the new file counts already
                _overwrite(before.fileno())


def destroy(path: Path) -> None:
    """Overwrite and remove the file; no error if there is none.

    On flash, and where a full disk or its owner forbids the overwriting, an old copy may
    survive this; Argon2id still stands before it.

    Raises:
        StoreError: ``cannot_write``.
    """
    for victim in (path, _beside(path)):
        try:
            with contextlib.suppress(OSError), _open(victim) as file:
                _overwrite(file.fileno())
            victim.unlink()
            _sync_folder(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise _unwritable(error) from error


def _sealed(key: bytes, passphrase: str, small: bool) -> bytes:
    """A whole key file."""
    salt, nonce = random(16), random(24)
    passes, memory_kib = TIME_FLOOR, MEMORY_FLOOR_KIB if small else MEMORY_KIB
    while True:
        started = time.perf_counter()
        stretched = _stretch(passphrase, salt, passes, memory_kib)
        took = time.perf_counter() - started
        if small or took >= CALIBRATE_SECONDS or passes == TIME_MAX:
            break
        wanted = math.ceil(passes * CALIBRATE_SECONDS / max(took, 1e-3))
        passes = min(TIME_MAX, max(passes + 1, wanted))
    head = _HEAD.pack(_MAGIC, passes, memory_kib, salt, nonce)
    return head + bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(key, head, nonce, stretched)


def _normal(passphrase: str) -> bytes:
    return unicodedata.normalize("NFKC", passphrase).encode("utf-8", "surrogatepass")


def _stretch(passphrase: str, salt: bytes, passes: int, memory_kib: int) -> bytes:
    text = _normal(passphrase)
    try:
        kind = bindings.crypto_pwhash_ALG_ARGON2ID13
        return bindings.crypto_pwhash_alg(32, text, salt, passes, memory_kib * 1024, kind)
    except (MemoryError, nacl.exceptions.RuntimeError) as error:  # its only way to fail here
        raise StoreError(
            "no_memory",
            f"{memory_kib // 1024} MiB of memory are needed to check the passphrase. "
            "Close other programs.",
        ) from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_FILE_BYTES + 1)
    except OSError as error:
        text = N_(f"The key file cannot be read ({error.strerror}).")
        raise StoreError("cannot_open", text) from error


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".new")


def _replace(path: Path, data: bytes) -> None:
    """Write a file that only its owner can read; the old one or the new one survives a crash."""
    fresh = _beside(path)
    try:
        fresh.unlink(missing_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _O_BINARY, 0o600)
        try:
            os.write(handle, data)  # about 200 bytes: whole or not at all
            os.fsync(handle)
        finally:
            os.close(handle)
        fresh.replace(path)
        _sync_folder(path)
    except OSError as error:
        raise _unwritable(error) from error


def _open(path: Path) -> io.FileIO:
    """To be overwritten. A profile copied back from a disc for reading only kept that mode."""
    with contextlib.suppress(OSError):
        path.chmod(0o600)
    return path.open("r+b", buffering=0)


def _overwrite(handle: int) -> None:
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, random(_FILE_BYTES))
    os.fsync(handle)


def _sync_folder(path: Path) -> None:
    if os.name != "posix":  # a folder cannot be opened there; renames are journalled
        return
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _corrupt() -> StoreError:
    return StoreError("corrupt", "The key file is damaged. Restore it from a backup.")


def _unwritable(error: OSError) -> StoreError:
    text = N_(f"The key file cannot be written ({error.strerror}). Check the disk.")
    return StoreError("cannot_write", text)
