"""One profile on disk: where its files are, its lock, its birth and its end.

| file | holds |
|---|---|
| ``config.toml`` | settings (``config.py``) |
| ``key`` | the stores' keys, sealed by passphrases; the profile exists if and only if this does |
| ``store.db``, ``store2.db`` | all else, encrypted; one of them may be noise (``twins.py``) |
| ``lock`` | held by the one process that uses the profile; contains its number |
| ``node.sock`` | the control socket of a running node (``node.token`` on Windows) |
| ``downloads/`` | files of others that were saved, in the clear |
| ``log/meshchat.log`` | what went wrong (``logfile.py``) |

With a home directory given (``--home`` or ``MESHCHAT_HOME``) all of them are in
it; otherwise settings and log go where the platform wants them.
"""

import errno
import hashlib
import logging
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from meshchat.errors import StoreError, UsageError
from meshchat.i18n import N_
from meshchat.places import chosen_home, settings_path
from meshchat.system import SystemEntropy, system_now
from meshchat.text import Clean

if TYPE_CHECKING:  # a command that only talks to a running node needs neither nacl nor SQLCipher
    from meshchat.store import SqlStore

WRONG_FREE = 2  # mistyped passphrases that cost nothing but the hash
WRONG_WAIT_MAX_S = 30.0  # afterwards each costs twice the time of the one before, up to this
SOCKET_PATH_MAX_BYTES = 100  # sun_path has 104 (macOS) to 108 bytes
HOME_SHOWN_CHARS = 200  # so that the reason behind it is not cut off
LOCK_OFFSET = 1 << 20  # Windows locks bytes, and a locked byte cannot be read: lock far behind

_DURESS = "duress"  # of a decoy's store: the key of the real one is to go


log = logging.getLogger(__name__)


