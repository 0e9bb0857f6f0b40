"""Where messages are written: several lines, Enter sends, pastes are made harmless."""

from typing import ClassVar

from textual import events
from textual.message import Message as UiMessage
from textual.widgets import TextArea

from meshchat.text import Clean
from meshchat.ui.commands import complete

PASTE_ASK_LINES = 5  # more than this is often a slip of the middle button
PASTE_MAX_CHARS = 20_000  # a message holds 7,000 bytes; the rest of a megabyte helps nobody


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

    class LongPaste(UiMessage):
        """Many lines were pasted; they are inserted once our user agrees."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    HINT: ClassVar[str] = "message…  (/ for commands)"

    def __init__(self, id: str) -> None:
        super().__init__(
            id=id,
            soft_wrap=True,
            tab_behavior="focus",
            show_line_numbers=False,
            highlight_cursor_line=False,
            placeholder=self.HINT,
            compact=True,
        )
        self.cursor_blink = False

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            if text := self.text.strip() and self.text:
                self.put("")  # at once: a second Enter must not send it a second time
                self.post_message(self.Submitted(text))
        elif event.key in ("ctrl+j", "shift+enter", "ctrl+о"):
            event.stop()
            event.prevent_default()
            self.insert("\n")
        elif event.key == "up" and not self.text:
            event.stop()
            event.prevent_default()
            self.post_message(self.Upwards())
        elif event.key in ("pageup", "pagedown"):
            event.stop()
            event.prevent_default()
            self.post_message(self.Paged(-1 if event.key == "pageup" else 1))
        elif event.key == "tab" and self._complete():
            event.stop()
            event.prevent_default()

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        text = clean_paste(event.text)
        if text.count("\n") >= PASTE_ASK_LINES:
            self.post_message(self.LongPaste(text))
        else:
            self.insert(text)

    def _complete(self) -> bool:
        """Finish a slash command that is being typed; True if Tab was used up by that."""
        text = self.text
        if not text.startswith("/") or text.startswith("//") or " " in text or "\n" in text:
            return False
        found = complete(text)
        if len(found) == 1:
            self.put(f"/{found[0].name} " if found[0].takes else f"/{found[0].name}")
        return True

    def put(self, text: str) -> None:
        """Replace everything, cursor at the end."""
        self.load_text(text)
        self.move_cursor(self.document.end)


def clean_paste(text: str) -> str:
    """Pasted text as it may stand in a message: no control characters, CR as line break."""
    text = text[:PASTE_MAX_CHARS].replace("\r\n", "\n")
    parts = [Clean(text[at : at + 4_000]) for at in range(0, len(text), 4_000)]
    return "".join(parts)
