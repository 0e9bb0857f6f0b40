"""``meshchat sim`` and ``demo`` as real processes, with and without a terminal, and their input."""

import errno
import fcntl
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from meshchat.sim.command import ONE_STOP_S

WAIT_S = 60  # only reached when something is broken
CONTACTS = "start_s,end_s,node_a,node_b\n20,60,0,2\n100,200,1,2\n300,400,0,2\n"
WORKLOAD = "created_s,src,dst,size_bytes,ttl_s\n10,0,1,500,21600\n12,0,1,90000,21600\n"
LAN = """
[scenario]
title = "Two on one network"
start = "2026-06-05 06:00 +05:00"
duration = "1h"
[[people]]
name = "pair"
count = 2
[radios.lan]
rate = 100_000
[[networks]]
name = "wifi"
kind = "lan"
radio = "lan"
[[workload]]
name = "chat"
to = "anyone"
count = 5
size = [5, 300]
ttl = "30min"
"""

TRACE = ("trace", "c.csv", "--workload", "w.csv", "--fast")

Done = tuple[int, str, str]
"""Exit code, standard output, standard error."""


def write_files(folder: Path) -> None:
    """A good trace, workload and scenario."""
    (folder / "c.csv").write_text(CONTACTS)
    (folder / "w.csv").write_text(WORKLOAD)
    (folder / "lan.toml").write_text(LAN)


def refused(done: Done, says: str, code: int = 2) -> None:
    """One clear sentence on standard error, the documented exit code, no traceback."""
    assert done[0] == code, done
    assert done[1] == ""
    assert done[2].startswith("meshchat: ")
    assert done[2].count("\n") == 1
    assert says in done[2]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "meshchat", *map(str, arguments)]


def process(*arguments: object, **environment: str) -> Done:
    """One command to its end, without a terminal."""
    done = subprocess.run(
        command(*arguments),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=WAIT_S,
        check=False, env={**os.environ, **environment},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


class Terminal:
    """A command on a terminal of 80 columns, and all that it shows there."""

    def __init__(self, *arguments: object) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        environment = {**os.environ, "TERM": "xterm"}
        environment.pop("COLUMNS", None)
        self.process = subprocess.Popen(
            command(*arguments),
            stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.shown = ""

    def until(self, text: str) -> None:
        """Read until something was shown."""
        while text not in self.shown:
            assert self._read(), self.shown

    def _read(self) -> bool:
        try:
            some = os.read(self._ours, 65_536)
        except OSError as error:  # how Linux says that nobody has the terminal any more
            assert error.errno == errno.EIO
            return False
        self.shown += some.decode(errors="replace")
        return bool(some)

    def stop(self, *signals: signal.Signals) -> None:
        """Send a signal, and the next a while after it was heard."""
        for number, each in enumerate(signals):
            if number:
                self.until("Stopping")
                time.sleep(2 * ONE_STOP_S)  # sooner, two signals are one wish
            self.process.send_signal(each)

    def end(self) -> int:
        """Everything else it shows, and its exit code."""
        while self._read():
            pass
        return self.process.wait(WAIT_S)

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        os.close(self._ours)


@contextmanager
def terminal(*arguments: object) -> Iterator[Terminal]:
    one = Terminal(*arguments)
    try:
        yield one
    finally:
        one.close()
