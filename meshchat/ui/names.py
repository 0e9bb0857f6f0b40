"""Who and what there is to talk to, as the screens and the linear mode call it.

A copy of the store's lists of people, rooms and chats, read again when told to.
"""

import re

from meshchat.core.identity import key_tag, name_skeleton
from meshchat.core.model import ChatId, ChatSummary, Contact, Message, Room
from meshchat.core.ports import Store
from meshchat.i18n import _
from meshchat.text import Clean
from meshchat.ui import fuzzy

MENTIONS_READ_MAX = 200  # new messages of one chat that are looked through for our name


class Names:
    """Everybody we know, by name."""

    def __init__(self) -> None:
        self.contacts: dict[bytes, Contact] = {}
        self.rooms: dict[bytes, Room] = {}
        self.chats: list[ChatSummary] = []
        """Newest first, without requests."""
        self.requests: list[ChatSummary] = []
        self.own = Clean()
        self._mentions: dict[tuple[ChatId, int, int], bool] = {}

    def load(self, store: Store, own: Clean) -> None:
        """Read everything again."""
        self.own = own
        self.contacts = {contact.fp: contact for contact in store.contacts()}
        self.rooms = {room.rid: room for room in store.rooms()}
        summaries = store.chats()
        asking = {b"c" + c.fp for c in self.contacts.values() if c.request}
        self.chats = [s for s in summaries if s.chat not in asking]
        self.requests = [s for s in summaries if s.chat in asking]
        before, self._mentions = self._mentions, {}
        for row in self.chats:
            if row.unread and row.last is not None:
                key = (row.chat, row.read_seq, row.last.seq)
                known = before.get(key)
                self._mentions[key] = self._look(store, row) if known is None else known

    def _look(self, store: Store, row: ChatSummary) -> bool:
        fresh = store.messages(row.chat, after=row.read_seq, limit=MENTIONS_READ_MAX)
        return any(self.mentions_us(message) for message in fresh)

    @property
    def everything(self) -> list[ChatSummary]:
        """Chats, then requests."""
        return self.chats + self.requests

    def summary(self, chat: ChatId) -> ChatSummary | None:
        return next((s for s in self.everything if s.chat == chat), None)

    def contact(self, chat: ChatId) -> Contact | None:
        return self.contacts.get(chat[1:]) if chat[:1] == b"c" else None

    def room(self, chat: ChatId) -> Room | None:
        return self.rooms.get(chat[1:]) if chat[:1] == b"r" else None

    def of_chat(self, chat: ChatId) -> Clean:
        """What a chat is called."""
        if (contact := self.contact(chat)) is not None:
            return contact.petname
        room = self.room(chat)
        return Clean.line(f"#{room.name}") if room else Clean(_("(gone)"))

    def of_author(self, message: Message) -> Clean:
        """Who wrote a message."""
        if message.outgoing:
            return Clean(_("you"))
        contact = self.contacts.get(message.author)
        name = contact.petname if contact is not None else message.author_name
        if contact is None or name.casefold() in ("you", _("you")):  # only we are that, untagged
            return Clean.line(f"{name[:9] or _('someone')}~{key_tag(message.author)}")
        return name

    def mentions_us(self, message: Message) -> bool:
        """Whether ``@`` and our name stand in it."""
        if message.outgoing or not self.own or "@" not in message.text:
            return False
        wanted = re.escape(self.own.casefold())
        return re.search(rf"@{wanted}(?!\w)", message.text.casefold()) is not None

    def mentioned(self, row: ChatSummary) -> bool:
        """Whether something new in a chat mentions us."""
        return row.last is not None and self._mentions.get(
            (row.chat, row.read_seq, row.last.seq), False
        )

    def is_quiet(self, row: ChatSummary) -> bool:  # noqa: ARG002
        """Whether our user does not want to be told of what is new in a chat."""
        return False

    def is_wanted(self, message: Message) -> bool:
        """Whether our user wants to hear of a message that came."""
        row = next((row for row in self.chats if row.chat == message.chat), None)
        contact = self.contact(message.chat)
        known = message.chat[:1] != b"c" or (contact is not None and not contact.request)
        return known and (row is None or not self.is_quiet(row) or self.mentions_us(message))

    def unread_first(self) -> list[ChatSummary]:
        """For the switcher: what is new first, then as in the list."""
        return sorted(self.everything, key=lambda row: not row.unread)

    def find(self, typed: str) -> list[ChatId]:
        """Chats whose name fits what was typed, best first; an exact name alone."""
        rows = self.unread_first()
        names = [self.of_chat(row.chat) for row in rows]
        wanted = typed.strip().casefold()
        exact = [r.chat for r, n in zip(rows, names, strict=True) if n.casefold() == wanted]
        if exact:
            return exact
        return [rows[at].chat for at in fuzzy.rank(typed, [str(name) for name in names])]

    def person(self, typed: str) -> Contact | None:
        """A contact by exact name, or by one that looks the same."""
        wanted = typed.strip().removeprefix("@")
        for same in (str.casefold, name_skeleton):
            for contact in self.contacts.values():
                if same(contact.petname) == same(wanted):
                    return contact
        return None
