"""The pages say what the code does: links resolve, commands parse, numbers are the same."""

import ast
import re
import shlex
from pathlib import Path
from urllib.parse import unquote

import pytest

from meshchat.arguments import make_parser
from meshchat.core import hello, link, wire
from meshchat.core.body import (
    CONTROL_MAX_BYTES,
    MESSAGE_ID_BYTES,
    READ_IDS_MAX,
    TEXT_MAX_BYTES,
    TIMER_MAX_S,
)
from meshchat.core.identity import CARD_BYTES, NAME_MAX_BYTES
from meshchat.core.limits import (
    ANNOUNCE_LIFE_H,
    BUFFERED_MAX_BYTES,
    BULK_OPEN_MAX,
    BULK_OPEN_QUICK_MAX,
    BULK_QUICK_S,
    CLASS_SIZES_BYTES,
    CREDIT_BYTES,
    CREDIT_MAX_BYTES,
    CREDIT_SLACK_S,
    DECLINED_KEYS_MAX,
    DECLINED_REMEMBERED_MAX,
    DM_LIFE_BASE_H,
    DM_LIFE_MAX_H,
    EXPIRY_AHEAD_MAX_H,
    FILE_CHUNKS_MAX,
    FILE_SPREAD_H,
    GROUP_JUMP_MAX,
    GROUP_KEYS_S,
    GROUP_MEMBERS_MAX,
    GROUP_PARKED_MAX,
    GROUP_PARKED_PER_CONTACT_MAX,
    GROUP_SKIPPED_MAX,
    GROUP_TURN_S,
    HAVE_IDS_MAX,
    NEWS_IDS_MAX,
    NODE_KEY_LIFE_S,
    PREKEY_DELETE_S,
    PREKEY_LIFE_H,
    TYPING_EVERY_S,
    TYPING_SHOWN_S,
    WANTS_MAX,
    WANTS_OPEN_MAX,
)
from meshchat.core.model import PIECES_BITS_MAX, TAG_BITS
from meshchat.core.sealed import CHUNK_BYTES, FILE_MAX_BYTES, FILE_NAME_MAX_BYTES
from meshchat.core.words import EMOJI_MAX_BYTES
from meshchat.net.beacon import BEACON_PORT, GROUP_V4, GROUP_V6
from meshchat.net.candidates import PERIOD_S
from meshchat.net.discovery import SERVICE
from meshchat.ui.commands import COMMANDS

ROOT = Path(__file__).parent.parent
WIRE = (ROOT / "docs/reference/wire.md").read_text("utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(meshchat [^`\n]+)`")
_COMMAND = re.compile(r"^(?:ExecStart=)?(?:\S*/)?meshchat(?:\s|$)")


def anchors(page: Path) -> set[str]:
    """The names under which a page's headings can be linked to."""
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def shown_commands(text: str) -> list[str]:
    """Every command line of ours in a page, as somebody would type it.

    In a block where some line begins with a prompt only those lines are commands. A general
    form with the word COMMAND is none.
    """
    found: list[str] = []
    for kind, block in _FENCE.findall(text):
        lines = block.splitlines()
        if any(line.startswith("$ ") for line in lines):
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        if kind in ("", "sh", "ini"):
            found += [part for line in lines for part in re.split(r" (?:\||&&|<|>) ", line)]
    # tables show what may be left out in brackets: with all of it the line must parse
    for part in _INLINE.findall(text):
        whole = re.sub(r"\.\.\.|[\[\]]", "", part)
        only_named = re.fullmatch(r"[a-z ]+", whole)  # `meshchat send` in a sentence
        found.append(f"{whole} --help" if only_named else whole)
    return [part for part in found if _COMMAND.match(part) and "COMMAND" not in part]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file or folder that is there, and a heading it has."""
    for target in _LINK.findall(_FENCE.sub("", page.read_text("utf-8"))):
        if "://" in target:
            continue
        path, _, anchor = unquote(target).partition("#")
        there = page.parent / path if path else page
        assert there.exists(), target
        if anchor:
            assert anchor in anchors(there), target


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_parse(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command shown is one that the real parser takes."""
    for command in shown_commands(page.read_text("utf-8")):
        words = shlex.split(_COMMAND.sub("", command))
        words = ["1" if word == "N" else word for word in words]  # a number in a table
        try:
            make_parser().parse_args(words)
        except SystemExit as end:  # --help and --version
            assert end.code == 0, command
    capsys.readouterr()


