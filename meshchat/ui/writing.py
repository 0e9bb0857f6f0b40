"""The pane where our user writes: the composer, what Tab offers, what is answered, drafts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message as UiMessage
from textual.timer import Timer
from textual.widgets import TextArea

from meshchat.core import events as core
from meshchat.core.model import ChatId, Message
from meshchat.errors import MeshchatError
from meshchat.i18n import _
from meshchat.text import Clean
from meshchat.ui import commands
from meshchat.ui.commands import Command
from meshchat.ui.completion import Found, authors_of, completions
from meshchat.ui.composer import Composer
from meshchat.ui.deeds import sendable, unknown_command
from meshchat.ui.parts import Line, Part

if TYPE_CHECKING:
    from meshchat.ui.chat import ChatScreen

DRAFT_AFTER_S = 1.0  # of quiet before a draft is stored: one commit per pause, not per key
OFFERS_SHOWN = 6
SENT_READ = 200  # messages of the open chat among which what we sent is looked for


class Writing(Vertical):
    """Sends what is written to the open chat, or gives it back with the reason why not."""

    class Asked(UiMessage):
        """A command was typed."""

        def __init__(self, command: Command, rest: str) -> None:
            super().__init__()
            self.command = command
            self.rest = rest

    def __init__(self, screen: ChatScreen, choices: Callable[[], dict[str, list[str]]], id: str):
        super().__init__(id=id)
        self._front = screen
        self._choices = choices
        self._chat: ChatId = b""
        self._drafts: dict[ChatId, str] = {}  # of this run; newer than the store's lists
        self._saved = ""
        self._timer: Timer | None = None
        self._answers = b""  # id of the message that is being answered ...
        self._edits = b""  # ... or edited

    def compose(self) -> ComposeResult:
        yield Line(id="notice")
        yield Composer(self._finish, self._sent, id="composer")

    def _above(self, which: str) -> Line:
        """The line of what Tab offers, or of what is answered; mounted once one is needed."""
        if not self.query("#offers"):
            self.mount(Line(id="offers"), Line(id="acting"), before=self.composer)
        return self.query_one(f"#{which}", Line)

    @property
    def composer(self) -> Composer:
        """The text being written."""
        return self.query_one(Composer)

    def say(self, text: str) -> None:
        """One sentence, until the next key that does something."""
        notice = self.query_one("#notice", Line)
        notice.show(Clean(text))
        notice.display = bool(text)

    def open(self, chat: ChatId, stored: str) -> None:
        """Write to this chat from now on, first what was left unsent there."""
        self.end_acting()
        self.keep_draft()
        self._chat = chat
        self._saved = self._drafts.get(chat, stored)
        self.composer.put(self._saved)

    # --- sending -----------------------------------------------------------------------------

    @on(Composer.Submitted)
    def _submitted(self, event: Composer.Submitted) -> None:
        event.stop()
        text = event.text
        if commands.is_command(text):
            command, rest = commands.parse(text)
            if command is None or (wrong := self._front.deeds.refusal(command, rest)):
                self._give_back(text)
                self.say(unknown_command(text) if command is None else wrong)
            else:
                self.post_message(self.Asked(command, rest))
            return
        if not self._chat:
            self._give_back(text)
            self.say(_("Choose a chat first: /add a friend or /join #room."))
            return
        wish: core.Command = core.Send(self._chat, sendable(text), reply_to=self._answers)
        if self._edits:
            wish = core.Edit(self._edits, sendable(text))
        self._answers = self._edits = b""
        self.end_acting()
        self._front.work(self._send(self._chat, wish, text))

    async def _send(self, chat: ChatId, wish: core.Command, typed: str) -> None:
        try:
            await self._front.backend.command(wish)
        except MeshchatError:
            if chat == self._chat and self.is_mounted:
                self._give_back(typed)
            else:
                self._drafts[chat] = typed
            raise
        if chat == self._chat and not self.composer.text:
            self.keep_draft()
        self.say(self._first_words())

    def _first_words(self) -> str:
        """Behind somebody's very first message: what the sign there means; else nothing."""
        own = [message for message in self._last() if message.outgoing]
        if len(self._front.names.chats) > 1 or len(own) > 1:
            return ""
        signs = self._front.glyphs
        if signs.is_plain:
            return _("The word behind it says where it is. F5 says more.")
        text = _("Behind it: {queued} only here, {carried} carried by others, {delivered} there.")
        shown = text.format(queued=signs.queued, carried=signs.carried, delivered=signs.delivered)
        return f"{shown} {_('F5 says more.')}"

    def _give_back(self, text: str) -> None:
        """What could not be sent stands in the composer again, before what was typed since."""
        self.composer.put(text + self.composer.text)

    # --- drafts ------------------------------------------------------------------------------

    @on(TextArea.Changed)
    def _typed(self) -> None:
        self.composer.typed()
        if self._chat[:1] == b"c" and self._front.backend.node.privacy.typing:
            self._front.do(core.Typing(self._chat, bool(self.composer.text)))
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(DRAFT_AFTER_S, self.keep_draft)

    def keep_draft(self) -> None:
        """Store what is being written, if it is not yet."""
        if self._timer is not None:
            self._timer.stop()
            self._timer = None
        text = self.composer.text
        if self._chat and text != self._saved and not self._edits:
            self._saved = self._drafts[self._chat] = text
            self._front.do(core.SaveDraft(self._chat, text))

    async def flush(self) -> None:
        """Store what is being written; for the way out. Raises ``MeshchatError``."""
        text = self.composer.text
        if self._chat and text != self._saved and not self._edits:
            self._saved = text
            await self._front.backend.command(core.SaveDraft(self._chat, text))

    # --- finishing and recalling -------------------------------------------------------------

    def _last(self) -> list[Message]:
        if not self._chat:
            return []
        return self._front.backend.store.messages(self._chat, limit=SENT_READ)

    def _finish(self, before: str) -> list[Found]:
        """What Tab may insert."""
        names = self._front.names
        authors = authors_of(names, self._chat, self._last())
        return completions(before, names, authors, self._choices())

    def _sent(self) -> list[str]:
        """What our user sent here before, oldest first."""
        return list(dict.fromkeys(str(m.text) for m in self._last() if m.outgoing and m.text))

    @on(Composer.Offers)
    def _show_offers(self, event: Composer.Offers) -> None:
        if not event.found and not self.query("#offers"):
            return
        offers = self._above("offers")
        glyphs = self._front.glyphs
        first = max(0, min(event.at - OFFERS_SHOWN + 2, len(event.found) - OFFERS_SHOWN))
        shown = event.found[first : first + OFFERS_SHOWN]
        rows: list[Part] = []
        for number, found in enumerate(shown, first):
            here = number == event.at
            text = f"{glyphs.here if here else ' '} {found.shown}\n"
            rows.append((Clean(text), "bold" if here else ""))
        more = len(event.found) - first - len(shown)
        if more > 0:
            rows.append(Clean(_("  and {count} more: type on").format(count=more)))
        offers.show(*rows)
        offers.display = len(event.found) > 0

    @on(Composer.Pasted)
    def _pasted(self, event: Composer.Pasted) -> None:
        if not event.text:
            text = _("{count} characters are too much for a message: /file PATH sends a file.")
            self.say(text.format(count=f"{event.size:,}"))
            return
        self._front.work(self._paste(event.text))

    async def _paste(self, text: str) -> None:
        lines = text.count("\n") + 1
        question = _("Paste {count} lines into the message?").format(count=lines)
        if await self._front.ask(question):
            self.composer.insert(text)

    # --- answering and editing ---------------------------------------------------------------

    def begin_reply(self, message: Message) -> None:
        """What is sent next answers this message."""
        self.end_acting()
        self._answers = message.id
        text = _("answering {name}: {text}")
        self._show(text.format(name=self._front.names.of_author(message), text=message.text))

    def begin_edit(self, message: Message) -> None:
        """What is sent next takes this message's place."""
        if not message.outgoing:
            self.say(_("Only your own messages can be changed."))
            return
        self.end_acting()
        self.keep_draft()
        self._edits = message.id
        self._show(_("changing: {text}").format(text=message.text))
        self.composer.put(message.text)

    def _show(self, text: str) -> None:
        line = self._above("acting")
        line.show(Clean.line(text, 200))
        line.display = True
        self.composer.focus()

    def end_acting(self) -> bool:
        """Forget what is being answered or edited; True if there was something."""
        was = bool(self._answers or self._edits)
        if self._edits:
            self._edits = b""
            self.composer.put(self._saved)
        self._answers = b""
        for line in self.query("#acting"):
            line.display = False
        return was
