"""Start-up, long histories and memory of the terminal screens, as ratios of one run.

    python tests/bench/ui.py

Each program is started in a pty of its own, in turn with the others, and measured
when a known text of its first screen has been painted: CPU time of the process
at that moment, user and system. The least of many counts: what else runs here only ever adds.
"""

import asyncio
import os
import pty
import resource
import select
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "ui")]
os.environ["PYTHONPATH"] = str(ROOT)

from tests.bench.table import Figure, show  # noqa: E402

ROUNDS = 7
HELLO = """
from textual.app import App
from textual.widgets import Static
class Hello(App):
    def compose(self):
        yield Static("hello world")
Hello().run()
"""


NO_HASH = (
    "import meshchat.keyfile as k; k.MEMORY_FLOOR_KIB = 8; import meshchat.cli; meshchat.cli.main()"
)
"""The client, with a passphrase whose hash costs nothing: it is not what is measured."""


def cpu_of(pid: int) -> float:
    """CPU seconds that all threads of a program have used, to the nanosecond."""
    files = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(file.read_text().split()[0]) for file in files) / 1e9


def first_frame(
    argv: list[str], marker: bytes, linger_s: float = 0.0, key: bytes = b""
) -> tuple[float, float]:
    """CPU seconds until ``marker`` was painted, and RSS in MiB ``linger_s`` later.

    With a ``key``: until that was typed at the first frame and has been painted too.
    """
    pid, fd = pty.fork()
    if pid == 0:
        environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
        os.execvpe(argv[0], argv, environ)
    seen = b""
    end = time.monotonic() + 60
    while marker not in seen and time.monotonic() < end:
        if select.select([fd], [], [], 0.5)[0]:
            try:
                seen += os.read(fd, 65_536)
            except OSError:
                break
    if marker not in seen:
        raise SystemExit(f"{argv} never showed {marker!r}: {seen[-500:]!r}")
    if key:
        os.write(fd, key)
        while key not in os.read(fd, 65_536):
            pass
    cpu = cpu_of(pid)
    until = time.monotonic() + linger_s
    while time.monotonic() < until:
        if select.select([fd], [], [], 0.1)[0]:
            os.read(fd, 65_536)
    status = Path(f"/proc/{pid}/status").read_text()
    rss = int(status.split("VmRSS:")[1].split()[0]) / 1024
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    os.close(fd)
    return cpu, rss


