"""Control messages of groups that came from others: judged, acted on, or kept until they can be."""

from collections import Counter
from collections.abc import Callable

from msgspec.structs import replace

from meshchat.core.body import BodyType
from meshchat.core.contacts import People
from meshchat.core.epochs import (
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
)
from meshchat.core.events import Notice, Tell
from meshchat.core.group_book import NO_NAME, Book
from meshchat.core.group_mail import ControlMail
from meshchat.core.group_rekeying import Rekeying
from meshchat.core.inbox import Inbox, Letter
from meshchat.core.limits import (
    GROUP_EPOCHS_MAX,
    GROUP_GENERATIONS_AHEAD_MAX,
    GROUP_LINES_MAX,
    GROUP_REPORTS_MAX,
    GROUPS_MAX,
    GROUPS_PER_CONTACT_MAX,
)
from meshchat.core.model import ChatId, Contact, Group, Membership, Now, group_chat
from meshchat.core.receipts import Receipt, Receipts
from meshchat.errors import AuthError, ProtocolError, QuotaError, WireError
from meshchat.text import Clean


class ControlReader:
    """Reads them for one node."""

    def __init__(
        self,
        people: People,
        inbox: Inbox,
        receipts: Receipts,
        tell: Callable[[Tell], None],
        counters: Counter[str],
        book: Book,
        mail: ControlMail,
        rekeying: Rekeying,
        changed: Callable[[ChatId, Now], None],
    ) -> None:
        self._people = people
        self._receipts = receipts
        self._tell = tell
        self._counters = counters
        self._book = book
        self._me = book.me
        self._mail = mail
        self._rekeying = rekeying
        self._changed = changed
        self._reports: Counter[bytes] = Counter()
        inbox.on(BodyType.GROUP, self._read)

    def _read(self, letter: Letter, now: Now) -> list[Receipt]:
        try:
            return self._act(letter, now)
        except ProtocolError:
            self._mail.load()  # what this step stored is undone
            self._book.load()
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
                self._rekeying.leaves(gid, fp[:MEMBER_FP_BYTES], now)
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
        if own.key and own.key != self._book.own_key(gid):
            raise AuthError("group_key")
        if not any(member.fp == author and member.admin for member in rekey.members):
            raise AuthError("group_admin")
        self._need_room(author, rekey)
        group = self._book.groups.get(gid)
        if group is None or group.membership is not Membership.MEMBER:
            if self._rekeying.was_in(gid, keys.eid):  # sealed anew for us: it invites us to nothing
                return True
            if group is not None and own.key:  # they do not know yet that we are out
                if group.membership is Membership.REMOVED:
                    return False  # or we are in again, and the invitation is still under way
                self._mail.send(gid, fp, Leave(gid), now)
                return True
            self._invited(fp, rekey, now)
        elif not self._may(author, rekey, keys):
            return False
        self._take(fp, rekey, now)
        return True

    def _need_room(self, author: bytes, rekey: Rekey) -> None:
        """Who is in is computed from all epochs, and each end is compared with every other.

        Raises:
            QuotaError: There would be too many. It comes again, and may find room then.
        """
        if len(self._book.epochs_of(rekey.gid)) >= 4 * GROUP_EPOCHS_MAX:
            raise QuotaError("group_epochs")
        heads = self._book.line(rekey.gid).heads
        ends = [end for end in heads if end.author == author and end.eid not in rekey.parents]
        if len(ends) >= GROUP_LINES_MAX:
            raise QuotaError("group_lines")

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
        self._rekeying.begin(fp[:MEMBER_FP_BYTES], rekey, now)
        own = next(member for member in rekey.members if member.fp == self._me)
        if not own.key:
            self._mail.send(gid, fp, Key(gid, self._book.own_key(gid)), now)
        if own.admin:
            self._pass_on(fp, rekey, now)
        self._rekeying.mend(gid, now)
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
        """A member tells us its key."""
        if not self._book.is_member(gid) or self._me not in self._book.roster(gid).admins:
            return
        member = self._book.roster(gid).get(fp)
        if member is None or member.key:
            return
        learned = self._book.learn_keys(gid, {fp: key})
        self._rekeying.learned(gid, learned, now, by_member=True)

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
            self._rekeying.close(epoch, now)
        self._book.save_group(replace(group, membership=Membership.REMOVED))
        self._changed(group_chat(gid), now)

    def _reported(self, gid: bytes, seized: bytes, by: Contact, now: Now) -> None:
        """A member says that another one's device was seized: out at once, if it is no admin.

        Adding again costs one command, a message in the wrong hands cannot be taken back. Who
        reports many, or an admin, is not believed without a person.
        """
        roster, reporter = self._book.roster(gid), by.fp[:MEMBER_FP_BYTES]
        member = roster.get(seized)
        if not self._book.is_member(gid) or self._me not in roster.admins or member is None:
            return
        if not roster.get(reporter) or seized == self._me:
            raise AuthError("group_member")
        known = self._people.begins(seized)
        who = f"{known.petname if known else seized.hex()[:8]} ({self._book.groups[gid].name})"
        self._reports[reporter] += 1
        if member.admin or self._reports[reporter] > GROUP_REPORTS_MAX:
            self._tell(Notice("seizure_reported", f"{who}: {by.petname}"))
            return
        if not self._rekeying.quietly(lambda: self._rekeying.without(gid, seized, now)):
            return
        self._tell(Notice("seizure_removed", f"{who}: {by.petname}"))
