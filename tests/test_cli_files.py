"""Files on the command line: real processes, real profiles, two nodes on this machine."""

import json
import os
import stat
from pathlib import Path

import pytest
from test_cli import (  # noqa: F401
    CONTROL,
    Running,
    Start,
    alice,
    bob,
    friends,
    good,
    made,
    mesh,
    passfile,
    refused,
    start,
)

HOSTILE = "../../.ssh/\u202efdp.\x1b[2Jexe"


def test_a_file_from_one_disk_to_another(
    friends: tuple[Running, Running],  # noqa: F811
    alice: Path,  # noqa: F811
    bob: Path,  # noqa: F811
    passfile: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """In several parts through both sockets; saved twice, elsewhere, and without a node."""
    _, b = friends
    data = os.urandom(200_000)
    (tmp_path / "plan of the well.PDF").write_bytes(data)
    mid = good("send-file", "Bob", tmp_path / "plan of the well.PDF", "--home", alice).strip()
    whole = b.until("file_complete")
    assert (whole["message"]["id"], whole["size_bytes"]) == (mid, len(data))
    assert whole["message"]["text"] == '[file "plan of the well.PDF", 200 kB]'

    first = Path(good("save", mid, "--home", bob).strip())
    again = json.loads(good("save", mid, "--home", bob, "--json"))
    assert first.parent == bob / "downloads" and first.suffix == ".pdf"
    assert (again["save_as"], again["name"]) == (first.name, "plan of the well.PDF")
    assert Path(again["file"]).name == f"{first.stem}-2.pdf" and "data" not in again
    (tmp_path / "desk").mkdir()
    there = Path(good("save", mid, tmp_path / "desk", "--home", bob).strip())
    assert there.parent == tmp_path / "desk"
    b.end()
    secret = ("--passphrase-file", passfile)
    late = Path(good(*secret, "save", mid, tmp_path / "desk", home=bob).strip())
    for path in (first, Path(again["file"]), there, late):
        assert path.read_bytes() == data
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    refused(mesh("save", mid, home=alice), 2, "You sent this file")


def test_a_hostile_name_is_text_and_nothing_else(
    friends: tuple[Running, Running],  # noqa: F811
    alice: Path,  # noqa: F811
    bob: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    """Shown without what a terminal obeys; on the disk a number and ``bin``."""
    _, b = friends
    mid = good("send-file", "Bob", "-", "--name", HOSTILE, "--home", alice, stdin="x\n").strip()
    b.until("file_complete")
    before = sorted(bob.rglob("*"))
    shown = good("read", "Alice", "--home", bob) + good("save", mid, "--home", bob)
    assert not any(char in shown for char in CONTROL)
    assert "../../.ssh/fdp.[2Jexe" in shown
    new = set(bob.rglob("*")) - set(before)
    assert {path.parent for path in new} == {bob, bob / "downloads"}
    (path,) = (path for path in new if path.is_file() and path.parent != bob)
    assert (path.suffix, path.read_text()) == (".bin", "x\n")


def test_a_file_is_queued_without_a_node(alice: Path, bob: Path, passfile: Path) -> None:  # noqa: F811
    """The largest there is, in one process; what is queued is there when a node runs next."""
    secret = ("--passphrase-file", passfile)
    good("contact", "add", good("card", "--home", bob, *secret).strip(), "--home", alice, *secret)
    largest = alice.parent / "largest"
    largest.write_bytes(bytes(2_088_752))
    mid = good("send-file", "Bob", largest, "--home", alice, *secret).strip()
    found = json.loads(good("message", mid, "--json", "--home", alice, *secret))["message"]
    assert (found["note"], found["text"]) == ("file", '[file "largest", 2.1 MB]')


BAD: dict[str, tuple[list[str], str]] = {
    "no such file": (["send-file", "Bob", "NONE"], "No such file"),
    "a folder": (["send-file", "Bob", "HERE"], "Is a directory"),
    "empty": (["send-file", "Bob", "EMPTY"], "the file is empty"),
    "too large": (["send-file", "Bob", "LARGE"], "over 2097152 bytes"),
    "a little too large": (["send-file", "Bob", "MORE"], "at most 2088752"),
    "nobody": (["send-file", "Bop", "FILE"], "nearest: Bob"),
    "a room": (["send-file", "#room", "FILE"], "one person"),
    "long name": (["send-file", "Bob", "FILE", "--name", "я" * 49], "1 to 96 bytes"),
    "name of nothing": (["send-file", "Bob", "FILE", "--name", "\u202e"], "1 to 96 bytes"),
    "broken name": (["send-file", "Bob", "BROKEN"], "broken characters"),
    "no name": (["send-file", "Bob", "-"], "--name"),
    "no message": (["save", "12"], "16 hex digits"),
    "no file in it": (["save", "TEXT"], "no file in this message"),
}


@pytest.mark.parametrize("running", [False, True], ids=["alone", "node"])
def test_what_cannot_be_sent_or_saved(
    running: bool,
    alice: Path,  # noqa: F811
    bob: Path,  # noqa: F811
    passfile: Path,  # noqa: F811
    tmp_path: Path,
    start: Start,  # noqa: F811
) -> None:
    """One sentence each, with a node and without; nothing is sent, no folder is made."""
    secret = ("--passphrase-file", passfile)
    good("contact", "add", good("card", "--home", bob, *secret).strip(), *secret, home=alice)
    if running:
        start(alice, "--no-lan")
    good(*secret, "room", "join", "room", home=alice)
    text = good(*secret, "send", "#room", '[file "x.pdf", 1 B]', home=alice).strip()
    for name, size in (("EMPTY", 0), ("LARGE", 3_000_000), ("MORE", 2_088_753), ("FILE", 5)):
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "a\udcff").write_text("x")
    known = {name: tmp_path / name for name in ("NONE", "EMPTY", "LARGE", "MORE", "FILE")}
    known |= {"HERE": tmp_path, "BROKEN": tmp_path / "a\udcff", "TEXT": Path(text)}
    for case, (args, says) in BAD.items():
        done = mesh(*secret, *(known.get(arg, arg) for arg in args), home=alice)
        assert done.returncode == 2, (case, done)
        refused(done, 2, says)
    assert good(*secret, "read", "Bob", home=alice) == ""
    assert not (alice / "downloads").exists()
