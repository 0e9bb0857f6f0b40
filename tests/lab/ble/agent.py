"""Inside the guest: does what the test outside says, one JSON object a line.

Everything is imported once; each node is a fork, so that it can be killed like a program. A line
is for the agent itself (``lab``), or for one of its children by name.
"""

import asyncio
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from meshchat.core import receipts
from meshchat.core.events import (
    AddContact,
    FileComplete,
    MessageAdded,
    NeighbourDown,
    NeighbourUp,
    Send,
    SendFile,
)
from meshchat.core.model import State
from meshchat.core.node import Node
from meshchat.net.ble.central import BleakCentral
from meshchat.net.ble.peripheral_bluez import BluezPeripheral
from meshchat.net.ble.radio import PipeLost, RadioTrouble
from meshchat.net.ble.transport import BleTransport
from meshchat.net.runtime import Runtime
from meshchat.net.transport import TransportStatus
from meshchat.net.verbs import transport_json
from meshchat.store import SqlStore
from meshchat.system import SystemEntropy, system_now

Json = dict[str, Any]
BLUETOOTHD = "/usr/libexec/bluetooth/bluetoothd"
TICK_S = 1.0

# Up to a minute on purpose, so that nobody sees who is where: tests/core/test_releases.py. Here
# the way back is tested.
receipts.RECEIPT_DELAY_S = (0.5, 2.0)


class Child:
    """One node, or one bare radio; runs in a fork."""

    def __init__(self, adapter: str, say: Callable[..., None]) -> None:
        self.adapter = adapter
        self.say = say

    async def run(self) -> None:
        raise NotImplementedError

    async def do(self, what: str, args: Json) -> Any:
        return await getattr(self, f"do_{what}")(**args)


class NodeChild(Child):
    """The shipped node over the shipped transport."""

    async def run(self) -> None:
        path = Path(f"/run/{self.adapter}.db")
        fresh = not path.exists()  # noqa: ASYNC240  # before anything runs
        store = SqlStore.open(path, bytes(32))
        if fresh:
            with store.transaction():
                Node.create(store, SystemEntropy(), system_now(), self.adapter)
        self.ble = BleTransport("always", self.adapter)
        self.runtime = Runtime(store, lambda now: Node(store, SystemEntropy(), now), [self.ble])
        self.runtime.subscribe(self.hear)
        await self.runtime.run()

    def hear(self, news: Any) -> None:
        if isinstance(news, MessageAdded) and not news.message.outgoing:
            self.say("text", text=str(news.message.text), size=len(news.message.text))
        elif isinstance(news, NeighbourUp):
            self.say("up", link=news.neighbour.link, contact=news.neighbour.contact.hex())
        elif isinstance(news, NeighbourDown):
            self.say("down", link=news.link, reason=news.reason)
        elif isinstance(news, FileComplete):
            self.say("file")
        elif isinstance(news, TransportStatus):
            self.say("status", **transport_json(news))

    async def do_card(self) -> str:
        return self.runtime.node.card_text()

    async def do_add(self, card: str) -> str:
        contact: Any = await self.runtime.command(AddContact(card))
        return str(contact.fp.hex())

    async def do_send(self, fp: str, text: str) -> str:
        message: Any = await self.runtime.command(Send(b"c" + bytes.fromhex(fp), text))
        return str(message.id.hex())

    async def do_send_file(self, fp: str, size: int) -> str:
        wish = SendFile(b"c" + bytes.fromhex(fp), "x.bin", os.urandom(size))
        message: Any = await self.runtime.command(wish)
        return str(message.id.hex())

    async def do_state(self, message: str) -> str:
        found = self.runtime.store.message(bytes.fromhex(message))
        return State(found.state).name if found else "none"

    async def do_status(self) -> Json:
        return transport_json(self.ble.status())

    async def do_node(self) -> Json:
        status = self.runtime.status().node
        received = sum(one.received_bytes for one in status.neighbours)
        return {
            "links": len(status.neighbours),
            "counters": dict(status.counters),
            "received": received,
        }

    async def do_stop(self) -> None:
        self.runtime.stop()


