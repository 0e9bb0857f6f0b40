"""Small screens that the larger ones ask with, loaded when one is shown."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen, Screen
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from meshchat.i18n import _
from meshchat.text import Clean
from meshchat.ui import fuzzy
from meshchat.ui.parts import Field, Line, drawn, plain

T = TypeVar("T")

LIST_MAX_ROWS = 200  # a list to choose from; typing narrows it


class Closing(Screen[T]):
    """A screen that closes itself only while it is on top: a late answer closes no other.

    It may be closed by a key before it was mounted, and then has no widgets any more: what fills
    it goes into ``ready``, not ``on_mount``.
    """

    def on_mount(self) -> None:
        if self.is_current:
            self.ready()

    def ready(self) -> None:
        """The widgets are there: fill them, give one the focus."""

    def dismiss(self, result: T | None = None) -> AwaitComplete:
        if self.app.screen_stack[-1:] != [self]:
            return AwaitComplete()
        return super().dismiss(result)


class TextScreen(ModalScreen[None], Closing[None]):
    """Something to read: help, the journey of a message."""

    CELLS_MAX = 100  # longer lines are hard to follow
    BINDINGS = [  # noqa: RUF012  # Textual's own spelling
        Binding("escape,f1,q,й", "dismiss", "Back", show=False),
        Binding("pageup", "scroll(-1)", show=False),
        Binding("pagedown", "scroll(1)", show=False),
    ]

    def __init__(self, title: str, body: str) -> None:
        super().__init__()
        self._title = Clean.line(title, 200)
        self._body = Clean(body)

    def compose(self) -> ComposeResult:
        with Vertical(classes="box tall"):
            yield Line((self._title, "bold"), classes="title")
            with VerticalScroll():
                yield Line(self._body)
            yield Line(Clean(_("PgDn more   Esc back")), classes="hint")

    def ready(self) -> None:
        self.query_one(VerticalScroll).focus()

    def action_scroll(self, step: int) -> None:
        pane = self.query_one(VerticalScroll)
        pane.scroll_relative(y=step * max(1, pane.size.height - 2), animate=False)


class Ask(ModalScreen[bool], Closing[bool]):
    """A question with yes and no."""

    BINDINGS = [  # noqa: RUF012
        Binding("y,enter,н", "answer(True)", "Yes", show=False),
        Binding("n,escape,т", "answer(False)", "No", show=False),
    ]

    def __init__(self, question: Clean) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        with Vertical(classes="box"):
            yield Line(self._question)
            yield Line(Clean(_("y yes   n no")), classes="hint")

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)


class Prompt(ModalScreen[str | None], Closing[str | None]):
    """One line to fill in."""

    BINDINGS = [Binding("escape", "dismiss(None)", "Back", show=False)]  # noqa: RUF012

    def __init__(
        self, title: str, hint: str = "", *, value: str = "", password: bool = False
    ) -> None:
        super().__init__()
        self._title = Clean.line(title, 200)
        self._hint = Clean(hint)
        self._value = value
        self._password = password

    def compose(self) -> ComposeResult:
        with Vertical(classes="box"):
            yield Line((self._title, "bold"), classes="title")
            if self._hint:
                yield Line(self._hint)
            yield Field(self._value, password=self._password, compact=True)
            yield Line(Clean(_("Enter go on   Esc back")), classes="hint")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.dismiss(event.value)


class Choose(ModalScreen[T | None], Closing[T | None], Generic[T]):
    """A list that typing narrows: chats, contacts."""

    BINDINGS = [  # noqa: RUF012
        Binding("escape", "dismiss(None)", "Back", show=False),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("down", "move(1)", show=False, priority=True),
    ]

    def __init__(self, title: str, rows: Sequence[tuple[Clean, T]]) -> None:
        super().__init__()
        self._title = Clean.line(title, 200)
        self._rows = rows
        self._shown: list[T] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="box tall"):
            yield Line((self._title, "bold"), classes="title")
            yield Field(placeholder=_("type to narrow"), compact=True)
            yield OptionList(markup=False, compact=True)
            yield Line(Clean(_("Enter go   Esc back")), classes="hint")

    def ready(self) -> None:
        self.query_one(Input).focus()
        self._narrow("")

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._narrow(event.value)

    def _narrow(self, typed: str) -> None:
        ranked = fuzzy.rank(typed, [str(name) for name, _value in self._rows])
        found = [self._rows[at] for at in ranked][:LIST_MAX_ROWS]
        self._shown = [value for _name, value in found]
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([Option(plain(*drawn(self, name))) for name, _value in found])
        options.highlighted = 0 if found else None

    def action_move(self, step: int) -> None:
        options = self.query_one(OptionList)
        if step < 0:
            options.action_cursor_up()
        else:
            options.action_cursor_down()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        at = self.query_one(OptionList).highlighted
        if at is not None and at < len(self._shown):
            self.dismiss(self._shown[at])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(self._shown[event.option_index])
