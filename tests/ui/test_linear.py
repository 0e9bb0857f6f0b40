"""The linear mode: a pipe, a terminal, hostile text; the same commands, no redraw."""

import json
import os
import re
import select
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import pytest

from meshchat.profile import Profile

if sys.platform == "win32":
    pytest.skip("needs a pty", allow_module_level=True)

from test_pty import TEXTS, Terminal, fill

ROOT = Path(__file__).parents[2]
DEMO = ("-m", "meshchat", "demo", "--linear", "--speed", "20")


def piped(*argv: str, lines: str | bytes, code: int = 0, **more: str) -> str:
    """What a program prints when it is given these lines and then the end."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT), **more}
    done = subprocess.run(
        [sys.executable, *argv],
        input=lines if isinstance(lines, bytes) else lines.encode(),
        capture_output=True,
        timeout=60,
        env=environ,
        check=False,
    )
    assert done.returncode == code, done.stderr.decode()
    assert not done.stderr, done.stderr.decode()
    return done.stdout.decode()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A profile of its own."""
    place = tmp_path / "home"
    Profile(place).init("Aigerim", "pw", small=True)
    (place / "pw").write_text("pw\n")
    return place


def linear(home: Path, lines: str, code: int = 0) -> str:
    return piped("-m", "meshchat", *options(home), lines=lines, code=code)


def options(home: Path) -> tuple[str, ...]:
    secret = ("--passphrase-file", f"{home}/pw")
    return ("--home", str(home), *secret, "--no-lan", "--no-ble", "--linear")


def test_a_file_and_an_emoji_by_lines(home: Path, tmp_path: Path) -> None:
    """A path on the next line; of 3,600 emoji those with these letters; simple ones on request."""
    (tmp_path / "notes.txt").write_text("water at six")
    card = Profile(tmp_path / "bob")
    card.init("Bob", "pw", small=True)
    (tmp_path / "pw").write_text("pw\n")
    there = ("--home", str(tmp_path / "bob"), "--passphrase-file", str(tmp_path / "pw"))
    bob = piped("-m", "meshchat", *there, "card", lines="").strip()
    (home / "config.toml").write_text('[ui]\nemoji = "simple"\n')
    lines = f"/add {bob}\n\n/file\n{tmp_path}/notes.txt\n/emoji\ndromed\n1\nhi 👍🏽 🇰🇿\n/read 1\n"
    shown = linear(home, lines)
    assert "1. 🐪  dromedary camel" in shown and "\n🐪\n" in shown
    assert "hi 👍 KZ (queued)" in shown
    assert '[file "notes.txt", 12 B]' in linear(home, "/chat Bob\n")


def test_a_pipe_can_do_all_of_it(home: Path) -> None:
    """Commands in, lines out; nothing but text, and exit code 0 at the end of the input."""
    shown = linear(
        home, "/join #yard\nhello\n//slash\n/info\n/card\n/mesh\n/radios\n/chats\n/name\n"
    )
    assert "You are Aigerim" in shown and "Chat with #yard." in shown
    assert "A public room: anyone may read." in shown
    assert "queued: nobody has taken it yet" in shown and "you: /slash" in shown
    assert "meshchat:" in shown and "nobody is near" in shown
    assert "\x1b" not in shown and "\r" not in shown
    assert re.search(r"\bF\d", shown) is None  # there are no such keys here


def test_what_was_written_is_there_the_next_time(home: Path) -> None:
    """The store is the same; opening a chat shows its last lines."""
    linear(home, "/join #yard\nfirst words\n/quit\n")
    shown = linear(home, "/chat yard\n/read 5\n/find fir\n/quit\n")
    assert shown.count("you: first words (queued)") == 3


def test_mistakes_are_answered_and_nothing_is_sent(home: Path) -> None:
    """An unknown command, words where none belong, a chat that is not there."""
    lines = "/qiut\nhello\n/leave\n/join\n/chat nobody\n/lock now\n/join #yard\n/read many\n"
    shown = linear(home, lines, code=2)
    for said in (
        "There is no command /qiut: /help shows all",
        "Not sent: choose a chat first",
        "This works in a room or a group.",
        "Say more: /join #ROOM",
        "No chat has a name like that.",
        "/lock takes nothing after it.",
    ):
        assert said in shown
    assert "queued" not in shown


