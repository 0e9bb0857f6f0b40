"""The part of the store that holds what we carry: envelopes, delivery proofs, cut transfers.

``SqlStore`` is this and the rest; ``meshchat.core.ports.Store`` has the contract, and
``schema.py`` says why the tables are cut the way they are.
"""

import heapq
import itertools
import json
from collections.abc import Collection, Iterable, Iterator, Sequence

from meshchat.core.limits import RELEASE_AHEAD_MAX_S
from meshchat.core.model import (
    BULK_CLASS,
    HINT_CLASS_SHIFT,
    Expired,
    Fate,
    Gone,
    Held,
    Kind,
    Outline,
    Partial,
    Proof,
    Usage,
    hint_of,
)
from meshchat.database import Database, Row

SEEN_MAX_COUNT = 1_000_000  # ids remembered, some 150 MB; a flood forgets the soonest to expire
LOTS_REMEMBERED_MAX = 256  # numbers of lots, so that most that arrive need no look
PARTIALS_MAX_COUNT = 64  # cut transfers kept, at most 2 MiB

# CROSS JOIN, here and below: SQLite then keeps the order of tables and uses their indexes.
_JOINED = "envelopes e CROSS JOIN lots l ON l.no = e.lot CROSS JOIN bodies b ON b.id = e.id"
_HELD = "SELECT e.eid, l.size_class, e.exp_h, e.done, b.data, l.origin, l.kind, e.stamp FROM"
_CUSTODY = f"""SELECT e.id, e.eid, l.kind, l.no, length(b.data), l.size_class, l.origin,
    EXISTS (SELECT 1 FROM untried u WHERE u.id = e.id) FROM {_JOINED}"""
_ASKED = "WITH asked (id) AS MATERIALIZED (SELECT unhex(value) FROM json_each(?))"


def _asked(ids: Iterable[bytes]) -> str:
    """What ``_ASKED`` reads: one statement for any number."""
    return json.dumps([each.hex() for each in ids])


