"""Where in a TOML file a key is: ``tomllib`` forgets the lines, an error message needs them.

Reads only text that ``tomllib`` has accepted, so it can be simple.
"""

import re
import tomllib
from collections.abc import Iterator
from typing import NamedTuple

Path = tuple[str | int, ...]

_TOKEN = re.compile(
    r"(?P<string>\"{3}(?:\\.|[^\\])*?\"{3,5}|'{3}.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\')'
    r"|(?P<comment>\#[^\n]*)|(?P<newline>\n)|(?P<mark>[\[\]{},=.])"
    r"|(?P<bare>[^\s\[\]{},=.\"'\#]+)|(?P<space>[^\S\n]+)",
    re.DOTALL,
)


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


def lines(text: str) -> dict[Path, int]:
    """The line (from 1) of every table, key and element of an array.

    A path is made of keys and of places in arrays: ``("people", 0, "move", "speed")``.
    """
    reader = _Reader(text.replace("\r\n", "\n"))
    reader.document()
    return reader.found


def line_of(found: dict[Path, int], path: Path) -> int:
    """The line of ``path``, or of the nearest table around it that is written down; else 1."""
    for end in range(len(path), 0, -1):
        if path[:end] in found:
            return found[path[:end]]
    return 1


class _Reader:
    def __init__(self, text: str) -> None:
        self.found: dict[Path, int] = {}
        self._tokens = list(_tokens(text))
        self._at = 0
        self._arrays: dict[Path, int] = {}  # arrays of tables: place of the last one

    def document(self) -> None:
        table: Path = ()
        while (token := self._skip()).kind != "end":
            if token.text == "[" and token.kind == "mark":
                table = self._header(token.line)
            else:
                self._pair(table)

    def _header(self, line: int) -> Path:
        self._next()
        array = self._peek().text == "["
        if array:
            self._next()
        *parents, last = self._key()
        path: Path = ()
        for part in parents:
            path = self._inside((*path, part), line)
        path = (*path, last)
        self.found.setdefault(path, line)
        if array:
            self._arrays[path] = self._arrays.get(path, -1) + 1
        path = self._inside(path, line)
        while self._peek().kind not in ("newline", "end"):
            self._next()
        return path

    def _inside(self, path: Path, line: int) -> Path:
        """``path``, and when it is an array of tables the last of its tables."""
        self.found.setdefault(path, line)
        if path in self._arrays:
            path = (*path, self._arrays[path])
            self.found.setdefault(path, line)
        return path

    def _pair(self, table: Path) -> None:
        line = self._skip().line
        path = table
        for part in self._key():
            path = (*path, part)
            self.found.setdefault(path, line)
        self._next()  # the sign =
        self._value(path)

    def _value(self, path: Path) -> None:
        token = self._skip()
        self.found.setdefault(path, token.line)
        if token.kind == "mark" and token.text == "[":
            self._array(path)
        elif token.kind == "mark" and token.text == "{":
            self._inline(path)
        else:
            while not self._ends(self._peek()):
                self._next()

    def _array(self, path: Path) -> None:
        self._next()
        place = 0
        while (token := self._skip()).text != "]" or token.kind != "mark":
            if token.kind == "end":
                return
            if token.kind == "mark" and token.text == ",":
                self._next()
                place += 1
            else:
                self._value((*path, place))
        self._next()

    def _inline(self, path: Path) -> None:
        self._next()
        while (token := self._skip()).text != "}" or token.kind != "mark":
            if token.kind == "end":
                return
            if token.kind == "mark" and token.text == ",":
                self._next()
            else:
                self._pair(path)
        self._next()

    def _key(self) -> list[str]:
        """A dotted key, up to the sign or bracket after it."""
        parts: list[str] = []
        while (token := self._peek()).kind in ("bare", "string", "space") or token.text == ".":
            if token.kind == "string":
                parts.append(next(iter(tomllib.loads(f"{token.text} = 0"))))
            elif token.kind == "bare":
                parts.append(token.text)
            self._next()
        return parts

    def _ends(self, token: _Token) -> bool:
        return token.kind in ("newline", "comment", "end") or (
            token.kind == "mark" and token.text in ",]}"
        )

    def _skip(self) -> _Token:
        """Past white space, comments and new lines to the next token, which is not taken."""
        while self._peek().kind in ("space", "comment", "newline"):
            self._next()
        return self._peek()

    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> None:
        if self._at < len(self._tokens) - 1:
            self._at += 1


def _tokens(text: str) -> Iterator[_Token]:
    line = 1
    for match in _TOKEN.finditer(text):
        yield _Token(match.lastgroup or "", match[0], line)
        line += match[0].count("\n")
    yield _Token("end", "", line)
