"""The command line as people and scripts use it: real processes, real profiles."""

import contextlib
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from meshchat.arguments import make_parser, parse
from meshchat.commands import profile as profile_commands
from meshchat.errors import StoreError, UsageError
from meshchat.net.control import CONNECTIONS_MAX
from meshchat.net.verbs import VERBS
from meshchat.profile import Profile

PASSPHRASE = "five random words are good"
CONTROL = ("\x1b", "\x07", "\u202e")
WAIT_S = 30  # only reached when something is broken

Done = subprocess.CompletedProcess[str]


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "meshchat", *map(str, args)]


def mesh(*args: object, home: Path | None = None, stdin: str = "") -> Done:
    """Run one command to its end, without a terminal."""
    where = {"MESHCHAT_HOME": str(home)} if home else {}
    environment = {**os.environ, "PYTHONUTF8": "1", **where}
    return subprocess.run(
        command(*args),
        capture_output=True, text=True, check=False, input=stdin, env=environment, timeout=WAIT_S,
    )  # fmt: skip


def good(*args: object, home: Path | None = None, stdin: str = "") -> str:
    """Run a command that must succeed; returns what it printed."""
    done = mesh(*args, home=home, stdin=stdin)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def refused(done: Done, code: int, says: str = "") -> None:
    """One clear sentence, the documented exit code, no traceback."""
    assert done.returncode == code, (done.returncode, done.stderr)
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("meshchat: ")
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.fixture(scope="session")
def passfile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pass") / "file"
    path.write_text(PASSPHRASE + "\nsecond line\n")
    return path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, passfile: Path) -> Path:
    """Profiles of Alice and Bob, made once; tests work on copies."""
    folder = tmp_path_factory.mktemp("made")
    for name in ("Alice", "Bob"):
        good("init", "--name", name, "--small", "--home", folder / name,
             "--passphrase-file", passfile)  # fmt: skip
    return folder


@pytest.fixture
def alice(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "Alice", tmp_path / "Alice"))


@pytest.fixture
def bob(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "Bob", tmp_path / "Bob"))


