"""No sentence for people is written into the code without being marked for translation."""

import ast
import re
from pathlib import Path

import catalogue
import pytest
from catalogue import PACKAGE

SPEAKING = (  # what is written here can reach a person; elsewhere only errors do, which are found
    *(
        "arguments.py",
        "cli.py",
        "commands/*.py",
        "config.py",
        "doctor.py",
        "logfile.py",
        "downloads.py",
        "keyfile.py",
    ),
    *("linear.py", "parser.py", "plain.py", "profile.py", "threat.py", "ui/*.py"),
    *("net/control.py", "net/lan.py", "net/ble/radio.py", "net/verbs/*.py"),
)
FILES = sorted(path for pattern in SPEAKING for path in PACKAGE.glob(pattern))
# Two words beside each other, or a word and a value: what no name, key or code is.
PROSE = re.compile(r"[A-Za-z’']{2,}[,.:;]? [A-Za-z(‘“’']{2,}|\b[A-Za-z]{3,}:? \{|\} [a-z]{3,}\b")
UNSEEN = ("Binding", "debug", "info", "warning", "error", "getattr", "execute", "partial")
"""What takes literals that nobody sees here: a binding names its action, the log is English."""
NOT_SAID = {
    "meshchat demo": "a title",
    "meshchat (simulated)": "a title",
    "meshchat: {0}": "a name",
    "meshchat {0}": "a name and the version",
    "{0}  {1}  meshchat {2}": "a name and the version",
    "no place": "of a bug, for those who mend it",
    "Only this page may talk to this demo.": "an answer to a program that is no browser of ours",
    "'self' 'unsafe-inline' data:": "a header",
    "default-src {0}; connect-src 'self' ws://{1}:{2}": "a header",
    "Ctrl+Up Ctrl+Down": "keys",
    "PgUp PgDn": "keys",
    "Up Down": "keys",
    "Enter Up": "keys",
    "Home End": "keys",
    "dict[str, object]": "a type",
    "box tall": "names of styles",
    "post everyone": "arguments of a command",
    "author everyone": "arguments of a command",
    "/reply TEXT": "a command",
    "/edit TEXT": "a command",
    "/find WORDS": "a command",
    "tab: complete": "a setting of readline",
    "set enable-bracketed-paste on": "a setting of readline",
}


def unmarked(source: str, marked: set[str]) -> list[tuple[int, str]]:
    """Sentences of a source that are neither marked nor of a kind that nobody sees."""
    tree = ast.parse(source)
    known: set[int] = set()
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree):  # from the outside to the inside
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            known.add(id(node.value))  # a docstring
        elif isinstance(node, ast.Assert) and node.msg is not None:
            known.add(id(node.msg))
        elif isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in UNSEEN:
                given = [*node.args, *(each.value for each in node.keywords)]
                known.update(id(part) for each in given for part in ast.walk(each))
        elif isinstance(node, ast.JoinedStr):
            known.update(id(part) for part in node.values)
        if isinstance(node, ast.Constant | ast.JoinedStr) and id(node) not in known:
            text = catalogue.literal(node)
            if text and text not in marked and PROSE.search(text):
                found.append((node.lineno, text))
    return found


@pytest.fixture(scope="module")
def marked() -> set[str]:
    found = catalogue.strings().values()
    return {each.text for each in found} | {each.many for each in found} | set(NOT_SAID)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_sentence_is_left_out(path: Path, marked: set[str]) -> None:
    """Every sentence of the modules that speak to people is in the catalogues."""
    assert unmarked(path.read_text("utf-8"), marked) == []


def test_nothing_is_excused_that_is_gone() -> None:
    """The list of what needs no translation has no entry that is not in the code."""
    said = {
        catalogue.literal(node)
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant | ast.JoinedStr)
    }
    assert set(NOT_SAID) <= said


@pytest.mark.parametrize(
    "source",
    [
        'print("Nothing was changed.")',
        'say(f"waiting {count}")',
        'lines = [f"{count} left"]',
        'HELP = {"help": "do not ask"}',
        'return ("one" if x else "the other one")',
    ],
)
def test_the_check_finds_what_is_not_marked(source: str) -> None:
    """The rule above can fail."""
    source = f"def f():\n    {source}"
    assert unmarked(source, set())


@pytest.mark.parametrize(
    "source",
    [
        '"""Words of a docstring."""',
        '_("Nothing here.")',
        'Binding("x", "go", "Go on")',
        'x["a_b"]',
    ],
)
def test_the_check_leaves_the_rest_alone(source: str) -> None:
    assert unmarked(source, {"Nothing here."}) == []
