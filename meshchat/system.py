"""What we take from this machine: clocks, randomness, and the walls around our process."""

import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from meshchat.core.model import Now

_PR_SET_DUMPABLE = 4


class SystemEntropy:
    """The operating system's randomness."""

    def bytes(self, n: int) -> bytes:
        """Return ``n`` random bytes."""
        return os.urandom(n)


def system_now() -> "Now":
    """Both clocks of this machine."""
    from meshchat.core.model import Now  # with all its classes: not for the first frame

    return Now(time.monotonic(), time.time())


def harden() -> None:
    """Keep keys out of core dumps and out of other processes' reach; private files by default."""
    if sys.platform == "win32":
        return
    os.umask(0o077)
    import ctypes
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
