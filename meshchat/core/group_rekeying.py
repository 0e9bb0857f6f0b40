"""New keys for groups: epochs that we make as an admin, and what it means that one began.

Epochs are made when the members or the name change, when lines that parted meet again, and once a
day while the group is used.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial

from msgspec.structs import replace

from meshchat.core.body import NUMBER_BYTES, Body, BodyType
from meshchat.core.custody import Custody
from meshchat.core.epochs import (
    EPOCH_BYTES,
    GENERATION_MAX,
    MEMBER_FP_BYTES,
    Keys,
    Rekey,
    encode_control,
)
from meshchat.core.group_book import Book, Learned
from meshchat.core.group_mail import ControlMail
from meshchat.core.group_talk import Talk
from meshchat.core.inbox import Inbox
from meshchat.core.limits import (
    GROUP_EPOCHS_SEEN_MAX,
    GROUP_KEYS_S,
    GROUP_MEMBERS_MAX,
    GROUP_MERGE_TURN_S,
    GROUP_REKEY_S,
    GROUP_TURN_S,
)
from meshchat.core.model import ChatId, Epoch, GroupMember, Now, group_chat
from meshchat.core.ports import Entropy, Store
from meshchat.core.sealer import Sealer
from meshchat.errors import UsageError
from meshchat.text import Clean


class Rekeying:
    """The epochs of all groups of one node, from their beginning to their end."""

    def __init__(
        self,
        store: Store,
        entropy: Entropy,
        custody: Custody,
        sealer: Sealer,
        inbox: Inbox,
        counters: Counter[str],
        book: Book,
        mail: ControlMail,
        talk: Talk,
        changed: Callable[[ChatId, Now], None],
    ) -> None:
        """``changed`` hears of a chat whose epochs are others now."""
        self._store = store
        self._entropy = entropy
        self._custody = custody
        self._sealer = sealer
        self._inbox = inbox
        self._counters = counters
        self._book = book
        self._me = book.me
        self._mail = mail
        self._talk = talk
        self._changed = changed
        self._parted: dict[bytes, float] = {}  # group -> monotonic time its lines were seen

    # --- making epochs ------------------------------------------------------------------------

    def follow(
        self, gid: bytes, members: Iterable[GroupMember], now: Now, name: Clean | None = None
    ) -> None:
        """The next epoch, with these members; it names the lines it joins.

        Who was in before missed the epochs between: the last that listed them is named too, or
        they could not tell that this one follows what they know.
        """
        line, listed = self._book.line(gid), tuple(members)
        back = {one.fp for one in listed} - {one.fp for one in line.roster.members}
        chosen = line.live[:2]
        chosen += [head for head in line.heads if head not in chosen][: 2 - len(chosen)]
        chosen += line.last_with(back)[: 2 - len(chosen)]
        parents = tuple(sorted(head.eid for head in chosen))
        self.rekey(gid, parents, listed, name or line.roster.name, now)

    def without(self, gid: bytes, fp: bytes, now: Now) -> None:
        """The next epoch, with all members but this one."""
        members = self._book.roster(gid).members
        self.follow(gid, [member for member in members if member.fp != fp], now)

    def rekey(
        self,
        gid: bytes,
        parents: tuple[bytes, ...],
        members: Iterable[GroupMember],
        name: Clean,
        now: Now,
    ) -> None:
        """Make an epoch that follows these (none: the first), and tell its members.

        Raises:
            UsageError: ``group_full`` or ``group_worn``; nothing was changed.
        """
        listed = tuple(members)
        if len(listed) > GROUP_MEMBERS_MAX:
            raise UsageError(
                "group_full", f"A group has at most {GROUP_MEMBERS_MAX} members, you among them."
            )
        generation = 1 + max((self._book.epochs[each].generation for each in parents), default=-1)
        if generation >= GENERATION_MAX:
            raise UsageError("group_worn", "This group can have no new keys: make a new one.")
        to = [self._book.contact(member.fp) for member in listed]
        direct = sum(bool(contact) << place for place, contact in enumerate(to))
        root = self._entropy.bytes(32)
        rekey = Rekey(gid, parents, root, generation, listed, direct, name)
        self.begin(self._me, rekey, now)
        for contact in filter(None, to):
            self._mail.send(gid, contact.fp, rekey, now)

    # --- what begins ---------------------------------------------------------------------------

    def begin(self, author: bytes, rekey: Rekey, now: Now) -> None:
        """An epoch begins, made by this admin (16 bytes), perhaps by us."""
        learned = self._book.begin(author, rekey, now.wall)
        self._look(rekey.gid, now)
        self.learned(rekey.gid, learned, now)

    def _look(self, gid: bytes, now: Now) -> None:
        """The epochs of a group are others now: what ends, what opens, what is sealed anew."""
        line, group = self._book.line(gid), self._book.groups[gid]
        for epoch in self._book.epochs_of(gid):
            live = epoch in line.live
            if live is bool(epoch.ends_at) and epoch.head_key:
                self._book.save(replace(epoch, ends_at=0.0 if live else now.wall + GROUP_KEYS_S))
        self._book.trim(gid)
        if line.roster.name != group.name:
            group = replace(group, name=line.roster.name)
        self._book.save_group(group)
        self._inbox.refresh()
        self._custody.retry_all()
        self._changed(group_chat(gid), now)

    def learned(self, gid: bytes, learned: Learned, now: Now, *, by_member: bool = False) -> None:
        """Keys of members came, from a member itself or by way of others.

        What a member tells us all others hear of in one message; of the rest only those who have
        epochs of ours without it.
        """
        if not learned and not by_member:
            return
        self._custody.retry_all()
        for epoch in self._talk.sendable(gid):
            if by_member or epoch.author == self._me:
                self._tell_keys(epoch, learned, now)

    def _tell_keys(self, epoch: Epoch, learned: Learned, now: Now) -> None:
        found = learned.get(epoch.eid)
        if found:
            number, control = self._entropy.bytes(NUMBER_BYTES), encode_control(Keys(found))
            body = Body(BodyType.GROUP, number, int(now.wall), control=control)
            data = self._talk.seal(epoch, body, self._sealer.end_h(None, now))
            self._sealer.keep(data, now, self._book.readers(epoch.gid), bounded=False)

    # --- what ends -----------------------------------------------------------------------------

    def drop_all(self, gid: bytes) -> None:
        """Forget who was in, and all keys; only which epochs there were is kept."""
        epochs = self._book.epochs_of(gid)
        seen = (self._store.get(_seen(gid)) or b"") + b"".join(epoch.eid for epoch in epochs)
        self._store.put(_seen(gid), seen[-GROUP_EPOCHS_SEEN_MAX * EPOCH_BYTES :])
        for epoch in epochs:
            self._book.forget(epoch)
        self._inbox.refresh()

    def was_in(self, gid: bytes, eid: bytes) -> bool:
        """Whether this epoch is one of those we had when we left."""
        seen = self._store.get(_seen(gid)) or b""
        starts = range(0, len(seen), EPOCH_BYTES)
        return any(seen[at : at + EPOCH_BYTES] == eid for at in starts)

    def close(self, epoch: Epoch, now: Now) -> None:
        """Destroy the keys of an epoch."""
        self._store.drop_group_chains(epoch.eid)
        self._book.save(replace(epoch, head_key=b"", ends_at=epoch.ends_at or now.wall))
        self._inbox.refresh()

    # --- in time -------------------------------------------------------------------------------

    def house(self, now: Now) -> None:
        """Now and then: keys whose time is over, rekeys that are due."""
        ended = [each for each in self._book.epochs.values() if each.ends_at and each.head_key]
        for epoch in ended:
            if epoch.ends_at <= now.wall:
                self.close(epoch, now)
        self._store.drop_group_skipped_before(now.wall - GROUP_KEYS_S)
        for gid in [gid for gid in self._book.groups if self._book.is_member(gid)]:
            self.mend(gid, now)
            self._renew(gid, now)

    def leaves(self, gid: bytes, fp: bytes, now: Now) -> None:
        """A member asks to go: done by the next admin who may, perhaps we only learn that later."""
        if self._book.is_member(gid) and self._book.roster(gid).get(fp) and fp != self._me:
            self._store.put(_leaving(gid), (self._store.get(_leaving(gid)) or b"") + fp)
            self.mend(gid, now)

    def mend(self, gid: bytes, now: Now) -> None:
        """Join lines that parted: the first admin at once, the others if it does not.

        Then who asked to go is let go.
        """
        while len(self._book.line(gid).live) > 1:
            line = self._book.line(gid)
            since = self._parted.setdefault(gid, now.mono)
            admins = line.roster.admins
            if self._me not in admins:
                return
            turn = admins.index(self._me)
            if not line.joinable():  # whoever knows where they parted loses nobody by joining them
                turn += len(admins)
            if now.mono - since < turn * GROUP_MERGE_TURN_S:
                return
            pair = tuple(sorted(head.eid for head in line.live[:2]))
            roster = line.joined(pair)
            assert roster is not None, "live epochs are known"
            if not roster.get(self._me):
                return
            step = partial(self.rekey, gid, pair, roster.members, roster.name, now)
            if not self.quietly(step):
                return
        self._parted.pop(gid, None)
        self._let_go(gid, now)

    def _let_go(self, gid: bytes, now: Now) -> None:
        """Put out those who asked for it, if we are an admin."""
        leaving = self._store.get(_leaving(gid)) or b""
        if not leaving:
            return
        fps = [leaving[at : at + MEMBER_FP_BYTES] for at in range(0, len(leaving), MEMBER_FP_BYTES)]
        roster = self._book.roster(gid)
        gone = [fp for fp in fps if roster.get(fp)]
        if self._me in roster.admins:
            self._store.put(_leaving(gid), b"")
            if gone:
                left = [one for one in roster.members if one.fp not in gone]
                self.quietly(lambda: self.follow(gid, left, now))
        elif len(gone) < len(fps):
            self._store.put(_leaving(gid), b"".join(gone))

    def _renew(self, gid: bytes, now: Now) -> None:
        """New keys once a day if the group is used: the first admin, or the next in turn."""
        line = self._book.line(gid)
        admins = line.roster.admins
        if len(line.live) != 1 or self._me not in admins or len(line.roster.members) < 2:
            return
        due = line.live[0].came_at + GROUP_REKEY_S + admins.index(self._me) * GROUP_TURN_S
        if now.wall >= due and self._store.group_used(line.live[0].eid):
            self.quietly(lambda: self.follow(gid, line.roster.members, now))

    def quietly(self, step: Callable[[], None]) -> bool:
        """What nobody asked for: if it is refused, nothing has changed; count it."""
        try:
            step()
        except UsageError as error:
            self._counters[error.reason] += 1
            return False
        return True


def _seen(gid: bytes) -> str:
    return f"seen:{gid.hex()}"


def _leaving(gid: bytes) -> str:
    return f"leaving:{gid.hex()}"
