"""What a node costs that has nothing to do: ``python -m tests.bench.idle [seconds]``.

One real node without a screen, alone on a lab host; as root only. Otherwise it runs on this
machine's loopback, where the LAN transport finds no network to send beacons on.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "lab")]

from labtool import NEEDS_LAB  # noqa: E402
from person import PASSPHRASE, crew, wait_for  # noqa: E402

from tests.bench.table import Figure, show  # noqa: E402

SETTLE_S = 15.0  # first beacons, mDNS and the first announce
WATCH_S = 60.0


@contextmanager
def node() -> Iterator[tuple[int, str]]:
    """A running node; its process id and where it is."""
    with tempfile.TemporaryDirectory() as folder:
        if not NEEDS_LAB.args[0]:
            with crew("mcidle", "Alone", Path(folder)) as (_, (person,)):
                assert person.process is not None
                yield person.process.pid, "alone on a LAN"
            return
        home, secret = Path(folder) / "home", Path(folder) / "passphrase"
        secret.write_text(PASSPHRASE + "\n")
        argv = [sys.executable, "-m", "meshchat", "--home", str(home),
                "--passphrase-file", str(secret)]  # fmt: skip
        subprocess.run([*argv, "init", "--name", "Alone", "--small"], check=True, cwd=ROOT)
        (home / "config.toml").write_text('[lan]\ninterfaces = ["lo"]\n')
        process = subprocess.Popen([*argv, "node", "--no-ble"], cwd=ROOT)
        try:
            wait_for(lambda: (home / "node.sock").exists(), "the node starts", 30)
            yield process.pid, "without a network"
        finally:
            process.kill()
            process.wait()


def cpu_s(pid: int) -> float:
    """Seconds of a core that all threads have used; Linux counts them in nanoseconds."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


def figures(seconds: float = WATCH_S) -> list[Figure]:
    """Memory and CPU after settling."""
    with node() as (pid, place):
        time.sleep(SETTLE_S)
        before = cpu_s(pid)
        time.sleep(seconds)
        used = cpu_s(pid) - before
        rss = int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0])
    return [
        (f"idle node {place}: RSS, MiB", rss / 1024, "<= 45"),
        (f"idle node {place}: CPU, % of a core", 100 * used / seconds, "<= 0.05"),
    ]


if __name__ == "__main__":
    sys.exit(bool(show(figures(*(float(argument) for argument in sys.argv[1:2])))))
