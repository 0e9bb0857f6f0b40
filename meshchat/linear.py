"""The linear mode: a prompt and lines, for screen readers, serial lines, pipes and scripts.

The same table of commands as the screens, the same node, no Textual.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from contextlib import suppress

from meshchat import i18n
from meshchat.config import RuntimeOptions
from meshchat.core import events as core
from meshchat.core.model import Message, State
from meshchat.errors import MeshchatError, TransportError, UsageError
from meshchat.i18n import _, ngettext, said
from meshchat.net.control import ControlServer, open_session
from meshchat.net.runtime import News, Runtime
from meshchat.net.settings import NodeSettings
from meshchat.net.verbs import Session
from meshchat.profile import Profile, wait_after
from meshchat.text import Clean
from meshchat.ui import commands
from meshchat.ui.backend import Backend
from meshchat.ui.deeds import Deeds, sendable, unknown_command
from meshchat.ui.linear_front import LinearFront
from meshchat.ui.reports import notice_words, state_words
from meshchat.ui.signs import check_wish, ended_words

RENAMING = core.ContactChanged | core.RoomChanged | core.GroupChanged

WIPE_WAIT_S = 5.0


class Linear(LinearFront):
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
        super().__init__(backend, own, profile)
        self.wiped = False
        self.failed = False
        """Whether something in a pipe could not be done."""
        self._deeds = Deeds(self)
        self._told: dict[bytes, State] = {}
        self._locked = False
        self._salt = os.urandom(16)
        self._opened = self._mark(passphrase)
        self._wrong = 0  # passphrases in a row
        self._ended = False
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
                try:
                    if self._locked:
                        await self._unlock()
                        continue
                    line = await self._prompt.read(self._words())
                except UsageError as error:  # it may have been a command
                    self._fail(error, closing=not self._prompt.tty)
                    continue
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
        if commands.is_command(text):
            await self._carry_out(text)
            return
        try:
            if not self._chat:
                why = _("Not sent: choose a chat first, with /chat NAME, /add or /join #room.")
                raise UsageError("no_chat_open", why)
            sent = await self._backend.command(core.Send(self._chat, sendable(text)))
            if isinstance(sent, Message):
                self._told[sent.id] = sent.state
        except MeshchatError as error:
            self._fail(error)

    async def _carry_out(self, text: str) -> None:
        """Do what a command says. No line after it may go to a chat it was not meant for.

        So a command that was to open a chat and could not leaves none open. In a pipe, where
        the next lines are written already, any that fails does; what was its answer, perhaps a
        passphrase, is then no message either.
        """
        piped = not self._prompt.tty
        command, rest = commands.parse(text)
        opening = command is not None and command.name in commands.OPENING
        before = self._arrivals
        try:
            if command is None:
                raise UsageError("no_command", unknown_command(text))
            if wrong := self._deeds.refusal(command, rest):
                raise UsageError("not_now", wrong)
            await self._deeds.carry_out(command, rest)
        except MeshchatError as error:
            self._fail(error, closing=piped or opening)
        else:
            if piped and opening and self._arrivals == before:  # nothing new, nobody chosen
                self._close()

    def _fail(self, error: MeshchatError, *, closing: bool = False) -> None:
        self.say(said(error))
        self.failed = not self._prompt.tty
        if closing:
            self._close()

    def _close(self) -> None:
        if self._chat:
            self.close_chat()
            self.say(_("No chat is open now."))

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

    # --- lock, wipe, quit --------------------------------------------------------------------

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


def run_linear(profile: Profile, options: RuntimeOptions, passphrase: str) -> int:
    """Talk line by line until our user or the input ends; returns the exit code.

    Raises:
        StoreError: The profile cannot be opened.
    """
    i18n.choose(options.language)
    with open_session(profile, passphrase, options) as session:
        linear = asyncio.run(_live(session, options, passphrase))
    if linear.wiped:
        profile.wipe(WIPE_WAIT_S)
    return _exit_code(linear)


def _exit_code(linear: Linear) -> int:
    return UsageError.exit_code if linear.failed else 0


async def _live(session: Session, options: RuntimeOptions, passphrase: str) -> Linear:
    """What our user did until the end."""
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
    return linear


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

    async def live() -> Linear:
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
        return linear

    return _exit_code(asyncio.run(live()))
