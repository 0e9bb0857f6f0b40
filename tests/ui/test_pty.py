"""The real program in a real pty, full of hostile text: what reaches the terminal is harmless."""

import contextlib
import json
import os
import re
import select
import signal
import struct
import sys
import time
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("needs a pty", allow_module_level=True)

import fcntl
import pty
import termios

from screens import NOON, Seeded, clock
from textual.drivers._writer_thread import MAX_QUEUED_WRITES, WriterThread

from meshchat.core.model import Contact, Group, Message, Room, State
from meshchat.core.node import Node
from meshchat.profile import Profile
from meshchat.store import SqlStore
from meshchat.text import Clean
from meshchat.ui.terminal import LastingFile

CORPUS = json.loads(
    (Path(__file__).parents[1] / "vectors" / "hostile_text.json").read_text("ascii")
)
TEXTS = [entry["text"] for entry in CORPUS if entry["group"] != "long"]
COLUMNS, ROWS = 150, 140
ROOM = b"r" + b"\1" * 16
SAMPLE_S = 0.01  # between two looks at what the program does
QUIET_S = 0.1 if sys.platform == "linux" else 0.5  # at rest for this long: longer than any timer
# What Textual itself writes: colours, cursor moves, modes on and off, questions to the terminal.
OURS = re.compile(
    r"\x1b\[[0-9;:]*m|\x1b\[\d+;\d+H|\x1b\[\?\d+(;\d+)*[hl]|\x1b\[\?\d+\$p|\x1b\[[<>=]\d*u"
    r"|\x1b\[\?\d*u|\x1b\[c|\x1b\[2[23];\d(;\d)?t|\x1b\[\d* q|\x1b\[16t|\x1bP\$?\x1b\\"
    r"|\x1b\]2;(\(\d+\) )?meshchat\x07|\x1b\[\d*[ABCDJK]|\x1b\[H"
    r"|\x1b\]22;(default|pointer|text)\x07"
)


def raw(text: str) -> Clean:
    """A Clean that is a lie, to get hostile bytes past the types and into the store."""
    return str.__new__(Clean, text)


def fill(home: Path, *more: str) -> None:
    """A profile whose messages, people and rooms all have hostile text in them."""
    profile = Profile(home)
    profile.init("Me", "pw", small=True)
    store = profile.unlock("pw")
    other = SqlStore.memory()
    with other.transaction():
        Node.create(other, Seeded("other"), clock(), "x")
        card = Node(other, Seeded("other"), clock()).card_bytes()
    with store.transaction():
        store.save_room(Room(ROOM[1:], raw("yard"), b"\2" * 32, False, NOON))
        for number, text in enumerate([*TEXTS, *more]):
            fp = number.to_bytes(2, "big") * 16
            store.save_contact(
                Contact(fp, card, raw(text[:60]), raw(text[:60]), added_at=1.0, heard_at=1.0)
            )
            store.save_room(Room(b"\3" * 14 + fp[:2], raw(text[:60]), fp, False, 2.0))
            store.save_group(Group(b"\4" * 14 + fp[:2], raw(text[:60]), joined_at=3.0))
            message = Message(
                id=b"m" * 6 + fp[:2],
                chat=ROOM,
                author=fp,
                author_name=raw(text[:60]),
                outgoing=False,
                text=raw(f"{text}mk{number}."),
                sent_at=NOON,
                received_at=NOON + number,
                state=State.RECEIVED,
                reason="",
            )
            stored = store.add_message(message)
            assert stored is not None
        store.mark_read(ROOM, stored.seq)
    store.close()
    (home / "pw").write_text("pw\n")