def run_cpu(argv: list[str]) -> float:
    """CPU seconds of a program that ends by itself."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    pid = os.posix_spawn(
        argv[0],
        argv,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    os.waitpid(pid, 0)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def profile_with(home: Path, count: int) -> None:
    """A profile whose one chat holds so many messages, all read; its hash is no work."""
    from screens import NOON

    import meshchat.keyfile
    from meshchat.core.model import Message, Room, State
    from meshchat.profile import Profile
    from meshchat.text import Clean

    meshchat.keyfile.MEMORY_FLOOR_KIB = 8
    profile = Profile(home)
    profile.init("Me", "pw", small=True)
    (home / "pw").write_text("pw\n")
    store = profile.unlock("pw")
    room = b"r" + b"\1" * 16
    with store.transaction():
        store.save_room(Room(room[1:], Clean("yard"), b"\2" * 32, False, NOON))
        for number in range(count):
            text = Clean(f"message {number}. " + "some words of a chat " * (number % 5))
            at = NOON - 60 * (count - number)
            stored = store.add_message(
                Message(
                    id=number.to_bytes(8, "big"),
                    chat=room,
                    author=bytes([number % 3]) * 32,
                    author_name=Clean("Bob"),
                    outgoing=False,
                    text=text,
                    sent_at=at,
                    received_at=at,
                    state=State.RECEIVED,
                )
            )
        assert stored is not None
        store.mark_read(room, stored.seq)
    store.close()


async def open_times(sizes: tuple[int, ...]) -> dict[int, tuple[float, float]]:
    """For each size: CPU seconds to open the chat and paint it, and to go to its start."""
    from screens import Person

    found: dict[int, tuple[float, float]] = {}
    for size in sizes:
        me, bob = Person("Me"), Person("Bob")
        chat = b"c" + bob.runtime.node.fp
        async with me.at((100, 30)) as (app, pilot):
            await me.knows(bob)
            me.read(chat, me.fill(chat, size, "message {} with a few more words".format)[-1])
            app.chat.reload()
            opened, whole = [], []
            for _ in range(ROUNDS):
                app.chat.close_chat()
                await pilot.pause()
                app.chat._chat = b""
                began = time.process_time()
                app.chat.open(chat)
                await pilot.pause()
                opened.append(time.process_time() - began)
                app.history.action_first()
                await pilot.pause()
                whole.append(time.process_time() - began)
            found[size] = statistics.median(opened), statistics.median(whole)
    return found


async def history_times(size: int) -> dict[str, float]:
    """CPU seconds of what somebody does in a history of so many messages."""
    from screens import NOON, Person

    from meshchat.core.events import MessageAdded

    me, bob = Person("Me"), Person("Bob")
    chat = b"c" + bob.runtime.node.fp
    found: dict[str, float] = {}
    async with me.at((100, 30)) as (app, pilot):
        await me.knows(bob)
        me.read(chat, me.fill(chat, size, "message {} with a few more words".format)[-1])
        app.chat.reload()
        app.chat.open(chat)
        app.history.action_first()
        await pilot.pause()
        app.history.action_last()
        await pilot.pause()
        appended = []
        with me.store.transaction():
            new = [me._add(chat, "one more", NOON, 10**7 + n) for n in range(50)]
        for message in new:
            began = time.process_time()
            app.history.add(message)
            app.history._settle()
            appended.append(time.process_time() - began)
        await pilot.pause()
        found["append"] = statistics.median(appended)
        paged = []
        for _ in range(20):
            began = time.process_time()
            app.history.action_page(-1)
            await pilot.pause()
            paged.append(time.process_time() - began)
        found["page"] = statistics.median(paged)
        sized = []
        for width in (80, 100, 60, 100, 120):
            app.history._width = width
            began = time.process_time()
            app.history._estimate()
            app.history._settle()
            sized.append(time.process_time() - began)
        found["resize"] = statistics.median(sized)
        app.history.action_last()
        await pilot.pause()
        with me.store.transaction():
            burst = [me._add(chat, f"burst {n}", NOON, 2 * 10**7 + n) for n in range(5_000)]
        repaints, longest = 0, 0.0
        refresh = app.history.refresh

        def counted(*args: object, **options: object) -> object:
            nonlocal repaints
            repaints += 1
            return refresh(*args, **options)

        app.history.refresh = counted
        for start in range(0, len(burst), 256):  # as the runtime commits them
            began = time.process_time()
            for message in burst[start : start + 256]:
                app.chat._hear(MessageAdded(message))
            app.chat._take_in()
            longest = max(longest, time.process_time() - began)
        await pilot.pause()
        found["burst repaints"], found["burst longest"] = repaints, longest
    return found


def idle_cpu(argv: list[str], marker: bytes, seconds: float = 10.0) -> float:
    """CPU share of a program that shows a chat in which nothing happens."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execvpe(argv[0], argv, {**os.environ, "TERM": "xterm-256color"})
    seen = b""
    while marker not in seen:
        seen += os.read(fd, 65_536)
    ticks = os.sysconf("SC_CLK_TCK")

    def cpu() -> float:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / ticks

    end = time.monotonic() + 3  # what comes after the first frame
    while time.monotonic() < end:
        if select.select([fd], [], [], 0.2)[0]:
            os.read(fd, 65_536)
    before, end = cpu(), time.monotonic() + seconds
    while time.monotonic() < end:
        if select.select([fd], [], [], 0.2)[0]:
            os.read(fd, 65_536)
    used = cpu() - before
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    os.close(fd)
    return used / seconds