def test_the_pages_show_commands() -> None:
    """The extraction above finds something: the tutorial alone has more than thirty."""
    assert len(shown_commands((ROOT / "docs/tutorial.md").read_text("utf-8"))) > 30


def test_record_types_are_those_of_the_wire_page() -> None:
    """Each record of a link stands in the table under its number, and the table has no other."""
    table = WIRE.partition("| record | type | body |")[2].partition("\n\n")[0]
    listed: dict[str, int] = {}
    for names, numbers in re.findall(r"^\| ([A-Z/ ]+) \| ([\d/ ]+) \|", table, re.MULTILINE):
        listed.update(zip(names.split(" / "), map(int, numbers.split(" / ")), strict=True))
    assert listed == {name: getattr(link, name) for name in listed}
    handled = {link.PAD, link.PING, link.PONG, link.CLOSE, link.REKEY, *link._OURS}
    assert set(listed.values()) == handled


def test_reasons_are_those_of_the_wire_page() -> None:
    """Codes of CLOSE and REFUSED."""
    for code, words in enumerate(
        ("done", "duplicate link", "protocol error", "over budget", "time-out", "full"), 1
    ):
        assert f"{code} {words}" in WIRE
    assert (link.CLOSE_DONE, link.CLOSE_DUPLICATE, link.CLOSE_PROTOCOL) == (1, 2, 3)
    assert (link.CLOSE_BUDGET, link.CLOSE_TIMEOUT, link.CLOSE_FULL) == (4, 5, 6)
    assert [reason.value for reason in wire.Refusal] == [1, 2, 3, 4, 5]
    assert "1 full, 2 expired or too far ahead, 3 malformed, 4 unwanted, 5 declined" in WIRE


KIB = 1024
QUOTED = (
    f"length 1 to {link.FRAME_MAX_BYTES:,}",
    f"a multiple of {link.FRAME_MIN_BYTES} bytes",
    "one frame of {}, {} and {} bytes".format(*link.HANDSHAKE_FRAME_BYTES),
    link.NOISE_NAME,
    f"renewed after {NODE_KEY_LIFE_S / 3600:.0f} h",
    f"{hello.HELLO_TAGS} tags of {hello.HELLO_TAG_BYTES} bytes` = {hello.HELLO_BYTES} bytes",
    f"after {link.REKEY_FRAMES:,} frames or {link.REKEY_SECONDS / 60:.0f} minutes",
    f"sends {link.REKEY_LIMIT_FRAMES:,} frames without one",
    f"PING after {link.PING_SECONDS:.0f} s",
    f"{link.DEAD_SECONDS:.0f} s without a frame received",
    f"{link.HANDSHAKE_SECONDS:.0f} s without a finished handshake",
    f"| HAVE | {link.HAVE} | 1 to {HAVE_IDS_MAX} of `id {wire.ID_BYTES}, hint u16`",
    f"| WANT | {link.WANT} | 1 to {WANTS_MAX} of",
    f"at most {WANTS_OPEN_MAX:,} are open",
    f"{wire.PROOF_HINT:,} says that the id is the `done` of a proof",
    f"({DECLINED_REMEMBERED_MAX:,} ids, of each the last {DECLINED_KEYS_MAX} neighbours)",
    f"At most {BULK_OPEN_MAX} envelopes of classes 2 and 3 are asked",
    f"in HAVEs of at most {NEWS_IDS_MAX} ids of which two",
    f"small mail of a HAVE of at most {NEWS_IDS_MAX} ids",
    f"within {BULK_QUICK_S:.0f} s of being asked for, up to {BULK_OPEN_QUICK_MAX},",
    f"{TAG_BITS} random bits, the same in all chunks",
    f"pieces_bits | 0 to {PIECES_BITS_MAX}:",
    f"one file in {1 << TAG_BITS:,} has the tag of another",
    f"({CREDIT_BYTES:,} bytes) at first",
    f"up to {CREDIT_MAX_BYTES // KIB**2} MiB",
    f"within {CREDIT_SLACK_S * 1000:.0f} ms",
    f"never exceed {BUFFERED_MAX_BYTES // KIB**2} MiB",
    f"UDP port {BEACON_PORT}",
    f"{GROUP_V4}, `{GROUP_V6}`",
    f"every {PERIOD_S:.0f} s",
    f"`{SERVICE}`",
    "total {:,}, {:,}, {:,}, {:,} bytes".format(*CLASS_SIZES_BYTES),
    f"more than {EXPIRY_AHEAD_MAX_H} hours ahead",
    f"picks at most {DM_LIFE_MAX_H};",
    f"picks {DM_LIFE_BASE_H} hours and up to {DM_LIFE_MAX_H - DM_LIFE_BASE_H} more",
    f"Card, {CARD_BYTES} bytes",
    f"hour made + {PREKEY_LIFE_H}",
    f"destroyed {PREKEY_DELETE_S / 86_400:.0f} days after",
    f"name (UTF-8, 0 to {NAME_MAX_BYTES} bytes)",
    f"({ANNOUNCE_LIFE_H} h)",
    f"1 to {TEXT_MAX_BYTES:,} bytes",
    f"1 to {READ_IDS_MAX} ids of {MESSAGE_ID_BYTES} bytes",
    f"one emoji, at most {EMOJI_MAX_BYTES} bytes",
    f"0 to {TIMER_MAX_S:,} in type 9",
    f"| TYPING | {link.TYPING} |",
    f"at most every {TYPING_EVERY_S:.0f} s; said nothing for {TYPING_SHOWN_S:.0f} s",
    f"1 to {FILE_MAX_BYTES:,} bytes ({FILE_CHUNKS_MAX} chunks)",
    f"pieces of {CHUNK_BYTES:,} bytes",
    f"the name: 1 to {FILE_NAME_MAX_BYTES} bytes",
    f"outlives it by 0 to {FILE_SPREAD_H} hours",
    f"up to {GROUP_MEMBERS_MAX} members",
    f"At most {GROUP_JUMP_MAX} numbers are passed over",
    f"{GROUP_SKIPPED_MAX:,} keys of passed-over messages",
    f"({GROUP_PARKED_MAX} in all, {GROUP_PARKED_PER_CONTACT_MAX} of one contact,",
    f"destroyed {GROUP_KEYS_S / 86_400:.0f} days after another took its place",
    f"1 to {CONTROL_MAX_BYTES:,} bytes",
    f"number k: {GROUP_TURN_S / 3_600:.0f} k hours later",
)


