"""The list of chats and, apart from it, the box of requests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message as UiMessage
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from meshchat.core.model import ChatId, ChatSummary
from meshchat.i18n import _
from meshchat.text import Clean
from meshchat.ui.glyphs import Glyphs, trust_sign
from meshchat.ui.lines import fit
from meshchat.ui.names import Names
from meshchat.ui.parts import Line, be_compact, plain

SIDE_CELLS = 20
UNREAD_SHOWN_MAX = 999


class Face(NamedTuple):
    """All that a row of the list shows."""

    name: Clean
    sign: str
    news: str
    here: bool
    unread: bool
    quiet: bool
    cells: int


class Rows(OptionList):
    """Chats, one a line."""

    BINDINGS = [Binding("question_mark", "screen.command('help')", "Help", show=False)]  # noqa: RUF012

    class Past(UiMessage):
        """Our user moves on beyond the first (-1) or the last (1) row."""

        def __init__(self, rows: Rows, step: int) -> None:
            super().__init__()
            self.rows = rows
            self.step = step

    def __init__(self, id: str) -> None:
        super().__init__(id=id, markup=False)
        be_compact(self, OptionList.compact)
        self.ids: list[ChatId] = []

    def on_focus(self) -> None:
        if self.highlighted is None and self.ids:  # else Enter would open nothing
            self.highlighted = 0

    def action_cursor_up(self) -> None:
        if self.highlighted:
            super().action_cursor_up()
        else:
            self.post_message(self.Past(self, -1))

    def action_cursor_down(self) -> None:
        if self.highlighted is not None and self.highlighted < len(self.ids) - 1:
            super().action_cursor_down()
        else:
            self.post_message(self.Past(self, 1))

    def fill(self, rows: Sequence[tuple[ChatId, Content]]) -> None:
        """Bring the list up to date, touching only the rows that differ."""
        self.ids = [chat for chat, _row in rows]
        after = [row for _chat, row in rows]
        before = [option.prompt for option in self.options]
        if len(before) == len(after):
            for at, (old, new) in enumerate(zip(before, after, strict=True)):
                if old != new:
                    self.replace_option_prompt_at_index(at, new)
        else:
            self.clear_options()
            self.add_options([Option(row) for row in after])


class Side(Vertical):
    """The left pane."""

    class Chosen(UiMessage):
        """Our user wants this chat."""

        def __init__(self, chat: ChatId) -> None:
            super().__init__()
            self.chat = chat

    def __init__(self, names: Names, glyphs: Glyphs, id: str) -> None:
        super().__init__(id=id)
        self._names = names
        self._glyphs = glyphs
        self._marked: ChatId = b""  # the chat that was last highlighted
        self._drawn: dict[Face, Content] = {}  # as shown last: a thousand chats are stepped through

    def compose(self) -> ComposeResult:
        yield Rows("chats")

    @property
    def chats(self) -> list[ChatId]:
        """As shown."""
        return self.query_one("#chats", Rows).ids

    def show(self, open_chat: ChatId, cells: int) -> None:
        """Show the names as they are now, in rows of so many cells."""
        requests = self._names.requests
        if requests and len(self._views()) == 1:
            self.mount(Line(Clean(_("requests")), id="requests-title"), Rows("requests"))
        drawn: dict[Face, Content] = {}
        for view, rows in zip(self._views(), (self._names.chats, requests), strict=False):
            faces = [self._face(row, open_chat, cells) for row in rows]
            for face in faces:
                drawn[face] = self._drawn.get(face) or self._draw(face)
            chat_ids = (row.chat for row in rows)
            view.fill([(chat, drawn[face]) for chat, face in zip(chat_ids, faces, strict=True)])
            if open_chat in view.ids and open_chat != self._marked:
                view.highlighted = view.ids.index(open_chat)
        self._drawn = drawn
        self._marked = open_chat
        for part in self.query("#requests, #requests-title"):
            part.display = bool(requests)

    def _face(self, row: ChatSummary, open_chat: ChatId, cells: int) -> Face:
        names, contact = self._names, self._names.contact(row.chat)
        sign = trust_sign(self._glyphs, contact) if contact is not None else " "
        count = str(min(row.unread, UNREAD_SHOWN_MAX)) if row.unread else ""
        if row.mentions:
            count = f"@{count}"
        if contact is not None and contact.fp in names.silent:
            sign = f"{self._glyphs.silent}{sign}"
        return Face(
            names.of_chat(row.chat),
            sign,
            count,
            row.chat == open_chat,
            bool(row.unread),
            names.is_quiet(row) or row.options.archived,
            cells,
        )

    def _draw(self, face: Face) -> Content:
        glyphs, sign, count, here = self._glyphs, face.sign, face.news, face.here
        width = face.cells - 5 - len(sign) - len(count) if count else face.cells - 4 - len(sign)
        style = "bold" if (face.unread and not face.quiet) or here else "dim" if face.quiet else ""
        return plain(
            Clean(glyphs.here if here else " "),
            (Clean(fit(glyphs.draw(face.name), max(2, width), glyphs.more)), style),
            Clean(f" {sign} " if count else f" {sign}"),
            (Clean(count), "dim" if face.quiet else "bold"),
        )

    def take_focus(self) -> None:
        """To the list of chats; to that of strangers if there is nobody else."""
        self._lists()[0].focus()

    def _views(self) -> list[Rows]:
        """The list of chats, and that of requests once there was one."""
        return [part for part in self.children if isinstance(part, Rows)]

    def _lists(self) -> list[Rows]:
        """Those with something in them, from top to bottom; never none."""
        every = self._views()
        return [rows for rows in every if rows.ids] or every[:1]

    @on(Rows.Past)
    def _go_on(self, event: Rows.Past) -> None:
        """From the last chat to the first stranger, from there to the first chat, and back."""
        event.stop()
        lists = self._lists()
        if event.rows in lists:
            after = lists[(lists.index(event.rows) + event.step) % len(lists)]
            after.focus()
            after.highlighted = (len(after.ids) - 1 if event.step < 0 else 0) if after.ids else None

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        rows = event.option_list
        if isinstance(rows, Rows) and event.option_index < len(rows.ids):
            self.post_message(self.Chosen(rows.ids[event.option_index]))
