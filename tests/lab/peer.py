"""One host's program in a lab: a real ``LanTransport`` without a node.

Prints one JSON object a line: ``start``, ``known`` and ``gone`` (beacons),
``up`` and ``down`` (links), ``frame``, ``status``. The dialling side sends a
frame on each new link; the other side sends it back. SIGTERM ends it cleanly.
"""

import asyncio
import json
import resource
import signal
import socket
import sys
import time
from pathlib import Path

from meshchat.core.events import LinkDown, LinkUp, Received
from meshchat.net.lan import LanTransport
from meshchat.net.transport import TransportStatus

POLL_S = 0.02  # how exactly presence is timed; costs CPU, so --quiet turns it off


def say(kind: str, **facts: object) -> None:
    """Print one line; the clock is the same for all hosts of the machine."""
    print(json.dumps({"t": round(time.monotonic(), 3), "kind": kind, **facts}), flush=True)


class Driver:
    """Stands where the runtime would: hands out link numbers and answers frames."""

    def __init__(self, lan: LanTransport) -> None:
        self.lan = lan
        self.links = 0
        self.ours: set[int] = set()

    def new_link(self) -> int:
        self.links += 1
        return self.links

    def post(self, event: LinkUp | LinkDown | Received) -> None:
        if isinstance(event, LinkUp):
            say("up", link=event.link, origin=event.origin.decode(), outbound=event.outbound)
            if event.outbound:
                self.ours.add(event.link)
                self.lan.send(event.link, (b"hello",))
        elif isinstance(event, LinkDown):
            say("down", link=event.link, reason=event.reason)
        elif event.link in self.ours:
            say("frame", link=event.link, size=sum(map(len, event.frames)))
        else:
            self.lan.send(event.link, event.frames)

    def changed(self, status: TransportStatus) -> None:
        say("status", reason=status.reason, remedy=status.remedy, **status.detail)


async def presence(lan: LanTransport) -> None:
    """Report who comes and goes by beacon."""
    loop, known = asyncio.get_running_loop(), set()
    while True:
        now = set(lan.candidates.present(loop.time()))
        for sid in sorted(now - known):
            say("known", sid=sid.hex())
        for sid in sorted(known - now):
            say("gone", sid=sid.hex())
        known = now
        await asyncio.sleep(POLL_S)


async def main(arguments: list[str]) -> None:
    options = dict(word.split("=", 1) for word in arguments if "=" in word)
    peers = options.get("peers", "").split(",") if options.get("peers") else []
    lan = LanTransport(port=int(options.get("port", "0")), peers=peers)
    if "hostname" in options:  # each host of a lab has a host name of its own
        socket.sethostname(options["hostname"])
    if "--wait" in arguments:  # so that many can begin in one instant
        say("ready")
        sys.stdin.readline()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(lan.run(Driver(lan)))]
        if "--quiet" not in arguments:
            tasks.append(group.create_task(presence(lan)))
        say("start")
        if options.get("measure"):
            tasks.append(group.create_task(measure(float(options["measure"]))))
        await stop.wait()
        for task in tasks:
            task.cancel()
    used = resource.getrusage(resource.RUSAGE_SELF)
    errors = dict(lan._beacon.errors)
    say("end", cpu_ms=round(1000 * (used.ru_utime + used.ru_stime)), rss_kib=rss(), errors=errors)


async def measure(seconds: float) -> None:
    """After settling for 15 s, report CPU and memory over ``seconds`` of idling."""
    await asyncio.sleep(15)
    before = time.process_time()
    await asyncio.sleep(seconds)
    used = 1000 * (time.process_time() - before)
    say("idle", cpu_ms=round(used, 1), seconds=seconds, rss_kib=rss(), modules=len(sys.modules))


def rss() -> int:
    """Resident memory in KiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


asyncio.run(main(sys.argv[1:]))