class Running:
    """A node in its own process, its events read one by one."""

    def __init__(self, home: Path, passfile: Path, *options: object) -> None:
        always = ("--no-ble", "--json", "--home", home, "--passphrase-file", passfile)
        self.process = subprocess.Popen(
            command("node", *always, *options),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.until("ready")

    def until(self, event: str, test: Callable[[Any], bool] = lambda _: True) -> Any:
        """The next event of this name that passes the test; pytest's time-out is the limit."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found = json.loads(line)
            if found["event"] == event and test(found):
                return found
        assert self.process.stderr is not None
        raise AssertionError(f"the node ended: {self.process.stderr.read()}")

    def end(self, how: int = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        self.process.communicate(timeout=WAIT_S)
        return self.process.returncode


Start = Callable[..., Running]


@pytest.fixture
def start(passfile: Path) -> Iterator[Start]:
    nodes: list[Running] = []

    def run(home: Path, *options: object) -> Running:
        node = Running(home, passfile, *options)
        nodes.append(node)
        return node

    yield run
    for node in nodes:
        node.end(signal.SIGKILL)  # also closes the pipes of one that has ended


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# --- without a node -----------------------------------------------------------------------------


def test_everything_works_with_no_node_running(alice: Path, bob: Path, passfile: Path) -> None:
    """Add, verify, send, read, look at a message: each opens the store by itself."""
    mine = ("--home", alice, "--passphrase-file", passfile)
    card = good("card", "--home", bob, "--passphrase-file", passfile)
    assert "Bob  [unverified]" in good("contact", "add", "-", "--as", "Bob", *mine, stdin=card)
    assert "[verified]" in good("contact", "verify", "bob", *mine)
    mid = good("send", "Bob", "-", *mine, stdin="line one\nline two\n").strip()
    assert len(mid) == 16
    shown = good("read", "Bob", *mine)
    assert f"{mid}  " in shown
    assert "Bob: me (queued): line one\n    line two\n" in shown
    found = json.loads(good("message", mid, "--json", *mine))
    assert found["message"]["text"] == "line one\nline two"
    status = json.loads(good("--json", "status", *mine))
    assert (status["running"], status["queued"], status["name"]) == (False, 1, "Alice")
    assert "no node is running" in good("status", *mine)


def test_content_from_the_command_line(
    alice: Path, bob: Path, passfile: Path, start: Start
) -> None:
    """Reply, react, edit, find, delete; and what is set for a chat and for oneself."""
    mine = ("--home", alice)
    start(alice, "--no-lan")
    good("contact", "add", "-", "--as", "Bob", *mine,
         stdin=good("card", "--home", bob, "--passphrase-file", passfile))  # fmt: skip
    first = good("send", "Bob", "қала at six", *mine).strip()
    second = good("send", "--reply", first, "Bob", "yes", *mine).strip()
    assert "👍 1" in good("react", first, "👍", *mine)
    assert "қала at seven (edited)" in good("edit", first, "-", *mine, stdin="қала at seven\n")
    assert f"(to {first}) yes" in good("read", "Bob", *mine)
    found = json.loads(good("search", "кал sev", "--json", *mine))
    assert [one["id"] for one in found["messages"]] == [first] and not found["more"]
    assert found["messages"][0]["reactions"] == [{"emoji": "👍", "count": 1, "own": True}]
    assert good("search", "six", *mine) == ""
    assert "text: қала at six" in good("message", first, *mine)
    assert "Copies elsewhere stay" in good("delete", second, *mine)
    assert "asked" in good("delete", first, "--everywhere", *mine)
    assert "you asked to delete this" in good("read", "Bob", *mine)
    assert good("read-receipts", *mine) == "read-receipts: off\n"
    assert good("read-receipts", "on", *mine) == "read-receipts: on\n"
    assert json.loads(good("typing", "--json", *mine))["read_receipts"] is True
    assert "disappear 8 hours" in good("disappear", "Bob", "8h", *mine)
    assert "kept here for 30 days" in good("retain", "Bob", "30", *mine)
    assert "notifications: mentions" in good("mute", "Bob", "--mentions", *mine)
    options = json.loads(good("pin", "Bob", "--json", *mine))["options"]
    assert options == {
        "notify": "mentions", "pinned": True, "archived": False, "keep_days": 30, "timer_s": 28800,
    }  # fmt: skip
    refused(mesh("react", first, "ok", *mine), 2)
    refused(mesh("edit", second, "x", *mine), 2, "no message")


def test_options_may_stand_before_and_after_the_verb(alice: Path, passfile: Path) -> None:
    """``--home`` and ``--json`` work in both places, and at every depth."""
    secret = ("--passphrase-file", passfile)
    for args in (
        ("--home", alice, "--json", *secret, "contact", "list"),
        ("contact", "--home", alice, "--json", *secret, "list"),
        ("contact", "list", "--home", alice, "--json", *secret),
    ):
        assert json.loads(good(*args)) == {"contacts": []}
    assert json.loads(good("name", "--json", *secret, home=alice)) == {"name": "Alice"}


def test_backup_and_restore_give_the_same_identity(
    alice: Path, passfile: Path, tmp_path: Path
) -> None:
    """24 words in, the same fingerprint out; wrong words make no profile."""
    secret = ("--passphrase-file", passfile)
    listed = good("backup", "--home", alice, *secret)
    new = ("init", "--restore", "--name", "A", "--small", "--home", tmp_path / "new", *secret)
    refused(mesh(*new, stdin="abandon " * 24), 2, "do not belong together")
    assert not (tmp_path / "new").exists()
    good(*new, stdin=listed.partition(":")[2])
    was, now = (
        json.loads(good("status", "--json", "--home", home, *secret))["fp"]
        for home in (alice, tmp_path / "new")
    )
    assert was == now


def test_passphrase_can_be_changed(alice: Path, passfile: Path, tmp_path: Path) -> None:
    """The new one opens, the old one does not; a wrong or empty one changes nothing."""
    new, empty = tmp_path / "new", tmp_path / "empty"
    new.write_text("another five random words here\n")
    empty.write_text("\n")
    change = ("passphrase", "--small", "--new-passphrase-file")
    refused(mesh("--passphrase-file", new, *change, new, home=alice), 4, "passphrase")
    refused(mesh("--passphrase-file", passfile, *change, empty, home=alice), 2, "empty")
    good("--passphrase-file", passfile, *change, new, home=alice)
    refused(mesh("--passphrase-file", passfile, "card", home=alice), 4, "passphrase")
    assert good("--passphrase-file", new, "card", home=alice).startswith("meshchat:")


def test_card_as_file_and_as_picture(alice: Path, passfile: Path, tmp_path: Path) -> None:
    """``--out`` never overwrites; ``--qr`` draws something 80 columns can show."""
    mine = ("--home", alice, "--passphrase-file", passfile)
    card = tmp_path / "alice.card"
    good("card", "--out", card, *mine)
    assert card.read_text().startswith("meshchat:")
    refused(mesh("card", "--out", card, *mine), 2, "File exists")
    picture = good("card", "--qr", *mine).splitlines()
    assert 20 <= len(picture) <= 40
    assert max(map(len, picture)) <= 80


# --- with nodes ---------------------------------------------------------------------------------


def test_two_nodes_chat_and_survive_being_killed(
    alice: Path, bob: Path, start: Start, passfile: Path
) -> None:
    """Through the sockets, with no passphrase: a message is sent, kept over kill -9, delivered."""
    a = start(alice, "--no-lan")
    card_a = good("card", "--home", alice)
    port = free_port()
    b = start(bob, "--listen", f"127.0.0.1:{port}")
    good("contact", "add", good("card", "--home", bob), "--home", alice)
    good("contact", "add", card_a, "--as", "Алиса", "--home", bob)
    mid = good("send", "Bob", "сәлем", "--home", alice).strip()
    assert a.end(signal.SIGKILL) == -signal.SIGKILL
    assert (alice / "node.sock").exists()
    a = start(alice, "--listen", "127.0.0.1:0", "--peer", f"127.0.0.1:{port}")
    got = b.until("message")["message"]
    assert (got["id"], got["text"], got["author_name"], got["trust"]) == (
        mid, "сәлем", "Алиса", "unverified",
    )  # fmt: skip
    a.until("message_changed", lambda e: e["message"]["state"] == "delivered")
    assert good("read", "алиса", "--home", bob).count(mid) == 1
    status = json.loads(good("status", "--json", "--home", bob))
    assert status["running"] is True
    assert status["pid"] == b.process.pid
    assert status["neighbours"][0]["contact"] == "Алиса"
    for how in (signal.SIGINT, signal.SIGTERM):
        node = a if how == signal.SIGINT else b
        assert node.end(how) == 0
    assert not (alice / "node.sock").exists()
    assert not (alice / "store.db-wal").exists()


@pytest.fixture
def friends(alice: Path, bob: Path, start: Start) -> tuple[Running, Running]:
    """Running nodes of Alice and Bob, who know each other, linked."""
    port = free_port()
    b = start(bob, "--listen", f"127.0.0.1:{port}")
    a = start(alice, "--listen", "127.0.0.1:0", "--peer", f"127.0.0.1:{port}")
    good("contact", "add", good("card", "--home", alice), "--home", bob)
    good("contact", "add", good("card", "--home", bob), "--home", alice)
    a.until("neighbour_up", lambda e: e["neighbour"]["contact"] == "Bob")
    return a, b


def test_a_live_check_between_two_terminals(
    alice: Path, bob: Path, friends: tuple[Running, Running]
) -> None:
    """One starts it, both see the same seven, each answers for itself."""
    a, b = friends
    asked = json.loads(good("contact", "check", "Bob", "--json", "--home", alice))
    told = b.until("check")
    assert [s["word"] for s in asked["signs"]] == [s["word"] for s in told["signs"]]
    assert len(asked["signs"]) == 7 and told["contact"]["name"] == "Alice"
    text = good("contact", "check", "Alice", "--home", bob)  # joins what is shown already
    assert all(sign["word"] in text for sign in asked["signs"])
    assert "verified" in good("contact", "check", "Bob", "--same", "--home", alice)
    good("contact", "check", "Alice", "--different", "--home", bob)
    assert a.until("check_ended", lambda e: e["reason"] != "same")["reason"] == "denied"
    assert b.until("check_ended")["reason"] == "different"
    refused(mesh("contact", "check", "Bob", "--same", "--home", alice), 2, "No signs are shown")


def test_a_live_check_asks_on_a_terminal(
    alice: Path, bob: Path, friends: tuple[Running, Running]
) -> None:
    """*no* is loud and exit code 3; anything but yes and no cancels."""
    _, b = friends
    code, shown = at_terminal(["no"], "contact", "check", "Bob", "--home", alice)
    signs = b.until("check")["signs"]
    assert code == 3 and "DIFFERENT" in shown and all(sign["word"] in shown for sign in signs)
    assert b.until("check_ended")["reason"] == "denied"
    good("contact", "verify", "Alice", "--yes", "--home", bob)
    assert at_terminal(["what?"], "contact", "check", "Alice", "--home", bob)[0] == 2
    assert "[verified]" in good("contact", "list", "--home", bob)


def test_a_revocation_between_two_nodes(
    alice: Path, bob: Path, friends: tuple[Running, Running]
) -> None:
    """Given while all is well, listed where it is kept, released for good."""
    _, b = friends
    good("revocation", "give", "Bob", "--home", alice)
    b.until("message")
    assert "Alice" in good("revocation", "list", "--home", bob)
    refused(mesh("revocation", "release", "Alice", "--home", bob), 2, "--yes")
    refused(mesh("revocation", "release", "--home", bob), 2, "--own")
    good("revocation", "release", "Alice", "--yes", "--home", bob)
    assert b.until("notice")["code"] == "revoked"
    refused(mesh("send", "Alice", "hello?", "--home", bob), 3, "revoked")
    refused(mesh("contact", "verify", "Alice", "--yes", "--home", bob), 3, "revoked")
    assert "revoked" in good("contact", "list", "--home", bob)


def test_hiding_in_a_room(alice: Path, passfile: Path) -> None:
    """By the id of a post; undone the same way. Silence is set by name."""
    mine = ("--home", alice, "--passphrase-file", passfile)
    good(*("--passphrase-file", passfile, "room", "join", "tea", "--home", alice))
    own = good("send", "#tea", "hello", *mine).strip()
    refused(mesh("room", "hide", own, "--author", *mine), 2, "you")
    good("room", "hide", own, *mine)
    assert "shown" in good("room", "hide", own, "--undo", *mine)
    refused(mesh("room", "block", "0" * 16, *mine), 2, "no message")
    refused(mesh("contact", "silent", "Nobody", "3", *mine), 2, "No contact")


def test_a_decoy_by_command(alice: Path, passfile: Path, tmp_path: Path) -> None:
    """Two files of passphrases, two names."""
    (tmp_path / "decoy").write_text("pictures of my cat\n")
    mine, other = ("--passphrase-file", passfile), ("--passphrase-file", tmp_path / "decoy")
    new = ("decoy", "--name", "Visitor", "--decoy-passphrase-file", tmp_path / "decoy")
    refused(mesh(*new, *mine, "--home", alice), 2, "--yes")
    good(*new, *mine, "--yes", "--home", alice)
    assert good("name", *mine, "--home", alice) == "Alice\n"
    assert good("name", *other, "--home", alice) == "Visitor\n"
    refused(mesh(*new, *mine, "--yes", "--home", alice), 2, "decoy already")


def test_following_shows_each_message_once(alice: Path, start: Start) -> None:
    """``read --follow`` prints what there is and what comes, and ends with the node."""
    node = start(alice, "--no-lan")
    good("room", "join", "tea", "--home", alice)
    good("room", "join", "other", "--home", alice)
    first = good("send", "#tea", "one", "--home", alice).strip()
    with subprocess.Popen(
        command("read", "#tea", "--follow", "--json", "--home", alice),
        stdout=subprocess.PIPE, text=True,
    ) as follow:  # fmt: skip
        assert follow.stdout is not None
        assert json.loads(follow.stdout.readline())["id"] == first
        good("send", "#other", "not for them", "--home", alice)
        second = good("send", "#tea", "two", "--home", alice).strip()
        assert json.loads(follow.stdout.readline())["id"] == second
        node.end()
        assert follow.stdout.read() == ""
        assert follow.wait(WAIT_S) == 0


def test_a_second_user_of_a_profile_is_turned_away(
    alice: Path, start: Start, passfile: Path
) -> None:
    """The sentence names the process that has it."""
    node = start(alice, "--no-lan")
    again = mesh("node", "--no-ble", "--home", alice, "--passphrase-file", passfile)
    refused(again, 4, f"in use by process {node.process.pid};")


def test_wipe_ends_the_node_and_leaves_nothing(alice: Path, start: Start) -> None:
    """A running node is asked to end first; then key and data go."""
    node = start(alice, "--no-lan")
    refused(mesh("wipe", "--home", alice), 2, "--yes")
    assert "destroyed" in good("wipe", "--yes", "--home", alice)
    assert node.process.wait(WAIT_S) == 0
    assert not alice.exists()


def test_wipe_tells_of_a_node_that_does_not_end(
    alice: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that hears nobody, or hangs: the key goes, and the sentence names the process."""
    monkeypatch.setattr(profile_commands, "STOP_WAIT_S", 0.3)
    args = parse(["wipe", "--yes", "--home", str(alice)])
    node = start(alice, "--no-lan")
    with contextlib.ExitStack() as stack:
        for _ in range(CONNECTIONS_MAX):
            caller = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            caller.connect(str(Profile(alice).socket_path))
        for hangs in (False, True):
            if hangs:
                node.process.send_signal(signal.SIGSTOP)
            with pytest.raises(StoreError, match="The key is destroyed") as caught:
                profile_commands.COMMANDS["wipe"](args)
            assert f"in use by process {node.process.pid};" in str(caught.value)
            assert not (alice / "key").exists()
        node.process.send_signal(signal.SIGCONT)


def test_a_port_in_use_is_exit_code_5(alice: Path, passfile: Path) -> None:
    """The node does not start half-way."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        options = ("--no-ble", "--listen", where, "--home", alice, "--passphrase-file", passfile)
        done = mesh("node", *options)
    assert done.returncode == 5
    assert done.stderr.count("\n") == 1
    assert where.partition(":")[2] in done.stderr
    assert done.stdout == ""
    assert not (alice / "node.sock").exists()


# --- bad input ----------------------------------------------------------------------------------

BAD: dict[str, tuple[list[str], int, str]] = {
    "no verb, no terminal": ([], 2, "need a terminal"),
    "unknown verb": (["fly"], 2, "invalid choice"),
    "missing argument": (["send", "Bob"], 2, "TEXT"),
    "bad number": (["read", "--limit", "many"], 2, "invalid int"),
    "profile exists": (["init", "--name", "x"], 2, "already"),
    "name of 10 kB": (["init", "--name", "x" * 10_000, "--home", "NEW"], 2, "48 bytes"),
    "name of nothing": (["init", "--name", "\u202e", "--home", "NEW"], 2, "at least one letter"),
    "no profile": (["status", "--home", "NEW"], 4, "meshchat init"),
    "no profile to run": (["node", "--home", "NEW"], 4, "meshchat init"),
    "no profile to wipe": (["wipe", "--yes", "--home", "NEW"], 4, "no profile"),
    "unusable home": (["init", "--name", "x", "--home", "PASS/x"], 4, "Not a directory"),
    "unknown contact": (["send", "Bob", "x"], 2, "No contact is called 'Bob'"),
    "unknown room": (["send", "#tea", "x"], 2, "no room #tea"),
    "unknown message": (["message", "12"], 2, "16 hex digits"),
    "no card": (["contact", "add", "nothing"], 2, "no card and no file"),
    "half a card of 10 kB": (["contact", "add", "A" * 10_000], 2, "no card and no file"),
    "home of 10 kB": (["status", "--home", "/tmp/" + "x" * 10_000], 4, "File name too long"),
    "wipe of 10 kB": (["wipe", "--yes", "--home", "/tmp/" + "x" * 10_000], 4, "File name too long"),
    "broken card": (["contact", "add", "meshchat:AAAA"], 2, "copy all of it"),
    "card of 10 kB": (["contact", "add", "meshchat:" + "A" * 10_000], 2, "too long"),
    "own name of 10 kB": (["name", "x" * 10_000], 2, "48 bytes"),
    "room name of 10 kB": (["room", "join", "x" * 10_000], 2, "too long"),
    "empty room name": (["room", "join", "#"], 2, "room's name"),
    "bad peer": (["node", "--peer", "here"], 2, "HOST:PORT"),
    "bad listen": (["node", "--listen", "1.2.3.4:99999"], 2, "HOST:PORT"),
    "hostile text": (["send", "\x1b]0;x\x07\u202e", "x"], 2, "No contact"),
    "follow without a node": (["read", "--follow"], 2, "meshchat node"),
    "missing passphrase file": (["status", "--passphrase-file", "NEW"], 2, "No such file"),
    "message too long": (["send", "#room", "x" * 7_001], 2, ""),
    "empty message": (["send", "#room", ""], 2, ""),
    "no words": (["search", "!?"], 2, "at least one word"),
    "bad time": (["disappear", "#room", "soon"], 2, "number and a unit"),
    "timer in a room": (["disappear", "#room", "1d"], 2, "In a room"),
    "bad days": (["retain", "#room", "-1"], 2, ""),
    "too many days": (["retain", "#room", "99999"], 2, "3650 days"),
    "reply to nothing": (["send", "--reply", "12", "#room", "x"], 2, "16 hex digits"),
    "broken text": (["send", "#room", "\udcff"], 2, "broken characters"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_sentence(case: str, alice: Path, passfile: Path, tmp_path: Path) -> None:
    """Each mistake: what is wrong and what to do, exit code, nothing written."""
    args, code, says = BAD[case]
    known = {"NEW": tmp_path / "new", "PASS/x": passfile / "x"}
    given = [known.get(arg, arg) for arg in args]
    secret = () if "--passphrase-file" in args else ("--passphrase-file", passfile)
    if "#room" in args:
        good(*secret, "room", "join", "room", home=alice)
    done = mesh(*secret, *given, home=alice)
    refused(done, code, says)
    assert not any(char in done.stderr for char in CONTROL)
    assert not (tmp_path / "new").exists()
    if "#room" in args:
        assert good("read", "#room", *secret, home=alice) == ""


def test_wrong_or_missing_passphrase(alice: Path, tmp_path: Path) -> None:
    """Wrong: exit code 4. None and no terminal: exit code 2. Neither writes anything."""
    wrong = tmp_path / "wrong"
    wrong.write_text("wrong\n")
    before = (alice / "store.db").read_bytes()
    refused(mesh("read", "--home", alice, "--passphrase-file", wrong), 4, "passphrase")
    refused(mesh("read", "--home", alice), 2, "--passphrase-file")
    assert (alice / "store.db").read_bytes() == before


def test_damaged_files_are_told_apart(alice: Path, passfile: Path) -> None:
    """A damaged store, key and settings file: a sentence each."""
    mine = ("--home", alice, "--passphrase-file", passfile)
    (alice / "config.toml").write_text("[lan]\nenable = true\n")
    refused(mesh("node", *mine), 2, f"{alice}/config.toml, line 2, has an unknown key 'enable'")
    (alice / "config.toml").unlink()
    (alice / "store.db").write_bytes(b"x" * 8_192)
    refused(mesh("read", *mine), 4)
    (alice / "key").write_bytes(b"x")
    refused(mesh("read", *mine), 4, "key file is damaged")


def test_errors_as_json(alice: Path) -> None:
    """With ``--json`` the sentence comes with its reason and exit code."""
    done = mesh("read", "--json", "--home", alice)
    assert done.returncode == 2
    assert json.loads(done.stderr)["error"]["reason"] == "no_passphrase"


def test_a_full_disk_loses_nothing(made: Path, passfile: Path, tmp_path: Path) -> None:
    """On a real full disk a message is refused with exit code 4; with room it works again."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this system gives no user namespaces")
    disk = tmp_path / "disk"
    disk.mkdir()
    run = f"{sys.executable} -m meshchat --home {disk}/h --passphrase-file {passfile}"
    script = f"""
        mount -t tmpfs -o size=2m,mode=700 none {disk}; mkdir -m 700 {disk}/h
        cp {made}/Alice/key {made}/Alice/store.db {disk}/h
        set -e; {run} room join tea; {run} send '#tea' before; set +e
        cat /dev/zero > {disk}/filler 2>/dev/null
        {run} send '#tea' lost; echo code $?
        {run} read '#tea'; rm {disk}/filler
        {run} send '#tea' after; {run} read '#tea' --json
    """
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    assert "code 4\n" in done.stdout
    assert "full" in done.stderr
    assert "Traceback" not in done.stderr
    texts = [json.loads(x)["text"] for x in done.stdout.splitlines() if x.startswith("{")]
    assert texts == ["before", "after"]


