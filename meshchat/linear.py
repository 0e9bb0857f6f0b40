"""The linear mode: a prompt and lines, for screen readers, serial lines, pipes and scripts.

The same table of commands as the screens, the same node, no Textual.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from meshchat import i18n
from meshchat.core import events as core
from meshchat.core.content import count_reactions, quoted
from meshchat.core.identity import card_text, key_tag, safety_numbers
from meshchat.core.livecheck import REPLY_WAIT_S
from meshchat.core.model import NOTE_REVOCATION, ChatId, Message, State, Trust
from meshchat.errors import MeshchatError, TransportError, UsageError
from meshchat.i18n import _, ngettext, said
from meshchat.net.control import ControlServer, NodeSettings, open_session
from meshchat.net.runtime import News, Runtime
from meshchat.net.verbs import Session
from meshchat.profile import Profile, RuntimeOptions, wait_after
from meshchat.text import Clean
from meshchat.ui import commands, glyphs
from meshchat.ui.backend import Backend
from meshchat.ui.completion import Found, completions, paths
from meshchat.ui.deeds import Deeds, open_warning, sendable, unknown_command
from meshchat.ui.group_deeds import header_words, member_names
from meshchat.ui.names import Names
from meshchat.ui.prompt import Prompt
from meshchat.ui.reports import (
    file_progress,
    mesh_text,
    notice_words,
    radios_text,
    revocation_note,
    silent_words,
    state_words,
)
from meshchat.ui.signs import check_title, check_wish, ended_words, sign_lines

T = TypeVar("T")

RENAMING = core.ContactChanged | core.RoomChanged | core.GroupChanged

WIDTH_CELLS = 72  # lines are not cut to a terminal, so this is only how tables are laid out
BEFORE = 5  # messages shown when a chat is opened, before the new ones
OPENED_MAX = 200  # new ones shown then
CHOICES_MAX = 100
WIPE_WAIT_S = 5.0


class Linear:
    """One person at a prompt. Implements ``front.Front``."""

    def __init__(
        self,
        backend: Backend,
        own: RuntimeOptions,
        profile: Profile | None,
        passphrase: str = "",
    ) -> None:
        """Make it.

        Args:
            backend: What drives the node; running by the time ``run`` is called.
            own: Settings of our user.
            profile: Whose files the node uses; None: there are none.
            passphrase: That opened them, and opens the lock.
        """
        self.names = Names()
        self.glyphs = glyphs.PLAIN if own.glyphs != "unicode" else glyphs.UNICODE
        # lines have no columns to shift: what people write stays as it is unless our user says so
        self._drawn = glyphs.simple_emoji if own.emoji == "simple" else str
        self.wiped = False
        self._backend = backend
        self._profile = profile
        self._options = own
        self._chat: ChatId = b""
        self._deeds = Deeds(self)
        self._prompt = Prompt(self._finish)
        self._check: asyncio.Future[str] | None = None
        self._told: dict[bytes, State] = {}
        self._acts: dict[bytes, tuple[str, str]] = {}  # what was printed of messages here
        self._locked = False
        self._salt = os.urandom(16)
        self._opened = self._mark(passphrase)
        self._wrong = 0  # passphrases in a row
        self._choices = {"mute": ["all", "mentions", "none"]}  # for Tab, in another thread
        self._asks_path = False
        self._ended = False
        self._tasks: set[asyncio.Future[None]] = set()  # kept: the loop holds them weakly
        self._end = backend.subscribe(self._hear)

    def use(self, backend: Backend) -> None:
        """Go on with another node over the same store."""
        self._end()
        self._backend = backend
        self._end = backend.subscribe(self._hear)

    async def run(self) -> None:
        """Ask, do, ask again, until our user ends it or the input does."""
        self.reload()
        self._greet()
        try:
            while not self._ended:
                if self._locked:
                    await self._unlock()
                    continue
                line = await self._prompt.read(self._words())
                if line is None:
                    break
                await self._take(line)
        finally:
            self.close()

    def close(self) -> None:
        """Give the terminal back. May be called again."""
        end, self._end = self._end, lambda: None
        end()
        self._prompt.close()

    def _words(self) -> str:
        name = self._drawn(self.names.of_chat(self._chat)) if self._chat else "meshchat"
        return f"{name}> " if self._prompt.tty else ""

    def _greet(self) -> None:
        new = sum(row.unread for row in self.names.chats)
        chats = len(self.names.chats)
        parts = [
            _("You are {name}.").format(name=self.names.own),
            ngettext("{count} chat,", "{count} chats,", chats).format(count=chats),
            ngettext("{count} new message.", "{count} new messages.", new).format(count=new),
            _("/help says what you can do, /quit ends."),
        ]
        self.say(" ".join(parts))
        if not self.names.everything:
            self.say(_("No chats yet: /card shows your card, /add adds a friend by theirs."))

    async def _take(self, line: str) -> None:
        text = line.strip()
        if not text:
            return
        try:
            if commands.is_command(text):
                command, rest = commands.parse(text)
                if command is None:
                    self.say(unknown_command(text))
                else:
                    await self._deeds.carry_out(command, rest)
            elif not self._chat:
                self.say(_("Choose a chat first: /chat NAME, /add or /join #room."))
            else:
                sent = await self._backend.command(core.Send(self._chat, sendable(text)))
                if isinstance(sent, Message):
                    self._told[sent.id] = sent.state
        except MeshchatError as error:
            self.say(said(error))

    def _finish(self, before: str) -> list[Found]:
        """For Tab, called from the prompt's thread: reads nothing but lists made before."""
        if self._asks_path:
            return paths(0, before)
        return completions(before, self.names, [], self._choices)

    # --- what the node tells -----------------------------------------------------------------

    def _hear(self, news: News) -> None:
        if isinstance(news, core.MessageAdded):
            asyncio.get_running_loop().call_soon(self._show_new, news.message)
        elif isinstance(news, core.MessageChanged):
            self._show_change(news.message)
        elif isinstance(news, RENAMING):
            asyncio.get_running_loop().call_soon(self.reload)
        elif isinstance(news, core.CheckShown | core.CheckEnded):
            self._hear_check(news)
        elif isinstance(news, core.Notice):
            self.say(notice_words(news.code, news.detail))

    def _hear_check(self, news: core.CheckShown | core.CheckEnded) -> None:
        """For ``check_signs``, if it waits; else only said."""
        if self._check is not None and not self._check.done():
            if news.fp == self.chat[1:]:
                self._check.set_result(getattr(news, "reason", ""))
            return
        contact = self.names.contacts.get(news.fp)
        if contact is None or self._locked:
            return
        if isinstance(news, core.CheckShown):
            self.say(check_wish(contact.petname))
        elif news.reason != "same":
            self.say(ended_words(news.reason, contact.petname))

    def _show_new(self, message: Message) -> None:
        self.reload()
        if message.outgoing or self._locked or self._backend.node.is_hidden(message):
            return
        contact = self.names.contact(message.chat)
        if contact is not None and contact.request:
            self.say(_("A stranger has written: /requests"))
            return
        if message.chat == self._chat:
            self._print_message(message)
            self._mark_read(message.seq)
        elif self.names.is_wanted(message):
            self._print_message(message, self.names.of_chat(message.chat))

    def _show_change(self, message: Message) -> None:
        """Tell what became of ours, once for each state; being carried is only told by /info."""
        before = self._told.get(message.id)
        self._show_act(message)
        if not message.outgoing or before is None or before is message.state or self._locked:
            return
        self._told[message.id] = message.state
        if message.state in (State.QUEUED, State.CARRIED):
            return
        text = _("To {name}: {state}: {text}")
        name, words = self.names.of_chat(message.chat), state_words(message)
        self.say(text.format(name=name, state=words, text=Clean.line(message.text, 60)))

    def _show_act(self, message: Message) -> None:
        """Tell of edits and reactions in the open chat."""
        extras = (message.text, self._extras(message) if not message.outgoing else "")
        if message.chat != self._chat or self._locked:
            return
        known = self._acts.get(message.id)
        self._acts[message.id] = extras
        if known is not None and known != extras:
            self._print_message(message)

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
        answer = await self._prompt.read(_("{question} Type yes or no: ").format(question=question))
        return (answer or "").strip().lower() in ("yes", "y", _("yes"), _("yes")[0])

    async def fill(self, title: str, hint: str = "", *, secret: bool = False) -> str | None:
        if hint:
            self.say(hint)
        return await self._prompt.read(f"{title}: ", secret=secret)

    async def pick(self, title: str, rows: Sequence[tuple[Clean, T]]) -> T | None:
        self.say(title)
        for number, (name, _value) in enumerate(rows[:CHOICES_MAX], 1):
            self.say(f"{number}. {name}")
        answer = (await self._prompt.read(_("Number, or nothing: ")) or "").strip()
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
        if fresh:
            self.say(ngettext("{count} new:", "{count} new:", len(fresh)).format(count=len(fresh)))
        for message in fresh:
            self._print_message(message)
        if not shown and not fresh:
            self.say(_("Nothing here yet. Write something and press Enter."))
        if fresh:
            self._mark_read(fresh[-1].seq)

    def open_at(self, message: Message) -> None:
        if message.chat != self._chat:
            self.open(message.chat)
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
        typed = await self._prompt.read(_("Type same or different; nothing: not now: "))
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

    def lock_up(self) -> None:
        if self._profile is None:
            self.say(_("There is no passphrase here."))
            return
        self._locked = True
        self.say(_("Locked. What was printed before stays on the terminal: clear it there."))

    def _mark(self, passphrase: str) -> bytes:
        """Stands for a passphrase in memory, where the store's own key is as well."""
        return hashlib.blake2b(passphrase.encode("utf-8", "replace"), key=self._salt).digest()

    async def _unlock(self) -> None:
        """The next line is the passphrase of the start, or it stays locked."""
        typed = await self._prompt.read(_("Passphrase: "), secret=True)
        if typed is None:
            self._ended = True
            return
        if hmac.compare_digest(self._mark(typed), self._opened):
            self._locked = False
            self._wrong = 0
            return
        self._wrong += 1
        await asyncio.sleep(wait_after(self._wrong))
        self.say(_("The passphrase is wrong. Try again."))

    async def wipe(self) -> None:
        if self._profile is not None:
            from meshchat import keyfile

            await asyncio.to_thread(keyfile.destroy, self._profile.key_path)
            self.wiped = True
        self._ended = True

    async def quit(self) -> None:
        self._ended = True


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


