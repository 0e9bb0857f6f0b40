"""The history of one chat: a list of any length that lays out only what is looked at.

What is loaded is in ``Scrollback``; guessed heights are corrected when a row is
near the view. The reading place is a message and a line of it, never a number
of lines from the top, so it survives resizing, paging and arrivals.

A line that starts in column 0 with anything but a blank or the cursor mark is ours:
peers' text is always indented, so it cannot pass for a day line or a notice.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding
from textual.geometry import Size
from textual.message import Message as UiMessage
from textual.scroll_view import ScrollView
from textual.selection import Selection
from textual.strip import Strip

from meshchat.core.content import quoted
from meshchat.core.model import ChatId, Message
from meshchat.core.ports import Store
from meshchat.i18n import _
from meshchat.ui.bindings import pick_bindings
from meshchat.ui.glyphs import Glyphs
from meshchat.ui.lines import day_of
from meshchat.ui.names import Names
from meshchat.ui.rows import NICK_STYLES, WIDE_CELLS, Rows, day_name
from meshchat.ui.scrollback import Scrollback

LINES_MAX_ROWS = 2_000  # wrapped rows kept, as in terminal-ui.md 4.5
EDGE_ROWS = 48  # this close to the edge of what was read first, all the rest is laid out
OWN_AMONG = 50  # newest messages among which the last of our own is looked for
GROUP_S = 300  # a pause this long starts a new group with its name and time
COPY_MAX_LINES = 2_000  # mouse selection over more is surely a slip


class History(ScrollView, can_focus=True):
    """The messages of one chat."""

    COMPONENT_CLASSES: ClassVar[set[str]] = (
        {"history--time", "history--own", "history--day", "history--new", "history--failed"}
        | {"history--mark", "history--cursor", "history--mention", "history--found"}
        | {"history--quote"}
        | {f"history--nick{n}" for n in range(NICK_STYLES)}
    )
    BINDINGS = [  # noqa: RUF012  # Textual's own spelling
        Binding("up", "move(-1)", "Earlier message", show=False),
        Binding("down", "move(1)", "Later message", show=False),
        Binding("pageup", "page(-1)", "Page up", show=False),
        Binding("pagedown", "page(1)", "Page down", show=False),
        Binding("home", "first", "First message", show=False),
        Binding("end", "last", "Last message", show=False),
        Binding("g,п", "origin", "To the answered message", show=False),
        Binding("escape", "leave", "Back to writing", show=False),
        Binding("question_mark", "screen.command('help')", "Help", show=False),
        *pick_bindings(),
    ]

    class Picked(UiMessage):
        """Our user wants this done with the chosen message."""

        def __init__(self, command: str) -> None:
            super().__init__()
            self.command = command

    class Left(UiMessage):
        """Our user is done with choosing messages."""

    class Chosen(UiMessage):
        """Another message is chosen now."""

    class Seen(UiMessage):
        """The newest message is on the screen."""

    class Below(UiMessage):
        """So many messages have arrived below what is seen."""

        def __init__(self, count: int) -> None:
            super().__init__()
            self.count = count

    def __init__(
        self,
        store: Store,
        names: Names,
        glyphs: Glyphs,
        hidden: Callable[[Message], bool],
        id: str,
    ) -> None:
        """``hidden`` says of which messages only a line is shown."""
        super().__init__(id=id)
        self._store = store
        self._loaded = Scrollback(store)
        self._rows = Rows(store, names, glyphs, hidden, self._style)
        self._glyphs = glyphs
        self._wrapped: OrderedDict[int, list[Strip]] = OrderedDict()
        self._styles: dict[str, Style] = {}
        self._new_seq = 0
        self._width = 0
        self._place = (0, 0)  # seq of the top message, line of it
        self._following = True
        self._below = 0
        self._cursor = -1  # seq of the chosen message
        self._settling = False
        self._pending = False

    # --- what is in it -----------------------------------------------------------------------

    def open(self, chat: ChatId, read_seq: int) -> None:
        """Show a chat: at its first new message, or at its end if there is none."""
        self._clear(chat)
        self._new_seq = self._loaded.open(chat, read_seq)
        self._following = self._loaded.tail
        self._place = (self._new_seq, 0)
        self._estimate()
        self._settle()
        row = self._loaded.row(self._new_seq)
        if row is not None and self._loaded.lines - self._top(row) > self._view_height():
            self._following = False
            self._settle()

    def close(self) -> None:
        """Show nothing."""
        self._clear(b"")
        self._settle()

    def _load_whole(self) -> None:
        """Bring in the layout of all the rest, once somebody comes near it; the place stays."""
        if self._loaded.whole or not self.is_attached:
            return
        if not self._following:
            self._remember()
        self._loaded.load_whole()
        self._estimate()
        self._settle()

    def _estimate(self) -> None:
        self._wrapped.clear()
        self._loaded.estimate(self._room(), 0 if self._is_wide() else 1)

    def _room(self) -> int:
        """Cells of a line of text, at least."""
        return max(8, self._text_width())

    def _clear(self, chat: ChatId) -> None:
        self._loaded.clear(chat)
        self._wrapped.clear()
        self._cursor, self._new_seq, self._rows.name_cells = -1, 0, 3
        self._place, self._following = (0, 0), True
        self._set_below(0)

    def add(self, message: Message) -> None:
        """Append a message of this chat that was just stored. Many in a row repaint once."""
        loaded = self._loaded
        if message.chat != loaded.chat or (loaded and message.seq <= loaded.seqs[-1]):
            return
        if not loaded.tail:
            self._load_whole()
            self._set_below(self._below + 1)
            return  # it was part of what has just been loaded
        loaded.append(message, self._room())
        if not self._following:
            if message.outgoing:
                self._following = True
            else:
                self._set_below(self._below + 1)
        self._later()

    def change(self, message: Message) -> None:
        """Show the new state of a message."""
        if self._loaded.replace(message):
            self._wrapped.pop(message.seq, None)
            self._later()

    def gone(self, chat: ChatId) -> None:
        """Messages of a chat were destroyed: lay out what is left; the place stays."""
        if chat != self._loaded.chat or not self._loaded:
            return
        if not self._following:
            self._remember()
        self._loaded.load_again()
        self._estimate()
        if self._loaded.row(self._cursor) is None:
            self._cursor = -1
        self._later()

    def renamed(self) -> None:
        """Names have changed."""
        self._wrapped.clear()
        self._later()

    def _later(self) -> None:
        if not self._pending:
            self._pending = True
            self.call_later(self._settle)

    # --- the place ---------------------------------------------------------------------------

    def _top(self, row: int) -> int:
        """Where a row begins, in lines from the first."""
        return self._loaded.heights.top(row)

    def _view_height(self) -> int:
        return max(1, self.scrollable_content_region.height)

    def _remember(self) -> None:
        """Note which line of which message is at the top."""
        if self._loaded:
            row, line = self._loaded.heights.find(round(self.scroll_y))
            self._place = (self._loaded.seqs[row], line)

    def _settle(self) -> None:
        """Make the heights around the place exact, and the scroll position fit it."""
        self._pending = False
        if not self.is_attached or not self.size:
            return
        self._settling = True
        height = self._view_height()
        target = 0
        if self._loaded:
            if self._following:
                row, line, reach = len(self._loaded) - 1, 0, 0
            else:
                row = self._loaded.row_near(self._place[0])
                line, reach = self._place[1], 2 * height
            self._measure(row, reach, 1)
            self._measure(row - 1, 2 * height, -1)
            end = max(0, self._loaded.lines - height)
            at = self._top(row) + min(line, self._loaded.heights[row] - 1)
            target = end if self._following or at >= end else at
            self._following = target == end and self._loaded.tail
        self.virtual_size = Size(self.scrollable_content_region.width, self._loaded.lines)
        self.set_reactive(History.scroll_y, float(target))
        self.scroll_target_y = float(target)
        if self.show_vertical_scrollbar:
            self.vertical_scrollbar.position = target
        self._settling = False
        if self._following:
            self._set_below(0)
            if self._loaded:
                self.post_message(self.Seen())
        if not self._loaded.whole:
            top = self._loaded.heights.find(target)[0]
            if top < EDGE_ROWS or (not self._loaded.tail and top > len(self._loaded) - EDGE_ROWS):
                self.call_after_refresh(self._load_whole)
        self.refresh()

    def _set_below(self, count: int) -> None:
        if count != self._below:
            self._below = count
            self.post_message(self.Below(count))

    def seen_seq(self) -> int:
        """Everything up to this has been on the screen; 0: nothing, or not the end yet."""
        return self._loaded.seqs[-1] if self._loaded and self._following else 0

    def _measure(self, row: int, lines: int, step: int) -> None:
        """Lay out rows from ``row`` on, in one direction, until they fill ``lines``."""
        while 0 <= row < len(self._loaded):
            height = len(self._strips(row))
            if height != self._loaded.heights[row]:
                self._loaded.heights.set(row, height)
            lines -= height
            if lines <= 0:
                return
            row += step

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        if not self._settling and self._loaded and round(old_value) != round(new_value):
            self._following = self._loaded.tail and round(new_value) >= self.max_scroll_y
            self._remember()
            self._settle()

    def on_resize(self, _event: events.Resize) -> None:
        """Wrap again for the new width; the top line stays."""
        width = self.scrollable_content_region.width
        if width != self._width:
            self._width = width
            self._estimate()
        self._settle()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()
        self._wrapped.clear()

    # --- drawing -----------------------------------------------------------------------------

    def _is_wide(self) -> bool:
        return self._width >= WIDE_CELLS

    def _text_width(self) -> int:
        return self._width - (9 + self._rows.name_cells if self._is_wide() else 4)

    def _style(self, name: str) -> Style:
        style = self._styles.get(name)
        if style is None:
            style = self.get_component_rich_style(f"history--{name}", partial=True)
            self._styles[name] = style
        return style

    @property
    def _base(self) -> Style:
        """Of everything here; Textual makes it anew for each line."""
        if (style := self._styles.get("")) is None:
            style = self._styles[""] = self.rich_style
        return style

    def render_line(self, y: int) -> Strip:
        """One line of the view."""
        width = self.scrollable_content_region.width
        line = self.scroll_offset.y + y
        if not self._loaded or line >= self._loaded.lines:
            return Strip.blank(width, self._base)
        row, within = self._loaded.heights.find(line)
        strips = self._strips(row)
        strip = strips[within] if within < len(strips) else Strip.blank(width)
        if self._loaded.seqs[row] == self._cursor and strip.text.startswith(" "):  # not a day line
            here = Segment(self._glyphs.here, self._style("cursor"))
            marked = Strip([here, *strip.crop(1)])
            strip = marked.apply_style(self._style("cursor"))
        selection = self.text_selection
        if selection is not None and (span := selection.get_span(line)) is not None:
            strip = self._highlight(strip, span)
        strip = strip.apply_style(self._base).adjust_cell_length(width, self._base)
        return strip.apply_offsets(0, line)

    def _highlight(self, strip: Strip, span: tuple[int, int]) -> Strip:
        text = strip.text
        start, end = cell_len(text[: span[0]]), cell_len(text[: span[1]] if span[1] >= 0 else text)
        style = self.screen.get_component_rich_style("screen--selection")
        chosen = strip.crop(start, end).apply_style(style)
        return Strip.join([strip.crop(0, start), chosen, strip.crop(end)])

    def _strips(self, row: int) -> list[Strip]:
        """The wrapped lines of a row, from the cache or made now."""
        seq = self._loaded.seqs[row]
        strips = self._wrapped.get(seq)
        if strips is None:
            strips = self._wrapped[seq] = self._make(row)
            if len(self._wrapped) > LINES_MAX_ROWS:
                self._wrapped.popitem(last=False)
        else:
            self._wrapped.move_to_end(seq)
        return strips

    def _make(self, row: int) -> list[Strip]:
        message = self._loaded.message(row)
        if message is None:
            return [Strip([Segment(f" {_('(deleted)')}", self._style("time"))])]
        strips: list[Strip] = []
        before = self._loaded.message(row - 1) if row else None
        day = day_of(message.received_at)
        if before is None or day_of(before.received_at) != day:
            strips.append(self._rule(day_name(day), "day"))
        if message.seq == self._new_seq:
            strips.append(self._rule(_("new"), "new"))
        grouped = (
            before is not None
            and not strips
            and (before.author, before.outgoing) == (message.author, message.outgoing)
            and message.received_at - before.received_at < GROUP_S
        )
        wide = self._is_wide()
        if wide and self._rows.widen(message):
            self._later()
            self._wrapped.clear()
        return strips + self._rows.body(message, grouped, self._width, wide)

    def _rule(self, label: str, style: str) -> Strip:
        left = max(2, (self._width - cell_len(label) - 2) // 2)
        right = max(2, self._width - cell_len(label) - 2 - left)
        rule = self._glyphs.rule
        return Strip([Segment(f"{rule * left} {label} {rule * right}", self._style(style))])

    # --- choosing and moving -----------------------------------------------------------------

    def choose_last(self) -> None:
        """Enter message mode at the newest message."""
        if self._loaded:
            self.focus()
            self._choose(len(self._loaded) - 1)

    @property
    def is_choosing(self) -> bool:
        """Whether a message is chosen."""
        return self._loaded.row(self._cursor) is not None

    def chosen(self, number: int = 0) -> Message | None:
        """The message under the cursor, else the last of our own, else the last.

        Args:
            number: Not 0: the one so many from the end.
        """
        last = len(self._loaded) - 1
        if number:
            return self._loaded.message(last + 1 - number) if 0 < number <= last + 1 else None
        row = self._loaded.row(self._cursor)
        if row is not None:
            return self._loaded.message(row)
        return self._loaded.newest_own(OWN_AMONG)

    def go_to(self, seq: int) -> None:
        """Choose a message of this chat, wherever it is."""
        if self._loaded.row(seq) is None:
            self._load_whole()
        row = self._loaded.row(seq)
        if row is not None:
            height = self._view_height()
            self._following = False
            self._place = (self._loaded.seqs[max(0, row - 2)], 0)
            self._settle()
            self._choose(row)
            if self._top(row) < self.scroll_y + height // 8:
                self.scroll_to(y=max(0, self._top(row) - height // 3), animate=False)

    def mark_words(self, words: str) -> None:
        """Mark these words wherever they stand; empty: none."""
        if words != self._rows.words:
            self._rows.words = words
            self._wrapped.clear()
            self.refresh()

    def _choose(self, row: int) -> None:
        row = max(0, min(row, len(self._loaded) - 1))
        self._cursor = self._loaded.seqs[row]
        self._measure(row, 1, 1)
        top, height = self._top(row), self._view_height()
        if top < self.scroll_y:
            self.scroll_to(y=top, animate=False)
        elif top + self._loaded.heights[row] > self.scroll_y + height:
            self.scroll_to(y=min(top, top + self._loaded.heights[row] - height), animate=False)
        self.post_message(self.Chosen())
        self.refresh()

    def action_move(self, step: int) -> None:
        """Choose the message before or after; past the last one, go back to writing."""
        row = self._loaded.row(self._cursor)
        if row is None:
            self.choose_last()
        elif row + step >= len(self._loaded):
            self.action_leave()
        else:
            self._choose(row + step)

    def action_page(self, step: int) -> None:
        self.scroll_to(y=self.scroll_y + step * max(1, self._view_height() - 2), animate=False)

    def action_first(self) -> None:
        self._load_whole()
        self.scroll_to(y=0, animate=False)

    def action_last(self) -> None:
        if not self._loaded.tail:
            self._load_whole()
        self._following = True
        self._settle()

    def action_origin(self) -> None:
        """Choose the message that the chosen one answers, if it is here."""
        message = self.chosen()
        found = quoted(self._store, message) if message is not None else None
        if found is not None:
            self.go_to(found.seq)

    def action_pick(self, command: str) -> None:
        if self.chosen() is not None:
            self.post_message(self.Picked(command))

    def action_leave(self) -> None:
        self._cursor = -1
        self.refresh()
        self.post_message(self.Left())

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The text under the mouse selection."""
        if not self._loaded:
            return None
        start = selection.start.y if selection.start else 0
        end = min(selection.end.y if selection.end else self._loaded.lines, start + COPY_MAX_LINES)
        lines: list[str] = []
        for line in range(start, min(end + 1, self._loaded.lines)):
            row, within = self._loaded.heights.find(line)
            strips = self._strips(row)
            span = selection.get_span(line)
            if span is not None and within < len(strips):
                text = strips[within].text
                lines.append((text[span[0] :] if span[1] < 0 else text[span[0] : span[1]]).rstrip())
        return "\n".join(lines), "\n"

    def selection_updated(self, selection: Selection | None) -> None:  # noqa: ARG002
        self.refresh()
