"""The store contract for files: whole ones, those under way, their pieces, ids sought again."""

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from store_values import ANNA, BORIS, KEY, AnyStore, add, b16, chunk_of, held, message, piece

from meshchat import schema
from meshchat.core.model import Fate, Kind, Manifest, OpenFile
from meshchat.database import Database
from meshchat.errors import StoreError
from meshchat.store import SqlStore
from meshchat.text import Clean

MID, OTHER = b"m" * 8, b"n" * 8
FILE = OpenFile(
    MID,
    ANNA,
    False,
    Manifest(b"k" * 32, 70_000, "отчёт.pdf", b"h" * 32, (b16(1), b16(2), b16(3))),
    marks=1 << 63 | 5,
    token=b"t" * 16,
    exp_h=4_000_000,
)


def test_whole_files(store: AnyStore) -> None:
    """Kept under a message, replaced, dropped; unknown is None."""
    with store.transaction():
        store.save_file(MID, b"one")
        store.save_file(OTHER, b"x" * 2_000_000)
        store.save_file(MID, b"two")
        store.drop_file(b"unknown!")
    assert store.file(MID) == b"two"
    assert len(store.file(OTHER) or b"") == 2_000_000
    with store.transaction():
        store.drop_file(MID)
    assert store.file(MID) is None


def test_open_files_keep_their_place(store: AnyStore) -> None:
    """Every field comes back; a change leaves the order; the name is clean."""
    second = replace(
        FILE,
        mid=OTHER,
        contact=BORIS,
        outgoing=True,
        manifest=replace(FILE.manifest, chunks=(), name="a\x1bb"),
        marks=0,
        token=b"",
    )
    with store.transaction():
        store.save_open_file(FILE)
        store.save_open_file(second)
        store.save_open_file(replace(FILE, marks=2, exp_h=5))
    first, again = store.open_files()
    assert first == replace(FILE, marks=2, exp_h=5)
    assert again == replace(second, manifest=replace(second.manifest, name="ab"))
    assert type(again.manifest.name) is Clean
    with store.transaction():
        store.save_open_file(FILE)
        store.drop_open_file(OTHER)
        store.drop_open_file(OTHER)
    assert store.open_files() == [FILE]


def test_pieces_in_order(store: AnyStore) -> None:
    """Of one file, by index, the last word counts; they go with their file."""
    with store.transaction():
        store.save_open_file(FILE)
        store.save_pieces(MID, [piece(place, bytes([place])) for place in (10, 2, 0)])
        store.save_pieces(OTHER, [piece(1, b"other", b"o" * 32)])
        store.save_pieces(MID, [piece(2, b"again")])
    assert store.pieces(MID) == [b"\0", b"again", b"\x0a"]
    with store.transaction():
        store.drop_open_file(MID)
    assert store.pieces(MID) == [] and store.pieces(OTHER) == [b"other"]


def test_a_whole_file_is_its_pieces(store: AnyStore) -> None:
    """While it is open there is no file; closed it is what was collected, until it is dropped."""
    with store.transaction():
        store.save_open_file(FILE)
        store.save_pieces(MID, [piece(1, b"second"), piece(0, b"first ")])
        store.drop_file(MID)
    assert store.file(MID) is None and len(store.pieces(MID)) == 2
    with store.transaction():
        store.close_file(MID)
        store.close_file(b"unknown!")
        with pytest.raises(ZeroDivisionError), store.savepoint():
            store.drop_file(MID)
            raise ZeroDivisionError
    assert store.open_files() == [] and store.file(MID) == b"first second"
    with store.transaction():
        store.drop_file(MID)
    assert store.file(MID) is None and store.pieces(MID) == []


def test_our_own_file_is_its_pieces_while_it_is_open(store: AnyStore) -> None:
    """It may have to be sealed again; what was kept before it was sealed goes first."""
    with store.transaction():
        store.save_open_file(replace(FILE, outgoing=True))
        store.save_pieces(MID, [piece(0, b"first "), piece(1, b"second")])
        store.drop_file(MID)
    assert store.file(MID) == b"first second"
    with store.transaction():
        store.save_file(MID, b"as it was")
    assert store.file(MID) == b"as it was"


