"""What the commands about people and rooms do."""

from __future__ import annotations

import asyncio

from meshchat.core import events as core
from meshchat.core.identity import private_room_key, public_room_key, room_name
from meshchat.core.model import Contact, Mark, Message, Room
from meshchat.errors import UsageError
from meshchat.i18n import _, ngettext
from meshchat.ui.commands import WHERE
from meshchat.ui.front import Front

REVOKE_WORD = "revoke"
POSTS_LOOKED = 50  # newest ones among which the last of somebody else is looked for
HIDE = ("post", "author", "block", "everyone")


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

    async def do_check(self, _rest: str) -> None:
        await self._front.check_signs()

    async def do_rename(self, rest: str) -> None:
        chat = self._front.chat
        group = self._front.names.group(chat)
        await self._do(core.RenameGroup(chat[1:], rest) if group else core.Rename(chat[1:], rest))

    async def do_silent(self, rest: str) -> None:
        contact = self._front.names.contacts[self._front.chat[1:]]
        days = contact.silent_days
        if rest:
            if rest != "off" and not (rest.isascii() and rest.isdigit()):
                raise UsageError("bad_number", _("How many days? A number, or off."))
            days = 0 if rest == "off" else int(rest)
            await self._do(core.WatchSilence(contact.fp, days))
        text = ngettext(
            "You are told when nothing was heard of {name} for {count} day.",
            "You are told when nothing was heard of {name} for {count} days.",
            days,
        )
        said = text.format(name=contact.petname, count=days)
        self._front.say(said if days else _("You are not told when this contact falls silent."))

    async def do_revocation(self, rest: str) -> None:
        if not rest:
            self._front.reading(_("Revocation"), self._revocation_text())
        elif rest == "give":
            await self._give_revocation()
        elif rest == "release":
            await self._release(self._open_contact())
        elif rest == "own":
            await self._release(None)
        else:
            raise UsageError("bad_choice", _("Say give, release or own."))

    def _open_contact(self) -> Contact:
        contact = self._front.names.contact(self._front.chat)
        if contact is None:
            raise UsageError("no_contact", _(WHERE["contact"]))
        return contact

    def _revocation_text(self) -> str:
        names, node = self._front.names, self._front.backend.node
        kept = [names.contacts[fp].petname for fp in node.revocations_kept()]
        return "\n\n".join(
            (
                _("A revocation is a signed word that ends a key for good, for all contacts."),
                _("/revocation give  here: this friend keeps yours, and can release it alone."),
                _("/revocation release  here: this contact lost the device or was taken."),
                _("/revocation own  ends your own key, if somebody else may have it."),
                _("You keep those of: {names}").format(names=", ".join(kept) or _("nobody")),
            )
        )

    async def _give_revocation(self) -> None:
        contact = self._open_contact()
        question = _("Give {name} your revocation? They can end your key with it, alone, for good.")
        if await self._front.ask(question.format(name=contact.petname)):
            await self._do(core.GiveRevocation(contact.fp))
            self._front.say(_("On its way. Two or three friends should keep it."))

    async def _release(self, contact: Contact | None) -> None:
        node, front = self._front.backend.node, self._front
        if contact is not None and contact.fp not in node.revocations_kept():
            text = _("{name} has given you no revocation to keep.")
            raise UsageError("no_revocation", text.format(name=contact.petname))
        whose = contact.petname if contact is not None else _("yourself")
        hint = _('This ends the key of {name} for all contacts, for good. Type "{word}" to do it.')
        typed = await front.fill(
            _("Release the revocation"), hint.format(name=whose, word=REVOKE_WORD)
        )
        if typed is None or typed.strip().lower() != REVOKE_WORD:
            front.say(_("Nothing was changed."))
            return
        await self._do(core.ReleaseRevocation(contact.fp if contact is not None else node.fp))
        front.say(_("Released: it is on its way to all their contacts."))

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
            gid = self._front.names.group(self._front.chat) is not None
            leave = core.LeaveGroup if gid else core.LeaveRoom
            await self._do(leave(self._front.chat[1:]))
            self._front.close_chat()

    def _post(self) -> Message:
        """The chosen post of somebody else, or the last one."""
        front = self._front
        message = front.chosen() if front.is_choosing else None
        if message is None:
            found = front.backend.store.messages(front.chat, limit=POSTS_LOOKED)
            message = next((m for m in reversed(found) if not m.outgoing), None)
        if message is None or message.outgoing:
            raise UsageError("no_post", _(WHERE["post"]))
        return message

    async def do_hide(self, rest: str) -> None:
        words = rest.split() or ["post"]
        if any(word not in HIDE for word in words) or {"block", "everyone"} <= set(words):
            raise UsageError("bad_choice", _("Say post, author or block; or post everyone."))
        message, publish = self._post(), "everyone" in words
        whom = self._front.names.of_author(message)
        person = "author" in words or "block" in words
        mark = Mark.BLOCKED if "block" in words else Mark.HIDDEN
        if person and not await self._front.ask(
            _("Hide all that {name} writes in this room?").format(name=whom)
        ):
            return
        target = message.author if person else message.id
        await self._do(core.MarkInRoom(message.chat[1:], target, mark, publish))
        self._front.say(
            _("Hidden, also for those who hold you for a moderator. /show takes it back.")
            if publish
            else _("Hidden here, for you only. /show takes it back.")
        )

    async def do_show(self, rest: str) -> None:
        if rest not in ("", "post", "author"):
            raise UsageError("bad_choice", _("Say post or author."))
        message, node = self._post(), self._front.backend.node
        rid = message.chat[1:]
        wrong = node.room_mark(rid, message.author) in (Mark.HIDDEN, Mark.BLOCKED)
        person = rest == "author" or (not rest and wrong)
        await self._do(core.MarkInRoom(rid, message.author if person else message.id, Mark.SHOWN))
        self._front.say(_("Shown again."))

    async def do_moderator(self, _rest: str) -> None:
        message, node = self._post(), self._front.backend.node
        rid, name = message.chat[1:], self._front.names.of_author(message)
        if node.room_mark(rid, message.author) is Mark.MODERATOR:
            await self._do(core.MarkInRoom(rid, message.author, Mark.SHOWN))
            self._front.say(_("{name} is no moderator for you any more.").format(name=name))
        elif await self._front.ask(
            _("Hide here what {name} hides? Nothing is deleted.").format(name=name)
        ):
            await self._do(core.MarkInRoom(rid, message.author, Mark.MODERATOR))
            self._front.say(_("{name} is a moderator for you.").format(name=name))
