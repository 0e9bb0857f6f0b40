"""What follows from the epochs of one group that a node knows: who is in it, and what to send on.

Admins in two partitions make two lines of epochs. Both live until a rekey names both; its
members are the union of what was added less everything that was removed. Pure: no store, no keys.

Rules where lines meet (docs/reference/wire.md, 5.7):

* Who was removed on one line is out, whatever the other line says, unless added again later.
* What somebody added who is removed on the other line does not count; what they removed does.
* If no admin is left, all are: one of them may have left without the others knowing.
* Nothing is sent on a line that lists somebody who was removed, or that somebody removed made.
"""

from collections.abc import Iterable
from typing import NamedTuple

from meshchat.core.limits import GROUP_MEMBERS_MAX
from meshchat.core.model import Epoch, GroupMember
from meshchat.text import Clean


class Roster(NamedTuple):
    """Who is in a group, and its name."""

    members: tuple[GroupMember, ...]
    name: Clean

    def get(self, fp: bytes) -> GroupMember | None:
        """The member whose fingerprint begins with these 16 bytes."""
        return next((member for member in self.members if member.fp == fp), None)

    @property
    def admins(self) -> list[bytes]:
        return [member.fp for member in self.members if member.admin]


class _Line(NamedTuple):
    """An epoch, or several joined, seen as one end of the graph."""

    eid: bytes
    roster: Roster
    authors: frozenset[bytes]
    past: frozenset[bytes]
    """Epochs it knows of, itself included."""


class _Join(NamedTuple):
    roster: Roster
    out: tuple[frozenset[bytes], frozenset[bytes]]
    """Whom the other line removed, for each of the two."""
    known: bool
    """Whether we know where the lines parted."""


