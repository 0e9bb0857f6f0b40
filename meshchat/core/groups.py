"""Private groups: who is in them, their epochs, and messages to and from their members.

Admins make epochs; every member is told the root of one by direct message and keeps only what
follows from it. What the epochs together say is the business of ``lineage``.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from meshchat.core.body import NUMBER_BYTES, Body, BodyType
from meshchat.core.contacts import People, check_name
from meshchat.core.custody import Custody
from meshchat.core.epochs import (
    EPOCH_BYTES,
    GENERATION_MAX,
    GID_BYTES,
    MEMBER_FP_BYTES,
    EpochKeys,
    Gone,
    Key,
    Keys,
    Leave,
    Rekey,
    Seized,
    decode_control,
    derive,
    encode_control,
)
from meshchat.core.events import Notice, Tell
from meshchat.core.group_book import NO_NAME, Book, Learned
from meshchat.core.group_mail import ControlMail
from meshchat.core.group_talk import Talk
from meshchat.core.inbox import Inbox, Letter
from meshchat.core.limits import (
    GROUP_EPOCHS_MAX,
    GROUP_EPOCHS_SEEN_MAX,
    GROUP_GENERATIONS_AHEAD_MAX,
    GROUP_KEYS_S,
    GROUP_MEMBERS_MAX,
    GROUP_MERGE_TURN_S,
    GROUP_REKEY_S,
    GROUP_REPORTS_MAX,
    GROUP_TURN_S,
    GROUPS_MAX,
    GROUPS_PER_CONTACT_MAX,
)
from meshchat.core.lineage import Roster
from meshchat.core.model import (
    ChatId,
    Contact,
    Epoch,
    Fate,
    Group,
    GroupMember,
    Membership,
    Now,
    group_chat,
)
from meshchat.core.ports import Entropy, Store
from meshchat.core.receipts import Receipt, Receipts
from meshchat.core.sealer import Sealer
from meshchat.errors import AuthError, ProtocolError, QuotaError, UsageError, WireError
from meshchat.text import Clean


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
        self._store = store
        self._entropy = entropy
        self._people = people
        self._custody = custody
        self._sealer = sealer
        self._receipts = receipts
        self._tell = tell
        self._counters = counters
        self._inbox = inbox
        self._changed = changed
        self._mail = ControlMail(store, entropy, people, sealer)
        self._book = Book(store, people, tell)
        self._me = self._book.me
        self._talk = Talk(
            store,
            people,
            custody,
            sealer,
            counters,
            self._book,
            inbox,
            self._mail.confirmed,
            self._learned,
        )
        self._parted: dict[bytes, float] = {}  # group -> monotonic time its lines were seen
        self._reports: Counter[bytes] = Counter()
        inbox.on(BodyType.GROUP, self._read)

    def load(self) -> None:
        """Take everything from the store, also after that went back to where a step began."""
        self._mail.load()
        self._book.load()

    # --- looking up ---------------------------------------------------------------------------

    def need(self, gid: bytes) -> Group:
        """The group, if we are a member; else ``UsageError``."""
        return self._book.need(gid)

    def is_member(self, gid: bytes) -> bool:
        return self._book.is_member(gid)

    def own_key(self, gid: bytes) -> bytes:
        """The public key our messages to this group are signed with."""
        return self._book.own_key(gid)

    def roster(self, gid: bytes) -> Roster:
        """Who is in a group as far as we know; nobody if we are out of it."""
        return self._book.roster(gid)

    def readers(self, gid: bytes) -> list[bytes]:
        """The members who are our contacts."""
        found = [self._book.contact(member.fp) for member in self.roster(gid).members]
        return [contact.fp for contact in found if contact]

    def seal(self, gid: bytes, body: Body, exp_h: int) -> list[bytes]:
        """An envelope for each line of the group; none if there is nobody we may write to now."""
        return [self._talk.seal(epoch, body, exp_h) for epoch in self._talk.sendable(gid)]

    def _as_admin(self, gid: bytes) -> Roster:
        group, roster = self.need(gid), self.roster(gid)
        if self._me not in roster.admins:
            raise UsageError(
                "not_admin", f"Only an admin can do this; you are a member of {group.name}."
            )
        return roster

    # --- commands -----------------------------------------------------------------------------

    def create(self, name: str, fps: Iterable[bytes], now: Now) -> Group:
        """A new group of ourselves and these contacts."""
        clean = check_name(name, "The name of a group")
        if len(self._book.groups) >= GROUPS_MAX:
            raise UsageError("too_many_groups", f"You are in {GROUPS_MAX} groups: leave one first.")
        chosen = list(dict.fromkeys(fps))
        for fp in chosen:
            self._people.writable(fp)
        gid = self._entropy.bytes(GID_BYTES)
        members = [GroupMember(self._me, self.own_key(gid), True)]
        members += [GroupMember(fp[:MEMBER_FP_BYTES], b"", False) for fp in chosen]
        group = self._book.save_group(Group(gid, clean, joined_at=now.wall))
        self._rekey(gid, (), members, clean, now)
        return group

    def add(self, gid: bytes, fp: bytes, now: Now) -> Group:
        """Add a contact. They read what is written from now on."""
        group, roster = self.need(gid), self._as_admin(gid)
        contact = self._people.writable(fp)
        if roster.get(fp[:MEMBER_FP_BYTES]):
            raise UsageError("known_member", f"{contact.petname} is in {group.name} already.")
        new = GroupMember(fp[:MEMBER_FP_BYTES], b"", False)
        self._follow(gid, (*roster.members, new), now)
        return group

    def remove(self, gid: bytes, fp: bytes, now: Now, *, tell: bool = True) -> Group:
        """Remove a member: they can open nothing of the next epoch. ``tell`` them so."""
        group, roster = self.need(gid), self._as_admin(gid)
        fp = fp[:MEMBER_FP_BYTES]
        if fp == self._me:
            raise UsageError("own_membership", "To go yourself, leave the group.")
        if not roster.get(fp):
            raise UsageError("no_member", f"This person is not in {group.name}.")
        self._without(gid, fp, now)
        contact = self._book.contact(fp)
        if tell and contact:
            generation = self._book.line(gid).live[0].generation
            self._mail.send(gid, contact.fp, Gone(gid, generation), now)
        return group

    def _without(self, gid: bytes, fp: bytes, now: Now) -> None:
        members = self.roster(gid).members
        self._follow(gid, [member for member in members if member.fp != fp], now)

    def make_admin(self, gid: bytes, fp: bytes, now: Now) -> Group:
        """Let a member add and remove others as well. It cannot be taken back."""
        group, roster = self.need(gid), self._as_admin(gid)
        member = roster.get(fp[:MEMBER_FP_BYTES])
        if member is None:
            raise UsageError("no_member", f"This person is not in {group.name}.")
        if not member.admin:
            new = member._replace(admin=True)
            self._follow(gid, [new if one is member else one for one in roster.members], now)
        return group

    def rename(self, gid: bytes, name: str, now: Now) -> Group:
        """Another name, for all members."""
        roster = self._as_admin(gid)
        self._follow(gid, roster.members, now, check_name(name, "The name of a group"))
        return self._book.groups[gid]

    def leave(self, gid: bytes, now: Now) -> Group:
        """Destroy what we have of its keys, and ask the admins to go on without us."""
        group, roster = self.need(gid), self.roster(gid)
        others = [member for member in roster.members if member.fp != self._me]
        admins = [member.fp for member in others if member.admin]
        if others and not admins and self._me in roster.admins:
            raise UsageError(
                "last_admin",
                f"You are the only admin of {group.name}: make somebody else admin first.",
            )
        self._drop_epochs(gid)
        for contact in filter(None, map(self._book.contact, admins)):
            self._mail.send(gid, contact.fp, Leave(gid), now)
        left = self._book.save_group(replace(group, membership=Membership.LEFT))
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
            for group in list(self._book.groups.values())
            if start != self._me and self.is_member(group.gid) and self.roster(group.gid).get(start)
        ]
        if not shared:
            raise UsageError("no_shared_group", "This person is in none of your groups.")
        for group in shared:
            admins = self.roster(group.gid).admins
            if seized and self._me in admins:
                self.remove(group.gid, start, now, tell=False)
                continue
            self._talk.shun(group.gid, start, seized)
            for contact in filter(None, map(self._book.contact, admins if seized else ())):
                if contact.fp[:MEMBER_FP_BYTES] != start:
                    self._mail.send(group.gid, contact.fp, Seized(group.gid, start), now)
            self._changed(group_chat(group.gid), now)
        return shared

    # --- making epochs ------------------------------------------------------------------------

    def _follow(
        self, gid: bytes, members: Iterable[GroupMember], now: Now, name: Clean | None = None
    ) -> None:
        """The next epoch, with these members; it names the lines it joins."""
        line = self._book.line(gid)
        chosen = line.live[:2]
        chosen += [head for head in line.heads if head not in chosen][: 2 - len(chosen)]
        parents = tuple(sorted(head.eid for head in chosen))
        self._rekey(gid, parents, members, name or line.roster.name, now)

    def _rekey(
        self,
        gid: bytes,
        parents: tuple[bytes, ...],
        members: Iterable[GroupMember],
        name: Clean,
        now: Now,
    ) -> None:
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
        self._begin(self._me, rekey, now)
        for contact in filter(None, to):
            self._mail.send(gid, contact.fp, rekey, now)

    def _begin(self, author: bytes, rekey: Rekey, now: Now) -> None:
        learned = self._book.begin(author, rekey, now.wall)
        self._look(rekey.gid, now)
        self._learned(rekey.gid, learned, now)

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

    def _drop_epochs(self, gid: bytes) -> None:
        """Forget who was in, and all keys; only which epochs there were is kept."""
        epochs = self._book.epochs_of(gid)
        seen = (self._store.get(_seen(gid)) or b"") + b"".join(epoch.eid for epoch in epochs)
        self._store.put(_seen(gid), seen[-GROUP_EPOCHS_SEEN_MAX * EPOCH_BYTES :])
        for epoch in epochs:
            self._book.forget(epoch)
        self._inbox.refresh()

    def _was_in(self, gid: bytes, eid: bytes) -> bool:
        """Whether this epoch is one of those we had when we left."""
        seen = self._store.get(_seen(gid)) or b""
        starts = range(0, len(seen), EPOCH_BYTES)
        return any(seen[at : at + EPOCH_BYTES] == eid for at in starts)

    # --- control messages ---------------------------------------------------------------------

    def _read(self, letter: Letter, now: Now) -> list[Receipt]:
        try:
            return self._act(letter, now)
        except ProtocolError:
            self.load()  # what this step stored is undone
            raise

    def _act(self, letter: Letter, now: Now) -> list[Receipt]:
        fp, number, raw = letter.contact.fp, letter.body.number, letter.body.control
        match decode_control(raw):
            case Rekey() as rekey:
                if not self._judge(fp, rekey, now):
                    self._mail.park(number, rekey.gid, fp, raw, now)
                    return []  # if it turns out to be nobody's right, it was not answered
            case Key(gid, key):
                self._key_came(gid, fp[:MEMBER_FP_BYTES], key, now)
            case Leave(gid):
                self._leaves(gid, fp[:MEMBER_FP_BYTES], now)
            case Gone(gid, generation):
                self._removed(gid, fp[:MEMBER_FP_BYTES], generation, now)
            case Seized(gid, seized):
                self._reported(gid, seized, letter.contact, now)
            case Keys():
                raise WireError("group_control")
        return self._receipts.give(fp, letter.token, letter.exp_h, now)

    def _judge(self, fp: bytes, rekey: Rekey, now: Now) -> bool:
        """Take an epoch of a contact, or refuse it; False if we cannot say yet.

        Raises:
            AuthError: They have no right to it, or it is not for us.
        """
        gid, author = rekey.gid, fp[:MEMBER_FP_BYTES]
        keys = derive(gid, rekey.root, ())
        if keys.eid in self._book.epochs:
            return True
        own = next((member for member in rekey.members if member.fp == self._me), None)
        if own is None:
            raise AuthError("group_not_listed")
        if own.key and own.key != self.own_key(gid):
            raise AuthError("group_key")
        if not any(member.fp == author and member.admin for member in rekey.members):
            raise AuthError("group_admin")
        group = self._book.groups.get(gid)
        if group is None or group.membership is not Membership.MEMBER:
            if self._was_in(gid, keys.eid):  # sealed anew for us: it invites us to nothing
                return True
            if group is not None and own.key:  # they do not know yet that we are out
                if group.membership is Membership.LEFT:
                    self._mail.send(gid, fp, Leave(gid), now)
                return True
            self._invited(fp, rekey, now)
        elif not self._may(author, rekey, keys):
            return False
        self._take(fp, rekey, now)
        return True

    def _invited(self, fp: bytes, rekey: Rekey, now: Now) -> None:
        """A contact brings us into a group, for the first time or again."""
        author, epochs = fp[:MEMBER_FP_BYTES], self._book.epochs.values()
        theirs = {epoch.gid for epoch in epochs if epoch.author == author}
        if len(self._book.groups) >= GROUPS_MAX or len(theirs) >= GROUPS_PER_CONTACT_MAX:
            raise QuotaError("groups_full")
        self._mail.forget_leaving(rekey.gid)
        name = Clean.line(rekey.name) or NO_NAME
        self._book.save_group(Group(rekey.gid, name, joined_at=now.wall))

    def _may(self, author: bytes, rekey: Rekey, keys: EpochKeys) -> bool:
        """Whether the author may make this epoch; False if that is not known yet.

        Raises:
            AuthError: They may not.
        """
        line = self._book.line(rekey.gid)
        before = [self._book.epochs[each] for each in rekey.parents if each in self._book.epochs]
        before = [epoch for epoch in before if epoch.gid == rekey.gid]
        newest = max((epoch.generation for epoch in line.heads), default=0)
        if not rekey.parents or rekey.generation > newest + GROUP_GENERATIONS_AHEAD_MAX:
            raise AuthError("group_parents")
        for epoch in self._book.epochs.values():
            if keys.eid in epoch.parents and epoch.generation <= rekey.generation:
                raise AuthError("group_parents")
        if len(self._book.epochs_of(rekey.gid)) >= 4 * GROUP_EPOCHS_MAX:
            raise QuotaError("group_epochs")
        if len(before) < len(rekey.parents):
            return author in line.roster.admins
        if rekey.generation != 1 + max(epoch.generation for epoch in before):
            raise AuthError("group_parents")
        roster = line.joined(rekey.parents)
        if roster is None or author not in roster.admins:
            raise AuthError("group_admin")
        if not line.roster.get(author) and not all(epoch.head_key for epoch in before):
            raise AuthError("group_admin")  # from before they were removed, but far too late
        return True

    def _take(self, fp: bytes, rekey: Rekey, now: Now) -> None:
        gid = rekey.gid
        self._begin(fp[:MEMBER_FP_BYTES], rekey, now)
        own = next(member for member in rekey.members if member.fp == self._me)
        if not own.key:
            self._mail.send(gid, fp, Key(gid, self.own_key(gid)), now)
        if own.admin:
            self._pass_on(fp, rekey, now)
        self._mend(gid, now)
        for mail in self._mail.parked(gid):
            later = decode_control(mail.control)
            assert isinstance(later, Rekey), "nothing else is parked"
            try:
                judged = self._judge(mail.fp, later, now)
            except ProtocolError as error:
                self._counters[error.reason] += 1
                judged = True
            if judged:
                self._mail.unpark(mail)

    def _pass_on(self, fp: bytes, rekey: Rekey, now: Now) -> None:
        """Tell those whom its author cannot write to, as an admin to whom they are contacts."""
        to: list[Contact] = []
        direct = rekey.direct
        for place, member in enumerate(rekey.members):
            contact = self._book.contact(member.fp)
            if contact and not direct >> place & 1 and contact.fp != fp:
                to.append(contact)
                direct |= 1 << place
        for contact in to:
            self._mail.send(rekey.gid, contact.fp, replace(rekey, direct=direct), now)

    def _key_came(self, gid: bytes, fp: bytes, key: bytes, now: Now) -> None:
        """A member tells us its key: all others hear of it in one message."""
        if not self.is_member(gid) or self._me not in self.roster(gid).admins:
            return
        member = self.roster(gid).get(fp)
        if member is None or member.key:
            return
        learned = self._book.learn_keys(gid, {fp: key})
        self._custody.retry_all()
        for epoch in self._talk.sendable(gid):
            self._tell_keys(epoch, learned, now)

    def _learned(self, gid: bytes, learned: Learned, now: Now) -> None:
        """Keys came by way of others: who has epochs of ours without them hears of them."""
        if learned:
            self._custody.retry_all()
            for epoch in self._talk.sendable(gid):
                if epoch.author == self._me:
                    self._tell_keys(epoch, learned, now)

    def _tell_keys(self, epoch: Epoch, learned: Learned, now: Now) -> None:
        found = learned.get(epoch.eid)
        if found:
            number, control = self._entropy.bytes(NUMBER_BYTES), encode_control(Keys(found))
            body = Body(BodyType.GROUP, number, int(now.wall), control=control)
            data = self._talk.seal(epoch, body, self._sealer.end_h(None, now))
            self._sealer.keep(data, now, self.readers(epoch.gid), bounded=False)

    def _leaves(self, gid: bytes, fp: bytes, now: Now) -> None:
        """A member asks to go: done by the next admin who may, perhaps we only learn that later."""
        if self.is_member(gid) and self.roster(gid).get(fp) and fp != self._me:
            self._store.put(_leaving(gid), (self._store.get(_leaving(gid)) or b"") + fp)
            self._mend(gid, now)

    def _removed(self, gid: bytes, fp: bytes, generation: int, now: Now) -> None:
        group = self._book.groups.get(gid)
        if group is None or group.membership is not Membership.MEMBER:
            return
        # Two admins who remove each other are both out, so each of them has to be believed.
        told = [epoch for epoch in self._book.epochs_of(gid) if epoch.head_key]
        if not any(one.admin and one.fp == fp for epoch in told for one in epoch.members):
            raise AuthError("group_admin")
        if any(epoch.author == fp and epoch.generation > generation for epoch in told):
            return  # they have added us again since
        for epoch in self._book.epochs_of(gid):  # who was in stays known, should we come back
            self._close(epoch, now)
        self._book.save_group(replace(group, membership=Membership.REMOVED))
        self._changed(group_chat(gid), now)

    def _reported(self, gid: bytes, seized: bytes, by: Contact, now: Now) -> None:
        """A member says that another one's device was seized: out at once, if it is no admin.

        Adding again costs one command, a message in the wrong hands cannot be taken back. Who
        reports many, or an admin, is not believed without a person.
        """
        roster, reporter = self.roster(gid), by.fp[:MEMBER_FP_BYTES]
        member = roster.get(seized)
        if not self.is_member(gid) or self._me not in roster.admins or member is None:
            return
        if not roster.get(reporter) or seized == self._me:
            raise AuthError("group_member")
        known = self._people.begins(seized)
        who = f"{known.petname if known else seized.hex()[:8]} ({self._book.groups[gid].name})"
        self._reports[reporter] += 1
        if member.admin or self._reports[reporter] > GROUP_REPORTS_MAX:
            self._tell(Notice("seizure_reported", f"{who}: {by.petname}"))
            return
        if not self._quietly(lambda: self._without(gid, seized, now)):
            return
        self._tell(Notice("seizure_removed", f"{who}: {by.petname}"))

    # --- time ---------------------------------------------------------------------------------

    def delivered(self, eid: bytes) -> bool:
        """The proof for an envelope reached us. True if it was a control message of ours."""
        return self._mail.delivered(eid)

    def ended(self, eids: Iterable[bytes]) -> list[tuple[bytes, float]]:
        """Envelopes of ours expired; to whom control messages were in them, and since when."""
        return [(mail.fp, mail.until - GROUP_KEYS_S) for mail in self._mail.ended(eids)]

    def unseal(self, fp: bytes) -> None:
        """Control messages on their way to somebody cannot be read there any more."""
        for eid in self._mail.unseal(fp):
            self._custody.drop(eid, Fate.EVICTED)

    def seal_waiting(self, now: Now, fp: bytes | None = None) -> None:
        """Seal control messages that wait for a key, of one contact or of all."""
        self._mail.seal_waiting(now, fp)

    def house(self, now: Now) -> None:
        """Now and then: keys whose time is over, rekeys that are due."""
        self._mail.give_up(now)
        ended = [each for each in self._book.epochs.values() if each.ends_at and each.head_key]
        for epoch in ended:
            if epoch.ends_at <= now.wall:
                self._close(epoch, now)
        self._store.drop_group_skipped_before(now.wall - GROUP_KEYS_S)
        for gid in [gid for gid in self._book.groups if self.is_member(gid)]:
            self._mend(gid, now)
            self._renew(gid, now)

    def _close(self, epoch: Epoch, now: Now) -> None:
        """Destroy the keys of an epoch."""
        self._store.drop_group_chains(epoch.eid)
        self._book.save(replace(epoch, head_key=b"", ends_at=epoch.ends_at or now.wall))
        self._inbox.refresh()

    def _mend(self, gid: bytes, now: Now) -> None:
        """Join lines that parted: the first admin at once, the others if it does not."""
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
            step = partial(self._rekey, gid, pair, roster.members, roster.name, now)
            if not self._quietly(step):
                return
        self._parted.pop(gid, None)
        leaving = self._store.get(_leaving(gid)) or b""
        if leaving:
            fps = [
                leaving[at : at + MEMBER_FP_BYTES] for at in range(0, len(leaving), MEMBER_FP_BYTES)
            ]
            roster = self.roster(gid)
            gone = [fp for fp in fps if roster.get(fp)]
            if self._me in roster.admins:
                self._store.put(_leaving(gid), b"")
                if gone:
                    left = [one for one in roster.members if one.fp not in gone]
                    self._quietly(lambda: self._follow(gid, left, now))
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
            self._quietly(lambda: self._follow(gid, line.roster.members, now))

    def _quietly(self, step: Callable[[], None]) -> bool:
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
