"""A screen to choose one of our user's files: folders and names, narrowed by typing."""

import asyncio
import os
import stat
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from msgspec import Struct
from rich.cells import cell_len
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from meshchat.i18n import _
from meshchat.text import Clean
from meshchat.ui import fuzzy
from meshchat.ui.dialogs import Closing
from meshchat.ui.lines import fit
from meshchat.ui.parts import Field, Line, glyphs_of, plain
from meshchat.ui.reports import size_words

ENTRIES_MAX = 5_000  # of one folder; nobody looks through more, and a stick may hold anything
SHOWN_MAX = 1_000  # rows of the list; typing narrows it
SIZE_CELLS, DAY_CELLS = 9, 10


class Entry(Struct, frozen=True):
    """A file or a folder."""

    name: str
    """As the disk has it; only ever shown as ``Clean``."""
    is_folder: bool
    size: int
    changed_at: float


def start_folder() -> Path:
    """Where looking begins: where meshchat was started, or at home."""
    try:
        here = Path.cwd()
    except OSError:  # it was removed meanwhile
        return Path.home()
    return here if here != Path(here.anchor) else Path.home()


def entries(folder: Path) -> list[Entry]:
    """What is in a folder, folders first, by name; without what begins with a dot.

    Raises:
        OSError: It cannot be read.
    """
    found: list[Entry] = []
    with os.scandir(folder) as items:
        for item in items:
            if item.name.startswith("."):
                continue
            try:
                info = item.stat()
            except OSError:  # a link to nowhere, or gone already
                continue
            if stat.S_ISDIR(info.st_mode) or stat.S_ISREG(info.st_mode):  # never a pipe or device
                is_folder = stat.S_ISDIR(info.st_mode)
                found.append(Entry(item.name, is_folder, info.st_size, info.st_mtime))
            if len(found) >= ENTRIES_MAX:
                break
    return sorted(found, key=lambda entry: (not entry.is_folder, entry.name.casefold()))


class FileScreen(ModalScreen[Path | None], Closing[Path | None]):
    """Enter opens a folder or takes a file; Left, with nothing typed, goes up."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Back", show=False),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("pageup", "page(-1)", show=False, priority=True),
        Binding("pagedown", "page(1)", show=False, priority=True),
    ]

    def __init__(self, title: str, folder: Path) -> None:
        super().__init__()
        self._title = Clean.line(title, 200)
        self._folder = folder
        self._all: list[Entry] = []
        self._shown: list[Entry] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="box tall"):
            yield Line((self._title, "bold"), classes="title")
            yield Line(id="folder")
            yield Field(placeholder=_("type to narrow"), compact=True)
            yield OptionList(markup=False, compact=True)
            yield Line(classes="answer")
            yield Line(Clean(_("Enter open or take   Left up a folder   Esc back")), classes="hint")

    def ready(self) -> None:
        self.query_one(Field).focus()
        self._go(self._folder)

    def on_resize(self) -> None:
        self.call_after_refresh(self._narrow)

    def _go(self, folder: Path) -> None:
        self.run_worker(self._read(folder), exclusive=True)

    async def _read(self, folder: Path) -> None:
        """Show another folder. Reading may take long, as on a disk over a network."""
        try:
            found = await asyncio.to_thread(entries, folder)
        except OSError as error:
            text = _("Cannot read {name}: {why}.")
            name = Clean.line(folder.name or str(folder), 60)
            self.query_one(".answer", Line).show(Clean(text.format(name=name, why=error.strerror)))
            if not self._all and folder != folder.parent:  # not even where we began
                self._go(folder.parent)
            return
        came_from = self._folder.name if self._folder.parent == folder else ""
        self._folder, self._all = folder, found
        field = self.query_one(Field)
        with field.prevent(Input.Changed):
            field.value = ""
        self.query_one(".answer", Line).show(
            Clean(_("Nothing is in this folder.")) if not found else Clean()
        )
        self._narrow(came_from)

    def _narrow(self, highlight: str = "") -> None:
        """Show what fits what was typed."""
        width = max(20, self.query_one(OptionList).size.width - 2)
        where = Clean.line(str(self._folder), 1_000)
        cut = glyphs_of(self).more
        if cell_len(where) > width:
            where = Clean(f"{cut}{where[-(width - 2) :]}")
        self.query_one("#folder", Line).show(where)
        typed = self.query_one(Field).value
        ranked = fuzzy.rank(typed, [entry.name for entry in self._all])
        self._shown = [self._all[at] for at in ranked][:SHOWN_MAX]
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([Option(row) for row in self._rows(width)])
        if more := len(ranked) - len(self._shown):
            options.add_option(
                Option(
                    plain(Clean(_("  and {count} more: type on").format(count=more))), disabled=True
                )
            )
        names = [entry.name for entry in self._shown]
        at = names.index(highlight) if highlight in names else 0
        options.highlighted = at if names else None

    def _rows(self, width: int) -> Iterable[Content]:
        room = width - SIZE_CELLS - (DAY_CELLS + 2 if width >= 50 else 0)
        for entry in self._shown:
            name = Clean.line(entry.name, 255) or Clean("?")
            if entry.is_folder:
                yield plain((Clean(f"{fit(name, min(cell_len(name), width - 1))}/"), "bold"))
                continue
            row = f"{fit(name, room, glyphs_of(self).more)}{size_words(entry.size):>{SIZE_CELLS}}"
            if width >= 50:
                row += f"  {datetime.fromtimestamp(entry.changed_at):%Y-%m-%d}"
            yield plain(Clean(row))

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        self._narrow()

    def on_key(self, event: events.Key) -> None:
        if event.key in ("left", "backspace") and not self.query_one(Field).value:
            event.stop()
            event.prevent_default()
            self._go(self._folder.parent)

    def action_move(self, step: int) -> None:
        options = self.query_one(OptionList)
        if step < 0:
            options.action_cursor_up()
        else:
            options.action_cursor_down()

    def action_page(self, step: int) -> None:
        options = self.query_one(OptionList)
        if self._shown:
            at = (options.highlighted or 0) + step * max(1, options.size.height - 1)
            options.highlighted = max(0, min(at, len(self._shown) - 1))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        typed = event.value.strip()
        if typed.startswith(("/", "~")):  # a whole path, typed or pasted
            self._typed(typed)
            return
        at = self.query_one(OptionList).highlighted
        if at is not None and at < len(self._shown):
            self._take(self._shown[at])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._take(self._shown[event.option_index])

    def _take(self, entry: Entry) -> None:
        path = self._folder / entry.name
        if entry.is_folder:
            self._go(path)
        else:
            self.dismiss(path)

    def _typed(self, typed: str) -> None:
        try:
            path = Path(typed).expanduser()
            is_folder = path.is_dir()
        except (OSError, ValueError, RuntimeError):
            return
        if is_folder:
            self._go(path)
        else:
            self.dismiss(path)