class Profile:
    """The files of one person on this device. Creating the object touches nothing.

    Args:
        home: Directory for everything; None: the ``MESHCHAT_HOME`` variable, then the
            platform's own places.
    """

    def __init__(self, home: str | Path | None = None) -> None:
        self.config_path = settings_path(home)
        chosen = chosen_home(home)
        if chosen is not None:
            self.home = chosen
            self.log_path = self.home / "log" / "meshchat.log"
        else:
            self.home = platformdirs.user_data_path("meshchat", appauthor=False)
            logs = platformdirs.user_log_path("meshchat", appauthor=False)
            self.log_path = logs / "meshchat.log"
        self.key_path = self.home / "key"
        self.store_path = self.home / "store.db"
        self.store_paths = self.store_path, self.home / "store2.db"
        self.lock_path = self.home / "lock"
        self.token_path = self.home / "node.token"
        self.downloads_path = self.home / "downloads"

    @property
    def socket_path(self) -> Path:
        """Where the control socket is; in a private temporary folder if the path is too long."""
        path = self.home / "node.sock"
        if sys.platform == "win32" or len(os.fsencode(path)) <= SOCKET_PATH_MAX_BYTES:
            return path
        name = hashlib.blake2b(os.fsencode(self.home), digest_size=10).hexdigest()
        parent = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
        return parent / f"meshchat-{os.getuid()}" / f"{name}.sock"

    def exists(self) -> bool:
        """True once ``init`` has come to its end. Raises ``StoreError`` if it cannot be told."""
        return self._there(self.key_path)

    def has_home(self) -> bool:
        """Whether the home is there, with a profile or not. Raises ``StoreError``."""
        return self._there(self.home)

    def _there(self, path: Path) -> bool:
        try:
            return path.exists()
        except OSError as error:  # somebody else's folder, or no possible name
            raise self._unusable(error) from error

    def make_downloads(self) -> Path:
        """The folder for saved files, made if it is not there. Raises ``StoreError``."""
        try:
            self.downloads_path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from error
        return self.downloads_path

    def require(self) -> None:
        """Raises ``StoreError`` unless there is a profile to open."""
        if not self.exists():
            raise StoreError(
                "no_profile",
                f"There is no profile in {self.home}; make one with: meshchat init --name NAME",
            )

    # --- the lock ----------------------------------------------------------------------------

    @contextmanager
    def locked(self, wait_s: float = 0.0) -> Iterator[None]:
        """Own the profile while the body runs.

        Args:
            wait_s: How long to wait for another process that uses it just now.

        Raises:
            StoreError: ``in_use`` by another process, or the home cannot be written.
        """
        self._make_home()
        try:
            descriptor = os.open(self.lock_path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            until = time.monotonic() + wait_s
            while not _lock(descriptor):
                if time.monotonic() >= until:
                    raise StoreError("in_use", self._in_use(descriptor))
                time.sleep(0.05)
            try:
                os.ftruncate(descriptor, 0)
                os.lseek(descriptor, 0, os.SEEK_SET)
                os.write(descriptor, b"%d\n" % os.getpid())
            except OSError as error:  # a full disk: the lock itself still holds
                log.warning("the lock file does not name this process (%s)", error.strerror)
            yield
        finally:
            if self.key_path.exists():
                from meshchat.twins import level

                level(self.store_paths)
            os.close(descriptor)  # releases the lock

    def _in_use(self, descriptor: int) -> str:
        owner = os.read(descriptor, 20).decode("ascii", "replace").strip()
        who = N_(f"process {owner}") if owner.isdigit() else N_("another process")
        return N_(f"This profile is in use by {who}; end that one first, or choose another --home.")

    def _make_home(self) -> None:
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> StoreError:
        reason = "full" if error.errno == errno.ENOSPC else "unusable_home"
        why = error.strerror or N_("unknown trouble")
        shown = Clean.line(str(self.home), HOME_SHOWN_CHARS)
        return StoreError(reason, f"The profile's home {shown} is not usable: {why}.")

    # --- birth, life and end -----------------------------------------------------------------

    def init(
        self, name: str, passphrase: str, seed: bytes | None = None, small: bool = False
    ) -> None:
        """Make a profile. Nothing of it stays if that fails.

        Args:
            name: What others may call us, 1 to 48 bytes of UTF-8.
            passphrase: Seals the store's key.
            seed: 32 bytes restored from a backup; None: a new identity.
            small: Less memory for the passphrase's hash, for small boards.

        Raises:
            UsageError: The name or passphrase will not do, or there is a profile already.
            StoreError: The home cannot be written, or is in use.
        """
        from meshchat.core.contacts import check_name

        clean = check_name(name, "Your name")
        check_passphrase(passphrase)
        fresh = not self.has_home()
        ours = False  # without the lock, what is there is another process's
        try:
            with self.locked():
                ours = True
                if self.exists():
                    raise UsageError(
                        "profile_exists", f"There is a profile in {self.home} already."
                    )
                self._make_private()
                self._build(clean, passphrase, seed, small)
        except BaseException:
            if fresh and ours:
                shutil.rmtree(self.home, ignore_errors=True)
            raise

    def _make_private(self) -> None:
        """The home is for our user's eyes; a folder that others share cannot become one."""
        found = self.home.stat()
        foreign = sys.platform != "win32" and found.st_uid != os.getuid()
        if foreign or found.st_mode & stat.S_ISVTX:
            raise UsageError(
                "shared_home",
                f"{self.home} is shared with others; give --home a folder of its own.",
            )
        self.home.chmod(0o700)

    def _build(self, name: str, passphrase: str, seed: bytes | None, small: bool) -> None:
        from meshchat import keyfile
        from meshchat.core.node import Node
        from meshchat.store import SqlStore
        from meshchat.twins import fill

        try:
            with tempfile.TemporaryDirectory(prefix=".init-", dir=self.home) as folder:
                new = Path(folder)
                key = keyfile.create(new / "key", passphrase, small=small)
                store = SqlStore.open(new / "store.db", key)
                try:
                    with store.transaction():
                        Node.create(store, SystemEntropy(), system_now(), name, seed)
                    store.truncate_wal()
                finally:
                    store.close()
                for rest in ("store.db-wal", "store.db-shm"):  # of an init that was cut
                    (self.home / rest).unlink(missing_ok=True)
                fill(self.store_paths[1])
                (new / "store.db").replace(self.store_path)
                (new / "key").replace(self.key_path)  # from here on the profile exists
                _sync_folder(self.home)
        except OSError as error:
            raise self._unusable(error) from error

    def unlock(self, passphrase: str) -> "SqlStore":
        """Open the store; hold the lock before. Takes a while: the passphrase's hash is slow.

        Raises:
            StoreError: There is no profile, the passphrase is wrong, or a file is damaged.
        """
        return self.open_slot(*self.find_key(passphrase))

    def find_key(self, passphrase: str) -> tuple[int, bytes]:
        """What a passphrase opens: slot and key. Slow, and may run in another thread.

        Raises:
            StoreError: As ``unlock``.
        """
        from meshchat import keyfile

        self.require()
        return keyfile.find(self.key_path, passphrase)

    def open_slot(self, slot: int, key: bytes) -> "SqlStore":
        """The store of a slot. If it is a decoy that shall destroy, the real key goes first.

        Raises:
            StoreError: As ``unlock``.
        """
        from meshchat import keyfile
        from meshchat.twins import open_store

        store = open_store(self.store_paths, slot, key)
        if slot == 0 and store.get(_DURESS):
            keyfile.forget_second(self.key_path)
            with store.transaction():
                store.put(_DURESS, b"")
            store.truncate_wal()
        return store

    def add_decoy(self, passphrase: str, decoy: str, name: str, destroy: bool = False) -> None:
        """Make a second identity that ``decoy`` opens; the real store moves to the second place.

        If there is a real store behind the one ``passphrase`` opens, it is lost.

        Args:
            passphrase: Of the profile as it is.
            decoy: Of the decoy.
            name: What the decoy is called.
            destroy: Entering ``decoy`` destroys the key of the real store.

        Raises:
            UsageError: A passphrase or the name will not do, or there is a decoy already.
            StoreError: The passphrase is wrong, or the disk will not; nothing is lost.
        """
        from meshchat import keyfile
        from meshchat.core.contacts import check_name
        from meshchat.core.node import Node
        from meshchat.store import SqlStore

        clean = check_name(name, "The decoy's name")
        check_passphrase(decoy)
        with self.locked():
            slot, key = self.find_key(passphrase)
            if slot:
                raise UsageError("decoy_exists", "This profile has a decoy already.")
            if keyfile.same(passphrase, decoy):
                raise UsageError("same_passphrase", "The decoy needs a passphrase of its own.")
            self.open_slot(slot, key).close()  # its log is folded in, so that one file is all
            try:
                with tempfile.TemporaryDirectory(prefix=".init-", dir=self.home) as folder:
                    fresh, old = Path(folder) / "store.db", Path(folder) / "key"
                    shutil.copyfile(self.key_path, old)
                    store = SqlStore.open(fresh, keyfile.put_decoy(old, passphrase, decoy))
                    try:
                        with store.transaction():
                            Node.create(store, SystemEntropy(), system_now(), clean)
                            store.put(_DURESS, b"1" if destroy else b"")
                    finally:
                        store.close()
                    first, second = self.store_paths
                    first.replace(second)
                    fresh.replace(first)
                    keyfile.take(self.key_path, old)  # until here ``open_store`` undoes it
                    _sync_folder(self.home)
            except OSError as error:
                raise self._unusable(error) from error

    def wipe(self, wait_s: float = 0.0) -> None:
        """Destroy the profile: first the key, which is enough, then everything else.

        Args:
            wait_s: How long to wait for a node that is ending.

        Raises:
            StoreError: Another process uses it, or a file could not be removed.
        """
        ours = (self.key_path, *self.store_paths, *self.home.glob(".init-*"))
        if not any(self._there(path) for path in ours):
            raise StoreError("no_profile", f"There is no profile in {self.home}.")
        with self.locked(wait_s):
            if self.exists():
                from meshchat import keyfile

                keyfile.destroy(self.key_path)
            try:
                private = (self.token_path, self.socket_path, self.config_path)
                for path in (*self.store_paths, *private):
                    for suffix in ("", "-wal", "-shm", "-journal"):
                        path.with_name(path.name + suffix).unlink(missing_ok=True)
                for rest in self.home.glob(".init-*"):
                    shutil.rmtree(rest)
                if self.downloads_path.is_symlink():  # what somebody put in its place is not ours
                    self.downloads_path.unlink()
                elif self.downloads_path.exists():
                    shutil.rmtree(self.downloads_path)
                for path in self.log_path.parent.glob("meshchat.log*"):
                    path.unlink()
            except OSError as error:
                raise StoreError(
                    "wipe_incomplete",
                    f"The key is destroyed, so the profile is unreadable, but {error.filename} "
                    f"could not be removed: {error.strerror}.",
                ) from error
        self.lock_path.unlink(missing_ok=True)
        for folder in (self.log_path.parent, self.home):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def wait_after(wrong: int) -> float:
    """Seconds before the next try once so many passphrases in a row were wrong.

    For the hand at this keyboard: who has the files guesses elsewhere, against Argon2id only.
    """
    return min(WRONG_WAIT_MAX_S, 2.0 ** (wrong - WRONG_FREE - 1)) if wrong > WRONG_FREE else 0.0


def check_passphrase(passphrase: str) -> None:
    """Raises ``UsageError`` for one that protects nothing."""
    if not passphrase:
        raise UsageError(
            "passphrase_empty", "The passphrase is empty; five or more random words are good."
        )


def _lock(descriptor: int) -> bool:
    """Try to take the lock that lives as long as the descriptor."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, LOCK_OFFSET, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
