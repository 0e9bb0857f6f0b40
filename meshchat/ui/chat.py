"""The main screen: chats, one history, the message being written, and what the mesh does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, cast

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import OptionList, TextArea
from textual.widgets.option_list import Option

from meshchat.core import events as core
from meshchat.core.identity import key_tag, private_room_key, public_room_key, room_name
from meshchat.core.model import ChatId, ChatSummary, Contact, Message, Room, Trust
from meshchat.errors import MeshchatError
from meshchat.text import Clean
from meshchat.ui import commands
from meshchat.ui.commands import Command
from meshchat.ui.composer import Composer
from meshchat.ui.dialogs import Ask, Choose, Line, Part, Prompt, TextScreen, plain
from meshchat.ui.history import History
from meshchat.ui.lines import fit
from meshchat.ui.people import AddScreen, CardScreen, ContactScreen, state_parts
from meshchat.ui.reports import journey_text, status_text

if TYPE_CHECKING:
    from meshchat.net.runtime import News
    from meshchat.ui.base import Backend, BaseApp

DRAFT_AFTER_S = 1.0  # of quiet before a draft is stored: one commit per pause, not per key
STATUS_AFTER_S = 0.25  # changes come in bursts; at most four repaints of the status bar a second
SIDE_CELLS = 20
NO_CHATS = (
    "No chats yet.\n\n"
    "/card        show your card and its QR code to a friend\n"
    "/add         add a friend by card\n"
    "/join #name  join a room\n\n"
    "F1 help"
)
NO_MESSAGES = "Nothing here yet. Write something and press Enter."


class ChatScreen(Screen[None]):
    """What a person looks at all day. Holds view state only; truth is in the store."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (72, "-wide")]  # noqa: RUF012
    BINDINGS = commands.bindings()

    def __init__(self, runtime: Backend) -> None:
        super().__init__()
        self.runtime = runtime
        self._chat: ChatId = b""
        self._summaries: list[ChatSummary] = []
        self._shown: list[ChatId] = []
        self._asking: list[ChatId] = []
        self._contacts: dict[bytes, Contact] = {}
        self._rooms: dict[bytes, Room] = {}
        self._read: tuple[ChatId, int] = (b"", 0)
        self._marked: ChatId = b""  # the chat that was last highlighted in the list
        self._drafts: dict[ChatId, str] = {}  # of this run; newer than the summaries
        self._saved_draft = ""
        self._draft_timer: Timer | None = None
        self._status_timer: Timer | None = None
        self._stale = False
        self._news: list[News] = []
        self._end: Callable[[], None] | None = None

    # --- layout ------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        with Horizontal(id="panes"):
            with Vertical(id="side"):
                yield OptionList(id="chats", markup=False, compact=True)
                yield Line(Clean("requests"), id="requests-title")
                yield OptionList(id="requests", markup=False, compact=True)
            with Vertical(id="main"):
                yield Line(id="header")
                yield Line(Clean(NO_CHATS), id="empty")
                yield History(self.runtime.store, self._name_of, id="history")
                yield Line(id="below")
                yield Line(id="notice")
                yield Composer(id="composer")
        yield Line(id="status")

    def on_mount(self) -> None:
        self._end = self.runtime.subscribe(self._hear)
        self._reload()
        if self._shown or self._asking:
            self.open((self._shown or self._asking)[0])
        else:
            self._show_chat()
        self._show_status()

    def on_unmount(self) -> None:
        if self._end is not None:
            self._end()

    def use(self, runtime: Backend) -> None:
        """Go on with another runtime over the same store."""
        if self._end is not None:
            self._end()
        self.runtime = runtime
        self._end = runtime.subscribe(self._hear)
        self._reload()
        self._show_status()

    def on_screen_resume(self) -> None:
        self._mark_read()

    def on_resize(self, _event: events.Resize) -> None:
        self.call_later(self._show_header)
        self.call_later(self._show_status)

    @property
    def _app(self) -> BaseApp:
        return cast("BaseApp", self.app)

    @property
    def narrow(self) -> bool:
        """One pane at a time."""
        return self.has_class("-narrow")

    # --- what the node tells -----------------------------------------------------------------

    def _hear(self, news: News) -> None:
        """Called between two steps of the node: only note it, and look once when there is time."""
        if not self._news:
            self.call_later(self._take_in)
        self._news.append(news)

    def _take_in(self) -> None:
        told, self._news = self._news, []
        history = self.query_one(History)
        for news in told:
            if isinstance(news, core.MessageAdded):
                history.add(news.message)
                if news.message.chat == self._chat:
                    self._show_empty(False)
                self._later()
            elif isinstance(news, core.MessageChanged):
                history.change(news.message)
            elif isinstance(news, core.ContactChanged | core.RoomChanged):
                self._later()
                history.renamed()
            elif isinstance(news, core.Notice):
                self.say(news.detail or news.code.replace("_", " "))
        if self._status_timer is None:
            self._status_timer = self.set_timer(STATUS_AFTER_S, self._show_status)

    def _later(self) -> None:
        if not self._stale:
            self._stale = True
            self.call_later(self._reload)

    def _reload(self) -> None:
        """Read the lists of people, rooms and chats again."""
        self._stale = False
        store = self.runtime.store
        self._contacts = {contact.fp: contact for contact in store.contacts()}
        self._rooms = {room.rid: room for room in store.rooms()}
        self._summaries = store.chats()
        asking = {b"c" + c.fp for c in self._contacts.values() if c.request}
        listed = [s for s in self._summaries if s.chat not in asking]
        requests = [s for s in self._summaries if s.chat in asking]
        self._shown = self._fill("#chats", listed)
        self._asking = self._fill("#requests", requests)
        self.query_one("#requests").display = bool(requests)
        self.query_one("#requests-title").display = bool(requests)
        self._marked = self._chat
        self._show_header()
        self._app.show_unread(sum(s.unread for s in listed))

    def _fill(self, which: str, rows: list[ChatSummary]) -> list[ChatId]:
        """Bring a list up to date, touching only the rows that differ."""
        options = self.query_one(which, OptionList)
        before = [option.prompt for option in options.options]
        after = [self._row(summary) for summary in rows]
        ids = [summary.chat for summary in rows]
        if len(before) == len(after):
            for at, (old, new) in enumerate(zip(before, after, strict=True)):
                if old != new:
                    options.replace_option_prompt_at_index(at, new)
        else:
            options.clear_options()
            options.add_options([Option(row) for row in after])
        if self._chat in ids and self._chat != self._marked:
            options.highlighted = ids.index(self._chat)
        return ids

    def _row(self, summary: ChatSummary) -> Content:
        name, sign = self._chat_name(summary.chat), self._sign(summary.chat)
        count = Clean(str(min(summary.unread, 999)) if summary.unread else "")
        here = summary.chat == self._chat
        width = SIDE_CELLS - 5 - len(count)
        return plain(
            Clean("▌" if here else " "),
            (Clean(fit(name, width)), "bold" if summary.unread or here else ""),
            Clean(f" {sign}"),
            (count, "bold"),
        )

    # --- names -------------------------------------------------------------------------------

    def _contact(self, chat: ChatId) -> Contact | None:
        return self._contacts.get(chat[1:]) if chat[:1] == b"c" else None

    def _room(self, chat: ChatId) -> Room | None:
        return self._rooms.get(chat[1:]) if chat[:1] == b"r" else None

    def _chat_name(self, chat: ChatId) -> Clean:
        if (contact := self._contact(chat)) is not None:
            return contact.petname
        room = self._room(chat)
        return Clean.line(f"#{room.name}") if room else Clean("(gone)")

    def _sign(self, chat: ChatId) -> str:
        contact = self._contact(chat)
        if contact is None:
            return " "
        return "!" if contact.frozen else "✓" if contact.trust is Trust.VERIFIED else "?"

    def _name_of(self, message: Message) -> Clean:
        """Who wrote a message, as shown in the history."""
        if message.outgoing:
            return Clean("you")
        contact = self._contacts.get(message.author)
        name = contact.petname if contact is not None else message.author_name
        if contact is None or name.casefold() == "you":  # only we are "you" without a tag
            return Clean.line(f"{name[:9] or 'someone'}~{key_tag(message.author)}")
        return name

    # --- showing -----------------------------------------------------------------------------

    def _show_header(self) -> None:
        back: tuple[Part, ...] = (Clean("‹ "),) if self.narrow else (Clean(" "),)
        contact, room = self._contact(self._chat), self._room(self._chat)
        header = self.query_one("#header", Line)
        if contact is not None:
            header.show(*back, (contact.petname, "bold"), *state_parts(contact, self.narrow))
        elif room is not None:
            kind = "private room" if room.private else "public room: anyone may read"
            header.show(*back, (self._chat_name(self._chat), "bold"), Clean(f"  {kind}"))
        else:
            header.show(*back, Clean("meshchat"))

    def _show_empty(self, empty: bool) -> None:
        self.query_one("#empty").display = empty
        self.query_one("#history").display = not empty

    def _show_status(self) -> None:
        if self._status_timer is not None:
            self._status_timer.stop()
            self._status_timer = None
        if not self.is_mounted:
            return
        status = self.runtime.status()
        parts: list[str] = []
        for transport in status.transports:
            links = sum(n.transport == transport.name for n in status.node.neighbours)
            if transport.on:
                parts.append(f"{transport.name} ● {links}")
            else:
                parts.append(f"{transport.name} ○ {transport.reason.replace('_', ' ') or 'off'}")
        if not status.transports:
            parts.append("no network")
        if status.trouble is not None:
            parts.append(f"! {status.trouble.reason.replace('_', ' ')}")
        parts.append(f"carry {status.node.custody.carried}")
        parts.append(f"queue {status.node.queued}")
        left = "  ".join(parts)
        hint = "Esc ‹" if self.narrow and not self._listing else "F1 help"
        if len(left) + len(hint) + 3 > self.size.width:
            left = " ".join(parts)
        room = self.size.width - len(left) - len(hint) - 2
        self.query_one("#status", Line).show(Clean(f" {left}{' ' * max(1, room)}{hint}"))

    def say(self, text: str) -> None:
        """Tell our user one sentence, until the next key that does something."""
        notice = self.query_one("#notice", Line)
        notice.show(Clean(text))
        notice.display = bool(text)

    # --- chats -------------------------------------------------------------------------------

    def open(self, chat: ChatId) -> None:
        """Show a chat and write to it."""
        if chat != self._chat:
            self._keep_draft()
            summary = next((s for s in self._summaries if s.chat == chat), None)
            self._chat = chat
            stored = summary.draft if summary else ""
            self._saved_draft = self._drafts.get(chat, stored)
            self.query_one(Composer).put(self._saved_draft)
            history = self.query_one(History)
            history.open(chat, summary.read_seq if summary else 0)
            self._reload()
        self.say("")
        self._show_chat()
        self.query_one(Composer).focus()
        self._mark_read()

    def _show_chat(self) -> None:
        summary = next((s for s in self._summaries if s.chat == self._chat), None)
        composer = self.query_one(Composer)
        composer.display = True
        self._show_empty(summary is None or summary.last is None)
        text = NO_MESSAGES if self._chat else NO_CHATS
        self.query_one("#empty", Line).show(Clean(text))
        self.remove_class("-list")
        self._show_header()
        self._show_status()
        composer.focus()

    def _close_chat(self) -> None:
        self._chat = b""
        self._saved_draft = ""
        self.query_one(Composer).put("")
        self.query_one(History).close()
        self._reload()
        if self._shown:
            self.open(self._shown[0])
        else:
            self._show_chat()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        chats = self._shown if event.option_list.id == "chats" else self._asking
        if event.option_index < len(chats):
            self.open(chats[event.option_index])

    def action_back(self) -> None:
        """Back to the list of chats."""
        self.say("")
        self.add_class("-list")
        self.query_one("#chats", OptionList).focus()
        self._show_status()

    def action_nth(self, number: int) -> None:
        if number <= len(self._shown):
            self.open(self._shown[number - 1])

    @on(History.Seen)
    def _mark_read(self, _event: History.Seen | None = None) -> None:
        """Tell the node what has been on the screen, if somebody can have seen it."""
        history = self.query_one(History)
        summary = next((s for s in self._summaries if s.chat == self._chat), None)
        visible = self.is_current and self.app.app_focus and not (self.narrow and self._listing)
        seq = history.seen_seq()
        if summary is None or not visible or seq <= summary.read_seq:
            return
        if (self._chat, seq) != self._read:
            self._read = (self._chat, seq)
            self._do(core.MarkRead(self._chat, seq), then=self._reload)

    @property
    def _listing(self) -> bool:
        return self.has_class("-list")

    @on(History.Below)
    def _show_below(self, event: History.Below) -> None:
        below = self.query_one("#below", Line)
        below.show(Clean(f"↓ {event.count} new  (End)"))
        below.display = event.count > 0

    @on(events.Click, "#below")
    def _to_end(self) -> None:
        self.query_one(History).action_last()

    # --- writing -----------------------------------------------------------------------------

    @on(Composer.Submitted)
    async def _submitted(self, event: Composer.Submitted) -> None:
        event.stop()
        text = event.text
        if text.startswith("/") and not text.startswith("//"):
            command, rest = commands.parse(text)
            if command is None:
                self._give_back(text)
                word = Clean.line(text.split()[0], 30)
                self.say(f"There is no command {word}: F1 shows all; // sends a slash.")
                return
            self.carry_out(command, rest)
            return
        if not self._chat:
            self._give_back(text)
            self.say("Choose a chat first: /add a friend or /join #room.")
            return
        text = text[1:] if text.startswith("//") else text
        chat = self._chat
        self._work(self._send(chat, text, event.text))

    async def _send(self, chat: ChatId, text: str, typed: str) -> None:
        try:
            await self.runtime.command(core.Send(chat, text))
        except MeshchatError:
            if chat == self._chat and self.is_mounted:
                self._give_back(typed)
            else:
                self._drafts[chat] = typed
            raise
        if chat == self._chat and not self.query_one(Composer).text:
            self._keep_draft()
        self.say("")

    def _give_back(self, text: str) -> None:
        """What could not be sent stands in the composer again, before what was typed since."""
        composer = self.query_one(Composer)
        composer.put(text + composer.text)

    @on(TextArea.Changed, "#composer")
    def _typed(self) -> None:
        if self._draft_timer is not None:
            self._draft_timer.stop()
        self._draft_timer = self.set_timer(DRAFT_AFTER_S, self._keep_draft)

    def _keep_draft(self) -> None:
        if self._draft_timer is not None:
            self._draft_timer.stop()
            self._draft_timer = None
        text = self.query_one(Composer).text
        if self._chat and text != self._saved_draft:
            self._saved_draft = self._drafts[self._chat] = text
            self._do(core.SaveDraft(self._chat, text))

    async def flush(self) -> None:
        """Store what is being written; for the way out."""
        text = self.query_one(Composer).text
        if self._chat and text != self._saved_draft:
            self._saved_draft = text
            await self.runtime.command(core.SaveDraft(self._chat, text))

    @on(Composer.LongPaste)
    def _long_paste(self, event: Composer.LongPaste) -> None:
        def answer(yes: bool | None) -> None:
            if yes:
                self.query_one(Composer).insert(event.text)

        lines = event.text.count("\n") + 1
        self.app.push_screen(Ask(Clean(f"Paste {lines} lines into the message?")), answer)

    @on(Composer.Upwards)
    def _choose_message(self) -> None:
        self.query_one(History).choose_last()

    @on(Composer.Paged)
    def _page(self, event: Composer.Paged) -> None:
        self.query_one(History).action_page(event.step)

    @on(History.Left)
    def _back_to_writing(self) -> None:
        self.query_one(Composer).focus()

    @on(History.Copied)
    def _copied(self) -> None:
        self.say("Copied, if this terminal allows it.")

    @on(History.Info)
    def _info(self, event: History.Info) -> None:
        self._show_journey(event.mid)

    # --- commands ----------------------------------------------------------------------------

    def action_command(self, name: str) -> None:
        """A key or the palette asks for a command."""
        command = commands.BY_NAME[name]
        composer = self.query_one(Composer)
        if not command.takes or command.takes.startswith("["):
            self.carry_out(command, "")
        elif not composer.text:
            composer.put(f"/{name} ")
            composer.focus()
        else:  # a message is being written: it stays

            def answer(typed: str | None) -> None:
                if typed and typed.strip():
                    self.carry_out(command, typed.strip())

            self.app.push_screen(Prompt(command.title, command.usage), answer)

    def carry_out(self, command: Command, rest: str) -> None:
        """Do what was asked, or say why not."""
        self.say("")
        contact, room = self._contact(self._chat), self._room(self._chat)
        wrong = ""
        if rest and not command.takes:
            wrong = f"/{command.name} takes nothing after it."
        elif not rest and command.takes and not command.takes.startswith("["):
            wrong = f"Say more: {command.usage}"
        elif command.where == "contact" and contact is None:
            wrong = "This works in the chat with a contact."
        elif command.where == "room" and room is None:
            wrong = "This works in a room."
        elif command.where == "request" and (contact is None or not contact.request):
            wrong = "This works in the chat with a stranger who asks to write."
        elif command.where == "chat" and not self._chat:
            wrong = "Open a chat first."
        if wrong:
            self.say(wrong)
            return
        method: Callable[[str], Awaitable[None]] = getattr(self, command.method)
        self._work(method(rest))

    def _work(self, work: Awaitable[None]) -> None:
        async def guarded() -> None:
            try:
                await work
            except MeshchatError as error:
                if self.is_mounted:
                    self.say(str(error))

        self.run_worker(guarded(), exit_on_error=True)

    def _do(self, command: core.Command, then: Callable[[], object] | None = None) -> None:
        async def work() -> None:
            await self.runtime.command(command)
            if then is not None and self.is_mounted:
                then()

        self._work(work())

    async def do_help(self, _rest: str) -> None:
        self.app.push_screen(TextScreen("Help", commands.help_text(self.size.width)))

    async def do_chat(self, rest: str) -> None:
        ordered = sorted(self._summaries, key=lambda summary: not summary.unread)
        names = [(self._chat_name(s.chat), s) for s in ordered]
        if rest:
            found = [s for name, s in names if rest.casefold() in name.casefold()]
            if found:
                self.open(found[0].chat)
            else:
                self.say("No chat has a name like that.")
            return
        rows = [
            (Clean.line(f"{name}  {s.unread} new" if s.unread else name, 80), s.chat)
            for name, s in names
        ]

        def chosen(chat: ChatId | None) -> None:
            if chat:
                self.open(chat)

        self.app.push_screen(Choose("Go to chat", rows), chosen)

    async def do_next(self, _rest: str) -> None:
        self._step(1)

    async def do_previous(self, _rest: str) -> None:
        self._step(-1)

    def _step(self, step: int) -> None:
        chats = self._shown + self._asking
        if chats:
            at = chats.index(self._chat) if self._chat in chats else -step
            self.open(chats[(at + step) % len(chats)])

    async def do_unread(self, _rest: str) -> None:
        fresh = [s.chat for s in self._summaries if s.unread and s.chat != self._chat]
        if fresh:
            self.open(fresh[0])
        else:
            self.say("Nothing new anywhere else.")

    async def do_card(self, _rest: str) -> None:
        self.app.push_screen(CardScreen(self.runtime.node.card_text()))

    async def do_add(self, rest: str) -> None:
        def added(contact: Contact | None) -> None:
            if contact is not None:
                self._reload()
                self.open(b"c" + contact.fp)

        self.app.push_screen(AddScreen(self.runtime, rest), added)

    async def do_contact(self, _rest: str) -> None:
        self._open_contact()

    async def do_verify(self, _rest: str) -> None:
        self._open_contact()

    def _open_contact(self) -> None:
        def closed(_result: Contact | None) -> None:
            if self._contact(self._chat) is None or self._chat not in self._shown + self._asking:
                self._close_chat()

        self.app.push_screen(ContactScreen(self.runtime, self._chat[1:]), closed)

    async def do_rename(self, rest: str) -> None:
        await self.runtime.command(core.Rename(self._chat[1:], rest))

    async def do_accept(self, rest: str) -> None:
        await self.runtime.command(core.Accept(self._chat[1:], rest))
        self.say("Accepted: you can write to each other now.")

    async def do_block(self, _rest: str) -> None:
        contact = self._contacts[self._chat[1:]]
        question = Ask(Clean(f"Hear nothing more from {contact.petname}?"))
        if await self.app.push_screen_wait(question):
            await self.runtime.command(core.Block(contact.fp))
            self._close_chat()

    async def do_unblock(self, rest: str) -> None:
        named = [c for c in self._contacts.values() if c.petname.casefold() == rest.casefold()]
        blocked = [c for c in named if c.blocked]
        if not blocked:
            self.say("Nobody of that name is blocked.")
            return
        await self.runtime.command(core.Block(blocked[0].fp, blocked=False))

    async def do_join(self, rest: str) -> None:
        name = room_name(rest)
        await self._join(name, public_room_key(name), private=False)

    async def do_private(self, rest: str) -> None:
        name = room_name(rest)
        hint = "All who use the same words are in the room; whoever learns them reads it."
        screen = Prompt(f"Passphrase of #{name}", hint, password=True)
        passphrase = await self.app.push_screen_wait(screen)
        if passphrase:
            self.say("One moment…")
            key = await asyncio.to_thread(private_room_key, name, passphrase)
            await self._join(name, key, private=True)

    async def _join(self, name: str, key: bytes, *, private: bool) -> None:
        joined = await self.runtime.command(core.JoinRoom(name, key, private))
        assert isinstance(joined, Room)
        self._reload()
        self.open(b"r" + joined.rid)

    async def do_leave(self, _rest: str) -> None:
        name = self._chat_name(self._chat)
        if await self.app.push_screen_wait(Ask(Clean(f"Leave {name}?"))):
            await self.runtime.command(core.LeaveRoom(self._chat[1:]))
            self._close_chat()

    async def do_info(self, _rest: str) -> None:
        if (message := self.query_one(History).chosen()) is not None:
            self._show_journey(message.id)

    def _show_journey(self, mid: bytes) -> None:
        message = self.runtime.store.message(mid)
        if message is not None:
            text = journey_text(message, self.runtime.store.journey(mid))
            self.app.push_screen(TextScreen("Journey of the message", text))

    async def do_status(self, _rest: str) -> None:
        text = status_text(self.runtime.status(), self._contacts)
        self.app.push_screen(TextScreen("Status", text))

    async def do_lock(self, _rest: str) -> None:
        self._app.lock()

    async def do_quit(self, _rest: str) -> None:
        await self.app.action_quit()