class Terminal:
    """A program in a pty, and every byte it wrote."""

    def __init__(self, *argv: str, environ: dict[str, str] | None = None) -> None:
        self.output = b""
        self._reads = 0  # as many bytes it will have read when the last keys have arrived
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            usual = {"TERM": "xterm-256color", "LANG": "C.UTF-8", "PYTHONUTF8": "1"}
            usual["ESCDELAY"] = "20"  # ms: an Escape alone is known as one before the next key
            for size in ("COLUMNS", "LINES"):  # set where tests run beside each other
                os.environ.pop(size, None)
            environ = {**os.environ, **usual, **(environ or {})}
            os.execvpe(sys.executable, [sys.executable, *argv], environ)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))

    def settle(self, until: bytes = b"", limit_s: float = 30.0) -> None:
        """Read until ``until`` was seen since the start and the program has come to rest.

        It rests when nothing is painted for a while and none of its threads has anything to do,
        however slow the machine is just now.
        """
        end = time.monotonic() + limit_s
        quiet_since = time.monotonic()
        while time.monotonic() < end:
            ready, _, _ = select.select([self._fd], [], [], SAMPLE_S)
            if ready:
                try:
                    data = os.read(self._fd, 65_536)
                except OSError:  # Linux says so when the program has ended
                    return
                if not data:
                    return
                self.output += data
            if ready or not self._rests():
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since >= QUIET_S and until in self.output:
                return
        raise AssertionError(f"never saw {until!r} in {self.output[-2000:]!r}")

    def _rests(self) -> bool:
        """Whether it has read all keys and its threads wait; where that cannot be seen, it may be.

        A key does not arrive at once: the kernel hands it over when it has a moment.
        """
        try:
            if self._has_read() < self._reads:
                return False
            threads = [task / "stat" for task in Path(f"/proc/{self.pid}/task").iterdir()]
            return all(stat.read_text().rpartition(")")[2].split()[0] in "SZ" for stat in threads)
        except OSError:
            return True

    def _has_read(self) -> int:
        """Bytes it has read so far, from anywhere."""
        return int(Path(f"/proc/{self.pid}/io").read_text().split()[1])

    def press(self, keys: str) -> None:
        with contextlib.suppress(OSError):
            self._reads = self._has_read() + len(keys.encode())
        os.write(self._fd, keys.encode())
        self.settle()

    def alive(self) -> bool:
        if self.pid and os.waitpid(self.pid, os.WNOHANG) != (0, 0):
            self.pid = 0
        return self.pid != 0

    def last_words(self) -> str:
        """What the program said when it ended too soon."""
        return self.output.decode("utf-8", "replace").rpartition("meshchat: ")[2][:1_000]

    def end(self) -> int:
        """Wait for the end, reading what still comes; returns the exit code."""
        while True:
            try:
                data = os.read(self._fd, 65_536)
            except OSError:
                break
            if not data:
                break
            self.output += data
        status = os.waitpid(self.pid, 0)[1]
        self.pid = 0
        return os.waitstatus_to_exitcode(status)

    def close(self) -> None:
        if self.pid and self.alive():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """meshchat with the hostile profile, past its passphrase, in the room with all messages."""
    home = tmp_path / "home"
    fill(home)
    program = Terminal(
        *(
            "-m",
            "meshchat",
            "--home",
            str(home),
            "--no-lan",
            "--no-ble",
            "--passphrase-file",
            f"{home}/pw",
        )
    )
    try:
        program.settle(b"anyone may read")
        yield program
    finally:
        program.close()


def steering(text: str) -> list[str]:
    """The parts of a hostile string that begin with something a terminal obeys."""
    parts = re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069].*", text)
    return [part for part in parts if len(part) > 1]


