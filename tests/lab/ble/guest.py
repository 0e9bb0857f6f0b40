"""Outside the guest: its machine, the air it breathes, and what is said to its agent."""

import asyncio
import compileall
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(ROOT / "tests/net/ble"))

from air import Air, Radio, make_radio  # noqa: E402
from bumble.transport.common import PacketParser  # noqa: E402

WORK = Path(os.environ.get("MESHCHAT_BLE_LAB", tempfile.gettempdir() + "/meshchat-ble-lab"))
SLOW = float(os.environ.get("MESHCHAT_TEST_SLOW", "1"))
"""All patience times this. It goes by the guest's clock, so a busy machine needs none of it."""
BOOT_S = 240.0  # by our clock: there is no other one yet
SILENT_S = 60.0  # by our clock, without a tick from the guest: it hangs
WORDS = (
    "console=ttyS0 quiet loglevel=4 panic=-1 nokaslr mitigations=off cryptomgr.notests "
    "tsc=reliable random.trust_cpu=on"
)

CRASH = re.compile(rb"kernel BUG at|Kernel panic|Oops|BUG: unable to handle")

Json = dict[str, Any]


def missing() -> str:
    """Why the guest cannot run here, or nothing."""
    if not shutil.which("qemu-system-x86_64"):
        return "qemu-system-x86_64 is not installed (sh tests/lab/ble/setup.sh DIR)"
    if not Path("/usr/libexec/bluetooth/bluetoothd").exists():
        return "BlueZ is not installed (sh tests/lab/ble/setup.sh DIR)"
    if not (WORK / "initrd.img").exists():
        return f"no kernel in {WORK} (sh tests/lab/ble/setup.sh {WORK})"
    if os.geteuid() != 0:
        return "the guest shares this machine's files as root"
    return ""


class GuestCrashed(Exception):
    """The guest's kernel or its BlueZ broke, by a fault of its own: the test says nothing."""


class _Sink:
    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.writer = writer

    def on_packet(self, packet: bytes) -> None:
        self.writer.write(packet)


