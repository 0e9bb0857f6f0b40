"""One message of the history as lines of cells: time, name, text, what became of it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from datetime import date, datetime

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from meshchat.core.content import count_reactions, quoted
from meshchat.core.model import NOTE_REVOCATION, NOTE_TIMER, Message, State
from meshchat.core.ports import Store
from meshchat.core.words import places
from meshchat.i18n import N_, _
from meshchat.text import Clean
from meshchat.ui.glyphs import Glyphs, state_mark
from meshchat.ui.lines import fit, wrap
from meshchat.ui.names import Names
from meshchat.ui.reports import file_progress, revocation_note, span

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
        self,
        store: Store,
        names: Names,
        glyphs: Glyphs,
        hidden: Callable[[Message], bool],
        style: Callable[[str], Style],
    ) -> None:
        self._store = store
        self._names = names
        self._glyphs = glyphs
        self._hidden = hidden
        self._style = style
        self.name_cells = 3
        """Width of the names' column; grows with the names that are seen."""
        self.words = ""
        """Marked wherever they stand."""

    def widen(self, message: Message) -> bool:
        """Make the names' column wide enough for this one; True if it changed."""
        wanted = min(NAME_CELLS_MAX, cell_len(self._glyphs.draw(self._names.of_author(message))))
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
        if mark and cell_len(_plain(lines[-1])) + 1 + cell_len(mark) > room:
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
        name = self._glyphs.draw(self._names.of_author(message))
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
        """What is read, broken into lines: what it answers, the text, what others think of it."""
        lines: list[list[Segment]] = []
        if self._hidden(message):
            return [[Segment(_("(hidden: v shows it)"), self._style("time"))]]
        if message.reply_to:
            lines.append([Segment(self._quote(message, room), self._style("quote"))])
        text, style = self._text(message)
        text = self._glyphs.draw(text)
        aligned = right_to_left(text)
        for line in wrap(text, room):
            gap = room - cell_len(line) if aligned else 0
            start = [Segment(" " * gap)] if gap > 0 else []
            lines.append([*start, *self._marked(line, style)])
        counted = count_reactions(self._store.reactions([message.id]))
        if counted:
            draw = self._glyphs.draw
            shown = [
                f"[{draw(emoji)} {many}]" if ours else f"{draw(emoji)} {many}"
                for emoji, many, ours in counted
            ]
            lines += [[Segment(line, self._style("mark"))] for line in wrap("  ".join(shown), room)]
        return lines

    def _quote(self, message: Message, room: int) -> str:
        """The message that this one answers, in one line."""
        found = quoted(self._store, message)
        if found is None:
            text = _("(answers a message that is not here)")
        elif self._hidden(found):
            text = _("(answers a message that is hidden)")
        else:
            text = f"{self._names.of_author(found)}: {Clean.line(found.text, room * 2)}"
        text = f"{self._glyphs.quote} {self._glyphs.draw(text)}"
        return fit(text, min(room, cell_len(text)), self._glyphs.more)

    def _text(self, message: Message) -> tuple[str, Style | None]:
        if message.retracted:
            own, other = _("(you asked to delete it)"), _("(deleted by its author)")
            return (own if message.outgoing else other), self._style("time")
        if message.note == NOTE_REVOCATION:
            return revocation_note(message), self._style("time")
        if message.note == NOTE_TIMER:
            return timer_note(message.vanish_s), self._style("time")
        style = self._style("mention") if message.mention else None
        return message.text, style

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
        parts = [_("(edited)")] if message.edited and not message.retracted else []
        if message.vanish_s and not message.note:
            parts.append(_("(disappears)"))
        if progress := file_progress(self._store, message):
            parts.append(f"({progress})")
        mark = " ".join([*parts, state_mark(self._glyphs, message)]).rstrip()
        return mark, self._style("failed" if message.state is State.FAILED else "mark")


def _plain(parts: list[Segment]) -> str:
    return "".join(part.text for part in parts)


def timer_note(seconds: int) -> str:
    """What is said when somebody set the timer of a chat."""
    if not seconds:
        return _("New messages do not disappear any more.")
    return _("New messages disappear {span} after being read.").format(span=span(seconds))


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