class Lineage:
    """The epochs of one group. Made anew whenever one of them changes."""

    def __init__(self, epochs: Iterable[Epoch]) -> None:
        self._epochs = {epoch.eid: epoch for epoch in epochs}
        # Parents before children: a child's generation is greater.
        self._in_order = sorted(self._epochs.values(), key=lambda each: (each.generation, each.eid))
        self._past: dict[bytes, frozenset[bytes]] = {}
        self._gone: dict[bytes, frozenset[bytes]] = {}
        self._find_past()
        followed = set().union(*(past - {eid} for eid, past in self._past.items()))
        self.heads = [each for each in self._in_order if each.eid not in followed]
        """Epochs nothing follows that we know of."""
        self.live = self._live()
        """Heads that say something no other head says: one, unless lines are to be joined."""
        line = self._joined(self.live)
        self.roster = line.roster if line else Roster((), Clean())
        """Who is in the group as far as we know."""

    def sendable(self) -> list[Epoch]:
        """The epochs a message is sealed on, so that all members read it and nobody else."""
        return [
            head
            for head in self.live
            if head.head_key and not any(self._barred(head, other) for other in self.heads)
        ]

    def joinable(self) -> bool:
        """Whether the live heads have a past in common, so that joining them loses nobody."""
        first, *others = self.live
        return all(self._join(_line(self, first), _line(self, other)).known for other in others)

    def joined(self, eids: Iterable[bytes]) -> Roster | None:
        """The roster of several epochs together; None if one of them is not known."""
        found = [self._epochs.get(eid) for eid in eids]
        line = self._joined([each for each in found if each])
        return line.roster if line and all(found) else None

    def last_with(self, fps: set[bytes]) -> list[Epoch]:
        """The newest epoch that lists one of these, if there is any."""
        return [each for each in self._in_order if fps & _fps(each)][-1:]

    # --- the graph ----------------------------------------------------------------------------

    def past(self, eid: bytes) -> frozenset[bytes]:
        """The epoch and all before it that we know."""
        return self._past[eid]

    def _find_past(self) -> None:
        orphans: list[Epoch] = []
        for epoch in self._in_order:
            past = {epoch.eid}
            for parent in epoch.parents:
                past |= self._past.get(parent, frozenset())
            self._past[epoch.eid] = frozenset(past)
            if any(parent not in self._epochs for parent in epoch.parents):
                orphans.append(epoch)
        for orphan in orphans:
            out = self._removed(orphan)
            # What lies between is on its way, or lost. An admin who is so far ahead knew what we
            # know, unless it lists somebody of whom we know better.
            if any(member.fp in out and member.key for member in orphan.members):
                continue
            past = {each.eid for each in self._in_order if each.generation < orphan.generation}
            for eid, known in self._past.items():
                if orphan.eid in known:
                    self._past[eid] = known | past

    def _removed(self, orphan: Epoch) -> set[bytes]:
        """Whom an epoch that does not follow ``orphan`` removed, and none after it lists again."""
        out: set[bytes] = set()
        for epoch in self._in_order:
            if orphan.eid in self._past[epoch.eid]:
                continue
            before = [self._epochs[parent] for parent in epoch.parents if parent in self._epochs]
            gone = set().union(*map(_fps, before)) - _fps(epoch)
            out |= gone.difference(*map(_fps, self._after(epoch.eid)))
        return out

    def _after(self, eid: bytes) -> list[Epoch]:
        return [self._epochs[other] for other, past in self._past.items() if eid in past]

    # --- joining ------------------------------------------------------------------------------

    def _live(self) -> list[Epoch]:
        found = [
            head
            for head in self.heads
            if not any(self._covers(other, head) for other in self.heads if other is not head)
        ]
        return found or self.heads[:1]

    def _covers(self, one: Epoch, other: Epoch) -> bool:
        """Whether joining the two says nothing that ``one`` does not say by itself."""
        together = self._join(_line(self, one), _line(self, other)).roster
        back = self._brought_back(other, one)
        if any(member.fp in back for member in together.members):
            return False  # when they went they destroyed what they had of ``one``
        if not _same(together, _roster(one)):
            return False
        return one.eid < other.eid or not _same(together, _roster(other))

    def _brought_back(self, line: Epoch, other: Epoch) -> set[bytes]:
        """Who is on it again after they were out, as far as ``other`` does not know."""
        again: set[bytes] = set()
        for eid in sorted(self._past[line.eid] - self._past[other.eid]):
            before = self._before(self._epochs[eid])
            if before is not None:
                earlier = (_fps(self._epochs[past]) for past in sorted(self._past[eid] - {eid}))
                again |= (_fps(self._epochs[eid]) - before).intersection(set().union(*earlier))
        return again & _fps(line)

    def _put_out(self, eid: bytes) -> frozenset[bytes]:
        """Whom an epoch removed, apart from those whom joining its parents removed."""
        if eid not in self._gone:
            epoch = self._epochs[eid]
            before = self._before(epoch)
            self._gone[eid] = frozenset(before - _fps(epoch) if before else ())
        return self._gone[eid]

    def _before(self, epoch: Epoch) -> set[bytes] | None:
        """Who is in the parents of an epoch together; None if we do not know all of them."""
        joined = self.joined(epoch.parents) if epoch.parents else None
        return joined and {member.fp for member in joined.members}

    def _barred(self, head: Epoch, other: Epoch) -> bool:
        """Whether ``other`` removed somebody whom ``head`` lists, or who made it."""
        if head is other:
            return False
        out = self._join(_line(self, head), _line(self, other)).out[0]
        return head.author in out or not out.isdisjoint(_fps(head))

    def _joined(self, epochs: list[Epoch]) -> _Line | None:
        line: _Line | None = None
        for epoch in sorted(epochs, key=lambda each: each.eid):
            new = _line(self, epoch)
            line = new if line is None else self._both(line, new)
        return line

    def _both(self, one: _Line, other: _Line) -> _Line:
        if one.eid in other.past:
            return other
        if other.eid in one.past:
            return one
        roster = self._join(one, other).roster
        return _Line(one.eid, roster, one.authors | other.authors, one.past | other.past)

    def _join(self, one: _Line, other: _Line) -> _Join:
        """Three-way: what each line changed since they parted; removing wins."""
        if one.eid in other.past or other.eid in one.past:
            later = other if one.eid in other.past else one
            return _Join(later.roster, (frozenset(), frozenset()), True)
        common = one.past & other.past
        parted = [
            self._epochs[eid]
            for eid in sorted(common)
            if not any(eid in self._past[later] for later in sorted(common) if later != eid)
        ]
        sides = (one.roster, other.roster)
        if parted:
            base = {member.fp: member for epoch in parted for member in epoch.members}
            name = parted[0].name
        else:  # too long ago: who is on one line only may have been removed on the other
            base = {member.fp: member for side in sides for member in side.members}
            name = min(side.name for side in sides)
        fps = [frozenset(member.fp for member in side.members) for side in sides]
        put_out = [
            frozenset(base).union(*map(self._put_out, sorted(line.past - common))) - inside
            for line, inside in zip((one, other), fps, strict=True)
        ]
        out = (put_out[1], put_out[0])
        trusted = (one.authors.isdisjoint(out[0]), other.authors.isdisjoint(out[1]))
        kept: dict[bytes, GroupMember] = {}
        for place, side in enumerate(sides):
            for member in side.members:
                fp, before = member.fp, base.get(member.fp)
                if fp in out[place] or (before is None and not trusted[place]):
                    continue
                admin = member.admin and (trusted[place] or (before is not None and before.admin))
                known = kept.get(fp)
                kept[fp] = member._replace(
                    key=(known.key if known else b"") or member.key,
                    admin=admin or (known is not None and known.admin),
                )
        names = [side.name for side in sides if side.name != name]
        members = tuple(kept.values())
        members = members[:GROUP_MEMBERS_MAX]  # who was added last finds no room
        if members and not any(member.admin for member in members):
            members = tuple(member._replace(admin=True) for member in members)
        return _Join(Roster(members, max(names, default=name)), out, bool(parted))


def _line(lineage: Lineage, epoch: Epoch) -> _Line:
    return _Line(epoch.eid, _roster(epoch), frozenset({epoch.author}), lineage.past(epoch.eid))


def _roster(epoch: Epoch) -> Roster:
    return Roster(epoch.members, epoch.name)


def _fps(epoch: Epoch) -> set[bytes]:
    return {member.fp for member in epoch.members}


def _same(one: Roster, other: Roster) -> bool:
    """The same people with the same rights under the same name; keys become known later."""

    def seen(roster: Roster) -> tuple[str, list[tuple[bytes, bool]]]:
        return roster.name, sorted((member.fp, member.admin) for member in roster.members)

    return seen(one) == seen(other)
