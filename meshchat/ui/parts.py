"""Parts of every screen: a line of text, a field to fill in, cleaned text as content."""

from textual import events
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.geometry import Region
from textual.reactive import Reactive
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input, Static

from meshchat.text import Clean
from meshchat.ui.glyphs import UNICODE, Glyphs

Part = Clean | tuple[Clean, str]
"""Something to show: cleaned text, alone or with a style of ours."""

FIELD_MAX_CHARS = 2_000  # a card with its line breaks has some 500


def plain(*parts: Part) -> Content:
    """Cleaned text as content that no markup parser ever sees."""
    return Content.assemble(*parts)


def be_compact(widget: Widget, compact: Reactive[bool]) -> None:
    """The same as ``compact=True`` for its constructor, which would style it once more."""
    widget.set_reactive(compact, True)
    widget.add_class("-textual-compact", update=False)


def covered(widget: Widget, crop: Region) -> list[Strip]:
    """Lines of a widget whose children lie on all of it: not drawn to be painted over at once."""
    return [Strip.blank(crop.width, widget.rich_style)] * crop.height


class Panes(Horizontal):
    """Side by side, over all of it."""

    render_lines = covered


class Main(Vertical):
    """One below the other, over all of it."""

    render_lines = covered


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
