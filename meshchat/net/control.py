"""The control socket of a running node: scripts and the command line talk to it in JSON lines.

docs/reference/control-socket.md is the contract. A Unix socket for the owner
only; on Windows a loopback port whose number and token stand in a private
file. Also opens a profile as a session, for every front end alike.
"""

import asyncio
import hmac
import json
import logging
import os
import secrets
import socket
import stat
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from msgspec import Struct, field

from meshchat.config import RuntimeOptions, read_options
from meshchat.errors import MeshchatError, StoreError, UsageError
from meshchat.i18n import N_
from meshchat.logfile import start_log
from meshchat.net import verbs
from meshchat.net.lines import LINE_MAX_BYTES, dumps, error_json
from meshchat.net.runtime import News, Runtime
from meshchat.net.settings import NodeSettings, transports
from meshchat.net.verbs import Json, Session
from meshchat.profile import Profile
from meshchat.system import harden

CONNECTIONS_MAX = 32  # a person has a few terminals and scripts
OUT_MAX_LINES = 1_000  # waiting for a reader that does not read; then events are dropped
RATE_PER_S = 200.0  # requests of one connection: far above any script's need
RATE_BURST = 400.0
TOKEN_BYTES = 32

log = logging.getLogger(__name__)


@contextmanager
def open_session(
    profile: Profile, passphrase: str, options: RuntimeOptions | None, wait_s: float = 0.0
) -> Iterator[Session]:
    """Open a profile: lock, log, unlock, build the node; close all of it afterwards.

    Args:
        profile: Which one.
        passphrase: Opens its key.
        options: For a node that serves and uses its transports; None: one command by itself.
        wait_s: How long to wait for another process that has the profile just now.

    Raises:
        StoreError: In use, wrong passphrase, damaged, or not writable.
    """
    profile.require()
    harden()
    start_log(profile.log_path, options.log_level if options else "warning")
    with profile.locked(wait_s):
        store = profile.unlock(passphrase)
        try:
            build = NodeSettings.of(options or read_options(profile.config_path)).builder(store)
            runtime = Runtime(store, build, transports(options) if options else ())
            yield Session(runtime, profile, serving=options is not None)
        finally:
            store.close()


async def serve(session: Session, started: Callable[[], None] | None = None) -> None:
    """Run a session's node with its control socket until it is stopped.

    Args:
        session: The open profile.
        started: Called once the socket and the transports are up.

    Raises:
        TransportError: A port is in use, or the like.
        StoreError: The store is beyond use, or the socket cannot be made.
    """
    server = ControlServer(session)

    async def starting() -> None:
        await server.ready.wait()
        await session.runtime.ready.wait()
        if started is not None:
            started()

    await session.runtime.run(server.run, starting)


async def once(session: Session, verb: str, args: Json) -> Json:
    """Carry out one verb on a session that does not serve."""
    answer: Json = {}

    async def service() -> None:
        try:
            answer.update(await verbs.call(session, verb, args))
        finally:
            session.runtime.stop()

    await session.runtime.run(service)
    return answer


class _Line(Struct):
    """What one connection still has to send, and how fast it may ask."""

    out: asyncio.Queue[Json] = field(default_factory=lambda: asyncio.Queue(OUT_MAX_LINES))
    lost: int = 0
    """Events dropped since the last one that was sent."""
    unsubscribe: Callable[[], None] | None = None
    budget: float = RATE_BURST
    filled_at: float = 0.0