FAILING = (
    "/chat Bolat",
    "/chat yar",  # some letters of a name: nobody sees here whom they fit
    "/chat\n",
    "/c\n99",
    "/chta #other",
    "/unread",
    "/requests",
    "/search nothing\nsecret",
    "/join",
    "/join " + 100 * "x",
    "/private " + 100 * "x" + "\nsecret",
    "/private #own\n",
    "/add nonsense\nsecret",
    "/group\nsecret",
    "/leave\n/chat #other",  # a question was open
    "/remove Bob\nsecret",
)


def test_who_was_not_reached_is_no_reason_to_write_to_another(home: Path) -> None:
    """What follows a command that failed in a pipe is refused, and not sent to the last chat."""
    begin = "/join #yard\n/mute all\n"
    shown = linear(home, begin + begin.join(f"{one}\nmeet at six\n" for one in FAILING), code=2)
    parts = shown.split("This chat rings for all that is new.")[1:]
    for failing, part in zip(FAILING, parts, strict=True):
        assert "\nNo chat is open now.\nNot sent: choose a chat first" in part, failing
    assert "meet at six" not in shown and "you: secret" not in shown


def test_of_two_chats_with_one_name_none_is_taken(home: Path) -> None:
    """Whoever made the second group gave it its name: a guess would tell them."""
    shown = linear(home, "/group crew\n/group crew\n/chat crew\nsecret\n/chat &crew\n", code=2)
    assert shown.count("Several chats have this name.") == 2 and "secret" not in shown


