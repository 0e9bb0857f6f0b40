"""What the commands about people and rooms do."""

from __future__ import annotations

import asyncio

from meshchat.core import events as core
from meshchat.core.identity import private_room_key, public_room_key, room_name
from meshchat.core.model import Contact, Room
from meshchat.errors import UsageError
from meshchat.i18n import _
from meshchat.ui.front import Front


class PeopleDeeds:
    """Commands of the table about people and rooms; part of ``Deeds``."""

    def __init__(self, front: Front) -> None:
        self._front = front

    async def _do(self, wish: core.Command) -> object:
        return await self._front.backend.command(wish)

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
