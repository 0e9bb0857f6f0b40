"""Finds every string that can be translated, and brings a catalogue up to date.

    python tests/language/catalogue.py LANGUAGE

writes ``meshchat/locale/LANGUAGE/LC_MESSAGES/meshchat.po``: new strings are added without a
translation, those that are gone are removed, what was translated stays.
"""

import ast
import re
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po

PACKAGE = Path(__file__).parents[2] / "meshchat"
FIRST_IS_TEXT = ("_", "N_", "said")
SECOND_IS_TEXT = (  # errors and news that are shown: a stable code, then a sentence
    *("UsageError", "TrustError", "StoreError", "TransportError", "Notice"),
    "_bad_config",
    "check_name",
)
WITHOUT = ("sim",)  # the simulator's own commands are for researchers and stay English
WORDS = "command"
"""Context of the other names of a slash command."""


@dataclass
class Found:
    """One string of the code."""

    text: str
    many: str = ""
    context: str = ""
    places: list[tuple[str, int]] = field(default_factory=list)

    @property
    def id(self) -> str | tuple[str, str]:
        return (self.text, self.many) if self.many else self.text


def literal(node: ast.expr) -> str | None:
    """The text of a literal; of an f-string its form, with a number for each value."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.JoinedStr):
        return None
    parts: list[str] = []
    values = 0
    for part in node.values:
        if isinstance(part, ast.Constant):
            parts.append(str(part.value))
        else:
            parts.append(f"{{{values}}}")
            values += 1
    return "".join(parts)


@cache
def strings() -> dict[tuple[str, str], Found]:
    """Every string of the package, by context and text."""
    found: dict[tuple[str, str], Found] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name.split("/")[0] in WITHOUT:
            continue
        tree = ast.parse(path.read_text("utf-8"))
        here = [
            (node.lineno, each)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            for each in _of_call(node)
        ]
        for line, each in [*here, *(_of_arguments(tree) if name == "arguments.py" else ())]:
            if not re.search(r"[^\W\d_]", re.sub(r"\{\w*\}", "", each.text)):
                continue  # only values and signs
            known = found.setdefault((each.context, each.text), each)
            known.many = known.many or each.many
            known.places.append((f"meshchat/{name}", line))
    return found


def _of_call(node: ast.Call) -> list[Found]:
    function = node.func
    name = getattr(function, "id", getattr(function, "attr", ""))
    texts = [literal(argument) for argument in node.args]
    first = texts[0] if texts else None
    second = texts[1] if len(texts) > 1 else None
    if name == "ngettext" and first and second:
        return [Found(first, second)]
    if name in FIRST_IS_TEXT and first:
        return [Found(first)]
    if name in SECOND_IS_TEXT and second:
        return [Found(second)]
    if name == "Check" and texts[-1]:
        return [Found(texts[-1])]
    if name == "Command":
        return _of_command(node)
    return []


def _of_arguments(tree: ast.AST) -> list[tuple[int, Found]]:
    """The help of commands and options, which ``parser`` looks up when it is printed."""
    found: list[tuple[int, ast.expr]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            found += [
                (value.lineno, value)
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant) and key.value == "help"
            ]
        elif isinstance(node, ast.Call):
            found += [
                (node.lineno, each.value)
                for each in node.keywords
                if each.arg in ("help", "description", "epilog")
            ]
            if getattr(node.func, "id", "") == "verb":
                found.append((node.lineno, node.args[2]))
    texts = ((line, literal(value)) for line, value in found)
    return [(line, Found(text)) for line, text in texts if text]


def _of_command(node: ast.Call) -> list[Found]:
    """Its other names, and what it takes; the label is marked where it stands."""
    start = node.args[0]
    word = literal(start.value.elts[0] if isinstance(start, ast.Starred) else start)
    found = [Found(word, context=WORDS)] if word else []
    takes = [literal(each.value) for each in node.keywords if each.arg == "takes"]
    return [*found, *(Found(text) for text in takes if text)]


def path_of(language: str) -> Path:
    return PACKAGE / "locale" / language / "LC_MESSAGES" / "meshchat.po"


def read(language: str) -> Catalog:
    """A catalogue as Babel understands it."""
    with path_of(language).open("rb") as file:
        return read_po(file, locale=language)


def update(language: str, path: Path) -> int:
    """Write the catalogue of a language anew; returns how many strings have no translation."""
    old = read(language) if path_of(language).exists() else Catalog(locale=language)
    new = Catalog(locale=language, project="meshchat", fuzzy=False)
    missing = 0
    for each in strings().values():
        known = old.get(each.id, context=each.context or None)
        text = known.string if known is not None else ""
        flags = {"python-brace-format"} if "{" in each.text else set()
        where = [(name, None) for name in dict.fromkeys(name for name, _line in each.places)]
        new.add(each.id, text, where, flags=flags, context=each.context or None)
        missing += not (any(text) if isinstance(text, tuple) else text) and not each.context
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        write_po(file, new, width=99, omit_header=True, include_previous=False)
    body = path.read_text("utf-8")
    path.write_text(_header(new) + body, "utf-8")
    return missing


def _header(catalog: Catalog) -> str:
    return (
        f"# meshchat in {catalog.locale.english_name}. How to translate: docs/howto/translate.md\n"
        'msgid ""\nmsgstr ""\n'
        f'"Language: {catalog.locale_identifier}\\n"\n'
        '"Content-Type: text/plain; charset=utf-8\\n"\n'
        f'"Plural-Forms: {catalog.plural_forms}\\n"\n\n'
    )


if __name__ == "__main__":
    missing = update(sys.argv[1], path_of(sys.argv[1]))
    print(f"{missing} strings have no translation yet")
