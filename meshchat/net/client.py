"""The other end of the control socket: blocking, small, and quick to import."""

import base64
import itertools
import json
import os
import socket
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Self

from meshchat.errors import StoreError
from meshchat.net.lines import PART_MAX_BYTES, dumps, to_error
from meshchat.profile import Profile

Json = dict[str, object]

CONNECT_TIMEOUT_S = 5.0  # it is on this machine; longer means it hangs
ANSWER_MAX_BYTES = 64 * 1024 * 1024  # 1,000 messages of 7 kB each, escaped


class Client:
    """A connection to the node that runs for a profile. Use as a context manager."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._file = connection.makefile("rb")
        self._numbers = itertools.count(1)
        self._early: deque[Json] = deque()  # events that came while an answer was awaited

    @classmethod
    def connect(cls, profile: Profile, *, tcp: bool = sys.platform == "win32") -> Self | None:
        """Connect to the profile's node; None if none is running."""
        try:
            if tcp:
                port, token = profile.token_path.read_text("ascii").split()
                connection = socket.create_connection(("127.0.0.1", int(port)), CONNECT_TIMEOUT_S)
                connection.sendall(dumps({"token": token}).encode() + b"\n")
            else:
                if profile.socket_path.parent.lstat().st_uid != os.getuid():
                    raise PermissionError  # somebody else made it first, to listen to us
                connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                try:
                    connection.settimeout(CONNECT_TIMEOUT_S)
                    connection.connect(os.fsencode(profile.socket_path))
                except OSError:
                    connection.close()
                    raise
        except PermissionError:
            raise StoreError(
                "not_yours", f"The profile in {profile.home} belongs to another user."
            ) from None
        except (OSError, ValueError):
            return None
        connection.settimeout(None)  # a verb may take its time
        return cls(connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._connection.close()

    def patience(self, seconds: float) -> None:
        """From now on raise ``TimeoutError`` when nothing comes or goes for so long."""
        self._connection.settimeout(seconds)

    def call(self, verb: str, args: Mapping[str, object] | None = None) -> Json:
        """Ask for one verb; returns its result.

        Args:
            verb: Which one.
            args: By name. Bytes under ``data`` are a file, which goes in parts.

        Raises:
            MeshchatError: Of the class and reason the node answered with.
        """
        given = dict(args or {})
        data = given.get("data")
        if isinstance(data, bytes):
            while len(data) > PART_MAX_BYTES:
                part, data = data[:PART_MAX_BYTES], data[PART_MAX_BYTES:]
                upload = given.get("upload")
                given["upload"] = self.call("file_part", {"data": part, "upload": upload})["upload"]
            given["data"] = base64.b64encode(data).decode("ascii")
        number = next(self._numbers)
        request = {"id": number, "verb": verb, "args": given}
        with suppress(ConnectionError):  # it may have said why before it hung up
            self._connection.sendall(dumps(request).encode() + b"\n")
        while True:
            answer = self._line()
            if answer is None:
                raise StoreError("node_gone", "The running node ended before it answered.")
            if "event" in answer:
                self._early.append(answer)
            elif answer.get("id") in (number, None):
                break
        if answer.get("ok") is not True:
            raise to_error(answer.get("error"))
        result = answer.get("result")
        return result if isinstance(result, dict) else {}

    def events(self) -> Iterator[Json]:
        """Events as they come, after a call of the verb ``events``; ends with the node."""
        while self._early:
            yield self._early.popleft()
        while (line := self._line()) is not None:
            if "event" in line:
                yield line

    def _line(self) -> Json | None:
        try:
            raw = self._file.readline(ANSWER_MAX_BYTES)
        except ConnectionError:
            return None
        if not raw.endswith(b"\n"):
            return None
        found = json.loads(raw)
        return found if isinstance(found, dict) else {}
