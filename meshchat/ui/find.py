"""The bar that looks for words in the open chat."""

from __future__ import annotations

from textual import events
from textual.containers import Horizontal
from textual.message import Message as UiMessage

from meshchat.core.model import ChatId, Message
from meshchat.i18n import _
from meshchat.text import Clean
from meshchat.ui.backend import Backend
from meshchat.ui.parts import Field, Line

FOUND_MAX = 500  # nobody goes through more; further words narrow it
AFTER_S = 0.15  # of quiet before the store is asked


class FindBar(Horizontal):
    """Up and Enter go to older hits, Down to newer ones, Esc back to writing."""

    class Found(UiMessage):
        """Show this message, and mark these words."""

        def __init__(self, seq: int, words: str) -> None:
            super().__init__()
            self.seq = seq
            self.words = words

    class Left(UiMessage):
        """Our user is done."""

    def __init__(self, backend: Backend, id: str) -> None:
        super().__init__(id=id)
        self._backend = backend
        self._chat: ChatId = b""
        self._hits: list[int] = []
        self._at = 0

    def begin(self, chat: ChatId, words: str) -> None:
        """Ask for words, or look for these at once. Mount it before."""
        self._chat = chat
        if not self.children:  # not ``compose``, which comes later than the next key
            label, count = Line(Clean(f" {_('find')} "), classes="label"), Line(classes="count")
            self.mount(label, Field(compact=True), count)
        self.display = True
        field = self.query_one(Field)
        field.value = words
        field.focus()
        self._look(words)

    def close(self) -> None:
        """Away with it."""
        self.display = False
        self._hits = []

    def on_input_changed(self, event: Field.Changed) -> None:
        event.stop()
        self.set_timer(AFTER_S, lambda: self._look_if(event.value))

    def _look_if(self, words: str) -> None:
        if self.display and self.query_one(Field).value == words:
            self._look(words)

    def _look(self, words: str) -> None:
        found = search(self._backend, words, self._chat, FOUND_MAX)
        self._hits = [message.seq for message in found]
        self._at = 0
        self._show(words)

    def _show(self, words: str) -> None:
        count = ""
        if self._hits:
            count = _("{number} of {count}").format(number=self._at + 1, count=len(self._hits))
        elif words.strip():
            count = _("nothing")
        self.query_one(".count", Line).show(Clean(f" {count} "))
        self.post_message(self.Found(self._hits[self._at] if self._hits else 0, words))

    def on_key(self, event: events.Key) -> None:
        steps = {"up": 1, "enter": 1, "ctrl+f": 1, "down": -1}
        if event.key == "escape":
            event.stop()
            self.post_message(self.Left())
        elif event.key in steps and self._hits:
            event.stop()
            event.prevent_default()
            self._at = (self._at + steps[event.key]) % len(self._hits)
            self._show(self.query_one(Field).value)


def search(backend: Backend, words: str, chat: ChatId | None, limit: int) -> list[Message]:
    """Messages with all of these words, newest first."""
    return backend.store.search(words, chat=chat, limit=limit) if words.strip() else []