@pytest.mark.timeout(400)  # 40 s of work for both sides, more beside other tests
def test_no_hostile_byte_reaches_the_terminal(terminal: Terminal) -> None:
    """Every body, petname, claimed name, author and room name is shown; none of it steers."""
    page, escape, click = "\x1b[6~", "\x1b", "\x1b[<0;{0};{1}M\x1b[<0;{0};{1}m"
    terminal.press("\x1b[A")  # message mode: keys for the history
    terminal.press("\x1b[H")
    terminal.settle(b"mk0.")  # the whole history is laid out first
    for _ in range(len(TEXTS) // (ROWS - 8) * 2 + 6):
        terminal.press(page)
    terminal.press("i")  # the journey of one
    terminal.press(escape)
    terminal.press(escape)
    for row in range(2, ROWS - 6):  # click what is there: no markup may have become an action
        os.write(terminal._fd, click.format(40, row).encode())
    terminal.settle()
    terminal.press(escape)
    for _ in range(3 * len(TEXTS) // (ROWS - 8) + 4):  # the list of chats
        terminal.press(page)
    terminal.press("\x0b")  # the chat switcher
    for _ in range(3):
        terminal.press("\x1b[B" * 20)
    terminal.press(escape)
    for _ in range(0, len(TEXTS), 32):  # people's own screens; they are at the end of the list
        terminal.press("\x1b[1;3A" * 32 + "\x1bOQ")
        terminal.press(escape)
    assert terminal.alive(), terminal.last_words()
    assert terminal.output.count(b"calls itself") >= 3
    for key in ("\x1bOR", "\x1bOS", "\x1b[15~"):  # mesh, radios, journey
        terminal.press(key)
        terminal.press(page * 3)
        terminal.press(escape)
        terminal.press(escape)
    assert terminal.alive()
    terminal.press("\x0b")
    terminal.press("yard")
    terminal.press("\r")
    for _ in range(4):  # groups come after the room: header, members
        terminal.press("\x1b[1;3B")
        terminal.press("/members\r")
        terminal.press(escape)
    assert b"nobody can prove" in terminal.output, terminal.last_words()
    terminal.press("\x1b[1;3A" * 4)
    for typed in ("@", "#", "/unblock ", "/chat ", "/seized ", ":fl"):  # what Tab offers
        terminal.press(typed)
        for _ in range(3):
            terminal.press("\t" * 4)
        terminal.press("\x15" + "\x7f" * 80)
    terminal.press("\x06")  # find: marks and moves
    terminal.press("mk")
    for _ in range(3):
        terminal.press("\x1b[A" * 10)
    terminal.press(escape)
    terminal.press("/search mk\r")
    for _ in range(6):
        terminal.press("\x1b[B" * 20)
    terminal.press("\r")
    for key in ("r", escape, "+", escape, "d", "n"):  # answering, reacting, deleting quote it
        terminal.press("\x1b[A")
        terminal.press(key)
    terminal.press(escape)
    assert terminal.alive(), terminal.last_words()

    shown = terminal.output.decode("utf-8")
    plain = re.sub(r"\x1b\[[^A-Za-z]*[A-Za-z]", "", shown)
    missing = [n for n in range(len(TEXTS)) if f"mk{n}." not in plain]
    assert not missing, (len(missing), missing)
    for number, text in enumerate(TEXTS):
        for part in steering(f"{text}mk{number}."):
            assert part not in shown, (number, part)
    rest = OURS.sub("", shown)
    bad = {
        char
        for char in rest
        if unicodedata.category(char) in ("Cc", "Cs", "Co", "Cn", "Zl", "Zp")
        or (unicodedata.category(char) == "Cf" and char not in "\u200c\u200d")
        if char not in "\r\n" and not "\U000e0020" <= char <= "\U000e007f"
    }
    around = [rest[max(0, rest.index(c) - 20) : rest.index(c) + 20] for c in bad]
    assert not bad, around

    terminal.press(escape)
    terminal.press("\x11")
    assert terminal.end() == 0


def test_nothing_is_left_on_the_screen(terminal: Terminal) -> None:
    """After Ctrl+Q the terminal is as before: the alternate screen is left, no text is printed."""
    terminal.press("\x11")
    assert terminal.end() == 0
    assert b"\x1b[?1049l" in terminal.output
    after = terminal.output.rsplit(b"\x1b[?1049l", 1)[1].decode()
    assert not OURS.sub("", after).strip()


def chat_with_draft(home: Path, environ: dict[str, str] | None = None) -> Terminal:
    """A small profile in its one room, with something typed that was not sent."""
    profile = Profile(home)
    if not profile.exists():
        profile.init("Me", "pw", small=True)
        (home / "pw").write_text("pw\n")
        store = profile.unlock("pw")
        with store.transaction():
            store.save_room(Room(ROOM[1:], Clean("yard"), b"\2" * 32, False, NOON))
        store.close()
    options = ("--home", str(home), "--no-lan", "--no-ble", "--passphrase-file", f"{home}/pw")
    program = Terminal("-m", "meshchat", *options, environ=environ)
    program.settle(b"yard")
    return program


def draft_of(home: Path) -> str:
    store = Profile(home).unlock("pw")
    try:
        return next((str(row.draft) for row in store.chats() if row.draft), "")
    finally:
        store.close()


def test_a_terminal_that_is_closed_loses_nothing(tmp_path: Path) -> None:
    """The window goes in the middle of a word: the program ends, the draft is stored."""
    home = tmp_path / "home"
    program = chat_with_draft(home)
    program.press("half a wor")
    os.close(program._fd)
    for _ in range(200):
        if not program.alive():
            break
        time.sleep(0.05)
    else:
        os.kill(program.pid, signal.SIGKILL)
        raise AssertionError("it goes on without a terminal")
    assert draft_of(home) == "half a wor"


def test_what_is_painted_on_a_closed_terminal_is_taken() -> None:
    """Textual's thread goes on: without it the program would wait for it and never end."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as file:
        writer = WriterThread(LastingFile(file))  # type: ignore[arg-type]
        writer.start()
        os.close(ours)
        for _ in range(10 * MAX_QUEUED_WRITES):
            writer._queue.put("painted " * 1_000, timeout=10)
        writer._queue.put(None, timeout=10)
        writer.join(10)
        assert not writer.is_alive()


def test_a_killed_program_keeps_what_was_typed_a_moment_ago(tmp_path: Path) -> None:
    """SIGKILL, as a battery that is empty: the draft of the last pause is there."""
    home = tmp_path / "home"
    program = chat_with_draft(home)
    program.press("typed")
    time.sleep(1.5)  # the pause after which a draft is stored, in a real program
    os.kill(program.pid, signal.SIGKILL)
    program.close()
    assert draft_of(home) == "typed"


@pytest.mark.parametrize(
    "environ",
    [
        {"TERM": "linux", "LANG": "C", "PYTHONUTF8": "0"},
        {"TERM": "xterm", "LANG": "no_SUCH.locale", "LC_ALL": "bro ken", "PYTHONUTF8": "0"},
        {"TERM": "vt100", "NO_COLOR": "1", "LANG": "ru_RU.KOI8-R", "PYTHONUTF8": "0"},
        {"TERM": "xterm-16color", "COLORTERM": ""},
    ],
    ids=lambda environ: environ["TERM"],
)
def test_poor_terminals_are_served(tmp_path: Path, environ: dict[str, str]) -> None:
    """No UTF-8, a broken locale, no colours, sixteen colours: it starts, takes a line, ends."""
    program = chat_with_draft(tmp_path / "home", environ)
    try:
        program.press("hello\r")
        program.press("\x1bOR")
        program.press("\x1b")
        assert program.alive(), program.last_words()
        program.press("\x11")
        assert program.end() == 0
    finally:
        program.close()
    assert b"hello" in program.output
    if environ["TERM"] != "xterm-16color":
        assert b"(queued)" in program.output


@pytest.mark.parametrize("stream", [0, 1, 2])
@pytest.mark.parametrize("how", ["closed", "null"])
def test_streams_that_are_no_terminal_are_told(tmp_path: Path, stream: int, how: str) -> None:
    """Screens are painted on standard error: without it one sentence says what to do."""
    code = (
        f"import os, sys\nos.close({stream})\n"
        f"if {how == 'null'}: assert os.open(os.devnull, os.O_RDWR) == {stream}\n"
        f"os.execv(sys.executable, [sys.executable, '-m', 'meshchat', '--home', {str(tmp_path)!r}])"
    )
    program = Terminal("-c", code)
    assert program.end() == 2
    program.close()
    if (stream, how) != (2, "null"):
        assert b"--linear" in program.output
