"""What commands need of a prompt and lines, for the linear mode.

The text of every message, question and report is printed here, once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from meshchat.core import events as core
from meshchat.core.content import count_reactions, quoted
from meshchat.core.identity import card_text, key_tag, safety_numbers
from meshchat.core.livecheck import REPLY_WAIT_S
from meshchat.core.model import NOTE_REVOCATION, ChatId, Message, Trust
from meshchat.errors import MeshchatError, UsageError
from meshchat.i18n import _, ngettext
from meshchat.text import Clean
from meshchat.ui import commands, fuzzy, glyphs
from meshchat.ui.completion import Found, completions, paths
from meshchat.ui.deeds import open_warning
from meshchat.ui.group_deeds import header_words, member_names
from meshchat.ui.names import Names
from meshchat.ui.prompt import Prompt
from meshchat.ui.reports import (
    file_progress,
    mesh_text,
    radios_text,
    revocation_note,
    silent_words,
)
from meshchat.ui.signs import check_title, ended_words, sign_lines

if TYPE_CHECKING:
    from meshchat.config import RuntimeOptions
    from meshchat.profile import Profile
    from meshchat.ui.backend import Backend

T = TypeVar("T")

WIDTH_CELLS = 72  # lines are not cut to a terminal, so this is only how tables are laid out
BEFORE = 5  # messages shown when a chat is opened, before the new ones
OPENED_MAX = 200  # new ones shown then
CHOICES_MAX = 100  # more are asked for by letters first


class LinearFront:
    """A prompt and lines as commands see them: most of ``front.Front``."""

    def __init__(self, backend: Backend, own: RuntimeOptions, profile: Profile | None) -> None:
        """Make it; for the arguments see ``Linear``."""
        self._prompt = Prompt(self._finish)
        self.names = Names(whole=not self._prompt.tty)
        self.glyphs = glyphs.PLAIN if own.glyphs != "unicode" else glyphs.UNICODE
        # lines have no columns to shift: what people write stays as it is unless our user says so
        self._drawn = glyphs.simple_emoji if own.emoji == "simple" else str
        self._backend = backend
        self._profile = profile
        self._chat: ChatId = b""
        self._arrivals = 0  # in chats that were asked for
        self._check: asyncio.Future[str] | None = None
        self._acts: dict[bytes, tuple[str, str]] = {}  # what was printed of messages here
        self._choices = {"mute": ["all", "mentions", "none"]}  # for Tab, in another thread
        self._asks_path = False
        self._tasks: set[asyncio.Future[None]] = set()  # kept: the loop holds them weakly

    def _finish(self, before: str) -> list[Found]:
        """For Tab, called from the prompt's thread: reads nothing but lists made before."""
        if self._asks_path:
            return paths(0, before)
        return completions(before, self.names, [], self._choices)

    # --- printing messages -------------------------------------------------------------------

    def _extras(self, message: Message) -> str:
        """What stands behind a message: an edit, reactions, the state."""
        parts = [_("(edited)")] if message.edited else []
        for emoji, many, _own in count_reactions(self._backend.store.reactions([message.id])):
            parts.append(f"({emoji} {many})")
        if progress := file_progress(self._backend.store, message):
            parts.append(f"({progress})")
        mark = glyphs.state_mark(self.glyphs, message)
        return " ".join([*parts, mark]).strip()

    def _print_message(self, message: Message, chat: str = "") -> None:
        clock = f"{datetime.fromtimestamp(message.received_at):%H:%M}"
        if self._backend.node.is_hidden(message):
            self._print(f"{clock} {self.names.of_author(message)}: {_('(hidden)')}")
            return
        mark = self._extras(message)
        where = f"[{chat}] " if chat else ""
        head = f"{where}{clock} {self.names.of_author(message)}: "
        said = revocation_note(message) if message.note == NOTE_REVOCATION else str(message.text)
        first, *rest = said.split("\n")
        if (answered := quoted(self._backend.store, message)) is not None:
            head += _("(answers “{text}”) ").format(text=Clean.line(answered.text, 40))
        lines = [head + first, *(f"    {line}" for line in rest)]
        if not message.outgoing:
            self._acts[message.id] = (message.text, mark)
        self._print("\n".join(lines) + (f" {mark}" if mark else ""))

    def _mark_read(self, seq: int) -> None:
        chat = self._chat

        async def mark() -> None:
            with suppress(MeshchatError):
                await self._backend.command(core.MarkRead(chat, seq))
                self.reload()

        self._keep(mark())

    def _keep(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- what commands need ------------------------------------------------------------------

    @property
    def backend(self) -> Backend:
        return self._backend

    @property
    def chat(self) -> ChatId:
        return self._chat

    @property
    def width(self) -> int:
        return WIDTH_CELLS

    def _print(self, text: str) -> None:
        self._prompt.print(self._drawn(text))

    def say(self, text: str) -> None:
        if text:
            self._print(text)

    def reading(self, title: str, text: str) -> None:
        self._print(f"{title}\n{text}")

    async def ask(self, question: str) -> bool:
        answer = await self._answer(_("{question} Type yes or no: ").format(question=question))
        return (answer or "").strip().lower() in ("yes", "y", _("yes"), _("yes")[0])

    async def fill(self, title: str, hint: str = "", *, secret: bool = False) -> str | None:
        if hint:
            self.say(hint)
        if secret:
            return await self._prompt.read(f"{title}: ", secret=True)
        return await self._answer(f"{title}: ")

    async def _answer(self, question: str) -> str | None:
        """The next line. A command is no answer, nor does what comes after it know this chat."""
        typed = await self._prompt.read(question)
        line = (typed or "").strip()
        if commands.is_command(line) and commands.parse(line)[0] is not None:
            text = _("A question was open, and {line} is no answer: say it again.")
            raise UsageError("no_answer", text.format(line=Clean.line(line, 30)))
        return typed

    async def pick(self, title: str, rows: Sequence[tuple[Clean, T]]) -> T | None:
        if len(rows) > CHOICES_MAX:
            question = _("{what} Some letters of its name: ").format(what=title)
            typed = await self._answer(question)
            rows = [
                rows[at] for at in fuzzy.rank(typed or "", [str(name) for name, _value in rows])
            ]
        self.say(title)
        for number, (name, _value) in enumerate(rows[:CHOICES_MAX], 1):
            self.say(f"{number}. {name}")
        answer = (await self._answer(_("Number, or nothing: ")) or "").strip()
        if answer.isascii() and answer.isdigit() and 1 <= int(answer) <= len(rows[:CHOICES_MAX]):
            return rows[int(answer) - 1][1]
        return None

    async def choose_file(self, title: str) -> str | None:
        self._asks_path = True
        try:
            return await self._prompt.read(_("{what}, its path: ").format(what=title))
        finally:
            self._asks_path = False

    def downloads(self) -> Path:
        if self._profile is None:
            raise UsageError("no_folder", _("Say where: /save FOLDER"))
        return self._profile.make_downloads()

    def write(self, text: str) -> None:
        self.say(text)

    def open(self, chat: ChatId) -> None:
        self._chat = chat
        self._arrivals += 1
        self._choices["member"] = member_names(self)
        names, store = self.names, self._backend.store
        row = names.summary(chat)
        seen = row.read_seq if row else 0
        fresh = store.messages(chat, after=seen, limit=OPENED_MAX)
        first = fresh[0].seq if fresh else None
        shown = store.messages(chat, before=first, limit=BEFORE)
        contact, room, group = names.contact(chat), names.room(chat), names.group(chat)
        self.say(_("Chat with {name}.").format(name=names.of_chat(chat)))
        if contact is not None:
            self.say(_trust_words(contact.trust, contact.request))
            if contact.fp in names.silent:
                self.say(silent_words(contact))
        elif group is not None:
            self.say(header_words(self, group))
        elif room is not None and not room.private:
            self.say(_("A public room: anyone may read."))
        if group is None:  # of a group it is in the words above
            self.say(open_warning(names, chat))
        for message in shown:
            self._print_message(message)
        if count := sum(not message.outgoing for message in fresh):
            self.say(ngettext("{count} new:", "{count} new:", count).format(count=count))
        for message in fresh:
            self._print_message(message)
        if not shown and not fresh:
            self.say(_("Nothing here yet. Write something and press Enter."))
        if fresh:
            self._mark_read(fresh[-1].seq)

    def open_at(self, message: Message) -> None:
        if message.chat != self._chat:
            self.open(message.chat)
        self._arrivals += 1
        store = self._backend.store
        around = store.messages(message.chat, before=message.seq + 1, limit=BEFORE)
        self.say(_("Around that message:"))
        for one in [*around, *store.messages(message.chat, after=message.seq, limit=BEFORE)]:
            self._print_message(one)

    @property
    def is_choosing(self) -> bool:
        return False

    def begin_reply(self, message: Message) -> None:  # noqa: ARG002
        self.say(_("Say more: {usage}").format(usage="/reply TEXT"))

    def begin_edit(self, message: Message) -> None:  # noqa: ARG002
        self.say(_("Say more: {usage}").format(usage="/edit TEXT"))

    def close_chat(self) -> None:
        self._chat = b""
        self.reload()

    def reload(self) -> None:
        own = self._backend.node.status(self._backend.now()).name
        self.names.load(self._backend.store, own, self._backend.now().wall)
        self._choices["member"] = member_names(self)

    def chosen(self, number: int = 0) -> Message | None:
        found = self._backend.store.messages(self._chat, limit=max(number, 50))
        if number:
            return found[-number] if number <= len(found) else None
        own = next((m for m in reversed(found) if m.outgoing), None)
        return own or (found[-1] if found else None)

    def copy(self, text: str) -> None:
        self._prompt.print(text)  # as it was written

    def show_help(self, text: str) -> None:  # noqa: ARG002  # there is one place only here
        lines = [
            f"{command.usage}  {command.title}"
            for command in commands.COMMANDS
            if command.name not in ("palette", "keys", "theme")
        ]
        self.reading(_("Type a message, or a command:"), "\n".join(lines))
        self.say(_("/help COMMAND says more. // at the start sends a slash."))

    def show_card(self, card: str, title: str) -> None:
        self.reading(title, card)

    async def add_contact(self, card: str) -> None:
        from meshchat.ui.files import read_card

        typed = card or await self.fill(_("Their card, or the name of a file that holds it"))
        if not typed:
            return
        text = await asyncio.to_thread(read_card, typed)
        name = await self.fill(_("Your name for them; nothing: the name the card suggests"))
        contact = await self._backend.command(core.AddContact(text, (name or "").strip()))
        self.reload()
        fp = getattr(contact, "fp", b"")
        if fp:
            self.open(b"c" + fp)

    async def show_contact(self) -> None:
        contact = self.names.contacts[self._chat[1:]]
        words = self._backend.node.safety_words(contact.fp)
        lines = [
            _("calls itself “{name}”").format(name=contact.claimed),
            _("key {tag}").format(tag=key_tag(contact.fp)),
            _trust_words(contact.trust, contact.request),
            _("Words to compare, the same on both screens:"),
            *(f"{number}. {word}" for number, word in enumerate(words, 1)),
            _("The same as numbers:"),
            " ".join(f"{number:04}" for number in safety_numbers(words)),
            _("Card, to pass on:"),
            card_text(contact.card, contact.claimed),
        ]
        self.reading(contact.petname, "\n".join(lines))
        if contact.trust in (Trust.UNVERIFIED, Trust.INTRODUCED) and await self.ask(
            _("Did all twelve words agree, in person or by voice?")
        ):
            await self._backend.command(core.Verify(contact.fp))
            self.say(_("Verified: the words agreed."))

    async def check_signs(self) -> None:
        contact, backend = self.names.contacts[self._chat[1:]], self._backend
        signs = backend.node.signs_shown(contact.fp)
        if not signs:
            self._check = asyncio.get_running_loop().create_future()
            try:
                await backend.command(core.StartCheck(contact.fp))
                reason = await asyncio.wait_for(self._check, REPLY_WAIT_S + 5.0)
            except TimeoutError:
                reason = "timeout"
            finally:
                self._check = None
            if reason:
                raise UsageError("check_ended", ended_words(reason, contact.petname))
            signs = backend.node.signs_shown(contact.fp)
        lines = [*sign_lines(signs, self.glyphs), _("Both read all seven aloud, in this order.")]
        self.reading(check_title(contact.petname), "\n".join(lines))
        words = {"same": True, "different": False, _("same"): True, _("different"): False}
        try:
            typed = await self._answer(_("Type same or different; nothing: not now: "))
        except UsageError:
            await backend.command(core.CancelCheck(contact.fp))
            raise
        same = words.get((typed or "").strip().lower())
        if same is None:
            await backend.command(core.CancelCheck(contact.fp))
            self.say(ended_words("cancelled", contact.petname))
        else:
            await backend.command(core.AnswerCheck(contact.fp, same))
            self.say(ended_words("same" if same else "different", contact.petname))

    def show_mesh(self) -> None:
        contacts, now = self.names.contacts, self._backend.now().wall
        status, store = self._backend.status(), self._backend.store
        text = mesh_text(status, store, contacts, self.glyphs, now, WIDTH_CELLS)
        self.reading(_("The mesh around you"), text)

    def show_radios(self) -> None:
        status = self._backend.status()
        text = radios_text(status, status.transports, self.names.contacts, WIDTH_CELLS)
        self.reading(_("Radios and networks"), text)

    def find(self, words: str) -> None:
        if not words:
            raise UsageError("no_words", _("Say more: {usage}").format(usage="/find WORDS"))
        found = self._backend.store.search(words, chat=self._chat, limit=50)
        for message in reversed(found):
            self._print_message(message)
        if not found:
            self.say(_("nothing"))

    def show_last(self, count: int) -> None:
        found = self._backend.store.messages(self._chat, limit=count)
        for message in found:
            self._print_message(message)
        if not found:
            self.say(_("Nothing here yet. Write something and press Enter."))

    def list_chats(self) -> None:
        for row in self.names.everything:
            new = ngettext("{count} new", "{count} new", row.unread).format(count=row.unread)
            contact = self.names.contact(row.chat)
            stranger = contact is not None and contact.request
            parts = [str(self.names.of_chat(row.chat)), new if row.unread else ""]
            parts.append(_("a stranger") if stranger else "")
            silent = contact is not None and contact.fp in self.names.silent
            parts.append(silent_words(contact) if contact is not None and silent else "")
            self.say(", ".join(filter(None, parts)))
        if not self.names.everything:
            self.say(_("No chats yet: /card shows your card, /add adds a friend by theirs."))

    def palette(self) -> None:
        self.show_help("")

    def theme(self, name: str) -> None:  # noqa: ARG002
        self.say(_("There are no colours here."))

    # --- of ``Linear`` -----------------------------------------------------------------------

    def lock_up(self) -> None:
        raise NotImplementedError

    async def wipe(self) -> None:
        raise NotImplementedError

    async def quit(self) -> None:
        raise NotImplementedError


def _trust_words(trust: Trust, request: bool) -> str:
    if request:
        return _("A stranger. /accept lets them write to you, /block ends it.")
    words = {
        Trust.VERIFIED: _("verified"),
        Trust.UNVERIFIED: _("not verified: /verify compares words"),
        Trust.INTRODUCED: _("introduced, not verified: /verify compares words"),
        Trust.CHANGED: _("key changed: nothing is sent to this one"),
        Trust.REVOKED: _("key revoked for good: somebody else may have it"),
    }
    return words[trust]