def run_linear(profile: Profile, options: RuntimeOptions, passphrase: str) -> int:
    """Talk line by line until our user or the input ends; returns the exit code.

    Raises:
        StoreError: The profile cannot be opened.
    """
    i18n.choose(options.language)
    wiped = False
    with open_session(profile, passphrase, options) as session:
        wiped = asyncio.run(_live(session, options, passphrase))
    if wiped:
        profile.wipe(WIPE_WAIT_S)
    return 0


async def _live(session: Session, options: RuntimeOptions, passphrase: str) -> bool:
    """True if our user destroyed the profile."""
    linear = Linear(session.runtime, options, session.profile, passphrase)
    talk = asyncio.ensure_future(linear.run())
    try:
        try:
            await _drive(session, talk)
        except TransportError as error:  # go on reading and writing without it
            linear.say(_("No network: {why}").format(why=said(error)))
            store = session.runtime.store
            alone = Runtime(store, NodeSettings.of(options).builder(store))
            linear.use(alone)
            await _drive(Session(alone, session.profile, serving=True), talk)
    finally:
        linear.close()
        talk.cancel()
        with suppress(asyncio.CancelledError):
            await talk
    return linear.wiped


async def _drive(session: Session, talk: asyncio.Future[None]) -> None:
    """Run a node for as long as our user talks, or until it is told to end."""
    runtime = session.runtime
    talk.add_done_callback(lambda _done: runtime.stop())
    if talk.done():
        return
    runtime.stop_on_signals()
    await runtime.run(ControlServer(session).run)


def run_linear_demo(speed: float, seed: int) -> int:
    """Talk line by line as Sasha in a small simulated town; returns the exit code.

    Raises:
        UsageError: The speed is impossible.
    """
    from meshchat.ui.simulation import DEMO_GREETING, demo_runtime

    i18n.choose()
    runtime, first = demo_runtime(speed, seed)

    async def live() -> None:
        linear = Linear(runtime, RuntimeOptions(), None)
        time = asyncio.ensure_future(runtime.run())
        linear.reload()
        linear.say(_(DEMO_GREETING))
        linear.open(first)
        try:
            await linear.run()
        finally:
            runtime.stop()
            await time

    asyncio.run(live())
    return 0
