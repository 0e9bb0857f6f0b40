"""One message of the history as lines of cells: time, name, text, what became of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from datetime import date, datetime

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from meshchat.core.model import Message, State
from meshchat.core.ports import Store
from meshchat.i18n import N_, _
from meshchat.text import Clean
from meshchat.ui.glyphs import Glyphs, state_mark
from meshchat.ui.lines import fit, wrap
from meshchat.ui.names import Names

WIDE_CELLS = 56  # from here on names have a column of their own
NAME_CELLS_MAX = 14
NICK_STYLES = 6
FIRST_LETTERS_MAX = 80  # looked at for the direction of a text

_MONTHS = (
    *(N_("{day} January {year}"), N_("{day} February {year}"), N_("{day} March {year}")),
    *(N_("{day} April {year}"), N_("{day} May {year}"), N_("{day} June {year}")),
    *(N_("{day} July {year}"), N_("{day} August {year}"), N_("{day} September {year}")),
    *(N_("{day} October {year}"), N_("{day} November {year}"), N_("{day} December {year}")),
)


class Rows:
    """Draws messages for a width."""

    def __init__(
        self, store: Store, names: Names, glyphs: Glyphs, style: Callable[[str], Style]
    ) -> None:
        self._store = store
        self._names = names
        self._glyphs = glyphs
        self._style = style
        self.name_cells = 3
        """Width of the names' column; grows with the names that are seen."""
        self.words = ""
        """Marked wherever they stand."""

    def widen(self, message: Message) -> bool:
        """Make the names' column wide enough for this one; True if it changed."""
        wanted = min(NAME_CELLS_MAX, cell_len(self._names.of_author(message)))
        if wanted <= self.name_cells:
            return False
        self.name_cells = wanted
        return True

    def body(self, message: Message, grouped: bool, width: int, wide: bool) -> list[Strip]:
        """The lines of a message.

        Args:
            message: It.
            grouped: It follows one of the same author: no name, no time.
            width: Cells of a line.
            wide: Names have a column of their own.
        """
        strips: list[Strip] = []
        head = self._head(message, grouped, width, wide)
        indent = " " * (9 + self.name_cells if wide else 3)
        if not wide:
            strips += head
        room = max(2, width - cell_len(indent) - (0 if wide else 1))
        lines = self._lines(message, room)
        mark, mark_style = self._mark(message)
        if mark and cell_len(_text(lines[-1])) + 1 + cell_len(mark) > room:
            lines.append([])
        for number, parts in enumerate(lines):
            start = list(head[0]) if wide and number == 0 else [Segment(indent)]
            line = [*start, *parts]
            if mark and number == len(lines) - 1:
                line.append(Segment(f" {mark}" if parts else mark, mark_style))
            strips.append(Strip(line))
        return strips

    def _head(self, message: Message, grouped: bool, width: int, wide: bool) -> list[Strip]:
        """Time and name: the start of the first line, or a line of its own."""
        name = self._names.of_author(message)
        nick = "own" if message.outgoing else f"nick{message.author[-1] % NICK_STYLES}"
        clock = f"{datetime.fromtimestamp(message.received_at):%H:%M}"
        more = self._glyphs.more
        if not wide:
            if grouped:
                return []
            shown = fit(name, min(cell_len(name), max(4, width - 8)), more)
        else:
            shown = fit("" if grouped else name, self.name_cells, more)
            clock = " " * 5 if grouped else clock
        parts = [Segment(" "), Segment(clock, self._style("time")), Segment(" ")]
        parts.append(Segment(shown, self._style(nick)))
        if wide:
            parts.append(Segment("  "))
        return [Strip(parts)]

    def _lines(self, message: Message, room: int) -> list[list[Segment]]:
        """What is read, broken into lines."""
        style = self._style("mention") if self._names.mentions_us(message) else None
        aligned = right_to_left(message.text)
        lines: list[list[Segment]] = []
        for line in wrap(message.text, room):
            gap = room - cell_len(line) if aligned else 0
            start = [Segment(" " * gap)] if gap > 0 else []
            lines.append([*start, *self._marked(line, style)])
        return lines

    def _marked(self, line: str, style: Style | None) -> list[Segment]:
        """A line with the words that are looked for marked."""
        if not self.words.strip():
            return [Segment(line, style)]
        parts: list[Segment] = []
        last = 0
        for start, end in places(line, self.words):
            parts.append(Segment(line[last:start], style))
            parts.append(Segment(line[start:end], self._style("found")))
            last = end
        parts.append(Segment(line[last:], style))
        return [part for part in parts if part.text]

    def _mark(self, message: Message) -> tuple[str, Style]:
        mark = state_mark(self._glyphs, message)
        return mark, self._style("failed" if message.state is State.FAILED else "mark")


def _text(parts: list[Segment]) -> str:
    return "".join(part.text for part in parts)


def places(text: str, query: str) -> list[tuple[int, int]]:
    """Where words stand in a text."""
    found: list[tuple[int, int]] = []
    folded = text.casefold()
    if len(folded) != len(text):
        return []
    for word in query.casefold().split():
        at = folded.find(word)
        while at >= 0:
            found.append((at, at + len(word)))
            at = folded.find(word, at + len(word))
    merged: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def right_to_left(text: str) -> bool:
    """Whether the first letter that has a direction runs from right to left."""
    for char in text[:FIRST_LETTERS_MAX]:
        kind = unicodedata.bidirectional(char)
        if kind in ("R", "AL"):
            return True
        if kind == "L":
            return False
    return False


def day_name(day: date) -> Clean:
    """A day as people write it: ``22 November 2026``."""
    return Clean(_(_MONTHS[day.month - 1]).format(day=day.day, year=day.year))
