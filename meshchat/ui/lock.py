"""The passphrase screen: at the start, and when our user hides everything."""

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message as UiMessage
from textual.screen import Screen
from textual.widget import Widget

from meshchat.i18n import _
from meshchat.text import Clean
from meshchat.ui.parts import Field, Line


class LockScreen(Screen[None]):
    """Asks for the passphrase. Shows nothing of the profile, not even its name."""

    class Entered(UiMessage):
        """Something was typed; the app checks it."""

        def __init__(self, passphrase: str) -> None:
            super().__init__()
            self.passphrase = passphrase

    def __init__(self, busy: str = "") -> None:
        """``busy``: why there is nothing to type yet, until ``refuse``."""
        super().__init__()
        self._busy = Clean(busy)
        self._new = True  # never shown yet

    def compose(self) -> ComposeResult:
        if self._busy:
            yield Line(self._busy, classes="busy")
        else:
            with Vertical(classes="box"):
                yield from self._parts()

    def _parts(self) -> list[Widget]:
        return [
            Line((Clean("meshchat"), "bold"), classes="title"),
            Line(Clean(_("Passphrase"))),
            Field(password=True, compact=True),
            Line(classes="answer"),
            Line(Clean(_("Enter open   Ctrl+Q quit")), classes="hint"),
        ]

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        event.refresh_styles = not self._new  # every widget was styled as it was mounted
        self._new = False

    def on_input_submitted(self, event: Field.Submitted) -> None:
        event.stop()
        event.input.disabled = True
        self.query_one(".answer", Line).show(Clean(_("One moment…")))
        self.post_message(self.Entered(event.value))

    def refuse(self, why: str) -> None:
        """Say why it stays locked, and ask again."""
        if not self.query(Field):  # there was a passphrase in a file, and it was the wrong one
            self.query(".busy").remove()
            box = Vertical(classes="box")
            self.mount(box)
            box.mount(*self._parts())
        self.query_one(".answer", Line).show(Clean(why))
        field = self.query_one(Field)
        field.value = ""
        field.disabled = False
        field.focus()