@pytest.mark.parametrize("order", ["held first", "held later", "never held"])
def test_pieces_outlive_their_envelopes(store: AnyStore, order: str) -> None:
    """Dropped, expired or never in custody: the piece stays, and nothing of it is served."""
    one, two = piece(0, b"a piece"), piece(1, b", another")
    if order == "held first":
        add(store, chunk_of(one), chunk_of(two))
    with store.transaction():
        store.save_pieces(MID, [one, two])
    if order == "held later":
        add(store, chunk_of(one), chunk_of(two))
    if order != "never held":
        assert store.envelope_data(one.eid) == one.data
        with store.transaction():
            (gone,) = store.drop_envelopes([one.eid], Fate.PROVEN)
            assert gone.size_bytes == len(one.data)
            assert [eid for eid, _ in store.expire(500_000).envelopes] == [two.eid]
            store.expire(500_002)
    assert store.envelope(one.eid) is store.envelope_data(one.eid) is None
    add(store, held(1), held(2))  # under numbers of their own
    assert store.file(MID) == b"a piece, another"
    assert [store.envelope(b16(n)) for n in (1, 2)] == [held(1), held(2)]
    with store.transaction():
        store.drop_file(MID)
    store.truncate_wal()
    assert store.file(MID) is None and store.envelope(b16(1)) == held(1)


def test_envelopes_outlive_their_pieces(store: AnyStore) -> None:
    """A file that is destroyed here is carried on, and goes with its last holder."""
    one = piece(0, b"a piece")
    add(store, chunk_of(one))
    with store.transaction():
        store.save_pieces(MID, [one])
        store.save_pieces(OTHER, [one])
        store.drop_file(MID)
    assert store.pieces(MID) == [] and store.pieces(OTHER) == [b"a piece"]
    with store.transaction():
        store.drop_content(OTHER)
    assert store.pieces(OTHER) == [] and store.envelope(one.eid) == chunk_of(one)
    store.truncate_wal()
    assert store.envelope(one.eid) == chunk_of(one)


def bodies(store: SqlStore) -> int:
    count: int = store._db.value("SELECT count(*) FROM bodies")
    return count


def test_a_chunk_is_written_once_and_overwritten_later(tmp_path: Path) -> None:
    """One body for envelope and piece. Of a destroyed file the keys go at once, the rest in parts
    when it is quiet, at the latest when the log is emptied; also after a restart in between."""
    path = tmp_path / "s"
    store = SqlStore(Database(str(path), None))
    made = [piece(n, b"x", b"filekey of %21d" % n) for n in range(7)]
    add(store, *map(chunk_of, made[:5]))
    with store.transaction():
        store.save_pieces(MID, made)
        store.drop_envelopes([one.eid for one in made[:4]], Fate.PROVEN)
    assert bodies(store) == 7
    with store.transaction():
        store.drop_file(MID)
    assert bodies(store) == 7, "one is held, six wait to be overwritten"
    assert store.overwrite(4) and bodies(store) == 3
    store.close()
    store = SqlStore(Database(str(path), None))
    assert not store.overwrite(4) and bodies(store) == 1
    with store.transaction():
        store.save_pieces(MID, made[:2])
        store.drop_file(MID)
        store.drop_envelopes([made[4].eid], Fate.PROVEN)
    store.truncate_wal()
    assert bodies(store) == 0 and store.problems() == []
    data = path.read_bytes()
    assert b"filekey" not in data and not any(one.data[80:160] in data for one in made)
    store.close()


