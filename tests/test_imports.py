"""Layers at run time: what importing a part loads, and what the core must never touch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "meshchat"
CORE = sorted((PACKAGE / "core").rglob("*.py"))

IMPURE = {"asyncio", "socket", "sqlite3", "sqlcipher3", "threading", "textual", "zeroconf", "bleak"}
BANNED_MODULES = {"time", "random", "uuid", "secrets", "os", "asyncio", "socket", "threading"}
BANNED_CALLS = {
    ("datetime", "now"),
    ("datetime", "today"),
    ("datetime", "utcnow"),
    ("date", "today"),
}


def loaded_by(code: str) -> set[str]:
    """Top-level modules loaded after running ``code`` in a fresh interpreter."""
    probe = f"{code}\nimport sys\nsys.stderr.write('LOADED ' + ' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return {name.split(".")[0] for name in done.stderr.partition("LOADED ")[2].split()}


def test_the_core_loads_nothing_impure() -> None:
    """Importing every module of the core loads no loop, socket, database, radio or screen."""
    paths = [path.relative_to(PACKAGE.parent).with_suffix("") for path in CORE]
    names = [".".join(path.parts) for path in paths if path.stem != "__init__"]
    bare = loaded_by("import nacl.bindings, hashlib, msgspec, re, typing")
    extra = loaded_by("import " + ", ".join(names)) - bare
    assert not extra & IMPURE


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_version_and_help_load_nothing_heavy(option: str) -> None:
    """A start that shows nothing costs nothing."""
    code = (
        "from meshchat.cli import main\n"
        f"try:\n    main([{option!r}])\nexcept SystemExit as end:\n    assert end.code == 0"
    )
    heavy = {"textual", "rich", "nacl", "zeroconf", "sqlcipher3", "sqlite3", "asyncio", "segno"}
    assert not loaded_by(code) & heavy


def test_a_command_to_a_running_node_loads_neither_crypto_nor_loop() -> None:
    """The client side of the control socket is light."""
    loaded = loaded_by("import meshchat.net.client")
    assert not loaded & {"textual", "nacl", "zeroconf", "sqlcipher3", "asyncio"}


def test_a_headless_node_loads_no_screen_and_no_radio() -> None:
    """What serves in the background needs neither Textual nor Bluetooth."""
    loaded = loaded_by("import meshchat.net.control, meshchat.net.lan, meshchat.doctor")
    assert not loaded & {"textual", "rich", "bleak", "dbus_fast"}


def test_a_start_loads_no_screen_that_nobody_asked_for() -> None:
    """Up to the first frame of a chat: no question, no report, no server, no settings parser."""
    code = (
        "import sys\nfrom meshchat import arguments, commands\n"
        "commands.find(arguments.parse([]).verb)\n"
        "from meshchat.config import RuntimeOptions\nfrom meshchat.ui.app import _prepare\n"
        "_prepare(RuntimeOptions(lan=False, ble=False))\n"
        "late = {'ui.dialogs', 'ui.people', 'ui.mesh', 'ui.check', 'ui.setup', 'ui.filepicker',"
        " 'ui.helptext', 'net.control', 'net.verbs', 'net.lan', 'net.ble.transport', 'doctor',"
        " 'commands.chats'}\n"
        "found = late & {name.removeprefix('meshchat.') for name in sys.modules}\n"
        "assert not found, found\n"
    )
    assert not loaded_by(code) & {"tomllib", "segno", "mnemonic", "zeroconf", "bleak"}


def test_importing_the_package_loads_nothing() -> None:
    """``meshchat`` itself holds the version only."""
    bare = loaded_by("")
    assert loaded_by("import meshchat") - bare == {"meshchat"}


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.stem)
def test_the_core_has_no_clock_randomness_or_unordered_loops(path: Path) -> None:
    """No ``time.``, ``random.``, ``os.urandom``, ``datetime.now``, ``uuid``; no loop over a set."""
    tree = ast.parse(path.read_text("utf-8"))
    sets = set_names(tree)
    for node in ast.walk(tree):
        where = f"{path.name}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
            assert not names & BANNED_MODULES, where
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in BANNED_MODULES, where
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            assert (node.value.id, node.attr) not in BANNED_CALLS, where
            assert node.value.id not in BANNED_MODULES, where
        for looped in loops(node):
            assert not is_set(looped, sets), f"{where} iterates over a set"


def loops(node: ast.AST) -> list[ast.expr]:
    """What is iterated over here in an order that shows."""
    if isinstance(node, ast.For):
        return [node.iter]
    if isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp):
        return [generator.iter for generator in node.generators]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        ordered = {"list", "tuple", "enumerate", "iter", "next", "zip", "map"}
        return node.args if node.func.id in ordered else []
    if isinstance(node, ast.Starred):
        return [node.value]
    return []


def set_names(tree: ast.AST) -> set[str]:
    """Names and attributes assigned a set, or annotated as one."""
    found: set[str] = set()
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign) and is_set(node.value, set()):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation).startswith(
            ("set", "frozenset")
        ):
            targets = [node.target]
        found.update(ast.unparse(target) for target in targets)
    return found


def is_set(node: ast.expr, names: set[str]) -> bool:
    """Whether an expression is plainly a set."""
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in ("set", "frozenset")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.BitAnd | ast.BitOr):
        return is_set(node.left, names) or is_set(node.right, names)
    return ast.unparse(node) in names


@pytest.mark.parametrize(
    "code",
    [
        "for x in {1, 2}: pass",
        "a = set()\nfor x in a: pass",
        "self.a: set[int] = make()\n[x for x in self.a]",
        "list(set(x))",
        "[*{1}]",
        "a = set()\nfor x in a - b: pass",
    ],
)
def test_the_check_finds_loops_over_sets(code: str) -> None:
    """The rule above can fail."""
    tree = ast.parse(code)
    sets = set_names(tree)
    assert any(is_set(looped, sets) for node in ast.walk(tree) for looped in loops(node))