class ControlServer:
    """Accepts connections while ``run`` runs.

    Args:
        session: What the verbs work on; its profile is locked by this process.
        tcp: Use loopback and a token, as on Windows.
    """

    def __init__(self, session: Session, *, tcp: bool = sys.platform == "win32") -> None:
        self._session = session
        self._tcp = tcp
        self._token = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self.ready = asyncio.Event()
        """Set once connections are accepted."""

    async def run(self) -> None:
        """Serve until cancelled. Raises ``StoreError`` if the socket cannot be made."""
        profile = self._session.profile
        path = profile.token_path if self._tcp else profile.socket_path
        server = listener = None
        try:
            try:
                listener = _bind_loopback() if self._tcp else _bind(path)
                if self._tcp:
                    self._token = _write_token(path, listener.getsockname()[1])
                start = asyncio.start_server if self._tcp else asyncio.start_unix_server
                server = await start(self._serve, sock=listener, limit=LINE_MAX_BYTES)
            except OSError as error:
                why = error.strerror or N_("unknown trouble")
                raise StoreError(
                    "no_control_socket", f"The control socket {path} cannot be made: {why}."
                ) from error
            self.ready.set()
            # Not serve_forever: when cancelled it waits, since Python 3.12, for the connections,
            # and some of those wait for us to end.
            await asyncio.get_running_loop().create_future()
        finally:
            if server is not None:
                server.close()
            if listener is not None:
                listener.close()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            with suppress(OSError):
                path.unlink()

    # --- one connection ----------------------------------------------------------------------

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= CONNECTIONS_MAX or not self._may_enter(writer):
            writer.close()
            return
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        line = _Line(filled_at=asyncio.get_running_loop().time())
        try:
            async with asyncio.TaskGroup() as group:
                sender = group.create_task(_send_all(line, writer))
                await self._requests(line, reader)
                await line.out.join()  # half-closed: what was asked is still answered
                sender.cancel()
        except* ConnectionError:
            pass  # the other side went away
        finally:
            if line.unsubscribe is not None:
                line.unsubscribe()
            self._tasks.discard(task)
            writer.close()

    def _may_enter(self, writer: asyncio.StreamWriter) -> bool:
        """The file's mode keeps other users out; where the system can tell who it is, check."""
        if sys.platform != "linux" or self._tcp:
            return True
        peer = writer.get_extra_info("socket")
        raw = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _, uid, _ = struct.unpack("3i", raw)
        return uid in (os.getuid(), 0)

    async def _requests(self, line: _Line, reader: asyncio.StreamReader) -> None:
        if self._tcp:
            known = await _read_request(reader)
            if not hmac.compare_digest(str((known or {}).get("token")), self._token):
                return
        while True:
            try:
                request = await _read_request(reader)
            except UsageError as error:  # where the next line starts is not certain: end it
                await line.out.put({"id": None, **error_json(error)})
                return
            if request is None:
                return
            await _pace(line)
            await line.out.put(await self._answer(line, request))

    async def _answer(self, line: _Line, request: Json) -> Json:
        number, verb, args = request.get("id"), request.get("verb"), request.get("args") or {}
        answer: Json = {"id": number if isinstance(number, int | str) else None}
        try:
            if not isinstance(verb, str) or not isinstance(args, dict):
                raise UsageError("bad_request", 'A request needs a "verb", and "args" in {}.')
            if verb == "events":
                self._subscribe(line)
                return {**answer, "ok": True, "result": {}}
            return {**answer, "ok": True, "result": await verbs.call(self._session, verb, args)}
        except MeshchatError as error:
            return {**answer, **error_json(error)}

    def _subscribe(self, line: _Line) -> None:
        if line.unsubscribe is not None:
            return

        def tell(news: News) -> None:
            if line.out.qsize() >= OUT_MAX_LINES - 2:
                line.lost += 1
                return
            if line.lost:
                line.out.put_nowait({"event": "lost", "count": line.lost})
                line.lost = 0
            line.out.put_nowait(verbs.event_json(self._session, news))

        line.unsubscribe = self._session.runtime.subscribe(tell)


def _bind(path: Path) -> socket.socket:
    """A Unix socket for the owner only. A file that is there already is a killed node's."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder = path.parent.stat()
    if folder.st_uid != os.getuid() or stat.S_IMODE(folder.st_mode) & 0o077:
        raise StoreError(
            "open_folder", f"Others can reach the folder {path.parent}; run: chmod 700 on it."
        )
    path.unlink(missing_ok=True)  # we hold the profile's lock
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    old = os.umask(0o177)
    try:
        listener.bind(os.fsencode(path))
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(old)
    return listener


def _bind_loopback() -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.bind(("127.0.0.1", 0))
    return listener


def _write_token(path: Path, port: int) -> str:
    """Put the port and a new token into a file for the owner only; returns the token."""
    token = secrets.token_hex(TOKEN_BYTES)
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, f"{port} {token}\n".encode())
    finally:
        os.close(descriptor)
    return token


async def _read_request(reader: asyncio.StreamReader) -> Json | None:
    """The next line as an object; None at the end. Raises ``UsageError``."""
    try:
        raw = await reader.readline()
    except ValueError:
        raise UsageError(
            "line_too_long", f"A request is one line of at most {LINE_MAX_BYTES} bytes."
        ) from None
    if not raw.endswith(b"\n"):
        return None
    try:
        request = json.loads(raw)
    except (ValueError, RecursionError):
        raise UsageError("bad_json", "A request is one JSON object in one line.") from None
    if not isinstance(request, dict):
        raise UsageError("bad_json", "A request is one JSON object in one line.")
    return request


async def _send_all(line: _Line, writer: asyncio.StreamWriter) -> None:
    while True:
        item = await line.out.get()
        writer.write(dumps(item).encode() + b"\n")
        await writer.drain()
        line.out.task_done()


async def _pace(line: _Line) -> None:
    """A token bucket: a script in a mad loop waits, and the node stays lively."""
    now = asyncio.get_running_loop().time()
    line.budget = min(RATE_BURST, line.budget + RATE_PER_S * (now - line.filled_at)) - 1
    line.filled_at = now
    if line.budget < 0:
        await asyncio.sleep(-line.budget / RATE_PER_S)