class RadioChild(Child):
    """Our two halves of a radio, bare."""

    async def run(self) -> None:
        self.peripheral = BluezPeripheral(self.adapter)
        self.central = BleakCentral(self, self.adapter)
        self.pipes: dict[str, Any] = {}
        await asyncio.Event().wait()

    def sighted(self, sighting: Any) -> None:
        self.say("sighted", token=sighting.token.hex(), device=sighting.device)

    def opened(self, pipe: Any) -> None:
        self.pipes[pipe.device] = pipe
        self.say("opened", device=pipe.device, payload=pipe.payload)

    def received(self, pipe: Any, packet: bytes) -> None:
        self.say("received", device=pipe.device, size=len(packet), sum=sum(packet))

    def lost(self, pipe: Any, reason: str) -> None:
        self.say("lost", device=pipe.device, reason=reason)

    def trouble(self, trouble: RadioTrouble) -> None:
        self.say("trouble", reason=trouble.reason)

    async def do_open(self) -> Json:
        try:
            adapter = await self.peripheral.open(self)
        except RadioTrouble as trouble:
            return {"trouble": trouble.reason}
        return {"name": adapter.name, "address": adapter.address}

    async def do_advertise(self, token: str) -> None:
        await self.peripheral.advertise(bytes.fromhex(token) or None, 0.1)

    async def do_scan(self, on: bool) -> None:
        await self.central.scan(on)

    async def do_dial(self, device: str) -> Json:
        begun = time.monotonic()
        try:
            pipe = await self.central.dial(device, 30)
        except PipeLost as error:
            return {"lost": error.reason}
        self.pipes[device] = pipe
        return {"payload": pipe.payload, "took": time.monotonic() - begun}

    async def do_send(self, device: str, sizes: list[int]) -> str:
        try:
            await self.pipes[device].send([bytes([n % 251] * n) for n in sizes])
        except PipeLost as error:
            return error.reason
        return ""

    async def do_hang_up(self, device: str) -> None:
        await self.pipes[device].close()

    async def do_close(self) -> None:
        await self.central.close()
        await self.peripheral.close()


KINDS: dict[str, type[Child]] = {"node": NodeChild, "radio": RadioChild}


async def live(kind: str, name: str, adapter: str, reading: int, writing: int) -> None:
    """A child's life: lines in, lines out."""

    def write(line: Json) -> None:
        os.write(writing, json.dumps({"from": name, **line}).encode() + b"\n")

    def say(event: str, **details: Any) -> None:
        write({"kind": event, **details})

    child = KINDS[kind](adapter, say)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb")
    )

    async def answer(order: Json) -> None:
        try:
            result = await child.do(order["do"], order.get("args", {}))
            write({"id": order["id"], "result": result})
        except Exception as error:
            write({"id": order["id"], "error": repr(error)})

    async def obey() -> None:
        async with asyncio.TaskGroup() as group:
            while line := await reader.readline():
                group.create_task(answer(json.loads(line)))

    async with asyncio.TaskGroup() as group:
        running = group.create_task(child.run())
        obeying = group.create_task(obey())
        say("alive")
        await running
        obeying.cancel()


