"""What the commands about messages and about one chat do."""

from __future__ import annotations

import asyncio
from datetime import datetime

from meshchat.core import events as core
from meshchat.core.model import NOTE_FILE, Message, Notify
from meshchat.errors import UsageError
from meshchat.i18n import N_, _, ngettext
from meshchat.text import Clean
from meshchat.ui.files import folder_named, read_file
from meshchat.ui.front import Front
from meshchat.ui.reports import file_progress, journey_text, span

LAST_LOOKED = 50  # newest messages among which the last of theirs or of ours is looked for
SEARCH_MAX = 200  # hits shown; further words narrow it
TAKE_BACK, OTHER = "-", "…"
REACTIONS = (
    *(("👍", N_("yes")), ("👎", N_("no")), ("❤️", N_("love")), ("😂", N_("funny"))),
    *(("😮", N_("surprised")), ("😢", N_("sad")), ("🙏", N_("thanks"))),
)
_UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}


class MessageDeeds:
    """Commands of the table about messages; part of ``Deeds``."""

    def __init__(self, front: Front) -> None:
        self._front = front

    async def _do(self, wish: core.Command) -> object:
        return await self._front.backend.command(wish)

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
        front = self._front
        found = front.backend.store.search(rest, limit=SEARCH_MAX)
        found = [m for m in found if not front.backend.node.is_hidden(m)]
        if not found:
            front.say(_("Nothing was found: every word must begin a word of the message."))
            return
        rows = [(found_line(front, message), message) for message in found]
        message = await front.pick(_("Found, newest first"), rows)
        if message is not None:
            front.open_at(message)

    async def do_reply(self, rest: str) -> None:
        message = self._about(incoming=True)
        if rest:
            await self._do(core.Send(self._front.chat, rest, reply_to=message.id))
        else:
            self._front.begin_reply(message)

    async def do_react(self, rest: str) -> None:
        message = self._about(incoming=True)
        if not rest:
            rows = [(Clean(f"{sign}  {_(name)}"), sign) for sign, name in REACTIONS]
            rows += [(Clean(_("another…")), OTHER), (Clean(_("take back")), TAKE_BACK)]
            rest = await self._front.pick(_("React with"), rows) or ""
            if rest == OTHER:
                rest = await self._pick_emoji() or ""
        if rest:
            await self._do(core.React(message.id, "" if rest == TAKE_BACK else emoji_of(rest)))

    async def do_edit(self, rest: str) -> None:
        message = self._about(incoming=False)
        if rest:
            await self._do(core.Edit(message.id, rest))
        else:
            self._front.begin_edit(message)

    def _about(self, *, incoming: bool) -> Message:
        """The chosen message; else the last one of theirs, or of ours."""
        if self._front.is_choosing:
            return self._chosen()
        found = self._front.backend.store.messages(self._front.chat, limit=LAST_LOOKED)
        fitting = [message for message in found if message.outgoing is not incoming]
        if not fitting:
            raise UsageError("no_message", _("There is no such message here."))
        return fitting[-1]

    async def do_delete(self, _rest: str) -> None:
        message = self._chosen()
        text = _("Delete this message here, for you only? “{text}”")
        if await self._front.ask(text.format(text=Clean.line(message.text, 60))):
            await self._do(core.Delete(message.id))

    async def do_retract(self, _rest: str) -> None:
        message = self._chosen()
        text = _("Ask the others to delete this too? They can refuse. “{text}”")
        if await self._front.ask(text.format(text=Clean.line(message.text, 60))):
            await self._do(core.Retract(message.id))

    # --- this chat ---------------------------------------------------------------------------

    async def do_mute(self, rest: str) -> None:
        words = {
            Notify.ALL: _("This chat rings for all that is new."),
            Notify.MENTIONS: _("This chat rings only when you are mentioned."),
            Notify.NONE: _("This chat does not ring."),
        }
        now = self._front.backend.store.chat_options(self._front.chat).notify
        if rest and rest not in list(Notify):
            raise UsageError("bad_choice", _("Say all, mentions or none."))
        wanted = Notify(rest) if rest else (Notify.ALL if now is Notify.NONE else Notify.NONE)
        await self._do(core.SetChat(self._front.chat, notify=wanted))
        self._front.say(words[wanted])

    async def do_pin(self, _rest: str) -> None:
        pinned = not self._front.backend.store.chat_options(self._front.chat).pinned
        await self._do(core.SetChat(self._front.chat, pinned=pinned))
        self._front.say(_("Pinned on top.") if pinned else _("Not pinned any more."))

    async def do_archive(self, _rest: str) -> None:
        archived = not self._front.backend.store.chat_options(self._front.chat).archived
        await self._do(core.SetChat(self._front.chat, archived=archived))
        self._front.say(_("Put to the end of the list.") if archived else _("Back in the list."))

    async def do_disappear(self, rest: str) -> None:
        if not rest:
            seconds = self._front.backend.store.chat_options(self._front.chat).timer_s
        else:
            seconds = seconds_of(rest)
            await self._do(core.SetTimer(self._front.chat, seconds))
        self._front.say(timer_words(seconds))

    async def do_retain(self, rest: str) -> None:
        if not rest:
            days = self._front.backend.store.chat_options(self._front.chat).keep_days
        else:
            if rest != "off" and not (rest.isascii() and rest.isdigit()):
                raise UsageError("bad_number", _("How many days? A number, or off."))
            days = 0 if rest == "off" else int(rest)
            await self._do(core.SetChat(self._front.chat, keep_days=days))
        text = ngettext(
            "Messages here are destroyed after {count} day.",
            "Messages here are destroyed after {count} days.",
            days,
        )
        self._front.say(text.format(count=days) if days else _("Messages here stay."))

    async def do_receipts(self, rest: str) -> None:
        if rest:
            await self._do(core.SetPrivacy(read_receipts=_switch(rest)))
        on = self._front.backend.node.privacy.read_receipts
        said = _("Others learn when you have read their messages, and you when they have.")
        self._front.say(said if on else _("Nobody learns when you read."))

    async def do_typing(self, rest: str) -> None:
        if rest:
            await self._do(core.SetPrivacy(typing=_switch(rest)))
        on = self._front.backend.node.privacy.typing
        said = _("Contacts in direct reach see that you are writing.")
        self._front.say(said if on else _("Nobody sees that you are writing."))

    async def do_info(self, rest: str) -> None:
        front = self._front
        message = self._chosen(rest)
        fresh = front.backend.store.message(message.id) or message
        text = journey_text(
            fresh,
            front.backend.store.journey(message.id),
            front.backend.store.versions(message.id),
            front.glyphs,
            front.backend.now().wall,
            front.width,
            front.names.of_author(fresh),
            file_progress(front.backend.store, fresh),
        )
        front.reading(_("Journey of the message"), text)

    async def do_copy(self, _rest: str) -> None:
        self._front.copy(self._chosen().text)

    async def do_file(self, rest: str) -> None:
        path = rest or await self._front.choose_file(_("A file to send"))
        if not path:
            return
        name, data = await asyncio.to_thread(read_file, path)
        await self._do(core.SendFile(self._front.chat, name, data))
        self._front.say("")

    async def do_save(self, rest: str) -> None:
        """Under a name of ours: what a stranger calls a file never reaches the disk."""
        from meshchat.downloads import save
        from meshchat.net.verbs.files import whole_file

        name, data = whole_file(self._front.backend.store, self._with_file())
        folder = folder_named(rest) if rest else self._front.downloads()
        path = await asyncio.to_thread(save, name, data, folder)
        self._front.say(_("Saved as {path}").format(path=Clean.line(str(path), 200)))

    def _with_file(self) -> Message:
        """The chosen message; else the last one that brought a file."""
        if self._front.is_choosing:
            return self._chosen()
        found = self._front.backend.store.messages(self._front.chat, limit=LAST_LOOKED)
        files = [m for m in found if m.note == NOTE_FILE and not m.outgoing]
        if not files:
            raise UsageError("no_file", _("No file has come here lately."))
        return files[-1]

    async def do_emoji(self, rest: str) -> None:
        sign = emoji_of(f":{rest.strip(':')}:") if rest else ""
        if not sign or sign.startswith(":"):
            sign = await self._pick_emoji() or ""
        if sign:
            self._front.write(sign)

    async def _pick_emoji(self) -> str | None:
        from rich._emoji_codes import EMOJI  # 3,600 names, loaded when somebody asks

        names = sorted(EMOJI, key=lambda name: (len(name), name))
        rows = [(Clean(f"{EMOJI[name]}  {name.replace('_', ' ')}"), EMOJI[name]) for name in names]
        return await self._front.pick(_("Which emoji?"), rows)


