"""Tables of groups: their epochs, chain keys, and control messages under way.

A part of ``SqlStore``; the contract is ``meshchat.core.ports.Store``. Keys are rows of their own,
so that one that was used is destroyed by itself (``secure_delete``).
"""

from collections.abc import Iterable, Sequence

from meshchat.core.model import Epoch, Group, GroupMail, GroupMember, Membership
from meshchat.database import Database, Row
from meshchat.text import Clean

_FP_BYTES, _KEY_BYTES = 16, 32
_MEMBER_BYTES = _FP_BYTES + _KEY_BYTES + 1
_EID_BYTES = 8


class GroupTables:
    """Groups of one profile."""

    _db: Database

    def groups(self) -> list[Group]:
        found = [
            Group(gid, Clean.line(name), Membership(membership), joined_at)
            for gid, name, membership, joined_at in self._db.rows("SELECT * FROM groups")
        ]
        return sorted(found, key=group_order)

    def save_group(self, group: Group) -> None:
        row = (group.gid, group.name, group.membership, group.joined_at)
        self._db.write("INSERT OR REPLACE INTO groups VALUES (?, ?, ?, ?)", *row)

    # --- epochs ---

    def epochs(self) -> list[Epoch]:
        return [_epoch(row) for row in self._db.rows("SELECT * FROM epochs ORDER BY no")]

    def save_epoch(self, epoch: Epoch) -> None:
        self._db.write(
            """INSERT INTO epochs (eid, gid, parents, generation, author, members, name, head_key,
                came_at, ends_at)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (eid) DO UPDATE SET
                members = excluded.members, head_key = excluded.head_key,
                ends_at = excluded.ends_at""",
            *(epoch.eid, epoch.gid, b"".join(epoch.parents), epoch.generation, epoch.author),
            *(_members(epoch.members), epoch.name, epoch.head_key, epoch.came_at, epoch.ends_at),
        )

    def drop_epoch(self, eid: bytes) -> None:
        self._db.write("DELETE FROM epochs WHERE eid = ?", eid)
        self.drop_group_chains(eid)

    # --- chains ---

    def group_chain(self, eid: bytes, by: int) -> tuple[int, bytes] | None:
        where = "WHERE eid = ? AND place = ?"
        return self._db.row(f"SELECT n, key FROM group_chains {where}", eid, by)

    def save_group_chain(self, eid: bytes, by: int, n: int, key: bytes) -> None:
        self._db.write("INSERT OR REPLACE INTO group_chains VALUES (?, ?, ?, ?)", eid, by, n, key)

    def group_used(self, eid: bytes) -> bool:
        return self._db.row("SELECT 1 FROM group_chains WHERE eid = ? AND n > 0", eid) is not None

    def drop_group_chains(self, eid: bytes) -> None:
        self._db.write("DELETE FROM group_chains WHERE eid = ?", eid)
        self._db.write("DELETE FROM group_skipped WHERE eid = ?", eid)

    def group_skipped(self, eid: bytes, by: int, n: int) -> bytes | None:
        where = "WHERE eid = ? AND place = ? AND n = ?"
        row = self._db.row(f"SELECT key FROM group_skipped {where}", eid, by, n)
        return row[0] if row else None

    def save_group_skipped(
        self,
        gid: bytes,
        eid: bytes,
        by: int,
        keys: Sequence[tuple[int, bytes]],
        at: float,
        keep: int,
    ) -> None:
        self._db.write_many(
            """INSERT OR REPLACE INTO group_skipped (gid, eid, place, n, key, at)
            VALUES (?, ?, ?, ?, ?, ?)""",
            [(gid, eid, by, n, key, at) for n, key in keys],
        )
        self._db.write(
            """DELETE FROM group_skipped WHERE no IN (
                SELECT no FROM group_skipped WHERE gid = ? ORDER BY no DESC LIMIT -1 OFFSET ?)""",
            *(gid, keep),
        )

    def drop_group_skipped(self, eid: bytes, by: int, n: int) -> None:
        self._db.write(
            "DELETE FROM group_skipped WHERE eid = ? AND place = ? AND n = ?", eid, by, n
        )

    def drop_group_skipped_before(self, at: float) -> None:
        self._db.write("DELETE FROM group_skipped WHERE at < ?", at)

    # --- control messages ---

    def group_mail(self) -> list[GroupMail]:
        return [_mail(row) for row in self._db.rows("SELECT * FROM group_mail ORDER BY no")]

    def save_group_mail(self, mail: GroupMail) -> None:
        self._db.write(
            """INSERT INTO group_mail (number, gid, fp, control, until, eid, incoming)
            VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET
                eid = excluded.eid, until = excluded.until""",
            *(mail.number, mail.gid, mail.fp, mail.control, mail.until, mail.eid, mail.incoming),
        )

    def drop_group_mail(self, numbers: Iterable[bytes]) -> None:
        self._db.write_many(
            "DELETE FROM group_mail WHERE number = ?", [(number,) for number in numbers]
        )


def group_order(group: Group) -> tuple[str, float, bytes]:
    """By name, then the oldest first."""
    return group.name.casefold(), group.joined_at, group.gid


def _members(members: Iterable[GroupMember]) -> bytes:
    rows = (one.fp + one.key.ljust(_KEY_BYTES, b"\0") + bytes([one.admin]) for one in members)
    return b"".join(rows)


def _member(data: bytes) -> GroupMember:
    key = data[_FP_BYTES : _FP_BYTES + _KEY_BYTES]
    return GroupMember(data[:_FP_BYTES], key if any(key) else b"", bool(data[-1]))


def _epoch(row: Row) -> Epoch:
    _, eid, gid, parents, generation, author, members, name, head_key, came_at, ends_at = row
    return Epoch(
        eid,
        gid,
        tuple(parents[at : at + _EID_BYTES] for at in range(0, len(parents), _EID_BYTES)),
        generation,
        author,
        tuple(
            _member(members[at : at + _MEMBER_BYTES])
            for at in range(0, len(members), _MEMBER_BYTES)
        ),
        Clean.line(name),
        head_key,
        came_at,
        ends_at,
    )


def _mail(row: Row) -> GroupMail:
    _, number, gid, fp, control, until, eid, incoming = row
    return GroupMail(number, gid, fp, control, until, eid, bool(incoming))
