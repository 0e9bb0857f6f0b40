"""Small screens and parts that the larger ones share."""

from collections.abc import Sequence
from typing import Generic, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.await_complete import AwaitComplete
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.reactive import reactive
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from meshchat.i18n import _
from meshchat.text import Clean
from meshchat.ui import fuzzy
from meshchat.ui.glyphs import UNICODE, Glyphs

Part = Clean | tuple[Clean, str]
"""Something to show: cleaned text, alone or with a style of ours."""

T = TypeVar("T")

FIELD_MAX_CHARS = 2_000  # a card with its line breaks has some 500
LIST_MAX_ROWS = 200  # a list to choose from; typing narrows it


def plain(*parts: Part) -> Content:
    """Cleaned text as content that no markup parser ever sees."""
    return Content.assemble(*parts)


def be_compact(widget: Widget, compact: reactive[bool]) -> None:
    """The same as ``compact=True`` for its constructor, which would style it once more."""
    widget.set_reactive(compact, True)
    widget.add_class("-textual-compact", update=False)


def glyphs_of(widget: Widget) -> Glyphs:
    """The signs of a widget's app."""
    found: Glyphs = getattr(widget.app, "glyphs", UNICODE)
    return found


def drawn(widget: Widget, *parts: Part) -> tuple[Part, ...]:
    """The parts as the terminal of this widget's app can draw them (``Glyphs.draw``)."""
    glyphs = glyphs_of(widget)
    if not glyphs.simple_emoji:
        return parts
    return tuple(
        Clean(glyphs.draw(part))
        if isinstance(part, str)
        else (Clean(glyphs.draw(part[0])), part[1])
        for part in parts
    )


class Line(Static):
    """Text on the screen. Takes ``Clean`` only, so a type checker stops raw peer text."""

    def __init__(self, *parts: Part, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(plain(*parts), id=id, classes=classes, markup=False)
        self._parts = parts

    def on_mount(self) -> None:
        if self._parts and drawn(self, *self._parts) != self._parts:
            self.update(plain(*drawn(self, *self._parts)))

    def show(self, *parts: Part) -> None:
        """Show this instead; repaints only if it differs."""
        if parts != self._parts:
            self._parts = parts
            self.update(plain(*drawn(self, *parts)))


class Field(Input):
    """One line to fill in; what is pasted into it is made harmless before it is shown."""

    def on_mount(self) -> None:
        self.cursor_blink = False  # nothing on these screens moves by itself

    def _on_paste(self, event: events.Paste) -> None:
        if self.password:  # never shown, and must not be changed: the base class takes it
            return
        event.stop()
        event.prevent_default()
        self.insert_text_at_cursor(Clean.line(event.text, FIELD_MAX_CHARS))


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
