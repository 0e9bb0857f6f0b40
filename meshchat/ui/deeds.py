"""What each command of the table does, once, for the screens and for the linear mode."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from meshchat.core import events as core
from meshchat.core.identity import private_room_key, public_room_key, room_name
from meshchat.core.model import ChatId, Contact, Message, Room, Trust
from meshchat.errors import UsageError
from meshchat.i18n import _, ngettext
from meshchat.text import Clean
from meshchat.ui import commands
from meshchat.ui.commands import Command
from meshchat.ui.front import Front
from meshchat.ui.reports import journey_text

FILE_READ_MAX_BYTES = 4 * 1024 * 1024  # the node refuses over 2 MiB and says so; never read more
LAST_DEFAULT, LAST_MAX = 20, 1_000  # messages shown by /read
WIPE_WORD = "wipe"


class Deeds:
    """Carries out commands at a front end."""

    def __init__(self, front: Front) -> None:
        self._front = front

    def refusal(self, command: Command, rest: str) -> str:
        """Why a command cannot be carried out now, in one sentence; empty: it can."""
        front = self._front
        contact, room = front.names.contact(front.chat), front.names.room(front.chat)
        if rest and not command.takes:
            return _("/{name} takes nothing after it.").format(name=command.name)
        fits = {
            "any": True,
            "chat": bool(front.chat),
            "contact": contact is not None,
            "room": room is not None,
            "request": contact is not None and contact.request,
            "message": bool(front.chat) and front.chosen() is not None,
        }
        if not fits[command.where]:
            return _(commands.WHERE[command.where])
        if not rest and command.needs_words:
            return _("Say more: {usage}").format(usage=command.usage)
        return ""

    async def carry_out(self, command: Command, rest: str) -> None:
        """Do what was asked, or say why not. Raises ``MeshchatError``."""
        if wrong := self.refusal(command, rest):
            self._front.say(wrong)
            return
        method: Callable[[str], Awaitable[None]] = getattr(self, command.method)
        await method(rest)

    async def _do(self, wish: core.Command) -> object:
        return await self._front.backend.command(wish)

    # --- finding the way ---------------------------------------------------------------------

    async def do_help(self, rest: str) -> None:
        if rest:
            command, _rest = commands.parse("/" + rest.removeprefix("/"))
            if command is None:
                raise UsageError("no_command", _("There is no command of that name."))
            self._front.reading(_("Help"), commands.command_help(command))
        else:
            self._front.show_help("")

    async def do_keys(self, _rest: str) -> None:
        self._front.show_help("keys")

    async def do_palette(self, _rest: str) -> None:
        self._front.palette()

    async def do_chat(self, rest: str) -> None:
        names = self._front.names
        if rest:
            found = names.find(rest)
            if not found:
                raise UsageError("no_chat", _("No chat has a name like that."))
            self._front.open(found[0])
            return
        rows = [
            (
                Clean.line(
                    ngettext("{name}  {count} new", "{name}  {count} new", row.unread).format(
                        name=names.of_chat(row.chat), count=row.unread
                    )
                    if row.unread
                    else names.of_chat(row.chat),
                    80,
                ),
                row.chat,
            )
            for row in names.unread_first()
        ]
        chat = await self._front.pick(_("Go to chat"), rows)
        if chat:
            self._front.open(chat)

    async def do_chats(self, _rest: str) -> None:
        self._front.list_chats()

    async def do_next(self, _rest: str) -> None:
        self._step(1)

    async def do_previous(self, _rest: str) -> None:
        self._step(-1)

    def _step(self, step: int) -> None:
        chats = [row.chat for row in self._front.names.everything]
        if chats:
            at = chats.index(self._front.chat) if self._front.chat in chats else -step
            self._front.open(chats[(at + step) % len(chats)])

    async def do_unread(self, _rest: str) -> None:
        rows = self._front.names.everything
        fresh = [row.chat for row in rows if row.unread and row.chat != self._front.chat]
        if fresh:
            self._front.open(fresh[0])
        else:
            self._front.say(_("Nothing new anywhere else."))

    async def do_requests(self, _rest: str) -> None:
        names = self._front.names
        rows = [(names.of_chat(row.chat), row.chat) for row in names.requests]
        if not rows:
            self._front.say(_("No stranger has written to you."))
            return
        chat = await self._front.pick(_("Strangers who wrote to you"), rows)
        if chat:
            self._front.open(chat)

    async def do_read(self, rest: str) -> None:
        if (rest and not rest.isascii()) or (rest and not rest.isdigit()):
            raise UsageError("bad_number", _("How many? A number such as 20."))
        self._front.show_last(min(int(rest or LAST_DEFAULT), LAST_MAX))

    # --- messages ----------------------------------------------------------------------------

    def _chosen(self, rest: str = "") -> Message:
        number = int(rest) if rest.isascii() and rest.isdigit() else 0
        message = self._front.chosen(number)
        if message is None:
            raise UsageError("no_message", _("There is no such message here."))
        return message

    async def do_find(self, rest: str) -> None:
        self._front.find(rest)

    async def do_search(self, rest: str) -> None:
        await self._search(rest)

    async def do_info(self, rest: str) -> None:
        front = self._front
        message = self._chosen(rest)
        fresh = front.backend.store.message(message.id) or message
        text = journey_text(
            fresh,
            front.backend.store.journey(message.id),
            front.glyphs,
            front.backend.now().wall,
            front.width,
            front.names.of_author(fresh),
        )
        front.reading(_("Journey of the message"), text)

    async def do_copy(self, _rest: str) -> None:
        self._front.copy(self._chosen().text)

    async def do_file(self, rest: str) -> None:
        name, data = await asyncio.to_thread(_read_file, rest)
        await self._do(core.SendFile(self._front.chat, name, data))
        self._front.say("")

    async def do_save(self, rest: str) -> None:
        message = self._chosen()
        data = self._front.backend.store.file(message.id)
        if data is None:
            raise UsageError("no_file", _("There is no whole file in this message."))
        name = rest or await self._front.fill(_("Save the file as"), message.text)
        if name:
            path = await asyncio.to_thread(save_new, name, data)
            self._front.say(_("Saved as {path}").format(path=path))

    # --- people ------------------------------------------------------------------------------

    async def do_card(self, _rest: str) -> None:
        self._front.show_card(self._front.backend.node.card_text(), _("Your card"))

    async def do_add(self, rest: str) -> None:
        await self._front.add_contact(rest)

    async def do_contact(self, _rest: str) -> None:
        await self._front.show_contact()

    async def do_verify(self, _rest: str) -> None:
        await self._front.show_contact()

    async def do_rename(self, rest: str) -> None:
        await self._do(core.Rename(self._front.chat[1:], rest))

    def _person(self, name: str) -> Contact:
        found = self._front.names.person(name)
        if found is None:
            raise UsageError("unknown_contact", _("You know nobody of that name."))
        return found

    async def do_introduce(self, rest: str) -> None:
        one, other = self._front.names.contacts[self._front.chat[1:]], self._person(rest)
        if one.fp == other.fp:
            raise UsageError("same_contact", _("Name somebody else to introduce."))
        question = _("Send {one} the card of {other}, and {other} the card of {one}?")
        if await self._front.ask(question.format(one=one.petname, other=other.petname)):
            await self._do(core.Introduce(one.fp, other.fp))

    async def do_accept(self, rest: str) -> None:
        await self._do(core.Accept(self._front.chat[1:], rest))
        self._front.say(_("Accepted: you can write to each other now."))

    async def do_block(self, _rest: str) -> None:
        contact = self._front.names.contacts[self._front.chat[1:]]
        question = _("Hear nothing more from {name}?").format(name=contact.petname)
        if await self._front.ask(question):
            await self._do(core.Block(contact.fp))
            self._front.close_chat()

    async def do_unblock(self, rest: str) -> None:
        contact = self._person(rest)
        if not contact.blocked:
            raise UsageError("not_blocked", _("Nobody of that name is blocked."))
        await self._do(core.Block(contact.fp, blocked=False))
        self._front.say(_("Unblocked."))

    # --- rooms -------------------------------------------------------------------------------

    async def do_join(self, rest: str) -> None:
        name = room_name(rest)
        await self._join(name, public_room_key(name), private=False)

    async def do_private(self, rest: str) -> None:
        name = room_name(rest)
        passphrase = await self._front.fill(
            _("Passphrase of #{name}").format(name=name),
            _("All who use the same words are in the room; whoever learns them reads it."),
            secret=True,
        )
        if passphrase:
            self._front.say(_("One moment…"))
            key = await asyncio.to_thread(private_room_key, name, passphrase)
            await self._join(name, key, private=True)

    async def _join(self, name: str, key: bytes, *, private: bool) -> None:
        joined = await self._do(core.JoinRoom(name, key, private))
        assert isinstance(joined, Room)
        self._front.reload()
        self._front.open(b"r" + joined.rid)

    async def do_leave(self, _rest: str) -> None:
        name = self._front.names.of_chat(self._front.chat)
        if await self._front.ask(_("Leave {name}?").format(name=name)):
            await self._do(core.LeaveRoom(self._front.chat[1:]))
            self._front.close_chat()

    # --- the mesh and this client ------------------------------------------------------------

    async def do_mesh(self, _rest: str) -> None:
        self._front.show_mesh()

    async def do_radios(self, _rest: str) -> None:
        self._front.show_radios()

    async def do_name(self, rest: str) -> None:
        if rest:
            await self._do(core.SetName(rest))
            self._front.reload()
        name = self._front.backend.node.status(self._front.backend.now()).name
        self._front.say(_("You call yourself {name}.").format(name=name))

    async def do_theme(self, rest: str) -> None:
        self._front.theme(rest)

    async def do_lock(self, _rest: str) -> None:
        self._front.lock_up()

    async def do_wipe(self, _rest: str) -> None:
        hint = _('This destroys your keys and all messages here. Type "{word}" to do it.')
        typed = await self._front.fill(_("Destroy this profile"), hint.format(word=WIPE_WORD))
        if typed is not None and typed.strip().lower() == WIPE_WORD:
            await self._front.wipe()
        else:
            self._front.say(_("Nothing was destroyed."))

    async def do_quit(self, _rest: str) -> None:
        await self._front.quit()


def unknown_command(typed: str) -> str:
    """What to say about a slash and a word that is no command."""
    word = Clean.line(typed.split()[0], 30)
    return _("There is no command {word}: F1 shows all; // sends a slash.").format(word=word)


def sendable(typed: str) -> str:
    """The message a line stands for: two slashes at its start send one."""
    return typed[1:] if typed.startswith("//") else typed


def key_warning(contact: Contact | None) -> str:
    """What to say when a chat is opened whose key was replaced; empty: nothing."""
    if contact is None or contact.trust is not Trust.CHANGED:
        return ""
    text = _("The key of {name} was replaced. Nothing is sent here; Ctrl+K finds the new one.")
    return text.format(name=contact.petname)


def last_messages(front: Front, chat: ChatId, count: int) -> list[Message]:
    """The newest messages of a chat, oldest first."""
    return front.backend.store.messages(chat, limit=count)


def save_new(name: str, data: bytes) -> Clean:
    """Write a new file; returns its path.

    Raises:
        UsageError: It cannot be written, or is there already.
    """
    path = Path(name).expanduser().absolute()
    try:
        with path.open("xb") as file:
            file.write(data)
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or _("no such name is possible")
        text = _("Cannot write {name}: {why}.").format(name=Clean.line(name), why=why)
        raise UsageError("cannot_save", text) from error
    return Clean.line(str(path), 200)


def _read_file(name: str) -> tuple[str, bytes]:
    """Name without its folder, and what is in it."""
    try:
        path = Path(name).expanduser()
        with path.open("rb") as file:
            return path.name, file.read(FILE_READ_MAX_BYTES)
    except (OSError, ValueError, RuntimeError) as error:
        why = getattr(error, "strerror", None) or _("no such name is possible")
        text = _("Cannot read {name}: {why}.").format(name=Clean.line(name, 100), why=why)
        raise UsageError("cannot_read", text) from error