@pytest.mark.parametrize("phrase", QUOTED)
def test_limits_are_those_of_the_wire_page(phrase: str) -> None:
    """A limit changed in the code is changed in the wire page too."""
    assert phrase in WIRE


def test_every_attack_has_its_test() -> None:
    """All seventy have a row; each test named there exists, and what is stopped names one."""
    page = (ROOT / "docs/explain/attacks.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \|([^|]+)\|([^|]+)\|([^|]+)\|([^|]*)\|$", page, re.MULTILINE)
    assert [int(row[0]) for row in rows] == list(range(1, 71))
    known: dict[str, set[str]] = {}
    for number, _, how, _, named in rows:
        tests = re.findall(r"`([\w/]+\.py)::(\w+)`", named)
        assert tests or how.strip() in ("not", "not there"), number
        assert len(tests) == named.count("`") // 2, number
        for path, name in tests:
            if path not in known:
                tree = ast.parse((ROOT / "tests" / path).read_text("utf-8"))
                kinds = ast.FunctionDef | ast.AsyncFunctionDef
                known[path] = {node.name for node in tree.body if isinstance(node, kinds)}
            assert name in known[path], f"{number}: {path}::{name}"


def test_every_command_of_the_screens_is_described() -> None:
    """The page of keys names each slash command and each key."""
    page = (ROOT / "docs/reference/keys.md").read_text("utf-8")
    for command in COMMANDS:
        assert f"`{command.usage}`" in page
        assert command.title in page


def test_every_module_has_its_line_in_the_architecture() -> None:
    """A newcomer finds each file in the tree, and no file that is gone."""
    page = (ROOT / "docs/explain/architecture.md").read_text("utf-8")
    tree = page.partition("## The files")[2].partition("tests/\n")[0]
    listed = set(re.findall(r"^ +(\w+\.py) ", tree, re.MULTILINE))
    there = {path.name for path in (ROOT / "meshchat").rglob("*.py")}
    folders = {"commands", "core", "net", "sim", "ui"}
    assert listed == there
    assert set(re.findall(r"^  (\w+)/$", tree, re.MULTILINE)) == folders


def test_every_decision_is_short_and_whole() -> None:
    """Each record has its four parts, fits a screen or two, and is in the index."""
    index = (ROOT / "docs/index.md").read_text("utf-8")
    for path in (ROOT / "docs/adr").glob("*.md"):
        text = path.read_text("utf-8")
        for part in ("Context", "Decision", "Consequences", "Rejected"):
            assert f"\n## {part}\n" in text, path.name
        assert len(text.splitlines()) <= 60, path.name
        assert f"adr/{path.name}" in index
