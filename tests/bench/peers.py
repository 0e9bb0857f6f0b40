"""Processes that take orders over a pipe: ``Peer("ours", folder).call("card")``.

What a process can do is one class: its public methods are the orders, and what they return
is the answer. All times are of the machine's one monotonic clock, so those of two processes
can be compared.
"""

import multiprocessing
import os
import socket
import threading
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from tests.bench import lxmf_peer, mesh_peer

ROLES = {"ours": mesh_peer.serve, "lxmf": lxmf_peer.serve}
ANSWER_S = 600.0  # for a hang, not for speed
END_S = 10.0
_SPAWN = multiprocessing.get_context("spawn")


class Peer:
    """One node in a process of its own."""

    def __init__(self, role: str, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._pipe, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_begin, args=(role, theirs, folder))
        self._process.start()
        theirs.close()
        self._name = f"{role} in {folder.name}"

    def ask(self, order: str, *args: Any) -> None:
        """Give an order; ``answer`` waits for what comes of it."""
        self._pipe.send((order, args))

    def answer(self, seconds: float = ANSWER_S) -> Any:
        """The answer to the oldest order not answered yet."""
        if not self._pipe.poll(seconds):
            raise TimeoutError(f"{self._name} does not answer")
        found = self._pipe.recv()
        if isinstance(found, Exception):
            raise found
        return found

    def call(self, order: str, *args: Any) -> Any:
        """Give an order and wait for its answer."""
        self.ask(order, *args)
        return self.answer()

    def stop(self) -> None:
        """Tell the process to end."""
        with suppress(OSError):  # it has ended already
            self._pipe.send(None)

    def end(self) -> None:
        """Wait for that, though not for ever."""
        self._process.join(END_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


class Peers:
    """Several of them, which end with the ``with`` block."""

    def __init__(self, role: str, folder: Path, count: int) -> None:
        self.all = [Peer(role, folder / f"{role}-{n}") for n in range(count)]

    def __enter__(self) -> list[Peer]:
        return self.all

    def __exit__(self, *_: object) -> None:
        for peer in self.all:
            peer.stop()
        for peer in self.all:
            peer.end()


def every(peers: list[Peer], order: str, *args: Any) -> list[Any]:
    """Give all the same order at once; their answers."""
    for peer in peers:
        peer.ask(order, *args)
    return [peer.answer() for peer in peers]


def free_ports(count: int) -> list[int]:
    """TCP ports nobody uses at the moment."""
    socks = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [sock.getsockname()[1] for sock in socks]
    for sock in socks:
        sock.close()
    return ports


def _begin(role: str, pipe: Connection, folder: Path) -> None:
    # No daemon process, because lxmf starts others to make stamps; so it looks after itself.
    threading.Thread(target=_follow, daemon=True).start()
    ROLES[role](pipe, folder)


def _follow() -> None:
    """End with the benchmark, also when that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
