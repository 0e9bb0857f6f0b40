"""Private groups: who is in them, their epochs, and messages to and from their members.

Admins make epochs; every member is told the root of one by direct message and keeps only what
follows from it. What the epochs together say is the business of ``lineage``.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from meshchat.core.body import Body
from meshchat.core.contacts import People, check_name
from meshchat.core.custody import Custody
from meshchat.core.epochs import (
    GID_BYTES,
    MEMBER_FP_BYTES,
    Gone,
    Leave,
    Seized,
)
from meshchat.core.events import Tell
from meshchat.core.group_book import Book
from meshchat.core.group_control import ControlReader
from meshchat.core.group_mail import ControlMail
from meshchat.core.group_rekeying import Rekeying
from meshchat.core.group_talk import Talk
from meshchat.core.inbox import Inbox
from meshchat.core.limits import (
    GROUP_KEYS_S,
    GROUPS_MAX,
)
from meshchat.core.lineage import Roster
from meshchat.core.model import (
    ChatId,
    Fate,
    Group,
    GroupMember,
    Membership,
    Now,
    group_chat,
)
from meshchat.core.ports import Entropy, Store
from meshchat.core.receipts import Receipts
from meshchat.core.sealer import Sealer
from meshchat.errors import UsageError


class Groups:
    """The groups of one node."""

    def __init__(
        self,
        store: Store,
        entropy: Entropy,
        people: People,
        custody: Custody,
        sealer: Sealer,
        receipts: Receipts,
        tell: Callable[[Tell], None],
        counters: Counter[str],
        inbox: Inbox,
        changed: Callable[[ChatId, Now], None],
    ) -> None:
        """``changed`` hears of a chat whose epochs are others now."""
        self._entropy = entropy
        self._people = people
        self._custody = custody
        self._changed = changed
        self.mail = ControlMail(store, entropy, people, sealer)
        self.book = Book(store, people, tell)
        self._me = self.book.me
        self._talk = Talk(
            store,
            people,
            custody,
            sealer,
            counters,
            self.book,
            inbox,
            self.mail.confirmed,
            lambda gid, learned, now: self._rekeying.learned(gid, learned, now),
        )
        self._rekeying = Rekeying(
            store,
            entropy,
            custody,
            sealer,
            inbox,
            counters,
            self.book,
            self.mail,
            self._talk,
            changed,
        )
        ControlReader(
            people,
            inbox,
            receipts,
            tell,
            counters,
            self.book,
            self.mail,
            self._rekeying,
            changed,
        )

    def load(self) -> None:
        """Take everything from the store, also after that went back to where a step began."""
        self.mail.load()
        self.book.load()

    # --- looking up ---------------------------------------------------------------------------

    def seal(self, gid: bytes, body: Body, exp_h: int) -> list[bytes]:
        """An envelope for each line of the group; none if there is nobody we may write to now."""
        return [self._talk.seal(epoch, body, exp_h) for epoch in self._talk.sendable(gid)]

    def _as_admin(self, gid: bytes) -> Roster:
        group, roster = self.book.need(gid), self.book.roster(gid)
        if self._me not in roster.admins:
            raise UsageError(
                "not_admin", f"Only an admin can do this; you are a member of {group.name}."
            )
        return roster

    # --- commands -----------------------------------------------------------------------------

    def create(self, name: str, fps: Iterable[bytes], now: Now) -> Group:
        """A new group of ourselves and these contacts."""
        clean = check_name(name, "The name of a group")
        if len(self.book.groups) >= GROUPS_MAX:
            raise UsageError("too_many_groups", f"You are in {GROUPS_MAX} groups: leave one first.")
        chosen = list(dict.fromkeys(fps))
        for fp in chosen:
            self._people.writable(fp)
        gid = self._entropy.bytes(GID_BYTES)
        members = [GroupMember(self._me, self.book.own_key(gid), True)]
        members += [GroupMember(fp[:MEMBER_FP_BYTES], b"", False) for fp in chosen]
        group = self.book.save_group(Group(gid, clean, joined_at=now.wall))
        self._rekeying.rekey(gid, (), members, clean, now)
        return group

    def add(self, gid: bytes, fp: bytes, now: Now) -> Group:
        """Add a contact. They read what is written from now on."""
        group, roster = self.book.need(gid), self._as_admin(gid)
        contact = self._people.writable(fp)
        if roster.get(fp[:MEMBER_FP_BYTES]):
            raise UsageError("known_member", f"{contact.petname} is in {group.name} already.")
        new = GroupMember(fp[:MEMBER_FP_BYTES], b"", False)
        self._rekeying.follow(gid, (*roster.members, new), now)
        return group

    def remove(self, gid: bytes, fp: bytes, now: Now, *, tell: bool = True) -> Group:
        """Remove a member: they can open nothing of the next epoch. ``tell`` them so."""
        group, roster = self.book.need(gid), self._as_admin(gid)
        fp = fp[:MEMBER_FP_BYTES]
        if fp == self._me:
            raise UsageError("own_membership", "To go yourself, leave the group.")
        if not roster.get(fp):
            raise UsageError("no_member", f"This person is not in {group.name}.")
        self._rekeying.without(gid, fp, now)
        contact = self.book.contact(fp)
        if tell and contact:
            generation = self.book.line(gid).live[0].generation
            self.mail.send(gid, contact.fp, Gone(gid, generation), now)
        return group

    def make_admin(self, gid: bytes, fp: bytes, now: Now) -> Group:
        """Let a member add and remove others as well. It cannot be taken back."""
        group, roster = self.book.need(gid), self._as_admin(gid)
        member = roster.get(fp[:MEMBER_FP_BYTES])
        if member is None:
            raise UsageError("no_member", f"This person is not in {group.name}.")
        if not member.admin:
            new = member._replace(admin=True)
            self._rekeying.follow(
                gid, [new if one is member else one for one in roster.members], now
            )
        return group

    def rename(self, gid: bytes, name: str, now: Now) -> Group:
        """Another name, for all members."""
        roster = self._as_admin(gid)
        self._rekeying.follow(gid, roster.members, now, check_name(name, "The name of a group"))
        return self.book.groups[gid]

    def leave(self, gid: bytes, now: Now) -> Group:
        """Destroy what we have of its keys, and ask the admins to go on without us."""
        group, roster = self.book.need(gid), self.book.roster(gid)
        others = [member for member in roster.members if member.fp != self._me]
        admins = [member.fp for member in others if member.admin]
        if others and not admins and self._me in roster.admins:
            raise UsageError(
                "last_admin",
                f"You are the only admin of {group.name}: make somebody else admin first.",
            )
        self._rekeying.drop_all(gid)
        for contact in filter(None, map(self.book.contact, admins)):
            self.mail.send(gid, contact.fp, Leave(gid), now)
        left = self.book.save_group(replace(group, membership=Membership.LEFT))
        self._changed(group_chat(gid), now)
        return left

    def report_seized(self, fp: bytes, seized: bool, now: Now) -> list[Group]:
        """A person's device is in the wrong hands: out of all groups of ours, without telling it.

        Where we are no admin, the admins are told, and we write nothing that this member reads
        until it is removed, or until ``seized`` is taken back.
        """
        start = fp[:MEMBER_FP_BYTES]
        shared = [
            group
            for group in list(self.book.groups.values())
            if start != self._me
            and self.book.is_member(group.gid)
            and self.book.roster(group.gid).get(start)
        ]
        if not shared:
            raise UsageError("no_shared_group", "This person is in none of your groups.")
        for group in shared:
            admins = self.book.roster(group.gid).admins
            if seized and self._me in admins:
                self.remove(group.gid, start, now, tell=False)
                continue
            self._talk.shun(group.gid, start, seized)
            for contact in filter(None, map(self.book.contact, admins if seized else ())):
                if contact.fp[:MEMBER_FP_BYTES] != start:
                    self.mail.send(group.gid, contact.fp, Seized(group.gid, start), now)
            self._changed(group_chat(group.gid), now)
        return shared

    # --- time ---------------------------------------------------------------------------------

    def ended(self, eids: Iterable[bytes]) -> list[tuple[bytes, float]]:
        """Envelopes of ours expired; to whom control messages were in them, and since when."""
        return [(mail.fp, mail.until - GROUP_KEYS_S) for mail in self.mail.ended(eids)]

    def unseal(self, fp: bytes) -> None:
        """Control messages on their way to somebody cannot be read there any more."""
        for eid in self.mail.unseal(fp):
            self._custody.drop(eid, Fate.EVICTED)

    def house(self, now: Now) -> None:
        """Now and then: what is too old, rekeys that are due."""
        self.mail.give_up(now)
        self._rekeying.house(now)