def found_line(front: Front, message: Message) -> Clean:
    """A hit of a search in one line."""
    names = front.names
    where, who = names.of_chat(message.chat), names.of_author(message)
    day = f"{datetime.fromtimestamp(message.received_at):%d.%m.%y}"
    return Clean.line(f"{day} {where} · {who}: {message.text}", 200)


def emoji_of(typed: str) -> str:
    """An emoji, or the one that ``:name:`` stands for."""
    if typed.startswith(":") and typed.endswith(":") and len(typed) > 2:
        from rich._emoji_codes import EMOJI

        return EMOJI.get(typed[1:-1].lower(), typed)
    return typed


def seconds_of(typed: str) -> int:
    """A time such as ``30s``, ``5m``, ``8h``, ``1d`` or ``off``.

    Raises:
        UsageError: It is none.
    """
    if typed == "off":
        return 0
    number, unit = typed[:-1].strip(), typed[-1:].lower()
    if unit not in _UNITS_S or not (number.isascii() and number.isdigit()):
        raise UsageError("bad_time", _("A time is 30s, 5m, 8h, 1d or 2w; or off."))
    return int(number) * _UNITS_S[unit]


def timer_words(seconds: int) -> str:
    """What a timer of a chat means."""
    if not seconds:
        return _("New messages do not disappear.")
    return _("New messages disappear {span} after being read.").format(span=span(seconds))


def _switch(typed: str) -> bool:
    if typed not in ("on", "off"):
        raise UsageError("bad_switch", _("Say on or off."))
    return typed == "on"
