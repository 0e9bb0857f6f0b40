"""What a store keeps of private groups."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from meshchat.core.model import Epoch, Group, GroupMail


class GroupStore(Protocol):
    """Private groups."""

    def groups(self) -> list[Group]:
        """All, also those we left or were removed from, in order of name."""
        ...

    def save_group(self, group: Group) -> None:
        """Insert, or replace the one with the same id."""
        ...

    def epochs(self) -> list[Epoch]:
        """Of all groups, in order of being inserted."""
        ...

    def save_epoch(self, epoch: Epoch) -> None:
        """Insert; of one that is known change ``members``, ``head_key`` and ``ends_at``."""
        ...

    def drop_epoch(self, eid: bytes) -> None:
        """With its chains and skipped keys."""
        ...

    def group_chain(self, eid: bytes, by: int) -> tuple[int, bytes] | None:
        """``(number of the next message, chain key)`` of the member at this place."""
        ...

    def save_group_chain(self, eid: bytes, by: int, n: int, key: bytes) -> None:
        """Insert, or replace the one of the same member."""
        ...

    def group_used(self, eid: bytes) -> bool:
        """Whether some chain of this epoch has moved."""
        ...

    def drop_group_chains(self, eid: bytes) -> None:
        """Destroy the chains and skipped keys of an epoch."""
        ...

    def group_skipped(self, eid: bytes, by: int, n: int) -> bytes | None:
        """The key kept for one message that was passed over."""
        ...

    def save_group_skipped(
        self,
        gid: bytes,
        eid: bytes,
        by: int,
        keys: Sequence[tuple[int, bytes]],
        at: float,
        keep: int,
    ) -> None:
        """Keep ``(number, key)`` of messages passed over at wall time ``at``; of the group only
        the newest ``keep`` stay."""
        ...

    def drop_group_skipped(self, eid: bytes, by: int, n: int) -> None: ...

    def drop_group_skipped_before(self, at: float) -> None:
        """Destroy those kept since before this wall time."""
        ...

    def group_mail(self) -> list[GroupMail]:
        """In order of being inserted."""
        ...

    def save_group_mail(self, mail: GroupMail) -> None:
        """Insert; of one with a known number change ``eid`` and ``until``."""
        ...

    def drop_group_mail(self, numbers: Iterable[bytes]) -> None: ...