class _Tallies:
    """What comes to lots and leaves them in one transaction: envelopes and bytes."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._sums: dict[int, tuple[int, int]] = {}  # by lot
        db.waiting.append(self)

    def add(self, lot: int, count: int, size: int) -> None:
        before, bytes_before = self._sums.get(lot, (0, 0))
        self._sums[lot] = before + count, bytes_before + size

    def write(self) -> None:
        if self._sums:
            sums, self._sums = self._sums, {}
            self._db.write_many(
                "UPDATE lots SET count = count + ?, size_bytes = size_bytes + ? WHERE no = ?",
                [(*sums[lot], lot) for lot in sums],
            )

    def mark(self) -> dict[int, tuple[int, int]]:
        return self._sums.copy()

    def back(self, mark: dict[int, tuple[int, int]] | None) -> None:
        self._sums = mark or {}


class CustodyTables:
    """Custody over one database."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lots: dict[tuple[int, bytes, Kind], int] = {}  # numbers of some
        self._next = 0  # number of the next envelope; 0: not looked up
        self._proofs = -1  # how many there are; -1: not counted
        self._tallies = _Tallies(db)
        db.undone.append(self._look_again)

    def _look_again(self) -> None:
        self._lots.clear()
        self._next, self._proofs = 0, -1

    def known(self, ids: Sequence[bytes]) -> set[bytes]:
        rows = self._db.rows(
            f"""{_ASKED} SELECT eid FROM envelopes WHERE eid IN asked
            UNION ALL SELECT done FROM proofs WHERE done IN asked""",
            _asked(ids),
        )
        return {row[0] for row in rows}

    def add_envelopes(self, held: Iterable[Held], at: float, tried: Collection[bytes] = ()) -> None:
        offered = list(held)
        if not offered:
            return
        lots: dict[tuple[int, bytes, Kind], int] = {}
        for one in offered:
            group = one.size_class, one.origin, one.kind
            if group not in lots:
                lots[group] = self._lot(*group)
        first = self._next or self._db.value("SELECT coalesce(max(id), 0) + 1 FROM envelopes")
        self._next = first + len(offered)
        numbered = [
            (no, lots[one.size_class, one.origin, one.kind], one)
            for no, one in enumerate(offered, first)
        ]
        taken = self._db.write_many(
            "INSERT INTO envelopes VALUES (?, ?, ?, ?, 0, ?, ?, ?) ON CONFLICT (eid) DO NOTHING",
            [(no, x.eid, x.done, x.exp_h, lot, x.stamp, at) for no, lot, x in numbered],
        )
        if taken < len(numbered):
            self._next = 0
            new = {row[0] for row in self._db.rows("SELECT id FROM envelopes WHERE id >= ?", first)}
            numbered = [entry for entry in numbered if entry[0] in new]
        self._db.write_many(
            "INSERT INTO bodies VALUES (?, ?)", [(no, one.data) for no, _, one in numbered]
        )
        untried = [
            (no,) for no, _, one in numbered if one.kind is Kind.CARRIED and one.eid not in tried
        ]
        if untried:
            self._db.write_many("INSERT INTO untried VALUES (?)", untried)
        for _, lot, one in numbered:
            self._tallies.add(lot, 1, len(one.data))

    def _lot(self, size_class: int, origin: bytes, kind: Kind) -> int:
        """Number of the lot for these, made if there is none."""
        key = (size_class, origin, kind)
        no = self._lots.get(key)
        if no is None:
            where = "WHERE size_class = ? AND origin = ? AND kind = ?"
            row = self._db.row(f"SELECT no FROM lots {where}", *key)
            into = "INSERT INTO lots (size_class, origin, kind) VALUES (?, ?, ?)"
            no = row[0] if row else self._db.insert(into, *key)
            if len(self._lots) >= LOTS_REMEMBERED_MAX:
                self._lots.clear()
            self._lots[key] = no
        return no

    def add_refused(self, eid: bytes, exp_h: int) -> None:
        self._next = 0
        self._db.write(
            """INSERT INTO envelopes (eid, exp_h, fate, stamp, at) VALUES (?, ?, ?, 0, 0)
            ON CONFLICT (eid) DO NOTHING""",
            *(eid, exp_h, Fate.REFUSED),
        )

    def envelope(self, eid: bytes) -> Held | None:
        row = self._db.row(f"{_HELD} {_JOINED} WHERE e.eid = ?", eid)
        return _held(row) if row else None

    def envelope_data(self, eid: bytes) -> bytes | None:
        row = self._db.row(
            "SELECT b.data FROM envelopes e CROSS JOIN bodies b ON b.id = e.id WHERE e.eid = ?", eid
        )
        return row[0] if row else None

    def fate(self, eid: bytes) -> Fate | None:
        row = self._db.row("SELECT fate FROM envelopes WHERE eid = ?", eid)
        return Fate(row[0]) if row else None

    def holder_of(self, done: bytes) -> Outline | None:
        """A copied ``done`` gives several: then one that is held, else the oldest."""
        rows = self._db.rows(
            """SELECT eid, exp_h, lot IS NOT NULL FROM envelopes WHERE done = ?
            ORDER BY lot IS NULL, id LIMIT 2""",
            done,
        )
        if not rows:
            return None
        eid, exp_h, held = rows[0]
        return Outline(eid, exp_h, bool(held), len(rows) == 1)

    def holders_of(self, dones: Sequence[bytes]) -> dict[bytes, Outline]:
        rows = self._db.rows(
            f"""{_ASKED} SELECT e.done, e.eid, e.exp_h, e.lot IS NOT NULL FROM asked a
            CROSS JOIN envelopes e ON e.done = a.id ORDER BY e.lot IS NULL, e.id""",
            _asked(dones),
        )
        found: dict[bytes, Outline] = {}
        for done, eid, exp_h, held in rows:
            first = found.get(done)
            if first is None:
                found[done] = Outline(eid, exp_h, bool(held))
            elif first.alone:
                found[done] = first._replace(alone=False)
        return found

    def offered(self, now_h: int) -> list[tuple[bytes, int]]:
        small = self._db.rows(
            """SELECT e.eid, l.size_class FROM lots l CROSS JOIN envelopes e ON e.lot = l.no
            WHERE e.exp_h > ? AND l.size_class < ? ORDER BY l.size_class, e.id""",
            *(now_h, BULK_CLASS),
        )
        bulk = self._db.rows(  # only these say on the outside what they are a part of
            """SELECT e.eid, l.size_class, substr(b.data, 1, 4) FROM lots l
            CROSS JOIN envelopes e ON e.lot = l.no CROSS JOIN bodies b ON b.id = e.id
            WHERE e.exp_h > ? AND l.size_class >= ? ORDER BY l.size_class, e.id""",
            *(now_h, BULK_CLASS),
        )
        return [(eid, size_class << HINT_CLASS_SHIFT) for eid, size_class in small] + [
            (eid, hint_of(size_class, head)) for eid, size_class, head in bulk
        ]

    def untried(self, limit: int) -> list[Held]:
        oldest = "(SELECT id FROM untried ORDER BY id LIMIT ?) u CROSS JOIN"
        rows = self._db.rows(f"{_HELD} {oldest} {_JOINED} WHERE e.id = u.id ORDER BY u.id", limit)
        return [_held(row) for row in rows]

    def count_untried(self) -> int:
        count: int = self._db.value("SELECT count(*) FROM untried")
        return count

    def tried(self, eids: Iterable[bytes], kind: Kind) -> list[bool]:
        waited: list[bool] = []
        for eid in eids:
            row = self._db.row(f"{_CUSTODY} WHERE e.eid = ?", eid)
            if row is None:
                continue
            self._db.need_transaction()
            no, _, old, lot, size, size_class, origin, untried = row
            waited.append(bool(untried))
            if untried:
                self._db.write("DELETE FROM untried WHERE id = ?", no)
            if old != kind:
                new = self._lot(size_class, origin, kind)
                self._db.write("UPDATE envelopes SET lot = ? WHERE id = ?", new, no)
                self._tallies.add(lot, -1, -size)
                self._tallies.add(new, 1, size)
        return waited

    def retry_all(self) -> None:
        self._db.write(
            """INSERT OR IGNORE INTO untried SELECT e.id FROM lots l
            CROSS JOIN envelopes e ON e.lot = l.no WHERE l.kind = ?""",
            Kind.CARRIED,
        )

    def seek(self, eids: Sequence[bytes]) -> None:
        for eid in eids:
            self._db.write(
                """INSERT OR IGNORE INTO untried SELECT e.id FROM envelopes e
                CROSS JOIN lots l ON l.no = e.lot WHERE e.eid = ? AND l.kind = ?""",
                *(eid, Kind.CARRIED),
            )
            self._db.write(
                "DELETE FROM envelopes WHERE eid = ? AND lot IS NULL AND fate IN (?, ?)",
                *(eid, Fate.EVICTED, Fate.REFUSED),
            )

    def drop_envelopes(self, eids: Iterable[bytes], fate: Fate) -> list[Gone]:
        """Of ids that are not held any more only the fate is changed."""
        self._db.need_transaction()
        held: list[Row] = []
        others: list[Row] = []
        wanted = dict.fromkeys(eids)
        rows = self._db.rows(f"{_ASKED} {_CUSTODY} WHERE e.eid IN asked", _asked(wanted))
        found = {row[1]: row for row in rows}
        for eid in wanted:
            row = found.get(eid)
            if row is None:
                others.append((fate, eid))
            else:
                held.append(row)
        self._destroy(held, fate)
        if others:
            self._db.write_many("UPDATE envelopes SET fate = ? WHERE eid = ?", others)
        return [
            Gone(eid, size_class, origin, Kind(kind), size, bool(untried))
            for _, eid, kind, _, size, size_class, origin, untried in held
        ]

    def _destroy(self, rows: list[Row], fate: Fate) -> None:
        """Delete the data of these rows of ``_CUSTODY``."""
        if not rows:
            return
        self._db.write_many("DELETE FROM bodies WHERE id = ?", [(row[0],) for row in rows])
        untried = [(row[0],) for row in rows if row[7]]
        if untried:
            self._db.write_many("DELETE FROM untried WHERE id = ?", untried)
        self._db.write_many(
            "UPDATE envelopes SET lot = NULL, fate = ? WHERE id = ?",
            [(fate, row[0]) for row in rows],
        )
        for _, _, _, lot, size, _, _, _ in rows:
            self._tallies.add(lot, -1, -size)

    def usage(self) -> list[Usage]:
        """In order of the first arrival of each group."""
        self._tallies.write()
        rows = self._db.rows(
            """SELECT size_class, origin, kind, count, size_bytes FROM lots WHERE count > 0
            ORDER BY no"""
        )
        return [
            Usage(size_class, origin, Kind(kind), count, size_bytes)
            for size_class, origin, kind, count, size_bytes in rows
        ]

    def evictable(
        self, *, origin: bytes | None, size_classes: Sequence[int], limit: int
    ) -> list[tuple[bytes, int, int, int]]:
        self._tallies.write()
        lots = self._db.rows(
            """SELECT no, size_class FROM lots
            WHERE kind = ? AND count > 0 AND (? IS NULL OR origin = ?)
            AND size_class IN (SELECT value FROM json_each(?))""",
            *(Kind.CARRIED, origin, origin, json.dumps(list(size_classes))),
        )
        worst: Iterator[Row] = heapq.merge(
            *(
                self._db.stream(
                    """SELECT stamp, exp_h, id, eid, ? FROM envelopes WHERE lot = ?
                    ORDER BY stamp, exp_h, id""",
                    *(size_class, lot),
                )
                for lot, size_class in lots
            )
        )
        return [
            (eid, size_class, exp_h, stamp)
            for stamp, exp_h, _, eid, size_class in itertools.islice(worst, limit)
        ]

    def expire(self, now_h: int) -> Expired:
        rows = sorted(self._db.rows(f"{_CUSTODY} WHERE e.exp_h <= ?", now_h))
        self._destroy(rows, Fate.EXPIRED)
        self._db.write("DELETE FROM envelopes WHERE lot IS NULL AND exp_h <= ?", now_h - 1)
        proofs = self._db.write("DELETE FROM proofs WHERE exp_h <= ? RETURNING done", now_h - 1)
        self._tallies.write()
        self._db.write("DELETE FROM lots WHERE count = 0")
        self._lots.clear()
        self._proofs = -1
        self._forget_beyond(SEEN_MAX_COUNT)
        return Expired([(row[1], Kind(row[2])) for row in rows], sorted(done for (done,) in proofs))

    def _forget_beyond(self, most: int) -> None:
        """Forget ids not held, soonest expiry first, until ``most`` are left."""
        span: int = self._db.value(
            """SELECT coalesce((SELECT max(id) FROM envelopes) -
            (SELECT min(id) FROM envelopes) + 1, 0)"""
        )
        if span <= most:  # ids are given in order, so there cannot be more: no need to count
            return
        surplus: int = self._db.value("SELECT count(*) FROM envelopes") - most
        if surplus > 0:
            self._db.write(
                """DELETE FROM envelopes WHERE id IN
                (SELECT id FROM envelopes WHERE lot IS NULL ORDER BY exp_h, id LIMIT ?)""",
                surplus,
            )

    # --- delivery proofs ---

    def add_proof(self, proof: Proof) -> bool:
        new = self._db.change(
            "INSERT INTO proofs VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            *(proof.done, proof.token, proof.exp_h, proof.release_at),
        )
        if self._proofs >= 0:
            self._proofs += new
        return bool(new)

    def proof(self, done: bytes) -> Proof | None:
        row = self._db.row("SELECT * FROM proofs WHERE done = ?", done)
        return Proof(*row) if row else None

    def released(self, wall: float) -> list[bytes]:
        """In order of release."""
        rows = self._db.rows(
            "SELECT done FROM proofs WHERE release_at <= ? OR release_at > ?"
            " ORDER BY release_at, done",
            wall,
            wall + RELEASE_AHEAD_MAX_S,
        )
        return [row[0] for row in rows]

    def count_proofs(self) -> int:
        if self._proofs < 0:
            self._proofs = self._db.value("SELECT count(*) FROM proofs")
        return self._proofs

    # --- transfers cut in their middle ---

    def save_partial(self, partial: Partial) -> None:
        row = (partial.eid, partial.size, partial.data)
        self._db.write("INSERT OR REPLACE INTO partials (eid, size, data) VALUES (?, ?, ?)", *row)
        self._db.write(
            """DELETE FROM partials WHERE no <=
            (SELECT no FROM partials ORDER BY no DESC LIMIT 1 OFFSET ?)""",
            PARTIALS_MAX_COUNT,
        )

    def partials(self) -> list[bytes]:
        return [row[0] for row in self._db.rows("SELECT eid FROM partials ORDER BY no")]

    def partial(self, eid: bytes) -> Partial | None:
        row = self._db.row("SELECT eid, size, data FROM partials WHERE eid = ?", eid)
        return Partial(*row) if row else None

    def drop_partial(self, eid: bytes) -> None:
        self._db.write("DELETE FROM partials WHERE eid = ?", eid)


def _held(row: Row) -> Held:
    eid, size_class, exp_h, done, data, origin, kind, stamp = row
    return Held(eid, size_class, exp_h, done, data, origin, Kind(kind), stamp)
