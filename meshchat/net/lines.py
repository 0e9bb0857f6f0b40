"""JSON lines as the control socket speaks them; shared by server, client and command line.

Imports next to nothing, so that a command to a running node starts fast.
"""

import json
import re
from collections.abc import Mapping

from meshchat.errors import MeshchatError, StoreError, TransportError, TrustError, UsageError
from meshchat.text import Clean

LINE_MAX_BYTES = 64 * 1024  # of a request: the longest message is 7 kB, six times that escaped
MESSAGE_MAX_CHARS = 500  # of an error: one sentence

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