class Agent:
    """The parent: forks, kills, passes lines on."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.selector = selectors.DefaultSelector()
        self.selector.register(port, selectors.EVENT_READ, self.ordered)
        self.held: dict[int, bytes] = {}
        self.children: dict[str, tuple[int, int]] = {}  # pid, where it reads
        self.bluetoothd: subprocess.Popen[bytes] | None = None
        self.ticked = 0.0

    def lines(self, descriptor: int) -> list[bytes]:
        data = os.read(descriptor, 65_536)
        if not data and descriptor != self.port:
            self.selector.unregister(descriptor)
            os.close(descriptor)
            return []
        *whole, rest = (self.held.get(descriptor, b"") + data).split(b"\n")
        self.held[descriptor] = rest
        return whole

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.port, view) :]

    def ordered(self) -> None:
        for line in self.lines(self.port):
            order = json.loads(line)
            if order["to"] == "lab":
                try:
                    result: Any = getattr(self, f"do_{order['do']}")(**order.get("args", {}))
                    reply = {"id": order["id"], "from": "lab", "result": result}
                except Exception as error:
                    reply = {"id": order["id"], "from": "lab", "error": repr(error)}
                self.write(json.dumps(reply).encode() + b"\n")
            else:
                os.write(self.children[order["to"]][1], line + b"\n")

    def tick(self) -> None:
        """Tell how late it is here: patience outside goes by this clock; and if BlueZ died."""
        if self.bluetoothd is not None and (status := self.bluetoothd.poll()) is not None:
            log = Path("/run/bluetoothd.log").read_text(errors="replace")[-1_000:]
            died = {"from": "lab", "kind": "died", "status": status, "log": log}
            self.write(json.dumps(died).encode() + b"\n")
            self.bluetoothd = None
        now = time.monotonic()
        if now >= self.ticked + TICK_S:
            self.ticked = now
            self.write(json.dumps({"from": "lab", "kind": "tick", "at": now}).encode() + b"\n")

    def do_fork(self, kind: str, name: str, adapter: str) -> int:
        down_read, down_write = os.pipe()
        up_read, up_write = os.pipe()
        pid = os.fork()
        if not pid:
            for key in list(self.selector.get_map().values()):
                os.close(key.fd)
            log = os.open(f"/run/{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
            os.dup2(log, 1)
            os.dup2(log, 2)
            try:
                asyncio.run(live(kind, name, adapter, down_read, up_write))
                os._exit(0)
            except BaseException:
                import traceback

                traceback.print_exc()
                sys.stderr.flush()
                os._exit(1)
        os.close(down_read)
        os.close(up_write)
        self.children[name] = pid, down_write
        self.selector.register(up_read, selectors.EVENT_READ, lambda: self.pass_on(up_read))
        return pid

    def pass_on(self, descriptor: int) -> None:
        for line in self.lines(descriptor):
            self.write(line + b"\n")

    def do_kill(self, name: str) -> int:
        """As a power cut would, but for the kernel; returns its status."""
        pid, writing = self.children.pop(name)
        os.kill(pid, signal.SIGKILL)
        os.close(writing)
        return os.waitpid(pid, 0)[1]

    def do_wait(self, name: str) -> int:
        pid, writing = self.children.pop(name)
        status = os.waitpid(pid, 0)[1]
        os.close(writing)
        return status

    def do_bluetoothd(self, privacy: str) -> None:
        """Start BlueZ, anew, with this setting."""
        self.do_no_bluetoothd()
        Path("/etc/bluetooth/main.conf").write_text(f"[General]\nPrivacy = {privacy}\n")
        with Path("/run/bluetoothd.log").open("ab") as log:
            self.bluetoothd = subprocess.Popen([BLUETOOTHD, "-n", "-E"], stdout=log, stderr=log)

    def do_no_bluetoothd(self) -> None:
        if self.bluetoothd is not None:
            self.bluetoothd.terminate()
            self.bluetoothd.wait()
            self.bluetoothd = None

    def do_power(self, adapters: list[str], on: bool) -> list[str]:
        """As a person switches Bluetooth off and on; returns those that would not."""
        send = ("dbus-send", "--system", "--print-reply", "--dest=org.bluez")
        wish = ("string:org.bluez.Adapter1", "string:Powered", f"variant:boolean:{str(on).lower()}")
        switching = [
            subprocess.Popen(
                [*send, f"/org/bluez/{adapter}", "org.freedesktop.DBus.Properties.Set", *wish],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for adapter in adapters
        ]
        return [adapter for adapter, one in zip(adapters, switching, strict=True) if one.wait(60)]

    def do_suspend(self, hours: int) -> None:
        """All but the end of it is real: the kernel tells Bluetooth, which ends its connections,
        freezes every program, and thaws them. Real sleep would reset the disk this machine runs
        from, and only a key would wake it. Afterwards it is later by the clock on the wall."""
        Path("/sys/module/suspend/parameters/pm_test_delay").write_text("0")
        Path("/sys/power/pm_test").write_text("freezer")
        later = time.time() + 3_600 * hours
        Path("/sys/power/state").write_text("freeze")
        time.clock_settime(time.CLOCK_REALTIME, later)

    def do_sh(self, command: str) -> str:
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
        return done.stdout + done.stderr

    def do_end(self) -> None:
        for name in list(self.children):
            self.do_kill(name)
        self.over = True

    def run(self) -> None:
        self.over = False
        # Only now, with all imported: the kernel gives a controller two seconds for an answer.
        bridge = [sys.executable, str(Path(__file__).with_name("vhci_bridge.py"))]
        subprocess.Popen(bridge, preexec_fn=lambda: os.nice(-15))
        self.write(json.dumps({"from": "lab", "kind": "ready"}).encode() + b"\n")
        while not self.over:
            for key, _ in self.selector.select(TICK_S):
                key.data()
            self.tick()


def main() -> None:
    for file in Path("/sys/class/virtio-ports").glob("*/name"):
        if file.read_text().strip() == "job":
            Agent(os.open(f"/dev/{file.parent.name}", os.O_RDWR)).run()
            return
    raise SystemExit("no port for jobs")


main()