def test_every_command_that_opens_a_chat_is_known_as_one() -> None:
    """Read from the code: whatever calls ``open`` decides where the next line goes."""
    import ast

    from meshchat.ui import commands

    opening = set()
    for path in sorted((ROOT / "meshchat" / "ui").glob("*deeds.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.AsyncFunctionDef) or not node.name.startswith("do_"):
                continue
            called = {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}
            if called & {"open", "open_at", "add_contact", "_join", "_step"}:
                opening.add(node.name.removeprefix("do_"))
    assert opening == commands.OPENING


@pytest.mark.parametrize(
    ("encoding", "line"), [("ascii", "сәлем".encode()), ("utf-8", "привет".encode("cp1251"))]
)
def test_what_is_no_text_is_said_and_the_rest_is_read(
    home: Path, encoding: str, line: bytes
) -> None:
    """It may have been a command, so no chat is open after it."""
    lines = b"/join #yard\nhello\n" + line + b"\nlost\n/chat #yard\nagain\n/read\n"
    shown = piped(
        *("-m", "meshchat", *options(home)), lines=lines, code=2, PYTHONIOENCODING=encoding
    )
    assert f"This line is not text in the encoding {encoding}: it is left out." in shown
    assert "Not sent" in shown and "lost" not in shown
    assert "hello (queued)" in shown and "again (queued)" in shown


def test_of_a_line_that_is_too_long_nothing_is_sent(home: Path) -> None:
    """Nor is its end a message or a command of its own."""
    shown = linear(home, "/join #yard\n" + 65_536 * "x" + "/leave\n/chats\n", code=2)
    assert "This line is too long: it is left out." in shown and "Leave" not in shown
    assert shown.endswith("#yard\n")


def test_questions_take_the_next_line(home: Path) -> None:
    """No leaves nothing; yes does; the word destroys."""
    shown = linear(
        home, "/join #yard\n/leave\nno\n/read\n/leave\nyes\n/chats\n/wipe\nno\n/wipe\nwipe\n"
    )
    assert "No chats yet" in shown and "Nothing was destroyed." in shown
    assert not Profile(home).exists()


def test_every_command_is_answered(home: Path) -> None:
    """None of the table fails here, whatever is open; each says something."""
    from meshchat.ui.commands import COMMANDS

    words = [f"/{c.name}" for c in COMMANDS if c.name not in ("quit", "lock", "wipe", "private")]
    lines = "\n".join(f"/join #yard\n{word}\n" for word in words)
    shown = linear(home, f"/join #yard\nhi\n{lines}\n/quit\n", code=2)
    assert shown.count("\n") > len(words)


def test_locking_asks_for_the_passphrase(home: Path) -> None:
    """A wrong one keeps it locked; the end of input ends it."""
    shown = linear(home, "/join #yard\n/lock\nwrong\npw\n/chats\n/quit\n")
    assert "Locked." in shown and "passphrase" in shown.lower()
    assert shown.rstrip().endswith("#yard")


def test_no_profile_is_said_with_the_way_out(tmp_path: Path) -> None:
    """Exit code 4, one sentence on standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "meshchat", "--home", str(tmp_path / "none"), "--linear"],
        input=b"",
        capture_output=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 4 and b"meshchat init" in done.stderr


def test_a_port_in_use_leaves_it_usable(home: Path) -> None:
    """No network is said; reading and writing go on."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        options = ("--home", str(home), "--passphrase-file", f"{home}/pw", "--linear")
        argv = ("-m", "meshchat", *options, "--no-ble", "--listen", f"127.0.0.1:{port}")
        process = subprocess.Popen(
            [sys.executable, *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert process.stdin is not None and process.stdout is not None
        shown = b""
        while b"No network" not in shown:
            assert select.select([process.stdout], [], [], 30)[0], shown
            shown += os.read(process.stdout.fileno(), 4_096)
        rest, _ = process.communicate(b"/join #yard\nhello\n/info\n/quit\n", timeout=30)
    assert b"nobody has taken it yet" in rest and process.returncode == 0


def test_no_hostile_byte_gets_through(tmp_path: Path) -> None:
    """Every body, author and room name of the corpus is printed; none of it steers, and no line of
    a message begins where ours do."""
    home = tmp_path / "home"
    fill(home, "hi\nChat with #yard.\nyou: yes, come")
    shown = linear(home, "/chats\n/chat #yard\n/read 1000\n/info\n/mesh\n/quit\n")
    assert all(f"mk{number}." in shown for number in range(len(TEXTS)))
    lines = shown.split("\n")
    assert lines.count("Chat with #yard.") == 1 and lines.count("    Chat with #yard.") > 1
    assert not any(line.startswith("you: yes") for line in lines) and "    you: yes" in shown
    joining = "\u200c\u200d" + "".join(map(chr, range(0xE0020, 0xE0080)))
    bad = {
        char
        for char in shown.replace("\n", "")
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
        and char not in joining
    }
    assert not bad


def test_in_a_terminal_lines_only_grow() -> None:
    """A prompt, the cursor after it, answers below; no cursor movement, no erasing."""
    terminal = Terminal(*DEMO)
    try:
        terminal.settle(b"> ")
        terminal.press("Hello Timur, is there water?\r")
        end = time.monotonic() + 30
        while b"delivered" not in terminal.output and time.monotonic() < end:
            terminal.settle()
        terminal.press("/mute\r")
        terminal.press("/chat nobody\r")
        terminal.press("meet at six\r")
        terminal.press("/quit\r")
        assert terminal.end() == 0
    finally:
        terminal.close()
    text = terminal.output.decode()
    assert "Timur> " in text and "This chat does not ring." in text
    refused = text.partition("No chat is open now.")[2]
    assert "Not sent: choose a chat first" in refused and "Timur> " not in refused
    moves = re.sub(r"\x1b\[\?2004[hl]|\x1b\[K|\x1b\[\?1034h", "", text)
    assert "\x1b" not in moves, re.findall(r"\x1b[^a-zA-Z]*[a-zA-Z]", moves)


def test_tab_completes_in_a_terminal() -> None:
    """The same ways to finish a line as in the screens."""
    terminal = Terminal(*DEMO)
    try:
        terminal.settle(b"> ")
        terminal.press("/chx\b")
        terminal.press("at aige\t\r")
        terminal.settle(b"Chat with Aigerim")
        terminal.press("/quit\r")
        assert terminal.end() == 0
    finally:
        terminal.close()


def test_nothing_heavy_is_loaded(home: Path) -> None:
    """No Textual, no Rich, no radio: it starts on the smallest board."""
    code = (
        "import sys, io, json\n"
        "from meshchat.cli import main\n"
        "sys.stdin = io.StringIO('/join #yard\\nhello\\n/help\\n/mesh\\n/quit\\n')\n"
        f"main(['--home', {str(home)!r}, '--passphrase-file', {str(home / 'pw')!r},"
        " '--no-lan', '--no-ble', '--linear'])\n"
        "print('LOADED', json.dumps(sorted({name.split('.')[0] for name in sys.modules})))\n"
    )
    shown = piped("-c", code, lines="")
    loaded = set(json.loads(shown.partition("LOADED ")[2]))
    assert not loaded & {"textual", "rich", "zeroconf", "bleak", "segno"}
