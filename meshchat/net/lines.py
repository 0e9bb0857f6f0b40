"""JSON lines as the control socket speaks them; shared by server, client and command line.

Imports next to nothing, so that a command to a running node starts fast.
"""

import contextlib
import json
import queue
import re
import threading
from collections.abc import Callable, Mapping

from meshchat.errors import MeshchatError, StoreError, TransportError, TrustError, UsageError
from meshchat.text import Clean

LINE_MAX_BYTES = 64 * 1024  # of a request: the longest message is 7 kB, six times that escaped
PART_MAX_BYTES = 45_000  # of a file in one request: a third more as base64, and its arguments
MESSAGE_MAX_CHARS = 500  # of an error: one sentence

FEED_MAX_LINES = 1_000  # a reader further behind than this misses lines, and is told
FEED_END_S = 1.0  # how long the end of a program waits for a reader

# What json leaves as it is, although a terminal acts on it or a reader is misled by it: DEL and
# C1 controls, invisible and direction-changing characters, line separators, broken surrogates.
_UNSAFE = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e0fff]"
)
_CLASSES: dict[object, type[MeshchatError]] = {
    kind.exit_code: kind for kind in (UsageError, TrustError, StoreError, TransportError)
}


def dumps(value: object) -> str:
    """One line of JSON: readable letters of every script, everything a terminal obeys escaped."""
    return _UNSAFE.sub(_escape, json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def _escape(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


class LineFeed:
    """Lines for a reader that may be slow, asleep or gone, written by a thread of its own.

    A node must never wait for whoever reads its events. When the reader is too far behind, lines
    are left out and one ``lost`` line says how many.

    Args:
        write: Writes one line and may block; ``OSError`` means that nobody reads any more.
        gone: Called once, from the thread, with that error.
    """

    def __init__(self, write: Callable[[str], object], gone: Callable[[OSError], object]) -> None:
        self._write = write
        self._gone = gone
        self._waiting: queue.Queue[str | None] = queue.Queue(FEED_MAX_LINES)
        self._lost = 0
        # A daemon: a reader that never reads must not keep the program from ending.
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def put(self, value: object) -> None:
        """Give a line; never waits."""
        try:
            if self._lost:
                self._waiting.put_nowait(dumps({"event": "lost", "count": self._lost}))
                self._lost = 0
            self._waiting.put_nowait(dumps(value))
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        """Write what is left, for as long as a reader may take."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=FEED_END_S)
            self._thread.join(FEED_END_S)

    def _run(self) -> None:
        while (line := self._waiting.get()) is not None:
            try:
                self._write(line)
            except OSError as error:
                self._gone(error)
                return


def error_json(error: MeshchatError) -> dict[str, object]:
    """The part of an answer that says what went wrong."""
    message = Clean.line(str(error), MESSAGE_MAX_CHARS)
    return {
        "ok": False,
        "error": {"reason": error.reason, "message": message, "exit": error.exit_code},
    }


def to_error(told: object) -> MeshchatError:
    """The error an answer's ``error`` part tells of."""
    found = told if isinstance(told, Mapping) else {}
    kind = _CLASSES.get(found.get("exit"), MeshchatError)
    return kind(str(found.get("reason")), str(found.get("message") or ""))
