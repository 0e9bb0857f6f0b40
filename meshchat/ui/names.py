"""Who and what there is to talk to, as the screens and the linear mode call it.

A copy of the store's lists of people, rooms and chats, read again when told to.
"""

from meshchat.core.epochs import MEMBER_FP_BYTES
from meshchat.core.identity import key_tag, name_skeleton
from meshchat.core.model import ChatId, ChatSummary, Contact, Group, Message, Notify, Room
from meshchat.core.ports import Store
from meshchat.errors import UsageError
from meshchat.i18n import _
from meshchat.text import Clean
from meshchat.ui import fuzzy

GROUP_SIGN = "&"
"""Before the name of a group, which an admin gave it: it must not look like a person."""


class Names:
    """Everybody we know, by name."""

    def __init__(self, whole: bool = False) -> None:
        """Make it; ``whole``: only a whole name finds a chat, where nobody sees which it was."""
        self._whole = whole
        self.contacts: dict[bytes, Contact] = {}
        self.rooms: dict[bytes, Room] = {}
        self.groups: dict[bytes, Group] = {}
        self.silent: frozenset[bytes] = frozenset()
        """Fingerprints of contacts of whom nothing was heard for longer than our user set."""
        self.chats: list[ChatSummary] = []
        """Pinned ones first, then newest first, archived ones last; without requests."""
        self.requests: list[ChatSummary] = []
        self.own = Clean()
        self._begins: dict[bytes, Contact] = {}

    def load(self, store: Store, own: Clean, wall: float) -> None:
        """Read everything again; ``wall`` is now, seconds since 1970."""
        self.own = own
        self.contacts = {contact.fp: contact for contact in store.contacts()}
        self.rooms = {room.rid: room for room in store.rooms()}
        self.groups = {group.gid: group for group in store.groups()}
        self._begins = {fp[:MEMBER_FP_BYTES]: c for fp, c in self.contacts.items()}
        self.silent = frozenset(c.fp for c in self.contacts.values() if c.is_silent(wall))
        summaries = store.chats()
        asking = {b"c" + c.fp for c in self.contacts.values() if c.request}
        mine = [row for row in summaries if row.chat not in asking]
        self.chats = sorted(mine, key=lambda r: (r.options.archived, not r.options.pinned))
        self.requests = [row for row in summaries if row.chat in asking]

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

    def group(self, chat: ChatId) -> Group | None:
        return self.groups.get(chat[1:]) if chat[:1] == b"g" else None

    def of_chat(self, chat: ChatId) -> Clean:
        """What a chat is called: a room begins with ``#``, a group with ``&``, a person as is."""
        if (contact := self.contact(chat)) is not None:
            return contact.petname
        if (group := self.group(chat)) is not None:
            return Clean.line(f"{GROUP_SIGN}{group.name}")
        room = self.room(chat)
        return Clean.line(f"#{room.name}") if room else Clean(_("(gone)"))

    def of_author(self, message: Message) -> Clean:
        """Who wrote a message."""
        if message.outgoing:
            return Clean(_("you"))
        contact = self.contacts.get(message.author)
        if contact is None and message.chat[:1] == b"g":
            contact = self.member(message.author)
        name = contact.petname if contact is not None else message.author_name
        if contact is None or name.casefold() in ("you", _("you")):  # only we are that, untagged
            return Clean.line(f"{name[:9] or _('someone')}~{key_tag(message.author)}")
        return name

    def member(self, fp: bytes) -> Contact | None:
        """The contact that a member of a group is, named by the start of the fingerprint."""
        return self._begins.get(fp[:MEMBER_FP_BYTES])

    def is_quiet(self, row: ChatSummary) -> bool:
        """Whether our user does not want to be told of all that is new in a chat."""
        return row.options.notify is not Notify.ALL

    def is_wanted(self, message: Message) -> bool:
        """Whether our user wants to hear of a message that came: never of strangers."""
        row = next((row for row in self.chats if row.chat == message.chat), None)
        if row is None:
            return False
        notify = row.options.notify
        return notify is Notify.ALL or (notify is Notify.MENTIONS and message.mention)

    def unread_first(self) -> list[ChatSummary]:
        """For the switcher: what is new first, then as in the list."""
        return sorted(self.everything, key=lambda row: not row.unread)

    def find(self, typed: str) -> list[ChatId]:
        """Chats whose name fits what was typed, best first; an exact name alone.

        Raises:
            UsageError: Only whole names are taken, and several chats have this one.
        """
        rows = self.unread_first()
        names = [self.of_chat(row.chat) for row in rows]
        wanted = typed.strip().casefold()
        exact = [r.chat for r, n in zip(rows, names, strict=True) if n.casefold() == wanted]
        if self._whole and not exact:
            signs = (f"#{wanted}", f"{GROUP_SIGN}{wanted}")
            exact = [r.chat for r, n in zip(rows, names, strict=True) if n.casefold() in signs]
        if self._whole and len(exact) > 1:
            raise UsageError("ambiguous_chat", _("Several chats have this name."))
        if exact or self._whole:
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
