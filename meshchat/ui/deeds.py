"""What each command of the table does, once, for the screens and for the linear mode."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from meshchat.core import events as core
from meshchat.core.model import ChatId, Contact, Message, Trust
from meshchat.errors import UsageError
from meshchat.i18n import _, ngettext
from meshchat.text import Clean
from meshchat.ui import commands
from meshchat.ui.commands import Command
from meshchat.ui.front import Front
from meshchat.ui.group_deeds import GroupDeeds, membership_words
from meshchat.ui.message_deeds import MessageDeeds
from meshchat.ui.names import Names
from meshchat.ui.people_deeds import PeopleDeeds

LAST_DEFAULT, LAST_MAX = 20, 1_000  # messages shown by /read
WIPE_WORD = "wipe"


class Deeds(MessageDeeds, PeopleDeeds, GroupDeeds):
    """Carries out commands at a front end."""

    def refusal(self, command: Command, rest: str) -> str:
        """Why a command cannot be carried out now, in one sentence; empty: it can."""
        front = self._front
        contact, room = front.names.contact(front.chat), front.names.room(front.chat)
        group = front.names.group(front.chat)
        if rest and not command.takes:
            return _("/{name} takes nothing after it.").format(name=command.name)
        fits = {
            "any": True,
            "chat": bool(front.chat),
            "contact": contact is not None,
            "room": room is not None,
            "request": contact is not None and contact.request,
            "message": bool(front.chat) and front.chosen() is not None,
            "group": group is not None,
            "named": contact is not None or group is not None,
            "joined": room is not None or group is not None,
            "post": room is not None and front.chosen() is not None,
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
    return _("There is no command {word}: /help shows all; // sends a slash.").format(word=word)


def sendable(typed: str) -> str:
    """The message a line stands for: two slashes at its start send one."""
    return typed[1:] if typed.startswith("//") else typed


def key_warning(contact: Contact | None) -> str:
    """What to say when a chat is opened whose key was replaced; empty: nothing."""
    if contact is None or not contact.frozen:
        return ""
    if contact.trust is Trust.REVOKED:
        text = _("{name} revoked this key: nothing is sent here, and nothing here is theirs now.")
        return text.format(name=contact.petname)
    text = _("The key of {name} was replaced. Nothing is sent here; Ctrl+K finds the new one.")
    return text.format(name=contact.petname)


def open_warning(names: Names, chat: ChatId) -> str:
    """What to say when a chat is opened; empty: nothing."""
    group = names.group(chat)
    return membership_words(group) if group is not None else key_warning(names.contact(chat))


def last_messages(front: Front, chat: ChatId, count: int) -> list[Message]:
    """The newest messages of a chat, oldest first."""
    return front.backend.store.messages(chat, limit=count)
