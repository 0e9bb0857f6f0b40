"""One Reticulum node with lxmf in a process of its own, on TCP over loopback.

Settings are lxmf's own: stamps of a propagation node cost what they cost by default. Nothing
is imported before ``serve``, so that the rest of the benchmark runs without it.
"""

import os
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

POLL_S = 0.002


class LxmfPeer:
    """What the node can be told to do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.received: list[float] = []
        self._lock = threading.Lock()

    # --- orders --------------------------------------------------------------------------------

    def build(self, port: int, peers: list[int], transport: bool) -> None:
        """Write the settings: where to listen (0: nowhere), whom to dial, whether to relay."""
        lines = [
            "[reticulum]",
            f"enable_transport = {'yes' if transport else 'no'}",
            "share_instance = no",
            "[logging]",
            "loglevel = 0",
            "[interfaces]",
        ]
        if port:
            lines += [
                "[[in]]",
                "type = TCPServerInterface",
                "enabled = yes",
                "listen_ip = 127.0.0.1",
                f"listen_port = {port}",
            ]
        for n, peer in enumerate(peers):
            lines += [
                f"[[out{n}]]",
                "type = TCPClientInterface",
                "enabled = yes",
                "target_host = 127.0.0.1",
                f"target_port = {peer}",
            ]
        (self.folder / "config").write_text("\n".join(lines) + "\n")

    def run(self) -> bytes:
        """Start; the hash of our delivery destination."""
        import LXMF
        import RNS

        self.rns, self.lxmf = RNS, LXMF
        self.reticulum = RNS.Reticulum(str(self.folder), loglevel=RNS.LOG_CRITICAL)
        RNS.loglevel = RNS.LOG_CRITICAL
        self.identity = RNS.Identity()
        self.router = LXMF.LXMRouter(identity=self.identity, storagepath=str(self.folder / "lx"))
        self.own = self.router.register_delivery_identity(self.identity, display_name="bench")
        self.router.register_delivery_callback(lambda _: self.received.append(time.monotonic()))
        return bytes(self.own.hash)

    def online(self) -> bool:
        """Wait until every interface is up."""
        return self._until(
            lambda: all(i.online for i in self.rns.Transport.interfaces), 30, "interfaces"
        )

    def announce(self) -> float:
        """Announce our delivery destination; when."""
        now = time.monotonic()
        self.router.announce(self.own.hash)
        return now

    def path(self, target: bytes, seconds: float) -> float:
        """When we had a path to and the identity of this destination; infinity: not in time."""
        return self.paths([target], seconds)

    def paths(self, targets: list[bytes], seconds: float) -> float:
        """The same of several, ourselves not counted."""
        left = {target for target in targets if target != self.own.hash}
        until = time.monotonic() + seconds
        while left:
            known = self.rns.Transport.has_path
            left = {t for t in left if not known(t) or self.rns.Identity.recall(t) is None}
            if not left:
                break
            if time.monotonic() > until:
                return float("inf")
            time.sleep(0.02 if len(targets) > 1 else POLL_S)
        return time.monotonic()

    def texts(
        self, target: bytes, count: int, size: int, flying: int, method: str
    ) -> tuple[float, float]:
        """Send so many texts, at most ``flying`` of them not delivered yet; begin and end.

        A propagated one counts when the propagation node has it.
        """
        out = self._destination(target)
        free = threading.Semaphore(flying)
        failed: list[object] = []
        text = "x" * size

        def lost(message: object) -> None:
            failed.append(message)
            free.release()

        began = time.monotonic()
        for _ in range(count):
            free.acquire()
            message = self.lxmf.LXMessage(
                out, self.own, text, desired_method=getattr(self.lxmf.LXMessage, method)
            )
            message.register_delivery_callback(lambda _: free.release())
            message.register_failed_callback(lost)
            self.router.handle_outbound(message)
        for _ in range(flying):
            free.acquire()
        if failed:
            raise RuntimeError(f"{len(failed)} of {count} failed")
        return began, time.monotonic()

    def cpu(self) -> float:
        """Seconds of a core used so far."""
        return time.process_time()

    def got(self, count: int) -> float:
        """When so many messages had come."""
        self._until(lambda: len(self.received) >= count, 300, "messages")
        return self.received[count - 1]

    def carry(self) -> bytes:
        """Be a propagation node; its hash."""
        self.router.enable_propagation()
        return bytes(self.router.propagation_destination.hash)

    def announce_carrier(self) -> None:
        """Let others know that we are one."""
        self.router.announce_propagation_node()

    def use_carrier(self, node: bytes) -> None:
        """Leave messages there, and fetch them from there."""
        self._until(lambda: self.rns.Identity.recall(node) is not None, 60, "announce")
        self.router.set_outbound_propagation_node(node)

    def fetch(self, count: int) -> tuple[float, float]:
        """Ask the propagation node for our mail until so many came; begin and end."""
        began = time.monotonic()
        self.router.request_messages_from_propagation_node(self.identity)
        return began, self.got(count)

    def open_bulk(self) -> bytes:
        """Take resources on links; the hash of the destination."""
        rns = self.rns
        self.bulk = rns.Destination(
            self.identity, rns.Destination.IN, rns.Destination.SINGLE, "bench", "bulk"
        )

        def linked(link: Any) -> None:
            link.set_resource_strategy(rns.Link.ACCEPT_ALL)
            link.set_resource_concluded_callback(self._resource)

        self.bulk.set_link_established_callback(linked)
        self.bulk.announce()
        return bytes(self.bulk.hash)

    def move(self, target: bytes, size: int, compress: bool) -> tuple[float, float]:
        """Send that many random bytes as one resource, as lxmf does with what is large."""
        rns = self.rns
        self._until(lambda: rns.Transport.has_path(target), 60, "path")
        out = rns.Destination(
            rns.Identity.recall(target), rns.Destination.OUT, rns.Destination.SINGLE,
            "bench", "bulk",
        )  # fmt: skip
        up, over = threading.Event(), threading.Event()
        link = rns.Link(out, established_callback=lambda _: up.set())
        if not up.wait(30):
            raise RuntimeError("no link")
        data = os.urandom(size)
        began = time.monotonic()
        resource = rns.Resource(data, link, callback=lambda _: over.set(), auto_compress=compress)
        if not over.wait(300) or resource.status != rns.Resource.COMPLETE:
            raise RuntimeError("the resource was not sent")
        took = time.monotonic()
        link.teardown()
        return began, took

    # --- inside --------------------------------------------------------------------------------

    def _resource(self, resource: Any) -> None:
        if resource.status == self.rns.Resource.COMPLETE:
            self.received.append(time.monotonic())

    def _destination(self, target: bytes) -> Any:
        rns = self.rns
        self._until(lambda: rns.Identity.recall(target) is not None, 60, "announce")
        return rns.Destination(
            rns.Identity.recall(target), rns.Destination.OUT, rns.Destination.SINGLE,
            "lxmf", "delivery",
        )  # fmt: skip

    def _until(self, true: Callable[[], bool], seconds: float, what: str) -> bool:
        until = time.monotonic() + seconds
        while not true():
            if time.monotonic() > until:
                raise RuntimeError(f"no {what} in {seconds:.0f} s")
            time.sleep(POLL_S)
        return True


def serve(pipe: Connection, folder: Path) -> None:
    """The process: orders until None comes or the pipe ends."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):  # it prints into other people's tables
        os.dup2(quiet, stream.fileno())
    peer = LxmfPeer(folder)
    while True:
        try:
            order = pipe.recv()
        except EOFError:
            break
        if order is None:
            break
        name, args = order
        try:
            answer = getattr(peer, name)(*args)
        except Exception as error:
            answer = RuntimeError(f"{name}: {type(error).__name__} {error}")
        pipe.send(answer)
    os._exit(0)  # its threads would keep the process