def test_pieces_of_version_6(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was collected before pieces stayed in their envelopes is read, and goes, as ever."""
    path = tmp_path / "s"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:6])
        old = SqlStore.open(path, KEY)
        with old.transaction():
            old.save_open_file(FILE)
            for row in ((MID, 0, b"old "), (OTHER, 0, b"whole")):
                old._db.write("INSERT INTO pieces (mid, place, data) VALUES (?, ?, ?)", *row)
        old.close()
    store = SqlStore.open(path, KEY)
    with store.transaction():
        store.save_pieces(MID, [piece(1, b"and new")])
        store.close_file(MID)
    assert store.file(MID) == b"old and new" and store.file(OTHER) == b"whole"
    with store.transaction():
        store.drop_file(MID)
        store.drop_file(OTHER)
    assert store.file(MID) is store.file(OTHER) is None
    store.close()


def test_a_failed_part_leaves_no_file(store: AnyStore) -> None:
    """What a refused command wrote of a file is gone."""
    with store.transaction():
        store.save_open_file(FILE)
        store.save_pieces(MID, [piece(0, b"kept")])
        with pytest.raises(ZeroDivisionError), store.savepoint():
            store.save_file(OTHER, b"x")
            store.save_open_file(replace(FILE, mid=OTHER))
            store.save_pieces(MID, [piece(0, b"changed"), piece(1, b"new")])
            store.drop_open_file(MID)
            raise ZeroDivisionError
    assert store.open_files() == [FILE] and store.pieces(MID) == [b"kept"]
    assert store.file(OTHER) is None


def test_writing_needs_a_transaction(store: AnyStore) -> None:
    """As everything else."""
    for write in (
        lambda: store.save_file(MID, b"x"),
        lambda: store.save_open_file(FILE),
        lambda: store.save_pieces(MID, [piece(0, b"x")]),
        lambda: store.save_pieces(MID, []),
        lambda: store.seek([b16(1)]),
    ):
        with pytest.raises(StoreError):
            write()


def test_seek(store: AnyStore) -> None:
    """Carried ones are looked at again, those that made room are forgotten, the rest stays."""
    kinds = [Kind.CARRIED, Kind.OWN, Kind.MINE]
    add(store, *(held(n, kind=kind) for n, kind in enumerate(kinds)))
    add(store, *(held(n) for n in range(3, 8)))
    fates = {3: Fate.EVICTED, 4: Fate.PROVEN, 5: Fate.EXPIRED, 6: Fate.EVICTED}
    with store.transaction():
        store.add_refused(b16(9), 100)
        store.tried([b16(0), b16(7)], Kind.CARRIED)
        for n, fate in fates.items():
            store.drop_envelopes([b16(n)], fate)
        assert store.count_untried() == 0
        sought = [b16(n) for n in (0, 0, 1, 2, 3, 4, 5, 9, 77)]
        store.seek(sought)
        store.seek([])
    assert [one.eid for one in store.untried(9)] == [b16(0)]
    assert store.known([*sought, b16(6)]) == {b16(n) for n in (0, 1, 2, 4, 5, 6)}
    assert store.holder_of(held(3).done) is None
    add(store, held(3))
    assert store.envelope(b16(3)) == held(3) and store.count_untried() == 2


def test_a_chosen_life_is_kept(store: AnyStore) -> None:
    """With the message, like its end."""
    with store.transaction():
        store.add_message(message(1, outgoing=True, life_s=5_400.5))
        store.add_message(message(2))
        store.change_message(message(1).id, reason="x")
    lives = [store.message(message(n).id).life_s for n in (1, 2)]  # type: ignore[union-attr]
    assert lives == [5_400.5, 0.0]


def test_a_store_of_version_1(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile from before there were files opens with all it had, and can take files."""
    path = tmp_path / "s"
    everything = schema.MIGRATIONS
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", everything[:1])
        patch.setattr(SqlStore, "_index_all", lambda _: None)  # that came with version 4
        old = SqlStore.open(path, KEY)
        with old.transaction():
            old.add_envelopes([held(1)], 0.0)
            old._db.write("INSERT INTO chats (chat) VALUES (?)", b"c" + ANNA)
            old._db.write(
                """INSERT INTO messages (id, chat, author, author_name, outgoing, size, sent_at,
                received_at, state, carriers, delivered_at, expires_at, reason, eid, number,
                about, text) VALUES (?, 1, ?, '', 1, 2, 1, 1, 'queued', 0, 0, 9, '', x'', x'',
                x'', 'hi')""",
                *(MID, ANNA),
            )
        old.close()
    store = SqlStore.open(path, KEY)
    (only,) = store.pending()
    assert (only.id, only.text, only.life_s, only.expires_at) == (MID, "hi", 0.0, 9.0)
    assert store.open_files() == [] and store.envelope(b16(1)) == held(1)
    assert [found.id for found in store.search("H")] == [MID]
    with store.transaction():
        store.save_open_file(FILE)
    store.close()
    store = SqlStore.open(path, KEY)
    assert store.open_files() == [FILE]
    assert store.problems() == []
    store.close()


def test_files_are_found_by_index(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans, not times: no call reads a whole table of envelopes, files or pieces."""
    store = SqlStore.memory()
    execute = store._db._execute
    scans: list[str] = []

    def explained(sql: str, params: tuple[object, ...]) -> Any:
        if sql.lstrip().startswith(("SELECT", "INSERT", "DELETE")):
            plan = [str(row[3]) for row in execute(f"EXPLAIN QUERY PLAN {sql}", params)]
            tables = ("envelopes", "e", "files", "pieces")
            scans.extend(step for step in plan if step.startswith("SCAN") and step[5:] in tables)
        return execute(sql, params)

    monkeypatch.setattr(store._db, "_execute", explained)
    with store.transaction():
        store.seek([b16(1)])
        store.save_file(MID, b"x")
        store.file(MID)
        store.drop_file(MID)
        one = piece(0, b"x")
        store.save_pieces(MID, [one])
        store.pieces(MID)
        store.save_pieces(MID, [one])
        store.add_envelopes([chunk_of(one)], 0.0)
        store.save_pieces(OTHER, [one])
        store.drop_open_file(MID)
        store.drop_envelopes([one.eid], Fate.PROVEN)
    store.overwrite()
    assert scans == []
    store.close()