# --- the terminal and the pipe ------------------------------------------------------------------


def at_terminal(answers: list[str], *args: object) -> tuple[int, str]:
    """Run a command on a pseudo-terminal, typing an answer at each prompt."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command(*args), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    shown = ""
    prompts = 0
    while True:
        try:
            part = os.read(ours, 4_096).decode("utf-8", "replace")
        except OSError:  # the other end closed
            break
        shown += part
        if part.endswith(": ") and prompts < len(answers):
            os.write(ours, answers[prompts].encode() + b"\n")
            prompts += 1
    os.close(ours)
    return process.wait(WAIT_S), shown


def test_prompts_on_a_terminal(tmp_path: Path, passfile: Path) -> None:
    """The passphrase is asked twice and not shown; a slip makes no profile."""
    home = tmp_path / "home"
    make = ("init", "--name", "a", "--small", "--home", home)
    code, shown = at_terminal(["one", "two"], *make)
    assert (code, home.exists()) == (2, False)
    assert "differ" in shown
    code, shown = at_terminal([PASSPHRASE, PASSPHRASE], *make)
    assert code == 0, shown
    assert PASSPHRASE not in shown
    code, shown = at_terminal(["\x04"], "wipe", "--home", home)  # Ctrl+D
    assert (code, "internal error" in shown, (home / "key").exists()) == (2, False, True)
    code, shown = at_terminal(["no"], "wipe", "--home", home)
    assert (code, (home / "key").exists()) == (2, True)
    code, shown = at_terminal(["wipe"], "wipe", "--home", home)
    assert (code, home.exists()) == (0, False)


def test_verify_asks_on_a_terminal(alice: Path, bob: Path, passfile: Path) -> None:
    """Both people see the same twelve words; only yes sets the mark."""
    secret = ("--passphrase-file", passfile)
    for one, other in ((alice, bob), (bob, alice)):
        good("contact", "add", good("card", "--home", other, *secret), "--home", one, *secret)
    words = [
        json.loads(good("contact", "verify", name, "--words", "--json", "--home", home, *secret))
        for name, home in (("Bob", alice), ("Alice", bob))
    ]
    assert words[0]["words"] == words[1]["words"]
    ask = ("contact", "verify", "Bob", "--home", alice, *secret)
    assert at_terminal(["no"], *ask)[0] == 2
    assert "[unverified]" in good("contact", "list", "--home", alice, *secret)
    code, shown = at_terminal(["yes"], *ask)
    assert code == 0
    assert " ".join(words[0]["words"]) in shown
    assert "[verified]" in good("contact", "list", "--home", alice, *secret)


def test_a_reader_that_goes_away_is_no_error(alice: Path, passfile: Path) -> None:
    """As in ``meshchat read | head -0``: quiet, exit code of a closed pipe."""
    ours, theirs = os.pipe()
    os.close(ours)
    done = subprocess.run(
        command("status", "--home", alice, "--passphrase-file", passfile),
        stdout=theirs, stderr=subprocess.PIPE, check=False, timeout=WAIT_S,
    )  # fmt: skip
    os.close(theirs)
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_node_ends_when_nobody_reads_its_events(alice: Path, start: Start) -> None:
    """As in ``meshchat node --json | head -1``: the node stops cleanly at the next event."""
    node = start(alice, "--no-lan")
    assert node.process.stdout is not None and node.process.stderr is not None
    node.process.stdout.close()
    mesh("room", "join", "#yard", "--home", alice)  # an event, unless one came before
    assert node.process.wait(WAIT_S) == 141
    assert node.process.stderr.read() == ""
    node.process.stdout = None  # for ``communicate``


def test_a_node_does_not_wait_for_a_reader_that_sleeps(
    alice: Path, start: Start, tmp_path: Path
) -> None:
    """Events nobody takes fill the pipe and no more: the node answers on, and ends when told."""
    node = start(alice, "--no-lan")
    good("room", "join", "#yard", home=alice)
    for number in range(12):  # more than a pipe holds, and nobody reads it
        good("send", "#yard", f"{number} " + "long " * 1_390, home=alice)
    assert json.loads(good("status", "--json", home=alice))["running"]
    node.process.terminate()
    assert node.process.wait(WAIT_S) in (0, 141)


def test_status_says_why_a_transport_is_off(alice: Path, passfile: Path, start: Start) -> None:
    """With no node, and with a node told not to use the network."""
    secret = ("--passphrase-file", passfile)
    assert "lan  off: no_node" in good("status", *secret, home=alice)
    start(alice, "--no-lan")
    shown = good("status", home=alice)
    for name in ("lan", "ble"):
        assert f"{name}  off: by your settings (switched_off)" in shown


def test_wipe_leaves_a_strange_folder_alone(tmp_path: Path) -> None:
    """A folder without a profile keeps its files, whatever they are called."""
    (tmp_path / "config.toml").write_text("mine")
    refused(mesh("wipe", "--yes", "--home", tmp_path), 4, "no profile")
    assert (tmp_path / "config.toml").read_text() == "mine"


def test_a_bug_is_logged_without_what_people_wrote(alice: Path, passfile: Path) -> None:
    """One sentence on the screen, the place in the log, no text of the exception anywhere."""
    code = (
        "import sys, meshchat.cli as cli, meshchat.commands as commands\n"
        "def broken(args):\n    secret = 'dear Bob'; raise ValueError(secret)\n"
        "commands.find = lambda verb: broken\nsys.exit(cli.main(['status']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, "MESHCHAT_HOME": str(alice)},
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "internal error (ValueError)" in done.stderr
    log = (alice / "log" / "meshchat.log").read_text()
    assert "ValueError at <string>:3" in log
    assert "dear Bob" not in log + done.stderr


def test_doctor_runs_anywhere(tmp_path: Path, alice: Path) -> None:
    """Every check has a level and a sentence, with and without a profile."""
    for home in (tmp_path / "none", alice):
        done = mesh("doctor", "--json", "--home", home)
        assert done.returncode in (0, 1), done.stderr
        found = json.loads(done.stdout)
        assert found["ok"] is (done.returncode == 0)
        names = [check["name"] for check in found["checks"]]
        assert {"home", "disk", "clock", "interfaces", "udp port", "bluetooth"} <= set(names)
        assert all(check["level"] in ("ok", "warn", "fail") for check in found["checks"])
        assert all(check["says"].strip() for check in found["checks"])
    assert not (tmp_path / "none").exists()
    alice.chmod(0o755)
    done = mesh("doctor", "--home", alice)
    assert (done.returncode, f"chmod 700 {alice}" in done.stdout) == (1, True)


def test_every_verb_is_documented() -> None:
    """The reference page has a heading or a row for each verb of ``--help``."""
    page = (Path(__file__).parent.parent / "docs" / "reference" / "cli.md").read_text("utf-8")
    found = re.findall(r"^    ([a-z]+) ", make_parser().format_help(), re.MULTILINE)
    assert len(found) >= 12
    for verb in found:
        assert f"`meshchat {verb}" in page
    for verb in VERBS:  # what is one word for the socket is two on the command line
        if "." in verb:
            assert f"`meshchat {verb.replace('.', ' ')}" in page
    for code in (0, 1, 2, 3, 4, 5, 130, 141):
        assert f"| {code} |" in page


@pytest.mark.parametrize(
    "line",
    ["", "--linear --no-lan", "--home x --peer a:1 --peer b:2", "status --home x", "--no-ble node"],
)
def test_options_alone_mean_what_they_mean_to_the_whole_parser(line: str) -> None:
    """The screens start without making seventy verbs; nothing is understood differently."""
    assert vars(parse(line.split())) == vars(make_parser().parse_args(line.split()))


@pytest.mark.parametrize("line", ["--home", "--json=x", "--no-such", "nothing"])
def test_what_is_no_command_line_is_refused(line: str) -> None:
    """By the whole parser, which says it best."""
    with pytest.raises(UsageError, match="--help"):
        parse(line.split())
