"""What a node knows of its groups: membership, epochs, and the keys members sign with.

Everything is cached, and every change goes to the store at once.
"""

from collections.abc import Callable

from msgspec.structs import replace

from meshchat.core.contacts import People
from meshchat.core.crypto import sign_public
from meshchat.core.epochs import MEMBER_FP_BYTES, Rekey, derive, signing_seed
from meshchat.core.events import GroupChanged, Tell
from meshchat.core.limits import GROUP_EPOCHS_MAX
from meshchat.core.lineage import Lineage, Roster
from meshchat.core.model import Contact, Epoch, Group, Membership
from meshchat.core.ports.groups import GroupStore
from meshchat.errors import UsageError
from meshchat.text import Clean

NO_NAME = Clean("?")
"""Stands for a name of which nothing can be shown."""

Learned = dict[bytes, tuple[tuple[int, bytes], ...]]
"""Epoch id: places in its list, and the keys that were not known there before."""


class Book:
    """All groups of one node."""

    def __init__(self, store: GroupStore, people: People, tell: Callable[[Tell], None]) -> None:
        self._store = store
        self._people = people
        self._tell = tell
        self.me = people.identity.fp[:MEMBER_FP_BYTES]
        self.load()

    def load(self) -> None:
        """Take everything from the store, also after that went back to where a step began."""
        self.groups = {group.gid: group for group in self._store.groups()}
        self.epochs = {epoch.eid: epoch for epoch in self._store.epochs()}
        self._lines: dict[bytes, Lineage] = {}

    # --- groups -------------------------------------------------------------------------------

    def need(self, gid: bytes) -> Group:
        """The group, if we are a member.

        Raises:
            UsageError: We are not.
        """
        group = self.groups.get(gid)
        if group is None:
            raise UsageError("unknown_group", "You are in no such group.")
        if group.membership is Membership.LEFT:
            raise UsageError("not_member", f"You left {group.name}: an admin can add you again.")
        if group.membership is Membership.REMOVED:
            raise UsageError(
                "not_member", f"You were removed from {group.name}: you can only read it."
            )
        return group

    def is_member(self, gid: bytes) -> bool:
        group = self.groups.get(gid)
        return group is not None and group.membership is Membership.MEMBER

    def save_group(self, group: Group) -> Group:
        self.groups[group.gid] = group
        self._store.save_group(group)
        self._tell(GroupChanged(group))
        return group

    # --- people -------------------------------------------------------------------------------

    def roster(self, gid: bytes) -> Roster:
        """Who is in a group as far as we know; nobody if we are out of it."""
        return self.line(gid).roster if self.is_member(gid) else Roster((), NO_NAME)

    def contact(self, fp: bytes) -> Contact | None:
        """The friend whose fingerprint begins so: somebody we can write to."""
        contact = self._people.begins(fp)
        return contact if contact and self._people.is_friend(contact.fp) else None

    def readers(self, gid: bytes) -> list[bytes]:
        """The members who are our contacts."""
        found = [self.contact(member.fp) for member in self.roster(gid).members]
        return [contact.fp for contact in found if contact]

    def seed(self, gid: bytes) -> bytes:
        """Of the key our messages to this group are signed with."""
        return signing_seed(self._people.identity.seed, gid)

    def own_key(self, gid: bytes) -> bytes:
        """Its public half."""
        return sign_public(self.seed(gid))

    def learn_keys(self, gid: bytes, found: dict[bytes, bytes]) -> Learned:
        """Keys of members whose key was not known; one that is known never changes."""
        learned: Learned = {}
        for epoch in self.epochs_of(gid):
            members = tuple(
                one if one.key else one._replace(key=found.get(one.fp, b""))
                for one in epoch.members
            )
            if members != epoch.members:
                self.save(replace(epoch, members=members))
                both = zip(epoch.members, members, strict=True)
                learned[epoch.eid] = tuple(
                    (place, new.key) for place, (old, new) in enumerate(both) if old.key != new.key
                )
        return learned

    # --- epochs -------------------------------------------------------------------------------

    def line(self, gid: bytes) -> Lineage:
        """What follows from the epochs of a group."""
        line = self._lines.get(gid)
        if line is None:
            line = self._lines[gid] = Lineage(self.epochs_of(gid))
        return line

    def epochs_of(self, gid: bytes) -> list[Epoch]:
        return [epoch for epoch in self.epochs.values() if epoch.gid == gid]

    def begin(self, author: bytes, rekey: Rekey, wall: float) -> Learned:
        """Keep an epoch: everything that follows from its root, but not the root.

        Returns:
            Keys of members that other epochs lacked.
        """
        gid, members = rekey.gid, rekey.members
        keys = derive(gid, rekey.root, [member.fp for member in members])
        known = {self.me: self.own_key(gid)}
        for epoch in self.epochs_of(gid):
            known.update((one.fp, one.key) for one in epoch.members if one.key)
        self.save(
            Epoch(
                keys.eid,
                gid,
                rekey.parents,
                rekey.generation,
                author,
                tuple(one._replace(key=known.get(one.fp, one.key)) for one in members),
                Clean.line(rekey.name) or NO_NAME,
                keys.head_key,
                wall,
            )
        )
        for place, chain in enumerate(keys.chains):
            self._store.save_group_chain(keys.eid, place, 0, chain)
        return self.learn_keys(gid, {one.fp: one.key for one in members if one.key})

    def save(self, epoch: Epoch) -> None:
        self.epochs[epoch.eid] = epoch
        self._lines.pop(epoch.gid, None)
        self._store.save_epoch(epoch)

    def forget(self, epoch: Epoch) -> None:
        """With all its keys."""
        del self.epochs[epoch.eid]
        self._lines.pop(epoch.gid, None)
        self._store.drop_epoch(epoch.eid)

    def trim(self, gid: bytes) -> None:
        """Forget the oldest of what every line has in its past; where they parted stays.

        So does what an epoch of one line alone names: without it that seems to follow all.
        """
        line = self.line(gid)
        shared = frozenset.intersection(*(line.past(head.eid) for head in line.heads))
        before = frozenset().union(*(line.past(eid) - {eid} for eid in sorted(shared)))
        apart = [one.parents for one in self.epochs_of(gid) if one.eid not in shared]
        old = [self.epochs[eid] for eid in sorted((shared & before).difference(*apart))]
        old = sorted((one for one in old if not one.head_key), key=lambda one: one.generation)
        for epoch in old[: max(0, len(self.epochs_of(gid)) - GROUP_EPOCHS_MAX)]:
            self.forget(epoch)
