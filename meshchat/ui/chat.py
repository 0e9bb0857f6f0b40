"""The main screen: chats, one history, the message being written, and what the mesh does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from textual import events, on
from textual.app import ComposeResult
from textual.geometry import Size
from textual.timer import Timer

from meshchat.core import events as core
from meshchat.core.model import ChatId, Message
from meshchat.errors import MeshchatError
from meshchat.i18n import _, ngettext, said
from meshchat.text import Clean
from meshchat.ui import commands
from meshchat.ui.bindings import chat_bindings
from meshchat.ui.chat_front import ChatFront
from meshchat.ui.checks import Checks
from meshchat.ui.commands import Command
from meshchat.ui.composer import Composer
from meshchat.ui.deeds import Deeds, open_warning
from meshchat.ui.find import FindBar
from meshchat.ui.group_deeds import member_names
from meshchat.ui.header import about_text, header_parts, nothing_words
from meshchat.ui.history import History
from meshchat.ui.names import Names
from meshchat.ui.parts import Line, Main, Panes, covered
from meshchat.ui.reports import notice_words
from meshchat.ui.side import SIDE_CELLS, Rows, Side
from meshchat.ui.statusbar import StatusBar
from meshchat.ui.writing import Writing

if TYPE_CHECKING:
    from meshchat.net.runtime import News
    from meshchat.ui.backend import Backend
    from meshchat.ui.base import BaseApp

RENAMING = core.ContactChanged | core.RoomChanged | core.GroupChanged | core.RoomMarksChanged
"""After these names, members or what is hidden may be others."""
STATUS_AFTER_S = 0.5  # changes come in bursts; at most two repaints of the status bar a second


class ChatScreen(ChatFront):
    """What a person looks at all day. Holds view state only; truth is in the store.

    Implements ``front.Front``: what commands do is in ``Deeds``.
    """

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (72, "-wide"), (130, "-broad")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (12, "-tall")]  # noqa: RUF012
    AUTO_FOCUS = "#composer"
    render_lines = covered
    BINDINGS = chat_bindings()

    def __init__(self, runtime: Backend, app: BaseApp) -> None:
        # of this size from the start: nothing has to be styled twice
        super().__init__(runtime, app, " ".join(self._fitting(app.size)))
        self.names = Names()
        self.deeds = Deeds(self)
        self._chat: ChatId = b""
        self._read: tuple[ChatId, int] = (b"", 0)
        self._typing_until = 0.0
        self._checks = Checks(self, app)
        self._status_timer: Timer | None = None
        self._stale = False
        self._news: list[News] = []
        self._end: Callable[[], None] | None = None
        self._new = True  # never shown yet
        self._bar = FindBar(runtime, id="find")  # mounted once somebody looks for something

    # --- layout ------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        with Panes(id="panes"):
            yield Side(self.names, self.glyphs, id="side")
            with Main(id="main"):
                yield Line(id="header")
                yield Line(id="empty")
                yield History(
                    self.runtime.store, self.names, self.glyphs, self._is_hidden, id="history"
                )
                yield Line(id="below")
                yield Writing(self, self._choices, id="writing")
        yield StatusBar(self.glyphs, id="status")

    def _choices(self) -> dict[str, list[str]]:
        return {**self._app.choices(), "member": member_names(self)}

    def _is_hidden(self, message: Message) -> bool:
        return self.runtime.node.is_hidden(message)

    def on_mount(self) -> None:
        self._end = self.runtime.subscribe(self._hear)
        self.reload()
        first = self.names.everything
        if first:
            self.open(first[0].chat)
        else:
            self._show_chat()

    def on_unmount(self) -> None:
        if self._end is not None:
            self._end()

    def use(self, runtime: Backend) -> None:
        """Go on with another runtime over the same store."""
        if self._end is not None:
            self._end()
        self.runtime = runtime
        self._end = runtime.subscribe(self._hear)
        self.reload()

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        if self._new:
            event.refresh_styles = self._new = False  # as in ``LockScreen``
        self._fit()
        self._mark_read()
        self._checks.show_alarm()

    def _fit(self) -> None:
        """Take the classes of the window's size: Textual does not while we are covered."""
        fitting = self._fitting(self.app.size)
        points = (*self.HORIZONTAL_BREAKPOINTS, *self.VERTICAL_BREAKPOINTS)
        self.update_classes({name: name in fitting for _least, name in points})
        self._show_side()
        self._show_around()

    @classmethod
    def _fitting(cls, size: Size) -> list[str]:
        """The classes of a window's size."""
        pairs = ((cls.HORIZONTAL_BREAKPOINTS, size.width), (cls.VERTICAL_BREAKPOINTS, size.height))
        return [[name for least, name in points if cells >= least][-1] for points, cells in pairs]

    def on_resize(self, _event: events.Resize) -> None:
        self.call_later(self._show_side)
        self.call_later(self._show_around)

    def on_descendant_focus(self) -> None:
        self.call_later(self._show_status)

    @property
    def narrow(self) -> bool:
        """One pane at a time."""
        return self.has_class("-narrow")

    @property
    def _listing(self) -> bool:
        return self.has_class("-list")

    # --- what the node tells -----------------------------------------------------------------

    def _hear(self, news: News) -> None:
        """Called between two steps of the node: only note it, and look once when there is time."""
        if not self._news:
            self.call_later(self._take_in)
        self._news.append(news)

    def _take_in(self) -> None:
        told, self._news = self._news, []
        history = self.query_one(History)
        fresh: list[Message] = []
        for news in told:
            if isinstance(news, core.MessageAdded):
                history.add(news.message)
                if news.message.chat == self._chat:
                    self._show_empty(False)
                if not news.message.outgoing:
                    fresh.append(news.message)
                self._later()
            elif isinstance(news, core.MessageChanged):
                history.change(news.message)
            elif isinstance(news, RENAMING):
                self._later()
                history.renamed()
            elif isinstance(news, core.CheckShown | core.CheckEnded):
                self._checks.hear(news)
                self._show_around()
            elif isinstance(news, core.MessagesGone):
                history.gone(news.chat)
                self._later()
            elif isinstance(news, core.ChatChanged):
                self._later()
            elif isinstance(news, core.ContactTyping):
                self._show_typing(news)
            elif isinstance(news, core.Notice):
                self.say(notice_words(news.code, news.detail))
        self._announce(fresh)
        if self._status_timer is None:
            self._status_timer = self.set_timer(STATUS_AFTER_S, self._show_status)

    def _announce(self, fresh: list[Message]) -> None:
        """Ring for what came, if our user wants to hear of it: never for strangers."""
        hidden = self.runtime.node.is_hidden
        wanted = [m for m in fresh if self.names.is_wanted(m) and not hidden(m)]
        if wanted:
            self._app.announce(loud=any(message.mention for message in wanted))

    def _show_typing(self, news: core.ContactTyping) -> None:
        if news.fp == self._chat[1:]:
            self._typing_until = news.until
            self._show_around()
            left = news.until - self.runtime.now().wall
            if left > 0:
                self.set_timer(left, self._show_around)

    def _later(self) -> None:
        if not self._stale:
            self._stale = True
            self.call_later(self.reload)

    def reload(self) -> None:
        """Read the lists of people, rooms and chats again."""
        self._stale = False
        own = self.runtime.node.status(self.runtime.now()).name
        self.names.load(self.runtime.store, own, self.runtime.now().wall)
        self._show_side()
        self._show_around()
        if not self._chat:
            self.query_one("#empty", Line).show(nothing_words(self))
        self._app.show_unread(sum(s.unread for s in self.names.chats))

    # --- showing -----------------------------------------------------------------------------

    def _show_side(self) -> None:
        cells = self.size.width if self.narrow and self.size.width else SIDE_CELLS
        self.query_one(Side).show(self._chat, cells)

    def _show_around(self) -> None:
        """Header, info pane and status, for the width there is."""
        back = Clean(f"{self.glyphs.back} " if self.narrow else " ")
        writes = self._typing_until > self.runtime.now().wall
        self.query_one("#header", Line).show(back, *header_parts(self, self.narrow, writes))
        if self.has_class("-broad"):
            if not self.query("#about"):
                self.query_one(Panes).mount(Line(id="about"))
            self.query_one("#about", Line).show(about_text(self))
        self._show_status()

    def _show_empty(self, empty: bool) -> None:
        self.query_one("#empty").display = empty
        self.query_one("#history").display = not empty

    def _show_status(self) -> None:
        if self._status_timer is not None:
            self._status_timer.stop()
            self._status_timer = None
        if not self.is_mounted:
            return
        bar, place = self.query_one(StatusBar), self.place
        chosen = self.chosen() if place == "message" else None
        if chosen is not None:
            bar.show_moment(chosen.received_at, place)
        else:
            bar.show_status(self.runtime.status(), place)

    @property
    def place(self) -> str:
        """Where our user is: ``list``, ``message``, ``find`` or ``write``."""
        focused = self.focused
        if isinstance(focused, Rows):
            return "list"
        if isinstance(focused, History):
            return "message"
        return "find" if focused is not None and self._bar in focused.ancestors else "write"

    # --- chats -------------------------------------------------------------------------------

    @property
    def backend(self) -> Backend:
        return self.runtime

    @property
    def chat(self) -> ChatId:
        return self._chat

    @property
    def width(self) -> int:
        return self.size.width

    def open(self, chat: ChatId) -> None:
        """Show a chat and write to it."""
        if chat != self._chat:
            self._typing_until = 0.0
            summary = self.names.summary(chat)
            self._chat = chat
            self.writing.open(chat, summary.draft if summary else "")
            self._bar.close()
            self.query_one(History).open(chat, summary.read_seq if summary else 0)
            self._show_side()
        self._show_chat()
        self.say(open_warning(self.names, chat))
        self._mark_read()

    def open_at(self, message: Message) -> None:
        """Show a message in its chat."""
        self.open(message.chat)
        self.query_one(History).go_to(message.seq)

    def _show_chat(self) -> None:
        summary = self.names.summary(self._chat)
        self._show_empty(summary is None or summary.last is None)
        self.query_one("#empty", Line).show(nothing_words(self))
        self.remove_class("-list")
        self._show_around()
        self.query_one(Composer).focus()

    def close_chat(self) -> None:
        self._chat = b""
        self.writing.open(b"", "")
        self.query_one(History).close()
        self.reload()
        if self.names.chats:
            self.open(self.names.chats[0].chat)
        else:
            self._show_chat()

    @on(Side.Chosen)
    def _chosen(self, event: Side.Chosen) -> None:
        event.stop()
        self.open(event.chat)

    def action_back(self) -> None:
        """From the find bar or the list to writing, from writing to the list of chats."""
        self.say("")
        if self.writing.end_acting():
            return
        if self.place == "list" and self._chat:
            self.open(self._chat)
        elif self.place == "find":
            self._end_finding()
        else:
            self.list_chats()

    def list_chats(self) -> None:
        self.add_class("-list")
        self._show_side()
        self.query_one(Side).take_focus()
        self._show_around()

    def action_nth(self, number: int) -> None:
        if number <= len(self.names.chats):
            self.open(self.names.chats[number - 1].chat)

    @on(History.Seen)
    def _mark_read(self, _event: History.Seen | None = None) -> None:
        """Tell the node what has been on the screen, if somebody can have seen it."""
        summary = self.names.summary(self._chat)
        visible = self.is_current and self.app.app_focus and not (self.narrow and self._listing)
        seq = self.query_one(History).seen_seq()
        if summary is None or not visible or seq <= summary.read_seq:
            return
        if (self._chat, seq) != self._read:
            self._read = (self._chat, seq)
            self.do(core.MarkRead(self._chat, seq), then=self.reload)

    @on(History.Below)
    def _show_below(self, event: History.Below) -> None:
        below = self.query_one("#below", Line)
        text = ngettext("{count} new", "{count} new", event.count).format(count=event.count)
        below.show(Clean(f"{self.glyphs.below} {text}  (End)"))
        below.display = event.count > 0

    @on(events.Click, "#below")
    def _to_end(self) -> None:
        self.query_one(History).action_last()

    @on(Composer.Upwards)
    def _choose_message(self) -> None:
        self.query_one(History).choose_last()

    @on(Composer.Paged)
    def _page(self, event: Composer.Paged) -> None:
        self.query_one(History).action_page(event.step)

    @on(Composer.ToEnd)
    def _to_end_of_history(self, event: Composer.ToEnd) -> None:
        history = self.query_one(History)
        if event.end < 0:
            history.action_first()
        else:
            history.action_last()

    @on(History.Chosen)
    def _show_moment(self) -> None:
        self._show_status()

    @on(History.Left)
    def _back_to_writing(self) -> None:
        self.query_one(Composer).focus()

    @on(History.Picked)
    def _picked(self, event: History.Picked) -> None:
        self.carry_out(commands.BY_NAME[event.command], "")

    @on(Writing.Asked)
    def _asked(self, event: Writing.Asked) -> None:
        self.carry_out(event.command, event.rest)

    @property
    def writing(self) -> Writing:
        return self.query_one(Writing)

    def say(self, text: str) -> None:
        self.writing.say(text)

    async def flush(self) -> None:
        """Store what is being written; for the way out."""
        await self.writing.flush()

    @property
    def is_choosing(self) -> bool:
        return self.query_one(History).is_choosing

    def begin_reply(self, message: Message) -> None:
        self.query_one(History).action_leave()
        self.writing.begin_reply(message)

    def begin_edit(self, message: Message) -> None:
        self.query_one(History).action_leave()
        self.writing.begin_edit(message)

    # --- finding -----------------------------------------------------------------------------

    def find(self, words: str) -> None:
        if not self._bar.is_attached:
            self.query_one(Main).mount(self._bar, before=self.writing)
        self._bar.begin(self._chat, words)

    @on(FindBar.Found)
    def _found(self, event: FindBar.Found) -> None:
        history = self.query_one(History)
        history.mark_words(event.words)
        if event.seq:
            history.go_to(event.seq)

    @on(FindBar.Left)
    def _end_finding(self) -> None:
        self._bar.close()
        self.query_one(History).mark_words("")
        self.query_one(Composer).focus()

    # --- commands ----------------------------------------------------------------------------

    def action_command(self, name: str) -> None:
        """A key or the palette asks for a command."""
        command = commands.BY_NAME[name]
        composer = self.query_one(Composer)
        if not command.needs_words:
            self.carry_out(command, "")
        elif wrong := self.deeds.refusal(command, "…"):
            self.say(wrong)
        elif not composer.text:
            composer.put(f"/{name} ")
            composer.focus()
        else:  # a message is being written: it stays
            self.work(self._ask_words(command))

    async def _ask_words(self, command: Command) -> None:
        typed = await self.fill(command.title, command.usage)
        if typed and typed.strip():
            await self.deeds.carry_out(command, typed.strip())

    def carry_out(self, command: Command, rest: str) -> None:
        """Do what was asked, or say why not."""
        self.say("")
        self.work(self.deeds.carry_out(command, rest))

    def work(self, work: Awaitable[None]) -> None:
        async def guarded() -> None:
            try:
                await work
            except MeshchatError as error:
                if self.is_mounted:
                    self.say(said(error))

        self.run_worker(guarded(), exit_on_error=True)

    def do(self, wish: core.Command, then: Callable[[], object] | None = None) -> None:
        async def work() -> None:
            await self.runtime.command(wish)
            if then is not None and self.is_mounted:
                then()

        self.work(work())

    # --- what commands need ------------------------------------------------------------------

    def write(self, text: str) -> None:
        self.query_one(Composer).insert(text)
        self.query_one(Composer).focus()

    def chosen(self, number: int = 0) -> Message | None:
        return self.query_one(History).chosen(number)

    def show_help(self, text: str) -> None:
        from meshchat.ui.dialogs import TextScreen
        from meshchat.ui.helptext import help_lines

        width = min(self.size.width, TextScreen.CELLS_MAX) - 8
        place = text or self.place
        self.reading(_("Help"), help_lines(place, width, self.glyphs, self._app.chosen_keys))

    async def add_contact(self, card: str) -> None:
        from meshchat.ui.people import AddScreen

        contact = await self.app.push_screen_wait(AddScreen(self.runtime, card))
        if contact is not None:
            self.reload()
            self.open(b"c" + contact.fp)

    async def show_contact(self) -> None:
        from meshchat.ui.people import ContactScreen

        screen = ContactScreen(self.runtime, self._chat[1:], self.glyphs)
        await self.app.push_screen_wait(screen)
        if self.names.summary(self._chat) is None or self.names.contact(self._chat) is None:
            self.close_chat()

    async def check_signs(self) -> None:
        await self._checks.make(self.names.contacts[self._chat[1:]])
        self.reload()

    def show_last(self, count: int) -> None:  # noqa: ARG002  # the history shows as many as fit
        self.query_one(History).action_last()
