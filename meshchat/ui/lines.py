"""Arithmetic of a long list of wrapped text: heights, line breaks, cuts, days."""

import re
from array import array
from collections.abc import Iterable
from datetime import date, datetime

from rich.cells import cell_len, chop_cells, split_graphemes

CHUNK_ROWS = 256  # rows per partial sum of heights

_FLAG_FIRST, _FLAG_LAST = "\U0001f1e6", "\U0001f1ff"
_WORDS = re.compile(r"\s*\S+")


class Heights:
    """How many lines each row takes, with sums per chunk so that finding a line is quick."""

    def __init__(self, heights: Iterable[int] = ()) -> None:
        self._rows = array("H", heights)
        rows = self._rows
        self._sums = [sum(rows[at : at + CHUNK_ROWS]) for at in range(0, len(rows), CHUNK_ROWS)]
        self.total = sum(self._sums)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, row: int) -> int:
        return self._rows[row]

    def append(self, height: int) -> None:
        if len(self._rows) % CHUNK_ROWS == 0:
            self._sums.append(0)
        self._rows.append(height)
        self._sums[-1] += height
        self.total += height

    def set(self, row: int, height: int) -> None:
        change = height - self._rows[row]
        self._rows[row] = height
        self._sums[row // CHUNK_ROWS] += change
        self.total += change

    def top(self, row: int) -> int:
        """Number of the row's first line."""
        chunk = row // CHUNK_ROWS
        return sum(self._sums[:chunk]) + sum(self._rows[chunk * CHUNK_ROWS : row])

    def find(self, line: int) -> tuple[int, int]:
        """The row that line ``line`` belongs to, and which of its lines it is. Not for no rows."""
        line = max(0, min(line, self.total - 1))
        chunk = 0
        while line >= self._sums[chunk]:
            line -= self._sums[chunk]
            chunk += 1
        row = chunk * CHUNK_ROWS
        while line >= self._rows[row]:
            line -= self._rows[row]
            row += 1
        return row, line


def wrap(text: str, width: int) -> list[str]:
    """Break text into lines of at most ``width`` (>= 2) cells, between words where possible."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        if cell_len(paragraph) <= width:
            lines.append(paragraph)
            continue
        line, used = "", 0
        for word in _WORDS.findall(paragraph):
            size = cell_len(word)
            if used + size <= width:
                line, used = line + word, used + size
                continue
            if line:
                lines.append(line)
                word = word.lstrip()
            if cell_len(word) > width:
                *full, word = chop_cells(word, width)
                lines += full
            line, used = word, cell_len(word)
        lines.append(line)
    return lines


def clusters(text: str) -> list[int]:
    """Where each sign of a text ends that a person sees as one: joined emoji, flags, marks."""
    ends: list[int] = []
    begun = False  # the first half of a flag
    for start, end, _cells in split_graphemes(text)[0]:
        half = _FLAG_FIRST <= text[start] <= _FLAG_LAST
        if half and begun:
            ends[-1] = end
        else:
            ends.append(end)
        begun = half and not begun
    return ends


def fit(text: str, cells: int, more: str = "…") -> str:
    """``text`` in exactly ``cells`` cells, cut with a sign if it has to be."""
    if cell_len(text) > cells:
        text = chop_cells(text, cells - 1)[0] + more if cells > 2 else more
    return text + " " * (cells - cell_len(text))


def day_of(at: float) -> date:
    """The local day of a moment."""
    return datetime.fromtimestamp(at).date()


def day_number(at: float) -> int:
    """The local day, counted since 1970."""
    offset = datetime.fromtimestamp(at).astimezone().utcoffset()
    return int((at + (offset.total_seconds() if offset else 0.0)) // 86_400)
