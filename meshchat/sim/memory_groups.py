"""The part of ``MemoryStore`` that keeps groups; answers as ``GroupTables`` does."""

from collections.abc import Iterable, Sequence

from msgspec import structs

from meshchat.core.model import Epoch, Group, GroupMail
from meshchat.group_tables import group_order
from meshchat.sim.memory_custody import MemoryCustody
from meshchat.sim.memory_proofs import by_number
from meshchat.sim.pool import Pool
from meshchat.text import Clean

Place = tuple[bytes, int]
"""Epoch id, and place in its list of members."""


class MemoryGroups(MemoryCustody):
    """Groups of one profile."""

    __slots__ = ("_epochs", "_group_chains", "_group_mail", "_group_skipped", "_groups")

    def __init__(self, pool: Pool | None = None) -> None:
        super().__init__(pool)
        self._groups: dict[bytes, Group] = {}
        self._epochs: dict[bytes, tuple[int, Epoch]] = {}
        self._group_chains: dict[Place, tuple[int, bytes]] = {}
        # number of arrival, group, key, when
        self._group_skipped: dict[tuple[bytes, int, int], tuple[int, bytes, bytes, float]] = {}
        self._group_mail: dict[bytes, tuple[int, GroupMail]] = {}

    def groups(self) -> list[Group]:
        return sorted(self._groups.values(), key=group_order)

    def save_group(self, group: Group) -> None:
        name = Clean.line(str(group.name))
        if name != group.name:
            group = structs.replace(group, name=name)
        self._put(self._groups, group.gid, group)

    # --- epochs ---

    def epochs(self) -> list[Epoch]:
        return [epoch for _, epoch in sorted(self._epochs.values(), key=by_number)]

    def save_epoch(self, epoch: Epoch) -> None:
        old = self._epochs.get(epoch.eid)
        if old is not None:
            kept = structs.replace(
                old[1], members=epoch.members, head_key=epoch.head_key, ends_at=epoch.ends_at
            )
            self._put(self._epochs, epoch.eid, (old[0], kept))
            return
        name = Clean.line(str(epoch.name))
        if name != epoch.name:
            epoch = structs.replace(epoch, name=name)
        self._put(self._epochs, epoch.eid, (self._number(), epoch))

    def drop_epoch(self, eid: bytes) -> None:
        self._drop(self._epochs, eid)
        self.drop_group_chains(eid)

    # --- chains ---

    def group_chain(self, eid: bytes, by: int) -> tuple[int, bytes] | None:
        return self._group_chains.get((eid, by))

    def save_group_chain(self, eid: bytes, by: int, n: int, key: bytes) -> None:
        self._put(self._group_chains, (eid, by), (n, key))

    def group_used(self, eid: bytes) -> bool:
        return any(place[0] == eid and n > 0 for place, (n, _) in self._group_chains.items())

    def drop_group_chains(self, eid: bytes) -> None:
        self._changes()
        for place in [place for place in self._group_chains if place[0] == eid]:
            self._drop(self._group_chains, place)
        for row in [row for row in self._group_skipped if row[0] == eid]:
            self._drop(self._group_skipped, row)

    def group_skipped(self, eid: bytes, by: int, n: int) -> bytes | None:
        row = self._group_skipped.get((eid, by, n))
        return row[2] if row else None

    def save_group_skipped(
        self,
        gid: bytes,
        eid: bytes,
        by: int,
        keys: Sequence[tuple[int, bytes]],
        at: float,
        keep: int,
    ) -> None:
        self._changes()
        for n, key in keys:
            self._put(self._group_skipped, (eid, by, n), (self._number(), gid, key, at))
        kept = [(row[0], place) for place, row in self._group_skipped.items() if row[1] == gid]
        for _, place in sorted(kept, key=by_number)[: max(0, len(kept) - keep)]:
            self._drop(self._group_skipped, place)

    def drop_group_skipped(self, eid: bytes, by: int, n: int) -> None:
        self._drop(self._group_skipped, (eid, by, n))

    def drop_group_skipped_before(self, at: float) -> None:
        self._changes()
        for place in [place for place, row in self._group_skipped.items() if row[3] < at]:
            self._drop(self._group_skipped, place)

    # --- control messages ---

    def group_mail(self) -> list[GroupMail]:
        return [mail for _, mail in sorted(self._group_mail.values(), key=by_number)]

    def save_group_mail(self, mail: GroupMail) -> None:
        old = self._group_mail.get(mail.number)
        if old is not None:
            kept = structs.replace(old[1], eid=mail.eid, until=mail.until)
            self._put(self._group_mail, mail.number, (old[0], kept))
        else:
            self._put(self._group_mail, mail.number, (self._number(), mail))

    def drop_group_mail(self, numbers: Iterable[bytes]) -> None:
        self._changes()
        for number in numbers:
            self._drop(self._group_mail, number)
