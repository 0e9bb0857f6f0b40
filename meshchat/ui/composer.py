"""Where messages are written: several lines, Enter sends, pastes are made harmless."""

from collections.abc import Callable

from textual import events
from textual.message import Message as UiMessage
from textual.strip import Strip
from textual.widgets import TextArea

from meshchat.i18n import _
from meshchat.text import Clean
from meshchat.ui.commands import is_command
from meshchat.ui.completion import Found, common
from meshchat.ui.lines import clusters
from meshchat.ui.parts import be_compact

PASTE_ASK_LINES = 5  # more than this is often a slip of the middle button
PASTE_MAX_CHARS = 20_000  # a message holds 7,000 bytes: this much is a file, and is refused
NEWLINE_KEYS = ("ctrl+j", "shift+enter", "ctrl+о")


class Composer(TextArea):
    """The line (or lines) being written."""

    class Submitted(UiMessage):
        """Enter was pressed on something."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Upwards(UiMessage):
        """Up was pressed while nothing is typed: choose a message instead."""

    class Paged(UiMessage):
        """The history should scroll by a page."""

        def __init__(self, step: int) -> None:
            super().__init__()
            self.step = step

    class ToEnd(UiMessage):
        """The history should go to its first (-1) or last (1) message."""

        def __init__(self, end: int) -> None:
            super().__init__()
            self.end = end

    class Pasted(UiMessage):
        """More was pasted than is inserted without a question."""

        def __init__(self, text: str, size: int) -> None:
            super().__init__()
            self.text = text
            """Made harmless; empty if it is too much for a message."""
            self.size = size
            """Characters that were pasted."""

    class Offers(UiMessage):
        """What Tab would insert, and which of it stands there now (-1: none)."""

        def __init__(self, found: list[Found], at: int) -> None:
            super().__init__()
            self.found = found
            self.at = at

    def __init__(
        self, finish: Callable[[str], list[Found]], sent: Callable[[], list[str]], id: str
    ) -> None:
        """Make it.

        Args:
            finish: Ways to finish the text before the cursor.
            sent: What was sent here before, oldest first.
            id: Of the widget.
        """
        super().__init__(
            id=id,
            soft_wrap=True,
            tab_behavior="focus",
            show_line_numbers=False,
            highlight_cursor_line=False,
            placeholder=_("message…  (/ for commands)"),
        )
        be_compact(self, TextArea.compact)
        self.cursor_blink = False
        self._finish, self._sent = finish, sent
        self._offers: list[Found] = []
        self._offer = -1
        self._rest = ""  # what stands behind the cursor while Tab goes through the offers
        self._line = ""  # what was being written before Ctrl+Up
        self._back = 0  # how many sent lines back we are
        self._ours = ""  # the text as we put it: a change to anything else ends going through

    def render_line(self, y: int) -> Strip:
        if self.content_size.width < 2:  # no room at all: Textual would fail to break the hint
            return Strip.blank(self.size.width)
        return super().render_line(y)

    # --- signs of several characters: the cursor never stands within one -----------------------

    def get_cursor_left_location(self) -> tuple[int, int]:
        row, column = self.cursor_location
        ends = [end for end in clusters(self.document.get_line(row)) if end < column]
        return (row, ends[-1] if ends else 0) if column else super().get_cursor_left_location()

    def get_cursor_right_location(self) -> tuple[int, int]:
        row, column = self.cursor_location
        ends = (end for end in clusters(self.document.get_line(row)) if end > column)
        end = next(ends, 0)
        return (row, end) if end else super().get_cursor_right_location()

    # --- keys ----------------------------------------------------------------------------------

    async def _on_key(self, event: events.Key) -> None:
        if self._takes(event.key):
            event.stop()
            event.prevent_default()

    def _takes(self, key: str) -> bool:
        """Do what a key means here; False leaves it to the text area."""
        if key == "enter":
            if text := self.text.strip() and self.text:
                self.put("")  # at once: a second Enter must not send it a second time
                self.post_message(self.Submitted(text))
        elif key in NEWLINE_KEYS:
            self.insert("\n")
        elif key == "up" and not self.text:
            self.post_message(self.Upwards())
        elif key in ("home", "end") and self._is_at_end(key):
            self.post_message(self.ToEnd(-1 if key == "home" else 1))
        elif key in ("pageup", "pagedown"):
            self.post_message(self.Paged(-1 if key == "pageup" else 1))
        elif key in ("ctrl+up", "ctrl+down"):
            self._recall(1 if key == "ctrl+up" else -1)
        elif key in ("tab", "shift+tab"):
            return self._tab(1 if key == "tab" else -1)
        elif key == "escape" and self._offers:
            self._show_offers([])
        else:
            return False
        return True

    def _is_at_end(self, key: str) -> bool:
        """Whether the key has nowhere to go in what is written."""
        return not self.text if key == "home" else self.cursor_location == self.document.end

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        size = len(event.text)
        if size > PASTE_MAX_CHARS:
            self.post_message(self.Pasted("", size))
            return
        text = clean_paste(event.text)
        if text.count("\n") >= PASTE_ASK_LINES:
            self.post_message(self.Pasted(text, size))
        else:
            self.insert(text)

    # --- finishing ---------------------------------------------------------------------------

    def _before(self) -> str:
        return self.get_text_range((0, 0), self.cursor_location)

    def _tab(self, step: int) -> bool:
        """Finish what is being typed, or the next way to do it; False: nothing is being typed."""
        if self._offers and self._offer >= 0 and self.text == self._ours:
            self._offer = (self._offer + step) % len(self._offers)
            self._insert(self._offers[self._offer].text)
            return True
        before = self._before()
        found = self._finish(before)
        if not found:
            return bool(self.text)  # Tab never leaves what is being written
        self._rest = self.text[len(before) :]
        self._stem = before[: found[0].start]
        start = common(found)
        if len(found) == 1:
            self._insert(found[0].text)
            self._show_offers([])
        elif len(start) > len(before) - found[0].start:
            self._insert(start)
            self._show_offers(found)
        else:
            self._offers, self._offer = found, 0 if step > 0 else len(found) - 1
            self._insert(found[self._offer].text)
        return True

    _stem = ""

    def _insert(self, text: str) -> None:
        self._ours = self._stem + text + self._rest
        self.load_text(self._ours)
        lines = (self._stem + text).split("\n")
        self.move_cursor((len(lines) - 1, len(lines[-1])))
        self.post_message(self.Offers(self._offers, self._offer))

    def _show_offers(self, found: list[Found]) -> None:
        self._offers, self._offer = found, -1
        self.post_message(self.Offers(found, -1))

    def typed(self) -> None:
        """The text has changed: what was offered may not fit any more."""
        if self.text and self.text == self._ours:
            return
        self._ours = ""
        text = self.text
        if is_command(text) and " " not in text and "\n" not in text:
            self._show_offers(self._finish(text))
        elif self._offers:
            self._show_offers([])

    # --- what was sent before ----------------------------------------------------------------

    def _recall(self, step: int) -> None:
        if self._back and self.text != self._ours:  # edited since: a line of its own
            self._back = 0
        if not self._back:
            self._line = self.text
        sent = self._sent()
        back = max(0, min(self._back + step, len(sent)))
        if back == self._back:
            return
        text = sent[-back] if back else self._line
        self.put(text)
        self._back, self._ours = back, text

    def put(self, text: str) -> None:
        """Replace everything, cursor at the end."""
        self._back, self._ours = 0, ""
        if self._offers:
            self._show_offers([])
        self.load_text(text)
        self.move_cursor(self.document.end)


def clean_paste(text: str) -> str:
    """Pasted text as it may stand in a message: no control characters, CR as line break."""
    text = text.replace("\r\n", "\n")
    parts = [Clean(text[at : at + 4_000]) for at in range(0, len(text), 4_000)]
    return "".join(parts)