def figures() -> list[Figure]:
    """Start-up, memory and opening times; what is a ratio or absolute has its bar."""
    found: list[Figure] = []
    plain, meshchat = ([sys.executable, *rest] for rest in (("-m", "meshchat"), ("-c", NO_HASH)))
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        for count in (5_000, 100_000):
            profile_with(base / str(count), count)
        (base / "hello.py").write_text(HELLO)
        hello = [sys.executable, str(base / "hello.py")]
        here = ["--home", str(base / "5000"), "--no-lan", "--no-ble"]
        opened = [*meshchat, *here, "--passphrase-file", f"{base}/5000/pw"]
        programs: dict[str, tuple[list[str], bytes] | tuple[list[str], bytes, float, bytes]] = {
            "hello": (hello, b"hello world"),
            "chat of 5,000": (opened, b"yard"),
            "chat of 5,000 and a typed key": (opened, b"yard", 0.0, b"Q"),
            "lock screen": ([*plain, *here], b"Passphrase"),
            "first run": (
                [*plain, "--home", str(base / "new"), "--no-lan", "--no-ble"],
                b"Welcome",
            ),
        }
        cpu: dict[str, list[float]] = {name: [] for name in programs}
        for program in programs.values():
            first_frame(*program)  # warm the disk
        for _ in range(ROUNDS):
            for name, program in programs.items():
                cpu[name].append(first_frame(*program)[0])
        least = {name: min(values) for name, values in cpu.items()}  # others only ever add
        bar = least.pop("hello")
        found.append(("CPU to first frame, Textual hello-world, ms", bar * 1000, ""))
        for name, seconds in least.items():
            found.append((f"CPU to first frame, {name}, ms", seconds * 1000, ""))
            limit = "" if "key" in name else "<= 1.6"
            found.append((f"{name} to hello-world", seconds / bar, limit))
        version = statistics.median(run_cpu([*plain, "--version"]) for _ in range(ROUNDS))
        found.append(("CPU of --version, ms", version * 1000, "<= 60"))
        for count, limit in ((5_000, 60), (100_000, 60)):
            home = base / str(count)
            argv = [
                *meshchat,
                "--home",
                str(home),
                "--no-lan",
                "--no-ble",
                "--passphrase-file",
                f"{home}/pw",
            ]
            _used, rss = first_frame(argv, b"yard", linger_s=2.0)
            found.append((f"RSS with {count:,} messages open, MiB", rss, f"<= {limit}"))
        small = [*meshchat, "--home", str(base / "5000"), "--no-lan", "--no-ble"]
        small += ["--passphrase-file", f"{base}/5000/pw"]
        found.append(("idle CPU with a chat open, %", 100 * idle_cpu(small, b"yard"), "<= 0.5"))
        bare = statistics.median(run_cpu([sys.executable, "-c", ""]) for _ in range(ROUNDS))
        prompt = [*small, "--linear"]
        hashed = run_cpu([*meshchat, "--home", f"{base}/5000", *small[-2:], "name"])
        lines = statistics.median(run_cpu(prompt) for _ in range(ROUNDS))
        found.append(
            (
                "CPU of the linear mode beyond Python, without the hash, ms",
                (lines - bare) * 1000,
                "",
            )
        )
        found.append(("of it beyond one command, ms", (lines - hashed) * 1000, "<= 150"))
    size_small, size_large = (asyncio.run(history_times(n)) for n in (1_000, 100_000))
    append = size_large["append"]
    found.append(("append to 100,000, ms", append * 1000, "<= 5"))
    found.append(("append, 100,000 to 1,000", append / size_small["append"], "<= 2"))
    found.append(("page up in 100,000, ms", size_large["page"] * 1000, "<= 20"))
    found.append(("resize of 100,000, ms", size_large["resize"] * 1000, "<= 200"))
    found.append(("repaints in a burst of 5,000", size_large["burst repaints"], "<= 60"))
    found.append(("longest step in it, ms", size_large["burst longest"] * 1000, "<= 50"))
    times = asyncio.run(open_times((1_000, 100_000)))
    for which, label in enumerate(("open and paint", "open, then go to the first message")):
        small, large = times[1_000][which], times[100_000][which]
        found.append((f"{label}, 1,000, ms", small * 1000, ""))
        found.append((f"{label}, 100,000, ms", large * 1000, ""))
        found.append((f"{label}, 100,000 to 1,000", large / small, "<= 2" if which == 0 else ""))
    return found


if __name__ == "__main__":
    sys.exit(bool(show(figures())))