class Guest:
    """A machine with some adapters. Everything it says is kept."""

    def __init__(self, adapters: int, extended: frozenset[int] = frozenset()) -> None:
        self.adapters, self.extended = adapters, extended
        self.air: Air
        self.radios: dict[int, Radio] = {}
        self.said: list[Json] = []
        self.names: list[str] = []
        self.used: set[int] = set()
        """Adapters that somebody had since the last ``clear``."""
        self.clock = 0.0
        """Seconds since it booted, as it counts them."""
        self._heard_at = time.monotonic()
        self._died = ""  # what BlueZ said last, if it ended without being told to
        self._privacy = ""
        self._servers: list[asyncio.Server] = []
        self._writers: dict[int, asyncio.StreamWriter] = {}
        self._absent: set[int] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._folder = Path(tempfile.mkdtemp(prefix="mc-"))
        self._more = threading.Condition()
        self._numbers = itertools.count(1)
        self._socket: socket.socket | None = None
        self._reader: threading.Thread
        self._machine: subprocess.Popen[bytes]
        self.console = self._folder / "console"

    # --- the machine -------------------------------------------------------------------------

    def start(self) -> None:
        compileall.compile_dir(ROOT / "meshchat", quiet=2)  # slow inside
        self._thread.start()
        self.on_air(self._make_air)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._folder / "job"))
        listener.listen(1)
        ports = ["-device", "virtio-serial-pci,max_ports=32"]
        for name in ["job", *(f"hci{n}" for n in range(self.adapters))]:
            again = "" if name == "job" else ",reconnect=1"
            ports += [
                "-chardev",
                f"socket,path={self._folder / name},id={name}{again}",
                "-device",
                f"virtserialport,chardev={name},name={name}",
            ]
        words = f"{WORDS} lab.init={HERE / 'guest-init.sh'} lab.python={sys.executable}"
        command = [
            *("nice", "-n", "5", "qemu-system-x86_64", "-machine", "q35"),
            # Its clock counts its own instructions, 2 ns each: on a busy machine the guest is slow
            # but not late, and a controller has two seconds to answer Linux.
            *("-accel", "tcg,thread=single", "-icount", "shift=1", "-smp", "1"),
            # The plainest there is: what it cannot do need not be emulated (a fifth to a third of
            # the work of "max").
            *("-cpu", "qemu64", "-m", "1024"),
            *("-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"),
            *("-net", "none", "-device", "virtio-rng-pci"),
            "-virtfs",
            "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap",
            *ports,
            *("-kernel", str(WORK / "vmlinuz"), "-initrd", str(WORK / "initrd.img")),
            *("-append", words),
        ]
        with self.console.open("wb") as console:
            self._machine = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT
            )
        listener.settimeout(60 * SLOW)
        self._socket, _ = listener.accept()
        listener.close()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.until("lab", "ready")

    async def _make_air(self) -> None:
        self.air = Air()
        for number in range(self.adapters):
            server = await asyncio.start_unix_server(
                lambda reader, writer, n=number: self._plugged(n, reader, writer),  # type: ignore[misc]
                self._folder / f"hci{number}",
            )
            self._servers.append(server)

    async def _unplug(self) -> None:
        for server in self._servers:
            server.close()
        for writer in self._writers.values():
            writer.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(others, timeout=5) if others else None

    async def _plugged(
        self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if number in self._absent:
            writer.close()
            return
        extended = number in self.extended
        radio = make_radio(number, self.air, sink=_Sink(writer), extended=extended)
        self.radios[number], self._writers[number] = radio, writer
        parser = PacketParser(radio)
        try:
            while data := await reader.read(65_536):
                parser.feed_data(data)
        except OSError:
            pass
        finally:
            self.air.remove(radio)
            writer.close()

    def crashed(self) -> bool:
        """Whether its kernel broke or its BlueZ died: another machine has to be started.

        Bluetooth of Linux 6.1 has list corruptions of its own, and BlueZ 5.66 crashes at times.
        """
        return bool(self._died or CRASH.search(self.console.read_bytes()))

    def stop(self) -> None:
        """End the machine, kindly at first."""
        try:
            if self._machine.poll() is None and not self.crashed():
                self.tell("lab", "end")
                self._machine.wait(30 * SLOW)
        finally:
            self._machine.kill()
            self._machine.wait()
            if self._socket is not None:
                self._socket.close()
            self.on_air(self._unplug)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(5)
            self._loop.close()
            shutil.rmtree(self._folder)

    # --- the air -----------------------------------------------------------------------------

    def on_air(self, act: Callable[[], Any]) -> Any:
        """Do something where the radios live; a coroutine function or a plain one."""

        async def there() -> Any:
            result = act()
            return await result if asyncio.iscoroutine(result) else result

        return asyncio.run_coroutine_threadsafe(there(), self._loop).result(30)

    def reach(self, pairs: set[tuple[int, int]] | None) -> None:
        """Only these adapters hear each other, both ways; None: all do. Others are cut."""

        def act() -> None:
            numbers = {id(radio): number for number, radio in self.radios.items()}

            def hears(one: Any, other: Any) -> bool:
                pair = numbers.get(id(one), -1), numbers.get(id(other), -1)
                return pairs is None or pair in pairs or pair[::-1] in pairs

            self.air.hears = hears
            for a, b in itertools.combinations(self.radios, 2):
                if not hears(self.radios[a], self.radios[b]):
                    self.air.cut(self.radios[a], self.radios[b])

        self.on_air(act)

    def cut(self, one: int, other: int) -> None:
        """The signal between two is lost for a moment."""
        self.on_air(lambda: self.air.cut(self.radios[one], self.radios[other]))

    def power(self, *numbers: int, on: bool) -> None:
        """As a person switches Bluetooth; BlueZ is busy at times."""
        left = [f"hci{number}" for number in numbers]

        def done() -> bool:
            left[:] = self.tell("lab", "power", adapters=left, on=on)
            return not left

        self.wait_for(done)

    def pull_out(self, number: int) -> None:
        """The adapter is not there any more."""
        self._absent.add(number)
        self.on_air(lambda: self._writers[number].close())

    def plug_in(self, number: int) -> None:
        self._absent.discard(number)

    # --- the agent ---------------------------------------------------------------------------

    def _read(self) -> None:
        assert self._socket is not None
        held = b""
        while True:
            try:
                data = self._socket.recv(65_536)
            except OSError:
                data = b""
            if not data:
                break
            *lines, held = (held + data).split(b"\n")
            with self._more:
                for said in map(json.loads, lines):
                    if said.get("kind") == "tick":
                        self.clock, self._heard_at = said["at"], time.monotonic()
                    elif said.get("kind") == "died":
                        self._died = f"BlueZ ended with status {said['status']}: {said['log']}"
                    else:
                        self.said.append(said)
                self._more.notify_all()

    def tell(self, to: str, what: str, timeout: float = 60.0, **args: Any) -> Any:
        """Have something done in the guest; returns its result."""
        number = next(self._numbers)
        line = {"to": to, "id": number, "do": what, "args": args}
        assert self._socket is not None
        self._socket.sendall(json.dumps(line).encode() + b"\n")
        answer = self._wait(
            lambda: next((s for s in self.said if s.get("id") == number), None), timeout, line
        )
        assert "error" not in answer, f"{to} {what}: {answer['error']}"
        return answer["result"]

    def mark(self) -> int:
        """A moment, for ``until(since=...)``."""
        return len(self.said)

    def until(
        self,
        who: str,
        kind: str,
        fits: Callable[[Json], bool] = lambda _: True,
        *,
        count: int = 1,
        since: int = 0,
        timeout: float = 60.0,
    ) -> Json:
        """Wait for the ``count``-th event of a kind that fits."""

        def found() -> Json | None:
            fit = self.of(who, kind, since, fits)
            return fit[count - 1] if len(fit) >= count else None

        return self._wait(found, timeout, (who, kind))

    def of(
        self, who: str, kind: str, since: int = 0, fits: Callable[[Json], bool] = lambda _: True
    ) -> list[Json]:
        """What was said of one kind."""
        with self._more:
            said = self.said[since:]
        return [s for s in said if s["from"] == who and s.get("kind") == kind and fits(s)]

    def _wait(self, found: Callable[[], Json | None], timeout: float, what: object) -> Json:
        self._heard_at = time.monotonic()
        end = self.clock + timeout * SLOW
        silent_s = (SILENT_S if self.clock else BOOT_S) * SLOW
        while True:
            if (answer := found()) is not None:
                return answer
            if self.crashed():
                why = self._died or "the kernel crashed"
                raise GuestCrashed(f"while waiting for {what}: {why}")
            hangs = time.monotonic() > self._heard_at + silent_s
            if self.clock > end or hangs or self._machine.poll() is not None:
                logs = self.console.read_text(errors="replace")[-1500:]
                raise AssertionError(f"no {what} in {timeout} s: {self.said[-8:]}\n{logs}")
            with self._more:
                self._more.wait(0.2)

    def wait_for(self, true: Callable[[], Any], timeout: float = 60.0) -> None:
        """Ask again and again until it is so."""
        self._wait(lambda: {} if true() else None, timeout, "what was waited for")

    def capture(self) -> list[tuple[str, bytes]]:
        """Address and data of every advert from now on; grows."""
        adverts: list[tuple[str, bytes]] = []
        self.on_air(lambda: setattr(self.air, "adverts", adverts))
        return adverts

    def tokens(self) -> set[bytes]:
        """Those of two radios that are on the air now; more, if one takes another meanwhile."""
        adverts, found = self.capture(), set()

        def heard() -> bool:
            found.update(data[-6:] for _, data in adverts)
            return len(found) >= 2

        self.wait_for(heard)
        return found

    def listen(self) -> list[bytes]:
        """Everything that is sent on connections from now on; grows."""
        data: list[bytes] = []
        self.on_air(lambda: setattr(self.air, "data", data))
        return data

    # --- people ------------------------------------------------------------------------------

    def begin(self, kind: str, name: str, number: int) -> None:
        """Start a node or a bare radio on an adapter."""
        since = self.mark()
        self.names.append(name)
        self.used.add(number)
        self.tell("lab", "fork", kind=kind, name=name, adapter=f"hci{number}")
        self.until(name, "alive", since=since)

    def open(self, name: str) -> Json:
        """Have a bare radio opened, as soon as its adapter has power."""
        answer: Json = {}

        def opened() -> bool:
            answer.clear()
            answer.update(self.tell(name, "open"))
            return "name" in answer

        self.wait_for(opened)
        return answer

    def kill(self, name: str) -> None:
        """As a power cut would, but for the kernel."""
        self.names.remove(name)
        self.tell("lab", "kill", name=name)

    def people(self, names: str) -> list[str]:
        """Nodes on the first adapters, all linked into one mesh, friends of the next one.

        Returns:
            Fingerprints in the order of the names.
        """
        for number, name in enumerate(names):
            self.begin("node", name, number)
        found = [""] * len(names)
        for at, name in enumerate(names[:-1]):
            found[at], found[at + 1] = self.befriend(name, names[at + 1])
        for name in names:
            self.until(name, "up")
        return found

    def bluetoothd(self, privacy: str) -> None:
        """BlueZ runs with this setting of Privacy; empty: not at all."""
        if privacy != self._privacy:
            self._privacy = privacy
            if privacy:
                self.tell("lab", "bluetoothd", privacy=privacy)
            else:
                self.tell("lab", "no_bluetoothd")

    def clear(self) -> None:
        """As it was before a test."""
        for name in list(self.names):
            self.kill(name)
        # Linux 6.1 does nothing else with an adapter while a dial is under way, for 20 s: neither
        # would it be switched off. Who began these is gone.
        self.on_air(lambda: [radio.end_dial() for radio in self.radios.values()])
        self.tell("lab", "sh", command="rm -f /run/*.db*")
        if self._privacy:  # a killed program leaves its connections and its dial to BlueZ
            used = self.used - self._absent
            for on in (False, True):
                self.power(*used, on=on)
        self.used.clear()
        for number in sorted(self._absent):
            self.plug_in(number)
        self.on_air(lambda: setattr(self.air, "adverts", None))
        self.on_air(lambda: setattr(self.air, "data", None))
        self.reach(None)
        with self._more:
            self.said.clear()

    def befriend(self, one: str, other: str) -> tuple[str, str]:
        """Both add each other; returns the fingerprints of the first and the second."""
        second = self.tell(one, "add", card=self.tell(other, "card"))
        first = self.tell(other, "add", card=self.tell(one, "card"))
        return first, second

    def logs(self) -> str:
        """What the programs inside complained about."""
        return str(self.tell("lab", "sh", command="tail -n 20 /run/*.log; dmesg | tail -5"))
