"""The command line in a real pty, on a profile full of hostile text: every way it is shown."""

import json
import sys
import unicodedata
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("needs a pty", allow_module_level=True)

from test_pty import TEXTS, Terminal, fill

# What ``Clean`` lets through inside emoji and words: joiners, and the tags of regional flags.
JOINING = "\u200c\u200d" + "".join(map(chr, range(0xE0020, 0xE0080)))
SHOWN = (
    ("read", "--limit", "1000"),
    ("contact", "list"),
    ("room", "list"),
    ("status",),
    ("message", (b"m" * 6 + bytes(2)).hex()),
    ("send", "no such name", "x"),
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A profile filled once: nothing below changes what is shown."""
    place = tmp_path_factory.mktemp("hostile") / "home"
    fill(place)
    return place


@pytest.mark.parametrize("form", ["plain", "json"])
@pytest.mark.parametrize("words", SHOWN, ids=lambda words: words[0])
def test_no_hostile_byte_reaches_the_terminal(
    home: Path, words: tuple[str, ...], form: str
) -> None:
    """Only text, line ends and spaces come out; JSON can be read again, line by line."""
    options = ["--no-ble", "--home", str(home), "--passphrase-file", str(home / "pw")]
    options += ["--json"] if form == "json" else []
    terminal = Terminal("-m", "meshchat", *options, *words)
    code = terminal.end()
    assert code == (2 if words[0] == "send" else 0)
    terminal.close()
    shown = terminal.output.decode("utf-8")
    bad = {
        char
        for char in shown.replace("\r\n", "")
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
        and char not in JOINING
    }
    assert not bad, f"{bad!r} in what {words[0]} shows"
    if form == "json":
        for line in shown.splitlines():
            json.loads(line)
    if words[0] == "read":
        assert sum(f"mk{number}." in shown for number in range(len(TEXTS))) == len(TEXTS)
