"""Labs made of network namespaces, and programs on their hosts."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NETLAB = Path(os.environ.get("MESHCHAT_NETLAB", ROOT.parent / "shared/lab/netlab"))
NEEDS_LAB = pytest.mark.skipif(
    not NETLAB.is_file() or not hasattr(os, "geteuid") or os.geteuid() != 0,
    reason="needs root and the lab tool (MESHCHAT_NETLAB)",
)

Event = dict[str, Any]


class Lab:
    """One lab; ``run`` is the tool's command line."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.programs: list[Program] = []

    def run(self, *words: object) -> str:
        """Carry out one command of the tool."""
        argv = [str(NETLAB), "--lab", self.name, *map(str, words)]
        done = subprocess.run(argv, text=True, capture_output=True, timeout=60)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def start(self, host: str, script: str, *words: str) -> "Program":
        """Run a script of this folder on a host."""
        program = Program(self, host, script, words)
        self.programs.append(program)
        return program

    def nodes(self, hosts: list[str], *words: str) -> list["Program"]:
        """Start ``peer.py`` on many hosts, and let all begin in the same instant."""
        nodes = [self.start(host, "peer.py", "--wait", *words) for host in hosts]
        for node in nodes:
            node.until("ready", timeout=60)
        for node in nodes:
            node.tell("go")
        return nodes


class Program:
    """A running program that prints JSON lines."""

    def __init__(self, lab: Lab, host: str, script: str, words: tuple[str, ...]) -> None:
        argv = [str(NETLAB), "--lab", lab.name, "exec", host, "--", sys.executable]
        self.host = host
        self.process = subprocess.Popen(
            [*argv, str(ROOT / "tests/lab" / script), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(ROOT), "USER": "asel-the-user"},
        )
        self.events: list[Event] = []
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._more:
                self.events.append(json.loads(line))
                self._more.notify_all()
        with self._more:
            self._more.notify_all()

    def tell(self, line: str) -> None:
        """Write a line to its input."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def of(self, kind: str, since: float = 0.0) -> list[Event]:
        """What it said of one kind after an instant."""
        with self._more:
            return [e for e in self.events if e["kind"] == kind and e["t"] >= since]

    def until(
        self,
        kind: str,
        fits: Callable[[Event], bool] = lambda _: True,
        *,
        count: int = 1,
        since: float = 0.0,
        timeout: float = 30.0,
    ) -> Event:
        """Wait for the ``count``-th event of a kind that fits."""
        end = time.monotonic() + timeout
        while True:
            found = [e for e in self.of(kind, since) if fits(e)]
            if len(found) >= count:
                return found[count - 1]
            left = end - time.monotonic()
            said = self.events[-5:]
            assert left > 0, f"{self.host}: {len(found)} of {count} {kind} in {timeout} s: {said}"
            assert self._reader.is_alive(), f"{self.host} ended: {said}"
            with self._more:
                self._more.wait(min(left, 0.1))

    def stop(self) -> Event:
        """End it politely; returns its last words."""
        self.process.terminate()
        self._finish()
        return self.events[-1]

    def kill(self) -> None:
        """End it as a power cut would, but for the kernel."""
        if self.process.poll() is None:
            self.process.kill()
        self._finish()

    def _finish(self) -> None:
        self.process.wait(20)
        self._reader.join(5)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


@contextmanager
def lab(name: str, hosts: int, *words: str) -> Iterator[Lab]:
    """A fresh lab, taken down whatever happens."""
    made = Lab(name)
    made.run("down")
    try:
        made.run("up", "--hosts", hosts, *words)
        yield made
    finally:
        for program in made.programs:
            program.kill()
        made.run("down")


def measured(what: str, seconds: float) -> None:
    """Print a figure for whoever runs with ``-s``."""
    print(f"measured: {what}: {seconds:.2f}")
